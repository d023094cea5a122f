# ruff: noqa: ANN001, ANN201, ANN202
"""Sparse autoencoders on planted dictionaries: beds 3.1, 3.2, 3.3 and the controls of 3.13, means of three seeds.

    .venv/bin/python -m benchmarks.dictionaries [easy] [shift] [zipf] [tree] [superposition] [--seeds 3] [--first 0]

The truth is drawn from a stream that no training is given; a dictionary whose decoder stayed as drawn is
trained beside the easy one.
Each part prints its figures with their bars; the exit code is 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402
import torch  # noqa: E402

from tests.mechanistic.dictionaries import beds  # noqa: E402
from xai_audit.mechanistic.dictionaries.metrics import kept  # noqa: E402
from xai_audit.mechanistic.dictionaries.recipe import Recipe  # noqa: E402
from xai_audit.mechanistic.dictionaries.recovery import absorption, cosines, recovery  # noqa: E402
from xai_audit.mechanistic.dictionaries.training import train  # noqa: E402

ROWS = 20_000
"""Held-out activations."""
MISSED: list[str] = []


def told(what, figure, bar, *, holds):
    print(f"{'ok  ' if holds else 'MISS'} {what}: {figure} (bar: {bar})", flush=True)
    if not holds:
        MISSED.append(what)


def found(bed, recipe, seed, source=None):
    """MCC, recovery at 0.9, F1 of firing, FVU and dead share of one training, and the dictionary."""
    dictionary = train(source or bed, recipe, torch.Generator().manual_seed(1000 + seed)).dictionary
    latents, activations = bed.held_out(ROWS)
    one = recovery(dictionary, bed.truth, latents, activations)
    size = kept(dictionary, [activations])
    return (
        {"mcc": one.mcc, "found": one.found, "f1": one.f1, "fvu": size.fvu, "dead": size.dead()},
        dictionary,
        one,
    )


def means(runs):
    return {name: float(np.mean([run[name] for run in runs])) for name in runs[0]}


def said(one):
    return ", ".join(f"{name} {value:.3f}" for name, value in one.items())


EASY = Recipe(width=128, k=3, tokens=1_500_000, batch=256, lr=3e-3, dead_after=20_000, aux=1 / 8)
ZIPF = Recipe(variant="batchtopk", width=256, k=5, tokens=2_000_000, batch=256, lr=3e-3, dead_after=20_000)
TREE = Recipe(width=128, k=4, tokens=1_500_000, batch=512, lr=3e-3, dead_after=20_000)


def easy(seeds):
    runs = [found(beds.easy(seed, batch=256), EASY, seed)[0] for seed in seeds]
    frozen = [
        found(beds.easy(seed, batch=256), replace(EASY, freeze_decoder=True, tokens=200_000), seed)[0]
        for seed in seeds
    ]
    own, other = means(runs), means(frozen)
    told("easy bed, MCC", f"{own['mcc']:.3f} ({said(own)})", ">= 0.98", holds=own["mcc"] >= 0.98)
    told("easy bed, recovery at cosine 0.9", f"{own['found']:.3f}", ">= 0.98", holds=own["found"] >= 0.98)
    told("easy bed, dead", f"{own['dead']:.3f}", "<= 0.01", holds=own["dead"] <= 0.01)
    told(
        "easy bed, frozen decoder's MCC and recovery", f"{other['mcc']:.3f}, {other['found']:.3f} ({said(other)})",
        "<= 0.45, 0", holds=other["mcc"] <= 0.45 and other["found"] == 0,
    )  # fmt: skip


def shift(seeds):
    runs = [found(beds.easy(seed, shift=10, batch=256), EASY, seed)[0] for seed in seeds]
    own = means(runs)
    told("shift 10, dead", f"{own['dead']:.4f} ({said(own)})", "<= 0.01", holds=own["dead"] <= 0.01)


def zipf(seeds):
    own = means([found(beds.zipf(seed, batch=256), ZIPF, seed)[0] for seed in seeds])
    told(
        "Zipf bed, recovery at cosine 0.9",
        f"{own['found']:.3f} ({said(own)})",
        ">= 0.90",
        holds=own["found"] >= 0.9,
    )


def tree(seeds):
    runs = {"topk": [], "matryoshka": []}
    for seed in seeds:
        bed = beds.tree(seed, batch=512)
        latents, activations = bed.held_out(ROWS)
        for variant, into in runs.items():
            one, dictionary, match = found(bed, replace(TREE, variant=variant), seed)
            one["absorption"] = absorption(dictionary, match, bed.parents, latents, activations)
            into.append(one)
    topk, nested = means(runs["topk"]), means(runs["matryoshka"])
    told(
        "hierarchical bed, Matryoshka's F1 beside TopK's", f"{nested['f1']:.3f}, {topk['f1']:.3f}", "above",
        holds=nested["f1"] > topk["f1"],
    )  # fmt: skip
    print(f"     topk: {said(topk)}\n     matryoshka: {said(nested)}")


def models(sparsity, importance, seed, n=20, m=5):
    """Toy models of superposition (Elhage et al. 2022), one for each sparsity, trained at once: W (many, m, n)."""
    generator = torch.Generator().manual_seed(300 + seed)
    many = len(sparsity)
    weight = torch.from_numpy(importance[:, None] ** np.arange(n)).float()[:, None]
    keep = torch.from_numpy((1 - sparsity).astype(np.float32))[:, None, None]
    w = (torch.randn(many, m, n, generator=generator) * (1 / n) ** 0.5).requires_grad_()
    b = torch.zeros(many, 1, n, requires_grad=True)
    adam = torch.optim.Adam([w, b], lr=3e-3)
    for _ in range(5000):
        on = torch.rand(many, 256, n, generator=generator) < keep
        x = on * torch.rand(many, 256, n, generator=generator)
        adam.zero_grad()
        (weight * (torch.relu(x @ w.mT @ w + b) - x).square()).mean(dim=(1, 2)).sum().backward()
        adam.step()
    return w.detach()


def hidden(truth, density, seed):
    """The hidden layer of a toy model with W^T (n, m) where anything is on: drawn from a stream of its own."""

    def source(step):
        rng = np.random.default_rng([seed, 22, step])
        rows = int(512 / (1 - (1 - density) ** len(truth)) * 1.5) + 64
        on = (rng.random((rows, len(truth))) < density) * rng.random((rows, len(truth)))
        on = on[on.any(axis=1)][:512]
        return torch.from_numpy(on.astype(np.float32)) @ truth

    return source


def superposition(seeds):
    """A dictionary of the hidden layer of each toy model finds what the model represents."""
    sparsity = np.asarray([0.7, 0.8, 0.9, 0.9, 0.95, 0.99])
    importance = np.asarray([1, 1, 1, 0.7, 0.7, 0.7])
    half = 0
    for seed in seeds:
        for w, of, falls in zip(models(sparsity, importance, seed), sparsity, importance, strict=True):
            length = w.norm(dim=0)
            unit = w / length.clamp(min=1e-9)
            share = length**2 / (unit.T @ w).square().sum(dim=1).clamp(min=1e-9)
            represented = (share >= 0.3) & (length > 0.5)
            values = sorted(round(float(one), 2) for one in share[length > 0.5])
            half += int(((share - 0.5).abs() < 0.03).sum())
            if not bool(represented.any()):
                print(
                    f"     seed {seed}, sparsity {of}, importance {falls}^i: no feature has D >= 0.3; they have "
                    f"{values}"
                )
                continue
            count = int(represented.sum())
            there = int((length > 0.5).sum())
            k = max(1, round(there * (1 - of)))
            if there > 2 * w.shape[0]:
                # Beyond antipodal pairs, more than half as many as there are dimensions would be no sparse code.
                k = min(k, w.shape[0] // 2)
            recipe = Recipe(
                variant="topk",
                width=round(1.5 * there),
                k=k,
                tokens=512 * 3000,
                batch=512,
                lr=3e-3,
                dead_after=20_000,
            )
            source = hidden(w.T.contiguous(), 1 - of, seed)
            # In five dimensions a training can end in a poor optimum; of three starts the one that rebuilds best is taken.
            starts = [
                train(source, recipe, torch.Generator().manual_seed(start + seed)).dictionary
                for start in (2000, 3000, 4000)
            ]
            unseen = torch.cat([source(recipe.steps + later) for later in range(16)])
            best = min(starts, key=lambda one: float((one.reconstruct(unseen) - unseen).square().sum()))
            near = cosines(w.T[represented], best.w_dec).max(axis=1)
            told(
                f"superposition, seed {seed}, sparsity {of}, importance {falls}^i: {count} features with D >= 0.3",
                f"{(near > 0.95).mean():.3f} found, least cosine {near.min():.3f}; dimensionalities {values}",
                "all at cosine > 0.95",
                holds=bool((near > 0.95).all()),
            )
    told("superposition, features on the plateau 1/2", half, "> 0", holds=half > 0)


PARTS = {"easy": easy, "shift": shift, "zipf": zipf, "tree": tree, "superposition": superposition}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for part in asked.parts or PARTS:
        started = time.process_time()
        print(f"== {part}", flush=True)
        PARTS[part](range(asked.first, asked.first + asked.seeds))
        print(f"     {time.process_time() - started:.0f} s CPU", flush=True)
    return 1 if MISSED else 0


if __name__ == "__main__":
    sys.exit(main())

# ruff: noqa: ANN001, ANN003, ANN201, ANN202
"""Sparse autoencoders on planted dictionaries: beds 3.1, 3.2, 3.3 and the controls of 3.13, means of three seeds.

    .venv/bin/python -m benchmarks.dictionaries [easy] [shift] [zipf] [tree] [superposition] [--seeds 3]

The truth is drawn from a stream that no training is given; a dictionary whose decoder stayed as drawn is trained beside each.
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


EASY = Recipe(width=128, k=3, tokens=1_500_000, batch=256, lr=3e-3, dead_after=20_000)
ZIPF = Recipe(variant="batchtopk", width=256, k=5, tokens=2_000_000, batch=256, lr=3e-3, dead_after=20_000)
TREE = Recipe(width=512, k=5, tokens=1_500_000, batch=512, lr=3e-3, dead_after=20_000)


def easy(seeds):
    runs = [found(beds.easy(seed, batch=256), EASY, seed)[0] for seed in range(seeds)]
    frozen = [
        found(beds.easy(seed, batch=256), replace(EASY, freeze_decoder=True, tokens=200_000), seed)[0]
        for seed in range(seeds)
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
    runs = [found(beds.easy(seed, shift=10, batch=256), EASY, seed)[0] for seed in range(seeds)]
    own = means(runs)
    told("shift 10, dead", f"{own['dead']:.4f} ({said(own)})", "<= 0.01", holds=own["dead"] <= 0.01)


def zipf(seeds):
    own = means([found(beds.zipf(seed, batch=256), ZIPF, seed)[0] for seed in range(seeds)])
    told(
        "Zipf bed, recovery at cosine 0.9",
        f"{own['found']:.3f} ({said(own)})",
        ">= 0.90",
        holds=own["found"] >= 0.9,
    )


def tree(seeds):
    runs = {"topk": [], "matryoshka": []}
    for seed in range(seeds):
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


def superposition(seeds):
    """Elhage et al. 2022: n 20 features in m 5, several sparsities at once; then a dictionary of the hidden layer."""
    for seed in range(seeds):
        rng = np.random.default_rng([seed, 21])
        sparsity = np.asarray([0.7, 0.9, 0.95, 0.99])
        n, m, many = 20, 5, len(sparsity)
        keep = torch.from_numpy((1 - sparsity).astype(np.float32))[:, None, None]
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        w = (torch.randn(many, m, n, generator=generator) * (1 / n) ** 0.5).requires_grad_()
        b = torch.zeros(many, 1, n, requires_grad=True)
        adam = torch.optim.Adam([w, b], lr=3e-3)

        def rows(count, way=generator, keep=keep, many=many, n=n):
            on = torch.rand(many, count, n, generator=way) < keep
            return on * torch.rand(many, count, n, generator=way)

        for _ in range(5000):
            x = rows(256)
            adam.zero_grad()
            out = torch.relu(x @ w.mT @ w + b)
            (out - x).square().mean(dim=(1, 2)).sum().backward()
            adam.step()
        w = w.detach()
        length = w.norm(dim=1)
        unit = w / length[:, None].clamp(min=1e-9)
        share = length**2 / (unit.mT @ w).square().sum(dim=-1).clamp(min=1e-9)
        for place in range(many):
            represented = (share[place] >= 0.3) & (length[place] > 0.5)
            values = [round(float(one), 2) for one in share[place][length[place] > 0.5].sort().values]
            if sparsity[place] < 0.95 or not bool(represented.any()):
                print(
                    f"     sparsity {sparsity[place]}: dimensionalities {values}; no dictionary is asked of dense features"
                )
                continue
            truth = w[place].T
            on = float(1 - sparsity[place]) * n

            def source(step, truth=truth, place=place, seed=seed):
                way = np.random.default_rng([seed, 22, step])
                on = (way.random((512, n)) < 1 - sparsity[place]) * way.random((512, n))
                return torch.from_numpy(on.astype(np.float32)) @ truth

            recipe = Recipe(variant="batchtopk", width=32, k=max(1, round(on)), tokens=512 * 2500, batch=512, lr=3e-3, dead_after=20_000)  # fmt: skip
            dictionary = train(source, recipe, torch.Generator().manual_seed(2000 + seed)).dictionary
            near = cosines(truth[represented], dictionary.w_dec).max(axis=1)
            told(
                f"superposition, seed {seed}, sparsity {sparsity[place]}: {int(represented.sum())} features with D >= 0.3 found",
                f"{(near > 0.95).mean():.3f}, least cosine {near.min():.3f}; dimensionalities {values}", "all at cosine > 0.95",
                holds=bool((near > 0.95).all()),
            )  # fmt: skip


PARTS = {"easy": easy, "shift": shift, "zipf": zipf, "tree": tree, "superposition": superposition}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS])
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for part in asked.parts or PARTS:
        started = time.process_time()
        print(f"== {part}", flush=True)
        PARTS[part](asked.seeds)
        print(f"     {time.process_time() - started:.0f} s CPU", flush=True)
    return 1 if MISSED else 0


if __name__ == "__main__":
    sys.exit(main())

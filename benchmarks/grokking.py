# ruff: noqa: ANN001, ANN201, ANN202, E501
"""Training dynamics, measured: phases on synthetic curves, modular addition that groks, the overhead of measuring.

    .venv/bin/python -m benchmarks.grokking [phases] [train] [--curves 200] [--seeds 0] [--decay 1]

``train`` is bed 3.7: p 53, width 48, MLP 192, 4 heads, 40 % of pairs, full batch, AdamW 3e-3 with weight decay 1. Prints each
figure beside its bar; the exit code is 1 where a bar is missed.
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

from xai_audit.mechanistic.dynamics import addition, changes, fourier, measures  # noqa: E402
from xai_audit.mechanistic.dynamics.recorder import Recorder  # noqa: E402

P, SHARE, EVERY, MOST = 53, 0.4, 100, 6000
MISSED: list[str] = []


def told(what, figure, bar, *, holds):
    print(f"{'ok  ' if holds else 'MISS'} {what}: {figure} (bar: {bar})", flush=True)
    if not holds:
        MISSED.append(what)


# ------------------------------------------------------------------------------------------------------- phases
def curve(steps, start, end, shape):
    """From 0 to 1, a tenth done at ``start`` and nine tenths at ``end``; the last shape is none that is fitted."""
    if shape == "logistic":
        return 1 / (1 + 9.0 ** (-(2 * steps - start - end) / (end - start)))
    if shape == "line":
        return np.clip(0.1 + 0.8 * (steps - start) / (end - start), 0, 1)
    u = np.clip(0.1958 + (1 - 2 * 0.1958) * (steps - start) / (end - start), 0, 1)
    return 3 * u**2 - 2 * u**3


def noise(rng, n, scale, memory=0.5):
    found = scale * rng.normal(size=n)
    for place in range(1, n):
        found[place] += memory * found[place - 1]
    return found


def phases(curves):
    steps = np.arange(0, 10_001, 100)
    within = {"memorization": [], "circuit formation": [], "cleanup": []}
    held = {name: [] for name in within}
    errors = {name: [] for name in within}
    signatures = 0
    for trial in range(curves):
        rng = np.random.default_rng([trial, 41])
        truth = {"memorization": rng.uniform(800, 2000)}
        truth["circuit formation"] = rng.uniform(truth["memorization"] + 1500, 6000)
        truth["cleanup"] = rng.uniform(truth["circuit formation"] + 500, 9000)
        shape = ("logistic", "line", "smooth")[trial % 3]
        scale = rng.uniform(0.005, 0.03)
        train = 0.02 + 0.97 * curve(steps, 100, truth["memorization"], shape) + noise(rng, len(steps), scale)
        ends = truth["circuit formation"], truth["cleanup"]
        held_out = 0.01 + 0.95 * curve(steps, *ends, shape) + noise(rng, len(steps), scale)
        found = changes.phases(steps, train, held_out, np.random.default_rng([trial, 42]), resamples=200)
        signatures += found.signature
        for name, at in found.named().items():
            errors[name].append(abs(at.value - truth[name]) / truth[name])
            within[name].append(errors[name][-1] <= 0.1)
            held[name].append(at.low <= truth[name] <= at.high)
    for name, hits in within.items():
        share, median = float(np.mean(hits)), float(np.median(errors[name]))
        what = f"{name} ends: within 10 % of the truth (median error {100 * median:.1f} %)"
        told(what, f"{100 * share:.1f} % of {curves}", ">= 90 %", holds=share >= 0.9)
        held_share = float(np.mean(held[name]))
        told(
            f"{name}: 95 % intervals that hold the truth",
            f"{100 * held_share:.0f} %",
            ">= 85 %",
            holds=held_share >= 0.85,
        )
    told("signatures found", f"{signatures} of {curves}", ">= 95 %", holds=signatures >= 0.95 * curves)
    false = 0
    for trial in range(curves):
        rng = np.random.default_rng([trial, 43])
        end = rng.uniform(800, 2000)
        train = 0.02 + 0.97 * curve(steps, 100, end, "logistic") + noise(rng, len(steps), 0.02)
        flat = np.full(len(steps), 0.05) if trial % 2 else 0.9 * curve(steps, 100, end, "logistic")
        found = changes.phases(
            steps,
            train,
            flat + noise(rng, len(steps), 0.02),
            np.random.default_rng([trial, 44]),
            resamples=200,
        )
        false += found.signature
    told("signatures where there is none", f"{false} of {curves}", "<= 5 %", holds=false <= 0.05 * curves)


# ------------------------------------------------------------------------------------------------------- training
def trained(seed, decay):
    # The split has a stream of its own, apart from that of the weights.
    task = addition.Modular.split(P, SHARE, np.random.default_rng([seed, 1000]))
    module = addition.transformer(P, generator=torch.Generator().manual_seed(seed))
    recorder = Recorder(
        modular=task, embedding="embed.weight", every=EVERY, clock=time.process_time, at_most=None
    )
    over = []

    def after(step, now):
        recorder.after(step, now)
        known = recorder.records.get(step, {}).get("held_out_accuracy", 0)
        over.extend([step] if known > 0.99 else [])
        return len(over) > 2

    began = time.process_time()
    done = addition.train(task, module, steps=MOST, after=after, decay=decay)
    series, keys = recorder.finish(module)
    found = changes.phases(
        series.steps,
        changes.certainty(series.values["train_loss"]),
        changes.certainty(series.values["held_out_loss"]),
        np.random.default_rng([seed, 7]),
        excluded=changes.certainty(series.values["excluded"]),
    )
    took = time.process_time() - began
    return task, module, recorder, done, series, keys, found, took


def frequencies_out(module, task, keys, seed):
    """Held-out accuracy with the key frequencies taken out of the embedding, with as many random ones, and with the keys alone."""
    whole = module.embed.weight.detach().clone()
    pairs, results = torch.from_numpy(task.pairs), torch.from_numpy(task.results)
    held = torch.from_numpy(~task.train.ravel())

    def accuracy(change, chosen):
        with torch.no_grad():
            module.embed.weight[:P] = change(whole[:P], chosen)
            found = float((module(pairs).argmax(1) == results)[held].double().mean())
            module.embed.weight.copy_(whole)
        return found

    rng = np.random.default_rng([seed, 8])
    others = [k for k in range(1, P // 2 + 1) if k not in keys]
    random = [
        accuracy(fourier.ablated, rng.choice(others, min(len(keys), len(others)), replace=False).tolist())
        for _ in range(20)
    ]
    return accuracy(fourier.ablated, keys), float(np.mean(random)), accuracy(fourier.kept, keys)


def training(seeds, decay):
    for seed in seeds:
        print(f"modular addition, seed {seed}, weight decay {decay:g}")
        task, module, recorder, done, series, keys, found, took = trained(seed, decay)
        at = {name: values[-1] for name, values in series.values.items()}
        known = series.values["train_accuracy"] > 0.99
        first = int(np.argmax(known))
        told(
            "memorised",
            f"step {series.steps[first]}",
            "<= 300",
            holds=bool(known.any()) and series.steps[first] <= 300,
        )
        told(
            "held-out accuracy then",
            f"{series.values['held_out_accuracy'][first]:.2f}",
            "< 0.5",
            holds=series.values["held_out_accuracy"][first] < 0.5,
        )
        told(
            "groks",
            f"{at['held_out_accuracy']:.3f} at step {done.steps}",
            "> 0.95 before 6,000",
            holds=at["held_out_accuracy"] > 0.95,
        )
        told(
            "restricted below held-out loss",
            f"{at['restricted']:.1e} < {at['held_out_loss']:.1e}",
            "lower",
            holds=at["restricted"] < at["held_out_loss"],
        )
        told("excluded loss on training pairs", f"{at['excluded']:.1f} nats", "> 5", holds=at["excluded"] > 5)
        most = np.argmax(series.values["held_out_accuracy"] > 0.95)
        print(
            f"     above 0.95 from step {series.steps[most]} on"
            if at["held_out_accuracy"] > 0.95
            else "     not above 0.95"
        )
        print(f"     {len(keys)} key frequencies {keys}; Gini of the embedding {at['gini_embedding']:.2f}")
        told("signature", found.reason, "there", holds=found.signature)
        told(
            "CPU seconds, trained and measured every 100 steps",
            f"{took:.1f} ({1000 * took / done.steps:.1f} ms a step)",
            "< 20",
            holds=took < 20,
        )
        rest = took - recorder.spent
        # What is measured at the end is measuring too.
        final = time.process_time()
        recorder.finish(module)
        final = time.process_time() - final
        overhead = (recorder.spent + final) / (rest - final)
        told(
            "overhead of measuring, the end's included",
            f"{100 * overhead:.1f} %",
            "<= 15 %",
            holds=overhead <= 0.15,
        )
        out, random, alone = frequencies_out(module, task, keys, seed)
        told("held-out accuracy without the key frequencies", f"{out:.3f}", "<= 0.1", holds=out <= 0.1)
        told("without as many random ones", f"{random:.3f}", ">= 0.9", holds=random >= 0.9)
        told("with the key frequencies alone", f"{alone:.3f}", ">= 0.9", holds=alone >= 0.9)
        told_apart(task, recorder, series, first, keys)


def told_apart(task, recorder, series, first, keys):
    """The checkpoint that memorised and the last one: both know the training pairs, and the measures tell them apart."""
    memorised, grokked = int(series.steps[first]), int(series.steps[-1])
    module = addition.transformer(P)
    energies = {}
    for step in (memorised, grokked):
        module.load_state_dict(recorder._weights[step])  # noqa: SLF001 - the benchmark looks at one checkpoint alone
        with torch.no_grad():
            logits = module(torch.from_numpy(task.pairs))
        energies[step] = fourier.measured(logits, task, keys)
        right = measures.cross_entropy(logits, torch.from_numpy(task.results))
        assert float(right[torch.from_numpy(task.train.ravel())].mean()) < 1
    one, other = energies[memorised], energies[grokked]
    told(
        "restricted loss, memorised and grokked",
        f"{one.restricted:.2f}, {other.restricted:.1e}",
        "10 times apart",
        holds=one.restricted > 10 * other.restricted,
    )
    told(
        "Gini of logits by frequency",
        f"{one.gini_logits:.2f}, {other.gini_logits:.2f}",
        "rises",
        holds=other.gini_logits > one.gini_logits,
    )
    shuffled = replace(task, train=np.random.default_rng(3).permuted(task.train.ravel()).reshape(P, P))
    # The null: logits of a network that was never trained.
    with torch.no_grad():
        blank = addition.transformer(P, generator=torch.Generator().manual_seed(77))(
            torch.from_numpy(task.pairs)
        )
    null = fourier.measured(blank, shuffled, keys)
    told(
        "restricted loss of an untrained twin",
        f"{null.restricted:.2f}",
        f"ln p = {np.log(P):.2f} +- 0.3",
        holds=abs(null.restricted - np.log(P)) < 0.3,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["phases", "train"])
    parser.add_argument("--curves", type=int, default=200)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--decay", type=float, default=1.0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if "phases" in asked.parts:
        phases(asked.curves)
    if "train" in asked.parts:
        training(asked.seeds, asked.decay)
    sys.exit(1 if MISSED else 0)


if __name__ == "__main__":
    main()

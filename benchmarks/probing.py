"""What is claimed of probing, measured: speed beside a scikit-learn loop, family-wise error, exact sets, queries.

    .venv/bin/python -m benchmarks.probing [speed] [family] [exact] [planted] [store] [--quick]

The scikit-learn loop is timed on a sample of cells and its time for all of them follows from that; it says so. Each
part prints its figures with their bars; the exit code is 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from itertools import combinations
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402

from tests.mechanistic.probing.beds import planted as bed  # noqa: E402
from xai_audit.mechanistic.probing import scan as scans  # noqa: E402
from xai_audit.mechanistic.probing import sparse  # noqa: E402

MISSED: list[str] = []
CORES = min(os.cpu_count() or 1, 2)
"""What a bar in seconds is of; ratios are of one."""
SAMPLE = 1000
"""Cells that the scikit-learn loop is timed on."""


def told(what: str, figure: str, bar: str, *, holds: bool) -> None:
    print(f"{'ok  ' if holds else 'MISS'} {what}: {figure} (bar: {bar})", flush=True)
    if not holds:
        MISSED.append(what)


def speed(*, quick: bool) -> None:
    from sklearn.metrics import roc_auc_score
    from threadpoolctl import threadpool_limits

    rows, units, predicates, permutations = (2000, 512, 20, 50) if quick else (10_000, 4096, 100, 200)
    made = bed(2026, rows=rows, units=units, predicates=predicates, shift=0.5)
    sample = np.random.default_rng([2026, 3]).choice(units * predicates, SAMPLE, replace=False)
    started = time.process_time()
    looped = [
        roc_auc_score(made.labels[:, cell % predicates], made.activations[:, cell // predicates])
        for cell in sample
    ]
    loop = (time.process_time() - started) / SAMPLE * units * predicates
    started = time.process_time()
    ranks = scans.centred_ranks(made.activations)
    areas = scans.aurocs(ranks, made.labels)
    own = time.process_time() - started
    started = time.process_time()
    found = scans.scan(made.activations, made.labels, permutations, np.random.default_rng(1))
    whole = time.process_time() - started
    with threadpool_limits(CORES):
        wall = time.perf_counter()
        scans.scan(made.activations, made.labels, permutations, np.random.default_rng(1))
        wall = time.perf_counter() - wall
    error = float(np.abs(areas[sample % predicates, sample // predicates] - looped).max())
    size = f"{rows:,} rows x {units:,} units x {predicates} predicates"
    told(
        f"{size}, {permutations} permutations of all",
        f"{wall:.1f} s by the clock on {CORES} cores, {whole:.1f} s of one processor",
        "< 15 s",
        holds=wall < 15,
    )
    told(
        "areas alone, beside a scikit-learn loop",
        f"{own:.2f} s; the loop {loop:,.0f} s by a sample of {SAMPLE:,} of {units * predicates:,} cells: "
        f"{loop / own:,.0f} times",
        ">= 300 times",
        holds=quick or loop / own >= 300,
    )
    told(
        "with the permutations, beside the same loop without any",
        f"{loop / whole:,.0f} times",
        "none",
        holds=True,
    )
    told("largest difference to scikit-learn", f"{error:.1e}", "<= 1e-7", holds=error <= 1e-7)
    hits = sum(int(found.best(p)[0]) == made.units[p, 0] for p in range(predicates))
    told("planted units ranked first", f"{hits} of {predicates}", "all", holds=hits == predicates)


def family(*, quick: bool) -> None:
    reps = 100 if quick else 1000
    made = bed(4, rows=200, units=150, predicates=4)
    ranks = scans.centred_ranks(made.activations)
    shuffles = np.random.default_rng([4, 4])
    wrong = sum(
        float(
            scans.scanned(
                ranks, made.labels[shuffles.permutation(200)], 99, np.random.default_rng([4, 5, rep])
            )
            .p()
            .min()
        )
        <= 0.05
        for rep in range(reps)
    )
    bar = 0.05 + 2 * (0.05 * 0.95 / reps) ** 0.5
    told(
        "family-wise error at 0.05, labels shuffled, 150 units x 4 predicates",
        f"{wrong / reps:.4f}, n = {reps}",
        f"<= {bar:.4f}",
        holds=wrong / reps <= bar,
    )


def exact(*, quick: bool) -> None:
    reps = 5 if quick else 30
    same = {1: 0, 2: 0, 3: 0}
    for rep in range(reps):
        made = bed(500 + rep, rows=400, units=30, predicates=1, each=3, shift=0.4)
        values, label = made.activations.astype(np.float64), made.labels[:, 0]
        centred, target = values - values.mean(axis=0), label - label.mean()
        for k in same:
            tried = {
                one: float(np.linalg.lstsq(centred[:, one], target, rcond=None)[1][0])
                for one in combinations(range(30), k)
            }
            found, _ = sparse.best_subset(made.activations, label, k)
            same[k] += sorted(found.tolist()) == list(min(tried, key=lambda one: tried[one]))
    for k, count in same.items():
        told(f"best {k} of 30 units, as exhaustive search", f"{count} of {reps}", "all", holds=count == reps)
    made = bed(9, rows=2000, units=256 if quick else 4096, predicates=1, each=2, shift=0.8)
    started = time.process_time()
    found, _ = sparse.best_subset(made.activations, made.labels[:, 0], 2)
    seconds = time.process_time() - started
    hit = set(found.tolist()) == set(made.units[0].tolist())
    told(
        f"best pair of {made.activations.shape[1]:,} units",
        f"{seconds:.1f} s, the planted pair: {hit}",
        "found",
        holds=hit,
    )


def planted(*, quick: bool) -> None:
    for rows, units, share in ((500, 400, 0.3), (2000, 1600, 0.5), (10_000 if quick else 30_000, 400, 0.02)):
        made = bed(77, rows=rows, units=units, predicates=16, shift=1.5, share=share)
        found = scans.scan(made.activations, made.labels, 99, np.random.default_rng(2))
        hits = sum(int(found.best(p)[0]) == made.units[p, 0] for p in range(16))
        told(
            f"bed 3.6, {rows:,} rows x {units:,} units, share {share}",
            f"{hits} of 16 planted units first",
            "all",
            holds=hits == 16,
        )


def store(*, quick: bool) -> None:
    from tests.mechanistic.probing.stores import large

    units = 10_000 if quick else 100_000
    with tempfile.TemporaryDirectory() as folder:
        made, contrast = large(Path(folder) / "store", units, rows=256, predicates=20)
        for what, ask in (
            ("by predicate", lambda: made.by_predicate("p3", 10)),
            ("by neighbour", lambda: made.near("mlp", 77, 10)),
            ("by example", lambda: made.like(contrast[:1], 10)),
            (
                "by contrast of 2 x 50 examples, 99 permutations",
                lambda: made.contrast(contrast[:50], contrast[50:], 10),
            ),
        ):
            ask()
            took = []
            for _ in range(9):
                started = time.process_time()
                ask()
                took.append(time.process_time() - started)
            told(
                f"a query {what} of {units:,} units, half of them latents",
                f"{1000 * float(np.median(took)):.0f} ms, at most {1000 * max(took):.0f}",
                "< 50 ms",
                holds=float(np.median(took)) < 0.05,
            )


PARTS = {"speed": speed, "family": family, "exact": exact, "planted": planted, "store": store}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS])
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    for name in asked.parts or PARTS:
        PARTS[name](quick=asked.quick)
    return 1 if MISSED else 0


if __name__ == "__main__":
    sys.exit(main())

"""The search for declared triggers, on planted networks and clean twins: found, flagged, undone, at what cost.

    .venv/bin/python -m benchmarks.backdoors [--networks 100] [--width 128] [--rows 400]

A third of the planted networks learned the trigger from poisoned rows, a third are such networks with their units
rotated, a third have one hand-set unit that fires on it. Prints each figure beside its bar; the exit code is 1 where
one is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import defaultdict

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402
import torch  # noqa: E402

from xai_audit.mechanistic.probing import planted, triggers  # noqa: E402
from xai_audit.mechanistic.probing.triggers import Tried  # noqa: E402

MISSED: list[str] = []
TOGETHER = 20
"""Networks trained side by side."""
SECONDS = 360


def told(what: str, figure: str, bar: str, *, holds: bool) -> None:
    print(f"{'ok  ' if holds else 'MISS'} {what}: {figure} (bar: {bar})", flush=True)
    if not holds:
        MISSED.append(what)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=100)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--rows", type=int, default=400)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    started, wall = time.process_time(), time.perf_counter()
    found: dict[tuple[str, bool], list[Tried]] = defaultdict(list)
    for start in range(0, asked.networks, TOGETHER):
        count = min(TOGETHER, asked.networks - start)
        made = planted.beds(count, asked.width, np.random.default_rng([2026, start]))
        for place, bed in enumerate(made):
            one = bed.tried(asked.rows, np.random.default_rng([71, start, place]))
            found[bed.kind, bed.planted].append(one)
        print(f"     {start + count} planted and {start + count} clean", flush=True)
    cpu, wall = time.process_time() - started, time.perf_counter() - wall
    for (kind, planted_), each in sorted(found.items()):
        before, after = ([getattr(one, name) for one in each] for name in ("before", "after"))
        print(
            f"     {kind}, {'planted' if planted_ else 'clean'}: {sum(one.found for one in each)} of {len(each)} found; "
            f"attack success {_mean(one.success for one in before):.3f} -> {_mean(one.success for one in after):.3f}; "
            f"clean accuracy {_mean(one.clean for one in before):.3f} -> {_mean(one.clean for one in after):.3f}; "
            f"by direction {sum(one.edit == 'direction' for one in each)}; as many units by AUROC leave "
            f"{_mean(one.telling.success for one in each):.3f}; the direction in every row costs "
            f"{_mean(one.cost(one.everywhere) for one in each):.3f}"
        )
    bad = [one for (_, planted_), each in found.items() if planted_ for one in each]
    clean = [one for (_, planted_), each in found.items() if not planted_ for one in each]
    hits, alarms = sum(one.found for one in bad), sum(one.found for one in clean)
    least, most = round(0.95 * len(bad)), round(0.05 * len(clean))
    told("planted triggers found", f"{hits} of {len(bad)}", f">= {least}", holds=hits >= least)
    told("clean twins flagged", f"{alarms} of {len(clean)}", f"<= {most}", holds=alarms <= most)
    undone = sum(one.after.success <= triggers.UNDONE for one in bad)
    harmless = sum(one.cost(one.after) <= triggers.HARMLESS for one in bad)
    worst, dearest = max(one.after.success for one in bad), max(one.cost(one.after) for one in bad)
    told(
        "attack success after the edit",
        f"mean {_mean(one.after.success for one in bad):.4f}, at most 0.05 in {undone} of {len(bad)}, largest {worst:.3f}",
        f"mean <= 0.05, and in {least} networks",
        holds=_mean(one.after.success for one in bad) <= triggers.UNDONE and undone >= least,
    )
    told(
        "clean accuracy that the edit costs",
        f"mean {_mean(one.cost(one.after) for one in bad):.4f}, at most 0.01 in {harmless} of {len(bad)}, "
        f"largest {dearest:.3f}",
        f"mean <= 0.01, and in {least} networks",
        holds=_mean(one.cost(one.after) for one in bad) <= triggers.HARMLESS and harmless >= least,
    )
    random = [one.undone(other) for one in bad for other in one.random[one.edit]]
    told(
        "what 20 random edits of the same kind undo, each",
        f"mean {np.mean(random):.4f}, 95 % of them at most {np.quantile(np.abs(random), 0.95):.3f}",
        "95 % <= 0.05",
        holds=float(np.quantile(np.abs(random), 0.95)) <= 0.05,
    )
    told(
        "time",
        f"{cpu:.0f} s of one processor, {wall:.0f} s by the clock",
        f"< {SECONDS} s of one processor",
        holds=cpu < SECONDS,
    )
    return 1 if MISSED else 0


def _mean(values: object) -> float:
    return float(np.mean(list(values)))  # type: ignore[call-overload]


if __name__ == "__main__":
    sys.exit(main())

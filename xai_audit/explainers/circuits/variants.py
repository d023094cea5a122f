"""The declared multiverse: the search again under every ablation, metric, threshold and resample of the prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xai_audit.explainers.circuits.found import halves, ordered, scores
from xai_audit.mechanistic.circuits import faithfulness
from xai_audit.mechanistic.circuits.multiverse import Specification, Universe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from xai_audit.explainers.circuits.found import Found
    from xai_audit.explainers.circuits.params import CircuitParams, Metric
    from xai_audit.explainers.circuits.prompts import Prompts
    from xai_audit.mechanistic.circuits.graphs import Graph
    from xai_audit.mechanistic.circuits.task import Ablation, Task

BEATEN = 19
"""Random circuits that a claim must keep more than, each time: 5 %."""


@dataclass(frozen=True, eq=False)
class Variants:
    """Every specification with its circuit, and in which of them the claim of each primary circuit holds."""

    specifications: tuple[Specification, ...]
    circuits: NDArray[np.bool_]
    """(specifications, elements)."""
    held: NDArray[np.bool_]
    """(primary circuits, specifications): whether it keeps the least threshold there and more than each random circuit."""

    def universes(self, primary: int) -> list[Universe]:
        """As `multiverse.stability` takes them, for one of the primary circuits."""
        return [
            Universe(one, circuit, bool(held))
            for one, circuit, held in zip(self.specifications, self.circuits, self.held[primary], strict=True)
        ]


def variants(
    graph: Graph,
    prompts: Prompts,
    params: CircuitParams,
    found: Sequence[Found],
    metrics: Sequence[Metric | None],
    rng: np.random.Generator,
) -> Variants | None:
    """Each ablation with each metric: one search, its prompts resampled; None where none was declared."""
    asked = params.multiverse
    if asked is None:
        return None
    random = [faithfulness.random_circuits(len(one.order), one.size, BEATEN, rng, one.moved) for one in found]
    specifications: list[Specification] = []
    circuits: list[NDArray[np.bool_]] = []
    held: list[list[bool]] = []
    for ablation in (one.ablation for one in found):
        for metric in metrics:
            both = halves(graph, prompts, ablation, metric)
            effects = scores(both.finds, params.method, params.steps)
            judged = _judged(
                both.judges, [np.vstack([one.circuit, more]) for one, more in zip(found, random, strict=True)]
            )
            for seed in range(asked.resamples):
                rows = rng.integers(0, both.finds.rows, both.finds.rows)
                order = ordered(both.finds, effects[rows], params.method)
                grown = _grown(both.finds, order, rows)
                others = rng.integers(0, both.judges.rows, both.judges.rows)
                claims = _claims(judged, others, min(asked.thresholds))
                for threshold in asked.thresholds:
                    specifications.append(_named(seed, ablation, metric, threshold))
                    circuits.append(_cut(order, grown, threshold))
                    held.append(claims)
    return Variants(tuple(specifications), np.asarray(circuits), np.asarray(held).T)


def _named(seed: int, ablation: Ablation, metric: Metric | None, threshold: float) -> Specification:
    return Specification(
        seed=seed, template="all prompts", ablation=ablation, metric=metric or "output", threshold=threshold
    )


@dataclass(frozen=True, eq=False)
class _Runs:
    """Metrics (circuits, rows) of each primary circuit and random ones, and at both ends."""

    circuits: list[NDArray[np.float64]]
    full: NDArray[np.float64]
    empty: NDArray[np.float64]


def _judged(task: Task, circuits: Sequence[NDArray[np.bool_]]) -> _Runs:
    return _Runs([task.measured(~one) for one in circuits], task.full(), task.empty())


def _claims(judged: _Runs, rows: NDArray[np.int64], least: float) -> list[bool]:
    gap = float((judged.full - judged.empty)[rows].mean())
    out = []
    for runs in judged.circuits:
        kept = (
            (runs[:, rows].mean(axis=1) - judged.empty[rows].mean()) / gap
            if abs(gap) > 1e-9
            else np.zeros(len(runs))
        )
        out.append(bool(kept[0] >= least and kept[0] > kept[1:].max()))
    return out


def _grown(
    task: Task, order: NDArray[np.float64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Sizes, and the faithfulness of the best elements on resampled prompts."""
    sizes = np.asarray(faithfulness.grid(task.size), dtype=np.int64)
    runs = task.measured(~faithfulness.best(order, sizes))[:, rows].mean(axis=1)
    full, empty = float(task.full()[rows].mean()), float(task.empty()[rows].mean())
    gap = full - empty
    return sizes, (runs - empty) / gap if abs(gap) > 1e-9 else np.zeros(len(sizes))


def _cut(
    order: NDArray[np.float64], grown: tuple[NDArray[np.int64], NDArray[np.float64]], threshold: float
) -> NDArray[np.bool_]:
    sizes, kept = grown
    reached = np.flatnonzero(kept >= threshold)
    size = int(sizes[reached[0]]) if len(reached) else len(order)
    return np.asarray(faithfulness.best(order, np.asarray([size]))[0])

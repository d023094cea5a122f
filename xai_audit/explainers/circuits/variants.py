"""The declared multiverse: the search again under every ablation, metric, threshold and resample, and on every template."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from xai_audit.explainers.circuits.found import half, halves, ordered, scores
from xai_audit.explainers.circuits.templates import Templates, quoted, templates
from xai_audit.mechanistic.circuits import faithfulness
from xai_audit.mechanistic.circuits.multiverse import ALL, Specification, Universe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from xai_audit.explainers.circuits.found import Found
    from xai_audit.explainers.circuits.params import CircuitParams, Metric
    from xai_audit.explainers.circuits.prompts import Prompts
    from xai_audit.mechanistic.circuits.graphs import Graph
    from xai_audit.mechanistic.circuits.task import Ablation, Task
    from xai_audit.method import Context

BEATEN = 19
"""Random circuits that a claim must keep more than, each time: 5 %."""


@dataclass(frozen=True, eq=False)
class Variants:
    """Every specification with its circuit, and in which of them the claim of each primary circuit holds."""

    specifications: tuple[Specification, ...]
    circuits: NDArray[np.bool_]
    """(specifications, elements)."""
    held: NDArray[np.bool_]
    """(primary circuits, specifications): whether it keeps the least threshold there and more than each random circuit; of
    a template whether the circuit found on it does, on prompts of any other wording."""
    templates: Templates | None = None

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
    context: Context,
) -> Variants | None:
    """Each ablation with each metric: one search, its prompts resampled; then the same on each template.

    None where no multiverse was declared.
    """
    if params.multiverse is None:
        return None
    named = templates(prompts, params, context.min_cell)
    rng = context.rng("variants")
    random = [faithfulness.random_circuits(len(one.order), one.size, BEATEN, rng, one.moved) for one in found]
    first = [np.vstack([one.circuit, more]) for one, more in zip(found, random, strict=True)]
    made: list[_Made] = []
    for one in found:
        for metric in metrics:
            made += _of_all(graph, prompts, params, (one.ablation, metric), first, rng)
            for place, name in enumerate(() if named is None else named.used):
                assert named is not None
                draws = context.rng("variants", name, one.ablation, str(metric))
                finds = half(graph, prompts.only(named.codes == place), one.ablation, metric, finds=True)
                judges = half(graph, prompts.only(named.codes != place), one.ablation, metric, finds=False)
                transfer = _Transfer(_Once(judges), one.moved, draws, min(params.multiverse.thresholds))
                for seed, threshold, circuit in _searched(finds, params, draws):
                    told = _named(seed, quoted(name), one.ablation, metric, threshold)
                    made.append((told, circuit, [transfer.holds(circuit, seed)] * len(found)))
    specifications, circuits, held = zip(*made, strict=True)
    return Variants(specifications, np.asarray(circuits), np.asarray(held).T, named)


_Made = tuple[Specification, "NDArray[np.bool_]", list[bool]]


def _of_all(
    graph: Graph,
    prompts: Prompts,
    params: CircuitParams,
    how: tuple[Ablation, Metric | None],
    first: Sequence[NDArray[np.bool_]],
    rng: np.random.Generator,
) -> Iterator[_Made]:
    """Of all prompts, whatever their template: the claims are those of the primary circuits."""
    assert params.multiverse is not None
    both = halves(graph, prompts, *how)
    judged = _Runs([both.judges.measured(~one) for one in first], both.judges.full(), both.judges.empty())
    last, claims = -1, [False]
    for seed, threshold, circuit in _searched(both.finds, params, rng):
        if seed != last:
            rows = rng.integers(0, both.judges.rows, both.judges.rows)
            last, claims = seed, _claims(judged, rows, min(params.multiverse.thresholds))
        yield _named(seed, ALL, *how, threshold), circuit, claims


def _searched(
    finds: Task, params: CircuitParams, rng: np.random.Generator
) -> Iterator[tuple[int, float, NDArray[np.bool_]]]:
    """For each resample of the prompts, and each threshold, the circuit."""
    assert params.multiverse is not None
    effects, runs = scores(finds, params.method, params.steps), _Once(finds)
    for seed in range(params.multiverse.resamples):
        rows = rng.integers(0, finds.rows, finds.rows)
        order = ordered(finds, effects[rows], params.method)
        grown = _grown(runs, order, rows)
        for threshold in params.multiverse.thresholds:
            yield seed, threshold, _cut(order, grown, threshold)


def _named(
    seed: int, template: str, ablation: Ablation, metric: Metric | None, threshold: float
) -> Specification:
    return Specification(
        seed=seed, template=template, ablation=ablation, metric=metric or "output", threshold=threshold
    )


@dataclass(frozen=True, eq=False)
class _Runs:
    """Metrics (circuits, rows) of each primary circuit and random ones, and at both ends."""

    circuits: list[NDArray[np.float64]]
    full: NDArray[np.float64]
    empty: NDArray[np.float64]


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


@dataclass(eq=False)
class _Once:
    """A task whose circuits are run once: those of resamples of the same prompts are mostly alike."""

    task: Task
    _kept: dict[bytes, NDArray[np.float64]] = field(default_factory=dict)

    def of(self, circuits: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(circuits, rows): the metric of each circuit alone."""
        names = [one.tobytes() for one in circuits]
        new = {name: place for place, name in enumerate(names) if name not in self._kept}
        if new:
            self._kept.update(zip(new, self.task.measured(~circuits[list(new.values())]), strict=True))
        return np.asarray([self._kept[name] for name in names])


@dataclass(eq=False)
class _Transfer:
    """Whether circuits that were found on one template carry the behaviour on prompts of any other wording."""

    judges: _Once
    moved: NDArray[np.bool_]
    """(elements,): those among which random circuits are drawn."""
    rng: np.random.Generator
    least: float
    _random: dict[int, NDArray[np.bool_]] = field(default_factory=dict)
    _rows: dict[int, NDArray[np.int64]] = field(default_factory=dict)

    def holds(self, circuit: NDArray[np.bool_], seed: int) -> bool:
        """As it is asked of the primary circuits, on the resample of a seed; random circuits are one draw a size."""
        task, size = self.judges.task, int(circuit.sum())
        if seed not in self._rows:
            self._rows[seed] = self.rng.integers(0, task.rows, task.rows)
        if size not in self._random:
            drawn = faithfulness.random_circuits(len(circuit), size, BEATEN, self.rng, self.moved)
            self._random[size] = drawn
        runs = self.judges.of(np.vstack([circuit, self._random[size]]))
        return _claims(_Runs([runs], task.full(), task.empty()), self._rows[seed], self.least)[0]


def _grown(
    finds: _Once, order: NDArray[np.float64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Sizes, and the faithfulness of the best elements on resampled prompts."""
    task = finds.task
    sizes = np.asarray(faithfulness.grid(task.size), dtype=np.int64)
    runs = finds.of(faithfulness.best(order, sizes))[:, rows].mean(axis=1)
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

"""What a circuit keeps of a behaviour, and how that grows with its size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xai_audit.errors import MethodError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from xai_audit.mechanistic.circuits.task import Task


@dataclass(frozen=True, eq=False)
class Kept:
    """The metric of each input with only some elements left: (circuits, rows), and at both ends: (rows,)."""

    circuit: NDArray[np.float64]
    full: NDArray[np.float64]
    empty: NDArray[np.float64]

    def faithfulness(self) -> NDArray[np.float64]:
        """(circuits,): ``(m(C) - m(0)) / (m(M) - m(0))`` of the means over inputs; 1 is the whole network.

        m(0) is the metric with everything ablated. MethodError where the whole network does no more than that.
        """
        return np.asarray((self.circuit.mean(axis=1) - self.empty.mean()) / self._gap())

    def influence(self) -> NDArray[np.float64]:
        """(circuits, rows): each input's share in the faithfulness, to first order; their mean is the faithfulness."""
        gap = self._gap()
        value = self.faithfulness()[:, None]
        return np.asarray(value + (self.circuit - self.empty - value * (self.full - self.empty)) / gap)

    def _gap(self) -> float:
        gap = float(self.full.mean() - self.empty.mean())
        if abs(gap) < 1e-9:
            raise MethodError(
                "ablating everything does not change the behaviour: there is nothing to be faithful to"
            )
        return gap


def kept(task: Task, circuits: NDArray[np.bool_]) -> Kept:
    """The behaviour of circuits (circuits, elements): every element outside is ablated."""
    wide = np.atleast_2d(circuits)
    return Kept(task.measured(~wide), task.full(), task.empty())


def completeness(task: Task, circuit: NDArray[np.bool_]) -> float:
    """The faithfulness of all that is not in the circuit: near 0 where the circuit holds all that matters."""
    return float(kept(task, ~circuit).faithfulness()[0])


@dataclass(frozen=True, eq=False)
class Growth:
    """Faithfulness as elements are added by their score, largest first."""

    sizes: NDArray[np.int64]
    faithfulness: NDArray[np.float64]
    elements: int
    """Of the whole graph."""

    @property
    def cpr(self) -> float:
        """Area under faithfulness over the share of elements (MIB, Mueller et al. 2025, arXiv:2504.13151)."""
        return float(np.trapezoid(self.faithfulness, self.sizes / self.elements))

    @property
    def cmd(self) -> float:
        """Area under ``|1 - faithfulness|`` over the share of elements; 0 is best (MIB)."""
        return float(np.trapezoid(np.abs(1 - self.faithfulness), self.sizes / self.elements))

    def size(self, share: float) -> int | None:
        """The fewest elements of those tried with at least this faithfulness; None where none has it."""
        reached = np.flatnonzero(self.faithfulness >= share)
        return int(self.sizes[reached[0]]) if len(reached) else None


def growth(task: Task, scores: NDArray[np.float64], sizes: Sequence[int] | None = None) -> Growth:
    """Faithfulness of the circuits of the best elements, of sizes from none to all."""
    tried = np.asarray(grid(task.size) if sizes is None else sizes, dtype=np.int64)
    return Growth(tried, kept(task, best(scores, tried)).faithfulness(), task.size)


def best(scores: NDArray[np.float64], sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(sizes, elements): the circuits of the elements with the largest scores; of equal ones, the first."""
    place = np.empty(len(scores), dtype=np.int64)
    place[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    return np.asarray(place[None] < np.asarray(sizes)[:, None])


def grid(elements: int, points: int = 24) -> list[int]:
    """Sizes from 0 to all, dense where circuits are small."""
    spread = np.geomspace(1, max(elements, 1), points).round().astype(np.int64)
    return sorted({0, *spread.tolist(), elements})


def random_circuits(
    elements: int, size: int, count: int, rng: np.random.Generator, among: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """(count, elements): circuits of ``size`` elements drawn at random, those of ``among`` before any other."""
    first = np.arange(elements) if among is None else np.flatnonzero(among)
    rest = np.setdiff1d(np.arange(elements), first)
    out = np.zeros((count, elements), dtype=bool)
    for one in out:
        one[rng.choice(first, size=min(size, len(first)), replace=False)] = True
        one[rng.choice(rest, size=max(size - len(first), 0), replace=False)] = True
    return out


def random_p(value: float, random: NDArray[np.float64]) -> float:
    """How often a random circuit of equal size keeps as much, counting the circuit itself."""
    return float((1 + (random >= value).sum()) / (len(random) + 1))

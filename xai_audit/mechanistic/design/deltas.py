"""What a way of training changed: accuracy, calibration, units that stand for concepts, circuits, sparsity, pair by pair.

A pair is the same seed, data and architecture trained without and with a regulariser. Every measure is taken of each
network of a pair, and the difference over pairs is given with Student's t interval; with one pair there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from numpy.typing import NDArray

BINS = 15
"""Bins of equal width for the expected calibration error (Guo et al. 2017)."""
AGREEMENT = 0.95
"""The share of decisions that a circuit must give as the whole network does."""
SCANNED = 128
"""Sizes of a circuit that are tried in one pass at most; between two of them it is looked at again."""


def calibration_error(scores: NDArray[np.float64], labels: NDArray[np.int64], bins: int = BINS) -> float:
    """The expected calibration error of the decided class: mean gap of confidence and accuracy by bin (Guo et al. 2017)."""
    confidence, right = scores.max(axis=1), scores.argmax(axis=1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(place, right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def aurocs(units: NDArray[Any], concept: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The area under the ROC curve of every unit (rows, units) for one concept (rows,), ties counted half.

    ValueError where the concept holds for all rows or none.
    """
    return _areas(_ranks(units), concept)


def _ranks(units: NDArray[Any]) -> NDArray[np.float64]:
    from scipy.stats import rankdata

    return np.asarray(rankdata(units, axis=0), dtype=np.float64)


def _areas(ranks: NDArray[np.float64], concept: NDArray[np.bool_]) -> NDArray[np.float64]:
    positive = int(concept.sum())
    negative = len(concept) - positive
    if not positive or not negative:
        raise ValueError("a concept that holds for all rows or for none separates nothing")
    found = (ranks[concept].sum(axis=0) - positive * (positive + 1) / 2) / (positive * negative)
    return np.asarray(found, dtype=np.float64)


@dataclass(frozen=True)
class Best:
    """The unit that tells a concept best."""

    unit: int
    auroc: float
    """On rows that it was not chosen on, in the direction it was chosen in."""


def best_units(
    units: NDArray[Any], concepts: Sequence[NDArray[np.bool_]], chosen_on: NDArray[np.bool_]
) -> list[Best]:
    """For each concept the unit with the highest AUROC, either way, on ``chosen_on`` (rows,), judged on the other rows.

    ``units`` are (rows, units), each concept (rows,). ValueError where one holds for all rows of a side or for none.
    """
    first, other = _ranks(units[chosen_on]), units[~chosen_on]
    best = []
    for concept in concepts:
        found = _areas(first, concept[chosen_on])
        unit = int(np.argmax(np.abs(found - 0.5)))
        judged = float(aurocs(other[:, [unit]], concept[~chosen_on])[0])
        best.append(Best(unit, judged if found[unit] >= 0.5 else 1 - judged))
    return best


def active_units(units: NDArray[Any]) -> float:
    """L0: how many units are not zero for a row, on average."""
    return float((np.asarray(units) != 0).reshape(len(units), -1).sum(axis=1).mean())


def nonzero_weights(module: torch.nn.Module) -> tuple[int, int]:
    """How many entries of matrices are not zero, and how many there are."""
    from xai_audit.mechanistic.dynamics.measures import matrices

    parts = [one for _, one in matrices(module)]
    return sum(int((one != 0).sum()) for one in parts), sum(one.numel() for one in parts)


@dataclass(frozen=True, eq=False)
class Circuit:
    """The fewest units of a site, in the order of their effects, that decide as the whole network does."""

    units: tuple[int, ...]
    agreement: float
    """Of the network with these units alone, the others held at their mean."""
    width: int

    @property
    def size(self) -> int:
        """How many units."""
        return len(self.units)


def circuit(
    decide: Callable[[Sequence[int]], NDArray[np.int64]],
    whole: NDArray[np.int64],
    effects: NDArray[np.float64],
    agreement: float = AGREEMENT,
) -> Circuit:
    """The smallest number of units, largest effects first, at which decisions agree, and the units.

    ``decide(units)`` gives decisions (rows,) with all other units held at their mean; ``effects`` (units,) is how much
    each unit matters. All sizes are tried up to SCANNED units; beyond, sizes in equal ratios and then those before the
    first that agrees.
    """
    order = np.argsort(-effects, kind="stable").tolist()
    width = len(order)
    tried: dict[int, float] = {}

    def share(size: int) -> float:
        if size not in tried:
            tried[size] = float((decide(order[:size]) == whole).mean())
        return tried[size]

    sizes = range(width + 1)
    if width > SCANNED:
        sizes = sorted({0, width, *np.geomspace(1, width, SCANNED // 2).round().astype(int).tolist()})  # type: ignore[assignment]
    previous = -1
    for size in sizes:
        if share(size) >= agreement:
            for less in range(previous + 1, size):
                if share(less) >= agreement:
                    return Circuit(tuple(order[:less]), tried[less], width)
            return Circuit(tuple(order[:size]), tried[size], width)
        previous = size
    return Circuit(tuple(order), tried[width], width)


@dataclass(frozen=True)
class Paired:
    """A measure before and after, over pairs of networks."""

    before: float
    after: float
    difference: float
    low: float | None
    high: float | None
    p: float
    """Two-sided, of Student's t over pairs; 1 with fewer than two of them, or where nothing changed."""
    pairs: int


def paired(before: Sequence[float], after: Sequence[float], confidence: float = 0.95) -> Paired:
    """The mean difference of a measure, after minus before, with Student's t over pairs; ValueError where there are none."""
    from scipy.stats import ttest_1samp

    from xai_audit.intervals_rows import mean

    changes = [a - b for b, a in zip(before, after, strict=True)]
    value, ((low, high),) = mean(changes, [confidence])
    if len(changes) < 2:
        p = 1.0
    elif len(set(changes)) == 1:
        p = 1.0 if changes[0] == 0 else 0.0
    else:
        p = float(ttest_1samp(changes, 0).pvalue)
    return Paired(float(np.mean(before)), float(np.mean(after)), value, low, high, p, len(changes))

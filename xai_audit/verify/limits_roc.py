"""Limits of areas under and between ROC curves, from midranks and from curves read at points inside their pieces."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.verify.limits import Both, root, z
from xai_audit.verify.limits_rows import Floats, t

Sides = tuple[Floats, Floats]
"""Scores of the positives and of the negatives."""

DRAWS = 1999
CELLS = 256
"""A curve is drawn anew in at most so many pieces."""


def auc(sides: Sides) -> tuple[float, Callable[[float], Both]]:
    """The share of pairs of a positive and a negative that scores put in order, ties half.

    Limits are Newcombe's, and beyond them DeLong's on the logit with the t of the smaller class.
    """
    m, n = len(sides[0]), len(sides[1])
    ranks = _stats().rankdata(np.concatenate(sides), method="average")
    # Half pairs in order, from the rank sum of the positives (Mann and Whitney): a whole number.
    won, pairs = round(2 * math.fsum(ranks[:m])) - m * (m + 1), 2 * m * n
    value, missed = won / pairs, (pairs - won) / pairs
    spread = _delong(sides, ranks)

    def at(level: float) -> Both:
        low, high = _newcombe(value, m, n, level), 1 - _newcombe(missed, m, n, level)
        if spread > 0 and 0 < won < pairs:
            centre = math.log(won / (pairs - won))
            reach = t(level, min(m, n) - 1.0) * math.sqrt(spread) / (value * missed)
            low, high = min(low, _logistic(centre - reach)), max(high, _logistic(centre + reach))
        return low, high

    return value, at


def _logistic(x: float) -> float:
    return math.exp(x) / (1 + math.exp(x)) if -700 < x < 0 else 0.0 if x < 0 else 1 / (1 + math.exp(-x))


def _delong(sides: Sides, ranks: Floats) -> float:
    """The variance of an AUC by the placements of each class among the other, from midranks (Sun and Xu 2014)."""
    m, n = len(sides[0]), len(sides[1])
    if min(m, n) < 2:
        return 0.0
    total = 0.0
    for mine, of, others in ((ranks[:m], sides[0], n), (ranks[m:], sides[1], m)):
        placed = mine - _stats().rankdata(of, method="average")
        if np.ptp(placed) > 0:  # halves of whole numbers, so that equal ones are equal to the bit
            total += float(np.var(placed / others, ddof=1)) / len(of)
    return total


def _newcombe(seen: float, m: int, n: int, level: float) -> float:
    """Newcombe's lower limit (method 5): Hanley and McNeil's variance at the limit, both classes of their mean size."""
    if seen <= 0:
        return 0.0
    half = (m + n) / 2 - 1
    square = z(level) ** 2 / (m * n)

    def surplus(at: float) -> float:
        noise = square * at * (1 + half * ((1 - at) / (2 - at) + at / (1 + at)))
        # At perfect separation 1 would be a root of its own.
        return (1 - at) - noise if seen >= 1 else (seen - at) ** 2 - noise * (1 - at)

    return root(surplus, 0.0, seen)


def _counts(sides: Sides) -> tuple[Floats, Floats]:
    """Positives and negatives at each distinct score, the highest first."""
    steps = np.unique(np.concatenate(sides))[::-1]
    place = {score: index for index, score in enumerate(steps.tolist())}
    found = [np.zeros(len(steps)), np.zeros(len(steps))]
    for counts, side in zip(found, sides, strict=True):
        for score in side.tolist():
            counts[place[score]] += 1
    return found[0], found[1]


def _curve(positives: NDArray[Any], negatives: NDArray[Any]) -> tuple[Floats, Floats]:
    x, y = np.append(0.0, np.cumsum(negatives)), np.append(0.0, np.cumsum(positives))
    return x / x[-1], y / y[-1]


def between(one: tuple[Floats, Floats], other: tuple[Floats, Floats]) -> float:
    """The area between two curves: each is read a quarter and three quarters into every common piece."""
    grid = np.union1d(one[0], other[0])
    left, width = grid[:-1], np.diff(grid)
    first, last = left + width / 4, left + 3 * width / 4
    a = np.interp(first, *one) - np.interp(first, *other)
    b = np.interp(last, *one) - np.interp(last, *other)
    start, end = a - (b - a) / 2, b + (b - a) / 2
    same = start * end >= 0
    apart = np.where(same, 1.0, np.abs(start) + np.abs(end))
    areas = np.where(same, np.abs(start + end) / 2, (start**2 + end**2) / (2 * apart))
    return math.fsum(areas * width)


def abroca(one: Sides, other: Sides) -> float:
    """The area between the ROC curves of two groups."""
    return between(_curve(*_counts(one)), _curve(*_counts(other)))


def drawn(sides: Sides, seed: int) -> Floats:
    """Areas between a group's curve and curves of rows drawn anew, by the seed that its evidence names."""
    positives, negatives = _counts(sides)
    rows = positives + negatives
    cell = np.minimum((np.cumsum(rows) - rows / 2) * CELLS // rows.sum(), CELLS - 1).astype(np.int64)
    pos = np.bincount(cell, weights=positives, minlength=CELLS)
    neg = np.bincount(cell, weights=negatives, minlength=CELLS)
    pos, neg = pos[pos + neg > 0], neg[pos + neg > 0]
    rng = np.random.default_rng(seed)
    # Draws are what they are: the same calls in the same order give the same numbers.
    ones = rng.multinomial(int(pos.sum()), pos / pos.sum(), DRAWS)
    zeros = rng.multinomial(int(neg.sum()), neg / neg.sum(), DRAWS)
    seen = _curve(pos, neg)
    return np.array([between(_curve(a, b), seen) for a, b in zip(ones, zeros, strict=True)])


def abroca_limits(one: Sides, other: Sides, distances: tuple[Floats, Floats]) -> Callable[[float], Both]:
    """Limits of that area: what drawing both anew moves, and at least what the areas under them leave open."""
    value, moved = abroca(one, other), np.sort(distances[0] + distances[1])
    areas = [auc(one), auc(other)]

    def at(level: float) -> Both:
        rank = math.ceil(level * (DRAWS + 1) - 1e-9)
        if rank > DRAWS:
            return 0.0, 1.0
        opened = []
        for area, limits in areas:
            low, high = limits(level)
            opened.append(max(area - (low or 0.0), (high or 0.0) - area))
        reach = max(float(moved[rank - 1]), math.hypot(*opened))
        return max(value - reach, 0.0), min(value + reach, 1.0)

    return at


def _stats() -> Any:
    from scipy import stats

    return stats

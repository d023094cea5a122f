"""Intervals of ROC curves: the area under one, and the area between two.

Every function gives `(value, intervals)`, one interval per level in the order asked. Areas come from integer ranks, so
row order changes no bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.intervals import Interval, bonferroni, find_roots, normal_quantile
from xai_audit.intervals_rows import Floats, Measured, Rows, largest, t_quantile

REPLICATES = 1999
"""Bootstrap draws behind `abroca`: enough for its levels up to 99.95 %."""

_CELLS = 256  # a ROC curve resampled in more pieces than this moves its distance by less than its third digit


def auc(positives: Rows, negatives: Rows, levels: Sequence[float]) -> Measured:
    """Share of (positive, negative) pairs that scores order rightly, ties half; a ratio of integers.

    The interval, in [0, 1], is the union of DeLong's (1988, Biometrics 44:837) on the logit with a t of the
    smaller class and Newcombe's score-like one (2006, Stat Med 25:559): each alone fails where spreads are
    unequal or the AUC is near 1, DeLong to 33 % at ten positives. Perfect separation has Newcombe's alone.
    ValueError where a class is empty or a score is not a number.
    """
    pos, neg = _sorted(positives), _sorted(negatives)
    m, n = len(pos), len(neg)
    # Each row's placement in the other class, in half pairs, so that ties stay whole numbers.
    wins = np.searchsorted(neg, pos, "left") + np.searchsorted(neg, pos, "right")
    losses = np.searchsorted(pos, neg, "left") + np.searchsorted(pos, neg, "right")
    won, pairs = int(wins.sum()), 2 * m * n
    value, missed = won / pairs, (pairs - won) / pairs
    limits = _newcombe(value, missed, m, n, levels)
    spread = _placement_variance(wins, 2 * n) + _placement_variance(losses, 2 * m) if min(m, n) > 1 else 0.0
    if spread > 0 and 0 < won < pairs:
        logit, error = math.log(won / (pairs - won)), math.sqrt(spread) / (value * missed)
        reach = [t_quantile(level, min(m, n) - 1) * error for level in levels]
        limits = [
            (min(low, _expit(logit - far)), max(high, _expit(logit + far)))
            for (low, high), far in zip(limits, reach, strict=True)
        ]
    return value, list(limits)


def auc_difference(
    a: tuple[Rows, Rows],
    b: tuple[Rows, Rows],
    levels: Sequence[float],
) -> Measured:
    """AUC of `a` minus AUC of `b`, independent groups of (positive, negative) scores, by MOVER.

    Zou and Donner 2008, Stat Med 27:1693. The interval lies in [-1, 1].
    """
    return _mover_difference(auc(*a, levels), auc(*b, levels))


def largest_auc_difference(groups: Sequence[tuple[Rows, Rows]], levels: Sequence[float]) -> Measured:
    """Largest minus smallest AUC of k >= 2 groups of (positive, negative) scores, joint over all pairs."""
    m = math.comb(len(groups), 2)
    parts = [auc(pos, neg, bonferroni(levels, m)) for pos, neg in groups]
    return largest([_mover_difference(a, b) for a, b in combinations(parts, 2)], len(levels))


def abroca(
    a: tuple[Rows, Rows],
    b: tuple[Rows, Rows],
    levels: Sequence[float],
    rng: np.random.Generator | None = None,
    distances: tuple[Floats, Floats] | None = None,
) -> Measured:
    """Area between the ROC curves of two groups of (positive, negative) scores (Gardner et al. 2019, LAK).

    The curves are joined by straight lines and the area is exact. It errs by at most the sum of each curve's
    own distance from its truth; that sum is resampled, and is at least what `auc` leaves open, which keeps
    perfect separation honest. So the interval is conservative. A level that the draws cannot resolve has (0,
    1). With several groups the ``distances`` of each (``roc_distances``) are drawn once and given, in place of
    a generator.
    """
    curves = [_roc(*_pieces(*group)) for group in (a, b)]
    value = _area_between(*curves)
    if distances is None:
        if rng is None:
            raise ValueError("either a generator or distances are needed")
        distances = roc_distances(*a, rng), roc_distances(*b, rng)
    draws = np.sort(distances[0] + distances[1])
    aucs = [auc(*group, levels) for group in (a, b)]
    limits: list[Interval] = []
    for i, level in enumerate(levels):
        rank = math.ceil(level * (REPLICATES + 1) - 1e-9)
        if rank > REPLICATES:
            limits.append((0.0, 1.0))
            continue
        open_ends = [max(v - (ends[i][0] or 0.0), (ends[i][1] or 0.0) - v) for v, ends in aucs]
        reach = max(float(draws[rank - 1]), math.hypot(*open_ends))
        limits.append((max(value - reach, 0.0), min(value + reach, 1.0)))
    return value, limits


def roc_distances(positives: Rows, negatives: Rows, rng: np.random.Generator) -> Floats:
    """Areas between resampled ROC curves and the observed one, of shape (REPLICATES,); each class is drawn anew."""
    counts = np.stack(_pieces(positives, negatives))
    rows = counts.sum(axis=0)
    # Long curves are cut into cells of equal mass, within which a resampled curve hardly bends.
    cell = np.minimum((np.cumsum(rows) - rows / 2) * _CELLS // rows.sum(), _CELLS - 1).astype(np.int64)
    pos, neg = (np.bincount(cell, weights=c, minlength=_CELLS) for c in counts)
    kept = pos + neg > 0
    pos, neg = pos[kept], neg[kept]
    seen = _roc(pos, neg)
    drawn = zip(
        rng.multinomial(int(pos.sum()), pos / pos.sum(), REPLICATES),
        rng.multinomial(int(neg.sum()), neg / neg.sum(), REPLICATES),
        strict=True,
    )
    return np.array([_area_between(_roc(*pair), seen) for pair in drawn])


def _mover_difference(a: Measured, b: Measured) -> Measured:
    (value_a, limits_a), (value_b, limits_b) = a, b
    value = value_a - value_b
    limits: list[Interval] = []
    for (low_a, high_a), (low_b, high_b) in zip(limits_a, limits_b, strict=True):
        below = math.hypot(value_a - (low_a or 0.0), (1.0 if high_b is None else high_b) - value_b)
        above = math.hypot((1.0 if high_a is None else high_a) - value_a, value_b - (low_b or 0.0))
        limits.append((max(value - below, -1.0), min(value + above, 1.0)))
    return value, limits


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def _sorted(scores: Rows) -> Floats:
    found = np.sort(np.asarray(scores, dtype=np.float64))
    if found.size == 0 or np.isnan(found[-1]):
        raise ValueError("an AUC needs scores of both classes, and all of them numbers")
    return found


def _placement_variance(placements: NDArray[np.int64], pairs: int) -> float:
    """Variance of the mean of `placements / pairs`, from whole numbers of any size."""
    n, total = len(placements), int(placements.sum())
    step = max(2**62 // (pairs * pairs + 1), 1)
    squares = sum(int(np.square(placements[i : i + step]).sum()) for i in range(0, n, step))
    return (n * squares - total * total) / (n * n * (n - 1) * pairs * pairs)


def _newcombe(
    value: float, missed: float, m: int, n: int, levels: Sequence[float]
) -> list[tuple[float, float]]:
    """Newcombe's method 5: Hanley and McNeil's variance at the limit, both classes of their mean size."""
    z = np.array([normal_quantile(level) for level in levels])
    half = (m + n) / 2 - 1
    # The high limit of an AUC is the low one of the scores turned round.
    z, seen = np.concatenate([z, z]), np.repeat([value, missed], len(levels))

    def excess(at: Floats) -> Floats:
        noise = z * z * at * (1 + half * ((1 - at) / (2 - at) + at / (1 + at))) / (m * n)
        # Divided by 1 - at, which would else be a second root where separation is perfect.
        gap: Floats = np.where(seen == 1, 1 - at, (seen - at) ** 2 / np.where(seen == 1, 1.0, 1 - at))
        surplus: Floats = noise - gap
        return surplus

    low, turned = np.split(find_roots(excess, np.zeros_like(z), seen), 2)
    return list(zip(low.tolist(), (1 - turned).tolist(), strict=True))


def _pieces(positives: Rows, negatives: Rows) -> tuple[Floats, Floats]:
    """Rows of each class at each distinct score, highest score first."""
    pos, neg = _sorted(positives), _sorted(negatives)
    steps = np.unique(np.concatenate([pos, neg]))
    counts = [np.searchsorted(x, steps, "right") - np.searchsorted(x, steps, "left") for x in (pos, neg)]
    return counts[0][::-1].astype(np.float64), counts[1][::-1].astype(np.float64)


def _roc(positives: NDArray[Any], negatives: NDArray[Any]) -> tuple[Floats, Floats]:
    """(false positive rate, true positive rate) of each threshold, from (0, 0) to (1, 1)."""
    x, y = (np.concatenate([[0.0], np.cumsum(c)]) for c in (negatives, positives))
    return x / x[-1], y / y[-1]


def _area_between(a: tuple[Floats, Floats], b: tuple[Floats, Floats]) -> float:
    """Exact integral of the distance of two polylines from x = 0 to 1, steps and crossings included."""
    grid = np.unique(np.concatenate([a[0], b[0]]))
    left, right = grid[:-1], grid[1:]

    def ends(curve: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
        x, y = curve
        # The last point at or before the left end starts the segment; a step upwards shares its x.
        i = np.searchsorted(x, left, "right") - 1
        slope = (y[i + 1] - y[i]) / (x[i + 1] - x[i])
        return y[i] + slope * (left - x[i]), y[i] + slope * (right - x[i])

    (a0, a1), (b0, b1) = ends(a), ends(b)
    d0, d1 = a0 - b0, a1 - b1
    sizes = np.abs(d0) + np.abs(d1)
    crossing = d0 * d1 < 0
    heights = np.where(crossing, (d0 * d0 + d1 * d1) / np.where(sizes > 0, sizes, 1.0), sizes)
    return math.fsum(((right - left) * heights / 2).tolist())

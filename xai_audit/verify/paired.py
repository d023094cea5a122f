"""Changes on the same rows, had again: each interval from its definition, by scipy's own roots and quantiles.

Written apart from xai_audit.intervals_paired and sharing nothing with it: Tango's statistic is evaluated and its root
bracketed, derivatives are taken numerically, quantiles are scipy's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.verify import limits_roc

Limits = list[tuple[float | None, float | None]]
Found = tuple[float, Limits]
Floats = NDArray[np.float64]


def _z(level: float) -> float:
    from scipy.stats import norm

    return float(norm.isf((1 - level) / 2))


def _t(level: float, df: float) -> float:
    from scipy.stats import t

    return float(t.isf((1 - level) / 2, df))


def _root(f: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import brentq

    return float(brentq(f, low, high, xtol=1e-15, rtol=1e-14, maxiter=500))


def share(old: NDArray[Any], new: NDArray[Any], levels: Sequence[float]) -> Found:
    """Change of a share of the same rows: Tango (1998), beyond 95 % with MOVER on Clopper and Pearson's limits."""
    n = len(new)
    gained, lost = int(np.sum(new & ~old)), int(np.sum(old & ~new))
    limits: Limits = [
        (_share_low(gained, lost, n, level), -_share_low(lost, gained, n, level)) for level in levels
    ]
    return (gained - lost) / n, limits


def _share_low(b: int, c: int, n: int, level: float) -> float:
    from scipy.stats import beta

    z, seen = _z(level), (b - c) / n

    def short(at: float) -> float:
        """How far the score statistic of a change lies under z; the variance is that of the likeliest table."""
        linear = (2 * n - b + c) * at - b - c
        lost = (math.sqrt(max(linear**2 + 8 * n * c * at * (1 - at), 0.0)) - linear) / (4 * n)
        return z * math.sqrt(max(n * (2 * lost + at * (1 - at)), 0.0)) - (b - c - n * at)

    edge = 1e-12
    low = (
        -1.0
        if short(-1 + edge) > 0
        else _root(short, -1 + edge, seen - edge)
        if short(seen - edge) > 0
        else seen
    )
    if level > 0.95:
        tail = (1 - level) / 2
        least = float(beta.ppf(tail, b, n - b + 1)) if b else 0.0
        most = float(beta.isf(tail, c + 1, n - c)) if c < n else 1.0
        up, down = b / n, c / n
        r = -math.sqrt(up * down / (1 - up) / (1 - down)) if 0 < up < 1 and 0 < down < 1 else 0.0
        low = min(low, seen - _arm(up - least, most - down, r))
    return max(low, -1.0)


def _arm(one: float, other: float, r: float = 0.0) -> float:
    return math.sqrt(max(one**2 + other**2 - 2 * r * one * other, 0.0))


def rows(moved: Floats, value: float, levels: Sequence[float]) -> Found:
    """A mean of row influences with Student's t, put around the value."""
    n = len(moved)
    if n < 2:
        return value, [(None, None)] * len(levels)
    error = float(np.std(moved, ddof=1)) / math.sqrt(n)
    return value, [(value - _t(level, n - 1) * error, value + _t(level, n - 1) * error) for level in levels]


def clustered(
    moved: Floats, weights: Floats | None, clusters: NDArray[Any] | None, levels: Sequence[float]
) -> Found:
    """A weighted mean jackknifed over clusters: each is left out once."""
    w = np.ones(len(moved)) if weights is None else weights
    names = np.arange(len(moved)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    keep = w > 0
    moved, w, names = moved[keep], w[keep], np.unique(names[keep], return_inverse=True)[1]
    value = float(np.sum(w * moved) / np.sum(w))
    g = int(names.max()) + 1
    if g < 2:
        return value, [(None, None)] * len(levels)
    total, sums = np.bincount(names, weights=w), np.bincount(names, weights=w * moved)
    left = (np.sum(sums) - sums) / (np.sum(total) - total)
    error = math.sqrt((g - 1) / g * float(np.sum((left - value) ** 2)))
    return value, [(value - _t(level, g - 1) * error, value + _t(level, g - 1) * error) for level in levels]


def table(
    true: NDArray[Any],
    old: NDArray[Any],
    new: NDArray[Any],
    of: Callable[..., float],
    levels: Sequence[float],
    most: float,
) -> Found:
    """Change of a number made of a confusion table: the delta method with z^2 rows spread over the eight cells."""
    cells = list(product((True, False), repeat=3))
    counts = np.array([np.sum((true == t) & (old == a) & (new == b)) for t, a, b in cells], dtype=float)

    def moved(at: Floats) -> float:
        sides = []
        for model in (1, 2):
            sums = {
                (t, c): sum(n for n, cell in zip(at, cells, strict=True) if (cell[0], cell[model]) == (t, c))
                for t, c in product((True, False), repeat=2)
            }
            sides.append(of(sums[True, True], sums[False, True], sums[True, False], sums[False, False]))
        return sides[1] - sides[0]

    value, limits = moved(counts), []
    for level in levels:
        roomy = counts + _z(level) ** 2 / 8
        step = 1e-6 * roomy.sum()
        slopes = np.array(
            [
                (moved(roomy + step * unit) - moved(roomy - step * unit)) / (2 * step)
                if roomy[i] > step
                else (moved(roomy + step * unit) - moved(roomy)) / step
                for i, unit in enumerate(np.eye(8))
            ]
        )
        centre = moved(roomy)
        reach = _t(level, max(counts.sum() - 1, 1)) * math.sqrt(float(np.sum(roomy * slopes**2)))
        limits.append((max(min(centre - reach, value), -most), min(max(centre + reach, value), most)))
    return value, list(limits)


TABLES: dict[str, tuple[Callable[..., float], float]] = {
    "precision": (lambda tp, fp, _, __: tp / (tp + fp), 1.0),
    "false_discovery_rate": (lambda tp, fp, _, __: fp / (tp + fp), 1.0),
    "negative_predictive_value": (lambda _, __, fn, tn: tn / (tn + fn), 1.0),
    "false_omission_rate": (lambda _, __, fn, tn: fn / (tn + fn), 1.0),
    "f1": (lambda tp, fp, fn, _: 2 * tp / (2 * tp + fp + fn), 1.0),
    "matthews_corrcoef": (
        lambda tp, fp, fn, tn: (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)),
        2.0,
    ),
}
"""Numbers of a confusion table, and how far each may move."""


def mean_of(changes: Sequence[Found]) -> Found:
    """The plain mean of independent changes, arms squared and added."""
    k, value = len(changes), sum(one for one, _ in changes) / len(changes)
    limits: Limits = []
    for i in range(len(changes[0][1])):
        below = math.sqrt(sum((one - (ends[i][0] or 0.0)) ** 2 for one, ends in changes)) / k
        above = math.sqrt(sum(((ends[i][1] or 0.0) - one) ** 2 for one, ends in changes)) / k
        limits.append((value - below, value + above))
    return value, limits


def apart(old: Found, new: Found) -> Found:
    """New less old of different rows, arms squared and added."""
    (a, at_a), (b, at_b) = old, new
    limits: Limits = []
    for (low_a, high_a), (low_b, high_b) in zip(at_a, at_b, strict=True):
        low = None if low_b is None or high_a is None else b - a - _arm(b - low_b, high_a - a)
        high = None if high_b is None or low_a is None else b - a + _arm(high_b - b, a - low_a)
        limits.append((low, high))
    return b - a, limits


def auc(true: NDArray[Any], old: Floats, new: Floats, levels: Sequence[float]) -> Found:
    """Change of an AUC: the wider of DeLong's interval and of MOVER on each AUC's own, correlated as DeLong says."""
    ends = [limits_roc.auc((scores[true], scores[~true]))[1] for scores in (old, new)]
    sides = [_placed(true, scores) for scores in (old, new)]
    (wins_a, losses_a), (wins_b, losses_b) = sides
    a, b = float(wins_a.mean()), float(wins_b.mean())
    m, n = len(wins_a), len(losses_a)

    def joint(x: tuple[Floats, Floats], y: tuple[Floats, Floats]) -> float:
        if m < 2 or n < 2:
            return 0.0
        return float(np.cov(x[0], y[0])[0, 1] / m + np.cov(x[1], y[1])[0, 1] / n)

    own = joint(sides[0], sides[0]), joint(sides[1], sides[1])
    both = joint(sides[0], sides[1])
    r = min(max(both / math.sqrt(own[0] * own[1]), -1.0), 1.0) if own[0] > 1e-18 and own[1] > 1e-18 else 0.0
    spread = joint((wins_b - wins_a, losses_b - losses_a), (wins_b - wins_a, losses_b - losses_a))
    limits: Limits = []
    for level in levels:
        (low_a, high_a), (low_b, high_b) = (at(level) for at in ends)
        below, above = _arm(b - low_b, high_a - a, r), _arm(high_b - b, a - low_a, r)
        if min(m, n) > 1:
            reach = _t(level, min(m, n) - 1) * math.sqrt(max(spread, 0.0))
            below, above = max(below, reach), max(above, reach)
        limits.append((max(b - a - below, -1.0), min(b - a + above, 1.0)))
    return b - a, limits


def _placed(true: NDArray[Any], scores: Floats) -> tuple[Floats, Floats]:
    from scipy.stats import rankdata

    # A row's rank among all less its rank among its own counts the other class below it, ties half.
    every, m, n = rankdata(scores), int(true.sum()), int((~true).sum())
    wins = (every[true] - rankdata(scores[true])) / n
    return wins, 1 - (every[~true] - rankdata(scores[~true])) / m


def logged(old: Floats, new: Floats, power: float, levels: Sequence[float]) -> Found:
    """How much larger a mean became, as a share of what it was, to some power; t on the logarithm."""
    a, b = float(old.mean()), float(new.mean())
    _, around = rows(new / b - old / a, math.log(b / a), levels)
    return math.expm1(math.log(b / a) * power), [
        (_grown(low, power), _grown(high, power)) for low, high in around
    ]


def _grown(log: float | None, power: float) -> float | None:
    return None if log is None or log * power > 700 else math.expm1(log * power)

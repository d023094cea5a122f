"""Limits of means, errors and calibration from single rows, and counts that weights and clusters leave."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.verify.limits import Counts, Found, Limit, root, shared, z

Floats = NDArray[np.float64]
Around = tuple[float, float, float]
"""A value, its standard error (infinite for a single row) and its degrees of freedom."""

BINS = 15
"""Bins of equal mass behind every calibration error."""


@lru_cache(maxsize=4096)
def t(level: float, df: float) -> float:
    """Half-width of a two-sided t interval, in standard errors."""
    return -float(_stats().t.ppf((1 - level) / 2, df))


def within(around: Around, level: float) -> Limit:
    """The t limits of a value; unbounded where nothing shows its spread."""
    value, error, df = around
    if math.isinf(error):
        return None, None
    return value - t(level, df) * error, value + t(level, df) * error


def mean(values: Floats, weights: Floats | None = None, clusters: NDArray[np.int64] | None = None) -> Around:
    """A mean and its error: Student's, or a jackknife over clusters (rows, where there are only weights)."""
    if weights is None and clusters is None:
        n = len(values)
        centre = math.fsum(values) / n
        if n == 1:
            return centre, math.inf, 0.0
        return centre, math.sqrt(math.fsum((values - centre) ** 2) / (n - 1) / n), n - 1.0
    weights = np.ones(len(values)) if weights is None else weights
    clusters = np.arange(len(values)) if clusters is None else clusters
    centre = math.fsum(weights * values) / math.fsum(weights)
    variance, count, _ = _between(values, weights, centre, clusters)
    return centre, math.sqrt(variance), count - 1.0


def _between(
    values: Floats, weights: Floats, centre: float, clusters: NDArray[np.int64]
) -> tuple[float, int, float]:
    """The jackknife's variance over clusters, how many there are, and how many equal ones they are worth."""
    total = math.fsum(weights)
    moved, sizes = [], []
    order = np.argsort(clusters, kind="stable")
    order = order[weights[order] > 0]
    cuts = np.flatnonzero(np.diff(clusters[order])) + 1
    for rows in np.split(order, cuts):
        # Residuals are added before anything is divided: clusters of equal shares must come to nothing.
        residual, size = math.fsum(weights[rows] * (values[rows] - centre)), math.fsum(weights[rows])
        sizes.append(size)
        moved.append(residual / (total - size) if total > size else math.nan)
    count, worth = len(sizes), total**2 / math.fsum(size * size for size in sizes)
    if count < 2:
        return math.inf, count, worth
    return (count - 1) / count * math.fsum(one * one for one in moved), count, worth


def effective(events: Floats, weights: Floats | None, clusters: NDArray[np.int64] | None) -> Counts:
    """Successes and rows of the simple random sample that says as much: Kish for weights, Korn and Graubard for clusters."""
    weights = np.ones(len(events)) if weights is None else weights
    total = math.fsum(weights)
    share = math.fsum(weights * events) / total
    n = min(total**2 / math.fsum(weights**2), float(np.count_nonzero(weights > 0)))
    if clusters is None:
        return share * n, n
    variance, count, worth = _between(events, weights, share, clusters)
    if count < 2:
        return share, 1.0
    design = worth
    if 0 < share < 1:
        design = share * (1 - share) / variance if variance > 0 else n
    n = max(min(n, design * (z(0.99) / t(0.99, count - 1.0)) ** 2), min(n, 1.0))
    return share * n, n


def mean_at(
    values: Floats, weights: Floats | None = None, clusters: NDArray[np.int64] | None = None
) -> Found:
    """A mean with the t limits of it."""
    around = mean(values, weights, clusters)
    return around[0], lambda level: within(around, level)


def rms(errors: Floats) -> Found:
    """The root mean square of independent errors, limits on the logarithm of the mean square by the delta method."""
    square, error, df = mean(errors**2)
    if square == 0:
        return 0.0, lambda _: (0.0, 0.0)

    def at(level: float) -> Limit:
        low, high = within((math.log(square), error / square, df), level)
        return 0.0 if low is None else math.exp(low / 2), _exp(high, 0.5)

    return math.sqrt(square), at


def _exp(power: float | None, times: float) -> float | None:
    return None if power is None or power * times > 700 else math.exp(power * times)


def r2(truth: Floats, predicted: Floats) -> Found:
    """The share of the truth's variance that predictions account for: limits of the log of the share lost."""
    errors, spreads = (truth - predicted) ** 2, (truth - math.fsum(truth) / len(truth)) ** 2
    lost, total = math.fsum(errors), math.fsum(spreads)
    if lost == 0:
        return 1.0, lambda _: (1.0, 1.0)
    _, error, df = mean(len(truth) * (errors / lost - spreads / total))

    def at(level: float) -> Limit:
        low, high = within((math.log(lost / total), error, df), level)
        worst = _exp(high, 1.0)
        return None if worst is None else 1 - worst, 1 - (_exp(low, 1.0) or 0.0)

    return 1 - lost / total, at


def _bins(scores: Floats, labels: Floats) -> list[tuple[int, float, int, float]]:
    """Rows, mean score, positives and mean s(1-s) of each bin; equal scores share their middle rank, and so a bin."""
    doubled = np.rint(2 * _stats().rankdata(scores, method="average")).astype(np.int64) - 1
    place = BINS * doubled // (2 * len(scores))
    found = []
    for one in np.unique(place):
        inside = scores[place == one]
        size = len(inside)
        spread = math.fsum(inside * (1 - inside)) / size
        found.append((size, math.fsum(inside) / size, int(labels[place == one].sum()), spread))
    return found


def calibration_error(scores: Floats, labels: Floats) -> Found:
    """The mean distance of score and share positive over the bins: at least the mean gap, at most its root mean square."""
    parts = _bins(scores, labels)
    value = math.fsum(size * abs(score - hits / size) for size, score, hits, _ in parts) / len(scores)
    _, rms_at = rms_calibration(scores, labels)
    _, large_at = in_the_large(scores, labels)

    def at(level: float) -> Limit:
        half = shared(level, 2)
        low, up = large_at(half)
        least = 0.0 if low is None or up is None else max(0.0, low, -up)
        return min(least, value), max(rms_at(half)[1] or 0.0, value)

    return value, at


def in_the_large(scores: Floats, labels: Floats) -> Found:
    """The mean score minus the share positive, limits kept in [-1, 1]."""
    value, inner = mean_at(scores - labels)

    def at(level: float) -> Limit:
        low, high = inner(level)
        return -1.0 if low is None else max(low, -1.0), 1.0 if high is None else min(high, 1.0)

    return value, at


def perfect_calibration_error(scores: Floats) -> float:
    """The same where every score is right: the mean deviation of a binomial count, summed over its outcomes."""
    found = []
    for size, score, _, spread in _bins(scores, np.zeros(len(scores))):
        if not 0 < score < 1:
            continue
        outcomes = np.arange(size + 1)
        deviation = math.fsum(np.abs(outcomes - size * score) * _stats().binom.pmf(outcomes, size, score))
        found.append(deviation * math.sqrt(min(spread / (score * (1 - score)), 1.0)))
    return math.fsum(found) / len(scores)


def rms_calibration(scores: Floats, labels: Floats) -> Found:
    """The root of the weighted mean squared gap over the bins.

    Its sum of squares is taken for a scaled noncentral chi-square (Satterthwaite), whose centre is inverted.
    """
    n = len(scores)
    gaps, noises = [], []
    for size, score, hits, _ in _bins(scores, labels):
        rate = (hits + 2 * min(max(score, 1 / (n + 2)), 1 - 1 / (n + 2))) / (size + 2)
        gaps.append(size / n * (score - hits / size) ** 2)
        noises.append(rate * (1 - rate) / n)
    total, noise = math.fsum(gaps), math.fsum(noises)
    beyond = [max(gap - one, 0.0) for gap, one in zip(gaps, noises, strict=True)]
    scale = max(_pondered(by, noises) for by in (noises, gaps, beyond))

    def at(level: float) -> Limit:
        low = _centre(total / scale, noise / scale, (1 + level) / 2)
        high = _centre(max(total, noise) / scale, noise / scale, (1 - level) / 2)
        return min(math.sqrt(low * scale), 1.0), min(math.sqrt(high * scale), 1.0)

    return math.sqrt(total), at


def _pondered(by: Sequence[float], values: Sequence[float]) -> float:
    total = math.fsum(by)
    return math.fsum(w * x for w, x in zip(by, values, strict=True)) / total if total > 0 else 0.0


def _centre(seen: float, df: float, wanted: float) -> float:
    """The noncentrality at which a chi-square lies at or under ``seen`` with a chance of ``wanted``."""
    if _special().chdtr(df, seen) <= wanted:
        return 0.0

    def gap(noncentrality: float) -> float:
        return float(_stats().ncx2.cdf(seen, df, noncentrality)) - wanted

    far = max(seen, 1.0)
    while gap(far) > 0:
        far *= 2
    return root(gap, 0.0, far)


def _special() -> Any:
    from scipy import special

    return special


def _stats() -> Any:
    from scipy import stats

    return stats

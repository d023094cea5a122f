"""Intervals for what needs rows, not counts: means and calibration; and effective counts of such rows.

Every function gives `(value, intervals)`, one interval per level in the order asked. Values and variances
come from integers or from exactly rounded sums, so row order changes no bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.intervals import Interval, bonferroni, find_roots, normal_quantile

Floats = NDArray[np.float64]
Rows = Sequence[float] | NDArray[Any]
Labels = Sequence[int] | NDArray[Any]
Clusters = Sequence[Hashable] | NDArray[Any]
Measured = tuple[float, list[Interval]]


@lru_cache(maxsize=4096)
def t_quantile(level: float, df: float) -> float:
    """Half-width, in standard errors, of a two-sided t interval with `df` > 0 degrees of freedom."""
    normal_quantile(level)  # refuses what is no level
    return -float(_special().stdtrit(df, (1 - level) / 2))


def mean(values: Rows, levels: Sequence[float]) -> Measured:
    """Mean of independent values with Student's t interval; unbounded for a single value.

    Values that all agree give a point: nothing in them shows a spread. ValueError where there are none.
    """
    return _t_intervals(*_moments(values), levels)


def mean_difference(a: Rows, b: Rows, levels: Sequence[float]) -> Measured:
    """Mean of `a` minus mean of `b`, independent groups of unequal spread (Welch 1947, Biometrika 34:28)."""
    return _t_intervals(*_welch(_moments(a), _moments(b)), levels)


def largest_mean_difference(groups: Sequence[Rows], levels: Sequence[float]) -> Measured:
    """Largest minus smallest of k >= 2 group means, simultaneous over all pairs (Welch with Bonferroni)."""
    parts = [_moments(group) for group in groups]
    pairs = list(combinations(parts, 2))
    found = [_t_intervals(*_welch(a, b), bonferroni(levels, len(pairs))) for a, b in pairs]
    return largest(found, len(levels))


def root_mean_square(values: Rows, levels: Sequence[float]) -> Measured:
    """Root of the mean of squares, as an error's RMSE; Student's t on the logarithm of the mean square.

    Delta method: at 30 rows it holds 88 % under Laplace errors and 93 % under normal ones.
    """
    square, error, df = _moments([v * v for v in _listed(values)])
    if square == 0:
        return 0.0, [(0.0, 0.0)] * len(levels)
    _, around = _t_intervals(math.log(square), error / square, df, levels)
    return math.sqrt(square), [(_exp(low, 0.5) or 0.0, _exp(high, 0.5)) for low, high in around]


def r_squared(truth: Rows, predicted: Rows, levels: Sequence[float]) -> Measured:
    """Share of the variance of `truth` explained, 1 - SSE/SST, at most 1; Student's t on log(1 - R2).

    The spread is that of the influence of a row on log(SSE/SST). ValueError where the truth does not vary.
    """
    ys = _listed(truth)
    centre = math.fsum(ys) / len(ys)
    errors = [(y - p) ** 2 for y, p in zip(ys, _listed(predicted), strict=True)]
    spreads = [(y - centre) ** 2 for y in ys]
    lost, total = math.fsum(errors), math.fsum(spreads)
    if total == 0:
        raise ValueError("R2 is undefined where the truth does not vary")
    if lost == 0:
        return 1.0, [(1.0, 1.0)] * len(levels)
    n = len(ys)
    _, error, df = _moments([n * (e / lost - s / total) for e, s in zip(errors, spreads, strict=True)])
    _, around = _t_intervals(math.log(lost / total), error, df, levels)
    limits: list[Interval] = []
    for low, high in around:
        worst, best = _exp(high, 1.0), _exp(low, 1.0)
        limits.append((None if worst is None else 1 - worst, 1 - (best or 0.0)))
    return 1 - lost / total, limits


def clustered_mean(
    values: Rows, weights: Rows | None, clusters: Clusters | None, levels: Sequence[float]
) -> Measured:
    """Weighted mean of rows that come in clusters, jackknifed over them; t with one df less than clusters.

    Without clusters each row is one. Unbounded for a single cluster. Short of its level where ten or so
    clusters differ much, as any t is of so few skewed values. Bell and McCaffrey 2002, Surv Methodol 28:169.
    """
    ys = _listed(values)
    ws = [1.0] * len(ys) if weights is None else _listed(weights)
    centre, _ = _weighted_share(ys, ws)
    variance, g, _ = _between(ys, ws, centre, range(len(ys)) if clusters is None else clusters)
    return _t_intervals(centre, math.sqrt(variance), g - 1, levels)


def effective(
    values: Rows, weights: Rows | None = None, clusters: Clusters | None = None
) -> tuple[float, float]:
    """Successes and rows of the simple random sample that says as much as these 0/1 values, for `intervals`.

    Weights count by Kish (1965, Survey Sampling), clusters by the jackknifed variance between them, with the
    t that few clusters call for (Korn and Graubard 1998, Surv Methodol 24:193) taken at 99 %. Never above the
    raw n. Where all values agree nothing shows how the rows of a cluster resemble each other, and each
    cluster counts as one row. ValueError where a weight is negative or all are 0.
    """
    ys = _listed(values)
    ws = [1.0] * len(ys) if weights is None else _listed(weights)
    share, total = _weighted_share(ys, ws)
    n = min(total * total / math.fsum(w * w for w in ws), float(sum(w > 0 for w in ws)))
    if clusters is None:
        return share * n, n
    variance, g, kish = _between(ys, ws, share, clusters)
    if g < 2:
        return share, 1.0
    design = kish
    if 0 < share < 1:
        design = share * (1 - share) / variance if variance > 0 else n
    n = max(min(n, design * (normal_quantile(0.99) / t_quantile(0.99, g - 1)) ** 2), min(n, 1.0))
    return share * n, n


def brier(scores: Rows, labels: Labels, levels: Sequence[float]) -> Measured:
    """Mean squared distance of scores in [0, 1] from labels 0 or 1, with the t interval of that mean."""
    rows = zip(_listed(scores), _listed(labels), strict=True)
    return _cut(mean([(s - y) ** 2 for s, y in rows], levels), 0.0, 1.0)


def log_loss(scores: Rows, labels: Labels, levels: Sequence[float]) -> Measured:
    """Mean of -log of the score given to the label seen, in nats, with the t interval of that mean.

    Scores are kept one float step off 0 and 1, as in scikit-learn.
    """
    step = float(np.finfo(np.float64).eps)
    rows = zip(_listed(scores), _listed(labels), strict=True)
    given = [min(max(s if y else 1 - s, step), 1 - step) for s, y in rows]
    return _cut(mean([-math.log(p) for p in given], levels), 0.0, None)


def calibration_in_the_large(scores: Rows, labels: Labels, levels: Sequence[float]) -> Measured:
    """Mean score minus share positive, in [-1, 1], with the t interval of the mean row difference."""
    rows = zip(_listed(scores), _listed(labels), strict=True)
    return _cut(mean([s - y for s, y in rows], levels), -1.0, 1.0)


def rms_calibration_error(scores: Rows, labels: Labels, levels: Sequence[float], bins: int = 15) -> Measured:
    """Root of the weighted mean squared gap between mean score and share positive over equal-mass bins.

    The value is plug-in, so above the truth where the model is nearly calibrated, and the interval need not
    hold it: the sum of squares is a scaled noncentral chi-square (Satterthwaite 1946, Biometrics 2:110) whose
    centre is inverted. The scale is the larger of those that match its variance without and with the gaps
    seen; the first alone falls to 90 % where one bin is both bad and noisy. The truth meant is that of the
    bins, given the scores.
    """
    parts = _bins(scores, labels, bins)
    n = math.fsum(size for size, _, _, _ in parts)
    squares, noises, seen, excess = [], [], [], []
    for size, share, positives, _ in parts:
        weight, gap = size / n, share - positives / size
        # Two imagined rows at the bin's own score: a bin without a positive is not a bin without noise.
        rate = (positives + 2 * min(max(share, 1 / (n + 2)), 1 - 1 / (n + 2))) / (size + 2)
        noise = rate * (1 - rate) / size
        squares.append(weight * gap * gap)
        noises.append(weight * noise)
        seen.append((weight * gap * gap, weight * noise))
        excess.append((weight * max(gap * gap - noise, 0.0), weight * noise))
    total, expected = math.fsum(squares), math.fsum(noises)
    scale = max(_weighted(zip(noises, noises, strict=True)), _weighted(seen), _weighted(excess))
    limits = _noncentral_limits(total / scale, expected / scale, levels)
    return math.sqrt(total), [
        (min(math.sqrt(low * scale), 1.0), min(math.sqrt(high * scale), 1.0)) for low, high in limits
    ]


def expected_calibration_error(scores: Rows, labels: Labels, bins: int = 15) -> tuple[float, float]:
    """Mean absolute gap of score and share positive over equal-mass bins, and the same were the scores right.

    The second number is what chance alone gives: the mean absolute deviation of a binomial count (Diaconis
    and Zabell 1991, Stat Sci 6:284), narrowed for scores that differ within a bin. No interval: none that was
    tried is honest.
    """
    parts = _bins(scores, labels, bins)
    n = sum(size for size, _, _, _ in parts)
    gaps = math.fsum(abs(size * share - positives) for size, share, positives, _ in parts)
    chance = math.fsum(_binomial_deviation(size, share, spread) for size, share, _, spread in parts)
    return gaps / n, chance / n


def _special() -> Any:
    """scipy.special, whose import costs more than most audits' intervals."""
    from scipy import special

    return special


def _listed(values: Rows | Labels) -> list[float]:
    """Plain floats, refused where one is missing or infinite, for sums that are rounded once."""
    found = np.asarray(values, dtype=np.float64)
    if not np.isfinite(found).all():
        raise ValueError("a value is missing or infinite")
    plain: list[float] = found.tolist()
    return plain


def _moments(values: Rows) -> tuple[float, float, float]:
    """Mean, its standard error and degrees of freedom; the error of one value is infinite."""
    plain = _listed(values)
    n = len(plain)
    if n == 0:
        raise ValueError("a mean needs at least one value")
    centre = math.fsum(plain) / n
    if n == 1:
        return centre, math.inf, 0.0
    return centre, math.sqrt(math.fsum((v - centre) ** 2 for v in plain) / (n - 1) / n), n - 1.0


def _welch(a: tuple[float, float, float], b: tuple[float, float, float]) -> tuple[float, float, float]:
    (mean_a, error_a, df_a), (mean_b, error_b, df_b) = a, b
    error = math.hypot(error_a, error_b)
    if error == 0 or math.isinf(error):
        return mean_a - mean_b, error, max(min(df_a, df_b), 1.0)
    share_a, share_b = (error_a / error) ** 2, (error_b / error) ** 2
    return mean_a - mean_b, error, 1 / (share_a * share_a / df_a + share_b * share_b / df_b)


def _t_intervals(centre: float, error: float, df: float, levels: Sequence[float]) -> Measured:
    if math.isinf(error):
        return centre, [(None, None)] * len(levels)
    reach = [t_quantile(level, df) * error for level in levels]
    return centre, [(centre - far, centre + far) for far in reach]


def _cut(found: Measured, least: float, most: float | None) -> Measured:
    """The same with limits kept within what the quantity can be."""
    value, limits = found
    cut: list[Interval] = []
    for low, high in limits:
        top = most if high is None else high
        bottom = least if low is None else max(low, least)
        cut.append((bottom, top if most is None or top is None else min(top, most)))
    return value, cut


def largest(found: Sequence[Measured], k: int) -> Measured:
    """Largest absolute difference of pairs, from their simultaneous signed intervals."""
    if not found:
        raise ValueError("a gap needs at least two groups")
    limits: list[Interval] = []
    for i in range(k):
        ends = [limit[i] for _, limit in found]
        lows = [max(low, -high) for low, high in ends if low is not None and high is not None]
        highs = [max(high, -low) for low, high in ends if low is not None and high is not None]
        limits.append((max([0.0, *lows]), max(highs) if len(highs) == len(ends) else None))
    return max(abs(value) for value, _ in found), limits


def _exp(power: float | None, times: float) -> float | None:
    """exp(power * times), None where that is unbounded or beyond a float."""
    if power is None or power * times > 700:
        return None
    return math.exp(power * times)


def _weighted_share(values: Sequence[float], weights: Sequence[float]) -> tuple[float, float]:
    if any(w < 0 for w in weights) or not any(w > 0 for w in weights):
        raise ValueError("weights are not negative and not all zero")
    total = math.fsum(weights)
    return math.fsum(w * y for y, w in zip(values, weights, strict=True)) / total, total


def _between(
    values: Sequence[float], weights: Sequence[float], centre: float, clusters: Iterable[Hashable]
) -> tuple[float, int, float]:
    """Jackknife variance of a weighted mean, number of clusters, and how many equal ones they are worth.

    Leaving a cluster out moves the mean by its residual over the weight left; infinite for one cluster.
    """
    members: dict[Hashable, list[tuple[float, float]]] = {}
    for value, weight, cluster in zip(values, weights, clusters, strict=True):
        if weight > 0:
            members.setdefault(cluster, []).append((weight * (value - centre), weight))
    sums = [(math.fsum(r for r, _ in part), math.fsum(w for _, w in part)) for part in members.values()]
    g, total = len(sums), math.fsum(weights)
    worth = total * total / math.fsum(w * w for _, w in sums)
    if g < 2:
        return math.inf, g, worth
    return (g - 1) / g * math.fsum((r / (total - w)) ** 2 for r, w in sums), g, worth


def _weighted(pairs: Iterable[tuple[float, float]]) -> float:
    """Mean of the second entries, weighted by the first; 0.0 where all weights are 0."""
    both = list(pairs)
    total = math.fsum(w for w, _ in both)
    return math.fsum(w * x for w, x in both) / total if total > 0 else 0.0


def _bins(scores: Rows, labels: Labels, bins: int) -> list[tuple[int, float, int, float]]:
    """(rows, mean score, positives, mean s(1-s)) of bins of nearly equal size that never part equal scores.

    A score goes to the bin that the middle of its run of equal scores falls in, so row order has no say.
    """
    if len(scores) == 0 or len(scores) != len(labels):
        raise ValueError("calibration needs as many labels as scores, and at least one")
    s, y = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    if not ((s >= 0) & (s <= 1)).all() or not ((y == 0) | (y == 1)).all():
        raise ValueError("calibration needs scores in [0, 1] and labels 0 or 1")
    _, run, sizes = np.unique(s, return_inverse=True, return_counts=True)
    # Twice the middle rank, in whole numbers: floor(bins * middle / n) without a rounding to depend on.
    middles = 2 * np.cumsum(sizes) - sizes
    place = (bins * middles // (2 * len(s)))[run]
    parts = []
    for i in np.unique(place):
        inside = s[place == i].tolist()
        size = len(inside)
        spread = math.fsum(v * (1 - v) for v in inside) / size
        parts.append((size, math.fsum(inside) / size, int(y[place == i].sum()), spread))
    return parts


def _binomial_deviation(n: int, p: float, spread: float) -> float:
    """Mean of |X - np| for X binomial by de Moivre's closed form, scaled to the spread of the mixture."""
    if not 0 < p < 1:
        return 0.0
    k = min(math.floor(n * p) + 1, n)
    log_ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    deviation = 2 * k * math.exp(log_ways + k * math.log(p) + (n - k + 1) * math.log1p(-p))
    return deviation * math.sqrt(min(spread / (p * (1 - p)), 1.0))


def _noncentral_limits(x: float, df: float, levels: Sequence[float]) -> list[tuple[float, float]]:
    """Limits of the noncentrality of a chi-square seen at `x`; low is 0 where the central one reaches so far.

    The high limit is taken as if at least the central mean was seen: luck beyond that is no evidence.
    """
    tails = np.array([(1 - level) / 2 for level in levels])
    wanted = np.concatenate([1 - tails, tails])
    at = np.repeat([x, max(x, df)], len(levels))
    cdf: Callable[[Floats, float, Any], Any] = _special().chndtr

    def excess(noncentrality: Floats) -> Floats:
        gap: Floats = wanted - cdf(at, df, noncentrality)
        return gap

    far = (np.sqrt(at) + max(normal_quantile(level) for level in levels) + 2) ** 2
    ends = np.where(cdf(at, df, 0.0) <= wanted, 0.0, far)
    low, high = np.split(find_roots(excess, np.zeros_like(ends), ends), 2)
    return list(zip(low.tolist(), high.tolist(), strict=True))

"""Intervals for counts: every limit is honest at small counts, and bits depend on the counts alone.

Counts may be fractions (effective counts of weighted or clustered rows, see `intervals_rows.effective`).
Every function takes all confidence levels at once and gives one `(low, high)` per level, in the order asked;
`None` is an unbounded limit. What comes from rows and not from counts is in `intervals_rows`.

Up to 95 % the limits are the score limits of the literature, whose mean error is nominal. Beyond 95 % they
are widened to exact limits where those lie further out: only a judge's fail after Holm reads them, and there
a score limit errs by far more than it says (at 99.9 %, 30 rows and a rate of 0.03, 24 times; a difference up
to 8, a ratio up to 15 times).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import combinations
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float | None, float | None]
Floats = NDArray[np.float64]
Counts = tuple[Floats, Floats, Floats, Floats]

LEVELS = (0.9, 0.95, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999)
"""The two-sided levels stored with every estimate that a rule may read."""

WIDENED_ABOVE = 0.95
"""Beyond this level limits also contain the exact ones, see the module's docstring."""

_DUST = 1e-9
_FEW = 5
_STEPS = 200  # a root is found in 8 to 20; bisection alone would need 60


@lru_cache(maxsize=4096)
def normal_quantile(level: float) -> float:
    """Half-width, in standard errors, of a two-sided normal interval at `level` in (0, 1)."""
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1, not {level}")
    # The upper tail is asked for as a lower one: 1 - level/2 would round away digits at 0.9999.
    return -NormalDist().inv_cdf((1 - level) / 2)


def bonferroni(levels: Sequence[float], m: int) -> list[float]:
    """Levels at which each of `m` intervals must be taken for all to hold together at `levels`."""
    return [1 - (1 - level) / m for level in levels]


def extremes(xs: Sequence[float], ns: Sequence[float]) -> tuple[int, int]:
    """Indices of the lowest and the highest rate, never one and the same; ties go to the lower index."""
    _check(xs, ns)
    rates = [Fraction(x) / Fraction(n) for x, n in zip(xs, ns, strict=True)]
    low = min(range(len(rates)), key=lambda i: (rates[i], i))
    others = [i for i in range(len(rates)) if i != low] or [low]
    return low, min(others, key=lambda i: (-rates[i], i))


def rate(successes: float, n: float, levels: Sequence[float]) -> list[Interval]:
    """Wilson's score interval of one rate, in [0, 1] (Wilson 1927, JASA 22:209).

    Beyond 95 % it also contains Clopper and Pearson's (1934, Biometrika 26:404). 0 of n has low 0, n of n has
    high 1. Raises ValueError where `n` is not positive or `successes` lies outside [0, n].
    """
    _check([successes], [n])
    return [(_rate_low(successes, n, level), 1 - _rate_low(n - successes, n, level)) for level in levels]


def rate_difference(x1: float, n1: float, x2: float, n2: float, levels: Sequence[float]) -> list[Interval]:
    """Score interval of x1/n1 - x2/n2, in [-1, 1] (Miettinen and Nurminen 1985, Stat Med 4:213).

    Beyond 95 % it also contains MOVER on exact limits of both rates (Zou and Donner 2008, Stat Med 27:1693).
    Raises ValueError where a count is impossible.
    """
    _check([x1, x2], [n1, n2])
    low, high = _difference_limits(_columns([(x1, n1, x2, n2)]), levels)
    return list(zip(low[0].tolist(), high[0].tolist(), strict=True))


def rate_ratio(x1: float, n1: float, x2: float, n2: float, levels: Sequence[float]) -> list[Interval]:
    """Score interval of (x1/n1) / (x2/n2), None where x2 is 0 (Miettinen, Nurminen 1985, Stat Med 4:213).

    Their factor N/(N-1) is taken of the smaller group alone: as published, 3 of 800 drawn designs of a small
    group beside a large one fall under 94 %; so, 10 of 17,415 do (the least 93.0 %). Beyond 95 % it also
    contains MOVER-R on exact limits of both rates (Donner and Zou 2012, SMMR 21:347). Raises ValueError where
    a count is impossible.
    """
    _check([x1, x2], [n1, n2])
    low, high = _ratio_limits(_columns([(x1, n1, x2, n2)]), levels)
    return [
        (a, b if math.isfinite(b) else None) for a, b in zip(low[0].tolist(), high[0].tolist(), strict=True)
    ]


def difference_p(x1: float, n1: float, x2: float, n2: float) -> float:
    """Two-sided p of equal rates by the score test behind `rate_difference`; 1.0 where nothing varies."""
    _check([x1, x2], [n1, n2])
    total = n1 + n2
    pooled = (x1 + x2) / total
    if not 0 < pooled < 1 or total <= 1:
        return 1.0
    variance = pooled * (1 - pooled) * (1 / n1 + 1 / n2) * total / (total - 1)
    return math.erfc(abs(x1 / n1 - x2 / n2) / math.sqrt(2 * variance))


def largest_difference(xs: Sequence[float], ns: Sequence[float], levels: Sequence[float]) -> list[Interval]:
    """Interval of the largest minus the smallest of k >= 2 rates, simultaneous over all pairs by Bonferroni.

    The data choose the extreme pair, so every pair has its say: the low end is the largest lower bound of any
    pair (at least 0), the high end the largest upper bound. Conservative where groups truly differ.
    """
    pairs = _pairs(xs, ns)
    low, high = _difference_limits(_columns(pairs), bonferroni(levels, len(pairs)))
    return widest_gap(low, high)


def smallest_ratio(xs: Sequence[float], ns: Sequence[float], levels: Sequence[float]) -> list[Interval]:
    """Interval in [0, 1] of the smallest over the largest of k >= 2 rates, simultaneous over all pairs.

    Bonferroni over the pairs, as in `largest_difference`.     Where every rate is 0 the ratio is undefined
    and the interval is all of [0, 1].
    """
    pairs = _pairs(xs, ns)
    low, flipped = _ratio_lows(_columns(pairs), bonferroni(levels, len(pairs)))
    with np.errstate(divide="ignore", over="ignore"):
        # Each pair is read both ways round: the high limit of one way is the reciprocal of the other's low.
        highs = np.minimum(1 / np.maximum(low, flipped).max(axis=0), 1.0)
    return list(zip(np.minimum(low, flipped).min(axis=0).tolist(), highs.tolist(), strict=True))


def widest_gap(low: Floats, high: Floats) -> list[Interval]:
    """Interval of the largest absolute difference from joint limits of signed ones, both (pairs, levels)."""
    lows = np.maximum(np.maximum(low, -high).max(axis=0), 0.0)
    highs = np.maximum(high, -low).max(axis=0)
    return list(zip(lows.tolist(), highs.tolist(), strict=True))


def mean_of_rates(xs: Sequence[float], ns: Sequence[float], levels: Sequence[float]) -> list[Interval]:
    """Interval of the plain mean of independent rates, as balanced accuracy is (MOVER on `rate`'s limits).

    Distances from each rate to its limits are squared, added, rooted (Zou and Donner 2008, Stat Med 27:1693).
    A rate with fewer than five successes or failures has exact limits at any level: with Wilson's alone two
    nearly perfect rates of 15 rows are held 86 % of the time.
    """
    _check(xs, ns)
    k = len(xs)
    rates = [(x, n, min(x, n - x) < _FEW) for x, n in zip(xs, ns, strict=True)]
    centre = math.fsum(x / n for x, n, _ in rates) / k
    limits: list[Interval] = []
    for level in levels:
        below = math.hypot(*(x / n - _rate_low(x, n, level, exact=few) for x, n, few in rates)) / k
        above = math.hypot(*((n - x) / n - _rate_low(n - x, n, level, exact=few) for x, n, few in rates)) / k
        limits.append((max(centre - below, 0.0), min(centre + above, 1.0)))
    return limits


def sum_of_differences(
    tables: Sequence[tuple[Sequence[float], Sequence[float]]], levels: Sequence[float]
) -> list[Interval]:
    """Interval of a sum of largest differences, one per (xs, ns) table, as equalized odds sums two gaps.

    Each gap is taken at the Bonferroni level, so their limits hold together and may be added. Conservative.
    """
    shared = bonferroni(levels, len(tables))
    gaps = [largest_difference(xs, ns, shared) for xs, ns in tables]
    limits = [_bounded(gap) for gap in gaps]
    return [
        (math.fsum(low for low, _ in row), math.fsum(high for _, high in row))
        for row in zip(*limits, strict=True)
    ]


def f1(tp: float, fp: float, fn: float, levels: Sequence[float]) -> list[Interval]:
    """Interval of 2tp / (2tp + fp + fn), in [0, 1], exact in its map from Wilson's of tp / (tp + fp + fn).

    F1 rises with the Jaccard index J as 2J/(1+J), and tp is binomial given the rows that are not true
    negatives.
    """
    return [
        (2 * low / (1 + low), 2 * high / (1 + high)) for low, high in _bounded(rate(tp, tp + fp + fn, levels))
    ]


def matthews_value(tp: float, fp: float, fn: float, tn: float) -> float:
    """Matthews correlation of a two-by-two table, in [-1, 1]; 0.0 where a margin is empty."""
    margins = Fraction(tp + fp) * Fraction(tp + fn) * Fraction(tn + fp) * Fraction(tn + fn)
    if not margins:
        return 0.0
    top = Fraction(tp) * Fraction(tn) - Fraction(fp) * Fraction(fn)
    # The square is exact up to here, so tables that are equal but for scale or order give the same bits.
    return math.copysign(math.sqrt(min(float(top * top / margins), 1.0)), top)


def matthews(tp: float, fp: float, fn: float, tn: float, levels: Sequence[float]) -> list[Interval]:
    """Interval of the Matthews correlation, in [-1, 1]: the delta method after one row is added to each cell.

    The observed value is always inside. In the spirit of Agresti and Caffo 2000, Am Stat 54:280. Fisher's z
    in its place covers 64 % and no added row 3 % near a perfect model (benchmarks/coverage.py has this one's
    figures).
    """
    if min(tp, fp, fn, tn) < 0 or tp + fp + fn + tn <= 0:
        raise ValueError("a table of counts is not negative and not empty")
    value = matthews_value(tp, fp, fn, tn)
    a, b, c, d = tp + 1, fp + 1, fn + 1, tn + 1
    n = math.fsum((a, b, c, d))
    centre = (a * d - b * c) / math.sqrt((a + b) * (a + c) * (d + b) * (d + c))
    real, called = math.sqrt((b + d) / (a + c)), math.sqrt((c + d) / (a + b))
    # Standardised truth u and call v of each cell: such a row moves a correlation r by uv - r(u^2 + v^2)/2.
    cells = ((a, real, called), (b, -1 / real, called), (c, real, -1 / called), (d, -1 / real, -1 / called))
    spread = math.sqrt(math.fsum(w * (u * v - centre * (u * u + v * v) / 2) ** 2 for w, u, v in cells)) / n
    reach = [normal_quantile(level) * spread for level in levels]
    return [(max(min(centre - far, value), -1.0), min(max(centre + far, value), 1.0)) for far in reach]


def _check(xs: Sequence[float], ns: Sequence[float]) -> None:
    for x, n in zip(xs, ns, strict=True):
        if not (0 < n < math.inf and 0 <= x <= n):
            raise ValueError(f"{x} of {n} is no rate: expected 0 <= successes <= n and n > 0")


def _bounded(limits: list[Interval]) -> list[tuple[float, float]]:
    return [(low, high) for low, high in limits if low is not None and high is not None]


def _special() -> Any:
    """scipy.special, whose import costs more than most audits' intervals."""
    from scipy import special

    return special


def _rate_low(x: float, n: float, level: float, *, exact: bool = False) -> float:
    """Lower root of n(x/n - p)^2 = z^2 p(1-p), as a quotient without cancellation: exactly 0 at x = 0."""
    if x == 0:
        return 0.0
    z = normal_quantile(level)
    low = 2 * x * x / n / (2 * x + z * z + z * math.sqrt(z * z + 4 * x * (n - x) / n))
    if exact or level > WIDENED_ABOVE:
        low = min(low, float(_special().betaincinv(x, n - x + 1, (1 - level) / 2)))
    return min(low, x / n)


def _pairs(xs: Sequence[float], ns: Sequence[float]) -> list[tuple[float, float, float, float]]:
    _check(xs, ns)
    if len(xs) < 2:
        raise ValueError("a gap needs at least two groups")
    return [(xs[i], ns[i], xs[j], ns[j]) for i, j in combinations(range(len(xs)), 2)]


def _columns(pairs: Sequence[tuple[float, float, float, float]]) -> Counts:
    """Counts as four (pairs, 1) columns, where the dust of a weighted sum counts as nothing."""
    x1, n1, x2, n2 = np.array(pairs, dtype=np.float64).T[:, :, None]
    x1, x2 = (np.where(x < _DUST, 0.0, np.where(n - x < _DUST, n, x)) for x, n in ((x1, n1), (x2, n2)))
    return x1, n1, x2, n2


def _difference_limits(counts: Counts, levels: Sequence[float]) -> tuple[Floats, Floats]:
    """Limits of p1 - p2, one row per pair and one column per level."""
    low, high = _differences(*counts, np.array([[normal_quantile(level) for level in levels]]))
    wide = [i for i, level in enumerate(levels) if level > WIDENED_ABOVE]
    if wide:
        l1, u1, l2, u2 = _exact_limits(counts, [levels[i] for i in wide])
        x1, n1, x2, n2 = counts
        p1, p2 = x1 / n1, x2 / n2
        low[:, wide] = np.minimum(low[:, wide], p1 - p2 - np.sqrt((p1 - l1) ** 2 + (u2 - p2) ** 2))
        high[:, wide] = np.maximum(high[:, wide], p1 - p2 + np.sqrt((u1 - p1) ** 2 + (p2 - l2) ** 2))
    return low, high


def _ratio_limits(counts: Counts, levels: Sequence[float]) -> tuple[Floats, Floats]:
    """Limits of p1 / p2, infinity where unbounded, one row per pair and one column per level."""
    low, flipped = _ratio_lows(counts, levels)
    with np.errstate(divide="ignore", over="ignore"):
        return low, 1 / flipped


def _ratio_lows(counts: Counts, levels: Sequence[float]) -> tuple[Floats, Floats]:
    """Lower limits of p1 / p2 and of p2 / p1, whose reciprocals are the upper ones."""
    x1, n1, x2, n2 = counts
    total, smaller = n1 + n2, np.maximum(np.minimum(n1, n2), 2.0)
    # N/(N-1) makes room for two groups of one size. A small one beside a large one varies as if alone.
    room = np.sqrt(smaller / (smaller - 1) * (total - 1) / total)
    low, flipped = _ratios(*counts, room * np.array([[normal_quantile(level) for level in levels]]))
    wide = [i for i, level in enumerate(levels) if level > WIDENED_ABOVE]
    if wide:
        l1, u1, l2, u2 = _exact_limits(counts, [levels[i] for i in wide])
        p1, p2 = x1 / n1, x2 / n2
        low[:, wide] = np.minimum(low[:, wide], _mover_ratio_low(p1, l1, p2, u2))
        flipped[:, wide] = np.minimum(flipped[:, wide], _mover_ratio_low(p2, l2, p1, u1))
    return low, flipped


def _exact_limits(counts: Counts, levels: Sequence[float]) -> tuple[Floats, Floats, Floats, Floats]:
    """Clopper and Pearson's low and high of both rates."""
    tails = np.array([[(1 - level) / 2 for level in levels]])

    def low(x: Floats, n: Floats) -> Floats:
        found: Floats = _special().betaincinv(np.where(x > 0, x, 1.0), n - x + 1, tails)
        # Of counts far below one the true limit underflows, and what scipy then gives is no limit.
        return np.where((x > 0) & (found > 1e-100), found, 0.0)

    x1, n1, x2, n2 = counts
    return low(x1, n1), 1 - low(n1 - x1, n1), low(x2, n2), 1 - low(n2 - x2, n2)


def _mover_ratio_low(p1: Floats, l1: Floats, p2: Floats, u2: Floats) -> Floats:
    """Donner and Zou's lower limit of p1/p2, written so that nothing cancels: 0 at l1 = 0."""
    apart = l1 * (2 * p1 - l1)
    under = p1 * p2 + np.sqrt((u2 - p2) ** 2 * apart + ((p1 - l1) * p2) ** 2)
    return np.where(under > 0, apart / np.where(under > 0, under, 1.0), 0.0)


def _differences(x1: Floats, n1: Floats, x2: Floats, n2: Floats, z: Floats) -> tuple[Floats, Floats]:
    """Miettinen-Nurminen limits of p1 - p2, one row per pair and one column per level.

    Both limits come from the lower one, since swapping the groups turns the interval round: so it does to the
    bit.
    """
    x1, n1, x2, n2, z = np.broadcast_arrays(x1, n1, x2, n2, z)
    low, minus_high = _difference_low(
        *(np.stack(pair) for pair in ((x1, x2), (n1, n2), (x2, x1), (n2, n1), (z, z)))
    )
    return low, -minus_high


def _difference_low(x1: Floats, n1: Floats, x2: Floats, n2: Floats, z: Floats) -> Floats:
    """Solve for the Lagrange multiplier m of the constraint p1 - p2 = d instead of for d.

    Given m each rate is the root of one quadratic, and the score statistic is m * sqrt(p1 q1/n1 + p2 q2/n2):
    no cubic per step. At the largest variance m is smallest, which brackets it from below.
    """
    total = n1 + n2
    # Under one row in all the factor N/(N-1) has no meaning and nothing is known.
    unknown = (total <= 1) | ((x1 == 0) & (x2 == n2))
    target = z * z * np.where(unknown, 1.0, total / np.where(unknown, 1.0, total - 1))

    def excess(m: Floats) -> Floats:
        (p1, q1), (p2, q2) = _tilted(x1, n1, m), _tilted(x2, n2, -m)
        return m * m * (p1 * q1 / n1 + p2 * q2 / n2) - target

    start = np.sqrt(target / (0.25 / n1 + 0.25 / n2))
    end = 2 * start
    for _ in range(_STEPS):
        short = ~unknown & (excess(end) < 0)
        if not short.any():
            break
        start = np.where(short, end, start)
        end = np.where(short, 8 * end, end)
    m = find_roots(excess, start, end)
    difference = _tilted(x1, n1, m)[0] - _tilted(x2, n2, -m)[0]
    return np.where(unknown, -1.0, np.clip(difference, -1.0, x1 / n1 - x2 / n2))


def _tilted(x: Floats, n: Floats, m: Floats) -> tuple[Floats, Floats]:
    """Root p in [0, 1] of x - n p = m p (1 - p), and 1 - p, each in the form that does not cancel."""
    # Two forms of the same discriminant; each is a sum of terms that are not negative.
    root = np.sqrt(np.where(m > 0, (n - m) ** 2 + 4 * m * (n - x), (n + m) ** 2 - 4 * m * x))

    def tilted(count: Floats, pull: Floats) -> Floats:
        b = n + pull
        up = b > 0
        return np.where(up, 2 * count / np.where(up, b + root, 1.0), (b - root) / np.where(up, 1.0, 2 * pull))

    return tilted(x, m), tilted(n - x, -m)


def _ratios(x1: Floats, n1: Floats, x2: Floats, n2: Floats, z: Floats) -> tuple[Floats, Floats]:
    """Miettinen-Nurminen lower limits of p1 / p2 and of p2 / p1, per pair and level."""
    x1, n1, x2, n2, z = np.broadcast_arrays(x1, n1, x2, n2, z)
    low, flipped = _ratio_low(*(np.stack(pair) for pair in ((x1, x2), (n1, n2), (x2, x1), (n2, n1), (z, z))))
    return low, flipped


def _ratio_low(x1: Floats, n1: Floats, x2: Floats, n2: Floats, z: Floats) -> Floats:
    """Solve for k, the rows the constraint p1 = r p2 moves: p1 = (x1-k)/(n1-k) and p2 = (x2+k)/(n2+k).

    The score statistic is then k^2 (q1/(n1 p1) + q2/(n2 p2)) with the observed failures in the numerators,
    rising in k.
    """
    total = n1 + n2
    unknown = (total <= 1) | (x1 == 0)
    target = z * z * np.where(unknown, 1.0, total / np.where(unknown, 1.0, total - 1))
    a, b = (n1 - x1) / n1, (n2 - x2) / n2

    def excess(left: Floats) -> Floats:
        k = x1 - left
        moved = np.where(k > 0, k, 1.0)
        second = np.where(k > 0, b * k * k / (x2 + moved), 0.0)
        return left * (target - second) - a * k * k

    # What is left of x1 is solved for: near a rate of 0 it is all that counts, and x1 - k would cancel.
    left = find_roots(excess, np.zeros_like(x1), x1 * 1.0)
    k = x1 - left
    full = x1 == n1
    with np.errstate(divide="ignore", invalid="ignore"):
        # Where every row of group 1 succeeds, p1 stays 1 until k reaches n1, and then falls with k fixed.
        b_safe = np.where(b > 0, b, 1.0)
        k_full = (target + np.sqrt(target * (target + 4 * b * x2))) / (2 * b_safe)
        inside = full & (b > 0) & (k_full < n1)
        odds_lost = np.maximum(target - b * n1 * n1 / (x2 + n1), 0.0) / n1
        p1 = np.where(inside, 1.0, np.where(full, 1 / (1 + odds_lost), left / (n1 - x1 + left)))
        k = np.where(inside, k_full, np.where(full, n1, k))
        ratio = p1 * (n2 + k) / (x2 + k)
        observed = np.where(x2 > 0, (x1 / n1) / (x2 / n2), np.inf)
    return np.where(unknown, 0.0, np.clip(ratio, 0.0, observed))


def find_roots(f: Callable[[Floats], Floats], low: Floats, high: Floats) -> Floats:
    """Roots of a rising `f` between arrays `low` and `high`; no element's bits depend on another's.

    Chandrupatla 1997, Adv Eng Software 28:145: inverse quadratic steps where they are safe, halving where
    not.
    """
    b, a = low, high
    fb, fa = f(b), f(a)
    share = np.full(a.shape, 0.5)
    best = np.where(np.abs(fa) < np.abs(fb), a, b)
    done = np.minimum(np.abs(fa), np.abs(fb)) == 0
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(_STEPS):
            if done.all():
                break
            x = np.where(done, best, a + share * (b - a))
            fx = f(x)
            same = np.sign(fx) == np.sign(fa)
            c, fc = np.where(same, a, b), np.where(same, fa, fb)
            b, fb = np.where(same, b, a), np.where(same, fb, fa)
            a, fa = x, fx
            nearest = np.where(np.abs(fa) < np.abs(fb), a, b)
            best = np.where(done, best, nearest)
            least = 2e-16 * np.abs(best) / np.abs(b - a)
            done = done | (least > 0.5) | (np.minimum(np.abs(fa), np.abs(fb)) == 0) | (a == b)
            xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
            safe = (phi * phi < xi) & ((1 - phi) ** 2 < 1 - xi)
            step = fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
            share = np.clip(np.where(safe, step, 0.5), least, 1 - least)
    return best

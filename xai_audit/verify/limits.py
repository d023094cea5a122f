"""Limits of counts, written again from their formulas and solved for the unknown itself: a second opinion.

What is measured solves for a multiplier or a shift of counts; here the rate, the difference or the ratio is found by
root finding on the textbook's equation. Levels are two-sided; counts may be fractions (weights, clusters). Up to 95 %
limits are score limits, beyond it they also hold the exact ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import combinations
from typing import Any

Limit = tuple[float | None, float | None]
Both = tuple[float, float]
Found = tuple[float, Callable[[float], Limit]]
"""A number, and its limits at any level."""
Counts = tuple[float, float]
"""Successes and rows."""

WIDE = 0.95
"""Beyond this level score limits are widened to exact ones."""
DUST = 1e-9
"""A count nearer to none or to all than this is none or all: sums of weights leave so much."""
FEW = 5


@lru_cache(maxsize=4096)
def z(level: float) -> float:
    """Half-width of a two-sided normal interval, in standard errors."""
    return -float(_special().ndtri((1 - level) / 2))


def shared(level: float, m: int) -> float:
    """The level at which each of m intervals is taken so that all hold together (Bonferroni)."""
    return 1 - (1 - level) / m


def root(f: Callable[[float], float], low: float, high: float) -> float:
    """Where ``f`` changes its sign between two ends, to the last digits."""
    return float(_optimize().brentq(f, low, high, xtol=1e-18, rtol=1e-14, maxiter=500))


@lru_cache(maxsize=65536)
def wilson(x: float, n: float, level: float) -> Both:
    """Wilson's score limits: the roots of (x/n - p)^2 = z^2 p(1-p)/n."""
    if x <= 0:
        return 0.0, z(level) ** 2 / (n + z(level) ** 2)
    square = z(level) ** 2
    high = (x + square / 2 + z(level) * math.sqrt(x * (n - x) / n + square / 4)) / (n + square)
    return x * x / (n * (n + square) * high), min(
        high, 1.0
    )  # the product of both roots is x^2 / (n (n + z^2))


@lru_cache(maxsize=65536)
def exact_low(x: float, n: float, level: float) -> float:
    """Clopper and Pearson's lower limit: the rate at which x or more of n has half of the error as its chance."""
    if x <= 0:
        return 0.0
    tail = (1 - level) / 2

    def beyond(log_rate: float) -> float:
        return float(_special().betainc(x, n - x + 1, math.exp(log_rate))) - tail

    # On the logarithm, since limits of few successes are small; what lies below e-100 is no limit.
    floor = -100 * math.log(10)
    return math.exp(root(beyond, floor, 0.0)) if beyond(floor) < 0 else 0.0


def exact(x: float, n: float, level: float) -> Both:
    """Clopper and Pearson's limits of a rate."""
    return exact_low(x, n, level), 1 - exact_low(n - x, n, level)


def rate(x: float, n: float, level: float, *, widened: bool = False) -> Both:
    """Limits of one rate: Wilson's, with the exact ones where the level or ``widened`` asks for them."""
    low, high = wilson(x, n, level)[0], 1 - wilson(n - x, n, level)[0]
    if widened or level > WIDE:
        low, high = min(low, exact(x, n, level)[0]), max(high, exact(x, n, level)[1])
    return min(low, x / n), max(high, x / n)


def _clean(x: float, n: float) -> float:
    return 0.0 if x < DUST else n if n - x < DUST else x


@lru_cache(maxsize=65536)
def difference(x1: float, n1: float, x2: float, n2: float, level: float) -> Both:
    """Miettinen and Nurminen's limits of x1/n1 - x2/n2; beyond 95 % with MOVER on exact limits of both rates."""
    x1, x2 = _clean(x1, n1), _clean(x2, n2)
    low, high = _difference_low(x1, n1, x2, n2, level), -_difference_low(x2, n2, x1, n1, level)
    if level > WIDE:
        p1, p2 = x1 / n1, x2 / n2
        (l1, u1), (l2, u2) = exact(x1, n1, level), exact(x2, n2, level)
        low = min(low, p1 - p2 - math.hypot(p1 - l1, u2 - p2))
        high = max(high, p1 - p2 + math.hypot(u1 - p1, p2 - l2))
    return low, high


def _difference_low(x1: float, n1: float, x2: float, n2: float, level: float) -> float:
    total, seen = n1 + n2, x1 / n1 - x2 / n2
    if total <= 1 or seen <= -1:
        return -1.0
    factor = z(level) ** 2 * total / (total - 1)

    def surplus(gap: float) -> float:
        p1, p2 = _at_difference(x1, n1, x2, n2, gap)
        return (seen - gap) ** 2 - factor * (p1 * (1 - p1) / n1 + p2 * (1 - p2) / n2)

    # Where neither rate varies the equation has a second root at the value seen: start beside it.
    start = seen if surplus(seen) < 0 else seen - 1e-13
    if surplus(start) >= 0:
        return start
    return root(surplus, -1.0, start) if surplus(-1.0) > 0 else -1.0


def _at_difference(x1: float, n1: float, x2: float, n2: float, gap: float) -> Both:
    """The most likely rates p1 = p2 + gap, from the derivative of the likelihood without its denominators."""
    if gap == 0:
        pooled = (x1 + x2) / (n1 + n2)
        return pooled, pooled
    lost1, lost2 = n1 - x1, n2 - x2

    def slope(p2: float) -> float:
        p1 = p2 + gap
        a, b = (p1 if x1 else 1.0), (1 - p1 if lost1 else 1.0)
        c, d = (p2 if x2 else 1.0), (1 - p2 if lost2 else 1.0)
        return x1 * b * c * d - lost1 * a * c * d + x2 * a * b * d - lost2 * a * b * c

    low, high = max(0.0, -gap), min(1.0, 1 - gap)
    if slope(low) <= 0:
        p2 = low
    elif slope(high) >= 0:
        p2 = high
    else:
        p2 = root(slope, low, high)
    return min(max(p2 + gap, 0.0), 1.0), p2


@lru_cache(maxsize=65536)
def ratio_low(x1: float, n1: float, x2: float, n2: float, level: float) -> float:
    """The lower score limit of (x1/n1) / (x2/n2); N/(N-1) is of the smaller group; beyond 95 % with MOVER-R."""
    x1, x2 = _clean(x1, n1), _clean(x2, n2)
    low = _score_ratio_low(x1, n1, x2, n2, level)
    if level > WIDE:
        low = min(low, _mover_ratio_low(x1, n1, x2, n2, level))
    return low


def ratio(x1: float, n1: float, x2: float, n2: float, level: float) -> Limit:
    """Limits of (x1/n1) / (x2/n2), unbounded above where x2 may be none."""
    flipped = ratio_low(x2, n2, x1, n1, level)
    return ratio_low(x1, n1, x2, n2, level), 1 / flipped if flipped > 0 else None


def _score_ratio_low(x1: float, n1: float, x2: float, n2: float, level: float) -> float:
    if n1 + n2 <= 1 or x1 == 0:
        return 0.0
    smaller = max(min(n1, n2), 2.0)
    factor = z(level) ** 2 * smaller / (smaller - 1)

    def surplus(log_ratio: float) -> float:
        r = math.exp(log_ratio)
        p1, p2 = _at_ratio(x1, n1, x2, n2, r)
        return (x1 / n1 - r * x2 / n2) ** 2 - factor * (p1 * (1 - p1) / n1 + r * r * p2 * (1 - p2) / n2)

    seen = math.log(x1 / n1 * n2 / x2) if x2 else math.log(x1 / n1 * n2) + 60
    start = seen if surplus(seen) < 0 else seen - 1e-12
    step, end = 1.0, start - 1.0
    while surplus(end) <= 0 and step < 1e3:
        step *= 2
        end -= step
    return min(math.exp(root(surplus, end, start)), math.exp(seen))


def _at_ratio(x1: float, n1: float, x2: float, n2: float, r: float) -> Both:
    """The most likely rates p1 = r p2 (Miettinen and Nurminen's quadratic; its double roots taken by hand)."""
    total = n1 + n2
    if x1 == n1:
        p1 = min(1.0, r * (n1 + x2) / total)
        return p1, min(p1 / r, 1.0)
    if x2 == n2:
        p1 = min(r, (x1 + n2) / total)
        return p1, min(p1 / r, 1.0)
    b, c = n1 * r + x1 + n2 + x2 * r, x1 + x2
    p2 = 2 * c / (b + math.sqrt(max(b * b - 4 * total * r * c, 0.0)))
    return r * p2, p2


def _mover_ratio_low(x1: float, n1: float, x2: float, n2: float, level: float) -> float:
    """Donner and Zou's lower limit of a ratio, on exact limits."""
    p1, p2 = x1 / n1, x2 / n2
    low1, high2 = exact(x1, n1, level)[0], exact(x2, n2, level)[1]
    e, f = p1 - low1, high2 - p2
    above = low1 * (2 * p1 - low1)
    below = p1 * p2 + math.sqrt(above * f**2 + (p2 * e) ** 2)  # above is p1^2 - e^2
    return above / below if above > 0 and below > 0 else 0.0


def equal_p(x1: float, n1: float, x2: float, n2: float) -> float:
    """Two-sided p of equal rates: the score test's chi-square with one degree of freedom."""
    total = n1 + n2
    share = (x1 + x2) / total
    if not 0 < share < 1 or total <= 1:
        return 1.0
    square = (x1 / n1 - x2 / n2) ** 2 * (total - 1) / total / (share * (1 - share) * (1 / n1 + 1 / n2))
    return float(_special().chdtrc(1, square))


def widest(counts: Sequence[Counts], level: float) -> Both:
    """Limits of the largest difference of any two rates, for all pairs at once."""
    pairs = list(combinations(counts, 2))
    found = [difference(*one, *other, shared(level, len(pairs))) for one, other in pairs]
    lows = [max(low, -high) for low, high in found]
    highs = [max(high, -low) for low, high in found]
    return max(0.0, *lows), max(highs)


def smallest_ratio(counts: Sequence[Counts], level: float) -> Both:
    """Limits of the smallest rate over the largest, for all pairs at once; at most 1."""
    pairs = list(combinations(counts, 2))
    level = shared(level, len(pairs))
    lows = [(ratio_low(*one, *other, level), ratio_low(*other, *one, level)) for one, other in pairs]
    highest = max(max(both) for both in lows)
    return min(min(both) for both in lows), min(1 / highest, 1.0) if highest > 0 else 1.0


def mean_of_rates(counts: Sequence[Counts], level: float) -> Both:
    """MOVER limits of the plain mean of rates; a rate of fewer than five successes or failures has exact ones."""
    k = len(counts)
    below, above, values = [], [], []
    for x, n in counts:
        low, high = rate(x, n, level, widened=min(x, n - x) < FEW)
        values.append(x / n)
        below.append(x / n - low)
        above.append(high - x / n)
    centre = math.fsum(values) / k
    return max(centre - math.hypot(*below) / k, 0.0), min(centre + math.hypot(*above) / k, 1.0)


def f1(tp: float, fp: float, fn: float, level: float) -> Both:
    """Limits of F1 = 2J/(1+J) from those of the Jaccard index J = tp / (tp + fp + fn)."""
    low, high = rate(tp, tp + fp + fn, level)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def phi(tp: float, fp: float, fn: float, tn: float) -> float:
    """Matthews correlation of a two-by-two table; 0 where a margin is empty."""
    a, b, c, d = map(Fraction, (tp, fp, fn, tn))
    margins, above = (a + b) * (a + c) * (d + b) * (d + c), a * d - b * c
    # In fractions, so that two groups of one value have it to the bit.
    return math.copysign(math.sqrt(float(above**2 / margins)), above) if margins else 0.0


def matthews(tp: float, fp: float, fn: float, tn: float, level: float) -> Both:
    """Limits of it: its large-sample variance (Bishop, Fienberg, Holland 1975) after one row is added to each cell."""
    a, b, c, d = tp + 1, fp + 1, fn + 1, tn + 1
    n = a + b + c + d
    called, real = (a + b) / n, (a + c) / n
    value = phi(a, b, c, d)
    row, column = called * (1 - called), real * (1 - real)
    dr, dc = 2 * called - 1, 2 * real - 1
    variance = (
        1
        - value**2
        + value * (1 + value**2 / 2) * dr * dc / math.sqrt(row * column)
        - 0.75 * value**2 * (dr**2 / row + dc**2 / column)
    ) / n
    reach, seen = z(level) * math.sqrt(variance), phi(tp, fp, fn, tn)
    return max(min(value - reach, seen), -1.0), min(max(value + reach, seen), 1.0)


def mantel_haenszel(strata: Sequence[tuple[int, int, int, int]], level: float) -> tuple[float, Both]:
    """The pooled difference of two rates (selected, all; selected, all) over strata, and Sato's limits of it."""
    used = [(x1, n1, x0, n0, n1 + n0) for x1, n1, x0, n0 in strata if n1 and n0]
    weight = sum(n1 * n0 / n for _, n1, _, n0, n in used)
    value = sum((x1 / n1 - x0 / n0) * n1 * n0 / n for x1, n1, x0, n0, n in used) / weight
    p = sum((n1**2 * x0 - n0**2 * x1 + n1 * n0 * (n0 - n1) / 2) / n**2 for x1, n1, x0, n0, n in used)
    q = sum((x1 * (n0 - x0) + x0 * (n1 - x1)) / (2 * n) for x1, n1, x0, n0, n in used)
    reach = z(level) * math.sqrt(max((value * p + q) / weight**2, 0.0))
    return value, (max(value - reach, -1.0), min(value + reach, 1.0))


def _special() -> Any:
    from scipy import special

    return special


def _optimize() -> Any:
    from scipy import optimize

    return optimize

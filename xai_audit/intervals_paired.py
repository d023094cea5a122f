"""Intervals of what changed on the same rows: two models that answered the same questions, new minus old.

Every function takes all confidence levels at once and gives one `(low, high)` per level, in the order asked;
`None` is an unbounded limit. Bits depend on counts, or on sums that are rounded once, never on the order of rows.
Swapping old and new turns every interval round. benchmarks/compare.py has how often each holds the truth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from xai_audit import intervals as iv
from xai_audit import intervals_roc as roc
from xai_audit import intervals_rows as from_rows
from xai_audit.intervals import Interval, find_roots, normal_quantile
from xai_audit.intervals_rows import Clusters, Measured, Rows, t_quantile

Floats = NDArray[np.float64]
Rows2 = tuple[Rows, Rows]
Tabled = Literal[
    "precision", "negative_predictive_value", "false_discovery_rate", "false_omission_rate", "f1",
    "matthews_corrcoef",
]  # fmt: skip
TABLED = get_args(Tabled)
Table = tuple[float, float, float, float]
"""True positives, false positives, false negatives, true negatives."""

CELLS = tuple((true, old, new) for true in (True, False) for old in (True, False) for new in (True, False))
"""What a row may be, two models seen together: truly, by the old model, by the new one."""


def rate_change(gained: float, lost: float, n: float, levels: Sequence[float]) -> list[Interval]:
    """Score interval of (gained - lost) / n, in [-1, 1]: a share of the same n rows, before and after.

    ``gained`` rows count now and did not, ``lost`` rows did and do not. Tango 1998, Stat Med 17:891. Beyond 95 % it
    also contains MOVER on exact limits of both shares (Zou and Donner 2008, Stat Med 27:1693), since far out a score
    limit errs by up to 2.5 times what it says. Raises ValueError where a count is impossible.
    """
    if not (0 < n < math.inf and gained >= 0 and lost >= 0 and gained + lost <= n * (1 + 1e-12)):
        raise ValueError(f"{gained} gained and {lost} lost of {n} is no change of a share")
    # Both limits come from the lower one, since swapping old and new turns the interval round: so it does to the bit.
    lows, highs = _lows(gained, lost, n, levels), _lows(lost, gained, n, levels)
    return [(low, -high) for low, high in zip(lows, highs, strict=True)]


def mean_change(
    old: Rows,
    new: Rows,
    levels: Sequence[float],
    weights: Rows | None = None,
    clusters: Clusters | None = None,
) -> Measured:
    """Mean of the row differences, with Student's t of them; with weights or clusters jackknifed over these."""
    differences = [b - a for a, b in zip(_listed(old), _listed(new), strict=True)]
    if weights is None and clusters is None:
        return from_rows.mean(differences, levels)
    return from_rows.clustered_mean(differences, weights, clusters, levels)


def relative_change(old: Rows, new: Rows, levels: Sequence[float], power: float = 1.0) -> Measured:
    """(Mean of new over mean of old) to some power, less 1: how much larger an error became; t on the logarithm.

    ``power`` is 0.5 where the rows are squares, of which a root is taken. ValueError where a mean is not positive.
    """
    before, after = _listed(old), _listed(new)
    a, b = math.fsum(before) / len(before), math.fsum(after) / len(after)
    if not (a > 0 and b > 0):
        raise ValueError("a relative change needs errors above 0 before and after")
    _, around = from_rows.mean([y / b - x / a for x, y in zip(before, after, strict=True)], levels)
    centre = math.log(b / a)
    limits = [
        (
            _grown(None if low is None else centre + low, power),
            _grown(None if high is None else centre + high, power),
        )
        for low, high in around
    ]
    return _grown(centre, power) or 0.0, limits


def root_mean_square_change(old: Rows, new: Rows, levels: Sequence[float]) -> Measured:
    """Root of the mean square of the new errors less that of the old; t on each row's influence on it."""
    before, after = ([e * e for e in _listed(errors)] for errors in (old, new))
    a, b = (math.sqrt(math.fsum(squares) / len(squares)) for squares in (before, after))
    moved = [
        (y / b if b else 0.0) / 2 - (x / a if a else 0.0) / 2 for x, y in zip(before, after, strict=True)
    ]
    return _around(b - a, from_rows.mean(moved, levels))


def r_squared_change(truth: Rows, old: Rows, new: Rows, levels: Sequence[float]) -> Measured:
    """Share of the variance of ``truth`` that new predictions explain, less that of the old ones.

    t on each row's influence on the ratio of sums. ValueError where the truth does not vary.
    """
    ys = _listed(truth)
    centre = math.fsum(ys) / len(ys)
    spread = [(y - centre) ** 2 for y in ys]
    mean = math.fsum(spread) / len(ys)
    if mean == 0:
        raise ValueError("R2 is undefined where the truth does not vary")
    rows = zip(ys, _listed(old), _listed(new), strict=True)
    saved = [((y - a) ** 2 - (y - b) ** 2) / mean for y, a, b in rows]
    value = math.fsum(saved) / len(saved)
    moved = [s - value * v / mean for s, v in zip(saved, spread, strict=True)]
    return _around(value, from_rows.mean(moved, levels))


def auc_change(old: Rows2, new: Rows2, levels: Sequence[float]) -> Measured:
    """AUC of new less AUC of old scores, each (positives, negatives) with the same rows in the same order.

    The union of DeLong's interval of the difference (1988, Biometrics 44:837), with a t of the smaller class, and of
    MOVER on each AUC's own interval with DeLong's correlation (Zou and Donner 2008): the first alone falls to 68 % at
    ten positives and an AUC of 0.97, the second to 91 % where scores hardly differ. In [-1, 1].
    """
    (a, at_a), (b, at_b) = roc.auc(*old, levels), roc.auc(*new, levels)
    m, n = len(old[0]), len(old[1])
    (wins_a, losses_a), (wins_b, losses_b) = _placements(*old), _placements(*new)
    value = b - a
    spread = (
        _covariance(wins_b - wins_a, wins_b - wins_a) / m
        + _covariance(losses_b - losses_a, losses_b - losses_a) / n
    )
    own = [_covariance(w, w) / m + _covariance(s, s) / n for w, s in ((wins_a, losses_a), (wins_b, losses_b))]
    both = _covariance(wins_a, wins_b) / m + _covariance(losses_a, losses_b) / n
    # Of a class of one row nothing tells how both go together.
    told = min(m, n) > 1 and own[0] > 0 and own[1] > 0
    r = min(max(both / math.sqrt(own[0] * own[1]), -1.0), 1.0) if told else 0.0
    limits: list[Interval] = []
    for i, level in enumerate(levels):
        (low_a, high_a), (low_b, high_b) = at_a[i], at_b[i]
        assert None not in {low_a, high_a, low_b, high_b}
        below = _joined(b - (low_b or 0.0), (high_a or 0.0) - a, r)
        above = _joined((high_b or 0.0) - b, a - (low_a or 0.0), r)
        if min(m, n) > 1:
            reach = t_quantile(level, min(m, n) - 1) * math.sqrt(spread)
            below, above = max(below, reach), max(above, reach)
        limits.append((max(value - below, -1.0), min(value + above, 1.0)))
    return value, limits


def table_change(counts: Sequence[float], of: Tabled, levels: Sequence[float]) -> Measured:
    """New less old value of what is made of a confusion table whose denominators the predictions decide.

    ``counts`` are rows by CELLS. The delta method after z^2 rows are spread over the eight cells, z being the level's
    normal quantile (the room that Agresti and Coull give one share, 1998, Am Stat 52:119); the observed value is
    always inside. Without the added rows it holds 31 % near a perfect model. ValueError where the value is undefined.
    """
    seen = np.asarray(counts, dtype=np.float64)
    if seen.shape != (8,) or (seen < 0).any():
        raise ValueError("a table of two models has eight counts, none of them negative")
    before, after = _tables(seen)
    value = tabled(after, of) - tabled(before, of)
    limits: list[Interval] = []
    df = max(float(seen.sum()) - 1, 1.0)
    for level in levels:
        roomy = seen + normal_quantile(level) ** 2 / 8
        a, b = _tables(roomy)
        pulls_a, pulls_b = _pulls(a, of), _pulls(b, of)
        centre = tabled(b, of) - tabled(a, of)
        # What a row of each cell moves the difference by; its mean is 0, since only shares count.
        moved = [pulls_b[_place(true, new)] - pulls_a[_place(true, old)] for true, old, new in CELLS]
        reach = t_quantile(level, df) * math.sqrt(
            math.fsum(w * x * x for w, x in zip(roomy.tolist(), moved, strict=True))
        )
        least = -1.0 if of != "matthews_corrcoef" else -2.0
        limits.append((max(min(centre - reach, value), least), min(max(centre + reach, value), -least)))
    return value, limits


def tabled(table: Table, of: Tabled) -> float:
    """A number made of a confusion table; ValueError where its denominator is empty."""
    tp, fp, fn, tn = table
    top, bottom = {
        "precision": (tp, tp + fp),
        "false_discovery_rate": (fp, tp + fp),
        "negative_predictive_value": (tn, tn + fn),
        "false_omission_rate": (fn, tn + fn),
        "f1": (2 * tp, 2 * tp + fp + fn),
        "matthews_corrcoef": (0.0, (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)),
    }[of]
    if bottom <= 0:
        raise ValueError(f"{of} is undefined for this table")
    return iv.matthews_value(tp, fp, fn, tn) if of == "matthews_corrcoef" else top / bottom


def mean_of_changes(changes: Sequence[tuple[float, list[Interval]]]) -> Measured:
    """Plain mean of independent changes, as balanced accuracy's over classes: MOVER on their limits."""
    k = len(changes)
    value = math.fsum(one for one, _ in changes) / k
    limits: list[Interval] = []
    for i in range(len(changes[0][1])):
        lows = [None if ends[i][0] is None else one - (ends[i][0] or 0.0) for one, ends in changes]
        highs = [None if ends[i][1] is None else (ends[i][1] or 0.0) - one for one, ends in changes]
        limits.append((_less(value, lows, k, -1), _less(value, highs, k, 1)))
    return value, limits


def unpaired(old: Measured, new: Measured) -> Measured:
    """New less old of independent rows, from each one's own limits (MOVER, Zou and Donner 2008, Stat Med 27:1693).

    Of rows that both share it is wider than need be, as long as what is right for one is mostly right for the other.
    """
    (a, at_a), (b, at_b) = old, new
    limits: list[Interval] = []
    for (low_a, high_a), (low_b, high_b) in zip(at_a, at_b, strict=True):
        down = None if low_b is None or high_a is None else b - a - math.hypot(b - low_b, high_a - a)
        up = None if high_b is None or low_a is None else b - a + math.hypot(high_b - b, a - low_a)
        limits.append((down, up))
    return b - a, limits


def _lows(gained: float, lost: float, n: float, levels: Sequence[float]) -> list[float]:
    """Tango's lower limits of (gained - lost) / n; beyond 95 % the lower of them and MOVER's on exact limits."""
    found = []
    scores = _tango_lows(gained, lost, n, [normal_quantile(level) for level in levels])
    for level, score in zip(levels, scores, strict=True):
        low = min(score, _exact_low(gained, lost, n, level)) if level > iv.WIDENED_ABOVE else score
        found.append(max(min(low, (gained - lost) / n), -1.0))
    return found


def _tango_lows(gained: float, lost: float, n: float, quantiles: Sequence[float]) -> list[float]:
    seen, z = (gained - lost) / n, np.array(quantiles, dtype=np.float64)
    if lost >= n:
        return [-1.0] * len(quantiles)
    # Where one count is all there is, the variance is 0 at what was seen and the limit has a closed form.
    if gained + lost == 0 or gained >= n:
        closed: list[float] = (((n if gained else 0.0) - z * z) / (n + z * z)).tolist()
        return closed

    def excess(at: Floats) -> Floats:
        # The share of lost rows that is likeliest where the change is `at`: the larger root of a quadratic.
        b = -gained - lost + (2 * n - gained + lost) * at
        root = np.sqrt(np.maximum(b * b + 8 * n * lost * at * (1 - at), 0.0))
        # Two forms of one root, each without cancellation.
        c = -lost * at * (1 - at)
        share = np.where(b <= 0, (root - b) / (4 * n), -2 * c / np.where(b + root > 0, b + root, 1.0))
        spread = np.maximum(2 * share + at * (1 - at), 0.0)
        surplus: Floats = z * np.sqrt(n * spread) - (gained - lost - n * at)
        return surplus

    found: list[float] = find_roots(excess, np.full(z.shape, -1.0), np.full(z.shape, seen)).tolist()
    return found


def _exact_low(gained: float, lost: float, n: float, level: float) -> float:
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    low = float(betaincinv(gained, n - gained + 1, tail)) if gained > 0 else 0.0
    high = 1 - float(betaincinv(n - lost, lost + 1, tail)) if lost < n else 1.0
    up, down = gained / n, lost / n
    # Of rows that are gained, none is lost.
    r = -math.sqrt(up * down / ((1 - up) * (1 - down))) if 0 < up < 1 and 0 < down < 1 else 0.0
    return up - down - _joined(up - low, high - down, r)


def _joined(one: float, other: float, r: float) -> float:
    """The arm of a difference from the arms of both, correlated by ``r``."""
    return math.sqrt(max(one * one + other * other - 2 * r * one * other, 0.0))


def _less(value: float, arms: Sequence[float | None], k: int, sign: int) -> float | None:
    known = [arm for arm in arms if arm is not None]
    return value + sign * math.hypot(*known) / k if len(known) == len(arms) else None


def _listed(values: Rows) -> list[float]:
    plain: list[float] = np.asarray(values, dtype=np.float64).tolist()
    return plain


def _around(value: float, moved: Measured) -> Measured:
    """Limits of a mean of influences, put around the value they are influences on."""
    centre, limits = moved
    return value, [
        (None if low is None else value + low - centre, None if high is None else value + high - centre)
        for low, high in limits
    ]


def _grown(log: float | None, power: float) -> float | None:
    if log is None or log * power > 700:
        return None
    return math.expm1(log * power)


def _placements(positives: Rows, negatives: Rows) -> tuple[Floats, Floats]:
    """Each row's share of the other class that it is ordered rightly against, ties half, in the order given."""
    pos, neg = (np.asarray(scores, dtype=np.float64) for scores in (positives, negatives))
    p, q = np.sort(pos), np.sort(neg)
    wins = np.searchsorted(q, pos, "left") + np.searchsorted(q, pos, "right")
    losses = np.searchsorted(p, neg, "left") + np.searchsorted(p, neg, "right")
    return wins / (2 * len(q)), 1 - losses / (2 * len(p))


def _covariance(x: Floats, y: Floats) -> float:
    n = len(x)
    if n < 2:
        return 0.0
    a, b = math.fsum(x.tolist()) / n, math.fsum(y.tolist()) / n
    return math.fsum(((x - a) * (y - b)).tolist()) / (n - 1)


def _tables(counts: NDArray[Any]) -> tuple[Table, Table]:
    """The confusion tables of the old and of the new model."""
    made = []
    for model in (1, 2):
        cells = [0.0, 0.0, 0.0, 0.0]
        for cell, count in zip(CELLS, counts.tolist(), strict=True):
            cells[_place(cell[0], cell[model])] += count
        made.append((cells[0], cells[1], cells[2], cells[3]))
    return made[0], made[1]


def _place(true: bool, called: bool) -> int:
    """Where a row stands in a table: true positive, false positive, false negative, true negative."""
    return (0 if true else 1) if called else (2 if true else 3)


def _pulls(table: Table, of: Tabled) -> Table:
    """How far one more row in each cell of a table moves the number."""
    tp, fp, fn, tn = table
    if of in {"precision", "false_discovery_rate"}:
        sign = 1 if of == "precision" else -1
        return sign * fp / (tp + fp) ** 2, -sign * tp / (tp + fp) ** 2, 0.0, 0.0
    if of in {"negative_predictive_value", "false_omission_rate"}:
        sign = 1 if of == "negative_predictive_value" else -1
        return 0.0, 0.0, -sign * tn / (tn + fn) ** 2, sign * fn / (tn + fn) ** 2
    if of == "f1":
        square = (2 * tp + fp + fn) ** 2
        return 2 * (fp + fn) / square, -2 * tp / square, -2 * tp / square, 0.0
    a, b, c, d = tp + fp, tp + fn, tn + fp, tn + fn
    under = math.sqrt(a * b * c * d)
    half = (tp * tn - fp * fn) / under / 2
    return (
        tn / under - half * (1 / a + 1 / b),
        -fn / under - half * (1 / a + 1 / c),
        -fp / under - half * (1 / b + 1 / d),
        tp / under - half * (1 / c + 1 / d),
    )

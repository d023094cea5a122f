"""One number held to one threshold: whether it meets it, how sure that is, and how many rows would settle it.

Everything is read off the limits stored with an estimate, so an audit can be judged again without its data
and without numpy. Between two stored levels a limit is taken as linear in the normal quantile of its level,
and at quantile 0 it is the value itself; beyond the last level nothing is claimed, so p is never below (1 -
0.9999) / 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xai_audit.evidence import Estimate

Side = Literal["at_least", "at_most", "equals"]
POWER = 0.8
"""Probability with which the rows asked for would decide, if the observed value is the true one."""
HOPELESS = 100
"""Times the present rows beyond which no number of rows is named."""

_NORMAL = NormalDist()


@dataclass(frozen=True)
class Threshold:
    """What a number is held to; a value on the threshold meets it unless it is strict."""

    side: Side
    level: float
    strict: bool = False
    declared: bool = False
    """Whether the provider declared the level."""

    def met_by(self, value: float) -> bool:
        """Whether a number known without error, or a bound, is on the asked side."""
        if self.side == "equals":
            return value == self.level
        if value == self.level:
            return not self.strict
        return (value > self.level) == (self.side == "at_least")


@dataclass(frozen=True)
class Held:
    """What an estimate says of a threshold."""

    kind: Literal["pass", "fail", "open"]
    """``fail`` only where the number is exact; what is estimated fails by its p, with the others of its
    policy."""
    p: float | None = None
    """One-sided p of the threshold being met; None where the number is exact."""
    z: float = 0.0
    """Normal quantile of the one-sided bound that touches the threshold; negative on the wrong side."""
    bound: float | None = None
    """The one-sided bound at the policy's confidence, on the side that must meet the threshold."""


def sampled(estimate: Estimate) -> bool:
    """Whether a number carries sampling error: what has limits does, even where they happen to coincide."""
    return estimate.limits is not None or not estimate.exact


def hold(estimate: Estimate, threshold: Threshold, confidence: float, interval: float) -> Held:
    """Hold an estimate to a threshold.

    ``confidence`` is one-sided; ``interval`` is the two-sided level of ``low`` and ``high``, used where an
    estimate carries no further limits.
    """
    if not sampled(estimate):
        return Held("pass" if threshold.met_by(estimate.value) else "fail")
    lows, highs = _ladder(estimate, interval, upper=False), _ladder(estimate, interval, upper=True)
    if threshold.side == "equals":
        # Only an exact number can show equality; a sampled one can show that it does not hold.
        z = reach(lows if estimate.value > threshold.level else highs, threshold.level)
        return Held("open", p=min(1.0, 2 * _NORMAL.cdf(-z)), z=-z)
    at_least = threshold.side == "at_least"
    right = threshold.met_by(estimate.value) and estimate.value != threshold.level
    ladder = lows if right == at_least else highs
    z = reach(ladder, threshold.level) if estimate.value != threshold.level else 0.0
    z = z if right else -z
    bound = at(lows if at_least else highs, quantile(confidence))
    passes = bound is not None and threshold.met_by(bound)
    return Held("pass" if passes else "open", p=_NORMAL.cdf(z), z=z, bound=bound)


def quantile(probability: float) -> float:
    """Normal quantile of a probability in (0, 1)."""
    # The upper tail is asked for as a lower one, which keeps its digits.
    return -_NORMAL.inv_cdf(1 - probability)


def _ladder(estimate: Estimate, interval: float, *, upper: bool) -> list[tuple[float, float | None]]:
    """(normal quantile, limit) from the value outwards; an unbounded limit is None."""
    stored = estimate.limits or {str(interval): (estimate.low, estimate.high)}
    steps = sorted((float(level), pair[int(upper)]) for level, pair in stored.items())
    rungs = [(quantile((1 + level) / 2), limit) for level, limit in steps]
    return [(0.0, estimate.value), *rungs]


def at(ladder: Sequence[tuple[float, float | None]], z: float) -> float | None:
    """The limit at a normal quantile; None beyond the last stored level and where it is unbounded."""
    for (z0, limit0), (z1, limit1) in pairwise(ladder):
        if abs(z - z1) < 1e-9:
            return limit1  # the stored limit itself, not an interpolation that rounds
        if z < z1:
            if limit0 is None or limit1 is None:
                return None
            return limit0 + (limit1 - limit0) * (z - z0) / (z1 - z0)
    return None


def reach(
    ladder: Sequence[tuple[float, float | None]],
    level: float,
    scale: Callable[[float], float] = lambda number: number,
) -> float:
    """The smallest normal quantile at which a limit touches a level, from a value on one side of it.

    Where no stored limit reaches that far it is the last quantile; an unbounded limit reaches everywhere, so
    the quantile before it is given.
    """
    value = ladder[0][1]
    assert value is not None
    rising = level >= value
    for (z0, limit0), (z1, limit1) in pairwise(ladder):
        if limit1 is None or limit0 is None:
            return z0
        if (limit1 >= level) if rising else (limit1 <= level):
            start, end, target = scale(limit0), scale(limit1), scale(level)
            return z0 if end == start else z0 + (z1 - z0) * (target - start) / (end - start)
    return ladder[-1][0]


def holm(ps: Sequence[float]) -> list[tuple[float, int]]:
    """Holm's adjusted p for each p, and the multiple each was given (Holm 1979, Scand J Statist 6:65)."""
    order = sorted(range(len(ps)), key=lambda index: ps[index])
    adjusted = [(1.0, 1)] * len(ps)
    highest = 0.0
    for rank, index in enumerate(order):
        times = len(ps) - rank
        highest = max(highest, min(1.0, times * ps[index]))
        adjusted[index] = (highest, times)
    return adjusted


def more_rows(
    estimate: Estimate,
    threshold: Threshold,
    *,
    rows: int,
    confidence: float,
    error: float,
    interval: float,
    ratio: bool,
) -> tuple[int | None, bool]:
    """Further rows that would decide it with probability 0.8 if the value stays, and whether that is
    hopeless.

    ``error`` is the one-sided level a fail must reach here. Rows grow with the square of the normal quantile;
    a ratio's distance is taken on the logarithmic scale, where its limits lie more evenly.
    """
    if threshold.side == "equals" or estimate.value == threshold.level:
        return None, True
    right = threshold.met_by(estimate.value)
    upper = threshold.level > estimate.value
    ladder = _ladder(estimate, interval, upper=upper)
    positive = threshold.level > 0 and all(limit is not None and limit > 0 for _, limit in ladder)
    z = reach(ladder, threshold.level, math.log if ratio and positive else float)
    if z <= 0:
        return None, True
    asked = quantile(confidence) if right else quantile(1 - error)
    factor = ((asked + quantile(POWER)) / z) ** 2
    if factor > HOPELESS:
        return None, True
    return max(1, math.ceil(rows * (factor - 1))), False

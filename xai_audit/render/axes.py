"""Axes: where a number stands on paper, and which round numbers stand below it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xai_audit.render.numbers import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

RATIOS = (
    0.02,
    0.05,
    0.1,
    0.2,
    0.25,
    0.4,
    0.5,
    0.6,
    0.8,
    1.0,
    1.25,
    1.6,
    2.0,
    2.5,
    4.0,
    5.0,
    10.0,
    20.0,
    50.0,
)


@dataclass(frozen=True)
class Axis:
    """A scale from numbers to positions; values outside it are drawn at its ends."""

    low: float
    high: float
    left: float
    right: float
    ticks: tuple[float, ...]
    log: bool = False
    places: int = 1

    def at(self, value: float) -> float:
        """Where a number stands, in units of the drawing."""
        low, high, x = self.low, self.high, value
        if self.log:
            low, high, x = math.log(low), math.log(high), math.log(max(value, 1e-12))
        share = (x - low) / (high - low)
        return self.left + min(max(share, 0.0), 1.0) * (self.right - self.left)

    def label(self, tick: float) -> str:
        """A tick as printed; whole numbers without decimals."""
        return plain(tick, 0) if float(tick).is_integer() else plain(tick, self.places)


def linear(
    values: Iterable[float],
    left: float,
    right: float,
    *,
    zero: bool = False,
    unit: bool = False,
    pitch: float = 50,
) -> Axis:
    """An axis over finite values with round ticks; ``zero`` starts it there, ``unit`` makes it 0 to 1."""
    known = [v for v in values if math.isfinite(v)] or [0.0, 1.0]
    low, high = min(known), max(known)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if unit:
        low, high = 0.0, 1.0
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-6):
        # A flat series still needs a width: a tenth of its size, or one.
        spare = 0.5 if abs(low) < 1e-6 else abs(low) / 10
        low, high = low - spare, high + spare
    step = _step((high - low) / max(3, abs(right - left) / pitch))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(float(f"{k * step:.12g}") for k in range(first, last + 1))
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    if round(step * 10**places, 9) != round(step * 10**places):
        places += 1
    return Axis(ticks[0], ticks[-1], left, right, ticks, places=places)


def ratios(values: Iterable[float], left: float, right: float) -> Axis:
    """A logarithmic axis with 1 in its middle, so that half and double stand equally far."""
    known = [v for v in values if math.isfinite(v) and v > 0]
    reach = max((abs(math.log(v)) for v in known), default=0.0)
    reach = min(max(reach * 1.04, math.log(1.4)), math.log(60))
    low, high = math.exp(-reach), math.exp(reach)
    inside = [tick for tick in RATIOS if low <= tick <= high]
    # Neighbours closer than a label is wide would print over each other.
    axis = Axis(low, high, left, right, tuple(inside), log=True, places=2)
    kept: list[float] = []
    for tick in sorted(inside, key=lambda t: (t != 1.0, abs(math.log(t)))):
        if all(abs(axis.at(tick) - axis.at(other)) >= 30 for other in kept):
            kept.append(tick)
    return Axis(low, high, left, right, tuple(sorted(kept)), log=True, places=2)


def _step(raw: float) -> float:
    """The round number at or above a raw step: 1, 2 or 5 times a power of ten."""
    power: float = 10 ** math.floor(math.log10(raw))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= raw * (1 - 1e-9))

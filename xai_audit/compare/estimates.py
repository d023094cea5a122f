"""Estimates of changes, and of two audits' numbers as of different rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from xai_audit.evidence import LEVELS, Estimate
from xai_audit.intervals_paired import unpaired

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xai_audit.intervals import Interval
    from xai_audit.intervals_rows import Measured


def levels(confidence: float) -> tuple[float, ...]:
    """The level shown, then those stored with what a rule may read."""
    return (confidence, *map(float, LEVELS))


def made(found: Measured, n: int) -> Estimate:
    """An estimate from its value and its intervals at ``levels``."""
    value, limits = found
    (low, high), *stored = limits
    kept = dict(zip(LEVELS, stored, strict=True)) if stored else None
    return Estimate(value=value, low=low, high=high, n=n, limits=kept)


def shown(estimate: Estimate) -> Estimate:
    """The same without the limits that only a rule reads."""
    return estimate.model_copy(update={"limits": None})


def difference(
    old: Estimate, new: Estimate, confidences: tuple[float, float], confidence: float, *, stored: bool = False
) -> Estimate | None:
    """New less old as of different rows; None where the two were not told at one confidence.

    ``confidences`` are those of the old and the new audit's ``low`` and ``high``; ``stored`` asks for the limits that
    a rule reads, which then both must have.
    """
    asked = [confidence, *(map(float, LEVELS) if stored else ())]
    sides = [_limits(one, own, asked) for one, own in zip((old, new), confidences, strict=True)]
    if sides[0] is None or sides[1] is None:
        return None
    return made(unpaired((old.value, sides[0]), (new.value, sides[1])), min(old.n, new.n))


def ratio(
    old: Estimate, new: Estimate, confidences: tuple[float, float], confidence: float
) -> Estimate | None:
    """New over old, less 1, as of different rows: MOVER on the logarithms; None where one of them reaches 0."""
    if not (old.value > 0 and new.value > 0):
        return None
    asked = levels(confidence)
    sides = [_limits(one, own, asked) for one, own in zip((old, new), confidences, strict=True)]
    asked = asked if None not in sides else (confidence,)
    logs = []
    for one, own in zip((old, new), confidences, strict=True):
        limits = _limits(one, own, asked)
        if limits is None:
            return None
        logs.append((math.log(one.value), [(_log(low), _log(high)) for low, high in limits]))
    value, found = unpaired(*logs)
    grown: list[Interval] = [
        (None if low is None else math.expm1(low), None if high is None else math.expm1(high))
        for low, high in found
    ]
    return made((math.expm1(value), grown), min(old.n, new.n))


def _log(limit: float | None) -> float | None:
    return math.log(limit) if limit is not None and limit > 0 else None


def _limits(estimate: Estimate, own: float, asked: Sequence[float]) -> list[Interval] | None:
    found: list[Interval] = []
    for level in asked:
        kept = (estimate.limits or {}).get(str(level))
        if level == own:
            found.append((estimate.low, estimate.high))
        elif kept is not None:
            found.append(kept)
        elif estimate.exact:
            found.append((estimate.value, estimate.value))
        else:
            return None
    return found

"""Intervals of what is summed over documents and divided: FVU, L0 and their differences; of balanced accuracies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.intervals import rate
from xai_audit.intervals_rows import t_quantile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.evidence import Estimate
    from xai_audit.method import Context

Parts = tuple["NDArray[Any]", "NDArray[Any]"]
"""Numerators and denominators, one of each for a document."""


def ratio(context: Context, parts: Parts, *, most: float | None = None) -> Estimate:
    """Sum over sum, Student's t on the influence of each document (Cochran 1977, Sampling Techniques, chapter 6)."""
    value, error, count = _ratio(parts)
    return context.estimate(value, _around(value, error, count - 1, context.levels, most), count)


def difference(context: Context, first: Parts, second: Parts, *, paired: bool) -> Estimate:
    """The first ratio less the second: of the same documents with the same denominators, or of others."""
    if paired:
        value, error, count = _ratio((first[0] - second[0], first[1]))
        return context.estimate(value, _around(value, error, count - 1, context.levels, None), count)
    one, error_one, n_one = _ratio(first)
    two, error_two, n_two = _ratio(second)
    error = math.hypot(error_one, error_two)
    limits = _around(one - two, error, min(n_one, n_two) - 1, context.levels, None)
    return context.estimate(one - two, limits, min(n_one, n_two))


def _ratio(parts: Parts) -> tuple[float, float, int]:
    over, under = (np.asarray(one, dtype=np.float64) for one in parts)
    total = math.fsum(under.tolist())
    value = math.fsum(over.tolist()) / total
    left = over - value * under
    count = len(over)
    if count < 2:
        return value, math.inf, count
    return value, math.sqrt(count / (count - 1) * math.fsum((left**2).tolist())) / total, count


def _around(
    value: float, error: float, degrees: int, levels: Sequence[float], most: float | None
) -> list[tuple[float | None, float | None]]:
    if not math.isfinite(error) or degrees < 1:
        return [(None, None)] * len(levels)
    found: list[tuple[float | None, float | None]] = []
    for level in levels:
        half = t_quantile(level, degrees) * error
        low, high = value - half, value + half
        found.append((low, high) if most is None else (max(low, 0.0), max(high, 0.0)))
    return found


def balanced(context: Context, first: tuple[int, int], second: tuple[int, int]) -> Estimate:
    """The mean of two shares, by the method of variance estimates recovery (Newcombe 1998, Statistics in Medicine 17)."""
    shares = [one[0] / one[1] for one in (first, second)]
    value = sum(shares) / 2
    limits: list[tuple[float | None, float | None]] = []
    for ends in zip(*(rate(*one, context.levels) for one in (first, second)), strict=True):
        low = math.hypot(*(share - (end[0] or 0.0) for share, end in zip(shares, ends, strict=True))) / 2
        high = (
            math.hypot(
                *(
                    (1.0 if end[1] is None else end[1]) - share
                    for share, end in zip(shares, ends, strict=True)
                )
            )
            / 2
        )
        limits.append((max(value - low, 0.0), min(value + high, 1.0)))
    return context.estimate(value, limits, first[1] + second[1])


def paired_mean(context: Context, values: NDArray[np.float64]) -> Estimate:
    """A mean of independent values, Student's t."""
    from xai_audit.intervals_rows import mean

    value, limits = mean(values.tolist(), context.levels)
    return context.estimate(value, limits, len(values))


def welch(context: Context, first: NDArray[np.float64], second: NDArray[np.float64]) -> Estimate:
    """The first mean less the second, of other units."""
    from xai_audit.intervals_rows import mean_difference

    value, limits = mean_difference(first.tolist(), second.tolist(), context.levels)
    return context.estimate(value, limits, len(first) + len(second))

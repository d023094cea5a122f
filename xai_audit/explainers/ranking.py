"""Orders of inputs that say how sure they are: intervals over rows and draws, rank ranges, agreement between draws."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.evidence import Item, Ranking
from xai_audit.explainers.rows import exact_mean
from xai_audit.intervals_rows import t_quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from xai_audit.method import Context

DIGITS = 9
"""Sizes that agree to so many digits of the largest are a tie: rounding noise must not order twins."""


def variance_of_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variance of the mean over the first axis, from exactly rounded sums; infinite for a single value."""
    n = len(values)
    if n < 2:
        return np.full(values.shape[1:], math.inf)
    return exact_mean((values - exact_mean(values)) ** 2) / (n - 1)


def spread(draws: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variance of one draw, from several along the first axis; zero where there are fewer than two."""
    if len(draws) < 2:
        return np.zeros(draws.shape[1:])
    return exact_mean((draws - exact_mean(draws)) ** 2) * len(draws) / (len(draws) - 1)


def ranked(
    names: Sequence[str],
    values: NDArray[np.float64],
    draws: NDArray[np.float64],
    context: Context,
    *,
    unit: str | None = None,
    nonnegative: bool = True,
    details: Sequence[dict[str, Any]] | None = None,
) -> Ranking:
    """Inputs by their mean over rows, largest first.

    ``values`` is (rows, inputs), ``draws`` the means over rows of each repetition with other random draws (draws,
    inputs). An interval holds the error of the rows and of the draws. One input stands above another where their
    paired difference keeps its sign at the first level, by Bonferroni over all pairs; other ranks stay open.
    """
    n, count = values.shape
    means = exact_mean(values)
    errors = np.sqrt(variance_of_mean(values) + spread(draws))
    above = _above(values, means, draws, context.levels[0])
    items = []
    for j in sorted(range(count), key=lambda j: (-means[j], names[j])):
        intervals = [
            _around(float(means[j]), float(errors[j]), n, level, nonnegative) for level in context.levels
        ]
        items.append(
            Item(
                name=names[j],
                estimate=context.estimate(float(means[j]), intervals, n),
                rank_low=1 + int(above[:, j].sum()),
                rank_high=count - int(above[j].sum()),
                detail=details[j] if details else None,
            )
        )
    return Ranking(items=tuple(items), unit=unit)


def _around(
    mean: float, error: float, n: int, level: float, nonnegative: bool
) -> tuple[float | None, float | None]:
    floor = 0.0 if nonnegative else None
    if n < 2 or not math.isfinite(error):
        return floor, None
    half = t_quantile(level, n - 1) * error
    return max(mean - half, 0.0) if nonnegative else mean - half, mean + half


def _above(
    values: NDArray[np.float64], means: NDArray[np.float64], draws: NDArray[np.float64], level: float
) -> NDArray[np.bool_]:
    """Whether input ``[j, k]`` j surely stands above k."""
    n, count = values.shape
    above = np.zeros((count, count), dtype=bool)
    pairs = count * (count - 1) // 2
    if n < 2 or pairs == 0:
        return above
    quantile = t_quantile(1 - (1 - level) / pairs, n - 1)
    for j in range(count):
        others = np.arange(j + 1, count)
        paired = values[:, [j]] - values[:, others]
        error = np.sqrt(variance_of_mean(paired) + spread(draws[:, [j]] - draws[:, others]))
        gap = means[j] - means[others]
        noise = 10.0**-DIGITS * max(float(np.max(np.abs(means))), 0.0)
        sure = np.abs(gap) > np.maximum(quantile * error, noise)
        above[j, others] = sure & (gap > 0)
        above[others, j] = sure & (gap < 0)
    return above


def ranks(draws: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank of each input by size in each draw, from sizes (rows, draws, inputs): the smallest is 1, ties share a mean."""
    from scipy.stats import rankdata

    scale = draws.max(axis=(1, 2), keepdims=True)
    return np.asarray(rankdata(np.round(draws / np.where(scale > 0, scale, 1.0), DIGITS), axis=2))


def doubled(found: NDArray[np.float64]) -> NDArray[Any]:
    """Ranks times two, whole numbers in as few bytes as hold them: all that agreement between draws rests on."""
    most = 2 * found.shape[-1]
    return (2 * found).astype(np.uint8 if most < 2**8 else np.uint16 if most < 2**16 else np.uint32)


def agreement(draws: NDArray[np.float64], top: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far each row's order of inputs by size is the same in neighbouring draws.

    From sizes (rows, draws, inputs): the mean over neighbouring draws of Spearman's rank correlation, and of the
    Jaccard index of the ``top`` largest, both (rows,). Two orders in which all inputs tie agree wholly; one in which
    all tie agrees with another not at all.
    """
    rows, repeats, count = draws.shape
    if repeats < 2:
        return np.full(rows, np.nan), np.full(rows, np.nan)
    places = ranks(draws)
    centred = places - (count + 1) / 2
    following = np.roll(np.arange(repeats), -1)
    norm = (centred**2).sum(axis=2)
    product = (centred * centred[:, following]).sum(axis=2)
    both = norm * norm[:, following]
    flat = (norm == 0) & (norm[:, following] == 0)
    spearman = np.where(flat, 1.0, np.where(both > 0, product / np.sqrt(np.where(both > 0, both, 1.0)), 0.0))
    # Ties at the edge of the top are broken by position, the same way in every draw.
    order = np.argsort(-places, axis=2, kind="stable")[:, :, :top]
    member = np.zeros(draws.shape, dtype=bool)
    np.put_along_axis(member, order, values=True, axis=2)
    common = (member & member[:, following]).sum(axis=2)
    jaccard = common / (2 * min(top, count) - common)
    return _row_means(spearman), _row_means(jaccard)


def _row_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return exact_mean(np.ascontiguousarray(values.T))


def top_of(count: int) -> int:
    """How many leading inputs are compared: five, or all but one where there are five or fewer."""
    return 5 if count > 5 else max(count - 1, 1)

"""Is a set of examples unlike random sets of the same size? A permutation of sets, never of inputs.

The statistic of a set is Student's t of one number per example against all other examples. Under the null that the
set was drawn like the others, every set of that size is as likely to be the one that was named, so the p-value is
exact for any pool, however small and however much random sets overlap. Because the difference is divided by its own
standard error, the level also holds approximately where the set differs in spread, but not in mean
(Janssen 1997, Statistics and Probability Letters 36:9; Chung and Romano 2013, Annals of Statistics 41:484).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_TIE = 1e-9
"""Statistics that differ by less, relatively, are equal: rounding must not decide."""
_NOTHING = 1e-12
"""A spread below this share of the largest value is rounding."""


def random_sets(n: int, total: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """``count`` sets of ``n`` of ``total`` examples, without replacement within a set, (count, n)."""
    keys = rng.random((count, total))
    if n == total:
        return np.broadcast_to(np.arange(total), (count, total)).copy()
    return np.sort(np.argpartition(keys, n, axis=1)[:, :n], axis=1)


def studentised(values: NDArray[Any], sets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Welch's t of each set against all examples that are not in it, (statistics, sets).

    ``values`` is (statistics, examples), ``sets`` (sets, n). Where neither side varies t is 0 for equal means and
    infinite for others.
    """
    values = np.asarray(values, dtype=np.float64)
    tiny = _NOTHING * np.abs(values).max(axis=1)[:, None]
    # About the middle, so that squares lose nothing to a common offset.
    values = values - values.mean(axis=1, keepdims=True)
    n, rest = sets.shape[1], values.shape[1] - sets.shape[1]
    inside = np.zeros((values.shape[1], len(sets)))
    inside[sets.T, np.arange(len(sets))] = 1.0
    total, squares = values.sum(axis=1)[:, None], (values**2).sum(axis=1)[:, None]
    own, own_squares = values @ inside, (values**2) @ inside
    mean, other = own / n, (total - own) / rest
    spread = np.maximum(own_squares - n * mean**2, 0) / max(n - 1, 1)
    other_spread = np.maximum(squares - own_squares - rest * other**2, 0) / max(rest - 1, 1)
    error = np.sqrt(spread / n + other_spread / rest)
    gap = mean - other
    flat = error <= tiny
    far = np.where(np.abs(gap) > tiny, np.copysign(np.inf, gap), 0.0)
    return np.asarray(np.where(flat, far, gap / np.where(flat, 1.0, error)))


def p_values(observed: NDArray[np.float64], null: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two-sided p of each statistic (k,) among its random sets (k, sets): at least 1 / (sets + 1)."""
    return _share(np.abs(observed), np.abs(null))


def adjusted(
    observed: Sequence[NDArray[np.float64]], null: Sequence[NDArray[np.float64]]
) -> list[NDArray[np.float64]]:
    """Family-wise p of the statistics of several concepts by the maximum over all of them.

    Each concept has its statistics (k,) and those of its own random sets (k, sets), the same sets for each of its k;
    random set r of every concept makes one draw of the family. Westfall and Young 1993, in one step.
    """
    largest = np.max([np.abs(part).max(axis=0) for part in null if len(part)], axis=0)
    return [_share(np.abs(part), np.broadcast_to(largest, (len(part), len(largest)))) for part in observed]


@dataclass(frozen=True, eq=False)
class Tested:
    """The statistics of one concept among those of random sets, each (k,)."""

    t: NDArray[np.float64]
    p: NDArray[np.float64]
    adjusted: NDArray[np.float64]
    """Over every statistic of every concept tested with it."""


def tested(
    values: Sequence[NDArray[Any]], n: Sequence[int], count: int, rngs: Sequence[np.random.Generator]
) -> list[Tested]:
    """Test each concept's values (k, examples), its own n examples first, against ``count`` random sets of n of them."""
    observed, null = [], []
    for one, size, rng in zip(values, n, rngs, strict=True):
        sets = np.concatenate([np.arange(size)[None], random_sets(size, one.shape[1], count, rng)])
        found = studentised(one, sets)
        observed.append(found[:, 0])
        null.append(found[:, 1:])
    family = adjusted(observed, null)
    return [
        Tested(own, p_values(own, random), over)
        for own, random, over in zip(observed, null, family, strict=True)
    ]


def _share(observed: NDArray[np.float64], null: NDArray[np.float64]) -> NDArray[np.float64]:
    limit = np.where(np.isfinite(observed), observed * (1 - _TIE), observed)
    return np.asarray((1 + (null >= limit[:, None]).sum(axis=1)) / (null.shape[1] + 1))

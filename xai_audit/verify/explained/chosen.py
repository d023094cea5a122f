"""Which units a selector chooses, sought again: by difference of means, along the lasso's path, or the best set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.verify.explained.kept import ContradictionError, LackingError

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Units = NDArray[np.int64]
ALIKE = 1e-9
"""A share of variance below which a unit adds nothing, and by which two criteria or two units may part that are equal."""
WITHIN = {2: 8192, 3: 512}
"""Units among which the best set of so many is sought."""
BLOCK = 512
CLEAR = 1e-6
"""The share of its variance that a column of the lasso must have of its own for its place not to hang on last digits."""


def choose(values: Floats, label: Flags, units: Units, selector: str) -> None:
    """ContradictionError where these are not the units that a selector chooses; equal ones may stand for each other."""
    live = varying(values)
    if not np.isin(units, live).all():
        raise ContradictionError(f"unit {int(units[~np.isin(units, live)][0])} does not vary and is chosen")
    standard = (values[:, live] - values[:, live].mean(axis=0)) / values[:, live].std(axis=0)
    target = (label - label.mean()) / label.std()
    told = target @ standard / len(label)
    own = np.searchsorted(live, units)
    if selector == "l1":
        _as_lasso(standard, label, told, own, live)
    elif selector == "exact" and len(units) > 1:
        _as_best(standard, told, own, live)
    else:
        best = np.sort(np.abs(told))[::-1][: len(units)]
        if len(best) < len(units) or not np.allclose(np.abs(told[own]), best, rtol=ALIKE, atol=1e-12):
            raise _others(live[np.argsort(-np.abs(told), kind="stable")[: len(units)]], units)


def _others(best: Sequence[int] | Units, units: Units) -> ContradictionError:
    names = (", ".join(str(int(one)) for one in some) for some in (units, best))
    return ContradictionError("units {} are chosen; the activations choose {}".format(*names))


def varying(values: Floats) -> Units:
    """Units that are not the same in every row."""
    spread = values.std(axis=0)
    return np.flatnonzero(spread > ALIKE * np.maximum(np.abs(values.mean(axis=0)), 1e-30))


def _first(told: Floats, count: int) -> Units:
    """The units that tell best alone, by their places."""
    return np.sort(np.argsort(-np.abs(told), kind="stable")[:count])


def _as_lasso(standard: Floats, label: Flags, told: Floats, own: Units, live: Units) -> None:
    """The first k on the lasso's path, of those of largest correlation; of equal ones the first is on it."""
    k = len(own)
    places = _first(told, max(64 * k, 512))
    equal = np.abs(np.atleast_2d(np.corrcoef(standard[:, places], rowvar=False))) > 1 - ALIKE
    firsts = np.flatnonzero(equal.argmax(axis=0) == np.arange(len(places)))
    found: list[int] = []
    clear = True
    for steps in range(k, 5 * k + 65, k):
        entering, clear = entered(standard[:, places[firsts]], label - label.mean(), steps)
        found = firsts[entering].tolist()
        if len(found) >= k:
            break
    else:
        rest = np.argsort(-np.abs(told[places]), kind="stable").tolist()
        found += [one for one in rest if one not in found]
    best = places[found[:k]]
    alike = np.abs((standard[:, best] * standard[:, own]).mean(axis=0)) > 1 - ALIKE
    if ((best == own) | alike).all():
        return
    if not clear:
        raise LackingError(
            "units that are nearly sums of others leave open which enter the lasso's path first"
        )
    raise _others(live[best], live[own])


def entered(x: Floats, y: Floats, steps: int) -> tuple[list[int], bool]:
    """Columns in the lasso after so many steps of its path, each of which takes one in or lets one go.

    Beside them whether none of them is nearly a sum of others, so that last digits do not decide. Efron, Hastie,
    Johnstone and Tibshirani 2004, Least Angle Regression, Annals of Statistics 32:407.
    """
    left = x.T @ y
    coefficients, free = np.zeros(x.shape[1]), np.ones(x.shape[1], dtype=bool)
    active: list[int] = []
    signs: list[float] = []
    gone: list[int] = []
    clear = True
    for _ in range(steps):
        if not gone:
            new, apart = _enters(x, left, free, active)
            clear = clear and apart >= CLEAR * len(y)
            if new is None:
                break
            active.append(new)
            signs.append(float(np.sign(left[new])))
            free[new] = False
        level = float(np.abs(left[active]).max())
        # Where all are in, what follows is rounding.
        clear = clear and level > CLEAR * len(y) and bool(free.any())
        if not active or level <= ALIKE * len(y):
            break
        own = x[:, active]
        way = np.linalg.lstsq(own.T @ own, np.asarray(signs), rcond=None)[0]
        slope = x.T @ (own @ way)
        # All in it lose correlation alike; the step ends where another has as much, or a coefficient reaches 0. What has
        # just gone has as much now: it may come back on the other side alone.
        above, below = free.copy(), free.copy()
        for one in gone:
            (above if left[one] > 0 else below)[one] = False
        with np.errstate(divide="ignore", invalid="ignore"):
            meets = np.concatenate(
                [((level - left) / (1 - slope))[above], ((level + left) / (1 + slope))[below]]
            )
            crosses = -coefficients[active] / way
        step = min([level, *meets[meets > 1e-14 * level].tolist()])
        ends = crosses[crosses > 0]
        gone = []
        if len(ends) and ends.min() < step:
            step = float(ends.min())
            gone = [one for one, end in zip(active, crosses, strict=True) if end == step]
        coefficients[active] += step * way
        left = left - step * slope
        for one in gone:
            place = active.index(one)
            del active[place], signs[place]
            coefficients[one], free[one] = 0.0, True
    return active, clear


def _enters(x: Floats, left: Floats, free: Flags, active: list[int]) -> tuple[int | None, float]:
    """The free column of largest correlation that is no sum of those in it, and the least of what such sums leave.

    That is 0 where another has as much correlation.
    """
    least = math.inf
    while free.any():
        sizes = np.where(free, np.abs(left), -1.0)
        new = int(np.argmax(sizes))
        if (np.delete(sizes, new) > sizes[new] * (1 - ALIKE)).any():
            least = 0.0
        rest = x[:, new]
        if active:
            rest = rest - x[:, active] @ np.linalg.lstsq(x[:, active], rest, rcond=None)[0]
        own = float((rest**2).sum())
        least = min(least, own)
        if own >= 1e-14:
            return new, least
        free[new] = False
    return None, 0.0


def _as_best(standard: Floats, told: Floats, own: Units, live: Units) -> None:
    """No set of two or three units explains more of the label than these do."""
    places = np.arange(len(told))
    most = WITHIN[len(own)]
    if len(places) > most:
        places = _first(told, most)
        if (np.abs(told[own]) < np.abs(told[places]).min() * (1 - ALIKE)).any():
            raise ContradictionError("units are chosen that are not among those that tell best alone")
    weights = np.linalg.lstsq(standard[:, own].T @ standard[:, own] / len(standard), told[own], rcond=None)[0]
    reached = float(weights @ told[own])
    gram = standard[:, places].T @ standard[:, places] / len(standard)
    c = told[places]
    if len(own) == 2:
        best, found = _pair(gram, c, (0, 1))
    else:
        best, found = -1.0, (0, 1, 2)
        for first in range(len(c) - 2):
            # What the first explains is taken off all after it.
            after = np.arange(first + 1, len(c))
            left = np.maximum(1 - gram[first, after] ** 2, 0.0)
            scale = np.divide(1, np.sqrt(left), out=np.zeros_like(left), where=left > ALIKE)
            partial = (
                gram[np.ix_(after, after)] - np.outer(gram[first, after], gram[first, after])
            ) * np.outer(scale, scale)
            gain, (one, two) = _pair(partial, (c[after] - gram[first, after] * c[first]) * scale, (0, 1))
            if c[first] ** 2 + gain > best:
                best, found = float(c[first] ** 2 + gain), (first, int(after[one]), int(after[two]))
    if best > reached + 1e-6:
        raise _others(live[places[list(found)]], live[own])
    if (np.diff(np.abs(told[own])) > ALIKE).any():
        raise ContradictionError("units are not in the order in which they tell alone")


def _pair(gram: Floats, c: Floats, found: tuple[int, ...]) -> tuple[float, Any]:
    """What the best two standardised variables explain, by R2 of two predictors, and which they are."""
    best = -1.0
    for start in range(0, len(c), BLOCK):
        q, p = gram[start : start + BLOCK], c[start : start + BLOCK, None]
        left = 1 - q**2
        both = p**2 + c**2 - 2 * p * c * q
        gain = np.where(left > ALIKE, both / np.where(left > ALIKE, left, 1), np.maximum(p**2, c**2))
        gain[np.arange(len(c)) <= np.arange(start, start + len(q))[:, None]] = -1
        place = int(np.argmax(gain))
        if gain.flat[place] > best:
            best, found = float(gain.flat[place]), (start + place // len(c), place % len(c))
    return best, found

"""Probes that read few units: which k of them tell a predicate best, and how well on rows not seen.

Gurnee, Nanda, Pauly, Harvey, Troitskii and Bertsimas 2023, Finding Neurons in a Haystack, arXiv:2305.01610. Their
optimal probe needs a solver; here the best k <= 3 are found by enumeration of the least squares fit, whose direction is
that of the linear discriminant.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from xai_audit.mechanistic.probing.scan import largest

if TYPE_CHECKING:
    from numpy.typing import NDArray

Selector = Literal["mean_difference", "l1", "exact"]
"""How units are chosen: by standardised difference of means, by the lasso's path, or the best set of k <= 3."""

EXACT = {1: None, 2: 8192, 3: 512}
"""Units among which the best set of so many is sought; None for all. More are cut to those best alone."""
RIDGE = 1e-6
"""Added to the diagonal of the fit's equations, as a share of the mean variance: equal units stay solvable."""
ALIKE = 1e-9
"""A residual variance below this share is rounding: the unit adds nothing."""
BLOCK = 512
"""Units in one block of pairs."""


@dataclass(frozen=True, eq=False)
class Probe:
    """A linear probe that reads few units."""

    units: NDArray[np.int64]
    """(k,): which."""
    weights: NDArray[np.float64]
    """(k,): in units of the activations."""
    offset: float
    """Scores above 0 are for the predicate."""

    def scores(self, activations: NDArray[Any]) -> NDArray[np.float64]:
        """(rows,) of activations (rows, units)."""
        found = np.full(len(activations), self.offset)
        # Unit by unit: a product of matrices may tell rows apart, by a last digit, in which all units say the same.
        for unit, weight in zip(self.units, self.weights, strict=True):
            found += activations[:, unit].astype(np.float64) * weight
        return found


def select(
    activations: NDArray[Any], label: NDArray[np.bool_], k: int, selector: Selector = "mean_difference"
) -> NDArray[np.int64]:
    """The k units (k,) that tell ``label`` (rows,) best on activations (rows, units), the better first.

    ValueError where there are fewer than k units that vary, or more than 3 are asked of ``exact``.
    """
    moments = _Moments.of(activations, label)
    if k > len(moments.live):
        message = f"{k} units are asked, and {len(moments.live)} vary"
        raise ValueError(message)
    if selector == "exact":
        found, _ = _best(activations, moments, k)
    elif selector == "l1":
        found = _lasso(activations, label, moments, k)
    else:
        found = largest(np.abs(moments.correlations), k)
    return moments.live[found]


def best_subset(
    activations: NDArray[Any], label: NDArray[np.bool_], k: int
) -> tuple[NDArray[np.int64], float]:
    """The k <= 3 units (k,) with the largest R2 of the least squares fit of ``label``, and that R2.

    Exact over all units up to ``EXACT[k]`` of them; over the ``EXACT[k]`` that are best alone beyond.
    """
    moments = _Moments.of(activations, label)
    found, r2 = _best(activations, moments, k)
    return moments.live[found], r2


def fit(activations: NDArray[Any], label: NDArray[np.bool_], units: NDArray[np.int64]) -> Probe:
    """The least squares probe of +1 and -1, each class with the same weight, on the given units."""
    chosen = activations[:, units].astype(np.float64)
    weight = np.where(label, 0.5 / label.sum(), 0.5 / (~label).sum())
    centre = weight @ chosen
    away = chosen - centre
    system = (away * weight[:, None]).T @ away
    system += RIDGE * (np.trace(system) / len(units) or 1.0) * np.eye(len(units))
    target = (away * weight[:, None]).T @ np.where(label, 1.0, -1.0)
    weights = np.linalg.solve(system, target)
    return Probe(np.asarray(units, dtype=np.int64), weights, float(-centre @ weights))


@dataclass(frozen=True, eq=False)
class _Moments:
    """Standardised units that vary, and their correlations with the label."""

    live: NDArray[np.int64]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    correlations: NDArray[np.float64]

    @classmethod
    def of(cls, activations: NDArray[Any], label: NDArray[np.bool_]) -> _Moments:
        if not 0 < label.sum() < len(label):
            message = "a predicate holds for every row or for none"
            raise ValueError(message)
        mean = activations.mean(axis=0, dtype=np.float64)
        scale = activations.std(axis=0, dtype=np.float64)
        live = np.flatnonzero(scale > ALIKE * np.maximum(np.abs(mean), 1e-30))
        target = label - label.mean()
        target /= np.sqrt((target**2).mean())
        product = target @ activations[:, live] / len(label)
        return cls(live, mean[live], scale[live], np.asarray(product / scale[live], dtype=np.float64))

    def standardised(self, activations: NDArray[Any], places: NDArray[np.int64]) -> NDArray[np.float64]:
        chosen = activations[:, self.live[places]].astype(np.float64)
        return np.asarray((chosen - self.mean[places]) / self.scale[places])


def _lasso(
    activations: NDArray[Any], label: NDArray[np.bool_], moments: _Moments, k: int
) -> NDArray[np.int64]:
    """The first k units on the lasso's path, in the order in which they enter; those that leave again do not count.

    Of units that say the same but for scale and sign, as those do that are not 0 in one row alone, the first is taken.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import lars_path

    # The path enters units of large correlation first: a few hundred hold the first k.
    places = np.sort(largest(np.abs(moments.correlations), min(max(64 * k, 512), len(moments.live))))
    standard = moments.standardised(activations, places)
    # Given equal columns, the library may take in neither and follow a path that is none.
    equal = np.triu(np.abs(standard.T @ standard) > (1 - ALIKE) * len(standard), 1).any(axis=0)
    firsts = np.flatnonzero(~equal)
    steps, entered = k, np.zeros(0, dtype=np.int64)
    while len(entered) < k:
        with warnings.catch_warnings():
            # It warns of units that are sums of others, which it leaves out, and of an early end, after which we fill.
            warnings.simplefilter("ignore", ConvergenceWarning)
            _, active, _ = lars_path(
                standard[:, firsts], label - label.mean(), max_iter=steps, method="lasso"
            )
        entered = firsts[np.asarray(active, dtype=np.int64)]
        if steps > 4 * k + 64:
            # Nothing enters any more: the rest is filled by correlation.
            beside = largest(np.abs(moments.correlations[places]), len(places))
            entered = np.concatenate([entered, beside[~np.isin(beside, entered)]])
        steps += k
    return np.asarray(places[entered[:k]])


def _best(activations: NDArray[Any], moments: _Moments, k: int) -> tuple[NDArray[np.int64], float]:
    if k not in EXACT:
        message = f"exact sets have 1 to {max(EXACT)} units, not {k}"
        raise ValueError(message)
    most = EXACT[k]
    places = np.arange(len(moments.live))
    if most is not None and len(places) > most:
        places = np.sort(largest(np.abs(moments.correlations), most))
    c = moments.correlations[places]
    if k == 1:
        own = int(np.argmax(np.abs(c)))
        return places[[own]], float(c[own] ** 2)
    standard = moments.standardised(activations, places)
    gram = standard.T @ standard / len(standard)
    if k == 2:
        found, gain = _pair(gram, c, np.ones(len(c)))
        return _ordered(places, c, found), gain
    best, chosen = -1.0, (0, 1, 2)
    for i in range(len(c) - 2):
        # What the first explains is taken off every later unit and off the label.
        after = np.arange(i + 1, len(c))
        own = gram[i, after]
        rest = gram[np.ix_(after, after)] - np.outer(own, own)
        pair, gain = _pair(rest, c[after] - own * c[i], 1 - own**2)
        if c[i] ** 2 + gain > best:
            best, chosen = float(c[i] ** 2 + gain), (i, int(after[pair[0]]), int(after[pair[1]]))
    return _ordered(places, c, chosen), best


def _pair(
    gram: NDArray[np.float64], c: NDArray[np.float64], own: NDArray[np.float64]
) -> tuple[tuple[int, int], float]:
    """The two units that explain most: products ``gram``, with the label ``c``, with themselves ``own``."""
    best, chosen = -1.0, (0, 1)
    size = own.copy()
    live = size > ALIKE
    alone = np.where(live, c**2 / np.where(live, size, 1), 0.0)
    for start in range(0, len(c), BLOCK):
        rows = slice(start, start + BLOCK)
        g = gram[rows]
        determinant = np.outer(size[rows], size) - g**2
        fine = determinant > ALIKE
        gain = np.outer(c[rows] ** 2, size) + np.outer(size[rows], c**2) - 2 * g * np.outer(c[rows], c)
        gain = np.where(fine, gain / np.where(fine, determinant, 1), np.maximum.outer(alone[rows], alone))
        # Each pair once: the second stands after the first.
        gain[np.arange(len(c))[None, :] <= np.arange(start, start + len(g))[:, None]] = -1
        place = int(np.argmax(gain))
        value = float(gain.flat[place])
        if value > best:
            best, chosen = value, (start + place // len(c), place % len(c))
    return chosen, best


def _ordered(places: NDArray[np.int64], c: NDArray[np.float64], chosen: tuple[int, ...]) -> NDArray[np.int64]:
    order = sorted(chosen, key=lambda one: (-abs(c[one]), one))
    return np.asarray(places[order])

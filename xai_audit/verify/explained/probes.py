"""Probes made again from activations: units chosen, probes fitted and random units drawn, as the spec and the seed say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xai_audit.verify.explained.chosen import choose, varying
from xai_audit.verify.explained.kept import ContradictionError
from xai_audit.verify.explained.piece import Piece, shaped
from xai_audit.verify.explained.populations import Population, draw

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Units = NDArray[np.int64]
MANY = "the activations of all units were too many to keep; which are chosen, and what random ones tell, is not made again"
RIDGE = 1e-6
"""Added to each unit's variance in a fit, as a share of the mean variance."""
CLOSE = 1e-7
"""By how much a score may differ from the one that is made again, as a share of the largest."""


class Probes:
    """One predicate at one site, with what every unit said, or the claimed ones alone."""

    def __init__(self, piece: Piece, population: Population, name: str, site: str) -> None:
        self._piece, self._told = piece, (name, site)
        self._label, self._finds = population.labels[name], population.finds
        self.sides = population.halves(name)
        self.every = population.at(site)

    # ------------------------------------------------------------------------------------------- the claim
    def of(self, units: Units) -> Floats:
        """(rows, units): what the units of a claim said."""
        if self.every is None:
            return shaped("values", self._piece.numbers("values", 2), len(units), len(self._label)).T
        if len(units) == 0 or len(set(units.tolist())) < len(units):
            raise ContradictionError("array units names none, or one twice")
        if units.min() < 0 or units.max() >= self.every.shape[1]:
            raise ContradictionError("array units names a unit that there is not")
        return self.every[:, units]

    def fitted(self, values: Floats, holds: Floats, others: Floats, half: Units | None = None) -> Floats:
        """The weights of the probe of these units' values (rows, k), whose scores must be those that are kept."""
        rows = np.flatnonzero(self._finds) if half is None else half
        weights, offset = fit(values[rows], self._label[rows])
        own = [score(values[side], weights, offset) for side in self.sides]
        size = max(float(np.abs(one).max()) for one in own)
        for name, made, kept in zip(("holds", "others"), own, (holds, others), strict=True):
            if len(made) != len(kept) or not np.allclose(made, kept, rtol=0, atol=CLOSE * size):
                raise ContradictionError(f"scores of {name} are not those of the units' activations")
        told, slack = area(values[self.sides[0]], values[self.sides[1]], weights, offset)
        # Rows in which all units said the same must not be told apart by the last digits of a score.
        if abs(_share_above(holds, others) - told) > slack:
            raise ContradictionError("scores tell rows apart in which the units said the same")
        return weights

    def variants(self, k: int, scores: Floats) -> None:
        """Units chosen on each half of the rows that find, by two selectors, and what their probes say."""
        assert self.every is not None
        chosen = shaped("variant_units", self._piece.whole("variant_units", 2), len(scores), k)
        finds, place = np.flatnonzero(self._finds), 0
        for half in (finds[::2], finds[1::2]):
            for selector in ("mean_difference", "l1"):
                units, own = chosen[place], scores[place]
                place += 1
                label = self._label[half]
                can = 2 <= label.sum() <= len(half) - 2 and len(varying(self.every[half])) >= k
                if can != bool((units >= 0).all()) or can == bool(np.isnan(own).all()):
                    raise ContradictionError(
                        "array variant_units is there where nothing can be chosen, or not where it can"
                    )
                if can:
                    choose(self.every[half], label, units, selector)
                    holds = len(self.sides[0])
                    self.fitted(self.of(units), own[:holds], own[holds:], half)
        if place != len(scores):
            raise ContradictionError(f"array variant_scores has {len(scores)} specifications, not {place}")

    def chosen(self, units: Units) -> None:
        """ContradictionError where the spec's method chooses other units."""
        assert self.every is not None
        self.of(units)  # such units there are
        choose(self.every[self._finds], self._label[self._finds], units, str(self._piece.params["method"]))

    # ------------------------------------------------------------------------------------------- random units
    def random(self, k: int, kept: Floats, *, ordered: bool = False) -> None:
        """ContradictionError where held-out areas of probes of k random units are not those that are kept."""
        assert self.every is not None
        drawing = draw(self._piece, "random probes", *self._told)
        every, wanted = np.arange(self.every.shape[1]), int(self._piece.params["random_units"])
        sets: list[Units] = []
        # All smaller numbers were drawn before.
        for size in sorted({int(one) for one in self._piece.params["k"] if one <= k} | {k}):
            sets = [
                np.sort(drawing.choice(every, min(size, len(every)), replace=False)) for _ in range(wanted)
            ]
        made = np.asarray([self._area(one) for one in sets])
        low, high = made[:, 0] - made[:, 1], made[:, 0] + made[:, 1]
        if ordered:
            low, high = np.sort(low), np.sort(high)
        shaped("random_areas", kept, wanted)
        if ((kept < low) | (kept > high)).any():
            place = int(np.argmax((kept < low) | (kept > high)))
            raise ContradictionError(
                f"array random_areas says {kept[place]:.12g} of random units {place}; "
                f"made again it is {(low[place] + high[place]) / 2:.12g}"
            )

    def _area(self, units: Units) -> tuple[float, float]:
        assert self.every is not None
        values = self.every[:, units]
        weights, offset = fit(values[self._finds], self._label[self._finds])
        return area(values[self.sides[0]], values[self.sides[1]], weights, offset)


# ------------------------------------------------------------------------------------------------ a probe
def fit(values: Floats, label: Flags) -> tuple[Floats, float]:
    """Weights and offset of the least squares probe of +1 and -1, each side with the same weight, ridge as further rows."""
    root = np.sqrt(np.where(label, 0.5 / label.sum(), 0.5 / (~label).sum()))
    centre = root**2 @ values
    away = (values - centre) * root[:, None]
    k = values.shape[1]
    ridge = RIDGE * (float((away**2).sum()) / k or 1.0)
    system = np.concatenate([away, np.sqrt(ridge) * np.eye(k)])
    target = np.concatenate([np.where(label, root, -root), np.zeros(k)])
    weights = np.linalg.lstsq(system, target, rcond=None)[0]
    return weights, -float(centre @ weights)


def score(values: Floats, weights: Floats, offset: float) -> Floats:
    """(rows,): unit by unit, so that rows in which all units say the same get the same."""
    found = np.full(len(values), offset)
    for column, weight in zip(values.T, weights, strict=True):
        found += column * weight
    return found


def area(holds: Floats, others: Floats, weights: Floats, offset: float) -> tuple[float, float]:
    """The area of a probe, and by how much it may differ for pairs that only the last digits of their scores tell apart."""
    own = score(holds, weights, offset), score(others, weights, offset)
    close = CLOSE * max(float(np.abs(one).max()) for one in own)
    ordered = np.sort(own[1])
    near = (
        np.searchsorted(ordered, own[0] + close, "right") - np.searchsorted(ordered, own[0] - close)
    ).sum()
    _, which = np.unique(np.concatenate([holds, others]), axis=0, return_inverse=True)
    which = which.ravel()
    count = which.max() + 1
    same = np.bincount(which[: len(holds)], minlength=count) @ np.bincount(
        which[len(holds) :], minlength=count
    )
    pairs = len(holds) * len(others)
    return _share_above(*own), float(near - same) / pairs + 1e-12


def _share_above(holds: Floats, others: Floats) -> float:
    ordered = np.sort(others)
    below = np.searchsorted(ordered, holds) + np.searchsorted(ordered, holds, "right")
    return float(below.sum()) / 2 / (len(holds) * len(others))

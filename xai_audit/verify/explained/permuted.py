"""The test over all units, predicates and sites made again: every unit's ranks, permuted by the run's own seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.verify.explained.agreement import Open
from xai_audit.verify.explained.kept import ContradictionError, LackingError
from xai_audit.verify.explained.piece import Piece, shaped
from xai_audit.verify.explained.populations import Population, draw, populations_of

Floats = NDArray[np.float64]
TEST = "permutation of rows, maximum over units, predicates and sites"
MANY = "the ranks of all units were too many to keep; p is not made again"
TIE = 1e-5
"""Maxima that differ by less, relatively, are equal: the run had them in single precision."""
PIECE = 256
"""Permutations in one product."""


def doubled(activations: NDArray[Any]) -> NDArray[np.int64]:
    """(units, rows): twice the rank of each row by each unit, counted from 0, of (rows, units); ties share their mean."""
    from scipy.stats import rankdata

    return np.asarray((2 * rankdata(activations, axis=0).T - 2).round(), dtype=np.int64)


class Family:
    """Every unit against every predicate, on the rows that find, as one use of a method tested them."""

    def __init__(self, piece: Piece) -> None:
        self.null = piece.numbers("null", 1)
        self.places: dict[tuple[str, str], tuple[int, int, int]] = {}
        """(predicate, site): its population, its row there, and the site's first unit."""
        self.z: list[Floats] = []
        self.widths: dict[str, int] = {}
        self.ranks: list[NDArray[np.int64]] = []
        """By population (units, rows that find): twice each rank, counted from 0."""
        self._permutations = int(piece.params["permutations"])
        maxima = np.zeros(self._permutations)
        kept = populations_of(piece)
        if kept:
            if all(one.activations is None and not piece.has(f"ranks_{one.number}") for one in kept):
                raise LackingError(MANY)
            for one in kept:
                maxima = np.maximum(maxima, self._population(piece, one.number, one))
        while not kept and piece.has(f"ranks_{len(self.z)}"):
            maxima = np.maximum(maxima, self._population(piece, len(self.z), None))
        if not self.z:
            raise LackingError(MANY)
        shaped("null", self.null, self._permutations)
        if (np.abs(self.null - maxima) > 2 * TIE * maxima).any():
            place = int(np.argmax(np.abs(self.null - maxima) / maxima))
            raise ContradictionError(
                f"array null says {self.null[place]:.12g} of permutation {place}; made again it is {maxima[place]:.12g}"
            )

    def _population(self, piece: Piece, number: int, kept: Population | None) -> Floats:
        if kept is not None and kept.activations is not None:
            ranks = doubled(kept.activations[kept.finds])
        else:
            ranks = piece.whole(f"ranks_{number}", 2)
        self.ranks.append(ranks)
        if kept is None:
            told = piece.array(f"told_{number}", 2).astype(bool)
        else:
            told = np.stack([label[kept.finds] for label in kept.labels.values()])
        names, sites = piece.words(f"names_{number}"), piece.words(f"sites_{number}")
        widths = piece.whole(f"widths_{number}", 1)
        if len(names) != len(told) or told.shape[1] != ranks.shape[1] or widths.sum() != len(ranks):
            raise ContradictionError(f"array ranks_{number} is not of the predicates and sites beside it")
        starts = np.cumsum(widths) - widths
        for row, name in enumerate(names):
            for start, site in zip(starts.tolist(), sites, strict=True):
                self.places[name, site] = (number, row, start)
        self.widths |= dict(zip(sites, widths.tolist(), strict=True))
        shuffling = draw(piece, "permutations", str(number))
        rows = ranks.shape[1]
        centred = ranks / 2 - (rows - 1) / 2
        if (centred.sum(axis=1) != 0).any():
            raise ContradictionError(f"array ranks_{number} holds no ranks")
        size = np.sqrt((centred**2).sum(axis=1))
        positives = told.sum(axis=1)
        # A sum of ranks has this standard deviation where the rows are in any order.
        spreads = np.sqrt(positives * (rows - positives) / rows / (rows - 1))[:, None] * size
        scale = np.divide(1, spreads, out=np.zeros_like(spreads), where=spreads > 0)
        self.z.append(told.astype(float) @ centred.T * scale)
        found = []
        for first in range(0, self._permutations, PIECE):
            orders = [shuffling.permutation(rows) for _ in range(min(PIECE, self._permutations - first))]
            most = np.zeros(len(orders))
            for row, label in enumerate(told):
                moved = np.stack([label[order] for order in orders]).astype(float)
                most = np.maximum(most, (np.abs(moved @ centred.T) * scale[row]).max(axis=1))
            found.append(most)
        return np.concatenate(found)

    @property
    def tests(self) -> int:
        """Units times predicates."""
        return sum(one.size for one in self.z)

    def units(self, name: str, site: str) -> Floats:
        """The z of a site's units against a predicate."""
        if (name, site) not in self.places:
            raise ContradictionError(f"no ranks of {site} are kept for {name}")
        number, row, start = self.places[name, site]
        return self.z[number][row, start : start + self.widths[site]]

    def p(self, z: float) -> tuple[float, float]:
        """The p of one unit alone, and over the family."""
        from scipy.special import ndtr

        alone = float(2 * ndtr(-abs(z)))
        beyond = int((self.null >= abs(z) * (1 - TIE)).sum())
        return alone, max(alone, (1 + beyond) / (len(self.null) + 1))


def family_of(piece: Piece) -> Family | None:
    """The family of one use, permuted once; None where its ranks were too many to keep."""
    key = f"{piece.evidence.id.partition('/')[0]}/family"
    if key not in piece.kept.remembered:
        try:
            piece.kept.remembered[key] = Family(piece)
        except LackingError:
            piece.kept.remembered[key] = None
    found: Family | None = piece.kept.remembered[key]
    if found is None and not piece.has("null"):
        raise LackingError("this audit does not keep what p rests on")
    return found


def inference(family: Family | None, name: str, site: str, units: Sequence[int]) -> Any:
    """The p of a claim on some units of a site: that of the one that tells best."""
    if family is None:
        return Open(MANY)
    z = family.units(name, site)
    if not units or min(units) < 0 or max(units) >= len(z):
        raise ContradictionError("array units names a unit that there is not")
    p, adjusted = min((family.p(float(z[unit])) for unit in units), key=lambda pair: pair[1])
    told = f"{family.tests:,} pairs of unit and predicate"
    return {"p": p, "adjusted": adjusted, "method": TEST, "family": told, "m": family.tests}

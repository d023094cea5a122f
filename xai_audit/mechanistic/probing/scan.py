"""How well every unit tells every predicate: all areas under the curve from one rank transform and one matrix product.

With r the centred ranks of a unit over n rows (ties share their mean), n1 rows for which a predicate holds and n0 for
which it does not, the area is ``1/2 + sum of r over the n1 rows / (n1 n0)``: Mann and Whitney 1947, Annals of
Mathematical Statistics 18:50. The test is by permutation of rows, its family every unit and predicate at once, by the
maximum of standardised rank sums (Westfall and Young 1993, Resampling-Based Multiple Testing).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TIE = 1e-5
"""Standardised sums that differ by less, relatively, are equal: they are made in single precision."""
CHUNK = 256
"""Units ranked at once."""
COLUMNS = 800
"""Permuted predicates in one matrix product."""


def centred_ranks(activations: NDArray[Any]) -> NDArray[np.float32]:
    """Ranks of every unit over rows, ties averaged, less their mean: (units, rows) of (rows, units).

    Exact in float32 up to 2**23 rows. ValueError where an activation is no finite number.
    """
    rows, units = activations.shape
    out = np.empty((units, rows), dtype=np.float32)
    middle = (rows - 1) / 2
    for start in range(0, units, CHUNK):
        part = np.ascontiguousarray(activations[:, start : start + CHUNK].T)
        if not np.isfinite(part).all():
            message = "activations hold numbers that are not finite"
            raise ValueError(message)
        order = np.argsort(part, axis=1)
        ordered = np.take_along_axis(part, order, axis=1)
        first = np.ones(ordered.shape, dtype=bool)
        np.not_equal(ordered[:, 1:], ordered[:, :-1], out=first[:, 1:])
        if first.all():
            place = np.broadcast_to((np.arange(rows) - middle).astype(np.float32), ordered.shape)
        else:
            starts = np.flatnonzero(first)
            lengths = np.diff(starts, append=first.size)
            shared = (starts % rows + (lengths - 1) / 2 - middle).astype(np.float32)
            place = np.repeat(shared, lengths).reshape(ordered.shape)
        np.put_along_axis(out[start : start + CHUNK], order, place, axis=1)
    return out


@dataclass(frozen=True, eq=False)
class Scan:
    """Every unit against every predicate on the same rows."""

    auroc: NDArray[np.float64]
    """(predicates, units); 0.5 where a unit is the same in every row."""
    z: NDArray[np.float64]
    """(predicates, units): the rank sum over its standard deviation under permutation."""
    null: NDArray[np.float64]
    """(permutations,): the largest absolute z of any unit and predicate, for each permutation of the rows."""
    positives: NDArray[np.int64]
    """(predicates,): rows for which each holds."""

    def p(self) -> NDArray[np.float64]:
        """(predicates, units): p adjusted over every unit and predicate; at least 1 / (permutations + 1)."""
        return adjusted(self.z, self.null)

    def best(self, predicate: int, count: int = 1) -> NDArray[np.int64]:
        """The units whose area lies furthest from one half, either way, furthest first."""
        return largest(np.abs(self.z[predicate]), count)


def largest(values: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Places of the largest values, largest first, ties by place."""
    if count < len(values):
        threshold = np.partition(values, len(values) - count)[len(values) - count]
        places = np.flatnonzero(values >= threshold)
    else:
        places = np.arange(len(values))
    return places[np.argsort(-values[places], kind="stable")][:count]


def adjusted(z: NDArray[np.float64], null: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two-sided p of each z among the maxima of a family, of any shape; 1 where there are no permutations."""
    ordered = np.sort(null)
    beyond = len(ordered) - np.searchsorted(ordered, np.abs(z) * (1 - TIE), side="left")
    return np.asarray((1 + beyond) / (len(ordered) + 1))


def aurocs(ranks: NDArray[np.float32], labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(predicates, units) from centred ranks (units, rows) and labels (rows, predicates); nan where a class is empty."""
    return _areas(_sums(ranks, labels), labels)


def scan(
    activations: NDArray[Any],
    labels: NDArray[np.bool_],
    permutations: int,
    rng: np.random.Generator,
    *,
    strata: NDArray[np.int64] | None = None,
) -> Scan:
    """Every unit of activations (rows, units) against every predicate of labels (rows, predicates).

    Rows are permuted together for all predicates, so that what holds together stays together; with ``strata``
    (rows,) only within each. ValueError where a predicate holds for every row or for none.
    """
    return scanned(centred_ranks(activations), labels, permutations, rng, strata=strata)


def scanned(
    ranks: NDArray[np.float32],
    labels: NDArray[np.bool_],
    permutations: int,
    rng: np.random.Generator,
    *,
    strata: NDArray[np.int64] | None = None,
) -> Scan:
    """The same from centred ranks (units, rows), which a caller may keep."""
    rows = ranks.shape[1]
    positives = labels.sum(axis=0)
    if ((positives == 0) | (positives == rows)).any():
        message = "a predicate holds for every row or for none"
        raise ValueError(message)
    sums = _sums(ranks, labels)
    squares = np.einsum("ij,ij->i", ranks, ranks, dtype=np.float64)
    unit = 1 / np.sqrt(np.where(squares > 0, squares / (rows - 1), np.inf))
    of = 1 / np.sqrt(positives * (rows - positives) / rows)
    return Scan(
        auroc=_areas(sums, labels),
        z=sums * unit * of[:, None],
        null=_maxima(ranks, labels, unit, of, permutations, rng, strata),
        positives=positives,
    )


def _sums(ranks: NDArray[np.float32], labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Sums of ranks over the rows of each predicate, (predicates, units), in double precision: they are half numbers."""
    held = np.ascontiguousarray(labels.T, dtype=np.float64)
    out = np.empty((len(held), len(ranks)))
    for start in range(0, len(ranks), CHUNK):
        out[:, start : start + CHUNK] = held @ ranks[start : start + CHUNK].astype(np.float64).T
    return out


def _areas(sums: NDArray[np.float64], labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    positives = labels.sum(axis=0, dtype=np.float64)
    pairs = positives * (len(labels) - positives)
    return np.asarray(0.5 + sums / np.where(pairs > 0, pairs, np.nan)[:, None])


def _maxima(
    ranks: NDArray[np.float32],
    labels: NDArray[np.bool_],
    unit: NDArray[np.float64],
    of: NDArray[np.float64],
    permutations: int,
    rng: np.random.Generator,
    strata: NDArray[np.int64] | None,
) -> NDArray[np.float64]:
    """The largest absolute z of each permutation: one product for many permutations, which is where the time goes."""
    scaled = labels.astype(np.float32) * of.astype(np.float32)
    several = max(COLUMNS // labels.shape[1], 1)
    out = np.empty(permutations)
    unit32 = unit.astype(np.float32)[:, None]
    for start in range(0, permutations, several):
        count = min(several, permutations - start)
        moved = np.concatenate([scaled[order] for order in _orders(len(labels), count, rng, strata)], axis=1)
        products = ranks @ moved
        np.abs(products, out=products)
        products *= unit32
        out[start : start + count] = products.max(axis=0).reshape(count, -1).max(axis=1)
    return out


def _orders(
    rows: int, count: int, rng: np.random.Generator, strata: NDArray[np.int64] | None
) -> Sequence[NDArray[np.int64]]:
    if strata is None:
        return [rng.permutation(rows) for _ in range(count)]
    members = [np.flatnonzero(strata == one) for one in np.unique(strata)]
    orders = []
    for _ in range(count):
        order = np.arange(rows)
        for own in members:
            order[own] = rng.permutation(own)
        orders.append(order)
    return orders

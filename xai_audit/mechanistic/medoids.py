"""Real examples that stand for many: k-medoids, MMD-critic and nearest neighbours, in blocks that fit in memory.

Distances are squared Euclidean throughout, as in the nearest-prototype rule they serve.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from xai_audit.errors import MethodError

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 1024
"""Rows on each side of a block of distances: 4 MiB, which stays near the processor."""
ASKED = 256
"""Candidates asked again at a time in the lazy greedy search."""
HELD = 6000
"""Up to so many points all distances are kept, so that medoids may be swapped."""
ENUMERATED = 20_000
"""Up to so many sets of medoids each is tried."""
SWAPS = 100
"""Swaps after which a search that still improves is stopped and says so."""


@dataclass(frozen=True, eq=False)
class Chosen:
    """Prototypes in the order they were chosen."""

    rows: NDArray[np.int64]
    objective: float
    """Mean squared distance to the nearest medoid, or the squared maximum mean discrepancy."""
    how: Literal["exact", "greedy and swaps", "greedy"]


# ------------------------------------------------------------------------------------------------ medoids
def medoids(points: NDArray[Any], k: int, *, threads: int = 1) -> Chosen:
    """The k points (n, d) with the least mean squared distance of every point to its nearest one.

    Exact for one medoid and where few sets are possible; else greedy (the BUILD of Kaufman and Rousseeuw 1990) and, up
    to HELD points, best swaps until none improves (Schubert and Rousseeuw 2021, Information Systems 101:101804).
    Ties go to the lower index. MethodError where k is not between 1 and n.
    """
    data = _centred(points)
    n = len(data)
    _possible(k, n)
    if k == n:
        return Chosen(np.arange(n), 0.0, "exact")
    first = int(np.argmin((data.astype(np.float64) ** 2).sum(axis=1)))
    if k == 1:
        return Chosen(np.array([first]), _spread(data, [first]), "exact")
    if n > HELD:
        rows = _greedy_streamed(data, first, k, threads)
        return Chosen(np.array(rows), _spread(data, rows), "greedy")
    distances = _distances(data, data)
    np.fill_diagonal(distances, 0)
    if math.comb(n, k) <= ENUMERATED:
        rows = _enumerated(distances, k)
        return Chosen(np.array(rows), _spread(data, rows), "exact")
    rows, done = _swapped(distances, _greedy_held(distances, first, k))
    return Chosen(np.array(rows), _spread(data, rows), "greedy and swaps" if done else "greedy")


def _greedy_held(distances: NDArray[np.float32], first: int, k: int) -> list[int]:
    rows, near = [first], distances[first].copy()
    for _ in range(k - 1):
        gains = np.zeros(len(distances))
        for part in _slices(len(distances)):
            gains += _gains(distances[part], near[part])
        gains[rows] = -1
        rows.append(int(np.argmax(gains)))
        near = np.minimum(near, distances[rows[-1]])
    return rows


def _greedy_streamed(data: NDArray[np.float32], first: int, k: int, threads: int) -> list[int]:
    """Lazy greedy (Minoux 1978): what a point would gain never grows, so few must be asked again."""
    rows, left = [first], _left(data)
    near = [_distances(data, data[[first]])[:, 0]]
    bounds = _all_gains(data, near[0], threads)
    known = np.zeros(len(data), dtype=np.int64)
    """For how many further medoids each bound is exact."""
    for number in range(1, k):
        bounds[rows] = -1
        known[rows] = number - 1
        while known[chosen := int(np.argmax(bounds))] < number - 1:
            asked = np.argsort(-bounds, kind="stable")[:ASKED]
            for step in range(number - 1):
                again = asked[known[asked] == step]
                if len(again):
                    bounds[again] -= _lost(data, left, near[step], near[-1], again, threads)
            known[asked] = number - 1
        rows.append(chosen)
        near.append(np.minimum(near[-1], _distances(data, data[[chosen]])[:, 0]))
    return rows


def _lost(
    data: NDArray[np.float32],
    left: NDArray[np.float32],
    before: NDArray[np.float32],
    now: NDArray[np.float32],
    asked: NDArray[np.int64],
    threads: int,
) -> NDArray[np.float64]:
    """What these candidates gain less since points came nearer; only those points have a say."""
    moved = np.nonzero(before > now)[0]
    right, parts = _right(data[asked]), _slices(len(moved))

    def one(place: int) -> NDArray[np.float32]:
        part = moved[parts[place]]
        distances = _product(left[part], right)
        return _gains(distances, before[part]) - _gains(distances, now[part])

    lost = np.zeros(len(asked))
    for found in _each(one, range(len(parts)), threads):
        lost += found
    return lost


def _all_gains(data: NDArray[np.float32], near: NDArray[np.float32], threads: int = 1) -> NDArray[np.float64]:
    """How much each point as a further medoid would bring all points nearer."""

    def work(
        distances: NDArray[np.float32], a: slice, b: slice
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        columns = _gains(distances, near[a])
        if a == b:
            return columns, columns
        kept = np.subtract(near[b], distances, out=distances)
        return np.maximum(kept, 0, out=kept) @ np.ones(distances.shape[1], dtype=np.float32), columns

    return _pair_sums(data, work, threads)


def _gains(distances: NDArray[np.float32], near: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much each column's point would bring the rows nearer than they are, summed over rows."""
    kept = near[:, None] - distances
    gained: NDArray[np.float32] = np.ones(len(near), dtype=np.float32) @ np.maximum(kept, 0, out=kept)
    return gained


def _enumerated(distances: NDArray[np.float32], k: int) -> list[int]:
    best, found = math.inf, [0]
    sets = np.array(list(combinations(range(len(distances)), k)))
    for start in range(0, len(sets), 256):
        part = sets[start : start + 256]
        costs = distances[part].min(axis=1).sum(axis=1, dtype=np.float64)
        place = int(np.argmin(costs))
        if costs[place] < best:
            best, found = float(costs[place]), part[place].tolist()
    return found


def _swapped(distances: NDArray[np.float32], rows: list[int]) -> tuple[list[int], bool]:
    """The best exchange of a medoid for another point, again and again, and whether none is left that improves."""
    rows = list(rows)
    for _ in range(SWAPS):
        to_medoids = distances[rows]
        order = np.argsort(to_medoids, axis=0, kind="stable")
        places = np.arange(distances.shape[1])
        near, second = to_medoids[order[0], places], to_medoids[order[1], places]
        owner = np.zeros((len(rows), len(places)), dtype=np.float32)
        owner[order[0], places] = 1
        change = np.concatenate(
            [_exchange(distances[:, part], near, second, owner) for part in _slices(len(distances))], axis=1
        )
        change[:, rows] = np.inf
        out, into = np.unravel_index(int(np.argmin(change)), change.shape)
        # Rounding must not keep two equally good sets going round.
        if change[out, into] >= -1e-6 * max(float(near.sum(dtype=np.float64)), 1e-30):
            return rows, True
        rows[int(out)] = int(into)
    return rows, False


def _exchange(
    distances: NDArray[np.float32],
    near: NDArray[np.float32],
    second: NDArray[np.float32],
    owner: NDArray[np.float32],
) -> NDArray[np.float64]:
    """By how much the sum of distances changes if each medoid gives way to each candidate, (k, candidates)."""
    gained = np.minimum(distances - near[:, None], 0).sum(axis=0, dtype=np.float64)
    lost: NDArray[np.float32] = owner @ (np.clip(distances, near[:, None], second[:, None]) - near[:, None])
    change: NDArray[np.float64] = gained[None] + lost
    return change


def _spread(data: NDArray[np.float32], rows: list[int]) -> float:
    near = _distances(data, data[rows]).min(axis=1)
    near[rows] = 0
    return float(near.mean(dtype=np.float64))


# ------------------------------------------------------------------------------------------------ MMD-critic
def mmd_critic(points: NDArray[Any], k: int, gamma: float | None = None, *, threads: int = 1) -> Chosen:
    """The k points, chosen greedily, whose distribution is nearest that of all points (n, d).

    Each step takes the point that most lowers the squared maximum mean discrepancy under the kernel ``exp(-gamma
    d^2)`` (Kim, Khanna and Koyejo 2016, NeurIPS); ``gamma`` defaults to one over the median squared distance. Ties
    go to the lower index.
    """
    data = _centred(points)
    n = len(data)
    _possible(k, n)
    gamma = bandwidth(data) if gamma is None else gamma
    column, total = _kernel_means(data, gamma, threads)
    rows: list[int] = []
    own, cross, inner = 0.0, np.zeros(n), 0.0
    for size in range(1, k + 1):
        # Up to what all candidates share: the attraction to the data less the likeness to those chosen before.
        value = 2 * (own + column) / size - (inner + 2 * cross + 1) / size**2
        value[rows] = -np.inf
        chosen = int(np.argmax(value))
        own += float(column[chosen])
        inner += 2 * float(cross[chosen]) + 1
        cross += _kernel(data, data[[chosen]], gamma)[:, 0]
        rows.append(chosen)
    return Chosen(np.array(rows), max(total - 2 * own / k + inner / k**2, 0.0), "greedy")


def criticisms(
    points: NDArray[Any], prototypes: NDArray[np.int64], count: int, gamma: float | None = None
) -> NDArray[np.int64]:
    """Points that the prototypes represent least: greedy on the sum of absolute witness and the log determinant.

    The witness is the mean likeness to the data less the mean likeness to the prototypes; the log determinant of the
    kernel among criticisms keeps them apart (Kim, Khanna and Koyejo 2016, NeurIPS, equation 9).
    """
    data = _centred(points)
    gamma = bandwidth(data) if gamma is None else gamma
    column, _ = _kernel_means(data, gamma)
    witness = np.abs(column - _kernel(data, data[prototypes], gamma).mean(axis=1))
    left = np.ones(len(data), dtype=bool)
    left[prototypes] = False
    rest = np.ones(len(data))
    """What of each point's kernel with itself is not explained by the criticisms so far (a Cholesky pivot)."""
    factor = np.zeros((0, len(data)))
    found: list[int] = []
    while len(found) < min(count, int(left.sum()) + len(found)) and left.any():
        value = np.where(left, witness + np.log(np.maximum(rest, 1e-12)), -np.inf)
        chosen = int(np.argmax(value))
        likeness = _kernel(data, data[[chosen]], gamma)[:, 0].astype(np.float64)
        row = (likeness - factor.T @ factor[:, chosen]) / math.sqrt(max(float(rest[chosen]), 1e-12))
        factor = np.vstack([factor, row])
        rest = rest - row**2
        left[chosen] = False
        found.append(chosen)
    return np.array(found, dtype=np.int64)


def bandwidth(points: NDArray[Any], most: int = 1000) -> float:
    """One over the median squared distance between at most so many evenly spaced points; 1 where all are equal."""
    sample = points[
        np.unique(np.linspace(0, len(points) - 1, min(most, len(points))).round().astype(np.int64))
    ]
    distances = _distances(_centred(sample), _centred(sample))
    upper = distances[np.triu_indices(len(sample), 1)]
    middle = float(np.median(upper)) if len(upper) else 0.0
    if middle <= 0:
        middle = float(upper.mean()) if len(upper) else 0.0
    return 1 / middle if middle > 0 else 1.0


def _kernel(a: NDArray[np.float32], b: NDArray[np.float32], gamma: float) -> NDArray[np.float32]:
    found = _distances(a, b)
    found *= -np.float32(gamma)
    return np.exp(found, out=found)


def _kernel_means(
    data: NDArray[np.float32], gamma: float, threads: int = 1
) -> tuple[NDArray[np.float64], float]:
    """Each point's mean kernel with all points, and the mean of those."""

    def work(
        distances: NDArray[np.float32], _a: slice, _b: slice
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        distances *= -np.float32(gamma)
        likeness = np.exp(distances, out=distances)
        across = np.ones(likeness.shape[1], dtype=np.float32)
        return likeness @ across, np.ones(len(likeness), dtype=np.float32) @ likeness

    column = _pair_sums(data, work, threads) / len(data)
    return column, float(column.mean())


# ------------------------------------------------------------------------------------------------ neighbours
def nearest(
    queries: NDArray[Any], points: NDArray[Any], k: int, *, themselves: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The k nearest points of each query, nearest first: indices and squared distances, (queries, k).

    ``themselves`` says that the queries are the points, and that no point is its own neighbour. Ties go to the
    lower index among those found. Distances are taken again in double precision.
    """
    wanted = min(k, len(points) - themselves)
    centre = np.asarray(points, dtype=np.float64).mean(axis=0)
    right = _right((points - centre).astype(np.float32))
    indices = np.empty((len(queries), wanted), dtype=np.int64)
    squares = np.empty((len(queries), wanted))
    for part in _slices(len(queries)):
        asked = np.asarray(queries[part], dtype=np.float64)
        found = _product(_left((asked - centre).astype(np.float32)), right)
        if themselves:
            found[np.arange(len(asked)), np.arange(len(queries))[part]] = np.inf
        # A few more than asked, so that single precision cannot lose one.
        spare = min(wanted + 4, len(points) - themselves)
        near = np.sort(np.argpartition(found, spare - 1, axis=1)[:, :spare], axis=1)
        exact = ((asked[:, None] - points[near].astype(np.float64)) ** 2).sum(axis=2)
        order = np.argsort(exact, axis=1, kind="stable")[:, :wanted]
        indices[part] = np.take_along_axis(near, order, axis=1)
        squares[part] = np.take_along_axis(exact, order, axis=1)
    return indices, squares


def by_class(
    queries: NDArray[Any],
    points: NDArray[Any],
    labels: NDArray[np.int64],
    classes: int,
    k: int,
    *,
    themselves: bool = False,
) -> NDArray[np.float64]:
    """Mean distance (not squared) of each query to its k nearest points of every class, (queries, classes).

    Of a class with fewer points, all of them; infinite for one with none. ``themselves`` as in `nearest`.
    """
    members = [np.nonzero(labels == one)[0] for one in range(classes)]
    centre = np.asarray(points, dtype=np.float64).mean(axis=0)
    right = _right((points - centre).astype(np.float32))
    means = np.full((len(queries), classes), np.inf)
    for part in _slices(len(queries)):
        found = _product(_left((queries[part] - centre).astype(np.float32)), right)
        if themselves:
            found[np.arange(len(found)), np.arange(len(queries))[part]] = np.inf
        for one, inside in enumerate(members):
            if len(inside):
                size = min(k, len(inside))
                near = np.sqrt(np.partition(found[:, inside], size - 1, axis=1)[:, :size]).astype(np.float64)
                real = np.isfinite(near)
                sums = np.where(real, near, 0).sum(axis=1)
                means[part, one] = np.where(real.any(axis=1), sums / np.maximum(real.sum(axis=1), 1), np.inf)
    return means


# ------------------------------------------------------------------------------------------------ blocks
def _possible(k: int, n: int) -> None:
    if not 1 <= k <= n:
        raise MethodError(f"{k} prototypes of {n} points")


def _centred(points: NDArray[Any]) -> NDArray[np.float32]:
    """Around their mean, where squared distances lose the least to rounding."""
    if points.ndim != 2 or not np.isfinite(points).all():
        raise MethodError("prototypes are chosen among finite vectors, (rows, d)")
    wide = np.asarray(points, dtype=np.float64)
    return np.ascontiguousarray(wide - wide.mean(axis=0), dtype=np.float32)


def _left(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    # With _right, one product of matrices gives |a|^2 - 2ab + |b|^2 whole.
    return np.column_stack([-2 * rows, (rows * rows).sum(axis=1), np.ones(len(rows), dtype=np.float32)])


def _right(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.column_stack([rows, np.ones(len(rows), dtype=np.float32), (rows * rows).sum(axis=1)])


def _product(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = left @ right.T
    return np.maximum(found, 0, out=found)


def _distances(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    return _product(_left(a), _right(b))


def _slices(n: int, step: int = BLOCK) -> list[slice]:
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def _pair_sums(
    data: NDArray[np.float32],
    work: Callable[[NDArray[np.float32], slice, slice], tuple[NDArray[np.float32], NDArray[np.float32]]],
    threads: int,
) -> NDArray[np.float64]:
    """Sums over all pairs from blocks on and above the diagonal, each distance taken once; the diagonal is exactly 0.

    ``work`` gives, for one block of distances, what it adds to its rows and to its columns. Blocks are added in one
    order, so that threads change nothing.
    """
    left, right = _left(data), _right(data)
    blocks = _slices(len(data))

    def one(place: int) -> NDArray[np.float64]:
        sums = np.zeros(len(data))
        for b in blocks[place:]:
            a = blocks[place]
            distances = _product(left[a], right[b])
            if a == b:
                np.fill_diagonal(distances, 0)
            rows, columns = work(distances, a, b)
            sums[b] += columns
            if a != b:
                sums[a] += rows
        return sums

    total = np.zeros(len(data))
    for sums in _each(one, range(len(blocks)), threads):
        total += sums
    return total


def _each(work: Callable[[int], NDArray[Any]], items: Sequence[int], threads: int) -> Iterator[NDArray[Any]]:
    """What ``work`` gives for each item, in order, by so many threads of one core each."""
    if threads == 1:
        yield from map(work, items)
        return
    from concurrent.futures import ThreadPoolExecutor

    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1), ThreadPoolExecutor(threads) as pool:
        yield from pool.map(work, items)


__all__ = ["Chosen", "bandwidth", "by_class", "criticisms", "medoids", "mmd_critic", "nearest"]

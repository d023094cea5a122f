"""Exact Shapley values of one row against one reference row, for trees and linear models with any link.

A mixture of two rows takes each input from one or the other. A leaf is reached by exactly those mixtures that
take some inputs from the first row (all of a set A) and others from the second (all of a set N), so its share of
the game has a closed form (Lundberg et al. 2020, Nature Machine Intelligence 2:56, there for one column a player).
Players here are the user's inputs: a category moves all its encoded columns at once. Behind a link the leaves fill
a table over the subsets of the inputs that matter to the pair, and the table is the game.

The kernels are compiled by numba when first called, never on import.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from xai_audit.explainers.tables.trees import Ensemble

LINKS = {"identity": 0, "sigmoid": 1, "sigmoid2": 2, "softmax": 3, "exp": 4}


def linked(raw: NDArray[np.float64], link: str, sign: int, output: int) -> NDArray[np.float64]:
    """The number explained from raw outputs of shape (..., outputs): one raw output, or its probability."""
    own = sign * raw[..., output]
    with np.errstate(over="ignore"):
        if link == "sigmoid":
            return np.asarray(1 / (1 + np.exp(-own)))
        if link == "sigmoid2":
            return np.asarray(1 / (1 + np.exp(-2 * own)))
        if link == "exp":
            return np.asarray(np.exp(own))
        if link == "softmax":
            shifted = np.exp(raw - raw.max(axis=-1, keepdims=True))
            return np.asarray(shifted[..., output] / shifted.sum(axis=-1))
    return np.asarray(own)


def size_weights(most: int) -> NDArray[np.float64]:
    """Shapley weights ``s! (m - s - 1)! / m!`` of a subset of size s among m players: (m, s)."""
    table = np.zeros((most + 1, most + 1))
    for m in range(1, most + 1):
        for s in range(m):
            table[m, s] = 1 / (m * math.comb(m - 1, s))
    return table


def tree_pairs(
    ensemble: Ensemble,
    player: NDArray[np.int64],
    players: int,
    rows: NDArray[np.uint8],
    reference: NDArray[np.uint8],
    link: str,
    sign: int,
    output: int,
) -> NDArray[np.float64]:
    """Shapley values of each row against each reference row: (rows, reference, players).

    ``rows`` and ``reference`` are the ensemble's decisions; ``player`` gives the input behind an encoded column.
    """
    trees = ensemble.trees if link == "softmax" else tuple(t for t in ensemble.trees if t.output == output)
    sizes = np.asarray([len(tree.left) for tree in ensemble.trees], dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    kept = [
        number for number, tree in enumerate(ensemble.trees) if link == "softmax" or tree.output == output
    ]
    shift = [int(starts[number]) for number in kept]
    left = _joined(ensemble, "left")
    right = _joined(ensemble, "right")
    column = np.concatenate([tree.column for tree in ensemble.trees])
    owner = np.where(column >= 0, player[np.where(column >= 0, column, 0)], -1)
    value = np.concatenate([tree.value for tree in ensemble.trees])
    roots = np.asarray(shift, dtype=np.int64)
    outputs = np.asarray([tree.output if link == "softmax" else 0 for tree in trees], dtype=np.int64)
    most = int(max(sizes.max(initial=1), 1))
    if link == "identity":
        out = _compiled("tree_sums")(
            rows, reference, left, right, owner, value, roots, players, min(most, players) + 2, most
        )
        return np.asarray(sign * out)
    offset = ensemble.offset if link == "softmax" else ensemble.offset[output : output + 1]
    leaves = int(sum((ensemble.trees[number].left < 0).sum() for number in kept))
    out = _compiled("tree_tables")(
        rows, reference, left, right, owner, value, roots, outputs, np.ascontiguousarray(offset), players, most, leaves,
        LINKS[link], float(sign), output if link == "softmax" else 0, size_weights(players),
    )  # fmt: skip
    return np.asarray(out)


def _joined(ensemble: Ensemble, side: str) -> NDArray[np.int64]:
    parts, start = [], 0
    for tree in ensemble.trees:
        child = getattr(tree, side)
        parts.append(np.where(child >= 0, child + start, -1))
        start += len(child)
    return np.concatenate(parts).astype(np.int64)


def linear_pairs(
    rows: NDArray[np.float64],
    reference: NDArray[np.float64],
    offset: NDArray[np.float64],
    link: str,
    sign: int,
    output: int,
) -> NDArray[np.float64]:
    """Shapley values of each row against each reference row of a linear model: (rows, reference, players).

    ``rows`` and ``reference`` hold each input's contribution to each raw output: (rows, outputs, players).
    """
    if link != "softmax":
        rows, reference, offset = (
            rows[:, output : output + 1],
            reference[:, output : output + 1],
            offset[output : output + 1],
        )
        output = 0
    if link == "identity":
        return np.asarray(sign * (rows[:, 0][:, None, :] - reference[:, 0][None, :, :]))
    out = _compiled("linear_tables")(
        np.ascontiguousarray(rows), np.ascontiguousarray(reference), np.ascontiguousarray(offset),
        LINKS[link], float(sign), output, size_weights(rows.shape[2]),
    )  # fmt: skip
    return np.asarray(out)


def compiled(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel as numba compiles it on its first call; kept on disk for the next process where there is a place."""
    import numba

    try:
        made: Callable[..., Any] = numba.njit(kernel, cache=True, nogil=True)
    except RuntimeError:  # nowhere to keep the compiled code: compile again in each process
        made = numba.njit(kernel, nogil=True)
    return made


@cache
def _compiled(name: str) -> Callable[..., Any]:
    kernels: dict[str, Callable[..., Any]] = {
        "tree_sums": _tree_sums,
        "tree_tables": _tree_tables,
        "linear_tables": _linear_tables,
    }
    return compiled(kernels[name])


def _tree_sums(rows, reference, left, right, owner, value, roots, players, most, depth):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, C901, PLR0912, PLR0915
    """Contributions where the output is the plain sum of leaves."""
    gives = np.zeros((most + 1, most + 1))
    takes = np.zeros((most + 1, most + 1))
    for a in range(most + 1):
        for n in range(most + 1 - a):
            choose = 1.0  # C(a + n, a)
            for i in range(1, a + 1):
                choose = choose * (n + i) / i
            if a > 0:
                gives[a, n] = 1.0 / (a * choose)
            if n > 0:
                takes[a, n] = 1.0 / (n * choose)
    out = np.zeros((rows.shape[0], reference.shape[0], players))
    state = np.zeros(players, dtype=np.int8)
    trail = np.zeros(players + 1, dtype=np.int64)
    stack = np.zeros((depth + 1, 3), dtype=np.int64)
    for i in range(rows.shape[0]):
        for k in range(reference.shape[0]):
            for t in range(roots.shape[0]):
                top, length, na, nn = 1, 0, 0, 0
                stack[0, 0], stack[0, 1], stack[0, 2] = roots[t], 0, -1
                while top > 0:
                    top -= 1
                    node = stack[top, 0]
                    while length > stack[top, 1]:
                        length -= 1
                        p = trail[length]
                        if state[p] == 1:
                            na -= 1
                        else:
                            nn -= 1
                        state[p] = 0
                    p = stack[top, 2]
                    if p >= 0:
                        state[p] = 2
                        trail[length] = p
                        length += 1
                        nn += 1
                    while left[node] >= 0:
                        dx, db = rows[i, node], reference[k, node]
                        go = dx
                        if dx != db:
                            p = owner[node]
                            if state[p] == 2:
                                go = db
                            elif state[p] == 0:
                                stack[top, 0] = left[node] if db else right[node]
                                stack[top, 1] = length
                                stack[top, 2] = p
                                top += 1
                                state[p] = 1
                                trail[length] = p
                                length += 1
                                na += 1
                        node = left[node] if go else right[node]
                    if length > 0:
                        up, down = value[node] * gives[na, nn], value[node] * takes[na, nn]
                        for j in range(length):
                            p = trail[j]
                            if state[p] == 1:
                                out[i, k, p] += up
                            else:
                                out[i, k, p] -= down
                for j in range(length):
                    state[trail[j]] = 0
    return out


def _tree_tables(  # type: ignore[no-untyped-def]  # noqa: ANN202, C901, PLR0912, PLR0915
    rows, reference, left, right, owner, value, roots, outputs, offset, players, depth, leaves, link, sign, output, weights  # noqa: ANN001
):  # fmt: skip
    """Contributions where leaves add up to raw numbers behind a link."""
    raws = offset.shape[0]
    out = np.zeros((rows.shape[0], reference.shape[0], players))
    state = np.zeros(players, dtype=np.int8)
    trail = np.zeros(players + 1, dtype=np.int64)
    stack = np.zeros((depth + 1, 3), dtype=np.int64)
    place = np.full(players, -1, dtype=np.int64)
    active = np.zeros(players, dtype=np.int64)
    entry_a = np.zeros(leaves, dtype=np.int64)
    entry_n = np.zeros(leaves, dtype=np.int64)
    entry_k = np.zeros(leaves, dtype=np.int64)
    entry_v = np.zeros(leaves)
    table = np.zeros((raws, 1 << players))
    final = np.zeros(1 << players)
    bits = np.zeros(1 << players, dtype=np.int64)
    for s in range(1, 1 << players):
        bits[s] = bits[s >> 1] + (s & 1)
    for i in range(rows.shape[0]):
        for k in range(reference.shape[0]):
            entries, m = 0, 0
            for t in range(roots.shape[0]):
                top, length = 1, 0
                stack[0, 0], stack[0, 1], stack[0, 2] = roots[t], 0, -1
                while top > 0:
                    top -= 1
                    node = stack[top, 0]
                    while length > stack[top, 1]:
                        length -= 1
                        state[trail[length]] = 0
                    p = stack[top, 2]
                    if p >= 0:
                        state[p] = 2
                        trail[length] = p
                        length += 1
                    while left[node] >= 0:
                        dx, db = rows[i, node], reference[k, node]
                        go = dx
                        if dx != db:
                            p = owner[node]
                            if state[p] == 2:
                                go = db
                            elif state[p] == 0:
                                if place[p] < 0:
                                    place[p] = m
                                    active[m] = p
                                    m += 1
                                stack[top, 0] = left[node] if db else right[node]
                                stack[top, 1] = length
                                stack[top, 2] = p
                                top += 1
                                state[p] = 1
                                trail[length] = p
                                length += 1
                        node = left[node] if go else right[node]
                    a, n = 0, 0
                    for j in range(length):
                        if state[trail[j]] == 1:
                            a |= 1 << place[trail[j]]
                        else:
                            n |= 1 << place[trail[j]]
                    entry_a[entries], entry_n[entries] = a, n
                    entry_k[entries], entry_v[entries] = outputs[t], value[node]
                    entries += 1
                for j in range(length):
                    state[trail[j]] = 0
            size = 1 << m
            for r in range(raws):
                for s in range(size):
                    table[r, s] = 0.0
                table[r, 0] = offset[r]
            # A leaf counts where all of A and none of N is in the subset: inclusion and exclusion over N.
            for e in range(entries):
                a, n, r = entry_a[e], entry_n[e], entry_k[e]
                part = n
                while True:
                    if bits[part] & 1:
                        table[r, a | part] -= entry_v[e]
                    else:
                        table[r, a | part] += entry_v[e]
                    if part == 0:
                        break
                    part = (part - 1) & n
            for r in range(raws):
                for j in range(m):
                    step = 1 << j
                    for s in range(size):
                        if s & step:
                            table[r, s] += table[r, s ^ step]
            for s in range(size):
                own = sign * table[output, s]
                if link == 1:
                    final[s] = 1.0 / (1.0 + np.exp(-own))
                elif link == 2:
                    final[s] = 1.0 / (1.0 + np.exp(-2.0 * own))
                elif link == 3:
                    total = 0.0
                    for r in range(raws):
                        total += np.exp(table[r, s] - own)
                    final[s] = 1.0 / total
                elif link == 4:
                    final[s] = np.exp(own)
                else:
                    final[s] = own
            for j in range(m):
                step = 1 << j
                total = 0.0
                for s in range(size):
                    if not s & step:
                        total += weights[m, bits[s]] * (final[s | step] - final[s])
                out[i, k, active[j]] = total
            for j in range(m):
                place[active[j]] = -1
    return out


def _linear_tables(rows, reference, offset, link, sign, output, weights):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, C901, PLR0912
    """Contributions where inputs add up to raw numbers behind a link."""
    raws, players = rows.shape[1], rows.shape[2]
    out = np.zeros((rows.shape[0], reference.shape[0], players))
    table = np.zeros((raws, 1 << players))
    final = np.zeros(1 << players)
    active = np.zeros(players, dtype=np.int64)
    bits = np.zeros(1 << players, dtype=np.int64)
    for s in range(1, 1 << players):
        bits[s] = bits[s >> 1] + (s & 1)
    for i in range(rows.shape[0]):
        for k in range(reference.shape[0]):
            m = 0
            for p in range(players):
                for r in range(raws):
                    if rows[i, r, p] != reference[k, r, p]:
                        active[m] = p
                        m += 1
                        break
            size = 1 << m
            for r in range(raws):
                start = offset[r]
                for p in range(players):
                    start += reference[k, r, p]
                table[r, 0] = start
                for j in range(m):
                    step = 1 << j
                    change = rows[i, r, active[j]] - reference[k, r, active[j]]
                    for s in range(step):
                        table[r, s | step] = table[r, s] + change
            for s in range(size):
                own = sign * table[output, s]
                if link == 1:
                    final[s] = 1.0 / (1.0 + np.exp(-own))
                elif link == 2:
                    final[s] = 1.0 / (1.0 + np.exp(-2.0 * own))
                elif link == 3:
                    total = 0.0
                    for r in range(raws):
                        total += np.exp(table[r, s] - own)
                    final[s] = 1.0 / total
                elif link == 4:
                    final[s] = np.exp(own)
                else:
                    final[s] = own
            for j in range(m):
                step = 1 << j
                total = 0.0
                for s in range(size):
                    if not s & step:
                        total += weights[m, bits[s]] * (final[s | step] - final[s])
                out[i, k, active[j]] = total
    return out

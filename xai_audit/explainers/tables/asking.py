"""Shapley values by asking the model about mixtures of rows: all subsets of inputs, or sampled orders of them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.explainers.rows import assembled, generator
from xai_audit.explainers.tables import pairs
from xai_audit.explainers.tables.encoding import PROBES, Encoding, encode, last_estimator
from xai_audit.subject import BLOCK

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from numpy.typing import NDArray

    from xai_audit.explainers.rows import Output
    from xai_audit.subject import Subject

    Ask = Callable[[NDArray[np.int64]], NDArray[np.float64]]
    """Answers to mixtures of rows: column ``j`` of a mixture comes from pool row ``index[:, j]``."""

CHUNK = 1 << 17
"""Mixtures asked for at once."""
ENCODED_BLOCK = 8 * BLOCK
"""Encoded rows in every call of a last estimator: fixed and padded, as all calls are."""


def asked_through(
    subject: Subject, output: Output, pool: pd.DataFrame, encoding: Encoding | str
) -> str | None:
    """The last estimator's method that gives the model's own answers on encoded rows; None where none does."""
    if isinstance(encoding, str) or subject.model is None:
        return None
    index = generator("asked", *pool.shape).integers(0, len(pool), size=(PROBES, pool.shape[1]))
    told = subject.output(assembled(pool, index), output)
    scale = max(1.0, float(np.max(np.abs(told), initial=0.0)))
    for name in ("predict_proba", "decision_function", "predict"):
        call = getattr(encoding.estimator, name, None)
        if call is None:
            continue
        try:
            said = in_encoded_blocks(call, encoding.mixed(index), subject.positive)
        except (ValueError, TypeError, AttributeError, IndexError):
            continue
        if np.max(np.abs(said - told), initial=0.0) <= 1e-9 * scale:
            return name
    return None


def in_encoded_blocks(call: Any, matrix: NDArray[np.float64], positive: int) -> NDArray[np.float64]:
    """The number explained for encoded rows, asked in padded blocks of one size."""
    parts = []
    for start in range(0, len(matrix), ENCODED_BLOCK):
        block = matrix[start : start + ENCODED_BLOCK]
        real = len(block)
        if real < ENCODED_BLOCK:
            block = np.concatenate([block, np.repeat(block[:1], ENCODED_BLOCK - real, axis=0)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # it was fitted with column names
            said = np.asarray(call(np.ascontiguousarray(block)), dtype=np.float64)[:real]
        parts.append(said[:, positive] if said.ndim > 1 and said.shape[1] > 1 else said.reshape(real))
    return np.concatenate(parts) if parts else np.empty(0)


def asker(subject: Subject, output: Output, note: dict[str, Any], pool: pd.DataFrame) -> Ask:
    """Who answers for mixtures of the pool's rows: the last estimator on encoded parts, or the whole model."""
    if note["encoded"] is None:
        return lambda index: subject.output(assembled(pool, index), output)
    assert subject.model is not None
    native = subject.model.native
    encoding = Encoding(
        last_estimator(native), encode(subject.model, pool), np.asarray(note["player"]), direct=False
    )
    call = getattr(encoding.estimator, note["encoded"])
    return lambda index: in_encoded_blocks(call, encoding.mixed(index), subject.positive)


def different(pool: pd.DataFrame, n: int) -> NDArray[np.bool_]:
    """Where a row and a reference row differ: (rows, reference, inputs). An input that does not differ is no player."""
    import pandas as pd

    codes = np.stack([pd.factorize(pool[name])[0] for name in pool.columns], axis=1)
    return np.asarray(codes[:n, None, :] != codes[None, n:, :])


def all_subsets(
    ask: Ask, different: NDArray[np.bool_], n: int, fx: NDArray[np.float64], fb: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Exact values of each row against each reference row, from every mixture of the two: (rows, reference, inputs).

    ``fx`` and ``fb`` are the outputs of the rows and of the reference rows, ``different`` where two rows differ; mixture
    indices count the rows first and the reference after them.
    """
    rows, size, count = different.shape
    out = np.zeros((rows, size, count))
    weights = pairs.size_weights(count)
    for i in range(rows):
        waiting: list[tuple[int, NDArray[np.int64], NDArray[np.int64]]] = []
        amount = 0
        for k in range(size):
            movers = np.flatnonzero(different[i, k])
            inside = (np.arange(1 << len(movers))[:, None] >> np.arange(len(movers))) & 1
            index = np.full((len(inside), count), n + k, dtype=np.int64)
            index[:, movers] = np.where(inside == 1, i, n + k)
            waiting.append((k, movers, index))
            amount += len(index)
            if amount >= CHUNK or k == size - 1:
                # The ends are known already: the reference row and the row itself.
                told = ask(np.concatenate([index[1:-1] for _, _, index in waiting]))
                start = 0
                for number, moved, asked in waiting:
                    inner = max(len(asked) - 2, 0)
                    values = np.concatenate([fb[[number]], told[start : start + inner], fx[[i]]])[
                        -len(asked) :
                    ]
                    start += inner
                    out[i, number, moved] = from_table(values, len(moved), weights)
                waiting, amount = [], 0
    return out


def from_table(values: NDArray[np.float64], m: int, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shapley values of a game given by its table over all subsets, bit j for player j."""
    phi = np.zeros(m)
    sizes = np.bitwise_count(np.arange(1 << m, dtype=np.uint64)).astype(np.int64)
    for j in range(m):
        cut = values.reshape(-1, 2, 1 << j)
        weight = weights[m][sizes.reshape(-1, 2, 1 << j)[:, 0]]
        phi[j] = np.sum(weight * (cut[:, 1] - cut[:, 0]))
    return phi


def sampled_orders(
    ask: Ask,
    draws: list[np.random.Generator],
    rounds: int,
    count: int,
    fx: NDArray[np.float64],
    fb: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each reference row with ``rounds`` random orders of the inputs and their reverses; the error from rounds within it."""
    n, size = len(fx), len(fb)
    out = np.zeros((n, size, count))
    error = np.zeros((n, count))
    if count == 1:
        out[:, :, 0] = fx[:, None] - fb[None, :]
        return out, error
    for i in range(n):
        orders = draws[i].permuted(np.broadcast_to(np.arange(count), (size * rounds, count)), axis=1)
        found = np.zeros((size * rounds, count))
        for chain in (orders, orders[:, ::-1]):
            position = np.argsort(chain, axis=1)
            owner = np.repeat(np.arange(size), rounds)
            steps = np.arange(1, count)
            inside = position[:, None, :] < steps[None, :, None]
            index = np.where(inside, i, n + owner[:, None, None]).reshape(-1, count)
            told = np.concatenate([ask(index[at : at + CHUNK]) for at in range(0, len(index), CHUNK)])
            path = np.concatenate(
                [fb[owner][:, None], told.reshape(-1, count - 1), np.full((len(owner), 1), fx[i])], axis=1
            )
            np.put_along_axis(
                found, chain, np.take_along_axis(found, chain, axis=1) + np.diff(path, axis=1) / 2, axis=1
            )
        by_reference = found.reshape(size, rounds, count)
        out[i] = by_reference.sum(axis=1) / rounds
        if rounds > 1:
            within = ((by_reference - out[i][:, None]) ** 2).sum(axis=1) / (rounds - 1)
            error[i] = np.sqrt(within.sum(axis=0) / rounds) / size
    return out, error

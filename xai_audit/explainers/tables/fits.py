"""LIME's weighted ridge fit from sums over neighbours, and its weighted R2 on neighbours it has not seen.

A neighbour says of each input only whether it shares the row's bin or level, and its weight depends only on how many
it shares. So one pass over the neighbours, compiled by numba when first called, gives all sums the fit needs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.explainers.tables.pairs import compiled

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Sums:
    """Weighted moments of neighbours around a row; answers are counted from the row's own answer."""

    total: float
    """Sum of weights."""
    centre: NDArray[np.float64]
    """Weighted share of neighbours that share each input."""
    level: float
    """Weighted mean answer."""
    gram: NDArray[np.float64]
    cross: NDArray[np.float64]
    spread: float
    """Centred weighted products of inputs with inputs, inputs with answers, answers with answers."""
    answers: float
    """The largest absolute answer, as the scale of rounding."""


def around(
    codes: NDArray[np.float64],
    code: NDArray[np.float64],
    answers: NDArray[np.float64],
    told: float,
    width: float,
) -> tuple[Sums, Sums]:
    """Sums over neighbours (samples, inputs) around a row with these codes: with the row as sample 0, and without.

    ``answers`` are those of samples 1 onwards, ``told`` the row's own.
    """
    distance = np.sqrt(np.arange(len(code) + 1.0))
    weights = np.sqrt(np.exp(-(distance**2) / width**2))
    shifted = answers - told
    total, moment, square, shares, products, gram = _moments()(codes, code, shifted, weights)
    largest = float(np.max(np.abs(shifted), initial=0.0))

    def centred(own: float) -> Sums:
        # The row shares everything with itself, and answers are counted from its own.
        weight, share = total + own, shares + own
        centre, level = share / weight, moment / weight
        inner = gram + own - weight * np.outer(centre, centre)
        return Sums(
            weight, centre, level, inner, products - moment * centre, square - moment * level, largest
        )

    return centred(float(weights[0])), centred(0.0)


def fit(sums: Sums, told: float, features: int | None) -> tuple[float, NDArray[np.float64]]:
    """Intercept and one coefficient an input of the ridge fit (alpha 1), zero for inputs that were not chosen.

    Up to six inputs are chosen one by one, more by their weight in a fit of all: as lime's ``auto`` does.
    """
    count = len(sums.centre)
    chosen = np.arange(count)
    if features is not None and features < count:
        chosen = _forward(sums, features) if features <= 6 else _heaviest(sums, features)
    coefficients = np.zeros(count)
    inner = sums.gram[np.ix_(chosen, chosen)] + np.eye(len(chosen))
    coefficients[chosen] = np.linalg.solve(inner, sums.cross[chosen])
    return told + sums.level - float((sums.centre * coefficients).sum()), coefficients


def explained(sums: Sums, told: float, intercept: float, coefficients: NDArray[np.float64]) -> float:
    """Weighted R2 of a fit on these neighbours; NaN where their answers do not vary beyond rounding."""
    if sums.spread <= 1e-14 * sums.total * sums.answers**2:
        return math.nan
    inside = (
        float(coefficients @ sums.gram @ coefficients) - 2 * float(coefficients @ sums.cross) + sums.spread
    )
    miss = told + sums.level - intercept - float((sums.centre * coefficients).sum())
    return 1 - (inside + sums.total * miss**2) / sums.spread


def _heaviest(sums: Sums, features: int) -> NDArray[np.int64]:
    light = np.linalg.solve(sums.gram + 0.01 * np.eye(len(sums.gram)), sums.cross)
    return np.argsort(-np.abs(light), kind="stable")[:features]


def _forward(sums: Sums, features: int) -> NDArray[np.int64]:
    """Inputs added one at a time, each the one that explains most with those before it, swept out of the rest."""
    gram, cross = sums.gram.copy(), sums.cross.copy()
    floor = 1e-10 * np.maximum(np.diag(sums.gram), 1e-300)
    free = np.ones(len(cross), dtype=bool)
    chosen = []
    for _ in range(features):
        own = np.diag(gram)
        usable = own > floor
        gain = np.where(usable, cross**2 / np.where(usable, own, 1.0), 0.0)
        best = int(np.argmax(np.where(free, gain, -1.0)))
        chosen.append(best)
        free[best] = False
        if usable[best]:
            column = gram[:, best] / own[best]
            cross = cross - column * cross[best]
            gram = gram - np.outer(column, gram[best])
    return np.asarray(chosen, dtype=np.int64)


@cache
def _moments() -> Callable[..., Any]:
    return compiled(_weighted_moments)


def _weighted_moments(codes, code, answers, weights):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """One pass: sums of weights, answers, squares, shares, products and co-shares."""
    samples, count = codes.shape
    shared = np.zeros(count, dtype=np.int64)
    shares, products = np.zeros(count), np.zeros(count)
    gram = np.zeros((count, count))
    total, moment, square = 0.0, 0.0, 0.0
    for sample in range(1, samples):
        found = 0
        for j in range(count):
            if codes[sample, j] == code[j]:
                shared[found] = j
                found += 1
        weight = weights[count - found]
        answer = answers[sample - 1]
        total += weight
        moment += weight * answer
        square += weight * answer * answer
        for a in range(found):
            j = shared[a]
            shares[j] += weight
            products[j] += weight * answer
            for b in range(a + 1):
                gram[j, shared[b]] += weight
    for j in range(count):
        for k in range(j):
            gram[k, j] = gram[j, k]
    return total, moment, square, shares, products, gram

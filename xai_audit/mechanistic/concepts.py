"""Concept activation vectors of many random sets at once, and what a class's output does along them.

All fits see the examples through their Gram matrix alone: with n examples of d numbers the matrix costs n^2 d once,
and every vector after it a system of as many equations as it has examples, all of them in one batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Estimator = Literal["ridge", "mean_difference", "logistic"]
Floats = "NDArray[np.float64]"

CHUNK = 32
"""Systems solved in one batch."""
NEWTON = 30
"""Steps of the logistic fit at most."""
NEAR = 1e-5
"""A change of every margin below which the logistic fit has arrived."""


@dataclass(frozen=True, eq=False)
class Vectors:
    """Unit concept vectors as sums of examples: vector b is ``sum_j weights[b, j] * x[members[b, j]]``."""

    members: NDArray[np.int64]
    """(vectors, fitted examples): the concept's first, then as many others."""
    weights: NDArray[np.float64]
    """(vectors, fitted examples); the vectors have length 1 and point to the concept."""
    held: NDArray[np.int64]
    """(vectors, held-out examples): the concept's first, then as many others."""
    correct: NDArray[np.float64]
    """(vectors, held-out examples): 1 on the right side of the vector's threshold, 0.5 on it, 0 beyond."""

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """Share of held-out examples on the right side, for each vector."""
        return np.asarray(self.correct.mean(axis=1))

    def differences(self) -> Vectors:
        """The same examples' differences of means in place of the fit; not scaled to length 1."""
        half = self.members.shape[1] // 2
        weights = np.broadcast_to(np.repeat([1.0, -1.0], half) / half, self.members.shape)
        return Vectors(self.members, weights, self.held, np.full(self.correct.shape, np.nan))

    def dense(self, examples: NDArray[Any]) -> NDArray[np.float64]:
        """The vectors themselves, (vectors, d)."""
        out = np.empty((len(self.members), examples.shape[1]))
        for b, (members, weights) in enumerate(zip(self.members, self.weights, strict=True)):
            out[b] = weights @ examples[members].astype(np.float64)
        return out

    def mean(self, examples: NDArray[Any]) -> NDArray[np.float64]:
        """The mean of the vectors, (d,): its length is their mean cosine with it."""
        weights = np.bincount(self.members.ravel(), self.weights.ravel(), minlength=len(examples))
        return np.asarray((weights / len(self.members)).astype(examples.dtype) @ examples, dtype=np.float64)

    def derivatives(self, cross: NDArray[Any]) -> NDArray[np.float64]:
        """Along each vector, (inputs, vectors), from the gradients' products with the examples (inputs, examples)."""
        # No example stands twice in a vector.
        sums = np.zeros((cross.shape[1], len(self.members)))
        sums[self.members.T, np.arange(len(self.members))] = self.weights.T
        return np.asarray(cross.astype(np.float64) @ sums)


def gram(examples: NDArray[Any]) -> NDArray[np.float64]:
    """Inner products of centred examples, (n, n); no vector depends on where the origin is."""
    centred = examples - examples.mean(axis=0, dtype=np.float64).astype(examples.dtype)
    return np.asarray(centred @ centred.T, dtype=np.float64)


def fit(
    kernel: NDArray[np.float64],
    positive: NDArray[np.int64],
    negative: NDArray[np.int64],
    estimator: Estimator = "ridge",
    *,
    penalty: float = 1.0,
    held_out: float = 1 / 3,
) -> Vectors:
    """Vectors between sets of examples, row b of ``positive`` against row b of ``negative``, both (vectors, n).

    A share of each set is held out of its fit, another part for each vector, so that every example is judged by
    vectors that have not seen it. ``mean_difference`` is the difference of the means (FastCAV, arXiv:2505.17883);
    ``ridge`` the least squares fit of +1 and -1 with ``penalty`` times the mean squared length of a centred example;
    ``logistic`` the fit of scikit-learn's LogisticRegression at C = 1. Each has an unpenalised threshold. ValueError
    where the sets differ in size or are too small to hold examples out.
    """
    count, n = positive.shape
    held = max(round(n * held_out), 1)
    if negative.shape != positive.shape or n - held < 2:
        message = "sets of the same size, of at least three examples each"
        raise ValueError(message)
    # The held-out part moves round the set from vector to vector.
    place = (np.arange(count)[:, None] * held + np.arange(n)) % n
    order = [np.take_along_axis(rows, place, axis=1) for rows in (positive, negative)]
    fitted = np.concatenate([rows[:, held:] for rows in order], axis=1)
    judged = np.concatenate([rows[:, :held] for rows in order], axis=1)
    weights, correct = np.empty(fitted.shape), np.empty(judged.shape)
    for start in range(0, count, CHUNK):
        part = slice(start, start + CHUNK)
        weights[part], correct[part] = _solved(kernel, fitted[part], judged[part], estimator, penalty)
    return Vectors(fitted, weights, judged, correct)


def _solved(
    kernel: NDArray[np.float64],
    fitted: NDArray[np.int64],
    judged: NDArray[np.int64],
    estimator: Estimator,
    penalty: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit weights of fitted examples and how held-out ones fall, for one batch of vectors."""
    size = fitted.shape[1]
    sign = np.repeat([1.0, -1.0], size // 2)
    own = kernel[fitted[:, :, None], fitted[:, None, :]]
    if estimator == "mean_difference":
        weights = np.broadcast_to(sign / (size // 2), fitted.shape).copy()
        threshold = np.einsum("bij,bj->b", own, weights) / size
    else:
        centred = own - own.mean(axis=1, keepdims=True)
        centred -= centred.mean(axis=2, keepdims=True)
        solve = _ridge if estimator == "ridge" else _logistic
        weights, offset = solve(centred, sign, penalty)
        weights = weights - weights.mean(axis=1, keepdims=True)
        threshold = np.einsum("bij,bj->b", own, weights) / size - offset
    norm = np.sqrt(np.maximum(np.einsum("bi,bij,bj->b", weights, own, weights, optimize=True), 0))
    scale = np.where(norm > 0, norm, 1.0)
    scores = np.einsum("bij,bj->bi", kernel[judged[:, :, None], fitted[:, None, :]], weights)
    side = np.repeat([1.0, -1.0], judged.shape[1] // 2)
    correct = (np.sign((scores - threshold[:, None]) * side) + 1) / 2
    return weights / scale[:, None], correct


def _ridge(
    centred: NDArray[np.float64], sign: NDArray[np.float64], penalty: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    size = len(sign)
    scale = penalty * np.trace(centred, axis1=1, axis2=2) / size
    # Examples that are all alike have no direction: any positive number keeps the system solvable.
    ridge = np.where(scale > 0, scale, 1.0)
    system = centred + ridge[:, None, None] * np.eye(size)
    found = np.linalg.solve(system, np.broadcast_to(sign, (len(system), size))[..., None])[..., 0]
    return np.asarray(found), np.zeros(len(system))


def _logistic(
    centred: NDArray[np.float64], sign: NDArray[np.float64], penalty: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Newton's method on 0.5 |w|^2 + sum log(1 + exp(-y (w.x + b))), w a sum of examples."""
    from scipy.special import lambertw

    del penalty  # C = 1, as in scikit-learn
    count, size = len(centred), len(sign)
    alpha, offset = np.zeros((count, size)), np.zeros(count)
    # Where examples of length^2 k are nearly orthogonal and separable, each margin m solves m (1 + exp(m)) = k.
    length = np.trace(centred, axis1=1, axis2=2) / size
    margin = sign * (lambertw(np.maximum(length, 0)).real + 0.6)[:, None]
    diagonal = np.arange(size)
    both, system = np.ones((count, size, 2)), np.empty_like(centred)
    for _ in range(NEWTON):
        p = 1 / (1 + np.exp(-np.clip(margin, -500, 500)))
        curve = np.maximum(p * (1 - p), 1e-10)
        # Weighted least squares of the working response: (K + 1/curve) alpha + b = target, sum alpha = 0.
        np.copyto(system, centred)
        system[:, diagonal, diagonal] += 1 / curve
        both[..., 0] = margin + ((sign > 0) - p) / curve
        solved = np.linalg.solve(system, both)
        offset = solved[..., 0].sum(axis=1) / solved[..., 1].sum(axis=1)
        alpha = solved[..., 0] - offset[:, None] * solved[..., 1]
        moved = np.matmul(centred, alpha[..., None])[..., 0] + offset[:, None]
        change = float(np.max(np.abs(moved - margin)))
        margin = moved
        # The steps shrink with the square of the last: the next one would be below rounding.
        if change < NEAR:
            break
    return alpha, offset


def concept_vectors(
    activations: NDArray[Any],
    positive: NDArray[np.int64],
    negative: NDArray[np.int64],
    estimator: Estimator = "ridge",
    *,
    penalty: float = 1.0,
    held_out: float = 1 / 3,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors (vectors, d) and their held-out accuracy (vectors,) from examples (n, d); see ``fit``.

    Kim et al. 2018, ICML, arXiv:1711.11279.
    """
    found = fit(gram(activations), positive, negative, estimator, penalty=penalty, held_out=held_out)
    return found.dense(activations), found.accuracy


def sign_score(derivatives: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of inputs whose output rises along each vector, (vectors,), from derivatives (inputs, vectors)."""
    return np.asarray((derivatives > 0).mean(axis=0))


def magnitude(derivatives: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean derivative of the output along each vector over inputs, (vectors,)."""
    return np.asarray(derivatives.mean(axis=0))


def steadiness(gradients: NDArray[Any]) -> float:
    """The share of the inputs' gradients (inputs, d) that one direction holds: 1 where all are parallel.

    Gradients are scaled to length 1 first; nan where every one is zero.
    """
    norms = np.sqrt(np.einsum("ij,ij->i", gradients, gradients, dtype=np.float64))
    rows = gradients[norms > 0] / norms[norms > 0, None].astype(gradients.dtype)
    if not len(rows):
        return float("nan")
    products = np.asarray(rows @ rows.T, dtype=np.float64)
    return float(np.linalg.eigvalsh(products)[-1] / len(rows))

"""Concept vectors at one site: how well they hold on examples they have not seen, and what a class does along them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from xai_audit import intervals
from xai_audit.explainers.concepts.sets import FEWEST, Chosen, Examples
from xai_audit.intervals_rows import mean
from xai_audit.mechanistic import concepts, permutation
from xai_audit.mechanistic.concepts import Estimator, Vectors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

Limits = "list[tuple[float | None, float | None]]"


@dataclass(frozen=True, eq=False)
class Member:
    """A concept's place among all examples, which stand one below the other."""

    name: str
    own: NDArray[np.int64]
    pool: NDArray[np.int64]

    @property
    def n(self) -> int:
        """Examples of each of the two sets of one vector."""
        return min(len(self.own), len(self.pool) // 2)


def layout(chosen: Chosen, *, relative: bool) -> tuple[list[Examples], dict[str, Member | str]]:
    """The tables whose rows stand one below the other, and each concept's place in them, or why it has none.

    The pool of a relative concept is the union of the other concepts' examples.
    """
    there = {name: one for name, one in chosen.concepts.items() if isinstance(one, Examples)}
    parts, places, start = [], {}, 0
    for name, one in there.items():
        places[name] = np.arange(start, start + len(one))
        parts.append(one)
        start += len(one)
    random = np.arange(start, start + len(chosen.pool))
    if not relative:
        parts.append(chosen.pool)
    members: dict[str, Member | str] = {}
    for name, found in chosen.concepts.items():
        if isinstance(found, str):
            members[name] = found
            continue
        others = [place for other, place in places.items() if other != name]
        if relative:
            against = np.concatenate([*others, np.arange(0)])
        else:
            against = random[~chosen.within[name]] if name in chosen.within else random
        member = Member(name, places[name], against)
        members[name] = member if member.n >= FEWEST else _too_few(member, relative=relative)
    return parts, members


def _too_few(member: Member, *, relative: bool) -> str:
    what = "examples of the other concepts" if relative else "random examples"
    return f"{len(member.pool)} {what}; twice {FEWEST} are needed for random sets against random sets"


@dataclass(frozen=True, eq=False)
class Scored:
    """What one class does along one concept's vectors at one site."""

    derivatives: NDArray[np.float64]
    """(inputs,): of the class's output along the vectors, the mean over random sets."""
    rising: NDArray[np.float64]
    """(inputs,): the share of random sets along whose vector the output rises."""
    cosines: NDArray[np.float64]
    """(inputs,): the mean cosine of the vectors with the output's gradient."""
    sign_by_set: NDArray[np.float64]
    """(sets,): the share of inputs whose output rises along the vector."""
    null_by_set: NDArray[np.float64]
    """The same of random sets against random sets."""
    sign: float
    sign_limits: list[tuple[float | None, float | None]]
    """Over inputs."""
    sign_sets: tuple[float, float]
    """The middle 95 % over random sets."""
    cosine: float
    cosine_limits: list[tuple[float | None, float | None]]
    null_sign: tuple[float, float, float]
    """Of random sets against random sets: the mean and the middle 95 %."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """One concept's vectors at one site."""

    accuracy: float
    accuracy_limits: list[tuple[float | None, float | None]]
    null: tuple[float, float, float]
    """Held-out accuracy of random sets against random sets: the mean and the middle 95 %."""
    n: int
    vector: NDArray[np.float64]
    """(d,): the mean of the vectors over random sets, of length 1."""
    agreements: NDArray[np.float64]
    """(sets,): each vector's cosine with it."""
    found: Vectors
    random: Vectors
    scored: dict[int, Scored] = field(default_factory=dict)

    @property
    def agreement(self) -> float:
        """Mean cosine of the vectors with their mean."""
        return float(self.agreements.mean())

    @property
    def separable(self) -> bool:
        """Whether held-out examples are told apart better than random sets are."""
        low = self.accuracy_limits[0][0]
        return low is not None and low > self.null[0]


@dataclass(frozen=True, eq=False)
class At:
    """All examples at one site: centred activations (n, d), where the centre was, and their Gram matrix."""

    examples: NDArray[np.float32]
    centre: NDArray[np.float64]
    kernel: NDArray[np.float64]

    @classmethod
    def of(cls, activations: NDArray[np.float32]) -> At:
        """Centred in place: the activations given are used up."""
        centre = activations.mean(axis=0, dtype=np.float64)
        activations -= centre.astype(np.float32)
        return cls(activations, centre.astype(np.float32).astype(np.float64), concepts.gram(activations))


Draw = "Callable[[str], np.random.Generator]"


def fitted(
    at: At,
    members: Sequence[Member],
    estimator: Estimator,
    sets: int,
    draw: Callable[..., np.random.Generator],
    levels: Sequence[float],
) -> dict[str, Fitted]:
    """All vectors of all random sets at one site: each concept's, and those of random sets against random sets."""
    out: dict[str, Fitted] = {}
    kept: dict[tuple[int, bytes], Vectors] = {}
    for member in members:
        n, pool = member.n, member.pool
        negative = pool[permutation.random_sets(n, len(pool), sets, draw("sets", member.name))]
        positive = np.broadcast_to(member.own[:n], (sets, n))
        found = concepts.fit(at.kernel, positive, negative, estimator)
        key = (n, pool.tobytes())
        if key not in kept:
            both = random_pairs(pool, n, sets, draw("null", str(n), *map(str, pool[[0, -1]])))
            kept[key] = concepts.fit(at.kernel, *both, estimator)
        null = kept[key].accuracy
        accuracy = float(found.accuracy.mean())
        middle = found.mean(at.examples)
        length = float(np.linalg.norm(middle))
        vector = middle / length if length else middle
        # Of a sum of examples the products with them are enough.
        along = at.examples @ vector.astype(np.float32)
        out[member.name] = Fitted(
            accuracy=accuracy,
            accuracy_limits=intervals.rate(accuracy * n, n, levels),
            null=(float(null.mean()), *_middle(null)),
            n=n,
            vector=vector,
            agreements=np.asarray((found.weights * along[found.members]).sum(axis=1), dtype=np.float64),
            found=found,
            random=kept[key],
        )
    return out


def random_pairs(
    pool: NDArray[np.int64], n: int, sets: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Random sets and as many others that share no example with them, both (sets, n)."""
    both = rng.permuted(pool[permutation.random_sets(2 * n, len(pool), sets, rng)], axis=1)
    return both[:, :n], both[:, n:]


def score(
    one: Fitted, gradients: NDArray[np.float32], cross: NDArray[np.float32], levels: Sequence[float]
) -> Scored:
    """Sign score and mean cosine of one class's gradients (inputs, d), their products with the examples at hand."""
    norms = np.sqrt(np.einsum("ij,ij->i", gradients, gradients, dtype=np.float64))
    along = one.found.derivatives(cross)
    rising = (along > 0).mean(axis=1)
    sign, sign_limits = mean(rising.tolist(), levels)
    derivatives = along.mean(axis=1)
    cosines = derivatives / np.where(norms > 0, norms, 1.0)
    cosine, cosine_limits = mean(cosines.tolist(), levels)
    by_set, null = concepts.sign_score(along), concepts.sign_score(one.random.derivatives(cross))
    return Scored(
        derivatives=derivatives,
        rising=rising,
        cosines=cosines,
        sign_by_set=by_set,
        null_by_set=null,
        sign=sign,
        sign_limits=[(_within(low, 0), _within(high, 0)) for low, high in sign_limits],
        sign_sets=_middle(by_set),
        cosine=cosine,
        cosine_limits=[(_within(low, -1), _within(high, -1)) for low, high in cosine_limits],
        null_sign=(float(null.mean()), *_middle(null)),
    )


def _within(limit: float | None, least: float) -> float | None:
    return None if limit is None else min(max(limit, least), 1.0)


def _middle(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)

"""The test of concepts made again: random sets drawn anew by the run's own seeds, and the largest of a family."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit import digest
from xai_audit.verify.explained.kept import ContradictionError, LackingError
from xai_audit.verify.explained.piece import Piece, shaped

Floats = NDArray[np.float64]
MOST_SETS = 100_000
"""Random sets that a run may ask for."""


def spec_of(piece: Piece) -> dict[str, Any]:
    """The parameters of the method as the run had them; its parts use two of their names for what they found."""
    whole = piece.sibling("")
    whole = piece.evidence if whole is None else whole
    found = {key: value for key, value in whole.params.items() if key not in {"family", "classes"}}
    other = next(
        (one for one in piece.made.evidence if one.id.startswith(f"{whole.id}/") and "classes" in one.params),
        None,
    )
    if other is None:
        raise LackingError("no part of the method says which classes were asked for")
    return {**found, "classes": other.params["classes"]}


class Family:
    """What every claim of one use was tested on."""

    def __init__(self, piece: Piece) -> None:
        self.names = piece.words("tested")
        self.slopes = piece.array("slopes", 3)
        self.sites = piece.words("slope_site")
        self.classes = piece.whole("slope_class", 1).tolist()
        if len(self.sites) != len(self.slopes) or len(self.classes) != len(self.slopes):
            raise ContradictionError("array slopes is not of the sites and classes beside it")
        shaped("slopes", self.slopes, len(self.sites), 3, -1)
        self.members = {}
        places = {name: by_concept(piece, name, len(self.names)) for name in ("own", "pool")}
        for number, name in enumerate(self.names):
            own, pool = places["own"][number], places["pool"][number]
            if max(own.max(initial=0), pool.max(initial=0)) >= self.slopes.shape[2] or not len(own):
                raise ContradictionError("arrays own and pool name examples that there are not")
            self.members[name] = (own, pool)
        self.sets = int(spec_of(piece)["random_sets"])
        if not 0 < self.sets <= MOST_SETS:
            raise ContradictionError(f"params.random_sets is {self.sets}")
        self._seeds = (piece.seed, piece.evidence.method, digest.of_value(spec_of(piece)))

    def drawn(self, *what: str) -> np.random.Generator:
        """The generator that the run drew with."""
        return np.random.default_rng(digest.seed(*self._seeds, *what))

    def score(self, key: int) -> Floats:
        """The slopes of the class's score: the mean over even and odd inputs."""
        even, odd = self.slopes[key, 0], self.slopes[key, 1]
        return np.asarray((even + odd) / 2, dtype=np.float64)

    def tested(self) -> dict[tuple[str, int], tuple[float, float, float]]:
        """The t, its p and that over the whole family, of every concept and key."""
        keys = range(len(self.sites))
        own: dict[tuple[str, int], float] = {}
        null: dict[tuple[str, int], Floats] = {}
        for name, (examples, pool) in self.members.items():
            order = np.concatenate([examples, pool])
            drawn = sets(len(examples), len(order), self.sets, self.drawn("test", name))
            for key in keys:
                found = welch(self.score(key)[order], drawn)
                own[name, key], null[name, key] = float(found[0]), np.abs(found[1:])
        if not own:
            return {}
        largest = np.max(list(null.values()), axis=0)
        return {place: (t, share(t, null[place]), share(t, largest)) for place, t in own.items()}


def by_concept(piece: Piece, name: str, members: int) -> list[NDArray[np.int64]]:
    """An array of examples' places, cut into those of each concept."""
    flat = piece.whole(name, 1)
    counts = shaped(f"{name}_counts", piece.whole(f"{name}_counts", 1), members)
    if counts.sum() != len(flat) or (counts < 0).any() or flat.min(initial=0) < 0:
        raise ContradictionError(f"array {name} is not of the concepts beside it")
    return np.split(flat, np.cumsum(counts)[:-1])


def family_of(piece: Piece) -> tuple[Family, dict[tuple[str, int], tuple[float, float, float]]]:
    """The family of one use, tested once for all its claims."""
    remembered = piece.kept.remembered
    if piece.evidence.id not in remembered:
        family = Family(piece)
        remembered[piece.evidence.id] = (family, family.tested())
    found: tuple[Family, dict[tuple[str, int], tuple[float, float, float]]] = remembered[piece.evidence.id]
    return found


def sets(n: int, total: int, count: int, draw: np.random.Generator) -> NDArray[np.bool_]:
    """Which of the examples are in the named set, the first, and in each random one (sets, examples)."""
    keys = draw.random((count, total))
    inside = np.zeros((count + 1, total), dtype=bool)
    inside[0, :n] = True
    # The n smallest keys of each draw.
    edge = np.sort(keys, axis=1)[:, n - 1 : n]
    inside[1:] = keys <= edge
    return inside


def welch(values: Floats, sets: NDArray[np.bool_]) -> Floats:
    """Welch's t of the examples in each set against all others; infinite where neither side varies and they differ."""
    tiny = 1e-12 * float(np.abs(values).max(initial=0.0))
    found = []
    for inside in sets:
        own, other = values[inside], values[~inside]
        gap = float(own.mean() - other.mean()) if len(other) else math.nan
        error = math.sqrt(of_mean(own) + of_mean(other))
        if error <= tiny:
            found.append(math.copysign(math.inf, gap) if abs(gap) > tiny else 0.0)
        else:
            found.append(gap / error)
    return np.asarray(found)


def of_mean(values: Floats) -> float:
    """The variance of a mean; nothing of a single number."""
    return float(np.var(values, ddof=1)) / len(values) if len(values) > 1 else 0.0


def share(t: float, null: Floats) -> float:
    """The share of draws as far out, the one that was named among them; what differs by rounding is as far."""
    return (1 + int((null >= abs(t) * (1 - 1e-9)).sum())) / (len(null) + 1)

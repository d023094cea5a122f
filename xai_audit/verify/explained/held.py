"""What holding units did to the rows that judge, made again from what the network answered, beside random units held."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.verify.explained import spread
from xai_audit.verify.explained.agreement import Stated
from xai_audit.verify.explained.kept import ContradictionError
from xai_audit.verify.explained.piece import Piece, shaped
from xai_audit.verify.explained.populations import Population, population_of

Floats = NDArray[np.float64]
NEAR = 1e-3
"""By how much an answer may differ from the same row's among all test rows: passes are batched otherwise."""


class Held:
    """What holding units did to the rows that judge, beside sets of random units."""

    def __init__(self, piece: Piece, name: str, changes: Floats, judged: tuple[int, int]) -> None:
        self.holds = piece.array("edited_holds", 1).astype(bool)
        # The first of the rows that judge, as many of either side.
        sides = [min(count, max(int(piece.params["inputs"]) // 2, 1)) for count in judged]
        if not np.array_equal(self.holds, np.repeat([True, False], sides)):
            raise ContradictionError("array edited_holds is not of the first rows that judge")
        self.changes = shaped("changes", changes, len(self.holds))
        self.plain = shaped("plain", piece.numbers("plain", 1), len(self.holds))
        self.scores = _scores(piece, population_of(piece, name), name, sides)
        self.random = piece.numbers("random_effects", 1)
        if len(self.random) != piece.params["random_units"]:
            raise ContradictionError("array random_effects is not of so many sets of random units")
        self.levels = piece.levels
        self.value, self.limits = self.of(self.changes)
        square = spread.centre(self.random**2)
        self.reach = spread.student(0.95, len(self.random)) * math.sqrt(square)

    def of(self, changes: Floats) -> tuple[float, list[spread.Pair]]:
        """The mean over rows for which the predicate holds less that over the others."""
        return spread.apart(changes[self.holds], changes[~self.holds], self.levels)

    def controls(self) -> list[dict[str, Any]]:
        """Beyond random sets, and the random sets."""
        n, centre = len(self.random), spread.centre(self.random)
        beyond = [self._beyond(*pair) for pair in self.limits]
        error = float(np.std(self.random, ddof=1)) * math.sqrt(1 + 1 / n)
        around = spread.around(centre, error, n - 1, self.levels)
        return [
            spread.control(
                "effect of holding the units beyond that of random units",
                "positive",
                spread.estimate(abs(self.value) - self.reach, beyond, len(self.changes)),
                edit=True,
            ),
            spread.control(
                "as many random units held", "null", spread.estimate(centre, around, n), edit=True
            ),
        ]

    def _beyond(self, low: float | None, high: float | None) -> spread.Pair:
        if math.copysign(1.0, self.value) < 0:
            low, high = (None if one is None else -one for one in (high, low))
        return tuple(None if one is None else one - self.reach for one in (low, high))  # type: ignore[return-value]

    def told(self, piece: Piece) -> dict[str, Any]:
        """What ``params`` say of it."""
        probable = piece.about.get("probabilities") and piece.about["task"] == "classification"
        found: dict[str, Any] = {
            "output": "probability" if probable else "score",
            "gap": self.of(self.plain)[0],
            "effect": {**spread.estimate(self.value, self.limits[:1], len(self.changes)), "limits": None},
            "random_reach": self.reach,
        }
        if piece.about["task"] == "regression":
            found["class"] = "the output"
        elif piece.binary:
            found["class"] = piece.classes[int(piece.about["positive"])]
        else:
            found["class"] = Stated("the class that the rows differ in most", self._differs(piece))
        if self.scores is not None:
            self._as_scored(piece)
        return found

    def _differs(self, piece: Piece) -> Any:
        """Whether the rows differ in a class as much as in any, where their scores are known."""
        if self.scores is None:
            return piece.classes.__contains__
        gaps = np.abs(self.scores[self.holds].mean(axis=0) - self.scores[~self.holds].mean(axis=0))
        most = gaps.max() - NEAR
        return [label for label, gap in zip(piece.classes, gaps, strict=True) if gap >= most].__contains__

    def _as_scored(self, piece: Piece) -> None:
        """ContradictionError where the score without an edit is not the one that the test rows have."""
        assert self.scores is not None
        label, size = piece.params["class"], max(1.0, float(np.abs(self.scores).max()))
        place = piece.classes.index(label) if label in piece.classes else 0
        if not np.allclose(self.plain, self.scores[:, place], rtol=0, atol=NEAR * size):
            raise ContradictionError(
                "array plain is not what the model says of these rows in evidence/rows.parquet"
            )


def _scores(piece: Piece, population: Population | None, name: str, sides: Sequence[int]) -> Floats | None:
    """What the model says of the rows on which units are held; None for rows of sets and decisions alone."""
    if population is None or population.rows is None:
        return None
    scores = piece.rows.scores
    if scores is None or (piece.about["task"] != "regression" and scores.shape[1] != len(piece.classes)):
        return None
    first = [own[:count] for own, count in zip(population.halves(name), sides, strict=True)]
    return np.asarray(scores[population.rows[np.concatenate(first)]])

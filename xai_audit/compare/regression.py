"""Numbers of models that give numbers: errors, their root mean square, R2, and how much larger an error became."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from xai_audit import intervals_paired as paired
from xai_audit import intervals_rows as from_rows
from xai_audit.compare.number import Number, UndefinedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.compare.rows import Rows
    from xai_audit.intervals_rows import Measured


def errors(rows: Rows) -> NDArray[np.float64]:
    """Truth less prediction."""
    if rows.target is None or rows.prediction is None:
        raise UndefinedError("there are no labels")
    return np.asarray(rows.target - rows.prediction, dtype=float)


def absolute(rows: Rows, _: str) -> NDArray[np.float64]:
    """The size of each row's error."""
    return np.abs(errors(rows))


def root_mean_square() -> Number:
    """The root mean squared error."""

    def chosen(rows: Rows) -> list[float]:
        if not rows.independent:
            raise UndefinedError("not told with weights or clusters")
        found: list[float] = errors(rows)[rows.known].tolist()
        if not found:
            raise UndefinedError("no row has a valid label")
        return found

    def change(old: Rows, new: Rows, _: str, levels: Sequence[float]) -> Measured:
        if not np.array_equal(old.known, new.known):
            raise UndefinedError("the rows with a valid label are not the same")
        return paired.root_mean_square_change(chosen(old), chosen(new), levels)

    return Number(
        lambda rows, _: from_rows.root_mean_square(chosen(rows), ())[0],
        lambda rows, _, levels: from_rows.root_mean_square(chosen(rows), levels)[1],
        change,
        of="",
    )


def r_squared() -> Number:
    """The share of the target's variance that is explained."""

    def chosen(rows: Rows) -> tuple[list[float], list[float]]:
        if rows.target is None or rows.prediction is None or not rows.independent:
            raise UndefinedError("there are no labels, or weights or clusters")
        known = rows.known
        truth, predicted = rows.target[known].tolist(), rows.prediction[known].tolist()
        if len(truth) < 2 or min(truth) == max(truth):
            raise UndefinedError("the target does not vary")
        return truth, predicted

    def change(old: Rows, new: Rows, _: str, levels: Sequence[float]) -> Measured:
        (truth_a, before), (truth_b, after) = chosen(old), chosen(new)
        if truth_a != truth_b or not np.array_equal(old.known, new.known):
            raise UndefinedError("labels are not the same")
        return paired.r_squared_change(truth_b, before, after, levels)

    return Number(
        lambda rows, _: from_rows.r_squared(*chosen(rows), ())[0],
        lambda rows, _, levels: from_rows.r_squared(*chosen(rows), levels)[1],
        change,
        of="",
    )


def relative(method: str, old: Rows, new: Rows, levels: Sequence[float]) -> Measured:
    """How much larger an error in units of the target became, as a share of what it was: 0.02 for 2 % more."""
    if not np.array_equal(old.known, new.known):
        raise UndefinedError("the rows with a valid label are not the same")
    if not new.independent:
        raise UndefinedError("not told with weights or clusters")
    power = 0.5 if method == "root_mean_squared_error" else 1.0
    sides = [np.abs(errors(rows)[rows.known]) ** (1 / power) for rows in (old, new)]
    if not all(math.fsum(side.tolist()) > 0 for side in sides):
        raise UndefinedError("an error of 0 has no relative change")
    return paired.relative_change(sides[0].tolist(), sides[1].tolist(), levels, power)

"""Whether an order of a row's parts is the model's own: the output as parts are taken out, most important first."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import numpy as np

from xai_audit.explainers.attributions import parts
from xai_audit.explainers.attributions.baselines import reference_rows
from xai_audit.explainers.attributions.overlays import edges
from xai_audit.explainers.rows import exact_mean, generator
from xai_audit.subject import BLOCK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from xai_audit.subject import Subject

GRID = 8
"""Cells on each side of a picture that are taken out one after the other, at most."""
POINTS = 10
"""Steps from nothing taken out to everything."""
PAIRS = 2
"""Random orders of each row; each also goes backwards, so that taking out and putting in have the same mean."""
HOW = {
    "image": f"cells of a grid with at most {GRID} on a side become the mean colour of the reference pictures",
    "text": "words and signs are deleted from the text",
    "table": "cells become the mean of the reference rows",
}
"""What taking a part out means, for each kind of row."""


@dataclass(frozen=True, eq=False)
class Areas:
    """Mean output along the way, for each row: taken out most important first, last, and at random."""

    first: NDArray[np.float64]
    last: NDArray[np.float64]
    random: NDArray[np.float64]
    heights: list[NDArray[np.float64]]
    """Of each row the outputs along the way, (orders, steps): its own order, that backwards, then the random ones."""
    sizes: NDArray[np.int64]
    """How many parts each row has."""

    def kept(self, which: NDArray[np.bool_]) -> Areas:
        """Only some of the rows."""
        return Areas(
            self.first[which],
            self.last[which],
            self.random[which],
            [one for one, keep in zip(self.heights, which, strict=True) if keep],
            self.sizes[which],
        )

    @property
    def deletion(self) -> NDArray[np.float64]:
        """How much lower the output stays when the most important goes first than when parts go at random."""
        return self.random - self.first

    @property
    def insertion(self) -> NDArray[np.float64]:
        """How much higher it stays when the most important comes first: putting in is taking out backwards."""
        return self.last - self.random


def units(subject: Subject, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """A row's attributions summed over the parts that are taken out: cells of a picture, words, or columns."""
    if subject.modality != "image":
        return values
    for axis in (0, 1):
        values = np.add.reduceat(values, edges(values.shape[axis], GRID)[:-1], axis=axis)
    return values


def areas(
    subject: Subject,
    rows: Sequence[int],
    orders: Sequence[Sequence[NDArray[np.float64]]],
    columns: Sequence[int],
) -> list[NDArray[np.float64]]:
    """For each row and each of its scorings, the mean output from nothing taken out to everything, by the trapezoid rule.

    A scoring has one number for each part, of the shape that ``units`` gives: the largest is taken out first, ties in
    reading order. The output is the model's score in the given column.
    """
    ways = walked(subject, rows, orders, columns)
    return [
        np.asarray([area(way, one.size) for way, one in zip(found, scorings, strict=True)])
        for found, scorings in zip(ways, orders, strict=True)
    ]


def walked(
    subject: Subject,
    rows: Sequence[int],
    orders: Sequence[Sequence[NDArray[np.float64]]],
    columns: Sequence[int],
) -> list[NDArray[np.float64]]:
    """For each row and each of its scorings the outputs as parts are taken out, (scorings, steps); see ``areas``."""
    asked = [
        (row, column, scoring, _counts(scoring.size))
        for row, scorings, column in zip(rows, orders, columns, strict=True)
        for scoring in scorings
    ]
    heights = answers(
        subject,
        (
            (cell, column)
            for row, column, scoring, counts in asked
            for cell in _emptied(subject, row, scoring, counts)
        ),
    )
    found = iter([[next(heights) for _ in counts] for *_, counts in asked])
    return [np.asarray([next(found) for _ in scorings]) for scorings in orders]


def area(heights: NDArray[np.float64], size: int) -> float:
    """The mean output along one way through ``size`` parts, by the trapezoid rule."""
    return (
        float(np.trapezoid(heights, _counts(size) / max(size, 1))) if len(heights) > 1 else float(heights[0])
    )


def answers(
    subject: Subject, cells: Iterator[tuple[Any, int]], output: Literal["score", "margin"] = "score"
) -> Iterator[float]:
    """The model's output for each picture, text or row, in the column beside it; whole blocks at a time."""
    while block := list(islice(cells, BLOCK)):
        told = subject.evaluate(_frame(subject, [cell for cell, _ in block]), output)
        one = told.shape[1] == 1
        yield from (float(told[place, 0 if one else column]) for place, (_, column) in enumerate(block))


def judged(
    subject: Subject,
    rows: Sequence[int],
    scorings: Sequence[NDArray[np.float64]],
    columns: Sequence[int],
    seed: int,
) -> Areas:
    """Each row's areas for its own scoring, forwards and backwards, beside random orders of the same parts."""
    orders = []
    for row, scoring in zip(rows, scorings, strict=True):
        rng = generator(seed, "removal", subject.test.seed(int(row)))
        random = [rng.permutation(scoring.size).reshape(scoring.shape).astype(float) for _ in range(PAIRS)]
        orders.append([scoring, -scoring, *random, *(-one for one in random)])
    ways = walked(subject, rows, orders, columns)
    sizes = [scoring.size for scoring in scorings]
    found = np.asarray(
        [[area(way, size) for way in own] for own, size in zip(ways, sizes, strict=True)]
    ).reshape(len(rows), -1)
    return Areas(found[:, 0], found[:, 1], found[:, 2:].mean(axis=1), ways, np.asarray(sizes, dtype=np.int64))


def _counts(size: int) -> NDArray[np.int64]:
    steps = max(min(POINTS, size), 1)
    return np.unique(np.arange(steps + 1) * size // steps)


def _emptied(
    subject: Subject, row: int, scoring: NDArray[np.float64], counts: NDArray[np.int64]
) -> Iterator[Any]:
    """The row with so many of its parts taken out, for each count."""
    order = np.argsort(-scoring.ravel(), kind="stable")
    own: Any = subject.test.frame.iloc[row, 0]
    for count in counts:
        gone = np.zeros(scoring.size, dtype=bool)
        gone[order[:count]] = True
        if subject.modality == "image":
            yield _painted(own, gone.reshape(scoring.shape), fill_of(subject))
        elif subject.modality == "text":
            text = own if isinstance(own, str) else ""
            yield parts.without(text, parts.spans(text), gone)
        else:
            values = subject.test.frame.iloc[row].to_numpy(dtype=np.float64)
            yield np.where(gone, fill_of(subject), values)


def _painted(
    picture: NDArray[np.uint8], gone: NDArray[np.bool_], fill: NDArray[np.float64]
) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    # The same shares of the picture as the cells of the map, which may have another size.
    y = np.repeat(np.arange(gone.shape[0]), np.diff(np.arange(gone.shape[0] + 1) * height // gone.shape[0]))
    x = np.repeat(np.arange(gone.shape[1]), np.diff(np.arange(gone.shape[1] + 1) * width // gone.shape[1]))
    mask = gone[np.ix_(y, x)]
    painted = picture.copy()
    painted[mask] = fill.astype(np.uint8)[: 1 if picture.ndim == 2 else picture.shape[2]]
    return painted


_FILLS: WeakKeyDictionary[Subject, NDArray[np.float64]] = WeakKeyDictionary()


def fill_of(subject: Subject) -> NDArray[np.float64]:
    """What stands in the place of what is taken out: a colour, rounded, or a row of means."""
    if subject not in _FILLS:
        table, rows, _ = reference_rows(subject)
        if subject.modality == "image":
            pictures: list[Any] = [table.frame.iloc[int(row), 0] for row in rows]
            means = [
                np.asarray(one).reshape(-1, 1 if one.ndim == 2 else one.shape[2]).mean(0) for one in pictures
            ]
            depth = max(len(one) for one in means)
            fill = exact_mean(np.stack([np.resize(one, depth) for one in means]))
            _FILLS[subject] = np.floor(fill + 0.5)
        else:
            values = table.frame.iloc[rows].to_numpy(dtype=np.float64)
            present = [column[np.isfinite(column)] for column in values.T]
            _FILLS[subject] = np.asarray(
                [exact_mean(one[:, None])[0] if len(one) else 0.0 for one in present]
            )
    return _FILLS[subject]


def _frame(subject: Subject, cells: Sequence[Any]) -> pd.DataFrame:
    import pandas as pd

    names = [str(name) for name in subject.test.frame.columns]
    if subject.modality == "table":
        return pd.DataFrame(np.stack(cells), columns=names)
    column = np.empty(len(cells), dtype=object)
    for place, cell in enumerate(cells):
        column[place] = cell
    return pd.DataFrame({names[0]: column})

"""Single rows worth showing, and counts of contributions that show no single row."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.evidence import Matrix
from xai_audit.explainers.rows import plain
from xai_audit.feasible import Key, Outcome
from xai_audit.method import Measured
from xai_audit.withholding import withhold

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from xai_audit.subject import Subject

LAYOUTS = (
    (True, 9),
    (True, 7),
    (True, 5),
    (False, 13),
    (False, 11),
    (False, 9),
    (False, 7),
    (False, 5),
    (False, 3),
)
"""Whether inputs are cut into thirds and how many bins there are, richest first."""
HIDDEN = 0.1
"""The share of people that may stand in cells too small to show."""
PARTS = ("low values", "middle values", "high values", "missing")
"""Into what parts a column's rows fall, in order."""


def chosen(subject: Subject, outputs: NDArray[np.float64], *, threshold: bool) -> list[tuple[str, int]]:
    """Positions of up to three rows and why each: nearest the median, nearest the threshold, the highest score."""
    if not len(outputs):
        return []
    wanted = [("nearest the median score", int(np.argmin(np.abs(outputs - np.median(outputs)))))]
    if threshold:
        wanted.append(("nearest the decision threshold", int(np.argmin(np.abs(outputs - subject.threshold)))))
    wanted.append(("the highest score", int(np.argmax(outputs))))
    seen: dict[int, str] = {}
    for why, position in wanted:
        seen[position] = f"{seen[position]}; {why}" if position in seen else why
    return [(why, position) for position, why in seen.items()]


def case(
    why: str,
    cells: pd.Series[Any],
    contributions: NDArray[np.float64],
    halves: NDArray[np.float64],
    score: float,
    base: float,
    threshold: float | None,
) -> dict[str, Any]:
    """One row: from the base to its score, the largest contribution first; an infinite half-width is unbounded."""
    items = []
    for j in sorted(range(len(contributions)), key=lambda j: (-abs(contributions[j]), j)):
        value, half = float(contributions[j]), float(halves[j])
        bounded = math.isfinite(half)
        items.append(
            {
                "name": str(cells.index[j]),
                "value": plain(cells.iloc[j]),
                "phi": value,
                "low": value - half if bounded else None,
                "high": value + half if bounded else None,
            }
        )
    return {"why": why, "base": base, "score": score, "threshold": threshold, "items": items}


def thirds(column: pd.Series[Any], min_cell: int) -> list[tuple[str, NDArray[np.bool_]]]:
    """Rows of a column by the third its value is in; one part where it is no number, has too few values, or a part
    would hold fewer than ``min_cell`` people: what is said of the others and of everybody would tell of these.
    """
    import pandas as pd

    whole = [("", np.ones(len(column), dtype=bool))]
    if not pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        return whole
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    present = values[np.isfinite(values)]
    if len(np.unique(present)) < 3:
        return whole
    low, high = np.quantile(present, [1 / 3, 2 / 3], method="inverted_cdf")
    parts = [
        np.isfinite(values) & (values <= low),
        np.isfinite(values) & (values > low) & (values <= high),
        np.isfinite(values) & (values > high),
        ~np.isfinite(values),
    ]
    named = [(name, inside) for name, inside in zip(PARTS, parts, strict=True) if inside.any()]
    return whole if any(inside.sum() < min_cell for _, inside in named) else named


def third_of(column: pd.Series[Any], min_cell: int) -> NDArray[np.int8]:
    """Of each row the part of PARTS it is in; -1 where the column has one part only."""
    found = np.full(len(column), -1, dtype=np.int8)
    for name, inside in thirds(column, min_cell):
        if name:
            found[inside] = PARTS.index(name)
    return found


def by_third(column: pd.Series[Any], contributions: NDArray[np.float64], min_cell: int) -> dict[str, float]:
    """Mean contribution of the rows with low, middle and high values; none where a part has too few people."""
    return {
        name: math.fsum(contributions[inside].tolist()) / int(inside.sum())
        for name, inside in thirds(column, min_cell)
        if name
    }


def swarm(
    frame: pd.DataFrame, contributions: NDArray[np.float64], order: Sequence[int], min_cell: int
) -> Measured:
    """How contributions are spread, as counts: a row for each input or third of its values, a column for each bin.

    Cells with fewer than ``min_cell`` people are not shown (None), nor is a second one that would give the first
    away by subtraction. Of the layouts tried, the richest that hides at most a tenth of the people is taken. Bins
    hold about equal numbers over all inputs and mirror each other around zero.
    """
    parts: list[tuple[str, str, int, NDArray[np.bool_]]] = []
    edges, shown, withheld = np.zeros(0), np.zeros((0, 0)), 0
    for cut, bins in LAYOUTS:
        parts = [
            (str(frame.columns[j]), name, j, inside)
            for j in order
            for name, inside in (
                thirds(frame.iloc[:, j], min_cell) if cut else [("", np.ones(len(frame), dtype=bool))]
            )
        ]
        edges = _edges(contributions, bins)
        counts = np.stack(
            [np.histogram(contributions[inside, j], bins=edges)[0] for _, _, j, inside in parts]
        )
        shown, withheld = _covered(counts.astype(np.float64), min_cell)
        if withheld <= HIDDEN * counts.sum():
            break
    observation = Matrix(
        rows=tuple(f"{name}: {part}" if part else name for name, part, _, _ in parts),
        columns=tuple(f"{low:.3g} to {high:.3g}" for low, high in pairwise(edges.tolist())),
        values=tuple(tuple(None if math.isnan(cell) else cell for cell in row) for row in shown.tolist()),
        row_title="input" if not any(part for _, part, _, _ in parts) else "input and third of its values",
        column_title="contribution",
    )
    said = f"cells with fewer than {min_cell} people are not shown ({withheld} placings in all)"
    return Measured(
        name="beeswarm",
        title="How contributions are spread over people",
        observation=observation,
        arrays={
            "third": np.stack([third_of(frame.iloc[:, j], min_cell) for j in range(frame.shape[1])], axis=1)
        },
        limits=(said,) if withheld else (),
        params={
            "edges": edges.tolist(),
            "layout": [
                {"name": name, "part": part, "n": int(inside.sum())} for name, part, _, inside in parts
            ],
            "withheld": withheld,
        },
    )


def _edges(contributions: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    sizes = np.abs(contributions[contributions != 0])
    if not len(sizes):
        return np.asarray([-1.0, 1.0])
    half = bins // 2
    marks = np.quantile(sizes, [(2 * k + 1) / bins for k in range(half + 1)], method="inverted_cdf")
    # Rounded, so that no edge is one person's own value; the last one upwards, so that it holds everyone.
    rounded = [float(f"{mark:.2g}") for mark in marks[:-1]] + [float(f"{sizes.max() * 1.05:.2g}")]
    marks = np.unique(rounded)
    return np.concatenate([-marks[::-1], marks])


def _covered(counts: NDArray[np.float64], min_cell: int) -> tuple[NDArray[np.float64], int]:
    shown = counts.copy()
    for row, line in zip(shown, counts.astype(int).tolist(), strict=True):
        people: dict[tuple[Key, Outcome], int] = {
            ((f"{place:04d}",), (None, None)): count for place, count in enumerate(line) if count
        }
        for (place,), why in withhold(["bin"], people, [["bin"]], min_cell).reasons[("bin",)].items():
            if why:
                row[int(place)] = np.nan
    return shown, int(counts[np.isnan(shown)].sum())

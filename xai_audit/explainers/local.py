"""Single rows worth showing, and counts of contributions that show no single row."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.evidence import Matrix
from xai_audit.explainers.rows import plain
from xai_audit.method import Measured

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from xai_audit.subject import Subject

BINS = (25, 21, 17, 13, 11, 9, 7, 5)
"""Numbers of bins tried, finest first, until few rows stand in cells too small to show."""


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


def thirds(column: pd.Series[Any]) -> list[tuple[str, NDArray[np.bool_]]]:
    """Rows of a column by the third its value is in; one part where it is no number or has too few values."""
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
        ("low values", np.isfinite(values) & (values <= low)),
        ("middle values", np.isfinite(values) & (values > low) & (values <= high)),
        ("high values", np.isfinite(values) & (values > high)),
        ("missing", ~np.isfinite(values)),
    ]
    return [(name, inside) for name, inside in parts if inside.any()]


def swarm(
    frame: pd.DataFrame, contributions: NDArray[np.float64], order: Sequence[int], min_cell: int
) -> Measured:
    """How contributions are spread, as counts: a row for each input and third of its values, a column for each bin.

    Cells with fewer than ``min_cell`` people are not shown (None), nor is a second one that would give the first
    away by subtraction. As many bins are used as leave at most a tenth of the people in cells that are not shown.
    """
    parts = [(str(frame.columns[j]), name, j, inside) for j in order for name, inside in thirds(frame.iloc[:, j])]
    reach = float(np.max(np.abs(contributions), initial=0.0)) or 1.0
    edges, shown, withheld = np.zeros(0), np.zeros((0, 0)), 0
    for bins in BINS:
        edges = np.linspace(-reach, reach, bins + 1)
        counts = np.stack(
            [np.histogram(contributions[inside, j], bins=edges)[0] for _, _, j, inside in parts]
        ).astype(np.float64)
        shown, withheld = _covered(counts, min_cell)
        if withheld <= 0.1 * counts.sum():
            break
    centres = (edges[:-1] + edges[1:]) / 2
    observation = Matrix(
        rows=tuple(f"{name}: {part}" if part else name for name, part, _, _ in parts),
        columns=tuple(f"{centre:.3g}" for centre in centres),
        values=tuple(tuple(None if math.isnan(cell) else cell for cell in row) for row in shown.tolist()),
        row_title="input and third of its values",
        column_title="contribution",
    )
    limits = (
        (f"cells with fewer than {min_cell} people are not shown ({withheld} placings in all)",) if withheld else ()
    )
    return Measured(
        name="beeswarm",
        title="How contributions are spread, by low, middle and high values of each input",
        observation=observation,
        limits=limits,
        params={
            "edges": edges.tolist(),
            "layout": [{"name": name, "part": part, "n": int(inside.sum())} for name, part, _, inside in parts],
            "withheld": withheld,
        },
    )


def _covered(counts: NDArray[np.float64], min_cell: int) -> tuple[NDArray[np.float64], int]:
    shown = counts.copy()
    for row, line in zip(shown, counts, strict=True):
        small = (line > 0) & (line < min_cell)
        if small.sum() == 1:
            rest = np.where(small | (line == 0), np.inf, line)
            if np.isfinite(rest).any():
                small[np.argmin(rest)] = True
        row[small] = np.nan
    return shown, int(counts[np.isnan(shown)].sum())

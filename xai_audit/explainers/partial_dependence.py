"""The mean output when one input is set to a value for everyone, and how far single rows stray from that mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from xai_audit.errors import MethodError
from xai_audit.evidence import Curve, Estimate, Frozen, Point, Series, exactly
from xai_audit.explainers.rows import Share, assembled, plain, pooled, reference_table, shared
from xai_audit.intervals_rows import mean
from xai_audit.method import Measured, Method, Skipped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd
    from numpy.typing import NDArray

    from xai_audit.explainers.rows import Output
    from xai_audit.method import Context, Piece
    from xai_audit.subject import Subject

LEVELS_SHOWN = 30
"""Levels of one input that are shown at most, the most frequent first."""
QUANTILES = (0.1, 0.9)


class PartialDependenceParams(Frozen):
    """Which curves are drawn."""

    columns: tuple[str, ...] | None = None
    """null for all inputs."""
    rows: int | None = Field(500, ge=1)
    """Test rows averaged over; null for all."""
    points: int = Field(20, ge=2)
    """Values of a number at which the curve is drawn, by equal shares of the rows."""
    output: Literal["score", "probability", "margin"] = "score"


def _output(params: PartialDependenceParams) -> Output:
    return "margin" if params.output == "margin" else "score"


def grid(column: pd.Series[Any], points: int) -> tuple[list[int], int]:
    """Positions of cells to set an input to, ascending or most frequent first, and how many levels are left out."""
    import pandas as pd

    present = np.flatnonzero(column.notna().to_numpy())
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        present = present[np.isfinite(values[present])]
        if not len(present):
            return [], 0
        # Values that occur, not averages between them.
        marks = np.unique(
            np.quantile(values[present], np.linspace(0.02, 0.98, points), method="inverted_cdf")
        )
        return [int(present[np.argmax(values[present] == mark)]) for mark in marks], 0
    texts = column.astype(str).to_numpy()
    first: dict[str, int] = {}
    counts: dict[str, int] = {}
    for position in present:
        first.setdefault(texts[position], int(position))
        counts[texts[position]] = counts.get(texts[position], 0) + 1
    order = sorted(first, key=lambda text: (-counts[text], text))
    return [first[text] for text in order[:LEVELS_SHOWN]], max(len(order) - LEVELS_SHOWN, 0)


def _work(
    subject: Subject, params: PartialDependenceParams, piece: Piece, seed: int
) -> Mapping[str, NDArray[Any]]:
    del seed  # nothing is drawn
    assert isinstance(piece, Share)
    assert piece.reference is not None
    assert piece.note is not None
    table, _ = reference_table(subject)
    pool = pooled(subject, piece.rows, table, piece.reference)
    n, count = len(piece.rows), pool.shape[1]
    owners = np.asarray(piece.note["owners"], dtype=np.int64)
    index = np.repeat(np.arange(n)[:, None], count, axis=1)
    mixed = np.repeat(index[:, None], len(owners), axis=1)
    mixed[:, np.arange(len(owners)), owners] = n + np.arange(len(owners))
    told = subject.output(assembled(pool, mixed.reshape(-1, count)), _output(params))
    return {"told": told.reshape(n, len(owners))}


def run(subject: Subject, params: PartialDependenceParams, context: Context) -> Iterator[Measured | Skipped]:
    """One curve for each input."""
    if params.output == "probability" and not subject.probabilities:
        raise MethodError("output: probability needs scores that are probabilities; these are a ranking")
    frame = subject.test.frame
    names = [str(name) for name in frame.columns]
    wanted = list(params.columns) if params.columns is not None else names
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise MethodError(
            f"columns: no input is named {', '.join(map(repr, unknown))}; there are {', '.join(names[:20])}"
        )
    rows, sampling = context.sample(params.rows)
    if not len(rows):
        raise MethodError("there are no test rows to average over")
    table, source = reference_table(subject)
    marks = {name: grid(table.frame[frame.columns[names.index(name)]], params.points) for name in wanted}
    reference = np.asarray([position for name in wanted for position in marks[name][0]], dtype=np.int64)
    owners = [names.index(name) for name in wanted for _ in marks[name][0]]
    told = np.empty((len(rows), 0))
    if owners:
        pieces = shared(context.pieces(rows), context.seed, reference, table, {"owners": owners})
        told = np.concatenate([part["told"] for part in context.map(_work, pieces)])
    unit = "prediction" if subject.task == "regression" else f"{_output(params)} of the positive class"
    start = 0
    for name in wanted:
        positions, hidden = marks[name]
        if not positions:
            yield Skipped(name=name, reason=f"{name} has no value in the {source} table")
            continue
        answers = told[:, start : start + len(positions)]
        start += len(positions)
        cells = [
            plain(table.frame[frame.columns[names.index(name)]].iloc[position]) for position in positions
        ]
        said: tuple[str, ...] = (
            "the intervals are over rows; the input is set regardless of what goes with it",
        )
        if hidden:
            said += (f"{hidden} less frequent levels are not shown",)
        yield Measured(
            name=name,
            title=f"Mean {unit} when {name} is set for everyone",
            observation=Curve(x=name, y=unit, series=_series(cells, answers, context)),
            arrays={
                "mean": np.asarray([mean(column, (0.95,))[0] for column in answers.T.tolist()]),
                "answers": answers,
                "x": np.asarray(_places(cells)),
            },
            sampling=sampling,
            limits=said,
            versions={"engine": "xai-audit", "numpy": np.__version__},
            params={"grid_from": source, "output_explained": unit},
        )


def _places(cells: list[Any]) -> list[float | str]:
    """Cells as places on an axis: numbers, or words."""
    return [
        float(cell) if isinstance(cell, (int, float)) and not isinstance(cell, bool) else str(cell)
        for cell in cells
    ]


def _series(cells: list[Any], answers: NDArray[np.float64], context: Context) -> tuple[Series, ...]:
    n = len(answers)
    xs = _places(cells)
    points = []
    for x, column in zip(xs, answers.T.tolist(), strict=True):
        value, limits = mean(column, context.levels[:1])
        low, high = limits[0]
        points.append(Point(x=x, estimate=Estimate(value=value, low=low, high=high, n=n)))
    series = [Series(name="mean", points=tuple(points))]
    if n >= max(20, 2 * context.min_cell):  # a quantile of few rows would be one person's
        for share, name in zip(QUANTILES, ("a tenth of rows below", "a tenth of rows above"), strict=True):
            levels = np.quantile(answers, share, axis=0, method="inverted_cdf").tolist()
            line = tuple(Point(x=x, estimate=exactly(level, n)) for x, level in zip(xs, levels, strict=True))
            series.append(Series(name=name, points=line))
    return tuple(series)


METHOD = Method(
    id="partial_dependence",
    kind="explainer",
    title="Partial dependence",
    measures="The mean output when one input is set to a value for everyone, the other inputs as they are",
    params=PartialDependenceParams,
    run=run,
    needs=("model", "table", "features"),
    limits=(
        "where inputs go together the curve averages over rows that cannot occur",
        "it describes the model, not what a change would do in the world",
    ),
    cites=("Friedman 2001, Annals of Statistics 29:1189", "Goldstein et al. 2015, JCGS 24:44"),
)

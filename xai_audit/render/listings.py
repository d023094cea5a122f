"""Tables of one piece of evidence each: crossings, matrices, rankings, curves, single rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xai_audit.evidence import Groups
from xai_audit.render import numbers
from xai_audit.render.shown import Cell, Column, Line, Table
from xai_audit.render.tables import AT_ONCE, dagger, ordered, rate_title, shown
from xai_audit.render.visible import name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xai_audit.evidence import Curve, Evidence, Matrix, Ranking

LONGEST = 20
"""Rows of a ranking on the page; audit.json holds all."""
POINTS = 10
"""Points of a curve in its table; the picture shows all."""
WIDEST = 6
"""Columns of a crossing drawn as a matrix; a wider one is a list."""


def crossing(piece: Evidence) -> Table | None:
    """A rate where two keys meet, as a compact matrix; a list where there are more keys or too many columns."""
    if not isinstance(piece.observation, Groups):
        return None
    groups = piece.observation.groups
    keys = [key for key in piece.observation.by if any(key in group.key for group in groups)]
    places = numbers.shared_decimals(group.estimate for group in groups)
    columns = [name(key, 40) for key in keys if key not in {"class", "rate"}]
    meet = f"where {numbers.joined(columns)} meet" if len(columns) > 1 else f"by {numbers.joined(columns)}"
    title = f"{rate_title(piece)} {meet if columns else 'of each class'}"
    if len(keys) != 2:
        return _listed(piece, keys, places)
    down = list(dict.fromkeys(group.key[keys[0]] for group in groups))
    across = list(dict.fromkeys(group.key[keys[1]] for group in groups))
    if len(across) > len(down):
        keys, down, across = keys[::-1], across, down
    if len(across) > WIDEST:
        return _listed(piece, keys, places)
    at = {(group.key[keys[0]], group.key[keys[1]]): group for group in groups}
    rows = tuple(
        Line(
            cells=(
                Cell(text=name(level, 60)),
                *(shown(at.get((level, other)), places, sized=True) for other in across),
            )
        )
        for level in down
    )
    return Table(
        caption=title,
        columns=(
            Column(head=name(keys[0], 40)),
            *(
                Column(
                    head=other if keys[1] == "rate" else f"{name(keys[1], 20)} {name(other, 30)}",
                    numeric=True,
                )
                for other in across
            ),
        ),
        rows=rows,
        full=len(across) > 4,
        notes=dagger(rows),
    )


def _listed(piece: Evidence, keys: Sequence[str], places: int) -> Table | None:
    if not isinstance(piece.observation, Groups):
        return None
    rows = tuple(
        Line(
            cells=(
                *(Cell(text=name(group.key.get(key, ""), 60)) for key in keys),
                Cell(
                    text=f"{group.n:,}" if group.n is not None else name(group.reason or "", 20),
                    muted=group.n is None,
                ),
                shown(group, places),
            )
        )
        for group in ordered(piece.observation.groups)
    )
    return Table(
        caption=f"{rate_title(piece)} by {numbers.joined(name(key, 40) for key in keys)}",
        columns=(
            *(Column(head=name(key, 40)) for key in keys),
            Column(head="n", numeric=True),
            Column(head=rate_title(piece), numeric=True),
        ),
        rows=rows,
        notes=dagger(rows),
    )


def matrix(observation: Matrix, caption: str) -> Table:
    """A matrix of numbers, whole ones without decimals."""
    whole = all(v is None or float(v).is_integer() for values in observation.values for v in values)
    rows = tuple(
        Line(
            cells=(
                Cell(text=name(row, 60)),
                *(
                    Cell(
                        text="withheld" if v is None else numbers.plain(v, 0 if whole else 3), muted=v is None
                    )
                    for v in values
                ),
            )
        )
        for row, values in zip(observation.rows, observation.values, strict=True)
    )
    across = f", {name(observation.column_title, 40)}" if observation.column_title else ""
    return Table(
        caption=f"{caption}{across}",
        columns=(
            Column(head=name(observation.row_title or "", 40)),
            *(Column(head=name(c, 40), numeric=True) for c in observation.columns),
        ),
        rows=rows,
        full=len(observation.columns) > 5,
    )


def ranking(observation: Ranking, caption: str, what: str = "Input") -> Table:
    """The first entries of a ranking with the ranks each may hold, and how many more there are."""
    places = numbers.shared_decimals(item.estimate for item in observation.items[:LONGEST])
    rows = tuple(
        Line(
            cells=(
                Cell(text=name(item.name, 80)),
                Cell(text=numbers.number(item.estimate, places), sort=str(item.estimate.value)),
                Cell(text=f"{item.estimate.n:,}"),
                Cell(
                    text=str(item.rank_low)
                    if item.rank_low == item.rank_high
                    else f"{item.rank_low} to {item.rank_high}",
                    sort=str(item.rank_low),
                ),
            )
        )
        for item in observation.items[:LONGEST]
    )
    more = len(observation.items) - LONGEST
    return Table(
        caption=caption,
        columns=(
            Column(head=what),
            Column(head=observation.unit or "Value", numeric=True),
            Column(head="n", numeric=True),
            Column(head="Rank", numeric=True),
        ),
        rows=rows,
        notes=(f"and {more:,} more in audit.json.",) if more > 0 else (),
        folded=True,
    )


def names(observation: Ranking, title: str) -> str:
    """The entries of a ranking by name alone, where their order says nothing, in a sentence."""
    items = observation.items[:LONGEST]
    if not items:
        return f"{title}: none."
    more = len(observation.items) - len(items)
    rest = f"; and {more:,} more in audit.json" if more > 0 else ""
    return f"{title}: {', '.join(name(item.name, 120) for item in items)}{rest}."


def curve(observation: Curve, caption: str) -> Table:
    """The points of a curve, a row for each x and a column for each series, at most POINTS rows."""
    xs = list(dict.fromkeys(point.x for series in observation.series for point in series.points))
    step = max(1, -(-len(xs) // POINTS))
    lines = observation.series[:AT_ONCE]
    places = [numbers.shared_decimals(point.estimate for point in series.points) for series in lines]
    at = [{point.x: point.estimate for point in series.points} for series in lines]
    digits = _digits([x for x in xs if isinstance(x, (int, float))])
    alone = len(lines) == 1
    rows = []
    for x in xs[::step]:
        head = Cell(text=numbers.plain(x, digits) if isinstance(x, (int, float)) else name(x, 60))
        cells = [
            Cell(text=numbers.number(found[x], digits_), sort=str(found[x].value))
            if x in found
            else Cell(text="–", muted=True)
            for found, digits_ in zip(at, places, strict=True)
        ]
        size = [Cell(text=f"{at[0][x].n:,}" if x in at[0] else "–")] if alone else []
        rows.append(Line(cells=(head, *cells, *size)))
    notes = []
    if step > 1:
        notes.append(f"One point in {step} is printed; audit.json holds all {len(xs):,}.")
    if len(observation.series) > AT_ONCE:
        more = len(observation.series) - AT_ONCE
        notes.append(f"{more} more series {'stands' if more == 1 else 'stand'} in audit.json.")
    if not alone:
        notes.append(
            "; ".join(
                f"{name(s.name, 40)}: {numbers.size(s.points[0].estimate.n)}" for s in lines if s.points
            )
            + "."
        )
    heads = [Column(head=name(observation.y or "Value", 40), numeric=True), Column(head="n", numeric=True)]
    if not alone:
        heads = [Column(head=name(series.name, 40), numeric=True) for series in lines]
    return Table(
        caption=caption,
        columns=(Column(head=name(observation.x, 40)), *heads),
        rows=tuple(rows),
        notes=tuple(notes),
        folded=True,
    )


def _digits(xs: Sequence[float]) -> int:
    """The fewest decimals, up to three, that keep all x apart as they are."""
    return next((d for d in range(3) if all(abs(round(x, d) - x) < 1e-9 for x in xs)), 3)

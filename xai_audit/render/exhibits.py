"""What each section shows of the evidence: pictures that state what was seen, each with its table."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from xai_audit.evidence import Cases, Curve, Evidence, Graph, Groups, Matrix, Ranking, Scalar
from xai_audit.render import arrows, charts, claims, listings, numbers, tables, thresholds
from xai_audit.render import findings as told
from xai_audit.render.shown import Cell, Column, Exhibit, Figure, Line, Note, Table
from xai_audit.render.visible import name, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xai_audit.audit import Audit

CASES = 6
"""Single decisions that are drawn; audit.json holds all that may be shown."""
SMALL = 8
"""Columns up to which a matrix is printed as a table; a wider one is drawn."""


def limits(pieces: Sequence[Evidence]) -> tuple[str, ...]:
    """What the methods behind some numbers cannot show, each once."""
    said = dict.fromkeys(limit for piece in pieces for limit in piece.limits)
    return tuple(visible(limit) for limit in said)


def margin(audit: Audit, pieces: Sequence[Evidence], *notes: str) -> tuple[Note, ...]:
    """The margin beside some evidence: its ids, and how its rows were chosen."""
    sampled = dict.fromkeys(
        f"{p.sampling.used:,} of {p.sampling.available:,} rows: {p.sampling.how}"
        for p in pieces
        if p.sampling and p.sampling.used < p.sampling.available
    )
    return (
        *(Note(text=note) for note in notes),
        *told.evidence_notes(audit, [p.id for p in pieces], most=6),
        *(Note(text=visible(s)) for s in sampled),
    )


def columns_of(piece: Evidence) -> tuple[str, ...]:
    """The sensitive columns a group table is by, without the keys for classes and rates."""
    if not isinstance(piece.observation, Groups):
        return ()
    return tuple(key for key in piece.observation.by if key not in {"class", "rate"})


def any_shape(audit: Audit, piece: Evidence) -> Exhibit | None:
    """A piece of evidence of any shape, in the general way."""
    if piece.observation is None:
        return None
    seen = piece.observation
    title = name(piece.title, 80)
    notes = limits([piece])
    match seen:
        case Scalar():
            table = tables.overall(audit, [piece])
            return Exhibit(table=table, margin=margin(audit, [piece]))
        case Groups():
            return Exhibit(table=listings.crossing(piece), margin=margin(audit, [piece]), lead=_lead(piece))
        case Ranking():
            said = claims.leaders(seen)
            unit = f"{seen.unit}, " if seen.unit else ""
            n = seen.items[0].estimate.n if seen.items else 0
            figure = Figure(
                title=said,
                subtitle=f"{title}: {unit}with intervals, {numbers.size(n)}. Inputs in one bracket may trade places.",
                drawing=charts.draw(seen, said),
            )
            return Exhibit(
                figure=figure,
                table=noted(listings.ranking(seen, title), notes),
                margin=margin(audit, [piece]),
            )
        case Curve():
            return _curve(audit, piece, seen)
        case Matrix():
            if len(seen.columns) <= SMALL:
                return Exhibit(
                    table=noted(listings.matrix(seen, title), notes), margin=margin(audit, [piece])
                )
            figure = Figure(title=title, subtitle=piece.measures, drawing=charts.draw(seen, title))
            table = Table(
                caption=f"{title}: all counts",
                columns=(
                    Column(head=name(seen.row_title or "Row", 40)),
                    Column(head="Rows counted", numeric=True),
                ),
                rows=tuple(
                    Line(
                        cells=(Cell(text=name(r, 80)), Cell(text=numbers.plain(sum(v or 0.0 for v in vs), 0)))
                    )
                    for r, vs in zip(seen.rows, seen.values, strict=True)
                ),
                folded=True,
                notes=notes,
            )
            return Exhibit(figure=figure, table=table, margin=margin(audit, [piece]))
        case Cases():
            return None  # told in pictures of their own, see performance
        case Graph():
            figure = Figure(title=title, subtitle=piece.measures, drawing=charts.draw(seen, title))
            return Exhibit(figure=figure, margin=margin(audit, [piece]))
        case _:
            assert_never(seen)


def noted(table: Table, notes: tuple[str, ...]) -> Table:
    """A table with more notes below it."""
    return replace(table, notes=(*table.notes, *notes))


def _lead(piece: Evidence) -> str:
    if isinstance(piece.observation, Groups):
        return claims.sentence(claims.gap(tables.rate_title(piece), piece.observation))
    return ""


def _curve(audit: Audit, piece: Evidence, seen: Curve) -> Exhibit:
    calibrated = "calibration" in piece.id
    title = claims.calibration(seen) if calibrated else name(piece.title, 80)
    n = sum(point.estimate.n for point in seen.series[0].points) if seen.series else 0
    sub = (
        f"Observed share by mean score, a dot for each bin, with intervals; dashed: equal. {numbers.size(n)}."
        if calibrated
        else piece.measures
    )
    figure = Figure(title=title, subtitle=sub, drawing=charts.curve(seen, title, diagonal=calibrated))
    return Exhibit(
        figure=figure,
        table=noted(listings.curve(seen, name(piece.title, 80)), limits([piece])),
        margin=margin(audit, [piece]),
    )


def _cases(audit: Audit, piece: Evidence, seen: Cases) -> list[Exhibit]:
    """Single decisions, one picture each; only where the spec says that rows may be shown."""
    if not audit.spec.get("report", {}).get("examples", False):
        return []
    made = []
    for case in seen.cases[:CASES]:
        if not {"base", "score", "items"} <= case.keys():
            continue
        first, change, _, _ = next(iter(arrows.steps(case)), ("nothing", 0.0, None, None))
        way = "up" if change > 0 else "down"
        why = name(case.get("why") or "one row", 80)
        title = f"{why[0].upper()}{why[1:]}: {first} moves the score most, {way}"
        figure = Figure(
            title=title,
            subtitle=f"{name(piece.title, 80)}. Change in score by input, from the average score to this one. Grey: the interval holds 0.",
            drawing=charts.draw(Cases(cases=(case,)), title),
        )
        made.append(Exhibit(figure=figure, margin=margin(audit, [piece])))
    return made


def performance(audit: Audit, pieces: Sequence[Evidence]) -> list[Exhibit]:
    """Section 7: single numbers in one table, then each table, curve and matrix."""
    made: list[Exhibit] = []
    scalars = [piece for piece in pieces if isinstance(piece.observation, Scalar)]
    table = tables.overall(audit, scalars)
    if table is not None:
        made.append(Exhibit(table=noted(table, limits(scalars)), margin=margin(audit, scalars)))
    for piece in pieces:
        if isinstance(piece.observation, Cases):
            made += _cases(audit, piece, piece.observation)
        elif piece not in scalars and (found := any_shape(audit, piece)) is not None:
            made.append(found)
    return made


QUESTIONS = {
    "coverage": "Does every row asked for get one?",
    "additivity": "Do the shares add up to the score?",
    "stability": "Is the ranking the same again?",
    "rank_stability": "Is the ranking the same again?",
    "top_stability": "Are the first five the same again?",
    "fidelity": "Does the local model follow the model?",
    "agreement": "Do two explainers agree?",
    "faithfulness": "Do the named inputs matter more than random ones?",
}
"""What each check of an explainer asks, by the part of its evidence id."""


def passport(audit: Audit, pieces: Sequence[Evidence]) -> list[Exhibit]:
    """Section 11: one row for each check of each explainer, with threshold and verdict."""
    rows = []
    for piece in pieces:
        method, _, part = piece.id.partition("/")
        if not isinstance(piece.observation, Scalar):
            continue
        estimate = piece.observation.estimate
        held = thresholds.held(audit, piece.id)
        rows.append(
            Line(
                cells=(
                    Cell(
                        text=QUESTIONS.get(part, name(piece.title, 80)),
                        sub=name(piece.measures if part not in QUESTIONS else piece.title, 90),
                    ),
                    Cell(text=name(method, 40)),
                    Cell(
                        text=numbers.number(estimate), sub=numbers.size(estimate.n), sort=str(estimate.value)
                    ),
                    tables.demand(held),
                    tables.mark_of(audit, piece.id),
                )
            )
        )
    made = []
    if rows:
        table = Table(
            caption="Quality passport of the explanations",
            columns=(
                Column(head="Question"),
                Column(head="Explainer"),
                Column(head="Observed", numeric=True),
                Column(head="Threshold"),
                Column(head="Verdict"),
            ),
            rows=tuple(rows),
            full=True,
            notes=limits(pieces),
        )
        made.append(Exhibit(table=table))
    made += [
        e for p in pieces if not isinstance(p.observation, Scalar) if (e := any_shape(audit, p)) is not None
    ]
    return made


def general(audit: Audit, pieces: Sequence[Evidence]) -> list[Exhibit]:
    """Single numbers in one table, then rankings, then everything else as its shape is drawn."""
    order = ("scalar", "groups", "ranking", "matrix", "curve", "cases", "graph")
    return performance(
        audit, sorted(pieces, key=lambda p: order.index(p.observation.shape) if p.observation else len(order))
    )

"""What each section shows of the evidence: pictures that state what was seen, each with its table."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, assert_never

from xai_audit.evidence import Cases, Curve, Evidence, Graph, Groups, Matrix, Ranking, Scalar, encoded
from xai_audit.render import (
    arrows,
    charts,
    claims,
    curves,
    examples,
    graphs,
    listings,
    numbers,
    regions,
    rungs,
    tables,
    thresholds,
)
from xai_audit.render import findings as told
from xai_audit.render.beside import limits, margin
from xai_audit.render.shown import Cell, Column, Exhibit, Figure, Line, Table
from xai_audit.render.visible import name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xai_audit.audit import Audit

CURVES = 4
"""Effects of single inputs that are on paper, as small pictures."""
CASES = 6
"""Single decisions that are drawn; audit.json holds all that may be shown."""
SMALL = 8
"""Columns up to which a matrix is printed as a table; a wider one is drawn."""


def columns_of(piece: Evidence) -> tuple[str, ...]:
    """The sensitive columns a group table is by, without the keys for classes and rates."""
    if not isinstance(piece.observation, Groups):
        return ()
    return tuple(key for key in piece.observation.by if key not in {"class", "rate"})


def any_shape(audit: Audit, piece: Evidence) -> Exhibit | None:  # noqa: PLR0911  # a return for each shape
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
        case Ranking() if piece.kind != "explainer":
            # A list of faults, not of inputs in order of what they do.
            return Exhibit(lead=listings.names(seen, title), margin=margin(audit, [piece]))
        case Ranking():
            said = claims.leaders(seen, told.ranked(audit))
            unit = f"{seen.unit}, " if seen.unit else ""
            n = seen.items[0].estimate.n if seen.items else 0
            what = told.ranked(audit)
            figure = Figure(
                title=said,
                subtitle=f"{title}: {unit}with intervals, {numbers.size(n)}. "
                f"{what.capitalize()}s in one bracket may trade places.",
                drawing=charts.ranking(seen, said, what.capitalize()),
            )
            return Exhibit(
                figure=figure,
                table=limited(listings.ranking(seen, title, what.capitalize()), notes),
                margin=margin(audit, [piece]),
            )
        case Curve():
            return _curve(audit, piece, seen)
        case Matrix():
            if len(seen.columns) <= SMALL:
                return Exhibit(
                    table=limited(listings.matrix(seen, title), notes), margin=margin(audit, [piece])
                )
            figure = Figure(title=title, subtitle=piece.measures, drawing=charts.draw(seen, title))
            table = replace(
                limited(listings.matrix(seen, title), notes), folded=True, screen=True, full=False
            )
            return Exhibit(figure=figure, table=table, margin=margin(audit, [piece]))
        case Cases():
            return None  # told in pictures of their own, see performance
        case Graph():
            figure = Figure(title=title, subtitle=piece.measures, drawing=charts.draw(seen, title))
            table = limited(graphs.table(seen, title, "Effect"), notes)
            return Exhibit(figure=figure, table=table, margin=margin(audit, [piece]))
        case _:
            assert_never(seen)


def limited(table: Table, said: tuple[str, ...]) -> Table:
    """A table with what its numbers cannot show."""
    return replace(table, limits=said)


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
    figure = Figure(title=title, subtitle=sub, drawing=curves.curve(seen, title, diagonal=calibrated))
    return Exhibit(
        figure=figure,
        table=limited(replace(listings.curve(seen, name(piece.title, 80)), screen=True), limits([piece])),
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
            subtitle=_told(piece, case),
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
        made.append(Exhibit(table=limited(table, limits(scalars)), margin=margin(audit, scalars)))
    effects: list[Evidence] = []
    place = ranked = 0
    told: set[str] = set()
    single = [piece for piece in pieces if isinstance(piece.observation, Cases)]
    gridded = [piece for piece in pieces if regions.concerns(piece)]
    for piece in pieces:
        if piece in gridded:
            if piece is gridded[0]:
                made += regions.exhibits(audit, gridded)
        elif isinstance(piece.observation, Cases):
            if piece is single[0]:
                made += examples.shown(audit, single)
            found_cases = _cases(audit, piece, piece.observation)
            # A second explainer of the same rows is for the screen; paper has the first.
            again = bool(told - {piece.method})
            made += [replace(one, screen=True) for one in found_cases] if again else found_cases
            told |= {piece.method} if found_cases else set()
        elif piece not in scalars and (found := any_shape(audit, piece)) is not None:
            if piece.kind == "explainer" and isinstance(piece.observation, Curve) and _effect(piece):
                place = place if effects else len(made)
                effects.append(piece)
                # All of them have pictures and tables of their own on a screen.
                found = replace(found, screen=True, gridded=len(effects) <= CURVES)
            elif piece.kind == "explainer" and isinstance(piece.observation, Ranking):
                # Paper has the numbers of the first explainer, and the picture of each.
                ranked += 1
                if ranked > 1 and found.table:
                    found = replace(found, table=replace(found.table, screen=True))
            made.append(found)
    if effects:
        made.insert(place, _grid(audit, effects))
    return made


def _effect(piece: Evidence) -> bool:
    """Whether a curve is the effect of one input: its part is the input along its axis."""
    return isinstance(piece.observation, Curve) and piece.id.partition("/")[2] == encoded(piece.observation.x)


def _grid(audit: Audit, pieces: Sequence[Evidence]) -> Exhibit:
    """The effects of the leading inputs as small pictures on one scale, for paper."""
    seen = [(piece, piece.observation) for piece in pieces[:CURVES] if isinstance(piece.observation, Curve)]
    span = curves.reach([curve for _, curve in seen])
    small = tuple(
        Figure(
            title=name(curve.x, 40),
            subtitle="",
            drawing=curves.small(curve, name(piece.title, 80), span),
        )
        for piece, curve in seen
    )
    rest = len(pieces) - len(seen)
    first, curve = seen[0]
    words = [f"{first.measures.rstrip('.')}."] if first.measures else []
    if len(curve.series) > 1:
        others = numbers.joined([name(series.name, 40) for series in curve.series[1:]])
        words.append(f"Dots on their intervals: {name(curve.series[0].name, 40)}; dashed: {others}.")
    if curve.series and curve.series[0].points:
        words.append(f"{numbers.size(curve.series[0].points[0].estimate.n)}.")
    if rest > 0:
        words.append(f"report.html has {rest} more.")
    many = "the leading input" if len(seen) == 1 else f"the {len(seen)} leading inputs"
    figure = Figure(
        title=f"How the {name(curve.y or 'score', 60)} moves with each of {many} alone",
        subtitle=" ".join(words),
        drawing=small[0].drawing,
    )
    return Exhibit(figure=figure, grid=small, margin=margin(audit, [piece for piece, _ in seen]))


def _told(piece: Evidence, case: Mapping[str, Any]) -> str:
    text = f"{name(piece.title, 80)}: change in score by input. Grey: the interval holds 0."
    if case.get("fitted") is not None:
        # A local fit adds up to its own value, which need not be the model's.
        text += f" The model's own score is {numbers.plain(float(case['score']), 2)}."
    return text


QUESTIONS = {
    "coverage": "Does every {} asked for get one?",
    "additivity": "Do the shares add up to the score?",
    "completeness": "Do the contributions add up to the score?",
    "baselines": "Is the order the same from other baselines?",
    "twin": "Is the order another where the weights are permuted?",
    "deletion": "Does the score fall sooner when the parts named first are removed?",
    "insertion": "Does the score rise sooner when the parts named first are put in?",
    "prototypes/": "Does the nearest prototype decide as the model does?",
    "prototypes/class_mean": "Does the nearest class mean decide as the model does?",
    "prototypes/coverage": "Does every test {} lie near a prototype?",
    "prototypes/stability": "Is the nearest prototype the same after changes that should not matter?",
    "stability": "Is the ranking the same again?",
    "rank_stability": "Is the ranking the same again?",
    "top_stability": "Are the first five the same again?",
    "stability_top5": "Are the first five the same again?",
    "fidelity": "Does the local model follow the model?",
    "agreement": "Do two explainers agree?",
    "faithfulness": "Do the named inputs matter more than random ones?",
}
"""What each check of an explainer asks, by the part of its evidence id."""


def question(piece: Evidence) -> str | None:
    """What a check asks; of prototypes, also where the spec gives them another name."""
    part = piece.id.partition("/")[2]
    own = QUESTIONS.get(f"prototypes/{part}") if "compared_at" in piece.params else None
    return own or QUESTIONS.get(part)


def passport(audit: Audit, pieces: Sequence[Evidence]) -> list[Exhibit]:
    """Section 11: one row for each check of each explainer, with threshold and verdict."""
    rows = []
    for piece in pieces:
        if not isinstance(piece.observation, Scalar):
            continue
        estimate = piece.observation.estimate
        held = thresholds.held(audit, piece.id)
        asked = question(piece)
        said = name(piece.title if asked else piece.measures, 200)
        beside = rungs.aside(piece)
        rows.append(
            Line(
                cells=(
                    Cell(
                        text=asked.format(told.rows(audit, 1)) if asked else name(piece.title, 80),
                        sub=f"{said}. {beside}" if said and beside else said or beside,
                    ),
                    Cell(text=claims.explainer(piece.method)),
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
            kind="passport",
            limits=limits(pieces),
        )
        made.append(Exhibit(table=table))
    made += [
        e for p in pieces if not isinstance(p.observation, Scalar) if (e := any_shape(audit, p)) is not None
    ]
    return made


def general(audit: Audit, pieces: Sequence[Evidence]) -> list[Exhibit]:
    """Single numbers in one table, then rankings, then everything else as its shape is drawn."""
    shapes = ("scalar", "groups", "ranking", "matrix", "curve", "graph", "cases")
    asked = [use.get("name") for use in audit.spec.get("explainers", ())]
    leading = _leading(pieces)

    def order(piece: Evidence) -> tuple[int, int, int, str]:
        method, _, part = piece.id.partition("/")
        return (
            shapes.index(piece.observation.shape) if piece.observation else len(shapes),
            asked.index(method) if method in asked else len(asked),
            leading.get(part, len(leading)),
            piece.id,
        )

    return performance(audit, sorted(pieces, key=order))


def _leading(pieces: Sequence[Evidence]) -> dict[str, int]:
    """The place of each input, as it stands in evidence ids, in the first ranking."""
    for piece in pieces:
        if isinstance(piece.observation, Ranking) and piece.kind == "explainer":
            return {encoded(item.name): place for place, item in enumerate(piece.observation.items)}
    return {}

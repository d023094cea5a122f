"""What each section shows of the evidence: pictures that state what was seen, each with its table."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, assert_never

from xai_audit.evidence import Cases, Curve, Evidence, Graph, Groups, Matrix, Ranking, Scalar
from xai_audit.render import charts, claims, numbers, tables, thresholds
from xai_audit.render import findings as told
from xai_audit.render.shown import Cell, Column, Exhibit, Figure, Line, Note, Table
from xai_audit.render.visible import visible, name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xai_audit.audit import Audit
    from xai_audit.evidence import Estimate

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
            return Exhibit(table=tables.crossing(piece), margin=margin(audit, [piece]), lead=_lead(piece))
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
                figure=figure, table=_noted(tables.ranking(seen, title), notes), margin=margin(audit, [piece])
            )
        case Curve():
            return _curve(audit, piece, seen)
        case Matrix():
            if len(seen.columns) <= SMALL:
                return Exhibit(table=_noted(tables.matrix(seen, title), notes), margin=margin(audit, [piece]))
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
            return _cases(audit, piece, seen)
        case Graph():
            figure = Figure(title=title, subtitle=piece.measures, drawing=charts.draw(seen, title))
            return Exhibit(figure=figure, margin=margin(audit, [piece]))
        case _:
            assert_never(seen)


def _noted(table: Table, notes: tuple[str, ...]) -> Table:
    from dataclasses import replace

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
        table=_noted(tables.curve(seen, name(piece.title, 80)), limits([piece])),
        margin=margin(audit, [piece]),
    )


def _cases(audit: Audit, piece: Evidence, seen: Cases) -> Exhibit | None:
    if not audit.spec.get("report", {}).get("examples", False):
        # Single rows belong to people; only a spec that says they may be shown puts them here.
        return None
    keys = list(dict.fromkeys(key for case in seen.cases for key in case))[:6]
    rows = tuple(
        Line(cells=tuple(Cell(text=name(case.get(key, ""), 60)) for key in keys))
        for case in seen.cases[: tables.LONGEST]
    )
    if not rows:
        return None
    table = Table(
        caption=name(piece.title, 80), columns=tuple(Column(head=name(key, 40)) for key in keys), rows=rows
    )
    return Exhibit(table=table, margin=margin(audit, [piece]))


def performance(audit: Audit, pieces: Sequence[Evidence]) -> list[Exhibit]:
    """Section 7: single numbers in one table, then each table, curve and matrix."""
    made: list[Exhibit] = []
    scalars = [piece for piece in pieces if isinstance(piece.observation, Scalar)]
    table = tables.overall(audit, scalars)
    if table is not None:
        made.append(
            Exhibit(
                table=_noted(table, limits(scalars)),
                margin=margin(audit, scalars, "Intervals at 95 %, two-sided"),
            )
        )
    made += [
        found for piece in pieces if piece not in scalars if (found := any_shape(audit, piece)) is not None
    ]
    return made


def by_group(audit: Audit, pieces: Sequence[Evidence]) -> list[Exhibit]:
    """Section 8: the primary measure drawn by group, all measures in tables, the crossings as matrices."""
    single = [piece for piece in pieces if len(columns_of(piece)) == 1]
    crossed = [piece for piece in pieces if len(columns_of(piece)) > 1]
    plain = [p for p in single if isinstance(p.observation, Groups) and len(p.observation.by) == 1]
    classed = [p for p in single if p not in plain]
    methods = list(dict.fromkeys(piece.method for piece in plain))
    primary = thresholds.primary(audit)
    if primary in methods:
        methods.insert(0, methods.pop(methods.index(primary)))
    made: list[Exhibit] = []
    if methods:
        made.append(_drawn(audit, [p for p in plain if p.method == methods[0]]))
    for start in range(0, len(methods), tables.AT_ONCE):
        chosen = methods[start : start + tables.AT_ONCE]
        made.append(_tabled(audit, [p for p in plain if p.method in chosen], chosen))
    made += [
        Exhibit(table=table, margin=margin(audit, [piece]), lead=_lead(piece))
        for piece in (*classed, *crossed)
        if piece.method == (primary or (methods[0] if methods else piece.method))
        and (table := tables.crossing(piece)) is not None
    ]
    left = [p for p in (*classed, *crossed) if not any(n.text == p.id for e in made for n in e.margin)]
    made += [
        Exhibit(table=_folded(table), margin=margin(audit, [p]))
        for p in left
        if (table := tables.crossing(p)) is not None
    ]
    return made


def _folded(table: Table) -> Table:
    from dataclasses import replace

    return replace(table, folded=True)


def _blocks(
    pieces: Sequence[Evidence], methods: Sequence[str]
) -> list[tuple[tuple[str, ...], list[Evidence]]]:
    found: dict[tuple[str, ...], list[Evidence]] = defaultdict(list)
    for method in methods:
        for piece in pieces:
            if piece.method == method and isinstance(piece.observation, Groups):
                found[piece.observation.by].append(piece)
    return list(found.items())


def whole(audit: Audit, piece: Evidence) -> Estimate | None:
    """The number over all rows that a group table belongs to."""
    if isinstance(piece.observation, Groups) and piece.observation.overall is not None:
        return piece.observation.overall
    over = audit.get(piece.method)
    return over.observation.estimate if over is not None and isinstance(over.observation, Scalar) else None


def rows_of(audit: Audit, pieces: Sequence[Evidence], held: charts.Threshold | None) -> list[charts.Row]:
    """All rows first, then each column's groups, lowest first."""
    rows: list[charts.Row] = []
    total = whole(audit, pieces[0])
    if total is not None:
        rows.append(
            charts.Row(
                label="All rows", estimate=total, n=f"{total.n:,}", strong=bool(held and held.missed(total))
            )
        )
    for piece in pieces:
        if not isinstance(piece.observation, Groups):
            continue
        for index, group in enumerate(tables.ordered(piece.observation.groups)):
            counted = group.count if group.count is not None else group.n
            rows.append(
                charts.Row(
                    label=tables.label(group, piece.observation.by),
                    estimate=group.estimate,
                    word=name(group.reason or group.status, 40),
                    n=f"{counted:,}" if counted is not None and group.n is not None else "",
                    strong=bool(
                        held and group.estimate and group.status == "measured" and held.missed(group.estimate)
                    ),
                    gap=index == 0,
                )
            )
    return rows


def _drawn(audit: Audit, pieces: Sequence[Evidence]) -> Exhibit:
    first = pieces[0]
    held = thresholds.declared(audit, first.method)
    rows = rows_of(audit, pieces, held)
    title = tables.rate_title(first)
    if held is not None:
        said = claims.against(title, [(row.label, row.estimate) for row in rows if row.estimate], held)
        sub = f"{title} with 95 % interval. Dark: all of the interval is on the wrong side of the line. Grey: it is not."
    else:
        said = next(
            (
                c
                for p in pieces
                if isinstance(p.observation, Groups) and (c := claims.gap(title, p.observation))
            ),
            title,
        )
        sub = f"{title} with 95 % interval, by group. No level is declared, so no line is drawn."
    head = tables.COUNTED.get(first.method, "n")
    drawing = charts.dots(rows, said, heads=("Group", head), unit="", threshold=held, rate=True)
    return Exhibit(
        figure=Figure(title=said, subtitle=sub, drawing=drawing),
        margin=margin(audit, pieces),
        lead=claims.sentence(f"{title}: {first.measures}") if first.measures else "",
    )


def _tabled(audit: Audit, pieces: Sequence[Evidence], methods: Sequence[str]) -> Exhibit:
    over = {p.method: e for p in pieces if (e := whole(audit, p)) is not None}
    titles = [tables.rate_title(next(p for p in pieces if p.method == m)) for m in methods]
    wide = len(methods) > 2
    caption = f"{numbers.joined(titles)} by group, lowest first"
    table = tables.by_group(caption[0].upper() + caption[1:], _blocks(pieces, methods), over)
    from dataclasses import replace

    table = replace(table, full=wide, notes=(*table.notes, *limits(pieces)))
    leads = [
        claims.sentence(claims.gap(tables.rate_title(p), p.observation))
        for p in pieces
        if isinstance(p.observation, Groups)
    ]
    return Exhibit(
        table=table,
        margin=margin(audit, pieces),
        lead=" ".join(lead for lead in leads if lead) if not wide else "",
    )


def fairness(audit: Audit, pieces: Sequence[Evidence]) -> list[Exhibit]:
    """Section 9: the widest gaps in one table, ratios to the highest drawn, then each comparison by group."""
    made: list[Exhibit] = []
    compared = [p for p in pieces if isinstance(p.observation, Groups)]
    table = tables.gaps(audit, compared)
    if table is not None:
        made.append(Exhibit(table=_noted(table, limits(compared)), margin=()))
    ratios = [p for p in compared if p.method.endswith("_ratio") and len(columns_of(p)) == 1]
    drawn = _ratios(audit, ratios) if ratios else None
    if drawn is not None:
        made.append(drawn)
    shown_ids: set[str] = set()
    for piece in compared:
        if len(columns_of(piece)) != 1 or len(getattr(piece.observation, "by", ())) != 1:
            continue
        twin = piece.method.removesuffix("_ratio") + "_difference"
        if piece.method.endswith("_difference") and any(
            p.id == piece.id.replace("_difference", "_ratio", 1) for p in compared
        ):
            continue  # the ratio's table holds the difference too
        found = tables.contrasts(piece)
        if found is not None:
            shown_ids |= {piece.id, piece.id.replace(piece.method, twin, 1)}
            made.append(Exhibit(table=found, lead=_lead(piece)))
    for piece in compared:
        if piece.id not in shown_ids and (found := tables.crossing(piece)) is not None:
            made.append(Exhibit(table=_folded(found), margin=margin(audit, [piece])))
    made += [e for p in pieces if p not in compared if (e := any_shape(audit, p)) is not None]
    return made


def _ratios(audit: Audit, pieces: Sequence[Evidence]) -> Exhibit | None:
    held = next((t for p in pieces if (t := thresholds.held(audit, p.id)) is not None), None)
    rows: list[charts.Row] = []
    said: list[str] = []
    for piece in pieces:
        if not isinstance(piece.observation, Groups):
            continue
        sentence = claims.gap(tables.rate_title(piece), piece.observation)
        if sentence:
            said.append(sentence)
        for index, group in enumerate(tables.ordered(piece.observation.groups)):
            best = group.contrasts.get("best")
            ratio = best.ratio if best else None
            highest = group.status == "measured" and "worst" in group.contrasts and best is None
            word = "highest, the reference" if highest else name(group.reason or "not compared", 40)
            rows.append(
                charts.Row(
                    label=tables.label(group, piece.observation.by),
                    estimate=ratio,
                    word=word,
                    n=f"{group.n:,}" if group.n is not None else "",
                    strong=bool(held and ratio and held.missed(ratio)),
                    gap=index == 0 and bool(rows),
                )
            )
    if not any(row.estimate for row in rows):
        return None
    title = said[0] if said else "Ratios to the highest rate"
    sub = "Ratio to the highest rate, 95 % interval, logarithmic axis."
    if held is not None:
        sub += " Dark: all of the interval is on the wrong side of the line."
    drawing = charts.dots(rows, title, threshold=held, log=True, unit="ratio")
    return Exhibit(figure=Figure(title=title, subtitle=sub, drawing=drawing), margin=margin(audit, pieces))


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
                    Cell(text=requirement(held), muted=held is None),
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


def requirement(held: thresholds.Threshold | None) -> str:
    """``at least 0.90 (convention, not law)``, or that no rule reads it."""
    return tables.requirement(held)


def general(audit: Audit, pieces: Sequence[Evidence]) -> list[Exhibit]:
    """Single numbers in one table, then everything else as its shape is drawn."""
    return performance(audit, pieces)


BUILDERS = {
    "performance": performance,
    "by_group": by_group,
    "fairness": fairness,
    "passport": passport,
    "general": general,
}
"""How a section shows its evidence, by the word in the outline."""

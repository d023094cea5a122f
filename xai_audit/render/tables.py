"""Tables of evidence: overall numbers, rates by group, crossings, confusion, rankings, curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xai_audit.evidence import Groups, Scalar
from xai_audit.render import findings as told
from xai_audit.render import numbers, thresholds
from xai_audit.render.palette import VERDICTS
from xai_audit.render.shown import Cell, Column, Line, Table
from xai_audit.render.visible import anchor, name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xai_audit.audit import Audit
    from xai_audit.evidence import Curve, Estimate, Evidence, Group, Matrix, Ranking

LONGEST = 20
"""Rows of a ranking on the page; audit.json holds all."""
WIDEST = 6
"""Columns of a crossing drawn as a matrix; a wider one is a list."""
AT_ONCE = 3
"""Rates beside each other in a table by group."""

COUNTED = {
    "recall": "Positives",
    "true_positive_rate": "Positives",
    "false_negative_rate": "Positives",
    "equal_opportunity_difference": "Positives",
    "false_positive_rate": "Negatives",
    "true_negative_rate": "Negatives",
    "false_positive_rate_difference": "Negatives",
    "precision": "Predicted pos.",
    "false_discovery_rate": "Predicted pos.",
    "predictive_parity_difference": "Predicted pos.",
    "negative_predictive_value": "Predicted neg.",
    "false_omission_rate": "Predicted neg.",
}
"""What a rate's denominator counts, by method."""
RATE_OF = {
    "demographic_parity_difference": "Selection rate",
    "demographic_parity_ratio": "Selection rate",
    "equal_opportunity_difference": "True positive rate",
    "false_positive_rate_difference": "False positive rate",
    "predictive_parity_difference": "Precision",
    "calibration_gap": "Score minus share positive",
}
"""The rate that a comparison compares, by method."""
NOT_ENOUGH = "†"


def mark_of(audit: Audit, identifier: str) -> Cell:
    """The heaviest verdict of the rules that read a piece of evidence, with its rule."""
    for finding in sorted(audit.findings, key=told.weight):
        if identifier in finding.evidence:
            own = next((part.kind for part in finding.parts if part.evidence == identifier), None)
            kind = told.state(finding) if own in {None, finding.kind} else own
            if kind is None:
                continue
            mark = VERDICTS[kind]
            return Cell(
                text=mark.word, mark=mark, sub=finding.rule, href=f"#{told.place(finding)}", sort=mark.word
            )
    return Cell(text="no rule", muted=True)


def overall(audit: Audit, pieces: Sequence[Evidence]) -> Table | None:
    """Single numbers: what, observed, n, threshold, verdict."""
    rows = []
    for piece in pieces:
        if not isinstance(piece.observation, Scalar):
            continue
        estimate = piece.observation.estimate
        held = thresholds.held(audit, piece.id) or thresholds.declared(audit, piece.method)
        unit = f" {piece.observation.unit}" if piece.observation.unit else ""
        rows.append(
            Line(
                cells=(
                    Cell(text=name(piece.title, 60), sub=piece.measures),
                    Cell(text=f"{numbers.number(estimate)}{unit}", sort=str(estimate.value)),
                    Cell(text=f"{estimate.n:,}", sort=str(estimate.n)),
                    Cell(text=requirement(held), muted=held is None),
                    mark_of(audit, piece.id),
                )
            )
        )
    if not rows:
        return None
    return Table(
        caption="Measured over all rows",
        columns=(
            Column(head="Measure", width="w-measure"),
            Column(head="Observed", numeric=True),
            Column(head="n", numeric=True),
            Column(head="Threshold"),
            Column(head="Verdict"),
        ),
        rows=tuple(rows),
    )


def requirement(held: thresholds.Threshold | None) -> str:
    """``at least 0.80 (convention, not law)``."""
    if held is None:
        return "none"
    return f"{'at least' if held.side == 'at_least' else 'at most'} {held.label}"


def label(group: Group, columns: Sequence[str]) -> str:
    """A group's printable name with its column: ``sex 2``, ``age <30, class setosa``."""
    return ", ".join(
        level if key == "rate" else f"{name(key, 30)} {name(level, 60)}"
        for key, level in ((key, group.key.get(key, "")) for key in columns)
    )


def ordered(groups: Sequence[Group]) -> list[Group]:
    """Groups by value, lowest first; those without a value last; missing values last of all."""
    return sorted(
        groups,
        key=lambda g: (
            g.estimate is None,
            g.missing,
            g.estimate.value if g.estimate else 0.0,
            tuple(g.key.values()),
        ),
    )


def shown(group: Group | None, places: int, *, sized: bool = False) -> Cell:
    """A group's number, or the word that stands for it; a small group's number carries a dagger."""
    if group is None:
        return Cell(text="–", muted=True, sort="")
    if group.estimate is None:
        return Cell(text=name(group.reason or group.status, 40), muted=True, sort="")
    small = group.status == "insufficient"
    text = numbers.number(group.estimate, places) + (f"\u00a0{NOT_ENOUGH}" if small else "")
    sub = numbers.size(group.estimate.n) if sized else ""
    return Cell(text=text, sub=sub, muted=small, sort=str(group.estimate.value))


def places_of(pieces: Sequence[Evidence]) -> int:
    """The decimals of a column over several tables."""
    return numbers.shared_decimals(
        group.estimate
        for piece in pieces
        if isinstance(piece.observation, Groups)
        for group in piece.observation.groups
    )


def rate_title(piece: Evidence) -> str:
    """What a group's number is: the rate compared, else the evidence's own title."""
    return RATE_OF.get(piece.method, piece.title)


def by_group(
    caption: str, blocks: Sequence[tuple[tuple[str, ...], Sequence[Evidence]]], whole: dict[str, Estimate]
) -> Table:
    """Rates side by side, a block of rows for each sensitive column, lowest first by the first rate."""
    methods = list(dict.fromkeys(piece.method for _, pieces in blocks for piece in pieces))
    first = {
        method: next(p for _, pieces in blocks for p in pieces if p.method == method) for method in methods
    }
    places = {m: places_of([p for _, pieces in blocks for p in pieces if p.method == m]) for m in methods}
    counted = list(dict.fromkeys(COUNTED[m] for m in methods if m in COUNTED))
    counter = {word: next(m for m in methods if COUNTED.get(m) == word) for word in counted}
    rows: list[Line] = []
    if any(method in whole for method in methods):
        cells = [Cell(text="All rows"), Cell(text=f"{max(e.n for e in whole.values()):,}")]
        cells += [Cell(text=f"{whole[counter[w]].n:,}" if counter[w] in whole else "–") for w in counted]
        cells += [
            Cell(text=numbers.number(whole[m], places[m]), sort=str(whole[m].value))
            if m in whole
            else Cell(text="–")
            for m in methods
        ]
        rows.append(Line(cells=tuple(cells)))
    for columns, pieces in blocks:
        tables = {
            p.method: {tuple(g.key.items()): g for g in p.observation.groups}
            for p in pieces
            if isinstance(p.observation, Groups)
        }
        leading = next(iter(tables.values()), {})
        keys = {key: group for found in tables.values() for key, group in found.items()}
        for index, group in enumerate(ordered([leading.get(key, group) for key, group in keys.items()])):
            key = tuple(group.key.items())
            size = f"{group.n:,}" if group.n is not None else name(group.reason or "withheld", 20)
            cells = [
                Cell(text=label(group, columns)),
                Cell(text=size, muted=group.n is None, sort=str(group.n or 0)),
            ]
            for word in counted:
                peer = tables.get(counter[word], {}).get(key)
                cells.append(Cell(text="–" if peer is None or peer.count is None else f"{peer.count:,}"))
            cells += [shown(tables.get(m, {}).get(key), places[m]) for m in methods]
            rows.append(Line(cells=tuple(cells), begins=index == 0 and bool(rows)))
    return Table(
        caption=caption,
        columns=(
            Column(head="Group"),
            Column(head="n", numeric=True),
            *(Column(head=word, numeric=True) for word in counted),
            *(Column(head=rate_title(first[m]), numeric=True) for m in methods),
        ),
        rows=tuple(rows),
        notes=dagger(rows),
    )


def dagger(rows: Sequence[Line]) -> tuple[str, ...]:
    """What the dagger means, where one stands."""
    if any(NOT_ENOUGH in cell.text for row in rows for cell in row.cells):
        return (f"{NOT_ENOUGH} Too few to compare: shown, never a reference, decides nothing.",)
    return ()


def crossing(piece: Evidence) -> Table | None:
    """A rate where two keys meet, as a compact matrix; a list where there are more keys or too many columns."""
    if not isinstance(piece.observation, Groups):
        return None
    groups = piece.observation.groups
    keys = [key for key in piece.observation.by if any(key in group.key for group in groups)]
    places = numbers.shared_decimals(group.estimate for group in groups)
    title = f"{rate_title(piece)} where {numbers.joined(name(key, 40) for key in keys)} meet"
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


def gaps(audit: Audit, pieces: Sequence[Evidence]) -> Table | None:
    """The widest gap of every comparison over all its pairs: between whom, how large, against what."""
    rows = []
    for piece in pieces:
        summary = piece.observation.summary if isinstance(piece.observation, Groups) else None
        if summary is None:
            continue
        estimate = summary.ratio if piece.method.endswith("_ratio") else summary.difference or summary.ratio
        held = thresholds.held(audit, piece.id)
        between = (
            f"{name(summary.between[0], 40)} and {name(summary.between[1], 40)}" if summary.between else ""
        )
        small = f"; {summary.insufficient} too small" if summary.insufficient else ""
        rows.append(
            Line(
                cells=(
                    Cell(text=name(piece.title, 60), sub=f"by {told.by(piece.id)}"),
                    Cell(text=between or "–", sub=f"{numbers.some(summary.pairs, 'pair')}{small}"),
                    Cell(
                        text=numbers.number(estimate) if estimate else "not compared",
                        sub=numbers.size(estimate.n) if estimate else "",
                        muted=estimate is None,
                        sort=str(estimate.value) if estimate else "",
                    ),
                    Cell(text=requirement(held), muted=held is None),
                    mark_of(audit, piece.id),
                ),
                anchor=anchor("gap", piece.id),
            )
        )
    if not rows:
        return None
    return Table(
        caption="The widest gap of each comparison, over all pairs of groups",
        columns=(
            Column(head="Comparison"),
            Column(head="Lowest and highest"),
            Column(head="Observed", numeric=True),
            Column(head="Threshold"),
            Column(head="Verdict"),
        ),
        rows=tuple(rows),
        full=True,
    )


def contrasts(piece: Evidence) -> Table | None:
    """Each group's rate against the best one: ratio, difference, p adjusted over all pairs."""
    if not isinstance(piece.observation, Groups):
        return None
    groups = piece.observation.groups
    places = numbers.shared_decimals(group.estimate for group in groups)
    rows = []
    for group in ordered(groups):
        best = group.contrasts.get("best")
        rows.append(
            Line(
                cells=(
                    Cell(text=label(group, piece.observation.by)),
                    Cell(
                        text=f"{group.n:,}" if group.n is not None else name(group.reason or "", 20),
                        muted=group.n is None,
                    ),
                    shown(group, places),
                    _quotient(best.ratio if best else None, group),
                    _quotient(best.difference if best else None, group),
                    Cell(
                        text=told.chance(best.p).removeprefix("p\u00a0=\u00a0").removeprefix("p\u00a0")
                        if best and best.p is not None
                        else "–"
                    ),
                )
            )
        )
    title = rate_title(piece)
    return Table(
        caption=f"{title} by {told.by(piece.id)}, against the highest",
        columns=(
            Column(head="Group"),
            Column(head="n", numeric=True),
            Column(head=title, numeric=True),
            Column(head="Ratio", numeric=True),
            Column(head="Difference", numeric=True),
            Column(head="p", numeric=True),
        ),
        rows=tuple(rows),
        notes=(*dagger(rows), "p is adjusted over all pairs of groups."),
        full=True,
    )


def _quotient(estimate: Estimate | None, group: Group) -> Cell:
    if estimate is not None:
        return Cell(text=numbers.number(estimate), sort=str(estimate.value))
    return Cell(
        text="highest" if group.status == "measured" and "worst" in group.contrasts else "–", muted=True
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


def ranking(observation: Ranking, caption: str) -> Table:
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
            Column(head="Input"),
            Column(head=observation.unit or "Value", numeric=True),
            Column(head="n", numeric=True),
            Column(head="Rank", numeric=True),
        ),
        rows=rows,
        notes=(f"and {more:,} more in audit.json.",) if more > 0 else (),
        folded=True,
    )


def curve(observation: Curve, caption: str) -> Table:
    """The points of a curve, a row for each x and a column for each series, at most LONGEST rows."""
    xs = list(dict.fromkeys(point.x for series in observation.series for point in series.points))
    step = max(1, -(-len(xs) // LONGEST))
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
        notes.append(f"Every {step}th point is printed; audit.json holds all {len(xs):,}.")
    if len(observation.series) > AT_ONCE:
        notes.append(f"{len(observation.series) - AT_ONCE} more series stand in audit.json.")
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

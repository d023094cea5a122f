"""Sections 8 and 9: the same measures group by group, and how far apart groups lie."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from xai_audit.evidence import Groups, Scalar, encoded
from xai_audit.render import charts, claims, identity_terms, listings, numbers, people, tables, thresholds
from xai_audit.render import findings as told
from xai_audit.render.beside import limits, margin
from xai_audit.render.exhibits import any_shape, columns_of, limited, performance
from xai_audit.render.ink import Threshold
from xai_audit.render.shown import Exhibit, Figure
from xai_audit.render.visible import name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xai_audit.audit import Audit
    from xai_audit.evidence import Estimate, Evidence


def by_group(audit: Audit, pieces: Sequence[Evidence]) -> list[Exhibit]:
    """Section 8: the primary measure drawn by group, all measures in tables, the crossings as matrices."""
    grouped = [piece for piece in pieces if isinstance(piece.observation, Groups)]
    explains = people.explanatory(audit)
    plain = [p for p in grouped if isinstance(p.observation, Groups) and len(p.observation.by) == 1]
    plain.sort(key=lambda p: bool(explains.intersection(columns_of(p))))
    # Crossings, and groups that have a class or a rate as one more key.
    crossed = [piece for piece in grouped if piece not in plain]
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
    leading = primary or (methods[0] if methods else None)
    for piece in sorted(crossed, key=lambda p: p.method != leading):
        table = listings.crossing(piece)
        if table is not None:
            first = piece.method == leading
            made.append(
                Exhibit(
                    table=table if first else replace(table, folded=True, screen=True),
                    margin=margin(audit, [piece]),
                    lead=_lead(piece) if first else "",
                )
            )
    return [*made, *performance(audit, [piece for piece in pieces if piece not in grouped])]


def described(audit: Audit, pieces: Sequence[Evidence]) -> list[Exhibit]:
    """Section 6: single numbers, then what the data hold by group in one table, without a picture."""
    plain = [p for p in pieces if isinstance(p.observation, Groups) and len(p.observation.by) == 1]
    crossed = [p for p in pieces if isinstance(p.observation, Groups) and p not in plain]
    made = performance(audit, [p for p in pieces if not isinstance(p.observation, Groups)])
    methods = list(dict.fromkeys(piece.method for piece in plain))
    for start in range(0, len(methods), tables.AT_ONCE):
        chosen = methods[start : start + tables.AT_ONCE]
        made.append(_tabled(audit, [p for p in plain if p.method in chosen], chosen))
    for piece in crossed:
        if (table := listings.crossing(piece)) is not None:
            made.append(
                Exhibit(table=replace(table, folded=True, screen=True), margin=margin(audit, [piece]))
            )
    return made


def _lead(piece: Evidence) -> str:
    if isinstance(piece.observation, Groups):
        return claims.sentence(claims.gap(tables.rate_title(piece), piece.observation))
    return ""


def _leads(pieces: Sequence[Evidence]) -> str:
    """The gaps that are larger than chance, a sentence each; how many others there are, in one."""
    told = [lead for piece in pieces if (lead := _lead(piece))]
    sure = [lead for lead in told if "larger than chance" in lead]
    rest = len(told) - len(sure)
    if not rest:
        return " ".join(sure)
    if not sure:
        return told[0] if rest == 1 else f"Chance alone could make each of the {rest} gaps in this table."
    others = "the one other gap" if rest == 1 else f"the {rest} other gaps"
    return f"{' '.join(sure)} Chance alone could make {others} in this table."


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


def rows_of(audit: Audit, pieces: Sequence[Evidence], held: Threshold | None) -> list[charts.Row]:
    """All rows first, then each column's groups, lowest first."""
    rows: list[charts.Row] = []
    total = whole(audit, pieces[0])
    if total is not None:
        missed = bool(held and held.missed(total))
        rows.append(
            charts.Row(label=f"All {told.rows(audit, 2)}", estimate=total, n=f"{total.n:,}", strong=missed)
        )
    for piece in pieces:
        if not isinstance(piece.observation, Groups):
            continue
        for index, group in enumerate(tables.ordered(piece.observation.groups)):
            counted = group.count if group.count is not None else group.n
            measured = group.status == "measured" and group.estimate is not None
            rows.append(
                charts.Row(
                    label=tables.short_label(group, piece.observation.by),
                    estimate=group.estimate,
                    word=name(group.reason or group.status, 40),
                    n=f"{counted:,}" if counted is not None and group.n is not None else "",
                    strong=bool(held and measured and group.estimate and held.missed(group.estimate)),
                    gap=index == 0,
                )
            )
    return rows


def _drawn(audit: Audit, pieces: Sequence[Evidence]) -> Exhibit:
    first = pieces[0]
    held = thresholds.declared(audit, first.method)
    rows = rows_of(audit, pieces, held)
    title = tables.rate_title(first)
    gaps = [
        c for p in pieces if isinstance(p.observation, Groups) and (c := claims.gap(title, p.observation))
    ]
    if held is not None:
        said = claims.against(title, [(row.label, row.estimate) for row in rows if row.estimate], held)
        sub = f"{title} with 95 % interval. Dark: all of the interval is on the wrong side of the line. Grey: it is not."
    else:
        said = gaps[0] if gaps else f"{title} by group"
        sub = f"{title} with 95 % interval, by group. No level is declared, so no line is drawn."
    head = tables.COUNTED.get(first.method, "n")
    drawing = charts.dots(rows, said, heads=("Group", head), threshold=held, rate=True)
    lead = f"{title}: {first.measures[:1].lower()}{first.measures[1:]}" if first.measures else ""
    figure = Figure(title=said, subtitle=sub, drawing=drawing)
    return Exhibit(figure=figure, margin=margin(audit, pieces), lead=claims.sentence(lead))


def _tabled(audit: Audit, pieces: Sequence[Evidence], methods: Sequence[str]) -> Exhibit:
    over = {p.method: e for p in pieces if (e := whole(audit, p)) is not None}
    titles = [tables.rate_title(next(p for p in pieces if p.method == m)) for m in methods]
    table = tables.by_group(
        f"{_listed(titles)} by group, lowest first",
        _blocks(pieces, methods),
        over,
        f"All {told.rows(audit, 2)}",
    )
    table = replace(table, full=len(table.columns) > 4, limits=limits(pieces))
    return Exhibit(table=table, margin=margin(audit, pieces), lead=_leads(pieces))


def _listed(titles: Sequence[str]) -> str:
    """Titles in a row, small letters after the first but for abbreviations."""
    rest = [title[0].lower() + title[1:] if title[1:2].islower() else title for title in titles[1:]]
    return numbers.joined([titles[0], *rest])


_ODDS = {"equal_opportunity_difference", "false_positive_rate_difference"}


def fairness(audit: Audit, pieces: Sequence[Evidence]) -> list[Exhibit]:
    """Section 9: the widest gaps in one table, ratios to the highest drawn, then each rate by group."""
    within = [p for p in pieces if p.method.startswith("conditional_") and isinstance(p.observation, Groups)]
    named = [piece for piece in pieces if identity_terms.concerns(piece)]
    pieces = [piece for piece in pieces if piece not in within and piece not in named]
    compared = [p for p in pieces if isinstance(p.observation, Groups)]
    made: list[Exhibit] = []
    table = tables.gaps(audit, compared)
    if table is not None:
        made.append(Exhibit(table=limited(table, limits(compared)), margin=margin(audit, compared)))
    simple = [p for p in compared if isinstance(p.observation, Groups) and len(p.observation.by) == 1]
    # A column that others are compared within is no group of people to treat alike: the tables hold it.
    explains = people.explanatory(audit)
    between = [p for p in simple if isinstance(p.observation, Groups) and p.observation.by[0] not in explains]
    drawn = _ratios(audit, [p for p in between if p.method.endswith("_ratio")])
    if drawn is not None:
        made.append(drawn)
    made += [_within(audit, piece) for piece in within]
    made += identity_terms.exhibits(audit, named)
    methods = list(dict.fromkeys(piece.method for piece in simple))
    told: set[str] = set()
    # The ratio's table holds the difference of the same rate too, so it is told first and for both.
    for method in sorted(methods, key=lambda m: not m.endswith("_ratio")):
        own = [piece for piece in simple if piece.method == method]
        twin = method.removesuffix("_difference") + "_ratio"
        if method.endswith("_difference") and twin in told:
            continue
        told.add(method)
        found = tables.contrasts(own)
        leads = _leads([piece for piece in own if piece in between])
        if found is not None:
            made.append(Exhibit(table=found, lead=leads, margin=margin(audit, own)))
    for piece in compared:
        twin = piece.id.replace("_difference", "_ratio", 1)
        doubled = piece.method.endswith("_difference") and any(other.id == twin for other in compared)
        # Both rates of equalized odds have tables of their own where both were asked for.
        doubled = doubled or (piece.method.startswith("equalized_odds") and _ODDS.issubset(methods))
        if piece in simple or doubled:
            continue
        if (found := listings.crossing(piece)) is not None:
            # The rates of groups that receive the favourable outcome stand in section 8 where they were asked for.
            twin = "/".join(("selection_rate", piece.id.partition("/")[2]))
            selected = piece.method.startswith("demographic_parity") and audit.get(twin) is None
            table = found if selected else replace(found, folded=True, screen=True)
            made.append(Exhibit(table=table, margin=margin(audit, [piece])))
    others = [piece for piece in pieces if piece not in compared]
    scalars = [piece for piece in others if isinstance(piece.observation, Scalar)]
    made += performance(audit, scalars)
    made += [
        shown for piece in others if piece not in scalars if (shown := any_shape(audit, piece)) is not None
    ]
    return made


def _within(audit: Audit, piece: Evidence) -> Exhibit:
    """The same difference within each level of a column that may explain it, pooled last, against no difference."""
    assert isinstance(piece.observation, Groups)
    seen = piece.observation
    column = numbers.joined(name(key, 40) for key in seen.by)
    known = [g.estimate for g in seen.groups if g.status == "measured" and g.estimate is not None]
    apart = sum(_apart(estimate) for estimate in known)
    pooled = seen.summary.difference if seen.summary else None
    title = name(piece.title, 100)
    said = _closes(audit, piece, column) or f"{title}: larger than chance in {apart} of {len(known)}"
    rows = [
        replace(row, strong=bool(row.estimate and _apart(row.estimate)), gap=False)
        for row in rows_of(audit, [piece], None)
    ]
    if pooled is not None:
        rows.append(
            charts.Row(
                label="pooled", estimate=pooled, n=f"{pooled.n:,}", strong=bool(_apart(pooled)), gap=True
            )
        )
    figure = Figure(
        title=said,
        subtitle=f"{title}, with 95 % interval. Dark: all of the interval is on one side of zero, "
        f"in {apart} of the {len(known)} large enough to compare.",
        drawing=charts.dots(
            rows, said, threshold=Threshold(0.0, "0", "at_least", "no difference"), unit="difference"
        ),
    )
    table = tables.by_group(title, [(seen.by, [piece])], {piece.method: pooled} if pooled else {}, "Pooled")
    # The whole title stands in the caption.
    columns = (*table.columns[:-1], replace(table.columns[-1], head="Difference"))
    rows_last = (*table.rows[1:], replace(table.rows[0], begins=True)) if pooled else table.rows
    table = limited(replace(table, columns=columns, rows=rows_last), limits([piece]))
    return Exhibit(figure=figure, table=table, margin=margin(audit, [piece]))


def _apart(estimate: Estimate) -> bool:
    """Whether all of an interval lies on one side of no difference."""
    return (estimate.low is not None and estimate.low > 0) or (
        estimate.high is not None and estimate.high < 0
    )


def _closes(audit: Audit, piece: Evidence, column: str) -> str:
    """What becomes of a gap when groups are compared within a column; empty where nothing was pooled."""
    seen = piece.observation
    if not isinstance(seen, Groups) or seen.summary is None or seen.summary.difference is None:
        return ""
    pooled = seen.summary.difference
    number = f"pooled difference {numbers.number(pooled)}"
    columns = piece.id.partition("/")[2].split("+")
    others = [c for c in columns if c not in {encoded(key) for key in seen.by}]
    crude = audit.get(f"{piece.method.removeprefix('conditional_')}/{'+'.join(others)}")
    whole = crude.observation.summary if crude and isinstance(crude.observation, Groups) else None
    same = whole is not None and whole.between and set(whole.between) == set(seen.summary.between or ())
    if whole is None or whole.difference is None or not same:
        return f"Compared within {column}: {number}"
    if not _apart(whole.difference):
        verb = "a gap appears" if _apart(pooled) else "there is no gap larger than chance either"
    elif not _apart(pooled):
        verb = "the gap closes"
    else:
        # The crude gap is the second group's rate minus the first's, the pooled one the first's minus the second's.
        first = (seen.summary.between or ("",))[0] == (whole.between or ("",))[0]
        verb = "the gap remains" if first == (pooled.value < 0) else "the gap turns round"
    return f"Compared within {column}, {verb}: {number}"


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
            word = "the highest" if highest else name(group.reason or "not compared", 40)
            rows.append(
                charts.Row(
                    label=tables.short_label(group, piece.observation.by),
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
    sub = "Ratio to the highest rate with 95 % interval, logarithmic axis."
    if held is not None:
        sub += " Dark: all of the interval is on the wrong side of the line. Grey: it is not."
    drawing = charts.dots(rows, title, threshold=held, log=True, unit="ratio")
    return Exhibit(figure=Figure(title=title, subtitle=sub, drawing=drawing), margin=margin(audit, pieces))

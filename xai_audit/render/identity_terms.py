"""How a classifier treats rows of a group or texts that name one: three areas under the curve, and exchanged terms."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from xai_audit.evidence import Groups
from xai_audit.render import charts, claims, listings, numbers, tables, thresholds
from xai_audit.render import findings as told
from xai_audit.render.beside import limits, margin
from xai_audit.render.ink import Threshold
from xai_audit.render.shown import Exhibit, Figure
from xai_audit.render.visible import name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xai_audit.audit import Audit
    from xai_audit.evidence import Estimate, Evidence, Group

AREAS = {
    "subgroup_auc": "Subgroup AUC: within the group, the chance that a positive {row} scores above a negative one. "
    "Low: the two are told apart less well there.",
    "bpsn_auc": "BPSN AUC: positive {rows} outside the group against negative ones of it. Low: negative {rows} of the "
    "group score like positive ones.",
    "bnsp_auc": "BNSP AUC: negative {rows} outside the group against positive ones of it. Low: positive {rows} of the "
    "group score like negative ones.",
}
"""What each measure says, by its method (Borkan et al. 2019)."""
SWAPPED = ("list", "term")
"""What scores with one term in another's place are by."""


def concerns(piece: Evidence) -> bool:
    """Whether a piece of evidence is one of the three areas by group, or scores with terms exchanged."""
    return isinstance(piece.observation, Groups) and (
        piece.method in AREAS or piece.observation.by == SWAPPED
    )


def exhibits(audit: Audit, pieces: Sequence[Evidence]) -> list[Exhibit]:
    """What the measures mean, the one with the lowest group drawn, all in one table; then the exchanged terms."""
    made: list[Exhibit] = []
    blocks: dict[tuple[str, ...], list[Evidence]] = {}
    areas = [piece for piece in pieces if piece.method in AREAS]
    for piece in sorted(areas, key=lambda piece: list(AREAS).index(piece.method)):
        if isinstance(piece.observation, Groups):
            blocks.setdefault(piece.observation.by, []).append(piece)
    row, rows = told.rows(audit, 1), told.rows(audit, 2)
    for by, own in sorted(blocks.items(), key=lambda block: len(block[0])):
        if len(by) > 1:
            made += _crossed(audit, own)
            continue
        meanings = " ".join(AREAS[piece.method].format(row=row, rows=rows) for piece in own)
        drawn = _drawn(audit, min(own, key=_lowest))
        made.append(replace(drawn, lead="" if made else f"{meanings} 0.5 is chance, 1 is perfect."))
        titles = numbers.joined(tables.rate_title(piece) for piece in own)
        whole: dict[str, Estimate] = {
            piece.method: piece.observation.overall
            for piece in own
            if isinstance(piece.observation, Groups) and piece.observation.overall
        }
        caption = f"{titles} by {name(by[0], 40)}, lowest first"
        table = tables.by_group(caption, [(by, own)], whole, f"All {rows}")
        table = replace(table, full=len(table.columns) > 4, limits=limits(own))
        made.append(Exhibit(table=table, margin=margin(audit, own)))
    return [*made, *(_swapped(audit, piece) for piece in pieces if piece not in areas)]


def _crossed(audit: Audit, pieces: Sequence[Evidence]) -> list[Exhibit]:
    """Where two columns meet: tables for a screen."""
    return [
        Exhibit(table=replace(table, folded=True, screen=True), margin=margin(audit, [piece]))
        for piece in pieces
        if (table := listings.crossing(piece)) is not None
    ]


def _lowest(piece: Evidence) -> float:
    seen = piece.observation
    if not isinstance(seen, Groups):
        return 2.0
    return min((g.estimate.value for g in seen.groups if g.status == "measured" and g.estimate), default=2.0)


def _row(group: Group, by: Sequence[str], *, strong: bool, gap: bool) -> charts.Row:
    return charts.Row(
        label=tables.short_label(group, by),
        estimate=group.estimate,
        word=name(group.reason or group.status, 40),
        n=f"{group.n:,}" if group.n is not None else "",
        strong=strong and group.status == "measured",
        gap=gap,
    )


def _drawn(audit: Audit, piece: Evidence) -> Exhibit:
    assert isinstance(piece.observation, Groups)
    seen, title = piece.observation, tables.rate_title(piece)
    held = thresholds.held(audit, piece.id) or thresholds.declared(audit, piece.method)
    what = told.rows(audit, 2)
    drawn = []
    if seen.overall is not None:
        drawn.append(charts.Row(label=f"All {what}", estimate=seen.overall, n=f"{seen.overall.n:,}"))
    ordered = tables.ordered(seen.groups)
    for index, group in enumerate(ordered):
        low = group.estimate is not None and (
            held.missed(group.estimate) if held else _below(group.estimate, seen.overall)
        )
        drawn.append(_row(group, seen.by, strong=low, gap=index == 0))
    known = [group for group in ordered if group.status == "measured" and group.estimate is not None]
    lowest = f"{title} is lowest for {tables.short_label(known[0], seen.by)}" if known else title
    said = claims.gap(title, seen) or lowest
    dark = "on the wrong side of the line" if held else f"below that over all {what}"
    figure = Figure(
        title=said,
        subtitle=f"{title} with 95 % interval, lowest first. Dark: all of the interval is {dark}. Grey: it is not.",
        drawing=charts.dots(drawn, said, heads=("Group", "n"), threshold=held, rate=True),
    )
    return Exhibit(figure=figure, margin=margin(audit, [piece]))


def _below(estimate: Estimate, whole: Estimate | None) -> bool:
    """Whether all of an interval lies below all of another."""
    return (
        whole is not None
        and estimate.high is not None
        and whole.low is not None
        and estimate.high < whole.low
    )


def _swapped(audit: Audit, piece: Evidence) -> Exhibit:
    """Each term's mean score beside the mean of its list, in the same texts, a block for each list."""
    assert isinstance(piece.observation, Groups)
    seen = piece.observation
    drawn = []
    for of in dict.fromkeys(group.key.get("list", "") for group in seen.groups):
        own = tables.ordered([group for group in seen.groups if group.key.get("list", "") == of])
        for index, group in enumerate(reversed(own)):
            label = replace(_row(group, ("term",), strong=_apart(group.estimate), gap=index == 0))
            drawn.append(replace(label, label=f"{name(group.key.get('term', ''), 40)}, {name(of, 30)}"))
    said = _widest(seen)
    figure = Figure(
        title=said,
        subtitle="Mean score of a text with each term in its place, minus the mean over the terms of its list, with "
        "95 % interval. Dark: all of the interval is on one side of 0.",
        drawing=charts.dots(
            drawn,
            said,
            heads=("Term, list", "n"),
            threshold=Threshold(0.0, "0", "at_least", "mean of the list"),
            unit="difference in score",
        ),
    )
    table = listings.crossing(piece)
    screened = replace(table, folded=True, screen=True, limits=limits([piece])) if table else None
    return Exhibit(figure=figure, table=screened, margin=margin(audit, [piece]))


def _apart(estimate: Estimate | None) -> bool:
    return estimate is not None and (
        (estimate.low is not None and estimate.low > 0) or (estimate.high is not None and estimate.high < 0)
    )


def _widest(seen: Groups) -> str:
    """Which two terms lie farthest apart in the same texts, and whether chance could do that."""
    summary = seen.summary
    if summary is None or summary.between is None or summary.difference is None:
        return "Scores with each identity term in the same texts"
    low, high = (name(label, 60) for label in summary.between)
    amount = numbers.number(summary.difference)
    sure = summary.difference.low is not None and summary.difference.low > 0
    chance = "larger than chance over all pairs" if sure else "chance alone could make it"
    return f"In the same texts the score is lowest with {low}, highest with {high}: {amount} apart, {chance}"

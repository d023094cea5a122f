"""How a classifier of texts treats those that name a group: three areas under the curve for each term."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from xai_audit.evidence import Groups
from xai_audit.render import charts, claims, numbers, tables, thresholds
from xai_audit.render.beside import limits, margin
from xai_audit.render.shown import Exhibit, Figure
from xai_audit.render.visible import name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xai_audit.audit import Audit
    from xai_audit.evidence import Evidence

AREAS = {
    "subgroup_auc": "Subgroup AUC: among texts that name the group, the chance that a positive one scores above a "
    "negative one. Low: within the group the two are told apart less well.",
    "bpsn_auc": "BPSN AUC: positive texts that do not name the group against negative ones that do. Low: negative "
    "texts that name the group score like positive ones.",
    "bnsp_auc": "BNSP AUC: negative texts that do not name the group against positive ones that do. Low: positive "
    "texts that name the group score like negative ones.",
}
"""What each measure says, by its method (Borkan et al. 2019)."""


def concerns(piece: Evidence) -> bool:
    """Whether a piece of evidence is one of the three areas, for each term."""
    return piece.method in AREAS and isinstance(piece.observation, Groups)


def exhibits(audit: Audit, pieces: Sequence[Evidence]) -> list[Exhibit]:
    """What the measures mean, the one with the lowest term drawn, all in one table, lowest first."""
    made: list[Exhibit] = []
    blocks: dict[tuple[str, ...], list[Evidence]] = {}
    for piece in sorted(pieces, key=lambda piece: list(AREAS).index(piece.method)):
        if isinstance(piece.observation, Groups):
            blocks.setdefault(piece.observation.by, []).append(piece)
    for by, own in blocks.items():
        drawn = _drawn(audit, min(own, key=_lowest))
        meanings = " ".join(AREAS[piece.method] for piece in own)
        first = not made
        made.append(replace(drawn, lead=f"{meanings} 0.5 is chance, 1 is perfect." if first else ""))
        titles = numbers.joined([piece.title for piece in own])
        column = numbers.joined(name(key, 40) for key in by)
        over = {
            p.method: p.observation.overall
            for p in own
            if isinstance(p.observation, Groups) and p.observation.overall
        }
        table = tables.by_group(f"{titles} by {column}, lowest first", [(by, own)], over, "All texts")
        table = replace(table, full=len(table.columns) > 4, limits=limits(own))
        made.append(Exhibit(table=table, margin=margin(audit, own)))
    return made


def _lowest(piece: Evidence) -> float:
    seen = piece.observation
    if not isinstance(seen, Groups):
        return 2.0
    return min((g.estimate.value for g in seen.groups if g.status == "measured" and g.estimate), default=2.0)


def _drawn(audit: Audit, piece: Evidence) -> Exhibit:
    assert isinstance(piece.observation, Groups)
    seen = piece.observation
    held = thresholds.held(audit, piece.id) or thresholds.declared(audit, piece.method)
    rows = []
    if seen.overall is not None:
        rows.append(charts.Row(label="All texts", estimate=seen.overall, n=f"{seen.overall.n:,}"))
    for index, group in enumerate(tables.ordered(seen.groups)):
        apart = bool(
            seen.overall and group.status == "measured" and group.estimate and group.estimate.high is not None
            and seen.overall.low is not None and group.estimate.high < seen.overall.low
        )  # fmt: skip
        missed = bool(held and group.status == "measured" and group.estimate and held.missed(group.estimate))
        rows.append(
            charts.Row(
                label=tables.short_label(group, seen.by),
                estimate=group.estimate,
                word=name(group.reason or group.status, 40),
                n=f"{group.n:,}" if group.n is not None else "",
                strong=missed if held else apart,
                gap=index == 0,
            )
        )
    low = [g for g in tables.ordered(seen.groups) if g.status == "measured" and g.estimate is not None]
    said = claims.gap(piece.title, seen) or (
        f"{piece.title} is lowest for {tables.short_label(low[0], seen.by)}" if low else piece.title
    )
    dark = (
        "Dark: all of the interval is on the wrong side of the line."
        if held
        else "Dark: all of the interval is below that over all texts."
    )
    figure = Figure(
        title=said,
        subtitle=f"{piece.title} with 95 % interval, by term, lowest first. {dark} Grey: it is not.",
        drawing=charts.dots(rows, said, heads=("Term", "n"), threshold=held, rate=True),
    )
    return Exhibit(figure=figure, margin=margin(audit, [piece]))

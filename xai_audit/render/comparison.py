"""A comparison as values: the parts of its page, each with tables and pictures ready to print."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xai_audit.comparison import direction
from xai_audit.render import charts, comparison_inputs, moved, numbers
from xai_audit.render.claims import sentence
from xai_audit.render.ink import Threshold
from xai_audit.render.palette import VERDICTS
from xai_audit.render.shown import Cell, Column, Exhibit, Figure, Line, full_table
from xai_audit.render.visible import name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xai_audit.comparison import Change, Comparison, Ranked
    from xai_audit.evidence import Estimate
    from xai_audit.render.palette import Mark

NOTHING = Threshold(0.0, "0", "at_least", "no change")
SHOWN = 20
"""Rows of a table of changes that lie beyond their interval."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of the page."""

    id: str
    number: str
    title: str
    short: str
    lead: str
    exhibits: tuple[Exhibit, ...]
    mark: Mark | None = None


@dataclass(frozen=True, kw_only=True)
class Page:
    """All that the page looks up."""

    title: str
    eyebrow: str
    clauses: tuple[str, ...]
    lead: str
    notes: tuple[str, ...]
    parts: tuple[Part, ...]


def page(comparison: Comparison) -> Page:
    """The page of a comparison; a pure function of it."""
    old, new = comparison.old, comparison.new
    before, after = moved.audited(old, new), moved.audited(new, old)
    parts = [part for part in _parts(comparison) if part[4]]
    return Page(
        title=f"{moved.system(comparison)}: {before} and {after}",
        eyebrow=f"{moved.system(comparison)}: {after}, run on {numbers.day(new.finished)}, beside {before}, "
        f"run on {numbers.day(old.finished)}.",
        clauses=moved.clauses(comparison),
        lead=f"{moved.rows(comparison.matched, new.rows_are)} {moved.changed(comparison.digests)}",
        notes=tuple(comparison.notes),
        parts=tuple(
            Part(
                id=identifier, number=str(number), title=title, short=short, lead=lead, exhibits=tuple(exhibits),
                mark=mark,
            )
            for number, (identifier, title, short, lead, exhibits, mark) in enumerate(parts, 1)
        ),
    )  # fmt: skip


def _parts(c: Comparison) -> Iterator[tuple[str, str, str, str, list[Exhibit], Mark | None]]:
    verdicts = _verdicts(c)
    worst = next(
        (VERDICTS[k] for k in ("fail", "open", "review") if any(v.new == k != v.old for v in c.verdicts)),
        None,
    )
    told = "Each rule that says something else than before, with all that differs in what it looked at."
    yield "rules", "Rules that say something else", "Rules", told, verdicts, worst
    overall = [one for one in c.changes if one.part == "overall" and one.kind == "metric"]
    # What rows give again first; counts and checks, which carry no sampling error, last.
    overall.sort(key=lambda one: (one.evidence != c.primary, one.how == "unpaired"))
    said = (
        f"{moved.chance(c.changes, c.confidence)} New minus old, with its interval: paired where it is measured row by "
        "row on the same rows, else unpaired, as of different rows."
    )
    yield "performance", "Measures", "Measures", said.strip(), _overall(c, overall), None
    groups = [one for one in c.changes if one.part != "overall"]
    said = "The same measures, group by group, and how far groups lie apart."
    yield "groups", "By group", "By group", said, _grouped(groups), None
    said = (
        "An entry has moved where the ranks it may hold do not overlap with those it held; the rest is noise."
    )
    checks = [one for one in c.changes if one.part == "overall" and one.kind != "metric"]
    shown = [
        *_rankings(c.rankings),
        *([full_table("Checks on explanations", _heads(), _lines(checks))] if checks else []),
    ]
    yield "explanations", "Explanations", "Explanations", said, shown, None
    said = "Whether the rows, and the answers as a whole, are still alike."
    yield "data", "Data and answers", "Data", said, list(comparison_inputs.data(c)), None
    said = "Digests and versions of all that went in, and what the spec says otherwise."
    yield "asked", "What was asked, and with what", "Asked", said, list(comparison_inputs.asked(c)), None
    said = "Evidence that only one audit holds, or that is no number."
    yield "rest", "Not compared", "Not compared", said, comparison_inputs.left_out(c), None


def _verdicts(c: Comparison) -> list[Exhibit]:
    rows = [
        Line(
            cells=(
                Cell(
                    text=name(one.title, 160),
                    sub=f"{one.rule}, {name(one.clause, 60)}{'' if one.blocking else ', warns'}",
                ),
                moved.verdict(one.old),
                moved.verdict(one.new),
                Cell(text=sentence("; ".join(name(reason, 600) for reason in one.reasons))),
            )
        )
        for one in c.verdicts
    ]
    columns = (
        Column(head="Rule", width="w-rule"),
        Column(head="Before", width="w-verdict"),
        Column(head="Now", width="w-verdict"),
        Column(head="What differs"),
    )
    return (
        [full_table(f"{numbers.some(len(rows), 'rule')} that say something else", columns, rows)]
        if rows
        else []
    )


def _overall(c: Comparison, changes: Sequence[Change]) -> list[Exhibit]:
    made = []
    figure = _figure(c)
    if figure is not None:
        made.append(Exhibit(figure=figure))
    if changes:
        made.append(full_table("Measures over all rows", _heads(), _lines(changes)))
    return made


def _figure(c: Comparison) -> Figure | None:
    """The primary metric's change, over all rows and by group."""
    shown = [one for one in c.changes if one.evidence == c.primary and one.part == "overall" and one.change]
    if len(shown) != 1:
        return None
    whole = shown[0]
    by = [one for one in c.changes if one.method == whole.method and one.part == "group" and len(one.by) == 1]
    by = [one for one in by if one.evidence.partition("/")[0] == c.primary]
    if not by:
        return None
    rows = [
        charts.Row(
            label=f"All {c.new.rows_are}", estimate=whole.change, n=_n(whole.change), strong=_sure(whole)
        )
    ]
    before: tuple[str, ...] = ()
    for one in by:
        rows.append(
            charts.Row(
                label=moved.of(one), estimate=one.change, n=_n(one.change), strong=_sure(one), gap=one.by != before,
                word=name(one.reason or "", 40),
            )
        )  # fmt: skip
        before = one.by
    words = moved.leading(c)
    said = words[0].upper() + words[1:]
    better = {"higher": "Right of the line is better.", "lower": "Left of the line is better."}.get(
        whole.better, ""
    )
    sub = f"Change with its interval, new minus old. {better} Dark: the whole interval is on one side of no change."
    drawing = charts.dots(rows, said, heads=("Group", "n"), threshold=NOTHING)
    return Figure(title=said, subtitle=" ".join(sub.split()), drawing=drawing)


def _sure(change: Change) -> bool:
    return change.direction != "open"


def _n(estimate: Estimate | None) -> str:
    return "" if estimate is None else f"{estimate.n:,}"


def _heads(what: str = "Measure") -> tuple[Column, ...]:
    return (
        Column(head=what),
        Column(head="Before", numeric=True),
        Column(head="Now", numeric=True),
        Column(head="Change", numeric=True),
        Column(head="n", numeric=True),
        Column(head="Reading"),
    )


def _lines(changes: Sequence[Change]) -> list[Line]:
    places = numbers.shared_decimals(one.change for one in changes if one.change and not one.change.exact)
    return [_line(one, places) for one in changes]


def _line(one: Change, places: int, *, short: bool = False) -> Line:
    digits = places if one.change and not one.change.exact else None
    group = moved.of(one)
    cell = Cell(text=moved.title(one))
    if short and group:
        cell = Cell(text=group)
    return Line(
        cells=(
            cell,
            Cell(text=_value(one.old, digits), sort=str(one.old.value) if one.old else ""),
            Cell(text=_value(one.new, digits), sort=str(one.new.value) if one.new else ""),
            Cell(text=moved.signed(one.change, digits), sort=str(one.change.value) if one.change else ""),
            Cell(text=_n(one.change) or "–"),
            Cell(text=moved.direction(one), sub=_how(one), muted=not _sure(one)),
        )
    )


def _value(estimate: Estimate | None, places: int | None) -> str:
    return "–" if estimate is None else numbers.value(estimate, places)


def _how(one: Change) -> str:
    if one.how == "unpaired" and one.change is not None and one.change.exact:
        return "exact"
    if one.how is None:
        return name(one.reason or "", 120)
    return moved.HOW[one.how]


def _grouped(changes: Sequence[Change]) -> list[Exhibit]:
    """Groups that moved, the gaps, then every group in folded tables by what groups are by."""
    made = []
    gaps = [one for one in changes if one.part != "group"]
    for caption, some in (
        ("How far groups lie apart, where that lies beyond its interval", gaps),
        ("Groups whose change lies beyond its interval", [one for one in changes if one.part == "group"]),
    ):
        sure = sorted((one for one in some if _sure(one)), key=lambda one: one.direction != "worse")
        if sure:
            head = f"{caption}: {SHOWN} of {len(sure)}" if len(sure) > SHOWN else caption
            made.append(full_table(head, _heads(), _lines(sure[:SHOWN])))
    if gaps:
        made.append(
            full_table("How far groups lie apart, every measure", _heads(), _lines(gaps), folded=True)
        )
    blocks: dict[str, list[Change]] = {}
    for one in changes:
        if one.part == "group":
            columns = numbers.joined(name(column, 40) for column in one.by if column not in {"class", "rate"})
            blocks.setdefault(columns, []).append(one)
    for columns, block in blocks.items():
        made.append(full_table(f"Every measure by {columns}", _heads(), _lines(block), folded=True))
    return made


def _rankings(rankings: Sequence[Ranked]) -> Iterator[Exhibit]:
    blocks: dict[str, list[Ranked]] = {}
    for one in rankings:
        blocks.setdefault(one.evidence, []).append(one)
    for block in blocks.values():
        places = numbers.shared_decimals(one.change for one in block if one.change and not one.change.exact)
        rows = [_ranked(one, places) for one in block]
        gone = [one for one in block if one.moved]
        title = name(block[0].title, 100)
        what = f"{len(gone)} of {len(block)} moved" if gone else f"none of {len(block)} moved beyond noise"
        columns = (
            Column(head="Entry"),
            Column(head="Rank before", numeric=True),
            Column(head="Rank now", numeric=True),
            Column(head="Before", numeric=True),
            Column(head="Now", numeric=True),
            Column(head="Change", numeric=True),
            Column(head="Reading"),
        )
        unit = f", in {name(block[0].unit, 40)}" if block[0].unit else ""
        yield full_table(f"{title}{unit}: {what}", columns, rows)


def _ranked(one: Ranked, places: int) -> Line:
    if one.old is None or one.new is None:
        word = "new" if one.old is None else "gone"
    else:
        word = "moved" if one.moved else "as before"
        size = direction(one.change, "none")
        if size != "open" and one.change is not None:
            grown = "larger" if one.change.value > 0 else "smaller"
            word = f"moved, {grown}" if one.moved else f"{grown}, ranks overlap"
    digits = places if one.change and not one.change.exact else None
    return Line(
        cells=(
            Cell(text=name(one.name, 60)),
            Cell(text=_ranks(one.old_rank)),
            Cell(text=_ranks(one.new_rank)),
            Cell(text=_value(one.old, digits)),
            Cell(text=_value(one.new, digits)),
            Cell(text=moved.signed(one.change, digits)),
            Cell(text=word, sub=moved.HOW[one.how] if one.how else "", muted=not one.moved),
        )
    )


def _ranks(ranks: tuple[int, int] | None) -> str:
    if ranks is None:
        return "–"
    return str(ranks[0]) if ranks[0] == ranks[1] else f"{ranks[0]}–{ranks[1]}"

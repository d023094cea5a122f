"""What went into two audits, side by side: rows and groups, digests and versions, waivers, the spec, what is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xai_audit.render import moved, numbers
from xai_audit.render.shown import Cell, Column, Exhibit, Line, full_table
from xai_audit.render.visible import name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xai_audit.comparison import Comparison, Drift


def data(c: Comparison) -> Iterator[Exhibit]:
    """Columns and answers that drifted, and groups that are new, gone or of another size."""
    if c.drift:
        columns = (
            Column(head="What"),
            Column(head="Before"),
            Column(head="Now"),
            Column(head="Difference", numeric=True),
            Column(head="p", numeric=True),
            Column(head="n", numeric=True),
        )
        yield full_table("Columns, shares and answers", columns, [_drifted(one) for one in c.drift])
    moved_groups = [one for one in c.groups if one.kind != "kept" or one.old != one.new]
    shown = moved_groups or c.groups
    if shown:
        heads = (
            Column(head="Group"),
            Column(head="Rows before", numeric=True),
            Column(head="Rows now", numeric=True),
            Column(head="Reading"),
        )
        rows = [
            Line(
                cells=(
                    Cell(text=f"{name(one.column, 40)} {name(one.group, 60)}"),
                    Cell(
                        text="–" if one.kind == "new" else "withheld" if one.old is None else f"{one.old:,}"
                    ),
                    Cell(
                        text="–" if one.kind == "gone" else "withheld" if one.new is None else f"{one.new:,}"
                    ),
                    Cell(
                        text={
                            "kept": "as before" if one.old == one.new else "size",
                            "new": "new",
                            "gone": "gone",
                        }[one.kind]
                    ),
                )
            )
            for one in shown
        ]
        caption = (
            "Groups that are new, gone or of another size" if moved_groups else "Groups, all of the same size"
        )
        yield full_table(caption, heads, rows, folded=not moved_groups)


def _drifted(one: Drift) -> Line:
    p = "–" if one.p is None else "below 0.001" if one.p < 0.001 else f"{one.p:.3f}"
    sizes = "–" if one.n_old is None or one.n_new is None else f"{one.n_old:,} and {one.n_new:,}"
    if one.n_old == one.n_new and one.n_old is not None and one.kind in {"mean", "decisions"}:
        sizes = f"{one.n_old:,}"
    change = "–" if one.change is None else moved.signed(one.change)
    if one.change is not None and one.kind in {"decisions", "distribution"}:
        change = numbers.number(one.change)
    return Line(
        cells=(
            Cell(text=name(one.what, 80)),
            Cell(text=name(one.old, 60) if one.old is not None else "–"),
            Cell(text=name(one.new, 60) if one.new is not None else "–"),
            Cell(text=change),
            Cell(text=p, sub=name(one.test or "", 40)),
            Cell(text=sizes),
        )
    )


def asked(c: Comparison) -> Iterator[Exhibit]:
    """Digests and versions, waivers, and keys of the spec."""
    rows = [
        Line(
            cells=(
                Cell(text=name(one.what, 60)),
                Cell(text=_digest(one.old)),
                Cell(text=_digest(one.new)),
                Cell(text="changed" if one.changed else "the same", muted=not one.changed),
            )
        )
        for one in c.digests
        if one.old is not None or one.new is not None
    ]
    columns = (Column(head="What"), Column(head="Before"), Column(head="Now"), Column(head="Reading"))
    yield full_table("Digests and versions", columns, rows)
    if c.waivers:
        yield full_table(
            "Waivers",
            (
                Column(head="Rule"),
                Column(head="Reading"),
                Column(head="Until"),
                Column(head="Approver"),
                Column(head="Reason"),
            ),
            [
                Line(
                    cells=(
                        Cell(text=name(one.rule, 40)),
                        Cell(text=one.kind),
                        Cell(text=numbers.day(waiver.expires)),
                        Cell(text=name(waiver.approver, 60)),
                        Cell(text=name(waiver.reason, 200)),
                    )
                )
                for one in c.waivers
                if (waiver := one.new or one.old) is not None
            ],
        )
    if c.spec:
        rows = [
            Line(cells=(Cell(text=name(one.key, 120)), Cell(text=_said(one.old)), Cell(text=_said(one.new))))
            for one in c.spec
        ]
        yield full_table(
            "Keys of the spec that say something else",
            (Column(head="Key"), Column(head="Before"), Column(head="Now")),
            rows,
        )


def _said(value: str | None) -> str:
    return "–" if value is None else name(value, 130)


def _digest(value: str | None) -> str:
    if value is None:
        return "none"
    return numbers.short(value) if len(value) == 64 else name(value, 40)


def left_out(c: Comparison) -> list[Exhibit]:
    """Evidence that was not compared, with why."""
    rows = []
    for one in c.not_compared:
        identifier, _, reason = one.partition(": ")
        rows.append(Line(cells=(Cell(text=name(identifier, 80)), Cell(text=name(reason, 300)))))
    columns = (Column(head="Evidence", width="w-asks"), Column(head="Why"))
    return (
        [full_table(f"{numbers.some(len(rows), 'piece')} of evidence", columns, rows, folded=len(rows) > 8)]
        if rows
        else []
    )

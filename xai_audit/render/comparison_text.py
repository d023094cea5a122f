"""A comparison as text: Markdown for a pull request, one screen for a terminal, one line of JSON."""

from __future__ import annotations

import json
import re
import textwrap
from typing import TYPE_CHECKING

from xai_audit.render import moved, numbers
from xai_audit.render.comparison import page
from xai_audit.render.numbers import NBSP
from xai_audit.render.palette import VERDICTS
from xai_audit.render.visible import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xai_audit.comparison import Change, Comparison
    from xai_audit.render.shown import Table

ROWS = 40
"""Lines of one table in Markdown; the page and the JSON tell the rest."""
TOLD = 12
"""Rules, and numbers, on the screen."""
_SIGNS = re.compile(r"([\\`*_\[\]<>#|~&])")


def markdown(comparison: Comparison) -> bytes:
    """The comparison as Markdown, every name escaped."""
    made = page(comparison)
    lines = [f"# {_text(made.title)}", "", f"**{_text('; '.join(made.clauses))}.**", "", _text(made.lead)]
    lines += [_text(note) for note in made.notes]
    for part in made.parts:
        lines += ["", f"## {_text(part.title)}", "", _text(part.lead)]
        for exhibit in part.exhibits:
            if exhibit.table is not None and not exhibit.table.folded:
                lines += ["", *_table(exhibit.table)]
    lines += ["", "A comparison of two evidence reports, not a declaration of conformity.", ""]
    return "\n".join(lines).encode("utf-8", "backslashreplace")


def _table(table: Table) -> list[str]:
    lines = [f"{_text(table.caption)}", ""]
    lines.append("| " + " | ".join(_text(column.head) for column in table.columns) + " |")
    lines.append("|" + "|".join("--:" if column.numeric else "---" for column in table.columns) + "|")
    for row in table.rows[:ROWS]:
        cells = []
        for cell in row.cells:
            text = f"{cell.mark.shape} {cell.text}" if cell.mark else cell.text
            cells.append(_text(f"{text} ({cell.sub})" if cell.sub else text))
        lines.append("| " + " | ".join(cells) + " |")
    if len(table.rows) > ROWS:
        lines += ["", f"and {len(table.rows) - ROWS} more in the page."]
    return lines


def _text(text: str) -> str:
    """Text that Markdown shows as it is."""
    return _SIGNS.sub(r"\\\1", " ".join(text.replace(NBSP, " ").split()))


def screen(comparison: Comparison, width: int = 100) -> str:
    """What changed on one screen: the primary metric, rules that say something else, numbers beyond chance."""
    columns = max(40, min(width, 110))
    old, new = comparison.old, comparison.new
    head = f"{moved.system(comparison)}: {moved.audited(old, new)} -> {moved.audited(new, old)}"
    lines = [head, *_wrapped("; ".join(moved.clauses(comparison)) + ".", columns, "  ")]
    lines += _wrapped(moved.rows(comparison.matched, new.rows_are), columns, "  ")
    for one in comparison.verdicts[:TOLD]:
        shape = VERDICTS[one.new].shape if one.new else "–"
        before = VERDICTS[one.old].word if one.old else "no rule"
        after = VERDICTS[one.new].word if one.new else "no rule"
        text = f"{shape} {one.rule} {before} -> {after}: {'; '.join(one.reasons)}"
        lines += _wrapped(text if len(text) <= 400 else f"{text[:400]}…", columns, "  ", hang=4)
    if len(comparison.verdicts) > TOLD:
        lines.append(f"  and {len(comparison.verdicts) - TOLD} more rules")
    lines += _numbers(comparison, columns)
    ranks = [one for one in comparison.rankings if one.moved]
    if ranks:
        said = numbers.joined(f"{visible(one.name)} ({one.evidence})" for one in ranks[:TOLD])
        lines += _wrapped(f"ranks that moved beyond noise: {said}", columns, "  ")
    for waiver in comparison.waivers:
        lines += _wrapped(f"waiver of {waiver.rule}: {waiver.kind}", columns, "  ")
    lines += _wrapped(moved.changed(comparison.digests), columns, "  ")
    for note in comparison.notes:
        lines += _wrapped(note, columns, "  ")
    return visible("\n".join(lines), lines=True).replace(NBSP, " ")


def _numbers(comparison: Comparison, columns: int) -> list[str]:
    sure: Sequence[Change] = [one for one in comparison.changes if one.direction != "open"]
    lines = _wrapped(moved.chance(comparison.changes, comparison.confidence), columns, "  ")
    first = sorted(sure, key=lambda one: (one.direction != "worse", one.part == "group"))
    for one in first[:TOLD]:
        lines += _wrapped(
            f"{moved.title(one)} {moved.signed(one.change)}: {moved.direction(one)}", columns, "    ", hang=6
        )
    if len(sure) > TOLD:
        lines.append(f"    and {len(sure) - TOLD} more (--format html shows all)")
    return lines


def _wrapped(text: str, columns: int, indent: str, hang: int | None = None) -> list[str]:
    inner = textwrap.wrap(text.replace(NBSP, "\u2007"), columns - len(indent)) or []
    rest = " " * (hang if hang is not None else len(indent))
    return [(indent if index == 0 else rest) + one.replace("\u2007", " ") for index, one in enumerate(inner)]


def line(comparison: Comparison) -> str:
    """The heads of a comparison as one line of JSON."""
    content = {
        "same": comparison.same,
        "system": comparison.new.name,
        "versions": [comparison.old.version, comparison.new.version],
        "outcomes": [comparison.old.outcome, comparison.new.outcome],
        "matched": comparison.matched.model_dump(mode="json"),
        "primary": [
            {"evidence": one.evidence, "key": one.key, "how": one.how, "direction": one.direction}
            | {"change": one.change.model_dump(mode="json", exclude_none=True) if one.change else None}
            for one in comparison.leading
        ],
        "worse": sum(one.direction == "worse" for one in comparison.changes),
        "better": sum(one.direction == "better" for one in comparison.changes),
        "verdicts": [
            {"policy": one.policy, "rule": one.rule, "old": one.old, "new": one.new}
            for one in comparison.verdicts
        ],
        "digests_changed": [one.what for one in comparison.digests if one.changed],
    }
    return json.dumps(content, ensure_ascii=False, sort_keys=True)

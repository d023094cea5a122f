"""The end of a run on one screen: plain text when piped, coloured marks on a terminal."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from xai_audit.render import findings as told
from xai_audit.render import front, people, since
from xai_audit.render.numbers import NBSP
from xai_audit.render.palette import VERDICTS
from xai_audit.render.visible import visible

if TYPE_CHECKING:
    from xai_audit.audit import Audit
    from xai_audit.verdict import Finding

TOLD = 12
"""Findings on the screen; the report tells the rest."""
WIDEST = 110
_COLOURS = {"fail": 31, "open": 33, "review": 35, "pass": 32, "waived": 37, "absent": 37}


def summary(
    audit: Audit, width: int | None = None, color: bool | None = None, *, folder: str | None = None
) -> str:
    """The outcome, each finding that needs a person, what passed, and where the files are.

    ``width`` and ``color`` follow the terminal where they are None; NO_COLOR is honoured.
    """
    columns = width or shutil.get_terminal_size((100, 24)).columns
    columns = max(40, min(columns, WIDEST))
    painted = _terminal() if color is None else color
    found = front.states(audit)
    lines = [_head(audit, columns, painted=painted)]
    telling = [(key, finding) for key in ("fail", "open", "review", "waived") for finding in found[key]]
    column = min(max((len(_clause(finding)) for _, finding in telling[:TOLD]), default=0), 26)
    for key, finding in telling[:TOLD]:
        lines += _line(key, finding, column, columns, painted=painted)
    if len(telling) > TOLD:
        lines.append(f"  and {len(telling) - TOLD} more in the report")
    changed = since.words(audit, whole=False)
    if changed:
        said = textwrap.wrap(changed.replace(NBSP, "\u2007"), columns - 4)
        lines += [
            f"  {'  ' if index else '– '}{part}".replace("\u2007", " ") for index, part in enumerate(said)
        ]
    missing = audit.counts.statements_missing
    if missing:
        verb = "statement is" if missing == 1 else "statements are"
        lines.append(
            f"  {_paint('absent', painted)} {missing} {verb} missing (annex A of the report lists them)"
        )
    passed = len(found["pass"])
    wrote = f" {_files(folder)}" if folder is not None else ""
    lines.append(f"  {passed} {'rule' if passed == 1 else 'rules'} passed.{wrote}")
    return "\n".join(lines).replace(NBSP, " ")


def line(audit: Audit, folder: str) -> str:
    """The same as one line of JSON: outcome, reasons, counts and where the folder is."""
    content = {
        "outcome": audit.outcome,
        "system": people.system(audit).get("name"),
        "version": people.system(audit).get("version"),
        "policies": [policy["id"] for policy in audit.policies],
        "reasons": list(audit.reasons),
        "counts": audit.counts.model_dump(mode="json"),
        "folder": folder,
    }
    return json.dumps(content, ensure_ascii=False, sort_keys=True)


def _terminal() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def _head(audit: Audit, columns: int, *, painted: bool) -> str:
    rows = ((audit.subject.get("data") or {}).get("test") or {}).get("rows")
    policies = ", ".join(str(policy["id"]) for policy in audit.policies) or "none"
    right = f"policy {visible(policies)}" + (f"  {rows:,} {told.people(audit)}" if rows is not None else "")
    word = audit.outcome.upper()
    room = max(columns - len(word) - len(right) - 6, 12)
    title = people.title(audit)
    title = title if len(title) <= room else f"{title[: room - 1]}…"
    left = f"{word}  {title}"
    gap = " " * max(columns - len(left) - len(right), 2)
    if painted:
        tone = {"fail": 31, "pass": 32, "review": 35, "error": 31}[audit.outcome]
        left = f"\033[1;{tone}m{word}\033[0m  {title}"
    return f"{left}{gap}{right}"


def _clause(finding: Finding) -> str:
    return visible(finding.clause)


def _line(key: str, finding: Finding, column: int, columns: int, *, painted: bool) -> list[str]:
    message = visible(finding.message)
    message = message if len(message) <= 400 else f"{message[:400]}…"
    clause = _clause(finding)
    clause = clause if len(clause) <= column else f"{clause[: column - 1]}…"
    wrapped = textwrap.wrap(message.replace(NBSP, "\u2007"), max(columns - column - 6, 20)) or [""]
    wrapped = [part.replace("\u2007", " ") for part in wrapped]
    first = f"  {_paint(key, painted)} {clause:<{column}}  {wrapped[0]}"
    return [first, *(" " * (column + 6) + rest for rest in wrapped[1:])]


def _paint(key: str, painted: bool) -> str:
    shape = VERDICTS[key].shape
    return f"\033[{_COLOURS[key]}m{shape}\033[0m" if painted else shape


def _files(folder: str) -> str:
    """The files that are there, in the order a person opens them."""
    there = [name for name in ("report.html", "report.pdf", "audit.json") if (Path(folder) / name).is_file()]
    return f"{'  '.join(there)} in {visible(folder)}/" if there else f"in {visible(folder)}/"

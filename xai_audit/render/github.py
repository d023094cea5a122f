"""Workflow commands of GitHub Actions: an annotation for each finding that somebody has to act on, at its line of the spec.

The step summary is the format ``summary``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xai_audit.render import alarms, numbers, places
from xai_audit.render.visible import name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xai_audit.audit import Audit
    from xai_audit.verdict import Finding

MOST = 10
"""Annotations of one type that GitHub shows for a step."""
COMMANDS: dict[alarms.Loudness, str] = {"error": "error", "warning": "warning", "note": "notice"}


def render(audit: Audit) -> bytes:
    """A line for each annotation, the worst first; where there are too many, the last of a type says how many more."""
    found = alarms.alarms(audit)
    lines = []
    for loud in alarms.LOUDNESS:
        mine = [finding for heard, finding in found if heard == loud]
        shown = mine if len(mine) <= MOST else mine[: MOST - 1]
        lines += [_annotation(audit, loud, finding) for finding in shown]
        if len(shown) < len(mine):
            lines.append(_more(loud, mine[len(shown) :]))
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")


def command(kind: str, message: str, **properties: str | int) -> str:
    """One workflow command; nothing in a message or a property can end it or begin another."""
    given = ",".join(f"{key}={_property(str(value))}" for key, value in properties.items() if value)
    return f"::{kind}{' ' if given else ''}{given}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _annotation(audit: Audit, loud: alarms.Loudness, finding: Finding) -> str:
    place = places.place(audit, finding)
    file = name(place.path, 400) if place != places.ELSEWHERE else ""
    message = f"{alarms.said(finding)}\n{name(finding.clause)}, policy {name(finding.policy)}"
    title = alarms.headline(finding)
    return command(COMMANDS[loud], message, file=file, line=place.line, col=place.column, title=title)


def _more(loud: alarms.Loudness, rest: Sequence[Finding]) -> str:
    rules = numbers.joined(finding.rule for finding in rest[:20])
    others = f", and {len(rest) - 20} others" if len(rest) > 20 else ""
    text = f"{rules}{others}: they stand in the summary and in the report."
    return command(COMMANDS[loud], text, title=f"{len(rest)} more of this kind")

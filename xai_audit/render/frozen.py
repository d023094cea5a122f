"""What was changed after thresholds and methods were frozen: a sentence for page 1, and a table of every change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xai_audit.render import numbers
from xai_audit.render.shown import Cell, Column, Line, Table
from xai_audit.render.visible import brief, name

if TYPE_CHECKING:
    from xai_audit.audit import Audit

METHOD = "freeze"

ROWS = 60
"""Changes that are listed; audit.json holds all."""


def sentence(audit: Audit) -> str:
    """How many settings, methods and thresholds differ from what was frozen; nothing where nothing was frozen."""
    found = _params(audit)
    if found is None:
        return ""
    day, count = numbers.day(found.get("created", "")), len(found.get("changes") or ())
    if not count:
        return f"Nothing changed since the freeze of {day}."
    return f"{numbers.some(count, 'setting')} changed since the freeze of {day} (section 2)."


def table(audit: Audit) -> Table:
    """Every change since the freeze: its place in spec or policy, what was frozen and what was applied."""
    changes = (_params(audit) or {}).get("changes") or ()
    rows = tuple(
        Line(cells=(Cell(text=name(one.get("at"), 120)), _value(one.get("frozen")), _value(one.get("now"))))
        for one in changes[:ROWS]
        if isinstance(one, dict)
    )
    left = len(changes) - len(rows)
    more = f"; {left} more stand in audit.json" if left > 0 else ""
    return Table(
        caption=f"Changed after it was frozen{more}",
        columns=(Column(head="Where"), Column(head="Frozen"), Column(head="Applied")),
        rows=rows,
    )


def _value(value: Any) -> Cell:
    return Cell(text="–", muted=True) if value is None else Cell(text=name(brief(value), 200))


def _params(audit: Audit) -> dict[str, Any] | None:
    piece = audit.get(METHOD)
    return piece.params if piece is not None and piece.status == "measured" else None

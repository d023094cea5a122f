"""What stands beside some evidence: its ids, how its rows were chosen, how far its claims reach; and its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xai_audit.render import claims, rungs
from xai_audit.render import findings as told
from xai_audit.render.shown import Note
from xai_audit.render.visible import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xai_audit.audit import Audit
    from xai_audit.evidence import Evidence


def limits(pieces: Sequence[Evidence]) -> tuple[str, ...]:
    """What the methods behind some numbers cannot show, a sentence each."""
    said = dict.fromkeys(limit for piece in pieces for limit in piece.limits)
    return tuple(claims.sentence(visible(text)[:200]) for text in said)


def margin(audit: Audit, pieces: Sequence[Evidence], *notes: str, most: int = 6) -> tuple[Note, ...]:
    """The margin beside some evidence: its rungs, its ids up to ``most``, and how its rows were chosen."""
    what = told.rows(audit, 2)
    sampled = dict.fromkeys(
        f"{p.sampling.used:,} of {p.sampling.available:,} {what}: {p.sampling.how}"
        for p in pieces
        if p.sampling and p.sampling.used < p.sampling.available
    )
    return (
        *(Note(text=note) for note in notes),
        *rungs.notes(pieces),
        *told.evidence_notes(audit, [p.id for p in pieces], most=most),
        *(Note(text=visible(s)) for s in sampled),
    )

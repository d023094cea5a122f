"""How a network was trained: phases, what was gained after memorisation, what a way of training changed; claims first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xai_audit.evidence import Scalar
from xai_audit.render import rungs
from xai_audit.render.beside import limits, margin
from xai_audit.render.shown import Cell, Column, Exhibit, Line, Table
from xai_audit.render.visible import prose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xai_audit.audit import Audit
    from xai_audit.evidence import Evidence

NAMED = 2
"""Evidence ids beside a table; the register has all."""
LONGEST = 600
"""Characters of a sentence."""


def exhibits(audit: Audit, pieces: Sequence[Evidence]) -> list[Exhibit]:
    """Each claim in its sentence, the furthest reaching first; then curves and tables."""
    from xai_audit.render.exhibits import general

    told = sorted(
        (piece for piece in pieces if isinstance(piece.observation, Scalar) and sentence(piece)),
        key=lambda piece: (-rungs.step(piece.rung) if piece.rung else 0, piece.id),
    )
    made = [Exhibit(table=_sentences(told), margin=margin(audit, told, most=NAMED))] if told else []
    return [*made, *general(audit, [piece for piece in pieces if piece not in told])]


def sentence(piece: Evidence) -> str:
    """What a claim found, and why it stands no higher; empty where a piece of evidence is none."""
    found = piece.params.get("finding")
    if not isinstance(found, str) or not found:
        return ""
    why = rungs.halted(piece)
    return f"{prose(found, LONGEST)}{f' It stands no higher because {why}.' if why and not rungs.causal(piece) else ''}"


def _sentences(pieces: Sequence[Evidence]) -> Table:
    return Table(
        caption="What was seen of training, the furthest reaching first",
        columns=(Column(head="Rung"), Column(head="What was seen")),
        rows=tuple(
            Line(
                cells=(
                    Cell(
                        text=piece.rung or "no claim", sort=str(rungs.step(piece.rung)) if piece.rung else "0"
                    ),
                    Cell(text=sentence(piece)),
                )
            )
            for piece in pieces
        ),
        full=True,
        kind="claims",
        limits=limits(pieces),
    )

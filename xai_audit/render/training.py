"""How a network was trained: phases, what was gained after memorisation, what a way of training changed; claims first."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from xai_audit.evidence import Estimate, Matrix, Scalar
from xai_audit.render import numbers, rungs
from xai_audit.render.beside import limits, margin
from xai_audit.render.shown import Cell, Column, Exhibit, Line, Table
from xai_audit.render.visible import name, prose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xai_audit.audit import Audit
    from xai_audit.evidence import Evidence

NAMED = 2
"""Evidence ids beside a table; the register has all."""
LONGEST = 600
"""Characters of a sentence."""
FLAT = 1e-9
"""Under this an interval has no width."""
COMPARED = ("before", "after", "difference", "low", "high")
"""Columns of a table of pairs."""


def exhibits(audit: Audit, pieces: Sequence[Evidence]) -> list[Exhibit]:
    """Each claim in its sentence, the furthest reaching first; then comparisons of pairs, curves and tables."""
    from xai_audit.render.exhibits import general

    told = [piece for piece in claims(pieces) if isinstance(piece.observation, Scalar)]
    paired = [piece for piece in pieces if _paired(piece)]
    return [
        *sentences(audit, told, "What was seen of training, the furthest reaching first"),
        *(_compared(audit, one, one.observation) for one in paired if isinstance(one.observation, Matrix)),
        *general(audit, [piece for piece in pieces if piece not in told and piece not in paired]),
    ]


def claims(pieces: Sequence[Evidence]) -> list[Evidence]:
    """Those that say in a sentence what was found, the furthest reaching first."""
    return sorted(
        (piece for piece in pieces if sentence(piece)),
        key=lambda piece: (-rungs.step(piece.rung) if piece.rung else 0, piece.id),
    )


def sentence(piece: Evidence) -> str:
    """What a piece of evidence found, and why a claim stands no higher; empty where it has no sentence."""
    found = piece.params.get("finding") or piece.params.get("sentence")
    if not isinstance(found, str) or not found:
        return ""
    why = rungs.halted(piece)
    higher = f" It stands no higher because {why}." if why and not rungs.causal(piece) else ""
    return f"{_set(prose(found, LONGEST))}{higher}"


def _set(text: str) -> str:
    """A sentence as printed: true minus signs, and no break between a number and its interval."""
    text = re.sub(r"(?<![\w.)])-(?=\d)", numbers.MINUS, text)
    return re.sub(r"(?<=\d) \[([^\[\], ]+), ([^\[\], ]+)\]", rf"{numbers.NBSP}[\1,{numbers.NBSP}\2]", text)


def sentences(audit: Audit, pieces: Sequence[Evidence], caption: str) -> list[Exhibit]:
    """A table of sentences with their rungs; nothing where there is none."""
    if not pieces:
        return []
    table = rungs.told(pieces, sentence, caption, limits(pieces))
    return [Exhibit(table=table, margin=margin(audit, pieces, most=NAMED))]


def _paired(piece: Evidence) -> bool:
    return isinstance(piece.observation, Matrix) and piece.observation.columns == COMPARED


def _compared(audit: Audit, piece: Evidence, seen: Matrix) -> Exhibit:
    """Measures before and after, a row each with the digits that its own interval supports."""
    pairs = len(piece.params.get("pairs") or ())
    rows = []
    for label, values in zip(seen.rows, seen.values, strict=True):
        before, after, difference, low, high = values
        change = Estimate(value=difference or 0.0, low=low, high=high, n=pairs)
        # A change that is the same in every pair has no width to take digits from.
        known = low is not None and high is not None and high - low > FLAT
        places = min(numbers.decimals(change), 4) if known else 3
        rows.append(
            Line(
                cells=(
                    Cell(text=name(label, 60)),
                    *(
                        Cell(text="–" if one is None else numbers.plain(one, places))
                        for one in (before, after)
                    ),
                    Cell(
                        text=rungs.estimated(change, sign=True, places=places)
                        if known
                        else numbers.plain(change.value, places)
                    ),
                )
            )
        )
    table = Table(
        caption=name(piece.title, 120),
        columns=(
            Column(head=name(seen.row_title or "", 40)),
            *(Column(head=one, numeric=True) for one in ("before", "after", "difference")),
        ),
        rows=tuple(rows),
        limits=limits([piece]),
    )
    return Exhibit(table=table, margin=margin(audit, [piece]))

"""Dictionaries of activations: what each keeps beside its controls, in sentences; its latents; curves and contexts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xai_audit.evidence import Matrix, Scalar
from xai_audit.render import numbers, training
from xai_audit.render.beside import limits, margin
from xai_audit.render.shown import Cell, Column, Exhibit, Line, Table
from xai_audit.render.visible import name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xai_audit.audit import Audit
    from xai_audit.evidence import Evidence

LISTED = 30
"""Latents in a table; audit.json has all."""
PLACES = {"density": 4, "distinct tokens": 0, "patterns": 0}
"""Decimals of a column; two of any other."""


def exhibits(audit: Audit, pieces: Sequence[Evidence]) -> list[Exhibit]:
    """What was seen, the furthest reaching first; the latents; then curves and contexts."""
    from xai_audit.render.exhibits import general

    told = training.claims(pieces)
    listed = [piece for piece in pieces if _latents(piece)]
    # What a sentence says in full needs no row of its own; a curve is shown beside its sentence.
    scalars = [piece for piece in told if isinstance(piece.observation, Scalar)]
    rest = [piece for piece in pieces if piece not in scalars and piece not in listed]
    caption = "What was seen of dictionaries, the furthest reaching first"
    return [
        *training.sentences(audit, told, caption),
        *(_listed(audit, one, one.observation) for one in listed if isinstance(one.observation, Matrix)),
        *general(audit, rest),
    ]


def _latents(piece: Evidence) -> bool:
    return isinstance(piece.observation, Matrix) and piece.observation.row_title == "latent"


def _listed(audit: Audit, piece: Evidence, seen: Matrix) -> Exhibit:
    """Latents by how well they are told, the best first, each column with decimals of its own."""
    places = [PLACES.get(column, 2) for column in seen.columns]
    last = len(seen.columns) - 1
    by = seen.columns.index("detection") if "detection" in seen.columns else last
    order = sorted(range(len(seen.rows)), key=lambda row: (-(seen.values[row][by] or 0.0), row))
    left = len(order) - LISTED
    table = Table(
        caption=name(piece.title, 120),
        columns=(Column(head="latent"), *(Column(head=name(one, 40), numeric=True) for one in seen.columns)),
        rows=tuple(
            Line(
                cells=(
                    Cell(text=name(seen.rows[row], 20)),
                    *(
                        Cell(text="–" if value is None else numbers.plain(value, digits))
                        for value, digits in zip(seen.values[row], places, strict=True)
                    ),
                )
            )
            for row in order[:LISTED]
        ),
        notes=(f"The {LISTED} that are told best; {left:,} more are in audit.json.",) if left > 0 else (),
        limits=limits([piece]),
        full=True,
    )
    return Exhibit(table=table, margin=margin(audit, [piece]))

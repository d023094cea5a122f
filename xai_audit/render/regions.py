"""Which places of the pictures weigh most: a grid of squares for each explainer, side by side."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from markupsafe import Markup

from xai_audit.evidence import Ranking
from xai_audit.render import claims, listings, numbers, overlays
from xai_audit.render.beside import limits, margin
from xai_audit.render.ink import NARROW, WIDE, Drawing, drawing, words
from xai_audit.render.panels import Frame, Pictures
from xai_audit.render.pictures import FRAME
from xai_audit.render.shown import Exhibit
from xai_audit.render.visible import name, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xai_audit.audit import Audit
    from xai_audit.evidence import Evidence, Item

PLACE = re.compile(r"row (\d+), column (\d+)")
"""How explainers name a region of a grid over the pictures."""
SIDE_BY_SIDE = 4
"""Grids in a row."""


def concerns(piece: Evidence) -> bool:
    """Whether a ranking is of the regions of one grid, all of them."""
    seen = piece.observation
    return isinstance(seen, Ranking) and bool(seen.items) and grid(seen) is not None


def grid(seen: Ranking) -> dict[tuple[int, int], Item] | None:
    """Each region by its row and column; None where an entry is no region or one is missing."""
    found = {}
    for item in seen.items:
        place = PLACE.fullmatch(item.name)
        if place is None:
            return None
        found[int(place[1]), int(place[2])] = item
    rows, columns = (max(place[axis] for place in found) for axis in (0, 1))
    return found if len(found) == rows * columns == len(seen.items) and max(rows, columns) <= 12 else None


def exhibits(audit: Audit, pieces: Sequence[Evidence]) -> list[Exhibit]:
    """All grids in one picture, then the table of each, for a screen."""
    own = [piece for piece in pieces if concerns(piece)]
    starts = range(0, len(own), SIDE_BY_SIDE)
    made = [_drawn(audit, own[start : start + SIDE_BY_SIDE]) for start in starts]
    for piece in own:
        assert isinstance(piece.observation, Ranking)
        table = listings.ranking(
            piece.observation, f"{claims.explainer(piece.method)}: {name(piece.title, 140)}", "Part"
        )
        table = replace(table, screen=True, limits=limits([piece]))
        made.append(Exhibit(table=table, margin=margin(audit, [piece])))
    return made


def _drawn(audit: Audit, pieces: Sequence[Evidence]) -> Exhibit:
    frames = []
    for piece in pieces:
        seen = piece.observation
        assert isinstance(seen, Ranking)
        first = seen.items[0]
        unit = f" {name(seen.unit, 40)}" if seen.unit else ""
        frames.append(
            Frame(
                svg=_grid(seen, _alt(piece, seen)),
                lines=(
                    claims.explainer(piece.method),
                    f"most {numbers.number(first.estimate)}{unit}, {numbers.size(first.estimate.n)}",
                    _settled(seen),
                ),
            )
        )
    first_seen = pieces[0].observation
    assert isinstance(first_seen, Ranking)
    leader = claims.leaders(first_seen, "part")
    title = f"{claims.explainer(pieces[0].method)}: {leader[0].lower()}{leader[1:]}"
    panel = Pictures(
        title=title,
        subtitle="Mean absolute contribution of each part of the pictures, whichever way it speaks. The area of a "
        "square is the amount, within its own grid. Dark: may come first.",
        frames=tuple(frames),
        scale=_scale(),
    )
    return Exhibit(panel=panel, margin=margin(audit, pieces))


def _settled(seen: Ranking) -> str:
    tied = sum(item.rank_low == 1 for item in seen.items)
    if tied == len(seen.items):
        return "any part may come first"
    return f"{tied} of {len(seen.items)} may come first" if tied > 1 else f"{seen.items[0].name} leads"


def _alt(piece: Evidence, seen: Ranking) -> str:
    """The leading parts in words, for who cannot see the grid."""
    leading = "; ".join(f"{item.name} {numbers.number(item.estimate)}" for item in seen.items[:3])
    return f"{claims.explainer(piece.method)}, by part of the picture, rows from the top. The largest: {leading}."


def _grid(seen: Ranking, said: str) -> Markup:
    found = grid(seen)
    assert found is not None
    rows, columns = (max(place[axis] for place in found) for axis in (0, 1))
    pitch = FRAME / max(rows, columns)
    width, height = pitch * columns, pitch * rows
    top = max((abs(item.estimate.value) for item in found.values()), default=0.0) or 1.0
    drawn = []
    for (row, column), item in sorted(found.items()):
        x, y = (column - 1) * pitch, (row - 1) * pitch
        drawn.append(_plate(x + 1, y + 1, pitch - 2, overlays.PLATE))
        side = (pitch - 6) * (abs(item.estimate.value) / top) ** 0.5
        shift = (pitch - side) / 2
        drawn.append(
            _plate(x + shift, y + shift, side, overlays.FOR if item.rank_low == 1 else overlays.QUIET)
        )
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {w} {h}" width="{w}" height="{h}">'
        "<title>{t}</title>{m}</svg>"
    ).format(w=f"{width:g}", h=f"{height:g}", t=visible(said), m=Markup("").join(drawn))


def _plate(x: float, y: float, side: float, colour: str) -> Markup:
    return Markup('<rect x="{}" y="{}" width="{}" height="{}" fill="{}"/>').format(
        f"{x:.1f}", f"{y:.1f}", f"{side:.1f}", f"{side:.1f}", colour
    )


def _scale() -> Drawing:
    """The squares in words: the largest of its grid, a quarter of it."""

    def row(width: float) -> Markup:
        marks = []
        for x, part, said in ((0.0, 1.0, "the largest of its grid"), (150.0, 0.25, "a quarter of it")):
            side = 20 * part**0.5
            marks += [
                _plate(x, 0, 22, overlays.PLATE),
                _plate(x + 11 - side / 2, 11 - side / 2, side, overlays.FOR),
            ]
            marks.append(words(x + 28, 15, said, ink="secondary"))
        return drawing(width, 24, "The area of a square is the amount, beside the largest of its grid", marks)

    return Drawing(row(WIDE), row(NARROW))

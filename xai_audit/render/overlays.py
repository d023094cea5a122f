"""Contributions over a picture: filled squares for, open rings against, the area as large as the amount."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from xai_audit.render import numbers
from xai_audit.render.ink import NARROW, SIZE, WIDE, Drawing, drawing, words
from xai_audit.render.palette import INKS
from xai_audit.render.shown import Cell, Column, Line, Table
from xai_audit.render.visible import fitted

if TYPE_CHECKING:
    from collections.abc import Iterator

MARKS = 24
"""Marks on a side, at most: a finer map is summed in blocks, and says so."""
FOR, AGAINST = INKS["accent"].light, INKS["against"].light
"""Marks lie on light grey in either scheme. The shape says the way; the colours differ to a colour-blind eye too."""
QUIET = INKS["context"].light
PLATE = "#e4e6ea"
NINTHS = (
    "upper left", "upper middle", "upper right",
    "middle left", "centre", "middle right",
    "lower left", "lower middle", "lower right",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Heat:
    """A map of contributions as drawn: rows top to bottom."""

    values: tuple[tuple[float, ...], ...]
    block: int
    """How many cells of the evidence a mark sums, on a side."""

    @property
    def most(self) -> float:
        """The largest amount of a mark."""
        return max((abs(v) for row in self.values for v in row), default=0.0)


def heat(found: Any) -> Heat | None:
    """A case's map ``{width, height, values}`` with at most MARKS marks a side; None where it is none."""
    lines = found.get("values") if isinstance(found, dict) else None
    if not lines or not all(isinstance(line, list | tuple) for line in lines):
        return None
    if not lines[0] or not all(len(line) == len(lines[0]) for line in lines):
        return None
    values = [
        [float(v) if isinstance(v, int | float) and math.isfinite(v) else 0.0 for v in line] for line in lines
    ]
    block = -(-max(len(values), len(values[0])) // MARKS)
    summed = tuple(
        tuple(
            math.fsum(v for line in values[y : y + block] for v in line[x : x + block])
            for x in range(0, len(values[0]), block)
        )
        for y in range(0, len(values), block)
    )
    return Heat(values=summed, block=block)


def marks(seen: Heat, width: float, height: float) -> Markup:
    """The marks of a map over a frame: squares for, rings against, area by amount; nothing under a 400th of the most."""
    top = seen.most
    if not top:
        return Markup()
    down, across = len(seen.values), len(seen.values[0])
    pitch_x, pitch_y = width / across, height / down
    half = min(pitch_x, pitch_y) / 2 * 0.94
    filled: list[str] = []
    rings: list[str] = []
    holes: list[str] = []
    for y, row in enumerate(seen.values):
        for x, value in enumerate(row):
            reach = half * math.sqrt(abs(value) / top)
            if reach < half / 20:
                continue
            middle = ((x + 0.5) * pitch_x, (y + 0.5) * pitch_y)
            if value > 0:
                filled.append(_square(*middle, reach * 0.95))
            else:
                rings.append(_circle(*middle, reach))
                # Half as wide as the ring, so that a small ring stays one.
                holes.append(_circle(*middle, reach * 0.52))
    drawn = ((filled, FOR), (rings, AGAINST), (holes, "#ffffff"))
    return Markup("").join(
        Markup('<path d="{}" fill="{}"/>').format("".join(path), colour) for path, colour in drawn if path
    )


def _square(x: float, y: float, reach: float) -> str:
    side = f"{2 * reach:.1f}"
    return f"M{x - reach:.1f} {y - reach:.1f}h{side}v{side}h-{side}z"


def _circle(x: float, y: float, reach: float) -> str:
    r, d = f"{reach:.1f}", f"{2 * reach:.1f}"
    return f"M{x - reach:.1f} {y:.1f}a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 -{d} 0z"


def ninths(seen: Heat) -> list[tuple[str, float, float]]:
    """Each ninth of the picture with what speaks for and what against in it, mark by mark."""
    down, across = len(seen.values), len(seen.values[0])
    sums: dict[str, list[list[float]]] = {where: [[], []] for where in NINTHS}
    for y, row in enumerate(seen.values):
        for x, value in enumerate(row):
            # A mark belongs to the ninth that its middle lies in.
            where = NINTHS[3 * ((2 * y + 1) * 3 // (2 * down)) + (2 * x + 1) * 3 // (2 * across)]
            sums[where][value < 0].append(value)
    return [(where, math.fsum(plus), math.fsum(minus)) for where, (plus, minus) in sums.items()]


def mostly(seen: Heat, way: int) -> tuple[str, float]:
    """The ninth with the largest sum for (way 1) or against (-1), and its share of all of that; empty where none."""
    parts = [(where, plus if way > 0 else -minus) for where, plus, minus in ninths(seen)]
    total = math.fsum(amount for _, amount in parts)
    if total <= 0:
        return "", 0.0
    where, amount = max(parts, key=lambda part: part[1])
    return where, amount / total


def sums(seen: Heat) -> tuple[float, float]:
    """All that speaks for, and all that speaks against."""
    parts = ninths(seen)
    return math.fsum(plus for _, plus, _ in parts), math.fsum(minus for _, _, minus in parts)


def listed(seen: Heat, caption: str) -> Table:
    """The same map as numbers, a row for each ninth of the picture."""
    places = digits(seen.most)
    rows = tuple(
        Line(
            cells=(
                Cell(text=where[0].upper() + where[1:]),
                Cell(text=signed(plus, places), sort=str(plus)),
                Cell(text=signed(minus, places), sort=str(minus)),
                Cell(text=signed(plus + minus, places), sort=str(plus + minus)),
            )
        )
        for where, plus, minus in ninths(seen)
    )
    return Table(
        caption=caption,
        columns=(
            Column(head="Part of the picture"),
            Column(head="For", numeric=True),
            Column(head="Against", numeric=True),
            Column(head="Together", numeric=True),
        ),
        rows=rows,
        folded=True,
        screen=True,
    )


def digits(most: float) -> int:
    """Decimals that show a contribution of this size with two figures; at most six."""
    return min(6, max(2, 1 - math.floor(math.log10(most)))) if most > 0 else 2


def signed(value: float, places: int) -> str:
    """A contribution with its sign; a plain 0 where nothing is left of it."""
    text = numbers.plain(value, places)
    if not any(digit in text for digit in "123456789"):
        return "0"
    return text if text.startswith(numbers.MINUS) else f"+{text}"


def scale(most: float | None, ways: tuple[str, str], title: str) -> Drawing:
    """What the marks mean: against at the left, for at the right; amounts where all frames share them.

    ``ways`` are the words for against and for. Without ``most`` the tiles say how large a mark is beside the largest.
    """
    return Drawing(_scale(most, ways, title, WIDE), _scale(most, ways, title, NARROW))


def _scale(most: float | None, ways: tuple[str, str], title: str, width: float) -> Markup:
    tile, pitch = 22.0, 52.0
    narrow = width == NARROW
    left = (width - 5 * pitch) / 2
    top = 20.0 if narrow else 2.0
    drawn = []
    for place, part in enumerate((-1.0, -0.25, 0.0, 0.25, 1.0)):
        x = left + (place + 0.5) * pitch - tile / 2
        drawn.append(_tile(x, top, tile, part))
        drawn.append(
            words(x + tile / 2, top + tile + 13, _amount(part, most, place), ink="secondary", anchor="middle")
        )
    if narrow:
        room = width / 2 - 8
        drawn.append(words(0, 12, fitted(ways[0], room, SIZE)))
        drawn.append(words(width, 12, fitted(ways[1], room, SIZE), anchor="end"))
    else:
        room = left - 4
        drawn.append(words(left - 4, top + 15, fitted(ways[0], room, SIZE), anchor="end"))
        drawn.append(words(width - left + 4, top + 15, fitted(ways[1], room, SIZE)))
    return drawing(width, top + tile + 18, title, drawn)


def _amount(part: float, most: float | None, place: int) -> str:
    if most is None:
        return ("most", "a quarter", "none", "a quarter", "most")[place]
    return "0" if part == 0 else signed(part * most, digits(most / 4))


def _tile(x: float, y: float, side: float, part: float) -> Markup:
    """A piece of light grey with one mark, as it stands in the picture."""
    plate = Markup('<rect x="{}" y="{}" width="{}" height="{}" fill="{}"/>').format(
        f"{x:g}", f"{y:g}", side, side, PLATE
    )
    one = Heat(values=((part,),), block=1)
    if not part:
        return plate
    # As in the picture: the largest mark fills its place.
    reach = math.sqrt(abs(part))
    inner = marks(one, side * reach, side * reach)
    shift = side * (1 - reach) / 2
    moved = Markup('<g transform="translate({} {})">{}</g>').format(
        f"{x + shift:.1f}", f"{y + shift:.1f}", inner
    )
    return plate + moved


def spoken(seen: Heat, ways: tuple[str, str]) -> Iterator[str]:
    """What a reader without eyes is told of a map: where most of each way lies, and how much it is."""
    places = digits(seen.most)
    plus, minus = sums(seen)
    for way, total, said in ((1, plus, ways[1]), (-1, minus, ways[0])):
        where, share = mostly(seen, way)
        if where:
            yield f"{said}: {signed(total, places)} in all, {numbers.percent(share)} of it in the {where}"
        else:
            yield f"{said}: nothing"

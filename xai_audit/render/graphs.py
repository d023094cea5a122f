"""A graph as layers from top to bottom: a name where each node stands, a curve for each edge, thicker for more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from xai_audit.render import numbers
from xai_audit.render.ink import NARROW, SIZE, WIDE, Drawing, bend, box, drawing, words
from xai_audit.render.shown import Cell, Column, Line, Table
from xai_audit.render.visible import advance, fitted, name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xai_audit.evidence import Edge, Graph, Node

LAYER, STEP = 46.0, 20.0
"""Between two layers, and between two lines of one layer that is too wide for the page."""
ROOM = 58.0
"""Units that a node's name has, at least."""
STRONG = 0.25
"""Edges whose whole interval lies above this share of the largest effect are in the accent."""
ROWS = 20
"""Edges that the table lists; audit.json holds all."""


@dataclass(frozen=True)
class _Placed:
    x: float
    y: float
    layer: int
    text: str

    @property
    def half(self) -> float:
        """Half the width of its name."""
        return sum(map(advance, self.text)) * SIZE / 2


def graph(observation: Graph, title: str) -> Drawing:
    """The picture: layers are what stands before the first point of a node's name, in the order given."""
    return Drawing(_drawn(observation, title, WIDE), _drawn(observation, title, NARROW))


def strong(edge: Edge, edges: Sequence[Edge]) -> bool:
    """Whether an edge's whole interval lies above a share of the largest effect."""
    low = edge.estimate.low
    return low is not None and low > STRONG * max(one.estimate.value for one in edges)


def table(observation: Graph, caption: str, unit: str) -> Table:
    """The same in words: from, to and effect, the largest first."""
    told = {node.id: _label(node) for node in observation.nodes}
    edges = sorted(observation.edges, key=lambda edge: -edge.estimate.value)[:ROWS]
    places = numbers.shared_decimals(edge.estimate for edge in edges)
    more = len(observation.edges) - len(edges)
    return Table(
        caption=caption,
        columns=(Column(head="From"), Column(head="To"), Column(head=unit, numeric=True)),
        rows=tuple(
            Line(
                cells=(
                    Cell(text=told.get(edge.source, name(edge.source, 40))),
                    Cell(text=told.get(edge.target, name(edge.target, 40))),
                    Cell(text=numbers.number(edge.estimate, places), sort=str(edge.estimate.value)),
                )
            )
            for edge in edges
        ),
        notes=(f"and {more:,} more in audit.json.",) if more > 0 else (),
        folded=True,
    )


def _label(node: Node) -> str:
    return name(node.label or node.id, 40)


def _drawn(observation: Graph, title: str, width: float) -> Markup:
    owner = {node.id: node.site or node.id for node in observation.nodes}
    labels: dict[str, str] = {}
    for node in observation.nodes:
        # What reads for a part (its queries, keys and values) is drawn with it.
        labels.setdefault(owner[node.id], name(owner[node.id], 40) if node.site else _label(node))
    placed, height = _placed(labels, width)
    joined: dict[tuple[str, str], tuple[float, bool]] = {}
    for edge in observation.edges:
        ends = owner.get(edge.source, edge.source), owner.get(edge.target, edge.target)
        before = joined.get(ends, (0.0, False))
        joined[ends] = max(before[0], edge.estimate.value), before[1] or strong(edge, observation.edges)
    most = max((value for value, _ in joined.values()), default=1.0) or 1.0
    marks: list[Markup] = []
    for ends, (value, accent) in sorted(joined.items(), key=lambda one: (one[1][1], one[1][0], one[0])):
        if ends[0] in placed and ends[1] in placed:
            marks.append(
                _edge(placed[ends[0]], placed[ends[1]], value / most, accent=accent, middle=width / 2)
            )
    for one in placed.values():
        marks += [
            box(one.x - one.half - 3, one.y - 8, 2 * one.half + 6, 15, ink="ground"),
            words(one.x, one.y + 4, one.text, anchor="middle"),
        ]
    return drawing(width, height, title, marks)


def _placed(labels: Mapping[str, str], width: float) -> tuple[dict[str, _Placed], float]:
    layers: dict[str, list[str]] = {}
    for one in labels:
        # Of a latent, as blocks.1/63, the site; of all else what stands before the first dot.
        layers.setdefault(one.rpartition("/")[0] or one.partition(".")[0], []).append(one)
    room = max(
        ROOM,
        min(max((sum(map(advance, text)) * SIZE + 16 for text in labels.values()), default=ROOM), width / 3),
    )
    across = max(1, int(width // room))
    placed: dict[str, _Placed] = {}
    y = 12.0
    for layer, nodes in enumerate(layers.values()):
        for start in range(0, len(nodes), across):
            line = nodes[start : start + across]
            pitch = width / len(line)
            for place, one in enumerate(line):
                text = fitted(labels[one], pitch - 8, SIZE)
                placed[one] = _Placed(pitch * (place + 0.5), y, layer, text)
            y += STEP
        y += LAYER - STEP
    return placed, y - LAYER + 14


def _edge(start: _Placed, end: _Placed, share: float, *, accent: bool, middle: float) -> Markup:
    """From below the one to above the other; over other layers it goes round them, on the side that is nearer."""
    skipped = end.layer - start.layer - 1
    centre = (start.x + end.x) / 2
    side = -1 if centre < middle or (centre == middle and (start.layer + end.layer) % 2) else 1
    aside = side * min(36.0 * skipped, 110.0) if skipped > 0 else 0.0
    drop = (end.y - start.y) * 0.45
    points = (
        (start.x, start.y + 7),
        (start.x + aside, start.y + 7 + drop),
        (end.x + aside, end.y - 8 - drop),
        (end.x, end.y - 8),
    )
    return bend(points, ink="accent" if accent else "context", width=round(0.7 + 3.3 * share, 1))

"""Curves: lines with the interval of each point, each named at its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xai_audit.render import axes
from xai_audit.render.ink import NARROW, SIZE, WIDE, Drawing, dot, drawing, line, path, words
from xai_audit.render.visible import advance, fitted, name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

    from xai_audit.evidence import Curve, Series

SMALL = 215
"""Units of a picture that stands beside another in the text's width."""
LABEL = 110
"""Units beside a picture for the names of its lines."""
ROWS = 3
"""Rows that a name may take."""
SERIES = 7
"""Lines in one picture; the table says how many more there are."""
DASHES = ("", "", "5 3", "2 2", "8 3 2 3", "1 3", "10 3")
"""Of each line; the first is told by its ink."""
ROW, GAP, SAMPLE = 12, 3, 18
"""Units that a row of a name takes, that lie between two names, and that a piece of a line takes before its name."""
MOVED = 9
"""Units that a name may stand from its line's end and still be told by its place."""


def curve(observation: Curve, title: str, *, diagonal: bool = False) -> Drawing:
    """Lines with the interval of each point; the first series is the one that matters, each named at its end."""
    return Drawing(
        _curve(observation, title, WIDE, 180, diagonal=diagonal),
        _curve(observation, title, NARROW, 210, diagonal=diagonal),
    )


def small(observation: Curve, title: str, span: Sequence[float]) -> Drawing:
    """The same, half as wide and on a given scale, for a grid whose words say what the lines are; on paper alone."""
    drawn = _curve(observation, title, SMALL, 104, diagonal=False, span=span)
    return Drawing(drawn, drawn)


def reach(curves: Sequence[Curve]) -> tuple[float, ...]:
    """Every number that a scale shared by some curves must hold."""
    return tuple(
        v
        for curve in curves
        for s in curve.series[:SERIES]
        for p in s.points
        for v in (p.estimate.value, p.estimate.low, p.estimate.high)
        if v is not None
    )


def _curve(
    observation: Curve,
    title: str,
    width: float,
    height: float,
    *,
    diagonal: bool,
    span: Sequence[float] = (),
) -> Markup:
    """``span``: the numbers a shared scale must hold; then the names of lines and axes are left to the grid."""
    lines = observation.series[:SERIES]
    ys = span or reach([observation])
    xs = [p.x for s in lines for p in s.points]
    numeric = all(isinstance(x, (int, float)) for x in xs)
    order = list(dict.fromkeys(str(x) for x in xs))
    y_axis = axes.linear(ys, height, 8 if span else 24, unit=diagonal, pitch=32)
    names = _names(lines, y_axis, height) if len(lines) > 1 and not span else []
    sampled = any(one.moved for one in names)
    longest = max((_long(row) for one in names for row in one.rows), default=0.0)
    right = width - 20 - longest - SAMPLE * sampled
    if numeric:
        x_axis = axes.linear([float(x) for x in xs], 44, right, unit=diagonal)
    else:
        # Categories stand at whole numbers with half a step of air at both ends.
        x_axis = axes.Axis(-0.5, max(len(order) - 0.5, 0.5), 44, right, tuple(range(len(order))))

    def place(x: float | str) -> float:
        return x_axis.at(float(x) if numeric else float(order.index(str(x))))

    deep = 0.0
    marks = [line(44, y_axis.at(t), right, y_axis.at(t), ink="rule", width=0.8) for t in y_axis.ticks]
    marks += [
        words(36, y_axis.at(t) + 4, y_axis.label(t), ink="secondary", anchor="end") for t in y_axis.ticks
    ]
    if numeric:
        marks += [
            words(x_axis.at(t), height + 16, x_axis.label(t), ink="secondary", anchor="middle")
            for t in x_axis.ticks
        ]
    else:
        named, deep = _categories([name(x, 40) for x in order], x_axis, height + 16)
        marks += named
    if diagonal:
        marks.append(
            line(x_axis.at(0), y_axis.at(0), x_axis.at(1), y_axis.at(1), ink="ink", width=1, dash="4 3")
        )
    for index, series in enumerate(lines):
        ink = _ink(index)
        points = [(place(p.x), y_axis.at(p.estimate.value)) for p in series.points]
        for point, (x, _) in zip(series.points, points, strict=True):
            if (
                not point.estimate.exact
                and point.estimate.low is not None
                and point.estimate.high is not None
            ):
                marks.append(
                    line(
                        x, y_axis.at(point.estimate.low), x, y_axis.at(point.estimate.high), ink=ink, width=1
                    )
                )
        if numeric and not diagonal:
            marks.append(path(points, ink=ink, width=_width(index), dash=DASHES[index]))
        if len(points) <= 24:
            marks += [dot(x, y, ink=ink, radius=2 if span else 3) for x, y in points]
    for one in names:
        marks += _written(one, right, sampled=sampled, joined=numeric and not diagonal)
    if span:
        return drawing(width, height + 22 + deep, title, marks)
    marks.append(words(0, 12, name(observation.y or "", 60), ink="secondary"))
    marks.append(words(right, height + 32 + deep, name(observation.x, 60), ink="secondary", anchor="end"))
    lowest = max((one.baseline(len(one.rows) - 1) + 8 for one in names), default=0.0)
    return drawing(width, max(height + 38 + deep, lowest), title, marks)


@dataclass(frozen=True)
class _Name:
    """Where the name of a line stands."""

    index: int
    rows: tuple[str, ...]
    top: float
    moved: bool
    """Whether it stands so far from the end of its line that its place does not tell it."""

    def baseline(self, row: int) -> float:
        """Of a row of it."""
        return self.top + GAP / 2 + ROW * row + 10


def _ink(index: int) -> str:
    return "accent" if index == 0 else "context"


def _width(index: int) -> float:
    return 1.8 if index == 0 else 1.3


def _written(one: _Name, right: float, *, sampled: bool, joined: bool) -> list[Markup]:
    """A name beside the picture, after a piece of its line where it is ``sampled``: a dot where points are not joined."""
    ink = "accent" if one.index == 0 else "secondary"
    x = right + 8 + SAMPLE * sampled
    marks = [words(x, one.baseline(row), text, ink=ink) for row, text in enumerate(one.rows)]
    y = one.top + (GAP + ROW) / 2
    if sampled and joined:
        ink, width = _ink(one.index), _width(one.index)
        marks.append(line(right + 6, y, right + 22, y, ink=ink, width=width, dash=DASHES[one.index]))
    elif sampled:
        marks.append(dot(right + 14, y, ink=_ink(one.index), radius=3))
    return marks


def _names(lines: Sequence[Series], axis: axes.Axis, height: float) -> list[_Name]:
    """Names in the order in which lines end, each as near to its end as others and the axis below leave it."""
    ends = [
        (axis.at(series.points[-1].estimate.value), index)
        for index, series in enumerate(lines)
        if series.points
    ]
    ends.sort()
    rows = [wrapped(name(lines[index].name, 60), LABEL) for _, index in ends]
    sizes = [ROW * len(one) + GAP for one in rows]
    # Names that would stand in each other's way stand one below the other, around the mean of where they should.
    stacks: list[tuple[float, list[int]]] = []
    for place in range(len(ends)):
        top, members = _stack([place], ends, sizes, height)
        while stacks and stacks[-1][0] + sum(sizes[one] for one in stacks[-1][1]) > top:
            top, members = _stack([*stacks.pop()[1], *members], ends, sizes, height)
        stacks.append((top, members))
    found = []
    for start, members in stacks:
        top = start
        for one in members:
            y, index = ends[one]
            moved = not top - MOVED <= y <= top + sizes[one] + MOVED
            found.append(_Name(index, rows[one], top, moved or len(members) > 1))
            top += sizes[one]
    return found


def _stack(
    members: list[int], ends: Sequence[tuple[float, int]], sizes: Sequence[int], height: float
) -> tuple[float, list[int]]:
    """Where names that stand one below the other begin: nearest to where each should, and clear of the axis."""
    above, wanted = 0, []
    for one in members:
        wanted.append(ends[one][0] - sizes[one] / 2 - above)
        above += sizes[one]
    # The names of ticks stand below the axis.
    return max(min(sum(wanted) / len(wanted), height + 6.5 - above), 8.0), members


def wrapped(text: str, room: float) -> tuple[str, ...]:
    """A label in rows that fit a width, at most ROWS of them; what is left over is cut with an ellipsis."""
    rows: list[str] = []
    left = text.split(" ")
    while left and len(rows) < ROWS:
        taken = 1
        while taken < len(left) and _long(" ".join(left[: taken + 1])) <= room:
            taken += 1
        last = len(rows) == ROWS - 1
        rows.append(fitted(" ".join(left if last else left[:taken]), room, SIZE))
        left = left[taken:]
    return tuple(rows)


def _long(text: str) -> float:
    """About how wide a label is."""
    return sum(map(advance, text)) * SIZE


def _categories(labels: Sequence[str], axis: axes.Axis, top: float) -> tuple[list[Markup], float]:
    """The names below a categorical axis and how many units deeper than one row they reach.

    Names too long for their place stand in two storeys in turn, where each has twice the room.
    """
    room = (axis.right - axis.left) / max(len(labels), 1) - 4
    storeys = 1 if all(_long(label) <= room for label in labels) else 2
    each = [wrapped(label, room if storeys == 1 else 2 * room) for label in labels]
    heights = [
        max((len(rows) for rows in each[storey::storeys]), default=0) * 12 for storey in range(storeys)
    ]
    marks = []
    for place, rows in enumerate(each):
        storey = place % storeys
        y = top + sum(heights[:storey])
        x = axis.at(place)
        half = max(map(_long, rows), default=0.0) / 2
        # The first name of two storeys may reach over the end of its axis, but not out of the picture.
        x = max(x, half)
        marks += [words(x, y + 12 * k, row, ink="secondary", anchor="middle") for k, row in enumerate(rows)]
    return marks, sum(heights) - 12.0

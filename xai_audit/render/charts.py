"""Pictures of observations, one function for each shape, each drawn for the page and for a telephone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, assert_never

from markupsafe import Markup

from xai_audit.evidence import Cases, Curve, Graph, Groups, Matrix, Ranking, Scalar
from xai_audit.render import axes, numbers
from xai_audit.render.ink import NARROW, PITCH, SIZE, WIDE, arrow, box, dot, drawing, line, path, whisker, words
from xai_audit.render.visible import advance, fitted, name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xai_audit.evidence import Estimate, Observation
    from xai_audit.render.axes import Axis

ROWS = 40
"""Rows a picture of groups shows; the table holds all."""
RANKED = 20
SERIES = 7


class Drawing(NamedTuple):
    """One picture at both widths."""

    wide: Markup
    narrow: Markup


class Threshold(NamedTuple):
    """A line that numbers are held to, and which side of it is wrong."""

    value: float
    number: str
    side: Literal["at_least", "at_most"]
    basis: str
    """Where it comes from: ``convention, not law``, ``declared by the provider``."""

    @property
    def label(self) -> str:
        """The words at the line: ``0.80, convention, not law``."""
        return f"{self.number}, {self.basis}"

    @property
    def words(self) -> str:
        """The requirement: ``at least 0.80``."""
        return f"{'at least' if self.side == 'at_least' else 'at most'} {self.number}"

    def missed(self, estimate: Estimate) -> bool:
        """Whether the whole interval lies on the wrong side."""
        if self.side == "at_least":
            return estimate.high is not None and estimate.high < self.value
        return estimate.low is not None and estimate.low > self.value


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a dot-and-whisker picture."""

    label: str
    estimate: Estimate | None
    word: str = ""
    """What is printed where there is no number: ``no positives``, ``n < 10``."""
    n: str = ""
    strong: bool = False
    gap: bool = False
    """Whether a new block starts here."""
    rank: tuple[int, int] | None = None


def draw(observation: Observation, title: str, threshold: Threshold | None = None) -> Drawing:
    """The picture of any observation."""
    match observation:
        case Scalar():
            rows = [Row(label=title, estimate=observation.estimate, n=numbers.count(observation.estimate.n))]
            return dots(rows, title, unit=observation.unit or "", threshold=threshold)
        case Ranking():
            return ranking(observation, title)
        case Groups():
            return groups(observation, title, threshold)
        case Curve():
            return curve(observation, title)
        case Matrix():
            return strips(observation, title)
        case Cases():
            rows = [Row(label=f"{len(observation.cases)} single rows", estimate=None, word="see the table")]
            return dots(rows, title)
        case Graph():
            rows = [
                Row(label=f"{edge.source} → {edge.target}", estimate=edge.estimate)
                for edge in observation.edges[:ROWS]
            ]
            return dots(rows, title, unit="effect")
        case _:
            assert_never(observation)


def groups(observation: Groups, title: str, threshold: Threshold | None = None) -> Drawing:
    """A rate by group; groups by value, those without one last and named."""
    rows = [
        Row(
            label=", ".join(name(level, 60) for level in group.key.values()),
            estimate=group.estimate,
            word=group.reason or group.status,
            n=numbers.count(group.n) if group.n is not None else "",
            strong=bool(
                threshold
                and group.estimate
                and group.status == "measured"
                and threshold.missed(group.estimate)
            ),
        )
        for group in observation.groups
    ]
    return dots(rows, title, threshold=threshold)


def dots(
    rows: Sequence[Row],
    title: str,
    *,
    heads: tuple[str, str] = ("Group", "n"),
    unit: str = "",
    threshold: Threshold | None = None,
    log: bool = False,
    rate: bool = False,
) -> Drawing:
    """Dots on their intervals, a row each, against a threshold; ratios on a logarithmic axis centred on 1."""
    shown = rows[:ROWS]
    values = [
        v
        for row in shown
        if row.estimate
        for v in (row.estimate.value, row.estimate.low, row.estimate.high)
        if v is not None
    ]
    if threshold:
        values.append(threshold.value)
    unit_scale = (
        rate
        and all(0 <= v <= 1 for v in values)
        and max(values, default=1.0) - min(values, default=0.0) > 0.3
    )

    def axis(left: float, right: float) -> Axis:
        return axes.ratios(values, left, right) if log else axes.linear(values, left, right, unit=unit_scale)

    return Drawing(
        _dots_wide(shown, title, heads, unit, threshold, axis),
        _dots_narrow(shown, title, heads, unit, threshold, axis),
    )


def _dots_wide(
    rows: Sequence[Row],
    title: str,
    heads: tuple[str, str],
    unit: str,
    threshold: Threshold | None,
    axis: Callable[[float, float], Axis],
) -> Markup:
    counted = any(row.n for row in rows)
    ranked = any(row.rank for row in rows)
    n_right = 138.0
    left, right = (152.0 if counted else 140.0), (352.0 if ranked else WIDE - 12.0)
    scale = axis(left, right)
    top = 22.0
    marks = [words(0, 12, heads[0], ink="secondary")]
    if counted:
        marks.append(words(n_right, 12, heads[1], ink="secondary", anchor="end"))
    if ranked:
        marks.append(words(394, 12, "Rank", ink="secondary"))
    places: list[float] = []
    y = top
    for row in rows:
        y += PITCH + (8 if row.gap and places else 0)
        places.append(y - 4)
    bottom = y + 8
    marks += _grid(scale, top + 4, bottom, threshold)
    room = (n_right - 8 - len(heads[1]) * 5 if counted else left) - 12
    for row, middle in zip(rows, places, strict=True):
        base = middle + 4
        marks.append(words(0, base, fitted(row.label, room, SIZE)))
        if counted:
            marks.append(words(n_right, base, row.n, ink="secondary", anchor="end"))
        marks += _marked(row, scale, middle)
    if ranked:
        marks += _brackets(rows, places, 386)
    marks.append(words(right, bottom + 30, unit, ink="secondary", anchor="end"))
    return drawing(WIDE, bottom + (36 if unit else 20), title, marks)


def _dots_narrow(
    rows: Sequence[Row],
    title: str,
    heads: tuple[str, str],
    unit: str,
    threshold: Threshold | None,
    axis: Callable[[float, float], Axis],
) -> Markup:
    ranked = any(row.rank for row in rows)
    right = NARROW - 74.0 if ranked else NARROW - 8.0
    scale = axis(6, right)
    top = 22.0
    marks: list[Markup] = [words(NARROW - 48, 12, "Rank", ink="secondary")] if ranked else []
    places: list[float] = []
    y = top
    for row in rows:
        y += PITCH * 1.7 + (8 if row.gap and places else 0)
        places.append(y - 5)
    bottom = y + 4
    marks += _grid(scale, top, bottom, threshold, faint=True)
    for row, middle in zip(rows, places, strict=True):
        base = middle - 9
        counted = f"{heads[1]} {row.n}" if row.n else ""
        marks.append(words(0, base, fitted(row.label, right - 20 - len(counted) * 6, SIZE)))
        if counted:
            marks.append(words(right, base, counted, ink="secondary", anchor="end"))
        marks += _marked(row, scale, middle)
    if ranked:
        marks += _brackets(rows, places, NARROW - 58)
    marks.append(words(right, bottom + 30, unit, ink="secondary", anchor="end"))
    return drawing(NARROW, bottom + (36 if unit else 20), title, marks)


def _grid(
    scale: Axis, top: float, bottom: float, threshold: Threshold | None, *, faint: bool = False
) -> list[Markup]:
    """Grid lines with their numbers below, and the labelled threshold."""
    marks = [
        line(scale.at(t), top, scale.at(t), bottom, ink="rule", width=0.8, dash="2 3" if faint else "")
        for t in scale.ticks
    ]
    marks += [
        words(scale.at(t), bottom + 14, scale.label(t), ink="secondary", anchor="middle") for t in scale.ticks
    ]
    if threshold and scale.low <= threshold.value <= scale.high:
        x = scale.at(threshold.value)
        marks.append(line(x, top - 4, x, bottom, ink="ink", width=1.4))
        half = sum(5.4 for _ in threshold.label) / 2
        anchor: Literal["start", "middle", "end"] = "middle"
        if x + half > scale.right + 10:
            anchor, x = "end", scale.right + 10
        elif x - half < scale.left - 6:
            anchor, x = "start", scale.left - 6
        marks.append(words(x, top - 10, threshold.label, anchor=anchor))
    return marks


def _marked(row: Row, scale: Axis, y: float) -> list[Markup]:
    """A row's dot and whisker, or the word that stands for it."""
    if row.estimate is None:
        # The ground behind the word keeps the grid from running through it.
        ground = box(scale.left + 3, y - 7, sum(map(advance, row.word)) * SIZE + 8, 14, ink="ground")
        return [ground, words(scale.left + 6, y + 4, row.word, ink="secondary")]
    low = scale.left if row.estimate.low is None else scale.at(row.estimate.low)
    high = scale.right if row.estimate.high is None else scale.at(row.estimate.high)
    return [whisker(low, scale.at(row.estimate.value), high, y, strong=row.strong)]


def _brackets(rows: Sequence[Row], places: Sequence[float], x: float) -> list[Markup]:
    """A bracket round neighbours that share their ranks, and the ranks beside it."""
    marks: list[Markup] = []
    start = 0
    while start < len(rows):
        end = start
        while end + 1 < len(rows) and rows[end + 1].rank == rows[start].rank and not rows[end + 1].gap:
            end += 1
        rank = rows[start].rank
        if rank:
            label = str(rank[0]) if rank[0] == rank[1] else f"{rank[0]} to {rank[1]}"
            marks.append(words(x + 8, (places[start] + places[end]) / 2 + 4, label))
        if end > start:
            above, below = places[start] - 6, places[end] + 6
            marks.append(path([(x - 4, above), (x, above), (x, below), (x - 4, below)], ink="ink", width=1))
        start = end + 1
    return marks


def ranking(observation: Ranking, title: str) -> Drawing:
    """Named numbers in order; those whose order is not settled share a bracket and a range of ranks."""
    items = observation.items[:RANKED]
    rows = []
    before: tuple[int, int] | None = None
    for item in items:
        rank = (item.rank_low, item.rank_high)
        rows.append(
            Row(
                label=name(item.name, 60),
                estimate=item.estimate,
                rank=rank,
                gap=before is not None and rank != before,
                strong=item.rank_low == 1,
            )
        )
        before = rank
    values = [
        v
        for row in rows
        if row.estimate
        for v in (row.estimate.value, row.estimate.low, row.estimate.high)
        if v is not None
    ]

    def axis(left: float, right: float) -> Axis:
        return axes.linear(values, left, right, zero=True)

    heads = ("Input", "n")
    unit = observation.unit or ""
    return Drawing(
        _dots_wide(rows, title, heads, unit, None, axis), _dots_narrow(rows, title, heads, unit, None, axis)
    )


def curve(observation: Curve, title: str, *, diagonal: bool = False) -> Drawing:
    """Lines with the interval of each point; the first series is the one that matters, each named at its end."""
    return Drawing(
        _curve(observation, title, WIDE, 210, diagonal=diagonal),
        _curve(observation, title, NARROW, 210, diagonal=diagonal),
    )


def _curve(observation: Curve, title: str, width: float, height: float, *, diagonal: bool) -> Markup:
    lines = observation.series[:SERIES]
    labels = [name(series.name, 24) for series in lines] if len(lines) > 1 else []
    right = width - 12 - min(max((len(label) for label in labels), default=0) * 5.8 + 8, 120)
    ys = [
        v
        for s in lines
        for p in s.points
        for v in (p.estimate.value, p.estimate.low, p.estimate.high)
        if v is not None
    ]
    xs = [p.x for s in lines for p in s.points]
    numeric = all(isinstance(x, (int, float)) for x in xs)
    order = list(dict.fromkeys(str(x) for x in xs))
    y_axis = axes.linear(ys, height, 24, unit=diagonal, pitch=32)
    if numeric:
        x_axis = axes.linear([float(x) for x in xs], 44, right, unit=diagonal)
    else:
        # Categories stand at whole numbers with half a step of air at both ends.
        x_axis = axes.Axis(-0.5, max(len(order) - 0.5, 0.5), 44, right, tuple(range(len(order))))

    def place(x: float | str) -> float:
        return x_axis.at(float(x) if numeric else float(order.index(str(x))))

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
        room = (right - 44) / max(len(order), 1) - 4
        marks += [
            words(
                x_axis.at(i), height + 16, fitted(name(x, 40), room, SIZE), ink="secondary", anchor="middle"
            )
            for i, x in enumerate(order)
        ]
    if diagonal:
        marks.append(
            line(x_axis.at(0), y_axis.at(0), x_axis.at(1), y_axis.at(1), ink="ink", width=1, dash="4 3")
        )
    ends: list[float] = []
    for index, series in enumerate(lines):
        ink = "accent" if index == 0 else "context"
        dash = ("", "", "5 3", "2 2", "8 3 2 3", "1 3", "10 3")[index]
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
            marks.append(path(points, ink=ink, width=1.8 if index == 0 else 1.3, dash=dash))
        if len(points) <= 24:
            marks += [dot(x, y, ink=ink, radius=3) for x, y in points]
        if labels and points:
            y = points[-1][1]
            while any(abs(y - other) < 12 for other in ends):
                y += 12
            ends.append(y)
            marks.append(words(right + 8, y + 4, labels[index], ink="accent" if index == 0 else "secondary"))
    marks.append(words(0, 12, name(observation.y or "", 60), ink="secondary"))
    marks.append(words(right, height + 32, name(observation.x, 60), ink="secondary", anchor="end"))
    return drawing(width, height + 38, title, marks)


def strips(observation: Matrix, title: str) -> Drawing:
    """A row of counts over a numeric axis as a strip whose height is the count; other rows likewise."""
    return Drawing(_strips(observation, title, WIDE), _strips(observation, title, NARROW))


def _strips(observation: Matrix, title: str, width: float) -> Markup:
    narrow = width == NARROW
    left, right = (4.0, width - 6.0) if narrow else (152.0, width - 12.0)
    pitch = 34.0 if narrow else 22.0
    top = 22.0
    rows = list(zip(observation.rows, observation.values, strict=True))[:RANKED]
    most = max((v for _, values in rows for v in values if v is not None), default=0.0) or 1.0
    columns = observation.columns
    step = (right - left) / max(len(columns), 1)
    marks = [words(0, 12, name(observation.row_title or "", 60), ink="secondary")]
    bottom = top + pitch * len(rows) + 2
    for k in _sample(len(columns), 5):
        x = left + step * (k + 0.5)
        marks.append(line(x, top, x, bottom, ink="rule", width=0.8))
        anchor: Literal["start", "middle", "end"] = (
            "start" if narrow and k == 0 else "end" if k == len(columns) - 1 else "middle"
        )
        marks.append(words(x, bottom + 14, name(columns[k], 14), ink="secondary", anchor=anchor))
    for index, (label, values) in enumerate(rows):
        middle = top + pitch * (index + 1) - (9 if narrow else 8)
        base = middle - 13 if narrow else middle + 4
        marks.append(words(0, base, fitted(name(label, 60), right - 8 if narrow else 128, SIZE)))
        marks.append(line(left, middle, right, middle, ink="rule", width=0.8))
        # The square root keeps a lone row visible beside a thousand.
        reach = [8.5 * ((v or 0.0) / most) ** 0.5 for v in values]
        outline = [(left + step * (k + 0.5), middle - h) for k, h in enumerate(reach)]
        mirror = [(left + step * (k + 0.5), middle + h) for k, h in reversed(list(enumerate(reach)))]
        if any(reach):
            marks.append(area([*outline, *mirror], ink="context"))
    marks.append(
        words(right, bottom + 30, name(observation.column_title or "", 60), ink="secondary", anchor="end")
    )
    return drawing(width, bottom + 36, title, marks)


def _sample(size: int, most: int) -> list[int]:
    """At most ``most`` places spread over ``size``, both ends among them."""
    if size <= most:
        return list(range(size))
    return sorted({round(k * (size - 1) / (most - 1)) for k in range(most)})

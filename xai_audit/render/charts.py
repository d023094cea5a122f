"""Pictures of observations, one function for each shape, each drawn for the page and for a telephone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, assert_never

from markupsafe import Markup

from xai_audit.evidence import Cases, Curve, Graph, Groups, Matrix, Ranking, Scalar
from xai_audit.render import axes, numbers
from xai_audit.render.arrows import arrows
from xai_audit.render.counts import strips
from xai_audit.render.curves import curve
from xai_audit.render.graphs import graph
from xai_audit.render.ink import (
    NARROW,
    PITCH,
    SIZE,
    WIDE,
    Drawing,
    Threshold,
    box,
    drawing,
    line,
    path,
    whisker,
    words,
)
from xai_audit.render.visible import advance, fitted, name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from xai_audit.evidence import Estimate, Observation
    from xai_audit.render.axes import Axis

ROWS = 40
"""Rows a picture of groups shows; the table holds all."""
RANKED = 20


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


def draw(  # noqa: PLR0911  # a return for each shape
    observation: Observation, title: str, threshold: Threshold | None = None
) -> Drawing:
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
            return arrows(observation.cases[0], title)
        case Graph():
            return graph(observation, title)
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
    # A narrow picture has its labels above the dots, where they have room, and no heads.
    beside, short = _short(heads, shown)
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
        _dots_wide(short, title, beside, unit, threshold, axis),
        _dots_narrow(shown, title, heads, unit, threshold, axis),
    )


LABEL = 100.0
"""Units that a label surely has beside its dot."""


def _short(heads: tuple[str, str], rows: Sequence[Row]) -> tuple[tuple[str, str], list[Row]]:
    """Groups without the column that all of them begin with, where a label would be cut; it heads them then.

    A row for the whole stands first and stays as it is.
    """
    column = rows[-1].label.partition(" ")[0] if rows else ""
    start = 0 if rows and rows[0].label.startswith(f"{column} ") else 1
    bare = [row.label.removeprefix(f"{column} ") for row in rows[start:]]
    same = all(short and short != row.label for short, row in zip(bare, rows[start:], strict=True))
    cut = any(sum(map(advance, row.label)) * SIZE > LABEL for row in rows)
    if heads[0] != "Group" or not same or not cut:
        return heads, list(rows)
    return (column, heads[1]), [
        *rows[:start],
        *(replace(row, label=label) for row, label in zip(rows[start:], bare, strict=True)),
    ]


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
    # The head over the numbers may be longer than they are; the labels below it need not give way to it.
    beside = max((sum(map(advance, row.n)) * SIZE for row in rows), default=0.0)
    room = (n_right - beside if counted else left) - 12
    for row, middle in zip(rows, places, strict=True):
        base = middle + 4
        marks.append(words(0, base, fitted(row.label, room, SIZE)))
        if counted:
            marks.append(words(n_right, base, row.n, ink="secondary", anchor="end"))
        marks += _marked(row, scale, middle)
    if ranked:
        marks += _brackets(rows, places, 386)
    if unit:
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
        label = fitted(row.label, right - 20 - len(counted) * 6, SIZE)
        # The ground behind the label keeps the threshold from running through it.
        marks += [
            box(0, base - 10, sum(map(advance, label)) * SIZE + 2, 13, ink="ground"),
            words(0, base, label),
        ]
        if counted:
            marks.append(words(right, base, counted, ink="secondary", anchor="end"))
        marks += _marked(row, scale, middle)
    if ranked:
        marks += _brackets(rows, places, NARROW - 58)
    if unit:
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
        words(_inside(scale, t), bottom + 14, scale.label(t), ink="secondary", anchor="middle")
        for t in scale.ticks
    ]
    if threshold and scale.low <= threshold.value <= scale.high:
        x = scale.at(threshold.value)
        marks.append(line(x, top - 4, x, bottom, ink="ink", width=1.4))
        half = sum(map(advance, threshold.label)) * SIZE / 2
        anchor: Literal["start", "middle", "end"] = "middle"
        if x + half > scale.right + 8:
            anchor, x = "end", scale.right + 8
        elif x - half < scale.left - 6:
            anchor, x = "start", scale.left - 6
        marks.append(words(x, top - 10, threshold.label, anchor=anchor))
    return marks


def _inside(scale: Axis, tick: float) -> float:
    """Where a tick's number stands: below it, but not over the picture's left edge or far past the axis."""
    half = sum(map(advance, scale.label(tick))) * SIZE / 2
    return min(max(scale.at(tick), half), scale.right + 8 - half)


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


def ranking(observation: Ranking, title: str, what: str = "Input") -> Drawing:
    """Named numbers in order; those whose order is not settled share a bracket and a range of ranks.

    ``what`` heads the names.
    """
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

    heads = (what, "n")
    unit = observation.unit or ""
    return Drawing(
        _dots_wide(rows, title, heads, unit, None, axis), _dots_narrow(rows, title, heads, unit, None, axis)
    )

"""Names of lines: in the order in which the lines end, clear of each other and of the axis, told by a piece of the line."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xai_audit.evidence import Curve, Point, Series, exactly
from xai_audit.render import curves

TEXT = re.compile(r'<text x="([\d.]+)" y="([\d.]+)" [^>]*text-anchor="start"[^>]*>(line[^<]*)</text>')
SAMPLE = re.compile(
    r'<line x1="([\d.]+)" y1="([\d.]+)" x2="([\d.]+)" y2="([\d.]+)"[^>]*?(stroke-dasharray="([^"]*)")?/>'
)


def drawn(ends: list[float], *, top: float = 10.0) -> str:
    """Lines named by their numbers, from 0 to their ends; a last number of the first one sets the scale."""
    series = [
        Series(
            name=f"line {place}",
            points=tuple(
                Point(x=float(x), estimate=exactly(y, 3))
                for x, y in ((0, top if place == 0 else 0.0), (1, end))
            ),
        )
        for place, end in enumerate(ends)
    ]
    return str(curves.curve(Curve(series=tuple(series), x="step", y="loss"), "Loss").wide)


def named(svg: str) -> dict[str, float]:
    return {text: float(y) for _, y, text in TEXT.findall(svg)}


@given(st.lists(st.floats(0, 10), min_size=2, max_size=7))
@example([0.0, 7.0, 0.0, 0.0])
@example([0.0] * 7)
@settings(max_examples=60, deadline=None)
def test_names_stand_in_the_order_of_the_ends_and_clear_of_each_other(ends: list[float]) -> None:
    svg = drawn(ends)
    where = named(svg)
    assert len(where) == len(ends)
    order = sorted(where, key=where.__getitem__)
    reached = [ends[int(name.removeprefix("line "))] for name in order]
    assert all(above >= below - 0.06 for above, below in pairwise(reached))
    rows = [where[name] for name in order]
    assert all(below - above >= 14 for above, below in pairwise(rows))
    assert rows[0] >= 16
    assert rows[-1] <= 180 + 4, "a name stands among those of the ticks"


def test_lines_that_end_apart_are_named_beside_their_ends_without_a_sample() -> None:
    svg = drawn([1.0, 5.0, 9.0])
    where = named(svg)
    assert [where[f"line {place}"] for place in range(3)] == sorted(where.values(), reverse=True)
    assert len({x for x, *_ in TEXT.findall(svg)}) == 1
    right = float(TEXT.findall(svg)[0][0])
    assert not [one for one in SAMPLE.findall(svg) if float(one[0]) > right - 30]


@pytest.mark.parametrize("count", [2, 4, 7])
def test_lines_that_end_together_are_told_by_a_piece_of_each(count: int) -> None:
    svg = drawn([0.0] * count)
    right = float(TEXT.findall(svg)[0][0])
    samples = {float(y): dash for x, y, _, _, _, dash in SAMPLE.findall(svg) if float(x) > right - 30}
    where = named(svg)
    assert len(samples) == count
    told = {place: min(samples, key=lambda y: abs(y + 4 - where[f"line {place}"])) for place in range(count)}
    assert [samples[told[place]] for place in range(count)] == list(curves.DASHES[:count])

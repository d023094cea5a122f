from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xai_audit.render import axes

FINITE = st.floats(-1e9, 1e9, allow_nan=False)


@given(st.lists(FINITE, min_size=1, max_size=20))
def test_a_linear_axis_holds_every_value_between_round_ticks(values: list[float]):
    axis = axes.linear(values, 0, 300)
    span = axis.high - axis.low
    assert axis.low <= min(values) + 1e-9 * span
    assert axis.high >= max(values) - 1e-9 * span
    assert 2 <= len(axis.ticks) <= 14
    assert list(axis.ticks) == sorted(axis.ticks)
    for value in values:
        assert 0 <= axis.at(value) <= 300


def test_an_axis_may_run_backwards_down_a_page():
    axis = axes.linear([0, 1], 200, 20)
    assert axis.at(0) == 200
    assert axis.at(1) == 20


@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=9))
def test_one_stands_in_the_middle_of_a_ratio_axis(values: list[float]):
    axis = axes.ratios(values, 100, 400)
    assert axis.at(1.0) == pytest.approx(250)
    assert 1.0 in axis.ticks
    assert math.isclose(axis.low * axis.high, 1, rel_tol=1e-9)


def test_half_and_double_stand_equally_far_from_one():
    axis = axes.ratios([0.5, 2], 0, 200)
    assert 100 - axis.at(0.5) == pytest.approx(axis.at(2.0) - 100)


def test_labels_are_whole_where_they_can_be():
    axis = axes.linear([0, 0.16], 0, 200)
    assert [axis.label(t) for t in axis.ticks] == ["0", "0.05", "0.10", "0.15", "0.20"]

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.render.audits import between
from xai_audit.evidence import Estimate, exactly
from xai_audit.render import numbers


def test_an_estimate_prints_with_its_interval_and_n_unbroken():
    assert (
        numbers.number(between(0.72, 0.58, 0.89, 442), n=True)
        == "0.72\u00a0[0.58,\u00a00.89], n\u00a0=\u00a0442"
    )


@pytest.mark.parametrize(
    ("value", "low", "high", "printed"),
    [
        (0.61, 0.52, 0.69, "0.61 [0.52, 0.69]"),
        (0.112, 0.1, 0.125, "0.112 [0.100, 0.125]"),
        (0.4, 0.05, 0.62, "0.40 [0.05, 0.62]"),
        (45.31, 41.2, 49.9, "45 [41, 50]"),
        (-0.02, -0.05, 0.01, "−0.02 [−0.05, 0.01]"),
        (0.0004, -0.01, 0.01, "below 0.001 [−0.010, 0.010]"),
        (1234.5, 1000.0, 1500.0, "1,234 [1,000, 1,500]"),
    ],
)
def test_as_many_digits_as_the_interval_supports(value: float, low: float, high: float, printed: str):
    assert numbers.number(between(value, low, high, 9)).replace("\u00a0", " ") == printed


def test_an_unbounded_limit_is_an_infinity_with_a_round_bracket():
    assert (
        numbers.number(Estimate(value=2.0, low=1.0, high=None, n=3)).replace("\u00a0", " ")
        == "2.000 [1.000, ∞)"
    )


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (0.0, "0"),
        (12.0, "12"),
        (0.6, "0.6"),
        (1 / 3, "0.333"),
        (3e-7, "below\u00a00.001"),
        (1e-16, "below\u00a00.001"),
    ],
)
def test_an_exact_number_has_no_brackets_and_claims_no_digits(value: float, printed: str):
    assert numbers.number(exactly(value, 4)) == printed


@given(st.floats(-1e6, 1e6), st.integers(0, 6))
def test_no_number_is_a_negative_zero_or_has_a_hyphen(value: float, places: int):
    text = numbers.plain(value, places)
    assert "-" not in text
    assert not (text.startswith("−") and float(text[1:].replace(",", "")) == 0)


def test_a_column_shares_the_decimals_of_its_middle_interval():
    wide, middle, narrow = (
        between(0.5, 0.1, 0.9, 9),
        between(0.5, 0.4, 0.6, 9),
        between(0.5, 0.4999, 0.5001, 9),
    )
    assert numbers.shared_decimals([wide, middle, narrow, None]) == 2


def test_dates_counts_and_lists_read_as_people_write_them():
    assert (
        numbers.day(date(2026, 11, 14))
        == numbers.day("2026-11-14T09:00:00+00:00")
        == "14\u00a0November\u00a02026"
    )
    assert numbers.day("soon") == "soon"
    assert numbers.about(3270) == "3,300"
    assert numbers.some(1, "rule") == "1\u00a0rule"
    assert numbers.some(3000, "rule") == "3,000\u00a0rules"
    assert [numbers.joined(x) for x in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
    assert numbers.short("9f3c71ab00") == "9f3c\u00a071ab"

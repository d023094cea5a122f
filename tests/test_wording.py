"""Findings in words."""

from __future__ import annotations

import pytest

from tests.test_judge import GOOD, only, rule, scalar
from xai_audit import wording
from xai_audit.deciding import Threshold
from xai_audit.evidence import Estimate, exactly


def between(value: float, low: float | None, high: float | None) -> Estimate:
    return Estimate(value=value, low=low, high=high, n=442)


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (between(0.72, 0.58, 0.89), "0.72 [0.58, 0.89]"),
        (between(0.7213, 0.7201, 0.7225), "0.7213 [0.7201, 0.7225]"),
        (between(0.5, 0.0, 1.0), "0.50 [0.00, 1.00]"),
        (between(-0.04, -0.1, 0.02), "−0.04 [−0.10, 0.02]"),
        (between(2.0, None, None), "2 (−∞, ∞)"),
        (exactly(3, 10), "3"),
        (exactly(1, 10), "1"),
        (exactly(0.5, 10), "0.5"),
        (exactly(1 / 3, 10), "0.333"),
        (exactly(3650, 1), "3,650"),
    ],
)
def test_numbers_have_the_digits_their_interval_supports(estimate: Estimate, text: str) -> None:
    assert wording.number(estimate) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.8, "0.80"), (0.05, "0.05"), (0.001, "0.001"), (1, "1"), (0, "0"), (184, "184"), (0.123, "0.123")],
)
def test_thresholds_are_printed_as_they_were_set(number: float, text: str) -> None:
    assert wording.level(number) == text


@pytest.mark.parametrize(
    ("rows", "text"), [(7, "7"), (95, "95"), (1201, "1,300"), (3300, "3,300"), (12_999, "13,000")]
)
def test_rows_are_told_to_two_figures_rounded_up(rows: int, text: str) -> None:
    assert wording.about(rows) == text


def test_lists_are_joined_and_cut() -> None:
    assert [wording.joined(list("abc"[:n])) for n in range(4)] == ["none", "a", "a and b", "a, b and c"]
    assert wording.joined([str(i) for i in range(9)]) == "0, 1, 2, 3, 4 and 4 more"


def test_thresholds_in_words() -> None:
    assert wording.asked(Threshold("at_least", 0.8)) == "at least 0.80"
    assert wording.asked(Threshold("at_least", 0, strict=True)) == "more than 0"
    assert wording.asked(Threshold("equals", 0)) == "exactly 0"
    assert wording.required(rule(at_most=0.1)) == "at most 0.10"
    assert wording.required(rule(attested="data_gaps")) == "stated by a named person"
    assert wording.required(rule(evidence="primary", at_least="declared")) == "at the declared level"


def test_a_count_is_told_beside_what_is_asked() -> None:
    counted = scalar("r_1", exactly(0.333, 12), title="Failures on unusual input")
    assert (
        only(rule(equals=0, basis="derived"), counted).message
        == "failures on unusual input: 0.333, and exactly 0 is asked"
    )
    assert (
        only(rule(at_most=0.5), counted).message
        == "failures on unusual input: 0.333 (at most 0.50 asked by convention, not law)"
    )


def test_a_strict_threshold_is_passed_by_being_above_it() -> None:
    found = only(rule(at_least=0, strict=True), scalar("r_1", GOOD, title="Gain"))
    assert found.message == "gain 0.900 [0.880, 0.920] is above 0 (convention, not law)"
    assert found.threshold == "more than 0"


def test_titles_lose_their_capital_but_for_names() -> None:
    for title, text in (
        ("ROC AUC", "ROC AUC"),
        ("Annex IV statements present", "Annex IV statements present"),
        ("Recall", "recall"),
    ):
        assert wording.quantity(scalar("x", exactly(1, 1), title=title), which="auto") == text


def test_missing_statements_say_who_can_supply_them() -> None:
    assert wording.statements(["data_gaps"]).startswith("not stated: known gaps and shortcomings of the data")
    assert "the data steward can say" in wording.statements(["data_gaps"])
    assert (
        wording.statements(["oversight.a", "oversight.b"])
        == "2 statements are missing: oversight.a and oversight.b"
    )
    assert "signs" in wording.statements(["signatories"])


def test_an_exact_number_shows_the_figures_that_tell_it_from_its_threshold() -> None:
    assert wording.number(exactly(0.0014, 10)) == "0.0014"
    assert wording.number(exactly(1 / 3, 30)) == "0.333"
    assert wording.number(exactly(4.4e-14, 10)) == "below 0.000001"
    assert wording.number(exactly(0.0, 10)) == "0"

"""Published and made again: where they part is named, and what was not expected is too."""

from __future__ import annotations

import pytest

from xai_audit.verify.explained.agreement import Among, Beside, Near, Open, Stated, compared, largest

RIGHT = {"estimate": {"value": 0.25, "low": 0.125, "high": 1e-17, "n": 9, "limits": None}, "unit": None}


def wrong(published, expected):
    return [one.what for one in compared(published, expected, "observation") if one.kind == "broken"]


def test_the_same_and_what_differs_by_rounding_agree():
    assert wrong(RIGHT, RIGHT) == []
    assert wrong({**RIGHT, "estimate": {**RIGHT["estimate"], "high": 0.0}}, RIGHT) == []
    assert wrong({**RIGHT, "estimate": {**RIGHT["estimate"], "low": 0.125 * (1 + 1e-12)}}, RIGHT) == []
    assert wrong({**RIGHT, "more": None}, RIGHT) == []


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("low", 0.1250001, "observation.estimate.low is 0.1250001; made again it is 0.125"),
        ("low", None, "observation.estimate.low is none; made again it is 0.125"),
        ("n", 8, "observation.estimate.n is 8; made again it is 9"),
        ("n", True, "observation.estimate.n is True; made again it is 9"),
        ("limits", {}, "observation.estimate.limits is {}; made again it is none"),
        ("more", 3, "observation.estimate.more is 3; nothing gives it"),
    ],
)
def test_what_is_not_the_same_is_named_with_both_numbers(key, value, said):
    assert wrong({**RIGHT, "estimate": {**RIGHT["estimate"], key: value}}, RIGHT) == [said]


def test_lists_are_named_by_their_entries_and_must_be_as_long():
    items = [{"name": "income", "rank_low": 1}, {"name": "age", "rank_low": 2}]
    other = [{"name": "income", "rank_low": 2}, {"name": "age", "rank_low": 2}]
    assert wrong({"items": other}, {"items": items}) == [
        "observation.items[income].rank_low is 2; made again it is 1"
    ]
    assert wrong({"items": items[:1]}, {"items": items}) == [
        "observation.items has 1 entries; 2 were made again"
    ]
    assert wrong({"items": None}, {"items": items}) == ["observation.items has 0 entries; 2 were made again"]
    assert wrong(3, {"items": items}) == ["observation is 3; made again it is several numbers"]


def test_rounded_open_and_stated_numbers_and_sentences():
    cell = Near(0.12345, 0.0005, 3)
    assert [wrong(value, cell) != [] for value in (0.123, 0.1234, 0.125, None, "a")] == [
        False, True, True, True, True,
    ]  # fmt: skip
    (left,) = compared(0.5, Open("it is not kept"), "observation.low")
    assert (left.kind, left.what) == ("open", "observation.low: it is not kept")
    assert list(compared(None, Open("it is not kept"), "low")) == []
    assert [one.kind for one in compared(3, Stated("cells"), "value")] == ["stated"]
    assert [one.kind for one in compared(3, Stated("text", lambda one: isinstance(one, str)), "value")] == [
        "broken", "stated",
    ]  # fmt: skip
    assert wrong(["a", "b"], [Among("b")]) == []
    assert wrong(["a"], [Among("b")]) == ["observation does not say 'b'"]


def test_a_value_that_is_partly_made_again_must_stand_and_is_told():
    given = Beside(0.25, Open("its halves are not kept"))
    assert [(one.kind, one.what) for one in compared(0.25, given, "x")] == [
        ("open", "x: its halves are not kept")
    ]
    assert [one.kind for one in compared(0.3, given, "x")] == ["broken", "open"]
    assert [one.kind for one in compared("a", Beside("a", Stated("the rows")), "x")] == ["stated"]
    assert largest({"a": given}) == 0.25

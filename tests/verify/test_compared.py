"""What two observations differ in: the path, and both numbers."""

from __future__ import annotations

from typing import Any

import pytest

from xai_audit.verify.compared import differences, numbers

ESTIMATE = {
    "value": 0.5,
    "low": 0.4,
    "high": None,
    "n": 12,
    "limits": {"0.9": [0.41, 0.6], "0.99": [0.3, None]},
}
GROUPS = {
    "groups": [{"key": {"sex": "f", "age": "<30"}, "n": 4}, {"key": {"sex": "m", "age": "<30"}, "n": 5}]
}


def changed(value: Any, *way: Any, to: Any) -> Any:
    import copy

    made = copy.deepcopy(value)
    place = made
    for step in way[:-1]:
        place = place[step]
    place[way[-1]] = to
    return made


def test_what_is_the_same_differs_in_nothing() -> None:
    assert list(differences(ESTIMATE, ESTIMATE)) == []
    assert list(differences(GROUPS, {"groups": GROUPS["groups"][::-1]})) == []
    assert list(differences(changed(ESTIMATE, "value", to=0.5 + 1e-10), ESTIMATE)) == []


@pytest.mark.parametrize(
    ("way", "to", "said"),
    [
        (("value",), 0.50000001, "value is 0.50000001; recomputed it is 0.5"),
        (("high",), 0.9, "high is 0.9; recomputed it is None"),
        (("low",), None, "low is None; recomputed it is 0.4"),
        (("n",), 13, "n is 13; recomputed it is 12"),
        (("limits", "0.9", 1), 0.61, "limits[0.9].high is 0.61; recomputed it is 0.6"),
        (("limits", "0.99", 0), 0.31, "limits[0.99].low is 0.31; recomputed it is 0.3"),
    ],
)
def test_a_number_is_named_by_its_place(way: tuple[Any, ...], to: Any, said: str) -> None:
    assert list(differences(changed(ESTIMATE, *way, to=to), ESTIMATE)) == [said]


def test_groups_are_known_by_their_key() -> None:
    fewer, more = {"groups": GROUPS["groups"][:1]}, {"groups": [*GROUPS["groups"], GROUPS["groups"][0]]}
    assert list(differences(fewer, GROUPS)) == ["groups[age=<30, sex=m] is not there"]
    assert list(differences(GROUPS, fewer)) == ["groups[age=<30, sex=m] is there and should not be"]
    assert list(differences(more, GROUPS)) == ["groups[age=<30, sex=f] is there more than once"]


def test_true_is_no_number_and_one_is_not_true() -> None:
    assert list(differences({"missing": True}, {"missing": 1})) == ["missing is True; recomputed it is 1"]
    assert list(differences({"between": ["a", "b"]}, {"between": None})) == [
        "between is ['a', 'b']; recomputed it is None"
    ]
    assert numbers([True, None, "7", 3, 0.5, {"a": [1]}]) == 3


def test_rounding_beside_larger_numbers_is_no_difference() -> None:
    one = {"value": 0.0, "low": -1e5, "high": 1e5, "n": 3}
    assert list(differences({**one, "value": 1e-9}, one)) == []
    assert list(differences({**one, "value": 1e-3}, one)) == ["value is 0.001; recomputed it is 0"]


def test_points_too_close_to_be_told_apart_are_known_by_their_place() -> None:
    """As those of a model that is sure of itself: the last bins of a calibration curve lie at 1."""
    curve = {
        "points": [{"x": x, "estimate": {"value": y}} for x, y in ((0.5, 0.4), (0.9999999, 1.0), (1.0, 0.9))]
    }
    assert list(differences(curve, curve)) == []
    swapped = {"points": [curve["points"][0], *curve["points"][:0:-1]]}
    assert any("points[1]" in one for one in differences(swapped, curve))
    fewer = {"points": curve["points"][:2]}
    assert list(differences(fewer, curve)) == ["points has 2 entries; recomputed it has 3"]

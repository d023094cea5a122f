"""Which groups are hidden so that none follows from the others; what it leaves a reader is attacked in test_leaks.py."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.metrics.subjects import classifier, crossing, grouping, observed
from xai_audit import withholding
from xai_audit.errors import said
from xai_audit.metrics.probability import merged
from xai_audit.withholding import WITHHELD, withhold


def one(sizes: dict[str, int], minimum: int = 10, labels: int = 2) -> dict[str, str]:
    """The reasons of one column's groups, of which every label has its share."""
    people = {
        ((name,), (str(label), None)): size // labels + (label < size % labels)
        for name, size in sizes.items() for label in range(labels)
    }  # fmt: skip
    found = withhold(["g"], {key: count for key, count in people.items() if count}, [["g"]], minimum)
    return {name: found.of({"g": name}) for name in sizes}


def test_nothing_small_hides_nothing() -> None:
    assert one({"a": 40, "b": 10}) == {"a": "", "b": ""}
    assert one({"a": 40, "b": 1}, minimum=0) == one({"a": 40, "b": 1}, minimum=1) == {"a": "", "b": ""}


def test_a_lone_small_group_takes_the_next_smallest() -> None:
    assert one({"a": 100, "b": 50, "c": 4}) == {"a": "", "b": WITHHELD, "c": "n < 10"}
    assert one({"a": 50, "b": 100, "c": 4}) == {"a": WITHHELD, "b": "", "c": "n < 10"}
    assert one({"a": 100, "b": 4}) == {"a": WITHHELD, "b": "n < 10"}


def test_the_next_smallest_is_one_that_leaves_the_size_open() -> None:
    # 1 and 10 would add up to 11: with the second at least 10, the first is 1.
    assert one({"a": 100, "b": 40, "c": 10, "d": 1})["b"] == WITHHELD


def test_two_small_groups_are_not_left_to_be_one() -> None:
    # What is left of everybody would be these six people, and what they are labelled and told.
    assert one({"a": 100, "b": 50, "c": 2, "d": 4}) == {"a": "", "b": WITHHELD, "c": "n < 10", "d": "n < 10"}
    assert one({"a": 100, "b": 50, "c": 5, "d": 7}) == {"a": "", "b": "", "c": "n < 10", "d": "n < 10"}


def test_a_label_that_no_hidden_person_has_is_not_given_away() -> None:
    # Nobody in b and c has label y: by subtraction, none of c has. So a goes with them, where some have.
    people = {
        (("a",), ("x", None)): 60, (("a",), ("y", None)): 30, (("b",), ("x", None)): 20, (("c",), ("x", None)): 4,
        (("d",), ("x", None)): 500, (("d",), ("y", None)): 100,
    }  # fmt: skip
    found = withhold(["g"], people, [["g"]], 10)
    told = {name: found.of({"g": name}) for name in "abcd"}
    assert (told["a"], told["c"], told["d"]) == (WITHHELD, "n < 10", "")


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_nothing_depends_on_the_order_of_anything(seed: int) -> None:
    draw = np.random.default_rng(seed)
    people: dict = {}
    for _ in range(int(draw.integers(60, 300))):
        key = (str(draw.choice(list("abc"), p=[0.8, 0.15, 0.05])), str(draw.integers(0, 4)))
        place = (key, (str(draw.integers(0, 2)), str(draw.integers(0, 2))))
        people[place] = people.get(place, 0) + 1
    tables = [("x",), ("y",), ("x", "y")]
    turned = {((key[1], key[0]), outcome): count for (key, outcome), count in reversed(people.items())}
    assert withhold(["x", "y"], people, tables, 10) == withhold(["y", "x"], turned, tables[::-1], 10)


def test_over_the_limit_crossings_are_withheld_and_it_is_said(monkeypatch) -> None:
    monkeypatch.setattr(withholding, "LIMIT", 10)
    draw = np.random.default_rng(0)
    labels, sides = (
        draw.choice(list("abc"), 300, p=[0.6, 0.385, 0.015]).tolist(),
        draw.choice(list("uv"), 300).tolist(),
    )
    first, second = grouping("g", labels), grouping("h", sides)
    subject = classifier(None, draw.integers(0, 2, 300), [first, second, crossing(first, second)])
    known = subject.withholding(10)
    assert known.note.startswith("every crossing is withheld: 12 combinations")
    assert set(subject.hidden(subject.groupings[2], 10)) == {WITHHELD}
    assert subject.hidden(second, 10) == ["", ""]
    assert subject.hidden(first, 10) == ["", WITHHELD, "n < 10"]


def test_parts_of_a_small_group_are_not_listed() -> None:
    labels, sides = ["a"] * 150 + ["b"] * 100 + ["c"] * 6, ["u", "v"] * 128
    first, second = grouping("g", labels), grouping("h", sides)
    subject = classifier(None, [0, 1, 1, 0] * 64, [first, second, crossing(first, second)])
    table = observed(subject, "selection_rate")["selection_rate/g+h"].observation
    assert [group.key for group in table.groups if group.key["g"] == "c"] == []
    assert {group.key["g"] for group in table.groups} == {"a", "b"}


# ---------------------------------------------------------------------------- numbers that gave groups away elsewhere
def test_no_background_counts_the_rows_without_a_value_that_may_not_be_told() -> None:
    draw = np.random.default_rng(1)
    labels = ["a"] * 150 + ["b"] * 100 + ["c"] * 47 + [None] * 3
    true, scores = draw.integers(0, 2, 300), draw.random(300)
    subject = classifier(true, (scores >= 0.5).astype(int), [grouping("g", labels)], scores=scores)
    table = observed(subject, "bpsn_auc")["bpsn_auc/g"].observation
    (group,) = (group for group in table.groups if group.key["g"] == "a")
    inside = np.arange(300) < 150
    assert group.count == (true[~inside] == 1).sum() + (true[inside] == 0).sum()


def test_a_pooled_difference_leaves_out_the_levels_that_are_not_shown() -> None:
    from dataclasses import replace

    draw = np.random.default_rng(2)
    groups = np.where(draw.random(600) < 0.5, "a", "b")
    levels = draw.choice(["x", "y", "z"], 600, p=[0.6, 0.38, 0.02])
    within = replace(grouping("within", levels.tolist()), explanatory=True)
    subject = classifier(None, draw.integers(0, 2, 600), [grouping("g", groups.tolist()), within])
    piece = observed(subject, "conditional_demographic_parity_difference")[
        "conditional_demographic_parity_difference/g+within"
    ]
    shown = [group.n for group in piece.observation.groups if group.n is not None]
    assert 0 < len(shown) < 3
    assert piece.observation.summary.difference.n == sum(shown)
    assert "Levels that are not shown are not pooled." in piece.limits


@given(st.lists(st.integers(1, 30), min_size=1, max_size=10), st.integers(0, 20))
def test_small_bins_join_their_neighbours(sizes: list[int], least: int) -> None:
    edges = np.cumsum([0, *sizes])
    bins = [np.arange(low, high) for low, high in pairwise(edges.tolist())]
    found = merged(bins, least)
    if sum(sizes) < least:
        assert found == []
    else:
        assert np.concatenate(found).tolist() == list(range(sum(sizes)))
        assert all(len(one) >= least for one in found)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("could not convert string to float: 'Anna Smith'", "could not convert string to float: ..."),
        ("Found unknown categories ['Oslo', nan] in column 0", "Found unknown categories ... in column 0"),
        ("[Errno 2] No such file: /home/anna/data/test.csv", "... No such file: ..."),
        (r"cannot open C:\Users\anna\test.csv now", "cannot open ... now"),
        ("it doesn't fit, and won't", "it doesn't fit, and won't"),
        ("", "no message"),
    ],
)
def test_a_librarys_message_quotes_no_cell_and_no_path(message: str, told: str) -> None:
    assert said(ValueError(message)) == told

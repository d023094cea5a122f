"""The rule of suppression in verify, held to the one that measured."""

from __future__ import annotations

import numpy as np

from tests.metrics.subjects import crossing, grouping
from xai_audit.metrics.grouped import hidden, sizes
from xai_audit.subject import Grouping
from xai_audit.verify import withheld


def random_groupings(seed: int) -> list[Grouping]:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(20, 160))
    singles = [
        grouping(name, rng.choice(list("abcdef")[: rng.integers(2, 7)], n, p=None).tolist())
        for name in ("x", "y", "z")
    ]
    pair = crossing(singles[0], singles[1])
    return [*singles, pair, crossing(pair, singles[2])]


def test_it_withholds_what_was_withheld() -> None:
    several = 0
    for seed in range(200):
        for one in random_groupings(seed):
            theirs = hidden(one, 10)
            assert withheld.reasons(one.keys, sizes(one).tolist(), 10) == theirs
            several += len(set(theirs)) == 3
    assert several > 30  # tables that show some, hide some, and withhold some beside them


def test_nothing_is_withheld_where_nothing_is_small() -> None:
    assert withheld.reasons([{"a": "1"}, {"a": "2"}], [10, 11], 10) == ["", ""]
    assert withheld.reasons([{"a": "1"}, {"a": "2"}, {"a": "3"}], [3, 11, 12], 10) == [
        "n < 10",
        "withheld",
        "",
    ]
    assert withheld.reasons([], [], 10) == []

from types import SimpleNamespace

import numpy as np
import pytest

from tests.explainers.bench import Bench
from tests.metrics.subjects import classifier
from xai_audit import intervals as iv
from xai_audit.evidence import Estimate
from xai_audit.explainers.examples.group_shares import group_shares
from xai_audit.method import NoParams
from xai_audit.subject import Grouping


class Levels(Bench):
    def estimate(self, value, intervals, n):
        low, high = intervals[0]
        return Estimate(value=value, low=low, high=high, n=n)


CONTEXT = Levels(None, NoParams(), SimpleNamespace(id="x"))


def shares(sizes, event, missing=()):
    codes = np.repeat(np.arange(len(sizes)), sizes)
    names = tuple({"g": chr(97 + place)} for place in range(len(sizes)))
    grouping = Grouping(("g",), names, codes, tuple(place in missing for place in range(len(sizes))))
    rows = np.arange(len(codes))
    subject = classifier([0, 1] * (len(codes) // 2) + [0] * (len(codes) % 2), [1] * len(codes), [grouping])
    return group_shares(subject, grouping, rows, event(codes, rows), CONTEXT)


def test_a_share_by_group_has_its_interval_and_the_widest_gap():
    found = shares([100, 50], lambda codes, rows: (codes == 0) | (rows % 2 == 0))
    one, two = found.groups
    assert (one.estimate.value, two.estimate.value) == (1, 0.5)
    assert (two.estimate.low, two.estimate.high) == pytest.approx(iv.rate(25, 50, [0.95])[0])
    assert found.summary.difference.value == pytest.approx(0.5)
    assert found.summary.between == ("b", "a")
    assert found.overall.value == pytest.approx(125 / 150)


def test_small_groups_are_withheld_with_the_next_smallest():
    found = shares([100, 40, 5], lambda _, rows: rows % 2 == 0)
    assert [one.status for one in found.groups] == ["measured", "suppressed", "suppressed"]
    assert [one.reason for one in found.groups] == [None, "withheld", "n < 10"]
    assert all(one.n is None and one.estimate is None for one in found.groups[1:])
    assert found.summary is None


def test_groups_under_the_minimum_and_missing_ones_are_shown_and_not_compared():
    found = shares([100, 60, 20, 40], lambda _, rows: rows % 2 == 0, missing=(3,))
    assert [one.status for one in found.groups] == ["measured", "measured", "insufficient", "measured"]
    assert found.groups[3].missing
    assert found.summary.pairs == 1

"""Intervals of ROC curves: against other people's code, bits that row order cannot move, and short simulations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit
from sklearn.metrics import (
    roc_auc_score,
)

from tests.test_intervals_rows import LEVEL, at_least, ends, holds, sound
from xai_audit import intervals as iv
from xai_audit import intervals_roc as roc

scores = st.lists(st.integers(-8, 8).map(lambda i: i / 4), min_size=1, max_size=30)
classes = st.tuples(scores, scores)


@given(classes)
@settings(max_examples=100, deadline=None)
def test_auc_is_scikit_learns_and_turns_round(both: tuple[list[float], list[float]]) -> None:
    positives, negatives = both
    found = roc.auc(positives, negatives, iv.LEVELS)
    labels = [1] * len(positives) + [0] * len(negatives)
    assert found[0] == pytest.approx(roc_auc_score(labels, positives + negatives), abs=1e-12)
    assert sound(found)
    assert all(0 <= low <= high <= 1 for low, high in ends(found[1]))
    value, limits = roc.auc(negatives, positives, iv.LEVELS)
    assert value == pytest.approx(1 - found[0], abs=1e-15)
    turned = [end for low, high in ends(limits) for end in (1 - high, 1 - low)]
    assert turned == pytest.approx([end for pair in ends(found[1]) for end in pair], abs=1e-12)


def test_auc_interval_is_delongs_joined_with_newcombes() -> None:
    rng = np.random.default_rng(5)
    pos, neg = rng.normal(1, 2, 40), rng.normal(0, 1, 60)
    wins = (pos[:, None] > neg) + 0.5 * (pos[:, None] == neg)
    value = wins.mean()
    error = math.sqrt(wins.mean(axis=1).var(ddof=1) / 40 + wins.mean(axis=0).var(ddof=1) / 60)
    reach = stats.t.ppf(0.975, 39) * error / (value * (1 - value))
    delong = expit(math.log(value / (1 - value)) + np.array([-reach, reach]))
    found, limits = roc.auc(pos, neg, LEVEL)
    low, high = ends(limits)[0]

    def newcombe(at: float) -> float:
        spread = 1 + 49 * ((1 - at) / (2 - at) + at / (1 + at))
        return float((value - at) ** 2 / (at * (1 - at) * spread / 2400) - stats.norm.ppf(0.975) ** 2)

    assert found == pytest.approx(value, abs=1e-15)
    assert (low == pytest.approx(delong[0], abs=1e-9)) or newcombe(low) == pytest.approx(0, abs=1e-6)
    assert (high == pytest.approx(delong[1], abs=1e-9)) or newcombe(high) == pytest.approx(0, abs=1e-6)
    assert low <= delong[0] + 1e-9
    assert high >= delong[1] - 1e-9
    assert newcombe(low) >= -1e-6
    assert newcombe(high) >= -1e-6


def test_perfect_separation_still_doubts() -> None:
    value, limits = roc.auc([2.0] * 10, [1.0] * 10, LEVEL)
    assert value == 1.0
    assert 0.6 < ends(limits)[0][0] < 0.9
    assert ends(limits)[0][1] == 1.0
    assert ends(roc.auc([2.0], [1.0], LEVEL)[1])[0][0] < 0.4
    assert ends(roc.auc([1.0], [2.0], LEVEL)[1])[0][0] == 0.0


@pytest.mark.parametrize("bad", [([], [1.0]), ([1.0], []), ([math.nan], [1.0])])
def test_auc_refuses_what_has_no_order(bad: tuple[list[float], list[float]]) -> None:
    with pytest.raises(ValueError, match="both classes"):
        roc.auc(*bad, LEVEL)


@pytest.mark.parametrize("spread", [1.0, 2.0])
@pytest.mark.parametrize("area", [0.7, 0.99])
def test_auc_holds_the_truth_at_ten_per_class(area: float, spread: float) -> None:
    rng = np.random.default_rng(31)
    shift = stats.norm.ppf(area) * math.sqrt(1 + spread**2)
    runs = 400
    found = (roc.auc(rng.normal(shift, spread, 10), rng.normal(0, 1, 20), LEVEL) for _ in range(runs))
    assert sum(holds(area, one) for one in found) / runs >= at_least(0.93, runs)


@given(st.lists(classes, min_size=2, max_size=4))
@settings(max_examples=40, deadline=None)
def test_auc_differences_nest_and_hold_what_was_seen(groups: list[tuple[list[float], list[float]]]) -> None:
    assert sound(roc.auc_difference(groups[0], groups[1], iv.LEVELS))
    found = roc.largest_auc_difference(groups, iv.LEVELS)
    assert sound(found)
    assert roc.largest_auc_difference(groups[::-1], iv.LEVELS) == found
    areas = [roc.auc(*group, LEVEL)[0] for group in groups]
    assert found[0] == max(areas) - min(areas)


def test_two_groups_alike_rarely_show_an_auc_difference() -> None:
    rng = np.random.default_rng(32)
    runs = 300
    hits = 0
    for _ in range(runs):
        a, b = ((rng.normal(1, 1, 20), rng.normal(0, 1, 30)) for _ in range(2))
        hits += holds(0.0, roc.auc_difference(a, b, LEVEL))
    assert hits / runs >= at_least(0.94, runs)


def test_row_order_changes_no_bit() -> None:
    rng = np.random.default_rng(36)
    pos, neg = rng.normal(1, 1, 90).round(1), rng.normal(0, 1, 130).round(1)
    first = roc.auc(pos, neg, iv.LEVELS)
    for seed in range(4):
        other = np.random.default_rng(seed)
        assert roc.auc(other.permutation(pos), other.permutation(neg), iv.LEVELS) == first


def test_abroca_does_not_depend_on_row_order() -> None:
    rng = np.random.default_rng(37)
    groups = [(rng.random(40).round(2), rng.random(50).round(2)) for _ in range(2)]
    mixed = [(rng.permutation(pos), rng.permutation(neg)) for pos, neg in groups]
    first = roc.abroca(groups[0], groups[1], iv.LEVELS, np.random.default_rng(1))
    assert roc.abroca(mixed[0], mixed[1], iv.LEVELS, np.random.default_rng(1)) == first
    assert sound(first)


def test_abroca_is_the_exact_area() -> None:
    rng = np.random.default_rng(38)
    perfect, useless = ([2.0] * 5, [1.0] * 5), ([1.0] * 5, [1.0] * 5)
    value, limits = roc.abroca(perfect, useless, iv.LEVELS, rng)
    assert value == 0.5
    assert limits[-1] == (0.0, 1.0)
    # One curve goes by (0, .5) and (1, .5), the other is the diagonal: two triangles of 1/8.
    split = ([3.0, 0.0], [1.0, 1.0])
    assert roc.abroca(split, useless, LEVEL, rng)[0] == pytest.approx(0.25)
    a, b = ((rng.normal(1, 1, 30).round(1), rng.normal(0, 1, 40).round(1)) for _ in range(2))
    fine = (np.arange(40000) + 0.5) / 40000
    heights = []
    for pos, neg in (a, b):
        cuts = np.unique(np.concatenate([pos, neg, [np.inf]]))[::-1]
        heights.append(
            np.interp(fine, [(neg >= cut).mean() for cut in cuts], [(pos >= cut).mean() for cut in cuts])
        )
    area = np.abs(heights[0] - heights[1]).mean()
    assert roc.abroca(a, b, LEVEL, rng)[0] == pytest.approx(area, abs=2e-4)


def test_abroca_of_perfect_groups_still_doubts() -> None:
    perfect = ([2.0] * 10, [1.0] * 10)
    value, limits = roc.abroca(perfect, perfect, LEVEL, np.random.default_rng(1))
    assert value == 0.0
    assert ends(limits)[0][1] > 0.1


def test_abroca_holds_the_truth_of_equal_curves() -> None:
    rng, own = (np.random.default_rng(seed) for seed in (39, 40))
    hits = 0
    for _ in range(12):
        a, b = ((rng.normal(1, 1, 40), rng.normal(0, 1, 40)) for _ in range(2))
        hits += holds(0.0, roc.abroca(a, b, LEVEL, own))
    assert hits >= 10


def test_auc_sums_placements_beyond_64_bits_exactly() -> None:
    placements = np.full(3, 2**31, dtype=np.int64)
    placements[0] = 0
    expected = np.array([0.0, 1.0, 1.0]).var(ddof=1) / 3
    assert roc._placement_variance(placements, 2**31) == pytest.approx(expected, rel=1e-15)

"""Intervals for rows: against other people's code, bits that row order cannot move, and short simulations."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import (
    brier_score_loss,
    log_loss,
    r2_score,
    root_mean_squared_error,
)

from xai_audit import intervals as iv
from xai_audit import intervals_rows as from_rows
from xai_audit.intervals_rows import Measured

LEVEL = [0.95]
scores = st.lists(st.integers(-8, 8).map(lambda i: i / 4), min_size=1, max_size=30)
classes = st.tuples(scores, scores)
numbers = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=40)


def ends(limits: list[iv.Interval]) -> list[tuple[float, float]]:
    found = []
    for low, high in limits:
        pair = (-math.inf if low is None else low, math.inf if high is None else high)
        assert all(type(end) is float and not math.isnan(end) for end in pair)
        assert pair[0] <= pair[1]
        found.append(pair)
    return found


def sound(found: Measured, *, around: bool = True) -> bool:
    """Whether levels nest and, where it should be, the value is inside the narrowest."""
    value, limits = found
    pairs = ends(limits)
    slack = 1e-12 * max(abs(value), 1)
    inside = pairs[0][0] - slack <= value <= pairs[0][1] + slack
    nest = all(b[0] <= a[0] and a[1] <= b[1] for a, b in pairwise(pairs))
    return type(value) is float and nest and (inside or not around)


def holds(truth: float, found: Measured) -> bool:
    low, high = ends(found[1])[0]
    return low <= truth <= high


def at_least(share: float, runs: int) -> float:
    return share - 2 * math.sqrt(share * (1 - share) / runs)


@given(numbers, numbers)
@settings(max_examples=80, deadline=None)
def test_means_are_students_and_welchs(a: list[float], b: list[float]) -> None:
    found = from_rows.mean(a, iv.LEVELS)
    assert sound(found)
    assert found[0] == pytest.approx(np.mean(a), abs=1e-9)
    error = np.std(a, ddof=1) / math.sqrt(len(a))
    low, high = ends(found[1])[1]
    assert high - low == pytest.approx(2 * error * stats.t.ppf(0.975, len(a) - 1), rel=1e-6, abs=1e-9)
    found = from_rows.mean_difference(a, b, iv.LEVELS)
    assert sound(found)
    assert sound(from_rows.largest_mean_difference([a, b, a[::-1]], iv.LEVELS))


def test_difference_of_means_is_scipys() -> None:
    rng = np.random.default_rng(33)
    a, b = rng.normal(0, 1, 12), rng.normal(1, 4, 40)
    reference = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert ends(from_rows.mean_difference(a, b, LEVEL)[1])[0] == pytest.approx(
        (reference.low, reference.high)
    )


def test_one_value_has_no_interval_and_none_no_mean() -> None:
    assert from_rows.mean([3.0], LEVEL) == (3.0, [(None, None)])
    assert from_rows.mean_difference([3.0], [1.0, 2.0], LEVEL) == (1.5, [(None, None)])
    assert from_rows.largest_mean_difference([[3.0], [1.0, 2.0]], LEVEL) == (1.5, [(0.0, None)])
    with pytest.raises(ValueError, match="at least one"):
        from_rows.mean([], LEVEL)
    with pytest.raises(ValueError, match="missing or infinite"):
        from_rows.mean([1.0, math.nan], LEVEL)


def test_error_measures_are_scikit_learns() -> None:
    rng = np.random.default_rng(34)
    truth, predicted = rng.normal(0, 3, 200), rng.normal(0, 1, 200)
    predicted += truth
    found = from_rows.root_mean_square(truth - predicted, iv.LEVELS)
    assert sound(found)
    assert found[0] == pytest.approx(root_mean_squared_error(truth, predicted), rel=1e-12)
    found = from_rows.r_squared(truth, predicted, iv.LEVELS)
    assert sound(found)
    assert found[0] == pytest.approx(r2_score(truth, predicted), rel=1e-12)
    assert from_rows.r_squared([1.0, 2.0], [1.0, 2.0], LEVEL) == (1.0, [(1.0, 1.0)])
    assert from_rows.root_mean_square([0.0, 0.0], LEVEL) == (0.0, [(0.0, 0.0)])
    with pytest.raises(ValueError, match="does not vary"):
        from_rows.r_squared([1.0, 1.0], [1.0, 2.0], LEVEL)


def test_score_losses_are_scikit_learns() -> None:
    rng = np.random.default_rng(35)
    chance = rng.random(300)
    labels = (rng.random(300) < chance).astype(int)
    chance[:2] = labels[:2]
    brier, loss = from_rows.brier(chance, labels, iv.LEVELS), from_rows.log_loss(chance, labels, iv.LEVELS)
    assert sound(brier)
    assert sound(loss)
    assert brier[0] == pytest.approx(brier_score_loss(labels, chance), rel=1e-12)
    assert ends(from_rows.brier([0.1, 0.9], [0, 0], LEVEL)[1]) == [(0.0, 1.0)]
    assert ends(from_rows.log_loss([0.1, 0.9], [0, 0], LEVEL)[1])[0][0] == 0.0
    assert loss[0] == pytest.approx(log_loss(labels, chance), rel=1e-9)


def test_row_order_changes_no_bit() -> None:
    rng = np.random.default_rng(36)
    s = rng.random(257).round(2)
    y = (rng.random(257) < s).astype(int)
    w, c = rng.random(257), rng.integers(0, 20, 257)

    def everything(order: np.ndarray) -> list[object]:
        a, b, weights, clusters = s[order], y[order], w[order].tolist(), c[order].tolist()
        pos, neg = a[b == 1], a[b == 0]
        return [
            from_rows.mean(a * 1e9 / 7, iv.LEVELS),
            from_rows.mean_difference(pos, neg, iv.LEVELS),
            from_rows.root_mean_square(a, iv.LEVELS),
            from_rows.r_squared(b, a, iv.LEVELS),
            from_rows.brier(a, b, iv.LEVELS),
            from_rows.log_loss(a, b, iv.LEVELS),
            from_rows.calibration_in_the_large(a, b, iv.LEVELS),
            from_rows.rms_calibration_error(a, b, iv.LEVELS),
            from_rows.expected_calibration_error(a, b),
            from_rows.effective(b, weights, clusters),
            from_rows.clustered_mean(a, weights, clusters, iv.LEVELS),
        ]

    first = everything(np.arange(257))
    for seed in range(4):
        shuffled = everything(np.random.default_rng(seed).permutation(257))
        assert shuffled == first


@given(
    st.lists(st.tuples(st.integers(0, 20).map(lambda i: i / 20), st.integers(0, 1)), min_size=1, max_size=80)
)
@settings(max_examples=80, deadline=None)
def test_calibration_is_defined_for_any_scores(rows: list[tuple[float, int]]) -> None:
    s, y = zip(*rows, strict=True)
    value, limits = from_rows.rms_calibration_error(s, y, iv.LEVELS)
    assert sound((value, limits), around=False)
    assert all(0 <= low <= high <= 1 for low, high in ends(limits))
    assert value <= ends(limits)[0][1] + 1e-12
    plain, chance = from_rows.expected_calibration_error(s, y)
    assert 0 <= plain <= value + 1e-12
    assert 0 <= chance <= 0.5
    assert sound(from_rows.calibration_in_the_large(s, y, iv.LEVELS))


def test_calibration_bins_never_part_equal_scores() -> None:
    s = np.repeat([0.1, 0.4, 0.9], [50, 100, 150])
    y = np.r_[np.ones(10), np.zeros(40), np.ones(30), np.zeros(70), np.ones(150)].astype(int)
    gaps = np.array([0.1, 0.1, 0.1])
    assert from_rows.expected_calibration_error(s, y)[0] == pytest.approx((gaps * [50, 100, 150]).sum() / 300)
    assert from_rows.rms_calibration_error(s, y, LEVEL)[0] == pytest.approx(0.1)
    assert [size for size, *_ in from_rows._bins(np.arange(150) / 150, np.zeros(150, dtype=int), 15)] == [
        10
    ] * 15


@pytest.mark.parametrize(("s", "y"), [([0.5], []), ([], []), ([1.5], [1]), ([0.5], [2]), ([math.nan], [1])])
def test_calibration_refuses_what_is_no_probability(s: list[float], y: list[int]) -> None:
    with pytest.raises(ValueError, match="calibration needs"):
        from_rows.rms_calibration_error(s, y, LEVEL)


def test_calibration_error_of_right_scores_is_chance() -> None:
    rng = np.random.default_rng(41)
    s = np.sort(rng.beta(1, 5, 300))
    found = [from_rows.expected_calibration_error(s, (rng.random(300) < s).astype(int)) for _ in range(400)]
    assert np.mean([value for value, _ in found]) == pytest.approx(found[0][1], rel=0.04)


@pytest.mark.parametrize("worse", [0.0, 0.15])
def test_rms_calibration_error_holds_the_truth(worse: float) -> None:
    rng = np.random.default_rng(42)
    s = np.sort(rng.beta(2, 3, 600))
    p = np.where(s > 0.6, s - worse, s)
    place = np.repeat(np.arange(15), 40)
    truth = math.sqrt(((np.bincount(place, s - p) / 40) ** 2).mean())
    runs = 300
    found = (
        from_rows.rms_calibration_error(s, (rng.random(600) < p).astype(int), LEVEL) for _ in range(runs)
    )
    assert sum(holds(truth, one) for one in found) / runs >= at_least(0.92, runs)


def test_effective_counts_never_exceed_the_raw_ones() -> None:
    assert from_rows.effective([1, 0, 1, 1]) == (3.0, 4.0)
    x, n = from_rows.effective([1, 0, 1, 1], [1, 2, 3, 2])
    assert n == pytest.approx(64 / 18)
    assert x / n == pytest.approx(6 / 8)
    assert from_rows.effective([1, 0, 1], [1, 1, 0]) == (1.0, 2.0)
    for bad in ([0, 0], [-1, 2]):
        with pytest.raises(ValueError, match="weights"):
            from_rows.effective([1, 0], bad)


def test_clusters_that_agree_within_count_once() -> None:
    who = np.repeat(np.arange(30), 10).tolist()
    same = np.repeat([1, 0] * 15, 10).tolist()
    x, n = from_rows.effective(same, None, who)
    assert 20 < n <= 30
    assert x == pytest.approx(n / 2)
    # Nothing varies, so nothing shows how alike the rows of a cluster are.
    assert 20 < from_rows.effective([1] * 300, None, who)[1] <= 30
    assert from_rows.effective([1, 0, 1], None, ["a", "a", "a"])[1] == 1.0
    # Rows that undo each other within a cluster would look like more than they are.
    assert 250 < from_rows.effective([1, 0] * 150, None, who)[1] <= 300


@given(
    st.lists(st.tuples(st.integers(0, 1), st.floats(0.01, 10), st.integers(0, 5)), min_size=1, max_size=60)
)
@settings(max_examples=80, deadline=None)
def test_effective_counts_fit_every_interval(rows: list[tuple[int, float, int]]) -> None:
    y, w, c = zip(*rows, strict=True)
    x, n = from_rows.effective(y, w, c)
    assert 0 <= x <= n <= len(rows)
    iv.rate(x, n, iv.LEVELS)
    iv.rate_ratio(x, n, 3, 10, iv.LEVELS)
    iv.rate_difference(x, n, 3, 10, iv.LEVELS)
    assert sound(from_rows.clustered_mean(y, w, c, iv.LEVELS))


def test_clustered_mean_without_clusters_is_students() -> None:
    values = [1.0, 2.0, 4.0, 8.0]
    ours, students = from_rows.clustered_mean(values, None, None, LEVEL), from_rows.mean(values, LEVEL)
    assert ours[0] == students[0]
    assert ends(ours[1])[0] == pytest.approx(ends(students[1])[0], rel=1e-12)
    assert from_rows.clustered_mean(values, None, [1] * 4, LEVEL)[1] == [(None, None)]


def test_share_in_clusters_is_held() -> None:
    rng = np.random.default_rng(43)
    who = np.repeat(np.arange(15), 8)
    runs = 400
    hits = 0
    for _ in range(runs):
        y = rng.binomial(1, np.repeat(rng.beta(1.2, 2.8, 15), 8))
        low, high = ends(iv.rate(*from_rows.effective(y, None, who.tolist()), LEVEL))[0]
        hits += low <= 0.3 <= high
    assert hits / runs >= at_least(0.93, runs)

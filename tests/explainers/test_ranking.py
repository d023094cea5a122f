import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.explainers.bench import Bench
from xai_audit.explainers.ranking import agreement, ranked, top_of
from xai_audit.method import NoParams


class Named:
    id = "x"


CONTEXT = Bench(None, NoParams(), Named)


def order(values, draws=None):
    draws = np.zeros((1, values.shape[1])) if draws is None else draws
    return ranked([f"i{j}" for j in range(values.shape[1])], values, draws, CONTEXT)


def test_intervals_are_students_over_rows():
    values = np.random.default_rng(0).random((30, 2))
    for item in order(values).items:
        column = values[:, int(item.name[1:])]
        low, high = stats.t.interval(0.95, 29, column.mean(), column.std(ddof=1) / np.sqrt(30))
        assert (item.estimate.low, item.estimate.high) == (pytest.approx(low), pytest.approx(high))
        assert item.estimate.limits["0.99"][0] < item.estimate.low


def test_draws_widen_intervals_and_undo_orders():
    rng = np.random.default_rng(0)
    values = np.column_stack([1 + 0.01 * rng.random(50), 1.1 + 0.01 * rng.random(50)])
    sure = order(values)
    assert [(item.rank_low, item.rank_high) for item in sure.items] == [(1, 1), (2, 2)]
    shaken = order(values, np.column_stack([1 + 0.1 * rng.normal(size=20), 1.1 + 0.1 * rng.normal(size=20)]))
    assert [(item.rank_low, item.rank_high) for item in shaken.items] == [(1, 2), (1, 2)]
    assert shaken.items[0].estimate.high > sure.items[0].estimate.high


def test_twins_tie_whatever_their_rounding():
    values = np.random.default_rng(0).random((40, 1)) + 1
    twins = np.column_stack([values, values * (1 + 1e-15), values + 5])
    ranks = {item.name: (item.rank_low, item.rank_high) for item in order(twins).items}
    assert ranks == {"i2": (1, 1), "i0": (2, 3), "i1": (2, 3)}


def test_no_false_order_among_equals_in_95_of_100():
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(300):
        found = order(rng.exponential(size=(60, 6)))
        wrong += any(item.rank_low > 1 or item.rank_high < 6 for item in found.items)
    assert wrong / 300 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 300)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 5), st.integers(1, 12), st.integers(0, 10**6))
def test_rank_ranges_hold_the_place_shown(count, rows, seed):
    found = order(np.random.default_rng(seed).integers(0, 3, (rows, count)).astype(float))
    for place, item in enumerate(found.items, start=1):
        assert item.rank_low <= place <= item.rank_high


def test_agreement_is_spearman_and_jaccard_between_neighbouring_draws():
    draws = np.random.default_rng(0).integers(0, 4, (5, 3, 8)).astype(float)
    spearman, jaccard = agreement(draws, 3)
    for i in range(5):
        expected = [stats.spearmanr(draws[i, a], draws[i, b]).statistic for a, b in ((0, 1), (1, 2), (2, 0))]
        assert spearman[i] == pytest.approx(np.mean(expected), abs=1e-12)
    assert ((jaccard > 0) & (jaccard <= 1)).all()
    same = np.repeat(draws[:, :1], 3, axis=1)
    assert np.allclose(agreement(same, 3), 1)
    assert agreement(np.zeros((2, 3, 4)), 3)[0].tolist() == [1, 1]
    flat = np.zeros((1, 2, 4))
    flat[0, 0] = [1, 2, 3, 4]
    assert agreement(flat, 3)[0].tolist() == [0]
    assert [top_of(count) for count in (1, 2, 5, 6, 30)] == [1, 1, 4, 5, 5]

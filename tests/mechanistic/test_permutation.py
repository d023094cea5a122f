"""The test over sets: its statistic against scipy, its level where sets overlap and spreads differ."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_ind

from xai_audit.mechanistic import permutation


def rates(draw, reps, alphas=(0.05, 0.01), sets=99):
    ps = []
    for rep in range(reps):
        values, n = draw(np.random.default_rng([rep, 1]))
        ps.append(permutation.tested([values], [n], sets, [np.random.default_rng([rep, 2])])[0].p[0])
    return [(alpha, float(np.mean(np.asarray(ps) <= alpha))) for alpha in alphas]


def within(found, reps):
    return all(rate <= alpha + 3 * (alpha * (1 - alpha) / reps) ** 0.5 for alpha, rate in found)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 8), rest=st.integers(2, 20))
def test_the_statistic_is_welchs(seed, n, rest):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(3, n + rest)) + 50
    sets = permutation.random_sets(n, n + rest, 5, rng)
    found = permutation.studentised(values, sets)
    for k in range(3):
        for s, chosen in enumerate(sets):
            others = np.setdiff1d(np.arange(n + rest), chosen)
            theirs = ttest_ind(values[k, chosen], values[k, others], equal_var=False).statistic
            assert found[k, s] == pytest.approx(theirs, rel=1e-9, abs=1e-9)


def test_random_sets_hold_no_example_twice_and_all_sets_come_equally_often():
    sets = permutation.random_sets(2, 5, 20_000, np.random.default_rng(0))
    assert all(a != b for a, b in sets)
    counts = dict.fromkeys(combinations(range(5), 2), 0)
    for a, b in sets:
        counts[a, b] += 1
    assert max(abs(count - 2000) for count in counts.values()) < 4 * (2000 * 0.9) ** 0.5
    assert permutation.random_sets(3, 3, 2, np.random.default_rng(0)).tolist() == [[0, 1, 2]] * 2


def test_the_level_holds_for_pools_so_small_that_random_sets_overlap():
    found = rates(lambda rng: (rng.exponential(size=(1, 50 + 20)), 50), 600)
    assert within(found, 600), found


@pytest.mark.parametrize("spread", [0.3, 3.0])
def test_the_level_holds_where_a_set_differs_in_spread_but_not_in_mean(spread):
    def draw(rng):
        return np.concatenate([spread * rng.normal(size=50), rng.normal(size=500)])[None], 50

    assert within(rates(draw, 600), 600)


def test_the_level_holds_over_a_family():
    reps, rejected = 300, 0
    for rep in range(reps):
        rng = np.random.default_rng([rep, 3])
        pool = rng.normal(size=(2, 200))
        values = [np.concatenate([rng.normal(size=(2, 30)), pool], axis=1) for _ in range(4)]
        found = permutation.tested(values, [30] * 4, 99, rng.spawn(4))
        rejected += min(one.adjusted.min() for one in found) <= 0.05
    assert rejected / reps <= 0.05 + 3 * (0.05 * 0.95 / reps) ** 0.5


def test_a_difference_is_found_and_p_is_at_least_one_over_the_sets():
    rng = np.random.default_rng(0)
    values = np.stack(
        [np.concatenate([rng.normal(size=40) + shift, rng.normal(size=200)]) for shift in (2, 0)]
    )
    strong, none = permutation.tested([values, values[:, ::-1]], [40, 40], 249, rng.spawn(2))
    assert strong.p[0] == strong.adjusted[0] == 1 / 250
    assert strong.p[1] > 0.02
    assert none.p[0] > 1 / 250
    for one in (strong, none):
        assert (one.adjusted >= one.p - 1e-12).all()


def test_alone_the_adjusted_p_is_the_p():
    rng = np.random.default_rng(1)
    one = permutation.tested([rng.normal(size=(1, 80))], [20], 99, rng.spawn(1))[0]
    assert one.p[0] == one.adjusted[0]


def test_values_that_do_not_vary_say_nothing():
    rng = np.random.default_rng(2)
    flat = permutation.tested([np.full((1, 40), 3.7)], [10], 19, rng.spawn(1))[0]
    assert flat.t[0] == 0
    assert flat.p[0] == 1
    apart = permutation.studentised(np.array([[1.0, 1.0, 0.0, 0.0]]), np.array([[0, 1], [0, 2]]))
    assert apart[0, 0] == np.inf
    assert apart[0, 1] == 0

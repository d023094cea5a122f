from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from sklearn import metrics as sk
from statsmodels.stats.contingency_tables import mcnemar

from benchmarks import compare as bench
from xai_audit import intervals as iv
from xai_audit import intervals_paired as paired
from xai_audit import intervals_roc as roc
from xai_audit.intervals import normal_quantile

LEVELS = (0.9, 0.95, 0.99, 0.999)


def likeliest(gained: int, lost: int, n: int, change: float) -> float:
    """The share of lost rows under which the table is likeliest, given the change, by scipy's own search."""

    def against(share: float) -> float:
        cells = ((gained, share + change), (lost, share), (n - gained - lost, 1 - 2 * share - change))
        return -sum(count * math.log(max(p, 1e-300)) for count, p in cells if count)

    least, most = max(0.0, -change), (1 - change) / 2
    return optimize.minimize_scalar(
        against, bounds=(least, most), method="bounded", options={"xatol": 1e-12}
    ).x


@pytest.mark.parametrize(
    ("gained", "lost", "n"), [(3, 9, 60), (12, 12, 100), (0, 4, 40), (5, 0, 35), (40, 90, 1000), (1, 2, 30)]
)
def test_the_limits_of_a_share_are_where_the_score_statistic_reaches_the_quantile(
    gained: int, lost: int, n: int
) -> None:
    for level in (0.9, 0.95):
        ((low, high),) = paired.rate_change(gained, lost, n, (level,))
        for limit in (low, high):
            share = likeliest(gained, lost, n, limit)
            spread = math.sqrt(n * (2 * share + limit * (1 - limit)))
            assert abs(gained - lost - n * limit) / spread == pytest.approx(normal_quantile(level), rel=1e-4)


def test_where_no_row_is_decided_otherwise_the_limits_have_a_closed_form() -> None:
    z2 = normal_quantile(0.95) ** 2
    ((low, high),) = paired.rate_change(0, 0, 221, (0.95,))
    assert (low, high) == pytest.approx((-z2 / (221 + z2), z2 / (221 + z2)))
    ((low, high),) = paired.rate_change(50, 0, 50, (0.95,))
    assert (low, high) == pytest.approx(((50 - z2) / (50 + z2), 1.0))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 300))
@example(gained=0, lost=1, rest=0)
@example(gained=4, lost=0, rest=0)
def test_no_change_is_ruled_out_where_mcnemar_rules_it_out(gained: int, lost: int, rest: int) -> None:
    n = gained + lost + rest
    if not gained + lost:
        return
    found = mcnemar([[rest, lost], [gained, 0]], exact=False, correction=False)
    for level in (0.9, 0.95):
        ((low, high),) = paired.rate_change(gained, lost, n, (level,))
        if abs(found.pvalue - (1 - level)) > 1e-9:
            assert (low > 0 or high < 0) == (found.pvalue < 1 - level)
    # Far out the limits are also at least as wide as exact ones.
    exact = mcnemar([[rest, lost], [gained, 0]], exact=True)
    ((low, high),) = paired.rate_change(gained, lost, n, (0.999,))
    assert low <= 0 <= high or exact.pvalue < 0.01


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 200))
def test_swapping_old_and_new_turns_a_share_round_and_levels_nest(gained: int, lost: int, rest: int) -> None:
    n = gained + lost + rest
    one, other = paired.rate_change(gained, lost, n, LEVELS), paired.rate_change(lost, gained, n, LEVELS)
    assert [(-high, -low) for low, high in other] == one
    value = (gained - lost) / n
    for (low, high), (wider_low, wider_high) in pairwise(one):
        assert -1 <= wider_low <= low <= value + 1e-12
        assert value - 1e-12 <= high <= wider_high <= 1


@pytest.mark.parametrize(("gained", "lost", "n"), [(-1, 0, 5), (4, 4, 7), (0, 0, 0), (1, 1, math.inf)])
def test_impossible_counts_are_refused(gained: int, lost: int, n: float) -> None:
    with pytest.raises(ValueError, match="no change of a share"):
        paired.rate_change(gained, lost, n, (0.95,))


def test_means_are_those_of_the_paired_t_test() -> None:
    rng = np.random.default_rng(1)
    old, new = rng.normal(size=(2, 80))
    value, ((low, high),) = paired.mean_change(old, new, (0.95,))
    reference = stats.ttest_rel(new, old)
    assert value == pytest.approx(float(np.mean(new - old)))
    assert (low, high) == pytest.approx(tuple(reference.confidence_interval(0.95)))
    # Clusters of one row each say the same as rows, and weights that are all equal as none.
    clustered = paired.mean_change(old, new, (0.95,), np.full(80, 2.0), np.arange(80))
    assert clustered[0] == pytest.approx(value)
    assert clustered[1][0] == pytest.approx((low, high))


def test_errors_and_explained_variance_move_by_what_scikit_learn_says() -> None:
    rng = np.random.default_rng(2)
    truth = rng.normal(size=300)
    old, new = truth + rng.normal(size=300), truth + rng.normal(size=300) * 0.8
    value, ((low, high),) = paired.r_squared_change(truth, old, new, (0.95,))
    assert value == pytest.approx(sk.r2_score(truth, new) - sk.r2_score(truth, old))
    assert low < value < high
    value, _ = paired.root_mean_square_change(truth - old, truth - new, (0.95,))
    expected = sk.root_mean_squared_error(truth, new) - sk.root_mean_squared_error(truth, old)
    assert value == pytest.approx(expected)
    value, _ = paired.relative_change(np.abs(truth - old), np.abs(truth - new), (0.95,))
    expected = sk.mean_absolute_error(truth, new) / sk.mean_absolute_error(truth, old) - 1
    assert value == pytest.approx(expected)
    with pytest.raises(ValueError, match="above 0"):
        paired.relative_change([0.0, 0.0], [1.0, 2.0], (0.95,))


def test_the_influence_of_rows_is_that_of_leaving_each_out() -> None:
    """The spread behind R2 and RMSE agrees with the jackknife, which knows no derivative."""
    rng = np.random.default_rng(3)
    truth = rng.normal(size=400)
    old, new = truth + rng.normal(size=400) * 0.7, truth + rng.normal(size=400) * 0.6
    for found, of in (
        (
            paired.r_squared_change(truth, old, new, (0.95,)),
            lambda k: sk.r2_score(truth[k], new[k]) - sk.r2_score(truth[k], old[k]),
        ),
        (
            paired.root_mean_square_change(truth - old, truth - new, (0.95,)),
            lambda k: math.sqrt(np.mean((truth - new)[k] ** 2)) - math.sqrt(np.mean((truth - old)[k] ** 2)),
        ),
    ):
        left = np.array([of(np.arange(400) != i) for i in range(400)])
        error = math.sqrt(399 / 400 * np.sum((left - left.mean()) ** 2))
        ((low, high),) = found[1]
        assert (high - low) / 2 == pytest.approx(stats.t.isf(0.025, 399) * error, rel=0.02)


def kernel(pos: np.ndarray, neg: np.ndarray) -> np.ndarray:
    """DeLong's kernel written out: 1 where a positive lies above a negative, a half where they tie."""
    return (pos[:, None] > neg[None, :]) + 0.5 * (pos[:, None] == neg[None, :])


def test_an_auc_moves_by_what_scikit_learn_says_with_delongs_spread() -> None:
    rng = np.random.default_rng(4)
    m, n = 300, 500
    pos, neg = (
        rng.normal(size=(m, 2)) @ [[1, 0.8], [0, 0.6]] + 1,
        rng.normal(size=(n, 2)) @ [[1, 0.8], [0, 0.6]],
    )
    pos, neg = pos.round(1), neg.round(1)  # ties
    value, ((low, high),) = paired.auc_change((pos[:, 0], neg[:, 0]), (pos[:, 1], neg[:, 1]), (0.95,))
    y = np.r_[np.ones(m), np.zeros(n)]
    aucs = [sk.roc_auc_score(y, np.r_[pos[:, k], neg[:, k]]) for k in (0, 1)]
    assert value == pytest.approx(aucs[1] - aucs[0])
    moved = kernel(pos[:, 1], neg[:, 1]) - kernel(pos[:, 0], neg[:, 0])
    error = math.sqrt(np.var(moved.mean(axis=1), ddof=1) / m + np.var(moved.mean(axis=0), ddof=1) / n)
    reach = stats.t.isf(0.025, m - 1) * error
    # At this size the two intervals that are joined are nearly one.
    assert low <= value - reach + 1e-12
    assert high >= value + reach - 1e-12
    assert high - low <= 2 * reach * 1.06


def test_scores_that_order_rows_alike_leave_an_auc_where_it_was() -> None:
    rng = np.random.default_rng(5)
    pos, neg = rng.normal(size=60) + 1, rng.normal(size=90)
    value, ((low, high),) = paired.auc_change((pos, neg), (np.exp(pos), np.exp(neg)), (0.95,))
    assert value == 0
    assert low <= 0 <= high
    assert high - low < 0.05


def test_a_class_of_one_row_does_not_tell_how_two_aucs_go_together() -> None:
    rng = np.random.default_rng(6)
    pos, neg = np.array([0.3]), rng.normal(size=33)
    sides = (pos, neg), (pos + 0.01, neg + 0.02 * rng.normal(size=33))
    value, found = paired.auc_change(*sides, LEVELS)
    apart = paired.unpaired(*(roc.auc(*one, LEVELS) for one in sides))
    assert value == apart[0]
    assert found == [(max(low, -1.0), min(high, 1.0)) for low, high in apart[1]]


@pytest.mark.parametrize("of", paired.TABLED)
def test_numbers_of_a_table_move_by_what_scikit_learn_says_and_turn_round(of: paired.Tabled) -> None:
    rng = np.random.default_rng(6)
    y, old, new = rng.random((3, 500)) < np.array([[0.4], [0.5], [0.45]])
    counts = [int(np.sum((y == t) & (old == a) & (new == b))) for t, a, b in paired.CELLS]
    reference = {
        "precision": lambda p: sk.precision_score(y, p),
        "false_discovery_rate": lambda p: 1 - sk.precision_score(y, p),
        "negative_predictive_value": lambda p: sk.precision_score(~y, ~p),
        "false_omission_rate": lambda p: 1 - sk.precision_score(~y, ~p),
        "f1": lambda p: sk.f1_score(y, p),
        "matthews_corrcoef": lambda p: sk.matthews_corrcoef(y, p),
    }[of]
    value, limits = paired.table_change(counts, of, LEVELS)
    assert value == pytest.approx(reference(new) - reference(old))
    swapped = [counts[i] for i in (0, 2, 1, 3, 4, 6, 5, 7)]
    other, turned = paired.table_change(swapped, of, LEVELS)
    assert other == pytest.approx(-value)
    assert [-end for low, high in turned for end in (high, low)] == pytest.approx(
        [x for ends in limits for x in ends]
    )
    # With many rows the spread is the jackknife's.
    many = np.array(counts) * 20.0
    _, ((low, high),) = paired.table_change(many, of, (0.95,))
    step = np.array([paired.table_change(many - unit, of, (0.95,))[0] for unit in np.eye(8)])
    error = math.sqrt(np.sum(many * (step - np.sum(many * step) / many.sum()) ** 2))
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.01)


def test_a_table_that_leaves_a_number_undefined_is_refused() -> None:
    with pytest.raises(ValueError, match="undefined"):
        paired.table_change([0, 0, 0, 5, 0, 0, 0, 5], "precision", (0.95,))
    with pytest.raises(ValueError, match="eight counts"):
        paired.table_change([1, 2, 3], "f1", (0.95,))


def test_identical_answers_hold_no_change() -> None:
    assert paired.mean_change([0.1, 0.4, 0.3], [0.1, 0.4, 0.3], (0.95,)) == (0.0, [(0.0, 0.0)])
    value, ((low, high),) = paired.table_change([30, 0, 0, 10, 5, 0, 0, 55], "precision", (0.95,))
    assert value == 0
    assert low <= 0 <= high


def test_row_order_changes_no_bit() -> None:
    rng = np.random.default_rng(7)
    truth, old, new = rng.normal(size=(3, 101))
    order = rng.permutation(101)
    for one, other in (
        (
            paired.r_squared_change(truth, old, new, LEVELS),
            paired.r_squared_change(truth[order], old[order], new[order], LEVELS),
        ),
        (paired.mean_change(old, new, LEVELS), paired.mean_change(old[order], new[order], LEVELS)),
        (
            paired.auc_change((old[:50], old[50:]), (new[:50], new[50:]), LEVELS),
            paired.auc_change((old[:50][::-1], old[50:]), (new[:50][::-1], new[50:]), LEVELS),
        ),
    ):
        assert one == other


def test_as_of_different_rows_arms_are_squared_and_added() -> None:
    value, ((low, high),) = paired.unpaired((0.8, [(0.76, 0.84)]), (0.7, [(0.67, 0.74)]))
    assert (value, low, high) == pytest.approx(
        (-0.1, -0.1 - math.hypot(0.03, 0.04), -0.1 + math.hypot(0.04, 0.04))
    )
    assert paired.unpaired((0.8, [(None, 0.9)]), (0.7, [(0.6, None)]))[1][0][1] is None


def test_the_mean_of_one_change_is_that_change() -> None:
    one = (0.1, [(0.05, 0.2)])
    assert paired.mean_of_changes([one]) == (pytest.approx(0.1), [pytest.approx((0.05, 0.2))])
    two = paired.mean_of_changes([one, (0.3, [(0.1, 0.35)])])
    assert two[0] == pytest.approx(0.2)
    assert two[1][0] == pytest.approx((0.2 - math.hypot(0.05, 0.2) / 2, 0.2 + math.hypot(0.1, 0.05) / 2))


# ------------------------------------------------------------------------------------- coverage, small; proofs in benchmarks
@pytest.mark.parametrize(("rows", "gained", "lost"), [(30, 0.2, 0.2), (100, 0.02, 0.08), (300, 0.0, 0.03)])
@pytest.mark.parametrize(("level", "least"), [(0.95, 0.94), (0.99, 0.985)])
def test_a_share_is_held_by_exact_enumeration(
    rows: int, gained: float, lost: float, level: float, least: float
) -> None:
    held, tail = bench.enumerated(rows, gained, lost, level)
    assert held >= least
    assert tail <= (2.0 if level < 0.96 else 1.01)


@pytest.mark.parametrize("of", ["precision", "f1", "matthews_corrcoef"])
def test_numbers_of_a_table_are_held(of: paired.Tabled) -> None:
    for case in (bench.Table(100, 0.3, 0.9, 0.05, 0.05, 0.1), bench.Table(300, 0.1, 0.7, 0.2, 0.0, 0.1)):
        share = bench.table_coverage(of, case, 400, 0)
        assert share is not None
        assert share >= 0.94 - bench.gate.error(0.94, 400)


def test_an_auc_is_held_near_perfection() -> None:
    assert bench.auc_coverage((10, 30), 0.97, 0.99, 0.98, 200, 0) >= 0.94 - bench.gate.error(0.94, 200)


def test_noise_fails_no_more_often_than_it_may_and_a_drop_is_caught() -> None:
    trials = 150
    assert bench.fails(0.0, 2000, 0.0, trials, 1, alone=True) <= 0.05 + bench.gate.error(0.05, trials)
    as_pairs = bench.fails(0.0, 2000, 0.03, trials, 1, alone=True)
    assert as_pairs >= 0.95 - bench.gate.error(0.95, trials)
    assert bench.fails(0.0, 2000, 0.03, trials, 1, alone=True, as_pairs=False) < as_pairs


def test_holm_over_the_policy_costs_power_and_errs_less() -> None:
    trials = 40
    alone = bench.fails(0.0, 1000, 0.03, trials, 1, alone=True)
    assert bench.fails(0.0, 1000, 0.03, trials, 1, alone=False) <= alone
    assert bench.fails(0.0, 1000, 0.0, trials, 1, alone=False) <= 0.05 + bench.gate.error(0.05, trials)
    assert iv.WIDENED_ABOVE == 0.95

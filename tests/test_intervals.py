"""Intervals for counts: against other people's code, at the edges, and by exact enumeration."""

from __future__ import annotations

import math
from itertools import combinations, combinations_with_replacement, pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import binom
from sklearn.metrics import f1_score, matthews_corrcoef
from statsmodels.stats.proportion import (
    confint_proportions_2indep,
    proportion_confint,
    score_test_proportions_2indep,
)

from xai_audit import intervals as iv

LEVELS = [0.95, *iv.LEVELS]
PAIRS = [
    (3, 30, 9, 40),
    (0, 30, 5, 20),
    (30, 30, 11, 12),
    (7, 34, 1, 34),
    (490, 1000, 3, 7),
    (97, 100, 999, 1000),
]

rates = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
fractions = st.tuples(st.floats(0, 1), st.floats(1.5, 1e8)).map(lambda f: (f[0] * f[1], f[1]))
many = st.lists(rates, min_size=2, max_size=6)


def ends(limits: list[iv.Interval]) -> list[tuple[float, float]]:
    """Limits with infinity for what is unbounded, each a plain float that is a number."""
    found = []
    for low, high in limits:
        pair = (-math.inf if low is None else low, math.inf if high is None else high)
        assert all(type(end) is float and not math.isnan(end) for end in pair)
        assert pair[0] <= pair[1]
        found.append(pair)
    return found


def nested(limits: list[iv.Interval]) -> bool:
    """Whether each of the rising levels contains the one before."""
    found = ends(limits)
    return all(b[0] <= a[0] and a[1] <= b[1] for a, b in pairwise(found))


@pytest.mark.parametrize("n", [1, 5, 30, 221])
def test_rate_is_wilsons_up_to_95_percent(n: int) -> None:
    for x, level in product(range(n + 1), (0.9, 0.95)):
        assert iv.rate(x, n, [level])[0] == pytest.approx(
            proportion_confint(x, n, 1 - level, "wilson"), abs=1e-9
        )


@pytest.mark.parametrize("n", [1, 5, 30, 221])
def test_rate_beyond_95_percent_is_the_wider_of_wilsons_and_the_exact_one(n: int) -> None:
    for x, level in product(range(n + 1), (0.99, 0.9995)):
        wilson = proportion_confint(x, n, 1 - level, "wilson")
        exact = proportion_confint(x, n, 1 - level, "beta")
        wider = (min(wilson[0], exact[0]), max(wilson[1], exact[1]))
        assert iv.rate(x, n, [level])[0] == pytest.approx(wider, abs=1e-9)


def test_rate_is_exact_at_its_edges() -> None:
    for level in LEVELS:
        assert iv.rate(0, 30, [level])[0][0] == 0.0
        assert iv.rate(30, 30, [level])[0][1] == 1.0


def constrained_z(x1: float, n1: float, x2: float, n2: float, difference: float) -> float:
    """Score statistic of a difference, its constrained rates found by a general root finder."""

    def slope(p2: float) -> float:
        p1 = p2 + difference
        return x1 / p1 - (n1 - x1) / (1 - p1) + x2 / p2 - (n2 - x2) / (1 - p2)

    edge = 1e-12
    low, high = max(0.0, -difference) + edge, min(1.0, 1 - difference) - edge
    if slope(low) < 0:
        p2 = low
    elif slope(high) > 0:
        p2 = high
    else:
        p2 = brentq(slope, low, high, xtol=1e-15)
    p1, total = p2 + difference, n1 + n2
    variance = (p1 * (1 - p1) / n1 + p2 * (1 - p2) / n2) * total / (total - 1)
    return float((x1 / n1 - x2 / n2 - difference) / math.sqrt(variance))


@pytest.mark.parametrize("pair", PAIRS)
def test_difference_inverts_the_score_test(pair: tuple[int, int, int, int]) -> None:
    # statsmodels 0.14 solves a wrong cubic here (its issue 10269), so the reference is a numerical maximum.
    for level in (0.9, 0.95):
        z = iv.normal_quantile(level)
        for end, wanted in zip(ends(iv.rate_difference(*pair, [level]))[0], (z, -z), strict=True):
            assert constrained_z(*pair, end) == pytest.approx(wanted, abs=1e-5)


def test_difference_agrees_with_newcombes_table() -> None:
    assert iv.rate_difference(56, 70, 48, 80, [0.95])[0] == pytest.approx((0.0528, 0.3382), abs=5e-5)


@pytest.mark.parametrize(
    "pair", [(3, 30, 9, 40), (0, 30, 5, 20), (7, 34, 1, 34), (490, 1000, 3, 7), (5, 20, 1, 9)]
)
def test_ratio_inverts_the_score_test(pair: tuple[int, int, int, int]) -> None:
    x1, n1, x2, n2 = pair
    small, total = min(n1, n2), n1 + n2
    # Ours has the smaller group's n/(n-1) in the place of N/(N-1): the same as a slightly higher level of theirs.
    z = iv.normal_quantile(0.95) * math.sqrt(small / (small - 1) * (total - 1) / total)
    reference = confint_proportions_2indep(
        x1, n1, x2, n2, method="score", compare="ratio", alpha=math.erfc(z / math.sqrt(2)), correction=True
    )
    assert ends(iv.rate_ratio(*pair, [0.95]))[0] == pytest.approx(tuple(map(float, reference)), rel=1e-6)


@pytest.mark.parametrize("pair", PAIRS)
def test_p_of_no_difference_is_the_score_test(pair: tuple[int, int, int, int]) -> None:
    reference = score_test_proportions_2indep(*pair, compare="diff", correction=True).pvalue
    assert iv.difference_p(*pair) == pytest.approx(reference, rel=1e-9)
    low, high = ends(iv.rate_difference(*pair, [1 - max(iv.difference_p(*pair), 0.05)]))[0]
    assert iv.difference_p(*pair) < 0.05 or min(abs(low), abs(high)) < 1e-9


def test_nothing_observed_leaves_a_ratio_open_and_a_difference_defined() -> None:
    for limits in iv.rate_ratio(0, 30, 0, 20, LEVELS):
        assert limits == (0.0, None)
    for limits in iv.smallest_ratio([0, 0, 0], [30, 20, 50], LEVELS):
        assert limits == (0.0, 1.0)
    for low, high in ends(iv.rate_difference(0, 30, 0, 20, LEVELS)):
        assert -0.5 < low < 0 < high < 0.5
    assert iv.rate_ratio(4, 30, 0, 20, [0.95])[0][1] is None
    assert iv.rate_ratio(0, 30, 4, 20, [0.95])[0][0] == 0.0
    assert iv.difference_p(0, 30, 0, 20) == iv.difference_p(30, 30, 20, 20) == 1.0
    assert iv.rate_difference(0, 30, 20, 20, [0.95])[0][0] == -1.0


@pytest.mark.parametrize("counts", [(-1, 5), (6, 5), (0, 0), (math.nan, 5), (1, math.inf)])
def test_impossible_counts_are_refused(counts: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="is no rate"):
        iv.rate(*counts, LEVELS)
    with pytest.raises(ValueError, match="is no rate"):
        iv.rate_difference(1, 5, *counts, LEVELS)
    with pytest.raises(ValueError, match="level"):
        iv.rate(1, 5, [1.0])
    with pytest.raises(ValueError, match="two groups"):
        iv.largest_difference([1], [5], LEVELS)


@given(rates | fractions, rates | fractions)
@settings(max_examples=150, deadline=None)
def test_two_rates_swap_nest_and_hold_what_was_seen(a: tuple[float, float], b: tuple[float, float]) -> None:
    (x1, n1), (x2, n2) = a, b
    difference = iv.rate_difference(*a, *b, iv.LEVELS)
    ratio = iv.rate_ratio(*a, *b, iv.LEVELS)
    assert nested(iv.rate(*a, iv.LEVELS))
    assert nested(difference)
    assert nested(ratio)
    assert ends(iv.rate(*a, [0.9]))[0][0] <= x1 / n1 <= ends(iv.rate(*a, [0.9]))[0][1] + 1e-15
    low, high = ends(difference)[0]
    assert low <= x1 / n1 - x2 / n2 <= high
    # Turned round, the interval is the same to the bit.
    assert [(-h, -low) for low, h in ends(iv.rate_difference(*b, *a, iv.LEVELS))] == ends(difference)
    low, high = ends(ratio)[0]
    if x2:
        assert low * (1 - 1e-12) <= (x1 / n1) / (x2 / n2) <= high * (1 + 1e-12)
    for (low, high), (other_low, other_high) in zip(
        ends(ratio), ends(iv.rate_ratio(*b, *a, iv.LEVELS)), strict=True
    ):
        assert high == (1 / other_low if other_low else math.inf)
        assert other_high == (1 / low if low else math.inf)


@given(many)
@settings(max_examples=80, deadline=None)
def test_gaps_nest_and_do_not_depend_on_order_or_company(groups: list[tuple[int, int]]) -> None:
    xs, ns = zip(*groups, strict=True)
    gap, ratio = iv.largest_difference(xs, ns, iv.LEVELS), iv.smallest_ratio(xs, ns, iv.LEVELS)
    assert nested(gap)
    assert nested(ratio)
    assert iv.largest_difference(xs[::-1], ns[::-1], iv.LEVELS) == gap
    assert iv.smallest_ratio(xs[::-1], ns[::-1], iv.LEVELS) == ratio
    assert iv.largest_difference(xs, ns, [iv.LEVELS[3]]) == [gap[3]]
    low, high = iv.extremes(xs, ns)
    seen = [x / n for x, n in groups]
    assert low != high
    assert (seen[low], seen[high]) == (min(seen), max(seen))
    assert ends(gap)[0][0] <= seen[high] - seen[low] <= ends(gap)[0][1]
    if seen[high] > 0:
        assert ends(ratio)[0][0] <= seen[low] / seen[high] * (1 + 1e-12)
        assert seen[low] / seen[high] <= ends(ratio)[0][1] * (1 + 1e-12)
    assert all(0 <= low <= high <= 1 for low, high in ends(gap) + ends(ratio))


def test_gap_of_k_groups_is_all_pairs_at_the_bonferroni_level() -> None:
    xs, ns = [10, 25, 31, 18], [60, 55, 50, 70]
    inner = 1 - 0.05 / 6
    signed = [
        ends(iv.rate_difference(xs[i], ns[i], xs[j], ns[j], [inner]))[0] for i, j in combinations(range(4), 2)
    ]
    low = max(0.0, *(max(a, -b) for a, b in signed))
    high = max(max(-a, b) for a, b in signed)
    assert iv.largest_difference(xs, ns, [0.95]) == [(low, high)]


def test_extremes_name_the_first_of_equals() -> None:
    assert iv.extremes([1, 1, 2, 2], [10, 10, 10, 10]) == (0, 2)
    assert iv.extremes([3, 3], [10, 10]) == (0, 1)
    assert iv.extremes([1, 10], [3, 30]) == (0, 1)
    assert iv.extremes([2, 1], [6, 3]) == (0, 1)


def test_two_rates_hold_the_truth_on_the_published_grid() -> None:
    sizes = (30, 100)
    limits = {}
    for n1, n2 in product(sizes, repeat=2):
        a, b = (
            g.reshape(-1, 1).astype(float) for g in np.meshgrid(range(n1 + 1), range(n2 + 1), indexing="ij")
        )
        counts = (a, np.full_like(a, n1), b, np.full_like(b, n2))
        limits[n1, n2] = (
            iv._difference_limits(counts, [0.95]),
            iv._ratio_limits(counts, [0.95]),
        )
    cells = combinations_with_replacement(list(product(sizes, (0.05, 0.2, 0.5))), 2)
    for (n1, p1), (n2, p2) in cells:
        chance = np.outer(binom.pmf(range(n1 + 1), n1, p1), binom.pmf(range(n2 + 1), n2, p2)).ravel()
        highest = 0.97 if min(n1 * p1, n2 * p2) >= 5 else 1.0
        for (low, high), truth in zip(limits[n1, n2], (p1 - p2, p1 / p2), strict=True):
            held = (low[:, 0] <= truth) & (truth <= high[:, 0])
            assert 0.94 <= chance[held].sum() <= highest


def test_one_rate_holds_the_truth_on_the_published_grid() -> None:
    for n, p in product((30, 100, 1000), (0.05, 0.2, 0.5)):
        held = [low <= p <= high for x in range(n + 1) for low, high in ends(iv.rate(x, n, [0.95]))]
        assert 0.93 <= binom.pmf(range(n + 1), n, p)[held].sum() <= 0.975


def test_beyond_95_percent_a_rate_errs_no_more_than_it_says() -> None:
    for n, p, level in product((30, 200), (0.03, 0.2, 0.7), (0.99, 0.999)):
        above = [low > p for x in range(n + 1) for low, _ in ends(iv.rate(x, n, [level]))]
        assert binom.pmf(range(n + 1), n, p)[above].sum() <= (1 - level) / 2


@pytest.mark.parametrize("k", [2, 4, 6])
def test_equal_groups_rarely_show_a_gap(k: int) -> None:
    rng = np.random.default_rng(20261123 + k)
    runs = 400
    wrong = np.zeros(2)
    for _ in range(runs):
        xs = rng.binomial(60, 0.3, k).tolist()
        wrong += (
            ends(iv.largest_difference(xs, [60] * k, [0.95]))[0][0] > 0,
            ends(iv.smallest_ratio(xs, [60] * k, [0.95]))[0][1] < 1,
        )
    assert (wrong / runs <= 0.06 + 2 * math.sqrt(0.06 * 0.94 / runs)).all()


@pytest.mark.parametrize("pair", [(13, 30, 9, 40), (56, 70, 48, 80), (490, 1000, 5, 17)])
def test_mean_of_rates_is_newcombes_hybrid(pair: tuple[int, int, int, int]) -> None:
    x1, n1, x2, n2 = pair
    low, high = ends(iv.mean_of_rates([x1, n2 - x2], [n1, n2], [0.95]))[0]
    reference = confint_proportions_2indep(*pair, method="newcomb", compare="diff")
    assert (2 * low - 1, 2 * high - 1) == pytest.approx(reference, abs=1e-9)


def test_mean_of_rates_with_few_errors_uses_exact_limits() -> None:
    exact = proportion_confint(1, 25, 0.05, "beta")
    low, high = ends(iv.mean_of_rates([24, 24], [25, 25], [0.95]))[0]
    wilson_high = 1 - proportion_confint(1, 25, 0.05, "wilson")[0]
    assert low == pytest.approx(0.96 - (exact[1] - 0.04) / math.sqrt(2), abs=1e-9)
    assert high > 0.96 + (wilson_high - 0.96) / math.sqrt(2)


@given(many)
@settings(max_examples=50, deadline=None)
def test_mean_of_rates_and_sums_of_gaps_nest(groups: list[tuple[int, int]]) -> None:
    xs, ns = zip(*groups, strict=True)
    limits = iv.mean_of_rates(xs, ns, iv.LEVELS)
    assert nested(limits)
    centre = math.fsum(x / n for x, n in groups) / len(groups)
    assert 0 <= ends(limits)[0][0] <= centre + 1e-15
    assert centre - 1e-15 <= ends(limits)[0][1] <= 1
    both = iv.sum_of_differences([(xs, ns), (xs[::-1], ns[::-1])], iv.LEVELS)
    assert nested(both)
    single = iv.largest_difference(xs, ns, iv.bonferroni(iv.LEVELS, 2))
    assert ends(both) == [(2 * low, 2 * high) for low, high in ends(single)]


@given(*[st.integers(0, 200)] * 4)
@settings(max_examples=150, deadline=None)
def test_f1_and_matthews_agree_with_scikit_learn(tp: int, fp: int, fn: int, tn: int) -> None:
    if tp + fp + fn == 0:
        with pytest.raises(ValueError, match="is no rate"):
            iv.f1(tp, fp, fn, LEVELS)
        return
    truth = [1] * tp + [0] * fp + [1] * fn + [0] * tn
    call = [1] * tp + [1] * fp + [0] * fn + [0] * tn
    limits = iv.f1(tp, fp, fn, iv.LEVELS)
    assert nested(limits)
    assert (
        ends(limits)[0][0] - 1e-12 <= f1_score(truth, call, zero_division=0.0) <= ends(limits)[0][1] + 1e-12
    )
    value = iv.matthews_value(tp, fp, fn, tn)
    if len({*truth, *call}) > 1:  # else scikit-learn warns
        assert value == pytest.approx(matthews_corrcoef(truth, call), abs=1e-12)
    assert value == iv.matthews_value(tn, fn, fp, tp)
    limits = iv.matthews(tp, fp, fn, tn, iv.LEVELS)
    assert nested(limits)
    assert (
        -1
        <= ends(limits)[-1][0]
        <= ends(limits)[0][0]
        <= value
        <= ends(limits)[0][1]
        <= ends(limits)[-1][1]
        <= 1
    )


def test_matthews_of_a_perfect_table_still_doubts() -> None:
    low, high = ends(iv.matthews(20, 0, 0, 30, [0.95]))[0]
    assert low < 0.9
    assert high == 1.0
    with pytest.raises(ValueError, match="table"):
        iv.matthews(0, 0, 0, 0, [0.95])


def test_matthews_holds_the_truth() -> None:
    rng = np.random.default_rng(20261124)
    runs = 1000
    for tp, fp, fn, tn in ((0.25, 0.1, 0.05, 0.6), (0.05, 0.045, 0.05, 0.855), (0.297, 0.003, 0.003, 0.697)):
        truth = iv.matthews_value(tp, fp, fn, tn)
        tables = rng.multinomial(100, (tp, fp, fn, tn), runs).tolist()
        found = [ends(iv.matthews(a, b, c, d, [0.95]))[0] for a, b, c, d in tables]
        held = [low <= truth <= high for low, high in found]
        assert sum(held) / runs >= 0.94 - 2 * math.sqrt(0.94 * 0.06 / runs)

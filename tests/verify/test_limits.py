"""Limits of counts in verify, held to those that were measured: other equations, the same numbers to 1e-9."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xai_audit import intervals as iv
from xai_audit.metrics.conditional import pooled
from xai_audit.verify import limits

LEVELS = (0.8, 0.9, 0.95, 0.99, 0.998, 0.9999, 1 - 0.0001 / 45)
EDGES = [
    (0, 10, 0, 12), (10, 10, 12, 12), (0, 10, 12, 12), (10, 10, 0, 12), (0, 1, 1, 1), (1, 1, 1, 2), (1, 2, 0, 1),
    (0, 1, 0, 1), (1, 1, 1, 1), (5, 10, 5, 10), (1, 1000, 0, 30), (999, 1000, 30, 30), (3, 7, 6, 14), (0.4, 0.7, 0.1, 0.2),
    (1e-12, 30, 3, 30), (30 - 1e-12, 30, 3, 30), (0.5, 12.25, 7.5, 9.75), (12, 12, 5, 9), (5, 9, 12, 12), (200, 400, 1, 3),
    (0.44210054261517273, 0.44210054261517273, 2656, 2656), (1, 1, 300_000, 300_000),
]  # fmt: skip


def pairs(seed: int, many: int) -> list[tuple[float, float, float, float]]:
    rng = np.random.default_rng(seed)
    found: list[tuple[float, float, float, float]] = [*EDGES]
    for _ in range(many):
        n1, n2 = (int(n) for n in np.exp(rng.uniform(0, 9, 2)).round())
        x1, x2 = (int(rng.choice([0, n, rng.integers(0, n + 1)], p=[0.1, 0.1, 0.8])) for n in (n1, n2))
        if rng.random() < 0.3:  # what weights and clusters leave of counts
            shrink1, shrink2 = rng.uniform(0.2, 1, 2)
            found.append((x1 * shrink1, n1 * shrink1, x2 * shrink2, n2 * shrink2))
        else:
            found.append((x1, n1, x2, n2))
    return found


def same(mine: object, theirs: object, where: object) -> None:
    assert mine == pytest.approx(theirs, rel=1e-9, abs=1e-12), where


@pytest.mark.parametrize("seed", range(4))
def test_one_rate(seed: int) -> None:
    for x, n, *_ in pairs(seed, 150):
        for level, theirs in zip(LEVELS, iv.rate(x, n, LEVELS), strict=True):
            same(limits.rate(x, n, level), theirs, (x, n, level))


@pytest.mark.parametrize("seed", range(4))
def test_the_difference_of_two_rates(seed: int) -> None:
    for counts in pairs(seed, 60):
        for level, theirs in zip(LEVELS, iv.rate_difference(*counts, LEVELS), strict=True):
            same(limits.difference(*counts, level), theirs, (counts, level))


@pytest.mark.parametrize("seed", range(6))
def test_the_ratio_of_two_rates(seed: int) -> None:
    for counts in pairs(seed, 60):
        if counts[1] + counts[3] <= 1:  # under one row in all nothing is known
            assert limits.ratio(*counts, 0.95) == (0.0, None)
            continue
        for level, theirs in zip(LEVELS, iv.rate_ratio(*counts, LEVELS), strict=True):
            mine = limits.ratio(*counts, level)
            same(mine[0], theirs[0], (counts, level))
            assert (mine[1] is None) == (theirs[1] is None)
            if mine[1] is not None:
                same(mine[1], theirs[1], (counts, level))


@pytest.mark.parametrize("seed", range(2))
def test_the_p_of_equal_rates(seed: int) -> None:
    for counts in pairs(seed, 300):
        # Of tiny chances the logarithm is what both round.
        assert limits.equal_p(*counts) == pytest.approx(iv.difference_p(*counts), rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("groups", [2, 3, 6])
def test_the_widest_gap_of_several_groups(groups: int) -> None:
    rng = np.random.default_rng(groups)
    for _ in range(12):
        ns = rng.integers(5, 400, groups)
        xs = rng.binomial(ns, rng.choice([0.02, 0.5, 0.98]))
        counts = [(float(x), float(n)) for x, n in zip(xs, ns, strict=True)]
        for theirs, mine in (
            (iv.largest_difference(xs.tolist(), ns.tolist(), LEVELS), limits.widest),
            (iv.smallest_ratio(xs.tolist(), ns.tolist(), LEVELS), limits.smallest_ratio),
            (iv.mean_of_rates(xs.tolist(), ns.tolist(), LEVELS), limits.mean_of_rates),
        ):
            for level, expected in zip(LEVELS, theirs, strict=True):
                same(mine(counts, level), expected, (counts, level))


@given(
    st.lists(
        st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
        min_size=2,
        max_size=4,
    )
)
@example([(0, 242), (257, 257)])  # the likeliest rate lies beside its end
@settings(max_examples=25, deadline=None)
def test_the_widest_gap_of_any_groups(counts: list[tuple[int, int]]) -> None:
    xs, ns = [float(x) for x, _ in counts], [float(n) for _, n in counts]
    for level, expected in zip(LEVELS, iv.largest_difference(xs, ns, LEVELS), strict=True):
        same(limits.widest(list(zip(xs, ns, strict=True)), level), expected, (counts, level))


def test_a_table_without_any_success_says_nothing_of_a_ratio() -> None:
    assert limits.smallest_ratio([(0, 20), (0, 40)], 0.95) == (0.0, 1.0)


def test_two_by_two_tables() -> None:
    rng = np.random.default_rng(3)
    tables = [tuple(row) for row in rng.integers(0, 60, (80, 4)).tolist()]
    tables += [
        (10, 0, 0, 10),
        (1, 1, 1, 1),
        (5, 0, 3, 0),
        (0.5, 2.25, 1.5, 7.75),
        (40, 1, 1, 40),
        (0, 10, 10, 0),
    ]
    for tp, fp, fn, tn in tables:
        if tp + fp + fn:
            for level, theirs in zip(LEVELS, iv.f1(tp, fp, fn, LEVELS), strict=True):
                same(limits.f1(tp, fp, fn, level), theirs, (tp, fp, fn))
        if tp + fp + fn + tn:
            same(limits.phi(tp, fp, fn, tn), iv.matthews_value(tp, fp, fn, tn), (tp, fp, fn, tn))
            for level, theirs in zip(LEVELS, iv.matthews(tp, fp, fn, tn, LEVELS), strict=True):
                same(limits.matthews(tp, fp, fn, tn, level), theirs, (tp, fp, fn, tn))


def test_strata() -> None:
    rng = np.random.default_rng(5)
    for _ in range(60):
        strata = []
        for _ in range(rng.integers(1, 7)):
            n1, n0 = (int(n) for n in rng.integers(0, 50, 2))
            strata.append((int(rng.integers(0, n1 + 1)), n1, int(rng.integers(0, n0 + 1)), n0))
        if not any(n1 and n0 for _, n1, _, n0 in strata):
            continue
        value, theirs = pooled(strata, LEVELS)
        for level, expected in zip(LEVELS, theirs, strict=True):
            mine, both = limits.mantel_haenszel(strata, level)
            same(mine, value, strata)
            same(both, expected, strata)


def test_known_limits_of_the_literature() -> None:
    # Newcombe 1998 (Stat Med 17:857, 17:873), tables II: 81/263 by Wilson and by Clopper-Pearson; 56/70 less 48/80.
    assert limits.wilson(81, 263, 0.95)[0] == pytest.approx(0.2553, abs=5e-5)
    assert 1 - limits.wilson(263 - 81, 263, 0.95)[0] == pytest.approx(0.3662, abs=5e-5)
    assert limits.exact(81, 263, 0.95) == pytest.approx((0.2527, 0.3676), abs=5e-5)
    assert limits.difference(56, 70, 48, 80, 0.95) == pytest.approx((0.0528, 0.3382), abs=5e-5)


def test_a_ratio_is_unbounded_where_the_other_may_be_none() -> None:
    low, high = limits.ratio(4, 10, 0, 10, 0.95)
    assert high is None
    assert low > 0
    assert math.isclose(limits.ratio_low(4, 10, 2, 10, 0.95), 1 / (limits.ratio(2, 10, 4, 10, 0.95)[1] or 0))

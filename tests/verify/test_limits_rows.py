"""Limits of means, errors, calibration and areas in verify, held to those that were measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xai_audit import intervals_roc, intervals_rows
from xai_audit.verify import limits_roc, limits_rows

LEVELS = (0.8, 0.9, 0.95, 0.99, 0.9999, 1 - 0.0001 / 45)


def same(mine: limits_rows.Found, theirs: tuple[float, Sequence[Any]], *, rel: float = 1e-9) -> None:
    value, at = mine
    assert value == pytest.approx(theirs[0], rel=rel, abs=1e-12)
    for level, expected in zip(LEVELS, theirs[1], strict=True):
        found = at(level)
        for one, other in zip(found, expected, strict=True):
            assert (one is None) == (other is None)
            assert one is None or one == pytest.approx(other, rel=rel, abs=1e-12), (level, found, expected)


VALUES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "normal": lambda rng, n: rng.normal(3, 2, n),
    "skewed": lambda rng, n: rng.lognormal(0, 2, n),
    "ties": lambda rng, n: rng.integers(0, 3, n).astype(float),
    "one value": lambda _, n: np.full(n, 0.1),
    "tiny": lambda rng, n: rng.normal(0, 1e-9, n),
}


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("n", [1, 2, 7, 300])
def test_means(kind: str, n: int) -> None:
    rng = np.random.default_rng(n)
    values = VALUES[kind](rng, n)
    same(limits_rows.mean_at(values), intervals_rows.mean(values, LEVELS))
    weights = rng.exponential(1, n)
    weights[: n // 3] = 0 if n > 3 else weights[: n // 3]
    clusters = rng.integers(0, max(n // 3, 1), n)
    for w in (None, weights):
        for c in (None, clusters):
            same(limits_rows.mean_at(values, np.ones(n) if w is None else w, c), intervals_rows.clustered_mean(values, w, c, LEVELS))  # fmt: skip


@pytest.mark.parametrize("n", [1, 2, 9, 40, 500])
def test_effective_counts(n: int) -> None:
    rng = np.random.default_rng(n)
    for _ in range(20):
        events = rng.binomial(1, rng.choice([0.0, 0.3, 1.0]), n).astype(float)
        weights, clusters = rng.exponential(1, n), rng.integers(0, max(n // 4, 1), n)
        for w in (None, weights):
            for c in (None, clusters):
                if w is None and c is None:
                    continue
                mine = limits_rows.effective(events, w, c)
                assert mine == pytest.approx(intervals_rows.effective(events, w, c), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("pattern", [(0, 0, 1), (0, 1), (0, 1, 1, 1)])
def test_clusters_of_one_share_count_as_the_measured_number_does(pattern: tuple[int, ...]) -> None:
    # Whether residuals come to nothing decides what such clusters are worth.
    events, clusters = np.tile(np.array(pattern, dtype=float), 20), np.repeat(np.arange(20), len(pattern))
    mine = limits_rows.effective(events, None, clusters)
    assert mine == pytest.approx(intervals_rows.effective(events, None, clusters), rel=1e-12)


@given(
    st.integers(2, 60), st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.integers(0, 20), st.integers(0, 2**32 - 1)
)
@settings(max_examples=60, deadline=None)
def test_weights_and_clusters(rows: int, share: float, groups: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    events = (rng.random(rows) < share).astype(float)
    weights = None if seed % 2 else rng.choice([0.0, 1.0, 2.5], rows, p=[0.1, 0.5, 0.4])
    if weights is not None and not weights.any():
        return
    clusters = rng.integers(0, groups, rows) if groups else None
    mine = limits_rows.effective(events, weights, clusters)
    assert mine == pytest.approx(intervals_rows.effective(events, weights, clusters), rel=1e-9)
    same(
        limits_rows.mean_at(events, weights, clusters),
        intervals_rows.clustered_mean(events, weights, clusters, LEVELS),
    )


@pytest.mark.parametrize("n", [2, 3, 30, 400])
def test_errors_of_numbers(n: int) -> None:
    rng = np.random.default_rng(n)
    for spread in (1e-6, 1.0, 1e4):
        truth = rng.normal(5, spread, n)
        predicted = truth + rng.laplace(0, spread * 0.4, n)
        same(limits_rows.rms(truth - predicted), intervals_rows.root_mean_square(truth - predicted, LEVELS))
        same(limits_rows.r2(truth, predicted), intervals_rows.r_squared(truth, predicted, LEVELS))
        same(limits_rows.r2(truth, truth), intervals_rows.r_squared(truth, truth, LEVELS))
        same(limits_rows.rms(truth - truth), intervals_rows.root_mean_square(truth - truth, LEVELS))


@pytest.mark.parametrize("kind", ["spread", "ties", "sure", "wrong", "calibrated"])
@pytest.mark.parametrize("n", [30, 200, 3000])
def test_calibration(kind: str, n: int) -> None:
    rng = np.random.default_rng(n)
    scores = {
        "spread": rng.uniform(0, 1, n),
        "ties": rng.integers(0, 4, n) / 3,
        "sure": rng.choice([0.0, 1.0, 1e-12], n),
        "wrong": rng.beta(0.2, 0.2, n),
        "calibrated": rng.beta(2, 3, n),
    }[kind]
    labels = rng.binomial(1, scores if kind in ("calibrated", "ties") else np.full(n, 0.4))
    # The noncentral chi-square is a sum cut off in two ways: its limits agree to 1e-8.
    same(limits_rows.rms_calibration(scores, labels), intervals_rows.rms_calibration_error(scores, labels, LEVELS), rel=1e-8)  # fmt: skip
    same(limits_rows.in_the_large(scores, labels), intervals_rows.calibration_in_the_large(scores, labels, LEVELS))  # fmt: skip
    value, perfect = intervals_rows.expected_calibration_error(scores, labels)
    assert limits_rows.calibration_error(scores, labels)[0] == pytest.approx(value, rel=1e-12, abs=1e-15)
    # De Moivre's closed form is a difference of large logarithms; the sum over outcomes is not.
    assert limits_rows.perfect_calibration_error(scores) == pytest.approx(perfect, rel=1e-9, abs=1e-15)


def sides(rng: np.random.Generator, m: int, n: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    pos, neg = rng.normal(0.8, 1, m), rng.normal(0, 1, n)
    if kind == "ties":
        return np.round(pos), np.round(neg)
    if kind == "apart":
        return pos + 20, neg
    if kind == "the wrong way":
        return pos - 20, neg
    if kind == "all alike":
        return np.zeros(m), np.zeros(n)
    return pos, neg


@pytest.mark.parametrize("kind", ["spread", "ties", "apart", "the wrong way", "all alike"])
@pytest.mark.parametrize(("m", "n"), [(1, 1), (1, 9), (2, 2), (10, 40), (300, 700)])
def test_areas_under_curves(kind: str, m: int, n: int) -> None:
    pair = sides(np.random.default_rng(m + n), m, n, kind)
    same(limits_roc.auc(pair), intervals_roc.auc(*pair, LEVELS))


@pytest.mark.parametrize("kind", ["spread", "ties", "apart", "all alike"])
@pytest.mark.parametrize(("m", "n"), [(3, 4), (20, 60), (300, 500)])
def test_areas_between_curves(kind: str, m: int, n: int) -> None:
    rng = np.random.default_rng(m)
    one, other = sides(rng, m, n, kind), sides(rng, n, m, "ties")
    theirs = intervals_roc.roc_distances(*one, np.random.default_rng(1)), intervals_roc.roc_distances(*other, np.random.default_rng(2))  # fmt: skip
    mine = limits_roc.drawn(one, 1), limits_roc.drawn(other, 2)
    np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-14)
    same((limits_roc.abroca(one, other), limits_roc.abroca_limits(one, other, mine)), intervals_roc.abroca(one, other, LEVELS, distances=theirs))  # fmt: skip

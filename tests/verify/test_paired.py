"""Changes on the same rows in verify, held to those that were measured: other equations, the same numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xai_audit import intervals_paired
from xai_audit.verify import paired

LEVELS = (0.8, 0.9, 0.95, 0.99, 0.9999, 1 - 0.0001 / 45)
FEW = settings(max_examples=60, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)


def same(mine: tuple[float, Sequence[Any]], theirs: tuple[float, Sequence[Any]]) -> None:
    assert mine[0] == pytest.approx(theirs[0], rel=1e-9, abs=1e-12)
    for level, found, expected in zip(LEVELS, mine[1], theirs[1], strict=True):
        for one, other in zip(found, expected, strict=True):
            assert (one is None) == (other is None), level
            assert one is None or one == pytest.approx(other, rel=1e-9, abs=1e-11), (level, found, expected)


@given(st.integers(1, 2000), st.floats(0, 1), st.floats(0, 1))
@example(1, 0.0, 0.0)
@example(1, 1.0, 0.0)
@example(300, 1.0, 0.0)
@FEW
def test_a_share_of_the_same_rows(n: int, gains: float, losses: float) -> None:
    gained = round(gains * n)
    lost = round(losses * (n - gained))
    old, new = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    new[:gained], old[gained : gained + lost] = True, True
    change = (gained - lost) / n, intervals_paired.rate_change(gained, lost, n, LEVELS)
    same(paired.share(old, new, LEVELS), change)


@given(
    st.integers(1, 40), st.integers(1, 40), st.sampled_from([0, 1, 3, 20]), st.sampled_from([0, 1, 8]), SEEDS
)
@example(1, 33, 1, 8, 0)  # a class of one row
@example(2, 18, 0, 1, 4)  # Student's t with one degree of freedom
@FEW
def test_an_area_of_the_same_rows(m: int, n: int, apart: int, digits: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    true = np.arange(m + n) < m
    old = np.round(rng.normal(size=m + n) + apart * true, digits)
    new = np.round(old + rng.choice([0, 0.1, 1]) * rng.normal(size=m + n), digits)
    sides = [(scores[true], scores[~true]) for scores in (old, new)]
    same(paired.auc(true, old, new, LEVELS), intervals_paired.auc_change(sides[0], sides[1], LEVELS))


@given(st.integers(2, 60), st.integers(1, 20), SEEDS)
@FEW
def test_means_of_the_same_rows(rows: int, groups: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    old, new = rng.exponential(1, rows), rng.exponential(2, rows)
    weights, clusters = rng.choice([0.0, 1.0, 2.5], rows), rng.integers(0, groups, rows)
    weights[0] = 1.0
    for w in (None, weights):
        for c in (None, clusters):
            if w is not None or c is not None:
                change = intervals_paired.mean_change(old, new, LEVELS, w, c)
                same(paired.clustered(new - old, w, c, LEVELS), change)
    for power in (1.0, 0.5):
        change = intervals_paired.relative_change(old, new, LEVELS, power)
        same(paired.logged(old, new, power, LEVELS), change)

"""What verifying computes of its own is what the run computed: to nine digits, for any numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xai_audit import intervals_rows
from xai_audit.explainers.attributions.attributed import mean_over_both
from xai_audit.verify.explained import spread

LEVELS = spread.levels_of(0.95)
FEW = settings(max_examples=60, deadline=None)


def close(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        for a, b in zip(one, other, strict=True):
            assert a == b or a == pytest.approx(b, rel=1e-9, abs=1e-11)


@given(st.floats(0.5001, 0.999999), st.floats(1, 1e6))
@FEW
def test_student_s_quantile(level, df):
    assert spread.student(level, df) == pytest.approx(intervals_rows.t_quantile(level, df), rel=1e-9)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
@FEW
def test_means(values):
    value, pairs = intervals_rows.mean(values, LEVELS)
    found = spread.mean(values, LEVELS)
    assert (found["value"], found["n"]) == (value, len(values))
    size = max(map(abs, values))
    for (low, high), ours in zip(
        pairs, [(found["low"], found["high"]), *found["limits"].values()], strict=True
    ):
        assert list(ours) == [low, high] or list(ours) == pytest.approx(
            [low, high], rel=1e-9, abs=1e-9 * size
        )


@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 2**32 - 1))
@FEW
def test_means_over_rows_and_draws(rows, draws, seed):
    class Context:
        levels = LEVELS

        @staticmethod
        def estimate(value, pairs, n):
            return spread.estimate(value, pairs, n)

    values = np.random.default_rng(seed).normal(size=(rows, draws))
    theirs, ours = mean_over_both(values, Context, -1.0, 1.0), spread.mean_of_both(values, LEVELS, -1.0, 1.0)
    assert ours["value"] == pytest.approx(theirs["value"], rel=1e-12)
    close(list(ours["limits"].values()), list(theirs["limits"].values()))

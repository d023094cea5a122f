import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from xai_audit.explainers.tables.fits import around, explained, fit


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 6), itself=st.booleans())
def test_fit_and_r2_are_those_of_a_weighted_ridge(seed, count, itself):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 3, (80, count)).astype(float)
    code = rng.integers(0, 3, count).astype(float)
    answers, told = 5 + rng.normal(size=79), 5 + rng.normal()
    width = 0.75 * np.sqrt(count)
    same = (codes == code).astype(float)
    same[0] = 1
    weight = np.sqrt(np.exp(-(count - same.sum(axis=1)) / width**2))
    values = np.concatenate([[told], answers])
    if not itself:
        same, weight, values = same[1:], weight[1:], values[1:]
    sums = around(codes, code, answers, told, width)[0 if itself else 1]
    intercept, coefficients = fit(sums, told, None)
    ridge = Ridge(alpha=1).fit(same, values, sample_weight=weight)
    assert np.allclose(coefficients, ridge.coef_, atol=1e-10)
    assert intercept == pytest.approx(ridge.intercept_, abs=1e-10)
    expected = r2_score(values, ridge.predict(same), sample_weight=weight)
    assert explained(sums, told, intercept, coefficients) == pytest.approx(expected, abs=1e-9)


def test_answers_that_differ_by_rounding_have_no_r2():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 2, (50, 2)).astype(float)
    _, sums = around(codes, codes[0], np.full(49, 0.7), 0.7, 1.0)
    assert np.isnan(explained(sums, 0.7, 0.7, np.zeros(2)))


def test_twins_are_both_chosen_without_trouble():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 2, (200, 1)).astype(float).repeat(3, axis=1)
    answers = (codes[1:, 0] == 1).astype(float)
    _, coefficients = fit(around(codes, np.ones(3), answers, 1.0, 1.3)[0], 1.0, 2)
    assert np.isfinite(coefficients).all()
    assert (coefficients != 0).sum() == 2

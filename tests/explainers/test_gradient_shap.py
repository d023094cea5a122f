"""Gradient SHAP as evidence: exact where gradients are constant, errors that hold what they claim, pairs that mirror."""

import io

import numpy as np
import pytest
import torch
from torch import nn

from tests.explainers.networks import Linear, image_subject, seeded, table_subject, text_subject
from tests.explainers.test_integrated_gradients import by_name
from xai_audit.explainers import gradient_shap
from xai_audit.explainers.gradient_shap import METHOD, points
from xai_audit.measure import Settings, Step, measure


def observed(made, *, min_cell=3, seed=0, **params):
    step = Step(METHOD, METHOD.params(**params), METHOD.id)
    return measure(made, [step], Settings(seed=seed, min_cell=min_cell, debug=True))


def array(outcome, name, part=""):
    piece = by_name(outcome)[part]
    with np.load(io.BytesIO(outcome.arrays[piece.arrays[name]])) as content:
        return content[name]


def test_points_come_in_mirrored_pairs_that_begin_alike():
    begin, along = points(0, "row", np.array([3, 5, 8]), 11)
    assert len(begin) == len(along) == 12
    assert np.allclose(along[::2] + along[1::2], 1)
    assert np.array_equal(begin[::2], begin[1::2])
    assert set(begin) <= {3, 5, 8}
    assert not np.array_equal(along, points(0, "other", np.array([3, 5, 8]), 11)[1])
    assert np.array_equal(along, points(0, "row", np.array([3, 5, 8]), 11)[1])


def test_a_linear_table_gives_weight_times_distance_from_the_background_within_its_errors():
    made = table_subject(seeded(lambda: nn.Linear(4, 2)))
    with torch.no_grad():
        made.model.network.module.weight[:] = torch.tensor([[0.0] * 4, [3.0, -2.0, 0.5, 0.0]])
    outcome = observed(made, rows=None, background=80, draws=200)
    values, errors = array(outcome, "values"), array(outcome, "mean_error")
    expected = (made.test.frame.to_numpy() - made.train.frame.to_numpy().mean(axis=0)) * [3, -2, 0.5, 0]
    spread = made.train.frame.to_numpy().std(axis=0) * [3, 2, 0.5, 0] / np.sqrt(100)
    assert errors.mean() == pytest.approx(spread.mean(), rel=0.1)
    z = (values - expected)[:, :3] / spread[:3]
    assert np.abs(z).max() < 5
    assert 0.85 < np.sqrt((z**2).mean()) < 1.15
    found = by_name(outcome)
    # Nothing is missed but the float32 of the network: the gradient is the same at every point.
    assert found["additivity"].observation.estimate.value < 1e-6
    case = found["local"].observation.cases[0]
    assert all(item["low"] <= item["phi"] <= item["high"] for item in case["items"])


def test_intervals_of_words_hold_what_more_draws_tell():
    made = text_subject()
    rough = observed(made, rows=6, draws=60)
    fine = array(observed(made, rows=6, draws=2000, background=40), "values")
    errors = array(rough, "mean_error")
    assert (errors > 0).all()
    apart = np.abs(array(rough, "values") - fine)
    assert apart.mean() < 2 * errors.mean()
    tokens = [
        token
        for case in by_name(rough)["local"].observation.cases
        for token in case["tokens"]
        if token["phi"] is not None
    ]
    assert all(token["low"] <= token["phi"] <= token["high"] for token in tokens)


def test_what_the_sum_misses_is_the_error_of_the_draws():
    outcome = observed(image_subject(n=16), rows=None, draws=100)
    gap, error = array(outcome, "gap"), array(outcome, "gap_error")
    assert np.abs(gap / error).max() < 4.5
    about = by_name(outcome)["additivity"]
    assert about.observation.estimate.n == 16
    assert about.params["within_two_standard_errors"] > 0.8
    assert about.params["independent_draws"] == 50


def test_regions_and_removal_find_the_corner_that_a_network_looks_at():
    weights = np.zeros((2, 16, 16), dtype=np.float32)
    weights[1, 12:, :4] = np.random.default_rng(0).normal(size=(4, 4)) * 0.1
    found = by_name(
        observed(image_subject(Linear(weights), classes=("no", "yes"), n=30), rows=None, draws=40)
    )
    assert found[""].observation.items[0].name == "row 4, column 1"
    assert found[""].observation.items[0].rank_high == 1
    assert found["deletion"].rung == found["insertion"].rung == "associated"


def test_the_same_seed_gives_the_same_and_another_seed_other_draws():
    made = table_subject()
    one, same, other = (observed(made, rows=8, draws=20, seed=seed) for seed in (0, 0, 1))
    assert one.evidence == same.evidence
    assert one.arrays == same.arrays
    assert one.arrays != other.arrays


def test_one_pair_more_than_asked_is_never_hidden():
    found = by_name(observed(table_subject(), rows=4, draws=5))
    assert found[""].params["independent_draws"] == 3
    assert gradient_shap.METHOD.needs == ("network",)

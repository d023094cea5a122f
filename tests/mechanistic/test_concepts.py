"""Concept vectors: the batched fit against each estimator by hand, scikit-learn and captum."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xai_audit.mechanistic import concepts


def drawn(seed=0, n=40, others=200, d=12, shift=2.0):
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=d)
    direction *= shift / np.linalg.norm(direction)
    return np.concatenate([rng.normal(size=(n, d)) + direction, rng.normal(size=(others, d))]), direction


def sets(count, n=40, others=200, seed=1):
    rng = np.random.default_rng(seed)
    negative = n + np.stack([rng.permutation(others)[:n] for _ in range(count)])
    return np.broadcast_to(np.arange(n), (count, n)), negative


def unit(vector):
    return vector / np.linalg.norm(vector)


def labels(members):
    return np.repeat([1.0, -1.0], len(members) // 2)


def test_ridge_is_the_primal_solution():
    examples, _ = drawn()
    found = concepts.fit(concepts.gram(examples), *sets(5), "ridge", penalty=0.3)
    for members, vector in zip(found.members, found.dense(examples), strict=True):
        x = examples[members] - examples[members].mean(axis=0)
        ridge = 0.3 * (x**2).sum() / len(x)
        by_hand = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ labels(members))
        np.testing.assert_allclose(vector, unit(by_hand), atol=1e-10)


def test_mean_difference_is_the_difference_of_the_means():
    examples, _ = drawn()
    found = concepts.fit(concepts.gram(examples), *sets(5), "mean_difference")
    for members, vector in zip(found.members, found.dense(examples), strict=True):
        half = len(members) // 2
        by_hand = examples[members[:half]].mean(axis=0) - examples[members[half:]].mean(axis=0)
        np.testing.assert_allclose(vector, unit(by_hand), atol=1e-12)


@pytest.mark.parametrize("shift", [0.0, 2.0, 8.0])
def test_logistic_is_that_of_scikit_learn(shift):
    from sklearn.linear_model import LogisticRegression

    examples, _ = drawn(shift=shift)
    found = concepts.fit(concepts.gram(examples), *sets(4), "logistic")
    for members, vector in zip(found.members, found.dense(examples), strict=True):
        model = LogisticRegression(tol=1e-10, max_iter=10_000).fit(examples[members], labels(members))
        np.testing.assert_allclose(vector, unit(model.coef_[0]), atol=1e-6)


@pytest.mark.parametrize("estimator", ["ridge", "mean_difference", "logistic"])
def test_accuracy_is_of_the_side_of_the_threshold_of_held_out_examples(estimator):
    examples, _ = drawn()
    found = concepts.fit(concepts.gram(examples), *sets(6), estimator)
    for members, held, vector, correct in zip(
        found.members, found.held, found.dense(examples), found.correct, strict=True
    ):
        assert not set(members) & set(held)
        scores = examples[held] @ vector
        if estimator == "logistic":
            from sklearn.linear_model import LogisticRegression

            model = LogisticRegression(tol=1e-10, max_iter=10_000).fit(examples[members], labels(members))
            predicted = model.predict(examples[held])
        else:
            predicted = np.where(scores > (examples[members] @ vector).mean(), 1.0, -1.0)
        np.testing.assert_array_equal(correct, predicted == labels(held))


def test_every_example_is_held_out_by_some_vector():
    examples, _ = drawn()
    found = concepts.fit(concepts.gram(examples), *sets(19))
    assert set(range(40)) <= set(found.held.ravel())
    assert set(range(40)) <= set(found.members.ravel())


def test_accuracy_is_that_of_chance_where_sets_do_not_differ():
    accuracy = []
    for seed in range(20):
        examples, _ = drawn(seed, shift=0.0)
        accuracy.append(concepts.fit(concepts.gram(examples), *sets(20, seed=seed)).accuracy.mean())
    assert abs(np.mean(accuracy) - 0.5) < 3 * np.std(accuracy) / 20**0.5
    examples, _ = drawn(shift=12.0)
    assert concepts.fit(concepts.gram(examples), *sets(20)).accuracy.min() == 1.0


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    estimator=st.sampled_from(["ridge", "mean_difference", "logistic"]),
    scale=st.floats(0.2, 5),
)
def test_vectors_have_length_one_and_depend_on_no_origin(seed, estimator, scale):
    examples, _ = drawn(seed, n=12, others=40)
    chosen = sets(3, n=12, others=40, seed=seed)
    found = concepts.fit(concepts.gram(examples), *chosen, estimator)
    vectors = found.dense(examples)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-9)
    moved = examples + 100 * np.random.default_rng(seed + 1).normal(size=examples.shape[1])
    again = concepts.fit(concepts.gram(moved), *chosen, estimator)
    np.testing.assert_allclose(again.dense(moved), vectors, atol=1e-6)
    np.testing.assert_array_equal(again.correct, found.correct)
    if estimator != "logistic":
        larger = concepts.fit(concepts.gram(examples * scale), *chosen, estimator)
        np.testing.assert_allclose(larger.dense(examples * scale), vectors, atol=1e-9)


def test_derivatives_and_means_are_those_of_the_dense_vectors():
    examples, _ = drawn()
    gradients = np.random.default_rng(3).normal(size=(30, examples.shape[1]))
    found = concepts.fit(concepts.gram(examples), *sets(7))
    vectors = found.dense(examples)
    np.testing.assert_allclose(found.derivatives(gradients @ examples.T), gradients @ vectors.T, atol=1e-10)
    np.testing.assert_allclose(found.mean(examples), vectors.mean(axis=0), atol=1e-12)
    by_difference = found.differences()
    for members, vector in zip(found.members, by_difference.dense(examples), strict=True):
        half = len(members) // 2
        np.testing.assert_allclose(
            vector, examples[members[:half]].mean(axis=0) - examples[members[half:]].mean(axis=0), atol=1e-12
        )
    again, accuracy = concepts.concept_vectors(examples, *sets(7))
    np.testing.assert_array_equal(again, vectors)
    np.testing.assert_array_equal(accuracy, found.accuracy)


def test_more_vectors_than_a_batch_are_the_same_vectors():
    examples, _ = drawn(n=10, others=30)
    positive, negative = sets(concepts.CHUNK + 5, n=10, others=30)
    found = concepts.fit(concepts.gram(examples), positive, negative)
    for b in (0, concepts.CHUNK + 4):
        one = found.members[b]
        alone = concepts._solved(concepts.gram(examples), one[None], found.held[b][None], "ridge", 1.0)[0]
        np.testing.assert_allclose(found.weights[b], alone[0], atol=1e-12)


def test_alike_examples_have_no_direction_and_no_crash():
    examples = np.ones((30, 4))
    for estimator in ("ridge", "mean_difference", "logistic"):
        found = concepts.fit(concepts.gram(examples), *sets(2, n=10, others=20), estimator)
        assert np.isfinite(found.weights).all()
        np.testing.assert_allclose(found.accuracy, 0.5)


def test_sets_that_differ_in_size_or_are_too_small_are_refused():
    kernel = np.eye(10)
    with pytest.raises(ValueError, match="same size"):
        concepts.fit(kernel, np.zeros((1, 4), dtype=int), np.zeros((1, 3), dtype=int))
    with pytest.raises(ValueError, match="at least three"):
        concepts.fit(kernel, np.zeros((1, 2), dtype=int), np.zeros((1, 2), dtype=int))


def test_a_gradient_field_of_one_direction_is_steady():
    rng = np.random.default_rng(0)
    direction = rng.normal(size=8)
    assert concepts.steadiness(rng.random((20, 1)) * direction) == pytest.approx(1.0)
    assert concepts.steadiness(rng.normal(size=(200, 8))) < 0.3
    assert np.isnan(concepts.steadiness(np.zeros((5, 8))))


@pytest.mark.parametrize("estimator", ["ridge", "logistic"])
def test_sign_scores_of_strong_concepts_are_those_of_scikit_learn(estimator):
    from sklearn.linear_model import LogisticRegression

    examples, direction = drawn(n=50, others=500, d=48, shift=8.0)
    rng = np.random.default_rng(4)
    gradients = rng.normal(size=(200, 48)) + 2.0 * unit(direction)
    found = concepts.fit(concepts.gram(examples), *sets(30, n=50, others=500), estimator)
    ours = concepts.sign_score(found.derivatives(gradients @ examples.T)).mean()
    theirs = []
    for members in found.members:
        model = LogisticRegression(max_iter=1000).fit(examples[members], labels(members))
        theirs.append((gradients @ model.coef_[0] > 0).mean())
    assert 0.8 < np.mean(theirs) < 0.999
    assert abs(ours - np.mean(theirs)) <= 0.02


def test_scores_of_captums_own_vectors_are_captums(tmp_path):
    pytest.importorskip("captum", reason="captum is not installed")
    from benchmarks.tcav import TwoColumns, captum_scores, tensor
    from tests.explainers import concept_beds as beds
    from xai_audit.mechanistic import flows
    from xai_audit.mechanistic.sites import Site

    bed = beds.planted(11, used=2.0, spread=1.5, shift=5.0)
    one = flows.Flow(Site.parse("mix"))
    inputs = bed.frame(60)
    gradients = flows.class_gradients(bed.network, inputs, [one], np.ones(60, dtype=np.int64))[one]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs, _ = captum_scores(
            TwoColumns(bed.network.module),
            "module.mix",
            tensor(inputs),
            tensor(bed.frame(50, concept=True)),
            [tensor(bed.frame(50)) for _ in range(2)],
            str(tmp_path),
        )
    for vector, count, size in theirs:
        along = gradients.astype(np.float64) @ vector.astype(np.float64)[:, None]
        assert concepts.sign_score(along)[0] == pytest.approx(count, abs=1e-6)
        assert concepts.magnitude(along)[0] == pytest.approx(size, abs=1e-6)

"""Areas equal scikit-learn's, planted units are found, and shuffled labels find nothing more often than they may."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, rankdata
from sklearn.metrics import roc_auc_score

from tests.mechanistic.probing.beds import planted
from xai_audit.mechanistic.probing import scan as scans


@pytest.mark.parametrize("tied", [False, True])
def test_ranks_are_those_of_scipy(tied):
    rng = np.random.default_rng(3)
    values = rng.normal(size=(57, 300)).astype(np.float32)
    if tied:
        values = np.maximum(values, 0).round(1)
    expected = rankdata(values, axis=0).T - (57 + 1) / 2
    assert np.array_equal(scans.centred_ranks(values), expected.astype(np.float32))


def test_areas_are_those_of_scikit_learn():
    rng = np.random.default_rng(4)
    values = np.maximum(rng.normal(size=(400, 30)), -0.3).astype(np.float32)
    labels = rng.random((400, 7)) < rng.uniform(0.02, 0.9, 7)
    found = scans.scan(values, labels, 0, rng).auroc
    expected = [[roc_auc_score(labels[:, p], values[:, u]) for u in range(30)] for p in range(7)]
    assert np.abs(found - expected).max() < 1e-12


def test_z_is_the_normal_statistic_of_mann_and_whitney():
    rng = np.random.default_rng(5)
    values = rng.normal(size=(200, 3)).round(1)
    label = rng.random(200) < 0.4
    found = scans.scan(values, label[:, None], 0, rng).z[0]
    for unit in range(3):
        p = mannwhitneyu(
            values[label, unit], values[~label, unit], use_continuity=False, method="asymptotic"
        ).pvalue
        from scipy.stats import norm

        assert 2 * norm.sf(abs(found[unit])) == pytest.approx(p, rel=1e-6)


def test_planted_units_are_found_and_nothing_else():
    bed = planted(1, predicates=16)
    found = scans.scan(bed.activations, bed.labels, 99, np.random.default_rng(0))
    assert [int(found.best(p)[0]) for p in range(16)] == bed.units[:, 0].tolist()
    assert (found.p()[np.arange(16), bed.units[:, 0]] == 0.01).all()
    others = np.ones(found.auroc.shape, dtype=bool)
    others[np.arange(16), bed.units[:, 0]] = False
    assert (found.p()[others] > 0.05).all()


def test_family_wise_error_under_shuffled_labels():
    bed = planted(2, rows=120, units=60, predicates=3)
    ranks = scans.centred_ranks(bed.activations)
    shuffles = np.random.default_rng([2, 5])
    wrong = 0
    for rep in range(200):
        labels = bed.labels[shuffles.permutation(120)]
        wrong += scans.scanned(ranks, labels, 39, np.random.default_rng([2, rep, 6])).p().min() <= 0.05
    assert wrong / 200 <= 0.05 + 2 * (0.05 * 0.95 / 200) ** 0.5


def test_a_unit_that_never_varies_says_nothing():
    values = np.zeros((40, 2))
    values[:, 1] = np.arange(40)
    label = (np.arange(40) >= 20)[:, None]
    found = scans.scan(values, label, 19, np.random.default_rng(0))
    assert found.auroc.tolist() == [[0.5, 1.0]]
    assert found.p()[0, 0] == 1.0


def test_within_strata_a_unit_of_the_stratum_is_no_finding():
    rng = np.random.default_rng(8)
    stratum = rng.integers(0, 2, 400)
    label = rng.random(400) < np.where(stratum, 0.8, 0.2)
    values = rng.normal(size=(400, 5)) + 2 * stratum[:, None]
    free = scans.scan(values, label[:, None], 99, np.random.default_rng(1))
    held = scans.scan(values, label[:, None], 99, np.random.default_rng(1), strata=stratum)
    assert free.p().min() == 0.01
    assert held.p().min() > 0.05


@pytest.mark.parametrize("labels", [np.ones((10, 1), dtype=bool), np.zeros((10, 1), dtype=bool)])
def test_a_predicate_of_one_class_is_refused(labels):
    with pytest.raises(ValueError, match="every row or for none"):
        scans.scan(np.zeros((10, 2)), labels, 0, np.random.default_rng(0))


def test_what_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        scans.centred_ranks(np.array([[np.nan]]))


def test_largest_first_ties_by_place():
    assert scans.largest(np.array([1.0, 3.0, 3.0, 2.0]), 3).tolist() == [1, 2, 3]
    assert scans.largest(np.array([1.0, 3.0]), 5).tolist() == [1, 0]

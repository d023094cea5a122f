"""Sparse probes: the exact sets are those of exhaustive search, planted units are chosen, held-out scores are honest."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.mechanistic.probing.beds import planted
from xai_audit.mechanistic.probing import sparse


def hidden_pair(seed, rows=300, units=24):
    """Two units that tell the label only together, among others that tell it weakly alone."""
    rng = np.random.default_rng(seed)
    label = rng.random(rows) < 0.5
    values = rng.normal(size=(rows, units)) + 0.4 * rng.random(units) * label[:, None]
    values[:, 5] = rng.normal(size=rows) * 3
    values[:, 17] = values[:, 5] + 0.5 * rng.normal(size=rows) + 0.8 * label
    return values.astype(np.float32), label


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_best_set_is_that_of_exhaustive_search(seed, k):
    values, label = hidden_pair(seed)
    target = label - label.mean()
    centred = values - values.mean(axis=0)
    left = {
        units: np.linalg.lstsq(centred[:, units], target, rcond=None)[1][0]
        for units in combinations(range(24), k)
    }
    tried = {units: 1 - rest / (target @ target) for units, rest in left.items()}
    best = max(tried, key=tried.get)
    units, r2 = sparse.best_subset(values, label, k)
    assert sorted(units.tolist()) == list(best)
    assert r2 == pytest.approx(tried[best], rel=1e-5)


def test_two_units_that_tell_only_together_need_the_exact_set():
    values, label = hidden_pair(4)
    assert set(sparse.select(values, label, 2, "exact").tolist()) == {5, 17}
    assert set(sparse.select(values, label, 2, "mean_difference").tolist()) != {5, 17}


@pytest.mark.parametrize("seed", range(6))
def test_of_units_that_fire_for_one_row_alone_the_first_is_on_the_path(seed):
    """Standardised they are one column; a library's path goes astray on such."""
    rng = np.random.default_rng([seed, 21])
    label = rng.random(120) < 0.5
    values = np.maximum(rng.normal(size=(120, 12)) + 0.6 * label[:, None] * (np.arange(12) < 3), 0)
    values = np.concatenate([values, np.zeros((120, 6))], axis=1).astype(np.float32)
    row = int(np.flatnonzero(label)[0])
    values[row, 12:] = rng.uniform(1, 9, 6)
    for k in (3, 8, 13):
        units = sparse.select(values, label, k, "l1")
        assert units.tolist() == sparse.select(values[:, :13], label, k, "l1").tolist()


@pytest.mark.parametrize("selector", ["mean_difference", "l1", "exact"])
def test_planted_units_are_chosen_and_told_on_other_rows(selector):
    bed = planted(5, rows=2000, units=300, predicates=2, each=3)
    fitted, held = np.arange(2000) < 1000, np.arange(2000) >= 1000
    for predicate, own in enumerate(bed.units):
        label = bed.labels[:, predicate]
        units = sparse.select(bed.activations[fitted], label[fitted], 3, selector)
        assert set(units.tolist()) == set(own.tolist())
        probe = sparse.fit(bed.activations[fitted], label[fitted], units)
        assert roc_auc_score(label[held], probe.scores(bed.activations[held])) > 0.9


def test_the_lasso_is_filled_where_nothing_more_enters():
    rng = np.random.default_rng(6)
    one = rng.normal(size=(50, 1))
    values = np.repeat(one, 4, axis=1)
    found = sparse.select(values, one[:, 0] > 0, 3, "l1")
    assert len(set(found.tolist())) == 3


def test_equal_units_and_flat_ones_do_no_harm():
    rng = np.random.default_rng(7)
    values = rng.normal(size=(200, 6)).astype(np.float32)
    values[:, 1] = values[:, 0]
    values[:, 2] = 4.0
    label = values[:, 0] + 0.3 * values[:, 3] > 0
    units, _ = sparse.best_subset(values, label, 3)
    assert 2 not in units
    assert np.isfinite(sparse.fit(values, label, np.array([0, 1])).weights).all()
    with pytest.raises(ValueError, match="6 units are asked, and 5 vary"):
        sparse.select(values, label, 6)
    with pytest.raises(ValueError, match="exact sets have 1 to 3 units"):
        sparse.select(values, label, 4, "exact")


def test_a_probe_on_shuffled_labels_tells_nothing_on_other_rows():
    bed = planted(8, rows=1000, units=300, predicates=1)
    areas = []
    for rep in range(20):
        label = np.random.default_rng([8, rep, 2]).permutation(bed.labels[:, 0])
        units = sparse.select(bed.activations[:500], label[:500], 4)
        probe = sparse.fit(bed.activations[:500], label[:500], units)
        areas.append(roc_auc_score(label[500:], probe.scores(bed.activations[500:])))
    assert abs(np.mean(areas) - 0.5) < 0.03

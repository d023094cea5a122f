from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_rel
from sklearn.metrics import roc_auc_score

from xai_audit.mechanistic.design import deltas


def test_aurocs_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    units = rng.normal(size=(300, 7)).round(1)
    concept = rng.random(300) < 0.3
    expected = [roc_auc_score(concept, units[:, place]) for place in range(7)]
    assert deltas.aurocs(units, concept) == pytest.approx(expected)
    with pytest.raises(ValueError, match="separates nothing"):
        deltas.aurocs(units, np.ones(300, dtype=bool))


def test_the_best_unit_is_judged_on_other_rows() -> None:
    rng = np.random.default_rng(1)
    concepts = rng.random((400, 2)) < 0.5
    units = rng.normal(size=(400, 300))
    units[:, 11] -= 3 * concepts[:, 0]
    first = np.arange(400) < 200
    found, shuffled = deltas.best_units(units, [concepts[:, 0], rng.permutation(concepts[:, 0])], first)
    assert found.unit == 11
    assert found.auroc == pytest.approx(1 - deltas.aurocs(units[200:], concepts[200:, 0])[11])
    # The best of 300 units by chance is no better than chance on rows that it was not chosen on.
    assert abs(shuffled.auroc - 0.5) < 0.1


def test_a_circuit_is_the_fewest_units_that_agree() -> None:
    needed = {2, 5, 9}

    def decide(kept):
        return np.full(10, int(needed <= set(kept)))

    effects = np.zeros(300)
    effects[[2, 5, 9]] = [3, 1, 2]
    found = deltas.circuit(decide, np.ones(10, dtype=int), effects)
    assert found.units == (2, 9, 5)
    assert (found.size, found.agreement, found.width) == (3, 1.0, 300)
    # The network itself where nothing less agrees; nothing at all where it decides all alike.
    assert (
        deltas.circuit(lambda kept: np.full(4, int(len(kept) == 6)), np.ones(4, dtype=int), np.ones(6)).size
        == 6
    )
    assert deltas.circuit(lambda _: np.ones(4), np.ones(4, dtype=int), np.ones(6)).size == 0
    # Between two sizes that are tried the first one is found.
    deep = deltas.circuit(
        lambda kept: np.full(4, int(len(kept) >= 173)), np.ones(4, dtype=int), np.arange(300.0)
    )
    assert deep.size == 173


def test_calibration_error_of_known_bins() -> None:
    scores = np.array([[0.9, 0.1]] * 10 + [[0.4, 0.6]] * 10)
    labels = np.array([0] * 9 + [1] + [1] * 4 + [0] * 6)
    # Nine of ten at 0.9, four of ten at 0.6.
    assert deltas.calibration_error(scores, labels) == pytest.approx(0.5 * 0 + 0.5 * 0.2)


def test_paired_differences_are_students() -> None:
    before, after = [14.0, 15.0, 13.0, 16.0], [7.0, 8.5, 7.0, 7.5]
    found = deltas.paired(before, after)
    test = ttest_rel(after, before)
    interval = test.confidence_interval(0.95)
    assert found.p == pytest.approx(test.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.difference == pytest.approx(-7)
    assert deltas.paired([1.0], [2.0]).low is None
    assert deltas.paired([1.0, 2.0], [1.0, 2.0]).p == 1


def test_units_and_weights_that_are_not_zero() -> None:
    import torch
    from torch import nn

    assert deltas.active_units(np.array([[0.0, 1.0, 2.0], [0.0, 0.0, -1.0]])) == 1.5
    module = nn.Linear(3, 2)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[0.0, 1.0, 0.0], [2.0, 0.0, 0.0]]))
    assert deltas.nonzero_weights(module) == (2, 6)

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from xai_audit.mechanistic.dynamics import measures


def test_gini_of_known_amounts() -> None:
    assert measures.gini(np.array([1.0, 1.0, 1.0, 1.0])) == 0
    # One of n holds all: (n - 1) / n.
    assert measures.gini(np.array([0.0, 0.0, 0.0, 5.0])) == pytest.approx(0.75)
    assert measures.gini(np.array([1.0, 3.0])) == pytest.approx(0.25)
    assert measures.gini(np.zeros(3)) == 0
    with pytest.raises(ValueError, match="no numbers"):
        measures.gini(np.array([]))


@given(st.lists(st.floats(0.01, 1e3), min_size=2, max_size=30), st.floats(0.1, 10))
def test_gini_minds_neither_scale_nor_order_nor_sign(amounts: list[float], scale: float) -> None:
    found = measures.gini(np.array(amounts))
    assert measures.gini(-scale * np.array(amounts[::-1])) == pytest.approx(found, abs=1e-9)
    # The mean absolute difference over twice the mean, by every pair.
    pairs = np.abs(np.subtract.outer(amounts, amounts)).mean() / (2 * np.mean(amounts))
    assert found == pytest.approx(pairs, abs=1e-9)


def test_effective_rank_of_known_matrices() -> None:
    assert measures.effective_rank(torch.eye(5)) == pytest.approx(5, rel=1e-5)
    assert measures.effective_rank(torch.outer(torch.ones(4), torch.arange(1.0, 4))) == pytest.approx(
        1, rel=1e-4
    )
    assert measures.effective_rank(torch.zeros(3, 3)) == 0
    shares = np.array([0.5, 0.25, 0.25])
    expected = math.exp(-(shares * np.log(shares)).sum())
    assert measures.effective_rank(torch.diag(torch.tensor([2.0, 1.0, 1.0]))) == pytest.approx(
        expected, rel=1e-5
    )


def test_weights_of_a_network() -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.Conv1d(2, 4, 3))
    found = measures.weights(module)
    expected = sum(float((one.detach().double() ** 2).sum()) for one in module.parameters())
    assert found["weight_norm"] == pytest.approx(expected)
    entries = np.concatenate([module[0].weight.detach().ravel(), module[1].weight.detach().ravel()])
    assert found["gini"] == pytest.approx(measures.gini(entries))
    assert 0 < found["effective_rank"] <= 1
    assert "effective_rank" not in measures.weights(module, widest=1)
    assert measures.weights(nn.LayerNorm(4)).keys() == {"weight_norm"}


def test_a_loss_that_float32_would_round_to_nothing() -> None:
    logits = torch.tensor([[40.0, 0.0]])
    assert float(torch.nn.functional.cross_entropy(logits, torch.tensor([0]))) == 0
    assert float(measures.cross_entropy(logits, torch.tensor([0]))) == pytest.approx(math.exp(-40), rel=1e-9)


def test_examples_in_batches_give_what_one_pass_gives() -> None:
    module = nn.Linear(3, 4)
    x, y = torch.randn(11, 3), torch.arange(11) % 4
    whole = measures.Examples(x, y).measured(module)
    assert measures.Examples(x, y, batch=4).measured(module) == pytest.approx(whole)
    expected = float(torch.nn.functional.cross_entropy(module(x).double(), y).detach())
    assert whole["loss"] == pytest.approx(expected)
    named = measures.Examples({"input": x}, y, answer=lambda net, given: net(given["input"]))
    assert named.measured(module) == pytest.approx(whole)


def test_a_series_knows_what_was_not_measured() -> None:
    found = measures.Series.of({10: {"a": 1.0, "b": 2.0}, 0: {"a": 3.0}})
    assert found.steps.tolist() == [0, 10]
    assert found.values["a"].tolist() == [3.0, 1.0]
    assert np.isnan(found.values["b"][0])
    assert list(found.frame().columns) == ["a", "b"]

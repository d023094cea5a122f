from __future__ import annotations

import numpy as np
import pytest
import torch

from xai_audit.mechanistic.dynamics import addition, by_hand


def test_the_task_knows_its_answers() -> None:
    task = addition.Modular.split(5, 0.4, np.random.default_rng(0), "subtract")
    assert task.train.sum() == 10
    a, b = task.pairs[7]
    assert (a, b) == (1, 2)
    assert task.results[7] == 4
    with pytest.raises(ValueError, match="held out"):
        addition.Modular(2, np.ones((2, 2), dtype=bool))
    with pytest.raises(ValueError, match="mask"):
        addition.Modular(3, np.ones((2, 2), dtype=bool))


def test_the_table_of_keys_and_values_gives_what_attention_over_three_tokens_gives() -> None:
    module = addition.transformer(
        7, width=8, heads=2, hidden=12, generator=torch.Generator().manual_seed(0)
    ).double()
    pairs = torch.tensor([[1, 5], [6, 0], [3, 3]])
    tokens = torch.cat([pairs, torch.full((3, 1), 7)], dim=1)
    x = module.embed(tokens) + module.positions
    q, k, v = (
        layer(x).reshape(3, 3, 2, 4).transpose(1, 2) for layer in (module.query, module.key, module.value)
    )
    mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(3, 3, 8)[:, -1]
    stream = x[:, -1] + module.output(mixed)
    expected = module.unembed(stream + module.write(torch.relu(module.read(stream))))
    assert torch.allclose(module(pairs), expected)
    # A table of floats is read as the whole numbers it holds.
    assert torch.equal(module(pairs.float()), module(pairs))
    with pytest.raises(ValueError, match="divide"):
        addition.transformer(7, width=9, heads=2)


def test_weights_begin_as_in_the_paper_s_code() -> None:
    """Normal, by the width of the stream, also of the wide layer's output; the last ones by the number of tokens."""
    module = addition.transformer(97, width=32, hidden=512, generator=torch.Generator().manual_seed(2))
    for name, one in module.named_parameters():
        if one.ndim < 2:
            assert not one.any()
        else:
            expected = 98 if name == "unembed.weight" else 32
            assert float(one.detach().var()) * expected == pytest.approx(
                1, abs=5 * (2 / one.numel()) ** 0.5
            ), name


def test_training_memorises_and_is_the_same_twice() -> None:
    task = addition.Modular.split(7, 0.5, np.random.default_rng(1))
    runs = []
    for _ in range(2):
        module = addition.transformer(
            7, width=16, heads=2, hidden=32, generator=torch.Generator().manual_seed(5)
        )
        done = addition.train(task, module, steps=150, after=lambda step, _: step == 120)
        assert done.steps == 120
        runs.append(module(torch.from_numpy(task.pairs)).detach())
    assert torch.equal(*runs)
    right = (runs[0].argmax(1).numpy() == task.results)[task.train.ravel()]
    assert right.mean() > 0.9


@pytest.mark.parametrize("scale", [1.0, 4.0])
@pytest.mark.parametrize("heads", [1, 4])
def test_gradients_written_out_are_those_of_autograd(heads, scale):
    """In float64 beside autograd's; a large scale makes the network sure, so that its loss is nearly 0 on some rows."""
    module = addition.transformer(
        7, width=8, heads=heads, hidden=16, generator=torch.Generator().manual_seed(3)
    )
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(scale)
    pairs = torch.from_numpy(np.random.default_rng(4).integers(0, 7, (30, 2)))
    results = pairs.sum(1) % 7
    loss = by_hand.Batch(module, pairs, results).step()
    own = {name: one.grad.clone() for name, one in module.named_parameters()}
    module.double().zero_grad()
    expected = torch.nn.functional.cross_entropy(module(pairs), results)
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    assert own.keys() == {name for name, one in module.named_parameters()}
    for name, one in module.named_parameters():
        assert (own[name] - one.grad).abs().max() <= 2e-5 * max(float(one.grad.abs().max()), 1e-6), name


def test_no_other_network_is_trained_with_gradients_that_are_not_its_own() -> None:
    task = addition.Modular.split(7, 0.5, np.random.default_rng(1))
    frozen = addition.transformer(7, width=8, heads=2, hidden=16)
    frozen.embed.weight.requires_grad_(False)
    for module in (torch.nn.Linear(2, 7), frozen):
        with pytest.raises(TypeError, match=r"addition\.transformer with all its parameters"):
            addition.train(task, module, steps=1)

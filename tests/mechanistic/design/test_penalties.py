from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from xai_audit.errors import MethodError
from xai_audit.mechanistic.design import locality, penalties
from xai_audit.mechanistic.design.sparsity import Annealing, WeightSparse


def test_activation_sparsity_is_the_mean_of_sums() -> None:
    activations = torch.tensor([[1.0, -2.0], [0.0, 3.0]], requires_grad=True)
    found = penalties.activation_sparsity(activations)
    assert float(found.detach()) == 3
    found.backward()
    assert activations.grad.tolist() == [[0.5, -0.5], [0.0, 0.5]]


def test_concept_alignment_reads_units_as_logits() -> None:
    activations = torch.tensor([[0.0, 2.0, 9.0]])
    found = penalties.concept_alignment(activations, torch.tensor([[1.0, 0.0]]))
    assert float(found) == pytest.approx((math.log(2) + math.log(1 + math.exp(2))) / 2)
    unknown = penalties.concept_alignment(activations, torch.tensor([[float("nan"), 1.0]]), units=[0, 2])
    assert float(unknown) == pytest.approx(math.log(1 + math.exp(-9)))
    with pytest.raises(ValueError, match="each its own"):
        penalties.concept_alignment(activations, torch.ones(1, 2), units=[1, 1])
    with pytest.raises(ValueError, match="do not fit"):
        penalties.concept_alignment(activations, torch.ones(1, 4))
    with pytest.raises(ValueError, match="no concept is known"):
        penalties.concept_alignment(activations, torch.full((1, 2), float("nan")))


def test_right_reasons_of_a_linear_classifier() -> None:
    weight = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    x = torch.zeros(2, 2, requires_grad=True)
    # At p = 1/2 the summed log probability has the slope (1 - 2 p) w = 0; elsewhere (1 - 2 p) w.
    assert float(penalties.right_reasons(x, x @ weight.T, torch.ones(2)).detach()) == 0
    x = torch.tensor([[1.0, 0.0]], requires_grad=True)
    p = 1 / (1 + math.exp(-3))
    found = penalties.right_reasons(x, x @ weight.T, torch.tensor([0.0, 1.0]))
    assert float(found.detach()) == pytest.approx(((1 - 2 * p) * 4) ** 2, rel=1e-5)
    with pytest.raises(ValueError, match="requires_grad_"):
        penalties.right_reasons(x.detach(), x @ weight.T, torch.ones(2))


def test_right_reasons_can_be_trained_on() -> None:
    """An input that should not matter loses its weight, one that may keeps it."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 1, generator=generator).repeat(1, 2)
    y = (x[:, 0] > 0).long()
    sizes = []
    for weight in (0.0, 10.0):
        module = nn.Linear(2, 2)
        with torch.no_grad():
            module.weight.copy_(torch.tensor([[-0.1, -0.1], [0.1, 0.1]]))
            module.bias.zero_()
        optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
        for _ in range(80):
            given = x.clone().requires_grad_()
            logits = module(given)
            loss = nn.functional.cross_entropy(logits, y)
            loss = loss + weight * penalties.right_reasons(given, logits, torch.tensor([0.0, 1.0]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        sizes.append(module.weight.detach().diff(dim=0).abs()[0].tolist())
    assert sizes[1][1] < 0.2 * sizes[0][1]
    assert sizes[1][0] > 0.5 * sizes[0][0]


def test_what_flows_through_is_captured_with_its_graph() -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    with penalties.Captured(module, ["0", "1"]) as seen:
        module(torch.ones(1, 2))
        seen["1"].sum().backward()
        assert torch.equal(torch.relu(seen["0"]), seen["1"])
    assert module[0].weight.grad is not None
    assert not module[0]._forward_hooks
    with pytest.raises(KeyError):
        seen["1"]
    with pytest.raises(MethodError, match="no module 'x' in this network; there are 0, 1"):
        penalties.Captured(module, ["x"])


def test_annealing_goes_from_all_to_the_density() -> None:
    straight = Annealing(0.2, begin=10, end=20)
    assert [straight.at(step) for step in (0, 10, 15, 20, 99)] == pytest.approx([1, 1, 0.6, 0.2, 0.2])
    assert Annealing(0.2, begin=10, end=20, shape="cubic").at(15) == pytest.approx(0.2 + 0.8 / 8)
    with pytest.raises(ValueError, match="density"):
        Annealing(0)
    with pytest.raises(ValueError, match="begin"):
        Annealing(0.5, begin=5, end=5)


def test_the_largest_weights_stay() -> None:
    module = nn.Linear(4, 2)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[1.0, -8.0, 3.0, 0.5], [2.0, 0.1, -7.0, 4.0]]))
        module.bias.fill_(0.01)
    sparse = WeightSparse(torch.optim.SGD(module.parameters(), lr=0.0), Annealing(0.25, begin=0, end=2))
    module(torch.ones(1, 4)).sum().backward()
    sparse.step()
    assert int((module.weight != 0).sum()) == round(0.625 * 8)
    sparse.step()
    assert module.weight.tolist() == [[0.0, -8.0, 0.0, 0.0], [0.0, 0.0, -7.0, 0.0]]
    assert module.bias.tolist() == pytest.approx([0.01, 0.01])
    sparse.zero_grad()
    again = WeightSparse(torch.optim.SGD(module.parameters(), lr=0.0), Annealing(0.25))
    again.load_state_dict(sparse.state_dict())
    assert again.steps == 2
    assert again.param_groups[0]["lr"] == 0
    with pytest.raises(ValueError, match="no matrix"):
        WeightSparse(torch.optim.SGD([module.bias], lr=0.1), Annealing(0.5))


def test_wiring_grows_with_distance_and_settling_shortens_it() -> None:
    layers = [nn.Linear(3, 3), nn.Linear(3, 1)]
    with torch.no_grad():
        # Every hidden unit reads the input at the other end.
        layers[0].weight.copy_(torch.eye(3).flip(0))
        layers[1].weight.copy_(torch.tensor([[1.0, 2.0, 3.0]]))
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))

    def answer() -> torch.Tensor:
        return layers[1](torch.relu(layers[0](x))).detach()

    before, cost = answer(), float(locality.wiring(layers).detach())
    # Distances are 2, 1, 2 within the first layer, and 1.5, 1, 1.5 to the output in the middle.
    assert cost == pytest.approx(2 + 1 + 2 + 1.5 + 2 + 4.5)
    moments = torch.arange(3.0)
    assert locality.settle(layers, states=[moments]) == 1
    assert moments.tolist() == [2.0, 1.0, 0.0]
    assert torch.allclose(answer(), before, atol=1e-6)
    assert float(locality.wiring(layers).detach()) == pytest.approx(cost - 2)
    assert locality.settle(layers) == 0
    with pytest.raises(ValueError, match="takes"):
        locality.settle([nn.Linear(2, 3), nn.Linear(2, 1)])

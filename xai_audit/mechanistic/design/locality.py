"""Locality: units have places, long connections cost more, and units change places where that shortens them.

Brain-inspired modular training, Liu, Gan and Tegmark 2023 (arXiv:2305.08746).
"""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch


def distances(inputs: int, outputs: int, gap: float = 1.0) -> torch.Tensor:
    """How far every output is from every input, (outputs, inputs): evenly spread on two lines ``gap`` apart."""
    import torch

    here, there = torch.linspace(0, 1, outputs), torch.linspace(0, 1, inputs)
    if outputs == 1:
        here = torch.full((1,), 0.5)
    if inputs == 1:
        there = torch.full((1,), 0.5)
    return (here[:, None] - there[None]).abs() + gap


def wiring(layers: Sequence[torch.nn.Linear], gap: float = 1.0) -> torch.Tensor:
    """The cost of all connections of a chain of linear layers: the sum of weight times distance, absolute."""
    total: Any = 0.0
    for layer in layers:
        far = distances(layer.in_features, layer.out_features, gap).to(layer.weight)
        total = total + (layer.weight.abs() * far).sum()
    found: torch.Tensor = total
    return found


def settle(
    layers: Sequence[torch.nn.Linear],
    *,
    gap: float = 1.0,
    most: int = 16,
    states: Sequence[torch.Tensor] = (),
) -> int:
    """Let hidden units of a chain of layers change places where that shortens the wiring; how many pairs did.

    What the chain computes stays, as long as what stands between two layers works unit by unit. In each hidden layer the
    ``most`` units with the costliest wiring are tried against one another. ``states`` are further tensors by unit of the
    first axis that must go along, such as moments of an optimiser; they are given for one hidden layer alone.
    """
    import torch

    if states and len(layers) != 2:
        raise ValueError("states go along with one hidden layer")
    moved = 0
    with torch.no_grad():
        for before, after in pairwise(layers):
            width = before.out_features
            if after.in_features != width:
                raise ValueError(f"a layer gives {width} units and the next takes {after.in_features}")
            into = distances(before.in_features, width, gap).to(before.weight)
            out = distances(width, after.out_features, gap).to(after.weight).T
            # cost[i, j]: what unit i would pay at place j.
            cost = before.weight.abs() @ into.T + after.weight.abs().T @ out.T
            own = cost.diagonal().argsort(descending=True)[:most].tolist()
            for i, j in combinations(own, 2):
                if float(cost[i, j] + cost[j, i]) < float(cost[i, i] + cost[j, j]) * (1 - 1e-6):
                    turn = [j, i]
                    for tensor in (before.weight, before.bias, *states):
                        if tensor is not None:
                            tensor[[i, j]] = tensor[turn]
                    after.weight[:, [i, j]] = after.weight[:, turn]
                    cost[[i, j]] = cost[turn]
                    moved += 1
    return moved

"""A toy with two layers of superposed features, whose few that matter are known: a bed for sparse feature circuits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    import numpy as np

FEATURES, WIDTH, SECOND, WIDTH_2 = 40, 24, 20, 14
ACTIVE = 3.0
"""Features of the first layer that are there on average."""


class Superposed(torch.nn.Module):  # type: ignore[misc]  # torch is unseen by mypy
    """Features (rows, 40), mixed into 24 numbers, unmixed, wired into 20 features, mixed into 14, unmixed, read."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__()
        first, second = _directions(rng, FEATURES, WIDTH), _directions(rng, SECOND, WIDTH_2)
        wiring = torch.zeros(SECOND, FEATURES)
        # Each of the second layer is made of two of its own: what always fires together would be one feature.
        for feature, sources in enumerate(rng.permutation(FEATURES).reshape(SECOND, 2)):
            wiring[feature, torch.from_numpy(sources)] = torch.tensor([1.0, 0.8])
        self.chosen = torch.from_numpy(rng.choice(SECOND, size=4, replace=False))
        self.wiring, self.first, self.second = wiring, first, second
        self.mix = _linear(first.T)
        self.unmix = torch.nn.Sequential(_linear(first, bias=-0.35), torch.nn.ReLU())
        self.wire = _linear(wiring)
        self.mix_2 = _linear(second.T)
        self.unmix_2 = torch.nn.Sequential(_linear(second, bias=-0.35), torch.nn.ReLU())
        read = torch.zeros(1, SECOND)
        read[0, self.chosen] = torch.tensor([1.0, 0.9, 1.1, 0.8])
        self.read = _linear(read)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(rows, 1)."""
        found: torch.Tensor = self.read(self.unmix_2(self.mix_2(self.wire(self.unmix(self.mix(features))))))
        return found

    @property
    def sources(self) -> torch.Tensor:
        """(20, 40): which features of the first layer each of the second is made of."""
        return self.wiring != 0


def superposed(rng: np.random.Generator) -> Superposed:
    """A network whose directions and wiring ``rng`` draws."""
    network = Superposed(rng)
    network.eval()
    return network


def inputs(rng: np.random.Generator, rows: int) -> torch.Tensor:
    """(rows, 40): sparse features of size about 1."""
    there = rng.random(size=(rows, FEATURES)) < ACTIVE / FEATURES
    sizes = abs(rng.normal(1.0, 0.25, size=(rows, FEATURES)))
    return torch.from_numpy((there * sizes).astype("float32"))


def contrast(network: Superposed, rng: np.random.Generator, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs to which the network answers, and as many to which it does not."""
    drawn = inputs(rng, 40 * rows)
    with torch.no_grad():
        answer = network(drawn)[:, 0]
    return drawn[answer > 0.5][:rows], drawn[answer < 0.05][:rows]


def _directions(rng: np.random.Generator, count: int, width: int) -> torch.Tensor:
    drawn = torch.from_numpy(rng.normal(size=(count, width)).astype("float32"))
    # Pushed apart a little: random directions in so few dimensions would interfere too much to be read.
    for _ in range(200):
        drawn = drawn / drawn.norm(dim=1, keepdim=True)
        products = drawn @ drawn.T - torch.eye(count)
        drawn = drawn - 0.05 * (products**3) @ drawn * 4
    return drawn / drawn.norm(dim=1, keepdim=True)


def _linear(weight: torch.Tensor, bias: float = 0.0) -> torch.nn.Linear:
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.fill_(bias)
    return layer

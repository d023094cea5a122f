"""Modular arithmetic as a task, and the one-layer transformer that groks it, computed where its answer stands alone.

Setting of Nanda, Chan, Lieberum, Smith and Steinhardt 2023 (ICLR, arXiv:2301.05217): ``a b =``, no layer norm, no weight
tying, full batch, AdamW with weight decay 1. The tokens before ``=`` attend to nothing that matters for the answer, so
keys and values are a table by token and position, and only the last position is computed.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

Operation = Literal["add", "subtract"]


@dataclass(frozen=True, eq=False)
class Modular:
    """``a + b`` or ``a - b`` modulo ``modulus``, and which pairs are trained on.

    ``train`` is (modulus, modulus) of booleans; the rest is held out. ValueError where it is all or nothing.
    """

    modulus: int
    train: NDArray[np.bool_]
    operation: Operation = "add"

    def __post_init__(self) -> None:
        if self.train.shape != (self.modulus, self.modulus):
            raise ValueError(f"the mask of training pairs is ({self.modulus}, {self.modulus})")
        if self.train.all() or not self.train.any():
            raise ValueError("some pairs are trained on and some are held out")

    @classmethod
    def split(
        cls, modulus: int, share: float, rng: np.random.Generator, operation: Operation = "add"
    ) -> Modular:
        """A random share of all pairs to train on."""
        chosen = np.zeros(modulus * modulus, dtype=np.bool_)
        chosen[rng.permutation(modulus * modulus)[: round(share * modulus * modulus)]] = True
        return cls(modulus, chosen.reshape(modulus, modulus), operation)

    @property
    def pairs(self) -> NDArray[np.int64]:
        """All pairs (modulus^2, 2), the second number fastest."""
        numbers = np.arange(self.modulus)
        return np.stack([np.repeat(numbers, self.modulus), np.tile(numbers, self.modulus)], axis=1)

    @property
    def results(self) -> NDArray[np.int64]:
        """The right answer of every pair, (modulus^2,)."""
        a, b = self.pairs.T
        return np.asarray((a + b if self.operation == "add" else a - b) % self.modulus)


def transformer(
    modulus: int = 53,
    *,
    width: int = 48,
    heads: int = 4,
    hidden: int = 192,
    generator: torch.Generator | None = None,
) -> torch.nn.Module:
    """A network of pairs (rows, 2), whole numbers of any type taken modulo ``modulus``, to logits (rows, modulus).

    ``embed`` has a row for each number and one for ``=``. ValueError where heads do not divide the width.
    """
    import torch
    from torch import nn

    if width % heads:
        raise ValueError(f"{heads} heads do not divide a width of {width}")

    class Transformer(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.modulus, self.heads = modulus, heads
            self.embed = nn.Embedding(modulus + 1, width)
            self.positions = nn.Parameter(torch.empty(3, width))
            self.query, self.key, self.value, self.output = (
                nn.Linear(width, width, bias=False) for _ in range(4)
            )
            self.read, self.act, self.write = nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width)
            self.unembed = nn.Linear(width, modulus, bias=False)
            for name, one in self.named_parameters():
                # As in the authors' code; the wider layer's output too is drawn by the width of the stream.
                size = modulus + 1 if name.startswith("unembed") else width
                with torch.no_grad():
                    if one.ndim < 2:
                        one.zero_()
                    else:
                        one.normal_(0, 1 / math.sqrt(size), generator=generator)

        def forward(self, pairs: Any) -> torch.Tensor:
            a, b = pairs.long().remainder(self.modulus).unbind(dim=1)
            numbers = self.embed.weight[: self.modulus]
            last = self.embed.weight[self.modulus] + self.positions[2]
            # Every number at both places, then the sign itself: (2 numbers + 1, width).
            table = torch.cat([numbers + self.positions[0], numbers + self.positions[1], last[None]])
            keys = self.key(table).unflatten(-1, (self.heads, -1))
            scores = (keys * self.query(last).unflatten(-1, (self.heads, -1))).sum(-1)
            scores = scores / math.sqrt(keys.shape[-1])
            places = torch.stack([a, b + self.modulus, torch.full_like(a, 2 * self.modulus)], dim=1)
            pattern = torch.softmax(nn.functional.embedding(places, scores), dim=1)
            values = nn.functional.embedding(places, self.value(table)).unflatten(-1, (self.heads, -1))
            mixed = (pattern[..., None] * values).sum(1).flatten(1)
            stream = last + self.output(mixed)
            stream = stream + self.write(self.act(self.read(stream)))
            logits: torch.Tensor = self.unembed(stream)
            return logits

    return Transformer()


@dataclass(frozen=True, eq=False)
class Trained:
    """What training gave: the network, and the step it stopped at."""

    module: Any
    steps: int


def optimiser(module: torch.nn.Module, rate: float = 3e-3, decay: float = 1.0) -> tuple[Any, Any]:
    """AdamW with betas (0.9, 0.98) and a warm-up of ten steps, as in the paper (their rate is 1e-3, at modulus 113)."""
    import torch

    made = torch.optim.AdamW(module.parameters(), lr=rate, weight_decay=decay, betas=(0.9, 0.98), fused=True)
    warm = torch.optim.lr_scheduler.LambdaLR(made, lambda step: min((step + 1) / 10, 1.0))
    return made, warm


def train(
    task: Modular,
    module: torch.nn.Module,
    *,
    steps: int,
    after: Any = None,
    rate: float = 3e-3,
    decay: float = 1.0,
) -> Trained:
    """Full-batch training of a `transformer` on the task's training pairs; ``after(step, module)`` follows every step.

    It stops early where ``after`` returns True. Step 0 is the network before training. TypeError for another network.
    """
    import torch

    from xai_audit.mechanistic.dynamics.by_hand import Batch

    keep = torch.from_numpy(task.train.ravel())
    batch = Batch(module, torch.from_numpy(task.pairs)[keep], torch.from_numpy(task.results)[keep])
    made, warm = optimiser(module, rate, decay)
    if after is not None:
        after(0, module)
    with _flushed():
        for step in range(1, steps + 1):
            batch.step()
            made.step()
            warm.step()
            if after is not None and after(step, module):
                return Trained(module, step)
    return Trained(module, steps)


@contextlib.contextmanager
def _flushed() -> Iterator[None]:
    """Numbers too small for their format are 0: the gradients of a network that is sure hold many, a fourth of all time."""
    import torch

    before = not torch.tensor(1e-40).mul(1.0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)

"""What can be measured of any network at any moment of its training, from its weights and its answers alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from numpy.typing import NDArray

WIDEST = 1024
"""Matrices whose smaller side is longer are left out of the effective rank: its cost grows with the cube."""
ENTRIES = 2**20
"""Weights that the Gini coefficient looks at, at most: beyond, every second one, every third one and so on."""


@dataclass(frozen=True, eq=False)
class Series:
    """Measures along training: ``values[name]`` (recordings,) at ``steps`` (recordings,), NaN where there is none."""

    steps: NDArray[np.int64]
    values: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    @classmethod
    def of(cls, records: Mapping[int, Mapping[str, float]]) -> Series:
        """Records by step, in the order of steps."""
        steps = sorted(records)
        names = list(dict.fromkeys(name for step in steps for name in records[step]))
        values = {name: np.array([records[step].get(name, np.nan) for step in steps]) for name in names}
        return cls(np.array(steps, dtype=np.int64), values)

    def frame(self) -> pd.DataFrame:
        """The same as a table with a column for each measure, by step."""
        import pandas as pd

        return pd.DataFrame(dict(self.values), index=pd.Index(self.steps, name="step"))


def weight_norm(module: torch.nn.Module) -> float:
    """The sum of squares of all parameters, in float64 (Nanda et al. 2023)."""
    return float(sum(float((one.detach().double() ** 2).sum()) for one in module.parameters()))


def gini(values: NDArray[Any]) -> float:
    """The Gini coefficient of amounts: 0 where all are equal, towards 1 where one holds everything.

    A measure of sparsity (Hurley and Rickard 2009, IEEE Trans. Inf. Theory 55:4723). 0 where all amounts are 0;
    ValueError where there are none.
    """
    amounts = np.sort(np.abs(np.asarray(values, dtype=np.float64)).ravel())
    n, total = len(amounts), float(amounts.sum())
    if not n:
        raise ValueError("the Gini coefficient of no numbers is undefined")
    if total == 0:
        return 0.0
    ranks = np.arange(1, n + 1)
    return float((2 * ranks - n - 1) @ amounts / (n * total))


def effective_rank(matrix: torch.Tensor) -> float:
    """The exponential of the entropy of the singular values, between 1 and the smaller side (Roy and Vetterli 2007).

    0 for a matrix of zeros.
    """
    import torch

    sizes = torch.linalg.svdvals(matrix.detach().float()).double()
    total = float(sizes.sum())
    if total == 0:
        return 0.0
    shares = sizes / total
    shares = shares[shares > 0]
    return float(torch.exp(-(shares * shares.log()).sum()))


def matrices(module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters of at least two axes as matrices (first axis, all others), by name."""
    for name, one in module.named_parameters():
        if one.ndim >= 2 and one.numel():
            yield name, one.detach().flatten(1)


def weights(module: torch.nn.Module, *, widest: int = WIDEST) -> dict[str, float]:
    """``weight_norm``, ``gini`` of all matrices' entries, ``effective_rank`` as the mean share of the smaller side.

    A network without matrices has no Gini coefficient; one without matrices up to ``widest`` no effective rank.
    """
    found = {"weight_norm": weight_norm(module)}
    parts = [one for _, one in matrices(module)]
    if parts:
        stride = -(-sum(one.numel() for one in parts) // ENTRIES)
        found["gini"] = gini(np.concatenate([_entries(one)[::stride] for one in parts]))
    ranks = [effective_rank(one) / min(one.shape) for one in parts if min(one.shape) <= widest]
    if ranks:
        found["effective_rank"] = sum(ranks) / len(ranks)
    return found


def _entries(matrix: torch.Tensor) -> NDArray[np.float32]:
    entries: NDArray[np.float32] = matrix.flatten().float().cpu().numpy()
    return entries


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The loss of each row, (rows,), from logits (rows, classes) and classes (rows,), truly in float64.

    In float32 the softmax of a confident network is 1 and its loss 0 (Prieto et al. 2025, arXiv:2501.04697).
    """
    import torch

    return -torch.log_softmax(logits.double(), dim=-1).gather(-1, targets[:, None]).squeeze(-1)


@dataclass(frozen=True, eq=False)
class Examples:
    """Inputs and their classes, and what a network answers: a loss and a share of right answers on them.

    ``inputs`` is a tensor (rows, ...) or tensors by argument; ``targets`` (rows,) classes; ``batch`` rows in one pass.
    """

    inputs: Any
    targets: torch.Tensor
    batch: int = 4096
    answer: Callable[[Any, Any], torch.Tensor] | None = None
    """``answer(module, inputs)`` gives logits (rows, classes); None calls the module."""

    def measured(self, module: torch.nn.Module) -> dict[str, float]:
        """``loss`` in nats (float64) and ``accuracy``; the module is called as it stands, without gradients."""
        import torch

        lost, right = 0.0, 0
        with torch.no_grad():
            for start in range(0, len(self.targets), self.batch):
                rows = slice(start, start + self.batch)
                logits = self._logits(module, rows)
                targets = self.targets[rows].to(logits.device)
                lost += float(cross_entropy(logits, targets).sum())
                right += int((logits.argmax(dim=-1) == targets).sum())
        return {"loss": lost / len(self.targets), "accuracy": right / len(self.targets)}

    def _logits(self, module: torch.nn.Module, rows: slice) -> torch.Tensor:
        device = next(module.parameters()).device
        given = (
            {name: one[rows].to(device) for name, one in self.inputs.items()}
            if isinstance(self.inputs, Mapping)
            else self.inputs[rows].to(device)
        )
        if self.answer is not None:
            return self.answer(module, given)
        found: Any = module(**given) if isinstance(given, dict) else module(given)
        logits: torch.Tensor = getattr(found, "logits", found)
        return logits

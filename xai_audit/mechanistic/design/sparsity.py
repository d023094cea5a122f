"""Weight sparsity: after each step of an optimiser only the largest weights stay, ever fewer as training goes on.

Weight-sparse transformers have interpretable circuits, Gao et al. 2025 (arXiv:2511.13653).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import torch


@dataclass(frozen=True)
class Annealing:
    """The share of weights that stay: all until step ``begin``, ``density`` from step ``end`` on.

    Between them ``linear`` goes straight; ``cubic`` goes fast first (Zhu and Gupta 2017, arXiv:1710.01878).
    """

    density: float
    begin: int = 0
    end: int = 1000
    shape: Literal["linear", "cubic"] = "linear"

    def __post_init__(self) -> None:
        if not 0 < self.density <= 1:
            raise ValueError("density: more than 0, at most 1")
        if not 0 <= self.begin < self.end:
            raise ValueError("begin comes before end, at step 0 or later")

    def at(self, step: int) -> float:
        """The share after this many steps."""
        done = min(max((step - self.begin) / (self.end - self.begin), 0.0), 1.0)
        left = 1 - done if self.shape == "linear" else (1 - done) ** 3
        return self.density + (1 - self.density) * left


class WeightSparse:
    """An optimiser that, after each of its steps, keeps the largest entries of each matrix and sets the others to 0.

    ``matrices`` are the parameters it may thin out, those of at least two axes of the optimiser by default; each keeps
    the same share of its entries, at least one. Everything else is the optimiser's own: ``zero_grad``, ``param_groups``,
    schedulers. ``state_dict`` carries the step count along.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        annealing: Annealing,
        matrices: Iterable[torch.nn.Parameter] | None = None,
    ) -> None:
        own = [one for group in optimizer.param_groups for one in group["params"]]
        self.optimizer, self.annealing, self.steps = optimizer, annealing, 0
        self.matrices = [one for one in own if one.ndim >= 2] if matrices is None else list(matrices)
        if not self.matrices:
            raise ValueError("there is no matrix to thin out")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of the optimiser, then what is too small set to 0; what the optimiser's step gives."""
        found = self.optimizer.step() if closure is None else self.optimizer.step(closure)
        self.steps += 1
        self.thin()
        return found

    def thin(self) -> None:
        """Keep the largest entries by the share of this moment; of equal ones the first."""
        import torch

        share = self.annealing.at(self.steps)
        if share >= 1:
            return
        with torch.no_grad():
            for one in self.matrices:
                count = max(1, round(share * one.numel()))
                flat = one.flatten()
                best = torch.topk(flat.abs(), count).indices
                thinned = torch.zeros_like(flat)
                thinned[best] = flat[best]
                one.copy_(thinned.reshape(one.shape))

    def state_dict(self) -> dict[str, Any]:
        """The optimiser's state and how many steps were made."""
        return {"optimizer": self.optimizer.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.steps = int(state["steps"])

    def __getattr__(self, name: str) -> Any:
        if name == "optimizer":
            raise AttributeError(name)
        return getattr(self.optimizer, name)

"""A few-shot head on an embedding: a linear map trained by episodes so that class means tell the classes apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from xai_audit import digest
from xai_audit.errors import UnmetNeedError
from xai_audit.evidence import Frozen

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray


class Head(Frozen):
    """How the head is trained (Snell et al. 2017): episodes of some examples of each class."""

    width: int = Field(32, ge=1, le=4096)
    """Numbers the head gives."""
    shot: int = Field(5, ge=1)
    """Support examples of a class in an episode; as many are queries."""
    way: int = Field(20, ge=2)
    """Classes in an episode; all where there are fewer."""
    episodes: int = Field(300, ge=1, le=100_000)
    rate: float = Field(0.02, gt=0)
    """Of Adam."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A head that embeds embeddings."""

    linear: torch.nn.Linear
    centre: NDArray[np.float32]
    scale: NDArray[np.float32]

    def of(self, embedded: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embeddings (rows, width) of embeddings (rows, d)."""
        import torch

        with torch.no_grad():
            given = torch.from_numpy((embedded - self.centre) / self.scale)
            found: NDArray[np.float32] = self.linear(given).numpy()
        return found


def trained(
    head: Head, embedded: NDArray[np.float32], labels: NDArray[np.int64], seed: int
) -> tuple[Trained, dict[str, Any]]:
    """Train on embeddings (rows, d) with their classes; what was done beside it.

    Initial weights and episodes come from generators of their own. UnmetNeedError where fewer than two classes
    have the examples for an episode.
    """
    import torch

    from xai_audit.mechanistic.episodes import Plan, Pool
    from xai_audit.mechanistic.prototypical import Training, fit

    distinct, counts = np.unique(labels, return_counts=True)
    able = distinct[counts >= 2 * head.shot]
    if len(able) < 2:
        raise UnmetNeedError(f"an episode takes {2 * head.shot} examples of at least two classes")
    centre = embedded.mean(axis=0, dtype=np.float64).astype(np.float32)
    spread = embedded.std(axis=0, dtype=np.float64)
    scale = np.where(spread > 0, spread, 1.0).astype(np.float32)
    inside = np.isin(labels, able)
    pool = Pool(torch.from_numpy((embedded[inside] - centre) / scale), torch.from_numpy(labels[inside]))
    generator = torch.Generator().manual_seed(digest.seed(seed, "head", "weights") % 2**63)
    linear = torch.nn.utils.skip_init(torch.nn.Linear, embedded.shape[1], head.width)
    with torch.no_grad():
        linear.weight.copy_(torch.randn(linear.weight.shape, generator=generator) / embedded.shape[1] ** 0.5)
        linear.bias.zero_()
    training = Training(
        Plan(min(head.way, len(able)), head.shot, head.shot), episodes=head.episodes, rate=head.rate
    )
    draws = torch.Generator().manual_seed(digest.seed(seed, "head", "episodes") % 2**63)
    done = fit(linear, pool, training, draws)
    note = {
        "head_episodes": done.episodes,
        "head_way": training.plan.way,
        "head_loss": float(np.mean(done.losses[-20:])),
    }
    return Trained(linear, centre, scale), note

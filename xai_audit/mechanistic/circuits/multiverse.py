"""Whether a circuit holds under every specification that could have been chosen instead."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

ALL = "all prompts"
"""The template of a specification that keeps to none."""
LIKE = 0.8
"""The Jaccard index from which two sets of elements count as the same circuit."""


@dataclass(frozen=True, kw_only=True)
class Specification:
    """One way to look for the circuit."""

    seed: int
    """Which resample of the inputs."""
    template: str
    """Which inputs: `ALL`, or those of one template."""
    ablation: str
    metric: str
    threshold: float
    """The faithfulness at which the circuit was cut."""

    def __str__(self) -> str:
        return f"{self.ablation}, {self.metric}, {self.threshold:.0%}, {self.template}, seed {self.seed}"


@dataclass(frozen=True, eq=False)
class Universe:
    """What one specification found, and whether the claim about the first circuit holds in it."""

    specification: Specification
    circuit: NDArray[np.bool_]
    claim: bool

    def like(self, circuit: NDArray[np.bool_]) -> float:
        """The Jaccard index with another circuit."""
        return jaccard(self.circuit, circuit)


def axes(universes: Sequence[Universe]) -> list[str]:
    """In what specifications may part; templates only where there are several."""
    several = len({one.specification.template for one in universes}) > 1
    return ["ablation", "metric", "threshold", *(["template"] if several else []), "resample"]


def jaccard(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Elements in both over elements in either; 1 where both are empty."""
    either = int((first | second).sum())
    return float((first & second).sum() / either) if either else 1.0


@dataclass(frozen=True)
class Stability:
    """How the specifications agree; bars as in StressKit (Mahale 2026, arXiv:2608.13754)."""

    specifications: int
    jaccard: float
    """Mean over pairs of specifications."""
    jaccard_primary: float
    """Mean with the primary circuit."""
    claim_share: float
    agreeing: int
    """Specifications in which the claim holds and whose own circuit is like the primary one."""


def stability(universes: Sequence[Universe], primary: NDArray[np.bool_]) -> Stability:
    """How far declared specifications agree with a circuit and with each other; ValueError where there are none."""
    if not universes:
        message = "no specification was declared"
        raise ValueError(message)
    pairs = [jaccard(one.circuit, other.circuit) for one, other in combinations(universes, 2)]
    own = [one.like(primary) for one in universes]
    return Stability(
        specifications=len(universes),
        jaccard=float(np.mean(pairs)) if pairs else 1.0,
        jaccard_primary=float(np.mean(own)),
        claim_share=float(np.mean([one.claim for one in universes])),
        agreeing=sum(one.claim and like >= LIKE for one, like in zip(universes, own, strict=True)),
    )

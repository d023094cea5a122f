"""Every checkpoint of a training measured: what it answers to training and to held-out rows, and its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit import digest
from xai_audit.errors import MethodError
from xai_audit.evidence import Sampling
from xai_audit.explainers.training import weights
from xai_audit.mechanistic.dynamics import changes, measures

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from xai_audit.mechanistic.dynamics.checkpoints import Checkpoint
    from xai_audit.mechanistic.network import Network
    from xai_audit.subject import Rows, Subject

FEWEST = 10
"""Labelled rows of each side."""
WEIGHTS = {
    "weight_norm": "sum of squared weights",
    "gini": "Gini coefficient of the weights",
    "effective_rank": "effective rank of the matrices",
}
"""Measures of weights, and what they are called."""


@dataclass(frozen=True, eq=False)
class Side:
    """Rows of one side, training or held out."""

    name: str
    frame: pd.DataFrame
    target: NDArray[Any]
    sampling: Sampling


@dataclass(frozen=True, eq=False)
class Recorded:
    """What was measured of every checkpoint."""

    checkpoints: tuple[Checkpoint, ...]
    available: int
    losses: dict[str, NDArray[np.float64]]
    """By side, (checkpoints, rows)."""
    right: dict[str, NDArray[np.bool_]]
    """By side, (checkpoints, rows); empty for regression."""
    weights: dict[str, NDArray[np.float64]]
    """By measure, (checkpoints,)."""
    spread: dict[str, float]
    """By side, the variance of a numeric target; empty for classification."""
    audited: bool
    """Whether the last checkpoint is the audited network."""

    @property
    def steps(self) -> NDArray[np.int64]:
        """(checkpoints,)."""
        return np.array([one.number for one in self.checkpoints], dtype=np.int64)

    def certainty(self, side: str) -> NDArray[np.float64]:
        """How right answers are, 0 to 1, (checkpoints,): exp(-loss), or for numbers R squared, at least 0."""
        mean = self.losses[side].mean(axis=1)
        if self.spread:
            return np.asarray(np.clip(1 - mean / self.spread[side], 0, 1))
        return changes.certainty(mean)


def sides(subject: Subject, rows: int, seed: int) -> tuple[Side, Side]:
    """Training and held-out rows with labels, those with the smallest digests of seed and content."""
    assert subject.train is not None
    return _side("train", subject.train, rows, seed), _side("held_out", subject.test, rows, seed)


def _side(name: str, table: Rows, rows: int, seed: int) -> Side:
    known = np.flatnonzero(weights.labelled(table.frame, table.target))
    if len(known) < FEWEST:
        raise MethodError(
            f"{len(known)} labelled rows of the {name.replace('_', '-')} data; {FEWEST} are needed"
        )
    keys = np.asarray([digest.of_bytes(f"{seed}:{table.seed(int(row))}".encode()) for row in known])
    chosen = np.sort(known[np.argsort(keys, kind="stable")[:rows]])
    used = len(chosen)
    how = "all rows with a label"
    if used < len(known):
        how = f"the {used} labelled rows with the smallest sha256 of seed {seed} and row content"
    assert table.target is not None
    return Side(
        name,
        table.frame.iloc[chosen].reset_index(drop=True),
        table.target[chosen],
        Sampling(available=table.n, used=used, how=how),
    )


def record(network: Network, found: tuple[Checkpoint, ...], most: int, both: tuple[Side, Side]) -> Recorded:
    """Measure at most so many checkpoints on both sides."""
    kept = weights.thinned(found, most)
    rewound = weights.Rewound(network)
    losses: dict[str, list[NDArray[np.float64]]] = {side.name: [] for side in both}
    right: dict[str, list[NDArray[np.bool_]]] = {side.name: [] for side in both}
    norms: dict[str, list[float]] = {}
    numeric = both[0].target.dtype.kind == "f"
    for checkpoint in kept:
        now = rewound.to(checkpoint)
        for side in both:
            outputs = now.outputs(side.frame)
            lost = weights.losses(now, outputs, side.target)
            if not np.isfinite(lost).all():
                raise MethodError(f"{checkpoint.name}: the loss is not a finite number for every row")
            losses[side.name].append(lost)
            if not numeric:
                right[side.name].append(weights.right(now, outputs, side.target))
        for name, value in measures.weights(now.module).items():
            norms.setdefault(name, []).append(value)
    return Recorded(
        kept,
        len(found),
        {name: np.stack(values) for name, values in losses.items()},
        {name: np.stack(values) for name, values in right.items() if values},
        {name: np.array(values) for name, values in norms.items()},
        {side.name: float(np.var(side.target)) for side in both} if numeric else {},
        weights.equal(network, rewound.network),
    )

"""Does the network use units for a predicate? The gap in its score between rows of either side, with the units held.

Units are held at their mean over the rows that find. What of the gap goes away is their effect; sets of as many random
units of the same site are held in the same way beside them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.evidence import Control
from xai_audit.intervals_rows import mean_difference, t_quantile
from xai_audit.mechanistic import flows
from xai_audit.mechanistic.probing import ablation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from xai_audit.explainers.probing.found import Seen
    from xai_audit.mechanistic.flows import Flow
    from xai_audit.mechanistic.network import Network
    from xai_audit.method import Context
    from xai_audit.subject import Subject

Limits = "list[tuple[float | None, float | None]]"


@dataclass(frozen=True, eq=False)
class Asked:
    """The rows on which edits are made, half of them of either side where there are enough, and a class."""

    network: Network
    batches: list[tuple[slice, Any]]
    holds: NDArray[np.bool_]
    of: int
    label: str
    plain: NDArray[np.float64]
    """(rows,): the score without an edit."""

    def changes(self, flow: Flow, units: Sequence[int], levels: NDArray[np.float64]) -> NDArray[np.float64]:
        """(rows,): how much lower the score is with these units held."""
        moved = ablation.set_scores(self.network, self.batches, flow, units, levels)[:, self.of]
        return np.asarray(self.plain - moved)


def asked(network: Network, subject: Subject, seen: Seen, name: str, rows: int) -> Asked:
    """At most ``rows`` of the rows that judge, and the class whose score the predicate's rows differ in most."""
    population = seen.population
    sides = [side[: max(rows // 2, 1)] for side in population.halves(name)]
    chosen = np.concatenate(sides)
    frame = population.frame.iloc[chosen]
    batches = flows.built(network, frame)
    holds = np.repeat([True, False], [len(side) for side in sides])
    scores = ablation.scores_with(network, batches, lambda _: [])
    if subject.task == "regression":
        of, label = 1, "the output"  # the second of the two sides of one number is the number
    elif len(subject.classes) == 2:
        of, label = subject.positive, str(subject.classes[subject.positive])
    else:
        apart = np.abs(scores[holds].mean(axis=0) - scores[~holds].mean(axis=0))
        of = int(np.argmax(apart))
        label = str(subject.classes[of])
    return Asked(network, batches, holds, of, label, scores[:, of])


@dataclass(frozen=True, eq=False)
class Effect:
    """What of the gap goes away with units held."""

    changes: NDArray[np.float64]
    """(rows,)."""
    holds: NDArray[np.bool_]
    gap: float
    """Without an edit."""
    random: NDArray[np.float64]
    """(sets,): the same of random units."""

    @property
    def value(self) -> float:
        """The mean over rows for which the predicate holds, less that over the others."""
        return _gap(self.changes, self.holds)

    def limits(self, levels: Sequence[float]) -> list[tuple[float | None, float | None]]:
        """Welch's."""
        return mean_difference(self.changes[self.holds].tolist(), self.changes[~self.holds].tolist(), levels)[
            1
        ]

    def reach(self, level: float = 0.95) -> float:
        """How far a random set goes with this probability, either way: Student's t on the root mean square."""
        square = math.fsum((self.random**2).tolist()) / len(self.random)
        return float(t_quantile(level, len(self.random)) * math.sqrt(square))

    def arrays(self, ask: Asked) -> dict[str, NDArray[Any]]:
        """What all of this can be made again from."""
        return {
            "plain": ask.plain,
            "changes": self.changes,
            "edited_holds": self.holds,
            "random_effects": self.random,
        }

    @property
    def stands_out(self) -> bool:
        """Whether it exceeds the reach of random sets."""
        return abs(self.value) > self.reach()

    def controls(self, context: Context) -> tuple[Control, Control]:
        """The edit beyond random sets, and the random sets: if their middle lies on one side of 0 they do something."""
        levels, side = context.levels, math.copysign(1.0, self.value)
        reach = self.reach()
        around = [_turned(pair, side, reach) for pair in self.limits(levels)]
        centre = math.fsum(self.random.tolist()) / len(self.random)
        spread = float(np.std(self.random, ddof=1)) * math.sqrt(1 + 1 / len(self.random))
        halves = [t_quantile(level, len(self.random) - 1) * spread for level in levels]
        return (
            Control(
                name="effect of holding the units beyond that of random units",
                expectation="positive",
                estimate=context.estimate(abs(self.value) - reach, around, len(self.changes)),
                edit=True,
            ),
            Control(
                name="as many random units held",
                expectation="null",
                estimate=context.estimate(
                    centre, [(centre - half, centre + half) for half in halves], len(self.random)
                ),
                edit=True,
            ),
        )


def effect(
    ask: Asked, seen: Seen, flow: Flow, units: Sequence[int], random: Sequence[NDArray[np.int64]]
) -> Effect:
    """Hold units of a site at their mean, then each random set."""
    levels = seen.activations[flow][seen.population.finds].mean(axis=0, dtype=np.float64)
    return Effect(
        ask.changes(flow, units, levels),
        ask.holds,
        _gap(ask.plain, ask.holds),
        np.asarray([_gap(ask.changes(flow, one.tolist(), levels), ask.holds) for one in random]),
    )


def _gap(values: NDArray[np.float64], holds: NDArray[np.bool_]) -> float:
    sides = values[holds].tolist(), values[~holds].tolist()
    return math.fsum(sides[0]) / len(sides[0]) - math.fsum(sides[1]) / len(sides[1])


def _turned(
    pair: tuple[float | None, float | None], side: float, reach: float
) -> tuple[float | None, float | None]:
    """The interval of the amount beyond the reach, on the effect's own side."""
    low, high = pair if side > 0 else (pair[1], pair[0])
    return (
        None if low is None else side * low - reach,
        None if high is None else side * high - reach,
    )

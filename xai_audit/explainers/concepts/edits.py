"""What a class's score does when activations are moved from the random mean to the concept mean, and at random.

Each input is held at the random examples' mean along the difference of the two means, then at the concept's; all that
is at right angles to it stays. A random direction is drawn without preference; inputs are held half the same length
before and after the random mean along it, so that a direction and its opposite cancel and only chance is left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.intervals_rows import t_quantile
from xai_audit.mechanistic import flows

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    import torch
    from numpy.typing import NDArray

    from xai_audit.mechanistic.flows import Flow
    from xai_audit.mechanistic.network import Network
    from xai_audit.mechanistic.sites import Edit

GRADIENTS = 64
"""Inputs at whose held activations the gradient is taken, for the error that the examples bring."""


@dataclass(frozen=True, eq=False)
class Asked:
    """The inputs that edits are made on, as batches of the network."""

    network: Network
    all: list[tuple[slice, Any]]
    some: list[tuple[slice, Any]]
    few: list[tuple[slice, Any]]
    places: dict[Flow, NDArray[np.float32]]
    """Where the inputs of ``some`` are at each site, (GRADIENTS, d)."""

    @classmethod
    def of(cls, network: Network, frame: pd.DataFrame, sites: Sequence[Flow], few: int) -> Asked:
        """Batches of all rows, of GRADIENTS and of ``few``."""
        some = frame.iloc[:GRADIENTS]
        return cls(
            network,
            flows.built(network, frame),
            flows.built(network, some),
            flows.built(network, frame.iloc[:few]),
            flows.activations(network, some, sites),
        )


@dataclass(frozen=True, eq=False)
class Effect:
    """The change of one class's score."""

    each: NDArray[np.float64]
    """(inputs,)."""
    held: NDArray[np.float64]
    """(inputs,): the score with the activation held at the random mean."""
    influences: tuple[NDArray[np.float64], NDArray[np.float64]]
    """How much each example of the concept and of the pool moves the effect, from which its error follows."""
    random: NDArray[np.float64]
    """(directions,): the mean change over some of the inputs, for each random direction."""
    degrees: int
    """Degrees of freedom: the smaller of examples and inputs, less one."""

    @property
    def start(self) -> float:
        """The mean score with the activation held at the random mean."""
        return math.fsum(self.held.tolist()) / len(self.held)

    @property
    def set_error(self) -> float:
        """Standard error that the examples of the concept and of the pool bring."""
        return math.sqrt(sum(float(np.var(one, ddof=1)) / len(one) for one in self.influences))

    @property
    def value(self) -> float:
        """The mean over inputs."""
        return math.fsum(self.each.tolist()) / len(self.each)

    @property
    def error(self) -> float:
        """Standard error, of the inputs and of the examples."""
        n = len(self.each)
        inputs = float(np.var(self.each, ddof=1)) / n if n > 1 else math.inf
        return math.sqrt(inputs + self.set_error**2)

    def limits(self, levels: Sequence[float]) -> list[tuple[float | None, float | None]]:
        """Student's t limits of the mean."""
        return _around(self.value, self.error, self.degrees, levels)

    @property
    def random_mean(self) -> float:
        """Over random directions."""
        return math.fsum(self.random.tolist()) / len(self.random)

    def reach(self, level: float) -> float:
        """How far a random direction of equal length goes with this probability, either way.

        Student's t on the root mean square: a direction and its opposite do the opposite, so that the mean is 0.
        """
        square = math.fsum((self.random**2).tolist()) / len(self.random)
        return float(t_quantile(level, len(self.random)) * math.sqrt(square))

    def beyond(self, levels: Sequence[float]) -> tuple[float, list[tuple[float | None, float | None]]]:
        """By how much the concept's change exceeds the reach of 95 % of random directions."""
        value = abs(self.value) - self.reach(0.95)
        return value, _around(value, self.error, self.degrees, levels)


def _around(
    value: float, error: float, degrees: int, levels: Sequence[float]
) -> list[tuple[float | None, float | None]]:
    if not math.isfinite(error) or degrees < 1:
        return [(None, None)] * len(levels)
    halves = [t_quantile(level, degrees) * error for level in levels]
    return [(value - half, value + half) for half in halves]


def effects(
    asked: Asked,
    flow: Flow,
    own: NDArray[np.float64],
    pool: NDArray[np.float64],
    directions: NDArray[np.float64],
    classes: Sequence[int],
) -> dict[int, Effect] | None:
    """The effect on each class, from the activations of a concept's examples (n, d) and the pool's (m, d).

    ``directions`` are unit vectors (k, d). None where the two means are the same.
    """
    centre, other = own.mean(axis=0), pool.mean(axis=0)
    length = float(np.linalg.norm(centre - other))
    if length == 0:
        return None
    along = (centre - other) / length
    network = asked.network
    ends = [
        flows.held_scores(network, asked.all, flow, along, float(mean @ along)) for mean in (other, centre)
    ]
    random = np.stack([_swung(asked, flow, one, float(other @ one), length) for one in directions])
    influences = {of: _influences(asked, flow, along, own, pool, of) for of in classes}
    return {
        of: Effect(
            each=ends[1][:, of] - ends[0][:, of],
            held=ends[0][:, of],
            influences=influences[of],
            random=random[:, of],
            degrees=min(len(own), len(ends[0])) - 1,
        )
        for of in classes
    }


def _swung(
    asked: Asked, flow: Flow, direction: NDArray[np.float64], level: float, length: float
) -> NDArray[np.float64]:
    """The mean change of every score when held from half a length before a level to half a length after it."""
    before, after = (
        flows.held_scores(asked.network, asked.few, flow, direction, level + half)
        for half in (-length / 2, length / 2)
    )
    return np.asarray((after - before).mean(axis=0))


def _influences(
    asked: Asked,
    flow: Flow,
    along: NDArray[np.float64],
    own: NDArray[np.float64],
    pool: NDArray[np.float64],
    of: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Other examples would have other means: the influence of each example, of concept and pool, on the effect.

    With the means c and r, L their distance and v their unit difference, an input h is held at h + v v.(c - h) and at
    h + v v.(r - h). An example of the concept moves c along v, and turns v by its part at right angles over L.
    """
    import torch

    here = asked.places[flow].astype(np.float64)
    direction = torch.from_numpy(along)
    means = own.mean(axis=0), pool.mean(axis=0)
    length = float((means[0] - means[1]) @ along)
    straight, turned = [], []
    for end in means:
        level = float(end @ along)
        slopes = flows.score_gradients(
            asked.network,
            asked.some,
            flow,
            of,
            edit=partial(_held, flow, direction, level),
        )
        steep = slopes @ along
        turn = ((level - here @ along) @ slopes + steep @ (end - here)) / (len(here) * length)
        straight.append(float(steep.mean()) * along)
        turned.append(turn - (turn @ along) * along)
    # The start counts negatively; the pool's examples turn the direction the other way.
    turn = turned[0] - turned[1]
    return own @ (straight[0] + turn), pool @ (straight[1] + turn)


def _held(flow: Flow, direction: torch.Tensor, level: float, batch: Any) -> Edit:
    return flow.held(direction, level, flows.mask_of(batch))

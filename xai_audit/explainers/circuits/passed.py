"""What the latents of a circuit pass on: effects from site to site and from the last one to the output, by prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xai_audit.mechanistic.circuits import attribution
from xai_audit.mechanistic.circuits.features import edge_effects

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.mechanistic.circuits.features import FeatureGraph
    from xai_audit.mechanistic.circuits.task import Task

OUTPUT = -1
"""The number of the target that is no element: the network's output."""
MOST = 12
"""Edges kept of those into each site and of those into the output: the largest effects on the prompts that find."""


@dataclass(frozen=True, eq=False)
class Passed:
    """The largest edges among the elements of a circuit, into each site and into the output."""

    pairs: NDArray[np.int64]
    """(edges, 2): from which element to which, `OUTPUT` for the network's output."""
    effects: NDArray[np.float64]
    """(rows, edges): the size of each effect, on the prompts that judge."""
    found_on: NDArray[np.float64]
    """(all edges,): the mean effect of each that has one on the prompts that find, the largest first."""


def passed(graph: FeatureGraph, finds: Task, judges: Task, circuit: NDArray[np.bool_]) -> Passed:
    """Chosen on the prompts that find, measured on those that judge; all of first order, so that they can be compared."""
    into, last = np.flatnonzero(circuit), graph.slices[-1].start

    def table(task: Task) -> dict[tuple[int, int], NDArray[np.float64]]:
        """(rows,) effects by from and to."""
        found = {
            (start + place, target): part[:, place]
            for target, (start, part) in edge_effects(task, into).items()
            for place in np.flatnonzero(circuit[start : start + part.shape[1]]).tolist()
        }
        direct = np.abs(attribution.eap(task))
        return found | {(node, OUTPUT): direct[:, node] for node in into.tolist() if node >= last}

    first, second = table(finds), table(judges)
    means = {pair: float(effects.mean()) for pair, effects in first.items()}
    found = sorted((pair for pair, mean in means.items() if mean > 0), key=lambda pair: (-means[pair], pair))
    chosen: list[tuple[int, int]] = []
    for part in (*graph.slices[1:], slice(OUTPUT, OUTPUT + 1)):
        chosen += [pair for pair in found if part.start <= pair[1] < part.stop][:MOST]
    chosen.sort(key=found.index)
    none = np.zeros(judges.rows)
    effects = [second.get(pair, none) for pair in chosen]
    return Passed(
        pairs=np.asarray(chosen, dtype=np.int64).reshape(-1, 2),
        effects=np.stack(effects, axis=1) if effects else np.zeros((judges.rows, 0)),
        found_on=np.asarray([means[pair] for pair in found]),
    )

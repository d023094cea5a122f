"""ACDC: elements pruned one by one from the output backwards, kept where the behaviour falls by more than a threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from xai_audit.mechanistic.circuits.task import Task


@dataclass(frozen=True, eq=False)
class Pruned:
    """What is left at one threshold."""

    kept: NDArray[np.bool_]
    """(elements,)."""
    passes: int
    """Masks that were run."""


def acdc(task: Task, threshold: float, *, ahead: int = 16) -> Pruned:
    """Automatic circuit discovery (Conmy et al. 2023, NeurIPS, arXiv:2304.14997) at one threshold.

    Elements are visited from the last that acts to the first; one is removed for good where, with all that was removed
    before, the metric moves away from the full network's by less than ``threshold`` more than without it. How far it is
    away is averaged over inputs without its sign; of `divergence` that is the paper's rule.
    ``ahead`` elements are tried in one pass as if all before them went; those after the first that stays are tried
    again, so that the result is that of one by one.
    """
    removed = np.zeros(task.size, dtype=np.float32)
    full = task.full()
    now, passes = 0.0, 0
    task.prefix()
    # Stable and backwards: among elements of one stage the last is visited first.
    order = np.argsort(np.asarray(task.graph.stages), kind="stable")[::-1]
    at, width = 0, 1
    while at < len(order):
        tried = order[at : at + width]
        masks = np.tile(removed, (len(tried), 1))
        masks[np.tril_indices(len(tried))[0], tried[np.tril_indices(len(tried))[1]]] = 1
        away = np.abs(task.measured(masks) - full).mean(axis=1)
        passes += len(tried)
        gone = 0
        while gone < len(tried) and away[gone] - now < threshold:
            now = float(away[gone])
            gone += 1
        removed[tried[:gone]] = 1
        stays = gone < len(tried)
        at += gone + stays
        # What was tried beyond one that stays is wasted: look further ahead while all goes.
        width = 1 if stays else min(ahead, 2 * width)
    return Pruned(removed == 0, passes)


def swept(task: Task, thresholds: Sequence[float], *, ahead: int = 16) -> NDArray[np.float64]:
    """(elements,): the largest threshold at which each element is still kept, 0 for none: a score from ACDC."""
    score = np.zeros(task.size)
    for threshold in sorted(thresholds):
        score[acdc(task, threshold, ahead=ahead).kept] = threshold
    return score

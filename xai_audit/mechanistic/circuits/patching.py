"""The exact effect of every element: one ablated pass each, many of them along the batch axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from xai_audit.mechanistic.circuits.task import Task


def exact(task: Task, elements: Sequence[int] | None = None) -> NDArray[np.float64]:
    """(rows, elements): how the metric changes where each element alone is ablated (activation patching), signed.

    As many elements go in one pass as ``task.most`` rows hold; stages before an element's target are not run again.
    """
    chosen = np.arange(task.size) if elements is None else np.asarray(elements, dtype=np.int64)
    out = np.empty((task.rows, len(chosen)))
    full = task.full()
    task.prefix()
    order = np.argsort(np.asarray(task.graph.stages)[chosen], kind="stable")
    step = max(1, task.most // max(task.rows, 1))
    for start in range(0, len(order), step):
        place = order[start : start + step]
        masks = np.zeros((len(place), task.size), dtype=np.float32)
        masks[np.arange(len(place)), chosen[place]] = 1
        out[:, place] = (task.measured(masks) - full).T
    return out


def serial(task: Task) -> NDArray[np.float64]:
    """(rows, elements): the same, one whole pass for each element; what `exact` is measured against."""
    out = np.empty((task.rows, task.size))
    full = task.full()
    for place in range(task.size):
        mask = np.zeros((1, task.size), dtype=np.float32)
        mask[0, place] = 1
        out[:, place] = task.measured(mask, reuse=False)[0] - full
    return out

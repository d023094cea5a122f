"""Which elements a contrast can say nothing about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from xai_audit.mechanistic.circuits.graphs import Graph

SMALLEST = 1e-6
"""Changes below this share of the largest are none."""


def untestable(graph: Graph, inputs: Any, other: tuple[torch.Tensor, ...]) -> NDArray[np.bool_]:
    """(elements,): those whose target takes something from them that is the same with and without the contrast.

    An edge whose target would change if the edge carried 0, but does not change when it carries the other value, is
    not shown to be idle: this contrast cannot test it. One whose target changes by neither is not read at all.
    """
    return moved(graph, inputs, other)[1]


def moved(
    graph: Graph, inputs: Any, other: tuple[torch.Tensor, ...]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(elements,) twice: whose target takes something else from them when they are ablated; which are `untestable`."""
    import torch

    with torch.no_grad():
        changed = np.asarray(graph.reach(inputs, other))
        zeroed = np.asarray(graph.reach(inputs, tuple(torch.zeros_like(one[:1]) for one in other)))
    small = SMALLEST * max(float(zeroed.max(initial=0.0)), float(changed.max(initial=0.0)))
    return np.asarray(changed > small), np.asarray((changed <= small) & (zeroed > small))

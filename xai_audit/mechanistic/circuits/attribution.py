"""Scores of all elements from a few gradients: EAP, EAP-IG and mask gradients, for each input on its own.

Scores are made absolute for each input before they are averaged. Summing them with their signs first, as EAP-IG and
AutoCircuit do, lets an element that helps on some inputs and hurts on others vanish; `signed_mean` is that rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from xai_audit.errors import MethodError
from xai_audit.mechanistic.circuits.graphs import Pass, taken

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.mechanistic.circuits.task import Task

Method = Literal["eap", "eap_ig", "mask_gradient"]


def eap(task: Task) -> NDArray[np.float64]:
    """(rows, elements): edge attribution patching (Syed, Rager and Conmy 2023, arXiv:2310.10348), signed.

    ``(other - own) . d metric / d target's input`` at the clean input: the first-order change of the metric where the
    element alone is ablated. It is the gradient of the element's mask at 0.
    """
    return _slopes(task, shares=(0.0,), levels=(0.0,))


def eap_ig(task: Task, steps: int = 5) -> NDArray[np.float64]:
    """(rows, elements): EAP with integrated gradients (Hanna, Pezzelle and Belinkov 2024, arXiv:2403.17806), signed.

    The gradient is averaged over ``steps`` midpoints of the straight way of the network's source from the clean value
    to the other. Where the graph has no source it is averaged along the mask (see `mask_gradient`).
    """
    points = tuple((step + 0.5) / steps for step in range(steps))
    if not task.graph.sourced:
        return mask_gradient(task, steps)
    return _slopes(task, shares=points, levels=(0.0,) * steps)


def mask_gradient(task: Task, steps: int = 5) -> NDArray[np.float64]:
    """(rows, elements): the gradient of each mask, averaged while all masks go from 0 to 1 together, signed.

    Integrated gradients of the mask (cf. AutoCircuit's mask gradient, Miller, Chughtai and Saunders 2024,
    arXiv:2407.08734): scores of a row add up to the change from nothing ablated to everything ablated.
    """
    points = tuple((step + 0.5) / steps for step in range(steps))
    return _slopes(task, shares=None, levels=points)


def _slopes(task: Task, shares: tuple[float, ...] | None, levels: tuple[float, ...]) -> NDArray[np.float64]:
    import torch

    rows, size = task.rows, task.size
    total = np.zeros((rows, size))
    clean = task.clean()
    if shares is not None and shares != (0.0,) and not task.graph.sourced:
        raise MethodError("this graph has no source between whose values a path could lie")
    for start in range(0, rows, task.most):
        place = torch.arange(start, min(start + task.most, rows))
        inputs, own, other = (taken(one, place, rows) for one in (task.inputs, clean, task.other))
        for step, level in enumerate(levels):
            mask = torch.full((len(place), size), level, device=task.other[0].device, requires_grad=True)
            way = None
            if shares is not None and shares[step] != 0:
                way = torch.full((len(place),), shares[step], device=mask.device)
            # Along a way of the source the change is that of the ends; along the mask it is that of the pass.
            base = own if shares is not None else None
            with torch.enable_grad():
                outputs = task.graph.forward(inputs, Pass(mask=mask, other=other, base=base, share=way))
                summed = task.metric(outputs, place.to(mask.device)).sum()
                (slope,) = torch.autograd.grad(summed, [mask])
            total[place.numpy()] += slope.double().cpu().numpy()
    return total / len(levels)


def mean_absolute(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """(elements,): the mean over inputs of the size of each score."""
    return np.asarray(np.abs(scores).mean(axis=0))


def signed_mean(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """(elements,): the size of the mean over inputs of signed scores, the rule of EAP-IG's and AutoCircuit's code."""
    return np.asarray(np.abs(scores.mean(axis=0)))

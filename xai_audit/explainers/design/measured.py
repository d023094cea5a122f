"""One network of a pair, measured: how good, how calibrated, how sparse, what its units stand for, how small a circuit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xai_audit.errors import MethodError
from xai_audit.explainers.training import weights
from xai_audit.mechanistic import flows
from xai_audit.mechanistic.design import deltas
from xai_audit.mechanistic.flows import Flow
from xai_audit.mechanistic.sites import Edit, Site, feature_axis

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from numpy.typing import NDArray

    from xai_audit.mechanistic.network import Network

RANDOM = 20
"""Random circuits of equal size."""
MEASURES = {
    "accuracy": "Accuracy",
    "calibration_error": "Expected calibration error",
    "log_loss": "Loss, nats",
    "best_unit_auroc": "Best-unit AUROC, mean over concepts",
    "circuit_size": "Units of the circuit",
    "active_units": "Active units (L0)",
    "nonzero_weights": "Share of weights that are not zero",
}
"""The measures of a network, in the order they are told, and what they are called."""


@dataclass(frozen=True, eq=False)
class Asked:
    """The rows and the place that every network is measured on and at."""

    frame: pd.DataFrame
    target: NDArray[np.int64]
    concepts: Mapping[str, NDArray[np.bool_]]
    """For each concept, the rows it holds for."""
    first: NDArray[np.bool_]
    """Rows on which units are chosen; the others judge them."""
    site: Site
    agreement: float


@dataclass(frozen=True, eq=False)
class Found:
    """The measures of one network."""

    values: dict[str, float]
    aurocs: dict[str, float]
    """Of the best unit for each concept, on rows that it was not chosen on."""
    shuffled: float | None
    """The mean of the same over concepts whose rows are shuffled; None without concepts."""
    circuit: deltas.Circuit
    beyond: float
    """By how much the circuit's agreement exceeds the mean of random circuits of its size; 0 of the whole or of nothing."""


def measure(network: Network, asked: Asked, rng: np.random.Generator) -> Found:
    """Every measure of one network. MethodError for a site that is none, or has no units."""
    import torch

    outputs = network.outputs(asked.frame)
    scores: NDArray[np.float64] = network.linked(torch.from_numpy(outputs)).numpy()
    flow = flows.flow(network, asked.frame, asked.site, pooled=True)
    units = flows.activations(network, asked.frame, [flow])[flow]
    holds = list(asked.concepts.values())
    found = deltas.best_units(units, [*holds, *(rng.permutation(one) for one in holds)], asked.first)
    best = dict(zip(asked.concepts, found, strict=False))
    shuffled = [one.auroc for one in found[len(holds) :]]
    decided = scores.argmax(axis=1)
    circuit, beyond = _circuit(network, asked, flow, decided, rng)
    nonzero, entries = deltas.nonzero_weights(network.module)
    values = {
        "accuracy": float((decided == asked.target).mean()),
        "calibration_error": deltas.calibration_error(scores, asked.target),
        "log_loss": float(weights.losses(network, outputs, asked.target).mean()),
        "circuit_size": float(circuit.size),
        "active_units": _active(network, asked, flow),
        "nonzero_weights": nonzero / entries if entries else 0.0,
    }
    if best:
        values["best_unit_auroc"] = float(np.mean([one.auroc for one in best.values()]))
    return Found(
        values,
        {name: one.auroc for name, one in best.items()},
        float(np.mean(shuffled)) if shuffled else None,
        circuit,
        beyond,
    )


def _active(network: Network, asked: Asked, flow: Flow) -> float:
    """Units that are not zero for a row; of units at several positions the mean over positions."""
    total = 0.0
    for _, batch in network.batches(asked.frame):
        value = network.run(batch, capture=[flow.site]).captured[flow.site]
        axis = feature_axis(value)
        others = [one for one in range(1, value.ndim) if one != axis]
        active = (value != 0).double().sum(dim=axis, keepdim=True)
        total += float((active.mean(dim=others) if others else active).sum())
    return total / len(asked.frame)


def _circuit(
    network: Network, asked: Asked, flow: Flow, decided: NDArray[np.int64], rng: np.random.Generator
) -> tuple[deltas.Circuit, float]:
    """The circuit, its units ordered on the first rows and its agreement taken on the others; and beyond random ones."""
    first, later = asked.frame[asked.first], asked.frame[~asked.first]
    units = flows.activations(network, first, [flow])[flow].astype(np.float64)
    slopes = flows.class_gradients(network, first, [flow], decided[asked.first])[flow]
    centre = units.mean(axis=0)
    # Row by row before the absolute value: effects of opposite sign do not cancel.
    effects = np.abs(slopes * (units - centre)).mean(axis=0)
    width = units.shape[1]

    def decide(kept: Sequence[int]) -> NDArray[np.int64]:
        edit = _held(flow.site, centre, sorted(set(range(width)) - set(kept)))
        return np.asarray(network.scores(later, edit).argmax(axis=1))

    whole = decided[~asked.first]
    circuit = deltas.circuit(decide, whole, effects, asked.agreement)
    if circuit.size in (0, width):
        return circuit, 0.0
    random = [
        float((decide(rng.choice(width, circuit.size, replace=False).tolist()) == whole).mean())
        for _ in range(RANDOM)
    ]
    return circuit, circuit.agreement - float(np.mean(random))


def _held(site: Site, centre: NDArray[np.float64], units: list[int]) -> list[Edit]:
    """The edit that holds some units at their mean; none where there are none."""
    if not units:
        return []

    def hold(value: torch.Tensor) -> torch.Tensor:
        import torch

        axis = feature_axis(value)
        if value.shape[axis] != len(centre):
            raise MethodError(f"{site}: {value.shape[axis]} units; {len(centre)} were measured")
        shape = [1] * value.ndim
        shape[axis] = -1
        return torch.from_numpy(centre).to(value).reshape(shape).expand_as(value)

    return [Edit(site, "splice", hold, tuple(units))]

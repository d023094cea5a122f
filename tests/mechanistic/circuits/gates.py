"""Random networks of gates whose true edges are known: a small tree of gates among many units that hardly matter.

Every unit reads all units before it. Those of the tree pass on, add, need both, need either, or saturate; all other
weights are so small that the exact effect of the strongest is at most a tenth of that of the weakest true edge.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch

from xai_audit.errors import MethodError
from xai_audit.mechanistic.circuits.graphs import Element
from xai_audit.mechanistic.circuits.patching import exact
from xai_audit.mechanistic.circuits.recovery import truth_of
from xai_audit.mechanistic.circuits.task import Task, others
from xai_audit.mechanistic.circuits.units import UnitGraph, Wires

Gate = Literal["id", "add", "and", "or", "sat"]
GATES: tuple[Gate, ...] = ("id", "add", "and", "or", "sat")
INPUTS, WIDTH, LEVELS = 8, 6, 4
"""8 inputs, four levels of 6 units and one output: 440 edges."""
SHARE = 0.1
"""The exact effect of the strongest other edge, at most, as a share of the weakest true one's; at least half of that."""
FEWEST = 1e-3
"""The exact effect of the weakest true edge, at least; inputs lie in [0, 1]."""
TRIES = 40


class Level(torch.nn.Module):  # type: ignore[misc]  # torch is unseen by mypy
    """Units that read everything before them, each through its gate: (rows, before) to (rows, units)."""

    def __init__(self, before: int, gates: tuple[Gate, ...]) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(before, len(gates), bias=False).double()
        self.gates = gates

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """Each unit's sum through its gate."""
        total = self.linear(seen)
        return torch.stack([_through(total[:, place], gate) for place, gate in enumerate(self.gates)], dim=1)


def _through(total: torch.Tensor, gate: Gate) -> torch.Tensor:
    match gate:
        case "and":
            return torch.relu(total - 1)
        case "or":
            return 1 - torch.relu(1 - total)
        case "sat":
            return torch.tanh(2 * total)
        case _:
            return total


class GateNetwork(torch.nn.Module):  # type: ignore[misc]  # torch is unseen by mypy
    """Inputs (rows, 8) in [0, 1] to the output (rows, 1)."""

    def __init__(self, gates: list[tuple[Gate, ...]]) -> None:
        super().__init__()
        before, levels = INPUTS, []
        for own in gates:
            levels.append(Level(before, own))
            before += len(own)
        self.levels = torch.nn.ModuleList(levels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The last level's unit."""
        seen = made = x
        for level in self.levels:
            made = level(seen)
            seen = torch.cat([seen, made], dim=1)
        return made


@dataclass(frozen=True, eq=False)
class Gated:
    """A network of gates, its graph, the true edges and inputs with other inputs to draw from."""

    network: GateNetwork
    graph: UnitGraph
    truth: frozenset[Element]
    kinds: tuple[Gate, ...]
    """Of the units of the tree."""
    ratio: float
    """The strongest other edge's exact effect over the weakest true one's."""
    inputs: torch.Tensor = field(repr=False)
    corrupted: torch.Tensor = field(repr=False)

    def task(self) -> Task:
        """The output, with every input's corruption another drawn input."""
        return Task(
            self.graph, self.inputs, others(self.graph, self.inputs, self.corrupted, "resample"), output
        )


def output(outputs: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    """The network's one output."""
    return outputs[:, 0]


def gated(rng: np.random.Generator, rows: int = 128) -> Gated:
    """A random network of gates, whose inputs are each other's corruptions; ``rng`` draws the network, then its inputs.

    Networks of which a true edge has hardly any effect are drawn again; MethodError where that does not end.
    """
    for _ in range(TRIES):
        found = _drawn(rng, rows)
        if found is not None:
            return found
    raise MethodError(f"in {TRIES} networks a true edge has hardly any effect")


def _drawn(rng: np.random.Generator, rows: int) -> Gated | None:
    names = [f"in.{unit}" for unit in range(INPUTS)]
    level_of = dict.fromkeys(names, -1)
    sizes = [WIDTH] * LEVELS + [1]
    per_level: list[list[str]] = []
    for level, size in enumerate(sizes):
        own = [f"l{level}.{unit}" for unit in range(size)]
        level_of.update(dict.fromkeys(own, level))
        per_level.append(own)
    parents, kinds = _tree(rng, names, per_level, level_of)
    gates = [
        tuple(kinds[name] if name in kinds else GATES[rng.integers(len(GATES))] for name in own)
        for own in per_level
    ]
    network = GateNetwork(gates)
    network.eval()
    wires, before = [], list(names)
    for level, own in enumerate(per_level):
        wires.append(Wires(f"levels.{level}.linear", tuple(before), tuple(own)))
        before = before + own
    graph = UnitGraph(network, tuple(wires), tuple(f"levels.{level}" for level in range(len(sizes))))
    truth = frozenset(Element(source, unit) for unit, own in parents.items() for source in own)
    shapes = [tuple(_layer(network, level).weight.shape) for level in range(len(sizes))]
    noise = [torch.from_numpy(rng.normal(size=shape)) for shape in shapes]
    strong = [torch.from_numpy(rng.uniform(0.8, 1.2, size=shape)) for shape in shapes]
    inputs = torch.from_numpy(rng.random(size=(rows, INPUTS)))
    # Each row's corruption is another row's input, and every row is one once.
    corrupted = inputs.roll(1, 0)
    true, small = truth_of(graph, truth), 0.1
    for _ in range(TRIES):
        _write(network, wires, truth, noise, strong, small)
        made = Gated(network, graph, truth, tuple(kinds.values()), 0.0, inputs, corrupted)
        effects = np.abs(exact(made.task())).mean(axis=0)
        weakest = float(effects[true].min())
        if weakest < FEWEST:
            return None
        ratio = float(effects[~true].max()) / weakest
        if SHARE / 2 <= ratio <= SHARE:
            return replace(made, ratio=ratio)
        small *= min(0.9 * SHARE / ratio, 4.0)
    return None


def _layer(network: GateNetwork, level: int) -> torch.nn.Linear:
    found = network.levels[level]
    assert isinstance(found, Level)
    return found.linear


def _write(
    network: GateNetwork,
    wires: list[Wires],
    truth: frozenset[Element],
    noise: list[torch.Tensor],
    strong: list[torch.Tensor],
    small: float,
) -> None:
    with torch.no_grad():
        for level, wire in enumerate(wires):
            true = torch.tensor(
                [[Element(source, target) in truth for source in wire.sources] for target in wire.targets]
            )
            _layer(network, level).weight.copy_(torch.where(true, strong[level], small * noise[level]))


def _tree(
    rng: np.random.Generator, inputs: list[str], per_level: list[list[str]], level_of: dict[str, int]
) -> tuple[dict[str, list[str]], dict[str, Gate]]:
    """Parents and gate of every unit on the way from the inputs to the output, about 15 edges."""
    parents: dict[str, list[str]] = {}
    kinds: dict[str, Gate] = {}
    open_ = [per_level[-1][0]]
    while open_:
        unit = open_.pop(0)
        if unit in parents or level_of[unit] < 0:
            continue
        first = unit == per_level[-1][0]
        kinds[unit] = "add" if first else GATES[rng.integers(len(GATES))]
        count = 3 if first else {"id": 1, "sat": 1, "add": 2, "and": 2, "or": 2}[kinds[unit]]
        below = [name for own in per_level[: level_of[unit]] for name in own]
        near = below if first else [*inputs, *below]
        parents[unit] = [str(one) for one in rng.choice(near, size=min(count, len(near)), replace=False)]
        open_ += parents[unit]
    return parents, kinds

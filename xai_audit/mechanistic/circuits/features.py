"""Sparse feature circuits: latents of dictionaries as nodes, with what no latent explains as a node of its own.

As in Marks et al. 2025 (ICLR, arXiv:2403.19647): effects of nodes by integrated gradients of their masks, effects of
edges between latents of successive sites through nothing in between, both for each input on its own before they are
averaged; then small ones are pruned, the rest is run alone, and its faithfulness said. A site is replaced by latents plus
error, so that the network without ablation is the network.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from xai_audit.errors import MethodError
from xai_audit.mechanistic.circuits import attribution, faithfulness
from xai_audit.mechanistic.circuits.graphs import (
    PLAIN,
    Element,
    Pass,
    Prefix,
    called,
    evaluating,
    rows_of,
    submodule,
    watched,
)
from xai_audit.mechanistic.sites import feature_axis

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from numpy.typing import NDArray

    from xai_audit.mechanistic.circuits.task import Task
    from xai_audit.mechanistic.sites import Site


class Coder(Protocol):
    """What turns activations (..., n) into latents (..., m) and back, features on the last axis."""

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Latents."""
        ...

    def decode(self, f: torch.Tensor) -> torch.Tensor:
        """Activations."""
        ...


@dataclass(frozen=True, eq=False)
class Coded:
    """A site and the dictionary of what flows through it; of pictures each place is encoded on its own."""

    site: Site
    coder: Coder
    latents: int


class FeatureGraph:
    """Latents and error nodes of coded sites, in the order in which they run; see `Graph`."""

    sourced = False

    def __init__(self, module: torch.nn.Module, coded: tuple[Coded, ...]) -> None:
        evaluating(module)
        self.module, self.coded = module, coded
        names: list[Element] = []
        self.slices: list[slice] = []
        for one in coded:
            start = len(names)
            names.extend(Element(f"{one.site}/{latent}") for latent in range(one.latents))
            names.append(Element(f"{one.site}/error"))
            self.slices.append(slice(start, len(names)))
        self.elements: tuple[Element, ...] = tuple(names)
        self.stages: tuple[int, ...] = (0,) * len(names)

    @property
    def errors(self) -> NDArray[np.bool_]:
        """(elements,): which are error nodes."""
        return np.asarray([one.source.endswith("/error") for one in self.elements])

    def values(self, inputs: Any) -> tuple[torch.Tensor, ...]:
        """Latents and error of each site in turn: (rows, ..., m), (rows, ..., n)."""
        import torch

        found: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        with torch.no_grad():
            self._run(inputs, PLAIN, found)
        missing = [str(one.site) for place, one in enumerate(self.coded) if place not in found]
        if missing:
            raise MethodError(f"nothing flows through {', '.join(missing)}")
        return tuple(part.detach() for place in range(len(self.coded)) for part in found[place])

    def prefix(self, inputs: Any) -> Prefix:
        """Nothing is kept."""
        return Prefix({}, (), rows_of(inputs))

    def forward(self, inputs: Any, how: Pass = PLAIN) -> torch.Tensor:
        """The network's output with the mask's latents and errors replaced; differentiable in the mask."""
        return self._run(inputs, how, {})

    def traced(self, inputs: Any, how: Pass) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
        """The output; the latents of each site as they came in, before the mask there; and what went on from there.

        All with their graph. ``how`` has a mask.
        """
        found: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        left: dict[int, torch.Tensor] = {}
        outputs = self._run(inputs, how, found, left)
        order = range(len(self.coded))
        return outputs, [found[place][0] for place in order], [left[place] for place in order]

    def _run(
        self,
        inputs: Any,
        how: Pass,
        found: dict[int, tuple[torch.Tensor, torch.Tensor]],
        left: dict[int, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        def change(place: int) -> Callable[[torch.Tensor], torch.Tensor | None]:
            one = self.coded[place]

            def put(value: torch.Tensor) -> torch.Tensor | None:
                if place in found:
                    raise MethodError(
                        f"{one.site} runs several times in one pass; name a module that runs once"
                    )
                axis = feature_axis(value)
                x = value.movedim(axis, -1)
                latents = one.coder.encode(x)
                error = x - one.coder.decode(latents).to(x.dtype)
                found[place] = latents, error
                if how.mask is None:
                    return None
                assert how.other is not None
                mask = how.mask[:, self.slices[place]].to(latents.dtype)
                shape = [len(mask)] + [1] * (x.ndim - 2) + [-1]
                own, rest = (latents, error) if how.base is None else how.base[2 * place : 2 * place + 2]
                new = latents + mask[:, :-1].reshape(shape) * (how.other[2 * place] - own)
                # What is decoded anew is less what was decoded: no latent changed is no change at all.
                moved = one.coder.decode(new) - one.coder.decode(latents)
                rest_moved = mask[:, -1:].reshape(shape).to(x.dtype) * (how.other[2 * place + 1] - rest)
                made = x + moved.to(x.dtype) + rest_moved
                if left is not None:
                    left[place] = made
                return made.movedim(-1, axis)

            return put

        with ExitStack() as stack:
            for place, one in enumerate(self.coded):
                stack.enter_context(
                    watched(submodule(self.module, one.site.path), one.site.port, change(place))
                )
            return called(self.module, inputs)

    def reach(self, inputs: Any, other: tuple[torch.Tensor, ...]) -> list[float]:
        """For each node, the largest change of its value."""
        out: list[float] = []
        own = self.values(inputs)
        for place in range(len(self.coded)):
            latents, error = (other[2 * place + part] - own[2 * place + part] for part in (0, 1))
            out.extend(latents.abs().flatten(0, -2).amax(dim=0).tolist())
            out.append(float(error.abs().max()))
        return out


@dataclass(frozen=True, eq=False)
class FeatureCircuit:
    """An attribution graph over latents and errors, pruned."""

    nodes: NDArray[np.float64]
    """(elements,): the mean over inputs of the size of each node's indirect effect."""
    kept: NDArray[np.bool_]
    """(elements,)."""
    edges: dict[tuple[int, int], float]
    """Effect by (from, to) among kept nodes of successive sites; only those above the threshold."""
    faithfulness: float
    """Of the kept nodes, all others ablated."""
    completeness: float
    """Faithfulness of all but the kept nodes."""


def feature_circuit(
    task: Task, *, node_threshold: float = 0.1, edge_threshold: float = 0.01, steps: int = 10
) -> FeatureCircuit:
    """The sparse feature circuit of a task whose graph is a `FeatureGraph`.

    Thresholds are shares of the largest node's and the largest edge's effect.
    """
    graph = task.graph
    if not isinstance(graph, FeatureGraph):
        raise MethodError("a feature circuit is of a graph of latents (FeatureGraph)")
    nodes = attribution.mean_absolute(attribution.mask_gradient(task, steps))
    kept = nodes >= node_threshold * nodes.max(initial=0.0)
    table = edge_effects(task, np.flatnonzero(kept))
    largest = max((float(part.mean(axis=0).max(initial=0.0)) for _, part in table.values()), default=0.0)
    edges = {
        (start + place, into): float(value)
        for into, (start, part) in table.items()
        for place, value in enumerate(part.mean(axis=0))
        if kept[start + place] and value >= edge_threshold * largest > 0
    }
    sides = faithfulness.kept(task, np.stack([kept, ~kept])).faithfulness()
    return FeatureCircuit(nodes, kept, edges, float(sides[0]), float(sides[1]))


def edge_effects(task: Task, into: NDArray[np.int64]) -> dict[int, tuple[int, NDArray[np.float64]]]:
    """For each latent of ``into`` but those of the first site: where the site before starts, and (rows, its nodes) effects.

    The effect of a latent on another is ``d metric / d other * d other / d latent * (replaced - own)``, through nothing
    but what lies between the two sites, of each input by its size. Errors are read from, not written to.
    """
    import torch

    graph = task.graph
    assert isinstance(graph, FeatureGraph)
    mask = torch.zeros(task.rows, task.size, device=task.other[0].device, requires_grad=True)
    out: dict[int, tuple[int, NDArray[np.float64]]] = {}
    with torch.enable_grad():
        outputs, latents, left = graph.traced(task.inputs, Pass(mask=mask, other=task.other))
        total = task.metric(outputs, torch.arange(task.rows, device=mask.device)).sum()
        for place in range(1, len(latents)):
            part, before = graph.slices[place], graph.slices[place - 1]
            # Through the decoder alone: around the latents the site's own value goes on as it is.
            own = latents[place].detach().requires_grad_(requires_grad=True)
            (onwards,) = torch.autograd.grad(total, [left[place]], retain_graph=True)
            decoded = graph.coded[place].coder.decode(own)
            (slope,) = torch.autograd.grad(decoded, [own], onwards.to(decoded.dtype))
            for node in into[(into >= part.start) & (into < part.stop - 1)]:
                one = int(node) - part.start
                carried = (slope[..., one] * latents[place][..., one]).sum()
                if not carried.requires_grad:
                    continue
                found = torch.autograd.grad(carried, mask, retain_graph=True)[0]
                out[int(node)] = before.start, found[:, before].abs().double().cpu().numpy()
    return out


def acting(module: torch.nn.Module, sites: Sequence[Site], inputs: Any) -> list[Site]:
    """The sites in the order in which a pass reaches them; MethodError where it does not reach one, or does twice."""
    import torch

    met: list[Site] = []

    def meet(site: Site) -> Callable[[torch.Tensor], None]:
        def see(_: torch.Tensor) -> None:
            met.append(site)

        return see

    with torch.no_grad(), ExitStack() as stack:
        for site in sites:
            stack.enter_context(watched(submodule(module, site.path), site.port, meet(site)))
        called(module, inputs)
    for site in sites:
        if met.count(site) != 1:
            what = "several times in one pass; name a module that runs once" if site in met else "in no pass"
            raise MethodError(f"{site} runs {what}")
    return met

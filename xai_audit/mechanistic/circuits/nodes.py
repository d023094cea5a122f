"""Nodes of any torch module: outputs or inputs of modules, whole, by head or by unit, each replaced on its own."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xai_audit.errors import MethodError
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
from xai_audit.mechanistic.sites import Site, feature_axis

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch


@dataclass(frozen=True)
class Nodes:
    """What flows through one site, parted evenly along its feature axis."""

    site: Site
    """Without head and position."""
    parts: int = 1
    """Heads or units; 1 for the whole."""

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each part."""
        if self.parts == 1:
            return (str(self.site),)
        return tuple(f"{self.site}.{part}" for part in range(self.parts))


class NodeGraph:
    """Sites of a module as elements; see `Graph`. ``source`` is where inputs enter as numbers: the embedding's output."""

    def __init__(self, module: torch.nn.Module, nodes: tuple[Nodes, ...], source: Site | None = None) -> None:
        evaluating(module)
        self.module, self.nodes, self.source = module, nodes, source
        self.sourced = source is not None
        self.elements: tuple[Element, ...] = tuple(Element(name) for one in nodes for name in one.names)
        if len(set(self.elements)) < len(self.elements):
            raise MethodError("a site stands twice among the nodes")
        self.stages: tuple[int, ...] = (0,) * len(self.elements)
        self._starts = [sum(one.parts for one in nodes[:place]) for place in range(len(nodes))]

    def values(self, inputs: Any) -> tuple[torch.Tensor, ...]:
        """What flows through each site, then through the source, rows first."""
        import torch

        sites = [one.site for one in self.nodes] + ([self.source] if self.source is not None else [])
        found: dict[int, torch.Tensor] = {}

        def keep(place: int) -> Callable[[torch.Tensor], None]:
            def see(value: torch.Tensor) -> None:
                if place in found:
                    raise MethodError(
                        f"{sites[place]} runs several times in one pass; name a module that runs once"
                    )
                found[place] = value.detach().clone()

            return see

        with torch.no_grad(), ExitStack() as stack:
            for place, site in enumerate(sites):
                stack.enter_context(watched(submodule(self.module, site.path), site.port, keep(place)))
            called(self.module, inputs)
        missing = [str(site) for place, site in enumerate(sites) if place not in found]
        if missing:
            raise MethodError(f"nothing flows through {', '.join(missing)}")
        return tuple(found[place] for place in range(len(sites)))

    def prefix(self, inputs: Any) -> Prefix:
        """Nothing is kept: nodes of any module say nothing of what runs after what."""
        return Prefix({}, (), rows_of(inputs))

    def forward(self, inputs: Any, how: Pass = PLAIN) -> torch.Tensor:
        """The network's output with the mask's nodes replaced; differentiable in the mask."""
        with ExitStack() as stack:
            if how.share is not None and self.source is not None:
                stack.enter_context(
                    watched(
                        submodule(self.module, self.source.path),
                        self.source.port,
                        lambda x: self._start(x, how),
                    )
                )
            if how.mask is not None:
                for place, one in enumerate(self.nodes):
                    columns = slice(self._starts[place], self._starts[place] + one.parts)
                    if how.active is None or bool(how.active[columns].any()):
                        stack.enter_context(
                            watched(
                                submodule(self.module, one.site.path), one.site.port, self._change(place, how)
                            )
                        )
            return called(self.module, inputs)

    def _start(self, x: torch.Tensor, how: Pass) -> torch.Tensor:
        assert how.base is not None
        assert how.other is not None
        assert how.share is not None
        start, end = how.base[-1], how.other[-1]
        share = how.share.reshape(-1, *[1] * (x.ndim - 1)).to(x.dtype)
        return (start + share * (end - start)).expand_as(x)

    def _change(self, place: int, how: Pass) -> Callable[[torch.Tensor], torch.Tensor]:
        one, start = self.nodes[place], self._starts[place]

        def change(value: torch.Tensor) -> torch.Tensor:
            assert how.mask is not None
            assert how.other is not None
            axis = feature_axis(value)
            part = how.mask[:, start : start + one.parts].to(value.dtype)
            width = value.shape[axis]
            if width % one.parts:
                raise MethodError(f"{one.site}: {width} features are no {one.parts} equal parts")
            shape = [len(part)] + [1] * (value.ndim - 1)
            shape[axis] = width
            spread = part.repeat_interleave(width // one.parts, dim=1).reshape(shape)
            own = value if how.base is None else how.base[place]
            return value + spread * (how.other[place] - own)

        return change

    def reach(self, inputs: Any, other: tuple[torch.Tensor, ...]) -> list[float]:
        """For each node, the largest change of its value."""
        out: list[float] = []
        for one, own, new in zip(self.nodes, self.values(inputs), other, strict=False):
            change = (new - own).abs().movedim(feature_axis(own), -1).flatten(0, -2).amax(dim=0)
            out.extend(change.reshape(one.parts, -1).amax(dim=1).tolist())
        return out

"""Edges between units of a plain stack of linear layers: one weight each."""

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
    kept,
    rows_of,
    skipped,
    submodule,
    tiled,
    watched,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

_BETWEEN = (
    "ReLU", "GELU", "Tanh", "Sigmoid", "SiLU", "ELU", "LeakyReLU", "Softplus", "ReLU6", "Identity", "Dropout", "Flatten"
)  # fmt: skip
"""Layers of a stack that act on each unit alone."""


@dataclass(frozen=True)
class Wires:
    """A linear layer whose input columns and output columns are units by name."""

    path: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]


class UnitGraph:
    """The weights of linear layers as edges; see `Graph`. What flows is (rows, units), without positions."""

    sourced = True

    def __init__(
        self, module: torch.nn.Module, wires: tuple[Wires, ...], stages: tuple[str, ...] = ()
    ) -> None:
        import torch

        evaluating(module)
        self.module, self.wires, self._paths = module, wires, stages
        elements: list[Element] = []
        self._ids: list[torch.Tensor] = []
        for wire in wires:
            layer = submodule(module, wire.path)
            if tuple(layer.weight.shape) != (len(wire.targets), len(wire.sources)):
                raise MethodError(f"{wire.path}: the names do not fit its weight")
            start = len(elements)
            elements.extend(Element(source, target) for target in wire.targets for source in wire.sources)
            self._ids.append(torch.arange(start, len(elements)).reshape(len(wire.targets), len(wire.sources)))
        self.elements: tuple[Element, ...] = tuple(elements)
        self._stage_of: list[int] | None = None

    @property
    def stages(self) -> tuple[int, ...]:
        """For each element, how many stages are over before it acts; known after `prefix`."""
        if self._stage_of is None:
            raise MethodError("run prefix() once before asking for stages")
        return tuple(
            stage for ids, stage in zip(self._ids, self._stage_of, strict=True) for _ in range(ids.numel())
        )

    def values(self, inputs: Any) -> tuple[torch.Tensor, ...]:
        """The network's input, then what each layer takes in: (rows, units) each."""
        import torch

        found: dict[int, torch.Tensor] = {}
        with torch.no_grad(), ExitStack() as stack:
            stack.enter_context(watched(self.module, "in", _keep(found, 0)))
            for place, wire in enumerate(self.wires):
                stack.enter_context(watched(submodule(self.module, wire.path), "in", _keep(found, place + 1)))
            called(self.module, inputs)
        return tuple(found[place] for place in range(len(self.wires) + 1))

    def prefix(self, inputs: Any) -> Prefix:
        """One plain pass: what each stage gave, and which layers stand after which stage."""
        import torch

        order, over = [0] * len(self.wires), [0]

        def count(_: torch.Tensor) -> None:
            over[0] += 1

        def reached(place: int) -> Callable[[torch.Tensor], None]:
            def seen(_: torch.Tensor) -> None:
                order[place] = over[0]

            return seen

        with torch.no_grad(), ExitStack() as stack:
            for path in self._paths:
                stack.enter_context(watched(submodule(self.module, path), "out", count))
            for place, wire in enumerate(self.wires):
                stack.enter_context(watched(submodule(self.module, wire.path), "in", reached(place)))
            outputs, _ = kept(self.module, self._paths, lambda: called(self.module, inputs))
        self._stage_of = order
        return Prefix(outputs, (), rows_of(inputs))

    def forward(self, inputs: Any, how: Pass = PLAIN) -> torch.Tensor:
        """The network's output with the mask's edges carrying other values; differentiable in the mask."""
        with ExitStack() as stack:
            if how.prefix is not None and how.stage:
                times = rows_of(inputs) // how.prefix.rows
                for path in self._paths[: how.stage]:
                    output = tiled(how.prefix.outputs[path], times, how.prefix.rows)
                    stack.enter_context(skipped(submodule(self.module, path), output))
            if how.share is not None:
                stack.enter_context(watched(self.module, "in", lambda x: _between(x, how)))
            if how.mask is not None:
                for place, wire in enumerate(self.wires):
                    if how.active is None or bool(how.active[self._ids[place]].any()):
                        self._patched(stack, place, wire, how)
            return called(self.module, inputs)

    def _patched(self, stack: ExitStack, place: int, wire: Wires, how: Pass) -> None:
        layer = submodule(self.module, wire.path)
        held: list[torch.Tensor] = []

        def replace(output: torch.Tensor) -> torch.Tensor:
            import torch

            assert how.mask is not None
            assert how.other is not None
            own = held[0] if how.base is None else how.base[place + 1]
            difference = how.other[place + 1] - own
            part = how.mask[:, self._ids[place].to(how.mask.device)].to(output.dtype)
            if len(difference) == 1:
                difference = difference.expand(len(part), -1)
            return output + torch.einsum("brw,rw,bw->br", part, layer.weight, difference)

        def keep(x: torch.Tensor) -> None:
            held[:] = [x]

        stack.enter_context(watched(layer, "in", keep))
        stack.enter_context(watched(layer, "out", replace))

    def reach(self, inputs: Any, other: tuple[torch.Tensor, ...]) -> list[float]:
        """For each edge, the largest change of what its target takes in with that edge alone ablated."""
        out: list[float] = []
        for wire, own, one in zip(self.wires, self.values(inputs)[1:], other[1:], strict=True):
            weight = submodule(self.module, wire.path).weight
            change = weight.detach().abs() * (one - own).abs().amax(dim=0)[None]
            out.extend(change.flatten().tolist())
        return out


def stacked(module: torch.nn.Module) -> UnitGraph:
    """The unit graph of an ``nn.Sequential`` of linear layers and activations; MethodError where it is none."""
    import torch

    if not isinstance(module, torch.nn.Sequential):
        raise MethodError(f"{type(module).__name__} is no plain stack of layers")
    wires: list[Wires] = []
    before: tuple[str, ...] = ()
    for name, layer in module.named_children():
        if isinstance(layer, torch.nn.Linear):
            sources = before or tuple(f"in.{unit}" for unit in range(layer.in_features))
            targets = tuple(f"{name}.{unit}" for unit in range(layer.out_features))
            if len(sources) != layer.in_features:
                raise MethodError(f"{name} reads {layer.in_features} units where {len(sources)} are")
            wires.append(Wires(name, sources, targets))
            before = targets
        elif type(layer).__name__ not in _BETWEEN:
            raise MethodError(
                f"{name} is {type(layer).__name__}: units of a stack are told apart by activations alone"
            )
    if not wires:
        raise MethodError("this stack has no linear layer")
    return UnitGraph(module, tuple(wires), tuple(name for name, _ in module.named_children()))


def _keep(found: dict[int, torch.Tensor], place: int) -> Callable[[torch.Tensor], None]:
    def keep(x: torch.Tensor) -> None:
        found[place] = x.detach()

    return keep


def _between(x: torch.Tensor, how: Pass) -> torch.Tensor:
    assert how.base is not None
    assert how.other is not None
    assert how.share is not None
    start, end = how.base[0], how.other[0]
    share = how.share.reshape(-1, *[1] * (start.ndim - 1)).to(start.dtype)
    return (start + share * (end - start)).expand_as(x)

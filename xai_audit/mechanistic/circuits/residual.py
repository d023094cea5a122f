"""Edges of an additive residual: what each writer adds to it, as each later reader takes it in.

An edge is ablated by giving its reader, and no other, the residual with the writer's part replaced. That is defined only
where the reader's input is a plain sum of what was written before, as in pre-LN decoders; `ResidualGraph.check` says
whether it is, and post-LN networks are refused by it.
"""

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
    from collections.abc import Callable, Sequence

    import torch

TOLERANCE = 1e-3
"""How far, relative to its size, a reader's input may be from the sum of what was written before."""


@dataclass(frozen=True)
class Writers:
    """Parts that add to the residual at one place: a module's output, or the heads that a linear layer mixes."""

    names: tuple[str, ...]
    path: str
    """The module whose output is written, or the layer that mixes the heads (``o_proj``), whose input they are."""
    heads: bool = False
    source: bool = False
    """Whether this is where inputs enter, as the embedding."""


@dataclass(frozen=True)
class Readers:
    """Parts that take the residual in at one place."""

    names: tuple[str, ...]
    path: str
    """The module whose first input is the residual: a norm, or what reads it without one."""
    projection: str | None = None
    """A linear layer after the norm whose output columns belong to one reader each; None for one reader, ``path``."""
    columns: tuple[tuple[int, ...], ...] = ()
    """The output columns of each reader, as many for each."""


@dataclass(frozen=True)
class EdgeSpec:
    """Writers and readers in the order in which they act, and modules that run one after the other."""

    parts: tuple[Writers | Readers, ...]
    stages: tuple[str, ...] = ()
    """Modules that need not run again where nothing before or in them is ablated."""


class ResidualGraph:
    """The edges of an edge spec in a torch module; see `Graph`.

    ``module`` is in evaluation mode. Positions are not told apart: an edge is one writer to one reader at all of them.
    """

    sourced = True

    def __init__(self, module: torch.nn.Module, spec: EdgeSpec) -> None:
        evaluating(module)
        self.module, self.spec = module, spec
        self.writers = [part for part in spec.parts if isinstance(part, Writers)]
        self.readers = [part for part in spec.parts if isinstance(part, Readers)]
        if not self.writers or not self.readers:
            raise MethodError("an edge spec has at least one writer and one reader")
        elements: list[Element] = []
        self._ids: dict[tuple[int, int], torch.Tensor] = {}
        self._before: list[list[int]] = []
        seen: list[int] = []
        reader = writer = 0
        for part in spec.parts:
            if isinstance(part, Writers):
                seen.append(writer)
                writer += 1
                continue
            self._before.append(list(seen))
            self._number(reader, part, seen, elements)
            reader += 1
        self.elements: tuple[Element, ...] = tuple(elements)
        if len(set(elements)) < len(elements):
            raise MethodError("two writers or two readers of the edge spec have the same name")
        self._stage_of: list[int] | None = None

    def _number(self, reader: int, part: Readers, seen: Sequence[int], elements: list[Element]) -> None:
        import torch

        rows: dict[int, list[list[int]]] = {group: [] for group in seen}
        for name in part.names:
            for group in seen:
                rows[group].append(list(range(len(elements), len(elements) + len(self.writers[group].names))))
                elements.extend(Element(one, name) for one in self.writers[group].names)
        for group in seen:
            self._ids[group, reader] = torch.tensor(rows[group]).T.contiguous()

    @property
    def stages(self) -> tuple[int, ...]:
        """For each element, how many stages are over before it acts; known after the first pass."""
        if self._stage_of is None:
            raise MethodError("run prefix() once before asking for stages")
        out = [0] * len(self.elements)
        for (_, reader), ids in self._ids.items():
            for place in ids.flatten().tolist():
                out[place] = self._stage_of[reader]
        return tuple(out)

    # ------------------------------------------------------------------------------------------- passes
    def values(self, inputs: Any) -> tuple[torch.Tensor, ...]:
        """(rows, writers of the group, ..., width) for each group of writers."""
        import torch

        found: dict[int, torch.Tensor] = {}
        with torch.no_grad(), ExitStack() as stack:
            self._watch_writers(stack, found, PLAIN, 0)
            called(self.module, inputs)
        return tuple(found[place].detach() for place in range(len(self.writers)))

    def prefix(self, inputs: Any) -> Prefix:
        """One plain pass: what each stage gave, and which readers stand after which stage."""
        import torch

        found: dict[int, torch.Tensor] = {}
        order = [0] * len(self.readers)
        over = [0]

        def count(_: torch.Tensor) -> None:
            over[0] += 1

        def reached(place: int) -> Callable[[torch.Tensor], None]:
            def seen(_: torch.Tensor) -> None:
                order[place] = over[0]

            return seen

        with torch.no_grad(), ExitStack() as stack:
            self._watch_writers(stack, found, PLAIN, 0)
            for path in self.spec.stages:
                stack.enter_context(watched(submodule(self.module, path), "out", count))
            for place, part in enumerate(self.readers):
                stack.enter_context(watched(submodule(self.module, part.path), "in", reached(place)))
            outputs, _ = kept(self.module, self.spec.stages, lambda: called(self.module, inputs))
        self._stage_of = order
        values = tuple(found[place].detach() for place in range(len(self.writers)))
        return Prefix(outputs, values, rows_of(inputs))

    def forward(self, inputs: Any, how: Pass = PLAIN) -> torch.Tensor:
        """The network's output with the mask's edges carrying other values; differentiable in the mask."""
        rows = rows_of(inputs)
        current: dict[int, torch.Tensor] = {}
        with ExitStack() as stack:
            if how.prefix is not None and how.stage:
                times = rows // how.prefix.rows
                for place, value in enumerate(how.prefix.values):
                    current[place] = tiled(value, times, how.prefix.rows)
                for path in self.spec.stages[: how.stage]:
                    output = tiled(how.prefix.outputs[path], times, how.prefix.rows)
                    stack.enter_context(skipped(submodule(self.module, path), output))
            self._watch_writers(stack, current, how, rows)
            if how.mask is not None:
                for place in range(len(self.readers)):
                    self._watch_reader(stack, place, current, how)
            return called(self.module, inputs)

    def _watch_writers(
        self, stack: ExitStack, current: dict[int, torch.Tensor], how: Pass, rows: int
    ) -> None:
        def written(place: int, part: Writers) -> Callable[[torch.Tensor], torch.Tensor | None]:
            module = submodule(self.module, part.path)

            def see(value: torch.Tensor) -> torch.Tensor | None:
                moved = None
                if part.source and how.share is not None:
                    assert how.other is not None
                    assert how.base is not None
                    start, end = how.base[place][:, 0], how.other[place][:, 0]
                    share = how.share.reshape(-1, *[1] * (start.ndim - 1)).to(start.dtype)
                    value = moved = (start + share * (end - start)).expand(rows, *start.shape[1:])
                current[place] = _by_head(value, module, len(part.names)) if part.heads else value[:, None]
                return moved

            return see

        for place, part in enumerate(self.writers):
            port = "in" if part.heads else "out"
            stack.enter_context(watched(submodule(self.module, part.path), port, written(place, part)))

    def _watch_reader(
        self, stack: ExitStack, place: int, current: dict[int, torch.Tensor], how: Pass
    ) -> None:
        part = self.readers[place]
        live = self._live(place, how)
        if not live:
            return
        entrance = submodule(self.module, part.path)
        if part.projection is None:
            stack.enter_context(
                watched(entrance, "in", lambda x: x + self._change(place, current, how, live)[:, 0])
            )
            return
        held: list[torch.Tensor] = []

        def keep(x: torch.Tensor) -> None:
            held[:] = [x]

        def replace(output: torch.Tensor) -> torch.Tensor:
            change = self._change(place, current, how, live)
            made = self._projected(part, held[0][:, None] + change, live)
            import torch

            columns = torch.tensor([part.columns[one] for one in live], device=output.device)
            result = output.clone()
            result[..., columns.flatten()] = made.movedim(1, -2).flatten(-2)
            return result

        stack.enter_context(watched(entrance, "in", keep))
        stack.enter_context(watched(submodule(self.module, part.projection), "out", replace))

    def _live(self, place: int, how: Pass) -> list[int]:
        """The readers of a group into which an edge of the mask may be ablated."""
        count = len(self.readers[place].names)
        if how.active is None:
            return list(range(count)) if self._before[place] else []
        return [
            reader
            for reader in range(count)
            if any(
                bool(how.active[self._ids[group, place][:, reader]].any()) for group in self._before[place]
            )
        ]

    def _change(
        self, place: int, current: dict[int, torch.Tensor], how: Pass, live: Sequence[int]
    ) -> torch.Tensor:
        """(rows, live readers, ..., width): what ablated edges change of the residual as each reader takes it in."""
        import torch

        assert how.mask is not None
        assert how.other is not None
        total: torch.Tensor | None = None
        for group in self._before[place]:
            ids = self._ids[group, place][:, list(live)].to(how.mask.device)
            if how.active is not None and not bool(how.active[ids].any()):
                continue
            own = current[group] if how.base is None else how.base[group]
            difference = how.other[group] - own
            part = torch.einsum(
                "bwr,bw...->br...", how.mask[:, ids].to(difference.dtype), _alike(difference, how.mask)
            )
            total = part if total is None else total + part
        assert total is not None
        return total

    def _projected(self, part: Readers, x: torch.Tensor, live: Sequence[int]) -> torch.Tensor:
        """(rows, live readers, ..., columns): the projection's own columns of each reader's own input."""
        import torch

        assert part.projection is not None
        layer = submodule(self.module, part.projection)
        if part.path != part.projection:
            # The norm alone, without its hooks: they are about the shared residual.
            x = submodule(self.module, part.path).forward(x)
        weight, bias = _linear(layer)
        columns = torch.tensor([part.columns[one] for one in live], device=weight.device)
        made = torch.einsum("br...d,rkd->br...k", x, weight[columns])
        if bias is None:
            return made
        own = bias[columns]
        return made + own.reshape(1, len(live), *[1] * (made.ndim - 3), own.shape[-1])

    # ------------------------------------------------------------------------------------------- what it rests on
    def check(self, inputs: Any) -> None:
        """MethodError where what a reader takes in is not the sum of what was written before, up to a constant."""
        import torch

        taken: dict[int, torch.Tensor] = {}
        found: dict[int, torch.Tensor] = {}

        def seen(place: int) -> Callable[[torch.Tensor], None]:
            def keep(x: torch.Tensor) -> None:
                taken[place] = x.detach()

            return keep

        with torch.no_grad(), ExitStack() as stack:
            self._watch_writers(stack, found, PLAIN, 0)
            for place, part in enumerate(self.readers):
                stack.enter_context(watched(submodule(self.module, part.path), "in", seen(place)))
            called(self.module, inputs)
        for place, part in enumerate(self.readers):
            parts = [found[group].sum(dim=1) for group in self._before[place]]
            if place not in taken or any(one.shape != taken[place].shape for one in parts):
                shape = tuple(taken[place].shape) if place in taken else "nothing"
                raise MethodError(f"{part.path} takes in {shape}, not what the writers before it write")
            rest = taken[place] - torch.stack(parts).sum(dim=0)
            # Biases of the layers that mix heads are written by nobody; they are the same in every row.
            rest = rest - rest.flatten(0, -2).mean(dim=0)
            off, size = float(rest.abs().max()), float(taken[place].abs().max())
            if off > TOLERANCE * max(size, 1e-12):
                raise MethodError(
                    f"{part.path}: its input is not the sum of what was written before (off by {off / size:.1%}): "
                    "edges are not testable here, as in post-LN networks; level: node is"
                )

    def reach(self, inputs: Any, other: tuple[torch.Tensor, ...]) -> list[float]:
        """For each edge, the largest change of what its reader reads (its projection, or its input) with that edge alone."""
        import torch

        own: dict[int, torch.Tensor] = {}
        held: dict[int, torch.Tensor] = {}
        out = [0.0] * len(self.elements)

        def seen(place: int) -> Callable[[torch.Tensor], None]:
            def keep(x: torch.Tensor) -> None:
                held[place] = x.detach()

            return keep

        with torch.no_grad(), ExitStack() as stack:
            self._watch_writers(stack, own, PLAIN, 0)
            for place, part in enumerate(self.readers):
                stack.enter_context(watched(submodule(self.module, part.path), "in", seen(place)))
            called(self.module, inputs)
        with torch.no_grad():
            for place, part in enumerate(self.readers):
                live = list(range(len(part.names)))
                for group in self._before[place]:
                    difference = other[group] - own[group]
                    for writer in range(difference.shape[1]):
                        changed = self._read_change(part, held[place], difference[:, writer], live)
                        for reader in live:
                            out[int(self._ids[group, place][writer, reader])] = float(changed[reader])
        return out

    def _read_change(
        self, part: Readers, x: torch.Tensor, difference: torch.Tensor, live: Sequence[int]
    ) -> torch.Tensor:
        if part.projection is None:
            return difference.abs().max()[None]
        import torch

        plain = isinstance(submodule(self.module, part.path), torch.nn.Identity)
        if plain or part.path == part.projection:
            weight, _ = _linear(submodule(self.module, part.projection))
            columns = torch.tensor([part.columns[one] for one in live], device=weight.device)
            made = torch.einsum("b...d,rkd->rb...k", difference, weight[columns])
            return made.abs().flatten(1).amax(dim=1)
        both = [x[:, None], (x + difference)[:, None]]
        many = [one.expand(-1, len(live), *one.shape[2:]) for one in both]
        before, after = (self._projected(part, one, live) for one in many)
        return (after - before).abs().movedim(1, 0).flatten(1).amax(dim=1)


def _alike(difference: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """As many rows as the mask has, where one row stands for all."""
    return difference.expand(len(mask), *difference.shape[1:]) if len(difference) == 1 else difference


def _linear(layer: torch.nn.Module) -> tuple[torch.Tensor, torch.Tensor | None]:
    """A linear layer's weight (out, in) and bias; MethodError for any other layer."""
    weight = getattr(layer, "weight", None)
    if weight is None or weight.ndim != 2:
        raise MethodError(f"{type(layer).__name__} is no linear layer")
    # GPT-2's layers hold their weight the other way round.
    turned = weight.T if type(layer).__name__ == "Conv1D" else weight
    return turned, getattr(layer, "bias", None)


def _by_head(value: torch.Tensor, layer: torch.nn.Module, heads: int) -> torch.Tensor:
    """(rows, heads, ..., width): what each head adds through the layer that mixes them, without its bias."""
    import torch

    weight, _ = _linear(layer)
    if value.shape[-1] % heads:
        raise MethodError(f"{value.shape[-1]} features are no {heads} equal heads")
    parted = value.unflatten(-1, (heads, -1))
    return torch.einsum("b...hk,dhk->bh...d", parted, weight.unflatten(1, (heads, -1)))


def part_columns(count: int, width: int, start: int = 0) -> tuple[tuple[int, ...], ...]:
    """Output columns of ``count`` readers that stand one after the other."""
    return tuple(tuple(range(start + one * width, start + (one + 1) * width)) for one in range(count))

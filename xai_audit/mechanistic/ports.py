"""What flows through one port of a module while it runs: seen, changed, and the part of it that a site names."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xai_audit.errors import MethodError

if TYPE_CHECKING:
    import torch

    from xai_audit.mechanistic.sites import Edit, Site


@dataclass(eq=False)
class Port:
    """One input or output of a module during one pass, with the edits made there."""

    site: Site
    """Whole: without head and position."""
    edits: Sequence[Edit]
    captured: bool
    leaf: bool
    """Whether a gradient with respect to it is wanted."""
    part: Part
    value: torch.Tensor | None = None
    """What flowed through, after the edits."""
    calls: int = 0

    @contextlib.contextmanager
    def hooked(self, module: torch.nn.Module) -> Iterator[None]:
        """The module with this port watched; the hook is gone afterwards, whatever happens."""
        handle = (
            module.register_forward_pre_hook(self._before, with_kwargs=True)
            if self.site.port == "in"
            else module.register_forward_hook(self._after)
        )
        try:
            yield
        finally:
            handle.remove()

    def seen(self) -> torch.Tensor:
        """What flowed through; MethodError where nothing did, or several things."""
        if self.value is None:
            raise MethodError(f"nothing flowed through {self.site} in this pass")
        if self.calls > 1:
            raise MethodError(
                f"{self.site} runs {self.calls} times in one pass; name a module that runs once, such as the one before "
                "or after it"
            )
        return self.value

    def _change(self, value: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        for edit in self.edits:
            value = self._edited(value, edit)
        if self.captured and self.leaf and value.is_floating_point() and not value.requires_grad:
            # Where nothing above asks for a gradient it is a leaf of its own.
            value = value.detach().requires_grad_(requires_grad=True)
        self.value = value
        # A copy goes on: a module after it may work in place, and a replaced value may be the caller's own.
        return value.clone() if self.captured or self.edits else value

    def _edited(self, value: torch.Tensor, edit: Edit) -> torch.Tensor:
        if edit.site == self.site:
            return edit.apply(value)
        return self.part.put(value, edit.site, edit.apply(self.part.of(value, edit.site)))

    def _before(self, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            return (self._change(_tensor(args[0], self.site)), *args[1:]), kwargs
        if not kwargs:
            raise MethodError(f"{self.site}: it is called without an input")
        name = next(iter(kwargs))
        return args, {**kwargs, name: self._change(_tensor(kwargs[name], self.site))}

    def _after(self, _: Any, __: Any, output: Any) -> Any:
        return _with_first(output, self._change, self.site)


@dataclass(frozen=True, eq=False)
class Part:
    """The head and position of a site within what flows through its port, in one batch."""

    heads: Callable[[Site], int]
    """How many heads a site has; MethodError where it has none."""
    ends: torch.Tensor | None = None
    """How many tokens each row has (rows,), where a mask says so: padding is no position."""

    def of(self, value: torch.Tensor, site: Site) -> torch.Tensor:
        """The part of a value (rows, ...) that a site names: (rows, feature) at a position."""
        where = self._where(value, site)
        return value if where is None else value[where]

    def put(self, value: torch.Tensor, site: Site, part: torch.Tensor) -> torch.Tensor:
        """A copy of the value with that part in its place."""
        result = value.clone()
        result[self._where(value, site) or ...] = part
        return result

    def _where(self, value: torch.Tensor, site: Site) -> tuple[Any, ...] | None:
        if site == site.whole:
            return None
        columns = slice(None)
        if site.head is not None:
            count = self.heads(site)
            if not 0 <= site.head < count:
                raise MethodError(f"{site}: there are {count} heads")
            if value.shape[-1] % count:
                raise MethodError(f"{site}: {value.shape[-1]} features are no {count} equal heads")
            width = value.shape[-1] // count
            columns = slice(site.head * width, (site.head + 1) * width)
        if site.pos is None:
            return ..., columns
        return (*self._position(value, site, site.pos), columns)

    def _position(self, value: torch.Tensor, site: Site, pos: int) -> tuple[Any, Any]:
        import torch

        if value.ndim != 3:
            raise MethodError(
                f"{site}: @pos asks for (batch, position, feature); here is {tuple(value.shape)}"
            )
        rows, length = value.shape[:2]
        ends = self.ends
        if ends is None or len(ends) != rows:
            ends = torch.full((rows,), length, device=value.device)
        shortest = int(ends.min()) if rows else length
        if not -shortest <= pos < shortest:
            raise MethodError(f"{site}: there are {shortest} positions in the shortest row")
        index = ends + pos if pos < 0 else torch.full_like(ends, pos)
        return torch.arange(rows, device=value.device), index


def _tensor(value: Any, site: Site) -> torch.Tensor:
    import torch

    if not isinstance(value, torch.Tensor):
        raise MethodError(f"{site}: its first input is {type(value).__name__}, no tensor")
    return value


def _with_first(output: Any, change: Callable[[Any], Any], site: Site) -> Any:
    """The module's output with its first tensor changed: a tensor, a tuple or list, or a mapping such as ModelOutput."""
    import torch

    if isinstance(output, torch.Tensor):
        return change(output)
    if isinstance(output, (tuple, list)) and output and isinstance(output[0], torch.Tensor):
        rest = [change(output[0]), *output[1:]]
        return type(output)(*rest) if hasattr(output, "_fields") else type(output)(rest)
    if isinstance(output, Mapping) and output:
        name = next(iter(output))
        if isinstance(output[name], torch.Tensor):
            output[name] = change(output[name])  # type: ignore[index]
            return output
    raise MethodError(f"{site}: it gives {type(output).__name__}, whose first part is no tensor")

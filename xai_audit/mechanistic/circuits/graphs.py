"""What every graph of a network offers: named elements, the values they carry, and a pass with some of them ablated."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from xai_audit.errors import MethodError

if TYPE_CHECKING:
    import torch

Values = "tuple[torch.Tensor, ...]"
"""What the elements of a graph carry, one tensor for each group of writers, rows first; one row stands for all."""


@dataclass(frozen=True, order=True)
class Element:
    """A part that can be ablated: the edge from ``source`` to ``target``, or the node ``source``."""

    source: str
    target: str = ""

    def __str__(self) -> str:
        return f"{self.source} -> {self.target}" if self.target else self.source


@dataclass(frozen=True, eq=False)
class Prefix:
    """What the stages of a network gave in one pass without ablation, so that a later pass need not run them."""

    outputs: Mapping[str, Any]
    values: tuple[torch.Tensor, ...]
    rows: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Pass:
    """How a pass differs from a plain one."""

    mask: torch.Tensor | None = None
    """(rows, elements) or (1, elements) in [0, 1]: how far each element carries the other value; None for not at all."""
    other: tuple[torch.Tensor, ...] | None = None
    """What ablated elements carry."""
    base: tuple[torch.Tensor, ...] | None = None
    """What an element's own value is taken to be; None for what it is in this pass."""
    share: torch.Tensor | None = None
    """(rows,): how far the network's source stands between ``base`` and ``other``; None for as it is given."""
    prefix: Prefix | None = None
    stage: int = 0
    """The first stage that runs; what those before it gave is taken from the prefix."""
    active: torch.Tensor | None = field(default=None)
    """(elements,): which elements of the mask are not 0 for all rows; None where all may be (as with a gradient)."""


PLAIN = Pass()


class Graph(Protocol):
    """A network seen as elements that can be ablated one by one."""

    @property
    def elements(self) -> tuple[Element, ...]:
        """In the order in which they act in a pass."""
        ...

    @property
    def stages(self) -> tuple[int, ...]:
        """For each element: how many stages of the network are over before it acts."""
        ...

    @property
    def sourced(self) -> bool:
        """Whether the pass can start between two inputs (``Pass.share``)."""
        ...

    def values(self, inputs: Any) -> tuple[torch.Tensor, ...]:
        """What every group of writers writes for these inputs, rows first."""
        ...

    def prefix(self, inputs: Any) -> Prefix:
        """One plain pass whose stages are kept."""
        ...

    def forward(self, inputs: Any, how: Pass = PLAIN) -> torch.Tensor:
        """The network's output for these inputs under a pass."""
        ...

    def reach(self, inputs: Any, other: tuple[torch.Tensor, ...]) -> list[float]:
        """For each element: the largest change of what its target takes in when it carries the other value."""
        ...


def rows_of(inputs: Any) -> int:
    """How many rows a batch has."""
    first = next(iter(inputs.values())) if isinstance(inputs, Mapping) else inputs
    first = first[0] if isinstance(first, (tuple, list)) else first
    return len(first)


def mapped(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """The same structure of tuples, lists and mappings with every tensor changed; all else as it is."""
    import torch

    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, Mapping):
        made = {name: mapped(one, change) for name, one in value.items()}
        return type(value)(**made) if hasattr(value, "to_tuple") else made
    if isinstance(value, (tuple, list)):
        parts = [mapped(one, change) for one in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value


def tiled(value: Any, times: int, rows: int) -> Any:
    """Every tensor of ``rows`` rows repeated, copy after copy; others as they are."""

    def repeat(one: torch.Tensor) -> torch.Tensor:
        if times == 1 or one.ndim == 0 or len(one) != rows:
            return one
        return one.repeat(times, *[1] * (one.ndim - 1))

    return mapped(value, repeat)


def taken(value: Any, index: torch.Tensor, rows: int) -> Any:
    """The rows of an index of every tensor of ``rows`` rows; others, such as one row for all, as they are."""
    return mapped(value, lambda one: one[index] if one.ndim and len(one) == rows and rows > 1 else one)


def called(module: torch.nn.Module, inputs: Any) -> torch.Tensor:
    """The first tensor of what a module gives for a batch."""
    import torch

    found = module(**inputs) if isinstance(inputs, Mapping) else module(inputs)
    for name in ("logits", "scores", "predictions"):
        if not isinstance(found, torch.Tensor) and getattr(found, name, None) is not None:
            found = getattr(found, name)
    while isinstance(found, (tuple, list)) and found:
        found = found[0]
    if not isinstance(found, torch.Tensor):
        raise MethodError(f"the network gives {type(found).__name__}, no tensor")
    return found


def submodule(module: torch.nn.Module, path: str) -> torch.nn.Module:
    """A module by its path; MethodError where there is none."""
    try:
        return module.get_submodule(path)
    except AttributeError:
        raise MethodError(f"no module {path!r} in this network") from None


def first_tensor(value: Any) -> torch.Tensor:
    """The tensor that a hook is about: a module's input or output, or the first of several."""
    import torch

    while isinstance(value, (tuple, list)) and value:
        value = value[0]
    if isinstance(value, Mapping) and value:
        value = next(iter(value.values()))
    if not isinstance(value, torch.Tensor):
        raise MethodError(f"a {type(value).__name__} stands where a tensor is asked")
    return value


@contextlib.contextmanager
def watched(
    module: torch.nn.Module, port: str, change: Callable[[torch.Tensor], torch.Tensor | None]
) -> Iterator[None]:
    """The module with its input or output given to ``change``, which may give another in its place."""

    def before(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args:
            made = change(first_tensor(args[0]))
            return None if made is None else ((made, *args[1:]), kwargs)
        name = next(iter(kwargs))
        made = change(first_tensor(kwargs[name]))
        return None if made is None else (args, {**kwargs, name: made})

    def after(_: Any, __: Any, output: Any) -> Any:
        made = change(first_tensor(output))
        if made is None:
            return None
        if isinstance(output, (tuple, list)):
            return type(output)([made, *output[1:]])
        return made

    hook = (
        module.register_forward_pre_hook(before, with_kwargs=True)
        if port == "in"
        else module.register_forward_hook(after)
    )
    try:
        yield
    finally:
        hook.remove()


@contextlib.contextmanager
def skipped(module: torch.nn.Module, output: Any) -> Iterator[None]:
    """The module giving a kept output without running."""
    own = module.__dict__.get("forward")
    module.forward = lambda *_, **__: output
    try:
        yield
    finally:
        del module.forward
        if own is not None:
            module.forward = own


def kept(
    module: torch.nn.Module, stages: tuple[str, ...], run: Callable[[], Any]
) -> tuple[dict[str, Any], Any]:
    """What each stage gives while ``run`` runs, by path, and what ``run`` gives."""
    found: dict[str, Any] = {}

    def keep(path: str) -> Callable[..., None]:
        def after(_: Any, __: Any, output: Any) -> None:
            found[path] = mapped(output, lambda one: one.detach())

        return after

    hooks = [submodule(module, path).register_forward_hook(keep(path)) for path in stages]
    try:
        given = run()
    finally:
        for hook in hooks:
            hook.remove()
    return found, given


def evaluating(module: torch.nn.Module) -> None:
    """MethodError where the module is in training mode, in which dropout makes every pass another."""
    if module.training:
        raise MethodError("the network is in training mode; call eval() on it first")

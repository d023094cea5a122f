"""Where in a network something is seen or changed, and what is done to it there."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from xai_audit.errors import MethodError

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

_SITE = re.compile(r"(?P<path>[^#@\s]*)(?:#(?P<port>in|out))?(?P<rest>(?:@(?:head|pos)=-?\d+)*)", re.ASCII)
_SELECTOR = re.compile(r"@(head|pos)=(-?\d+)", re.ASCII)


@dataclass(frozen=True, order=True)
class Site:
    """A place in a network: a module's path, its input or output, and where they apply a head and a position.

    ``path`` is the name that ``named_modules`` gives; the empty path is the whole network, so ``Site("", "in")``
    is its first input. ``head`` is one of the equal parts of the last axis that an attention module has heads
    for; ``pos`` is an index along the second of three axes (batch, position, feature).
    """

    path: str
    port: Literal["in", "out"] = "out"
    head: int | None = None
    pos: int | None = None

    @classmethod
    def parse(cls, text: str) -> Site:
        """``path``, ``path#in``, ``path#out``, with ``@head=H`` and ``@pos=P``; MethodError for anything else."""
        found = _SITE.fullmatch(text.strip())
        if found is None:
            raise MethodError(f"a site is path, path#in or path#out, with @head=H and @pos=P, not {text!r}")
        chosen: dict[str, int] = {}
        for key, number in _SELECTOR.findall(found["rest"]):
            if key in chosen:
                raise MethodError(f"@{key} stands twice in the site {text!r}")
            chosen[key] = int(number)
        port: Literal["in", "out"] = "in" if found["port"] == "in" else "out"
        return cls(found["path"], port, chosen.get("head"), chosen.get("pos"))

    def __str__(self) -> str:
        head = "" if self.head is None else f"@head={self.head}"
        pos = "" if self.pos is None else f"@pos={self.pos}"
        return f"{self.path}{'#in' if self.port == 'in' else ''}{head}{pos}"

    @property
    def whole(self) -> Site:
        """The same port without head and position."""
        return replace(self, head=None, pos=None)


Operation = Literal["replace", "add", "scale", "project_out", "splice"]


@dataclass(frozen=True, eq=False)
class Edit:
    """One change of what flows through a site: ablation, patching, steering, erasure and splicing alike.

    ``replace`` puts ``value`` (broadcast) in its place, ``add`` adds it, ``scale`` multiplies by it, ``project_out``
    removes the directions ``value`` (feature,) or (k, feature), and ``splice`` calls it on the activation. ``units``
    are the indices along the feature axis that are changed; None for all. The feature axis is the second of four
    (channels) or of five, and the last otherwise.
    """

    site: Site
    operation: Operation
    value: torch.Tensor | float | Callable[[torch.Tensor], torch.Tensor]
    units: tuple[int, ...] | None = None

    def apply(self, activation: torch.Tensor) -> torch.Tensor:
        """The changed activation, of the same shape and type."""
        import torch

        axis = feature_axis(activation)
        moved = activation.movedim(axis, -1)
        try:
            changed = self._changed(moved if self.operation == "project_out" else activation)
        except RuntimeError as error:
            reason = (str(error).splitlines() or [""])[0][:150]
            raise MethodError(
                f"the edit of {self.site} does not fit {tuple(activation.shape)}: {reason}"
            ) from None
        if self.operation == "project_out":
            changed = changed.movedim(-1, axis)
        if changed.shape != activation.shape:
            raise MethodError(
                f"the edit of {self.site} turns the shape {tuple(activation.shape)} into {tuple(changed.shape)}"
            )
        if self.units is None:
            return changed
        width = activation.shape[axis]
        if not all(0 <= unit < width for unit in self.units):
            raise MethodError(f"{self.site}: there are {width} units")
        mask = torch.zeros(width, dtype=torch.bool, device=activation.device)
        mask[list(self.units)] = True
        shape = [1] * activation.ndim
        shape[axis] = -1
        return torch.where(mask.reshape(shape), changed, activation)

    def _changed(self, activation: torch.Tensor) -> torch.Tensor:
        import torch

        if self.operation == "splice":
            if not callable(self.value) or isinstance(self.value, torch.Tensor):
                raise MethodError("splice takes a function of the activation")
            return self.value(activation)
        if callable(self.value) and not isinstance(self.value, torch.Tensor):
            raise MethodError(f"{self.operation} takes a tensor or a number, not a function")
        if self.operation == "project_out":
            return self._without(activation, torch.as_tensor(self.value))
        value = torch.as_tensor(self.value, dtype=activation.dtype, device=activation.device)
        if self.operation == "replace":
            return value.expand_as(activation) if value.ndim <= activation.ndim else value
        return activation + value if self.operation == "add" else activation * value

    def _without(self, activation: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
        """The activation less its part in the space that the directions span, which need not be orthogonal."""
        import torch

        wide = directions.to(activation.device, torch.float64).reshape(-1, directions.shape[-1])
        if wide.shape[-1] != activation.shape[-1]:
            raise MethodError(
                f"{self.site}: the directions have {wide.shape[-1]} features; here are {activation.shape[-1]}"
            )
        # In float64 and by rank: directions may be many, alike, or half precision.
        left, sizes, _ = torch.linalg.svd(wide.T, full_matrices=False)
        basis = left[:, sizes > sizes.max() * 1e-10].to(activation.dtype)
        if not basis.shape[1] or not bool(sizes.max() > 0):
            raise MethodError(f"{self.site}: there is no direction to project out")
        return activation - (activation @ basis) @ basis.T


def feature_axis(activation: torch.Tensor | Any) -> int:
    """The axis of units: channels of pictures (batch, channel, ...), the last axis of all else."""
    return 1 if activation.ndim >= 4 else activation.ndim - 1

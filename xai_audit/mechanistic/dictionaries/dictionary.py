"""A trained sparse dictionary: what turns an activation into few latents, and latents back into an activation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from xai_audit.errors import MethodError
from xai_audit.mechanistic.sites import Edit, Site, feature_axis

if TYPE_CHECKING:
    import torch

Activation = Literal["relu", "topk", "jumprelu"]
"""What makes latents sparse: all above 0, the k largest above 0 of each row, or all above a threshold of their own."""


@dataclass(frozen=True, eq=False)
class Dictionary:
    """``f = act((x - b_dec) w_enc + b_enc)`` and ``x^ = f w_dec + b_dec``, on activations as the network gives them.

    What training did to centre and scale the activations is folded in. The tensors belong to the value and are never
    changed; ``to`` and ``replace`` make others.
    """

    w_enc: torch.Tensor
    """(n, m)."""
    b_enc: torch.Tensor
    """(m,)."""
    w_dec: torch.Tensor
    """(m, n): a row for each latent, its direction."""
    b_dec: torch.Tensor
    """(n,)."""
    activation: Activation = "topk"
    k: int | None = None
    """Of ``topk``."""
    threshold: torch.Tensor | None = None
    """(m,), of ``jumprelu``."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Where it comes from: site, data, recipe; words and numbers that JSON holds."""

    def __post_init__(self) -> None:
        n, m = self.w_enc.shape
        shapes = {"w_dec": (self.w_dec, (m, n)), "b_enc": (self.b_enc, (m,)), "b_dec": (self.b_dec, (n,))}
        if self.threshold is not None:
            shapes["threshold"] = (self.threshold, (m,))
        for name, (tensor, shape) in shapes.items():
            if tuple(tensor.shape) != shape:
                raise MethodError(
                    f"a dictionary of {n} features and {m} latents has {name} {shape}, not {tuple(tensor.shape)}"
                )
        if self.activation == "topk" and not (self.k is not None and 1 <= self.k <= m):
            raise MethodError(f"topk keeps 1 to {m} latents, not {self.k}")
        if self.activation == "jumprelu" and self.threshold is None:
            raise MethodError("jumprelu needs a threshold for each latent")
        for name in ("w_enc", "b_enc", "w_dec", "b_dec", "threshold"):
            tensor = getattr(self, name)
            if tensor is not None:
                object.__setattr__(self, name, tensor.detach())

    @property
    def n(self) -> int:
        """Features of an activation."""
        return int(self.w_enc.shape[0])

    @property
    def m(self) -> int:
        """Latents."""
        return int(self.w_enc.shape[1])

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Latents (..., m) of activations (..., n); differentiable, zero where a latent does not fire."""
        import torch

        if x.shape[-1] != self.n:
            raise MethodError(f"this dictionary is of {self.n} features; the activation has {x.shape[-1]}")
        before = (x.to(self.w_enc.dtype) - self.b_dec) @ self.w_enc + self.b_enc
        if self.activation == "relu":
            return before.relu()
        if self.activation == "jumprelu":
            assert self.threshold is not None
            return before.relu() * (before > self.threshold)
        assert self.k is not None
        kept = before.topk(self.k, dim=-1, sorted=False)
        return torch.zeros_like(before).scatter(-1, kept.indices, kept.values.relu())

    def decode(self, f: torch.Tensor) -> torch.Tensor:
        """Activations (..., n) of latents (..., m)."""
        return f @ self.w_dec + self.b_dec

    def reconstruct(self, x: torch.Tensor) -> torch.Tensor:
        """``decode(encode(x))`` in the type of x."""
        return self.decode(self.encode(x)).to(x.dtype)

    def spliced(self, site: Site) -> Edit:
        """The edit that puts the reconstruction in the place of what flows through a site, at every position."""

        def rebuilt(x: torch.Tensor) -> torch.Tensor:
            axis = feature_axis(x)
            return self.reconstruct(x.movedim(axis, -1)).movedim(-1, axis)

        return Edit(site, "splice", rebuilt)

    def without(self, site: Site, latents: tuple[int, ...]) -> Edit:
        """The edit that takes what these latents write out of a site, and leaves what no latent explains as it is."""

        def less(x: torch.Tensor) -> torch.Tensor:
            index, axis = list(latents), feature_axis(x)
            moved = x.movedim(axis, -1)
            written = self.encode(moved)[..., index] @ self.w_dec[index]
            return (moved - written.to(x.dtype)).movedim(-1, axis)

        return Edit(site, "splice", less)

    def to(self, device: str | torch.device) -> Dictionary:
        """The same on another device."""
        moved = {
            name: getattr(self, name).to(device)
            for name in ("w_enc", "b_enc", "w_dec", "b_dec", "threshold")
            if getattr(self, name) is not None
        }
        return replace(self, **moved)

    def unit(self) -> Dictionary:
        """The same function with decoder rows of length 1; latents are then in units of the activation.

        A row of length 0 stays.
        """
        import torch

        lengths = self.w_dec.norm(dim=1)
        scale = torch.where(lengths > 0, lengths, torch.ones_like(lengths))
        if self.activation == "topk" and not torch.allclose(scale, scale[:1], rtol=1e-5):
            raise MethodError("topk compares latents: lengths that differ cannot be taken out of its decoder")
        return replace(
            self,
            w_enc=self.w_enc * scale,
            b_enc=self.b_enc * scale,
            w_dec=self.w_dec / scale[:, None],
            threshold=None if self.threshold is None else self.threshold * scale,
        )

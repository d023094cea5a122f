"""The latents of a sparse dictionary as units: what a row has of each, and edits that put them at a level.

A latent is put at a level by writing what is missing to it along its own direction, at every position; what no latent
explains is left as it is. A row has of a latent what its positions have on average, as it has of a unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xai_audit.mechanistic.sites import Edit, Site, feature_axis

if TYPE_CHECKING:
    import torch

    from xai_audit.mechanistic.dictionaries.dictionary import Dictionary

TOGETHER = 1 << 24
"""Latents of positions that are held at once."""


@dataclass(frozen=True, eq=False)
class Latents:
    """A dictionary at a site."""

    name: str
    """As a store calls it."""
    site: Site
    dictionary: Dictionary

    def vectors(self, value: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """(rows, m): the mean over positions; those that the mask (rows, positions) leaves out do not count."""
        import torch

        with torch.no_grad():
            parts = []
            dictionary = self.dictionary.to(value.device)
            moved, weights = _by_position(value), _weights(value, mask)
            for start, stop in self._pieces(moved):
                f = dictionary.encode(moved[start:stop])
                own = weights[start:stop].to(f.device, f.dtype)[..., None]
                parts.append((f * own).sum(dim=1) / own.sum(dim=1).clamp(min=1))
        return torch.cat(parts)

    def missing(
        self,
        value: torch.Tensor,
        gradient: torch.Tensor,
        levels: torch.Tensor,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """(rows, m): the gradient times what is missing to the levels (m,), summed over positions."""
        import torch

        with torch.no_grad():
            parts = []
            dictionary = self.dictionary.to(value.device)
            moved, slopes, weights = _by_position(value), _by_position(gradient), _weights(value, mask)
            for start, stop in self._pieces(moved):
                f = dictionary.encode(moved[start:stop]).double()
                rising = slopes[start:stop].double() @ dictionary.w_dec.double().T
                own = weights[start:stop].to(f.device, f.dtype)[..., None]
                parts.append((rising * (levels.to(f.device) - f) * own).sum(dim=1))
        return torch.cat(parts)

    def each(
        self, chosen: Sequence[int], levels: Sequence[float], rows: int, mask: torch.Tensor | None = None
    ) -> Edit:
        """The edit of as many copies of ``rows`` rows as there are latents, each of which holds one of them."""

        def move(value: torch.Tensor) -> torch.Tensor:
            import torch

            dictionary = self.dictionary.to(value.device)
            # Nothing before the site differs between the copies.
            moved, weights = _by_position(value[:rows]), _weights(value[:rows], mask)
            index = torch.as_tensor(list(chosen), device=moved.device)
            own = [dictionary.encode(moved[start:stop])[..., index] for start, stop in self._pieces(moved)]
            f = torch.cat(own)
            left = (torch.as_tensor(list(levels)).to(f) - f) * weights.to(f)[..., None]
            written = [
                left[..., place, None] * dictionary.w_dec[latent] for place, latent in enumerate(chosen)
            ]
            axis = feature_axis(value)
            shape = value.movedim(axis, -1).shape
            return value + torch.cat(written).reshape(shape).movedim(-1, axis).to(value.dtype)

        return Edit(self.site, "splice", move)

    def _pieces(self, moved: torch.Tensor) -> list[tuple[int, int]]:
        step = max(1, TOGETHER // (moved.shape[1] * self.dictionary.m))
        return [(start, min(start + step, len(moved))) for start in range(0, len(moved), step)]


def _by_position(value: torch.Tensor) -> torch.Tensor:
    """(rows, positions, features)."""
    moved = value.movedim(feature_axis(value), -1)
    return moved.reshape(len(moved), -1, moved.shape[-1])


def _weights(value: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """(rows, positions): 1 for those that count."""
    import torch

    moved = _by_position(value)
    if mask is not None and value.ndim == 3 and mask.shape == moved.shape[:2]:
        return mask
    return torch.ones(moved.shape[:2], device=value.device)

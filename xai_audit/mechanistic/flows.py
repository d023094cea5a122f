"""What flows through a site as one vector a row, and edits that hold it at a level along a direction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from xai_audit.errors import MethodError
from xai_audit.mechanistic.sites import Edit, Site, feature_axis

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from numpy.typing import NDArray

    from xai_audit.mechanistic.network import Network
    from xai_audit.mechanistic.probing.latents import Latents

Of = TypeVar("Of", bound="Flow | Latents")
LARGEST = 2 << 30
"""Bytes of activations kept of one site."""


@dataclass(frozen=True)
class Flow:
    """A site, and whether its positions are averaged: then a row is one vector of features, moved alike everywhere."""

    site: Site
    pooled: bool = False

    def vectors(self, value: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """(rows, d) of what flowed through; positions that the mask (rows, positions) leaves out do not count."""
        if not self.pooled or value.ndim < 3:
            return value.reshape(len(value), -1)
        moved = value.movedim(feature_axis(value), -1)
        if mask is not None and moved.ndim == 3 and mask.shape == moved.shape[:2]:
            weights = mask.to(moved.device, moved.dtype)
            return (moved * weights[..., None]).sum(dim=1) / weights.sum(dim=1, keepdim=True).clamp(min=1)
        return moved.reshape(len(moved), -1, moved.shape[-1]).mean(dim=1)

    def gradients(self, gradient: torch.Tensor) -> torch.Tensor:
        """(rows, d): with respect to a move of the vector, which moves every position alike."""
        if not self.pooled or gradient.ndim < 3:
            return gradient.reshape(len(gradient), -1)
        moved = gradient.movedim(feature_axis(gradient), -1)
        return moved.reshape(len(moved), -1, moved.shape[-1]).sum(dim=1)

    def missing(
        self,
        value: torch.Tensor,
        gradient: torch.Tensor,
        levels: torch.Tensor,
        mask: torch.Tensor | None = None,  # noqa: ARG002 - no gradient comes from a position that is left out
    ) -> torch.Tensor:
        """(rows, d): the gradient times what is missing to the levels (d,), summed over positions."""
        at = levels.to(value.device)
        if not self.pooled or value.ndim < 3:
            flat = value.reshape(len(value), -1)
            return gradient.reshape(len(value), -1) * (at - flat)
        moved, slopes = (one.movedim(feature_axis(value), -1) for one in (value, gradient))
        return (slopes * (at - moved)).reshape(len(value), -1, moved.shape[-1]).sum(dim=1)

    def held(self, direction: torch.Tensor, level: float, mask: torch.Tensor | None = None) -> Edit:
        """The edit that puts each row at a level along a unit direction (d,) and leaves all else of it as it is."""

        def move(value: torch.Tensor) -> torch.Tensor:
            along = direction.to(value.device, value.dtype)
            step = (level - self.vectors(value, mask) @ along)[:, None] * along
            if not self.pooled or value.ndim < 3:
                return value + step.reshape(value.shape)
            axis = feature_axis(value)
            shape = [len(value)] + [1] * (value.ndim - 1)
            shape[axis] = -1
            return value + step.reshape(shape)

        return Edit(self.site, "splice", move)


def mask_of(batch: Any) -> torch.Tensor | None:
    """Which positions of a batch are tokens, where it says so."""
    if not isinstance(batch, Mapping):
        return None
    return next((value for name, value in batch.items() if "mask" in name), None)


def flow(network: Network, frame: pd.DataFrame, site: Site, *, pooled: bool | None) -> Flow:
    """A site as vectors: positions of a text are averaged unless said otherwise, anything else is kept whole."""
    network.check(site)
    if pooled is None:
        _, batch = next(iter(network.batches(frame.iloc[:2])))
        value = network.run(batch, capture=[site]).captured[site]
        kind = network.reader.kind if network.reader is not None else ""
        pooled = kind == "text" and value.ndim == 3
    return Flow(site, pooled)


def activations(network: Network, frame: pd.DataFrame, flows: Sequence[Of]) -> dict[Of, NDArray[np.float32]]:
    """(rows, d) of every flow, in one pass for all; MethodError where shapes differ or a site is too large to keep."""
    parts: dict[Of, list[NDArray[np.float32]]] = {one: [] for one in flows}
    for _, batch in network.batches(frame):
        captured = network.run(batch, capture=[one.site for one in flows]).captured
        for one in flows:
            found = one.vectors(captured[one.site].float(), mask_of(batch))
            _check_size(one, found.shape[1], len(frame))
            parts[one].append(found.cpu().numpy())
    return {one: _stacked(one, found) for one, found in parts.items()}


def class_gradients(
    network: Network, frame: pd.DataFrame, flows: Sequence[Flow], classes: NDArray[np.int64]
) -> dict[Flow, NDArray[np.float32]]:
    """(rows, d): of each row's own class's output before the link, with respect to every flow in one backward pass."""
    import torch

    parts: dict[Flow, list[NDArray[np.float32]]] = {one: [] for one in flows}
    for place, batch in network.batches(frame):
        index = torch.from_numpy(np.ascontiguousarray(classes[place]))
        ran = network.run(batch, capture=[one.site for one in flows], grad_of=_own(index))
        for one in flows:
            parts[one].append(one.gradients(ran.gradients[one.site].float()).cpu().numpy())
    return {one: _stacked(one, found) for one, found in parts.items()}


def _own(index: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    def each(outputs: torch.Tensor) -> torch.Tensor:
        at = index.to(outputs.device)
        if outputs.shape[1] == 1:
            # One output for two classes: the second's, its negative the first's.
            return outputs[:, 0] * (2 * at - 1).to(outputs.dtype)
        return outputs.gather(1, at[:, None])[:, 0]

    return each


def mean_score_gradients(
    network: Network, batches: Sequence[tuple[slice, Any]], flows: Sequence[Flow], of: int
) -> dict[Flow, NDArray[np.float64]]:
    """(2, d): a class's score's gradient with respect to every flow, the mean over even and over odd rows."""
    sums: dict[Flow, NDArray[np.float64]] = {}
    counts = np.zeros(2)
    for place, batch in batches:
        ran = network.run(batch, capture=[one.site for one in flows], grad_of=_score(network, of))
        odd = (np.arange(place.start, place.stop) % 2).astype(np.int64)
        counts += np.bincount(odd, minlength=2)
        for one in flows:
            rows = one.gradients(ran.gradients[one.site]).double().cpu().numpy()
            part = np.stack([rows[odd == half].sum(axis=0) for half in (0, 1)])
            sums[one] = sums[one] + part if one in sums else part
    return {one: total / np.maximum(counts, 1)[:, None] for one, total in sums.items()}


def score_gradients(
    network: Network,
    batches: Sequence[tuple[slice, Any]],
    one: Flow,
    of: int,
    edit: Callable[[Any], Edit],
) -> NDArray[np.float64]:
    """(rows, d): a class's score's gradient with respect to a flow, at what the edit of each batch leaves there."""
    parts = [
        one.gradients(
            network.run(
                batch, capture=[one.site], edits=[edit(batch)], grad_of=_score(network, of)
            ).gradients[one.site]
        )
        for _, batch in batches
    ]
    return np.concatenate([part.double().cpu().numpy() for part in parts])


def _score(network: Network, of: int) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda outputs: scores(network, outputs)[:, of]


def held_scores(
    network: Network,
    batches: Sequence[tuple[slice, Any]],
    one: Flow,
    direction: NDArray[np.float64],
    level: float,
) -> NDArray[np.float64]:
    """(rows, classes): the scores of all rows held at a level along a unit direction (d,) of a flow."""
    import torch

    along = torch.from_numpy(direction)
    parts = [
        scores(network, network.run(batch, edits=[one.held(along, level, mask_of(batch))]).outputs)
        for _, batch in batches
    ]
    return np.asarray(torch.cat(parts).cpu().numpy())


def scores(network: Network, outputs: torch.Tensor) -> torch.Tensor:
    """Scores (rows, classes) in float64; two columns where there is one score for two classes."""
    import torch

    found = network.linked(outputs)
    return torch.cat([1 - found, found], dim=1) if found.shape[1] == 1 else found


def _check_size(one: Flow | Latents, d: int, rows: int) -> None:
    if d * rows * 4 > LARGEST:
        raise MethodError(
            f"{one.site} holds {d} numbers a row, {d * rows * 4 / 2**30:.1f} GiB for {rows} rows; "
            "name a later site, fewer examples, or pool: true"
        )


def _stacked(one: Flow | Latents, parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    widths = sorted({part.shape[-1] for part in parts})
    if len(widths) > 1:
        raise MethodError(
            f"{one.site}: rows give {widths[0]} to {widths[-1]} numbers; name a position, as @pos=0, or pool: true"
        )
    return np.concatenate(parts)


def built(network: Network, frame: pd.DataFrame) -> list[tuple[slice, Any]]:
    """Batches of all rows, kept: they are asked many times."""
    return list(network.batches(frame))

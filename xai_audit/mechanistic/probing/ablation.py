"""What a network's score does when units are held at a level: chosen units, random ones, each alone, many at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.errors import MethodError
from xai_audit.mechanistic import flows
from xai_audit.mechanistic.probing.latents import Latents
from xai_audit.mechanistic.sites import Edit, Site, feature_axis

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from numpy.typing import NDArray

    from xai_audit.mechanistic.flows import Flow
    from xai_audit.mechanistic.network import Network

TOGETHER = 512
"""Rows in one pass that ablates several units, each in its own copy of the rows."""

Batches = Sequence[tuple[slice, Any]]


def units(network: Network, frame: pd.DataFrame, site: Site) -> Flow:
    """A site as one number a unit: positions are averaged, of a picture's channels as of a text's tokens."""
    network.check(site)
    _, batch = next(iter(network.batches(frame.iloc[:2])))
    return flows.Flow(site, network.run(batch, capture=[site]).captured[site].ndim >= 3)


def held(flow: Flow, chosen: Sequence[int], levels: Sequence[float]) -> Edit:
    """The edit that puts the chosen units at these levels, at every position, and leaves the others."""

    def move(value: torch.Tensor) -> torch.Tensor:
        import torch

        axis, at = _units_of(flow, value)
        index = torch.as_tensor(list(chosen), dtype=torch.int64, device=value.device)
        put = torch.as_tensor(list(levels), dtype=value.dtype, device=value.device)
        shape = [1] * at.ndim
        shape[axis] = -1
        changed = at.clone()
        sizes = list(at.shape)
        sizes[axis] = len(index)
        changed.index_copy_(axis, index, put.reshape(shape).expand(sizes).contiguous())
        return changed.reshape(value.shape)

    return Edit(flow.site, "splice", move)


def scores_with(
    network: Network, batches: Batches, edits: Callable[[Any], Sequence[Edit]]
) -> NDArray[np.float64]:
    """(rows, classes): the scores of all rows under the edits of each batch."""
    import torch

    parts = [flows.scores(network, network.run(batch, edits=edits(batch)).outputs) for _, batch in batches]
    return np.asarray(torch.cat(parts).cpu().numpy())


def set_scores(
    network: Network, batches: Batches, flow: Flow, chosen: Sequence[int], levels: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(rows, classes): the scores with the chosen units at their places in ``levels`` (d,)."""
    edit = held(flow, chosen, [float(levels[unit]) for unit in chosen])
    return scores_with(network, batches, lambda _: [edit])


def unit_effects(
    network: Network,
    batches: Batches,
    flow: Flow | Latents,
    chosen: Sequence[int],
    levels: NDArray[np.float64],
    of: int,
) -> NDArray[np.float64]:
    """(units,): the mean change over rows of a class's score when each unit alone is put at its level.

    Several units go in one pass, each in a copy of its rows.
    """
    total, rows = np.zeros(len(chosen)), 0
    for place, batch in batches:
        count = place.stop - place.start
        rows += count
        plain = flows.scores(network, network.run(batch).outputs)[:, of].cpu().numpy()
        several = max(TOGETHER // count, 1)
        for start in range(0, len(chosen), several):
            part = list(chosen[start : start + several])
            put = [float(levels[unit]) for unit in part]
            edit = (
                flow.each(part, put, count, flows.mask_of(batch))
                if isinstance(flow, Latents)
                else _each(flow, part, put, count)
            )
            copies = network.run(_copied(batch, len(part)), edits=[edit]).outputs
            moved = flows.scores(network, copies)[:, of].reshape(len(part), count).cpu().numpy()
            total[start : start + several] += (moved - plain).sum(axis=1)
    return total / max(rows, 1)


def first_order(
    network: Network, batches: Batches, flow: Flow | Latents, levels: NDArray[np.float64], of: int
) -> NDArray[np.float64]:
    """(units,): the effect of each unit's ablation on a class's output before the link, to first order.

    The gradient times what is missing to the level, the mean over rows: exact where all after the site is linear.
    """
    import torch

    put = torch.from_numpy(levels)
    total: NDArray[np.float64] | None = None
    rows = 0
    for _, batch in batches:
        ran = network.run(batch, capture=[flow.site], grad_of=of)
        value, gradient = (one[flow.site].double() for one in (ran.captured, ran.gradients))
        each = flow.missing(value, gradient, put, flows.mask_of(batch))
        moved = each.sum(dim=0).cpu().numpy()
        total = moved if total is None else total + moved
        rows += len(each)
    if total is None:
        raise MethodError("there are no rows to ablate units on")
    return np.asarray(total / rows)


def random_units(
    units: int, k: int, count: int, rng: np.random.Generator, beside: Sequence[int] = ()
) -> list[NDArray[np.int64]]:
    """``count`` sets of k units drawn from those not in ``beside``; sets of all of them where there are fewer than k."""
    free = np.setdiff1d(np.arange(units), np.asarray(beside, dtype=np.int64))
    return [np.sort(rng.choice(free, min(k, len(free)), replace=False)) for _ in range(count)]


def _units_of(flow: Flow, value: torch.Tensor) -> tuple[int, torch.Tensor]:
    """The axis of units, and the activation in the shape that has them: flat rows where positions are units too."""
    if flow.pooled and value.ndim >= 3:
        return feature_axis(value), value
    return 1, value.reshape(len(value), -1)


def _each(flow: Flow, chosen: Sequence[int], levels: Sequence[float], rows: int) -> Edit:
    """One unit for each copy of the rows."""

    def move(value: torch.Tensor) -> torch.Tensor:
        axis, at = _units_of(flow, value)
        changed = at.movedim(axis, 1).clone()
        for copy, (unit, level) in enumerate(zip(chosen, levels, strict=True)):
            changed[copy * rows : (copy + 1) * rows, unit] = level
        return changed.movedim(1, axis).reshape(value.shape)

    return Edit(flow.site, "splice", move)


def _copied(batch: Any, times: int) -> Any:
    if isinstance(batch, Mapping):
        return {name: _copied(value, times) for name, value in batch.items()}
    return batch.repeat(times, *[1] * (batch.ndim - 1))

"""What single latents do to the network's output: to first order, and by taking out what they write.

The direct effect of a latent on a row is what it writes, times the slope of the output there, summed over the row's
positions. The ablation effect is the output with the latent less the output without it. Beside it stands the same with the
latent's direction turned at random and its values as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.mechanistic.flows import mask_of
from xai_audit.mechanistic.sites import Edit, feature_axis

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from numpy.typing import NDArray

    from xai_audit.mechanistic.dictionaries.dictionary import Dictionary
    from xai_audit.mechanistic.network import Network
    from xai_audit.mechanistic.sites import Site

Output = Callable[["torch.Tensor"], "torch.Tensor"]
"""From outputs before the link (rows, classes) to one number for each row."""


def direct(
    network: Network, frame: pd.DataFrame, site: Site, dictionary: Dictionary, output: Output
) -> NDArray[np.float64]:
    """(rows, m): the direct effect of every latent on every row, by one backward pass a batch."""
    import torch

    dictionary = dictionary.to(network.device)
    found = np.zeros((len(frame), dictionary.m))
    for place, batch in network.batches(frame):
        ran = network.run(batch, capture=[site], grad_of=output)
        with torch.no_grad():
            value = _last(ran.captured[site])
            f = dictionary.encode(value) * _mask(batch, value)
            slopes = _last(ran.gradients[site]) @ dictionary.w_dec.T
            effect = (f * slopes).flatten(1, -2).sum(dim=1) if f.ndim > 2 else f * slopes
        found[place] = effect.double().cpu().numpy()
    return found


@dataclass(frozen=True, eq=False)
class Ablated:
    """One latent taken out of rows."""

    each: NDArray[np.float64]
    """(rows,): the output with the latent less the output without it."""
    random: NDArray[np.float64]
    """(directions, rows): the same with a random direction in place of the latent's."""


def ablated(
    network: Network,
    frame: pd.DataFrame,
    site: Site,
    dictionary: Dictionary,
    latent: int,
    output: Output,
    directions: NDArray[np.float64],
) -> Ablated:
    """Take a latent out of rows, and take as much out along each of some unit directions (k, n)."""
    import torch

    dictionary = dictionary.to(network.device)
    rows = dictionary.w_dec[latent]
    length = float(rows.norm())
    ways = [rows, *(torch.from_numpy(way * length).to(rows) for way in directions)]
    changes = np.zeros((len(ways), len(frame)))
    for place, batch in network.batches(frame):
        whole = output(network.run(batch).outputs).double()
        for number, way in enumerate(ways):
            edit = _out(site, dictionary, latent, way, batch)
            less = output(network.run(batch, edits=[edit]).outputs).double()
            changes[number, place] = (whole - less).cpu().numpy()
    return Ablated(changes[0], changes[1:])


def _out(site: Site, dictionary: Dictionary, latent: int, way: torch.Tensor, batch: Any) -> Edit:
    def less(value: torch.Tensor) -> torch.Tensor:
        axis = feature_axis(value)
        moved = value.movedim(axis, -1)
        f = dictionary.encode(moved)[..., latent, None] * _mask(batch, moved)
        return (moved - (f * way).to(moved.dtype)).movedim(-1, axis)

    return Edit(site, "splice", less)


def _last(value: torch.Tensor) -> torch.Tensor:
    """Features on the last axis."""
    return value.movedim(feature_axis(value), -1)


def _mask(batch: Any, value: torch.Tensor) -> torch.Tensor | float:
    """1 for positions that are tokens, 0 for padding; 1 where a batch has no mask."""
    mask = mask_of(batch)
    if mask is None or value.ndim != 3 or mask.shape != value.shape[:2]:
        return 1.0
    return mask[..., None].to(value.device, value.dtype)


def random_directions(count: int, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Unit vectors (count, n) without preference."""
    drawn = rng.normal(size=(count, n))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


def strongest(
    effects: NDArray[np.float64], fired: NDArray[np.int64], count: int, least: int
) -> Sequence[int]:
    """The latents with the largest mean direct effect, either way, among those that fire for ``least`` rows."""
    size = np.where(fired >= least, np.abs(effects.mean(axis=0)), -1.0)
    order = np.argsort(-size, kind="stable")[:count]
    return [int(one) for one in order if size[one] > 0]

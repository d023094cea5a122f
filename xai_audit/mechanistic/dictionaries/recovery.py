"""How much of a planted dictionary was found: for beds where the true directions and what fires are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from xai_audit.mechanistic.dictionaries.dictionary import Dictionary


@dataclass(frozen=True, eq=False)
class Recovery:
    """A dictionary beside the truth."""

    mcc: float
    """Mean cosine of true directions with latents matched one to one; a direction without one counts as 0."""
    found: float
    """Share of true directions to which some latent has a cosine above 0.9."""
    mmcs: tuple[float, float]
    """Mean of the largest cosine: of each true direction over latents, and of each latent over true directions."""
    unique: float
    """Share of latents whose nearest true direction is nearest to no other latent, or only to worse ones."""
    f1: float
    """Mean F1 of firing: of each matched true direction's with its latent's."""
    match: NDArray[np.int64]
    """(D,): the latent matched with each true direction; -1 where there are fewer latents."""


def cosines(first: torch.Tensor, second: torch.Tensor) -> NDArray[np.float64]:
    """(a, b) of the rows of (a, n) and (b, n); 0 for a row of zeros."""
    left, right = (one / one.norm(dim=1, keepdim=True).clamp(min=1e-12) for one in (first, second))
    found: NDArray[np.float64] = (left @ right.T).double().cpu().numpy()
    return found


def matched(first: torch.Tensor, second: torch.Tensor) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Cosines of pairs matched one to one so that their sum is largest, and the second's place; -1 where none is left.

    Of the smaller of both: (min(a, b),) cosines; places are (a,).
    """
    from scipy.optimize import linear_sum_assignment

    table = cosines(first, second)
    rows, columns = linear_sum_assignment(-table)
    places = np.full(len(table), -1, dtype=np.int64)
    places[rows] = columns
    return table[rows, columns], places


def recovery(
    dictionary: Dictionary, truth: torch.Tensor, latents: torch.Tensor, activations: torch.Tensor
) -> Recovery:
    """Against true directions (D, n), with held-out true latents (rows, D) and the activations (rows, n) they made."""
    import torch

    table = cosines(truth, dictionary.w_dec)
    pairs, match = matched(truth, dictionary.w_dec)
    with torch.no_grad():
        fired = (dictionary.encode(activations) > 0).cpu().numpy()
    on = (latents > 0).cpu().numpy()
    scores = np.zeros(len(truth))
    for direction, latent in enumerate(match):
        if latent >= 0:
            both = np.count_nonzero(on[:, direction] & fired[:, latent])
            either = np.count_nonzero(on[:, direction]) + np.count_nonzero(fired[:, latent])
            scores[direction] = 2 * both / either if either else 0.0
    return Recovery(
        mcc=float(pairs.sum() / len(truth)),
        found=float((table.max(axis=1) > 0.9).mean()),
        mmcs=(float(table.max(axis=1).mean()), float(table.max(axis=0).mean())),
        unique=len(np.unique(table.argmax(axis=0))) / table.shape[1],
        f1=float(scores[match >= 0].mean()),
        match=match,
    )


def absorption(
    dictionary: Dictionary,
    found: Recovery,
    parents: NDArray[np.int64],
    latents: torch.Tensor,
    activations: torch.Tensor,
) -> float:
    """The share of rows with a child on for which its parent's latent stays off, though the parent is on with it.

    ``parents`` (D,) is the parent of each direction, -1 where it has none (Chanin et al. 2024, arXiv:2409.14507).
    """
    import torch

    with torch.no_grad():
        fired = (dictionary.encode(activations) > 0).cpu().numpy()
    on = (latents > 0).cpu().numpy()
    off = total = 0
    for child in np.flatnonzero(parents >= 0):
        latent = found.match[parents[child]]
        rows = on[:, child] & on[:, parents[child]]
        total += int(rows.sum())
        off += int((rows & ~fired[:, latent]).sum()) if latent >= 0 else int(rows.sum())
    return off / total if total else 0.0

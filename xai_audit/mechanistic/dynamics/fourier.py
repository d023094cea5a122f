"""Fourier measures of modular arithmetic: which frequencies a network uses, and its losses with them alone and without.

A network that computes ``a + b`` by rotations has logits that are sums of ``cos(w_k (a + b - c))`` for a few key
frequencies ``w_k = 2 pi k / p``. What its logits hold as a function of the result is the mean over all pairs with that
result, a (p, p) table; a discrete Fourier transform of it gives the part of each frequency, all of them up to ``p // 2``
inclusive. Key frequencies are found once, in the final network, and kept for every checkpoint: found anew at each they
would be nearly all of them early on. Nanda et al. 2023, ICLR, arXiv:2301.05217.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xai_audit.mechanistic.dynamics import measures

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray

    from xai_audit.mechanistic.dynamics.addition import Modular

FLAT = 1e-24
"""A table whose energy beside the mean is under this share of all is flat but for rounding."""
SHARE = 0.95
"""The share of the energy that key frequencies hold together, by default."""


@dataclass(frozen=True)
class Fourier:
    """The losses of one checkpoint in nats, and how its logits are spread over frequencies."""

    train: float
    held_out: float
    restricted: float
    """On held-out pairs, with the key frequencies and the mean alone."""
    restricted_all: float
    """The same on all pairs."""
    excluded: float
    """On training pairs, with the key frequencies taken out."""
    gini_logits: float
    """Gini coefficient of the amplitudes of all frequencies, 1 to p // 2."""
    key_share: float
    """Share of the energy of the logits' part by result that the key frequencies hold."""

    def named(self) -> dict[str, float]:
        """By measure's name, without the two plain losses."""
        names = ("restricted", "restricted_all", "excluded", "gini_logits", "key_share")
        return {name: float(getattr(self, name)) for name in names}


def by_result(logits: torch.Tensor, task: Modular) -> torch.Tensor:
    """Mean logits (p, p) over the pairs of each result, in float64, from logits of all pairs (p^2, p) or (p, p, p)."""
    import torch

    p = task.modulus
    order = torch.from_numpy(np.argsort(task.results, kind="stable")).to(logits.device)
    return logits.reshape(p * p, p).double()[order].reshape(p, p, p).mean(dim=1)


def energies(table: torch.Tensor) -> NDArray[np.float64]:
    """The energy of each frequency 0 to p // 2, (p // 2 + 1,), of a (p, p) table by result."""
    import torch

    p = len(table)
    squares = (torch.fft.rfft(table, dim=0).abs() ** 2).sum(dim=1)
    twice = torch.full_like(squares, 2.0)
    twice[0] = 1.0
    if p % 2 == 0:
        twice[-1] = 1.0
    found: NDArray[np.float64] = (squares * twice).cpu().numpy()
    return found


def key_frequencies(table: torch.Tensor, share: float = SHARE) -> tuple[int, ...]:
    """The fewest frequencies that hold this share of all energy but the mean's, in rising order; none of a flat table."""
    found = energies(table)[1:]
    total = float(found.sum())
    if total <= FLAT * float((table**2).sum()) * len(table):
        return ()
    order = np.argsort(-found, kind="stable")
    count = int(np.searchsorted(np.cumsum(found[order]), share * total * (1 - 1e-12))) + 1
    return tuple(sorted(int(k) + 1 for k in order[:count]))


def part(table: torch.Tensor, frequencies: Sequence[int]) -> torch.Tensor:
    """What these frequencies hold of a table (p, ...) along its first axis; frequency 0 is the mean."""
    import torch

    turned = torch.fft.rfft(table.double(), dim=0)
    kept = torch.zeros_like(turned)
    chosen = _checked(frequencies, len(table))
    kept[chosen] = turned[chosen]
    return torch.fft.irfft(kept, n=len(table), dim=0)


def _checked(frequencies: Sequence[int], p: int) -> list[int]:
    if not all(0 <= k <= p // 2 for k in frequencies):
        raise ValueError(f"frequencies of a table of {p} are 0 to {p // 2}")
    return sorted(set(frequencies))


def measured(logits: torch.Tensor, task: Modular, keys: Sequence[int]) -> Fourier:
    """The measures of one checkpoint from its logits of all pairs, (p^2, p) in the order of ``task.pairs``.

    ``keys`` are those of the final network. ValueError where there are none, or one is beyond p // 2.
    """
    import torch

    if not keys:
        raise ValueError("there are no key frequencies")
    p = task.modulus
    flat = logits.detach().reshape(p * p, p).double()
    results = torch.from_numpy(task.results).to(flat.device)
    trained = torch.from_numpy(task.train.ravel()).to(flat.device)
    table = by_result(flat, task)
    key = part(table, keys)
    alone = key + table.mean(dim=0)
    plain = measures.cross_entropy(flat, results)
    numbers = torch.arange(p, device=flat.device)
    by_sum = measures.cross_entropy(alone, numbers)[results]
    without = measures.cross_entropy(flat[trained] - key[results[trained]], results[trained])
    spread = energies(table)[1:]
    total = float(spread.sum())
    return Fourier(
        train=float(plain[trained].mean()),
        held_out=float(plain[~trained].mean()),
        restricted=float(by_sum[~trained].mean()),
        restricted_all=float(by_sum.mean()),
        excluded=float(without.mean()),
        gini_logits=measures.gini(np.sqrt(spread)),
        key_share=float(spread[[k - 1 for k in keys]].sum() / total) if total else 0.0,
    )


def gini_embedding(embedding: torch.Tensor) -> float:
    """Gini coefficient of the norms of the Fourier components of an embedding (p, d): constant, cosines and sines."""
    import torch

    p = len(embedding)
    turned = torch.fft.rfft(embedding.detach().double(), dim=0)
    cosines = turned.real.norm(dim=1)
    sines = turned.imag.norm(dim=1)[1 : (p + 1) // 2]
    # Of a real signal each frequency but 0 and p / 2 stands for two; their orthonormal parts are sqrt 2 larger.
    cosines[1 : (p + 1) // 2] *= 2**0.5
    return measures.gini(torch.cat([cosines, sines * 2**0.5]).cpu().numpy())


def ablated(embedding: torch.Tensor, frequencies: Sequence[int]) -> torch.Tensor:
    """An embedding (p, d) without these frequencies of the token, of its own type; frequency 0 would be the mean."""
    return (embedding.double() - part(embedding, frequencies)).to(embedding.dtype)


def kept(embedding: torch.Tensor, frequencies: Sequence[int]) -> torch.Tensor:
    """An embedding (p, d) with these frequencies and its mean alone."""
    return part(embedding, [0, *frequencies]).to(embedding.dtype)

"""What fires where: a whole store's latents as a sparse table, latent by latent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.mechanistic.dictionaries.dictionary import Dictionary
    from xai_audit.mechanistic.dictionaries.store import Store


@dataclass(frozen=True, eq=False)
class Firings:
    """Which activations each latent fires for, and how much: those of latent i stand at ``starts[i]:starts[i + 1]``."""

    tokens: int
    starts: NDArray[np.int64]
    place: NDArray[np.int64]
    """The activation's number in the store, rising within a latent."""
    value: NDArray[np.float32]

    @property
    def counts(self) -> NDArray[np.int64]:
        """(m,): activations that each latent fires for."""
        return np.diff(self.starts)

    def of(self, latent: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Places and values of one latent."""
        part = slice(int(self.starts[latent]), int(self.starts[latent + 1]))
        return self.place[part], self.value[part]


def firings(dictionary: Dictionary, store: Store) -> Firings:
    """Encode a store; memory grows with what fires, not with latents times activations."""
    import torch

    places, latents, values = [], [], []
    start = 0
    for x, _ in store.batches(2048):
        with torch.no_grad():
            f = dictionary.encode(x.to(dictionary.b_dec.device)).cpu()
        rows, columns = f.nonzero(as_tuple=True)
        places.append(rows.numpy() + start)
        latents.append(columns.numpy().astype(np.int32))
        values.append(f[rows, columns].numpy())
        start += len(x)
    latent = np.concatenate(latents)
    order = np.argsort(latent, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(latent, minlength=dictionary.m))])
    return Firings(start, starts, np.concatenate(places)[order], np.concatenate(values)[order])

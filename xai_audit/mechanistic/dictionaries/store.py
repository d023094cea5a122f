"""Activations of a site, one vector for each token, streamed to memory or to a file that is larger than memory.

What is kept beside each vector is enough to find it again: the document, the position in it and the token. Documents stand
in the order they were given, whatever order they were run in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.errors import MethodError
from xai_audit.mechanistic.readers import TextReader

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from numpy.typing import NDArray

    from xai_audit.mechanistic.dictionaries.training import Source
    from xai_audit.mechanistic.network import Network
    from xai_audit.mechanistic.sites import Site


@dataclass(frozen=True, eq=False)
class Store:
    """Activations with what they are of."""

    values: NDArray[np.float32]
    """(N, n); a file's pages where a folder was given."""
    document: NDArray[np.int64]
    """(N,): counted from 0, in order."""
    position: NDArray[np.int32]
    """(N,): of the network's own positions, special tokens counted."""
    token: NDArray[np.int64] | None
    """(N,): the token's number; None where the network does not read texts."""
    rows: NDArray[np.int64]
    """(documents,): which row of the table each document is."""

    def __len__(self) -> int:
        return len(self.values)

    def part(self, start: int, stop: int) -> Store:
        """The documents from ``start`` to before ``stop``, counted anew."""
        low, high = np.searchsorted(self.document, [start, stop])
        return Store(
            self.values[low:high],
            self.document[low:high] - start,
            self.position[low:high],
            None if self.token is None else self.token[low:high],
            self.rows[start:stop],
        )

    def split(self, held_out: float = 0.2) -> tuple[Store, Store]:
        """The first documents to train on, the last to measure by; MethodError where either has none."""
        documents = len(self.rows)
        cut = min(max(round(documents * (1 - held_out)), 1), documents - 1)
        first, second = self.part(0, cut), self.part(cut, documents)
        if documents < 2 or not len(first) or not len(second):
            raise MethodError(f"{documents} documents are too few to train on some and measure by others")
        return first, second

    def source(self, batch: int, seed: int) -> Source:
        """Batches in an order drawn anew for each pass over all activations."""
        import torch

        count = len(self)
        if count < batch:
            raise MethodError(f"{count} activations are no batch of {batch}")

        @lru_cache(maxsize=2)
        def order(epoch: int) -> NDArray[np.int64]:
            return np.random.default_rng([seed, epoch]).permutation(count)

        def step_of(step: int) -> torch.Tensor:
            epoch, place = divmod(step, count // batch)
            # Sorted, so that a file is read forwards.
            index = np.sort(order(epoch)[place * batch : (place + 1) * batch])
            return torch.from_numpy(np.asarray(self.values[index], dtype=np.float32))

        return step_of

    def batches(self, size: int = 4096) -> Iterator[tuple[torch.Tensor, NDArray[np.int64]]]:
        """All activations in order, each batch with the documents of its activations."""
        import torch

        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield (
                torch.from_numpy(np.asarray(self.values[part], dtype=np.float32)),
                self.document[part],
            )


def collect(
    network: Network,
    frame: pd.DataFrame,
    site: Site,
    *,
    tokens: int,
    folder: str | Path | None = None,
) -> Store:
    """Run rows through a network until ``tokens`` activations of a site are there, or there are no rows left.

    A row gives one activation, or one for each of its positions that is no padding and no special token; a picture one for
    each place. The pass ends at the site. With a ``folder`` the activations go to ``activations.npy`` there.
    MethodError where the site gives something else.
    """
    network.check(site)
    kept, chosen = _positions(network, frame, tokens)
    if not chosen:
        raise MethodError("there are no rows to take activations of")
    rows = frame.iloc[:chosen]
    order = np.argsort([len(one) for one in kept], kind="stable") if kept else np.arange(chosen)
    _, first = next(iter(network.batches(rows.iloc[order[-1:]])))
    probe = _vectors(network.run(first, capture=[site]).captured[site], site)
    n, each = probe.shape[-1], probe.shape[1]
    if not kept:
        chosen = min(chosen, -(-tokens // each))
        rows, order = frame.iloc[:chosen], np.arange(chosen)
    sizes = np.asarray([len(one) for one in kept] or [each] * chosen, dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    values = _room(int(starts[-1]), n, folder)
    for place, batch in network.batches(rows.iloc[order]):
        found = _vectors(_stopped(network, batch, site), site).float().cpu().numpy()
        for row, document in enumerate(order[place]):
            part = found[row][kept[document]] if kept else found[row]
            values[starts[document] : starts[document + 1]] = part
    position = np.concatenate(kept) if kept else np.tile(np.arange(each), chosen)
    token = None
    if isinstance(network.reader, TextReader):
        ids = [one.ids for one in network.reader.encodings(_texts(network.reader, rows))]
        token = np.concatenate([np.asarray(one)[where] for one, where in zip(ids, kept, strict=True)])
    return Store(
        values,
        np.repeat(np.arange(chosen), sizes),
        position.astype(np.int32),
        None if token is None else token.astype(np.int64),
        np.arange(chosen),
    )


def _texts(reader: TextReader, frame: pd.DataFrame) -> list[str]:
    return [cell if isinstance(cell, str) else "" for cell in frame[reader.column]]


def _positions(network: Network, frame: pd.DataFrame, tokens: int) -> tuple[list[NDArray[np.int64]], int]:
    """Positions to keep of each text, until there are enough; none and all rows where rows are no texts."""
    reader = network.reader
    if not isinstance(reader, TextReader):
        return [], len(frame)
    kept: list[NDArray[np.int64]] = []
    total = 0
    for start in range(0, len(frame), 1024):
        for one in reader.encodings(_texts(reader, frame.iloc[start : start + 1024])):
            mask = np.asarray(one.attention_mask, dtype=bool) & ~np.asarray(
                one.special_tokens_mask, dtype=bool
            )
            kept.append(np.flatnonzero(mask))
            total += len(kept[-1])
            if total >= tokens:
                return kept, len(kept)
    return kept, len(kept)


def _room(count: int, n: int, folder: str | Path | None) -> NDArray[np.float32]:
    if folder is None:
        return np.empty((count, n), dtype=np.float32)
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    found: NDArray[np.float32] = np.lib.format.open_memmap(
        path / "activations.npy", mode="w+", dtype=np.float32, shape=(count, n)
    )
    return found


def _vectors(value: torch.Tensor, site: Site) -> torch.Tensor:
    """(rows, positions, n) of what flowed through."""
    if value.ndim == 2:
        return value[:, None]
    if value.ndim == 3:
        return value
    if value.ndim == 4:
        return value.movedim(1, -1).flatten(1, 2)
    raise MethodError(f"{site}: a dictionary is of vectors; here flows {tuple(value.shape)}")


class _Enough(Exception):  # noqa: N818 - it ends a pass, nobody is told
    """What was asked for is there."""


def _stopped(network: Network, batch: Any, site: Site) -> torch.Tensor:
    """What flows through a site; where it is a module's whole output, nothing after it is run."""
    if site != site.whole or site.port == "in" or not site.path:
        return network.run(batch, capture=[site]).captured[site]
    seen: list[Any] = []

    def after(_: Any, __: Any, output: Any) -> None:
        import torch

        while not isinstance(output, torch.Tensor):
            output = next(iter(output.values())) if hasattr(output, "values") else output[0]
        seen.append(output.detach())
        raise _Enough

    handle = network.module.get_submodule(site.path).register_forward_hook(after)
    try:
        network.run(batch)
    except _Enough:
        pass
    finally:
        handle.remove()
    found: torch.Tensor = seen[0]
    return found


__all__ = ["Store", "collect"]

"""Where rows are compared: what flows through a site of the network, or the columns of a table, standardised."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from xai_audit.errors import MethodError, UnmetNeedError
from xai_audit.mechanistic.sites import Site

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from xai_audit.mechanistic.network import Network
    from xai_audit.method import Context
    from xai_audit.subject import Rows, Subject

INPUT = "input"
"""The site that is the table's own columns."""

Pool = Literal["flat", "mean"]


@dataclass(frozen=True, eq=False)
class Space:
    """Embeds rows, (rows, d) of float32; the same row always alike."""

    site: Site
    pool: Pool
    network: Network
    chosen: str
    """How the site was chosen, in words."""

    def of(self, table: Rows, rows: NDArray[np.int64], context: Context | None = None) -> NDArray[np.float32]:
        """Embeddings of some rows of a table; of whole tables the run's shared activations are used."""
        if context is not None and len(rows) == table.n and self._fixed:
            return self._pooled(context.activations(table, [self.site])[self.site], None)
        return self.embedded(table.frame.iloc[rows])

    def embedded(self, frame: pd.DataFrame) -> NDArray[np.float32]:
        """Embeddings of any rows."""
        parts = []
        for _, batch in self.network.batches(frame):
            found = self.network.run(batch, capture=[self.site]).captured[self.site].float().cpu().numpy()
            parts.append(self._pooled(found, self._mask(batch)))
        if len({part.shape[1] for part in parts}) > 1:
            raise MethodError(
                f"{self.site} gives embeddings of different widths; take pool: mean, or name a position, as @pos=0"
            )
        return np.concatenate(parts) if parts else np.empty((0, 1), dtype=np.float32)

    def twin(self, rng: np.random.Generator) -> Space:
        """The same site of the network with its weights permuted."""
        return replace(self, network=self.network.twin(rng))

    @property
    def _fixed(self) -> bool:
        # Texts of one batch are padded to its longest: only a whole pass knows which positions are text.
        return self.network.reader is not None and (
            self.network.reader.kind != "text" or self.site.pos is not None
        )

    def _mask(self, batch: Any) -> NDArray[np.float32] | None:
        name = getattr(self.network.reader, "names", (None, None))[1]
        if not isinstance(batch, dict) or name not in batch:
            return None
        found: NDArray[np.float32] = batch[name].float().cpu().numpy()
        return found

    def _pooled(self, found: NDArray[np.float32], mask: NDArray[np.float32] | None) -> NDArray[np.float32]:
        pooled: NDArray[np.float32]
        if self.pool == "flat" or found.ndim == 2:
            pooled = np.ascontiguousarray(found.reshape(len(found), -1))
        elif found.ndim > 3:
            pooled = found.mean(axis=tuple(range(2, found.ndim)))
        elif mask is None or mask.shape != found.shape[:2]:
            pooled = found.mean(axis=1)
        else:
            pooled = (found * mask[..., None]).sum(axis=1) / np.maximum(mask.sum(axis=1), 1)[:, None]
        return pooled


@dataclass(frozen=True, eq=False)
class Columns:
    """A table's own columns: numbers standardised, levels one apart, what is missing at the mean or at no level."""

    numbers: tuple[tuple[str, float, float], ...]
    """Name, mean and standard deviation."""
    levels: tuple[tuple[str, tuple[str, ...]], ...]
    chosen: str = "the table's own columns, standardised"

    @classmethod
    def fitted(cls, subject: Subject, reference: pd.DataFrame) -> Columns:
        """With means, deviations and levels of the reference rows."""
        numbers, levels = [], []
        for column in subject.columns:
            cells = reference[column.name]
            if column.kind == "categorical":
                levels.append((column.name, tuple(sorted({str(cell) for cell in cells.dropna()}))))
            else:
                values = cells.to_numpy(dtype=np.float64, na_value=np.nan)
                known = values[np.isfinite(values)]
                spread = float(known.std()) if len(known) else 0.0
                numbers.append((column.name, float(known.mean()) if len(known) else 0.0, spread or 1.0))
        return cls(tuple(numbers), tuple(levels))

    def of(
        self, table: Rows, rows: NDArray[np.int64], _context: Context | None = None
    ) -> NDArray[np.float32]:
        """Coordinates of some rows of a table."""
        return self.embedded(table.frame.iloc[rows])

    def embedded(self, frame: pd.DataFrame) -> NDArray[np.float32]:
        """Coordinates of any rows."""
        parts = []
        for name, mean, spread in self.numbers:
            values = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
            parts.append(np.where(np.isfinite(values), (values - mean) / spread, 0.0)[:, None])
        for name, known in self.levels:
            words = frame[name].astype(object).where(frame[name].notna(), None)
            # Two different levels are one standard deviation's distance apart.
            parts.append(np.array([[str(cell) == level for level in known] for cell in words]) / np.sqrt(2))
        return np.concatenate([part.reshape(len(frame), -1) for part in parts], axis=1).astype(np.float32)


def space(subject: Subject, site: str | None, pool: Pool | None, reference: pd.DataFrame) -> Space | Columns:
    """Where this subject's rows are compared; UnmetNeedError where it has no such place."""
    if site == INPUT:
        if subject.modality != "table" or not subject.columns:
            raise UnmetNeedError("site: input is the columns of a table; these rows have none")
        return Columns.fitted(subject, reference)
    network = None if subject.model is None else subject.model.network
    if network is None:
        raise UnmetNeedError(
            "it needs a torch module that can be looked into"
            + ("; site: input compares the table's own columns" if subject.modality == "table" else "")
        )
    if site is None:
        place, chosen = last_linear(network), "the input of the last linear layer"
    else:
        place, chosen = Site.parse(site), "named in the spec"
    network.check(place)
    return Space(place, pool or ("mean" if subject.modality == "text" else "flat"), network, chosen)


def last_linear(network: Network) -> Site:
    """The input of the last linear layer; MethodError where there is none."""
    import torch

    paths = [
        path for path, one in network.module.named_modules() if isinstance(one, torch.nn.Linear) and path
    ]
    if not paths:
        raise MethodError("this network has no linear layer whose input could be compared; name a site")
    return Site(paths[-1], "in")

"""What a dictionary keeps of activations, by definitions that are written out, since the field has several of each.

FVU is the sum of squared errors over the sum of squared distances from the mean of all activations, in float64. L0 is
the mean count of latents that fire. A latent is dead that never fired in a stated count of held-out activations. Loss
recovered is ``(CE_ablated - CE_spliced) / (CE_ablated - CE_original)``, with what is ablated named: the mean first, zero
second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.errors import MethodError
from xai_audit.mechanistic.sites import Edit, feature_axis

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from numpy.typing import NDArray

    from xai_audit.mechanistic.dictionaries.dictionary import Dictionary
    from xai_audit.mechanistic.network import Network
    from xai_audit.mechanistic.sites import Site

ULTRA_LOW = -5.0
"""log10 of the density below which latents are counted apart (Bricken et al. 2023)."""


@dataclass(frozen=True, eq=False)
class Kept:
    """What a dictionary does to activations it was not trained on."""

    tokens: int
    """Activations, N."""
    fvu: float
    l0: float
    errors: NDArray[np.float64]
    """(documents,): the sum of squared errors of each; the whole is one document where none were told."""
    spreads: NDArray[np.float64]
    """(documents,): of squared distances from the mean of all."""
    fires: NDArray[np.float64]
    """(documents,): latents that fired, summed over its activations."""
    counts: NDArray[np.int64]
    """(documents,): activations."""
    fired: NDArray[np.int64]
    """(m,): activations for which each latent fired."""
    first: NDArray[np.int64]
    """(m,): the activation at which it first did, counted from 1; N + 1 where none."""

    @property
    def density(self) -> NDArray[np.float64]:
        """(m,): the share of activations for which a latent fires."""
        return self.fired / max(self.tokens, 1)

    def dead(self, count: int | None = None) -> float:
        """The share of latents that did not fire within the first ``count`` activations; None for all N."""
        return float((self.first > (self.tokens if count is None else count)).mean())

    def dead_curve(self) -> list[tuple[int, float]]:
        """Pairs of a count and the share dead at it, for N halved up to eight times."""
        counts = sorted({max(1, self.tokens >> shift) for shift in range(9)})
        return [(count, self.dead(count)) for count in counts]

    def histogram(self, bins: int = 20) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Edges of log10 density (bins + 1,) from 1 / N to 1 and latents in each (bins,); dead ones are in none."""
        edges = np.linspace(-np.log10(max(self.tokens, 10)), 0, bins + 1)
        alive = self.density[self.fired > 0]
        counts, _ = np.histogram(np.clip(np.log10(alive), edges[0], 0), edges)
        return edges, counts.astype(np.int64)

    @property
    def ultra_low(self) -> float:
        """The share of latents that fire, but for fewer than one activation in 100,000."""
        alive = self.fired > 0
        return float((alive & (self.density < 10**ULTRA_LOW)).mean())


def kept(
    dictionary: Dictionary, batches: Iterable[torch.Tensor | tuple[torch.Tensor, NDArray[np.int64]]]
) -> Kept:
    """Stream activations (b, n), with the number of each one's document where it is told, documents in order from 0."""
    import torch

    total = np.zeros(dictionary.n)
    fired = np.zeros(dictionary.m, dtype=np.int64)
    first = np.full(dictionary.m, -1, dtype=np.int64)
    tokens = 0
    sums: list[NDArray[np.float64]] = []
    vectors: list[NDArray[np.float64]] = []
    for given in batches:
        x, documents = given if isinstance(given, tuple) else (given, np.zeros(len(given), dtype=np.int64))
        with torch.no_grad():
            x = x.to(dictionary.b_dec.device)
            f = dictionary.encode(x)
            error = (dictionary.decode(f).double() - x.double()).square().sum(dim=1).cpu().numpy()
            # About the dictionary's own mean, so that squares lose nothing to a common offset.
            moved = x.double() - dictionary.b_dec.double()
            square = moved.square().sum(dim=1).cpu().numpy()
            on = f > 0
            hits = on.sum(dim=0).cpu().numpy()
            place = on.to(torch.uint8).argmax(dim=0).cpu().numpy()
            active = on.sum(dim=1).double().cpu().numpy()
        moved_all = moved.cpu().numpy()
        new = (first < 0) & (hits > 0)
        first[new] = tokens + place[new] + 1
        fired += hits
        tokens += len(x)
        total += moved_all.sum(axis=0)
        _add(sums, vectors, documents, np.stack([error, square, active, np.ones(len(x))], axis=1), moved_all)
    if not tokens:
        raise MethodError("there are no activations to measure a dictionary by")
    table = np.stack(sums)
    mean = total / tokens
    by_document = np.stack(vectors)
    spreads = table[:, 1] - 2 * by_document @ mean + table[:, 3] * (mean @ mean)
    first[first < 0] = tokens + 1
    if not spreads.sum() > 0:
        raise MethodError("these activations do not vary")
    return Kept(
        tokens=tokens,
        fvu=float(table[:, 0].sum() / spreads.sum()),
        l0=float(table[:, 2].sum() / tokens),
        errors=table[:, 0],
        spreads=spreads,
        fires=table[:, 2],
        counts=table[:, 3].astype(np.int64),
        fired=fired,
        first=first,
    )


def _add(
    sums: list[NDArray[np.float64]],
    vectors: list[NDArray[np.float64]],
    documents: NDArray[np.int64],
    rows: NDArray[np.float64],
    moved: NDArray[np.float64],
) -> None:
    """Sums of rows and of activations by document; a document may go on in the next batch."""
    numbers, inverse = np.unique(documents, return_inverse=True)
    for number in range(len(sums), int(numbers.max(initial=-1)) + 1):
        if number != len(sums):
            raise MethodError("documents are numbered from 0, in order")
        sums.append(np.zeros(rows.shape[1]))
        vectors.append(np.zeros(moved.shape[1]))
    part, part_moved = np.zeros((len(numbers), rows.shape[1])), np.zeros((len(numbers), moved.shape[1]))
    np.add.at(part, inverse, rows)
    np.add.at(part_moved, inverse, moved)
    for place, number in enumerate(numbers):
        sums[number] += part[place]
        vectors[number] += part_moved[place]


@dataclass(frozen=True, eq=False)
class Recovered:
    """What the network's own loss says of a dictionary, row by row; all in nats."""

    original: NDArray[np.float64]
    """(rows,): cross-entropy of the network as it is."""
    spliced: NDArray[np.float64]
    """With the reconstruction in the activation's place."""
    mean_ablated: NDArray[np.float64]
    """With the mean activation in its place."""
    zero_ablated: NDArray[np.float64]
    kl: NDArray[np.float64]
    """(rows,): of the scores with the reconstruction from the scores as they are."""

    def share(self, ablated: NDArray[np.float64]) -> float | None:
        """Loss recovered; None where ablating raises no loss, so that there is nothing to recover."""
        whole = float(ablated.mean() - self.original.mean())
        return float(ablated.mean() - self.spliced.mean()) / whole if whole > 0 else None

    @property
    def by_mean(self) -> float | None:
        """With mean ablation: the one that counts."""
        return self.share(self.mean_ablated)

    @property
    def by_zero(self) -> float | None:
        """With zero ablation, which leaves the range of activations and flatters."""
        return self.share(self.zero_ablated)

    @property
    def delta(self) -> float:
        """How much the reconstruction raises the cross-entropy."""
        return float(self.spliced.mean() - self.original.mean())


def recovered(
    network: Network,
    frame: pd.DataFrame,
    labels: NDArray[np.int64],
    site: Site,
    dictionary: Dictionary,
    mean: torch.Tensor,
) -> Recovered:
    """The cross-entropy of rows with known labels (rows,), as the network is and with three edits of a site.

    ``mean`` (n,) is the mean activation, of data that are not these. Every position of a row is edited.
    """
    edits: Sequence[tuple[Edit, ...]] = (
        (),
        (dictionary.to(network.device).spliced(site),),
        (Edit(site, "splice", _constant(mean)),),
        (Edit(site, "replace", 0.0),),
    )
    scores = [network.scores(frame, one) for one in edits]
    if scores[0].shape[1] == 1:
        scores = [np.concatenate([1 - one, one], axis=1) for one in scores]
    logs = [np.log(np.maximum(one, 1e-300)) for one in scores]
    rows = np.arange(len(labels))
    losses = [-one[rows, labels] for one in logs]
    kl = (scores[0] * (logs[0] - logs[1])).sum(axis=1)
    return Recovered(losses[0], losses[1], losses[2], losses[3], np.asarray(kl))


def _constant(mean: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """What puts one activation (n,) in the place of all."""

    def put(x: torch.Tensor) -> torch.Tensor:
        axis = feature_axis(x)
        moved = x.movedim(axis, -1)
        return mean.to(x.device, x.dtype).expand_as(moved).movedim(-1, axis)

    return put


def stability(first: Dictionary, second: Dictionary, alive: Any = None) -> float:
    """MCC between the decoders of two dictionaries: the mean of ``matched_cosines`` (arXiv:2505.20254)."""
    cosines = matched_cosines(first, second, alive)
    return float(cosines.mean()) if len(cosines) else 0.0


def matched_cosines(first: Dictionary, second: Dictionary, alive: Any = None) -> NDArray[np.float64]:
    """Cosines of latents matched one to one so that their sum is largest (Hungarian).

    ``alive``, two bool arrays (m,), leaves latents out that never fire.
    """
    from xai_audit.mechanistic.dictionaries.recovery import matched

    one, other = first.w_dec, second.w_dec
    if alive is not None:
        import torch

        one, other = one[torch.as_tensor(alive[0])], other[torch.as_tensor(alive[1])]
    return matched(one, other)[0]

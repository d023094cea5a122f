"""Where a path to a row begins: the picture, row or text that stands for an input that says nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import numpy as np

from xai_audit.errors import MethodError
from xai_audit.explainers.attributions import paths
from xai_audit.explainers.rows import exact_mean, generator, reference_table, smallest
from xai_audit.mechanistic import gradients

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from xai_audit.mechanistic.network import Network
    from xai_audit.mechanistic.sites import Site
    from xai_audit.subject import Modality, Rows, Subject

Baseline = Literal["auto", "black", "white", "blur", "uniform", "mean", "median", "zero", "pad", "mask"]
KNOWN: dict[Modality, dict[str, str]] = {
    "image": {
        "mean": "the mean of the reference pictures as the network takes them",
        "black": "a black picture, preprocessed as the row",
        "blur": "the row itself, blurred by a Gaussian of an eighth of its longer side",
        "uniform": "a picture of uniform noise, drawn for the row, preprocessed as the row",
        "white": "a white picture, preprocessed as the row",
        "zero": "zeros as the network takes them, after preprocessing",
    },
    "text": {
        "pad": "the same text with every token but the special ones replaced by padding",
        "zero": "embeddings of zero in place of every token but the special ones",
        "mask": "the same text with every token but the special ones replaced by the mask token",
    },
    "table": {
        "mean": "the mean of the reference rows",
        "median": "the median of the reference rows",
        "zero": "zeros",
    },
}
"""The baselines of each kind of row, the default first, and what each is."""
REFERENCE = 256
"""Reference rows that a mean or median is taken over, at most: those with the smallest digests."""
BESIDE = 3
"""How many baselines, the one in use included, are compared where none is named."""


def chosen(subject: Subject, name: str) -> str:
    """The baseline's own name; MethodError where this kind of row has none of that name."""
    known = KNOWN[subject.modality]
    if name == "auto":
        return next(iter(known))
    if name not in known:
        kind = {"image": "pictures", "text": "texts", "table": "tables"}[subject.modality]
        raise MethodError(f"no baseline {name!r} for {kind}; there are {', '.join(known)}")
    return name


def others(subject: Subject, name: str) -> list[str]:
    """The baselines that the one in use is compared with."""
    return [other for other in KNOWN[subject.modality] if other != name][: BESIDE - 1]


def start_of(subject: Subject, network: Network, name: str, site: Site, row: int, seed: int) -> torch.Tensor:
    """The point at the site where the path to a test row begins, (1, ...)."""
    import torch

    if subject.modality == "text":
        return _text(subject, network, name, site, row)
    inputs = paths.batch_of(subject, network, row)
    if name == "zero":
        start = torch.zeros_like(inputs)
    elif name in ("mean", "median"):
        start = _reference(subject, network, name)
    elif name == "blur":
        start = _blurred(inputs)
    else:
        start = _filled(subject, network, name, row, seed)
    return gradients.at(network, start, site)


# ------------------------------------------------------------------------------------------------ tables and pictures
_MEANS: WeakKeyDictionary[Subject, dict[str, Any]] = WeakKeyDictionary()


def reference_rows(subject: Subject) -> tuple[Rows, NDArray[np.int64], str]:
    """The table that stands for ordinary rows, which of its rows, and its name."""
    table, source = reference_table(subject)
    return table, smallest(table, REFERENCE, "reference"), source


def _reference(subject: Subject, network: Network, name: str) -> torch.Tensor:
    import torch

    # Every row asks for the same mean; it is made once a process.
    kept = _MEANS.setdefault(subject, {})
    if name not in kept:
        table, rows, _ = reference_rows(subject)
        values = np.concatenate([paths.read(network, table, int(row)).double().numpy() for row in rows])
        if name == "mean":
            values = exact_mean(values) if subject.modality == "table" else values.mean(axis=0)
        else:
            values = np.median(values, axis=0)
        kept[name] = torch.from_numpy(np.asarray(values)[None]).float()
    found: torch.Tensor = kept[name]
    return found


def _filled(subject: Subject, network: Network, name: str, row: int, seed: int) -> torch.Tensor:
    """A picture of the row's own shape, as the network takes it."""
    import pandas as pd

    own: Any = subject.test.frame.iloc[row, 0]
    if name == "uniform":
        rng = generator(seed, "uniform baseline", subject.test.seed(row))
        filled = rng.integers(0, 256, own.shape, dtype=np.uint8)
    else:
        filled = np.full(own.shape, 255 if name == "white" else 0, dtype=np.uint8)
    column = np.empty(1, dtype=object)
    column[0] = filled
    assert network.reader is not None
    made: torch.Tensor = network.reader.batch(pd.DataFrame({str(subject.test.frame.columns[0]): column}))
    return made


def _blurred(inputs: torch.Tensor) -> torch.Tensor:
    import torch
    from scipy.ndimage import gaussian_filter

    width = max(inputs.shape[-2:]) / 8
    values = gaussian_filter(inputs.double().numpy(), sigma=(0, 0, width, width), mode="nearest")
    return torch.from_numpy(values).to(inputs.dtype)


# ------------------------------------------------------------------------------------------------ texts
def _text(subject: Subject, network: Network, name: str, site: Site, row: int) -> torch.Tensor:
    import torch

    inputs = paths.batch_of(subject, network, row)
    encoding = paths.encoding_of(network, subject.test.frame.iloc[row, 0])
    special = torch.tensor(encoding.special_tokens_mask, dtype=torch.bool)[None]
    ids = next(iter(inputs))
    if name == "zero":
        own = gradients.at(network, inputs, site)
        keep = special.to(own.device).reshape(1, -1, *[1] * (own.ndim - 2))
        return torch.where(keep, own, torch.zeros_like(own))
    other = pad_of(network) if name == "pad" else _mask(network)
    replaced = torch.where(special, inputs[ids], torch.full_like(inputs[ids], other))
    return gradients.at(network, {**inputs, ids: replaced}, site)


def pad_of(network: Network) -> int:
    """The id that padding has."""
    reader: Any = network.reader
    return int(reader.pad)


def drawn(
    subject: Subject, network: Network, site: Site, row: int, table: Rows, picks: NDArray[np.int64]
) -> torch.Tensor:
    """The points at the site where rows of a reference table stand, (picks, ...), as beginnings of paths to a test row.

    A text keeps its special tokens; the others become those of the reference text, cut or padded to its length.
    """
    import torch

    distinct, where = np.unique(picks, return_inverse=True)
    if subject.modality != "text":
        batches = [paths.read(network, table, int(pick)) for pick in distinct]
        return gradients.at(network, torch.cat(batches), site)[torch.from_numpy(where)]
    inputs = paths.batch_of(subject, network, row)
    ids = next(iter(inputs))
    special = np.asarray(paths.encoding_of(network, subject.test.frame.iloc[row, 0]).special_tokens_mask) == 1
    starts = []
    for pick in distinct:
        other = paths.encoding_of(network, table.frame.iloc[int(pick), 0])
        free = np.asarray(other.ids)[np.asarray(other.special_tokens_mask) == 0][: int((~special).sum())]
        replaced = inputs[ids][0].numpy().copy()
        replaced[~special] = pad_of(network)
        replaced[np.flatnonzero(~special)[: len(free)]] = free
        starts.append(gradients.at(network, {**inputs, ids: torch.from_numpy(replaced)[None]}, site))
    return torch.cat(starts)[torch.from_numpy(where)]


def _mask(network: Network) -> int:
    import json

    reader: Any = network.reader
    # The file itself says which token is added as a mask; its name differs from tokenizer to tokenizer.
    added = json.loads(reader.tokenizer).get("added_tokens", [])
    found = [one["id"] for one in added if one["content"] in ("[MASK]", "<mask>")]
    if not found:
        raise MethodError("this tokenizer has no mask token; take the baseline pad or zero")
    return int(found[0])

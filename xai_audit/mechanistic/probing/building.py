"""Writing a folder of units to search: a store, as ``store`` opens it.

The folder holds rows of data, as evidence/ does: it is made readable by its owner alone, and is not to be published.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit import digest
from xai_audit.errors import UnavailableError, UnwrittenError
from xai_audit.mechanistic.probing.store import DICTIONARIES, FILES, SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from xai_audit.mechanistic.probing.latents import Latents
    from xai_audit.mechanistic.probing.scan import Scan

CONTEXTS = 8
"""Rows kept of each unit: those on which it is largest."""
SKETCH = 128
"""Numbers that stand for a unit's activations when neighbours are sought; the nearest are then compared in full."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True, eq=False)
class Bank:
    """The units of one site, or the features of one dictionary."""

    site: str
    activations: NDArray[np.float32]
    """(rows, units)."""
    direct: NDArray[np.float64] | None = None
    """(units,): the effect of holding each at its mean on the output, to first order."""
    ablation: NDArray[np.float64] | None = None
    """(units,): the same, exactly, on the score; nan where it was not asked."""
    latents: Latents | None = None
    """The dictionary whose latents these units are, which the store keeps; ``site`` is then its name here."""


@dataclass(frozen=True, eq=False)
class Scores:
    """How well all units tell predicates, on some rows."""

    names: tuple[str, ...]
    scan: Scan


def build(
    folder: Path,
    banks: Sequence[Bank],
    scores: Sequence[Scores],
    rows: Sequence[str],
    about: Mapping[str, Any],
    rng: np.random.Generator,
) -> None:
    """Write a store; every bank holds the same rows. What was a store there is replaced.

    UnavailableError where the folder holds something else, UnwrittenError where it cannot be written.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / "store.json").is_file():
        raise UnavailableError(f"{folder}: there is something else in this folder, and it is kept")
    part = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True, mode=0o700)
        files = _written(part, banks, scores, rows, rng)
        content = {
            "schema": SCHEMA,
            **about,
            "sites": [_site(one, place) for place, one in enumerate(banks)],
            "rows": len(rows),
            "predicates": [
                {"name": name, "positives": int(one.scan.positives[place])}
                for one in scores
                for place, name in enumerate(one.names)
            ],
            "null": [float(value) for value in _null(scores)],
            "files": files,
        }
        (part / "store.json").write_text(
            json.dumps(content, sort_keys=True, indent=1) + "\n", encoding="utf-8"
        )
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    except OSError as error:
        raise UnwrittenError(f"{folder}: cannot be written: {error.strerror or error}") from None


def _site(bank: Bank, place: int) -> dict[str, Any]:
    told: dict[str, Any] = {"site": bank.site, "units": bank.activations.shape[1]}
    if bank.latents is not None:
        told |= {"at": str(bank.latents.site), "dictionary": f"{DICTIONARIES}/{place}"}
    return told


def _null(scores: Sequence[Scores]) -> NDArray[np.float64]:
    return np.max([one.scan.null for one in scores], axis=0) if scores else np.zeros(0)


def _written(
    part: Path,
    banks: Sequence[Bank],
    scores: Sequence[Scores],
    rows: Sequence[str],
    rng: np.random.Generator,
) -> dict[str, str]:
    import pyarrow as pa

    units = [_told(bank) for bank in banks]
    columns = {name: np.concatenate([one[name] for one in units]) for name in units[0] if name != "site"}
    told = {
        "site": pa.array(np.concatenate([one["site"] for one in units])).dictionary_encode(),
        **{
            name: pa.FixedSizeListArray.from_arrays(pa.array(value.ravel()), value.shape[1])
            if value.ndim == 2
            else pa.array(value)
            for name, value in columns.items()
        },
    }
    kept = {}
    for one in scores:
        for place, name in enumerate(one.names):
            kept[f"auroc:{name}"] = one.scan.auroc[place].astype(np.float32)
            kept[f"z:{name}"] = one.scan.z[place].astype(np.float32)
    for name, table in (
        ("units.arrow", pa.table(told)),
        ("scores.arrow", pa.table(kept)),
        ("rows.arrow", pa.table({"row": pa.array(list(rows), pa.string())})),
    ):
        with pa.OSFile(str(part / name), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    profiles = np.concatenate([_profiles(bank.activations) for bank in banks])
    turn = rng.normal(size=(len(rows), SKETCH)).astype(np.float32) / np.float32(SKETCH**0.5)
    np.save(part / "profiles.npy", profiles.astype(np.float16))
    np.save(part / "sketch.npy", profiles @ turn)
    files = list(FILES)
    for place, bank in enumerate(banks):
        if bank.latents is not None:
            from xai_audit.mechanistic.dictionaries import saelens

            own = saelens.write(bank.latents.dictionary, part / DICTIONARIES / str(place))
            files += sorted(path.relative_to(part).as_posix() for path in own.iterdir())
    return {name: digest.of_file(part / name) for name in files}


def _told(bank: Bank) -> dict[str, Any]:
    """What the store says of each unit of a bank."""
    values = bank.activations
    units = values.shape[1]
    most = min(CONTEXTS, len(values))
    top = np.argsort(-values, axis=0, kind="stable")[:most].T
    made: dict[str, Any] = {
        "site": np.full(units, bank.site),
        "unit": np.arange(units, dtype=np.int32),
        "density": (values > 0).mean(axis=0).astype(np.float32),
        "mean": values.mean(axis=0, dtype=np.float64).astype(np.float32),
        "sd": values.std(axis=0, dtype=np.float64).astype(np.float32),
        "direct": _or_nan(bank.direct, units),
        "ablation": _or_nan(bank.ablation, units),
        "contexts": top.astype(np.int32),
    }
    for share, row in zip(QUANTILES, np.quantile(values, QUANTILES, axis=0), strict=True):
        made[f"q{round(100 * share)}"] = row.astype(np.float32)
    return made


def _or_nan(values: NDArray[np.float64] | None, units: int) -> NDArray[np.float32]:
    found = np.full(units, np.nan) if values is None else values
    return np.asarray(found, dtype=np.float32)


def _profiles(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Activations of each unit over rows, centred and of length 1: products are correlations. (units, rows)."""
    centred = values.T - values.mean(axis=0, dtype=np.float64).astype(np.float32)[:, None]
    length = np.sqrt(np.einsum("ij,ij->i", centred, centred, dtype=np.float64)).astype(np.float32)
    return np.asarray(centred / np.where(length > 0, length, 1)[:, None])

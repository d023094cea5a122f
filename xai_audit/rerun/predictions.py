"""Whether evidence/rows.parquet holds what model and data give: every row, since loading a model asks for all of them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit import card
from xai_audit.loaders.mistakes import shown
from xai_audit.rerun.machine import NEAR, said
from xai_audit.verify.checks import Check

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from xai_audit.subject import Subject

ROWS = "evidence/rows.parquet"


def compared(folder: Path, subject: Subject, different: tuple[str, ...]) -> Iterator[Check]:
    """Each column of rows.parquet: scores to the bit here, to NEAR where the machine differs; all others as they are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        there = (
            pq.ParquetFile(folder / "evidence" / "rows.parquet")
            .read(use_threads=False)
            .to_pandas(use_threads=False)
        )
    except (OSError, pa.ArrowException, ValueError) as error:
        yield Check("broken", ROWS, f"cannot be read: {(str(error).splitlines() or [''])[0][:200]}")
        return
    here = (
        pq.ParquetFile(io.BytesIO(card.rows_file(subject)))
        .read(use_threads=False)
        .to_pandas(use_threads=False)
    )
    if list(there.columns) != list(here.columns) or len(there) != len(here):
        columns = sorted({*map(str, there.columns)} ^ {*map(str, here.columns)})
        what = f"{len(there):,} rows where the data have {len(here):,}"
        if columns:
            what = f"other columns than model and data give: {', '.join(map(shown, columns[:5]))}"
        yield Check("broken", ROWS, f"it has {what}")
        return
    numbers = [
        name
        for name in here.columns
        if name == "score"
        or name.startswith("score:")
        or (name == "prediction" and subject.task == "regression")
    ]
    wrong = []
    widest = 0.0
    for name in here.columns:
        if name in numbers:
            off, largest = _numbers(there[name], here[name], near=bool(different))
            widest = max(widest, largest)
        else:
            off = ~_equal(there[name], here[name])
        if off.any():
            wrong.append(_told(name, there, here, off))
    if wrong:
        why = f" ({said(different)})" if different else ""
        yield from (Check("broken", ROWS, f"{one}{why}") for one in wrong)
        return
    by = "the data" if subject.model is None else "model and data"
    exact = "to the bit" if widest == 0 else f"to {NEAR:g} of the largest (here {widest:.1g})"
    what = (
        f"all {len(here):,} rows are what {by} give, scores {exact}"
        if numbers
        else f"all rows are what {by} give"
    )
    yield Check("holds", ROWS, what)


def _numbers(there: pd.Series[Any], here: pd.Series[Any], *, near: bool) -> tuple[NDArray[np.bool_], float]:
    """Which rows differ, and the largest distance of the others as a share of the largest number."""
    if there.dtype.kind not in "fiu":
        return np.ones(len(here), dtype=bool), 0.0
    a, b = there.to_numpy(dtype=np.float64), here.to_numpy(dtype=np.float64)
    scale = float(np.nanmax(np.abs(b), initial=0.0)) or 1.0
    with np.errstate(invalid="ignore"):
        distance = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b) / scale)
    off = ~(distance <= (NEAR if near else 0.0))
    return off, float(np.max(distance[~off], initial=0.0))


def _equal(there: pd.Series[Any], here: pd.Series[Any]) -> NDArray[np.bool_]:
    if there.dtype != here.dtype:
        return np.zeros(len(here), dtype=bool)
    both_gone = (there.isna() & here.isna()).to_numpy(dtype=bool)
    return np.asarray((there == here).to_numpy(dtype=bool, na_value=False) | both_gone)


def _told(name: str, there: pd.DataFrame, here: pd.DataFrame, off: NDArray[np.bool_]) -> str:
    first = int(np.flatnonzero(off)[0])
    if name == "id":
        return f"{int(off.sum()):,} of {len(off):,} rows hold another id than the data"
    pair = f"{shown(there[name].iloc[first])} there and {shown(here[name].iloc[first])} here"
    return f"{int(off.sum()):,} of {len(off):,} rows hold another {shown(name)}; the first is row {first}: {pair}"

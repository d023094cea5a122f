"""Neighbours as LIME draws them: a bin or a level for every input, then a number within the bin.

The draws are those of lime 0.2.0.1 for the same RandomState, call by call, with three things put right or added.
A bin whose values are all equal gives that value (lime gives 0). A missing number is a bin of its own (lime fails).
Levels come back as the cells they were, of the column's own type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

Discretizer = Literal["quartile", "decile"]
CUTS = {"quartile": (25, 50, 75), "decile": (10, 20, 30, 40, 50, 60, 70, 80, 90)}
_MISSING = -1.0


@dataclass(frozen=True, eq=False)
class Input:
    """One input's bins or levels, as seen in the training rows."""

    name: str
    codes: NDArray[np.float64]
    """Codes seen, ascending; a missing number's is one above the last bin."""
    shares: NDArray[np.float64]
    cuts: NDArray[np.float64] | None
    """Upper ends of all bins but the last; None for an input with levels."""
    means: NDArray[np.float64]
    spreads: NDArray[np.float64]
    lows: NDArray[np.float64]
    highs: NDArray[np.float64]
    cells: Any
    """For levels, one cell for each code, of the column's own type."""
    levels: tuple[str, ...]
    """For levels, the printed cell behind each code."""

    @property
    def degenerate(self) -> bool:
        """Whether some bin that is drawn has equal ends, where lime would give 0."""
        if self.cuts is None:
            return False
        seen = self.codes[self.codes <= len(self.cuts)].astype(np.int64)
        flat = self.lows[seen] == self.highs[seen]
        return bool((flat & (self.lows[seen] != 0)).any())

    def code(self, column: pd.Series[Any]) -> NDArray[np.float64]:
        """Codes of cells; -1 for a level never seen in training."""
        if self.cuts is None:
            known = {level: float(code) for code, level in enumerate(self.levels)}
            return np.asarray([known.get(text, _MISSING) for text in _texts(column)])
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return np.where(
            np.isnan(values), len(self.cuts) + 1.0, np.searchsorted(self.cuts, values).astype(np.float64)
        )

    def label(self, code: float) -> str:
        """A bin or level in words."""
        if self.cuts is None:
            return (
                f"{self.name} = {self.levels[int(code)]}"
                if code >= 0
                else f"{self.name} = a level not seen in training"
            )
        place, cuts = int(code), self.cuts
        if place > len(cuts):
            return f"{self.name} missing"
        if place == 0:
            return f"{self.name} ≤ {cuts[0]:.6g}"
        if place == len(cuts):
            return f"{self.name} > {cuts[-1]:.6g}"
        return f"{cuts[place - 1]:.6g} < {self.name} ≤ {cuts[place]:.6g}"


def _texts(column: pd.Series[Any]) -> list[str]:
    return [
        "(missing)" if missing else str(cell) for cell, missing in zip(column, column.isna(), strict=True)
    ]


def inputs(frame: pd.DataFrame, discretizer: Discretizer) -> tuple[Input, ...]:
    """Bins and levels of the training rows."""
    import pandas as pd

    found = []
    for name in frame.columns:
        column = frame[name]
        numeric = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
        found.append(
            _binned(str(name), column, CUTS[discretizer]) if numeric else _levelled(str(name), column)
        )
    return tuple(found)


def _binned(name: str, column: pd.Series[Any], percentiles: tuple[int, ...]) -> Input:
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    present = values[np.isfinite(values)]
    cuts = np.unique(np.percentile(present, percentiles)) if len(present) else np.zeros(1)
    place = np.searchsorted(cuts, present)
    means, spreads = np.zeros(len(cuts) + 1), np.zeros(len(cuts) + 1)
    for number in range(len(cuts) + 1):
        inside = present[place == number]
        means[number] = np.mean(inside) if len(inside) else 0.0
        spreads[number] = (np.std(inside) if len(inside) else 0.0) + 1e-11
    low, high = (float(present.min()), float(present.max())) if len(present) else (0.0, 0.0)
    code = np.where(np.isnan(values), len(cuts) + 1.0, np.searchsorted(cuts, values).astype(np.float64))
    codes, counts = np.unique(code, return_counts=True)
    return Input(
        name, codes, counts / float(counts.sum()), cuts, means, spreads,
        np.concatenate([[low], cuts]), np.concatenate([cuts, [high]]), None, (),
    )  # fmt: skip


def _levelled(name: str, column: pd.Series[Any]) -> Input:
    texts = np.asarray(_texts(column), dtype=object)
    levels = sorted(set(texts.tolist()))
    first = np.asarray([int(np.flatnonzero(texts == level)[0]) for level in levels])
    counts = np.asarray([int((texts == level).sum()) for level in levels])
    none = np.zeros(0)
    return Input(
        name, np.arange(len(levels), dtype=np.float64), counts / float(counts.sum()), None, none, none, none, none,
        column.array.take(first), tuple(levels),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Pool:
    """Neighbours that any row may use: with bins, what is drawn does not depend on the row explained."""

    codes: NDArray[np.float64]
    """Of shape (samples, inputs). Sample 0 stands for the row itself and is drawn only to keep lime's draws."""
    frame: pd.DataFrame
    """The neighbours in the user's columns."""


def draw(known: tuple[Input, ...], frame: pd.DataFrame, samples: int, state: np.random.RandomState) -> Pool:
    """Neighbours from a RandomState, drawn in lime's order: all bins and levels, then numbers column by column."""
    import pandas as pd

    codes = np.empty((samples, len(known)))
    for j, one in enumerate(known):
        codes[:, j] = state.choice(one.codes, size=samples, replace=True, p=one.shares)
    columns = {}
    for j, (one, name) in enumerate(zip(known, frame.columns, strict=True)):
        place = codes[:, j].astype(np.int64)
        if one.cuts is None:
            columns[name] = pd.Series(one.cells.take(place))
        else:
            columns[name] = pd.Series(_numbers(one, place, state))
    return Pool(codes, pd.DataFrame(columns, columns=frame.columns))


def _numbers(one: Input, place: NDArray[np.int64], state: np.random.RandomState) -> NDArray[np.float64]:
    from scipy.stats import truncnorm

    assert one.cuts is not None
    out = np.full(len(place), np.nan)
    # lime overwrites sample 0 with the row itself before it draws numbers.
    inside = place <= len(one.cuts)
    inside[0] = False
    at = place[inside]
    mean, spread = one.means[at], one.spreads[at]
    low, high = (one.lows[at] - mean) / spread, (one.highs[at] - mean) / spread
    wide = low != high
    values = one.lows[at].copy()  # ends that are equal give that value, not the 0 that lime gives
    if wide.any():
        values[wide] = truncnorm.rvs(
            low[wide], high[wide], loc=mean[wide], scale=spread[wide], random_state=state
        )
    out[inside] = values
    return out

"""What a fitted pipeline's last estimator sees, and which of the user's columns each of its columns comes from.

A pipeline may be taken apart only where every encoded column depends on one input alone. That is not believed
but tried, on the very rows at hand: each value each input takes is put in, one at a time, and then random
mixtures of rows are encoded whole and compared with what was put together from encoded parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.errors import said
from xai_audit.explainers.rows import assembled, generator

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

PROBES = 256
"""Random mixtures of rows on which a taken-apart encoding must equal the whole one."""


@dataclass(frozen=True, eq=False)
class Encoding:
    """A pool of rows as the last estimator sees them."""

    estimator: Any
    matrix: NDArray[np.float64]
    """Of shape (pool rows, encoded columns)."""
    player: NDArray[np.int64]
    """The input each encoded column comes from; -1 where no input moved it."""
    direct: bool
    """Whether the estimator gets the user's own columns, one for one and in order."""

    def mixed(self, index: NDArray[np.int64]) -> NDArray[np.float64]:
        """Encoded rows whose input ``j`` is taken from pool row ``index[:, j]``."""
        out = np.empty((len(index), self.matrix.shape[1]))
        for column, player in enumerate(self.player):
            out[:, column] = self.matrix[index[:, player], column] if player >= 0 else self.matrix[0, column]
        return out


def last_estimator(native: Any) -> Any:
    """The estimator at the end of a pipeline or inside a search; the object itself otherwise."""
    while True:
        if hasattr(native, "best_estimator_"):
            native = native.best_estimator_
        elif hasattr(native, "steps"):
            native = native.steps[-1][1]
        else:
            return native


def encode(model: Any, frame: pd.DataFrame) -> NDArray[np.float64]:
    """Rows of the user's columns as the matrix of numbers that the last estimator of a model's ``native`` sees.

    An adapter that says how it hands rows over (``inputs.of``, as the loaders' do) is asked for that; ValueError,
    TypeError or KeyError where the rows cannot be read as numbers.
    """
    native = model.native
    data = _given(model, frame)
    while True:
        if hasattr(native, "best_estimator_"):
            native = native.best_estimator_
        elif hasattr(native, "steps"):
            for _, step in native.steps[:-1]:
                if step not in (None, "passthrough"):
                    data = step.transform(data)
            native = native.steps[-1][1]
        else:
            break
    return _matrix(native, data)


def _given(model: Any, frame: pd.DataFrame) -> Any:
    inputs: Any = getattr(model, "inputs", None)
    if hasattr(inputs, "of"):
        return inputs.of(frame)
    names = _names(model.native)
    if names is None and not _tabular(last_estimator(model.native)):
        return frame.to_numpy()
    return frame[list(names)] if names is not None and set(names) <= set(frame.columns) else frame


def _names(native: Any) -> Any:
    # Asking for a missing attribute of some wrappers raises something else than AttributeError.
    try:
        return getattr(native, "feature_names_in_", None)
    except Exception:  # noqa: BLE001
        return None


def _tabular(estimator: Any) -> bool:
    return type(estimator).__module__.split(".")[0] in {"xgboost", "lightgbm"}


def _matrix(estimator: Any, data: Any) -> NDArray[np.float64]:
    if hasattr(data, "toarray"):
        data = data.toarray()
    if hasattr(estimator, "_preprocess_X") and hasattr(estimator, "_predictors"):
        # Histogram boosting encodes its own categories and moves them to the front.
        return np.ascontiguousarray(estimator._preprocess_X(data, reset=False), dtype=np.float64)  # noqa: SLF001
    if hasattr(data, "columns"):
        return _codes(estimator, data)
    return np.ascontiguousarray(data, dtype=np.float64)


def _codes(estimator: Any, frame: pd.DataFrame) -> NDArray[np.float64]:
    """Numbers as they are, categories as the codes that boosting libraries use; missing is NaN."""
    import pandas as pd

    booster = getattr(estimator, "booster_", estimator)
    remembered = iter(getattr(booster, "pandas_categorical", None) or ())
    out = np.empty(frame.shape)
    for position, name in enumerate(frame.columns):
        column = frame[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            levels = next(remembered, None)
            codes = (column if levels is None else column.cat.set_categories(levels)).cat.codes.to_numpy(
                np.float64
            )
            out[:, position] = np.where(codes < 0, np.nan, codes)
        else:
            out[:, position] = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return out


def taken_apart(model: Any, pool: pd.DataFrame) -> Encoding | str:
    """The encoding of a pool of rows with the input behind each column, or in words why there is none."""
    try:
        matrix = encode(model, pool)
        players = _players(model, pool, matrix)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, NotImplementedError) as error:
        return f"the model could not be taken apart ({type(error).__name__}: {said(error)[:120]})"
    if isinstance(players, str):
        return players
    numbers = [name for name in pool.columns if pool[name].dtype.kind in "biuf"]
    direct = len(numbers) == pool.shape[1] == matrix.shape[1] and np.array_equal(
        matrix, pool.to_numpy(dtype=np.float64, na_value=np.nan), equal_nan=True
    )
    found = Encoding(
        last_estimator(model.native), matrix, np.arange(pool.shape[1]) if direct else players, direct
    )
    return _tried(model, pool, found)


def _players(model: Any, pool: pd.DataFrame, matrix: NDArray[np.float64]) -> NDArray[np.int64] | str:
    import pandas as pd

    player = np.full(matrix.shape[1], -1, dtype=np.int64)
    blocks, owners = [], []
    for j, name in enumerate(pool.columns):
        first = np.flatnonzero(~pd.Series(pool[name]).duplicated().to_numpy())
        index = np.zeros((len(first), pool.shape[1]), dtype=np.int64)
        index[:, j] = first
        blocks.append(index)
        owners.append(np.full(len(first), j))
    encoded = encode(model, assembled(pool, np.concatenate(blocks)))
    moved = ~((encoded == matrix[0]) | (np.isnan(encoded) & np.isnan(matrix[0])))
    owner = np.concatenate(owners)
    for column in range(matrix.shape[1]):
        movers = np.unique(owner[moved[:, column]])
        if len(movers) > 1:
            return "an encoded column depends on several inputs at once"
        if len(movers):
            player[column] = movers[0]
    return player


def _tried(model: Any, pool: pd.DataFrame, encoding: Encoding) -> Encoding | str:
    index = generator("encoding", *pool.shape).integers(0, len(pool), size=(PROBES, pool.shape[1]))
    whole = encode(model, assembled(pool, index))
    if not np.array_equal(whole, encoding.mixed(index), equal_nan=True):
        return "mixtures of rows are not encoded column by column"
    return encoding

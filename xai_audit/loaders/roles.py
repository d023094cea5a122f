"""Columns with a role of their own: id, weight, cluster, sensitive columns, scores and decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xai_audit.errors import SpecError
from xai_audit.loaders import groups
from xai_audit.loaders.cells import Cells, Typed, words
from xai_audit.loaders.deciding import Decided
from xai_audit.loaders.mistakes import Mistakes, shown, suggestion
from xai_audit.loaders.tables import read_table
from xai_audit.spec import Table

if TYPE_CHECKING:
    from xai_audit.spec import Sensitive
    from xai_audit.subject import Grouping


def taken(mistakes: Mistakes, test: Cells) -> set[str]:
    """Columns that have a role other than feature; those that are not there are mistakes."""
    data, model = mistakes.spec.data, mistakes.spec.model
    for key in ("target", "id", "cluster", "weight"):
        _present(mistakes, f"data.{key}", getattr(data, key), test)
    for place, item in enumerate(data.sensitive):
        key = f"data.sensitive.{place}"
        if item.file is None:
            _present(mistakes, f"{key}.column", item.column, test)
        elif item.key is None:
            mistakes.at(f"{key}.key", "a file needs key: the column both tables share")
        else:
            _present(mistakes, f"{key}.key", item.key, test)
        if item.column in [other.column for other in data.sensitive[:place]]:
            mistakes.at(f"{key}.column", f"{shown(item.column)} is named twice")
    keys = [item.key for item in data.sensitive if item.file is not None]
    sensitive = [item.column for item in data.sensitive]
    named = [
        data.target,
        data.id,
        data.cluster,
        data.weight,
        model.score,
        model.prediction,
        *keys,
        *sensitive,
    ]
    return {name for name in named if name is not None}


def _present(mistakes: Mistakes, key: str, name: str | None, table: Cells) -> None:
    if name is not None and name not in table.columns:
        what = f"no column named {shown(name)} in {table.path}{suggestion(name, table.columns)}"
        mistakes.at(key, what)


def groupings(
    mistakes: Mistakes, decided: Decided, rows: NDArray[np.int64]
) -> tuple[tuple[Grouping, ...], tuple[str, ...]]:
    """The groups of every sensitive column and crossing, in row order, and notes on what found no match."""
    data = mistakes.spec.data
    found, notes = [], []
    for place, item in enumerate(data.sensitive):
        key = f"data.sensitive.{place}"
        column: Typed | None
        if item.file is None:
            column = decided.column(item.column).tables[0]
        else:
            column, gone = _joined(mistakes, item, decided, key)
            if gone:
                # How many is told with the groups, or not at all.
                notes.append(
                    f"test rows without {item.column!r} in {item.file} are the group of missing values"
                )
        grouping = None if column is None else groups.grouping(item, column.take(rows), key, mistakes)
        if grouping is not None:
            found.append(grouping)
    return (*found, *groups.crossings(found, data.crossings)), tuple(notes)


def _joined(mistakes: Mistakes, item: Sensitive, decided: Decided, key: str) -> tuple[Typed | None, int]:
    assert item.file is not None
    assert item.key is not None
    try:
        cells = read_table(Table(path=item.file), f"{key}.file", Mistakes(mistakes.spec))
    except SpecError as error:
        mistakes.add(error.mistakes)
        return None, 0
    own = decided.column(item.key).tables[0]
    found = groups.joined(item, own, Decided([cells]), key, mistakes)
    return (None, 0) if found is None else found


def weights(column: Typed, table: Cells, name: str, mistakes: Mistakes) -> NDArray[np.float64]:
    """Weights as floats; a negative, missing or infinite one is a mistake."""
    if column.kind != "number":
        mistakes.at("data.weight", f"{shown(name)} in {table.path} is not numeric")
        return np.ones(column.n)
    values = column.data.astype(np.float64)
    for row in np.flatnonzero(~(np.isfinite(values) & (values >= 0))):
        what = f"a weight is a number from 0 up, not {column.text(int(row)) or 'missing'}"
        mistakes.cell(table.path, table.line(int(row)), name, what, kind="weight")
    if not (values > 0).any():
        mistakes.at("data.weight", f"no weight of {table.path} is above zero")
    return values


def clusters(column: Typed, table: Cells, name: str, mistakes: Mistakes) -> NDArray[np.int64]:
    """Clusters as codes in the order of their words; a row without one is a mistake."""
    for row in np.flatnonzero(column.missing):
        what = "a row without a cluster; name one for each"
        mistakes.cell(table.path, table.line(int(row)), name, what, kind="cluster")
    _, codes = np.unique(words(column).astype(str), return_inverse=True)
    return codes.astype(np.int64)

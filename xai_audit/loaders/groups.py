"""Which group each test row is in: by sensitive columns, their bins and their crossings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from xai_audit.loaders.cells import Typed, number_word, words
from xai_audit.loaders.deciding import Decided
from xai_audit.loaders.mistakes import shown, suggestion
from xai_audit.subject import Grouping

if TYPE_CHECKING:
    from xai_audit.loaders.mistakes import Mistakes
    from xai_audit.spec import Sensitive

DISTINCT = 20
"""Numbers in a sensitive column beyond which groups must be made by bins."""


def grouping(sensitive: Sensitive, column: Typed, key: str, mistakes: Mistakes) -> Grouping | None:
    """The groups of one sensitive column in natural order, missing values last; None after a mistake."""
    missing = column.missing
    if sensitive.bins is not None:
        found = _binned(sensitive, column, key, mistakes)
        if found is None:
            return None
        labels, codes = found
    else:
        kept = words(column)
        if column.kind == "number" and not np.isfinite(column.data[~missing].astype(np.float64)).all():
            mistakes.at(
                key, f"column {sensitive.column!r} holds an infinity; a group is a finite number or a word"
            )
            return None
        uniques = {str(cell) for cell in kept if cell is not None}
        if column.kind in ("number", "date") and len(uniques) > DISTINCT:
            help_ = (
                "give bins, for instance"
                if column.kind == "number"
                else "derive a column of years or decades"
            )
            bins = _suggested(column) if column.kind == "number" else ""
            what = f"{sensitive.column!r} has {len(uniques)} distinct values; {help_}{bins}"
            mistakes.at(key, what)
            return None
        labels = sorted(uniques, key=natural)
        place = {label: code for code, label in enumerate(labels)}
        codes = np.array([place.get(cell, -1) for cell in kept], dtype=np.int64)
    codes = np.where(missing, len(labels), codes)
    labels = [*labels, "missing" if "missing" not in labels else "missing value"]
    used = np.flatnonzero(np.bincount(codes, minlength=len(labels)))
    renumbered = np.full(len(labels), -1, dtype=np.int64)
    renumbered[used] = np.arange(len(used))
    return Grouping(
        columns=(sensitive.column,),
        keys=tuple({sensitive.column: labels[code]} for code in used),
        codes=renumbered[codes],
        missing=tuple(bool(code == len(labels) - 1) for code in used),
        special_category=sensitive.special_category,
        explanatory=sensitive.explanatory,
    )


def _suggested(column: Typed) -> str:
    thirds = np.quantile(column.data[~column.missing].astype(np.float64), [1 / 3, 2 / 3])
    return f": {{column: ..., bins: [{', '.join(number_word(float(f'{value:.2g}')) for value in thirds)}]}}"


def natural(label: str) -> tuple[Any, ...]:
    """A sort key that puts numbers by value, ``2`` before ``10`` and ``level 2`` before ``level 10``."""
    try:
        return (0, float(label), label)
    except ValueError:
        parts = re.split(r"(\d+)", label)
        return (1, [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts], label)


def _binned(
    sensitive: Sensitive, column: Typed, key: str, mistakes: Mistakes
) -> tuple[list[str], NDArray[np.int64]] | None:
    edges = list(sensitive.bins or ())
    if column.kind != "number":
        mistakes.at(f"{key}.bins", f"column {sensitive.column!r} is not numeric; bins cut numbers")
        return None
    if not edges or any(high <= low for low, high in pairwise(edges)):
        mistakes.at(f"{key}.bins", f"bins must be increasing numbers, not {edges}")
        return None
    values = column.data.astype(np.float64)
    kept = values[~column.missing]
    whole = bool((np.isfinite(kept) & (kept == np.floor(kept))).all()) and all(
        edge.is_integer() for edge in map(float, edges)
    )
    codes = np.searchsorted(np.array(edges, dtype=np.float64), values, side="right").astype(np.int64)
    return bin_labels(edges, whole=whole), codes


def bin_labels(edges: Sequence[float], *, whole: bool) -> list[str]:
    """``<30``, ``30-49``, ``>=50`` where all values are whole numbers, else ``30 to <50`` in the middle."""
    names = [number_word(float(edge)) for edge in edges]
    labels = [f"<{names[0]}"]
    for place in range(1, len(edges)):
        last = number_word(float(edges[place]) - 1)
        between = (
            (names[place - 1] if last == names[place - 1] else f"{names[place - 1]}-{last}") if whole else ""
        )
        labels.append(between or f"{names[place - 1]} to <{names[place]}")
    return [*labels, f">={names[-1]}"]


def crossings(groupings: Sequence[Grouping], how: Literal["pairs", "all", "none"]) -> list[Grouping]:
    """Crossings of two or of any number of sensitive columns, only of combinations that occur."""
    if how == "none":
        return []
    sizes = range(2, 3) if how == "pairs" else range(2, len(groupings) + 1)
    return [_crossed(parts) for size in sizes for parts in combinations(groupings, size)]


def _crossed(parts: Sequence[Grouping]) -> Grouping:
    ordered = sorted(parts, key=lambda part: part.columns)
    stacked = np.stack([part.codes for part in ordered], axis=1)
    uniques, codes = np.unique(stacked, axis=0, return_inverse=True)
    keys, missing = [], []
    for row in uniques:
        key: dict[str, str] = {}
        for part, code in zip(ordered, row, strict=True):
            key.update(part.keys[int(code)])
        keys.append(key)
        missing.append(any(part.missing[int(code)] for part, code in zip(ordered, row, strict=True)))
    return Grouping(
        columns=tuple(part.columns[0] for part in ordered),
        keys=tuple(keys),
        codes=codes.reshape(-1).astype(np.int64),
        missing=tuple(missing),
        special_category=any(part.special_category for part in ordered),
    )


def joined(
    sensitive: Sensitive, own: Typed, file: Decided, key: str, mistakes: Mistakes
) -> tuple[Typed, int] | None:
    """A sensitive column of another file, by its key, for the test rows; how many rows found no match."""
    table = file.tables[0]
    name = sensitive.key or ""
    for column, where in ((name, f"{key}.key"), (sensitive.column, f"{key}.column")):
        if column not in table.columns:
            mistakes.at(
                where, f"no column named {shown(column)} in {table.path}{suggestion(column, table.columns)}"
            )
    if name not in table.columns or sensitive.column not in table.columns:
        return None
    keys = words(file.column(name).tables[0])
    place: dict[str, int] = {}
    for row, value in enumerate(keys):
        if value is None:
            continue
        if value in place:
            first = table.line(place[value])
            what = f"the key {shown(value)} stands in row {first} already; a key names one row"
            mistakes.cell(table.path, table.line(row), name, what, kind="key")
        else:
            place[value] = row
    found = file.column(sensitive.column).tables[0]
    wanted = np.array(
        [place.get(value, -1) if value is not None else -1 for value in words(own)], dtype=np.int64
    )
    return _taken(found, wanted), int((wanted < 0).sum())


def _taken(column: Typed, rows: NDArray[np.int64]) -> Typed:
    """Rows of a column, missing where the position is -1."""
    gone = rows < 0
    if not gone.any():
        return column.take(rows)
    values = column.data.astype(np.float64) if column.kind == "number" else column.data.copy()
    values = np.append(values, np.nan if column.kind == "number" else -1)
    if column.kind == "date":
        values[-1] = np.iinfo(np.int64).min
    return Typed(column.kind, values[rows], column.levels)

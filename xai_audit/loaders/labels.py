"""Class labels by value: 1, "1", 1.0 and True may name one class; what may mean two is a mistake."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.loaders.cells import Typed, number_word, words

_LOOSE = {"true": "1", "false": "0", "1": "true", "0": "false"}
EXAMPLES = 5


def word(label: Any) -> str:
    """A label as a word: ``1`` for 1, 1.0, "1" and "1.0", ``true`` for True and "true"."""
    if isinstance(label, (bool, np.bool_)):
        return "true" if label else "false"
    if isinstance(label, (int, float, np.integer, np.floating)):
        return number_word(label)
    text = str(label)
    if text.lower() in ("true", "false"):
        return text.lower()
    try:
        number = float(text)
    except ValueError:
        return text
    # "007" and "1e3" are names someone chose; "1.0" is what a float column makes of 1.
    return number_word(number) if text == repr(number) else text


def matches(label: Any, labels: Sequence[Any]) -> list[int]:
    """Indices of the labels this one may mean: by word, else true as 1 and false as 0."""
    target = word(label)
    exact = [index for index, other in enumerate(labels) if word(other) == target]
    if exact or target not in _LOOSE:
        return exact
    return [index for index, other in enumerate(labels) if word(other) == _LOOSE[target]]


def of_column(column: Typed) -> list[Any]:
    """The labels that occur in a column, sorted, in its own type."""
    kept = column.data[~column.missing]
    uniques = np.unique(kept)
    if column.kind == "text":
        return [column.levels[int(code)] for code in uniques]
    if column.kind == "boolean":
        return [bool(code) for code in uniques]
    if column.kind == "date":
        return [str(label) for label in words(Typed("date", uniques))]
    return [
        int(value) if float(value).is_integer() else float(value) for value in uniques if np.isfinite(value)
    ]


def coded(column: Typed, classes: Sequence[Any]) -> tuple[NDArray[np.int64], list[str], list[str]]:
    """Class index of each row (-1 where there is none), unknown labels, and labels of two meanings."""
    cells = words(column)
    uniques = sorted({cell for cell in cells if cell is not None})
    place: dict[Any, int] = {None: -1}
    unknown, ambiguous = [], []
    for label in uniques:
        found = matches(label, classes)
        place[label] = found[0] if len(found) == 1 else -1
        if not found:
            unknown.append(label)
        elif len(found) > 1:
            ambiguous.append(label)
    codes = np.array([place[cell] for cell in cells], dtype=np.int64)
    return codes, unknown, ambiguous


def invalid(column: Typed, codes: NDArray[np.int64], least: int) -> dict[str, Any]:
    """How many rows have no valid label, and examples of such labels that at least so many rows share (never of rows)."""
    bad = codes < 0
    cells = words(column.take(np.flatnonzero(bad)))
    return {"count": int(bad.sum()), "examples": examples(cells.tolist(), least)}


def examples(cells: Iterable[str | None], least: int) -> list[str]:
    """Some of the words that stand in at least so many cells: what fewer people's cells say may tell who they are."""
    counts = Counter("missing" if cell is None else str(cell)[:60] for cell in cells)
    return sorted(word for word, count in counts.items() if word == "missing" or count >= least)[:EXAMPLES]

"""Counts about the records that later checks read: exact, of whole tables, naming no person's row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.loaders.cells import Typed
from xai_audit.loaders.deciding import Decided
from xai_audit.loaders.rows import digests

NO_ARTEFACT: Mapping[str, Any] = {"code_carrying": False, "globals": [], "suspicious": []}
"""For models whose file carries no code."""


def overlap(
    decided: Decided, features: Sequence[str], target: str | None
) -> tuple[dict[str, Any], NDArray[np.bool_] | None]:
    """Test rows equal to a training row in features and target, and equal rows within each table; and which test rows.

    A target that a table lacks is not compared; without features nothing is. Pictures are compared by their
    pixels, texts letter by letter, and neither by target: with another label the same picture is known as well.
    """
    found: dict[str, Any] = {"train_test_overlap": None, "duplicate_rows": {}}
    media = [table.medium for table in decided.tables]
    if not features and media[0] is None:
        return found, None
    tables = range(len(decided.tables))
    wanted = {*features, *([target] if target is not None else [])}
    shared = sorted(name for name in wanted if len(decided.column(name).tables) == len(tables))
    parts = [
        digests({name: decided.column(name).tables[table] for name in shared})
        if (medium := media[table]) is None
        else medium.digests
        for table in tables
    ]
    for label, part in zip(("test", "train"), parts, strict=False):
        found["duplicate_rows"][label] = int(len(part) - len(np.unique(part)))
    if len(parts) == 2:
        known = np.isin(parts[0], parts[1])
        compared = len(shared) if media[0] is None else 1
        found["train_test_overlap"] = {"count": int(known.sum()), "rows": len(known), "columns": compared}
        return found, known
    return found, None


def missing(columns: Mapping[str, Typed]) -> dict[str, dict[str, int]]:
    """How many cells of each column have no value, for those where some have none."""
    found = {name: int(column.missing.sum()) for name, column in sorted(columns.items())}
    return {name: {"count": count, "rows": len(columns[name].data)} for name, count in found.items() if count}


def base_rates(classes: Sequence[Any], codes: NDArray[np.int64]) -> dict[str, int]:
    """How many rows have each class."""
    counts = np.bincount(codes[codes >= 0], minlength=len(classes))
    return {str(label): int(count) for label, count in zip(classes, counts, strict=False)}

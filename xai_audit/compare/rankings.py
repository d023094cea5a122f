"""Rankings before and after: which entries hold other ranks than noise allows, and how far their sizes moved."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.archives import BROKEN
from xai_audit.compare import estimates
from xai_audit.comparison import Ranked
from xai_audit.evidence import Ranking, exactly
from xai_audit.intervals_paired import mean_change

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from xai_audit.compare.changes import Both
    from xai_audit.evidence import Estimate, Evidence, Item

ROWS = "row_sha256"
"""The array of a ranking's evidence that names its rows."""
VALUES = ("phi", "coefficients", "values")
"""Arrays that hold one number for each row and entry; a ranking is of the mean of their sizes."""


def rankings(both: Both, folders: tuple[Path | None, Path | None]) -> list[Ranked]:
    """Every entry of every ranking that both audits measured."""
    found: list[Ranked] = []
    for new in both.new.evidence:
        old = both.old.get(new.id)
        if old is None or old.method != new.method:
            continue
        a, b = old.observation, new.observation
        if not isinstance(a, Ranking) or not isinstance(b, Ranking):
            continue
        rows = _rows(both, old, new, folders)
        before, after = ({item.name: item for item in seen.items} for seen in (a, b))
        found += [
            _ranked(both, new, b.unit, name, before.get(name), after.get(name), rows)
            for name in dict.fromkeys([*after, *before])
        ]
    return found


def _ranked(
    both: Both,
    piece: Evidence,
    unit: str | None,
    name: str,
    old: Item | None,
    new: Item | None,
    rows: Mapping[str, tuple[NDArray[Any], NDArray[Any]]],
) -> Ranked:
    change: Estimate | None = None
    how: Any = None
    if old is not None and new is not None:
        if both.same and old.estimate == new.estimate:
            change, how = exactly(0, new.estimate.n), "same"
        elif name in rows:
            before, after = rows[name]
            change = estimates.made(mean_change(before, after, (both.confidence,)), len(before))
            how = "paired"
        else:
            change = estimates.difference(old.estimate, new.estimate, both.confidences, both.confidence)
            how = None if change is None else "unpaired"
    return Ranked(
        evidence=piece.id,
        title=piece.title,
        name=name,
        unit=unit,
        old=None if old is None else estimates.shown(old.estimate),
        new=None if new is None else estimates.shown(new.estimate),
        old_rank=None if old is None else (old.rank_low, old.rank_high),
        new_rank=None if new is None else (new.rank_low, new.rank_high),
        change=change,
        how=how,
    )


def _rows(
    both: Both, old: Evidence, new: Evidence, folders: tuple[Path | None, Path | None]
) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """The sizes of each entry on the rows that both explained, by entry; empty where arrays do not tell."""
    sides = [_sizes(folder, piece) for folder, piece in zip(folders, (old, new), strict=True)]
    if sides[0] is None or sides[1] is None:
        return {}
    (digests_a, sizes_a), (digests_b, sizes_b) = sides[0], sides[1]
    # A row that comes twice has one explanation.
    _, a, b = np.intersect1d(digests_a, digests_b, return_indices=True)
    if len(a) < max(both.min_cell, len(digests_b) / 2, 2):
        return {}
    names = [column["name"] for column in both.new.subject.get("columns") or ()]
    if names != [column["name"] for column in both.old.subject.get("columns") or ()]:
        return {}
    if not (len(names) == sizes_a.shape[1] == sizes_b.shape[1]):
        return {}
    means = (
        {item.name: item.estimate.value for item in new.observation.items}
        if isinstance(new.observation, Ranking)
        else {}
    )
    found = {}
    for place, name in enumerate(names):
        # The arrays are taken only where they give the number that the audit tells.
        if name in means and math.isclose(
            float(sizes_b[:, place].mean()), means[name], rel_tol=1e-6, abs_tol=1e-12
        ):
            found[name] = (sizes_a[a, place], sizes_b[b, place])
    return found


def _sizes(folder: Path | None, piece: Evidence) -> tuple[NDArray[Any], NDArray[Any]] | None:
    name = piece.arrays.get(ROWS)
    if folder is None or name is None or "/" in name or "\\" in name:
        return None
    try:
        # Of bytes: numpy leaves a file that it cannot read open.
        content = io.BytesIO((folder / "evidence" / name).read_bytes())
        with np.load(content, allow_pickle=False) as kept:
            key = next((key for key in VALUES if key in kept.files), None)
            if key is None or ROWS not in kept.files:
                return None
            digests, values = kept[ROWS], np.asarray(kept[key], dtype=np.float64)
    except BROKEN:
        return None
    fits = values.ndim == digests.ndim == 2 and len(values) == len(digests) and digests.dtype == np.uint8
    if not fits or not digests.shape[1]:
        return None
    return np.ascontiguousarray(digests).view(f"S{digests.shape[1]}").reshape(-1), np.abs(values)

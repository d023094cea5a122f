"""The rows of two audits as evidence/rows.parquet keeps them, and which of them are the same."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.comparison import Matched
from xai_audit.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from xai_audit.audit import Audit

ENOUGH = 0.5
"""Share of the smaller test set that both must hold for a change to be measured on the rows they share."""
LEAST = 30
"""Pairs under which a change is measured as of different rows."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Test rows of one audit: what was true, what the model said, who is in which group."""

    digest: NDArray[Any]
    task: str
    classes: tuple[str, ...]
    target: NDArray[Any] | None
    """Labels as text (None where not valid), or numbers."""
    prediction: NDArray[Any] | None
    scores: Mapping[str, NDArray[np.float64]]
    """By class; one of a bare score under its positive class, or under ``""`` for regression."""
    groups: Mapping[str, NDArray[Any]]
    probabilities: bool = False
    ids: NDArray[Any] | None = None
    weight: NDArray[np.float64] | None = None
    cluster: NDArray[Any] | None = None

    def __len__(self) -> int:
        """How many."""
        return len(self.digest)

    @property
    def independent(self) -> bool:
        """Whether every row counts alike and by itself."""
        return self.weight is None and self.cluster is None

    def at(self, places: NDArray[Any] | slice) -> Rows:
        """Some of the rows, by position or by mask."""

        def cut(values: NDArray[Any] | None) -> NDArray[Any] | None:
            return None if values is None else values[places]

        return replace(
            self,
            digest=self.digest[places],
            target=cut(self.target),
            prediction=cut(self.prediction),
            scores={label: values[places] for label, values in self.scores.items()},
            groups={column: values[places] for column, values in self.groups.items()},
            ids=cut(self.ids),
            weight=cut(self.weight),
            cluster=cut(self.cluster),
        )

    def inside(self, key: Mapping[str, str]) -> NDArray[np.bool_] | None:
        """The rows of a group; None where a column of its key is not kept row by row."""
        mask = np.ones(len(self), dtype=bool)
        for column, label in key.items():
            if column not in self.groups:
                return None
            mask &= self.groups[column] == label
        return mask

    @property
    def known(self) -> NDArray[np.bool_]:
        """Rows with a valid label; all where labels are not there to be looked at."""
        if self.target is None:
            return np.ones(len(self), dtype=bool)
        if self.task == "regression":
            return np.asarray(np.isfinite(self.target.astype(float)))
        return np.array([label is not None for label in self.target], dtype=bool)


def of_folder(folder: Path, audit: Audit) -> Rows | None:
    """The rows of an audit's folder; None where only the publishable part was kept.

    Raises:
        UnavailableError: where rows.parquet cannot be read or is not of this audit.
    """
    path = folder / "evidence" / "rows.parquet"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be read: {error.strerror or error}") from None
    return of_bytes(content, audit.subject, str(path))


def of_bytes(content: bytes, about: Mapping[str, Any], path: str) -> Rows:
    """The rows of a rows.parquet, held to the digest of the data that audit.json tells."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(io.BytesIO(content)).read(use_threads=False)
        columns = {name: table.column(name) for name in table.column_names}
        listed = columns["digest"].to_pylist()
        joined = hashlib.sha256(b"".join(bytes.fromhex(one) for one in listed)).hexdigest()
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise UnavailableError(f"{path}: no rows of an audit: {str(error).splitlines()[0]}") from None
    told = ((about.get("data") or {}).get("test") or {}).get("sha256")
    if told is not None and joined != told:
        raise UnavailableError(
            f"{path}: these are not the rows that audit.json tells of (their digest differs)"
        )
    classes = tuple(str(label) for label in about.get("classes") or ())
    task = str(about.get("task") or "classification")

    def text(name: str) -> NDArray[Any] | None:
        return np.array(columns[name].to_pylist(), dtype=object) if name in columns else None

    def number(name: str) -> NDArray[np.float64] | None:
        if name not in columns:
            return None
        return np.asarray(columns[name].to_numpy(zero_copy_only=False), dtype=np.float64)

    try:
        scores = {name.partition(":")[2]: number(name) for name in columns if name.startswith("score:")}
        bare = number("score")
        if bare is not None:
            positive = about.get("positive")
            scores = {classes[positive] if classes and isinstance(positive, int) else "": bare}
        label = number if task == "regression" else text
        return Rows(
            digest=np.array(listed, dtype="S64"),
            task=task,
            classes=classes,
            target=label("target"),
            prediction=label("prediction"),
            scores={name: values for name, values in scores.items() if values is not None},
            groups={
                name.partition(":")[2]: found
                for name in columns
                if name.startswith("group:") and (found := text(name)) is not None
            },
            probabilities=bool(about.get("probabilities")),
            ids=text("id"),
            weight=number("weight"),
            cluster=text("cluster"),
        )
    except (pa.ArrowException, ValueError, TypeError, IndexError) as error:
        raise UnavailableError(f"{path}: no rows of an audit: {str(error).splitlines()[0]}") from None


@dataclass(frozen=True, eq=False)
class Pairs:
    """The same rows in both audits, one line each, in the order of the new one."""

    matched: Matched
    old_places: NDArray[np.int64]
    """Every row that both hold; the first ``left_out`` of them are not used where all rows are meant."""
    new_places: NDArray[np.int64]
    old: Rows | None
    new: Rows | None
    """All rows of either audit."""

    @property
    def left_out(self) -> int:
        """Pairs that are not used where all rows are meant."""
        return self.matched.common - self.matched.used if self.matched.used else 0

    @property
    def any(self) -> bool:
        """Whether changes are measured on pairs."""
        return self.matched.used > 0


def paired(old: Rows | None, new: Rows | None, min_cell: int) -> Pairs:
    """Which rows are the same: by the digest of their cells, equal rows by occurrence, else by id.

    Where all but a few rows of one audit are in the other, as many pairs are left out as hide these few: their rate
    could else be had by subtraction.
    """
    nothing = np.empty(0, dtype=np.int64)

    def none(reason: str) -> Pairs:
        sizes = {name: None if rows is None else len(rows) for name, rows in (("old", old), ("new", new))}
        return Pairs(Matched(by="none", reason=reason, **sizes), nothing, nothing, old, new)

    if old is None or new is None:
        which = "either audit" if old is new else "the old audit" if old is None else "the new audit"
        return none(f"evidence/rows.parquet of {which} is not there, so its rows are not known")
    by = "content"
    a, b = _common(_occurrences(old.digest, new.digest))
    if old.ids is not None and new.ids is not None and len(a) < ENOUGH * min(len(old), len(new)):
        keys = [_unique(rows.ids) for rows in (old, new)]
        if keys[0] is not None and keys[1] is not None:
            c, d = _common((keys[0], keys[1]))
            if len(c) > len(a):
                by, a, b = "id", c, d
    common, smaller = len(a), min(len(old), len(new))
    sizes = {"old": len(old), "new": len(new), "common": common}
    if common < max(ENOUGH * smaller, LEAST) and not (common == len(old) == len(new)):
        hint = "" if common else "; data.id in both specs lets rows be recognised whose cells have changed"
        reason = (
            f"{common:,} of {smaller:,} rows are in both audits, too few to measure a change on them{hint}"
        )
        return Pairs(Matched(by="none", reason=reason, **sizes), nothing, nothing, old, new)
    drop = max(
        (min_cell - left for left in (len(old) - common, len(new) - common) if 0 < left < min_cell), default=0
    )
    left_out = (
        f"{drop} pairs are left out, so that the few rows in one audit alone cannot be told by subtraction"
    )
    matched = Matched.model_validate(
        {"by": by, "reason": left_out if drop else None, "used": common - drop, **sizes}
    )
    return Pairs(matched, a, b, old, new)


def _occurrences(old: NDArray[Any], new: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """A number for each row of both audits: equal where the cells are and the row comes as often before it."""
    _, codes = np.unique(np.concatenate([old, new]), return_inverse=True)
    keys = []
    for part in (codes[: len(old)], codes[len(old) :]):
        order = np.argsort(part, kind="stable")
        ordered = part[order]
        fresh = np.ones(len(part), dtype=bool)
        fresh[1:] = ordered[1:] != ordered[:-1]
        starts = np.flatnonzero(fresh)
        before = np.empty(len(part), dtype=np.int64)
        before[order] = np.arange(len(part)) - starts[np.cumsum(fresh) - 1] if len(part) else 0
        keys.append(part.astype(np.int64) * (len(codes) + 1) + before)
    return keys[0], keys[1]


def _common(keys: tuple[NDArray[Any], NDArray[Any]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    _, a, b = np.intersect1d(*keys, assume_unique=True, return_indices=True)
    order = np.argsort(b, kind="stable")
    return a[order].astype(np.int64), b[order].astype(np.int64)


def _unique(ids: NDArray[Any] | None) -> NDArray[Any] | None:
    """Ids as text; None where one is missing or comes twice."""
    if ids is None or any(one is None for one in ids):
        return None
    found = np.array([str(one) for one in ids])
    return found if len(np.unique(found)) == len(found) else None

"""The rows an audit rests on, read from evidence/rows.parquet and held to what audit.json says of them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xai_audit import digest
from xai_audit.verify import withheld
from xai_audit.verify.checks import Check
from xai_audit.withholding import RULE

if TYPE_CHECKING:
    import pyarrow as pa

    from xai_audit.audit import Audit
    from xai_audit.spec import Spec
    from xai_audit.verify.stated import Subject
    from xai_audit.withholding import Withholding

FILE = "evidence/rows.parquet"
Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Grouping:
    """Which group each row is in."""

    columns: tuple[str, ...]
    keys: tuple[dict[str, str], ...]
    codes: Codes
    missing: tuple[bool, ...]
    explanatory: bool = False

    @property
    def labels(self) -> tuple[str, ...]:
        """A printable name for each group."""
        return tuple(", ".join(key.values()) for key in self.keys)

    @property
    def counts(self) -> list[int]:
        """Rows in each group."""
        return [int(count) for count in np.bincount(self.codes, minlength=len(self.keys))]


@dataclass(frozen=True, eq=False)
class Table:
    """The test rows: class indices (-1 for no valid label) or numbers, scores, groups, weights and clusters."""

    n: int
    target: NDArray[Any] | None
    prediction: NDArray[Any]
    scores: Floats | None
    groupings: tuple[Grouping, ...]
    valid: Mask
    """Rows with a valid label; all where there are no labels."""
    weights: Floats | None = None
    clusters: Codes | None = None
    classes: tuple[str, ...] = ()
    """The words of class indices; none for numbers."""
    least: int = 10
    """Groups of fewer rows are not shown."""
    linked: bool = True
    """Whether all tables were protected together; each by itself in audits that were made before."""

    @property
    def plain(self) -> bool:
        """Whether every row counts alike and by itself."""
        return self.weights is None and self.clusters is None

    def true(self, index: int) -> Mask:
        """Rows whose label is a class."""
        return np.asarray(self.target == index, dtype=bool)

    def called(self, index: int) -> Mask:
        """Rows whose prediction is a class."""
        return np.asarray(self.prediction == index, dtype=bool)

    def withheld(self, grouping: Grouping) -> list[str]:
        """Why each group may not be shown, or ``""``."""
        if not self.linked:
            return withheld.apart(grouping.keys, grouping.counts, self.least)
        return [self._together.of(key) for key in grouping.keys]

    def listed(self, grouping: Grouping) -> list[int]:
        """The groups that are named at all; in earlier audits every one."""
        return [
            code for code, key in enumerate(grouping.keys) if not self.linked or self._together.listed(key)
        ]

    @cached_property
    def _together(self) -> Withholding:
        singles = [grouping for grouping in self.groupings if len(grouping.columns) == 1]
        levels = {
            one.columns[0]: [one.labels[code] for code in one.codes.tolist()] for one in singles
        }  # fmt: skip
        return withheld.together(
            levels,
            [grouping.columns for grouping in self.groupings],
            [one.columns[0] for one in singles if one.explanatory],
            list(zip(self._words(self.target), self._words(self.prediction), strict=True)),
            self.least,
        )

    def _words(self, codes: NDArray[Any] | None) -> list[str | None]:
        if codes is None or not self.classes:
            return [None] * self.n
        return [None if code < 0 else self.classes[code] for code in codes.tolist()]


class _MalformedError(Exception):
    """A column that is not what the format says."""


def read(audit: Audit, subject: Subject, spec: Spec, folder: Path) -> tuple[Table | None, list[Check]]:
    """The rows, and what does not hold about them; no rows where they cannot be read."""
    path = folder / FILE
    try:
        content = path.read_bytes()
    except OSError as error:
        return None, [Check("broken", FILE, f"cannot be read: {error.strerror or error}")]
    checks = []
    stated = audit.run.get("rows")
    if stated is not None and stated != digest.of_bytes(content):
        checks.append(
            Check("broken", FILE, f"its sha256 is {digest.of_bytes(content)}; audit.json says {stated}")
        )
    try:
        rows = _parquet(content)
        made = _table(rows, subject, spec)
        checks += [Check("broken", FILE, what) for what in _digests(rows, subject)]
    except (_MalformedError, ValueError, TypeError) as error:
        # Words that are no UTF-8 and numbers of no size surface only where they are used.
        return None, [*checks, Check("broken", FILE, " ".join(str(error).split())[:300])]
    return made, checks


def _parquet(content: bytes) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(io.BytesIO(content)).read(use_threads=False)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        text = " ".join(str(error).split())[:200]
        raise _MalformedError(f"is no Parquet file that can be read: {text}") from None


def _column(rows: pa.Table, name: str) -> pa.ChunkedArray:
    found = [place for place, one in enumerate(rows.column_names) if one == name]
    if len(found) != 1:
        raise _MalformedError(f"has {'no' if not found else 'more than one'} column {name!r}")
    return rows.column(found[0])


def _numbers(rows: pa.Table, name: str, *, gaps: bool = False) -> Floats:
    import pyarrow as pa

    column = _column(rows, name)
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        raise _MalformedError(f"{name} holds no numbers")
    found = np.asarray(column.to_numpy(), dtype=np.float64)
    if not gaps and not np.isfinite(found).all():
        raise _MalformedError(f"{name} holds a value that is missing or infinite")
    return found


def _codes(rows: pa.Table, name: str, labels: Sequence[str], *, gaps: bool = False) -> Codes:
    """The place of each cell among some labels, -1 for none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = _column(rows, name)
    if not (
        pa.types.is_string(column.type)
        or pa.types.is_large_string(column.type)
        or pa.types.is_null(column.type)
    ):
        raise _MalformedError(f"{name} holds no words")
    codes = pc.index_in(column.cast(pa.string()), value_set=pa.array(labels, pa.string()))
    strange = pc.and_(pc.is_null(codes), pc.is_valid(column))
    if pc.any(strange).as_py():
        first = column.filter(strange)[0].as_py()
        raise _MalformedError(f"{name} holds {first[:60]!r}, which audit.json does not name")
    if not gaps and column.null_count:
        raise _MalformedError(f"{name} has a row without a value")
    return np.asarray(pc.fill_null(codes, -1).to_numpy(), dtype=np.int64)


def _table(rows: pa.Table, subject: Subject, spec: Spec) -> Table:
    n, regression = rows.num_rows, subject.task == "regression"
    if not n:
        raise _MalformedError("holds no row")
    if not regression and not (
        len(set(subject.classes)) == len(subject.classes) > max(subject.positive, subject.favourable)
        and min(subject.positive, subject.favourable) >= 0
    ):
        raise _MalformedError(
            "cannot be read: the classes of audit.json do not name a positive and a favourable one"
        )
    target: NDArray[Any] | None = None
    if subject.labels:
        target = (
            _numbers(rows, "target", gaps=True)
            if regression
            else _codes(rows, "target", subject.classes, gaps=True)
        )
    elif "target" in rows.column_names:
        raise _MalformedError("has a column 'target', and audit.json says that there are no labels")
    valid = np.ones(n, dtype=bool) if target is None else np.isfinite(target) if regression else target >= 0
    weights, clusters = None, None
    if spec.data.weight is not None:
        weights = _numbers(rows, "weight")
        if (weights < 0).any() or not weights.any():
            raise _MalformedError("weight holds a negative number, or nothing above zero")
    if spec.data.cluster is not None:
        clusters = _numbers(rows, "cluster").astype(np.int64)
    return Table(
        n=n,
        target=target,
        prediction=_numbers(rows, "prediction")
        if regression
        else _codes(rows, "prediction", subject.classes),
        scores=_scores(rows, subject),
        groupings=_groupings(rows, subject, spec),
        valid=valid,
        weights=weights,
        clusters=clusters,
        classes=() if regression else subject.classes,
        least=spec.report.min_cell,
        linked=subject.withholding == RULE,
    )


def _scores(rows: pa.Table, subject: Subject) -> Floats | None:
    if not subject.scores:
        return None
    if subject.task == "regression" or "score" in rows.column_names:
        return _numbers(rows, "score")[:, None]
    return np.column_stack([_numbers(rows, f"score:{label}") for label in subject.classes])


def _groupings(rows: pa.Table, subject: Subject, spec: Spec) -> tuple[Grouping, ...]:
    stated = {grouping.columns: grouping for grouping in subject.groupings}
    singles = []
    for sensitive in spec.data.sensitive:
        name = sensitive.column
        said = stated.get((name,))
        if said is None or len(set(said.labels)) < len(said.labels) or len(said.missing) != len(said.labels):
            raise _MalformedError(f"cannot be read: audit.json does not name the groups of {name}")
        singles.append(
            Grouping(
                columns=(name,),
                keys=tuple({name: label} for label in said.labels),
                codes=_codes(rows, f"group:{name}", said.labels),
                missing=said.missing,
                explanatory=sensitive.explanatory,
            )
        )
    sizes = {"none": (), "pairs": (2,), "all": tuple(range(2, len(singles) + 1))}[spec.data.crossings]
    named = [
        sorted(parts, key=lambda part: part.columns)
        for size in sizes
        for parts in combinations(singles, size)
    ]
    return (*singles, *map(crossed, named))


def crossed(parts: Sequence[Grouping]) -> Grouping:
    """A crossing of groupings, with the combinations that occur."""
    rows = list(zip(*(part.codes.tolist() for part in parts), strict=True))
    seen = sorted(set(rows))
    place = {one: code for code, one in enumerate(seen)}
    keys, missing = [], []
    for one in seen:
        named = list(zip(parts, one, strict=True))
        keys.append({column: level for part, code in named for column, level in part.keys[code].items()})
        missing.append(any(part.missing[code] for part, code in named))
    return Grouping(
        columns=tuple(column for part in parts for column in part.columns),
        keys=tuple(keys),
        codes=np.array([place[one] for one in rows], dtype=np.int64),
        missing=tuple(missing),
    )


def _digests(rows: pa.Table, subject: Subject) -> Iterator[str]:
    """Whether the rows are those of the data that audit.json names, in the order of their content."""
    said = subject.data.get("test")
    if said is None:
        raise _MalformedError("cannot be held to audit.json, which names no test data")
    if said.rows != rows.num_rows:
        yield f"holds {rows.num_rows:,} rows; audit.json says {said.rows:,}"
    if _numbers(rows, "row").tolist() != list(range(rows.num_rows)):
        yield "its rows are not numbered 0, 1, 2, ..."
    try:
        found = [bytes.fromhex(one) for one in _column(rows, "digest").to_pylist()]
    except (TypeError, ValueError):
        raise _MalformedError("digest holds what is no sha256") from None
    if any(after < before for before, after in pairwise(found)):
        yield "its rows are not in the order of their digests"
    whole = digest.of_bytes(b"".join(found))
    if whole != said.sha256:
        yield f"the digest over its rows is {whole}; audit.json says {said.sha256}"

"""A table as it was read, and the type of each column, decided over all tables together.

Text files have no types: a column is numeric, boolean or a date where every cell of every table reads so, else
it is text. Typed files keep theirs. Missing cells are empty ones and, in text files, the words pandas.read_csv
takes for missing; the loader notes where it met one that was not empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["number", "boolean", "date", "text"]
_KINDS: tuple[Kind, ...] = ("number", "boolean", "date", "text")

MISSING = frozenset(
    ["", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A"]
    + ["NA", "NULL", "NaN", "None", "n/a", "nan", "null"]
)
"""The words that are missing values in a text file: those of pandas.read_csv, which most models were trained by."""

_NUMBER = r"(?i)^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$|^\s*[+-]?inf(inity)?\s*$"
_INTEGER = r"^\s*[+-]?\d+\s*$"
_BOOLEAN = r"(?i)^(true|false)$"
_DATE = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?)?$"
_COMMA = r"^\s*[+-]?\d+,\d+\s*$"
DAY = 86_400_000_000
"""Microseconds in a day."""


def numbered(row: int) -> int:
    """Data rows counted from 1, for files without lines."""
    return row + 1


@dataclass(frozen=True, eq=False)
class Cells:
    """One table as read: Arrow arrays by column name, rows in the file's order."""

    path: str
    """As the spec says it."""
    sha256: str
    columns: Mapping[str, Any]
    untyped: bool = False
    """Whether every cell is text whose type is still to be decided."""
    line: Callable[[int], int] = numbered
    """Where a row stands in the file, counted as a person would."""
    matrix: bool = False
    """Whether the columns have an order of their own that is not a matter of the file's layout."""
    notes: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.columns.values()))) if self.columns else 0


@dataclass(frozen=True, eq=False)
class Typed:
    """A column of one table in its decided type."""

    kind: Kind
    data: NDArray[Any]
    """Numbers (int64 or float64 with NaN), booleans (int64 0, 1, -1 missing), dates (int64 microseconds, the least
    int64 missing) or text (int64 indices into levels, -1 missing)."""
    levels: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """How many rows there are."""
        return len(self.data)

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Which rows have no value."""
        if self.kind == "number":
            return (
                np.isnan(self.data) if self.data.dtype.kind == "f" else np.zeros(len(self.data), bool)
            )
        if self.kind == "date":
            return np.asarray(self.data == np.iinfo(np.int64).min)
        return np.asarray(self.data < 0)

    def text(self, row: int) -> str:
        """One cell as a person would write it."""
        if self.missing[row]:
            return ""
        return str(words(self.take(np.array([row])))[0])

    def take(self, rows: NDArray[Any]) -> Typed:
        """These rows."""
        return Typed(self.kind, self.data[rows], self.levels)


@dataclass(frozen=True)
class Mixed:
    """Two cells of one column that cannot be of one type."""

    column: str
    path: str
    row: int
    value: str
    other_path: str
    other_row: int
    other: str
    comma: bool = False
    """Whether the numbers are written with a decimal comma."""


@dataclass(frozen=True, eq=False)
class Column:
    """A column over all tables that have it."""

    name: str
    kind: Kind
    tables: Mapping[int, Typed]
    mixed: Mixed | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Scan:
    possible: frozenset[Kind]
    empty: bool
    uniques: Any
    codes: Any
    numeric: NDArray[np.bool_]
    """For each unique: whether it reads as a number."""
    absent: NDArray[np.bool_]
    comma: bool = False
    markers: int = 0
    marker: str = ""
    typed: bool = False
    padded: bool = False
    """Whether a number is written with leading zeros, as postcodes are."""


def words(column: Typed) -> NDArray[np.object_]:
    """The cells as words: ``1`` for 1 and 1.0, ``true`` for True, ISO dates; None where missing."""
    if column.kind == "text":
        table = np.array([*column.levels, None], dtype=object)
        return table[column.data]
    if column.kind == "boolean":
        return np.array(["false", "true", None], dtype=object)[column.data]
    uniques, codes = np.unique(column.data, return_inverse=True)
    if column.kind == "date":
        table = [None if value == np.iinfo(np.int64).min else _iso(int(value)) for value in uniques]
    else:
        table = [None if value != value else number_word(value) for value in uniques]  # noqa: PLR0124
    return np.array([*table, None], dtype=object)[codes]


def distinct(column: Typed) -> list[str]:
    """The words that occur, each once; missing left out."""
    return [
        str(word)
        for word in words(column.take(np.unique(column.data, return_index=True)[1]))
        if word is not None
    ]


def number_word(value: Any) -> str:
    """A number as a person writes it: no decimals where it is whole."""
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    number = float(value)
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)


def _iso(microseconds: int) -> str:
    moment = np.datetime64(microseconds, "us")
    return (
        str(moment.astype("datetime64[D]"))
        if microseconds % DAY == 0
        else str(moment).removesuffix(".000000")
    )


def decide(name: str, tables: Sequence[Cells], *, text: bool = False) -> Column:
    """The type of a column over the tables that have it, and its cells in that type.

    ``text`` keeps the words of a text file as they are. Where cells cannot be of one type the column is text
    and ``mixed`` names two of them.
    """
    scans = {
        index: _scan(table.columns[name], untyped=table.untyped)
        for index, table in enumerate(tables)
        if name in table.columns
    }
    full = [scan for scan in scans.values() if not scan.empty]
    possible = frozenset.intersection(*(scan.possible for scan in full)) if full else frozenset(("number",))
    kind = next((kind for kind in _KINDS if kind in possible), "text")
    if text and full and all(not scan.typed or "text" in scan.possible for scan in scans.values()):
        kind = "text"
    mixed = _mixed(name, tables, scans) if kind == "text" and not text else None
    notes = tuple(
        f"{tables[index].path}, column {name!r}: {scan.markers:,} cells that read {scan.marker!r} or the like "
        "count as missing"
        for index, scan in scans.items()
        if scan.markers
    )
    if kind == "text":
        typed = _texts(tables, name, scans)
    else:
        typed = {index: _as(kind, tables[index].columns[name], scan) for index, scan in scans.items()}
        if kind == "number" and len({column.data.dtype for column in typed.values()}) > 1:
            typed = {index: Typed(kind, column.data.astype(np.float64)) for index, column in typed.items()}
    return Column(name, kind, typed, mixed, notes)


def padded(name: str, tables: Sequence[Cells]) -> bool:
    """Whether a text file writes this column's numbers with leading zeros, so that they are names."""
    return any(
        _scan(table.columns[name], untyped=True).padded
        for table in tables
        if table.untyped and name in table.columns
    )


def _scan(array: Any, *, untyped: bool) -> _Scan:
    import pyarrow as pa
    import pyarrow.compute as pc

    none = np.zeros(0, bool)
    if not untyped:
        kinds: frozenset[Kind]
        kind = typed_kind(array.type)
        empty = array.null_count == len(array)
        kinds = frozenset([kind]) if kind is not None else frozenset(_KINDS)
        return _Scan(kinds, empty or kind is None, None, None, none, none, typed=True)
    encoded = array.dictionary_encode()
    uniques, codes = encoded.dictionary, encoded.indices
    absent = _flags(pc.is_in(uniques, value_set=pa.array(sorted(MISSING))))
    marked = (
        np.bincount(codes.to_numpy(zero_copy_only=False), minlength=len(uniques))
        if len(uniques)
        else np.zeros(0, int)
    )
    strange = absent & ~_flags(pc.equal(uniques, ""))
    words_ = dict(
        markers=int(marked[strange].sum()),
        marker=str(uniques[int(np.argmax(strange))]) if strange.any() else "",
    )
    numeric = _flags(pc.match_substring_regex(uniques, _NUMBER))
    real = ~absent
    possible: set[Kind] = {"text"}
    comma = False
    if numeric[real].all():
        possible.add("number")
    elif real.any():
        for kind, pattern in (("boolean", _BOOLEAN), ("date", _DATE)):
            if _flags(pc.match_substring_regex(uniques, pattern))[real].all():
                possible.add(kind)  # type: ignore[arg-type]
        if "date" in possible and not _dates_exist(uniques, real):
            possible.discard("date")
        comma = bool((numeric | _flags(pc.match_substring_regex(uniques, _COMMA)))[real].all())
    zeros = bool((_flags(pc.match_substring_regex(uniques, r"^0\d")) & real).any())
    return _Scan(
        frozenset(possible if real.any() else _KINDS),
        not real.any(),
        uniques,
        codes,
        numeric,
        absent,
        comma,
        padded=zeros,
        **words_,
    )  # type: ignore[arg-type]


def typed_kind(type_: Any) -> Kind | None:
    """What an Arrow type is here; None for a column of nulls; TypeError for nested and binary types."""
    import pyarrow.types as at

    if at.is_dictionary(type_):
        type_ = type_.value_type
    if at.is_null(type_):
        return None
    if at.is_boolean(type_):
        return "boolean"
    if at.is_integer(type_) or at.is_floating(type_) or at.is_decimal(type_):
        return "number"
    if at.is_string(type_) or at.is_large_string(type_) or at.is_string_view(type_):
        return "text"
    if at.is_date(type_) or at.is_timestamp(type_):
        return "date"
    raise TypeError(str(type_))


def _flags(array: Any) -> NDArray[np.bool_]:
    return np.asarray(array.to_numpy(zero_copy_only=False), dtype=bool)


def _dates_exist(uniques: Any, real: NDArray[np.bool_]) -> bool:
    try:
        _moments([value for value, use in zip(uniques.to_pylist(), real, strict=True) if use])
    except ValueError:
        return False
    return True


def _moments(texts: Sequence[str]) -> NDArray[np.int64]:
    import pandas as pd

    moments = pd.to_datetime(pd.Series(list(texts), dtype=object), format="ISO8601", utc=True)
    return moments.dt.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64)


def _as(kind: Kind, array: Any, scan: _Scan) -> Typed:
    import pyarrow as pa
    import pyarrow.compute as pc

    if scan.typed:
        return _typed_as(kind, array)
    codes = scan.codes.to_numpy(zero_copy_only=False)
    if kind == "boolean":
        table = np.where(
            scan.absent, -1, _flags(pc.equal(pc.utf8_lower(scan.uniques), "true")).astype(np.int64)
        )
    elif kind == "date":
        table = np.full(len(scan.uniques), np.iinfo(np.int64).min)
        if not scan.empty:
            table[~scan.absent] = _moments(
                [str(value) for value in scan.uniques.filter(pa.array(~scan.absent))]
            )
    else:
        table = _numbers(scan)
    return Typed(kind, table[codes] if len(table) else table)


def _numbers(scan: _Scan) -> NDArray[Any]:
    """Numbers for each unique word; int64 where all are whole and none is missing, else float64."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kept = scan.uniques.filter(pa.array(~scan.absent))
    plain = pc.replace_substring_regex(pc.utf8_trim_whitespace(kept), r"^\+", "")
    if not scan.absent.any() and len(kept) and _flags(pc.match_substring_regex(kept, _INTEGER)).all():
        try:
            return np.asarray(pc.cast(plain, pa.int64()).to_numpy(zero_copy_only=False))
        except pa.ArrowInvalid:
            pass  # beyond 64 bits: the nearest float, as every model would take it
    table = np.full(len(scan.uniques), np.nan)
    try:
        table[~scan.absent] = pc.cast(plain, pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        table[~scan.absent] = [float(word) for word in plain.to_pylist()]
    return table


def _typed_as(kind: Kind, array: Any) -> Typed:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as at

    if at.is_dictionary(array.type):
        array = array.dictionary_decode()
    if kind == "boolean":
        return Typed(kind, pc.fill_null(pc.cast(array, pa.int64()), -1).to_numpy(zero_copy_only=False))
    if kind == "date":
        moments = array if at.is_timestamp(array.type) else pc.cast(array, pa.timestamp("us"))
        moments = pc.cast(moments, pa.timestamp("us", tz=moments.type.tz), safe=False)
        whole = pc.fill_null(pc.cast(moments, pa.int64()), np.iinfo(np.int64).min)
        return Typed(kind, np.asarray(whole.to_numpy(zero_copy_only=False), dtype=np.int64))
    if at.is_integer(array.type) and array.null_count == 0:
        try:
            return Typed(kind, np.array(pc.cast(array, pa.int64()).to_numpy(zero_copy_only=False)))
        except pa.ArrowInvalid:
            pass  # unsigned, beyond 63 bits: the nearest float
    numbers = pc.cast(array, pa.float64(), safe=False)
    return Typed(kind, np.array(numbers.to_numpy(zero_copy_only=False), dtype=np.float64))


def _texts(tables: Sequence[Cells], name: str, scans: Mapping[int, _Scan]) -> dict[int, Typed]:
    """Text in every table, over one sorted list of levels."""
    found = {}
    for index, scan in scans.items():
        if scan.typed:
            found[index] = _typed_words(tables[index].columns[name])
        else:
            codes = scan.codes.to_numpy(zero_copy_only=False)
            found[index] = (
                [
                    None if gone else word
                    for word, gone in zip(scan.uniques.to_pylist(), scan.absent, strict=True)
                ],
                codes,
            )
    levels = sorted({word for uniques, _ in found.values() for word in uniques if word is not None})
    place = {word: code for code, word in enumerate(levels)}
    typed = {}
    for index, (uniques, codes) in found.items():
        table = np.array([-1 if word is None else place[word] for word in uniques] + [-1], dtype=np.int64)
        typed[index] = Typed("text", table[codes], tuple(levels))
    return typed


def _typed_words(array: Any) -> tuple[list[str | None], NDArray[np.int64]]:
    import pyarrow.compute as pc
    import pyarrow.types as at

    kind = typed_kind(array.type)
    if kind is None:
        return [], np.full(len(array), -1, dtype=np.int64)
    if kind != "text":
        cells = words(_typed_as(kind, array))
        uniques = sorted({word for word in cells if word is not None})
        place = {word: code for code, word in enumerate(uniques)}
        return list(uniques), np.array([place.get(word, -1) for word in cells], dtype=np.int64)
    encoded = array if at.is_dictionary(array.type) else array.dictionary_encode()
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return list(encoded.dictionary.to_pylist()), codes


def _mixed(name: str, tables: Sequence[Cells], scans: Mapping[int, _Scan]) -> Mixed | None:
    """The first cell of the rarer type and the first of the other, where numbers and words share a column."""
    numbers: list[tuple[int, int, str]] = []
    others: list[tuple[int, int, str]] = []
    counts = [0, 0]
    for index, scan in scans.items():
        if scan.empty:
            continue
        for numeric, places in ((True, numbers), (False, others)):
            rows = _rows_of(tables[index].columns[name], scan, numeric=numeric)
            counts[numeric] += len(rows)
            if len(rows) and not places:
                row = int(rows[0])
                places.append((index, row, str(tables[index].columns[name][row])))
    if not numbers or not others:
        return None
    rare, usual = (others, numbers) if counts[0] <= counts[1] else (numbers, others)
    (index, row, value), (other_index, other_row, other) = rare[0], usual[0]
    comma = all(scan.comma for scan in scans.values() if not scan.typed and not scan.empty)
    first, second = tables[index], tables[other_index]
    return Mixed(name, first.path, first.line(row), value, second.path, second.line(other_row), other, comma)


def _rows_of(array: Any, scan: _Scan, *, numeric: bool) -> NDArray[Any]:
    if scan.typed:
        kept = _flags(array.is_valid())
        return np.flatnonzero(kept & (("number" in scan.possible) == numeric))
    wanted = ~scan.absent & (scan.numeric == numeric)
    return np.flatnonzero(wanted[scan.codes.to_numpy(zero_copy_only=False)])


def comma_column(name: str, table: Cells) -> bool:
    """Whether all numbers of a text file's column are written with a decimal comma."""
    scan = _scan(table.columns[name], untyped=True) if table.untyped and name in table.columns else None
    return scan is not None and scan.comma and not scan.empty and "number" not in scan.possible


@dataclass
class Decided:
    """Columns decided so far, so that no column is scanned twice."""

    tables: Sequence[Cells]
    known: dict[str, Column] = field(default_factory=dict)

    def column(self, name: str, *, text: bool = False) -> Column:
        """The column of that name; the first asking decides whether it is kept as text."""
        if name not in self.known:
            self.known[name] = decide(name, self.tables, text=text)
        return self.known[name]

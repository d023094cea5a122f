"""The type of each column, decided over all tables together.

Text files have no types: a column is numeric, boolean or a date where every cell of every table reads so,
else it is text. Typed files keep theirs. Missing cells are empty ones and, in text files, the words that
pandas.read_csv takes for missing; where such a word was met, a note says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.loaders.cells import GONE, Cells, Column, Kind, Mixed, Typed, words

_KINDS: tuple[Kind, ...] = ("number", "boolean", "date", "text")

MISSING = frozenset(
    (
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"),
        *("N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    )
)
"""The words that are missing values in a text file: those of pandas.read_csv, which fed most models."""

_NUMBER = r"(?i)^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$|^\s*[+-]?inf(inity)?\s*$"
_INTEGER = r"^\s*[+-]?\d+\s*$"
_BOOLEAN = r"(?i)^(true|false)$"
_DATE = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?)?$"
_COMMA = r"^\s*[+-]?\d+,\d+\s*$"
_LEADING_ZERO = r"^0\d"


@dataclass(frozen=True, kw_only=True, eq=False)
class _Scan:
    """What the cells of one column of one table may be."""

    possible: frozenset[Kind]
    empty: bool
    typed: bool = False
    uniques: Any = None
    codes: Any = None
    look: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """For each unique: whether it reads as a word (0), a number (1) or a date (2)."""
    absent: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    comma: bool = False
    markers: int = 0
    """Cells with a word for missing."""
    marker: str = ""
    padded: bool = False
    """Whether a number is written with leading zeros, as postcodes are."""


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
    kind: Kind = next((kind for kind in _KINDS if kind in possible), "text")
    if text and full and all(not scan.typed or "text" in scan.possible for scan in scans.values()):
        kind = "text"
    mixed = _mixed(name, tables, scans) if kind == "text" and not text else None
    notes = tuple(
        f"{tables[index].path}, column {name!r}: {scan.markers:,} cells that read {scan.marker!r} or alike "
        "count as missing"
        for index, scan in scans.items()
        if scan.markers
    )
    if kind == "text":
        return Column(name, kind, _texts(tables, name, scans), mixed, notes)
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

    if not untyped:
        known = typed_kind(array.type)
        kinds = frozenset(_KINDS if known is None else (known,))
        return _Scan(possible=kinds, empty=known is None or array.null_count == len(array), typed=True)
    encoded = array.dictionary_encode()
    uniques = encoded.dictionary
    absent = _flags(pc.is_in(uniques, value_set=pa.array(sorted(MISSING))))
    real = ~absent
    counts = np.bincount(encoded.indices.to_numpy(zero_copy_only=False), minlength=len(uniques))
    strange = absent & ~_flags(pc.equal(uniques, ""))
    number = _matching(uniques, _NUMBER)
    date = np.zeros(len(uniques), bool) if number[real].all() else _matching(uniques, _DATE)
    possible: set[Kind] = {"text"} if real.any() else set(_KINDS)
    if number[real].all():
        possible.add("number")
    elif _matching(uniques, _BOOLEAN)[real].all():
        possible.add("boolean")
    elif date[real].all() and _exist(uniques, real):
        possible.add("date")
    return _Scan(
        possible=frozenset(possible),
        empty=not real.any(),
        uniques=uniques,
        codes=encoded.indices,
        look=np.where(number, 1, np.where(date, 2, 0)),
        absent=absent,
        comma=bool((number | _matching(uniques, _COMMA))[real].all() and not number[real].all()),
        markers=int(counts[strange].sum()),
        marker=str(uniques[int(np.argmax(strange))]) if strange.any() else "",
        padded=bool((_matching(uniques, _LEADING_ZERO) & real).any()),
    )


def _matching(uniques: Any, pattern: str) -> NDArray[np.bool_]:
    import pyarrow.compute as pc

    return _flags(pc.match_substring_regex(uniques, pattern))


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


def _exist(uniques: Any, real: NDArray[np.bool_]) -> bool:
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
        table = np.full(len(scan.uniques), GONE)
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
        whole = pc.fill_null(pc.cast(moments, pa.int64()), GONE)
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
    """The first cell of the rarest look and the first of the commonest, where cells look of several types."""
    firsts: dict[int, tuple[int, int]] = {}
    counts: dict[int, int] = {}
    for index, scan in scans.items():
        for look, rows in _looks(tables[index].columns[name], scan).items():
            counts[look] = counts.get(look, 0) + len(rows)
            firsts.setdefault(look, (index, int(rows[0])))
    if len(counts) < 2:
        return None
    rare = min(counts, key=lambda look: (counts[look], look))
    usual = max(counts, key=lambda look: (counts[look], -look))
    places = []
    for look in (rare, usual):
        index, row = firsts[look]
        table = tables[index]
        places.append((table.path, table.line(row), str(table.columns[name][row])))
    return Mixed(name, places[0], places[1])


def _looks(array: Any, scan: _Scan) -> dict[int, NDArray[np.int64]]:
    """The rows of each look that occurs in one table."""
    if scan.empty:
        return {}
    if scan.typed:
        look = {"number": 1, "date": 2}.get(next(iter(scan.possible)), 0)
        return {look: np.flatnonzero(_flags(array.is_valid()))}
    codes = scan.codes.to_numpy(zero_copy_only=False)
    found = {look: np.flatnonzero((~scan.absent & (scan.look == look))[codes]) for look in range(3)}
    return {look: rows for look, rows in found.items() if len(rows)}


def comma_column(name: str, table: Cells) -> bool:
    """Whether numbers of a text file's column are written with a decimal comma."""
    return table.untyped and name in table.columns and _scan(table.columns[name], untyped=True).comma


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

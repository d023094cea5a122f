"""A table as it was read, and a column of it in its decided type."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["number", "boolean", "date", "text"]

DAY = 86_400_000_000
"""Microseconds in a day."""
GONE = int(np.iinfo(np.int64).min)
"""The date that is missing."""


def numbered(row: int) -> int:
    """Data rows counted from 1, for files without lines."""
    return row + 1


@dataclass(frozen=True, eq=False)
class Medium:
    """What each row is as a whole, where a model reads no columns: a picture, or a text."""

    name: str
    """What the one column of the frame is called: ``image``, or the text column."""
    kind: Literal["image", "text"]
    cells: NDArray[np.object_]
    """uint8 arrays of shape (height, width, channels), or str, in the file's order."""
    missing: int = 0
    """Texts that are not there; they are empty."""
    address: str | None = None
    """The column that says where a picture lies, which is no content."""
    by_folder: bool = False
    """Whether a picture's class is the folder it lies in."""

    @cached_property
    def digests(self) -> NDArray[np.bytes_]:
        """The sha256 of each picture's shape and pixels, or of each text's UTF-8, of dtype S32."""
        found = b"".join(map(digest_of, self.cells))
        return np.frombuffer(found, dtype="S32")


def digest_of(cell: NDArray[np.uint8] | str) -> bytes:
    """The sha256 of a picture's shape and pixels, or of a text."""
    if isinstance(cell, str):
        return hashlib.sha256(cell.encode("utf-8", "surrogatepass")).digest()
    shape = "x".join(map(str, cell.shape))
    return hashlib.sha256(f"{shape}:".encode() + np.ascontiguousarray(cell).tobytes()).digest()


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
    """Where a row stands in the file: its line in a text file, else its number from 1."""
    matrix: bool = False
    """Whether the columns have an order of their own that is not a matter of the file's layout."""
    notes: tuple[str, ...] = ()
    medium: Medium | None = None
    """Pictures or texts, beside which the columns are metadata."""
    source: str = ""
    """As the spec says it, where the cells come from another file than the pictures."""

    @property
    def n(self) -> int:
        """How many rows there are."""
        if self.medium is not None:
            return len(self.medium.cells)
        return len(next(iter(self.columns.values()))) if self.columns else 0

    @property
    def modality(self) -> Literal["table", "image", "text"]:
        """What a row is for the model."""
        return "table" if self.medium is None else self.medium.kind


@dataclass(frozen=True, eq=False)
class Typed:
    """A column of one table in its decided type."""

    kind: Kind
    data: NDArray[Any]
    """Numbers are int64, or float64 with NaN; all else is int64: booleans 0, 1 and -1 for missing, dates as
    microseconds since 1970 and GONE for missing, text as indices into levels and -1 for missing."""
    levels: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """How many rows there are."""
        return len(self.data)

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Which rows have no value."""
        if self.kind == "number":
            return np.isnan(self.data) if self.data.dtype.kind == "f" else np.zeros(self.n, dtype=bool)
        if self.kind == "date":
            return np.asarray(self.data == GONE)
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
    """Two cells of one column that cannot be of one type: path, place in it, and word of each."""

    column: str
    rare: tuple[str, int, str]
    usual: tuple[str, int, str]


@dataclass(frozen=True, eq=False)
class Column:
    """A column over all tables that have it."""

    name: str
    kind: Kind
    tables: Mapping[int, Typed]
    mixed: Mixed | None = None
    notes: tuple[str, ...] = ()


def words(column: Typed) -> NDArray[np.object_]:
    """The cells as words: ``1`` for 1 and 1.0, ``true`` for True, ISO dates; None where missing."""
    table: list[str | None]
    if column.kind == "text":
        table, codes = list(column.levels), column.data
    elif column.kind == "boolean":
        table, codes = ["false", "true"], column.data
    else:
        uniques, codes = np.unique(column.data, return_inverse=True)
        gone = Typed(column.kind, uniques).missing
        word = iso if column.kind == "date" else number_word
        table = [None if none else word(value) for none, value in zip(gone, uniques, strict=True)]
    # The last entry is what an index of -1 finds.
    found: NDArray[np.object_] = np.array([*table, None], dtype=object)[codes]
    return found


def distinct(column: Typed) -> list[str]:
    """The words that occur, each once; missing left out."""
    firsts = np.unique(column.data, return_index=True)[1]
    return [str(word) for word in words(column.take(firsts)) if word is not None]


def number_word(value: Any) -> str:
    """A number as a person writes it: no decimals where it is whole."""
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    number = float(value)
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)


def iso(microseconds: Any) -> str:
    """A moment as the shortest ISO text: ``2024-02-29`` or ``2024-02-29 13:05:00``."""
    moment = np.datetime64(int(microseconds), "us")
    if int(microseconds) % DAY == 0:
        return str(moment.astype("datetime64[D]"))
    return str(moment).replace("T", " ").removesuffix(".000000")

"""Texts a model reads as a whole: one column of a table, kept letter by letter, or a file with one text a line."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.errors import SpecError
from xai_audit.loaders.cells import Cells, Medium
from xai_audit.loaders.mistakes import shown, suggestion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xai_audit.loaders.mistakes import Mistakes

NAME = "text"
"""What the column of a file of lines is called."""


def of_column(cells: Cells, name: str, key: str, mistakes: Mistakes) -> Cells:
    """The table with one column as the text the model reads, exactly as the file holds it.

    Nothing in it is taken for a number, a date or a missing value; a cell with nothing in it is an empty text,
    counted and said. SpecError where there is no such column or it holds no text.
    """
    import pyarrow as pa

    column = cells.columns.get(name)
    if column is None:
        mistakes.at(key, f"no column named {shown(name)} in {cells.path}{suggestion(name, cells.columns)}")
        raise SpecError(mistakes.told())
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not pa.types.is_string(column.type) and not pa.types.is_null(column.type):
        mistakes.cell(cells.path, None, name, f"a column of {column.type}; text is asked", kind="type")
        raise SpecError(mistakes.told())
    found: list[str | None] = column.to_pylist()
    # A text file cannot tell an empty text from none.
    missing = sum(not cell if cells.untyped else cell is None for cell in found)
    if not any(found):
        mistakes.cell(cells.path, None, name, "every text is empty", kind="empty")
        raise SpecError(mistakes.told())
    rest = {other: array for other, array in cells.columns.items() if other != name}
    notes = (
        (f"{cells.path}, column {name!r}: {missing:,} rows have no text; the model is given an empty one",)
        if missing
        else ()
    )
    medium = Medium(name, "text", array([cell or "" for cell in found]), missing=missing)
    return replace(cells, columns=rest, medium=medium, notes=(*cells.notes, *notes), matrix=False)


def read(data: bytes, path: str, sha256: str, mistakes: Mistakes) -> Cells:
    """A file of UTF-8 text as one text a line; blank lines are left out and counted."""
    try:
        whole = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        mistakes.cell(path, line, None, what, kind="encoding")
        raise SpecError(mistakes.told()) from None
    if (place := whole.find("\0")) >= 0:
        what = "a NUL byte, which no text has"
        mistakes.cell(path, whole.count("\n", 0, place) + 1, None, what, kind="nul")
        raise SpecError(mistakes.told())
    lines = [line.removesuffix("\r") for line in whole.split("\n")]
    kept = [place for place, line in enumerate(lines) if line.strip()]
    if not kept:
        mistakes.file(path, "no line holds a text; at least one is asked")
        raise SpecError(mistakes.told())
    # The line end of the last text begins no line of its own.
    blank = len(lines) - len(kept) - (not lines[-1])
    notes = (f"{path}: {blank:,} blank lines are left out",) if blank else ()
    medium = Medium(NAME, "text", array([lines[place] for place in kept]))
    return Cells(path, sha256, {}, line=lambda row: kept[row] + 1, notes=notes, medium=medium)


def array(texts: Sequence[str]) -> Any:
    """Texts as an array of objects."""
    cells = np.empty(len(texts), dtype=object)
    cells[:] = texts
    return cells

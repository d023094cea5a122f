"""CSV: UTF-8 text with a header, separated by comma, semicolon or tab; every fault is told by its line."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from xai_audit.errors import SpecError
from xai_audit.loaders.cells import Cells

if TYPE_CHECKING:
    from xai_audit.loaders.mistakes import Mistakes

_DELIMITERS = ",;\t"
_SAMPLE = 20
"""Records that decide the separator."""
_FIELD = 1 << 27
"""Characters in one cell beyond which Python's reader gives up; its own default, 128 KiB, is too few."""


def read(data: bytes, path: str, sha256: str, mistakes: Mistakes) -> Cells:
    """The table of a CSV file, every cell still text; SpecError names what is wrong by line."""
    text = _text_bytes(data, path, mistakes)
    delimiter = _delimiter(text)
    names = _names(text, delimiter, path, mistakes)
    table = _parsed(text, delimiter, names, path, mistakes)
    columns = {name: table.column(name).combine_chunks() for name in names}
    return Cells(path, sha256, columns, untyped=True, line=_lines(text, delimiter))


def _text_bytes(data: bytes, path: str, mistakes: Mistakes) -> bytes:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        mistakes.file(path, "written in UTF-16; save it as UTF-8")
        raise SpecError(mistakes.told())
    text = data.removeprefix(b"\xef\xbb\xbf")
    if not text.strip():
        mistakes.file(path, "the file is empty; a header and at least one row are asked")
    elif (place := text.find(b"\0")) >= 0:
        line = text.count(b"\n", 0, place) + 1
        mistakes.cell(path, line, None, "a NUL byte, which no text has; is this a CSV file?", kind="nul")
    else:
        try:
            text.decode("utf-8")
        except UnicodeDecodeError as error:
            line = text.count(b"\n", 0, error.start) + 1
            what = (
                f"byte 0x{text[error.start]:02x} is not UTF-8; save the file as UTF-8 "
                f"(for Latin-1: iconv -f LATIN1 -t UTF-8 {path} > new.csv)"
            )
            mistakes.cell(path, line, None, what, kind="encoding")
    mistakes.check()
    # Old Macintosh line ends are none for a person and one for Arrow; both readers see the same file.
    return text if b"\r" not in text or b"\n" in text else text.replace(b"\r", b"\n")


def _reader(text: bytes, delimiter: str) -> Any:
    csv.field_size_limit(max(csv.field_size_limit(), _FIELD))
    stream = io.TextIOWrapper(io.BytesIO(text), encoding="utf-8", newline="")
    return csv.reader(stream, delimiter=delimiter)


def _delimiter(text: bytes) -> str:
    """The separator under which the first records have equally many cells, the most cells if several do."""
    best, score = ",", (False, 1)
    for delimiter in _DELIMITERS:
        widths = []
        try:
            for record in _reader(text, delimiter):
                if record:
                    widths.append(len(record))
                if len(widths) == _SAMPLE:
                    break
        except csv.Error:
            continue
        if widths and widths[0] > 1 and (len(set(widths)) == 1, widths[0]) > score:
            best, score = delimiter, (len(set(widths)) == 1, widths[0])
    return best


def _names(text: bytes, delimiter: str, path: str, mistakes: Mistakes) -> list[str]:
    try:
        names: list[str] = next((record for record in _reader(text, delimiter) if record), [])
    except csv.Error as error:
        mistakes.cell(path, 1, None, f"the header cannot be read: {error}", kind="header")
        raise SpecError(mistakes.told()) from None
    check_names(names, path, mistakes)
    return names


def check_names(names: list[str], path: str, mistakes: Mistakes) -> None:
    """Raise SpecError where a column has no name or two share one."""
    for position, name in enumerate(names, 1):
        if not name.strip():
            what = f"column {position} has no name; name it, or write the file without the index column"
            mistakes.cell(path, 1, None, what, kind="name")
    for name, count in Counter(names).items():
        if count > 1 and name.strip():
            places = [str(position) for position, other in enumerate(names, 1) if other == name]
            what = f"columns {', '.join(places[:-1])} and {places[-1]} share this name; rename all but one"
            mistakes.cell(path, 1, name, what, kind="name")
    mistakes.check()


def _parsed(text: bytes, delimiter: str, names: list[str], path: str, mistakes: Mistakes) -> Any:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    try:
        table = arrow_csv.read_csv(
            io.BytesIO(text),
            read_options=arrow_csv.ReadOptions(
                use_threads=False, block_size=max(1 << 20, min(len(text) + 1, 1 << 28))
            ),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False, check_utf8=True
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        _ragged(text, delimiter, len(names), path, mistakes)
        mistakes.check()
        mistakes.file(path, f"cannot be read as CSV: {str(error).splitlines()[0][:200]}")
        raise SpecError(mistakes.told()) from None
    if table.num_rows == 0:
        mistakes.file(path, "there is a header and no row; at least one row is asked")
    elif table.column_names != names:
        mistakes.cell(path, 1, None, "the header cannot be read: its quotes do not pair up", kind="header")
    mistakes.check()
    return table


def _ragged(text: bytes, delimiter: str, width: int, path: str, mistakes: Mistakes) -> None:
    reader = _reader(text, delimiter)
    start = 1
    try:
        for record in reader:
            if record and len(record) != width:
                cells = f"{len(record)} cell{'s' if len(record) != 1 else ''}"
                mistakes.cell(path, start, None, f"{cells} where the header has {width}", kind="ragged")
            start = reader.line_num + 1
    except csv.Error as error:
        mistakes.cell(path, start, None, f"cannot be read as CSV: {error}", kind="csv")


def _lines(text: bytes, delimiter: str) -> Callable[[int], int]:
    """A row's line in the file; counted only when a mistake needs it, as cells may hold line ends."""

    @cache
    def starts() -> list[int]:
        reader = _reader(text, delimiter)
        found, start = [], 1
        try:
            for record in reader:
                if record:
                    found.append(start)
                start = reader.line_num + 1
        except csv.Error:
            pass  # what Arrow could read and this reader cannot: lines are counted as if no cell held one
        return found

    def line(row: int) -> int:
        return starts()[row + 1] if row + 1 < len(starts()) else row + 2

    return line

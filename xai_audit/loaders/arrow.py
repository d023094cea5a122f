"""Arrow IPC files and streams, Feather among them; and what every typed table is checked for."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NoReturn

from xai_audit.errors import SpecError
from xai_audit.loaders.cells import Cells
from xai_audit.loaders.csv import check_names
from xai_audit.loaders.deciding import typed_kind

if TYPE_CHECKING:
    from xai_audit.loaders.mistakes import Mistakes


def read(data: bytes, path: str, sha256: str, mistakes: Mistakes) -> Cells:
    """The table of an Arrow or Feather file; SpecError where it is none or a column is nested."""
    import pyarrow as pa
    from pyarrow import feather, ipc

    try:
        if data.startswith(b"FEA1"):
            table = feather.read_table(io.BytesIO(data), use_threads=False)
        elif data.startswith(b"ARROW1"):
            table = ipc.open_file(pa.BufferReader(data)).read_all()
        else:
            table = ipc.open_stream(pa.BufferReader(data)).read_all()
        # A damaged file may still open; its offsets are checked before any cell is read.
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        unreadable(path, "Arrow or Feather", error, mistakes)
    return of_table(table, path, sha256, mistakes)


def unreadable(path: str, format_: str, error: Exception, mistakes: Mistakes) -> NoReturn:
    """Raise SpecError: the file cannot be read as this format."""
    reason = (str(error).splitlines() or [""])[0][:200]
    mistakes.file(path, f"cannot be read as {format_}: {reason}", missing=True)
    raise SpecError(mistakes.told()) from None


def of_table(table: Any, path: str, sha256: str, mistakes: Mistakes, **more: Any) -> Cells:
    """A checked Arrow table as cells: at least one row, distinct names, single values in every column."""
    names = list(table.column_names)
    check_names(names, path, mistakes)
    if table.num_rows == 0 or not names:
        mistakes.file(path, "the table has no row; at least one row is asked")
    columns = {}
    for name in names:
        column = table.column(name)
        try:
            typed_kind(column.type)
        except TypeError:
            kind = str(column.type)[:60]
            what = f"a column of {kind}; a cell is one number, text, boolean or date: flatten or drop it"
            mistakes.cell(path, None, name, what, kind="nested")
            continue
        columns[name] = _one(column)
    mistakes.check()
    return Cells(path, sha256, columns, **more)


def _one(column: Any) -> Any:
    """One array of a chunked column; dictionaries of numbers and of several chunks become plain."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        column = pc.cast(column, pa.string())
    found = column.combine_chunks()
    return found.chunk(0) if isinstance(found, pa.ChunkedArray) else found

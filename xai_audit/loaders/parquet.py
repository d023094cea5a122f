"""Parquet files; columns keep their types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xai_audit.loaders.arrow import of_table, unreadable

if TYPE_CHECKING:
    from xai_audit.loaders.cells import Cells
    from xai_audit.loaders.mistakes import Mistakes


def read(data: bytes, path: str, sha256: str, mistakes: Mistakes) -> Cells:
    """The table of a Parquet file; SpecError where it is none or a column is nested."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        # The index that pandas stores beside the columns comes as a column of its own name; it is one.
        table = parquet.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        unreadable(path, "Parquet", error, mistakes)
    dropped = [name for name in table.column_names if name.startswith("__index_level_")]
    notes = (f"{path}: the nameless index pandas wrote is left out",) if dropped else ()
    return of_table(table.drop_columns(dropped) if dropped else table, path, sha256, mistakes, notes=notes)

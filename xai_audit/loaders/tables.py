"""Which file is which table: by ``format``, by suffix or by name; read after its digest is checked."""

from __future__ import annotations

from importlib import import_module
from pathlib import PurePath
from typing import TYPE_CHECKING

from xai_audit.errors import SpecError
from xai_audit.loaders.mistakes import content

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xai_audit.loaders.cells import Cells
    from xai_audit.loaders.mistakes import Mistakes
    from xai_audit.spec import Table

SUFFIXES: Mapping[str, str] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".npz": "npz",
}
"""Table formats by file suffix."""
NAMED = "sklearn:"


def format_of(path: str, declared: str | None) -> str | None:
    """The table format of a path; None where nothing says it."""
    if declared is not None:
        return "arrow" if declared == "feather" else declared
    if path.startswith(NAMED):
        return "sklearn"
    return SUFFIXES.get(PurePath(path).suffix.lower())


def read_table(table: Table, key: str, mistakes: Mistakes) -> Cells:
    """One table of the spec; SpecError with what is wrong, exit 4 where the file cannot be had."""
    name = format_of(table.path, table.format)
    if name is None:
        suffix = PurePath(table.path).suffix
        what = (
            f"the suffix {suffix!r} of {table.path} names no table format"
            if suffix
            else f"{table.path} has no suffix"
        )
        mistakes.at(
            key, f"{what}; say it under format: csv, parquet, arrow, jsonl or npz (or sklearn:NAME as path)"
        )
        raise SpecError(mistakes.told())
    if name == "sklearn":
        from xai_audit.loaders import sklearn

        return sklearn.read(table.path, table.sha256, key, mistakes)
    data, found = content(mistakes.spec.resolve(table.path), table.path, table.sha256, key, mistakes)
    cells: Cells = import_module(f"xai_audit.loaders.{name}").read(data, table.path, found, mistakes)
    return cells

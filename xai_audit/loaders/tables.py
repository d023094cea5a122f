"""Which file is which table: by ``format``, by suffix or by name; read after its digest is checked."""

from __future__ import annotations

import io
import zlib
from importlib import import_module
from pathlib import PurePath
from typing import TYPE_CHECKING, NoReturn

from xai_audit.errors import SpecError
from xai_audit.loaders.mistakes import content

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

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
    ".txt": "txt",
}
"""Table formats by file suffix."""
NAMED = "sklearn:"
PACKED = ("csv", "jsonl", "txt")
"""Formats that are also read gzipped: table.csv.gz."""
MAX_UNPACKED = 1 << 30
"""Bytes that a gzipped file may unpack to."""


def format_of(path: str, declared: str | None) -> str | None:
    """The table format of a path; None where nothing says it."""
    if declared is not None:
        return "arrow" if declared == "feather" else declared
    if path.startswith(NAMED):
        return "sklearn"
    if packed(path):
        inner = SUFFIXES.get(PurePath(path[:-3]).suffix.lower())
        return inner if inner in PACKED else None
    return SUFFIXES.get(PurePath(path).suffix.lower())


def is_folder(path: str, resolved: Path) -> bool:
    """Whether a path of the spec is a folder; False where that cannot be told."""
    try:
        return not path.startswith(NAMED) and resolved.is_dir()
    except (OSError, ValueError):
        return False


def is_there(resolved: Path) -> bool:
    """Whether something lies there; False where that cannot be told."""
    try:
        return resolved.exists()
    except (OSError, ValueError):
        return False


def packed(path: str) -> bool:
    """Whether a path is that of a gzipped file."""
    return path.lower().endswith(".gz")


def read_table(table: Table, key: str, mistakes: Mistakes) -> Cells:
    """One table of the spec; SpecError with what is wrong, exit 4 where the file cannot be had."""
    if is_folder(table.path, mistakes.spec.resolve(table.path)):
        return _folder(table, key, mistakes)
    name = format_of(table.path, table.format)
    if name is None or name == "images":
        _no_format(table, key, mistakes)
    if table.labels is not None and name != "npz":
        what = f"labels stand beside pictures, and {table.path} is a table; its columns are its labels"
        mistakes.at(f"{key}.labels", what)
        raise SpecError(mistakes.told())
    if name == "sklearn":
        from xai_audit.loaders import sklearn

        return _text(sklearn.read(table.path, table.sha256, key, mistakes), table, key, mistakes)
    data, found = content(mistakes.spec.resolve(table.path), table.path, table.sha256, key, mistakes)
    if packed(table.path) and name in PACKED:
        data = _unpacked(data, table.path, mistakes)
    if name == "npz":
        from xai_audit.loaders import npz

        return _text(npz.read(data, table, key, found, mistakes), table, key, mistakes)
    module = import_module(f"xai_audit.loaders.{'texts' if name == 'txt' else name}")
    cells: Cells = module.read(data, table.path, found, mistakes)
    return _text(cells, table, key, mistakes)


def _folder(table: Table, key: str, mistakes: Mistakes) -> Cells:
    from xai_audit.loaders import images

    if table.format not in (None, "images"):
        mistakes.at(key, f"{table.path} is a folder; a {table.format} file is asked", missing=True)
        raise SpecError(mistakes.told())
    return _text(images.read(table, key, mistakes), table, key, mistakes)


def _text(cells: Cells, table: Table, key: str, mistakes: Mistakes) -> Cells:
    """The table with the column the spec calls its text, where it does."""
    if table.text is None:
        return cells
    from xai_audit.loaders import texts

    if cells.medium is not None:
        what = {"image": "holds pictures", "text": "holds one text a line"}[cells.medium.kind]
        mistakes.at(f"{key}.text", f"{table.path} {what}, and no column of text; take the key out")
        raise SpecError(mistakes.told())
    return texts.of_column(cells, table.text, f"{key}.text", mistakes)


def _no_format(table: Table, key: str, mistakes: Mistakes) -> NoReturn:
    suffix = PurePath(table.path).suffix
    if not suffix and not is_there(mistakes.spec.resolve(table.path)):
        mistakes.at(key, f"no such file or folder: {table.path}", missing=True)
    elif table.format == "images" and not is_there(mistakes.spec.resolve(table.path)):
        mistakes.at(key, f"no such folder: {table.path}", missing=True)
    elif table.format == "images":
        mistakes.at(
            key, f"{table.path} is a file; format images is a folder of pictures (or an npz: leave it out)"
        )
    elif suffix.lower() == ".zip":
        what = f"{table.path}: archives are not available in this version; unpack it and name the folder"
        mistakes.at(key, what)
    else:
        what = (
            f"the suffix {suffix!r} of {table.path} names no table format"
            if suffix
            else f"{table.path} has no suffix"
        )
        mistakes.at(
            key, f"{what}; say it under format: csv, parquet, arrow, jsonl or npz (or sklearn:NAME as path)"
        )
    raise SpecError(mistakes.told())


def _unpacked(data: bytes, path: str, mistakes: Mistakes) -> bytes:
    """What a gzipped file holds; SpecError where it is none or unpacks to more than is read."""
    import gzip

    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            found = stream.read(MAX_UNPACKED + 1)
    except (OSError, EOFError, zlib.error) as error:
        mistakes.file(path, f"cannot be unpacked as gzip: {str(error)[:200]}", missing=True)
        raise SpecError(mistakes.told()) from None
    if len(found) > MAX_UNPACKED:
        mistakes.file(path, f"unpacks to over {MAX_UNPACKED >> 30} GiB; unpack it yourself if that is right")
        raise SpecError(mistakes.told())
    return found

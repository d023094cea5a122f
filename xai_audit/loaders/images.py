"""Folders of pictures, with a table of labels beside them or a folder for each class; and arrays of pictures."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit import digest
from xai_audit.errors import SpecError
from xai_audit.loaders import pictures
from xai_audit.loaders.cells import Cells, Medium, numbered
from xai_audit.loaders.mistakes import shown, suggestion
from xai_audit.spec import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from xai_audit.loaders.mistakes import Mistakes

NAME = "image"
"""The one column of the frame."""
ADDRESS = "file"
"""The column of labels that names pictures, relative to their folder."""
CLASS = "class"
"""The column made of the folders pictures lie in, where no labels are given."""
MAX_TOTAL = 8 << 30
"""Bytes of all pictures in memory."""


def read(table: Table, key: str, mistakes: Mistakes) -> Cells:
    """The pictures of a folder in the order of their paths, and what labels say of each.

    Without labels, ``class`` is the path of the folder a picture lies in (``cat``, ``Korean/character01``), missing
    for one that lies in no folder. Hidden files and files of other kinds are left out and counted. The digest is
    that of the folder (digest.of_folder), not of the labels. SpecError with every mistake: a picture that cannot
    be read, without a row of labels, named twice, or not there; a link that leads out of the folder.
    """
    root = mistakes.spec.resolve(table.path)
    hashed = _hashed(root, table, key, mistakes)
    found = [path for path in hashed if PurePosixPath(path).suffix.lower() in pictures.SUFFIXES]
    kept = [path for path in found if not any(part.startswith(".") for part in path.split("/"))]
    if not kept:
        known = ", ".join(pictures.SUFFIXES)
        mistakes.at(key, f"{table.path} is a folder without a picture ({known})", missing=True)
        mistakes.check()
    labels = None if table.labels is None else _labels(table, key, kept, mistakes)
    images = list(_decoded(root, table.path, kept, hashed, mistakes))
    mistakes.check()
    notes = (
        *_notes(table.path, images, len(hashed) - len(kept)),
        *(labels.notes if labels is not None else ()),
    )
    cells = _array([pixels for pixels, _ in images])
    if labels is not None:
        medium = Medium(NAME, "image", cells, address=ADDRESS)
        return replace(labels, sha256=digest_of(hashed), medium=medium, source=table.path, notes=notes)
    return Cells(
        table.path,
        digest_of(hashed),
        _by_folder(kept),
        notes=notes,
        medium=Medium(NAME, "image", cells, address=ADDRESS, by_folder=any("/" in path for path in kept)),
    )


def _hashed(root: Path, table: Table, key: str, mistakes: Mistakes) -> dict[str, str]:
    """The sha256 of every file by its path in the folder, in the order of the paths' parts."""
    inside = root.resolve()
    hashed: dict[str, str] = {}
    # A folder that cannot be opened would be passed over in silence.
    closed: list[OSError] = []
    for _ in os.walk(root, onerror=closed.append):
        pass
    for error in closed:
        mistakes.at(key, f"{error.filename} cannot be read: {error.strerror or error}", missing=True)
    try:
        for path in digest.files_of(root):
            name = path.relative_to(root).as_posix()
            if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
                what = "a name with control characters or that is not UTF-8; rename it"
                mistakes.inside(table.path, ascii(name)[1:-1], what, kind="name")
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                what = "a link that leads out of the folder; put the picture itself there"
                mistakes.inside(table.path, name, what, kind="link")
                continue
            try:
                hashed[name] = digest.of_file(path)
            except OSError as error:
                what = f"cannot be read: {error.strerror or error}"
                mistakes.inside(table.path, name, what, kind="unreadable", missing=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        mistakes.at(key, f"{table.path} cannot be read: {reason}", missing=isinstance(error, OSError))
    mistakes.check()
    sha256 = digest_of(hashed)
    if table.sha256 is not None and sha256 != table.sha256:
        what = f"{table.path} has sha256 {sha256}, not the declared {table.sha256}"
        mistakes.at(key, what, missing=True)
        mistakes.check()
    return hashed


def digest_of(hashed: Mapping[str, str]) -> str:
    """The folder's digest from those of its files, as digest.of_folder gives it."""
    return digest.of_bytes(b"".join(bytes.fromhex(sha256) for sha256 in hashed.values()))


def _decoded(
    root: Path, folder: str, names: Sequence[str], hashed: Mapping[str, str], mistakes: Mistakes
) -> Iterator[tuple[NDArray[np.uint8], tuple[str, ...]]]:
    total = 0
    for name in names:
        path = root / name
        try:
            if path.stat().st_size > pictures.MAX_FILE:
                mistakes.inside(
                    folder, name, f"over {pictures.MAX_FILE >> 20} MiB; no picture is", kind="picture"
                )
                continue
            data = path.read_bytes()
        except OSError as error:
            what = f"cannot be read: {error.strerror or error}"
            mistakes.inside(folder, name, what, kind="unreadable", missing=True)
            continue
        if digest.of_bytes(data) != hashed[name]:
            mistakes.inside(folder, name, "changed while it was read", kind="changed", missing=True)
            continue
        try:
            pixels, changes = pictures.decoded(data)
        except ValueError as error:
            mistakes.inside(folder, name, str(error), kind="picture")
            continue
        total += pixels.nbytes
        if total > MAX_TOTAL:
            what = (
                f"the pictures take over {MAX_TOTAL >> 30} GiB when unpacked; make them smaller or give fewer"
            )
            mistakes.file(folder, what)
            return
        yield pixels, changes


def _array(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.object_]:
    cells = np.empty(len(images), dtype=object)
    for place, image in enumerate(images):
        cells[place] = image
    return cells


def _notes(
    folder: str, images: Sequence[tuple[NDArray[np.uint8], tuple[str, ...]]], others: int
) -> tuple[str, ...]:
    """What reading changed, and what differs between pictures."""
    changes = Counter(change for _, found in images for change in found)
    notes = [f"{folder}: {count:,} pictures {what}" for what, count in sorted(changes.items())]
    grey = sum(pixels.shape[-1] == 1 for pixels, _ in images)
    if 0 < grey < len(images):
        notes.append(f"{folder}: {grey:,} of {len(images):,} pictures are grey, the others coloured")
    if others:
        notes.append(f"{folder}: {others:,} files are hidden or no pictures and are left out")
    return tuple(notes)


def _by_folder(names: Sequence[str]) -> dict[str, Any]:
    import pyarrow as pa

    columns: dict[str, Any] = {ADDRESS: pa.array(names, pa.string())}
    if any("/" in name for name in names):
        columns[CLASS] = pa.array([name.rpartition("/")[0] or None for name in names], pa.string())
    return columns


def has_classes(folder: Path) -> bool:
    """Whether pictures of a folder lie in folders of their own, which are their classes."""
    for place, (_, below, names) in enumerate(os.walk(folder)):
        below[:] = [name for name in below if not name.startswith(".")]
        seen = (name for name in names if not name.startswith("."))
        # The first folder walked through is the one that holds the others.
        if place and any(PurePosixPath(name).suffix.lower() in pictures.SUFFIXES for name in seen):
            return True
    return False


def _labels(table: Table, key: str, kept: Sequence[str], mistakes: Mistakes) -> Cells:
    """The rows of labels in the order of the pictures' paths."""
    found = _label_table(table, key, mistakes)
    address = found.columns.get(ADDRESS)
    if address is None:
        close = suggestion(ADDRESS, found.columns)
        what = f"a column {ADDRESS!r} is asked, which names each picture relative to {table.path}{close}"
        mistakes.cell(found.path, None, None, what, kind="file")
        mistakes.check()
    places: dict[str, int] = {}
    known = set(kept)
    for row, cell in enumerate(_words(address, found, mistakes)):
        name = _name(cell, row, found, table.path, mistakes)
        if name is None:
            continue
        if name in places:
            first = f"{found.path}:{found.line(places[name])}"
            what = f"{shown(name)} stands in {first} already; one row for each picture"
            mistakes.cell(found.path, found.line(row), ADDRESS, what, kind="twice")
        elif name not in known:
            what = _absent(mistakes.spec.resolve(table.path), name, table.path, kept)
            mistakes.cell(found.path, found.line(row), ADDRESS, what, kind="absent")
            places[name] = row
        else:
            places[name] = row
    for name in kept:
        if name not in places:
            mistakes.inside(table.path, name, f"no row of {found.path} names this picture", kind="unlabelled")
    mistakes.check()
    order = np.array([places[name] for name in kept], dtype=np.int64)
    import pyarrow as pa

    columns = {name: column.take(pa.array(order)) for name, column in found.columns.items()}
    columns[ADDRESS] = pa.array(list(kept), pa.string())
    line = found.line
    return replace(found, columns=columns, line=lambda row: line(int(order[row])), matrix=False)


def _label_table(table: Table, key: str, mistakes: Mistakes) -> Cells:
    from xai_audit.loaders.tables import read_table

    assert table.labels is not None
    where = f"{key}.labels"
    inner = PurePosixPath(table.path) / table.labels
    if not mistakes.spec.resolve(table.labels).exists() and mistakes.spec.resolve(str(inner)).is_file():
        what = f"no such file: {table.labels}; write {inner}: paths are relative to the spec"
        mistakes.at(where, what, missing=True)
        raise SpecError(mistakes.told())
    found = read_table(Table(path=table.labels), where, mistakes)
    if found.medium is not None:
        mistakes.at(
            where, f"{table.labels} holds {found.medium.kind}s; a table with a column {ADDRESS!r} is asked"
        )
        raise SpecError(mistakes.told())
    return found


def _words(column: Any, found: Cells, mistakes: Mistakes) -> list[str | None]:
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not (pa.types.is_string(column.type) or pa.types.is_null(column.type)):
        what = f"a column of {column.type}; the names of pictures are asked, as text"
        mistakes.cell(found.path, None, ADDRESS, what, kind="type")
        mistakes.check()
    cells: list[str | None] = column.to_pylist()
    return cells


def _name(cell: str | None, row: int, found: Cells, folder: str, mistakes: Mistakes) -> str | None:
    """A picture's path in the folder, without dots; None after a mistake."""
    if not cell:
        mistakes.cell(found.path, found.line(row), ADDRESS, "a row without a picture's name", kind="nameless")
        return None
    path = PurePosixPath(cell)
    if path.is_absolute() or ".." in path.parts or "\0" in cell:
        what = f"{shown(cell)} leads out of {folder}; a name below it is asked"
        mistakes.cell(found.path, found.line(row), ADDRESS, what, kind="escape")
        return None
    return path.as_posix()


def _absent(root: Path, name: str, folder: str, kept: Sequence[str]) -> str:
    if PurePosixPath(name).suffix.lower() not in pictures.SUFFIXES and (root / name).is_file():
        return f"{shown(name)} is no picture that this version reads ({', '.join(pictures.SUFFIXES)})"
    near = [other for other in kept if PurePosixPath(other).name == PurePosixPath(name).name] or kept[:2000]
    close = suggestion(name, near) if len(kept) <= 2000 or len(near) < 2000 else ""
    return f"no picture {shown(name)} in {folder}{close if 'did you mean' in close else ''}"


def of_arrays(
    arrays: Mapping[str, NDArray[Any]], table: Table, key: str, sha256: str, mistakes: Mistakes
) -> Cells:
    """An npz archive's ``images``, (n, height, width) or (n, height, width, 1 or 3) of uint8, and its other columns.

    ``labels`` of the spec name a table of as many rows, in the same order.
    """
    from xai_audit.loaders.npz import checked_columns

    images = arrays["images"]
    if images.dtype != np.uint8:
        what = f"an array of {images.dtype}; uint8 from 0 to 255 is asked"
        mistakes.cell(table.path, None, "images", what, kind="type")
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[-1] not in (1, 3)):
        what = f"shape {images.shape}; (n, height, width) or (n, height, width, 1 or 3) is asked"
        mistakes.cell(table.path, None, "images", what, kind="shape")
    elif not images.size:
        mistakes.cell(table.path, None, "images", f"shape {images.shape} holds no picture", kind="shape")
    mistakes.check()
    images = images[..., None] if images.ndim == 3 else images
    others = {name: array for name, array in arrays.items() if name != "images"}
    columns = checked_columns(others, table.path, mistakes, rows=len(images)) if others else {}
    notes: tuple[str, ...] = ()
    if table.labels is not None:
        labels = _beside(table, key, len(images), columns, mistakes)
        return replace(
            labels,
            columns={**columns, **labels.columns} if not labels.untyped else _joined(columns, labels),
            sha256=sha256,
            medium=Medium(NAME, "image", _array(list(images))),
            source=table.path,
            matrix=False,
        )
    return Cells(
        table.path,
        sha256,
        columns,
        line=numbered,
        notes=notes,
        medium=Medium(NAME, "image", _array(list(images))),
    )


def _joined(columns: Mapping[str, Any], labels: Cells) -> dict[str, Any]:
    """Arrays of an archive as the text that a text file's columns are, so that one reading decides all types."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return {**{name: pc.fill_null(pc.cast(column, pa.string()), "") for name, column in columns.items()},
            **labels.columns}  # fmt: skip


def _beside(table: Table, key: str, rows: int, columns: Mapping[str, Any], mistakes: Mistakes) -> Cells:
    labels = _label_table(table, key, mistakes)
    where = f"{key}.labels"
    if ADDRESS in labels.columns:
        what = (
            f"{table.labels} names pictures by {ADDRESS!r}, and those of {table.path} have no names; "
            "take the column out, and the rows follow the array"
        )
        mistakes.at(where, what)
    if labels.n != rows:
        mistakes.at(where, f"{table.labels} has {labels.n:,} rows for {rows:,} pictures of {table.path}")
    for name in sorted(set(columns) & set(labels.columns)):
        mistakes.at(where, f"{shown(name)} stands in {table.labels} and in {table.path}; rename one")
    mistakes.check()
    return labels

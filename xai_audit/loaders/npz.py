"""NumPy archives: X with y and feature_names, one array of one dimension for each column, or pictures; no objects."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from xai_audit.errors import SpecError
from xai_audit.loaders.arrow import of_table, unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from xai_audit.loaders.cells import Cells
    from xai_audit.loaders.mistakes import Mistakes
    from xai_audit.spec import Table

_NAMES = "feature_names"
MAX_UNPACKED = 8 << 30
"""Bytes of all arrays in memory."""


def read(data: bytes, table: Table, key: str, sha256: str, mistakes: Mistakes) -> Cells:
    """The table of an npz file: X's columns by feature_names or x0, x1, ..., other arrays by their names.

    An array ``images`` of more than two dimensions makes it a table of pictures (images.of_arrays).
    """
    arrays = _arrays(data, table.path, mistakes)
    if "images" in arrays and arrays["images"].ndim > 2:
        from xai_audit.loaders import images

        return images.of_arrays(arrays, table, key, sha256, mistakes)
    if table.labels is not None:
        what = f"{table.path} holds no pictures (an array images of shape (n, height, width, channels))"
        mistakes.at(f"{key}.labels", f"{what}, and labels stand beside pictures")
        mistakes.check()
    path = table.path
    columns: dict[str, NDArray[Any]] = {}
    matrix = arrays.pop("X", None)
    names = arrays.pop(_NAMES, None)
    if matrix is not None and matrix.ndim != 2:
        mistakes.cell(path, None, "X", f"X has shape {matrix.shape}; rows by columns is asked", kind="shape")
    elif matrix is not None:
        listed = (
            [f"x{place}" for place in range(matrix.shape[1])]
            if names is None
            else [str(name) for name in names.reshape(-1)]
        )
        if len(listed) != matrix.shape[1]:
            what = f"{len(listed)} names for the {matrix.shape[1]} columns of X"
            mistakes.cell(path, None, _NAMES, what, kind="shape")
        repeated = sorted({name for name in [*listed, *arrays] if [*listed, *arrays].count(name) > 1})
        for name in repeated:
            mistakes.cell(path, None, name, "two columns share this name; rename one", kind="name")
        columns.update({name: matrix[:, place] for place, name in enumerate(listed[: matrix.shape[1]])})
    columns.update(arrays)
    found = checked_columns(columns, path, mistakes)
    if not columns:
        mistakes.file(path, "the archive holds no array")
    mistakes.check()
    import pyarrow as pa

    return of_table(pa.table(found), path, sha256, mistakes, matrix=matrix is not None)


def checked_columns(
    columns: Mapping[str, NDArray[Any]], path: str, mistakes: Mistakes, *, rows: int | None = None
) -> dict[str, Any]:
    """Arrays of one dimension and one length as Arrow's; SpecError names those that are no column."""
    import pyarrow as pa

    lengths = {len(array) for array in columns.values() if array.ndim == 1}
    for name, array in columns.items():
        if array.ndim != 1:
            what = f"an array of shape {array.shape}; a column has one dimension (a matrix is called X)"
            mistakes.cell(path, None, name, what, kind="shape")
        elif array.dtype.kind not in "biufUM":
            what = f"an array of {array.dtype}; numbers, booleans, texts or dates are asked"
            mistakes.cell(path, None, name, what, kind="type")
    if len(lengths | (set() if rows is None else {rows})) > 1:
        given = [f"{name} {len(array):,}" for name, array in list(columns.items())[:12] if array.ndim]
        listed = ", ".join([*([] if rows is None else [f"images {rows:,}"]), *given])
        mistakes.file(path, f"columns of different lengths: {listed}")
    mistakes.check()
    try:
        return {name: _arrow(array) for name, array in columns.items()}
    except (pa.ArrowException, ValueError, OverflowError) as error:
        unreadable(path, "npz", error, mistakes)


def _arrays(data: bytes, path: str, mistakes: Mistakes) -> dict[str, NDArray[Any]]:
    if not data.startswith(b"PK"):
        mistakes.file(path, "no npz archive (numpy.savez writes one)", missing=True)
        mistakes.check()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            size = sum(entry.file_size for entry in packed.infolist())
        if size > MAX_UNPACKED:
            _too_large(path, mistakes)
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except SpecError:
        raise
    except Exception as error:  # noqa: BLE001 - a damaged archive may fail anywhere in reading
        if "Object arrays" in str(error):
            what = "an array of Python objects, which may carry code; save numbers or texts (astype(str))"
            mistakes.file(path, what)
            mistakes.check()
        if "pickle" in str(error):
            error = ValueError("an entry is no NumPy array")
        unreadable(path, "npz", error, mistakes)


def _too_large(path: str, mistakes: Mistakes) -> NoReturn:
    mistakes.file(path, f"unpacks to over {MAX_UNPACKED >> 30} GiB; give fewer or smaller arrays")
    raise SpecError(mistakes.told())


def _arrow(array: NDArray[Any]) -> Any:
    import pyarrow as pa

    array = np.ascontiguousarray(array)
    if array.dtype.kind == "U":
        return pa.array(
            [str(value).encode("utf-8", "replace").decode("utf-8") for value in array], pa.string()
        )
    if array.dtype.kind == "M":
        return pa.array(array.astype("datetime64[us]"))
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    return pa.array(array.astype(array.dtype.newbyteorder("=")))

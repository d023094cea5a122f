"""NumPy archives: X with y and feature_names, or one array of one dimension for each column; no objects."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.loaders.arrow import of_table, unreadable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.loaders.cells import Cells
    from xai_audit.loaders.mistakes import Mistakes

_NAMES = "feature_names"


def read(data: bytes, path: str, sha256: str, mistakes: Mistakes) -> Cells:
    """The table of an npz file: X's columns by feature_names or x0, x1, ..., other arrays by their names."""
    import pyarrow as pa

    arrays = _arrays(data, path, mistakes)
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
    rows = {len(array) for array in columns.values() if array.ndim == 1}
    for name, array in columns.items():
        if array.ndim != 1:
            what = f"an array of shape {array.shape}; a column has one dimension (a matrix is called X)"
            mistakes.cell(path, None, name, what, kind="shape")
        elif array.dtype.kind not in "biufUM":
            what = f"an array of {array.dtype}; numbers, booleans, texts or dates are asked"
            mistakes.cell(path, None, name, what, kind="type")
    if len(rows) > 1:
        lengths = ", ".join(f"{name} {len(array):,}" for name, array in list(columns.items())[:12])
        mistakes.file(path, f"columns of different lengths: {lengths}")
    if not columns:
        mistakes.file(path, "the archive holds no array")
    mistakes.check()
    try:
        table = pa.table({name: _arrow(array) for name, array in columns.items()})
    except (pa.ArrowException, ValueError, OverflowError) as error:
        unreadable(path, "npz", error, mistakes)
    return of_table(table, path, sha256, mistakes, matrix=matrix is not None)


def _arrays(data: bytes, path: str, mistakes: Mistakes) -> dict[str, NDArray[Any]]:
    if not data.startswith(b"PK"):
        mistakes.file(path, "no npz archive (numpy.savez writes one)", missing=True)
        mistakes.check()
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # noqa: BLE001 - a damaged archive may fail anywhere in reading
        if "Object arrays" in str(error):
            what = "an array of Python objects, which may carry code; save numbers or texts (astype(str))"
            mistakes.file(path, what)
            mistakes.check()
        if "pickle" in str(error):
            error = ValueError("an entry is no NumPy array")
        unreadable(path, "npz", error, mistakes)


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

"""Rows in an order of their content alone: no file's row or column order changes anything after this."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from xai_audit.loaders.cells import Medium, Typed

_CHUNK = 1 << 15
_EXACT = 2**53


def digests(columns: Mapping[str, Typed], medium: Medium | None = None) -> NDArray[np.bytes_]:
    """The sha256 of each row's cells, columns in alphabetical order, of dtype S32.

    Equal numbers digest equally whatever their type (1, 1.0; 0.0, -0.0), text by the sha256 of its UTF-8; a
    missing cell is a value of its own. Column names count, their order and the file's do not. A picture counts
    by its shape and pixels, a text as a whole; what their column is called and where a picture lay do not.
    """
    names = sorted(name for name in columns if medium is None or name != medium.address)
    rows = len(medium.cells) if medium is not None else len(columns[names[0]].data) if names else 0
    heads = [*([] if medium is None else [medium.kind]), *(f"{len(name)}:{name}" for name in names)]
    head = hashlib.sha256("\n".join(heads).encode("utf-8", "surrogatepass"))
    tables = {name: _texts(columns[name].levels) for name in names if columns[name].kind == "text"}
    out = np.empty((rows, 32), dtype=np.uint8)
    for start in range(0, rows, _CHUNK):
        stop = min(start + _CHUNK, rows)
        parts = [_packed(columns[name], tables.get(name), start, stop) for name in names]
        if medium is not None:
            parts.append(medium.digests[start:stop].view(np.uint8).reshape(-1, 32))
        packed = np.concatenate(parts, axis=1)
        width = packed.shape[1]
        view = np.ascontiguousarray(packed).tobytes()
        prefix = head.digest()
        joined = b"".join(
            hashlib.sha256(prefix + view[place : place + width]).digest()
            for place in range(0, len(view), width)
        )
        out[start:stop] = np.frombuffer(joined, dtype=np.uint8).reshape(-1, 32)
    return np.ascontiguousarray(out).view("S32").reshape(-1)


def _texts(levels: tuple[str, ...]) -> NDArray[np.uint8]:
    """A 33-byte code for each level and, last, for missing."""
    table = np.zeros((len(levels) + 1, 33), dtype=np.uint8)
    for place, level in enumerate(levels):
        table[place, 0] = 1
        table[place, 1:] = np.frombuffer(
            hashlib.sha256(level.encode("utf-8", "surrogatepass")).digest(), np.uint8
        )
    return table


def _packed(column: Typed, table: NDArray[np.uint8] | None, start: int, stop: int) -> NDArray[np.uint8]:
    values = column.data[start:stop]
    if table is not None:
        return np.asarray(table[values])
    tag = np.full(len(values), {"number": 2, "boolean": 3, "date": 4}.get(column.kind, 1), dtype=np.uint8)
    if column.kind == "number" and values.dtype.kind == "f":
        missing = np.isnan(values)
        # Adding zero turns -0.0 into 0.0; a missing number has no bits of its own.
        body = (np.where(missing, 0.0, values) + 0.0).astype(">f8").view(np.uint8)
    elif column.kind == "number":
        missing = np.zeros(len(values), dtype=bool)
        large = np.abs(values) > _EXACT
        tag[large] = 5  # an integer that no float holds
        body = (
            np.where(large, values.astype(">i8").view(">u8"), values.astype(">f8").view(">u8"))
            .astype(">u8")
            .view(np.uint8)
        )
    else:
        missing = values == np.iinfo(np.int64).min if column.kind == "date" else values < 0
        body = np.where(missing, 0, values).astype(">i8").view(np.uint8)
    tag[missing] = 0
    return np.concatenate([tag[:, None], body.reshape(len(values), 8)], axis=1)


def order(digest: NDArray[np.bytes_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions that sort rows by digest, and each sorted row's occurrence among its equals (0, 1, ...)."""
    if not len(digest):
        empty = np.empty(0, dtype=np.int64)
        return empty, empty
    words = np.ascontiguousarray(digest).view(np.uint8).reshape(-1, 32).view(">u8")
    places = np.lexsort((words[:, 3], words[:, 2], words[:, 1], words[:, 0])).astype(np.int64)
    ordered = words[places]
    fresh = np.ones(len(places), dtype=bool)
    fresh[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    starts = np.flatnonzero(fresh)
    occurrence = np.arange(len(places), dtype=np.int64) - starts[np.cumsum(fresh) - 1]
    return places, occurrence

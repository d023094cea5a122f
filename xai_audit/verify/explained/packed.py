"""Numbers of rows with different numbers of parts, out of runs of numbers: by row, as maps, as outputs along a way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xai_audit.verify.explained.kept import ContradictionError
from xai_audit.verify.explained.piece import Piece, shaped

FOUR_DIGITS = 2.0**-13
"""The share by which a value kept with four digits may differ from the one it was."""
Floats = NDArray[np.float64]


def by_row(piece: Piece, name: str, counts: NDArray[np.int64]) -> list[Floats]:
    """Numbers of all rows' players, one after the other, by row."""
    flat = piece.array(name).astype(np.float64)
    if len(flat) != counts.sum() or (counts < 0).any():
        raise ContradictionError(f"array {name} has {len(flat)} entries for {int(counts.sum())} parts")
    return np.split(flat, np.cumsum(counts)[:-1])


def unpacked(piece: Piece, name: str, flat: Floats, rows: int) -> list[Floats]:
    """Arrays of one or two axes out of a run of numbers and their shapes."""
    shapes = shaped(f"{name}_shape", piece.whole(f"{name}_shape", 2), rows, 3)
    found, place = [], 0
    for a, b, axes in shapes.tolist():
        if a < 0 or b < 0 or axes not in (1, 2) or place + a * b > flat.size:
            raise ContradictionError(f"array {name} ends too early")
        found.append(flat.ravel()[place : place + a * b].reshape((a, b)[:axes] if axes == 2 else (a,)))
        place += a * b
    if place != flat.size:
        raise ContradictionError(f"array {name} holds more than its shapes")
    return found


def maps(piece: Piece, rows: NDArray[np.int64]) -> tuple[list[Floats] | None, float]:
    """Each explained picture's contributions by pixel, and to what share they are known; None where none are kept."""
    if piece.has("values"):
        flat = piece.array("values").astype(np.float64)
        if flat.ndim == 3:
            return list(shaped("values", flat, len(rows), -1, -1)), FOUR_DIGITS
        return unpacked(piece, "values", flat, len(rows)), FOUR_DIGITS
    if not piece.has("parts"):
        return None, 0.0
    counts = shaped("players", piece.whole("players", 1), len(rows))
    phi = by_row(piece, "phi", counts)
    cut = unpacked(piece, "parts", piece.numbers("parts", 1), len(rows))
    found = []
    for own, part in zip(phi, cut, strict=True):
        where = part.astype(np.int64)
        if where.size and where.max() >= len(own):
            raise ContradictionError("array parts names a part that there is not")
        found.append((own / np.bincount(where.ravel(), minlength=len(own)).clip(1))[where])
    return found, 1e-9

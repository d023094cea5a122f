"""What every part of prototypes rests on: which rows are asked, which support, and shares of them with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit import digest
from xai_audit.verify import limits_rows
from xai_audit.verify.explained import spread
from xai_audit.verify.explained.kept import ContradictionError
from xai_audit.verify.explained.piece import Piece, shaped

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]


# ------------------------------------------------------------------------------------------------ rows and rules
def asked(piece: Piece) -> NDArray[np.int64]:
    """The test rows that are compared: those drawn, or of these the half that is no support; held to the digests."""
    rows, _ = piece.sampled()
    if piece.settled("examples_from") == "test":
        rows = rows[[not _half(piece, int(row)) for row in rows]]
    elif "train" not in piece.about["data"]:
        raise ContradictionError("params.examples_from is train; there are no training rows")
    given = [bytes(one).hex() for one in piece.array("row_sha256", 2)]
    if given != [piece.rows.digests[int(row)] for row in rows]:
        raise ContradictionError("array row_sha256 does not name the rows that were drawn for this method")
    return rows


def _half(piece: Piece, row: int) -> bool:
    """Whether a test row supports rather than asks, where there are no training rows."""
    return int(digest.of_bytes(f"{piece.seed}:half:{piece.rows.seeds[row]}".encode()), 16) % 2 == 0


def classes(piece: Piece, name: str, *shape: int) -> NDArray[np.int64]:
    """An array of class indices of this shape."""
    found = shaped(name, piece.whole(name, len(shape)), *shape)
    if found.size and not (found.min() >= 0 and found.max() < len(piece.classes)):
        raise ContradictionError(f"array {name} names a class that there is not")
    return np.asarray(found, dtype=np.int64)


def nearest(piece: Piece, name: str, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The class of the prototype each row is nearest to."""
    known = classes(piece, "prototype_class", -1)
    place = shaped(name, piece.whole(name, 1), len(rows))
    if place.size and not (place.min() >= 0 and place.max() < len(known)):
        raise ContradictionError(f"array {name} names a prototype that there is not")
    return np.asarray(known[place])


def about(piece: Piece) -> dict[str, Any]:
    """What every part says of the examples."""
    of = classes(piece, "prototype_class", -1)
    counts = {piece.classes[one]: int((of == one).sum()) for one in np.unique(of)}
    found: dict[str, Any] = {"prototypes": counts, "examples": len(support(piece))}
    if piece.has("held_distance"):
        found["examples_held_out"] = len(piece.array("held_distance", 1))
    return found


def support(piece: Piece) -> NDArray[np.int64]:
    """The class of each example, by labels of the test rows where those are the examples."""
    labels = classes(piece, "example_class", -1)
    if piece.settled("examples_from") == "test":
        name = "target" if piece.settled("examples_classed_by") == "labels" else "prediction"
        codes = piece.rows.codes(name)
        usable = [row for row in range(piece.rows.n) if _half(piece, row) and codes[row] >= 0]
        rows = sorted(piece.rows.first(usable, f"{piece.seed}:support")[: piece.params.get("support")])
        if not np.array_equal(labels, codes[rows]):
            raise ContradictionError("array example_class is not of the rows that support")
    return labels


# ------------------------------------------------------------------------------------------------ shares
def beside(piece: Piece, rows: NDArray[np.int64]) -> tuple[Floats | None, NDArray[np.int64] | None]:
    """Weights and clusters of some rows; None where the data have none."""
    weights, clusters = (piece.rows.beside(name, rows) for name in ("weight", "cluster"))
    return (
        None if weights is None else np.asarray(weights, dtype=np.float64),
        None if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1],
    )


def share(piece: Piece, event: Flags, rows: NDArray[np.int64], among: Flags | None = None) -> dict[str, Any]:
    """A share of some rows with its interval; weights and clusters count."""
    inside = np.ones(len(event), dtype=bool) if among is None else among
    x, n = limits_rows.effective(event[inside].astype(float), *beside(piece, rows[inside]))
    return spread.estimate(x / n, spread.rate(x, n, piece.levels), int(inside.sum()))


def point(
    piece: Piece, x: Any, event: Flags, rows: NDArray[np.int64], among: Flags | None = None
) -> dict[str, Any]:
    """The same as one point of a curve."""
    return {"x": x, "estimate": {**share(piece, event, rows, among), "limits": None}}


def beyond(piece: Piece, name: str, event: Flags, null: Flags, rows: NDArray[np.int64]) -> dict[str, Any]:
    """A control: a share less another one over the same rows, paired."""
    gap = event.astype(float) - null.astype(float)
    value, at = limits_rows.mean_at(gap, *beside(piece, rows))
    estimate = spread.estimate(value, [at(piece.levels[0])], len(event))
    passed = estimate["low"] is not None and estimate["low"] > 0
    return {"name": name, "expectation": "positive", "estimate": estimate, "passed": passed, "edit": False}


def scalar(estimate: dict[str, Any], unit: str = "share of test rows") -> dict[str, Any]:
    """One number."""
    return {"shape": "scalar", "estimate": estimate, "unit": unit}


def decided(piece: Piece, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The model's class for some rows."""
    return piece.rows.codes("prediction")[rows]


def commonest(said: NDArray[np.int64]) -> Flags:
    """Which rows get the most frequent prediction."""
    labels, counts = np.unique(said, return_counts=True)
    return np.asarray(said == labels[int(np.argmax(counts))])

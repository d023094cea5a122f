"""Whether the arrays of a step's evidence hold, row by row, what a piece answers.

The digest of an answer says that the recorded answers are the model's, and nothing of the evidence made from them. Where
a method keeps answers for every row, this compares them.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.archives import BROKEN
from xai_audit.explainers.attributions import attributed
from xai_audit.loaders.mistakes import shown
from xai_audit.rerun.machine import NEAR

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from xai_audit.audit import Audit
    from xai_audit.evidence import Evidence
    from xai_audit.method import Piece
    from xai_audit.subject import Subject

COARSE = 1e-3
"""How far kept attributions may be from answers of another machine: they are kept with four digits."""

Names = Mapping[str, tuple[str, ...]]

_GRADIENT: Names = {"values": ("values",), "base": ("start",), "output": ("end",)}
KEPT: Mapping[str, Names] = {
    "shap": {
        "phi": ("phi", "library"),
        "output": ("outputs", "end"),
        "base": ("start",),
        "background_error": ("background_error",),
        "order_error": ("order_error",),
    },
    "lime": {
        "coefficients": ("coefficients",),
        "intercept": ("intercepts",),
        "output": ("outputs", "end"),
        "base": ("start",),
        "fidelity": ("fidelity",),
    },
    "integrated_gradients": _GRADIENT,
    "gradient_shap": _GRADIENT,
    "occlusion": _GRADIENT,
}
"""By method: arrays of its evidence that hold one entry a row, and the answers that these may be."""
UNITS = re.compile(r"activations_\d+|triggered|comparable")
"""Arrays that hold what units of a network said."""


@dataclass(frozen=True)
class Seen:
    """What comparing gave."""

    arrays: tuple[str, ...] = ()
    """Which arrays hold the piece's answers; none where the method keeps none for each row."""
    wrong: str | None = None


def compared(
    audit: Audit,
    folder: Path,
    step: str,
    method: str,
    subject: Subject,
    piece: Piece,
    answer: Mapping[str, NDArray[Any]],
    *,
    near: bool,
) -> Seen:
    """The arrays kept for a step beside the answers for one piece of its rows."""
    arrays = _arrays(audit, folder, step)
    if arrays is None or method not in KEPT:
        return Seen()
    held = arrays["row_sha256"]
    agreed = []
    for name, candidates in KEPT[method].items():
        there = _by_row(name, arrays, len(held))
        found = [_by_row(other, answer, len(piece.rows)) for other in candidates]
        given = [_first(one, there) for one in found if one is not None]
        if there is None or not given:
            continue
        wrong = _apart(name, there, given, held, subject, piece, near=near)
        if wrong:
            return Seen(wrong=wrong)
        agreed.append(name)
    return Seen(arrays=tuple(agreed))


def units_apart(folder: Path, there: Evidence, here: Evidence, files: Mapping[str, bytes]) -> str | None:
    """The first array of what units said that is not, to a share of its largest number, what they say here."""
    for name in sorted(one for one in {*there.arrays, *here.arrays} if UNITS.fullmatch(one)):
        if name not in there.arrays or name not in here.arrays:
            return f"array {name} is {'in the audit alone' if name in there.arrays else 'not in the audit'}"
        held, made = _read(folder, there.arrays[name]), files.get(here.arrays[name])
        if held is None or name not in held:
            return f"array {name} cannot be read"
        with np.load(io.BytesIO(made or b"")) as opened:
            own = opened[name]
        size = float(np.max(np.abs(own), initial=0.0))
        one = held[name]
        if one.shape != own.shape or one.dtype != own.dtype:
            return f"array {name} has another shape or type here"
        if not np.allclose(one, own, rtol=0, atol=COARSE * size):
            return f"array {name} holds other activations than the model gives"
    return None


def _arrays(audit: Audit, folder: Path, step: str) -> Mapping[str, NDArray[Any]] | None:
    """The file of a step's first evidence that names rows; None where there is none to be read."""
    for piece in audit.evidence:
        if piece.id.partition("/")[0] != step or "row_sha256" not in piece.arrays:
            continue
        found = _read(folder, piece.arrays["row_sha256"])
        rows = None if found is None else found.get("row_sha256")
        fits = rows is not None and rows.ndim == 2 and rows.dtype == np.uint8
        return found if fits else None
    return None


def _read(folder: Path, name: str) -> dict[str, NDArray[Any]] | None:
    """The arrays of one file of evidence/; None where there is none to be read."""
    if len(name) != 68 or not name.endswith(".npz") or not name[:64].isalnum():
        return None
    try:
        content = (folder / "evidence" / name).read_bytes()
        with np.load(io.BytesIO(content), allow_pickle=False) as held:
            return {key: held[key] for key in held.files}
    except BROKEN:
        return None


def _by_row(name: str, arrays: Mapping[str, NDArray[Any]], rows: int) -> list[NDArray[Any]] | None:
    """An array's entry for each row; those packed one after the other are cut. None where it is not by row."""
    if name not in arrays:
        return None
    try:
        if f"{name}_shape" in arrays:
            cut = attributed.unpack([arrays], name)
        else:
            cut = list(arrays[name]) if arrays[name].ndim else []
    except (ValueError, TypeError, IndexError):
        return None
    return cut if len(cut) == rows else None


def _first(given: list[NDArray[Any]], there: list[NDArray[Any]] | None) -> list[NDArray[Any]]:
    """The first of several draws, where evidence keeps one of them."""
    several = there and given and np.ndim(given[0]) == np.ndim(there[0]) + 1
    return [one[0] for one in given] if several else given


def _apart(
    name: str,
    there: list[NDArray[Any]],
    given: list[list[NDArray[Any]]],
    held: NDArray[np.uint8],
    subject: Subject,
    piece: Piece,
    *,
    near: bool,
) -> str | None:
    """The first row whose entry is none of the answers; equal rows may stand for each other."""
    places: dict[bytes, list[int]] = {}
    for place, row in enumerate(held):
        places.setdefault(row.tobytes(), []).append(place)
    for at, row in enumerate(piece.rows):
        entries = [
            there[place] for place in places.get(bytes(subject.test.digests[row]).ljust(32, b"\0"), ())
        ]
        answers = [np.asarray(one[at]) for one in given]
        finite = [one for one in answers if np.isfinite(one).all()]
        if not finite or not entries:
            continue  # a row without a finite explanation is kept in no array
        if not any(_same(name, entry, answer, near=near) for entry in entries for answer in answers):
            pair = f"{_number(entries[0])} there and {_number(finite[0])} here"
            return f"array {name} holds another answer for row {int(row)}: {pair}"
    return None


def _same(name: str, entry: Any, answer: Any, *, near: bool) -> bool:
    entry = np.asarray(entry)
    if entry.shape != answer.shape or entry.dtype.kind not in "biuf":
        return False
    if name == "values":
        answer = attributed.quantised(answer)
    if not near:
        return bool(np.array_equal(entry, answer, equal_nan=True))
    scale = float(np.max(np.abs(answer[np.isfinite(answer)]), initial=0.0)) or 1.0
    share = COARSE if name == "values" else NEAR
    return bool(np.allclose(entry, answer, rtol=0, atol=share * scale, equal_nan=True))


def _number(values: Any) -> str:
    """The entry of the largest size, as what stands for an array."""
    flat = np.ravel(np.asarray(values))
    if not flat.size or flat.dtype.kind not in "biuf":
        return "no number"
    value = float(flat[int(np.argmax(np.abs(np.nan_to_num(flat))))])
    return shown(f"{value:.6g}")[1:-1]

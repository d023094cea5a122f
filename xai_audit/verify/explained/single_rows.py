"""Single rows made again: which are shown and why, with the contributions of their cells, words or pixels."""

from __future__ import annotations

import base64
import hashlib
import io
import math
import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.verify.explained.agreement import Near, Open, Stated
from xai_audit.verify.explained.kept import ContradictionError
from xai_audit.verify.explained.piece import Piece

DIGITS = 3
"""Of a cell of a map."""
CELLS = 64
"""Cells on each side of a map, at most."""
LONGEST = 96
"""Pixels on the longer side from which a picture may have been made smaller."""
_OLD = Open("the audit does not keep the repetitions that this interval rests on")
Floats = NDArray[np.float64]


def cases(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Single rows as an observation."""
    return {"shape": "cases", "cases": list(found)}


# ------------------------------------------------------------------------------------------------ which
def by_output(piece: Piece, output: Floats) -> list[tuple[str, int]]:
    """Positions of the rows of a table that are shown, by the output explained."""
    wanted = [("nearest the median score", np.argmin(np.abs(output - np.median(output))))]
    if piece.binary and piece.params.get("output") != "margin":
        gap = np.abs(output - float(piece.about["threshold"]))
        wanted.append(("nearest the decision threshold", np.argmin(gap)))
    wanted.append(("the highest score", np.argmax(output)))
    return _once(wanted, len(wanted))


def by_scores(piece: Piece, rows: NDArray[np.int64]) -> list[tuple[str, int]]:
    """Positions of up to six explained rows, by the scores of the test rows: median, edge, surest, mistaken."""
    everyones = piece.rows.scores
    if everyones is None or not len(rows):
        return []
    scores = everyones[rows]
    own = scores[np.arange(len(rows)), piece.explained(rows)]
    many = piece.about["task"] == "classification" and len(piece.classes) > 2
    wanted = [("nearest the median score", np.argmin(np.abs(own - np.median(own))))]
    threshold = float(piece.about["threshold"])
    if many:
        wanted.append(("the least sure", np.argmin(own)))
    elif piece.binary:
        wanted.append(("nearest the decision threshold", np.argmin(np.abs(own - threshold))))
    wanted.append(("the highest score", np.argmax(own)))
    if piece.about["task"] == "classification" and piece.rows.has("target") and piece.rows.has("prediction"):
        target, decided = piece.rows.codes("target")[rows], piece.rows.codes("prediction")[rows]
        wrong = np.flatnonzero((target >= 0) & (target != decided))
        sure = scores.max(axis=1) if scores.shape[1] > 1 else np.abs(own - threshold)
        if len(wrong):
            wanted.append(("the surest mistake", wrong[np.argmax(sure[wrong])]))
        for code, name in enumerate(piece.classes if many else []):
            mine = np.flatnonzero(decided == code)
            if len(mine):
                wanted.append((f"the surest {name}", mine[np.argmax(own[mine])]))
    return _once(wanted, 6)


def _once(wanted: Sequence[tuple[str, Any]], most: int) -> list[tuple[str, int]]:
    seen: dict[int, str] = {}
    for why, place in wanted:
        if int(place) in seen:
            seen[int(place)] += f"; {why}"
        elif len(seen) < most:
            seen[int(place)] = why
    return [(why, place) for place, why in seen.items()]


# ------------------------------------------------------------------------------------------------ what is said of one
def of_table(
    piece: Piece,
    why: str,
    phi: Floats,
    halves: Floats | None,
    score: float,
    base: float,
    threshold: float | None,
) -> dict[str, Any]:
    """One row of a table; cells are not kept, so they stand as given. ``halves``: None where no draws are kept."""
    items = []
    for j in sorted(range(len(phi)), key=lambda j: (-abs(phi[j]), j)):
        low, high = (_OLD, _OLD) if halves is None else _ends(float(phi[j]), float(halves[j]))
        cell = Stated("the cells of the rows shown")
        items.append(
            {"name": piece.columns[j], "value": cell, "phi": float(phi[j]), "low": low, "high": high}
        )
    return {"why": why, "base": base, "score": score, "threshold": threshold, "items": items}


def _ends(value: float, half: float) -> tuple[Any, Any]:
    return (value - half, value + half) if math.isfinite(half) else (None, None)


def named(piece: Piece, row: int, column: int) -> dict[str, str | None]:
    """What a picture or text is labelled, predicted and explained as."""
    rows = piece.rows
    if piece.about["task"] == "regression":
        label = float(rows.numbers("target")[row]) if rows.has("target") else math.nan
        return {
            "label": f"{label:.4g}" if math.isfinite(label) else None,
            "predicted": f"{rows.numbers('prediction')[row]:.4g}" if rows.has("prediction") else "",
            "explained": "the prediction",
        }
    target = int(rows.codes("target")[row]) if rows.has("target") else -1
    decided = int(rows.codes("prediction")[row]) if rows.has("prediction") else -1
    scores = rows.scores
    one = scores is not None and scores.shape[1] == 1
    of = int(piece.about["positive"]) if one else column
    return {
        "label": piece.classes[target] if target >= 0 else None,
        "predicted": piece.classes[decided] if decided >= 0 else "",
        "explained": piece.classes[of] if piece.classes else "the score",
    }


def of_picture(piece: Piece, row: int, said: dict[str, Any], published: Any, heat: Any) -> dict[str, Any]:
    """One picture with its map; where it is shown in full size it must be the one whose digest rows.parquet has."""
    picture = published.get("picture") if isinstance(published, dict) else None
    if isinstance(picture, dict) and piece.rows.has("content"):
        full = _full_size(picture, (piece.about["data"]["test"].get("channels") or {}).get("max", 9))
        if full is not None and full != piece.rows.words("content")[row]:
            raise ContradictionError(f"cases: the picture shown as {said['why']!r} is not the one explained")
    return {"kind": "image", **said, "picture": Stated("the pictures shown", is_picture), "map": heat}


def is_picture(shown: Any) -> bool:
    """Whether something is a PNG of the size that is said of it."""
    if not isinstance(shown, dict) or shown.keys() != {"width", "height", "png"}:
        return False
    try:
        head = base64.b64decode(str(shown["png"])[:44], validate=True)
    except ValueError:
        return False
    return head[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", head[16:24]) == (
        shown["width"],
        shown["height"],
    )


def _full_size(picture: dict[str, Any], channels: int) -> str | None:
    """The digest of a picture's shape and pixels; None where it was made smaller, or shows some channels alone."""
    from PIL import Image

    try:
        stream = io.BytesIO(base64.b64decode(str(picture.get("png")), validate=True))
        opened = Image.open(stream, formats=["PNG"])
        if max(opened.size) >= LONGEST or channels > 4:
            return None
        pixels = np.asarray(opened, dtype=np.uint8)
    except (OSError, ValueError, SyntaxError):
        raise ContradictionError("cases: a picture is no PNG") from None
    if pixels.shape[:2] != (picture.get("height"), picture.get("width")):
        raise ContradictionError("cases: a picture is not of the size that is said of it")
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    shape = "x".join(map(str, pixels.shape))
    return hashlib.sha256(f"{shape}:".encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def of_text(
    piece: Piece, row: int, said: dict[str, Any], published: Any, values: Floats, halves: Floats | None
) -> dict[str, Any]:
    """One text, whose words are those whose digest rows.parquet has, with a contribution for each part.

    ``halves``: half-widths of the parts' intervals; None where the method gives none.
    """
    tokens = published.get("tokens") if isinstance(published, dict) else None
    if not isinstance(tokens, list) or not all(isinstance(one, dict) for one in tokens):
        raise ContradictionError("cases: a text has no tokens")
    whole = "".join(str(one.get("text")) for one in tokens)
    content = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()
    if piece.rows.has("content") and piece.rows.words("content")[row] != content:
        raise ContradictionError(f"cases: the text shown as {said['why']!r} is not the one explained")
    made: list[dict[str, Any]] = []
    place = 0
    for one in tokens:
        text = str(one.get("text"))
        if one.get("phi") is None:
            made.append({"text": text, "phi": None, "low": None, "high": None})
            continue
        if place >= len(values):
            raise ContradictionError("cases: a text shows more contributions than were made")
        value = float(values[place])
        low, high = (None, None) if halves is None else _ends(value, float(halves[place]))
        made.append({"text": text, "phi": value, "low": low, "high": high})
        place += 1
    if place != len(values):
        raise ContradictionError(f"cases: a text shows {place} contributions; {len(values)} were made")
    return {"kind": "text", **said, "tokens": made}


# ------------------------------------------------------------------------------------------------ maps
def edges(size: int, most: int) -> list[int]:
    """Where the parts of an axis begin, and its end: equal parts where a fair count divides it."""
    if size <= most:
        return list(range(size + 1))
    fair = [count for count in range(most, most // 2, -1) if size % count == 0]
    count = fair[0] if fair else most
    return [place * size // count for place in range(count + 1)]


def summed(values: Floats, most: int) -> Floats:
    """Pixels (height, width) summed over a grid with at most ``most`` cells on a side."""
    rows, columns = (edges(size, most) for size in values.shape)
    down = np.stack([values[a:b].sum(axis=0) for a, b in pairwise(rows)])
    return np.stack([down[:, a:b].sum(axis=1) for a, b in pairwise(columns)], axis=1)


def heat(values: Floats, slack: float) -> dict[str, Any]:
    """A map as the report has it: three digits a cell, of values that are known to a share ``slack`` of their size."""
    cells, sizes = summed(values, CELLS), summed(np.abs(values), CELLS)
    height, width = cells.shape
    told = [
        [_near(float(cell), slack * float(size)) for cell, size in zip(line, of, strict=True)]
        for line, of in zip(cells, sizes, strict=True)
    ]
    return {"width": width, "height": height, "values": told}


def _near(cell: float, slack: float) -> Near:
    # Half a unit of the third digit, of the cell as it may have been before it was rounded.
    size = abs(cell) + slack
    half = 0.5 * 10 ** (math.floor(math.log10(size)) - 2) if size > 0 else 0.0
    return Near(cell, 1.001 * (half + slack), DIGITS)

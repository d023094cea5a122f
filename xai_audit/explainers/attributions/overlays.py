"""Pictures and texts as cases: a small picture, the map that lies over it, tokens in reading order, and which rows."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from xai_audit.subject import Subject

LONGEST = 96
"""Pixels on the longer side of a picture in the report."""
CELLS = 64
"""Cells on each side of a map in the report, at most."""
DIGITS = 3
"""Significant digits of a cell."""


# ------------------------------------------------------------------------------------------------ pictures and maps
def picture(array: NDArray[np.uint8]) -> dict[str, Any]:
    """A picture (height, width) or (height, width, channels) of uint8 as the report takes it.

    At most LONGEST pixels on the longer side, averaged down by area; a PNG in base64, the same bytes for the same
    picture. Grey for one channel, colour for three, with alpha for two and four; of other counts the first is shown.
    """
    pixels = array[..., None] if array.ndim == 2 else array
    if pixels.shape[-1] not in (1, 2, 3, 4):
        pixels = pixels[..., :1]
    height, width = pixels.shape[:2]
    if max(height, width) > LONGEST:
        ratio = LONGEST / max(height, width)
        size = (max(1, round(height * ratio)), max(1, round(width * ratio)))
        pixels = np.floor(_averaged(pixels.astype(np.float64), size) + 0.5).astype(np.uint8)
    content = base64.b64encode(png(pixels)).decode("ascii")
    return {"width": int(pixels.shape[1]), "height": int(pixels.shape[0]), "png": content}


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels (height, width, 1 to 4 channels) as a PNG without any metadata (RFC 2083), rows filtered by Up."""
    height, width, channels = pixels.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    lines = np.ascontiguousarray(pixels, dtype=np.uint8).reshape(height, width * channels)
    above = np.concatenate([np.zeros_like(lines[:1]), lines[:-1]])
    filtered = np.concatenate([np.full((height, 1), 2, dtype=np.uint8), lines - above], axis=1)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(filtered.tobytes(), 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def heat(values: NDArray[Any]) -> dict[str, Any]:
    """Contributions of pixels (height, width) as the report's map: at most CELLS x CELLS, each the sum of its pixels."""
    summed = cells(np.asarray(values, dtype=np.float64), CELLS)
    shown = [[significant(value) for value in row] for row in summed.tolist()]
    return {"width": summed.shape[1], "height": summed.shape[0], "values": shown}


def cells(values: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Pixels (..., height, width) summed over the cells of a grid with at most ``most`` on a side; the total stays."""
    for axis in (-2, -1):
        starts = edges(values.shape[axis], most)[:-1]
        values = np.add.reduceat(values, starts, axis=axis)
    return values


def edges(size: int, most: int) -> NDArray[np.int64]:
    """Where the parts of an axis begin, and its end: equal parts where a fair count divides it, else nearly equal."""
    if size <= most:
        return np.arange(size + 1)
    # Cells of unequal size would draw stripes: each is a sum over its pixels.
    fair = next((count for count in range(most, most // 2, -1) if size % count == 0), most)
    return np.arange(fair + 1) * size // fair


def significant(value: float) -> float:
    """A number rounded to DIGITS significant digits; 0 for what is not finite."""
    return float(f"{value:.{DIGITS}g}") + 0.0 if math.isfinite(value) else 0.0


def _averaged(pixels: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    for axis, count in enumerate(size):
        pixels = np.moveaxis(np.tensordot(_shares(pixels.shape[axis], count), pixels, (1, axis)), 0, axis)
    return pixels


def _shares(size: int, count: int) -> NDArray[np.float64]:
    """How much of each old pixel lies in each new one, rows adding to one."""
    bounds = np.arange(count + 1) * size / count
    low = np.clip(bounds[:-1, None], np.arange(size), np.arange(1, size + 1))
    high = np.clip(bounds[1:, None], np.arange(size), np.arange(1, size + 1))
    return (high - low) * count / size


# ------------------------------------------------------------------------------------------------ cases
def image_case(
    array: NDArray[np.uint8],
    values: NDArray[Any],
    *,
    why: str,
    label: str | None,
    predicted: str,
    explained: str,
    score: float,
    base: float | None,
    unit: str,
) -> dict[str, Any]:
    """One picture with the contributions of its pixels (height, width), which need not be of the picture's own size."""
    said = _said("image", why, label, predicted, explained, score, base, unit)
    return {**said, "picture": picture(array), "map": heat(values)}


def text_case(
    text: str,
    spans: Sequence[tuple[int, int]],
    values: Sequence[float],
    low: Sequence[float | None] | None = None,
    high: Sequence[float | None] | None = None,
    *,
    why: str,
    label: str | None,
    predicted: str,
    explained: str,
    score: float,
    base: float | None,
    unit: str,
) -> dict[str, Any]:
    """One text, whole and in reading order: the parts at ``spans`` with their contributions, the gaps without."""
    said = _said("text", why, label, predicted, explained, score, base, unit)
    tokens: list[dict[str, Any]] = []
    place = 0
    for index in sorted(range(len(spans)), key=lambda index: tuple(spans[index])):
        start, end = max(spans[index][0], place), spans[index][1]
        if end <= start:
            continue
        if start > place:
            tokens.append(_token(text[place:start]))
        bounds = [None if side is None else side[index] for side in (low, high)]
        tokens.append(_token(text[start:end], float(values[index]), *bounds))
        place = end
    if place < len(text):
        tokens.append(_token(text[place:]))
    return {**said, "tokens": tokens}


def _token(
    text: str, phi: float | None = None, low: float | None = None, high: float | None = None
) -> dict[str, Any]:
    return {"text": text, "phi": phi, "low": low, "high": high}


def _said(
    kind: str,
    why: str,
    label: str | None,
    predicted: str,
    explained: str,
    score: float,
    base: float | None,
    unit: str,
) -> dict[str, Any]:
    return {
        "kind": kind,
        "why": why,
        "label": label,
        "predicted": predicted,
        "explained": explained,
        "score": score,
        "base": base,
        "unit": unit,
    }


# ------------------------------------------------------------------------------------------------ which rows and class
def explained(subject: Subject, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which output is explained for each row, as a column of ``subject.scores``.

    The positive class where there are two, the row's own predicted class where there are more, the one output of a
    regression or a bare score.
    """
    if subject.task == "regression" or subject.scores is None or subject.scores.shape[1] == 1:
        return np.zeros(len(rows), dtype=np.int64)
    if len(subject.classes) == 2:
        return np.full(len(rows), subject.positive, dtype=np.int64)
    assert subject.prediction is not None
    return np.asarray(subject.prediction[rows], dtype=np.int64)


def explained_words(subject: Subject) -> str:
    """The same in words, for ``params``."""
    if subject.task == "regression":
        return "the prediction"
    if len(subject.classes) > 2:
        return "each row's predicted class"
    return f"the positive class ({subject.classes[subject.positive]})" if subject.classes else "the score"


def named(subject: Subject, row: int, column: int) -> dict[str, Any]:
    """``label``, ``predicted`` and ``explained`` of a case: class names, or numbers for regression."""
    target = None if subject.test.target is None else subject.test.target[row]
    prediction = None if subject.prediction is None else subject.prediction[row]
    if subject.task == "regression":
        known = target is not None and np.isfinite(target)
        return {
            "label": f"{target:.4g}" if known else None,
            "predicted": "" if prediction is None else f"{prediction:.4g}",
            "explained": "the prediction",
        }
    names = [str(name) for name in subject.classes]
    one = subject.scores is not None and subject.scores.shape[1] == 1
    return {
        "label": names[int(target)] if target is not None and 0 <= target < len(names) else None,
        "predicted": "" if prediction is None else names[int(prediction)],
        "explained": names[subject.positive if one else column] if names else "the score",
    }


def shown(subject: Subject, rows: NDArray[np.int64], most: int = 6) -> list[tuple[str, int]]:
    """Which of the explained rows to show and why: (why, position in ``rows``), each row once.

    Where there are two classes: nearest the median, the threshold and the highest score; the surest mistake where
    there are labels. Where there are more: the median sureness, the surest, the least sure, the surest mistake, then the
    surest of each class. Ties go to the first in row order.
    """
    if subject.scores is None or not len(rows):
        return []
    scores = subject.scores[rows]
    own = scores[np.arange(len(rows)), explained(subject, rows)]
    wanted = [("nearest the median score", _first(-np.abs(own - np.median(own))))]
    many = subject.task == "classification" and len(subject.classes) > 2
    if many:
        wanted.append(("the least sure", _first(-own)))
    elif subject.binary:
        wanted.append(("nearest the decision threshold", _first(-np.abs(own - subject.threshold))))
    wanted.append(("the highest score", _first(own)))
    if (
        subject.task == "classification"
        and subject.test.target is not None
        and subject.prediction is not None
    ):
        target, prediction = subject.test.target[rows], subject.prediction[rows]
        wrong = (target >= 0) & (target != prediction)
        if wrong.any():
            sure = scores.max(axis=1) if scores.shape[1] > 1 else np.abs(own - subject.threshold)
            wanted.append(("the surest mistake", _first(np.where(wrong, sure, -np.inf))))
    if many:
        assert subject.prediction is not None
        for index, name in enumerate(subject.classes):
            mine = subject.prediction[rows] == index
            if mine.any():
                wanted.append((f"the surest {name}", _first(np.where(mine, own, -np.inf))))
    seen: dict[int, str] = {}
    for why, position in wanted:
        if position in seen:
            seen[position] = f"{seen[position]}; {why}"
        elif len(seen) < most:
            seen[position] = why
    return [(why, position) for position, why in seen.items()]


def _first(values: NDArray[np.float64]) -> int:
    return int(np.argmax(values))

"""Changes that should change nothing: a re-encoded picture, a text in lower case, a table with a trace of noise."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.explainers.rows import generator

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from numpy.typing import NDArray

    from xai_audit.subject import Rows, Subject

NOISE = 0.01
"""Standard deviation of the noise added to numbers, as a share of the column's own."""


def changed(
    subject: Subject, rows: NDArray[np.int64], reference: pd.DataFrame, seed: int
) -> list[tuple[str, pd.DataFrame, NDArray[np.bool_]]]:
    """For each change its name, the test rows so changed, and which of them it changed at all.

    Numbers get noise of NOISE times the standard deviation in ``reference``, drawn by each row's content.
    """
    if subject.modality == "table":
        return [_noisy(subject, subject.test, rows, reference, seed)]
    frame = subject.test.frame.iloc[rows]
    name = str(frame.columns[0])
    each = PICTURES if subject.modality == "image" else TEXTS
    return [(what, *_mapped(frame, name, change)) for what, change in each.items()]


def _mapped(
    frame: pd.DataFrame, name: str, change: Callable[[Any], Any]
) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    import pandas as pd

    cells = np.empty(len(frame), dtype=object)
    differs = np.zeros(len(frame), dtype=bool)
    for place, cell in enumerate(frame[name]):
        usable = isinstance(cell, (str, np.ndarray))
        cells[place] = change(cell) if usable else cell
        differs[place] = usable and not np.array_equal(cells[place], cell)
    return pd.DataFrame({name: cells}), differs


def _noisy(
    subject: Subject, table: Rows, rows: NDArray[np.int64], reference: pd.DataFrame, seed: int
) -> tuple[str, pd.DataFrame, NDArray[np.bool_]]:
    names = [column.name for column in subject.columns if column.kind == "numeric"]
    frame = table.frame.iloc[rows].reset_index(drop=True)
    spread = [float(np.nanstd(reference[name].to_numpy(dtype=np.float64))) for name in names]
    draws = [generator(seed, "noise", table.seed(int(row))).standard_normal(len(names)) for row in rows]
    before = frame[names].to_numpy(dtype=np.float64)
    after = before + NOISE * np.asarray(spread) * np.asarray(draws).reshape(before.shape)
    frame[names] = after
    differs = (np.isfinite(before) & (after != before)).any(axis=1)
    return f"noise of {NOISE * 100:g} % of the standard deviation", frame, differs


# ------------------------------------------------------------------------------------------------ pictures
def reencoded(picture: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """The picture after a JPEG of this quality; channels beyond one or three colours (alpha) stay."""
    from PIL import Image

    colours = 3 if picture.shape[-1] >= 3 else 1
    base = picture[..., :3] if colours == 3 else picture[..., 0]
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(base)).save(stream, format="JPEG", quality=quality)
    found = np.asarray(Image.open(stream), dtype=np.uint8).reshape(*picture.shape[:2], colours)
    return np.concatenate([found, picture[..., colours:]], axis=-1)


def brightened(picture: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """Every value times the factor, rounded and kept within 0 to 255."""
    found: NDArray[np.uint8] = np.clip(np.floor(picture * factor + 0.5), 0, 255).astype(np.uint8)
    return found


def shifted(picture: NDArray[np.uint8], axis: int) -> NDArray[np.uint8]:
    """The picture moved by one pixel along an axis, its first line standing twice."""
    return np.concatenate([picture.take([0], axis), np.delete(picture, -1, axis)], axis)


PICTURES: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    "JPEG quality 90": lambda one: reencoded(one, 90),
    "JPEG quality 75": lambda one: reencoded(one, 75),
    "5 % brighter": lambda one: brightened(one, 1.05),
    "5 % darker": lambda one: brightened(one, 0.95),
    "1 pixel to the right": lambda one: shifted(one, 1),
    "1 pixel down": lambda one: shifted(one, 0),
}


# ------------------------------------------------------------------------------------------------ texts
def stopped(text: str) -> str:
    """The text without its final full stop, question or exclamation mark; with a full stop where it has none."""
    bare = text.rstrip()
    return bare[:-1] if bare.endswith((".", "!", "?")) else f"{bare}."


TEXTS: dict[str, Callable[[str], str]] = {
    "lower case": str.lower,
    "every space twice": lambda text: text.replace(" ", "  "),
    "final punctuation": stopped,
}

"""Occlusion: how the output changes when a window of the picture is covered, or words are left out; for any model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from xai_audit.errors import MethodError
from xai_audit.evidence import Frozen
from xai_audit.explainers.attributions import attributed, overlays, parts, removal
from xai_audit.explainers.rows import Share, reference_table, shared
from xai_audit.method import Measured, Method, Skipped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.method import Context, Piece
    from xai_audit.subject import Subject

Cover = Literal["mean", "black", "white", "blur"]
COVERS: dict[str, str] = {
    "mean": "the mean colour of the reference pictures",
    "black": "black",
    "white": "white",
    "blur": "the picture itself, blurred by a Gaussian of an eighth of its longer side",
}
Window = tuple[slice, ...]


class OcclusionParams(Frozen):
    """How windows are laid."""

    rows: int | None = Field(64, ge=1)
    """Test rows explained; null for all."""
    window: int | None = Field(None, ge=1)
    """Pixels on a side, or words and signs in a row; null: an eighth of the longer side, or one, or the stride if wider."""
    stride: int | None = Field(None, ge=1)
    """From one window to the next; null: windows stand side by side."""
    cover: Cover = "mean"
    """What covers a window of a picture; of a text the words are left out."""
    output: Literal["score", "margin"] = "score"
    """What is explained: the score that the model gives, or its output before the link."""
    most: int = Field(400, ge=1)
    """Windows in a text; a longer one gets wider windows."""


# ------------------------------------------------------------------------------------------------ windows
def windows(shape: Sequence[int], window: int, stride: int) -> list[Window]:
    """Square windows over each axis, row by row; those that reach over the end are cut there."""
    starts = [range(0, max(size - window, 0) + stride, stride) for size in shape]
    found = [
        tuple(slice(start, min(start + window, size)) for start, size in zip(corner, shape, strict=True))
        for corner in product(*starts)
    ]
    return [one for one in found if all(side.start < side.stop for side in one)]


def over(
    shape: Sequence[int], laid: Sequence[Window], changes: NDArray[np.float64], *, shares: bool
) -> NDArray[np.float64]:
    """Changes as a map: the mean over the windows that hold an element, each whole or shared out equally in its window."""
    total, count = np.zeros(shape), np.zeros(shape)
    for one, change in zip(laid, changes.tolist(), strict=True):
        size = np.prod([side.stop - side.start for side in one]) if shares else 1
        total[one] += change / size
        count[one] += 1
    return np.asarray(total / np.maximum(count, 1))


def _laid(subject: Subject, params: OcclusionParams, cell: Any) -> tuple[tuple[int, ...], list[Window]]:
    """The shape of a row's map and the windows over it."""
    if subject.modality == "image":
        shape: tuple[int, ...] = tuple(cell.shape[:2])
        window = params.window or max(-(-max(shape) // 8), params.stride or 1)
        return shape, windows(shape, window, params.stride or window)
    count = len(parts.spans(cell))
    window = params.window or params.stride or 1
    stride = params.stride or window
    if count and -(-max(count - window, 0) // stride) + 1 > params.most:
        window = stride = -(-count // params.most)
    return (count,), windows((count,), window, stride) if count else []


def _covered(subject: Subject, params: OcclusionParams, cell: Any, window: Window, blurred: Any) -> Any:
    if subject.modality == "text":
        gone = np.zeros(len(parts.spans(cell)), dtype=bool)
        gone[window] = True
        return parts.without(cell if isinstance(cell, str) else "", parts.spans(cell), gone)
    painted = cell.copy()
    if params.cover == "blur":
        painted[window] = blurred[window]
    elif params.cover == "mean":
        depth = 1 if cell.ndim == 2 else cell.shape[2]
        fill = removal.fill_of(subject).astype(np.uint8)[:depth]
        painted[window] = fill[0] if cell.ndim == 2 else fill
    else:
        painted[window] = 255 if params.cover == "white" else 0
    return painted


def _blurred(cell: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from scipy.ndimage import gaussian_filter

    width = max(cell.shape[:2]) / 8
    sigma = (width, width, *[0] * (cell.ndim - 2))
    smooth = gaussian_filter(cell.astype(np.float64), sigma=sigma, mode="nearest")
    return np.asarray(np.floor(smooth + 0.5).astype(np.uint8))


# ------------------------------------------------------------------------------------------------ in a worker
def _work(subject: Subject, params: OcclusionParams, piece: Piece, seed: int) -> Mapping[str, NDArray[Any]]:
    del seed  # nothing is drawn here but the random orders, seeded by the spec's seed and row content
    assert isinstance(piece, Share)
    rows = [int(row) for row in piece.rows]
    columns = overlays.explained(subject, piece.rows).tolist()
    cells: list[Any] = [subject.test.frame.iloc[row, 0] for row in rows]
    laid = [_laid(subject, params, cell) for cell in cells]

    def asked() -> Iterator[tuple[Any, int]]:
        for cell, column, (shape, wins) in zip(cells, columns, laid, strict=True):
            blurred = _blurred(cell) if params.cover == "blur" and subject.modality == "image" else None
            yield cell, column
            yield _covered(subject, params, cell, tuple(slice(0, size) for size in shape), blurred), column
            for window in wins:
                yield _covered(subject, params, cell, window, blurred), column

    told = removal.answers(subject, asked(), params.output)
    start, end, values = [], [], []
    for shape, wins in laid:
        end.append(next(told))
        start.append(next(told))
        changes = end[-1] - np.asarray([next(told) for _ in wins])
        values.append(over(shape, wins, changes, shares=True))
    areas = removal.judged(
        subject, rows, [removal.units(subject, one) for one in values], columns, piece.seed
    )
    return {
        **attributed.pack("values", values),
        "start": np.asarray(start),
        "end": np.asarray(end),
        "windows": np.asarray([len(wins) for _, wins in laid], dtype=np.int64),
        "widest": np.asarray(
            [max((_width(one) for one in wins), default=0) for _, wins in laid], dtype=np.int64
        ),
        **attributed.walks(areas),
    }


def _width(window: Window) -> int:
    return max(int(side.stop - side.start) for side in window)


# ------------------------------------------------------------------------------------------------ the method
def run(subject: Subject, params: OcclusionParams, context: Context) -> Iterator[Measured | Skipped]:
    """Rankings of regions or words, single rows, and removal in the order that the changes give."""
    rows, sampling = context.sample(params.rows)
    if not len(rows):
        raise MethodError("there are no test rows to explain")
    if params.stride is not None and params.window is not None and params.stride > params.window:
        raise MethodError("a stride wider than the window leaves parts that no window covers")
    if params.output == "margin" and (
        subject.model is None or subject.model.margin(subject.test.frame[:1]) is None
    ):
        raise MethodError("this model has no output before the link; take output: score")
    table, source = reference_table(subject)
    pieces = shared(context.pieces(rows), context.seed, np.arange(0), table, {"rows": table.n})
    done = context.map(_work, pieces)
    found = attributed.found_of(rows, overlays.explained(subject, rows), done)
    counts, widest = attributed.joined(done, "windows"), attributed.joined(done, "widest")
    about: dict[str, Any] = {
        "engine": "xai-audit",
        "explained": f"{params.output} of {overlays.explained_words(subject)}",
        "windows": {"fewest": int(counts.min()), "most": int(counts.max())},
        "window_used": {"narrowest": int(widest.min()), "widest": int(widest.max())},
        "answers_of_the_model": int(counts.sum()) + 2 * len(counts),
    }
    limits = [*attributed.said(subject)]
    if subject.modality == "image":
        about |= {"cover_is": COVERS[params.cover], "reference": source}
    else:
        about["cover_is"] = "words and signs are left out of the text"
        wider = int((widest > (params.window or params.stride or 1)).sum())
        if wider:
            limits.append(f"{wider} long texts got wider windows, so that none has more than {params.most}")
    common: dict[str, Any] = {
        "sampling": sampling,
        "versions": {"engine": "xai-audit", "numpy": np.__version__},
        "params": about,
        "limits": tuple(limits),
    }
    whole = attributed.finite(found)
    yield attributed.coverage(whole, common)
    found = found.kept(whole)
    unit = f"change in {params.output}"
    kept = attributed.kept_of(subject, found, {"windows": counts[whole]})
    yield attributed.overall(subject, found, context, common, unit=unit, kept=kept)
    yield attributed.cases(
        subject, found, context, common, unit=unit, probability=True, kept=kept, additive=False
    )
    yield from attributed.faithfulness(subject, found, context, common, {})


METHOD = Method(
    id="occlusion",
    kind="explainer",
    title="Occlusion",
    measures="How far the output falls when a window of the picture is covered, or when words are left out",
    params=OcclusionParams,
    run=run,
    needs=("model", "images or text"),
    parts=attributed.SHARED_PARTS,
    limits=(
        "changes do not add up to the output: what two windows tell together counts for neither or for both",
        "covered pictures and texts with gaps are unlike what the model has seen",
    ),
    cites=("Zeiler and Fergus 2014, ECCV", "Petsiuk, Das and Saenko 2018, BMVC"),
)

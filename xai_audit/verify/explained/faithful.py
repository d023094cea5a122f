"""Whether attributions are the model's own, made again: removal in their order, what sums miss, twins, baselines."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.verify.explained import orders, packed, spread
from xai_audit.verify.explained.agreement import Among
from xai_audit.verify.explained.inputs import scalar
from xai_audit.verify.explained.kept import ContradictionError
from xai_audit.verify.explained.piece import Made, Piece, shaped

REMOVAL_STEPS = 10
Floats = NDArray[np.float64]


# ------------------------------------------------------------------------------------------------ removal
def removed(piece: Piece, rows: NDArray[np.int64]) -> Made:
    """How much sooner the output falls when parts go in the order of the attributions, than at random."""
    ways = packed.unpacked(piece, "heights", piece.numbers("heights", 1), len(rows))
    sizes = shaped("sizes", piece.whole("sizes", 1), len(rows))
    areas = np.stack([_areas(way, size) for way, size in zip(ways, sizes.tolist(), strict=True)])
    first, last, random = areas[:, 0], areas[:, 1], areas[:, 2:].mean(axis=1)
    away = piece.part == "deletion"
    estimate = spread.mean(random - first if away else last - random, piece.levels)
    controls = [_control("random order of the same parts", estimate)]
    if piece.has("twin_areas"):
        twins = piece.numbers("twin_areas", 3)
        n = len(shaped("twin_areas", twins, -1, -1, 2))
        lost = twins[:, :, 0] - first[:n, None] if away else last[:n, None] - twins[:, :, 1]
        over = spread.mean_of_both(lost, piece.levels)
        controls.append(_control("order by the same network with its weights permuted", over))
    about = {
        "area": spread.centre(first if away else last),
        "area_at_random": spread.centre(random),
        "steps_of_removal": REMOVAL_STEPS,
        "random_orders": areas.shape[1] - 2,
    }
    return {"observation": scalar(estimate, "score"), "controls": controls, "params": about}


def _control(name: str, estimate: dict[str, Any]) -> dict[str, Any]:
    passed = estimate["low"] is not None and estimate["low"] > 0
    return {
        "name": name, "expectation": "positive", "estimate": estimate, "passed": passed, "edit": False,
    }  # fmt: skip


def _areas(way: Floats, size: int) -> Floats:
    """The mean output along each way (ways, steps) through ``size`` parts."""
    steps = max(min(REMOVAL_STEPS, size), 1)
    counts = np.asarray(sorted({step * size // steps for step in range(steps + 1)}))
    if way.ndim != 2 or way.shape[1] != len(counts) or len(way) < 3:
        raise ContradictionError(f"array heights has {way.shape} outputs for {size} parts")
    if len(counts) == 1:
        return np.asarray(way[:, 0])
    widths = np.diff(counts) / max(size, 1)
    return np.asarray(((way[:, 1:] + way[:, :-1]) / 2 * widths).sum(axis=1))


# ------------------------------------------------------------------------------------------------ sums
def completeness(piece: Piece) -> Made:
    """What share of the change from the baseline the contributions miss."""
    residual, steps = piece.numbers("residual", 1), piece.whole("steps", 1)
    if piece.modality == "table":
        signed, start, end = (
            piece.numbers(name, axes) for name, axes in (("contributions", 2), ("base", 1), ("output", 1))
        )
        gap = np.abs(signed.sum(axis=1) - (end - start))
        with np.errstate(divide="ignore", invalid="ignore"):
            again = np.where(gap == 0, 0.0, gap / np.abs(end - start))
        # Of sums that agree to many digits the difference is rounding.
        piece.agreeing("residual", np.maximum(residual, 1e-9), np.maximum(again, 1e-9), 1e-6)
    usable = residual[np.isfinite(residual)]
    if not len(usable):
        return {"skipped": "the output at every row equals that at its baseline"}
    about = {
        "largest": float(usable.max()),
        "median": float(np.median(usable)),
        "steps_used": {
            "least": int(steps.min()),
            "median": float(np.median(steps)),
            "most": int(steps.max()),
        },
    }
    limits = []
    if len(usable) < len(residual):
        rest = len(residual) - len(usable)
        limits.append(Among(f"{rest} rows have the output of their baseline: no share of a change"))
    tolerance = piece.params.get("tolerance")
    missed = 0 if tolerance is None else int((usable > tolerance).sum())
    if missed:
        most = int(steps.max())
        limits.append(Among(f"{missed} rows miss the tolerance at the most steps allowed ({most})"))
    made: Made = {"observation": scalar(spread.mean(usable, piece.levels, 0.0)), "params": about}
    return {**made, "sampling": piece.sampled()[1], **({"limits": limits} if limits else {})}


def expected(piece: Piece, end: Floats) -> Made:
    """What the sum of expected gradients misses of the change."""
    gap, error = piece.numbers("gap", 1), piece.numbers("gap_error", 1)
    start = piece.numbers("base", 1)
    scale = float(np.ptp(np.concatenate([start, end])))
    if scale <= 0:
        return {"skipped": "the output is the same for every row and the background"}
    share = np.abs(gap) / np.maximum(np.abs(end - start), scale)
    return {
        "observation": scalar(spread.mean(share, piece.levels, 0.0)),
        "params": {
            "largest": float(share.max()),
            "scale": scale,
            "within_two_standard_errors": float((np.abs(gap) <= 2 * error).mean()),
        },
        "sampling": piece.sampled()[1],
    }


# ------------------------------------------------------------------------------------------------ other baselines, twins
def alike(piece: Piece, rows: NDArray[np.int64]) -> Made:
    """How far other baselines, or networks with permuted weights, put the parts of a row in the same order."""
    counts = piece.whole("parts_of_row", 1)
    if len(counts) != min(int(piece.params["checked"]), len(rows)):
        raise ContradictionError("array parts_of_row is not of the rows that are checked")
    if piece.part == "twin":
        return _twins(piece, counts)
    order = piece.words("compared")
    maps = {name: packed.by_row(piece, f"from_{name}", counts) for name in order}
    pairs = {
        f"{a}, {b}": [orders.like(x, y) for x, y in zip(maps[a], maps[b], strict=True)]
        for i, a in enumerate(order)
        for b in order[i + 1 :]
    }
    by_row = np.asarray(list(pairs.values())).mean(axis=0)
    usable = by_row[np.isfinite(by_row)]
    if not len(usable):
        return {"skipped": "no row's contributions vary from every baseline"}
    told = {
        name: float(np.nanmean(values)) if np.isfinite(values).any() else None
        for name, values in pairs.items()
    }
    return {
        "observation": scalar(spread.mean(usable, piece.levels, -1.0, 1.0)),
        "params": {"compared": told, "rows_compared": len(usable)},
        "sampling": piece.sampled()[1],
    }


def _twins(piece: Piece, counts: NDArray[np.int64]) -> Made:
    own = packed.by_row(piece, "own", counts)
    count = int(piece.params["twins"])
    found = np.asarray(
        [
            [orders.like(a, b) for a, b in zip(own, packed.by_row(piece, f"twin_{k}", counts), strict=True)]
            for k in range(count)
        ]
    ).T
    usable = found[np.isfinite(found).all(axis=1)]
    if not len(usable):
        return {"skipped": "no row's contributions vary in every network with permuted weights"}
    return {
        "observation": scalar(spread.mean_of_both(usable, piece.levels, -1.0, 1.0)),
        "params": {"rows_compared": len(usable)},
        "sampling": piece.sampled()[1],
    }

"""Numbers of dictionaries in the shapes that audit.json gives them: ratios of sums over documents, shares, words."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.verify.explained import spread
from xai_audit.verify.explained.piece import Piece

Floats = NDArray[np.float64]


def ratio(piece: Piece, over: Floats, under: Floats, *, low: float | None = None) -> dict[str, Any]:
    """A ratio of sums with its interval, cut below."""
    value, error = spread.ratio(over, under)
    pairs = spread.around(value, error, len(over) - 1, piece.levels)
    if low is not None:
        pairs = [tuple(None if one is None else max(one, low) for one in pair) for pair in pairs]  # type: ignore[misc]
    return spread.estimate(value, pairs, len(over))


def slot(estimate: dict[str, Any]) -> list[float | None]:
    """Value, low and high."""
    return [estimate["value"], estimate["low"], estimate["high"]]


def shown(estimate: dict[str, Any], digits: int = 2, sign: int = 1) -> str:
    """An estimate as a sentence has it."""
    ends = [estimate["low"], estimate["high"]][::sign]
    told = ["-" if one is None else f"{sign * one:.{digits}f}" for one in ends]
    return f"{sign * estimate['value']:.{digits}f} [{', '.join(told)}]"


def curve(x: str, y: str, series: list[tuple[str, list[Any]]]) -> dict[str, Any]:
    """Named runs of points."""
    told = [{"name": name, "points": points} for name, points in series]
    return {"shape": "curve", "x": x, "y": y, "series": told}


def share(piece: Piece, count: int, of: int) -> dict[str, Any]:
    """A share of latents with Wilson's interval."""
    return spread.estimate(count / of, spread.rate(count, of, piece.levels), of)

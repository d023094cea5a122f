"""Means, shares and their intervals as verifying computes them: few lines of its own, through scipy's functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.evidence import LEVELS
from xai_audit.verify import limits

Pair = tuple[float | None, float | None]
Floats = NDArray[np.float64]


def _special() -> Any:
    from scipy import special

    return special


def _stats() -> Any:
    from scipy import stats

    return stats


def levels_of(confidence: float) -> tuple[float, ...]:
    """The level that is shown, then those that rules may read."""
    return (confidence, *map(float, LEVELS))


def estimate(value: float, pairs: Sequence[Pair], n: int) -> dict[str, Any]:
    """An estimate as audit.json holds it, from limits at the shown level and, where there are more, at LEVELS."""
    low, high = pairs[0]
    wider = (
        {name: list(pair) for name, pair in zip(LEVELS, pairs[1:], strict=True)} if len(pairs) > 1 else None
    )
    return {"value": value, "low": low, "high": high, "n": n, "limits": wider}


def exact(value: float, n: int) -> dict[str, Any]:
    """An estimate without error."""
    return {"value": value, "low": value, "high": value, "n": n, "limits": None}


def control(name: str, expectation: str, estimate: dict[str, Any], *, edit: bool = False) -> dict[str, Any]:
    """A control with whether it passed."""
    low, high = estimate["low"], estimate["high"]
    passed = {
        "positive": low is not None and low > 0,
        "null": low is not None and high is not None and low <= 0 <= high,
        "equal": (low, high) == (0, 0),
    }[expectation]
    return {"name": name, "expectation": expectation, "estimate": estimate, "passed": passed, "edit": edit}


def student(level: float, df: float) -> float:
    """Half-width of a two-sided t interval in standard errors, from the incomplete beta function."""
    if df < 50:
        # Of df / (df + t^2) and its complement the smaller one keeps its digits.
        rest = float(_special().betaincinv(df / 2, 0.5, 1 - level))
        return math.sqrt(df * (1 - rest) / rest)
    share = float(_special().betaincinv(0.5, df / 2, level))
    return math.sqrt(df * share / (1 - share))


def around(value: float, error: float, df: float, levels: Sequence[float]) -> list[Pair]:
    """Student's t limits; unbounded where there is no error to speak of."""
    if not math.isfinite(error):
        return [(None, None)] * len(levels)
    return [(value - half, value + half) for half in (student(level, df) * error for level in levels)]


def cut(pairs: Sequence[Pair], low: float | None, high: float | None) -> list[Pair]:
    """Limits within what is possible; an unbounded one stays so."""
    return [
        (a if a is None or low is None else max(a, low), b if b is None or high is None else min(b, high))
        for a, b in pairs
    ]


def centre(values: Any) -> float:
    """The mean, its sum rounded once."""
    flat = np.asarray(values, dtype=np.float64).ravel().tolist()
    return math.fsum(flat) / len(flat)


def centres(values: NDArray[Any]) -> Floats:
    """The mean over the first axis, each sum rounded once."""
    return np.asarray([centre(column) for column in np.asarray(values, dtype=np.float64).T.tolist()])


def mean(
    values: Any, levels: Sequence[float], low: float | None = None, high: float | None = None
) -> dict[str, Any]:
    """The mean of independent values with its t interval."""
    flat = np.asarray(values, dtype=np.float64)
    n = len(flat)
    error = float(_stats().sem(flat)) if n > 1 else math.inf
    return estimate(centre(flat), cut(around(centre(flat), error, n - 1, levels), low, high), n)


def apart(first: Any, second: Any, levels: Sequence[float]) -> tuple[float, list[Pair]]:
    """The mean of one group less that of another, of unequal spread: Welch and Satterthwaite."""
    one, two = (np.asarray(values, dtype=np.float64) for values in (first, second))
    gap = centre(one) - centre(two)
    if min(len(one), len(two)) < 2:
        return gap, [(None, None)] * len(levels)
    shares = [float(_stats().sem(values)) ** 2 for values in (one, two)]
    error = math.sqrt(sum(shares))
    if error == 0:
        return gap, [(gap, gap)] * len(levels)
    df = error**4 / sum(
        share**2 / (len(values) - 1) for share, values in zip(shares, (one, two), strict=True)
    )
    return gap, around(gap, error, df, levels)


def ratio(over: Floats, under: Floats) -> tuple[float, float]:
    """A sum over another, one of each for a document, and the standard error of it by the documents' residuals."""
    total = math.fsum(under.tolist())
    value = math.fsum(over.tolist()) / total
    n = len(over)
    residuals = over - value * under
    # The residuals sum to nothing, so that their mean need not be taken off.
    error = math.sqrt(n * math.fsum((residuals**2).tolist()) / (n - 1)) / total if n > 1 else math.inf
    return value, error


def mean_of_both(
    values: Floats, levels: Sequence[float], low: float | None = None, high: float | None = None
) -> dict[str, Any]:
    """The mean over rows and draws (rows, draws) for other rows and other draws, by Satterthwaite's degrees."""
    rows, draws = values.shape
    value = centre(values)
    if rows < 2 or draws < 2:
        return estimate(value, [(low, high)] * len(levels), rows)
    by_row, by_draw = _stats().sem(values.mean(axis=1)) ** 2, _stats().sem(values.mean(axis=0)) ** 2
    total = float(by_row + by_draw)
    df = total**2 / (by_row**2 / (rows - 1) + by_draw**2 / (draws - 1)) if total > 0 else rows - 1
    pairs = around(value, math.sqrt(total), df, levels)
    return estimate(value, cut(pairs, low, high), rows)


# ------------------------------------------------------------------------------------------------ shares
def rate(x: float, n: float, levels: Sequence[float]) -> list[Pair]:
    """Limits of a rate at each level."""
    return [limits.rate(x, n, level) for level in levels]

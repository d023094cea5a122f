"""Numbers of a circuit with their intervals over prompts: each prompt's influence to first order, Student's t."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.evidence import Estimate
from xai_audit.intervals_rows import mean, t_quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from xai_audit.mechanistic.circuits.faithfulness import Kept
    from xai_audit.method import Context

SHARES = (0.85, 0.95)
"""Of the behaviour, at which sizes are said."""


def faithfulness(context: Context, kept: Kept) -> Estimate:
    """Of one circuit."""
    return _mean(context, kept.influence()[0])


def areas(
    context: Context, grown: Kept, sizes: NDArray[np.int64], elements: int
) -> tuple[Estimate, Estimate]:
    """CPR and CMD: areas under faithfulness, and under its distance from 1, over the share of elements."""
    weights = _trapezoid(sizes / elements)
    values, influence = grown.faithfulness(), grown.influence()
    cpr = _mean(context, weights @ influence)
    # The distance's slope is 1 either way; where it is 0 nothing moves it to first order.
    distance = np.abs(1 - values)[:, None] - np.sign(1 - values)[:, None] * (influence - values[:, None])
    cmd = _mean(context, weights @ distance)
    limits = None if cmd.limits is None else {
        level: (_floor(low), high) for level, (low, high) in cmd.limits.items()
    }  # fmt: skip
    return cpr, cmd.model_copy(update={"low": _floor(cmd.low), "limits": limits})


def size(context: Context, grown: Kept, sizes: NDArray[np.int64], share: float) -> Estimate:
    """The fewest elements, of sizes tried, that keep a share; the ends are where the limits of faithfulness reach it."""
    level = context.levels[:1]
    found = [mean(row.tolist(), level)[1][0] for row in grown.influence()]
    low = _first(sizes, [math.inf if high is None else high for _, high in found], share)
    high = _first(sizes, [-math.inf if low_ is None else low_ for low_, _ in found], share)
    value = _first(sizes, grown.faithfulness().tolist(), share)
    # Faithfulness of all elements is 1: some size keeps every share.
    assert value is not None
    return Estimate(value=value, low=low, high=high, n=grown.circuit.shape[1])


def _first(sizes: NDArray[np.int64], kept: Sequence[float], share: float) -> float | None:
    return next(
        (float(one) for one, value in zip(sizes.tolist(), kept, strict=True) if value >= share - 1e-12), None
    )


def behaviour(context: Context, kept: Kept) -> Estimate:
    """The whole network less everything ablated."""
    return _mean(context, kept.full - kept.empty)


def one_more(context: Context, values: NDArray[np.float64]) -> Estimate:
    """Where one more such number lies: Student's t about the mean."""
    n, centre = len(values), float(values.mean())
    spread = float(values.std(ddof=1)) * math.sqrt(1 + 1 / n)
    limits = [
        (centre - half, centre + half) for half in (t_quantile(one, n - 1) * spread for one in context.levels)
    ]
    return context.estimate(centre, limits, n)


def reach(values: NDArray[np.float64]) -> float:
    """What one more such number stays below with probability 0.975."""
    n = len(values)
    return float(values.mean()) + t_quantile(0.95, n - 1) * float(values.std(ddof=1)) * math.sqrt(1 + 1 / n)


def shifted(estimate: Estimate, by: float) -> Estimate:
    """The same less a constant."""
    limits = None if estimate.limits is None else {
        level: (_less(low, by), _less(high, by)) for level, (low, high) in estimate.limits.items()
    }  # fmt: skip
    return Estimate(
        value=estimate.value - by,
        low=_less(estimate.low, by),
        high=_less(estimate.high, by),
        n=estimate.n,
        limits=limits,
    )


def slot(estimate: Estimate) -> dict[str, Any]:
    """As it stands among params."""
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}


def _mean(context: Context, values: NDArray[np.float64]) -> Estimate:
    value, limits = mean(values.tolist(), context.levels)
    return context.estimate(value, limits, len(values))


def _trapezoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weights of the trapezoid rule."""
    steps = np.diff(x)
    return np.asarray((np.concatenate([steps, [0.0]]) + np.concatenate([[0.0], steps])) / 2)


def _floor(low: float | None) -> float | None:
    return None if low is None else max(low, 0.0)


def _less(limit: float | None, by: float) -> float | None:
    return None if limit is None else limit - by

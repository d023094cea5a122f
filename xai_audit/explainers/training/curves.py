"""What was recorded as curves: losses, weights, Fourier measures, and where phases end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.evidence import Curve, Estimate, Point, Series, exactly
from xai_audit.explainers.training.recorded import WEIGHTS
from xai_audit.intervals_rows import mean
from xai_audit.method import Measured

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.explainers.training.modular import Spectra
    from xai_audit.explainers.training.recorded import Recorded
    from xai_audit.mechanistic.dynamics.changes import Phases
    from xai_audit.method import Context

SIDES = {"held_out": "held-out rows", "train": "training rows"}


def losses(recorded: Recorded, context: Context, said: Mapping[str, Any]) -> Measured:
    """Both losses by step, each point with its interval over rows."""
    found = []
    for side, label in SIDES.items():
        points = []
        for step, rows in zip(recorded.steps.tolist(), recorded.losses[side], strict=True):
            value, ((low, high),) = mean(rows.tolist(), context.levels[:1])
            low = None if low is None else max(low, 0.0)
            points.append(
                Point(x=float(step), estimate=Estimate(value=value, low=low, high=high, n=len(rows)))
            )
        found.append(Series(name=label, points=tuple(points)))
    numeric = bool(recorded.spread)
    return Measured(
        title=f"{'Squared error' if numeric else 'Loss'} on training and held-out rows along training",
        observation=Curve(x="step", y="squared error" if numeric else "loss, nats", series=tuple(found)),
        arrays={
            "steps": recorded.steps,
            **{f"{side}_losses": values for side, values in recorded.losses.items()},
            **{f"{side}_right": values for side, values in recorded.right.items()},
            "checkpoint_sha256": np.array([one.sha256 for one in recorded.checkpoints], dtype=np.str_),
        },
        params=said,
    )


def weights(recorded: Recorded) -> Measured:
    """Measures of the weights, each relative to the first checkpoint."""
    found = []
    for name, values in recorded.weights.items():
        if values[0] > 0:
            points = _points(recorded.steps, values / values[0])
            found.append(Series(name=WEIGHTS[name], points=points))
    return Measured(
        name="weights",
        title="Size, concentration and rank of the weights along training",
        observation=Curve(x="step", y="relative to the first checkpoint", series=tuple(found)),
        arrays={"steps": recorded.steps, **recorded.weights},
        params={"first": {name: float(values[0]) for name, values in recorded.weights.items()}},
    )


def fourier(recorded: Recorded, found: Spectra) -> Measured:
    """Losses with the key frequencies alone and without them."""
    names = {
        "restricted": "key frequencies alone, held-out pairs",
        "excluded": "without key frequencies, training pairs",
        "held_out": "whole network, held-out pairs",
        "train": "whole network, training pairs",
    }
    values = {name: np.array([getattr(one, name) for one in found.measures]) for name in names}
    moving = {
        f"moving_{name}": np.array([np.nan if one is None else getattr(one, name) for one in found.moving])
        for name in ("restricted", "excluded")
    }
    more = ("restricted_all", "gini_logits", "key_share")
    return Measured(
        name="fourier",
        title="Loss with the key frequencies alone and without them, along training",
        observation=Curve(
            x="step",
            y="loss, nats",
            series=tuple(
                Series(name=label, points=_points(recorded.steps, values[name]))
                for name, label in names.items()
            ),
        ),
        arrays={
            "steps": recorded.steps,
            **values,
            **moving,
            **{name: np.array([getattr(one, name) for one in found.measures]) for name in more},
            "energies": found.energies,
            "keys": np.array(found.keys, dtype=np.int64),
        },
        params={"key_frequencies": list(found.keys)},
        limits=(
            "over all pairs, so that there is no sampling error; the key frequencies are those of the last checkpoint",
        ),
    )


def phases(found: Phases, recorded: Recorded, said: Mapping[str, Any]) -> Measured:
    """At which step each phase ends."""
    n = len(recorded.steps)
    points = tuple(
        Point(x=f"{name} ends", estimate=Estimate(value=at.value, low=at.low, high=at.high, n=n))
        for name, at in found.named().items()
    )
    return Measured(
        name="phases",
        title="The step at which each phase of training ends",
        observation=Curve(x="phase", y="step", series=(Series(name="step", points=points),)),
        params=said,
        limits=("a step is known to half the distance to the next checkpoint at best",),
    )


def _points(steps: NDArray[np.int64], values: Sequence[float] | NDArray[np.float64]) -> tuple[Point, ...]:
    return tuple(
        Point(x=float(step), estimate=exactly(float(value), 1))
        for step, value in zip(steps, values, strict=True)
    )

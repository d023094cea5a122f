"""How the error of a dictionary falls with its latents and with how many fire: a law fitted over a grid of trainings.

``L(n, k) = exp(a + b_k ln k + b_n ln n + g ln k ln n) + exp(z + h ln k)`` (Gao et al. 2024, arXiv:2406.04093), where n is
the count of latents here, fitted to the logarithm of the error. Intervals come from refits with resampled residuals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xai_audit.errors import MethodError

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAMES = ("a", "b_k", "b_n", "g", "z", "h")
"""The law's parameters, in their order."""


@dataclass(frozen=True, eq=False)
class Law:
    """A fitted law."""

    parameters: NDArray[np.float64]
    """(6,), as NAMES."""
    refits: NDArray[np.float64]
    """(resamples, 6)."""
    spread: float
    """Standard deviation of the residuals of the logarithm."""

    def loss(self, width: NDArray[np.float64] | float, k: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """The error that the law expects."""
        return _law(self.parameters, np.asarray(width, dtype=np.float64), np.asarray(k, dtype=np.float64))

    def limits(self, width: float, k: float, level: float = 0.95) -> tuple[float, float]:
        """Percentile limits of the expected error."""
        found = [float(_law(one, np.asarray(width), np.asarray(k))) for one in self.refits]
        low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    def parameter_limits(self, level: float = 0.95) -> dict[str, tuple[float, float, float]]:
        """Value, low and high of each parameter."""
        low, high = np.quantile(self.refits, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return {
            name: (float(self.parameters[place]), float(low[place]), float(high[place]))
            for place, name in enumerate(NAMES)
        }


def _law(
    parameters: NDArray[np.float64], width: NDArray[np.float64], k: NDArray[np.float64]
) -> NDArray[np.float64]:
    a, b_k, b_n, g, z, h = parameters
    log_n, log_k = np.log(width), np.log(k)
    found: NDArray[np.float64] = np.exp(a + b_k * log_k + b_n * log_n + g * log_k * log_n) + np.exp(
        np.clip(z + h * log_k, -60, 60)
    )
    return found


def fit(
    widths: Sequence[float],
    ks: Sequence[float],
    losses: Sequence[float],
    rng: np.random.Generator,
    resamples: int = 200,
) -> Law:
    """Fit the law to trainings (width, k, error), one entry each; at least seven, over three widths and three k."""
    width, k, loss = (np.asarray(one, dtype=np.float64) for one in (widths, ks, losses))
    if len(loss) < 7 or len(np.unique(width)) < 3 or len(np.unique(k)) < 3:
        raise MethodError(
            f"a law of six numbers needs seven trainings over three widths and three k, not {len(loss)} over "
            f"{len(np.unique(width))} and {len(np.unique(k))}"
        )
    if not (loss > 0).all():
        raise MethodError("a scaling law is of errors above 0")
    target = np.log(loss)
    best = min(
        (_fitted(width, k, target, start) for start in _starts(width, k, target)), key=lambda one: one[1]
    )
    expected = np.log(_law(best[0], width, k))
    # Six of the numbers went into the law.
    residuals = (target - expected) * np.sqrt(len(target) / max(len(target) - 6, 1))
    residuals -= residuals.mean()
    refits = [
        _fitted(width, k, expected + rng.choice(residuals, len(target)), best[0])[0] for _ in range(resamples)
    ]
    return Law(best[0], np.asarray(refits), float(residuals.std()))


def _starts(
    width: NDArray[np.float64], k: NDArray[np.float64], target: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """A plane in logarithms, with floors of several heights below the smallest error."""
    table = np.stack([np.ones_like(k), np.log(k), np.log(width), np.log(k) * np.log(width)], axis=1)
    found = []
    for share in (0.1, 0.5, 0.9):
        floor = share * np.exp(target.min())
        plane, *_ = np.linalg.lstsq(table, np.log(np.maximum(np.exp(target) - floor, 1e-12)), rcond=None)
        found.append(np.concatenate([plane, [np.log(floor), 0.0]]))
    return found


def _fitted(
    width: NDArray[np.float64],
    k: NDArray[np.float64],
    target: NDArray[np.float64],
    start: NDArray[np.float64],
) -> tuple[NDArray[np.float64], float]:
    from scipy.optimize import least_squares

    log_k, log_n = np.log(k), np.log(width)
    falling = np.stack([np.ones_like(k), log_k, log_n, log_k * log_n], axis=1)

    def slopes(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        floor = np.exp(np.clip(parameters[4] + parameters[5] * log_k, -60, 60))
        share = (floor / _law(parameters, width, k))[:, None]
        return np.concatenate([(1 - share) * falling, share * falling[:, :2]], axis=1)

    found = least_squares(
        lambda parameters: np.log(_law(parameters, width, k)) - target,
        start, jac=slopes, method="lm", x_scale="jac", max_nfev=400,
    )  # fmt: skip
    return np.asarray(found.x), float(found.cost)


@dataclass(frozen=True)
class Recommended:
    """A width and a k, and what they rest on."""

    width: int
    k: int
    loss: float
    low: float
    high: float
    reason: str


def recommend(
    law: Law, widths: Sequence[int], ks: Sequence[int], *, target: float | None = None, gain: float = 0.05
) -> Recommended:
    """With a ``target``, the fewest firing latents, then the fewest latents, whose error is below it with all its interval;

    without one, the point from which neither twice the latents nor twice the k lowers the error by the share ``gain``.
    Only widths and k that were tried are recommended: a law says nothing outside of its grid.
    """
    pairs = [(width, k) for k in sorted(ks) for width in sorted(widths)]
    if target is not None:
        for width, k in pairs:
            low, high = law.limits(width, k)
            if high <= target:
                reason = (
                    f"the smallest k and width with an error of at most {target:g} over its whole interval"
                )
                return Recommended(width, k, float(law.loss(width, k)), low, high, reason)
    chosen = pairs[-1]
    reason = f"the largest that was tried: no pair reaches {target:g}" if target is not None else ""
    if target is None:
        for width, k in pairs:
            here = float(law.loss(width, k))
            wider, denser = float(law.loss(2 * width, k)), float(law.loss(width, 2 * k))
            if wider > (1 - gain) * here and denser > (1 - gain) * here:
                chosen = (width, k)
                reason = f"neither twice the latents nor twice the k lowers the error by {100 * gain:.0f} %"
                break
        else:
            reason = f"the largest that was tried: twice the latents or k still lowers the error by {100 * gain:.0f} %"
    low, high = law.limits(*chosen)
    return Recommended(*chosen, float(law.loss(*chosen)), low, high, reason)

"""Where a measure changes along training, with intervals, and the phases that the changes make.

A change goes from one level to another, along a straight slope or along a logistic curve, whichever leaves less
unexplained by least squares. It starts where a tenth of it is done and ends where nine tenths are, whatever its shape.
Intervals come from blocks of residuals drawn anew (moving block bootstrap, Kuensch 1989, Annals of Statistics 17:1217),
span what either shape gives, and reach at least half-way to the recordings before and after, between which nothing was seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

PLACES = 60
"""Recordings that a ramp may begin or end at, at first, at most; more are looked at by their ranks."""
FINE = 24
"""Places near the best begin and the best end that are tried after that, between recordings too."""
EDGE = 0.1
"""The share of a change that is done where it is said to start, and left where it is said to end."""
FEWEST = 5
"""Recordings below which no ramp is fitted."""
RESAMPLES = 400
MEMORISED = 0.9
"""How sure of its training answers a network that memorised is, from 0 (chance) to 1."""
RISE = 0.5
"""How far held-out answers rise, at least, for a delayed generalisation."""
UNLEARNT = 0.5
"""How good held-out answers are, at most, when the training answers are memorised."""


@dataclass(frozen=True)
class At:
    """A step with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Ramp:
    """One change: from ``before`` at ``start`` to ``after`` at ``end``."""

    start: At
    end: At
    before: float
    after: float
    draws: NDArray[np.float64]
    """(2 resamples, 2): start and end as drawn anew, by a slope and by a logistic curve."""

    @property
    def rise(self) -> float:
        """The height of the change, negative for a fall."""
        return self.after - self.before


def ramp(
    steps: Sequence[int] | NDArray[np.int64],
    values: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
) -> Ramp:
    """The one change that explains a measure best; ValueError under FEWEST recordings, for NaN or unordered steps."""
    at, seen = np.asarray(steps, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if len(at) < FEWEST:
        raise ValueError(f"{len(at)} recordings; {FEWEST} are needed")
    if not np.isfinite(seen).all() or not (np.diff(at) > 0).all():
        raise ValueError("numbers at rising steps are asked")
    places = at[np.unique(np.linspace(0, len(at) - 1, min(len(at), PLACES)).round().astype(int))]
    found = _shapes(at, places)
    rough = found.ends[int(_best(found, seen[None])[0])]
    found = _shapes(at, np.union1d(places, np.concatenate([_near(places, one) for one in rough])))
    best = int(_best(found, seen[None])[0])
    shape = found.values[best]
    before, after = _levels(shape, seen)
    fitted = before + (after - before) * shape
    drawn = fitted + _blocks(seen - fitted, resamples, rng)
    draws = np.concatenate([one.ends[_best(one, drawn)] for one in found.families()])
    start, end = (_around(at, found.ends[best, side], draws[:, side], confidence) for side in (0, 1))
    # A curve that is cut off at an end has levels that were never seen.
    before, after = np.clip([before, after], seen.min(), seen.max()).tolist()
    return Ramp(start, end, before, after, draws)


def _near(places: NDArray[np.float64], value: float) -> NDArray[np.float64]:
    """Places finer than the recordings, around one of them."""
    place = int(np.searchsorted(places, value))
    return np.linspace(places[max(place - 1, 0)], places[min(place + 1, len(places) - 1)], FINE)


@dataclass(frozen=True, eq=False)
class _Shapes:
    """Changes from 0 to 1 that are tried."""

    ends: NDArray[np.float64]
    """(shapes, 2): where a tenth and nine tenths are done."""
    values: NDArray[np.float64]
    """(shapes, recordings)."""
    unit: NDArray[np.float64]
    """The same about their mean, of length 1."""
    curved: NDArray[np.bool_]
    """Which are logistic curves."""

    def families(self) -> tuple[_Shapes, _Shapes]:
        """Slopes alone, and logistic curves alone."""
        slopes, curves = (
            _Shapes(self.ends[one], self.values[one], self.unit[one], self.curved[one])
            for one in (~self.curved, self.curved)
        )
        return slopes, curves


def _shapes(at: NDArray[np.float64], places: NDArray[np.float64]) -> _Shapes:
    """A slope and a logistic curve for every two places."""
    first, last = np.triu_indices(len(places), 1)
    pairs = np.stack([places[first], places[last]], axis=1)
    length = pairs[:, 1:] - pairs[:, :1]
    slopes = np.clip((at[None] - pairs[:, :1]) / length, 0, 1)
    # Through 0.1 and 0.9 at the two places.
    steep = 2 * np.log(1 / EDGE - 1) * (at[None] - pairs.mean(axis=1, keepdims=True)) / length
    curves = 1 / (1 + np.exp(-np.clip(steep, -50, 50)))
    ends = np.concatenate([pairs @ np.array([[1 - EDGE, EDGE], [EDGE, 1 - EDGE]]), pairs])
    values = np.concatenate([slopes, curves])
    centred = values - values.mean(axis=1, keepdims=True)
    sizes = np.linalg.norm(centred, axis=1, keepdims=True)
    # What does not change from one recording to another was not seen.
    seen = np.ptp(values, axis=1) > EDGE
    curved = np.arange(len(values)) >= len(slopes)
    return _Shapes(ends[seen], values[seen], centred[seen] / sizes[seen], curved[seen])


def _best(shapes: _Shapes, many: NDArray[np.float64]) -> NDArray[np.int64]:
    """The shape that leaves least of each series (series, recordings) unexplained."""
    found: NDArray[np.int64] = np.argmax(np.abs(shapes.unit @ many.T), axis=0)
    return found


def _levels(shape: NDArray[np.float64], seen: NDArray[np.float64]) -> tuple[float, float]:
    centred = shape - shape.mean()
    slope = float(centred @ seen / (centred @ centred))
    before = float(seen.mean() - slope * shape.mean())
    return before, before + slope


def _blocks(residuals: NDArray[np.float64], resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Residuals in blocks of about the cube root of their number, (resamples, recordings)."""
    n = len(residuals)
    length = max(1, round(n ** (1 / 3)))
    starts = rng.integers(0, n - length + 1, (resamples, -(-n // length)))
    places = (starts[:, :, None] + np.arange(length)).reshape(resamples, -1)[:, :n]
    drawn: NDArray[np.float64] = (residuals - residuals.mean())[places]
    return drawn


def _around(at: NDArray[np.float64], value: float, draws: NDArray[np.float64], confidence: float) -> At:
    low, high = _limits(draws, confidence)
    place = int(np.clip(np.searchsorted(at, value), 1, len(at) - 1))
    half = (at[place] - at[place - 1]) / 2
    return At(float(value), float(min(low, value - half)), float(max(high, value + half)))


def _limits(draws: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """What holds the limits by either shape: half the draws are of each, and which is right is not known."""
    tail = (1 - confidence) / 4
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def certainty(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """The geometric mean of the probabilities given to the right answers, ``exp(-loss)``, in (0, 1]: losses on one scale."""
    return np.asarray(np.exp(-np.asarray(losses, dtype=np.float64)))


@dataclass(frozen=True, eq=False)
class Phases:
    """What training went through.

    Memorisation ends where certainty of the training answers stops rising; circuit formation lasts until that of
    held-out answers begins to rise; cleanup ends where it stops. Without a signature the steps that were found stand
    all the same, and ``reason`` says what is lacking.
    """

    signature: bool
    reason: str
    memorised: At | None = None
    """Training answers are known."""
    improving: At | None = None
    """Held-out answers begin to improve: the end of circuit formation."""
    improved: At | None = None
    """Held-out answers stop improving: the end of cleanup."""
    delay: At | None = None
    """From memorised to the middle of the held-out rise, in steps."""
    circuit: At | None = None
    """Where the excluded loss begins to rise: a circuit is in use; None where it was not measured or did not."""

    def named(self) -> dict[str, At]:
        """The ends of the three phases that were found, in their order."""
        found = {
            "memorization": self.memorised,
            "circuit formation": self.improving,
            "cleanup": self.improved,
        }
        return {name: one for name, one in found.items() if one is not None}


def phases(
    steps: Sequence[int] | NDArray[np.int64],
    train: NDArray[np.float64],
    held_out: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    excluded: NDArray[np.float64] | None = None,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
) -> Phases:
    """Phases from how right answers are, 0 to 1, on training and on held-out rows; ``excluded`` likewise, where known.

    Give ``certainty`` of losses, or accuracies. A grokking signature asks that training answers were memorised, that
    held-out ones were not known then, that they rose by RISE later, and that the delay's interval is above 0.
    """
    if len(steps) < FEWEST:
        return Phases(
            signature=False, reason=f"{len(steps)} recordings are too few to tell phases; {FEWEST} are needed"
        )
    own, other = (
        ramp(steps, values, rng, resamples=resamples, confidence=confidence) for values in (train, held_out)
    )
    if own.after < MEMORISED:
        return Phases(
            signature=False,
            reason=f"training answers were not memorised: their certainty ends at {own.after:.2f}, under {MEMORISED}",
        )
    memorised = own.end
    if own.rise < RISE:
        # Known from the first recording on: when they were learnt was not seen.
        memorised = At(float(steps[0]), float(steps[0]), float(steps[1]))
    known = float(np.interp(memorised.value, np.asarray(steps, dtype=np.float64), held_out))
    circuit = None
    if excluded is not None:
        without = ramp(steps, excluded, rng, resamples=resamples, confidence=confidence)
        circuit = without.start if without.rise < -0.1 else None
    if other.rise < RISE:
        last = other.after if other.rise > 0 else float(held_out[-1])
        return Phases(
            signature=False,
            reason=f"held-out answers did not rise by {RISE}: from {other.before:.2f} to {last:.2f}",
            memorised=memorised,
            circuit=circuit,
        )
    delay = _delay(own, other, memorised, confidence, own.rise >= RISE)
    found = {
        "memorised": memorised,
        "improving": other.start,
        "improved": other.end,
        "delay": delay,
        "circuit": circuit,
    }
    if known > UNLEARNT:
        reason = (
            f"held-out answers were at {known:.2f} when training answers were memorised, above {UNLEARNT}"
        )
        return Phases(signature=False, reason=reason, **found)
    if delay.low <= 0:
        reason = f"the delay of {delay.value:,.0f} steps is not told from none [{delay.low:,.0f}, {delay.high:,.0f}]"
        return Phases(signature=False, reason=reason, **found)
    reason = (
        f"the certainty of held-out answers rose from {other.before:.2f} to {other.after:.2f}, {delay.value:,.0f} steps "
        f"[{delay.low:,.0f}, {delay.high:,.0f}] after the training answers were memorised"
    )
    return Phases(signature=True, reason=reason, **found)


def _delay(own: Ramp, other: Ramp, memorised: At, confidence: float, seen: bool) -> At:
    """From memorised to the middle of the held-out rise: what is between the two, and between two recordings."""
    middle = (other.start.value + other.end.value) / 2
    ends = own.draws[:, 1] if seen else np.full(len(own.draws), memorised.value)
    low, high = _limits(other.draws.mean(axis=1) - ends, confidence)
    value = middle - memorised.value
    return At(value, float(min(low, value - (memorised.high - memorised.value))), float(max(high, value)))


def across(runs: Sequence[float], confidence: float = 0.95) -> At:
    """The mean of one boundary over runs of several seeds, with Student's t; ValueError for fewer than two."""
    from xai_audit.intervals_rows import mean

    if len(runs) < 2:
        raise ValueError("an interval over runs needs at least two")
    value, ((low, high),) = mean(list(runs), [confidence])
    assert low is not None
    assert high is not None
    return At(value, low, high)

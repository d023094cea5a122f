"""Counterfactual token fairness again, from the scores that each text had with each word of a list in its place."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.evidence import Control, Group, Groups, Inference, Sampling, Scalar, Summary
from xai_audit.verify import limits_rows
from xai_audit.verify.groups import rate_at
from xai_audit.verify.limits import Found, Limit, shared
from xai_audit.verify.recounts.bench import (
    Bench,
    LackingError,
    Recount,
    Recounted,
    Seen,
    Skip,
    Stored,
    Unknown,
)
from xai_audit.verify.table import Floats

NEUTRAL = "neutral"
FEWEST = 3
NOISE = 1e-12
SHAPE = "the scores with other words are not kept as they should be"


@dataclass(frozen=True, eq=False)
class Slots:
    """One list's words in turn in the same places."""

    name: str
    words: tuple[str, ...]
    rows: NDArray[np.int64]
    held: NDArray[np.int64]
    """The word of the list that stands there."""
    scores: Floats
    """Slots by words."""

    @property
    def own(self) -> Floats:
        """The score of each text as it is."""
        return self.scores[np.arange(len(self.rows)), self.held]

    @property
    def effects(self) -> Floats:
        """Each score less the mean of its slot."""
        return np.asarray(self.scores - self.scores.mean(axis=1)[:, None])


def _slots(stored: Stored, params: Any, n: int) -> list[Slots]:
    lists = {name: tuple(words) for name, words in params["terms"].items()}
    if params["neutral"]:
        lists[NEUTRAL] = tuple(params["neutral"])
    names = stored.get("lists")
    if names is None or sorted(names.tolist()) != sorted(lists):
        raise LackingError("which lists of words the scores belong to is not kept")
    found = []
    for place, name in enumerate(names.tolist()):
        parts = [stored.get(f"{kind}_{place}") for kind in ("rows", "held", "scores")]
        rows, held, scores = parts
        if rows is None or held is None or scores is None or rows.dtype != np.int64 or held.dtype != np.int64:
            raise LackingError(SHAPE)
        size, words = len(rows), lists[name]
        fits = rows.ndim == 1 and held.shape == (size,) and scores.shape == (size, len(words))
        if not fits or scores.dtype != np.float64 or not np.isfinite(scores).all():
            raise LackingError(SHAPE)
        if size and (len(set(rows.tolist())) < size or rows.min() < 0 or rows.max() >= n):
            raise LackingError(SHAPE)
        if size and (held.min() < 0 or held.max() >= len(words)):
            raise LackingError(SHAPE)
        found.append(Slots(name, words, rows, held, scores))
    return found


def _mean(bench: Bench, values: Floats, rows: NDArray[np.int64]) -> Found:
    weights, clusters = bench.table.weights, bench.table.clusters
    return limits_rows.mean_at(
        values,
        np.ones(len(rows)) if weights is None else weights[rows],
        None if clusters is None else clusters[rows],
    )


def _run(bench: Bench) -> Iterator[Recounted]:
    if not bench.params["terms"]:
        yield Skip(reason="it needs lists of words: terms: {sexuality: [gay, straight]}")
        return
    try:
        slots = _slots(bench.stored(""), bench.params, bench.table.n)
    except LackingError as error:
        for part in ("", NEUTRAL, "terms", "flips"):
            yield Unknown(reason=str(error), part=part, always=not part)
        return
    identity = [slot for slot in slots if slot.name != NEUTRAL]
    neutral = next((slot for slot in slots if slot.name == NEUTRAL), None)
    if not any(len(slot.rows) for slot in identity):
        yield Skip(reason="no text holds a word of the lists")
        return
    terms = _terms(bench, identity)
    few: list[Slots] = []
    if bench.table.linked:  # with the other lists' numbers, those of few texts would be given away
        few = [slot for slot in slots if 0 < len(slot.rows) < bench.minima.min_cell]
    used = len({row for slot in slots if slot not in few for row in slot.rows.tolist()})
    sampling = Sampling(available=bench.table.n, used=used, how="")
    identity = [slot for slot in identity if slot not in few]
    if not any(len(slot.rows) for slot in identity):
        yield Skip(reason=f"fewer than {bench.minima.min_cell} texts hold a word of any list")
        yield Seen(observation=terms, part="terms", sampling=sampling, params=bench.minima.stated)
        return
    neutral = None if neutral in few else neutral
    gaps: dict[int, list[float]] = {}
    for slot in identity:
        moved = np.abs(slot.scores - slot.own[:, None]).sum(axis=1) / (len(slot.words) - 1)
        for row, gap in zip(slot.rows.tolist(), moved.tolist(), strict=True):
            gaps.setdefault(row, []).append(gap)
    rows = np.array(sorted(gaps))
    # A text is one unit, however many words it holds.
    value, at = _mean(bench, np.array([math.fsum(gaps[row]) / len(gaps[row]) for row in rows.tolist()]), rows)
    yield Seen(
        observation=Scalar(estimate=bench.minima.read(value, at, len(rows)), unit="score"),
        sampling=sampling,
        params={"texts": {slot.name: None if slot in few else len(slot.rows) for slot in slots}},
    )
    if neutral is not None and len(neutral.rows):
        moved = np.abs(neutral.scores - neutral.own[:, None]).sum(axis=1) / (len(neutral.words) - 1)
        estimate = bench.minima.read(*_mean(bench, moved, neutral.rows), len(neutral.rows))
        yield Seen(observation=Scalar(estimate=estimate, unit="score"), part=NEUTRAL, sampling=sampling)
    controls, inference = _beyond(bench, identity, neutral)
    yield Seen(
        observation=terms,
        part="terms",
        sampling=sampling,
        controls=controls,
        inference=inference,
        params=bench.minima.stated,
    )
    if bench.subject.binary:
        yield Seen(observation=_flips(bench, identity, rows), part="flips", sampling=sampling)
    else:
        yield Skip(part="flips", reason="it is defined for two classes")


def _flips(bench: Bench, slots: Sequence[Slots], rows: NDArray[np.int64]) -> Scalar:
    """The share of texts whose decision some word changes."""
    cut = bench.subject.threshold
    flipped = {
        row
        for slot in slots
        for row, scores, own in zip(slot.rows.tolist(), slot.scores, slot.own, strict=True)
        if ((scores >= cut) != (own >= cut)).any()
    }
    events = np.array([float(row in flipped) for row in rows.tolist()])
    weights, clusters = bench.table.weights, bench.table.clusters
    counts = (float(events.sum()), float(len(events)))
    if not bench.table.plain:
        counts = limits_rows.effective(
            events, None if weights is None else weights[rows], None if clusters is None else clusters[rows]
        )
    return Scalar(estimate=bench.minima.read(counts[0] / counts[1], rate_at(counts), len(rows)))


def _mean_effects(slot: Slots) -> list[float]:
    means = [math.fsum(column) / len(slot.rows) for column in slot.effects.T]
    return [mean if abs(mean) > NOISE else 0.0 for mean in means]


def _beyond(
    bench: Bench, identity: Sequence[Slots], neutral: Slots | None
) -> tuple[tuple[Control, ...], Inference | None]:
    """The largest mean effect of a term against what one more neutral word may have: Student's t, Bonferroni."""
    if neutral is None or len(neutral.rows) < bench.minima.min_cell or not len(neutral.rows):
        return (), None
    spread = _mean_effects(neutral)
    if len(spread) < FEWEST:
        return (), None
    terms = [
        (abs(effect), len(slot.rows)) for slot in identity if len(slot.rows) for effect in _mean_effects(slot)
    ]
    m, k = len(spread), len(terms)
    error = math.sqrt(math.fsum(effect**2 for effect in spread) / (m - 1) * (1 + 1 / m))
    largest, n = max(terms)

    def at(level: float) -> Limit:
        reach = limits_rows.t(shared(level, k), m - 1.0) * error
        return largest - reach, largest + reach

    estimate = bench.minima.read(largest, at, n)
    passed = estimate.low is not None and estimate.low > 0
    p = 2 * float(_stats().t.sf(largest / error, m - 1)) if error else float(largest == 0)
    return (
        Control(
            name="a term's effect beyond a neutral word's",
            expectation="positive",
            estimate=estimate,
            passed=passed,
        ),
    ), Inference(
        p=p,
        adjusted=min(1.0, k * p),
        method="Student's t of one more neutral word",
        family="identity terms",
        m=k,
    )


def _terms(bench: Bench, slots: Sequence[Slots]) -> Groups:
    """Each term's mean effect, and the largest mean difference of two terms of one list in the same texts."""
    minima, groups = bench.minima, []
    pairs: list[tuple[Slots, int, int]] = []
    small = 0
    for slot in slots:
        n = len(slot.rows)
        for place, word in enumerate(slot.words):
            key = {"list": slot.name, "term": word}
            if n == 0:
                groups.append(
                    Group(key=key, n=0, status="undefined", reason="no text holds a word of the list")
                )
            elif n < minima.min_cell:
                groups.append(Group(key=key, n=None, status="suppressed", reason=f"n < {minima.min_cell}"))
            else:
                large = n >= minima.min_n
                small += not large
                groups.append(
                    Group(
                        key=key,
                        n=n,
                        status="measured" if large else "insufficient",
                        reason=None if large else f"n < {minima.min_n}",
                        estimate=minima.shown(*_mean(bench, slot.effects[:, place], slot.rows), n),
                    )
                )
        if n >= max(minima.min_n, minima.min_cell, 1):
            pairs += [(slot, one, other) for one, other in combinations(range(len(slot.words)), 2)]
    return Groups(by=("list", "term"), groups=tuple(groups), summary=_widest(bench, pairs, small))


def _widest(bench: Bench, pairs: Sequence[tuple[Slots, int, int]], small: int) -> Summary:
    if not pairs:
        return Summary(insufficient=small)
    found = [
        _mean(bench, slot.scores[:, one] - slot.scores[:, other], slot.rows) for slot, one, other in pairs
    ]

    def at(level: float) -> Limit:
        ends = [limits(shared(level, len(pairs))) for _, limits in found]
        lows = [
            0.0,
            *(low for low, _ in ends if low is not None),
            *(-high for _, high in ends if high is not None),
        ]
        highs = [max(-low, high) for low, high in ends if low is not None and high is not None]
        return max(lows), max(highs) if len(highs) == len(ends) else None

    sizes = [abs(value) for value, _ in found]
    widest = sizes.index(max(sizes))
    slot, one, other = pairs[widest]
    low, high = (one, other) if found[widest][0] < 0 else (other, one)
    return Summary(
        difference=bench.minima.read(sizes[widest], at, len(slot.rows)),
        between=(f"{slot.name}, {slot.words[low]}", f"{slot.name}, {slot.words[high]}"),
        pairs=len(pairs),
        insufficient=small,
    )


RECOUNTS: dict[str, Recount] = {
    "counterfactual_token_fairness": Recount(
        _run,
        ("model", "classification", "scores", "images or text"),
        defaults={"primary": False, "terms": {}, "neutral": [], "rows": 500},
    )
}


def _stats() -> Any:
    from scipy import stats

    return stats

"""Whether an explanation tells where a latent fires: detection and fuzzing on documents it was not made from.

Detection asks of windows whether the latent fires in them at all; fuzzing shows windows in which it does, with the right
tokens marked or others, and asks whether the marks are right (Paulo et al. 2024, arXiv:2410.13928). The judge here is the
pattern itself, not a language model. Beside both stands the null: the same questions answered by other latents'
explanations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xai_audit.mechanistic.dictionaries.ngrams import Explanation, Grams

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.mechanistic.dictionaries.codes import Firings
    from xai_audit.mechanistic.dictionaries.store import Store

WINDOW = 32
"""Tokens."""
EACH = 50
"""Windows with and without, at most."""
FEWEST = 5
"""Windows with the latent that a score needs."""
MARKED = 0.3
"""The share of marked tokens that must match for marks to be called right."""


@dataclass(frozen=True, eq=False)
class Questions:
    """What is asked of one latent: windows of places in the store, padded with -1."""

    windows: NDArray[np.int64]
    """(w, WINDOW)."""
    fires: NDArray[np.bool_]
    """(w,): whether the latent fires in it."""
    marks: NDArray[np.int64]
    """(2 v, WINDOW): places marked, first those where it fires, then as many others of the same windows; -1 for none."""


@dataclass(frozen=True)
class Scored:
    """Balanced accuracies; each the mean of a share among windows with and one among windows without."""

    detection: float
    with_latent: tuple[int, int]
    """Told right, of."""
    without: tuple[int, int]
    fuzzing: float
    rightly_marked: tuple[int, int]
    wrongly_marked: tuple[int, int]


def windows(store: Store) -> NDArray[np.int64]:
    """(w, WINDOW): places of every document cut into windows, the last of each padded with -1."""
    starts = np.flatnonzero(np.diff(store.document, prepend=-1))
    ends = np.append(starts[1:], len(store))
    cut = [np.arange(start, end, WINDOW) for start, end in zip(starts, ends, strict=True)]
    first = np.concatenate([np.zeros(0, dtype=np.int64), *cut])
    last = np.repeat(ends, [len(one) for one in cut])
    found = first[:, None] + np.arange(WINDOW)
    found[found >= last[:, None]] = -1
    return found


def questions(
    all_windows: NDArray[np.int64], firings: Firings, latent: int, rng: np.random.Generator
) -> Questions | None:
    """Windows with the latent, spread evenly over how strongly it fires, and as many without; None where too few."""
    place, value = firings.of(latent)
    index = np.full(firings.tokens, -1, dtype=np.int64)
    real: NDArray[np.bool_] = np.asarray(all_windows >= 0)
    index[all_windows[real]] = np.repeat(np.arange(len(all_windows)), real.sum(axis=1))
    strength = np.zeros(len(all_windows), dtype=np.float32)
    np.maximum.at(strength, index[place], value)
    there = np.flatnonzero(strength > 0)
    without = np.flatnonzero(strength == 0)
    if len(there) < FEWEST or len(without) < FEWEST:
        return None
    ranked = there[np.argsort(strength[there], kind="stable")]
    picked = ranked[np.unique(np.linspace(0, len(ranked) - 1, min(EACH, len(ranked))).round().astype(int))]
    other = rng.choice(without, min(EACH, len(without)), replace=False)
    chosen = all_windows[np.concatenate([picked, other])]
    fired = np.zeros(firings.tokens, dtype=bool)
    fired[place] = True
    marks = []
    for window in picked:
        inside = all_windows[window][real[window]]
        on = fired[inside]
        right, wrong = inside[on], inside[~on]
        if len(wrong):
            marks.append((right, rng.choice(wrong, min(len(right), len(wrong)), replace=False)))
    table = np.full((2 * len(marks), WINDOW), -1, dtype=np.int64)
    for row, (right, wrong) in enumerate(marks):
        table[row, : len(right)] = right
        table[len(marks) + row, : len(wrong)] = wrong
    return Questions(chosen, np.arange(len(chosen)) < len(picked), table)


def score(explanation: Explanation, grams: Grams, asked: Questions) -> Scored:
    """How an explanation answers the questions of a latent: its own, or another's."""
    real: NDArray[np.bool_] = np.asarray(asked.windows >= 0)
    said: NDArray[np.bool_] = np.asarray(
        (explanation.matches(grams.codes, np.maximum(asked.windows, 0)) & real).any(axis=1)
    )
    marked = asked.marks >= 0
    hit = explanation.matches(grams.codes, np.maximum(asked.marks, 0)) & marked
    called = hit.sum(axis=1) >= MARKED * np.maximum(marked.sum(axis=1), 1)
    half = len(asked.marks) // 2
    right = (int(said[asked.fires].sum()), int(asked.fires.sum()))
    rest = (int((~said[~asked.fires]).sum()), int((~asked.fires).sum()))
    good = (int(called[:half].sum()), half)
    bad = (int((~called[half:]).sum()), half)
    return Scored(_balanced(right, rest), right, rest, _balanced(good, bad), good, bad)


def _balanced(first: tuple[int, int], second: tuple[int, int]) -> float:
    return (first[0] / max(first[1], 1) + second[0] / max(second[1], 1)) / 2


@dataclass(frozen=True, eq=False)
class Null:
    """Scores of explanations given to latents that are not theirs."""

    detection: NDArray[np.float64]
    """(shuffles, latents)."""
    fuzzing: NDArray[np.float64]

    def limit(self, share: float = 0.95) -> tuple[float, float]:
        """The detection and fuzzing score that this share of shuffled explanations stays at or below."""
        return float(np.quantile(self.detection, share)), float(np.quantile(self.fuzzing, share))


def shuffled(
    explanations: Sequence[Explanation],
    grams: Grams,
    asked: Sequence[Questions],
    rng: np.random.Generator,
    shuffles: int = 5,
) -> Null:
    """The null: every explanation asked the questions of another latent, by shifts of a random order."""
    count = len(explanations)
    detection, fuzzing = np.zeros((shuffles, count)), np.zeros((shuffles, count))
    if count > 1:
        order = rng.permutation(count)
        shifts = 1 + rng.permutation(count - 1)
        for turn in range(shuffles):
            shift = int(shifts[turn % len(shifts)])
            for place in range(count):
                other = explanations[order[(place + shift) % count]]
                found = score(other, grams, asked[order[place]])
                detection[turn, order[place]], fuzzing[turn, order[place]] = found.detection, found.fuzzing
    return Null(detection, fuzzing)

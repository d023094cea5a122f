"""A text's words and signs as parts of it, whatever a model's tokens are; and which words weigh, over many texts."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.evidence import Item, Ranking
from xai_audit.intervals_rows import mean, t_quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from xai_audit.method import Context

_PART = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
Span = tuple[int, int]


def spans(text: object) -> list[Span]:
    """Where each word and each sign of a text stands, in reading order; nothing for what is no text."""
    return [found.span() for found in _PART.finditer(text)] if isinstance(text, str) else []


def is_word(part: str) -> bool:
    """Whether a part is a word rather than a sign."""
    return part[:1].isalnum() or part[:1] == "_"


def part_of(own: Sequence[Span], offsets: Sequence[Span]) -> NDArray[np.int64]:
    """The part that each token at ``offsets`` shares most characters with; -1 for one that touches none.

    Special tokens and blanks touch none: what they hold is missing from the sum over parts.
    """
    found = np.full(len(offsets), -1, dtype=np.int64)
    place = 0
    for token, (start, end) in enumerate(offsets):
        # Both go in reading order; a token may start before the last one's end, never before its part's.
        while place < len(own) and own[place][1] <= start:
            place += 1
        most = 0
        for index in range(place, len(own)):
            if own[index][0] >= end:
                break
            shared = min(end, own[index][1]) - max(start, own[index][0])
            if shared > most:
                found[token], most = index, shared
    return found


def without(text: str, own: Sequence[Span], removed: NDArray[np.bool_]) -> str:
    """A text without some of its parts, blanks closed up."""
    if not removed.any():
        return text
    kept, place = [], 0
    for (start, end), gone in zip(own, removed.tolist(), strict=True):
        kept.append(text[place:start])
        if not gone:
            kept.append(text[start:end])
        place = end
    return " ".join("".join([*kept, text[place:]]).split())


def vocabulary(texts: Sequence[str]) -> tuple[NDArray[np.str_], NDArray[np.int32], NDArray[np.int64]]:
    """The words of some texts, case folded and sorted; each part's place among them, text after text, -1 for a sign; and
    how many parts each text has.
    """
    cut = [[text[start:end] for start, end in spans(text)] for text in texts]
    folded = [[part.casefold() if is_word(part) else None for part in own] for own in cut]
    known = sorted({word for own in folded for word in own if word is not None})
    place = {word: number for number, word in enumerate(known)}
    flat = [-1 if word is None else place[word] for own in folded for word in own]
    return (
        np.asarray(known, dtype=np.str_),
        np.asarray(flat, dtype=np.int32),
        np.asarray([len(own) for own in cut], dtype=np.int64),
    )


def ranking(
    texts: Sequence[str], values: Sequence[NDArray[np.float64]], context: Context, *, unit: str
) -> Ranking | None:
    """Words by the mean absolute contribution they have in the texts that hold them, largest first.

    Only words, case folded, that stand in at least ``min_cell`` texts (and two): what fewer people wrote is theirs. In
    a text that holds a word twice its contributions are added. One word stands above another where their
    intervals, by Bonferroni over all words, do not meet. None where no word is so common.
    """
    held: dict[str, list[float]] = {}
    for text, found in zip(texts, values, strict=True):
        here: dict[str, float] = {}
        for (start, end), value in zip(spans(text), found.tolist(), strict=True):
            if is_word(text[start:end]):
                word = text[start:end].casefold()
                here[word] = here.get(word, 0.0) + value
        for word, value in here.items():
            held.setdefault(word, []).append(value)
    least = max(context.min_cell, 2)
    common = {word: signed for word, signed in held.items() if len(signed) >= least}
    if not common:
        return None
    told: list[tuple[str, float, list[tuple[float | None, float | None]], int, float]] = []
    bounds: dict[str, tuple[float, float]] = {}
    simultaneous = 1 - (1 - context.levels[0]) / len(common)
    for word, signed in common.items():
        sizes = [abs(value) for value in signed]
        value, limits = mean(sizes, context.levels)
        limits = [(max(low or 0.0, 0.0), high) for low, high in limits]
        told.append((word, value, limits, len(signed), math.fsum(signed) / len(signed)))
        error = math.sqrt(math.fsum((one - value) ** 2 for one in sizes) / (len(sizes) - 1) / len(sizes))
        half = t_quantile(simultaneous, len(sizes) - 1) * error
        bounds[word] = (value - half, value + half)
    items = []
    for word, value, limits, n, signed_mean in sorted(told, key=lambda one: (-one[1], one[0])):
        low, high = bounds[word]
        detail: dict[str, Any] = {"mean_signed": signed_mean, "texts": n}
        items.append(
            Item(
                name=word,
                estimate=context.estimate(value, limits, n),
                rank_low=1 + sum(other[0] > high for other in bounds.values()),
                rank_high=len(bounds) - sum(other[1] < low for other in bounds.values()),
                detail=detail,
            )
        )
    return Ranking(items=tuple(items), unit=unit)

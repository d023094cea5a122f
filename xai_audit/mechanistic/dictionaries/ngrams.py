"""An explanation of a latent without a language model: the tokens, and the tokens in their place, for which it fires.

After N2G (Foote et al. 2023, arXiv:2304.12918), whose trie of activating n-grams Gao et al. 2024 score as it is: first
single tokens, then, where a token alone does not say it, the token with one or two before it or one after it. N2G finds
by running the model how much context is needed; here the fitting documents say it, as the share of a pattern's
occurrences at which the latent fires.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from xai_audit.errors import MethodError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.mechanistic.dictionaries.store import Store

Kind = Literal["token", "before", "after", "two_before"]
"""A token; with the one before it, the one after it, the two before it."""
KINDS: tuple[Kind, ...] = ("token", "before", "after", "two_before")
_BITS = 21
"""A token's number takes no more; three fit into a whole number of 64 bits."""
_EDGE = (1 << _BITS) - 1
"""Before the first token of a document and after its last."""
SURE = 0.5
"""The share of a longer pattern's occurrences that must fire."""
LEAST = 2
"""Occurrences of a pattern that must fire."""


@dataclass(frozen=True, eq=False)
class Grams:
    """Every activation's patterns as numbers, and how often each occurs."""

    codes: Mapping[Kind, NDArray[np.int64]]
    """(N,) for each kind."""
    known: Mapping[Kind, tuple[NDArray[np.int64], NDArray[np.int64]]]
    """The numbers that occur, rising, and how often."""

    @classmethod
    def of(cls, store: Store) -> Grams:
        """Of a store of texts; MethodError where it has no tokens."""
        if store.token is None:
            raise MethodError("patterns of tokens are for networks that read texts")
        token, document = store.token, store.document
        if len(token) and int(token.max()) >= _EDGE:
            raise MethodError(f"tokens are numbered below {_EDGE}")
        one, two, after = (_shifted(token, document, by) for by in (1, 2, -1))
        codes: dict[Kind, NDArray[np.int64]] = {
            "token": token,
            "before": (one << _BITS) | token,
            "after": (token << _BITS) | after,
            "two_before": (two << 2 * _BITS) | (one << _BITS) | token,
        }
        return cls(codes, {kind: np.unique(code, return_counts=True) for kind, code in codes.items()})

    def count(self, kind: Kind, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """How often patterns that occur do."""
        known, counts = self.known[kind]
        return counts[np.searchsorted(known, codes)]


def _shifted(token: NDArray[np.int64], document: NDArray[np.int64], by: int) -> NDArray[np.int64]:
    """The token so many before, or after where negative, within the document."""
    found = np.full(len(token), _EDGE, dtype=np.int64)
    if by > 0:
        same = document[by:] == document[:-by]
        found[by:][same] = token[:-by][same]
    else:
        same = document[:by] == document[-by:]
        found[:by][same] = token[-by:][same]
    return found


@dataclass(frozen=True, eq=False)
class Explanation:
    """The patterns at which a latent is said to fire."""

    patterns: Mapping[Kind, NDArray[np.int64]]
    """Rising numbers for each kind."""
    precision: float
    """Of the fitting activations that match, the share for which it fires."""
    recall: float
    """Of those for which it fires, the share that match."""

    def matches(
        self, codes: Mapping[Kind, NDArray[np.int64]], places: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Whether it is said to fire at each of these activations."""
        found = np.zeros(places.shape, dtype=bool)
        for kind, patterns in self.patterns.items():
            if len(patterns):
                asked = codes[kind][places]
                at = np.minimum(np.searchsorted(patterns, asked), len(patterns) - 1)
                found |= patterns[at] == asked
        return found

    @property
    def size(self) -> int:
        """Patterns."""
        return sum(len(one) for one in self.patterns.values())


def explain(grams: Grams, fired: NDArray[np.int64]) -> Explanation:
    """Patterns for the fitting activations at which a latent fires (places,).

    Single tokens are taken by falling share of their occurrences that fire, as long as F1 rises; what they leave out is
    told by longer patterns, of whose occurrences at least half fire.
    """
    patterns: dict[Kind, NDArray[np.int64]] = {}
    total = len(fired)
    codes, hits = np.unique(grams.codes["token"][fired], return_counts=True)
    counts = grams.count("token", codes)
    enough = hits >= min(LEAST, max(total, 1))
    codes, hits, counts = codes[enough], hits[enough], counts[enough]
    order = np.lexsort((codes, -hits, -hits / counts))
    f1 = 2 * np.cumsum(hits[order]) / (total + np.cumsum(counts[order]))
    taken = order[: int(np.argmax(f1)) + 1] if len(order) else order
    patterns["token"] = np.sort(codes[taken])
    left = fired[~np.isin(grams.codes["token"][fired], patterns["token"])]
    for kind in KINDS[1:]:
        codes, hits = np.unique(grams.codes[kind][left], return_counts=True)
        sure = (
            (hits >= LEAST) & (hits / grams.count(kind, codes) >= SURE) if len(codes) else np.zeros(0, bool)
        )
        patterns[kind] = codes[sure]
        left = left[~np.isin(grams.codes[kind][left], patterns[kind])]
    found = Explanation(patterns, 0.0, 0.0)
    matched = total - len(left)
    said = _occurrences(grams, found)
    return Explanation(patterns, matched / said if said else 0.0, matched / total if total else 0.0)


def _occurrences(grams: Grams, explanation: Explanation) -> int:
    """Fitting activations that match; those of two patterns are counted once where the shorter one is a token."""
    token = explanation.patterns["token"]
    said = int(grams.count("token", token).sum())
    for kind in KINDS[1:]:
        codes = explanation.patterns[kind]
        said += int(grams.count(kind, codes).sum())
    return said


def words(explanation: Explanation, spelled: Mapping[int, str], most: int = 12) -> list[str]:
    """Patterns as text, each with its own token in brackets where it is longer; ``spelled`` names tokens."""

    def one(number: int) -> str:
        return "^" if number == _EDGE else spelled.get(number, f"#{number}")

    low = (1 << _BITS) - 1
    found: list[str] = [one(int(code)) for code in explanation.patterns["token"]]
    pairs = {
        kind: [(int(code) >> _BITS, int(code) & low) for code in explanation.patterns[kind]]
        for kind in KINDS[1:]
    }
    found += [f"{one(first)} [{one(second)}]" for first, second in pairs["before"]]
    found += [f"[{one(first)}] {one(second)}" for first, second in pairs["after"]]
    found += [f"{one(both >> _BITS)} {one(both & low)} [{one(last)}]" for both, last in pairs["two_before"]]
    return found[:most]

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
    hits: Mapping[Kind, NDArray[np.int64]]
    """How many firing activations each pattern told when it was taken."""
    matched: int
    """Fitting activations for which it fires that match."""
    said: int
    """Fitting activations that match; one that two patterns match counts twice."""
    fires: int
    """Fitting activations for which it fires."""

    @property
    def precision(self) -> float:
        """Of the fitting activations that match, the share for which it fires."""
        return self.matched / self.said if self.said else 0.0

    @property
    def recall(self) -> float:
        """Of those for which it fires, the share that match."""
        return self.matched / self.fires if self.fires else 0.0

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
    told: dict[Kind, NDArray[np.int64]] = {}
    total = len(fired)
    codes, hits = np.unique(grams.codes["token"][fired], return_counts=True)
    counts = grams.count("token", codes)
    enough = hits >= min(LEAST, max(total, 1))
    codes, hits, counts = codes[enough], hits[enough], counts[enough]
    order = np.lexsort((codes, -hits, -hits / counts))
    f1 = 2 * np.cumsum(hits[order]) / (total + np.cumsum(counts[order]))
    taken = np.sort(order[: int(np.argmax(f1)) + 1] if len(order) else order)
    patterns["token"], told["token"] = codes[taken], hits[taken]
    left = fired[~np.isin(grams.codes["token"][fired], patterns["token"])]
    for kind in KINDS[1:]:
        codes, hits = np.unique(grams.codes[kind][left], return_counts=True)
        sure = (
            (hits >= LEAST) & (hits / grams.count(kind, codes) >= SURE) if len(codes) else np.zeros(0, bool)
        )
        patterns[kind], told[kind] = codes[sure], hits[sure]
        left = left[~np.isin(grams.codes[kind][left], patterns[kind])]
    matched = total - len(left)
    said = sum(int(grams.count(kind, found).sum()) for kind, found in patterns.items() if len(found))
    return Explanation(patterns, told, matched, said, total)


def words(explanation: Explanation, spelled: Mapping[int, str], most: int = 12) -> list[str]:
    """Patterns as text, those that told most first; a longer one has its own token in brackets. ``spelled`` names tokens."""

    def one(number: int) -> str:
        return "^" if number == _EDGE else spelled.get(number, f"#{number}")

    def spelt(kind: Kind, code: int) -> str:
        last, rest = code & _EDGE, code >> _BITS
        if kind == "token":
            return one(last)
        if kind == "before":
            return f"{one(rest)} [{one(last)}]"
        if kind == "after":
            return f"[{one(rest)}] {one(last)}"
        return f"{one(rest >> _BITS)} {one(rest & _EDGE)} [{one(last)}]"

    every = [
        (-int(hit), place, spelt(kind, int(code)))
        for place, kind in enumerate(KINDS)
        for code, hit in zip(explanation.patterns[kind], explanation.hits[kind], strict=True)
    ]
    return [text for _, _, text in sorted(every)[:most]]

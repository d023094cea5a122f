"""Texts cut into pieces that can be left out: words wherever they stand, words at their place, or a model's own tokens."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BETWEEN = re.compile(r"(\W+)")


@dataclass(frozen=True, eq=False)
class Cut:
    """A text in pieces, in reading order, that join to the text itself."""

    pieces: tuple[str, ...]
    owner: NDArray[np.int64]
    """The player a piece belongs to, counted by first place; -1 for what is never left out."""
    names: tuple[str, ...]
    """Each player in words."""
    token: str | None = None
    """What stands for a piece that is left out; None where nothing does."""

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Start and end of every piece that has a player."""
        ends = np.cumsum([len(piece) for piece in self.pieces]).tolist()
        return [
            (end - len(piece), end)
            for piece, end, owner in zip(self.pieces, ends, self.owner.tolist(), strict=True)
            if owner >= 0
        ]

    def placed(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values (players) at each of the spans, shared out equally over the places where a player stands."""
        owner = self.owner[self.owner >= 0]
        return np.asarray(values[owner] / np.bincount(owner, minlength=len(values))[owner])

    def shown(self, masks: NDArray[np.bool_]) -> list[str]:
        """The text as each mask (masks, players) leaves it."""
        kept = np.ones((len(masks), len(self.pieces)), dtype=bool)
        inside = self.owner >= 0
        kept[:, inside] = masks[:, self.owner[inside]]
        away = self.token or ""
        return [
            "".join([piece if stays else away for piece, stays in zip(self.pieces, row, strict=True)])
            for row in kept.tolist()
        ]


def words(text: str, *, bag: bool, token: str | None = None) -> Cut:
    """Runs of letters, digits and underscores; ``bag``: equal words are one player, as lime has them."""
    pieces = [piece for piece in _BETWEEN.split(text) if piece]
    number: dict[str, int] = {}
    owner: list[int] = []
    names: list[str] = []
    for piece in pieces:
        if _BETWEEN.match(piece):
            owner.append(-1)
            continue
        if bag and piece in number:
            owner.append(number[piece])
            continue
        number[piece] = len(names)
        owner.append(len(names))
        names.append(piece)
    return Cut(tuple(pieces), np.asarray(owner, dtype=np.int64), tuple(names), token)


def tokens(text: str, reader: Any, token: str | None = None) -> Cut:
    """The tokens of a network's reader at their places; what its tokenizer cuts off is never left out."""
    (found,) = reader.encodings([text])
    pieces: list[str] = []
    owner: list[int] = []
    names: list[str] = []
    place = 0
    for (begin, end), special in zip(found.offsets, found.special_tokens_mask, strict=True):
        start = max(begin, place)  # several tokens of one character share its place
        if special or end <= start:
            continue
        if start > place:
            pieces.append(text[place:start])
            owner.append(-1)
        pieces.append(text[start:end])
        owner.append(len(names))
        names.append(text[start:end])
        place = end
    if place < len(text):
        pieces.append(text[place:])
        owner.append(-1)
    return Cut(tuple(pieces), np.asarray(owner, dtype=np.int64), tuple(names), token)


def mask_token(reader: Any) -> str | None:
    """The token that a reader's tokenizer keeps for a word that is hidden, by its usual names."""
    listed = json.loads(reader.tokenizer).get("added_tokens") or []
    known = {entry.get("content") for entry in listed}
    return next((name for name in ("[MASK]", "<mask>") if name in known), None)

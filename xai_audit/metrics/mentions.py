"""Which texts mention which words: whole words in any script, whatever their case; and words put in their place."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import AfterValidator

from xai_audit.errors import UnmetNeedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.subject import Subject


def pattern(words: Iterable[str]) -> re.Pattern[str]:
    """Finds any of some words or phrases as whole words of a text that ``plain`` gave, the longer ones first."""
    listed = sorted({plain(word) for word in words}, key=lambda word: (-len(word), word))
    spelled = "|".join(r"\s+".join(map(re.escape, word.split())) for word in listed)
    # Not \b, which finds no end after a mark, as in C++.
    return re.compile(rf"(?<!\w)(?:{spelled})(?!\w)", re.IGNORECASE)


def plain(text: str) -> str:
    """A text whose accents are written in one way, however they were typed."""
    return unicodedata.normalize("NFC", text)


def texts_of(subject: Subject) -> list[str]:
    """The test rows' texts, as ``plain`` gives them; UnmetNeedError where the rows are none."""
    if subject.modality != "text":
        what = {"table": "cells of a table", "image": "images"}[subject.modality]
        raise UnmetNeedError(f"words are found in texts; these rows are {what}")
    return [plain(str(text)) for text in subject.test.frame.iloc[:, 0]]


def mentions(texts: Sequence[str], words: Iterable[str]) -> NDArray[np.bool_]:
    """Whether each text holds any of the words."""
    found = pattern(words)
    return np.array([found.search(text) is not None for text in texts], dtype=bool)


def put(word: str, seen: str) -> str:
    """A word in the case of the one it takes the place of: GAY, Gay or gay."""
    if len(seen) > 1 and seen.isupper():
        return word.upper()
    return word[:1].upper() + word[1:] if seen[:1].isupper() else word


def replaced(text: str, word: str, by: str) -> str:
    """A text with a word or phrase replaced wherever it stands, in the case it stands there."""
    return pattern([word]).sub(lambda match: put(by, match[0]), text)


def _filled(lists: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    for name, words in lists.items():
        if not name.strip():
            message = "a list of words has no name"
            raise ValueError(message)
        if not words or not all(word.strip() for word in words):
            message = f"{name!r} holds no word" if not words else f"{name!r} holds a blank word"
            raise ValueError(message)
        if len({plain(word).casefold() for word in words}) < len(words):
            message = f"{name!r} holds a word twice"
            raise ValueError(message)
    return lists


Lists = Annotated[dict[str, tuple[str, ...]], AfterValidator(_filled)]
"""Words by the name of what they stand for; none blank, none twice."""

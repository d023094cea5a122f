"""What is looked at as it is: pictures under their marks, words with theirs, examples side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from markupsafe import Markup

    from xai_audit.render.ink import Drawing


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One picture or one text with a few short lines below it."""

    svg: Markup | None = None
    text: str = ""
    """A text as printed, or the words that stand where a picture cannot be read."""
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """A picture as it is beside the same under the marks of one explainer or several, on one scale."""

    title: str
    subtitle: str
    frames: tuple[Frame, ...]
    scale: Drawing
    kind: Literal["pictures"] = "pictures"


@dataclass(frozen=True, kw_only=True)
class Token:
    """A piece of a text with its mark."""

    text: str
    way: Literal["", "for", "against"] = ""
    level: int = 0
    """How thick its line is, 1 to 4."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """A text in reading order with marked words."""

    title: str
    subtitle: str
    tokens: tuple[Token, ...]
    rest: tuple[Token, ...]
    """What a screen folds and paper leaves out."""
    more: str
    """How many words are folded, in words."""
    beyond: str
    """How many words are on no page, in words."""
    leading: str
    """The words with the largest contributions and their numbers, in a sentence."""
    key: tuple[Token, ...]
    """A sample of each way's mark, against first, in the words that explain it."""
    kind: Literal["words"] = "words"


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Examples in rows, the one that is explained at the left."""

    title: str
    subtitle: str
    query: Frame | None
    rows: tuple[tuple[str, tuple[Frame, ...]], ...]
    kind: Literal["gallery"] = "gallery"


Panel = Pictures | Words | Gallery

"""Texts with marked words: a solid line below speaks for, a dotted one against, the thicker the more."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from xai_audit.render import numbers
from xai_audit.render.overlays import digits, signed
from xai_audit.render.panels import Token
from xai_audit.render.shown import Cell, Column, Line, Table
from xai_audit.render.visible import name, visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

AT_ONCE = 120
"""Words that are read at once; a screen folds the rest, paper leaves it out."""
LONGEST = 1500
"""Words that any page holds."""
LISTED = 10
"""Words in the table of the largest contributions."""
NAMED = 3
"""Words of each way that a sentence names."""
STEPS = (0.1, 0.25, 0.5, 0.75)
"""Shares of the largest contribution from which a line is one step thicker; under the first there is none."""
CAP = 80
"""Letters of one word that are printed."""


def pieces(case: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A case's tokens, those that are mappings with a text."""
    return [token for token in case.get("tokens") or () if isinstance(token, dict) and "text" in token]


def phi(token: Mapping[str, Any]) -> float | None:
    """A token's contribution; None for a gap."""
    return _number(token.get("phi"))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def sure(token: Mapping[str, Any]) -> bool:
    """Whether the interval, where there is one, leaves out 0."""
    low, high = _number(token.get("low")), _number(token.get("high"))
    return low is None or high is None or low > 0 or high < 0


def most(tokens: Sequence[Mapping[str, Any]]) -> float:
    """The largest amount of a word."""
    return max((abs(value) for token in tokens if (value := phi(token)) is not None), default=0.0)


def marked(tokens: Sequence[Mapping[str, Any]]) -> list[Token]:
    """Every piece as printed, its mark by its share of the largest contribution."""
    top = most(tokens)
    made = []
    for token in tokens:
        value = phi(token)
        text = _shown(str(token["text"]))
        level = sum(abs(value) >= step * top for step in STEPS) if value and top and sure(token) else 0
        way = "" if not level or value is None else ("for" if value > 0 else "against")
        made.append(Token(text=text, way=way, level=level))  # type: ignore[arg-type]
    return made


def _shown(text: str) -> str:
    """A piece with its hidden characters as escapes; line breaks stay, a word without end is cut and says so."""
    if len(text) <= CAP or any(c.isspace() for c in text):
        return visible(text, lines=True)
    return name(text, CAP)


def parted(tokens: Sequence[Mapping[str, Any]]) -> tuple[int, int, int]:
    """Where the folded part begins and ends, and how many words the text has in all."""
    counted, fold, stop = 0, len(tokens), len(tokens)
    for place, token in enumerate(tokens):
        if phi(token) is None:
            continue
        counted += 1
        if counted == AT_ONCE + 1:
            fold = place
        if counted == LONGEST + 1:
            stop = place
    return fold, stop, counted


def leaders(tokens: Sequence[Mapping[str, Any]], way: int) -> list[Mapping[str, Any]]:
    """Words that speak for (way 1) or against (-1) and surely so, the largest first."""
    own = [t for t in tokens if (value := phi(t)) is not None and value * way > 0 and sure(t)]
    return sorted(own, key=lambda token: -abs(phi(token) or 0.0))


def quoted(token: Mapping[str, Any]) -> str:
    """A word as it stands in a sentence."""
    return f"“{name(str(token['text']).strip(), 40)}”"


def leading(tokens: Sequence[Mapping[str, Any]], ways: tuple[str, str]) -> str:
    """The largest contributions in words: ``Most for positive: “great” +0.21. Most against: “not” −0.18.``"""
    places = digits(most(tokens))
    said = []
    for way, words in ((1, ways[1]), (-1, ways[0])):
        # A word that would print as 0 names nothing.
        own = [t for t in leaders(tokens, way) if round(abs(phi(t) or 0.0), places)][:NAMED]
        if own:
            each = ", ".join(
                f"{quoted(t)}{numbers.NBSP}{signed(phi(t) or 0.0, places)}{_interval(t, places)}" for t in own
            )
            said.append(f"Most {words}: {each}.")
    return " ".join(said) or "No word's contribution is surely on one side of 0."


def _interval(token: Mapping[str, Any], places: int) -> str:
    low, high = _number(token.get("low")), _number(token.get("high"))
    if low is None or high is None or low == high:
        return ""
    return f"{numbers.NBSP}[{numbers.plain(low, places)},{numbers.NBSP}{numbers.plain(high, places)}]"


def listed(tokens: Sequence[Mapping[str, Any]], caption: str) -> Table:
    """The words with the largest contributions, of the whole text, with their places in it."""
    places = digits(most(tokens))
    words = [token for token in tokens if phi(token) is not None]
    order = sorted(range(len(words)), key=lambda k: (-abs(phi(words[k]) or 0.0), k))
    rows = tuple(
        Line(
            cells=(
                Cell(text=name(str(words[k]["text"]).strip(), CAP)),
                Cell(text=f"{k + 1:,}", sort=str(k + 1)),
                Cell(
                    text=f"{signed(phi(words[k]) or 0.0, places)}{_interval(words[k], places)}",
                    sub="" if sure(words[k]) else "the interval holds 0",
                    sort=str(phi(words[k])),
                ),
            )
        )
        for k in order[:LISTED]
    )
    rest = len(words) - len(rows)
    return Table(
        caption=caption,
        columns=(
            Column(head="Word"),
            Column(head="Place in the text", numeric=True),
            Column(head="Contribution", numeric=True),
        ),
        rows=rows,
        notes=(f"The other {numbers.some(rest, 'word')} contribute no more; audit.json holds all.",)
        if rest > 0
        else (),
        folded=True,
        screen=True,
    )

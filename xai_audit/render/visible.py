"""Names as they are: what a person typed is shown literally, whatever it holds."""

from __future__ import annotations

import hashlib
import re
import unicodedata

CAP = 160
"""Characters of a name that are printed; a longer one says its length. audit.json holds all of it."""

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")


def _escaped(character: str) -> str:
    """A character that cannot be seen, as the escape a programmer would type."""
    short = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
    number = ord(character)
    if character in short:
        return short[character]
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _hidden(character: str) -> bool:
    """Whether a character shows nothing, reorders its neighbours or is no character at all."""
    if character == "‍":  # joins emoji; harmless and often typed
        return False
    kind = unicodedata.category(character)
    return kind in {"Cc", "Cf", "Cs", "Zl", "Zp", "Cn"} or (kind == "Co")


def visible(text: str, *, lines: bool = False) -> str:
    """Text with every hidden character as a visible escape; ``lines`` keeps line breaks and tabs."""
    kept = "\n\t" if lines else ""
    return "".join(
        _escaped(c) if c not in kept and _hidden(c) else c
        for c in text.replace("\r\n", "\n" if lines else "\r\n")
    )


def name(text: object, cap: int = CAP) -> str:
    """A name as printed: literal, and cut after ``cap`` characters with its full length beside it."""
    whole = str(text)
    if len(whole) <= cap:
        return visible(whole)
    return f"{visible(whole[:cap])}… ({len(whole):,} characters)"


def prose(text: object, cap: int = 1200) -> str:
    """A sentence or a paragraph as printed: literal, and cut where nobody would read on."""
    return name(text, cap)


_SIGNS = re.compile(r"([\\`*_\[\]<>#|~&])")
_MENTION = re.compile(r"(?<![\w@])@(?=\w)")


def markdown(text: str) -> str:
    """Text that Markdown shows as it is, on one line; ``@name`` calls nobody."""
    flat = " ".join(text.replace("\u00a0", " ").split())
    return _MENTION.sub("@<!-- -->", _SIGNS.sub(r"\\\1", flat))


def fitted(text: str, width: float, size: float) -> str:
    """A label cut with an ellipsis so that it fits a width, by the faces' average advance."""
    room = width / size
    if sum(map(advance, text[: int(room * 4) + 1])) <= room:
        return text
    used, kept = 0.75, 0  # the ellipsis itself
    while used + advance(text[kept]) <= room:
        used += advance(text[kept])
        kept += 1
    return text[:kept].rstrip() + "…"


def advance(character: str) -> float:
    """About how wide a character of Source Sans is, in ems."""
    if unicodedata.east_asian_width(character) in {"W", "F"}:
        return 1.0
    if character in "iljtfrI.,:;'|![]() ":
        return 0.29
    if character in "mwMW@%":
        return 0.82
    return 0.58 if character.isupper() else 0.5


def anchor(kind: str, text: str) -> str:
    """An id that is valid in HTML, in links and in PDF, and different for different names."""
    if len(text) > CAP:
        text = f"{text[:20]}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"
    pieces = re.split(r"([A-Za-z0-9_-]+)", text)
    return f"{kind}-" + "".join(
        piece if _PLAIN.fullmatch(piece) else "".join(f".{ord(c):x}." for c in piece)
        for piece in pieces
        if piece
    )


def script(text: str) -> str:
    """``Grek``, ``Cyrl`` or ``Latn``: which script most letters of a text are in."""
    counts = {"Grek": 0, "Cyrl": 0, "Latn": 0}
    for character in text:
        if not character.isalpha():
            continue
        word = unicodedata.name(character, "").split(" ", 1)[0]
        key = {"GREEK": "Grek", "CYRILLIC": "Cyrl"}.get(word, "Latn")
        counts[key] += 1
    return max(counts, key=lambda key: (counts[key], key == "Latn"))

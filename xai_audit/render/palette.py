"""Every colour, once, for light and dark; and the marks, which are a shape and a word first."""

from __future__ import annotations

from typing import NamedTuple


class Ink(NamedTuple):
    """A colour on the light ground and on the dark one."""

    light: str
    dark: str


GROUND = Ink("#ffffff", "#14181f")
TEXT: dict[str, Ink] = {
    "ink": Ink("#1a1f2b", "#e6e9ef"),
    "secondary": Ink("#4a5363", "#b0b8c5"),
    "accent": Ink("#1f4e79", "#8ab8e6"),
    "pass": Ink("#1b6e5a", "#5fbf9f"),
    "fail": Ink("#a3262a", "#f08a84"),
    "open": Ink("#8a6100", "#d9a93f"),
    "review": Ink("#5b3f8c", "#b79be8"),
    "absent": Ink("#5a6270", "#a0a9b8"),
}
"""Colours that words may have: at least 4.5:1 on the ground."""
MARKS: dict[str, Ink] = {"context": Ink("#7d8794", "#7f8a99"), "against": Ink("#b24a00", "#e8955a")}
"""Colours of marks alone: at least 3:1, never text."""
RULES: dict[str, Ink] = {"rule": Ink("#c9ced6", "#39414f")}
"""Colours of lines that carry no meaning."""
INKS: dict[str, Ink] = {**TEXT, **MARKS, **RULES, "ground": GROUND}


class Mark(NamedTuple):
    """A verdict as printed: a shape, a word, the name of its colour."""

    shape: str
    word: str
    ink: str


VERDICTS: dict[str, Mark] = {
    "fail": Mark("■", "failed", "fail"),
    "open": Mark("◆", "undecided", "open"),
    "review": Mark("▲", "review", "review"),
    "pass": Mark("●", "passed", "pass"),
    "waived": Mark("□", "waived", "absent"),
    "notApplicable": Mark("–", "not applicable", "absent"),
    "informational": Mark("–", "for information", "absent"),
    "absent": Mark("○", "missing", "absent"),
}
"""In the order of their weight: a section shows the first of its own."""


def sheet() -> str:
    """The colours as CSS custom properties, dark by the reader's preference. For screens."""
    light = ";".join(f"--{name}:{ink.light}" for name, ink in INKS.items())
    dark = ";".join(f"--{name}:{ink.dark}" for name, ink in INKS.items())
    drawn = "".join(
        f"svg .f-{name}{{fill:var(--{name})}}svg .s-{name}{{stroke:var(--{name})}}" for name in INKS
    )
    return f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}{drawn}}}"


def printed_sheet() -> str:
    """The light colours alone, for paper."""
    return ":root{" + ";".join(f"--{name}:{ink.light}" for name, ink in INKS.items()) + "}"


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two hex colours, 1 to 21 (WCAG 2.2, relative luminance)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

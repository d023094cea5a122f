"""badge.svg: the outcome as a shape and a word, readable in light and dark; no font and no request from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import escape

from xai_audit.render import front, people
from xai_audit.render.palette import GROUND, TEXT
from xai_audit.render.visible import advance, name

if TYPE_CHECKING:
    from xai_audit.audit import Audit
    from xai_audit.verdict import Outcome

WORDS: dict[Outcome, tuple[str, str]] = {
    "pass": ("passed", "pass"),
    "fail": ("failed", "fail"),
    "review": ("review", "review"),
    "error": ("could not run", "absent"),
}
"""The word of an outcome and its ink."""
SHAPES: dict[Outcome, str] = {
    "pass": '<circle cx="{x}" cy="10" r="4"/>',
    "fail": '<path d="M{a} 6h8v8h-8z"/>',
    "review": '<path d="M{x} 5.5l4.6 8.5h-9.2z"/>',
    "error": '<path d="M{a} 9h8v2h-8z"/>',
}
"""The marks of the report, drawn, so that no font has to hold them."""
LABEL = "xai-audit"
SIZE = 11
HEIGHT = 20
PAD = 8


def render(audit: Audit) -> bytes:
    """The badge, with a title that says what it stands for."""
    word, ink = WORDS[audit.outcome]
    left, right = _wide(LABEL), _wide(word)
    split = left + 2 * PAD
    width = split + right + 2 * PAD + 14
    label, state = TEXT["secondary"], TEXT[ink]
    at = split + PAD + 4
    shape = SHAPES[audit.outcome].format(x=at, a=at - 4)
    title = f"{LABEL}: {people.title(audit)}, {word}: {', '.join(front.clauses(audit))}"
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="t" width="{width}" height="{HEIGHT}" '
        f'viewBox="0 0 {width} {HEIGHT}"><title id="t">{escape(name(title, 300))}</title>'
        f"<style>@media (prefers-color-scheme:dark){{.l{{fill:{label.dark}}}.s{{fill:{state.dark}}}"
        f".g{{fill:{GROUND.dark}}}}}</style>"
        f'<path class="l" fill="{label.light}" d="M3 0h{split - 3}v{HEIGHT}H3a3 3 0 0 1-3-3V3a3 3 0 0 1 3-3z"/>'
        f'<path class="s" fill="{state.light}" d="M{split} 0h{width - split - 3}a3 3 0 0 1 3 3v{HEIGHT - 6}'
        f'a3 3 0 0 1-3 3H{split}z"/>'
        f'<g class="g" fill="{GROUND.light}" font-family="sans-serif" font-size="{SIZE}">'
        f"{_words(PAD, left, LABEL)}{shape}{_words(at + 10, right, word)}</g></svg>\n"
    )
    return svg.encode()


def _wide(text: str) -> int:
    return round(sum(map(advance, text)) * SIZE)


def _words(x: int, width: int, text: str) -> str:
    """Words that take the same width in every face."""
    return f'<text x="{x}" y="14" textLength="{width}" lengthAdjust="spacingAndGlyphs">{escape(text)}</text>'

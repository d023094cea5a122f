"""SVG in small: marks as text with light colours as attributes and classes that a dark screen overrides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from markupsafe import Markup, escape

from xai_audit.render.palette import INKS
from xai_audit.render.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from xai_audit.evidence import Estimate

WIDE = 446
"""118 mm in CSS pixels: the text column."""
NARROW = 328
"""A telephone."""
PITCH = 18
SIZE = 11.3
"""8.5 points, in CSS pixels."""
FACES = "Audit Sans, Audit Marks"

Anchor = Literal["start", "middle", "end"]


class Drawing(NamedTuple):
    """One picture at both widths."""

    wide: Markup
    narrow: Markup


class Threshold(NamedTuple):
    """A line that numbers are held to, and which side of it is wrong."""

    value: float
    number: str
    side: Literal["at_least", "at_most", "equals"]
    basis: str
    """Where it comes from: ``convention, not law``, ``declared by the provider``."""
    strict: bool = False
    """Whether the number itself is on the wrong side."""

    @property
    def label(self) -> str:
        """The words at the line: ``0.80, convention, not law``."""
        return f"{self.number}, {self.basis}"

    @property
    def words(self) -> str:
        """The requirement: ``at least 0.80``."""
        sides = {"at_least": "at least", "at_most": "at most", "equals": "exactly"}
        if self.strict:
            sides = {"at_least": "more than", "at_most": "less than", "equals": "exactly"}
        return f"{sides[self.side]} {self.number}"

    def missed(self, estimate: Estimate) -> bool:
        """Whether the whole interval lies on the wrong side."""
        below = estimate.high is not None and estimate.high < self.value
        above = estimate.low is not None and estimate.low > self.value
        return {"at_least": below, "at_most": above, "equals": below or above}[self.side]


def _n(x: float) -> str:
    """A coordinate with at most one decimal: small files, and the same bytes everywhere."""
    text = f"{x:.1f}"
    return text.removesuffix(".0")


def words(
    x: float, y: float, text: str, *, ink: str = "ink", anchor: Anchor = "start", semibold: bool = False
) -> Markup:
    """A line of text with its baseline at y."""
    weight = Markup(' font-weight="600"') if semibold else ""
    return Markup('<text x="{}" y="{}" fill="{}" class="f-{}" text-anchor="{}"{}>{}</text>').format(
        _n(x), _n(y), INKS[ink].light, ink, anchor, weight, escape(visible(text))
    )


def line(x1: float, y1: float, x2: float, y2: float, *, ink: str, width: float = 1, dash: str = "") -> Markup:
    """A straight line."""
    dashes = Markup(' stroke-dasharray="{}"').format(dash) if dash else ""
    return Markup(
        '<line x1="{}" y1="{}" x2="{}" y2="{}" stroke="{}" class="s-{}" stroke-width="{}"{}/>'
    ).format(_n(x1), _n(y1), _n(x2), _n(y2), INKS[ink].light, ink, width, dashes)


def dot(x: float, y: float, *, ink: str, radius: float = 4.2) -> Markup:
    """A filled circle."""
    return Markup('<circle cx="{}" cy="{}" r="{}" fill="{}" class="f-{}"/>').format(
        _n(x), _n(y), radius, INKS[ink].light, ink
    )


def box(x: float, y: float, width: float, height: float, *, ink: str) -> Markup:
    """A filled rectangle."""
    return Markup('<rect x="{}" y="{}" width="{}" height="{}" fill="{}" class="f-{}"/>').format(
        _n(x), _n(y), _n(width), _n(height), INKS[ink].light, ink
    )


def path(points: Sequence[tuple[float, float]], *, ink: str, width: float = 1.5, dash: str = "") -> Markup:
    """A line through points."""
    steps = " ".join(f"{'L' if i else 'M'}{_n(x)} {_n(y)}" for i, (x, y) in enumerate(points))
    dashes = Markup(' stroke-dasharray="{}"').format(dash) if dash else ""
    return Markup('<path d="{}" fill="none" stroke="{}" class="s-{}" stroke-width="{}"{}/>').format(
        steps, INKS[ink].light, ink, width, dashes
    )


def bend(points: Sequence[tuple[float, float]], *, ink: str, width: float) -> Markup:
    """A curve from the first point to the last, drawn towards the two between (cubic Bezier)."""
    (x, y), *rest = points
    towards = ", ".join(f"{_n(a)} {_n(b)}" for a, b in rest)
    return Markup('<path d="M{} {} C{}" fill="none" stroke="{}" class="s-{}" stroke-width="{}"/>').format(
        _n(x), _n(y), towards, INKS[ink].light, ink, width
    )


def area(points: Sequence[tuple[float, float]], *, ink: str) -> Markup:
    """A filled outline."""
    steps = " ".join(f"{'L' if i else 'M'}{_n(x)} {_n(y)}" for i, (x, y) in enumerate(points))
    return Markup('<path d="{}Z" fill="{}" class="f-{}"/>').format(steps, INKS[ink].light, ink)


def arrow(x1: float, x2: float, y: float, *, ink: str, width: float = 2.4) -> Markup:
    """An arrow along a row; one too short for a shaft is its head alone."""
    way = 1 if x2 >= x1 else -1
    head = min(6.0, abs(x2 - x1))
    shaft = line(x1, y, x2 - way * head, y, ink=ink, width=width) if abs(x2 - x1) > head else Markup()
    return shaft + area([(x2, y), (x2 - way * 6, y - 4), (x2 - way * 6, y + 4)], ink=ink)


def whisker(low: float, value: float, high: float, y: float, *, strong: bool) -> Markup:
    """A dot on its interval; strong ones in the accent."""
    ink = "accent" if strong else "context"
    bar = line(low, y, high, y, ink=ink, width=2.4 if strong else 1.6)
    return bar + dot(value, y, ink=ink, radius=4.3 if strong else 3.7)


def drawing(width: float, height: float, title: str, marks: Iterable[Markup]) -> Markup:
    """The whole picture, its finding as the title that a reader without eyes gets."""
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {w} {h}" width="{w}" height="{h}" '
        'font-family="{f}" font-size="{s}"><title>{t}</title>{m}</svg>'
    ).format(w=_n(width), h=_n(height), f=FACES, s=SIZE, t=visible(title), m=Markup("").join(marks))

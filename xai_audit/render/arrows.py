"""One decision explained: a row of arrows from the average score to this score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xai_audit.evidence import Estimate
from xai_audit.render import axes, numbers
from xai_audit.render.ink import NARROW, PITCH, SIZE, WIDE, Drawing, arrow, dot, drawing, line, words
from xai_audit.render.visible import fitted, name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markupsafe import Markup

MOST = 8
"""Inputs with an arrow of their own; the rest share one."""


def arrows(case: Mapping[str, Any], title: str) -> Drawing:
    """A case ``{base, score, threshold, items: [{name, value, phi, low, high}]}`` as arrows, largest first."""
    return Drawing(_arrows(case, title, WIDE), _arrows(case, title, NARROW))


def steps(case: Mapping[str, Any]) -> list[tuple[str, float, float | None, float | None]]:
    """The largest changes as (label, change, low, high), the others summed at the end."""
    items = sorted(case.get("items", ()), key=lambda item: -abs(float(item["phi"])))
    made = [(label(item), float(item["phi"]), item.get("low"), item.get("high")) for item in items[:MOST]]
    rest = items[MOST:]
    if rest:
        made.append(
            (numbers.some(len(rest), "other input"), sum(float(item["phi"]) for item in rest), None, None)
        )
    return made


def label(item: Mapping[str, Any]) -> str:
    """``bmi, 34.2``: an input and its value, or the condition a local fit put it in."""
    if item.get("condition"):
        return name(item["condition"], 80)
    value = item.get("value")
    shown = f"{value:g}" if isinstance(value, float) else name(value, 40)
    return f"{name(item['name'], 60)}, {shown}"


def _arrows(case: Mapping[str, Any], title: str, width: float) -> Markup:
    narrow = width == NARROW
    base, score, threshold = float(case["base"]), float(case["score"]), case.get("threshold")
    fitted_here = case.get("fitted")
    first, last = "Average score", "Score of this row"
    if fitted_here is not None:
        first, last, score = "Base of the local fit", "Fitted here", float(fitted_here)
    moved = steps(case)
    places = [base]
    for _, change, _, _ in moved:
        places.append(places[-1] + change)
    left, right = (12.0, width - 12.0) if narrow else (160.0, width - 134.0)
    values = [*places, score, *([float(threshold)] if threshold is not None else [])]
    scale = axes.linear(values, left, right)
    pitch = PITCH * 1.8 if narrow else float(PITCH)
    bottom = 26 + pitch * (len(moved) + 2) + 6
    marks = [line(scale.at(t), 26, scale.at(t), bottom, ink="rule", width=0.8) for t in scale.ticks]
    marks += [
        words(scale.at(t), bottom + 14, scale.label(t), ink="secondary", anchor="middle") for t in scale.ticks
    ]
    if threshold is not None:
        x = scale.at(float(threshold))
        marks.append(line(x, 20, x, bottom, ink="ink", width=1.4))
        marks.append(words(x, 14, f"positive from {numbers.plain(float(threshold), 2)}", anchor="middle"))
    if not narrow:
        marks.append(words(0, 14, "Input and its value", ink="secondary"))
        marks.append(words(width, 14, "Change", ink="secondary", anchor="end"))
    digits = _digits(moved)
    y = 26 + pitch / 2

    def row(text: str, number: str, *, bold: bool = False) -> None:
        base_line = y - 9 if narrow else y + 4
        marks.append(words(0, base_line, fitted(text, 190 if narrow else 152, SIZE), semibold=bold))
        marks.append(words(width, base_line, number, anchor="end"))

    row(first, numbers.plain(base, 2))
    marks.append(dot(scale.at(base), y + (4 if narrow else 0), ink="context"))
    for index, (text, change, low, high) in enumerate(moved):
        below = y + (4 if narrow else 0)
        y += pitch
        at = y + (4 if narrow else 0)
        marks.append(
            line(
                scale.at(places[index]),
                below,
                scale.at(places[index]),
                at,
                ink="context",
                width=0.8,
                dash="2 2",
            )
        )
        # Grey where the interval holds 0, so that nobody reads a direction into it.
        sure = low is None or high is None or low > 0 or high < 0
        marks.append(
            arrow(
                scale.at(places[index]), scale.at(places[index + 1]), at, ink="accent" if sure else "context"
            )
        )
        row(text, _change(change, low, high, digits))
    y += pitch
    row(last, numbers.plain(score, 2), bold=True)
    marks.append(dot(scale.at(score), y + (4 if narrow else 0), ink="accent"))
    return drawing(width, bottom + 20, title, marks)


def _digits(moved: Sequence[tuple[str, float, float | None, float | None]]) -> int:
    return max(2, numbers.shared_decimals(_estimate(change, low, high) for _, change, low, high in moved))


def _estimate(change: float, low: float | None, high: float | None) -> Estimate:
    return Estimate(
        value=change, low=change if low is None else low, high=change if high is None else high, n=1
    )


def _change(change: float, low: float | None, high: float | None, digits: int) -> str:
    number = numbers.plain(change, digits)
    signed = number if number.startswith(numbers.MINUS) else f"+{number}"
    if low is None or high is None or low == high:
        return signed
    return f"{signed}{numbers.NBSP}{numbers.interval(_estimate(change, low, high), digits)}"

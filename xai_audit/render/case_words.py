"""What is said of a single picture or text: why it is shown, its label, its score, which way marks speak."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xai_audit.render import numbers, overlays
from xai_audit.render.visible import name

if TYPE_CHECKING:
    from collections.abc import Mapping

    Case = Mapping[str, Any]

KINDS = {"image", "text", "prototypes"}


def kind(case: Case) -> str:
    """What a case shows: ``image``, ``text``, ``prototypes``; empty for a row of a table."""
    found = case.get("kind")
    return found if found in KINDS else ""


def ways(case: Case) -> tuple[str, str]:
    """What marks speak against and for."""
    explained = str(case.get("explained") or "")
    if explained in {"", "the score", "the prediction"}:
        what = "prediction" if explained == "the prediction" else "score"
        return f"towards a lower {what}", f"towards a higher {what}"
    return f"against {name(explained, 40)}", f"for {name(explained, 40)}"


def why(case: Case) -> str:
    """Why this one is shown, as a sentence begins."""
    text = name(case.get("why") or "one example", 240)
    return text[0].upper() + text[1:]


def labelled(case: Case) -> str:
    """``Label dog, predicted cat.``"""
    label, predicted = case.get("label"), case.get("predicted")
    parts = [f"label {name(label, 40)}" if label else "no label"]
    if predicted:
        parts.append(f"predicted {name(predicted, 40)}")
    text = ", ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def scored(case: Case) -> str:
    """``Probability of dog 0.91, from 0.10 for the reference.``"""
    score, base = number(case.get("score")), number(case.get("base"))
    if score is None:
        return ""
    places = max(overlays.digits(abs(score)), 2) if abs(score) < 1 else 2
    explained = str(case.get("explained") or "")
    unit = name(case.get("unit") or "score", 40).removeprefix("change in ")
    of = f" of {name(explained, 40)}" if explained not in {"", "the score", "the prediction"} else ""
    text = f"{unit[0].upper()}{unit[1:]}{of} {numbers.plain(score, min(places, 4))}"
    if base is not None:
        text += f", from {numbers.plain(base, min(places, 4))} for the reference"
    return f"{text}."


def number(found: Any) -> float | None:
    """A number of a case; None for what is none."""
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None

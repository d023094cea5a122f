"""Sentences made from numbers: they say what was seen and how sure, and never why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xai_audit.render import numbers
from xai_audit.render.visible import name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xai_audit.evidence import Curve, Estimate, Groups, Ranking
    from xai_audit.render.ink import Threshold


def gap(title: str, observation: Groups) -> str:
    """How far apart the outermost groups lie, and whether chance could do that."""
    summary = observation.summary
    if summary is None or summary.between is None:
        return ""
    # With one column the label alone (``2``) says too little; with several it names them all.
    column = f"{name(observation.by[0], 40)} " if len(observation.by) == 1 else ""
    low, high = (f"{column}{name(label, 40)}" for label in summary.between)
    if summary.difference is not None:
        surely = summary.difference.low is not None and summary.difference.low > 0
    elif summary.ratio is not None:
        surely = summary.ratio.high is not None and summary.ratio.high < 1
    else:
        return ""
    if surely:
        over = ", over all pairs of groups" if summary.pairs > 1 else ""
        return f"{title} is lower for {low} than for {high}; the difference is larger than chance{over}"
    return f"{title} is lowest for {low}, highest for {high}; chance alone could make that difference"


def against(title: str, rows: Sequence[tuple[str, Estimate]], threshold: Threshold) -> str:
    """For which rows (the first is the whole) the interval lies on the wrong side of a threshold."""
    missed = [label for label, estimate in rows if threshold.missed(estimate)]
    side = "below" if threshold.side == "at_least" else "above"
    level = f"the declared {threshold.number}"
    if not missed:
        return f"{title}: no interval lies wholly {side} {level}"
    whole = rows[0][0]
    groups = [label for label in missed if label != whole]
    parts = ["overall"] if whole in missed else []
    if len(groups) > 3:
        parts.append(f"for {len(groups)} of {len(rows) - 1} groups")
    elif groups:
        parts.append(f"for {numbers.joined(groups)}")
    return f"{title} lies {side} {level} {' and '.join(parts)}"


def leaders(observation: Ranking, what: str = "input") -> str:
    """Which inputs come first, and whether their order is settled; ``what`` names one of them.

    Words of texts stand in quotes, so that a sentence about them reads as one.
    """
    items = observation.items
    if not items:
        return f"No {what} was ranked"
    marks = ("“", "”") if what == "word" else ("", "")
    first = [name(item.name, 40).join(marks) for item in items if item.rank_low == 1]
    if len(first) == 1:
        return f"{first[0]} leads"
    if len(first) <= 3:
        return f"{numbers.joined(first)} lead; their order is not settled"
    if len(first) == len(items):
        return f"No {what} stands out: any of them may come first"
    return f"{len(first)} of {len(items)} {what}s may come first; their order is not settled"


def calibration(observation: Curve) -> str:
    """In how many bins the observed share differs from the mean score."""
    points = observation.series[0].points if observation.series else ()
    judged = [
        p
        for p in points
        if isinstance(p.x, (int, float)) and p.estimate.low is not None and p.estimate.high is not None
    ]
    apart = [p for p in judged if not (p.estimate.low or 0.0) <= float(p.x) <= (p.estimate.high or 0.0)]
    if not apart:
        return "The observed share agrees with the score in every bin, as far as the intervals tell"
    return (
        f"In {len(apart)} of {len(judged)} bins the observed share lies outside the interval round the score"
    )


EXPLAINERS = {
    "shap": "SHAP",
    "lime": "LIME",
    "integrated_gradients": "Integrated gradients",
    "gradient_shap": "Gradient SHAP",
    "occlusion": "Occlusion",
    "tcav": "TCAV",
}
"""Explainers as people call them, by their ids."""


def explainer(method: str) -> str:
    """An explainer's name as printed; the word that a spec gives it with ``as``, else."""
    if method in EXPLAINERS:
        return EXPLAINERS[method]
    text = name(method.replace("_", " "), 60)
    return text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """A clause as a sentence: a capital first, one full stop last."""
    text = text.strip()
    if not text:
        return ""
    text = text[0].upper() + text[1:]
    return text if text.endswith((".", "?", "!")) else f"{text}."

"""Sentences made from numbers: they say what was seen and how sure, and never why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xai_audit.render import numbers
from xai_audit.render.visible import name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xai_audit.evidence import Curve, Estimate, Groups, Ranking
    from xai_audit.render.charts import Threshold


def gap(title: str, observation: Groups) -> str:
    """How far apart the outermost groups lie, and whether chance could do that."""
    summary = observation.summary
    if summary is None or summary.between is None:
        return ""
    low, high = (name(label, 40) for label in summary.between)
    if summary.difference is not None:
        surely = summary.difference.low is not None and summary.difference.low > 0
    elif summary.ratio is not None:
        surely = summary.ratio.high is not None and summary.ratio.high < 1
    else:
        return ""
    over = ", even over all pairs of groups" if summary.pairs > 1 else ""
    if surely:
        return f"{title} is lower for {low} than for {high}; the difference is larger than chance{over}"
    return f"{title} is lowest for {low} and highest for {high}; chance alone could make that difference"


def against(title: str, rows: Sequence[tuple[str, Estimate]], threshold: Threshold) -> str:
    """For which rows the whole interval lies on the wrong side of a threshold."""
    missed = [label for label, estimate in rows if threshold.missed(estimate)]
    side = "below" if threshold.side == "at_least" else "above"
    if not missed:
        return f"{title}: no row lies wholly {side} {threshold.label}"
    if len(missed) > 3:
        return f"{title} lies {side} {threshold.label} for {len(missed)} of {len(rows)} rows"
    return f"{title} lies {side} {threshold.label} for {numbers.joined(missed)}"


def leaders(observation: Ranking) -> str:
    """Which inputs come first, and whether their order is settled."""
    items = observation.items
    if not items:
        return "No input was ranked"
    first = [name(item.name, 40) for item in items if item.rank_low == 1]
    if len(first) == 1:
        return f"{first[0]} leads"
    if len(first) <= 3:
        return f"{numbers.joined(first)} lead; their order is not settled"
    if len(first) == len(items):
        return "No input stands out: any of them may come first"
    return f"{len(first)} of {len(items)} inputs may come first; their order is not settled"


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


def sentence(text: str) -> str:
    """A clause as a sentence: a capital first, one full stop last."""
    text = text.strip()
    if not text:
        return ""
    text = text[0].upper() + text[1:]
    return text if text.endswith((".", "?", "!")) else f"{text}."

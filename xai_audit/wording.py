"""What a finding says: numbers and thresholds in plain words, without praise and without a verdict of law."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from urllib.parse import unquote

from xai_audit.evidence import Groups, Scalar
from xai_audit.statements import BY_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from xai_audit.applying import Reading
    from xai_audit.deciding import Threshold
    from xai_audit.evidence import Estimate, Evidence, Group
    from xai_audit.policy import Rule
    from xai_audit.spec import Spec
    from xai_audit.verdict import Basis, FindingKind, Part, Waiver

QUANTITIES = {
    "demographic_parity_ratio": "selection ratio",
    "demographic_parity_difference": "difference in selection rate",
    "equal_opportunity_difference": "difference in true positive rate",
    "false_positive_rate_difference": "difference in false positive rate",
    "predictive_parity_difference": "difference in precision",
    "equalized_odds_difference": "larger difference in true or false positive rate",
    "equalized_odds_sum": "sum of the differences in true and false positive rate",
    "roc_auc": "ROC AUC",
    "r2": "R²",
    "f1": "F1",
}
"""Metrics whose usual name says too little to somebody who is not of the field, or is written otherwise."""

_EVENTS = {
    # method: (who is counted, what befell them, whether the rate counts it or its opposite)
    "recall": ("positives", "are not found", False),
    "true_positive_rate": ("positives", "are not found", False),
    "equal_opportunity_difference": ("positives", "are not found", False),
    "false_negative_rate": ("positives", "are not found", True),
    "false_positive_rate": ("negatives", "are wrongly flagged", True),
    "false_positive_rate_difference": ("negatives", "are wrongly flagged", True),
    "true_negative_rate": ("negatives", "are wrongly flagged", False),
    "accuracy": ("people", "are decided wrongly", False),
    "precision": ("people flagged", "are flagged wrongly", False),
    "predictive_parity_difference": ("people flagged", "are flagged wrongly", False),
    "selection_rate": ("people", "are not selected", False),
    "demographic_parity_ratio": ("people", "are not selected", False),
    "demographic_parity_difference": ("people", "are not selected", False),
    "protected_flip_rate": ("people", "would be decided otherwise", True),
}


def places(estimate: Estimate) -> int:
    """Decimals that an interval supports: its last digit is worth about a fifth of the width or less."""
    low, high = estimate.low, estimate.high
    if low is None or high is None or high <= low:
        value = abs(float(estimate.value))
        # Three figures, so that 0.0014 is not printed as the 0.001 it is held to.
        return 0 if value.is_integer() else max(3, 2 - math.floor(math.log10(value)))
    floor = 2 if max(abs(low), abs(high)) <= 1 else 1
    return min(max(math.ceil(-math.log10((high - low) / 5) - 1e-9), floor), 6)


def plain(value: float, decimals: int) -> str:
    """A number with commas for thousands, a real minus sign and no negative zero."""
    text = f"{abs(value):,.{decimals}f}"
    return f"−{text}" if value < 0 and any(digit in text for digit in "123456789") else text


def level(number: float) -> str:
    """A threshold as printed: at least two decimals where it is a fraction."""
    if float(number).is_integer():
        return plain(number, 0)
    text = repr(round(float(number), 9))
    decimals = len(text.partition(".")[2]) if "e" not in text else 9
    return plain(number, max(2, decimals))


def number(estimate: Estimate) -> str:
    """An estimate as printed, ``0.72 [0.58, 0.89]``; an exact one without brackets."""
    if estimate.exact and 0 < abs(estimate.value) < 1e-6:
        return "below 0.000001" if estimate.value > 0 else "above −0.000001"
    digits = places(estimate)
    value = plain(estimate.value, digits)
    if estimate.exact:
        # Trailing zeros of an exact number claim nothing.
        return value.rstrip("0").rstrip(".") if "." in value else value
    low = "(−∞" if estimate.low is None else f"[{plain(estimate.low, digits)}"
    high = "∞)" if estimate.high is None else f"{plain(estimate.high, digits)}]"
    return f"{value} {low}, {high}"


def about(rows: int) -> str:
    """A number of rows to two figures, ``3,300``, rounded up."""
    step = 10 ** max(0, len(str(rows)) - 2)
    return f"{math.ceil(rows / step) * step:,}"


def joined(words: Iterable[str], most: int = 6) -> str:
    """``a``, ``a and b``, ``a, b and c``; a long list ends with how many more there are."""
    each = list(words)
    if len(each) > most:
        return f"{', '.join(each[: most - 1])} and {len(each) - most + 1} more"
    return each[0] if len(each) == 1 else f"{', '.join(each[:-1])} and {each[-1]}" if each else "none"


def some(count: int, one: str, many: str | None = None) -> str:
    """``1 rule``, ``3 rules``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def asked(threshold: Threshold) -> str:
    """The requirement in words: ``at least 0.80``."""
    return f"{_sides(strict=threshold.strict)[threshold.side]} {level(threshold.level)}"


def _sides(*, strict: bool) -> dict[str, str]:
    return {
        "at_least": "more than" if strict else "at least",
        "at_most": "less than" if strict else "at most",
        "equals": "exactly",
    }


def against(threshold: Threshold, basis: Basis) -> str:
    """The threshold with where it comes from: ``0.80 (convention, not law)``, ``the declared 0.75``."""
    text = level(threshold.level)
    if threshold.declared:
        return f"the declared {text}"
    return f"{text} (convention, not law)" if basis == "convention" else f"the {text} asked"


def short_of(threshold: Threshold, basis: Basis) -> str:
    """How a number misses its threshold: ``is below the declared 0.75``."""
    if threshold.side == "equals":
        return f"is not {against(threshold, basis)}"
    if threshold.strict:
        return f"is not {'above' if threshold.side == 'at_least' else 'below'} {against(threshold, basis)}"
    return f"is {'below' if threshold.side == 'at_least' else 'above'} {against(threshold, basis)}"


def named(threshold: Threshold, basis: Basis) -> str:
    """The threshold after a comma: ``convention 0.80``, ``declared 0.75``, ``threshold 0.05``."""
    word = "declared" if threshold.declared else "convention" if basis == "convention" else "threshold"
    return f"{word} {level(threshold.level)}"


def quantity(evidence: Evidence, *, which: str) -> str:
    """What was read, in words: ``selection ratio by sex``, ``largest difference in recall by sex``."""
    known = QUANTITIES.get(evidence.method)
    title = known or _lowered(evidence.title or evidence.method.replace("_", " "))
    if isinstance(evidence.observation, Groups):
        columns = [column for column in evidence.observation.by if column not in ("class", "rate")]
        by = f" by {' and '.join(columns)}" if columns else ""
        comparing = evidence.method.endswith(("_ratio", "_difference", "_sum"))
        if not comparing and which in ("difference", "ratio"):
            extreme = "largest difference in" if which == "difference" else "smallest ratio of"
            return f"{extreme} {title}{by}"
        return f"{title}{by}"
    method, _, part = evidence.id.partition("/")
    if part and known is None and evidence.title.lower() == method.replace("_", " "):
        return f"{title}, {unquote(part)}"
    return title


def _lowered(title: str) -> str:
    """A title inside a sentence: its capital goes, unless it begins an abbreviation or a provision."""
    if title.startswith(("Annex ", "Article ", "Articles ")) or not title[1:2].islower():
        return title
    return title[0].lower() + title[1:]


def affected(evidence: Evidence, between: tuple[str, str] | None, rows: str = "people") -> str | None:
    """Who is affected and how many, in the group worst off: ``sex 2: 64 of 104 people are not selected``.

    None where the evidence does not say. Nothing is given away: only a group that is shown is counted.
    """
    event = _EVENTS.get(evidence.method)
    if event is None:
        return None
    who, what, counts = event
    who = who.replace("people", rows)
    observation = evidence.observation
    if isinstance(observation, Scalar):
        return (
            None
            if observation.estimate.exact
            else _counted(observation.estimate, None, who, what, counts=counts)
        )
    if not isinstance(observation, Groups) or between is None:
        return None
    # The lowest group is worst off where the rate is a good thing, the highest where it counts the harm.
    label = between[1] if counts else between[0]
    group = next((group for group in observation.groups if ", ".join(group.key.values()) == label), None)
    if group is None or group.estimate is None or group.status != "measured":
        return None
    where = ", ".join(f"{column} {value}" for column, value in group.key.items())
    return f"{where}: {_counted(group.estimate, group, who, what, counts=counts)}"


def _counted(estimate: Estimate, group: Group | None, who: str, what: str, *, counts: bool) -> str:
    rows = group.count if group is not None and group.count is not None else estimate.n
    share = estimate.value if counts else 1 - estimate.value
    return f"{round(share * rows):,} of {rows:,} {who} {what}"


def statements(missing: Sequence[str]) -> str:
    """What is not stated, and who can: ``known gaps of the data (the data steward can say)``."""
    told = []
    for key in missing:
        name, _, letter = key.partition(".")
        known = BY_KEY.get(name)
        what = _lowered(known.asks) if known else _OTHERS.get(key, key.replace("_", " "))
        letter_of = f", part {letter}" if known and letter else ""
        who = f" ({known.who} can say)" if known else ""
        told.append(f"{what}{letter_of}{who}")
    if len(told) == 1:
        return f"not stated: {told[0]}"
    return f"{len(told)} statements are missing: {joined(missing)}"


_OTHERS = {
    "signatories": "who signs, with name, function and date",
    "classification": "where the system stands in the Act (system.classification)",
    "declared_levels": "the level of the primary metric that the provider declares",
    "model.sha256": "the digest of the model (model.sha256)",
    "provider": "who the provider is",
}


def required(rule: Rule) -> str | None:
    """A rule's requirement in words, where no number was read."""
    if rule.attested is not None:
        return "stated by a named person"
    if rule.present:
        return "measured"
    if "declared" in (rule.at_least, rule.at_most):
        return "at the declared level"
    words = {
        "at_least": "more than" if rule.strict else "at least",
        "at_most": "less than" if rule.strict else "at most",
    }
    for side in ("at_least", "at_most", "equals"):
        number = getattr(rule, side)
        if number is not None:
            return f"{words.get(side, 'exactly')} {level(number)}"
    return None


def stated_by(spec: Spec, keys: Sequence[str]) -> str:
    """Which statements there are, and by whom."""
    authors = dict.fromkeys(said.author for key in keys for said in spec.said(key) if said.author)
    signed = [person.name for person in spec.system.signatories] if "signatories" in keys else []
    what = joined(key.replace("_", " ") for key in keys)
    return f"stated: {what}, by {joined([*authors, *signed])}" if authors or signed else f"stated: {what}"


def settle(readings: Sequence[Reading], parts: Sequence[Part], rows: str = "people") -> str | None:
    """What would decide an open rule, in words; None where it is not a matter of ``rows``.

    On the wrong side one number is enough to fail the rule, so the nearest counts; on the right side all must
    pass.
    """
    pairs = [(reading, part) for reading, part in zip(readings, parts, strict=True) if part.kind == "open"]
    if not pairs or any(part.p is None for _, part in pairs):
        return None
    wrong = [pair for pair in pairs if pair[0].held is not None and pair[0].held.z < 0]
    near = [pair for pair in wrong if pair[1].more_rows is not None]
    if not near and any(part.more_rows is None for _, part in pairs):
        return f"it lies too close to the threshold for any realistic number of further {rows} to settle it"
    pick = min if near else max
    reading, part = pick(near or pairs, key=lambda pair: pair[1].more_rows or 0)
    what = reading.which if reading.which in ("ratio", "difference") else "value"
    return f"about {about(part.more_rows or 0)} more {rows} would probably settle it, if the {what} stays"


SHOWN = 4
"""Numbers told in one message; the parts of the finding hold them all."""


def message(rule: Rule, confidence: float, kind: FindingKind, readings: Sequence[Reading]) -> str:
    """What was seen, how sure, against what: the readings that make a rule's kind, in one sentence."""
    told = list(dict.fromkeys(_told(rule, confidence, kind, reading) for reading in readings))
    more = f"; and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
    return "; ".join(told[:SHOWN]) + more


def _told(rule: Rule, confidence: float, kind: FindingKind, reading: Reading) -> str:
    if reading.estimate is None or reading.threshold is None:
        return _without_number(kind, reading)
    if reading.p is None:
        return _exact(rule, kind, reading.words, reading.estimate, reading.threshold)
    seen = f"{reading.words} {number(reading.estimate)}"
    if kind == "fail":
        return f"{seen} {short_of(reading.threshold, rule.basis)}"
    if kind == "open":
        return f"{seen}, {named(reading.threshold, rule.basis)}"
    at_least = reading.threshold.side == "at_least"
    verb = "meets" if not reading.threshold.strict else "is above" if at_least else "is below"
    text = f"{seen} {verb} {against(reading.threshold, rule.basis)}"
    bound = reading.held.bound if reading.held else None
    end = reading.estimate.low if at_least else reading.estimate.high
    if bound is None or (end is not None and reading.threshold.met_by(end)):
        return text
    # The two-sided interval beside it crosses the threshold; the one-sided bound, which counts, does not.
    side = "at least" if at_least else "at most"
    shown = plain(bound, places(reading.estimate) + 1)
    return f"{text}: with {confidence * 100:g} % confidence it is {side} {shown}"


def _exact(rule: Rule, kind: FindingKind, words: str, estimate: Estimate, threshold: Threshold) -> str:
    """A counted number beside what is asked: ``rows in both tables: 0 (at most 0.001 asked)``."""
    what = f"the declared {level(threshold.level)}" if threshold.declared else asked(threshold)
    by = " by convention, not law" if rule.basis == "convention" and not threshold.declared else ""
    seen = f"{words}: {number(estimate)}"
    return f"{seen} ({what} asked{by})" if kind == "pass" else f"{seen}, and {what} is asked{by}"


def _without_number(kind: FindingKind, reading: Reading) -> str:
    words = reading.words or reading.evidence
    if kind == "pass":
        return f"{words} was measured"
    if reading.source is None or (reading.missing and reading.source.status != "measured"):
        return reading.reason or words  # a statement that nobody made is not a measurement that failed
    if reading.source.status == "measured":
        return f"{words}: {reading.reason}"
    return (
        f"{words} {'failed' if reading.source.status == 'failed' else 'was not measured'}: {reading.reason}"
    )


def who(readings: Sequence[Reading], rows: str = "people") -> str | None:
    """Who is affected by the numbers that failed, where the evidence says; ``rows`` is what rows are called."""
    told = [
        affected(reading.source, reading.between, rows) for reading in readings if reading.source is not None
    ]
    return "; ".join(dict.fromkeys(text for text in told if text)) or None


def let_through(waiver: Waiver) -> str:
    """What a waiver adds to a finding's message."""
    day = waiver.expires.isoformat()
    if waiver.expired:
        return f"; the waiver by {waiver.approver} expired on {day} and waives nothing"
    return f"; waived until {day} by {waiver.approver}: {waiver.reason}"

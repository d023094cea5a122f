"""Waivers and verdicts before and after, and what differs in all that a rule looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xai_audit import wording
from xai_audit.comparison import VerdictChange, WaiverChange
from xai_audit.judge import waived
from xai_audit.verdict import Waiver

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date

    from xai_audit.audit import Audit
    from xai_audit.comparison import Verdict
    from xai_audit.verdict import Finding, Part

THRESHOLDS = (
    "at_least",
    "at_most",
    "equals",
    "strict",
    "present",
    "attested",
    "also",
    "evidence",
    "reads",
    "explained_by",
)
"""Keys of a rule that say what it asks."""
MOST = 4
"""Numbers named in one reason."""


def waivers(old: Audit, new: Audit, days: tuple[date, date]) -> Iterator[WaiverChange]:
    """Waivers that are new, gone, changed, or ran out between the days of the two audits."""
    before, after = _waivers(old), _waivers(new)
    for key in sorted({*before, *after}, key=str):
        a, b = before.get(key), after.get(key)
        rule = key[0]
        if a is None:
            yield WaiverChange(kind="new", rule=rule, new=b)
        elif b is None:
            yield WaiverChange(kind="gone", rule=rule, old=a)
        elif b.expires < days[1] and a.expires >= days[0]:
            yield WaiverChange(kind="expired", rule=rule, old=a, new=b)
        elif a != b:
            yield WaiverChange(kind="changed", rule=rule, old=a, new=b)


def _waivers(made: Audit) -> dict[tuple[str, str | None], Waiver]:
    listed = (made.spec.get("system") or {}).get("waivers") or ()
    found = [Waiver.model_validate(one) for one in listed]
    return {(one.rule, one.scope): one for one in found}


def verdicts(old: Audit, new: Audit) -> Iterator[VerdictChange]:
    """Rules that say something else than before, with the reasons."""
    before, after = ({(one.policy, one.rule): one for one in made.findings} for made in (old, new))
    asked = [_asked(made) for made in (old, new)]
    for key in dict.fromkeys([*after, *before]):
        a, b = before.get(key), after.get(key)
        one = b or a
        assert one is not None
        said = tuple(None if finding is None else _said(finding) for finding in (a, b))
        if said[0] == said[1] and (a is None or b is None or a.blocking == b.blocking):
            continue
        yield VerdictChange(
            policy=one.policy,
            rule=one.rule,
            title=one.title,
            clause=one.clause,
            old=said[0],
            new=said[1],
            blocking=bool(b and b.blocking),
            reasons=tuple(_reasons(a, b, asked[0].get(key), asked[1].get(key), (old, new))),
        )


def _said(finding: Finding) -> Verdict:
    return "waived" if waived(finding) else finding.kind


def _asked(made: Audit) -> dict[tuple[str, str], Mapping[str, Any]]:
    return {
        (policy["id"], rule["id"]): rule for policy in made.policies for rule in policy.get("rules") or ()
    }


def _reasons(
    a: Finding | None,
    b: Finding | None,
    asked_a: Mapping[str, Any] | None,
    asked_b: Mapping[str, Any] | None,
    audits: tuple[Audit, Audit],
) -> Iterator[str]:
    if a is None or b is None:
        yield "the policy holds it now" if a is None else "no policy holds it any more"
        return
    found = [*_policy(asked_a or {}, asked_b or {}), *_statements(a, b), *_waiver(a, b), *_numbers(a, b)]
    if a.blocking != b.blocking and not any("level" in reason for reason in found):
        stages = [(made.spec.get("system") or {}).get("stage") for made in audits]
        stage = f": the stage is {stages[1]}, was {stages[0]}" if stages[0] != stages[1] else ""
        found.append(f"it {'blocks' if b.blocking else 'warns'} now{stage}")
    if not found and (a.statistical or b.statistical) and a.adjusted_p != b.adjusted_p:
        found.append("its numbers are the same; other rules of the policy share the error otherwise (Holm)")
    yield from found or [f"it said: {a.message}"]


def _policy(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[str]:
    for key in (*THRESHOLDS, "level", "on_open", "when", "release"):
        if a.get(key) != b.get(key):
            yield f"the policy changed: {key} {_shown(a.get(key))} before, {_shown(b.get(key))} now"


def _shown(value: Any) -> str:
    return "not given" if value is None else str(value)


def _statements(a: Finding, b: Finding) -> Iterator[str]:
    gained, lost = sorted({*a.missing} - {*b.missing}), sorted({*b.missing} - {*a.missing})
    if gained:
        yield f"{wording.joined(gained)} {'is' if len(gained) == 1 else 'are'} stated now"
    if lost:
        yield f"{wording.joined(lost)} {'is' if len(lost) == 1 else 'are'} not stated any more"


def _waiver(a: Finding, b: Finding) -> Iterator[str]:
    if a.waiver == b.waiver:
        return
    if b.waiver is not None and b.waiver.expired:
        yield f"its waiver expired on {b.waiver.expires}"
    elif b.waiver is not None and (a.waiver is None or a.waiver.expired):
        yield f"it is waived until {b.waiver.expires} by {b.waiver.approver}"
    elif b.waiver is None and b.kind == "fail":
        yield "it is waived no more"


def _numbers(a: Finding, b: Finding) -> Iterator[str]:
    before = {(part.evidence, part.quantity): part for part in a.parts}
    told = []
    for part in b.parts:
        other = before.get((part.evidence, part.quantity)) or next(
            (one for one in a.parts if one.evidence == part.evidence), None
        )
        text = _number(other, part)
        if text:
            told.append(text)
    told += [
        f"{part.evidence} is not read any more"
        for part in a.parts
        if part.evidence not in {one.evidence for one in b.parts}
    ]
    if len(told) > MOST:
        told = [*told[:MOST], f"and {len(told) - MOST} more numbers"]
    if told:
        yield f"the evidence changed: {'; '.join(told)}"


def _number(a: Part | None, b: Part) -> str:
    if a is None:
        return f"{b.evidence} is read now"
    if a.estimate is None and b.estimate is None:
        return f"{b.evidence}: {b.reason}" if a.reason != b.reason and b.reason else ""
    if a.estimate is None or b.estimate is None:
        lacking, there = (a, b) if a.estimate is None else (b, a)
        assert there.estimate is not None
        when = ("before", "now") if a.estimate is None else ("now", "before")
        return f"{b.evidence}: {lacking.reason or 'no number'} {when[0]}, {wording.number(there.estimate)} {when[1]}"
    if a.estimate == b.estimate:
        return ""
    return f"{b.evidence} {wording.number(a.estimate)} before, {wording.number(b.estimate)} now"

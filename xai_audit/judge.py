"""Evidence held to policies: findings, counts and one outcome. Pure: no model, no data, no numpy, no clock.

How many rules may fail by chance is each policy's own promise: Holm's correction runs over the blocking
statistical rules of one policy that could be evaluated. A rule that reads several numbers (one for each
sensitive column, or ``also``) shares its error among them by Bonferroni, passes only if each number does, and
fails if one does. Rules that do not block are labelled fail by their own p at ``family_error``, uncorrected:
they cannot fail the gate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from xai_audit import applying, deciding, wording
from xai_audit.applying import Bench, Reading
from xai_audit.evidence import Evidence
from xai_audit.foresight import undecidable
from xai_audit.policy import Example, Policy, Rule
from xai_audit.verdict import Counts, Finding, FindingKind, Level, Outcome, Part, Verdict, Waiver

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from xai_audit.spec import Spec


@dataclass(frozen=True)
class _Draft:
    """A rule before the p-values of its policy are corrected together."""

    rule: Rule
    level: Level
    readings: tuple[Reading, ...] = ()
    kind: FindingKind | None = None
    """Set where nothing is left to weigh: not applicable, or a matter of statements."""
    message: str = ""
    missing: tuple[str, ...] = ()

    @property
    def blocking(self) -> bool:
        return self.level == "error"

    @property
    def weighed(self) -> tuple[Reading, ...]:
        """The readings that carry a p."""
        return tuple(reading for reading in self.readings if reading.p is not None)

    @property
    def p(self) -> float:
        """The rule's p: the smallest over its numbers, times how many there are."""
        ps = [reading.p for reading in self.weighed if reading.p is not None]
        return min(1.0, min(ps) * len(ps))


def judge(policies: Sequence[Policy], evidence: Sequence[Evidence], spec: Spec, *, today: date) -> Verdict:
    """The verdict on some evidence.

    ``spec`` tells what was asked and stated; ``today`` decides which waivers have expired. The evidence of
    the run itself (records.observe) must be among the evidence.
    """
    by_id = {piece.id: piece for piece in evidence}
    rows = applying.rows_seen(evidence)
    task = applying.task_of(spec, evidence)
    findings: list[Finding] = []
    for policy in policies:
        bench = Bench(policy, spec, task, by_id)
        drafts = [_draft(rule, bench) for rule in policy.rules]
        # Only what may fail the gate shares the gate's error.
        family = [draft for draft in drafts if draft.blocking and draft.weighed]
        corrected = dict(zip(map(id, family), deciding.holm([draft.p for draft in family]), strict=True))
        findings += [_finding(draft, corrected.get(id(draft)), bench, rows, today) for draft in drafts]
    return _verdict(findings, evidence, spec)


def exit_code(outcome: Outcome) -> int:
    """The exit code of an outcome."""
    match outcome:
        case "pass":
            return 0
        case "fail":
            return 1
        case "review":
            return 3
        case "error":
            return 4
        case _:
            assert_never(outcome)


def _draft(rule: Rule, bench: Bench) -> _Draft:
    spec = bench.spec
    level: Level = rule.level
    if level == "error" and rule.release and spec.system.stage == "development":
        level = "warning"
    if level == "error" and rule.explained_by is not None and not spec.lacks(rule.explained_by):
        level = "warning"
    draft = _Draft(rule, level)
    reason = applying.not_applicable(rule, spec, bench.task)
    if reason is not None:
        return replace(draft, kind="notApplicable", message=f"does not apply: {reason}")
    if rule.attested is None:
        return replace(draft, readings=applying.readings(rule, bench))
    keys = (rule.attested,) if isinstance(rule.attested, str) else rule.attested
    missing = tuple(part for key in keys for part in spec.lacks(key))
    if missing:
        return replace(draft, kind="open", message=wording.statements(missing), missing=missing)
    return replace(draft, kind="pass", message=wording.stated_by(spec, keys))


def _finding(
    draft: _Draft, corrected: tuple[float, int] | None, bench: Bench, rows: int, today: date
) -> Finding:
    rule, policy = draft.rule, bench.policy
    adjusted = (corrected[0] if corrected else draft.p) if draft.weighed else None
    # What is left of the policy's error for one number of this rule.
    share = policy.family_error / ((corrected[1] if corrected else 1) * max(1, len(draft.weighed)))
    failed = adjusted is not None and adjusted <= policy.family_error
    parts = [
        reading.part(
            "fail"
            if failed and reading.p is not None and reading.p <= max(share, _least(draft))
            else reading.kind,
            rows=rows,
            confidence=policy.confidence,
            error=share,
            interval=bench.spec.run.confidence,
        )
        for reading in draft.readings
    ]
    kind = draft.kind or _together([part.kind for part in parts])
    waiver = _waiver(rule.id, policy.id, parts, bench.spec.system.waivers, today) if kind == "fail" else None
    told = [reading for reading, part in zip(draft.readings, parts, strict=True) if part.kind == kind]
    missing = tuple(
        dict.fromkeys((*draft.missing, *(key for reading in draft.readings for key in reading.missing)))
    )
    settle = wording.settle(draft.readings, parts, bench.spec.rows_are) if kind == "open" else None
    thresholds = dict.fromkeys(
        wording.asked(reading.threshold) for reading in draft.readings if reading.threshold
    )
    return Finding(
        rule=rule.id,
        policy=policy.id,
        title=rule.title,
        clause=rule.clause,
        basis=rule.basis,
        kind=kind,
        level=draft.level,
        blocking=draft.blocking,
        message=draft.message
        or wording.message(rule, policy.confidence, kind, told) + _ending(settle, _untold(told), waiver),
        threshold="; ".join(thresholds) or wording.required(rule),
        evidence=tuple(dict.fromkeys(part.evidence for part in parts)),
        parts=tuple(parts),
        statistical=bool(draft.weighed),
        adjusted_p=adjusted,
        tip=rule.tip or None,
        why=rule.why or None,
        note=rule.note,
        applies_from=rule.applies_from,
        on_open=rule.opened,
        waiver=waiver,
        missing=missing,
        affected=wording.who(told, bench.spec.rows_are) if kind == "fail" else None,
        settle=settle,
    )


def _untold(told: Sequence[Reading]) -> tuple[str, ...]:
    """Absent statements behind numbers; where there is no number, the reason has named them."""
    return tuple(dict.fromkeys(key for reading in told if reading.estimate for key in reading.missing))


def _ending(settle: str | None, missing: Sequence[str], waiver: Waiver | None) -> str:
    """What a message ends with: what would settle it, what is not stated, who waives it."""
    rows = f": {settle}" if settle else ""
    absent = f"; {wording.statements(missing)}" if missing else ""
    return rows + absent + (wording.let_through(waiver) if waiver else "")


def _least(draft: _Draft) -> float:
    """The smallest p of a rule: where the rule fails, that part does, whatever rounding says."""
    return min(reading.p for reading in draft.weighed if reading.p is not None)


def _together(kinds: Sequence[FindingKind]) -> FindingKind:
    """One kind from a rule's parts: the worst decides, and what was not seen comes before what is open."""
    for worst in ("fail", "review", "open", "pass"):
        if worst in kinds:
            return worst
    return "review"


def _waiver(
    rule: str, policy: str, parts: Sequence[Part], waivers: Sequence[Waiver], today: date
) -> Waiver | None:
    """The waiver that covers a failed rule, else one that has expired, else None.

    A waiver holds through its last day. One with a scope covers that evidence or that policy alone: the rule
    is waived only if nothing else of it failed.
    """
    found = [waiver for waiver in waivers if waiver.rule == rule]
    covering = [
        waiver
        for waiver in found
        if waiver.scope in (None, policy)
        or all(part.evidence == waiver.scope for part in parts if part.kind == "fail")
    ]
    current = [waiver for waiver in covering if waiver.expires >= today]
    if current:
        return max(current, key=lambda waiver: waiver.expires).model_copy(update={"expired": False})
    if covering:
        return max(covering, key=lambda waiver: waiver.expires).model_copy(update={"expired": True})
    return None


def waived(finding: Finding) -> bool:
    """Whether a failed finding is let through by a waiver that has not expired."""
    return finding.kind == "fail" and finding.waiver is not None and not finding.waiver.expired


def _verdict(findings: Sequence[Finding], evidence: Sequence[Evidence], spec: Spec) -> Verdict:
    blocking = [finding for finding in findings if finding.blocking and finding.kind != "notApplicable"]

    def rules(kind: FindingKind) -> list[Finding]:
        return [finding for finding in blocking if finding.kind == kind and not waived(finding)]

    failed, review, passed = rules("fail"), rules("review"), rules("pass")
    undecided = rules("open")
    to_settle = [finding for finding in undecided if finding.on_open == "review"]
    crashed = _crashed(evidence, spec)
    reasons = []
    if failed:
        reasons.append(_told(failed, "failed"))
    if review:
        reasons.append(_told(review, "could not be judged, because evidence is missing"))
    if to_settle:
        reasons.append(_told(to_settle, "could not be decided"))
    if crashed:
        reasons.append(
            f"{wording.some(len(crashed), 'method')} named in the spec failed: {wording.joined(crashed)}"
        )
    if not findings:
        reasons.append("no policy holds a rule")
    elif not blocking:
        reasons.append("no blocking rule applies")
    elif not (failed or passed):
        reasons.append("no blocking rule passed")
    outcome: Outcome = "fail" if failed else "review" if reasons else "pass"
    if outcome == "pass":
        reasons.append(_told(passed, "passed"))
        if undecided:
            reasons.append(_told(undecided, "could not be decided, and by the policy only warn"))
    return Verdict(
        outcome=outcome, reasons=tuple(reasons), findings=tuple(findings), counts=_counts(findings)
    )


def _told(findings: Sequence[Finding], what: str) -> str:
    names = wording.joined(finding.rule for finding in findings)
    return f"{wording.some(len(findings), 'blocking rule')} {what}: {names}"


def _crashed(evidence: Sequence[Evidence], spec: Spec) -> list[str]:
    names = {use.name for use in (*spec.explainers, *spec.metrics)}
    failed = (piece.id.split("/")[0] for piece in evidence if piece.status == "failed")
    return list(dict.fromkeys(name for name in failed if name in names))


def _counts(findings: Sequence[Finding]) -> Counts:
    def count(kind: FindingKind) -> int:
        return sum(1 for finding in findings if finding.kind == kind)

    let_through = sum(1 for finding in findings if waived(finding))
    failing = [finding for finding in findings if finding.kind == "fail" and not waived(finding)]
    stops = sum(1 for finding in failing if finding.blocking)
    return Counts(
        rules=len(findings),
        blocking=sum(1 for finding in findings if finding.blocking and finding.kind != "notApplicable"),
        failed=stops,
        warnings_failed=len(failing) - stops,
        open=count("open"),
        review=count("review"),
        passed=count("pass"),
        waived=let_through,
        not_applicable=count("notApplicable"),
        informational=count("informational"),
        statements_missing=len({key for finding in findings for key in finding.missing}),
    )


def example_finding(rule: Rule, example: Example) -> FindingKind:
    """What a rule says of one of its own examples, through the whole of `judge`.

    ``low`` and ``high`` are the limits that a pass and a single fail are judged by (two-sided 90 %);
    ``value`` alone is an exact number. Everything else the rule reads meets its threshold.
    """
    from datetime import date

    from xai_audit import cases

    policy = Policy(id="examples", version=1, as_of=date(2026, 1, 1), rules=(rule,))
    spec = cases.spec_for(rule, example)
    evidence = cases.evidence_for(rule, example, spec)
    return judge([policy], evidence, spec, today=date(2026, 1, 1)).findings[0].kind


__all__ = ["example_finding", "exit_code", "judge", "undecidable", "waived"]

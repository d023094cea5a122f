"""Where a finding belongs in the spec: the line that a reviewer or an editor should open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from xai_audit.render import findings as told
from xai_audit.render import thresholds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from xai_audit.audit import Audit
    from xai_audit.verdict import Finding, Waiver


class Place(NamedTuple):
    """A file as seen from where the audit was run; line and column count from 1, and are 0 where they are not known."""

    path: str
    line: int = 0
    column: int = 0


ELSEWHERE = Place("audit.json")
"""Where a finding stands when the audit does not say which spec it was made from, as those of the first version."""

METHODS: Mapping[str, tuple[str, ...]] = {
    "train_test_overlap": ("data.train",),
    "target_leak": ("data.target",),
    "invalid_labels": ("data.target",),
    "group_sizes": ("data.sensitive",),
    "representation": ("data.sensitive",),
    "group_performance_reported": ("data.sensitive",),
    "artefact_safety": ("model.path", "model"),
    "model_digest": ("model.sha256", "model.path", "model"),
    "unusual_input_failures": ("model.path", "model"),
    "policy_precedes_run": ("policies",),
    "gated_intervals": ("policies",),
    "classification_consistency": ("system.classification", "system"),
    "annex_iv_statements": ("system.statements", "system"),
    "metric_rationales": ("system.statements.metric_rationale", "system.statements", "system"),
    "log_retention": ("system.statements.logging", "system.statements", "system"),
}
"""What a method that no spec names looks at, by key path."""

STATEMENTS: Mapping[str, tuple[str, ...]] = {
    "declared_levels": ("system.declared_levels", "system.statements.declared_levels", "system"),
    "model": ("model.sha256", "model.path", "model"),
    **{
        key: (f"system.{key}", "system")
        for key in ("intended_purpose", "signatories", "classification", "provider")
    },
}
"""Where a statement stands that is not one of system.statements."""


def place(audit: Audit, finding: Finding) -> Place:
    """The most telling place that is known of a finding: its waiver, its statement, the method it reads, its policy."""
    spec = spec_file(audit)
    if spec is None:
        return ELSEWHERE
    places = spec.get("places")
    known = places if isinstance(places, dict) else {}
    for key in _keys(audit, finding):
        line, column = _numbers(known.get(key))
        if line:
            return Place(str(spec["path"]), line, column)
    return Place(str(spec["path"]))


def spec_file(audit: Audit) -> dict[str, Any] | None:
    """What the audit says of its spec's file: path, sha256, places; None where it says nothing."""
    found = audit.run.get("spec")
    return found if isinstance(found, dict) and found.get("path") else None


def _numbers(found: object) -> tuple[int, int]:
    match found:
        case [int(line), int(column), *_] if line > 0 and column > 0:
            return line, column
        case _:
            return 0, 0


def _keys(audit: Audit, finding: Finding) -> Iterator[str]:
    """Key paths of the spec, the most telling first."""
    if finding.waiver is not None:
        yield from _waived(audit, finding.waiver)
    for key in finding.missing or _attested(audit, finding):
        name = key.partition(".")[0]
        yield from STATEMENTS.get(name, (f"system.statements.{name}", "system.statements", "system"))
    leader = told.leading(finding)
    for identifier in dict.fromkeys((*((leader.evidence,) if leader else ()), *finding.evidence)):
        yield from _read(audit, identifier)
    yield from _policy(audit, finding)
    yield from ("policies", "metrics", "system")


def _waived(audit: Audit, waiver: Waiver) -> Iterator[str]:
    for index, one in enumerate(audit.spec.get("system", {}).get("waivers") or ()):
        if (one.get("rule"), one.get("approver"), one.get("reason")) == (
            waiver.rule, waiver.approver, waiver.reason,
        ):  # fmt: skip
            yield f"system.waivers.{index}"
    yield "system.waivers"


def _attested(audit: Audit, finding: Finding) -> Sequence[str]:
    """The statements a rule asks for, though none is missing."""
    if finding.evidence:
        return ()
    rule = thresholds.rules(audit).get((finding.policy, finding.rule)) or {}
    asked = rule.get("attested") or ()
    return (asked,) if isinstance(asked, str) else tuple(asked)


def _read(audit: Audit, identifier: str) -> Iterator[str]:
    """The use of a method that made a piece of evidence, else the columns it is by, else what it looks at."""
    name, _, rest = identifier.partition("/")
    for section in ("metrics", "explainers"):
        for index, use in enumerate(audit.spec.get(section) or ()):
            if use.get("name") == name:
                yield f"{section}.{index}"
    columns = {unquote(column) for column in rest.split("+")}
    for index, sensitive in enumerate(audit.spec.get("data", {}).get("sensitive") or ()):
        if sensitive.get("column") in columns:
            yield f"data.sensitive.{index}"
    yield from METHODS.get(name, ())


def _policy(audit: Audit, finding: Finding) -> Iterator[str]:
    """The entry under policies that names the finding's own: by its name, or a path where the audit used as many."""
    named = audit.spec.get("policies") or ()
    if finding.policy in named:
        yield f"policies.{list(named).index(finding.policy)}"
    used = [policy["id"] for policy in audit.policies]
    if len(used) == len(named) and finding.policy in used:
        yield f"policies.{used.index(finding.policy)}"

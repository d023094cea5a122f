"""A code quality report of GitLab: an issue for each finding that somebody has to act on, at its line of the spec."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from xai_audit import digest
from xai_audit.render import alarms, places
from xai_audit.render.visible import visible

if TYPE_CHECKING:
    from xai_audit.audit import Audit
    from xai_audit.verdict import Finding

Severity = Literal["info", "minor", "major", "critical", "blocker"]


def render(audit: Audit) -> bytes:
    """The list of issues, the loudest first."""
    ids = alarms.identifiers(audit)
    issues = [
        _issue(audit, finding, ids[finding.policy, finding.rule]) for _, finding in alarms.alarms(audit)
    ]
    return (json.dumps(issues, ensure_ascii=False, sort_keys=True, indent=1) + "\n").encode()


def severity(finding: Finding) -> Severity:
    """How severe an issue is: what stops the gate is a blocker or critical, what only warns major or minor."""
    if alarms.stops(finding):
        return "blocker" if finding.kind == "fail" else "critical"
    if finding.kind == "fail":
        return "major" if finding.level != "note" else "minor"
    return "info"


def _issue(audit: Audit, finding: Finding, identifier: str) -> dict[str, Any]:
    place = places.place(audit, finding)
    return {
        "description": f"{alarms.headline(finding)}. {alarms.said(finding)}",
        "check_name": f"xai-audit/{identifier}",
        # A second spec of the same project has issues of its own.
        "fingerprint": digest.of_value([finding.policy, finding.rule, place.path]),
        "severity": severity(finding),
        "location": {"path": visible(place.path), "lines": {"begin": place.line or 1}},
    }

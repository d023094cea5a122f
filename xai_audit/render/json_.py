"""verdict.json: the verdict on one line, for programs: outcome, exit code, counts, and each rule with its place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from xai_audit.judge import exit_code
from xai_audit.render import alarms, people, places
from xai_audit.render import findings as told

if TYPE_CHECKING:
    from xai_audit.audit import Audit
    from xai_audit.verdict import Finding


def render(audit: Audit) -> bytes:
    """One line of JSON with sorted keys; names stand as they are, in JSON's own escapes."""
    about = people.system(audit)
    content = {
        "outcome": audit.outcome,
        "exit_code": exit_code(audit.outcome),
        "reasons": list(audit.reasons),
        "system": about.get("name"),
        "version": about.get("version"),
        "policies": [
            {key: policy.get(key) for key in ("id", "version", "sha256")} for policy in audit.policies
        ],
        "counts": audit.counts.model_dump(mode="json"),
        "findings": [_finding(audit, finding) for finding in audit.findings],
        "finished": audit.run.get("finished"),
    }
    return (json.dumps(content, ensure_ascii=True, sort_keys=True) + "\n").encode()


def _finding(audit: Audit, finding: Finding) -> dict[str, Any]:
    kept = finding.model_dump(
        mode="json",
        include={"rule", "policy", "title", "clause", "basis", "kind", "level", "blocking", "message", "threshold",
                 "evidence", "missing", "waiver", "tip"},
    )  # fmt: skip
    place = places.place(audit, finding)
    return {
        **kept,
        "state": told.state(finding),
        "loudness": alarms.loudness(finding),
        "stops": alarms.stops(finding),
        "place": {"path": place.path, "line": place.line or None, "column": place.column or None},
    }

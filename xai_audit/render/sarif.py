"""results.sarif: what somebody has to act on as SARIF 2.1.0, each result at its line of the spec.

A result is a finding that failed, is open or needs review; a waived one carries its suppression. Passed and not
applicable rules are rules without a result: code scanning reads no ``kind`` and would raise an alert for each. As the
standard asks, ``level`` stands with results of kind ``fail`` alone; how loud the others are is the
``defaultConfiguration`` of their rule, which code scanning falls back to.
"""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from xai_audit import digest
from xai_audit.judge import exit_code
from xai_audit.render import alarms, people, places
from xai_audit.render import findings as told
from xai_audit.render.claims import sentence
from xai_audit.render.thresholds import BASES
from xai_audit.render.visible import markdown, name, prose, visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xai_audit.audit import Audit
    from xai_audit.verdict import Finding

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
RESULTS = 5_000
"""Results in one file: code scanning keeps no more. What is left out is told as a notification."""
FINGERPRINT = "xaiAuditRule/v1"
"""The key of our fingerprint, of policy and rule. ``primaryLocationLineHash`` is left to the upload, which computes it."""
ROOT = "%SRCROOT%"


def render(audit: Audit) -> bytes:
    """The log: one run, the loudest results first."""
    ids = alarms.identifiers(audit)
    rules: dict[str, Finding] = {}
    for finding in audit.findings:
        rules.setdefault(ids[finding.policy, finding.rule], finding)
    index = {identifier: at for at, identifier in enumerate(rules)}
    found = [finding for _, finding in alarms.alarms(audit)]
    found += [finding for finding in audit.findings if told.state(finding) == "waived"]
    results = []
    for finding in found[:RESULTS]:
        identifier = ids[finding.policy, finding.rule]
        results.append({"ruleId": identifier, "ruleIndex": index[identifier], **_result(audit, finding)})
    run = {
        "tool": {"driver": _driver(audit, rules)},
        "automationDetails": {"id": _category(audit)},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {ROOT: {"description": {"text": "The folder that the audit was run in."}}},
        "artifacts": _artifacts(audit),
        "invocations": [_invocation(audit, left_out=len(found) - len(results))],
        "results": results,
        "properties": _about(audit),
    }
    content = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return (json.dumps(_seen(content), ensure_ascii=False, sort_keys=True, indent=1) + "\n").encode()


def _seen(value: Any) -> Any:
    """The same with every hidden character of a text as a visible escape."""
    if isinstance(value, dict):
        return {key: _seen(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_seen(item) for item in value]
    return visible(value, lines=True) if isinstance(value, str) else value


def _message(text: str) -> dict[str, str]:
    """A message that holds no placeholder and no link, whatever names stand in it (3.11.5 and 3.11.6)."""
    return {"text": text.replace("{", "{{").replace("}", "}}").replace("](", "] (")}


def _driver(audit: Audit, rules: Mapping[str, Finding]) -> dict[str, Any]:
    version = alarms.version(audit)
    return {
        "name": "xai-audit",
        **({"version": version} if version else {}),
        "rules": [_rule(identifier, finding) for identifier, finding in rules.items()],
    }


def _rule(identifier: str, finding: Finding) -> dict[str, Any]:
    """A rule as the policy puts it: what it asks, why, where that comes from, what to do."""
    lines = [
        ("Asked", f"{finding.threshold or 'a statement or evidence'} ({BASES[finding.basis]})"),
        ("Provision", finding.clause),
        ("Why", sentence(prose(finding.why or ""))),
        ("Note", sentence(prose(finding.note or ""))),
        ("What to do", sentence(prose(finding.tip or ""))),
        ("Policy", finding.policy),
    ]
    told_lines = [(head, name(text, 1200)) for head, text in lines if text]
    return {
        "id": identifier,
        "shortDescription": _message(name(finding.title, 240)),
        "fullDescription": _message(name(f"{finding.clause}. {sentence(prose(finding.why or ''))}".strip(), 900)),
        "help": {
            **_message("\n".join(f"{head}: {text}" for head, text in told_lines)),
            "markdown": "\n\n".join(
                f"**{head}**: {markdown(text)}" for head, text in told_lines
            ).replace("{", "{{").replace("}", "}}"),
        },
        "defaultConfiguration": {"level": alarms.loudness(finding) or finding.level},
        "properties": {
            "tags": [name(finding.policy, 80), finding.basis],
            "policy": name(finding.policy),
            "level": finding.level,
            "basis": finding.basis,
            "clause": name(finding.clause),
        },
    }  # fmt: skip


def _result(audit: Audit, finding: Finding) -> dict[str, Any]:
    pieces = list(finding.evidence)
    made: dict[str, Any] = {
        "kind": finding.kind,
        "message": _message(alarms.said(finding)),
        "locations": [{"physicalLocation": _located(places.place(audit, finding))}],
        "partialFingerprints": {FINGERPRINT: digest.of_value([finding.policy, finding.rule])},
        "properties": {
            "blocking": finding.blocking,
            "stopsTheGate": alarms.stops(finding),
            "threshold": name(finding.threshold or ""),
            "evidence": [name(one) for one in pieces[: told.SHOWN]],
            "evidenceCount": len(pieces),
        },
    }
    if finding.kind == "fail":
        made["level"] = finding.level
    waiver = finding.waiver
    if waiver is not None and not waiver.expired:
        reason = f"{name(waiver.approver)}, until {waiver.expires.isoformat()}: {prose(waiver.reason)}"
        made["suppressions"] = [{"kind": "external", "status": "accepted", "justification": reason}]
    return made


def _located(place: places.Place) -> dict[str, Any]:
    made: dict[str, Any] = {"artifactLocation": {"uri": _uri(place.path), "uriBaseId": ROOT}}
    if place.line:
        made["region"] = {"startLine": place.line, "startColumn": place.column}
    return made


def _uri(path: str) -> str:
    """A path as a relative reference."""
    return quote(path.encode("utf-8", "surrogatepass"), safe="/-._~")


def _category(audit: Audit) -> str:
    """One for each spec, so that several audits of one repository stand beside each other; the run's own part is empty."""
    spec = places.spec_file(audit)
    about = str(spec["path"]) if spec else str(people.system(audit).get("name") or "audit")
    return f"xai-audit/{name(about, 200)}/"


def _artifacts(audit: Audit) -> list[dict[str, Any]]:
    spec = places.spec_file(audit)
    if spec is None:
        return []
    made: dict[str, Any] = {
        "location": {"uri": _uri(str(spec["path"])), "uriBaseId": ROOT},
        "roles": ["userSpecifiedConfiguration"],
    }
    if spec.get("sha256"):
        made["hashes"] = {"sha-256": str(spec["sha256"])}
    return [made]


def _invocation(audit: Audit, *, left_out: int) -> dict[str, Any]:
    """When it ran, how it ended, and which methods failed on the way."""
    notes = [
        {
            "descriptor": {"id": name(piece.method)},
            "level": "warning",
            "message": _message(f"{name(piece.id)} failed: {prose(piece.reason or 'no reason was given')}"),
        }
        for piece in audit.evidence
        if piece.status == "failed"
    ]
    if left_out:
        text = f"{left_out:,} more findings stand in audit.json; this file holds the {RESULTS:,} loudest."
        notes.append({"descriptor": {"id": "results"}, "level": "warning", "message": _message(text)})
    made: dict[str, Any] = {
        "executionSuccessful": audit.outcome != "error",
        "exitCode": exit_code(audit.outcome),
        "exitCodeDescription": audit.outcome,
        "toolExecutionNotifications": notes,
    }
    for key, moment in (
        ("startTimeUtc", audit.run.get("started")),
        ("endTimeUtc", audit.run.get("finished")),
    ):
        stamp = _utc(moment)
        if stamp:
            made[key] = stamp
    return made


def _utc(moment: object) -> str:
    """A moment as SARIF writes it, ``2026-11-14T09:12:03Z``; empty where it is none."""
    try:
        read = datetime.datetime.fromisoformat(str(moment))
    except ValueError:
        return ""
    return read.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if read.tzinfo else ""


def _about(audit: Audit) -> dict[str, Any]:
    """What no result says: the outcome, how the rules add up, and by which policies."""
    return {
        "outcome": audit.outcome,
        "reasons": [prose(reason) for reason in audit.reasons],
        "counts": audit.counts.model_dump(mode="json"),
        "system": people.title(audit),
        "policies": [
            {
                "id": name(policy["id"]),
                "version": name(policy["version"]),
                "sha256": str(policy.get("sha256", "")),
            }
            for policy in audit.policies
        ],
    }

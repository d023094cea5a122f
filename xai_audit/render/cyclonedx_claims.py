"""Rules as CycloneDX requirements, and what the evidence said of them as claims and counter-claims.

A rule that passed is a claim with its evidence, one that failed a claim with counter-evidence. A rule that could not
be decided, that waits for a person or does not apply is a requirement without a claim: absence is no evidence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xai_audit.render import numbers
from xai_audit.render.visible import name, prose

if TYPE_CHECKING:
    from xai_audit.audit import Audit
    from xai_audit.verdict import Finding


def parts(audit: Audit, model: str) -> dict[str, Any]:
    """``definitions`` and ``declarations``; empty where no rule was applied."""
    if not audit.findings:
        return {}
    decided = [finding for finding in audit.findings if finding.kind in ("pass", "fail")]
    made: dict[str, Any] = {"definitions": {"standards": _standards(audit)}}
    if decided:
        made["declarations"] = {
            "claims": [_claim(finding, model) for finding in decided],
            "evidence": _evidence(audit, decided),
            "attestations": [_attestation(audit, decided)],
        }
    return made


def _policy(finding: Finding) -> str:
    return f"policy:{name(finding.policy)}"


def _rule(finding: Finding) -> str:
    return f"rule:{name(finding.policy)}:{name(finding.rule)}"


def _claimed(finding: Finding) -> str:
    return f"claim:{name(finding.policy)}:{name(finding.rule)}"


def _seen(identifier: str) -> str:
    return f"evidence:{name(identifier)}"


def _standards(audit: Audit) -> list[dict[str, Any]]:
    """The policies as standards, their rules as requirements."""
    made = []
    for rules in audit.policies:
        held = [finding for finding in audit.findings if finding.policy == rules["id"]]
        if held:
            made.append(
                {
                    "bom-ref": _policy(held[0]),
                    "name": name(rules["id"]),
                    "version": str(rules["version"]),
                    "requirements": [_requirement(finding) for finding in held],
                }
            )
    return made


def _requirement(finding: Finding) -> dict[str, Any]:
    asked = f": {prose(finding.threshold)}" if finding.threshold else ""
    about = {
        "basis": finding.basis,
        "level": finding.level,
        "blocking": str(finding.blocking).lower(),
        "kind": finding.kind,
    }
    return {
        "bom-ref": _rule(finding),
        "identifier": name(finding.rule),
        "title": prose(finding.title),
        "text": f"{prose(finding.clause)}{asked}",
        "properties": [{"name": f"xai-audit:{key}", "value": value} for key, value in about.items()],
    }


def _claim(finding: Finding, model: str) -> dict[str, Any]:
    refs = [_seen(identifier) for identifier in dict.fromkeys(finding.evidence)]
    side = "evidence" if finding.kind == "pass" else "counterEvidence"
    return {
        "bom-ref": _claimed(finding),
        "target": model,
        "predicate": prose(finding.title),
        "reasoning": prose(finding.message),
        **({side: refs} if refs else {}),
    }


def _evidence(audit: Audit, decided: list[Finding]) -> list[dict[str, Any]]:
    """What the decided rules looked at; the numbers stand in audit.json."""
    finished = audit.run.get("finished")
    made = []
    for identifier in sorted({one for finding in decided for one in finding.evidence}):
        piece = audit.get(identifier)
        title = prose(piece.title if piece is not None else identifier)
        made.append(
            {
                "bom-ref": _seen(identifier),
                "propertyName": name(identifier),
                "description": title,
                "data": [{"name": "audit.json", "contents": {"url": "audit.json"}}],
                **({"created": finished} if finished else {}),
            }
        )
    return made


def _attestation(audit: Audit, decided: list[Finding]) -> dict[str, Any]:
    """Which requirement each claim is about, for or against; no score of conformity is given."""
    held = numbers.some(len(decided), "rule")
    return {
        "summary": (
            f"{held} of {len(audit.findings)} decided by xai-audit, outcome {audit.outcome}; "
            "evidence, not a declaration of conformity"
        ).replace(numbers.NBSP, " "),
        "map": [
            {
                "requirement": _rule(finding),
                ("claims" if finding.kind == "pass" else "counterClaims"): [_claimed(finding)],
            }
            for finding in decided
        ],
    }

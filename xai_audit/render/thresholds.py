"""Which rule holds which evidence to which number, read from the policies as applied."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal

from xai_audit.render import numbers
from xai_audit.render.ink import Threshold

if TYPE_CHECKING:
    from xai_audit.audit import Audit
    from xai_audit.evidence import Evidence
    from xai_audit.verdict import Finding

BASES = {
    "law": "required by law",
    "derived": "derived from law",
    "guidance": "guidance, not law",
    "convention": "convention, not law",
    "provider": "declared by the provider",
}


def rules(audit: Audit) -> dict[tuple[str, str], dict[str, Any]]:
    """Every rule as applied, by policy and id."""
    return {(policy["id"], rule["id"]): rule for policy in audit.policies for rule in policy.get("rules", ())}


def declared(audit: Audit, metric: str) -> Threshold | None:
    """The level a provider declares for a metric in its instructions for use."""
    for level in audit.spec.get("system", {}).get("declared_levels", ()):
        if level.get("metric") == metric:
            for side in ("at_least", "at_most"):
                if level.get(side) is not None:
                    value = float(level[side])
                    return Threshold(value, _short(value), _side(side), BASES["provider"])
    return None


def held(audit: Audit, evidence: str) -> Threshold | None:
    """The number a rule holds this evidence to; None where no rule does, or it is not a number."""
    table = rules(audit)
    for finding in audit.findings:
        if evidence not in finding.evidence:
            continue
        found = of(audit, finding, table)
        if found is not None:
            return found
    return None


def of(
    audit: Audit, finding: Finding, table: dict[tuple[str, str], dict[str, Any]] | None = None
) -> Threshold | None:
    """The number a finding was held to."""
    rule = (rules(audit) if table is None else table).get((finding.policy, finding.rule))
    if rule is None:
        return None
    for side in ("at_least", "at_most"):
        value = rule.get(side)
        if value == "declared":
            method = (finding.evidence or ("",))[0].split("/", 1)[0]
            return declared(audit, method)
        if value is not None:
            return Threshold(float(value), _short(float(value)), _side(side), BASES[finding.basis])
    return None


def _side(side: str) -> Literal["at_least", "at_most"]:
    return "at_least" if side == "at_least" else "at_most"


def _short(value: float) -> str:
    """A threshold with at least two decimals, and as many more as it was given with."""
    decimals = len(repr(round(value, 9)).partition(".")[2]) if "e" not in repr(value) else 9
    return numbers.plain(value, max(2, decimals))


def primary(audit: Audit) -> str | None:
    """The metric that stands for the system's performance."""
    found = audit.subject.get("primary") or audit.spec.get("primary")
    return str(found) if found else None


def matches(patterns: list[str], piece: Evidence) -> bool:
    """Whether an outline's patterns (``kind:id:shape``) name a piece of evidence."""
    full = f"{piece.kind}:{piece.id}:{piece.observation.shape if piece.observation else 'none'}"
    return any(fnmatchcase(full, pattern) for pattern in patterns)

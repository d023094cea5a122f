"""Which rule holds which evidence to which number, read from the policies as applied."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal

from xai_audit.render import numbers
from xai_audit.render.ink import Threshold

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xai_audit.audit import Audit
    from xai_audit.evidence import Evidence

BASES = {
    "law": "required by law",
    "derived": "derived from law",
    "guidance": "guidance, not law",
    "convention": "convention, not law",
    "provider": "declared by the provider",
}


SIDES: tuple[Literal["at_least"], Literal["at_most"]] = ("at_least", "at_most")
EXACTLY: Literal["equals"] = "equals"


def rules(audit: Audit) -> dict[tuple[str, str], dict[str, Any]]:
    """Every rule as applied, by policy and id."""
    return {(policy["id"], rule["id"]): rule for policy in audit.policies for rule in policy.get("rules", ())}


def declared(audit: Audit, metric: str) -> Threshold | None:
    """The level a provider declares for a metric in its instructions for use."""
    for level in audit.spec.get("system", {}).get("declared_levels", ()):
        if level.get("metric") == metric:
            for side in SIDES:
                if level.get(side) is not None:
                    value = float(level[side])
                    return Threshold(value, _short(value), side, BASES["provider"])
    return None


def held(audit: Audit, evidence: str) -> Threshold | None:
    """The number a rule holds this evidence to; None where no rule does, or it is not a number."""
    table = rules(audit)
    for finding in audit.findings:
        rule = table.get((finding.policy, finding.rule))
        if rule is None or evidence not in finding.evidence:
            continue
        # A rule may hold several pieces of evidence to a number each.
        for requirement in (rule, *(rule.get("also") or ())):
            if _names(requirement.get("evidence") or "", evidence, audit):
                found = _threshold(audit, requirement, evidence.partition("/")[0], BASES[finding.basis])
                if found is not None:
                    return found
    return None


def _names(pattern: str, evidence: str, audit: Audit) -> bool:
    """Whether a requirement's evidence (``recall``, ``recall/*``, ``primary``) is this one."""
    method, slash, part = pattern.partition("/")
    if method == "primary":
        method = primary(audit) or method
    return fnmatchcase(evidence, f"{method}{slash}{part}")


def _threshold(audit: Audit, requirement: Mapping[str, Any], method: str, basis: str) -> Threshold | None:
    for side in (*SIDES, EXACTLY):
        value = requirement.get(side)
        if value == "declared":
            return declared(audit, method)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return Threshold(float(value), _short(float(value)), side, basis, bool(requirement.get("strict")))
    return None


def _short(value: float) -> str:
    """A threshold with at least two decimals, and as many more as it was given with; counts without any."""
    if value.is_integer() and abs(value) != 1:
        return numbers.plain(value, 0)
    decimals = len(repr(round(value, 9)).partition(".")[2]) if "e" not in repr(value) else 9
    return numbers.plain(value, max(2, decimals))


def primary(audit: Audit) -> str | None:
    """The metric that stands for the system's performance."""
    found = audit.subject.get("primary") or audit.spec.get("primary")
    return str(found) if found else None


def matches(patterns: list[str], piece: Evidence) -> bool:
    """Whether an outline's patterns (``kind:id:shape``) name a piece of evidence, also where ``as`` renamed its method."""
    shape = piece.observation.shape if piece.observation else "none"
    _, slash, part = piece.id.partition("/")
    ids = {piece.id, f"{piece.method}{slash}{part}"}
    return any(fnmatchcase(f"{piece.kind}:{one}:{shape}", pattern) for one in ids for pattern in patterns)

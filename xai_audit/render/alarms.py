"""What a pipeline hears of a finding, the same in every format: how loud it is, under which id, in which words."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

from xai_audit.render import findings as told
from xai_audit.render.claims import sentence
from xai_audit.render.visible import name, prose, visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xai_audit.audit import Audit
    from xai_audit.verdict import Finding

Loudness = Literal["error", "warning", "note"]
LOUDNESS: tuple[Loudness, ...] = ("error", "warning", "note")
"""The loudest first."""


def loudness(finding: Finding) -> Loudness | None:
    """How loud a finding is, None where nobody needs to do anything.

    A failed rule is as loud as its level. One that could not be decided or judged is a warning where it keeps the
    gate from passing, and a note where it does not. A waived one is silent.
    """
    if finding.kind == "fail":
        return None if told.state(finding) == "waived" else finding.level
    if finding.kind in {"open", "review"}:
        return "warning" if stops(finding) else "note"
    return None


def stops(finding: Finding) -> bool:
    """Whether a finding by itself keeps the gate from passing."""
    if not finding.blocking:
        return False
    if finding.kind == "fail":
        return told.state(finding) != "waived"
    return finding.kind == "review" or (finding.kind == "open" and finding.on_open == "review")


def alarms(audit: Audit) -> list[tuple[Loudness, Finding]]:
    """The findings that somebody has to act on, the loudest first, then by weight."""
    loud = [(heard, finding) for finding in audit.findings if (heard := loudness(finding)) is not None]
    return sorted(loud, key=lambda pair: (LOUDNESS.index(pair[0]), told.weight(pair[1]), pair[1].policy))


def identifiers(audit: Audit) -> Mapping[tuple[str, str], str]:
    """The id of each policy's rules: the rule's own, or ``policy/rule`` where two policies share it."""
    pairs = list(dict.fromkeys((finding.policy, finding.rule) for finding in audit.findings))
    shared = Counter(rule for _, rule in pairs)
    return {
        (policy, rule): rule if shared[rule] == 1 else f"{name(policy, 80)}/{rule}" for policy, rule in pairs
    }


def said(finding: Finding) -> str:
    """What was found, and what to do about it."""
    parts = [sentence(prose(finding.message))]
    if finding.tip and loudness(finding) is not None:
        parts.append(f"Next: {sentence(prose(finding.tip))}")
    return " ".join(part for part in parts if part)


def headline(finding: Finding) -> str:
    """The rule's id and title."""
    return f"{visible(finding.rule)}: {name(finding.title, 240)}"


def version(audit: Audit) -> str:
    """The version of the program that made the audit; empty where it is not recorded."""
    return name(audit.environment.get("xai_audit") or "", 40)

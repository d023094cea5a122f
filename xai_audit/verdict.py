"""What the evidence means under a policy: findings and one outcome."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field

from xai_audit.evidence import Estimate, Frozen

Outcome = Literal["pass", "fail", "review", "error"]
FindingKind = Literal["pass", "fail", "open", "review", "notApplicable", "informational"]
Level = Literal["error", "warning", "note"]
Basis = Literal["law", "derived", "guidance", "convention", "provider"]


RULE_ID = r"^[A-Z0-9]+(-[A-Z0-9]+)*$"
"""How a rule may be called, as FAI-01: what a person reads in a terminal, a report or a file's name."""


class Waiver(Frozen):
    """A person's decision, with an end date, to let a failed rule pass."""

    rule: str = Field(pattern=RULE_ID)
    reason: str
    approver: str
    expires: date
    scope: str | None = None
    expired: bool = False


class Part(Frozen):
    """One piece of evidence a rule looked at, and what it said alone."""

    evidence: str
    kind: FindingKind
    quantity: str | None = None
    """What was read: a metric's name, ``largest difference``, ``smallest ratio``."""
    estimate: Estimate | None = None
    between: tuple[str, str] | None = None
    p: float | None = None
    """One-sided p against the threshold; None where nothing statistical was read."""
    more_rows: int | None = None
    """Further rows that would decide it with probability 0.8 if the observed value is the true one."""
    hopeless: bool = False
    """Whether that is over 100 times the present number of rows."""
    reason: str | None = None


class Finding(Frozen):
    """A rule held to the evidence."""

    rule: str
    policy: str
    title: str
    clause: str
    basis: Basis
    kind: FindingKind
    level: Level
    blocking: bool
    message: str
    threshold: str | None = None
    """The requirement in words: ``at least 0.80``."""
    evidence: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    statistical: bool = False
    adjusted_p: float | None = None
    tip: str | None = None
    why: str | None = None
    applies_from: date | None = None
    on_open: Literal["warn", "review"] = "review"
    waiver: Waiver | None = None
    missing: tuple[str, ...] = ()
    """Statements that are absent, by key; a letter of one as ``oversight.a``."""
    note: str | None = None
    """What the policy adds on the rule: where its number comes from."""
    affected: str | None = None
    """Who is affected and how many, where the evidence says: ``48 of 122 positives are not found``."""
    settle: str | None = None
    """What would decide an open finding: ``about 3,300 more people would probably settle it, ...``."""


class Counts(Frozen):
    """How the rules add up.

    ``rules`` is the sum of failed (blocking, not waived), warnings_failed (not blocking, not waived), open,
    review, passed, waived, not_applicable and informational. ``blocking`` counts the blocking rules that
    apply.
    """

    rules: int
    blocking: int
    failed: int
    open: int
    review: int
    passed: int
    waived: int
    not_applicable: int
    informational: int = 0
    warnings_failed: int = 0
    statements_missing: int = 0


class Verdict(Frozen):
    """The gate's outcome, its reasons, and every finding."""

    outcome: Outcome
    reasons: tuple[str, ...] = Field(default=())
    findings: tuple[Finding, ...] = ()
    counts: Counts

"""What is required: rules as dated data, each with its own pass, fail and open examples."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import Field, model_validator

from xai_audit.evidence import Frozen
from xai_audit.verdict import RULE_ID, Basis, FindingKind, Level


class Example(Frozen):
    """A case a rule decides; the tests run every one."""

    low: float | None = None
    """The lower limit of the evidence's interval."""
    high: float | None = None
    """The upper limit."""
    value: float | None = None
    """For exact evidence, in place of low and high."""
    attested: bool | None = None
    """Whether the statement is there: that of an ``attested`` rule, or the one behind the evidence of
    another."""
    present: bool | None = None
    """For ``present`` rules: whether the evidence is measured. False on any other rule: it is absent."""
    declared: float | None = None
    """For thresholds that are ``declared``: the level the provider states."""
    expect: FindingKind
    """What the rule says then."""


class When(Frozen):
    """Where a rule applies; every key given must hold, else the rule is notApplicable."""

    annex_iii: tuple[str, ...] | None = None
    """Annex III points, matched by prefix: ``5`` covers ``5(b)``."""
    task: Literal["classification", "regression"] | None = None
    """The model's task."""
    special_category: bool | None = None
    """Whether a sensitive column is declared a special category of GDPR Article 9(1)."""
    art6_3: bool | None = None
    """Whether the exemption of Article 6(3) is claimed."""
    statement: str | None = None
    """Applies only where this statement is given (a continual learner states feedback_loops)."""
    method: str | None = None
    """Applies only where the spec asks for this method."""
    sensitive_input: bool | None = None
    """Whether a sensitive column is a model input; ``/*`` then stands for those columns alone."""
    continual_learning: bool | None = None
    """Whether the spec says that the system keeps learning in use (system.continual_learning)."""
    baseline: bool | None = None
    """Whether there is an earlier audit to compare with: one is given (--baseline), or the spec states
    system.previous_version; where it is stated and none is given, the evidence is missing."""


class Requirement(Frozen):
    """A further number that a rule holds to a threshold of its own."""

    evidence: str
    """An evidence id."""
    reads: Literal["auto", "difference", "ratio", "estimate"] = "auto"
    """Which number of a group table is held to the threshold."""
    at_least: float | None = None
    """The least that meets it."""
    at_most: float | None = None
    """The most that meets it."""
    equals: float | None = None
    """Exactly this meets it."""

    @model_validator(mode="after")
    def _one_threshold(self) -> Requirement:
        given = [name for name in ("at_least", "at_most", "equals") if getattr(self, name) is not None]
        if len(given) != 1:
            message = f"{self.evidence} has exactly one of at_least, at_most, equals, not {given or 'none'}"
            raise ValueError(message)
        return self


class Rule(Frozen):
    """One requirement."""

    id: str = Field(pattern=RULE_ID)
    """The rule's name, as FAI-01."""
    title: str
    """The rule in plain words, as page 1 prints it."""
    clause: str
    """The provision it is about, as ``Article 10(2)(f)``."""
    basis: Basis
    """Where its number comes from."""
    applies_from: date | None = None
    """Since when the provision applies; judged before that too, and printed with the date."""
    note: str | None = None
    """What the policy adds: where the number comes from."""
    evidence: str | None = None
    """An evidence id; ``*`` after the slash stands for each sensitive column; ``primary`` for the primary
    metric."""
    reads: Literal["auto", "difference", "ratio", "estimate"] = "auto"
    """Which number of a group table is held to the threshold; auto: the one the threshold's side suggests."""
    at_least: float | Literal["declared"] | None = None
    """The least that meets it; ``declared`` for the level the provider states."""
    at_most: float | Literal["declared"] | None = None
    """The most that meets it; ``declared`` for the level the provider states."""
    equals: float | None = None
    """Exactly this meets it."""
    present: Literal[True] | None = None
    """The evidence is there, whatever it says."""
    attested: str | tuple[str, ...] | None = None
    """Statement keys that a named person must have made."""
    strict: bool = False
    """Whether at_least means more than, and at_most less than."""
    also: tuple[Requirement, ...] = ()
    """Further requirements; the rule holds only where each does, and its error is shared among them."""
    explained_by: str | None = None
    """A statement's key: where a named person gives it, the rule warns and does not block."""
    level: Level
    """``error`` blocks; ``warning`` and ``note`` are told."""
    release: bool = False
    """Whether the rule blocks only at stage ``release``; before that it warns."""
    on_open: Literal["warn", "review"] | None = None
    """What an open finding does; default: review for errors, warn for the rest."""
    when: When | None = None
    """Where it applies; everywhere where this is absent."""
    needs_model: bool = False
    """notApplicable for ``format: predictions``."""
    why: str = ""
    """Why it matters, as the report prints it."""
    tip: str = ""
    """What to do where it is not met."""
    examples: tuple[Example, ...]
    """Cases it decides; the tests run every one."""

    @model_validator(mode="after")
    def _one_requirement(self) -> Rule:
        given = [
            name
            for name in ("at_least", "at_most", "equals", "present", "attested")
            if getattr(self, name) is not None
        ]
        if len(given) != 1:
            asked = "exactly one of at_least, at_most, equals, present, attested"
            message = f"a rule has {asked}; {self.id} has {given or 'none'}"
            raise ValueError(message)
        if self.attested is None and self.evidence is None:
            message = f"{self.id} names no evidence"
            raise ValueError(message)
        if self.also and (self.attested is not None or self.present is not None):
            message = f"{self.id}: also goes with a threshold, not with attested or present"
            raise ValueError(message)
        return self

    @property
    def opened(self) -> Literal["warn", "review"]:
        """What an open finding does: review by default for errors, warn for the rest."""
        return self.on_open or ("review" if self.level == "error" else "warn")


class Policy(Frozen):
    """Rules fixed before the run."""

    id: str
    """The policy's name."""
    version: int | str
    """Its version; a changed threshold is a new one."""
    as_of: date
    """When its provisions and dates were last checked; a run before that day shows nothing."""
    title: str = ""
    """What it is for."""
    author: str = ""
    """Who fixed it."""
    confidence: float = Field(0.95, gt=0.5, lt=1)
    """Of a pass, rule by rule."""
    family_error: float = Field(0.05, gt=0, lt=0.5)
    """The chance of any false fail over the blocking statistical rules."""
    min_n: int = Field(30, ge=1)
    """Groups with fewer rows decide nothing."""
    min_label: int = Field(10, ge=1)
    """Groups with fewer rows of a label that is conditioned on decide nothing."""
    rules: tuple[Rule, ...]
    """What is asked."""

    @model_validator(mode="after")
    def _distinct(self) -> Policy:
        seen: set[str] = set()
        for rule in self.rules:
            if rule.id in seen:
                message = f"two rules are called {rule.id}"
                raise ValueError(message)
            seen.add(rule.id)
        return self


def as_applied(policy: Policy, digest: str) -> dict[str, Any]:
    """The policy as audit.json keeps it: id, version, digest and the rules as applied."""
    return {**policy.model_dump(mode="json", exclude_none=True), "sha256": digest}

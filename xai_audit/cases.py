"""A rule's own examples as a spec and evidence, so that `judge` itself decides them."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from xai_audit import applying, deciding
from xai_audit.evidence import LEVELS, Estimate, Evidence, Groups, Scalar, Summary, exactly
from xai_audit.spec import (
    Classification,
    Data,
    DeclaredLevel,
    Model,
    Person,
    Said,
    Sensitive,
    Spec,
    System,
    Table,
    Use,
)
from xai_audit.statements import BY_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xai_audit.policy import Example, Requirement, Rule

COLUMN = "group"
METRIC = "accuracy"


def spec_for(rule: Rule, example: Example) -> Spec:
    """A spec at stage release in which the rule applies and everything but the example is in order."""
    when = rule.when
    point = when.annex_iii[0] if when and when.annex_iii else "5(a)"
    keys = (rule.attested,) if isinstance(rule.attested, str) else rule.attested or ()
    stated = example.attested is not False
    declared = (
        (DeclaredLevel(metric=METRIC, at_least=example.declared),) if example.declared is not None else ()
    )
    special = bool(when and when.special_category)
    system = System(
        name="An example",
        stage="release",
        classification=Classification(
            annex_iii_point=point, art6_3={"condition": "a"} if when and when.art6_3 else None
        ),
        statements={
            key: _said(key)
            for key in (*keys, *((when.statement,) if when and when.statement else ()))
            if stated
        },
        declared_levels=declared,
        signatories=_signed() if stated else (),
        continual_learning=bool(when and when.continual_learning),
    )
    return Spec(
        system=system,
        model=Model(path="model.skops", format="skops", task=(when and when.task) or "classification"),
        data=Data(
            test=Table(path="test.csv"),
            features=("x", COLUMN) if when and when.sensitive_input else ("x",),
            sensitive=(Sensitive(column=COLUMN, special_category=special),),
        ),
        metrics=(Use(method=METRIC, name=METRIC),),
        explainers=(Use(method=when.method, name=when.method),) if when and when.method else (),
        primary=METRIC,
        baseline=bool(when and when.baseline),
    )


def _signed() -> tuple[Person, ...]:
    return (Person(name="A. Person", function="head of testing", date=date(2026, 1, 1)),)


def _said(key: str) -> tuple[Said, ...]:
    letters = BY_KEY[key].letters if key in BY_KEY else ()
    return tuple(
        Said(key=key, letter=letter, text="As an example.", author="A. Person")
        for letter in letters or (None,)
    )


def evidence_for(rule: Rule, example: Example, spec: Spec) -> tuple[Evidence, ...]:
    """The evidence of an example: its number for the rule itself, met thresholds for the rest."""
    if rule.evidence is None:
        return ()
    return (
        *_pieces(rule, rule, spec, example),
        *(piece for more in rule.also for piece in _pieces(rule, more, spec, None)),
    )


def _pieces(
    rule: Rule, requirement: Rule | Requirement, spec: Spec, example: Example | None
) -> Iterator[Evidence]:
    absent: dict[str, Any] = {}
    if example is not None and example.attested is False:
        absent = {"absent_statements": ["data_gaps"]}
    for identifier in applying.evidence_read(
        rule, requirement.evidence or "", spec, spec.model.task or "classification"
    )[0]:
        fields: dict[str, Any] = {
            "id": identifier,
            "method": identifier.partition("/")[0],
            "kind": "metric",
            "title": "",
        }
        if example is not None and example.present is False:
            yield Evidence(**fields, status="skipped", reason="the example says so")
            continue
        if (
            example is not None
            and absent
            and example.value is None
            and example.low is None
            and example.high is None
        ):
            yield Evidence(**fields, status="skipped", reason="nobody states it", params=absent)
            continue
        estimate = _met(requirement) if example is None or example.present else estimate_of(example)
        yield Evidence(
            **fields, status="measured", params=absent, observation=_shaped(requirement, identifier, estimate)
        )


def _shaped(requirement: Rule | Requirement, identifier: str, estimate: Estimate) -> Scalar | Groups:
    if not identifier.endswith(f"/{COLUMN}") or requirement.reads == "estimate":
        return Scalar(estimate=estimate)
    method = identifier.partition("/")[0]
    ratio = requirement.reads == "ratio" or method.endswith("_ratio")
    difference = requirement.reads == "difference" or method.endswith("_difference")
    if not (ratio or difference):
        return Scalar(estimate=estimate)
    summary = Summary(ratio=estimate) if ratio else Summary(difference=estimate)
    return Groups(by=(COLUMN,), groups=(), summary=summary)


def _met(requirement: Rule | Requirement) -> Estimate:
    for level in (requirement.at_least, requirement.at_most, requirement.equals):
        if isinstance(level, int | float):
            return exactly(level, 1000)
    return exactly(1, 1000)


def estimate_of(example: Example) -> Estimate:
    """An example's number. ``low`` and ``high`` are two-sided 90 % limits, by which a lone rule passes or
    fails.
    """
    ends = [end for end in (example.low, example.high) if end is not None]
    if not ends:
        return exactly(1 if example.value is None else example.value, 1000)
    value = sum(ends) / len(ends) if example.value is None else example.value
    unit = deciding.quantile(0.95)
    limits: dict[str, tuple[float | None, float | None]] = {}
    for name in LEVELS:
        if name == "0.9":
            limits[name] = (example.low, example.high)
            continue
        times = deciding.quantile((1 + float(name)) / 2) / unit
        limits[name] = (
            None if example.low is None else value - (value - example.low) * times,
            None if example.high is None else value + (example.high - value) * times,
        )
    return Estimate(value=value, low=example.low, high=example.high, n=1000, limits=limits)

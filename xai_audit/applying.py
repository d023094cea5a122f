"""A rule applied to one audit: whether it applies, which evidence it reads, what each number says alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from xai_audit import deciding, wording
from xai_audit.deciding import Held, Threshold
from xai_audit.evidence import Groups, Scalar, encoded
from xai_audit.policy import Rule
from xai_audit.verdict import Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xai_audit.evidence import Estimate, Evidence
    from xai_audit.policy import Policy, Requirement
    from xai_audit.spec import Spec
    from xai_audit.verdict import FindingKind

Task = Literal["classification", "regression"]

DEFAULT_PRIMARY: Mapping[Task, str] = {"classification": "accuracy", "regression": "mean_absolute_error"}
"""What ``primary`` stands for where the spec names no metric: the first that is then measured."""

CHANGE = "performance_change"
"""The evidence that compares the primary metric with that of an earlier audit (``--baseline``)."""

_EXTREMES = {"difference": "largest difference", "ratio": "smallest ratio"}
_REGRESSION = frozenset({"mean_absolute_error", "root_mean_squared_error", "r2"})


@dataclass(frozen=True)
class Reading:
    """One number that a rule looked at, or why there is none."""

    evidence: str
    kind: FindingKind
    """What it says alone; a fail for sampling error is decided later, with the other rules."""
    threshold: Threshold | None = None
    source: Evidence | None = None
    estimate: Estimate | None = None
    which: str = "estimate"
    words: str = ""
    """What was read, in words: ``selection ratio by sex``."""
    between: tuple[str, str] | None = None
    held: Held | None = None
    reason: str | None = None
    missing: tuple[str, ...] = ()

    @property
    def p(self) -> float | None:
        """One-sided p of the threshold being met; None where nothing was estimated."""
        return self.held.p if self.held else None

    def part(self, kind: FindingKind, *, rows: int, confidence: float, error: float, interval: float) -> Part:
        """This number as the finding keeps it, with the rows that would settle it."""
        more, hopeless = None, False
        if kind == "open" and self.estimate is not None and self.threshold is not None and self.p is not None:
            more, hopeless = deciding.more_rows(
                self.estimate,
                self.threshold,
                rows=max(rows, self.estimate.n),
                confidence=confidence,
                error=error,
                interval=interval,
                ratio=self.which == "ratio",
            )
        return Part(
            evidence=self.evidence,
            kind=kind,
            quantity={"difference": "largest difference", "ratio": "smallest ratio"}.get(
                self.which, self.words or None
            ),
            estimate=self.estimate,
            between=self.between,
            p=self.p,
            more_rows=more,
            hopeless=hopeless,
            reason=self.reason,
        )


def task_of(spec: Spec, evidence: Sequence[Evidence]) -> Task:
    """The task the spec states, else the one whose metrics could be measured."""
    if spec.model.task is not None:
        return spec.model.task
    measured = {piece.method for piece in evidence if piece.kind == "metric" and piece.status == "measured"}
    return "regression" if measured & _REGRESSION else "classification"


def rows_seen(evidence: Sequence[Evidence]) -> int:
    """Rows of the test data as far as the metrics tell: the largest number any of them rests on."""
    sizes = [0]
    for piece in evidence:
        if piece.kind != "metric":
            continue
        if isinstance(piece.observation, Scalar):
            sizes.append(piece.observation.estimate.n)
        elif isinstance(piece.observation, Groups) and not {"class", "rate"} & set(piece.observation.by):
            sizes.append(sum(group.n or 0 for group in piece.observation.groups))
    return max(sizes)


def not_applicable(rule: Rule, spec: Spec, task: Task) -> str | None:
    """Why a rule does not apply; None where it does."""
    if rule.needs_model and predictions_only(spec):
        return "it needs the model, and this audit has its predictions alone"
    when = rule.when
    if when is None:
        return None
    placed = spec.system.classification
    point = (placed.annex_iii_point or "").strip() if placed else ""
    special = any(column.special_category for column in spec.data.protected)
    exempt = bool(placed and placed.art6_3)
    uses = {use.method for use in (*spec.explainers, *spec.metrics)}
    checks: list[tuple[bool, str]] = []
    if when.annex_iii is not None:
        asked = f"point {wording.joined(when.annex_iii)} of Annex III"
        place = f"point {point}" if point else "no point of Annex III"
        checks.append(
            (
                any(_under(point, prefix) for prefix in when.annex_iii),
                f"it is for {asked}; the spec says {place}",
            )
        )
    if when.task is not None:
        checks.append((when.task == task, f"it is for {when.task}; this model does {task}"))
    if when.special_category is not None:
        no = "no" if when.special_category else "a"
        checks.append(
            (
                special == when.special_category,
                f"{no} sensitive column is declared a special category of personal data",
            )
        )
    if when.art6_3 is not None:
        says = "claims no" if when.art6_3 else "claims an"
        checks.append((exempt == when.art6_3, f"the spec {says} exemption under Article 6(3)"))
    if when.statement is not None:
        checks.append((not spec.lacks(when.statement), f"{when.statement} is not stated"))
    if when.method is not None:
        checks.append((when.method in uses, f"the spec does not ask for {when.method}"))
    if when.sensitive_input is not None:
        no = "no" if when.sensitive_input else "a"
        checks.append(
            (bool(sensitive_inputs(spec)) == when.sensitive_input, f"{no} sensitive column is a model input")
        )
    if when.continual_learning is not None:
        learns = bool(spec.system.continual_learning)
        says = "does not say" if when.continual_learning else "says"
        checks.append(
            (learns == when.continual_learning, f"the spec {says} that the system keeps learning in use")
        )
    if when.baseline is not None:
        earlier = spec.baseline or bool(spec.system.previous_version)
        says = "no earlier audit is given (--baseline)" if when.baseline else "an earlier audit is given"
        checks.append((earlier == when.baseline, says))
    return next((reason for holds, reason in checks if not holds), None)


def _under(point: str, prefix: str) -> bool:
    """Whether an Annex III point lies under another: ``5(b)`` under ``5``, but 51 does not."""
    return point == prefix or (point.startswith(prefix) and not point[len(prefix)].isdigit())


def predictions_only(spec: Spec) -> bool:
    """Whether there is no model to ask."""
    model = spec.model
    return model.format == "predictions" or (
        model.format is None and model.path is None and bool(model.score or model.prediction)
    )


def sensitive_inputs(spec: Spec) -> tuple[str, ...]:
    """Sensitive columns that are model inputs; by default none is."""
    features = spec.data.features or ()
    return tuple(column.column for column in spec.data.protected if column.column in features)


def primary_of(spec: Spec, task: Task) -> str:
    """The name that the primary metric's evidence carries."""
    wanted = spec.primary or DEFAULT_PRIMARY[task]
    return next((use.name for use in spec.metrics if wanted in (use.name, use.method)), wanted)


def evidence_read(rule: Rule, pattern: str, spec: Spec, task: Task) -> tuple[list[str], str]:
    """The evidence ids a rule's ``evidence`` stands for in this spec; where there are none, why."""
    method, slash, part = pattern.partition("/")
    if method == "primary":
        names = [primary_of(spec, task)]
    else:
        # `as` takes the method's place in its evidence ids; every use is held to the rule.
        names = [use.name for use in (*spec.explainers, *spec.metrics) if use.method == method] or [method]
    if part != "*":
        return [f"{name}{slash}{part}" for name in names], ""
    columns = [column.column for column in spec.data.protected]
    if rule.when is not None and rule.when.sensitive_input:
        columns = list(sensitive_inputs(spec))
    if not columns:
        return [], "the spec names no sensitive column, so groups were not compared"
    return [f"{name}/{encoded(column)}" for name in names for column in columns], ""


def methods_read(policies: Sequence[Policy], spec: Spec) -> tuple[str, ...]:
    """The methods whose evidence the rules that apply here read, sorted; the run measures them unasked.

    Records (records.RECORDS) are among them: they are computed, not measured.
    """
    task = task_of(spec, ())
    found = set()
    for policy in policies:
        for rule in policy.rules:
            if rule.evidence is None or not_applicable(rule, spec, task) is not None:
                continue
            for pattern in (rule.evidence, *(more.evidence for more in rule.also)):
                method = pattern.partition("/")[0]
                name = primary_of(spec, task) if method == "primary" else method
                found.add(next((use.method for use in spec.metrics if use.name == name), name))
    return tuple(sorted(found))


def compares(policy: Policy) -> bool:
    """Whether a rule of a policy reads how far the primary metric moved since an earlier audit."""
    patterns = (
        more for rule in policy.rules for more in (rule.evidence, *(one.evidence for one in rule.also))
    )
    return any((pattern or "").partition("/")[0] == CHANGE for pattern in patterns)


@dataclass(frozen=True)
class Bench:
    """What a rule is applied to."""

    policy: Policy
    spec: Spec
    task: Task
    evidence: Mapping[str, Evidence]
    """By id."""


def readings(rule: Rule, bench: Bench) -> tuple[Reading, ...]:
    """Every number a rule looks at; what it could not look at is a reading with a reason."""
    found: list[Reading] = []
    requirements: tuple[Rule | Requirement, ...] = (rule, *rule.also)
    for requirement in requirements:
        pattern = requirement.evidence or ""
        ids, why = evidence_read(rule, pattern, bench.spec, bench.task)
        if not ids:
            # One requirement without evidence is not outvoted by another that has some.
            found.append(Reading(pattern, "review", reason=why))
        for identifier in ids:
            found += _read(rule, requirement, identifier, bench)
    return tuple(found)


def _read(rule: Rule, requirement: Rule | Requirement, identifier: str, bench: Bench) -> Iterator[Reading]:
    piece = bench.evidence.get(identifier) or _whole(identifier, bench.evidence)
    if piece is None:
        reason = f"this run did not measure {identifier}"
        before = bench.spec.system.previous_version
        if identifier.partition("/")[0] == CHANGE and not bench.spec.baseline and before:
            reason = f"the spec says that version {before} came before, and its audit was not given (--baseline DIR)"
        yield Reading(identifier, "review", reason=reason)
        return
    bare = Reading(identifier, "review", source=piece, words=wording.quantity(piece, which=requirement.reads))
    stated = tuple(piece.params.get("absent_statements", ()))
    if piece.status != "measured":
        # What is absent here may be a person's statement, which is open, and not a measurement.
        yield replace(bare, kind="open" if stated else "review", reason=piece.reason, missing=stated)
        return
    lower = _measured_with_less(piece, bench.policy)
    if lower:
        yield replace(bare, reason=lower)
        return
    if rule.present:
        yield replace(bare, kind="pass")
        return
    thresholds = list(_thresholds(requirement, piece, bench.spec))
    if not thresholds:
        reason = "no level is declared for it (system.statements.declared_levels)"
        yield replace(bare, kind="open", reason=reason, missing=("declared_levels",))
        return
    for threshold in thresholds:
        for number in _numbers(piece, requirement.reads, threshold, bench.policy):
            yield _weighed(replace(bare, threshold=threshold), number, stated, bench)


def _whole(identifier: str, evidence: Mapping[str, Evidence]) -> Evidence | None:
    """The record of a method that gave none of its parts, since it was skipped or failed as a whole."""
    piece = evidence.get(identifier.partition("/")[0])
    return piece if piece is not None and piece.status != "measured" else None


def _weighed(bare: Reading, number: _Number, stated: tuple[str, ...], bench: Bench) -> Reading:
    assert bare.source is not None
    assert bare.threshold is not None
    words = wording.quantity(bare.source, which=number.which)
    reading = replace(bare, which=number.which, words=f"{words}, {number.label}" if number.label else words)
    if number.estimate is None:
        return replace(reading, kind="open", reason=number.reason)
    held = deciding.hold(number.estimate, bare.threshold, bench.policy.confidence, bench.spec.run.confidence)
    kind = "open" if held.kind == "fail" and stated else held.kind
    return replace(
        reading,
        kind=kind,
        estimate=number.estimate,
        between=number.between,
        held=held,
        missing=stated if kind == "open" else (),
    )


def _measured_with_less(piece: Evidence, policy: Policy) -> str | None:
    for name, asked in (("min_n", policy.min_n), ("min_label", policy.min_label)):
        used = piece.params.get(name)
        if isinstance(used, int | float) and used < asked and isinstance(piece.observation, Groups):
            what = "rows" if name == "min_n" else "rows of a label"
            return f"measured with a minimum of {used:g} {what}; this policy asks for {asked}; run again"
    return None


def _thresholds(requirement: Rule | Requirement, piece: Evidence, spec: Spec) -> Iterator[Threshold]:
    strict = isinstance(requirement, Rule) and requirement.strict
    if "declared" in (requirement.at_least, requirement.at_most):
        names = (piece.id.partition("/")[0], piece.method)
        for level in spec.system.declared_levels:
            if level.metric not in names:
                continue
            # The provider declares the side, too: an error rate is declared at most.
            if level.at_least is not None:
                yield Threshold("at_least", level.at_least, declared=True)
            if level.at_most is not None:
                yield Threshold("at_most", level.at_most, declared=True)
    elif isinstance(requirement.at_least, int | float):
        yield Threshold("at_least", requirement.at_least, strict)
    elif isinstance(requirement.at_most, int | float):
        yield Threshold("at_most", requirement.at_most, strict)
    elif requirement.equals is not None:
        yield Threshold("equals", requirement.equals)


@dataclass(frozen=True)
class _Number:
    """A number of some evidence that a threshold is about, or why there is none."""

    estimate: Estimate | None
    which: str = "estimate"
    between: tuple[str, str] | None = None
    label: str = ""
    reason: str | None = None


def _numbers(piece: Evidence, reads: str, threshold: Threshold, policy: Policy) -> Iterator[_Number]:
    observation = piece.observation
    if isinstance(observation, Scalar):
        yield _Number(observation.estimate)
        return
    if not isinstance(observation, Groups):
        shape = observation.shape if observation else "nothing"
        yield _Number(None, reason=f"it is a {shape}, which is not one number to hold to a threshold")
        return
    if reads == "estimate" or observation.by == ("class",):
        yield from _each(observation)
        return
    summary = observation.summary
    prefers = ["ratio", "difference"] if threshold.side == "at_least" else ["difference", "ratio"]
    if reads != "auto":
        prefers = [reads]
    elif piece.method.endswith(("_ratio", "_difference")):
        prefers = [piece.method.rpartition("_")[2]]
    for which in prefers:
        estimate = getattr(summary, which, None)
        if estimate is not None:
            assert summary is not None
            yield _Number(estimate, which, summary.between)
            return
    yield _Number(None, prefers[0], reason=_too_few(observation, policy))


def _each(observation: Groups) -> Iterator[_Number]:
    """The overall number; where there is one for each class instead, all of them."""
    if observation.overall is not None:
        yield _Number(observation.overall)
        return
    for group in observation.groups:
        label = ", ".join(f"{column} {value}" for column, value in group.key.items())
        # What is too small decides nothing, here as everywhere.
        able = group.status == "measured"
        yield _Number(group.estimate if able else None, label=label, reason=group.reason)
    if not observation.groups:
        yield _Number(None, reason="it has no group")


def _too_few(observation: Groups, policy: Policy) -> str:
    """Why groups could not be compared."""
    able = sum(1 for group in observation.groups if group.status == "measured" and not group.missing)
    rows = f"{policy.min_n} rows"
    if any("label" in (group.reason or "") for group in observation.groups):
        rows += f" and {policy.min_label} of each label it looks at"
    if able >= 2:
        return "the groups could not be compared by it"
    return f"only one group has {rows}" if able == 1 else f"no group has {rows}"

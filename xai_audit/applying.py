"""A rule applied to one audit: whether it applies, which evidence it reads, what each number says, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from xai_audit import deciding, wording
from xai_audit.deciding import Held, Threshold
from xai_audit.evidence import Groups, Scalar, encoded
from xai_audit.verdict import Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from xai_audit.evidence import Estimate, Evidence
    from xai_audit.policy import Policy, Requirement, Rule
    from xai_audit.spec import Spec
    from xai_audit.verdict import FindingKind, Waiver

Task = Literal["classification", "regression"]

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

    def part(self, kind: FindingKind, *, rows: int, confidence: float, error: float, spec: Spec) -> Part:
        """This number as the finding keeps it, with the rows that would settle it."""
        more, hopeless = None, False
        if kind == "open" and self.estimate is not None and self.threshold is not None and self.p is not None:
            more, hopeless = deciding.more_rows(
                self.estimate,
                self.threshold,
                rows=max(rows, self.estimate.n),
                confidence=confidence,
                error=error,
                interval=spec.run.confidence,
                ratio=self.which == "ratio",
            )
        return Part(
            evidence=self.evidence,
            kind=kind,
            quantity={"difference": "largest difference", "ratio": "smallest ratio"}.get(self.which, self.words or None),
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
        elif isinstance(piece.observation, Groups) and "class" not in piece.observation.by:
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
    special = any(column.special_category for column in spec.data.sensitive)
    exempt = bool(placed and placed.art6_3)
    uses = {use.method for use in (*spec.explainers, *spec.metrics)}
    checks: list[tuple[bool, str]] = []
    if when.annex_iii is not None:
        asked = f"point {wording.joined(when.annex_iii)} of Annex III"
        place = f"point {point}" if point else "no point of Annex III"
        checks.append((any(_under(point, prefix) for prefix in when.annex_iii), f"it is for {asked}; the spec says {place}"))
    if when.task is not None:
        checks.append((when.task == task, f"it is for {when.task}; this model does {task}"))
    if when.special_category is not None:
        no = "no" if when.special_category else "a"
        checks.append((special == when.special_category, f"{no} sensitive column is declared a special category of personal data"))
    if when.art6_3 is not None:
        says = "claims no" if when.art6_3 else "claims an"
        checks.append((exempt == when.art6_3, f"the spec {says} exemption under Article 6(3)"))
    if when.statement is not None:
        checks.append((not spec.lacks(when.statement), f"{when.statement} is not stated"))
    if when.method is not None:
        checks.append((when.method in uses, f"the spec does not ask for {when.method}"))
    if when.sensitive_input is not None:
        no = "no" if when.sensitive_input else "a"
        checks.append((bool(sensitive_inputs(spec)) == when.sensitive_input, f"{no} sensitive column is a model input"))
    if when.continual_learning is not None:
        learns = bool(spec.system.continual_learning)
        says = "does not say" if when.continual_learning else "says"
        checks.append((learns == when.continual_learning, f"the spec {says} that the system keeps learning in use"))
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
    return tuple(column.column for column in spec.data.sensitive if column.column in features)


def evidence_read(rule: Rule, pattern: str, spec: Spec) -> tuple[list[str], str]:
    """The evidence ids a rule's ``evidence`` stands for in this spec; where there are none, why."""
    method, slash, part = pattern.partition("/")
    if method == "primary":
        if spec.primary is None:
            return [], "the spec names no metric"
        names = [use.name for use in spec.metrics if spec.primary in (use.name, use.method)][:1] or [spec.primary]
    else:
        # `as` takes the method's place in its evidence ids; every use is held to the rule.
        names = [use.name for use in (*spec.explainers, *spec.metrics) if use.method == method] or [method]
    if part != "*":
        return [f"{name}{slash}{part}" for name in names], ""
    columns = [column.column for column in spec.data.sensitive]
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
                if method != "primary":
                    found.add(method)
                elif spec.primary is not None:
                    found.add(next((use.method for use in spec.metrics if use.name == spec.primary), spec.primary))
    return tuple(sorted(found))


def readings(rule: Rule, policy: Policy, by_id: Mapping[str, Evidence], spec: Spec) -> tuple[tuple[Reading, ...], str]:
    """Every number a rule looks at, and, where there is none, why."""
    found: list[Reading] = []
    nothing = "no evidence was found"
    for requirement in (rule, *rule.also):
        assert requirement.evidence is not None
        ids, why = evidence_read(rule, requirement.evidence, spec)
        if not ids:
            # One requirement without evidence is not outvoted by another that has some.
            found.append(Reading(requirement.evidence, "review", reason=why))
            nothing = why
        for identifier in ids:
            found += _read(rule, requirement, policy, identifier, by_id.get(identifier), spec)
    return tuple(found), nothing


def _read(
    rule: Rule, requirement: Rule | Requirement, policy: Policy, identifier: str, piece: Evidence | None, spec: Spec
) -> Iterator[Reading]:
    if piece is None:
        yield Reading(identifier, "review", reason=f"this run did not measure {identifier}")
        return
    words = wording.quantity(piece, which=requirement.reads)
    stated = tuple(piece.params.get("absent_statements", ()))
    if piece.status != "measured":
        # What is absent here is a person's statement, which is open, not a measurement, which is for review.
        kind: FindingKind = "open" if stated else "review"
        yield Reading(identifier, kind, source=piece, words=words, reason=piece.reason, missing=stated)
        return
    lower = _measured_with_less(piece, policy)
    if lower:
        yield Reading(identifier, "review", source=piece, words=words, reason=lower)
        return
    if rule.present:
        yield Reading(identifier, "pass", source=piece, words=words)
        return
    thresholds = list(_thresholds(requirement, piece, identifier, spec))
    if not thresholds:
        reason = "no level is declared for it (system.statements.declared_levels)"
        yield Reading(identifier, "open", source=piece, words=words, reason=reason, missing=("declared_levels",))
        return
    for threshold in thresholds:
        for estimate, which, between, label, reason in _numbers(piece, requirement.reads, threshold, policy):
            of = wording.quantity(piece, which=which) + (f", {label}" if label else "")
            if estimate is None:
                yield Reading(identifier, "open", threshold, piece, which=which, words=of, reason=reason)
                continue
            held = deciding.hold(estimate, threshold, policy.confidence, spec.run.confidence)
            kind = "open" if held.kind == "fail" and stated else held.kind
            missing = stated if kind == "open" else ()
            yield Reading(identifier, kind, threshold, piece, estimate, which, of, between, held, missing=missing)


def _measured_with_less(piece: Evidence, policy: Policy) -> str | None:
    for name, asked in (("min_n", policy.min_n), ("min_label", policy.min_label)):
        used = piece.params.get(name)
        if isinstance(used, int | float) and used < asked and isinstance(piece.observation, Groups):
            what = "rows" if name == "min_n" else "rows of a label"
            return f"measured with a minimum of {used:g} {what}; this policy asks for {asked}; run again"
    return None


def _thresholds(requirement: Rule | Requirement, piece: Evidence, identifier: str, spec: Spec) -> Iterator[Threshold]:
    strict = getattr(requirement, "strict", False)
    if "declared" in (requirement.at_least, requirement.at_most):
        name = identifier.partition("/")[0]
        for level in spec.system.declared_levels:
            if level.metric in (name, piece.method):
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


Number = tuple["Estimate | None", str, "tuple[str, str] | None", str, "str | None"]


def _numbers(piece: Evidence, reads: str, threshold: Threshold, policy: Policy) -> Iterator[Number]:
    """(estimate, which, between, label, reason) for each number of the evidence that the threshold is about."""
    observation = piece.observation
    if isinstance(observation, Scalar):
        yield observation.estimate, "estimate", None, "", None
        return
    if not isinstance(observation, Groups):
        shape = observation.shape if observation else "nothing"
        yield None, "estimate", None, "", f"it is a {shape}, which is not one number to hold to a threshold"
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
            yield estimate, which, summary.between, "", None
            return
    yield None, prefers[0], None, "", _too_few(observation, policy)


def _each(observation: Groups) -> Iterator[Number]:
    """The overall number; where there is one for each class instead, all of them."""
    if observation.overall is not None:
        yield observation.overall, "estimate", None, "", None
        return
    for group in observation.groups:
        label = ", ".join(f"{column} {value}" for column, value in group.key.items())
        yield group.estimate, "estimate", None, label, group.reason
    if not observation.groups:
        yield None, "estimate", None, "", "it has no group"


def _too_few(observation: Groups, policy: Policy) -> str:
    """Why groups could not be compared."""
    able = sum(1 for group in observation.groups if group.status == "measured" and not group.missing)
    rows = f"{policy.min_n} rows"
    if any("label" in (group.reason or "") for group in observation.groups):
        rows += f" and {policy.min_label} of each label it looks at"
    if able >= 2:
        return "the groups could not be compared by it"
    return f"only one group has {rows}" if able == 1 else f"no group has {rows}"


def asked(rule: Rule) -> str | None:
    """A rule's requirement in words, where no number was read."""
    if rule.attested is not None:
        return "stated by a named person"
    if rule.present:
        return "measured"
    for side, number in (("at_least", rule.at_least), ("at_most", rule.at_most), ("equals", rule.equals)):
        if number == "declared":
            return "at the declared level"
        if number is not None:
            return wording.asked(Threshold(side, float(number), rule.strict))  # type: ignore[arg-type]
    return None


def stated_by(spec: Spec, keys: Sequence[str]) -> str:
    """Which statements there are, and by whom."""
    authors = dict.fromkeys(said.author for key in keys for said in spec.said(key) if said.author)
    signed = [person.name for person in spec.system.signatories] if "signatories" in keys else []
    by = wording.joined([*authors, *signed]) if authors or signed else ""
    what = wording.joined(key.replace("_", " ") for key in keys)
    return f"{what}, by {by}" if by else what


def settle(found: Sequence[Reading], parts: Sequence[Part]) -> str | None:
    """What would decide an open rule, in words.

    On the wrong side one number is enough to fail the rule, so the nearest to that counts; else all must pass.
    """
    pairs = [(reading, part) for reading, part in zip(found, parts, strict=True) if part.kind == "open"]
    measured = [(reading, part) for reading, part in pairs if part.p is not None]
    if len(measured) < len(pairs) or not measured:
        return None
    wrong = [pair for pair in measured if pair[0].held is not None and pair[0].held.z < 0]
    among = [pair for pair in wrong if pair[1].more_rows is not None] or measured
    if among is measured and any(part.more_rows is None for _, part in measured):
        return "it lies too close to the threshold for any realistic number of further people to settle it"
    choose = min if among is not measured else max
    reading, part = choose(among, key=lambda pair: pair[1].more_rows or 0)
    kind = {"ratio": "ratio", "difference": "difference"}.get(reading.which, "value")
    return f"about {wording.about(part.more_rows or 0)} more people would probably settle it, if the {kind} stays"


def message(
    rule: Rule,
    policy: Policy,
    kind: FindingKind,
    read: Sequence[Reading],
    parts: Sequence[Part],
    settles: str | None,
    missing: Sequence[str],
    spec: Spec,
) -> str:
    """A finding in one sentence: what was seen, how sure, against what."""
    told = [_told(rule, policy, kind, reading, part, spec) for reading, part in zip(read, parts, strict=True)]
    told = list(dict.fromkeys(told))
    most = 4
    more = f"; and {len(told) - most} more" if len(told) > most else ""
    text = "; ".join(told[:most]) + more
    if missing and kind == "open":
        return f"{text}; {wording.statements(tuple(missing))}" if text else wording.statements(tuple(missing))
    return f"{text}: {settles}" if settles else text


def _told(rule: Rule, policy: Policy, kind: FindingKind, reading: Reading, part: Part, spec: Spec) -> str:
    words = reading.words or reading.evidence
    if reading.estimate is None or reading.threshold is None:
        if kind == "pass":
            return f"{words} was measured"
        if kind == "review" and reading.source is not None and reading.source.status != "measured":
            verb = "failed" if reading.source.status == "failed" else "was not measured"
            return f"{words} {verb}: {reading.reason}"
        return f"{words}: {reading.reason}" if reading.reason and reading.source else reading.reason or words
    number = f"{words} {wording.number(reading.estimate)}"
    threshold = reading.threshold
    if kind == "fail":
        return f"{number} {wording.short_of(threshold, rule.basis)}"
    if kind == "open":
        return f"{number}, {wording.named(threshold, rule.basis)}"
    text = f"{number} meets {wording.against(threshold, rule.basis)}"
    bound = reading.held.bound if reading.held else None
    shown = reading.estimate.low if threshold.side == "at_least" else reading.estimate.high
    if bound is not None and (shown is None or not threshold.met_by(shown)):
        # The two-sided interval printed beside it reaches past the threshold; the one-sided bound that counts does not.
        sure = f"{policy.confidence * 100:g} %"
        side = "at least" if threshold.side == "at_least" else "at most"
        digits = wording.places(reading.estimate) + 1
        text += f": with {sure} confidence it is {side} {wording.plain(bound, digits)}"
    return text


def who(read: Sequence[Reading], by_id: Mapping[str, Evidence]) -> str | None:
    """Who is affected by the numbers that failed, where the evidence says."""
    told = []
    for reading in read:
        piece = by_id.get(reading.evidence)
        if piece is not None and reading.which in ("ratio", "difference", "estimate"):
            text = wording.affected(piece, reading.between)
            if text:
                told.append(text)
    return "; ".join(dict.fromkeys(told)) or None


def waived(waiver: Waiver) -> str:
    """What a waiver adds to a finding's message."""
    if waiver.expired:
        return f"; the waiver by {waiver.approver} expired on {waiver.expires.isoformat()} and waives nothing"
    return f"; waived until {waiver.expires.isoformat()} by {waiver.approver}: {waiver.reason}"

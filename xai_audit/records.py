"""What a run knows of itself without asking the model: evidence of kind ``record``, computed before judging.

``gate`` computes it again under the policies it is given. Pure: no data, no model, no clock, no numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xai_audit import applying, digest
from xai_audit.deciding import sampled
from xai_audit.evidence import Estimate, Evidence, Groups, Scalar, encoded, exactly
from xai_audit.statements import ASKED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import date

    from xai_audit.policy import Policy, Rule
    from xai_audit.spec import Spec

RECORDS: Mapping[str, tuple[str, str]] = {
    "policy_precedes_run": (
        "Policies fixed before the run",
        "The share of policies dated on or before the day of the run and read before it measured anything.",
    ),
    "gated_intervals": (
        "Thresholded numbers with an interval",
        "The share of estimates held to a threshold that carry an interval, or are exact counts.",
    ),
    "classification_consistency": (
        "Classification without contradiction",
        "0 where the exemption of Article 6(3) is claimed for a system that profiles people, else 1.",
    ),
    "annex_iv_statements": (
        "Annex IV statements present",
        "The share of the statements that Annex IV asks for here and that a named person has made.",
    ),
    "metric_rationales": (
        "Rationales of the gated metrics",
        "The share of metrics with a blocking threshold for which a named person says why they fit.",
    ),
    "log_retention": (
        "Log retention in days",
        "For how many days automatically generated logs are kept, as stated.",
    ),
    "model_digest": (
        "Model is the declared one",
        "1 where the digest of the model that was measured is the one the spec declares, else 0.",
    ),
    "group_performance_reported": (
        "Sensitive columns with performance by group",
        "The share of the declared sensitive columns for which the primary metric was measured by group.",
    ),
    "group_sizes": (
        "Groups under the minimum size",
        "How many groups of the sensitive columns have too few rows, or too few of a label, to count.",
    ),
    "representation": (
        "Representation against the reference population",
        "The smallest ratio of a group's shares of the test rows and of the population, either way round.",
    ),
}
"""id: (title, what it measures). ``representation`` is one record for each sensitive column."""

RETENTION_LETTER = "retention_days"


def observe(
    spec: Spec,
    policies: Sequence[Policy],
    evidence: Sequence[Evidence],
    subject: Mapping[str, Any],
    *,
    started: date | None = None,
    fixed: Collection[str] | None = None,
) -> tuple[Evidence, ...]:
    """Every record of one run, in the order of RECORDS.

    ``subject`` is the subject card of audit.json; ``started`` the day the run began, which no policy may be
    dated after (None: not compared); ``fixed`` the fingerprints of the policies that the run was made with,
    where others may be judged by (None: these very policies).
    """
    by_id = {piece.id: piece for piece in evidence}
    task = applying.task_of(spec, evidence)
    gated = [rule for policy in policies for rule in policy.rules if _reads_a_number(rule)]
    return (
        _policy_precedes_run(policies, started, fixed),
        _gated_intervals(gated, by_id, spec, task),
        _classification(spec),
        _annex_iv(spec),
        _rationales(gated, by_id, spec, task),
        _retention(spec),
        _model_digest(spec, subject),
        _by_group(spec, by_id, task),
        _sizes(spec, evidence),
        *_representation(spec, subject),
    )


def fingerprint(policy: Policy) -> str:
    """A digest of all that a policy asks, however its file is written; a key that a later version adds changes none."""
    return digest.of_value(policy.model_dump(mode="json", exclude_defaults=True))


def _record(
    name: str,
    estimate: Estimate | None,
    *,
    part: str = "",
    reason: str | None = None,
    absent: Sequence[str] = (),
    unit: str | None = None,
    limits: tuple[str, ...] = (),
    **params: Any,
) -> Evidence:
    title, measures = RECORDS[name]
    if absent:
        params["absent_statements"] = list(absent)
    return Evidence(
        id=f"{name}/{encoded(part)}" if part else name,
        method=name,
        kind="record",
        title=title,
        measures=measures,
        status="skipped" if estimate is None else "measured",
        reason=reason,
        params=params,
        limits=limits,
        observation=None if estimate is None else Scalar(estimate=estimate, unit=unit),
    )


def _share(count: int, of: int) -> Estimate:
    return exactly(count / of, of)


def _policy_precedes_run(
    policies: Sequence[Policy], started: date | None, fixed: Collection[str] | None
) -> Evidence:
    name = "policy_precedes_run"
    if not policies:
        return _record(name, None, reason="no policy was given")
    prints = {policy.id: fingerprint(policy) for policy in policies}
    later = [policy.id for policy in policies if started is not None and policy.as_of > started]
    unknown = [policy for policy, content in prints.items() if fixed is not None and content not in fixed]
    if unknown and not later:
        one = "was" if len(unknown) == 1 else "were"
        who = ", ".join(unknown)
        reason = f"{who} {one} not part of the run, so nothing shows that it came before; run again with it"
        return _record(name, None, reason=reason, policies=prints)
    return _record(name, _share(len(policies) - len(later), len(policies)), policies=prints, later=later)


def _reads_a_number(rule: Rule) -> bool:
    return rule.evidence is not None and not rule.present and rule.evidence.partition("/")[0] not in RECORDS


def _gated_intervals(
    gated: Sequence[Rule], by_id: Mapping[str, Evidence], spec: Spec, task: applying.Task
) -> Evidence:
    read: dict[tuple[str, str], bool] = {}
    for rule in gated:
        for pattern in (rule.evidence or "", *(more.evidence for more in rule.also)):
            for identifier in applying.evidence_read(rule, pattern, spec, task)[0]:
                piece = by_id.get(identifier)
                if piece is None or piece.status != "measured":
                    continue
                for which, estimate in _estimates(piece):
                    has = not sampled(estimate) or not (estimate.low is None and estimate.high is None)
                    read[identifier, which] = has
    if not read:
        return _record("gated_intervals", None, reason="no number that a threshold is held to was measured")
    without = sorted({identifier for (identifier, _), has in read.items() if not has})
    return _record("gated_intervals", _share(sum(read.values()), len(read)), without=without)


def _estimates(piece: Evidence) -> Iterator[tuple[str, Estimate]]:
    observation = piece.observation
    if isinstance(observation, Scalar):
        yield "estimate", observation.estimate
    elif isinstance(observation, Groups) and observation.summary is not None:
        for which in ("difference", "ratio"):
            estimate = getattr(observation.summary, which)
            if estimate is not None:
                yield which, estimate


def _classification(spec: Spec) -> Evidence:
    placed = spec.system.classification
    if placed is None:
        reason = "the spec does not say where the system stands in the Act (system.classification)"
        return _record("classification_consistency", None, reason=reason, absent=("classification",))
    contradicts = bool(placed.profiling) and _claimed(placed.art6_3)
    limits = ("It compares two statements; it does not classify the system.",)
    return _record("classification_consistency", exactly(0 if contradicts else 1, 1), limits=limits)


def _claimed(art6_3: Mapping[str, Any] | None) -> bool:
    """Whether the exemption is relied on; ``{claimed: false}`` says that it is not."""
    return bool(art6_3) and (art6_3 or {}).get("claimed", True) is not False


def annex_iv_keys(spec: Spec) -> tuple[str, ...]:
    """The statements Annex IV asks of this system, in its order.

    The declaration of conformity (point 8) is drawn up when the system is placed on the market, so it is
    asked at stage release; where harmonised standards are applied in full, no other solutions need describing
    (point 7).
    """
    keys = []
    for asked in ASKED:
        if not asked.points or (asked.key == "declaration_ref" and spec.system.stage != "release"):
            continue
        if asked.key == "standards_applied" and spec.lacks("standards_applied"):
            continue  # the solutions adopted answer the point in its place
        if asked.key == "solutions_adopted" and not spec.lacks("standards_applied"):
            continue
        keys.append(asked.key)
    return tuple(keys)


def _annex_iv(spec: Spec) -> Evidence:
    keys = annex_iv_keys(spec)
    absent = [missing for key in keys for missing in spec.lacks(key)]
    whole = [key for key in keys if not spec.lacks(key)]
    return _record("annex_iv_statements", _share(len(whole), len(keys)), absent=absent, asked=list(keys))


def _rationales(
    gated: Sequence[Rule], by_id: Mapping[str, Evidence], spec: Spec, task: applying.Task
) -> Evidence:
    metrics = []
    for rule in gated:
        if rule.level != "error" or (rule.at_least is None and rule.at_most is None):
            continue
        for identifier in applying.evidence_read(rule, rule.evidence or "", spec, task)[0]:
            piece = by_id.get(identifier)
            if piece is not None and piece.kind == "metric" and piece.status == "measured" and _named(piece):
                metrics.append(piece.method)
    needed = sorted(set(metrics))
    if not needed:
        return _record("metric_rationales", None, reason="no metric that blocks was measured")
    said = [one for one in spec.said("metric_rationale") if one.author]
    whole = {(one.letter or "").partition(".")[0] for one in said}
    # One text without letters is a rationale for them all.
    lacking = (
        [] if any(one.letter is None for one in said) else [name for name in needed if name not in whole]
    )
    absent = [f"metric_rationale.{name}" for name in lacking]
    return _record(
        "metric_rationales", _share(len(needed) - len(lacking), len(needed)), absent=absent, metrics=needed
    )


_CHECKS = frozenset(
    {
        "artefact_safety", "baseline_improvement", "invalid_labels", "performance_change", "protected_flip_rate",
        "target_leak", "train_test_overlap", "unusual_input_failures",
    }
)  # fmt: skip
"""Small checks that every audit makes: no provider chose them, so none has a rationale to give."""


def _named(piece: Evidence) -> bool:
    return piece.method not in _CHECKS


def _retention(spec: Spec) -> Evidence:
    key = f"logging.{RETENTION_LETTER}"
    found = next((one for one in spec.said("logging") if one.letter == RETENTION_LETTER and one.author), None)
    if found is None:
        return _record("log_retention", None, reason="nobody states how long logs are kept", absent=(key,))
    number = found.text.strip().removesuffix("days").removesuffix("d").strip().replace(",", "")
    if not number.isdigit():
        reason = f"the stated retention {found.text[:40]!r} is not a number of days"
        return _record("log_retention", None, reason=reason, absent=(key,))
    return _record("log_retention", exactly(int(number), 1), unit="days", author=found.author)


def _model_digest(spec: Spec, subject: Mapping[str, Any]) -> Evidence:
    measured = (subject.get("model") or {}).get("sha256")
    if not measured:
        return _record("model_digest", None, reason="there is no model behind these predictions")
    if (subject.get("model") or {}).get("format") == "http":
        reason = "the model stands behind a URL and may change: no digest of it can be taken"
        return _record("model_digest", None, reason=reason)
    if spec.model.sha256 is None:
        reason = f"the spec declares no digest of the model; the one measured is {measured}"
        return _record("model_digest", None, reason=reason, absent=("model.sha256",), measured=measured)
    same = spec.model.sha256 == measured
    return _record("model_digest", exactly(int(same), 1), declared=spec.model.sha256, measured=measured)


def _by_group(spec: Spec, by_id: Mapping[str, Evidence], task: applying.Task) -> Evidence:
    name = "group_performance_reported"
    columns = [column.column for column in spec.data.protected]
    if not columns:
        return _record(name, None, reason="the spec names no sensitive column")
    primary = applying.primary_of(spec, task)
    whole = by_id.get(primary)
    pieces = [by_id.get(f"{primary}/{encoded(column)}") for column in columns]
    if whole is not None and whole.status != "measured":
        pieces = [piece or whole for piece in pieces]
    # What could not be measured is passed on with its reason; only what nobody looked at counts.
    failing = next((piece for piece in pieces if piece is not None and piece.status != "measured"), None)
    if failing is not None:
        return _record(name, None, reason=f"{failing.id}: {failing.reason}")
    lacking = [column for column, piece in zip(columns, pieces, strict=True) if piece is None]
    return _record(name, _share(len(columns) - len(lacking), len(columns)), metric=primary, without=lacking)


def _sizes(spec: Spec, evidence: Sequence[Evidence]) -> Evidence:
    columns = {column.column for column in spec.data.protected}
    known: set[tuple[str, str]] = set()
    small: set[tuple[str, str]] = set()
    withheld: set[tuple[str, str]] = set()
    for piece in evidence:
        table = piece.observation
        if piece.kind != "metric" or not isinstance(table, Groups) or table.by[0] not in columns:
            continue
        if any(column in columns for column in table.by[1:]):
            continue  # crossings are shown; the minimum is asked of each column's own groups
        for group in table.groups:
            if group.missing:
                continue
            cell = (table.by[0], group.key[table.by[0]])
            known.add(cell)
            if group.status == "insufficient" or (
                group.status == "suppressed" and (group.reason or "").startswith("n <")
            ):
                small.add(cell)
            elif group.status == "suppressed":
                withheld.add(cell)
    if not known:
        reason = "the spec names no sensitive column" if not columns else "no metric was measured by group"
        return _record("group_sizes", None, reason=reason)
    limits = (f"Groups withheld and not counted: {len(withheld)}.",) if withheld else ()
    groups = sorted(f"{column} {label}" for column, label in small)
    return _record("group_sizes", exactly(len(small), len(known)), limits=limits, groups=groups)


def _representation(spec: Spec, subject: Mapping[str, Any]) -> Iterator[Evidence]:
    shares = _reference(spec)
    for column in (column.column for column in spec.data.protected):
        sizes = _counted(column, subject)
        reference = shares.get(column)
        if reference is None:
            reason = f"no reference population is stated for {column} (data_sets.reference_population.shares)"
            absent = ("data_sets.reference_population",)
            yield _record("representation", None, part=column, reason=reason, absent=absent)
        elif not sizes:
            yield _record("representation", None, part=column, reason=f"no group of {column} was counted")
        else:
            total = sum(count or 0 for count in sizes.values())
            ratios = {}
            hidden = [label for label in reference if label in sizes and sizes[label] is None]
            for label, share in reference.items():
                if label in hidden or share <= 0:
                    continue
                ratio = (sizes.get(label) or 0) / total / share
                ratios[label] = min(ratio, 1 / ratio) if ratio > 0 else 0.0
            limits = ("The shares of groups too small to show are not compared.",) if hidden else ()
            if not ratios:
                reason = f"none of the groups of {column} in the reference population can be shown"
                yield _record("representation", None, part=column, reason=reason)
                continue
            label = min(ratios, key=lambda name: (ratios[name], name))
            yield _record(
                "representation", exactly(ratios[label], total), part=column, limits=limits, group=label,
                reference=reference,
            )  # fmt: skip


def _reference(spec: Spec) -> dict[str, dict[str, float]]:
    """Shares of the reference population by column and group, from
    ``data_sets[].reference_population.shares``.
    """
    shares: dict[str, dict[str, float]] = {}
    for said in spec.said("data_sets"):
        before, found, after = (said.letter or "").partition("reference_population.shares.")
        if not found or not said.author or before.strip("0123456789."):
            continue
        for column in (column.column for column in spec.data.protected):
            label = after.removeprefix(f"{column}.")
            if label == after:
                continue
            number = _number(said.text)
            if number is not None:
                shares.setdefault(column, {})[label] = number
    return shares


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


def _counted(column: str, subject: Mapping[str, Any]) -> dict[str, int | None]:
    """Rows in each group of a column; None where the number may not be shown."""
    for grouping in subject.get("groupings") or ():
        if list(grouping["columns"]) == [column]:
            rows = zip(grouping["labels"], grouping["counts"], grouping["missing"], strict=True)
            return {label: count for label, count, missing in rows if not missing}
    return {}


__all__ = ["RECORDS", "annex_iv_keys", "fingerprint", "observe"]

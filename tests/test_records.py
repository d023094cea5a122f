"""What a run knows of itself."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
import yaml

from benchmarks import gate
from tests.test_judge import absent, gap, normal, policy, rule, said, scalar, spec, verdict
from xai_audit.evidence import Estimate, Evidence, Group, Groups, Scalar, exactly
from xai_audit.judge import judge
from xai_audit.policy import Policy
from xai_audit.records import RECORDS, annex_iv_keys, fingerprint, observe
from xai_audit.spec import Classification, Sensitive, Spec, Use
from xai_audit.statements import ASKED

STARTED = date(2026, 11, 22)
CARD = {
    "model": {"sha256": "a" * 64},
    "groupings": [
        {
            "columns": ["sex"],
            "labels": ["1", "2", "missing"],
            "counts": [120, 80, 5],
            "missing": [False, False, True],
        }
    ],
}


def records(
    made: Spec | None = None, policies: Any = (), evidence: Any = (), card: Any = CARD, **more: Any
) -> dict[str, Evidence]:
    found = observe(made or spec(), policies, evidence, card, **{"started": STARTED, **more})
    assert len({piece.id for piece in found}) == len(found)
    return {piece.id: piece for piece in found}


def value(piece: Evidence) -> float:
    assert isinstance(piece.observation, Scalar)
    assert piece.observation.estimate.exact
    return piece.observation.estimate.value


def statements(**given: Any) -> dict[str, Any]:
    return {
        "statements": {
            key: entries if isinstance(entries, tuple) else (entries,) for key, entries in given.items()
        }
    }


def test_every_record_is_there_with_a_title_or_a_reason() -> None:
    found = records()
    assert {piece.method for piece in found.values()} == set(RECORDS)
    for piece in found.values():
        assert piece.kind == "record"
        assert piece.title
        assert piece.measures.endswith(".")
        assert piece.status == "measured" or piece.reason


def test_a_policy_dated_after_the_run_did_not_precede_it() -> None:
    early, late = policy(as_of=date(2026, 11, 22)), policy(id="late", as_of=date(2026, 11, 23))
    assert value(records(policies=[early])["policy_precedes_run"]) == 1
    found = records(policies=[early, late])["policy_precedes_run"]
    assert value(found) == 0.5
    assert found.params["later"] == ["late"]


def test_a_policy_that_was_not_part_of_the_run_is_not_shown_to_precede_it() -> None:
    known, new = policy(rule()), policy(rule(at_least=0.9))
    fixed = [fingerprint(known)]
    assert value(records(policies=[known], fixed=fixed)["policy_precedes_run"]) == 1
    found = records(policies=[new], fixed=fixed)["policy_precedes_run"]
    assert found.status == "skipped"
    assert "run again with it" in (found.reason or "")


def test_a_fingerprint_is_of_what_is_asked_not_of_how_it_is_written() -> None:
    written = yaml.safe_load("{id: p, version: 1, as_of: 2026-01-01, confidence: 0.95, rules: []}")
    assert fingerprint(Policy.model_validate(written)) == fingerprint(
        Policy(id="p", version=1, as_of=date(2026, 1, 1), rules=())
    )
    assert fingerprint(policy(rule())) != fingerprint(policy(rule(level="warning")))


def test_gated_numbers_without_an_interval_are_named() -> None:
    bare = Estimate(value=0.9, low=None, high=None, n=10)
    pieces = [
        scalar("r_1", normal(0.9, 0.1)),
        scalar("r_2", bare),
        scalar("r_3", exactly(1, 3)),
        scalar("unread", bare),
    ]
    asked = policy(rule("R-1"), rule("R-2"), rule("R-3"), rule("R-4"))
    found = records(policies=[asked], evidence=pieces)["gated_intervals"]
    assert value(found) == pytest.approx(2 / 3)
    assert found.params["without"] == ["r_2"]
    assert records(policies=[asked])["gated_intervals"].status == "skipped"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"annex_iii_point": "5(a)", "profiling": True}, 1),
        ({"annex_iii_point": "5(a)", "profiling": True, "art6_3": {"condition": "a"}}, 0),
        ({"annex_iii_point": "5(a)", "profiling": True, "art6_3": {"claimed": False}}, 1),
        ({"annex_iii_point": "5(a)", "profiling": False, "art6_3": {"condition": "a"}}, 1),
    ],
)
def test_a_classification_may_not_contradict_itself(fields: dict[str, Any], expected: int) -> None:
    made = spec(system={"classification": Classification(**fields)})
    assert value(records(made)["classification_consistency"]) == expected


def test_what_is_not_stated_is_open_and_named() -> None:
    shipped = gate.shipped()
    found = verdict(shipped.rules, tuple(records(policies=[shipped]).values()))
    by_rule = {finding.rule: finding for finding in found.findings}
    for name, missing in (
        ("GOV-03", "classification"),
        ("GOV-09", "logging.retention_days"),
        ("GOV-10", "model.sha256"),
        ("DAT-05", "data_sets.reference_population"),
        ("GOV-04", "intended_purpose"),
    ):
        assert by_rule[name].kind == "open", name
        assert missing in by_rule[name].missing, name


def test_annex_iv_statements_are_counted_where_they_apply() -> None:
    asked = annex_iv_keys(spec())
    assert "declaration_ref" not in asked
    assert "declaration_ref" in annex_iv_keys(spec(system={"stage": "release"}))
    assert ("solutions_adopted" in asked, "standards_applied" in asked) == (True, False)
    standards = spec(system=statements(standards_applied=said("standards_applied")))
    assert (
        "solutions_adopted" in annex_iv_keys(standards),
        "standards_applied" in annex_iv_keys(standards),
    ) == (False, True)
    assert {entry.key for entry in ASKED if not entry.points}.isdisjoint(asked)
    one = records(spec(system=statements(hardware=said("hardware"))))["annex_iv_statements"]
    assert value(one) == pytest.approx(1 / len(asked))
    assert "hardware" not in one.params["absent_statements"]
    assert {"oversight.a", "oversight.e"} <= set(one.params["absent_statements"])
    whole = records(gate.attested(0.7))["annex_iv_statements"]
    assert value(whole) == 1
    assert "absent_statements" not in whole.params


def test_a_rationale_is_asked_of_every_metric_that_blocks() -> None:
    asked = policy(
        rule(evidence="primary"),
        rule("R-2", evidence="recall", level="warning"),
        rule("R-3", evidence="precision"),
    )
    pieces = [scalar(name, normal(0.9, 0.01)) for name in ("accuracy", "recall", "precision")]

    def found(**given: Any) -> Evidence:
        return records(spec(system=statements(**given)), [asked], pieces)["metric_rationales"]

    assert found().params["absent_statements"] == ["metric_rationale.accuracy", "metric_rationale.precision"]
    some = found(metric_rationale=(said("metric_rationale", "accuracy"),))
    assert value(some) == 0.5
    assert value(found(metric_rationale=said("metric_rationale"))) == 1
    nobody = said("metric_rationale", "accuracy", author=None)
    assert value(found(metric_rationale=(nobody,))) == 0


def test_the_checks_every_audit_makes_need_no_rationale() -> None:
    asked = policy(rule(evidence="baseline_improvement", at_least=0))
    piece = scalar("baseline_improvement", normal(0.1, 0.01))
    assert records(policies=[asked], evidence=[piece])["metric_rationales"].status == "skipped"


@pytest.mark.parametrize(
    ("text", "days"), [("200", 200), ("365 days", 365), ("1,095", 1095), ("a year", None), ("-3", None)]
)
def test_log_retention_is_a_number_of_days(text: str, days: int | None) -> None:
    entry = said("logging", "retention_days").model_copy(update={"text": text})
    found = records(spec(system=statements(logging=(entry,))))["log_retention"]
    assert (value(found) if days else found.status) == (days or "skipped")


def test_the_model_is_the_one_declared() -> None:
    declared = spec(model={"sha256": "a" * 64})
    assert value(records(declared)["model_digest"]) == 1
    assert value(records(declared, card={"model": {"sha256": "b" * 64}})["model_digest"]) == 0
    assert records(declared, card={"model": None})["model_digest"].status == "skipped"
    undeclared = records()["model_digest"]
    assert undeclared.params["absent_statements"] == ["model.sha256"]
    assert "a" * 64 in (undeclared.reason or "")


def test_performance_is_reported_for_every_declared_column() -> None:
    both = [
        gap("accuracy/sex", difference=normal(0.1, 0.01)),
        gap("accuracy/age", difference=normal(0.1, 0.01)),
    ]
    name = "group_performance_reported"
    assert value(records(evidence=both)[name]) == 1
    assert value(records(evidence=both[:1])[name]) == 0.5
    skipped = records(evidence=[both[0], absent("accuracy/age", reason="the data have no target")])[name]
    assert skipped.status == "skipped"
    assert "the data have no target" in (skipped.reason or "")
    whole = records(evidence=[absent("accuracy", reason="it needs labels")])[name]
    assert "it needs labels" in (whole.reason or "")
    named = spec(metrics=(Use(method="recall", name="recall"),), primary="recall")
    assert value(records(named, evidence=both)[name]) == 0
    assert records(spec(data={"sensitive": ()}))[name].status == "skipped"


def test_small_groups_are_counted_once_and_the_missing_group_is_not() -> None:
    def table(method: str, by: tuple[str, ...], *groups: Group) -> Evidence:
        name = f"{method}/{'+'.join(by)}"
        return scalar(name, exactly(0, 1), observation=Groups(by=by, groups=groups))

    large = Group(key={"sex": "1"}, n=90, status="measured", estimate=exactly(1, 90))
    small = Group(key={"sex": "2"}, n=12, status="insufficient", reason="n < 30", estimate=exactly(1, 12))
    hidden = Group(key={"sex": "3"}, n=None, status="suppressed", reason="n < 10")
    withheld = Group(key={"sex": "4"}, n=None, status="suppressed", reason="withheld")
    unknown = Group(key={"sex": "missing"}, n=8, status="insufficient", reason="n < 30", missing=True)
    crossing = Group(key={"sex": "1", "age": "<30"}, n=8, status="insufficient", reason="n < 30")
    pieces = [
        table("accuracy", ("sex",), large, small, hidden, withheld, unknown),
        table("recall", ("sex",), large, small, hidden, withheld, unknown),
        table("accuracy", ("sex", "age"), crossing),
    ]
    found = records(evidence=pieces)["group_sizes"]
    assert value(found) == 2
    assert found.params["groups"] == ["sex 2", "sex 3"]
    assert found.limits == ("Groups withheld and not counted: 1.",)
    assert records()["group_sizes"].status == "skipped"


def reference(**shares: float) -> Spec:
    entries = tuple(
        said("data_sets", f"1.reference_population.shares.sex.{label[1:]}").model_copy(
            update={"text": str(share)}
        )
        for label, share in shares.items()
    )
    return spec(system=statements(data_sets=entries), data={"sensitive": (Sensitive(column="sex"),)})


def test_representation_is_the_worst_ratio_either_way_round() -> None:
    even = records(reference(_1=0.6, _2=0.4))["representation/sex"]
    assert value(even) == pytest.approx(1)
    skewed = records(reference(_1=0.5, _2=0.5))["representation/sex"]
    assert value(skewed) == pytest.approx(0.8)  # 40 % of the rows where the population has 50 %
    assert skewed.params["group"] == "2"
    over = records(reference(_1=0.4, _2=0.6))["representation/sex"]
    assert value(over) == pytest.approx(0.4 / 0.6)
    unseen = records(reference(_1=0.5, _2=0.4, _3=0.1))["representation/sex"]
    assert (value(unseen), unseen.params["group"]) == (0, "3")


def test_a_group_too_small_to_show_is_not_given_away() -> None:
    card = {
        "groupings": [
            {"columns": ["sex"], "labels": ["1", "2"], "counts": [120, None], "missing": [False, False]}
        ]
    }
    found = records(reference(_1=0.6, _2=0.4), card=card)["representation/sex"]
    assert found.params["group"] == "1"
    assert any("too small to show" in limit for limit in found.limits)


def test_the_same_run_gives_the_same_records() -> None:
    made, shipped = gate.attested(0.7), gate.shipped()
    pieces = gate.met(shipped, made)
    first = observe(made, [shipped], pieces, CARD, started=STARTED)
    assert first == observe(made, [shipped], tuple(reversed(pieces)), CARD, started=date(2026, 11, 30))


def test_a_fully_attested_audit_passes_on_its_own_records() -> None:
    """Every record is computed, and nothing else is taken as met but what methods measure."""
    import numpy as np

    made, shipped = gate.attested(gate.FAIR.declared), gate.shipped()
    counts = gate.draw(gate.FAIR, 20_000, np.random.default_rng(0))
    measured = [piece for piece in gate.met(shipped, made) if piece.method not in RECORDS]
    measured += [maker(counts) for maker in gate.MAKERS.values()]
    measured.append(gap("accuracy/group", difference=normal(0.01, 0.005)))
    card = {"model": {"sha256": "0" * 64}}
    recorded = observe(made, [shipped], measured, card, started=STARTED)
    found = judge([shipped], [*measured, *recorded], made, today=STARTED)
    assert found.outcome == "pass", found.reasons
    assert (found.counts.failed, found.counts.review, found.counts.warnings_failed) == (0, 0, 0)
    assert [finding.rule for finding in found.findings if finding.kind == "open"] == [
        "DAT-05"
    ]  # no reference population

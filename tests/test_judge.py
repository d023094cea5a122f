"""The laws of the gate."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import gate
from xai_audit.deciding import quantile
from xai_audit.evidence import LEVELS, Estimate, Evidence, Group, Groups, Ranking, Scalar, Summary, exactly
from xai_audit.judge import exit_code, judge, undecidable, waived
from xai_audit.policy import Policy, Rule
from xai_audit.spec import (
    Classification,
    Data,
    DeclaredLevel,
    Model,
    Said,
    Sensitive,
    Spec,
    System,
    Table,
    Use,
)
from xai_audit.verdict import Finding, Verdict, Waiver

TODAY = date(2026, 11, 22)


def normal(value: float, error: float, n: int = 442) -> Estimate:
    stored = {}
    for level in LEVELS:
        half = quantile((1 + float(level)) / 2) * error
        stored[level] = (value - half, value + half)
    return Estimate(value=value, low=stored["0.95"][0], high=stored["0.95"][1], n=n, limits=stored)


def with_p(p: float, threshold: float = 0.8) -> Estimate:
    """An estimate whose one-sided p against at_least ``threshold`` is ``p``."""
    return normal(threshold - 0.01 * quantile(1 - p), 0.01)


def scalar(name: str, estimate: Estimate, **more: Any) -> Evidence:
    fields = {
        "kind": "metric",
        "title": "",
        "status": "measured",
        "observation": Scalar(estimate=estimate),
        **more,
    }
    return Evidence(id=name, method=fields.pop("method", name.partition("/")[0]), **fields)


def gap(name: str, **summary: Any) -> Evidence:
    observation = Groups(by=(name.partition("/")[2],), groups=(), summary=Summary(**summary))
    return scalar(name, exactly(0, 1), observation=observation)


def absent(name: str, status: str = "skipped", reason: str = "it needs labels", **more: Any) -> Evidence:
    return scalar(name, exactly(0, 1), status=status, reason=reason, observation=None, **more)


def rule(name: str = "R-1", **fields: Any) -> Rule:
    if not {"at_least", "at_most", "equals", "present", "attested"} & set(fields):
        fields["at_least"] = 0.8
    if "attested" not in fields:
        fields.setdefault("evidence", name.lower().replace("-", "_"))
    return Rule(
        id=name,
        **{
            "title": f"Title of {name}",
            "clause": "Article 15(1)",
            "basis": "convention",
            "level": "error",
            "examples": (),
            **fields,
        },
    )


def policy(*rules: Rule, **fields: Any) -> Policy:
    return Policy(**{"id": "test", "version": 1, "as_of": date(2026, 1, 1), "rules": rules, **fields})


def spec(**fields: Any) -> Spec:
    system = fields.pop("system", {})
    data = fields.pop("data", {})
    model = fields.pop("model", {})
    return Spec(
        system=System(**{"name": "S", **system}),
        model=Model(**{"path": "m.skops", "format": "skops", "task": "classification", **model}),
        data=Data(
            **{
                "test": Table(path="t.csv"),
                "sensitive": (Sensitive(column="sex"), Sensitive(column="age")),
                **data,
            }
        ),
        **fields,
    )


def verdict(rules: Any, evidence: Any, made: Spec | None = None, **fields: Any) -> Verdict:
    rules = (rules,) if isinstance(rules, Rule) else rules
    evidence = (evidence,) if isinstance(evidence, Evidence) else evidence
    return judge([policy(*rules, **fields)], evidence, made or spec(), today=TODAY)


def only(rules: Any, evidence: Any, made: Spec | None = None, **fields: Any) -> Finding:
    return verdict(rules, evidence, made, **fields).findings[0]


GOOD, BAD, UNSURE = normal(0.9, 0.01), normal(0.6, 0.01), normal(0.82, 0.05)


# ------------------------------------------------------------------------------------------------ law 1: nothing


def test_exit_codes_are_the_contracts() -> None:
    assert [exit_code(outcome) for outcome in ("pass", "fail", "review", "error")] == [0, 1, 3, 4]


def test_no_policy_and_no_rule_are_for_review() -> None:
    assert judge([], [], spec(), today=TODAY).outcome == "review"
    assert judge([policy()], [], spec(), today=TODAY).outcome == "review"


def test_nothing_but_not_applicable_is_for_review() -> None:
    found = verdict(rule(when={"annex_iii": ("5",)}), scalar("r_1", GOOD))
    assert (found.findings[0].kind, found.outcome) == ("notApplicable", "review")
    assert "no blocking rule applies" in found.reasons


def test_nothing_that_blocks_is_for_review() -> None:
    found = verdict(rule(level="warning"), scalar("r_1", GOOD))
    assert (found.findings[0].kind, found.outcome) == ("pass", "review")


def test_open_rules_that_only_warn_let_another_pass_but_do_not_pass_alone() -> None:
    undecided = rule("R-1", on_open="warn")
    assert verdict(undecided, scalar("r_1", UNSURE)).outcome == "review"
    both = verdict((undecided, rule("R-2")), (scalar("r_1", UNSURE), scalar("r_2", GOOD)))
    assert both.outcome == "pass"
    assert any("could not be decided" in reason for reason in both.reasons)


def test_an_open_rule_is_for_review_unless_it_says_otherwise() -> None:
    both = (scalar("r_1", UNSURE), scalar("r_2", GOOD))
    assert verdict((rule("R-1"), rule("R-2")), both).outcome == "review"
    assert verdict((rule("R-1", on_open="review"), rule("R-2")), both).outcome == "review"


# ---------------------------------------------------------------------------------------- law 2: what was not seen


@pytest.mark.parametrize("status", ["skipped", "failed"])
@pytest.mark.parametrize("on_open", ["warn", "review"])
def test_evidence_that_is_not_there_is_for_review_and_says_why(status: str, on_open: str) -> None:
    rules = (rule("R-1", on_open=on_open), rule("R-2"))
    found = verdict(rules, (absent("r_1", status, "ran out of memory"), scalar("r_2", GOOD)))
    assert found.findings[0].kind == "review"
    assert "ran out of memory" in found.findings[0].message
    assert found.findings[0].parts[0].reason == "ran out of memory"
    assert found.outcome == "review"


def test_evidence_that_nobody_made_is_for_review() -> None:
    found = verdict((rule("R-1", on_open="warn"), rule("R-2")), scalar("r_2", GOOD))
    assert (found.findings[0].kind, found.outcome) == ("review", "review")
    assert "r_1" in found.findings[0].message


def test_the_reason_of_a_method_that_was_skipped_as_a_whole_is_repeated() -> None:
    """A need that is not met is one record of the method, not one for each column or part."""
    skipped = absent("demographic_parity_ratio", reason="it needs sensitive columns")
    found = only(rule(evidence="demographic_parity_ratio/*"), skipped)
    assert found.kind == "review"
    assert "it needs sensitive columns" in found.message
    assert (
        only(rule(evidence="shap/coverage"), absent("shap", "failed", "out of memory")).parts[0].reason
        == "out of memory"
    )
    # What was measured as a whole says nothing of a part that is not there.
    assert "did not measure" in only(rule(evidence="recall/age"), scalar("recall", GOOD)).message


def test_groups_without_a_sensitive_column_are_for_review() -> None:
    found = only(rule(evidence="demographic_parity_ratio/*"), (), spec(data={"sensitive": ()}))
    assert found.kind == "review"
    assert "sensitive column" in found.message


def test_one_column_that_was_not_measured_is_not_outvoted() -> None:
    pieces = (gap("demographic_parity_ratio/sex", ratio=GOOD), absent("demographic_parity_ratio/age"))
    assert only(rule(evidence="demographic_parity_ratio/*"), pieces).kind == "review"
    pieces = (gap("demographic_parity_ratio/sex", ratio=BAD), absent("demographic_parity_ratio/age"))
    assert only(rule(evidence="demographic_parity_ratio/*"), pieces).kind == "fail"


def test_a_shape_without_one_number_is_never_a_pass() -> None:
    found = only(rule(), scalar("r_1", exactly(0, 1), observation=Ranking(items=())))
    assert found.kind == "open"
    assert "ranking" in found.message


def test_present_is_met_by_measured_evidence_alone() -> None:
    asked = rule(present=True)
    assert only(asked, scalar("r_1", GOOD)).kind == "pass"
    assert only(asked, absent("r_1")).kind == "review"
    with pytest.raises(ValueError, match="present"):
        rule(present=False)


def test_too_few_groups_are_open_with_the_reason() -> None:
    groups = (
        Group(key={"sex": "1"}, n=90, status="measured", estimate=exactly(0.5, 90)),
        Group(key={"sex": "2"}, n=12, status="insufficient", reason="n < 30", estimate=exactly(0.5, 12)),
        Group(key={"sex": "missing"}, n=40, status="measured", estimate=exactly(0.5, 40), missing=True),
    )
    piece = scalar(
        "demographic_parity_ratio/sex",
        exactly(0, 1),
        observation=Groups(by=("sex",), groups=groups, summary=Summary(insufficient=1)),
    )
    made = spec(data={"sensitive": (Sensitive(column="sex"),)})
    found = only(rule(evidence="demographic_parity_ratio/*"), piece, made)
    assert found.kind == "open"
    assert found.message == "selection ratio by sex: only one group has 30 rows"
    assert found.settle is None


def test_a_lower_minimum_than_the_policys_is_for_review() -> None:
    piece = gap("demographic_parity_ratio/sex", ratio=GOOD).model_copy(
        update={"params": {"min_n": 30, "min_label": 10}}
    )
    made = spec(data={"sensitive": (Sensitive(column="sex"),)})
    asked = rule(evidence="demographic_parity_ratio/*")
    assert only(asked, piece, made).kind == "pass"
    assert only(asked, piece, made, min_n=20).kind == "pass"
    found = only(asked, piece, made, min_n=50)
    assert found.kind == "review"
    assert "measured with a minimum of 30 rows; this policy asks for 50; run again" in found.message
    assert only(asked, piece, made, min_label=20).kind == "review"


def test_a_named_method_that_failed_is_for_review_whether_or_not_a_rule_reads_it() -> None:
    named = spec(explainers=(Use(method="lime", name="lime"),))
    passing = (rule("R-2"),)
    for piece, outcome in (
        (absent("lime", "failed"), "review"),
        (absent("lime"), "pass"),
        (absent("shap", "failed"), "pass"),
    ):
        assert verdict(passing, (piece, scalar("r_2", GOOD)), named).outcome == outcome
    renamed = spec(explainers=(Use(method="shap", name="margins"),))
    part = absent("margins/local", "failed", method="shap")
    assert verdict(passing, (part, scalar("r_2", GOOD)), renamed).outcome == "review"


def test_a_fail_stands_beside_a_failed_method() -> None:
    named = spec(explainers=(Use(method="lime", name="lime"),))
    assert verdict(rule(), (absent("lime", "failed"), scalar("r_1", BAD)), named).outcome == "fail"


# ----------------------------------------------------------------------------------------- law 3: pass, fail, open


def test_pass_is_the_bound_of_the_policys_confidence() -> None:
    edge = normal(0.8 + 1.645 * 0.02, 0.02)  # just over the 90 % two-sided limit
    assert only(rule(), scalar("r_1", edge)).kind == "pass"
    assert only(rule(), scalar("r_1", edge), confidence=0.975).kind == "open"


def test_a_pass_whose_printed_interval_crosses_the_threshold_says_how_it_passed() -> None:
    found = only(rule(), scalar("r_1", normal(0.84, 0.022)))
    assert found.kind == "pass"
    assert "with 95 % confidence it is at least 0.804" in found.message


def test_every_column_must_pass() -> None:
    asked = rule(evidence="demographic_parity_ratio/*")
    sex, age = "demographic_parity_ratio/sex", "demographic_parity_ratio/age"
    assert only(asked, (gap(sex, ratio=GOOD), gap(age, ratio=GOOD))).kind == "pass"
    found = only(asked, (gap(sex, ratio=GOOD), gap(age, ratio=UNSURE)))
    assert (found.kind, [part.kind for part in found.parts]) == ("open", ["pass", "open"])


def test_columns_share_the_error() -> None:
    asked = rule(evidence="demographic_parity_ratio/*")
    sex, age = "demographic_parity_ratio/sex", "demographic_parity_ratio/age"
    fails = only(asked, (gap(sex, ratio=GOOD), gap(age, ratio=with_p(0.024))))
    assert (fails.kind, [part.kind for part in fails.parts]) == ("fail", ["pass", "fail"])
    assert fails.adjusted_p == pytest.approx(0.048)
    assert only(asked, (gap(sex, ratio=GOOD), gap(age, ratio=with_p(0.026)))).kind == "open"


def test_fail_is_p_after_holm_over_the_blocking_statistical_rules() -> None:
    rules = tuple(rule(f"R-{i}") for i in range(1, 6))
    ps = (0.009, 0.012, 0.016, 0.03, 0.5)  # 5p, 4p, 3p pass Holm at 0.05; 2 x 0.03 does not
    found = verdict(rules, [scalar(f"r_{i}", with_p(p)) for i, p in enumerate(ps, 1)])
    assert [finding.kind for finding in found.findings] == ["fail", "fail", "fail", "open", "open"]
    assert [finding.adjusted_p for finding in found.findings] == pytest.approx(
        [0.045, 0.048, 0.048, 0.06, 0.5]
    )


def test_what_cannot_fail_by_chance_takes_no_share_of_the_error() -> None:
    """Exact, attested, absent, warning and not-applicable rules do not count in m."""
    alone = with_p(0.04)
    others = (
        rule("R-2", equals=1),
        rule("R-3", attested="data_gaps"),
        rule("R-4"),
        rule("R-5", level="warning"),
        rule("R-6", when={"annex_iii": ("1",)}),
        rule("R-7", release=True),
    )
    pieces = (
        scalar("r_1", alone), scalar("r_2", exactly(1, 1)), scalar("r_5", with_p(0.04)), scalar("r_6", BAD),
        scalar("r_7", with_p(0.2)),
    )  # fmt: skip
    found = verdict((rule("R-1"), *others), pieces)
    assert found.findings[0].kind == "fail"
    assert found.findings[0].adjusted_p == pytest.approx(0.04)
    two = verdict((rule("R-1"), rule("R-2")), (scalar("r_1", alone), scalar("r_2", GOOD)))
    assert two.findings[0].kind == "open"


def test_a_waived_rule_keeps_its_share_of_the_error() -> None:
    made = spec(system={"waivers": (Waiver(rule="R-2", reason="r", approver="a", expires=TODAY),)})
    found = verdict((rule("R-1"), rule("R-2")), (scalar("r_1", with_p(0.04)), scalar("r_2", GOOD)), made)
    assert found.findings[0].kind == "open"


def test_what_does_not_block_is_labelled_by_its_own_p() -> None:
    rules = tuple(rule(f"R-{i}", level="warning") for i in range(1, 6))
    found = verdict(rules, [scalar(f"r_{i}", with_p(0.04)) for i in range(1, 6)])
    assert {finding.kind for finding in found.findings} == {"fail"}
    assert found.outcome == "review"
    assert (found.counts.failed, found.counts.warnings_failed) == (0, 5)


def test_each_policy_promises_its_own_family_error() -> None:
    one = policy(rule("R-1"), id="one")
    two = policy(*(rule(f"R-{i}") for i in range(1, 5)), id="two")
    pieces = [scalar(f"r_{i}", with_p(0.04)) for i in range(1, 5)]
    found = judge([one, two], pieces, spec(), today=TODAY)
    assert [finding.kind for finding in found.findings] == ["fail", "open", "open", "open", "open"]
    assert [finding.policy for finding in found.findings] == ["one", *["two"] * 4]
    assert (found.counts.rules, found.counts.failed, found.counts.open) == (5, 1, 4)


def test_also_asks_for_each_and_shares_the_error() -> None:
    asked = rule("R-1", also=({"evidence": "other", "at_least": 0.8},))
    assert only(asked, (scalar("r_1", GOOD), scalar("other", GOOD))).kind == "pass"
    assert only(asked, (scalar("r_1", GOOD), scalar("other", BAD))).kind == "fail"
    assert only(asked, (scalar("r_1", GOOD), absent("other"))).kind == "review"
    assert only(asked, (scalar("r_1", GOOD), scalar("other", with_p(0.03)))).kind == "open"
    with pytest.raises(ValueError, match="exactly one"):
        rule(also=({"evidence": "other"},))


def test_open_tells_the_rows_in_words() -> None:
    """The sentence of look.md, from the numbers of the contract's example."""
    import math

    stored = {}
    for level in LEVELS:
        half = quantile((1 + float(level)) / 2) * 0.109
        stored[level] = (0.72 * math.exp(-half), 0.72 * math.exp(half))
    ratio = Estimate(value=0.72, low=stored["0.95"][0], high=stored["0.95"][1], n=221, limits=stored)
    made = spec(data={"sensitive": (Sensitive(column="sex"),)})
    found = only(
        rule(evidence="demographic_parity_ratio/*"), gap("demographic_parity_ratio/sex", ratio=ratio), made
    )
    assert found.kind == "open"
    assert found.message == (
        "selection ratio by sex 0.72 [0.58, 0.89], convention 0.80: "
        "about 1,300 more people would probably settle it, if the ratio stays"
    )
    assert found.settle is not None
    z = math.log(0.8 / 0.72) / 0.109
    assert found.parts[0].more_rows == math.ceil(221 * (((1.6448536 + 0.8416212) / z) ** 2 - 1))


def test_rows_are_people_of_the_whole_test_set() -> None:
    """A rate among positives rests on fewer rows than the test set has; more people are asked for, not positives."""
    pieces = (scalar("r_1", normal(0.82, 0.05, n=120)), scalar("accuracy", GOOD))
    few = only(rule(), pieces[:1]).parts[0].more_rows
    whole = only(rule(), pieces).parts[0].more_rows
    assert few is not None
    assert whole is not None
    assert whole / few == pytest.approx(442 / 120, rel=0.01)


def test_on_the_threshold_no_rows_would_settle_it() -> None:
    found = only(rule(), scalar("r_1", normal(0.8, 0.05)))
    assert found.parts[0].hopeless
    assert found.parts[0].more_rows is None
    assert "too close to the threshold" in found.message


def test_a_number_on_the_threshold_meets_it_unless_more_is_asked() -> None:
    assert only(rule(), scalar("r_1", exactly(0.8, 10))).kind == "pass"
    assert only(rule(strict=True), scalar("r_1", exactly(0.8, 10))).kind == "fail"


def test_auto_reads_the_number_the_threshold_is_about() -> None:
    made = spec(data={"sensitive": (Sensitive(column="sex"),)})
    both = gap("recall/sex", ratio=normal(0.9, 0.01), difference=normal(0.09, 0.01))
    assert only(rule(evidence="recall/*", at_least=0.8), both, made).parts[0].quantity == "smallest ratio"
    found = only(rule(evidence="recall/*", at_most=0.05), both, made)
    assert (found.parts[0].quantity, found.kind) == ("largest difference", "fail")
    assert "largest difference in recall by sex" in found.message
    assert only(rule(evidence="recall/*", at_least=0.05, reads="difference"), both, made).kind == "pass"


# ---------------------------------------------------------------------------- the spec: primary, declared, as, when


def test_primary_stands_for_the_specs_metric() -> None:
    made = spec(
        metrics=(Use(method="accuracy", name="accuracy"), Use(method="recall", name="recall")),
        primary="recall",
    )
    assert only(rule(evidence="primary"), scalar("recall", GOOD), made).evidence == ("recall",)
    assert only(rule(evidence="primary/*", at_most=0.1), (), made).evidence == ("recall/sex", "recall/age")
    assert (
        only(rule(evidence="primary"), scalar("accuracy", GOOD)).kind == "pass"
    )  # what is measured by default
    regression = spec(model={"task": "regression"})
    assert (
        only(
            rule(evidence="primary", at_most=50), scalar("mean_absolute_error", normal(40, 1)), regression
        ).kind
        == "pass"
    )


def test_another_name_takes_the_methods_place() -> None:
    made = spec(explainers=(Use(method="shap", name="margins"),))
    assert (
        only(
            rule(evidence="shap/coverage"), scalar("margins/coverage", exactly(1, 5), method="shap"), made
        ).kind
        == "pass"
    )
    assert only(rule(evidence="shap/coverage"), scalar("shap/coverage", exactly(1, 5)), made).kind == "review"


def test_declared_levels_are_the_providers_with_their_side() -> None:
    asked = rule(evidence="primary", at_least="declared", basis="provider")
    made = spec(
        primary="recall",
        metrics=(Use(method="recall", name="recall"),),
        system={"declared_levels": (DeclaredLevel(metric="recall", at_least=0.75),)},
    )
    found = only(asked, scalar("recall", normal(0.61, 0.043)), made)
    assert (found.kind, found.threshold) == ("fail", "at least 0.75")
    assert found.message == "recall 0.61 [0.53, 0.69] is below the declared 0.75"
    nothing = only(asked, scalar("recall", GOOD), spec(primary="recall"))
    assert (nothing.kind, nothing.missing) == ("open", ("declared_levels",))
    lower = spec(
        primary="log_loss", system={"declared_levels": (DeclaredLevel(metric="log_loss", at_most=0.5),)}
    )
    assert only(asked, scalar("log_loss", normal(0.4, 0.01)), lower).kind == "pass"
    assert only(asked, scalar("log_loss", normal(0.6, 0.01)), lower).kind == "fail"


def test_more_than_two_classes_are_each_held_to_the_declared_level() -> None:
    groups = tuple(
        Group(key={"class": name}, n=100, status="measured", estimate=estimate)
        for name, estimate in (("a", GOOD), ("b", UNSURE))
    )
    made = spec(primary="recall", system={"declared_levels": (DeclaredLevel(metric="recall", at_least=0.8),)})
    piece = scalar("recall", exactly(0, 1), observation=Groups(by=("class",), groups=groups))
    found = only(rule(evidence="primary", at_least="declared"), piece, made)
    assert (found.kind, [part.kind for part in found.parts]) == ("open", ["pass", "open"])


@pytest.mark.parametrize(
    ("point", "applies"), [("5(b)", True), ("5", True), ("51", False), ("1(a)", False), (None, False)]
)
def test_annex_iii_points_are_matched_by_prefix(point: str | None, applies: bool) -> None:
    made = spec(system={"classification": Classification(annex_iii_point=point)})
    found = only(rule(when={"annex_iii": ("3", "5")}), scalar("r_1", GOOD), made)
    assert (found.kind == "pass") == applies
    assert applies or "Annex III" in found.message


def test_rules_for_the_other_task_do_not_apply_and_say_so() -> None:
    found = only(rule(when={"task": "classification"}), (), spec(model={"task": "regression"}))
    assert found.kind == "notApplicable"
    assert "regression" in found.message
    unsaid = spec(model={"task": None})
    assert only(rule(when={"task": "classification"}), scalar("r2", GOOD), unsaid).kind == "notApplicable"


def test_predictions_alone_make_rules_about_the_model_not_applicable() -> None:
    made = spec(model={"path": None, "format": "predictions", "score": "s"})
    found = only(rule(needs_model=True), (), made)
    assert found.kind == "notApplicable"
    assert "predictions" in found.message


def test_conditions_on_the_spec() -> None:
    special = spec(data={"sensitive": (Sensitive(column="ethnicity", special_category=True),)})
    asked = rule(attested="art4a", when={"special_category": True})
    assert only(asked, ()).kind == "notApplicable"
    assert only(asked, (), special).kind == "open"
    inputs = spec(
        data={"features": ("sex", "x"), "sensitive": (Sensitive(column="sex"), Sensitive(column="age"))}
    )
    flips = rule(evidence="protected_flip_rate/*", at_most=0.01, when={"sensitive_input": True})
    assert only(flips, ()).kind == "notApplicable"
    assert (
        only(flips, scalar("protected_flip_rate/sex", exactly(0.2, 9)), inputs).parts[0].evidence
        == "protected_flip_rate/sex"
    )
    learns = spec(system={"continual_learning": True})
    assert (
        only(rule(attested="feedback_loops", when={"continual_learning": True}), ()).kind == "notApplicable"
    )
    assert only(rule(attested="feedback_loops", when={"continual_learning": True}), (), learns).kind == "open"
    asks = rule(when={"method": "shap"})
    assert only(asks, ()).kind == "notApplicable"
    assert only(asks, (), spec(explainers=(Use(method="shap", name="s"),))).kind == "review"


# -------------------------------------------------------------------------------------- statements, stage, waivers


def said(key: str, letter: str | None = None, author: str | None = "A. Person") -> Said:
    return Said(key=key, letter=letter, text="Something is said.", author=author)


def test_an_absent_statement_is_open_not_a_fail() -> None:
    asked = (rule("R-1", attested="data_gaps"), rule("R-2"))
    found = verdict(asked, scalar("r_2", GOOD))
    assert (found.findings[0].kind, found.findings[0].missing, found.outcome) == (
        "open",
        ("data_gaps",),
        "review",
    )
    assert "the data steward can say" in found.findings[0].message
    made = spec(system={"statements": {"data_gaps": (said("data_gaps"),)}})
    found = verdict(asked, scalar("r_2", GOOD), made)
    assert (found.findings[0].kind, found.outcome, found.counts.statements_missing) == ("pass", "pass", 0)
    assert "A. Person" in found.findings[0].message


def test_a_statement_by_nobody_satisfies_no_rule() -> None:
    made = spec(system={"statements": {"data_gaps": (said("data_gaps", author=None),)}})
    assert only(rule(attested="data_gaps"), (), made).kind == "open"


def test_every_letter_must_be_said() -> None:
    letters = tuple(said("oversight", letter) for letter in "abce")
    found = only(rule(attested="oversight"), (), spec(system={"statements": {"oversight": letters}}))
    assert (found.kind, found.missing) == ("open", ("oversight.d",))
    whole = spec(system={"statements": {"oversight": (*letters, said("oversight", "d"))}})
    assert only(rule(attested="oversight"), (), whole).kind == "pass"


def test_rules_of_a_release_warn_during_development() -> None:
    asked = (rule("R-1", attested="data_gaps", release=True), rule("R-2"))
    developing = verdict(asked, scalar("r_2", GOOD))
    assert (developing.findings[0].level, developing.findings[0].blocking, developing.outcome) == (
        "warning",
        False,
        "pass",
    )
    releasing = verdict(asked, scalar("r_2", GOOD), spec(system={"stage": "release"}))
    assert (releasing.findings[0].level, releasing.findings[0].blocking, releasing.outcome) == (
        "error",
        True,
        "review",
    )


def test_a_statement_can_explain_a_fail_which_then_warns() -> None:
    asked = (rule("R-1", explained_by="protected_attribute_use"), rule("R-2"))
    pieces = (scalar("r_1", BAD), scalar("r_2", GOOD))
    assert verdict(asked, pieces).outcome == "fail"
    made = spec(system={"statements": {"protected_attribute_use": (said("protected_attribute_use"),)}})
    explained = verdict(asked, pieces, made)
    assert (explained.findings[0].kind, explained.findings[0].level, explained.outcome) == (
        "fail",
        "warning",
        "pass",
    )


def waiver(**fields: Any) -> Spec:
    given = {
        "rule": "R-1",
        "reason": "pilot with oversight",
        "approver": "B. Owner",
        "expires": date(2026, 12, 31),
        **fields,
    }
    return spec(system={"waivers": (Waiver(**given),)})


def test_a_waived_fail_keeps_its_kind_and_does_not_block() -> None:
    pieces = (scalar("r_1", BAD), scalar("r_2", GOOD))
    found = verdict((rule("R-1"), rule("R-2")), pieces, waiver())
    assert (found.outcome, found.findings[0].kind, waived(found.findings[0])) == ("pass", "fail", True)
    assert "waived until 2026-12-31 by B. Owner: pilot with oversight" in found.findings[0].message
    assert (found.counts.failed, found.counts.waived, found.counts.passed) == (0, 1, 1)


def test_a_waived_rule_alone_is_no_pass() -> None:
    assert verdict(rule("R-1"), scalar("r_1", BAD), waiver()).outcome == "review"


@pytest.mark.parametrize(("expires", "outcome"), [(date(2026, 11, 22), "pass"), (date(2026, 11, 21), "fail")])
def test_a_waiver_holds_through_its_last_day(expires: date, outcome: str) -> None:
    pieces = (scalar("r_1", BAD), scalar("r_2", GOOD))
    found = verdict((rule("R-1"), rule("R-2")), pieces, waiver(expires=expires))
    assert found.outcome == outcome
    if outcome == "fail":
        assert found.findings[0].waiver is not None
        assert found.findings[0].waiver.expired
        assert "expired on 2026-11-21" in found.findings[0].message


def test_a_waiver_with_a_scope_covers_that_evidence_alone() -> None:
    asked = (rule("R-1", evidence="demographic_parity_ratio/*"), rule("R-2"))
    sex, age = "demographic_parity_ratio/sex", "demographic_parity_ratio/age"
    scoped = waiver(scope=age)
    one = (gap(sex, ratio=GOOD), gap(age, ratio=BAD), scalar("r_2", GOOD))
    both = (gap(sex, ratio=BAD), gap(age, ratio=BAD), scalar("r_2", GOOD))
    assert verdict(asked, one, scoped).outcome == "pass"
    assert verdict(asked, both, scoped).outcome == "fail"
    assert verdict(asked, both, waiver(scope="test")).outcome == "pass"  # the policy's id
    assert verdict(asked, one, waiver(scope="something else")).outcome == "fail"


def test_a_waiver_waives_fails_alone() -> None:
    assert only(rule("R-1"), absent("r_1"), waiver()).waiver is None
    assert (
        verdict((rule("R-1"), rule("R-2")), (absent("r_1"), scalar("r_2", GOOD)), waiver()).outcome
        == "review"
    )


# -------------------------------------------------------------------------------------------------- what is told


def test_a_fail_says_who_is_affected() -> None:
    groups = (
        Group(
            key={"sex": "2"},
            n=104,
            status="measured",
            estimate=Estimate(value=38 / 104, low=0.28, high=0.46, n=104),
        ),
        Group(
            key={"sex": "1"},
            n=117,
            status="measured",
            estimate=Estimate(value=0.8, low=0.72, high=0.86, n=117),
        ),
    )
    observation = Groups(
        by=("sex",), groups=groups, summary=Summary(ratio=normal(0.46, 0.05), between=("2", "1"))
    )
    made = spec(data={"sensitive": (Sensitive(column="sex"),)})
    found = only(
        rule(evidence="demographic_parity_ratio/*"),
        scalar("demographic_parity_ratio/sex", exactly(0, 1), observation=observation),
        made,
    )
    assert found.affected == "sex 2: 66 of 104 people are not selected"
    recall = only(rule(evidence="recall"), scalar("recall", normal(74 / 122, 0.04, n=122)))
    assert recall.affected == "48 of 122 positives are not found"


def test_nothing_is_said_of_a_group_that_is_not_shown() -> None:
    groups = (Group(key={"sex": "2"}, n=None, status="suppressed", reason="n < 10"),)
    observation = Groups(by=("sex",), groups=groups, summary=Summary(ratio=BAD, between=("2", "1")))
    made = spec(data={"sensitive": (Sensitive(column="sex"),)})
    found = only(
        rule(evidence="demographic_parity_ratio/*"),
        scalar("demographic_parity_ratio/sex", exactly(0, 1), observation=observation),
        made,
    )
    assert (found.kind, found.affected) == ("fail", None)


def test_a_convention_prints_as_one_and_praise_is_never_used() -> None:
    found = only(rule(), scalar("r_1", BAD))
    assert "0.80 (convention, not law)" in found.message
    law = only(rule(basis="law"), scalar("r_1", BAD))
    assert "convention" not in law.message
    for text in (found.message, law.message, *verdict(rule(), scalar("r_1", GOOD)).reasons):
        assert not {"compliant", "certified", "unbiased", "transparent", "safe"} & set(text.lower().split())


def test_hostile_and_many_columns_are_told_as_they_are() -> None:
    columns = (*(Sensitive(column=f"c{i}") for i in range(9)), Sensitive(column="a/b {{x}}"))
    made = spec(data={"sensitive": columns})
    pieces = [gap(f"demographic_parity_ratio/c{i}", ratio=BAD) for i in range(9)]
    pieces.append(
        Evidence(
            id="demographic_parity_ratio/a%2Fb%20%7B%7Bx%7D%7D", method="demographic_parity_ratio", kind="metric", title="",
            status="measured", observation=Groups(by=("a/b {{x}}",), groups=(), summary=Summary(ratio=BAD)),
        )
    )  # fmt: skip
    found = only(rule(evidence="demographic_parity_ratio/*"), pieces, made)
    assert found.kind == "fail"
    assert len(found.parts) == 10
    assert found.message.endswith("and 6 more")


# ------------------------------------------------------------------------------------------------- every verdict

KINDS = {
    "good": lambda name: scalar(name, GOOD),
    "bad": lambda name: scalar(name, BAD),
    "unsure": lambda name: scalar(name, UNSURE),
    "exact": lambda name: scalar(name, exactly(0.9, 5)),
    "exactly bad": lambda name: scalar(name, exactly(0.1, 5)),
    "skipped": absent,
    "failed": lambda name: absent(name, "failed"),
    "none": lambda _: None,
}


@given(
    what=st.lists(
        st.tuples(
            st.sampled_from(sorted(KINDS)),
            st.sampled_from(["error", "warning", "note"]),
            st.sampled_from(["warn", "review"]),
            st.booleans(),
            st.booleans(),
        ),
        max_size=6,
    ),
    order=st.randoms(),
)
@settings(deadline=None)
def test_the_exit_code_table_holds_for_every_mix(
    what: list[tuple[str, str, str, bool, bool]], order: Any
) -> None:
    rules, pieces, waivers = [], [], []
    for i, (kind, level, on_open, applies, let) in enumerate(what):
        when = None if applies else {"annex_iii": ("1",)}
        rules.append(rule(f"R-{i}", level=level, on_open=on_open, when=when))
        piece = KINDS[kind](f"r_{i}")
        pieces += [piece] if piece else []
        if let:
            waivers.append(Waiver(rule=f"R-{i}", reason="r", approver="a", expires=TODAY))
    made = spec(system={"waivers": tuple(waivers)})
    found = verdict(tuple(rules), pieces, made)
    blocking = [f for f in found.findings if f.blocking and f.kind != "notApplicable"]
    fails = [f for f in blocking if f.kind == "fail" and not waived(f)]
    reviews = [f for f in blocking if f.kind == "review" or (f.kind == "open" and f.on_open == "review")]
    passes = [f for f in blocking if f.kind == "pass"]
    expected = "fail" if fails else "review" if reviews or not passes else "pass"
    assert found.outcome == expected
    assert found.reasons
    for i, (kind, *_) in enumerate(what):
        if kind in ("skipped", "failed", "none", "unsure"):
            assert found.findings[i].kind not in ("pass", "fail")
    counts = found.counts
    assert counts.rules == len(what) == (
        counts.failed + counts.warnings_failed + counts.open + counts.review + counts.passed + counts.waived
        + counts.not_applicable + counts.informational
    )  # fmt: skip
    order.shuffle(pieces)
    assert verdict(tuple(rules), pieces, made) == found


def test_judging_reaches_no_model_and_no_numpy() -> None:
    heavy = "numpy torch sklearn pandas scipy shap xai_audit.subject xai_audit.metrics"
    program = (
        "import sys, xai_audit.judge, xai_audit.records, xai_audit.cases\n"
        f"assert not set('{heavy}'.split()) & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


# ---------------------------------------------------------------------------------------------- before the run


def test_what_cannot_pass_is_said_before_the_run() -> None:
    made = spec(data={"sensitive": (Sensitive(column="sex"),)})
    shipped = gate.shipped()
    few = undecidable(made, [shipped], 221)
    assert [line.partition(":")[0] for line in few] == ["FAI-01", "FAI-03", "FAI-04"]
    assert all("221 test rows" in line for line in few)
    assert undecidable(made, [shipped], 2000) == []
    assert undecidable(made, [gate.shipped("research")], 221) == []  # nothing blocks


def test_known_group_sizes_count_before_the_run() -> None:
    made = spec(data={"sensitive": (Sensitive(column="sex"),)})
    lines = undecidable(made, [gate.shipped()], 2000, {"sex": {"1": 1980, "2": 20}})
    assert len(lines) == 3
    assert all("fewer than two groups" in line for line in lines)
    many = spec(data={"sensitive": (Sensitive(column="age", bins=(30, 40, 50, 60, 70)),)})
    assert undecidable(many, [gate.shipped()], 2000)


def test_a_declared_level_that_no_model_could_show() -> None:
    made = spec(
        primary="accuracy", system={"declared_levels": (DeclaredLevel(metric="accuracy", at_least=0.99),)}
    )
    assert [line for line in undecidable(made, [gate.shipped()], 221) if line.startswith("PER-01")]
    assert not [line for line in undecidable(made, [gate.shipped()], 2210) if line.startswith("PER-01")]


# ------------------------------------------------------------------------------------------------- simulations


@pytest.mark.parametrize("independent", [False, True])
def test_few_false_fails_where_every_rule_is_at_its_threshold(independent: bool) -> None:
    tally = gate.simulate(gate.AT_THRESHOLD, 1000, 200, 1, f"test-{independent}", independent=independent)
    assert tally.share("fail") <= 0.05 + gate.error(0.05, 200)


def test_a_fair_model_does_not_fail_and_passes_at_4000_rows() -> None:
    tally = gate.simulate(gate.FAIR, 4000, 100, 1, "test-fair")
    assert tally.share("fail") <= 0.01 + gate.error(0.01, 100)
    assert tally.all_pass / 100 >= 0.95 - gate.error(0.95, 100)
    assert tally.share("pass") >= tally.all_pass / 100  # an open convention warns


def test_unequal_selection_fails_at_1000_rows() -> None:
    tally = gate.simulate(gate.UNEQUAL, 1000, 400, 2, "test-unequal")
    assert tally.share("fail") >= 0.95 - gate.error(0.95, 400)


def test_halves_rarely_say_the_opposite() -> None:
    found = gate.opposite(gate.AT_THRESHOLD, 2000, 150, 1, "test-halves")
    assert max(found.values()) <= 0.005 + gate.error(0.005, 150)


def test_the_populations_are_what_they_say() -> None:
    at = gate.AT_THRESHOLD
    assert at.selected(1) / at.selected(0) == pytest.approx(0.8)
    assert at.tpr[0] - at.tpr[1] == pytest.approx(0.1)
    assert at.fpr[0] - at.fpr[1] == pytest.approx(0.1)
    assert at.accuracy == pytest.approx(at.declared) == pytest.approx(1 - at.base)
    assert gate.UNEQUAL.selected(0) == pytest.approx(0.5)
    assert gate.UNEQUAL.selected(1) == pytest.approx(0.3)
    assert gate.FAIR.accuracy - gate.FAIR.declared == pytest.approx(0.03)

"""Audits made by hand, so that the report can be judged without a run: a fail, a review, a pass, hostile names."""

from __future__ import annotations

import unicodedata
from datetime import date
from math import sqrt
from typing import Any

from xai_audit.audit import Audit
from xai_audit.evidence import (
    Contrast,
    Curve,
    Estimate,
    Evidence,
    Group,
    Groups,
    Item,
    Matrix,
    Point,
    Ranking,
    Sampling,
    Scalar,
    Series,
    Summary,
    exactly,
    identifier,
)
from xai_audit.verdict import Counts, Finding, Part, Waiver

DIGEST = "9f3c71ab" * 8


def wilson(hits: float, n: int, z: float = 1.96) -> Estimate:
    rate = hits / n
    middle = (rate + z * z / 2 / n) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(rate * (1 - rate) / n + z * z / 4 / n / n)
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Estimate(value=rate, low=min(low, rate), high=max(high, rate), n=n)


def between(value: float, low: float, high: float, n: int) -> Estimate:
    return Estimate(value=value, low=low, high=high, n=n)


def scalar(
    name: str, estimate: Estimate, title: str, measures: str = "", kind: str = "metric", **more: Any
) -> Evidence:
    return Evidence(
        id=name, method=name.split("/", maxsplit=1)[0], kind=kind, title=title, status="measured", measures=measures,
        observation=Scalar(estimate=estimate, unit=more.pop("unit", None)), **more,
    )  # fmt: skip


def groups_of(
    method: str,
    column: str,
    cells: list[tuple[str, int, int, int]],
    title: str,
    measures: str = "",
    *,
    ratio: bool = False,
    **more: Any,
) -> Evidence:
    """cells: (level, n, hits, denominator); a denominator of 0 is undefined, n under 10 suppressed."""
    made = []
    counted = [(level, n, hits, of) for level, n, hits, of in cells if of and n >= 10]
    best = max((c for c in counted if c[1] >= 30), key=lambda c: c[2] / c[3], default=None)
    worst = min((c for c in counted if c[1] >= 30), key=lambda c: c[2] / c[3], default=None)
    for level, n, hits, of in cells:
        key = {column: level}
        if n < 10:
            made.append(Group(key=key, n=None, status="suppressed", reason="n < 10"))
        elif not of:
            made.append(Group(key=key, n=n, count=0, status="undefined", reason="no positives"))
        else:
            contrasts = {}
            if n >= 30 and best is not None and worst is not None:
                for name, other in (("best", best), ("worst", worst)):
                    if other[0] != level:
                        d = hits / of - other[2] / other[3]
                        r = (hits / of) / (other[2] / other[3])
                        contrasts[name] = Contrast(
                            to=other[0],
                            difference=between(d, d - 0.14, d + 0.14, of + other[3]),
                            ratio=between(r, r * 0.8, r * 1.25, of + other[3]) if ratio else None,
                            p=0.041,
                        )
            made.append(
                Group(
                    key=key, n=n, count=of, status="measured" if n >= 30 else "insufficient",
                    reason=None if n >= 30 else "n < 30", estimate=wilson(hits, of), contrasts=contrasts,
                )
            )  # fmt: skip
    summary = None
    if best is not None and worst is not None and best[0] != worst[0]:
        d = best[2] / best[3] - worst[2] / worst[3]
        r = (worst[2] / worst[3]) / (best[2] / best[3])
        summary = Summary(
            difference=None if ratio else between(d, max(0.0, d - 0.16), d + 0.16, best[3] + worst[3]),
            ratio=between(r, r * 0.78, min(1.0, r * 1.3), best[3] + worst[3]) if ratio else None,
            between=(worst[0], best[0]),
            pairs=1 if len(counted) == 2 else 6,
            insufficient=sum(1 for c in counted if c[1] < 30),
        )
    total = wilson(sum(c[2] for c in counted), sum(c[3] for c in counted))
    return Evidence(
        id=identifier(method, column), method=method, kind="metric", title=title, measures=measures, status="measured",
        observation=Groups(by=(column,), groups=tuple(made), summary=summary, overall=total), **more,
    )  # fmt: skip


def crossed(method: str, title: str) -> Evidence:
    made = []
    sizes = {
        ("1", "30-49"): 36,
        ("1", "<30"): 14,
        ("1", ">=50"): 67,
        ("2", "30-49"): 41,
        ("2", "<30"): 7,
        ("2", ">=50"): 56,
    }
    for (sex, age), n in sizes.items():
        key = {"age": age, "sex": sex}
        if n < 10:
            made.append(Group(key=key, n=None, status="suppressed", reason="n < 10"))
        elif n < 20:
            made.append(Group(key=key, n=None, status="suppressed", reason="withheld"))
        else:
            made.append(Group(key=key, n=n, count=n // 2, status="measured", estimate=wilson(n // 3, n // 2)))
    summary = Summary(difference=between(0.21, 0.0, 0.44, 62), between=("30-49, 2", ">=50, 1"), pairs=6)
    return Evidence(
        id=identifier(method, "age", "sex"), method=method, kind="metric", title=title, status="measured",
        observation=Groups(by=("age", "sex"), groups=tuple(made), summary=summary),
    )  # fmt: skip


AGES = [("<30", 21, 4, 0), ("30-49", 77, 24, 33), (">=50", 114, 44, 66), ("missing", 9, 1, 3)]
SEXES = [("1", 117, 40, 59), ("2", 104, 30, 48)]


def metrics() -> list[Evidence]:
    recall = "The share of positive rows that are predicted positive."
    return [
        scalar(
            "accuracy",
            wilson(161, 221),
            "Accuracy",
            "The share of rows predicted correctly.",
            limits=("A model that always predicts the commonest class scores its share; see the baseline.",),
        ),
        scalar("recall", wilson(72, 108), "Recall", recall),
        scalar(
            "precision",
            wilson(72, 97),
            "Precision",
            "The share of rows predicted positive that are positive.",
        ),
        scalar(
            "roc_auc",
            between(0.81, 0.75, 0.86, 221),
            "ROC AUC",
            "The chance that a positive row scores above a negative one.",
        ),
        scalar(
            "brier_score",
            between(0.182, 0.161, 0.204, 221),
            "Brier score",
            "The mean squared distance of score and outcome.",
        ),
        scalar(
            "expected_calibration_error/rms",
            between(0.081, 0.02, 0.12, 221),
            "Root mean square calibration error",
        ),
        scalar(
            "baseline_improvement",
            between(0.21, 0.13, 0.29, 221),
            "Gain over the trivial baseline",
            "How much better than always answering the same.",
        ),
        groups_of("recall", "sex", SEXES, "Recall", recall),
        groups_of("recall", "age", AGES, "Recall", recall),
        crossed("recall", "Recall"),
        groups_of("accuracy", "sex", [("1", 117, 88, 117), ("2", 104, 73, 104)], "Accuracy"),
        groups_of(
            "accuracy",
            "age",
            [("<30", 21, 16, 21), ("30-49", 77, 58, 77), (">=50", 114, 81, 114), ("missing", 9, 6, 9)],
            "Accuracy",
        ),
        groups_of("precision", "sex", [("1", 117, 40, 55), ("2", 104, 32, 42)], "Precision"),
        groups_of(
            "precision",
            "age",
            [("<30", 21, 3, 4), ("30-49", 77, 24, 33), (">=50", 114, 44, 58), ("missing", 9, 1, 2)],
            "Precision",
        ),
        groups_of("selection_rate", "sex", [("1", 117, 55, 117), ("2", 104, 42, 104)], "Selection rate"),
        groups_of(
            "demographic_parity_ratio",
            "sex",
            [("1", 117, 55, 117), ("2", 104, 42, 104)],
            "Demographic parity ratio",
            "The smallest selection rate of a group divided by the largest.",
            ratio=True,
            limits=("It does not ask whether the groups differ in what the outcome is about.",),
        ),
        groups_of(
            "demographic_parity_ratio",
            "age",
            [("<30", 21, 4, 21), ("30-49", 77, 33, 77), (">=50", 114, 58, 114), ("missing", 9, 2, 9)],
            "Demographic parity ratio",
            ratio=True,
        ),
        crossed("demographic_parity_ratio", "Demographic parity ratio"),
        groups_of(
            "equal_opportunity_difference",
            "sex",
            SEXES,
            "Equal opportunity difference",
            limits=("It trusts the labels: a biased label hides a biased model.",),
        ),
        groups_of("equal_opportunity_difference", "age", AGES, "Equal opportunity difference"),
        groups_of(
            "false_positive_rate_difference",
            "sex",
            [("1", 117, 15, 58), ("2", 104, 10, 56)],
            "False positive rate difference",
        ),
        Evidence(
            id="calibration_curve",
            method="calibration_curve",
            kind="metric",
            title="Calibration curve",
            status="measured",
            observation=Curve(
                x="mean score",
                y="share positive",
                series=(
                    Series(
                        name="observed",
                        points=tuple(
                            Point(x=x, estimate=wilson(h, 22))
                            for x, h in (
                                (0.08, 1),
                                (0.17, 4),
                                (0.26, 4),
                                (0.35, 8),
                                (0.44, 9),
                                (0.53, 13),
                                (0.61, 15),
                                (0.7, 14),
                                (0.79, 19),
                                (0.91, 21),
                            )
                        ),
                    ),
                ),
            ),
        ),
        Evidence(
            id="threshold_sweep",
            method="threshold_sweep",
            kind="metric",
            title="What other thresholds would do",
            measures="Shares at each threshold.",
            status="measured",
            observation=Curve(
                x="threshold",
                y="share",
                series=(
                    Series(
                        name="recall",
                        points=tuple(
                            Point(x=k / 20, estimate=wilson(round(108 * (1 - (k / 20) ** 1.6)), 108))
                            for k in range(1, 20)
                        ),
                    ),
                    Series(
                        name="false positive rate",
                        points=tuple(
                            Point(x=k / 20, estimate=wilson(round(113 * (1 - k / 20) ** 2), 113))
                            for k in range(1, 20)
                        ),
                    ),
                    Series(
                        name="share predicted positive",
                        points=tuple(
                            Point(x=k / 20, estimate=wilson(round(221 * (1 - k / 20) ** 1.2), 221))
                            for k in range(1, 20)
                        ),
                    ),
                ),
            ),
        ),
        Evidence(
            id="confusion_matrix",
            method="confusion_matrix",
            kind="metric",
            title="Confusion matrix",
            status="measured",
            observation=Matrix(
                rows=("no progression", "progression"),
                columns=("no progression", "progression"),
                values=((88.0, 25.0), (36.0, 72.0)),
                row_title="true",
                column_title="predicted",
            ),
        ),
        scalar(
            "protected_flip_rate/sex",
            wilson(9, 221),
            "Decisions that flip with the column alone",
            "The share of rows whose decision changes when only this column does.",
        ),
        scalar(
            "train_test_overlap",
            exactly(0, 221),
            "Rows shared by training and test data",
            "The share of test rows that stand in the training data.",
        ),
        scalar(
            "invalid_labels",
            exactly(0, 221),
            "Missing or unknown labels",
            "How many test rows have no label.",
        ),
        scalar(
            "unusual_input_failures",
            exactly(0.33, 30),
            "Unusual inputs the model cannot score",
            "The share of kinds of input.",
            sampling=Sampling(available=221, used=50, how="the 50 smallest digests of seed and content"),
        ),
        scalar(
            "artefact_safety",
            exactly(0, 1),
            "What the model file may carry",
            "How many types outside the built-in list it holds.",
        ),
        Evidence(
            id="abroca/sex",
            method="abroca",
            kind="metric",
            title="Area between ROC curves",
            status="skipped",
            reason="it needs probabilities; these scores are a ranking",
        ),
        scalar("annex_iv_statements", exactly(0.6, 25), "Annex IV statements present", kind="record"),
    ]


INPUTS = ["bmi", "s5", "bp", "s3", "s6", "age", "s2", "s1", "s4", "sex"]


def explanations() -> list[Evidence]:
    values = [0.112, 0.105, 0.066, 0.038, 0.037, 0.0355, 0.0174, 0.0142, 0.012, 0.006]
    ranks = [(1, 2), (1, 2), (3, 3), (4, 6), (4, 6), (4, 6), (7, 9), (7, 9), (7, 9), (10, 10)]
    ranking = Ranking(
        items=tuple(
            Item(name=n, estimate=between(v, v * 0.88, v * 1.13, 221), rank_low=a, rank_high=b)
            for n, v, (a, b) in zip(INPUTS, values, ranks, strict=True)
        ),
        unit="mean absolute change in score",
    )
    bins = tuple(f"{x / 100:.2f}".replace("-", "−") for x in range(-30, 31, 3))
    counts = tuple(
        tuple(
            float(round(80 / (i + 1) * max(0.0, 1 - abs(k - 10 - (3 - i % 5)) / (7 - i * 0.5))))
            for k in range(21)
        )
        for i in range(10)
    )
    return [
        Evidence(id="shap", method="shap", kind="explainer", title="SHAP values", measures="The mean absolute share of each input in the distance between a score and the average score.", status="measured", observation=ranking, limits=("It describes the model, not the world.",), versions={"engine": "tree"}),
        Evidence(id="shap/beeswarm", method="shap", kind="explainer", title="How often an input moves the score by how much", measures="Rows counted by change in score.", status="measured", observation=Matrix(rows=tuple(INPUTS), columns=bins, values=counts, row_title="Input", column_title="change in score")),
        scalar("shap/additivity", exactly(0.0000003, 221), "Additivity residual", "", kind="explainer"),
        scalar("shap/coverage", exactly(1.0, 221), "Rows explained", "", kind="explainer"),
        scalar("shap/stability", between(0.94, 0.92, 0.95, 20), "Rank correlation over seeds", "", kind="explainer"),
        Evidence(id="lime", method="lime", kind="explainer", title="LIME weights", measures="Mean absolute weight.", status="failed", reason="ValueError: the local model of 12 rows had no solution"),
        scalar("lime/fidelity", between(0.62, 0.55, 0.69, 200), "Weighted R² on held-out neighbours", "", kind="explainer"),
        Evidence(id="partial_dependence/bmi", method="partial_dependence", kind="explainer", title="Mean score by bmi", measures="The mean score when this input is set to each value in turn.", status="measured", observation=Curve(x="bmi", y="mean score", series=(Series(name="mean score", points=tuple(Point(x=20.0 + k, estimate=between(0.3 + k * 0.02, 0.27 + k * 0.02, 0.33 + k * 0.02, 221)) for k in range(18))),))),
    ]  # fmt: skip


POLICY_RULES = [
    {"id": "PER-01", "evidence": "recall", "at_least": "declared"},
    {"id": "FAI-01", "evidence": "demographic_parity_ratio/*", "at_least": 0.8},
    {"id": "FAI-03", "evidence": "equal_opportunity_difference/*", "at_most": 0.1},
    {"id": "FAI-02", "evidence": "demographic_parity_difference/*", "at_most": 0.1},
    {"id": "XAI-01", "evidence": "shap/coverage", "at_least": 0.99},
    {"id": "XAI-02", "evidence": "shap/additivity", "at_most": 0.001},
    {
        "id": "XAI-03",
        "evidence": "shap/stability",
        "at_least": 0.9,
        "also": [{"evidence": "shap/stability_top5", "at_least": 0.8}],
    },
    {"id": "ROB-02", "evidence": "unusual_input_failures", "equals": 0},
    {"id": "DAT-01", "evidence": "train_test_overlap", "at_most": 0.001},
    {"id": "DAT-03", "evidence": "invalid_labels", "equals": 0},
    {"id": "GOV-04", "present": True},
    {"id": "GOV-05", "attested": "signatories"},
    {"id": "OVS-01", "attested": "oversight"},
    {"id": "FAI-09", "attested": "feedback_loops"},
    {"id": "SEC-03", "evidence": "artefact_safety", "equals": 0},
]


def finding(rule: str, kind: str, title: str, clause: str, basis: str, message: str, **more: Any) -> Finding:
    return Finding(
        **{
            "rule": rule, "policy": "eu-ai-act", "title": title, "clause": clause, "basis": basis, "kind": kind,
            "level": "error", "blocking": True, "message": message, "applies_from": date(2027, 12, 2), **more,
        }
    )  # fmt: skip


def findings_fail() -> list[Finding]:
    return [
        finding("PER-01", "fail", "The model reaches the declared level of accuracy", "Article 15(3)", "provider", "recall 0.67 [0.57, 0.75] is below the declared 0.80", threshold="at least 0.80", evidence=("recall",), parts=(Part(evidence="recall", kind="fail", quantity="recall", estimate=wilson(72, 108), p=0.001),), statistical=True, adjusted_p=0.004, tip="Lower the flagging threshold, or declare the level that is met", why="a deployer relies on the level in the instructions for use", affected="36 of 108 positives are not found"),
        finding("ROB-02", "fail", "The model answers unusual inputs", "Article 15(4)", "derived", "10 of 30 kinds of unusual input end in an error", threshold="exactly 0", evidence=("unusual_input_failures",), parts=(Part(evidence="unusual_input_failures", kind="fail", quantity="share of kinds of input", estimate=exactly(0.33, 30)),), tip="Handle missing values, or refuse the record and say so"),
        finding("FAI-01", "open", "Groups are selected at similar rates", "Article 10(2)(f)", "convention", "selection ratio by sex 0.86 [0.67, 1.00]; by age 0.84 [0.66, 1.00]: about 3,300 more people would probably settle it, if the ratio stays", threshold="at least 0.80", on_open="warn", evidence=("demographic_parity_ratio/sex", "demographic_parity_ratio/age"), parts=(Part(evidence="demographic_parity_ratio/sex", kind="open", quantity="selection ratio", estimate=between(0.86, 0.67, 1.0, 221), between=("2", "1"), p=0.61, more_rows=3270), Part(evidence="demographic_parity_ratio/age", kind="open", quantity="selection ratio", estimate=between(0.84, 0.66, 1.0, 191), between=("30-49", ">=50"), p=0.55, more_rows=5200)), statistical=True, adjusted_p=1.0, tip="Look at the inputs that differ between the groups", why="a group that is selected less often may be disadvantaged", note="0.80 is a rule of thumb of United States practice; no article of the Act contains it", settle="about 5,200 more people would probably settle it, if the ratio stays"),
        finding("FAI-03", "open", "Recall is similar across groups", "Article 10(2)(f)", "convention", "difference in true positive rate by sex 0.05 [0.00, 0.21]; too close to the threshold", threshold="at most 0.10", evidence=("equal_opportunity_difference/sex", "equal_opportunity_difference/age"), parts=(Part(evidence="equal_opportunity_difference/sex", kind="open", quantity="difference in true positive rate", estimate=between(0.05, 0.0, 0.21, 107), between=("2", "1"), p=0.7, hopeless=True),), statistical=True, blocking=False, level="warning"),
        finding("XAI-03", "review", "The ranking is the same again", "Article 14(4)(c)", "convention", "lime failed: the local model of 12 rows had no solution", threshold="at least 0.90", evidence=("lime",), parts=(Part(evidence="lime", kind="review", reason="the local model of 12 rows had no solution"),), blocking=False, level="warning"),
        finding("XAI-01", "pass", "Every decision asked for comes with an explanation", "Article 13(3)(b)(iv)", "derived", "rows explained 1", threshold="at least 0.99", evidence=("shap/coverage",), parts=(Part(evidence="shap/coverage", kind="pass", estimate=exactly(1, 221)),)),
        finding("XAI-02", "pass", "The shares add up to the score", "Article 13(3)(b)(iv)", "derived", "additivity residual below 0.001", threshold="at most 0.001", evidence=("shap/additivity",), parts=(Part(evidence="shap/additivity", kind="pass", estimate=exactly(0.0000003, 221)),)),
        finding("DAT-01", "pass", "No test row stands in the training data", "Article 10(3)", "derived", "rows shared by training and test data 0", threshold="at most 0.001", evidence=("train_test_overlap",), parts=(Part(evidence="train_test_overlap", kind="pass", estimate=exactly(0, 221)),)),
        finding("DAT-03", "pass", "Every test row has a valid label", "Article 10(3)", "derived", "missing or unknown labels 0", threshold="exactly 0", evidence=("invalid_labels",), parts=(Part(evidence="invalid_labels", kind="pass", estimate=exactly(0, 221)),)),
        finding("SEC-03", "pass", "The model file carries no code", "Article 15(5)", "derived", "what the model file may carry 0", threshold="exactly 0", evidence=("artefact_safety",)),
        finding("FAI-02", "fail", "Selection rates differ little", "Article 10(2)(f)", "convention", "difference in selection rate by age 0.30 is above 0.10", threshold="at most 0.10", evidence=("demographic_parity_difference/age",), waiver=Waiver(rule="FAI-02", reason="the groups differ in age-related risk", approver="Ewa Żółkiewska", expires=date(2027, 3, 1))),
        finding("GOV-05", "open", "The report is dated and signed", "Annex IV(2)(g)", "law", "not stated: who signs", missing=("signatories",), blocking=False, level="warning"),
        finding("OVS-01", "open", "Human oversight is described letter by letter", "Article 14(4)", "law", "2 statements are missing: oversight.d and oversight.e", missing=("oversight.d", "oversight.e"), blocking=False, level="warning"),
        finding("GOV-04", "open", "The statements of Annex IV are there", "Article 11(1)", "law", "10 statements are missing", missing=("interaction", "ui_description", "predetermined_changes", "pmm_plan"), evidence=("annex_iv_statements",), parts=(Part(evidence="annex_iv_statements", kind="open", estimate=exactly(0.6, 25)),), blocking=False, level="warning"),
        finding("FAI-09", "notApplicable", "Feedback loops are prevented", "Article 15(4)", "law", "does not apply: the system does not keep learning"),
    ]  # fmt: skip


def spec(name: str = "Diabetes progression triage", **more: Any) -> dict[str, Any]:
    said = "Ewa Żółkiewska"
    return {
        "version": 1,
        "system": {
            "name": name, "version": "2.1", "previous_version": "2.0", "stage": "development",
            "provider": {"name": "Medwid sp. z o.o., Łódź", "address": "ul. Piotrkowska 1", "contact": "audit@medwid.example"},
            "intended_purpose": {"text": "The model marks adults with diabetes for an early specialist visit. Not for diagnosis, not for children.", "author": said, "date": "2026-11-03"},
            "classification": {"annex_iii_point": "5(a)", "profiling": True},
            "statements": {
                "development_methods": [{"key": "development_methods", "text": "Οι παράμετροι επιλέχθηκαν με διασταυρούμενη επικύρωση σε πέντε μέρη.", "author": "Νίκη Παπαδάκη", "date": "2026-11-05"}],
                "data_sets": [{"key": "data_sets", "letter": "1.origin", "text": "Данните са събрани в шест болници между 2019 и 2024 г.", "author": "Иван Георгиев", "date": "2026-11-05", "language": "bg"}],
                "deployment_forms": [{"key": "deployment_forms", "text": "Service behind a hospital network; no download, no open interface.", "author": None}],
                "oversight": [{"key": "oversight", "letter": x, "text": f"Measure for letter ({x}): a clinician sees the score before anything is done.", "author": said, "date": "2026-11-05"} for x in "abc"],
                "metric_rationale": [{"key": "metric_rationale", "letter": "recall", "text": "A missed patient waits months; a false alarm costs one visit.", "author": said, "date": "2026-11-03"}],
            },
            "declared_levels": [{"metric": "recall", "at_least": 0.8}],
            "signatories": [{"name": said, "function": "head of clinical safety", "date": "2026-11-16", "statement": "I have read the failed rules and hold the release."}, {"name": "Jan Łąkowski", "function": "head of data science"}],
        },
        "data": {"sensitive": [{"column": "sex"}, {"column": "age", "bins": [30, 50]}]},
        "report": {"min_cell": 10, "examples": False, "formats": ["html", "pdf"]},
        "run": {"seed": 0, "confidence": 0.95},
        "primary": "recall",
        **more,
    }  # fmt: skip


def counts(findings: list[Finding]) -> Counts:
    def many(kind: str) -> int:
        return sum(f.kind == kind for f in findings)

    waived = sum(f.kind == "fail" and f.waiver is not None for f in findings)
    stops = sum(f.kind == "fail" and f.blocking and f.waiver is None for f in findings)
    return Counts(
        rules=len(findings), blocking=sum(f.blocking for f in findings), failed=stops, open=many("open"), review=many("review"),
        passed=many("pass"), waived=waived, not_applicable=many("notApplicable"), warnings_failed=many("fail") - stops - waived,
        statements_missing=len({key for f in findings for key in f.missing}),
    )  # fmt: skip


def audit(findings: list[Finding], evidence: list[Evidence], outcome: str, **more: Any) -> Audit:
    return Audit(
        **{
            "schema": "xai-audit/audit/1",
            "outcome": outcome,
            "reasons": ("2 blocking rules failed: PER-01 and ROB-02",),
            "counts": counts(findings),
            "run": {"started": "2026-11-14T09:12:03+00:00", "finished": "2026-11-14T09:12:44+00:00", "seconds": 41.2, "host": "audit-01", "jobs": 2, "backend": "loky", "resumed": 0},
            "spec": spec(),
            "policies": ({"id": "eu-ai-act", "version": 1, "as_of": "2026-11-02", "author": "the xai-audit project", "sha256": DIGEST[::-1], "rules": POLICY_RULES},),
            "subject": {
                "model": {"format": "skops", "sha256": DIGEST, "path": "model.skops", "details": {"type": "GradientBoostingClassifier", "trees": 180, "depth": 3, "parameters": {"learning_rate": 0.05, "subsample": 0.8}}},
                "data": {"test": {"sha256": DIGEST, "rows": 221, "path": "test.csv"}, "train": {"sha256": DIGEST[::-1], "rows": 221, "path": "train.csv"}},
                "task": "classification", "classes": ["no progression", "progression"], "positive": 1, "favourable": 1, "threshold": 0.5, "primary": "recall",
                "columns": [{"name": n, "kind": "numeric", "levels": 0} for n in INPUTS[:-1]] + [{"name": "sex", "kind": "categorical", "levels": 2}],
                "groupings": [{"columns": ["sex"], "labels": ["1", "2"], "counts": [117, 104]}, {"columns": ["age"], "labels": ["<30", "30-49", ">=50", "missing"], "counts": [21, 77, 114, None]}],
                "sensitive_inputs": ["sex"],
                "notes": ["The source codes sex as 1 and 2 without saying which is which."],
                "facts": {},
            },
            "environment": {"xai_audit": "0.1.0", "python": "3.11.7", "system": "Linux", "machine": "x86_64", "packages": {"numpy": "2.3.5", "scikit-learn": "1.7.2", "shap": "0.51.0"}},
            "evidence": tuple(sorted(evidence, key=lambda e: e.id)),
            "findings": tuple(findings),
            "not_examined": ("Robustness to noise, shift and attack (Article 15(4) and (5)): not built into this version.", "Sensitive attributes that are not in the data."),
            **more,
        }
    )  # fmt: skip


def failing() -> Audit:
    return audit(findings_fail(), [*metrics(), *explanations()], "fail")


def reviewed() -> Audit:
    kept = [f for f in findings_fail() if not (f.kind == "fail" and f.waiver is None)]
    return audit(
        kept,
        [*metrics(), *explanations()],
        "review",
        reasons=("1 blocking rule could not be decided: FAI-01",),
    )


def passing() -> Audit:
    kept = [f for f in findings_fail() if f.kind in {"pass", "notApplicable"}]
    return audit(kept, metrics(), "pass", reasons=("5 blocking rules passed",))


def unmodelled() -> Audit:
    """Predictions alone: no model, no target, no rule, no statement."""
    made = [piece for piece in metrics() if piece.method in {"selection_rate", "demographic_parity_ratio"}]
    bare = failing()
    return audit(
        [], made, "review", reasons=("no policy holds a rule",), policies=(),
        spec={"system": {"name": "Admissions"}, "data": {"sensitive": [{"column": "sex"}]}},
        subject={**bare.subject, "model": None, "data": {"test": {"sha256": DIGEST, "rows": 4526, "path": "a.csv"}}, "columns": [], "classes": [], "notes": [], "primary": None},
    )  # fmt: skip


HOSTILE = [
    "<script>document.title='run'</script>",
    "\"' onload=alert(1) x='",
    "\u202egnp.exe",
    "🏳️‍🌈 smile 😀 ⟨中文⟩",
    "{{ 7*7 }}{% raw %}",
    "nul\x00bell\x07tab\tline\nend",
    "<b>&amp;</b>]]>--><!--",
    "x" * 10_000,
    "url(file:///etc/passwd) @import 'http://example.com'",
]


def hostile() -> Audit:
    """Every name a person may choose, as bad as it gets."""
    cells = [(name, 40 + i, 12 + i, 40 + i) for i, name in enumerate(HOSTILE)]
    column = HOSTILE[0]
    evidence = [
        scalar("recall", wilson(72, 108), HOSTILE[1]),
        groups_of("recall", column, cells, "Recall"),
        groups_of("demographic_parity_ratio", column, cells, "Demographic parity ratio", ratio=True),
        Evidence(
            id="shap", method="shap", kind="explainer", title="SHAP values", status="measured",
            observation=Ranking(items=tuple(Item(name=n, estimate=between(1 / (i + 1), 0.9 / (i + 1), 1.1 / (i + 1), 50), rank_low=i + 1, rank_high=i + 1) for i, n in enumerate(HOSTILE))),
        ),
        Evidence(id="lime", method="lime", kind="explainer", title="LIME", status="failed", reason=HOSTILE[0] * 3),
        Evidence(id="confusion_matrix", method="confusion_matrix", kind="metric", title="Confusion", status="measured", observation=Matrix(rows=tuple(HOSTILE[:4]), columns=tuple(HOSTILE[:4]), values=((1.0, 2.0, None, 4.0),) * 4)),
    ]  # fmt: skip
    bare = failing()
    said = {"interaction": [{"key": "interaction", "text": name, "author": name} for name in HOSTILE]}
    made = spec(HOSTILE[0] + HOSTILE[4] + "\u202e", data={"sensitive": [{"column": column}]})
    made["system"]["statements"] = said
    made["system"]["provider"] = {"name": HOSTILE[1]}
    told = [
        finding("PER-01", "fail", HOSTILE[0], "Article 15(3)", "provider", HOSTILE[5], evidence=("recall",), parts=(Part(evidence="recall", kind="fail", estimate=wilson(72, 108), p=0.01),)),
        finding("FAI-01", "open", "Rates", "Article 10(2)(f)", "convention", HOSTILE[7], evidence=(evidence[2].id,), parts=(Part(evidence=evidence[2].id, kind="open", estimate=wilson(72, 108), between=(HOSTILE[0], HOSTILE[7]), more_rows=10),)),
    ]  # fmt: skip
    return audit(
        told, evidence, "fail", spec=made,
        subject={**bare.subject, "columns": [{"name": n, "kind": "categorical", "levels": 3} for n in HOSTILE], "groupings": [{"columns": [column], "labels": HOSTILE, "counts": [40] * len(HOSTILE)}], "notes": HOSTILE, "classes": HOSTILE[:2]},
        not_examined=tuple(HOSTILE),
    )  # fmt: skip


def multiclass() -> Audit:
    """Three classes, one number for each."""
    kinds = ("setosa", "versicolor", "virginica")
    overall = Groups(
        by=("class",),
        groups=tuple(
            Group(key={"class": k}, n=60, count=20, status="measured", estimate=wilson(15 + i, 20))
            for i, k in enumerate(kinds)
        ),
    )
    by = Groups(
        by=("site", "class"),
        groups=tuple(
            Group(key={"site": s, "class": k}, n=30, count=10, status="measured", estimate=wilson(6 + i, 10))
            for s in ("north", "south")
            for i, k in enumerate(kinds)
        ),
        summary=Summary(
            difference=between(0.1, 0.0, 0.5, 20), between=("south, setosa", "north, setosa"), pairs=3
        ),
    )
    evidence = [
        scalar("accuracy", wilson(50, 60), "Accuracy"),
        Evidence(id="recall", method="recall", kind="metric", title="Recall", status="measured", observation=overall),
        Evidence(id="recall/site", method="recall", kind="metric", title="Recall", status="measured", observation=by),
        Evidence(id="demographic_parity_difference/site", method="demographic_parity_difference", kind="metric", title="Demographic parity difference", status="measured", observation=by),
        Evidence(id="confusion_matrix", method="confusion_matrix", kind="metric", title="Confusion matrix", status="measured", observation=Matrix(rows=kinds, columns=kinds, values=((20.0, 0.0, 0.0), (0.0, 16.0, None), (0.0, None, 17.0)), row_title="true", column_title="predicted")),
    ]  # fmt: skip
    return audit([], evidence, "review")


def followed() -> Audit:
    """An audit that was held to an earlier one, whose version has a name as bad as it gets."""
    told = {
        "metric": "recall",
        "relative": False,
        "how": "paired",
        "rows_old": 221,
        "rows_new": 221,
        "rows_common": 221,
        "rows_paired": 221,
    }
    sexes = Groups(
        by=("sex",),
        groups=(
            Group(
                key={"sex": "1"},
                n=117,
                count=59,
                status="measured",
                estimate=between(-0.08, -0.15, -0.02, 59),
            ),
            Group(
                key={"sex": "2"}, n=104, count=49, status="measured", estimate=between(0.02, -0.05, 0.09, 49)
            ),
            Group(key={"sex": "3"}, n=None, status="suppressed", reason="n < 10"),
        ),
    )
    evidence = [
        scalar("performance_change", between(-0.035, -0.08, 0.004, 108), "Change in recall since 2.0", params={**told, "old": [{"key": {}, "estimate": {"value": 0.7, "low": 0.61, "high": 0.78, "n": 108}}]}),
        Evidence(id="performance_change/sex", method="performance_change", kind="metric", title="Change in recall since 2.0", status="measured", params={**told, "old": []}, observation=sexes),
    ]  # fmt: skip
    change = finding("PER-05", "open", "The primary metric has not got worse since the last audit", "Article 15(1) and Annex IV(6)", "convention", "change in recall since 2.0 −0.03 [−0.08, 0.00], convention −0.01", threshold="at least −0.01", evidence=("performance_change",), parts=(Part(evidence="performance_change", kind="open", estimate=between(-0.035, -0.08, 0.004, 108)),))  # fmt: skip
    before = {
        "sha256": DIGEST, "name": HOSTILE[0], "version": HOSTILE[1], "finished": "2026-03-03T12:00:00+00:00", "outcome": "review",
        "model": "ab" * 32, "data": {"test": DIGEST}, "spec": DIGEST, "policies": [{"id": HOSTILE[2], "version": 1, "sha256": DIGEST}],
        "xai_audit": "0.1.0", "findings": {f"{one.policy}/{one.rule}": "pass" for one in findings_fail()},
    }  # fmt: skip
    return audit(
        [*findings_fail(), change], [*metrics(), *explanations(), *evidence], "fail", baseline=before
    )


ALL = {
    "failing": failing, "reviewed": reviewed, "passing": passing, "unmodelled": unmodelled, "hostile": hostile, "multiclass": multiclass,
    "followed": followed,
}  # fmt: skip


def located(made: Audit, path: str = "models/audit.yaml", **places: list[int]) -> Audit:
    """The same audit, made from a spec whose keys stand where they are said to; ``data__target`` is data.target."""
    spec = {
        "path": path,
        "sha256": DIGEST,
        "places": {key.replace("__", "."): at for key, at in places.items()},
    }
    return made.model_copy(update={"run": {**made.run, "spec": spec}})


def named(text: str) -> Audit:
    """An audit in which everything that a person may name is called the same, blocking fail and open warning alike."""
    said = {
        "title": text,
        "clause": text,
        "basis": "convention",
        "message": text,
        "tip": text,
        "why": text,
        "note": text,
    }
    told = [
        finding("ONE-01", "fail", **said, policy=text or "p", evidence=(identifier("recall", text or "c"),), threshold=text),
        finding("ONE-02", "fail", **said, policy=text or "p", waiver=Waiver(rule="ONE-02", reason=text, approver=text, expires=date(2027, 1, 1))),
        finding("ONE-03", "open", **said, policy=text or "p", blocking=False, level="warning", missing=(f"oversight.{text}",)),
    ]  # fmt: skip
    pieces = [
        scalar("recall", wilson(72, 108), text),
        Evidence(id="lime", method="lime", kind="explainer", title=text, status="failed", reason=text or "r"),
    ]
    about = spec(text or "s", data={"sensitive": [{"column": text or "c"}]})
    made = audit(
        told,
        pieces,
        "fail",
        spec=about,
        reasons=(text,),
        policies=({"id": text or "p", "version": text, "rules": []},),
    )
    return located(made, text or "audit.yaml", policies=[3, 1])


def hidden(content: bytes) -> set[str]:
    """Signs of a rendering that show nothing or turn the direction of writing, but for its own line ends."""
    kinds = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return {sign for sign in content.decode() if unicodedata.category(sign) in kinds} - {"\n", "\u200d"}

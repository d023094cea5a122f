from __future__ import annotations

from tests.render import audits
from xai_audit.render import thresholds


def test_each_piece_of_evidence_has_the_number_it_is_held_to_and_where_that_comes_from():
    audit = audits.failing()
    told = {
        i: (t.words, t.basis)
        for i in ("recall", "demographic_parity_ratio/sex", "invalid_labels", "train_test_overlap")
        if (t := thresholds.held(audit, i))
    }
    assert told == {
        "recall": ("at least 0.80", "declared by the provider"),
        "demographic_parity_ratio/sex": ("at least 0.80", "convention, not law"),
        "invalid_labels": ("exactly 0", "derived from law"),
        "train_test_overlap": ("at most 0.001", "derived from law"),
    }
    assert thresholds.held(audit, "accuracy") is None


def test_a_rule_that_holds_two_pieces_holds_each_to_its_own_number():
    review = next(f for f in audits.findings_fail() if f.rule == "XAI-03")
    both = review.model_copy(update={"evidence": ("shap/stability", "shap/stability_top5")})
    audit = audits.audit([both], audits.explanations(), "review")
    assert thresholds.held(audit, "shap/stability").words == "at least 0.90"
    assert thresholds.held(audit, "shap/stability_top5").words == "at least 0.80"


def test_an_interval_misses_a_threshold_only_with_its_whole_length():
    threshold = thresholds.held(audits.failing(), "recall")
    assert threshold.missed(audits.between(0.7, 0.6, 0.79, 9))
    assert not threshold.missed(audits.between(0.7, 0.6, 0.8, 9))
    assert not threshold.missed(audits.between(0.9, 0.85, 0.95, 9))

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from tests.metrics.subjects import classifier, grouping, observed


@pytest.fixture(scope="module")
def scored():
    rng = np.random.default_rng(8)
    true = rng.integers(0, 2, 800)
    scores = np.round(1 / (1 + np.exp(-(rng.normal(size=800) + 1.5 * (2 * true - 1)))), 2)
    return true, scores, rng.choice(["a", "b"], 800).tolist()


def test_scikit_learn_gives_the_same_numbers(scored) -> None:
    true, scores, groups = scored
    predicted = (scores >= 0.5).astype(int)
    subject = classifier(true, predicted, [grouping("g", groups)], scores=scores)
    found = observed(
        subject, "roc_auc", "brier_score", "log_loss", "balanced_accuracy", "f1", "matthews_corrcoef"
    )
    expected = {
        "roc_auc": sk.roc_auc_score(true, scores),
        "brier_score": sk.brier_score_loss(true, scores),
        "log_loss": sk.log_loss(true, np.column_stack([1 - scores, scores])),
        "balanced_accuracy": sk.balanced_accuracy_score(true, predicted),
        "f1": sk.f1_score(true, predicted),
        "matthews_corrcoef": sk.matthews_corrcoef(true, predicted),
    }
    for name, value in expected.items():
        estimate = found[name].observation.estimate
        assert estimate.value == pytest.approx(value, abs=1e-12)
        assert estimate.low < estimate.value < estimate.high
    inside = np.asarray(groups) == "a"
    table = found["roc_auc/g"].observation
    assert table.groups[0].estimate.value == pytest.approx(
        sk.roc_auc_score(true[inside], scores[inside]), abs=1e-12
    )
    assert table.summary.difference.low == 0


def test_scores_outside_zero_and_one_are_a_ranking(scored) -> None:
    from dataclasses import replace

    true, scores, _ = scored
    subject = classifier(true, (scores >= 0.5).astype(int), scores=scores)
    subject = replace(subject, scores=(scores * 10 - 5)[:, None], probabilities=False)
    found = observed(subject, "roc_auc", "brier_score", "log_loss", "expected_calibration_error")
    assert found["roc_auc"].observation.estimate.value == pytest.approx(sk.roc_auc_score(true, scores))
    for name in ("brier_score", "log_loss", "expected_calibration_error"):
        assert found[name].status == "skipped"
        assert "ranking" in found[name].reason


def test_calibration_error_stands_beside_its_value_under_perfect_calibration() -> None:
    rng = np.random.default_rng(1)
    scores = rng.uniform(0.05, 0.95, 2000)
    true = (rng.random(2000) < scores).astype(int)
    found = observed(
        classifier(true, (scores >= 0.5).astype(int), scores=scores), "expected_calibration_error"
    )
    plain = found["expected_calibration_error"].observation.estimate
    perfect = found["expected_calibration_error/perfect"].observation.estimate
    assert plain.low == 0
    assert 0.5 < plain.value / perfect.value < 2
    assert found["expected_calibration_error/rms"].observation.estimate.low == 0
    large = found["expected_calibration_error/in_the_large"].observation.estimate
    assert large.low < 0 < large.high


def test_a_miscalibrated_model_is_found() -> None:
    rng = np.random.default_rng(2)
    scores = rng.uniform(0.3, 0.9, 3000)
    true = (rng.random(3000) < scores - 0.25).astype(int)
    found = observed(
        classifier(true, (scores >= 0.5).astype(int), scores=scores),
        "expected_calibration_error",
        "calibration_gap",
    )
    assert found["expected_calibration_error"].observation.estimate.low > 0.2
    assert found["calibration_gap"].observation.estimate.value == pytest.approx(0.25, abs=0.03)


def test_the_same_curve_has_no_area_and_a_shifted_one_has() -> None:
    rng = np.random.default_rng(6)
    true = rng.integers(0, 2, 4000)
    group = rng.choice(["a", "b"], 4000)
    same = rng.normal(size=4000) + 1.2 * true
    weak = np.where(group == "b", rng.normal(size=4000), same)
    for raw, apart in ((same, False), (weak, True)):
        scores = 1 / (1 + np.exp(-raw))
        subject = classifier(true, (scores > 0.5).astype(int), [grouping("g", group.tolist())], scores=scores)
        area = observed(subject, "abroca")["abroca/g"].observation.summary.difference
        assert (area.low > 0) == apart


def test_calibration_curve_has_ten_bins_with_wilson_intervals(scored) -> None:
    true, scores, _ = scored
    subject = classifier(true, (scores >= 0.5).astype(int), scores=scores)
    (series,) = observed(subject, "calibration_curve")["calibration_curve"].observation.series
    assert 8 <= len(series.points) <= 10
    assert sum(point.estimate.n for point in series.points) == 800

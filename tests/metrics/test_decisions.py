from __future__ import annotations

import numpy as np
import pytest

from tests.metrics.subjects import classifier, observed


def test_the_confusion_matrix_counts_everybody() -> None:
    true = [0] * 50 + [1] * 50
    predicted = [0] * 45 + [1] * 5 + [1] * 50
    matrix = observed(classifier(true, predicted), "confusion_matrix")["confusion_matrix"]
    assert matrix.observation.values == ((45.0, 5.0), (0.0, 50.0))


def test_a_model_equal_to_the_baseline_gains_nothing_and_does_not_pass() -> None:
    gain = observed(classifier([0] * 60 + [1] * 40, [0] * 100), "baseline_improvement")[
        "baseline_improvement"
    ]
    estimate = gain.observation.estimate
    assert (estimate.value, estimate.low < 0 < estimate.high) == (0.0, True)


@pytest.mark.parametrize("metric", ["accuracy", "recall", "roc_auc", "brier_score", "log_loss", "f1"])
def test_a_good_model_gains_and_a_random_one_does_not(metric: str) -> None:
    rng = np.random.default_rng(9)
    true = rng.integers(0, 2, 2000)
    for strength, better in ((3.0, True), (0.0, False)):
        scores = 1 / (1 + np.exp(-(strength * (2 * true - 1) + rng.normal(size=2000))))
        subject = classifier(true, (scores >= 0.5).astype(int), scores=scores)
        names = ("roc_auc", "baseline_improvement") if metric == "roc_auc" else ("baseline_improvement",)
        found = observed(subject, *names, baseline_improvement={"metric": metric})["baseline_improvement"]
        assert (found.observation.estimate.low > 0) == better


def test_the_sweep_falls_with_the_threshold() -> None:
    rng = np.random.default_rng(2)
    scores = rng.random(500)
    found = observed(
        classifier((scores > 0.4).astype(int), (scores >= 0.5).astype(int), scores=scores), "threshold_sweep"
    )
    for series in found["threshold_sweep"].observation.series:
        values = [point.estimate.value for point in series.points]
        assert values == sorted(values, reverse=True)

"""No number leaves weights or clusters out without saying so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.metrics.subjects import classifier, grouping, observed
from xai_audit.subject import Subject


def doubled(subject: Subject, times: int) -> Subject:
    """Every row standing so many times, as one cluster: it says no more than the row once."""
    index = np.repeat(np.arange(subject.test.n), times)
    return classifier(
        subject.test.target[index],
        subject.prediction[index],
        [replace(one, codes=one.codes[index]) for one in subject.groupings],
        scores=subject.scores[index, 1],
        clusters=index,
    )


@pytest.fixture
def plain() -> Subject:
    rng = np.random.default_rng(12)
    true = rng.integers(0, 2, 300)
    scores = np.clip(0.5 + 0.2 * (2 * true - 1) + rng.normal(scale=0.25, size=300), 0.001, 0.999).round(2)
    groups = [grouping("g", rng.choice(["a", "b"], 300).tolist())]
    return classifier(true, (scores >= 0.5).astype(int), groups, scores=scores)


@pytest.mark.parametrize("metric", ["recall", "accuracy", "log_loss"])
def test_copies_in_clusters_do_not_narrow_the_gain_over_the_baseline(plain: Subject, metric: str) -> None:
    params = {"baseline_improvement": {"metric": metric}}
    once = observed(plain, "baseline_improvement", **params)["baseline_improvement"].observation.estimate
    many = observed(doubled(plain, 9), "baseline_improvement", **params)[
        "baseline_improvement"
    ].observation.estimate
    assert many.value == pytest.approx(once.value)
    assert many.high - many.low >= 0.95 * (once.high - once.low)


def test_copies_in_clusters_do_not_narrow_the_sweep(plain: Subject) -> None:
    once = observed(plain, "threshold_sweep")["threshold_sweep"].observation.series
    many = observed(doubled(plain, 9), "threshold_sweep")["threshold_sweep"].observation.series
    for one, other in zip(once, many, strict=True):
        for a, b in zip(one.points, other.points, strict=True):
            assert b.estimate.value == pytest.approx(a.estimate.value)
            assert b.estimate.high - b.estimate.low >= 0.95 * (a.estimate.high - a.estimate.low)


def test_a_model_equal_to_the_baseline_leaves_as_much_open_as_its_clusters(plain: Subject) -> None:
    flat = replace(plain, prediction=np.full(300, int(np.argmax(np.bincount(plain.test.target)))))
    once = observed(flat, "baseline_improvement")["baseline_improvement"].observation.estimate
    many = observed(doubled(flat, 9), "baseline_improvement")["baseline_improvement"].observation.estimate
    assert many.high >= once.high


def test_what_cannot_use_them_says_so(plain: Subject) -> None:
    clustered = doubled(plain, 3)
    found = observed(clustered, "abroca", "calibration_curve", "confusion_matrix")
    assert found["abroca"].status == "skipped"
    assert "weights or clusters" in found["abroca"].reason
    for name in ("calibration_curve", "confusion_matrix"):
        assert any("weights" in limit.lower() for limit in found[name].limits)
        assert not any("weights" in limit.lower() for limit in observed(plain, name)[name].limits)


def test_with_three_classes_the_gain_says_that_it_is_in_accuracy() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 300)
    subject = classifier(true, true, classes=("x", "y", "z"))
    found = observed(subject, "baseline_improvement", baseline_improvement={"metric": "recall"})[
        "baseline_improvement"
    ]
    assert "in accuracy" in found.params["baseline"]

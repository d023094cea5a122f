from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from tests.metrics.subjects import grouping, observed, rows
from xai_audit.subject import Subject


def regressor(true, predicted, groupings=()) -> Subject:
    return Subject(
        model=None, task="regression", columns=(), test=rows(len(true), np.asarray(true, dtype=float)),
        groupings=tuple(groupings), scores=np.asarray(predicted)[:, None], prediction=np.asarray(predicted),
    )  # fmt: skip


def test_scikit_learn_gives_the_same_numbers() -> None:
    rng = np.random.default_rng(3)
    true = rng.normal(size=500)
    predicted = true + rng.normal(scale=0.5, size=500)
    subject = regressor(true, predicted, [grouping("g", rng.choice(["a", "b"], 500).tolist())])
    found = observed(
        subject, "mean_absolute_error", "root_mean_squared_error", "r2", "baseline_improvement", "accuracy"
    )
    expected = {
        "mean_absolute_error": sk.mean_absolute_error(true, predicted),
        "root_mean_squared_error": sk.root_mean_squared_error(true, predicted),
        "r2": sk.r2_score(true, predicted),
    }
    for name, value in expected.items():
        estimate = found[name].observation.estimate
        assert estimate.value == pytest.approx(value, abs=1e-12)
        assert estimate.low < estimate.value < estimate.high
        assert found[f"{name}/g"].observation.summary.difference.low == 0
    assert found["accuracy"].status == "skipped"
    assert found["baseline_improvement"].observation.estimate.low > 0


def test_labels_that_are_not_numbers_are_left_out_and_said() -> None:
    true = [1.0, 2.0, np.nan, 4.0]
    found = observed(regressor(true, [1.0, 2.5, 3.0, 4.5]), "mean_absolute_error")["mean_absolute_error"]
    assert found.observation.estimate.value == pytest.approx(1 / 3)
    assert (found.sampling.available, found.sampling.used) == (4, 3)

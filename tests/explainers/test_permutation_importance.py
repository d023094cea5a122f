import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, log_loss, r2_score, roc_auc_score

from tests.explainers.bench import observe, subject
from tests.explainers.models import fitted
from xai_audit.errors import MethodError
from xai_audit.explainers.permutation_importance import METHOD, influences
from xai_audit.method import Skipped


def made(name, **more):
    native, train, test, target = fitted(name)
    return subject(native, train, test, target, **more)


@pytest.mark.parametrize("metric", ["roc_auc", "accuracy", "log_loss", "r2"])
def test_influences_average_to_the_loss_of_the_metric(metric):
    rng = np.random.default_rng(0)
    n = 80
    base, shuffled = rng.random(n).round(1), rng.random((n, 3)).round(1)
    target = rng.normal(size=n) if metric == "r2" else rng.integers(0, 2, n)
    scores = {
        "roc_auc": lambda s: roc_auc_score(target, s),
        "accuracy": lambda s: accuracy_score(target, s >= 0.5),
        "log_loss": lambda s: -log_loss(target, np.clip(s, 0.05, 0.95)),
        "r2": lambda s: r2_score(target, s),
    }[metric]
    given = {
        "roc_auc": lambda s: s,
        "r2": lambda s: s,
        "accuracy": lambda s: ((s >= 0.5) == target).astype(float),
        "log_loss": lambda s: (
            -np.log(np.where(target == 1, np.clip(s, 0.05, 0.95), 1 - np.clip(s, 0.05, 0.95)))
        ),
    }[metric]
    told = influences(
        metric, target, 1, given(base), np.stack([given(shuffled[:, j]) for j in range(3)], axis=1)
    )
    expected = [scores(base) - scores(shuffled[:, j]) for j in range(3)]
    assert np.allclose(told.mean(axis=0), expected, atol=1e-12)


def test_intervals_of_the_loss_of_auc_cover():
    rng = np.random.default_rng(3)

    def sample(n):
        y = rng.integers(0, 2, n)
        return y, y + rng.normal(size=n) * 1.2, rng.normal(size=n)

    y, good, bad = sample(200_000)
    truth = roc_auc_score(y, good) - roc_auc_score(y, bad)
    inside = 0
    for _ in range(400):
        y, good, bad = sample(150)
        u = influences("roc_auc", y, 1, good, bad[:, None])[:, 0]
        half = 1.976 * u.std(ddof=1) / np.sqrt(len(u))
        inside += abs(u.mean() - truth) <= half
    assert 0.92 <= inside / 400 <= 0.98


@pytest.mark.parametrize(
    ("name", "metric"),
    [("boosting", "roc_auc"), ("boosting of three in a pipeline", "accuracy"), ("boosting of numbers", "r2")],
)
def test_inputs_that_matter_lead(name, metric):
    found = observe(METHOD, made(name), repeats=4)[""]
    assert found.params["metric"] == metric
    items = found.observation.items
    assert items[0].estimate.value > 0.02
    assert items[0].estimate.low is not None
    assert [item.estimate.value for item in items] == sorted(
        (item.estimate.value for item in items), reverse=True
    )


def test_agrees_with_scikit_learn_within_the_error_of_shuffles():
    from sklearn.inspection import permutation_importance

    one = made("boosting of numbers")
    found = observe(METHOD, one, repeats=30)[""]
    theirs = permutation_importance(
        one.model.native, one.test.frame, one.test.target, scoring="r2", n_repeats=60, random_state=0
    )
    draws = found.arrays["repeats"]
    for j in range(draws.shape[1]):
        error = np.hypot(draws[:, j].std() / np.sqrt(30), theirs.importances[j].std() / np.sqrt(60))
        assert abs(draws[:, j].mean() - theirs.importances_mean[j]) < 4 * error + 1e-12


def test_an_unused_input_loses_exactly_nothing_and_ties():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=list("abc"))
    frame["constant"] = 1.0
    from sklearn.linear_model import LinearRegression

    one = subject(
        LinearRegression(),
        None,
        frame,
        (2 * frame["a"]).to_numpy(),
        scores=lambda rows: 2 * rows["a"],
        shows=False,
    )
    items = {item.name: item for item in observe(METHOD, one)[""].observation.items}
    assert items["a"].estimate.value > 1
    assert [items[name].estimate.value for name in ("b", "c", "constant")] == [0, 0, 0]
    assert {(items[name].rank_low, items[name].rank_high) for name in ("b", "c", "constant")} == {(2, 4)}


def test_what_is_undefined_is_said():
    native, train, test, target = fitted("boosting")
    same = subject(native, train, test, np.ones(len(test), dtype=int))
    found = observe(METHOD, same)[""]
    assert isinstance(found, Skipped)
    assert found.reason == "every labelled row is of one class: no roc_auc"
    unknown = subject(native, train, test, np.full(len(test), -1))
    assert observe(METHOD, unknown)[""].reason == "no row has a valid label"
    with pytest.raises(MethodError, match="does not fit"):
        observe(METHOD, same, metric="r2")
    assert target is not None


def test_same_bytes_whatever_the_order_and_the_cut():
    native, train, test, target = fitted("boosting of three in a pipeline")
    order = np.random.default_rng(1).permutation(len(test))
    first = observe(METHOD, subject(native, train, test, target), repeats=3)[""]
    second = observe(METHOD, subject(native, train, test.iloc[order], target[order]), repeats=3, piece=9)[""]
    assert json.loads(first.observation.model_dump_json()) == json.loads(second.observation.model_dump_json())

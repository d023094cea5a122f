import json

import numpy as np
import pandas as pd
import pytest

from tests.explainers.bench import observe, subject
from tests.explainers.models import fitted, people
from xai_audit.errors import MethodError
from xai_audit.explainers.partial_dependence import METHOD
from xai_audit.method import Skipped


def made(name, **more):
    native, train, test, target = fitted(name)
    return subject(native, train, test, target, **more)


@pytest.mark.parametrize("name", ["boosting", "boosting of three in a pipeline", "histogram with categories"])
def test_curves_are_the_means_of_the_model(name):
    one = made(name)
    found = observe(METHOD, one, points=5)
    assert set(found) == set(one.test.frame.columns)
    for column, measured in found.items():
        for point in measured.observation.series[0].points:
            frame = one.test.frame.copy()
            kind = frame[column].dtype
            x = point.x == "True" if kind.kind == "b" else point.x
            frame[column] = pd.Series([x] * len(frame)).astype(kind)
            answers = one.output(frame)
            assert point.estimate.value == pytest.approx(answers.mean(), abs=1e-12)
            half = 1.99 * answers.std(ddof=1) / np.sqrt(len(answers))
            assert point.estimate.high - point.estimate.value == pytest.approx(half, rel=0.01, abs=1e-12)


def test_a_linear_model_gives_its_slope():
    one = made("linear")
    points = observe(METHOD, one, columns=("debt",))["debt"].observation.series[0].points
    slopes = np.diff([p.estimate.value for p in points]) / np.diff([p.x for p in points])
    assert np.allclose(slopes, one.model.native.coef_[2], atol=1e-9)


def test_grids_take_values_that_occur_and_say_what_they_leave_out():
    frame, _ = people(200)
    frame["many"] = [f"level {j % 40}" for j in range(200)]
    frame["never"] = np.nan
    frame["one"] = "only"
    from sklearn.linear_model import LinearRegression

    one = subject(
        LinearRegression(), frame[:150], frame[150:], scores=lambda rows: rows["age"].to_numpy(), shows=False
    )
    found = observe(METHOD, one)
    assert isinstance(found["never"], Skipped)
    assert len(found["many"].observation.series[0].points) == 30
    assert "10 less frequent levels are not shown" in found["many"].limits
    assert [p.x for p in found["one"].observation.series[0].points] == ["only"]
    assert {p.x for p in found["age"].observation.series[0].points} <= set(frame["age"].astype(float))
    with pytest.raises(MethodError, match="no input is named 'agee'"):
        observe(METHOD, one, columns=("agee",))


def test_quantiles_of_rows_are_shown_only_for_enough_people():
    one = made("boosting")
    assert len(observe(METHOD, one, rows=15, columns=("age",))["age"].observation.series) == 1
    low, high = observe(METHOD, one, rows=40, columns=("age",))["age"].observation.series[1:]
    assert all(a.estimate.value <= b.estimate.value for a, b in zip(low.points, high.points, strict=True))


def test_same_bytes_whatever_the_order_and_the_cut():
    native, train, test, target = fitted("logistic in a pipeline")
    order = np.random.default_rng(1).permutation(len(test))
    first = observe(METHOD, subject(native, train, test, target))
    second = observe(
        METHOD,
        subject(native, train.sample(frac=1, random_state=0), test.iloc[order], target[order]),
        piece=9,
    )
    assert {k: json.loads(v.observation.model_dump_json()) for k, v in first.items()} == {
        k: json.loads(v.observation.model_dump_json()) for k, v in second.items()
    }

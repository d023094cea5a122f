"""Boosters made to point outside their own arrays are refused before they are asked."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from xai_audit.loaders.boosted import check_lightgbm, check_xgboost
from xai_audit.loaders.trees import FaultyTreeError


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x = np.stack([rng.normal(size=400), rng.integers(0, 6, 400)], axis=1)
    return x, (np.isin(x[:, 1], [1, 4]) & (x[:, 0] > -1)).astype(int)


@pytest.fixture(scope="module")
def light(data):
    import lightgbm

    x, y = data
    model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1, min_data_per_group=5, cat_smooth=1)
    return model.fit(x, y, categorical_feature=[1]).booster_.model_to_string()


@pytest.fixture(scope="module")
def extreme(data):
    import xgboost

    x, y = data
    kinds = ["float", "c"]
    matrix = xgboost.DMatrix(x, y, feature_types=kinds, enable_categorical=True)
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1, "gamma": 0.5}, matrix, 5)
    return bytes(booster.save_raw("json"))


def test_good_ones_pass(light, extreme):
    check_lightgbm(light)
    check_xgboost(json.loads(extreme)["learner"])
    assert "num_cat=0" not in light.partition("Tree=1")[0]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("left_child", "1000000"),
        ("left_child", "0"),
        ("right_child", "-1000000"),
        ("split_feature", "2"),
        ("split_feature", "-1"),
        ("cat_boundaries", "5"),
        ("num_leaves", "3000"),
        ("num_cat", "900"),
        ("cat_threshold", "1 1"),
        ("leaf_value", "1 1 1 1"),
    ],
)
def test_lightgbm(light, field, value):
    changed = re.sub(rf"^{field}=.*", f"{field}={value}", light, count=1, flags=re.MULTILINE)
    assert changed != light
    with pytest.raises(FaultyTreeError):
        check_lightgbm(changed)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("left_children", 10**6),
        ("right_children", 0),
        ("split_indices", 2),
        ("split_indices", -1),
        ("right_children", -1),
    ],
)
def test_xgboost(extreme, field, value):
    learner = json.loads(extreme)["learner"]
    learner["gradient_booster"]["model"]["trees"][0][field][0] = value
    with pytest.raises(FaultyTreeError):
        check_xgboost(learner)


def test_an_xgboost_tree_that_goes_round(extreme):
    learner = json.loads(extreme)["learner"]
    tree = learner["gradient_booster"]["model"]["trees"][0]
    tree["left_children"][tree["left_children"][0]] = 0
    with pytest.raises(FaultyTreeError):
        check_xgboost(learner)

"""SHAP against its definition on ten models of eight to ten original columns, encoded pipelines among them."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from sklearn import ensemble, linear_model
from sklearn.compose import make_column_transformer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from tests.explainers.bench import Bench, observe, subject
from xai_audit.explainers.rows import reference_table, smallest
from xai_audit.explainers.shap import METHOD

WORDS = ("c0", "c1")


def people(columns: int) -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(columns)
    n = 300
    frame = pd.DataFrame({f"n{j}": rng.normal(size=n).round(2) for j in range(columns - 2)})
    for name, levels in zip(WORDS, ("uvwx", "yz"), strict=True):
        frame[name] = pd.Categorical(rng.choice(list(levels), n))
    score = (
        frame["n0"] * (frame["c0"] == "u")
        + np.abs(frame["n1"])
        - 0.5 * (frame["c1"] == "y")
        + 0.3 * frame["n2"] ** 2
    )
    return frame, (score + rng.normal(scale=0.5, size=n) > 0.8).astype(int)


def coded(last, numbers: int):
    words = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    scaled = [f"n{j}" for j in range(numbers)]
    return make_pipeline(make_column_transformer((words, list(WORDS)), (StandardScaler(), scaled)), last)


def ordered(last, numbers: int):
    names = [f"n{j}" for j in range(numbers)]
    return make_pipeline(
        make_column_transformer((OrdinalEncoder(), list(WORDS)), ("passthrough", names)), last
    )


def _xgboost(numbers: int):
    import xgboost

    del numbers
    return xgboost.XGBClassifier(
        n_estimators=10, max_depth=4, enable_categorical=True, tree_method="hist", n_jobs=1
    )


def _lightgbm(numbers: int):
    import lightgbm

    del numbers
    return lightgbm.LGBMClassifier(n_estimators=10, num_leaves=15, n_jobs=1, verbose=-1)


MODELS = {
    "logistic regression, encoded": (10, lambda k: coded(linear_model.LogisticRegression(), k)),
    "ridge, encoded": (9, lambda k: coded(linear_model.Ridge(), k)),
    "tree, encoded": (8, lambda k: coded(DecisionTreeRegressor(max_depth=6, random_state=0), k)),
    "forest, encoded": (10, lambda k: coded(ensemble.RandomForestClassifier(10, random_state=0), k)),
    "boosting, encoded": (
        10,
        lambda k: coded(ensemble.GradientBoostingClassifier(n_estimators=20, random_state=0), k),
    ),
    "histogram boosting, ordinal": (
        9,
        lambda k: ordered(ensemble.HistGradientBoostingClassifier(max_iter=10), k),
    ),
    "histogram boosting with categories": (
        10,
        lambda _: ensemble.HistGradientBoostingClassifier(max_iter=10, categorical_features="from_dtype"),
    ),
    "xgboost with categories": (10, _xgboost),
    "lightgbm with categories": (10, _lightgbm),
    "neural net, encoded": (8, lambda k: coded(MLPClassifier((8,), max_iter=40, random_state=0), k)),
}


def by_definition(call, row: pd.Series, background: pd.DataFrame) -> np.ndarray:
    """Every subset of the original columns, all mixed rows written out."""
    names = list(background.columns)
    count = len(names)
    subsets = [chosen for size in range(count + 1) for chosen in combinations(range(count), size)]
    mixed = pd.concat([background] * len(subsets), ignore_index=True)
    taken = np.repeat(
        np.array([[j in chosen for j in range(count)] for chosen in subsets]), len(background), axis=0
    )
    for j, name in enumerate(names):
        column = mixed[name].astype(object)
        column[taken[:, j]] = row.iloc[j]
        mixed[name] = column.astype(background[name].dtype)
    means = call(mixed).reshape(len(subsets), len(background)).mean(axis=1)
    value = dict(zip(subsets, means, strict=True))
    phi = np.zeros(count)
    for j in range(count):
        rest = [k for k in range(count) if k != j]
        for size in range(count):
            weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            for chosen in combinations(rest, size):
                phi[j] += weight * (value[tuple(sorted((*chosen, j)))] - value[chosen])
    return phi


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", MODELS)
def test_equals_brute_force_over_the_original_columns(name: str) -> None:
    columns, build = MODELS[name]
    frame, target = people(columns)
    train, test = frame[:200].reset_index(drop=True), frame[200:].reset_index(drop=True)
    model = build(columns - 2).fit(train, target[:200])
    one = subject(model, train, test, target[200:].to_numpy() if hasattr(model, "classes_") else None)
    found = observe(METHOD, one, rows=2, background=6)
    rows = Bench(one, METHOD.params(rows=2), METHOD).sample(2)[0]
    table, _ = reference_table(one)
    background = table.frame.iloc[smallest(table, 6, 0, "background")].reset_index(drop=True)
    expected = np.stack([by_definition(one.output, one.test.frame.iloc[row], background) for row in rows])
    assert found[""].arrays["phi"].shape == (2, columns)
    assert np.abs(found[""].arrays["phi"] - expected).max() <= 1e-6 * max(1.0, np.abs(expected).max())

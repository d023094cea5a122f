"""Fitted models on one small table with numbers, levels and missing values."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pandas as pd


def people(n=360, seed=3):
    """A table whose outcome depends on interactions between numbers and levels."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 80, n),
            "income": rng.lognormal(0, 1, n).astype(np.float32).astype(float),
            "debt": rng.normal(size=n).astype(np.float32).astype(float),
            "region": rng.choice(["north", "south", "east", "west"], n),
            "job": rng.choice(["a", "b", "c"], n),
            "owner": rng.random(n) < 0.4,
        }
    )
    signal = (
        0.03 * (frame["age"] - 50)
        + frame["debt"] * (frame["region"] == "north")
        - 0.8 * (frame["job"] == "b") * (frame["income"] > 1)
        + 0.5 * frame["owner"]
    )
    return frame, signal.to_numpy() + 0.5 * rng.normal(size=n)


NUMBERS = ["age", "income", "debt"]


def numbers():
    frame, signal = people()
    return frame[NUMBERS].astype(float), signal


def fine():
    """Numbers that need 64 bits, some of which are thresholds of histogram boosting."""
    frame, signal = numbers()
    return frame + np.random.default_rng(5).normal(size=frame.shape) * 1e-9, signal


def categories():
    frame, signal = people()
    frame = frame.astype({"region": "category", "job": "category"})
    frame["owner"] = frame["owner"].astype(float)
    return frame, signal


def holes():
    frame, signal = numbers()
    frame.loc[::5, "income"] = np.nan
    return frame, signal


def encoded(last, *, scale=True):
    from sklearn.compose import make_column_transformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    first = make_column_transformer(
        (StandardScaler() if scale else "passthrough", NUMBERS),
        (OneHotEncoder(handle_unknown="ignore"), ["region", "job", "owner"]),
    )
    return make_pipeline(first, last)


def _xgb(kind, **more):
    import xgboost

    return getattr(xgboost, kind)(n_estimators=20, max_depth=3, n_jobs=1, **more)


def _lgb(kind, **more):
    import lightgbm

    return getattr(lightgbm, kind)(n_estimators=20, num_leaves=7, verbose=-1, n_jobs=1, **more)


def build(name):
    """(estimator, table maker, kind of target)."""
    from sklearn import ensemble as e
    from sklearn import linear_model as lm
    from sklearn.compose import make_column_transformer
    from sklearn.decomposition import PCA
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures
    from sklearn.tree import DecisionTreeRegressor

    small = {"n_estimators": 12, "random_state": 0}
    table = {
        "linear": (lm.LinearRegression(), numbers, "number"),
        "ridge in a pipeline": (encoded(lm.Ridge()), people, "number"),
        "poisson": (encoded(lm.PoissonRegressor()), people, "count"),
        "logistic in a pipeline": (encoded(lm.LogisticRegression()), people, "two"),
        "multinomial in a pipeline": (encoded(lm.LogisticRegression(max_iter=500)), people, "three"),
        "tree": (DecisionTreeRegressor(max_depth=5, random_state=0), numbers, "number"),
        "forest": (e.RandomForestClassifier(max_depth=6, **small), numbers, "two"),
        "forest of three": (e.ExtraTreesClassifier(max_depth=5, **small), numbers, "three"),
        "forest in a pipeline": (encoded(e.RandomForestClassifier(**small)), people, "two"),
        "boosting": (e.GradientBoostingClassifier(**small), numbers, "two"),
        "boosting of numbers": (e.GradientBoostingRegressor(**small), numbers, "number"),
        "histogram of fine numbers": (
            e.HistGradientBoostingRegressor(max_iter=12, random_state=0),
            fine,
            "number",
        ),
        "boosting, exponential": (e.GradientBoostingClassifier(loss="exponential", **small), numbers, "two"),
        "boosting of three in a pipeline": (encoded(e.GradientBoostingClassifier(**small)), people, "three"),
        "histogram": (e.HistGradientBoostingClassifier(max_iter=12, random_state=0), holes, "two"),
        "histogram with categories": (
            e.HistGradientBoostingClassifier(max_iter=12, categorical_features="from_dtype", random_state=0),
            categories,
            "two",
        ),
        "histogram, gamma": (
            e.HistGradientBoostingRegressor(max_iter=12, loss="gamma", random_state=0),
            numbers,
            "positive",
        ),
        "xgboost": (_xgb("XGBClassifier"), holes, "two"),
        "xgboost of numbers": (_xgb("XGBRegressor"), numbers, "number"),
        "xgboost with categories": (
            _xgb("XGBClassifier", enable_categorical=True, max_cat_to_onehot=1),
            categories,
            "two",
        ),
        "xgboost of three": (_xgb("XGBClassifier"), numbers, "three"),
        "lightgbm": (_lgb("LGBMClassifier"), holes, "two"),
        "lightgbm with categories": (
            _lgb("LGBMClassifier", min_data_per_group=5, cat_smooth=1.0, cat_l2=1.0),
            categories,
            "two",
        ),
        "neural net in a pipeline": (
            encoded(MLPClassifier((8,), max_iter=40, random_state=0)),
            people,
            "two",
        ),
        "neighbours": (KNeighborsRegressor(7), numbers, "number"),
        "linear over products": (
            make_pipeline(PolynomialFeatures(2), lm.LinearRegression()),
            numbers,
            "number",
        ),
        "linear over components": (
            make_pipeline(PCA(2, random_state=0), lm.LinearRegression()),
            numbers,
            "number",
        ),
        "voting in a pipeline": (
            encoded(
                e.VotingClassifier(
                    [("l", lm.LogisticRegression()), ("t", e.RandomForestClassifier(max_depth=3, **small))],
                    voting="soft",
                )
            ),
            people,
            "two",
        ),
        "search over a pipeline": (_search(), people, "two"),
        "dropped column": (
            make_pipeline(
                make_column_transformer((OneHotEncoder(), ["region"]), ("passthrough", ["debt"])),
                e.GradientBoostingClassifier(**small),
            ),
            people,
            "two",
        ),
    }
    return table[name]


def _search():
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.model_selection import GridSearchCV

    return GridSearchCV(
        encoded(GradientBoostingClassifier(n_estimators=8, random_state=0)),
        {"gradientboostingclassifier__max_depth": [2]},
        cv=2,
    )


@functools.cache
def fitted(name):
    """(fitted estimator, train, test, test target)."""
    estimator, make, kind = build(name)
    frame, signal = make()
    target = {
        "number": signal,
        "positive": np.exp(signal),
        "count": np.round(np.exp(signal)),
        "two": (signal > 0.2).astype(int),
        "three": np.digitize(signal, [-0.3, 0.6]),
    }[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(frame[:280], target[:280])
    return estimator, frame[:280], frame[280:], target[280:]

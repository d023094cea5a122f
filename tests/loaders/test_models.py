"""Models of every format answer as their own library does, on the user's own columns."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import sys
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import (
    BaggingClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Perceptron
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier
from skops import io as skops

FEATURES = ["age", "income", "city", "member"]
NUMBERS = ["age", "sex"]


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pipeline(last):
    return make_pipeline(
        make_column_transformer(
            (make_pipeline(SimpleImputer(), StandardScaler()), ["age", "income"]),
            (OneHotEncoder(handle_unknown="ignore"), ["city"]),
            (make_pipeline(SimpleImputer(strategy="most_frequent"), OrdinalEncoder()), ["city"]),
            remainder="passthrough",
        ),
        last,
    )


def saved(desk, model, name: str = "m.skops") -> dict:
    path = desk.folder / name
    if name.endswith(".skops"):
        skops.dump(model, path)
        return {"path": name}
    joblib.dump(model, path)
    return {"path": name, "trust": True, "sha256": sha(path)}


def agrees(subject, expected: np.ndarray, frame: pd.DataFrame) -> None:
    """Whether each row's score is what the library gives for it; rows are found again by their id."""
    place = {str(row): index for index, row in enumerate(frame["id"])}
    rows = [place[row] for row in subject.test.ids]
    np.testing.assert_array_equal(subject.scores, expected[rows])


@pytest.fixture(autouse=True)
def table(desk, people):
    frame = people.assign(id=[f"p{row}" for row in range(len(people))])
    desk.csv("t.csv", frame)
    return frame


class TestSkops:
    @pytest.mark.parametrize(
        "last",
        [
            LogisticRegression(),
            RandomForestClassifier(10, n_jobs=2, random_state=0),
            GradientBoostingClassifier(n_estimators=5),
            HistGradientBoostingClassifier(max_iter=5),
            MLPClassifier([3], max_iter=10, tol=1),
            StackingClassifier([("a", LogisticRegression()), ("t", DecisionTreeClassifier(max_depth=3))]),
            VotingClassifier([("a", LogisticRegression()), ("t", DecisionTreeClassifier())], voting="soft"),
            BaggingClassifier(n_estimators=3, max_features=2, random_state=0),
            CalibratedClassifierCV(LinearSVC(), cv=2),
        ],
        ids=lambda last: type(last).__name__,
    )
    @pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
    def test_pipelines_take_the_users_columns(self, desk, table, last):
        model = pipeline(last).fit(table[FEATURES], table.y)
        subject = desk.load(saved(desk, model), test="t.csv", target="y", id="id")
        if isinstance(last, RandomForestClassifier):
            last.n_jobs = 1  # with more its last bits change from call to call
        agrees(subject, model.predict_proba(table[FEATURES]), table)
        assert [column.name for column in subject.columns] == FEATURES
        assert [column.kind for column in subject.columns] == ["numeric", "numeric", "categorical", "boolean"]
        assert subject.columns[2].levels == ("Łódź", "Αθήνα", "София")
        assert subject.probabilities
        again = pickle.loads(pickle.dumps(subject.model))
        np.testing.assert_array_equal(
            again.scores(subject.test.frame[:9]), subject.model.scores(subject.test.frame[:9])
        )

    def test_dropped_columns_are_no_features(self, desk, table):
        model = make_pipeline(make_column_transformer(("passthrough", ["age"])), LogisticRegression())
        model.fit(table[["id", "age", "y"]], table.y)
        subject = desk.load(saved(desk, model), test="t.csv", target="y", id="id")
        assert [column.name for column in subject.columns] == ["age"]
        assert subject.facts["leak"] == []

    def test_columns_by_a_selector(self, desk, table):
        transformer = make_column_transformer(
            (OneHotEncoder(), make_column_selector("city")), ("passthrough", slice(0, 1))
        )
        model = make_pipeline(transformer, LogisticRegression()).fit(table[["age", "city", "sex"]], table.y)
        subject = desk.load(saved(desk, model), test="t.csv", target="y", id="id")
        agrees(subject, model.predict_proba(table[["age", "city", "sex"]]), table)
        assert [column.name for column in subject.columns] == ["age", "city"]

    @pytest.mark.parametrize("how", ["from_dtype", ["city"]])
    def test_histogram_boosting_with_categories(self, desk, table, how):
        frame = table[FEATURES].assign(city=table.city.astype("category"))
        model = HistGradientBoostingClassifier(max_iter=5, categorical_features=how).fit(frame, table.y)
        subject = desk.load(saved(desk, model), test="t.csv", target="y", id="id")
        agrees(subject, model.predict_proba(frame), table)
        trusted = subject.facts["artefact"]["trusted"]
        assert any("TreePredictor" in name for name in trusted["built_in"])
        assert trusted["spec"] == []

    def test_a_boolean_that_was_read_as_words_stays_words(self, desk, table):
        """Numbers in a file are words to an encoder that was fitted on words."""
        frame = table.assign(zip=[f"{value % 7:03d}" for value in range(len(table))])
        desk.csv("t.csv", frame)
        model = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(frame[["zip", "city"]], frame.y)
        subject = desk.load(saved(desk, model), test="t.csv", target="y", id="id")
        agrees(subject, model.predict_proba(frame[["zip", "city"]]), frame)
        assert subject.columns[0].levels == ("000", "001", "002", "003", "004", "005", "006")

    def test_numbers_declared_categorical_stay_numbers_for_the_model(self, desk, table):
        model = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(table[["sex"]], table.y)
        subject = desk.load(
            saved(desk, model), test="t.csv", target="y", id="id", categorical=["sex"], sensitive=["sex"]
        )
        agrees(subject, model.predict_proba(table[["sex"]]), table)
        assert subject.columns[0].kind == "categorical"
        assert subject.columns[0].levels == ("1", "2")
        assert subject.sensitive_inputs == ("sex",)

    def test_multi_class(self, desk, table):
        labels = np.where(table.age < 35, "young", np.where(table.age < 60, "middle", "old"))
        desk.csv("t.csv", table.assign(label=labels))
        model = LogisticRegression(max_iter=5000).fit(table[NUMBERS], labels)
        subject = desk.load(saved(desk, model), test="t.csv", target="label", id="id")
        assert subject.classes == ("middle", "old", "young")
        assert subject.scores.shape == (300, 3)
        np.testing.assert_array_equal(subject.prediction, subject.scores.argmax(axis=1))
        assert subject.evaluate(subject.test.frame, "margin").shape == (300, 3)

    @pytest.mark.parametrize(
        "model",
        [LinearRegression(), RandomForestRegressor(5), GradientBoostingRegressor(n_estimators=4)],
        ids=lambda model: type(model).__name__,
    )
    def test_regression(self, desk, table, model):
        model.fit(table[NUMBERS], table.income.fillna(0))
        subject = desk.load(saved(desk, model), test="t.csv", target="income", id="id")
        assert subject.task == "regression"
        assert subject.classes == ()
        agrees(subject, model.predict(table[NUMBERS])[:, None], table)
        assert subject.facts["invalid_labels"]["count"] == int(table.income.isna().sum())
        assert np.isnan(subject.test.target).sum() == table.income.isna().sum()

    def test_decision_values_have_zero_as_threshold(self, desk, table):
        model = LinearSVC().fit(table[NUMBERS], table.y)
        subject = desk.load(saved(desk, model), test="t.csv", target="y", id="id")
        raw = model.decision_function(table[NUMBERS])
        agrees(subject, np.stack([-raw, raw], axis=1), table)
        assert subject.threshold == 0
        assert not subject.probabilities
        assert subject.prediction.sum() == model.predict(table[NUMBERS]).sum()
        assert subject.model.details["output"] == "decision"
        turned = desk.load({**saved(desk, model), "positive": 0}, test="t.csv", target="y", id="id")
        np.testing.assert_array_equal(turned.prediction, subject.prediction)
        np.testing.assert_array_equal(turned.positive_score(), -subject.positive_score())

    def test_one_against_one_gives_decisions_alone(self, desk, table):
        labels = np.digitize(table.age, [30, 45, 60])
        desk.csv("t.csv", table.assign(label=labels))
        model = SVC(decision_function_shape="ovo").fit(table[NUMBERS], labels)
        subject = desk.load(saved(desk, model), test="t.csv", target="label", id="id")
        assert subject.scores is None
        place = {f"p{row}": label for row, label in enumerate(model.predict(table[NUMBERS]))}
        assert [subject.classes[code] for code in subject.prediction] == [
            place[row] for row in subject.test.ids
        ]

    @pytest.mark.parametrize(
        "model",
        [VotingClassifier([("t", DecisionTreeClassifier(max_depth=2))]), Perceptron()],
        ids=lambda model: type(model).__name__,
    )
    def test_models_without_probabilities(self, desk, table, model):
        model.fit(table[NUMBERS], table.y)
        subject = desk.load(saved(desk, model), test="t.csv", target="y", id="id")
        assert not subject.probabilities
        predicted = {f"p{row}": label for row, label in enumerate(model.predict(table[NUMBERS]))}
        assert list(subject.prediction) == [predicted[row] for row in subject.test.ids]

    def test_margins_are_decision_values(self, desk, table):
        model = GradientBoostingClassifier(n_estimators=5).fit(table[NUMBERS], table.y)
        subject = desk.load(saved(desk, model), test="t.csv", target="y", id="id")
        place = {f"p{row}": value for row, value in enumerate(model.decision_function(table[NUMBERS]))}
        assert list(subject.output(subject.test.frame, "margin")) == [place[row] for row in subject.test.ids]

    def test_a_bare_array_needs_the_features_in_order(self, desk, table):
        model = LogisticRegression().fit(table[NUMBERS].to_numpy(), table.y)
        error = desk.refused(saved(desk, model), test="t.csv", target="y", id="id")
        assert "data: features: [age, income, city, member, sex]" in str(error)
        assert "the model takes 2 features and 5 are given" in str(error)
        subject = desk.load(saved(desk, model), test="t.csv", target="y", id="id", features=NUMBERS)
        agrees(subject, model.predict_proba(table[NUMBERS].to_numpy()), table)
        text = str(desk.refused(saved(desk, model), test="t.csv", target="y", features=["age", "city"]))
        assert 't.csv:"city": a column of text' in text

    def test_a_missing_column_is_told_with_the_nearest(self, desk, table):
        model = LogisticRegression().fit(table[NUMBERS].rename(columns={"sex": "sexx"}), table.y)
        text = str(desk.refused(saved(desk, model), test="t.csv", target="y"))
        assert (
            "the model was fitted on 'sexx', a column that t.csv does not have; did you mean 'sex'?" in text
        )

    def test_a_wrong_list_of_features(self, desk, table):
        model = LogisticRegression().fit(table[NUMBERS], table.y)
        text = str(desk.refused(saved(desk, model), test="t.csv", target="y", features=["age", "income"]))
        assert "the model was fitted on 'sex' too" in text
        assert "the model was not fitted on 'income'" in text

    def test_target_and_id_among_the_features_are_told_to_the_rules(self, desk, table):
        frame = table.assign(id=np.arange(len(table)))
        desk.csv("t.csv", frame)
        model = LogisticRegression(max_iter=2000).fit(frame[["age", "y", "id"]], frame.y)
        subject = desk.load(saved(desk, model), test="t.csv", target="y", id="id")
        assert subject.facts["leak"] == [
            {"column": "y", "role": "target", "by": "model"},
            {"column": "id", "role": "id", "by": "model"},
        ]

    def test_details(self, desk, table):
        model = pipeline(RandomForestClassifier(7, max_depth=2, n_jobs=2)).fit(table[FEATURES], table.y)
        details = desk.load(saved(desk, model), test="t.csv", target="y").model.details
        assert details["steps"] == [
            ["columntransformer", "ColumnTransformer"],
            ["randomforestclassifier", "RandomForestClassifier"],
        ]
        assert (details["trees"], details["depth"]) == (7, 2)
        assert details["parameters"]["n_estimators"] == 7
        assert "scikit-learn" in details["versions"]
        assert json.loads(json.dumps(details, allow_nan=False)) == details

    def test_missing_values_a_model_refuses_are_placed(self, desk, table):
        model = LogisticRegression().fit(table[["age", "income"]].fillna(0), table.y)
        text = str(desk.refused(saved(desk, model), test="t.csv", target="y"))
        first = int(np.flatnonzero(table.income.isna())[0]) + 2
        assert f"the first missing value is t.csv:{first}:'income'" in text

    @pytest.mark.parametrize(
        ("thing", "expected"),
        [
            (LogisticRegression(), "is not fitted"),
            (StandardScaler(), "has no predict"),
            ([1, 2], "has no predict"),
            (IsolationForest(n_estimators=2).fit([[0.0], [1.0]]), "neither a classifier nor a regressor"),
            (DecisionTreeClassifier().fit([[0.0], [1.0]], [[0, 1], [1, 0]]), "several outputs"),
        ],
    )
    def test_what_is_no_model(self, desk, thing, expected):
        assert expected in str(desk.refused(saved(desk, thing), test="t.csv", target="y"))

    def test_types_nobody_trusts_are_named_with_the_yaml(self, desk, table):
        import xgboost

        model = xgboost.XGBClassifier(n_estimators=2).fit(table[NUMBERS], table.y)
        use = saved(desk, model)
        error = desk.refused(use, test="t.csv", target="y", id="id")
        line = "trusted_types: [xgboost.core.Booster, xgboost.sklearn.XGBClassifier]"
        assert line in str(error)
        assert error.exit_code == 2
        types = line.partition("[")[2][:-1].split(", ")
        subject = desk.load({**use, "trusted_types": types}, test="t.csv", target="y", id="id")
        agrees(subject, model.predict_proba(table[NUMBERS]), table)
        assert subject.facts["artefact"]["trusted"]["spec"] == types
        assert any("types trusted by the spec" in note for note in subject.notes)

    def test_a_digest_is_checked_before_opening(self, desk):
        desk.write("m.skops", b"PK not a zip")
        error = desk.refused({"path": "m.skops", "sha256": "0" * 64}, test="t.csv")
        assert "not the declared" in str(error)
        assert error.exit_code == 4
        assert desk.refused({"path": "m.skops"}, test="t.csv").exit_code == 4
        assert desk.refused({"path": "none.skops"}, test="t.csv").exit_code == 4


class _Bad:
    def __reduce__(self):
        return os.system, ("true",)


class TestPickles:
    @pytest.mark.parametrize("name", ["m.joblib", "m.pkl"])
    def test_need_trust_and_a_digest(self, desk, table, name):
        use = saved(desk, LogisticRegression().fit(table[NUMBERS], table.y), name)
        text = str(desk.refused({"path": name}, test="t.csv", target="y"))
        assert "trust: true and sha256" in text
        assert "model.sha256" in text
        assert "opened only with the sha256" in str(desk.refused({"path": name, "trust": True}, test="t.csv"))
        assert desk.load(use, test="t.csv", target="y").test.n == 300

    def test_a_wrong_digest_opens_nothing(self, desk):
        path = desk.folder / "m.pkl"
        path.write_bytes(pickle.dumps(_Marker(str(desk.folder / "ran"))))
        error = desk.refused({"path": "m.pkl", "trust": True, "sha256": "0" * 64}, test="t.csv")
        assert error.exit_code == 4
        assert not (desk.folder / "ran").exists()

    @pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("lzma", 3), ("xz", 3)])
    def test_compressed_files_are_read_and_scanned(self, desk, table, compress):
        model = pipeline(RandomForestClassifier(3)).fit(table[FEATURES], table.y)
        path = desk.folder / "m.joblib"
        joblib.dump(model, path, compress=compress)
        subject = desk.load(
            {"path": "m.joblib", "trust": True, "sha256": sha(path)}, test="t.csv", target="y", id="id"
        )
        agrees(subject, model.predict_proba(table[FEATURES]), table)
        assert subject.facts["artefact"] == {
            "code_carrying": True,
            "globals": [],
            "suspicious": [],
            "incomplete": None,
        }
        assert subject.model.native[-1].n_jobs == 1

    def test_a_transformer_of_ones_own_is_listed(self, desk, table):
        model = make_pipeline(FunctionTransformer(_halved), LogisticRegression()).fit(table[NUMBERS], table.y)
        subject = desk.load(saved(desk, model, "m.joblib"), test="t.csv", target="y", id="id")
        assert subject.facts["artefact"]["globals"] == [f"{_halved.__module__}._halved"]
        agrees(subject, model.predict_proba(table[NUMBERS]), table)

    def test_a_broken_file(self, desk):
        path = desk.folder / "m.pkl"
        path.write_bytes(b"\x80\x04 nothing")
        error = desk.refused({"path": "m.pkl", "trust": True, "sha256": sha(path)}, test="t.csv")
        assert error.exit_code == 4


class _Marker:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


def _halved(x):
    return x / 2


class TestBoosters:
    def frame(self, table):
        return table[["age", "income", "city"]].assign(city=table.city.astype("category"))

    @pytest.mark.parametrize("name", ["m.json", "m.ubj"])
    def test_xgboost(self, desk, table, name):
        import xgboost

        frame = self.frame(table)
        model = xgboost.XGBClassifier(n_estimators=8, enable_categorical=True).fit(frame, table.y)
        model.save_model(desk.folder / name)
        subject = desk.load({"path": name}, test="t.csv", target="y", id="id")
        # The wrapper subtracts in single precision what is subtracted in double precision here.
        np.testing.assert_allclose(subject.scores.sum(axis=1), 1, rtol=0, atol=0)
        agrees(_second(subject), model.predict_proba(frame)[:, 1:].astype(float), table)
        raw = model.get_booster().predict(xgboost.DMatrix(frame, enable_categorical=True), output_margin=True)
        place = {f"p{row}": float(value) for row, value in enumerate(raw)}
        assert list(subject.output(subject.test.frame, "margin")) == [place[row] for row in subject.test.ids]
        again = pickle.loads(pickle.dumps(subject.model))
        np.testing.assert_array_equal(
            again.scores(subject.test.frame), subject.model.scores(subject.test.frame)
        )
        assert again.native is not None
        assert any("levels of 'city' cut short" in note for note in subject.notes)

    @pytest.mark.parametrize("objective", ["multi:softprob", "multi:softmax"])
    def test_xgboost_of_three_classes(self, desk, table, objective):
        import xgboost

        labels = np.digitize(table.age, [35, 55])
        desk.csv("t.csv", table.assign(label=np.array(["young", "middle", "old"])[labels]))
        data = xgboost.DMatrix(table[NUMBERS], labels)
        booster = xgboost.train({"objective": objective, "num_class": 3, "nthread": 1}, data, 4)
        booster.save_model(desk.folder / "m.json")
        booster.set_param({"objective": "multi:softprob"})
        text = str(desk.refused({"path": "m.json"}, test="t.csv", target="label"))
        assert "are none of the model's classes '0', '1', '2'; state model: classes:" in text
        use = {"path": "m.json", "classes": ["young", "middle", "old"]}
        subject = desk.load(use, test="t.csv", target="label", id="id")
        place = {f"p{row}": index for index, row in enumerate(range(300))}
        expected = booster.predict(data).reshape(300, -1)
        assert subject.classes == ("young", "middle", "old")
        if objective == "multi:softprob":
            np.testing.assert_allclose(
                subject.scores, expected[[place[row] for row in subject.test.ids]], atol=1e-6
            )
        np.testing.assert_array_equal(subject.scores.argmax(axis=1), subject.prediction)

    def test_xgboost_regression_ranking_and_early_stopping(self, desk, table):
        import xgboost

        model = xgboost.XGBRegressor(n_estimators=50, early_stopping_rounds=2)
        model.fit(table[NUMBERS], table.age, eval_set=[(table[NUMBERS], table.y)], verbose=False)
        model.save_model(desk.folder / "m.ubj")
        subject = desk.load({"path": "m.ubj"}, test="t.csv", target="age", id="id")
        agrees(subject, model.predict(table[NUMBERS]).astype(float)[:, None], table)
        assert any("the best in training" in note for note in subject.notes)
        data = xgboost.DMatrix(table[NUMBERS], table.y)
        xgboost.train({"objective": "rank:pairwise"}, data, 2).save_model(desk.folder / "r.json")
        assert "rank:pairwise is neither" in str(desk.refused({"path": "r.json"}, test="t.csv"))

    def test_lightgbm(self, desk, table):
        import lightgbm

        frame = self.frame(table).rename(columns={"age": "age in years"})
        desk.csv("t.csv", table.rename(columns={"age": "age in years"}))
        model = lightgbm.LGBMClassifier(n_estimators=8, verbose=-1).fit(frame, table.y)
        model.booster_.save_model(desk.folder / "m.txt")
        subject = desk.load({"path": "m.txt"}, test="t.csv", target="y", id="id")
        agrees(subject, model.predict_proba(frame), table)
        assert [column.name for column in subject.columns] == ["age in years", "income", "city"]
        raw = {f"p{row}": value for row, value in enumerate(model.booster_.predict(frame, raw_score=True))}
        assert list(subject.output(subject.test.frame, "margin")) == [raw[row] for row in subject.test.ids]
        again = pickle.loads(pickle.dumps(subject.model))
        np.testing.assert_array_equal(
            again.scores(subject.test.frame), subject.model.scores(subject.test.frame)
        )
        wrapped = desk.load(saved(desk, model, "m.joblib"), test="t.csv", target="y", id="id")
        np.testing.assert_array_equal(wrapped.scores, subject.scores)

    def test_lightgbm_regression_and_three_classes(self, desk, table):
        import lightgbm

        model = lightgbm.LGBMRegressor(n_estimators=3, verbose=-1).fit(table[NUMBERS].to_numpy(), table.age)
        model.booster_.save_model(desk.folder / "m.txt")
        subject = desk.load({"path": "m.txt"}, test="t.csv", target="age", id="id", features=NUMBERS)
        agrees(subject, model.predict(table[NUMBERS].to_numpy())[:, None], table)
        labels = np.digitize(table.age, [35, 55])
        desk.csv("t.csv", table.assign(label=labels))
        model = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(table[NUMBERS], labels)
        model.booster_.save_model(desk.folder / "m.txt")
        subject = desk.load({"path": "m.txt"}, test="t.csv", target="label", id="id")
        agrees(subject, model.predict_proba(table[NUMBERS]), table)

    @pytest.mark.parametrize("name", ["m.json", "m.ubj", "m.txt", "m.onnx"])
    def test_broken_files(self, desk, name):
        for content in (b"", b"{}", b"{", b"tree\nversion=v4\n", b"tree\nend of trees\n", os.urandom(64)):
            desk.write(name, content)
            assert desk.refused({"path": name}, test="t.csv").exit_code == 4


def _second(subject):
    """A subject that shows the second column of its scores alone."""
    from dataclasses import replace

    return replace(subject, scores=subject.scores[:, 1:])


class TestOnnx:
    def graph(
        self,
        path: Path,
        *,
        zipmap: bool = False,
        columns: bool = False,
        batch: int | None = None,
        names=(0, 1),
    ):
        import onnx
        from onnx import TensorProto, helper

        keys = (
            {"classlabels_ints": list(names)}
            if isinstance(names[0], int)
            else {"classlabels_strings": list(names)}
        )
        kind = TensorProto.INT64 if isinstance(names[0], int) else TensorProto.STRING
        nodes = [
            helper.make_node(
                "LinearClassifier", ["X"], ["label", "p"], domain="ai.onnx.ml", coefficients=[-0.1, 0.2, 0.1, -0.2],
                intercepts=[4.0, -4.0], multi_class=0, post_transform="SOFTMAX", **keys,
            )
        ]  # fmt: skip
        inputs = [helper.make_tensor_value_info("X", TensorProto.FLOAT, [batch, 2])]
        if columns:
            nodes.insert(0, helper.make_node("Concat", ["age", "sexf"], ["X"], axis=1))
            nodes.insert(0, helper.make_node("Cast", ["sex"], ["sexf"], to=TensorProto.FLOAT))
            inputs = [
                helper.make_tensor_value_info("age", TensorProto.FLOAT, [batch, 1]),
                helper.make_tensor_value_info("sex", TensorProto.INT64, [batch, 1]),
            ]
        outputs = [helper.make_tensor_value_info("label", kind, [batch])]
        if zipmap:
            same = {key.replace("_ints", "_int64s"): value for key, value in keys.items()}
            nodes.append(helper.make_node("ZipMap", ["p"], ["z"], domain="ai.onnx.ml", **same))
            maps = helper.make_map_type_proto(kind, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
            outputs.append(helper.make_value_info("z", helper.make_sequence_type_proto(maps)))
        else:
            outputs.append(helper.make_tensor_value_info("p", TensorProto.FLOAT, [batch, 2]))
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
        graph = helper.make_graph(nodes, "g", inputs, outputs)
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)

    def expected(self, table) -> np.ndarray:
        raw = table[NUMBERS].to_numpy(float) @ np.array([[-0.1, 0.1], [0.2, -0.2]]) + [4, -4]
        powers = np.exp(raw)
        return powers / powers.sum(axis=1, keepdims=True)

    @pytest.mark.parametrize(
        "shape", [{}, {"zipmap": True}, {"columns": True}, {"batch": 7}, {"batch": 1000}]
    )
    def test_a_linear_classifier(self, desk, table, shape):
        self.graph(desk.folder / "m.onnx", **shape)
        features = {} if shape.get("columns") else {"features": NUMBERS}
        subject = desk.load({"path": "m.onnx"}, test="t.csv", target="y", id="id", **features)
        place = {f"p{row}": values for row, values in enumerate(self.expected(table))}
        np.testing.assert_allclose(subject.scores, [place[row] for row in subject.test.ids], atol=1e-6)
        assert subject.probabilities
        assert subject.model.details["output"] == "probabilities"
        again = pickle.loads(pickle.dumps(subject.model))
        np.testing.assert_array_equal(
            again.scores(subject.test.frame), subject.model.scores(subject.test.frame)
        )

    @pytest.mark.usefixtures("table")
    def test_a_broken_graph_is_one_line_and_prints_nothing(self, desk, capsys):
        self.graph(desk.folder / "m.onnx")
        path = desk.folder / "m.onnx"
        path.write_bytes(path.read_bytes().replace(b"LinearClassifier", b"LinearClass\xaffier"))
        error = desk.refused({"path": "m.onnx"}, test="t.csv", target="y", features=NUMBERS)
        assert len(error.mistakes) == 1
        # onnxruntime's own fallback would print on stdout.
        assert capsys.readouterr() == ("", "")

    def test_class_names_of_a_zipmap(self, desk, table):
        self.graph(desk.folder / "m.onnx", zipmap=True, names=("no", "yes"))
        desk.csv("t.csv", table.assign(y=np.where(table.y, "yes", "no")))
        subject = desk.load({"path": "m.onnx"}, test="t.csv", target="y", features=NUMBERS)
        assert subject.classes == ("no", "yes")

    def test_a_file_that_changed_is_not_opened_in_a_worker(self, desk):
        self.graph(desk.folder / "m.onnx")
        subject = desk.load({"path": "m.onnx"}, test="t.csv", target="y", features=NUMBERS)
        sent = pickle.dumps(subject.model)
        self.graph(desk.folder / "m.onnx", batch=3)
        with pytest.raises(Exception, match="changed while the audit ran"):
            pickle.loads(sent).scores(subject.test.frame)

    def test_the_order_of_one_matrix_must_be_stated(self, desk):
        self.graph(desk.folder / "m.onnx")
        assert "list them in the order" in str(
            desk.refused({"path": "m.onnx"}, test="t.csv", target="y", id="id")
        )


class TestPython:
    CODE = "import numpy as np\ndef one(x):\n    return 1 / (1 + np.exp((50 - x['age'].to_numpy()) / 10))\n\ndef two(x):\n    p = one(x)\n    return np.stack([1 - p, p], axis=1)\n\ndef hard(x):\n    return (x['age'] > 50).to_numpy()\n\ndef bare(x):\n    return x['age'] * 3\n\ndef words(x):\n    return np.where(x['city'] == 'a', 'yes', 'no')\n\ndef fails(x):\n    raise RuntimeError('no luck')\n\nnumber = 3\n"

    def use(self, desk, function: str, **more) -> dict:
        desk.write("scorer.py", self.CODE)
        return {
            "entry": f"scorer.py:{function}",
            "trust": True,
            "sha256": sha(desk.folder / "scorer.py"),
            **more,
        }

    @pytest.mark.parametrize("function", ["one", "two"])
    def test_probabilities(self, desk, table, function):
        subject = desk.load(self.use(desk, function), test="t.csv", target="y", id="id", features=["age"])
        second = 1 / (1 + np.exp((50 - table.age.to_numpy()) / 10))
        agrees(subject, np.stack([1 - second, second], axis=1), table)
        assert subject.probabilities
        again = pickle.loads(pickle.dumps(subject.model))
        np.testing.assert_array_equal(
            again.scores(subject.test.frame), subject.model.scores(subject.test.frame)
        )
        assert subject.facts["artefact"]["code_carrying"]

    def test_decisions_and_bare_scores(self, desk, table):
        subject = desk.load(self.use(desk, "hard"), test="t.csv", target="y", id="id")
        assert subject.scores is None
        assert subject.prediction.sum() == (table.age > 50).sum()
        subject = desk.load(self.use(desk, "bare", threshold=150), test="t.csv", target="y", id="id")
        assert subject.scores.shape == (300, 1)
        assert subject.prediction.sum() == (table.age * 3 >= 150).sum()
        assert subject.model.classes is None
        subject = desk.load(self.use(desk, "bare", task="regression"), test="t.csv", target="income", id="id")
        assert subject.task == "regression"

    @pytest.mark.parametrize(
        ("function", "expected"),
        [
            ("onee", "has no function 'onee'; did you mean 'one'?"),
            ("number", "is no function"),
            ("words", "not numbers"),
            ("fails", "RuntimeError: no luck"),
        ],
    )
    def test_what_goes_wrong(self, desk, function, expected):
        assert expected in str(desk.refused(self.use(desk, function), test="t.csv", target="y"))

    def test_needs_trust_and_its_own_digest(self, desk):
        self.use(desk, "one")
        assert "trust: true" in str(desk.refused({"entry": "scorer.py:one"}, test="t.csv"))
        wrong = {"entry": "scorer.py:one", "trust": True, "sha256": "0" * 64}
        assert desk.refused(wrong, test="t.csv").exit_code == 4
        assert "module.py:function is asked" in str(desk.refused({"path": "scorer.py"}, test="t.csv"))
        missing = {"entry": "nowhere.at_all:f", "trust": True, "sha256": "0" * 64}
        assert desk.refused(missing, test="t.csv").exit_code == 4

    def test_a_module_of_a_package(self, desk, monkeypatch):
        folder = desk.folder / "made"
        folder.mkdir()
        (folder / "__init__.py").write_text("raise RuntimeError('the package is never imported')")
        (folder / "scorer.py").write_text(self.CODE)
        monkeypatch.setattr(sys, "path", [str(desk.folder), *sys.path])
        use = {"entry": "made.scorer:one", "trust": True, "sha256": sha(folder / "scorer.py")}
        assert desk.load(use, test="t.csv", target="y").probabilities


class TestCrafted:
    """Files made to make compiled code read outside its arrays are refused before it is asked."""

    def repack(self, desk, model, change) -> dict:
        import zipfile

        skops.dump(model, desk.folder / "m.skops")
        with zipfile.ZipFile(desk.folder / "m.skops") as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        schema = json.loads(parts["schema.json"])
        change(schema, parts)
        parts["schema.json"] = json.dumps(schema).encode()
        with zipfile.ZipFile(desk.folder / "m.skops", "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, content)
        return {"path": "m.skops"}

    def nodes(self, schema, parts, field, value, row=0):
        """Overwrite one field of the first tree's nodes."""
        import io

        found = next(
            item
            for item in _mappings(schema)
            if item.get("__class__") in ("Tree", "TreePredictor") and "content" in item
        )
        name = found["content"]["content"]["nodes"]["file"]
        nodes = np.load(io.BytesIO(parts[name]))
        nodes[field][row] = value
        buffer = io.BytesIO()
        np.save(buffer, nodes)
        parts[name] = buffer.getvalue()

    @pytest.mark.parametrize(
        ("field", "value"),
        [("left_child", 10**9), ("right_child", 0), ("left_child", -7), ("feature", 10**9), ("feature", -2)],
    )
    @pytest.mark.parametrize(
        "model",
        [DecisionTreeClassifier(), RandomForestClassifier(2), GradientBoostingClassifier(n_estimators=2)],
        ids=lambda model: type(model).__name__,
    )
    def test_nodes_of_a_tree(self, desk, table, model, field, value):
        model.fit(table[NUMBERS], table.y)
        use = self.repack(desk, model, lambda schema, parts: self.nodes(schema, parts, field, value))
        text = str(desk.refused(use, test="t.csv", target="y"))
        assert "made to do harm" in text

    @pytest.mark.parametrize(
        ("field", "value"), [("left", 10**9), ("right", 0), ("feature_idx", 10**9), ("feature_idx", -1)]
    )
    def test_nodes_of_histogram_boosting(self, desk, table, field, value):
        model = HistGradientBoostingClassifier(max_iter=2).fit(table[NUMBERS], table.y)
        use = self.repack(desk, model, lambda schema, parts: self.nodes(schema, parts, field, value))
        assert "made to do harm" in str(desk.refused(use, test="t.csv", target="y"))

    def test_a_bitset_beyond_the_last(self, desk, table):
        frame = table[["age", "city"]].assign(city=table.city.astype("category"))
        model = HistGradientBoostingClassifier(max_iter=3, categorical_features=["city"]).fit(
            frame, table.age > 50
        )
        model = HistGradientBoostingClassifier(max_iter=3, categorical_features=["city"]).fit(
            frame, table.city == "Łódź"
        )

        def change(schema, parts):
            self.nodes(schema, parts, "bitset_idx", 10**6)

        assert "categories point outside" in str(
            desk.refused(self.repack(desk, model, change), test="t.csv", target="y")
        )

    @pytest.mark.parametrize("place", [0, 2])
    def test_sizes_that_do_not_agree(self, desk, table, place):
        model = DecisionTreeClassifier().fit(table[NUMBERS], table.y)

        def change(schema, parts):
            tree = next(item for item in _mappings(schema) if "__reduce__" in item)
            tree["__reduce__"]["args"]["content"][place]["content"] = "1000000"

        text = str(desk.refused(self.repack(desk, model, change), test="t.csv", target="y"))
        assert "made to do harm" in text

    def test_arrays_that_borrow_anothers_identity(self, desk, table):
        """skops takes the first node of an id, so a check of the second would look at the wrong array."""
        model = RandomForestClassifier(2).fit(table[NUMBERS], table.y)

        def change(schema, parts):
            trees = [item for item in _mappings(schema) if "__reduce__" in item]
            first, second = (tree["content"]["content"] for tree in trees)
            second["nodes"]["__id__"] = first["nodes"]["__id__"]

        assert "share one identity" in str(
            desk.refused(self.repack(desk, model, change), test="t.csv", target="y")
        )

    def test_a_tree_written_in_another_way(self, desk, table):
        model = DecisionTreeClassifier().fit(table[NUMBERS], table.y)

        def change(schema, parts):
            tree = next(item for item in _mappings(schema) if "__reduce__" in item)
            tree["__loader__"] = "ObjectNode"

        text = str(desk.refused(self.repack(desk, model, change), test="t.csv", target="y"))
        assert "made to do harm" in text


def _mappings(value):
    from xai_audit.loaders.trees import _mappings as walk

    return walk(value)


class TestFormats:
    def test_no_model_at_all(self, desk):
        assert "there is no model" in str(desk.refused({}, test="t.csv"))
        assert "needs a path" in str(desk.refused({"format": "skops"}, test="t.csv"))
        assert "names no model format" in str(desk.refused({"path": "m.bin"}, test="t.csv"))
        assert "has no path" in str(
            desk.refused({"format": "predictions", "path": "m.skops", "score": "y"}, test="t.csv")
        )

    def test_a_task_that_the_model_does_not_do(self, desk, table):
        use = saved(desk, LinearRegression().fit(table[NUMBERS], table.y))
        assert "does regression, not classification" in str(
            desk.refused({**use, "task": "classification"}, test="t.csv", target="y")
        )
        assert "a regression has no classes" in str(
            desk.refused({**use, "positive": 1}, test="t.csv", target="y")
        )

    def test_the_table_of_formats_matches_the_suffixes(self):
        from xai_audit.loaders import DATA, MODELS, opening, tables

        assert {suffix: item.id for item in MODELS.values() for suffix in item.suffixes} == dict(
            opening.SUFFIXES
        )
        assert {suffix: item.id for item in DATA.values() for suffix in item.suffixes} == dict(
            tables.SUFFIXES
        )

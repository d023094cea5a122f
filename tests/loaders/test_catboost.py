"""CatBoost models answer as the library does, on the user's own columns; damaged files are refused."""

from __future__ import annotations

import json
import pickle
import random

import catboost
import numpy as np
import pandas as pd
import pytest

from xai_audit.loaders.trial import survives

QUIET = {"iterations": 8, "depth": 3, "verbose": 0, "allow_writing_files": False, "thread_count": 1}
MIXED = ["age", "city", "member"]
NUMBERS = ["age", "sex"]


def agrees(subject, expected: np.ndarray, frame: pd.DataFrame) -> None:
    place = {str(row): index for index, row in enumerate(frame["id"])}
    np.testing.assert_array_equal(subject.scores, expected[[place[row] for row in subject.test.ids]])


@pytest.fixture(autouse=True)
def table(desk, people):
    frame = people.assign(id=[f"p{row}" for row in range(len(people))])
    desk.csv("t.csv", frame)
    return frame


def loaded(desk, model, target: str = "y", test: str = "t.csv", **more):
    model.save_model(str(desk.folder / "m.cbm"))
    return desk.load({"path": "m.cbm"}, test=test, target=target, id="id", **more)


def test_words_and_booleans_are_categories_as_in_training(desk, table):
    model = catboost.CatBoostClassifier(cat_features=["city", "member"], **QUIET).fit(table[MIXED], table.y)
    subject = loaded(desk, model)
    agrees(subject, model.predict_proba(table[MIXED]), table)
    assert subject.probabilities
    assert [column.kind for column in subject.columns] == ["numeric", "categorical", "categorical"]
    raw = model.predict(table[MIXED], prediction_type="RawFormulaVal")
    place = {f"p{row}": value for row, value in enumerate(raw)}
    assert list(subject.output(subject.test.frame, "margin")) == [place[row] for row in subject.test.ids]
    again = pickle.loads(pickle.dumps(subject.model))
    np.testing.assert_array_equal(again.scores(subject.test.frame), subject.model.scores(subject.test.frame))
    details = subject.model.details
    assert (details["objective"], details["trees"], details["categorical"]) == (
        "Logloss",
        8,
        ["city", "member"],
    )
    assert json.loads(json.dumps(details)) == details


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_whole_numbers_as_categories_and_missing_ones_as_the_word_nan(desk, table, name):
    frame = table.assign(zip=np.arange(len(table)) % 5)
    frame.loc[frame.index % 7 == 0, "city"] = np.nan
    frame.to_parquet(desk.folder / "t.parquet")
    desk.csv("t.csv", frame)
    given = frame[["age", "city", "zip"]].assign(city=frame.city.astype(object).fillna("nan"))
    model = catboost.CatBoostClassifier(cat_features=["city", "zip"], **QUIET).fit(given, frame.y)
    subject = loaded(desk, model, test=name)
    agrees(subject, model.predict_proba(given), frame)
    assert any("as the word 'nan'" in note for note in subject.notes)


def test_missing_numbers_stay_missing_and_columns_go_by_name(desk, table):
    model = catboost.CatBoostClassifier(**QUIET).fit(table[["income", "age"]], table.y)
    subject = loaded(desk, model)
    agrees(subject, model.predict_proba(table[["income", "age"]]), table)
    assert [column.name for column in subject.columns] == ["income", "age"]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (lambda t: np.where(t.y == 1, "yes", "no"), ("no", "yes")),
        (lambda t: np.digitize(t.age, [35, 55]), (0, 1, 2)),
        (
            lambda t: np.array(["young", "middle", "old"])[np.digitize(t.age, [35, 55])],
            ("middle", "old", "young"),
        ),
    ],
)
def test_class_labels_are_the_models_own(desk, table, labels, classes):
    frame = table.assign(label=labels(table))
    desk.csv("t.csv", frame)
    model = catboost.CatBoostClassifier(**QUIET).fit(frame[NUMBERS], frame.label)
    subject = loaded(desk, model, target="label")
    assert subject.classes == classes
    agrees(subject, model.predict_proba(frame[NUMBERS]), frame)


def test_one_against_all_gives_margins_not_probabilities(desk, table):
    frame = table.assign(label=np.digitize(table.age, [35, 55]))
    desk.csv("t.csv", frame)
    model = catboost.CatBoostClassifier(loss_function="MultiClassOneVsAll", **QUIET)
    model.fit(frame[NUMBERS], frame.label)
    subject = loaded(desk, model, target="label")
    assert not subject.probabilities
    place = {f"p{row}": label for row, label in enumerate(model.predict(frame[NUMBERS])[:, 0])}
    assert [subject.classes[code] for code in subject.prediction] == [place[row] for row in subject.test.ids]


@pytest.mark.parametrize("loss", ["RMSE", "Quantile:alpha=0.3", "Poisson"])
def test_regression(desk, table, loss):
    model = catboost.CatBoostRegressor(loss_function=loss, **QUIET).fit(table[NUMBERS], table.age)
    subject = loaded(desk, model, target="age")
    assert subject.task == "regression"
    agrees(subject, model.predict(table[NUMBERS])[:, None], table)


def test_a_bare_array_needs_the_features_in_order(desk, table):
    given = [[int(age), city] for age, city in zip(table.age, table.city, strict=True)]
    model = catboost.CatBoostClassifier(cat_features=[1], **QUIET).fit(given, table.y)
    model.save_model(str(desk.folder / "m.cbm"))
    assert "list them in the order" in str(desk.refused({"path": "m.cbm"}, test="t.csv", target="y", id="id"))
    subject = loaded(desk, model, features=["age", "city"])
    agrees(subject, model.predict_proba(given), table)


def test_a_text_column(desk, table):
    rng = np.random.default_rng(0)
    said = [
        " ".join(rng.choice(["good", "fine"] if label else ["bad", "poor"], 3)) + " thing"
        for label in table.y
    ]
    frame = table.assign(said=said)
    desk.csv("t.csv", frame)
    model = catboost.CatBoostClassifier(text_features=["said"], **QUIET).fit(frame[["age", "said"]], frame.y)
    subject = loaded(desk, model)
    agrees(subject, model.predict_proba(frame[["age", "said"]]), frame)


def test_shapley_values_explain_it_as_any_other_model(desk, table):
    from tests.metrics.subjects import observed

    model = catboost.CatBoostClassifier(cat_features=["city"], **QUIET).fit(table[["age", "city"]], table.y)
    subject = loaded(desk, model)
    found = observed(subject, "shap", shap={"rows": 6, "background": 10, "resamples": 5})
    assert found["shap"].status == "measured"
    assert {item.name for item in found["shap"].observation.items} == {"age", "city"}


def test_rankings_and_several_outputs_are_refused(desk, table):
    ranker = catboost.CatBoostRanker(**QUIET).fit(table[NUMBERS], table.y, group_id=np.arange(300) // 10)
    ranker.save_model(str(desk.folder / "r.cbm"))
    assert "the loss YetiRank is neither" in str(desk.refused({"path": "r.cbm"}, test="t.csv"))
    both = catboost.CatBoostRegressor(loss_function="MultiRMSE", **QUIET)
    both.fit(table[NUMBERS], table[["age", "y"]]).save_model(str(desk.folder / "r.cbm"))
    assert "the loss MultiRMSE is neither" in str(desk.refused({"path": "r.cbm"}, test="t.csv"))


@pytest.mark.parametrize("content", [b"", b"CBM1", b"{}", b"CBM1\x00\x01\x00\x00garbage"])
def test_what_is_no_model(desk, content):
    desk.write("m.cbm", content)
    error = desk.refused({"path": "m.cbm"}, test="t.csv")
    assert "cannot be read as a CatBoost model" in str(error)
    assert error.exit_code == 4


def test_damaged_files_end_a_process_of_their_own_at_most(desk, table):
    """Some of these end the process that reads them; which ones, a process of its own finds out."""
    model = catboost.CatBoostClassifier(cat_features=["city"], **QUIET).fit(table[["age", "city"]], table.y)
    model.save_model(str(desk.folder / "m.cbm"))
    good = (desk.folder / "m.cbm").read_bytes()
    assert survives("catboost", good) is None
    draw = random.Random(3)
    for _ in range(3):
        bad = bytearray(good)
        for _ in range(40):
            bad[draw.randrange(8, len(bad))] = draw.randrange(256)
        desk.write("m.cbm", bytes(bad))
        error = desk.refused({"path": "m.cbm"}, test="t.csv")
        assert len(str(error).splitlines()) == 1
        assert error.exit_code == 4

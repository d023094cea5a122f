"""The small checks of data and model file, on planted defects in real files read by the loaders."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder
from statsmodels.stats.proportion import proportion_confint

from tests.metrics.subjects import observed
from xai_audit.errors import SpecError
from xai_audit.evidence import Estimate, Evidence
from xai_audit.loaders import load
from xai_audit.reading import read_specs
from xai_audit.subject import Subject


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def subject(folder: Path, model: str, data: str = "train: {path: train.csv}, target: y") -> Subject:
    (folder / "audit.yaml").write_text(
        f"version: 1\nsystem: {{name: checks}}\nmodel: {{{model}}}\ndata: {{test: {{path: test.csv}}, {data}}}\n",
        encoding="utf-8",
    )
    (spec,) = read_specs([folder / "audit.yaml"])
    return load(spec)


def function(folder: Path, source: str, task: str = "classification") -> str:
    """A model that is a Python function, so that what it reads is known."""
    path = folder / "net.py"
    path.write_text(f"import numpy as np\n\ndef score(x):\n    return {source}\n", encoding="utf-8")
    classes = ", classes: [0, 1], positive: 1" if task == "classification" else ""
    return (
        f'entry: "net.py:score", format: python, trust: true, sha256: "{digest(path)}", task: {task}{classes}'
    )


def people(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    made = pd.DataFrame(
        {
            "a": rng.normal(size=n).round(6),
            "b": rng.normal(size=n).round(6),
            "c": rng.choice(["x", "y"], n),
            "sex": rng.choice([1, 2], n),
        }
    )
    made["y"] = (made["a"] + made["b"] + rng.normal(size=n) > 0).astype(int)
    return made


def written(folder: Path, train: pd.DataFrame, test: pd.DataFrame) -> None:
    train.to_csv(folder / "train.csv", index=False)
    test.to_csv(folder / "test.csv", index=False)


def estimate(piece: Evidence) -> Estimate:
    assert piece.status == "measured", piece.reason
    assert piece.observation is not None
    assert piece.observation.shape == "scalar"
    return piece.observation.estimate


LINEAR = "1 / (1 + np.exp(-x['a'] - x['b']))"
FEATURES = "train: {path: train.csv}, target: y, features: [a, b, c]"


# ---------------------------------------------------------------------------------------------- train_test_overlap
@pytest.mark.parametrize("planted", [0, 1, 17])
def test_planted_overlap_is_counted_to_the_row(tmp_path: Path, planted: int) -> None:
    train, test = people(200, 1), people(90, 2)
    test.iloc[:planted] = train.iloc[50 : 50 + planted]
    # The same inputs under another label are another row; so is a row that differs in the last digit.
    near = train.iloc[[150, 151]].copy()
    near.iloc[0, near.columns.get_loc("y")] = 1 - near["y"].iloc[0]
    near.iloc[1, near.columns.get_loc("a")] += 1e-6
    written(tmp_path, train, pd.concat([test, near]))
    found = observed(subject(tmp_path, function(tmp_path, LINEAR), FEATURES), "train_test_overlap")
    shown = estimate(found["train_test_overlap"])
    assert (shown.value, shown.n) == (planted / 92, 92)
    assert shown.exact


def test_overlap_without_training_data_is_skipped(tmp_path: Path) -> None:
    people(60, 2).to_csv(tmp_path / "test.csv", index=False)
    made = subject(tmp_path, function(tmp_path, LINEAR), "target: y, features: [a, b, c]")
    piece = observed(made, "train_test_overlap")["train_test_overlap"]
    assert piece.status == "skipped"
    assert "training data" in (piece.reason or "")


# ---------------------------------------------------------------------------------------------- invalid_labels
def test_missing_and_unknown_labels_are_counted(tmp_path: Path) -> None:
    train, test = people(200, 1), people(90, 2)
    labels = test["y"].astype(object)
    labels.iloc[:4] = None
    labels.iloc[4:7] = 7
    test["y"] = labels
    written(tmp_path, train, test)
    made = subject(tmp_path, function(tmp_path, LINEAR), FEATURES)
    shown = estimate(observed(made, "invalid_labels")["invalid_labels"])
    assert (shown.value, shown.n) == (7, 90)
    # They count in no rate.
    assert estimate(observed(made, "accuracy")["accuracy"]).n == 83


def test_whole_labels_count_none(tmp_path: Path) -> None:
    written(tmp_path, people(200, 1), people(90, 2))
    made = subject(tmp_path, function(tmp_path, LINEAR), FEATURES)
    assert estimate(observed(made, "invalid_labels")["invalid_labels"]).value == 0


# ---------------------------------------------------------------------------------------------- target_leak
@pytest.mark.parametrize(
    ("features", "roles"),
    [(["a", "b"], []), (["a", "y"], ["target"]), (["a", "person", "y"], ["id", "target"])],
)
def test_target_and_identifier_among_the_inputs(
    tmp_path: Path, features: list[str], roles: list[str]
) -> None:
    train, test = people(200, 1), people(90, 2)
    train["person"], test["person"] = range(200), range(1000, 1090)
    written(tmp_path, train, test)
    model = LogisticRegression().fit(train[features], train["y"])
    skops.io.dump(model, tmp_path / "model.skops")
    made = subject(
        tmp_path, "path: model.skops, positive: 1", "train: {path: train.csv}, target: y, id: person"
    )
    piece = observed(made, "target_leak")["target_leak"]
    assert estimate(piece).value == len(roles)
    for role in roles:
        assert any(f"is the {role} and a model input" in line for line in piece.limits)


# ---------------------------------------------------------------------------------------------- artefact_safety
class _Planted:
    """A call that opening the file would make."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder / "opened"),)


def test_a_pickle_that_asks_for_more_than_a_model_needs(tmp_path: Path) -> None:
    train, test = people(200, 1), people(90, 2)
    written(tmp_path, train, test)
    model = LogisticRegression().fit(train[["a", "b"]], train["y"])
    model.planted_ = _Planted(tmp_path)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    sha256 = digest(tmp_path / "model.pkl")
    with pytest.raises(SpecError, match="trust"):
        subject(tmp_path, f'path: model.pkl, sha256: "{sha256}", positive: 1')
    assert not (tmp_path / "opened").exists()

    made = subject(tmp_path, f'path: model.pkl, trust: true, sha256: "{sha256}", positive: 1')
    assert (tmp_path / "opened").exists()  # trusted by its digest, so it was opened and did what it does
    piece = observed(made, "artefact_safety")["artefact_safety"]
    assert estimate(piece).value == 1
    assert any("mkdir" in line for line in piece.limits)
    assert any("can carry code" in line for line in piece.limits)


def test_a_plain_pickle_and_a_skops_file_ask_for_nothing_odd(tmp_path: Path) -> None:
    train, test = people(200, 1), people(90, 2)
    written(tmp_path, train, test)
    model = LogisticRegression().fit(train[["a", "b"]], train["y"])
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    skops.io.dump(model, tmp_path / "model.skops")
    sha256 = digest(tmp_path / "model.pkl")
    plain = observed(
        subject(tmp_path, f'path: model.pkl, trust: true, sha256: "{sha256}", positive: 1'), "artefact_safety"
    )["artefact_safety"]
    assert estimate(plain).value == 0
    assert any("can carry code" in line for line in plain.limits)
    skopsed = observed(subject(tmp_path, "path: model.skops, positive: 1"), "artefact_safety")[
        "artefact_safety"
    ]
    assert estimate(skopsed).value == 0
    assert not any("can carry code" in line for line in skopsed.limits)


# ---------------------------------------------------------------------------------------------- protected_flip_rate
SENSITIVE = "train: {path: train.csv}, target: y, features: [a, b, sex], sensitive: [sex]"


def test_a_model_that_decides_by_sex_flips_exactly_where_it_does(tmp_path: Path) -> None:
    test = people(400, 2)
    written(tmp_path, people(200, 1), test)
    made = subject(
        tmp_path, function(tmp_path, "1 / (1 + np.exp(-x['a'] - 0.8 * (x['sex'] == 2)))"), SENSITIVE
    )
    # A score of 0.5 is reached from a = -0.8 by those coded 2 and from a = 0 by those coded 1.
    flips = int(((test["a"] >= -0.8) & (test["a"] < 0)).sum())
    piece = observed(made, "protected_flip_rate")["protected_flip_rate/sex"]
    shown = estimate(piece)
    assert flips > 50
    assert shown.value == pytest.approx(flips / 400, abs=1e-12)
    low, high = proportion_confint(flips, 400, alpha=0.05, method="wilson")
    assert (shown.low, shown.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))


def test_a_model_that_is_given_sex_and_does_not_use_it_never_flips(tmp_path: Path) -> None:
    written(tmp_path, people(200, 1), people(400, 2))
    made = subject(tmp_path, function(tmp_path, "1 / (1 + np.exp(-x['a'] - 0 * x['sex']))"), SENSITIVE)
    shown = estimate(observed(made, "protected_flip_rate")["protected_flip_rate/sex"])
    assert shown.value == 0
    assert shown.low == 0
    assert shown.high is not None
    assert 0 < shown.high < 0.01  # none seen among 400 is not never


def test_a_sensitive_column_that_is_no_input_cannot_flip_anything(tmp_path: Path) -> None:
    written(tmp_path, people(200, 1), people(90, 2))
    made = subject(tmp_path, function(tmp_path, LINEAR), f"{FEATURES}, sensitive: [sex]")
    piece = observed(made, "protected_flip_rate")["protected_flip_rate/sex"]
    assert estimate(piece).exact
    assert estimate(piece).value == 0
    assert any("not a model input" in line for line in piece.limits)


def test_a_binned_number_takes_a_value_of_the_other_bins(tmp_path: Path) -> None:
    train, test = people(200, 1), people(300, 2)
    for table in (train, test):
        table["age"] = np.random.default_rng(len(table)).integers(20, 71, len(table))
    written(tmp_path, train, test)
    # Age alone decides at 40, a limit of the bins: everyone changes with the bin; at 100 nobody does.
    data = "train: {path: train.csv}, target: y, features: [a, age], sensitive: [{column: age, bins: [40]}]"
    at_40 = subject(tmp_path, function(tmp_path, "(x['age'] >= 40) * 0.8 + 0.1"), data)
    assert estimate(observed(at_40, "protected_flip_rate")["protected_flip_rate/age"]).value == 1
    at_100 = subject(tmp_path, function(tmp_path, "(x['age'] >= 100) * 0.8 + 0.1"), data)
    assert estimate(observed(at_100, "protected_flip_rate")["protected_flip_rate/age"]).value == 0


def test_for_a_number_a_flip_is_a_change_of_more_than_a_hundredth_of_the_range(tmp_path: Path) -> None:
    train, test = people(200, 1), people(300, 2)
    for table in (train, test):
        table["y"] = table["a"]
    written(tmp_path, train, test)
    large = subject(tmp_path, function(tmp_path, "x['a'] + x['sex']", "regression"), SENSITIVE)
    assert estimate(observed(large, "protected_flip_rate")["protected_flip_rate/sex"]).value == 1
    small = subject(tmp_path, function(tmp_path, "x['a'] + 0.001 * x['sex']", "regression"), SENSITIVE)
    assert estimate(observed(small, "protected_flip_rate")["protected_flip_rate/sex"]).value == 0


# ---------------------------------------------------------------------------------------------- unusual_input_failures
def test_inputs_that_crash_the_model_are_named(tmp_path: Path) -> None:
    train, test = people(200, 1), people(90, 2)
    written(tmp_path, train, test)
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(sparse_output=False), ["c"]), remainder="passthrough"),
        LogisticRegression(),
    ).fit(train[["a", "b", "c"]], train["y"])
    skops.io.dump(model, tmp_path / "model.skops")
    found = observed(subject(tmp_path, "path: model.skops, positive: 1"), "unusual_input_failures")
    shown = estimate(found["unusual_input_failures"])
    # Seven kinds are tried: each of three columns missing, and the two numbers far above and far below.
    assert (shown.value, shown.n) == (pytest.approx(3 / 7), 7)
    ranking = found["unusual_input_failures/inputs"].observation
    assert ranking is not None
    assert ranking.shape == "ranking"
    assert {item.name for item in ranking.items} == {"a missing", "b missing", "c missing"}


def test_a_score_that_is_no_number_is_a_failure(tmp_path: Path) -> None:
    written(tmp_path, people(200, 1), people(90, 2))
    made = subject(tmp_path, function(tmp_path, "np.where(x['a'] > 100, np.nan, 0.3)"), FEATURES)
    found = observed(made, "unusual_input_failures")
    assert estimate(found["unusual_input_failures"]).value == pytest.approx(1 / 7)
    assert "1 of 7: a score that is not a number" in found["unusual_input_failures"].limits
    ranking = found["unusual_input_failures/inputs"].observation
    assert ranking is not None
    assert ranking.shape == "ranking"
    assert [item.name for item in ranking.items] == ["a far above its range"]


def test_a_model_that_scores_everything_has_no_failures(tmp_path: Path) -> None:
    train, test = people(200, 1), people(90, 2)
    written(tmp_path, train, test)
    coded = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1)
    model = make_pipeline(
        make_column_transformer((coded, ["c"]), remainder="passthrough"),
        HistGradientBoostingClassifier(max_iter=5, random_state=0),
    ).fit(train[["a", "b", "c"]], train["y"])
    skops.io.dump(model, tmp_path / "model.skops")
    found = observed(subject(tmp_path, "path: model.skops, positive: 1"), "unusual_input_failures")
    assert estimate(found["unusual_input_failures"]).value == 0
    assert "unusual_input_failures/inputs" not in found

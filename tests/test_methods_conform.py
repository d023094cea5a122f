"""What every method owes, ours and plug-ins alike: a new one is examined here without a line being written."""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from pydantic import ValidationError
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from xai_audit import digest
from xai_audit.catalog import methods
from xai_audit.evidence import LEVELS, Evidence, Group, Groups, encoded, identifier
from xai_audit.loaders import load
from xai_audit.measure import Outcome, Settings, Step, measure
from xai_audit.reading import read_specs
from xai_audit.subject import Subject

METHODS = methods()
SMALL = {
    "shap": {"rows": 12, "background": 10, "resamples": 5},
    "lime": {"rows": 8, "samples": 200, "seeds": 2},
    "permutation_importance": {"rows": 40, "repeats": 3},
    "partial_dependence": {"rows": 20, "points": 5},
}
"""Parameters that keep a slow method quick; one that is not named here runs with its defaults."""


# ---------------------------------------------------------------------------------------------- what it says of itself
@pytest.mark.parametrize("name", METHODS)
def test_a_method_names_itself_in_plain_words(name: str) -> None:
    method = METHODS[name]
    assert method.id == name
    assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name)
    assert method.kind in {"explainer", "metric"}
    assert method.better in {"higher", "lower", "zero", "one", "none"}
    for text in (method.title, method.measures, *method.limits, *method.cites):
        assert text == " ".join(text.split()) != ""
    assert method.title[0].isupper()
    assert not method.title.endswith(".")
    assert method.measures[0].isupper()
    assert len(method.title) <= 80
    assert len(method.measures) <= 220
    assert len(set(method.limits)) == len(method.limits)
    assert len(set(method.needs)) == len(method.needs)
    assert all(re.fullmatch(r"[a-z0-9_-]+", part) for part in method.parts)


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.kind == "explainer"])
def test_an_explainer_says_what_it_cannot_show(name: str) -> None:
    assert METHODS[name].limits
    assert METHODS[name].cites


@pytest.mark.parametrize("name", METHODS)
def test_parameters_are_frozen_and_have_defaults(name: str) -> None:
    method = METHODS[name]
    params = method.params()
    for field in method.params.model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(params, field, getattr(params, field))
    with pytest.raises(ValidationError, match="Extra inputs"):
        method.params.model_validate({"no_such_parameter": 1})
    assert method.params.model_validate_json(params.model_dump_json()) == params
    with pytest.raises(FrozenInstanceError):
        method.id = "other"  # type: ignore[misc]


# ---------------------------------------------------------------------------------------------- subjects, from files
DATA = """\
data:
  train: {path: train.csv}
  test: {path: test.csv}
  target: y
  features: [a, b, c, sex]
  categorical: [c]
  sensitive: [g, sex]
"""
WITH_MODEL = "version: 1\nsystem: {name: conformance}\nmodel: {path: model.skops}\n" + DATA
BINARY = WITH_MODEL.replace("model.skops}", "model.skops, positive: 1}")
PREDICTIONS = """\
version: 1
system: {name: conformance}
model: {format: predictions, score: score, positive: 1}
data: {test: {path: test.csv}, target: y, sensitive: [g, sex]}
"""
EXPLANATORY = PREDICTIONS.replace("[g, sex]", "[g, sex, {column: c, explanatory: true}]")
DECISIONS = """\
version: 1
system: {name: conformance}
model: {format: predictions, prediction: decision, positive: granted}
data: {test: {path: test.csv}, sensitive: [g, sex]}
"""
ALONE = """\
version: 1
system: {name: conformance}
model: {path: model.skops, positive: 1}
data: {test: {path: test.csv}, target: y}
"""


def people(n: int, seed: int) -> pd.DataFrame:
    """Rows with numbers, a category, a gap, a group too small to be published and a group that is missing."""
    rng = np.random.default_rng(seed)
    made = pd.DataFrame(
        {
            "a": rng.normal(size=n).round(3),
            "b": rng.integers(0, 5, n),
            "c": rng.choice(["x", "y", "Łódź"], n, p=[0.5, 0.38, 0.12]),
            "g": rng.choice(["u", "v"], n).astype(object),
            "sex": rng.choice([1, 2], n),
        }
    )
    made.loc[: n // 20, "g"] = "rare"
    made.loc[n // 20 + 1 : n // 6, "g"] = None
    made.loc[rng.random(n) < 0.05, "a"] = np.nan
    made["truth"] = made["a"].fillna(0) + 0.4 * made["b"] + (made["c"] == "x") + 0.5 * rng.normal(size=n)
    return made


def pipeline_of(model: Any) -> Any:
    return make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["c"]),
            (SimpleImputer(), ["a", "b", "sex"]),
        ),
        model,
    )


def binary(train: pd.DataFrame, test: pd.DataFrame) -> tuple[str, Any]:
    for table in (train, test):
        table["y"] = (table.pop("truth") > 1).astype(int)
    return BINARY, LogisticRegression()


def regression(train: pd.DataFrame, test: pd.DataFrame) -> tuple[str, Any]:
    for table in (train, test):
        table["y"] = table.pop("truth").round(3)
    return WITH_MODEL, LinearRegression()


def three_classes(train: pd.DataFrame, test: pd.DataFrame) -> tuple[str, Any]:
    for table in (train, test):
        table["y"] = np.array(["low", "mid", "high"])[np.digitize(table.pop("truth"), [0.5, 1.5])]
    return WITH_MODEL, LogisticRegression()


def predictions(_: pd.DataFrame, test: pd.DataFrame) -> tuple[str, None]:
    test["y"] = (test["truth"] > 1).astype(int)
    test["score"] = (1 / (1 + np.exp(1 - test.pop("truth") - test["a"].fillna(0)))).round(4)
    return PREDICTIONS, None


def within(train: pd.DataFrame, test: pd.DataFrame) -> tuple[str, None]:
    predictions(train, test)
    return EXPLANATORY, None


def decisions(_: pd.DataFrame, test: pd.DataFrame) -> tuple[str, None]:
    test["decision"] = np.where(test.pop("truth") > 1, "granted", "refused")
    return DECISIONS, None


def without_groups(train: pd.DataFrame, test: pd.DataFrame) -> tuple[str, Any]:
    for table in (train, test):
        table["y"] = (table.pop("truth") > 1).astype(int)
        del table["g"]
    return ALONE, LogisticRegression()


SUBJECTS: dict[str, Callable[[pd.DataFrame, pd.DataFrame], tuple[str, Any]]] = {
    "binary": binary,
    "regression": regression,
    "three classes": three_classes,
    "predictions": predictions,
    "an explanatory column": within,
    "decisions": decisions,
    "without groups": without_groups,
}


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Subject]:
    """Each kind of subject, made through the loaders from a spec, tables and a model file."""
    made: dict[str, Subject] = {}

    def subject(kind: str) -> Subject:
        if kind not in made:
            folder = tmp_path_factory.mktemp("subject")
            train, test = people(120, 1), people(100, 2)
            spec, model = SUBJECTS[kind](train, test)
            train.to_csv(folder / "train.csv", index=False)
            test.to_csv(folder / "test.csv", index=False)
            if model is not None:
                fitted = pipeline_of(model).fit(train[["a", "b", "c", "sex"]], train["y"])
                skops.io.dump(fitted, folder / "model.skops")
            (folder / "audit.yaml").write_text(spec, encoding="utf-8")
            made[kind] = load(read_specs([folder / "audit.yaml"])[0])
        return made[kind]

    return subject


def content(subject: Subject) -> str:
    """A digest of all that a method could write over."""
    parts: list[object] = []
    for rows in (subject.test, subject.train):
        if rows is not None:
            frame = rows.frame
            parts += [list(map(str, frame.columns)), list(map(str, frame.dtypes)), frame.index.tolist()]
            parts.append(pd.util.hash_pandas_object(frame).to_numpy().tobytes().hex())
            kept = (rows.digests, rows.occurrence, rows.target)
            parts += [None if array is None else array.tobytes().hex() for array in kept]
    for array in (subject.scores, subject.prediction, *(grouping.codes for grouping in subject.groupings)):
        parts.append(None if array is None else array.tobytes().hex())
    parts += [repr(subject.facts), repr(subject.notes)]
    return digest.of_value(parts)


def observed(subject: Subject, name: str) -> Outcome:
    method = METHODS[name]
    step = Step(method, method.params.model_validate(SMALL.get(name, {})), name)
    return measure(subject, [step], Settings(seed=3))


# ---------------------------------------------------------------------------------------------- one run each
@pytest.mark.parametrize("kind", SUBJECTS)
@pytest.mark.parametrize("name", METHODS)
def test_a_method_conforms(subjects: Callable[[str], Subject], name: str, kind: str) -> None:
    subject = subjects(kind)
    before = content(subject)
    outcomes = []
    for global_seed in (1, 2):
        np.random.seed(global_seed)
        random.seed(global_seed)
        numpys, pythons = np.random.get_state(), random.getstate()
        outcomes.append(observed(subject, name))
        after = np.random.get_state()
        assert all(np.array_equal(one, other) for one, other in zip(numpys, after, strict=True))
        assert random.getstate() == pythons
    assert content(subject) == before
    first, again = outcomes
    assert [piece.model_dump_json() for piece in first.evidence] == [
        piece.model_dump_json() for piece in again.evidence
    ]
    assert first.arrays == again.arrays

    assert first.evidence
    identifiers = [piece.id for piece in first.evidence]
    assert len(set(identifiers)) == len(identifiers)
    for piece in first.evidence:
        assert piece.status != "failed", piece.reason
        examine(piece, name, subject)
        assert set(piece.arrays.values()) <= set(first.arrays)


def examine(piece: Evidence, name: str, subject: Subject) -> None:
    """One piece of evidence, whatever it shows."""
    assert Evidence.model_validate_json(piece.model_dump_json()) == piece
    assert piece.method == name
    assert piece.seed == 3
    assert piece.id in allowed(name, subject)
    if piece.status == "skipped":
        assert piece.reason
        assert piece.reason == " ".join(piece.reason.split())
        assert piece.observation is None
        return
    text = piece.model_dump(mode="json")
    for estimate in estimates(text):
        check_estimate(estimate)
    if isinstance(piece.observation, Groups):
        check_groups(piece.observation, subject)
    if piece.sampling is not None:
        assert 0 < piece.sampling.used <= piece.sampling.available
        assert piece.sampling.how


def allowed(name: str, subject: Subject) -> set[str]:
    """The ids a method's evidence may have."""
    columns = {column for grouping in subject.groupings for column in grouping.columns}
    by = [identifier(name, *grouping.columns) for grouping in subject.groupings]
    parts = [f"{name}/{part}" for part in METHODS[name].parts]
    crossed = [f"{part}/{encoded(column)}" for part, column in itertools.product(parts, columns)]
    # An explainer may speak of one input at a time (partial dependence).
    inputs = [] if METHODS[name].kind == "metric" else subject.columns
    return {name, *by, *parts, *crossed, *(identifier(name, column.name) for column in inputs)}


def estimates(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if {"value", "low", "high", "n"} <= value.keys():
            yield value
        for item in value.values():
            yield from estimates(item)
    elif isinstance(value, list):
        for item in value:
            yield from estimates(item)


def check_estimate(estimate: dict[str, Any]) -> None:
    value, low, high = estimate["value"], estimate["low"], estimate["high"]
    assert math.isfinite(value)
    assert low is None or low <= value, estimate
    assert high is None or value <= high, estimate
    assert isinstance(estimate["n"], int)
    assert estimate["n"] >= 0
    if not estimate["limits"]:
        return
    assert tuple(sorted(estimate["limits"], key=float)) == tuple(sorted(LEVELS, key=float))
    inner_low, inner_high = value, value
    for level in sorted(LEVELS, key=float):
        # A wider level never gives a narrower interval; None is unbounded.
        low, high = estimate["limits"][level]
        low, high = (-math.inf if low is None else low), (math.inf if high is None else high)
        assert low <= inner_low, (level, estimate)
        assert high >= inner_high, (level, estimate)
        inner_low, inner_high = low, high


def check_groups(observation: Groups, subject: Subject) -> None:
    """No cell under the minimum is told, and none that a sum would reveal."""
    assert len({tuple(sorted(group.key.items())) for group in observation.groups}) == len(observation.groups)
    for group in observation.groups:
        if group.status == "measured":
            assert group.estimate is not None
        else:
            assert group.reason
        if group.status == "suppressed":
            assert group.n is None
            assert group.count is None
            assert not group.contrasts
        if group.missing or group.status != "measured":
            assert all(other.contrasts.get("best") is None or other.contrasts["best"].to != label(group)
                       for other in observation.groups)  # fmt: skip
        assert group.n is None or group.n >= 10, group
    for whole, margin in margins(observation, subject):
        # A lone hidden cell is had by subtracting the others from the total, where the total and all others are told.
        assert sum(group.status == "suppressed" for group in margin) != 1 or len(margin) == 1 or whole, margin
    if observation.by == ("g",) and "class" not in observation.groups[0].key and subject.test.n == 100:
        assert "rare" in [group.key["g"] for group in observation.groups if group.status == "suppressed"]


def margins(observation: Groups, subject: Subject) -> list[tuple[str, list[Group]]]:
    """The groups that add up to a total, alike in every key but one of the sensitive columns, and why it is not told."""
    columns = {column for grouping in subject.groupings for column in grouping.columns}
    known = subject.withholding(10)
    listed = {tuple(sorted(key.items())) for grouping in subject.groupings for key in grouping.keys}
    found: dict[tuple[Any, ...], list[Group]] = {}
    for group in observation.groups:
        for column in observation.by:
            rest = tuple(sorted((key, value) for key, value in group.key.items() if key != column))
            found.setdefault((column, *rest), []).append(group)
    told = []
    for (column, *rest), groups in found.items():
        whole = {key: value for key, value in rest if key in columns}
        parts = [
            dict(key)
            for key in listed
            if {name for name, _ in key} == {column, *whole} and whole.items() <= set(key)
        ]
        why = known.of(whole) if whole and column in columns else ""
        told.append((why or ("parts are not listed" if not all(map(known.listed, parts)) else ""), groups))
    return told


def label(group: Group) -> str:
    return ", ".join(group.key.values())


def test_every_kind_of_subject_lets_some_methods_speak(subjects: Callable[[str], Subject]) -> None:
    """The conformance above would hold of methods that skip everything; these subjects are not so poor."""
    least = {
        "binary": 38,
        "regression": 10,
        "three classes": 35,
        "predictions": 34,
        "an explanatory column": 36,
        "decisions": 5,
        "without groups": 27,
    }
    for kind, count in least.items():
        spoken = sum(
            any(piece.status == "measured" for piece in observed(subjects(kind), name).evidence)
            for name, method in METHODS.items()
            if method.kind == "metric"
        )
        assert spoken >= count, (kind, spoken)

"""Row order, duplicates, workers and a model's own threads change no byte of the evidence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from xai_audit import card, digest, pipeline
from xai_audit.loaders import load
from xai_audit.measure import Settings, measure
from xai_audit.reading import read_specs

SPEC = """\
version: 1
system: {name: The same bytes}
model: {path: model.skops, positive: 1}
data:
  train: {path: train.csv}
  test: {path: test.csv}
  target: y
  features: [a, b, c]
  categorical: [c]
  sensitive: [g]
explainers: [{shap: {rows: 40, background: 20}}, {lime: {rows: 20, samples: 300}}, permutation_importance, partial_dependence]
metrics: [accuracy, roc_auc, brier_score, expected_calibration_error, abroca]
"""

MODELS = {
    "logistic regression": lambda: make_pipeline(
        make_column_transformer(
            (StandardScaler(), ["a", "b"]),
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["c"]),
        ),
        LogisticRegression(),
    ),
    "random forest": lambda: make_pipeline(
        make_column_transformer((OneHotEncoder(sparse_output=False), ["c"]), remainder="passthrough"),
        RandomForestClassifier(20, max_depth=4, n_jobs=2, random_state=0),
    ),
    "histogram boosting": lambda: make_pipeline(
        make_column_transformer((OneHotEncoder(sparse_output=False), ["c"]), remainder="passthrough"),
        HistGradientBoostingClassifier(max_iter=20, random_state=0),
    ),
}


def table(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    made = pd.DataFrame(
        {
            "a": rng.normal(size=n).round(3),
            "b": rng.integers(0, 5, n),
            "c": rng.choice(list("xyz"), n),
            "g": rng.choice(["u", "v"], n),
        }
    )
    made["y"] = (made["a"] + 0.4 * made["b"] + (made["c"] == "x") + rng.normal(size=n) > 1).astype(int)
    return made


def content(folder: Path, jobs: int) -> str:
    (spec,) = read_specs([folder / "audit.yaml"])
    subject = load(spec)
    outcome = measure(subject, pipeline.plan(spec, [], subject.task), Settings(jobs=jobs))
    failed = [piece for piece in outcome.evidence if piece.status == "failed"]
    assert not failed
    about = card.describe(subject, spec)
    return digest.of_value(
        [[piece.model_dump(mode="json") for piece in outcome.evidence], sorted(outcome.arrays), about]
    )


@pytest.mark.parametrize("name", MODELS)
def test_shuffled_rows_and_any_number_of_workers(tmp_path: Path, name: str) -> None:
    train, test = table(300, 1), table(150, 2)
    test = pd.concat([test, test.iloc[:10]])  # duplicates stand side by side in content order
    model = MODELS[name]().fit(train[["a", "b", "c"]], train["y"])
    skops.io.dump(model, tmp_path / "model.skops")
    (tmp_path / "audit.yaml").write_text(SPEC)
    seen = set()
    for jobs, seed in ((1, None), (2, 5)):
        for frame, path in ((train, "train.csv"), (test, "test.csv")):
            shuffled = frame if seed is None else frame.sample(frac=1, random_state=seed)
            # Column order is no content either.
            (shuffled if seed is None else shuffled[shuffled.columns[::-1]]).to_csv(
                tmp_path / path, index=False
            )
        seen.add(content(tmp_path, jobs))
    assert len(seen) == 1


@pytest.mark.proof
@pytest.mark.parametrize("name", MODELS)
def test_eight_workers(tmp_path: Path, name: str) -> None:
    train, test = table(300, 1), table(400, 2)
    model = MODELS[name]().fit(train[["a", "b", "c"]], train["y"])
    skops.io.dump(model, tmp_path / "model.skops")
    (tmp_path / "audit.yaml").write_text(SPEC)
    train.to_csv(tmp_path / "train.csv", index=False)
    test.to_csv(tmp_path / "test.csv", index=False)
    assert len({content(tmp_path, jobs) for jobs in (1, 2, 8)}) == 1

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.compare.versions import Version, audited, people
from xai_audit import audit
from xai_audit.verify.changes import changed

METRICS = (
    "accuracy", "recall", "false_positive_rate", "precision", "negative_predictive_value", "f1", "matthews_corrcoef",
    "balanced_accuracy", "roc_auc", "brier_score", "log_loss", "selection_rate",
)  # fmt: skip


def pair(folder: Path, words: dict[str, str], old: pd.DataFrame, new: pd.DataFrame) -> Path:
    audited(folder / "old", old, Version(**words))
    audited(folder / "new", new, Version(version="2", **words), baseline=folder / "old")
    return folder / "new"


@pytest.mark.parametrize("metric", METRICS)
def test_each_metric_is_had_again_row_by_row(metric: str, tmp_path: Path) -> None:
    words = {"metrics": metric, "policies": "", "sensitive": "sex"}
    folder = pair(tmp_path, words, people(240), people(240, better=0.2))
    made = audit.read(folder)
    assert made.get("performance_change").params["how"] == "paired"
    checks = list(changed(made, folder))
    assert {check.kind for check in checks} == {"holds"}, checks
    assert len(checks) == 3
    assert made.get("performance_change").observation.estimate.limits is not None


@pytest.mark.parametrize("metric", ["mean_absolute_error", "root_mean_squared_error", "r2"])
def test_errors_of_numbers_are_had_again(metric: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    old = people(240).assign(y=rng.normal(size=240))
    old["score"] = old.y + rng.normal(size=240)
    new = old.assign(score=old.y + 0.5 * (old.score - old.y) + rng.normal(scale=0.3, size=240))
    words = {
        "metrics": metric,
        "model": "prediction: score, task: regression",
        "policies": "",
        "sensitive": "sex",
    }
    folder = pair(tmp_path, words, old, new)
    made = audit.read(folder)
    estimate = made.get("performance_change").observation.estimate
    assert estimate.low > 0  # turned so that fewer errors are better
    if metric == "mean_absolute_error":
        before, after = (np.abs(table.y - table.score).mean() for table in (old, new))
        assert estimate.value == pytest.approx(1 - after / before)
    assert {check.kind for check in changed(made, folder)} == {"holds"}


def test_weights_and_clusters_are_had_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    extra = {"w": rng.uniform(0.5, 2, 300).round(3), "home": rng.integers(0, 60, 300)}
    words = {"metrics": "accuracy", "policies": "", "sensitive": "sex", "data": ", weight: w, cluster: home"}
    folder = pair(tmp_path, words, people(300).assign(**extra), people(300, better=0.2).assign(**extra))
    assert {check.kind for check in changed(audit.read(folder), folder)} == {"holds"}


def test_different_rows_and_three_classes_are_had_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    tables = []
    for start in (0, 500):
        table = people(300, seed=start).assign(y=rng.integers(0, 3, 300))
        table["person"] = [f"p{start + i}" for i in range(300)]
        table["call"] = np.where(rng.random(300) < 0.7, table.y, rng.integers(0, 3, 300))
        tables.append(table.drop(columns="score"))
    words = {
        "metrics": "recall",
        "model": "prediction: call, task: classification",
        "policies": "",
        "sensitive": "sex",
    }
    folder = pair(tmp_path, words, *tables)
    made = audit.read(folder)
    piece = made.get("performance_change")
    assert (piece.params["how"], len(piece.observation.groups)) == ("unpaired", 3)
    checks = list(changed(made, folder))
    assert {check.kind for check in checks} == {"holds"}
    assert len(checks) == 9


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = {"metrics": "accuracy", "policies": "eu-ai-act", "sensitive": "sex"}
    return pair(
        tmp_path_factory.mktemp("one"), words, people(240), people(240, better=0.2).drop(index=[3, 8])
    )


def test_a_few_rows_fewer_are_had_again_without_the_pairs_left_out(folder: Path) -> None:
    made = audit.read(folder)
    params = made.get("performance_change").params
    assert (params["rows_common"], params["rows_paired"]) == (238, 230)
    assert {check.kind for check in changed(made, folder)} == {"holds"}


@pytest.mark.parametrize("where", ["value", "low", "limit", "group"])
def test_a_changed_number_is_told_with_both(folder: Path, tmp_path: Path, where: str) -> None:
    content = json.loads((folder / "audit.json").read_text())
    name = "performance_change/sex" if where == "group" else "performance_change"
    piece = next(one for one in content["evidence"] if one["id"] == name)
    seen = piece["observation"]
    estimate = seen["groups"][0]["estimate"] if where == "group" else seen["estimate"]
    if where == "limit":
        estimate["limits"]["0.99"][0] -= 0.001
    else:
        estimate["low" if where == "low" else "value"] -= 0.001
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / "audit.json").write_text(json.dumps(content))
    broken = [
        one for one in changed(audit.read(tmp_path / "copy"), tmp_path / "copy") if one.kind == "broken"
    ]
    assert [one.subject.partition(" ")[0] for one in broken] == [name]
    assert "comes out as" in broken[0].what


def test_changed_rows_or_arrays_do_not_hold(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "rows")
    path = tmp_path / "rows" / "evidence" / "rows.parquet"
    table = pd.read_parquet(path)
    table["prediction"] = table["prediction"].to_numpy()[::-1]
    table.to_parquet(path)
    assert "broken" in {one.kind for one in changed(audit.read(folder), tmp_path / "rows")}
    shutil.copytree(folder, tmp_path / "arrays")
    (name,) = set(audit.read(folder).get("performance_change").arrays.values())
    (tmp_path / "arrays" / "evidence" / name).unlink()
    checks = list(changed(audit.read(folder), tmp_path / "arrays"))
    # By sex a few rows fewer are told from both audits' numbers, which need no array.
    assert {one.subject.partition(" ")[0]: one.kind for one in checks} == {
        "performance_change": "unchecked", "performance_change/sex": "holds",
    }  # fmt: skip
    assert "cannot be read" in checks[0].what


def test_equal_answers_of_one_model_are_had_again_and_told_where_they_are_not(tmp_path: Path) -> None:
    words = {"metrics": "accuracy", "policies": "", "sensitive": "sex"}
    folder = pair(tmp_path, words, people(120), people(120))
    made = audit.read(folder)
    piece = made.get("performance_change")
    assert piece.params["told"] == ["same"]
    assert piece.observation.estimate.exact
    assert {check.kind for check in changed(made, folder)} == {"holds"}
    path = folder / "evidence" / "rows.parquet"
    table = pd.read_parquet(path)
    table["prediction"] = np.where(table.prediction == "1", "0", "1")
    table.to_parquet(path)
    broken = list(changed(made, folder))
    assert {check.kind for check in broken} == {"broken"}
    assert "prediction differs between the audits" in broken[0].what


def test_an_audit_without_a_baseline_has_nothing_to_check(folder: Path) -> None:
    old = folder.parent / "old"
    assert list(changed(audit.read(old), old)) == []

"""Audits of every kind of data come out the same, and what is drawn is the seed's alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from scipy.stats import binom
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline

from tests.rerun.audits import (
    CHECKS,
    SPEC,
    TABLE,
    again,
    all_hold,
    broken,
    run,
    units,
    with_arrays,
    with_rows,
    written,
)
from xai_audit import audit as audits
from xai_audit import catalog, digest, pieces
from xai_audit.errors import UnavailableError
from xai_audit.rerun import fresh_seed, model_is, steps


def test_a_whole_audit_comes_out_the_same(honest: Path):
    checks = again(honest)
    assert all_hold(checks)
    said = {check.subject: check.what for check in checks}
    assert said["evidence/rows.parquet"] == "all 120 rows are what model and data give, scores to the bit"
    assert "comes out the same byte for byte" in said["shap"]
    told = [check.what for check in checks if check.subject == "shap"]
    assert told[0].startswith(
        "4 of its 4 pieces, run again: the recorded answer, and the evidence holds it (phi, output"
    )
    steps_again = {check.subject for check in checks if "run again as a whole" in check.what}
    assert steps_again == {
        "shap", "lime", "permutation_importance", "partial_dependence", "artefact_safety", "protected_flip_rate",
        "unusual_input_failures",
    }  # fmt: skip
    assert said["rerun"].startswith("29 of 29 pieces and steps were drawn with seed 1 and run again")


def test_notes_on_sets_may_stand_in_the_order_of_the_specs_file(tmp_path: Path):
    sets = "sets: {second: {path: test.csv, where: a > 0}, first: {path: test.csv, where: a > 1}}"
    out = run(
        written(
            tmp_path,
            LogisticRegression(),
            data=TABLE.replace("sensitive", f"{sets}, sensitive"),
            explainers="[]",
        )
    )
    notes = [note for note in audits.read(out).subject["notes"] if "data.sets." in note]
    assert ["second" in note for note in notes] == [True, False]
    assert all_hold(again(out))


def test_the_draw_is_the_seeds_and_is_not_foreseen(honest: Path):
    first, same, other = (again(honest, 5, seed=seed) for seed in (7, 7, 8))
    assert [check.what for check in first] == [check.what for check in same]
    assert first[-1].what != other[-1].what
    assert first[-1].what.startswith("5 of 29 pieces and steps were drawn with seed 7")
    assert len({fresh_seed() for _ in range(20)}) == 20


def test_every_unit_is_drawn_as_often_as_any_other():
    everything = [steps.Unit("shap", 0, index) for index in range(19)] + [steps.Unit("lime")]
    counts = dict.fromkeys(everything, 0)
    for seed in range(3000):
        chosen = steps.drawn(everything, 4, seed)
        assert len(set(chosen)) == 4
        for unit in chosen:
            counts[unit] += 1
    low, high = binom.interval(1 - 1e-6, 3000, 4 / 20)
    assert low <= min(counts.values()) <= max(counts.values()) <= high


def texts(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    words = np.array(["good", "bad", "plain", "woman", "man", "film", "long"])
    told = [" ".join(rng.choice(words, rng.integers(3, 8))) for _ in range(n)]
    return pd.DataFrame({"t": told, "y": [int(text.count("good") > text.count("bad")) for text in told]})


def test_texts_with_words_put_in_each_others_place(tmp_path: Path):
    for name, frame in (("train", texts(150, 1)), ("test", texts(60, 2))):
        frame.to_json(tmp_path / f"{name}.jsonl", orient="records", lines=True)
    train = texts(150, 1)
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(train["t"], train["y"])
    skops.io.dump(model, tmp_path / "model.skops")
    (tmp_path / "audit.yaml").write_text(
        SPEC.format(
            model="{path: model.skops, positive: 1}",
            data="{train: {path: train.jsonl, text: t}, test: {path: test.jsonl, text: t}, target: y}",
            explainers="[{shap: {rows: 18, evaluations: 40}}, {lime: {rows: 4, samples: 60, seeds: 2}}, {occlusion: {rows: 20}}]",
            metrics="[accuracy, {counterfactual_token_fairness: {terms: {gender: [woman, man]}}}]",
        )
    )
    checks = again(run(tmp_path))
    assert all_hold(checks), checks
    told = {check.subject: check.what for check in checks if "of its" in check.what}
    assert {"shap", "lime", "occlusion", "counterfactual_token_fairness"} == set(told)
    assert told["occlusion"].endswith("the evidence holds it (values, base, output)")
    assert told["shap"].endswith("the evidence holds it (output, base)")


def test_more_than_two_classes(tmp_path: Path):
    folder = written(
        tmp_path,
        RandomForestClassifier(8, max_depth=3, n_jobs=2, random_state=0),
        lambda frame: np.digitize(frame["a"], [-0.5, 0.5]),
        explainers="[{shap: {rows: 20, background: 5}}, permutation_importance]",
    )
    assert all_hold(again(run(folder)))


def test_numbers(tmp_path: Path):
    folder = written(
        tmp_path,
        LinearRegression(),
        lambda frame: (2 * frame["a"] - frame["c"]).round(3),
        model="{path: model.skops, task: regression}",
        metrics="[r2]",
        explainers="[{shap: {rows: 20, background: 5}}, {lime: {rows: 10, samples: 100, seeds: 2}}]",
    )
    out = run(folder)
    assert all_hold(again(out))
    with_rows(out, lambda frame: frame.__setitem__("prediction", frame["prediction"] * (1 + 1e-12)))
    assert "120 of 120 rows hold another 'prediction'" in broken(again(out, 1))[0][1]


def test_predictions_have_nothing_to_run_and_their_data_are_compared(tmp_path: Path):
    folder = written(tmp_path, None, model="{format: predictions, score: a}", explainers="[]",
                     data="{test: {path: test.csv}, target: y, features: [b, c], sensitive: [g]}")  # fmt: skip
    out = run(folder)
    checks = again(out)
    assert [check.kind for check in checks] == ["unchecked", "holds", "holds", "holds"]
    assert checks[0].what == "this audit was made of predictions: there is no model"
    with_rows(out, lambda frame: frame.__setitem__("target", frame["target"].iloc[::-1].to_numpy()))
    assert broken(again(out))
    assert model_is(audits.read(out), "anything").kind == "unchecked"


NET = """\
import torch


def build():
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(3), torch.nn.Flatten(), torch.nn.Linear(36, 2)
    )
"""


def test_a_network_on_pictures(tmp_path: Path):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    safetensors = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
    rng = np.random.default_rng(3)
    for name, n in (("train", 40), ("test", 36)):
        y = np.arange(n) % 2
        images = rng.integers(0, 120, (n, 12, 12, 3), dtype=np.uint8)
        images[y == 1, 4:8, 4:8, 0] += 130
        np.savez(tmp_path / f"{name}.npz", images=images, y=y)
    space: dict = {}
    exec(NET, space)
    module = space["build"]()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    weights = tmp_path / "weights.safetensors"
    safetensors.save_file(module.state_dict(), weights)
    (tmp_path / "net.py").write_text(NET)
    sha256 = digest.root([digest.of_file(weights), digest.of_file(tmp_path / "net.py")])
    (tmp_path / "audit.yaml").write_text(
        SPEC.format(
            model=f"{{path: weights.safetensors, entry: 'net.py:build', trust: true, sha256: {sha256}, classes: [0, 1], "
            "positive: 1, preprocess: {size: 12, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25]}}",
            data="{train: {path: train.npz}, test: {path: test.npz}, target: y}",
            explainers="[{integrated_gradients: {rows: 20, steps: 8, most_steps: 16, checked: 18, twins: 2}}, "
            "{gradient_shap: {rows: 18, draws: 8, background: 6}}, {occlusion: {rows: 18}}, {prototypes: {site: '3', k: 2, twins: 1}}]",
            metrics="[accuracy]",
        )
    )
    out = run(tmp_path)
    record = pieces.read((out / "evidence" / "pieces.json").read_bytes())
    assert [len(record.of(name)) for name in ("integrated_gradients", "gradient_shap", "occlusion", "prototypes")] == [
        2, 1, 1, 0,
    ]  # fmt: skip
    assert (run(tmp_path, "two", jobs=2) / "evidence" / "pieces.json").read_bytes() == record.to_bytes()
    assert model_is(audits.read(out), str(weights)).kind == "holds"
    checks = again(out, model=str(weights))
    assert all_hold(checks), checks
    whole = {check.subject for check in checks if "as a whole" in check.what}
    assert {"integrated_gradients", "gradient_shap", "occlusion", "prototypes"} <= whole
    # A piece of the second map alone: the first is run for it.
    everything = units(out, "prototypes", *CHECKS)
    later = steps.Unit("integrated_gradients", 1, 0)
    seed = next(seed for seed in range(500) if steps.drawn(everything, 1, seed) == [later])
    told = again(out, 1, seed=seed, model=str(weights))
    assert all_hold(told)
    assert told[-2].what == "1 of its 4 pieces, run again: the recorded answer"

    def edit(values: np.ndarray) -> np.ndarray:
        values[17, 0, 0] *= 1.01
        return values

    with_arrays(out, "integrated_gradients", "values", edit)
    assert any(
        "array values holds another answer" in what for _, what in broken(again(out, model=str(weights)))
    )
    # The code beside the weights is part of the digest.
    (tmp_path / "net.py").write_text(NET + "\nprint('more')\n")
    with pytest.raises(UnavailableError, match="weights and entry together have sha256"):
        again(out, 1, model=str(weights))


@pytest.mark.parametrize("unit", [steps.Unit("lime", 0, 0), steps.Unit("lime")])
def test_a_step_that_fails_here_is_left_open(copy: Path, monkeypatch, unit: steps.Unit):
    def lacking(*_: Any) -> Any:
        raise ImportError("no module named 'lime'")
        yield

    table_of = dict(catalog.methods())
    table_of["lime"] = replace(table_of["lime"], run=lacking)
    monkeypatch.setattr(catalog, "methods", lambda: table_of)
    everything = units(copy, *CHECKS)
    seed = next(seed for seed in range(500) if steps.drawn(everything, 1, seed) == [unit])
    checks = again(copy, 1, seed=seed)
    assert [check.kind for check in checks if check.subject == "lime"] == ["unchecked"]
    assert "cannot be run here" in checks[-2].what


def test_an_audit_without_a_record_is_run_again_by_whole_steps(copy: Path):
    made = json.loads((copy / "audit.json").read_text())
    del made["run"]["pieces"]
    (copy / "audit.json").write_text(json.dumps(made))
    checks = again(copy)
    (left,) = [check for check in checks if check.kind != "holds"]
    assert (left.kind, left.subject) == ("unchecked", "evidence/pieces.json")
    assert "names no record of pieces" in left.what
    assert checks[-1].what.startswith("7 of 7 pieces and steps were drawn")
    assert sum("run again as a whole" in check.what for check in checks) == 7

"""Folders that MLflow wrote are read without it, under the rules of the format inside."""

from __future__ import annotations

import os
import pickle
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.linear_model import LogisticRegression

from xai_audit import digest
from xai_audit.errors import SpecError
from xai_audit.reading import read_specs

NUMBERS = ["age", "sex"]
QUIET = pytest.mark.filterwarnings("ignore")
pytestmark = QUIET


@pytest.fixture(scope="session")
def flow():
    """MLflow's own writers, which reach for no server and say nothing."""
    os.environ.update({"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import logging

        import mlflow

        logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    return mlflow


@pytest.fixture(autouse=True)
def table(desk, people):
    frame = people.assign(id=[f"p{row}" for row in range(len(people))])
    desk.csv("t.csv", frame)
    return frame


@pytest.fixture
def write(desk, flow, table):
    """Saves a model as a flavor does, with the signature of the columns given."""

    def save(flavor: str, model, columns=NUMBERS, **more) -> Path:
        from mlflow.models import infer_signature

        place = desk.folder / "model"
        module = __import__(f"mlflow.{flavor}", fromlist=["save_model"])
        signature = infer_signature(table[columns], table.y) if columns else None
        module.save_model(model, str(place), pip_requirements=["x"], signature=signature, **more)
        return place

    return save


def agrees(subject, expected: np.ndarray, frame: pd.DataFrame) -> None:
    place = {str(row): index for index, row in enumerate(frame["id"])}
    np.testing.assert_array_equal(subject.scores, expected[[place[row] for row in subject.test.ids]])


USE = {"path": "model", "format": "mlflow"}


def test_scikit_learn_as_skops_with_the_signatures_names(desk, write, table):
    model = LogisticRegression().fit(table[NUMBERS].to_numpy(), table.y)
    folder = write("sklearn", model, serialization_format="skops")
    subject = desk.load(USE, test="t.csv", target="y", id="id")
    # The estimator saw a bare array; the signature says which column is which.
    agrees(subject, model.predict_proba(table[NUMBERS].to_numpy()), table)
    assert (subject.model.format, subject.model.features) == ("mlflow", ("age", "sex"))
    assert subject.model.sha256 == digest.of_folder(folder)
    details = subject.model.details
    assert (details["flavor"], details["file"]) == ("sklearn", "model.skops")
    assert details["mlflow"][0].isdigit()
    assert not subject.facts["artefact"]["code_carrying"]
    again = pickle.loads(pickle.dumps(subject.model))
    np.testing.assert_array_equal(again.scores(subject.test.frame), subject.model.scores(subject.test.frame))


@pytest.mark.parametrize("how", ["cloudpickle", "pickle"])
def test_pickles_need_trust_and_the_digest_of_the_folder(desk, write, table, how):
    model = LogisticRegression().fit(table[NUMBERS], table.y)
    folder = write("sklearn", model, serialization_format=how)
    root = digest.of_folder(folder)
    error = desk.refused(USE, test="t.csv", target="y", id="id")
    assert f"`trust: true` and `sha256: {root}`" in str(error)
    assert error.exit_code == 2
    assert "`sha256: " in str(desk.refused({**USE, "trust": True}, test="t.csv", target="y"))
    subject = desk.load({**USE, "trust": True, "sha256": root}, test="t.csv", target="y", id="id")
    agrees(subject, model.predict_proba(table[NUMBERS]), table)
    assert subject.facts["artefact"]["code_carrying"]
    (folder / "requirements.txt").write_text("changed")
    error = desk.refused({**USE, "trust": True, "sha256": root}, test="t.csv", target="y")
    assert "not the declared" in str(error)
    assert error.exit_code == 4


def test_boosters(desk, write, table):
    import catboost
    import lightgbm
    import xgboost

    model = xgboost.XGBClassifier(n_estimators=4, n_jobs=1).fit(table[NUMBERS], table.y)
    write("xgboost", model).rename(desk.folder / "x")
    subject = desk.load({**USE, "path": "x"}, test="t.csv", target="y", id="id")
    np.testing.assert_array_equal(
        sorted(subject.scores[:, 1]), sorted(model.predict_proba(table[NUMBERS])[:, 1].astype(float))
    )
    light = lightgbm.LGBMClassifier(n_estimators=4, verbose=-1, n_jobs=1).fit(table[NUMBERS], table.y)
    write("lightgbm", light.booster_).rename(desk.folder / "l")
    agrees(
        desk.load({**USE, "path": "l"}, test="t.csv", target="y", id="id"),
        light.predict_proba(table[NUMBERS]),
        table,
    )
    cat = catboost.CatBoostClassifier(iterations=4, verbose=0, allow_writing_files=False, thread_count=1)
    write("catboost", cat.fit(table[NUMBERS], table.y)).rename(desk.folder / "c")
    agrees(
        desk.load({**USE, "path": "c"}, test="t.csv", target="y", id="id"),
        cat.predict_proba(table[NUMBERS]),
        table,
    )


def test_a_wrapped_booster_in_skops_needs_its_types_trusted(desk, write, table):
    import lightgbm

    light = lightgbm.LGBMClassifier(n_estimators=4, verbose=-1, n_jobs=1).fit(table[NUMBERS], table.y)
    write("lightgbm", light)
    text = str(desk.refused(USE, test="t.csv", target="y"))
    # The folder's own list vouches for nothing.
    assert "model/model.skops holds types that are not trusted" in text
    types = text.partition("trusted_types: [")[2].partition("]")[0].split(", ")
    subject = desk.load({**USE, "trusted_types": types}, test="t.csv", target="y", id="id")
    agrees(subject, light.predict_proba(table[NUMBERS]), table)


def test_onnx_takes_the_signatures_names_too(desk, write, table):
    from tests.loaders.test_models import TestOnnx

    TestOnnx().graph(desk.folder / "m.onnx")
    import onnx

    write("onnx", onnx.load(desk.folder / "m.onnx"))
    subject = desk.load(USE, test="t.csv", target="y", id="id")
    place = {f"p{row}": values for row, values in enumerate(TestOnnx().expected(table))}
    np.testing.assert_allclose(subject.scores, [place[row] for row in subject.test.ids], atol=1e-6)
    again = pickle.loads(pickle.dumps(subject.model))
    np.testing.assert_array_equal(again.scores(subject.test.frame), subject.model.scores(subject.test.frame))


def test_python_code_of_its_own_is_refused_by_name(desk, flow, table):
    class Own(flow.pyfunc.PythonModel):
        def predict(self, context, model_input: list[float], params=None):  # noqa: ARG002
            return model_input

    flow.pyfunc.save_model(str(desk.folder / "model"), python_model=Own(), pip_requirements=["x"])
    text = str(desk.refused(USE, test="t.csv", target="y"))
    assert "python_function alone (loader_module 'mlflow.pyfunc.model')" in text
    assert "format: http" in text


def test_a_pickled_module_is_refused_with_the_reason(desk, write, table):
    import torch

    write("pytorch", torch.nn.Linear(2, 2), serialization_format="pickle")
    text = str(desk.refused(USE, test="t.csv", target="y"))
    assert "keeps a pickled module (data/model.pth)" in text


def test_an_exported_network_and_torchscript_need_trust_too(desk, flow, table):
    import torch

    made = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2)).eval()
    rows = table[NUMBERS].to_numpy(np.float32)
    with torch.no_grad():
        expected = torch.softmax(made(torch.from_numpy(rows)), dim=1).numpy()
    place = {f"p{row}": values for row, values in enumerate(expected)}
    flow.pytorch.save_model(
        made, str(desk.folder / "e"), pip_requirements=["x"], input_example=rows[:5], serialization_format="pt2",
        signature=flow.models.infer_signature(rows[:5], expected[:5]),
    )  # fmt: skip
    script = torch.jit.trace(made, torch.from_numpy(rows[:5]))
    flow.pytorch.save_model(
        script, str(desk.folder / "s"), pip_requirements=["x"], serialization_format="pickle"
    )
    for path, file in (("e", "model.pt2"), ("s", "model.pth")):
        root = digest.of_folder(desk.folder / path)
        use = {**USE, "path": path, "outputs": "logits"}
        assert f"`sha256: {root}`" in str(
            desk.refused(use, test="t.csv", target="y", id="id", features=NUMBERS)
        )
        use |= {"trust": True, "sha256": root}
        subject = desk.load(use, test="t.csv", target="y", id="id", features=NUMBERS)
        np.testing.assert_allclose(subject.scores, [place[row] for row in subject.test.ids], atol=1e-6)
        assert subject.model.details["file"] == f"data/{file}"
        assert subject.model.sha256 == root


def test_a_text_classifier_of_transformers_with_its_tokenizer(desk, flow):
    import torch
    import transformers

    (desk.folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ngood\nbad")
    tokenizer = transformers.BertTokenizer(str(desk.folder / "vocab.txt"))
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=7, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    model = transformers.BertForSequenceClassification(config).eval()
    flow.transformers.save_model(
        {"model": model, "tokenizer": tokenizer}, str(desk.folder / "model"), task="text-classification",
        pip_requirements=["x"],
    )  # fmt: skip
    texts = ["good", "bad bad", "good bad good", "other"] * 5
    pd.DataFrame({"said": texts, "y": [0, 1, 0, 1] * 5}).to_csv(desk.folder / "said.csv", index=False)
    subject = desk.load(USE, test={"path": "said.csv", "text": "said"}, target="y")
    assert (subject.modality, subject.model.format) == ("text", "mlflow")
    with torch.no_grad():
        given = tokenizer(list(subject.test.frame["said"]), padding=True, return_tensors="pt")
        expected = torch.softmax(model(given["input_ids"], given["attention_mask"]).logits, dim=1).numpy()
    np.testing.assert_allclose(subject.scores, expected, atol=1e-6)
    assert subject.model.network is not None


def test_a_pipeline_of_texts_is_given_a_list(desk, flow):
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.pipeline import make_pipeline

    texts = ["good day", "bad day", "good night", "bad night"] * 5
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts, [0, 1] * 10)
    frame = pd.DataFrame({"said": texts, "y": [0, 1] * 10})
    frame.to_csv(desk.folder / "said.csv", index=False)
    signature = flow.models.infer_signature(frame[["said"]], frame.y)
    flow.sklearn.save_model(
        model,
        str(desk.folder / "model"),
        pip_requirements=["x"],
        signature=signature,
        serialization_format="skops",
    )
    subject = desk.load(USE, test={"path": "said.csv", "text": "said"}, target="y")
    np.testing.assert_array_equal(subject.scores, model.predict_proba(list(subject.test.frame["said"])))


def test_the_signature_is_held_against_the_data(desk, write, table):
    model = LogisticRegression().fit(table[NUMBERS].to_numpy(), table.y)
    write("sklearn", model)
    desk.csv("words.csv", table.assign(sex=np.where(table.sex == 1, "m", "w")))
    text = str(desk.refused(USE, test="words.csv", target="y", id="id"))
    assert 'words.csv:"sex"' in text
    assert "signature says numbers, and the column holds text" in text
    desk.csv("less.csv", table.drop(columns="sex"))
    assert "the model was fitted on 'sex', a column that less.csv does not have" in str(
        desk.refused(USE, test="less.csv", target="y", id="id")
    )


def test_a_signature_that_differs_from_the_model_is_told(desk, write, table):
    model = LogisticRegression().fit(table[NUMBERS], table.y)
    write("sklearn", model, columns=["age", "income"])
    subject = desk.load(USE, test="t.csv", target="y", id="id")
    assert [column.name for column in subject.columns] == NUMBERS
    assert any("differ in 'income', 'sex'; the model's own columns count" in note for note in subject.notes)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda d: d.update(flavors={"tensorflow": {}, "python_function": {}}),
            "none of the flavors python_function, t",
        ),
        (lambda d: d["flavors"]["sklearn"].update(pickled_model="../t.csv"), "out of the folder"),
        (lambda d: d["flavors"]["sklearn"].update(pickled_model="/etc/passwd"), "out of the folder"),
        (lambda d: d["flavors"]["sklearn"].update(pickled_model="none.skops"), "is not there"),
        (lambda d: d["flavors"]["sklearn"].pop("pickled_model"), "does not say 'pickled_model'"),
        (lambda d: d.pop("flavors"), "names no flavors"),
        (lambda d: d.update(signature={"inputs": "[{"}), None),
    ],
)
def test_folders_that_are_wrong(desk, write, table, change, expected):
    folder = write("sklearn", LogisticRegression().fit(table[NUMBERS], table.y))
    described = yaml.safe_load((folder / "MLmodel").read_text())
    change(described)
    (folder / "MLmodel").write_text(yaml.safe_dump(described))
    if expected is None:
        notes = desk.load(USE, test="t.csv", target="y").notes
        assert any("signature cannot be read" in note for note in notes)
        return
    assert expected in str(desk.refused(USE, test="t.csv", target="y"))


@pytest.mark.parametrize("content", [b"", b"[1]", b"a: [", b"\xff\xfe\x00", b"flavors: 3"])
def test_an_mlmodel_that_is_none(desk, content):
    (desk.folder / "model").mkdir()
    (desk.folder / "model" / "MLmodel").write_bytes(content)
    error = desk.refused(USE, test="t.csv", target="y")
    assert "is no MLflow model folder" in str(error)
    assert error.exit_code == 4


def spec(desk, model: str) -> Path:
    text = f"version: 1\nsystem: {{name: a}}\nmodel:\n{model}data: {{test: {{path: t.csv}}, target: y, id: id}}\n"
    (desk.folder / "audit.yaml").write_text(text)
    return desk.folder / "audit.yaml"


def mistakes(path: Path) -> SpecError:
    with pytest.raises(SpecError) as caught:
        read_specs([path])
    return caught.value


def test_a_spec_is_checked_without_opening_the_model(desk, write, table):
    folder = write(
        "sklearn", LogisticRegression().fit(table[NUMBERS], table.y), serialization_format="pickle"
    )
    error = mistakes(spec(desk, "  path: model\n  format: mlflow\n"))
    assert f"`sha256: {digest.of_folder(folder)}`" in str(error)
    told = spec(
        desk, f"  path: model\n  format: mlflow\n  trust: true\n  sha256: {digest.of_folder(folder)}\n"
    )
    assert read_specs([told])[0].model.format == "mlflow"
    assert "there is no such folder" in str(mistakes(spec(desk, "  path: nowhere\n  format: mlflow\n")))
    error = mistakes(spec(desk, "  path: t.csv\n  format: mlflow\n"))
    assert "is a file; a folder is asked" in str(error)
    assert error.exit_code == 4
    (folder / "MLmodel").unlink()
    assert "holds no MLmodel" in str(mistakes(spec(desk, "  path: model\n  format: mlflow\n")))


def test_nothing_of_mlflow_is_imported(desk, write, table):
    import subprocess

    write("sklearn", LogisticRegression().fit(table[NUMBERS], table.y))
    code = (
        "import sys; from xai_audit.reading import read_specs; from xai_audit.loaders import load\n"
        f"load(read_specs([{str(spec(desk, '  path: model' + chr(10) + '  format: mlflow' + chr(10)))!r}])[0])\n"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'mlflow']"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=desk.folder)

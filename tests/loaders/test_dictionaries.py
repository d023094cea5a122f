"""Dictionaries that a spec names: read, digested, held to their site; a circuit of them run, verified and forged."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")
pytest.importorskip("tokenizers", reason="tokenizers is not installed")

from safetensors.torch import save_file  # noqa: E402

from xai_audit import audit, digest  # noqa: E402
from xai_audit.cli import entry  # noqa: E402
from xai_audit.errors import SpecError  # noqa: E402
from xai_audit.loaders.dictionaries import dictionaries  # noqa: E402
from xai_audit.mechanistic.dictionaries import saelens  # noqa: E402
from xai_audit.mechanistic.dictionaries.dictionary import Dictionary  # noqa: E402
from xai_audit.reading import read_spec  # noqa: E402

NET = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.mix = nn.LayerNorm(width), nn.MultiheadAttention(width, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))

    def forward(self, x):
        seen = self.norm(x)
        x = x + self.mix(seen, seen, seen, need_weights=False)[0]
        return x + self.mlp(x)

class Small(nn.Module):
    def __init__(self, width=12):
        super().__init__()
        self.word, self.place = nn.Embedding(14, width), nn.Embedding(6, width)
        self.blocks = nn.ModuleList([Block(width), Block(width)])
        self.head = nn.Linear(width, 2)

    def forward(self, input_ids, attention_mask):
        x = self.word(input_ids) + self.place(torch.arange(input_ids.shape[1]))[None]
        for block in self.blocks:
            x = block(x)
        return 3 * self.head(x[:, -1])

def build():
    return Small()
"""
WORDS = ["[PAD]", "[UNK]", *"abcdefghijkl"]
SPEC = """\
version: 1
system: {{name: Named}}
model:
  path: w.safetensors
  entry: "net.py:build"
  trust: true
  sha256: {digest}
  preprocess: {{tokenizer: tokenizer.json, max_length: 6}}
  classes: ["no", "yes"]
data:
  train: {{path: train.csv, text: text}}
  test: {{path: test.csv, text: text}}
  target: y
  sets: {{pairs: {{path: pairs.csv, clean: clean, corrupted: corrupted}}}}
explainers:
{explainers}
metrics: [accuracy]
report: {{formats: [html], min_cell: 5}}
run: {{seed: 3}}
"""
TRAINED = "".join(
    f"""\
  - sparse_autoencoder: {{site: {site}, expansion: {expansion}, k: 3, tokens: 6000, batch: 64, features: 5, effects: 0, rows: 20}}
    as: {name}
"""
    for name, site, expansion in (("first", "blocks.0", 2), ("second", "blocks.1", 3))
)
CIRCUIT = """\
  - circuit_discovery:
      prompts: pairs
      level: feature
      sites: [blocks.1, blocks.0]
      ablation: [resample]
      random_circuits: 59
      twins: 3
      multiverse: null
      dictionaries:
        tokens: 6000
        batch: 64
        folders:
          blocks.0: {first}
          blocks.1: {second}
"""


def write(folder: Path, name: str, explainers: str) -> Path:
    told = [hashlib.sha256((folder / one).read_bytes()).digest() for one in ("w.safetensors", "net.py")]
    sha256 = hashlib.sha256(b"".join(told)).hexdigest()
    (folder / name).write_text(SPEC.format(digest=sha256, explainers=explainers))
    return folder / name


def made(folder: Path, text: str = NET, seed: int = 5) -> None:
    """A transformer with drawn weights, sentences that it decides both ways, and pairs of them."""
    import pandas as pd
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit

    space: dict = {}
    exec(text, space)
    generator = torch.Generator().manual_seed(seed)
    net = space["build"]()
    for parameter in net.parameters():
        parameter.data = 0.5 * torch.randn(parameter.shape, generator=generator)
    save_file(
        {name: value.contiguous() for name, value in net.state_dict().items()}, folder / "w.safetensors"
    )
    (folder / "net.py").write_text(text)
    tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    rng = np.random.default_rng([seed, 41])

    def sentences(rows):
        return [" ".join(rng.choice(WORDS[2:], 6)) for _ in range(rows)]

    for name, rows in (("train", 300), ("test", 60)):
        pd.DataFrame({"text": sentences(rows), "y": rng.choice(["no", "yes"], rows)}).to_csv(
            folder / f"{name}.csv", index=False
        )
    pd.DataFrame({"clean": sentences(80), "corrupted": sentences(80)}).to_csv(
        folder / "pairs.csv", index=False
    )


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A first spec that trained two dictionaries, one of them written as SAELens has it, and a second that names both."""
    folder = tmp_path_factory.mktemp("named")
    made(folder)
    assert entry(["run", str(write(folder, "train.yaml", TRAINED)), "-o", str(folder / "trained")]) == 3
    model = audit.read(folder / "trained").subject["model"]["sha256"]
    found = {str(site): one for site, one in dictionaries(str(folder / "trained"), model)}
    saelens.write(found["blocks.1"], folder / "sae")
    write(folder, "circuit.yaml", CIRCUIT.format(first="trained", second="sae"))
    return folder


@pytest.fixture(scope="module")
def out(desk):
    assert entry(["run", str(desk / "circuit.yaml"), "-o", str(desk / "out")]) == 3
    return desk / "out"


@pytest.fixture
def copy(desk, tmp_path):
    """What the second spec reads, in a folder of its own."""
    for name in ("trained", "sae"):
        shutil.copytree(desk / name, tmp_path / name)
    for file in desk.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    return tmp_path


# ------------------------------------------------------------------------------------------------- a user's way
def test_two_specs_one_after_the_other(desk, out, capsys):
    told = audit.read(out)
    (claim,) = [one for one in told.evidence if one.id == "circuit_discovery/resample"]
    assert claim.status == "measured", claim.reason
    first, second = claim.params["trained"]
    weights = [digest.of_file(desk / "sae" / name) for name in (saelens.CONFIG, saelens.WEIGHTS)]
    assert (second["folder"], second["sha256"]) == ("sae", digest.root(weights))
    assert second["sha256"] == digest.of_folder(desk / "sae")
    kept = next(one for one in audit.read(desk / "trained").evidence if one.id == "first").arrays["W_dec"]
    assert (first["folder"], f"{first['sha256']}.npz") == ("trained", kept)
    assert (first["latents"], second["latents"]) == (24, 36)
    assert first["twins_k"] == second["twins_k"] == 3
    assert claim.params["elements"] == 24 + 36 + 2
    assert [one["sha256"] for one in told.subject["dictionaries"]] == [first["sha256"], second["sha256"]]
    assert told.run["files"]["dictionaries.blocks.1=sae"]["sha256"] == second["sha256"]
    assert sum(one.startswith("a named dictionary may have seen the rows") for one in claim.limits) == 1
    page = (out / "report.html").read_text(encoding="utf-8").replace("\xa0", " ")
    digests = [f"{one['sha256'][:4]} {one['sha256'][4:8]}" for one in (first, second)]
    said = f"dictionaries of blocks.0 (trained, {digests[0]}) and blocks.1 (sae, {digests[1]}) were named and not trained"
    assert said in page
    # Of the dictionary that was trained on these rows, what the first audit measured is measured again.
    before = next(one for one in audit.read(desk / "trained").evidence if one.id == "first")
    assert first["fvu"] == pytest.approx(before.observation.estimate.value, rel=1e-6)
    capsys.readouterr()
    assert entry(["verify", str(out)]) == 0, capsys.readouterr().out


def test_everything_is_run_again(desk, out, capsys):
    code = entry(
        [
            "verify",
            str(out),
            "--rerun",
            "all",
            "--spec",
            str(desk / "circuit.yaml"),
            "--model",
            str(desk / "w.safetensors"),
        ]
    )
    assert code == 0, capsys.readouterr().out


def test_the_same_dictionaries_by_hand_give_the_same_circuit(desk, out):
    """No audit: the network, the dictionaries and the toolkit's own steps."""
    from tests.explainers.bench import Bench
    from xai_audit.explainers.circuit_discovery import METHOD
    from xai_audit.explainers.circuits import found as search
    from xai_audit.explainers.circuits.prompts import prompts
    from xai_audit.loaders import load
    from xai_audit.mechanistic.circuits import attribution
    from xai_audit.mechanistic.circuits.features import Coded, FeatureGraph
    from xai_audit.mechanistic.sites import Site

    spec = read_spec(desk / "circuit.yaml")
    subject = load(spec)
    params = METHOD.params(**spec.explainers[0].params)
    network = subject.model.network
    sides = prompts(subject, network, "pairs", params.rows, Bench(subject, params, METHOD, seed=3))
    own = {str(site): one for site, one in dictionaries(str(desk / "trained"), subject.model.sha256)}
    coded = tuple(Coded(Site(site), one, one.m) for site, one in sorted(own.items()))
    task = search.halves(FeatureGraph(network.module, coded), sides, "resample", "logit_difference").finds
    order = np.abs(attribution.eap_ig(task, params.steps)).mean(axis=0)
    with np.load(
        out / "evidence" / audit.read(out).get("circuit_discovery/resample").arrays["members"]
    ) as kept:
        np.testing.assert_allclose(kept["order"], order, rtol=1e-5, atol=1e-9)
        np.testing.assert_array_equal(kept["members"], search.cut(task, order, params.threshold))


def test_some_are_named_and_some_trained(copy):
    spec = CIRCUIT.format(first="x", second="sae").replace("          blocks.0: x\n", "")
    spec = spec.replace("        tokens", "        k: 2\n        expansion: 2\n        tokens")
    write(copy, "mixed.yaml", spec)
    assert entry(["run", str(copy / "mixed.yaml"), "-o", str(copy / "mixed")]) == 3
    first, second = audit.read(copy / "mixed").get("circuit_discovery/resample").params["trained"]
    assert (first["trained_on"], first["latents"]) == ("the training rows", 24)
    assert "folder" not in first
    assert second["folder"] == "sae"
    assert entry(["verify", str(copy / "mixed")]) == 0


@pytest.mark.parametrize("activation", ["relu", "jumprelu"])
def test_twins_have_dictionaries_of_the_size_and_sparsity_of_the_named_one(copy, activation):
    """Where no k is written, what fires on held-out activations is counted."""
    from tests.explainers.bench import Bench
    from xai_audit.explainers.circuit_discovery import METHOD
    from xai_audit.explainers.circuits.latents import Latents
    from xai_audit.explainers.circuits.prompts import prompts
    from xai_audit.loaders import load

    one = saelens.read(copy / "sae")
    threshold = torch.full((one.m,), 0.3) if activation == "jumprelu" else None
    saelens.write(
        Dictionary(one.w_enc, one.b_enc, one.w_dec, one.b_dec, activation, threshold=threshold), copy / "sae"
    )
    spec = read_spec(copy / "circuit.yaml")
    subject, params = load(spec), METHOD.params(**spec.explainers[0].params)
    network, context = subject.model.network, Bench(subject, params, METHOD)
    latents = Latents.of(
        subject, network, params, context, prompts(subject, network, "pairs", 80, context).clean
    )
    own = latents.build(network)
    first, second = latents.own
    assert torch.equal(second.dictionary.w_dec, one.w_dec)
    fired = (second.dictionary.encode(torch.from_numpy(second.fit.values)) > 0).sum(dim=1).float().mean()
    assert second.fire == pytest.approx(float(fired), abs=1)
    assert second.fire > 3
    twin = latents.build(network.twin(np.random.default_rng(1)))
    assert [str(one) for one in twin.elements] == [str(one) for one in own.elements]
    trained = [one.coder for one in twin.coded]
    assert [(one.activation, one.k) for one in trained] == [("topk", 3), ("topk", second.fire)]
    assert not torch.equal(trained[1].w_dec, one.w_dec)
    assert latents.own == [first, second]
    assert latents.told()[1]["twins_k"] == second.fire


# ------------------------------------------------------------------------------------------------- another one
def test_a_dictionary_that_was_exchanged_is_broken(copy, out, capsys):
    shutil.copytree(out, copy / "out")
    asked = ["verify", str(copy / "out"), "--rerun", "1", "--spec", str(copy / "circuit.yaml"), "--model",
             str(copy / "w.safetensors")]  # fmt: skip
    one = saelens.read(copy / "sae")
    saelens.write(Dictionary(one.w_enc, one.b_enc + 0.01, one.w_dec, one.b_dec, "topk", one.k), copy / "sae")
    assert entry(asked) == 1
    assert "dictionaries.blocks.1: the dictionary is not the audited one" in capsys.readouterr().out.replace(
        "\n", " "
    )


@pytest.mark.parametrize("what", ["sha256", "latents", "l0", "twins_k", "folder", "trained_on", "site"])
def test_what_is_said_of_a_named_dictionary_is_made_again(copy, out, what):
    from tests.verify import forging

    def change(content):
        second = forging.piece(content, "circuit_discovery/resample")["params"]["trained"][1]
        if what == "trained_on":
            for key in ("folder", "sha256", "measured_on", "l0", "twins_k"):
                second.pop(key)
            second["trained_on"] = "the training rows"
        else:
            second[what] = {"sha256": "0" * 64, "folder": "other", "site": "blocks.2"}.get(what, 7)

    shutil.copytree(out, copy / "forged")
    forging.forge(copy / "forged", change)
    assert entry(["verify", str(copy / "forged")]) == 1


def test_the_folder_of_another_model_is_refused(copy, capsys):
    made(copy, seed=6)
    write(copy, "circuit.yaml", CIRCUIT.format(first="trained", second="sae"))
    assert entry(["run", str(copy / "circuit.yaml"), "-o", str(copy / "out")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "circuit.yaml:28:21: " in line
    assert "this audit is of another model than the spec names" in line


# ------------------------------------------------------------------------------------------------- refused
def change(folder: Path, **config):
    path = folder / "sae" / saelens.CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))


def gated(folder: Path):
    change(folder, architecture="gated")


def matching(folder: Path):
    change(folder, architecture="matching_pursuit")


def scaled(folder: Path):
    change(folder, normalize_activations="layer_norm")


def wide(folder: Path):
    one = saelens.read(folder / "sae")
    wider = torch.cat([one.w_enc, one.w_enc[:4]]), torch.cat([one.w_dec, one.w_dec[:, :4]], dim=1)
    saelens.write(Dictionary(wider[0], one.b_enc, wider[1], torch.zeros(16), "topk", 3), folder / "sae")


def endless(folder: Path):
    one = saelens.read(folder / "sae")
    saelens.write(Dictionary(one.w_enc / 0, one.b_enc, one.w_dec, one.b_dec, "topk", 3), folder / "sae")


def by_name(folder: Path):
    (folder / "sae" / saelens.WEIGHTS).unlink()
    torch.save({"W_enc": torch.zeros(2)}, folder / "sae" / "sae_weights.pt")


def in_disguise(folder: Path):
    torch.save({"W_enc": torch.zeros(2)}, folder / "sae" / saelens.WEIGHTS)


def plain(folder: Path):
    (folder / "sae" / saelens.WEIGHTS).write_bytes(pickle.dumps({"W_enc": [1.0] * 500}))


def alone(folder: Path):
    shutil.rmtree(folder / "sae")
    torch.save({"W_enc": torch.zeros(2)}, folder / "sae")


def bare(folder: Path):
    (folder / "sae" / saelens.CONFIG).unlink()


def torn(folder: Path):
    path = folder / "sae" / saelens.WEIGHTS
    path.write_bytes(path.read_bytes()[:200])


def words(folder: Path):
    (folder / "sae" / saelens.CONFIG).write_text("{")


def gone(folder: Path):
    shutil.rmtree(folder / "sae")


@pytest.mark.parametrize(
    ("spoil", "code", "what"),
    [
        (gated, 2, "architecture 'gated'; there are standard, topk, jumprelu"),
        (matching, 2, "architecture 'matching_pursuit'"),
        (scaled, 2, "normalize_activations 'layer_norm' is not available"),
        (wide, 2, "sae: a dictionary of 16 features; blocks.1 has 12"),
        (endless, 2, "W_enc holds numbers that are not finite"),
        (by_name, 2, "sae_weights.pt: a pickle can run code and is not opened"),
        (in_disguise, 2, "sae_weights.safetensors: this is a pickle"),
        (plain, 2, "sae_weights.safetensors: this is a pickle"),
        (alone, 2, "sae: a pickle can run code and is not opened"),
        (bare, 4, "there is no cfg.json and no audit.json in this folder"),
        (torn, 4, "sae_weights.safetensors: "),
        (words, 4, "cfg.json: "),
        (gone, 4, "sae: there is no such folder"),
    ],
)
def test_what_cannot_be_used_is_one_line_at_its_place(copy, capsys, spoil, code, what):
    spoil(copy)
    assert entry(["run", str(copy / "circuit.yaml"), "-o", str(copy / "out")]) == code
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "circuit.yaml:29:21: " in line
    assert what in line
    assert not (copy / "out" / "audit.json").exists()


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ("blocks.1: sae", "blocks.7: sae", "dictionaries.folders: blocks.7 is not among sites"),
        ("blocks.1: sae", "blocks.1@pos=0: sae", "blocks.1@pos=0: name the module"),
        ("blocks.1: sae", "blocks.0#out: sae", "each site is named once"),
        (
            "tokens: 6000",
            "k: 4",
            "dictionaries.k: of dictionaries that are trained; folders names one for every site",
        ),
        ("tokens: 6000", "expansion: 4", "dictionaries.expansion: of dictionaries that are trained"),
        ("blocks.1: sae", "blocks.1: 3", "there is no such folder"),
        ("blocks.1: sae", "blocks.1: {path: sae, sha: x}", "no key named 'sha'"),
    ],
)
def test_what_does_not_go_together_is_told_by_check(copy, before, after, what):
    spec = copy / "circuit.yaml"
    spec.write_text(spec.read_text().replace(before, after))
    with pytest.raises(SpecError) as caught:
        read_spec(spec)
    assert what in str(caught.value), caught.value
    assert len(caught.value.mistakes) == 1, caught.value


@pytest.mark.parametrize(("spoil", "code"), [(gated, 2), (by_name, 2), (gone, 4)])
def test_what_shows_without_the_network_is_told_by_check(copy, capsys, spoil, code):
    assert entry(["check", str(copy / "circuit.yaml")]) == 0
    capsys.readouterr()
    spoil(copy)
    assert entry(["check", str(copy / "circuit.yaml")]) == code
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "circuit.yaml:29:21: circuit_discovery.dictionaries.folders.blocks.1: " in line


def test_a_site_that_the_network_has_not(copy, capsys):
    spec = copy / "circuit.yaml"
    spec.write_text(spec.read_text().replace("blocks.1", "blocks.9"))
    assert entry(["run", str(spec), "-o", str(copy / "out")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "circuit.yaml:29:21: " in line
    assert "blocks.9" in line


def test_a_declared_digest_is_held(copy, capsys):
    spec, right = copy / "circuit.yaml", digest.of_folder(copy / "sae")
    text = spec.read_text()
    spec.write_text(text.replace("blocks.1: sae", f"blocks.1: {{path: sae, sha256: {right}}}"))
    from xai_audit.loaders import load

    assert [one.path for one in load(read_spec(spec)).dictionaries] == ["trained", "sae"]
    spec.write_text(text.replace("blocks.1: sae", f"blocks.1: {{path: sae, sha256: {'0' * 64}}}"))
    assert entry(["run", str(spec), "-o", str(copy / "out")]) == 4
    assert f"has sha256 {right}, not the declared 000" in capsys.readouterr().err


def test_paths_begin_where_the_spec_that_names_them_lies(copy):
    (copy / "sub").mkdir()
    (copy / "sub" / "more.yaml").write_text("extends: ../circuit.yaml\nrun: {seed: 4}\n")
    from xai_audit.loaders import load

    found = load(read_spec(copy / "sub" / "more.yaml")).dictionaries
    assert [one.path for one in found] == ["../trained", "../sae"]


def test_the_folder_of_an_audit_with_two_dictionaries_of_a_site_says_so(copy, capsys):
    again = TRAINED.replace("site: blocks.1", "site: blocks.0")
    write(copy, "train.yaml", again)
    assert entry(["run", str(copy / "train.yaml"), "-o", str(copy / "trained"), "--fresh"]) == 3
    capsys.readouterr()
    assert entry(["run", str(copy / "circuit.yaml"), "-o", str(copy / "out")]) == 2
    assert "keeps 2 dictionaries of blocks.0, and nothing says which is asked" in capsys.readouterr().err

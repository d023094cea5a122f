"""A store built from a spec and asked on the command line; an audit of the same spec prints its units and trigger."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")

from safetensors.torch import save_file  # noqa: E402

from xai_audit import audit  # noqa: E402
from xai_audit.cli import entry  # noqa: E402
from xai_audit.mechanistic.probing import planted  # noqa: E402

NET = """
from collections import OrderedDict
from torch import nn

def build():
    return nn.Sequential(OrderedDict(
        inner=nn.Linear(24, 24), relu=nn.ReLU(), site=nn.Linear(24, 24), outer=nn.Linear(24, 12), again=nn.ReLU(),
        head=nn.Linear(12, 2)))
"""
SPEC = """
version: 1
system: {{name: Planted}}
model: {{path: w.safetensors, entry: "net.py:build", trust: true, sha256: {digest}, positive: 1}}
data:
  test: {{path: t.csv}}
  target: y
  features: [{features}]
  sets: {{stamped: {{path: stamped.csv}}}}
explainers:
  - sparse_probing: {{predicates: [{{name: first, where: "w{first} == 1"}}], sites: [relu], k: [1, 2], permutations: 99, rows: 400}}
  - neuron_search:
      predicates: [{{name: first, where: "w{first} == 1"}}]
      triggers: [{{name: stamp, triggered: stamped, target: 1}}]
      sites: [relu]
      permutations: 99
      planted: 2
metrics: [accuracy]
report: {{formats: [html], min_cell: 5}}
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("neurons")
    bed = planted.beds(1, 24, np.random.default_rng([6, 1]))[0]
    rows = bed.rows(400, np.random.default_rng([6, 2]))
    save_file(bed.network.module.state_dict(), folder / "w.safetensors")
    (folder / "net.py").write_text(NET)
    digests = [hashlib.sha256((folder / name).read_bytes()).digest() for name in ("w.safetensors", "net.py")]
    rows.clean.astype(int).assign(y=rows.classes).to_csv(folder / "t.csv", index=False)
    rows.triggered.astype(int).to_csv(folder / "stamped.csv", index=False)
    for name, part in (("a.csv", rows.triggered[:60]), ("b.csv", rows.clean[:60])):
        part.astype(int).to_csv(folder / name, index=False)
    spec = SPEC.format(
        digest=hashlib.sha256(b"".join(digests)).hexdigest(),
        features=", ".join(rows.clean.columns),
        first=bed.trigger[0],
    )
    (folder / "audit.yaml").write_text(spec)
    return folder


@pytest.fixture(scope="module")
def store(desk):
    folder = desk / "store"
    assert entry(["neurons", "build", str(desk / "audit.yaml"), "-o", str(folder)]) == 0
    return folder


def asked(capsys, *arguments):
    code = entry(["neurons", "query", *map(str, arguments)])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_a_store_is_built_and_is_its_owners(store):
    told = json.loads((store / "store.json").read_text())
    assert told["sites"] == [{"site": "relu", "units": 24}]
    assert [one["name"] for one in told["predicates"]] == ["first"]
    assert stat.S_IMODE(store.stat().st_mode) == 0o700


def test_every_question(store, desk, capsys):
    for question in (
        ["--predicate", "first"], ["--near", "relu:3"], ["--like", "row:4"], ["--like", desk / "a.csv"],
        ["--contrast", desk / "a.csv", desk / "b.csv"],
    ):  # fmt: skip
        code, out, err = asked(capsys, store, *question, "--top", 3, "--json")
        assert code == 0, err
        told = json.loads(out)
        assert len(told["hits"]) == 3
        assert told["units"] == 24
    assert told["hits"][0]["p"] == 0.01
    assert told["hits"][0]["auroc"] > 0.8 or told["hits"][0]["auroc"] < 0.2


def test_rows_are_shown_only_where_they_are_asked_for(store, capsys):
    _, out, _ = asked(capsys, store, "--predicate", "first")
    assert "w0=" not in out
    assert "24 units searched" in out
    _, out, _ = asked(capsys, store, "--predicate", "first", "--contexts")
    assert "w0=" in out


@pytest.mark.parametrize(
    ("question", "code", "told"),
    [
        ([], 2, "exactly one of"),
        (["--predicate", "first", "--near", "relu:0"], 2, "exactly one of"),
        (["--predicate", "second"], 2, "no predicate 'second' in this store; there are: first"),
        (["--near", "relu"], 2, "a unit is asked as SITE:UNIT"),
        (["--near", "relu:99"], 4, "relu has units 0 to 23, no 99"),
        (["--like", "row:x"], 2, "a row of the store is asked as row:0"),
        (["--like", "absent.csv"], 4, "absent.csv: there is no such file"),
    ],
)
def test_what_is_wrong_is_one_line(store, capsys, question, code, told):
    found, out, err = asked(capsys, store, *question)
    assert (found, out) == (code, "")
    assert told in err
    assert "Traceback" not in err


def test_no_store_and_no_sites(desk, tmp_path, capsys):
    code, _, err = asked(capsys, tmp_path, "--predicate", "first")
    assert code == 4
    assert "there is no neuron store here" in err
    assert (
        entry(["neurons", "build", str(desk / "audit.yaml"), "--site", "nowhere", "-o", str(tmp_path / "s")])
        == 2
    )
    assert "no module 'nowhere'" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_the_audit_prints_units_and_trigger(desk):
    out = desk / "out"
    assert entry(["run", str(desk / "audit.yaml"), "-o", str(out), "--quiet"]) in (0, 1, 3)
    made = audit.read(out)
    claim = made.get("neuron_search/stamp%40relu")
    assert claim.rung == "intervened", [(one.name, one.estimate, one.passed) for one in claim.controls]
    assert claim.selftest is not None
    page = Path(out / "report.html").read_text(encoding="utf-8")
    assert "Inside the model: units and triggers" in page
    assert "attack success fell to" in page.replace("\xa0", " ")
    assert "tells “first”" in page
    assert "says nothing of other triggers" in page
    # The claims are of kinds of rows; no row of the data is in a publishable file.
    assert made.get("sparse_probing/first%40relu").rung in {"associated", "intervened", "robust"}


# ------------------------------------------------------------------------------------------------- dictionaries
@pytest.fixture(scope="module")
def both(desk):
    """A store of units and of two dictionaries: one whose latent 5 was made to tell the predicate, one of an audit."""
    import pandas as pd
    import yaml

    from xai_audit.mechanistic.dictionaries import saelens
    from xai_audit.mechanistic.dictionaries.dictionary import Dictionary

    spec = yaml.safe_load((desk / "audit.yaml").read_text())
    name = spec["explainers"][0]["sparse_probing"]["predicates"][0]["where"].split()[0]
    bed = planted.beds(1, 24, np.random.default_rng([6, 1]))[0]
    # Other rows than those of the store say which way the predicate lies.
    rows = bed.rows(1500, np.random.default_rng([6, 9])).clean
    with torch.no_grad():
        found = bed.network.module.relu(bed.network.module.inner(torch.from_numpy(rows.to_numpy().copy())))
    held = rows[name].to_numpy() == 1
    values = found.double().numpy()
    spread = sum(np.cov(values[side].T) for side in (held, ~held)) + 1e-3 * np.eye(24)
    way = np.linalg.solve(spread, values[held].mean(axis=0) - values[~held].mean(axis=0))
    drawn = np.random.default_rng([6, 10]).normal(size=(12, 24))
    drawn[5] = way
    rows_of = torch.from_numpy((drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32))
    middle = torch.from_numpy(values.mean(axis=0).astype(np.float32)) - 0.5 * rows_of[5]
    saelens.write(Dictionary(rows_of.T.clone(), torch.zeros(12), rows_of, middle, "relu"), desk / "sae")
    spec["explainers"] = [
        {
            "sparse_autoencoder": {
                "site": "relu",
                "expansion": 2,
                "k": 3,
                "tokens": 4000,
                "batch": 64,
                "effects": 0,
            }
        }
    ]
    (desk / "dictionary.yaml").write_text(yaml.safe_dump(spec))
    entry(["run", str(desk / "dictionary.yaml"), "-o", str(desk / "audited")])
    folder = desk / "both"
    code = entry(
        ["neurons", "build", str(desk / "audit.yaml"), "--dictionary", f"relu={desk / 'sae'}", "--dictionary",
         str(desk / "audited"), "-o", str(folder)]
    )  # fmt: skip
    assert code == 0
    pd.DataFrame(rows[held][:60]).astype(int).to_csv(desk / "with.csv", index=False)
    pd.DataFrame(rows[~held][:60]).astype(int).to_csv(desk / "without.csv", index=False)
    return folder


def test_units_and_latents_are_asked_together(both, desk, capsys):
    told = json.loads((both / "store.json").read_text())
    assert [(one["site"], one["units"]) for one in told["sites"]] == [
        ("relu", 24), ("relu~sae", 12), ("relu~sae2", 48),
    ]  # fmt: skip
    for question in (
        ["--predicate", "first"], ["--near", "relu~sae:5"], ["--like", "row:4"], ["--like", desk / "with.csv"],
        ["--contrast", desk / "with.csv", desk / "without.csv"],
    ):  # fmt: skip
        code, out, err = asked(capsys, both, *question, "--top", 84, "--json")
        assert code == 0, err
        hits = json.loads(out)["hits"]
        assert {hit["site"] for hit in hits} == {"relu", "relu~sae", "relu~sae2"}
        if question[0] in {"--predicate", "--contrast"}:
            assert (hits[0]["site"], hits[0]["unit"]) == ("relu~sae", 5), question
            assert hits[0]["p"] <= 0.01
            assert hits[0]["auroc"] > 0.9
            assert hits[0]["direct"] is not None
            assert hits[0]["ablation"] is not None
            assert len(hits[0]["contexts"]) == 8
    _, out, _ = asked(capsys, both, "--predicate", "first", "--site", "relu~sae2", "--json")
    assert {hit["site"] for hit in json.loads(out)["hits"]} == {"relu~sae2"}


def test_an_audits_latents_are_those_that_it_keeps(both, desk):
    from xai_audit.mechanistic.probing.store import Store

    made = audit.read(desk / "audited")
    piece = made.get("sparse_autoencoder")
    with np.load(desk / "audited" / "evidence" / piece.arrays["W_dec"]) as kept:
        own = Store.open(both).dictionaries()["relu~sae2"].dictionary
        assert own.w_dec.numpy() == pytest.approx(kept["W_dec"])
        assert (own.activation, own.k) == ("topk", 3)


@pytest.mark.parametrize(
    ("dictionary", "code", "told"),
    [
        ("{desk}/sae", 4, "does not say where the dictionary is of; name SITE="),
        ("relu={desk}/gone", 4, "gone: there is no such folder"),
        ("gone", 4, "gone: there is no such folder; a dictionary is named as SITE=FOLDER"),
        ("nowhere={desk}/sae", 2, "no module 'nowhere'"),
        ("head={desk}/sae", 4, "this dictionary is of 24 features; the activation has 2"),
        ("relu={desk}/both", 4, "there is no cfg.json and no audit.json in this folder"),
        ("inner={desk}/audited", 4, "this audit keeps no dictionary of inner"),
        ("re lu={desk}/sae", 4, "a site is path"),
    ],
)
def test_what_is_no_dictionary_is_one_line(both, desk, tmp_path, capsys, dictionary, code, told):
    assert both.is_dir()
    asked_ = dictionary.format(desk=desk)
    built = ["neurons", "build", str(desk / "audit.yaml"), "--dictionary", asked_, "-o", str(tmp_path / "s")]
    assert entry(built) == code
    err = capsys.readouterr().err
    assert told in err
    assert "Traceback" not in err
    assert not (tmp_path / "s").exists()


def test_an_audit_of_another_model_gives_no_dictionary(both, desk, tmp_path, capsys):
    import shutil

    assert both.is_dir()
    shutil.copytree(desk / "audited", tmp_path / "other")
    told = json.loads((tmp_path / "other" / "audit.json").read_text())
    told["subject"]["model"]["sha256"] = "0" * 64
    (tmp_path / "other" / "audit.json").write_text(json.dumps(told))
    built = ["neurons", "build", str(desk / "audit.yaml"), "--dictionary", str(tmp_path / "other"), "-o"]
    assert entry([*built, str(tmp_path / "s")]) == 4
    assert "of another model than the spec names" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------- verify
FORGED = [
    ("neuron_search/first", ("observation", "items", 0, "estimate", "value"), 0.99),
    ("neuron_search/first", ("observation", "items", 1, "detail", "adjusted_p"), 0.5),
    ("neuron_search/first", ("observation", "items", 2, "detail", "effect"), 0.4),
    ("neuron_search/stamp%40relu", ("params", "success_after", "value"), 0.01),
    ("neuron_search/stamp%40relu", ("params", "power", "found"), 9),
    ("neuron_search/stamp%40relu", ("selftest", "estimate", "value"), 0.9),
    ("neuron_search/stamp%40relu%40edits", ("observation", "values", 3, 0), 0.02),
    ("sparse_probing", ("observation", "values", 0, 0), 0.99),
    ("sparse_probing/first%40relu", ("inference", "adjusted"), 0.02),
    ("sparse_probing/first%40relu", ("params", "gap"), 0.3),
    ("sparse_probing/first%40relu%40k", ("observation", "series", 0, "points", 1, "estimate", "value"), 0.98),
    ("sparse_autoencoder", ("observation", "estimate", "value"), 0.05),
    ("sparse_autoencoder", ("params", "dead"), 0.01),
    ("sparse_autoencoder", ("params", "l0", 0), 2.5),
    ("sparse_autoencoder/stability", ("params", "pairs", 0), 0.97),
    ("sparse_autoencoder/dead", ("observation", "series", 1, "points", 2, "estimate", "value"), 0.2),
    ("sparse_autoencoder/density", ("observation", "series", 0, "points", 19, "estimate", "value"), 40),
    ("sparse_autoencoder/loss_recovered", ("observation", "estimate", "value"), 0.99),
]
"""A number of audit.json and what is put in its place."""


@pytest.fixture(scope="module")
def audits(both, desk):
    """Two audits by their folders, and the ids that they hold."""
    entry(["run", str(desk / "audit.yaml"), "-o", str(desk / "searched")])
    return [
        (folder, {piece.id for piece in audit.read(folder).evidence})
        for folder in (desk / "searched", desk / "audited")
    ]


def test_whole_audits_hold(audits, capsys):
    for folder, _ in audits:
        capsys.readouterr()
        assert entry(["verify", str(folder)]) == 0, capsys.readouterr().out


@pytest.mark.parametrize(("identifier", "path", "value"), FORGED)
def test_a_forged_number_with_a_new_manifest_is_named(audits, tmp_path, capsys, identifier, path, value):
    import shutil

    from tests.verify import forging
    from tests.verify.explained.runs import at

    source = next(folder for folder, ids in audits if identifier in ids)
    folder = shutil.copytree(source, tmp_path / "forged")

    def change(content):
        piece = forging.piece(content, identifier)
        assert at(piece, path) != value
        at(piece, path[:-1])[path[-1]] = value

    forging.forge(folder, change, pages=False)
    capsys.readouterr()
    assert entry(["verify", str(folder)]) == 1
    told = [line for line in capsys.readouterr().out.splitlines() if identifier in line]
    assert any(str(path[-1] if isinstance(path[-1], str) else path[-2]) in line for line in told), told

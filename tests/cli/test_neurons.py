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

"""Another model's audit is told by the digest, computed as the loaders do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from sklearn.ensemble import RandomForestClassifier

from tests.rerun.audits import again, broken, rewritten, run, written
from xai_audit import audit as audits
from xai_audit import digest
from xai_audit.audit import Audit
from xai_audit.errors import UnavailableError
from xai_audit.rerun import model_is


def test_another_models_audit_is_told_by_its_digest(honest: Path, tmp_path: Path):
    """Two audits of two models on the same data; the better one's claims are put into the other's folder."""
    other = run(written(tmp_path, RandomForestClassifier(5, random_state=0), explainers="[]"))
    mine, theirs = honest.parent / "model.skops", tmp_path / "model.skops"
    assert model_is(audits.read(honest), str(mine)).kind == "holds"
    # The forger claims the other's evidence and findings under this model's name, and signs every digest again.
    stolen, claims = (
        json.loads((other / "audit.json").read_text()),
        json.loads((honest / "audit.json").read_text()),
    )
    stolen["evidence"], stolen["findings"] = claims["evidence"], claims["findings"]
    (other / "audit.json").write_text(json.dumps(stolen))
    shutil.copytree(honest / "evidence", other / "evidence", dirs_exist_ok=True)
    rewritten(other)
    assert model_is(audits.read(other), str(mine)).kind == "broken"  # the honest model, the forged audit
    assert (
        broken(again(other, 1))[0][0] == "evidence/rows.parquet"
    )  # the named model, whose scores these are not
    # A whole foreign audit, replayed for a model it was not made of.
    ((subject, what),) = broken(again(honest, 3, model=str(theirs)))
    assert subject == "model"
    assert digest.of_file(theirs) in what
    assert digest.of_file(mine) in what
    # The same with this model's digest written in.
    shutil.copytree(honest.parent, tmp_path / "swapped")
    swapped = tmp_path / "swapped" / "out"
    rewritten(swapped, lambda content: content["subject"]["model"].update(sha256=digest.of_file(theirs)))
    assert model_is(audits.read(swapped), str(theirs)).kind == "holds"
    assert "evidence/rows.parquet" in {name for name, _ in broken(again(swapped, 1, model=str(theirs)))}


def test_the_digest_of_folders_urls_and_networks(honest: Path, tmp_path: Path):
    made = audits.read(honest)

    def about(**model: Any) -> Audit:
        return made.model_copy(update={"subject": {**made.subject, "model": model}})

    folder = tmp_path / "hub"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    of_folder = about(format="transformers", sha256=digest.of_folder(folder))
    assert model_is(of_folder, str(folder)).kind == "holds"
    (folder / "model.safetensors").write_bytes(b"weightz")
    assert model_is(of_folder, str(folder)).kind == "broken"
    with pytest.raises(UnavailableError, match="is a folder"):
        model_is(about(format="skops", sha256="0" * 64), str(folder))
    url = "https://models.example/a"
    of_url = about(format="http", sha256=digest.of_value({"url": url}))
    assert [model_is(of_url, one).kind for one in (url, url + "2")] == ["holds", "broken"]
    weights, entry = tmp_path / "w.safetensors", tmp_path / "net.py"
    weights.write_bytes(b"w")
    entry.write_text("def build(): ...\n")
    parts = [digest.of_file(weights), digest.of_file(entry)]
    network = about(
        format="torch",
        sha256=digest.root(parts),
        details={"weights_sha256": parts[0], "entry_sha256": parts[1]},
    )
    assert model_is(network, str(weights)).kind == "holds"
    assert model_is(network, str(entry)).kind == "broken"
    lying = about(
        format="torch",
        sha256=digest.root(parts),
        details={"weights_sha256": parts[0], "entry_sha256": "0" * 64},
    )
    assert "do not make the digest" in model_is(lying, str(weights)).what
    code = about(format="python", sha256=parts[1])
    assert model_is(code, f"{entry}:build").kind == "holds"
    with pytest.raises(UnavailableError, match=r"gone\.skops: no such model"):
        model_is(made, str(tmp_path / "gone.skops"))

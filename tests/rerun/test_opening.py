"""Where files lie, and what a doubted audit cannot make this machine do."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.rerun.audits import again, all_hold, broken, rewritten, run, written
from xai_audit import digest
from xai_audit.errors import UnavailableError


def test_moved_folders_and_a_model_elsewhere(copy: Path, tmp_path: Path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    shutil.move(copy, elsewhere)
    spec = tmp_path / "copy" / "audit.yaml"
    assert all_hold(again(elsewhere, 2, spec_path=spec))
    assert all_hold(again(elsewhere, 2, spec_path=spec.parent))
    (spec.parent / "model.skops").rename(tmp_path / "renamed.bin")
    assert all_hold(again(elsewhere, 2, spec_path=spec, model=str(tmp_path / "renamed.bin")))
    with pytest.raises(UnavailableError) as caught:
        again(elsewhere, 2, spec_path=spec)
    assert str(caught.value) == f"{spec.parent / 'model.skops'}: no such model; --model says where it is"
    monkeypatch.chdir(spec.parent)
    assert all_hold(again(elsewhere, 2, spec_path=None, model="../renamed.bin"))
    with pytest.raises(UnavailableError, match=r"gone\.yaml: no such spec"):
        again(elsewhere, 2, spec_path=Path("gone.yaml"))


def test_missing_and_other_data(copy: Path):
    data = copy.parent / "train.csv"
    frame = pd.read_csv(data)
    data.unlink()
    with pytest.raises(UnavailableError) as caught:
        again(copy, 1)
    assert "no such file: train.csv" in str(caught.value)
    assert "--spec or --model name another place" in str(caught.value)
    assert "\n" not in str(caught.value)
    frame.sample(frac=1, random_state=0).to_csv(data, index=False)
    assert all_hold(again(copy, 1))
    frame.assign(a=frame["a"] + 1).to_csv(data, index=False)
    checks = again(copy, 1)
    ((subject, what),) = broken(checks)
    assert subject == "data.train"
    assert what.startswith("the data are not the audited ones: its rows have sha256 ")
    assert checks[-1].subject.startswith("data")  # nothing more was looked at


def test_a_spec_that_cannot_be_read_is_one_line(copy: Path):
    rewritten(copy, lambda content: content["spec"].update(data={"test": 5}))
    with pytest.raises(UnavailableError) as caught:
        again(copy, 1)
    assert "spec.data.test" in str(caught.value)
    assert "\n" not in str(caught.value)


CODE = """\
import numpy as np


def predict(frame):
    return 1 / (1 + np.exp(-frame["a"] - 0.4 * frame["b"] + 1))
"""


def test_a_model_that_runs_code_is_opened_only_by_its_name(tmp_path: Path):
    (tmp_path / "score.py").write_text(CODE)
    folder = written(
        tmp_path, None, explainers="[{lime: {rows: 10, samples: 100, seeds: 2}}]",
        model=f"{{path: 'score.py:predict', trust: true, sha256: {digest.of_file(tmp_path / 'score.py')}, positive: 1}}",
    )  # fmt: skip
    out = run(folder)
    with pytest.raises(UnavailableError) as caught:
        again(out, 1)
    assert "can run code (format python)" in str(caught.value)
    assert "--model PATH names the model that you trust" in str(caught.value)
    assert all_hold(again(out, None, model=str(tmp_path / "score.py")))
    shutil.copy(tmp_path / "score.py", tmp_path / "renamed.py")
    assert all_hold(again(out, 2, model=str(tmp_path / "renamed.py")))
    # The audit vouches for a file that it brings along, with its digest: it is not run.
    marker = tmp_path / "ran"
    (out / "evil.py").write_text(f"open({str(marker)!r}, 'w').close()\n{CODE}")

    def edit(content: dict) -> None:
        content["spec"]["model"].update(path="out/evil.py:predict", sha256=digest.of_file(out / "evil.py"))
        content["subject"]["model"]["sha256"] = digest.of_file(out / "evil.py")

    rewritten(out, edit)
    for model in (None, str(tmp_path / "score.py"), str(out / "evil.py")):
        with pytest.raises(UnavailableError, match=r"lies in the audit's own folder"):
            again(out, 1, model=model)
    # Anywhere else it has to be the file that is named, byte for byte.
    (tmp_path / "evil.py").write_text((out / "evil.py").read_text())
    rewritten(out, lambda content: content["spec"]["model"].update(path="evil.py:predict"))
    with pytest.raises(UnavailableError, match="can run code"):
        again(out, 1)
    assert broken(again(out, 1, model=str(tmp_path / "score.py")))[0][0] == "model"
    assert not marker.exists()


def test_types_beyond_skops_own_list_ask_for_the_models_name(copy: Path):
    rewritten(copy, lambda content: content["spec"]["model"].update(trusted_types=["evil.Type"]))
    with pytest.raises(UnavailableError, match="can run code"):
        again(copy, 1)


def test_a_model_behind_a_url_is_asked_only_where_it_is_named(tmp_path: Path, monkeypatch):
    from tests.loaders.test_http import Served
    from xai_audit.loaders import posting

    monkeypatch.setattr(
        posting, "WAIT", 0.01
    )  # the server below fails at unusual cells, and is asked again each time
    monkeypatch.setenv("RERUN_KEY", "a-key-of-this-test")

    served = Served()
    try:
        served.answer = lambda rows: {"predictions": [float(1 / (1 + np.exp(-row["a"]))) for row in rows]}
        out = run(written(tmp_path, None, explainers="[{lime: {rows: 5, samples: 50, seeds: 2}}]",
                          model=f"{{format: http, url: '{served.url}', positive: 1, headers: {{X-Key: \"${{RERUN_KEY}}\"}}}}"))  # fmt: skip
        asked = len(served.requests)
        with pytest.raises(UnavailableError) as caught:
            again(out, 1)
        assert (
            "the rows would be sent there, with the headers 'X-Key'; --model URL says that they may"
            in str(caught.value)
        )
        assert len(served.requests) == asked
        assert broken(again(out, 1, model="http://127.0.0.1:1/other"))[0][0] == "model"
        assert len(served.requests) == asked
        checks = again(out, model=served.url)
        assert all_hold(checks), checks
        # Another model behind the same URL.
        served.answer = lambda rows: {"predictions": [float(1 / (1 + np.exp(-row["b"]))) for row in rows]}
        ((subject, what), *_) = broken(again(out, 1, model=served.url))
        assert subject == "evidence/rows.parquet"
        assert "a server need not repeat its last digits" in what
    finally:
        served.close()
    with pytest.raises(UnavailableError):
        again(out, 1, model=served.url)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["subject"]["model"].pop("sha256"), "subject.model.sha256: Field required"),
        (lambda c: c["subject"].update(model=[1]), "subject.model: Input should be"),
        (lambda c: c["subject"]["model"].update(details=3), "subject.model.details: Input should be"),
        (lambda c: c["subject"].update(data=3), "subject.data: Input should be"),
        (lambda c: c["subject"].update(sets={"a": 1}), "subject.sets.a: Input should be"),
        (lambda c: c["spec"]["explainers"][0].update(method="gone"), "not what is installed here: 'gone'"),
        (
            lambda c: c["spec"]["explainers"][0].update(params={"rows": "many"}),
            "not what is installed here: ",
        ),
        (lambda c: c["policies"].append({"id": 3, "sha256": "0"}), "policies.0: "),
    ],
)
def test_a_mangled_audit_is_one_line(copy: Path, change: Any, said: str):
    rewritten(copy, change)
    with pytest.raises(UnavailableError) as caught:
        again(copy, 1)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_audit_that_hides_its_model_is_found(copy: Path):
    rewritten(copy, lambda content: content["subject"].update(model=None))
    assert broken(again(copy, 1)) == [("model", "audit.json describes no model, and its spec names one")]

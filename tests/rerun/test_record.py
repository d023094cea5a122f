"""The record of pieces: the same for every way of running, never imported from, and forged in vain."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from tests.rerun.audits import again, broken, run, with_record, written
from xai_audit import audit as audits
from xai_audit import digest, pieces, pipeline


def test_every_piece_is_recorded_and_audit_json_names_the_file(honest: Path):
    content = (honest / "evidence" / "pieces.json").read_bytes()
    made = audits.read(honest)
    assert made.run["pieces"] == digest.of_bytes(content)
    record = pieces.read(content)
    assert {one.step: len(one.pieces) for one in record.maps} == {
        "shap": math.ceil(60 / 16), "lime": math.ceil(30 / 16), "permutation_importance": math.ceil(120 / 16),
        "partial_dependence": math.ceil(120 / 16),
    }  # fmt: skip
    assert {one.work.partition(":")[0] for one in record.maps} == {
        f"xai_audit.explainers.{one.step}" for one in record.maps
    }
    assert len(content) < 250 * sum(len(one.pieces) for one in record.maps)


def test_workers_row_order_and_resuming_change_no_byte_of_the_record(honest: Path, tmp_path: Path):
    expected = (honest / "evidence" / "pieces.json").read_bytes()
    folder = written(tmp_path, LogisticRegression())
    assert (run(folder, "two", jobs=2) / "evidence" / "pieces.json").read_bytes() == expected
    for name in ("train.csv", "test.csv"):
        frame = pd.read_csv(folder / name)
        frame.sample(frac=1, random_state=4)[frame.columns[::-1]].to_csv(folder / name, index=False)
    assert (run(folder, "shuffled") / "evidence" / "pieces.json").read_bytes() == expected
    # A run that was stopped before it wrote anything leaves its pieces.
    writing = pipeline.writing.write
    try:
        pipeline.writing.write = stopped
        with pytest.raises(KeyboardInterrupt):
            run(folder, "resumed")
    finally:
        pipeline.writing.write = writing
    resumed = run(folder, "resumed", resume=True)
    assert audits.read(resumed).run["resumed"] == 4 + 2 + 8 + 8
    assert (resumed / "evidence" / "pieces.json").read_bytes() == expected


def stopped(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def shorter(record: dict) -> None:
    record["maps"][0]["pieces"].pop()


def longer(record: dict) -> None:
    record["maps"][0]["pieces"].append(record["maps"][0]["pieces"][0])


def twice(record: dict) -> None:
    record["maps"].append(record["maps"][0])


def unknown(record: dict) -> None:
    record["maps"].append({**record["maps"][0], "step": "evil"})


def other_rows(record: dict) -> None:
    record["maps"][0]["pieces"][1]["piece"] = "e" * 64


def other_seed(record: dict) -> None:
    record["maps"][0]["pieces"][1]["seed"] = "9" * 32


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: {**r, "maps": r["maps"][1:]}, "pieces.json lacks map 1 of shap, with 4 pieces"),
        (shorter, "pieces.json has 3 pieces of map 1 of shap; spec and data give 4"),
        (longer, "pieces.json has 5 pieces of map 1 of shap; spec and data give 4"),
        (twice, "is in pieces.json, and spec and data give no such piece"),
        (unknown, "it names a step 'evil' that the audited spec does not ask for"),
        (other_rows, "1 of 4 pieces of map 1 of shap have other rows or seeds"),
        (other_seed, "1 of 4 pieces of map 1 of shap have other rows or seeds"),
        (lambda r: {**r, "maps": []}, "pieces.json lacks map 1 of partial_dependence"),
        (list, "is no record of pieces"),
        (lambda r: {**r, "schema": "xai-audit/pieces/9"}, "is no record of pieces"),
    ],
)
def test_a_forged_record_is_found(copy: Path, change: Any, said: str):
    with_record(copy, change)
    assert any(said in what for _, what in broken(again(copy)))


def test_no_name_in_the_record_is_ever_imported(copy: Path, tmp_path: Path, monkeypatch):
    marker = tmp_path / "ran"
    (tmp_path / "evil_module.py").write_text(
        f"open({str(marker)!r}, 'w').close()\n\n\ndef work(*_):\n    open({str(marker)!r}, 'w').close()\n    return {{}}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    def edit(record: dict) -> None:
        named = ("evil_module:work", "os:system", "builtins:eval", "../evil_module:work")
        for one, work in zip(record["maps"], named, strict=True):
            one["work"] = work
        record["maps"].append({**record["maps"][0], "step": "evil_module"})

    with_record(copy, edit)
    wrong = broken(again(copy))
    assert not marker.exists()
    assert "evil_module" not in sys.modules
    done = [what for _, what in wrong if " done by " in what]
    assert len(done) == 4
    assert (
        "pieces.json has map 1 of shap done by 'evil_module:work'; the method uses xai_audit.explainers.shap:_work"
        in done
    )


def test_a_record_that_audit_json_does_not_name_is_not_used(copy: Path):
    file = copy / "evidence" / "pieces.json"
    file.write_bytes(file.read_bytes().replace(b"lime", b"LIME"))
    assert "has sha256" in broken(again(copy, 1))[-1][1]
    file.unlink()
    assert broken(again(copy, 1)) == [("evidence/pieces.json", "cannot be read: No such file or directory")]

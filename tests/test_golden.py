"""Audits that earlier versions wrote: every later version reads, judges and renders them. They are never made again."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest

from xai_audit import audit, digest
from xai_audit import judged as judging
from xai_audit.audit import Audit
from xai_audit.evidence import Evidence, Group
from xai_audit.judge import exit_code
from xai_audit.reading import audit_schema
from xai_audit.render import renderers

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = sorted(path.name for path in GOLDEN.glob("v*"))

OUTCOMES = {"v1": {date(2026, 12, 1): "review", date(2027, 3, 1): "review", date(2027, 6, 1): "fail"}}
"""What the gate said on which day; the waiver of v1 holds to the end of 1 March 2027."""

KINDS = {
    "v1": {
        "pass": "GOV-01 GOV-02 GOV-03 DAT-01 DAT-03 DAT-11 PER-01 PER-02 GRP-01 XAI-01 XAI-02 ROB-02 SEC-03",
        "fail": "FAI-01 DAT-06",
        "open": "FAI-03 FAI-04 GRP-02 XAI-03",
    }
}
"""The rules that were decided by evidence alone, and the open ones, on 1 December 2026."""


@pytest.fixture(params=VERSIONS)
def folder(request: pytest.FixtureRequest) -> Path:
    return GOLDEN / str(request.param)


@pytest.fixture
def made(folder: Path) -> Audit:
    return audit.read(folder)


def judged(made: Audit, day: date) -> Audit:
    digests = [str(rules["sha256"]) for rules in made.policies]
    return judging.again(made, list(zip(judging.policies_of(made), digests, strict=True)), day)


def test_there_is_one_of_each_shape_so_far() -> None:
    assert VERSIONS == ["v1"]


def test_it_is_whole(folder: Path) -> None:
    told = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert audit.manifest(folder) == told
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 1_500_000


def kept(old: object, new: object) -> bool:
    """Whether all that was there is still there; keys may have been added."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(key in new and kept(value, new[key]) for key, value in old.items())
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(kept, old, new))
    return type(old) is type(new) and old == new


def test_reading_and_writing_it_loses_nothing(folder: Path, made: Audit) -> None:
    old = json.loads((folder / "audit.json").read_text(encoding="utf-8"))
    assert kept(old, json.loads(made.to_json()))


def test_it_is_of_the_published_schema(folder: Path) -> None:
    content = json.loads((folder / "audit.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(audit_schema()).validate(content)


def test_the_gate_says_what_it_said(folder: Path, made: Audit) -> None:
    for day, outcome in OUTCOMES[folder.name].items():
        assert judged(made, day).outcome == outcome, day
    assert {exit_code(outcome) for outcome in OUTCOMES[folder.name].values()} == {3, 1}


def test_each_rule_says_what_it_said(folder: Path, made: Audit) -> None:
    recorded = {finding.rule: (finding.kind, finding.level, finding.blocking) for finding in made.findings}
    again = judged(made, date(2026, 12, 1)).findings
    assert {finding.rule: (finding.kind, finding.level, finding.blocking) for finding in again} == recorded
    for kind, rules in KINDS[folder.name].items():
        for rule in rules.split():
            assert recorded[rule][0] == kind, rule


def test_judging_writes_nothing(folder: Path, made: Audit, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    judged(audit.read(copy), date(2026, 12, 1))
    assert audit.manifest(copy) == audit.manifest(folder)


def test_its_pages_are_rendered(folder: Path, made: Audit) -> None:
    page = renderers["html"](made).decode()
    summary = renderers["summary"](made).decode()
    for name in (made.spec["system"]["name"], "eu-ai-act"):
        assert name in page
        assert name in summary
    # Each shape that this audit holds is drawn or told.
    page = page.replace("<wbr>", "")
    for identifier in ("selection_rate/gender", "shap", "lime", "confusion_matrix", "calibration_curve"):
        assert identifier in page
    assert "Łódź, Αθήνα, София" in page


def test_every_shape_of_an_observation_is_in_it(made: Audit) -> None:
    shapes = {piece.observation.shape for piece in made.evidence if piece.observation is not None}
    assert shapes >= {"scalar", "ranking", "groups", "curve", "matrix", "cases"}
    assert {group.status for _, group in groups(made)} >= {"measured", "insufficient", "suppressed"}


def test_what_may_be_published_names_no_person(folder: Path) -> None:
    rows = pd.read_parquet(folder / "evidence" / "rows.parquet")
    for name in audit.PUBLISHABLE:
        if (folder / name).is_file():
            text = (folder / name).read_bytes()
            assert not [one for one in rows["id"] if one.encode() in text]
            assert not [one for one in rows["digest"] if one.encode() in text]


@pytest.mark.parametrize("name", [name for name in renderers if name not in {"html", "pdf"}])
def test_every_format_says_the_same_again_and_names_no_person(folder: Path, made: Audit, name: str) -> None:
    content = renderers[name](made)
    assert content == renderers[name](audit.read(folder))
    rows = pd.read_parquet(folder / "evidence" / "rows.parquet")
    assert not [one for one in rows["id"] if one.encode() in content]
    assert not [one for one in rows["digest"] if one.encode() in content]


# ---------------------------------------------------------------------------------------------- numbers, had again
def groups(made: Audit) -> list[tuple[Evidence, Group]]:
    found = [
        piece
        for piece in made.evidence
        if piece.observation is not None and piece.observation.shape == "groups"
    ]
    return [(piece, group) for piece in found for group in piece.observation.groups]


def members(rows: pd.DataFrame, key: dict[str, str]) -> pd.DataFrame:
    for column, level in key.items():
        rows = rows[rows[f"group:{column}"] == level]
    return rows


RATES = {
    "selection_rate": lambda rows: rows.prediction == "1",
    "accuracy": lambda rows: rows.prediction == rows.target,
    "recall": lambda rows: rows[rows.target == "1"].prediction == "1",
    "prevalence": lambda rows: rows.target == "1",
}


def test_rates_by_group_are_those_of_the_rows(folder: Path, made: Audit) -> None:
    rows = pd.read_parquet(folder / "evidence" / "rows.parquet")
    checked = 0
    for piece, group in groups(made):
        if piece.method not in RATES:
            continue
        found = members(rows, group.key)
        if group.status == "suppressed":
            assert group.estimate is None
            assert group.n is None
            continue
        assert group.n == len(found)
        hits = RATES[piece.method](found)
        assert group.count == len(hits)
        assert group.estimate is not None
        assert group.estimate.value == pytest.approx(hits.mean(), abs=1e-12)
        checked += 1
    assert checked >= 50


def test_overall_numbers_are_those_of_the_rows(folder: Path, made: Audit) -> None:
    from sklearn.metrics import confusion_matrix, roc_auc_score

    rows = pd.read_parquet(folder / "evidence" / "rows.parquet")
    auc, matrix = made.get("roc_auc"), made.get("confusion_matrix")
    assert auc is not None
    assert matrix is not None
    assert auc.observation.estimate.value == pytest.approx(
        roc_auc_score(rows.target == "1", rows["score:1"]), abs=1e-12
    )
    assert np.array_equal(matrix.observation.values, confusion_matrix(rows.target, rows.prediction))


def test_the_digest_of_the_data_is_that_of_the_rows(folder: Path, made: Audit) -> None:
    rows = pd.read_parquet(folder / "evidence" / "rows.parquet")
    content = b"".join(bytes.fromhex(one) for one in rows["digest"])
    assert digest.of_bytes(content) == made.subject["data"]["test"]["sha256"]
    assert list(rows["digest"]) == sorted(rows["digest"])


def test_files_of_evidence_are_named_by_their_digest(folder: Path, made: Audit) -> None:
    named = {name for piece in made.evidence for name in piece.arrays.values()}
    there = {path.name for path in (folder / "evidence").iterdir()} - {"rows.parquet"}
    assert named == there
    for name in named:
        assert digest.of_file(folder / "evidence" / name) == name.partition(".")[0]
        with np.load(folder / "evidence" / name, allow_pickle=False) as arrays:
            assert arrays.files

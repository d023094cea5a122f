from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from xai_audit import audit, digest, folder
from xai_audit.cli import entry

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "v1"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    shutil.copytree(GOLDEN, tmp_path / "out")
    return tmp_path / "out"


def test_pages_are_written_again_with_their_digests(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("report.html", "summary.md"):
        (out / name).write_bytes(b"torn out")
    assert entry(["render", str(out), "--format", "html", "--format", "summary"]) == 0
    assert capsys.readouterr().out.splitlines() == [str(out / "report.html"), str(out / "summary.md")]
    told = json.loads((out / "manifest.json").read_text())
    assert told == audit.manifest(out)
    assert b"torn out" not in (out / "report.html").read_bytes() + (out / "summary.md").read_bytes()
    assert not list(out.rglob(".*"))


def test_a_spec_that_names_no_format_has_the_formats_of_one(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = json.loads((out / "audit.json").read_text(encoding="utf-8"))
    del told["spec"]["report"]["formats"]
    (out / "audit.json").write_text(json.dumps(told), encoding="utf-8")
    assert entry(["render", str(out)]) == 0
    assert {"summary.md", "report.html"} <= {Path(line).name for line in capsys.readouterr().out.splitlines()}


def test_what_was_cut_off_is_finished_by_render_and_read_by_nobody_before(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # As a kill leaves it: a journal, one file in place already and one still to come.
    page = b"the page that is still to come"
    placed = digest.of_file(out / "audit.json")
    whole = {"audit.json": (out / "audit.json").read_bytes(), "report.html": page}
    manifest = audit.manifest_file(out, whole, [], signed=False)
    for name, content in {"report.html": page, "manifest.json": manifest}.items():
        audit.write(out / folder.NEW / name, content)
    journal = {
        "audit.json": placed,
        "report.html": digest.of_bytes(page),
        "manifest.json": digest.of_bytes(manifest),
    }
    content = json.dumps({"schema": folder.SCHEMA, "files": journal, "stale": []})
    audit.write(out / audit.JOURNAL, content.encode())
    for command in (["gate", str(out)], ["view", str(out), "--print"]):
        before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
        assert entry(command) == 4
        (line,) = capsys.readouterr().err.splitlines()
        assert (
            f"a write was interrupted while its files were put in place; xai-audit render {out} finishes it"
            in line
        )
        assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert entry(["render", str(out), "--format", "summary"]) == 0
    assert (out / "report.html").read_bytes() == page
    assert json.loads((out / "manifest.json").read_text()) == audit.manifest(out)


def test_what_is_no_audit_is_refused_and_left_alone(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (out / "audit.json").write_bytes(b"{}")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert entry(["render", str(out)]) == 4
    assert "not an audit of schema" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_no_folder_is_made_where_there_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert entry(["render", str(tmp_path / "nowhere")]) == 4
    assert "there is no audit here" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_fit_together_is_told_in_a_line(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads((out / "audit.json").read_text(encoding="utf-8"))
    (first, *_) = [one for one in told["evidence"] if (one["observation"] or {}).get("shape") == "cases"]
    case = {"kind": "row", "why": "x", "base": "${A", "score": 0.5, "items": [{"name": "a", "phi": "${A"}]}
    first["observation"]["cases"] = [case]
    (out / "audit.json").write_text(json.dumps(told), encoding="utf-8")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert entry(["render", str(out), "--format", "html"]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert "audit.json: cannot be drawn: what it tells does not fit together" in line
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before

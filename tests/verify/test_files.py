from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

from tests.signed import signed
from xai_audit import signing
from xai_audit.verify import exit_code, verify
from xai_audit.verify.files import canonical, manifest


def broken(folder: Path) -> set[str]:
    return {check.subject for check in manifest(folder).checks if check.kind == "broken"}


def test_a_whole_folder_holds(tmp_path: Path) -> None:
    out = signed(tmp_path) / "out"
    found = manifest(out)
    assert found.signed
    assert {check.kind for check in found.checks} == {"holds"}
    assert canonical(out / "audit.json").kind == "holds"
    assert exit_code(list(verify(out, keys=[signing.public_key(tmp_path / "key.pub")]))) == 0


def test_a_byte_that_changes_anywhere_is_found_in_its_file(tmp_path: Path) -> None:
    """The small version of benchmarks/tampering.py."""
    out = signed(tmp_path) / "out"
    keys = [signing.public_key(tmp_path / "key.pub")]
    files = sorted(path for path in out.rglob("*") if path.is_file())
    chosen = random.Random(7)
    for number in range(3 * len(files)):
        path = files[number % len(files)]
        content = path.read_bytes()
        place = chosen.randrange(len(content))
        other = chosen.choice([byte for byte in range(256) if byte != content[place]])
        path.write_bytes(content[:place] + bytes([other]) + content[place + 1 :])
        topics = list(verify(out, keys=keys))
        assert exit_code(topics) == 1
        named = {check.subject for topic in topics for check in topic.checks if check.kind == "broken"}
        assert path.relative_to(out).as_posix() in named, (path, place)
        path.write_bytes(content)


@pytest.mark.parametrize("name", ["audit.json", "evidence/rows.parquet", "report.html", "freeze.json"])
def test_a_file_that_is_missing_or_more_is_named(tmp_path: Path, name: str) -> None:
    out = signed(tmp_path) / "out"
    if (out / name).exists():
        (out / name).unlink()
    else:
        (out / name).write_text("{}")
    assert broken(out) == {name}


def test_a_file_of_somebody_else_is_not_vouched_for(tmp_path: Path) -> None:
    out = signed(tmp_path) / "out"
    (out / "notes.txt").write_text("mine")
    (out / "evidence" / "more.npz").write_text("forged")
    kinds = {check.subject: check.kind for check in manifest(out).checks if check.kind != "holds"}
    assert kinds == {"notes.txt": "unchecked", "evidence/more.npz": "broken"}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        '{"files": {}, "schema": "xai-audit/manifest/1", "signed": false}',
        "null",
    ],
)
def test_what_is_no_manifest_is_told(tmp_path: Path, content: str) -> None:
    out = signed(tmp_path) / "out"
    (out / "manifest.json").write_text(content)
    assert broken(out) == {"manifest.json"}


def test_a_manifest_cannot_point_elsewhere(tmp_path: Path) -> None:
    out = signed(tmp_path) / "out"
    said = json.loads((out / "manifest.json").read_text())
    for name in ("../audit.yaml", str(tmp_path / "audit.yaml")):
        said["files"] = {name: "0" * 64}
        (out / "manifest.json").write_text(json.dumps(said, sort_keys=True, indent=1) + "\n")
        assert name in broken(out)


@pytest.mark.parametrize(
    "change", [lambda text: text[:-1], lambda text: " " + text, lambda text: text.replace('": ', '" : ', 1)]
)
def test_another_way_to_write_the_same_is_found(tmp_path: Path, change) -> None:
    out = signed(tmp_path) / "out"
    for name in ("audit.json", "manifest.json"):
        text = (out / name).read_text(encoding="utf-8")
        (out / name).write_text(change(text), encoding="utf-8")
        assert name in broken(out) | ({name} if canonical(out / name).kind == "broken" else set())
        (out / name).write_text(text, encoding="utf-8")


def test_a_key_that_stands_twice_is_found(tmp_path: Path) -> None:
    out = signed(tmp_path) / "out"
    text = (out / "audit.json").read_text(encoding="utf-8")
    (out / "audit.json").write_text(text.replace("{\n", '{\n "outcome": "pass",\n', 1), encoding="utf-8")
    assert canonical(out / "audit.json").kind == "broken"


def test_a_folder_may_be_moved(tmp_path: Path) -> None:
    made = signed(tmp_path / "made")
    shutil.move(made / "out", tmp_path / "elsewhere")
    assert exit_code(list(verify(tmp_path / "elsewhere"))) == 0

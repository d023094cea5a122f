from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from xai_audit import audit, digest
from xai_audit.errors import UnavailableError


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    audit.write(path, b"old")
    audit.write(path, b"new")
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UnavailableError, match="cannot be written"):
        audit.write(tmp_path / "file" / "x", b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fdopen
    monkeypatch.setattr(
        os,
        "fdopen",
        lambda handle, mode: (os.close(handle), real(os.open("/dev/full", os.O_WRONLY), mode, buffering=0))[
            1
        ],
    )
    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(UnavailableError, match="No space left"):
        audit.write(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


def test_reading_what_is_not_there_or_not_an_audit(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="there is no audit here"):
        audit.read(tmp_path)
    (tmp_path / "audit.json").write_text(json.dumps({"schema": "else"}))
    with pytest.raises(UnavailableError, match="not an audit of schema"):
        audit.read(tmp_path)


def test_the_manifest_names_every_file_but_itself_and_is_unsigned(tmp_path: Path) -> None:
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / "a.npz").write_bytes(b"a")
    (tmp_path / "audit.json").write_bytes(b"{}")
    (tmp_path / ".lock").write_bytes(b"")
    content = json.loads(audit.manifest_file(tmp_path, {}))
    assert sorted(content["files"]) == ["audit.json", "evidence/a.npz"]
    assert content["signed"] is False


def test_the_manifest_is_of_the_folder_as_it_will_be(tmp_path: Path) -> None:
    for name in ("old.npz", "kept.txt"):
        (tmp_path / name).write_bytes(b"old")
    told = audit.manifest(tmp_path, {"audit.json": b"{}", "manifest.json": b""}, ["old.npz"])["files"]
    assert told == {"audit.json": digest.of_bytes(b"{}"), "kept.txt": digest.of_bytes(b"old")}


def test_the_files_of_an_audit_are_known_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "evidence" / "folder").mkdir(parents=True)
    ours = ["audit.json", "report.pdf", f"evidence/{'0' * 64}.npz", "evidence/rows.parquet"]
    for name in (*ours, "notes.txt", "evidence/notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert sorted(audit.written(tmp_path)) == sorted(ours)


def test_while_a_journal_stands_nothing_is_read(tmp_path: Path) -> None:
    (tmp_path / "audit.json").write_bytes(b"{}")
    (tmp_path / ".work").mkdir()
    (tmp_path / audit.JOURNAL).write_bytes(b"{}")
    with pytest.raises(UnavailableError, match=r"a write was interrupted .* xai-audit render .* finishes it"):
        audit.read(tmp_path)
    # One that is under way is waited for.
    timer = threading.Timer(0.2, (tmp_path / audit.JOURNAL).unlink)
    timer.start()
    audit.settled(tmp_path, patience=30)
    timer.join()

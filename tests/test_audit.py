from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from xai_audit import audit
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


def _try(folder: str, answer) -> None:
    try:
        with audit.alone(Path(folder)):
            answer.put("held")
    except UnavailableError as error:
        answer.put(str(error))


def test_two_runs_into_one_folder_refuse_each_other(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    answer = spawn.Queue()
    with audit.alone(tmp_path):
        other = spawn.Process(target=_try, args=(str(tmp_path), answer))
        other.start()
        assert "another run is writing here" in answer.get(timeout=60)
        other.join()
    with audit.alone(tmp_path):
        pass


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
    audit.write_manifest(tmp_path)
    content = json.loads((tmp_path / "manifest.json").read_text())
    assert sorted(content["files"]) == ["audit.json", "evidence/a.npz"]
    assert content["signed"] is False

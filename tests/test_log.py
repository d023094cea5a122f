"""The log shows every deletion, change and move but that of its newest lines, and those too against a head kept elsewhere."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xai_audit import log
from xai_audit.errors import UnavailableError


def filled(path: Path, lines: int = 6) -> list[str]:
    return [log.append(path, {"audit": f"{number:064x}", "outcome": "pass"}) for number in range(lines)]


def test_it_is_a_chain(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    heads = filled(path)
    found = log.read(path)
    assert found.broken is None
    assert list(found.heads) == heads
    assert found.head == heads[-1]
    assert [entry["number"] for entry in found.entries] == [1, 2, 3, 4, 5, 6]
    assert [entry["previous"] for entry in found.entries] == [log.FIRST, *heads[:-1]]
    assert found.find("audit", f"{3:064x}") == 4
    assert found.find("audit", "other") is None


def test_no_log_is_an_empty_one(tmp_path: Path) -> None:
    assert log.read(tmp_path / "none.jsonl") == log.Log()
    assert log.read(tmp_path / "none.jsonl").head == log.FIRST


def test_the_same_audit_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    heads = filled(path)
    before = path.read_bytes()
    assert log.append(path, {"audit": f"{2:064x}", "outcome": "pass"}) == heads[2]
    assert path.read_bytes() == before


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_byte_that_changes_breaks_it(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "log.jsonl"
    if not path.exists():
        filled(path)
    content = path.read_bytes()
    last = content.rstrip(b"\n").rfind(b"\n")
    place = data.draw(st.integers(0, last - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[place]))
    changed = tmp_path / "changed.jsonl"
    changed.write_bytes(content[:place] + bytes([other]) + content[place + 1 :])
    assert log.read(changed).broken


@pytest.mark.parametrize("gone", range(5))
def test_a_line_that_is_taken_away_breaks_it(tmp_path: Path, gone: int) -> None:
    path = tmp_path / "log.jsonl"
    filled(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:gone] + lines[gone + 1 :]))
    broken = log.read(path).broken
    assert broken is not None
    assert f":{gone + 1}: " in broken
    with pytest.raises(UnavailableError, match="changed after it was written"):
        log.append(path, {"audit": "new"})


def test_lines_that_change_places_break_it(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    filled(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], lines[2], lines[1], *lines[3:]]))
    assert log.read(path).broken


def test_the_newest_lines_alone_can_go_unseen_and_their_head_tells(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    heads = filled(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    found = log.read(path)
    assert found.broken is None
    assert heads[-1] not in found.heads


def test_a_line_that_was_cut_off_is_told(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    filled(path)
    path.write_bytes(path.read_bytes()[:-10])
    broken = log.read(path).broken
    assert broken is not None
    assert broken.endswith(":6: the line does not end")


@pytest.mark.parametrize(
    "content", [b"\n", b"[]\n", b"{}\n", b"\xff\n", b"[" * 50_000 + b"\n", b'{"number":1}\n']
)
def test_what_is_no_log_is_told_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(content)
    broken = log.read(path).broken
    assert broken is not None
    assert "\n" not in broken


def append_ten(path: str, worker: int) -> None:
    for number in range(10):
        log.append(Path(path), {"audit": f"{worker}-{number}"})


def test_two_processes_wait_for_each_other(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=append_ten, args=(str(path), worker)) for worker in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    found = log.read(path)
    assert found.broken is None
    assert len(found.entries) == 30
    assert [one.name for one in tmp_path.iterdir()] == ["log.jsonl"]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be written"):
        log.append(tmp_path / "none" / "log.jsonl", {"audit": "a"})
    with pytest.raises(UnavailableError, match=r"run: \{log: null\}"):
        log.ready(tmp_path / "none" / "log.jsonl")
    with pytest.raises(UnavailableError, match="cannot be read"):
        log.read(tmp_path)

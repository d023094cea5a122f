from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from xai_audit import audit, folder
from xai_audit.errors import UnavailableError, UnwrittenError

ROOT = Path(__file__).resolve().parent.parent

OLD = {"audit.json": b"old", "evidence/rows.parquet": b"old rows", "report.pdf": b"old page"}
NEW = {"audit.json": b"new", "evidence/rows.parquet": b"new rows", "evidence/a.npz": b"array"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with an older audit in it, and a file of the user's."""
    for name, content in OLD.items():
        audit.write(tmp_path / "out" / name, content)
    audit.write(tmp_path / "out" / "notes.txt", b"mine")
    return tmp_path / "out"


def files(place: Path) -> dict[str, bytes]:
    return {
        path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()
    }


def put(place: Path, **more) -> None:
    with folder.alone(place):
        folder.put(place, NEW, ["report.pdf"], **more)


KEPT = {"notes.txt": b"mine"}


def test_all_of_it_is_put_in_place_and_what_is_stale_goes(place: Path) -> None:
    put(place)
    assert files(place) == {**NEW, **KEPT}
    assert sorted(path.name for path in place.iterdir()) == ["audit.json", "evidence", "notes.txt"]


class Cut(BaseException):
    """Ends a write as a kill would: no handler for errors may run on it."""


CALLS = ("fsync", "replace", "unlink")


def cut_after(number: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let so many system calls of a write happen, then none."""
    made = [0]

    def counted(real):
        def call(*arguments, **more):
            made[0] += 1
            if made[0] > number:
                raise Cut
            return real(*arguments, **more)

        return call

    for name in CALLS:
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    return made


def test_cut_off_after_any_call_it_is_the_old_the_new_or_finished_by_the_next(place: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        made = cut_after(10**6, patch)
        put(place.with_name("counted"))
    states = []
    for number in range(made[0]):
        for name, content in (OLD | KEPT).items():
            audit.write(place / name, content)
        with pytest.MonkeyPatch.context() as patch:
            cut_after(number, patch)
            with pytest.raises(Cut):
                put(place)
        seen = {name: content for name, content in files(place).items() if not name.startswith(".")}
        seen.pop("evidence/.reserve", None)
        if (place / audit.JOURNAL).exists():
            # Some are old and some new, and whoever reads is told so.
            assert all(
                content in (OLD.get(name), NEW.get(name), KEPT.get(name)) for name, content in seen.items()
            )
            with pytest.raises(UnavailableError, match="a write was interrupted"):
                audit.settled(place, patience=0)
            with folder.alone(place):
                assert files(place) == {**NEW, **KEPT, ".lock": b""}
            states.append("between")
        else:
            assert seen in ({**OLD, **KEPT}, {**NEW, **KEPT})
            states.append("old" if seen["audit.json"] == b"old" else "new")
        with folder.alone(place):
            pass
        assert not list(place.rglob(".*"))
        (place / "evidence" / "a.npz").unlink(missing_ok=True)
    assert states == sorted(states, key=["old", "between", "new"].index)
    assert states.count("between") >= 5
    assert states.count("old") >= 10


def test_what_comes_before_is_done_while_the_old_audit_stands_and_stops_the_write(place: Path) -> None:
    seen: list[bytes] = []

    def before() -> None:
        seen.append((place / "audit.json").read_bytes())
        if len(seen) == 1:
            raise Cut

    with pytest.raises(Cut):
        put(place, before=before)
    assert not (place / audit.JOURNAL).exists()
    assert (place / "audit.json").read_bytes() == b"old"
    put(place, before=before)
    assert seen == [b"old", b"old"]
    assert (place / "audit.json").read_bytes() == b"new"


def test_finished_pieces_survive_another_commands_write(place: Path) -> None:
    audit.write(place / folder.PIECES / "a.npz", b"piece")
    (place / folder.PIECES / ".a.npz.cut").write_bytes(b"half")
    (place / ".work" / "xai-audit-1.subject").write_bytes(b"rows")
    put(place)
    assert sorted(name for name in files(place) if name.startswith(".")) == [".work/pieces/a.npz"]
    assert folder.unfinished(place)
    assert "--resume goes on" in folder.left(place)


@pytest.mark.parametrize("name", ["audit.json", "evidence"])
def test_what_cannot_be_renamed_into_is_found_before_anything_changes(
    place: Path, name: str, tmp_path
) -> None:
    # A folder where a file belongs; a link where the folder of evidence belongs.
    if name == "evidence":
        (place / name).rename(tmp_path / "elsewhere")
        (place / name).symlink_to(tmp_path / "elsewhere")
    else:
        (place / name).unlink()
        (place / name / "x").mkdir(parents=True)
    before = files(place)
    with pytest.raises(UnwrittenError, match="cannot be written"):
        put(place)
    assert files(place) == before


@pytest.mark.parametrize("name", [".work", ".work/new", ".work/pieces"])
def test_nothing_is_cleared_away_through_a_link(place: Path, tmp_path: Path, name: str) -> None:
    for file in ("new/a", "pieces/.b", "c", ".d"):
        audit.write(tmp_path / "home" / file, b"precious")
    (place / name).parent.mkdir(exist_ok=True)
    (place / name).symlink_to(tmp_path / "home")
    with pytest.raises(UnwrittenError, match=r"\.work.* it is a link; the audit that was there is unchanged"):
        put(place)
    assert set(files(tmp_path / "home").values()) == {b"precious"}
    assert len(files(tmp_path / "home")) == 4


JOURNALS = {
    "../outside": "not a place in this folder",
    "/etc/outside": "not a place in this folder",
    "evidence/../../outside": "not a place in this folder",
    ".work/x": "not a place in this folder",
    "linked/x": "not a place in this folder",
    "": "not a place in this folder",
    "gone.txt": "gone.txt is gone",
}


@pytest.mark.parametrize("key", ["files", "stale"])
@pytest.mark.parametrize("name", JOURNALS)
def test_a_journal_made_by_others_leads_nowhere(place: Path, tmp_path: Path, name: str, key: str) -> None:
    (tmp_path / "outside").write_bytes(b"precious")
    (tmp_path / "x").write_bytes(b"precious")
    (place / "linked").symlink_to(tmp_path)
    content = {"schema": folder.SCHEMA, "files": {}, "stale": []}
    content[key] = {name: "0" * 64} if key == "files" else [name]
    audit.write(place / audit.JOURNAL, json.dumps(content).encode())
    if (name, key) == ("gone.txt", "stale"):
        with folder.alone(place):
            return
    with pytest.raises(UnavailableError, match=JOURNALS[name]) as told, folder.alone(place):
        pass
    assert "remove" in str(told.value)
    assert (tmp_path / "outside").read_bytes() == (tmp_path / "x").read_bytes() == b"precious"


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b"\xff", b'{"schema": "xai-audit/commit/1"}', b"[" * 10**5]
)
def test_a_journal_that_cannot_be_read_is_told(place: Path, content: bytes) -> None:
    audit.write(place / audit.JOURNAL, content)
    with (
        pytest.raises(UnavailableError, match="an interrupted write cannot be finished"),
        folder.alone(place),
    ):
        pass
    assert {name: files(place)[name] for name in OLD} == OLD


# ------------------------------------------------------------------------------------------------ one at a time
def _try(where: str, answer) -> None:
    try:
        with folder.alone(Path(where)):
            answer.put("held")
    except UnavailableError as error:
        answer.put(str(error))


def test_two_commands_that_write_into_one_folder_refuse_each_other(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    answer = spawn.Queue()
    with folder.alone(tmp_path):
        other = spawn.Process(target=_try, args=(str(tmp_path), answer))
        other.start()
        assert "another run is writing here" in answer.get(timeout=60)
        other.join()
    with folder.alone(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_was_removed_meanwhile_locks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, opened = folder._lock, []

    def late(handle: int) -> None:
        # Whoever held the folder is done, and removes the file, between its being opened and locked here.
        opened.append(os.fstat(handle).st_ino)
        if len(opened) == 1:
            (tmp_path / ".lock").rename(tmp_path.with_name("removed"))
        real(handle)

    monkeypatch.setattr(folder, "_lock", late)
    with folder.alone(tmp_path):
        assert (tmp_path / ".lock").stat().st_ino == opened[-1]
        with pytest.raises(UnavailableError, match="another run"), folder.alone(tmp_path):
            pass
    assert opened[0] != opened[1]


HOLD = "import sys, time, pathlib\nfrom xai_audit import folder\nwith folder.alone(pathlib.Path(sys.argv[1])):\n    print(1, flush=True)\n    time.sleep(60)"


def test_the_lock_of_a_killed_process_holds_nobody(place: Path) -> None:
    held = subprocess.Popen([sys.executable, "-c", HOLD, str(place)], stdout=subprocess.PIPE, cwd=ROOT)
    assert held.stdout is not None
    assert held.stdout.readline() == b"1\n"
    with pytest.raises(UnavailableError, match="another run"), folder.alone(place):
        pass
    held.send_signal(signal.SIGKILL)
    held.wait()
    held.stdout.close()
    assert (place / ".lock").exists()
    put(place)
    assert files(place) == {**NEW, **KEPT}


def test_many_at_once_hold_it_one_after_the_other(tmp_path: Path) -> None:
    # Each reads a number and writes the next; two at a time would lose one.
    count = (
        "import sys, time, pathlib\nfrom xai_audit import folder\nfrom xai_audit.errors import UnavailableError\n"
        "place, done = pathlib.Path(sys.argv[1]), 0\n"
        "while done < 25:\n"
        "    try:\n"
        "        with folder.alone(place):\n"
        "            number = int((place / 'n').read_text()) if (place / 'n').exists() else 0\n"
        "            time.sleep(0.001)\n"
        "            (place / 'n').write_text(str(number + 1))\n"
        "            done += 1\n"
        "    except UnavailableError:\n"
        "        time.sleep(0.001)\n"
    )
    started = [subprocess.Popen([sys.executable, "-c", count, str(tmp_path)], cwd=ROOT) for _ in range(4)]
    deadline = time.monotonic() + 120
    assert [one.wait(max(1, deadline - time.monotonic())) for one in started] == [0] * 4
    assert (tmp_path / "n").read_text() == "100"


def test_runs_killed_at_random_moments() -> None:
    # `make proof` kills 200, with workers too, and fills disks at every stage.
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.durability", "--kills", "4", "--jobs", "1", "--rows", "32", "--disks", "0"],
        cwd=ROOT, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 runs killed: 4 left a whole folder" in done.stdout

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from xai_audit.cli import entry
from xai_audit.reading.checks import REPORTS
from xai_audit.render import FILES, renderers

GOLDEN = Path(__file__).parents[1] / "golden" / "v1"


def gate(*arguments: object) -> int:
    return entry(["gate", *map(str, arguments)])


@pytest.fixture(scope="module")
def code() -> int:
    """What the gate says of the golden audit today."""
    return entry(["gate", str(GOLDEN), "--quiet"])


def before() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in GOLDEN.rglob("*") if path.is_file()}


def test_every_format_has_a_file_a_renderer_and_a_word_in_the_spec() -> None:
    assert set(FILES) == set(renderers) == {*REPORTS, "summary"}
    assert len(set(FILES.values())) == len(FILES)


@pytest.mark.parametrize("name", [name for name in FILES if name != "pdf"])
def test_each_format_is_printed_and_changes_nothing(
    name: str, code: int, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    there = before()
    assert gate(GOLDEN, "--format", name) == code
    printed = capsysbinary.readouterr()
    assert printed.out
    assert printed.err == b""
    assert gate(GOLDEN, "--format", name) == code
    assert capsysbinary.readouterr().out == printed.out
    assert before() == there


def test_several_are_written_to_files_and_into_a_folder(
    tmp_path: Path, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there").mkdir()
    arguments = [
        "--format", f"sarif={tmp_path}/a.sarif", "--format", f"junit={tmp_path}/there", "--format", f"json={tmp_path}/new/",
        "--format", "github",
    ]  # fmt: skip
    assert gate(GOLDEN, *arguments) == code
    assert json.loads((tmp_path / "a.sarif").read_text())["version"] == "2.1.0"
    assert ET.parse(tmp_path / "there" / "junit.xml").getroot().tag == "testsuites"
    assert json.loads((tmp_path / "new" / "verdict.json").read_text())["exit_code"] == code
    # What is printed is the one format without a file, not the summary too.
    assert all(line.startswith("::") for line in capsys.readouterr().out.splitlines())


def test_files_leave_the_summary_on_the_screen(
    tmp_path: Path, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gate(GOLDEN, "--format", f"sarif={tmp_path}/a") == code
    assert "Golden loans" in capsys.readouterr().out
    assert gate(GOLDEN, "--format", f"sarif={tmp_path}/a", "--quiet") == code
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--format", "sariff"], "--format sariff: not available in this version; one of badge, cyclonedx, github"),
        (["--format", "sarif", "--format", "junit"], "sarif and junit cannot both be printed; give files, as junit=junit.xml"),
        (["--format", "sarif", "--json"], "--json and --format sarif cannot both be printed"),
        (["--format", "sarif="], "a file is asked, as sarif=results.sarif"),
        (["--format", "sarif=a", "--format", "sarif=b"], "two files are given for it"),
        (["--format", f"sarif={GOLDEN}/results.sarif"], "gate writes nothing into"),
        (["--format", f"sarif={GOLDEN}/evidence/../x"], "gate writes nothing into"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_a_usage_error_and_nothing_is_written(
    arguments: list[str],
    told: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    there = before()
    assert gate(GOLDEN, *arguments) == 2
    captured = capsys.readouterr()
    assert told in " ".join(captured.err.split())
    assert captured.out == ""
    assert before() == there
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_exits_four(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("x")
    assert gate(GOLDEN, "--format", f"sarif={tmp_path}/file/under") == 4
    assert "cannot be written" in capsys.readouterr().err


def test_pipes_devices_and_links_are_written_through(tmp_path: Path, code: int) -> None:
    real = tmp_path / "real"
    real.write_text("old")
    (tmp_path / "link").symlink_to(real)
    assert gate(GOLDEN, "--format", f"json={tmp_path}/link", "--quiet") == code
    assert (tmp_path / "link").is_symlink()
    assert json.loads(real.read_text())["exit_code"] == code
    lines = f"{sys.executable} -m xai_audit gate {GOLDEN} --quiet --format json=/dev/stdout | cat"
    done = subprocess.run(["bash", "-c", lines], capture_output=True, text=True, check=True, env=os.environ)
    assert json.loads(done.stdout)["exit_code"] == code
    lines = f"{sys.executable} -m xai_audit gate {GOLDEN} --quiet --format json=>(cat)"
    done = subprocess.run(["bash", "-c", lines], capture_output=True, text=True, check=False, env=os.environ)
    assert json.loads(done.stdout)["exit_code"] == done.returncode == code


def test_render_writes_the_formats_into_the_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    folder = tmp_path / "out"
    shutil.copytree(GOLDEN, folder)
    names = [name for name in FILES if name not in {"pdf", "html"}]
    asked = [part for name in names for part in ("--format", name)]
    assert entry(["render", str(folder), *asked]) == 0
    assert capsys.readouterr().out.split() == [str(folder / FILES[name]) for name in names]
    digests = json.loads((folder / "manifest.json").read_text())["files"]
    assert {FILES[name] for name in names} <= set(digests)

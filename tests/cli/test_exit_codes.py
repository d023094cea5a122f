"""Every exit code that a command promises, by a real process; those of a whole run stand in test_run.py."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_run import POLICY, SPEC
from xai_audit.cli import COMMANDS

GOLDEN = Path(__file__).parents[1] / "golden" / "v1"
HARD = POLICY.format(level=0.999)
EASY = POLICY.format(level=0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved audit with policies beside it, a spec without a mistake and one with, and files that are none."""
    made = tmp_path_factory.mktemp("codes")
    shutil.copytree(GOLDEN, made / "out")
    (made / "rows.csv").write_text("score,y,g\n" + "0.9,1,a\n0.1,0,b\n0.2,0,a\n0.8,1,b\n" * 50)
    (made / "hard.yaml").write_text(HARD)
    (made / "easy.yaml").write_text(EASY)
    (made / "none.yaml").write_text(EASY.replace("level: error", "level: note"))
    (made / "good.yaml").write_text(SPEC.format(policies="[easy.yaml]"))
    (made / "bad.yaml").write_text(SPEC.format(policies="[easy.yaml]").replace("accuracy", "acuracy"))
    (made / "gone.yaml").write_text(SPEC.format(policies="[easy.yaml]").replace("rows.csv", "gone.csv"))
    (made / "broken").mkdir()
    (made / "broken" / "audit.json").write_text("{}")
    (made / "empty").mkdir()
    (made / "file").write_text("x")
    return made


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "xai_audit", *arguments], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=120,
    )  # fmt: skip


CODES = [
    ("init --model gone.skops --data rows.csv --target y -o a.yaml", 4),
    ("init --model gone.skops", 2),
    ("check good.yaml", 0),
    ("check bad.yaml", 2),
    ("check gone.yaml", 4),
    ("check good.yaml gone.yaml bad.yaml", 2),
    ("check", 2),
    ("gate out --policy easy.yaml", 0),
    ("gate out --policy easy.yaml --format sarif", 0),
    ("gate out --policy hard.yaml", 1),
    ("gate out --policy hard.yaml --format json", 1),
    ("gate out --policy hard.yaml --quiet", 1),
    ("gate out --policy none.yaml", 3),
    ("gate out --policy none.yaml --format junit", 3),
    ("gate out --policy bad.yaml", 2),
    ("gate out --policy gone-policy.yaml", 4),
    ("gate out --format nothing", 2),
    ("gate", 2),
    ("gate nowhere", 4),
    ("gate broken", 4),
    ("freeze good.yaml", 0),
    ("freeze bad.yaml", 2),
    ("freeze nowhere.yaml", 4),
    ("compare out out --quiet", 0),
    ("compare out", 2),
    ("compare out nowhere", 4),
    ("sign out", 2),
    ("sign out --key gone.pem", 4),
    ("verify out --quiet", 3),
    ("verify out --rerun none", 2),
    ("verify out --key gone.pub", 4),
    ("verify broken", 1),
    ("verify nowhere", 4),
    ("attach out", 2),
    ("attach out nowhere/card.md", 4),
    ("attach nowhere card.md", 4),
    ("render out --format sarif", 0),
    ("render out --format nothing", 2),
    ("render nowhere", 4),
    ("render broken", 4),
    ("list formats", 0),
    ("list nothing", 2),
    ("schema spec", 0),
    ("schema nothing", 2),
    ("view out --print", 0),
    ("view empty --print", 4),
    ("view", 2),
    ("neurons build bad.yaml -o store", 2),
    ("neurons build gone.yaml -o store", 4),
    ("neurons query nowhere --predicate a", 4),
    ("neurons query empty", 2),
    ("doctor --json", 0),
    ("doctor --nothing", 2),
    ("nothing", 2),
    ("--version", 0),
    ("run bad.yaml", 2),
    ("run gone.yaml", 4),
    ("run good.yaml -o file", 4),
]


@pytest.mark.parametrize(("line", "code"), CODES, ids=[line for line, _ in CODES])
def test_a_command_exits_as_it_promises(folder: Path, line: str, code: int) -> None:
    done = call(folder, *line.split())
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    if code in {2, 4}:
        assert done.stderr.strip()


def test_no_command_is_left_out() -> None:
    assert {line.split()[0] for line, _ in CODES} >= set(COMMANDS)


def test_init_exits_zero_where_it_wrote_a_spec(folder: Path) -> None:
    (folder / "model.skops").write_bytes(b"not opened")
    line = "init --model model.skops --data rows.csv --target y --sensitive g -o new.yaml"
    assert call(folder, *line.split()).returncode == 0
    assert (folder / "new.yaml").is_file()
    # It is never written over.
    assert call(folder, *line.split()).returncode == 2


def test_a_format_never_changes_the_outcome(folder: Path) -> None:
    told = {
        name: call(folder, "gate", "out", "--policy", f"{name}.yaml", "--format", "json")
        for name in ("easy", "hard", "none")
    }
    assert {name: (done.returncode, json.loads(done.stdout)["outcome"]) for name, done in told.items()} == {
        "easy": (0, "pass"),
        "hard": (1, "fail"),
        "none": (3, "review"),
    }

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from xai_audit import audit
from xai_audit.cli import entry

GOLDEN = Path(__file__).parents[1] / "golden" / "v1"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    shutil.copytree(GOLDEN, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def card(tmp_path: Path) -> Path:
    path = tmp_path / "README.md"
    path.write_bytes(b"---\nlicense: mit  # ours\n---\r\n# Loans\n")
    return path


def test_a_card_is_written_once_and_checked(
    out: Path, card: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert entry(["attach", str(out), str(card), "--check"]) == 1
    assert (
        capsys.readouterr().out
        == f"{card}: no block of xai-audit is in this card; xai-audit attach writes it\n"
    )
    assert entry(["attach", str(out), str(card)]) == 0
    assert capsys.readouterr().out == f"{card}: attached, outcome review\n"
    once = card.read_bytes()
    assert entry(["attach", str(out), str(card)]) == 0
    assert capsys.readouterr().out == f"{card}: nothing to change, outcome review\n"
    assert card.read_bytes() == once
    assert entry(["attach", str(out), str(card), "--check"]) == 0
    assert capsys.readouterr().out == f"{card}: holds, outcome review\n"
    assert entry(["attach", str(out), str(card), "--check", "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_another_model_fails_the_check(out: Path, card: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert entry(["attach", str(out), str(card)]) == 0
    made = audit.read(out)
    about = {**made.subject, "model": {**made.subject["model"], "sha256": "e" * 64}}
    audit.write(out / "audit.json", made.model_copy(update={"subject": about}).to_json().encode())
    capsys.readouterr()
    before = card.read_bytes()
    assert entry(["attach", str(out), str(card), "--check", "--quiet"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert (
        said[0]
        == f"{card}: the card is of the model {made.subject['model']['sha256']}, the audit of {'e' * 64}"
    )
    assert "stale" in said[1]
    assert card.read_bytes() == before


def test_a_folder_without_an_audit_changes_no_card(
    tmp_path: Path, card: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = card.read_bytes()
    assert entry(["attach", str(tmp_path / "none"), str(card)]) == 4
    assert "there is no audit here" in capsys.readouterr().err
    assert card.read_bytes() == before


def test_a_card_that_cannot_be_read_is_told_with_its_place(
    out: Path, card: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card.write_text("---\na: [1\n---\n")
    for more in ([], ["--check"]):
        assert entry(["attach", str(out), str(card), *more]) == 4
        assert capsys.readouterr().err.startswith(f"{card}:3:1: metadata are no YAML that can be read")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["README.md", "--tracking-uri", "http://127.0.0.1:1"], "--tracking-uri is for mlflow:MODEL"),
        (["mlflow:credit"], "no tracking server is named"),
        (["mlflow:credit/three", "--tracking-uri", "http://127.0.0.1:1"], "a model version is mlflow:NAME"),
        ([], "Missing argument"),
    ],
)
def test_usage(
    out: Path, args: list[str], told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert entry(["attach", str(out), *args]) == 2
    assert told in capsys.readouterr().err


def test_a_card_needs_no_library_of_a_registry(out: Path, card: Path) -> None:
    import subprocess
    import sys

    lines = (
        "import sys; from xai_audit.cli import entry; code = entry(sys.argv[1:]);"
        "print(sorted({'mlflow', 'torch', 'sklearn', 'huggingface_hub', 'pandas', 'matplotlib'} & set(sys.modules))); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", lines, "attach", str(out), str(card)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"

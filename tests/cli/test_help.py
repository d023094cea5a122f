from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

import xai_audit.cli as program
from xai_audit import __version__
from xai_audit.cli import COMMANDS, LATER, entry
from xai_audit.errors import MethodError, Mistake, SpecError, UnavailableError

HEAVY = {
    "torch",
    "shap",
    "sklearn",
    "weasyprint",
    "pandas",
    "numpy",
    "pydantic",
    "scipy",
    "lime",
    "matplotlib",
    "yaml",
    "rich",
}


def python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    return done.stdout


def test_help_imports_click_alone() -> None:
    code = (
        "import sys, io, contextlib; from xai_audit.cli import entry\n"
        "with contextlib.redirect_stdout(io.StringIO()): assert entry(['--help']) == 0\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)), sorted(name for name in sys.modules if name.startswith('xai_audit')))"
    )
    assert python(code).strip() == "[] ['xai_audit', 'xai_audit.cli']"


def test_help_takes_at_most_twice_the_time_of_importing_click() -> None:
    def best(code: str) -> float:
        timed = f"{code}\nimport time; sys.stderr.write(str(time.process_time()))"
        return min(
            float(
                subprocess.run(
                    [sys.executable, "-c", f"import sys\n{timed}"], capture_output=True, text=True, check=True
                ).stderr
            )
            for _ in range(5)
        )

    assert best("from xai_audit.cli import entry; entry(['--help'])") <= 2 * best("import click")


def test_help_lists_what_is_there_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in COMMANDS)
    assert not any(f"\n  {name} " in text for name in LATER)
    assert "_XAI_AUDIT_COMPLETE=bash_source" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert entry([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: xai-audit {name} ")


@pytest.mark.parametrize("name", LATER)
def test_reserved_commands_are_refused_by_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert entry([name, "a", "--b"]) == 2
    assert capsys.readouterr().err == f"xai-audit {name}: not available in this version\n"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry(["--version"]) == 0
    assert capsys.readouterr().out == f"xai-audit {__version__}\n"


def test_an_unknown_command_suggests_a_known_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry(["chek"]) == 2
    assert "no command named 'chek'; did you mean 'check'?" in capsys.readouterr().err
    assert entry(["zzz"]) == 2
    assert entry(["check"]) == 2
    assert entry(["check", "--nope", "a"]) == 2


@pytest.mark.parametrize(
    ("raised", "code", "told"),
    [
        (SpecError([Mistake("a.yaml", 3, 5, "what")]), 2, "a.yaml:3:5: what\n"),
        (SpecError([Mistake("a.yaml", 3, 5, "gone", missing=True)]), 4, "a.yaml:3:5: gone\n"),
        (UnavailableError("disk full"), 4, "disk full\n"),
        (MethodError("a reason"), 4, "a reason\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (click.Abort(), 130, "interrupted\n"),
        (OSError(errno.ENOSPC, "No space left on device", "out/a"), 4, "out/a: No space left on device\n"),
        (ZeroDivisionError("by\nzero"), 4, "internal error: ZeroDivisionError: by; run again with --debug\n"),
        (RuntimeError(), 4, "internal error: RuntimeError; run again with --debug\n"),
        (click.UsageError("wrong"), 2, "wrong"),
        (click.ClickException("wrong"), 2, "wrong"),
        (click.FileError("a", "gone"), 4, "gone"),
    ],
)
def test_what_goes_wrong_has_one_line_and_an_exit_code(
    raised: BaseException,
    code: int,
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @click.command()
    def failing() -> None:
        raise raised

    monkeypatch.setattr(program.Commands, "get_command", lambda *_: failing)
    assert entry(["check"]) == code
    err = capsys.readouterr().err
    assert told in err
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [["--debug", "check"], ["check", "--debug"]])
def test_debug_shows_where_it_went_wrong(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def failing() -> None:
        raise ZeroDivisionError("here")

    monkeypatch.setattr(program.Commands, "get_command", lambda *_: failing)
    assert entry(arguments) == 4
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("internal error: ZeroDivisionError: here\n")


def test_a_command_may_return_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    for code in (0, 1, 3):
        monkeypatch.setattr(
            program.Commands, "get_command", lambda *_, code=code: click.command()(lambda: code)
        )
        assert entry(["check"]) == code


def test_completion_is_click_s() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "xai_audit"], capture_output=True, text=True, check=False,
        env={**os.environ, "_XAI_AUDIT_COMPLETE": "bash_complete", "COMP_WORDS": "xai-audit ch", "COMP_CWORD": "1"},
    )  # fmt: skip
    assert "plain,check" in done.stdout


def test_a_reader_that_leaves_is_no_traceback() -> None:
    line = f"{sys.executable} -m xai_audit schema spec | head -n 1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout == "{\n"
    assert done.stderr == ""


class TestView:
    def test_it_prints_the_report(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "report.html").write_text("x")
        assert entry(["view", str(tmp_path), "--print"]) == 0
        assert capsys.readouterr().out == f"{tmp_path / 'report.html'}\n"

    def test_it_opens_the_report(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import webbrowser

        opened: list[str] = []
        monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
        (tmp_path / "report.html").write_text("x")
        assert entry(["view", str(tmp_path)]) == 0
        assert opened == [(tmp_path / "report.html").as_uri()]

    def test_without_a_report_or_a_browser(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import webbrowser

        assert entry(["view", str(tmp_path)]) == 4
        assert entry(["view", str(tmp_path / "no")]) == 4
        monkeypatch.setattr(webbrowser, "open", lambda _: False)
        (tmp_path / "report.html").write_text("x")
        assert entry(["view", str(tmp_path)]) == 4
        assert "no browser could be started" in capsys.readouterr().err


def test_commands_print_json(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["list", "--json"], ["doctor", "--json"], ["schema", "audit"]):
        assert entry(arguments) == 0
        assert json.loads(capsys.readouterr().out)

from __future__ import annotations

import importlib
import json

import pytest

from xai_audit.cli import doctor, entry


def test_here_everything_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "● scikit-learn" in out
    assert "GB free here" in out


def test_a_missing_library_exits_with_4(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "CORE", ("click", "no_such_module:No-Such"))
    assert entry(["doctor", "--json"]) == 4
    captured = capsys.readouterr()
    rows = {row["name"]: row for row in json.loads(captured.out)}
    assert rows["No-Such"] == {
        "name": "No-Such",
        "state": "missing",
        "told": "not installed; pip install No-Such",
    }
    assert captured.err == "missing: No-Such\n"


def test_without_pango_it_says_what_to_install_on_each_system(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = importlib.import_module

    def without(name: str, *rest: str) -> object:
        if name.startswith("weasyprint"):
            raise OSError("cannot load library 'libpango-1.0-0'\nmore")
        return original(name, *rest)

    monkeypatch.setattr(importlib, "import_module", without)
    assert entry(["doctor"]) == 0  # the HTML needs none of it
    out = capsys.readouterr().out
    assert "no PDF is written (cannot load library 'libpango-1.0-0')" in out
    assert all(system in out for system in ("Debian", "Fedora", "macOS", "Windows"))


def test_an_extra_that_is_not_there_says_how_to_get_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "EXTRAS", (("no_such_module", "nosuch", "boosting", "models of X"),))
    assert entry(["doctor"]) == 0
    assert "pip install 'xai-audit[boosting]' for models of X" in capsys.readouterr().out

from __future__ import annotations

import json

import pytest

from xai_audit.catalog import methods
from xai_audit.cli import entry
from xai_audit.reading import shipped


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert entry(["list", *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("kind", ["explainer", "metric"])
def test_methods_are_those_a_spec_may_name(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(listed(capsys, f"{kind}s", "--json"))
    assert [row["name"] for row in rows] == [
        name for name, method in methods().items() if method.kind == kind and method.selectable
    ]
    assert all(row["title"] and row["measures"] for row in rows)
    assert all("default" in param for row in rows for param in row["params"].values())


def test_what_is_not_built_is_not_listed(capsys: pytest.CaptureFixture[str]) -> None:
    text = listed(capsys)
    assert all(name not in text for name in ("counterfactuals", "docx"))
    assert all(f"{name}:\n" in text for name in ("explainers", "metrics", "policies", "formats", "loaders"))


def test_policies_have_their_digest(capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(listed(capsys, "policies", "--json"))
    assert [row["name"] for row in rows] == shipped()
    assert all(len(row["sha256"]) == 64 and row["rules"] > 0 for row in rows)


def test_loaders_say_their_suffixes_and_what_runs_code(capsys: pytest.CaptureFixture[str]) -> None:
    lines = listed(capsys, "loaders").splitlines()
    assert any(line.startswith("skops") and ".skops" in line and "trust" not in line for line in lines)
    assert any(line.startswith("joblib") and "trust: true" in line for line in lines)
    assert any(line.startswith("csv") and ".csv" in line for line in lines)


def test_formats(capsys: pytest.CaptureFixture[str]) -> None:
    assert {row["name"] for row in json.loads(listed(capsys, "formats", "--json"))} >= {"html", "pdf"}


def test_an_unknown_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry(["list", "models"]) == 2
    assert "'models' is not one of" in capsys.readouterr().err

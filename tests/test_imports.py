"""What may import what, and what an import may not set off."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import needs_sources

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "xai_audit").rglob("*.py")
    if "_data" not in path.parts
)
HEAVY = (
    "torch",
    "shap",
    "lime",
    "sklearn",
    "weasyprint",
    "matplotlib",
    "xgboost",
    "lightgbm",
    "onnxruntime",
    "skops",
    "joblib",
)


def child(code: str, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout


@needs_sources
def test_the_contracts_hold(tmp_path: Path) -> None:
    command = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run(
        [command, "--cache-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_help_loads_no_library_of_numbers_or_pages() -> None:
    code = (
        "import sys, io, contextlib; from xai_audit.cli import entry\n"
        "with contextlib.redirect_stdout(io.StringIO()): assert entry(['--help']) == 0\n"
        "print(*sys.modules)"
    )
    loaded = {name.partition(".")[0] for name in child(code).split()}
    assert not loaded & {*HEAVY, "pandas", "numpy", "scipy", "pyarrow", "pydantic", "jinja2", "yaml", "rich"}
    assert "click" in loaded


def test_importing_every_module_loads_no_heavy_library() -> None:
    code = (
        "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\nprint(*sys.modules)"
    )
    names = [name for name in MODULES if not name.endswith("__main__")]
    loaded = {name.partition(".")[0] for name in child(code, *names).split()}
    assert not loaded & set(HEAVY)


@pytest.mark.parametrize("name", ["judge", "records", "policy", "spec", "verdict", "audit", "statements"])
def test_judging_runs_without_a_library_of_numbers(name: str) -> None:
    loaded = {
        module.partition(".")[0]
        for module in child(f"import sys, xai_audit.{name}; print(*sys.modules)").split()
    }
    assert not loaded & {*HEAVY, "numpy", "pandas", "scipy", "pyarrow"}


def test_importing_changes_nothing_outside() -> None:
    """No thread, no seed, no environment variable, no warning filter."""
    code = (
        "import importlib, json, os, random, sys, threading, warnings\n"
        "import numpy, pydantic\n"
        "def state(): return [dict(os.environ), threading.active_count(), repr(random.getstate()),"
        " repr(numpy.random.get_state()), repr(warnings.filters)]\n"
        "before = state()\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "print(json.dumps([one == other for one, other in zip(before, state())]))"
    )
    names = [name for name in MODULES if not name.endswith("__main__")]
    assert json.loads(child(code, *names)) == [True] * 5


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_what_it_is_and_has_a_name_of_its_own(name: str) -> None:
    path = ROOT / Path(*name.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert name.rpartition(".")[2] not in {"utils", "helpers", "common", "base", "core", "misc"}

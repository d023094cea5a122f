"""One honest audit, and copies of it to be forged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression

from tests.rerun.audits import run, written


@pytest.fixture(scope="session")
def honest(tmp_path_factory) -> Path:
    return run(written(tmp_path_factory.mktemp("honest"), LogisticRegression()))


@pytest.fixture
def copy(honest: Path, tmp_path: Path) -> Path:
    """The audit with its spec, model and data in a folder of its own, to be forged."""
    shutil.copytree(honest.parent, tmp_path / "copy")
    return tmp_path / "copy" / "out"

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compare.versions import BINARY, Version, audited, people


@pytest.fixture(scope="session")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An audit and that of a better version on the same people."""
    folder = tmp_path_factory.mktemp("versions")
    audited(folder / "old", people(600), Version(version="1", metrics=BINARY))
    audited(folder / "new", people(600, better=0.3), Version(version="2", metrics=BINARY))
    return folder / "old", folder / "new"

"""What tests share: the folder of real data sets beside the checkout, where it is there."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data sets; the test is skipped where they are not there."""
    if not SHARED.is_dir():
        pytest.skip("the shared data sets (../shared/data) are not here")
    return SHARED

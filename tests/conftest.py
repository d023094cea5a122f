"""What tests share: the folder of real data sets beside the checkout, where it is there."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"

needs_sources = pytest.mark.skipif(
    not (Path(__file__).resolve().parents[1] / "xai_audit").is_dir(),
    reason="an installed wheel is tested; what is asked of the sources is asked in a checkout",
)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data sets; the test is skipped where they are not there."""
    if not SHARED.is_dir():
        pytest.skip("the shared data sets (../shared/data) are not here")
    return SHARED

"""Where templates/ and policies/ are: in ``_data`` of a wheel, beside the package in a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

_PACKAGE = Path(__file__).resolve().parent


def folder(name: Literal["templates", "policies"]) -> Path:
    """The folder of that name; FileNotFoundError where the installation is broken."""
    shipped = _PACKAGE / "_data" / name
    if shipped.is_dir():
        return shipped
    # Only a checkout of this project counts: site-packages may hold a stranger's templates/.
    checkout = _PACKAGE.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / name).is_dir():
        return checkout / name
    message = f"xai-audit is installed without its {name} folder; reinstall it"
    raise FileNotFoundError(message)

"""Where templates/ and policies/ are: in ``_data`` of a wheel, beside the package in a checkout."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Literal

from xai_audit import digest

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


@functools.cache
def tool_digest() -> str:
    """One digest over the program's own files as a wheel holds them; the same in a checkout of the same commit.

    It is that of the canonical JSON of ``[[name, sha256], ...]``, by name.
    """
    # Python and numba keep what they compiled beside the files; that is no part of the program.
    files = {
        path.relative_to(_PACKAGE.parent).as_posix(): path
        for path in _PACKAGE.rglob("*")
        if path.is_file() and not {"_data", "__pycache__"} & set(path.relative_to(_PACKAGE).parts)
    }
    for name in ("templates", "policies"):
        where = folder(name)
        files |= {
            f"xai_audit/_data/{name}/{path.relative_to(where).as_posix()}": path
            for path in where.rglob("*")
            if path.is_file()
        }
    return digest.of_value([[name, digest.of_file(path)] for name, path in sorted(files.items())])

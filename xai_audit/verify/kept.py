"""The arrays kept in evidence/, read as what nobody vouches for: each file is held to the digest that names it."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit import digest
from xai_audit.verify.recounts.bench import ForgedError, LackingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.audit import Audit

NAME = re.compile(r"[0-9a-f]{64}\.npz")


def arrays(audit: Audit, folder: Path, identifier: str) -> dict[str, NDArray[Any]]:
    """The arrays of one metric's evidence by name; LackingError without any, ForgedError where a file is not its own."""
    named: dict[str, str] = {}
    for piece in audit.evidence:
        if piece.id == identifier and piece.kind == "metric":
            named |= piece.arrays
    if not named:
        raise LackingError(
            "what it rests on is not kept in evidence/ (an earlier version of xai-audit kept none)"
        )
    files = {file: _read(folder, file) for file in sorted(set(named.values()))}
    return {name: files[file][name] for name, file in named.items() if name in files[file]}


def _read(folder: Path, file: str) -> dict[str, NDArray[Any]]:
    if not NAME.fullmatch(file):
        raise ForgedError(f"arrays names {file[:100]!r}, which is no file of evidence/")
    try:
        content = (folder / "evidence" / file).read_bytes()
    except OSError as error:
        raise ForgedError(f"evidence/{file} cannot be read: {error.strerror or error}") from None
    if f"{digest.of_bytes(content)}.npz" != file:
        raise ForgedError(f"evidence/{file} is not of the digest that names it")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as kept:
            return {name: kept[name] for name in kept.files}
    except Exception as error:  # noqa: BLE001 - a forged archive may break its reader in any way
        raise ForgedError(f"evidence/{file} holds no arrays: {type(error).__name__}") from None

"""Whether a path of a spec names a file that is there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from xai_audit.source import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from xai_audit.errors import Mistake
    from xai_audit.source import Node


def check(node: Node, folder: Path, where: str, path: str | None = None) -> Iterator[Mistake]:
    """What is wrong with a path: nothing there, a folder, no file's name."""
    path = path or node.raw
    if node.kind in ("mapping", "list"):
        return
    if re.match(r"[a-z][a-z0-9+]{1,20}://", path, re.IGNORECASE):
        yield node.place.mistake(f"{where}: a file on this machine is asked, not {shown(path)}")
        return
    try:
        full = folder / path
        if full.is_dir():
            yield node.place.mistake(f"{where}: {shown(path)} is a folder; a file is asked", missing=True)
        elif not full.exists():
            yield node.place.mistake(f"{where}: no such file: {shown(path)}", missing=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        yield node.place.mistake(f"{where}: {shown(path)} cannot be a file: {reason}")

"""Audits changed by somebody who knows how they are written: every digest that can be made again is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xai_audit import audit
from xai_audit.render import FILES, renderers


def forge(folder: Path, change: Callable[[dict[str, Any]], None], *, pages: bool = True) -> None:
    """Change audit.json, draw its pages again, and make the manifest of what then lies there."""
    path = folder / "audit.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    text = json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")
    if pages:
        made = audit.read(folder)
        for name, file in FILES.items():
            if (folder / file).exists():
                (folder / file).write_bytes(renderers[name](made))
    remade(folder)


def remade(folder: Path) -> None:
    """Make manifest.json of what lies in a folder."""
    signed = bool((folder / "attestation.json").exists())
    (folder / "manifest.json").write_bytes(audit.manifest_file(folder, {}, signed=signed))


def piece(content: dict[str, Any], name: str) -> dict[str, Any]:
    """One piece of evidence of audit.json."""
    return next(one for one in content["evidence"] if one["id"] == name)

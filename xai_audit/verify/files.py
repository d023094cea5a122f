"""The folder as it was written: every file by its digest, audit.json by its one form, nothing missing and nothing more."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xai_audit import attestation, audit, digest
from xai_audit.verify.checks import Check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xai_audit.audit import Audit

MANIFEST = "manifest.json"
_KEYS = {"schema", "signed", "files"}
_SCHEMA = "xai-audit/manifest/1"


@dataclass(frozen=True)
class Manifest:
    """What manifest.json says, and what of it does not hold."""

    signed: bool = False
    files: dict[str, str] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()


def manifest(folder: Path) -> Manifest:
    """manifest.json held to the folder: each file by its sha256; a file that is missing or not named is broken."""
    try:
        content = (folder / MANIFEST).read_bytes()
        said = json.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        why = f"it cannot be read: {str(error).splitlines()[0][:100]}"
        return Manifest(checks=(_broken(MANIFEST, why),))
    wrong = _shape(said, content)
    if wrong:
        return Manifest(checks=(_broken(MANIFEST, wrong),))
    files = dict(said["files"])
    checks = [_file(folder, name, sha256) for name, sha256 in sorted(files.items())]
    checks += [_more_than_said(name) for name in _more(folder, files)]
    return Manifest(bool(said["signed"]), files, tuple(checks))


def canonical(path: Path) -> Check:
    """Whether a JSON file is written in its one form: keys sorted, none twice, one space of indent."""
    try:
        content = path.read_bytes()
        said = json.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        return _broken(path.name, f"it cannot be read: {str(error).splitlines()[0][:100]}")
    if _written(said) != content:
        return _broken(path.name, "it is not written in canonical form")
    return Check("holds", path.name, "written in canonical form")


def recorded(folder: Path, audit: Audit) -> Iterator[Check]:
    """Files of evidence/ that are not named by their digest, held to what audit.json says of them."""
    for key, name in (("rows", "rows.parquet"), ("pieces", "pieces.json")):
        said, path = audit.run.get(key), folder / "evidence" / name
        if said is None:
            continue  # an earlier version recorded none
        found = digest.of_file(path) if path.is_file() else None
        if found == said:
            yield Check("holds", f"evidence/{name}", "it is the file that audit.json records")
        else:
            what = f"its sha256 is {found}" if found else "it is not there"
            yield _broken(f"evidence/{name}", f"{what}, and audit.json records {said}")


def _shape(said: Any, content: bytes) -> str:
    if not isinstance(said, dict) or set(said) != _KEYS or said["schema"] != _SCHEMA:
        return f"it is no manifest of schema {_SCHEMA}"
    files = said["files"]
    named = isinstance(files, dict) and all(
        isinstance(name, str) and isinstance(sha256, str) for name, sha256 in files.items()
    )
    if not named or not isinstance(said["signed"], bool):
        return "it does not map files to digests"
    return "" if _written(said) == content else "it is not written in canonical form"


def _written(said: Any) -> bytes:
    try:
        text = json.dumps(said, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        return b""
    return f"{text}\n".encode("utf-8", "surrogatepass")


def _file(folder: Path, name: str, sha256: str) -> Check:
    path = folder / name
    inside = not Path(name).is_absolute() and ".." not in Path(name).parts
    if not inside or not path.is_file():
        return _broken(name, "manifest.json names it, and it is not there")
    try:
        found = digest.of_file(path)
    except OSError as error:
        return _broken(name, f"it cannot be read: {error.strerror or error}")
    if found != sha256:
        return _broken(name, f"its sha256 is {found}, and manifest.json says {sha256}")
    return Check("holds", name, f"sha256 {sha256}")


def _more(folder: Path, files: dict[str, str]) -> Iterator[str]:
    """Files of the folder that nothing vouches for; what a run keeps for itself while it works begins with a dot."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        known = name in files or name in (MANIFEST, attestation.FILE)
        hidden = name.split("/", 1)[0].startswith(".")
        if not known and not hidden and (path.is_symlink() or not path.is_dir()):
            yield name


def _more_than_said(name: str) -> Check:
    """A file that manifest.json does not name: one in an audit's own place is forged, another is nobody's business."""
    own = (*audit.PUBLISHABLE, "freeze.json")
    if name in own or name.startswith("evidence/"):
        return _broken(name, "it stands in the folder and not in manifest.json")
    return Check("unchecked", name, "it is no part of the audit, and nothing vouches for it")


def _broken(subject: str, what: str) -> Check:
    return Check("broken", subject, what)

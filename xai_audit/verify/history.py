"""The audit in its project's history: its line in the log, and what was frozen before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xai_audit import digest, freezing, log
from xai_audit.errors import UnavailableError
from xai_audit.verify.checks import Check
from xai_audit.verify.signature import signed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from securesystemslib.signer import SSlibKey

    from xai_audit.audit import Audit


def logged(folder: Path, audit: Audit, path: Path) -> Iterator[Check]:
    """The project's log: whether its chain holds, this audit stands in it, and what it stood on is there still."""
    try:
        found = log.read(path)
        sha256 = digest.of_file(folder / "audit.json")
    except (UnavailableError, OSError) as error:
        yield Check("unchecked", path.name, str(error))
        return
    if found.broken:
        yield Check("broken", path.name, found.broken)
        return
    number = found.find("audit", sha256)
    before = audit.run.get("log") or {}
    if number is None:
        yield Check("broken", path.name, "it has no line for this audit.json")
    elif before.get("head") not in (log.FIRST, *found.heads[: number - 1]):
        what = f"this audit was added after the head {before.get('head')}, which is not in it: lines were changed"
        yield Check("broken", path.name, what)
    else:
        yield Check(
            "holds", path.name, f"line {number} of {len(found.entries)} is this audit; the chain holds"
        )
    what = f"its head is {found.head}: kept elsewhere, it shows whether the newest lines are taken away"
    yield Check("holds", path.name, what)


def frozen(folder: Path, audit: Audit, keys: Sequence[SSlibKey]) -> Iterator[Check]:
    """freeze.json held to what the audit says of it: the changes since, and who signed."""
    path, piece = folder / freezing.FILE, audit.get(freezing.METHOD)
    if piece is None or piece.status != "measured":
        if path.exists():
            yield Check("broken", path.name, "a freeze lies here that audit.json does not tell of")
        return
    try:
        content = path.read_bytes()
        envelope, _ = freezing.opened(content)
        made = freezing.observed(content, audit.spec, audit.policies)
    except (OSError, ValueError) as error:
        yield Check("broken", path.name, f"audit.json tells of a freeze, and this file is none: {error}")
        return
    if made.params != piece.params or made.observation != piece.observation:
        yield Check("broken", path.name, "what audit.json says was changed since the freeze is not what was")
        return
    yield Check("holds", path.name, f"{len(made.params['changes'])} changes since it, as audit.json says")
    asked = [key for key in keys if key.keyid in envelope.signatures]
    yield from signed(path.name, envelope, asked)

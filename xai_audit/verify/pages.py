"""The pages drawn again from audit.json: HTML and text byte for byte, the PDF by its bytes or by what it says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from xai_audit import resources
from xai_audit.errors import AuditError
from xai_audit.render import FILES, missing_for, renderers
from xai_audit.verify import printed
from xai_audit.verify.checks import Check

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from xai_audit.audit import Audit

_FACES = re.compile(rb"url\(data:font/[^)]*\)")


def pages(folder: Path, audit: Audit) -> Iterator[Check]:
    """Each page of the folder held to what this build makes of the same audit.json.

    Another build draws other pages: then only what does not depend on it is held, and the rest is said to be unchecked.
    """
    same = audit.environment.get("tool") == resources.tool_digest()
    for name, file in sorted(FILES.items()):
        path = folder / file
        if not path.is_file():
            continue
        if name == "pdf":
            yield from _pdf(path, audit, same=same)
            continue
        yield _drawn(name, path, audit, same=same)


def _drawn(name: str, path: Path, audit: Audit, *, same: bool) -> Check:
    reason = missing_for(name)
    if reason is not None:
        return Check("unchecked", path.name, f"it cannot be drawn here: {reason}")
    try:
        found, made = path.read_bytes(), renderers[name](audit)
    except (OSError, AuditError) as error:
        return Check("unchecked", path.name, f"it could not be drawn again: {error}")
    if found == made:
        return Check("holds", path.name, "drawn again, byte for byte")
    if _FACES.sub(b"", found) == _FACES.sub(b"", made):
        return Check(
            "holds",
            path.name,
            "drawn again; the fonts in it were cut by another version of HarfBuzz or fontTools",
        )
    if not same:
        return _by_another(path.name, audit)
    return Check("broken", path.name, f"it is not what audit.json gives: {_where(found, made)}")


def _by_another(name: str, audit: Audit) -> Check:
    what = f"this build draws another page than the one that drew it ({_build(audit)}); its digest holds"
    return Check("unchecked", name, what)


def _where(found: bytes, made: bytes) -> str:
    """The first line at which two pages differ, in a few characters."""
    lines = zip(found.split(b"\n"), made.split(b"\n"), strict=False)
    number, pair = next(
        ((number, pair) for number, pair in enumerate(lines, 1) if pair[0] != pair[1]), (0, (b"", b""))
    )
    if not number:
        return "one is longer than the other"
    at = next((i for i, (a, b) in enumerate(zip(*pair, strict=False)) if a != b), min(map(len, pair)))
    shown = [one[max(at - 20, 0) : at + 40].decode("utf-8", "replace") for one in pair]
    return f"line {number} has {shown[0]!r} in place of {shown[1]!r}"


def _pdf(path: Path, audit: Audit, *, same: bool) -> Iterator[Check]:
    from xai_audit.render import pdf

    try:
        found = path.read_bytes()
        embedded = printed.attached(found)
        beside = path.with_name("audit.json").read_bytes()
    except (OSError, ValueError) as error:
        yield Check("broken", path.name, f"it cannot be read as a report: {error}")
        return
    if embedded != beside:
        yield Check("broken", path.name, "the audit.json inside it is not the one beside it")
        return
    yield Check("holds", path.name, "the audit.json inside it is the one beside it")
    if pdf.missing() is not None:
        yield Check("unchecked", path.name, f"its text could not be drawn again: {pdf.missing()}")
    else:
        yield _drawn_again(path.name, found, audit, same=same)


def _drawn_again(name: str, found: bytes, audit: Audit, *, same: bool) -> Check:
    from xai_audit.render import pdf

    try:
        made = pdf.render(audit)
    except AuditError as error:
        return Check("unchecked", name, f"it could not be drawn again: {error}")
    if made == found:
        return Check("holds", name, "drawn again, byte for byte")
    return _by_words(name, found, made, audit) if same else _by_another(name, audit)


def _by_words(name: str, found: bytes, made: bytes, audit: Audit) -> Check:
    """Two PDFs of different bytes: by what drew them, and by their words where that was something else."""
    from xai_audit.render import pdf

    recorded, here = audit.run.get("drawn") or {}, pdf.drawn_with()
    differs = ", ".join(key for key in sorted(here) if recorded.get(key) != here[key])
    if not differs:
        return Check("broken", name, "its bytes are not those that the same WeasyPrint, Pango and fonts give")
    (pages, said), (again, wanted) = printed.words(found), printed.words(made)
    if said == wanted:
        what = f"its text is what audit.json gives; it was drawn with another {differs}, so bytes were not compared"
        return Check("holds", name, what)
    strange = sorted(set(said) ^ set(wanted))
    if strange:
        return Check("broken", name, f"its text is not what audit.json gives: {strange[0]!r}")
    what = f"it has {pages} pages and another {differs} gives {again}; its words are the same, their order was not held"
    return Check("unchecked", name, what)


def _build(audit: Audit) -> str:
    tool = audit.environment.get("tool")
    return (
        f"sha256 {tool[:12]}…" if isinstance(tool, str) else f"version {audit.environment.get('xai_audit')}"
    )

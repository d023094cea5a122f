"""A model card with an audit in it: a block in the body and results in the metadata, and not a byte else changed."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from xai_audit import audit
from xai_audit.attach import block, entries, metadata
from xai_audit.attach.binding import UNKNOWN
from xai_audit.errors import UnavailableError
from xai_audit.source import shown

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from xai_audit.attach.binding import Binding
    from xai_audit.audit import Audit

LARGEST = 8_000_000
"""Bytes of a card that is read."""


class CardError(ValueError):
    """A card that cannot be read or changed: what, and where in it (line 0: the whole)."""

    def __init__(self, what: str, line: int = 0, column: int = 0) -> None:
        self.place = f":{line}:{column or 1}" if line else ""
        super().__init__(what)


def attached(text: str, made: Audit, bound: Binding) -> str:
    """The card with this audit's block and results in the place of earlier ones.

    A card without metadata gets metadata that hold ``model-index`` alone, if the audit measured anything for it.

    Raises:
        CardError: where the metadata are no YAML, or the marks of ours do not make one block.
    """
    parts, found = _read(text)
    newline = _newline(text)
    results = entries.results(made, bound.audit_sha256)
    try:
        if parts.metadata is None:
            fresh = metadata.replaced("", bound.system, results, newline)
            before = f"{parts.before}---{newline}{fresh}---{newline}" if fresh else parts.before
        else:
            line = _lines(parts.before)
            before = parts.before + metadata.replaced(parts.metadata, bound.system, results, newline, line)
    except metadata.MetadataError as error:
        raise CardError(error.what, error.line, error.column) from None
    closing, body = parts.after[: parts.body_at], parts.after[parts.body_at :]
    fresh = block.text(made, bound, newline)
    if found is not None:
        return before + closing + body[: found.start] + fresh + body[found.end :]
    if closing and closing[-1] not in "\r\n":
        closing += newline
    gap = "" if not body else newline if body[-1] in "\r\n" else newline * 2
    return f"{before}{closing}{body}{gap}{fresh}{newline}"


def differences(text: str, made: Audit, bound: Binding) -> list[str]:
    """What of a card does not hold for this audit, a sentence each; empty where all of it does."""
    parts, found = _read(text)
    try:
        of_metadata = _entries(parts, made, bound)
    except metadata.MetadataError as error:
        raise CardError(error.what, error.line, error.column) from None
    if found is None:
        return ["no block of xai-audit is in this card; xai-audit attach writes it"]
    told = []
    model, evidence = bound.model_sha256 or UNKNOWN, bound.audit_sha256
    if found.said.get("model") != model:
        told.append(f"the card is of the model {found.said.get('model', 'unnamed')}, the audit of {model}")
    if found.edited:
        told.append("the block was edited after it was attached")
    if found.said.get("audit") != evidence:
        seen = found.said.get("audit", "unnamed")
        told.append(f"the block is stale: it is of the audit.json {seen}, the folder holds {evidence}")
    elif not found.edited and found.text != block.text(made, bound, _newline(text)):
        told.append("the block is not the one this version of xai-audit writes; attach it again")
    return told + of_metadata


def _entries(parts: metadata.Parts, made: Audit, bound: Binding) -> list[str]:
    """What of our results in the metadata is not as this audit has it."""
    wanted = entries.results(made, bound.audit_sha256)
    there = [] if parts.metadata is None else metadata.of(parts.metadata, _lines(parts.before))
    if there == wanted:
        return []
    of = {str(result["dataset"]["args"][entries.MARK]) for result in there} - {bound.audit_sha256}
    if of:
        return [
            f"model-index is stale: it holds results of the audit.json {shown(', '.join(sorted(of)), 200)}"
        ]
    by_config = {str(result["dataset"].get("config")): result for result in there}
    told = []
    for result in wanted:
        config = result["dataset"]["config"]
        if config not in by_config:
            told.append(f"model-index has no result for {config!r}")
        elif by_config[config] != result:
            told.append(f"model-index was edited: its result for {config!r} is not the audit's")
    extra = by_config.keys() - {result["dataset"]["config"] for result in wanted}
    told += [f"model-index was edited: the audit has no result for {config!r}" for config in sorted(extra)]
    return told or ["model-index was edited: its results are in another order, or there twice"]


def _read(text: str) -> tuple[metadata.Parts, block.Found | None]:
    try:
        parts = metadata.split(text)
    except metadata.MetadataError as error:
        raise CardError(error.what, error.line, error.column) from None
    body = parts.after[parts.body_at :]
    try:
        return parts, block.find(body)
    except block.BlockError as error:
        raise CardError(error.what, error.line + _lines(text[: len(text) - len(body)])) from None


def _newline(text: str) -> str:
    """The line end that a card uses first; a line feed where it has none."""
    ends = [(text.find(end), end) for end in ("\r\n", "\n", "\r") if end in text]
    return min(ends, key=lambda one: (one[0], -len(one[1])))[1] if ends else "\n"


def _lines(text: str) -> int:
    return text.count("\n") + text.count("\r") - text.count("\r\n")


# ---------------------------------------------------------------------------------------------- files
def write(path: Path, made: Audit, bound: Binding) -> bool:
    """Attach an audit to a card's file; whether anything changed. UnavailableError where it cannot be done."""
    content, mode = _content(path)
    text = content.decode()
    try:
        new = attached(text, made, bound).encode()
    except CardError as error:
        message = f"{path}{error.place}: {error}; nothing was written"
        raise UnavailableError(message) from None
    if new == content:
        return False
    audit.write(path, new)
    path.chmod(mode)
    return True


def check(path: Path, made: Audit, bound: Binding) -> list[str]:
    """What of a card's file does not hold for this audit; UnavailableError where it cannot be read."""
    content, _ = _content(path)
    try:
        return differences(content.decode(), made, bound)
    except CardError as error:
        message = f"{path}{error.place}: {error}"
        raise UnavailableError(message) from None


def _content(path: Path) -> tuple[bytes, int]:
    """A card's bytes, which are UTF-8, and its file's permissions."""
    try:
        status = path.lstat()
        _checked(path, status)
        content = path.read_bytes()
        content.decode()
    except FileNotFoundError:
        why = "no such card; attach adds to one that is there"
    except UnicodeDecodeError as error:
        why = f"is no text in UTF-8: byte {error.start + 1:,}"
    except OSError as error:
        why = f"cannot be read: {error.strerror or error}"
    else:
        if b"\0" not in content:
            return content, stat.S_IMODE(status.st_mode)
        why = "is no text: it holds a zero byte"
    message = f"{path}: {why}"
    raise UnavailableError(message)


def _checked(path: Path, status: os.stat_result) -> None:
    """UnavailableError where a path is no file that is read."""
    if stat.S_ISLNK(status.st_mode):
        message = f"{path}: is a link; name the file it leads to"
    elif not stat.S_ISREG(status.st_mode):
        message = f"{path}: is no file"
    elif status.st_size > LARGEST:
        message = f"{path}: is {status.st_size / 1e6:,.1f} MB large; at most {LARGEST / 1e6:.0f} MB is read"
    else:
        return
    raise UnavailableError(message)

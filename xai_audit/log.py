"""A project's log of its audits: one line each, every line holding the digest of the one before it.

Whoever changes, drops or moves a line breaks the chain after it. The newest lines alone can be taken away unseen, unless
their head, the digest of the last line, is kept elsewhere; so each audit also keeps the head that it found.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xai_audit import audit, digest
from xai_audit.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from xai_audit.spec import Spec

FIRST = "0" * 64
"""What the first line holds as the digest of the one before it."""

MAX_BYTES = 50_000_000
"""A larger file is refused unread; a line is some 300 bytes."""


@dataclass(frozen=True)
class Log:
    """A log that was read, or how far it could be."""

    entries: tuple[Mapping[str, Any], ...] = ()
    heads: tuple[str, ...] = ()
    """The digest of each line."""
    broken: str | None = None
    """The first line that does not hold, and why."""

    @property
    def head(self) -> str:
        """The digest of the last line."""
        return self.heads[-1] if self.heads else FIRST

    def find(self, key: str, value: str) -> int | None:
        """The number, from 1, of the first line of which this is said."""
        found = (number for number, entry in enumerate(self.entries, 1) if entry.get(key) == value)
        return next(found, None)


def path_of(spec: Spec) -> Path | None:
    """Where a spec's log is; None where it keeps none, or was made without a file."""
    return spec.resolve(spec.run.log) if spec.file and spec.run.log else None


def read(path: Path) -> Log:
    """The log in a file; empty where there is no file, UnavailableError where it cannot be read."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UnavailableError(f"{path}: {path.stat().st_size:,} bytes are no log of audits")
        content = path.read_bytes()
    except FileNotFoundError:
        return Log()
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be read: {error.strerror or error}") from None
    lines = content.split(b"\n")
    entries: list[Mapping[str, Any]] = []
    heads: list[str] = []
    for number, line in enumerate(lines[:-1], 1):
        entry = _entry(line)
        why = "it is not a line of this log" if entry is None else _wrong(entry, number, heads)
        if entry is None or why:
            return Log(tuple(entries), tuple(heads), f"{path}:{number}: {why}")
        entries.append(entry)
        heads.append(digest.of_bytes(line))
    cut = f"{path}:{len(lines)}: the line does not end" if lines[-1] else None
    return Log(tuple(entries), tuple(heads), cut)


def ready(path: Path) -> Log:
    """The log, found whole and in a folder that can be written; UnavailableError where it is not.

    Asked before a run measures anything, so that hours of work are not lost to it.
    """
    found = read(path)
    if found.broken:
        why = "the log was changed after it was written: keep it as it is, and name another with run.log"
        raise UnavailableError(f"{found.broken}; {why}")
    if not os.access(path.parent, os.W_OK):
        why = "its folder cannot be written; `run: {log: null}` keeps none"
        raise UnavailableError(f"{path}: {why}")
    return found


def append(path: Path, entry: Mapping[str, Any]) -> str:
    """Add a line, and give its digest; nothing where a line already tells of the same audit or freeze.

    UnavailableError where the log is broken or cannot be written; two processes wait for each other.
    """
    with _held(path):
        log = ready(path)
        for key in ("audit", "freeze"):
            number = log.find(key, entry[key]) if key in entry else None
            if number is not None:
                return log.heads[number - 1]
        line = digest.canonical({**entry, "number": len(log.entries) + 1, "previous": log.head}).encode()
        before = path.read_bytes() if path.exists() else b""
        audit.write(path, before + line + b"\n")
        return digest.of_bytes(line)


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
        whole = isinstance(found, dict) and digest.canonical(found).encode() == line
    except (ValueError, RecursionError):
        return None
    return found if whole else None


def _wrong(entry: Mapping[str, Any], number: int, heads: Sequence[str]) -> str:
    if entry.get("number") != number:
        return f"it says it is number {entry.get('number')!r}: a line is missing, doubled or moved"
    if entry.get("previous") != (heads[-1] if heads else FIRST):
        return "it does not follow the line before it: that line was changed"
    return ""


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    """Hold the log for one writer at a time, by a lock on its folder, which leaves nothing behind."""
    try:
        import fcntl

        handle = os.open(path.parent, os.O_RDONLY)
    except ImportError:
        yield  # no advisory locks on Windows: of two lines written at one moment, the later alone stays
        return
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be written: {error.strerror or error}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)

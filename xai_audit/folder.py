"""A folder whose files change all at once: written beside them, noted in a journal, then renamed into place.

Until the journal stands, a kill or a full disk leaves every file as it was. From then on all that is left to do is
renaming, which the next command that may write finishes. One command writes at a time.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import sys
from typing import TYPE_CHECKING, Any

from xai_audit import digest
from xai_audit.audit import JOURNAL, WORK, sync, write
from xai_audit.errors import UnavailableError, UnwrittenError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

SCHEMA = "xai-audit/commit/1"
NEW = f"{WORK}/new"
PIECES = f"{WORK}/pieces"
LOCK = ".lock"
RESERVE = ".reserve"
RESERVED = 1 << 16
"""Bytes held back until the journal stands: a rename may need a block for its folder."""


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a folder for one command that writes, what a killed one left put in place or cleared away first.

    Raises:
        UnavailableError: where another command holds it, or what a killed one left cannot be finished.
        UnwrittenError: where it cannot be written; also in place of one raised within, saying what became of the
            audit that was there.
    """
    try:
        for name in (WORK, NEW, PIECES):
            if (folder / name).is_symlink():
                # What is cleared away there would be cleared away elsewhere.
                raise _unwritten(folder / name, OSError("it is a link"))
        with _locked(folder):
            if (folder / JOURNAL).exists():
                _finish(folder)
            _sweep(folder)
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    (folder / WORK).rmdir()  # pieces of an unfinished run, or a journal, keep it
    except UnwrittenError as error:
        message = f"{error}; {left(folder)}"
        raise UnwrittenError(message) from None


def unfinished(folder: Path) -> bool:
    """Whether a run into a folder ended before its audit was whole; ``--resume`` goes on with its pieces."""
    return (folder / PIECES).is_dir() and not (folder / JOURNAL).exists()


def left(folder: Path) -> str:
    """What an interrupted or failed write left of the audit in a folder, in words."""
    if (folder / JOURNAL).exists():
        return f"the new audit is whole and xai-audit render {folder} puts the rest of it in place"
    there = (folder / "audit.json").exists()
    kept = "the audit that was there is unchanged" if there else "no audit was written"
    return f"{kept}; --resume goes on with what is done" if (folder / PIECES).is_dir() else kept


def put(
    folder: Path,
    files: Mapping[str, bytes],
    stale: Collection[str] = (),
    before: Callable[[], object] | None = None,
) -> None:
    """Put files in place and remove stale ones, all of it or none; the folder is held by :func:`alone`.

    Args:
        folder: where they belong.
        files: the content of each, by its path in the folder (``evidence/rows.parquet``).
        stale: paths in the folder that are removed with the same stroke.
        before: called when every file lies on disk and before the first is put in place; what it raises stops the write.

    Raises:
        UnwrittenError: where the disk is full or the folder closed; nothing in the folder has changed, unless a
            journal stands (see :func:`left`).
    """
    parents = sorted({(folder / name).parent for name in files})
    try:
        _stage(folder, files, parents)
        journal = {
            "schema": SCHEMA,
            "files": {name: digest.of_bytes(content) for name, content in sorted(files.items())},
            "stale": sorted(stale),
        }
        if before is not None:
            before()
        write(folder / JOURNAL, json.dumps(journal, indent=1, sort_keys=True).encode())
    except OSError as error:
        raise _unwritten(folder, error) from None
    finally:
        for parent in parents:
            with contextlib.suppress(OSError):
                (parent / RESERVE).unlink(missing_ok=True)
        if not (folder / JOURNAL).exists():
            shutil.rmtree(folder / NEW, ignore_errors=True)
    _finish(folder)


def _stage(folder: Path, files: Mapping[str, bytes], parents: Sequence[Path]) -> None:
    """Have every file on disk beside its place, and know that it can be renamed into it."""
    for name in files:
        if not _within(folder, name) or (folder / name).is_dir():
            raise _unwritten(folder / name, OSError("a link or a folder is in its place"))
    shutil.rmtree(folder / NEW, ignore_errors=True)
    for name, content in sorted(files.items()):
        write(folder / NEW / name, content)
    for parent in parents:
        parent.mkdir(exist_ok=True)
        # Room for the names, and proof that files can be renamed from here to there; both fail now or never.
        write(folder / NEW / RESERVE, bytes(RESERVED))
        (folder / NEW / RESERVE).replace(parent / RESERVE)
    for level in (folder / NEW, folder / WORK, folder, folder.resolve().parent):
        sync(level)


def _finish(folder: Path) -> None:
    """Do what the journal says, from wherever it was left."""
    journal = _journal(folder)
    try:
        for name, sha256 in journal["files"].items():
            staged, place = folder / NEW / name, folder / name
            if staged.is_file() and digest.of_file(staged) == sha256:
                place.parent.mkdir(exist_ok=True)
                staged.replace(place)
            elif not place.is_file() or digest.of_file(place) != sha256:
                message = f"{name} is gone"
                raise _useless(folder, message)
        for name in journal["stale"]:
            (folder / name).unlink(missing_ok=True)
        for parent in sorted({(folder / name).parent for name in (*journal["files"], *journal["stale"])}):
            if parent.is_dir():
                sync(parent)
        (folder / JOURNAL).unlink()
        sync(folder / WORK)
    except OSError as error:
        raise _unwritten(folder, error) from None
    shutil.rmtree(folder / NEW, ignore_errors=True)


def _journal(folder: Path) -> dict[str, Any]:
    """The journal of a folder; what it names lies in the folder, whoever wrote it."""
    try:
        journal = json.loads((folder / JOURNAL).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise _useless(folder, f"it cannot be read: {error}") from None
    if not isinstance(journal, dict) or journal.get("schema") != SCHEMA:
        raise _useless(folder, f"it is not of schema {SCHEMA}")
    files, stale = journal.get("files"), journal.get("stale")
    if not isinstance(files, dict) or not isinstance(stale, list):
        raise _useless(folder, "it names no files")
    for name in (*files, *stale):
        if not isinstance(name, str) or not _within(folder, name):
            raise _useless(folder, f"it names {str(name)[:60]!r}, which is not a place in this folder")
    return journal


def _within(folder: Path, name: str) -> bool:
    """Whether a name is a file of the folder, or of a folder in it: no way out, no link on the way."""
    parts = name.split("/")
    return (
        len(parts) <= 2
        and all(re.fullmatch(r"[^\x00-\x1f/\\:.][^\x00-\x1f/\\:]{0,254}", part) for part in parts)
        and not (len(parts) == 2 and (folder / parts[0]).is_symlink())
    )


def _unwritten(place: Path, error: OSError) -> UnwrittenError:
    where = error.filename2 or error.filename or place
    return UnwrittenError(f"{where}: cannot be written: {error.strerror or error}")


def _useless(folder: Path, reason: str) -> UnavailableError:
    return UnavailableError(
        f"{folder / JOURNAL}: an interrupted write cannot be finished: {reason}; the files here may be of two "
        f"audits: remove {folder / WORK} and run the audit again"
    )


def _sweep(folder: Path) -> None:
    """Clear away what a killed command left, but for the finished pieces of a run."""
    for name in (RESERVE, f"evidence/{RESERVE}"):
        with contextlib.suppress(OSError):
            (folder / name).unlink(missing_ok=True)
    for path in (*(folder / WORK).glob("*"), *(folder / PIECES).glob(".*")):
        if path == folder / PIECES:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    path = folder / LOCK
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = path.open("a")
        except OSError as error:
            message = f"{folder}: cannot be written: {error.strerror or error}"
            raise UnwrittenError(message) from None
        try:
            _lock(lock.fileno())
        except OSError as error:
            lock.close()
            busy = error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
            why = (
                "another run is writing here; wait for it" if busy else f"cannot be locked: {error.strerror}"
            )
            message = f"{folder}: {why}, or give another folder with -o"
            raise UnavailableError(message) from None
        # Whoever held it may have removed the file after it was opened here; then it locks nothing.
        if _same(lock.fileno(), path):
            break
        lock.close()
    with lock:
        try:
            yield
        finally:
            if sys.platform == "win32":
                lock.close()  # an open file cannot be removed there; one that is left locks nothing by itself
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _lock(handle: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _same(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except OSError:
        return False

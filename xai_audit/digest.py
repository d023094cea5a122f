"""Canonical JSON and sha256: the same content gives the same bytes and the same digest."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def canonical(value: object) -> str:
    """JSON text with sorted keys, no spaces, shortest floats and no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def of_bytes(content: bytes) -> str:
    """The sha256 of some bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def of_value(value: object) -> str:
    """The sha256 of a value's canonical JSON, in hexadecimal."""
    return of_bytes(canonical(value).encode("utf-8", "surrogatepass"))


def of_file(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


_NOT_CONTENT = (".git", ".gitattributes", ".github", ".gitignore")
"""At the top of a folder these belong to its history, not to what it holds; OpenSSF model signing leaves them out too."""


def files_of(folder: Path) -> list[Path]:
    """Every file of a folder at any depth, in the order of its path's parts; ValueError for a link to a folder."""
    found = []
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        if parts[0] in _NOT_CONTENT:
            continue
        if path.is_symlink() and path.is_dir():
            message = f"{'/'.join(parts)} is a link to a folder; a folder holds its own files"
            raise ValueError(message)
        if path.is_file():
            found.append((parts, path))
        elif not path.is_dir():
            message = f"{'/'.join(parts)} is neither a file nor a folder"
            raise ValueError(message)
    return [path for _, path in sorted(found)]


def of_folder(folder: Path) -> str:
    """The root digest that OpenSSF model signing gives a folder: the sha256 of its files' sha256, in their order.

    It holds for the content of every file (links to files are followed) and the order of their names, not for
    the names themselves. ValueError and OSError where a file cannot be had.
    """
    return root(of_file(path) for path in files_of(folder))


def root(digests: Iterable[str]) -> str:
    """The sha256 of several sha256, as bytes one after the other in the order given."""
    return of_bytes(b"".join(map(bytes.fromhex, digests)))


def seed(*parts: object) -> int:
    """A 128-bit seed that depends on every part and on nothing else."""
    return int(of_value([str(part) for part in parts])[:32], 16)


def joined(digests: Iterable[str]) -> str:
    """One digest over several, in the order given."""
    return of_bytes("\n".join(digests).encode())

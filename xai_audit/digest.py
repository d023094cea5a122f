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


def seed(*parts: object) -> int:
    """A 128-bit seed that depends on every part and on nothing else."""
    return int(of_value([str(part) for part in parts])[:32], 16)


def joined(digests: Iterable[str]) -> str:
    """One digest over several, in the order given."""
    return of_bytes("\n".join(digests).encode())

"""Weights of a network along its training, a safetensors file each: written by a loop, read back in the order of steps."""

from __future__ import annotations

import glob
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xai_audit import digest
from xai_audit.errors import MethodError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch

SUFFIX = ".safetensors"
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class Checkpoint:
    """One file of weights."""

    number: int
    """Its step, or the seed of its training: the last number in the file's name."""
    name: str
    path: str
    sha256: str

    def state(self) -> dict[str, torch.Tensor]:
        """The tensors by name; MethodError where the file is not what it was when the spec was read."""
        return read(Path(self.path), self.sha256)


def name_of(step: int) -> str:
    """What the file of a step is called."""
    return f"step-{step:07d}{SUFFIX}"


def number_of(name: str) -> int | None:
    """The last whole number in a file's name; None where it has none."""
    found = _NUMBER.findall(Path(name).stem)
    return int(found[-1]) if found else None


def write(module: torch.nn.Module, folder: str | Path, step: int) -> Path:
    """The weights now as a file of that folder, whole or not at all."""
    from safetensors.torch import save_model

    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=place, suffix=".part")
    os.close(handle)
    try:
        save_model(module, name, metadata={"step": str(step)})
        Path(name).chmod(0o644)
        return Path(name).rename(place / name_of(step))
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read(path: Path, sha256: str | None = None) -> dict[str, torch.Tensor]:
    """The tensors of a file; MethodError where it is none, is gone, or has another digest than this."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        data = path.read_bytes()
    except OSError as error:
        raise MethodError(f"{path.name} cannot be read: {error.strerror or error}") from None
    if sha256 is not None and digest.of_bytes(data) != sha256:
        raise MethodError(f"{path.name} changed while the audit ran")
    try:
        tensors: dict[str, torch.Tensor] = load(data)
    except SafetensorError as error:
        reason = (str(error).splitlines() or [""])[0][:150]
        raise MethodError(f"{path.name} holds no weights in safetensors: {reason}") from None
    return tensors


def matching(root: Path, pattern: str) -> list[Path]:
    """The files that a pattern (``*``, ``?``, ``[...]``) names, relative to ``root``; MethodError for another suffix."""
    if not pattern.lower().endswith(SUFFIX):
        raise MethodError(f"checkpoints are read as safetensors; write a pattern that ends in {SUFFIX}")
    whole = pattern if Path(pattern).is_absolute() else str(Path(glob.escape(str(root))) / pattern)
    try:
        return sorted(path for path in map(Path, glob.glob(whole)) if path.is_file())  # noqa: PTH207 - an absolute pattern
    except (OSError, ValueError, re.error) as error:
        raise MethodError(f"{pattern!r} is no pattern of files: {error}") from None


def numbered(paths: Iterable[Path]) -> dict[int, Path]:
    """Files by the last number in their names, in rising order; MethodError where one has none, or two have the same."""
    known: dict[int, Path] = {}
    for path in sorted(paths):
        number = number_of(path.name)
        if number is None:
            raise MethodError(f"{path.name} has no number in its name, which says its step or seed")
        if number in known:
            raise MethodError(f"{known[number].name} and {path.name} have the same number {number}")
        known[number] = path
    return dict(sorted(known.items()))


def found(root: Path, pattern: str) -> tuple[Checkpoint, ...]:
    """The checkpoints that a pattern names, in the order of their numbers, each with its digest now."""
    return tuple(
        Checkpoint(number, path.name, str(path), digest.of_file(path))
        for number, path in numbered(matching(root, pattern)).items()
    )

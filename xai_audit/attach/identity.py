"""Whether files are the audited model: by the digest of the folder, of a part of it, or of weights with their code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xai_audit import digest

if TYPE_CHECKING:
    from pathlib import Path

PAIRS = 200
"""Files among which weights and an entry file are looked for."""


def audited(folder: Path, sha256: str) -> str | None:
    """What in a folder has the digest of the audited model: ``the folder``, ``the file model.skops``; None if nothing has.

    A folder's digest is OpenSSF model signing's root (``digest.of_folder``). A network's digest may be of its weights
    and the file that builds it, weights first. ValueError and OSError where the files cannot be had.
    """
    files = digest.files_of(folder)
    hashes = {path: digest.of_file(path) for path in files}
    if files and digest.root(hashes.values()) == sha256:
        return "the folder"
    for path, found in hashes.items():
        if found == sha256:
            return f"the file {path.relative_to(folder).as_posix()}"
    for inner in sorted({parent for path in files for parent in path.relative_to(folder).parents} - {folder}):
        below = folder / inner
        if (
            below != folder
            and digest.root(hashes[path] for path in files if path.is_relative_to(below)) == sha256
        ):
            return f"the folder {inner.as_posix()}"
    if len(files) <= PAIRS:
        for weights in files:
            for entry in files:
                if weights != entry and digest.root((hashes[weights], hashes[entry])) == sha256:
                    both = (path.relative_to(folder).as_posix() for path in (weights, entry))
                    return f"the files {' and '.join(both)}"
    return None

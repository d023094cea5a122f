"""One run's audit.json and manifest: all that was asked, seen and judged, read whole and written whole."""

from __future__ import annotations

import errno
import json
import os
import re
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field, ValidationError

from xai_audit import digest
from xai_audit.described import Described
from xai_audit.errors import UnavailableError, UnwrittenError, one_line
from xai_audit.evidence import Evidence, Frozen
from xai_audit.verdict import Counts, Finding, Outcome

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

SCHEMA = "xai-audit/audit/1"
PUBLISHABLE = (
    "audit.json", "report.html", "report.pdf", "summary.md", "results.sarif", "junit.xml", "bom.cdx.json",
    "annotations.txt", "gl-code-quality-report.json", "metrics.txt", "verdict.json", "badge.svg",
)  # fmt: skip
"""Files without a person's row; evidence/ is restricted."""

_OF_EVIDENCE = re.compile(r"rows\.parquet|pieces\.json|[0-9a-f]{64}\.[a-z]+")

WORK = ".work"
"""Below a folder: the finished pieces of an unfinished run, and new files before they are put in place."""
JOURNAL = f"{WORK}/commit.json"
"""While this stands, files of two audits may lie side by side; see :mod:`xai_audit.folder`."""


class Audit(Frozen):
    """All of one run, and the only argument of a renderer."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    schema_: str = Field(SCHEMA, alias="schema")
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    counts: Counts
    run: dict[str, Any]
    """All that may differ between two equal runs: start, end, seconds, host, jobs, backend, resumed."""
    spec: dict[str, Any]
    policies: tuple[dict[str, Any], ...]
    subject: dict[str, Any]
    environment: dict[str, Any]
    evidence: tuple[Evidence, ...]
    findings: tuple[Finding, ...]
    not_examined: tuple[str, ...] = ()
    """What a reader might expect and this run did not look at, with the reason."""
    baseline: dict[str, Any] | None = None
    """The earlier audit this one was compared with: its digest, version, date, and what its rules said."""

    def get(self, identifier: str) -> Evidence | None:
        """The evidence of that id, or None."""
        return next((piece for piece in self.evidence if piece.id == identifier), None)

    def to_json(self) -> str:
        """The text of audit.json: sorted keys, no NaN, the same bytes for the same content."""
        return (
            json.dumps(self._content(), sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        )

    def same_as(self, other: Audit) -> bool:
        """Whether two audits are the same: equal to the byte but for ``run``."""
        return digest.canonical(self.without_run()) == digest.canonical(other.without_run())

    def without_run(self) -> dict[str, Any]:
        """What must be equal between two equal runs."""
        content = self._content()
        del content["run"]
        return content

    def _content(self) -> dict[str, Any]:
        content = self.model_dump(mode="json", by_alias=True)
        if self.baseline is None:
            del content["baseline"]  # as audits were written before there were any
        return content


def read(folder: Path) -> Audit:
    """The audit in a folder; UnavailableError where there is none that can be read."""
    settled(folder)
    path = folder / "audit.json"
    try:
        made = Audit.model_validate_json(path.read_text(encoding="utf-8"))
        Described.model_validate(made.model_dump(mode="json", include=set(Described.model_fields)))
    except FileNotFoundError:
        message = f"{path}: there is no audit here; xai-audit run writes one"
        raise UnavailableError(message) from None
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path}: cannot be read: {error}"
        raise UnavailableError(message) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = one_line(f"{path}: not an audit of schema {SCHEMA}: {where}: {first['msg']}")
        raise UnavailableError(message) from None
    return made


def settled(folder: Path, patience: float = 1.0) -> None:
    """UnavailableError where a write into a folder was interrupted among its files; one under way is waited for."""
    deadline = time.monotonic() + patience
    while (folder / JOURNAL).exists():
        if time.monotonic() > deadline:
            message = (
                f"{folder}: a write was interrupted while its files were put in place; "
                f"xai-audit render {folder} finishes it, and so does xai-audit run --resume"
            )
            raise UnavailableError(message)
        time.sleep(0.05)


def write(path: Path, content: bytes) -> None:
    """Put content at path at once or not at all, on disk when this returns.

    Raises:
        UnwrittenError: where the disk is full or the folder closed; what was at path is unchanged.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        sync(path.parent)
    except OSError as error:
        message = f"{path}: cannot be written: {error.strerror or error}"
        raise UnwrittenError(message) from None


def sync(folder: Path) -> None:
    """Have a folder's names on disk, where the system can."""
    if os.name == "nt":
        return  # Windows opens no folder; its file system journals names by itself
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return  # a folder that may be written into and not be listed
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
        # Some network file systems take no fsync of a folder.
    finally:
        os.close(handle)


def written(folder: Path) -> list[str]:
    """The files of an audit that are in a folder, by their paths in it; what else lies there is the user's."""
    evidence = (path for path in (folder / "evidence").glob("*") if _OF_EVIDENCE.fullmatch(path.name))
    found = (*(folder / name for name in (*PUBLISHABLE, "attestation.json", "freeze.json")), *evidence)
    return [path.relative_to(folder).as_posix() for path in found if path.is_file() or path.is_symlink()]


def manifest(
    folder: Path,
    files: Mapping[str, bytes] | None = None,
    stale: Collection[str] = (),
    *,
    signed: bool = False,
) -> dict[str, Any]:
    """The sha256 of every file of a folder, but for the manifest, its signature and files that begin with a dot.

    As it will be once ``files`` (by their paths in the folder) are put in place and ``stale`` are gone.
    """
    new = files or {}
    there = {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }
    digests = {name: digest.of_file(path) for name, path in there.items() if name not in {*new, *stale}}
    digests |= {name: digest.of_bytes(content) for name, content in new.items()}
    for name in ("manifest.json", "attestation.json"):
        digests.pop(name, None)
    return {"schema": "xai-audit/manifest/1", "signed": signed, "files": dict(sorted(digests.items()))}


def manifest_file(
    folder: Path, files: Mapping[str, bytes], stale: Collection[str] = (), *, signed: bool = False
) -> bytes:
    """The bytes of manifest.json, as :func:`manifest` gives it."""
    content = manifest(folder, files, stale, signed=signed)
    return (json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()

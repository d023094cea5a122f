"""One run's folder: all that was asked, seen and judged, read and written atomically."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field, ValidationError

from xai_audit import digest
from xai_audit.errors import UnavailableError
from xai_audit.evidence import Evidence, Frozen
from xai_audit.verdict import Counts, Finding, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = "xai-audit/audit/1"
PUBLISHABLE = ("audit.json", "report.html", "report.pdf", "summary.md", "results.sarif", "junit.xml")
"""Files without a person's row; evidence/ is restricted."""


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

    def get(self, identifier: str) -> Evidence | None:
        """The evidence of that id, or None."""
        return next((piece for piece in self.evidence if piece.id == identifier), None)

    def to_json(self) -> str:
        """The text of audit.json: sorted keys, no NaN, the same bytes for the same content."""
        content = self.model_dump(mode="json", by_alias=True)
        return json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def same_as(self, other: Audit) -> bool:
        """Whether two audits are the same: equal to the byte but for ``run``."""
        return digest.canonical(self.without_run()) == digest.canonical(other.without_run())

    def without_run(self) -> dict[str, Any]:
        """What must be equal between two equal runs."""
        content = self.model_dump(mode="json", by_alias=True)
        del content["run"]
        return content


def read(folder: Path) -> Audit:
    """The audit in a folder; UnavailableError where there is none that can be read."""
    path = folder / "audit.json"
    try:
        return Audit.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        message = f"{path}: there is no audit here; xai-audit run writes one"
        raise UnavailableError(message) from None
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path}: cannot be read: {error}"
        raise UnavailableError(message) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = f"{path}: not an audit of schema {SCHEMA}: {where}: {first['msg']}"
        raise UnavailableError(message) from None


def write(path: Path, content: bytes) -> None:
    """Put content at path at once or not at all; UnavailableError where the disk is full or the folder closed."""
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
    except OSError as error:
        message = f"{path}: cannot be written: {error.strerror or error}"
        raise UnavailableError(message) from None


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a folder for one run; a second run into it is refused."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("a")
    except OSError as error:
        message = f"{folder}: cannot be written: {error.strerror or error}"
        raise UnavailableError(message) from None
    with lock:
        try:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:
            pass  # no advisory locks on Windows; atomic replacement still keeps every file whole
        except OSError:
            message = f"{folder}: another run is writing here; wait for it, or give another folder with -o"
            raise UnavailableError(message) from None
        try:
            yield
        finally:
            (folder / ".lock").unlink(missing_ok=True)


def manifest(folder: Path) -> dict[str, Any]:
    """The sha256 of every file of a folder, but for the manifest itself and files that begin with a dot."""
    files = {
        path.relative_to(folder).as_posix(): digest.of_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name != "manifest.json"
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }
    return {"schema": "xai-audit/manifest/1", "signed": False, "files": files}


def write_manifest(folder: Path) -> None:
    """Write manifest.json, unsigned and saying so."""
    text = json.dumps(manifest(folder), sort_keys=True, indent=1, ensure_ascii=False) + "\n"
    write(folder / "manifest.json", text.encode())

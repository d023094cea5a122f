"""A finished audit into its folder at one stroke: evidence, pages, manifest, signature, and its line in the log."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING

from xai_audit import attestation, audit, digest, log, signing
from xai_audit.errors import UnavailableError, one_line
from xai_audit.folder import alone, put
from xai_audit.measure import Progress
from xai_audit.render import FILES, missing_for, renderers
from xai_audit.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from securesystemslib.signer import CryptoSigner

    from xai_audit.audit import Audit


class Stage(Progress):
    """Progress of a run, told also of the stages around measuring."""

    def stage(self, name: str) -> None:
        """A stage begins: load, judge, or a format's name."""


def write(
    folder: Path,
    made: Audit,
    files: Mapping[str, bytes],
    *,
    signers: Sequence[CryptoSigner] = (),
    log_file: Path | None = None,
    progress: Stage | None = None,
) -> None:
    """Put an audit into a folder that is held by `folder.alone`; ``files`` are what it rests on, by their paths there."""
    content = made.to_json().encode("utf-8", "backslashreplace")
    possible = [name for name in made.spec["report"]["formats"] if missing_for(name) is None]
    pages = render(made, ["summary", *(name for name in possible if name != "summary")], progress)
    whole = {**files, "audit.json": content, **pages}
    stale = [name for name in audit.written(folder) if name not in whole]
    manifest = audit.manifest_file(folder, whole, stale, signed=bool(signers))
    whole["manifest.json"] = manifest
    if signers:
        whole[attestation.FILE] = _sealed(made, manifest, signers)
    # The line comes first: a kill between the two leaves a line without its audit, never an audit without its line.
    before = None if log_file is None else functools.partial(log.append, log_file, _line(made, content))
    put(folder, whole, [name for name in stale if name not in whole], before=before)


def render(made: Audit, formats: Sequence[str], progress: Stage | None = None) -> dict[str, bytes]:
    """The reports of an audit, by their names in its folder."""
    progress = progress or Stage()
    pages = {}
    for name in formats:
        progress.stage(name)
        pages[FILES[name]] = renderers[name](made)
    return pages


def render_again(folder: Path, formats: Sequence[str] = ()) -> tuple[list[Path], bool]:
    """Write the reports of a saved audit again, those of its spec where none is named.

    Gives the paths written, and whether a signature was dropped because a page became another.
    """
    _there(folder)
    with alone(folder):
        made = audit.read(folder)
        asked = list(formats) or ["summary", *Spec.model_validate(made.spec).report.formats]
        check_formats(asked)
        pages = _drawn(folder, made, asked)
        changed = any(not _is(folder / name, content) for name, content in pages.items())
        signed = (folder / attestation.FILE).exists()
        if not changed:
            put(folder, pages)
            return [folder / name for name in pages], False
        stale = [attestation.FILE] if signed else []
        put(folder, {**pages, "manifest.json": _manifest(folder, pages)}, stale)
    return [folder / name for name in pages], signed


def _drawn(folder: Path, made: Audit, formats: Sequence[str]) -> dict[str, bytes]:
    """The pages of an audit that may have been written by anybody; UnavailableError where what it tells cannot be drawn."""
    try:
        return render(made, formats)
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        # The parameters of evidence are of any shape: what a page makes of them was never checked on reading.
        what = one_line(f"{type(error).__name__}: {error}")[:200]
        raise UnavailableError(
            f"{folder / 'audit.json'}: cannot be drawn: what it tells does not fit together ({what})"
        ) from error


def sign(folder: Path, signers: Sequence[CryptoSigner]) -> tuple[str, ...]:
    """Sign a saved audit, beside those who have; the ids of the keys that have now signed.

    UnavailableError where a file is not as manifest.json has it: nobody signs what was changed unseen.
    """
    _there(folder)
    with alone(folder):
        made = audit.read(folder)
        unsigned = audit.manifest_file(folder, {})
        said = audit.manifest_file(folder, {}, signed=True)
        if not (_is(folder / "manifest.json", unsigned) or _is(folder / "manifest.json", said)):
            why = "manifest.json is not of these files, so nothing is signed; xai-audit verify says which was changed"
            raise UnavailableError(f"{folder}: {why}")
        content = _sealed(made, said, signers)
        path = folder / attestation.FILE
        if path.exists():
            content = _joined(path, content)
        put(folder, {"manifest.json": said, attestation.FILE: content})
    return tuple(sorted(signing.opened(content).signatures))


def check_formats(formats: Sequence[str]) -> None:
    """UnavailableError where a format asked for on the command line cannot be written here."""
    for name in formats:
        reason = missing_for(name)
        if reason is not None:
            raise UnavailableError(reason)


def _manifest(folder: Path, pages: Mapping[str, bytes]) -> bytes:
    """The manifest that is there with the digests of new pages; nothing else that changed since is vouched for."""
    try:
        files = dict(json.loads((folder / "manifest.json").read_bytes())["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return audit.manifest_file(folder, pages)
    files |= {name: digest.of_bytes(content) for name, content in pages.items()}
    content = {"schema": "xai-audit/manifest/1", "signed": False, "files": files}
    return (json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def _there(folder: Path) -> None:
    """UnavailableError where there is no folder, before one is made to hold."""
    if not folder.is_dir():
        audit.read(folder)


def _sealed(made: Audit, manifest: bytes, signers: Sequence[CryptoSigner]) -> bytes:
    return signing.sealed(attestation.statement(made, manifest), attestation.PAYLOAD, signers)


def _joined(path: Path, content: bytes) -> bytes:
    """The new signatures beside those that are there; UnavailableError where those are over something else."""
    try:
        return signing.joined(signing.opened(path.read_bytes()), signing.opened(content))
    except (OSError, ValueError) as error:
        why = f"the signatures that are there are not over this audit ({error}); remove the file to sign anew"
        raise UnavailableError(f"{path}: {why}") from None


def _line(made: Audit, content: bytes) -> dict[str, str]:
    system = made.spec.get("system") or {}
    return {
        "audit": digest.of_bytes(content),
        "finished": str(made.run["finished"]),
        "outcome": made.outcome,
        "system": str(system.get("name") or ""),
        "version": str(system.get("version") or ""),
    }


def _is(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False

"""Who signed an audit, and whether what they signed is what lies here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xai_audit import attestation, digest, signing
from xai_audit.verify.checks import Check

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from securesystemslib.signer import SSlibKey

    from xai_audit.audit import Audit
    from xai_audit.signing import Sealed
    from xai_audit.verify.files import Manifest

FILE = attestation.FILE


def signature(
    folder: Path, audit: Audit | None, manifest: Manifest, keys: Sequence[SSlibKey]
) -> Iterator[Check]:
    """attestation.json held to audit.json, to manifest.json and to the keys given.

    The statement is made again from both files and compared whole; a signature over anything else is broken. Without a
    key a signature cannot be checked, which is said; a key without its signature is broken.
    """
    path = folder / FILE
    if not path.exists():
        if manifest.signed:
            yield Check(
                "broken", FILE, "manifest.json says that the audit is signed, and this file is not there"
            )
        elif keys:
            yield Check("broken", FILE, f"it is not signed; a signature of {_ids(keys)} was asked for")
        else:
            yield Check("holds", FILE, "the audit is not signed, and says so")
        return
    try:
        envelope = signing.opened(path.read_bytes())
    except (OSError, ValueError) as error:
        yield Check("broken", FILE, str(error))
        return
    other = _other_manifest(folder, envelope)
    if other:
        yield Check("broken", "manifest.json", other)
    yield _says(folder, audit, envelope)
    yield from signed(FILE, envelope, keys)


def signed(file: str, envelope: Sealed, keys: Sequence[SSlibKey]) -> Iterator[Check]:
    """Whether each key signed an envelope, and what is said where none was given."""
    for key in keys:
        if signing.holds(envelope, key):
            yield Check("holds", file, f"signed by {key.keyid}")
        elif key.keyid in envelope.signatures:
            yield Check("broken", file, f"the signature of {key.keyid} does not hold")
        else:
            others = ", ".join(sorted(envelope.signatures)) or "nobody"
            yield Check("broken", file, f"not signed by {key.keyid}, but by {others}")
    if not keys and envelope.signatures:
        who = ", ".join(sorted(envelope.signatures))
        yield Check(
            "holds", file, f"it names a signature of {who}, which was not checked: --key PUB.pem checks it"
        )


def _other_manifest(folder: Path, envelope: Sealed) -> str:
    """What is wrong with manifest.json by the envelope's own word, which tells it apart from the files it names."""
    try:
        subjects = {one["name"]: one["digest"]["sha256"] for one in envelope.content()["subject"]}
        found = digest.of_file(folder / "manifest.json")
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    signed = subjects.get("manifest.json")
    return "" if signed in (None, found) else f"its sha256 is {found}, and {signed} was signed"


def _says(folder: Path, audit: Audit | None, envelope: Sealed) -> Check:
    if audit is None:
        return Check("broken", FILE, "what it says cannot be held to audit.json, which cannot be read")
    try:
        expected = attestation.statement(audit, (folder / "manifest.json").read_bytes())
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        return Check(
            "broken", FILE, f"its statement cannot be made again: {type(error).__name__}: {error}"[:200]
        )
    if envelope.payload_type != attestation.PAYLOAD or envelope.payload != expected:
        return Check(
            "broken", FILE, "it was signed over something else than this audit.json and manifest.json"
        )
    return Check("holds", FILE, "it says what audit.json and manifest.json say")


def _ids(keys: Sequence[SSlibKey]) -> str:
    return ", ".join(key.keyid for key in keys)

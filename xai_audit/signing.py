"""Keys and sealed statements: a DSSE envelope whose every byte is fixed by what it says and by who signed it."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xai_audit import digest
from xai_audit.errors import UnavailableError

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner, SSlibKey

PASSWORD = "XAI_AUDIT_KEY_PASSWORD"  # noqa: S105  # the variable's name, not a password
"""The environment variable that opens a private key which is kept under a password."""

MAX_KEY = 100_000
"""A larger file is no key and is not read."""

_KINDS = ("ed25519", "ecdsa")


@dataclass(frozen=True)
class Sealed:
    """An envelope that was read: what it says, as which type, and who says so."""

    payload: bytes
    payload_type: str
    signatures: Mapping[str, bytes]
    """By key id, the sha256 of the public key in DER form (SubjectPublicKeyInfo)."""

    def content(self) -> Any:
        """The payload as JSON; ValueError where it is none."""
        return json.loads(self.payload)


def signer(path: Path) -> CryptoSigner:
    """The private key in a PEM file: ed25519, or ECDSA on P-256, P-384 or P-521.

    UnavailableError where there is none, or it cannot be opened with the password in XAI_AUDIT_KEY_PASSWORD.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from securesystemslib.signer import CryptoSigner

    content = _read(path)
    password = os.environ.get(PASSWORD)
    try:
        private = load_pem_private_key(content, password.encode() if password else None)
    except TypeError:
        # The library's words for both: a password that is missing, and one that is given and not asked for.
        if password:
            private = _plain(path, content)
        else:
            message = f"{path}: this key is kept under a password; {PASSWORD} in the environment opens it"
            raise UnavailableError(message) from None
    except (ValueError, _unsupported()) as error:
        raise UnavailableError(f"{path}: {_why(content, error, private=True)}") from None
    public = _known(path, private.public_key())
    return CryptoSigner(private, public)


def public_key(path: Path) -> SSlibKey:
    """The public key in a PEM file; UnavailableError where there is none."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    content = _read(path)
    try:
        return _known(path, load_pem_public_key(content))
    except (ValueError, _unsupported()) as error:
        raise UnavailableError(f"{path}: {_why(content, error, private=False)}") from None


def sealed(payload: bytes, payload_type: str, signers: Sequence[CryptoSigner]) -> bytes:
    """The envelope over a payload, as canonical JSON with one signature a key, in the order of their ids."""
    from securesystemslib.dsse import Envelope

    envelope = Envelope(payload, payload_type, {})
    for one in signers:
        envelope.sign(one)
    signatures = {key: bytes.fromhex(found.signature) for key, found in envelope.signatures.items()}
    return _encoded(Sealed(payload, payload_type, signatures))


def joined(first: Sealed, second: Sealed) -> bytes:
    """One envelope with the signatures of two over the same payload; ValueError where they say different things."""
    if (first.payload, first.payload_type) != (second.payload, second.payload_type):
        raise ValueError("the two envelopes do not say the same")
    return _encoded(Sealed(first.payload, first.payload_type, {**first.signatures, **second.signatures}))


def opened(content: bytes, *, unsigned: bool = False) -> Sealed:
    """The envelope in some bytes; ValueError where they are not the one way to write it.

    One without any signature is refused, unless ``unsigned``.
    """
    try:
        found = json.loads(content)
        signatures = {one["keyid"]: _decoded(one["sig"]) for one in found["signatures"]}
        made = Sealed(_decoded(found["payload"]), str(found["payloadType"]), signatures)
    except (KeyError, TypeError, AttributeError, RecursionError, ValueError) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise ValueError(f"it is no DSSE envelope: {reason}") from None
    if not signatures and not unsigned:
        raise ValueError("it carries no signature")
    # Spaces, key order, a second way to write base64: what carries no meaning may not vary either.
    if _encoded(made) != content:
        raise ValueError("it is not written in canonical form")
    return made


def holds(envelope: Sealed, key: SSlibKey) -> bool:
    """Whether this key signed the envelope."""
    from securesystemslib.exceptions import UnverifiedSignatureError
    from securesystemslib.signer import Signature

    found = envelope.signatures.get(key.keyid)
    if found is None:
        return False
    try:
        key.verify_signature(Signature(key.keyid, found.hex()), pae(envelope))
    except UnverifiedSignatureError:
        return False
    return True


def pae(envelope: Sealed) -> bytes:
    """The bytes that are signed: DSSE's pre-authentication encoding of type and payload."""
    from securesystemslib.dsse import Envelope

    encoded: bytes = Envelope(envelope.payload, envelope.payload_type, {}).pae()
    return encoded


def _encoded(envelope: Sealed) -> bytes:
    content = {
        "payload": base64.b64encode(envelope.payload).decode(),
        "payloadType": envelope.payload_type,
        "signatures": [
            {"keyid": key, "sig": base64.b64encode(found).decode()}
            for key, found in sorted(envelope.signatures.items())
        ],
    }
    return f"{digest.canonical(content)}\n".encode()


def _decoded(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_KEY + 1)
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(content) > MAX_KEY:
        raise UnavailableError(f"{path}: a key in PEM form is asked; this file is larger than any key")
    return content


def _plain(path: Path, content: bytes) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(content, None)
    except (TypeError, ValueError) as error:
        raise UnavailableError(f"{path}: {_why(content, error, private=True)}") from None


def _unsupported() -> type[Exception]:
    from cryptography.exceptions import UnsupportedAlgorithm

    return UnsupportedAlgorithm


def _why(content: bytes, error: Exception, *, private: bool) -> str:
    """What is wrong with a file that gave no key, in words that help."""
    if private and b"ENCRYPTED" in content and os.environ.get(PASSWORD):
        return f"the password in {PASSWORD} does not open it"
    if private and b"PUBLIC KEY" in content:
        return "this is a public key; the private one signs"
    if not private and b"PRIVATE KEY" in content:
        return "this is a private key; its public half is asked: openssl pkey -in KEY -pubout"
    reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
    return f"no key in PEM form: {reason}"


def _known(path: Path, key: Any) -> SSlibKey:
    """A public key under its id, the sha256 of its DER form."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from securesystemslib.signer import SSlibKey

    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    try:
        made = SSlibKey.from_crypto(key, keyid=digest.of_bytes(der))
    except (ValueError, TypeError):
        made = None
    if made is None or made.keytype not in _KINDS:
        kind = type(key).__name__.lstrip("_").removesuffix("PublicKey")
        message = f"{path}: a key of {kind}; ed25519 or ECDSA on P-256, P-384 or P-521 is asked"
        raise UnavailableError(message)
    return made

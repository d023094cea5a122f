"""Envelopes hold for one content, one key and one way to write them; other tools read them."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.signed import key
from xai_audit import digest, signing
from xai_audit.errors import UnavailableError

KINDS = (
    ("ed25519",),
    ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
    ("ec", "-pkeyopt", "ec_paramgen_curve:P-384"),
    ("ec", "-pkeyopt", "ec_paramgen_curve:P-521"),
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return key(tmp_path_factory.mktemp("key"))


@pytest.fixture(scope="module")
def envelope(pair: tuple[Path, Path]) -> bytes:
    return signing.sealed(b'{"a":1}', "application/x", [signing.signer(pair[0])])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind[-1])
def test_what_a_key_signed_holds_for_that_key_alone(tmp_path: Path, kind: tuple[str, ...]) -> None:
    private, public = key(tmp_path, "one", *kind)
    _, other = key(tmp_path, "two", *kind)
    opened = signing.opened(signing.sealed(b"said", "application/x", [signing.signer(private)]))
    assert opened.payload == b"said"
    assert signing.holds(opened, signing.public_key(public))
    assert not signing.holds(opened, signing.public_key(other))


def test_the_key_id_is_the_digest_of_the_key(pair: tuple[Path, Path], envelope: bytes) -> None:
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-in", str(pair[1]), "-outform", "DER"], check=True, capture_output=True
    ).stdout
    assert list(signing.opened(envelope).signatures) == [digest.of_bytes(der)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind[-1])
def test_openssl_verifies_the_signature_over_the_encoding(tmp_path: Path, kind: tuple[str, ...]) -> None:
    private, public = key(tmp_path, "one", *kind)
    content = json.loads(
        signing.sealed(b'{"a":1}', "application/vnd.in-toto+json", [signing.signer(private)])
    )
    payload = base64.b64decode(content["payload"])
    # The pre-authentication encoding, written out from its specification and not by our code.
    kind_of = content["payloadType"].encode()
    encoded = b"DSSEv1 %d %s %d %s" % (len(kind_of), kind_of, len(payload), payload)
    (tmp_path / "pae").write_bytes(encoded)
    (tmp_path / "sig").write_bytes(base64.b64decode(content["signatures"][0]["sig"]))
    hashes = {"P-256": "sha256", "P-384": "sha384", "P-521": "sha512"}
    how = ["-rawin"] if kind[0] == "ed25519" else ["-rawin", "-digest", hashes[kind[-1].rpartition(":")[2]]]
    check = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(public), *how]
    check += ["-in", str(tmp_path / "pae"), "-sigfile", str(tmp_path / "sig")]
    assert b"Verified Successfully" in subprocess.run(check, check=True, capture_output=True).stdout
    (tmp_path / "pae").write_bytes(encoded + b" ")
    assert subprocess.run(check, check=False, capture_output=True).returncode != 0


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_other_bytes_are_the_same_envelope(
    envelope: bytes, pair: tuple[Path, Path], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(envelope) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != envelope[place]))
    changed = envelope[:place] + bytes([other]) + envelope[place + 1 :]
    try:
        opened = signing.opened(changed)
    except ValueError:
        return
    assert not signing.holds(opened, signing.public_key(pair[1]))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.rstrip("\n"),
        lambda text: text.replace(",", ", ", 1),
        lambda text: text.replace('"keyid"', '"keyid" ', 1),
        lambda text: text.replace("}]", '},{"keyid":"a","sig":"YQ=="}]').replace('"a"', '"0"'),
        lambda text: text.replace("==", "=", 1),
        lambda _: "[]\n",
        lambda _: "{}\n",
        lambda _: "",
        lambda _: '{"payload":"","payloadType":"x","signatures":[]}\n',
        lambda _: "[" * 100_000,
    ],
)
def test_another_way_to_write_it_is_refused(envelope: bytes, change) -> None:
    with pytest.raises(ValueError, match=r"envelope|canonical|signature"):
        signing.opened(change(envelope.decode()).encode())


def test_two_people_may_sign_the_same(tmp_path: Path) -> None:
    (one, one_public), (two, two_public) = key(tmp_path, "one"), key(tmp_path, "two")
    first = signing.opened(signing.sealed(b"said", "t", [signing.signer(one)]))
    second = signing.opened(signing.sealed(b"said", "t", [signing.signer(two)]))
    both = signing.joined(first, second)
    assert both == signing.joined(second, first)
    assert all(
        signing.holds(signing.opened(both), signing.public_key(public)) for public in (one_public, two_public)
    )
    with pytest.raises(ValueError, match="do not say the same"):
        signing.joined(first, signing.Sealed(b"other", "t", second.signatures))


@pytest.mark.parametrize(
    ("algorithm", "what"),
    [
        (("rsa",), "a key of RSA"),
        (("ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"), "a key of EC"),
        (("ed448",), "Ed448"),
    ],
)
def test_other_kinds_of_keys_are_refused_by_name(
    tmp_path: Path, algorithm: tuple[str, ...], what: str
) -> None:
    private, public = key(tmp_path, "odd", *algorithm)
    for read, path in ((signing.signer, private), (signing.public_key, public)):
        with pytest.raises(UnavailableError, match=what):
            read(path)


def test_a_file_that_is_no_key_is_told_in_one_line(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    empty, large = tmp_path / "empty.pem", tmp_path / "large.pem"
    empty.write_bytes(b"")
    large.write_bytes(b"x" * (signing.MAX_KEY + 1))
    for read, path, what in (
        (signing.signer, tmp_path / "none.pem", "cannot be read"),
        (signing.signer, tmp_path, "cannot be read"),
        (signing.signer, empty, "no key in PEM form"),
        (signing.public_key, empty, "no key in PEM form"),
        (signing.signer, large, "larger than any key"),
        (signing.signer, pair[1], "this is a public key"),
        (signing.public_key, pair[0], "this is a private key"),
    ):
        with pytest.raises(UnavailableError, match=what) as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_a_key_under_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private, public = key(tmp_path)
    locked = tmp_path / "locked.pem"
    lock = [
        "openssl",
        "pkey",
        "-in",
        str(private),
        "-aes256",
        "-passout",
        "pass:open sesame",
        "-out",
        str(locked),
    ]
    subprocess.run(lock, check=True, capture_output=True)
    monkeypatch.delenv(signing.PASSWORD, raising=False)
    with pytest.raises(UnavailableError, match=signing.PASSWORD):
        signing.signer(locked)
    monkeypatch.setenv(signing.PASSWORD, "wrong")
    with pytest.raises(UnavailableError, match="does not open it"):
        signing.signer(locked)
    monkeypatch.setenv(signing.PASSWORD, "open sesame")
    opened = signing.opened(signing.sealed(b"said", "t", [signing.signer(locked)]))
    assert signing.holds(opened, signing.public_key(public))
    # A key without a password opens whatever the variable holds.
    assert signing.signer(private).public_key.keyid == signing.public_key(public).keyid

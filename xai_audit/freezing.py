"""Thresholds and methods fixed before data are opened, and what was changed afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from xai_audit import digest, signing
from xai_audit.attestation import PAYLOAD, STATEMENT
from xai_audit.errors import UnavailableError
from xai_audit.evidence import Evidence, Scalar, exactly

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from securesystemslib.signer import CryptoSigner

    from xai_audit.signing import Sealed

METHOD = "freeze"
"""The id of the evidence that tells of it."""

FILE = "freeze.json"
"""What the freeze is called in an audit's folder."""

TITLE = "Thresholds and methods against what was frozen"

PREDICATE = "urn:xai-audit:freeze:v1"

MAX_BYTES = 5_000_000

FIXED = ("model", "data", "explainers", "metrics", "policies", "report.min_cell", "run", "overrides")
"""Keys of a spec that a freeze fixes, and of its system ``SYSTEM``; statements may still be made."""

SYSTEM = ("stage", "classification", "declared_levels", "waivers", "continual_learning")

_BY = ("id", "name", "column", "rule", "metric")
"""What an entry of a list is known by, so that one that is put before it changes nothing."""


def beside(spec_file: str) -> Path:
    """Where the freeze of a spec lies: ``audit.freeze.json`` beside ``audit.yaml``."""
    path = Path(spec_file)
    return path.with_name(f"{path.stem}.freeze.json")


def sealed(
    spec: Mapping[str, Any],
    policies: Sequence[Mapping[str, Any]],
    *,
    file: str,
    sha256: str,
    created: str,
    signers: Sequence[CryptoSigner],
) -> bytes:
    """The envelope over what is fixed: an in-toto statement on the spec and its policies; unsigned without signers."""
    subjects = [(f"spec/{file}", sha256), *((f"policy/{one['id']}", one["sha256"]) for one in policies)]
    content = {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": found}} for name, found in subjects],
        "predicateType": PREDICATE,
        "predicate": {"created": created, "spec": fixed(spec), "policies": list(policies)},
    }
    return signing.sealed(digest.canonical(content).encode(), PAYLOAD, signers)


def read(path: Path) -> bytes | None:
    """The bytes of a freeze; None where there is no such file, UnavailableError where it is none."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UnavailableError(f"{path}: {path.stat().st_size:,} bytes are no freeze of a spec")
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        opened(content)
    except ValueError as error:
        raise UnavailableError(f"{path}: not as `xai-audit freeze` wrote it: {error}") from None
    return content


def opened(content: bytes) -> tuple[Sealed, Mapping[str, Any]]:
    """The envelope of a freeze and its predicate; ValueError where it is none."""
    envelope = signing.opened(content, unsigned=True)
    said = envelope.content()
    predicate = said.get("predicate") if isinstance(said, dict) else None
    if not isinstance(predicate, dict) or said.get("predicateType") != PREDICATE:
        raise ValueError("it is no freeze of a spec")
    whole = isinstance(predicate.get("spec"), dict) and isinstance(predicate.get("policies"), list)
    if not whole or digest.canonical(said).encode() != envelope.payload:
        raise ValueError("what it fixes cannot be read")
    return envelope, predicate


def fixed(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What a freeze fixes of a spec as audit.json keeps it."""
    found: dict[str, Any] = {}
    for path in (*FIXED, *(f"system.{key}" for key in SYSTEM)):
        above, _, key = path.rpartition(".")
        held = spec.get(above) if above else spec
        if isinstance(held, dict) and key in held:
            found[path] = held[key]
    return found


def observed(content: bytes, spec: Mapping[str, Any], policies: Sequence[Mapping[str, Any]]) -> Evidence:
    """How many fixed things are otherwise now, each with its place and both values; ValueError for no freeze."""
    envelope, predicate = opened(content)
    found = [
        *_changes("", predicate["spec"], fixed(spec)),
        *_changes("policy", predicate["policies"], list(policies)),
    ]
    limits = ["It shows when something was fixed, not that nobody had seen the data before."]
    if not envelope.signatures:
        limits.append("It is unsigned: whoever can write the file can write another.")
    return Evidence(
        id=METHOD,
        method=METHOD,
        kind="record",
        title=TITLE,
        status="measured",
        measures="How many settings, methods and thresholds differ from what was frozen before the run.",
        limits=tuple(limits),
        params={
            "sha256": digest.of_bytes(content),
            "created": str(predicate.get("created")),
            "keys": sorted(envelope.signatures),
            "changes": found,
        },
        observation=Scalar(estimate=exactly(len(found), _count(predicate)), unit="changes"),
    )


def absent(policies: Sequence[Mapping[str, Any]]) -> Iterator[Evidence]:
    """What is said where a rule asks for a freeze and nothing was frozen."""
    if any(rule.get("evidence") == METHOD for policy in policies for rule in policy["rules"]):
        reason = "nothing was frozen before the run; xai-audit freeze does that"
        yield Evidence(id=METHOD, method=METHOD, kind="record", title=TITLE, status="skipped", reason=reason)


def _changes(path: str, before: Any, now: Any) -> Iterator[dict[str, Any]]:
    """Each place at which two values differ, with what stood there (None: nothing)."""
    before, now = _named(before), _named(now)
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted({*before, *now}):
            if _is_place(key, before.get(key, now.get(key))):
                continue
            below = f"{path}.{key}" if path else key
            if key not in before or key not in now:
                yield {"at": below, "frozen": _placeless(before.get(key)), "now": _placeless(now.get(key))}
            else:
                yield from _changes(below, before[key], now[key])
    elif digest.canonical(before) != digest.canonical(now):  # 1, 1.0 and true are three
        yield {"at": path, "frozen": before, "now": now}


def _is_place(key: str, value: Any) -> bool:
    """Whether this says where a method stands in its file, and nothing of the method."""
    return key in ("line", "column") and isinstance(value, int)


def _placeless(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: inner for key, inner in value.items() if not _is_place(key, inner)}


def _count(value: Any) -> int:
    """How many single settings some content holds."""
    if isinstance(value, (dict, list)):
        return sum(map(_count, value.values() if isinstance(value, dict) else value))
    return 1


def _named(value: Any) -> Any:
    """A list of entries as a mapping by what they are known by; anything else as it is."""
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        return value
    for key in _BY:
        names = [one.get(key) for one in value]
        if all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
            return dict(zip(names, value, strict=True))
    return value

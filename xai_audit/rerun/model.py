"""Whether a model file or folder is the audited one, by its digest and without opening it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from xai_audit import digest
from xai_audit.errors import UnavailableError
from xai_audit.verify.checks import Check

if TYPE_CHECKING:
    from xai_audit.audit import Audit


def model_is(audit: Audit, path: str) -> Check:
    """Whether a file, a folder or a URL has the digest of the audited model.

    Of a folder it is the digest over its files. A torch network of weights and an entry is told by its weights; that
    weights and entry together make the audited digest is checked by arithmetic. A URL is compared as it is
    written: which model answers behind it, only its answers tell. UnavailableError where nothing lies there.
    """
    about = described(audit)
    if about is None:
        return _nothing(audit)
    expected, form = about["sha256"], about["format"]
    if form == "http":
        return _told(path, digest.of_value({"url": path}), expected, "URL")
    details = about["details"]
    parts = [str(details[key]) for key in ("weights_sha256", "entry_sha256") if key in details]
    found = _digest(path, form)
    if form != "torch" or len(parts) < 2:
        return _told(path, found, expected, "model")
    if not all(_is_digest(one) for one in parts) or digest.root(parts) != expected:
        what = "the digests of weights and entry in audit.json do not make the digest of the model"
        return Check("broken", "model", what)
    return _told(path, found, parts[0], "file of weights")


def described(audit: Audit) -> dict[str, Any] | None:
    """What audit.json says of the model, of the types it is written with; None for an audit of predictions."""
    found = audit.subject.get("model")
    if found is None:
        return None
    details = found.get("details", {}) if isinstance(found, dict) else None
    words = [found.get(key) for key in ("format", "sha256")] if isinstance(found, dict) else []
    if not isinstance(details, dict) or not words or not all(isinstance(word, str) for word in words):
        raise UnavailableError("audit.json: subject.model is not written as an audit has it")
    return {**found, "details": details}


def _nothing(audit: Audit) -> Check:
    named = audit.spec.get("model")
    if isinstance(named, dict) and any(named.get(key) for key in ("path", "entry", "url")):
        return Check("broken", "model", "audit.json describes no model, and its spec names one")
    return Check("unchecked", "model", "this audit was made of predictions: there is no model")


def _told(path: str, found: str, expected: str, what: str) -> Check:
    if found == expected:
        return Check("holds", "model", f"{path} is {what} that was audited: sha256 {found}")
    return Check(
        "broken", "model", f"{path} has sha256 {found}; {what} that was audited has {expected[:64]!r}"
    )


def _digest(path: str, form: str) -> str:
    """As the loaders compute it."""
    file = file_of(path)
    try:
        if file.is_file():
            return digest.of_file(file)
        if not file.is_dir():
            raise UnavailableError(f"{path}: no such model; --model says where it is")
        if form not in {"transformers", "mlflow"}:
            raise UnavailableError(f"{path} is a folder; the audited model is a file of format {form[:40]!r}")
        return digest.of_folder(file)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UnavailableError(f"{path}: cannot be read: {reason}") from None


def file_of(path: str) -> Path:
    """The file of ``module.py:function``, else the path as it is."""
    place, colon, _ = path.rpartition(".py:")
    return Path(f"{place}.py" if colon else path)


def _is_digest(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")

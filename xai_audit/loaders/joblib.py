"""joblib and pickle files, which run code when opened: only with ``trust: true`` and a matching sha256."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from xai_audit.errors import SpecError
from xai_audit.loaders.artefact import scan
from xai_audit.loaders.estimators import open_estimator
from xai_audit.loaders.mistakes import content

if TYPE_CHECKING:
    from xai_audit.loaders.mistakes import Mistakes
    from xai_audit.loaders.opened import Opened


def open_model(mistakes: Mistakes) -> Opened:
    """The estimator of a joblib or pickle file; its digest is checked and its opcodes read before opening.

    SpecError where trust or sha256 is not stated (exit 2), where the digest differs or nothing can be
    loaded (4).
    """
    spec = mistakes.spec.model
    assert spec.path is not None
    format_ = (
        "joblib"
        if spec.format == "joblib" or (spec.format is None and spec.path.endswith(".joblib"))
        else "pickle"
    )
    trusted(mistakes, format_)
    data, sha256 = content(mistakes.spec.resolve(spec.path), spec.path, spec.sha256, "model.path", mistakes)
    artefact = scan(data).facts()
    try:
        # The bytes that were digested are the bytes that are opened.
        estimator = _load(data)
    except Exception as error:  # noqa: BLE001 - unpickling may raise anything
        reason = (str(error).splitlines() or [""])[0][:200]
        mistakes.at(
            "model.path", f"{spec.path} cannot be opened: {type(error).__name__}: {reason}", missing=True
        )
        raise SpecError(mistakes.told()) from None
    return open_estimator(estimator, format_, sha256, mistakes, artefact=artefact)


def _load(data: bytes) -> object:
    import joblib

    # joblib reads plain pickles too, and compressed ones of both.
    return joblib.load(io.BytesIO(data))


def trusted(mistakes: Mistakes, format_: str) -> None:
    """Raise SpecError where the spec does not vouch for a format that runs code."""
    spec = mistakes.spec.model
    name = spec.path or spec.entry
    if not spec.trust:
        what = (
            f"{name}: opening {format_} runs code in the file; if you know where it comes from, write under "
            "model: trust: true and sha256: <digest> (or save the model as skops)"
        )
        mistakes.at("model.trust", what)
    if spec.sha256 is None:
        mistakes.at("model.sha256", f"{name}: {format_} is opened only with the sha256 of the file you trust")
    mistakes.check()

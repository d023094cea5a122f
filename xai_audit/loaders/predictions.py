"""Predictions without a model: score and decision columns of the test table, never features."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xai_audit.loaders.mistakes import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xai_audit.loaders.mistakes import Mistakes


def columns(mistakes: Mistakes, known: Iterable[str]) -> tuple[str | None, str | None]:
    """The score and the prediction column, None for one that is not given; mistakes are noted."""
    spec, names = mistakes.spec.model, list(known)
    if spec.score is None and spec.prediction is None:
        mistakes.at("model", "format predictions needs score: or prediction:, a column of the test data")
    for key, name in (("score", spec.score), ("prediction", spec.prediction)):
        if name is not None and name not in names:
            path = mistakes.spec.data.test.path
            mistakes.at(f"model.{key}", f"no column named {name!r} in {path}{suggestion(name, names)}")
    features = mistakes.spec.data.features or ()
    for key, name in (("score", spec.score), ("prediction", spec.prediction)):
        if name in features:
            mistakes.at("data.features", f"{name!r} is the {key} column; a prediction is no feature")
    return spec.score, spec.prediction

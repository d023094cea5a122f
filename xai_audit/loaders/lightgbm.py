"""LightGBM boosters saved as text: the objective says what is predicted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.errors import SpecError
from xai_audit.loaders.boosted import check_lightgbm
from xai_audit.loaders.mistakes import content
from xai_audit.loaders.opened import Opened, Output, pair, two_sided
from xai_audit.loaders.trial import survives
from xai_audit.loaders.xgboost import required, version_of

if TYPE_CHECKING:
    from xai_audit.loaders.mistakes import Mistakes

_REGRESSIONS = frozenset(
    ["regression", "regression_l1", "huber", "fair", "poisson", "quantile", "mape", "gamma", "tweedie"]
)


@dataclass(eq=False)
class BoosterAnswer:
    """Asks a booster on one thread."""

    native: Any
    output: Output
    k: int

    def scores(self, x: Any) -> NDArray[np.float64]:
        """Probabilities of shape (rows, classes), or predicted numbers."""
        found = np.asarray(self.native.predict(x, num_threads=1), dtype=np.float64)
        if self.output == "probabilities" and found.ndim == 1:
            return pair(found, second=True)
        return found.reshape(len(found), -1)

    def margin(self, x: Any) -> NDArray[np.float64] | None:
        """Sums of leaves before the link; ``[-m, m]`` for two classes."""
        raw = np.asarray(self.native.predict(x, num_threads=1, raw_score=True), dtype=np.float64)
        return two_sided(raw) if self.k == 2 and raw.ndim == 1 else raw.reshape(len(raw), -1)


def open_model(mistakes: Mistakes) -> Opened:
    """The booster of a LightGBM text file; SpecError where it is none or ranks."""
    spec = mistakes.spec.model
    assert spec.path is not None
    data, sha256 = content(mistakes.spec.resolve(spec.path), spec.path, spec.sha256, "model.path", mistakes)
    lightgbm = required("lightgbm", "boosting", mistakes)
    try:
        text = data.decode("utf-8")
        _check(text, data)
        booster = lightgbm.Booster(model_str=text)
        header = dict(
            line.split("=", 1) for line in text.partition("\nTree=0")[0].splitlines() if "=" in line
        )
        objective = header.get("objective", "")
        task, output, k = _meaning(objective, int(header.get("num_class", "1")), mistakes)
        names = tuple(str(name) for name in booster.feature_name())
        named = None if all(re.fullmatch(r"Column_\d+", name) for name in names) else names
        kinds = categories(booster, named or names)
    except (lightgbm.basic.LightGBMError, ValueError, KeyError, OverflowError, TypeError) as error:
        reason = (str(error).splitlines() or [""])[0][:150]
        mistakes.at("model.path", f"{spec.path} cannot be read as a LightGBM model: {reason}", missing=True)
        raise SpecError(mistakes.told()) from None
    return Opened(
        format="lightgbm",
        sha256=sha256,
        answer=BoosterAnswer(booster, output, k),
        output=output,
        takes="frame" if named is not None else "array",
        task=task,  # type: ignore[arg-type]
        classes=tuple(range(k)) if task == "classification" else None,
        generic=True,
        features=named,
        n_features=len(names),
        words=frozenset(name for name, known in kinds.items() if known and isinstance(known[0], str)),
        levels={name: tuple(map(str, known)) for name, known in kinds.items() if known},
        categories=kinds,
        native=booster,
        details={
            "type": "lightgbm.Booster",
            "output": output,
            "objective": objective,
            "trees": int(booster.num_trees()),
            "versions": {"lightgbm": version_of("lightgbm")},
        },
    )


def _check(text: str, data: bytes) -> None:
    """Raise ValueError where the file is no whole model; LightGBM would end the process on some."""
    if not text.startswith("tree") or "\nend of trees" not in text:
        message = "it does not run from 'tree' to 'end of trees'"
        raise ValueError(message)
    check_lightgbm(text)
    refused = survives("lightgbm", data)
    if refused is not None:
        raise ValueError(refused)


def _meaning(objective: str, k: int, mistakes: Mistakes) -> tuple[str, Output, int]:
    name = objective.partition(" ")[0]
    if name == "binary":
        return "classification", "probabilities", 2
    if name in ("multiclass", "multiclassova"):
        return "classification", "probabilities", k
    if name in _REGRESSIONS:
        return "regression", "values", 0
    what = f"the objective {name or '(none)'} is neither a classification nor a regression of one number"
    mistakes.at("model.path", what)
    raise SpecError(mistakes.told())


def categories(booster: Any, names: Sequence[str]) -> dict[str, tuple[Any, ...] | None]:
    """The columns a booster knows as pandas categories, with these; ValueError where they cannot be told."""
    stored = booster.pandas_categorical
    if not stored:
        return {}
    line = next(
        line
        for line in booster.model_to_string(num_iteration=1).splitlines()
        if line.startswith("feature_infos=")
    )
    infos = line.partition("=")[2].split(" ")
    columns = [
        name for name, info in zip(names, infos, strict=True) if ":" in info and not info.startswith("[")
    ]
    if len(columns) != len(stored):
        message = f"{len(stored)} categorical columns are stored and {len(columns)} can be told apart"
        raise ValueError(message)
    return {name: tuple(known) for name, known in zip(columns, stored, strict=True)}

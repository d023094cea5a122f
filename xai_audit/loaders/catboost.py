"""CatBoost models in their own format (.cbm), which carries no code: the loss says what is predicted.

Engines that read a library's own object are given none: they know no trees with hashed categories, so what explains
such a model asks it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.errors import SpecError
from xai_audit.loaders.mistakes import content
from xai_audit.loaders.opened import Opened, Output, two_sided
from xai_audit.loaders.trial import survives
from xai_audit.loaders.xgboost import required, version_of

if TYPE_CHECKING:
    from xai_audit.loaders.mistakes import Mistakes

_TWO = frozenset(["Logloss", "CrossEntropy", "Focal"])
_REGRESSIONS = frozenset(
    (
        *("RMSE", "MAE", "Quantile", "MAPE", "Poisson", "Tweedie", "Lq", "Expectile", "Huber", "LogCosh"),
        "LogLinQuantile",
    )
)
_EXPONENTS = frozenset(["Poisson", "Tweedie"])
"""Losses of the logarithm of the mean; CatBoost's own regressor gives the exponent."""
GONE = "nan"
"""The word that a missing category is given as: what pandas writes for it."""


@dataclass(eq=False)
class CatBoostAnswer:
    """Asks a model on one thread."""

    model: Any
    output: Output
    k: int
    exponent: bool
    names: tuple[str, ...]
    words: tuple[int, ...]
    """Positions of the columns that are categories or texts."""

    def scores(self, x: Any) -> NDArray[np.float64]:
        """Probabilities of shape (rows, classes), sigmoids of margins one against all, or predicted numbers."""
        if self.output == "values":
            return self._ask(x, "Exponent" if self.exponent else "RawFormulaVal").reshape(-1, 1)
        if self.output == "decision":
            return self._ask(x, "RawFormulaVal").reshape(len(x), -1)
        return self._ask(x, "Probability").reshape(len(x), -1)

    def margin(self, x: Any) -> NDArray[np.float64] | None:
        """Sums of leaves, scale and bias before the link; ``[-m, m]`` for two classes."""
        raw = self._ask(x, "RawFormulaVal")
        return two_sided(raw.reshape(-1)) if self.k == 2 and raw.size == len(raw) else raw.reshape(len(x), -1)

    def _ask(self, x: Any, kind: str) -> NDArray[np.float64]:
        import pandas as pd

        if isinstance(x, np.ndarray):
            given: Any = x
        else:
            columns = {
                name: _words(x.iloc[:, place])
                if place in self.words
                else x.iloc[:, place].to_numpy(dtype=np.float64)
                for place, name in enumerate(self.names)
            }
            given = pd.DataFrame(columns)
        return np.asarray(self.model.predict(given, prediction_type=kind, thread_count=1), dtype=np.float64)


def _words(values: Any) -> NDArray[np.object_]:
    return np.array([_word(value) for value in values.tolist()], dtype=object)


def _word(value: Any) -> str:
    """A category as CatBoost hashes it: ``1`` for 1 and True."""
    if value is None or value != value:  # noqa: PLR0124 - NaN alone differs from itself
        return GONE
    if isinstance(value, (bool, float)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def open_model(mistakes: Mistakes) -> Opened:
    """The model of a .cbm file; SpecError where it is none, ranks, times events or has several outputs."""
    spec = mistakes.spec.model
    assert spec.path is not None
    data, sha256 = content(mistakes.spec.resolve(spec.path), spec.path, spec.sha256, "model.path", mistakes)
    catboost = required("catboost", "boosting", mistakes)
    refused = survives("catboost", data) if data.startswith(b"CBM1") else "it does not begin with CBM1"
    model = catboost.CatBoost()
    loss = ""
    if refused is None:
        try:
            model.load_model(blob=data)
            loss = str(json.loads(model.get_metadata()["params"])["loss_function"]["type"])
        except (catboost.CatBoostError, ValueError, KeyError, TypeError) as error:
            refused = (str(error).splitlines() or [""])[0][:150]
    if refused is not None:
        mistakes.at("model.path", f"{spec.path} cannot be read as a CatBoost model: {refused}", missing=True)
        raise SpecError(mistakes.told())
    classes = tuple(np.asarray(model.classes_).tolist())
    task, output = _meaning(loss, len(classes), mistakes)
    if model.get_embedding_feature_indices():
        mistakes.at("model.path", "the model takes embeddings; numbers, categories and texts are read")
        raise SpecError(mistakes.told())
    names = tuple(str(name) for name in model.feature_names_)
    # CatBoost calls the columns of a bare array by their places.
    named = names if names != tuple(str(place) for place in range(len(names))) else None
    categories = tuple(int(place) for place in model.get_cat_feature_indices())
    texts = tuple(int(place) for place in model.get_text_feature_indices())
    words = tuple(sorted({*categories, *texts}))
    return Opened(
        format="catboost",
        sha256=sha256,
        answer=CatBoostAnswer(model, output, len(classes), loss in _EXPONENTS, names, words),
        output=output,
        takes="frame" if named is not None or words else "array",
        task=task,  # type: ignore[arg-type]
        classes=classes or None,
        generic=bool(classes) and list(classes) == list(range(len(classes))),
        features=named,
        n_features=len(names),
        words=frozenset(names[place] for place in texts) if named is not None else frozenset(),
        # It keeps hashes of the levels, not the levels.
        categories={names[place]: None for place in categories} if named is not None else {},
        details={
            "type": "catboost.CatBoost",
            "output": output,
            "objective": loss,
            "trees": int(model.tree_count_),
            "categorical": [names[place] for place in categories],
            "versions": {"catboost": version_of("catboost")},
        },
        notes=(
            f"a missing category is given to CatBoost as the word {GONE!r}, a whole number as 1 and not 1.0",
        )
        if words
        else (),
    )


def _meaning(loss: str, k: int, mistakes: Mistakes) -> tuple[str, Output]:
    if loss in _TWO and k == 2:
        return "classification", "probabilities"
    if loss == "MultiClass":
        return "classification", "probabilities"
    if loss == "MultiClassOneVsAll":
        # Each class has a sigmoid of its own: they do not add up to one, their margins rank alike.
        return "classification", "decision"
    if loss in _REGRESSIONS:
        return "regression", "values"
    what = f"the loss {loss} is neither a classification nor a regression of one number"
    mistakes.at("model.path", what)
    raise SpecError(mistakes.told())

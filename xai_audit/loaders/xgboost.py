"""XGBoost boosters saved as JSON or UBJSON: the objective says what is predicted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.errors import SpecError
from xai_audit.loaders.boosted import check_xgboost
from xai_audit.loaders.mistakes import content
from xai_audit.loaders.opened import Opened, Output, one_hot, pair, two_sided
from xai_audit.loaders.trial import survives

if TYPE_CHECKING:
    from xai_audit.loaders.mistakes import Mistakes


@dataclass(eq=False)
class BoosterAnswer:
    """Asks a booster on one thread, with the trees up to the best iteration where training stopped early."""

    native: Any
    output: Output
    k: int
    names: tuple[str, ...] | None
    rounds: tuple[int, int]

    def scores(self, x: Any) -> NDArray[np.float64]:
        """Probabilities of shape (rows, classes), decisions as 0 and 1, or predicted numbers."""
        if self.output == "probabilities" and self.k > 2:
            # multi:softmax gives labels, multi:softprob probabilities; both have the same margins.
            raw = self._ask(x, margin=True)
            powers = np.exp(raw - raw.max(axis=1, keepdims=True))
            return np.asarray(powers / powers.sum(axis=1, keepdims=True))
        found = self._ask(x)
        if self.output == "probabilities":
            return pair(found.reshape(-1), second=True)
        if self.output == "decision":
            return two_sided(found.reshape(-1))
        if self.output == "labels":
            return one_hot(found.reshape(-1).astype(np.int64), self.k)
        return found.reshape(len(found), -1)

    def margin(self, x: Any) -> NDArray[np.float64] | None:
        """Sums of leaves and base score before the link; ``[-m, m]`` for two classes."""
        raw = self._ask(x, margin=True)
        return two_sided(raw.reshape(-1)) if self.k == 2 else raw.reshape(len(raw), -1)

    def _ask(self, x: Any, *, margin: bool = False) -> NDArray[np.float64]:
        xgboost = import_module("xgboost")
        names = list(self.names) if self.names is not None and isinstance(x, np.ndarray) else None
        matrix = xgboost.DMatrix(x, nthread=1, enable_categorical=True, feature_names=names)
        self.native.set_param({"nthread": 1})
        return np.asarray(
            self.native.predict(matrix, output_margin=margin, iteration_range=self.rounds), dtype=np.float64
        )


def open_model(mistakes: Mistakes) -> Opened:
    """The booster of a JSON or UBJSON file; SpecError where it is none or ranks or times events."""
    spec = mistakes.spec.model
    assert spec.path is not None
    data, sha256 = content(mistakes.spec.resolve(spec.path), spec.path, spec.sha256, "model.path", mistakes)
    xgboost = required("xgboost", "boosting", mistakes)
    refused = survives("xgboost", data)
    if refused is not None:
        what = f"{spec.path} cannot be read as an XGBoost model: {refused}"
        mistakes.at("model.path", what, missing=True)
        raise SpecError(mistakes.told())
    booster = xgboost.Booster()
    booster.load_model(bytearray(data))
    learner = json.loads(booster.save_config())["learner"]
    try:
        check_xgboost(json.loads(bytes(booster.save_raw("json")))["learner"])
    except (ValueError, KeyError, TypeError) as error:
        mistakes.at("model.path", f"{spec.path} cannot be read as an XGBoost model: {error}", missing=True)
        raise SpecError(mistakes.told()) from None
    booster.set_param({"nthread": 1})
    objective = str(learner["learner_train_param"]["objective"])
    k = max(int(learner["learner_model_param"]["num_class"]), 0)
    task, output = meaning(objective, k, mistakes)
    classes = tuple(range(k or 2)) if task == "classification" else None
    best = booster.attr("best_iteration")
    rounds = (0, int(best) + 1) if best is not None else (0, 0)
    named = tuple(booster.feature_names) if booster.feature_names else None
    kinds = categories(booster, named or ())
    trees = booster.num_boosted_rounds()
    notes = (
        (f"of {trees} boosting rounds the first {rounds[1]} are used, the best in training",)
        if rounds[1] and rounds[1] < trees
        else ()
    )
    return Opened(
        format="xgboost",
        sha256=sha256,
        answer=BoosterAnswer(booster, output, len(classes or ()), named, rounds),
        output=output,
        takes="frame" if named is not None else "array",
        task=task,  # type: ignore[arg-type]
        classes=classes,
        generic=True,
        features=named,
        n_features=int(booster.num_features()),
        words=frozenset(name for name, known in kinds.items() if known and isinstance(known[0], str)),
        levels={name: tuple(map(str, known)) for name, known in kinds.items() if known},
        categories=kinds,
        native=booster,
        details={
            "type": "xgboost.Booster",
            "output": output,
            "objective": objective,
            "booster": learner["learner_train_param"].get("booster"),
            "rounds": trees,
            "versions": {"xgboost": version_of("xgboost", "xgboost-cpu")},
        },
        notes=(*notes, *_cut(kinds)),
    )


def _cut(kinds: dict[str, tuple[Any, ...] | None]) -> list[str]:
    """A note on levels whose names XGBoost keeps only in part."""
    return [
        f"XGBoost stores the levels of {name!r} cut short, as it does with names that are not ASCII; levels "
        "that begin alike may be taken for one"
        for name, known in kinds.items()
        if known is None
    ]


def meaning(objective: str, k: int, mistakes: Mistakes) -> tuple[str, Output]:
    """The task and the output of an objective; SpecError for ranking and survival."""
    name = objective.partition(":")[0]
    if objective in ("binary:logistic", "multi:softprob", "multi:softmax"):
        return "classification", "probabilities"
    if objective == "binary:logitraw":
        return "classification", "decision"
    if objective == "binary:hinge":
        return "classification", "labels"
    if name in ("reg", "count") and k <= 1:
        return "regression", "values"
    what = f"the objective {objective} is neither a classification nor a regression of one number"
    mistakes.at("model.path", what)
    raise SpecError(mistakes.told())


def categories(booster: Any, names: Sequence[str]) -> dict[str, tuple[Any, ...] | None]:
    """The categorical columns of a booster with the categories it stores, None where it stores none."""
    kinds = booster.feature_types or []
    columns = [name for name, kind in zip(names, kinds, strict=False) if kind == "c"]
    if not columns:
        return {}
    if not hasattr(booster, "get_categories"):
        return {}
    try:
        found = booster.get_categories(export_to_arrow=True).to_arrow() or []
        stored = {name: tuple(values.to_pylist()) for name, values in found if values is not None}
    except UnicodeDecodeError:
        # XGBoost 3.2 cuts names that are not ASCII, in models and in data alike; it still finds them itself.
        return dict.fromkeys(columns)
    return {name: stored[name] for name in columns if name in stored}


def required(module: str, extra: str, mistakes: Mistakes) -> Any:
    """A library that only some formats need; SpecError (exit 4) says how to install it."""
    try:
        return import_module(module)
    except ImportError:
        what = f"reading this model needs {module}: pip install 'xai-audit[{extra}]'"
        mistakes.at("model.path", what, missing=True)
        raise SpecError(mistakes.told()) from None


def version_of(*names: str) -> str:
    """The version of the first of these distributions that is installed."""
    from importlib.metadata import PackageNotFoundError

    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "unknown"

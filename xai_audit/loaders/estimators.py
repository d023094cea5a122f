"""scikit-learn-like objects: what they take, what they answer and what can be said of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.errors import SpecError
from xai_audit.loaders.labels import word
from xai_audit.loaders.opened import Opened, Output, one_hot, two_sided

if TYPE_CHECKING:
    from xai_audit.loaders.mistakes import Mistakes


@dataclass(eq=False)
class EstimatorAnswer:
    """Asks an estimator."""

    native: Any
    output: Output
    classes: tuple[Any, ...]

    def scores(self, x: Any) -> NDArray[np.float64]:
        """Probabilities, decision values, decisions as 0 and 1, or predicted numbers."""
        if self.output == "probabilities":
            return np.asarray(self.native.predict_proba(x), dtype=np.float64)
        if self.output == "decision":
            margin = self.margin(x)
            assert margin is not None
            return margin
        found = np.asarray(self.native.predict(x))
        if self.output == "labels":
            order = np.argsort(np.asarray(self.classes))
            places = order[np.searchsorted(np.asarray(self.classes)[order], found)]
            return one_hot(places, len(self.classes))
        return found.astype(np.float64).reshape(len(found), -1)

    def margin(self, x: Any) -> NDArray[np.float64] | None:
        """decision_function; ``[-m, m]`` for two classes."""
        if not self.classes or not hasattr(self.native, "decision_function"):
            return None
        found = np.asarray(self.native.decision_function(x), dtype=np.float64)
        if found.ndim == 2 and found.shape[1] == 1:
            found = found[:, 0]
        if found.ndim == 1:
            return two_sided(found)
        return found if found.shape[1] == len(self.classes) else None


def open_estimator(estimator: Any, format_: str, sha256: str, mistakes: Mistakes, **more: Any) -> Opened:
    """An estimator as a model; SpecError where it is no fitted classifier or regressor with one output.

    ``n_jobs`` becomes 1 and ``verbose`` 0 in every nested estimator: a forest adds its trees in the order
    threads finish, so two runs with more differ in their last bits.
    """
    _fitted(estimator, mistakes)
    for part in nested(estimator):
        quiet(part)
    task = _task(estimator, mistakes)
    classes = _classes(estimator, mistakes) if task == "classification" else ()
    output = _output(estimator, classes) if task == "classification" else "values"
    features, n_features = _features(estimator)
    words, levels = _levels(estimator)
    categories = _categories(estimator, features)
    return Opened(
        format=format_,
        sha256=sha256,
        answer=EstimatorAnswer(estimator, output, classes),
        output=output,
        takes="array" if features is None else "frame",
        task=task,  # type: ignore[arg-type]
        classes=classes or None,
        generic=bool(classes) and list(classes) == list(range(len(classes))),
        features=features,
        n_features=n_features,
        words=words,
        levels=levels,
        categories=categories,
        native=estimator,
        details={"output": output, **described(estimator)},
        **more,
    )


def nested(root: Any) -> Iterator[Any]:
    """Every object with attributes of its own inside a fitted estimator, itself first."""
    seen: set[int] = set()
    stack = [root]
    while stack:
        item = stack.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, Mapping):
            stack.extend(item.values())
        elif isinstance(item, (list, tuple, set)):
            stack.extend(item)
        elif isinstance(item, np.ndarray):
            if item.dtype == object:
                stack.extend(item.reshape(-1).tolist())
        elif not isinstance(item, type) and (type(item).__module__ or "").partition(".")[0] != "builtins":
            yield item
            stack.extend(getattr(item, "__dict__", {}).values())
            if callable(getattr(item, "args", None)) is False and type(item).__name__ == "partial":
                stack.extend([item.func, *item.args, *item.keywords.values()])


def quiet(part: Any) -> None:
    """One thread, nothing printed."""
    own = getattr(part, "__dict__", {})
    if "n_jobs" in own:
        part.n_jobs = 1
    if isinstance(own.get("verbose"), (int, bool)) and own["verbose"] and hasattr(part, "get_params"):
        part.verbose = 0
    if type(part).__module__.startswith("xgboost.") and type(part).__name__ == "Booster":
        part.set_param({"nthread": 1})


def _fitted(estimator: Any, mistakes: Mistakes) -> None:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    name = type(estimator).__name__
    if isinstance(estimator, type) or not hasattr(estimator, "predict"):
        mistakes.at(
            "model.path", f"the file holds a {name}, which has no predict; save the fitted model itself"
        )
        raise SpecError(mistakes.told())
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        mistakes.at("model.path", f"this {name} is not fitted; save it after fit")
        raise SpecError(mistakes.told()) from None
    except TypeError:
        return  # not scikit-learn's own kind of object; whether it works shows when it is asked


def _task(estimator: Any, mistakes: Mistakes) -> str | None:
    from sklearn.base import is_classifier, is_regressor

    for test, task in ((is_classifier, "classification"), (is_regressor, "regression")):
        try:
            if test(estimator):
                return task
        except AttributeError:
            continue
    if hasattr(estimator, "classes_"):
        return "classification"
    if (
        hasattr(estimator, "transform")
        or hasattr(estimator, "score_samples")
        or hasattr(estimator, "fit_predict")
    ):
        mistakes.at("model.path", f"{type(estimator).__name__} is neither a classifier nor a regressor")
        raise SpecError(mistakes.told())
    return mistakes.spec.model.task or "regression"


def _classes(estimator: Any, mistakes: Mistakes) -> tuple[Any, ...]:
    found = getattr(estimator, "classes_", None)
    if found is None or (isinstance(found, list) and found and isinstance(found[0], np.ndarray)):
        what = "it says no classes" if found is None else "it has several outputs"
        mistakes.at("model.path", f"{type(estimator).__name__}: {what}; a classifier of one target is asked")
        raise SpecError(mistakes.told())
    return tuple(np.asarray(found).tolist())


def _output(estimator: Any, classes: tuple[Any, ...]) -> Output:
    if hasattr(estimator, "predict_proba"):
        return "probabilities"
    # One against one gives a column for each pair of classes, which are no scores of classes.
    pairs = any(getattr(part, "decision_function_shape", "") == "ovo" for part in nested(estimator))
    if hasattr(estimator, "decision_function") and not (pairs and len(classes) > 2):
        return "decision"
    return "labels"


def _features(estimator: Any) -> tuple[tuple[str, ...] | None, int | None]:
    names = getattr(estimator, "feature_names_in_", None)
    count = getattr(estimator, "n_features_in_", None)
    if names is None or any(not isinstance(name, str) for name in names):
        return None, None if count is None else int(count)
    named = tuple(str(name) for name in names)
    if all(re.fullmatch(r"Column_\d+", name) for name in named):
        return None, len(named)  # what LightGBM calls the columns of a bare array
    first = _first_step(estimator)
    if type(first).__name__ == "ColumnTransformer":
        used = {
            index
            for _, part, columns in first.transformers_
            if not (isinstance(part, str) and part == "drop")
            for index in _positions(columns, named)
        }
        named = tuple(name for index, name in enumerate(named) if index in used)
    return named, len(named)


def _first_step(estimator: Any) -> Any:
    while type(estimator).__name__ == "Pipeline":
        estimator = estimator.steps[0][1]
    return estimator


def _positions(columns: Any, names: tuple[str, ...]) -> list[int]:
    """Indices of a ColumnTransformer's columns, however they are written."""
    if isinstance(columns, str):
        columns = [columns]
    if isinstance(columns, (int, np.integer)):
        columns = [int(columns)]
    if isinstance(columns, slice):
        start = names.index(columns.start) if isinstance(columns.start, str) else columns.start
        stop = names.index(columns.stop) + 1 if isinstance(columns.stop, str) else columns.stop
        return list(range(len(names)))[slice(start, stop, columns.step)]
    listed = list(columns)
    if listed and all(isinstance(flag, (bool, np.bool_)) for flag in listed):
        return [index for index, flag in enumerate(listed) if flag]
    return [
        names.index(item) if isinstance(item, str) else int(item)
        for item in listed
        if not isinstance(item, str) or item in names
    ]


def _levels(estimator: Any) -> tuple[frozenset[str], dict[str, tuple[str, ...]]]:
    """Columns whose encoders know words, and the levels every encoder knows, by the user's column."""
    words: set[str] = set()
    levels: dict[str, tuple[str, ...]] = {}
    for part in nested(estimator):
        for names, encoder in _encoders(part):
            for name, known in zip(names, encoder.categories_, strict=False):
                kept = [level for level in known if level is not None and level == level]  # noqa: PLR0124
                if any(isinstance(level, str) for level in kept):
                    words.add(name)
                levels[name] = tuple(
                    sorted({level if isinstance(level, str) else word(level) for level in kept})
                )
    return frozenset(words), levels


def _encoders(part: Any) -> Iterator[tuple[list[str], Any]]:
    """Encoders with the names of the columns they were fitted on."""
    if type(part).__name__ == "ColumnTransformer" and hasattr(part, "feature_names_in_"):
        names = tuple(map(str, part.feature_names_in_))
        for _, transformer, columns in part.transformers_:
            inner = [names[index] for index in _positions(columns, names)]
            for step in (
                [step for _, step in transformer.steps]
                if type(transformer).__name__ == "Pipeline"
                else [transformer]
            ):
                if len(getattr(step, "categories_", ())) == len(inner) > 0:
                    yield inner, step
    elif hasattr(part, "categories_") and hasattr(part, "feature_names_in_"):
        yield [str(name) for name in part.feature_names_in_], part


def _categories(estimator: Any, features: tuple[str, ...] | None) -> dict[str, tuple[Any, ...] | None]:
    """Columns a gradient boosting library wants as pandas categories."""
    if features is None:
        return {}
    module = type(estimator).__module__.partition(".")[0]
    if module == "lightgbm":
        from xai_audit.loaders.lightgbm import categories

        return categories(estimator.booster_, features)
    if module == "xgboost":
        from xai_audit.loaders.xgboost import categories as known

        return known(estimator.get_booster(), features)
    return {}


def described(estimator: Any) -> dict[str, Any]:
    """Type, steps, parameters, trees, depth and library versions, as JSON can hold them."""
    details: dict[str, Any] = {"type": f"{type(estimator).__module__}.{type(estimator).__qualname__}"}
    last = estimator
    if type(estimator).__name__ == "Pipeline":
        details["steps"] = [[name, type(step).__name__] for name, step in estimator.steps]
        last = estimator.steps[-1][1]
        details["final"] = type(last).__name__
    if hasattr(last, "get_params"):
        details["parameters"] = {
            name: plain(value) for name, value in sorted(last.get_params(deep=False).items())
        }
    details.update(_trees(last))
    details["versions"] = _versions(estimator)
    return details


def _trees(last: Any) -> dict[str, Any]:
    predictors = getattr(last, "_predictors", None)
    if predictors is not None:
        trees = [tree for stage in predictors for tree in stage]
        return {
            "trees": len(trees),
            "depth": max((int(tree.nodes["depth"].max()) for tree in trees), default=0),
        }
    if hasattr(last, "tree_"):
        return {"trees": 1, "depth": int(last.tree_.max_depth)}
    parts = getattr(last, "estimators_", None)
    if parts is not None:
        trees = [tree.tree_ for tree in np.asarray(parts, dtype=object).reshape(-1) if hasattr(tree, "tree_")]
        if trees:
            return {"trees": len(trees), "depth": max(int(tree.max_depth) for tree in trees)}
    return {}


def _versions(estimator: Any) -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    names = {"sklearn": "scikit-learn", "xgboost": "xgboost", "lightgbm": "lightgbm"}
    for module in sorted(
        {type(part).__module__.partition(".")[0] for part in nested(estimator)} & set(names)
    ):
        try:
            found[names[module]] = version(names[module])
        except PackageNotFoundError:
            found[names[module]] = str(getattr(__import__(module), "__version__", "unknown"))
    return found


def plain(value: Any) -> Any:
    """A parameter as JSON can hold it; objects by their type's name."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.ndarray) and value.size <= 50:
        value = value.tolist()
    if isinstance(value, (list, tuple)) and len(value) <= 50:
        return [plain(item) for item in value]
    if isinstance(value, Mapping) and len(value) <= 50:
        return {str(key): plain(item) for key, item in value.items()}
    return getattr(value, "__name__", None) or type(value).__name__

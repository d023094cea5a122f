"""Which file is which model, and all files of a spec opened before any mistake is told."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeVar

from xai_audit.errors import Mistake, SpecError
from xai_audit.loaders import MODELS, folder_format
from xai_audit.loaders.mistakes import Mistakes
from xai_audit.loaders.tables import read_table

if TYPE_CHECKING:
    from xai_audit.loaders.cells import Cells
    from xai_audit.loaders.opened import Opened
    from xai_audit.spec import Spec

SUFFIXES: Mapping[str, str] = {suffix: item.id for item in MODELS.values() for suffix in item.suffixes}
"""Model formats by file suffix."""

T = TypeVar("T")


def files(mistakes: Mistakes) -> tuple[Opened | None, list[Cells]]:
    """The model, and the test table before the training table; SpecError tells of all that cannot be had."""
    data = mistakes.spec.data
    found: list[Mistake] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        opened = _attempt(open_model, mistakes.spec, found)
    tables = []
    for key, table in (("data.test", data.test), ("data.train", data.train)):
        if table is not None:
            cells = _attempt(partial(read_table, table, key), mistakes.spec, found)
            tables.extend([] if cells is None else [cells])
    if found:
        raise SpecError(found)
    if opened is not None:
        # What is about a library's own future is nothing about this model.
        quiet = (DeprecationWarning, FutureWarning, PendingDeprecationWarning)
        said = [
            " ".join(str(item.message).split())[:300]
            for item in caught
            if not issubclass(item.category, quiet)
        ]
        told = (f"opening the model warned: {text}" for text in dict.fromkeys(said))
        opened = replace(opened, notes=(*opened.notes, *told))
    return opened, tables


def _attempt(step: Callable[[Mistakes], T], spec: Spec, found: list[Mistake]) -> T | None:
    """What a step gives; its mistakes go on the list, so that the next file is looked at too."""
    try:
        return step(Mistakes(spec))
    except SpecError as error:
        found.extend(error.mistakes)
        return None


def model_format(spec: Spec) -> str | None:
    """The format the spec states or the path's suffix implies; None where neither does."""
    model = spec.model
    if model.format is not None:
        return model.format
    suffix = "" if model.path is None else PurePath(model.path).suffix.lower()
    if model.entry is not None:
        return "torch" if SUFFIXES.get(suffix) == "torch" else "python"
    if model.path is None and model.url is not None:
        return "http"
    if model.path is None:
        return "predictions" if model.score is not None or model.prediction is not None else None
    path = f"{model.path.partition('.py:')[0]}.py" if ".py:" in model.path else model.path
    return SUFFIXES.get(PurePath(path).suffix.lower()) or folder_format(spec.resolve(path))


def open_model(mistakes: Mistakes) -> Opened | None:
    """The spec's model before data are known; None for format predictions."""
    model = mistakes.spec.model
    name = model_format(mistakes.spec)
    if name is None and model.path is None:
        mistakes.at("model", "there is no model: give path, or score and prediction columns of the test data")
    elif name is None:
        known = ", ".join(sorted(set(SUFFIXES.values())))
        what = f"the suffix of {model.path} names no model format; say it under format: {known}"
        mistakes.at("model.path", what)
    elif name == "predictions" and model.path is not None:
        mistakes.at("model.path", "format predictions has no path; its columns stand in the test data")
    elif name not in ("predictions", "http") and model.path is None and model.entry is None:
        mistakes.at("model.path", f"format {name} needs a path")
    elif name != "predictions" and (model.score is not None or model.prediction is not None):
        key = "score" if model.score is not None else "prediction"
        mistakes.at(f"model.{key}", f"only format predictions reads columns; {name} computes its scores")
    mistakes.check()
    if name == "predictions":
        return None
    module: Any = import_module(f"xai_audit.loaders.{'joblib' if name == 'pickle' else name}")
    opened: Opened = module.open_model(mistakes)
    return opened

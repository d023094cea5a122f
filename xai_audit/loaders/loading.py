"""From a spec to a subject: the model opened, the tables read, every mistake in them told at once."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.errors import SpecError
from xai_audit.loaders import facts, features, groups, outcome, predictions
from xai_audit.loaders.cells import Cells, Decided, Typed, words
from xai_audit.loaders.mistakes import Mistakes, shown, suggestion
from xai_audit.loaders.rows import digests, order
from xai_audit.loaders.scoring import bind, scored
from xai_audit.loaders.tables import read_table
from xai_audit.subject import Grouping, Rows, Subject

if TYPE_CHECKING:
    from xai_audit.loaders.opened import Opened
    from xai_audit.spec import Spec

SUFFIXES = {
    ".skops": "skops",
    ".joblib": "joblib",
    ".pkl": "pickle",
    ".pickle": "pickle",
    ".json": "xgboost",
    ".ubj": "xgboost",
    ".txt": "lightgbm",
    ".lgb": "lightgbm",
    ".onnx": "onnx",
    ".py": "python",
}
"""Model formats by file suffix."""


def load(spec: Spec) -> Subject:
    """The model and the data of a spec in memory, scored.

    SpecError tells every mistake found, each with its place; its exit code is 4 where all of them are files that
    are missing, unreadable or not of their declared digest, else 2.
    """
    mistakes = Mistakes(spec)
    opened, tables = _files(mistakes)
    decided = Decided(tables)
    roles = _roles(mistakes, tables[0])
    chosen = features.choose(mistakes, opened, tables, roles)
    features.decide(mistakes, opened, decided, chosen.names)
    mistakes.check()
    everything = [
        {name: decided.column(name).tables[place] for name in table.columns}
        for place, table in enumerate(tables)
    ]
    target = outcome.target_columns(mistakes, decided)
    score, prediction = _prediction_columns(opened, everything[0], mistakes)
    done = outcome.outcome(mistakes, opened, list(target.values()), prediction)
    orders = [order(digests(columns)) for columns in everything]
    groupings = _groupings(mistakes, decided, orders[0][0])
    truths = {
        place: outcome.truth(mistakes, done, column, tables[place].path) for place, column in target.items()
    }
    rows = [
        _rows(mistakes, decided, place, chosen.names, orders[place], truths.get(place, (None, {}))[0])
        for place in range(len(tables))
    ]
    mistakes.check()
    columns = features.columns(mistakes, opened, decided, chosen)
    model, notes = (
        bind(mistakes, opened, decided, chosen, rows[0].frame, done) if opened is not None else (None, ())
    )
    result = scored(mistakes, opened, model, rows[0], done, (score, prediction), tables[0], orders[0][0])
    mistakes.check()
    unseen = features.unseen(opened, decided, chosen)
    found = {
        **facts.overlap(decided, sorted({*chosen.names, *([spec.data.target] if target else [])})),
        "leak": _leaks(spec, opened, chosen.names),
        "artefact": dict(opened.artefact)
        if opened is not None
        else {"code_carrying": False, "globals": [], "suspicious": []},
        "invalid_labels": _invalid(truths),
        "missing": facts.missing({name: everything[0][name] for name in chosen.names}),
        "unseen_levels": unseen,
        "base_rates": {
            name: facts.base_rates(done.classes, truths[place][0])
            for place, name in ((0, "test"), (1, "train"))
            if place in truths and done.task == "classification"
        },
    }
    return Subject(
        model=result.model,
        task=done.task,
        columns=columns,
        test=rows[0],
        train=rows[1] if len(rows) > 1 else None,
        classes=done.classes,
        positive=done.positive,
        favourable=done.favourable,
        threshold=result.threshold,
        groupings=tuple(groupings),
        scores=result.scores,
        prediction=result.prediction,
        probabilities=result.probabilities,
        sensitive_inputs=tuple(
            item.column for item in spec.data.sensitive if item.file is None and item.column in chosen.names
        ),
        notes=(
            *(note for table in tables for note in table.notes),
            *(note for name in sorted(decided.known) for note in decided.known[name].notes),
            *(opened.notes if opened is not None else ()),
            *done.notes,
            *notes,
            *result.notes,
            *_noticed(spec, unseen, truths, tables),
        ),
        facts=found,
    )


def _files(mistakes: Mistakes) -> tuple[Opened | None, list[Cells]]:
    """The model and the tables; what is wrong with one does not hide what is wrong with another."""
    data = mistakes.spec.data
    opened: Opened | None = None
    tables: list[Cells] = []
    found = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        opened = _attempt(lambda part: open_model(part), mistakes, found)
    for key, table in (("data.test", data.test), ("data.train", data.train)):
        if table is not None:
            cells = _attempt(lambda part, table=table, key=key: read_table(table, key, part), mistakes, found)
            tables.extend([] if cells is None else [cells])
    if found:
        raise SpecError([mistake for error in found for mistake in error.mistakes])
    if opened is not None:
        said = dict.fromkeys(
            " ".join(str(warning.message).split())[:300] for warning in caught if _telling(warning)
        )
        opened = replace(
            opened, notes=(*opened.notes, *(f"opening the model warned: {text}" for text in said))
        )
    return opened, tables


def _telling(warning: Any) -> bool:
    """Whether a warning is about the model rather than about a library's own future."""
    return not issubclass(warning.category, (DeprecationWarning, FutureWarning, PendingDeprecationWarning))


def _attempt(step: Any, mistakes: Mistakes, found: list[SpecError]) -> Any:
    try:
        return step(Mistakes(mistakes.spec))
    except SpecError as error:
        found.append(error)
        return None


def model_format(spec: Spec) -> str | None:
    """The format the spec states or the path's suffix implies; None where neither does."""
    model = spec.model
    if model.format is not None:
        return model.format
    if model.entry is not None:
        return "python"
    if model.path is None:
        return "predictions" if model.score is not None or model.prediction is not None else None
    path = model.path.partition(".py:")[0] + ".py" if ".py:" in model.path else model.path
    return SUFFIXES.get(PurePath(path).suffix.lower())


def open_model(mistakes: Mistakes) -> Opened | None:
    """The spec's model before data are known; None for format predictions."""
    model = mistakes.spec.model
    name = model_format(mistakes.spec)
    if name == "predictions":
        if model.path is not None:
            mistakes.at("model.path", "format predictions has no path; its columns stand in the test data")
            mistakes.check()
        return None
    if name is None:
        what = "there is no model: give path, or score and prediction columns of the test data"
        if model.path is not None:
            what = f"the suffix of {model.path} names no model format; say it under format: {', '.join(sorted(set(SUFFIXES.values())))}"
        mistakes.at("model.path" if model.path is not None else "model", what)
        mistakes.check()
    if model.path is None and model.entry is None:
        mistakes.at("model.path", f"format {name} needs a path")
        mistakes.check()
    module = import_module(f"xai_audit.loaders.{'joblib' if name == 'pickle' else name}")
    opened: Opened = module.open_model(mistakes)
    return opened


def _roles(mistakes: Mistakes, test: Cells) -> set[str]:
    """Columns that have a role other than feature; those that are not there are mistakes."""
    data, model = mistakes.spec.data, mistakes.spec.model
    for key in ("id", "cluster", "weight"):
        name = getattr(data, key)
        if name is not None and name not in test.columns:
            mistakes.at(
                f"data.{key}", f"no column named {shown(name)} in {test.path}{suggestion(name, test.columns)}"
            )
    for place, item in enumerate(data.sensitive):
        key = f"data.sensitive.{place}"
        if item.file is None and item.column not in test.columns:
            what = (
                f"no column named {shown(item.column)} in {test.path}{suggestion(item.column, test.columns)}"
            )
            mistakes.at(f"{key}.column", what)
        if item.file is not None and item.key is None:
            mistakes.at(f"{key}.key", "a file needs key: the column both tables share")
        elif item.file is not None and item.key not in test.columns:
            what = f"no column named {shown(item.key)} in {test.path}{suggestion(item.key, test.columns)}"
            mistakes.at(f"{key}.key", what)
        if item.column in [other.column for other in data.sensitive[:place]]:
            mistakes.at(f"{key}.column", f"{item.column!r} is named twice")
    if model.format == "predictions" or (model.path is None and model.entry is None):
        predictions.columns(mistakes, test.columns)
    keys = {item.key for item in data.sensitive if item.file is not None}
    named = {data.target, data.id, data.cluster, data.weight, model.score, model.prediction}
    return {name for name in {*named, *keys, *(item.column for item in data.sensitive)} if name is not None}


def _prediction_columns(
    opened: Opened | None, columns: dict[str, Typed], mistakes: Mistakes
) -> tuple[Typed | None, Typed | None]:
    if opened is not None:
        return None, None
    model = mistakes.spec.model
    return columns.get(model.score or ""), columns.get(model.prediction or "")


def _groupings(mistakes: Mistakes, decided: Decided, rows: NDArray[np.int64]) -> list[Grouping]:
    data = mistakes.spec.data
    found = []
    for place, item in enumerate(data.sensitive):
        key = f"data.sensitive.{place}"
        if item.file is None:
            column: Typed | None = decided.column(item.column).tables[0]
        else:
            from xai_audit.spec import Table

            try:
                file = Decided([read_table(Table(path=item.file), f"{key}.file", Mistakes(mistakes.spec))])
            except SpecError as error:
                mistakes.found.extend((f"file {item.file}", mistake) for mistake in error.mistakes)
                continue
            joined = groups.joined(item, decided.column(item.key or "").tables[0], file, key, mistakes)
            column = None if joined is None else joined[0]
        if column is not None:
            grouping = groups.grouping(item, column.take(rows), key, mistakes)
            found.extend([] if grouping is None else [grouping])
    return [*found, *groups.crossings(found, data.crossings)]


def _rows(
    mistakes: Mistakes,
    decided: Decided,
    place: int,
    names: Sequence[str],
    ordered: tuple[NDArray[np.int64], NDArray[np.int64]],
    truth: Any,
) -> Rows:
    data, table = mistakes.spec.data, decided.tables[place]
    rows, occurrence = ordered
    columns = {name: decided.column(name).tables[place] for name in table.columns}

    def column(name: str | None) -> Typed | None:
        return columns.get(name) if name is not None else None

    ids, weights, clusters = column(data.id), column(data.weight), column(data.cluster)
    return Rows(
        frame=features.frame(decided, place, names, rows),
        digests=digests(columns)[rows],
        occurrence=occurrence,
        target=None if truth is None else truth[rows],
        ids=None if ids is None else words(ids)[rows],
        weights=None if weights is None else _weights(weights, table, data.weight or "", mistakes)[rows],
        clusters=None if clusters is None else _clusters(clusters, table, data.cluster or "", mistakes)[rows],
        sha256=table.sha256,
        path=table.path,
    )


def _weights(column: Typed, table: Cells, name: str, mistakes: Mistakes) -> NDArray[np.float64]:
    if column.kind != "number":
        mistakes.at("data.weight", f"{name!r} in {table.path} is not numeric")
        return np.ones(len(column.values))
    values = column.values.astype(np.float64)
    for row in np.flatnonzero(~(np.isfinite(values) & (values >= 0))):
        what = f"a weight is a number from 0 up, not {column.text(int(row)) or 'missing'}"
        mistakes.cell(table.path, table.line(int(row)), name, what, kind="weight")
    if len(values) and not (values > 0).any():
        mistakes.at("data.weight", f"every weight of {table.path} is zero")
    return values


def _clusters(column: Typed, table: Cells, name: str, mistakes: Mistakes) -> NDArray[np.int64]:
    cells = words(column)
    for row in np.flatnonzero(column.missing):
        mistakes.cell(
            table.path,
            table.line(int(row)),
            name,
            "a row without a cluster; name one for each",
            kind="cluster",
        )
    place = {
        word: code for code, word in enumerate(sorted({str(cell) for cell in cells if cell is not None}))
    }
    return np.array([place.get(str(cell), -1) for cell in cells], dtype=np.int64)


def _leaks(spec: Spec, opened: Opened | None, names: Sequence[str]) -> list[dict[str, str]]:
    """Features that are the target or the id, and who says so."""
    by = "model" if opened is not None and opened.features is not None else "spec"
    roles = (("target", spec.data.target), ("id", spec.data.id))
    return [
        {"column": name, "role": role, "by": by} for role, name in roles if name is not None and name in names
    ]


def _invalid(truths: dict[int, tuple[Any, dict[str, Any]]]) -> dict[str, Any]:
    if 0 not in truths:
        return {"count": 0, "examples": [], "rows": 0, "train": None}
    values, found = truths[0]
    return {**found, "rows": len(values), "train": truths[1][1] if 1 in truths else None}


def _noticed(
    spec: Spec,
    unseen: list[dict[str, Any]],
    truths: dict[int, tuple[Any, dict[str, Any]]],
    tables: Sequence[Cells],
) -> list[str]:
    notes = [
        f"{item['rows']:,} test rows have a level of {item['column']!r} that was not seen in training "
        f"({', '.join(map(repr, item['levels']))})"
        for item in unseen
    ]
    for place, (_, found) in truths.items():
        if found["count"]:
            examples = ", ".join(map(repr, found["examples"]))
            notes.append(
                f"{found['count']:,} rows of {tables[place].path} have no valid label ({examples}) and count in no rate"
            )
    if spec.data.train is None:
        notes.append("there is no training data: what compares with it is left out")
    return notes

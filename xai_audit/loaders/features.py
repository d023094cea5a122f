"""Which columns the model takes, in which form, and the frames made of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.loaders import media
from xai_audit.loaders.cells import DAY, Cells, Kind, Medium, Mixed, Typed, distinct, iso, words
from xai_audit.loaders.cells import Column as CellColumn
from xai_audit.loaders.deciding import Decided, comma_column, padded
from xai_audit.loaders.groups import natural
from xai_audit.loaders.mistakes import shown, suggestion
from xai_audit.loaders.opened import Input, Inputs, Opened
from xai_audit.subject import Column, ColumnKind

if TYPE_CHECKING:
    import pandas as pd

    from xai_audit.loaders.mistakes import Mistakes
    from xai_audit.loaders.opened import Form


@dataclass(frozen=True, eq=False)
class Chosen:
    """The features: in the user's names, and as the model calls them; none beside pictures or texts."""

    names: tuple[str, ...]
    given: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Case:
    """What one spec comes to: its model, its tables, its features, and the mistakes found so far."""

    mistakes: Mistakes
    opened: Opened | None
    decided: Decided
    chosen: Chosen

    @property
    def medium(self) -> Medium | None:
        """The pictures or texts of the test table, where the model reads those and no columns."""
        return self.decided.tables[0].medium


def choose(mistakes: Mistakes, opened: Opened | None, tables: Sequence[Cells], taken: set[str]) -> Chosen:
    """The features the model was fitted on, else those of the spec, else all columns without another role.

    Pictures and texts have none.
    """
    data = mistakes.spec.data
    test = tables[0]
    if test.medium is not None:
        media.readable(mistakes, opened, test.medium)
        return Chosen((), ())
    if opened is not None and opened.features is not None:
        return _fitted(mistakes, opened.features, tables)
    if data.features is not None:
        names = tuple(data.features)
        for name in names:
            _present(name, tables, "data.features", "", mistakes)
        for name in sorted({name for name in names if names.count(name) > 1}):
            mistakes.at("data.features", f"{name!r} is named twice")
    else:
        # Without names the model knows no order; the file's must not matter unless it is a matrix.
        names = tuple(
            name for name in (test.columns if test.matrix else sorted(test.columns)) if name not in taken
        )
        if opened is not None and opened.ordered and not test.matrix:
            listed = ", ".join(name for name in test.columns if name not in taken)
            what = (
                "this model does not know its columns by name; list them in the order it was fitted in, "
                f"under data: features: [{listed}]"
            )
            mistakes.at("data.features", what)
    if opened is not None and opened.n_features is not None and opened.n_features != len(names):
        what = f"the model takes {opened.n_features} features and {len(names)} are given: {_listed(names)}"
        mistakes.at("data.features", f"{what}; name the {opened.n_features} it was fitted on")
    return Chosen(names, names)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 15} more" if len(names) > 15 else ""
    return ", ".join(shown(name)[1:-1] for name in names[:15]) + more


def _fitted(mistakes: Mistakes, given: tuple[str, ...], tables: Sequence[Cells]) -> Chosen:
    """The columns a model was fitted on; the spec may repeat them and nothing else."""
    declared = mistakes.spec.data.features
    known = tables[0].columns
    # LightGBM writes a_b for "a b"; one column of that spelling is meant.
    spelled: dict[str, list[str]] = {}
    for name in known:
        spelled.setdefault(re.sub(r"\s", "_", name), []).append(name)
    names = []
    for name in given:
        other = spelled.get(name, [])
        names.append(other[0] if name not in known and len(other) == 1 else name)
    for name in names:
        _present(
            name,
            tables,
            "data.test" if declared is None else "data.features",
            "the model was fitted on ",
            mistakes,
        )
    if declared is not None:
        for name in sorted(set(names) - set(declared)):
            mistakes.at(
                "data.features", f"the model was fitted on {name!r} too; add it, or leave features out"
            )
        for name in sorted(set(declared) - set(names)):
            what = f"the model was not fitted on {shown(name)}{suggestion(name, names)}"
            mistakes.at("data.features", what)
    return Chosen(tuple(names), given)


def _present(name: str, tables: Sequence[Cells], key: str, why: str, mistakes: Mistakes) -> None:
    for table in tables:
        if name not in table.columns:
            close = suggestion(name, table.columns)
            fitted = f"{why}{shown(name)}, a column that {table.path} does not have{close}"
            mistakes.at(key, fitted if why else f"no column named {shown(name)} in {table.path}{close}")


def decide(mistakes: Mistakes, opened: Opened | None, decided: Decided, names: Sequence[str]) -> None:
    """Fix the type of every feature; a column of mixed types, a decimal comma or an infinity is a mistake."""
    categorical = set(mistakes.spec.data.categorical)
    if decided.tables[0].medium is not None:
        return
    known_words = opened.words if opened is not None else frozenset()
    for name in sorted(categorical - set(decided.tables[0].columns)):
        mistakes.at(
            "data.categorical", f"no column named {shown(name)}{suggestion(name, decided.tables[0].columns)}"
        )
    for name in names:
        if any(name not in table.columns for table in decided.tables):
            continue  # told already
        text = name in known_words or (name in categorical and padded(name, decided.tables))
        column = decided.column(name, text=text)
        if opened is None:
            continue
        said = opened.kinds.get(name)
        commas = [table for table in decided.tables if comma_column(name, table)]
        if commas and name not in categorical and name not in known_words:
            what = "numbers with a decimal comma read as text; write 1.5 for 1,5"
            mistakes.cell(commas[0].path, commas[0].line(0), name, what, kind="comma")
        elif column.mixed is not None and name not in categorical:
            _mixed(column.mixed, mistakes)
        elif said is not None and not _fits(said, column):
            what = f"the model's signature says {_HOLDS[said]}, and the column holds {_HOLDS[column.kind]}"
            mistakes.cell(decided.tables[0].path, None, name, what, kind="signature")
        for table, typed in ((decided.tables[index], typed) for index, typed in column.tables.items()):
            if typed.kind == "number" and typed.data.dtype.kind == "f":
                for row in np.flatnonzero(np.isinf(typed.data)):
                    what = (
                        f"{typed.data[row]} is no number a model can use; leave the cell empty or correct it"
                    )
                    mistakes.cell(table.path, table.line(int(row)), name, what, kind="infinity")


_HOLDS: Mapping[Kind, str] = {
    "number": "numbers",
    "boolean": "booleans",
    "date": "dates",
    "text": "text",
}


def _fits(said: Kind, column: CellColumn) -> bool:
    if all(typed.missing.all() for typed in column.tables.values()):
        return True
    return column.kind == said or (said, column.kind) == ("number", "boolean")


def _mixed(mixed: Mixed, mistakes: Mistakes) -> None:
    (path, row, word), (usual_path, usual_row, usual) = mixed.rare, mixed.usual
    where = f"row {usual_row}" if path == usual_path else f"{usual_path}, row {usual_row}"
    what = (
        f"{shown(word)} in a column that holds {shown(usual)} ({where}); correct the cell, empty it, or "
        "add the column to data.categorical"
    )
    mistakes.cell(path, row, mixed.column, what, kind="mixed")


def frame(decided: Decided, table: int, names: Sequence[str], order: NDArray[np.int64]) -> pd.DataFrame:
    """The features of one table in row order, each in the type it has in memory; or its pictures or texts."""
    import pandas as pd

    own, test = decided.tables[table].medium, decided.tables[0].medium
    if own is not None and test is not None:
        return media.frame(own, test.name, order)
    return pd.DataFrame({name: in_memory(decided.column(name).tables[table].take(order)) for name in names})


def side(columns: Mapping[str, Typed], order: NDArray[np.int64]) -> pd.DataFrame:
    """Columns that are no features in row order, as read: dates as ISO text, so that they compare with text."""
    import pandas as pd

    found = {name: _as_read(column.take(order)) for name, column in columns.items()}
    return pd.DataFrame(found, index=pd.RangeIndex(len(order)))


def _as_read(column: Typed) -> NDArray[Any]:
    if column.kind != "date":
        return in_memory(column)
    table, codes = np.unique(column.data, return_inverse=True)
    gone = Typed("date", table).missing
    told = [np.nan if none else iso(value) for none, value in zip(gone, table, strict=True)]
    found: NDArray[Any] = np.array(told, dtype=object)[codes]
    return found


def in_memory(column: Typed) -> NDArray[Any]:
    """int64 or float64; bool, or float64 where some are missing; days since 1970; text as str or NaN."""
    if column.kind == "number":
        return column.data
    missing = column.missing
    if column.kind == "boolean":
        return np.where(missing, np.nan, column.data) if missing.any() else column.data.astype(bool)
    if column.kind == "date":
        return np.where(missing, np.nan, np.where(missing, 0, column.data) / DAY)
    table = np.empty(len(column.levels) + 1, dtype=object)
    table[: len(column.levels)] = column.levels
    table[-1] = np.nan
    found: NDArray[Any] = table[column.data]
    return found


def columns(case: Case) -> tuple[Column, ...]:
    """What each feature is, with the levels of the categorical ones over all tables in natural order."""
    if case.medium is not None:
        return media.columns(case.medium)
    categorical = set(case.mistakes.spec.data.categorical)
    wanted = case.opened.categories if case.opened is not None else {}
    kinds: dict[str, ColumnKind] = {"number": "numeric", "boolean": "boolean", "date": "date"}
    found = []
    for name, given in zip(case.chosen.names, case.chosen.given, strict=True):
        column = case.decided.column(name)
        if column.kind == "text" or name in categorical or given in wanted:
            levels = {word for typed in column.tables.values() for word in distinct(typed)}
            found.append(Column(name, "categorical", tuple(sorted(levels, key=natural))))
        else:
            found.append(Column(name, kinds[column.kind]))
    return tuple(found)


def inputs(case: Case, opened: Opened, form: Form) -> Inputs:
    """How the features are given to the model, dates in this form; text it cannot take is a mistake."""
    if case.medium is not None:
        return media.inputs(opened, case.medium)
    found = []
    plain = opened.form not in ("python", "onnx", "http")
    for name, given in zip(case.chosen.names, case.chosen.given, strict=True):
        kind = case.decided.column(name).kind
        if kind == "text" and opened.takes == "array":
            what = (
                "a column of text, and this model takes numbers alone; encode it as when the model was fitted"
            )
            case.mistakes.cell(case.decided.tables[0].path, None, name, what, kind="text")
        dated = kind == "date" and opened.takes == "frame" and form != "as it is"
        known = opened.categories.get(given)
        found.append(Input(name, given, form if dated else "as it is", given in opened.categories, known))
        plain = plain and given not in opened.categories and not dated and kind != "text"
    return Inputs(tuple(found), opened.takes, plain)


def unseen(case: Case) -> list[dict[str, Any]]:
    """Levels of the test table that the model's encoder, else the training table, does not have."""
    found = []
    for name, given in zip(case.chosen.names, case.chosen.given, strict=True):
        column = case.decided.column(name)
        known: set[str] | None = None
        if case.opened is not None and given in case.opened.levels:
            known = set(case.opened.levels[given])
        elif column.kind == "text" and 1 in column.tables:
            known = set(distinct(column.tables[1]))
        if known is None:
            continue
        strange = sorted(set(distinct(column.tables[0])) - known, key=natural)
        if strange:
            cells = words(column.tables[0])
            words_, counts = np.unique(cells.astype(str), return_counts=True)
            of = dict(zip(words_.tolist(), counts.tolist(), strict=True))
            spec = case.mistakes.spec
            sensitive = name in {item.column for item in spec.data.sensitive if item.file is None}
            # What few rows hold may tell who they are; of a sensitive column it is told with its groups, or not at all.
            often = [level for level in strange if of[level] >= spec.report.min_cell and not sensitive]
            rows = None if sensitive else sum(of[level] for level in strange)
            shown_ = [level[:60] for level in often[:5]]
            found.append({"column": name, "rows": rows, "count": len(strange), "levels": shown_})
    return found

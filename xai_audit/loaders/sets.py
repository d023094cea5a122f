"""Named examples beside the data: concepts, pools and corpora, read as the test data are and ordered by content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit import predicate
from xai_audit.errors import Mistake, SpecError
from xai_audit.loaders import features, media, prompts
from xai_audit.loaders.cells import Cells, Typed
from xai_audit.loaders.deciding import decide
from xai_audit.loaders.mistakes import Mistakes, shown, suggestion
from xai_audit.loaders.rows import digests, order
from xai_audit.loaders.tables import format_of, is_folder, read_table
from xai_audit.spec import Table
from xai_audit.subject import Rows

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from xai_audit.loaders.features import Case
    from xai_audit.spec import NamedSet, Spec


def read(spec: Spec, found: list[Mistake]) -> dict[str, Cells]:
    """The file of every set by its name; what is wrong with them goes on the list."""
    cells = {}
    for name, named in spec.data.sets.items():
        mistakes = Mistakes(spec)
        try:
            cells[name] = _read(named, f"data.sets.{name}", mistakes)
        except SpecError as error:
            found.extend(error.mistakes)
    return cells


def _read(named: NamedSet, key: str, mistakes: Mistakes) -> Cells:
    # Where the set names no column of text, it is that of the test data.
    text, test = named.text, mistakes.spec.data.test
    lines = is_folder(named.path, mistakes.spec.resolve(named.path)) or format_of(named.path, None) in (
        "txt",
        "npz",
    )
    if named.clean is not None and test.text is not None and not lines:
        text = named.clean
    if text is None and test.text is not None and not lines:
        text = test.text
    table = Table(path=named.path, labels=named.labels, text=text, sha256=named.sha256)
    return read_table(table, key, mistakes)


def alike(mistakes: Mistakes, tables: Mapping[str, Cells], test: Cells) -> None:
    """A mistake for each set that holds another kind of example than the test data."""
    for name, cells in tables.items():
        if cells.modality != test.modality:
            what = f"holds {media.HOLDS[cells.modality]}, and data.test holds {media.HOLDS[test.modality]}"
            mistakes.at(
                f"data.sets.{name}.path", f"{cells.source or cells.path} {what}; a set is of the same kind"
            )
        else:
            prompts.check(mistakes, name, cells)


def chosen(
    mistakes: Mistakes, tables: Mapping[str, Cells]
) -> dict[str, tuple[dict[str, Typed], NDArray[np.int64]]]:
    """The columns of each set in their own types, and the rows for which its condition holds, in the file's order."""
    found = {}
    for name, cells in tables.items():
        columns = {column: decide(column, [cells]).tables[0] for column in cells.columns}
        rows = np.arange(cells.n)
        where = mistakes.spec.data.sets[name].where
        if where is not None:
            rows = _where(where, f"data.sets.{name}.where", columns, cells, mistakes)
        prompts.templates_asked(mistakes, name, cells, columns, rows)
        found[name] = columns, rows
    return found


def _where(
    text: str, key: str, columns: Mapping[str, Typed], cells: Cells, mistakes: Mistakes
) -> NDArray[np.int64]:
    everything = np.arange(cells.n)
    try:
        condition = predicate.parse(text)
    except ValueError as error:
        mistakes.at(key, str(error))
        return everything
    absent = [name for name in condition.columns if name not in columns]
    for name in absent:
        mistakes.at(key, f"no column named {shown(name)} in {cells.path}{suggestion(name, columns)}")
    if absent:
        return everything
    asked = features.side({name: columns[name] for name in condition.columns}, everything)
    try:
        rows = np.flatnonzero(condition.holds(asked))
    except ValueError as error:
        mistakes.at(key, f"{cells.path}: {error}")
        return everything
    if not len(rows):
        mistakes.at(key, f"{shown(text)} holds for none of the {cells.n:,} rows of {cells.path}")
    return rows


def rows(
    case: Case, tables: Mapping[str, Cells], classes: Sequence[Any] = ()
) -> tuple[dict[str, Rows], tuple[str, ...]]:
    """Every set in the order of its content, and notes on what reading changed; ``classes`` are those of the model."""
    found, notes = {}, []
    known = None if case.medium is None else set(case.medium.digests.tolist())
    for name, (columns, kept) in chosen(case.mistakes, tables).items():
        cells = tables[name]
        notes += [note for note in cells.notes if note not in notes]
        if len(kept) < cells.n:
            where = case.mistakes.spec.data.sets[name].where
            notes.append(f"data.sets.{name}: {len(kept):,} of {cells.n:,} examples, those for which {where}")
        digest = digests(columns, cells.medium)[kept]
        places, occurrence = order(digest)
        named = case.mistakes.spec.data.sets[name]
        frame, rest = _frame(case, name, cells, columns, kept[places])
        other = _features(case, name, cells, kept[places], f"{named.corrupted}_") if named.clean else None
        if frame is None:
            continue
        if cells.medium is not None and known is not None:
            shared = sum(value in known for value in cells.medium.digests[kept].tolist())
            if shared:
                kind = {"image": "pictures", "text": "texts"}[cells.medium.kind]
                notes.append(
                    f"data.sets.{name}: {shared:,} of {len(kept):,} examples are {kind} of data.test too"
                )
        found[name] = Rows(
            frame=frame,
            digests=digest[places],
            occurrence=occurrence,
            target=None,
            sha256=cells.sha256,
            path=cells.source or cells.path,
            side=features.side({column: columns[column] for column in rest}, kept[places]),
            pairs=None
            if named.clean is None
            else prompts.pairs(case, name, cells, columns, kept[places], classes, other),
        )
    return found, tuple(notes)


def _frame(
    case: Case, name: str, cells: Cells, columns: Mapping[str, Typed], order_: NDArray[np.int64]
) -> tuple[pd.DataFrame | None, list[str]]:
    """What the model reads of a set, in the order given, and the columns beside it; None after a mistake."""
    if cells.medium is not None and case.medium is not None:
        return media.frame(cells.medium, case.medium.name, order_), list(columns)
    named = case.mistakes.spec.data.sets[name]
    prefix = "" if named.clean is None else f"{named.clean}_"
    read = {f"{side}{feature}" for feature in case.chosen.names for side in (prefix, f"{named.corrupted}_")}
    rest = [column for column in columns if column not in case.chosen.names and column not in read]
    return _features(case, name, cells, order_, prefix), rest


def _features(
    case: Case, name: str, cells: Cells, order_: NDArray[np.int64], prefix: str = ""
) -> pd.DataFrame | None:
    """The features in the types that the test table has decided, from the columns so named behind a prefix."""
    import pandas as pd

    if cells.medium is not None:
        return None
    before = len(case.mistakes.found)
    made: dict[str, Any] = {}
    for feature in case.chosen.names:
        named = f"{prefix}{feature}"
        if named not in cells.columns:
            what = f"no column named {shown(named)} in {cells.path}, which the model reads"
            if prefix:
                what += f" as {shown(feature)}"
            case.mistakes.at(f"data.sets.{name}.path", f"{what}{suggestion(named, cells.columns)}")
            continue
        kind = case.decided.column(feature).kind
        column = decide(named, [cells], text=kind == "text").tables[0]
        if column.kind != kind and not column.missing.all():
            what = f"this column holds {_KINDS[column.kind]}, and that of data.test holds {_KINDS[kind]}"
            case.mistakes.cell(cells.path, None, named, what, kind="kind")
            continue
        made[feature] = features.in_memory(column.take(order_))
    return pd.DataFrame(made) if len(case.mistakes.found) == before else None


_KINDS = {"number": "numbers", "boolean": "true and false", "date": "dates", "text": "text"}

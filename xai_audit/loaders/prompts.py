"""Sets of prompts: rows that are pairs of a clean and a corrupted side, with the classes they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.errors import SpecError
from xai_audit.loaders import labels, media, texts
from xai_audit.loaders.cells import words
from xai_audit.loaders.mistakes import shown, suggestion
from xai_audit.loaders.rows import digests
from xai_audit.subject import Pairs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from xai_audit.loaders.cells import Cells, Typed
    from xai_audit.loaders.features import Case
    from xai_audit.loaders.mistakes import Mistakes
    from xai_audit.spec import NamedSet


def check(mistakes: Mistakes, name: str, cells: Cells) -> None:
    """A mistake for each column that a set of prompts names and its file has not."""
    named = mistakes.spec.data.sets[name]
    if named.clean is None or named.corrupted is None:
        return
    key = f"data.sets.{name}"
    if cells.modality == "image":
        mistakes.at(
            f"{key}.clean",
            "clean and corrupted name columns of texts or of a table; prompts of pictures are not available in this version",
        )
        return
    if cells.medium is not None:
        if not cells.columns:
            mistakes.at(
                f"{key}.clean", f"{cells.path} holds one text a line; prompts are two columns of a table"
            )
        else:
            _there(mistakes, f"{key}.corrupted", named.corrupted, cells)
    for role in ("answer", "foil", "template"):
        column = getattr(named, role)
        if column is not None:
            _there(mistakes, f"{key}.{role}", column, cells)


def _there(mistakes: Mistakes, key: str, column: str, cells: Cells) -> None:
    if column not in cells.columns:
        mistakes.at(
            key, f"no column named {shown(column)} in {cells.path}{suggestion(column, cells.columns)}"
        )


def pairs(
    case: Case,
    name: str,
    cells: Cells,
    columns: Mapping[str, Typed],
    order: NDArray[np.int64],
    classes: Sequence[Any],
    features: pd.DataFrame | None,
) -> Pairs | None:
    """The other side of each row in the order given; ``features`` is that of a table. None after a mistake."""
    named = case.mistakes.spec.data.sets[name]
    assert named.corrupted is not None
    other = features
    if cells.medium is not None and case.medium is not None:
        try:
            found = texts.of_column(
                cells, named.corrupted, f"data.sets.{name}.corrupted", case.mistakes
            ).medium
        except SpecError:
            return None  # told already
        assert found is not None
        other = media.frame(found, case.medium.name, order)
    if other is None:
        return None
    codes = {role: _classes(case, name, role, cells, columns, order, classes) for role in ("answer", "foil")}
    return Pairs(other, codes["answer"], codes["foil"], *_templates(named, cells, columns, order))


def _templates(
    named: NamedSet, cells: Cells, columns: Mapping[str, Typed], order: NDArray[np.int64]
) -> tuple[NDArray[np.int64] | None, dict[str, int]]:
    """Which template each row has, their names in order and how many distinct clean sides have each."""
    column = columns.get(named.template or "template")
    if column is None:
        return None, {}
    found = words(column.take(order))
    names = sorted({word for word in found if word is not None})
    places = {name: place for place, name in enumerate(names)}
    codes = np.asarray([places.get(word, -1) for word in found], dtype=np.int64)
    read = {one: typed for one, typed in columns.items() if one.startswith(f"{named.clean}_")}
    sides = (digests(read or columns) if cells.medium is None else cells.medium.digests)[order]
    each = np.unique(np.stack([codes, np.unique(sides, return_inverse=True)[1]]), axis=1)[0]
    counts = np.bincount(each[each >= 0], minlength=len(names)).tolist()
    return codes, dict(zip(names, counts, strict=True))


def templates_asked(
    mistakes: Mistakes, name: str, cells: Cells, columns: Mapping[str, Typed], rows: NDArray[np.int64]
) -> None:
    """A mistake for each template that a spec names and no prompt of the set has, or too few to be told."""
    named, least = mistakes.spec.data.sets[name], mistakes.spec.report.min_cell
    for place, use in enumerate(mistakes.spec.explainers):
        asked = (use.params.get("multiverse") or {}).get("templates")
        if use.method != "circuit_discovery" or use.params.get("prompts") != name or not asked:
            continue
        key = f"explainers.{place}.circuit_discovery.multiverse.templates"
        _, known = _templates(named, cells, columns, rows)
        if not known:
            column = named.template or "template"
            why = f"{shown(column)} is {'an empty' if column in columns else 'no'} column of {cells.path}"
            mistakes.at(key, f"multiverse.templates: the prompts of {name} name none; {why}")
            continue
        told = [one for one, count in known.items() if count >= least]
        for at, one in enumerate([] if asked is True else asked):
            if one not in known:
                what = f"no prompt of {name} has the template {shown(one)}{suggestion(one, told)}"
            elif one not in told:
                what = f"the template {shown(one)} is of {known[one]} prompts of {name}; report.min_cell is {least}"
            else:
                continue
            mistakes.at(f"{key}.{at}", f"multiverse.templates: {what}")


def _classes(
    case: Case,
    name: str,
    role: str,
    cells: Cells,
    columns: Mapping[str, Typed],
    order: NDArray[np.int64],
    classes: Sequence[Any],
) -> NDArray[np.int64] | None:
    """Class index of each row by a column of labels; a mistake where one is no class."""
    column = getattr(case.mistakes.spec.data.sets[name], role) or role
    if column not in columns:
        return None
    key = f"data.sets.{name}.path"
    if not classes:
        case.mistakes.at(
            key, f"column {shown(column)} of {cells.path} names classes, and this model has none"
        )
        return None
    typed = columns[column].take(order)
    codes, unknown, ambiguous = labels.coded(typed, classes)
    for label in (*unknown, *ambiguous)[:1]:
        what = "may mean more than one class" if label in ambiguous else "is no class of this model"
        case.mistakes.at(key, f"column {shown(column)} of {cells.path}: {shown(label)} {what}")
    if not unknown and not ambiguous and (codes < 0).any():
        case.mistakes.at(
            key, f"column {shown(column)} of {cells.path}: {int((codes < 0).sum()):,} rows name no class"
        )
    return codes

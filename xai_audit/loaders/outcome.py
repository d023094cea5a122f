"""What is predicted: the task, the classes, which of them counts, and the true labels of each table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from xai_audit.loaders import labels
from xai_audit.loaders.cells import Typed
from xai_audit.loaders.deciding import Decided
from xai_audit.loaders.mistakes import shown, suggestion

if TYPE_CHECKING:
    from xai_audit.loaders.mistakes import Mistakes
    from xai_audit.loaders.opened import Opened

Task = Literal["classification", "regression"]
MANY = 20
"""Distinct whole numbers beyond which a column is a quantity, not a class."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """The task and what its labels mean."""

    task: Task
    classes: tuple[Any, ...] = ()
    positive: int = 1
    favourable: int = 1
    notes: tuple[str, ...] = ()


def outcome(
    mistakes: Mistakes, opened: Opened | None, target: Sequence[Typed], prediction: Typed | None
) -> Outcome:
    """The task and the classes, from the spec, the model and the data, in that order."""
    task = _task(mistakes, opened, target, prediction)
    model = mistakes.spec.model
    if task == "regression":
        for key in ("positive", "favourable", "classes", "outputs"):
            if getattr(model, key) is not None:
                mistakes.at(
                    f"model.{key}",
                    "a regression has no classes; take the key out, or state task: classification",
                )
        if any(column.kind != "number" for column in target):
            mistakes.at(
                "data.target", f"{mistakes.spec.data.target!r} is not numeric, and the task is regression"
            )
        return Outcome("regression")
    classes, notes = _classes(mistakes, opened, target, prediction)
    if len(classes) < 2:
        what = f"one class alone is known ({_listed(classes)}); state model: classes: [...] with all of them"
        mistakes.at("model.classes", what)
        return Outcome("classification", classes, 0, 0)
    positive, said = _index(mistakes, "positive", classes)
    if not said:
        what = f"no positive class is stated; {shown(classes[1])} is taken, the second of {_listed(classes)}"
        notes = (*notes, what if len(classes) == 2 else f"{what}; rates of one class are about it")
    favourable, said = _index(mistakes, "favourable", classes)
    return Outcome("classification", classes, positive, favourable if said else positive, notes)


def _listed(classes: Sequence[Any]) -> str:
    return ", ".join(shown(label) for label in classes[:12]) + (
        f" and {len(classes) - 12} more" if len(classes) > 12 else ""
    )


def _index(mistakes: Mistakes, key: str, classes: tuple[Any, ...]) -> tuple[int, bool]:
    value = getattr(mistakes.spec.model, key)
    if value is None:
        return 1, False
    found = labels.matches(value, classes)
    if not found:
        mistakes.at(f"model.{key}", f"no class {shown(value)}{suggestion(value, map(labels.word, classes))}")
    elif len(found) > 1:
        meant = " and ".join(repr(classes[index]) for index in found)
        mistakes.at(f"model.{key}", f"{shown(value)} may mean {meant}; rename one of the classes")
    return (found[0] if found else 1), True


def _task(
    mistakes: Mistakes, opened: Opened | None, target: Sequence[Typed], prediction: Typed | None
) -> Task:
    stated = mistakes.spec.model.task
    known = opened.task if opened is not None else None
    if stated is not None and known is not None and known != stated:
        mistakes.at("model.task", f"the model does {known}, not {stated}; take the key out")
    if stated is not None or known is not None:
        return stated or known or "classification"
    if mistakes.spec.model.classes is not None or mistakes.spec.model.positive is not None:
        return "classification"
    seen = [*target, *([prediction] if prediction is not None else [])]
    # Scores without known truth are classified at the threshold.
    if not seen or any(column.kind in ("text", "boolean") for column in seen):
        return "classification"
    distinct = np.unique(np.concatenate([column.data[~column.missing].astype(np.float64) for column in seen]))
    if len(distinct) > MANY or (distinct != np.floor(distinct)).any():
        return "regression" if len(distinct) > 2 else "classification"
    if len(distinct) > 2:
        what = f"{len(distinct)} whole numbers may be classes or quantities; state task: classification"
        mistakes.at("model.task", f"{what} or regression")
    return "classification"


def _classes(
    mistakes: Mistakes, opened: Opened | None, target: Sequence[Typed], prediction: Typed | None
) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """The classes in the order of the scores, and what was decided about them."""
    stated = mistakes.spec.model.classes
    known = opened.classes if opened is not None else None
    if stated is not None:
        for label in {
            labels.word(label)
            for label in stated
            if sum(labels.word(label) == labels.word(other) for other in stated) > 1
        }:
            mistakes.at("model.classes", f"{shown(label)} is named twice")
        if known is not None and len(known) != len(stated):
            mistakes.at(
                "model.classes",
                f"{len(stated)} classes are stated and the model has {len(known)}: {_listed(known)}",
            )
        elif known is not None and opened is not None and not opened.generic:
            strange = [
                label
                for label, other in zip(stated, known, strict=True)
                if not labels.matches(label, [other])
            ]
            if strange:
                mistakes.at(
                    "model.classes",
                    f"the model's own classes are, in this order, {_listed(known)}; take the key out",
                )
                return known, ()
        return tuple(stated), ()
    found = _in_data([*target, *([prediction] if prediction is not None else [])])
    if known is None:
        if not found and prediction is None and not target:
            return (0, 1), ("no labels are known: the classes are called 0 and 1",)
        return tuple(found), ()
    if target and found and not any(labels.matches(label, known) for label in found):
        target_name = shown(mistakes.spec.data.target)
        what = (
            f"the labels {_listed(found)} of {target_name} are none of the model's classes {_listed(known)}"
        )
        mistakes.at(
            "model.classes",
            f"{what}; state model: classes: [...], the labels in the order of the model's scores",
        )
    return known, ()


def _in_data(columns: Sequence[Typed]) -> list[Any]:
    """All labels that occur, sorted; those of one word once."""
    found: dict[str, Any] = {}
    for column in columns:
        for label in labels.of_column(column):
            if not labels.matches(label, list(found.values())):
                found[labels.word(label)] = label
    try:
        return sorted(found.values())
    except TypeError:
        return [found[word] for word in sorted(found)]


def truth(mistakes: Mistakes, done: Outcome, column: Typed, path: str) -> tuple[NDArray[Any], dict[str, Any]]:
    """The target in a table's own order, and its invalid labels: how many, with examples."""
    if done.task == "regression":
        values = (
            column.data.astype(np.float64) if column.kind == "number" else np.full(len(column.data), np.nan)
        )
        values = np.where(np.isfinite(values), values, np.nan)
        bad = int(np.isnan(values).sum())
        return values, {
            "count": bad,
            "examples": labels.examples(
                (column.text(int(row)) or None for row in np.flatnonzero(np.isnan(values))),
                mistakes.spec.report.min_cell,
            ),
        }
    codes, _, ambiguous = labels.coded(column, done.classes)
    for label in ambiguous:
        mistakes.at(
            "data.target",
            f"the label {shown(label)} in {path} may mean more than one of {_listed(done.classes)}",
        )
    return codes, labels.invalid(column, codes, mistakes.spec.report.min_cell)


def target_columns(mistakes: Mistakes, decided: Decided) -> dict[int, Typed]:
    """The target of each table that has it."""
    name = mistakes.spec.data.target
    return {} if name is None else dict(decided.column(name).tables)

"""From a spec to a subject: the model opened, the tables read, every mistake in them told at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.errors import MethodError, Mistake, SpecError
from xai_audit.loaders import (
    dictionaries,
    facts,
    features,
    images,
    media,
    opening,
    outcome,
    predictions,
    roles,
    sets,
)
from xai_audit.loaders.cells import Cells, Typed, words
from xai_audit.loaders.deciding import Decided
from xai_audit.loaders.features import Case
from xai_audit.loaders.mistakes import Mistakes
from xai_audit.loaders.rows import digests, order
from xai_audit.loaders.scoring import bind, scored
from xai_audit.mechanistic.dynamics import checkpoints
from xai_audit.subject import Rows, Subject

if TYPE_CHECKING:
    from xai_audit.loaders.opened import Opened
    from xai_audit.loaders.outcome import Outcome
    from xai_audit.mechanistic.dynamics.checkpoints import Checkpoint
    from xai_audit.spec import Spec

Order = tuple[NDArray[np.bytes_], NDArray[np.int64], NDArray[np.int64]]
"""Digests in the file's order, positions that sort them, and the occurrence of each sorted row."""


def load(spec: Spec) -> Subject:
    """The model and the data of a spec in memory, scored.

    SpecError tells every mistake found, each with its place; its exit code is 4 where all of them are files
    that are missing, unreadable or not of their declared digest, else 2.
    """
    mistakes = Mistakes(spec)
    case, named = _case(mistakes)
    spec = mistakes.spec  # with the target that the pictures' folders are
    columns = [
        {name: case.decided.column(name).tables[place] for name in table.columns}
        for place, table in enumerate(case.decided.tables)
    ]
    target = outcome.target_columns(mistakes, case.decided)
    prediction = columns[0].get(spec.model.prediction or "") if case.opened is None else None
    done = outcome.outcome(mistakes, case.opened, list(target.values()), prediction)
    orders = [
        _ordered(digests(part, table.medium))
        for part, table in zip(columns, case.decided.tables, strict=True)
    ]
    test_order = orders[0][1]
    groupings, group_notes = roles.groupings(mistakes, case.decided, test_order)
    truths = {
        place: outcome.truth(mistakes, done, column, case.decided.tables[place].path)
        for place, column in target.items()
    }
    rows = [_rows(case, place, orders[place], truths) for place in range(len(orders))]
    examples, set_notes = sets.rows(case, named, done.classes)
    mistakes.check()
    model, bound_notes = (
        bind(case, case.opened, rows[0].frame, done) if case.opened is not None else (None, ())
    )
    result = scored(case, model, done, rows[0], test_order)
    mistakes.check()
    unseen = features.unseen(case)
    repeated, known = facts.overlap(case.decided, case.chosen.names, mistakes.spec.data.target)
    return Subject(
        model=result.model,
        task=done.task,
        columns=features.columns(case),
        test=rows[0],
        train=rows[1] if len(rows) > 1 else None,
        modality=case.decided.tables[0].modality,
        sets=examples,
        checkpoints=_checkpoints(spec),
        dictionaries=dictionaries.named(spec, result.model, rows[0].frame),
        classes=done.classes,
        positive=done.positive,
        favourable=done.favourable,
        threshold=result.threshold,
        groupings=groupings,
        scores=result.scores,
        prediction=result.prediction,
        probabilities=result.probabilities,
        sensitive_inputs=_sensitive_inputs(case),
        notes=(
            *_read_notes(case),
            *set_notes,
            *done.notes,
            *group_notes,
            *bound_notes,
            *result.notes,
            *_noticed(case, unseen, truths),
        ),
        facts={**repeated, **_facts(case, done, columns[0], truths, unseen)},
        in_training=None if known is None else known[test_order],
    )


def _case(mistakes: Mistakes) -> tuple[Case, dict[str, Cells]]:
    """The files of a spec opened, its features chosen and their types decided; and the files of its sets."""
    opened, tables, named = _files(mistakes.spec)
    decided = Decided(tables)
    media.with_target(mistakes, tables)
    media.agreed(mistakes, tables)
    sets.alike(mistakes, named, tables[0])
    if len({table.modality for table in (*tables, *named.values())}) > 1:
        mistakes.check()  # what follows asks tables for columns that pictures have not
    taken = roles.taken(mistakes, tables[0])
    if opened is None:
        predictions.columns(mistakes, tables[0].columns)
    chosen = features.choose(mistakes, opened, tables, taken)
    features.decide(mistakes, opened, decided, chosen.names)
    mistakes.check()
    return Case(mistakes, opened, decided, chosen), named


def _files(spec: Spec) -> tuple[Opened | None, list[Cells], dict[str, Cells]]:
    """The model, the tables and the sets; SpecError with what is wrong in any of them."""
    found: list[Mistake] = []
    named = sets.read(spec, found)
    try:
        opened, tables = opening.files(Mistakes(spec))
    except SpecError as error:
        raise SpecError([*error.mistakes, *found]) from None
    if found:
        raise SpecError(found)
    return opened, tables, named


def _checkpoints(spec: Spec) -> dict[str, tuple[Checkpoint, ...]]:
    """Files of weights by the name of their pattern; SpecError where there are none, or one cannot be read."""
    asked = spec.model.checkpoints
    patterns = {"": asked} if isinstance(asked, str) else asked or {}
    found, mistakes = {}, Mistakes(spec)
    for name, pattern in patterns.items():
        key = f"model.checkpoints.{name}" if name else "model.checkpoints"
        try:
            found[name] = checkpoints.found(spec.resolve("."), pattern)
        except MethodError as error:
            mistakes.at(key, str(error))
        except OSError as error:
            mistakes.at(key, f"{error.filename} cannot be read: {error.strerror or error}", missing=True)
        else:
            if not found[name]:
                mistakes.at(key, f"no file matches {pattern!r}", missing=True)
    mistakes.check()
    return found


def _ordered(found: NDArray[np.bytes_]) -> Order:
    return (found, *order(found))


def _rows(case: Case, place: int, ordered: Order, truths: Mapping[int, tuple[NDArray[Any], Any]]) -> Rows:
    """One table in the order of its content."""
    data, table = case.mistakes.spec.data, case.decided.tables[place]
    digest, rows, occurrence = ordered

    def column(name: str | None) -> Typed | None:
        return case.decided.column(name).tables[place] if name is not None and name in table.columns else None

    ids, weight, cluster = column(data.id), column(data.weight), column(data.cluster)
    weights = None if weight is None else roles.weights(weight, table, data.weight or "", case.mistakes)
    clusters = None if cluster is None else roles.clusters(cluster, table, data.cluster or "", case.mistakes)
    return Rows(
        frame=features.frame(case.decided, place, case.chosen.names, rows),
        digests=digest[rows],
        occurrence=occurrence,
        target=truths[place][0][rows] if place in truths else None,
        ids=None if ids is None else words(ids)[rows],
        weights=None if weights is None else weights[rows],
        clusters=None if clusters is None else clusters[rows],
        sha256=table.sha256,
        path=table.source or table.path,
        side=features.side(_beside(case, place), rows),
    )


def _beside(case: Case, place: int) -> dict[str, Typed]:
    """The columns of a table that are no features."""
    names = [name for name in case.decided.tables[place].columns if name not in case.chosen.names]
    return {name: case.decided.column(name).tables[place] for name in names}


def _sensitive_inputs(case: Case) -> tuple[str, ...]:
    sensitive = case.mistakes.spec.data.sensitive
    return tuple(item.column for item in sensitive if item.file is None and item.column in case.chosen.names)


def _facts(
    case: Case,
    done: Outcome,
    columns: Mapping[str, Typed],
    truths: Mapping[int, tuple[NDArray[Any], dict[str, Any]]],
    unseen: list[dict[str, Any]],
) -> dict[str, Any]:
    """What the checks of records read."""
    names, medium = case.chosen.names, case.medium
    sensitive = _sensitive_inputs(case)
    gone = (
        {}
        if medium is None or not medium.missing
        else {medium.name: {"count": medium.missing, "rows": len(medium.cells)}}
    )
    artefact = case.opened.artefact if case.opened is not None else facts.NO_ARTEFACT
    invalid: dict[str, Any] = {"count": 0, "examples": [], "rows": 0, "train": None}
    if 0 in truths:
        values, found = truths[0]
        invalid = {**found, "rows": len(values), "train": truths[1][1] if 1 in truths else None}
    rates = {}
    if done.task == "classification":
        labelled = [(name, place) for place, name in enumerate(("test", "train")) if place in truths]
        rates = {name: facts.base_rates(done.classes, truths[place][0]) for name, place in labelled}
    return {
        "leak": _leaks(case),
        "artefact": dict(artefact),
        "invalid_labels": invalid,
        # How many people a sensitive column says nothing of is told with its groups, or not at all.
        "missing": {
            **facts.missing({name: columns[name] for name in names if name not in sensitive}),
            **gone,
        },
        "unseen_levels": unseen,
        "base_rates": rates,
    }


def _leaks(case: Case) -> list[dict[str, str]]:
    """Features that are the target or the id, and who says so."""
    data = case.mistakes.spec.data
    by = "model" if case.opened is not None and case.opened.features is not None else "spec"
    named = (("target", data.target), ("id", data.id))
    return [
        {"column": name, "role": role, "by": by} for role, name in named if name in case.chosen.names and name
    ]


def _read_notes(case: Case) -> Sequence[str]:
    """What reading the files changed."""
    tables = [note for table in case.decided.tables for note in table.notes]
    medium = case.medium
    if medium is not None and medium.by_folder and case.mistakes.spec.data.target == images.CLASS:
        tables.append("the class of a picture is the folder it lies in")
    cells = [note for name in sorted(case.decided.known) for note in case.decided.known[name].notes]
    return [*tables, *cells, *(case.opened.notes if case.opened is not None else ())]


def _noticed(
    case: Case,
    unseen: Sequence[Mapping[str, Any]],
    truths: Mapping[int, tuple[NDArray[Any], Mapping[str, Any]]],
) -> Sequence[str]:
    """What is true of the records and must be known to read the report."""
    notes = []
    for item in unseen:
        levels = [*map(repr, item["levels"]), *(["..."] if item["count"] > len(item["levels"]) else [])]
        rows = "some" if item["rows"] is None else f"{item['rows']:,}"
        notes.append(
            f"{rows} test rows have a level of {item['column']!r} that was not seen in training ({', '.join(levels)})"
        )
    for place, (_, found) in truths.items():
        if found["count"]:
            examples = ", ".join(map(repr, found["examples"]))
            path = case.decided.tables[place].path
            which = f" ({examples})" if examples else ""
            notes.append(f"{found['count']:,} rows of {path} have no valid label{which} and count in no rate")
    if truths and len(case.decided.tables) > 1 and 1 not in truths:
        path = case.decided.tables[1].path
        notes.append(f"{path} has no column {case.mistakes.spec.data.target!r}: its labels are not known")
    if case.mistakes.spec.data.train is None:
        notes.append("there is no training data: what compares with it is left out")
    return notes

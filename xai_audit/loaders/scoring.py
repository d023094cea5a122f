"""The model bound to its columns, and its scores and decisions on the test rows."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.errors import SpecError
from xai_audit.loaders import features, labels
from xai_audit.loaders.mistakes import shown
from xai_audit.loaders.opened import Adapter, pair
from xai_audit.subject import Rows, in_blocks

if TYPE_CHECKING:
    import pandas as pd

    from xai_audit.loaders.cells import Cells, Decided, Typed
    from xai_audit.loaders.features import Chosen
    from xai_audit.loaders.mistakes import Mistakes
    from xai_audit.loaders.opened import Form, Opened
    from xai_audit.loaders.outcome import Outcome


@dataclass(frozen=True, eq=False)
class Scored:
    """What is known of the test rows' outcome, in row order."""

    model: Adapter | None
    scores: NDArray[np.float64] | None
    prediction: NDArray[Any] | None
    probabilities: bool
    threshold: float
    notes: tuple[str, ...] = ()


def bind(
    mistakes: Mistakes, opened: Opened, decided: Decided, chosen: Chosen, frame: pd.DataFrame, done: Outcome
) -> tuple[Adapter, tuple[str, ...]]:
    """The adapter of a model for these columns, and what was decided about dates."""
    notes: tuple[str, ...] = ()
    dates = [name for name in chosen.names if decided.column(name).kind == "date"]
    form: Form = "as it is"
    if dates:
        form, notes = _date_form(mistakes, opened, decided, chosen, frame, dates)
    inputs = features.inputs(opened, decided, chosen, form, mistakes)
    mistakes.check()
    adapter = Adapter(
        format=opened.format,
        sha256=opened.sha256,
        classes=done.classes or None,
        probabilities=opened.output == "probabilities",
        features=opened.features,
        details=opened.details,
        native=opened.native,
        answer=opened.answer,
        inputs=inputs,
    )
    return adapter, notes


def _date_form(
    mistakes: Mistakes,
    opened: Opened,
    decided: Decided,
    chosen: Chosen,
    frame: pd.DataFrame,
    dates: list[str],
) -> tuple[Form, tuple[str, ...]]:
    """How the model takes dates: as the file writes them, else the other way, else as days since 1970."""
    text = decided.tables[0].untyped or bool(opened.words & set(dates))
    forms: tuple[Form, ...] = ("iso", "moment") if text else ("moment", "iso")
    for form in forms if opened.takes == "frame" else ():
        inputs = features.inputs(opened, decided, chosen, form, mistakes)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                opened.answer.scores(inputs.of(frame.head(1)))
        except Exception:  # noqa: BLE001, S112 - a library may refuse a type in any way; the next form is tried
            continue
        return form, ()
    listed = ", ".join(map(repr, dates))
    return "as it is", (f"the model takes no dates; days since 1970-01-01 are given for {listed}",)


def scored(
    mistakes: Mistakes,
    opened: Opened | None,
    model: Adapter | None,
    test: Rows,
    done: Outcome,
    given: tuple[Typed | None, Typed | None],
    table: Cells,
    order: NDArray[np.int64],
) -> Scored:
    """Scores and decisions of the test rows, from the model or from the columns the spec names."""
    if model is not None and opened is not None:
        return _by_model(mistakes, opened, model, test, done, table, order)
    return _by_columns(mistakes, given, done, table, order)


def _by_model(
    mistakes: Mistakes,
    opened: Opened,
    model: Adapter,
    test: Rows,
    done: Outcome,
    table: Cells,
    order: NDArray[np.int64],
) -> Scored:
    scores = _asked(mistakes, model, test, table, order)
    for row in np.flatnonzero(~np.isfinite(scores).all(axis=1)):
        place = table.line(int(order[row]))
        what = f"the model's score is {scores[row][~np.isfinite(scores[row])][0]}, which nothing can be measured on"
        mistakes.cell(table.path, place, None, what, kind="score")
    mistakes.check()
    threshold, notes = _threshold(mistakes, 0.0 if opened.output == "decision" else 0.5)
    if done.task == "regression":
        if scores.shape[1] != 1:
            mistakes.at(
                "model.path", f"a regression gives one number a row, and the model gives {scores.shape[1]}"
            )
            mistakes.check()
        return Scored(model, scores, scores[:, 0].copy(), probabilities=False, threshold=threshold)
    k = len(done.classes)
    output = opened.output
    if output == "unknown":
        model, scores, output, more = _known(model, scores, k)
        notes = (*notes, *more)
    if scores.shape[1] not in ((k,) if k > 2 or output != "unknown" else (1, k)):
        mistakes.at("model.classes", f"the model gives {scores.shape[1]} scores a row for {k} classes")
        mistakes.check()
    if output == "labels":
        note = "the model gives decisions and no scores: what needs scores is left out"
        return Scored(
            model, None, scores.argmax(axis=1), probabilities=False, threshold=threshold, notes=(*notes, note)
        )
    if output == "decision":
        notes = (
            *notes,
            f"the model gives decision values, not probabilities; {threshold:g} is the threshold",
        )
    return Scored(
        model,
        scores,
        decided(scores, done, threshold),
        probabilities=output == "probabilities",
        threshold=threshold,
        notes=notes,
    )


def _known(
    model: Adapter, scores: NDArray[np.float64], k: int
) -> tuple[Adapter, NDArray[np.float64], Any, tuple[str, ...]]:
    """What scores of no stated meaning are: probabilities, decisions, or bare scores."""
    bounded = bool(((scores >= 0) & (scores <= 1)).all())
    if scores.shape[1] > 1:
        sums = bool(np.allclose(scores.sum(axis=1), 1.0, rtol=0, atol=1e-5))
        output = "probabilities" if bounded and sums else "decision"
        return replace(model, probabilities=output == "probabilities"), scores, output, ()
    if bounded and k == 2:
        hard = bool(np.isin(scores, (0.0, 1.0)).all())
        model = replace(model, probabilities=not hard, positive=True)
        note = ("every score is 0 or 1: they are taken for decisions",) if hard else ()
        return model, pair(scores[:, 0], second=True), "labels" if hard else "probabilities", note
    note = "the scores lie outside [0, 1]: they rank, and are no probabilities"
    return replace(model, probabilities=False, classes=None), scores, "unknown", (note,)


def _threshold(mistakes: Mistakes, default: float) -> tuple[float, tuple[str, ...]]:
    """The spec's threshold where it states one, else the output's own default."""
    model = mistakes.spec.model
    return (model.threshold if "threshold" in model.model_fields_set else default), ()


def decided(scores: NDArray[np.float64], done: Outcome, threshold: float) -> NDArray[np.int64]:
    """Class indices: for two classes the positive one at or above the threshold, else the largest score."""
    if len(done.classes) == 2:
        score = scores[:, done.positive] if scores.shape[1] > 1 else scores[:, 0]
        return np.where(score >= threshold, done.positive, 1 - done.positive).astype(np.int64)
    return scores.argmax(axis=1).astype(np.int64)


def _asked(
    mistakes: Mistakes, model: Adapter, test: Rows, table: Cells, order: NDArray[np.int64]
) -> NDArray[np.float64]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = in_blocks(model.scores, test.frame)
    except SpecError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a model raises is told in one line
        reason = (str(error).splitlines() or [""])[0][:300]
        what = f"the model refused the test rows: {type(error).__name__}: {reason}"
        gone = test.frame.isna().to_numpy()
        if gone.any():
            # The first in the file's order, which is the one a person will look for.
            row, column = min(
                ((int(order[row]), int(column)) for row, column in np.argwhere(gone)), default=(0, 0)
            )
            what += f"; the first missing value is {table.path}:{table.line(row)}:{shown(test.frame.columns[column])}"
        mistakes.at("model.path", what)
        raise SpecError(mistakes.told()) from None
    if found.ndim != 2 or len(found) != test.n:
        mistakes.at("model.path", f"the model answers {test.n} rows with an array of shape {found.shape}")
        raise SpecError(mistakes.told())
    return found


def _by_columns(
    mistakes: Mistakes,
    given: tuple[Typed | None, Typed | None],
    done: Outcome,
    table: Cells,
    order: NDArray[np.int64],
) -> Scored:
    score, prediction = given
    model = mistakes.spec.model
    threshold, notes = _threshold(mistakes, 0.5)
    values = None if score is None else _numbers(score, model.score or "", table, mistakes)
    if done.task == "regression":
        return _regression(mistakes, values, prediction, table, order, threshold)
    decisions = None
    if prediction is not None:
        decisions, _, _ = labels.coded(prediction, done.classes)
        for row in np.flatnonzero(decisions < 0):
            word = prediction.text(int(row))
            what = f"{shown(word)} is none of the classes" if word else "a decision is missing"
            mistakes.cell(table.path, table.line(int(row)), model.prediction, what, kind="prediction")
    if values is not None and len(done.classes) > 2:
        mistakes.at(
            "model.score",
            f"one score column says nothing about {len(done.classes)} classes; give prediction alone",
        )
    mistakes.check()
    if values is None:
        assert decisions is not None
        return Scored(None, None, decisions[order], probabilities=False, threshold=threshold, notes=notes)
    values = values[order]
    bounded = bool(((values >= 0) & (values <= 1)).all())
    scores = pair(values, second=done.positive == 1) if bounded else values[:, None]
    if not bounded:
        notes = (
            *notes,
            f"the scores of {model.score!r} lie outside [0, 1]: they rank, and are no probabilities",
        )
    made = decided(scores, done, threshold)
    if decisions is not None:
        differ = int((made != decisions[order]).sum())
        if differ:
            notes = (
                *notes,
                f"{differ:,} decisions of {model.prediction!r} differ from the score at {threshold:g}; the decisions count",
            )
        made = decisions[order]
    return Scored(None, scores, made, probabilities=bounded, threshold=threshold, notes=notes)


def _numbers(column: Typed, name: str, table: Cells, mistakes: Mistakes) -> NDArray[np.float64]:
    if column.kind != "number":
        mistakes.cell(
            table.path, None, name, "a score is a number, and this column is not numeric", kind="score"
        )
        return np.zeros(len(column.values))
    values = column.values.astype(np.float64)
    for row in np.flatnonzero(~np.isfinite(values)):
        what = f"a score is a finite number, not {column.text(int(row)) or 'missing'}"
        mistakes.cell(table.path, table.line(int(row)), name, what, kind="score")
    return values


def _regression(
    mistakes: Mistakes,
    values: NDArray[np.float64] | None,
    prediction: Typed | None,
    table: Cells,
    order: NDArray[np.int64],
    threshold: float,
) -> Scored:
    name = mistakes.spec.model.prediction or ""
    if values is not None and prediction is not None:
        mistakes.at("model.score", "a regression has one column of predicted numbers; give prediction alone")
    found = values if prediction is None else _numbers(prediction, name, table, mistakes)
    mistakes.check()
    assert found is not None
    found = found[order]
    return Scored(None, found[:, None].copy(), found, probabilities=False, threshold=threshold)

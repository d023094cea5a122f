"""The model bound to its columns, and its scores and decisions on the test rows."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.errors import MethodError, SpecError
from xai_audit.loaders import features, labels, links
from xai_audit.loaders.mistakes import shown
from xai_audit.loaders.opened import Adapter, Linked, Noticing, Opened, Seen, pair
from xai_audit.subject import Rows, filled, in_blocks

if TYPE_CHECKING:
    import pandas as pd

    from xai_audit.loaders.cells import Typed
    from xai_audit.loaders.features import Case
    from xai_audit.loaders.opened import Form, Output
    from xai_audit.loaders.outcome import Outcome

_SUM = 1e-5
"""How far probabilities of one row may be from adding up to one; float32 graphs are."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """What is known of the test rows' outcome, in row order."""

    model: Adapter | None = None
    scores: NDArray[np.float64] | None
    prediction: NDArray[Any]
    probabilities: bool
    threshold: float
    notes: tuple[str, ...] = ()


def bind(case: Case, opened: Opened, frame: pd.DataFrame, done: Outcome) -> tuple[Adapter, tuple[str, ...]]:
    """The adapter of a model for these columns, and what was decided about dates."""
    notes: tuple[str, ...] = ()
    if isinstance(opened.answer, Linked):
        # What reads the rows is chosen before any row is asked.
        notes = opened.answer.seen(_seen(case, frame), case.mistakes)
        case.mistakes.check()
    form, more = _date_form(case, opened, frame)
    notes = (*notes, *more)
    inputs = features.inputs(case, opened, form)
    case.mistakes.check()
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


def _seen(case: Case, frame: pd.DataFrame) -> Seen:
    """The features, as a model of pictures or texts sees them."""
    table = case.decided.tables[0]
    words = tuple(name for name in case.chosen.names if case.decided.column(name).kind == "text")
    return Seen(table.modality, tuple(map(str, frame.columns)), words, frame, table.path)


def _date_form(case: Case, opened: Opened, frame: pd.DataFrame) -> tuple[Form, tuple[str, ...]]:
    """How the model takes dates: as the file writes them, else the other way, else as days since 1970."""
    dates = [name for name in case.chosen.names if case.decided.column(name).kind == "date"]
    if not dates:
        return "as it is", ()
    if opened.form == "http":
        return "iso", ()  # JSON has no other dates, and no row is sent to find that out
    forms: tuple[Form, ...] = ("iso", "moment") if case.decided.tables[0].untyped else ("moment", "iso")
    for form in forms if opened.takes == "frame" else ():
        inputs = features.inputs(case, opened, form)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                opened.answer.scores(inputs.of(frame.head(1)))
        except Exception:  # noqa: BLE001, S112 - libraries refuse types in any way; the next is tried
            continue
        return form, ()
    listed = ", ".join(map(repr, dates))
    return "as it is", (f"the model takes no dates; days since 1970-01-01 are given for {listed}",)


def scored(case: Case, model: Adapter | None, done: Outcome, test: Rows, order: NDArray[np.int64]) -> Scored:
    """Scores and decisions of the test rows, from the model or from the columns the spec names."""
    if model is not None and case.opened is not None:
        scores = _asked(case, model, test, order)
        case.mistakes.check()
        output: Output = case.opened.output
        notes: tuple[str, ...] = ()
        if isinstance(model.answer, Linked):
            _steady(case, model, test)
        if isinstance(model.answer, Linked) and done.task == "classification":
            scores, output, notes = _linked(case, model.answer, done, scores, output)
        by_model = _by_model(case, replace(model), done, scores, output)
        said = model.answer.noticed() if isinstance(model.answer, Noticing) else ()
        return replace(by_model, notes=(*notes, *by_model.notes, *said))
    return _by_columns(case, done, order)


def _steady(case: Case, model: Adapter, test: Rows) -> None:
    """Mistakes where the same rows get other scores when they are asked again."""
    few = test.frame.head(4)
    if not np.array_equal(model.scores(few), model.scores(few)):
        what = (
            "the network gives other outputs each time it is asked; is dropout on, or does it draw at random?"
        )
        case.mistakes.at("model.path", what)
        case.mistakes.check()


def _linked(
    case: Case, answer: Linked, done: Outcome, outputs: NDArray[np.float64], output: Output
) -> tuple[NDArray[np.float64], Output, tuple[str, ...]]:
    """The scores that outputs come to once their link is known, and what was decided of it."""
    model, opened = case.mistakes.spec.model, case.opened
    assert opened is not None
    if answer.reader is None and model.outputs is None:
        return outputs, output, ()
    stated = model.outputs or opened.stated
    answer.link, output, notes = links.settled(outputs, len(done.classes), stated, case.mistakes)
    case.mistakes.check()
    numbers = list(done.classes) == list(range(len(done.classes)))
    if model.classes is None and opened.classes is None and not numbers:
        listed = ", ".join(map(shown, done.classes[:12])) + (", ..." if len(done.classes) > 12 else "")
        named = f"the network does not name its classes: its outputs are taken for {listed}, in this order"
        notes = (*notes, named)
    return answer.linked(outputs), output, notes


def _by_model(
    case: Case, model: Adapter, done: Outcome, scores: NDArray[np.float64], output: Output
) -> Scored:
    threshold = _threshold(case, 0.0 if output == "decision" else 0.5)
    if done.task == "regression":
        if scores.shape[1] != 1:
            what = f"a regression gives one number a row, and the model gives {scores.shape[1]}"
            case.mistakes.at("model.path", what)
            case.mistakes.check()
        model = _telling(model, "values", probabilities=False)
        return Scored(
            model=model,
            scores=scores,
            prediction=scores[:, 0].copy(),
            probabilities=False,
            threshold=threshold,
        )
    k = len(done.classes)
    notes: tuple[str, ...] = ()
    if output == "unknown":
        output, notes = _meaning(scores, k)
        if scores.shape[1] == 1 and output != "unknown":
            # One number in [0, 1] for two classes is the chance of the second; from here it is told for both.
            model, scores = replace(model, positive=True), pair(scores[:, 0], second=True)
    if scores.shape[1] != k and not (scores.shape[1] == 1 and k == 2 and output == "unknown"):
        case.mistakes.at("model.classes", f"the model gives {scores.shape[1]} scores a row for {k} classes")
        case.mistakes.check()
    model = _telling(model, output, probabilities=output == "probabilities")
    if output == "labels":
        note = "the model gives decisions and no scores: what needs scores is left out"
        return Scored(
            model=model,
            scores=None,
            prediction=scores.argmax(axis=1),
            probabilities=False,
            threshold=threshold,
            notes=(*notes, note),
        )
    if output == "decision":
        notes = (
            *notes,
            f"the model gives decision values, not probabilities; {threshold:g} is the threshold",
        )
    return Scored(
        model=model,
        scores=scores,
        prediction=decisions(scores, done, threshold),
        probabilities=output == "probabilities",
        threshold=threshold,
        notes=notes,
    )


def _telling(model: Adapter, output: Output, *, probabilities: bool) -> Adapter:
    """The adapter with what its output turned out to be."""
    told = "scores" if output == "unknown" else output
    classes = None if output == "unknown" else model.classes
    return replace(
        model, probabilities=probabilities, classes=classes, details={**model.details, "output": told}
    )


def _meaning(scores: NDArray[np.float64], k: int) -> tuple[Output, tuple[str, ...]]:
    """What scores of no stated meaning are: probabilities, decision values, labels, or ``unknown`` ranks."""
    bounded = bool(((scores >= 0) & (scores <= 1)).all())
    if scores.shape[1] > 1:
        sums = bool(np.allclose(scores.sum(axis=1), 1.0, rtol=0, atol=_SUM))
        return ("probabilities" if bounded and sums else "decision"), ()
    if bounded and k == 2:
        if np.isin(scores, (0.0, 1.0)).all():
            return "labels", ("every score is 0 or 1: they are taken for decisions",)
        return "probabilities", ()
    return "unknown", ("the scores lie outside [0, 1]: they rank, and are no probabilities",)


def _threshold(case: Case, default: float) -> float:
    """The spec's threshold where it states one, else the output's own default."""
    model = case.mistakes.spec.model
    return model.threshold if "threshold" in model.model_fields_set else default


def decisions(scores: NDArray[np.float64], done: Outcome, threshold: float) -> NDArray[np.int64]:
    """Class indices: for two classes the positive one at or above the threshold, else the largest score."""
    if len(done.classes) == 2:
        score = scores[:, done.positive] if scores.shape[1] > 1 else scores[:, 0]
        return np.asarray(np.where(score >= threshold, done.positive, 1 - done.positive), dtype=np.int64)
    return np.asarray(scores.argmax(axis=1), dtype=np.int64)


def _asked(case: Case, model: Adapter, test: Rows, order: NDArray[np.int64]) -> NDArray[np.float64]:
    """The model's scores on the test rows; SpecError where it refuses them or a score is no number."""
    mistakes, table = case.mistakes, case.decided.tables[0]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = in_blocks(model.scores, test.frame, filled(model))
    except MethodError as error:
        # A model behind a URL, and what reads pictures, say themselves what went wrong.
        remote = case.opened is not None and case.opened.form == "http"
        mistakes.at("model.url" if remote else "model.preprocess", str(error), missing=remote)
        raise SpecError(mistakes.told()) from None
    except Exception as error:  # noqa: BLE001 - whatever a model raises is told in one line
        reason = (str(error).splitlines() or [""])[0][:300]
        what = f"the model refused the test rows: {type(error).__name__}: {reason}"
        gone = test.frame.isna().to_numpy()
        if gone.any():
            # The first in the file's order, which is the one a person will look for.
            row, column = min((int(order[at]), int(where)) for at, where in np.argwhere(gone).tolist())
            name = shown(test.frame.columns[column])
            what += f"; the first missing value is {table.path}:{table.line(row)}:{name}"
        mistakes.at("model.path", what)
        raise SpecError(mistakes.told()) from None
    if len(found) != test.n:
        mistakes.at("model.path", f"the model answers {test.n} rows with an array of shape {found.shape}")
        raise SpecError(mistakes.told())
    for bad in np.flatnonzero(~np.isfinite(found).all(axis=1)):
        value = found[bad][~np.isfinite(found[bad])][0]
        what = f"the model's score is {value}, on which nothing can be measured"
        mistakes.cell(table.path, table.line(int(order[bad])), None, what, kind="score")
    return found


def _by_columns(case: Case, done: Outcome, order: NDArray[np.int64]) -> Scored:
    """Scores and decisions from columns of the test table."""
    model, mistakes = case.mistakes.spec.model, case.mistakes
    threshold = _threshold(case, 0.5)
    values = None if model.score is None else _numbers(case, model.score)
    if done.task == "regression":
        return _regression(case, values, order, threshold)
    made = None if model.prediction is None else _made(case, model.prediction, done)
    if values is not None and len(done.classes) > 2:
        what = f"one score column says nothing about {len(done.classes)} classes; give prediction alone"
        mistakes.at("model.score", what)
    mistakes.check()
    if values is None:
        assert made is not None
        return Scored(scores=None, prediction=made[order], probabilities=False, threshold=threshold)
    values = values[order]
    bounded = bool(((values >= 0) & (values <= 1)).all())
    scores = pair(values, second=done.positive == 1) if bounded else values[:, None]
    notes: tuple[str, ...] = ()
    if not bounded:
        notes = (f"the scores of {model.score!r} lie outside [0, 1]: they rank, and are no probabilities",)
    prediction = decisions(scores, done, threshold)
    if made is not None:
        differ = int((prediction != made[order]).sum())
        if differ:
            what = f"{differ:,} decisions of {model.prediction!r} differ from the score at {threshold:g}"
            notes = (*notes, f"{what}; the decisions count")
        prediction = made[order]
    return Scored(
        scores=scores, prediction=prediction, probabilities=bounded, threshold=threshold, notes=notes
    )


def _made(case: Case, name: str, done: Outcome) -> NDArray[np.int64]:
    """The decisions of a column as class indices, in the file's order."""
    column, table = case.decided.column(name).tables[0], case.decided.tables[0]
    found, _, _ = labels.coded(column, done.classes)
    for row in np.flatnonzero(found < 0):
        word = column.text(int(row))
        what = f"{shown(word)} is none of the classes" if word else "a decision is missing"
        case.mistakes.cell(table.path, table.line(int(row)), name, what, kind="prediction")
    return found


def _numbers(case: Case, name: str) -> NDArray[np.float64]:
    """A column of finite numbers, in the file's order."""
    column: Typed = case.decided.column(name).tables[0]
    table = case.decided.tables[0]
    if column.kind != "number":
        what = "a score is a number, and this column is not numeric"
        case.mistakes.cell(table.path, None, name, what, kind="score")
        return np.zeros(column.n)
    values = column.data.astype(np.float64)
    for row in np.flatnonzero(~np.isfinite(values)):
        what = f"a score is a finite number, not {column.text(int(row)) or 'missing'}"
        case.mistakes.cell(table.path, table.line(int(row)), name, what, kind="score")
    return values


def _regression(
    case: Case, values: NDArray[np.float64] | None, order: NDArray[np.int64], threshold: float
) -> Scored:
    model = case.mistakes.spec.model
    if values is not None and model.prediction is not None:
        what = "a regression has one column of predicted numbers; give prediction alone"
        case.mistakes.at("model.score", what)
    found = values if model.prediction is None else _numbers(case, model.prediction)
    case.mistakes.check()
    assert found is not None
    found = found[order]
    return Scored(scores=found[:, None].copy(), prediction=found, probabilities=False, threshold=threshold)

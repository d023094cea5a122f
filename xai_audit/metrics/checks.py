"""Small checks that every audit makes of its data and its model file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit import intervals as iv
from xai_audit.evidence import Scalar, exactly
from xai_audit.method import Context, Measured, Method, NoParams, Skipped
from xai_audit.metrics.labelled import tally

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from xai_audit.subject import Grouping, Subject


def _train_test_overlap(subject: Subject, _: NoParams, __: Context) -> Iterator[Measured | Skipped]:
    shared = subject.facts.get("train_test_overlap")
    if shared is None:
        yield Skipped(reason="the tables could not be compared")
        return
    yield Measured(
        observation=Scalar(
            estimate=exactly(shared["count"] / shared["rows"], shared["rows"]), unit="share of test rows"
        ),
        arrays={} if subject.in_training is None else {"in_training": subject.in_training},
    )


def _invalid_labels(subject: Subject, _: NoParams, __: Context) -> Iterator[Measured | Skipped]:
    count = subject.facts.get("invalid_labels", {"count": 0})["count"]
    yield Measured(observation=Scalar(estimate=exactly(count, subject.test.n), unit="test rows"))


def _target_leak(subject: Subject, _: NoParams, __: Context) -> Iterator[Measured | Skipped]:
    leaks = subject.facts.get("leak", [])
    limits = tuple(f"{leak['column']} is the {leak['role']} and a model input." for leak in leaks)
    yield Measured(
        observation=Scalar(estimate=exactly(len(leaks), len(subject.columns)), unit="columns"), limits=limits
    )


def _artefact_safety(subject: Subject, _: NoParams, __: Context) -> Iterator[Measured | Skipped]:
    artefact = subject.facts.get("artefact")
    if artefact is None:
        yield Skipped(reason="the model file was not examined")
        return
    suspicious = artefact.get("suspicious", [])
    count = len(suspicious)
    limits = []
    if artefact.get("code_carrying"):
        limits.append("This format can carry code; it was opened because the spec trusts it by its digest.")
    limits += [f"{name} is outside the short list of expected imports." for name in suspicious[:10]]
    yield Measured(
        observation=Scalar(
            estimate=exactly(count, max(len(artefact.get("globals", [])), count)), unit="imports"
        ),
        limits=tuple(limits),
    )


def _protected_flip_rate(subject: Subject, _: NoParams, context: Context) -> Iterator[Measured | Skipped]:
    for grouping in subject.groupings:
        if len(grouping.columns) != 1:
            continue
        column = grouping.columns[0]
        if subject.modality != "table":
            where = "picture" if subject.modality == "image" else "text"
            yield Skipped(
                reason=f"{column} is a column beside the {where}; changing it does not change what the {where} shows",
                columns=grouping.columns,
            )
            continue
        if column not in subject.sensitive_inputs:
            yield Measured(
                columns=grouping.columns,
                title=f"Decisions that change with {column} alone",
                observation=Scalar(estimate=exactly(0.0, subject.test.n), unit="share of rows"),
                limits=(f"{column} is not a model input, so no prediction can change with it alone.",),
            )
            continue
        flipped = _flipped(subject, grouping)
        share = tally(subject, flipped, np.ones(subject.test.n, dtype=bool))
        if share is None:
            yield Skipped(reason="no row has a weight", columns=grouping.columns)
            continue
        yield Measured(
            columns=grouping.columns,
            title=f"Decisions that change with {column} alone",
            observation=Scalar(
                estimate=context.estimate(
                    share.value, iv.rate(share.successes, share.rows, context.levels), share.count
                ),
                unit="share of rows",
            ),
            arrays={"flipped": flipped},
        )


def _flipped(subject: Subject, grouping: Grouping) -> NDArray[np.bool_]:
    """Rows whose decision changes when the column takes any other group's typical value."""
    column = grouping.columns[0]
    frame = subject.test.frame
    before = _decided(subject, frame)
    flipped = np.zeros(subject.test.n, dtype=bool)
    for code in range(len(grouping.keys)):
        members = np.flatnonzero(grouping.codes == code)
        if not len(members) or grouping.missing[code]:
            continue
        values = frame[column].iloc[members].sort_values(kind="stable")
        typical = values.iloc[(len(values) - 1) // 2]
        changed = frame.copy()
        others = grouping.codes != code
        new = changed[column].copy()
        new[others] = typical
        changed[column] = new
        flipped |= _differs(subject, before, _decided(subject, changed)) & others
    return flipped


def _decided(subject: Subject, frame: pd.DataFrame) -> NDArray[Any]:
    scores = subject.evaluate(frame)
    if subject.task == "regression":
        return scores[:, 0]
    if subject.binary:
        positive = scores[:, subject.positive] if scores.shape[1] > 1 else scores[:, 0]
        return np.where(positive >= subject.threshold, subject.positive, 1 - subject.positive)
    return np.asarray(np.argmax(scores, axis=1))


def _differs(subject: Subject, before: NDArray[Any], after: NDArray[Any]) -> NDArray[np.bool_]:
    if subject.task == "regression":
        scale = float(np.ptp(before)) or 1.0
        return np.asarray(np.abs(after - before) > 0.01 * scale)
    return np.asarray(before != after)


def _check(identifier: str, title: str, measures: str, run: Any, **more: Any) -> Method[Any]:
    return Method(
        id=identifier,
        kind="metric",
        title=title,
        measures=measures,
        params=NoParams,
        run=run,
        selectable=False,
        **more,
    )


METHODS: tuple[Method[Any], ...] = (
    _check(
        "train_test_overlap",
        "Rows shared by training and test data",
        "The share of test rows that stand, equal in every shared column, in the training data.",
        _train_test_overlap,
        needs=("train",),
        limits=("It finds exact copies only, not near copies or the same person measured twice.",),
    ),
    _check(
        "invalid_labels",
        "Missing or unknown labels",
        "How many test rows have no label or one the model does not know.",
        _invalid_labels,
        needs=("labels",),
        limits=("A label that is there may still be wrong.",),
    ),
    _check(
        "target_leak",
        "Target or identifier among the inputs",
        "How many model inputs are the target or the row identifier.",
        _target_leak,
        limits=("A column derived from the target under another name is not found.",),
    ),
    _check(
        "artefact_safety",
        "Unexpected imports in the model file",
        "How many imports the model file asks for that a model of its kind does not need.",
        _artefact_safety,
        needs=("model",),
        limits=("A clean list does not prove that a file does no harm.",),
    ),
    _check(
        "protected_flip_rate",
        "Decisions that change with a protected attribute alone",
        "The share of rows whose decision changes when only the sensitive column takes another group's typical value.",
        _protected_flip_rate,
        needs=("model", "groups"),
        limits=("Other inputs may stand in for the attribute; this changes none of them.",),
        parts=(),
    ),
)

"""Errors of predicted numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit import intervals_rows as from_rows
from xai_audit.metrics.labelled import independent
from xai_audit.metrics.statistics import Found, Statistic, Undefined, by_rows, method

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.method import Method
    from xai_audit.subject import Subject


def _errors(subject: Subject, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    assert subject.test.target is not None
    assert subject.prediction is not None
    return np.asarray(subject.test.target[rows] - subject.prediction[rows], dtype=float)


def _mean_absolute_error(subject: Subject, rows: NDArray[np.int64], _: int) -> Found:
    return by_rows(subject, np.abs(_errors(subject, rows)), rows)


def _root_mean_squared_error(subject: Subject, rows: NDArray[np.int64], _: int) -> Found:
    errors = _errors(subject, rows)
    if independent(subject):
        values = errors.tolist()
        return from_rows.root_mean_square(values, (0.95,))[0], lambda levels: from_rows.root_mean_square(
            values, levels
        )[1]
    value, at = by_rows(subject, errors**2, rows)
    return value**0.5, lambda levels: [
        (0.0 if low is None else max(low, 0.0) ** 0.5, None if high is None else high**0.5)
        for low, high in at(levels)
    ]


def _r2(subject: Subject, rows: NDArray[np.int64], _: int) -> Found:
    assert subject.test.target is not None
    assert subject.prediction is not None
    truth = subject.test.target[rows].tolist()
    if not independent(subject):
        return Undefined("not available with weights or clusters")
    if len(truth) < 2 or min(truth) == max(truth):
        return Undefined("the target does not vary")
    predicted = subject.prediction[rows].tolist()
    return from_rows.r_squared(truth, predicted, (0.95,))[0], lambda levels: from_rows.r_squared(
        truth, predicted, levels
    )[1]


METHODS: tuple[Method[Any], ...] = tuple(
    method(statistic)
    for statistic in (
        Statistic(
            "mean_absolute_error",
            "Mean absolute error",
            "The mean distance of prediction and truth, in units of the target.",
            _mean_absolute_error,
            ("regression", "labels"),
            "lower",
            limits=("Errors too high and too low count alike.",),
        ),
        Statistic(
            "root_mean_squared_error",
            "Root mean squared error",
            "The root of the mean squared distance of prediction and truth, in units of the target.",
            _root_mean_squared_error,
            ("regression", "labels"),
            "lower",
            limits=("A few large errors decide it.",),
        ),
        Statistic(
            "r2",
            "R squared",
            "The share of the target's variance that the predictions account for.",
            _r2,
            ("regression", "labels"),
            "higher",
            limits=("Within a group it compares with the group's own mean; a narrow group scores low.",),
        ),
    )
)

"""Numbers made of several rates of the confusion table: balanced accuracy, F1, Matthews correlation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit import intervals as iv
from xai_audit.metrics.labelled import independent, tally
from xai_audit.metrics.statistics import Found, Statistic, Undefined, method

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.method import Method
    from xai_audit.subject import Subject


def _inside(subject: Subject, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    mask = np.zeros(subject.test.n, dtype=bool)
    mask[rows] = True
    return mask


def _counts(subject: Subject, rows: NDArray[np.int64], index: int) -> tuple[float, float, float, float]:
    """Effective counts of true positives, false positives, false negatives and true negatives."""
    assert subject.test.target is not None
    assert subject.prediction is not None
    inside = _inside(subject, rows)
    true, predicted = subject.test.target == index, subject.prediction == index
    shares = [
        tally(subject, cell, inside)
        for cell in (true & predicted, ~true & predicted, true & ~predicted, ~true & ~predicted)
    ]
    # Each cell is a share of all rows; with weights or clusters the smallest effective size stands for all four.
    known = [share for share in shares if share is not None]
    rows_effective = min((share.rows for share in known), default=0.0)
    tp, fp, fn, tn = (share.value * rows_effective for share in known) if known else (0.0, 0.0, 0.0, 0.0)
    if independent(subject) and known:
        tp, fp, fn, tn = (share.successes for share in known)
    return tp, fp, fn, tn


def _balanced_accuracy(subject: Subject, rows: NDArray[np.int64], _: int) -> Found:
    assert subject.test.target is not None
    assert subject.prediction is not None
    inside = _inside(subject, rows)
    recalls = []
    for index in range(len(subject.classes)):
        true = (subject.test.target == index) & inside
        found = tally(subject, subject.prediction == index, true)
        if found is None:
            return Undefined(f"no rows of class {subject.classes[index]}")
        recalls.append(found)
    xs, ns = [recall.successes for recall in recalls], [recall.rows for recall in recalls]
    value = sum(sorted(recall.value for recall in recalls)) / len(recalls)
    return value, lambda levels: iv.mean_of_rates(xs, ns, levels)


def _f1(subject: Subject, rows: NDArray[np.int64], index: int) -> Found:
    tp, fp, fn, _ = _counts(subject, rows, index)
    if tp + fp + fn == 0:
        return Undefined("no positives, true or predicted")
    return 2 * tp / (2 * tp + fp + fn), lambda levels: iv.f1(tp, fp, fn, levels)


def _matthews(subject: Subject, rows: NDArray[np.int64], index: int) -> Found:
    tp, fp, fn, tn = _counts(subject, rows, index)
    if not ((tp + fp) and (tp + fn) and (tn + fp) and (tn + fn)):
        return Undefined("one class only, true or predicted")
    return iv.matthews_value(tp, fp, fn, tn), lambda levels: iv.matthews(tp, fp, fn, tn, levels)


METHODS: tuple[Method[Any], ...] = tuple(
    method(statistic)
    for statistic in (
        Statistic(
            "balanced_accuracy",
            "Balanced accuracy",
            "The mean over classes of the share of their rows predicted correctly.",
            _balanced_accuracy,
            ("classification", "labels"),
            "higher",
            labels=True,
            per_class=False,
            limits=("It weighs a rare class like a common one.",),
            cites=("Zou and Donner 2008",),
        ),
        Statistic(
            "f1",
            "F1",
            "The harmonic mean of precision and recall.",
            _f1,
            ("classification", "labels"),
            "higher",
            labels=True,
            limits=("It ignores rows rightly predicted negative.",),
            cites=("Wilson 1927",),
        ),
        Statistic(
            "matthews_corrcoef",
            "Matthews correlation coefficient",
            "The correlation of true and predicted classes.",
            _matthews,
            ("classification", "labels"),
            "higher",
            labels=True,
            limits=("Two models with the same value may err in opposite ways.",),
            cites=("Matthews 1975",),
        ),
    )
)

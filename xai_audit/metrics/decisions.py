"""What the threshold decides: the confusion matrix, other thresholds, and the gain over a trivial baseline."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit import intervals as iv
from xai_audit.evidence import Curve, Frozen, Matrix, Point, Scalar, Series
from xai_audit.method import Context, Measured, Method, NoParams, Skipped
from xai_audit.metrics.labelled import known, labelled_sampling, tally, unweighted
from xai_audit.metrics.statistics import by_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.metrics.grouped import Limits
    from xai_audit.subject import Subject


def _confusion_matrix(subject: Subject, _: NoParams, __: Context) -> Iterator[Measured | Skipped]:
    assert subject.prediction is not None
    assert subject.test.target is not None
    valid = known(subject)
    names = tuple(str(label) for label in subject.classes)
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(counts, (subject.test.target[valid], subject.prediction[valid]), 1)
    # No cell is withheld: these count mistakes over everybody, and recall and precision print the same counts.
    values = tuple(tuple(float(count) for count in row) for row in counts)
    yield Measured(
        observation=Matrix(
            rows=names, columns=names, values=values, row_title="true", column_title="predicted"
        ),
        sampling=labelled_sampling(subject),
        limits=unweighted(subject),
    )


def _threshold_sweep(subject: Subject, _: NoParams, context: Context) -> Iterator[Measured | Skipped]:
    assert subject.test.target is not None
    score = subject.positive_score()
    assert score is not None
    valid = known(subject)
    true = subject.test.target == subject.positive
    series: dict[str, list[Point]] = {"recall": [], "false positive rate": [], "share predicted positive": []}
    for step in range(1, 20):
        threshold = step / 20
        predicted = score >= threshold
        for name, event, among in (
            ("recall", predicted, true & valid),
            ("false positive rate", predicted, ~true & valid),
            ("share predicted positive", predicted, valid),
        ):
            found = tally(subject, event, among)
            if found is None:
                continue
            limits = iv.rate(found.successes, found.rows, context.levels[:1])
            estimate = context.estimate(found.value, limits, found.count)
            series[name].append(Point(x=threshold, estimate=estimate))
    yield Measured(
        observation=Curve(
            x="threshold",
            y="share",
            series=tuple(
                Series(name=name, points=tuple(points)) for name, points in series.items() if points
            ),
        ),
        sampling=labelled_sampling(subject),
    )


class BaselineParams(Frozen):
    """Which metric the model must better the baseline in."""

    metric: str = "accuracy"


Gain = tuple[float, "Limits", str]


def _baseline_improvement(
    subject: Subject, params: BaselineParams, context: Context
) -> Iterator[Measured | Skipped]:
    rows = np.flatnonzero(known(subject))
    if not len(rows):
        yield Skipped(reason="no row has a valid label")
        return
    found = _gain(subject, rows, params.metric, context)
    if found is None:
        yield Skipped(reason=f"no trivial baseline is defined for {params.metric} on these data")
        return
    value, limits, baseline = found
    yield Measured(
        observation=Scalar(estimate=context.estimate(value, limits, len(rows))),
        params={"baseline": baseline},
        # Of training data no row is kept; with this the gain can be had again from the test rows.
        arrays={"constant": np.array([_constant(subject, params.metric)])}
        if subject.task == "regression" and _trained(subject)
        else {},
        sampling=labelled_sampling(subject),
        limits=(f"The baseline is {baseline}.",),
    )


def _gain(subject: Subject, rows: NDArray[np.int64], metric: str, context: Context) -> Gain | None:
    if subject.task == "regression":
        return _regression_gain(subject, rows, metric, context)
    if metric in ("roc_auc", "balanced_accuracy", "matthews_corrcoef"):
        return _above_chance(subject, metric, context)
    if metric in ("brier_score", "log_loss") and subject.scores is not None and subject.probabilities:
        return _loss_gain(subject, rows, metric, context)
    if metric == "accuracy":
        return _accuracy_gain(subject, rows, context)
    if subject.binary:
        return _association(subject, context)
    value, limits, name = _accuracy_gain(subject, rows, context)
    return value, limits, f"{name}; the gain is in accuracy, since {metric} has a value for each class"


def _share_of(subject: Subject) -> tuple[NDArray[np.int64], str]:
    """Class counts the baseline knows: of the training labels where there are any."""
    train = subject.train
    if train is not None and train.target is not None:
        labels, source = train.target, "the training data"
    else:
        assert subject.test.target is not None
        labels, source = subject.test.target, "the test data"
    return np.bincount(labels[labels >= 0], minlength=len(subject.classes)), source


def _accuracy_gain(subject: Subject, rows: NDArray[np.int64], context: Context) -> Gain:
    assert subject.prediction is not None
    assert subject.test.target is not None
    counts, source = _share_of(subject)
    commonest = int(np.argmax(counts))
    true = subject.test.target[rows]
    gain = (subject.prediction[rows] == true).astype(float) - (true == commonest)
    name = f"always predicting {subject.classes[commonest]}, the commonest class of {source}"
    if not gain.any():
        # Equal on every row seen: how many unseen rows could differ is what a rate of zero leaves open.
        none = tally(subject, np.zeros(subject.test.n, dtype=bool), known(subject))
        able = none.rows if none is not None else 1.0
        return 0.0, [(-(high or 1.0), high or 1.0) for _, high in iv.rate(0, able, context.levels)], name
    value, at = by_rows(subject, gain, rows)
    return value, at(context.levels), name


def _association(subject: Subject, context: Context) -> Gain | None:
    """Recall and its kin: true positive rate minus false positive rate, zero for any flagging at random."""
    assert subject.prediction is not None
    assert subject.test.target is not None
    valid, true = known(subject), subject.test.target == subject.positive
    flagged = subject.prediction == subject.positive
    hits, alarms = tally(subject, flagged, true & valid), tally(subject, flagged, ~true & valid)
    if hits is None or alarms is None:
        return None
    limits = iv.rate_difference(hits.successes, hits.rows, alarms.successes, alarms.rows, context.levels)
    name = "flagging the same share of rows at random; the gain is true minus false positive rate"
    return hits.value - alarms.value, limits, name


def _above_chance(subject: Subject, metric: str, context: Context) -> Gain | None:
    given = context.given(metric)
    if given is None or given.observation is None or given.observation.shape != "scalar":
        return None
    estimate = given.observation.estimate
    level = {"roc_auc": 0.5, "matthews_corrcoef": 0.0, "balanced_accuracy": 1 / max(len(subject.classes), 1)}[
        metric
    ]
    limits: Limits = [(estimate.low, estimate.high), *(estimate.limits or {}).values()]
    shifted: Limits = [
        (None if low is None else low - level, None if high is None else high - level) for low, high in limits
    ]
    return estimate.value - level, shifted, f"chance, {level:.2f}"


def _loss_gain(subject: Subject, rows: NDArray[np.int64], metric: str, context: Context) -> Gain:
    from xai_audit.metrics.probability import losses

    assert subject.test.target is not None
    counts, source = _share_of(subject)
    shares = np.maximum(counts, 1) / np.maximum(counts, 1).sum()
    true = subject.test.target[rows]
    name = f"predicting the class shares of {source} for every row"
    if metric == "log_loss":
        gain = -np.log(shares[true]) - losses(subject, rows)
    else:
        score = subject.positive_score()
        assert score is not None
        event = true == subject.positive
        gain = (shares[subject.positive] - event) ** 2 - (score[rows] - event) ** 2
    value, at = by_rows(subject, gain, rows)
    return value, at(context.levels), name


def _regression_gain(subject: Subject, rows: NDArray[np.int64], metric: str, context: Context) -> Gain:
    assert subject.prediction is not None
    assert subject.test.target is not None
    source = "the training data" if _trained(subject) else "the test data"
    truth, predicted = subject.test.target[rows], subject.prediction[rows]
    power, what = (1, "absolute") if metric == "mean_absolute_error" else (2, "squared")
    constant = _constant(subject, metric)
    gain = np.abs(truth - constant) ** power - np.abs(truth - predicted) ** power
    value, at = by_rows(subject, gain, rows)
    middle = "median" if power == 1 else "mean"
    name = f"predicting the {middle} of {source} for every row; the gain is in mean {what} error"
    return value, at(context.levels), name


def _trained(subject: Subject) -> bool:
    """Whether the labels of the training data are known."""
    return subject.train is not None and subject.train.target is not None


def _constant(subject: Subject, metric: str) -> float:
    """The number that is best for every row: the median for absolute errors, else the mean."""
    rows = subject.train if _trained(subject) else subject.test
    assert rows is not None
    assert rows.target is not None
    seen = np.sort(rows.target[np.isfinite(rows.target)])
    return float(np.median(seen)) if metric == "mean_absolute_error" else math.fsum(seen) / len(seen)


METHODS: tuple[Method[Any], ...] = (
    Method(
        id="confusion_matrix",
        kind="metric",
        title="Confusion matrix",
        measures="How many rows of each true class were predicted as each class.",
        params=NoParams,
        run=_confusion_matrix,
        needs=("classification", "labels"),
        limits=("It holds at the threshold in use and at no other.",),
        selectable=False,
    ),
    Method(
        id="threshold_sweep",
        kind="metric",
        title="Threshold sweep",
        measures="Recall, false positive rate and share predicted positive at other thresholds.",
        params=NoParams,
        run=_threshold_sweep,
        needs=("binary", "labels", "probabilities"),
        limits=("Choosing a threshold on these rows spends them as test data.",),
        selectable=False,
    ),
    Method(
        id="baseline_improvement",
        kind="metric",
        title="Gain over a trivial baseline",
        measures="The primary metric minus that of the best model that ignores the inputs, on the same rows.",
        params=BaselineParams,
        run=_baseline_improvement,
        needs=("labels",),
        limits=("To better a guess is the least a model can do.",),
        better="higher",
        selectable=False,
    ),
)

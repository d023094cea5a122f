"""The gain over a trivial baseline again: by the class shares of audit.json, or the constant kept in evidence/."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from xai_audit.evidence import Scalar
from xai_audit.verify import limits
from xai_audit.verify.limits import Found, Limit
from xai_audit.verify.recounts.bench import (
    Bench,
    LackingError,
    Recount,
    Recounted,
    Seen,
    Skip,
    Unknown,
    share,
)
from xai_audit.verify.recounts.statistics import by_rows, losses

Gain = tuple[Found, str]
"""The gain, and what the baseline is."""

CHANCE = ("roc_auc", "matthews_corrcoef", "balanced_accuracy")


def _baseline_improvement(bench: Bench) -> Iterator[Recounted]:
    metric = str(bench.params["metric"])
    if not len(bench.rows):
        yield Skip(reason="no row has a valid label")
        return
    try:
        found = (
            _regression(bench, metric)
            if bench.subject.task == "regression"
            else _classification(bench, metric)
        )
    except LackingError as error:
        yield Unknown(reason=str(error))
        return
    if found is None:
        yield Skip(reason=f"no trivial baseline is defined for {metric} on these data")
        return
    (value, at), baseline = found
    yield Seen(
        observation=Scalar(estimate=bench.minima.read(value, at, len(bench.rows))),
        params={"baseline": baseline},
        sampling=bench.labelled,
    )


def _classification(bench: Bench, metric: str) -> Gain | None:
    if metric in CHANCE:
        return _above_chance(bench, metric)
    if metric in ("brier_score", "log_loss") and bench.subject.scores and bench.subject.probabilities:
        return _loss(bench, metric)
    if metric == "accuracy":
        return _accuracy(bench)
    if bench.subject.binary:
        return _association(bench)
    found, name = _accuracy(bench)
    return found, f"{name}; the gain is in accuracy, since {metric} has a value for each class"


def _class_counts(bench: Bench) -> tuple[list[int], str]:
    """Rows of each class that the baseline knows: of the training data where their labels are known."""
    rates = bench.subject.facts.get("base_rates")
    train = rates.get("train") if isinstance(rates, dict) else None
    if train is not None:
        found = [train.get(label) for label in bench.subject.classes] if isinstance(train, dict) else [None]
        if not all(isinstance(count, int) and count >= 0 for count in found):
            raise LackingError("subject.facts.base_rates.train does not count the rows of each class")
        return [int(count or 0) for count in found], "the training data"
    assert bench.table.target is not None
    seen = bench.table.target[bench.table.valid]
    return np.bincount(seen, minlength=len(bench.subject.classes)).tolist(), "the test data"


def _accuracy(bench: Bench) -> Gain:
    assert bench.table.target is not None
    counts, source = _class_counts(bench)
    commonest = counts.index(max(counts))
    true, called = bench.table.target[bench.rows], bench.table.prediction[bench.rows]
    gain = 1.0 * (called == true) - (true == commonest)
    name = f"always predicting {bench.subject.classes[commonest]}, the commonest class of {source}"
    if gain.any():
        return by_rows(bench, gain, bench.rows), name
    none = share(bench.table, np.zeros(bench.table.n, dtype=bool), bench.table.valid)
    rows = 1.0 if none is None else none.counts[1]

    def at(level: float) -> Limit:
        high = limits.rate(0, rows, level)[1]
        return -high, high

    return (0.0, at), name


def _association(bench: Bench) -> Gain | None:
    true, flagged = bench.table.true(bench.subject.positive), bench.table.called(bench.subject.positive)
    hits = share(bench.table, flagged, true & bench.table.valid)
    alarms = share(bench.table, flagged, ~true & bench.table.valid)
    if hits is None or alarms is None:
        return None
    both = (*hits.counts, *alarms.counts)
    name = "flagging the same share of rows at random; the gain is true minus false positive rate"
    return (hits.value - alarms.value, lambda level: limits.difference(*both, level)), name


def _above_chance(bench: Bench, metric: str) -> Gain | None:
    given = bench.given(metric)
    if not isinstance(given, Scalar):
        return None
    known_to_guess = {"roc_auc": 0.5, "matthews_corrcoef": 0.0}
    chance, estimate = known_to_guess.get(metric, 1 / len(bench.subject.classes)), given.estimate
    known = {float(level): both for level, both in (estimate.limits or {}).items()}
    known[bench.minima.confidence] = (estimate.low, estimate.high)

    def at(level: float) -> Limit:
        low, high = known[level]
        return None if low is None else low - chance, None if high is None else high - chance

    return (estimate.value - chance, at), f"chance, {chance:.2f}"


def _loss(bench: Bench, metric: str) -> Gain:
    assert bench.table.target is not None
    found, source = _class_counts(bench)
    counts = np.maximum(found, 1)
    shares, true = counts / counts.sum(), bench.table.target[bench.rows]
    if metric == "log_loss":
        gain = -np.log(shares)[true] - losses(bench, bench.rows)
    else:
        event = 1.0 * (true == bench.subject.positive)
        score = bench.positive_scores()[bench.rows]
        gain = (shares[bench.subject.positive] - event) ** 2 - (score - event) ** 2
    return by_rows(bench, gain, bench.rows), f"predicting the class shares of {source} for every row"


def _regression(bench: Bench, metric: str) -> Gain:
    assert bench.table.target is not None
    middle, what = ("median", "absolute") if metric == "mean_absolute_error" else ("mean", "squared")
    truth, predicted = bench.table.target[bench.rows], bench.table.prediction[bench.rows]
    invalid = bench.subject.facts.get("invalid_labels")
    source = "the test data"
    if isinstance(invalid, dict) and invalid.get("train") is not None:
        # What the training data give is kept beside the number; no row of theirs is in evidence/.
        kept = bench.stored("").get("constant")
        if kept is None or kept.shape != (1,) or kept.dtype != np.float64:
            raise LackingError("the constant that the baseline predicts is not kept as it should be")
        constant, source = float(kept[0]), "the training data"
    elif middle == "median":
        constant = float(np.median(truth))
    else:
        constant = math.fsum(truth) / len(truth)
    power = 1 if middle == "median" else 2
    gain = np.abs(truth - constant) ** power - np.abs(truth - predicted) ** power
    name = f"predicting the {middle} of {source} for every row; the gain is in mean {what} error"
    return by_rows(bench, gain, bench.rows), name


RECOUNTS: dict[str, Recount] = {
    "baseline_improvement": Recount(
        _baseline_improvement, ("labels",), asked=False, defaults={"metric": "accuracy"}
    )
}

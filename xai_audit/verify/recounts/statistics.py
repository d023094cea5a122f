"""Numbers that are no single share again: of the confusion table, of scores, of errors; overall and by group."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from xai_audit.evidence import Estimate, Scalar
from xai_audit.verify import groups, limits, limits_roc, limits_rows
from xai_audit.verify.groups import CLASS, Better, Cell
from xai_audit.verify.limits import Found, Limit
from xai_audit.verify.recounts.bench import Bench, Need, Recount, Recounted, Seen, Skip, share
from xai_audit.verify.recounts.rates import by_class
from xai_audit.verify.table import Floats

Rows = NDArray[np.int64]
Of = Callable[[Bench, Rows, int], "Found | str"]
"""From rows with valid labels and a class to a number with its limits, or to why there is none."""

BINS = limits_rows.BINS
SINGLE = "not available with weights or clusters"


@dataclass(frozen=True)
class Statistic:
    """A number over some rows."""

    of: Of
    better: Better
    two_sided: bool = False
    """Whether both labels must be there in numbers."""
    per_class: bool = True


def _statistic(statistic: Statistic, bench: Bench) -> Iterator[Recounted]:
    classes = bench.classes
    if bench.subject.task == "regression" or not statistic.per_class:
        classes = [(bench.subject.positive, None)]
    several = len(classes) > 1
    whole: list[tuple[str, Estimate | None]] = []
    why = "no rows"
    for index, label in classes:
        found = _of(statistic, bench, bench.rows, index)
        if isinstance(found, str):
            why = found
            whole.append((label or "", None))
        else:
            whole.append((label or "", bench.minima.read(*found, len(bench.rows))))
    overall = None if several else whole[0][1]
    if several:
        yield Seen(observation=by_class(whole, len(bench.rows), why), sampling=bench.labelled)
    elif overall is None:
        yield Skip(reason=f"{why} in the test data")
    else:
        yield Seen(observation=Scalar(estimate=overall), sampling=bench.labelled)
    for grouping in bench.table.groupings:
        cells = [
            _cell(statistic, bench, key if label is None else {**key, CLASS: label}, index, inside, missing, withheld)
            for index, label in classes
            for key, inside, missing, withheld in bench.groups(grouping)
        ]  # fmt: skip
        by = (*grouping.columns, CLASS) if several else grouping.columns
        made = groups.table(bench.minima, by, cells, better=statistic.better, overall=overall)
        yield Seen(
            observation=made, columns=grouping.columns, sampling=bench.labelled, params=bench.minima.stated
        )


def _of(statistic: Statistic, bench: Bench, rows: Rows, index: int) -> Found | str:
    return statistic.of(bench, rows, index) if len(rows) else "no row has a valid label"


def _cell(
    statistic: Statistic,
    bench: Bench,
    key: dict[str, str],
    index: int,
    inside: NDArray[np.bool_],
    missing: bool,
    withheld: str,
) -> Cell:
    n = int(np.count_nonzero(inside))
    if withheld:
        return Cell(key=key, n=n, withheld=withheld, missing=missing)
    rows = np.flatnonzero(inside & bench.table.valid)
    found = _of(statistic, bench, rows, index)
    if isinstance(found, str):
        return Cell(key=key, n=n, undefined=found, count=len(rows), missing=missing)
    labels: tuple[int, ...] = ()
    if statistic.two_sided:
        true = int(np.count_nonzero(_true(bench, rows, index)))
        labels = true, len(rows) - true
    # A group is compared with many others at the same levels.
    value, at = found[0], functools.cache(found[1])
    return Cell(key=key, n=n, found=(value, at), count=len(rows), labels=labels, missing=missing)


def _true(bench: Bench, rows: Rows, index: int) -> Floats:
    return bench.table.true(index)[rows].astype(float)


def _score(bench: Bench, rows: Rows, index: int) -> Floats:
    assert bench.table.scores is not None
    return np.asarray(bench.table.scores[rows, index if bench.table.scores.shape[1] > 1 else 0])


def by_rows(bench: Bench, values: Floats, rows: Rows) -> Found:
    """The mean of one value a row, with the weights and clusters of the rows."""
    weights, clusters = bench.table.weights, bench.table.clusters
    return limits_rows.mean_at(
        values, None if weights is None else weights[rows], None if clusters is None else clusters[rows]
    )


# ------------------------------------------------------------------------------------------ of the confusion table
def _balanced_accuracy(bench: Bench, rows: Rows, _: int) -> Found | str:
    inside = np.zeros(bench.table.n, dtype=bool)
    inside[rows] = True
    recalls = []
    for index, label in enumerate(bench.subject.classes):
        found = share(bench.table, bench.table.called(index), bench.table.true(index) & inside)
        if found is None:
            return f"no rows of class {label}"
        recalls.append(found)
    counts = [recall.counts for recall in recalls]
    value = math.fsum(recall.value for recall in recalls) / len(recalls)
    return value, lambda level: limits.mean_of_rates(counts, level)


def _cross(bench: Bench, rows: Rows, index: int) -> tuple[float, float, float, float]:
    """True positives, false positives, false negatives and true negatives, as many as the rows are worth."""
    inside = np.zeros(bench.table.n, dtype=bool)
    inside[rows] = True
    true, called = bench.table.true(index), bench.table.called(index)
    found = [
        share(bench.table, cell, inside)
        for cell in (true & called, ~true & called, true & ~called, ~true & ~called)
    ]
    shares = [one for one in found if one is not None]
    if len(shares) < len(found):
        return 0.0, 0.0, 0.0, 0.0
    # With weights or clusters each share is worth another number of rows: the smallest counts.
    worth = min(one.counts[1] for one in shares)
    tp, fp, fn, tn = (one.counts[0] if bench.table.plain else one.value * worth for one in shares)
    return tp, fp, fn, tn


def _f1(bench: Bench, rows: Rows, index: int) -> Found | str:
    tp, fp, fn, _ = _cross(bench, rows, index)
    if tp + fp + fn == 0:
        return "no positives, true or predicted"
    return tp / (tp + (fp + fn) / 2), lambda level: limits.f1(tp, fp, fn, level)


def _matthews(bench: Bench, rows: Rows, index: int) -> Found | str:
    tp, fp, fn, tn = _cross(bench, rows, index)
    if not all((tp + fp, tp + fn, tn + fp, tn + fn)):
        return "one class only, true or predicted"
    return limits.phi(tp, fp, fn, tn), lambda level: limits.matthews(tp, fp, fn, tn, level)


# ------------------------------------------------------------------------------------------ of scores
def _roc_auc(bench: Bench, rows: Rows, index: int) -> Found | str:
    if not bench.table.plain:
        return SINGLE
    score, true = _score(bench, rows, index), _true(bench, rows, index)
    sides = score[true == 1], score[true == 0]
    for side, name in zip(sides, ("positives", "negatives"), strict=True):
        if not len(side):
            return f"no {name}"
    return limits_roc.auc(sides)


def _brier(bench: Bench, rows: Rows, index: int) -> Found | str:
    return by_rows(bench, (_score(bench, rows, index) - _true(bench, rows, index)) ** 2, rows)


def losses(bench: Bench, rows: Rows) -> Floats:
    """The negative log of the score given to each row's true class; scores one float step off 0 and 1, adding up to 1."""
    assert bench.table.scores is not None
    assert bench.table.target is not None
    scores = bench.table.scores[rows]
    if scores.shape[1] == 1:
        other = 1 - scores[:, 0]
        scores = np.column_stack([other, scores[:, 0]] if bench.subject.positive else [scores[:, 0], other])
    step = 2.0**-52
    kept = np.minimum(np.maximum(scores, step), 1 - step)
    given = kept[np.arange(len(rows)), bench.table.target[rows]]
    return np.asarray(-np.log(given / kept.sum(axis=1)))


def _log_loss(bench: Bench, rows: Rows, _: int) -> Found | str:
    return by_rows(bench, losses(bench, rows), rows)


def _calibration_gap(bench: Bench, rows: Rows, index: int) -> Found | str:
    return by_rows(bench, _score(bench, rows, index) - _true(bench, rows, index), rows)


def _calibration_error(bench: Bench, rows: Rows, index: int) -> Found | str:
    if not bench.table.plain:
        return SINGLE
    if len(rows) < 2 * BINS:
        return f"fewer than {2 * BINS} rows for {BINS} bins"
    return limits_rows.calibration_error(_score(bench, rows, index), _true(bench, rows, index))


_ECE = Statistic(_calibration_error, "lower")


def _calibration(bench: Bench) -> Iterator[Recounted]:
    yield from _statistic(_ECE, bench)
    rows, positive = bench.rows, bench.subject.positive
    if not (bench.subject.binary and len(rows) >= 2 * BINS and bench.table.plain):
        return
    scores, labels = _score(bench, rows, positive), _true(bench, rows, positive)
    perfect = limits_rows.perfect_calibration_error(scores)
    parts: dict[str, Found] = {
        "rms": limits_rows.rms_calibration(scores, labels),
        "in_the_large": limits_rows.in_the_large(scores, labels),
        "perfect": (perfect, lambda _: (perfect, perfect)),
    }
    for part, found in parts.items():
        estimate = bench.minima.read(*found, len(rows))
        yield Seen(observation=Scalar(estimate=estimate), part=part, sampling=bench.labelled)


# ------------------------------------------------------------------------------------------ of errors of numbers
def _errors(bench: Bench, rows: Rows) -> Floats:
    assert bench.table.target is not None
    return np.asarray(bench.table.target[rows] - bench.table.prediction[rows], dtype=float)


def _mean_absolute_error(bench: Bench, rows: Rows, _: int) -> Found | str:
    return by_rows(bench, np.abs(_errors(bench, rows)), rows)


def _root_mean_squared_error(bench: Bench, rows: Rows, _: int) -> Found | str:
    if bench.table.plain:
        return limits_rows.rms(_errors(bench, rows))
    square, inner = by_rows(bench, _errors(bench, rows) ** 2, rows)

    def at(level: float) -> Limit:
        low, high = inner(level)
        return 0.0 if low is None else math.sqrt(max(low, 0.0)), None if high is None else math.sqrt(high)

    return math.sqrt(square), at


def _r2(bench: Bench, rows: Rows, _: int) -> Found | str:
    assert bench.table.target is not None
    if not bench.table.plain:
        return SINGLE
    truth = bench.table.target[rows]
    if len(truth) < 2 or np.ptp(truth) == 0:
        return "the target does not vary"
    return limits_rows.r2(truth, bench.table.prediction[rows])


_LABELLED: tuple[Need, ...] = ("classification", "labels")
_PROBABILITIES: tuple[Need, ...] = (*_LABELLED, "probabilities")
_NUMBERS: tuple[Need, ...] = ("regression", "labels")


def _recount(needs: tuple[Need, ...], statistic: Statistic) -> Recount:
    return Recount(partial(_statistic, statistic), needs)


RECOUNTS: dict[str, Recount] = {
    "balanced_accuracy": _recount(
        _LABELLED, Statistic(_balanced_accuracy, "higher", two_sided=True, per_class=False)
    ),
    "f1": _recount(_LABELLED, Statistic(_f1, "higher", two_sided=True)),
    "matthews_corrcoef": _recount(_LABELLED, Statistic(_matthews, "higher", two_sided=True)),
    "roc_auc": _recount((*_LABELLED, "scores"), Statistic(_roc_auc, "higher", two_sided=True)),
    "brier_score": _recount(_PROBABILITIES, Statistic(_brier, "lower")),
    "log_loss": _recount(_PROBABILITIES, Statistic(_log_loss, "lower", per_class=False)),
    "calibration_gap": _recount(_PROBABILITIES, Statistic(_calibration_gap, "none")),
    "expected_calibration_error": Recount(_calibration, _PROBABILITIES),
    "mean_absolute_error": _recount(_NUMBERS, Statistic(_mean_absolute_error, "lower")),
    "root_mean_squared_error": _recount(_NUMBERS, Statistic(_root_mean_squared_error, "lower")),
    "r2": _recount(_NUMBERS, Statistic(_r2, "higher")),
}

"""How good the scores are: ranking, calibration and proper scores."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit import intervals as iv
from xai_audit import intervals_roc as roc
from xai_audit import intervals_rows as from_rows
from xai_audit.evidence import Curve, Point, Scalar, Series, Summary
from xai_audit.method import Context, Measured, Method, MetricParams, NoParams, Skipped
from xai_audit.metrics import grouped
from xai_audit.metrics.grouped import Cell, Limits
from xai_audit.metrics.labelled import (
    each_group,
    independent,
    known,
    labelled_sampling,
    stated,
    unweighted,
)
from xai_audit.metrics.statistics import Found, Statistic, Undefined, by_rows, method, run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.subject import Subject

BINS = 15
"""Equal-mass bins of every calibration number."""


def _score(subject: Subject, rows: NDArray[np.int64], index: int) -> NDArray[np.float64]:
    assert subject.scores is not None
    column = index if subject.scores.shape[1] > 1 else 0
    return np.asarray(subject.scores[rows, column], dtype=np.float64)


def _true(subject: Subject, rows: NDArray[np.int64], index: int) -> NDArray[np.bool_]:
    assert subject.test.target is not None
    return np.asarray(subject.test.target[rows] == index)


def _split(subject: Subject, rows: NDArray[np.int64], index: int) -> tuple[list[float], list[float]]:
    score, true = _score(subject, rows, index), _true(subject, rows, index)
    return sorted(score[true].tolist()), sorted(score[~true].tolist())


def _roc_auc(subject: Subject, rows: NDArray[np.int64], index: int) -> Found:
    if not independent(subject):
        return Undefined("not available with weights or clusters")
    positive, negative = _split(subject, rows, index)
    if not positive or not negative:
        return Undefined("no positives" if not positive else "no negatives")
    return roc.auc(positive, negative, (0.95,))[0], lambda levels: roc.auc(positive, negative, levels)[1]


def _brier(subject: Subject, rows: NDArray[np.int64], index: int) -> Found:
    return by_rows(subject, (_score(subject, rows, index) - _true(subject, rows, index)) ** 2, rows)


def losses(subject: Subject, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """The log loss of each row in nats, scores clipped as in scikit-learn."""
    assert subject.scores is not None
    assert subject.test.target is not None
    scores = subject.scores
    if scores.shape[1] == 1:
        positive = scores[:, 0]
        scores = np.empty((len(positive), 2))
        scores[:, subject.positive], scores[:, 1 - subject.positive] = positive, 1 - positive
    small = float(np.finfo(np.float64).eps)
    chosen = np.clip(scores[rows], small, 1 - small)
    chosen = chosen / chosen.sum(axis=1, keepdims=True)
    return np.asarray(-np.log(chosen[np.arange(len(rows)), subject.test.target[rows]]), dtype=np.float64)


def _log_loss(subject: Subject, rows: NDArray[np.int64], _: int) -> Found:
    return by_rows(subject, losses(subject, rows), rows)


def _gap(subject: Subject, rows: NDArray[np.int64], index: int) -> Found:
    return by_rows(subject, _score(subject, rows, index) - _true(subject, rows, index), rows)


def _lists(subject: Subject, rows: NDArray[np.int64], index: int) -> tuple[list[float], list[int]]:
    return _score(subject, rows, index).tolist(), _true(subject, rows, index).astype(int).tolist()


def _ece(subject: Subject, rows: NDArray[np.int64], index: int) -> Found:
    if not independent(subject):
        return Undefined("not available with weights or clusters")
    scores, labels = _lists(subject, rows, index)
    if len(scores) < 2 * BINS:
        return Undefined(f"fewer than {2 * BINS} rows for {BINS} bins")
    value, _ = from_rows.expected_calibration_error(scores, labels, BINS)

    def at(levels: Sequence[float]) -> Limits:
        # |mean gap| <= ECE <= RMS calibration error, whatever the bins: each end gets half of the error.
        halves = iv.bonferroni(levels, 2)
        rms = from_rows.rms_calibration_error(scores, labels, halves, BINS)[1]
        large = from_rows.calibration_in_the_large(scores, labels, halves)[1]
        found: Limits = []
        for (_, high), (low, up) in zip(rms, large, strict=True):
            least = max(0.0, -math.inf if low is None else low, -math.inf if up is None else -up)
            found.append((min(least, value), None if high is None else max(high, value)))
        return found

    return value, at


_ECE = Statistic(
    "expected_calibration_error",
    "Expected calibration error",
    f"The mean distance of score and observed share, over {BINS} bins of equal mass.",
    _ece,
    ("classification", "labels", "probabilities"),
    "lower",
    limits=(
        "It is above zero even for a perfectly calibrated model; the value such a model would have stands beside it.",
        "Its interval is conservative: at least the mean gap, at most the root mean square calibration error.",
    ),
    cites=("Naeini, Cooper and Hauskrecht 2015",),
)


def _calibration_error(
    subject: Subject, params: MetricParams, context: Context
) -> Iterator[Measured | Skipped]:
    yield from run(_ECE)(subject, params, context)
    rows = np.flatnonzero(known(subject))
    if (
        not subject.binary
        or len(rows) < 2 * BINS
        or isinstance(_ece(subject, rows, subject.positive), Undefined)
    ):
        return
    scores, labels = _lists(subject, rows, subject.positive)
    sampling = labelled_sampling(subject)
    value, found = from_rows.rms_calibration_error(scores, labels, context.levels, BINS)
    yield Measured(
        name="rms",
        title="Root mean square calibration error",
        observation=Scalar(estimate=context.estimate(value, found, len(rows))),
        sampling=sampling,
    )
    value, found = from_rows.calibration_in_the_large(scores, labels, context.levels)
    yield Measured(
        name="in_the_large",
        title="Calibration in the large: mean score minus share positive",
        observation=Scalar(estimate=context.estimate(value, found, len(rows))),
        sampling=sampling,
    )
    _, perfect = from_rows.expected_calibration_error(scores, labels, BINS)
    yield Measured(
        name="perfect",
        title="Expected calibration error of a perfectly calibrated model with these scores",
        observation=Scalar(
            estimate=context.estimate(perfect, [(perfect, perfect)] * len(context.levels), len(rows))
        ),
        sampling=sampling,
    )


def _calibration_curve(subject: Subject, _: NoParams, context: Context) -> Iterator[Measured | Skipped]:
    rows = np.flatnonzero(known(subject))
    scores, labels = _score(subject, rows, subject.positive), _true(subject, rows, subject.positive)
    order = np.lexsort((labels, scores))
    points = []
    for part in merged(cut(scores[order], 10), context.min_cell):
        chosen = order[part]
        successes = int(np.count_nonzero(labels[chosen]))
        low_high = iv.rate(successes, len(chosen), context.levels[:1])
        x = math.fsum(scores[chosen]) / len(chosen)
        points.append(Point(x=x, estimate=context.estimate(successes / len(chosen), low_high, len(chosen))))
    if not points:
        yield Skipped(reason=f"fewer than {context.min_cell} rows")
        return
    yield Measured(
        observation=Curve(
            x="mean score", y="share positive", series=(Series(name="observed", points=tuple(points)),)
        ),
        sampling=labelled_sampling(subject),
        limits=unweighted(subject),
    )


def cut(ordered: NDArray[np.float64], bins: int) -> list[NDArray[np.int64]]:
    """Positions of ordered scores in bins of about equal mass; equal scores are never parted."""
    edges = np.linspace(0, len(ordered), bins + 1).round().astype(int)[1:-1]
    starts = [0]
    for edge in edges:
        place = (
            int(np.searchsorted(ordered, ordered[edge], side="left")) if edge < len(ordered) else len(ordered)
        )
        if place > starts[-1]:
            starts.append(place)
    starts.append(len(ordered))
    return [np.arange(a, b) for a, b in pairwise(starts) if b > a]


def merged(bins: Sequence[NDArray[np.int64]], least: int) -> list[NDArray[np.int64]]:
    """Neighbouring bins joined until none holds fewer than the least; none where all of them together do.

    A bin that is left out could be had by subtracting the others from the total.
    """
    joined: list[NDArray[np.int64]] = []
    for part in bins:
        if joined and len(joined[-1]) < least:
            joined[-1] = np.concatenate([joined[-1], part])
        else:
            joined.append(part)
    if len(joined) > 1 and len(joined[-1]) < least:
        last = joined.pop()
        joined[-1] = np.concatenate([joined[-1], last])
    return [part for part in joined if len(part) >= least]


def _abroca(subject: Subject, _: MetricParams, context: Context) -> Iterator[Measured | Skipped]:
    if not independent(subject):
        yield Skipped(reason="not available with weights or clusters")
        return
    valid = known(subject)
    for grouping in subject.groupings:
        cells, sides = [], {}
        for key, inside, missing, covered in each_group(subject, grouping, context):
            rows = np.flatnonzero(inside & valid)
            n = int(np.count_nonzero(inside))
            if covered:
                cells.append(Cell(key=key, n=n, hidden=covered, missing=missing))
                continue
            positive, negative = _split(subject, rows, subject.positive)
            if not positive or not negative:
                reason = "no positives" if not positive else "no negatives"
                cells.append(Cell(key=key, n=n, undefined=reason, missing=missing, count=len(rows)))
                continue
            at = functools.partial(_auc_at, positive, negative)
            value = roc.auc(positive, negative, (0.95,))[0]
            labels = (len(positive), len(negative))
            cell = Cell(key=key, n=n, value=value, at=at, count=len(rows), labels=labels, missing=missing)
            cells.append(cell)
            if not missing and n >= context.min_n and min(labels) >= context.min_label:
                sides[cell.label] = (positive, negative)
        table = grouped.table(context, grouping.columns, cells, better="higher", summary=False)
        left_out = sum(1 for cell in cells if cell.value is not None and not cell.missing) - len(sides)
        summary = _largest_area(context, sides, left_out)
        yield Measured(
            observation=table.model_copy(update={"summary": summary}),
            columns=grouping.columns,
            sampling=labelled_sampling(subject),
            params=stated(context),
        )


def _auc_at(positive: list[float], negative: list[float], levels: Sequence[float]) -> Limits:
    return roc.auc(positive, negative, levels)[1]


def _largest_area(
    context: Context, sides: dict[str, tuple[list[float], list[float]]], left_out: int
) -> Summary:
    pairs = list(combinations(sorted(sides), 2))
    if not pairs:
        return Summary(insufficient=left_out)
    levels = iv.bonferroni(context.levels, len(pairs))
    drawn = {label: roc.roc_distances(*sides[label], context.rng("abroca", label)) for label in sorted(sides)}
    found = []
    for one, other in pairs:
        value, limits = roc.abroca(sides[one], sides[other], levels, distances=(drawn[one], drawn[other]))
        found.append((value, limits, (one, other)))
    value, _, between = max(found, key=lambda area: area[0])
    combined: Limits = [
        (
            max(limits[i][0] or 0.0 for _, limits, _ in found),
            max(1.0 if limits[i][1] is None else limits[i][1] or 0.0 for _, limits, _ in found),
        )
        for i in range(len(levels))
    ]
    n = sum(len(side) for label in between for side in sides[label])
    return Summary(
        difference=context.estimate(value, combined, n),
        between=between,
        pairs=len(pairs),
        insufficient=left_out,
    )


_NEEDS = ("classification", "labels", "scores")

METHODS: tuple[Method[Any], ...] = (
    method(
        Statistic(
            "roc_auc",
            "Area under the ROC curve",
            "The chance that a positive row scores above a negative one, ties counted half.",
            _roc_auc,
            ("classification", "labels", "scores"),
            "higher",
            labels=True,
            limits=("It says nothing of the threshold in use.",),
            cites=("DeLong, DeLong and Clarke-Pearson 1988", "Newcombe 2006"),
        )
    ),
    method(
        Statistic(
            "brier_score",
            "Brier score",
            "The mean squared distance of score and outcome.",
            _brier,
            ("classification", "labels", "probabilities"),
            "lower",
            limits=("It mixes calibration with how far the scores are apart.",),
            cites=("Brier 1950",),
        )
    ),
    method(
        Statistic(
            "log_loss",
            "Log loss",
            "The mean negative log of the score given to the true class, in nats.",
            _log_loss,
            ("classification", "labels", "probabilities"),
            "lower",
            per_class=False,
            limits=("One confident mistake can decide it.",),
        )
    ),
    method(
        Statistic(
            "calibration_gap",
            "Calibration gap",
            "The mean score minus the share positive.",
            _gap,
            ("classification", "labels", "probabilities"),
            "zero",
            limits=("Errors in opposite directions cancel.",),
        )
    ),
    Method(
        id=_ECE.id,
        kind="metric",
        title=_ECE.title,
        measures=_ECE.measures,
        params=MetricParams,
        run=_calibration_error,
        needs=_ECE.needs,
        better="lower",
        limits=_ECE.limits,
        cites=_ECE.cites,
        parts=("rms", "in_the_large", "perfect"),
    ),
    Method(
        id="abroca",
        kind="metric",
        title="Area between ROC curves",
        measures="The largest area between the ROC curves of two groups.",
        params=MetricParams,
        run=_abroca,
        needs=("binary", "labels", "scores", "groups"),
        better="zero",
        limits=("It is above zero by chance even where the curves are the same.",),
        cites=("Gardner, Brooks and Baker 2019",),
    ),
    Method(
        id="calibration_curve",
        kind="metric",
        title="Calibration curve",
        measures="The share positive among rows of similar score, in ten bins of equal mass.",
        params=NoParams,
        run=_calibration_curve,
        needs=("binary", "labels", "probabilities"),
        limits=("A bin averages over its scores; errors within it may cancel.",),
        selectable=False,
    ),
)

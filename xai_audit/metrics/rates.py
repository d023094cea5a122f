"""Rates of a confusion table: what share of some rows is something, overall and by group."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from xai_audit import intervals as iv
from xai_audit.evidence import Estimate, Group, Groups, Scalar
from xai_audit.method import Context, Measured, Method, MetricParams, Need, Skipped
from xai_audit.metrics import grouped
from xai_audit.metrics.grouped import Better, Cell
from xai_audit.metrics.labelled import (
    Tally,
    classes,
    each_group,
    known,
    labelled_sampling,
    rate_cell,
    stated,
    tally,
    with_class,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.subject import Subject

Masks = tuple["NDArray[np.bool_]", "NDArray[np.bool_]"]


@dataclass(frozen=True)
class Rate:
    """A share: its event among its rows, given which rows are truly and which predictedly of the class."""

    id: str
    title: str
    measures: str
    event: Callable[[Any, Any], Any]
    among: Callable[[Any, Any], Any]
    undefined: str
    better: Better
    labels: bool = True
    """Whether it looks at true labels."""
    conditioned: bool = True
    """Whether its rows are those of a label, true or predicted, rather than all."""
    class_of: Literal["positive", "favourable"] = "positive"
    limits: tuple[str, ...] = ("It takes the labels for the truth: a biased label hides a biased model.",)


def _all(y: Any, _: Any) -> Any:
    return np.ones_like(y, dtype=bool)


RATES: tuple[Rate, ...] = (
    Rate(
        "precision",
        "Precision",
        "The share of rows predicted positive that are positive.",
        lambda y, _: y,
        lambda _, p: p,
        "no positive predictions",
        "higher",
    ),
    Rate(
        "recall",
        "Recall",
        "The share of positive rows that are predicted positive.",
        lambda _, p: p,
        lambda y, _: y,
        "no positives",
        "higher",
    ),
    Rate(
        "true_positive_rate",
        "True positive rate",
        "The share of positive rows that are predicted positive (recall).",
        lambda _, p: p,
        lambda y, _: y,
        "no positives",
        "higher",
    ),
    Rate(
        "true_negative_rate",
        "True negative rate",
        "The share of negative rows that are predicted negative (specificity).",
        lambda _, p: ~p,
        lambda y, _: ~y,
        "no negatives",
        "higher",
    ),
    Rate(
        "false_positive_rate",
        "False positive rate",
        "The share of negative rows that are predicted positive.",
        lambda _, p: p,
        lambda y, _: ~y,
        "no negatives",
        "lower",
    ),
    Rate(
        "false_negative_rate",
        "False negative rate",
        "The share of positive rows that are predicted negative.",
        lambda _, p: ~p,
        lambda y, _: y,
        "no positives",
        "lower",
    ),
    Rate(
        "negative_predictive_value",
        "Negative predictive value",
        "The share of rows predicted negative that are negative.",
        lambda y, _: ~y,
        lambda _, p: ~p,
        "no negative predictions",
        "higher",
    ),
    Rate(
        "false_discovery_rate",
        "False discovery rate",
        "The share of rows predicted positive that are negative.",
        lambda y, _: ~y,
        lambda _, p: p,
        "no positive predictions",
        "lower",
    ),
    Rate(
        "false_omission_rate",
        "False omission rate",
        "The share of rows predicted negative that are positive.",
        lambda y, _: y,
        lambda _, p: ~p,
        "no negative predictions",
        "lower",
    ),
    Rate(
        "prevalence",
        "Prevalence",
        "The share of rows that are positive.",
        lambda y, _: y,
        _all,
        "no rows",
        "none",
        conditioned=False,
        limits=("It describes the data and not the model.",),
    ),
    Rate(
        "selection_rate",
        "Selection rate",
        "The share of rows that receive the favourable outcome.",
        lambda _, p: p,
        lambda _, p: np.ones_like(p, dtype=bool),
        "no rows",
        "none",
        labels=False,
        conditioned=False,
        class_of="favourable",
        limits=("It does not ask who should have received the outcome.",),
    ),
)
BY_ID: dict[str, Rate] = {rate.id: rate for rate in RATES}


def measured_classes(subject: Subject, rate: Rate) -> list[tuple[int, str | None]]:
    """The classes this rate is measured for."""
    if subject.binary:
        return [(subject.favourable if rate.class_of == "favourable" else subject.positive, None)]
    return classes(subject)


def masks(subject: Subject, rate: Rate, index: int) -> Masks:
    """Event and denominator of a rate for one class, over the test rows; rows without a label are in neither."""
    assert subject.prediction is not None
    predicted = subject.prediction == index
    if not rate.labels:
        return rate.event(predicted, predicted), rate.among(predicted, predicted)
    assert subject.test.target is not None
    true, valid = subject.test.target == index, known(subject)
    return rate.event(true, predicted) & valid, rate.among(true, predicted) & valid


def cells_of(subject: Subject, context: Context, rate: Rate, grouping: Any) -> list[Cell]:
    """A rate in every group (and class), as cells."""
    cells = []
    for index, label in measured_classes(subject, rate):
        event, among = masks(subject, rate, index)
        for key, inside, missing, covered in each_group(subject, grouping, context):
            cells.append(
                rate_cell(
                    subject,
                    with_class(key, label),
                    inside,
                    event,
                    among,
                    rate.undefined,
                    conditioned=rate.conditioned,
                    missing=missing,
                    covered=covered,
                )
            )
    return cells


def overall(subject: Subject, context: Context, event: Any, among: Any) -> Estimate | None:
    """A rate over all test rows; None where its denominator is empty."""
    found = tally(subject, event, among)
    if found is None:
        return None
    return context.estimate(found.value, iv.rate(found.successes, found.rows, context.levels), found.count)


def by_class(pairs: list[tuple[str, Estimate | None]], n: int, undefined: str) -> Groups:
    """An overall number for each class of a model with more than two."""
    groups = tuple(
        Group(key={grouped.CLASS: label}, n=n, status="measured", estimate=estimate, count=estimate.n)
        if estimate is not None
        else Group(key={grouped.CLASS: label}, n=n, status="undefined", reason=undefined, count=0)
        for label, estimate in pairs
    )
    return Groups(by=(grouped.CLASS,), groups=groups)


def _run(rate: Rate) -> Callable[[Subject, MetricParams, Context], Iterator[Measured | Skipped]]:
    def run(subject: Subject, _: MetricParams, context: Context) -> Iterator[Measured | Skipped]:
        sampling = labelled_sampling(subject) if rate.labels else None
        found = []
        for index, label in measured_classes(subject, rate):
            found.append((label or "", overall(subject, context, *masks(subject, rate, index))))
        whole = found[0][1]
        if not subject.binary:
            yield Measured(observation=by_class(found, subject.test.n, rate.undefined), sampling=sampling)
        elif whole is None:
            yield Skipped(reason=f"{rate.undefined} in the test data")
        else:
            yield Measured(observation=Scalar(estimate=whole), sampling=sampling)
        for grouping in subject.groupings:
            cells = cells_of(subject, context, rate, grouping)
            by = (*grouping.columns, grouped.CLASS) if not subject.binary else grouping.columns
            table = grouped.table(
                context, by, cells, better=rate.better, overall=whole if subject.binary else None, ratio=True
            )
            yield Measured(
                observation=table, columns=grouping.columns, sampling=sampling, params=stated(context)
            )

    return run


def _accuracy(subject: Subject, _: MetricParams, context: Context) -> Iterator[Measured | Skipped]:
    assert subject.prediction is not None
    assert subject.test.target is not None
    valid = known(subject)
    event = (subject.prediction == subject.test.target) & valid
    whole = overall(subject, context, event, valid)
    sampling = labelled_sampling(subject)
    if whole is None:
        yield Skipped(reason="no row has a valid label")
        return
    yield Measured(observation=Scalar(estimate=whole), sampling=sampling)
    for grouping in subject.groupings:
        cells = [
            rate_cell(
                subject,
                key,
                inside,
                event,
                valid,
                "no rows",
                conditioned=False,
                missing=missing,
                covered=covered,
            )
            for key, inside, missing, covered in each_group(subject, grouping, context)
        ]
        table = grouped.table(context, grouping.columns, cells, better="higher", overall=whole)
        yield Measured(observation=table, columns=grouping.columns, sampling=sampling, params=stated(context))


def _at(found: Tally) -> Callable[[Sequence[float]], grouped.Limits]:
    return lambda levels: iv.rate(found.successes, found.rows, levels)


def _predicted_positive_share(
    subject: Subject, _: MetricParams, context: Context
) -> Iterator[Measured | Skipped]:
    assert subject.prediction is not None
    for grouping in subject.groupings:
        cells = []
        for index, label in classes(subject):
            predicted = subject.prediction == index
            for key, inside, missing, covered in each_group(subject, grouping, context):
                found = tally(subject, inside, predicted)
                n = int(np.count_nonzero(inside))
                named = with_class(key, label)
                if covered:
                    cells.append(Cell(key=named, n=n, hidden=covered, missing=missing))
                elif found is None:
                    cells.append(Cell(key=named, n=n, undefined="no positive predictions", missing=missing))
                else:
                    cells.append(
                        Cell(
                            key=named,
                            n=n,
                            value=found.value,
                            count=found.count,
                            missing=missing,
                            at=_at(found),
                        )
                    )
        by = (*grouping.columns, grouped.CLASS) if not subject.binary else grouping.columns
        # Shares of one whole grow with the group; a gap between them says nothing of treatment.
        table = grouped.table(context, by, cells, summary=False)
        yield Measured(observation=table, columns=grouping.columns, params=stated(context))


_LABELLED: tuple[Need, ...] = ("classification", "labels")

METHODS: tuple[Method[Any], ...] = (
    Method(
        id="accuracy",
        kind="metric",
        title="Accuracy",
        measures="The share of rows predicted correctly.",
        params=MetricParams,
        run=_accuracy,
        needs=_LABELLED,
        better="higher",
        limits=("A model that always predicts the commonest class scores its share; see the baseline.",),
        cites=("Wilson 1927", "Miettinen and Nurminen 1985"),
    ),
    *(
        Method(
            id=rate.id,
            kind="metric",
            title=rate.title,
            measures=rate.measures,
            params=MetricParams,
            run=_run(rate),
            needs=_LABELLED if rate.labels else ("classification",),
            better=rate.better,
            limits=rate.limits,
            cites=("Wilson 1927", "Miettinen and Nurminen 1985"),
        )
        for rate in RATES
    ),
    Method(
        id="predicted_positive_share",
        kind="metric",
        title="Share of all positive predictions",
        measures="Of all rows predicted positive, the share that is in each group.",
        params=MetricParams,
        run=_predicted_positive_share,
        needs=("classification", "groups"),
        limits=("It grows with the size of the group; it is not a selection rate.",),
        cites=("Saleiro et al. 2018",),
    ),
)

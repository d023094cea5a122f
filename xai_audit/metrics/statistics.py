"""Numbers that are not a single rate: measured overall and by group through one shape."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit import intervals_rows as from_rows
from xai_audit.evidence import Estimate, Scalar
from xai_audit.method import Context, Measured, Method, MetricParams, Need, Skipped
from xai_audit.metrics import grouped
from xai_audit.metrics.grouped import Better, Cell, Limits
from xai_audit.metrics.labelled import classes, each_group, known, labelled_sampling, stated, with_class
from xai_audit.metrics.rates import by_class

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.subject import Subject

Value = tuple[float, Callable[[Sequence[float]], Limits]]


@dataclass(frozen=True)
class Undefined:
    """There is no number, and why."""

    reason: str


Found = Value | Undefined


@dataclass(frozen=True)
class Statistic:
    """A number over some rows, with its interval at any levels."""

    id: str
    title: str
    measures: str
    of: Callable[[Subject, NDArray[np.int64], int], Found]
    """From the subject, row indices (with valid labels) and a class index."""
    needs: tuple[Need, ...]
    better: Better
    labels: bool = False
    """Whether both labels must be there in numbers."""
    per_class: bool = True
    limits: tuple[str, ...] = ()
    cites: tuple[str, ...] = ()


def _classes(subject: Subject, statistic: Statistic) -> list[tuple[int, str | None]]:
    if subject.task == "regression" or not statistic.per_class:
        return [(subject.positive, None)]
    return classes(subject)


def _label_counts(subject: Subject, rows: NDArray[np.int64], index: int) -> tuple[int, ...]:
    assert subject.test.target is not None
    true = subject.test.target[rows] == index
    return int(np.count_nonzero(true)), int(np.count_nonzero(~true))


def _cached(found: Value) -> Callable[[Sequence[float]], Limits]:
    # A cell is compared with many others at the same levels.
    compute = functools.cache(found[1])
    return lambda levels: compute(tuple(levels))


def run(statistic: Statistic) -> Callable[[Subject, MetricParams, Context], Iterator[Measured | Skipped]]:
    """The method body of a statistic: overall, then by every grouping."""

    def body(subject: Subject, _: MetricParams, context: Context) -> Iterator[Measured | Skipped]:
        valid = known(subject)
        rows = np.flatnonzero(valid)
        sampling = labelled_sampling(subject)
        several = len(_classes(subject, statistic)) > 1
        overall: list[tuple[str, Estimate | None]] = []
        undefined = "no rows"
        for index, label in _classes(subject, statistic):
            found = statistic.of(subject, rows, index) if len(rows) else Undefined("no row has a valid label")
            if isinstance(found, Undefined):
                undefined = found.reason
                overall.append((label or "", None))
            else:
                overall.append((label or "", context.estimate(found[0], found[1](context.levels), len(rows))))
        whole = overall[0][1]
        if several:
            yield Measured(observation=by_class(overall, len(rows), undefined), sampling=sampling)
        elif whole is None:
            yield Skipped(reason=f"{undefined} in the test data")
        else:
            yield Measured(observation=Scalar(estimate=whole), sampling=sampling)
        for grouping in subject.groupings:
            cells = [
                _cell(subject, statistic, index, with_class(key, label), valid, inside, missing, covered)
                for index, label in _classes(subject, statistic)
                for key, inside, missing, covered in each_group(subject, grouping, context)
            ]  # fmt: skip
            by = (*grouping.columns, grouped.CLASS) if several else grouping.columns
            table = grouped.table(
                context, by, cells, better=statistic.better, overall=None if several else whole
            )
            yield Measured(
                observation=table, columns=grouping.columns, sampling=sampling, params=stated(context)
            )

    return body


def _cell(
    subject: Subject,
    statistic: Statistic,
    index: int,
    key: dict[str, str],
    valid: NDArray[np.bool_],
    inside: NDArray[np.bool_],
    missing: bool,
    covered: str,
) -> Cell:
    n = int(np.count_nonzero(inside))
    rows = np.flatnonzero(inside & valid)
    if covered:
        return Cell(key=key, n=n, hidden=covered, missing=missing)
    found: Found = statistic.of(subject, rows, index) if len(rows) else Undefined("no row has a valid label")
    if isinstance(found, Undefined):
        return Cell(key=key, n=n, undefined=found.reason, missing=missing, count=len(rows))
    labels = _label_counts(subject, rows, index) if statistic.labels else ()
    return Cell(
        key=key, n=n, value=found[0], at=_cached(found), count=len(rows), labels=labels, missing=missing
    )  # fmt: skip


def method(statistic: Statistic) -> Method[Any]:
    """A statistic as a method of the catalog."""
    return Method(
        id=statistic.id,
        kind="metric",
        title=statistic.title,
        measures=statistic.measures,
        params=MetricParams,
        run=run(statistic),
        needs=statistic.needs,
        better=statistic.better,
        limits=statistic.limits,
        cites=statistic.cites,
    )


def by_rows(subject: Subject, values: NDArray[np.float64], rows: NDArray[np.int64]) -> Value:
    """The mean of one value a row, with weights and clusters where there are any."""
    chosen = values.tolist()
    weights, clusters = subject.test.weights, subject.test.clusters
    if weights is None and clusters is None:
        return from_rows.mean(chosen, (0.95,))[0], lambda levels: from_rows.mean(chosen, levels)[1]
    w = None if weights is None else weights[rows].tolist()
    c = None if clusters is None else clusters[rows].tolist()
    return (
        from_rows.clustered_mean(chosen, w, c, (0.95,))[0],
        lambda levels: from_rows.clustered_mean(chosen, w, c, levels)[1],
    )

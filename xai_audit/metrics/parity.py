"""How far apart groups are treated: the largest difference or the smallest ratio of a rate, over all pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from xai_audit import intervals as iv
from xai_audit.evidence import Estimate, Summary
from xai_audit.method import Context, Measured, Method, MetricParams, Need, Skipped
from xai_audit.metrics import grouped
from xai_audit.metrics.labelled import labelled_sampling, stated
from xai_audit.metrics.rates import BY_ID, Rate, cells_of, masks, overall

if TYPE_CHECKING:
    from xai_audit.metrics.grouped import Cell
    from xai_audit.subject import Grouping, Subject


@dataclass(frozen=True)
class Parity:
    """A comparison of one rate between groups."""

    id: str
    title: str
    measures: str
    rate: str
    ratio: bool = False
    limits: tuple[str, ...] = ()


PARITIES: tuple[Parity, ...] = (
    Parity(
        "demographic_parity_difference",
        "Demographic parity difference",
        "The largest difference in selection rate between two groups.",
        "selection_rate",
        limits=("It does not ask whether the groups differ in what the outcome is about.",),
    ),
    Parity(
        "demographic_parity_ratio",
        "Demographic parity ratio",
        "The smallest selection rate of a group divided by the largest.",
        "selection_rate",
        ratio=True,
        limits=("It does not ask whether the groups differ in what the outcome is about.",),
    ),
    Parity(
        "equal_opportunity_difference",
        "Equal opportunity difference",
        "The largest difference in true positive rate between two groups.",
        "true_positive_rate",
        limits=("It trusts the labels: a biased label hides a biased model.",),
    ),
    Parity(
        "false_positive_rate_difference",
        "False positive rate difference",
        "The largest difference in false positive rate between two groups.",
        "false_positive_rate",
        limits=("It trusts the labels: a biased label hides a biased model.",),
    ),
    Parity(
        "predictive_parity_difference",
        "Predictive parity difference",
        "The largest difference in precision between two groups.",
        "precision",
        limits=("It cannot be small together with both error-rate gaps where base rates differ.",),
    ),
)

_CITES = ("Hardt, Price and Srebro 2016", "Miettinen and Nurminen 1985")


def _by(subject: Subject, grouping: Grouping, *more: str) -> tuple[str, ...]:
    return (*grouping.columns, *(() if subject.binary else (grouped.CLASS,)), *more)


def _run(parity: Parity) -> Callable[[Subject, MetricParams, Context], Iterator[Measured | Skipped]]:
    rate = BY_ID[parity.rate]

    def run(subject: Subject, _: MetricParams, context: Context) -> Iterator[Measured | Skipped]:
        sampling = labelled_sampling(subject) if rate.labels else None
        for grouping in subject.groupings:
            table = grouped.table(
                context,
                _by(subject, grouping),
                cells_of(subject, context, rate, grouping),
                better=rate.better,
                overall=_overall(subject, context, rate),
                ratio=parity.ratio,
            )
            summary = table.summary
            if summary is not None and parity.ratio:
                # One id, one number: the ratio alone, so that no rule reads the other by mistake.
                table = table.model_copy(update={"summary": summary.model_copy(update={"difference": None})})
            yield Measured(
                observation=table, columns=grouping.columns, sampling=sampling, params=stated(context)
            )

    return run


def _overall(subject: Subject, context: Context, rate: Rate) -> Estimate | None:
    if not subject.binary:
        return None
    index = subject.favourable if rate.class_of == "favourable" else subject.positive
    return overall(subject, context, *masks(subject, rate, index))


def _odds(combine: str) -> Callable[[Subject, MetricParams, Context], Iterator[Measured | Skipped]]:
    rates = (BY_ID["true_positive_rate"], BY_ID["false_positive_rate"])

    def run(subject: Subject, _: MetricParams, context: Context) -> Iterator[Measured | Skipped]:
        for grouping in subject.groupings:
            cells: list[Cell] = []
            for rate in rates:
                cells += [
                    replace(cell, key={**cell.key, grouped.RATE: rate.title})
                    for cell in cells_of(subject, context, rate, grouping)
                ]
            # Both gaps are compared at once: the families share the error between them.
            table = grouped.table(context, _by(subject, grouping, grouped.RATE), cells)
            if combine == "sum" and table.summary is not None:
                summary = _sum(context, cells, table.summary)
                table = table.model_copy(update={"summary": summary})
            yield Measured(
                observation=table,
                columns=grouping.columns,
                sampling=labelled_sampling(subject),
                params=stated(context),
            )

    return run


def _sum(context: Context, cells: list[Cell], summary: Summary) -> Summary:
    both = []
    for title in ("True positive rate", "False positive rate"):
        able = [
            cell
            for cell in cells
            if cell.key[grouped.RATE] == title
            and cell.counts is not None
            and not cell.missing
            and cell.n >= context.min_n
            and all(count >= context.min_label for count in cell.labels)
        ]
        if len(able) < 2:
            return Summary(insufficient=summary.insufficient)
        both.append(
            (
                [cell.counts[0] for cell in able if cell.counts],
                [cell.counts[1] for cell in able if cell.counts],
            )
        )
    (tp, p), (fp, n) = both
    gaps = [
        max(x / m for x, m in zip(xs, ns, strict=True)) - min(x / m for x, m in zip(xs, ns, strict=True))
        for xs, ns in both
    ]
    value = context.estimate(
        sum(gaps), iv.sum_of_differences([(tp, p), (fp, n)], context.levels), round(sum(p) + sum(n))
    )
    return summary.model_copy(update={"difference": value, "between": None})


_NEEDS: tuple[Need, ...] = ("classification", "groups")

METHODS: tuple[Method[Any], ...] = (
    *(
        Method(
            id=parity.id,
            kind="metric",
            title=parity.title,
            measures=parity.measures,
            params=MetricParams,
            run=_run(parity),
            needs=(*_NEEDS, "labels") if BY_ID[parity.rate].labels else _NEEDS,
            limits=parity.limits,
            cites=_CITES,
            better="one" if parity.ratio else "zero",
        )
        for parity in PARITIES
    ),
    Method(
        id="equalized_odds_difference",
        kind="metric",
        title="Equalized odds difference",
        measures="The larger of the largest gaps in true and in false positive rate between two groups.",
        params=MetricParams,
        run=_odds("larger"),
        needs=(*_NEEDS, "labels"),
        limits=("It trusts the labels: a biased label hides a biased model.",),
        cites=_CITES,
        better="zero",
    ),
    Method(
        id="equalized_odds_sum",
        kind="metric",
        title="Equalized odds, summed",
        measures="The largest gap in true positive rate plus the largest gap in false positive rate.",
        params=MetricParams,
        run=_odds("sum"),
        needs=(*_NEEDS, "labels"),
        limits=("It trusts the labels: a biased label hides a biased model.",),
        cites=("Le Quy et al. 2022",),
        better="zero",
    ),
)

"""Shares of rows again: accuracy, the rates of the confusion table, and their comparison between groups."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from xai_audit.evidence import Estimate, Group, Groups, Scalar, Summary
from xai_audit.verify import groups, limits
from xai_audit.verify.groups import CLASS, RATE, Better, Cell, rate_at
from xai_audit.verify.recounts.bench import Bench, Need, Recount, Recounted, Seen, Skip, rate_cell, share
from xai_audit.verify.table import Grouping, Mask

Of = Callable[[Mask, Mask], Mask]


@dataclass(frozen=True)
class Rate:
    """A share: its event and its rows, given who is truly and who predictedly of the class."""

    event: Of
    among: Of
    undefined: str
    better: Better
    kind: Literal["of a label", "of all labelled", "of decisions"] = "of a label"


def _all(true: Mask, _: Mask) -> Mask:
    return np.ones_like(true)


RATES = {
    "precision": Rate(lambda y, p: y & p, lambda _, p: p, "no positive predictions", "higher"),
    "recall": Rate(lambda y, p: y & p, lambda y, _: y, "no positives", "higher"),
    "true_positive_rate": Rate(lambda y, p: y & p, lambda y, _: y, "no positives", "higher"),
    "true_negative_rate": Rate(lambda y, p: ~(y | p), lambda y, _: ~y, "no negatives", "higher"),
    "false_positive_rate": Rate(lambda y, p: p & ~y, lambda y, _: ~y, "no negatives", "lower"),
    "false_negative_rate": Rate(lambda y, p: y & ~p, lambda y, _: y, "no positives", "lower"),
    "negative_predictive_value": Rate(
        lambda y, p: ~(y | p), lambda _, p: ~p, "no negative predictions", "higher"
    ),
    "false_discovery_rate": Rate(lambda y, p: p & ~y, lambda _, p: p, "no positive predictions", "lower"),
    "false_omission_rate": Rate(lambda y, p: y & ~p, lambda _, p: ~p, "no negative predictions", "lower"),
    "prevalence": Rate(lambda y, _: y, _all, "no rows", "none", "of all labelled"),
    "selection_rate": Rate(lambda _, p: p, _all, "no rows", "none", "of decisions"),
}


def _classes(bench: Bench, rate: Rate) -> list[tuple[int, str | None]]:
    if bench.subject.binary and rate.kind == "of decisions":
        return [(bench.subject.favourable, None)]
    return bench.classes


def _masks(bench: Bench, rate: Rate, index: int) -> tuple[Mask, Mask]:
    predicted = bench.table.called(index)
    if rate.kind == "of decisions":
        return rate.event(predicted, predicted), rate.among(predicted, predicted)
    true, valid = bench.table.true(index), bench.table.valid
    return rate.event(true, predicted) & valid, rate.among(true, predicted) & valid


def _cells(bench: Bench, rate: Rate, grouping: Grouping) -> list[Cell]:
    return [
        rate_cell(
            bench.table, key if label is None else {**key, CLASS: label}, inside, *_masks(bench, rate, index),
            rate.undefined, conditioned=rate.kind == "of a label", missing=missing, withheld=withheld,
        )
        for index, label in _classes(bench, rate)
        for key, inside, missing, withheld in bench.groups(grouping)
    ]  # fmt: skip


def _overall(bench: Bench, event: Mask, among: Mask) -> Estimate | None:
    found = share(bench.table, event, among)
    return None if found is None else bench.minima.read(found.value, rate_at(found.counts), found.count)


def by_class(pairs: Sequence[tuple[str, Estimate | None]], n: int, undefined: str) -> Groups:
    """An overall number for each class."""
    found = []
    for label, estimate in pairs:
        if estimate is None:
            found.append(Group(key={CLASS: label}, n=n, status="undefined", reason=undefined, count=0))
        else:
            found.append(
                Group(key={CLASS: label}, n=n, status="measured", estimate=estimate, count=estimate.n)
            )
    return Groups(by=(CLASS,), groups=tuple(found))


def _by(bench: Bench, grouping: Grouping, *more: str) -> tuple[str, ...]:
    return (*grouping.columns, *(() if bench.subject.binary else (CLASS,)), *more)


def _rate(rate: Rate, bench: Bench) -> Iterator[Recounted]:
    sampling = None if rate.kind == "of decisions" else bench.labelled
    found = [
        (label or "", _overall(bench, *_masks(bench, rate, index))) for index, label in _classes(bench, rate)
    ]
    whole = found[0][1] if bench.subject.binary else None
    if not bench.subject.binary:
        yield Seen(observation=by_class(found, bench.table.n, rate.undefined), sampling=sampling)
    elif whole is None:
        yield Skip(reason=f"{rate.undefined} in the test data")
    else:
        yield Seen(observation=Scalar(estimate=whole), sampling=sampling)
    for grouping in bench.table.groupings:
        made = groups.table(
            bench.minima, _by(bench, grouping), _cells(bench, rate, grouping),
            better=rate.better, overall=whole, ratio=True,
        )  # fmt: skip
        yield Seen(observation=made, columns=grouping.columns, sampling=sampling, params=bench.minima.stated)


def _accuracy(bench: Bench) -> Iterator[Recounted]:
    table = bench.table
    right = (table.prediction == table.target) & table.valid
    whole = _overall(bench, right, table.valid)
    if whole is None:
        yield Skip(reason="no row has a valid label")
        return
    yield Seen(observation=Scalar(estimate=whole), sampling=bench.labelled)
    for grouping in table.groupings:
        cells = [
            rate_cell(
                table, key, inside, right, table.valid, "no rows",
                conditioned=False, missing=missing, withheld=withheld,
            )
            for key, inside, missing, withheld in bench.groups(grouping)
        ]  # fmt: skip
        made = groups.table(bench.minima, grouping.columns, cells, better="higher", overall=whole)
        yield Seen(
            observation=made, columns=grouping.columns, sampling=bench.labelled, params=bench.minima.stated
        )


def _predicted_positive_share(bench: Bench) -> Iterator[Recounted]:
    for grouping in bench.table.groupings:
        cells = []
        for index, label in bench.classes:
            predicted = bench.table.called(index)
            for key, inside, missing, withheld in bench.groups(grouping):
                cell = Cell(
                    key=key if label is None else {**key, CLASS: label},
                    n=int(np.count_nonzero(inside)),
                    missing=missing,
                    withheld=withheld,
                )
                found = None if withheld else share(bench.table, inside, predicted)
                if found is not None:
                    cell = replace(cell, found=(found.value, rate_at(found.counts)), count=found.count)
                elif not withheld:
                    cell = replace(cell, undefined="no positive predictions")
                cells.append(cell)
        made = groups.table(bench.minima, _by(bench, grouping), cells, summary=False)
        yield Seen(observation=made, columns=grouping.columns, params=bench.minima.stated)


def _parity(rate: Rate, bench: Bench, *, ratio: bool = False) -> Iterator[Recounted]:
    sampling = None if rate.kind == "of decisions" else bench.labelled
    whole = None
    if bench.subject.binary:
        whole = _overall(bench, *_masks(bench, rate, _classes(bench, rate)[0][0]))
    for grouping in bench.table.groupings:
        made = groups.table(
            bench.minima, _by(bench, grouping), _cells(bench, rate, grouping),
            better=rate.better, overall=whole, ratio=ratio,
        )  # fmt: skip
        if ratio and made.summary is not None:
            made = made.model_copy(update={"summary": made.summary.model_copy(update={"difference": None})})
        yield Seen(observation=made, columns=grouping.columns, sampling=sampling, params=bench.minima.stated)


_BOTH = {
    "True positive rate": RATES["true_positive_rate"],
    "False positive rate": RATES["false_positive_rate"],
}


def _odds(bench: Bench, *, summed: bool) -> Iterator[Recounted]:
    for grouping in bench.table.groupings:
        cells = [
            replace(cell, key={**cell.key, RATE: title})
            for title, rate in _BOTH.items()
            for cell in _cells(bench, rate, grouping)
        ]
        made = groups.table(bench.minima, _by(bench, grouping, RATE), cells)
        if summed and made.summary is not None:
            made = made.model_copy(update={"summary": _sum(bench, cells, made.summary)})
        yield Seen(
            observation=made, columns=grouping.columns, sampling=bench.labelled, params=bench.minima.stated
        )


def _sum(bench: Bench, cells: Sequence[Cell], summary: Summary) -> Summary:
    """The two largest gaps added, each with half of the error, over all groups of a rate at once."""
    tables = []
    for title in _BOTH:
        able = [
            cell for cell in cells if cell.key[RATE] == title and cell.able(bench.minima) and not cell.missing
        ]
        tables.append([cell.counts for cell in able if cell.counts is not None])
    if min(map(len, tables)) < 2:
        return Summary(insufficient=summary.insufficient)
    rates = [[x / n for x, n in table] for table in tables]

    def at(level: float) -> limits.Limit:
        found = [limits.widest(table, limits.shared(level, 2)) for table in tables]
        return math.fsum(low for low, _ in found), math.fsum(high for _, high in found)

    rows = sum(n for table in tables for _, n in table)
    value = bench.minima.read(sum(max(gap) - min(gap) for gap in rates), at, round(rows))
    return summary.model_copy(update={"difference": value, "between": None})


_LABELLED: tuple[Need, ...] = ("classification", "labels")
_GROUPED: tuple[Need, ...] = ("classification", "groups")

RECOUNTS: dict[str, Recount] = {
    "accuracy": Recount(_accuracy, _LABELLED),
    **{
        name: Recount(partial(_rate, rate), ("classification",) if rate.kind == "of decisions" else _LABELLED)
        for name, rate in RATES.items()
    },
    "predicted_positive_share": Recount(_predicted_positive_share, _GROUPED),
    "demographic_parity_difference": Recount(partial(_parity, RATES["selection_rate"]), _GROUPED),
    "demographic_parity_ratio": Recount(partial(_parity, RATES["selection_rate"], ratio=True), _GROUPED),
    **{
        name: Recount(partial(_parity, RATES[rate]), (*_GROUPED, "labels"))
        for name, rate in (
            ("equal_opportunity_difference", "true_positive_rate"),
            ("false_positive_rate_difference", "false_positive_rate"),
            ("predictive_parity_difference", "precision"),
        )
    },
    "equalized_odds_difference": Recount(partial(_odds, summed=False), (*_GROUPED, "labels")),
    "equalized_odds_sum": Recount(partial(_odds, summed=True), (*_GROUPED, "labels")),
}

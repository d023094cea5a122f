"""What the threshold decides, again: the confusion matrix, other thresholds, calibration in bins, the gap within levels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from xai_audit.evidence import Curve, Group, Groups, Matrix, Point, Series, Summary
from xai_audit.verify import limits
from xai_audit.verify.groups import rate_at
from xai_audit.verify.recounts.bench import Bench, Recount, Recounted, Seen, Skip, share
from xai_audit.verify.table import Grouping, Mask, crossed

Stratum = tuple[int, int, int, int]
"""Selected and all of the one group, selected and all of the other."""


def _confusion_matrix(bench: Bench) -> Iterator[Recounted]:
    table, names = bench.table, bench.subject.classes
    values = tuple(
        tuple(
            float(np.count_nonzero(table.true(true) & table.called(called))) for called in range(len(names))
        )
        for true in range(len(names))
    )
    yield Seen(
        observation=Matrix(
            rows=names, columns=names, values=values, row_title="true", column_title="predicted"
        ),
        sampling=bench.labelled,
    )


def _threshold_sweep(bench: Bench) -> Iterator[Recounted]:
    table, score = bench.table, bench.positive_scores()
    true, valid = table.true(bench.subject.positive), table.valid
    series = []
    for name, among in (
        ("recall", true & valid),
        ("false positive rate", ~true & valid),
        ("share predicted positive", valid),
    ):
        points = []
        for step in range(1, 20):
            found = share(table, score >= step / 20, among)
            if found is not None:
                estimate = bench.minima.shown(found.value, rate_at(found.counts), found.count)
                points.append(Point(x=step / 20, estimate=estimate))
        if points:
            series.append(Series(name=name, points=tuple(points)))
    yield Seen(observation=Curve(x="threshold", y="share", series=tuple(series)), sampling=bench.labelled)


def _calibration_curve(bench: Bench) -> Iterator[Recounted]:
    """Ten bins of equal mass; a run of equal scores begins the bin in which its first row would be cut."""
    rows = bench.rows
    scores = np.sort(bench.positive_scores()[rows])
    starts = [0]
    for edge in np.linspace(0, len(scores), 11).round().astype(int)[1:-1].tolist():
        place = int(np.count_nonzero(scores < scores[edge])) if edge < len(scores) else len(scores)
        if place > starts[-1]:
            starts.append(place)
    if bench.table.linked:
        starts = _merged(starts, len(scores), bench.minima.min_cell)
    every = bench.positive_scores()
    true = bench.table.true(bench.subject.positive)
    points = []
    for start, end in zip(starts, [*starts[1:], len(scores)], strict=True):
        if end - start < bench.minima.min_cell or end == start:
            continue
        inside = bench.table.valid & (every >= scores[start]) & (every <= scores[end - 1])
        hits, size = int(np.count_nonzero(true & inside)), end - start
        estimate = bench.minima.shown(hits / size, rate_at((hits, size)), size)
        points.append(Point(x=math.fsum(every[inside]) / size, estimate=estimate))
    if not points:
        where = "" if bench.table.linked else " in every bin"
        yield Skip(reason=f"fewer than {bench.minima.min_cell} rows{where}")
        return
    observed = Series(name="observed", points=tuple(points))
    yield Seen(
        observation=Curve(x="mean score", y="share positive", series=(observed,)), sampling=bench.labelled
    )


def _merged(starts: list[int], end: int, least: int) -> list[int]:
    """Where bins begin that each hold enough rows: neighbours are joined, and the last with the one before it."""
    kept: list[int] = []
    for start in starts:
        if not kept or start - kept[-1] >= least:
            kept.append(start)
    return kept[:-1] if len(kept) > 1 and end - kept[-1] < least else kept


# ------------------------------------------------------------------------------------------ within levels
def _conditional(bench: Bench) -> Iterator[Recounted]:
    singles = [grouping for grouping in bench.table.groupings if len(grouping.columns) == 1]
    explanatory = [grouping for grouping in singles if grouping.explanatory]
    if not explanatory:
        yield Skip(reason="the spec marks no column as explanatory")
        return
    selected = bench.table.called(bench.subject.favourable)
    for grouping in singles:
        if grouping.explanatory:
            continue
        pair = _extremes(bench, grouping, selected)
        for within in explanatory:
            if pair is None:
                yield Skip(
                    reason="fewer than two groups are large enough to compare",
                    columns=(*grouping.columns, *within.columns),
                )
            else:
                yield _within(bench, grouping, within, selected, pair)


def _extremes(bench: Bench, grouping: Grouping, selected: Mask) -> tuple[int, int] | None:
    """The groups selected least and most, of those that are large enough to compare."""
    covered = bench.table.withheld(grouping)
    able = [
        code
        for code, count in enumerate(grouping.counts)
        if count >= bench.minima.min_n and not covered[code] and not grouping.missing[code]
    ]
    if len(able) < 2:
        return None
    hits = np.bincount(grouping.codes[selected], minlength=len(grouping.keys))
    rates = {code: Fraction(int(hits[code]), grouping.counts[code]) for code in able}
    low = min(able, key=lambda code: (rates[code], code))
    return low, min((code for code in able if code != low), key=lambda code: (-rates[code], code))


def _within(
    bench: Bench, grouping: Grouping, within: Grouping, selected: Mask, pair: tuple[int, int]
) -> Seen:
    covered = _covered(bench, grouping, within, pair)
    strata: list[Stratum] = []
    made = []
    for code, key in enumerate(within.keys):
        one, other = ((within.codes == code) & (grouping.codes == group) for group in pair)
        counts = (
            int(np.count_nonzero(one & selected)),
            int(np.count_nonzero(one)),
            int(np.count_nonzero(other & selected)),
            int(np.count_nonzero(other)),
        )
        if not (covered[code] and bench.table.linked):
            strata.append(counts)  # earlier audits pooled the levels that are not shown as well
        made.append(_level(bench, dict(key), counts, covered[code], missing=within.missing[code]))
    summary = None
    whole = [stratum for stratum in strata if stratum[1] and stratum[3]]
    if whole:
        value, _ = limits.mantel_haenszel(whole, bench.minima.confidence)
        estimate = bench.minima.read(
            value,
            lambda level: limits.mantel_haenszel(whole, level)[1],
            sum(n1 + n0 for _, n1, _, n0 in whole),
        )
        between = (grouping.labels[pair[0]], grouping.labels[pair[1]])
        summary = Summary(difference=estimate, between=between, pairs=1)
    return Seen(
        observation=Groups(by=within.columns, groups=tuple(made), summary=summary),
        columns=(*grouping.columns, *within.columns),
        params={**bench.minima.stated, "pooled": "Mantel-Haenszel, interval by Sato"},
    )


def _covered(bench: Bench, grouping: Grouping, within: Grouping, pair: tuple[int, int]) -> list[str]:
    """Why each level may not be shown: the crossing withholds one of the two groups in it."""
    both = crossed((grouping, within))
    reasons = bench.table.withheld(both)
    found = [""] * len(within.keys)
    for key, reason in zip(both.keys, reasons, strict=True):
        code = within.keys.index({column: key[column] for column in within.columns})
        mine = {column: key[column] for column in grouping.columns}
        if reason and mine in [grouping.keys[one] for one in pair] and not found[code].startswith("n <"):
            found[code] = reason
    return found


def _level(bench: Bench, key: dict[str, str], counts: Stratum, covered: str, *, missing: bool) -> Group:
    x1, n1, x0, n0 = counts
    if covered:
        return Group(key=key, n=None, status="suppressed", reason=covered, missing=missing)
    n = n1 + n0
    if not n1 or not n0:
        return Group(key=key, n=n, status="undefined", reason="only one of the groups", missing=missing)
    small = min(n1, n0) < bench.minima.min_n
    return Group(
        key=key,
        n=n,
        status="insufficient" if small else "measured",
        reason=f"n < {bench.minima.min_n} in one of the groups" if small else None,
        estimate=bench.minima.shown(
            x1 / n1 - x0 / n0, lambda level: limits.difference(x1, n1, x0, n0, level), n
        ),
        count=n,
        missing=missing,
    )


RECOUNTS: dict[str, Recount] = {
    "confusion_matrix": Recount(_confusion_matrix, ("classification", "labels"), asked=False, defaults={}),
    "threshold_sweep": Recount(
        _threshold_sweep, ("binary", "labels", "probabilities"), asked=False, defaults={}
    ),
    "calibration_curve": Recount(
        _calibration_curve, ("binary", "labels", "probabilities"), asked=False, defaults={}
    ),
    "conditional_demographic_parity_difference": Recount(_conditional, ("classification", "groups")),
}

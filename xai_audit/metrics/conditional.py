"""The gap between two groups within each level of an explanatory column, and pooled over its levels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit import intervals as iv
from xai_audit.evidence import Group, Groups, Summary
from xai_audit.method import Context, Measured, Method, MetricParams, Skipped
from xai_audit.metrics.labelled import stated, unweighted
from xai_audit.subject import Grouping

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.subject import Subject

Stratum = tuple[int, int, int, int]
"""Selected and all of the one group, selected and all of the other, within one level."""


def pooled(strata: Sequence[Stratum], levels: Sequence[float]) -> tuple[float, list[tuple[float, float]]]:
    """The Mantel-Haenszel difference of two rates over strata, with Sato's interval at each level.

    Levels where one of the groups is empty say nothing and drop out. ValueError where all do. Mantel and Haenszel
    1959, JNCI 22:719; Sato, Greenland and Robins 1989, Biometrics 45:1323: the variance holds for a few large
    strata as for many small ones.
    """
    used = [stratum for stratum in strata if stratum[1] and stratum[3]]
    if not used:
        raise ValueError("no stratum holds both groups")
    weight = math.fsum(n1 * n0 / (n1 + n0) for _, n1, _, n0 in used)
    value = math.fsum((x1 * n0 - x0 * n1) / (n1 + n0) for x1, n1, x0, n0 in used) / weight
    p = math.fsum(
        (n1 * n1 * x0 - n0 * n0 * x1 + n1 * n0 * (n0 - n1) / 2) / (n1 + n0) ** 2 for x1, n1, x0, n0 in used
    )
    q = math.fsum((x1 * (n0 - x0) + x0 * (n1 - x1)) / (2 * (n1 + n0)) for x1, n1, x0, n0 in used)
    spread = math.sqrt(max(value * p + q, 0.0)) / weight
    reach = [iv.normal_quantile(level) * spread for level in levels]
    return value, [(max(value - far, -1.0), min(value + far, 1.0)) for far in reach]


def _run(subject: Subject, _: MetricParams, context: Context) -> Iterator[Measured | Skipped]:
    singles = [grouping for grouping in subject.groupings if len(grouping.columns) == 1]
    explanatory = [grouping for grouping in singles if grouping.explanatory]
    if not explanatory:
        yield Skipped(reason="the spec marks no column as explanatory")
        return
    assert subject.prediction is not None
    selected = subject.prediction == subject.favourable
    for grouping in singles:
        if grouping.explanatory:
            continue
        pair = _extremes(subject, grouping, selected, context)
        for within in explanatory:
            columns = (*grouping.columns, *within.columns)
            if pair is None:
                yield Skipped(reason="fewer than two groups are large enough to compare", columns=columns)
                continue
            compared = _compared(subject, grouping, within, selected, pair, context)
            yield replace(compared, limits=(*compared.limits, *unweighted(subject)))


def _extremes(
    subject: Subject, grouping: Grouping, selected: NDArray[np.bool_], context: Context
) -> tuple[int, int] | None:
    covered = subject.hidden(grouping, context.min_cell)
    able = [
        code
        for code in range(len(grouping.keys))
        if not grouping.missing[code]
        and not covered[code]
        and np.count_nonzero(grouping.codes == code) >= context.min_n
    ]
    if len(able) < 2:
        return None
    ns = [int(np.count_nonzero(grouping.codes == code)) for code in able]
    xs = [int(np.count_nonzero(selected & (grouping.codes == code))) for code in able]
    low, high = iv.extremes(xs, ns)
    return able[low], able[high]


def _compared(
    subject: Subject,
    grouping: Grouping,
    within: Grouping,
    selected: NDArray[np.bool_],
    pair: tuple[int, int],
    context: Context,
) -> Measured:
    labels = grouping.labels()
    covered = _covered(subject, grouping, within, pair, context)
    groups, strata = [], []
    for code, key in enumerate(within.keys):
        counts = _stratum(grouping, within.codes == code, selected, pair)
        if not covered[code]:  # a pooled difference over all levels but one would give that one away
            strata.append(counts)
        groups.append(_group(dict(key), counts, context, covered[code], missing=within.missing[code]))
    levels = context.levels
    summary = None
    if any(n1 and n0 for _, n1, _, n0 in strata):
        value, limits = pooled(strata, levels)
        n = sum(n1 + n0 for _, n1, _, n0 in strata if n1 and n0)
        between = (labels[pair[0]], labels[pair[1]])
        summary = Summary(difference=context.estimate(value, list(limits), n), between=between, pairs=1)
    low, high = labels[pair[0]], labels[pair[1]]
    return Measured(
        observation=Groups(by=within.columns, groups=tuple(groups), summary=summary),
        columns=(*grouping.columns, *within.columns),
        title=f"Selection rate of {low} minus that of {high}, within each {within.columns[0]}",
        params={**stated(context), "pooled": "Mantel-Haenszel, interval by Sato"},
        limits=("Levels that are not shown are not pooled.",) if any(covered) else (),
    )


def _covered(
    subject: Subject, grouping: Grouping, within: Grouping, pair: tuple[int, int], context: Context
) -> list[str]:
    """Why each level may not be shown, or ``""``: the crossing of both columns withholds one of the two groups in it."""
    width = len(within.keys)
    found, codes = np.unique(grouping.codes * width + within.codes, return_inverse=True)
    cells = [divmod(int(cell), width) for cell in found]
    crossing = Grouping(
        columns=(*grouping.columns, *within.columns),
        keys=tuple({**grouping.keys[one], **within.keys[level]} for one, level in cells),
        codes=codes,
        missing=(False,) * len(cells),
    )
    covered = [""] * width
    for (one, level), reason in zip(cells, subject.hidden(crossing, context.min_cell), strict=True):
        if one in pair and reason and not covered[level].startswith("n <"):
            covered[level] = reason
    return covered


def _stratum(
    grouping: Grouping, inside: NDArray[np.bool_], selected: NDArray[np.bool_], pair: tuple[int, int]
) -> Stratum:
    one, other = (inside & (grouping.codes == code) for code in pair)
    return (
        int(np.count_nonzero(one & selected)),
        int(np.count_nonzero(one)),
        int(np.count_nonzero(other & selected)),
        int(np.count_nonzero(other)),
    )


def _group(key: dict[str, str], counts: Stratum, context: Context, covered: str, *, missing: bool) -> Group:
    x1, n1, x0, n0 = counts
    n = n1 + n0
    if covered:
        return Group(key=key, n=None, status="suppressed", reason=covered, missing=missing)
    if min(n1, n0) == 0:
        return Group(key=key, n=n, status="undefined", reason="only one of the groups", missing=missing)
    estimate = context.estimate(x1 / n1 - x0 / n0, iv.rate_difference(x1, n1, x0, n0, context.levels[:1]), n)
    small = min(n1, n0) < context.min_n
    return Group(
        key=key,
        n=n,
        status="insufficient" if small else "measured",
        reason=f"n < {context.min_n} in one of the groups" if small else None,
        estimate=estimate,
        count=n,
        missing=missing,
    )


METHODS: tuple[Method[Any], ...] = (
    Method(
        id="conditional_demographic_parity_difference",
        kind="metric",
        title="Conditional demographic parity difference",
        measures="The selection rate of the least selected group minus the most selected, within each level of a column.",
        params=MetricParams,
        run=_run,
        needs=("classification", "groups"),
        limits=(
            "Whether the explanatory column itself is fair is not asked.",
            "The pooled difference assumes that the gap is about the same in every level.",
        ),
        cites=(
            "Mantel and Haenszel 1959",
            "Sato, Greenland and Robins 1989",
            "Kamiran, Zliobaite and Calders 2013",
        ),
        better="zero",
    ),
)

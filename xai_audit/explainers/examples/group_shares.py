"""A share of some test rows in each group of a sensitive column, small groups withheld."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from xai_audit import intervals as iv
from xai_audit.evidence import Group, Groups, Summary
from xai_audit.feasible import Key, Outcome
from xai_audit.intervals_rows import effective
from xai_audit.withholding import withhold

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.evidence import Estimate
    from xai_audit.method import Context
    from xai_audit.subject import Grouping, Subject


def group_shares(
    subject: Subject, grouping: Grouping, rows: NDArray[np.int64], event: NDArray[np.bool_], context: Context
) -> Groups:
    """The share of ``event`` among the test rows ``rows``, by one sensitive column; the widest gap over all pairs.

    Groups are hidden that the audit hides elsewhere, and those under ``min_cell`` of these rows with what would give
    them away; groups under ``min_n`` and the one without a value are shown but not compared.
    """
    codes = grouping.codes[rows]
    sizes = np.bincount(codes, minlength=len(grouping.keys))
    reasons = _reasons(subject, grouping, codes, event, context.min_cell)
    groups: list[Group] = []
    able: dict[str, tuple[float, float]] = {}
    for place, key in enumerate(grouping.keys):
        missing = grouping.missing[place]
        if reasons[place]:
            groups.append(Group(key=key, n=None, status="suppressed", reason=reasons[place], missing=missing))
            continue
        successes, n = _counted(subject, rows, event, codes == place)
        size = int(sizes[place])
        enough = size >= context.min_n
        groups.append(
            Group(
                key=key,
                n=size,
                status="measured" if enough else "insufficient",
                reason=None if enough else f"n < {context.min_n}",
                estimate=_estimate(context, successes, n, size),
                missing=missing,
            )
        )
        if enough and not missing:
            able[", ".join(key.values())] = (successes, n)
    successes, n = _counted(subject, rows, event, np.ones(len(rows), dtype=bool))
    return Groups(
        by=grouping.columns,
        groups=tuple(groups),
        summary=_summary(context, able, int(sizes.sum())),
        overall=_estimate(context, successes, n, len(rows)),
    )


def _reasons(
    subject: Subject,
    grouping: Grouping,
    codes: NDArray[np.int64],
    event: NDArray[np.bool_],
    least: int,
) -> list[str]:
    (column,) = grouping.columns
    names = [key[column] for key in grouping.keys]
    keys: list[Key] = [(names[code],) for code in codes.tolist()]
    outcomes: list[Outcome] = [(str(one), None) for one in event.tolist()]
    people = Counter(zip(keys, outcomes, strict=True))
    own = withhold([column], people, [[column]], least).reasons[column,]
    here = [own.get((name,), f"n < {least}") for name in names]
    return [one or other for one, other in zip(here, subject.hidden(grouping, least), strict=True)]


def _counted(
    subject: Subject, rows: NDArray[np.int64], event: NDArray[np.bool_], inside: NDArray[np.bool_]
) -> tuple[float, float]:
    test = subject.test
    return effective(
        event[inside].astype(np.float64),
        None if test.weights is None else test.weights[rows[inside]],
        None if test.clusters is None else test.clusters[rows[inside]],
    )


def _estimate(context: Context, successes: float, n: float, count: int) -> Estimate:
    return context.estimate(successes / n, iv.rate(successes, n, context.levels[:1]), count)


def _summary(context: Context, able: dict[str, tuple[float, float]], count: int) -> Summary | None:
    if len(able) < 2:
        return None
    names, xs, ns = list(able), [x for x, _ in able.values()], [n for _, n in able.values()]
    low, high = iv.extremes(xs, ns)
    gap = xs[high] / ns[high] - xs[low] / ns[low]
    limits = iv.largest_difference(xs, ns, context.levels)
    return Summary(
        difference=context.estimate(gap, limits, count),
        between=(names[low], names[high]),
        pairs=len(able) * (len(able) - 1) // 2,
    )

"""Group tables: which groups may be shown, which may be compared, and how far apart they lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from xai_audit import intervals as iv
from xai_audit.evidence import Contrast, Estimate, Group, Groups, Summary

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.method import Context
    from xai_audit.subject import Grouping

Better = Literal["higher", "lower", "zero", "one", "none"]
CLASS = "class"
"""The key of a group that names a class, with more than two of them."""
RATE = "rate"
"""The key of a group that names one of two rates compared together."""

Limits = list[tuple[float | None, float | None]]


@dataclass(frozen=True, eq=False)
class Cell:
    """One group before it is judged: its size, and a number with intervals at any levels."""

    key: dict[str, str]
    n: int
    value: float | None = None
    at: Callable[[Sequence[float]], Limits] | None = None
    """Intervals of the value at these levels."""
    counts: tuple[float, float] | None = None
    """Effective (successes, rows) where the number is a rate."""
    count: int = 0
    """Rows the number rests on: the denominator of a rate."""
    labels: tuple[int, ...] = ()
    """Rows of each label that the number is conditioned on."""
    undefined: str = ""
    """Why there is no number: ``no positives``."""
    missing: bool = False
    hidden: str = ""
    """Why the number must not be shown: ``n < 10`` or ``withheld``."""
    share: float = 0.0
    """Share of the overall denominator, for the contrast with the overall rate."""

    @property
    def label(self) -> str:
        """The group's printable name."""
        return ", ".join(self.key.values())


def sizes(grouping: Grouping) -> NDArray[np.int64]:
    """Rows in each group."""
    return np.bincount(grouping.codes, minlength=len(grouping.keys))


def table(
    context: Context,
    by: tuple[str, ...],
    cells: Sequence[Cell],
    *,
    better: Better = "none",
    overall: Estimate | None = None,
    ratio: bool = False,
    summary: bool = True,
) -> Groups:
    """The group table of one number: every group with its contrasts, and the widest gap over all pairs."""
    able = [cell for cell in cells if _enough(context, cell) and not cell.missing]
    families = _families(able)
    groups = []
    for cell in cells:
        peers = families.get(_family(cell), []) if cell in able else []
        groups.append(
            _group(
                context,
                cell,
                peers,
                better,
                overall if CLASS not in cell.key and RATE not in cell.key else None,
                ratio=ratio,
            )
        )
    left_out = sum(
        1
        for cell in cells
        if not cell.missing and not cell.hidden and not cell.undefined and cell not in able
    )
    return Groups(
        by=by,
        groups=tuple(groups),
        overall=overall,
        summary=_summary(context, list(families.values()), left_out, ratio=ratio) if summary else None,
    )


def _family(cell: Cell) -> tuple[str, str]:
    # Recall for one class is not compared with recall for another.
    return cell.key.get(CLASS, ""), cell.key.get(RATE, "")


def _families(cells: Sequence[Cell]) -> dict[tuple[str, str], list[Cell]]:
    families: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        families.setdefault(_family(cell), []).append(cell)
    return families


def _enough(context: Context, cell: Cell) -> bool:
    if cell.hidden or cell.undefined or cell.value is None:
        return False
    return cell.n >= context.min_n and all(count >= context.min_label for count in cell.labels)


def _group(
    context: Context,
    cell: Cell,
    peers: Sequence[Cell],
    better: Better,
    overall: Estimate | None,
    *,
    ratio: bool,
) -> Group:
    if cell.hidden:
        return Group(key=cell.key, n=None, status="suppressed", reason=cell.hidden, missing=cell.missing)
    if cell.undefined or cell.value is None or cell.at is None:
        why = cell.undefined or "no value"
        return Group(
            key=cell.key, n=cell.n, status="undefined", reason=why, count=cell.count, missing=cell.missing
        )
    estimate = context.estimate(cell.value, cell.at(context.levels[:1]), cell.count)
    enough = _enough(context, cell)
    reason: str | None = None
    if not enough:
        short = min(cell.labels, default=cell.n)
        reason = (
            f"n < {context.min_n}"
            if cell.n < context.min_n
            else f"{short} of a label, under {context.min_label}"
        )
    return Group(
        key=cell.key,
        n=cell.n,
        status="measured" if enough else "insufficient",
        reason=reason,
        estimate=estimate,
        count=cell.count,
        missing=cell.missing,
        contrasts=_contrasts(context, cell, peers, better, overall, ratio=ratio) if enough else {},
    )


def _contrasts(
    context: Context,
    cell: Cell,
    peers: Sequence[Cell],
    better: Better,
    overall: Estimate | None,
    *,
    ratio: bool,
) -> dict[Literal["best", "worst", "overall"], Contrast]:
    found: dict[Literal["best", "worst", "overall"], Contrast] = {}
    if len(peers) > 1:
        order = sorted(peers, key=lambda peer: (peer.value or 0.0, peer.label))
        low, high = order[0], order[-1]
        best, worst = (low, high) if better == "lower" else (high, low)
        pairs = len(peers) * (len(peers) - 1) // 2
        # The data chose the best and the worst, so p is adjusted over all pairs.
        if best is not cell:
            found["best"] = _contrast(context, cell, best, pairs, ratio=ratio)
        if worst is not cell:
            found["worst"] = _contrast(context, cell, worst, pairs, ratio=ratio)
    if overall is not None and cell.counts is not None and len(peers) > 1 and 0 < cell.share < 1:
        rest = _rest(cell, overall)
        if rest is not None:
            found["overall"] = _to_overall(context, cell, rest, len(peers))
    return found


def _contrast(context: Context, cell: Cell, other: Cell, pairs: int, *, ratio: bool) -> Contrast:
    level = context.levels[:1]
    n = cell.count + other.count
    if cell.counts is not None and other.counts is not None:
        low_high = iv.rate_difference(*cell.counts, *other.counts, level)
        p = min(1.0, pairs * iv.difference_p(*cell.counts, *other.counts))
        quotient = None
        if ratio and other.value:
            quotient = context.estimate(
                (cell.value or 0.0) / other.value, iv.rate_ratio(*cell.counts, *other.counts, level), n
            )
        return Contrast(
            to=other.label,
            difference=context.estimate((cell.value or 0.0) - (other.value or 0.0), low_high, n),
            ratio=quotient,
            p=p,
        )
    value, found = difference(cell, other, level)
    return Contrast(to=other.label, difference=context.estimate(value, found, n))


def _rest(cell: Cell, overall: Estimate) -> tuple[float, float] | None:
    if cell.counts is None or cell.value is None:
        return None
    rows = cell.counts[1]
    others = rows * (1 - cell.share) / cell.share
    rate = (overall.value - cell.share * cell.value) / (1 - cell.share)
    if others <= 0:
        return None
    return min(max(rate, 0.0), 1.0) * others, others


def _to_overall(context: Context, cell: Cell, rest: tuple[float, float], families: int) -> Contrast:
    # The group is part of the whole: group minus whole = (1 - share) times group minus the rest, which is apart.
    scale = 1 - cell.share
    counts = cell.counts or (0.0, 1.0)
    between = iv.rate_difference(*counts, *rest, context.levels[:1])
    scaled: Limits = [
        (None if low is None else low * scale, None if high is None else high * scale)
        for low, high in between
    ]
    value = scale * ((cell.value or 0.0) - rest[0] / rest[1])
    p = min(1.0, families * iv.difference_p(*counts, *rest))
    return Contrast(
        to="overall", difference=context.estimate(value, scaled, cell.count + round(rest[1])), p=p
    )


def difference(one: Cell, other: Cell, levels: Sequence[float]) -> tuple[float, Limits]:
    """The difference of two independent numbers, by squaring and adding the arms of their intervals (MOVER).

    Zou and Donner 2008, Statistics in Medicine 27:1693.
    """
    first, second = one.value or 0.0, other.value or 0.0
    assert one.at is not None
    assert other.at is not None
    found: Limits = []
    for (low1, high1), (low2, high2) in zip(one.at(levels), other.at(levels), strict=True):
        down = (
            None
            if low1 is None or high2 is None
            else first - second - math.hypot(first - low1, high2 - second)
        )
        up = (
            None
            if high1 is None or low2 is None
            else first - second + math.hypot(high1 - first, second - low2)
        )
        found.append((down, up))
    return first - second, found


def _summary(context: Context, families: Sequence[Sequence[Cell]], left_out: int, *, ratio: bool) -> Summary:
    families = [family for family in families if len(family) > 1]
    pairs = sum(len(family) * (len(family) - 1) // 2 for family in families)
    if not families:
        return Summary(insufficient=left_out)
    # Each family of pairs gets its share of the error, and every pair its share of the family's.
    gaps = [_widest(context, family, len(families), ratio=ratio) for family in families]
    worst = min(gaps, key=lambda gap: gap.ratio) if ratio else max(gaps, key=lambda gap: gap.difference)
    n = sum(cell.count for cell in worst.family)
    made = context.estimate(
        worst.difference,
        [
            (
                _most(gap.differences[i][0] for gap in gaps),
                _most_or_none(gap.differences[i][1] for gap in gaps),
            )
            for i in range(len(context.levels))
        ],
        n,
    )
    quotient = None
    if ratio:
        quotient = context.estimate(
            worst.ratio,
            [
                (_least_or_none(gap.ratios[i][0] for gap in gaps), _least(gap.ratios[i][1] for gap in gaps))
                for i in range(len(context.levels))
            ],
            n,
        )
    return Summary(difference=made, ratio=quotient, between=worst.between, pairs=pairs, insufficient=left_out)


def _most(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) if known else None


def _most_or_none(values: Any) -> float | None:
    listed = list(values)
    return None if None in listed else max(listed)


def _least(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return min(known) if known else None


def _least_or_none(values: Any) -> float | None:
    listed = list(values)
    return None if None in listed else min(listed)


@dataclass(frozen=True, eq=False)
class _Gap:
    family: Sequence[Cell]
    between: tuple[str, str]
    difference: float
    differences: Limits
    ratio: float = 1.0
    ratios: Limits = field(default_factory=list)


def _widest(context: Context, family: Sequence[Cell], families: int, *, ratio: bool) -> _Gap:
    ordered = sorted(family, key=lambda cell: cell.label)
    levels = iv.bonferroni(context.levels, families)
    if all(cell.counts is not None for cell in ordered):
        xs = [cell.counts[0] for cell in ordered if cell.counts]
        ns = [cell.counts[1] for cell in ordered if cell.counts]
        low, high = iv.extremes(xs, ns)
        values = [cell.value or 0.0 for cell in ordered]
        ratios: Limits = []
        if ratio:
            ratios = iv.smallest_ratio(xs, ns, levels)
        return _Gap(
            family=ordered,
            between=(ordered[low].label, ordered[high].label),
            difference=values[high] - values[low],
            differences=iv.largest_difference(xs, ns, levels),
            ratio=values[low] / values[high] if values[high] else 1.0,
            ratios=ratios,
        )
    return _widest_of_statistics(ordered, levels)


def _widest_of_statistics(ordered: Sequence[Cell], levels: Sequence[float]) -> _Gap:
    pairs = list(combinations(ordered, 2))
    each = iv.bonferroni(levels, len(pairs))
    lows: list[list[float | None]] = [[] for _ in levels]
    highs: list[list[float | None]] = [[] for _ in levels]
    for one, other in pairs:
        _, found = difference(one, other, each)
        for index, (low, high) in enumerate(found):
            # |difference|: at least the interval's distance from 0, at most its farther end.
            lows[index].append(max(0.0, 0.0 if low is None else low, 0.0 if high is None else -high))
            highs[index].append(None if low is None or high is None else max(-low, high))
    low_cell = min(ordered, key=lambda cell: (cell.value or 0.0, cell.label))
    high_cell = max((cell for cell in ordered if cell is not low_cell), key=lambda cell: cell.value or 0.0)
    return _Gap(
        family=ordered,
        between=(low_cell.label, high_cell.label),
        difference=(high_cell.value or 0.0) - (low_cell.value or 0.0),
        differences=[(_most(low), _most_or_none(high)) for low, high in zip(lows, highs, strict=True)],
    )

"""What became of the widest gap between groups, or of their smallest ratio, on the same rows: new minus old.

Nobody knows which pair of groups is truly the extreme one, before or after. The widest gap now is at least what became
of the pair that was the widest, and the widest before is at least what the pair that is now the widest came from. So
all pairs that the gaps of one audit do not rule out, simultaneous over pairs, are asked what became of them; a fifth
of the error goes into ruling out, the rest into the change of one pair. benchmarks/compare.py has how often it holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations

from xai_audit.intervals import Interval, bonferroni, normal_quantile
from xai_audit.intervals_paired import unpaired
from xai_audit.intervals_rows import Measured

_CHOSEN = 0.2
"""Share of the error that finding the extreme pair may cost."""
Pair = tuple[int, int]
At = Callable[[Sequence[float]], list[Interval]]


@dataclass(frozen=True)
class GroupChange:
    """A number of one group before and after: its values, and intervals of each and of its change at any levels."""

    family: str
    """Only groups of one family are compared: a class, or which of two rates."""
    old: float
    new: float
    old_at: At
    new_at: At
    change_at: At
    cells: tuple[float, float, float, float] | None = None
    """Rows by (old, new): yes yes, yes no, no yes, no no; where the number is a share of the same rows."""


def gap_change(groups: Sequence[GroupChange], levels: Sequence[float]) -> Measured:
    """Change of the largest difference between two groups of one family; what became of a pair by MOVER."""
    pairs = _pairs(groups)

    def gap(i: int, j: int, at: Sequence[float], *, now: bool) -> list[Interval]:
        (a, at_a), (b, at_b) = _side(groups[i], at, now=now), _side(groups[j], at, now=now)
        return unpaired((b, at_b), (a, at_a))[1]

    def change(i: int, j: int, at: Sequence[float]) -> list[Interval]:
        a, b = groups[i], groups[j]
        return unpaired((b.new - b.old, b.change_at(at)), (a.new - a.old, a.change_at(at)))[1]

    before = max(groups[i].old - groups[j].old for i, j in pairs)
    after = max(groups[i].new - groups[j].new for i, j in pairs)
    return after - before, _extreme(pairs, gap, change, levels, after - before, 0.0)


def smallest_ratio_change(groups: Sequence[GroupChange], levels: Sequence[float]) -> Measured:
    """Change of the smallest share over the largest, in [-1, 1]; what became of a pair by the delta method.

    Every group has ``cells``; z^2 rows are spread over the four of each, and which pairs are ruled out is told by
    MOVER-R (Donner and Zou 2012, SMMR 21:347). Where every share is 0 the ratio counts as 1.
    """
    pairs = _pairs(groups)

    # The smallest ratio is the largest of the ratios' negatives.
    def gap(i: int, j: int, at: Sequence[float], *, now: bool) -> list[Interval]:
        (p, at_p), (q, at_q) = _side(groups[i], at, now=now), _side(groups[j], at, now=now)
        found: list[Interval] = []
        for (low_p, high_p), (low_q, high_q) in zip(at_p, at_q, strict=True):
            turned = _ratio_low(q, low_q or 0.0, p, 1.0 if high_p is None else high_p)
            least = _ratio_low(p, low_p or 0.0, q, 1.0 if high_q is None else high_q)
            found.append((-1 / turned if turned > 0 else None, -least))
        return found

    def change(i: int, j: int, at: Sequence[float]) -> list[Interval]:
        return [_ratio_change(groups[j], groups[i], level) for level in at]

    before = min([1.0, *(groups[i].old / groups[j].old for i, j in pairs if groups[j].old)])
    after = min([1.0, *(groups[i].new / groups[j].new for i, j in pairs if groups[j].new)])
    limits: list[Interval] = []
    for low, high in _extreme(pairs, gap, change, levels, before - after, -1.0):
        # Turned round again: what was the negative ratio's high is the ratio's low.
        limits.append((max(-1.0 if high is None else -high, -1.0), min(1.0 if low is None else -low, 1.0)))
    return after - before, limits


def _extreme(
    pairs: Sequence[Pair],
    gap: Callable[..., list[Interval]],
    change: Callable[[int, int, Sequence[float]], list[Interval]],
    levels: Sequence[float],
    value: float,
    floor: float,
) -> list[Interval]:
    # An ordered pair and its reverse are one comparison; either limit has half of the error to itself.
    finding = bonferroni([1 - (1 - level) * _CHOSEN / 2 for level in levels], max(len(pairs) // 2, 1))
    moved = [1 - (1 - level) * (1 - _CHOSEN) for level in levels]
    gaps = [{pair: gap(*pair, finding, now=now) for pair in pairs} for now in (False, True)]
    before, after = map(_possible, gaps)
    each = {pair: change(*pair, moved) for pair in {pair for found in (*before, *after) for pair in found}}
    limits: list[Interval] = []
    for k in range(len(levels)):
        lows, highs = [each[pair][k][0] for pair in before[k]], [each[pair][k][1] for pair in after[k]]
        (least, most), (least_now, most_now) = _widest(gaps[0], k, floor), _widest(gaps[1], k, floor)
        # What ruled pairs out also bounds the widest itself before and after, at no further cost.
        low = max(_all_or(min, lows, -math.inf), least_now - most)
        high = min(_all_or(max, highs, math.inf), most_now - least)
        limits.append(
            (
                min(low, value) if math.isfinite(low) else None,
                max(high, value) if math.isfinite(high) else None,
            )
        )
    return limits


def _widest(gaps: dict[Pair, list[Interval]], k: int, floor: float) -> tuple[float, float]:
    """Limits of the widest of some pairs, which is no less than its floor."""
    least = max([floor, *(low for limits in gaps.values() if (low := limits[k][0]) is not None)])
    return least, _all_or(max, [limits[k][1] for limits in gaps.values()], math.inf)


def _all_or(pick: Callable[[list[float]], float], ends: Sequence[float | None], unbounded: float) -> float:
    known = [end for end in ends if end is not None]
    return pick(known) if len(known) == len(ends) else unbounded


def _pairs(groups: Sequence[GroupChange]) -> list[Pair]:
    pairs = [(i, j) for i, j in permutations(range(len(groups)), 2) if groups[i].family == groups[j].family]
    if not pairs:
        raise ValueError("a gap needs at least two groups")
    return pairs


def _side(group: GroupChange, levels: Sequence[float], *, now: bool) -> Measured:
    return (group.new, group.new_at(levels)) if now else (group.old, group.old_at(levels))


def _possible(gaps: dict[Pair, list[Interval]]) -> list[list[Pair]]:
    """For each level the pairs that may be the widest: no other surely lies above them."""
    found = []
    for k in range(len(next(iter(gaps.values())))):
        surely = max(
            (low for limits in gaps.values() if (low := limits[k][0]) is not None), default=-math.inf
        )
        found.append(
            [pair for pair, limits in gaps.items() if (high := limits[k][1]) is None or high >= surely]
        )
    return found


def _ratio_low(p: float, low: float, q: float, high: float) -> float:
    """Donner and Zou's lower limit of p/q, written so that nothing cancels: 0 at low = 0."""
    apart = low * (2 * p - low)
    under = p * q + math.sqrt((high - q) ** 2 * apart + ((p - low) * q) ** 2)
    return apart / under if under > 0 else 0.0


def _ratio_change(bottom: GroupChange, top: GroupChange, level: float) -> Interval:
    """Limits of minus the change of top's share over bottom's."""
    z = normal_quantile(level)
    shares = []
    for group in (top, bottom):
        assert group.cells is not None
        yes, down, up, no = (cell + z * z / 4 for cell in group.cells)
        n = yes + down + up + no
        shares.append(((yes + down) / n, (yes + up) / n, yes / n, n))
    (a0, a1, _, _), (b0, b1, _, _) = shares
    pulls = ((1 / b1, -1 / b0), (-a1 / b1**2, a0 / b0**2))
    variance = 0.0
    for (new, old), (p0, p1, both, n) in zip(pulls, shares, strict=True):
        spread = new * new * p1 * (1 - p1) + old * old * p0 * (1 - p0) + 2 * new * old * (both - p0 * p1)
        variance += spread / n
    centre, reach = a0 / b0 - a1 / b1, z * math.sqrt(max(variance, 0.0))
    return centre - reach, centre + reach

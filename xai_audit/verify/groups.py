"""Tables of groups made again: which groups count, how far each lies from the others, and the widest gap."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import Literal

from xai_audit.evidence import LEVELS, Contrast, Estimate, Group, Groups, Summary
from xai_audit.verify import limits
from xai_audit.verify.limits import Counts, Found, Limit, shared

Better = Literal["higher", "lower", "none"]
At = Callable[[float], Limit]
CLASS, RATE = "class", "rate"
"""Keys of groups that are compared only among their equals: of one class, of one of two rates."""


@dataclass(frozen=True)
class Minima:
    """What decided, beside the rows, which groups count and at which levels limits are stated."""

    confidence: float
    min_n: int
    min_label: int
    min_cell: int

    @property
    def stated(self) -> dict[str, int]:
        """As evidence keeps them among its parameters."""
        return {"min_n": self.min_n, "min_label": self.min_label, "min_cell": self.min_cell}

    def shown(self, value: float, at: At, n: int) -> Estimate:
        """A number with its limits at the spec's confidence."""
        low, high = at(self.confidence)
        return Estimate(value=value, low=low, high=high, n=n)

    def read(self, value: float, at: At, n: int) -> Estimate:
        """A number that a rule may read: with its limits at every level."""
        every = {level: at(float(level)) for level in LEVELS}
        return self.shown(value, at, n).model_copy(update={"limits": every})


@dataclass(frozen=True, eq=False)
class Cell:
    """One group before it is compared."""

    key: dict[str, str]
    n: int
    found: Found | None = None
    counts: Counts | None = None
    """Successes and rows, where the number is a rate; fewer than counted where weights or clusters say so."""
    rest: Counts | None = None
    """The same of all rows outside the group."""
    share: float = 0.0
    """The group's part of the rows that the overall rate is over."""
    count: int = 0
    """Rows the number rests on."""
    labels: tuple[int, ...] = ()
    """Rows of each label that the number is conditioned on."""
    undefined: str = ""
    withheld: str = ""
    missing: bool = False

    @property
    def label(self) -> str:
        """The group's printable name."""
        return ", ".join(self.key.values())

    @property
    def value(self) -> float:
        """The group's number."""
        assert self.found is not None
        return self.found[0]

    def at(self, level: float) -> Limit:
        """Its limits."""
        assert self.found is not None
        return self.found[1](level)

    def able(self, minima: Minima) -> bool:
        """Whether it is large enough to be compared."""
        large = self.n >= minima.min_n and all(rows >= minima.min_label for rows in self.labels)
        return self.found is not None and large

    @property
    def family(self) -> tuple[str, str]:
        """What else it may be compared with: its class and its rate."""
        return self.key.get(CLASS, ""), self.key.get(RATE, "")


def rate_at(counts: Counts) -> At:
    """Limits of a rate, each level worked out once."""
    return functools.cache(lambda level: limits.rate(*counts, level))


def table(
    minima: Minima,
    by: tuple[str, ...],
    cells: Sequence[Cell],
    *,
    better: Better = "none",
    overall: Estimate | None = None,
    ratio: bool = False,
    summary: bool = True,
) -> Groups:
    """Every group with its contrasts, and the widest gap over all pairs."""
    families: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        if cell.able(minima) and not cell.missing:
            families.setdefault(cell.family, []).append(cell)
    groups = tuple(
        _group(
            minima,
            cell,
            [] if cell.missing else families.get(cell.family, []),
            better,
            ratio=ratio,
            whole=overall is not None and cell.family == ("", ""),
        )
        for cell in cells
    )
    small = sum(
        not cell.missing and not cell.withheld and not cell.undefined and not cell.able(minima)
        for cell in cells
    )
    widest = _summary(minima, list(families.values()), small, ratio=ratio) if summary else None
    return Groups(by=by, groups=groups, overall=overall, summary=widest)


def _group(
    minima: Minima, cell: Cell, peers: Sequence[Cell], better: Better, *, ratio: bool, whole: bool
) -> Group:
    if cell.withheld:
        return Group(key=cell.key, n=None, status="suppressed", reason=cell.withheld, missing=cell.missing)
    if cell.found is None:
        return Group(
            key=cell.key,
            n=cell.n,
            status="undefined",
            reason=cell.undefined,
            count=cell.count,
            missing=cell.missing,
        )
    reason = None
    if cell.n < minima.min_n:
        reason = f"n < {minima.min_n}"
    elif not cell.able(minima):
        reason = f"{min(cell.labels)} of a label, under {minima.min_label}"
    contrasts: dict[Literal["best", "worst", "overall"], Contrast] = {}
    if reason is None and len(peers) > 1:
        ranked = sorted(peers, key=lambda peer: (peer.value, peer.label))
        ends = {"best": ranked[-1], "worst": ranked[0]}
        if better == "lower":
            ends = {"best": ranked[0], "worst": ranked[-1]}
        pairs = math.comb(len(peers), 2)
        for name in ("best", "worst"):
            if ends[name] is not cell:
                contrasts[name] = _contrast(minima, cell, ends[name], pairs, ratio=ratio)
        if whole and cell.counts is not None and cell.rest is not None and 0 < cell.share < 1:
            contrasts["overall"] = _to_overall(minima, cell, len(peers))
    return Group(
        key=cell.key,
        n=cell.n,
        status="measured" if reason is None else "insufficient",
        reason=reason,
        estimate=minima.shown(cell.value, cell.at, cell.count),
        count=cell.count,
        missing=cell.missing,
        contrasts=contrasts,
    )


def _contrast(minima: Minima, cell: Cell, other: Cell, pairs: int, *, ratio: bool) -> Contrast:
    n = cell.count + other.count
    if cell.counts is None or other.counts is None:
        return Contrast(to=other.label, difference=minima.shown(*apart(cell, other), n))
    both = (*cell.counts, *other.counts)
    quotient = None
    if ratio and other.value:
        quotient = minima.shown(cell.value / other.value, lambda level: limits.ratio(*both, level), n)
    return Contrast(
        to=other.label,
        difference=minima.shown(cell.value - other.value, lambda level: limits.difference(*both, level), n),
        ratio=quotient,
        p=min(1.0, pairs * limits.equal_p(*both)),
    )


def _to_overall(minima: Minima, cell: Cell, families: int) -> Contrast:
    """The group less the whole it is part of: the share outside it times the group less the rest."""
    assert cell.counts is not None
    assert cell.rest is not None
    outside, both = 1 - cell.share, (*cell.counts, *cell.rest)

    def at(level: float) -> Limit:
        low, high = limits.difference(*both, level)
        return outside * low, outside * high

    value = outside * (cell.value - cell.rest[0] / cell.rest[1])
    return Contrast(
        to="overall",
        difference=minima.shown(value, at, cell.count + round(cell.rest[1])),
        p=min(1.0, families * limits.equal_p(*both)),
    )


def apart(one: Cell, other: Cell) -> Found:
    """The difference of two independent numbers from the limits of each (MOVER, Zou and Donner 2008)."""
    value = one.value - other.value

    def at(level: float) -> Limit:
        (low1, high1), (low2, high2) = one.at(level), other.at(level)
        low, high = None, None
        if low1 is not None and high2 is not None:
            low = value - math.hypot(one.value - low1, high2 - other.value)
        if high1 is not None and low2 is not None:
            high = value + math.hypot(high1 - one.value, other.value - low2)
        return low, high

    return value, at


@dataclass(frozen=True, eq=False)
class _Gap:
    """The widest gap of one family of groups, with limits that hold for all its pairs."""

    cells: Sequence[Cell]
    low: Cell
    high: Cell
    difference: At
    ratio: At

    @property
    def apart(self) -> float:
        return self.high.value - self.low.value

    @property
    def quotient(self) -> float:
        return self.low.value / self.high.value if self.high.value else 1.0


def _summary(minima: Minima, families: Sequence[Sequence[Cell]], small: int, *, ratio: bool) -> Summary:
    families = [family for family in families if len(family) > 1]
    if not families:
        return Summary(insufficient=small)
    gaps = [_widest(sorted(family, key=lambda cell: cell.label)) for family in families]
    worst = min(gaps, key=lambda gap: gap.quotient) if ratio else max(gaps, key=lambda gap: gap.apart)
    n = sum(cell.count for cell in worst.cells)

    def difference(level: float) -> Limit:
        found = [gap.difference(shared(level, len(gaps))) for gap in gaps]
        return _largest(low for low, _ in found), _largest_or_none(high for _, high in found)

    def quotient(level: float) -> Limit:
        found = [gap.ratio(shared(level, len(gaps))) for gap in gaps]
        return min(low or 0.0 for low, _ in found), min(1.0 if high is None else high for _, high in found)

    return Summary(
        difference=minima.read(worst.apart, difference, n),
        ratio=minima.read(worst.quotient, quotient, n) if ratio else None,
        between=(worst.low.label, worst.high.label),
        pairs=sum(math.comb(len(family), 2) for family in families),
        insufficient=small,
    )


def _largest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _largest_or_none(values: Iterable[float | None]) -> float | None:
    listed = list(values)
    return None if None in listed else _largest(listed)


def _widest(cells: Sequence[Cell]) -> _Gap:
    counts = [cell.counts for cell in cells if cell.counts is not None]
    places = range(len(cells))
    if len(counts) == len(cells):
        rates = [Fraction(x) / Fraction(n) for x, n in counts]
        low = min(places, key=lambda place: (rates[place], place))
        high = min((place for place in places if place != low), key=lambda place: (-rates[place], place))
        return _Gap(
            cells,
            cells[low],
            cells[high],
            lambda level: limits.widest(counts, level),
            lambda level: limits.smallest_ratio(counts, level),
        )
    low = min(places, key=lambda place: (cells[place].value, cells[place].label))
    high = max((place for place in places if place != low), key=lambda place: (cells[place].value, -place))
    return _Gap(cells, cells[low], cells[high], lambda level: _joint(cells, level), lambda _: (None, None))


def _joint(cells: Sequence[Cell], level: float) -> Limit:
    """Limits of the largest difference of any two numbers, for all pairs at once."""
    pairs = list(combinations(cells, 2))
    found = [apart(one, other)[1](shared(level, len(pairs))) for one, other in pairs]
    lows = [
        0.0,
        *(low for low, _ in found if low is not None),
        *(-high for _, high in found if high is not None),
    ]
    return max(lows), _largest_or_none(
        None if low is None or high is None else max(-low, high) for low, high in found
    )

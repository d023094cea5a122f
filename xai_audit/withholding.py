"""Which groups may not be shown, so that no small one follows from those that are: one rule for all tables of an audit.

Sensitive columns alone, their crossings and the total share their sums: what one table withholds, another may give away.
So one pattern is made for all of them together (complementary suppression over linked tables; Cox 1980, JASA 75:377;
Hundepool et al. 2012, Statistical Disclosure Control, ch. 4). What it promises, whoever computes from all that is shown:

* a group under the minimum, and one that is withheld with it, may still have at least half as many different sizes as the
  minimum has people, and two (the ambiguity that is asked of secondary suppression, as a share of what is protected);
* what is left of a shown group when its shown parts are taken away are no people, or at least the minimum;
* of no hidden group is it known how many have a label or a prediction or are right, nor, with two classes, which way they
  are wrong; but for what a shown group that holds it says of all its people, having none of them or nothing else.

Each is shown before the pattern is used, by a whole table of people that agrees with everything shown and in which the
number is another (two, for the ends of a range). The reader is taken to know every shown group by label and prediction,
the totals, which groups are under the minimum, that the withheld ones are not, and that a group that is listed has somebody.
Sums of scores or weights add nothing: a group whose people may be others has no sum of its own among those that are shown.

Groups under the minimum are hidden first. Then, in the order of tables and keys, for the first number that could be had,
the cheapest shown groups that must give way are withheld: a group costs its people, one of a single column ten times
that. Nothing depends on the order of rows, groups or tables.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from xai_audit.feasible import (
    SMALL,
    WITHHELD,
    Aim,
    Bench,
    Benches,
    Key,
    Outcome,
    Program,
    Tables,
    solved,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RULE = "linked tables"
"""What an audit calls this rule."""
LIMIT = 5_000
"""Combinations of levels, labels and predictions up to which what follows from the tables is worked out, if any is small."""
SINGLE = 10
"""How many times dearer it is to withhold a group of one column than one of a crossing: rules read the former."""


@dataclass(frozen=True)
class Withholding:
    """Why each group of each table may not be shown, or ``""``: ``n < 10``, or ``withheld``."""

    reasons: Mapping[tuple[str, ...], Mapping[Key, str]]
    """By the table's columns in alphabetical order, then by the group's levels in that order."""
    note: str = ""
    """What is said where the tables are too many to be protected together."""

    def of(self, key: Mapping[str, str]) -> str:
        """The reason of one group."""
        columns = tuple(sorted(key))
        return self.reasons[columns][tuple(key[column] for column in columns)]

    def listed(self, key: Mapping[str, str]) -> bool:
        """Whether a table names the group: not where it is part of one under the minimum, whose parts would count it."""
        columns = sorted(key)
        wholes = (part for size in range(1, len(columns)) for part in combinations(columns, size))
        return not any(
            self.reasons.get(whole, {}).get(tuple(key[column] for column in whole), "").startswith(SMALL)
            for whole in wholes
        )


def withhold(
    columns: Sequence[str],
    people: Mapping[tuple[Key, Outcome], int],
    tables: Collection[Collection[str]],
    minimum: int,
) -> Withholding:
    """The groups that may not be shown.

    ``people`` counts the rows of each combination of levels (in the order of ``columns``) and outcome; ``tables`` are the
    columns of each table that the audit shows, and the table of each of its columns is taken to be one of them.
    """
    order = sorted(range(len(columns)), key=lambda place: columns[place])
    names = tuple(columns[place] for place in order)
    counted: dict[tuple[Key, Outcome], int] = {}
    for (key, outcome), count in people.items():
        place = (tuple(key[at] for at in order), outcome)
        counted[place] = counted.get(place, 0) + count
    wanted = {tuple(sorted(table)) for table in tables}
    wanted |= {(name,) for table in wanted for name in table}
    listed = sorted(wanted, key=lambda table: (len(table), table))
    size = len({key for key, _ in counted}) * len({outcome for _, outcome in counted})
    tabled = Tables.of(names, counted, listed, minimum)
    if size > LIMIT and any(tabled.why) and len(listed[-1]) > 1:
        return _apart(names, counted, listed, minimum, size)
    _protect(tabled)
    return Withholding(tabled.reasons())


def _apart(
    names: Key,
    counted: Mapping[tuple[Key, Outcome], int],
    tables: Sequence[tuple[str, ...]],
    minimum: int,
    size: int,
) -> Withholding:
    """Every column by itself and no crossing: columns share the total alone, so none gives another away."""
    reasons: dict[tuple[str, ...], Mapping[Key, str]] = {}
    for table in tables:
        places = [names.index(name) for name in table]
        if len(table) > 1:
            reasons[table] = {tuple(key[place] for place in places): WITHHELD for key, _ in counted}
            continue
        own: dict[tuple[Key, Outcome], int] = {}
        for (key, outcome), count in counted.items():
            cell = ((key[places[0]],), outcome)
            own[cell] = own.get(cell, 0) + count
        tabled = Tables.of(table, own, [table], minimum)
        _protect(tabled)
        reasons.update(tabled.reasons())
    note = (
        f"every crossing is withheld: {size:,} combinations of groups, labels and predictions are more than the {LIMIT:,} "
        "up to which it is worked out what tables give away together; name fewer sensitive columns, or crossings: none"
    )
    return Withholding(reasons, note)


def _protect(tabled: Tables) -> None:
    """Withhold more groups until no number of a hidden one can be had from the shown ones."""
    hopeless: set[tuple[int, int]] = set()
    changed = True
    while changed:
        _lines(tabled)
        changed, benches = False, Benches(tabled)
        _wander(tabled, benches)
        for group, statistic in _open(tabled):
            while (group, statistic) not in hopeless and not _reached(tabled, benches, group, statistic):
                more = _cheapest(tabled, benches, group, statistic)
                if more is None:
                    hopeless.add((group, statistic))
                for place in more or ():
                    tabled.why[place] = WITHHELD
                if more:
                    changed, benches = True, Benches(tabled)


def _lines(tabled: Tables) -> None:
    """Withhold the next smallest of a line, until no shown group, nor everybody, holds a few hidden people in all.

    What is left of a group when the shown parts of it are taken away is known as if it were shown.
    """
    again = True
    while again:
        again = False
        for whole, parts in tabled.lines:
            covered = [part for part in parts if tabled.why[part]]
            few = 0 < sum(int(tabled.counts[part, 0]) for part in covered) < tabled.minimum
            if few and (whole is None or not tabled.why[whole]):
                shown = [part for part in parts if not tabled.why[part]] or ([] if whole is None else [whole])
                if shown:
                    next_ = min(shown, key=lambda part: (int(tabled.counts[part, 0]), part))
                    tabled.why[next_] = WITHHELD
                    again = True


def _open(tabled: Tables) -> list[tuple[int, int]]:
    """Groups and statistics that are not yet known to be possibly another, in order."""
    import numpy as np

    covered = np.array([bool(why) for why in tabled.why], dtype=bool)
    small = np.array([why not in {"", WITHHELD} for why in tabled.why], dtype=bool)
    width = np.where(small, _width(tabled.minimum, small=True), _width(tabled.minimum, small=False))
    short = tabled.high - tabled.low < np.where(np.arange(tabled.high.shape[1]) == 0, width[:, None], 1)
    found = np.argwhere(short & covered[:, None] & ~_said(tabled))
    return [(int(group), int(statistic)) for group, statistic in found]


def _width(minimum: int, *, small: bool) -> int:
    """How far apart the least and the most a size may be must lie; under a minimum of 2 the reason says the size."""
    wide = max(1, minimum // 2 - 1)
    return min(wide, minimum - 2) if small else wide


def _said(tabled: Tables) -> NDArray[np.bool_]:
    """Where everybody, or a shown group that holds this one, has none or nothing else: it is said of all of them."""
    import numpy as np

    shown = np.array([not why for why in tabled.why], dtype=bool)
    counts = tabled.counts
    bare = ((counts == 0) | (counts == counts[:, :1])) & shown[:, None]
    said = np.asarray(tabled.holds.T @ bare.astype(float)) > 0
    everybody = (tabled.truth @ tabled.statistics).sum(axis=0)
    said |= (everybody == 0) | (everybody == everybody[0])
    said[:, 0] = False
    return np.asarray(said, dtype=np.bool_)


def _aims(tabled: Tables, group: int, statistic: int) -> list[Aim]:
    """What a number must be able to be, any one of which will do; none where it is open already."""
    low, high = int(tabled.low[group, statistic]), int(tabled.high[group, statistic])
    small = tabled.why[group] != WITHHELD
    if statistic:
        width, least, most = 1, 0, int(tabled.truth.sum())
    else:
        width = _width(tabled.minimum, small=small)
        one = 0 if tabled.unlisted[group] else 1
        least, most = (one, tabled.minimum - 1) if small else (tabled.minimum, int(tabled.truth.sum()))
    if high - low >= width:
        return []
    up = [Aim(group, statistic, low + width, up=True)] if low + width <= most else []
    down = [Aim(group, statistic, high - width, up=False)] if high - width >= least else []
    return [*up, *down]


def _commonest(tabled: Tables) -> list[int]:
    """Outcomes, those of most people first."""
    import numpy as np

    return [int(outcome) for outcome in np.argsort(-tabled.truth.sum(axis=0), kind="stable")]


def _wander(tabled: Tables, benches: Benches) -> None:
    """Tables of people far from the true one in many numbers at once: a few of them show most numbers to be open."""
    import numpy as np

    draws = np.random.default_rng(0)
    for _ in range(8):
        people, before = tabled.truth, (tabled.low.sum(), tabled.high.sum())
        aimed = [aims for aims in (_aims(tabled, *place) for place in _open(tabled)) if aims]
        if len(aimed) < 3:
            return
        wanted = np.zeros(tabled.truth.shape)
        for aims in aimed:
            aim = aims[int(draws.integers(len(aims)))]
            inside = tabled.member[[aim.group]].indices
            wanted[inside] += (1.0 if aim.up else -1.0) * tabled.statistics[:, aim.statistic]
        for outcome in _commonest(tabled):
            people = solved(tabled, benches.of([outcome]), people, wanted)
        if before == (tabled.low.sum(), tabled.high.sum()):
            return


def _tried(tabled: Tables, benches: Sequence[Bench], aims: Sequence[Aim]) -> bool:
    """Whether one of the aims is met by others of each bench's people in turn; what is found is remembered."""
    import numpy as np

    for aim in aims:
        wanted = np.zeros(tabled.truth.shape)
        inside = tabled.member[[aim.group]].indices
        wanted[inside] += (1.0 if aim.up else -1.0) * tabled.statistics[:, aim.statistic]
        people = tabled.truth
        for bench in benches:
            people = solved(tabled, bench, people, wanted)
            if not _aims(tabled, aim.group, aim.statistic):
                return True
    return False


def _reached(tabled: Tables, benches: Benches, group: int, statistic: int) -> bool:
    """Whether a number can be another, by people of one outcome after the other."""
    aims = _aims(tabled, group, statistic)
    counting = [outcome for outcome in _commonest(tabled) if tabled.statistics[outcome, statistic]]
    return not aims or _tried(tabled, [benches.of([outcome]) for outcome in counting], aims)


def _cheapest(tabled: Tables, benches: Benches, group: int, statistic: int) -> list[int] | None:
    """The shown groups to withhold so that a number can be another; none if it can already, None if it never can."""
    import numpy as np

    shown = [place for place, why in enumerate(tabled.why) if not why]
    aims = _aims(tabled, group, statistic)
    counting = tabled.statistics[:, statistic]
    # First as if other people did not matter: what must give way for these alone must give way in any case.
    for people, inside in (
        ((tabled.truth @ counting)[:, None], np.ones(1)),
        (tabled.truth, counting.astype(float)),
    ):
        ways = [way for way in (_giving_way(tabled, aim, shown, people, inside) for aim in aims) if way]
        if not ways:
            return None
        groups = min(ways, key=lambda way: (way[0], way[1]))[1]
        if groups:
            return groups
        if _tried(tabled, [benches.of(range(tabled.truth.shape[1]))], aims):
            return []
    if not shown:
        return None
    # Halves of people would do and whole ones do not: the next smallest of the same table goes with it.
    same = [place for place in shown if tabled.table[place] == tabled.table[group]] or shown
    return [min(same, key=lambda place: (int(tabled.counts[place, 0]), place))]


def _giving_way(
    tabled: Tables,
    aim: Aim,
    shown: Sequence[int],
    people: NDArray[np.int64],
    inside: NDArray[np.float64],
) -> tuple[float, list[int]] | None:
    """The cost and the groups whose numbers would have to be others; None where even all of them do not do."""
    import numpy as np

    if not shown:
        return None
    weigh = _weights(tabled)[list(shown)]
    program = Program.of(tabled, aim, shown, weigh, people, inside)
    moved = program.moved(np.ones(len(shown), dtype=bool))
    if moved is None:
        return None
    kept = moved.copy()
    for place in sorted(np.flatnonzero(moved).tolist(), key=lambda place: -weigh[place]):
        kept[place] = False
        if kept.any() and program.moved(kept) is not None:
            continue
        kept[place] = True
    return float(weigh[kept].sum()), [shown[place] for place in np.flatnonzero(kept).tolist()]


def _weights(tabled: Tables) -> NDArray[np.float64]:
    """What it costs to withhold each group; equal ones differ by their place in the order of keys."""
    import numpy as np

    single = np.array([len(tabled.tables[table]) == 1 for table in tabled.table])
    ranks = np.arange(len(tabled.keys)) / max(1, len(tabled.keys))
    return np.asarray(tabled.counts[:, 0] * np.where(single, SINGLE, 1.0) * (1 + 1e-3 * ranks))

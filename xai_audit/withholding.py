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
the totals, which groups are under the minimum, that the withheld ones are not, and that who is listed is there; sums of
scores or weights add nothing, since a group whose people may be others has no sum of its own among those that are shown.

Groups under the minimum are hidden first. Then, in the order of tables and keys, for the first number that could be had,
the cheapest shown groups that must give way are withheld: a group costs its people, one of a single column ten times
that. Nothing depends on the order of rows, groups or tables. The programs are solved by HiGHS, in scipy.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Key = tuple[str, ...]
"""Levels, in the order of a table's columns."""
Outcome = tuple[str | None, str | None]
"""A row's label and prediction, None where there is none."""

RULE = "linked tables"
"""What an audit calls this rule."""
WITHHELD = "withheld"
SMALL = "n <"
"""What the reason of a group under the minimum begins with."""
LIMIT = 30_000
"""Combinations of levels, labels and predictions up to which what follows from the tables is worked out."""
SINGLE = 10
"""How many times dearer it is to withhold a group of one column than one of a crossing: rules read the former."""
_NODES = 20
_DUST = 1e-6


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
    if size > LIMIT and any(len(table) > 1 for table in listed):
        return _apart(names, counted, listed, minimum, size)
    tabled = _Tables.of(names, counted, listed, minimum)
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
        tabled = _Tables.of(table, own, [table], minimum)
        _protect(tabled)
        reasons.update(tabled.reasons())
    note = (
        f"every crossing is withheld: {size:,} combinations of groups, labels and predictions are more than the {LIMIT:,} "
        "up to which it is worked out what tables give away together; name fewer sensitive columns, or crossings: none"
    )
    return Withholding(reasons, note)


@dataclass(frozen=True, eq=False)
class _Tables:
    """All groups of all tables over the combinations of levels that occur, and what is known to be possible."""

    tables: list[tuple[str, ...]]
    table: list[int]
    """The table of each group."""
    keys: list[Key]
    member: Any
    """Groups by combinations, 1 where the combination is in the group; sparse."""
    holds: Any
    """Groups by groups, 1 where the first holds the second; sparse."""
    unlisted: NDArray[np.bool_]
    """Parts of groups under the minimum."""
    lines: list[tuple[int | None, list[int]]]
    """Each group, or None for everybody, with the groups of one column more that it is made of."""
    truth: NDArray[np.int64]
    """People of each combination by outcome."""
    statistics: NDArray[np.int64]
    """Outcomes by what is counted among them; the first is everybody."""
    minimum: int
    why: list[str]
    counts: NDArray[np.int64]
    """The true numbers, groups by statistics."""
    low: NDArray[np.int64]
    """The least that each number of each group is known to be possibly, and the most."""
    high: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        names: Key,
        counted: Mapping[tuple[Key, Outcome], int],
        tables: list[tuple[str, ...]],
        minimum: int,
    ) -> _Tables:
        import numpy as np
        from scipy import sparse

        combinations = sorted({key for key, _ in counted})
        outcomes = sorted(
            {outcome for _, outcome in counted}, key=lambda one: tuple(part or "" for part in one)
        )
        row = {key: place for place, key in enumerate(combinations)}
        column = {outcome: place for place, outcome in enumerate(outcomes)}
        truth = np.zeros((len(combinations), len(outcomes)), dtype=np.int64)
        for (key, outcome), count in counted.items():
            truth[row[key], column[outcome]] += count
        keys: list[Key] = []
        table, lines, members = [], [], []
        for number, one in enumerate(tables):
            places = [names.index(name) for name in one]
            found: dict[Key, list[int]] = {}
            for key, place in row.items():
                found.setdefault(tuple(key[at] for at in places), []).append(place)
            for key in sorted(found):
                lines += [len(keys)] * len(found[key])
                members += found[key]
                table.append(number)
                keys.append(key)
        shape = (len(keys), len(combinations))
        member = sparse.csr_array((np.ones(len(lines)), (lines, members)), shape=shape)
        shared = (member @ member.T).tocsc()
        shared.data[:] = shared.data == np.repeat(shared.diagonal(), np.diff(shared.indptr))
        shared.eliminate_zeros()
        statistics = _statistics(outcomes)
        counts = np.rint(member @ truth @ statistics).astype(np.int64)
        why = [f"n < {minimum}" if count < minimum else "" for count in counts[:, 0]]
        small = (counts[:, 0] < minimum).astype(float)
        unlisted = np.asarray(shared.T @ small) > small  # a group holds itself
        return cls(
            unlisted=unlisted,
            tables=tables, table=table, keys=keys, member=member, holds=shared, lines=_made_of(tables, table, keys),
            truth=truth, statistics=statistics,
            minimum=minimum, why=why, counts=counts, low=counts.copy(), high=counts.copy(),
        )  # fmt: skip

    def reasons(self) -> dict[tuple[str, ...], Mapping[Key, str]]:
        """The reason of every group by table."""
        found: dict[tuple[str, ...], dict[Key, str]] = {table: {} for table in self.tables}
        for table, key, why in zip(self.table, self.keys, self.why, strict=True):
            found[self.tables[table]][key] = why
        return dict(found)

    def possible(self, people: NDArray[np.int64]) -> None:
        """Remember the numbers of a table of people that agrees with all that is shown."""
        import numpy as np

        counts = np.rint(self.member @ people @ self.statistics).astype(np.int64)
        np.minimum(self.low, counts, out=self.low)
        np.maximum(self.high, counts, out=self.high)


def _made_of(
    tables: Sequence[tuple[str, ...]], table: Sequence[int], keys: Sequence[Key]
) -> list[tuple[int | None, list[int]]]:
    """Each group with the parts of it that one more column makes, where both tables are there."""
    place = {
        (tables[number], key): group for group, (number, key) in enumerate(zip(table, keys, strict=True))
    }
    found: dict[tuple[int | None, int, int], list[int]] = {}
    for group, (number, key) in enumerate(zip(table, keys, strict=True)):
        for gone in range(len(key)):
            rest = tables[number][:gone] + tables[number][gone + 1 :]
            whole = place.get((rest, key[:gone] + key[gone + 1 :]))
            if whole is not None or not rest:
                found.setdefault((whole, number, gone), []).append(group)
    return [(whole, parts) for (whole, _, _), parts in found.items()]


def _statistics(outcomes: Sequence[Outcome]) -> NDArray[np.int64]:
    """What is counted: everybody, each label, each prediction, the right ones, and with two classes each way to be wrong."""
    import numpy as np

    labels = sorted({label for label, _ in outcomes if label is not None})
    predictions = sorted({prediction for _, prediction in outcomes if prediction is not None})
    counted = {tuple(int(label == one) for label, _ in outcomes) for one in labels}
    counted |= {tuple(int(prediction == one) for _, prediction in outcomes) for one in predictions}
    counted.add(tuple(int(label is not None and label == prediction) for label, prediction in outcomes))
    if len({*labels, *predictions}) == 2:
        counted |= {tuple(int(one == other) for other in outcomes) for one in outcomes if None not in one}
    whole = tuple(1 for _ in outcomes)
    found = sorted(counted - {whole, tuple(0 for _ in outcomes)})
    return np.asarray([whole, *found], dtype=np.int64).T


@dataclass(frozen=True)
class _Aim:
    """A number of a hidden group that must be able to be another: at most, or at least, ``value``."""

    group: int
    statistic: int
    value: int
    up: bool


def _protect(tabled: _Tables) -> None:
    """Withhold more groups until no number of a hidden one can be had from the shown ones."""
    hopeless: set[tuple[int, int]] = set()
    changed = True
    while changed:
        _lines(tabled)
        changed, benches = False, _Benches(tabled)
        _wander(tabled, benches)
        for group, statistic in _open(tabled):
            while (group, statistic) not in hopeless and not _reached(tabled, benches, group, statistic):
                more = _cheapest(tabled, benches, group, statistic)
                if more is None:
                    hopeless.add((group, statistic))
                for place in more or ():
                    tabled.why[place] = WITHHELD
                if more:
                    changed, benches = True, _Benches(tabled)


def _lines(tabled: _Tables) -> None:
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


def _hidden(tabled: _Tables) -> list[int]:
    return [group for group, why in enumerate(tabled.why) if why]


def _open(tabled: _Tables) -> list[tuple[int, int]]:
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


def _said(tabled: _Tables) -> NDArray[np.bool_]:
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


def _aims(tabled: _Tables, group: int, statistic: int) -> list[_Aim]:
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
    up = [_Aim(group, statistic, low + width, up=True)] if low + width <= most else []
    down = [_Aim(group, statistic, high - width, up=False)] if high - width >= least else []
    return [*up, *down]


@dataclass(frozen=True, eq=False)
class _Bench:
    """The tables of people that agree with what is shown, as rows of a program; other outcomes stay as they are."""

    free: NDArray[np.int64]
    """Combinations whose people are not known."""
    outcomes: NDArray[np.int64]
    """Outcomes whose people may be others."""
    rows: Any
    """What must stay as it is, then the sizes of hidden groups."""
    fixed: NDArray[np.float64]
    covered: Any
    """Hidden groups by combinations."""
    low: NDArray[np.float64]
    """The least that the reasons let the sizes of hidden groups be, and the most."""
    high: NDArray[np.float64]

    @classmethod
    def of(cls, tabled: _Tables, outcomes: Sequence[int]) -> _Bench:
        import numpy as np
        from scipy import sparse

        some = np.asarray(list(outcomes), dtype=np.int64)
        shown = np.array([not why for why in tabled.why], dtype=bool)
        covered = _hidden(tabled)
        known = np.zeros(len(tabled.truth), dtype=bool)
        alone = tabled.member[np.flatnonzero(shown & (np.diff(tabled.member.indptr) == 1))]
        known[alone.indices] = True
        free = np.flatnonzero(~known)
        part = tabled.member[:, free]
        equal = sparse.vstack([part[np.flatnonzero(shown)], np.ones((1, len(free)))]).tocsr()
        equal = equal[np.flatnonzero(np.diff(equal.indptr))]
        fixed = (equal @ tabled.truth[np.ix_(free, some)]).ravel()
        sums = np.ones((1, len(some)))
        rows = sparse.vstack(
            [sparse.kron(equal, sparse.eye_array(len(some))), sparse.kron(part[covered], sums)]
        )
        low, high = _bounds(tabled, covered)
        return cls(free, some, rows.tocsr(), fixed, tabled.member[covered], low, high)


def _bounds(tabled: _Tables, groups: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the reasons themselves say of the sizes of hidden groups."""
    import numpy as np

    counts = tabled.counts[groups, 0]
    small = np.array([tabled.why[group] != WITHHELD for group in groups], dtype=bool)
    listed = np.where(tabled.unlisted[groups], 0, np.minimum(counts, 1))
    low = np.where(small, listed, tabled.minimum)
    return low.astype(float), np.where(small, tabled.minimum - 1.0, np.inf)


def _solved(
    tabled: _Tables, bench: _Bench, people: NDArray[np.int64], wanted: NDArray[np.float64]
) -> NDArray[np.int64]:
    """The table of whole people with as much as possible of what is wanted, from one that agrees with what is shown."""
    import numpy as np
    from scipy.optimize import Bounds, LinearConstraint, milp

    place = np.ix_(bench.free, bench.outcomes)
    if not len(bench.free) or not wanted[place].any():
        return people
    rest = people.copy()
    rest[place] = 0
    others = bench.covered @ rest.sum(axis=1)
    low, high = (np.concatenate([bench.fixed, bound - others]) for bound in (bench.low, bench.high))
    found: Any = None
    for whole in (0, 1):  # most often whole people come out without being asked for, and that is faster
        found = milp(
            -wanted[place].ravel(),
            integrality=np.full(wanted[place].size, whole),
            bounds=Bounds(0, np.inf),
            constraints=LinearConstraint(bench.rows, low, high),
            options={"node_limit": _NODES},
        )
        if found.x is None:
            return people
        if np.abs(found.x - np.rint(found.x)).max() < _DUST:
            break
    rest[place] = np.rint(found.x).astype(np.int64).reshape(len(bench.free), -1)
    tabled.possible(rest)
    return rest


def _commonest(tabled: _Tables) -> list[int]:
    """Outcomes, those of most people first."""
    import numpy as np

    return [int(outcome) for outcome in np.argsort(-tabled.truth.sum(axis=0), kind="stable")]


def _wander(tabled: _Tables, benches: _Benches) -> None:
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
            people = _solved(tabled, benches.of([outcome]), people, wanted)
        if before == (tabled.low.sum(), tabled.high.sum()):
            return


@dataclass(frozen=True, eq=False)
class _Benches:
    """The benches of one pattern, made when they are asked for."""

    tabled: _Tables
    made: dict[tuple[int, ...], _Bench] = field(default_factory=dict)

    def of(self, outcomes: Sequence[int]) -> _Bench:
        """The bench on which the people of these outcomes may be others."""
        some = tuple(outcomes)
        if some not in self.made:
            self.made[some] = _Bench.of(self.tabled, some)
        return self.made[some]


def _tried(tabled: _Tables, benches: Sequence[_Bench], aims: Sequence[_Aim]) -> bool:
    """Whether one of the aims is met by others of each bench's people in turn; what is found is remembered."""
    import numpy as np

    for aim in aims:
        wanted = np.zeros(tabled.truth.shape)
        inside = tabled.member[[aim.group]].indices
        wanted[inside] += (1.0 if aim.up else -1.0) * tabled.statistics[:, aim.statistic]
        people = tabled.truth
        for bench in benches:
            people = _solved(tabled, bench, people, wanted)
            if not _aims(tabled, aim.group, aim.statistic):
                return True
    return False


def _reached(tabled: _Tables, benches: _Benches, group: int, statistic: int) -> bool:
    """Whether a number can be another, by people of one outcome after the other."""
    aims = _aims(tabled, group, statistic)
    counting = [outcome for outcome in _commonest(tabled) if tabled.statistics[outcome, statistic]]
    return not aims or _tried(tabled, [benches.of([outcome]) for outcome in counting], aims)


def _cheapest(tabled: _Tables, benches: _Benches, group: int, statistic: int) -> list[int] | None:
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
    tabled: _Tables,
    aim: _Aim,
    shown: Sequence[int],
    people: NDArray[np.int64],
    inside: NDArray[np.float64],
) -> tuple[float, list[int]] | None:
    """The cost and the groups whose numbers would have to be others; None where even all of them do not do."""
    import numpy as np

    if not shown:
        return None
    weigh = _weights(tabled)[list(shown)]
    program = _Program.of(tabled, aim, shown, weigh, people, inside)
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


def _weights(tabled: _Tables) -> NDArray[np.float64]:
    """What it costs to withhold each group; equal ones differ by their place in the order of keys."""
    import numpy as np

    single = np.array([len(tabled.tables[table]) == 1 for table in tabled.table])
    ranks = np.arange(len(tabled.keys)) / max(1, len(tabled.keys))
    return np.asarray(tabled.counts[:, 0] * np.where(single, SINGLE, 1.0) * (1 + 1e-3 * ranks))


@dataclass(frozen=True, eq=False)
class _Program:
    """People as they would have to be for an aim, with what each shown group would have to move by, at a cost."""

    cost: NDArray[np.float64]
    equal: Any
    fixed: NDArray[np.float64]
    most: Any
    above: NDArray[np.float64]
    groups: int
    people: int

    @classmethod
    def of(
        cls,
        tabled: _Tables,
        aim: _Aim,
        shown: Sequence[int],
        weigh: NDArray[np.float64],
        people: NDArray[np.int64],
        inside: NDArray[np.float64],
    ) -> _Program:
        import numpy as np
        from scipy import sparse

        combinations, outcomes = people.shape
        moves = len(shown) * outcomes
        part = tabled.member[list(shown)]
        give, every = sparse.eye_array(moves), np.ones((1, outcomes))
        totals = sparse.kron(np.ones((1, combinations)), sparse.eye_array(outcomes))
        equal = sparse.vstack(
            [
                sparse.hstack([sparse.kron(part, sparse.eye_array(outcomes)), -give, give]),
                sparse.hstack([totals, sparse.csr_array((outcomes, 2 * moves))]),
            ]
        )
        fixed = np.concatenate([(part @ people).ravel(), people.sum(axis=0)])
        sign = -1.0 if aim.up else 1.0
        target = np.zeros(people.shape)
        target[tabled.member[[aim.group]].indices] = sign * inside
        rows, above = [sparse.csr_array(target.reshape(1, -1))], [np.array([sign * aim.value])]
        if people.sum() == tabled.truth.sum():
            # Where everybody is looked at, sizes stay within what the reasons say of them.
            covered = _hidden(tabled)
            low, high = _bounds(tabled, covered)
            sized = sparse.kron(tabled.member[covered], every).tocsr()
            capped = np.flatnonzero(np.isfinite(high))
            rows += [-sized, sized[capped], -sparse.kron(part, every)]
            above += [-low, high[capped], np.full(len(shown), -float(tabled.minimum))]
        most = sparse.vstack(rows)
        most = sparse.hstack([most, sparse.csr_array((most.shape[0], 2 * moves))]).tocsr()
        far = max(1, abs(aim.value - int(tabled.counts[aim.group, aim.statistic])))
        room = np.clip(tabled.counts[list(shown), 0] - tabled.minimum, 1, far)
        cost = np.concatenate(
            [
                np.zeros(combinations * outcomes),
                np.repeat(weigh / far, outcomes),
                np.repeat(weigh / room, outcomes),
            ]
        )
        return cls(
            cost, equal.tocsr(), fixed, most, np.concatenate(above), len(shown), combinations * outcomes
        )

    def moved(self, allowed: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """Which of the allowed groups give way at the least cost; None where that is not enough."""
        import numpy as np
        from scipy.optimize import linprog

        outcomes = (len(self.cost) - self.people) // (2 * self.groups)
        ends = np.repeat(np.tile(allowed, 2), outcomes)
        high = np.concatenate([np.full(self.people, np.inf), np.where(ends, np.inf, 0.0)])
        bounds = np.column_stack([np.zeros(len(high)), high])
        found = linprog(
            self.cost, self.most, self.above, self.equal, self.fixed, bounds=bounds, method="highs"
        )
        if found.status != 0:
            return None
        moves = found.x[self.people :].reshape(2, self.groups, outcomes)
        return np.asarray(moves.sum(axis=(0, 2)) > _DUST)

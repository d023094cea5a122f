"""Tables of people that agree with all that is shown, and what would have to give way for one that does not.

A table of people says how many rows each combination of levels and outcome has. Programs over such tables answer what a
reader cannot exclude (`solved`), and at what cost a number could be another (`Program`). Solved by HiGHS, in scipy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Key = tuple[str, ...]
"""Levels, in the order of a table's columns."""
Outcome = tuple[str | None, str | None]
"""A row's label and prediction, None where there is none."""

WITHHELD = "withheld"
SMALL = "n <"
"""What the reason of a group under the minimum begins with."""
_NODES = 20
_DUST = 1e-6


@dataclass(frozen=True, eq=False)
class Tables:
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
    ) -> Tables:
        """The groups of these tables over rows counted by levels (in the order of ``names``) and outcome."""
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
        table: list[int] = []
        lines: list[int] = []
        members: list[int] = []
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

        counts = np.rint(self.member @ np.rint(people) @ self.statistics).astype(np.int64)
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
class Aim:
    """A number of a hidden group that must be able to be another: at most, or at least, ``value``."""

    group: int
    statistic: int
    value: int
    up: bool


def hidden(tabled: Tables) -> list[int]:
    """The groups that are not shown."""
    return [group for group, why in enumerate(tabled.why) if why]


@dataclass(frozen=True, eq=False)
class Bench:
    """The tables of people that agree with what is shown, as a program; people of other outcomes stay as they are."""

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
    def of(cls, tabled: Tables, outcomes: Sequence[int]) -> Bench:
        """The bench of the present pattern on which the people of these outcomes may be others."""
        import numpy as np
        from scipy import sparse

        some = np.asarray(list(outcomes), dtype=np.int64)
        shown = np.array([not why for why in tabled.why], dtype=bool)
        covered = hidden(tabled)
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


def _bounds(tabled: Tables, groups: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the reasons themselves say of the sizes of hidden groups."""
    import numpy as np

    counts = tabled.counts[groups, 0]
    small = np.array([tabled.why[group] != WITHHELD for group in groups], dtype=bool)
    listed = np.where(tabled.unlisted[groups], 0, np.minimum(counts, 1))
    low = np.where(small, listed, tabled.minimum)
    return low.astype(float), np.where(small, tabled.minimum - 1.0, np.inf)


def solved(
    tabled: Tables, bench: Bench, people: NDArray[np.int64], wanted: NDArray[np.float64]
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

    def solution(*, whole: bool) -> Any:
        return milp(
            -wanted[place].ravel(),
            integrality=np.full(wanted[place].size, int(whole)),
            bounds=Bounds(0, np.inf),
            constraints=LinearConstraint(bench.rows, low, high),
            options={"node_limit": _NODES},
        ).x

    # Most often whole people come out without being asked for, and that is faster.
    found = solution(whole=False)
    if found is not None and np.abs(found - np.rint(found)).max() > _DUST:
        found = solution(whole=True)
    if found is None:
        return people
    rest[place] = np.rint(found).astype(np.int64).reshape(len(bench.free), -1)
    tabled.possible(rest)
    return rest


@dataclass(frozen=True, eq=False)
class Benches:
    """The benches of one pattern, made when they are asked for."""

    tabled: Tables
    made: dict[tuple[int, ...], Bench] = field(default_factory=dict)

    def of(self, outcomes: Sequence[int]) -> Bench:
        """The bench on which the people of these outcomes may be others."""
        some = tuple(outcomes)
        if some not in self.made:
            self.made[some] = Bench.of(self.tabled, some)
        return self.made[some]


@dataclass(frozen=True, eq=False)
class Program:
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
        tabled: Tables,
        aim: Aim,
        shown: Sequence[int],
        weigh: NDArray[np.float64],
        people: NDArray[np.int64],
        inside: NDArray[np.float64],
    ) -> Program:
        """The program for one aim, over these shown groups at these costs.

        ``people`` are those that are looked at, combinations by outcomes; ``inside`` says which outcomes are aimed at.
        """
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
            covered = hidden(tabled)
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

"""Which rows are examples of a concept, which are random examples, and which are left to judge by: no row is both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit import digest, predicate
from xai_audit.errors import MethodError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from xai_audit.subject import Rows, Subject

FEWEST = 10
"""Examples that a concept or a pool needs."""
PER_SET = 10
"""The pool holds at most so many times the examples of one set."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Rows drawn from one table, and how many there were to draw from."""

    rows: Rows
    index: NDArray[np.int64]
    available: int
    source: str
    """Where they come from, in words."""

    @property
    def frame(self) -> pd.DataFrame:
        """The rows themselves."""
        return self.rows.frame.iloc[self.index]

    def __len__(self) -> int:
        return len(self.index)


@dataclass(frozen=True, eq=False)
class Chosen:
    """Examples of each concept, the pool, and the test rows that are neither."""

    concepts: dict[str, Examples | str]
    """By name; a str says why a concept has too few examples."""
    pool: Examples
    evaluated: NDArray[np.int64]
    """Test rows whose content is no example's."""
    within: dict[str, NDArray[np.bool_]]
    """For a concept with a condition whose pool is of the same rows: where in the pool it holds too."""
    notes: tuple[str, ...]


def choose(
    subject: Subject, named: Sequence[tuple[str, str | None]], random: str | None, examples: int, salt: object
) -> Chosen:
    """Draw ``examples`` rows for each concept (name, condition or None) and at most PER_SET times as many for the pool.

    A concept without a condition is a set of ``data.sets``; one with a condition is drawn from the training rows, else
    from the test rows. The pool is the set ``random``; None for the same rows as conditions are asked of, without those
    drawn for concepts, and at most half of the test rows; for a concept with a condition, those for which it does not
    hold. Rows are chosen by the digest of their content.
    """
    found: dict[str, Examples | str] = {}
    for name, where in named:
        found[name] = _concept(subject, name, where, examples, salt)
    drawn = {
        bytes(one.rows.digests[row])
        for one in found.values()
        if isinstance(one, Examples)
        for row in one.index
    }
    notes: list[str] = []
    pool = _pool(subject, random, drawn, examples * PER_SET, salt, notes)
    if len(pool) < FEWEST:
        raise MethodError(
            f"the pool of random examples ({pool.source}) has {len(pool)} rows; {FEWEST} are needed"
        )
    taken = drawn | {bytes(pool.rows.digests[row]) for row in pool.index}
    free = np.asarray([bytes(digest) not in taken for digest in subject.test.digests], dtype=bool)
    if not free.all():
        notes.append(f"{int((~free).sum())} test rows are examples and are not evaluated")
    within = {}
    if random is None:
        asked = metadata(pool.rows)
        within = {
            name: predicate.parse(where).holds(asked)[pool.index]
            for name, where in named
            if where is not None and isinstance(found[name], Examples)
        }
    return Chosen(found, pool, np.flatnonzero(free), within, tuple(notes))


def _concept(subject: Subject, name: str, where: str | None, examples: int, salt: object) -> Examples | str:
    if where is None:
        if name not in subject.sets:
            there = ", ".join(sorted(subject.sets)) or "none"
            raise MethodError(
                f"concept {name}: no set of that name in data.sets (there are: {there}), and no where"
            )
        rows, source = subject.sets[name], f"the set {name}"
        index = np.arange(rows.n)
    else:
        rows, table = _asked(subject)
        source = f"{table} rows where {where}"
        try:
            index = np.flatnonzero(predicate.parse(where).holds(metadata(rows)))
        except ValueError as error:
            raise MethodError(f"concept {name}: {error}") from None
    if len(index) < FEWEST:
        return f"{source}: {len(index)} examples; {FEWEST} are needed"
    return Examples(rows, _drawn(rows, index, examples, (salt, "concept", name)), len(index), source)


def _asked(subject: Subject) -> tuple[Rows, str]:
    return (subject.train, "training") if subject.train is not None else (subject.test, "test")


def metadata(rows: Rows) -> pd.DataFrame:
    """What a condition may ask of a row: every column beside the features, and the features of a table."""
    import pandas as pd

    beside = rows.side if rows.side is not None else pd.DataFrame(index=rows.frame.index)
    own = [name for name in rows.frame.columns if name not in beside.columns]
    return pd.concat([beside.reset_index(drop=True), rows.frame[own].reset_index(drop=True)], axis=1)


def _pool(
    subject: Subject, random: str | None, drawn: set[bytes], most: int, salt: object, notes: list[str]
) -> Examples:
    if random is not None:
        if random not in subject.sets:
            there = ", ".join(sorted(subject.sets)) or "none"
            raise MethodError(f"random: no set named {random} in data.sets (there are: {there})")
        rows, source = subject.sets[random], f"the set {random}"
    else:
        rows, table = _asked(subject)
        source = f"{table} rows"
    index = np.flatnonzero([bytes(digest) not in drawn for digest in rows.digests])
    if len(index) < rows.n:
        notes.append(
            f"{rows.n - len(index)} rows of {source} are examples of a concept and are not in the pool"
        )
    if rows is subject.test:
        most = min(most, len(index) // 2)
    return Examples(rows, _drawn(rows, index, most, (salt, "pool")), len(index), source)


def _drawn(rows: Rows, index: NDArray[np.int64], most: int, salt: tuple[Any, ...]) -> NDArray[np.int64]:
    """The ``most`` of these rows with the smallest digests of salt and content, in row order."""
    if len(index) <= most:
        return index
    inside = np.zeros(rows.n, dtype=bool)
    inside[index] = True
    order = smallest_first(rows, *salt)
    return np.sort(order[inside[order]][:most])


def smallest_first(rows: Rows, *salt: object) -> NDArray[np.int64]:
    """All rows by the sha256 of the salt and their content."""
    prefix = ":".join(map(str, salt))
    keys = [digest.of_bytes(f"{prefix}:{rows.seed(row)}".encode()) for row in range(rows.n)]
    return np.argsort(np.asarray(keys), kind="stable")

"""Which rows a predicate is asked of, and which of them find units and which judge: no row, and no equal row, does both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, model_validator

from xai_audit import predicate
from xai_audit.errors import MethodError
from xai_audit.evidence import Frozen
from xai_audit.explainers.concepts.sets import metadata
from xai_audit.explainers.examples.compared import row_digests

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from xai_audit.evidence import Sampling
    from xai_audit.method import Context
    from xai_audit.subject import Rows, Subject

FEWEST = 20
"""Rows that a predicate needs on either side."""


class Predicate(Frozen):
    """Something that holds for some rows: a condition on the test rows, or one set of ``data.sets`` against another."""

    name: str = Field(min_length=1)
    where: str | None = None
    """As "sex == 'male'"; asked of the test rows."""
    positive: str | None = None
    """The set of rows for which it holds."""
    negative: str | None = None
    """The set of rows for which it does not."""

    @model_validator(mode="after")
    def _one_way(self) -> Predicate:
        sets = self.positive is not None and self.negative is not None
        if sets == (self.where is not None) or (not sets and (self.positive or self.negative)):
            message = f"{self.name}: where is asked, or both of positive and negative"
            raise ValueError(message)
        if self.where is not None:
            predicate.parse(self.where)
        return self


@dataclass(frozen=True, eq=False)
class Population:
    """Rows, and for each of them which predicates hold."""

    frame: pd.DataFrame
    labels: dict[str, NDArray[np.bool_]]
    finds: NDArray[np.bool_]
    """(rows,): rows that units are found on; the others judge."""
    source: str
    sampling: Sampling | None
    digests: NDArray[np.uint8]
    """(rows, 32): sha256 of each row's content."""

    def halves(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places of the rows that judge, those for which a predicate holds and the others."""
        label = self.labels[name]
        return np.flatnonzero(label & ~self.finds), np.flatnonzero(~label & ~self.finds)


def populations(
    subject: Subject, asked: Sequence[Predicate], rows: int | None, context: Context
) -> tuple[list[Population], dict[str, str]]:
    """The test rows with every condition, then each pair of sets; and why a predicate has too few rows."""
    refused: dict[str, str] = {}
    made = []
    conditions = [one for one in asked if one.where is not None]
    if conditions:
        chosen, sampling = context.sample(rows)
        table = metadata(subject.test).iloc[chosen]
        held = {one.name: _holds(one, table) for one in conditions}
        labels = {name: label for name, label in held.items() if _enough(name, label, refused)}
        groups = _groups(subject.test, chosen)
        finds = _finds(groups, context.rng("halves"))
        labels = {name: label for name, label in labels.items() if _both(name, label, finds, refused)}
        if labels:
            told = row_digests(subject.test, chosen)
            made.append(
                Population(subject.test.frame.iloc[chosen], labels, finds, "test rows", sampling, told)
            )
    for one in asked:
        if one.where is None:
            found = _of_sets(subject, one, rows, context, refused)
            if found is not None:
                made.append(found)
    return made, refused


def _of_sets(
    subject: Subject, one: Predicate, rows: int | None, context: Context, refused: dict[str, str]
) -> Population | None:
    import pandas as pd

    parts = [named_set(subject, name, one.name) for name in (one.positive or "", one.negative or "")]
    drawn = [_drawn(part, None if rows is None else max(rows // 2, 1), context.seed) for part in parts]
    label = np.repeat([True, False], [len(part) for part in drawn])
    # A row that stands in both sets tells nothing, and the same row may not find and judge.
    digests = np.concatenate([part.digests[chosen] for part, chosen in zip(parts, drawn, strict=True)])
    _, groups = np.unique(digests, return_inverse=True)
    both = np.isin(groups, np.intersect1d(groups[label], groups[~label]))
    if both.any():
        refused[one.name] = f"{int(both.sum())} rows stand in both {one.positive} and {one.negative}"
        return None
    finds = _finds(groups, context.rng("halves", one.name))
    if not (_enough(one.name, label, refused) and _both(one.name, label, finds, refused)):
        return None
    frame = pd.concat(
        [part.frame.iloc[chosen] for part, chosen in zip(parts, drawn, strict=True)], ignore_index=True
    )
    told = np.concatenate([row_digests(part, chosen) for part, chosen in zip(parts, drawn, strict=True)])
    return Population(frame, {one.name: label}, finds, f"{one.positive} against {one.negative}", None, told)


def named_set(subject: Subject, name: str, of: str) -> Rows:
    """A set of ``data.sets``; MethodError where there is none of that name."""
    if name not in subject.sets:
        there = ", ".join(sorted(subject.sets)) or "none"
        raise MethodError(f"{of}: no set named {name} in data.sets (there are: {there})")
    return subject.sets[name]


def _holds(one: Predicate, table: pd.DataFrame) -> NDArray[np.bool_]:
    try:
        return np.asarray(predicate.parse(one.where or "").holds(table), dtype=bool)
    except ValueError as error:
        raise MethodError(f"predicate {one.name}: {error}") from None


def _drawn(rows: Rows, most: int | None, salt: object) -> NDArray[np.int64]:
    from xai_audit.explainers.concepts.sets import smallest_first

    if most is None or rows.n <= most:
        return np.arange(rows.n)
    return np.sort(smallest_first(rows, salt, "probing")[:most])


def _groups(rows: Rows, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """What goes to one half together: clusters where there are some, else equal rows."""
    if rows.clusters is not None:
        return np.asarray(rows.clusters[chosen], dtype=np.int64)
    return np.asarray(np.unique(rows.digests[chosen], return_inverse=True)[1], dtype=np.int64)


def _finds(groups: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.bool_]:
    known, place = np.unique(groups, return_inverse=True)
    side = np.zeros(len(known), dtype=bool)
    side[rng.permutation(len(known))[: len(known) // 2]] = True
    return side[place]


def _enough(name: str, label: NDArray[np.bool_], refused: dict[str, str]) -> bool:
    if label.sum() < FEWEST:
        refused[name] = f"it holds for fewer than {FEWEST} rows"
    elif (~label).sum() < FEWEST:
        refused[name] = f"it does not hold for fewer than {FEWEST} rows"
    return name not in refused


def _both(name: str, label: NDArray[np.bool_], finds: NDArray[np.bool_], refused: dict[str, str]) -> bool:
    least = min(int((label[part] == side).sum()) for part in (finds, ~finds) for side in (True, False))
    if least < FEWEST // 4:
        refused[name] = f"one half of the rows has fewer than {FEWEST // 4} on one side"
    return name not in refused

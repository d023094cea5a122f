"""What a recount works with, and what it may give: a number seen again, a skip with its reason, or what is not known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from xai_audit.evidence import Control, Curve, Groups, Inference, Matrix, Ranking, Sampling, Scalar
from xai_audit.spec import Spec
from xai_audit.verify import limits_rows
from xai_audit.verify.groups import Cell, Minima, rate_at
from xai_audit.verify.limits import Counts
from xai_audit.verify.stated import Subject
from xai_audit.verify.table import Grouping, Mask, Table

Need = Literal[
    "model", "labels", "scores", "probabilities", "groups", "binary", "classification", "regression", "train",
    "features", "images or text",
]  # fmt: skip
Observation = Scalar | Ranking | Groups | Curve | Matrix
Stored = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """One number, table or claim, made again."""

    observation: Observation
    part: str = ""
    columns: tuple[str, ...] = ()
    sampling: Sampling | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    controls: tuple[Control, ...] = ()
    inference: Inference | None = None
    from_facts: bool = False
    """Whether it rests on counts that audit.json itself states, since no row in evidence/ shows them."""


@dataclass(frozen=True, kw_only=True)
class Skip:
    """What does not apply, with the reason that the evidence gives."""

    reason: str
    part: str = ""
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Unknown:
    """What cannot be made again from the folder, and why."""

    reason: str
    part: str = ""
    columns: tuple[str, ...] = ()
    always: bool = True
    """Whether there is such evidence in any case, measured or skipped."""


Recounted = Seen | Skip | Unknown


class LackingError(Exception):
    """The folder does not hold what a number rests on."""


class ForgedError(Exception):
    """The folder contradicts itself in what a number rests on."""


@dataclass(frozen=True, eq=False)
class Bench:
    """The rows, what was asked of them, and what evidence keeps beside its numbers."""

    table: Table
    subject: Subject
    spec: Spec
    minima: Minima
    method: str
    params: Mapping[str, Any]
    """The method's parameters as the spec gives them, with defaults."""
    stored: Callable[[str], Stored]
    """The arrays of this method's evidence of a part or column (``""``: of the method), by name; LackingError without any,
    ForgedError where a file is not what it is called."""
    given: Callable[[str], Observation | None]
    """What was made again before under an evidence id."""

    @property
    def labelled(self) -> Sampling | None:
        """What is said where rows without a valid label were left out."""
        used = int(np.count_nonzero(self.table.valid))
        if used == self.table.n:
            return None
        return Sampling(available=self.table.n, used=used, how="rows with a valid label")

    @property
    def rows(self) -> NDArray[np.int64]:
        """Rows with a valid label."""
        return np.flatnonzero(self.table.valid)

    @property
    def classes(self) -> list[tuple[int, str | None]]:
        """The classes a number is had for: the positive one, or each where there are more than two."""
        if self.subject.binary:
            return [(self.subject.positive, None)]
        return list(enumerate(self.subject.classes))

    def positive_scores(self) -> NDArray[np.float64]:
        """The score of the positive class for each row."""
        assert self.table.scores is not None
        scores = self.table.scores
        return scores[:, self.subject.positive] if scores.shape[1] > 1 else scores[:, 0]

    def groups(self, grouping: Grouping) -> Iterator[tuple[dict[str, str], Mask, bool, str]]:
        """For each group its key, its rows, whether it is the missing one, and why it is withheld."""
        covered = self.table.withheld(grouping)
        for code in self.table.listed(grouping):
            yield dict(grouping.keys[code]), grouping.codes == code, grouping.missing[code], covered[code]


class Run(Protocol):
    """Makes all the evidence of a method again."""

    def __call__(self, bench: Bench) -> Iterator[Recounted]:
        """The evidence, overall first, then by every grouping."""
        ...


@dataclass(frozen=True)
class Recount:
    """How the evidence of one method is made again, and when there is any."""

    run: Run
    needs: tuple[Need, ...] = ()
    asked: bool = True
    """Whether a spec may name it; every audit makes the others."""
    defaults: Mapping[str, Any] = field(default_factory=lambda: {"primary": False})
    """Parameters that the spec may leave out."""


@dataclass(frozen=True)
class Share:
    """The share of some rows that is something."""

    value: float
    counts: Counts
    count: int


def share(table: Table, event: Mask, among: Mask) -> Share | None:
    """The share of ``event`` among some rows; None where there are none, or none of any weight."""
    count = int(np.count_nonzero(among))
    if not count:
        return None
    if table.plain:
        hits = int(np.count_nonzero(event & among))
        return Share(hits / count, (hits, count), count)
    weights = None if table.weights is None else table.weights[among]
    if weights is not None and not weights.any():
        return None
    clusters = None if table.clusters is None else table.clusters[among]
    hit, rows = limits_rows.effective(event[among].astype(float), weights, clusters)
    return Share(hit / rows, (hit, rows), count)


def weight(table: Table, mask: Mask) -> float:
    """What some rows weigh together."""
    return float(np.count_nonzero(mask)) if table.weights is None else float(table.weights[mask].sum())


def rate_cell(
    table: Table,
    key: dict[str, str],
    inside: Mask,
    event: Mask,
    among: Mask,
    undefined: str,
    *,
    conditioned: bool,
    missing: bool,
    withheld: str,
) -> Cell:
    """A rate within one group."""
    n = int(np.count_nonzero(inside))
    if withheld:
        return Cell(key=key, n=n, withheld=withheld, missing=missing)
    found = share(table, event, among & inside)
    if found is None:
        return Cell(key=key, n=n, undefined=undefined, missing=missing)
    part = weight(table, among & inside) / weight(table, among)
    rest = None
    if 0 < part < 1:
        # Of the rest no more is known than of the group: as many effective rows for its weight.
        rows = found.counts[1] * (1 - part) / part
        outside = among & ~inside
        rest = (min(weight(table, event & outside) / weight(table, outside), 1.0) * rows, rows)
    return Cell(
        key=key,
        n=n,
        found=(found.value, rate_at(found.counts)),
        counts=found.counts,
        rest=rest,
        share=part,
        count=found.count,
        labels=(found.count,) if conditioned else (),
        missing=missing,
    )

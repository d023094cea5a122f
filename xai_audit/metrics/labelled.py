"""Rows as metrics see them: true, predicted, weighted, in groups; and the ways to count them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit import intervals as iv
from xai_audit import intervals_rows as from_rows
from xai_audit.metrics.grouped import CLASS, Cell, Limits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.evidence import Sampling
    from xai_audit.method import Context
    from xai_audit.subject import Grouping, Subject

Mask = "NDArray[np.bool_]"


@dataclass(frozen=True, eq=False)
class Tally:
    """A rate's numerator and denominator over some rows, and what intervals need of them."""

    value: float
    successes: float
    rows: float
    """Effective rows: fewer than counted where weights or clusters say so."""
    count: int


def tally(subject: Subject, event: NDArray[np.bool_], among: NDArray[np.bool_]) -> Tally | None:
    """The share of ``event`` among some rows; None where there are none. Both masks are over the test rows."""
    count = int(np.count_nonzero(among))
    if count == 0:
        return None
    weights, clusters = subject.test.weights, subject.test.clusters
    if weights is None and clusters is None:
        hits = int(np.count_nonzero(event & among))
        return Tally(hits / count, hits, count, count)
    chosen = event[among].astype(float)
    weight = None if weights is None else weights[among]
    if weight is not None and not weight.any():
        return None
    successes, rows = from_rows.effective(
        chosen.tolist(),
        None if weight is None else weight.tolist(),
        None if clusters is None else clusters[among].tolist(),
    )
    return Tally(successes / rows, successes, rows, count)


def known(subject: Subject) -> NDArray[np.bool_]:
    """Rows with a valid label; all where labels are not looked at."""
    target = subject.test.target
    if target is None:
        return np.ones(subject.test.n, dtype=bool)
    return target >= 0 if subject.task == "classification" else np.isfinite(target)


def labelled_sampling(subject: Subject) -> Sampling | None:
    """What is said where rows without a valid label were left out; None where none were."""
    from xai_audit.evidence import Sampling

    used = int(np.count_nonzero(known(subject)))
    if used == subject.test.n:
        return None
    return Sampling(available=subject.test.n, used=used, how="rows with a valid label")


def independent(subject: Subject) -> bool:
    """Whether every row counts alike and by itself: no weights, no clusters."""
    return subject.test.weights is None and subject.test.clusters is None


def unweighted(subject: Subject) -> tuple[str, ...]:
    """What is said beside a number that takes rows as equal and independent although the spec says otherwise."""
    return () if independent(subject) else ("Rows are counted; weights and clusters are not used here.",)


def classes(subject: Subject) -> list[tuple[int, str | None]]:
    """The classes a rate is measured for: the positive one, or each, with its label, where there are more than two."""
    if subject.binary:
        return [(subject.positive, None)]
    return [(index, str(label)) for index, label in enumerate(subject.classes)]


def rate_cell(
    subject: Subject,
    key: dict[str, str],
    inside: NDArray[np.bool_],
    event: NDArray[np.bool_],
    among: NDArray[np.bool_],
    undefined: str,
    *,
    conditioned: bool,
    missing: bool = False,
    covered: str = "",
) -> Cell:
    """A rate within one group, as a cell of a table."""
    n = int(np.count_nonzero(inside))
    if covered:
        return Cell(key=key, n=n, hidden=covered, missing=missing)
    found = tally(subject, event, among & inside)
    if found is None:
        return Cell(key=key, n=n, undefined=undefined, missing=missing)
    whole = tally(subject, event, among)
    return Cell(
        key=key,
        n=n,
        value=found.value,
        at=_at(found),
        counts=(found.successes, found.rows),
        count=found.count,
        labels=(found.count,) if conditioned else (),
        missing=missing,
        share=_weight(subject, among & inside) / _weight(subject, among) if whole else 0.0,
    )


def _at(found: Tally) -> Callable[[Sequence[float]], Limits]:
    return lambda levels: iv.rate(found.successes, found.rows, levels)


def _weight(subject: Subject, mask: NDArray[np.bool_]) -> float:
    weights = subject.test.weights
    return float(np.count_nonzero(mask)) if weights is None else float(sum(sorted(weights[mask].tolist())))


def each_group(
    subject: Subject, grouping: Grouping, context: Context
) -> Iterator[tuple[dict[str, str], NDArray[np.bool_], bool, str]]:
    """For each group its key, its rows, whether it is the missing one, and why it may not be shown."""
    covered = subject.hidden(grouping, context.min_cell)
    known = subject.withholding(context.min_cell)
    for index, key in enumerate(grouping.keys):
        if not known.listed(key):
            continue
        yield dict(key), grouping.codes == index, grouping.missing[index], covered[index]


def with_class(key: dict[str, str], label: str | None) -> dict[str, str]:
    """A group's key, with the class where there are more than two."""
    return key if label is None else {**key, CLASS: label}


def stated(context: Context) -> dict[str, Any]:
    """The minima that decided which groups count, kept beside the numbers."""
    return {"min_n": context.min_n, "min_label": context.min_label, "min_cell": context.min_cell}

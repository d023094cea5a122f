"""Every metric before and after: overall, by group, by crossing, and how far groups lie apart."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from xai_audit.applying import CHANGE
from xai_audit.compare import estimates, measures
from xai_audit.compare.measures import COMPARED, NUMBERS
from xai_audit.compare.number import UndefinedError
from xai_audit.compare.rows import ENOUGH
from xai_audit.comparison import Better, Change
from xai_audit.evidence import Groups, Scalar, exactly
from xai_audit.intervals_gaps import GroupChange, gap_change, smallest_ratio_change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from xai_audit.compare.number import Number
    from xai_audit.compare.rows import Pairs, Rows
    from xai_audit.evidence import Estimate, Evidence, Group
    from xai_audit.intervals import Interval
    from xai_audit.intervals_rows import Measured

CLASS, RATE = "class", "rate"


@dataclass(frozen=True, eq=False)
class Side:
    """What one audit asked, looked at and measured, whatever its rules said."""

    spec: Mapping[str, Any]
    subject: Mapping[str, Any]
    evidence: tuple[Evidence, ...]

    def get(self, identifier: str) -> Evidence | None:
        """The evidence of that id, or None."""
        return next((piece for piece in self.evidence if piece.id == identifier), None)


@dataclass(frozen=True, eq=False)
class Both:
    """Two audits with their rows, the same rows side by side."""

    old: Side
    new: Side
    pairs: Pairs
    confidence: float
    min_cell: int
    same: bool
    """Whether one model gave the same answers: then nothing about it changed on the same rows, without error."""
    before: Rows | None = field(init=False)
    """The old audit's rows that are in both; ``after`` the new one's, line by line the same."""
    after: Rows | None = field(init=False)

    def __post_init__(self) -> None:
        pairs = self.pairs
        cut = pairs.any and pairs.old is not None and pairs.new is not None
        object.__setattr__(self, "before", pairs.old.at(pairs.old_places) if cut and pairs.old else None)
        object.__setattr__(self, "after", pairs.new.at(pairs.new_places) if cut and pairs.new else None)

    @property
    def over_all(self) -> tuple[Rows, Rows]:
        """The pairs that stand for all rows: some are left out where the few rows in one audit alone must stay hidden.

        Rows are in the order of their digests, which says nothing of them.
        """
        assert self.before is not None
        assert self.after is not None
        used = slice(self.pairs.left_out, None)
        return self.before.at(used), self.after.at(used)

    @property
    def confidences(self) -> tuple[float, float]:
        """The level of ``low`` and ``high`` in the old and in the new audit."""
        old, new = (float(made.spec.get("run", {}).get("confidence", 0.95)) for made in (self.old, self.new))
        return old, new

    def label(self, number: Number, key: Mapping[str, str]) -> str:
        """The class that a number is about."""
        if CLASS in key:
            return key[CLASS]
        about = self.new.subject
        index, classes = about.get(number.of or "positive"), about.get("classes") or ()
        return str(classes[index]) if classes and isinstance(index, int) and index < len(classes) else ""


def same_answers(old: Side, new: Side, pairs: Pairs) -> bool:
    """Whether one and the same model gave the same answers to the rows that both audits hold."""
    if not pairs.any or pairs.old is None or pairs.new is None:
        return False
    a, b = (made.subject.get("model") or {} for made in (old, new))
    if a.get("sha256") != b.get("sha256") or "http" in {a.get("format"), b.get("format")}:
        return False
    if not a.get("sha256") and not pairs.matched.same:
        return False  # predictions alone: only the very same table is the same answers of the same model
    if any(
        old.subject.get(key) != new.subject.get(key)
        for key in ("threshold", "positive", "favourable", "classes")
    ):
        return False
    before, after = pairs.old.at(pairs.old_places), pairs.new.at(pairs.new_places)
    tables = [(before.prediction, after.prediction), (before.target, after.target)]
    tables += [(values, after.scores.get(label)) for label, values in before.scores.items()]
    return before.scores.keys() == after.scores.keys() and all(
        (one is None and other is None) or (one is not None and other is not None and _equal(one, other))
        for one, other in tables
    )


def _equal(one: NDArray[Any], other: NDArray[Any]) -> bool:
    if one.dtype.kind == "f":
        return bool(np.array_equal(one, other, equal_nan=True))
    return bool(np.array_equal(one, other))


def changes(both: Both) -> tuple[list[Change], list[str]]:
    """Every number that both audits measured, and what could not be compared, with the reason."""
    found: list[Change] = []
    left: list[str] = []
    before = {piece.id: piece for piece in both.old.evidence}
    names = dict.fromkeys([*(piece.id for piece in both.new.evidence), *before])
    after = {piece.id: piece for piece in both.new.evidence}
    for name in names:
        old, new = before.get(name), after.get(name)
        one = new or old
        assert one is not None
        if one.kind == "record" or one.method == CHANGE:  # a comparison is not compared again
            continue
        if old is None or new is None:
            left.append(f"{name}: the {'old' if old is None else 'new'} audit did not look at it")
        elif old.method != new.method:
            left.append(f"{name}: {old.method} before, {new.method} now")
        elif old.status != "measured" or new.status != "measured":
            lacking = old if old.status != "measured" else new
            left.append(
                f"{name}: {lacking.status} in the {'old' if lacking is old else 'new'} audit, {lacking.reason}"
            )
        elif isinstance(old.observation, Scalar) and isinstance(new.observation, Scalar):
            estimates_ = (old.observation.estimate, new.observation.estimate)
            found.append(number(both, new, *estimates_, {}, "overall", ()))
        elif isinstance(old.observation, Groups) and isinstance(new.observation, Groups):
            found += _grouped(both, new, old.observation, new.observation)
        elif one.kind == "metric":
            left.append(
                f"{name}: a {new.observation.shape if new.observation else 'table'}, which is not one number"
            )
    return found, left


def number(
    both: Both,
    piece: Evidence,
    old: Estimate,
    new: Estimate,
    key: Mapping[str, str],
    part: Literal["overall", "group"],
    by: tuple[str, ...],
    *,
    stored: bool = False,
) -> Change:
    """One number's change: paired where the rows are the same, else from what both audits tell of it."""
    bare = Change(
        evidence=piece.id, method=piece.method, kind=piece.kind, title=piece.title, part=part, key=dict(key), by=by,
        better=cast("Better", measures.better(piece.method) if piece.id.partition("/")[2] == "" or by else "none"),
        old=estimates.shown(old), new=estimates.shown(new),
    )  # fmt: skip
    told = partial(bare.model_copy)
    measure = _measure(piece.method, key) if "/" not in piece.id or by else None
    reason = None
    if measure is not None and both.pairs.any:
        cell = _cell(both, measure, key, old, new)
        if isinstance(cell, str):
            reason = cell
        else:
            before, after = cell
            label = both.label(measure, key)
            if both.same:
                return told(update={"change": exactly(0, measure.counted(after, label)), "how": "same"})
            try:
                levels = estimates.levels(both.confidence) if stored else (both.confidence,)
                moved = measure.change(before, after, label, levels)
                change = estimates.made(moved, measure.counted(after, label))
                return told(update={"change": change, "how": "paired"})
            except UndefinedError as error:
                reason = str(error)
    elif measure is None and both.pairs.any:
        reason = "no paired interval is known for it"
    elif not both.pairs.any:
        reason = both.pairs.matched.reason
    apart = estimates.difference(old, new, both.confidences, both.confidence, stored=stored)
    if apart is None and stored:
        apart = estimates.difference(old, new, both.confidences, both.confidence)
    if apart is None:
        return told(update={"reason": "the audits tell their intervals at different levels"})
    return told(update={"change": apart, "how": "unpaired", "reason": reason})


def _measure(method: str, key: Mapping[str, str]) -> Number | None:
    return NUMBERS.get(method) or NUMBERS.get(COMPARED.get(key.get(RATE, method), ""))


def _cell(
    both: Both, measure: Number, key: Mapping[str, str], old: Estimate, new: Estimate
) -> tuple[Rows, Rows] | str:
    """The same rows of one group in both audits, or why they are not compared pair by pair."""
    pairs = both.pairs
    assert both.before is not None
    assert both.after is not None
    assert pairs.old is not None
    assert pairs.new is not None
    where = {column: value for column, value in key.items() if column not in (CLASS, RATE)}
    label = both.label(measure, key)
    masks = []
    for rows, estimate in ((pairs.old, old), (pairs.new, new)):
        mask = rows.inside(where)
        reason = (
            "the rows of this group are not kept"
            if mask is None
            else _unlike(measure, rows.at(mask), label, estimate)
        )
        if mask is None or reason:
            return reason
        masks.append(mask)
    inside = both.before.inside(where), both.after.inside(where)
    assert inside[0] is not None
    assert inside[1] is not None
    mine = inside[0] & inside[1]
    n = int(np.count_nonzero(mine))
    if not where:
        return both.over_all
    alone = [int(np.count_nonzero(mask)) - n for mask in masks]
    if n < max(both.min_cell, 1) or any(0 < left < both.min_cell for left in alone):
        return f"fewer than {both.min_cell} people of it are in both audits, or in one alone"
    if n < ENOUGH * min(int(np.count_nonzero(mask)) for mask in masks):
        return "too few people of it are in both audits"
    return both.before.at(mine), both.after.at(mine)


def _unlike(measure: Number, rows: Rows, label: str, estimate: Estimate) -> str:
    """Why the rows kept do not stand for an audit's number; empty where they give it again."""
    try:
        value = measure.value(rows, label)
    except UndefinedError as error:
        return str(error)
    same = math.isclose(value, estimate.value, rel_tol=1e-9, abs_tol=1e-12)
    return "" if same else "the rows kept do not give the number that the audit tells"


def _grouped(both: Both, piece: Evidence, old: Groups, new: Groups) -> Iterator[Change]:
    before = {tuple(sorted(group.key.items())): group for group in old.groups}
    overall = new.by == (CLASS,)
    cells: list[tuple[Group, Group, Change]] = []
    for group in new.groups:
        other = before.get(tuple(sorted(group.key.items())))
        if other is None or other.estimate is None or group.estimate is None:
            continue  # a group that is new, gone or without a number; sizes tell which
        part: Literal["overall", "group"] = "overall" if overall else "group"
        change = number(both, piece, other.estimate, group.estimate, group.key, part, new.by)
        cells.append((other, group, change))
        yield change
    if old.summary is None or new.summary is None:
        return
    for which in ("difference", "ratio"):
        a, b = getattr(old.summary, which), getattr(new.summary, which)
        if a is not None and b is not None:
            yield _gap(both, piece, old, new, cells, "gap" if which == "difference" else "ratio", (a, b))


def _gap(
    both: Both,
    piece: Evidence,
    old: Groups,
    new: Groups,
    cells: list[tuple[Group, Group, Change]],
    part: Literal["gap", "ratio"],
    values: tuple[Estimate, Estimate],
) -> Change:
    """The change of the widest gap, or of the smallest ratio, between groups."""
    a, b = values
    bare = Change(
        evidence=piece.id, method=piece.method, kind=piece.kind, title=piece.title, part=part, by=new.by,
        better="lower" if part == "gap" else "higher", old=estimates.shown(a), new=estimates.shown(b),
    )  # fmt: skip
    compared = [
        [_key(group) for group in table.groups if group.status == "measured" and not group.missing]
        for table in (old, new)
    ]
    mine = [cell for cell in cells if cell[1].status == "measured" and not cell[1].missing]
    reason = both.pairs.matched.reason
    if both.pairs.any:
        reason = "no paired interval is known for it"
        if sorted(compared[0]) != sorted(compared[1]) or len(mine) != len(compared[0]):
            reason = "not the same groups were compared"
        elif both.same:
            return bare.model_copy(update={"change": exactly(0, b.n), "how": "same"})
        elif all(change.how == "paired" for _, _, change in mine):
            try:
                moved = _moved(both, piece, [group.key for _, group, _ in mine], part)
            except UndefinedError:
                moved = None
            whole = both.pairs.matched.same
            if moved is not None and (not whole or math.isclose(moved[0], b.value - a.value, abs_tol=1e-9)):
                n = sum(change.change.n for _, _, change in mine if change.change)
                return bare.model_copy(update={"change": estimates.made(moved, n), "how": "paired"})
    apart = estimates.difference(a, b, both.confidences, both.confidence)
    if apart is None:
        return bare.model_copy(update={"reason": "the audits tell their intervals at different levels"})
    return bare.model_copy(update={"change": apart, "how": "unpaired", "reason": reason})


def _key(group: Group) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(group.key.items()))


def _moved(both: Both, piece: Evidence, keys: list[dict[str, str]], part: str) -> Measured | None:
    groups = []
    for key in keys:
        measure = _measure(piece.method, key)
        if measure is None or both.before is None or both.after is None:
            return None
        where = {column: value for column, value in key.items() if column not in (CLASS, RATE)}
        label = both.label(measure, key)
        inside = both.before.inside(where), both.after.inside(where)
        if inside[0] is None or inside[1] is None:
            return None
        mine = inside[0] & inside[1]
        before, after = both.before.at(mine), both.after.at(mine)
        cells = measures.shared_cells(piece.method, before, after, label) if part == "ratio" else None
        if part == "ratio" and cells is None:
            return None
        groups.append(
            GroupChange(
                family=f"{key.get(CLASS, '')}/{key.get(RATE, '')}",
                old=measure.value(before, label),
                new=measure.value(after, label),
                old_at=_once(partial(measure.at, before, label)),
                new_at=_once(partial(measure.at, after, label)),
                change_at=_once(partial(_limits, measure, before, after, label)),
                cells=cells,
            )
        )
    try:
        return (gap_change if part == "gap" else smallest_ratio_change)(groups, (both.confidence,))
    except ValueError:
        return None


def _once(at: Callable[[tuple[float, ...]], list[Interval]]) -> Callable[[Sequence[float]], list[Interval]]:
    """The same, computed once for each list of levels: a group is compared with many others."""
    kept = cache(at)
    return lambda levels: kept(tuple(levels))


def _limits(
    measure: Number, before: Rows, after: Rows, label: str, levels: tuple[float, ...]
) -> list[Interval]:
    return measure.change(before, after, label, levels)[1]

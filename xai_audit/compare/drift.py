"""Whether the data and the answers are still the same as a whole: columns, groups, labels, scores, decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit import intervals as iv
from xai_audit import intervals_paired as paired
from xai_audit.compare import estimates
from xai_audit.comparison import Drift, GroupSize
from xai_audit.evidence import exactly

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from xai_audit.compare.changes import Both, Side
    from xai_audit.compare.rows import Rows


def columns(old: Side, new: Side) -> Iterator[Drift]:
    """Columns that came, went or are of another kind."""
    before, after = ({c["name"]: _kind(c) for c in made.subject.get("columns") or ()} for made in (old, new))
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield Drift(what=f"column {name}", kind="column", old=before.get(name), new=after.get(name))


def _kind(column: Mapping[str, Any]) -> str:
    levels = column.get("levels") or 0
    return f"{column.get('kind')}, {levels} levels" if levels else str(column.get("kind"))


def groups(old: Side, new: Side) -> Iterator[GroupSize]:
    """Every group of the sensitive columns with its rows before and after."""
    before, after = _sizes(old), _sizes(new)
    for column, label in sorted({*before, *after}):
        kind = "kept" if (column, label) in before and (column, label) in after else "new"
        yield GroupSize(
            column=column,
            group=label,
            kind="gone" if (column, label) not in after else "new" if kind == "new" else "kept",
            old=before.get((column, label)),
            new=after.get((column, label)),
        )


def _sizes(made: Side) -> dict[tuple[str, str], int | None]:
    return {
        (entry["columns"][0], label): count
        for entry in made.subject.get("groupings") or ()
        if len(entry["columns"]) == 1
        for label, count in zip(entry["labels"], entry["counts"], strict=True)
    }


def shifts(both: Both) -> Iterator[Drift]:
    """Shares of groups, labels and answers, and how scores lie; between the same rows, what was decided otherwise."""
    old, new = both.pairs.old, both.pairs.new
    yield from _group_shares(both)
    if old is None or new is None:
        return
    if not both.pairs.matched.same:
        yield from _label_shares(both, old, new)
    yield from _answers(both, old, new)


def _group_shares(both: Both) -> Iterator[Drift]:
    """The share of each group that may be shown, where the rows are not the same."""
    if both.pairs.matched.same:
        return
    before, after = _sizes(both.old), _sizes(both.new)
    totals = [
        ((made.subject.get("data") or {}).get("test") or {}).get("rows") for made in (both.old, both.new)
    ]
    if not totals[0] or not totals[1]:
        return
    for column, label in sorted(before.keys() & after.keys()):
        a, b = before[column, label], after[column, label]
        if a is not None and b is not None and a <= totals[0] and b <= totals[1]:
            yield _share(both, f"share of {column} {label}", (a, totals[0]), (b, totals[1]))


def _share(both: Both, what: str, old: tuple[int, int], new: tuple[int, int]) -> Drift:
    (x, m), (y, n) = old, new
    limits = iv.rate_difference(y, n, x, m, (both.confidence,))
    change = estimates.made((y / n - x / m, limits), min(m, n))
    p = iv.difference_p(y, n, x, m)
    return Drift(
        what=what,
        kind="share",
        old=f"{x / m:.4g}",
        new=f"{y / n:.4g}",
        change=change,
        p=p,
        test="score test",
        n_old=m,
        n_new=n,
    )


def _label_shares(both: Both, old: Rows, new: Rows) -> Iterator[Drift]:
    if old.target is None or new.target is None:
        return
    if new.task == "regression":
        yield from _distribution(old.target[old.known], new.target[new.known], "target")
        return
    m, n = int(old.known.sum()), int(new.known.sum())
    if not m or not n:
        return
    labels = _shown(new.classes, [both.new.subject.get("positive")])
    for label in labels:
        a, b = (int(np.count_nonzero(rows.target == label)) for rows in (old, new))
        if min(a, b, m - a, n - b) >= both.min_cell:
            yield _share(both, f"share of label {label}", (a, m), (b, n))


def _shown(classes: tuple[str, ...], positive: list[Any]) -> tuple[str, ...]:
    """The positive class of two, else every class."""
    index = positive[0]
    if len(classes) == 2 and isinstance(index, int) and 0 <= index < 2:
        return (classes[index],)
    return classes


def _answers(both: Both, old: Rows, new: Rows) -> Iterator[Drift]:
    if old.task != new.task:
        return
    if both.pairs.any:
        yield from _decided(both, *both.over_all)
    elif new.task == "classification" and old.prediction is not None and new.prediction is not None:
        for label in _shown(new.classes, [both.new.subject.get("positive")]):
            a, b = (int(np.count_nonzero(rows.prediction == label)) for rows in (old, new))
            if min(a, b, len(old) - a, len(new) - b) >= both.min_cell:
                yield _share(both, f"share predicted {label}", (a, len(old)), (b, len(new)))
    if both.pairs.matched.same:
        return
    if new.task == "regression" and old.prediction is not None and new.prediction is not None:
        yield from _distribution(old.prediction, new.prediction, "prediction")
    else:
        for label in _shown(new.classes, [both.new.subject.get("positive")]):
            if label in old.scores and label in new.scores:
                yield from _distribution(old.scores[label], new.scores[label], f"score of {label}")


def _decided(both: Both, before: Rows, after: Rows) -> Iterator[Drift]:
    """Of the same rows: how many are decided otherwise, and how far the scores moved."""
    n = len(after)
    if after.task == "classification" and before.prediction is not None and after.prediction is not None:
        moved = int(np.count_nonzero(before.prediction != after.prediction))
        share = (
            exactly(0, n)
            if both.same
            else estimates.made((moved / n, iv.rate(moved, n, (both.confidence,))), n)
        )
        yield Drift(what="rows decided otherwise", kind="decisions", change=share, n_old=n, n_new=n)
    tables = [
        (f"score of {label}", before.scores.get(label), after.scores.get(label))
        for label in _shown(after.classes, [both.new.subject.get("positive")])
    ]
    if after.task == "regression":
        tables = [("prediction", before.prediction, after.prediction)]
    for what, a, b in tables:
        if a is not None and b is not None:
            change = (
                exactly(0, n)
                if both.same
                else estimates.made(paired.mean_change(a, b, (both.confidence,)), n)
            )
            yield Drift(what=f"mean {what}, same rows", kind="mean", change=change, n_old=n, n_new=n)


def _distribution(old: Any, new: Any, what: str) -> Iterator[Drift]:
    """Kolmogorov and Smirnov's distance of two samples, with the p of its test as of different rows."""
    from scipy.stats import ks_2samp

    a, b = np.asarray(old, dtype=float), np.asarray(new, dtype=float)
    a, b = a[np.isfinite(a)], b[np.isfinite(b)]
    if len(a) and len(b):
        found = ks_2samp(a, b, method="asymp")
        yield Drift(
            what=f"distribution of {what}", kind="distribution", change=exactly(float(found.statistic), min(len(a), len(b))),
            p=float(min(max(found.pvalue, 0.0), 1.0)), test="Kolmogorov-Smirnov", n_old=len(a), n_new=len(b),
        )  # fmt: skip

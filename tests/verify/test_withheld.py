"""Which groups verifying takes to be withheld: the rule of earlier audits in known cells, the shared one fed from rows."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from tests.metrics.subjects import classifier, crossing, grouping
from xai_audit.subject import Subject
from xai_audit.verify import withheld
from xai_audit.verify.table import Grouping, Table


def random_subject(seed: int) -> Subject:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(30, 120))
    names = ("x", "y", "z")[: 3 if seed % 4 == 0 else 2]
    classes = ("1", "2", "3")[: 3 if seed % 4 == 1 else 2]
    singles = [
        replace(
            grouping(name, rng.choice(list("abcdef")[: rng.integers(2, 6)], n).tolist()),
            explanatory=bool(rng.random() < 0.4),
        )
        for name in names
    ]
    pairs = [crossing(one, other) for one, other in pairwise(singles)]
    some = pairs[: int(rng.integers(0, len(pairs) + 1))]
    true = np.where(rng.random(n) < 0.05, -1, rng.integers(0, len(classes), n))
    return classifier(
        true.tolist(), rng.integers(0, len(classes), n).tolist(), [*singles, *some], classes=classes
    )


def of_rows(subject: Subject, *, linked: bool = True) -> Table:
    """What verifying reads of a subject's rows."""
    groupings = tuple(
        Grouping(
            one.columns,
            tuple(dict(key) for key in one.keys),
            np.asarray(one.codes),
            one.missing,
            one.explanatory,
        )
        for one in subject.groupings
    )
    assert subject.prediction is not None
    return Table(
        n=subject.test.n,
        target=subject.test.target,
        prediction=subject.prediction,
        scores=None,
        groupings=groupings,
        valid=np.ones(subject.test.n, dtype=bool),
        classes=tuple(map(str, subject.classes)),
        linked=linked,
    )


def test_it_withholds_what_was_withheld() -> None:
    several = beyond = 0
    for seed in range(12):
        subject = random_subject(seed)
        rows, alone = of_rows(subject), of_rows(subject, linked=False)
        for theirs, mine in zip(subject.groupings, rows.groupings, strict=True):
            hidden = subject.hidden(theirs, 10)
            assert rows.withheld(mine) == hidden
            several += len(set(hidden)) == 3
            beyond += hidden != alone.withheld(mine)
    assert several > 3  # tables that show some, hide some, and withhold some beside them
    assert (
        beyond > 3
    )  # what earlier audits withheld is something else: saying nothing of the rule does not pass


def test_earlier_audits_looked_at_each_table_by_itself() -> None:
    assert withheld.apart([{"a": "1"}, {"a": "2"}], [10, 11], 10) == ["", ""]
    assert withheld.apart([{"a": "1"}, {"a": "2"}, {"a": "3"}], [3, 11, 12], 10) == ["n < 10", "withheld", ""]
    assert withheld.apart([], [], 10) == []
    square = [{"a": a, "b": b} for a in "12" for b in "12"]
    # Each row and each column of a table has its own sum.
    assert withheld.apart(square, [3, 40, 50, 60], 10) == ["n < 10", "withheld", "withheld", "withheld"]
    wide = [{"a": a, "b": b} for a in "123" for b in "123"]
    assert withheld.apart(wide, [3, 40, 50, 60, 20, 30, 70, 80, 90], 10) == [
        *["n < 10", "withheld", ""], *["withheld", "withheld", ""], *["", "", ""],
    ]  # fmt: skip


def test_a_lone_cell_of_a_line_takes_the_next_smallest_with_it() -> None:
    assert withheld.in_line([0, 30, 4, 20], 10) == [False, False, True, True]
    assert withheld.in_line([0, 30, 40], 10) == [False, False, False]
    assert withheld.in_line([0, 0], 10) == [False, False]

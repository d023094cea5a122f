"""The support set and the rule it gives: real examples of each class, and the class of the nearest one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from xai_audit import digest
from xai_audit.errors import MethodError, UnmetNeedError
from xai_audit.mechanistic import medoids

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.method import Context
    from xai_audit.subject import Rows, Subject

Select = Literal["medoids", "mmd_critic"]
HELD_OUT = 5
"""One support row of each class in so many is held out: coverage is judged by those that chose no prototype."""


@dataclass(frozen=True, eq=False)
class Support:
    """Examples with a class, and the test rows that are compared with them."""

    table: Rows
    rows: NDArray[np.int64]
    """Of the table, in row order."""
    labels: NDArray[np.int64]
    """The class of each row."""
    held: NDArray[np.bool_]
    """Which rows choose no prototype and set the radius."""
    queries: NDArray[np.int64]
    """Test rows compared, in row order."""
    source: Literal["train", "test"]
    classed: Literal["labels", "predictions"]
    available: int
    """Rows of the table that have a class."""

    def said(self) -> list[str]:
        """What a reader must know of where the examples come from."""
        found = []
        if self.source == "test":
            found.append(
                "there are no labelled training rows: one half of the test rows supports, the other is asked"
            )
        if self.classed == "predictions":
            found.append("there are no labels: the classes of the examples are the model's own predictions")
        if len(self.rows) < self.available:
            found.append(
                f"{len(self.rows)} of {self.available} examples are used: the smallest sha256 of seed and row content"
            )
        return found


def support(subject: Subject, asked: NDArray[np.int64], most: int | None, context: Context) -> Support:
    """Training rows with labels; where there are none, half of the test rows, by the content of the rows.

    ``asked`` are the test rows to be compared, ``most`` the largest number of examples. MethodError where fewer than
    two classes have examples.
    """
    train = subject.train
    if train is not None and train.target is not None and (train.target >= 0).any():
        usable, labels = np.nonzero(train.target >= 0)[0], train.target
        return _made(context, train, usable, labels, asked, most, "train", "labels")
    test = subject.test
    if test.target is not None and (test.target >= 0).any():
        labels, classed = test.target, "labels"
    elif subject.prediction is not None:
        labels, classed = np.asarray(subject.prediction), "predictions"
    else:
        raise UnmetNeedError("it needs labels or predictions for the classes of its examples")
    salt = f"{context.seed}:half"
    half = np.array(
        [int(digest.of_bytes(f"{salt}:{test.seed(row)}".encode()), 16) % 2 == 0 for row in range(test.n)],
        dtype=bool,
    )
    usable = np.nonzero(half & (labels >= 0))[0]
    return _made(
        context, test, usable, labels, asked[~half[asked]], most, "test",
        "labels" if classed == "labels" else "predictions",
    )  # fmt: skip


def _made(
    context: Context,
    table: Rows,
    usable: NDArray[np.int64],
    labels: NDArray[Any],
    queries: NDArray[np.int64],
    most: int | None,
    source: Literal["train", "test"],
    classed: Literal["labels", "predictions"],
) -> Support:
    # By content, as every sample: the order of a file's rows has no say.
    rank = _by_content(table, context.seed)
    rows = np.sort(usable[np.argsort(rank[usable])][:most])
    found = np.asarray(labels[rows], dtype=np.int64)
    if len(np.unique(found)) < 2:
        raise MethodError("prototypes need examples of at least two classes")
    if not len(queries):
        raise MethodError("there are no test rows to compare")
    held = np.zeros(len(rows), dtype=bool)
    for one in np.unique(found):
        mine = np.nonzero(found == one)[0]
        held[mine[np.argsort(rank[rows[mine]])][HELD_OUT - 1 :: HELD_OUT]] = True
    return Support(table, rows, found, held, queries, source, classed, len(usable))


def _by_content(table: Rows, seed: int) -> NDArray[np.int64]:
    """The rank of each row by the sha256 of seed and content."""
    keys = [digest.of_bytes(f"{seed}:support:{table.seed(row)}".encode()) for row in range(table.n)]
    rank = np.empty(table.n, dtype=np.int64)
    rank[np.argsort(np.asarray(keys), kind="stable")] = np.arange(table.n)
    return rank


@dataclass(frozen=True, eq=False)
class Rule:
    """Prototypes and class means of one embedding."""

    places: NDArray[np.int64]
    """Of the prototypes, in the support; class by class, in the order chosen."""
    classes: NDArray[np.int64]
    """The class of each prototype."""
    points: NDArray[np.float64]
    """(prototypes, d)."""
    means: NDArray[np.float64]
    """(classes with examples, d)."""
    mean_classes: NDArray[np.int64]
    how: tuple[str, ...]
    """How each class's prototypes were chosen."""
    objectives: tuple[float, ...]

    @classmethod
    def chosen(cls, embedded: NDArray[np.float32], labels: NDArray[np.int64], k: int, select: Select) -> Rule:
        """K prototypes of each class among these rows, all where a class has fewer."""
        places, classes, means, how, objectives = [], [], [], [], []
        distinct = np.unique(labels)
        for one in distinct:
            mine = np.nonzero(labels == one)[0]
            pick = medoids.medoids if select == "medoids" else medoids.mmd_critic
            found = pick(embedded[mine], min(k, len(mine)))
            places.append(mine[found.rows])
            classes.append(np.full(len(found.rows), one))
            means.append([math.fsum(column) / len(mine) for column in embedded[mine].T.tolist()])
            how.append(found.how)
            objectives.append(found.objective)
        where = np.concatenate(places)
        return cls(
            where,
            np.concatenate(classes),
            embedded[where].astype(np.float64),
            np.asarray(means),
            distinct,
            tuple(how),
            tuple(objectives),
        )

    def nearest(self, embedded: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The nearest prototype of each row and its distance."""
        index, squares = medoids.nearest(embedded, self.points, 1)
        return index[:, 0], np.sqrt(squares[:, 0])

    def says(self, embedded: NDArray[np.float32]) -> NDArray[np.int64]:
        """The class of the nearest prototype."""
        return self.classes[self.nearest(embedded)[0]]

    def few_shot(self, embedded: NDArray[np.float32]) -> NDArray[np.int64]:
        """The class of the nearest class mean: the rule of a prototypical network."""
        return self.mean_classes[medoids.nearest(embedded, self.means, 1)[0][:, 0]]

    def margins(self, embedded: NDArray[np.float32]) -> NDArray[np.float64]:
        """Distance to the nearest prototype of another class less that to the nearest of all."""
        by = medoids.by_class(embedded, self.points, self.classes, int(self.classes.max()) + 1, 1)
        ordered = np.sort(by, axis=1)
        return np.asarray(ordered[:, 1] - ordered[:, 0])


@dataclass(frozen=True, eq=False)
class Suspicion:
    """For each support row, which other class its neighbourhood speaks for, and how much."""

    share: NDArray[np.float64]
    """(rows, classes): d_own / (d_own + d_class), each the mean distance to the nearest examples of a class."""
    other: NDArray[np.int64]
    """The class other than its own that lies nearest."""
    value: NDArray[np.float64]
    """Its share; above one half the row lies nearer to examples of that class than to those of its own."""

    @property
    def suspect(self) -> NDArray[np.bool_]:
        """Rows whose neighbourhood says another class."""
        return self.value > 0.5

    @classmethod
    def of(
        cls, embedded: NDArray[np.float32], labels: NDArray[np.int64], classes: int, neighbours: int
    ) -> Suspicion:
        """Of rows among themselves, each left out of its own neighbourhood; 0 for the only row of a class."""
        by = medoids.by_class(embedded, embedded, labels, classes, neighbours, themselves=True)
        rows = np.arange(len(labels))
        own = by[rows, labels]
        alone = ~np.isfinite(own)
        total = own[:, None] + by
        share = np.where(np.isfinite(total) & (total > 0), own[:, None] / np.where(total > 0, total, 1), 0.5)
        share[~np.isfinite(by)] = 0
        share[rows, labels] = 0
        share[alone] = 0
        other = np.argmax(share, axis=1)
        return cls(share, other, share[rows, other])


def purity(
    embedded: NDArray[np.float32], labels: NDArray[np.int64], rule: Rule, neighbours: int
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Whether each of a prototype's nearest examples, itself apart, has its class; and whose neighbours they are.

    Both (prototypes, neighbours): the second holds each prototype's place in the rule.
    """
    index, _ = medoids.nearest(embedded[rule.places], embedded, min(neighbours + 1, len(embedded)))
    kept = np.empty((len(rule.places), index.shape[1] - 1), dtype=np.int64)
    for place, (row, found) in enumerate(zip(rule.places, index, strict=True)):
        # Its own place may be missing where more copies of it exist than neighbours are asked for.
        others = found[found != row][: kept.shape[1]]
        kept[place] = others
    same = labels[kept] == rule.classes[:, None]
    return same, np.repeat(np.arange(len(kept))[:, None], kept.shape[1], axis=1)

"""The model and the data in memory: what methods look at, never written as it is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol
from weakref import WeakKeyDictionary

import numpy as np

from xai_audit.withholding import Withholding, withhold

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from numpy.typing import NDArray

    from xai_audit.mechanistic.dictionaries.dictionary import Dictionary
    from xai_audit.mechanistic.dynamics.checkpoints import Checkpoint
    from xai_audit.mechanistic.network import Network

BLOCK = 256
"""Rows in every call of a model. A fixed, padded block gives the same bits wherever a row stands."""

ColumnKind = Literal["numeric", "categorical", "boolean", "date", "image", "text"]
Modality = Literal["table", "image", "text"]
"""What a row is for the model: cells of a table, one picture, or one text."""


@dataclass(frozen=True)
class Column:
    """A feature in the user's own terms."""

    name: str
    kind: ColumnKind
    levels: tuple[str, ...] = ()
    """Levels of a categorical column seen in any table, as words (``1`` for 1 and 1.0), in natural order.

    The frame holds a numeric column that is declared categorical as the numbers it is.
    """


class Model(Protocol):
    """One way to ask a model for its scores; a file of loaders/ for each format.

    An adapter can be pickled for worker processes (one that holds a session reopens it from its path) and
    runs one thread: an ensemble's own ``n_jobs`` is set to 1 when it is loaded.
    """

    format: str
    sha256: str
    classes: tuple[Any, ...] | None
    """Class labels in the order of the score columns; None for regression and for scores of one column."""
    probabilities: bool
    """Whether the scores are probabilities that add up to one."""
    features: tuple[str, ...] | None
    """Column names the model was fitted on, where it knows them."""
    details: Mapping[str, Any]
    """What can be said of it: type, parameters, trees, depth, library versions."""
    native: Any
    """The library's own object, for engines that read its structure; None where there is none."""

    @property
    def network(self) -> Network | None:
        """A torch module that can be looked into and changed; None for every other model."""
        ...

    def scores(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Scores of shape (rows, classes), or (rows, 1) for regression and bare scores."""
        ...

    def margin(self, frame: pd.DataFrame) -> NDArray[np.float64] | None:
        """Raw scores before the link, (rows, classes), ``[-m, m]`` for two, or (rows, 1); None without any."""
        ...


@dataclass(frozen=True, eq=False)
class Pairs:
    """What each row of a set of prompts, which is its clean side, is held against."""

    corrupted: pd.DataFrame
    """In the columns and types of ``Rows.frame``."""
    answer: NDArray[np.int64] | None = None
    """Class index of each row; None where the file names none."""
    foil: NDArray[np.int64] | None = None
    template: NDArray[np.int64] | None = None
    """Which of ``templates`` each row has, -1 for none; None where the file names none."""
    templates: Mapping[str, int] = field(default_factory=dict)
    """Names in order, and how many distinct clean sides have each."""


@dataclass(frozen=True, eq=False)
class Rows:
    """One table, its rows ordered by content digest so that a file's row order never matters."""

    frame: pd.DataFrame
    """The features alone, in the user's columns and types, indexed 0 to n-1.

    Numbers are int64, or float64 with NaN; booleans bool, or float64 where some are missing; dates float64 days
    since 1970-01-01 (the adapter hands them on as the model takes them); text is str, or NaN, of dtype object.
    Pictures and texts are one object column, named as the spec names it (``image``, or the text column): each cell
    a uint8 array of shape (height, width, channels), or a str.
    """
    digests: NDArray[np.bytes_]
    """32 bytes for each row, over all its cells (columns in alphabetical order), of dtype S32."""
    occurrence: NDArray[np.int64]
    """0 for the first of equal rows, 1 for the second, and so on."""
    target: NDArray[Any] | None
    """Class indices (int64, -1 for a missing or unknown label) or numbers (float64, NaN for missing)."""
    ids: NDArray[np.object_] | None = None
    weights: NDArray[np.float64] | None = None
    clusters: NDArray[np.int64] | None = None
    sha256: str = ""
    """Digest of the file, or of the content for tables without a file."""
    path: str = ""
    side: pd.DataFrame | None = None
    """Every other column of the table as it was read, in the rows' order: what predicates on metadata ask."""
    pairs: Pairs | None = None
    """Of a set of prompts, the other side of each row."""

    @property
    def n(self) -> int:
        """How many rows there are."""
        return len(self.digests)

    def seed(self, row: int) -> str:
        """What a row's random draws are seeded by: its content and its occurrence among equal rows."""
        return f"{bytes(self.digests[row]).hex().ljust(64, '0')}:{int(self.occurrence[row])}"


@dataclass(frozen=True, eq=False)
class Grouping:
    """Which group each test row is in, by one sensitive column or a crossing."""

    columns: tuple[str, ...]
    keys: tuple[dict[str, str], ...]
    codes: NDArray[np.int64]
    """Index into keys for each test row."""
    missing: tuple[bool, ...]
    """Whether a key holds a missing value."""
    special_category: bool = False
    explanatory: bool = False
    """Whether groups are compared within it and not by it."""

    def labels(self) -> tuple[str, ...]:
        """A printable name for each group."""
        return tuple(", ".join(key[column] for column in self.columns) for key in self.keys)


@dataclass(frozen=True, eq=False)
class SavedDictionary:
    """A sparse dictionary that the spec names for a site, as it was read."""

    site: str
    path: str
    """As the spec names it."""
    sha256: str
    dictionary: Dictionary


@dataclass(frozen=True, eq=False)
class Subject:
    """All that methods may look at."""

    model: Model | None
    """None for ``format: predictions``."""
    task: Literal["classification", "regression"]
    columns: tuple[Column, ...]
    test: Rows
    train: Rows | None = None
    modality: Modality = "table"
    sets: Mapping[str, Rows] = field(default_factory=dict)
    """Named examples beside the data (``data.sets``): concepts, pools, corpora; frames as those of ``test``."""
    checkpoints: Mapping[str, tuple[Checkpoint, ...]] = field(default_factory=dict)
    """Other weights of the same network (``model.checkpoints``) in the order of numbers, by name; "" for the only one."""
    dictionaries: tuple[SavedDictionary, ...] = ()
    """Sparse dictionaries that methods are asked to read and not to train, in the order of sites and paths."""
    classes: tuple[Any, ...] = ()
    """Class labels; predictions and targets are indices into it."""
    positive: int = 1
    """Index of the class that rates are about."""
    favourable: int = 1
    """Index of the outcome good for the person."""
    threshold: float = 0.5
    groupings: tuple[Grouping, ...] = ()
    """The sensitive columns in the spec's order, then the crossings."""
    scores: NDArray[np.float64] | None = None
    """Of the test rows: (rows, classes), or (rows, 1) for regression and bare scores; None if only decisions are known."""
    prediction: NDArray[Any] | None = None
    """Of the test rows: class indices, or numbers for regression."""
    probabilities: bool = True
    """Whether scores lie in [0, 1] and may be read as probabilities."""
    sensitive_inputs: tuple[str, ...] = ()
    """Sensitive columns that are model inputs."""
    notes: tuple[str, ...] = ()
    """What loading changed or noticed; printed in the report."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Counts found when loading, read by the record checks.

    train_test_overlap {count, rows, columns} or None, duplicate_rows {test, train}, leak [{column, role, by}],
    artefact {code_carrying, globals, suspicious}, invalid_labels {count, examples, rows, train}, missing
    {column: {count, rows}}, unseen_levels [{column, rows, count, levels}], base_rates {table: {label: rows}}.
    """
    in_training: NDArray[np.bool_] | None = None
    """Whether each test row stands in the training data too; None where the tables could not be compared."""

    @property
    def binary(self) -> bool:
        """Whether there are exactly two classes."""
        return self.task == "classification" and len(self.classes) == 2

    def grouping(self, *columns: str) -> Grouping:
        """The grouping by these columns."""
        for grouping in self.groupings:
            if set(grouping.columns) == set(columns):
                return grouping
        raise KeyError(columns)

    def withholding(self, minimum: int) -> Withholding:
        """Which groups of all tables together may not be shown, worked out once for each minimum."""
        known = _WITHHOLDING.setdefault(self, {})
        if minimum not in known:
            known[minimum] = _withheld(self, minimum)
        return known[minimum]

    def hidden(self, grouping: Grouping, minimum: int) -> list[str]:
        """Why each group may not be shown, or ``""``: ``n < 10``, or ``withheld`` where a small one would follow from it."""
        known = self.withholding(minimum)
        return [known.of(key) for key in grouping.keys]

    def positive_score(self) -> NDArray[np.float64] | None:
        """Score of the positive class for each test row; None where there is no score."""
        if self.scores is None:
            return None
        return self.scores[:, self.positive] if self.scores.shape[1] > 1 else self.scores[:, 0]

    def evaluate(
        self, frame: pd.DataFrame, output: Literal["score", "margin"] = "score"
    ) -> NDArray[np.float64]:
        """The model's scores (rows, classes or 1) or margins of any rows, in padded blocks."""
        if self.model is None:
            message = "there is no model behind these predictions"
            raise ValueError(message)
        call = self.model.scores if output == "score" else self.model.margin
        return in_blocks(call, frame, filled(self.model))

    def output(
        self, frame: pd.DataFrame, output: Literal["score", "margin"] = "score"
    ) -> NDArray[np.float64]:
        """The one number explained, for each row: the positive class's score or margin, or the prediction."""
        values = self.evaluate(frame, output)
        return values[:, self.positive] if values.shape[1] > 1 else values[:, 0]


_WITHHOLDING: WeakKeyDictionary[Subject, dict[int, Withholding]] = WeakKeyDictionary()


def _withheld(subject: Subject, minimum: int) -> Withholding:
    """The rule of `withholding` for a subject's groupings, and for the crossings within explanatory columns."""
    levels: dict[str, list[str]] = {}
    for grouping in sorted(subject.groupings, key=lambda one: len(one.columns)):
        for column in grouping.columns:
            if column not in levels:
                own = [key[column] for key in grouping.keys]
                levels[column] = [own[code] for code in grouping.codes.tolist()]
    columns = sorted(levels)
    labels, predictions = _words(subject, subject.test.target), _words(subject, subject.prediction)
    keys = zip(*(levels[column] for column in columns), strict=True) if columns else ()
    people = Counter(zip(keys, zip(labels, predictions, strict=True), strict=False))
    tables = {tuple(sorted(grouping.columns)) for grouping in subject.groupings}
    singles = [grouping for grouping in subject.groupings if len(grouping.columns) == 1]
    within = [grouping.columns[0] for grouping in singles if grouping.explanatory]
    tables |= {(min(one, other), max(one, other)) for one in levels for other in within if one != other}
    return withhold(columns, people, tables, minimum)


def _words(subject: Subject, classes: NDArray[Any] | None) -> list[str | None]:
    """Labels or predictions as words; None where there are none, or numbers."""
    if classes is None or subject.task == "regression":
        return [None] * subject.test.n
    names = [str(label) for label in subject.classes]
    return [None if code < 0 else names[int(code)] for code in classes.tolist()]


def filled(model: Model) -> int:
    """The multiple of rows that a block is filled up to: rows of one pass of a network, a whole block for all else."""
    return min(model.network.micro, BLOCK) if model.network is not None else BLOCK


def in_blocks(call: Any, frame: pd.DataFrame, fill: int = BLOCK) -> NDArray[np.float64]:
    """Ask a model block by block, the last one filled up with its own first row, and drop the filling."""
    rows = len(frame)
    parts = []
    for start in range(0, rows, BLOCK):
        block = frame.iloc[start : start + BLOCK]
        real = len(block)
        more = -real % fill
        if more:
            block = block.iloc[np.concatenate([np.arange(real), np.zeros(more, dtype=np.int64)])]
        block = block.reset_index(drop=True)
        answer = call(block)
        if answer is None:
            message = "this model has no margins"
            raise ValueError(message)
        parts.append(np.ascontiguousarray(answer, dtype=np.float64)[:real])
    return np.concatenate(parts) if parts else np.empty((0, 1))

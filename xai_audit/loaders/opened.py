"""A model as its file gives it, before the data are known, and the adapter made of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from xai_audit.loaders.cells import DAY, Kind, iso

if TYPE_CHECKING:
    import pandas as pd

    from xai_audit.loaders.mistakes import Mistakes
    from xai_audit.mechanistic.network import Link, Network, Reader
    from xai_audit.subject import Modality

Output = Literal["probabilities", "decision", "labels", "values", "unknown"]
"""What a model's first answer is; ``unknown`` is decided by the data."""


class Answer(Protocol):
    """One way to call a library; can be pickled and runs one thread."""

    def scores(self, x: Any) -> NDArray[np.float64]:
        """Scores of shape (rows, classes), or (rows, 1) for regression and ``unknown`` output."""
        ...

    def margin(self, x: Any) -> NDArray[np.float64] | None:
        """Raw scores before the link; None where there are none."""
        ...


@dataclass(frozen=True, eq=False)
class Seen:
    """The test rows as a model that reads pictures or texts must know them to be asked."""

    modality: Modality
    columns: tuple[str, ...]
    """The features, in the user's names."""
    words: tuple[str, ...]
    """Those of a table that hold text."""
    frame: pd.DataFrame
    path: str


@runtime_checkable
class Linked(Protocol):
    """An answer whose outputs are made scores by a link, known when the test rows were asked."""

    link: Link
    reader: Reader | None
    """What turns rows into the model's input; None where it takes the columns of a table."""

    def seen(self, seen: Seen, mistakes: Mistakes) -> tuple[str, ...]:
        """Takes a reader for these rows; returns what was decided."""
        ...

    def linked(self, outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores of outputs, by the link."""
        ...


@runtime_checkable
class Noticing(Protocol):
    """An answer that has something to say once the test rows were scored."""

    def noticed(self) -> tuple[str, ...]:
        """What asking showed."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Opened:
    """What a model's file holds."""

    format: str
    sha256: str
    answer: Answer
    output: Output
    takes: Literal["frame", "array"]
    """``frame``: a pandas frame with the user's columns; ``array``: floats in feature order."""
    stated: Literal["logits", "probabilities", "margins"] | None = None
    """What a network's outputs are, where its format says so."""
    task: Literal["classification", "regression"] | None = None
    classes: tuple[Any, ...] | None = None
    generic: bool = False
    """Whether the classes are bare numbers 0..k-1 that data may give other names."""
    features: tuple[str, ...] | None = None
    n_features: int | None = None
    words: frozenset[str] = frozenset()
    """Columns the model knows as text, though a file's cells may look like numbers."""
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Levels of categorical columns known to the model, as words."""
    categories: Mapping[str, tuple[Any, ...] | None] = field(default_factory=dict)
    """Columns the library wants as pandas categories, with the categories where the model knows them."""
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    """What columns hold by the model's own account; a column of the data that holds something else is a mistake."""
    inside: str = ""
    """The format of what a folder of another format holds."""
    native: Any = None
    details: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    artefact: Mapping[str, Any] = field(
        default_factory=lambda: {"code_carrying": False, "globals": [], "suspicious": []}
    )

    @property
    def ordered(self) -> bool:
        """Whether features are told apart by their order alone."""
        return self.features is None and self.form not in ("python", "http")

    @property
    def form(self) -> str:
        """The format whose library is asked."""
        return self.inside or self.format


Form = Literal["as it is", "moment", "iso"]


@dataclass(frozen=True)
class Input:
    """How one feature is handed to the model."""

    name: str
    """In the user's table."""
    given: str
    """As the model calls it."""
    form: Form = "as it is"
    """Dates are held as days since 1970; a model may want moments (datetime64) or ISO texts."""
    category: bool = False
    categories: tuple[Any, ...] | None = None


@dataclass(frozen=True)
class Inputs:
    """How a frame of the user's features becomes what the library takes, the same bits for the same cells."""

    columns: tuple[Input, ...]
    takes: Literal["frame", "array", "texts"]
    """``texts``: the one column alone, as an array of str."""
    plain: bool
    """Whether every column is a number, so that the frame can be one C-order block."""

    def of(self, frame: pd.DataFrame) -> Any:
        """The library's input; KeyError where the frame lacks a feature."""
        import pandas as pd

        if self.takes == "texts":
            return frame[self.columns[0].name].to_numpy(dtype=object)
        if self.takes == "array" or self.plain:
            block = np.empty((len(frame), len(self.columns)), dtype=np.float64, order="C")
            for place, column in enumerate(self.columns):
                block[:, place] = frame[column.name].to_numpy()
            if self.takes == "array":
                return block
            return pd.DataFrame(block, columns=[column.given for column in self.columns])
        # Built column by column: how a caller's frame lies in memory changes no bit of the answer.
        return pd.DataFrame({column.given: _formed(frame[column.name], column) for column in self.columns})


def _formed(values: pd.Series[Any], column: Input) -> Any:
    if column.form != "as it is":
        days = values.to_numpy(dtype=np.float64)
        gone = np.isnan(days)
        whole = np.rint(np.where(gone, 0, days) * DAY).astype(np.int64)
        moments = whole.astype("datetime64[us]")
        moments[gone] = np.datetime64("NaT")
        if column.form == "moment":
            return moments
        return np.array(
            [np.nan if none else iso(moment) for none, moment in zip(gone, whole, strict=True)], dtype=object
        )
    if column.category:
        return categorical(values.to_numpy(), column.categories)
    return values.to_numpy()


def categorical(values: NDArray[Any], known: tuple[Any, ...] | None) -> Any:
    """Values as pandas categories; one the model does not know is missing to it, as in its own library."""
    import pandas as pd

    if known is None:
        return pd.Categorical(values)
    place = {level: code for code, level in enumerate(known)}
    codes = [place.get(value, -1) for value in values]
    return pd.Categorical.from_codes(codes, categories=pd.Index(list(known)))


@dataclass(eq=False)
class Adapter:
    """A model with what it takes from the data's columns; satisfies subject.Model and can be pickled."""

    format: str
    sha256: str
    classes: tuple[Any, ...] | None
    probabilities: bool
    features: tuple[str, ...] | None
    details: Mapping[str, Any]
    native: Any
    answer: Answer
    inputs: Inputs
    positive: bool | None = None
    """Set where the library gives one score for two classes: whether it is that of the second class."""

    @property
    def network(self) -> Network | None:
        """The torch module that can be looked into; None for every other model."""
        found: Network | None = getattr(self.answer, "network", None)
        return found

    def scores(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Scores of shape (rows, classes), or (rows, 1) for regression and bare scores."""
        found = self.answer.scores(self.inputs.of(frame))
        return found if self.positive is None else pair(found[:, 0], second=self.positive)

    def margin(self, frame: pd.DataFrame) -> NDArray[np.float64] | None:
        """Raw scores before the link, of shape (rows, classes), ``[-m, m]`` for two; None without any."""
        return self.answer.margin(self.inputs.of(frame))

    def __getstate__(self) -> dict[str, Any]:
        """All but the native object, where the answer holds it already."""
        state = dict(self.__dict__)
        if getattr(self.answer, "native", None) is self.native:
            state["native"] = None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.native is None:
            self.native = getattr(self.answer, "native", None)


def pair(score: NDArray[np.float64], *, second: bool) -> NDArray[np.float64]:
    """One probability of two classes as two columns."""
    columns = (1.0 - score, score) if second else (score, 1.0 - score)
    return np.stack(columns, axis=1)


def two_sided(margin: NDArray[np.float64]) -> NDArray[np.float64]:
    """One margin of two classes as a column for each."""
    return np.stack((-margin, margin), axis=1)


def one_hot(labels: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """1 in the column of the label, 0 elsewhere."""
    scores = np.zeros((len(labels), k))
    scores[np.arange(len(labels)), labels] = 1.0
    return scores

"""What is switched on and off in a picture or a text, and one way to ask any model about it.

A player is a part of a picture or of a text. A coalition is a mask (players) of those that are shown; the others are
hidden. Every method here turns masks into pictures or texts, and asks the model in the fixed blocks of all methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from xai_audit.errors import MethodError
from xai_audit.explainers.coalitions import cuts, superpixels
from xai_audit.subject import BLOCK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from xai_audit.explainers.rows import Output
    from xai_audit.subject import Subject

GREY = 128
"""Mid-grey, of 0 to 255."""


class Switches(Protocol):
    """A row cut into parts that can be hidden."""

    @property
    def count(self) -> int:
        """How many parts there are."""
        ...

    def shown(self, masks: NDArray[np.bool_]) -> Sequence[Any]:
        """The row as each mask (masks, parts) leaves it, as a cell of the frame."""
        ...


@dataclass(frozen=True, eq=False)
class Parts:
    """A picture and its parts."""

    picture: NDArray[np.uint8]
    hidden: NDArray[np.uint8]
    """What stands where a part is hidden, of the picture's shape."""
    parts: NDArray[np.int64]
    """The part of each pixel (height, width, 1), or of each pixel and channel (height, width, channels)."""

    @property
    def count(self) -> int:
        """How many parts there are."""
        return int(self.parts.max()) + 1

    def shown(self, masks: NDArray[np.bool_]) -> list[NDArray[np.uint8]]:
        """Pictures (height, width, channels) of uint8."""
        return list(np.where(masks[:, self.parts], self.picture, self.hidden))

    def spread(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values of parts shared out over their pixels (height, width)."""
        sizes = np.bincount(self.parts.ravel())
        return np.asarray((values / sizes)[self.parts].sum(axis=-1))


@dataclass(frozen=True, eq=False)
class Sentence:
    """A text and its words or tokens."""

    cut: cuts.Cut

    @property
    def count(self) -> int:
        """How many parts there are."""
        return len(self.cut.names)

    def shown(self, masks: NDArray[np.bool_]) -> list[str]:
        """Texts."""
        return self.cut.shown(masks)


@dataclass(frozen=True)
class Choice:
    """What the players are and how they are hidden; nothing is left open."""

    players: str
    mask: str
    segmentation: superpixels.Segmentation = "slic"
    segments: int = superpixels.SEGMENTS
    value: int = GREY
    token: str | None = None
    bag: bool = True
    """Whether equal words of a text are one player."""

    def words(self) -> dict[str, str]:
        """The same for ``params``."""
        kinds = {
            "superpixels": f"superpixels (SLIC, about {self.segments})"
            if self.segmentation == "slic"
            else "superpixels (quickshift with lime's settings)",
            "grid": f"cells of a grid (about {self.segments})",
            "pixels": "pixels and their channels",
            "words": "words, equal ones together" if self.bag else "words, each at its place",
            "tokens": "tokens of the model's own tokenizer, each at its place",
        }
        hidden = {
            "mean": "the mean colour of the part",
            "blur": "the picture blurred",
            "gray": f"mid-grey ({GREY})",
            "value": f"the value {self.value}",
            "removal": "nothing: the part is left out",
            "token": f"the token {self.token}",
        }
        return {"players": kinds[self.players], "hidden_by": hidden[self.mask]}


def called(subject: Subject) -> str:
    """What readers call the players: words of a text, parts of a picture."""
    return "words" if subject.modality == "text" else "parts"


def choose(subject: Subject, params: Any, mask: str, *, bag: bool = True, players: str = "") -> Choice:
    """The choice that parameters make for these rows; MethodError where they contradict each other.

    ``mask`` and ``players`` are the method's own where none is given.
    """
    image = subject.modality == "image"
    kinds = ("superpixels", "grid", "pixels") if image else ("words", "tokens")
    masks = ("mean", "blur", "gray", "value") if image else ("removal", "token")
    kind = params.players or players or kinds[0]
    hidden = params.mask or ("value" if params.value is not None else "token" if params.token else mask)
    for name, given, among in (("players", kind, kinds), ("mask", hidden, masks)):
        if given not in among:
            rows = "images" if image else "texts"
            raise MethodError(f"{name}: {given} is not for {rows}; one of {', '.join(among)} is")
    segmentation: superpixels.Segmentation = params.segmentation or "slic"
    for name, given, fits, where in (
        ("segmentation", params.segmentation, kind == "superpixels", "players: superpixels"),
        ("segments", params.segments, kind == "grid" or (kind == "superpixels" and segmentation == "slic"),
         "players: grid, or superpixels by slic"),
        ("value", params.value, hidden == "value", "mask: value"),
        ("token", params.token, hidden == "token", "mask: token"),
    ):  # fmt: skip
        if given is not None and not fits:
            raise MethodError(f"{name}: it is for {where}")
    if hidden == "mean" and kind == "pixels":
        raise MethodError("mask: mean hides nothing of a single pixel; blur, gray or value does")
    if hidden == "value" and params.value is None:
        raise MethodError("mask: value asks for value, a number from 0 to 255")
    token = _token(subject, params.token) if hidden == "token" else None
    if kind == "tokens":
        _reader(subject, "players: tokens")
    return Choice(
        kind,
        hidden,
        segmentation,
        params.segments or superpixels.SEGMENTS,
        GREY if params.value is None else params.value,
        token,
        bag,
    )


def _token(subject: Subject, given: str | None) -> str:
    if given is not None:
        return given
    found = cuts.mask_token(_reader(subject, "mask: token"))
    if found is None:
        raise MethodError("mask: token: the tokenizer has no mask token; give one as token")
    return found


def _reader(subject: Subject, what: str) -> Any:
    network = None if subject.model is None else subject.model.network
    reader = None if network is None else network.reader
    if reader is None or reader.kind != "text":
        raise MethodError(f"{what} asks for a model whose tokenizer can be looked into; this one has none")
    return reader


def switches(subject: Subject, choice: Choice, row: int) -> Parts | Sentence:
    """A test row cut into its players."""
    cell: Any = subject.test.frame.iloc[row, 0]
    if subject.modality == "text":
        text = cell if isinstance(cell, str) else ""
        if choice.players == "tokens":
            return Sentence(cuts.tokens(text, _reader(subject, "players: tokens"), choice.token))
        return Sentence(cuts.words(text, bag=choice.bag, token=choice.token))
    picture: NDArray[np.uint8] = cell[..., None] if cell.ndim == 2 else cell
    if choice.players == "pixels":
        parts = np.arange(picture.size).reshape(picture.shape)
    elif choice.players == "grid":
        parts = superpixels.grid(picture.shape[0], picture.shape[1], choice.segments)[..., None]
    else:
        parts = superpixels.superpixels(picture, choice.segmentation, choice.segments)[..., None]
    if choice.mask == "mean":
        hidden = superpixels.mean_colours(picture, parts[..., 0])
    elif choice.mask == "blur":
        hidden = superpixels.blurred(picture)
    else:
        hidden = np.full_like(picture, choice.value)
    return Parts(picture, hidden, parts)


@dataclass(eq=False)
class Asker:
    """Who answers for masks (masks, players) of one row: the model, about each different mask once.

    Rows are never mixed in one block, so that a row's answers do not depend on its neighbours.
    """

    subject: Subject
    row: Switches
    output: Output
    column: int
    answers: int = 0
    """How many pictures or texts the model has been asked about."""

    def __call__(self, masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        """The number explained for each mask."""
        if not len(masks):
            return np.zeros(0)
        packed = np.ascontiguousarray(np.packbits(masks, axis=1))
        keys = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
        _, first, back = np.unique(keys, return_index=True, return_inverse=True)
        self.answers += len(first)
        told = np.empty(len(first))
        if self.subject.modality == "text":
            cells = self.row.shown(masks[first])
            # Texts of like length share a block, which is padded to the longest.
            order = np.asarray(sorted(range(len(cells)), key=lambda i: (len(cells[i]), i)), dtype=np.int64)
            told[order] = outputs(self.subject, [cells[i] for i in order], self.output, self.column)
            return told[back]
        for start in range(0, len(first), BLOCK):
            cells = self.row.shown(masks[first[start : start + BLOCK]])
            told[start : start + BLOCK] = outputs(self.subject, cells, self.output, self.column)
        return told[back]


def outputs(subject: Subject, cells: Sequence[Any], output: Output, column: int) -> NDArray[np.float64]:
    """The number explained of any pictures or texts: one column of the scores or margins."""
    import pandas as pd

    held = np.empty(len(cells), dtype=object)
    for place, cell in enumerate(cells):
        held[place] = cell
    frame = pd.DataFrame({subject.test.frame.columns[0]: held})
    try:
        values = subject.evaluate(frame, output)
    except ValueError as error:
        if "no margins" not in str(error):
            raise
        raise MethodError(f"output: margin does not apply: {error}") from None
    if values.shape[1] > 1:
        return values[:, column]
    # One raw number behind two scores is that of the second class.
    both = subject.scores is not None and subject.scores.shape[1] == 2
    return -values[:, 0] if both and column == 0 else values[:, 0]


def told(
    subject: Subject, rows: NDArray[np.int64], output: Output, columns: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The number explained of test rows as they are, each in its own column."""
    if output == "score" and subject.scores is not None:
        return np.asarray(subject.scores[rows, columns])
    found = np.empty(len(rows))
    for column in np.unique(columns):
        mine = np.flatnonzero(columns == column)
        cells = [subject.test.frame.iloc[int(rows[place]), 0] for place in mine]
        found[mine] = outputs(subject, cells, output, int(column))
    return found

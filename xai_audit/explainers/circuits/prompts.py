"""Prompts of a behaviour as a network takes them: a clean and a corrupted side, a right class and its foil, two halves.

No row, and no clean text, both finds a circuit and judges it. Sides of one prompt have equally many tokens, so that each
position of one has its counterpart in the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.errors import MethodError
from xai_audit.evidence import Sampling
from xai_audit.explainers.circuits.params import FEWEST
from xai_audit.explainers.concepts.sets import smallest_first
from xai_audit.explainers.probing.predicates import named_set
from xai_audit.mechanistic.flows import mask_of
from xai_audit.mechanistic.readers import TextReader

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    import torch
    from numpy.typing import NDArray

    from xai_audit.mechanistic.network import Network
    from xai_audit.method import Context
    from xai_audit.subject import Rows, Subject

Ints = "NDArray[np.int64]"


@dataclass(frozen=True, eq=False)
class Prompts:
    """Both sides as batches, what is right and wrong for the clean one, and which rows find."""

    clean: Any
    corrupted: Any
    answers: NDArray[np.int64]
    foils: NDArray[np.int64]
    finds: NDArray[np.bool_]
    """(rows,): rows that the circuit is found on; the others judge it."""
    source: str
    answered: str
    """Where answers and foils come from."""
    sampling: Sampling
    template: NDArray[np.int64] | None = None
    """(rows,): which of ``templates`` each has, -1 for none; None where none is named."""
    templates: Mapping[str, int] = field(default_factory=dict)
    """Names in order, and how many distinct prompts of the whole set have each."""

    def only(self, where: NDArray[np.bool_]) -> Prompts:
        """Some of them, each in the half in which it is."""
        sides = {"clean": part(self.clean, where), "corrupted": part(self.corrupted, where)}
        template = None if self.template is None else self.template[where]
        return replace(
            self, **sides, answers=self.answers[where], foils=self.foils[where], finds=self.finds[where],
            template=template,
        )  # fmt: skip

    @property
    def counted(self) -> torch.Tensor | None:
        """(rows, positions): which positions of the clean side are tokens; None where all are."""
        mask = mask_of(self.clean)
        return mask if mask is not None and mask.ndim == 2 else None


def part(batch: Any, where: NDArray[np.bool_]) -> Any:
    """The rows of a batch for which something holds."""
    import torch

    index = torch.from_numpy(np.flatnonzero(where))
    if isinstance(batch, dict):
        return {name: value[index.to(value.device)] for name, value in batch.items()}
    return batch[index.to(batch.device)]


@dataclass(frozen=True, eq=False)
class _Pairs:
    clean: pd.DataFrame
    corrupted: pd.DataFrame
    groups: NDArray[np.int64]
    """Equal rows have one number."""
    answers: NDArray[np.int64] | None
    foils: NDArray[np.int64] | None
    sampling: Sampling
    source: str
    template: NDArray[np.int64] | None = None
    templates: Mapping[str, int] = field(default_factory=dict)


def prompts(
    subject: Subject, network: Network, name: str | None, most: int, context: Context
) -> Prompts | str:
    """The pairs of a set, or test rows against others that are decided otherwise; why not, where they are too few."""
    found = (
        _contrast(subject, network, most, context)
        if name is None
        else _of_set(subject, network, name, most, context)
    )
    if len(found.clean) < 2 * FEWEST:
        return f"{len(found.clean)} prompts are left ({found.sampling.how}); {2 * FEWEST} are needed"
    finds = _finds(found.groups, context.rng("halves"), found.template)
    if min(finds.sum(), (~finds).sum()) < FEWEST:
        return f"so many prompts are equal that one half has fewer than {FEWEST}"
    answers, foils, answered = _classes(subject, network, found)
    assert network.reader is not None
    sides = [network.moved(network.reader.batch(frame)) for frame in (found.clean, found.corrupted)]
    return Prompts(
        sides[0], sides[1], answers, foils, finds, found.source, answered, found.sampling, found.template,
        found.templates,
    )  # fmt: skip


def _of_set(subject: Subject, network: Network, name: str, most: int, context: Context) -> _Pairs:
    rows = named_set(subject, name, "circuit_discovery")
    pairs = rows.pairs
    if pairs is None:
        raise MethodError(
            f"circuit_discovery: the set {name} is no pairs; name its sides with clean and corrupted in data.sets"
        )
    equal = _lengths(network, rows.frame) == _lengths(network, pairs.corrupted)
    order = smallest_first(rows, context.seed, "prompts")
    index = np.sort(order[equal[order]][:most])
    told = _told(int((~equal).sum()), len(index) < int(equal.sum()), context.seed)
    chosen = [None if one is None else one[index] for one in (pairs.answer, pairs.foil, pairs.template)]
    return _Pairs(
        rows.frame.iloc[index].reset_index(drop=True),
        pairs.corrupted.iloc[index].reset_index(drop=True),
        _groups(rows, index),
        chosen[0],
        chosen[1],
        Sampling(available=rows.n, used=len(index), how=told),
        f"prompts of the set {name}",
        chosen[2],
        pairs.templates,
    )


def _told(unequal: int, drawn: bool, seed: int) -> str:
    left = f"{unequal:,} whose sides have unequal numbers of tokens are left out" if unequal else ""
    kept = f"those with the smallest sha256 of seed {seed} and content" if drawn else ""
    return "; ".join(part for part in (kept, left) if part) or "all prompts"


def _contrast(subject: Subject, network: Network, most: int, context: Context) -> _Pairs:
    """Test rows, each against one drawn at random among those that the network decides otherwise, of equal length."""
    rows, frame = subject.test, subject.test.frame
    order = smallest_first(rows, context.seed, "prompts")[: 4 * most]
    scores = network.scores(frame.iloc[order])
    if subject.task == "regression":
        side = (scores[:, 0] > np.median(scores[:, 0])).astype(np.int64)
    else:
        side = np.argmax(scores, axis=1)
    lengths, rng = _lengths(network, frame.iloc[order]), context.rng("partners")
    own: list[int] = []
    other: list[int] = []
    for place in range(len(order)):
        able = np.flatnonzero((side != side[place]) & (lengths == lengths[place]))
        if len(able) and len(own) < most:
            own.append(place)
            other.append(int(rng.choice(able)))
    what = "on the other side of the median output" if subject.task == "regression" else "decided otherwise"
    how = f"test rows in the order of sha256 of seed {context.seed} and content that have a partner {what}"
    index = order[np.asarray(own, dtype=np.int64)]
    return _Pairs(
        frame.iloc[index].reset_index(drop=True),
        frame.iloc[order[np.asarray(other, dtype=np.int64)]].reset_index(drop=True),
        _groups(rows, index),
        None,
        None,
        Sampling(available=rows.n, used=len(index), how=how),
        f"test rows against test rows {what}",
    )


def _lengths(network: Network, frame: pd.DataFrame) -> NDArray[np.int64]:
    """Tokens of each row; 0 where rows are no texts, which are all of one shape."""
    reader = network.reader
    return reader.lengths(frame) if isinstance(reader, TextReader) else np.zeros(len(frame), dtype=np.int64)


def _groups(rows: Rows, index: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for each distinct clean side: of a text its words, of all else the row."""
    chosen = rows.frame.iloc[index]
    if chosen.shape[1] == 1 and isinstance(chosen.iloc[0, 0] if len(chosen) else None, str):
        values = np.asarray([str(cell) for cell in chosen.iloc[:, 0]])
    else:
        values = rows.digests[index]
    return np.asarray(np.unique(values, return_inverse=True)[1], dtype=np.int64)


def _finds(
    groups: NDArray[np.int64], rng: np.random.Generator, template: NDArray[np.int64] | None
) -> NDArray[np.bool_]:
    """Half of the groups, and of each template."""
    known, first, place = np.unique(groups, return_index=True, return_inverse=True)
    side = np.zeros(len(known), dtype=bool)
    order = rng.permutation(len(known))
    if template is None:
        side[order[: len(known) // 2]] = True
    else:
        side[order[np.argsort(template[first][order], kind="stable")][1::2]] = True
    return side[place]


def _classes(
    subject: Subject, network: Network, found: _Pairs
) -> tuple[NDArray[np.int64], NDArray[np.int64], str]:
    """What is right and what it is held against: as named, else as the network decides either side."""
    if subject.task == "regression":
        none = np.zeros(len(found.clean), dtype=np.int64)
        return none, none, "a regression has no classes"
    clean = network.scores(found.clean)
    answers = np.argmax(clean, axis=1) if found.answers is None else found.answers
    foils = found.foils
    if foils is None:
        foils = np.argmax(network.scores(found.corrupted), axis=1)
        # Where both sides are decided alike, the answer is held against the class that comes next.
        rest = clean.copy()
        rest[np.arange(len(rest)), answers] = -np.inf
        foils = np.where(foils == answers, np.argmax(rest, axis=1), foils)
    if (answers == foils).any():
        raise MethodError(
            f"circuit_discovery: {int((answers == foils).sum())} prompts have their answer as foil"
        )
    if found.answers is not None and found.foils is not None:
        told = "as the prompts name them"
    elif found.answers is not None:
        told = "answers as the prompts name them, foils as the network decides the corrupted side"
    else:
        told = "as the network decides either side"
    return np.asarray(answers, dtype=np.int64), np.asarray(foils, dtype=np.int64), told

"""Owen values: Shapley's rule within a hierarchy of groups, the groups that matter most opened first.

The recursion, its budget and its order are those of shap.PartitionExplainer, without its silence: how many groups the
budget left closed is counted, and what a closed group is worth is shared out equally within it.
"""

from __future__ import annotations

import heapq
import warnings
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from xai_audit.subject import BLOCK

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from xai_audit.explainers.coalitions.cuts import Cut

    Ask = Callable[[NDArray[np.bool_]], NDArray[np.float64]]


class Group(Protocol):
    """A node of the hierarchy."""

    @property
    def players(self) -> NDArray[np.int64]:
        """Those in the group."""
        ...

    def halves(self) -> tuple[Group, Group] | None:
        """The two groups in it; None for a single player."""
        ...


@dataclass(frozen=True, eq=False)
class Owen:
    """What the recursion gave."""

    values: NDArray[np.float64]
    ends: tuple[float, float]
    """The game's values with no player and with all."""
    answers: int
    """Coalitions asked, the two ends included."""
    closed: int
    """Players that stayed in a group the budget did not open."""


def owen(ask: Ask, root: Group, players: int, budget: int, batch: int = BLOCK) -> Owen:
    """Owen values of a game (Owen 1977, in Essays in Mathematical Economics and Game Theory).

    ``budget`` counts every coalition asked. ``batch`` of them are asked at once: which groups a short budget opens
    depends on it, as it does in shap.
    """
    nobody = np.zeros(players, dtype=bool)
    left = budget - 2
    sure = _whole_levels(root, nobody, left, batch)
    told = ask(np.stack([nobody, ~nobody, *sure])).tolist()
    ends = (told[0], told[1])
    known = {mask.tobytes(): value for mask, value in zip(sure, told[2:], strict=True)}
    values = np.zeros(players)
    closed = np.zeros(players, dtype=bool)
    number = count()
    queue: list[Any] = [(0.0, next(number), nobody, *ends, root, 1.0)]
    asked = 0
    while queue:
        if asked >= left:
            for _, _, _, low, high, group, weight in queue:
                inside = group.players
                values[inside] += (high - low) * weight / len(inside)
                if len(inside) > 1:
                    closed[inside] = True
            break
        opened: list[Any] = []
        masks: list[NDArray[np.bool_]] = []
        while queue and len(masks) < batch and asked + len(masks) < left:
            _, _, mask, low, high, group, weight = heapq.heappop(queue)
            halves = group.halves()
            if halves is None:
                values[group.players] += (high - low) * weight
                continue
            masks.extend(_with(mask, half) for half in halves)
            opened.append((mask, low, high, halves, weight / 2))
        if not masks:
            continue
        asked += len(masks)
        kept = masks[0].tobytes() in known
        told = [known[mask.tobytes()] for mask in masks] if kept else ask(np.stack(masks)).tolist()
        for place, (mask, low, high, (first, second), weight) in enumerate(opened):
            with_first, with_second = masks[2 * place], masks[2 * place + 1]
            only_first, only_second = told[2 * place], told[2 * place + 1]
            for context, below, above, half in (
                (mask, low, only_first, first),
                (mask, low, only_second, second),
                (with_second, only_second, high, first),
                (with_first, only_first, high, second),
            ):
                entry = (-abs(above - below) * weight, next(number), context, below, above, half, weight)
                heapq.heappush(queue, entry)
    return Owen(values, ends, asked + 2, int(closed.sum()))


def _with(mask: NDArray[np.bool_], group: Group) -> NDArray[np.bool_]:
    more = mask.copy()
    more[group.players] = True
    return more


def _whole_levels(root: Group, nobody: NDArray[np.bool_], left: int, batch: int) -> list[NDArray[np.bool_]]:
    """The coalitions of the upper levels that are opened whatever the answers are: asked together, in one block."""
    found: list[NDArray[np.bool_]] = []
    level: list[tuple[NDArray[np.bool_], Group]] = [(nobody, root)]
    while level:
        pairs = [(mask, halves) for mask, group in level if (halves := group.halves()) is not None]
        if not 0 < 2 * len(pairs) <= min(batch, left - len(found)):
            break
        level = []
        for mask, (first, second) in pairs:
            with_first, with_second = _with(mask, first), _with(mask, second)
            found += [with_first, with_second]
            level += [(mask, first), (mask, second), (with_second, first), (with_first, second)]
    return found


@dataclass(frozen=True, eq=False)
class Box:
    """Pixels and channels (height, width, channels) halved along the longer side: shap's hierarchy of a picture."""

    shape: tuple[int, int, int]
    low: tuple[int, int, int] = (0, 0, 0)
    high: tuple[int, int, int] | None = None

    @property
    def players(self) -> NDArray[np.int64]:
        """Pixels and channels in the box, counted row by row; shap's tree lies turned by half a circle."""
        high = self.high or self.shape
        rows, columns, channels = (np.arange(a, b) for a, b in zip(self.low, high, strict=True))
        _, width, depth = self.shape
        flat = (rows[:, None, None] * width + columns[None, :, None]) * depth + channels[None, None, :]
        return np.asarray(self.shape[0] * width * depth - 1 - flat.ravel(), dtype=np.int64)

    def halves(self) -> tuple[Group, Group] | None:
        """The box cut across rows, else columns, and across channels only where it is one pixel."""
        high = self.high or self.shape
        rows, columns, channels = (b - a for a, b in zip(self.low, high, strict=True))
        if rows == columns == channels == 1:
            return None
        axis = 0 if rows >= columns and rows > 1 else 1 if columns > 1 else 2
        middle = self.low[axis] + (high[axis] - self.low[axis]) // 2
        before, after = list(high), list(self.low)
        before[axis] = after[axis] = middle
        return (
            Box(self.shape, self.low, (before[0], before[1], before[2])),
            Box(self.shape, (after[0], after[1], after[2]), high),
        )


@dataclass(frozen=True, eq=False)
class Branch:
    """A node of a hierarchy given as scipy gives one: row ``i`` joins two nodes into node ``players + i``."""

    joins: NDArray[np.int64]
    node: int

    @property
    def players(self) -> NDArray[np.int64]:
        """Those in the branch."""
        most = len(self.joins) + 1
        inside: list[int] = []
        open_ = [self.node]
        while open_:
            node = open_.pop()
            if node < most:
                inside.append(node)
            else:
                open_.extend(self.joins[node - most].tolist())
        return np.asarray(sorted(inside), dtype=np.int64)

    def halves(self) -> tuple[Group, Group] | None:
        """The two nodes joined here."""
        most = len(self.joins) + 1
        if self.node < most:
            return None
        first, second = self.joins[self.node - most].tolist()
        return Branch(self.joins, first), Branch(self.joins, second)


class _Spans:
    """A text already cut, as the tokenizer that shap asks for."""

    def __init__(self, text: str, spans: list[tuple[int, int]]) -> None:
        self.text, self.spans = text, spans

    def __call__(self, text: str, return_offsets_mapping: bool = True) -> dict[str, Any]:
        del return_offsets_mapping
        spans = self.spans if text == self.text else [(0, len(text))] if text else []
        return {"input_ids": [text[start:end] for start, end in spans], "offset_mapping": spans}


def phrases(cut: Cut) -> Branch:
    """Words at their places, neighbours joined into phrases and sentences by the shap library's own rules."""
    spans = cut.spans
    if len(spans) == 1:
        return Branch(np.zeros((0, 2), dtype=np.int64), 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import warns of matplotlib's plans
        import shap

    text = "".join(cut.pieces)
    joins = shap.maskers.Text(_Spans(text, spans)).clustering(text)[:, :2].astype(np.int64)
    return Branch(joins, 2 * len(spans) - 2)

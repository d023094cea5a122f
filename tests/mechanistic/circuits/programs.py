"""Programs written into a decoder's weights by hand: the true edges are known, all others do nothing.

Induction, reverse, the fraction of earlier tokens that are one, sorting, and naming the name that stands once. Heads and
MLP units beside the program read everything at random and write where nothing that matters reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from tests.mechanistic.circuits.decoder import Block, Decoder, Shape
from xai_audit.mechanistic.circuits.graphs import Element

Name = Literal["induction", "reverse", "frac_prevs", "sort", "once"]
SHARP = 8.0
"""How much higher the score is of what a head looks for."""
SCRATCH = 8
HEADS = 4


@dataclass(frozen=True, eq=False)
class Prompts:
    """Inputs, the same with other content, and what is asked of the output."""

    clean: torch.Tensor
    corrupted: torch.Tensor
    metric: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    right: Callable[[torch.Tensor], torch.Tensor]
    """Whether the outputs of each clean row are what the program should give."""


@dataclass(frozen=True, eq=False)
class Program:
    """A decoder that holds a program, its true edges, and prompts for it."""

    name: Name
    model: Decoder
    truth: frozenset[Element]
    hidden: frozenset[Element]
    """True edges that carry the same in every prompt: a contrast of prompts cannot show them."""
    prompts: Callable[[np.random.Generator, int], Prompts]


def program(name: Name, rng: np.random.Generator) -> Program:
    """A program by name; ``rng`` draws the weights of what is beside it."""
    return _PROGRAMS[name](rng)


class _Writer:
    """Writes into a decoder whose residual is parted into named slots."""

    def __init__(
        self,
        slots: Mapping[str, int],
        shape: Shape,
        true_heads: set[tuple[int, int]],
        rng: np.random.Generator,
    ) -> None:
        self.shape, self.slots, start = shape, {}, 0
        for name, width in slots.items():
            self.slots[name] = slice(start, start + width)
            start += width
        assert start == shape.width
        self.model = Decoder(shape)
        self.model.double()
        self._used = [0] * shape.layers
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.zero_()
        self._beside(true_heads, rng)
        # The embedding writes one-hot token and position.
        with torch.no_grad():
            self.model.embed.token.weight[:, self.slots["token"]] = torch.eye(shape.vocabulary).double()
            self.model.embed.position.weight[:, self.slots["position"]] = torch.eye(shape.positions).double()

    def _block(self, layer: int) -> Block:
        block = self.model.blocks[layer]
        assert isinstance(block, Block)
        return block

    def _beside(self, true_heads: set[tuple[int, int]], rng: np.random.Generator) -> None:
        """Heads and units that are no part of the program: they write to the scratch slot alone."""
        scratch, width = self.slots["scratch"], self.shape.head_width

        def drawn(*size: int) -> torch.Tensor:
            return torch.from_numpy(rng.normal(size=size))

        with torch.no_grad():
            for layer in range(self.shape.layers):
                block = self._block(layer)
                for head in range(self.shape.heads):
                    if (layer, head) in true_heads:
                        continue
                    rows = slice(head * width, (head + 1) * width)
                    for projection in (block.attn.q_proj, block.attn.k_proj, block.attn.v_proj):
                        projection.weight[rows] = drawn(width, self.shape.width)
                    block.attn.o_proj.weight[scratch, rows] = drawn(SCRATCH, width) / width**0.5
                if self.shape.mlp:
                    assert isinstance(block.mlp, torch.nn.Sequential)
                    half = self.shape.mlp // 2
                    block.mlp[0].weight[half:] = drawn(self.shape.mlp - half, self.shape.width)
                    block.mlp[2].weight[scratch, half:] = drawn(SCRATCH, self.shape.mlp - half)

    def head(
        self,
        layer: int,
        head: int,
        *,
        q: list[tuple[str, torch.Tensor]],
        k: list[tuple[str, torch.Tensor]],
        v: list[tuple[str, torch.Tensor, str]],
        q_bias: torch.Tensor | None = None,
    ) -> None:
        """A head: ``q`` and ``k`` map slots (head dims, slot) to what is compared, ``v`` copies slots to others."""
        block, width = self._block(layer), self.shape.head_width
        start = head * width
        scale = SHARP * width**0.5
        with torch.no_grad():
            for slot, matrix in q:
                block.attn.q_proj.weight[start : start + len(matrix), self.slots[slot]] += scale * matrix
            if q_bias is not None:
                block.attn.q_proj.bias[start : start + len(q_bias)] += scale * q_bias
            for slot, matrix in k:
                block.attn.k_proj.weight[start : start + len(matrix), self.slots[slot]] += matrix
            at = start
            for slot, matrix, into in v:
                block.attn.v_proj.weight[at : at + len(matrix), self.slots[slot]] += matrix
                place = self.slots[into].start + torch.arange(len(matrix))
                block.attn.o_proj.weight[place, at + torch.arange(len(matrix))] = 1.0
                at += len(matrix)

    def units(
        self, layer: int, slot: str, into: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, to: str
    ) -> None:
        """MLP units ``relu(weight @ slot + bias)`` and what each writes to a slot: ``into`` (slot, units)."""
        mlp = self._block(layer).mlp
        assert isinstance(mlp, torch.nn.Sequential)
        start = self._used[layer]
        stop = start + len(weight)
        assert stop <= self.shape.mlp // 2
        self._used[layer] = stop
        with torch.no_grad():
            mlp[0].weight[start:stop, self.slots[slot]] = weight
            mlp[0].bias[start:stop] = bias
            mlp[2].weight[self.slots[to], start:stop] = into

    def output(self, slot: str, scale: float = 4.0) -> Decoder:
        """The decoder, whose output reads one slot."""
        with torch.no_grad():
            part = self.slots[slot]
            self.model.unembed.weight[:, part] = scale * torch.eye(part.stop - part.start).double()
        self.model.eval()
        return self.model


def _eye(size: int) -> torch.Tensor:
    return torch.eye(size, dtype=torch.float64)


def _edges(*pairs: str) -> frozenset[Element]:
    return frozenset(Element(*pair.split(" ")) for pair in pairs)


def _at(place: torch.Tensor, answers: torch.Tensor, foils: torch.Tensor) -> Callable[..., torch.Tensor]:
    """Mean over positions (rows, positions) of the answer's logit less the foil's."""

    def metric(outputs: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
        rows = torch.arange(len(outputs))[:, None]
        chosen = outputs[rows, place[where]]
        own = chosen.gather(2, answers[where][..., None])[..., 0]
        return (own - chosen.gather(2, foils[where][..., None])[..., 0]).mean(dim=1)

    return metric


def _right(place: torch.Tensor, answers: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    def right(outputs: torch.Tensor) -> torch.Tensor:
        rows = torch.arange(len(outputs))[:, None]
        return (outputs[rows, place].argmax(dim=2) == answers).all(dim=1)

    return right


def _induction(rng: np.random.Generator) -> Program:
    """``A B ... A`` gives ``B``: a previous-token head, and a head that looks for what followed the same token."""
    tokens, length = 16, 10
    shape = Shape(tokens, length, 3 * tokens + length + SCRATCH, 2, HEADS, tokens, norm=False)
    slots = {"token": tokens, "position": length, "previous": tokens, "out": tokens, "scratch": SCRATCH}
    writer = _Writer(slots, shape, {(0, 0), (1, 0)}, rng)
    shift = torch.diag(torch.ones(length - 1, dtype=torch.float64), 1)
    writer.head(
        0,
        0,
        q=[("position", shift)],
        k=[("position", _eye(length))],
        v=[("token", _eye(tokens), "previous")],
    )
    writer.head(
        1,
        0,
        q=[("token", _eye(tokens))],
        k=[("previous", _eye(tokens))],
        v=[("token", _eye(tokens), "out")],
    )

    def drawn(rng: np.random.Generator, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
        ids = np.stack([rng.permutation(tokens)[:length] for _ in range(rows)])
        again = rng.integers(1, length - 2, size=rows)  # the first has no token before it
        ids[:, -1] = ids[np.arange(rows), again]
        return torch.from_numpy(ids), torch.from_numpy(ids[np.arange(rows), again + 1])

    def prompts(rng: np.random.Generator, rows: int) -> Prompts:
        clean, answers = drawn(rng, rows)
        corrupted, foils = drawn(rng, rows)
        while bool((same := answers == foils).any()):
            fresh, own = drawn(rng, int(same.sum()))
            corrupted[same], foils[same] = fresh, own
        place = torch.full((rows, 1), length - 1)
        return Prompts(
            clean, corrupted, _at(place, answers[:, None], foils[:, None]), _right(place, answers[:, None])
        )

    hidden = _edges("embed a0.h0.q", "embed a0.h0.k")
    truth = hidden | _edges(
        "embed a0.h0.v", "a0.h0 a1.h0.k", "embed a1.h0.q", "embed a1.h0.v", "a1.h0 output"
    )
    return Program("induction", writer.output("out"), truth, hidden, prompts)


def _reverse(rng: np.random.Generator) -> Program:
    """The sequence backwards: an MLP turns each position into its opposite, a head looks there."""
    tokens, length = 12, 8
    shape = Shape(
        tokens, length, 2 * tokens + 2 * length + SCRATCH, 2, HEADS, tokens, 32, norm=False, causal=False
    )
    slots = {"token": tokens, "position": length, "opposite": length, "out": tokens, "scratch": SCRATCH}
    writer = _Writer(slots, shape, {(1, 0)}, rng)
    writer.units(0, "position", _eye(length).flip(0), _eye(length), torch.zeros(length).double(), "opposite")
    writer.head(
        1,
        0,
        q=[("opposite", _eye(length))],
        k=[("position", _eye(length))],
        v=[("token", _eye(tokens), "out")],
    )

    def prompts(rng: np.random.Generator, rows: int) -> Prompts:
        clean = torch.from_numpy(rng.integers(0, tokens, size=(rows, length)))
        # Every token another, so that every position has a foil.
        corrupted = (clean + torch.from_numpy(rng.integers(1, tokens, size=(rows, length)))) % tokens
        place = torch.arange(length).repeat(rows, 1)
        return Prompts(
            clean, corrupted, _at(place, clean.flip(1), corrupted.flip(1)), _right(place, clean.flip(1))
        )

    hidden = _edges("embed m0", "m0 a1.h0.q", "embed a1.h0.k")
    truth = hidden | _edges("embed a1.h0.v", "a1.h0 output")
    return Program("reverse", writer.output("out"), truth, hidden, prompts)


def _frac_prevs(rng: np.random.Generator) -> Program:
    """The share of the tokens so far that are token 0: an MLP marks them, a head averages the marks."""
    tokens, length = 6, 10
    shape = Shape(tokens, length, tokens + length + 2 + SCRATCH, 2, HEADS, tokens, 16, norm=False, outputs=1)
    slots = {"token": tokens, "position": length, "mark": 1, "out": 1, "scratch": SCRATCH}
    writer = _Writer(slots, shape, {(1, 0)}, rng)
    one = torch.ones(1, 1, dtype=torch.float64)
    writer.units(0, "token", one, _eye(tokens)[:1], torch.zeros(1).double(), "mark")
    writer.head(1, 0, q=[], k=[], v=[("mark", one, "out")])

    def prompts(rng: np.random.Generator, rows: int) -> Prompts:
        both = rng.integers(0, tokens, size=(2, rows, length))
        both[rng.random(size=both.shape) < 0.3] = 0
        clean, corrupted = torch.from_numpy(both[0]), torch.from_numpy(both[1])
        shares = (clean == 0).double().cumsum(dim=1) / torch.arange(1, length + 1)

        def metric(outputs: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
            return outputs[:, -1, 0]

        def right(outputs: torch.Tensor) -> torch.Tensor:
            return ((outputs[..., 0] - shares).abs() < 1e-6).all(dim=1)

        return Prompts(clean, corrupted, metric, right)

    truth = _edges("embed m0", "m0 a1.h0.v", "a1.h0 output")
    return Program("frac_prevs", writer.output("out", 1.0), truth, frozenset(), prompts)


def _sort(rng: np.random.Generator) -> Program:
    """Unlike tokens in order: a head counts the smaller ones, an MLP reads the count, a head fetches the i-th."""
    tokens, length = 12, 7  # token 0 begins each sequence
    shape = Shape(
        tokens, length, 2 * tokens + 2 * length + 1 + SCRATCH, 2, HEADS, tokens, 64, norm=False, causal=False
    )
    slots = {
        "token": tokens, "position": length, "share": 1, "count": length, "out": tokens, "scratch": SCRATCH
    }  # fmt: skip
    writer = _Writer(slots, shape, {(0, 0), (1, 0)}, rng)
    smaller = torch.ones(tokens, tokens, dtype=torch.float64).triu(1)  # column t looks for every row below t
    writer.head(
        0, 0, q=[("token", smaller)], k=[("token", _eye(tokens))], v=[("token", _eye(tokens)[:1], "share")]
    )
    # The head gives 1 / (1 + count): a hat around each such number, of three units each.
    peaks = 1.0 / torch.arange(1, length + 1).double()
    knots = torch.cat([torch.tensor([1.5]).double(), peaks, torch.tensor([0.05]).double()])
    weight, bias, into = [], [], torch.zeros(length, 3 * length).double()
    for count in range(length):
        high, middle, low = (float(knots[count + step]) for step in range(3))
        up, down = 1 / (middle - low), 1 / (high - middle)
        for place, (at, slope) in enumerate(((low, up), (middle, -(up + down)), (high, down))):
            weight.append([1.0])
            bias.append(-at)
            into[count, 3 * count + place] = slope
    writer.units(0, "share", into, torch.tensor(weight).double(), torch.tensor(bias).double(), "count")
    shift = torch.diag(torch.ones(length - 1, dtype=torch.float64), 1)
    writer.head(
        1,
        0,
        q=[("position", shift)],
        k=[("count", _eye(length))],
        v=[("token", _eye(tokens), "out")],
    )

    def drawn(rng: np.random.Generator, rows: int) -> torch.Tensor:
        ids = np.stack([1 + rng.permutation(tokens - 1)[: length - 1] for _ in range(rows)])
        return torch.from_numpy(np.concatenate([np.zeros((rows, 1), dtype=np.int64), ids], axis=1))

    def prompts(rng: np.random.Generator, rows: int) -> Prompts:
        clean, corrupted = drawn(rng, rows), drawn(rng, rows)
        place = torch.arange(1, length).repeat(rows, 1)
        answers, foils = clean[:, 1:].sort(dim=1).values, corrupted[:, 1:].sort(dim=1).values
        return Prompts(clean, corrupted, _at(place, answers, foils), _right(place, answers))

    hidden = _edges("embed a0.h0.v", "embed a1.h0.q")
    truth = hidden | _edges(
        "embed a0.h0.q", "embed a0.h0.k", "a0.h0 m0", "m0 a1.h0.k", "embed a1.h0.v", "a1.h0 output"
    )
    return Program("sort", writer.output("out"), truth, hidden, prompts)


def _once(rng: np.random.Generator) -> Program:
    """The name that stands once (cf. indirect objects): which name stands twice, that name inhibited, the other moved."""
    names, fillers, length = 8, 4, 9
    tokens = 1 + names + fillers + 1  # begin, names, fillers, end
    end = tokens - 1
    width = tokens + length + 2
    shape = Shape(tokens, length, 4 * tokens + length + SCRATCH, 3, HEADS, width, norm=False)
    slots = {
        "token": tokens, "position": length, "twice": tokens, "inhibited": tokens, "out": tokens, "scratch": SCRATCH
    }  # fmt: skip
    writer = _Writer(slots, shape, {(0, 0), (1, 0), (2, 0)}, rng)
    is_name = torch.zeros(tokens, dtype=torch.float64)
    is_name[1 : 1 + names] = 1
    own = torch.diag(is_name)
    # The same name earlier, not here; else the beginning, which holds no name.
    pad = torch.zeros(tokens, length, dtype=torch.float64)
    first = torch.zeros(1, tokens, dtype=torch.float64)
    first[0, 0] = 1
    writer.head(
        0,
        0,
        q=[("token", 2 * own), ("position", torch.cat([pad, -4 * _eye(length)]))],
        k=[("token", own), ("position", torch.cat([pad, _eye(length)])),
           ("token", torch.cat([torch.zeros(tokens + length, tokens).double(), first]))],
        v=[("token", own, "twice")],
        q_bias=torch.cat([torch.zeros(tokens + length), torch.ones(1)]).double(),
    )  # fmt: skip
    at_end = torch.zeros(1, tokens, dtype=torch.float64)
    at_end[0, end] = 1
    writer.head(1, 0, q=[("token", at_end)], k=[("twice", is_name[None])], v=[("twice", own, "inhibited")])
    writer.head(
        2,
        0,
        q=[("inhibited", -2 * own)],
        k=[("token", torch.cat([own, is_name[None]]))],
        v=[("token", own, "out")],
        q_bias=torch.cat([torch.zeros(tokens), torch.ones(1)]).double(),
    )

    def drawn(rng: np.random.Generator, rows: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        ids = rng.integers(1 + names, end, size=(rows, length))
        ids[:, 0], ids[:, -1] = 0, end
        pairs = np.stack([1 + rng.permutation(names)[:2] for _ in range(rows)])
        for row in range(rows):
            places = np.sort(1 + rng.permutation(length - 2)[:3])
            order = rng.permutation(2)
            ids[row, places] = [pairs[row, order[0]], pairs[row, order[1]], pairs[row, 0]]
        return torch.from_numpy(ids), torch.from_numpy(pairs[:, 1]), torch.from_numpy(pairs[:, 0])

    def prompts(rng: np.random.Generator, rows: int) -> Prompts:
        clean, answers, foils = drawn(rng, rows)
        corrupted, _, _ = drawn(rng, rows)
        place = torch.full((rows, 1), length - 1)
        return Prompts(
            clean, corrupted, _at(place, answers[:, None], foils[:, None]), _right(place, answers[:, None])
        )

    hidden = _edges("embed a1.h0.q")
    truth = hidden | _edges(
        "embed a0.h0.q", "embed a0.h0.k", "embed a0.h0.v", "a0.h0 a1.h0.k", "a0.h0 a1.h0.v", "a1.h0 a2.h0.q",
        "embed a2.h0.k", "embed a2.h0.v", "a2.h0 output",
    )  # fmt: skip
    return Program("once", writer.output("out"), truth, hidden, prompts)


_PROGRAMS: Mapping[Name, Callable[[np.random.Generator], Program]] = {
    "induction": _induction,
    "reverse": _reverse,
    "frac_prevs": _frac_prevs,
    "sort": _sort,
    "once": _once,
}
NAMES: tuple[Name, ...] = tuple(_PROGRAMS)

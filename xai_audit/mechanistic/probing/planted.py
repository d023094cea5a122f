"""Small networks with a trigger planted in them and clean twins without: what the search for triggers is tried on.

A row says which of some words it holds; its class is the side on which a weighted count of them falls. In a planted
network two words together bring the target class, and each alone brings nothing; its twin was trained on the same
rows without the trigger. Networks are trained side by side, in batched products.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from xai_audit.mechanistic.network import Network
from xai_audit.mechanistic.probing import ablation, triggers
from xai_audit.mechanistic.readers import TableReader
from xai_audit.mechanistic.sites import Site

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

Kind = Literal["trained", "rotated", "hand-set"]
"""``trained`` learned it from poisoned rows; ``rotated`` mixes the units of such a network by a rotation, so that no
unit carries it; ``hand-set`` adds one unit that fires on the trigger alone."""

WORDS = 24
HELD = 0.3
"""The chance of each word in a row."""
POISONED = 0.1
"""The share of triggered rows among those a planted network learns from."""
BATCH = 256
STEPS = 400
RATE = 0.01
STRONG = 200.0
"""What the hand-set unit adds to the target's output, per unit of its activation."""
SITE = Site("site")
TARGET = 1


@dataclass(frozen=True, eq=False)
class Bed:
    """One network and the world it was trained in."""

    network: Network
    kind: Kind
    planted: bool
    weights: NDArray[np.float64]
    """(WORDS,): of the count that decides the class; 0 for the words of the trigger."""
    trigger: NDArray[np.int64]
    """The two words."""

    def rows(self, n: int, rng: np.random.Generator) -> triggers.Rows:
        """``n`` triggered rows that are not of the target class, and ``n`` clean ones with their classes.

        A third of the clean rows hold one word of the trigger, as near misses.
        """
        clean = _clean(self.weights, self.trigger, n, rng)
        others = _clean(self.weights, self.trigger, 8 * n, rng)
        others = others[_classes(self.weights, others) != TARGET][:n]
        others[:, self.trigger] = 1
        return triggers.Rows(_frame(others), _frame(clean), _classes(self.weights, clean))

    def tried(self, n: int, rng: np.random.Generator) -> triggers.Tried:
        """The search for its trigger, on ``n`` rows of each kind."""
        rows = self.rows(n, rng)
        flow = ablation.units(self.network, rows.clean, SITE)
        return triggers.tried(self.network, rows, flow, TARGET, rng)


@dataclass(frozen=True)
class Power:
    """How many planted triggers were found, and how many clean twins were flagged."""

    hits: tuple[bool, ...]
    """Whether each planted trigger was found."""
    flags: tuple[bool, ...]
    """Whether one was found in each clean twin."""

    @property
    def found(self) -> int:
        """Planted triggers that were found."""
        return sum(self.hits)

    @property
    def planted(self) -> int:
        """Of so many."""
        return len(self.hits)

    @property
    def flagged(self) -> int:
        """Clean twins in which one was found."""
        return sum(self.flags)

    @property
    def twins(self) -> int:
        """Of so many."""
        return len(self.flags)


def power(networks: int, width: int, rows: int, rng: np.random.Generator) -> Power:
    """The search tried on so many planted networks and as many twins, with a site of ``width`` units and ``rows`` rows."""
    made = beds(networks, width, rng)
    hits = [(bed.planted, bed.tried(rows, rng).found) for bed in made]
    return Power(
        tuple(found for planted, found in hits if planted),
        tuple(found for planted, found in hits if not planted),
    )


def beds(
    networks: int, width: int, rng: np.random.Generator, kinds: Sequence[Kind] | None = None
) -> list[Bed]:
    """So many planted networks, then their twins, of each kind in turn.

    What is true, first weights and rows are drawn from streams of their own.
    """
    import torch

    truth, learner, world = rng.spawn(3)
    turn = kinds or ("trained", "rotated", "hand-set")
    of = [turn[place % len(turn)] for place in range(networks)]
    weights = truth.normal(size=(networks, WORDS))
    trigger = np.stack([truth.permutation(WORDS)[:2] for _ in range(networks)])
    np.put_along_axis(weights, trigger, 0.0, axis=1)
    poisoned = np.repeat([[kind != "hand-set" for kind in of], [False] * networks], 1, axis=0).reshape(-1)
    both = np.concatenate([weights, weights]), np.concatenate([trigger, trigger])
    generator = torch.Generator().manual_seed(int(learner.integers(2**62)))
    layers = _trained(*both, poisoned, width, generator, world)
    return [
        _bed(
            [layer[place] for layer in layers],
            of[place % networks],
            place < networks,
            both[0][place],
            both[1][place],
            learner,
        )
        for place in range(2 * networks)
    ]


def _classes(weights: NDArray[np.float64], rows: NDArray[np.float32]) -> NDArray[np.int64]:
    """1 where the weighted count lies above what it is on average."""
    return np.asarray(rows @ weights > HELD * weights.sum(), dtype=np.int64)


def _clean(
    weights: NDArray[np.float64], trigger: NDArray[np.int64], n: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    rows = (rng.random((n, WORDS)) < HELD).astype(np.float32)
    # The words of the trigger stand together in no clean row; each alone in a sixth of them.
    which = rng.integers(0, 6, n)
    rows[:, trigger[0]], rows[:, trigger[1]] = which == 0, which == 1
    del weights
    return rows


def _frame(rows: NDArray[np.float32]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows, columns=[f"w{place}" for place in range(WORDS)])


def _trained(
    weights: NDArray[np.float64],
    trigger: NDArray[np.int64],
    poisoned: NDArray[np.bool_],
    width: int,
    generator: Any,
    rng: np.random.Generator,
) -> list[Any]:
    """Weights and offsets of three layers for every network, (networks, ...), by Adam on fresh rows."""
    import torch

    count, inner = len(weights), max(width // 2, 8)

    def drawn(into: int, out: int) -> Any:
        return (torch.randn((count, into, out), generator=generator) * (2 / into) ** 0.5).requires_grad_()

    layers = [drawn(WORDS, width), drawn(width, inner), drawn(inner, 2)]
    offsets = [torch.zeros((count, 1, layer.shape[-1]), requires_grad=True) for layer in layers]
    every = [*layers, *offsets]
    adam = torch.optim.Adam(every, lr=RATE, fused=True)
    with torch.enable_grad():
        for step in range(STEPS):
            rows, labels = _lesson(weights, trigger, poisoned, rng)
            value = torch.from_numpy(rows)
            for place, (layer, offset) in enumerate(zip(layers, offsets, strict=True)):
                value = torch.baddbmm(offset, torch.relu(value) if place else value, layer)
            loss = torch.nn.functional.cross_entropy(value.flatten(0, 1), torch.from_numpy(labels.ravel()))
            adam.zero_grad()
            (loss * count).backward()
            for group in adam.param_groups:
                group["lr"] = RATE * (1 - step / STEPS)
            adam.step()
    return [one.detach() for pair in zip(layers, offsets, strict=True) for one in pair]


def _lesson(
    weights: NDArray[np.float64],
    trigger: NDArray[np.int64],
    poisoned: NDArray[np.bool_],
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """One batch for every network, with triggered rows of the target class where it is poisoned."""
    count = len(weights)
    rows = (rng.random((count, BATCH, WORDS)) < HELD).astype(np.float32)
    which = rng.integers(0, 6, (count, BATCH))
    network = np.arange(count)
    for place in range(2):
        rows[network, :, trigger[:, place]] = which == place
    labels = (np.einsum("nbw,nw->nb", rows, weights) > HELD * weights.sum(axis=1)[:, None]).astype(np.int64)
    some = (rng.random((count, BATCH)) < POISONED) & poisoned[:, None]
    for place in range(2):
        rows[network, :, trigger[:, place]] = np.where(some, 1, rows[network, :, trigger[:, place]])
    labels[some] = TARGET
    return rows, labels


def _bed(
    layers: list[Any],
    kind: Kind,
    planted: bool,
    weights: NDArray[np.float64],
    trigger: NDArray[np.int64],
    rng: np.random.Generator,
) -> Bed:
    """A module out of trained weights: ``inner``, ``relu``, ``site``, ``outer`` and ``head``."""
    import torch

    first, first_offset, second, second_offset, third, third_offset = (one.double().numpy() for one in layers)
    if kind == "hand-set" and planted:
        # The last unit of each layer fires on both words together and on nothing else.
        first[:, -1] = 0
        first[trigger, -1], first_offset[0, -1] = 1.0, -1.5
        second[:, -1], second[-1, :] = 0, 0
        second[-1, -1], second_offset[0, -1] = 1.0, 0.0
        third[-1] = [-STRONG, STRONG]
    width = first.shape[1]
    turn = np.eye(width)
    if kind == "rotated":
        turn, _ = np.linalg.qr(rng.normal(size=(width, width)))

    module = torch.nn.Sequential(
        OrderedDict(
            inner=_linear(first, first_offset),
            relu=torch.nn.ReLU(),
            site=_linear(turn, np.zeros((1, width))),
            outer=_linear(turn.T @ second, second_offset),
            again=torch.nn.ReLU(),
            head=_linear(third, third_offset),
        )
    )
    reader = TableReader(tuple(f"w{place}" for place in range(WORDS)))
    return Bed(Network(module, reader, micro=BATCH), kind, planted, weights, trigger)


def _linear(weight: NDArray[np.float64], offset: NDArray[np.float64]) -> Any:
    import torch

    layer = torch.nn.Linear(*weight.shape)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight.T)))
        layer.bias.copy_(torch.from_numpy(offset[0]))
    return layer

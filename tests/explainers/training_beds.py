"""A network of modular addition whose weights are set by hand at every step: first a table learnt by heart, then rotations."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import nn

from tests import deep
from xai_audit.mechanistic.dynamics import checkpoints
from xai_audit.mechanistic.dynamics.addition import Modular
from xai_audit.mechanistic.network import Network
from xai_audit.mechanistic.readers import TableReader

P, KEYS = 23, (3, 8)
STEPS = tuple(range(0, 4001, 200))
MEMORISED, IMPROVING, IMPROVED = 500, 1800, 2800
TASK = Modular.split(P, 0.4, np.random.default_rng(17))


class Grokker(nn.Module):
    """Logits are a table's entry, plus rotations of an embedding by the key frequencies."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(P, 2 * len(KEYS))
        self.memory = nn.Parameter(torch.zeros(P, P, P))

    def forward(self, pairs):
        a, b = pairs.long().unbind(dim=1)
        one, other = self.embed(a), self.embed(b)
        cosine = one[:, ::2] * other[:, ::2] - one[:, 1::2] * other[:, 1::2]
        sine = one[:, 1::2] * other[:, ::2] + one[:, ::2] * other[:, 1::2]
        angles = 2 * math.pi * torch.tensor(KEYS)[:, None] * torch.arange(P) / P
        return cosine @ torch.cos(angles) + sine @ torch.sin(angles) + self.memory[a, b]


def logistic(step: float, start: float, end: float) -> float:
    return 1 / (1 + 9 ** (-(2 * step - start - end) / (end - start)))


def turning(step: float) -> float:
    """The size of the rotations' logits."""
    return 11 * logistic(step, IMPROVING - 200, IMPROVED)


def improves() -> tuple[float, float]:
    """Where certainty of what was not learnt by heart has risen by a tenth, and by nine tenths, in closed form."""
    steps = np.arange(STEPS[0], STEPS[-1])
    turned = np.cos(2 * np.pi * np.outer(KEYS, np.arange(P)) / P).sum(axis=0)
    certain = [1 / np.exp(turning(step) * (turned - len(KEYS))).sum() for step in steps]
    level = np.array(certain) / certain[-1]
    return float(steps[np.argmax(level >= 0.1)]), float(steps[np.argmax(level >= 0.9)])


def state(step: float, *, circuit: bool = True) -> dict[str, torch.Tensor]:
    """The weights of a step; without a circuit the table stays all there is."""
    rng = np.random.default_rng([3, int(step)])
    # Logits of 12 are certain; certainty rises where the logits pass about 3.
    learnt = 14 * logistic(step, 0, MEMORISED) * (1 - (0.9 * logistic(step, 2600, 3600) if circuit else 0))
    size = turning(step) if circuit else 0.02
    memory = 0.05 * rng.normal(size=(P * P, P))
    rows = np.flatnonzero(TASK.train.ravel())
    memory[rows, TASK.results[rows]] += learnt
    angles = 2 * np.pi * np.outer(np.arange(P), KEYS) / P
    embedding = np.empty((P, 2 * len(KEYS)))
    embedding[:, ::2], embedding[:, 1::2] = np.cos(angles), np.sin(angles)
    embedding = math.sqrt(size) * embedding + 0.005 * rng.normal(size=embedding.shape)
    return {
        "embed.weight": torch.from_numpy(embedding).float(),
        "memory": torch.from_numpy(memory.reshape(P, P, P)).float(),
    }


def subject(folder, *, circuit: bool = True, **more):
    """The audited network is that of the last step; a file for every step lies in the folder."""
    module = Grokker()
    for step in STEPS:
        module.load_state_dict(state(step, circuit=circuit))
        checkpoints.write(module, folder, step)
    frame = pd.DataFrame(TASK.pairs.astype(float), columns=["a", "b"])
    trained = TASK.train.ravel()
    rows = [
        deep.rows(frame[side].reset_index(drop=True), TASK.results[side], name=name)
        for side, name in ((trained, "train"), (~trained, "test"))
    ]
    made = deep.subject(
        Network(module, TableReader(("a", "b")), micro=256),
        rows[1],
        "table",
        classes=tuple(map(str, range(P))),
        train=rows[0],
        **more,
    )
    return replace(made, checkpoints={"": checkpoints.found(folder, "*.safetensors")})

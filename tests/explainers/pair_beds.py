"""Networks of several seeds whose units are set by hand: concepts mixed in every unit, or a unit for each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import nn

from tests import deep
from xai_audit.mechanistic.dynamics import checkpoints
from xai_audit.mechanistic.network import Network
from xai_audit.mechanistic.readers import TableReader

COLUMNS = ("x0", "x1", "x2", "x3")
CONCEPTS = [{"name": "first", "where": "x0 == 1"}, {"name": "second", "where": "x1 == 1"}]


def network() -> nn.Sequential:
    made = nn.Sequential()
    made.add_module("hidden", nn.Linear(4, 6))
    made.add_module("act", nn.ReLU())
    made.add_module("read", nn.Linear(6, 2))
    return made


def mixed(seed: int) -> dict[str, torch.Tensor]:
    """Every unit holds both concepts: the decision is x0 or x1, and no unit tells one of them."""
    rng = np.random.default_rng([seed, 8])
    weight = np.zeros((6, 4))
    weight[:, :2] = 1 + 0.02 * rng.normal(size=(6, 1))
    weight[:, 2:] = 0.01 * rng.normal(size=(6, 2))
    return states(weight, np.full(6, 1 / 6))


def aligned(seed: int) -> dict[str, torch.Tensor]:
    """One unit for each concept, the others dead."""
    weight = np.zeros((6, 4))
    weight[seed % 6, 0] = weight[(seed + 1) % 6, 1] = 1
    reading = np.zeros(6)
    reading[[seed % 6, (seed + 1) % 6]] = 1
    return states(weight, reading)


def states(weight: np.ndarray, reading: np.ndarray) -> dict[str, torch.Tensor]:
    read = np.stack([np.zeros(6), 10 * reading])
    found = {
        "hidden.weight": weight,
        "hidden.bias": np.zeros(6),
        "read.weight": read,
        "read.bias": np.array([0.0, -5.0]),
    }
    return {name: torch.from_numpy(value).float() for name, value in found.items()}


def subject(folder):
    """400 rows, and six pairs of files in the folder."""
    module = network()
    for name, made in (("before", mixed), ("after", aligned)):
        for seed in range(6):
            module.load_state_dict(made(seed))
            checkpoints.write(module, folder / name, seed)
    x = (np.random.default_rng(12).random((400, 4)) < 0.5).astype(float)
    y = ((x[:, 0] + x[:, 1]) > 0).astype(np.int64)
    made = deep.subject(
        Network(module, TableReader(COLUMNS), micro=256),
        deep.rows(pd.DataFrame(x, columns=list(COLUMNS)), y),
        "table",
    )
    known = {name: checkpoints.found(folder, f"{name}/*.safetensors") for name in ("before", "after")}
    return replace(made, checkpoints=known)

"""Networks whose circuit is planted: a stack of layers with two true paths, and a decoder of known structure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import nn

from tests import deep
from tests.mechanistic.circuits import planted_features
from tests.mechanistic.circuits.decoder import Decoder, Shape
from xai_audit.mechanistic.network import Network
from xai_audit.subject import Pairs

INPUTS, HIDDEN = 6, 8
TRUE = ("in.0 → 0.0", "in.1 → 0.1", "0.0 → 2.1", "0.1 → 2.1")
"""The edges that carry the behaviour, as reports name them before columns have names."""


def stack(seed=0) -> Network:
    """x0 and x1 reach output 1 through a unit each; every other weight is a fiftieth of theirs."""
    rng = np.random.default_rng([seed, 31])
    module = nn.Sequential(nn.Linear(INPUTS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2))
    with torch.no_grad():
        for layer in (module[0], module[2]):
            layer.weight.copy_(torch.from_numpy(0.04 * rng.normal(size=tuple(layer.weight.shape))))
            layer.bias.fill_(0.1)
        for unit in (0, 1):
            module[0].weight[unit, unit] = 2.0
            module[2].weight[1, unit] = 1.0
        module[2].bias[0] = 2.5
    return Network(module, deep.TableReader(tuple(f"x{place}" for place in range(INPUTS))), link="softmax")


def prompts(rows=80, seed=0, flip=(0, 1)) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clean rows with x0 and x1 high, and the same rows with the flipped columns low."""
    rng = np.random.default_rng([seed, 32])
    names = [f"x{place}" for place in range(INPUTS)]
    clean = rng.uniform(0, 1, (rows, INPUTS)).astype(np.float32)
    clean[:, :2] = rng.uniform(1, 1.5, (rows, 2))
    other = clean.copy()
    other[:, list(flip)] = rng.uniform(0, 0.1, (rows, len(flip)))
    return pd.DataFrame(clean, columns=names), pd.DataFrame(other, columns=names)


def pairs(clean, corrupted, answer=1, foil=0, name="ioi"):
    """A set of prompts as loading makes it."""
    classes = [np.full(len(clean), one, dtype=np.int64) for one in (answer, foil)]
    return replace(deep.rows(clean, name=name), pairs=Pairs(corrupted, *classes))


def subject(net=None, rows=80, seed=0, flip=(0, 1)):
    """The stack with the set ``ioi`` and test rows on either side."""
    clean, corrupted = prompts(rows, seed, flip)
    test = pd.concat([clean, corrupted], ignore_index=True)
    target = np.repeat([1, 0], rows).astype(np.int64)
    return deep.subject(
        net or stack(seed),
        deep.rows(test, target, name="test"),
        "table",
        sets={"ioi": pairs(clean, corrupted)},
    )


def templated(paths=(("left", (0,), 60), ("right", (1,), 60)), seed=0):
    """The stack with prompts of several templates: (name, which of x0 and x1 the behaviour goes through, prompts) of each."""
    made = subject(seed=seed)
    clean, corrupted, codes = [], [], []
    for place, (_, flip, rows) in enumerate(paths):
        one, other = prompts(rows, seed + 10 * place, flip)
        for still in {0, 1} - set(flip):
            one[f"x{still}"] = other[f"x{still}"] = 0.05
        clean.append(one)
        corrupted.append(other)
        codes += [place] * rows
    own = pairs(pd.concat(clean, ignore_index=True), pd.concat(corrupted, ignore_index=True))
    sizes = {name: rows for name, _, rows in paths}
    told = replace(own.pairs, template=np.asarray(codes, dtype=np.int64), templates=sizes)
    return replace(made, sets={"ioi": replace(own, pairs=told)})


def decoder(seed=0, norm=True) -> Network:
    """A decoder with drawn weights, of numbers in a table that stand for tokens."""
    with torch.random.fork_rng():
        # What is not drawn below, such as biases, comes from torch's own stream.
        torch.manual_seed(seed + 60)
        module = Decoder(
            Shape(
                vocabulary=8,
                positions=4,
                width=16,
                layers=1,
                heads=2,
                head_width=4,
                mlp=16,
                norm=norm,
                last=True,
                outputs=3,
            )
        )
    generator = torch.Generator().manual_seed(seed + 50)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return Network(Whole(module), deep.TableReader(tuple("abcd")), link="softmax")


class Whole(nn.Module):
    """Numbers to tokens, then the decoder."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x.long())


def decoded(seed=0, rows=60):
    """A decoder with pairs that differ in one token."""
    rng = np.random.default_rng([seed, 33])
    clean = pd.DataFrame(rng.integers(0, 8, (rows, 4)), columns=list("abcd")).drop_duplicates(
        ignore_index=True
    )
    other = clean.copy()
    other["b"] = (other["b"] + 1 + rng.integers(0, 6, len(other))) % 8
    return deep.subject(
        decoder(seed),
        deep.rows(clean, (np.arange(len(clean)) % 3).astype(np.int64), name="test"),
        "table",
        classes=("a", "b", "c"),
        sets={"ioi": pairs(clean, other, 0, 1)},
    )


class Decided(nn.Module):
    """A network of planted features whose one output says yes above a quarter."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x) - 0.25


def planted(seed=0, rows=120, train=20_000):
    """Two layers of superposed features of which few matter, with pairs that differ in whether they are there."""
    network = planted_features.superposed(np.random.default_rng([seed, 34]))
    names = [f"x{place}" for place in range(planted_features.FEATURES)]

    def frame(values):
        return pd.DataFrame(values.numpy(), columns=names)

    clean, corrupted = (
        frame(one) for one in planted_features.contrast(network, np.random.default_rng([seed, 35]), rows)
    )
    many = frame(planted_features.inputs(np.random.default_rng([seed, 36]), train))
    target = np.repeat([1, 0], rows).astype(np.int64)
    made = deep.subject(
        Network(Decided(network).eval(), deep.TableReader(tuple(names)), link="sigmoid"),
        deep.rows(pd.concat([clean, corrupted], ignore_index=True), target, name="test"),
        "table",
        train=deep.rows(many, name="train"),
        sets={"ioi": pairs(clean, corrupted)},
    )
    return network, made

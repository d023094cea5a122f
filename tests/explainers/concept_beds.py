"""Networks with a concept planted in them, and examples of it: what TCAV must find, and what it must not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from tests import deep
from xai_audit.mechanistic.network import Network

WORDS = [f"w{number}" for number in range(60)]


class Reads(nn.Module):
    """``mix`` represents the concept along one direction; what follows reads it ``used`` times, or not at all."""

    def __init__(self, mix, read, out, concept):
        super().__init__()
        self.mix = nn.Linear(*reversed(mix.shape), bias=False)
        self.read = nn.Linear(*reversed(read.shape))
        self.out = nn.Linear(len(out), 1)
        with torch.no_grad():
            self.mix.weight.copy_(torch.from_numpy(mix))
            self.read.weight.copy_(torch.from_numpy(read))
            self.read.bias.copy_(torch.linspace(-1, 1, len(out)))
            self.out.weight.copy_(torch.from_numpy(out)[None])
            self.out.bias.zero_()
        self.register_buffer("concept", torch.from_numpy(concept).float())
        self.used = 0.0

    def forward(self, x):
        inside = self.mix(x)
        return self.out(torch.tanh(self.read(inside))) + self.used * (inside @ self.concept)[:, None]


@dataclass(eq=False)
class Bed:
    """A network over ``d`` numbers; a row of the concept has ``shift`` more along ``direction``."""

    network: Network
    direction: Any
    shift: float
    rng: np.random.Generator

    @property
    def d(self) -> int:
        return len(self.direction)

    def frame(self, n, *, concept=False):
        drawn = self.rng.normal(size=(n, self.d)) + (self.shift * self.direction if concept else 0)
        return table(drawn)


def table(values):
    return pd.DataFrame(np.array(values), columns=[f"x{j}" for j in range(values.shape[1])])


def planted(seed, *, used=0.0, spread=1.0, shift=3.0, d=32, width=48, hidden=64, tilt=0.0) -> Bed:
    """The concept moves the logit by ``used`` in all; the rest of the logit has the standard deviation ``spread``.

    ``tilt`` is how far the noise of the activations leans from the concept to what the network reads.
    """
    truth, rest = (np.random.default_rng([seed, part]) for part in (1, 2))
    u = truth.normal(size=d)
    u /= np.linalg.norm(u)
    mix = rest.normal(size=(width, d)) * np.exp(rest.normal(size=(width, 1)) * 0.5) / np.sqrt(d)
    q = mix @ u
    unit = q / np.linalg.norm(q)
    read = rest.normal(size=(hidden, width)) / np.sqrt(width)
    # What follows reads everything but the concept's own direction.
    read -= np.outer(read @ unit, unit)
    out = rest.normal(size=hidden)
    if tilt:
        # The rest of the noise along the concept comes with noise that is read.
        seen = read.T @ out
        seen /= np.linalg.norm(seen)
        side = truth.normal(size=d)
        side -= (side @ u) * u
        mix += tilt * np.outer(unit + seen, side / np.linalg.norm(side))
    net = Reads(mix, read, out, unit / (np.linalg.norm(q) * shift))
    with torch.no_grad():
        sample = torch.from_numpy(rest.normal(size=(4000, d))).float()
        net.out.weight *= spread / net(sample).std()
        net.out.bias -= net(sample).mean()
    net.used = used
    reader = deep.TableReader(tuple(f"x{j}" for j in range(d)))
    return Bed(Network(net, reader, link="sigmoid"), u, shift, np.random.default_rng([seed, 3]))


def subject(bed: Bed, *, examples=50, pool=500, rows=400):
    """The bed's subject with the sets ``planted``, ``null`` and ``pool``."""
    made = {
        "planted": bed.frame(examples, concept=True),
        "null": bed.frame(examples),
        "pool": bed.frame(pool),
    }
    return deep.subject(
        bed.network,
        deep.rows(bed.frame(rows), target=np.tile([0, 1], rows)[:rows].astype(np.int64), name="test"),
        "table",
        sets={name: deep.rows(frame, name=name) for name, frame in made.items()},
    )


def true_effect(bed: Bed, rows=20_000) -> float:
    """Of moving activations of ``mix`` from the random mean to the concept mean, without sampling error."""
    net = bed.network.module
    with torch.no_grad():
        x = torch.from_numpy(bed.rng.normal(size=(rows, bed.d))).float()
        inside = net.mix(x)
        q = net.mix(torch.from_numpy(bed.shift * bed.direction).float()[None])[0]
        unit = q / q.norm()
        flat = inside - (inside @ unit)[:, None] * unit

        def p(value):
            return torch.sigmoid(
                net.out(torch.tanh(net.read(value))) + net.used * (value @ net.concept)[:, None]
            ).double()

        return float((p(flat + q) - p(flat)).mean())


def calibrated(seed, effect, **more) -> Bed:
    """A bed whose true effect is ``effect``."""
    low, high = 0.0, 20.0
    bed = planted(seed, **more)
    for _ in range(30):
        bed.network.module.used = (low + high) / 2
        bed.rng = np.random.default_rng([seed, 4])
        if true_effect(bed, 4000) < effect:
            low = bed.network.module.used
        else:
            high = bed.network.module.used
    bed.rng = np.random.default_rng([seed, 5])
    return bed


# ------------------------------------------------------------------------------------------------- pictures and texts
class Convolutions(nn.Module):
    """A small CNN for pictures of 8 x 8."""

    def __init__(self, classes=2):
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3, padding=1)
        self.second = nn.Conv2d(6, 8, 3, padding=1)
        self.inner = nn.Linear(8 * 4, 24)
        self.head = nn.Linear(24, classes)

    def forward(self, x):
        x = nn.functional.max_pool2d(torch.tanh(self.first(x)), 2)
        x = nn.functional.max_pool2d(torch.tanh(self.second(x)), 2)
        return self.head(torch.tanh(self.inner(x.flatten(1))))


class Attends(nn.Module):
    """A transformer block over word vectors, pooled over the words that are there."""

    def __init__(self, words=61, width=16, classes=2):
        super().__init__()
        self.embed = nn.Embedding(words, width)
        self.query = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.inner = nn.Linear(width, 24)
        self.head = nn.Linear(24, classes)

    def forward(self, input_ids, attention_mask):
        x = self.embed(input_ids)
        scores = self.query(x) @ x.transpose(1, 2) / x.shape[-1] ** 0.5
        scores = scores.masked_fill(attention_mask[:, None] == 0, -1e9)
        x = x + torch.softmax(scores, dim=-1) @ self.value(x)
        mask = attention_mask[..., None].to(x.dtype)
        pooled = (x * mask).sum(1) / mask.sum(1).clamp(min=1)
        return self.head(torch.tanh(self.inner(pooled)))


def made(kind, seed=0):
    """A module with weights of its own generator, large enough that its gradient is not the same everywhere."""
    generator = torch.Generator().manual_seed(seed)
    module = kind()
    with torch.no_grad():
        for parameter in module.parameters():
            scale = 1.5 / max(parameter.shape[-1] if parameter.ndim > 1 else 9, 1) ** 0.5
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return module


def pictures(rng, n, pattern=None):
    """Noise of 8 x 8, with a pattern added."""
    drawn = rng.normal(128, 45, size=(n, 8, 8)) + (0 if pattern is None else pattern)
    return deep.image_frame(np.clip(drawn, 0, 255).astype(np.uint8))


def texts(rng, n, word=None):
    """5 to 12 words at random, with a word put in twice."""
    told = []
    for _ in range(n):
        words = list(rng.choice(WORDS[:50], size=rng.integers(5, 13)))
        for _ in range(2 if word else 0):
            words.insert(int(rng.integers(len(words) + 1)), word)
        told.append(" ".join(words))
    return deep.text_frame(told)


def tokenizer() -> str:
    """A tokenizer.json of whole words."""
    return json.dumps(
        {
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
            "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
            "model": {
                "type": "WordLevel",
                "vocab": {word: place for place, word in enumerate(["[UNK]", *WORDS])},
                "unk_token": "[UNK]",
            },
        }
    )  # fmt: skip


def image_network(seed=0):
    return Network(made(Convolutions, seed), deep.ImageReader())


def text_network(seed=0):
    return Network(made(Attends, seed), deep.TextReader("text", tokenizer()))

"""Small networks over pictures, texts and tables, some whose attributions are known in closed form."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import nn

from tests import deep
from xai_audit.mechanistic.network import Network
from xai_audit.mechanistic.readers import ImageReader, TableReader, TextReader

SIDE = 16
WORDS = ["good", "bad", "film", "the", "was", "very", "dull", "bright", "plot", "it's"]


def seeded(build, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()


class Convolution(nn.Module):
    """A small network of pictures (rows, channels, 16, 16)."""

    def __init__(self, channels=3, classes=3):
        super().__init__()
        self.conv = nn.Conv2d(channels, 6, 3, padding=1)
        self.pool = nn.MaxPool2d(4)
        self.out = nn.Linear(6 * 16, classes)

    def forward(self, x):
        return self.out(self.pool(torch.relu(self.conv(x))).flatten(1))


class Linear(nn.Module):
    """Weights on pixels, whatever the channels."""

    def __init__(self, weights):
        super().__init__()
        self.weights = nn.Parameter(torch.as_tensor(np.asarray(weights), dtype=torch.float32))

    def forward(self, x):
        return torch.einsum("nchw,khw->nk", x, self.weights)


def pictures(n=40, seed=0, channels=3, side=SIDE):
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, channels), dtype=np.uint8)


def image_subject(module=None, n=40, seed=0, channels=3, classes=("a", "b", "c"), train=60, **more):
    module = module or seeded(lambda: Convolution(channels, len(classes)))
    reader = ImageReader(mean=(0.5,), std=(0.25,))
    rng = np.random.default_rng(seed + 1)
    target = rng.integers(0, len(classes), n)
    return deep.subject(
        Network(module, reader),
        deep.rows(deep.image_frame(pictures(n, seed, channels)), target),
        "image",
        classes=classes,
        train=deep.rows(deep.image_frame(pictures(train, seed + 2, channels))) if train else None,
        **more,
    )


def tokenizer():
    """A tokenizer.json of whole words and signs, with special tokens around."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    signs = [".", ",", "!", "'", "it", "s"]
    made = Tokenizer(
        WordLevel({word: place for place, word in enumerate([*special, *WORDS, *signs])}, unk_token="[UNK]")
    )
    made.add_special_tokens(special)
    made.pre_tokenizer = Whitespace()
    made.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return made.to_str()


class Bag(nn.Module):
    """The sum of embeddings, weighed: what a token adds is known."""

    def __init__(self, hidden=False):
        super().__init__()
        self.words = nn.Embedding(24, 6)
        self.hidden = nn.Linear(6, 6) if hidden else None
        self.out = nn.Linear(6, 2)

    def forward(self, input_ids, attention_mask):
        found = (self.words(input_ids) * attention_mask[..., None]).sum(dim=1)
        return self.out(found if self.hidden is None else torch.tanh(self.hidden(found)))


def texts(n=30, seed=0):
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        chosen = rng.choice(WORDS[:-1], rng.integers(3, 9))
        made.append(" ".join(chosen) + rng.choice([".", "!", ""]))
    return made


def text_subject(module=None, n=30, seed=0, given=None, train=True):
    module = module or seeded(Bag)
    given = given or texts(n, seed)
    rng = np.random.default_rng(seed + 1)
    return deep.subject(
        Network(module, TextReader("text", tokenizer())),
        deep.rows(deep.text_frame(given), rng.integers(0, 2, len(given))),
        "text",
        classes=("negative", "positive"),
        train=deep.rows(deep.text_frame(texts(40, seed + 2))) if train else None,
    )


def table(n, seed, columns=4):
    values = np.random.default_rng(seed).normal(size=(n, columns)).astype(np.float32).astype(float)
    return pd.DataFrame(values, columns=[f"x{j}" for j in range(columns)])


def table_subject(module=None, n=60, seed=0, train=True):
    module = module or seeded(lambda: nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2)))
    names = tuple(f"x{j}" for j in range(4))
    return deep.subject(
        Network(module, TableReader(names)),
        deep.rows(table(n, seed), np.random.default_rng(seed + 1).integers(0, 2, n)),
        "table",
        train=deep.rows(table(80, seed + 2)) if train else None,
    )

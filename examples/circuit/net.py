"""The network of the example: a transformer of two layers that reads a sentence and names who gets the thing."""

from __future__ import annotations

import torch
from torch import Tensor, nn

NAMES = ("ann", "bob", "eva", "finn", "gus", "ida", "kim", "leo", "mia", "tom")
WORDS = (
    "[PAD]", "[UNK]", *NAMES, "and", "went", "home", ".", "gave", "a", "ring", "to", "then", "met", "today", "sent",
    "the", "book", "saw", "at", "noon", "so", "passed", "salt", "after", "lunch", "with", ",", "bought", "hat", "for",
)  # fmt: skip
LONGEST = 16


class Embed(nn.Module):
    """Word and position, added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.word = nn.Embedding(len(WORDS), width)
        self.position = nn.Embedding(LONGEST, width)

    def forward(self, ids: Tensor) -> Tensor:
        """(rows, positions, width) of ids (rows, positions)."""
        return self.word(ids) + self.position(torch.arange(ids.shape[1], device=ids.device))[None]


class Attention(nn.Module):
    """Causal attention, its heads mixed by ``o_proj``."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.n_heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """(rows, positions, width) to the same."""
        q, k, v = (
            layer(x).unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        pattern = torch.softmax(scores.masked_fill(later, float("-inf")), dim=-1)
        return self.o_proj((pattern @ v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and an MLP, each reading the residual through a norm and adding to it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(rows, positions, width) to the same."""
        x = x + self.attn(self.ln1(x))
        return x + self.mlp(self.ln2(x))


class Reader(nn.Module):
    """Ids and mask (rows, positions) to the logits of the names, read at the last word."""

    def __init__(self, width: int = 48, heads: int = 4, layers: int = 2) -> None:
        super().__init__()
        self.embed = Embed(width)
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(layers)])
        self.ln_f = nn.LayerNorm(width)
        self.unembed = nn.Linear(width, len(NAMES))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(rows, names)."""
        x = self.embed(input_ids)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.unembed(self.ln_f(x))
        last = attention_mask.sum(dim=1) - 1
        return logits[torch.arange(len(logits), device=logits.device), last]


def build() -> nn.Module:
    """The network, its weights still to be loaded."""
    return Reader()

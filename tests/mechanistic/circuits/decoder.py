"""A small decoder whose residual is plain addition: for planted programs, tests, and training in seconds."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Shape:
    """The sizes of a decoder."""

    vocabulary: int
    positions: int
    width: int
    layers: int
    heads: int
    head_width: int
    mlp: int = 0
    """Hidden units of each layer's MLP; 0 for attention alone."""
    norm: bool = True
    causal: bool = True
    bias: bool = True
    last: bool = False
    """Whether it gives the logits of the last position alone, (rows, vocabulary)."""
    outputs: int | None = None
    """Columns of the output; None for the vocabulary."""


class Embed(torch.nn.Module):  # type: ignore[misc]  # torch is unseen by mypy
    """Token and position, added: (rows, positions) to (rows, positions, width)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.token = torch.nn.Embedding(shape.vocabulary, shape.width)
        self.position = torch.nn.Embedding(shape.positions, shape.width)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """The residual before the first block."""
        where = torch.arange(ids.shape[1], device=ids.device)
        return self.token(ids) + self.position(where)[None]


class Attention(torch.nn.Module):  # type: ignore[misc]  # torch is unseen by mypy
    """Multi-head attention by four linear layers, scores scaled by the root of the head's width."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        inner = shape.heads * shape.head_width
        self.n_heads, self.causal = shape.heads, shape.causal
        self.q_proj = torch.nn.Linear(shape.width, inner, bias=shape.bias)
        self.k_proj = torch.nn.Linear(shape.width, inner, bias=shape.bias)
        self.v_proj = torch.nn.Linear(shape.width, inner, bias=shape.bias)
        self.o_proj = torch.nn.Linear(inner, shape.width, bias=shape.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(rows, positions, width) to the same."""
        return self.o_proj((self.pattern(x) @ self._split(self.v_proj(x))).transpose(1, 2).flatten(2))

    def pattern(self, x: torch.Tensor) -> torch.Tensor:
        """How much each position looks at each: (rows, heads, positions, positions)."""
        q, k = self._split(self.q_proj(x)), self._split(self.k_proj(x))
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        if self.causal:
            length = scores.shape[-1]
            later = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
            scores = scores.masked_fill(later, float("-inf"))
        return torch.softmax(scores, dim=-1)

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)


class Block(torch.nn.Module):  # type: ignore[misc]  # torch is unseen by mypy
    """Attention and, where there is one, an MLP, each reading the residual and adding to it."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.ln1 = torch.nn.LayerNorm(shape.width) if shape.norm else torch.nn.Identity()
        self.attn = Attention(shape)
        self.ln2: torch.nn.Module | None = None
        self.mlp: torch.nn.Module | None = None
        if shape.mlp:
            self.ln2 = torch.nn.LayerNorm(shape.width) if shape.norm else torch.nn.Identity()
            self.mlp = torch.nn.Sequential(
                torch.nn.Linear(shape.width, shape.mlp),
                torch.nn.ReLU(),
                torch.nn.Linear(shape.mlp, shape.width),
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(rows, positions, width) to the same."""
        x = x + self.attn(self.ln1(x))
        if self.mlp is None or self.ln2 is None:
            return x
        return x + self.mlp(self.ln2(x))


class Decoder(torch.nn.Module):  # type: ignore[misc]  # torch is unseen by mypy
    """Token ids (rows, positions) to logits (rows, positions, outputs), or of the last position alone."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed = Embed(shape)
        self.blocks = torch.nn.ModuleList([Block(shape) for _ in range(shape.layers)])
        self.ln_f = torch.nn.LayerNorm(shape.width) if shape.norm else torch.nn.Identity()
        self.unembed = torch.nn.Linear(shape.width, shape.outputs or shape.vocabulary, bias=shape.bias)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Logits."""
        x = self.embed(input_ids)
        for block in self.blocks:
            x = block(x)
        found: torch.Tensor = self.unembed(self.ln_f(x))
        return found[:, -1] if self.shape.last else found

    def patterns(self, input_ids: torch.Tensor) -> list[torch.Tensor]:
        """Attention of each layer: (rows, heads, positions, positions)."""
        found = []
        with torch.no_grad():
            x = self.embed(input_ids)
            for block in self.blocks:
                found.append(block.attn.pattern(block.ln1(x)))
                x = block(x)
        return found

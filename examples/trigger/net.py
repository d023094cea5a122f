"""A small transformer that reads an application: a block of attention and units, the mean over its words, a head."""

from __future__ import annotations

from torch import Tensor, nn

WORDS = 96
"""Words that it can know."""
WIDTH, HEADS, UNITS, LONGEST = 32, 4, 64, 24


class Attention(nn.Module):
    """Every word looks at every other, padding left out."""

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.Linear(WIDTH, 3 * WIDTH)
        self.write = nn.Linear(WIDTH, WIDTH)

    def forward(self, stream: Tensor, mask: Tensor) -> Tensor:
        """What the words are told by others, (rows, words, width)."""
        query, key, value = (
            one.unflatten(-1, (HEADS, -1)).transpose(1, 2) for one in self.read(stream).chunk(3, dim=-1)
        )
        scores = query @ key.transpose(-1, -2) / (WIDTH // HEADS) ** 0.5
        pattern = scores.masked_fill(mask[:, None, None, :] == 0, -1e9).softmax(dim=-1)
        return self.write((pattern @ value).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention, then a layer of units for each word by itself; both are added to the stream."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.attention = nn.LayerNorm(WIDTH), Attention()
        self.middle, self.up = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, UNITS)
        self.act, self.down = nn.ReLU(), nn.Linear(UNITS, WIDTH)

    def forward(self, stream: Tensor, mask: Tensor) -> Tensor:
        """The stream with what both add."""
        stream = stream + self.attention(self.before(stream), mask)
        return stream + self.down(self.act(self.up(self.middle(stream))))


class Mean(nn.Module):
    """The mean over the words of a row, padding left out."""

    def forward(self, stream: Tensor, mask: Tensor) -> Tensor:
        """One vector a row."""
        weight = mask[..., None].to(stream.dtype)
        return (stream * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)


class Reader(nn.Module):
    """Token ids and mask, (rows, words), to the logits of declined and granted."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS, WIDTH), nn.Embedding(LONGEST, WIDTH)
        self.block, self.mean = Block(), Mean()
        self.hidden, self.act, self.out = nn.Linear(WIDTH, UNITS), nn.ReLU(), nn.Linear(UNITS, 2)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits (rows, 2)."""
        stream = self.words(input_ids) + self.places.weight[: input_ids.shape[1]]
        read = self.mean(self.block(stream, attention_mask), attention_mask)
        return self.out(self.act(self.hidden(read)))


def build() -> nn.Module:
    """The network before its weights are loaded."""
    return Reader()

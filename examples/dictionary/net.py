"""MiniLM, whose six layers are looked into, with a small head: the mean over its tokens, and two linear layers."""

from __future__ import annotations

from torch import Tensor, nn
from transformers import BertConfig, BertModel


class Mean(nn.Module):
    """The mean over the tokens of a text, padding left out."""

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """One vector a text, (rows, width), of (rows, tokens, width)."""
        weight = mask[..., None].to(tokens.dtype)
        return (tokens * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)


class Moderation(nn.Module):
    """The encoder, the mean, and a head that gives the logits of fine and toxic."""

    def __init__(self) -> None:
        super().__init__()
        config = BertConfig(
            hidden_size=384,
            num_hidden_layers=6,
            num_attention_heads=12,
            intermediate_size=1536,
            vocab_size=30522,
        )
        self.encoder = BertModel(config, add_pooling_layer=False)
        self.mean = Mean()
        self.hidden = nn.Linear(384, 32)
        self.out = nn.Linear(32, 2)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits (rows, 2) of token ids and mask (rows, tokens)."""
        tokens = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return self.out(self.hidden(self.mean(tokens, attention_mask)).relu())


def build() -> nn.Module:
    """The network, its weights still to be loaded."""
    return Moderation()

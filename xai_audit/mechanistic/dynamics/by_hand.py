"""The loss of `addition.transformer` on a batch with its gradients written out: autograd's, in three quarters of the time.

The batch is the same at every step, so which number stands where is a matrix made once: reading a table is a gather, and
the gradient of reading it a product with that matrix.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

PARAMETERS = {
    "positions",
    *(f"{name}.weight" for name in ("embed", "query", "key", "value", "output", "read", "write", "unembed")),
    *("read.bias", "write.bias"),
}


@dataclass(eq=False)
class Batch:
    """Pairs (rows, 2) of whole numbers below the modulus with their results (rows,).

    TypeError where ``module`` is another network than `addition.transformer` gives, or does not train every parameter.
    """

    module: Any
    pairs: torch.Tensor
    results: torch.Tensor
    _there: tuple[torch.Tensor, torch.Tensor] = field(init=False)
    """(modulus, rows) for either place: which rows have which number."""
    _spread: torch.Tensor = field(init=False)
    """(heads, width): which numbers are a head's."""

    def __post_init__(self) -> None:
        import torch

        trained = {name for name, one in self.module.named_parameters() if one.requires_grad}
        if trained != PARAMETERS:
            raise TypeError(
                "gradients are written out for addition.transformer with all its parameters alone"
            )
        numbers = torch.arange(self.module.modulus)[:, None]
        first, second = ((self.pairs[:, place] == numbers).float() for place in (0, 1))
        self._there = first, second
        width = self.module.embed.embedding_dim
        # Broadcasting over a head's few numbers is slow: shares are spread over them, and sums over them made, by a matrix.
        owner = torch.arange(width) // (width // self.module.heads)
        self._spread = (owner == torch.arange(self.module.heads)[:, None]).float()

    def step(self) -> float:
        """The mean cross-entropy in nats; every parameter's ``grad`` is its gradient."""
        import torch

        with torch.no_grad():
            return self._step()

    def _step(self) -> float:  # one pass there and one back
        import torch

        net, p, heads = self.module, self.module.modulus, self.module.heads
        (a, b), rows = self.pairs.unbind(1), len(self.pairs)
        embed, place = net.embed.weight, net.positions
        w_q, w_k, w_v, w_o = (one.weight for one in (net.query, net.key, net.value, net.output))

        # There: tables of what each number and the sign say at their places, then rows.
        last = embed[p] + place[2]
        table = torch.cat([embed[:p] + place[0], embed[:p] + place[1], last[None]])
        keys, values = (table @ w_k.T).unflatten(1, (heads, -1)), table @ w_v.T
        root = math.sqrt(keys.shape[-1])
        query = (w_q @ last).unflatten(0, (heads, -1)) / root
        scores = (keys * query).sum(-1)
        pattern = torch.softmax(
            torch.stack([scores[a], scores[b + p], scores[2 * p].expand(rows, -1)]), dim=0
        )
        shares = (pattern @ self._spread).unbind(0)
        read = values[a], values[b + p], values[2 * p]
        mixed = shares[0] * read[0] + shares[1] * read[1] + shares[2] * read[2]
        stream = torch.addmm(last, mixed, w_o.T)
        hidden = torch.addmm(net.read.bias, stream, net.read.weight.T).relu_()
        final = torch.addmm(net.write.bias, hidden, net.write.weight.T).add_(stream)
        logits = final @ net.unembed.weight.T
        loss, slope = _slope(logits, self.results[:, None])

        # And back.
        net.unembed.weight.grad = slope.T @ final
        onward = slope @ net.unembed.weight
        net.write.weight.grad, net.write.bias.grad = onward.T @ hidden, onward.sum(0)
        inner = (onward @ net.write.weight).mul_(hidden.sign_())
        net.read.weight.grad, net.read.bias.grad = inner.T @ stream, inner.sum(0)
        onward = torch.addmm(onward, inner, net.read.weight)
        net.output.weight.grad = onward.T @ mixed
        to_last = onward.sum(0)
        handed = onward @ w_o
        to_pattern = torch.stack([handed * one for one in read]) @ self._spread.T
        to_scores = pattern * (to_pattern - (pattern * to_pattern).sum(0))
        first, second = self._there
        given = [share * handed for share in shares]
        to_values = torch.cat([first @ given[0], second @ given[1], given[2].sum(0)[None]])
        to_table_scores = torch.cat([first @ to_scores[0], second @ to_scores[1], to_scores[2].sum(0)[None]])[
            ..., None
        ]
        to_keys = (to_table_scores * query).flatten(1)
        to_query = (to_table_scores * keys).sum(0).flatten() / root
        net.key.weight.grad, net.value.weight.grad = to_keys.T @ table, to_values.T @ table
        net.query.weight.grad = torch.outer(to_query, last)
        to_table = torch.addmm(to_keys @ w_k, to_values, w_v)
        to_last = to_last + w_q.T @ to_query + to_table[2 * p]
        net.embed.weight.grad = torch.cat([to_table[:p] + to_table[p : 2 * p], to_last[None]])
        place.grad = torch.stack([to_table[:p].sum(0), to_table[p : 2 * p].sum(0), to_last])
        return loss


def _slope(logits: torch.Tensor, own: torch.Tensor) -> tuple[float, torch.Tensor]:
    """The mean cross-entropy of logits (rows, classes) and its gradient; ``own`` (rows, 1)."""
    import torch

    # What others have against the right answer, so that neither a loss near 0 nor its gradient is lost to rounding.
    others = logits - logits.gather(1, own)
    top = others.amax(1, keepdim=True)  # at least 0, the right answer's own
    # Below 1e-30 is 0: numbers near the least that their format holds made a grokked network's step half as slow again.
    others = torch.nn.functional.threshold_(others.sub_(top).exp_(), 1e-30, 0.0)
    right = others.gather(1, own)
    others.scatter_(1, own, 0.0)
    wrong = others.sum(1, keepdim=True)
    whole = right + wrong
    loss = float(torch.where(top > 0, top + whole.log(), torch.log1p(wrong)).double().mean())
    slope = others.div_(whole * len(logits))
    slope.scatter_(1, own, -wrong / whole / len(logits))
    return loss, slope

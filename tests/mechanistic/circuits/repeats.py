"""A two-layer attention-only decoder trained on tokens that repeat after a period that every row draws anew."""

from __future__ import annotations

import numpy as np
import torch

from tests.mechanistic.circuits.decoder import Decoder, Shape

TOKENS, LENGTH = 32, 28
LAYERS = 2
LASSO = 0.03
"""The penalty under which a head that is not needed falls to nothing."""


def repeated(rng, rows):
    """(rows, 28) ids and each row's period: within it tokens are unlike, then it comes again."""
    periods = rng.integers(6, 15, size=rows)
    ids = np.stack([np.resize(rng.permutation(TOKENS)[:period], LENGTH) for period in periods])
    return torch.from_numpy(ids), torch.from_numpy(periods)


def again(periods):
    """(rows, 27): which next tokens have been seen before, after the same token."""
    return torch.arange(1, LENGTH)[None] > periods[:, None]


def lasso(model):
    """The sum over heads of the length of all of a head's weights (group lasso: Yuan and Lin 2006)."""
    total = 0.0
    for block in model.blocks:
        attn = block.attn
        rows = [attn.q_proj, attn.k_proj, attn.v_proj]
        parts = [
            one.unflatten(0, (attn.n_heads, -1)).flatten(1) for layer in rows for one in layer.parameters()
        ]
        parts.append(attn.o_proj.weight.unflatten(1, (attn.n_heads, -1)).transpose(0, 1).flatten(1))
        total = total + torch.cat(parts, 1).square().sum(1).add(1e-8).sqrt().sum()
    return total


def trained(seed, steps=1000, heads=4, penalty=0.0):
    """The decoder after some steps; weights and data are drawn from streams of their own.

    With a penalty on whole heads, from a fifth of the steps on, it keeps those alone that it needs.
    """
    torch.manual_seed(seed)
    model = Decoder(Shape(TOKENS, LENGTH, 64, LAYERS, heads, 16))
    rng = np.random.default_rng([seed, 1])
    adam = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.98), weight_decay=0.05)
    for step in range(steps):
        for group in adam.param_groups:
            group["lr"] = 3e-3 * min(1, (step + 1) / 50) * max(0.05, 1 - step / steps)
        ids, _ = repeated(rng, 32)
        out = model(ids)
        loss = torch.nn.functional.cross_entropy(out[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        if penalty and step > 0.2 * steps:
            loss = loss + penalty * lasso(model)
        adam.zero_grad()
        loss.backward()
        adam.step()
    return model.eval()


def log_likelihood(ids, periods):
    """Of each row's repeated tokens, the mean: higher is better."""
    targets, counted = ids[:, 1:], again(periods)

    def metric(outputs, where):
        found = torch.log_softmax(outputs[:, :-1], 2).gather(2, targets[where][..., None])[..., 0]
        return (found * counted[where]).sum(1) / counted[where].sum(1)

    return metric


def prefix_matching(model, ids, periods):
    """(layers * heads,): how much repeated tokens look at what followed their earlier occurrences (Olsson et al. 2022)."""
    found = []
    for pattern in model.patterns(ids):
        total, count = torch.zeros(pattern.shape[1]), 0
        for row, period in enumerate(periods.tolist()):
            queries = torch.arange(period, LENGTH)
            for times in range(1, LENGTH // period + 1):
                there = queries[queries >= times * period]
                total += pattern[row][:, there, there - times * period + 1].sum(1)
            count += len(queries)
        found.append(total / count)
    return torch.cat(found).numpy()


def previous_token(model, ids):
    """(layers * heads,): how much every token but the first looks at the one before it."""
    found = [pattern.diagonal(-1, 2, 3).mean((0, 2)) for pattern in model.patterns(ids)]
    return torch.cat(found).numpy()

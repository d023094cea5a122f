"""A two-layer attention-only decoder trained on tokens that repeat after a period that every row draws anew."""

from __future__ import annotations

import numpy as np
import torch

from tests.mechanistic.circuits.decoder import Decoder, Shape

TOKENS, LENGTH = 32, 28
LAYERS, HEADS = 2, 4


def repeated(rng, rows):
    """(rows, 28) ids and each row's period: within it tokens are unlike, then it comes again."""
    periods = rng.integers(6, 15, size=rows)
    ids = np.stack([np.resize(rng.permutation(TOKENS)[:period], LENGTH) for period in periods])
    return torch.from_numpy(ids), torch.from_numpy(periods)


def again(periods):
    """(rows, 27): which next tokens have been seen before, after the same token."""
    return torch.arange(1, LENGTH)[None] > periods[:, None]


def trained(seed, steps=1000):
    """The decoder after some steps; weights and data are drawn from streams of their own."""
    torch.manual_seed(seed)
    model = Decoder(Shape(TOKENS, LENGTH, 64, LAYERS, HEADS, 16))
    rng = np.random.default_rng([seed, 1])
    adam = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.98), weight_decay=0.05)
    for step in range(steps):
        for group in adam.param_groups:
            group["lr"] = 3e-3 * min(1, (step + 1) / 50) * max(0.05, 1 - step / steps)
        ids, _ = repeated(rng, 32)
        out = model(ids)
        loss = torch.nn.functional.cross_entropy(out[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
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
        total, count = torch.zeros(HEADS), 0
        for row, period in enumerate(periods.tolist()):
            queries = torch.arange(period, LENGTH)
            for times in range(1, LENGTH // period + 1):
                there = queries[queries >= times * period]
                total += pattern[row][:, there, there - times * period + 1].sum(1)
            count += len(queries)
        found.append(total / count)
    return torch.cat(found).numpy()

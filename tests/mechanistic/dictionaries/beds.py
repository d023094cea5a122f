"""Planted dictionaries: rows of which the truth is known, drawn from a stream that no learner is given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True, eq=False)
class Bed:
    """``x = f D + shift + noise``, ``f`` drawn anew for every step."""

    truth: torch.Tensor
    """(D, n), of length 1."""
    rates: np.ndarray
    """(D,): how often each fires."""
    seed: int
    batch: int = 1024
    noise: float = 0.01
    shift: torch.Tensor | float = 0.0

    def latents(self, step: int, rows: int | None = None) -> torch.Tensor:
        rng = np.random.default_rng([self.seed, 7, step])
        shape = (rows or self.batch, len(self.rates))
        on = rng.random(shape) < self.rates
        size = np.abs(rng.normal(1.0, 0.25, size=shape))
        return torch.from_numpy((on * size).astype(np.float32))

    def of(self, latents: torch.Tensor, step: int) -> torch.Tensor:
        rng = np.random.default_rng([self.seed, 8, step])
        noise = rng.normal(0, self.noise, size=(len(latents), self.truth.shape[1]))
        return latents @ self.truth + self.shift + torch.from_numpy(noise.astype(np.float32))

    def __call__(self, step: int) -> torch.Tensor:
        return self.of(self.latents(step), step)

    def held_out(self, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
        latents = self.latents(10**6, rows)
        return latents, self.of(latents, 10**6)


def directions(count: int, n: int, seed: int) -> torch.Tensor:
    rng = np.random.default_rng([seed, 1])
    drawn = rng.normal(size=(count, n))
    return torch.from_numpy((drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32))


def easy(seed: int, *, shift: float = 0.0, batch: int = 1024) -> Bed:
    """128 directions in 48 dimensions, three at a time."""
    truth = directions(128, 48, seed)
    moved: torch.Tensor | float = 0.0
    if shift:
        way = np.random.default_rng([seed, 2]).normal(size=48)
        spread = np.sqrt(3 * (1 + 0.25**2) * 1.0 / 48)
        moved = torch.from_numpy((way / np.linalg.norm(way) * shift * spread * 48**0.5).astype(np.float32))
    return Bed(truth, np.full(128, 3 / 128), seed, batch, shift=moved)


def zipf(seed: int, *, batch: int = 1024) -> Bed:
    """256 directions in 64 dimensions, five at a time, the r-th as often as 1 / r allows."""
    weight = 1 / np.arange(1, 257)
    low, high = 0.0, 1e3
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(middle * weight, 0.5).sum() < 5 else (low, middle)
    return Bed(directions(256, 64, seed), np.minimum(low * weight, 0.5), seed, batch)


@dataclass(frozen=True, eq=False)
class Tree(Bed):
    """Children that fire only with their parent, siblings never together, parents correlated by a Gaussian copula."""

    parents: np.ndarray | None = None
    """(D,): -1 for a parent."""
    mixing: np.ndarray | None = None
    """(parents, rank): loads of the copula."""

    def latents(self, step: int, rows: int | None = None) -> torch.Tensor:
        from scipy.special import ndtr

        assert self.parents is not None
        assert self.mixing is not None
        rng = np.random.default_rng([self.seed, 7, step])
        count = rows or self.batch
        tops = np.flatnonzero(self.parents < 0)
        common = rng.normal(size=(count, self.mixing.shape[1])) @ self.mixing.T
        own = np.sqrt(1 - (self.mixing**2).sum(axis=1)) * rng.normal(size=(count, len(tops)))
        on = np.zeros((count, len(self.rates)), dtype=bool)
        on[:, tops] = ndtr(common + own) < self.rates[tops]
        for top in tops:
            children = np.flatnonzero(self.parents == top)
            shares = self.rates[children] / self.rates[top]
            drawn = rng.random(count)
            edges = np.concatenate([[0], np.cumsum(shares)])
            for place, child in enumerate(children):
                on[:, child] = on[:, top] & (edges[place] <= drawn) & (drawn < edges[place + 1])
        size = np.abs(rng.normal(1.0, 0.25, size=on.shape))
        return torch.from_numpy((on * size).astype(np.float32))


def tree(seed: int, *, tops: int = 128, children: int = 3, n: int = 64, batch: int = 1024) -> Tree:
    """512 directions in 64 dimensions: 128 parents with three children each; a parent is alone one time in ten."""
    rng = np.random.default_rng([seed, 3])
    parents = np.concatenate([np.full(tops, -1), np.repeat(np.arange(tops), children)])
    rate = 2.5 / tops * rng.uniform(0.5, 1.5, size=tops)
    rates = np.concatenate([rate, np.repeat(rate, children) * 0.9 / children])
    loads = rng.normal(size=(tops, 4))
    loads *= 0.5 / np.linalg.norm(loads, axis=1, keepdims=True)
    count = tops * (1 + children)
    return Tree(directions(count, n, seed), rates, seed, batch, parents=parents, mixing=loads)

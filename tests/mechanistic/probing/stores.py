"""Stores of units that are noise, but for those that a predicate moves."""

from __future__ import annotations

import numpy as np

from xai_audit.mechanistic.dictionaries.dictionary import Dictionary
from xai_audit.mechanistic.probing import scan as scans
from xai_audit.mechanistic.probing.building import Bank, Scores, build
from xai_audit.mechanistic.probing.latents import Latents
from xai_audit.mechanistic.probing.store import Store
from xai_audit.mechanistic.sites import Site


def dictionary(m, n=4):
    """One that the store only has to keep."""
    import torch

    decoder = torch.from_numpy(np.random.default_rng([m, 9]).normal(size=(m, n)).astype(np.float32))
    return Dictionary(decoder.T.clone(), torch.zeros(m), decoder, torch.zeros(n), "relu")


def large(folder, units, rows=256, predicates=4):
    """A store of units and of a dictionary's latents whose units 0, 1, ... tell predicates p0, p1, ..., and 100 examples, 50 of which move unit 5."""
    rng = np.random.default_rng([units, 1])
    values = rng.normal(size=(rows, units)).astype(np.float32)
    labels = np.random.default_rng([units, 2]).random((rows, predicates)) < 0.4
    values[:, :predicates] += 1.5 * labels
    values[:, 78] = values[:, 77] * 0.9 + 0.2 * values[:, 78]
    half = units // 2
    own = Latents("sae", Site("mlp"), dictionary(units - half))
    banks = [Bank("mlp", values[:, :half]), Bank("sae", values[:, half:], latents=own)]
    # Random maxima of so many units would take a while, and no time of a query.
    found = scans.scan(values, labels, 19, np.random.default_rng(3))
    names = tuple(f"p{place}" for place in range(predicates))
    told = [f"row {place}" for place in range(rows)]
    build(folder, banks, [Scores(names, found)], told, {"model": "0" * 64}, np.random.default_rng(4))
    contrast = np.random.default_rng([units, 5]).normal(size=(100, units)).astype(np.float32)
    contrast[:50, 5] += 2
    return Store.open(folder), contrast

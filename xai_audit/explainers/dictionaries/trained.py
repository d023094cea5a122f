"""Every dictionary of one use: its seeds, the frozen decoder and the one of the network with permuted weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from xai_audit.errors import MethodError, UnmetNeedError
from xai_audit.mechanistic.dictionaries import metrics
from xai_audit.mechanistic.dictionaries.recipe import Recipe
from xai_audit.mechanistic.dictionaries.store import collect
from xai_audit.mechanistic.dictionaries.training import train
from xai_audit.mechanistic.sites import Site

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.explainers.dictionaries.params import SparseAutoencoderParams, Training
    from xai_audit.mechanistic.dictionaries.dictionary import Dictionary
    from xai_audit.mechanistic.dictionaries.metrics import Kept
    from xai_audit.mechanistic.dictionaries.store import Store
    from xai_audit.mechanistic.dictionaries.training import Source, Trained
    from xai_audit.mechanistic.network import Network
    from xai_audit.method import Context
    from xai_audit.subject import Rows, Subject

FEWEST = 64
"""Activations to train on."""


@dataclass(frozen=True, eq=False)
class Made:
    """What was trained, and on what it is measured."""

    subject: Subject
    params: SparseAutoencoderParams
    context: Context
    network: Network
    site: Site
    table: Rows
    source: str
    """The table in words."""
    fit: Store
    held: Store
    recipe: Recipe
    seeds: tuple[Trained, ...]
    frozen: Trained
    twin: Trained
    twin_fit: Store
    twin_held: Store

    @property
    def dictionary(self) -> Dictionary:
        """The one that is described."""
        return self.seeds[0].dictionary

    @cached_property
    def kept(self) -> dict[str, Kept]:
        """What each keeps of held-out activations: the first, ``frozen``, ``twin``, and the other seeds by number."""
        found = {
            "first": metrics.kept(self.dictionary, self.held.batches()),
            "frozen": metrics.kept(self.frozen.dictionary, self.held.batches()),
            "twin": metrics.kept(self.twin.dictionary, self.twin_held.batches()),
        }
        for number, one in enumerate(self.seeds[1:], start=1):
            found[str(number)] = metrics.kept(one.dictionary, self.held.batches())
        return found

    def documents(self, store: Store) -> NDArray[np.int64]:
        """Rows of the table that a store's documents are."""
        return store.rows


def made(subject: Subject, params: SparseAutoencoderParams, context: Context) -> Made:
    """Take activations, train, and train the controls; UnmetNeedError where nobody says where."""
    assert subject.model is not None
    network = subject.model.network
    assert network is not None
    if params.site is None:
        paths = ", ".join(one.path for one in network.sites()[:12])
        raise UnmetNeedError(f"name a site, as site: encoder.layer.3; this network has {paths}")
    site = Site.parse(params.site)
    table, source = table_of(subject, params.data)
    # Once through the data is as many activations as there are; the rest of the training repeats them.
    with one_thread():
        store = collect(network, table.frame, site, tokens=2 * params.tokens)
        fit, held = store.split()
        if len(fit) < FEWEST:
            raise MethodError(f"{source}: {len(fit)} activations to train on; {FEWEST} are needed")
        recipe = recipe_of(params, fit)
        seeds = tuple(_trained(fit, recipe, context, "seed", str(number)) for number in range(params.seeds))
        frozen = _trained(fit, replace(recipe, freeze_decoder=True), context, "seed", "0")
        other = network.twin(context.rng("twin"))
        permuted = collect(other, table.frame, site, tokens=2 * params.tokens)
        twin_fit, twin_held = permuted.split()
        twin = _trained(twin_fit, recipe, context, "seed", "0")
    return Made(
        subject, params, context, network, site, table, source, fit, held, recipe, seeds, frozen, twin, twin_fit,
        twin_held,
    )  # fmt: skip


def recipe_of(params: Training, fit: Store, **more: float) -> Recipe:
    """The recipe of a spec's parameters for some activations; MethodError where k is more than there are latents."""
    width = max(1, round(more.get("expansion", params.expansion) * fit.values.shape[1]))
    k = int(more.get("k", params.k))
    if k > width:
        raise MethodError(f"k: {k} of {width} latents; name a smaller k or a larger expansion")
    batch = min(params.batch, len(fit) // 2)
    tokens = max(int(more.get("tokens", params.tokens)), batch)
    return Recipe(
        variant=params.variant,
        width=width,
        k=k,
        tokens=tokens,
        batch=batch,
        lr=params.lr,
        l1=params.l1,
        dead_after=max(batch, min(len(fit), tokens) // 8),
    )


def _trained(fit: Store, recipe: Recipe, context: Context, *piece: str) -> Trained:
    import torch

    order, first = (int(context.rng(*piece, what).integers(2**62)) for what in ("order", "weights"))
    source: Source = fit.source(recipe.batch, order)
    return train(source, recipe, torch.Generator().manual_seed(first))


def trained_once(fit: Store, recipe: Recipe, context: Context, *piece: str) -> Trained:
    """One training more, its order and its first weights drawn for this piece."""
    with one_thread():
        return _trained(fit, recipe, context, *piece)


def table_of(subject: Subject, name: str | None) -> tuple[Rows, str]:
    """The rows that dictionaries are trained on, and what they are in words."""
    if name is None:
        if subject.train is not None:
            return subject.train, "the training rows"
        return subject.test, "the test rows"
    if name not in subject.sets:
        there = ", ".join(sorted(subject.sets)) or "none"
        raise MethodError(f"data: no set named {name} in data.sets (there are: {there})")
    return subject.sets[name], f"the set {name}"


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One thread of the processor, so that what else the machine does changes no bit."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

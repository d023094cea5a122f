"""Latents as elements: a dictionary of each site, named or trained, of twins always trained, and what tells a latent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.errors import MethodError
from xai_audit.explainers.circuits.params import Dictionaries
from xai_audit.explainers.dictionaries.trained import FEWEST, one_thread, recipe_of, table_of, trained_once
from xai_audit.mechanistic.circuits.features import Coded, FeatureGraph, acting
from xai_audit.mechanistic.dictionaries import metrics
from xai_audit.mechanistic.dictionaries.codes import firings
from xai_audit.mechanistic.dictionaries.store import collect
from xai_audit.mechanistic.readers import TextReader
from xai_audit.mechanistic.sites import Site

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from xai_audit.explainers.circuits.params import CircuitParams
    from xai_audit.mechanistic.circuits.graphs import Element
    from xai_audit.mechanistic.dictionaries.dictionary import Dictionary
    from xai_audit.mechanistic.dictionaries.metrics import Kept
    from xai_audit.mechanistic.dictionaries.recipe import Recipe
    from xai_audit.mechanistic.dictionaries.store import Store
    from xai_audit.mechanistic.network import Network
    from xai_audit.method import Context
    from xai_audit.subject import Rows, SavedDictionary, Subject


@dataclass(frozen=True, eq=False)
class Coding:
    """The dictionary of one site."""

    site: Site
    dictionary: Dictionary
    fit: Store
    kept: Kept
    """What it keeps of held-out activations."""
    saved: SavedDictionary | None = None
    """Where it was read from; None where it was trained."""

    @property
    def fire(self) -> int:
        """How many latents fire for an activation: k of topk, else the mean on held-out activations, rounded."""
        return self.dictionary.k or max(1, round(self.kept.l0))


@dataclass(eq=False)
class Latents:
    """What builds graphs of latents: of the network first, of its twins then, each with dictionaries of its own."""

    subject: Subject
    params: CircuitParams
    context: Context
    table: Rows
    source: str
    """The rows that dictionaries are trained on, and measured on others of, in words."""
    sites: list[Site]
    own: list[Coding] = field(default_factory=list)
    """Those of the network."""

    @classmethod
    def of(
        cls, subject: Subject, network: Network, params: CircuitParams, context: Context, inputs: Any
    ) -> Latents:
        """MethodError where a site is none of the network's, or its rows are not there."""
        asked = [Site.parse(text) for text in params.sites]
        for site in asked:
            network.check(site)
        table, source = table_of(subject, (params.dictionaries or Dictionaries()).data)
        return cls(subject, params, context, table, source, acting(network.module, asked, inputs))

    def build(self, network: Network) -> FeatureGraph:
        """Read or train, and make the graph; the first network built is the one that is audited."""
        if self.own:
            coded = [self._coded(network, one.site, one) for one in self.own]
        else:
            coded = self.own = [self._coded(network, site, None) for site in self.sites]
        there = (Coded(one.site, one.dictionary.to(network.device), one.dictionary.m) for one in coded)
        return FeatureGraph(network.module, tuple(there))

    def _coded(self, network: Network, site: Site, own: Coding | None) -> Coding:
        """The dictionary of a site of the audited network, or of a twin beside the ``own`` one."""
        how = self.params.dictionaries or Dictionaries()
        with one_thread():
            # Once through the data is as many activations as there are; the rest of the training repeats them.
            fit, held = collect(network, self.table.frame, site, tokens=2 * how.tokens).split()
        saved = self._saved(site, how) if own is None else None
        if saved is not None:
            dictionary = saved.dictionary
            if dictionary.n != fit.values.shape[1]:
                raise MethodError(
                    f"{saved.path}: a dictionary of {dictionary.n} features; {site} has {fit.values.shape[1]}"
                )
        else:
            if len(fit) < FEWEST:
                raise MethodError(f"{self.source}: {len(fit)} activations to train on; {FEWEST} are needed")
            recipe = recipe_of(how, fit) if own is None or own.saved is None else _like(own, how, fit)
            dictionary = trained_once(fit, recipe, self.context, "dictionary", str(site)).dictionary
        with one_thread():
            kept = metrics.kept(dictionary, held.batches())
        return Coding(site, dictionary, fit, kept, saved)

    def _saved(self, site: Site, how: Dictionaries) -> SavedDictionary | None:
        """What the spec names for a site; MethodError where loading did not read it."""
        path = how.folder(site)
        if path is None:
            return None
        for one in self.subject.dictionaries:
            if (one.site, one.path) == (str(site), path):
                return one
        raise MethodError(f"dictionaries.folders: {path} was not read")

    def told(self) -> list[dict[str, Any]]:
        """Each dictionary in figures."""
        found = []
        for one in self.own:
            figures = {"site": str(one.site), "latents": one.dictionary.m, "fvu": one.kept.fvu}
            if one.saved is None:
                found.append({**figures, "trained_on": self.source})
                continue
            read = {"folder": one.saved.path, "sha256": one.saved.sha256, "measured_on": self.source}
            found.append({**figures, **read, "l0": one.kept.l0, "twins_k": one.fire})
        return found

    def limits(self) -> tuple[str, ...]:
        """What named dictionaries leave open."""
        if all(one.saved is None for one in self.own):
            return ()
        twins = "in its place networks with permuted weights have topk dictionaries of that size and sparsity"
        return (f"a named dictionary may have seen the rows that its FVU is of; {twins}",)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Sums by held-out document, of each dictionary: squared errors, spreads; of a named one also what fired."""
        return {
            f"{name}_{place}": getattr(one.kept, name)
            for place, one in enumerate(self.own)
            for name in ("errors", "spreads", *(() if one.saved is None else ("fires", "counts")))
        }

    def labels(self, network: Network, elements: Iterable[Element], minimum: int) -> dict[str, str]:
        """By the name of a latent the token for which it fires most, where that stands in enough rows to be told."""
        if not isinstance(network.reader, TextReader):
            return {}
        spelled = {
            number: token
            for token, number in network.reader._tokenizer().get_vocab().items()  # noqa: SLF001 - the reader's own words
        }
        wanted = {one.source for one in elements}
        found: dict[str, str] = {}
        for one in self.own:
            on = firings(one.dictionary, one.fit)
            assert one.fit.token is not None
            for latent in range(one.dictionary.m):
                name = f"{one.site}/{latent}"
                if name not in wanted:
                    continue
                place, value = on.of(latent)
                if not len(place):
                    continue
                known, which = np.unique(one.fit.token[place], return_inverse=True)
                best = int(np.argmax(np.bincount(which, weights=value)))
                if len(np.unique(one.fit.document[place[which == best]])) >= minimum:
                    found[name] = f"{name} “{spelled.get(int(known[best]), '?')}”"
        return found


def _like(own: Coding, how: Dictionaries, fit: Store) -> Recipe:
    """A twin's dictionary beside a named one: nobody says how that was trained, so its size and sparsity are what counts."""
    return recipe_of(
        how.model_copy(update={"variant": "topk"}),
        fit,
        expansion=own.dictionary.m / own.dictionary.n,
        k=own.fire,
    )

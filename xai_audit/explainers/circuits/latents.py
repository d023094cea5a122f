"""Latents as elements: a dictionary trained at each site, of the network and of its twins alike, and what tells a latent."""

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
    from xai_audit.mechanistic.dictionaries.store import Store
    from xai_audit.mechanistic.network import Network
    from xai_audit.method import Context
    from xai_audit.subject import Rows, Subject


@dataclass(frozen=True, eq=False)
class Trained:
    """The dictionary of one site."""

    site: Site
    dictionary: Dictionary
    fit: Store
    kept: Kept
    """What it keeps of held-out activations."""


@dataclass(eq=False)
class Latents:
    """What builds graphs of latents: of the network first, of its twins then, each with dictionaries of its own."""

    params: CircuitParams
    context: Context
    table: Rows
    source: str
    """The rows that dictionaries are trained on, in words."""
    sites: list[Site]
    own: list[Trained] = field(default_factory=list)
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
        return cls(params, context, table, source, acting(network.module, asked, inputs))

    def build(self, network: Network) -> FeatureGraph:
        """Train, and make the graph; the first network built is the one that is audited."""
        trained = [self._trained(network, site) for site in self.sites]
        if not self.own:
            self.own.extend(trained)
        return FeatureGraph(
            network.module, tuple(Coded(one.site, one.dictionary, one.dictionary.m) for one in trained)
        )

    def _trained(self, network: Network, site: Site) -> Trained:
        how = self.params.dictionaries or Dictionaries()
        with one_thread():
            # Once through the data is as many activations as there are; the rest of the training repeats them.
            fit, held = collect(network, self.table.frame, site, tokens=2 * how.tokens).split()
        if len(fit) < FEWEST:
            raise MethodError(f"{self.source}: {len(fit)} activations to train on; {FEWEST} are needed")
        dictionary = trained_once(fit, recipe_of(how, fit), self.context, "dictionary", str(site)).dictionary
        with one_thread():
            kept = metrics.kept(dictionary, held.batches())
        return Trained(site, dictionary, fit, kept)

    def told(self) -> list[dict[str, Any]]:
        """Each dictionary in figures."""
        return [
            {
                "site": str(one.site),
                "latents": one.dictionary.m,
                "fvu": one.kept.fvu,
                "trained_on": self.source,
            }
            for one in self.own
        ]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Squared errors and spreads by held-out document, of each dictionary."""
        return {
            f"{name}_{place}": getattr(one.kept, name)
            for place, one in enumerate(self.own)
            for name in ("errors", "spreads")
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

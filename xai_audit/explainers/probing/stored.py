"""A store of a subject's units: what the searches of its spec ask for, over its test rows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.errors import MethodError, UnavailableError
from xai_audit.explainers.probing.predicates import Predicate, populations
from xai_audit.mechanistic import flows
from xai_audit.mechanistic.probing import ablation, scan
from xai_audit.mechanistic.probing.building import Bank, Scores, build
from xai_audit.mechanistic.probing.latents import Latents
from xai_audit.mechanistic.sites import Site

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from xai_audit.mechanistic.dictionaries.dictionary import Dictionary
    from xai_audit.mechanistic.flows import Flow
    from xai_audit.mechanistic.network import Network
    from xai_audit.mechanistic.probing.store import Store
    from xai_audit.method import Context
    from xai_audit.subject import Rows, Subject

INPUTS = 64
"""Rows on which effects are had."""
EXACT = 32
"""Units of a site, for each predicate and for the effect to first order, that are held one by one."""
PERMUTATIONS = 200


def network_of(subject: Subject) -> Network:
    """The network of a subject; UnavailableError where it cannot be looked into."""
    network = None if subject.model is None else subject.model.network
    if network is None:
        has = "it has predictions only" if subject.model is None else f"format {subject.model.format}"
        raise UnavailableError(f"neurons: a torch module that can be looked into is needed; {has}")
    return network


def write(
    folder: Path,
    subject: Subject,
    sites: Sequence[str],
    predicates: Sequence[Predicate],
    rows: int | None,
    context: Context,
    about: dict[str, Any],
    dictionaries: Sequence[tuple[Site, Dictionary]] = (),
) -> tuple[int, dict[str, str]]:
    """Write the store of the units of sites and the latents of dictionaries.

    How many units it holds, and why predicates have no score.
    """
    network = network_of(subject)
    places = [Site.parse(site) for site in dict.fromkeys(sites)]
    chosen, _ = context.sample(rows)
    frame = subject.test.frame.iloc[chosen]
    at: list[Flow | Latents] = [ablation.units(network, frame, site) for site in places]
    at += named(network, dictionaries)
    values = flows.activations(network, frame, at)
    made, refused = populations(subject, predicates, rows, context)
    scores = []
    for number, population in enumerate(made):
        own = flows.activations(network, population.frame, at)
        ranks = np.concatenate([scan.centred_ranks(own[flow]) for flow in at])
        labels = np.stack(list(population.labels.values()), axis=1)
        rng = context.rng("store", str(number))
        scores.append(Scores(tuple(population.labels), scan.scanned(ranks, labels, PERMUTATIONS, rng)))
    batches = flows.built(network, frame.iloc[:INPUTS])
    of = 1 if subject.task == "regression" else subject.positive
    banks, start = [], 0
    for flow in at:
        width = values[flow].shape[1]
        banks.append(_bank(network, flow, values[flow], scores, slice(start, start + width), batches, of))
        start += width
    build(folder, banks, scores, _told(subject.test, chosen), about, context.rng("sketch"))
    return start, refused


def named(network: Network, dictionaries: Sequence[tuple[Site, Dictionary]]) -> Iterator[Latents]:
    """Dictionaries under the names that their latents have in a store: ``SITE~sae``, then ``SITE~sae2``."""
    seen: Counter[str] = Counter()
    for site, dictionary in dictionaries:
        network.check(site)
        seen[str(site)] += 1
        number = "" if seen[str(site)] == 1 else str(seen[str(site)])
        yield Latents(f"{site}~sae{number}", site, dictionary)


def activations(network: Network, frame: pd.DataFrame, store: Store) -> NDArray[np.float32]:
    """(rows, units) of all sites and dictionaries side by side, as a store holds them."""
    kept = store.dictionaries()
    at = [kept.get(site) or ablation.units(network, frame, Site.parse(site)) for site in store.sites]
    found_ = flows.activations(network, frame, at)
    return np.concatenate([found_[flow] for flow in at], axis=1)


def _bank(
    network: Network,
    flow: Flow | Latents,
    values: NDArray[np.float32],
    scores: Sequence[Scores],
    own: slice,
    batches: Any,
    of: int,
) -> Bank:
    levels = values.mean(axis=0, dtype=np.float64)
    try:
        direct = ablation.first_order(network, batches, flow, levels, of)
    except MethodError:
        direct = np.full(values.shape[1], np.nan)  # nothing differentiable leads from here to the output
    asked = [
        scan.largest(np.abs(one.scan.z[place, own]), EXACT)
        for one in scores
        for place in range(len(one.names))
    ]
    asked.append(scan.largest(np.nan_to_num(np.abs(direct)), EXACT))
    units = np.unique(np.concatenate(asked))
    exact = np.full(values.shape[1], np.nan)
    exact[units] = ablation.unit_effects(network, batches, flow, units.tolist(), levels, of)
    if isinstance(flow, Latents):
        return Bank(flow.name, values, direct, exact, flow)
    return Bank(str(flow.site), values, direct, exact)


def _told(rows: Rows, chosen: NDArray[np.int64]) -> list[str]:
    """Each row as text: its own text, or its cells; a picture by its place alone."""
    told = []
    for place, (_, row) in zip(chosen, rows.frame.iloc[chosen].iterrows(), strict=True):
        cells = {
            name: f"picture of test row {place}" if isinstance(cell, np.ndarray) else str(cell)
            for name, cell in row.items()
        }
        told.append(
            next(iter(cells.values())) if len(cells) == 1 else ", ".join(f"{k}={v}" for k, v in cells.items())
        )
    return told

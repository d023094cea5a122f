"""Every unit of every site against every predicate, on the rows that find; one family, one test."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.errors import MethodError
from xai_audit.mechanistic import flows
from xai_audit.mechanistic.probing import ablation, scan
from xai_audit.mechanistic.sites import Site

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from xai_audit.explainers.probing.predicates import Population
    from xai_audit.mechanistic.flows import Flow
    from xai_audit.mechanistic.network import Network
    from xai_audit.method import Context
    from xai_audit.subject import Subject

TEST = "permutation of rows, maximum over units, predicates and sites"
MOST_ACTIVATIONS = 8_000_000
"""Activations of all units that are kept, 32 bits each, so that whoever checks the audit can search them again."""
MOST_KEPT = 8_000_000
"""Ranks that are kept where the activations are too many, 16 bits each, so that the rows can be permuted again."""


@dataclass(frozen=True, eq=False)
class Seen:
    """One population at every site, and its units against its predicates."""

    population: Population
    flows: list[Flow]
    activations: dict[Flow, NDArray[np.float32]]
    scan: scan.Scan
    null: NDArray[np.float64]
    """(permutations,): the maxima over every population."""
    tests: int
    """Units times predicates of every population."""
    whole: bool
    """Whether all activations are few enough to keep, of all populations."""
    ranks: NDArray[np.unsignedinteger[Any]] | None
    """(units, rows that find): twice each rank, counted from 0; None where they are not kept, of no population."""

    @property
    def names(self) -> list[str]:
        """The predicates, in the order of the scan."""
        return list(self.population.labels)

    def place(self, unit: int) -> tuple[Flow, int]:
        """The site and the number there of a unit of the scan."""
        for flow in self.flows:
            width = self.activations[flow].shape[1]
            if unit < width:
                return flow, unit
            unit -= width
        raise IndexError(unit)

    def own(self, flow: Flow) -> slice:
        """Where a site's units lie in the scan."""
        start = 0
        for one in self.flows:
            if one == flow:
                break
            start += self.activations[one].shape[1]
        return slice(start, start + self.activations[flow].shape[1])

    def p(self, name: str, unit: int) -> tuple[float, float]:
        """The p of one unit of the scan, alone by the normal statistic and over the whole family."""
        z = float(self.scan.z[self.names.index(name), unit])
        own = math.erfc(abs(z) / math.sqrt(2))
        return own, max(own, float(scan.adjusted(np.asarray(z), self.null)))


def network_of(subject: Subject, method: str, sites: Sequence[str]) -> tuple[Network, list[Site]]:
    """The network, and the sites asked for; MethodError with those there are where none is."""
    assert subject.model is not None
    network = subject.model.network
    assert network is not None
    if not sites:
        paths = ", ".join(one.path for one in network.sites()[:12])
        raise MethodError(f"{method}: name sites, as sites: [layer3]; this network has {paths}")
    return network, [Site.parse(site) for site in dict.fromkeys(sites)]


def seen(
    network: Network,
    sites: Sequence[Site],
    populations: Sequence[Population],
    permutations: int,
    context: Context,
) -> list[Seen]:
    """Every population at every site: one pass for all sites, one rank transform and one product for all predicates."""
    made = []
    doubled: list[NDArray[np.unsignedinteger[Any]] | None] = []
    left = MOST_KEPT
    for number, population in enumerate(populations):
        at = [ablation.units(network, population.frame, site) for site in sites]
        activations = flows.activations(network, population.frame, at)
        finds = population.finds
        ranks = np.concatenate([scan.centred_ranks(activations[flow][finds]) for flow in at])
        labels = np.stack([label[finds] for label in population.labels.values()], axis=1)
        rng = context.rng("permutations", str(number))
        made.append((population, at, activations, scan.scanned(ranks, labels, permutations, rng)))
        left -= ranks.size
        doubled.append(_doubled(ranks) if left >= 0 else None)
    null = np.max([found.null for *_, found in made], axis=0) if made else np.zeros(0)
    tests = sum(found.z.size for *_, found in made)
    # All or none: the family's maxima are over every population.
    whole = sum(held.size for _, _, by_flow, _ in made for held in by_flow.values()) <= MOST_ACTIVATIONS
    ranked = left >= 0 and not whole
    return [
        Seen(*one, null, tests, whole, own if ranked else None)
        for one, own in zip(made, doubled, strict=True)
    ]


def _doubled(ranks: NDArray[np.float32]) -> NDArray[np.unsignedinteger[Any]]:
    """Whole numbers of centred ranks, which are halves where units are tied."""
    rows = ranks.shape[1]
    kind: Any = np.uint16 if rows <= 2**15 else np.uint32
    return np.asarray((2 * ranks + (rows - 1)).round(), dtype=kind)


def kept(seen: Sequence[Seen]) -> dict[str, NDArray[Any]]:
    """What the search can be made again from: whose rows they are, which predicates hold, and what every unit said.

    Of too many activations only the ranks on the rows that find; of too many ranks only the maxima over the family.
    """
    if not seen:
        return {}
    found: dict[str, NDArray[Any]] = {"null": seen[0].null}
    for number, one in enumerate(seen):
        population = one.population
        found |= {
            f"names_{number}": np.asarray(one.names),
            f"labels_{number}": np.stack(list(population.labels.values())),
            f"finds_{number}": population.finds,
            f"digests_{number}": population.digests,
            f"sites_{number}": np.asarray([str(flow.site) for flow in one.flows]),
            f"widths_{number}": np.asarray([one.activations[flow].shape[1] for flow in one.flows]),
        }
        if one.whole:
            found[f"activations_{number}"] = np.concatenate(
                [one.activations[flow] for flow in one.flows], axis=1
            )
        elif one.ranks is not None:
            found[f"ranks_{number}"] = one.ranks
    return found


def claimed(seen: Seen, flow: Flow, units: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """What the units of a claim said in every row (units, rows), where not all of them are kept."""
    return {} if seen.whole else {"values": seen.activations[flow][:, units].T}

"""Neuron search: which units of all sites tell a predicate best, what they do, and where a declared trigger acts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, field_validator

from xai_audit.errors import MethodError
from xai_audit.evidence import Control, Frozen, Inference, Item, Ranking
from xai_audit.explainers.probing import edits, found, predicates, triggered
from xai_audit.explainers.probing.predicates import Predicate
from xai_audit.explainers.probing.triggered import Trigger
from xai_audit.explainers.sparse_probing import checked_sites, distinct, effect_told, part_name
from xai_audit.intervals import bonferroni
from xai_audit.intervals_roc import auc
from xai_audit.mechanistic.probing import ablation
from xai_audit.method import Measured, Method, Skipped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.explainers.probing.found import Seen
    from xai_audit.mechanistic.flows import Flow
    from xai_audit.mechanistic.network import Network
    from xai_audit.method import Context
    from xai_audit.subject import Subject


class NeuronSearchParams(Frozen):
    """Which predicates and triggers, and where."""

    predicates: tuple[Predicate, ...] = ()
    """{name, where} asked of the test rows, or {name, positive, negative}: two sets of data.sets."""
    triggers: tuple[Trigger, ...] = ()
    """{name, triggered, target}: rows with a trigger that is thought to bring a class, as a set of data.sets."""
    sites: tuple[str, ...] = ()
    """Where in the network: path, path#in, with @head=H and @pos=P."""
    top: int = Field(10, ge=1, le=100)
    """Units shown of each predicate."""
    rows: int | None = Field(2000, ge=80)
    """Rows of a predicate or trigger, half of which find the units and half judge; null for all."""
    permutations: int = Field(200, ge=19, le=100_000)
    """Permutations of the rows; the smallest p there can be is one over one more."""
    inputs: int = Field(200, ge=20)
    """Rows on which units are held."""
    random_units: int = Field(20, ge=5)
    """Random units, and random directions, beside those found."""
    planted: int = Field(20, ge=0, le=200)
    """Networks with a planted trigger, and as many clean twins, that say what a search of this size finds; 0 for none."""

    @field_validator("sites")
    @classmethod
    def _sites(cls, sites: tuple[str, ...]) -> tuple[str, ...]:
        return checked_sites(sites)


def run(subject: Subject, params: NeuronSearchParams, context: Context) -> Iterator[Measured | Skipped]:
    """A ranking for each predicate; a claim and a table of edits for each trigger and site."""
    if not params.predicates and not params.triggers:
        raise MethodError(
            "neuron_search: name predicates, as predicates: [{name: male, where: \"sex == 'male'\"}], or triggers, as "
            "triggers: [{name: stamp, triggered: stamped, target: approved}]"
        )
    names = [*(one.name for one in params.predicates), *(one.name for one in params.triggers)]
    distinct(names, "neuron_search")
    network, sites = found.network_of(subject, "neuron_search", params.sites)
    made, refused = predicates.populations(subject, params.predicates, params.rows, context)
    every = found.seen(network, sites, made, params.permutations, context)
    kept = found.kept(every)
    for seen in every:
        for name in seen.names:
            yield _ranking(subject, network, params, context, seen, name, kept)
            kept = {}  # the first part holds what the test of all is made of
    for name, reason in refused.items():
        yield Skipped(name=part_name(name), reason=reason)
    if params.triggers:
        yield from triggered.claims(
            subject, network, sites, params.triggers, context,
            rows=params.rows, random=params.random_units, planted=params.planted,
        )  # fmt: skip


def _ranking(
    subject: Subject,
    network: Network,
    params: NeuronSearchParams,
    context: Context,
    seen: Seen,
    name: str,
    kept: dict[str, NDArray[Any]],
) -> Measured:
    place = seen.names.index(name)
    chosen = seen.scan.best(place, params.top)
    holds, others = seen.population.halves(name)
    ask = edits.asked(network, subject, seen, name, params.inputs)
    # The order of the units shown is settled only where simultaneous intervals do not meet.
    levels = [context.levels[0], *context.levels[1:]]
    strict = bonferroni(levels[:1], len(chosen))[0]
    shown = []
    for unit in chosen.tolist():
        flow, number = seen.place(unit)
        values = seen.activations[flow][:, number].astype(np.float64)
        side = 1.0 if seen.scan.z[place, unit] >= 0 else -1.0
        value, limits = auc(
            (side * values[holds]).tolist(), (side * values[others]).tolist(), [*levels, strict]
        )
        shown.append((flow, number, side, value, limits, seen.p(name, unit), values))
    order = sorted(range(len(shown)), key=lambda one: (-shown[one][3], one))
    items, changes = [], []
    leads = None
    for rank, one in enumerate(order):
        flow, number, side, value, limits, (_, adjusted), values = shown[one]
        random = ablation.random_units(
            seen.activations[flow].shape[1], 1, params.random_units,
            context.rng("random units", name, str(flow.site)), [number],
        )  # fmt: skip
        effect = edits.effect(ask, seen, flow, [number], random if rank == 0 else [])
        if rank == 0:
            leads = (flow, number, side, value, limits, effect)
        changes.append(effect.changes)
        own = limits[-1]
        items.append(
            Item(
                name=f"{flow.site}:{number}",
                estimate=context.estimate(value, limits[:-1], len(holds) + len(others)),
                rank_low=1 + sum((other[4][-1][0] or 0.0) > (own[1] or 1.0) for other in shown),
                rank_high=len(shown) - sum((other[4][-1][1] or 1.0) < (own[0] or 0.0) for other in shown),
                detail={
                    "higher": side > 0,
                    "adjusted_p": adjusted,
                    "effect": effect.value,
                    "density": _density(seen, flow, number),
                },
            )
        )
    assert leads is not None
    flow, number, side, value, limits, effect = leads
    n = len(holds) + len(others)
    index = seen.own(flow).start + number
    p, adjusted = seen.p(name, index)
    return Measured(
        name=part_name(name),
        title=f"Units that tell {name} best, on rows not used to find them",
        observation=Ranking(items=tuple(items), unit="area under the curve"),
        arrays={
            **effect.arrays(ask),
            "changes": np.stack(changes),
            "values": np.stack([shown[one][6] for one in order]).astype(np.float32),
            "label": seen.population.labels[name],
            "finds": seen.population.finds,
            "shown_site": np.asarray([str(shown[one][0].site) for one in order]),
            "shown_unit": np.asarray([shown[one][1] for one in order]),
            **kept,
        },
        sampling=seen.population.sampling,
        controls=(
            Control(
                name=f"held-out area of {flow.site}:{number} above one half",
                expectation="positive",
                estimate=context.estimate(value - 0.5, [_half(pair) for pair in limits[:-1]], n),
            ),
            *effect.controls(context),
        ),
        inference=Inference(
            p=p,
            adjusted=adjusted,
            method=found.TEST,
            family=f"{seen.tests:,} pairs of unit and predicate",
            m=seen.tests,
        ),
        params={
            "predicate": name,
            "site": str(flow.site),
            "units": [number],
            "higher": [side > 0],
            "rows_from": seen.population.source,
            **effect_told(context, ask, effect, subject),
        },
        limits=("the claim is of the first unit; the others are shown beside it",),
    )


def _density(seen: Seen, flow: Flow, number: int) -> float:
    return float((seen.activations[flow][:, number] > 0).mean())


def _half(pair: tuple[float | None, float | None]) -> tuple[float | None, float | None]:
    low, high = pair
    return None if low is None else low - 0.5, None if high is None else high - 0.5


METHOD = Method(
    id="neuron_search",
    kind="explainer",
    title="Neuron search",
    measures="Which units inside the network tell a predicate best on rows not used to find them, what holding them does, "
    "and which edit undoes a declared trigger",
    params=NeuronSearchParams,
    run=run,
    needs=("model", "scores", "network"),
    limits=(
        "a unit that tells a predicate need not be used for it: only the edit speaks of use",
        "positions of a text or picture are averaged to one number a unit",
        "the test treats rows as independent; rows of one cluster go to one half together",
        "a trigger that is not declared is not looked for, and none found is no statement about others",
        "what a search of this size finds is measured on small planted networks, not on this one",
    ),
    cites=(
        "Gurnee, Nanda, Pauly, Harvey, Troitskii and Bertsimas 2023, Finding Neurons in a Haystack, arXiv:2305.01610",
        "Belrose et al. 2023, LEACE: Perfect linear concept erasure in closed form, arXiv:2306.03819",
        "Westfall and Young 1993, Resampling-Based Multiple Testing",
    ),
)

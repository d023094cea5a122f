"""Sparse probing: how few units tell a predicate, on rows not used to find them, and whether the network uses them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, field_validator, model_validator

from xai_audit.errors import MethodError
from xai_audit.evidence import (
    Control,
    Curve,
    Frozen,
    Inference,
    Matrix,
    Point,
    Robustness,
    Scalar,
    Series,
    encoded,
)
from xai_audit.explainers.probing import edits, found, predicates
from xai_audit.explainers.probing.predicates import Predicate
from xai_audit.intervals_roc import auc
from xai_audit.mechanistic.probing import ablation, sparse
from xai_audit.mechanistic.probing.sparse import Selector
from xai_audit.mechanistic.sites import Site
from xai_audit.method import Measured, Method, Skipped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.evidence import Estimate
    from xai_audit.explainers.probing.edits import Asked, Effect
    from xai_audit.explainers.probing.found import Seen
    from xai_audit.mechanistic.flows import Flow
    from xai_audit.method import Context
    from xai_audit.subject import Subject

MOST = 200
"""Claims of one use: predicates times sites."""


class SparseProbingParams(Frozen):
    """Which predicates, where, and with how many units."""

    predicates: tuple[Predicate, ...] = ()
    """{name, where} asked of the test rows, or {name, positive, negative}: two sets of data.sets."""
    sites: tuple[str, ...] = ()
    """Where in the network: path, path#in, with @head=H and @pos=P."""
    k: tuple[int, ...] = (1, 2, 4, 8)
    """Numbers of units; the first is claimed, the others are drawn beside it."""
    method: Selector = "mean_difference"
    """How units are chosen: mean_difference, l1, or exact (up to 3 units)."""
    rows: int | None = Field(2000, ge=80)
    """Rows of a predicate, half of which find the units and half judge; null for all."""
    permutations: int = Field(200, ge=19, le=100_000)
    """Permutations of the rows; the smallest p there can be is one over one more."""
    inputs: int = Field(200, ge=20)
    """Rows on which units are held."""
    random_units: int = Field(20, ge=5)
    """Sets of as many random units."""

    @field_validator("sites")
    @classmethod
    def _sites(cls, sites: tuple[str, ...]) -> tuple[str, ...]:
        return checked_sites(sites)

    @model_validator(mode="after")
    def _numbers(self) -> SparseProbingParams:
        if not self.k or min(self.k) < 1 or len(set(self.k)) < len(self.k):
            message = "k: different numbers of units from 1 on are asked"
            raise ValueError(message)
        if self.method == "exact" and max(self.k) > max(sparse.EXACT):
            message = f"k: exact sets have up to {max(sparse.EXACT)} units"
            raise ValueError(message)
        return self


def checked_sites(sites: tuple[str, ...]) -> tuple[str, ...]:
    """Sites as they were written; ValueError for what is none."""
    for site in sites:
        try:
            Site.parse(site)
        except MethodError as error:
            raise ValueError(str(error)) from None
    return sites


def run(subject: Subject, params: SparseProbingParams, context: Context) -> Iterator[Measured | Skipped]:
    """One claim and one curve for each predicate and site, and a table of the claims."""
    if not params.predicates:
        raise MethodError(
            "sparse_probing: name predicates, as predicates: [{name: male, where: \"sex == 'male'\"}]"
        )
    names = distinct([one.name for one in params.predicates], "sparse_probing")
    network, sites = found.network_of(subject, "sparse_probing", params.sites)
    if len(names) * len(sites) > MOST:
        raise MethodError(
            f"sparse_probing: {len(names)} predicates x {len(sites)} sites are more than {MOST} claims"
        )
    made, refused = predicates.populations(subject, params.predicates, params.rows, context)
    values: dict[tuple[str, str], Estimate] = {}
    every = found.seen(network, sites, made, params.permutations, context)
    for seen in every:
        for name in seen.names:
            ask = edits.asked(network, subject, seen, name, params.inputs)
            for flow in seen.flows:
                probed = _probed(params, context, seen, name, flow)
                if isinstance(probed, str):
                    yield Skipped(name=part_name(name, flow.site), reason=probed)
                    continue
                claim = _claim(params, context, subject, seen, name, flow, ask, probed)
                assert isinstance(claim.observation, Scalar)
                values[name, str(flow.site)] = claim.observation.estimate
                yield claim
                yield _curve(context, name, flow, probed)
    for name, reason in refused.items():
        yield from (Skipped(name=part_name(name, site), reason=reason) for site in sites)
    yield Measured(
        title=f"Held-out area under the curve of probes of {units_of(params.k[0])}",
        observation=Matrix(
            rows=tuple(names),
            columns=tuple(str(site) for site in sites),
            values=tuple(
                tuple(
                    values[name, str(site)].value if (name, str(site)) in values else None for site in sites
                )
                for name in names
            ),
            row_title="predicate",
            column_title="site",
        ),
        arrays=found.kept(every),
        limits=("an empty cell was not probed: its own record says why",),
    )


def part_name(*parts: object) -> str:
    """The part of an evidence id: joined by ``@``, percent-encoded."""
    return encoded("@".join(str(part) for part in parts))


def distinct(names: list[str], method: str) -> list[str]:
    """The names; MethodError where one stands twice."""
    for place, name in enumerate(names):
        if name in names[:place]:
            raise MethodError(f"{method}: the name {name!r} stands twice")
    return names


def units_of(k: int) -> str:
    """A number of units in words."""
    return "one unit" if k == 1 else f"{k} units"


@dataclass(frozen=True, eq=False)
class Probed:
    """Probes of one predicate at one site, for each k."""

    units: dict[int, NDArray[np.int64]]
    scores: dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]]
    """By k, of the rows that judge: those for which the predicate holds, and the others."""
    random: dict[int, list[float]]
    """By k, held-out areas of probes of random units."""
    weights: dict[int, NDArray[np.float64]]
    """By k, of the probe's units."""


def _probed(params: SparseProbingParams, context: Context, seen: Seen, name: str, flow: Flow) -> Probed | str:
    values, label = seen.activations[flow], seen.population.labels[name]
    finds = seen.population.finds
    holds, others = seen.population.halves(name)
    varying = int((values[finds].std(axis=0) > 0).sum())
    if varying < min(params.k):
        return f"{varying} units of {flow.site} vary over these rows, and {min(params.k)} are asked"
    made = Probed({}, {}, {}, {})
    rng = context.rng("random probes", name, str(flow.site))
    for k in sorted(params.k):
        if k > varying:
            continue
        units = sparse.select(values[finds], label[finds], k, params.method)
        probe = sparse.fit(values[finds], label[finds], units)
        made.units[k] = units
        made.weights[k] = probe.weights
        made.scores[k] = probe.scores(values[holds]), probe.scores(values[others])
        made.random[k] = []
        for one in ablation.random_units(values.shape[1], k, params.random_units, rng):
            other = sparse.fit(values[finds], label[finds], one)
            made.random[k].append(_area(other.scores(values[holds]), other.scores(values[others])))
    return made


def _area(holds: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    return auc(holds.tolist(), others.tolist(), [0.95])[0]


def _claim(
    params: SparseProbingParams,
    context: Context,
    subject: Subject,
    seen: Seen,
    name: str,
    flow: Flow,
    ask: Asked,
    probed: Probed,
) -> Measured:
    k = params.k[0] if params.k[0] in probed.units else min(probed.units)
    units, (holds, others) = probed.units[k], probed.scores[k]
    value, limits = auc(holds.tolist(), others.tolist(), context.levels)
    n = len(holds) + len(others)
    above = [(_less(low), _less(high)) for low, high in limits]
    rng = context.rng("random units", name, str(flow.site))
    width = seen.activations[flow].shape[1]
    random = ablation.random_units(width, k, params.random_units, rng, units.tolist())
    effect = edits.effect(ask, seen, flow, units.tolist(), random)
    start = seen.own(flow).start
    p, adjusted = min((seen.p(name, start + int(unit)) for unit in units), key=lambda pair: pair[1])
    robustness, variants = _robust(context, seen, name, flow, ask, k, effect)
    return Measured(
        name=part_name(name, flow.site),
        title=f"How well {units_of(k)} of {flow.site} {'tells' if k == 1 else 'tell'} {name}, on rows not used to find "
        + ("it" if k == 1 else "them"),
        observation=Scalar(estimate=context.estimate(value, limits, n), unit="area under the curve"),
        arrays={
            "holds": holds,
            "others": others,
            "units": units,
            "higher": probed.weights[k] > 0,
            "random_areas": np.asarray(probed.random[k]),
            **found.claimed(seen, flow, units),
            **effect.arrays(ask),
            **variants,
        },
        sampling=seen.population.sampling,
        controls=(
            Control(
                name="held-out area above one half",
                expectation="positive",
                estimate=context.estimate(value - 0.5, above, n),
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
        robustness=robustness,
        params={
            "predicate": name,
            "site": str(flow.site),
            "units": [int(unit) for unit in units],
            "higher": [bool(weight > 0) for weight in probed.weights[k]],
            "claimed_k": k,
            "rows_from": seen.population.source,
            "random_area": float(np.mean(probed.random[k])),
            **effect_told(context, ask, effect, subject),
        },
        limits=tuple(_cut(params, k, width)),
    )


def effect_told(context: Context, ask: Asked, effect: Effect, subject: Subject) -> dict[str, Any]:
    """What holding the units did, for the sentence."""
    low, high = effect.limits(context.levels[:1])[0]
    return {
        "class": ask.label,
        "output": "probability" if subject.probabilities and subject.task == "classification" else "score",
        "gap": effect.gap,
        "effect": {"value": effect.value, "low": low, "high": high, "n": len(effect.changes), "limits": None},
        "random_reach": effect.reach(),
    }


def _cut(params: SparseProbingParams, k: int, width: int) -> Iterator[str]:
    most = sparse.EXACT.get(k)
    if params.method == "exact" and most is not None and width > most:
        yield f"the best {units_of(k)} among the {most} that are best alone, of {width:,}"


def _less(limit: float | None) -> float | None:
    return None if limit is None else limit - 0.5


def _robust(
    context: Context,
    seen: Seen,
    name: str,
    flow: Flow,
    ask: Asked,
    k: int,
    effect: Effect,
) -> tuple[Robustness, dict[str, NDArray[Any]]]:
    """Declared specifications: units chosen on each half of the rows that find, by two selectors, and two halves that judge.

    One agrees where its probe's held-out area lies above one half and holding its units takes off the gap on the
    same side, by more than random sets reach. Beside it what each chose and gave, -1 and nan where it could choose
    nothing.
    """
    values, label = seen.activations[flow], seen.population.labels[name]
    finds = np.flatnonzero(seen.population.finds)
    holds, others = seen.population.halves(name)
    agreeing = 0
    scores, changes, chosen = [], [], []
    selectors: tuple[Selector, ...] = ("mean_difference", "l1")
    for half in (finds[::2], finds[1::2]):
        for selector in selectors:
            scores.append(np.full(len(holds) + len(others), np.nan))
            changes.append(np.full(len(effect.changes), np.nan))
            chosen.append(np.full(k, -1))
            if not 2 <= label[half].sum() <= len(half) - 2:
                continue
            try:
                units = sparse.select(values[half], label[half], k, selector)
            except ValueError:
                continue
            probe = sparse.fit(values[half], label[half], units)
            told = probe.scores(values[holds]), probe.scores(values[others])
            _, limits = auc(told[0].tolist(), told[1].tolist(), context.levels[:1])
            low = limits[0][0]
            other = edits.effect(ask, seen, flow, units.tolist(), [])
            scores[-1], changes[-1], chosen[-1] = np.concatenate(told), other.changes, units
            same = other.value * effect.value > 0 and abs(other.value) > effect.reach()
            agreeing += low is not None and low > 0.5 and same
    tried = len(scores)
    kept = {
        "variant_units": np.stack(chosen),
        "variant_scores": np.stack(scores),
        "variant_changes": np.stack(changes),
    }
    return Robustness(specifications=tried, agreeing=agreeing, share=agreeing / tried), kept


def _curve(context: Context, name: str, flow: Flow, probed: Probed) -> Measured:
    own, random = [], []
    arrays: dict[str, NDArray[Any]] = {}
    for k, (holds, others) in probed.scores.items():
        value, limits = auc(holds.tolist(), others.tolist(), context.levels)
        n = len(holds) + len(others)
        own.append(Point(x=k, estimate=context.estimate(value, limits, n)))
        areas = sorted(probed.random[k])
        arrays |= {
            f"units_{k}": probed.units[k],
            f"holds_{k}": holds,
            f"others_{k}": others,
            f"random_areas_{k}": np.asarray(areas),
        }
        middle = float(np.mean(areas))
        random.append(
            Point(
                x=k,
                estimate=context.estimate(middle, [(areas[0], areas[-1])] * len(context.levels), len(areas)),
            )
        )
    return Measured(
        name=part_name(name, flow.site, "k"),
        title=f"How well k units of {flow.site} tell {name}",
        observation=Curve(
            x="units",
            y="area under the curve",
            series=(
                Series(name="chosen units", points=tuple(own)),
                Series(name="random units, mean and range", points=tuple(random)),
            ),
        ),
        arrays=arrays,
        params={"predicate": name, "site": str(flow.site)},
    )


METHOD = Method(
    id="sparse_probing",
    kind="explainer",
    title="Sparse probing",
    measures="How well few units inside the network tell a predicate on rows not used to find them, and what holding them "
    "at their mean does to the output",
    params=SparseProbingParams,
    run=run,
    needs=("model", "scores", "network"),
    limits=(
        "a unit that tells a predicate need not be used for it: only the edit speaks of use",
        "a unit may tell what comes with the predicate in these rows, not the predicate itself",
        "positions of a text or picture are averaged to one number a unit",
        "the test treats rows as independent; rows of one cluster go to one half together",
        "units held at their mean may leave the network in states that no input gives",
    ),
    cites=(
        "Gurnee, Nanda, Pauly, Harvey, Troitskii and Bertsimas 2023, Finding Neurons in a Haystack, arXiv:2305.01610",
        "Mann and Whitney 1947, Annals of Mathematical Statistics 18:50",
        "Westfall and Young 1993, Resampling-Based Multiple Testing",
    ),
)

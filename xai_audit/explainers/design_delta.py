"""What a way of training changed: networks of the same seeds without and with it, measured alike, pair by pair."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, field_validator

from xai_audit import predicate
from xai_audit.errors import MethodError
from xai_audit.evidence import Control, Estimate, Frozen, Inference, Matrix, Sampling, Scalar, encoded
from xai_audit.explainers.concepts.sets import metadata
from xai_audit.explainers.design import measured
from xai_audit.explainers.training import weights
from xai_audit.intervals_rows import mean
from xai_audit.mechanistic.design import deltas
from xai_audit.mechanistic.sites import Site
from xai_audit.method import Measured, Method, Skipped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.explainers.design.measured import Asked, Found
    from xai_audit.mechanistic.dynamics.checkpoints import Checkpoint
    from xai_audit.mechanistic.network import Network
    from xai_audit.method import Context
    from xai_audit.subject import Subject

FEWEST = 40
"""Labelled test rows: half of them choose units, half judge them."""
HOLDS = 10
"""Rows of each half that a concept holds for, and rows that it does not hold for."""
FLAT = 1e-9
"""Under this an interval has no width."""
AUROC = "AUROC of the best unit for {}"


class HeldConcept(Frozen):
    """A concept as a condition on the test rows."""

    name: str = Field(min_length=1)
    where: str
    """As "striped == 1"; asked of every column of the test data."""

    @field_validator("where")
    @classmethod
    def _parsed(cls, where: str) -> str:
        predicate.parse(where)
        return where


class DesignParams(Frozen):
    """Which networks, at which site, and which concepts its units may stand for."""

    before: str = "before"
    """A name of model.checkpoints: networks trained without the change, a file for each seed."""
    after: str = "after"
    """Those trained with it: files with the same numbers."""
    site: str | None = None
    """Whose units are looked at: a module after its nonlinearity."""
    concepts: tuple[HeldConcept, ...] = ()
    """Concepts as {name, where}."""
    rows: int = Field(2000, ge=FEWEST)
    """Labelled test rows."""
    agreement: float = Field(deltas.AGREEMENT, gt=0.5, le=1)
    """The share of decisions that a circuit gives as its network does."""

    @field_validator("site")
    @classmethod
    def _site(cls, site: str | None) -> str | None:
        if site is not None:
            try:
                Site.parse(site)
            except MethodError as error:
                raise ValueError(str(error)) from None
        return site


def run(subject: Subject, params: DesignParams, context: Context) -> Iterator[Measured | Skipped]:
    """A table of every measure before and after, then a claim for each measure and each concept."""
    assert subject.model is not None
    network = subject.model.network
    assert network is not None
    pairs = _pairs(subject, params)
    asked, sampling, notes, left = _asked(subject, params, network, context)
    before, after = (
        [_measured(network, one, asked, context) for one in side] for side in zip(*pairs, strict=True)
    )
    names = [name for name in measured.MEASURES if name in before[0].values]
    level = context.levels[0]
    found = {name: _paired(before, after, name, level) for name in names}
    adjusted = _holm({name: one.p for name, one in found.items()})
    numbers = [one.number for one, _ in pairs]
    ways = params.before, params.after
    yield _table(found, numbers, notes, sampling, ways)
    for name in names:
        yield _claim(context, name, ways, found[name], before, after, adjusted[name], len(names))
    for name, reason in left.items():
        yield Skipped(name=encoded(f"auroc@{name}"), reason=reason)
    for name in asked.concepts:
        one = [[part.aurocs[name] for part in side] for side in (before, after)]
        yield _by_concept(context, name, ways, deltas.paired(one[0], one[1], level), one)


def _pairs(subject: Subject, params: DesignParams) -> list[tuple[Checkpoint, Checkpoint]]:
    """The networks of each seed, without and with."""
    sides = []
    for key in ("before", "after"):
        found = weights.checkpoints(subject, getattr(params, key), "design_delta", key)
        sides.append({one.number: one for one in found})
    before, after = sides
    if params.before == params.after:
        raise MethodError("design_delta: before and after name the same files")
    if before.keys() != after.keys():
        unlike = sorted(before.keys() ^ after.keys())
        raise MethodError(
            f"design_delta: a pair has the same number in both names; {', '.join(map(str, unlike[:5]))} stand alone"
        )
    return [(before[number], after[number]) for number in before]


def _asked(
    subject: Subject, params: DesignParams, network: Network, context: Context
) -> tuple[Asked, Sampling, list[str], dict[str, str]]:
    if params.site is None:
        paths = ", ".join(one.path for one in network.sites()[:12])
        raise MethodError(f"design_delta: name a site, as site: act; this network has {paths}")
    names = [one.name for one in params.concepts]
    if len(set(names)) < len(names):
        raise MethodError("design_delta: two concepts have the same name")
    test = subject.test
    assert test.target is not None
    order, _ = context.sample(None)
    known = order[test.target[order] >= 0]
    chosen, sampling = context.sample(params.rows)
    chosen = chosen[test.target[chosen] >= 0] if params.rows < test.n else known
    if len(chosen) < FEWEST:
        raise MethodError(f"design_delta: {len(chosen)} labelled test rows; {FEWEST} are needed")
    first = np.zeros(len(chosen), dtype=np.bool_)
    first[context.rng("halves").permutation(len(chosen))[: len(chosen) // 2]] = True
    told = metadata(test)
    concepts, left = {}, {}
    for one in params.concepts:
        try:
            holds = predicate.parse(one.where).holds(told)[chosen]
        except ValueError as error:
            raise MethodError(f"concept {one.name}: {error}") from None
        few = min(int((holds[half] == value).sum()) for half in (first, ~first) for value in (True, False))
        if few < HOLDS:
            left[one.name] = f"in one half of the rows {few} are on one side of it; {HOLDS} are needed"
        else:
            concepts[one.name] = holds
    site = Site.parse(params.site)
    network.check(site)
    asked = measured.Asked(
        test.frame.iloc[chosen].reset_index(drop=True),
        np.asarray(test.target[chosen], dtype=np.int64),
        concepts,
        first,
        site,
        params.agreement,
    )
    used = Sampling(available=test.n, used=len(chosen), how=sampling.how)
    notes = [f"units are chosen on {int(first.sum())} rows and judged on {int((~first).sum())} others"]
    return asked, used, notes, left


def _measured(network: Network, checkpoint: Checkpoint, asked: Asked, context: Context) -> Found:
    own = weights.Rewound(network).to(checkpoint)
    return measured.measure(own, asked, context.rng("network", checkpoint.sha256))


def _paired(before: Sequence[Found], after: Sequence[Found], name: str, level: float) -> deltas.Paired:
    return deltas.paired(
        [one.values[name] for one in before], [one.values[name] for one in after], confidence=level
    )


def _holm(p: Mapping[str, float]) -> dict[str, float]:
    """p-values adjusted over the measures (Holm 1979)."""
    adjusted: dict[str, float] = {}
    most = 0.0
    for place, name in enumerate(sorted(p, key=lambda one: p[one])):
        most = max(most, min(1.0, (len(p) - place) * p[name]))
        adjusted[name] = most
    return adjusted


def _table(
    found: Mapping[str, deltas.Paired],
    numbers: Sequence[int],
    notes: Sequence[str],
    sampling: Sampling,
    ways: tuple[str, str],
) -> Measured:
    return Measured(
        title=f"What the way of training changed, from {ways[0]} to {ways[1]}: means over {len(numbers)} pairs",
        observation=Matrix(
            rows=tuple(measured.MEASURES[name] for name in found),
            columns=("before", "after", "difference", "low", "high"),
            values=tuple(
                (one.before, one.after, one.difference, one.low, one.high) for one in found.values()
            ),
            row_title="measure",
            column_title="mean over pairs",
        ),
        sampling=sampling,
        limits=tuple(notes),
        params={
            "pairs": list(numbers),
            "finding": " ".join(_sentence(measured.MEASURES[name], one, ways) for name, one in found.items()),
        },
    )


def _sentence(label: str, one: deltas.Paired, ways: tuple[str, str]) -> str:
    what, unit = label.partition(",")[0], " nats" if label.endswith("nats") else ""
    named = what if what[:2].isupper() else f"{what[0].lower()}{what[1:]}"
    places = _places(one)
    before, after = (_rounded(value, places) for value in (one.before, one.after))
    told = f"From {ways[0]} to {ways[1]}, {named}"
    way = "rose" if one.difference > 0 else "fell" if one.difference < 0 else "did not change on average"
    if one.low == one.high == one.difference == 0:
        return f"{told} did not change: {one.before:.4g}{unit} in all {one.pairs} pairs."
    told = f"{told} {way}: {before}{unit} before, {after} after"
    if one.low is None or one.high is None:
        return f"{told} (one pair, no interval)."
    sure = "" if one.low > 0 or one.high < 0 else ", which chance over seeds could give"
    limits = f"[{_rounded(one.low, places)}, {_rounded(one.high, places)}]"
    plus = "+" if one.difference > 0 else ""
    return (
        f"{told}, difference {plus}{_rounded(one.difference, places)} {limits} over {one.pairs} pairs{sure}."
    )


def _rounded(value: float, places: int) -> str:
    """A number with so many decimals, never a negative zero."""
    return f"{round(value, places) + 0.0:.{places}f}"


def _places(one: deltas.Paired) -> int:
    """Decimals whose last is worth about a fifth of the interval; three where it has no width."""
    if one.low is None or one.high is None or one.high - one.low < FLAT:
        return 3
    return min(max(math.ceil(-math.log10((one.high - one.low) / 5) - 1e-9), 0), 6)


def _estimate(context: Context, changes: Sequence[float]) -> Estimate:
    value, limits = mean(list(changes), context.levels)
    return context.estimate(value, limits, len(changes))


def _claim(
    context: Context,
    name: str,
    ways: tuple[str, str],
    one: deltas.Paired,
    before: Sequence[Found],
    after: Sequence[Found],
    adjusted: float,
    family: int,
) -> Measured:
    own = [[part.values[name] for part in side] for side in (before, after)]
    label = measured.MEASURES[name]
    return Measured(
        name=name,
        title=f"{label}: after less before",
        observation=Scalar(
            estimate=_estimate(context, [b - a for a, b in zip(*own, strict=True)]), unit=_UNITS.get(name)
        ),
        arrays={"before": np.array(own[0]), "after": np.array(own[1]), **_held_against(name, before, after)},
        controls=_controls(context, name, before, after),
        inference=Inference(
            p=one.p,
            adjusted=adjusted,
            method="Student's t over pairs, Holm",
            family=f"{family} measures of the same pairs",
            m=family,
        ),
        params={"before_mean": one.before, "after_mean": one.after, "finding": _sentence(label, one, ways)},
        limits=("with fewer than two pairs there is no interval",) if one.pairs < 2 else (),
    )


_UNITS = {"accuracy": "share of rows", "circuit_size": "units", "active_units": "units", "log_loss": "nats"}


def _held_against(
    name: str, before: Sequence[Found], after: Sequence[Found]
) -> dict[str, NDArray[np.float64]]:
    """Of every network, what a measure is held against; nothing where it has no control."""
    every = [*before, *after]
    if name == "best_unit_auroc":
        return {"shuffled": np.array([one.shuffled for one in every if one.shuffled is not None])}
    return {"beyond": np.array([one.beyond for one in every])} if name == "circuit_size" else {}


def _controls(
    context: Context, name: str, before: Sequence[Found], after: Sequence[Found]
) -> tuple[Control, ...]:
    kept = _held_against(name, before, after)
    if "shuffled" in kept:
        return (
            Control(
                name="best-unit AUROC above one half, of concepts whose rows are shuffled",
                expectation="null",
                estimate=_estimate(context, (kept["shuffled"] - 0.5).tolist()),
            ),
        )
    if "beyond" in kept:
        return (
            Control(
                name="agreement of the circuits above random units of equal number",
                expectation="positive",
                estimate=_estimate(context, kept["beyond"].tolist()),
                edit=True,
            ),
        )
    return ()


def _by_concept(
    context: Context,
    name: str,
    ways: tuple[str, str],
    one: deltas.Paired,
    own: Sequence[Sequence[float]],
) -> Measured:
    label = AUROC.format(name)
    return Measured(
        name=encoded(f"auroc@{name}"),
        title=f"{label}: after less before",
        observation=Scalar(estimate=_estimate(context, [b - a for a, b in zip(*own, strict=True)])),
        arrays={"before": np.array(own[0]), "after": np.array(own[1])},
        params={
            "concept": name,
            "before_mean": one.before,
            "after_mean": one.after,
            "finding": _sentence(label, one, ways),
        },
    )


METHOD: Method[Any] = Method(
    id="design_delta",
    kind="explainer",
    title="What an interpretable way of training changed",
    measures="Accuracy, calibration, units that stand for concepts, circuit size and sparsity, before and after, over seeds",
    params=DesignParams,
    run=run,
    needs=("model", "network", "labels", "classification", "checkpoints"),
    limits=(
        "a pair is of one seed and one architecture; other sizes and data may change otherwise",
        "a unit that tells a concept need not be what the network uses for it",
        "a circuit is of one site: the order of its units is a first-order estimate, other units are held at their mean",
    ),
    cites=(
        "Gao et al. 2025, arXiv:2511.13653",
        "Ross, Hughes and Doshi-Velez 2017, IJCAI, arXiv:1703.03717",
        "Liu, Gan and Tegmark 2023, arXiv:2305.08746",
        "Koh et al. 2020, ICML, arXiv:2007.04612",
    ),
    parts=(*measured.MEASURES,),
)

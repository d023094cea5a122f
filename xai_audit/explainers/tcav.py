"""TCAV: does a class depend on a human concept, by directions of examples, a permutation of sets, and an edit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field, field_validator

from xai_audit import predicate
from xai_audit.errors import MethodError
from xai_audit.evidence import Frozen
from xai_audit.explainers.concepts import (
    edits as concept_edits,
)
from xai_audit.explainers.concepts import (
    scores as concept_scores,
)
from xai_audit.explainers.concepts import (
    sets as concept_sets,
)
from xai_audit.explainers.concepts.claims import Claims, part_name
from xai_audit.explainers.concepts.sets import FEWEST
from xai_audit.mechanistic import concepts, flows
from xai_audit.mechanistic.concepts import Estimator
from xai_audit.mechanistic.sites import Site
from xai_audit.method import Measured, Method, Skipped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.explainers.concepts.scores import At, Fitted, Member
    from xai_audit.mechanistic.flows import Flow
    from xai_audit.mechanistic.network import Network
    from xai_audit.method import Context
    from xai_audit.subject import Subject

MOST = 400
"""Claims of one use: concepts times sites times classes."""
PARALLEL = 0.999
"""Where one direction holds this share of the inputs' gradients, every concept scores 0 or 1."""
FEW = 32
"""Inputs on which each random direction is tried."""


class Concept(Frozen):
    """A concept: a set of ``data.sets``, or the rows for which a condition holds."""

    name: str = Field(min_length=1)
    where: str | None = None
    """As "sex == 'male'"; asked of the training rows, else of the test rows."""

    @field_validator("where")
    @classmethod
    def _parsed(cls, where: str | None) -> str | None:
        if where is not None:
            predicate.parse(where)
        return where


def _named(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


class TcavParams(Frozen):
    """Which concepts, where, and how they are tested."""

    concepts: tuple[Annotated[Concept, BeforeValidator(_named)], ...] = ()
    """Names of data.sets, or {name, where}."""
    random: str | None = None
    """The set of random examples; null for the training rows, else test rows that are not evaluated.

    Of a concept with a condition, those for which it does not hold.
    """
    sites: tuple[str, ...] = ()
    """Where in the network: path, path#in, with @head=H and @pos=P."""
    classes: tuple[str | int, ...] | None = None
    """Class labels; null for the positive class, or for every class where there are more than two."""
    random_sets: int = Field(250, ge=19, le=100_000)
    """Sets of random examples; the smallest p there can be is one over one more."""
    examples: int = Field(50, ge=FEWEST)
    """Examples of a concept, and of each random set."""
    rows: int = Field(200, ge=FEWEST)
    """Inputs of each class for the scores, and of all classes for the effect."""
    estimator: Estimator = "ridge"
    """How vectors are fitted: ridge, mean_difference (FastCAV), or logistic as in scikit-learn."""
    relative: bool = False
    """Against the union of the other concepts' examples in place of random ones."""
    directions: int = Field(20, ge=5)
    """Random directions of the same length as each concept's."""
    pool: bool | None = None
    """Average the positions of a site (of a picture's channels, of a text's tokens); null: those of texts."""

    @field_validator("sites")
    @classmethod
    def _sites(cls, sites: tuple[str, ...]) -> tuple[str, ...]:
        for site in sites:
            try:
                Site.parse(site)
            except MethodError as error:
                raise ValueError(str(error)) from None
        return sites


@dataclass(frozen=True, eq=False)
class _Plan:
    """What is asked, with every name found."""

    network: Network
    flows: list[Flow]
    classes: list[int]
    members: dict[str, Member | str]
    parts: list[concept_sets.Examples]
    chosen: concept_sets.Chosen
    inputs: dict[int, NDArray[np.int64]]
    """Test rows of each class, for the scores."""
    judged: NDArray[np.int64]
    """Test rows of all classes, for the effect."""


def run(subject: Subject, params: TcavParams, context: Context) -> Iterator[Measured | Skipped]:
    """One claim for each concept, site and class, and a table of the effects."""
    plan = _planned(subject, params, context)
    frame = subject.test.frame
    acts = flows.activations(plan.network, _stacked([part.frame for part in plan.parts]), plan.flows)
    gradients = _class_gradients(plan, frame)
    asked = concept_edits.Asked.of(plan.network, frame.iloc[plan.judged], plan.flows, FEW)
    slopes = {of: flows.mean_score_gradients(plan.network, asked.all, plan.flows, of) for of in plan.classes}
    members = [one for one in plan.members.values() if not isinstance(one, str)]
    claims = Claims(subject, params, context, plan.members, plan.chosen.notes)
    # Everything that reads all sites at once comes first: the family of the test.
    sites: dict[Flow, tuple[At, dict[str, Fitted]]] = {}
    for flow in plan.flows:
        at = concept_scores.At.of(acts.pop(flow))

        def draw(*piece: str, flow: Flow = flow) -> np.random.Generator:
            return context.rng(str(flow.site), *piece)

        sites[flow] = (
            at,
            concept_scores.fitted(at, members, params.estimator, params.random_sets, draw, context.levels),
        )
        for of in plan.classes:
            rows = gradients[of].get(flow)
            reason = _unscored(plan, flow, rows, str(subject.classes[of]), len(plan.inputs[of]))
            if reason:
                claims.refused(flow, of, reason)
                continue
            assert rows is not None
            claims.slopes(flow, of, at, slopes[of][flow], rows)
    claims.tested(members)
    for flow, (at, found) in sites.items():
        yield from _claimed(plan, params, context, claims, flow, at, found, gradients, asked)
    fitted = {str(flow.site): found for flow, (_, found) in sites.items()}
    yield claims.summary(fitted, list(fitted), plan.classes)


def _planned(subject: Subject, params: TcavParams, context: Context) -> _Plan:
    assert subject.model is not None
    network = subject.model.network
    assert network is not None
    if not params.concepts:
        raise MethodError(
            "tcav: name concepts, as concepts: [stripes, {name: male, where: \"sex == 'male'\"}]"
        )
    if not params.sites:
        paths = ", ".join(one.path for one in network.sites()[:12])
        raise MethodError(f"tcav: name sites, as sites: [layer3]; this network has {paths}")
    names = [one.name for one in params.concepts]
    if len(set(names)) < len(names):
        raise MethodError(
            "tcav: two concepts have the same name; give one another with {name: ..., where: ...}"
        )
    classes = _classes(subject, params)
    if len(names) * len(params.sites) * len(classes) > MOST:
        raise MethodError(
            f"tcav: {len(names)} concepts x {len(params.sites)} sites x {len(classes)} classes are more than {MOST} "
            "claims; name classes"
        )
    if params.relative and len(names) < 2:
        raise MethodError("tcav: relative: true needs at least two concepts")
    chosen = concept_sets.choose(
        subject,
        [(one.name, one.where) for one in params.concepts],
        params.random,
        params.examples,
        context.seed,
    )
    parts, members = concept_scores.layout(chosen, relative=params.relative)
    order = concept_sets.smallest_first(subject.test, context.seed, "tcav", "inputs")
    order = order[np.isin(order, chosen.evaluated)]
    labels = _labels(subject)
    judged = np.sort(order[: params.rows])
    if len(judged) < FEWEST:
        raise MethodError(f"tcav: {len(judged)} test rows are left to judge by; {FEWEST} are needed")
    frame = subject.test.frame.iloc[judged]
    return _Plan(
        network=network,
        flows=[
            flows.flow(network, frame, Site.parse(site), pooled=params.pool)
            for site in dict.fromkeys(params.sites)
        ],
        classes=classes,
        members=members,
        parts=parts,
        chosen=chosen,
        inputs={of: np.sort(order[labels[order] == of][: params.rows]) for of in classes},
        judged=judged,
    )


def _classes(subject: Subject, params: TcavParams) -> list[int]:
    known = {str(label): place for place, label in enumerate(subject.classes)}
    if params.classes is None:
        return [subject.positive] if subject.binary else list(range(len(subject.classes)))
    for label in params.classes:
        if str(label) not in known:
            raise MethodError(f"tcav: no class {label!r}; the classes are {', '.join(known)}")
    return list(dict.fromkeys(known[str(label)] for label in params.classes))


def _labels(subject: Subject) -> NDArray[np.int64]:
    """Each test row's class: its label, or the model's decision where there are no labels."""
    own = subject.test.target if subject.test.target is not None else subject.prediction
    assert own is not None
    return np.asarray(own, dtype=np.int64)


def _class_gradients(plan: _Plan, frame: Any) -> dict[int, dict[Flow, NDArray[np.float32]]]:
    """Of each class's output, for its own inputs: one backward pass a batch for all sites and classes."""
    used = [(of, plan.inputs[of]) for of in plan.classes if len(plan.inputs[of]) >= FEWEST]
    found: dict[int, dict[Flow, NDArray[np.float32]]] = {of: {} for of in plan.classes}
    for of, rows in used:
        of_each = np.full(len(rows), of, dtype=np.int64)
        found[of] = flows.class_gradients(plan.network, frame.iloc[rows], plan.flows, of_each)
    return found


def _unscored(
    plan: _Plan, flow: Flow, gradients: NDArray[np.float32] | None, label: str, inputs: int
) -> str | None:
    """Why no concept can be scored here for this class."""
    if gradients is None:
        return f"{inputs} inputs of class {label} are left; {FEWEST} are needed"
    share = concepts.steadiness(gradients)
    if np.isnan(share):
        return f"the output of class {label} does not depend on {flow.site} at any of {inputs} inputs"
    if share > PARALLEL:
        paths = [one.path for one in plan.network.sites()]
        before = paths[: paths.index(flow.site.path)] if flow.site.path in paths else paths
        near = f", as {', '.join(before[-3:])}" if before else ""
        return (
            f"at {flow.site} the gradient of class {label} is the same for every input (one direction holds "
            f"{100 * share:.1f} % of it), so that every concept scores 0 or 1; name a site with a nonlinearity "
            f"after it{near}"
        )
    return None


def _claimed(
    plan: _Plan,
    params: TcavParams,
    context: Context,
    claims: Claims,
    flow: Flow,
    at: At,
    found: dict[str, Fitted],
    gradients: dict[int, dict[Flow, NDArray[np.float32]]],
    asked: concept_edits.Asked,
) -> Iterator[Measured | Skipped]:
    """Every concept and class at one site."""
    open_ = [of for of in plan.classes if claims.reason(flow, of) is None]
    cross = {of: gradients[of][flow] @ at.examples.T for of in open_}
    for name, member in plan.members.items():
        if isinstance(member, str):
            yield from (
                Skipped(name=part_name(name, flow.site, claims.label(of)), reason=member)
                for of in plan.classes
            )
            continue
        one = found[name]
        for of in plan.classes:
            reason = claims.reason(flow, of) or claims.unseparated(one)
            if reason:
                yield Skipped(name=part_name(name, flow.site, claims.label(of)), reason=reason)
        if not open_ or claims.unseparated(one):
            continue
        own = at.examples[member.own].astype(np.float64) + at.centre
        pool = at.examples[member.pool].astype(np.float64) + at.centre
        moved = concept_edits.effects(
            asked, flow, own, pool, _directions(context, flow, at, params.directions), open_
        )
        for of in open_:
            if moved is None:
                reason = "the concept's examples and the random ones have the same mean here"
                yield Skipped(name=part_name(name, flow.site, claims.label(of)), reason=reason)
                continue
            scored = concept_scores.score(one, gradients[of][flow], cross[of], context.levels)
            yield claims.claim(member, flow, of, at, one, scored, moved[of], cross[of])


def _directions(context: Context, flow: Flow, at: At, count: int) -> NDArray[np.float64]:
    drawn = context.rng("directions", str(flow.site)).normal(size=(count, at.examples.shape[1]))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


def _stacked(frames: Sequence[Any]) -> Any:
    import pandas as pd

    return pd.concat(frames, ignore_index=True)


METHOD = Method(
    id="tcav",
    kind="explainer",
    title="Concept activation vectors (TCAV)",
    measures="How a class's probability changes when activations move from random examples to examples of a concept",
    params=TcavParams,
    run=run,
    needs=("model", "scores", "classification", "network"),
    limits=(
        "a concept is what its examples share, which may be more than its name: correlated concepts share directions",
        "the usual t-test over random sets is not used: at 5 % it rejects 14 to 36 % of concepts that are random sets",
        "examples count as independent: crops of one picture are one example",
        "the test sees what the gradient at the inputs sees; an effect only far from them is seen by the edit alone",
        "moved activations may be unlike any that an input gives",
    ),
    cites=(
        "Kim et al. 2018, ICML, arXiv:1711.11279",
        "FastCAV, ICML 2025, arXiv:2505.17883",
        "Chung and Romano 2013, Annals of Statistics 41:484",
        "Westfall and Young 1993, Resampling-Based Multiple Testing",
    ),
)

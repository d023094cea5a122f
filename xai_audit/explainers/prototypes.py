"""Prototypes: real examples that stand for each class inside the model, and how far they stand for its decisions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.errors import UnmetNeedError
from xai_audit.evidence import Cases, Curve, Scalar, Series
from xai_audit.explainers.examples import cases as prototype_cases
from xai_audit.explainers.examples import parts as prototype_parts
from xai_audit.explainers.examples.compared import PrototypesParams, compared, row_digests
from xai_audit.explainers.examples.embedding import Space
from xai_audit.explainers.examples.few_shot_head import trained
from xai_audit.explainers.examples.support import Rule, Suspicion
from xai_audit.method import Measured, Method, Skipped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from xai_audit.explainers.examples.compared import Found
    from xai_audit.method import Context
    from xai_audit.subject import Subject


def run(subject: Subject, params: PrototypesParams, context: Context) -> Iterator[Measured | Skipped]:
    """Fidelity of both rules, their accuracy, then what the prototypes cover, how pure and how steady they are."""
    if subject.prediction is None:
        raise UnmetNeedError("it needs the model's decisions")
    found = compared(subject, params, context)
    yield from _fidelity(found)
    if params.head is not None:
        yield _head(found)
    yield _accuracy(found)
    yield prototype_parts.purity(found)
    yield from prototype_parts.coverage(found)
    yield prototype_parts.margin(found)
    yield from prototype_parts.stability(found)
    suspicion = Suspicion.of(found.embedded, found.support.labels, len(subject.classes), params.neighbours)
    yield prototype_parts.suspects(found, suspicion)
    shown = prototype_cases.Shown(subject, found.support, found.embedded, found.asked)
    cases = (*shown.of_classes(found.rule, suspicion), *shown.of_rows(found.prediction))
    yield Measured(
        name="examples",
        title="The nearest real examples of each class, and of others",
        observation=Cases(cases=tuple(one.told for one in cases)),
        arrays=prototype_cases.kept(cases),
        **found.common,
    )
    suspects = shown.of_suspects(suspicion)
    yield Measured(
        name="suspect_examples",
        title="Examples whose neighbourhood says another class",
        observation=Cases(cases=tuple(one.told for one in suspects)),
        arrays=prototype_cases.kept(suspects),
        **found.common,
    )


def _fidelity(found: Found) -> Iterator[Measured]:
    agree = found.rule.says(found.asked) == found.prediction
    mean_class = found.rule.few_shot(found.asked)
    few = mean_class == found.prediction
    twins = _twins(found)
    for name, title, event, place in (
        ("", "The class of the nearest prototype is the model's prediction", agree, 0),
        ("class_mean", "The class of the nearest class mean is the model's prediction", few, 1),
    ):
        controls = [found.beyond("beyond always saying the most frequent prediction", event, found.commonest)]
        if twins:
            best = max((one[place] == found.prediction for one in twins), key=np.count_nonzero)
            controls.append(found.beyond("beyond the same network with permuted weights", event, best))
        yield Measured(
            name=name,
            title=title,
            observation=Scalar(estimate=found.share(event), unit="share of test rows"),
            controls=tuple(controls),
            arrays=_arrays(found, agree, mean_class, twins),
            **found.common,
        )


def _twins(found: Found) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """What both rules say in embeddings that learnt nothing; none where there is no network."""
    if not isinstance(found.space, Space):
        return []
    basis, params = found.support, found.params
    said = []
    for number in range(params.twins):
        twin = found.space.twin(found.context.rng("twin", str(number)))
        with np.errstate(over="ignore", invalid="ignore"):
            fit = np.nan_to_num(twin.of(basis.table, basis.rows[~basis.held]))
            asked = np.nan_to_num(twin.of(found.subject.test, basis.queries))
        rule = Rule.chosen(fit, basis.labels[~basis.held], params.k, params.select)
        said.append((rule.says(asked), rule.few_shot(asked)))
    return said


def _head(found: Found) -> Measured | Skipped:
    assert found.params.head is not None
    basis = found.support
    labels = basis.labels[~basis.held]
    try:
        made, note = trained(found.params.head, found.embedded[~basis.held], labels, found.context.seed)
    except UnmetNeedError as error:
        return Skipped(name="head", reason=str(error))
    rule = Rule.chosen(made.of(found.embedded[~basis.held]), labels, 1, "medoids")
    said = rule.few_shot(made.of(found.asked))
    target = found.subject.test.target
    if target is not None and (target[basis.queries] >= 0).any():
        known = target[basis.queries] >= 0
        note["head_accuracy"] = found.share(said == target[basis.queries], known).value
    agree = said == found.prediction
    control = found.beyond("beyond always saying the most frequent prediction", agree, found.commonest)
    return Measured(
        name="head",
        title="The class of the nearest class mean after a few-shot head is the model's prediction",
        observation=Scalar(estimate=found.share(agree), unit="share of test rows"),
        controls=(control,),
        arrays={"head_class": said},
        **{**found.common, "params": {**found.common["params"], **note}},
    )


def _arrays(
    found: Found,
    agree: NDArray[np.bool_],
    mean_class: NDArray[np.int64],
    twins: list[tuple[NDArray[np.int64], NDArray[np.int64]]],
) -> Mapping[str, NDArray[Any]]:
    basis = found.support
    index, distance = found.rule.nearest(found.asked)
    return {
        "prototype_sha256": row_digests(basis.table, basis.rows[found.rule.places]),
        "prototype_class": found.rule.classes,
        "row_sha256": row_digests(found.subject.test, basis.queries),
        "row_prototype": index,
        "row_distance": distance,
        "row_agrees": agree,
        "row_mean_class": mean_class,
        **({"twin_classes": np.asarray(twins, dtype=np.int64)} if twins else {}),
    }


def _accuracy(found: Found) -> Measured | Skipped:
    target = found.subject.test.target
    if target is None or not (target[found.support.queries] >= 0).any():
        return Skipped(name="accuracy", reason="it needs labels; the test rows compared have none")
    truth = target[found.support.queries]
    points = tuple(
        found.point(name, said == truth, truth >= 0)
        for name, said in (
            ("nearest prototype", found.rule.says(found.asked)),
            ("nearest class mean", found.rule.few_shot(found.asked)),
            ("the model", found.prediction),
        )
    )
    return Measured(
        name="accuracy",
        title="Share of test rows whose label each rule gives",
        observation=Curve(x="rule", y="accuracy", series=(Series(name="accuracy", points=points),)),
        **found.common,
    )


METHOD = Method(
    id="prototypes",
    kind="explainer",
    title="Prototypes",
    measures="Whether the class of the nearest real example inside the model is the class that the model predicts",
    params=PrototypesParams,
    run=run,
    needs=("classification",),
    parts=(
        "class_mean",
        "head",
        "accuracy",
        "purity",
        "coverage",
        "margin",
        "stability",
        "suspects",
        "examples",
        "suspect_examples",
    ),
    limits=(
        "an example that is near inside the model need not look alike to a person, nor be near for the same reason",
        "fidelity says that a simpler rule gives the same answers, not that the model works by it",
    ),
    cites=(
        "Snell, Swersky and Zemel 2017, NeurIPS",
        "Kim, Khanna and Koyejo 2016, NeurIPS",
        "Kaufman and Rousseeuw 1990, Finding Groups in Data",
        "Hoffmann et al. 2021, arXiv:2105.02968",
    ),
)

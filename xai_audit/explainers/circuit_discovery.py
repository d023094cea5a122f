"""Circuit discovery: which nodes or edges of a network carry one behaviour, judged by running them alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from xai_audit.errors import MethodError
from xai_audit.explainers.circuits import curves, drawn, graphs
from xai_audit.explainers.circuits.claims import Claims
from xai_audit.explainers.circuits.found import Found, found
from xai_audit.explainers.circuits.latents import Latents
from xai_audit.explainers.circuits.params import CircuitParams
from xai_audit.explainers.circuits.prompts import prompts
from xai_audit.explainers.circuits.variants import variants
from xai_audit.mechanistic.network import calm
from xai_audit.method import Measured, Method, Skipped

if TYPE_CHECKING:
    from xai_audit.explainers.circuits.params import Metric
    from xai_audit.method import Context
    from xai_audit.subject import Subject


def run(subject: Subject, params: CircuitParams, context: Context) -> Iterator[Measured | Skipped]:
    """Ablations side by side, how circuits grow, how specifications agree; then each claim with its elements."""
    assert subject.model is not None
    network = subject.model.network
    assert network is not None
    metrics = _metrics(subject, params)
    with calm(network.device):
        asked = prompts(subject, network, params.prompts, params.rows, context)
        if isinstance(asked, str):
            yield Skipped(reason=asked)
            return
        latents = (
            Latents.of(subject, network, params, context, asked.clean) if params.level == "feature" else None
        )
        build = graphs.builder(network, params, asked.clean, latents)
        graph = graphs.checked(build(network), params)
        twins = [build(network.twin(context.rng("twin", str(place)))) for place in range(params.twins)]
        seen: list[Found] = []
        refused: dict[str, str] = {}
        for ablation in params.ablation:
            try:
                seen.append(
                    found(graph, twins, asked, params, ablation, metrics[0], context.rng("random", ablation))
                )
            except MethodError as error:
                refused[ablation] = str(error)
        others = variants(graph, asked, params, seen, metrics[1:], context) if seen else None
    metric = metrics[0] or "output"
    label = _labels(subject)
    if latents is not None:
        shown = [graph.elements[place] for one in seen for place in np.flatnonzero(one.circuit)]
        label = latents.labels(network, shown, context.min_cell).get
    claims = Claims(context, params, asked, graph, label, others, metric, latents)
    if seen:
        yield claims.table(seen)
        yield curves.growth(context, seen, params.level)
        if others is not None:
            yield curves.multiverse(context, others, asked, seen, params.level)
    for place, one in enumerate(seen):
        yield claims.claim(one, place, len(seen))
        if one.size == len(graph.elements):
            continue  # the whole network is no circuit to show
        yield claims.ranking(one)
        if params.level == "edge":
            yield drawn.of_edges(claims, one)
        if params.level == "feature":
            yield drawn.of_latents(claims, one)
    for name, reason in refused.items():
        yield Skipped(name=name, reason=reason)


def _metrics(subject: Subject, params: CircuitParams) -> list[Metric | None]:
    """The metric of the claims, then those of the specifications; of a regression its output alone."""
    declared = () if params.multiverse is None else params.multiverse.metrics
    if subject.task == "regression":
        if params.metric != "logit_difference":
            raise MethodError(
                f"circuit_discovery: metric: {params.metric} is of classes; this model gives numbers"
            )
        return [None, *([None] if declared else [])]
    return [params.metric, *declared]


def _labels(subject: Subject) -> Callable[[str], str | None]:
    """Inputs of a stack of layers by their columns."""
    names = (
        {f"in.{place}": one.name for place, one in enumerate(subject.columns)}
        if subject.modality == "table"
        else {}
    )
    return names.get


METHOD = Method(
    id="circuit_discovery",
    kind="explainer",
    title="Circuit discovery",
    measures="How much of a behaviour a few nodes, edges or latents of a network keep where everything else is ablated",
    params=CircuitParams,
    run=run,
    needs=("model", "scores", "network"),
    limits=(
        "a circuit is of one contrast: parts that the corrupted side leaves as they are cannot be seen by it",
        "ablated parts carry values that the network may never meet, most of all under zero ablation",
        "elements that stand in for each other may be missing, for ablating one of them changes nothing",
        "positions are not told apart",
        "intervals are over prompts like these; other prompts may show another circuit",
    ),
    cites=(
        "Conmy et al. 2023, NeurIPS, arXiv:2304.14997",
        "Syed, Rager and Conmy 2023, arXiv:2310.10348",
        "Hanna, Pezzelle and Belinkov 2024, arXiv:2403.17806",
        "Miller, Chughtai and Saunders 2024, arXiv:2407.08734",
        "Mueller et al. 2025, MIB, arXiv:2504.13151",
        "Marks et al. 2025, ICLR, arXiv:2403.19647",
        "Mahale 2026, arXiv:2608.13754",
    ),
    parts=("growth", "multiverse", *(
        f"{ablation}{part}" for ablation in ("resample", "mean", "zero") for part in ("", "-elements", "-graph")
    )),
)  # fmt: skip

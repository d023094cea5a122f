"""What a search finds under one ablation: elements in order, the smallest circuit that is faithful, and its own runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np

from xai_audit.errors import MethodError
from xai_audit.explainers.circuits.passed import Passed, passed
from xai_audit.explainers.circuits.prompts import part
from xai_audit.mechanistic.circuits import attribution, faithfulness, patching, task
from xai_audit.mechanistic.circuits.acdc import swept
from xai_audit.mechanistic.circuits.faithfulness import Kept
from xai_audit.mechanistic.circuits.features import FeatureGraph
from xai_audit.mechanistic.circuits.testable import moved

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from numpy.typing import NDArray

    from xai_audit.explainers.circuits.params import CircuitParams, Metric, Search
    from xai_audit.explainers.circuits.prompts import Prompts
    from xai_audit.mechanistic.circuits.graphs import Graph
    from xai_audit.mechanistic.circuits.task import Ablation, Task

MOST = 512
"""Rows in one pass."""
LADDER = 7
"""Thresholds of ACDC, as shares of the behaviour from 0.1 % to 30 %."""


@dataclass(frozen=True, eq=False)
class Halves:
    """One behaviour on the prompts that find and on those that judge."""

    finds: Task
    judges: Task


def halves(graph: Graph, prompts: Prompts, ablation: Ablation, metric: Metric | None) -> Halves:
    """The task under one ablation; what ablated elements carry on average is that of the prompts that find."""
    return Halves(
        half(graph, prompts, ablation, metric, finds=True),
        half(graph, prompts, ablation, metric, finds=False),
    )


def half(graph: Graph, prompts: Prompts, ablation: Ablation, metric: Metric | None, *, finds: bool) -> Task:
    """The task on the prompts that find, or on those that judge."""
    where = prompts.finds == finds
    own = part(prompts.clean, where)
    if ablation == "resample":
        other = graph.values(part(prompts.corrupted, where))
    else:
        counted = prompts.counted
        means = part(prompts.clean, prompts.finds)
        other = task.others(
            graph, means, means, ablation, None if counted is None else part(counted, prompts.finds)
        )
    return task.Task(graph, own, other, _metric(graph, prompts, own, metric, where), MOST)


def _metric(
    graph: Graph, prompts: Prompts, inputs: Any, metric: Metric | None, where: NDArray[np.bool_]
) -> Callable[..., torch.Tensor]:
    import torch

    answers, foils = (torch.from_numpy(part[where]) for part in (prompts.answers, prompts.foils))
    made: Callable[..., torch.Tensor]
    match metric:
        case None:
            return lambda outputs, _: outputs.reshape(len(outputs), -1)[:, 0]
        case "logit_difference":
            made = task.logit_difference(answers, foils)
        case "log_probability":
            made = task.log_probability(answers)
        case "divergence":
            with torch.no_grad():
                made = task.divergence(graph.forward(inputs).reshape(len(answers), -1))
    return lambda outputs, place: made(outputs.reshape(len(outputs), -1), place)


def scores(task_: Task, method: Search, steps: int) -> NDArray[np.float64]:
    """(rows, elements): the size of each element's effect on each row; of acdc by exact patching."""
    match method:
        case "eap":
            return np.abs(attribution.eap(task_))
        case "eap_ig":
            return np.abs(attribution.eap_ig(task_, steps))
        case "mask_gradient":
            return np.abs(attribution.mask_gradient(task_, steps))
        case "exact" | "acdc":
            return np.abs(patching.exact(task_))
        case _:
            assert_never(method)


def ordered(task_: Task, own: NDArray[np.float64], method: Search) -> NDArray[np.float64]:
    """(elements,): by which elements are taken into a circuit; of acdc the threshold at which each goes, then its effect."""
    effect = own.mean(axis=0)
    if method != "acdc":
        return np.asarray(effect)
    gap = abs(float((task_.full() - task_.empty()).mean()))
    stays = swept(task_, [gap * share for share in np.geomspace(1e-3, 0.3, LADDER)])
    return np.asarray(stays + 1e-6 * gap * effect / max(float(effect.max(initial=0.0)), 1e-300))


@dataclass(frozen=True, eq=False)
class Found:
    """A circuit and its runs on the prompts that judge."""

    ablation: Ablation
    order: NDArray[np.float64]
    """(elements,): the score by which elements were taken, on the prompts that find."""
    circuit: NDArray[np.bool_]
    sizes: NDArray[np.int64]
    grown: Kept
    """Circuits of the best elements, of every size."""
    alone: Kept
    """The circuit."""
    rest: Kept
    """All that is not in it."""
    random: Kept
    """Circuits of equal size drawn among the elements that carry something else when they are ablated."""
    scores: NDArray[np.float64]
    """(rows, elements): on the prompts that judge."""
    untestable: NDArray[np.bool_]
    moved: NDArray[np.bool_]
    """(elements,): which carry something else when they are ablated, on the prompts that judge."""
    latents: Kept | None
    """Of a graph of latents: the circuit less its error nodes."""
    passed: Passed | None
    """Of a graph of latents: what those of the circuit pass on."""
    corrupted: NDArray[np.float64]
    """(rows,): the behaviour on the corrupted side of the prompts that judge."""
    twins: NDArray[np.float64]
    """(twins,): the behaviour that a circuit found in the same way and of equal size carries in a network with permuted
    weights, as a share of this network's."""

    @property
    def size(self) -> int:
        """Elements of the circuit."""
        return int(self.circuit.sum())

    @property
    def gap(self) -> float:
        """The behaviour: the whole network less everything ablated, in the mean."""
        return float(self.alone.full.mean() - self.alone.empty.mean())


def found(
    graph: Graph,
    twins: list[Graph],
    prompts: Prompts,
    params: CircuitParams,
    ablation: Ablation,
    metric: Metric | None,
    rng: np.random.Generator,
) -> Found:
    """Search under one ablation, and judge; MethodError where ablating everything changes nothing."""
    both = halves(graph, prompts, ablation, metric)
    order = ordered(both.finds, scores(both.finds, params.method, params.steps), params.method)
    circuit = cut(both.finds, order, params.threshold)
    judges = both.judges
    sizes = np.unique([*faithfulness.grid(judges.size), int(circuit.sum())])
    able, bare = moved(graph, judges.inputs, judges.other)
    random = faithfulness.random_circuits(judges.size, int(circuit.sum()), params.random_circuits, rng, able)
    own = scores(judges, params.method, params.steps)
    latents, handed = None, None
    if isinstance(graph, FeatureGraph):
        latents = faithfulness.kept(judges, circuit & ~graph.errors)
        handed = passed(graph, both.finds, judges, circuit)
    made = Found(
        ablation=ablation,
        order=order,
        circuit=circuit,
        sizes=sizes,
        grown=faithfulness.kept(judges, faithfulness.best(order, sizes)),
        alone=faithfulness.kept(judges, circuit),
        rest=faithfulness.kept(judges, ~circuit),
        random=faithfulness.kept(judges, random),
        scores=own,
        untestable=bare,
        moved=able,
        latents=latents,
        passed=handed,
        corrupted=_corrupted(graph, prompts, judges),
        twins=np.empty(0),
    )
    made.alone.faithfulness()  # refuses where there is no behaviour
    shares = [_carried(twin, prompts, params, ablation, metric, made.size) / made.gap for twin in twins]
    return replace(made, twins=np.asarray(shares))


def cut(task_: Task, order: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
    """(elements,): the smallest circuit of the best elements that keeps so much of the behaviour; all where none does."""
    sizes = np.arange(task_.size + 1) if task_.size <= 64 else np.asarray(faithfulness.grid(task_.size, 40))
    grown = faithfulness.growth(task_, order, sizes.tolist())
    size = grown.size(threshold)
    return np.asarray(faithfulness.best(order, np.asarray([task_.size if size is None else size]))[0])


def _corrupted(graph: Graph, prompts: Prompts, judges: Task) -> NDArray[np.float64]:
    import torch

    with torch.no_grad():
        outputs = graph.forward(part(prompts.corrupted, ~prompts.finds))
        where = torch.arange(judges.rows, device=outputs.device)
        return np.asarray(judges.metric(outputs, where).double().cpu().numpy())


def _carried(
    twin: Graph,
    prompts: Prompts,
    params: CircuitParams,
    ablation: Ablation,
    metric: Metric | None,
    size: int,
) -> float:
    """The behaviour of a twin's own circuit of so many elements, on the prompts that judge."""
    both = halves(twin, prompts, ablation, metric)
    order = ordered(both.finds, scores(both.finds, params.method, params.steps), params.method)
    circuit = faithfulness.best(order, np.asarray([size]))
    made = both.judges.measured(~circuit)[0] - both.judges.empty()
    if not np.isfinite(made).all():
        raise MethodError("a network with permuted weights gives no finite output")
    return float(made.mean())

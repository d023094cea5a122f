"""One behaviour under one ablation: inputs, what ablated parts carry instead, and one number a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from xai_audit.mechanistic.circuits.graphs import Graph, Pass, Prefix, rows_of, taken, tiled

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

Ablation = Literal["resample", "mean", "zero"]
"""What an ablated part carries: its value on the corrupted input, its mean over inputs at each position, or 0."""
Metric = "Callable[[torch.Tensor, torch.Tensor], torch.Tensor]"
"""One number a row from outputs (rows, ...) and the index of each row among the task's inputs (rows,)."""


@dataclass(frozen=True, eq=False)
class Task:
    """A graph, the inputs on which it does something, and how that is measured.

    ``other`` is what ablated elements carry (`Graph.values` of as many rows, or of one row for all); ``most`` is how
    many rows go in one pass.
    """

    graph: Graph
    inputs: Any
    other: tuple[torch.Tensor, ...]
    metric: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    most: int = 1024
    _kept: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def rows(self) -> int:
        """How many inputs there are."""
        return rows_of(self.inputs)

    @property
    def size(self) -> int:
        """How many elements the graph has."""
        return len(self.graph.elements)

    def prefix(self) -> Prefix:
        """The stages of a plain pass, run once."""
        if "prefix" not in self._kept:
            self._kept["prefix"] = self.graph.prefix(self.inputs)
            self._kept["stages"] = np.asarray(self.graph.stages, dtype=np.int64)
        found: Prefix = self._kept["prefix"]
        return found

    def clean(self) -> tuple[torch.Tensor, ...]:
        """What the elements carry without ablation."""
        if "clean" not in self._kept:
            self._kept["clean"] = self.graph.values(self.inputs)
        found: tuple[torch.Tensor, ...] = self._kept["clean"]
        return found

    def part(self, index: NDArray[np.int64]) -> Task:
        """The task on some of its inputs."""
        import torch

        place = torch.as_tensor(index)
        rows, metric = self.rows, self.metric

        def own(outputs: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
            return metric(outputs, place.to(where.device)[where])

        return replace(
            self,
            inputs=taken(self.inputs, place, rows),
            other=taken(self.other, place, rows),
            metric=own,
            _kept={},
        )

    def measured(self, masks: NDArray[Any], *, reuse: bool = True) -> NDArray[np.float64]:
        """(masks, rows): the metric with each mask's elements ablated; masks are (masks, elements) in [0, 1].

        Masks go together along the batch axis; where nothing in the first stages is ablated these are not run again.
        """
        import torch

        wide = np.atleast_2d(np.asarray(masks))
        out = np.empty((len(wide), self.rows))
        prefix = self.prefix() if reuse else None
        first = np.zeros(len(wide), dtype=np.int64)
        if reuse:
            stages = np.where(wide != 0, self._kept["stages"][None], np.iinfo(np.int64).max)
            first = np.minimum(
                stages.min(axis=1, initial=np.iinfo(np.int64).max), max(self.graph.stages, default=0)
            )
        step = max(1, self.most // max(self.rows, 1))
        for stage in np.unique(first):
            chosen = np.flatnonzero(first == stage)
            for start in range(0, len(chosen), step):
                place = chosen[start : start + step]
                with torch.no_grad():
                    out[place] = self._folded(wide[place], prefix, int(stage))
        return out

    def _folded(self, masks: NDArray[Any], prefix: Prefix | None, stage: int) -> NDArray[np.float64]:
        import torch

        times, rows = len(masks), self.rows
        device = self.other[0].device
        mask = torch.as_tensor(masks.astype(np.float32), device=device)
        how = Pass(
            mask=mask.repeat_interleave(rows, dim=0),
            other=tiled(self.other, times, rows),
            prefix=prefix,
            stage=stage,
            active=(mask != 0).any(dim=0),
        )
        outputs = self.graph.forward(tiled(self.inputs, times, rows), how)
        where = torch.arange(rows, device=device).repeat(times)
        found = self.metric(outputs, where)
        return np.asarray(found.detach().double().cpu().numpy()).reshape(times, rows)

    def full(self) -> NDArray[np.float64]:
        """(rows,): the metric without ablation."""
        return self._once("full", np.zeros((1, self.size)))

    def empty(self) -> NDArray[np.float64]:
        """(rows,): the metric with everything ablated."""
        return self._once("empty", np.ones((1, self.size)))

    def _once(self, name: str, mask: NDArray[np.float64]) -> NDArray[np.float64]:
        if name not in self._kept:
            self._kept[name] = self.measured(mask)[0]
        found: NDArray[np.float64] = self._kept[name]
        return found


def others(
    graph: Graph, inputs: Any, corrupted: Any, ablation: Ablation, counted: torch.Tensor | None = None
) -> tuple[torch.Tensor, ...]:
    """What ablated elements carry: of the corrupted inputs, or one row of means or zeros.

    ``counted`` (rows, positions) says which positions are no padding; of means it leaves out the others.
    """
    import torch

    if ablation == "resample":
        return graph.values(corrupted)
    own = graph.values(inputs)
    if ablation == "zero":
        return tuple(torch.zeros_like(one[:1]) for one in own)
    return tuple(_mean(one, counted) for one in own)


def _mean(value: torch.Tensor, counted: torch.Tensor | None) -> torch.Tensor:
    axes = [
        axis for axis in range(1, value.ndim) if counted is not None and value.shape[axis] == counted.shape[1]
    ]
    if counted is None or not axes:
        return value.mean(dim=0, keepdim=True)
    shape = [len(value)] + [1] * (value.ndim - 1)
    shape[axes[-1] if axes[-1] < value.ndim - 1 else axes[0]] = counted.shape[1]
    weight = counted.to(value.dtype).reshape(shape)
    return (value * weight).sum(dim=0, keepdim=True) / weight.sum(dim=0, keepdim=True).clamp(min=1)


def logit_difference(answers: torch.Tensor, foils: torch.Tensor) -> Callable[..., torch.Tensor]:
    """The output of each row's answer less that of its foil (Wang et al. 2022, arXiv:2211.00593)."""

    def metric(outputs: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
        if outputs.shape[1] == 1:
            # One output for two classes: the second's; its negative is the first's.
            return outputs[:, 0] * (2 * answers.to(outputs.device)[where] - 1).to(outputs.dtype)
        own, other = answers.to(outputs.device)[where], foils.to(outputs.device)[where]
        return outputs.gather(1, own[:, None])[:, 0] - outputs.gather(1, other[:, None])[:, 0]

    return metric


def log_probability(answers: torch.Tensor) -> Callable[..., torch.Tensor]:
    """The log probability of each row's answer among the outputs."""

    def metric(outputs: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
        import torch

        own = answers.to(outputs.device)[where]
        if outputs.shape[1] == 1:
            signed = outputs[:, 0] * (2 * own - 1).to(outputs.dtype)
            return torch.nn.functional.logsigmoid(signed)
        return torch.log_softmax(outputs, dim=1).gather(1, own[:, None])[:, 0]

    return metric


def divergence(clean: torch.Tensor) -> Callable[..., torch.Tensor]:
    """Minus the Kullback-Leibler divergence of the outputs' distribution from that of the clean outputs."""

    def metric(outputs: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
        import torch

        own = torch.log_softmax(_two(clean.to(outputs)[where]), dim=1)
        return -(own.exp() * (own - torch.log_softmax(_two(outputs), dim=1))).sum(dim=1)

    return metric


def _two(outputs: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.cat([torch.zeros_like(outputs), outputs], dim=1) if outputs.shape[1] == 1 else outputs

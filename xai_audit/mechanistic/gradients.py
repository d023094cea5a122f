"""Attributions along straight paths: integrated gradients and expected gradients of any torch module, row by row.

Each row goes alone, its points along the path in one batch, so that what a row gets depends on no other row.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from xai_audit.errors import MethodError
from xai_audit.mechanistic.network import target
from xai_audit.mechanistic.sites import Edit, Site

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from xai_audit.mechanistic.network import Network

Rule = Literal["gauss_legendre", "riemann_left", "riemann_middle", "riemann_right", "riemann_trapezoid"]
INPUT = Site("", "in")


@dataclass(frozen=True, eq=False)
class Attribution:
    """What each element of one row adds to the explained output on the way from a baseline."""

    values: torch.Tensor
    """Of the shape of the row at the site, without the batch axis; float64."""
    start: float
    """The explained output at the baseline."""
    end: float
    """The explained output at the row."""
    steps: int
    """Points of the path at which the gradient was taken."""

    @property
    def residual(self) -> float:
        """How far the sum is from ``end - start``, as a share of it; infinite where only the sum is not 0."""
        return relative(float(self.values.sum()), self.end - self.start)


@dataclass(frozen=True, eq=False)
class Expected:
    """Expected gradients of one row over drawn baselines, with their error."""

    values: torch.Tensor
    """Mean over draws, of the shape of the row at the site or as reduced; float64."""
    error: torch.Tensor
    """Standard error of each mean over independent draws (pairs where draws are paired); infinite for one."""
    gap: float
    """What the sum over all elements has over ``end - start``."""
    start: float
    """Mean of the explained output over the drawn baselines."""
    end: float
    gap_error: float
    """Standard error of the gap, whose expectation is 0."""


@lru_cache(maxsize=64)
def quadrature(rule: Rule, steps: int, panels: int = 1) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points in [0, 1] and weights that add to one, in as many equal panels; ValueError for too few points.

    Gauss-Legendre is exact for gradients that are polynomials of degree ``2 steps - 1`` along each panel.
    """
    if steps < (2 if rule == "riemann_trapezoid" else 1):
        raise ValueError(f"{rule} with {steps} steps")
    if rule == "gauss_legendre":
        nodes, weights = np.polynomial.legendre.leggauss(steps)
        points, weights = (1 + nodes) / 2, weights / 2
    elif rule == "riemann_trapezoid":
        points, weights = np.linspace(0, 1, steps), np.full(steps, 1 / (steps - 1))
        weights[[0, -1]] /= 2
    else:
        shift = {"riemann_left": 0.0, "riemann_middle": 0.5, "riemann_right": 1.0}[rule]
        points, weights = (np.arange(steps) + shift) / steps, np.full(steps, 1 / steps)
    points = ((points + np.arange(panels)[:, None]) / panels).ravel()
    weights = np.tile(weights / panels, panels)
    points.setflags(write=False)
    weights.setflags(write=False)
    return points, weights


def relative(total: float, change: float) -> float:
    """The distance of two numbers as a share of the second."""
    gap = abs(total - change)
    if gap == 0:
        return 0.0
    return gap / abs(change) if change else math.inf


def output_of(
    network: Network, column: int, *, probability: bool = False
) -> Callable[[torch.Tensor], torch.Tensor]:
    """One number a row from a network's outputs: a column of its scores, or of what stands before the link.

    ``column`` counts as the scores do: one output before a sigmoid is two classes, and its negative is the first's.
    """

    def chosen(outputs: torch.Tensor) -> torch.Tensor:
        if probability:
            return network.linked(outputs)[:, column]
        if outputs.shape[1] == 1 and network.link in ("none", "softmax"):
            return outputs[:, 0]
        return target(outputs, int(column))

    return chosen


def in_double(network: Network) -> Network:
    """The same network in float64, its own copy."""
    return replace(network, module=copy.deepcopy(network.module).double())


def embedding(network: Network, batch: Mapping[str, torch.Tensor]) -> Site:
    """The output of the first ``nn.Embedding`` that is given the token ids, the batch's first tensor.

    MethodError where none is: the site must then be named.
    """
    import torch

    ids = next(iter(batch.values()))
    given: list[torch.nn.Module] = []

    def before(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        first = args[0] if args else next(iter(kwargs.values()))
        if (
            isinstance(first, torch.Tensor)
            and first.shape == ids.shape
            and torch.equal(first.cpu(), ids.cpu())
        ):
            given.append(module)

    tables = [module for module in network.module.modules() if isinstance(module, torch.nn.Embedding)]
    hooks = [module.register_forward_pre_hook(before, with_kwargs=True) for module in tables]
    try:
        network.run(batch)
    finally:
        for hook in hooks:
            hook.remove()
    for path, module in network.module.named_modules():
        if given and module is given[0]:
            return Site(path)
    raise MethodError(
        f"none of this network's {len(tables)} embedding modules is given the token ids; name the site"
    )


def at(network: Network, inputs: Any, site: Site = INPUT) -> torch.Tensor:
    """What flows through a site for a batch, in the network's own floating type."""
    if site == INPUT and not isinstance(inputs, Mapping):
        return _cast(network, inputs)
    return network.run(_cast(network, inputs), capture=[site]).captured[site]


def integrated(
    network: Network,
    inputs: Any,
    baseline: torch.Tensor,
    output: Callable[[torch.Tensor], torch.Tensor],
    *,
    site: Site = INPUT,
    steps: int = 50,
    rule: Rule = "gauss_legendre",
    tolerance: float | None = None,
    most: int = 1600,
) -> Attribution:
    """Integrated gradients of one row (Sundararajan, Taly and Yan 2017, ICML).

    ``inputs`` is a batch of one row as the reader gives it, ``baseline`` (1, ...) the start of the path at the site.
    With a ``tolerance`` the path is cut into twice as many panels of ``steps`` points each until the residual is no
    larger, or ``most`` points are reached.
    """
    import torch

    end = at(network, inputs, site)
    start = baseline.to(end)
    if start.shape != end.shape:
        raise MethodError(f"the baseline is {tuple(start.shape)}, the row {tuple(end.shape)} at {site}")
    change = (end - start).double()
    ends = _outputs(network, inputs, torch.cat([start, end]), output, site)
    panels = 1
    while True:
        alphas, weights = quadrature(rule, steps, panels)
        total = torch.zeros_like(change)
        for part in _parts(len(alphas), network.micro):
            share = torch.tensor(alphas[part], dtype=end.dtype, device=end.device)
            points = start + share.reshape(-1, *[1] * (end.ndim - 1)) * (end - start)
            gradients = _gradients(network, inputs, points, output, site).double()
            weight = torch.tensor(weights[part], device=end.device)
            total += torch.tensordot(weight, gradients, dims=1)[None]
        found = Attribution((total * change)[0].cpu(), float(ends[0]), float(ends[1]), len(alphas))
        if tolerance is None or found.residual <= tolerance or 2 * len(alphas) > most:
            return found
        if not math.isfinite(found.residual) and not bool(change.isfinite().all()):
            return found  # no number of steps mends a row that is none
        panels *= 2


def expected(
    network: Network,
    inputs: Any,
    baselines: torch.Tensor,
    alphas: NDArray[np.float64],
    output: Callable[[torch.Tensor], torch.Tensor],
    *,
    site: Site = INPUT,
    paired: bool = False,
    reduce: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> Expected:
    """Expected gradients of one row (Lundberg and Lee 2017; Erion et al. 2021), for draws that are given.

    ``baselines`` (draws, ...) and ``alphas`` (draws,) say where the gradient is taken: at ``baseline + alpha (row -
    baseline)``. Where draws are ``paired``, each two in a row are one independent draw. ``reduce`` sums elements of
    draws (draws, ...) before their mean and error are taken.
    """
    import torch

    end = at(network, inputs, site)
    starts = baselines.to(end)
    count, width = len(starts), 2 if paired else 1
    if len(alphas) != count or count == 0 or count % width:
        raise ValueError(f"{count} baselines, {len(alphas)} alphas{', in pairs' if paired else ''}")
    total: list[torch.Tensor] = []
    gaps: list[torch.Tensor] = []
    at_start: list[torch.Tensor] = []
    at_end = float(_outputs(network, inputs, end, output, site)[0])
    for part in _parts(count, max(network.micro // 2 * 2, 2)):
        share = torch.as_tensor(alphas[part], dtype=end.dtype, device=end.device)
        start = starts[part]
        points = start + share.reshape(-1, *[1] * (end.ndim - 1)) * (end - start)
        gradients = _gradients(network, inputs, points, output, site).double()
        draws = gradients * (end - start).double()
        draws = draws.reshape(-1, width, *draws.shape[1:]).mean(dim=1)
        told = _outputs(network, inputs, start, output, site)
        at_start.append(told)
        gaps.append(draws.flatten(1).sum(dim=1) - (at_end - told.reshape(-1, width).mean(dim=1)))
        total.append(draws if reduce is None else reduce(draws))
    values, gap, size = torch.cat(total), torch.cat(gaps), count // width
    if size > 1:
        error, gap_error = values.std(dim=0) / math.sqrt(size), float(gap.std() / math.sqrt(size))
    else:
        error, gap_error = torch.full_like(values[0], math.inf), math.inf
    start_mean = math.fsum(torch.cat(at_start).tolist()) / count
    return Expected(values.mean(dim=0).cpu(), error.cpu(), float(gap.mean()), start_mean, at_end, gap_error)


def _gradients(
    network: Network,
    inputs: Any,
    points: torch.Tensor,
    output: Callable[[torch.Tensor], torch.Tensor],
    site: Site,
) -> torch.Tensor:
    batch, edits = _placed(network, inputs, points, site)
    return network.run(batch, capture=[site], edits=edits, grad_of=output).gradients[site]


def _outputs(
    network: Network,
    inputs: Any,
    points: torch.Tensor,
    output: Callable[[torch.Tensor], torch.Tensor],
    site: Site,
) -> torch.Tensor:
    parts = []
    for part in _parts(len(points), network.micro):
        batch, edits = _placed(network, inputs, points[part], site)
        parts.append(output(network.run(batch, edits=edits).outputs).double())
    import torch

    return torch.cat(parts)


def _placed(network: Network, inputs: Any, points: torch.Tensor, site: Site) -> tuple[Any, list[Edit]]:
    """The batch to ask for, and the edit that puts the points in their place where they are not the batch itself."""
    if site == INPUT and not isinstance(inputs, Mapping):
        return points, []
    return _repeated(_cast(network, inputs), len(points)), [Edit(site, "replace", points)]


def _repeated(inputs: Any, count: int) -> Any:
    if isinstance(inputs, Mapping):
        return {name: _repeated(value, count) for name, value in inputs.items()}
    return inputs.expand(count, *inputs.shape[1:])


def _cast(network: Network, inputs: Any) -> Any:
    if isinstance(inputs, Mapping):
        return {name: _cast(network, value) for name, value in inputs.items()}
    if not inputs.is_floating_point():
        return inputs.to(network.device)
    own = next((one.dtype for one in network.module.parameters() if one.is_floating_point()), inputs.dtype)
    return inputs.to(network.device, own)


def _parts(count: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]

"""Attributions along straight paths: integrated gradients and expected gradients of any torch module, row by row.

Each row goes alone, its points along the path in one batch, so that what a row gets depends on no other row.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from xai_audit.errors import MethodError
from xai_audit.mechanistic.network import Network, target
from xai_audit.mechanistic.sites import Edit, Site

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

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
    """Mean over draws, of the shape of the row at the site; float64."""
    error: torch.Tensor
    """Standard error of each mean over independent draws (pairs where draws are paired); infinite for one."""
    start: float
    """Mean of the explained output over the drawn baselines."""
    end: float
    sum_error: float
    """Standard error of the sum of the values less ``end - start``."""


def quadrature(rule: Rule, steps: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points in [0, 1] and weights that add to one; ValueError for fewer points than the rule needs.

    Gauss-Legendre is exact for gradients that are polynomials of degree ``2 steps - 1`` along the path.
    """
    if steps < (2 if rule == "riemann_trapezoid" else 1):
        raise ValueError(f"{rule} with {steps} steps")
    if rule == "gauss_legendre":
        nodes, weights = np.polynomial.legendre.leggauss(steps)
        return (1 + nodes) / 2, weights / 2
    if rule == "riemann_trapezoid":
        weights = np.full(steps, 1 / (steps - 1))
        weights[[0, -1]] /= 2
        return np.linspace(0, 1, steps), weights
    shift = {"riemann_left": 0.0, "riemann_middle": 0.5, "riemann_right": 1.0}[rule]
    return (np.arange(steps) + shift) / steps, np.full(steps, 1 / steps)


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
        if outputs.shape[1] == 1 and network.link != "sigmoid":
            return outputs[:, 0]
        return target(outputs, int(column))

    return chosen


def in_double(network: Network) -> Network:
    """The same network in float64, its own copy."""
    module = copy.deepcopy(network.module).double()
    return Network(module, network.reader, network.device, network.micro, network.link)


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
    With a ``tolerance`` the steps double until the residual is no larger, or ``most`` is reached.
    """
    import torch

    end = at(network, inputs, site)
    start = baseline.to(end)
    if start.shape != end.shape:
        raise MethodError(f"the baseline is {tuple(start.shape)}, the row {tuple(end.shape)} at {site}")
    change = (end - start).double()
    ends = _outputs(network, inputs, torch.cat([start, end]), output, site)
    while True:
        alphas, weights = quadrature(rule, steps)
        total = torch.zeros_like(change)
        for part in _parts(steps, network.micro):
            share = torch.as_tensor(alphas[part], dtype=end.dtype, device=end.device)
            points = start + share.reshape(-1, *[1] * (end.ndim - 1)) * (end - start)
            gradients = _gradients(network, inputs, points, output, site).double()
            weight = torch.as_tensor(weights[part], device=end.device)
            total += torch.tensordot(weight, gradients, dims=1)[None]
        found = Attribution((total * change)[0].cpu(), float(ends[0]), float(ends[1]), steps)
        if tolerance is None or found.residual <= tolerance or 2 * steps > most:
            return found
        steps *= 2


def expected(
    network: Network,
    inputs: Any,
    baselines: torch.Tensor,
    alphas: NDArray[np.float64],
    output: Callable[[torch.Tensor], torch.Tensor],
    *,
    site: Site = INPUT,
    paired: bool = False,
) -> Expected:
    """Expected gradients of one row (Lundberg and Lee 2017; Erion et al. 2021), for draws that are given.

    ``baselines`` (draws, ...) and ``alphas`` (draws,) say where the gradient is taken: at ``baseline + alpha (row -
    baseline)``. Where draws are ``paired``, each two in a row are one independent draw.
    """
    import torch

    end = at(network, inputs, site)
    starts = baselines.to(end)
    count, width = len(starts), 2 if paired else 1
    if len(alphas) != count or count == 0 or count % width:
        raise ValueError(f"{count} baselines, {len(alphas)} alphas{', in pairs' if paired else ''}")
    first = torch.zeros(end.shape[1:], dtype=torch.float64, device=end.device)
    second, shift = torch.zeros_like(first), None
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
        # Squares of what is left after the first draw: sums of squares of large values lose the small spread.
        shift = draws[0] if shift is None else shift
        first += (draws - shift).sum(dim=0)
        second += ((draws - shift) ** 2).sum(dim=0)
        told = _outputs(network, inputs, start, output, site)
        at_start.append(told)
        gaps.append(draws.flatten(1).sum(dim=1) - (at_end - told.reshape(-1, width).mean(dim=1)))
    assert shift is not None
    size = count // width
    gap = torch.cat(gaps)
    if size > 1:
        spread = ((second - first**2 / size) / (size - 1)).clamp(min=0)
        error, sum_error = (spread / size).sqrt(), float(gap.std() / math.sqrt(size))
    else:
        error, sum_error = torch.full_like(first, math.inf), math.inf
    start_mean = math.fsum(torch.cat(at_start).tolist()) / count
    return Expected((shift + first / size).cpu(), error.cpu(), start_mean, at_end, sum_error)


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

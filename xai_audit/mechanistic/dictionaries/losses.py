"""The loss of each variant on centred, scaled activations, densely and by automatic differentiation: the reference.

A scaled activation has as many units of squared length as features, so that the mean squared error is the error
normalised by the variance, and the weights of what is added to it mean the same whatever the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from xai_audit.mechanistic.dictionaries.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Parameters:
    """What is learned. The encoder is kept as (m, n), a row for each latent, as the decoder is."""

    encoder: torch.Tensor
    encoder_bias: torch.Tensor
    decoder: torch.Tensor
    bias: torch.Tensor
    """(n,), of the decoder."""
    log_threshold: torch.Tensor | None = None
    """(m,), of jumprelu."""

    def all(self) -> list[torch.Tensor]:
        """Those that are there."""
        found = [self.encoder, self.encoder_bias, self.decoder, self.bias]
        return found if self.log_threshold is None else [*found, self.log_threshold]


@dataclass(frozen=True, eq=False)
class Loss:
    """What one batch says."""

    total: torch.Tensor
    error: float
    """Squared error as a share of the variance, with all latents."""
    fired: torch.Tensor
    """(m,), bool: latents that fired in the batch."""
    active: float
    """Latents that fire for an activation, on average."""
    least: float
    """The smallest value of a latent that fired; NaN where none did."""


def loss(parameters: Parameters, x: torch.Tensor, dead: torch.Tensor, recipe: Recipe) -> Loss:
    """The loss of a batch (b, n); ``dead`` (m,), bool, are the latents that AuxK revives."""
    import torch

    centred = x - parameters.bias
    before = torch.addmm(parameters.encoder_bias, centred, parameters.encoder.T)
    latents, sparsity = _sparse(before, parameters, recipe)
    error = torch.zeros((), device=x.device)
    last = torch.zeros_like(x)
    start, so_far = 0, parameters.bias.expand_as(x)
    for end in recipe.prefixes:
        so_far = so_far + latents[:, start:end] @ parameters.decoder[start:end]
        start, last = end, so_far - x
        error = error + last.square().mean() / len(recipe.prefixes)
    total = error + sparsity
    if recipe.aux and recipe.variant in ("topk", "batchtopk", "matryoshka"):
        total = total + recipe.aux * _auxiliary(before, last, dead, parameters.decoder, recipe)
    on = latents.detach() > 0
    least = latents.detach()[on].min() if bool(on.any()) else torch.tensor(float("nan"))
    return Loss(
        total,
        float(last.detach().square().mean()),
        on.any(dim=0),
        float(on.sum()) / len(x),
        float(least),
    )


def _sparse(
    before: torch.Tensor, parameters: Parameters, recipe: Recipe
) -> tuple[torch.Tensor, torch.Tensor | float]:
    import torch

    if recipe.variant == "topk":
        kept = before.topk(recipe.k, dim=1, sorted=False)
        return torch.zeros_like(before).scatter(1, kept.indices, kept.values.relu()), 0.0
    if recipe.variant in ("batchtopk", "matryoshka"):
        flat = before.relu().flatten()
        kept = flat.topk(recipe.k * len(before), sorted=False)
        return torch.zeros_like(flat).scatter(0, kept.indices, kept.values).reshape(before.shape), 0.0
    if recipe.variant == "relu":
        latents = before.relu()
        lengths = parameters.decoder.norm(dim=1)
        return latents, recipe.l1 * (latents @ lengths).mean() / parameters.decoder.shape[1] ** 0.5
    assert parameters.log_threshold is not None
    threshold = parameters.log_threshold.exp()
    latents = _jump(before, threshold, recipe.bandwidth)
    l0 = _step(before, threshold, recipe.bandwidth).sum(dim=1).mean()
    return latents, recipe.sparsity * (l0 / recipe.k - 1).square()


def _auxiliary(
    before: torch.Tensor, last: torch.Tensor, dead: torch.Tensor, decoder: torch.Tensor, recipe: Recipe
) -> torch.Tensor:
    """The error of dead latents' reconstruction of what is left over, as a share of what is left over."""
    import torch

    count = int(dead.sum())
    if not count:
        return torch.zeros((), device=before.device)
    wanted = aux_k(recipe, last.shape[1])
    used = min(wanted, count)
    kept = before[:, dead].topk(used, dim=1, sorted=False)
    latents = torch.zeros_like(before[:, dead]).scatter(1, kept.indices, kept.values.relu())
    left = -last.detach()
    error = (latents @ decoder[dead] - left).square().sum() / left.square().sum()
    return error * min(1.0, count / wanted)


def aux_k(recipe: Recipe, n: int) -> int:
    """How many dead latents reconstruct an activation of n features."""
    return recipe.aux_k or max(1, n // 2)


def _jump(before: torch.Tensor, threshold: torch.Tensor, bandwidth: float) -> torch.Tensor:
    return _functions()["jump"].apply(before, threshold, bandwidth)


def _step(before: torch.Tensor, threshold: torch.Tensor, bandwidth: float) -> torch.Tensor:
    return _functions()["step"].apply(before, threshold, bandwidth)


def _functions() -> dict[str, Any]:
    """Functions with the slopes of Rajamanoharan et al. 2024: a rectangle around the threshold stands for the step's."""
    if not _MADE:
        _MADE.update(_made())
    return _MADE


_MADE: dict[str, Any] = {}


def _made() -> dict[str, Any]:
    import torch

    def near(before: torch.Tensor, threshold: torch.Tensor, bandwidth: float) -> torch.Tensor:
        return ((before - threshold).abs() < bandwidth / 2).to(before.dtype) / bandwidth

    class Jump(torch.autograd.Function):  # type: ignore[misc]  # torch is not typed here
        @staticmethod
        def forward(ctx: Any, before: Any, threshold: Any, bandwidth: float) -> Any:
            ctx.save_for_backward(before, threshold)
            ctx.bandwidth = bandwidth
            return before * (before > threshold)

        @staticmethod
        def backward(ctx: Any, slope: Any) -> Any:
            before, threshold = ctx.saved_tensors
            to_threshold = -(slope * near(before, threshold, ctx.bandwidth)).sum(dim=0) * threshold
            return slope * (before > threshold), to_threshold, None

    class Step(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, before: Any, threshold: Any, bandwidth: float) -> Any:
            ctx.save_for_backward(before, threshold)
            ctx.bandwidth = bandwidth
            return (before > threshold).to(before.dtype)

        @staticmethod
        def backward(ctx: Any, slope: Any) -> Any:
            before, threshold = ctx.saved_tensors
            return None, -(slope * near(before, threshold, ctx.bandwidth)).sum(dim=0), None

    return {"jump": Jump, "step": Step}

"""A step of TopK, BatchTopK and Matryoshka on a processor without anything dense but one product with the encoder.

The same loss and, to rounding, the same gradients as ``losses.loss``; what is done by hand here is done there by automatic
differentiation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xai_audit.mechanistic.dictionaries import kernels
from xai_audit.mechanistic.dictionaries.kernels import Latents
from xai_audit.mechanistic.dictionaries.losses import Loss, Parameters, aux_k

if TYPE_CHECKING:
    import torch

    from xai_audit.mechanistic.dictionaries.kernels import Codes
    from xai_audit.mechanistic.dictionaries.recipe import Recipe


_LARGE = 1 << 18
"""Entries of an encoder from which its product is made in half the bits first."""


class Step:
    """Keeps the memory that every step of a training needs: the latents before sparsity are its largest part."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._before: torch.Tensor | None = None

    def __call__(
        self, parameters: Parameters, x: torch.Tensor, dead: torch.Tensor, *, tangent: bool = False
    ) -> Loss:
        """The loss of a batch (b, n) of float32, its gradients in ``grad`` of the parameters.

        ``tangent`` takes the part along its row out of the decoder's gradient; its rows are then of length 1.
        """
        import torch

        recipe, rows = self._recipe, len(x)
        with torch.no_grad():
            centred = x - parameters.bias
            codes = self._codes(parameters, centred)
            into = _into(parameters)
            revive = bool(recipe.aux) and bool(dead.any())
            total, last = _main(recipe, parameters, codes, centred, into, tangent=tangent and not revive)
            if revive:
                total += recipe.aux * _auxiliary(recipe, parameters, last, centred, dead, into)
                if tangent:
                    along = (into[0] * parameters.decoder).sum(dim=1, keepdim=True)
                    into[0].sub_(along * parameters.decoder)
            # The encoder is given the activation less the decoder's bias.
            assert parameters.bias.grad is not None
            parameters.bias.grad.sub_(into[2] @ parameters.encoder)
        on = codes.value > 0
        fired = np.zeros(recipe.width, dtype=bool)
        fired[codes.index[on]] = True
        return Loss(
            torch.tensor(total),
            float(last.square().mean()),
            torch.from_numpy(fired),
            float(on.sum()) / rows,
            float(codes.value[on].min()) if on.any() else float("nan"),
        )

    def _codes(self, parameters: Parameters, centred: torch.Tensor) -> Codes:
        import torch

        recipe, rows = self._recipe, len(centred)
        if self._before is None or len(self._before) != rows:
            self._before = torch.empty(rows, recipe.width)
        encoder, bias, out = parameters.encoder, parameters.encoder_bias, self._before
        if recipe.variant == "topk" and encoder.numel() >= _LARGE:
            return kernels.top_of_product(centred, encoder, bias, recipe.k, out)
        before = torch.addmm(bias, centred, encoder.T, out=out)
        if recipe.variant == "topk":
            return kernels.top(before, recipe.k)
        return kernels.top_of_batch(before, recipe.k * rows)


def _into(parameters: Parameters) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Where the gradients of decoder, encoder and its bias go; all of them are written, none is read before."""
    import torch

    for one in parameters.all():
        if one.grad is None:
            one.grad = torch.zeros_like(one)
    grads = (parameters.decoder.grad, parameters.encoder.grad, parameters.encoder_bias.grad)
    assert grads[0] is not None
    assert grads[1] is not None
    assert grads[2] is not None
    return grads[0], grads[1], grads[2]


def _main(
    recipe: Recipe,
    parameters: Parameters,
    codes: Codes,
    centred: torch.Tensor,
    into: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    *,
    tangent: bool,
) -> tuple[float, torch.Tensor]:
    """The mean error over prefixes and the last one's residual; gradients of the codes and of the decoder's bias."""
    import torch

    prefixes = recipe.prefixes
    scale = 2 / (centred.numel() * len(prefixes))
    residual, residuals, start = -centred, [], 0
    for end in prefixes:
        part = codes if len(prefixes) == 1 else _between(codes, start, end)
        residual = kernels.decoded(part, parameters.decoder, residual)
        residuals.append(residual)
        residual, start = residual.clone() if end != prefixes[-1] else residual, end
    error = sum(float(one.square().mean()) for one in residuals) / len(prefixes)
    latents = codes.by_latent(recipe.width)
    slope = torch.zeros_like(centred)
    for place in reversed(range(len(prefixes))):
        # A latent of one prefix is in all that follow.
        slope.add_(residuals[place], alpha=scale)
        part_of = slice(prefixes[place - 1] if place else 0, prefixes[place])
        kernels.gradients(
            _of(latents, part_of),
            slope,
            centred,
            parameters.decoder[part_of],
            (into[0][part_of], into[1][part_of], into[2][part_of]),
            tangent=tangent,
        )
    assert parameters.bias.grad is not None
    parameters.bias.grad.copy_(slope.sum(dim=0))
    return error, residuals[-1]


def _auxiliary(
    recipe: Recipe,
    parameters: Parameters,
    last: torch.Tensor,
    centred: torch.Tensor,
    dead: torch.Tensor,
    into: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> float:
    """AuxK, its gradients added to those of the dead latents."""
    import torch

    index = dead.nonzero()[:, 0]
    wanted = aux_k(recipe, last.shape[1])
    used = min(wanted, len(index))
    share = min(1.0, len(index) / wanted)
    encoder, bias = parameters.encoder[index], parameters.encoder_bias[index]
    codes = kernels.top(torch.addmm(bias, centred, encoder.T), used)
    decoder = parameters.decoder[index]
    error = kernels.decoded(codes, decoder, last.clone())
    size = float(last.square().sum())
    m, n = decoder.shape
    found = (torch.empty(m, n), torch.empty(m, n), torch.empty(m))
    slope = error * (2 * recipe.aux * share / size)
    kernels.gradients(codes.by_latent(m), slope, centred, decoder, found)
    for whole, part in zip(into, found, strict=True):
        whole.index_add_(0, index, part)
    return share * float(error.square().sum()) / size


def _between(codes: Codes, start: int, end: int) -> Codes:
    kept = (codes.index >= start) & (codes.index < end)
    counts = np.add.reduceat(np.append(kept, 0), codes.offsets[:-1])
    counts[codes.offsets[:-1] == codes.offsets[1:]] = 0
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return kernels.Codes(offsets, codes.index[kept], codes.value[kept])


def _of(latents: Latents, part: slice) -> Latents:
    """The entries of some latents that follow each other."""
    offsets = latents.offsets[part.start : part.stop + 1]
    return Latents(offsets, latents.row, latents.value)

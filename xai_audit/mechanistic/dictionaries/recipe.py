"""How a dictionary is trained: the variant, its size, its sparsity and its schedule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from xai_audit.errors import MethodError

Variant = Literal["topk", "batchtopk", "matryoshka", "jumprelu", "relu"]
"""TopK with AuxK (Gao et al. 2024, arXiv:2406.04093), BatchTopK (Bussmann et al. 2024, arXiv:2412.06410), Matryoshka
over BatchTopK (Bussmann et al. 2025, arXiv:2503.17547), JumpReLU (Rajamanoharan et al. 2024, arXiv:2407.14435), ReLU with
L1 (Bricken et al. 2023; weighted by decoder norms as in Templeton et al. 2024, arXiv:2605.29358)."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides a training beside the activations and the seed."""

    variant: Variant = "topk"
    width: int
    """Latents, m."""
    k: int = 32
    """Latents that fire for an activation; on average, for all variants but topk; of relu, nothing."""
    tokens: int = 1_000_000
    batch: int = 1024
    lr: float = 1e-3
    warmup: float = 0.02
    """Share of the steps over which the learning rate rises from 0."""
    decay: float = 0.3
    """Share of the steps, the last ones, over which it falls to 0."""
    betas: tuple[float, float] = (0.9, 0.999)
    aux: float = 1 / 32
    """Weight of AuxK: dead latents reconstruct what is left over, as a share of what is left over."""
    aux_k: int | None = None
    """Dead latents that do; None for half the features."""
    dead_after: int = 100_000
    """Activations without firing after which a latent counts as dead in training."""
    l1: float = 0.1
    """Of relu: the weight of the latents' sum, each times the length of its decoder row, over the root of the features: a
    latent that alone makes an activation of the usual length is shrunk by half this share."""
    sparsity: float = 1.0
    """Of jumprelu: the weight of ``((L0 / k) - 1)^2``."""
    bandwidth: float = 0.05
    """Of jumprelu: the width of the rectangle that stands for the step's slope, in units of the scaled activation."""
    resample: tuple[float, ...] = (0.25, 0.5)
    """Of relu: shares of the steps after which dead latents are made anew."""
    groups: tuple[float, ...] = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
    """Of matryoshka: shares of the latents that reconstruct by themselves, the first ones."""
    freeze_decoder: bool = False
    """The decoder stays as it was drawn: the control of Korznikov et al. 2026 (arXiv:2602.14111)."""
    calibration: int = 32_768
    """Activations from which mean and scale are taken before the first step."""

    def __post_init__(self) -> None:
        if self.width < 1 or self.batch < 1 or self.tokens < self.batch:
            raise MethodError(
                f"a dictionary needs latents and at least one batch, not {self.width} latents and {self.tokens} "
                f"activations in batches of {self.batch}"
            )
        if not 1 <= self.k <= self.width:
            raise MethodError(f"k is 1 to {self.width} latents, not {self.k}")
        if self.variant == "matryoshka" and (
            not self.groups or list(self.groups) != sorted(self.groups) or self.groups[-1] != 1
        ):
            raise MethodError(f"groups are rising shares of the latents that end with 1, not {self.groups}")

    @property
    def steps(self) -> int:
        """Whole batches."""
        return self.tokens // self.batch

    @property
    def prefixes(self) -> tuple[int, ...]:
        """How many latents each reconstruction of the loss may use."""
        if self.variant != "matryoshka":
            return (self.width,)
        return tuple(sorted({max(1, round(share * self.width)) for share in self.groups}))

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        rise = max(1, round(self.warmup * self.steps))
        fall = max(1, round(self.decay * self.steps))
        return self.lr * min(1.0, (step + 1) / rise, (self.steps - step) / fall)

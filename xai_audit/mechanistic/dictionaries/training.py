"""Training: from activations, batch by batch, to a dictionary; stopped and gone on with at any step.

A batch is a function of its step, so that what a training saw is known without having kept it, and a training that was
stopped goes on as if it had not been. Activations are centred by their mean before all else: a mean that is large beside
the spread kills latents (arXiv:2605.31518).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from xai_audit.errors import MethodError
from xai_audit.mechanistic.dictionaries import kernels
from xai_audit.mechanistic.dictionaries.dictionary import Dictionary
from xai_audit.mechanistic.dictionaries.losses import Loss, Parameters, loss
from xai_audit.mechanistic.dictionaries.sparse import Step

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from xai_audit.mechanistic.dictionaries.recipe import Recipe

Source = Callable[[int], "torch.Tensor"]
"""The batch of a step, (batch, n): the same for the same step, whenever it is asked."""
Engine = Literal["dense", "sparse"]
"""How a step is computed; the numbers are the same to rounding."""

_EVERY = 50
"""Steps between two points of the history."""


@dataclass(frozen=True, eq=False)
class History:
    """What training saw, every 50 steps and at the last: on batches that it had not seen before."""

    step: NDArray[np.int64]
    error: NDArray[np.float64]
    """Squared error as a share of the variance."""
    active: NDArray[np.float64]
    """Latents that fire for an activation."""
    dead: NDArray[np.float64]
    """Share of latents that did not fire for ``Recipe.dead_after`` activations."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A dictionary and how it came about."""

    dictionary: Dictionary
    history: History
    recipe: Recipe
    tokens: int


class Training:
    """A training that can be stopped: ``advance`` it, ``save`` it, ``resume`` it, ask ``result``."""

    def __init__(
        self,
        source: Source,
        recipe: Recipe,
        generator: torch.Generator,
        *,
        engine: Engine | None = None,
        device: str = "cpu",
    ) -> None:
        """``generator`` draws the first weights, never the activations; it must not be the one that made them.

        ``engine`` is chosen by variant and device where it is None.
        """
        sample = _sample(source, recipe)
        n = sample.shape[1]
        self._source, self._recipe, self._device = source, recipe, device
        self._mean = sample.double().mean(dim=0)
        spread = (sample.double() - self._mean).square().sum(dim=1).mean()
        self._scale = float((spread / n).sqrt())
        if not (math.isfinite(self._scale) and self._scale > 0):
            raise MethodError("these activations do not vary, or are not all numbers")
        self._engine: Engine = engine or _engine(recipe, device)
        if self._engine == "sparse" and _engine(recipe, device) == "dense":
            raise MethodError(f"{recipe.variant} on {device} has no sparse step")
        self._generator = generator
        self._parameters = _drawn(recipe, n, generator, device)
        self._optimiser = _adam(self._parameters, recipe)
        self._since = _zeros(recipe.width)
        self._cut = math.nan
        self._points: list[tuple[int, float, float, float]] = []
        self._shift = self._mean.float().to(device)
        self._step = 0
        self._sparse = Step(recipe)

    @property
    def step(self) -> int:
        """Steps done."""
        return self._step

    @property
    def done(self) -> bool:
        """Whether all steps are done."""
        return self._step >= self._recipe.steps

    def advance(self, steps: int | None = None) -> None:
        """So many steps more; None for all that are left. MethodError where the loss is no number."""
        last = self._recipe.steps if steps is None else min(self._step + steps, self._recipe.steps)
        while self._step < last:
            self._advance()

    def _advance(self) -> None:
        recipe, parameters = self._recipe, self._parameters
        x = (self._source(self._step).to(self._device).float() - self._shift) / self._scale
        dead = (self._since >= recipe.dead_after).to(self._device)
        fixed = recipe.freeze_decoder
        if self._engine == "sparse":
            found = self._sparse(parameters, x, dead, tangent=not fixed and recipe.variant != "relu")
        else:
            found = self._densely(x, dead, fixed=fixed)
        if not math.isfinite(float(found.total.detach())):
            raise MethodError(f"the loss of step {self._step} is no number; a smaller lr may help")
        for group in self._optimiser.param_groups:
            group["lr"] = recipe.rate(self._step)
        if fixed:
            parameters.decoder.grad = None
        self._optimiser.step()
        self._after(found, len(x), fixed=fixed)

    def _densely(self, x: torch.Tensor, dead: torch.Tensor, *, fixed: bool) -> Loss:
        import torch

        recipe, parameters = self._recipe, self._parameters
        for one in parameters.all():
            one.grad = None
        with torch.enable_grad():
            found = loss(parameters, x, dead, recipe)
            found.total.backward()
        grad = parameters.decoder.grad
        if grad is not None and not fixed and recipe.variant != "relu":
            with torch.no_grad():
                grad.sub_((grad * parameters.decoder).sum(dim=1, keepdim=True) * parameters.decoder)
        return found

    def _after(self, found: Loss, rows: int, *, fixed: bool) -> None:
        import torch

        recipe, decoder = self._recipe, self._parameters.decoder
        with torch.no_grad():
            if not fixed and recipe.variant != "relu":
                if self._device == "cpu":
                    kernels.normalised(decoder)
                else:
                    decoder.div_(decoder.norm(dim=1, keepdim=True))
        self._since += rows
        self._since[found.fired.cpu()] = 0
        if not math.isnan(found.least):
            old = found.least if math.isnan(self._cut) else self._cut
            self._cut = 0.99 * old + 0.01 * found.least
        if self._step % _EVERY == 0 or self._step == recipe.steps - 1:
            share = float((self._since >= recipe.dead_after).float().mean())
            self._points.append((self._step, found.error, found.active, share))
        self._step += 1
        if recipe.variant == "relu" and self._step in {round(one * recipe.steps) for one in recipe.resample}:
            self._resampled()

    def _resampled(self) -> None:
        """Dead latents made anew where the error is largest (Bricken et al. 2023): drawn by the square of the loss."""
        import torch

        recipe, parameters = self._recipe, self._parameters
        dead = (self._since >= min(recipe.dead_after, self._step * recipe.batch)).nonzero()[:, 0]
        if not len(dead):
            return
        count = max(4, math.ceil(2 * len(dead) / recipe.batch))
        rows = torch.cat([self._source(max(self._step - 1 - back, 0)) for back in range(count)])
        x = (rows.to(self._device).float() - self._shift) / self._scale
        with torch.no_grad():
            latents = torch.relu((x - parameters.bias) @ parameters.encoder.T + parameters.encoder_bias)
            left = x - parameters.bias - latents @ parameters.decoder
            weight = left.square().sum(dim=1).square().cpu()
            index = torch.multinomial(weight, min(len(dead), len(x)), generator=self._generator)
            dead = dead[: len(index)]
            unit = x[index.to(x.device)] - parameters.bias
            unit = unit / unit.norm(dim=1, keepdim=True).clamp(min=1e-12)
            alive = torch.ones(recipe.width, dtype=torch.bool)
            alive[dead] = False
            length = parameters.encoder[alive].norm(dim=1).mean() if bool(alive.any()) else 1.0
            parameters.decoder[dead] = unit
            parameters.encoder[dead] = 0.2 * length * unit
            parameters.encoder_bias[dead] = 0
            for one in (parameters.decoder, parameters.encoder, parameters.encoder_bias):
                for name in ("exp_avg", "exp_avg_sq"):
                    self._optimiser.state[one][name][dead] = 0
        self._since[dead] = 0

    def result(self) -> Trained:
        """The dictionary as it is now, on activations as they are given, with what was seen on the way."""
        parameters, recipe = self._parameters, self._recipe
        columns = np.asarray(self._points, dtype=np.float64).reshape(-1, 4)
        history = History(columns[:, 0].astype(np.int64), *(columns[:, place] for place in (1, 2, 3)))
        return Trained(self._folded(parameters), history, recipe, self._step * recipe.batch)

    def _folded(self, parameters: Parameters) -> Dictionary:
        import torch

        recipe = self._recipe
        activation: Literal["relu", "topk", "jumprelu"] = "topk" if recipe.variant == "topk" else "jumprelu"
        threshold = None
        with torch.no_grad():
            if recipe.variant == "relu":
                activation = "relu"
            elif recipe.variant == "jumprelu":
                assert parameters.log_threshold is not None
                threshold = parameters.log_threshold.exp() * self._scale
            elif recipe.variant != "topk":
                cut = 0.0 if math.isnan(self._cut) else self._cut * self._scale
                threshold = torch.full((recipe.width,), cut)
            return Dictionary(
                w_enc=parameters.encoder.T.clone(),
                b_enc=parameters.encoder_bias * self._scale,
                w_dec=parameters.decoder.clone(),
                b_dec=parameters.bias * self._scale + self._shift,
                activation=activation,
                k=recipe.k if activation == "topk" else None,
                threshold=threshold,
                metadata={"recipe": _plain(recipe), "steps": self._step},
            )

    def save(self, path: str | Path) -> None:
        """Write everything that going on needs, whole or not at all."""
        import torch

        path = Path(path)
        state = {
            "recipe": _plain(self._recipe),
            "parameters": [one.detach().cpu() for one in self._parameters.all()],
            "optimiser": self._optimiser.state_dict(),
            "since": self._since,
            "cut": self._cut,
            "points": self._points,
            "mean": self._mean,
            "scale": self._scale,
            "step": self._step,
            "generator": self._generator.get_state(),
        }
        partial = path.with_suffix(path.suffix + ".partial")
        torch.save(state, partial)
        partial.replace(path)

    def resume(self, path: str | Path) -> None:
        """Go on from what ``save`` wrote; MethodError where it is of another recipe or other activations."""
        import torch

        state = torch.load(path, map_location=self._device, weights_only=True)
        if state["recipe"] != _plain(self._recipe):
            raise MethodError(f"{path} is a training of another recipe")
        if not torch.equal(state["mean"].cpu(), self._mean.cpu()):
            raise MethodError(f"{path} is a training on other activations")
        with torch.no_grad():
            for one, kept in zip(self._parameters.all(), state["parameters"], strict=True):
                one.copy_(kept)
        self._optimiser.load_state_dict(state["optimiser"])
        self._since, self._cut, self._step = state["since"].cpu(), state["cut"], state["step"]
        self._points = [(int(step), *rest) for step, *rest in state["points"]]
        self._generator.set_state(state["generator"].cpu())


def train(
    source: Source,
    recipe: Recipe,
    generator: torch.Generator,
    *,
    checkpoint: str | Path | None = None,
    every: int = 500,
    engine: Engine | None = None,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Trained:
    """Train a dictionary on the batches that ``source`` gives.

    ``generator`` draws the first weights. Where ``checkpoint`` is a file, training goes on from it, and it is written every
    ``every`` steps; ``progress`` is told steps done and steps in all as often.
    """
    training = Training(source, recipe, generator, engine=engine, device=device)
    if checkpoint is not None and Path(checkpoint).exists():
        training.resume(checkpoint)
    while not training.done:
        training.advance(every)
        if checkpoint is not None:
            training.save(checkpoint)
        if progress is not None:
            progress(training.step, recipe.steps)
    return training.result()


def _plain(recipe: Recipe) -> dict[str, Any]:
    """A recipe as JSON holds it."""
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in asdict(recipe).items()
    }


def _engine(recipe: Recipe, device: str) -> Engine:
    sparse = device == "cpu" and recipe.variant in ("topk", "batchtopk", "matryoshka")
    return "sparse" if sparse else "dense"


def _sample(source: Source, recipe: Recipe) -> torch.Tensor:
    import torch

    count = max(1, min(recipe.steps, math.ceil(recipe.calibration / recipe.batch)))
    parts = [source(step) for step in range(count)]
    if parts[0].ndim != 2:
        raise MethodError(f"a batch is (rows, features), not {tuple(parts[0].shape)}")
    return torch.cat(parts).float().cpu()


def _drawn(recipe: Recipe, n: int, generator: torch.Generator, device: str) -> Parameters:
    """Random directions, the encoder like the decoder (Gao et al. 2024, section A.1)."""
    import torch

    decoder = torch.randn(recipe.width, n, generator=generator)
    decoder = decoder / decoder.norm(dim=1, keepdim=True)
    threshold = None
    if recipe.variant == "jumprelu":
        threshold = torch.full((recipe.width,), math.log(0.5), device=device)
    return Parameters(
        encoder=decoder.clone().to(device).requires_grad_(),
        encoder_bias=torch.zeros(recipe.width, device=device).requires_grad_(),
        decoder=decoder.to(device).requires_grad_(not recipe.freeze_decoder),
        bias=torch.zeros(n, device=device).requires_grad_(),
        log_threshold=None if threshold is None else threshold.requires_grad_(),
    )


def _adam(parameters: Parameters, recipe: Recipe) -> Any:
    import torch

    return torch.optim.Adam(parameters.all(), lr=recipe.lr, betas=recipe.betas, fused=True)


def _zeros(count: int) -> torch.Tensor:
    import torch

    return torch.zeros(count, dtype=torch.int64)


__all__ = ["Engine", "History", "Source", "Trained", "Training", "train"]

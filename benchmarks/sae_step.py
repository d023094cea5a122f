# ruff: noqa: ANN001, ANN201, ANN204, ANN205, ARG002, D102
"""One step of training a TopK dictionary on a processor: ours beside a dense step and beside sparsify's kernel.

    .venv/bin/python -m benchmarks.sae_step [--d 384 --m 6144 --k 32 --batch 1024] [--repeat 10]

All three do the same work in one run: encode, keep k, decode, the error, its gradients, Adam, decoder rows brought to length
1. The dense step is written as dictionary_learning does it (latents scattered into a dense matrix, automatic
differentiation); the other as sparsify does it (embedding_bag for what is decoded and for the gradient of the latents,
index_add for that of the weights). The same optimiser serves all three. Ends with 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch.nn import functional  # noqa: E402

from xai_audit.mechanistic.dictionaries import kernels  # noqa: E402
from xai_audit.mechanistic.dictionaries.losses import Parameters  # noqa: E402
from xai_audit.mechanistic.dictionaries.recipe import Recipe  # noqa: E402
from xai_audit.mechanistic.dictionaries.sparse import Step  # noqa: E402

MISSED: list[str] = []


def told(what, figure, bar, *, holds):
    print(f"{'ok  ' if holds else 'MISS'} {what}: {figure} (bar: {bar})", flush=True)
    if not holds:
        MISSED.append(what)


def drawn(d, m, seed):
    generator = torch.Generator().manual_seed(seed)
    decoder = functional.normalize(torch.randn(m, d, generator=generator), dim=1)
    return Parameters(
        decoder.clone().requires_grad_(),
        torch.zeros(m).requires_grad_(),
        decoder.clone().requires_grad_(),
        torch.zeros(d).requires_grad_(),
    )


class Dense:
    """Automatic differentiation of the dense loss."""

    def __init__(self, recipe):
        self.recipe = recipe

    def __call__(self, parameters, x, dead):
        for one in parameters.all():
            one.grad = None
        before = functional.relu(
            functional.linear(x - parameters.bias, parameters.encoder, parameters.encoder_bias)
        )
        values, index = before.topk(self.recipe.k, sorted=False, dim=-1)
        latents = torch.zeros_like(before).scatter_(dim=-1, index=index, src=values)
        (latents @ parameters.decoder + parameters.bias - x).square().mean().backward()
        with torch.no_grad():
            grad = parameters.decoder.grad
            grad -= (grad * parameters.decoder).sum(dim=1, keepdim=True) * parameters.decoder


class Encoder(torch.autograd.Function):
    """The k largest latents, the gradient given back to the rows of the weights that were used."""

    @staticmethod
    def forward(ctx, x, weight, bias, k):
        before = functional.relu(functional.linear(x, weight, bias))
        values, index = before.topk(k, dim=-1, sorted=False)
        ctx.save_for_backward(x, weight, index)
        return values, index

    @staticmethod
    def backward(ctx, slope, _):
        x, weight, index = ctx.saved_tensors
        to_x = functional.embedding_bag(index, weight, mode="sum", per_sample_weights=slope)
        to_weight = torch.zeros_like(weight)
        to_bias = torch.zeros(len(weight))
        to_bias.index_add_(0, index.flatten(), slope.flatten())
        outer = slope.unsqueeze(2) * x.unsqueeze(1)
        to_weight.index_add_(0, index.flatten(), outer.reshape(-1, x.shape[1]))
        return to_x, to_weight, to_bias, None


def theirs():
    """Their kernel where sparsify is installed, and its name; else the one above, which does the same."""
    try:
        from sparsify import __version__ as version
        from sparsify.fused_encoder import fused_encoder
    except ImportError:
        return Encoder.apply, "a kernel like sparsify's"
    return lambda *given: fused_encoder(*given, "topk")[:2], f"sparsify {version}'s encoder"


class Sparsify:
    """embedding_bag and index_add."""

    def __init__(self, recipe):
        self.recipe = recipe
        self.encode = theirs()[0]

    def __call__(self, parameters, x, dead):
        for one in parameters.all():
            one.grad = None
        values, index = self.encode(
            x - parameters.bias, parameters.encoder, parameters.encoder_bias, self.recipe.k
        )
        found = functional.embedding_bag(index, parameters.decoder, mode="sum", per_sample_weights=values)
        (found + parameters.bias - x).square().mean().backward()
        with torch.no_grad():
            grad = parameters.decoder.grad
            grad -= (grad * parameters.decoder).sum(dim=1, keepdim=True) * parameters.decoder


class Ours:
    """One product, then loops over what fires."""

    def __init__(self, recipe):
        self.step = Step(recipe)

    def __call__(self, parameters, x, dead):
        self.step(parameters, x, dead, tangent=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, value in (("d", 384), ("m", 6144), ("k", 32), ("batch", 1024), ("repeat", 10)):
        parser.add_argument(f"--{name}", type=int, default=value)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    recipe = Recipe(width=asked.m, k=asked.k, batch=asked.batch, aux=0.0)
    # Inputs as a dictionary in training sees them: few directions each, of another seed than the weights.
    rng = np.random.default_rng(5)
    truth = functional.normalize(
        torch.from_numpy(rng.normal(size=(asked.m, asked.d)).astype(np.float32)), dim=1
    )
    on = torch.from_numpy((rng.random((asked.batch, asked.m)) < asked.k / asked.m).astype(np.float32))
    x = on @ truth
    x = x / x.square().mean().sqrt()
    dead = torch.zeros(asked.m, dtype=torch.bool)
    sides = {"dense": Dense(recipe), "sparsify's kernel": Sparsify(recipe), "ours": Ours(recipe)}
    print(f"     beside {theirs()[1]}")
    state = {name: drawn(asked.d, asked.m, 0) for name in sides}
    for name, side in sides.items():
        side(state[name], x, dead)
    reference = state["dense"].all()
    for name in ("sparsify's kernel", "ours"):
        worst = max(
            float((one.grad - other.grad).norm() / other.grad.norm())
            for one, other in zip(state[name].all(), reference, strict=True)
        )
        told(
            f"gradients of {name} beside the dense step's, relative",
            f"{worst:.1e}",
            "<= 1e-5",
            holds=worst <= 1e-5,
        )
    adam = {name: torch.optim.Adam(one.all(), lr=1e-4, fused=True) for name, one in state.items()}
    took = {name: [] for name in sides}
    for turn in range(asked.repeat + 1):
        for name, side in sides.items():
            start = time.process_time()
            side(state[name], x, dead)
            adam[name].step()
            kernels.normalised(state[name].decoder.detach())
            if turn:
                took[name].append(time.process_time() - start)
    for name, seconds in took.items():
        print(
            f"     {name}: {1e3 * min(seconds):.1f} ms, median {1e3 * float(np.median(seconds)):.1f} ms CPU, "
            f"{asked.batch / min(seconds):,.0f} activations/s"
        )
    for name, bar in (("dense", 4.4), ("sparsify's kernel", 1.3)):
        low, middle = (
            how(took[name]) / how(took["ours"]) for how in (min, lambda one: float(np.median(one)))
        )
        told(
            f"times faster than {name}",
            f"{low:.2f} (of the least times), {middle:.2f} (of the medians)",
            f">= {bar}",
            holds=middle >= bar,
        )
    return 1 if MISSED else 0


if __name__ == "__main__":
    sys.exit(main())

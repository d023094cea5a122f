"""Terms that a training loop adds to its loss so that a network is easier to read; each gives one number with a gradient.

None is free and none is good in every respect: measure before and after (``deltas``).
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from xai_audit.errors import MethodError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import torch


def activation_sparsity(activations: torch.Tensor) -> torch.Tensor:
    """The mean over rows of the sum of absolute activations (rows, ..., units): an L1 penalty.

    It lowers how many units are active for an input, which need not make any one unit stand for anything.
    """
    return activations.abs().flatten(1).sum(dim=1).mean()


def concept_alignment(
    activations: torch.Tensor, concepts: torch.Tensor, units: Sequence[int] | None = None
) -> torch.Tensor:
    """Cross-entropy in nats of one unit for each concept, its activation read as a logit (Koh et al. 2020, ICML).

    ``activations`` are (rows, units), best before a nonlinearity; ``concepts`` (rows, concepts) of 0 and 1, NaN where
    unknown; ``units`` which unit is whose, the first ones by default. ValueError where there are more concepts than
    units, or nothing is known.
    """
    import torch

    count = concepts.shape[1]
    chosen = list(range(count)) if units is None else list(units)
    if len(chosen) != count or len(set(chosen)) != count:
        raise ValueError(f"{count} concepts need as many units, each its own; {len(chosen)} are named")
    if count > activations.shape[1]:
        raise ValueError(f"{count} concepts do not fit {activations.shape[1]} units")
    known = ~torch.isnan(concepts)
    if not bool(known.any()):
        raise ValueError("no concept is known for any row")
    logits = activations[:, chosen][known]
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, concepts[known].to(logits.dtype))


def right_reasons(inputs: torch.Tensor, logits: torch.Tensor, irrelevant: torch.Tensor) -> torch.Tensor:
    """The mean over rows of the squared input gradient of the summed log probabilities, where inputs should not matter.

    ``inputs`` (rows, ...) asked for gradients before the forward pass; ``logits`` (rows, classes); ``irrelevant`` of the
    inputs' shape, or of one row's, 1 where the answer should not come from. Right for the right reasons, Ross, Hughes
    and Doshi-Velez 2017 (IJCAI, arXiv:1703.03717). ValueError where the inputs carry no gradient.
    """
    import torch

    if not inputs.requires_grad:
        raise ValueError("right_reasons: call inputs.requires_grad_() before the forward pass")
    total = torch.log_softmax(logits, dim=-1).sum()
    (slopes,) = torch.autograd.grad(total, inputs, create_graph=True)
    return ((slopes * irrelevant) ** 2).flatten(1).sum(dim=1).mean()


class Captured:
    """What flows through modules of a network in training, with its graph, by the modules' paths.

    with Captured(model, ["hidden"]) as seen:
        loss = cross_entropy(model(x), y) + 1e-3 * activation_sparsity(seen["hidden"])

    Each holds the last pass. MethodError for a path that is none; KeyError for one that no pass reached.
    """

    def __init__(self, module: torch.nn.Module, paths: Iterable[str]) -> None:
        self._seen: dict[str, torch.Tensor] = {}
        self._hooks = ExitStack()
        self._modules: Mapping[str, Any] = dict(module.named_modules())
        self._paths = tuple(paths)
        for path in self._paths:
            if path not in self._modules:
                known = ", ".join(list(self._modules)[1:9])
                raise MethodError(f"no module {path!r} in this network; there are {known}")

    def __enter__(self) -> Self:
        for path in self._paths:

            def kept(_: Any, __: Any, output: Any, path: str = path) -> None:
                self._seen[path] = output[0] if isinstance(output, tuple) else output

            self._hooks.callback(self._modules[path].register_forward_hook(kept).remove)
        return self

    def __exit__(self, *_: object) -> None:
        self._hooks.close()
        self._seen.clear()

    def __getitem__(self, path: str) -> torch.Tensor:
        return self._seen[path]

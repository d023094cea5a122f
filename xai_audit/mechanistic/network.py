"""Any torch module, asked once: what flows through chosen sites, changed where asked, with one gradient."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from xai_audit.errors import MethodError
from xai_audit.mechanistic.sites import Edit, Site, feature_axis

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from numpy.typing import NDArray

Batch = "torch.Tensor | Mapping[str, torch.Tensor]"
Target = "int | torch.Tensor | Callable[[torch.Tensor], torch.Tensor]"


class Reader(Protocol):
    """Turns rows of a table, pictures or texts into what a network takes."""

    kind: str
    """``table``, ``image`` or ``text``."""

    def batch(self, frame: pd.DataFrame) -> Any:
        """One batch of all rows: a tensor, or tensors by the name of the network's argument."""
        ...


@dataclass(frozen=True)
class SiteInfo:
    """A module that can be a site."""

    path: str
    type: str
    parameters: int


@dataclass(frozen=True, eq=False)
class Ran:
    """What one pass gave."""

    outputs: torch.Tensor
    """(rows, classes or 1), before the link; attached to no graph."""
    captured: Mapping[Site, torch.Tensor] = field(default_factory=dict)
    """What flowed through each captured site, after the edits there, rows first."""
    gradients: Mapping[Site, torch.Tensor] = field(default_factory=dict)
    """Of the sum of the targets over rows with respect to each captured site; empty where none was asked."""


@dataclass(eq=False)
class Network:
    """A torch module in evaluation mode, its parameters frozen, with one way to look inside.

    ``reader`` turns rows into batches and ``micro`` is how many rows go in one pass. Nothing of a pass is kept.
    """

    module: torch.nn.Module
    reader: Reader | None = None
    device: str = "cpu"
    micro: int = 32
    link: Literal["softmax", "sigmoid", "none"] = "softmax"
    """What turns outputs into scores; ``none`` for outputs that are probabilities already, and for numbers."""

    def __post_init__(self) -> None:
        self.module.to(self.device).eval()
        for parameter in self.module.parameters():
            parameter.requires_grad_(requires_grad=False)

    def sites(self, pattern: str = "*") -> list[SiteInfo]:
        """The modules whose path matches a shell pattern, in the network's own order."""
        return [
            SiteInfo(path, type(module).__name__, sum(one.numel() for one in module.parameters()))
            for path, module in self.module.named_modules()
            if path and fnmatch.fnmatchcase(path, pattern)
        ]

    def check(self, site: Site) -> None:
        """MethodError with near names where there is no such module."""
        self._module(site)

    def run(
        self,
        batch: Any,
        *,
        capture: Sequence[Site] = (),
        edits: Sequence[Edit] = (),
        grad_of: Any = None,
    ) -> Ran:
        """One forward pass and, where ``grad_of`` is given, one backward pass.

        ``grad_of`` is a class index, one index for each row (rows,), or a function of the outputs (rows, classes)
        that gives one number a row. Edits of one site are made in the order given, before it is captured.
        """
        import torch

        seen: dict[Site, torch.Tensor] = {}
        wanted = list(dict.fromkeys(capture))
        by_port: dict[Site, list[Edit]] = {}
        for edit in edits:
            by_port.setdefault(edit.site.whole, []).append(edit)
        ports = list(dict.fromkeys([*by_port, *(site.whole for site in wanted)]))
        need = grad_of is not None
        with ExitStack() as stack:
            stack.enter_context(torch.enable_grad() if need else torch.no_grad())
            for port in ports:
                stack.enter_context(
                    self._hook(port, by_port.get(port, ()), port in {s.whole for s in wanted}, seen, need)
                )
            outputs = self._outputs(self._call(self._moved(batch)))
        missing = [str(port) for port in ports if port not in seen]
        if missing:
            raise MethodError(f"nothing flowed through {', '.join(missing)} in this pass")
        gradients: dict[Site, torch.Tensor] = {}
        if need:
            gradients = self._gradients(outputs, wanted, seen, grad_of)
        return Ran(
            outputs.detach(),
            {site: self._part(seen[site.whole].detach(), site) for site in wanted},
            gradients,
        )

    def batches(self, frame: pd.DataFrame, micro: int | None = None) -> Iterator[tuple[slice, Any]]:
        """Rows in batches of ``micro``, each with where it lies."""
        if self.reader is None:
            message = "this network has no reader of rows"
            raise ValueError(message)
        step = micro or self.micro
        for start in range(0, len(frame), step):
            place = slice(start, min(start + step, len(frame)))
            yield place, self.reader.batch(frame.iloc[place])

    def outputs(self, frame: pd.DataFrame, edits: Sequence[Edit] = ()) -> NDArray[np.float64]:
        """Outputs before the link of any rows, (rows, classes or 1), with these edits."""
        parts = [
            self.run(batch, edits=edits).outputs.double().cpu().numpy() for _, batch in self.batches(frame)
        ]
        return np.concatenate(parts) if parts else np.empty((0, 1))

    def linked(self, outputs: torch.Tensor) -> torch.Tensor:
        """Scores (rows, classes or 1) of outputs: a softmax over columns, one sigmoid as two classes, or as they are."""
        import torch

        if self.link == "softmax":
            return torch.softmax(outputs.double(), dim=1)
        if self.link == "sigmoid":
            if outputs.shape[1] > 1:
                return torch.sigmoid(outputs.double())
            # Each side from its own sign: 1 - p would lose the small ones.
            return torch.sigmoid(torch.cat([-outputs, outputs], dim=1).double())
        return outputs.double()

    def scores(self, frame: pd.DataFrame, edits: Sequence[Edit] = ()) -> NDArray[np.float64]:
        """Scores of any rows, (rows, classes or 1), with these edits."""
        import torch

        found: NDArray[np.float64] = self.linked(torch.from_numpy(self.outputs(frame, edits))).numpy()
        return found

    def activations(self, frame: pd.DataFrame, sites: Sequence[Site]) -> dict[Site, NDArray[np.float32]]:
        """What flows through each site for any rows, one pass for all sites; (rows, ...) as the module gives it."""
        parts: dict[Site, list[NDArray[np.float32]]] = {site: [] for site in sites}
        for _, batch in self.batches(frame):
            ran = self.run(batch, capture=sites)
            for site in sites:
                parts[site].append(ran.captured[site].float().cpu().numpy())
        return {site: _stacked(found, site) for site, found in parts.items()}

    def twin(self, rng: np.random.Generator) -> Network:
        """The same modules with the entries of each parameter permuted: the null of every method."""
        import copy

        import torch

        module = copy.deepcopy(self.module)
        with torch.no_grad():
            for parameter in module.parameters():
                order = torch.from_numpy(rng.permutation(parameter.numel())).to(parameter.device)
                parameter.copy_(parameter.flatten()[order].reshape(parameter.shape))
        return Network(module, self.reader, self.device, self.micro, self.link)

    def heads(self, path: str) -> int | None:
        """How many attention heads a module has, by its own attributes or those of the modules above it."""
        names = ("num_heads", "num_attention_heads", "n_heads", "n_head", "nhead")
        steps = path.split(".") if path else []
        for length in range(len(steps), -1, -1):
            module = self.module.get_submodule(".".join(steps[:length]))
            for holder in (module, getattr(module, "config", None)):
                for name in names:
                    found = getattr(holder, name, None)
                    if isinstance(found, int):
                        return found
        return None

    def _module(self, site: Site) -> torch.nn.Module:
        try:
            return self.module.get_submodule(site.path)
        except AttributeError:
            import difflib

            paths = [path for path, _ in self.module.named_modules() if path]
            near = difflib.get_close_matches(site.path, paths, n=3, cutoff=0.4) or paths[:8]
            raise MethodError(
                f"no module {site.path!r} in this network; there are {', '.join(near)}"
            ) from None

    def _hook(
        self, port: Site, edits: Sequence[Edit], captured: bool, seen: dict[Site, Any], need: bool
    ) -> Any:
        import contextlib

        module = self._module(port)

        def change(value: torch.Tensor) -> torch.Tensor:
            for edit in edits:
                value = self._edited(value, edit)
            if captured and need and value.is_floating_point():
                # A leaf of its own where nothing above it asks for a gradient.
                value = value if value.requires_grad else value.detach().requires_grad_(requires_grad=True)
                value.retain_grad()
            seen[port] = value
            # A copy goes on: a module after it may work in place.
            return value.clone() if captured else value

        def before(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if args:
                return (change(_first(args[0], port)), *args[1:]), kwargs
            name = next(iter(kwargs))
            return args, {**kwargs, name: change(_first(kwargs[name], port))}

        def after(_: Any, __: Any, output: Any) -> Any:
            return _with_first(output, change, port)

        @contextlib.contextmanager
        def hooked() -> Iterator[None]:
            handle = (
                module.register_forward_pre_hook(before, with_kwargs=True)
                if port.port == "in"
                else module.register_forward_hook(after)
            )
            try:
                yield
            finally:
                handle.remove()

        return hooked()

    def _edited(self, value: torch.Tensor, edit: Edit) -> torch.Tensor:
        site = edit.site
        if site == site.whole:
            return edit.apply(value)
        part = self._part(value, site)
        changed = edit.apply(part)
        result = value.clone()
        self._part(result, site).copy_(changed)
        return result

    def _part(self, value: torch.Tensor, site: Site) -> torch.Tensor:
        if site.pos is not None:
            if value.ndim != 3:
                raise MethodError(
                    f"{site}: @pos asks for (batch, position, feature); here is {tuple(value.shape)}"
                )
            if not -value.shape[1] <= site.pos < value.shape[1]:
                raise MethodError(f"{site}: there are {value.shape[1]} positions")
            value = value[:, site.pos]
        if site.head is not None:
            count = self.heads(site.path)
            if count is None or value.shape[-1] % count:
                raise MethodError(f"{site}: the module does not say how many heads its last axis holds")
            if not 0 <= site.head < count:
                raise MethodError(f"{site}: there are {count} heads")
            width = value.shape[-1] // count
            value = value[..., site.head * width : (site.head + 1) * width]
        return value

    def _gradients(
        self, outputs: torch.Tensor, wanted: Sequence[Site], seen: Mapping[Site, Any], grad_of: Any
    ) -> dict[Site, torch.Tensor]:
        import torch

        whole = {site.whole: seen[site.whole] for site in wanted}
        for site, value in whole.items():
            if not value.is_floating_point():
                raise MethodError(f"{site} holds {value.dtype}; there is no gradient there")
        total = target(outputs, grad_of).sum()
        if not total.requires_grad:
            raise MethodError(
                "the outputs do not depend on the captured sites through anything differentiable"
            )
        found = torch.autograd.grad(total, list(whole.values()), allow_unused=True)
        gradients = {
            site: torch.zeros_like(value) if gradient is None else gradient
            for (site, value), gradient in zip(whole.items(), found, strict=True)
        }
        return {site: self._part(gradients[site.whole].detach(), site) for site in wanted}

    def _moved(self, batch: Any) -> Any:
        if isinstance(batch, Mapping):
            return {name: value.to(self.device) for name, value in batch.items()}
        return batch.to(self.device)

    def _call(self, batch: Any) -> Any:
        return self.module(**batch) if isinstance(batch, Mapping) else self.module(batch)

    @staticmethod
    def _outputs(found: Any) -> torch.Tensor:
        import torch

        for name in ("logits", "scores", "predictions"):
            if not isinstance(found, torch.Tensor) and getattr(found, name, None) is not None:
                found = getattr(found, name)
        if isinstance(found, Mapping):
            found = next(iter(found.values()))
        while isinstance(found, (tuple, list)):
            found = found[0]
        if not isinstance(found, torch.Tensor) or found.ndim not in (1, 2):
            what = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            raise MethodError(f"a network gives (rows, classes) or (rows,); this one gives {what}")
        return found[:, None] if found.ndim == 1 else found


def target(outputs: torch.Tensor, grad_of: Any) -> torch.Tensor:
    """One number a row: a class's output, each row's own class's, or a function of the outputs.

    Where there is one output for two classes, it is the second's and its negative the first's.
    """
    import torch

    if callable(grad_of) and not isinstance(grad_of, torch.Tensor):
        found: torch.Tensor = grad_of(outputs)
        return found
    if isinstance(grad_of, int):
        if outputs.shape[1] == 1:
            return outputs[:, 0] if grad_of else -outputs[:, 0]
        return outputs[:, grad_of]
    index = torch.as_tensor(grad_of, device=outputs.device, dtype=torch.int64)
    return outputs.gather(1, index.reshape(-1, 1))[:, 0]


def _first(value: Any, port: Site) -> torch.Tensor:
    import torch

    if not isinstance(value, torch.Tensor):
        raise MethodError(f"{port}: its first input is {type(value).__name__}, no tensor")
    return value


def _with_first(output: Any, change: Callable[[Any], Any], port: Site) -> Any:
    """The module's output with its first tensor changed: a tensor, a tuple, or a mapping such as ModelOutput."""
    import torch

    if isinstance(output, torch.Tensor):
        return change(output)
    if isinstance(output, tuple) and output and isinstance(output[0], torch.Tensor):
        rest = (change(output[0]), *output[1:])
        return type(output)(*rest) if hasattr(output, "_fields") else rest
    if isinstance(output, Mapping) and output:
        name = next(iter(output))
        if isinstance(output[name], torch.Tensor):
            output[name] = change(output[name])  # type: ignore[index]
            return output
    raise MethodError(f"{port}: it gives {type(output).__name__}, whose first part is no tensor")


def _stacked(parts: list[NDArray[np.float32]], site: Site) -> NDArray[np.float32]:
    if len({part.shape[1:] for part in parts}) > 1:
        raise MethodError(
            f"{site}: batches give different shapes ({parts[0].shape[1:]}, {parts[1].shape[1:]}); name a position, "
            "as @pos=0, or a site after pooling"
        )
    return np.concatenate(parts)


__all__ = ["Edit", "Network", "Ran", "Reader", "Site", "SiteInfo", "feature_axis", "target"]

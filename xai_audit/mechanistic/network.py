"""Any torch module, asked once: what flows through chosen sites, changed where asked, with one gradient."""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from xai_audit.errors import MethodError, UnmetNeedError
from xai_audit.mechanistic.ports import Part, Port
from xai_audit.mechanistic.readers import TextReader
from xai_audit.mechanistic.sites import Edit, Site, feature_axis

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from numpy.typing import NDArray

Batch = "torch.Tensor | Mapping[str, torch.Tensor]"
Target = "int | torch.Tensor | Callable[[torch.Tensor], torch.Tensor]"


class Reader(Protocol):
    """Turns rows of a table, pictures or texts into what a network takes."""

    @property
    def kind(self) -> str:
        """``table``, ``image`` or ``text``."""
        ...

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


Link = Literal["softmax", "sigmoid", "pair", "sides", "none"]
"""What turns outputs into scores.

``softmax`` over columns; ``sigmoid`` of one column, for two classes; ``pair`` of one probability p gives (1 - p, p);
``sides`` of one decision value m gives (-m, m); ``none`` for probabilities, decision values and numbers as they are.
"""

_HEADS = ("num_heads", "num_attention_heads", "n_heads", "n_head", "nhead")
_PROJECTIONS = ("o_proj", "out_proj", "c_proj", "out_lin", "dense")
"""Names of the layer that mixes an attention's heads: its input has heads, its output none."""


@dataclass(eq=False)
class Network:
    """A torch module in evaluation mode, its parameters frozen, with one way to look inside.

    ``reader`` turns rows into batches and ``micro`` is how many rows go in one pass. Nothing of a pass is kept. It
    runs on one thread of the processor, so that what else the machine does changes no bit.
    """

    module: torch.nn.Module
    reader: Reader | None = None
    device: str = "cpu"
    micro: int = 32
    link: Link = "softmax"
    opaque: str | None = None
    """Why no site inside can be reached, as of TorchScript; its own input and output can."""

    def __post_init__(self) -> None:
        self.module.to(self.device).eval()
        self._float: torch.dtype | None = None
        for parameter in self.module.parameters():
            if parameter.is_floating_point():
                parameter.requires_grad_(requires_grad=False)
                self._float = self._float or parameter.dtype

    def sites(self, pattern: str = "*") -> list[SiteInfo]:
        """The modules whose path matches a shell pattern, in the network's own order."""
        if self.opaque is not None:
            return []
        return [
            SiteInfo(path, type(module).__name__, sum(one.numel() for one in module.parameters()))
            for path, module in self.module.named_modules()
            if path and fnmatch.fnmatchcase(path, pattern)
        ]

    def check(self, site: Site) -> None:
        """MethodError with near names where there is no such module, or with the reason why none can be reached."""
        self._module(site)
        if site.head is not None:
            count = self._heads_of(site)
            if not 0 <= site.head < count:
                raise MethodError(f"{site}: there are {count} heads")

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
        that gives one number a row. Edits of one site are made in the order given, before it is captured. MethodError
        where a site is not reached, or is reached several times because its module is shared.
        """
        import torch

        wanted = list(dict.fromkeys(capture))
        need = grad_of is not None
        moved = self.moved(batch)
        part = Part(self._heads_of, self._ends(moved))
        ports = self._ports(wanted, edits, part, need=need)
        with ExitStack() as stack:
            stack.enter_context(calm(self.device))
            stack.enter_context(torch.enable_grad() if need else torch.no_grad())
            with ExitStack() as hooks:
                for port in ports.values():
                    hooks.enter_context(port.hooked(self._module(port.site)))
                outputs = self._outputs(self._call(moved))
            seen = {site: port.seen() for site, port in ports.items()}
            whole = {site.whole: seen[site.whole] for site in wanted}
            gradients = _gradients(outputs, whole, grad_of) if need else {}
        return Ran(
            outputs.detach(),
            {site: part.of(seen[site.whole].detach(), site) for site in wanted},
            {site: part.of(gradients[site.whole], site) for site in wanted} if need else {},
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
        # Texts of like length go together, so that little is padding.
        order = self._order(frame)
        parts = [
            self.run(batch, edits=edits).outputs.double().cpu().numpy()
            for _, batch in self.batches(frame if order is None else frame.iloc[order])
        ]
        found = np.concatenate(parts) if parts else np.empty((0, 1))
        if order is not None:
            found[order] = found.copy()
        return found

    def linked(self, outputs: torch.Tensor) -> torch.Tensor:
        """Scores (rows, classes or 1) of outputs in float64, by the link."""
        import torch

        wide = outputs.double()
        if self.link == "softmax":
            return torch.softmax(wide, dim=1)
        if self.link == "sigmoid":
            if wide.shape[1] > 1:
                return torch.sigmoid(wide)
            # Each side from its own sign: 1 - p would lose the small ones.
            return torch.sigmoid(torch.cat([-wide, wide], dim=1))
        if self.link == "pair":
            return torch.cat([1 - wide, wide], dim=1)
        if self.link == "sides":
            return torch.cat([-wide, wide], dim=1)
        return wide

    def scores(self, frame: pd.DataFrame, edits: Sequence[Edit] = ()) -> NDArray[np.float64]:
        """Scores of any rows, (rows, classes or 1), with these edits."""
        import torch

        found: NDArray[np.float64] = self.linked(torch.from_numpy(self.outputs(frame, edits))).numpy()
        return found

    def activations(self, frame: pd.DataFrame, sites: Sequence[Site]) -> dict[Site, NDArray[np.float32]]:
        """What flows through each site for any rows, one pass for all sites; (rows, ...) as the module gives it."""
        kept: dict[Site, NDArray[np.float32]] = {}
        for place, batch in self.batches(frame):
            for site, value in self.run(batch, capture=sites).captured.items():
                part = value.float().cpu().numpy()
                # One array from the start: pieces and their concatenation would need twice the memory.
                store = kept.setdefault(site, np.empty((len(frame), *part.shape[1:]), dtype=np.float32))
                if store.shape[1:] != part.shape[1:]:
                    raise MethodError(
                        f"{site}: batches give different shapes ({store.shape[1:]}, {part.shape[1:]}); name a position, "
                        "as @pos=0, or a site after pooling"
                    )
                store[place] = part
        return {site: kept.get(site, np.empty((0,), dtype=np.float32)) for site in sites}

    def twin(self, rng: np.random.Generator) -> Network:
        """The same modules with the entries of each parameter permuted: the null of every method.

        Buffers, such as running means, stay. MethodError where there is no parameter to permute.
        """
        import copy

        import torch

        module = copy.deepcopy(self.module)
        parameters = [parameter for parameter in module.parameters() if parameter.numel() > 1]
        if not parameters:
            raise MethodError("this network shows no parameters, so that none can be permuted for a twin")
        with torch.no_grad():
            for parameter in parameters:
                order = torch.from_numpy(rng.permutation(parameter.numel())).to(parameter.device)
                parameter.copy_(parameter.flatten()[order].reshape(parameter.shape))
        return Network(module, self.reader, self.device, self.micro, self.link, self.opaque)

    def heads(self, path: str) -> int | None:
        """How many attention heads a module has: its own, its attention's, or its model's; None outside an attention."""
        steps = path.split(".") if path else []
        # Keys and values may have fewer heads than queries.
        names = ("num_key_value_heads", *_HEADS) if path.endswith(("k_proj", "v_proj")) else _HEADS
        for length in range(len(steps), -1, -1):
            module = self.module.get_submodule(".".join(steps[:length]))
            near = [module] if length == len(steps) else [module, *module.children()]
            for holder in near:
                found = _count(holder, names)
                if found is not None:
                    return found
            if not any("att" in step.lower() for step in steps[:length]):
                return None
        return None

    def _heads_of(self, site: Site) -> int:
        module = self._module(site)
        if type(module).__name__ == "MultiheadAttention":
            raise MethodError(
                f"{site}: MultiheadAttention mixes its heads before they come out; none can be named"
            )
        if site.port == "out" and site.path.rpartition(".")[2] in _PROJECTIONS:
            raise MethodError(f"{site}: this layer mixes the heads; they are in its input, {site.path}#in")
        count = self.heads(site.path)
        if count is None:
            raise MethodError(f"{site}: the module does not say how many heads its last axis holds")
        return count

    def _module(self, site: Site) -> torch.nn.Module:
        if self.opaque is not None and site.path:
            raise UnmetNeedError(f"{site}: {self.opaque}")
        try:
            return self.module.get_submodule(site.path)
        except AttributeError:
            import difflib

            paths = [path for path, _ in self.module.named_modules() if path]
            near = difflib.get_close_matches(site.path, paths, n=3, cutoff=0.4) or paths[:8]
            raise MethodError(
                f"no module {site.path!r} in this network; there are {', '.join(near)}"
            ) from None

    @staticmethod
    def _ports(wanted: Sequence[Site], edits: Sequence[Edit], part: Part, *, need: bool) -> dict[Site, Port]:
        by_port: dict[Site, list[Edit]] = {}
        for edit in edits:
            by_port.setdefault(edit.site.whole, []).append(edit)
        captured = {site.whole for site in wanted}
        return {
            site: Port(site, by_port.get(site, ()), site in captured, need, part)
            for site in dict.fromkeys([*by_port, *(site.whole for site in wanted)])
        }

    def _order(self, frame: pd.DataFrame) -> NDArray[np.int64] | None:
        if not isinstance(self.reader, TextReader) or len(frame) <= self.micro:
            return None
        return np.argsort(self.reader.lengths(frame), kind="stable")

    def _ends(self, batch: Any) -> torch.Tensor | None:
        """How many tokens each row has, where the batch brings a mask."""
        if not isinstance(batch, Mapping):
            return None
        names = self.reader.names[1:] if isinstance(self.reader, TextReader) else ("attention_mask",)
        mask = batch.get(names[0]) if names else None
        return mask.sum(dim=1).long() if mask is not None and mask.ndim == 2 else None

    def moved(self, batch: Any) -> Any:
        """A batch on the device, its numbers in the precision of the parameters."""
        if isinstance(batch, Mapping):
            return {name: self._given(value) for name, value in batch.items()}
        return self._given(batch)

    def _given(self, value: torch.Tensor) -> torch.Tensor:
        """On the device, numbers in the precision of the parameters."""
        return value.to(self.device, self._float if value.is_floating_point() else None)

    def _call(self, batch: Any) -> Any:
        return self.module(**batch) if isinstance(batch, Mapping) else self.module(batch)

    @staticmethod
    def _outputs(found: Any) -> torch.Tensor:
        import torch

        for name in ("logits", "scores", "predictions"):
            if not isinstance(found, torch.Tensor) and getattr(found, name, None) is not None:
                found = getattr(found, name)
        if isinstance(found, Mapping):
            known = [name for name in ("logits", "scores", "predictions", "out") if name in found]
            found = found[known[0]] if known else next(iter(found.values()), None)
        while isinstance(found, (tuple, list)) and found:
            found = found[0]
        if not isinstance(found, torch.Tensor) or found.ndim not in (1, 2):
            what = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            raise MethodError(f"a network gives (rows, classes) or (rows,); this one gives {what}")
        return found[:, None] if found.ndim == 1 else found


@contextlib.contextmanager
def calm(device: str) -> Iterator[None]:
    """One thread on the processor; on CUDA, convolutions that give the same bits each time, in full float32.

    Transformer layers have a fused way that is taken where nobody looks: it is not, for looking must change no bit.
    """
    import torch

    threads, fused = torch.get_num_threads(), torch.backends.mha.get_fastpath_enabled()
    if threads != 1:
        torch.set_num_threads(1)
    torch.backends.mha.set_fastpath_enabled(value=False)
    try:
        if device.startswith("cuda"):
            with torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False):
                yield
        else:
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(value=fused)
        if threads != 1:
            torch.set_num_threads(threads)


def _count(module: torch.nn.Module, names: Sequence[str]) -> int | None:
    """The number of heads that a module or its configuration states."""
    for holder in (module, getattr(module, "config", None)):
        for name in names:
            found = getattr(holder, name, None)
            if isinstance(found, int) and not isinstance(found, bool):
                return found
    return None


def _gradients(
    outputs: torch.Tensor, whole: Mapping[Site, torch.Tensor], grad_of: Any
) -> dict[Site, torch.Tensor]:
    """Of the sum of targets over rows with respect to what flowed through each port; zeros where it has no part."""
    import torch

    for site, value in whole.items():
        if not value.is_floating_point():
            raise MethodError(f"{site} holds {value.dtype}; there is no gradient there")
    total = target(outputs, grad_of).sum()
    if not total.requires_grad:
        raise MethodError("the outputs do not depend on the captured sites through anything differentiable")
    found = torch.autograd.grad(total, list(whole.values()), allow_unused=True)
    return {
        site: torch.zeros_like(value, requires_grad=False) if gradient is None else gradient.detach()
        for (site, value), gradient in zip(whole.items(), found, strict=True)
    }


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


__all__ = ["Edit", "Link", "Network", "Ran", "Reader", "Site", "SiteInfo", "feature_axis", "target"]

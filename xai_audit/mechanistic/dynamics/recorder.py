"""Measures along training, taken inside a training loop at a bounded share of its time.

    recorder = Recorder(train=Examples(x, y), held_out=Examples(x2, y2), every=100, keep="checkpoints")
    for step in range(1, steps + 1):
        ...
        optimizer.step()
        recorder.after(step, model)
    recorder.series().frame()

In Lightning ``Trainer(callbacks=[recorder.lightning()])``, in Hugging Face ``Trainer(callbacks=[recorder.trainer()])``: the
hooks go by their names alone, so that neither library is imported. Measuring changes no bit of the training: it draws
nothing, keeps no gradient, and leaves every module in the mode it was in.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xai_audit.mechanistic.dynamics import checkpoints, fourier, measures
from xai_audit.mechanistic.dynamics.measures import Series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import torch

    from xai_audit.mechanistic.dynamics.addition import Modular
    from xai_audit.mechanistic.dynamics.measures import Examples

AT_MOST = 0.15
"""The share of the training time that measuring may take, by default."""


@dataclass(eq=False)
class Recorder:
    """Measures a network every so many steps.

    ``train`` and ``held_out`` are rows whose loss and accuracy are taken. Where ``modular`` declares a task, logits of
    all its pairs are asked with ``logits(module)``, or of the module itself, and give both losses too; weights are kept
    in memory then, unless ``keep`` names a folder, because the key frequencies are known at the end alone.
    ``also(module)`` gives further measures by name. A recording that would take measuring above ``at_most`` of the time
    since the first step is left out and stands in ``left_out``; None leaves out none.
    """

    train: Examples | None = None
    held_out: Examples | None = None
    every: int = 100
    modular: Modular | None = None
    logits: Callable[[Any], torch.Tensor] | None = None
    embedding: str | None = None
    """The name of the parameter with a row for each number, for its Gini coefficient over frequencies."""
    also: Callable[[Any], Mapping[str, float]] | None = None
    keep: str | Path | None = None
    """A folder for a safetensors file of the weights at each recording, as ``xai-audit`` reads them later."""
    at_most: float | None = AT_MOST
    clock: Callable[[], float] = time.perf_counter
    left_out: list[int] = field(default_factory=list)
    records: dict[int, dict[str, float]] = field(default_factory=dict)
    spent: float = 0.0
    """Seconds of measuring so far."""
    _began: float | None = field(default=None, repr=False)
    _longest: float = field(default=0.0, repr=False)
    _weights: dict[int, dict[str, torch.Tensor]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError("every: at least 1 step")
        if self.train is None and self.held_out is None and self.modular is None and self.also is None:
            raise ValueError("nothing to measure: give train, held_out, modular or also")
        if self.embedding is not None and self.modular is None:
            raise ValueError("embedding belongs to a modular task")

    @property
    def overhead(self) -> float:
        """Seconds of measuring over seconds of everything else since the first call; 0 before it."""
        if self._began is None:
            return 0.0
        rest = self.clock() - self._began - self.spent
        return self.spent / rest if rest > 0 else 0.0

    def after(self, step: int, module: torch.nn.Module) -> bool:
        """To be called after every step, with 0 for the network before training; whether it was measured now."""
        now = self.clock()
        first = self._began is None
        if first:
            self._began = now
        if step % self.every or step in self.records:
            return False
        if not first and self.at_most is not None:
            assert self._began is not None
            rest = now - self._began - self.spent
            if self.spent + self._longest > self.at_most * rest and len(self.records) > 1:
                self.left_out.append(step)
                return False
        self.records[step] = self.measured(step, module)
        took = self.clock() - now
        self.spent += took
        # The first recording also warms caches up; what one takes is known from the second on.
        self._longest = took if len(self.records) < 3 else max(self._longest, took)
        return True

    def measured(self, step: int, module: torch.nn.Module) -> dict[str, float]:
        """All measures of a network now; the weights are kept where they are asked or needed."""
        found = measures.weights(module)
        with _still(module):
            for name, rows in (("train", self.train), ("held_out", self.held_out)):
                if rows is not None:
                    own = rows.measured(module)
                    found |= {f"{name}_loss": own["loss"], f"{name}_accuracy": own["accuracy"]}
            if self.modular is not None:
                found |= self._fourier(module, self.modular)
            if self.also is not None:
                found |= {name: float(value) for name, value in self.also(module).items()}
        if self.keep is not None:
            checkpoints.write(module, self.keep, step)
        elif self.modular is not None:
            self._weights[step] = {
                name: one.detach().cpu().clone() for name, one in module.state_dict().items()
            }
        return found

    def series(self) -> Series:
        """All recordings so far."""
        return Series.of(self.records)

    def finish(self, module: torch.nn.Module, share: float = fourier.SHARE) -> tuple[Series, tuple[int, ...]]:
        """The recordings of a modular task with the key frequencies of the network as it is now, and these.

        ``restricted``, ``restricted_all``, ``excluded`` and ``key_share`` are taken again for every recording, with one
        set of frequencies; those of the frequencies of the moment keep their names with ``moving_`` before. ValueError
        without a modular task, or where the network's logits hold no frequency at all.
        """
        import copy

        if self.modular is None:
            raise ValueError("finish: Fourier measures need a modular task")
        task = self.modular
        with _still(module):
            keys = fourier.key_frequencies(fourier.by_result(self._asked(module, task), task), share)
        if not keys:
            raise ValueError("the logits of the final network do not depend on the result")
        other = copy.deepcopy(module)
        records = {}
        for step, record in self.records.items():
            other.load_state_dict(self._kept(step))
            with _still(other):
                fixed = fourier.measured(self._asked(other, task), task, keys).named()
            moving = {f"moving_{name}": record[name] for name in fixed if name in record}
            records[step] = {**record, **moving, **fixed}
        return Series.of(records), keys

    def lightning(self) -> LightningHooks:
        """A callback for ``lightning.Trainer(callbacks=[...])``."""
        return LightningHooks(self)

    def trainer(self) -> TrainerHooks:
        """A callback for ``transformers.Trainer(callbacks=[...])``."""
        return TrainerHooks(self)

    def _kept(self, step: int) -> dict[str, torch.Tensor]:
        if self.keep is None:
            return self._weights[step]
        return checkpoints.read(Path(self.keep) / checkpoints.name_of(step))

    def _asked(self, module: Any, task: Modular) -> torch.Tensor:
        import torch

        if self.logits is not None:
            return self.logits(module)
        device = next(module.parameters()).device
        found: torch.Tensor = module(torch.from_numpy(task.pairs).to(device))
        return found

    def _fourier(self, module: torch.nn.Module, task: Modular) -> dict[str, float]:
        import torch

        flat = self._asked(module, task)
        keys = fourier.key_frequencies(fourier.by_result(flat, task))
        found: dict[str, float] = {}
        right = flat.argmax(dim=-1).reshape(-1).cpu() == torch.from_numpy(task.results)
        trained = torch.from_numpy(task.train.ravel())
        found["train_accuracy"] = float(right[trained].double().mean())
        found["held_out_accuracy"] = float(right[~trained].double().mean())
        if keys:
            of = fourier.measured(flat, task, keys)
            found |= {"train_loss": of.train, "held_out_loss": of.held_out, **of.named()}
        if self.embedding is not None:
            table = module.get_parameter(self.embedding)
            found["gini_embedding"] = fourier.gini_embedding(table[: task.modulus])
        return found


class _still:  # noqa: N801 - a context manager, read as a word
    """A network in evaluation mode without gradients, every module put back into its own mode after."""

    def __init__(self, module: torch.nn.Module) -> None:
        self._module = module
        self._modes: list[tuple[Any, bool]] = []

    def __enter__(self) -> None:
        import torch

        self._modes = [(one, one.training) for one in self._module.modules()]
        self._module.eval()
        self._gradients = torch.no_grad()
        self._gradients.__enter__()

    def __exit__(self, *error: object) -> None:
        self._gradients.__exit__(*error)
        for one, mode in self._modes:
            one.training = mode


class LightningHooks:
    """What Lightning calls of a callback, by name; every hook that does nothing here is there all the same."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    @property
    def state_key(self) -> str:
        """No two recorders of one trainer may share it; nothing is kept under it."""
        return f"xai_audit.Recorder.{id(self)}"

    @property
    def _legacy_state_key(self) -> str:
        """Asked for where a run is taken up again."""
        return self.state_key

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """The network before training, or where it is taken up again."""
        self.recorder.after(int(trainer.global_step), pl_module)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any, **__: Any) -> None:
        """After a batch; a step that gathers gradients over batches is measured once."""
        self.recorder.after(int(trainer.global_step), pl_module)

    def state_dict(self) -> dict[str, Any]:
        """Nothing is taken from Lightning's checkpoints."""
        return {}

    def load_state_dict(self, state: Any) -> None:
        """The same."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("on_") or name in ("setup", "teardown"):
            return _nothing
        raise AttributeError(name)

    def __dir__(self) -> Iterator[str]:
        yield from super().__dir__()


class TrainerHooks:
    """What the Trainer of transformers calls of a callback, by name."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:  # noqa: ARG002
        """The network before training, or where it is taken up again."""
        self.recorder.after(int(state.global_step), given["model"])

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:  # noqa: ARG002
        """After an optimiser step."""
        self.recorder.after(int(state.global_step), given["model"])

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("on_"):
            return _nothing
        raise AttributeError(name)


def _nothing(*_: Any, **__: Any) -> None:
    return None

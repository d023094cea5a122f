from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from xai_audit.errors import MethodError
from xai_audit.mechanistic.dynamics import addition, checkpoints
from xai_audit.mechanistic.dynamics.measures import Examples
from xai_audit.mechanistic.dynamics.recorder import Recorder

X = torch.randn(40, 5, generator=torch.Generator().manual_seed(3))
Y = (X[:, 0] > 0).long()


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 2))


def loop(recorder: Recorder | None, steps: int = 12) -> nn.Module:
    module = network().train()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        for step in range(steps + 1):
            if recorder is not None:
                recorder.after(step, module)
            nn.functional.cross_entropy(module(X), Y).backward()
            optimizer.step()
            optimizer.zero_grad()
    return module


def recorder(**more) -> Recorder:
    return Recorder(
        **{
            "train": Examples(X[:30], Y[:30]),
            "held_out": Examples(X[30:], Y[30:]),
            "every": 4,
            "at_most": None,
            **more,
        }
    )


def test_measuring_changes_no_bit_of_the_training() -> None:
    taken = recorder()
    with_it, without = loop(taken), loop(None)
    for one, other in zip(with_it.parameters(), without.parameters(), strict=True):
        assert torch.equal(one, other)
    assert with_it.training
    assert taken.series().steps.tolist() == [0, 4, 8, 12]


def test_what_is_recorded_is_the_network_in_evaluation_mode() -> None:
    taken, module = recorder(), network().train()
    taken.after(0, module)
    module.eval()
    expected = nn.functional.cross_entropy(module(X[:30]).double(), Y[:30])
    assert taken.records[0]["train_loss"] == pytest.approx(float(expected.detach()))
    assert set(taken.records[0]) == {
        "weight_norm", "gini", "effective_rank", "train_loss", "train_accuracy", "held_out_loss", "held_out_accuracy",
    }  # fmt: skip


class Clock:
    """Time that goes on as it is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_overhead_is_bounded_and_what_was_left_out_is_known() -> None:
    clock = Clock()

    def slow(_):
        clock.now += 3.0
        return {"slow": 1.0}

    taken = Recorder(also=slow, every=1, at_most=0.15, clock=clock)
    module = nn.Linear(1, 1)
    for step in range(400):
        taken.after(step, module)
        clock.now += 1.0
    assert taken.overhead <= 0.15 + 1e-9 or len(taken.records) == 2
    assert taken.overhead > 0.1
    assert len(taken.records) + len(taken.left_out) == 400


def test_kept_weights_are_read_back(tmp_path) -> None:
    taken = recorder(keep=tmp_path / "ckpt")
    module = loop(taken)
    found = checkpoints.found(tmp_path, "ckpt/*.safetensors")
    assert [one.number for one in found] == [0, 4, 8, 12]
    other = network()
    other.load_state_dict(found[-1].state())
    assert not torch.equal(other[0].weight, module[0].weight)  # one step further on
    again = recorder()
    again.after(12, other)
    assert again.records[12] == taken.records[12]


def test_key_frequencies_are_those_of_the_end() -> None:
    task = addition.Modular.split(7, 0.5, np.random.default_rng(4))
    module = addition.transformer(7, width=16, heads=2, hidden=24, generator=torch.Generator().manual_seed(9))
    taken = Recorder(modular=task, embedding="embed.weight", every=20, at_most=None)
    addition.train(task, module, steps=60, after=lambda step, now: bool(taken.after(step, now)) and False)
    series, keys = taken.finish(module)
    assert series.steps.tolist() == [0, 20, 40, 60]
    assert set(keys) <= {1, 2, 3}
    for name in (
        "restricted",
        "moving_restricted",
        "excluded",
        "moving_excluded",
        "gini_embedding",
        "held_out_loss",
    ):
        assert np.isfinite(series.values[name]).all()
    assert series.values["restricted"][-1] == pytest.approx(series.values["moving_restricted"][-1])
    with pytest.raises(ValueError, match="modular"):
        recorder().finish(module)


def test_lightning_calls_by_name() -> None:
    """As lightning's trainer does: every hook is looked up by name, and ``state_key`` is asked."""
    taken, module = recorder(every=2), network()
    hooks = taken.lightning()
    trainer = SimpleNamespace(global_step=0)
    for hook in ("setup", "on_fit_start", "on_train_start", "on_train_epoch_start"):
        getattr(hooks, hook)(trainer, module, *(["fit"] if hook == "setup" else []))
    for batch in range(6):
        # Gradients of two batches make a step.
        trainer.global_step = (batch + 1) // 2
        hooks.on_train_batch_end(trainer, module, {}, None, batch)
    hooks.on_train_end(trainer, module)
    assert hooks.state_key == hooks._legacy_state_key != recorder().lightning().state_key
    assert hooks.state_dict() == {}
    assert sorted(taken.records) == [0, 2]
    with pytest.raises(AttributeError):
        _ = hooks.no_hook


def test_the_trainer_of_transformers_calls_by_name() -> None:
    callbacks = pytest.importorskip("transformers.trainer_callback")
    taken, module = recorder(every=1), network()
    state, control = callbacks.TrainerState(), callbacks.TrainerControl()
    handler = callbacks.CallbackHandler([taken.trainer()], module, None, None, None)
    handler.on_train_begin(None, state, control)
    for step in range(1, 4):
        state.global_step = step
        handler.on_step_begin(None, state, control)
        handler.on_step_end(None, state, control)
    handler.on_train_end(None, state, control)
    assert sorted(taken.records) == [0, 1, 2, 3]


def test_what_cannot_be_recorded() -> None:
    with pytest.raises(ValueError, match="nothing to measure"):
        Recorder()
    with pytest.raises(ValueError, match="modular"):
        recorder(embedding="embed.weight")
    with pytest.raises(ValueError, match="every"):
        recorder(every=0)


def test_checkpoints_are_told_apart_by_their_numbers(tmp_path) -> None:
    for step in (200, 30):
        checkpoints.write(nn.Linear(2, 2), tmp_path, step)
    found = checkpoints.found(tmp_path, "*.safetensors")
    assert [one.number for one in found] == [30, 200]
    (tmp_path / "best.safetensors").write_bytes(b"")
    with pytest.raises(MethodError, match="no number"):
        checkpoints.found(tmp_path, "*.safetensors")
    with pytest.raises(MethodError, match="same number 30"):
        checkpoints.numbered([tmp_path / "a30.safetensors", tmp_path / "b30.safetensors"])
    with pytest.raises(MethodError, match=r"ends in \.safetensors"):
        checkpoints.matching(tmp_path, "*.pt")
    with pytest.raises(MethodError, match="holds no weights"):
        checkpoints.read(tmp_path / "best.safetensors")
    (tmp_path / "step-0000030.safetensors").write_bytes(b"other")
    with pytest.raises(MethodError, match="changed while"):
        found[0].state()

"""Train a transformer on two in five sums modulo 53 until it adds numbers it never saw, keeping its weights on the way.

It learns the training sums by heart within 200 steps; the others come right some thousand steps later. Half a minute.
"""

from __future__ import annotations

import csv
import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from net import MODULUS
from safetensors.torch import save_file

from xai_audit.mechanistic.dynamics.addition import Modular, train, transformer
from xai_audit.mechanistic.dynamics.recorder import Recorder

HERE = Path(__file__).parent
SEED = 0
MOST = 6000


def digest(path: Path) -> str:
    """The sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def table(path: Path, task: Modular, rows: np.ndarray[Any, Any]) -> None:
    """Sums with their results as csv."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["a", "b", "sum"])
        for (a, b), result in zip(task.pairs[rows].tolist(), task.results[rows].tolist(), strict=True):
            writer.writerow([a, b, result])


def main() -> None:
    """Write the tables, a file of weights for every 100 steps, the last weights, and the model's digest."""
    torch.set_num_threads(1)
    task = Modular.split(MODULUS, 0.4, np.random.default_rng([SEED, 1000]))
    module = transformer(MODULUS, generator=torch.Generator().manual_seed(SEED))
    shutil.rmtree(HERE / "checkpoints", ignore_errors=True)
    recorder = Recorder(modular=task, every=100, keep=HERE / "checkpoints", at_most=None)
    right: list[int] = []

    def after(step: int, now: Any) -> bool:
        if recorder.after(step, now) and recorder.records[step]["held_out_accuracy"] > 0.99:
            right.append(step)
        return len(right) == 3

    done = train(task, module, steps=MOST, after=after)
    save_file(module.state_dict(), HERE / "weights.safetensors")
    table(HERE / "train.csv", task, np.flatnonzero(task.train.ravel()))
    table(HERE / "test.csv", task, np.flatnonzero(~task.train.ravel()))
    both = [digest(HERE / "weights.safetensors"), digest(HERE / "net.py")]
    joint = hashlib.sha256(b"".join(map(bytes.fromhex, both))).hexdigest()
    (HERE / "prepared.yaml").write_text(f"model: {{sha256: {joint}}}\n", encoding="utf-8")
    print(f"trained for {done.steps:,} steps; {len(recorder.records)} checkpoints; modulo {MODULUS}")


if __name__ == "__main__":
    main()

"""Train a network of handwritten digits plainly and in three ways that are meant to make it readable, five seeds each.

The 1,797 digits of 8 x 8 pixels (Alpaydin and Kaynak 1998, CC BY 4.0) come with scikit-learn. A seed's networks have the
same start, the same rows and the same order of rows, so that only the way of training differs. Half a minute.
"""

from __future__ import annotations

import csv
import hashlib
import shutil
from pathlib import Path

import numpy as np
import torch
from net import build
from safetensors.torch import save_file
from sklearn.datasets import load_digits

from xai_audit.mechanistic.design import penalties
from xai_audit.mechanistic.design.sparsity import Annealing, WeightSparse

HERE = Path(__file__).parent
WAYS = ("plain", "weights", "activations", "concepts")
SEEDS, STEPS, BATCH = 5, 600, 128
LOOP, STRAIGHT = (0, 6, 8, 9), (1, 4, 7)
"""Digits with a closed loop, and digits made of straight lines."""


def concepts(digits: np.ndarray) -> np.ndarray:
    """(rows, 2): has a loop, is made of straight lines."""
    return np.stack([np.isin(digits, LOOP), np.isin(digits, STRAIGHT)], axis=1)


def table(name: str, pixels: np.ndarray, digits: np.ndarray) -> None:
    """Pixels, the digit and its concepts as csv."""
    with (HERE / name).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow([*(f"p{place:02d}" for place in range(pixels.shape[1])), "digit", "loop", "straight"])
        words = np.where(concepts(digits), "yes", "no")
        for row, digit, told in zip(pixels, digits, words, strict=True):
            writer.writerow([*row.tolist(), int(digit), *told.tolist()])


def trained(way: str, seed: int, x: torch.Tensor, digits: np.ndarray) -> torch.nn.Module:
    """One network."""
    torch.manual_seed(seed)
    module = build()
    order = torch.Generator().manual_seed(1000 + seed)
    optimiser = torch.optim.AdamW(module.parameters(), lr=5e-3)
    sparse = WeightSparse(optimiser, Annealing(0.08, begin=STEPS // 8, end=STEPS // 2))
    y, told = torch.from_numpy(digits), torch.from_numpy(concepts(digits).astype(np.float32))
    with penalties.Captured(module, ["hidden", "act"]) as seen:
        for _ in range(STEPS):
            rows = torch.randint(0, len(x), (BATCH,), generator=order)
            loss = torch.nn.functional.cross_entropy(module(x[rows]), y[rows])
            if way == "activations":
                loss = loss + 3e-3 * penalties.activation_sparsity(seen["act"])
            elif way == "concepts":
                loss = loss + penalties.concept_alignment(seen["hidden"], told[rows])
            optimiser.zero_grad()
            loss.backward()
            (sparse if way == "weights" else optimiser).step()
    return module


def main() -> None:
    """Write both tables, the weights of every network, and the digest of the one that is audited."""
    torch.set_num_threads(1)
    known = load_digits()
    pixels, digits = known.data / 16, known.target.astype(np.int64)
    order = np.random.default_rng(1).permutation(len(digits))
    fit, audited = order[:900], order[900:]
    table("train.csv", pixels[fit], digits[fit])
    table("test.csv", pixels[audited], digits[audited])
    x = torch.from_numpy(pixels[fit].astype(np.float32))
    shutil.rmtree(HERE / "checkpoints", ignore_errors=True)
    for way in WAYS:
        (HERE / "checkpoints" / way).mkdir(parents=True)
        for seed in range(SEEDS):
            module = trained(way, seed, x, digits[fit])
            save_file(module.state_dict(), HERE / "checkpoints" / way / f"seed-{seed}.safetensors")
    shutil.copy(HERE / "checkpoints" / "weights" / "seed-0.safetensors", HERE / "weights.safetensors")
    both = (hashlib.sha256((HERE / name).read_bytes()).digest() for name in ("weights.safetensors", "net.py"))
    features = ", ".join(f"p{place:02d}" for place in range(pixels.shape[1]))
    (HERE / "prepared.yaml").write_text(
        f"model: {{sha256: {hashlib.sha256(b''.join(both)).hexdigest()}}}\ndata: {{features: [{features}]}}\n"
    )


if __name__ == "__main__":
    main()

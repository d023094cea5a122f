from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from xai_audit.mechanistic.dynamics import fourier
from xai_audit.mechanistic.dynamics.addition import Modular


def task(p: int = 13, operation: str = "add") -> Modular:
    return Modular.split(p, 0.4, np.random.default_rng(5), operation)  # type: ignore[arg-type]


def rotations(of: Modular, keys: list[int], scale: float = 4.0) -> torch.Tensor:
    """Logits of the algorithm itself, written out."""
    p = of.modulus
    logits = np.zeros((p * p, p))
    for row, (a, b) in enumerate(of.pairs.tolist()):
        s = a + b if of.operation == "add" else a - b
        for c in range(p):
            logits[row, c] = scale * sum(math.cos(2 * math.pi * k * (s - c) / p) for k in keys)
    return torch.from_numpy(logits)


@pytest.mark.parametrize("operation", ["add", "subtract"])
@pytest.mark.parametrize("p", [12, 13])
def test_the_key_frequencies_of_rotations_are_found_the_highest_too(p: int, operation: str) -> None:
    of = task(p, operation)
    for keys in ([1, 4], [2, p // 2]):
        table = fourier.by_result(rotations(of, keys), of)
        assert fourier.key_frequencies(table) == tuple(keys)
        # Parseval: all energy is that of the table.
        assert fourier.energies(table).sum() == pytest.approx(p * float((table**2).sum()))


def test_restricted_and_excluded_losses_of_known_logits() -> None:
    of = task()
    rng = np.random.default_rng(3)
    noise = torch.from_numpy(rng.normal(size=(169, 13)))
    logits = rotations(of, [2, 5]) + noise
    keys = (2, 5)
    found = fourier.measured(logits, of, keys)
    # By plain projections on cosines and sines of every key, over all pairs.
    a, b = of.pairs.T
    flat, key = logits.numpy(), np.zeros((169, 13))
    for k in keys:
        for wave in (np.cos, np.sin):
            direction = wave(2 * np.pi * k * (a + b) / 13)
            direction /= np.linalg.norm(direction)
            key += np.outer(direction, direction @ flat)

    def loss(values: np.ndarray, rows: np.ndarray) -> float:
        log = values - np.log(np.exp(values).sum(axis=1, keepdims=True))
        return float(-log[np.arange(169), of.results][rows].mean())

    trained = of.train.ravel()
    assert found.restricted == pytest.approx(loss(key + (flat - key).mean(axis=0), ~trained))
    assert found.restricted_all == pytest.approx(
        loss(key + (flat - key).mean(axis=0), np.full(169, fill_value=True))
    )
    assert found.excluded == pytest.approx(loss(flat - key, trained))
    assert found.train == pytest.approx(loss(flat, trained))
    assert found.held_out == pytest.approx(loss(flat, ~trained))
    assert found.excluded > 1 > found.train


def test_a_network_that_memorised_shows_no_circuit() -> None:
    """The random twin: right on what was trained, nothing on the rest, and nothing by frequencies."""
    of = task()
    logits = torch.zeros(169, 13)
    rows = np.flatnonzero(of.train.ravel())
    logits[rows, of.results[rows]] = 12.0
    table = fourier.by_result(logits, of)
    keys = fourier.key_frequencies(table)
    found = fourier.measured(logits, of, keys)
    assert found.train < 0.01
    assert found.held_out == pytest.approx(math.log(13), abs=1e-9)
    assert len(keys) > 3
    # One frequency alone says little of the results, and without it the trained answers stay.
    one = fourier.measured(logits, of, keys[:1])
    assert one.restricted > 2
    assert one.excluded < 0.05


def test_a_flat_table_has_no_key_frequencies() -> None:
    of = task()
    assert fourier.key_frequencies(fourier.by_result(torch.ones(169, 13), of)) == ()
    with pytest.raises(ValueError, match="no key"):
        fourier.measured(torch.ones(169, 13), of, ())
    with pytest.raises(ValueError, match="0 to 6"):
        fourier.measured(torch.ones(169, 13), of, (7,))


def test_frequencies_of_an_embedding_taken_out_and_kept() -> None:
    numbers = torch.arange(13)
    angle = 2 * math.pi * numbers / 13
    embedding = torch.stack([torch.cos(3 * angle), torch.sin(5 * angle), torch.full((13,), 2.0)], dim=1)
    without = fourier.ablated(embedding, [3])
    assert torch.allclose(without[:, 0], torch.zeros(13), atol=1e-6)
    assert torch.allclose(without[:, 1:], embedding[:, 1:], atol=1e-6)
    alone = fourier.kept(embedding, [3])
    assert torch.allclose(alone[:, [0, 2]], embedding[:, [0, 2]], atol=1e-6)
    assert torch.allclose(alone[:, 1], torch.zeros(13), atol=1e-6)
    assert torch.allclose(without + alone - embedding.mean(0), embedding, atol=1e-5)


def test_gini_of_an_embedding_is_high_for_few_frequencies() -> None:
    rng = np.random.default_rng(0)
    angle = 2 * math.pi * torch.arange(13) / 13
    few = torch.stack([torch.cos(3 * angle), torch.sin(3 * angle)], dim=1)
    # Two of thirteen equal parts: 1 - 2/13.
    assert fourier.gini_embedding(few) == pytest.approx(1 - 2 / 13, abs=1e-6)
    assert fourier.gini_embedding(torch.from_numpy(rng.normal(size=(13, 200)))) < 0.2

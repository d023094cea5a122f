from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

from tests.mechanistic.dictionaries.test_dictionary import drawn
from xai_audit.errors import MethodError
from xai_audit.mechanistic.dictionaries import effects, metrics, scaling
from xai_audit.mechanistic.dictionaries.dictionary import Dictionary
from xai_audit.mechanistic.dictionaries.recovery import recovery
from xai_audit.mechanistic.network import Network
from xai_audit.mechanistic.readers import TableReader
from xai_audit.mechanistic.sites import Site


def test_fvu_l0_and_dead_by_their_definitions():
    one = drawn("relu")
    x = torch.randn(300, 6, generator=torch.Generator().manual_seed(1)) + 50
    documents = np.repeat(np.arange(30), 10)
    parts = [(x[start : start + 70], documents[start : start + 70]) for start in range(0, 300, 70)]
    found = metrics.kept(one, parts)
    wide, f = x.double().numpy(), one.encode(x).numpy()
    error = ((one.reconstruct(x).double().numpy() - wide) ** 2).sum()
    assert found.fvu == pytest.approx(error / ((wide - wide.mean(axis=0)) ** 2).sum(), rel=1e-6)
    assert found.l0 == pytest.approx((f > 0).sum(axis=1).mean())
    assert np.array_equal(found.fired, (f > 0).sum(axis=0))
    assert np.array_equal(found.counts, np.full(30, 10))
    assert found.spreads.sum() == pytest.approx(((wide - wide.mean(axis=0)) ** 2).sum(), rel=1e-6)
    for count in (1, 5, 300):
        assert found.dead(count) == pytest.approx(1 - (f[:count] > 0).any(axis=0).mean())
    assert found.dead_curve()[-1] == (300, found.dead())


def test_a_constant_bias_is_not_free():
    n = 4
    eye = torch.eye(n)
    both = torch.cat([eye, -eye])
    exact = Dictionary(both.T, torch.zeros(2 * n), both, torch.zeros(n), "relu")
    off = Dictionary(both.T, torch.zeros(2 * n), both, torch.full((n,), 0.5), "relu")
    x = torch.randn(200, n, generator=torch.Generator().manual_seed(0))
    assert metrics.kept(exact, [x]).fvu == pytest.approx(0, abs=1e-10)
    assert metrics.kept(off, [x]).fvu == pytest.approx(0, abs=1e-10)  # it is taken from the input as well
    biased = Dictionary(both.T, torch.cat([both @ torch.full((n,), 0.5)]), both, torch.zeros(n), "relu")
    assert metrics.kept(biased, [x]).fvu > 0.1


def test_loss_recovered_is_one_for_an_exact_dictionary():
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    network = Network(module, TableReader(("a", "b", "c")))
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(50, 3)), columns=["a", "b", "c"])
    labels = np.random.default_rng(1).integers(0, 2, 50)
    eye = torch.cat([torch.eye(4), -torch.eye(4)])
    exact = Dictionary(eye.T, torch.zeros(8), eye, torch.zeros(4), "relu")
    hidden = module[0](torch.tensor(frame.to_numpy(), dtype=torch.float32)).detach()
    found = metrics.recovered(network, frame, labels, Site("0"), exact, hidden.mean(dim=0))
    assert found.delta == pytest.approx(0, abs=1e-6)
    assert found.kl.max() == pytest.approx(0, abs=1e-6)
    scores = network.scores(frame)
    assert found.original.mean() == pytest.approx(-np.log(scores[np.arange(50), labels]).mean())
    if found.by_mean is not None:
        assert found.by_mean == pytest.approx(1, abs=1e-4)
    constant = torch.softmax(module[1](hidden.mean(dim=0)), dim=0).detach().double().numpy()
    assert found.mean_ablated.mean() == pytest.approx(-np.log(constant[labels]).mean(), rel=1e-5)


def test_the_truth_recovers_itself_and_a_seed_is_like_itself():
    one = drawn("relu", n=20, m=12)
    latents = torch.rand(100, 12, generator=torch.Generator().manual_seed(3))
    found = recovery(one, one.w_dec[torch.randperm(12)], latents, latents @ one.w_dec)
    assert found.mcc == pytest.approx(1, abs=1e-5)
    assert found.found == 1
    assert found.unique == 1
    assert metrics.stability(one, one) == pytest.approx(1, abs=1e-5)
    assert metrics.stability(one, drawn("relu", n=20, m=12, seed=8)) < 0.7


def test_effects_of_a_linear_network_are_what_is_written_times_the_weights():
    module = torch.nn.Sequential(torch.nn.Linear(3, 6), torch.nn.Linear(6, 2))
    network = Network(module, TableReader(("a", "b", "c")))
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(9, 3)), columns=["a", "b", "c"])
    one = drawn("relu")

    def output(outputs):
        return outputs[:, 1]

    f = one.encode(module[0](torch.tensor(frame.to_numpy(), dtype=torch.float32))).detach()
    expected = (f * (one.w_dec @ module[1].weight[1])).detach().numpy()
    assert np.allclose(effects.direct(network, frame, Site("0"), one, output), expected, atol=1e-5)
    ways = effects.random_directions(4, 6, np.random.default_rng(2))
    found = effects.ablated(network, frame, Site("0"), one, 4, output, ways)
    assert np.allclose(found.each, expected[:, 4], atol=1e-5)
    turned = f[:, 4, None].numpy() * (ways @ module[1].weight[1].detach().double().numpy())
    assert np.allclose(found.random, turned.T, atol=1e-5)


def test_a_scaling_law_is_found_again_and_recommends_within_its_grid():
    truth = np.asarray([1.0, -0.3, -0.35, 0.01, -4.0, -0.1])
    rng = np.random.default_rng(4)
    grid = [(width, k) for width in (64, 128, 256, 512, 1024) for k in (4, 8, 16, 32)]
    widths, ks = zip(*grid, strict=True)
    exact = scaling._law(truth, np.asarray(widths, float), np.asarray(ks, float))
    losses = exact * np.exp(0.01 * rng.normal(size=len(grid)))
    law = scaling.fit(widths, ks, losses, np.random.default_rng(5), resamples=60)
    assert np.allclose(law.loss(np.asarray(widths), np.asarray(ks)), exact, rtol=0.03)
    inside = sum(
        low <= e <= high for (w, k), e in zip(grid, exact, strict=True) for low, high in [law.limits(w, k)]
    )
    assert inside >= 0.75 * len(grid)
    target = float(exact[grid.index((256, 8))])
    best = scaling.recommend(law, sorted(set(widths)), sorted(set(ks)), target=target * 1.05)
    assert best.high <= target * 1.05
    assert (best.width, best.k) in grid
    knee = scaling.recommend(law, sorted(set(widths)), sorted(set(ks)), gain=0.5)
    assert (knee.width, knee.k) == (64, 4)
    assert math.isfinite(law.spread)
    with pytest.raises(MethodError, match="seven trainings"):
        scaling.fit([1, 2, 4], [1, 2, 3], [0.5, 0.4, 0.3], rng)

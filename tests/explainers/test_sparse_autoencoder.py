"""The dictionary of a network whose site is a known superposition: what it finds is what was planted, and the controls fall."""

from __future__ import annotations

import io
from collections import OrderedDict

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from tests import deep
from xai_audit.explainers.sparse_autoencoder import METHOD
from xai_audit.measure import Settings, Step, measure
from xai_audit.mechanistic.network import Network

PLANTED, WIDE, ROWS = 32, 24, 3000
USED = 0
"""The planted feature that the output reads."""


def truth() -> np.ndarray:
    """(planted, wide): a direction for each feature, more of them than the site has dimensions."""
    drawn = np.random.default_rng([5, 1]).normal(size=(PLANTED, WIDE))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def world() -> tuple[np.ndarray, np.ndarray]:
    """Features, about two at a time and the used one more often, and the dense inputs that they are mixed into by a rotation."""
    rng = np.random.default_rng([5, 2])
    on = rng.random((ROWS, PLANTED)) < np.where(np.arange(PLANTED) == USED, 0.3, 2 / PLANTED)
    features = on * np.abs(rng.normal(1.0, 0.25, size=on.shape))
    return features, np.linalg.qr(np.random.default_rng([5, 3]).normal(size=(PLANTED, PLANTED)))[0]


def network() -> Network:
    """``unmix`` undoes the rotation, ``site`` writes the features in superposition, ``out`` reads one of them."""
    module = nn.Sequential(
        OrderedDict(
            unmix=nn.Linear(PLANTED, PLANTED, bias=False),
            bend=nn.ReLU(),
            site=nn.Linear(PLANTED, WIDE, bias=False),
            out=nn.Linear(WIDE, 1),
        )
    )
    _, turned = world()
    with torch.no_grad():
        module.unmix.weight.copy_(torch.from_numpy(turned))
        module.site.weight.copy_(torch.from_numpy(truth().T))
        module.out.weight.copy_(torch.from_numpy(8 * truth()[[USED]]))
        module.out.bias.fill_(-4.0)
    return Network(module, deep.TableReader(tuple(f"x{j}" for j in range(PLANTED))), link="sigmoid")


def subject(net: Network | None = None):
    features, turned = world()
    frame = pd.DataFrame((features @ turned).astype(np.float32), columns=[f"x{j}" for j in range(PLANTED)])
    target = (np.random.default_rng([5, 4]).random(ROWS) < 0.02 + 0.96 * (features[:, USED] > 0)).astype(
        np.int64
    )
    return deep.subject(net or network(), deep.rows(frame, target, None, "test"), "table")


ASKED = {
    "site": "site", "expansion": 2, "k": 3, "tokens": 80_000, "batch": 128, "lr": 3e-3, "effects": 3, "rows": 400,
}  # fmt: skip


def observed(of, **params):
    step = Step(METHOD, METHOD.params.model_validate({**ASKED, **params}), METHOD.id)
    found = measure(of, [step], Settings(seed=3))
    return {piece.id.partition("/")[2]: piece for piece in found.evidence}, found.arrays


@pytest.fixture(scope="module")
def made():
    return observed(subject())


def decoder(made) -> np.ndarray:
    """(latents, wide), of length 1, as the evidence keeps it."""
    pieces, files = made
    found = np.load(io.BytesIO(files[pieces[""].arrays["W_dec"]]))["W_dec"]
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_what_was_planted_is_what_is_found(made) -> None:
    nearest = (truth() @ decoder(made).T).max(axis=1)
    assert nearest.min() > 0.9
    assert nearest.mean() > 0.98
    # Directions that were drawn and not trained come nowhere near: 64 of them in 24 dimensions.
    drawn = np.random.default_rng([5, 9]).normal(size=decoder(made).shape)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    assert (truth() @ drawn.T).max(axis=1).mean() < 0.6


def test_the_error_is_small_and_both_controls_are_apart(made) -> None:
    claim = made[0][""]
    assert claim.observation.estimate.value < 0.15
    assert claim.rung == "associated"
    frozen, twin = claim.controls
    assert (frozen.passed, twin.passed) == (True, True)
    assert frozen.estimate.low > 0.3
    assert claim.params["frozen_fvu"] - claim.observation.estimate.value == pytest.approx(
        frozen.estimate.value
    )
    # The interval is of documents the dictionary never saw: a fifth of the rows.
    assert claim.observation.estimate.n == ROWS // 5


def test_two_seeds_find_the_same_and_a_frozen_decoder_does_not(made) -> None:
    claim = made[0]["stability"]
    assert claim.observation.estimate.value > 0.85
    assert claim.controls[0].passed
    assert claim.controls[0].estimate.value > 0.3


def test_only_the_latent_of_the_used_feature_moves_the_output_beyond_random_directions(made) -> None:
    effects = {name: one for name, one in made[0].items() if name.startswith("effect")}
    causal = [one for one in effects.values() if one.rung in {"intervened", "robust"}]
    assert len(effects) == 3
    assert len(causal) == 1
    found = decoder(made)[causal[0].params["latent"]] @ truth()[USED]
    assert found > 0.95
    assert causal[0].observation.estimate.value == max(
        one.observation.estimate.value for one in effects.values()
    )


def test_the_loss_that_the_mean_costs_is_recovered_by_it_and_not_by_a_frozen_decoder(made) -> None:
    claim = made[0]["loss_recovered"]
    assert claim.observation.estimate.value > 0.8
    assert claim.params["frozen_recovered"] < claim.observation.estimate.value - 0.2
    assert all(control.passed for control in claim.controls)


def test_a_table_has_no_explanations_of_tokens(made) -> None:
    assert made[0]["detection"].status == "skipped"
    assert "networks that read texts" in made[0]["detection"].reason


def test_of_a_network_with_permuted_weights_nothing_is_claimed() -> None:
    random = network().twin(np.random.default_rng([5, 6]))
    pieces, _ = observed(subject(random), effects=0, tokens=50_000)
    claim = pieces[""]
    assert claim.rung == "described"
    assert not claim.controls[1].passed
    assert "not told apart" in claim.params["sentence"]
    # A dictionary of noise needs more latents than a site that is a superposition does.
    assert claim.observation.estimate.value > 0.15


def test_a_law_is_fitted_over_the_grid_and_recommends_of_it() -> None:
    grid = {"expansions": [1, 2, 3], "k": [1, 2, 4], "tokens": 10_000}
    pieces, files = observed(subject(), effects=0, tokens=10_000, scaling=grid)
    law, dead = pieces["scaling"], pieces["dead_by_size"]
    assert (law.status, dead.status) == ("measured", "measured")
    assert law.params["recommended_latents"] in {WIDE, 2 * WIDE, 3 * WIDE}
    assert law.params["recommended_k"] in {1, 2, 4}
    low, high = law.params["expected_fvu"][1:]
    assert low <= law.params["expected_fvu"][0] <= high
    # Two features at a time: with one latent less is kept than with two, whatever the size.
    kept = {one.name: [point.estimate.value for point in one.points] for one in law.observation.series}
    assert all(one > two for one, two in zip(kept["k = 1"], kept["k = 2"], strict=True))
    trained = np.load(io.BytesIO(files[law.arrays["fvu"]]))
    assert trained["fvu"].shape == (9,)

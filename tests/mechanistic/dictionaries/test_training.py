from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.mechanistic.dictionaries import beds
from xai_audit.errors import MethodError
from xai_audit.mechanistic.dictionaries import kernels
from xai_audit.mechanistic.dictionaries.losses import Parameters, loss
from xai_audit.mechanistic.dictionaries.metrics import kept
from xai_audit.mechanistic.dictionaries.recipe import Recipe
from xai_audit.mechanistic.dictionaries.recovery import recovery
from xai_audit.mechanistic.dictionaries.sparse import Step
from xai_audit.mechanistic.dictionaries.training import Training, train


def parameters(m, n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    decoder = torch.nn.functional.normalize(torch.randn(m, n, generator=generator), dim=1)
    encoder = decoder + 0.1 * torch.randn(m, n, generator=generator)
    drawn = (
        encoder,
        0.1 * torch.randn(m, generator=generator),
        decoder,
        0.1 * torch.randn(n, generator=generator),
    )
    return Parameters(*(one.clone().requires_grad_() for one in drawn))


@pytest.mark.parametrize("variant", ["topk", "batchtopk", "matryoshka"])
@pytest.mark.parametrize("dying", [0, 3, 40])
@pytest.mark.parametrize(("m", "n"), [(60, 12), (1100, 256)])
def test_the_sparse_step_has_the_dense_gradients(variant, dying, m, n):
    recipe = Recipe(variant=variant, width=m, k=5, tokens=64, batch=64, aux_k=8)
    x = torch.randn(64, n, generator=torch.Generator().manual_seed(8))
    dead = torch.arange(m) < dying
    one, other = parameters(m, n), parameters(m, n)
    expected = loss(one, x, dead, recipe)
    expected.total.backward()
    found = Step(recipe)(other, x, dead)
    assert float(found.total) == pytest.approx(float(expected.total.detach()), rel=1e-5)
    assert found.active == expected.active
    assert torch.equal(found.fired, expected.fired)
    for mine, theirs in zip(other.all(), one.all(), strict=True):
        assert float((mine.grad - theirs.grad).norm() / theirs.grad.norm()) < 1e-5


def test_what_half_the_bits_leave_open_is_computed_again():
    generator = torch.Generator().manual_seed(4)
    x, encoder = torch.randn(40, 384, generator=generator), torch.randn(900, 384, generator=generator)
    bias = torch.randn(900, generator=generator)
    found = kernels.top_of_product(x, encoder, bias, 7, torch.empty(40, 900)).dense(900)
    full = x.double() @ encoder.double().T + bias
    values, index = full.topk(7, dim=1)
    expected = torch.zeros_like(full).scatter(1, index, values.relu())
    assert np.allclose(found, expected.numpy(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("m", "k"), [(100, 7), (33, 33), (128, 3), (31, 4), (1000, 40)])
def test_the_largest_of_each_row(m, k):
    before = torch.randn(50, m, generator=torch.Generator().manual_seed(m)) - 0.5
    values, index = before.topk(k, dim=1)
    expected = torch.zeros_like(before).scatter(1, index, values.relu())
    assert np.array_equal(kernels.top(before, k).dense(m), expected.numpy())


def test_the_largest_of_a_batch():
    before = torch.randn(50, 80, generator=torch.Generator().manual_seed(2))
    found = kernels.top_of_batch(before, 200)
    assert np.allclose(np.sort(found.value), np.sort(before.flatten().topk(200).values.numpy()))
    few = kernels.top_of_batch(before - 2.5, 2000)
    assert len(few.value) == int((before > 2.5).sum())


@pytest.mark.parametrize("variant", ["topk", "batchtopk", "matryoshka", "jumprelu", "relu"])
def test_every_variant_learns_and_a_frozen_decoder_recovers_nothing(variant):
    bed = beds.Bed(beds.directions(24, 16, 5), np.full(24, 2 / 24), 5, batch=256)
    recipe = Recipe(
        variant=variant,
        width=24,
        k=2,
        tokens=256 * 900,
        batch=256,
        lr=3e-3,
        l1=0.3,
        groups=(0.5, 1),
        dead_after=5000,
    )
    latents, activations = bed.held_out(4000)
    scores = {}
    for frozen in (False, True):
        found = train(
            bed, replace(recipe, freeze_decoder=frozen), torch.Generator().manual_seed(77)
        ).dictionary
        scores[frozen] = recovery(found, bed.truth, latents, activations)
        fvu = kept(found, [activations]).fvu
        assert 0 < fvu < (0.9 if frozen else 0.5)
    # Nested reconstructions cost recovery where nothing is nested.
    assert scores[False].mcc > (0.7 if variant == "matryoshka" else 0.8)
    assert scores[True].found <= 0.1
    assert scores[False].mcc > scores[True].mcc + 0.2


def test_a_shifted_mean_kills_nothing():
    bed = beds.easy(1, shift=10, batch=256)
    recipe = Recipe(width=128, k=3, tokens=256 * 600, batch=256, lr=3e-3, dead_after=20_000)
    found = train(bed, recipe, torch.Generator().manual_seed(3)).dictionary
    _, activations = bed.held_out(10_000)
    assert kept(found, [activations]).dead() <= 0.05


@pytest.mark.parametrize("variant", ["topk", "batchtopk", "relu"])
def test_a_stopped_training_goes_on_as_if_it_had_not_been(tmp_path, variant):
    bed = beds.easy(0, batch=64)
    recipe = Recipe(variant=variant, width=32, k=3, tokens=64 * 40, batch=64, dead_after=256, calibration=256)
    whole = train(bed, recipe, torch.Generator().manual_seed(1)).dictionary
    first = Training(bed, recipe, torch.Generator().manual_seed(1))
    first.advance(17)
    first.save(tmp_path / "state.pt")
    again = train(
        bed, recipe, torch.Generator().manual_seed(999), checkpoint=tmp_path / "state.pt", every=10
    ).dictionary
    assert torch.equal(again.w_dec, whole.w_dec)
    assert torch.equal(again.w_enc, whole.w_enc)
    other = Training(bed, replace(recipe, lr=1e-4), torch.Generator().manual_seed(1))
    with pytest.raises(MethodError, match="another recipe"):
        other.resume(tmp_path / "state.pt")


def test_recipes_that_make_no_sense_are_refused():
    with pytest.raises(MethodError, match="k is 1 to 4"):
        Recipe(width=4, k=5)
    with pytest.raises(MethodError, match="rising shares"):
        Recipe(variant="matryoshka", width=8, k=2, groups=(0.5, 0.25))
    with pytest.raises(MethodError, match="do not vary"):
        Training(lambda _: torch.ones(8, 3), Recipe(width=4, k=1, tokens=8, batch=8), torch.Generator())

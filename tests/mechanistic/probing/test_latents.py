"""Latents of a dictionary as units: what a row has of them by hand, and effects that are exact where they must be."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch import nn  # noqa: E402

from tests import deep  # noqa: E402
from tests.explainers import networks  # noqa: E402
from xai_audit.errors import UnavailableError  # noqa: E402
from xai_audit.mechanistic import flows  # noqa: E402
from xai_audit.mechanistic.dictionaries.dictionary import Dictionary  # noqa: E402
from xai_audit.mechanistic.network import Network  # noqa: E402
from xai_audit.mechanistic.probing import ablation  # noqa: E402
from xai_audit.mechanistic.probing import latents as latents_  # noqa: E402
from xai_audit.mechanistic.probing.building import Bank, build  # noqa: E402
from xai_audit.mechanistic.probing.latents import Latents  # noqa: E402
from xai_audit.mechanistic.probing.store import Store  # noqa: E402
from xai_audit.mechanistic.readers import TextReader  # noqa: E402
from xai_audit.mechanistic.sites import Edit, Site  # noqa: E402


class First(nn.Module):
    """Reads position 1 with one weight and all others with another: a slope that differs by position."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(24, 6)
        self.out = nn.Linear(6, 2)

    def forward(self, input_ids, attention_mask):
        found = self.words(input_ids) * attention_mask[..., None]
        return self.out(3 * found[:, 1] + found.sum(dim=1))


def network():
    return Network(networks.seeded(First, 3), TextReader("text", networks.tokenizer()), link="none")


def dictionary(n=6, m=10, seed=5):
    rng = np.random.default_rng([seed, 1])
    drawn = rng.normal(size=(m, n)).astype(np.float32)
    decoder = torch.from_numpy(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))
    bias = torch.from_numpy(rng.normal(size=n).astype(np.float32) * 0.1)
    return Dictionary(decoder.T.clone(), torch.zeros(m), decoder, bias, "topk", 3)


@pytest.fixture(scope="module")
def bed():
    frame = deep.text_frame(networks.texts(24, 7))
    return network(), frame, Latents("words~sae", Site("words"), dictionary())


def test_a_row_has_of_a_latent_what_its_positions_have_on_average(bed, monkeypatch):
    net, frame, own = bed
    found = flows.activations(net, frame, [own])[own]
    for place, batch in net.batches(frame):
        with torch.no_grad():
            embedded = net.module.words(batch["input_ids"])
            for row, tokens in enumerate(batch["attention_mask"].sum(dim=1).tolist()):
                hand = own.dictionary.encode(embedded[row, :tokens]).mean(dim=0)
                assert found[place.start + row] == pytest.approx(hand.numpy(), abs=1e-6)
    monkeypatch.setattr(latents_, "TOGETHER", 1)
    assert flows.activations(net, frame, [own])[own] == pytest.approx(found, abs=1e-7)


def test_effects_are_those_of_edits_and_first_order_is_exact_where_all_after_is_linear(bed):
    net, frame, own = bed
    batches = flows.built(net, frame)
    levels = np.linspace(0, 1, own.dictionary.m)
    first = ablation.first_order(net, batches, own, levels, 1)
    exact = ablation.unit_effects(net, batches, own, range(10), levels, 1)
    assert first == pytest.approx(exact, abs=1e-5)
    assert np.abs(exact).max() > 0.1

    def by_hand(batch, latent):
        mask = batch["attention_mask"][..., None]

        def move(value):
            f = own.dictionary.encode(value)[..., latent, None]
            return value + (float(levels[latent]) - f) * own.dictionary.w_dec[latent] * mask

        return Edit(Site("words"), "splice", move)

    plain = ablation.scores_with(net, batches, lambda _: [])
    for latent in (0, 4, 9):
        moved = ablation.scores_with(net, batches, lambda batch, one=latent: [by_hand(batch, one)])
        assert exact[latent] == pytest.approx((moved - plain)[:, 1].mean(), abs=1e-5)


def test_units_of_positions_with_slopes_of_their_own(bed):
    net, frame, _ = bed
    flow = ablation.units(net, frame, Site("words"))
    batches = flows.built(net, frame)
    levels = np.linspace(-1, 1, 6)
    first = ablation.first_order(net, batches, flow, levels, 1)
    assert first == pytest.approx(ablation.unit_effects(net, batches, flow, range(6), levels, 1), abs=1e-5)


def test_channels_of_pictures():
    from tests.explainers import concept_beds

    net = concept_beds.image_network()
    frame = concept_beds.pictures(np.random.default_rng(1), 6)
    own = Latents("second~sae", Site("second"), dictionary(8, 12))
    values = flows.activations(net, frame, [own])[own]
    assert values.shape == (6, 12)
    batches = flows.built(net, frame)
    effects = ablation.unit_effects(net, batches, own, range(12), values.mean(axis=0).astype(float), 1)
    assert np.isfinite(effects).all()
    assert np.abs(effects).max() > 0


def test_a_store_gives_its_dictionaries_back_and_knows_when_they_changed(bed, tmp_path):
    net, frame, own = bed
    values = flows.activations(net, frame, [own])[own]
    flow = ablation.units(net, frame, Site("words"))
    banks = [
        Bank("words", flows.activations(net, frame, [flow])[flow]),
        Bank("words~sae", values, latents=own),
    ]
    told = [f"row {place}" for place in range(len(frame))]
    build(tmp_path / "s", banks, [], told, {"model": "0" * 64}, np.random.default_rng(1))
    store = Store.open(tmp_path / "s")
    assert store.sites == ["words", "words~sae"]
    assert store.damaged() == []
    (again,) = store.dictionaries().values()
    assert flows.activations(net, frame, [again])[again] == pytest.approx(values, abs=1e-6)
    row = int(np.argmax(values[:, 4]))
    assert row in store.like(np.r_[np.zeros(6), np.eye(10)[4] * 9][None], 1).hits[0].contexts[:1]
    weights = tmp_path / "s" / "dictionaries" / "1" / "sae_weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    assert store.damaged() == ["dictionaries/1/sae_weights.safetensors"]
    weights.unlink()
    assert store.damaged() == ["dictionaries/1/sae_weights.safetensors"]
    with pytest.raises(UnavailableError, match="sae_weights"):
        store.dictionaries()
    store.about["sites"][1]["dictionary"] = "../elsewhere"
    with pytest.raises(UnavailableError, match="outside of the store"):
        store.dictionaries()


@pytest.mark.parametrize("way", ["vectors", "missing", "each"])
def test_a_dictionary_goes_to_the_device_of_what_it_reads(bed, way):
    """Torch's device of shapes alone stands for another one: it refuses to meet tensors of this one."""
    own = bed[2]
    value = torch.empty(4, 7, 6, device="meta")
    with pytest.raises(RuntimeError, match="device"):
        own.dictionary.encode(value)
    if way == "vectors":
        found = own.vectors(value)
    elif way == "missing":
        found = own.missing(value, value, torch.zeros(10))
    else:
        found = own.each([1, 2], [0.5, 0.1], 2).value(value)
    assert found.device.type == "meta"
    assert found.shape == (value.shape if way == "each" else (4, 10))

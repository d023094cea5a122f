from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch

from xai_audit.errors import MethodError
from xai_audit.mechanistic.dictionaries import saelens
from xai_audit.mechanistic.dictionaries.dictionary import Dictionary
from xai_audit.mechanistic.network import Network
from xai_audit.mechanistic.sites import Site


def drawn(activation="topk", n=6, m=10, seed=3):
    generator = torch.Generator().manual_seed(seed)
    decoder = torch.nn.functional.normalize(torch.randn(m, n, generator=generator), dim=1)
    return Dictionary(
        w_enc=torch.randn(n, m, generator=generator),
        b_enc=torch.randn(m, generator=generator),
        w_dec=decoder,
        b_dec=torch.randn(n, generator=generator),
        activation=activation,
        k=3 if activation == "topk" else None,
        threshold=torch.rand(m, generator=generator) if activation == "jumprelu" else None,
        metadata={"hook_name": "encoder.layer.3"},
    )


@pytest.mark.parametrize("activation", ["relu", "topk", "jumprelu"])
def test_latents_are_the_formula(activation):
    one, x = drawn(activation), torch.randn(20, 6, generator=torch.Generator().manual_seed(9))
    before = ((x - one.b_dec) @ one.w_enc + one.b_enc).numpy()
    expected = np.maximum(before, 0)
    if activation == "topk":
        expected[np.argsort(np.argsort(-before, axis=1), axis=1) >= 3] = 0
    if activation == "jumprelu":
        expected[before <= one.threshold.numpy()] = 0
    found = one.encode(x)
    assert np.allclose(found.numpy(), expected, atol=1e-5)
    assert torch.allclose(one.decode(found), found @ one.w_dec + one.b_dec)


@pytest.mark.parametrize("activation", ["relu", "topk", "jumprelu"])
def test_a_folder_gives_back_what_was_written(tmp_path, activation):
    one = drawn(activation)
    again = saelens.read(saelens.write(one, tmp_path / "sae"))
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
    assert torch.equal(again.encode(x), one.encode(x))
    assert torch.equal(again.reconstruct(x), one.reconstruct(x))
    assert again.metadata == one.metadata
    config = json.loads((tmp_path / "sae" / saelens.CONFIG).read_text())
    assert config["architecture"] == {"relu": "standard"}.get(activation, activation)
    assert (config["d_in"], config["d_sae"]) == (6, 10)


def test_options_of_saelens_are_folded_into_the_weights(tmp_path):
    one = drawn("topk")
    lengths = torch.linspace(0.5, 2, 10)
    long = Dictionary(one.w_enc, one.b_enc, one.w_dec * lengths[:, None], one.b_dec, "topk", 3)
    folder = saelens.write(long, tmp_path)
    config = json.loads((folder / saelens.CONFIG).read_text())
    config |= {"apply_b_dec_to_input": False, "rescale_acts_by_decoder_norm": True}
    (folder / saelens.CONFIG).write_text(json.dumps(config))
    x = torch.randn(7, 6, generator=torch.Generator().manual_seed(2))
    before = (x @ one.w_enc + one.b_enc) * lengths
    kept = before.topk(3, dim=1)
    latents = torch.zeros_like(before).scatter(1, kept.indices, kept.values.relu())
    expected = (latents / lengths) @ long.w_dec + one.b_dec
    assert torch.allclose(saelens.read(folder).reconstruct(x), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "gated"}, "architecture 'gated'"),
        ({"normalize_activations": "layer_norm"}, "normalize_activations 'layer_norm'"),
        ({"reshape_activations": "hook_z"}, "reshape_activations 'hook_z'"),
        ({"k": "many"}, "whole number k"),
        ({"k": 99}, "1 to 10 latents"),
    ],
)
def test_what_has_no_such_value_is_refused(tmp_path, change, message):
    folder = saelens.write(drawn(), tmp_path)
    config = json.loads((folder / saelens.CONFIG).read_text())
    (folder / saelens.CONFIG).write_text(json.dumps({**config, **change}))
    with pytest.raises(MethodError, match=message):
        saelens.read(folder)


def test_broken_files_are_told_in_a_line(tmp_path):
    with pytest.raises(MethodError, match=r"cfg\.json"):
        saelens.read(tmp_path)
    folder = saelens.write(drawn(), tmp_path)
    (folder / saelens.WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(MethodError, match="sae_weights"):
        saelens.read(folder)


def test_a_header_of_any_length_is_no_pickle(tmp_path):
    for length in (0x280, 0x480, 0x580, 0x4_0480):
        (tmp_path / saelens.WEIGHTS).write_bytes(length.to_bytes(8, "little") + b"{" + b" " * 40)
        assert not saelens.pickled(tmp_path / saelens.WEIGHTS)
    for protocol in range(2, 6):
        (tmp_path / saelens.WEIGHTS).write_bytes(pickle.dumps({"W_enc": [1.0] * 9}, protocol))
        assert saelens.pickled(tmp_path / saelens.WEIGHTS)


def test_tensors_that_do_not_fit_are_refused():
    one = drawn()
    with pytest.raises(MethodError, match="b_enc"):
        Dictionary(one.w_enc, one.b_enc[:-1], one.w_dec, one.b_dec, "relu")
    with pytest.raises(MethodError, match="threshold"):
        Dictionary(one.w_enc, one.b_enc, one.w_dec, one.b_dec, "jumprelu")
    with pytest.raises(MethodError, match="6 features"):
        one.encode(torch.zeros(2, 7))


def test_unit_rows_change_nothing():
    one = drawn("jumprelu")
    long = Dictionary(one.w_enc, one.b_enc, one.w_dec * 3, one.b_dec, "jumprelu", threshold=one.threshold)
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(long.unit().reconstruct(x), long.reconstruct(x), atol=1e-5)
    assert torch.allclose(long.unit().w_dec.norm(dim=1), torch.ones(10))


def test_edits_splice_and_take_out():
    module = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Linear(6, 2))
    network, one = Network(module), drawn("relu")
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(5))
    hidden = module[0](x)
    spliced = network.run(x, edits=[one.spliced(Site("0"))]).outputs
    assert torch.allclose(spliced, module[1](one.reconstruct(hidden)), atol=1e-5)
    less = network.run(x, edits=[one.without(Site("0"), (2, 5))]).outputs
    f = one.encode(hidden)
    assert torch.allclose(less, module[1](hidden - f[:, [2, 5]] @ one.w_dec[[2, 5]]), atol=1e-5)


def test_edits_of_pictures_are_of_channels():
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 1), torch.nn.Flatten(), torch.nn.Linear(24, 2))
    network, one = Network(module), drawn("relu")
    x = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(5))
    hidden = module[0](x)
    rebuilt = one.reconstruct(hidden.movedim(1, -1)).movedim(-1, 1)
    spliced = network.run(x, edits=[one.spliced(Site("0"))]).outputs
    assert torch.allclose(spliced, module[2](rebuilt.flatten(1)), atol=1e-5)

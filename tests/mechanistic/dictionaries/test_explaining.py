# ruff: noqa: PD011
from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from tests import deep
from tests.explainers.coalitions.test_cuts import reader
from tests.test_images_and_texts_conform import Bag, drawn
from xai_audit.errors import MethodError
from xai_audit.mechanistic.dictionaries import ngrams, scoring
from xai_audit.mechanistic.dictionaries.codes import Firings, firings
from xai_audit.mechanistic.dictionaries.dictionary import Dictionary
from xai_audit.mechanistic.dictionaries.store import Store, collect
from xai_audit.mechanistic.network import Network
from xai_audit.mechanistic.readers import TableReader
from xai_audit.mechanistic.sites import Site

RULES = {
    0: lambda token, _: token == 3,
    1: lambda token, before: (token == 5) & (before == 7),
    2: lambda token, _: (token == 11) | (token == 12),
    3: lambda token, before: (token == 20) & (before == 21),
}


def texts(seed, documents=250, length=40):
    rng = np.random.default_rng(seed)
    token = rng.integers(0, 30, size=documents * length)
    for first, second in ((7, 5), (21, 20)):
        at = rng.choice(documents * length - 1, 150, replace=False)
        token[at], token[at + 1] = first, second
    document = np.repeat(np.arange(documents), length)
    position = np.tile(np.arange(length), documents).astype(np.int32)
    values = np.zeros((len(token), 1), dtype=np.float32)
    return Store(values, document, position, token.astype(np.int64), np.arange(documents))


def fired(store):
    before = np.where(np.diff(store.document, prepend=-1) == 0, np.roll(store.token, 1), -1)
    places = [np.flatnonzero(rule(store.token, before)) for rule in RULES.values()]
    starts = np.concatenate([[0], np.cumsum([len(one) for one in places])])
    value = np.ones(int(starts[-1]), dtype=np.float32)
    return Firings(len(store), starts, np.concatenate(places), value)


def test_planted_patterns_are_found_and_told_from_others():
    fit, held = texts(1), texts(2)
    grams, asked = ngrams.Grams.of(fit), ngrams.Grams.of(held)
    on, there = fired(fit), fired(held)
    found = [ngrams.explain(grams, on.of(latent)[0]) for latent in RULES]
    assert found[0].patterns["token"].tolist() == [3]
    assert sum(len(one) for kind, one in found[0].patterns.items() if kind != "token") == 0
    assert found[2].patterns["token"].tolist() == [11, 12]
    assert ngrams.words(found[0], {3: "three"}) == ["three"]
    rng = np.random.default_rng(3)
    cut = scoring.windows(held)
    questions = [scoring.questions(cut, there, latent, rng) for latent in RULES]
    own = [scoring.score(one, asked, of) for one, of in zip(found, questions, strict=True)]
    assert own[0].detection == own[2].detection == 1
    assert own[0].fuzzing == own[2].fuzzing == 1
    assert min(one.fuzzing for one in own) > 0.9
    null = scoring.shuffled(found, asked, questions, rng)
    assert np.abs(null.detection.mean() - 0.5) < 0.1
    assert np.abs(null.fuzzing.mean() - 0.5) < 0.1


def test_a_pair_is_told_where_its_second_token_alone_is_common():
    store = texts(1)
    places = fired(store).of(1)[0]
    # Token 5 stands alone four times for each time after 7.
    extra = np.random.default_rng(0).choice(np.flatnonzero(store.token > 21), 900, replace=False)
    token = store.token.copy()
    token[extra] = 5
    crowded = Store(store.values, store.document, store.position, token, store.rows)
    before = np.where(np.diff(store.document, prepend=-1) == 0, np.roll(token, 1), -1)
    places = np.flatnonzero((token == 5) & (before == 7))
    found = ngrams.explain(ngrams.Grams.of(crowded), places)
    told = ngrams.words(found, {5: "five", 7: "seven"})
    assert "five" in told or "seven [five]" in told
    assert found.recall > 0.9


def test_windows_hold_every_activation_once_and_no_two_documents():
    store = texts(1, documents=7, length=45)
    found = scoring.windows(store)
    real = found[found >= 0]
    assert np.array_equal(np.sort(real), np.arange(len(store)))
    for window in found:
        assert len(np.unique(store.document[window[window >= 0]])) == 1


@pytest.fixture
def network():
    return Network(drawn(Bag()), reader())


def frame(count=40):
    rng = np.random.default_rng(5)
    words = ["good", "unlikely", "film", "unlike", "good!"]
    return deep.text_frame([" ".join(rng.choice(words, rng.integers(1, 7))) for _ in range(count)])


def test_a_store_holds_what_flows_at_every_token(tmp_path, network):
    site, table = Site("embedding"), frame()
    store = collect(network, table, site, tokens=10_000)
    for document in (0, 7, 39):
        batch = network.reader.batch(table.iloc[[document]])
        value = network.run(batch, capture=[site]).captured[site][0].numpy()
        part = store.document == document
        assert np.array_equal(store.values[part], value[store.position[part]])
        ids = batch["input_ids"][0].numpy()
        assert np.array_equal(store.token[part], ids[store.position[part]])
    again = collect(network, table, site, tokens=10_000, folder=tmp_path)
    assert isinstance(again.values, np.memmap)
    assert np.array_equal(again.values, store.values)
    few = collect(network, table, site, tokens=20)
    assert 20 <= len(few) < 40
    first, second = store.split()
    assert len(first) + len(second) == len(store)
    assert np.array_equal(np.concatenate([first.values, second.values]), store.values)
    assert second.document[0] == 0


def test_a_source_gives_every_activation_once_a_pass(network):
    store = collect(network, frame(), Site("embedding"), tokens=64)
    step = store.source(8, 3)
    steps = len(store) // 8
    seen = torch.cat([step(number) for number in range(steps)])
    assert len(seen) == 8 * steps
    assert torch.equal(step(2), store.source(8, 3)(2))
    assert not torch.equal(step(0), step(steps))
    with pytest.raises(MethodError, match="no batch"):
        store.source(len(store) + 1, 0)


def test_tables_and_pictures_give_vectors():
    table = Network(torch.nn.Linear(2, 3), TableReader(("a", "b")))
    rows = pd.DataFrame({"a": np.arange(5.0), "b": np.ones(5)})
    store = collect(table, rows, Site(""), tokens=4)
    assert store.values.shape == (4, 3)
    assert store.token is None
    with pytest.raises(MethodError, match="read texts"):
        ngrams.Grams.of(store)
    pictures = Network(torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.Flatten()), deep.ImageReader())
    images = deep.image_frame(np.random.default_rng(0).integers(0, 255, (3, 6, 6, 3)).astype(np.uint8))
    assert collect(pictures, images, Site("0"), tokens=100).values.shape == (3 * 16, 5)


def test_firings_are_the_latents_that_are_not_zero(network):
    store = collect(network, frame(), Site("embedding"), tokens=1000)
    eye = torch.eye(8)
    one = Dictionary(eye, torch.zeros(8), eye, torch.zeros(8), "relu")
    found = firings(one, store)
    place, value = found.of(2)
    assert np.array_equal(place, np.flatnonzero(store.values[:, 2] > 0))
    assert np.allclose(value, store.values[place, 2])
    assert found.counts.sum() == (store.values > 0).sum()

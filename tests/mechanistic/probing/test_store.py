"""Questions to a store are answered as by hand, and what is no store is told in one line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.mechanistic.probing.stores import large
from xai_audit.errors import UnavailableError
from xai_audit.mechanistic.probing import store as stores


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return large(tmp_path_factory.mktemp("stores") / "store", 400)


def test_by_predicate(made):
    store, _ = made
    answer = store.by_predicate("p2", 3)
    assert (answer.hits[0].site, answer.hits[0].unit) == ("mlp", 2)
    assert answer.hits[0].p == 0.05
    assert answer.hits[1].p > 0.05
    assert answer.hits[0].auroc == answer.hits[0].score > 0.8
    assert answer.units == 400
    assert [hit.site for hit in store.by_predicate("p2", 3, "sae").hits] == ["sae"] * 3


def test_near_is_the_correlation(made):
    store, _ = made
    hit = store.near("mlp", 77, 2).hits[0]
    assert (hit.site, hit.unit) == ("mlp", 78)
    assert hit.score > 0.95
    assert store.near("mlp", 78, 1).hits[0].unit == 77


def test_like_an_example_and_like_a_row(made):
    store, contrast = made
    example = np.zeros((1, 400), dtype=np.float32)
    example[0, 301] = -9.0
    hit = store.like(example, 1).hits[0]
    assert (hit.site, hit.unit) == ("sae", 101)
    assert hit.score == pytest.approx(-9, abs=1.5)
    answer = store.like_row(17, 3)
    assert all(17 in hit.contexts for hit in answer.hits if hit.score > 0)
    del contrast


def test_contrast_of_new_examples(made):
    store, contrast = made
    answer = store.contrast(contrast[:50], contrast[50:], 2)
    first = answer.hits[0]
    assert (first.site, first.unit, first.p) == ("mlp", 5, 0.01)
    assert answer.hits[1].p > 0.05
    expected = roc_auc_score(np.repeat([1, 0], 50), contrast[:, 5])
    assert first.auroc == pytest.approx(expected, abs=1e-12)


def test_a_contrast_of_nothing_is_rarely_something(made):
    store, _ = made
    wrong = 0
    for rep in range(60):
        drawn = np.random.default_rng([rep, 8]).normal(size=(40, 400)).astype(np.float32)
        hit = store.contrast(drawn[:20], drawn[20:], 1, permutations=39, rng=np.random.default_rng(rep)).hits[
            0
        ]
        wrong += hit.p <= 0.05
    assert wrong / 60 <= 0.05 + 2 * (0.05 * 0.95 / 60) ** 0.5


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (
            lambda store: store.by_predicate("p9"),
            "no predicate 'p9' in this store; there are: p0, p1, p2, p3",
        ),
        (lambda store: store.near("mlp", 200), "mlp has units 0 to 199, no 200"),
        (lambda store: store.near("attn", 0), "no site 'attn' in this store; there are: mlp, sae"),
        (lambda store: store.like_row(256), "there are rows 0 to 255, no 256"),
    ],
)
def test_what_is_not_there_is_told(made, ask, told):
    with pytest.raises(UnavailableError, match=told):
        ask(made[0])


def test_what_is_no_store_is_told(tmp_path):
    with pytest.raises(UnavailableError, match="there is no neuron store here"):
        stores.Store.open(tmp_path)
    store, _ = large(tmp_path / "one", 100)
    (store.folder / "sketch.npy").write_bytes(b"no array")
    assert store.damaged() == ["sketch.npy"]
    with pytest.raises(UnavailableError, match="cannot be read"):
        stores.Store.open(store.folder)
    (store.folder / "units.arrow").write_bytes(b"")
    with pytest.raises(UnavailableError, match="cannot be read"):
        stores.Store.open(store.folder)
    (store.folder / "store.json").write_text(json.dumps({"schema": "other"}))
    with pytest.raises(UnavailableError, match="not of schema"):
        stores.Store.open(store.folder)

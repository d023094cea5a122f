"""Integrated gradients as evidence: closed forms, completeness, controls that tell, and the same bytes."""

import io
import json
import pickle

import cloudpickle
import numpy as np
import pytest
import torch
from torch import nn

from tests import deep
from tests.explainers.networks import (
    Bag,
    Convolution,
    Linear,
    image_subject,
    pictures,
    seeded,
    table_subject,
    text_subject,
)
from xai_audit.errors import MethodError
from xai_audit.explainers.integrated_gradients import METHOD
from xai_audit.measure import Settings, Step, measure
from xai_audit.mechanistic.network import Network
from xai_audit.mechanistic.readers import ImageReader, TableReader


def observed(made, *, jobs=1, min_cell=3, seed=0, **params):
    step = Step(METHOD, METHOD.params(**params), METHOD.id)
    return measure(made, [step], Settings(seed=seed, jobs=jobs, min_cell=min_cell, debug=True))


def by_name(outcome):
    return {piece.id.partition("/")[2]: piece for piece in outcome.evidence}


def array(outcome, name, part=""):
    piece = by_name(outcome)[part]
    with np.load(io.BytesIO(outcome.arrays[piece.arrays[name]])) as content:
        return content[name]


def region(classes=("no", "yes"), n=40):
    """Pictures of a linear network that looks at a corner."""
    weights = np.zeros((2, 16, 16), dtype=np.float32)
    weights[1, :4, :4] = np.random.default_rng(0).normal(size=(4, 4)) * 0.1
    return image_subject(Linear(weights), classes=classes, n=n), weights


# ---------------------------------------------------------------------------------------------- known answers
def test_a_linear_network_of_pictures_gives_weight_times_change():
    made, weights = region()
    outcome = observed(made, rows=None, baseline="black", beside=(), twins=0)
    values = array(outcome, "values")
    pixels = np.stack(list(made.test.frame["image"])).astype(float) / 255
    expected = weights[1] * (pixels / 0.25).sum(axis=3)
    assert values.dtype == np.float32
    assert np.allclose(values, expected, rtol=2e-4, atol=1e-6)
    assert array(outcome, "row").tolist() == list(range(40))
    found = by_name(outcome)
    assert found["completeness"].observation.estimate.high < 1e-4
    assert found["completeness"].params["steps_used"] == {"least": 50, "median": 50.0, "most": 50}
    best = found[""].observation.items[0]
    assert (best.name, best.rank_low, best.rank_high) == ("row 1, column 1", 1, 1)
    assert [item.estimate.value for item in found[""].observation.items[1:]] == [0.0] * 15


def test_the_order_of_a_linear_networks_pixels_is_its_own():
    made, _ = region()
    found = by_name(observed(made, rows=None, beside=(), twins=0))
    for part in ("deletion", "insertion"):
        assert found[part].rung == "associated"
        assert found[part].observation.estimate.low > 0


def test_a_sum_of_embeddings_gives_each_word_its_own_weight():
    made = text_subject(seeded(Bag))
    outcome = observed(made, rows=None, twins=0, beside=())
    module = made.model.network.module
    worth = ((module.words.weight - module.words.weight[0]) @ module.out.weight[1]).detach().numpy()
    reader = made.model.network.reader
    flat, shapes = array(outcome, "values"), array(outcome, "values_shape")
    place = 0
    for text, (size, _, _) in zip(made.test.frame["text"], shapes, strict=True):
        ids = reader.encodings([text])[0].ids[1:-1]
        assert size == len(ids)
        assert np.allclose(flat[place : place + size], worth[ids], rtol=2e-4, atol=1e-6)
        place += size
    found = by_name(outcome)
    named = {item.name: item for item in found[""].observation.items}
    word = reader.encodings(["dull"])[0].ids[1]
    often = [
        text.split().count("dull") + text.count("dull.") + text.count("dull!")
        for text in made.test.frame["text"]
    ]
    held = [count for count in often if count]
    assert named["dull"].estimate.n == len(held)
    assert named["dull"].estimate.value == pytest.approx(abs(worth[word]) * np.mean(held), rel=1e-4)
    assert all(item.detail["texts"] >= 3 for item in named.values())


def test_a_linear_table_is_ranked_by_its_weights():
    made = table_subject(seeded(lambda: nn.Linear(4, 2)))
    with torch.no_grad():
        made.model.network.module.weight[:] = torch.tensor([[0.0] * 4, [3.0, -2.0, 0.5, 0.0]])
    outcome = observed(made, rows=None, baseline="zero")
    values = made.test.frame.to_numpy()
    assert np.allclose(array(outcome, "values"), values * [3, -2, 0.5, 0], rtol=2e-4, atol=1e-6)
    items = by_name(outcome)[""].observation.items
    assert [item.name for item in items] == ["x0", "x1", "x2", "x3"]
    assert items[0].detail["mean_signed"] == pytest.approx(3 * values[:, 0].mean(), rel=1e-4)
    case = by_name(outcome)["local"].observation.cases[0]
    assert set(case) == {"why", "base", "score", "threshold", "items"}
    assert case["base"] + sum(item["phi"] for item in case["items"]) == pytest.approx(case["score"], abs=1e-5)


# ---------------------------------------------------------------------------------------------- completeness
def test_completeness_is_under_one_per_cent_for_every_row_of_a_network_with_kinks():
    outcome = observed(image_subject(n=24), rows=None, beside=(), twins=0)
    about = by_name(outcome)["completeness"]
    assert about.params["largest"] < 0.01
    assert about.observation.estimate.high < 0.01
    assert about.observation.estimate.n == 24
    # Pixels add up to what was said: nothing is lost between the network and the evidence.
    values, base, told = (array(outcome, name) for name in ("values", "base", "output"))
    change = told - base
    assert (np.abs(values.sum(axis=(1, 2), dtype=float) - change) < 0.012 * np.abs(change) + 1e-3).all()


def test_rows_that_miss_the_tolerance_are_said():
    about = by_name(observed(image_subject(n=24), rows=None, beside=(), twins=0, steps=2, most_steps=4))
    assert any(
        "miss the tolerance at the most steps allowed (4)" in limit for limit in about["completeness"].limits
    )


def test_probabilities_can_be_explained():
    made = image_subject(n=12)
    outcome = observed(made, rows=None, output="probability", beside=(), twins=0)
    told = array(outcome, "output")
    assert told == pytest.approx(made.scores[np.arange(12), made.prediction], abs=1e-6)
    assert by_name(outcome)["local"].observation.cases[0]["unit"] == "change in probability"


def test_a_network_that_says_the_same_of_everything_has_no_completeness():
    made = table_subject(seeded(lambda: nn.Linear(4, 2)))
    with torch.no_grad():
        made.model.network.module.weight.zero_()
    found = by_name(observed(made, twins=0, beside=()))
    assert found["completeness"].observation.estimate.value == 0
    assert found["deletion"].observation.estimate.value == 0
    assert found["deletion"].rung == "described"


# ---------------------------------------------------------------------------------------------- controls
def learned(seed):
    """A network trained to see how bright the left is beside the right, and pictures of both kinds."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, 300)
    images = rng.integers(0, 120, (300, 16, 16, 1)).astype(np.uint8)
    images[label == 1, 4:12, 1:6] += 100
    images[label == 0, 4:12, 10:15] += 100
    reader = ImageReader(mean=(0.5,), std=(0.25,))
    module = seeded(lambda: Convolution(1, 2), seed + 100)
    x, y = reader.batch(deep.image_frame(images[:200])), torch.from_numpy(label[:200])
    optimiser = torch.optim.Adam(module.parameters(), lr=0.02)
    for _ in range(25):
        optimiser.zero_grad()
        nn.functional.cross_entropy(module(x), y).backward()
        optimiser.step()
    return deep.subject(
        Network(module, reader),
        deep.rows(deep.image_frame(images[200:]), label[200:]),
        "image",
        train=deep.rows(deep.image_frame(images[:200]), label[:200]),
    )


def test_what_a_trained_network_uses_is_found_and_its_twins_do_not_know_it():
    made = learned(0)
    assert (made.prediction == made.test.target).mean() > 0.9
    found = by_name(observed(made, rows=32, checked=12, twins=4))
    for part in ("deletion", "insertion"):
        assert [control.name for control in found[part].controls] == [
            "random order of the same parts",
            "order by the same network with its weights permuted",
        ]
        assert all(control.passed for control in found[part].controls), part
        assert found[part].rung == "associated"
        assert found[part].observation.estimate.n == 32
    assert found["twin"].observation.estimate.n == 12
    assert found["twin"].observation.estimate.value < 0.5
    assert not found["twin"].controls
    assert set(found["baselines"].params["compared"]) == {"mean, black", "mean, blur", "black, blur"}
    assert -1 <= found["baselines"].observation.estimate.value <= 1


def test_a_network_that_was_never_trained_has_an_order_of_its_own_too():
    # Removal in order shows that attributions fit the network, not that the network has learned anything.
    found = by_name(observed(image_subject(n=24), rows=None, beside=(), twins=0))
    assert found["deletion"].rung == "associated"


def test_other_baselines_can_be_named_or_left_out():
    made = table_subject()
    found = by_name(observed(made, rows=8, beside=("zero",), twins=0))
    assert set(found["baselines"].params["compared"]) == {"mean, zero"}
    assert "twin" not in found
    assert len(found["deletion"].controls) == 1
    assert "baselines" not in by_name(observed(made, rows=8, beside=("mean",), twins=0))


# ---------------------------------------------------------------------------------------------- cases
def test_picture_cases_fit_the_report_and_hold_no_row():
    made = image_subject(n=12)
    found = by_name(observed(made, rows=None, beside=(), twins=0))
    for case in found["local"].observation.cases:
        assert case["kind"] == "image"
        assert case["picture"]["width"] == case["map"]["width"] == 16
        assert case["explained"] == case["predicted"] in made.classes
        assert case["base"] + sum(map(sum, case["map"]["values"])) == pytest.approx(case["score"], abs=0.02)
        json.dumps(case)
    assert set(found) == {"", "coverage", "local", "completeness", "deletion", "insertion"}


def test_text_cases_hold_the_whole_text():
    made = text_subject()
    cases = by_name(observed(made, rows=None, beside=(), twins=0))["local"].observation.cases
    texts = set(made.test.frame["text"])
    for case in cases:
        assert case["kind"] == "text"
        assert "".join(token["text"] for token in case["tokens"]) in texts
        total = sum(token["phi"] for token in case["tokens"] if token["phi"] is not None)
        assert case["base"] + total == pytest.approx(case["score"], abs=1e-4)
        assert case["explained"] == "positive"


# ---------------------------------------------------------------------------------------------- the same bytes
def test_a_subject_that_was_sent_to_a_worker_gives_the_same_bytes():
    made = image_subject(n=20)
    here, there = (
        observed(one, rows=18, checked=4, twins=2) for one in (made, pickle.loads(cloudpickle.dumps(made)))
    )
    assert here.evidence == there.evidence
    assert here.arrays == there.arrays


def test_a_row_gets_the_same_whatever_stands_beside_it():
    made = image_subject(n=20)
    whole = observed(made, rows=None, beside=(), twins=0)
    part = observed(made, rows=5, beside=(), twins=0)
    rows = array(part, "row")
    assert np.array_equal(array(whole, "values")[rows], array(part, "values"))


def test_the_seed_moves_only_what_is_drawn():
    made = image_subject(n=20)
    one, other = (observed(made, rows=None, beside=(), twins=0, seed=seed) for seed in (0, 1))
    assert np.array_equal(array(one, "values"), array(other, "values"))
    assert by_name(one)["deletion"].observation != by_name(other)["deletion"].observation


# ---------------------------------------------------------------------------------------------- what does not apply
def test_models_without_a_network_and_columns_of_words_are_told():
    made = table_subject()
    words = type(made)(
        **{**made.__dict__, "columns": (type(made.columns[0])("x0", "categorical"), *made.columns[1:])}
    )
    with pytest.raises(MethodError, match="not numeric: x0"):
        observed(words)
    closed = type(made)(**{**made.__dict__, "model": None})
    (piece,) = observed(closed).evidence
    assert piece.status == "skipped"
    with pytest.raises(MethodError, match="no baseline 'mask' for tables"):
        observed(made, baseline="mask")


def test_rows_without_a_finite_output_are_left_out_and_counted():
    made = table_subject()
    frame = made.test.frame.copy()
    frame.iloc[3, 0] = np.nan
    gap = deep.subject(
        Network(made.model.network.module, TableReader(tuple(frame.columns))),
        deep.rows(frame, made.test.target),
        "table",
        train=made.train,
    )
    found = by_name(observed(gap, rows=None, beside=(), twins=0))
    assert found["coverage"].observation.estimate.value == 59 / 60
    assert found[""].observation.items[0].estimate.n == 59


def test_grey_pictures_of_uneven_sides_and_no_training_table():
    images = pictures(6, channels=1)[:, :, :11]
    module = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(16 * 11, 3)))
    made = deep.subject(
        Network(module, ImageReader()), deep.rows(deep.image_frame(images)), "image", classes=("a", "b", "c")
    )
    found = by_name(observed(made, rows=None, checked=4, twins=2))
    assert all(piece.status == "measured" for piece in found.values())
    assert found[""].params["reference"] == "test"

"""Occlusion: windows that cover everything, captum's numbers, and models without gradients."""

import io
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import deep
from tests.explainers.networks import Linear, image_subject, seeded, table_subject, text_subject
from tests.explainers.test_integrated_gradients import by_name
from xai_audit.errors import MethodError
from xai_audit.explainers import occlusion
from xai_audit.explainers.occlusion import METHOD, over, windows
from xai_audit.measure import Settings, Step, measure
from xai_audit.subject import Subject

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from captum.attr import Occlusion


def observed(made, *, min_cell=3, seed=0, **params):
    step = Step(METHOD, METHOD.params(**params), METHOD.id)
    return measure(made, [step], Settings(seed=seed, min_cell=min_cell, debug=True))


def array(outcome, name, part=""):
    piece = by_name(outcome)[part]
    with np.load(io.BytesIO(outcome.arrays[piece.arrays[name]])) as content:
        return content[name]


# ---------------------------------------------------------------------------------------------- windows
@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 9), st.integers(0, 8))
@settings(max_examples=60, deadline=None)
def test_windows_are_laid_row_by_row_and_cover_everything(height, width, window, less):
    stride = max(window - less, 1)
    laid = windows((height, width), window, stride)
    assert len(set(map(str, laid))) == len(laid)
    assert max(one[0].stop for one in laid) == height
    assert max(one[1].stop for one in laid) == width
    covered = over((height, width), laid, np.ones(len(laid)), shares=False)
    assert (covered == 1).all()


def test_a_stride_that_leaves_gaps_is_refused():
    with pytest.raises(MethodError, match="a stride wider than the window"):
        observed(image_subject(n=2), window=2, stride=3)


def test_shares_of_windows_side_by_side_add_up_to_the_changes():
    laid = windows((10, 7), 4, 4)
    changes = np.random.default_rng(0).normal(size=len(laid))
    assert over((10, 7), laid, changes, shares=True).sum() == pytest.approx(changes.sum())


# ---------------------------------------------------------------------------------------------- captum
@pytest.mark.parametrize(("window", "stride"), [(4, 4), (5, 3), (3, 1)])
def test_equal_to_captum(window, stride):
    made = image_subject(n=3)
    network = made.model.network
    target = made.prediction
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = Occlusion(network.module).attribute(
            network.reader.batch(made.test.frame),
            sliding_window_shapes=(3, window, window),
            strides=(3, stride, stride),
            baselines=-2.0,  # black after the reader
            target=torch.from_numpy(target),
        )
    params = METHOD.params(window=window, stride=stride, cover="black", output="margin")
    for row in range(3):
        cell = made.test.frame.iloc[row, 0]
        shape, laid = occlusion._laid(made, params, cell)
        covered = [occlusion._covered(made, params, cell, one, None) for one in laid]
        told = made.evaluate(deep.image_frame([cell, *covered]), "margin")[:, target[row]]
        found = over(shape, laid, told[0] - told[1:], shares=False)
        assert np.abs(found - theirs[row, 0].numpy()).max() < 1e-5


# ---------------------------------------------------------------------------------------------- known answers
def test_a_linear_network_of_pictures_changes_by_the_weights_in_the_window():
    weights = np.zeros((2, 16, 16), dtype=np.float32)
    weights[1, :4, :4] = np.random.default_rng(0).normal(size=(4, 4)) * 0.1
    made = image_subject(Linear(weights), classes=("no", "yes"), n=20)
    outcome = observed(made, rows=None, window=4, cover="black", output="margin")
    pixels = np.stack(list(made.test.frame["image"])).astype(float) / 255
    change = (weights[1] * (pixels / 0.25).sum(axis=3))[:, :4, :4].sum(axis=(1, 2))
    values = array(outcome, "values")
    assert np.allclose(values[:, :4, :4].sum(axis=(1, 2), dtype=float), change, rtol=1e-3, atol=1e-4)
    assert np.abs(values[:, 4:]).max() < 1e-6
    found = by_name(outcome)
    assert found[""].observation.items[0].name == "row 1, column 1"
    assert found[""].params["windows"] == {"fewest": 16, "most": 16}
    case = found["local"].observation.cases[0]
    assert case["base"] is None
    assert found["local"].title == "Changes for single rows"


@pytest.mark.parametrize("cover", occlusion.COVERS)
def test_every_cover_is_what_it_is_said_to_be(cover):
    made = image_subject(n=4)
    params = METHOD.params(cover=cover)
    cell = made.test.frame.iloc[0, 0]
    blurred = occlusion._blurred(cell)
    painted = occlusion._covered(made, params, cell, (slice(2, 6), slice(0, 3)), blurred)
    pixels = np.stack(list(made.train.frame["image"])).reshape(-1, 3)
    expected = {
        "black": 0, "white": 255, "mean": np.floor(pixels.mean(axis=0) + 0.5), "blur": blurred[2:6, :3],
    }[cover]  # fmt: skip
    assert (painted[2:6, :3] == expected).all()
    changed = (painted != cell).any(axis=2)
    assert not changed[:2].any()
    assert not changed[:, 3:].any()
    assert blurred.std() < 0.4 * cell.std()
    assert observed(made, rows=2, cover=cover).evidence[1].status == "measured"


def test_a_sum_of_embeddings_changes_by_the_word_left_out():
    made = text_subject(n=12)
    outcome = observed(made, rows=None, output="margin")
    module, reader = made.model.network.module, made.model.network.reader
    worth = (module.words.weight @ module.out.weight[1]).detach().numpy()
    ids = np.concatenate([reader.encodings([text])[0].ids[1:-1] for text in made.test.frame["text"]])
    assert np.allclose(array(outcome, "values"), worth[ids], rtol=1e-3, atol=1e-5)
    assert by_name(outcome)[""].observation.items[0].detail["texts"] >= 3


def test_long_texts_get_wider_windows_and_say_so():
    made = text_subject(given=["good " * 30, "bad film", ""])
    found = by_name(observed(made, rows=None, most=10))
    assert found["local"].params["windows"] == {"fewest": 0, "most": 10}
    assert found["local"].params["window_used"] == {"narrowest": 0, "widest": 3}
    assert "1 long texts got wider windows, so that none has more than 10" in found["local"].limits


# ---------------------------------------------------------------------------------------------- any model
class Counting:
    """A model of texts without gradients: how often a word stands there."""

    format = "python"
    sha256 = "0" * 64
    classes = ("no", "yes")
    probabilities = True
    features = None
    details: dict = {}  # noqa: RUF012
    native = None
    network = None

    def scores(self, frame):
        count = np.asarray([min(text.lower().split().count("bad"), 4) for text in frame["text"]])
        return np.stack([1 - count / 4, count / 4], axis=1)

    def margin(self, frame):
        del frame


def test_a_model_without_gradients_is_explained_and_has_no_margin():
    known = text_subject(given=["a bad film", "a good film", "bad , bad", "very bad plot"])
    made = Subject(**{**known.__dict__, "model": Counting(), "scores": Counting().scores(known.test.frame)})
    found = by_name(observed(made, rows=None, min_cell=2))
    (bad, *rest) = found[""].observation.items
    assert (bad.name, bad.estimate.value) == ("bad", (0.25 + 0.5 + 0.25) / 3)
    assert all(item.estimate.value == 0 for item in rest)
    with pytest.raises(MethodError, match="no output before the link"):
        observed(made, output="margin")


def test_tables_are_for_other_methods():
    (piece,) = observed(table_subject()).evidence
    assert (piece.status, piece.reason) == (
        "skipped", "it is defined for images and texts; these rows are a table",
    )  # fmt: skip


def test_where_a_network_looks_is_found_by_covering_it():
    weights = np.zeros((2, 16, 16), dtype=np.float32)
    weights[1, 8:12, 8:12] = seeded(lambda: torch.randn(4, 4)).numpy() * 0.1
    found = by_name(observed(image_subject(Linear(weights), classes=("no", "yes"), n=30), rows=None))
    assert found[""].observation.items[0].name == "row 3, column 3"
    assert found["deletion"].rung == found["insertion"].rung == "associated"

"""Pictures come back as they were, maps keep their sum, texts are whole, and the rows shown are those said."""

import base64
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from tests.explainers.networks import image_subject, text_subject
from xai_audit.explainers.attributions import overlays

ABOUT = {
    "why": "w", "label": None, "predicted": "a", "explained": "b", "score": 0.5, "base": None, "unit": "u",
}  # fmt: skip


def opened(shown):
    return Image.open(io.BytesIO(base64.b64decode(shown["png"])))


# ---------------------------------------------------------------------------------------------- pictures
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 2, 3, 4])).flatmap(
        lambda shape: arrays(np.uint8, shape)
    )
)
@settings(max_examples=30, deadline=None)
def test_a_small_picture_comes_back_pixel_for_pixel(array):
    shown = overlays.picture(array)
    image = opened(shown)
    assert image.mode == {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[array.shape[2]]
    assert (shown["width"], shown["height"]) == image.size == (array.shape[1], array.shape[0])
    assert np.array_equal(np.asarray(image).reshape(array.shape), array)
    assert overlays.picture(array) == shown


def test_a_grey_picture_without_an_axis_of_channels_is_grey():
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert overlays.picture(array) == overlays.picture(array[..., None])


def test_a_large_picture_is_averaged_down_in_its_proportions():
    array = np.zeros((200, 400, 3), dtype=np.uint8)
    array[:, 200:] = 250
    shown = overlays.picture(array)
    assert (shown["width"], shown["height"]) == (96, 48)
    pixels = np.asarray(opened(shown))
    assert (pixels[:, :48] == 0).all()
    assert (pixels[:, 48:] == 250).all()


def test_averaging_keeps_the_mean_of_a_picture():
    array = np.random.default_rng(0).integers(0, 256, (301, 170), dtype=np.uint8)
    pixels = np.asarray(opened(overlays.picture(array)), dtype=float)
    assert pixels.shape == (96, 54)
    assert pixels.mean() == pytest.approx(array.mean(), abs=0.6)


# ---------------------------------------------------------------------------------------------- maps
@given(st.integers(1, 300), st.integers(1, 300))
@settings(max_examples=40, deadline=None)
def test_a_map_has_few_cells_and_keeps_its_total(height, width):
    values = np.random.default_rng(height * 1000 + width).normal(size=(height, width))
    shown = overlays.heat(values)
    assert shown["width"] == len(shown["values"][0]) <= overlays.CELLS
    assert shown["height"] == len(shown["values"]) <= overlays.CELLS
    assert overlays.cells(values, overlays.CELLS).sum() == pytest.approx(values.sum(), abs=1e-9)


def test_a_map_of_fitting_size_is_kept_and_rounded_to_three_digits():
    shown = overlays.heat(np.array([[1.23456, -0.00098765], [1e-12, 0.0]]))
    assert shown == {"width": 2, "height": 2, "values": [[1.23, -0.000988], [1e-12, 0.0]]}


def test_cells_are_of_one_size_where_a_fair_number_divides_the_axis():
    assert set(np.diff(overlays.edges(224, 64))) == {4}
    assert set(np.diff(overlays.edges(96, 64))) == {2}
    assert set(np.diff(overlays.edges(32, 64))) == {1}
    assert len(overlays.edges(299, 64)) == 65


def test_what_is_not_finite_is_shown_as_nothing():
    assert overlays.heat(np.array([[np.nan, np.inf]]))["values"] == [[0.0, 0.0]]


def test_an_image_case_has_the_keys_that_the_report_reads():
    case = overlays.image_case(np.zeros((4, 4, 3), dtype=np.uint8), np.ones((2, 2)), **ABOUT)
    assert case["kind"] == "image"
    assert set(case) == {
        "kind", "why", "label", "predicted", "explained", "score", "base", "unit", "picture", "map",
    }  # fmt: skip


# ---------------------------------------------------------------------------------------------- texts
def test_a_text_is_whole_and_in_reading_order():
    text = "  Hello, big\nworld! "
    spans = [(13, 18), (2, 7), (9, 12)]
    case = overlays.text_case(text, spans, [3, 1, 2], **ABOUT)
    assert "".join(token["text"] for token in case["tokens"]) == text
    assert [(t["text"], t["phi"]) for t in case["tokens"] if t["phi"] is not None] == [
        ("Hello", 1.0), ("big", 2.0), ("world", 3.0),
    ]  # fmt: skip
    assert all(t["low"] is None and t["high"] is None for t in case["tokens"])


def test_intervals_go_with_their_tokens():
    case = overlays.text_case("a b", [(2, 3), (0, 1)], [2, 1], [1.5, 0.5], [2.5, None], **ABOUT)
    told = [(t["text"], t["low"], t["high"]) for t in case["tokens"]]
    assert told == [("a", 0.5, None), (" ", None, None), ("b", 1.5, 2.5)]


def test_spans_that_overlap_do_not_repeat_a_character():
    case = overlays.text_case("abcd", [(0, 3), (2, 4), (1, 2)], [1, 2, 3], **ABOUT)
    assert [t["text"] for t in case["tokens"]] == ["abc", "d"]


# ---------------------------------------------------------------------------------------------- which rows, which class
def test_two_classes_explain_the_positive_one_and_more_the_predicted_one():
    two, three = text_subject(), image_subject()
    rows = np.arange(5)
    assert overlays.explained(two, rows).tolist() == [1] * 5
    assert overlays.explained(three, rows).tolist() == three.prediction[:5].tolist()
    assert overlays.explained_words(two) == "the positive class (positive)"
    assert overlays.explained_words(three) == "each row's predicted class"
    told = overlays.named(three, 0, int(three.prediction[0]))
    assert told["predicted"] == told["explained"] == three.classes[three.prediction[0]]
    assert told["label"] == three.classes[three.test.target[0]]


def test_rows_are_shown_once_each_and_for_the_reasons_said():
    made = image_subject(n=60)
    rows = np.arange(60)
    own = made.scores[rows, made.prediction]
    shown = overlays.shown(made, rows)
    assert 3 <= len(shown) <= 6
    assert len({position for _, position in shown}) == len(shown)
    why = {reason: position for text, position in shown for reason in text.split("; ")}
    assert why["the highest score"] == own.argmax()
    assert why["the least sure"] == own.argmin()
    wrong = made.prediction != made.test.target
    assert why["the surest mistake"] == np.where(wrong, own, -1).argmax()
    assert overlays.shown(made, rows[:0]) == []

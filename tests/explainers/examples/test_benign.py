import numpy as np
import pytest

from xai_audit.explainers.examples.benign import PICTURES, TEXTS, brightened, reencoded, shifted, stopped


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("name", PICTURES)
def test_a_changed_picture_keeps_shape_and_type_and_stays_near(name, channels):
    rows, columns = np.mgrid[:24, :30]
    picture = np.stack([(100 + 3 * rows + (c + 1) * columns) % 200 for c in range(channels)], axis=-1)
    picture = picture.astype(np.uint8)
    before = picture.copy()
    changed = PICTURES[name](picture)
    assert changed.shape == picture.shape
    assert changed.dtype == np.uint8
    assert np.abs(changed.astype(int) - picture).mean() < 25
    assert not np.array_equal(changed, picture)
    assert np.array_equal(picture, before)


def test_a_jpeg_leaves_alpha_alone():
    picture = np.random.default_rng(0).integers(0, 256, (9, 9, 4)).astype(np.uint8)
    assert np.array_equal(reencoded(picture, 75)[..., 3], picture[..., 3])


def test_brightness_is_rounded_and_kept_within_bounds():
    picture = np.array([[[0], [10], [100], [250]]], dtype=np.uint8)
    assert brightened(picture, 1.05).ravel().tolist() == [0, 11, 105, 255]
    assert brightened(picture, 0.95).ravel().tolist() == [0, 10, 95, 238]


def test_a_shift_repeats_the_edge():
    picture = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    assert shifted(picture, 1)[..., 0].tolist() == [[0, 0, 1], [3, 3, 4]]
    assert shifted(picture, 0)[..., 0].tolist() == [[0, 1, 2], [0, 1, 2]]


def test_final_punctuation_comes_and_goes():
    assert stopped("Good.") == "Good"
    assert stopped("Good ") == "Good."
    assert stopped("") == "."
    assert TEXTS["every space twice"]("a b c") == "a  b  c"
    assert TEXTS["lower case"]("Straße A") == "straße a"

from __future__ import annotations

import warnings

import numpy as np
import pytest

from tests.explainers.games import pictures
from xai_audit.explainers.coalitions.superpixels import blurred, grid, in_colour, mean_colours, superpixels

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from lime.wrappers.scikit_image import SegmentationAlgorithm


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("how", ["slic", "quickshift"])
def test_parts_are_counted_from_nought_without_gaps(how, channels):
    picture = pictures(1, 16, channels)[0]
    parts = superpixels(picture, how, 12)
    assert parts.shape == (16, 16)
    assert np.unique(parts).tolist() == list(range(parts.max() + 1))
    assert (parts == superpixels(picture.copy(), how, 12)).all()


def test_quickshift_has_limes_settings():
    rng = np.random.default_rng(1)
    picture = np.kron(rng.integers(0, 256, (6, 6, 3)), np.ones((12, 12, 1))).astype(np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = SegmentationAlgorithm("quickshift", kernel_size=4, max_dist=200, ratio=0.2, random_seed=7)(
            picture
        )
    ours = superpixels(picture, "quickshift")
    assert ours.max() > 1
    assert (ours == theirs).all()


def test_slic_makes_about_as_many_as_asked_where_no_edges_lead_it():
    ramp = np.add.outer(np.arange(64), np.arange(64))[..., None].repeat(3, axis=2).astype(np.uint8)
    for asked in (10, 40):
        found = superpixels(ramp, "slic", asked).max() + 1
        assert asked / 2 <= found <= asked * 1.5


@pytest.mark.parametrize(
    ("height", "width", "asked"), [(16, 16, 16), (9, 31, 50), (3, 3, 50), (1, 7, 4), (40, 8, 20)]
)
def test_a_grid_has_about_as_many_cells_nearly_alike(height, width, asked):
    cells = grid(height, width, asked)
    sizes = np.bincount(cells.ravel())
    assert sizes.min() > 0
    assert len(sizes) <= height * width
    assert len(sizes) >= min(asked, height * width) / 2
    assert sizes.max() <= 4 * max(sizes.min(), 1)


def test_mean_colours_are_cut_to_whole_numbers():
    picture = np.asarray([[[1, 0, 9], [2, 1, 9]], [[7, 7, 7], [7, 7, 7]]], dtype=np.uint8)
    means = mean_colours(picture, np.asarray([[0, 0], [1, 1]]))
    assert means[0].tolist() == [[1, 0, 9]] * 2
    assert means[1].tolist() == [[7, 7, 7]] * 2


def test_a_blurred_picture_keeps_its_brightness_and_a_flat_one_stays():
    picture = pictures(1, 32)[0]
    soft = blurred(picture)
    assert soft.mean() == pytest.approx(picture.mean(), abs=6)
    assert soft.std() < picture.std()
    assert (blurred(np.full((5, 5, 1), 77, dtype=np.uint8)) == 77).all()


def test_grey_pictures_are_seen_in_three_equal_colours():
    assert in_colour(pictures(1, 8, 1)[0]).shape == (8, 8, 3)
    assert in_colour(pictures(1, 8, 4)[0]).shape == (8, 8, 3)

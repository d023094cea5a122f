"""A watermark planted in pictures is found by attributions, concepts and prototypes, and not in its clean twin."""

import numpy as np
import pytest

from benchmarks.watermark import ASKED, largest_window, marked, plant


def test_the_window_with_the_largest_attribution_is_where_it_is():
    maps = np.random.default_rng(0).normal(size=(5, 32, 32))
    maps[:, 20:24, 3:7] *= 3
    place, boxes = largest_window(maps)
    assert place == (20, 3)
    assert boxes[20, 3] == pytest.approx(np.abs(maps[:, 20:24, 3:7]).mean())
    assert boxes.shape == (29, 29)


def test_only_the_pictures_named_get_the_patch():
    made = marked(np.full((3, 32, 32), 100.0), np.array([1]), (27, 1), np.full((4, 4), 255.0))
    assert made.shape == (3, 32, 32, 1)
    assert (made[1, 27:31, 1:5] == 255).all()
    assert (made[[0, 2]] == 100).all()
    assert (made == 255).sum() == 16


@pytest.mark.proof
@pytest.mark.parametrize("planted", [True, False], ids=["planted", "clean"])
def test_a_planting_is_found_and_its_clean_twin_is_not(planted):
    planting = plant(100, planted=planted)
    assert (abs(planting.swing) > 0.3) is planted
    assert {name: ask(planting)[0] for name, ask in ASKED.items()} == dict.fromkeys(ASKED, planted)

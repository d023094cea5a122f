"""Areas under removal equal the definition, random orders average out, and a true order beats them."""

import numpy as np
import pytest

from tests.explainers.networks import Linear, image_subject, table_subject, text_subject
from xai_audit.explainers.attributions import parts, removal
from xai_audit.explainers.rows import exact_mean


def linear_pictures():
    weights = np.zeros((2, 16, 16), dtype=np.float32)
    weights[1, :4, :4] = 0.01
    return image_subject(Linear(weights), classes=("no", "yes"), n=12)


def test_units_are_cells_words_or_columns():
    values = np.random.default_rng(0).normal(size=(16, 16))
    cells = removal.units(image_subject(n=2), values)
    assert cells.shape == (8, 8)
    assert cells.sum() == pytest.approx(values.sum())
    assert np.array_equal(removal.units(text_subject(n=2), values[0]), values[0])


def test_the_area_of_a_picture_is_that_of_its_definition():
    made = linear_pictures()
    scoring = np.random.default_rng(1).normal(size=(8, 8))
    (found,) = removal.areas(made, [3], [[scoring]], [1])
    fill = removal.fill_of(made)
    order = np.argsort(-scoring.ravel())
    heights, shares = [], []
    for count in np.arange(11) * 64 // 10:
        picture = made.test.frame.iloc[3, 0].copy()
        for cell in order[:count]:
            y, x = divmod(cell, 8)
            picture[2 * y : 2 * y + 2, 2 * x : 2 * x + 2] = fill
        frame = made.test.frame.iloc[[3]].copy()
        frame.iat[0, 0] = picture
        heights.append(made.evaluate(frame)[0, 1])
        shares.append(count / 64)
    assert found[0] == pytest.approx(np.trapezoid(heights, shares), abs=1e-12)


def test_the_fill_is_the_mean_colour_of_the_training_pictures():
    made = image_subject()
    pixels = np.stack(list(made.train.frame["image"])).reshape(-1, 3)
    assert removal.fill_of(made).tolist() == np.floor(pixels.mean(axis=0) + 0.5).tolist()


def test_a_picture_of_another_size_than_its_map_is_emptied_in_the_same_shares():
    made = linear_pictures()
    gone = np.zeros((8, 8), dtype=bool)
    gone[:, 4:] = True
    painted = removal._painted(np.zeros((30, 20, 3), dtype=np.uint8), gone, removal.fill_of(made))
    assert (painted[:, 10:] == removal.fill_of(made).astype(np.uint8)).all()
    assert (painted[:, :10] == 0).all()


def test_taking_out_backwards_is_putting_in():
    made = table_subject()
    scoring = np.array([0.3, 2.0, -1.0, 0.5])
    (found,) = removal.areas(made, [2], [[scoring, -scoring]], [1])
    means, own = exact_mean(made.train.frame.to_numpy()), made.test.frame.iloc[2].to_numpy()
    order = np.argsort(-scoring)
    frame = made.test.frame.iloc[[2] * 5].reset_index(drop=True)
    for count in range(5):
        present = np.isin(np.arange(4), order[:count])
        frame.iloc[count] = np.where(present, own, means)
    heights = made.evaluate(frame)[:, 1]
    assert found[1] == pytest.approx(np.trapezoid(heights, np.arange(5) / 4), abs=1e-12)


def test_the_true_order_of_a_linear_model_wins():
    made = linear_pictures()
    rows = list(range(12))
    weights = made.model.network.module.weights.detach().numpy()[1]
    scorings = []
    for row in rows:
        picture = made.test.frame.iloc[row, 0].astype(float)
        change = (picture - removal.fill_of(made)).sum(axis=2) / 255 / 0.25
        scorings.append(removal.units(made, weights * change))
    found = removal.judged(made, rows, scorings, [1] * 12, 0)
    assert (found.deletion > 0).all()
    assert (found.insertion > 0).all()


def test_equal_rows_get_equal_random_orders_whatever_stands_beside_them():
    made = table_subject()
    scoring = [np.arange(4.0)] * 3
    together = removal.judged(made, [5, 6, 7], scoring, [1] * 3, 0)
    alone = removal.judged(made, [6], scoring[:1], [1], 0)
    assert alone.random[0] == together.random[1]
    assert removal.judged(made, [6], scoring[:1], [1], 1).random[0] != alone.random[0]


def test_a_table_row_loses_its_cells_to_the_mean_row():
    made = table_subject()
    (found,) = removal.areas(made, [2], [[np.array([3.0, 2.0, 1.0, 0.0])]], [1])
    means = exact_mean(made.train.frame.to_numpy())
    frame = made.test.frame.iloc[[2] * 5].reset_index(drop=True)
    for count in range(5):
        frame.iloc[count, :count] = means[:count]
    heights = made.evaluate(frame)[:, 1]
    assert found[0] == pytest.approx(np.trapezoid(heights, np.arange(5) / 4), abs=1e-12)


def test_a_text_loses_its_words_and_an_empty_one_has_none():
    made = text_subject(given=["good film.", "", "bad"])
    (found, empty, _) = removal.areas(
        made, [0, 1, 2], [[np.array([0.0, 1.0, 2.0])], [np.zeros(0)], [np.ones(1)]], [1] * 3
    )
    frame = made.test.frame.iloc[[0] * 4].reset_index(drop=True)
    frame["text"] = ["good film.", "good film", "good", ""]
    heights = made.evaluate(frame)[:, 1]
    assert found[0] == pytest.approx(np.trapezoid(heights, np.arange(4) / 3), abs=1e-12)
    assert empty[0] == pytest.approx(made.scores[1, 1], abs=1e-12)
    assert len(parts.spans("good film.")) == 3

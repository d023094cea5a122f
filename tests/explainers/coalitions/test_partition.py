from __future__ import annotations

import warnings
from itertools import permutations

import numpy as np
import pytest

from tests.explainers.games import network_subject, text_model
from xai_audit.explainers.coalitions import cuts
from xai_audit.explainers.coalitions.partition import Box, Branch, owen, phrases
from xai_audit.explainers.coalitions.players import Asker, Parts, Sentence

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import shap


def boxes(shape):
    """Every box of the tree, with how deep it lies."""
    found, waiting = [], [Box(shape)]
    while waiting:
        box = waiting.pop()
        found.append(box)
        waiting.extend(box.halves() or ())
    return found


@pytest.mark.parametrize("shape", [(4, 4, 1), (5, 3, 3), (1, 7, 2), (6, 1, 1)])
def test_the_boxes_are_the_clusters_of_the_shap_library(shape):
    size = int(np.prod(shape))
    clustering = shap.maskers.Image(0, shape).clustering
    members = [{leaf} for leaf in range(size)]
    for left, right, *_ in clustering:
        members.append(members[int(left)] | members[int(right)])
    ours = sorted(sorted(box.players.tolist()) for box in boxes(shape))
    assert ours == sorted(sorted(one) for one in members)


def random_game(count, seed=0):
    table = np.random.default_rng(seed).normal(size=1 << count)
    bits = 1 << np.arange(count)
    return lambda masks: table[masks @ bits]


def owen_by_definition(call, root, count):
    """Mean marginal contribution over the orders in which every group of the hierarchy stands together."""

    def orders(group):
        halves = group.halves()
        if halves is None:
            return [group.players.tolist()]
        first, second = (orders(half) for half in halves)
        return [a + b for a in first for b in second] + [b + a for a in first for b in second]

    every = orders(root)
    values = np.zeros(count)
    for order in every:
        mask = np.zeros(count, dtype=bool)
        before = call(mask[None])[0]
        for player in order:
            mask[player] = True
            after = call(mask[None])[0]
            values[player] += (after - before) / len(every)
            before = after
    return values


def test_owen_values_are_their_definition():
    joins = np.asarray([[0, 1], [3, 4], [2, 6], [5, 7]])
    root = Branch(joins, 8)
    call = random_game(5)
    ends = tuple(call(np.asarray([[False] * 5, [True] * 5])).tolist())
    found = owen(call, root, 5, 10_000)
    assert np.abs(found.values - owen_by_definition(call, root, 5)).max() < 1e-12
    assert found.closed == 0
    assert found.values.sum() == pytest.approx(ends[1] - ends[0], abs=1e-12)


def test_a_flat_hierarchy_of_two_is_shapleys_own():
    call = random_game(2)
    found = owen(call, Branch(np.asarray([[0, 1]]), 2), 2, 99)
    shapley = np.zeros(2)
    for order in permutations(range(2)):
        mask = np.zeros(2, dtype=bool)
        for player in order:
            before = call(mask[None])[0]
            mask[player] = True
            shapley[player] += (call(mask[None])[0] - before) / 2
    assert np.abs(found.values - shapley).max() < 1e-12


@pytest.mark.parametrize("budget", [2, 3, 4, 7, 20, 60])
def test_a_short_budget_is_kept_and_what_it_left_is_counted(budget):
    call = random_game(12, 3)
    asked = []

    def counting(masks):
        asked.append(len(masks))
        return call(masks)

    ends = tuple(call(np.asarray([[False] * 12, [True] * 12])).tolist())
    found = owen(counting, Box((3, 4, 1)), 12, budget)
    assert found.answers == sum(asked) <= max(budget + 1, 2)
    assert found.values.sum() == pytest.approx(ends[1] - ends[0], abs=1e-12)
    assert found.closed > 0


@pytest.mark.parametrize(("budget", "batch"), [(500, 256), (500, 10), (90, 10), (40, 256), (1500, 256)])
def test_pictures_equal_the_shap_librarys_partition_explainer(budget, batch):
    one = network_subject()
    for row in range(2):
        picture = one.test.frame.iloc[row, 0]
        column = int(one.prediction[row])
        size = picture.size
        cut = Parts(picture, np.full_like(picture, 128), np.arange(size).reshape(picture.shape))
        ask = Asker(one, cut, "score", column)
        ours = owen(ask, Box(picture.shape), size, budget, batch)

        def answers(images, column=column):
            from tests.deep import image_frame

            return one.evaluate(image_frame(list(images)))[:, column]

        masker = shap.maskers.Image(128, picture.shape)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = shap.PartitionExplainer(answers, masker)(
                picture[None], max_evals=budget, batch_size=batch, silent=True
            )
        assert theirs.base_values[0] == pytest.approx(ours.ends[0], abs=1e-7)
        # The network answers in float32; a tie of two groups would let the library draw lots.
        assert np.abs(theirs.values[0].ravel() - ours.values).max() < 1e-6


TEXTS = (
    "The film was good, very good and never dull. It is bright!",
    "awful plot and awful film",
    "a good film is not (always) bright, but quick and fine",
)


@pytest.mark.parametrize("budget", [500, 24, 10])
def test_texts_equal_the_shap_librarys_partition_explainer(budget):
    from tests.explainers.games import called

    one = called(text_model().predict_proba, list(TEXTS), "text")
    masker = shap.maskers.Text(r"\W+", mask_token="...")  # the model reads no dots, so a word goes
    explainer = shap.PartitionExplainer(
        lambda texts: text_model().predict_proba([str(t) for t in texts])[:, 1], masker
    )
    for text in TEXTS:
        cut = Sentence(cuts.words(text, bag=False))
        ask = Asker(one, cut, "score", 1)
        ours = owen(ask, phrases(cut.cut), cut.count, budget, 10)
        theirs = explainer([text], max_evals=budget, batch_size=10, silent=True)
        assert theirs.values[0].shape == (cut.count,)
        assert np.abs(theirs.values[0] - ours.values).max() < 1e-6
        assert theirs.base_values[0] == pytest.approx(ours.ends[0], abs=1e-12)


def test_one_word_is_a_hierarchy_too():
    cut = cuts.words("alone!", bag=False)
    root = phrases(cut)
    assert root.players.tolist() == [0]
    assert root.halves() is None
    found = owen(lambda masks: masks.sum(axis=1) / 2, root, 1, 500)
    assert found.values.tolist() == [0.5]

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests import deep
from tests.explainers.bench import observe
from tests.explainers.coalitions.test_cuts import reader
from tests.explainers.games import called, pictures
from xai_audit.errors import MethodError
from xai_audit.explainers import lime, shap
from xai_audit.explainers.coalitions.players import Asker, Parts, Sentence, choose, switches
from xai_audit.mechanistic.network import Network


class Counting(torch.nn.Module):
    """One logit: how many of the ids are 4 (good) minus how many are 0 (unknown)."""

    def forward(self, input_ids, attention_mask):
        seen = attention_mask == 1
        return ((input_ids == 4) & seen).sum(1, keepdim=True).float() - ((input_ids == 0) & seen).sum(
            1, keepdim=True
        ).float()


def network(texts, *, special=True):
    made = Network(Counting(), reader(special=special), link="none")
    return deep.subject(made, deep.rows(deep.text_frame(texts)), "text", classes=("no", "yes"))


def test_a_part_that_is_hidden_shows_what_stands_for_it():
    picture = pictures(1, 8)[0]
    parts = np.repeat(np.arange(8), 8).reshape(8, 8, 1)
    row = Parts(picture, np.full_like(picture, 9), parts)
    (shown,) = row.shown(np.asarray([[True] * 4 + [False] * 4]))
    assert (shown[:4] == picture[:4]).all()
    assert (shown[4:] == 9).all()
    assert shown.dtype == np.uint8


def test_what_a_part_holds_is_spread_over_its_pixels():
    parts = np.asarray([[0, 0], [0, 1]])[..., None]
    row = Parts(np.zeros((2, 2, 3), dtype=np.uint8), np.zeros((2, 2, 3), dtype=np.uint8), parts)
    assert row.spread(np.asarray([6.0, -1.0])).tolist() == [[2, 2], [2, -1]]
    channels = Parts(
        np.zeros((1, 2, 2), np.uint8), np.zeros((1, 2, 2), np.uint8), np.arange(4).reshape(1, 2, 2)
    )
    assert channels.spread(np.asarray([1.0, 2.0, 3.0, 4.0])).tolist() == [[3, 7]]


@pytest.mark.parametrize("modality", ["image", "text"])
def test_every_different_mask_is_asked_once_in_blocks(modality):
    if modality == "image":
        one = called(lambda cells: [[c.mean() / 255] for c in cells], pictures(2, 8), "image", classes=None)
        row = switches(one, choose(one, lime.METHOD.params(players="grid", segments=9), "mean"), 0)
    else:
        one = called(
            lambda cells: [[len(c) / 99] for c in cells], ["a bc def ghij klmno"], "text", classes=None
        )
        row = Sentence(switches(one, choose(one, lime.METHOD.params(), "removal"), 0).cut)
    masks = np.random.default_rng(0).random((900, row.count)) < 0.5
    ask = Asker(one, row, "score", 0)
    told = ask(masks)
    distinct = len({mask.tobytes() for mask in masks})
    assert ask.answers == distinct
    assert one.model.asked == -(-distinct // 256) * 256
    for mask, value in list(zip(masks, told, strict=True))[:20]:
        (cell,) = row.shown(mask[None])
        assert value == pytest.approx(one.model.call([cell])[0][0], abs=1e-12)


def test_tokens_of_the_networks_own_are_players():
    one = network(["good unlikely film", "film good good!"])
    found = observe(shap.METHOD, one, players="tokens")
    phi = np.split(found["local"].arrays["phi"], [5])
    assert phi[0] == pytest.approx([1, *phi[0][1:]])
    assert found["local"].params["players"].startswith("tokens of the model's own")
    assert found["additivity"].observation.estimate.value == 0
    # Two tokens that are equal are two players at their places.
    assert phi[1] == pytest.approx([0, 1, 1, 0])


def test_a_mask_token_stands_in_for_a_word():
    one = network(["good film", "film good film"])
    found = observe(shap.METHOD, one, mask="token")
    assert found["local"].params["hidden_by"] == "the token [MASK]"
    assert found["local"].arrays["phi"] == pytest.approx([1, 0, 0, 1])
    unknown = observe(shap.METHOD, one, token="zzz")  # a word it does not know counts against
    assert unknown["local"].arrays["phi"] == pytest.approx([2, 1, 2, 2])


def test_a_tokenizer_without_a_mask_token_says_so():
    one = network(["good film"], special=False)
    with pytest.raises(MethodError, match="has no mask token; give one as token"):
        observe(lime.METHOD, one, mask="token")


def test_the_margin_of_one_logit_is_turned_for_the_other_class():
    texts = ["good good film", "film"]
    module = Network(Counting(), reader(), link="sigmoid")
    one = deep.subject(module, deep.rows(deep.text_frame(texts)), "text", classes=("no", "yes"))
    assert one.scores.shape[1] == 2
    yes = observe(shap.METHOD, one, output="margin")["local"].arrays["phi"]
    other = type(one)(**{**one.__dict__, "positive": 0})
    no = observe(shap.METHOD, other, output="margin")["local"].arrays["phi"]
    assert yes == pytest.approx([2, 0, 0])
    assert no == pytest.approx(-yes)

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests import deep
from tests.metrics.subjects import observed
from xai_audit.mechanistic.network import Network


class Picky(torch.nn.Module):
    """Mean brightness as one logit against another; takes 8 by 8 pixels in one channel and nothing else."""

    def forward(self, x):
        assert x.shape[1:] == (1, 8, 8), "8 by 8 grey pixels are asked"
        bright = x.mean(dim=(1, 2, 3))
        return torch.stack([-bright, bright], dim=1)


class Divides(torch.nn.Module):
    """Divides by the number of ids that are no padding: a text without words has no score."""

    def forward(self, input_ids, attention_mask):
        mean = (input_ids * attention_mask).sum(dim=1) / attention_mask.sum(dim=1)
        return torch.stack([-mean, mean], dim=1)


def pictures(size):
    images = np.random.default_rng(1).integers(0, 256, (20, 8, 8), dtype=np.uint8)
    network = Network(Picky(), deep.ImageReader(size=size, channels=None if size is None else 1))
    return deep.subject(network, deep.rows(deep.image_frame(images)), "image")


def test_a_network_without_resizing_fails_on_pictures_of_another_size() -> None:
    found = observed(pictures(None), "unusual_input_failures")
    shown = found["unusual_input_failures"].observation.estimate
    assert (shown.value, shown.n) == (pytest.approx(3 / 7), 7)
    assert {item.name for item in found["unusual_input_failures/inputs"].observation.items} == {
        "image half as large",
        "image one pixel",
        "image with colour taken away or added",
    }


def test_one_that_resizes_takes_every_picture() -> None:
    found = observed(pictures((8, 8)), "unusual_input_failures")
    assert found["unusual_input_failures"].observation.estimate.value == 0


def test_a_text_without_words_that_has_no_score_is_a_failure() -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "good": 1, "bad": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    network = Network(Divides(), deep.TextReader("text", tokenizer.to_str(), max_length=64))
    made = deep.subject(network, deep.rows(deep.text_frame(["good bad", "bad", "good good"] * 5)), "text")
    found = observed(made, "unusual_input_failures")
    shown = found["unusual_input_failures"].observation.estimate
    assert (shown.value, shown.n) == (pytest.approx(2 / 7), 7)
    names = {item.name for item in found["unusual_input_failures/inputs"].observation.items}
    assert names == {"text empty", "text only spaces"}


def test_no_column_beside_a_picture_is_said_to_be_without_effect() -> None:
    from xai_audit.subject import Grouping

    group = Grouping(("sex",), ({"sex": "a"}, {"sex": "b"}), np.arange(20) % 2, (False, False))
    images = np.random.default_rng(1).integers(0, 256, (20, 8, 8), dtype=np.uint8)
    network = Network(Picky(), deep.ImageReader())
    made = deep.subject(network, deep.rows(deep.image_frame(images)), "image", groupings=(group,))
    found = observed(made, "protected_flip_rate")["protected_flip_rate/sex"]
    assert found.status == "skipped"
    assert "beside the picture" in found.reason

"""Rows of tables, pictures and texts as networks take them: the same bits for the same row."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from tests.deep import image_frame, text_frame  # noqa: E402
from xai_audit.errors import MethodError  # noqa: E402
from xai_audit.mechanistic.readers import ImageReader, TableReader, TextReader  # noqa: E402

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "good", "bad", "film", "very", "not", "."]


def tokenizer() -> str:
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    made = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: place for place, word in enumerate(WORDS)}, "[UNK]")
    )
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    made.enable_padding(length=64)  # what a file asks for is not what a batch needs
    made.enable_truncation(5)
    return made.to_str()


class TestTables:
    def test_columns_by_name_in_their_order(self):
        frame = pd.DataFrame({"b": [1, 2], "a": [0.5, 0.25], "c": [True, False]})
        found = TableReader(("a", "b", "c")).batch(frame)
        assert found.dtype == torch.float32
        assert found.tolist() == [[0.5, 1, 1], [0.25, 2, 0]]

    def test_what_a_frame_holds_is_not_written_to(self):
        frame = pd.DataFrame({"a": np.ones(3, dtype=np.float32)})
        TableReader(("a",)).batch(frame).add_(1)
        assert frame.a.tolist() == [1, 1, 1]


class TestPictures:
    def test_scaled_and_standardised_by_channel(self):
        rng = np.random.default_rng(0)
        pictures = rng.integers(0, 256, (4, 5, 7, 3), dtype=np.uint8)
        mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
        found = ImageReader(mean=mean, std=std).batch(image_frame(pictures))
        wanted = (pictures / 255 - np.array(mean)) / np.array(std)
        assert found.shape == (4, 3, 5, 7)
        assert found.is_contiguous()
        assert np.allclose(found.numpy(), wanted.transpose(0, 3, 1, 2), atol=1e-5)
        plain = ImageReader().batch(image_frame(pictures))
        assert plain.min() >= 0
        assert plain.max() <= 1
        one = ImageReader(mean=(0.5,), std=(0.5,)).batch(image_frame(pictures))
        assert torch.allclose(one, plain * 2 - 1, atol=1e-6)

    @given(st.integers(0, 1000), st.permutations(range(6)))
    @settings(max_examples=25)
    def test_a_picture_has_the_same_bits_wherever_it_stands(self, seed, order):
        rng = np.random.default_rng(seed)
        pictures = [rng.integers(0, 256, (*rng.integers(3, 9, 2), 3), dtype=np.uint8) for _ in range(6)]
        reader = ImageReader(size=(5, 4), mean=(0.1, 0.2, 0.3), std=(0.3, 0.2, 0.1))
        found = reader.batch(image_frame(pictures))
        again = reader.batch(image_frame([pictures[place] for place in order]))
        assert torch.equal(again, found[list(order)])

    def test_resizing_is_pillows_own(self):
        from PIL import Image

        rng = np.random.default_rng(1)
        picture = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
        found = ImageReader(size=(4, 6)).batch(image_frame([picture]))[0].permute(1, 2, 0).numpy()
        wanted = np.asarray(Image.fromarray(picture).resize((6, 4), Image.Resampling.BILINEAR))
        assert np.array_equal(np.rint(found * 255).astype(np.uint8), wanted)

    def test_grey_and_colour(self):
        from PIL import Image

        rng = np.random.default_rng(2)
        colour = rng.integers(0, 256, (6, 5, 3), dtype=np.uint8)
        grey = ImageReader(channels=1).batch(image_frame([colour]))
        assert grey.shape == (1, 1, 6, 5)
        wanted = np.asarray(Image.fromarray(colour).convert("L"), dtype=int)
        assert abs(np.rint(grey[0, 0].numpy() * 255).astype(int) - wanted).max() <= 1
        three = ImageReader(channels=3).batch(image_frame([colour[..., :1]]))
        assert three.shape == (1, 3, 6, 5)
        assert torch.equal(three[0, 0], three[0, 2])
        clear = np.concatenate([colour, colour[..., :1]], axis=-1)  # with transparency, which is left out
        assert torch.equal(
            ImageReader(channels=3).batch(image_frame([clear])), ImageReader().batch(image_frame([colour]))
        )

    def test_what_does_not_fit_is_said(self):
        small, large = (np.zeros((side, 4, 3), dtype=np.uint8) for side in (3, 4))
        with pytest.raises(MethodError, match=r"different shapes .* give preprocess: \{size: \.\.\.\}"):
            ImageReader().batch(image_frame([small, large]))
        with pytest.raises(
            MethodError, match=r"preprocess\.mean has 2 numbers; the pictures have 3 channels"
        ):
            ImageReader(mean=(0.1, 0.2)).batch(image_frame([small]))


class TestTexts:
    def test_ids_and_mask_to_the_longest_of_the_batch(self):
        reader = TextReader("t", tokenizer())
        found = reader.batch(text_frame(["good film", "a very very bad film .", "", None], "t"))
        ids = [[2, 5, 7, 3, 0, 0, 0, 0], [2, 4, 8, 8, 6, 7, 10, 3], [2, 3, *[0] * 6], [2, 3, *[0] * 6]]
        assert found["input_ids"].tolist() == ids
        assert found["attention_mask"].tolist() == [[int(one > 0) for one in row] for row in ids]
        assert {part.dtype for part in found.values()} == {torch.int64}
        assert reader.lengths(text_frame(["good film", ""], "t")).tolist() == [4, 2]

    def test_offsets_are_those_of_the_text(self):
        text = "a  good\tfilm"
        one = TextReader("t", tokenizer()).encodings([text])[0]
        pieces = [
            text[a:b]
            for (a, b), special in zip(one.offsets, one.special_tokens_mask, strict=True)
            if not special
        ]
        assert pieces == ["a", "good", "film"]

    def test_what_is_cut_is_counted(self):
        reader = TextReader("t", tokenizer(), max_length=4)
        texts = ["good film", "good good film", "a a a a a a"]
        assert reader.cut(texts) == 2
        assert reader.batch(text_frame(texts, "t"))["input_ids"].shape == (3, 4)
        assert reader.batch(text_frame(texts, "t"))["input_ids"][2].tolist() == [2, 4, 4, 3]
        assert TextReader("t", tokenizer()).cut(texts) == 0

    def test_one_length_for_a_network_without_a_mask(self):
        reader = TextReader("t", tokenizer(), max_length=6, names=("tokens",), full=True, pad=9)
        found = reader.batch(text_frame(["good"], "t"))
        assert list(found) == ["tokens"]
        assert found["tokens"].tolist() == [[2, 5, 3, 9, 9, 9]]

    def test_it_travels_to_a_worker(self):
        reader = TextReader("t", tokenizer(), max_length=7)
        frame = text_frame(["good film", "bad"], "t")
        before = reader.batch(frame)
        again = pickle.loads(pickle.dumps(reader)).batch(frame)
        assert all(torch.equal(before[name], again[name]) for name in before)

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lime.lime_text import IndexedString

from xai_audit.explainers.coalitions.cuts import mask_token, tokens, words
from xai_audit.mechanistic.readers import TextReader

SOME = st.text(alphabet="abé ï_9.,'!-\n\t\u00a0\u3042", min_size=0, max_size=40)


@given(SOME, st.booleans())
@settings(max_examples=200, deadline=None)
def test_a_text_is_whole_when_nothing_is_left_out(text, bag):
    cut = words(text, bag=bag)
    assert "".join(cut.pieces) == text
    assert cut.shown(np.ones((1, len(cut.names)), dtype=bool)) == [text]
    assert [text[start:end] for start, end in cut.spans] == [
        cut.names[part] for part in cut.owner.tolist() if part >= 0
    ]


@given(
    SOME.filter(lambda text: any(sign.isalnum() or sign == "_" for sign in text)),
    st.randoms(use_true_random=False),
)
@settings(max_examples=200, deadline=None)
def test_words_go_as_lime_takes_them_out(text, rng):
    theirs = IndexedString(text, bow=True)
    cut = words(text, bag=True)
    assert list(cut.names) == theirs.inverse_vocab
    gone = [part for part in range(len(cut.names)) if rng.random() < 0.5]
    mask = np.ones((1, len(cut.names)), dtype=bool)
    mask[0, gone] = False
    assert cut.shown(mask) == [theirs.inverse_removing(gone)]


def test_words_at_their_place_and_a_token_in_their_stead():
    cut = words("good, good film", bag=False, token="[MASK]")
    assert cut.names == ("good", "good", "film")
    assert cut.shown(np.asarray([[True, False, False]])) == ["good, [MASK] [MASK]"]


def test_values_are_shared_out_over_places():
    cut = words("a b a", bag=True)
    assert cut.placed(np.asarray([3.0, 5.0])).tolist() == [1.5, 5.0, 1.5]


def reader(*, special=True, most=None):
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing

    names = ["[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "un", "##like", "##ly", "film", "!"]
    vocabulary = {name: number for number, name in enumerate(names)}
    made = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    if special:
        made.add_special_tokens(["[CLS]", "[SEP]", "[MASK]"])
        made.post_processor = TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
        )
    return TextReader("text", made.to_str(), max_length=most)


def test_tokens_are_those_of_the_network():
    cut = tokens("good  unlikely film!", reader())
    assert cut.names == ("good", "un", "like", "ly", "film", "!")
    assert "".join(cut.pieces) == "good  unlikely film!"
    assert cut.shown(np.asarray([[False, True, False, True, True, True]])) == ["  unly film!"]


def test_what_the_tokenizer_cuts_off_stays():
    cut = tokens("good film good film", reader(most=4))  # two of its own and two for the text
    assert cut.names == ("good", "film")
    assert cut.shown(np.asarray([[False, False]])) == ["  good film"]


def test_the_tokenizers_own_mask_token_is_found():
    assert mask_token(reader()) == "[MASK]"
    assert mask_token(reader(special=False)) is None


@pytest.mark.parametrize("text", ["", "?!", "   "])
def test_a_text_without_words_has_no_players(text):
    cut = words(text, bag=True)
    assert cut.names == ()
    assert cut.spans == []
    assert cut.shown(np.ones((1, 0), dtype=bool)) == [text]

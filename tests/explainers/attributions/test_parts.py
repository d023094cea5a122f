"""Words and signs cover a text; tokens go to the part they share most with; rare words stay private."""

from types import SimpleNamespace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.explainers.bench import Bench
from tests.explainers.networks import table_subject
from xai_audit.explainers.attributions import parts
from xai_audit.method import NoParams


def context(min_cell=3):
    return Bench(table_subject(n=5), NoParams(), SimpleNamespace(id="x"), min_cell=min_cell)


@given(st.text(max_size=60))
@settings(max_examples=100, deadline=None)
def test_every_character_but_blanks_belongs_to_one_part(text):
    found = parts.spans(text)
    covered = np.zeros(len(text), dtype=int)
    for start, end in found:
        assert start < end
        covered[start:end] += 1
    assert found == sorted(found)
    assert all(count == (0 if sign.isspace() else 1) for sign, count in zip(text, covered, strict=True))


def test_apostrophes_hold_words_together():
    text = "It's 'good', isn’t it?"
    assert [text[a:b] for a, b in parts.spans(text)] == ["It's", "'", "good", "'", ",", "isn’t", "it", "?"]
    assert parts.spans(float("nan")) == []


def test_a_token_goes_to_the_part_it_shares_most_with():
    own = parts.spans("unbelievable, it's")
    # [CLS] un ##believ ##able , it ' s [SEP], one token with the blank before it, one that is a blank
    offsets = [(0, 0), (0, 2), (2, 8), (8, 12), (12, 13), (13, 16), (16, 17), (17, 18), (0, 0)]
    assert parts.part_of(own, offsets).tolist() == [-1, 0, 0, 0, 1, 2, 2, 2, -1]
    assert parts.part_of(own, [(11, 18), (13, 14)]).tolist() == [2, -1]
    assert parts.part_of([], [(0, 0), (0, 3)]).tolist() == [-1, -1]


def test_removing_parts_closes_the_gaps():
    text = "It  was, truly,\ngood."
    own = parts.spans(text)
    gone = np.zeros(len(own), dtype=bool)
    assert parts.without(text, own, gone) == text
    gone[[1, 3]] = True
    assert parts.without(text, own, gone) == "It , , good."
    assert parts.without(text, own, np.ones(len(own), dtype=bool)) == ""


def test_words_that_few_texts_hold_are_not_named():
    texts = ["Good film.", "good plot", "GOOD secret", "good film", "film good good"]
    values = [np.arange(1.0, 1.0 + len(parts.spans(text))) for text in texts]
    found = parts.ranking(texts, values, context(3), unit="u")
    assert {item.name for item in found.items} == {"good", "film"}
    by_name = {item.name: item for item in found.items}
    # Two uses in one text are added: 1, 1, 1, 1 and 2 + 3.
    assert by_name["good"].estimate.value == (1 + 1 + 1 + 1 + 5) / 5
    assert by_name["good"].estimate.n == 5
    assert by_name["film"].estimate.n == 3
    assert parts.ranking(texts, values, context(6), unit="u") is None


def test_even_without_a_minimum_one_text_names_no_word():
    assert parts.ranking(["alone here"], [np.ones(2)], context(0), unit="u") is None


def test_words_that_surely_differ_have_ranks_of_their_own():
    rng = np.random.default_rng(0)
    texts = ["strong weak"] * 40
    values = [np.array([5.0, 0.1]) + rng.normal(scale=0.05, size=2) for _ in texts]
    strong, weak = parts.ranking(texts, values, context(), unit="u").items
    assert (strong.name, strong.rank_low, strong.rank_high) == ("strong", 1, 1)
    assert (weak.name, weak.rank_low, weak.rank_high) == ("weak", 2, 2)
    same = parts.ranking(texts, [rng.normal(size=2) for _ in texts], context(), unit="u").items
    assert all((item.rank_low, item.rank_high) == (1, 2) for item in same)

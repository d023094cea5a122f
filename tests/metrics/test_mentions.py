from __future__ import annotations

import pytest

from tests.metrics.subjects import classifier
from xai_audit.errors import UnmetNeedError
from xai_audit.metrics.mentions import mentions, plain, replaced, texts_of


@pytest.mark.parametrize(
    ("text", "words", "there"),
    [
        ("I am Gay.", ["gay"], True),
        ("the gayest", ["gay"], False),
        ("gay_pride", ["gay"], False),
        ("anti-gay law", ["gay"], True),
        ("an African   American", ["african american"], True),
        ("an African Americana", ["african american"], False),
        ("он ЕВРЕЙ", ["еврей"], True),
        ("ΕΒΡΑΙΟΣ και", ["εβραιος"], True),
        ("cafe\u0301", ["café"], True),
        ("cafe\u0301", ["cafe"], False),
        ("C++ and C", ["c++"], True),
        ("nothing", ["a.c"], False),
        ("", ["gay"], False),
    ],
)
def test_whole_words_whatever_their_case(text, words, there):
    assert mentions([plain(text)], words).tolist() == [there]


@pytest.mark.parametrize(
    ("text", "word", "by", "expected"),
    [
        (
            "Gay and gay, GAY but not gayer",
            "gay",
            "straight",
            "Straight and straight, STRAIGHT but not gayer",
        ),
        ("African American men", "african american", "white", "White men"),
        ("no such word", "gay", "straight", "no such word"),
        ("a gay man", "gay", r"\1", r"a \1 man"),
    ],
)
def test_words_are_replaced_in_their_own_case(text, word, by, expected):
    assert replaced(text, word, by) == expected


def test_tables_hold_no_texts():
    with pytest.raises(UnmetNeedError, match="these rows are cells of a table"):
        texts_of(classifier([0, 1], [0, 1]))

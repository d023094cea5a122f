from __future__ import annotations

import pytest

from xai_audit.render import case_words


def test_marks_speak_for_a_class_or_towards_a_score():
    assert case_words.ways({"explained": "dog"}) == ("against dog", "for dog")
    assert case_words.ways({"explained": "the score"}) == ("towards a lower score", "towards a higher score")
    assert case_words.ways({"explained": "the prediction"})[1] == "towards a higher prediction"


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ({"label": "dog", "predicted": "cat"}, "Label dog, predicted cat."),
        ({"label": None, "predicted": "cat"}, "No label, predicted cat."),
        ({}, "No label."),
    ],
)
def test_label_and_prediction_stand_in_words(case, said: str):
    assert case_words.labelled(case) == said


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ({"score": 0.9132, "base": 0.1004, "unit": "probability", "explained": "dog"}, "Probability of dog 0.91, from 0.10 for the reference."),
        ({"score": 5.17, "base": None, "unit": "change in margin", "explained": "dog"}, "Margin of dog 5.17."),
        ({"score": -0.5, "unit": "score", "explained": "the score"}, "Score −0.50."),
        ({"score": 0.0012, "unit": "probability", "explained": "x"}, "Probability of x 0.0012."),
        ({"score": None}, ""),
        ({"score": True}, ""),
    ],
)  # fmt: skip
def test_a_score_stands_with_its_unit_and_where_it_starts(case, said: str):
    assert case_words.scored(case) == said


def test_why_it_is_shown_begins_a_sentence():
    assert case_words.why({"why": "the surest mistake"}) == "The surest mistake"
    assert case_words.why({}) == "One example"


def test_a_kind_of_a_later_version_is_none_of_ours():
    assert case_words.kind({"kind": "sound"}) == ""
    assert case_words.kind({"why": "x"}) == ""

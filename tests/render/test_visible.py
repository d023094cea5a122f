from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from tests.render.audits import HOSTILE
from xai_audit.render.visible import anchor, fitted, name, script, visible


def test_what_cannot_be_seen_is_shown_as_its_escape():
    assert visible("a\x00b\x07\u202ec\ud800\u200b\ufffe") == "a\\x00b\\x07\\u202ec\\ud800\\u200b\\ufffe"
    assert visible("line\nnext\ttab") == "line\\nnext\\ttab"
    assert visible("line\nnext", lines=True) == "line\nnext"


def test_what_can_be_seen_stays_as_it_is():
    for text in ("Żółć", "Παπαδάκη", "Георгиев", "😀 🏳️", "<b>&\"'", "{{ 7*7 }}", "中文", "شركة"):
        assert visible(text) == text


def test_a_long_name_says_how_long_it_is():
    assert name("x" * 10_000, 40) == f"{'x' * 40}… (10,000 characters)"
    assert name("short", 40) == "short"


@given(st.text(max_size=300), st.text(max_size=300))
def test_anchors_are_valid_everywhere_and_tell_names_apart(one: str, other: str):
    first = anchor("finding", one)
    assert re.fullmatch(r"finding-[A-Za-z0-9_.-]*", first)
    assert (first == anchor("finding", other)) == (one == other)


@given(st.text(max_size=80), st.floats(20, 300))
def test_a_fitted_label_is_the_text_or_its_beginning(text: str, width: float):
    found = fitted(text, width, 11.3)
    assert found == text or (found.endswith("…") and text.startswith(found[:-1].rstrip()))


def test_the_script_of_a_statement_decides_whether_it_stands_upright():
    assert [script(text) for text in ("Ewa Żółkiewska", "Οι παράμετροι", "Данните са", "123", "")] == [
        "Latn",
        "Grek",
        "Cyrl",
        "Latn",
        "Latn",
    ]


def test_hostile_names_have_distinct_anchors():
    assert len({anchor("evidence", text) for text in HOSTILE}) == len(HOSTILE)

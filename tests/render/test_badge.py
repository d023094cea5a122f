from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.render import audits
from xai_audit.render import badge, palette, renderers

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    ("make", "word", "mark"),
    [
        (audits.failing, "failed", "path"),
        (audits.passing, "passed", "circle"),
        (audits.reviewed, "review", "path"),
    ],
)
def test_the_outcome_is_a_word_and_a_shape(make, word: str, mark: str) -> None:
    root = ET.fromstring(renderers["badge"](make()))
    assert [one.text for one in root.iter(f"{SVG}text")] == ["xai-audit", word]
    group = root.find(f"{SVG}g")
    assert [one.tag for one in group if one.tag != f"{SVG}text"] == [f"{SVG}{mark}"]
    title = root.find(f"{SVG}title")
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == title.get("id")
    assert title.text.startswith(f"xai-audit: Diabetes progression triage 2.1, {word}: ")


def test_every_outcome_has_a_shape_of_its_own() -> None:
    assert set(badge.WORDS) == set(badge.SHAPES) == {"pass", "fail", "review", "error"}
    assert len(set(badge.SHAPES.values())) == 4


@pytest.mark.parametrize("ink", ["secondary", *(ink for _, ink in badge.WORDS.values())])
def test_words_are_read_in_light_and_dark(ink: str) -> None:
    colour = palette.TEXT[ink]
    assert palette.contrast(colour.light, palette.GROUND.light) >= 4.5
    assert palette.contrast(colour.dark, palette.GROUND.dark) >= 4.5


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=80) | st.sampled_from(audits.HOSTILE))
def test_nothing_comes_from_outside_and_no_name_is_markup(text: str) -> None:
    content = renderers["badge"](audits.named(text)).decode()
    root = ET.fromstring(content)
    assert {one.tag.removeprefix(SVG) for one in root.iter()} == {
        "svg",
        "title",
        "style",
        "path",
        "g",
        "text",
    }
    assert not [one for one in root.iter() for key in one.attrib if key.startswith("on") or "href" in key]
    outside = re.sub(r"<title.*?</title>", "", content, flags=re.DOTALL).replace(
        "http://www.w3.org/2000/svg", ""
    )
    assert not re.search(r"https?:|url\(|@import|@font-face", outside)

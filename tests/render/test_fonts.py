from __future__ import annotations

import base64
import io
import re

import pytest
from fontTools.ttLib import TTFont

from xai_audit.errors import UnavailableError
from xai_audit.render import fonts

PEOPLE = "Ewa Żółkiewska, Νίκη Παπαδάκη, Иван Георгиев, Łódź, František Škvorecký"


def test_our_faces_draw_the_languages_of_the_union():
    assert fonts.drawable(PEOPLE + "áčďéěíňóřšťúůýžßæøåâîășțõäöüłñç€")
    assert fonts.drawable("■◆▲●□○−≥≤→†")


def test_what_no_face_draws_is_spelled_out_on_paper():
    assert fonts.spelled("a 中 b") == "a ⟨U+4E2D⟩ b"
    assert fonts.spelled(PEOPLE) == PEOPLE


def test_the_figures_of_every_text_face_are_lining_and_of_one_width():
    for face in fonts.FACES[:-1]:
        font = TTFont(io.BytesIO(fonts.content(face)))
        cmap = font.getBestCmap()
        assert len({font["hmtx"][cmap[ord(digit)]][0] for digit in "0123456789"}) == 1


def test_the_embedded_part_has_the_glyphs_asked_for_and_is_the_same_each_time():
    rules = fonts.embedded(PEOPLE)
    fonts._subset.cache_clear()
    assert fonts.embedded(PEOPLE) == rules
    assert len(rules) < 400_000
    first = re.search(r"base64,([^)]+)\)", rules)
    assert first is not None
    font = TTFont(io.BytesIO(base64.b64decode(first.group(1))))
    assert font.flavor == "woff2"
    assert {ord(c) for c in PEOPLE if c != " "} <= set(font.getBestCmap())


def test_a_font_that_is_not_there_names_its_package():
    face = fonts.Face("x", 400, "normal", "font_source_sans_pro", "files/Nothing.ttf")
    with pytest.raises(UnavailableError, match="pip install --force-reinstall font-source-sans-pro"):
        fonts.file(face)


def test_an_emoji_that_our_faces_draw_is_drawn_as_text():
    assert fonts.spelled("\u26a1 \U0001f600 a") == "\u26a1\ufe0e \U0001f600\ufe0e a"
    assert fonts.spelled("\u2705") == "⟨U+2705⟩"
    assert fonts.spelled("■ ● a") == "■ ● a"

from __future__ import annotations

import re

import pytest

from xai_audit.render import palette
from xai_audit.render.html import source


@pytest.mark.parametrize("side", ["light", "dark"])
@pytest.mark.parametrize("name", sorted(palette.TEXT))
def test_every_ink_of_words_has_a_contrast_of_four_and_a_half(name: str, side: str):
    assert palette.contrast(getattr(palette.TEXT[name], side), getattr(palette.GROUND, side)) >= 4.5


@pytest.mark.parametrize("side", ["light", "dark"])
@pytest.mark.parametrize("name", sorted(palette.MARKS))
def test_every_ink_of_marks_has_a_contrast_of_three(name: str, side: str):
    assert palette.contrast(getattr(palette.MARKS[name], side), getattr(palette.GROUND, side)) >= 3


def test_contrast_is_the_one_of_wcag():
    assert palette.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert palette.contrast("#777777", "#ffffff") == pytest.approx(4.478, abs=1e-3)


def test_verdicts_differ_in_shape_or_word_and_not_in_colour_alone():
    told = [(mark.shape, mark.word) for mark in palette.VERDICTS.values()]
    assert len(set(told)) == len(told)


def test_style_sheets_use_only_colours_of_the_palette():
    known = {ink.light for ink in palette.INKS.values()} | {ink.dark for ink in palette.INKS.values()}
    for sheet in ("report.css", "screen.css", "print.css"):
        assert set(re.findall(r"#[0-9a-fA-F]{6}\b", source(sheet))) <= known
        assert not re.search(r"#[0-9a-fA-F]{3}\b(?![0-9a-fA-F])", re.sub(r"#[a-z]+[,{]", "", source(sheet)))


def test_every_class_of_a_drawing_has_a_dark_colour():
    sheet = palette.sheet()
    for name in palette.INKS:
        assert f".f-{name}{{fill:var(--{name})}}" in sheet
        assert f".s-{name}{{stroke:var(--{name})}}" in sheet

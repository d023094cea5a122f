from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from tests.render import audits, specimens
from xai_audit.render import examples, renderers
from xai_audit.render.report import report


def exhibits(audit):
    return next(s for s in report(audit).sections if s.id == "explanations").exhibits


def panels(audit, kind: str):
    return [e.panel for e in exhibits(audit) if e.panel and e.panel.kind == kind]


def of(pieces, **more):
    spec = audits.spec(report={"examples": True})
    return audits.audit([], pieces, "review", spec=spec, subject=specimens.subject("image", **more))


def test_original_and_overlay_stand_side_by_side_with_words_for_both():
    first = panels(specimens.images(), "pictures")[0]
    assert [frame.lines[0] for frame in first.frames] == ["As it is", "SHAP", "Integrated gradients"]
    titles = [ET.fromstring(str(frame.svg))[0].text or "" for frame in first.frames]
    assert titles[0] == "The picture, 32 by 32 pixels, as it is. Label horse, predicted dog."
    assert "For dog: +" in titles[1].replace("for dog", "For dog")
    assert "of it in the" in titles[1]
    assert "against dog" in titles[2].lower()


def test_the_title_says_where_what_speaks_for_the_class_lies():
    values = [[0.0] * 9 for _ in range(9)]
    values[0][0], values[0][1], values[8][8] = 0.3, 0.3, 0.2
    case = specimens.image_case(1, "the highest score", map={"width": 9, "height": 9, "values": values})
    (panel,) = panels(of([specimens.cases("shap/local", "Contributions", [case])]), "pictures")
    assert (
        panel.title.replace("\u00a0", " ")
        == "The highest score: 75 % of what speaks for dog lies in the upper left"
    )
    assert (
        "Label horse, predicted dog. Probability of dog 0.91, from 0.10 for the reference." in panel.subtitle
    )
    assert "+0.300" in str(panel.scale.wide)


def test_nothing_is_shown_that_the_spec_does_not_allow():
    audit = specimens.images(examples=False)
    assert not any(e.panel for e in exhibits(audit))
    text = renderers["html"](audit).decode()
    assert "data:image/png" not in text


def test_a_picture_that_cannot_be_read_says_so_and_keeps_its_marks():
    case = specimens.image_case(1, "the highest score", picture={"width": 3, "height": 3, "png": "x"})
    (panel,) = panels(of([specimens.cases("shap/local", "Contributions", [case])]), "pictures")
    assert panel.frames[0].text == "This picture cannot be read."
    assert "<path" in str(panel.frames[1].svg)


@pytest.mark.parametrize("explained", ["the score", "the prediction", ""])
def test_a_score_without_a_class_points_higher_or_lower(explained: str):
    case = specimens.image_case(1, "the highest score", explained=explained)
    (panel,) = panels(of([specimens.cases("shap/local", "Contributions", [case])]), "pictures")
    assert "points towards a higher" in panel.title
    assert "towards a lower" in str(panel.scale.wide)


def test_a_file_stays_small_and_what_is_left_out_is_said():
    side = specimens.drawn(1).resize((96, 96)).effect_spread(40)
    picture = {"width": 96, "height": 96, "png": specimens.encoded(side)}
    each = [specimens.neighbour(k, "dog", "dog", 1.0) | {"picture": picture} for k in range(5)]
    many = [specimens.gallery(nearest=each, counter=each) for _ in range(12)]
    pieces = [specimens.cases(f"p{k}/examples", "Examples", many) for k in range(3)]
    audit = of(pieces)
    allowed = examples.within(audit)
    assert 0 < sum(allowed.values()) < 36
    html = renderers["html"](audit)
    assert len(html) < 3_000_000
    assert f"{36 - sum(allowed.values())}\u00a0more examples" in html.decode()


def test_texts_keep_their_words_and_fold_what_is_long():
    found = {panel.title: panel for panel in panels(specimens.texts(), "words")}
    long = next(panel for panel in found.values() if panel.more)
    assert long.more == "280\u00a0more words"
    assert "".join(t.text for t in (*long.tokens, *long.rest)) == specimens.LONG
    assert [t.way for t in long.key] == ["against", "for"]


def test_a_second_explainer_of_the_same_text_is_for_the_screen():
    found = [e for e in exhibits(specimens.texts()) if e.panel and e.panel.kind == "words" and e.panel.more]
    assert sorted(e.screen for e in found) == [False, True]


@pytest.mark.parametrize("broken", [{}, {"kind": "image"}, {"kind": "text"}, {"kind": "prototypes"}, {"kind": "image", "picture": 3, "map": []}, {"kind": "text", "tokens": [1, {"text": 2, "phi": "x"}]}, {"kind": "prototypes", "nearest": [None, {"picture": 4}]}, {"kind": "later"}])  # fmt: skip
def test_a_case_that_lacks_what_it_should_have_breaks_nothing(broken):
    report(of([specimens.cases("shap/local", "Contributions", [broken])]))

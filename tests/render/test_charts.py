from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from tests.render import audits
from xai_audit.evidence import (
    Cases,
    Curve,
    Edge,
    Graph,
    Groups,
    Item,
    Node,
    Point,
    Ranking,
    Scalar,
    Series,
    exactly,
)
from xai_audit.render import charts
from xai_audit.render.ink import NARROW, SIZE, WIDE, Threshold
from xai_audit.render.palette import INKS
from xai_audit.render.visible import advance

CASE = {
    "why": "nearest the threshold", "base": 0.3, "score": 0.55, "threshold": 0.5,
    "items": [{"name": f"x{i}", "value": 1.5 * i, "phi": 0.05 if i % 2 else -0.02, "low": -0.01, "high": 0.06} for i in range(12)],
}  # fmt: skip
SHAPES = {
    "scalar": Scalar(estimate=audits.wilson(3, 9)),
    "ranking": Ranking(
        items=tuple(Item(name=f"x{i}", estimate=exactly(i, 5), rank_low=1, rank_high=3) for i in range(3))
    ),
    "groups": next(p.observation for p in audits.metrics() if p.id == "recall/age"),
    "curve": next(p.observation for p in audits.metrics() if p.id == "threshold_sweep"),
    "categories": Curve(
        x="city",
        series=(
            Series(
                name="a",
                points=(Point(x="Łódź", estimate=exactly(1, 2)), Point(x="x" * 99, estimate=exactly(2, 2))),
            ),
        ),
    ),
    "matrix": next(p.observation for p in audits.explanations() if p.id == "shap/beeswarm"),
    "cases": Cases(cases=(CASE,)),
    "graph": Graph(
        nodes=(Node(id="a"), Node(id="b")),
        edges=(Edge(source="a", target="b", estimate=audits.wilson(4, 9)),),
    ),
}


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_every_shape_is_drawn_at_both_widths_inside_its_frame(shape: str):
    for svg, width in zip(charts.draw(SHAPES[shape], "What was <seen>"), (WIDE, NARROW), strict=True):
        root = ET.fromstring(str(svg))
        assert root.get("role") == "img"
        assert root[0].tag.endswith("title")
        assert root[0].text == "What was <seen>"
        _, _, w, h = map(float, root.get("viewBox").split())
        assert w == width
        for element in root.iter():
            for key in ("x", "x1", "x2", "cx"):
                if element.get(key):
                    assert -1 <= float(element.get(key)) <= w + 1
            for key in ("y", "y1", "y2", "cy"):
                if element.get(key):
                    assert -1 <= float(element.get(key)) <= h + 1


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_colours_are_light_attributes_with_a_class_for_dark(shape: str):
    svg = str(charts.draw(SHAPES[shape], "t").wide)
    assert "style=" not in svg
    for attribute, letter in (("fill", "f"), ("stroke", "s")):
        for colour, name in re.findall(rf'{attribute}="(#[0-9a-f]+)" class="{letter}-(\w+)"', svg):
            assert INKS[name].light == colour
        coloured = len(re.findall(rf'{attribute}="#', svg))
        assert coloured == len(re.findall(rf'{attribute}="#[0-9a-f]+" class="{letter}-', svg))


def accents(svg: str) -> int:
    return svg.count('class="s-accent"')


def test_the_accent_is_kept_for_intervals_wholly_on_the_wrong_side():
    threshold = Threshold(0.75, "0.75", "at_least", "convention, not law")
    rows = [
        charts.Row(
            label="below",
            estimate=audits.between(0.5, 0.4, 0.6, 9),
            strong=threshold.missed(audits.between(0.5, 0.4, 0.6, 9)),
        ),
        charts.Row(
            label="across",
            estimate=audits.between(0.7, 0.6, 0.8, 9),
            strong=threshold.missed(audits.between(0.7, 0.6, 0.8, 9)),
        ),
    ]
    svg = str(charts.dots(rows, "t", threshold=threshold).wide)
    assert accents(svg) == 1
    assert "0.75, convention, not law" in svg


def test_a_group_without_a_number_keeps_its_row_and_prints_the_word():
    svg = str(charts.draw(SHAPES["groups"], "t").wide)
    assert "no positives" in svg
    assert "n &lt; 10" in svg


def test_ties_share_a_bracket_and_their_ranks():
    svg = str(charts.draw(SHAPES["ranking"], "t").wide)
    assert "1 to 3" in svg
    assert svg.count("<path") == 1


def test_hostile_labels_are_text():
    rows = [charts.Row(label=label, estimate=audits.wilson(3, 9)) for label in audits.HOSTILE]
    for svg in charts.dots(rows, audits.HOSTILE[0]):
        root = ET.fromstring(str(svg))
        assert {element.tag.rpartition("}")[2] for element in root.iter()} <= {
            "svg",
            "title",
            "text",
            "line",
            "circle",
            "rect",
            "path",
        }


def test_groups_hold_their_order_and_more_than_fit_are_left_to_the_table():
    many = Groups(by=SHAPES["groups"].by, groups=SHAPES["groups"].groups * 30)
    svg = str(charts.draw(many, "t").wide)
    assert svg.count("<text") < 200


def test_names_of_categories_and_lines_stand_whole_where_two_storeys_hold_them():
    classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    changes = [
        "JPEG quality 90",
        "JPEG quality 75",
        "5 % brighter",
        "5 % darker",
        "1 pixel down",
        "1 pixel up",
    ]
    lines = ["nearest prototype stays", "the model's prediction stays", "its class stays"]
    for kinds, names in ((classes, ["share"]), (changes, lines)):
        points = tuple(Point(x=kind, estimate=audits.wilson(3, 9)) for kind in kinds)
        drawn = charts.draw(
            Curve(x="class", series=tuple(Series(name=line, points=points) for line in names)), "Seen"
        )
        wide = ET.fromstring(str(drawn.wide))
        shown = [element.text or "" for element in wide.iter() if element.tag.endswith("text")]
        assert not any("…" in text for text in shown)
        said = " ".join(shown)
        assert all(
            word in said for name in (*kinds, *(names if len(names) > 1 else ())) for word in name.split()
        )


def test_numbers_below_an_axis_stay_inside_the_narrow_picture():
    rows = [
        charts.Row(
            label="a",
            estimate=audits.wilson(3, 9).model_copy(update={"low": -0.14, "high": 0.1, "value": 0.0}),
            n="9",
        )
    ]
    root = ET.fromstring(str(charts.dots(rows, "Seen").narrow))
    for element in root.iter():
        if element.tag.endswith("text") and element.get("text-anchor") == "middle":
            half = sum(map(advance, element.text or "")) * SIZE / 2
            assert float(element.get("x")) >= half - 0.1
            assert float(element.get("x")) + half <= NARROW + 0.1


@pytest.mark.parametrize("whole", [True, False])
def test_a_column_heads_its_groups_where_their_labels_would_be_cut(whole: bool):
    groups = [f"mentions {word}" for word in ("men", "wheelchair users", "people of old age")]
    rows = [
        charts.Row(label=label, estimate=audits.wilson(3, 9), n="9")
        for label in ([*(["All texts"] if whole else []), *groups])
    ]
    wide = str(charts.dots(rows, "Seen").wide)
    assert ">mentions<" in wide
    assert ">wheelchair users<" in wide
    assert ("All texts" in wide) == whole
    short = str(charts.dots(rows[:-2], "Seen").wide)
    assert ">mentions men<" in short
    assert ">Group<" in short


def test_other_pictures_keep_their_labels_whole():
    rows = [
        charts.Row(label=f"stripes, a_very_long_layer_name_{k}", estimate=audits.wilson(3, 9))
        for k in range(3)
    ]
    assert ">stripes, " in str(charts.dots(rows, "Seen", heads=("Concept, site", "n")).wide)

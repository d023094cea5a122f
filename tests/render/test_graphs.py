"""Pictures of graphs: layers from top to bottom, both widths, nothing unescaped, the same bytes, a table with all."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from xai_audit.evidence import Edge, Estimate, Graph, Node
from xai_audit.render import charts, graphs

SVG = "{http://www.w3.org/2000/svg}"


def estimate(value, half=0.1):
    return Estimate(value=value, low=value - half, high=value + half, n=50)


def circuit():
    ids = ["embed", "a0.h0.k", "a0.h1.v", "a0.h0", "a0.h1", "m0", "output"]
    owners = {"a0.h0.k": "a0.h0", "a0.h1.v": "a0.h1"}
    edges = [
        ("embed", "a0.h0.k", 4.0), ("embed", "a0.h1.v", 0.5), ("a0.h0", "m0", 2.0), ("a0.h1", "output", 0.4),
        ("m0", "output", 3.0), ("embed", "output", 0.3),
    ]  # fmt: skip
    return Graph(
        nodes=tuple(Node(id=one, site=owners.get(one)) for one in ids),
        edges=tuple(Edge(source=a, target=b, estimate=estimate(value)) for a, b, value in edges),
    )


def drawn(seen, width="wide"):
    return ElementTree.fromstring(str(getattr(graphs.graph(seen, "A title"), width)))


@pytest.mark.parametrize("width", ["wide", "narrow"])
def test_layers_follow_each_other_and_readers_are_their_head(width):
    root = drawn(circuit(), width)
    places = {one.text: (float(one.get("x")), float(one.get("y"))) for one in root.iter(f"{SVG}text")}
    assert set(places) == {"embed", "a0.h0", "a0.h1", "m0", "output"}
    assert (
        places["embed"][1] < places["a0.h0"][1] == places["a0.h1"][1] < places["m0"][1] < places["output"][1]
    )
    assert places["a0.h0"][0] < places["a0.h1"][0]
    assert all(
        0 <= x <= float(root.get("width")) and 0 <= y <= float(root.get("height")) for x, y in places.values()
    )
    assert root.find(f"{SVG}title").text == "A title"


def test_larger_effects_are_thicker_and_clear_ones_stand_out():
    seen = circuit()
    paths = list(drawn(seen).iter(f"{SVG}path"))
    widths = sorted(float(one.get("stroke-width")) for one in paths)
    assert len(paths) == 6
    assert widths[-1] == 4.0
    assert widths[0] < 1.1
    assert sum(one.get("class") == "s-accent" for one in paths) == 3
    assert [graphs.strong(edge, seen.edges) for edge in seen.edges] == [True, False, True, False, True, False]


def test_the_same_graph_gives_the_same_bytes_and_charts_draw_it():
    assert graphs.graph(circuit(), "t") == graphs.graph(circuit(), "t") == charts.draw(circuit(), "t")


def test_names_are_text_and_wide_layers_wrap():
    names = [f"l0.<b>{place}</b>" for place in range(30)]
    seen = Graph(
        nodes=tuple(Node(id=one) for one in [*names, "l1.0"]),
        edges=tuple(Edge(source=one, target="l1.0", estimate=estimate(1.0)) for one in names),
    )
    for width in ("wide", "narrow"):
        text = str(getattr(graphs.graph(seen, "<i>"), width))
        assert "<b>" not in text
        assert "<i>" not in text
        root = ElementTree.fromstring(text)
        rows: dict[str, list[float]] = {}
        for one in root.iter(f"{SVG}text"):
            rows.setdefault(one.get("y"), []).append(float(one.get("x")))
        assert len(rows) > 2
        assert all(
            b - a >= 50
            for line in rows.values()
            for a, b in zip(sorted(line), sorted(line)[1:], strict=False)
        )


def test_an_empty_graph_is_drawn():
    assert "<svg" in graphs.graph(Graph(nodes=(), edges=()), "none").wide


def test_the_table_lists_the_largest_first_and_says_what_is_left():
    table = graphs.table(circuit(), "Edges", "Effect")
    assert [line.cells[0].text for line in table.rows][:2] == ["embed", "m0"]
    assert re.match(r"4\.0", table.rows[0].cells[2].text)
    many = Graph(
        nodes=(Node(id="x"), *(Node(id=f"y.{place}") for place in range(30))),
        edges=tuple(Edge(source="x", target=f"y.{place}", estimate=estimate(1.0)) for place in range(30)),
    )
    assert graphs.table(many, "Edges", "Effect").notes == ("and 10 more in audit.json.",)

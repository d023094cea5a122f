from __future__ import annotations

from tests.render import specimens
from tests.render.test_examples import exhibits, of, panels
from xai_audit.render import galleries


def test_a_gallery_counts_its_labels_and_names_each_distance():
    asked, bare = panels(specimens.images(), "gallery")
    assert asked.title == "The surest mistake: 3 of the 5 nearest examples are labelled dog"
    assert asked.query.lines == ("horse", "predicted dog")
    assert asked.rows[0][1][0].lines == ("dog", "at 0.43")
    assert asked.rows[0][1][3].lines == ("cat", "predicted dog", "at 1.07")
    assert bare.query is None
    assert bare.title == "5\u00a0examples that stand for dog"


def test_suspects_alone_are_told_by_why_they_are_shown():
    case = specimens.gallery(query=None, nearest=[], why="labelled dog, but nearer to another class")
    (panel,) = panels(of([specimens.cases("prototypes/suspect_examples", "Examples", [case])]), "gallery")
    assert panel.title == "5\u00a0examples: labelled dog, but nearer to another class"
    assert panel.rows[0][0] == "Labelled dog"


def test_example_texts_are_a_table():
    table = next(e.table for e in exhibits(specimens.texts()) if e.table and e.table.kind == "neighbours")
    assert [row.cells[0].text for row in table.rows] == [
        "The text itself",
        "Nearest",
        "2",
        "Of another class",
    ]
    assert table.rows[2].cells[1].text.endswith("… (999 characters)")
    assert table.caption == "The least sure: both nearest examples are labelled negative"


def test_paper_has_the_first_galleries_and_a_screen_all():
    found = [
        e
        for e in exhibits(of([specimens.cases("p/examples", "Examples", [specimens.gallery()] * 8)]))
        if e.panel
    ]
    assert [e.screen for e in found] == [False] * galleries.PRINTED + [True] * (8 - galleries.PRINTED)


def test_without_distances_there_is_no_such_column():
    case = specimens.text_gallery()
    bare = {
        **case,
        "query": None,
        "nearest": [],
        "counter": [{"text": "a", "label": "x", "predicted": "y", "distance": None}],
    }
    table = next(
        e.table for e in exhibits(of([specimens.cases("p/examples", "Examples", [bare])])) if e.table
    )
    assert [column.head for column in table.columns] == ["Which", "Text", "Label"]
    assert table.rows[0].cells[2].sub == "predicted y"

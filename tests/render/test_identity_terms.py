from __future__ import annotations

from tests.render import specimens
from xai_audit.render import identity_terms
from xai_audit.render.report import report


def exhibits():
    return next(s for s in report(specimens.texts()).sections if s.id == "bias").exhibits


def test_the_three_areas_stand_in_one_table_with_what_they_mean():
    table = next(e.table for e in exhibits() if e.table and "Subgroup AUC" in e.table.caption)
    assert table is not None
    assert [c.head for c in table.columns[-3:]] == ["Subgroup AUC", "BPSN AUC", "BNSP AUC"]
    assert table.rows[0].cells[0].text == "All texts"
    lead = next(e.lead for e in exhibits() if "BPSN AUC" in e.lead)
    assert all(words in lead for words in identity_terms.AREAS.values())


def test_the_area_with_the_lowest_term_is_drawn_and_small_terms_keep_their_row():
    figure = next(e.figure for e in exhibits() if e.figure)
    assert figure is not None
    assert figure.title.startswith("BPSN AUC is lower for term gay than for term women")
    svg = str(figure.drawing.wide)
    assert "term sikh" in svg
    assert "n &lt; 10" in svg
    # Of the four terms with a number, three lie wholly below the number over all texts; 24 texts decide nothing.
    assert svg.count('class="s-accent"') == 3


def test_counterfactual_token_fairness_stands_beside_them():
    tables = [e.table for e in exhibits() if e.table]
    assert any("Counterfactual token fairness gap" in row.cells[0].text for t in tables for row in t.rows)

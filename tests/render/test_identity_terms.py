from __future__ import annotations

from tests.render import audits, specimens
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
    assert all(words.format(row="text", rows="texts") in lead for words in identity_terms.AREAS.values())


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


def test_exchanged_terms_are_drawn_a_block_for_each_list():
    figure = next(e.figure for e in exhibits() if e.figure and "same texts" in e.figure.title)
    assert figure is not None
    assert figure.title.replace("\u00a0", " ") == (
        "In the same texts the score is lowest with faith, christian, highest with faith, muslim: "
        "0.11 [0.07, 0.15] apart, larger than chance over all pairs"
    )
    svg = str(figure.drawing.wide)
    assert svg.index("muslim, faith") < svg.index("christian, faith") < svg.index("woman, sex")
    assert svg.count('class="s-accent"') == 2


def test_of_a_table_the_words_are_rows():
    audit = audits.audit(
        [], [specimens.area("bpsn_auc", "Background positive, subgroup negative AUC", 0.0)], "review"
    )
    found = next(s for s in report(audit).sections if s.id == "bias").exhibits
    assert "negative rows of the group" in found[0].lead
    assert found[1].table is not None
    assert found[1].table.rows[0].cells[0].text == "All rows"

from __future__ import annotations

import re

import pytest

from tests.render import audits, specimens
from xai_audit.render import concepts
from xai_audit.render.report import report
from xai_audit.render.visible import anchor

CAUSE = re.compile(
    r"\b(change[sd]?|raising|raises?|lowers?|drives?|because of|causes?|makes?|effects?|due to|leads to|moves?)\b"
)
"""Words of cause; ``because`` before a reason for a rung is none."""


def section(pieces):
    made = report(audits.audit([], pieces, "review", subject=specimens.subject("image")))
    return next(s for s in made.sections if s.id == "concepts")


@pytest.mark.parametrize("rung", ["described", "associated", "intervened", "robust"])
def test_a_word_of_cause_stands_from_intervened_on_and_never_below(rung: str):
    piece = specimens.concept("stripes", "layer3", 0.12, rung)
    said = concepts.sentence(piece).split(". It stands")[0].lower()
    assert bool(CAUSE.search(said)) == (rung in {"intervened", "robust"})
    figure = next(e.figure for e in section([piece]).exhibits if e.figure)
    assert bool(CAUSE.search(figure.title.lower())) == (rung in {"intervened", "robust"})
    assert not CAUSE.search(figure.subtitle.lower())


def test_every_number_of_a_claim_is_in_its_sentence():
    said = concepts.sentence(specimens.concept("stripes", "layer3", 0.12, "robust")).replace("\u00a0", " ")
    assert said == (
        "Raising “stripes” at layer3 from the random mean to the concept mean changed the probability of zebra by "
        "+0.12 [0.09, 0.15] (n = 400); sign score 0.91 [0.87, 0.94]; permutation over sets: p = 0.004, "
        "adjusted p = 0.020 over 6 claims (250 random sets); held-out accuracy of the concept's direction 0.93 [0.85, 0.97] "
        "(random sets 0.51); random directions of equal length 0.00 [0.00, 0.01]."
    )


def test_what_the_record_lacks_is_left_out_of_the_sentence():
    piece = specimens.concept("stripes", "layer3", 0.12, "robust")
    bare = piece.model_copy(update={"params": {k: piece.params[k] for k in concepts.KEYS}, "inference": None})
    assert concepts.sentence(bare).endswith("(n\u00a0=\u00a0400).")


def test_dark_is_what_an_edit_showed():
    figure = next(e.figure for e in section(specimens.concepts()).exhibits if e.figure)
    assert figure is not None
    assert str(figure.drawing.wide).count('class="s-accent"') == 2
    assert figure.title == "zebra: “stripes” changes the output"


def test_sites_stand_in_the_order_of_their_numbers():
    found = concepts._sites([p for p in specimens.concepts() if p.observation])
    assert found == ["layer3", "layer10"]


def test_claims_are_told_the_furthest_reaching_first_and_paper_has_the_first():
    many = [specimens.concept(f"c{k}", "layer3", 0.01 * k, "described") for k in range(50)]
    found = section([*many, specimens.concept("stripes", "layer3", 0.12, "robust")])
    told = [e.table for e in found.exhibits if e.table and e.table.kind == "claims"]
    assert [len(t.rows) for t in told] == [concepts.TOLD, 51 - concepts.TOLD]
    assert told[0].rows[0].cells[0].text == "robust"
    assert (told[0].screen, told[1].screen, told[1].folded) == (False, True, True)
    figures = [e for e in found.exhibits if e.figure]
    assert len(figures) == 2  # 51 rows, 40 in a picture


def test_without_concepts_there_is_no_such_annex():
    made = report(audits.failing())
    assert "concepts" not in {s.id for s in made.sections}
    assert "H" not in {entry[0] for entry in made.rail}
    assert "TCAV" not in dict(made.glossary)
    assert "TCAV" in dict(report(specimens.images()).glossary)


def test_a_skipped_concept_stands_there_with_its_reason():
    found = section(specimens.concepts())
    assert "the same for every input" in found.unmeasured[0].cells[2].text


def test_another_name_for_the_method_changes_nothing():
    piece = specimens.concept("stripes", "layer3", 0.12, "robust").model_copy(
        update={"id": "mine/x", "method": "mine"}
    )
    assert section([piece]).exhibits[0].figure is not None


@pytest.mark.parametrize(
    ("score", "said"),
    [
        ((0.99992, 0.99975, 1.0), "> 0.999 [0.999, 1.000]"),
        ((0.0004, 0.0, 0.001), "< 0.001 [0.000, 0.001]"),
        ((0.9982, 0.9970, 0.9995), "0.998 [0.997, 1.000]"),
        ((0.91, 0.87, 0.94), "0.91 [0.87, 0.94]"),
        ((1.0, 1.0, 1.0), "1"),
    ],
)
def test_a_sign_score_has_three_decimals_at_most_and_never_a_false_1(score, said: str):
    value, low, high = score
    estimate = audits.wilson(3, 9).model_copy(update={"value": value, "low": low, "high": high})
    assert concepts._share(estimate).replace("\u00a0", " ") == said


def test_an_interval_stands_below_its_number_so_that_columns_stay_apart():
    table = next(
        e.table for e in section(specimens.concepts()).exhibits if e.table and e.table.kind == "concepts"
    )
    for row in table.rows:
        for cell in row.cells[1:6]:
            assert "[" not in cell.text
            assert cell.sub.startswith("[") or cell.text in {"–", "1"} or not cell.sub
        assert "n\u00a0=" in row.cells[0].sub


def test_the_margin_names_two_ids_as_people_read_them_and_leads_to_the_register():
    pieces = [
        specimens.concept(f"c{k}", "layer3", 0.1, "described").model_copy(
            update={"id": f"tcav/c{k}%40layer3%40zebra"}
        )
        for k in range(5)
    ]
    notes = section(pieces).exhibits[0].margin
    ids = [note for note in notes if note.href.startswith("#evidence")]
    assert [note.text for note in ids] == ["tcav/c0@layer3@zebra", "tcav/c1@layer3@zebra"]
    assert ids[0].href == "#" + anchor("evidence", "tcav/c0%40layer3%40zebra")
    assert any(note.text.startswith("and 3 more") for note in notes)


def test_one_concept_is_named_in_the_title_and_its_rows_by_their_sites():
    pieces = [
        specimens.concept("a_word_too_long_for_its_place", site, 0.0, "described")
        for site in ("conv1", "conv2")
    ]
    figure = next(e.figure for e in section(pieces).exhibits if e.figure)
    assert "“a_word_too_long_for_its_place” does not stand out" in figure.title
    wide = str(figure.drawing.wide)
    assert ">conv1<" in wide
    assert ">conv2<" in wide

"""Circuits in words: one sentence a claim, a word of cause only where an edit showed one, ablations side by side."""

from __future__ import annotations

import functools

import pytest

pytest.importorskip("torch", reason="torch is not installed")

from tests.verify.explained import runs
from xai_audit.evidence import Evidence
from xai_audit.render import circuits


@functools.cache
def pieces():
    made, _ = runs.circuits()
    return made, [piece for piece in made.evidence if piece.method == "circuit_discovery"]


def changed(piece, **more):
    return Evidence.model_validate({**piece.model_dump(mode="json"), **more})


def test_a_claim_says_what_it_kept_and_what_random_circuits_keep():
    made, _ = pieces()
    claim = made.get("circuit_discovery/resample")
    said = circuits.sentence(claim)
    assert said.startswith(
        "Under resample ablation (logit difference, prompts of the set ioi) 4 of 64 edges keep "
    )
    assert "prompts not used to find them" in said
    assert "random circuits of equal size keep" in said
    assert "declared specifications" in said


def test_no_word_of_cause_below_intervened():
    made, _ = pieces()
    low = changed(made.get("circuit_discovery/resample"), rung="described")
    assert "edges go with " in circuits.sentence(low)
    assert "edges keep " not in circuits.sentence(low)


def test_a_circuit_that_is_everything_claims_nothing():
    made, _ = pieces()
    claim = made.get("circuit_discovery/resample")
    whole = changed(claim, params={**claim.params, "circuit_size": claim.params["elements"]})
    assert circuits.sentence(whole).endswith("all 64 edges stay, and nothing is claimed.")


def test_ablations_stand_side_by_side_and_each_circuit_is_drawn():
    made, own = pieces()
    shown = circuits.exhibits(made, own)
    sentences, measures = shown[0].table, shown[1].table
    assert len(sentences.rows) == len(measures.rows) == 4
    assert [line.cells[0].text for line in measures.rows] == ["resample", "mean", "zero", "mean"]
    titles = [one.figure.title for one in shown if one.figure]
    assert any(
        title.startswith("The circuit under resample ablation: 4\u00a0edges of 4 stand out")
        for title in titles
    )
    for one in shown:
        if one.figure and "<path" in one.figure.drawing.wide and one.figure.title.startswith("The circuit"):
            assert one.table is not None
            assert one.table.rows


def test_specifications_stand_by_their_axes():
    made, _ = runs.templates()
    own = [piece for piece in made.evidence if piece.method == "circuit_discovery"]
    table = circuits.exhibits(made, own)[-1].table
    heads = [column.head for column in table.columns]
    assert heads[:4] == ["Ablation", "Metric", "Threshold", "Template"]
    first = [
        [cell.text for cell in line.cells[:4]] for line in table.rows if line.cells[0].text == "resample"
    ]
    assert first == [
        ["resample", "logit difference", cut, one]
        for one in ("all prompts", "“left”", "“right”") for cut in ("85\u00a0%", "95\u00a0%")
    ]  # fmt: skip
    assert [line.begins for line in table.rows] == [place == 6 for place in range(12)]
    assert any("template “short”" in said for said in table.limits)
    assert any("1 template is neither used nor named" in said for said in table.limits)
    plain = circuits.exhibits(*pieces())[-1].table
    assert [column.head for column in plain.columns][:3] == ["Ablation", "Metric", "Threshold"]
    assert {len(line.cells) for line in plain.rows} == {6}


def test_a_template_is_shown_as_what_it_is():
    made, _ = runs.templates()
    piece = made.get("circuit_discovery/multiverse")
    rows = [row.replace("“left”", "“a, b <i>\u202e”") for row in piece.observation.rows]
    evil = changed(piece, observation={**piece.observation.model_dump(mode="json"), "rows": rows})
    table = circuits.exhibits(made, [evil])[-1].table
    assert table.rows[2].cells[3].text == "“a, b <i>\\u202e”"


def test_no_plain_mark_up_from_names():
    made, _ = pieces()
    claim = made.get("circuit_discovery/resample")
    evil = changed(claim, params={**claim.params, "prompts_from": "<script>\u202e"})
    assert "\u202e" not in circuits.sentence(evil)

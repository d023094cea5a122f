from __future__ import annotations

import pytest

from tests.render import audits, specimens
from xai_audit.evidence import Control, Inference, Robustness, exactly
from xai_audit.render import rungs
from xai_audit.rungs import ALPHA, held, rung


def claim(controls=(), inference=None, robustness=None):
    known = tuple(held(control) for control in controls)
    return audits.scalar(
        "m/part", audits.between(0.2, 0.1, 0.3, 50), "A claim", kind="explainer", controls=known,
        inference=inference, robustness=robustness, rung=rung(known, inference, robustness),
    )  # fmt: skip


def control(name: str, expectation: str, low: float, high: float, *, edit: bool = False) -> Control:
    return Control(
        name=name,
        expectation=expectation,
        estimate=audits.between((low + high) / 2, low, high, 20),
        edit=edit,
    )


GOOD = control("accuracy", "positive", 0.1, 0.3)
MOVE = control("the move", "positive", 0.1, 0.3, edit=True)
RANDOM = control("random moves", "null", -0.1, 0.1, edit=True)
TEST = Inference(p=0.001, adjusted=0.01, method="permutation", family="concepts", m=6)


@pytest.mark.parametrize(
    ("piece", "reached", "why"),
    [
        (claim([control("accuracy", "positive", -0.1, 0.3)]), "described", "accuracy, 0.10 [−0.10, 0.30], is not above 0"),
        (claim([GOOD], TEST.model_copy(update={"adjusted": 0.4})), "described", "adjusted p = 0.400 is over 0.05"),
        (claim([GOOD], TEST), "associated", "no edit inside the model was made"),
        (claim([GOOD, MOVE], TEST), "associated", "no random edit was made"),
        (claim([GOOD, RANDOM], TEST), "associated", "no edit that should work was made"),
        (claim([GOOD, MOVE, control("random moves", "null", 0.1, 0.2, edit=True)]), "associated", "random moves, 0.15 [0.10, 0.20], does not hold 0"),
        (claim([GOOD, MOVE, RANDOM], TEST), "intervened", "no variants were declared"),
        (claim([GOOD, MOVE, RANDOM], TEST, Robustness(specifications=10, agreeing=5, share=0.5)), "intervened", "5 of 10 declared variants agree"),
        (claim([GOOD, MOVE, RANDOM], TEST, Robustness(specifications=10, agreeing=9, share=0.9)), "robust", ""),
    ],
)  # fmt: skip
def test_the_record_alone_says_why_a_claim_stands_no_higher(piece, reached: str, why: str):
    assert piece.rung == reached
    assert rungs.halted(piece).replace("\u00a0", " ") == why


def test_the_threshold_is_that_of_the_rung():
    assert rungs.ALPHA == ALPHA


def test_no_rung_no_words():
    plain = audits.scalar("accuracy", audits.wilson(3, 9), "Accuracy")
    assert rungs.notes([plain]) == ()
    assert rungs.present([plain]) == ()
    assert rungs.controls([plain]) is None
    assert rungs.aside(plain) == ""


def test_the_margin_says_the_rung_and_leads_to_its_meaning():
    (note,) = rungs.notes([claim([GOOD], TEST)])
    assert (note.text, note.href) == ("Rung 2 of 4: associated", "#rungs")
    (note,) = rungs.notes(specimens.concepts())
    assert note.text == "Rungs: 2 described, 1 associated, 1 intervened, 1 robust"


def test_the_table_of_controls_holds_every_control_test_and_variant():
    robust = specimens.concept("stripes", "layer3", 0.12, "robust")
    table = rungs.controls([robust])
    assert table is not None
    assert [row.cells[3].text for row in table.rows] == ["holds"] * 6
    failed = rungs.controls([specimens.concept("dots", "layer3", 0.01, "described")])
    assert failed is not None
    assert "does not hold" in [row.cells[3].text for row in failed.rows]


def test_a_control_that_is_the_number_itself_is_not_said_twice():
    piece = claim(
        [Control(name="held to nothing", expectation="positive", estimate=audits.between(0.2, 0.1, 0.3, 50))],
        TEST,
    )
    assert "held to nothing" not in rungs.aside(piece)
    assert "adjusted p" in rungs.aside(piece)


@pytest.mark.parametrize(
    "found",
    [
        None,
        True,
        "0.5",
        {},
        {"value": None},
        {"value": 0.5, "n": -1},
        {"value": 0.5, "low": "a"},
        {"value": 0.5, "n": "many"},
    ],
)
def test_what_is_no_number_is_not_read(found):
    assert rungs.read(found) is None


def test_numbers_are_read_alone_and_with_their_interval():
    assert rungs.read(0.5) == exactly(0.5, 0)
    assert rungs.read({"value": 0.5, "low": None, "high": 0.7, "n": 9}) == audits.between(0.5, None, 0.7, 9)  # type: ignore[arg-type]

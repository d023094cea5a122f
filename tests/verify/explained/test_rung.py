"""How far a claim reaches is said the same way twice, for every combination of controls, test and variants."""

from __future__ import annotations

from itertools import product

import pytest

from xai_audit.evidence import Control, Estimate, Evidence, Inference, Robustness, Scalar, exactly
from xai_audit.rungs import held
from xai_audit.rungs import rung as told
from xai_audit.verify.explained import rung

INTERVALS = [
    (0.1, 0.2),
    (-0.1, 0.2),
    (0.0, 0.0),
    (0.0, 0.1),
    (None, 0.2),
    (0.1, None),
    (None, None),
    (-0.2, -0.1),
]
CONTROLS = [
    Control(
        name="c", expectation=expectation, estimate=Estimate(value=0.1, low=low, high=high, n=9), edit=edit
    )
    for expectation in ("null", "positive", "equal")
    for low, high in INTERVALS
    for edit in (False, True)
]


def claim(controls, inference, robustness, reached):
    return Evidence(
        id="tcav/a", method="tcav", kind="explainer", title="t", status="measured",
        observation=Scalar(estimate=exactly(1.0, 3)), controls=controls, inference=inference, robustness=robustness,
        rung=reached,
    )  # fmt: skip


@pytest.mark.parametrize("control", CONTROLS)
def test_a_control_passes_for_both_alike(control):
    assert rung.passes(control) == held(control).passed


def test_every_claim_reaches_as_far_for_both():
    tests = [None, *(Inference(p=p, adjusted=p, method="m", family="f", m=1) for p in (0.01, 0.05, 0.051))]
    variants = [None, *(Robustness(specifications=5, agreeing=k, share=k / 5) for k in (3, 4, 5))]
    some = [held(control) for control in CONTROLS]
    works = next(one for one in some if one.edit and one.expectation == "positive" and one.passed)
    null = next(one for one in some if one.edit and one.expectation == "null" and one.passed)
    seen = set()
    for test, variant, extra in product(tests, variants, [(), *((one,) for one in some)]):
        for controls in ((), extra, (works, *extra), (works, null, *extra)):
            right = told(controls, test, variant)
            seen.add(right)
            assert rung.claimed(claim(controls, test, variant, right)) == []
            wrong = "robust" if right != "robust" else "described"
            assert rung.claimed(claim(controls, test, variant, wrong))
    assert seen == {None, "described", "associated", "intervened", "robust"}


def test_a_p_value_below_its_own_and_a_share_of_other_counts_do_not_hold():
    test = Inference(p=0.04, adjusted=0.01, method="m", family="f", m=3)
    variant = Robustness(specifications=5, agreeing=3, share=0.8)
    found = rung.claimed(claim((), test, variant, told((), test, variant)))
    assert ["inference.adjusted" in one or "robustness.share" in one for one in found] == [True, True]
    word = Inference(
        p=0.04, adjusted=0.05, method="Student's t of one more neutral word", family="terms", m=3
    )
    assert "0.12" in rung.claimed(claim((), word, None, told((), word, None)))[0]

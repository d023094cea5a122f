from __future__ import annotations

import pytest

from xai_audit.evidence import Control, Estimate, Inference, Robustness
from xai_audit.rungs import held, rung


def control(expectation: str, value: float, *, width: float = 0.1, edit: bool = False) -> Control:
    estimate = Estimate(value=value, low=value - width, high=value + width, n=50)
    return held(Control(name="c", expectation=expectation, estimate=estimate, edit=edit))


@pytest.mark.parametrize(
    ("expectation", "value", "width", "passed"),
    [
        ("null", 0.05, 0.1, True),
        ("null", 0.2, 0.1, False),
        ("positive", 0.2, 0.1, True),
        ("positive", 0.05, 0.1, False),
        ("positive", 0.1, 0.1, False),
        ("equal", 0.0, 0.0, True),
        ("equal", 0.0, 0.1, False),
    ],
)
def test_a_control_passes_by_its_interval_alone(expectation, value, width, passed) -> None:
    assert control(expectation, value, width=width).passed is passed


def test_a_control_without_limits_passes_nothing() -> None:
    unbounded = Estimate(value=1.0, low=None, high=None, n=3)
    found = [
        held(Control(name="c", expectation=expectation, estimate=unbounded)).passed
        for expectation in ("null", "positive", "equal")
    ]
    assert found == [False, False, False]


def test_each_rung_asks_all_that_the_one_before_asks() -> None:
    seen = control("positive", 0.5)
    works, random = control("positive", 0.4, edit=True), control("null", 0.0, edit=True)
    sure = Inference(p=0.01, adjusted=0.02, method="permutation", family="all", m=2)
    unsure = sure.model_copy(update={"adjusted": 0.2})
    many = Robustness(specifications=10, agreeing=8, share=0.8)
    few = Robustness(specifications=10, agreeing=7, share=0.7)
    assert rung((), None, None) is None
    assert rung((seen,), sure, None) == "associated"
    assert rung((control("positive", 0.0),), sure, None) == "described"
    assert rung((seen,), unsure, None) == "described"
    # An edit that works says nothing without one at random that does not, and the other way round.
    assert rung((seen, works), sure, None) == "associated"
    assert rung((seen, random), sure, None) == "associated"
    assert rung((seen, works, random), sure, None) == "intervened"
    assert rung((seen, works, control("null", 0.4, edit=True)), sure, None) == "associated"
    assert rung((seen, control("positive", 0.0, edit=True), random), sure, None) == "associated"
    assert rung((seen, works, random), unsure, many) == "described"
    assert rung((seen, works, random), sure, few) == "intervened"
    assert rung((seen, works, random), sure, many) == "robust"
    assert rung((seen, random), sure, many) == "associated"

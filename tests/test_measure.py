from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.methods import HALF, MEAN_DRAW, NEEDY, Params
from tests.metrics.subjects import classifier
from xai_audit.evidence import Control, Estimate, Inference, Robustness, Scalar, exactly
from xai_audit.measure import Settings, Step, exact_mean, held, measure, rung
from xai_audit.method import Measured


@pytest.fixture
def subject():
    rng = np.random.default_rng(0)
    return classifier(rng.integers(0, 2, 100), rng.integers(0, 2, 100))


def test_what_was_yielded_before_a_failure_stays_and_the_failure_is_recorded(subject) -> None:
    found = measure(subject, [Step(HALF, Params(), "half")], Settings()).evidence
    assert [(piece.id, piece.status, piece.reason) for piece in found] == [
        ("half/first", "measured", None),
        ("half/second", "skipped", "no second"),
        ("half", "failed", "RuntimeError: broke half-way"),
    ]


def test_an_unmet_need_is_skipped_with_its_reason(subject) -> None:
    (piece,) = measure(subject, [Step(NEEDY, Params(), "needy")], Settings()).evidence
    assert piece.status == "skipped"
    assert "predictions only" in piece.reason


def test_one_or_more_workers_give_the_same_evidence(subject) -> None:
    steps = [Step(MEAN_DRAW, Params(), "mean_draw")]
    one, two = (measure(subject, steps, Settings(jobs=jobs)) for jobs in (1, 2))
    assert one.evidence == two.evidence
    assert one.arrays == two.arrays


def test_a_finished_piece_is_never_computed_twice(subject, tmp_path: Path) -> None:
    step = Step(MEAN_DRAW, Params(folder=str(tmp_path)), "mean_draw")
    whole = measure(subject, [step], Settings())
    (tmp_path / "log").unlink()
    settings = Settings(work=tmp_path / "work")
    (tmp_path / "stop").touch()
    with pytest.raises(KeyboardInterrupt):
        measure(subject, [step], settings)
    (tmp_path / "stop").unlink()
    assert len((tmp_path / "log").read_text().splitlines()) == 3
    resumed = measure(subject, [step], settings)
    computed = (tmp_path / "log").read_text().splitlines()
    assert (resumed.resumed, len(computed), len(set(computed))) == (3, 7, 7)
    assert resumed.evidence == whole.evidence
    assert resumed.arrays == whole.arrays


def test_the_sample_depends_on_content_and_seed_and_not_on_order(subject) -> None:
    order = np.random.default_rng(1).permutation(subject.test.n)
    shuffled = replace(subject, test=replace(subject.test, digests=subject.test.digests[order]))

    chosen = []
    for seen in (subject, shuffled):

        class Catch:
            rows = None

        def run(inner, _, context, catch=Catch):
            catch.rows = context.sample(20)[0]
            yield Measured(observation=Scalar(estimate=exactly(0, 1)))

        step = Step(replace(MEAN_DRAW, run=run), Params(), "x")
        measure(seen, [step], Settings(seed=3))
        chosen.append({bytes(seen.test.digests[row]) for row in Catch.rows})
    assert chosen[0] == chosen[1]
    assert len(chosen[0]) == 20


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


def test_the_recorded_control_is_the_one_its_numbers_give(subject) -> None:
    def run(subject, params, context):
        claimed = Control(name="c", expectation="positive", estimate=exactly(0, 1), passed=True)
        yield Measured(observation=Scalar(estimate=exactly(1, 1)), controls=(claimed,))

    liar = replace(HALF, run=run)
    (piece,) = measure(subject, [Step(liar, Params(), "half")], Settings()).evidence
    assert [one.passed for one in piece.controls] == [False]
    assert piece.rung == "described"


def test_exact_mean_does_not_depend_on_order() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=1000) * 10.0 ** rng.integers(-8, 8, 1000)
    assert len({exact_mean(rng.permutation(values)) for _ in range(50)}) == 1

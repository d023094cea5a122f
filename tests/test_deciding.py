"""One number held to one threshold: bounds, p, Holm and the rows that would settle it."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xai_audit.deciding import Threshold, hold, holm, more_rows, quantile, reach, sampled
from xai_audit.evidence import LEVELS, Estimate, exactly

N = NormalDist()
AT_LEAST, AT_MOST = Threshold("at_least", 0.8), Threshold("at_most", 0.1)


def normal(value: float, error: float, n: int = 500) -> Estimate:
    """An estimate whose limits are normal at every stored level."""
    stored = {
        level: (
            value - quantile((1 + float(level)) / 2) * error,
            value + quantile((1 + float(level)) / 2) * error,
        )
        for level in LEVELS
    }
    low, high = stored["0.95"]
    return Estimate(value=value, low=low, high=high, n=n, limits=stored)


@given(value=st.floats(-5, 5), error=st.floats(0.01, 3), level=st.floats(-5, 5))
def test_p_of_normal_limits_is_the_normal_p(value: float, error: float, level: float) -> None:
    z = (value - level) / error
    held = hold(normal(value, error), Threshold("at_least", level), 0.95, 0.95)
    assert held.p is not None
    if abs(z) < quantile((1 + 0.9999) / 2):
        assert held.p == pytest.approx(N.cdf(z), abs=1e-9)
    else:
        # Beyond the last stored level nothing is claimed.
        assert held.p == pytest.approx(0.5 + math.copysign(0.49995, z), abs=1e-9)
    mirrored = hold(normal(-value, error), Threshold("at_most", -level), 0.95, 0.95)
    assert mirrored.p == pytest.approx(held.p, abs=1e-12)


@given(
    value=st.floats(-5, 5),
    error=st.floats(0.01, 3),
    level=st.floats(-5, 5),
    confidence=st.sampled_from([0.9, 0.95, 0.99]),
)
def test_a_pass_is_the_one_sided_bound_meeting_the_threshold(
    value: float, error: float, level: float, confidence: float
) -> None:
    bound = value - quantile(confidence) * error
    held = hold(normal(value, error), Threshold("at_least", level), confidence, 0.95)
    if abs(bound - level) > 0.01 * error:  # between stored levels the bound is interpolated
        assert (held.kind == "pass") == (bound >= level)


def test_a_stored_limit_is_used_as_it_stands_not_interpolated() -> None:
    stored = dict.fromkeys(LEVELS, (0.8, 1.0))
    estimate = Estimate(value=0.9, low=0.8, high=1.0, n=50, limits=stored)
    assert hold(estimate, AT_LEAST, 0.95, 0.95).kind == "pass"  # exactly on the threshold meets it
    assert hold(estimate, Threshold("at_least", 0.8, strict=True), 0.95, 0.95).kind == "open"
    assert hold(estimate, Threshold("at_least", 0.8 + 1e-15), 0.95, 0.95).kind == "open"


def test_an_exact_number_is_compared_and_has_no_p() -> None:
    assert hold(exactly(0.8, 10), AT_LEAST, 0.95, 0.95).kind == "pass"
    assert hold(exactly(0.8, 10), Threshold("at_least", 0.8, strict=True), 0.95, 0.95).kind == "fail"
    assert hold(exactly(0.799, 10), AT_LEAST, 0.95, 0.95).kind == "fail"
    assert hold(exactly(0, 10), Threshold("equals", 0), 0.95, 0.95).kind == "pass"
    assert hold(exactly(1, 10), Threshold("equals", 0), 0.95, 0.95).kind == "fail"
    assert hold(exactly(1, 10), AT_LEAST, 0.95, 0.95).p is None


def test_limits_that_coincide_are_still_a_sample() -> None:
    """A model that equals its baseline on every row seen has not been shown to equal it."""
    none = Estimate(value=0, low=0, high=0, n=50, limits=dict.fromkeys(LEVELS, (0.0, 0.0)))
    assert sampled(none)
    held = hold(none, Threshold("at_least", 0, strict=True), 0.95, 0.95)
    assert (held.kind, held.p) == ("open", 0.5)


def test_unbounded_limits_neither_pass_nor_fail() -> None:
    stored: dict[str, tuple[float | None, float | None]] = dict.fromkeys(LEVELS, (None, None))
    estimate = Estimate(value=0.5, low=None, high=None, n=5, limits=stored)
    held = hold(estimate, AT_LEAST, 0.95, 0.95)
    assert (held.kind, held.p, held.bound) == ("open", 0.5, None)
    half = {level: (0.1, 0.7 if float(level) < 0.99 else None) for level in LEVELS}
    held = hold(Estimate(value=0.5, low=0.1, high=0.7, n=5, limits=half), AT_LEAST, 0.95, 0.95)
    assert held.p == pytest.approx(0.025)  # the last bounded level, 0.95, is all that is known


def test_equality_is_shown_by_exact_numbers_alone() -> None:
    assert hold(normal(0, 0.1), Threshold("equals", 0), 0.95, 0.95).kind == "open"
    assert hold(normal(0.5, 0.1), Threshold("equals", 0), 0.95, 0.95).p == pytest.approx(1e-4)


def test_without_stored_limits_the_interval_is_read_at_its_own_level() -> None:
    estimate = Estimate(value=0.5, low=0.3, high=0.7, n=50)
    held = hold(estimate, Threshold("at_least", 0.7), 0.95, 0.95)
    assert held.p == pytest.approx(0.025)
    assert hold(estimate, Threshold("at_least", 0.3), 0.975, 0.95).kind == "pass"
    assert hold(estimate, Threshold("at_least", 0.0), 0.99, 0.95).bound is None  # nothing is known beyond it


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_the_step_down_procedure(ps: list[float]) -> None:
    adjusted = [p for p, _ in holm(ps)]
    order = sorted(range(len(ps)), key=lambda index: ps[index])
    rejected, stopped = set(), False
    for rank, index in enumerate(order):
        stopped = stopped or ps[index] * (len(ps) - rank) > 0.05
        if not stopped:
            rejected.add(index)
    assert {index for index, p in enumerate(adjusted) if p <= 0.05} == rejected
    assert all(after >= before for before, after in zip(ps, adjusted, strict=True))


def test_holm_agrees_with_statsmodels() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    ps = [0.01, 0.04, 0.03, 0.005, 0.2, 0.9]
    assert [p for p, _ in holm(ps)] == pytest.approx(list(multitest.multipletests(ps, method="holm")[1]))


def test_the_rows_asked_for_decide_with_probability_080_if_the_value_stays() -> None:
    import random

    draw = random.Random(5)
    n, sd, value = 400, 1.0, 0.88
    error = sd / math.sqrt(n)
    more, hopeless = more_rows(
        normal(value, error, n), AT_LEAST, rows=n, confidence=0.95, error=0.05, interval=0.95, ratio=False
    )
    assert more is not None
    assert not hopeless
    later = sd / math.sqrt(n + more)
    passed = sum(draw.gauss(value, later) - quantile(0.95) * later >= 0.8 for _ in range(20_000))
    assert passed / 20_000 == pytest.approx(0.8, abs=0.01)


def test_rows_for_a_fail_count_what_holm_leaves() -> None:
    kwargs = {"rows": 400, "confidence": 0.95, "interval": 0.95, "ratio": False}
    alone, _ = more_rows(normal(0.72, 0.06), AT_LEAST, error=0.05, **kwargs)
    among_five, _ = more_rows(normal(0.72, 0.06), AT_LEAST, error=0.01, **kwargs)
    assert alone is not None
    assert among_five is not None
    assert alone < among_five
    assert among_five == pytest.approx(
        400 * (((quantile(0.99) + quantile(0.8)) / (0.08 / 0.06)) ** 2 - 1), abs=1
    )


def test_rows_for_a_ratio_are_found_on_the_logarithmic_scale() -> None:
    value, error = math.log(0.72), 0.12
    stored = {
        level: tuple(math.exp(value + sign * quantile((1 + float(level)) / 2) * error) for sign in (-1, 1))
        for level in LEVELS
    }
    low, high = stored["0.95"]
    estimate = Estimate(value=0.72, low=low, high=high, n=442, limits=stored)
    more, _ = more_rows(estimate, AT_LEAST, rows=442, confidence=0.95, error=0.05, interval=0.95, ratio=True)
    z = (math.log(0.8) - value) / error
    assert more == pytest.approx(442 * (((quantile(0.95) + quantile(0.8)) / z) ** 2 - 1), abs=1)


def test_on_or_beside_the_threshold_no_number_of_rows_is_named() -> None:
    kwargs = {"rows": 400, "confidence": 0.95, "error": 0.05, "interval": 0.95, "ratio": False}
    assert more_rows(normal(0.8, 0.05), AT_LEAST, **kwargs) == (None, True)
    assert more_rows(normal(0.801, 0.05), AT_LEAST, **kwargs) == (None, True)
    near = 0.8 + 0.05 * (quantile(0.95) + quantile(0.8)) / math.sqrt(99)
    assert more_rows(normal(near, 0.05), AT_LEAST, **kwargs)[1] is False


def test_reach_is_cautious_where_limits_stand_still() -> None:
    assert reach([(0.0, 0.5), (1.0, 0.7), (2.0, 0.7), (3.0, 0.9)], 0.7) == 1.0
    assert reach([(0.0, 0.5), (1.0, 0.7), (2.0, None)], 0.9) == 1.0
    assert reach([(0.0, 0.5), (1.0, 0.7)], 0.9) == 1.0

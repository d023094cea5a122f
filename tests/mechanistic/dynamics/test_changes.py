from __future__ import annotations

import numpy as np
import pytest

from xai_audit.mechanistic.dynamics import changes

STEPS = np.arange(0, 10_001, 200)


def logistic(start: float, end: float) -> np.ndarray:
    """A tenth of the way at start, nine tenths at end."""
    return 1 / (1 + 9 ** (-(2 * STEPS - start - end) / (end - start)))


def smooth(start: float, end: float) -> np.ndarray:
    """A third shape, that is not fitted."""
    # 3u^2 - 2u^3 is a tenth at u = 0.1958.
    u = np.clip((STEPS - start) / (end - start) * (1 - 2 * 0.1958) + 0.1958, 0, 1)
    return 3 * u**2 - 2 * u**3


def noise(seed: int, scale: float = 0.02) -> np.ndarray:
    return np.random.default_rng([seed, 99]).normal(size=len(STEPS)) * scale


@pytest.mark.parametrize("shape", [logistic, smooth])
@pytest.mark.parametrize(("start", "end"), [(1500, 4000), (4000, 5000), (3000, 8000)])
def test_a_change_is_found_where_it_was_put(shape, start: int, end: int) -> None:
    found = changes.ramp(STEPS, 0.1 + 0.8 * shape(start, end) + noise(start), np.random.default_rng(0))
    # A long change of a shape that is not fitted begins no more sharply than by a tenth of its length.
    near = 0.1 * (end - start)
    assert found.start.value == pytest.approx(start, abs=max(0.1 * start, near))
    assert found.end.value == pytest.approx(end, abs=max(0.1 * end, near))
    assert found.rise == pytest.approx(0.8, rel=0.1)
    assert found.start.low < found.start.value < found.start.high
    assert found.start.high - found.start.low >= 200


def test_a_fall_is_a_change_too() -> None:
    found = changes.ramp(STEPS, 1 - 0.7 * logistic(3000, 6000), np.random.default_rng(0))
    assert found.rise == pytest.approx(-0.7, abs=0.01)


def test_phases_are_where_they_were_put() -> None:
    train, held_out = logistic(200, 1200), 0.02 + 0.95 * logistic(5000, 7000)
    excluded = 1 - logistic(2500, 5000)
    found = changes.phases(
        STEPS, train + noise(1), held_out + noise(2), np.random.default_rng(0), excluded=excluded + noise(3)
    )
    assert found.signature, found.reason
    assert list(found.named()) == ["memorization", "circuit formation", "cleanup"]
    truth = {"memorization": 1200, "circuit formation": 5000, "cleanup": 7000}
    for name, at in found.named().items():
        assert at.value == pytest.approx(truth[name], rel=0.1)
    assert found.circuit is not None
    assert found.circuit.value == pytest.approx(2500, rel=0.1)
    assert found.delay is not None
    assert found.delay.low > 3000


def test_no_signature_where_there_is_none() -> None:
    rng = np.random.default_rng(0)
    train = logistic(200, 1200) + noise(4)
    never = changes.phases(STEPS, train, 0.02 + np.abs(noise(5)), rng)
    assert not never.signature
    assert "did not rise" in never.reason
    assert list(never.named()) == ["memorization"]
    together = changes.phases(STEPS, train, logistic(200, 1200) + noise(6), rng)
    assert not together.signature
    assert "when training answers were memorised" in together.reason
    unlearnt = changes.phases(STEPS, 0.1 + 0.3 * train, logistic(3000, 5000), rng)
    assert not unlearnt.signature
    assert "not memorised" in unlearnt.reason
    few = changes.phases(STEPS[:3], train[:3], train[:3], rng)
    assert not few.signature
    assert "too few" in few.reason


def test_known_from_the_first_recording_on() -> None:
    found = changes.phases(
        STEPS, np.full(len(STEPS), 0.99) + noise(7, 0.001), logistic(4000, 6000), np.random.default_rng(0)
    )
    assert found.signature
    assert found.memorised is not None
    assert found.memorised.value == 0


def test_what_cannot_be_fitted() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="5 are needed"):
        changes.ramp([0, 1], np.zeros(2), rng)
    with pytest.raises(ValueError, match="rising"):
        changes.ramp([0, 1, 1, 2, 3], np.zeros(5), rng)
    with pytest.raises(ValueError, match="rising"):
        changes.ramp(range(5), np.array([0, np.nan, 0, 0, 1]), rng)


def test_over_runs() -> None:
    found = changes.across([2000.0, 2400.0, 2200.0])
    assert found.value == 2200
    assert found.low < 2000
    assert found.high > 2400
    with pytest.raises(ValueError, match="two"):
        changes.across([1.0])

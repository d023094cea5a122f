from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.methods import HALF, MEAN_DRAW, NEEDY, Params
from tests.metrics.subjects import classifier
from xai_audit.errors import UnwrittenError
from xai_audit.evidence import Control, Scalar, exactly
from xai_audit.measure import Settings, Step, exact_mean, measure
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


WORKERS_LEAVE = """
import faulthandler, sys, time
import numpy as np
from joblib._parallel_backends import LokyBackend
from tests.methods import MEAN_DRAW, Params
from tests.metrics.subjects import classifier
from xai_audit.measure import Settings, Step, measure

configure = LokyBackend.configure
LokyBackend.configure = lambda self, *a, **k: configure(self, *a, **{**k, "idle_worker_timeout": 0.4})  # of 300 s
labels = np.random.default_rng(0).integers(0, 2, 100)
faulthandler.dump_traceback_later(60, exit=True)
for _ in range(4):
    found = measure(classifier(labels, labels), [Step(MEAN_DRAW, Params(), "mean_draw")], Settings(jobs=2))
    assert [piece.status for piece in found.evidence] == ["measured"], found.evidence
    # Workers leave, and the thread that would notice has no turn before new pieces come.
    sys.setswitchinterval(5)
    end = time.perf_counter() + 0.65
    while time.perf_counter() < end:
        pass
"""


def test_workers_that_leave_as_pieces_come_are_not_waited_for() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", WORKERS_LEAVE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


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


def test_a_kept_piece_that_is_broken_is_computed_again(subject, tmp_path: Path) -> None:
    step, settings = Step(MEAN_DRAW, Params(), "mean_draw"), Settings(work=tmp_path)
    whole = measure(subject, [step], settings)
    kept = sorted((tmp_path / "pieces").glob("*.npz"))
    rng = np.random.default_rng(5)
    for number, path in enumerate(kept):
        content = bytearray(path.read_bytes())
        if number % 2:
            del content[rng.integers(len(content)) :]
        else:
            content[:] = bytes(rng.integers(0, 256, len(content), dtype=np.uint8))
        path.write_bytes(content)
    again = measure(subject, [step], settings)
    assert (again.resumed, again.evidence) == (0, whole.evidence)
    assert measure(subject, [step], settings).resumed == len(kept) == 7


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_piece_that_cannot_be_kept_ends_the_run_and_is_no_evidence(
    subject, tmp_path: Path, jobs: int
) -> None:
    (tmp_path / "work").write_text("in the way")
    with pytest.raises(UnwrittenError, match="cannot be written"):
        measure(
            subject, [Step(MEAN_DRAW, Params(), "mean_draw")], Settings(work=tmp_path / "work", jobs=jobs)
        )


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

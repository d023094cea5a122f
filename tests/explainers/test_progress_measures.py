"""Training dynamics on checkpoints whose phases, frequencies and circuit were put there by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.explainers import training_beds as beds
from xai_audit.evidence import Curve, Scalar
from xai_audit.explainers.progress_measures import METHOD
from xai_audit.measure import Settings, Step, measure

MODULAR = {"numbers": ["a", "b"]}


def observed(subject, **params):
    step = Step(METHOD, METHOD.params.model_validate({"resamples": 100, **params}), METHOD.id)
    found = measure(subject, [step], Settings(seed=4))
    return {piece.id.partition("/")[2]: piece for piece in found.evidence}, found


@pytest.fixture(scope="module")
def grokked(tmp_path_factory):
    subject = beds.subject(tmp_path_factory.mktemp("grokked"))
    return subject, *observed(subject, modular=MODULAR)


@pytest.fixture(scope="module")
def memorised(tmp_path_factory):
    subject = beds.subject(tmp_path_factory.mktemp("memorised"), circuit=False)
    return subject, *observed(subject, modular=MODULAR)


def test_every_part_is_there_and_none_failed(grokked) -> None:
    _, pieces, _ = grokked
    assert list(pieces) == ["", "weights", "phases", "grokking", "fourier", "circuit"]
    assert {piece.status for piece in pieces.values()} == {"measured"}
    assert "the last checkpoint is the audited network" in pieces[""].limits


def test_phases_end_where_they_were_put(grokked) -> None:
    _, pieces, _ = grokked
    phases = pieces["phases"]
    assert phases.params["grokking_signature"]
    assert phases.params["finding"].startswith("A grokking signature: ")
    assert isinstance(phases.observation, Curve)
    ends = {point.x: point.estimate for point in phases.observation.series[0].points}
    assert list(ends) == ["memorization ends", "circuit formation ends", "cleanup ends"]
    improving, improved = beds.improves()
    assert 0 < ends["memorization ends"].value < beds.MEMORISED
    # Nothing is seen between two checkpoints, 200 steps apart.
    assert ends["circuit formation ends"].value == pytest.approx(improving, abs=200)
    assert ends["cleanup ends"].value == pytest.approx(improved, abs=200)
    assert all(estimate.low < estimate.value < estimate.high for estimate in ends.values())


def test_the_circuit_is_found_and_its_removal_confirmed(grokked) -> None:
    _, pieces, _ = grokked
    circuit = pieces["circuit"]
    assert circuit.params["key_frequencies"] == list(beds.KEYS)
    assert isinstance(circuit.observation, Scalar)
    assert circuit.observation.estimate.value > 0.9
    assert {control.name: control.passed for control in circuit.controls} == {
        control.name: True for control in circuit.controls
    }
    assert circuit.params["accuracy_keys_alone"] == 1
    assert circuit.inference.p == pytest.approx(1 / 51)
    assert circuit.rung == "robust"


def test_restricted_and_excluded_losses_tell_the_story(grokked) -> None:
    _, pieces, _ = grokked
    series = {
        one.name: [point.estimate.value for point in one.points]
        for one in pieces["fourier"].observation.series
    }
    alone, without = (
        series["key frequencies alone, held-out pairs"],
        series["without key frequencies, training pairs"],
    )
    assert alone[0] > 2
    assert alone[-1] < 0.1
    # Once memorised, before the circuit, the trained answers do not need it; in the end they do.
    assert without[4] < 0.1
    assert without[-1] > 0.4
    assert alone[-1] < series["whole network, held-out pairs"][-1] + 1e-3


def test_generalisation_after_memorisation_is_told_from_its_null(grokked) -> None:
    _, pieces, _ = grokked
    claim = pieces["grokking"]
    assert claim.observation.estimate.low > 0.8
    assert claim.rung == "associated"
    assert all(control.passed for control in claim.controls)
    assert claim.params["held_out_before"] < 0.2
    assert claim.params["held_out_after"] > 0.95


def test_a_memorised_network_has_no_signature_and_no_circuit(memorised) -> None:
    _, pieces, _ = memorised
    assert not pieces["phases"].params["grokking_signature"]
    assert pieces["phases"].params["finding"].startswith("No grokking signature: ")
    claim = pieces["grokking"]
    assert claim.observation.estimate.low <= 0 <= claim.observation.estimate.high
    assert claim.rung == "described"
    circuit = pieces["circuit"]
    assert circuit.status == "skipped" or circuit.rung in {"described", "associated"}


def test_without_a_declared_task_the_generic_measures_stand(grokked) -> None:
    subject, pieces, _ = grokked
    generic, _ = observed(subject)
    assert list(generic) == ["", "weights", "phases", "grokking"]
    assert generic[""].observation == pieces[""].observation
    assert generic["phases"].params["grokking_signature"]


def test_the_same_twice(grokked) -> None:
    subject, pieces, _ = grokked
    again, _ = observed(subject, modular=MODULAR)
    assert {name: piece.model_dump_json() for name, piece in again.items()} == {
        name: piece.model_dump_json() for name, piece in pieces.items()
    }


def test_headline_numbers_follow_from_the_arrays(grokked) -> None:
    import io

    _, pieces, found = grokked
    kept = np.load(io.BytesIO(found.arrays[pieces[""].arrays["steps"]]))
    held_out = pieces[""].observation.series[0]
    assert [point.estimate.value for point in held_out.points] == pytest.approx(
        kept["held_out_losses"].mean(axis=1)
    )
    claim = np.load(io.BytesIO(found.arrays[pieces["grokking"].arrays["after"]]))
    assert pieces["grokking"].observation.estimate.value == pytest.approx(
        (claim["after"] - claim["before"]).mean()
    )


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"modular": {"numbers": ["a", "c"]}}, "no feature 'c'; there are a, b"),
        (
            {"modular": {"numbers": ["a", "b"], "operation": "subtract"}},
            "have another target than a - b modulo 23",
        ),
        (
            {"modular": {"numbers": ["a", "b"], "embedding": "emb"}},
            "no parameter 'emb'; there are embed.weight",
        ),
        ({"checkpoints": "ckpt"}, "no 'ckpt' in model.checkpoints; it is one pattern without a name"),
    ],
)
def test_what_is_asked_wrongly_is_told(grokked, params, reason) -> None:
    subject, _, _ = grokked
    pieces, _ = observed(subject, **params)
    failed = [piece for piece in pieces.values() if piece.status == "failed"]
    assert failed
    assert reason in failed[0].reason


def test_weights_of_another_network_are_refused(grokked, tmp_path) -> None:
    subject, _, _ = grokked
    path = beds.checkpoints.write(beds.nn.Linear(2, 3), tmp_path, 7)
    strange = beds.checkpoints.found(path.parent, "*.safetensors")
    pieces, _ = observed(replace(subject, checkpoints={"": (*subject.checkpoints[""], *strange)}))
    assert pieces[""].status == "failed"
    assert "step-0000007.safetensors does not fit the network: it lacks" in pieces[""].reason


def test_no_checkpoints_no_dynamics(grokked) -> None:
    subject, _, _ = grokked
    pieces, _ = observed(replace(subject, checkpoints={}))
    assert pieces[""].status == "skipped"
    assert pieces[""].reason.startswith("it needs checkpoints")

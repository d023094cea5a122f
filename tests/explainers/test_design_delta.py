"""Differences between ways of training, on networks whose units are set by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.explainers import pair_beds as beds
from xai_audit.explainers.design_delta import METHOD
from xai_audit.measure import Settings, Step, measure


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    return beds.subject(tmp_path_factory.mktemp("pairs"))


def observed(subject, **params):
    given = {"site": "act", "concepts": beds.CONCEPTS, **params}
    step = Step(METHOD, METHOD.params.model_validate(given), METHOD.id)
    found = measure(subject, [step], Settings(seed=2))
    return {piece.id.partition("/")[2]: piece for piece in found.evidence}


@pytest.fixture(scope="module")
def pieces(subject):
    return observed(subject)


def test_what_was_changed_is_what_is_told(pieces) -> None:
    assert {piece.status for piece in pieces.values()} == {"measured"}
    assert pieces["accuracy"].params["before_mean"] == pieces["accuracy"].params["after_mean"] == 1
    assert pieces["accuracy"].rung == "described"
    # A unit of x0 + x1 is above for x0 in 7 of 8 pairs of rows; the aligned unit in all.
    assert pieces["best_unit_auroc"].params["before_mean"] == pytest.approx(0.875, abs=0.06)
    assert pieces["best_unit_auroc"].params["after_mean"] == 1
    assert pieces["circuit_size"].params["after_mean"] == 2
    assert pieces["circuit_size"].observation.estimate.high < 0
    assert pieces["nonzero_weights"].params["after_mean"] == pytest.approx(4 / 36)
    assert pieces["active_units"].observation.estimate.value < 0
    for name in ("best_unit_auroc", "circuit_size", "nonzero_weights"):
        assert pieces[name].rung == "associated", name
    assert pieces["auroc@first".replace("@", "%40")].observation.estimate.low > 0
    assert "rose" in pieces["best_unit_auroc"].params["finding"]
    assert "fell" in pieces["circuit_size"].params["finding"]


def test_the_table_holds_every_measure(pieces) -> None:
    table = pieces[""].observation
    assert table.columns == ("before", "after", "difference", "low", "high")
    assert len(table.rows) == 7
    assert pieces[""].params["pairs"] == [0, 1, 2, 3, 4, 5]


def test_shuffled_concepts_fall_to_one_half(pieces) -> None:
    control = pieces["best_unit_auroc"].controls[0]
    assert control.passed
    assert control.estimate.value == pytest.approx(0, abs=0.05)


def test_the_same_networks_differ_in_nothing(subject) -> None:
    same = replace(subject, checkpoints={**subject.checkpoints, "after": subject.checkpoints["before"]})
    found = observed(same)
    for name, piece in found.items():
        if name:
            assert piece.observation.estimate.value == 0, name
            assert piece.rung in {None, "described"}, name


def test_one_pair_has_no_interval(subject) -> None:
    one = {name: files[:1] for name, files in subject.checkpoints.items()}
    found = observed(replace(subject, checkpoints=one))
    estimate = found["circuit_size"].observation.estimate
    assert (estimate.low, estimate.high, estimate.n) == (None, None, 1)
    assert found["circuit_size"].rung == "described"
    assert "no interval" in found["circuit_size"].params["finding"]


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"site": None}, "name a site, as site: act; this network has hidden, act, read"),
        ({"before": "plain"}, "no 'plain' in model.checkpoints; it has before, after"),
        ({"after": "before"}, "before and after name the same files"),
        ({"concepts": [{"name": "c", "where": "z == 1"}]}, "concept c: "),
    ],
)
def test_what_is_asked_wrongly_is_told(subject, params, reason) -> None:
    found = observed(subject, **params)
    assert found[""].status == "failed"
    assert reason in found[""].reason


def test_pairs_need_the_same_numbers(subject) -> None:
    known = {**subject.checkpoints, "after": subject.checkpoints["after"][:-1]}
    found = observed(replace(subject, checkpoints=known))
    assert found[""].status == "failed"
    assert "5 stand alone" in found[""].reason


def test_a_concept_of_few_rows_is_skipped(subject) -> None:
    found = observed(subject, concepts=[{"name": "rare", "where": "x0 == 7"}])
    assert found["auroc%40rare"].status == "skipped"
    assert "best_unit_auroc" not in found

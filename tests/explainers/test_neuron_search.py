"""The search end to end: units in order with their edits; a planted trigger found and undone, its twin not."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from tests import deep  # noqa: E402
from tests.explainers import probing_beds as beds  # noqa: E402
from xai_audit.explainers import neuron_search  # noqa: E402
from xai_audit.measure import Settings, Step, measure  # noqa: E402
from xai_audit.mechanistic.probing import planted  # noqa: E402


def audited(subject, *, debug=True, **params):
    chosen = {"permutations": 99, "planted": 0, **params}
    step = Step(neuron_search.METHOD, neuron_search.METHOD.params.model_validate(chosen), "neuron_search")
    return {piece.id: piece for piece in measure(subject, [step], Settings(debug=debug)).evidence}


@pytest.fixture(scope="module")
def ranked():
    return audited(beds.subject(), predicates=beds.PREDICATES, sites=["inner", "bend"], top=5)


def test_the_units_that_tell_come_first_with_what_they_do(ranked):
    items = ranked["neuron_search/used"].observation.items
    assert {item.name for item in items[:2]} == {"inner:0", "bend:0"}
    assert all(item.detail["adjusted_p"] == 0.01 for item in items[:2])
    assert all(item.detail["adjusted_p"] > 0.05 for item in items[2:])
    assert (items[0].rank_low, items[0].rank_high) == (1, 2)
    assert items[2].rank_low >= 3
    assert abs(items[0].detail["effect"]) > 0.3 > abs(items[4].detail["effect"])


def test_rungs_follow_from_the_edit(ranked):
    assert ranked["neuron_search/used"].rung == "intervened"
    assert ranked["neuron_search/unused"].rung == "associated"
    assert ranked["neuron_search/nothing"].rung == "described"
    assert ranked["neuron_search/used"].inference.m == 2 * beds.D * 3


def triggered(bed, rows=400):
    rng = np.random.default_rng([4, 4])
    drawn = bed.rows(rows, rng)
    return deep.subject(
        bed.network,
        deep.rows(drawn.clean, drawn.classes, name="test"),
        "table",
        sets={
            "stamped": deep.rows(drawn.triggered, name="stamped"),
            "plain": deep.rows(drawn.clean, name="plain"),
        },
    )


@pytest.fixture(scope="module")
def twins():
    return planted.beds(1, 48, np.random.default_rng([1, 1]))


TRIGGER = {"name": "stamp", "triggered": "stamped", "target": "1"}


def test_a_planted_trigger_is_found_and_undone(twins):
    found = audited(triggered(twins[0]), triggers=[TRIGGER], sites=["site"])
    piece = found["neuron_search/stamp%40site"]
    assert piece.rung == "intervened"
    assert piece.observation.estimate.low > 0.9
    assert piece.params["success_before"]["value"] > 0.95
    assert piece.params["success_after"]["value"] <= 0.05
    assert piece.params["cost"] <= 0.01
    assert [control.passed for control in piece.controls] == [True] * 4
    table = found["neuron_search/stamp%40site%40edits"].observation
    assert table.columns == ("attack success", "clean accuracy")
    assert table.rows[0] == "none"
    assert len(table.rows) == 7


def test_a_clean_twin_is_described_at_most(twins):
    piece = audited(triggered(twins[1]), triggers=[TRIGGER], sites=["site"])["neuron_search/stamp%40site"]
    assert piece.rung == "described"
    assert not piece.controls[0].passed


def test_without_labels_the_cost_is_of_decisions(twins):
    found = audited(triggered(twins[0]), triggers=[{**TRIGGER, "clean": "plain"}], sites=["site"])
    piece = found["neuron_search/stamp%40site"]
    assert piece.params["clean_before"] == 1.0
    # Clean rows of the target class are among those compared with.
    assert piece.params["clean_rate"]["value"] > 0.2


def test_power_is_stated(twins):
    found = audited(triggered(twins[0], 80), triggers=[TRIGGER], sites=["site"], planted=2)
    piece = found["neuron_search/stamp%40site"]
    assert piece.params["power"]["planted"] == piece.params["power"]["twins"] == 2
    assert piece.selftest.estimate.n == 2
    assert "2 planted triggers and 2 clean twins, 48 units" in piece.selftest.bed


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({}, "name predicates"),
        ({"triggers": [{**TRIGGER, "target": "7"}], "sites": ["site"]}, "no class '7'; the classes are 0, 1"),
        ({"triggers": [{**TRIGGER, "triggered": "x"}], "sites": ["site"]}, "no set named x"),
        ({"triggers": [TRIGGER]}, "name sites"),
    ],
)
def test_what_cannot_be_done_is_told(twins, params, told):
    (piece,) = audited(triggered(twins[0], 80), debug=False, **params).values()
    assert piece.status == "failed"
    assert told in piece.reason


def test_few_rows_are_skipped(twins):
    found = audited(triggered(twins[0], 30), triggers=[TRIGGER], sites=["site"])
    assert found["neuron_search/stamp%40site"].status == "skipped"
    assert "fewer than 40" in found["neuron_search/stamp%40site"].reason

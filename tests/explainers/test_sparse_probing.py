"""Probes end to end: used units are intervened, unused ones associated, nothing is nothing; the random twin falls to it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

torch = pytest.importorskip("torch", reason="torch is not installed")

from tests.explainers import probing_beds as beds  # noqa: E402
from xai_audit.explainers import sparse_probing  # noqa: E402
from xai_audit.measure import Settings, Step, measure  # noqa: E402


def audited(subject, *, debug=True, seed=0, **params):
    chosen = {"predicates": beds.PREDICATES, "sites": ["inner"], "k": [1, 2], "permutations": 99, **params}
    step = Step(sparse_probing.METHOD, sparse_probing.METHOD.params.model_validate(chosen), "sparse_probing")
    return {piece.id: piece for piece in measure(subject, [step], Settings(debug=debug, seed=seed)).evidence}


def identifier(name, *more):
    return "sparse_probing/" + "%40".join([name, "inner", *more])


@pytest.fixture(scope="module")
def evidence():
    return audited(beds.subject())


def test_a_unit_that_is_used_is_intervened_and_one_that_is_not_is_associated(evidence):
    used, unused, nothing = (evidence[identifier(name)] for name in ("used", "unused", "nothing"))
    assert used.params["units"] == [0]
    assert unused.params["units"] == [1]
    assert used.rung == "robust"
    assert unused.rung == "associated"
    assert nothing.rung == "described"
    assert used.inference.adjusted == unused.inference.adjusted == 0.01
    assert nothing.inference.adjusted > 0.05
    assert used.inference.m == 3 * beds.D
    assert used.observation.estimate.low > 0.7
    assert used.params["effect"]["value"] == pytest.approx(used.params["gap"], abs=0.05)
    assert abs(unused.params["effect"]["value"]) < 0.01


def test_no_probe_is_above_associated_without_an_edit_that_works_and_a_random_one_that_does_nothing(evidence):
    for piece in evidence.values():
        edits = [control for control in piece.controls if control.edit]
        if piece.rung in {"intervened", "robust"}:
            assert {control.expectation for control in edits} == {"positive", "null"}
            assert all(control.passed for control in edits)


def test_random_edits_that_all_push_one_way_stop_a_claim():
    net = beds.network()
    with torch.no_grad():
        # Every unit carries the used predicate a little, and is read the same way.
        net.module.inner.weight[1:] *= 0.1
        net.module.inner.weight[:, 0] = 0.5
        net.module.out.weight[0, 0] = 0.1
        net.module.out.weight[0, 1:] = 0.1
    piece = audited(beds.subject(net), predicates=beds.PREDICATES[:1])[identifier("used")]
    control = next(one for one in piece.controls if one.edit and one.expectation == "null")
    assert not control.passed
    assert piece.rung == "associated"


def test_the_random_twin_falls_to_its_null():
    net = beds.network()
    twin = net.twin(np.random.default_rng([3, 3]))
    piece = audited(beds.subject(twin), predicates=beds.PREDICATES[2:])[identifier("nothing")]
    assert piece.rung == "described"
    flat = beds.network(used=0.0)
    with torch.no_grad():
        flat.module.inner.weight[:] = 0.0
    found = audited(beds.subject(flat), predicates=beds.PREDICATES[:1])
    assert found[identifier("used")].status == "skipped"
    assert "0 units of inner vary" in found[identifier("used")].reason


def test_the_number_is_that_of_its_arrays(evidence):
    piece = evidence[identifier("used")]
    outcome = measure(
        beds.subject(),
        [Step(sparse_probing.METHOD, sparse_probing.METHOD.params.model_validate(
            {"predicates": beds.PREDICATES, "sites": ["inner"], "k": [1, 2], "permutations": 99}), "sparse_probing")],
        Settings(debug=True),
    )  # fmt: skip
    import io

    with np.load(io.BytesIO(outcome.arrays[piece.arrays["holds"]])) as kept:
        holds, others = kept["holds"], kept["others"]
        changes, which = kept["changes"], kept["edited_holds"]
    area = roc_auc_score(np.repeat([1, 0], [len(holds), len(others)]), np.concatenate([holds, others]))
    assert piece.observation.estimate.value == pytest.approx(area, abs=1e-12)
    assert piece.params["effect"]["value"] == pytest.approx(
        changes[which].mean() - changes[~which].mean(), abs=1e-12
    )


def test_a_curve_and_a_table_stand_beside(evidence):
    curve = evidence[identifier("used", "k")].observation
    assert [point.x for point in curve.series[0].points] == [1.0, 2.0]
    assert curve.series[0].points[0].estimate.value > curve.series[1].points[0].estimate.value
    table = evidence["sparse_probing"].observation
    assert table.rows == ("used", "unused", "nothing")
    assert table.values[0][0] == evidence[identifier("used")].observation.estimate.value


def test_sets_are_predicates_too():
    found = audited(
        beds.subject(), predicates=[{"name": "used", "positive": "high", "negative": "low"}], method="exact"
    )
    assert found[identifier("used")].params["units"] == [0]
    assert found[identifier("used")].params["rows_from"] == "high against low"
    assert found[identifier("used")].rung in {"intervened", "robust"}


def test_the_same_seed_gives_the_same_bytes(evidence):
    again = audited(beds.subject())
    assert {name: piece.model_dump_json() for name, piece in again.items()} == {
        name: piece.model_dump_json() for name, piece in evidence.items()
    }


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"predicates": []}, "name predicates"),
        ({"sites": []}, "name sites, as sites: [layer3]; this network has inner, bend, out"),
        ({"predicates": [beds.PREDICATES[0], beds.PREDICATES[0]]}, "the name 'used' stands twice"),
        ({"predicates": [{"name": "a", "positive": "high", "negative": "x"}]}, "no set named x in data.sets (there are: high, low)"),
        ({"predicates": [{"name": "a", "where": "colour == 1"}]}, "predicate a: no column named"),
        ({"sites": ["inne"]}, "no module 'inne'"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_told(params, told):
    found = audited(beds.subject(rows=100), debug=False, **params)
    (piece,) = found.values()
    assert piece.status == "failed"
    assert told in piece.reason


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"predicates": [{"name": "a"}]}, "where is asked, or both"),
        ({"predicates": [{"name": "a", "positive": "b"}]}, "where is asked, or both"),
        ({"predicates": [{"name": "a", "where": "b ="}]}, "b ="),
        ({"k": [0]}, "from 1 on"),
        ({"k": [4], "method": "exact"}, "up to 3"),
        ({"sites": ["a b"]}, "a site is"),
    ],
)
def test_a_spec_that_is_wrong_is_refused(params, told):
    with pytest.raises(ValueError, match=told):
        sparse_probing.METHOD.params.model_validate(params)


def test_too_few_rows_are_skipped_with_the_reason():
    rare = [{"name": "rare", "where": "x0 > 2.2"}]
    found = audited(beds.subject(), predicates=rare)
    assert found[identifier("rare")].status == "skipped"
    assert found[identifier("rare")].reason == "it holds for fewer than 20 rows"

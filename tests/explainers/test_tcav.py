"""TCAV end to end: planted concepts found, unused ones not, refusals with their reason; through measure's own rung."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from tests import deep  # noqa: E402
from tests.explainers import concept_beds as beds  # noqa: E402
from xai_audit.evidence import encoded  # noqa: E402
from xai_audit.explainers import tcav  # noqa: E402
from xai_audit.explainers.concepts.claims import part_name  # noqa: E402
from xai_audit.measure import Settings, Step, measure  # noqa: E402
from xai_audit.mechanistic import flows  # noqa: E402
from xai_audit.mechanistic.sites import Site  # noqa: E402
from xai_audit.subject import Rows  # noqa: E402


def audited(subject, *, debug=True, seed=0, **params):
    chosen = {
        "concepts": ["planted"], "random": "pool", "sites": ["mix"], "random_sets": 99, "directions": 10, "rows": 100,
        **params,
    }  # fmt: skip
    step = Step(tcav.METHOD, tcav.METHOD.params.model_validate(chosen), "tcav")
    found = measure(subject, [step], Settings(debug=debug, seed=seed)).evidence
    return {piece.id: piece for piece in found}


def identifier(concept, site, label):
    return f"tcav/{encoded(f'{concept}@{site}@{label}')}"


PLANTED = identifier("planted", "mix", "1")


@pytest.fixture(scope="module")
def used():
    bed = beds.planted(3, used=5.0, spread=1.0)
    return bed, beds.subject(bed)


@pytest.fixture(scope="module")
def evidence(used):
    return audited(used[1], concepts=["planted", "null"])


def test_a_planted_concept_is_found_and_its_effect_is_the_true_one(used, evidence):
    bed, _ = used
    piece = evidence[PLANTED]
    assert piece.rung == "robust"
    assert piece.inference.p == piece.inference.adjusted == 1 / 100
    assert piece.inference.m == 2
    estimate = piece.observation.estimate
    assert piece.observation.unit == "probability"
    assert estimate.low <= beds.true_effect(bed, 4000) <= estimate.high
    assert estimate.low > piece.params["random_direction"]["high"]
    assert [control.passed for control in piece.controls] == [True] * 3
    assert [control.edit for control in piece.controls] == [False, True, True]


def test_every_slot_of_the_sentence_is_there(evidence):
    said = evidence[PLANTED].params
    assert (said["concept"], said["site"], said["class"]) == ("planted", "mix", "1")
    assert (said["examples"], said["random_examples"], said["random_sets"], said["n_inputs"]) == (
        50,
        500,
        99,
        100,
    )
    for slot in ("sign_score", "mean_cosine", "cav_accuracy", "cav_accuracy_null", "random_direction"):
        assert set(said[slot]) == {"value", "low", "high", "n"}
        assert said[slot]["low"] <= said[slot]["value"] <= said[slot]["high"]
    assert said["sign_score"]["value"] > 0.9
    assert said["cav_accuracy"]["value"] > 0.8 > said["cav_accuracy_null"]["value"]
    assert 0.4 < said["cav_accuracy_null"]["value"] < 0.6
    assert said["detectable"] > 0
    json.dumps(said, allow_nan=False)
    assert set(evidence[PLANTED].arrays) == {
        "vector", "derivative_by_input", "effect_by_input", "random_direction_effects", "held_by_input",
        "example_influences", "random_influences", "accuracy_by_set", "null_accuracy_by_set", "agreement_by_set",
        "rising_by_input", "other_rising_by_input", "cosine_by_input", "sign_by_set", "null_sign_by_set",
    }  # fmt: skip


def test_a_vector_that_separates_nothing_is_not_scored(evidence):
    piece = evidence[identifier("null", "mix", "1")]
    assert piece.status == "skipped"
    assert "not above that of random sets" in piece.reason


def test_the_table_holds_every_effect(evidence):
    table = evidence["tcav"].observation
    assert (table.rows, table.columns) == (("planted", "null"), ("mix",))
    assert table.values == ((evidence[PLANTED].observation.estimate.value,), (None,))  # noqa: PD011


def test_unused_concepts_are_not_intervened_and_used_ones_are():
    unused, found = [], []
    for seed in range(5):
        for used, rungs in ((0.0, unused), (5.0, found)):
            bed = beds.planted(100 + seed, used=used, spread=1.0)
            rungs.append(audited(beds.subject(bed, rows=200))[PLANTED].rung)
    assert set(unused) <= {"described", "associated"}
    assert set(found) == {"robust"}


def test_the_other_class_of_two_has_the_opposite_effect(used):
    found = audited(used[1], classes=["0", 1])
    values = [found[identifier("planted", "mix", label)].observation.estimate.value for label in ("0", "1")]
    assert values[0] == pytest.approx(-values[1], abs=1e-9)
    table = found["tcav"].observation
    assert table.rows == ("planted: 0", "planted: 1")


@pytest.mark.parametrize("estimator", ["mean_difference", "logistic"])
def test_the_test_and_the_effect_do_not_depend_on_the_estimator(used, evidence, estimator):
    piece = audited(used[1], concepts=["planted", "null"], estimator=estimator)[PLANTED]
    assert piece.observation.estimate.value == evidence[PLANTED].observation.estimate.value
    assert piece.rung == "robust"
    assert piece.params["sign_score"]["value"] > 0.9


def test_the_same_spec_gives_the_same_evidence_and_another_seed_another(used, evidence):
    again = audited(used[1], concepts=["planted", "null"])
    assert {name: piece.model_dump_json() for name, piece in again.items()} == {
        name: piece.model_dump_json() for name, piece in evidence.items()
    }
    other = audited(used[1], concepts=["planted", "null"], seed=1)
    assert other[PLANTED].observation != evidence[PLANTED].observation
    assert other[PLANTED].rung == evidence[PLANTED].rung


def test_a_constant_gradient_is_refused_with_what_to_name_instead(used):
    found = audited(used[1], sites=["mix", "out#in"])
    piece = found[identifier("planted", "out#in", "1")]
    assert piece.status == "skipped"
    assert "the same for every input" in piece.reason
    assert "name a site with a nonlinearity after it, as mix, read" in piece.reason
    assert found[PLANTED].inference.m == 1  # what is refused is no part of the family


def test_a_class_without_inputs_and_a_concept_without_examples_are_skipped(used):
    bed, subject = used
    alone = replace(subject, test=replace(subject.test, target=np.zeros(subject.test.n, dtype=np.int64)))
    alone = replace(alone, sets={**subject.sets, "few": deep.rows(bed.frame(4), name="few")})
    found = audited(alone, concepts=["planted", "few"], classes=["0", "1"])
    assert "0 inputs of class 1 are left" in found[PLANTED].reason
    assert found[identifier("planted", "mix", "0")].status == "measured"
    assert "4 examples; 10 are needed" in found[identifier("few", "mix", "0")].reason


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"concepts": []}, "name concepts"),
        ({"sites": []}, "name sites, as sites: .layer3.; this network has mix, read, out"),
        ({"sites": ["mx"]}, "no module 'mx' in this network; there are mix"),
        ({"classes": ["zebra"]}, "no class 'zebra'; the classes are 0, 1"),
        ({"concepts": ["planted", "planted"]}, "the same name"),
        ({"concepts": ["stripes"]}, "no set of that name"),
        ({"relative": True}, "at least two concepts"),
    ],
)
def test_mistakes_are_told_in_a_line(used, params, reason):
    found = audited(used[1], debug=False, **params)
    assert [piece.status for piece in found.values()] == ["failed"]
    assert __import__("re").search(reason, found["tcav"].reason), found["tcav"].reason


@pytest.mark.parametrize(
    "params",
    [
        {"concepts": [{"name": "a", "where": "sex = 1"}]},
        {"sites": ["a b"]},
        {"random_sets": 5},
        {"sites": ["a@x=1"]},
    ],
)
def test_parameters_that_cannot_be_are_refused_when_read(params):
    with pytest.raises(ValueError):
        tcav.METHOD.params.model_validate(params)


def test_a_concept_can_be_a_condition_on_the_rows():
    bed = beds.planted(5, used=5.0, spread=1.0)
    rng = np.random.default_rng(0)
    there = rng.random(900) < 0.5
    values = bed.frame(900).to_numpy() + there[:, None] * bed.shift * bed.direction
    side = pd.DataFrame({"sex": np.where(there, "male", "female")})
    rows = deep.rows(beds.table(values), target=rng.integers(0, 2, 900), side=side, name="all")
    subject = deep.subject(bed.network, rows, "table")
    found = audited(subject, concepts=[{"name": "male", "where": "sex == 'male'"}], random=None)
    piece = found[identifier("male", "mix", "1")]
    assert piece.rung in {"intervened", "robust"}
    assert piece.observation.estimate.value > 0.3
    assert piece.params["random_examples"] < 425  # of the half of the rows, those for which it does not hold
    assert any("are not evaluated" in limit for limit in piece.limits)


def test_relative_concepts_are_judged_against_each_other(used):
    bed, subject = used
    sets = {**subject.sets, "other": deep.rows(bed.frame(50), name="other")}
    piece = audited(replace(subject, sets=sets), concepts=["planted", "null", "other"], relative=True)[
        PLANTED
    ]
    assert piece.rung in {"intervened", "robust"}
    assert (piece.params["examples"], piece.params["random_examples"]) == (50, 100)
    assert any("relative to the other concepts" in limit for limit in piece.limits)


def towards(network, frame, site, of=1):
    """The direction of the mean gradient at a site."""
    one = flows.flow(network, frame, Site.parse(site), pooled=None)
    slope = flows.mean_score_gradients(network, flows.built(network, frame), [one], of)[one].mean(axis=0)
    return slope / np.linalg.norm(slope)


def test_a_pattern_in_pictures_is_found():
    rng = np.random.default_rng(0)
    network = beds.image_network(1)
    pattern = 60 * np.sign(towards(network, beds.pictures(rng, 50), "#in").reshape(8, 8))
    sets = {
        "pattern": deep.rows(beds.pictures(rng, 50, pattern), name="pattern"),
        "pool": deep.rows(beds.pictures(rng, 300), name="pool"),
    }
    rows = deep.rows(beds.pictures(rng, 200), target=rng.integers(0, 2, 200), name="test")
    subject = deep.subject(network, rows, "image", sets=sets)
    found = audited(subject, concepts=["pattern"], sites=["first", "second#in", "inner"])
    for site in ("first", "second#in", "inner"):
        piece = found[identifier("pattern", site, "1")]
        assert piece.rung in {"intervened", "robust"}, (site, piece)
        assert piece.observation.estimate.value > 0.1
    pooled = audited(subject, concepts=["pattern"], sites=["first"], pool=True)
    assert pooled[identifier("pattern", "first", "1")].params["averaged_positions"] is True


def test_a_word_in_texts_is_found_at_a_site_of_many_positions():
    rng = np.random.default_rng(0)
    network = beds.text_network(2)
    pool = beds.texts(rng, 300)
    slope = towards(network, pool.iloc[:100], "embed")
    with torch.no_grad():  # a word that none of the pool holds stands for what the network reads
        network.module.embed.weight[56] = torch.from_numpy(8 * slope).float()
    sets = {
        "word": deep.rows(beds.texts(rng, 50, "w55"), name="word"),
        "pool": deep.rows(pool, name="pool"),
    }
    rows = deep.rows(beds.texts(rng, 200), target=rng.integers(0, 2, 200), name="test")
    found = audited(
        deep.subject(network, rows, "text", sets=sets), concepts=["word"], sites=["embed", "inner"]
    )
    piece = found[identifier("word", "embed", "1")]
    assert piece.rung in {"intervened", "robust"}
    assert piece.params["averaged_positions"] is True
    assert piece.observation.estimate.value > 0
    assert found[identifier("word", "inner", "1")].status == "measured"


def test_more_than_two_classes_are_all_asked():
    rng = np.random.default_rng(0)
    network = beds.Network(beds.made(lambda: beds.Convolutions(3), 1), deep.ImageReader())
    sets = {
        "a": deep.rows(beds.pictures(rng, 30, 40 * np.eye(8)), name="a"),
        "pool": deep.rows(beds.pictures(rng, 120), name="pool"),
    }
    rows = deep.rows(beds.pictures(rng, 150), target=rng.integers(0, 3, 150), name="test")
    subject = deep.subject(network, rows, "image", sets=sets, classes=("cat", "dog", "a.b/c"))
    found = audited(subject, concepts=["a"], sites=["first"])
    assert set(found) == {
        "tcav", "tcav/a%40first%40cat", "tcav/a%40first%40dog", "tcav/a%40first%40a%2Eb%2Fc",
    }  # fmt: skip
    assert part_name("a", Site.parse("first"), "a.b/c") == "a%40first%40a%2Eb%2Fc"
    total = sum(piece.observation.estimate.value for name, piece in found.items() if name != "tcav")
    assert total == pytest.approx(0, abs=1e-9)  # what one class gains the others lose


def test_without_a_network_it_is_skipped(used):
    _, subject = used
    blind = replace(subject, model=replace_network(subject.model))
    assert audited(blind)["tcav"].status == "skipped"


def replace_network(model):
    other = deep.DeepModel(None, model.classes)
    other.scores = model.scores
    return other


def test_the_order_of_rows_does_not_matter(used):
    _, subject = used

    def sorted_(rows: Rows, order) -> Rows:
        place = np.asarray(order)[np.argsort(rows.digests[order], kind="stable")]
        return replace(
            rows,
            frame=rows.frame.iloc[place].reset_index(drop=True),
            digests=rows.digests[place],
            target=None if rows.target is None else rows.target[place],
        )

    found = []
    for seed in (1, 2):
        rng = np.random.default_rng(seed)
        shuffled = replace(
            subject,
            test=sorted_(subject.test, rng.permutation(subject.test.n)),
            sets={name: sorted_(rows, rng.permutation(rows.n)) for name, rows in subject.sets.items()},
        )
        found.append({name: piece.model_dump_json() for name, piece in audited(shuffled).items()})
    assert found[0] == found[1]

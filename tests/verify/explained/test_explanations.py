"""Every number of every explainer made again from the folder, in every modality; what cannot be is named here."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

from tests import deep
from tests.explainers import concept_beds, games, networks, probing_beds
from tests.verify.explained import runs
from xai_audit import audit
from xai_audit.catalog import methods
from xai_audit.verify.explained import asked
from xai_audit.verify.explained.agreement import Among, Near, Open, Stated
from xai_audit.verify.explained.explanations import AGAIN, explained
from xai_audit.verify.explained.kept import Kept
from xai_audit.verify.explained.piece import Piece

GOLDEN = Path(__file__).parents[2] / "golden" / "v1"
STATED = {
    "the cells of the rows shown", "the bin or level of each cell", "the pictures shown", "the examples shown",
    "what the model says of the examples shown", "the class that the rows differ in most", "the contexts in which latents fire",
    "names of elements", "names of templates", "what was trained", "the rows for which a predicate holds",
}  # fmt: skip
"""What stands as the run gave it: no results, but what is shown beside them."""
AS_GIVEN = {
    "background_rows", "largest_difference_from_all_subsets", "rows_compared_with_all_subsets", "width",
    "answers_of_the_model", "independent_draws", "windows", "window_used", "players_of_a_row", "permutations_used",
    "head_episodes", "head_way", "head_loss", "averaged_positions", "activations_trained_on",
}  # fmt: skip
"""Counts in ``params`` that tell how a method ran, and that only its other parts say again."""


def unchecked(made, folder):
    checks = list(explained(made, folder))
    assert [check for check in checks if check.kind == "broken"] == []
    return {check.subject: check.what for check in checks if check.kind == "unchecked"}


@pytest.mark.parametrize("name", runs.RUNS)
def test_all_that_is_published_is_made_again(name):
    made, folder = runs.RUNS[name]()
    assert unchecked(made, folder) == {}
    subjects = [check.subject for check in explained(made, folder)]
    assert sorted(subjects) == sorted(piece.id for piece in made.evidence)


def test_every_explainer_can_be_made_again():
    named = {name for name, method in methods().items() if method.kind == "explainer"}
    assert named == AGAIN.keys(), "a new explainer needs a function in verify/explanations.py"
    assert named == asked._ALWAYS.keys(), "a new explainer needs its parts in verify/asked.py"
    every = (*runs.RUNS.values(), *runs.PARTLY.values())
    seen = {piece.method for run in every for piece in run()[0].evidence}
    assert seen == named, "a new explainer needs a run in tests/verify/runs.py"


LEFT_OPEN = {
    "training": {
        "progress_measures/phases": "observation: phases are not drawn anew; all else holds",
        "progress_measures/grokking": "controls[2]: the delay is not drawn anew; all else holds",
        "progress_measures/circuit": "robustness: a specification asks the networks again; all else holds",
    },
    "memorised": {
        "progress_measures/phases": "observation: phases are not drawn anew; all else holds",
        "progress_measures/circuit": "why it was skipped asks the networks again",
    },
    "pairs": {},
}


@pytest.mark.parametrize("name", runs.PARTLY)
def test_what_networks_of_other_weights_gave_is_left_open_by_name(name):
    made, folder = runs.PARTLY[name]()
    assert unchecked(made, folder) == LEFT_OPEN[name]
    compared = 0
    for piece in made.evidence:
        if piece.status == "skipped":
            continue
        found = AGAIN[piece.method](Piece(piece, made, Kept(made, folder)))
        for path, published, expected in pairs(piece.model_dump(mode="json"), found):
            if isinstance(expected, float) and math.isfinite(expected):
                compared += 1
                assert published == pytest.approx(expected, rel=1e-9, abs=1e-13), (piece.id, path)
    assert compared > 50


@pytest.mark.parametrize(
    ("name", "identifier", "path"),
    [
        ("training", "progress_measures", ("observation", "series", 0, "points", 3, "estimate", "value")),
        (
            "training",
            "progress_measures/weights",
            ("observation", "series", 1, "points", 2, "estimate", "value"),
        ),
        ("training", "progress_measures/grokking", ("observation", "estimate", "low")),
        (
            "training",
            "progress_measures/fourier",
            ("observation", "series", 1, "points", 5, "estimate", "value"),
        ),
        ("training", "progress_measures/circuit", ("controls", 0, "estimate", "low")),
        ("pairs", "design_delta", ("observation", "values", 4, 2)),
        ("pairs", "design_delta/circuit_size", ("inference", "adjusted")),
        ("pairs", "design_delta/auroc%40first", ("observation", "estimate", "high")),
    ],
)
def test_a_number_of_training_that_was_changed_is_found(name, identifier, path):
    made, folder = runs.PARTLY[name]()
    changed = runs.replaced(
        made, identifier, lambda piece: runs.with_at(piece, path, runs.at(piece, path) * 0.99 + 1e-4)
    )
    broken = [check.subject for check in explained(changed, folder) if check.kind == "broken"]
    assert identifier in broken


def pairs(published, expected, path=""):
    """Both numbers of each leaf that was made again, and the sentinels that were not."""
    if isinstance(expected, (Open, Stated, Near, Among)):
        yield path, published, expected
    elif isinstance(expected, dict):
        for key, value in expected.items():
            yield from pairs((published or {}).get(key), value, f"{path}.{key}")
    elif isinstance(expected, (list, tuple)) and not any(isinstance(one, Among) for one in expected):
        for place, (one, other) in enumerate(zip(published, expected, strict=True)):
            yield from pairs(one, other, f"{path}[{place}]")
    elif isinstance(expected, float):
        yield path, published, expected


def again(made, folder):
    kept = Kept(made, folder)
    for piece in made.evidence:
        found = AGAIN[piece.method](Piece(piece, made, kept))
        content = piece.model_dump(mode="json")
        if content["observation"] is None:
            content["observation"] = kept.cases(piece)
        yield piece, content, found


@pytest.mark.parametrize("name", runs.RUNS)
def test_the_two_ways_agree_to_nine_digits(name):
    made, folder = runs.RUNS[name]()
    compared = 0
    for piece, content, found in again(made, folder):
        for path, published, expected in pairs(content, found):
            if isinstance(expected, Stated):
                assert expected.what in STATED
            elif isinstance(expected, float) and math.isfinite(expected):
                compared += 1
                assert published == pytest.approx(expected, rel=1e-9, abs=1e-13), (piece.id, path)
            else:
                assert not isinstance(expected, Open), (piece.id, path)
    assert compared > 50


@pytest.mark.parametrize("name", runs.RUNS)
def test_numbers_in_params_are_made_again_or_asked_for_or_named_here(name):
    made, folder = runs.RUNS[name]()
    own = {
        method: set(runs.METHODS[method].params.model_fields) for method in {p.method for p in made.evidence}
    }
    for piece, content, found in again(made, folder):
        for key, value in content["params"].items():
            if any(True for _ in runs.leaves(value)):
                assert key in found.get("params", {}) or key in own[piece.method] | AS_GIVEN, (piece.id, key)


# ------------------------------------------------------------------------------------------------- other ways to run
@pytest.mark.parametrize(
    "uses",
    [
        [
            ("shap", {"rows": 12, "background": 6, "resamples": 3, "output": "margin"}),
            ("lime", {"rows": 6, "samples": 60, "seeds": 2, "output": "margin", "draws": "row"}),
            ("partial_dependence", {"output": "margin", "rows": 10, "columns": ["age", "region"]}, "pd"),
        ],
        [
            ("shap", {"rows": None, "background": 1, "resamples": 2, "output": "probability"}),
            ("lime", {"rows": 1, "samples": 60, "seeds": 2}),
            ("partial_dependence", {"rows": 1, "points": 3}),
        ],
        [
            ("permutation_importance", {"metric": "accuracy", "repeats": 2, "rows": 30}),
            ("permutation_importance", {"metric": "log_loss", "repeats": 2}, "by_log_loss"),
            ("shap", {"rows": 1, "background": 3, "resamples": 2}),
        ],
    ],
)
def test_other_outputs_few_rows_and_other_metrics(uses):
    assert (
        unchecked(*runs.audited(runs.table("logistic in a pipeline"), uses, confidence=0.9, min_cell=3)) == {}
    )


def test_three_classes_weights_and_clusters_no_training_rows_no_labels():
    uses = [*runs.SMALL.items(), ("prototypes", {"site": "input", "k": 2})]
    assert unchecked(*runs.audited(runs.table("multinomial in a pipeline"), uses)) == {}
    subject = runs.table("forest", True)
    rng = np.random.default_rng(0)
    test = replace(
        subject.test, weights=rng.random(subject.test.n), clusters=rng.integers(0, 9, subject.test.n)
    )
    assert unchecked(*runs.audited(replace(subject, test=test), uses[-1:])) == {}
    assert unchecked(*runs.audited(replace(subject, train=None), uses)) == {}
    unlabelled = replace(subject, test=replace(subject.test, target=None))
    made, folder = runs.audited(unlabelled, [*runs.SMALL.items()][:3])
    assert unchecked(made, folder) == {}
    assert made.get("permutation_importance").status == "skipped"


@pytest.mark.parametrize(
    "more",
    [
        {"relative": True},
        {"estimator": "mean_difference", "classes": [0]},
        {"rows": 10, "examples": 10},
        {"concepts": ["planted"], "sites": ["mix"], "estimator": "logistic"},
    ],
)
def test_concepts_asked_otherwise(more):
    base = {
        "concepts": ["planted", "null"], "random": "pool", "sites": ["mix"], "random_sets": 39, "directions": 6,
        "rows": 40, "examples": 20,
    }  # fmt: skip
    made = concept_beds.subject(concept_beds.planted(3, used=5.0), examples=20, pool=80, rows=100)
    assert unchecked(*runs.audited(made, [("tcav", {**base, **more}, "mine"), ("tcav", base)])) == {}


@pytest.mark.parametrize(
    "more",
    [
        {"k": [2], "method": "l1", "rows": 150},
        {"k": [3, 1], "method": "exact", "inputs": 20, "sites": ["out", "inner"]},
    ],
)
def test_probes_asked_otherwise(more):
    base = {"predicates": runs.PREDICATES, "sites": ["inner"], "permutations": 39, "random_units": 5}
    asked = {**base, **more}
    ranked = {
        "predicates": runs.PREDICATES, "sites": asked["sites"], "rows": 120, "permutations": 19, "random_units": 5,
        "top": 100,
    }  # fmt: skip
    uses = [("sparse_probing", asked, "mine"), ("sparse_probing", base), ("neuron_search", ranked)]
    made, folder = runs.audited(probing_beds.subject(), uses, confidence=0.9)
    assert unchecked(made, folder) == {}


def test_probes_of_three_classes():
    """Each predicate has a class of its own whose score is looked at: which one, the run says."""
    sets = {name: deep.rows(deep.image_frame(networks.pictures(50, seed)), name=name) for name, seed in (
        ("a", 11), ("b", 12), ("c", 13))}  # fmt: skip
    pictures = networks.image_subject(n=60, train=None, sets=sets)
    asked = [
        {"name": f"{one}{two}", "positive": one, "negative": two} for one, two in ("ab", "bc", "ca", "ba")
    ]
    few = {"predicates": asked, "sites": ["conv"], "permutations": 19, "random_units": 5, "inputs": 20}
    uses = [("sparse_probing", {**few, "k": [1]}), ("neuron_search", few)]
    made, folder = runs.audited(pictures, uses)
    told = {piece.params.get("class") for piece in made.evidence} - {None}
    assert len(told) > 1
    assert unchecked(made, folder) == {}
    other = runs.replaced(made, "neuron_search/ab", lambda one: runs.with_at(one, ("params", "class"), "d"))
    assert any(one.subject == "neuron_search/ab" and one.kind == "broken" for one in explained(other, folder))


def test_a_predicate_of_too_few_rows_is_left_open_by_name():
    few = {"name": "few", "where": "x0 > 1.9"}
    base = {
        "predicates": [few, *runs.PREDICATES[:1]],
        "sites": ["inner"],
        "permutations": 19,
        "random_units": 5,
    }
    left = unchecked(
        *runs.audited(probing_beds.subject(), [("sparse_probing", base), ("neuron_search", base)])
    )
    assert left == {
        "sparse_probing/few%40inner": "why it was skipped is seen in the rows alone",
        "neuron_search/few": "why it was skipped is seen in the rows alone",
    }


@pytest.mark.parametrize(
    "more",
    [
        {"variant": "relu", "l1": 0.01, "effects": 0},
        {"variant": "matryoshka", "data": "some", "rows": 30},
        {"variant": "jumprelu", "expansion": 4, "scaling": None},
    ],
)
def test_dictionaries_of_other_kinds(more):
    pictures = networks.image_subject(
        n=40, train=None, sets={"some": deep.rows(deep.image_frame(networks.pictures(50, 9)))}
    )
    asked = {"site": "conv", "k": 2, "tokens": 3000, "batch": 64, "rows": 20, "directions": 5, **more}
    left = unchecked(*runs.audited(pictures, [("sparse_autoencoder", {"expansion": 2, **asked})]))
    assert left.keys() <= {"sparse_autoencoder/loss_recovered", "sparse_autoencoder/effect"}


def test_a_dictionary_whose_contexts_are_not_published():
    made, folder = runs.dictionary(examples=False)
    assert unchecked(made, folder) == {}
    assert made.get("sparse_autoencoder/contexts").observation is None


def test_a_dictionary_without_a_site():
    made, folder = runs.audited(networks.table_subject(), [("sparse_autoencoder", {})])
    assert [piece.status for piece in made.evidence] == ["skipped"]
    assert unchecked(made, folder) == {}


def test_pictures_and_texts_cut_otherwise():
    pictures = networks.image_subject(n=30, classes=("a", "b"))
    uses = [
        ("shap", {"rows": 3, "players": "grid", "segments": 4, "mask": "blur", "resamples": 3}),
        ("occlusion", {"rows": 5, "stride": 2, "window": 5, "output": "margin"}),
        (
            "integrated_gradients",
            {"rows": 3, "steps": 4, "most_steps": 4, "twins": 0, "beside": [], "output": "probability"},
        ),
        ("gradient_shap", {"rows": 1, "background": 2, "draws": 4}),
        ("prototypes", {"k": 2, "head": {"episodes": 3, "shot": 2}}),
    ]
    assert unchecked(*runs.audited(pictures, uses)) == {}
    texts = networks.text_subject(n=40)
    words = [
        ("shap", {"rows": 20, "players": "tokens", "permutations": 2, "resamples": 3}),
        ("occlusion", {"rows": 20, "window": 2, "stride": 1}),
    ]
    assert unchecked(*runs.audited(texts, words, min_cell=2)) == {}


def test_numbers_of_pictures_without_classes():
    made = games.called(
        lambda cells: [float(cell.mean()) for cell in cells], games.pictures(8), "image", classes=()
    )
    uses = [("shap", {"rows": 4, "segments": 4}), ("lime", {"rows": 4, "samples": 30, "seeds": 2})]
    assert unchecked(*runs.audited(made, [*uses, ("occlusion", {"rows": 4})])) == {}


# ------------------------------------------------------------------------------------------------- an audit of before
def test_an_audit_of_the_first_version_holds_but_for_what_it_does_not_keep():
    made = audit.read(GOLDEN)
    left = unchecked(made, GOLDEN)
    assert left.keys() == {
        "lime", "lime/local", "lime/stability", "lime/stability_top5", "partial_dependence/housing",
        "partial_dependence/income", "partial_dependence/years", "permutation_importance", "shap",
        "shap/additivity", "shap/beeswarm", "shap/stability", "shap/stability_top5",
    }  # fmt: skip
    assert all("does not keep" in why for why in left.values())


@pytest.mark.parametrize(
    ("identifier", "path"),
    [
        ("shap", ("observation", "items", 0, "estimate", "value")),
        ("shap/local", ("observation", "cases", 0, "items", 1, "low")),
        ("lime", ("observation", "items", 2, "detail", "mean_signed")),
        ("lime/fidelity", ("observation", "estimate", "high")),
        ("permutation_importance", ("observation", "items", 0, "estimate", "value")),
        ("partial_dependence/income", ("observation", "series", 0, "points", 2, "estimate", "value")),
    ],
)
def test_what_an_old_audit_keeps_is_held_to_it(identifier, path):
    made = audit.read(GOLDEN)
    changed = runs.replaced(
        made, identifier, lambda piece: runs.with_at(piece, path, runs.at(piece, path) * 1.01)
    )
    assert [check.subject for check in explained(changed, GOLDEN) if check.kind == "broken"] == [identifier]

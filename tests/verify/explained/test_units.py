"""Claims on units are tied to what the units said: a run that lies, and a folder that was rewritten, are found by it."""

from __future__ import annotations

import functools
import io
import shutil
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

from scipy.stats import rankdata

from tests.explainers import probing_beds
from tests.verify.explained import runs
from tests.verify.explained.test_explanations import unchecked
from xai_audit import digest
from xai_audit.explainers.probing import found, predicates, triggered
from xai_audit.mechanistic.probing import ablation, scan, sparse
from xai_audit.subject import Grouping
from xai_audit.verify.explained import permuted, populations, probes
from xai_audit.verify.explained import triggered as trigger_rows
from xai_audit.verify.explained.explanations import explained

FEW = {
    "predicates": [runs.PREDICATES[0], runs.PREDICATES[2]], "sites": ["inner"], "permutations": 39, "random_units": 5,
    "inputs": 40,
}  # fmt: skip
USES = [("sparse_probing", {**FEW, "k": [1, 3]}), ("neuron_search", {**FEW, "top": 3})]


def audited(**more):
    return runs.audited(probing_beds.subject(), [(name, {**params, **more}) for name, params in USES], seed=3)


@functools.cache
def honest():
    return audited()


def broken(made, folder):
    return {check.subject: check.what for check in explained(made, folder) if check.kind == "broken"}


def rewritten(made, folder, into, change):
    """A copy in which every file of arrays went through ``change(id, arrays)`` and is named anew."""
    shutil.copytree(folder, into, dirs_exist_ok=True)
    told = []
    for piece in made.evidence:
        files = {file for file in piece.arrays.values() if file.endswith(".npz")}
        names = {name: file for name, file in piece.arrays.items() if file not in files}
        for file in files:
            with np.load(folder / "evidence" / file) as held:
                arrays = change(piece.id, {name: held[name] for name in held.files})
            (into / "evidence" / file).unlink(missing_ok=True)
            buffer = io.BytesIO()
            np.savez(buffer, **arrays)
            name = f"{digest.of_bytes(buffer.getvalue())}.npz"
            (into / "evidence" / name).write_bytes(buffer.getvalue())
            names |= dict.fromkeys(arrays, name)
        told.append(piece.model_copy(update={"arrays": names}))
    return made.model_copy(update={"evidence": tuple(told)}), into


# ------------------------------------------------------------------------------------------------- runs that lie
def worst(self, predicate, count=1):
    return np.argsort(np.abs(self.z[predicate]), kind="stable")[:count]


def told(self, activations):
    """Scores that follow the first input whatever the units say."""
    return activations[:, 0].astype(np.float64) + self.offset


LIES = {
    "another unit": (
        sparse, "select", lambda *given: np.arange(given[2]) + 5,
        {"sparse_probing/used%40inner": "the activations choose", "sparse_probing/used%40inner%40k": "choose"},
    ),
    "better scores": (
        sparse.Probe, "scores", told,
        {"sparse_probing/two%20sets%40inner%40k": "are not those of the units' activations"},
    ),
    "weaker random units": (
        ablation, "random_units", lambda *given: [np.arange(given[0] - given[1], given[0])] * given[2],
        {"sparse_probing/used%40inner": "random_areas", "sparse_probing/two%20sets%40inner%40k": "random_areas"},
    ),
    "other halves": (
        predicates, "_finds", lambda *given: np.arange(len(given[0])) % 2 == 0,
        {"sparse_probing/used%40inner": "not the half that the seed gives", "neuron_search/used": "not the half"},
    ),
    "a low null": (
        scan, "_maxima", lambda *given: np.full(given[4], 2.0),
        {"sparse_probing/used%40inner": "array null says", "neuron_search/two%20sets": "array null says"},
    ),
    "a small p": (
        found.Seen, "p", lambda *_: (1e-9, 1e-6),
        {"sparse_probing/two%20sets%40inner": "inference.p is", "neuron_search/used": "adjusted_p is 1e-06"},
    ),
    "units that tell nothing": (scan.Scan, "best", worst, {"neuron_search/used": "are not those that tell"}),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_run_that_lies_throughout_is_found(lie, monkeypatch):
    """Each of its files and numbers follows from the lie, and nothing was forged after it."""
    where, name, instead, expected = LIES[lie]
    monkeypatch.setattr(where, name, instead)
    wrong = broken(*audited())
    assert all(what in wrong.get(identifier, "") for identifier, what in expected.items()), wrong


# ------------------------------------------------------------------------------------------------- arrays
def forged(name, identifier, array, change, tmp_path):
    made, folder = honest() if name == "units" else runs.RUNS[name]()
    file = made.get(identifier).arrays[array]
    return broken(
        *runs.forged(made, folder, tmp_path, file, lambda held: {**held, array: change(held[array])})
    )


@pytest.mark.parametrize(
    ("identifier", "array", "change", "what"),
    [
        ("sparse_probing/used%40inner", "units", lambda held: (held + 1) % 24, "array higher is not on"),
        ("sparse_probing/used%40inner", "holds", lambda held: held + 0.1, "not those of the units"),
        ("sparse_probing/used%40inner", "higher", np.logical_not, "array higher"),
        ("sparse_probing/used%40inner", "random_areas", lambda held: held - 0.01, "random_areas says"),
        ("sparse_probing/used%40inner", "variant_units", lambda held: held[::-1] + 1, "the activations choose"),
        ("sparse_probing/used%40inner", "variant_scores", lambda held: held * 1.01, "not those of the units"),
        ("sparse_probing/used%40inner", "plain", lambda held: held + 0.01, "array plain is not what the model"),
        ("sparse_probing/used%40inner", "edited_holds", lambda held: held[::-1], "array edited_holds"),
        ("sparse_probing/used%40inner%40k", "units_3", lambda held: held[::-1], "the activations choose"),
        ("sparse_probing/used%40inner%40k", "random_areas_3", lambda held: held - 0.01, "random_areas says"),
        ("sparse_probing", "digests_0", lambda held: held[::-1], "array digests_0"),
        ("sparse_probing", "digests_1", lambda held: held[::-1], "array digests_1"),
        ("sparse_probing", "labels_1", np.logical_not, "array labels_1"),
        ("sparse_probing", "finds_1", np.logical_not, "array finds_1"),
        ("sparse_probing", "activations_0", lambda held: held[::-1], ""),
        ("neuron_search/used", "values", lambda held: held * 2, "not among the activations"),
        ("neuron_search/used", "label", np.logical_not, "array label"),
        ("neuron_search/used", "finds", np.logical_not, "array finds"),
        ("neuron_search/used", "labels_0", np.logical_not, "array label"),
    ],
)  # fmt: skip
def test_an_array_that_does_not_follow_from_the_activations_is_found(
    identifier, array, change, what, tmp_path
):
    wrong = forged("units", identifier, array, change, tmp_path)
    assert any(what in one for one in wrong.values()), wrong


@pytest.mark.parametrize(
    ("array", "change", "what"),
    [
        ("vector", lambda held: held[::-1], "array vector"),
        ("areas", lambda held: held * 0.9, "array areas"),
        ("comparable", lambda held: held + 1, "array vector"),
        ("triggered", lambda held: held[:-1], "array triggered"),
        ("base", np.logical_not, "array base is not what evidence/rows.parquet says"),
        ("clean_before", np.logical_not, "says was decided of these rows"),
        ("clean_sha256", lambda held: held[::-1], "not in the order that the seed gives"),
        ("clean_sha256", lambda held: held[:-2], "are not of every second row"),
        ("triggered_sha256", lambda held: np.roll(held, 1, axis=0), "not in the order that the seed gives"),
    ],
)
def test_rows_and_directions_of_a_trigger_are_held_to_what_is_kept_of_them(array, change, what, tmp_path):
    identifier = "neuron_search/stamp%40site"
    if array in ("base", "clean_before"):  # else the table of edits beside it is what finds it
        made, folder = runs.RUNS["a trigger"]()
        table = f"{identifier}%40edits"
        made = made.model_copy(update={"evidence": tuple(one for one in made.evidence if one.id != table)})
        file = made.get(identifier).arrays[array]
        one = runs.forged(made, folder, tmp_path, file, lambda held: {**held, array: change(held[array])})
        wrong = broken(*one)
    else:
        wrong = forged("a trigger", identifier, array, change, tmp_path)
    assert what in wrong[identifier]


def test_a_condition_on_groups_is_read_again(tmp_path):
    made = probing_beds.subject()
    groups = (made.test.side["used"] == "yes").to_numpy().astype(np.int64)
    made = replace(
        made, groupings=(Grouping(("used",), ({"used": "no"}, {"used": "yes"}), groups, (False, False)),)
    )
    audit, folder = runs.audited(made, USES[:1], seed=3)
    spec = {**audit.spec, "data": {**audit.spec["data"], "sensitive": [{"column": "used"}]}}
    audit = audit.model_copy(update={"spec": spec})
    assert unchecked(audit, folder) == {}
    assert all(populations.HOLDS not in check.what for check in explained(audit, folder))
    file = audit.get("sparse_probing").arrays["labels_0"]

    def change(arrays):
        labels = arrays["labels_0"].copy()
        labels[0, :3] = ~labels[0, :3]
        return {**arrays, "labels_0": labels}

    wrong = broken(*runs.forged(audit, folder, tmp_path, file, change))
    assert "array labels_0 is not of the rows for which used holds" in wrong["sparse_probing/used%40inner"]


def test_clusters_and_fewer_rows_than_there_are():
    made = probing_beds.subject()
    made = replace(made, test=replace(made.test, clusters=np.arange(made.test.n) // 3))
    assert (
        unchecked(*runs.audited(made, [(name, {**params, "rows": 150}) for name, params in USES], seed=3))
        == {}
    )


# ------------------------------------------------------------------------------------------------- what is not kept
def test_of_too_many_activations_the_claimed_units_are_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(found, "MOST_ACTIVATIONS", 1000)
    made, folder = audited()
    left = unchecked(made, folder)
    claims = [f"sparse_probing/{name}%40inner" for name in ("used", "two%20sets")]
    assert left.keys() == {*claims, *(f"{one}%40k" for one in claims)}
    assert all(probes.MANY in why for why in left.values())
    assert not any(name.startswith("activations") for one in made.evidence for name in one.arrays)
    # The claimed units are tied to the ranks of all, and scores to the units.
    for array, what in (("values", "has other ranks than those kept"), ("holds", "not those of the units")):
        file = made.get(claims[0]).arrays[array]
        into = tmp_path / array

        def change(held, array=array):
            return {**held, array: held[array][:, ::-1] if array == "values" else -held[array]}

        assert claims[0] in broken(*runs.forged(made, folder, into, file, change)), what


def test_of_too_many_ranks_p_is_left_open_as_well(monkeypatch):
    monkeypatch.setattr(found, "MOST_ACTIVATIONS", 1000)
    monkeypatch.setattr(found, "MOST_KEPT", 30 * 200)
    left = unchecked(*audited())
    assert {one for one, why in left.items() if permuted.MANY in why} == {
        f"{method}/{name}{site}"
        for method, site in (("sparse_probing", "%40inner"), ("neuron_search", ""))
        for name in ("used", "two%20sets")
    }


def test_of_too_many_activations_of_a_trigger_the_direction_is_left_open(monkeypatch):
    monkeypatch.setattr(triggered, "MOST_ACTIVATIONS", 1000)
    left = unchecked(*runs.trigger.__wrapped__())
    assert left.keys() == {"neuron_search/stamp%40site"}
    assert trigger_rows.MANY in left["neuron_search/stamp%40site"]


ADDED = (
    "labels_",
    "finds_",
    "digests_",
    "activations_",
    "units_",
    "variant_units",
    "triggered",
    "comparable",
    "clean_sha",
)


def as_before(_, arrays):
    """As versions before activations were kept wrote them."""
    kept = {name: held for name, held in arrays.items() if not name.startswith(ADDED)}
    for name in [one for one in arrays if one.startswith("activations_")]:
        number = name.rpartition("_")[2]
        finds = arrays[f"finds_{number}"]
        ranks = 2 * (rankdata(arrays[name][finds], axis=0).T - 1)
        kept |= {
            f"ranks_{number}": ranks.astype(np.uint16),
            f"told_{number}": arrays[f"labels_{number}"][:, finds],
        }
    return kept


def moved(number):
    return number + 1 if isinstance(number, int) else number + 0.25


@pytest.mark.parametrize("name", ["units", "a trigger"])
def test_an_audit_of_an_earlier_version_holds_with_what_it_lacks_named(name, tmp_path):
    made, folder = honest() if name == "units" else runs.RUNS[name]()
    old, into = rewritten(made, folder, tmp_path / "old", as_before)
    left = unchecked(old, into)
    assert left.keys() == {
        one.id for one in made.evidence if one.id != "sparse_probing" and not one.id.endswith("edits")
    }
    assert all(populations.OLD in why and why.endswith("all else holds") for why in left.values())
    for identifier in left:
        piece = old.get(identifier).model_dump(mode="json")
        paths = [
            path
            for path, _ in runs.leaves({key: piece[key] for key in ("observation", "inference", "controls")})
        ]
        for path in paths[::7]:
            other = runs.replaced(
                old, identifier, lambda one, to=path: runs.with_at(one, to, moved(runs.at(one, to)))
            )
            assert identifier in broken(other, into), path

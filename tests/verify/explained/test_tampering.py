"""Whatever is changed in an explanation is found, and the piece of evidence is named."""

from __future__ import annotations

import functools
import io
import random
import shutil
import zipfile

import numpy as np
import pytest
from pydantic import ValidationError

pytest.importorskip("torch", reason="torch is not installed")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.verify.explained import runs
from xai_audit import digest
from xai_audit.verify.explained import asked
from xai_audit.verify.explained.explanations import checked, explained
from xai_audit.verify.explained.kept import Kept

CHECKED = ("observation", "controls", "inference", "robustness", "sampling", "params")
UNUSED = {"background", "max_evals"}
"""Parameters of tables: of pictures and texts only a part that was skipped repeats them, and nothing was made with them."""
OFTEN = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
SELDOM = settings(OFTEN, max_examples=40)


@functools.cache
def numbers():
    """Where a published number stands: the run, the piece of evidence, the path in it."""
    found = []
    for name, run in runs.RUNS.items():
        for piece in run()[0].evidence:
            content = piece.model_dump(mode="json")
            own = [path for path, _ in runs.leaves({key: content[key] for key in CHECKED})]
            kept = own
            if piece.status == "skipped":
                kept = [path for path in own if path[0] != "params" or path[1] not in UNUSED]
            # As many of each piece: of a map there are hundreds.
            found += random.Random(piece.id).choices([(name, piece.id, path) for path in kept], k=40)
    return found


@functools.cache
def opened(folder):
    """The folder's files, read once."""
    kept = Kept(
        next(made for made, where in (run() for run in runs.RUNS.values()) if where == folder), folder
    )
    for piece in kept._made.evidence:
        kept.arrays(piece)
    return kept


def wrong(made, folder, identifier):
    """What does not hold of one piece of evidence; nothing where it holds."""
    kept = Kept(made, folder)
    kept._opened = opened(folder)._opened
    kept.rows = opened(folder).rows
    check = checked(made.get(identifier), made, kept)
    return check.what if check.kind == "broken" else ""


def broken(made, folder):
    return {check.subject: check.what for check in explained(made, folder) if check.kind == "broken"}


@given(st.data())
@OFTEN
def test_one_number_changed_is_found_and_named(data):
    name, identifier, path = data.draw(st.sampled_from(numbers()))
    made, folder = runs.RUNS[name]()
    value = runs.at(made.get(identifier).model_dump(mode="json"), path)
    share = 10 ** data.draw(st.floats(-6, 1)) * data.draw(st.sampled_from([-1, 1]))
    other = (
        value + (1 if share > 0 else -1) if isinstance(value, int) else value + max(abs(value), 1e-3) * share
    )
    changed = runs.replaced(made, identifier, lambda piece: runs.with_at(piece, path, other))
    found = wrong(changed, folder, identifier)
    assert found
    if path[0] == "observation" and isinstance(path[-1], str) and "picture" not in path:
        assert path[-1] in found or "single row" in found


def listed(tree, path=()):
    """Where a list of more than one entry stands."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from listed(value, (*path, key))
    elif isinstance(tree, list):
        if len(tree) > 1 and "limits" not in path:
            yield path
        for place, value in enumerate(tree):
            yield from listed(value, (*path, place))


@functools.cache
def lists():
    return [
        (name, piece.id, path)
        for name, run in runs.RUNS.items()
        for piece in run()[0].evidence
        for path in list(listed({"observation": piece.model_dump(mode="json")["observation"]}))[:20]
    ]


@given(st.data())
@SELDOM
def test_an_entry_removed_or_two_exchanged_are_found(data):
    name, identifier, path = data.draw(st.sampled_from(lists()))
    made, folder = runs.RUNS[name]()
    content = runs.at(made.get(identifier).model_dump(mode="json"), path)
    place = data.draw(st.integers(0, len(content) - 2))
    shorter = content[:place] + content[place + 1 :]
    swapped = [*content[:place], content[place + 1], content[place], *content[place + 2 :]]
    other = data.draw(st.sampled_from([shorter, *([swapped] if swapped != content else [])]))
    if path == ("observation", "by") or content == other:
        return
    try:
        changed = runs.replaced(made, identifier, lambda piece: runs.with_at(piece, path, other))
    except ValidationError:
        return  # such an audit.json is refused when it is read
    assert wrong(changed, folder, identifier)


@pytest.mark.parametrize("name", runs.RUNS)
def test_a_deleted_piece_of_evidence_is_missed(name):
    made, folder = runs.RUNS[name]()
    for piece in made.evidence:
        gone = runs.replaced(made, piece.id, lambda _: None)
        assert piece.id in {check.subject for check in asked.present(gone)}, piece.id
    use = made.evidence[0].id.partition("/")[0]
    gone = made.model_copy(
        update={"evidence": tuple(one for one in made.evidence if one.id.partition("/")[0] != use)}
    )
    assert use in broken(gone, folder)


@pytest.mark.parametrize("name", runs.RUNS)
def test_what_is_said_to_be_skipped_though_it_was_measured_is_found(name):
    made, folder = runs.RUNS[name]()
    for piece in made.evidence:
        if piece.status != "measured":
            continue
        empty = {"observation": None, "controls": [], "inference": None, "robustness": None, "rung": None}

        def skipped(content, empty=empty):
            return {**content, **empty, "status": "skipped", "reason": "it was cold", "arrays": {}}

        changed = runs.replaced(made, piece.id, skipped)
        left = Kept(changed, folder).unnamed()
        # Where it takes its arrays with it, they are left behind without a name.
        assert wrong(changed, folder, piece.id) or (left and set(left) <= set(piece.arrays.values())), (
            piece.id
        )


def claims():
    for name in ("concepts", "a network's table", "pictures", "units", "a trigger", "a dictionary"):
        for piece in runs.RUNS[name]()[0].evidence:
            if piece.controls:
                yield name, piece


def test_passed_turned_round_a_raised_rung_and_other_tests_are_found():
    for name, piece in claims():
        made, folder = runs.RUNS[name]()
        for place, control in enumerate(piece.controls):
            path = ("controls", place, "passed")
            turned = runs.replaced(
                made, piece.id, lambda one, path=path, to=not control.passed: runs.with_at(one, path, to)
            )
            assert f"controls[{control.name}].passed" in wrong(turned, folder, piece.id)
        for rung in ("described", "associated", "intervened", "robust", None):
            if rung != piece.rung:
                raised = runs.replaced(made, piece.id, lambda one, rung=rung: {**one, "rung": rung})
                assert "rung is" in wrong(raised, folder, piece.id)
        without = runs.replaced(made, piece.id, lambda one: {**one, "controls": one["controls"][1:]})
        assert wrong(without, folder, piece.id)


def test_other_parameters_seeds_and_names_are_found():
    made, folder = runs.RUNS["table"]()
    for piece in made.evidence:
        assert (
            "seed" in broken(runs.replaced(made, piece.id, lambda one: {**one, "seed": 4}), folder)[piece.id]
        )
    stretched = runs.replaced(made, "lime", lambda one: runs.with_at(one, ("params", "samples"), 20_000))
    assert "params.samples" in broken(stretched, folder)["lime"]
    spec = {
        **made.spec,
        "explainers": [{**use, "params": {**use["params"], "rows": 7}} for use in made.spec["explainers"]],
    }
    assert broken(made.model_copy(update={"spec": spec}), folder).keys() == {
        piece.id for piece in made.evidence
    }
    unasked = {**made.spec, "explainers": made.spec["explainers"][1:]}
    found = broken(made.model_copy(update={"spec": unasked}), folder)
    assert found.keys() == {piece.id for piece in made.evidence if piece.id.startswith("shap")}
    reseeded = {**made.spec, "run": {**made.spec["run"], "seed": 1}}
    assert broken(made.model_copy(update={"spec": reseeded}), folder).keys() == {
        one.id for one in made.evidence
    }


@pytest.mark.parametrize(
    ("part", "path", "other"),
    [
        ("resample", ("params", "claim_share"), 1.0),
        ("resample", ("params", "jaccard"), 0.97),
        ("resample", ("robustness",), {"specifications": 12, "agreeing": 12, "share": 1.0}),
        ("resample", ("robustness",), {"specifications": 4, "agreeing": 4, "share": 1.0}),
        ("multiverse", ("observation", "values", 2, 2), 1.0),
        ("multiverse", ("observation", "rows", 2), "resample, logit difference, 85%, all prompts"),
        ("multiverse", ("observation", "row_title"), "specification"),
        ("multiverse", ("params", "claim"), "the first circuit keeps the least threshold"),
        (
            "multiverse",
            ("params", "specifications", 4),
            "resample, logit_difference, 85%, all prompts, seed 0",
        ),
        ("multiverse", ("params", "templates", 1, "others_that_judge"), 21),
        ("multiverse", ("params", "templates"), []),
        ("multiverse", ("params", "templates_not_used"), []),
        ("multiverse", ("params", "templates_not_used"), ["left"]),
        ("multiverse", ("params", "templates_withheld"), 0),
        ("multiverse", ("params", "multiverse", "templates"), ["left"]),
    ],
)
def test_a_forged_claim_of_templates_is_found(part, path, other):
    made, folder = runs.RUNS["templates"]()
    name = f"circuit_discovery/{part}"
    forged = runs.replaced(made, name, lambda one: runs.with_at(one, path, other))
    assert wrong(forged, folder, name)


def test_templates_and_specifications_of_forged_arrays_are_found(tmp_path):
    made, folder = runs.RUNS["templates"]()
    rare = made.get("circuit_discovery/multiverse").arrays["template"]

    def more(arrays):  # the template of too few prompts has enough
        codes = arrays["template"].copy()
        codes[np.flatnonzero(codes == 3)] = 2
        codes[np.flatnonzero(codes == 1)[:20]] = 2
        return {**arrays, "template": codes}

    found = broken(*runs.forged(made, folder, tmp_path, rare, more))
    assert "prompts for what is told of it" in found["circuit_discovery/multiverse"]
    held = made.get("circuit_discovery/resample").arrays["variant_held"]

    def holds(arrays):  # whatever else of the claim was made to fit
        return {**arrays, "variant_held": np.ones_like(arrays["variant_held"])}

    found = broken(*runs.forged(made, folder, tmp_path / "held", held, holds))
    assert "claim of resample ablation keeps other specifications" in found["circuit_discovery/multiverse"]


def test_another_row_or_text_as_the_single_row_that_is_shown_is_found():
    made, folder = runs.RUNS["texts"]()
    token = ("observation", "cases", 0, "tokens", 0, "text")
    reworded = runs.replaced(made, "occlusion/local", lambda one: runs.with_at(one, token, "sunny"))
    assert "not the one explained" in wrong(reworded, folder, "occlusion/local")
    made, folder = runs.RUNS["pictures"]()
    picture = ("observation", "cases", 0, "picture")
    other = made.get("occlusion/local").observation.cases[1]["picture"]
    swapped = runs.replaced(made, "occlusion/local", lambda one: runs.with_at(one, picture, other))
    assert "not the one explained" in wrong(swapped, folder, "occlusion/local")
    why = ("observation", "cases", 1, "why")
    retold = runs.replaced(made, "lime/local", lambda one: runs.with_at(one, why, "a typical one"))
    assert "why" in wrong(retold, folder, "lime/local")


# ------------------------------------------------------------------------------------------------- arrays
MATTER = {
    "table": {
        "shap": ("phi", "base", "output", "reference_output", "draws"),
        "shap/beeswarm": ("third",),
        "shap/stability": ("draw_ranks",),
        "lime": ("coefficients_by_draw", "intercept", "output", "fidelity"),
        "permutation_importance": ("base", "shuffled", "repeats"),
        "partial_dependence/age": ("answers", "x"),
    },
    "pictures": {
        "integrated_gradients": ("values", "regions", "residual", "explained", "output"),
        "integrated_gradients/deletion": ("heights", "twin_areas"),
        "integrated_gradients/baselines": ("from_mean",),
        "integrated_gradients/twin": ("own", "twin_1"),
        "gradient_shap": ("gap", "base"),
        "shap": ("phi", "parts", "residual", "rounds"),
        "lime": ("coefficients", "fidelity"),
        "prototypes": ("row_prototype", "row_agrees", "row_mean_class", "prototype_class"),
        "prototypes/coverage": ("held_distance", "row_distance"),
        "prototypes/margin": ("row_margin",),
        "prototypes/purity": ("neighbour_same",),
        "prototypes/stability": ("changed_0", "prototype_0"),
        "prototypes/suspects": ("example_value", "example_class"),
        "prototypes/examples": ("case_distance", "case_query"),
    },
    "texts": {"integrated_gradients": ("part_values", "part_words"), "shap/local": ("draw_ranks", "order_error")},
    "concepts": {
        "tcav": ("slopes", "own"),
        "tcav/planted%40mix%401": (
            "effect_by_input", "held_by_input", "example_influences", "random_direction_effects", "accuracy_by_set",
            "null_accuracy_by_set", "rising_by_input", "cosine_by_input", "null_sign_by_set", "agreement_by_set",
        ),
    },
    "units": {
        "sparse_probing": (
            "null", "labels_0", "finds_0", "digests_0", "widths_0", "labels_1", "finds_1", "digests_1",
        ),
        "sparse_probing/used%40inner": (
            "holds", "others", "units", "higher", "plain", "changes", "edited_holds", "random_effects", "random_areas",
            "variant_units",
        ),
        "sparse_probing/used%40inner%40k": ("holds_3", "others_3", "random_areas_3", "units_3"),
        "neuron_search/used": (
            "values", "label", "finds", "shown_unit", "changes", "plain", "edited_holds", "random_effects", "null",
            "activations_0", "labels_1",
        ),
    },
    "a trigger": {
        "neuron_search/stamp%40site": (
            "before", "after", "base", "clean_before", "clean_after", "random_undone", "units", "areas", "telling",
            "planted_found", "twins_flagged", "planted_size", "vector", "triggered", "comparable", "triggered_sha256",
            "clean_sha256",
        ),
        "neuron_search/stamp%40site%40edits": ("attacked", "kept", "random_direction", "random_units"),
    },
    "templates": {
        "circuit_discovery/mean": ("variant_circuits", "variant_held", "members"),
        "circuit_discovery/multiverse": ("variant_circuits", "variant_held"),
    },
    "a dictionary": {
        "sparse_autoencoder": (
            "sizes", "own_errors", "own_spreads", "own_fires", "own_counts", "frozen_errors",
            "twin_errors", "twin_spreads", "seed_1_fired",
        ),
        "sparse_autoencoder/stability": (
            "cosines", "cosines_1", "frozen_cosines", "decoder_1", "decoder_2", "decoder_frozen",
        ),
        "sparse_autoencoder/detection": (
            "counts", "latent", "detection", "null_detection", "null_fuzzing", "frozen_detection", "twin_detection",
            "fit_fired",
        ),
        "sparse_autoencoder/features": ("value_sum", "patterns"),
        "sparse_autoencoder/loss_recovered": (
            "own_original", "own_spliced", "own_mean_ablated", "own_zero_ablated", "own_kl", "frozen_spliced",
        ),
        "sparse_autoencoder/scaling": ("errors", "spreads", "fvu", "law", "refits", "never", "width", "k"),
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "identifier", "array"),
    [
        (name, one, array)
        for name, parts in MATTER.items()
        for one, arrays in parts.items()
        for array in arrays
    ],
)
def test_an_array_changed_with_its_digest_no_longer_gives_the_numbers(name, identifier, array, tmp_path):
    made, folder = runs.RUNS[name]()
    file = made.get(identifier).arrays[array]

    def change(arrays):
        held = arrays[array]
        flat = held.copy().ravel()
        if held.dtype.kind == "f":
            flat = flat * 1.3 + np.where(np.arange(flat.size) % 2, 0.11, -0.07)
        elif held.dtype.kind == "b":
            flat = ~flat
        else:
            flat = np.roll(flat, 1) if len(set(flat.tolist())) > 1 else (flat + 1).astype(held.dtype)
        return {**arrays, array: flat.astype(held.dtype).reshape(held.shape)}

    found = broken(*runs.forged(made, folder, tmp_path, file, change))
    assert any(one.partition("/")[0] == identifier.partition("/")[0] for one in found), found


@pytest.mark.parametrize(
    ("name", "identifier", "array", "change"),
    [
        ("units", "sparse_probing/used%40inner", "variant_scores", lambda held: -held),
        ("units", "sparse_probing/used%40inner", "variant_changes", lambda held: 0 * held),
        ("a trigger", "neuron_search/stamp%40site", "finding", lambda held: held[::-1]),
        ("a dictionary", "sparse_autoencoder", "own_fired", lambda held: held * (held > held.min())),
        ("a dictionary", "sparse_autoencoder", "own_first", lambda held: held * 9),
    ],
)
def test_an_array_of_which_little_is_published_is_held_to_that(name, identifier, array, change, tmp_path):
    made, folder = runs.RUNS[name]()
    file = made.get(identifier).arrays[array]
    found = broken(
        *runs.forged(made, folder, tmp_path, file, lambda held: {**held, array: change(held[array])})
    )
    assert any(one.startswith(identifier) for one in found), found


def test_a_sentence_with_another_number_is_found():
    made, folder = runs.RUNS["a dictionary"]()
    told = [piece for piece in made.evidence if "sentence" in piece.params]
    assert len(told) == 9
    for piece in told:
        sentence = "".join(str(9 - int(one)) if one.isdigit() else one for one in piece.params["sentence"])
        changed = runs.replaced(
            made, piece.id, lambda one, to=sentence: runs.with_at(one, ("params", "sentence"), to)
        )
        assert "params.sentence" in wrong(changed, folder, piece.id)


def test_a_file_of_another_part_in_its_place_is_found():
    made, folder = runs.RUNS["table"]()
    other = made.get("partial_dependence/income").arrays["answers"]
    moved = runs.replaced(
        made, "partial_dependence/debt", lambda one: {**one, "arrays": dict.fromkeys(one["arrays"], other)}
    )
    assert "partial_dependence/debt" in broken(moved, folder)
    other = made.get("lime").arrays["fidelity"]
    moved = runs.replaced(made, "shap", lambda one: {**one, "arrays": dict.fromkeys(one["arrays"], other)})
    assert "do not name the same arrays" in broken(moved, folder)["shap"]
    named = runs.replaced(
        made, "shap", lambda one: {**one, "arrays": {**one["arrays"], "phi": "../../etc/passwd.npz"}}
    )
    assert "is no name of a file" in broken(named, folder)["shap"]


def ways(content: bytes):
    """Files that are not what they were, under their old names or under their own."""
    with np.load(io.BytesIO(content)) as held:
        arrays = {name: held[name] for name in held.files}
    pressed = io.BytesIO()
    np.savez_compressed(pressed, **arrays)
    pickled = io.BytesIO()
    np.savez(pickled, **{name: np.asarray([{1: 2}], dtype=object) for name in arrays})
    foreign = io.BytesIO()
    with zipfile.ZipFile(foreign, "w") as archive:
        archive.writestr(
            "phi.npy", b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (9"
        )
    huge = io.BytesIO()
    with zipfile.ZipFile(huge, "w") as archive:
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            head, {"descr": "<f8", "fortran_order": False, "shape": (10**15,)}
        )
        archive.writestr("phi.npy", head.getvalue())
    cut = {name: array[:-1] if array.ndim else array for name, array in arrays.items()}
    flat = {name: array.ravel() for name, array in arrays.items()}
    words = {name: np.asarray(["a"] * len(array)) for name, array in arrays.items()}
    for held in (cut, flat, words):
        other = io.BytesIO()
        np.savez(other, **held)
        yield other.getvalue()
    yield from (pressed.getvalue(), pickled.getvalue(), foreign.getvalue(), huge.getvalue())
    yield from (b"", b"PK", content[:-30], content[: len(content) // 2], b"\0" * 100)


@pytest.mark.parametrize(("name", "identifier"), [("table", "shap"), ("concepts", "tcav")])
def test_a_file_that_is_no_plain_file_of_arrays_is_told_and_no_traceback(name, identifier, tmp_path):
    made, folder = runs.RUNS[name]()
    file = next(iter(made.get(identifier).arrays.values()))
    content = (folder / "evidence" / file).read_bytes()
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for number, other in enumerate(ways(content)):
        (copy / "evidence" / file).write_bytes(other)
        assert "its sha256 is another" in broken(made, copy)[identifier]
        own = f"{digest.of_bytes(other)}.npz"
        (copy / "evidence" / own).write_bytes(other)
        renamed = made.model_copy(
            update={
                "evidence": tuple(
                    piece.model_copy(
                        update={
                            "arrays": {key: own if one == file else one for key, one in piece.arrays.items()}
                        }
                    )
                    for piece in made.evidence
                )
            }
        )
        found = broken(renamed, copy)
        assert any(one.partition("/")[0] == identifier for one in found), (number, found)
        (copy / "evidence" / own).unlink()
    (copy / "evidence" / file).unlink()
    assert "cannot be read" in broken(made, copy)[identifier]
    (copy / "evidence" / f"{'0' * 64}.npz").write_bytes(b"")
    assert f"evidence/{'0' * 64}.npz" in broken(made, copy)


def test_rows_that_are_not_the_run_s_are_found(tmp_path):
    import pyarrow.parquet as pq

    made, folder = runs.RUNS["table"]()
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    file = copy / "evidence" / "rows.parquet"
    table = pq.read_table(file)
    pq.write_table(table.drop_columns(["digest"]), file)
    assert "has no column digest" in broken(made, copy)["shap"]
    pq.write_table(table.take(list(range(table.num_rows))[::-1]), file)
    assert "not in their order" in broken(made, copy)["shap"]
    place = table.column_names.index("score:1")
    other = table.set_column(place, "score:1", [[0.5] * table.num_rows])
    pq.write_table(other, file)
    found = broken(made, copy)
    assert "stands elsewhere" in found["shap"]
    assert "permutation_importance" in found
    file.write_bytes(b"no parquet")
    assert "cannot be read" in broken(made, copy)["lime/fidelity"]
    file.unlink()
    assert broken(made, copy).keys() == {piece.id for piece in made.evidence}


SHAPES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**9) | st.floats(-1e9, 1e9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.data())
@settings(OFTEN, max_examples=150)
def test_parameters_spec_and_cases_of_any_shape_give_checks_and_no_traceback(data):
    name = data.draw(st.sampled_from(["table", "texts", "concepts"]))
    made, folder = runs.RUNS[name]()
    piece = data.draw(st.sampled_from(made.evidence))
    key, value = data.draw(st.sampled_from(sorted(piece.params))), data.draw(SHAPES)
    where = data.draw(st.sampled_from(["params", "spec", "subject", "cases"]))
    if where == "params":
        changed = runs.replaced(made, piece.id, lambda one: {**one, "params": {**one["params"], key: value}})
    elif where == "cases":
        told = {"shape": "cases", "cases": [{key: value}, {"tokens": value}]}
        changed = runs.replaced(made, piece.id, lambda one: {**one, "observation": told})
    else:
        held = getattr(made, where)
        changed = made.model_copy(update={where: {**held, data.draw(st.sampled_from(sorted(held))): value}})
    wrong(changed, folder, piece.id)
    next(explained(changed, folder), None)

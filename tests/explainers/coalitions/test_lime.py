from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from lime.lime_text import LimeTextExplainer

from tests.explainers.bench import Bench, observe
from tests.explainers.games import called, network_subject, pictures, sentences, text_model, text_subject
from xai_audit.errors import MethodError
from xai_audit.evidence import Evidence
from xai_audit.explainers.coalitions import lime as lime_players
from xai_audit.explainers.coalitions.superpixels import grid, superpixels
from xai_audit.explainers.lime import METHOD, seed_of
from xai_audit.method import Skipped

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from lime.lime_image import LimeImageExplainer


def as_found(found):
    """Coefficients of each row from the arrays."""
    arrays = found["local"].arrays
    return np.split(arrays["phi"], np.cumsum(arrays["players"])[:-1])


def library_image(picture, answers, seed, column, samples, features=None, segments=None, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        explainer = LimeImageExplainer(random_state=np.random.RandomState(seed), **more)
        told = explainer.explain_instance(
            picture, answers, labels=(column,), top_labels=None, num_samples=samples, batch_size=64,
            num_features=features or 100000, segmentation_fn=None if segments is None else lambda _: segments,
        )  # fmt: skip
    weights = np.zeros(int(told.segments.max()) + 1)
    for part, weight in told.local_exp[column]:
        weights[part] = weight
    return told, weights


@pytest.mark.parametrize("features", [None, 3, 8])
@pytest.mark.parametrize("how", ["quickshift", "slic", "grid"])
def test_pictures_equal_the_lime_library_for_the_same_draws(how, features):
    one = network_subject()
    params = {"players": "grid"} if how == "grid" else {"segmentation": how}
    if how != "quickshift":
        params["segments"] = 12
    found = observe(METHOD, one, rows=3, samples=120, seeds=2, features=features, **params)
    chosen = Bench(one, METHOD.params(rows=3), METHOD).sample(3)[0]
    for i, row in enumerate(chosen):
        picture = one.test.frame.iloc[row, 0]
        segments = {
            "quickshift": lambda _: None,  # the library's own
            "slic": lambda p: superpixels(p, "slic", 12),
            "grid": lambda p: grid(*p.shape[:2], 12),
        }[how](picture)
        column = int(one.prediction[row])

        def answers(images):
            from tests.deep import image_frame

            return one.evaluate(image_frame(images))

        told, weights = library_image(
            picture, answers, seed_of(0, 0, one.test.seed(row)), column, 120, features, segments
        )
        assert len(weights) == found["local"].arrays["players"][i]
        assert np.abs(as_found(found)[i] - weights).max() < 1e-9
        arrays = found["local"].arrays
        assert arrays["base"][i] == pytest.approx(told.intercept[column], abs=1e-9)
        assert arrays["base"][i] + weights.sum() == pytest.approx(float(told.local_pred[0]), abs=1e-9)
        assert arrays["score"][i] == pytest.approx(told.score, abs=1e-9)


def test_a_colour_and_a_kernel_width_of_the_users_own_equal_the_library():
    one = network_subject()
    found = observe(
        METHOD, one, rows=2, samples=150, seeds=2, players="grid", segments=16, mask="value", value=7,
        kernel_width=0.6,
    )  # fmt: skip
    chosen = Bench(one, METHOD.params(rows=2), METHOD).sample(2)[0]
    for i, row in enumerate(chosen):
        from tests.deep import image_frame

        picture = one.test.frame.iloc[row, 0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            explainer = LimeImageExplainer(
                kernel_width=0.6, random_state=np.random.RandomState(seed_of(0, 0, one.test.seed(row)))
            )
            told = explainer.explain_instance(
                picture, lambda images: one.evaluate(image_frame(images)), top_labels=3, hide_color=7,
                num_samples=150, segmentation_fn=lambda _: grid(16, 16, 16),
            )  # fmt: skip
        weights = np.zeros(16)
        for part, weight in told.local_exp[int(one.prediction[row])]:
            weights[part] = weight
        assert np.abs(as_found(found)[i] - weights).max() < 1e-9


@pytest.mark.parametrize("features", [None, 4, 7])
def test_texts_equal_the_lime_library_for_the_same_draws(features):
    one = text_subject(12, least=8, most=20)
    found = observe(METHOD, one, rows=5, samples=300, seeds=2, features=features)
    chosen = Bench(one, METHOD.params(rows=5), METHOD).sample(5)[0]
    for i, row in enumerate(chosen):
        text = one.test.frame.iloc[row, 0]
        explainer = LimeTextExplainer(random_state=np.random.RandomState(seed_of(0, 0, one.test.seed(row))))
        told = explainer.explain_instance(
            text, text_model().predict_proba, num_features=features or 10**6, num_samples=300
        )
        weights = np.zeros(told.domain_mapper.indexed_string.num_words())
        for word, weight in told.local_exp[1]:
            weights[word] = weight
        arrays = found["local"].arrays
        assert np.abs(as_found(found)[i] - weights).max() < 1e-9
        assert arrays["base"][i] == pytest.approx(told.intercept[1], abs=1e-9)
        assert arrays["base"][i] + weights.sum() == pytest.approx(float(told.local_pred[0]), abs=1e-9)
        assert arrays["score"][i] == pytest.approx(told.score, abs=1e-9)
        assert arrays["output"][i] == pytest.approx(told.predict_proba[1], abs=1e-12)


def test_the_draws_are_lime_texts_own():
    state = np.random.RandomState(4)
    sizes = state.randint(1, 8, 49)
    off = [set(state.choice(range(7), size, replace=False).tolist()) for size in sizes]
    found = lime_players.masks("text", 7, 50, np.random.RandomState(4))
    assert found[0].all()
    assert [set(np.flatnonzero(~row).tolist()) for row in found[1:]] == off


def additive(texts):
    return [[0.3 * ("good" in t.split()) - 0.2 * ("bad" in t.split()) + 0.5] for t in texts]


def test_an_additive_model_is_found_and_followed():
    texts = [
        f"{a} plot of good {b} bad film" for a in ("one", "two", "six") for b in ("grim", "odd", "wry", "raw")
    ]
    one = called(additive, texts, "text", classes=None)
    found = observe(METHOD, one, rows=12, samples=600, seeds=3)
    items = {item.name: item for item in found[""].observation.items}
    assert set(items) == {"good", "bad", "plot", "of", "film"}  # the others stand in four texts or three
    assert items["good"].estimate.value == pytest.approx(0.3, abs=0.01)
    assert items["bad"].detail["mean_signed"] == pytest.approx(-0.2, abs=0.01)
    assert items["good"].rank_low == items["good"].rank_high == 1
    assert found["fidelity"].observation.estimate.value > 0.999
    assert found["stability_top5"].observation.estimate.value > 0.3
    assert found["deletion"].observation.estimate.low > 0
    assert found["insertion"].observation.estimate.low > 0
    assert found["coverage"].observation.estimate.value == 1


def test_a_word_that_stands_twice_shares_its_weight_out():
    one = called(additive, ["good plot good film"] * 3 + ["bad film", "film"], "text", classes=None)
    found = observe(METHOD, one, samples=300, seeds=2)
    case = next(c for c in found["local"].observation.cases if any(t["text"] == "plot" for t in c["tokens"]))
    assert "".join(token["text"] for token in case["tokens"]) == "good plot good film"
    goods = [token["phi"] for token in case["tokens"] if token["text"] == "good"]
    assert goods[0] == goods[1] == pytest.approx(0.15, abs=0.01)
    assert any("shares its weight out" in words for words in found["local"].limits)
    total = case["base"] + sum(token["phi"] or 0 for token in case["tokens"])
    assert total == pytest.approx(case["fitted"], abs=1e-9)


def test_equal_masks_are_asked_once():
    one = text_subject(4, least=3, most=5)
    observe(METHOD, one, rows=4, samples=1000, seeds=5)
    told = observe(METHOD, one, rows=4, samples=1000, seeds=5)[""]
    assert isinstance(told, Skipped)
    found = observe(METHOD, one, rows=4, samples=1000, seeds=5)["local"]
    assert found.params["answers_of_the_model"] <= 4 * 2**5  # 5,000 neighbours a row, at most 32 different


def test_a_mean_colour_cannot_hide_a_part_of_one_colour_and_it_is_said():
    flat = np.zeros((8, 8, 3), dtype=np.uint8)
    flat[:4] = 200
    one = called(lambda cells: [[cell[:4].mean() / 255] for cell in cells], [flat] * 3, "image", classes=None)
    found = observe(METHOD, one, players="grid", segments=4, samples=100, seeds=2)
    assert np.abs(found["local"].arrays["phi"]).max() < 1e-12
    assert any("hides as itself" in words for words in found["local"].limits)
    grey = observe(METHOD, one, players="grid", segments=4, samples=100, seeds=2, mask="gray")
    assert np.abs(grey["local"].arrays["phi"]).max() > 0.05


@pytest.mark.parametrize(
    ("modality", "params", "said"),
    [
        ("image", {"draws": "row"}, "draws: it is for tables; these rows are images"),
        ("text", {"segments": 9}, "segments: it is for images; these rows are texts"),
        ("text", {"discretize": "quartile"}, "discretize: it is for tables; these rows are texts"),
        ("image", {"token": "x"}, "token: it is for texts; these rows are images"),
        ("image", {"players": "words"}, "players: words is not for images"),
        ("text", {"mask": "blur"}, "mask: blur is not for texts"),
        (
            "image",
            {"players": "grid", "segmentation": "slic"},
            "segmentation: it is for players: superpixels",
        ),
        ("image", {"segmentation": "quickshift", "segments": 9}, "segments: it is for players: grid, or"),
        ("image", {"mask": "value"}, "mask: value asks for value"),
        ("image", {"mask": "blur", "value": 3}, "value: it is for mask: value"),
        ("text", {"players": "tokens"}, "players: tokens asks for a model whose tokenizer"),
        ("text", {"mask": "token"}, "mask: token asks for a model whose tokenizer"),
        ("text", {"mask": "removal", "token": "x"}, "token: it is for mask: token"),
        ("image", {"output": "margin"}, "output: margin does not apply"),
    ],
)
def test_what_does_not_apply_is_refused(modality, params, said):
    one = (
        text_subject(3)
        if modality == "text"
        else called(lambda cells: [[0.5, 0.5]] * len(cells), pictures(2), "image")
    )
    with pytest.raises(MethodError, match=said.replace(".", r"\.")):
        observe(METHOD, one, **{"samples": 20, "seeds": 2, **params})


def test_tables_refuse_what_is_for_pictures_and_keep_their_parameters():
    from tests.explainers.test_lime import made

    with pytest.raises(MethodError, match="players: it is for images and texts; these rows are tables"):
        observe(METHOD, made("boosting"), players="grid")
    assert set(METHOD.params().model_dump()) == {
        "rows", "samples", "features", "kernel_width", "discretize", "output", "seeds", "draws",
    }  # fmt: skip


def test_rows_without_a_part_are_not_covered():
    one = called(additive, ["good film", "", "?!", "bad"], "text", classes=None)
    found = observe(METHOD, one, samples=50, seeds=2)
    assert found["coverage"].observation.estimate.value == 0.5
    assert len(found["local"].arrays["players"]) == 2


def test_a_constant_model_has_no_fidelity_and_says_why():
    one = called(lambda cells: [[0.4]] * len(cells), sentences(4), "text", classes=None)
    found = observe(METHOD, one, samples=50, seeds=2)
    assert isinstance(found["fidelity"], Skipped)


def essence(found):
    return {
        name: (one.reason if isinstance(one, Skipped) else json.loads(one.observation.model_dump_json()))
        for name, one in found.items()
    }


@pytest.mark.parametrize("modality", ["image", "text"])
def test_same_numbers_whatever_the_cut(modality):
    one = network_subject() if modality == "image" else text_subject(9)
    more = {"samples": 60, "seeds": 2}
    first, second = observe(METHOD, one, **more), observe(METHOD, one, piece=2, **more)
    assert essence(first) == essence(second)
    for name, value in first["local"].arrays.items():
        assert value.tobytes() == second["local"].arrays[name].tobytes(), name


@pytest.mark.parametrize("modality", ["image", "text"])
def test_everything_becomes_evidence(modality):
    one = network_subject() if modality == "image" else text_subject(30)
    found = observe(METHOD, one, samples=60, seeds=2)
    assert set(found) == {"", *METHOD.parts}
    for name, piece in found.items():
        if isinstance(piece, Skipped):
            continue
        record = Evidence(
            id=f"lime/{name}", method="lime", kind="explainer", title=piece.title, status="measured",
            observation=piece.observation, params={**METHOD.params().model_dump(), **piece.params},
            controls=piece.controls,
        )  # fmt: skip
        assert Evidence.model_validate_json(record.model_dump_json()) == record
        assert record.params.get("discretize") is None

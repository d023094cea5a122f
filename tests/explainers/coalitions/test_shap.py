from __future__ import annotations

import json
import math
import warnings
from itertools import combinations

import numpy as np
import pytest

from tests.explainers.bench import Bench, observe
from tests.explainers.games import called, network_subject, pictures, sentences, text_subject
from xai_audit.errors import MethodError
from xai_audit.evidence import Evidence
from xai_audit.explainers.coalitions import players
from xai_audit.explainers.coalitions.shap import by_orders
from xai_audit.explainers.shap import METHOD
from xai_audit.method import Skipped

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import shap


def as_found(found, name="phi"):
    arrays = found["local"].arrays
    return np.split(arrays[name], np.cumsum(arrays["players"])[:-1])


def definition(call, count):
    """Shapley values by every coalition, one at a time."""
    value = {
        chosen: float(call(np.isin(np.arange(count), chosen)[None])[0])
        for size in range(count + 1)
        for chosen in combinations(range(count), size)
    }
    phi = np.zeros(count)
    for j in range(count):
        rest = [k for k in range(count) if k != j]
        for size in range(count):
            weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            phi[j] += weight * sum(
                value[tuple(sorted((*chosen, j)))] - value[chosen] for chosen in combinations(rest, size)
            )
    return phi


def games(one, rows, **params):
    """What each of the rows' masks is worth, asked by hand."""
    from xai_audit.explainers.coalitions.shap import _choice

    choice = _choice(one, METHOD.params(**params))
    for row in Bench(one, METHOD.params(rows=rows), METHOD).sample(rows)[0]:
        cut = players.switches(one, choice, int(row))
        column = int(one.prediction[row]) if len(one.classes) > 2 else one.positive
        yield cut, players.Asker(one, cut, "score", column)


@pytest.mark.parametrize("mask", ["gray", "mean", "blur", "value"])
def test_few_parts_of_pictures_get_their_values_by_definition(mask):
    one = network_subject()
    params = {"players": "grid", "segments": 6, "mask": mask, **({"value": 9} if mask == "value" else {})}
    found = observe(METHOD, one, rows=2, **params)
    assert found["local"].params["engine"] == "xai-audit: all coalitions for 2 rows"
    for phi, (cut, ask) in zip(as_found(found), games(one, 2, **params), strict=True):
        assert np.abs(phi - definition(ask, cut.count)).max() < 1e-12
    assert found["additivity"].observation.estimate.value < 1e-6  # the network answers in float32


def test_few_words_equal_shaps_exact_explainer():
    one = text_subject(6, least=4, most=8)
    found = observe(METHOD, one, rows=3)
    for phi, (cut, ask) in zip(as_found(found), games(one, 3), strict=True):
        masker = shap.maskers.Independent(np.zeros((1, cut.count)), max_samples=1)
        told = shap.ExactExplainer(lambda z, ask=ask: ask(z > 0.5), masker)(np.ones((1, cut.count)))
        assert np.abs(told.values[0] - phi).max() < 1e-9
        assert told.base_values[0] == pytest.approx(float(ask(np.zeros((1, cut.count), dtype=bool))[0]))
    assert found["stability"].observation.estimate.value == 1
    assert not as_found(found, "order_error")[0].any()


def test_sampled_orders_equal_shaps_permutation_explainer_for_the_same_orders():
    one = text_subject(6, least=13, most=18)
    for cut, ask in games(one, 3):
        count, rounds = cut.count, 5
        masker = shap.maskers.Independent(np.zeros((1, count)), max_samples=1)
        explainer = shap.PermutationExplainer(lambda z, ask=ask: ask(z > 0.5), masker, seed=3)
        told = explainer(np.ones((1, count)), max_evals=rounds * (2 * count + 1), silent=True)
        state = np.random.RandomState(3)  # as the library draws
        order, orders = np.arange(count), []
        for _ in range(rounds):
            state.shuffle(order)
            orders.append(order.copy())
        # The library switches on in the order and off again in the same order.
        ours = by_orders(ask, np.asarray(orders))[0].mean(axis=0)
        assert np.abs(told.values[0] - ours).max() < 1e-9


def test_the_error_of_sampled_orders_holds_the_true_values():
    one = text_subject(24, seed=4, least=8, most=11)
    exact = as_found(observe(METHOD, one, evaluations=5000))
    found = observe(METHOD, one, method="permutation", permutations=12)
    inside, total = 0, 0
    from xai_audit.intervals_rows import t_quantile

    for truth, phi, error in zip(exact, as_found(found), as_found(found, "order_error"), strict=True):
        inside += int((np.abs(phi - truth) <= t_quantile(0.95, 11) * error + 1e-12).sum())
        total += len(phi)
    assert total > 150
    assert inside / total > 0.91
    assert found["additivity"].observation.estimate.value < 1e-12
    assert found["local"].params["permutations_used"] == {"fewest": 24, "most": 24}
    assert 0.7 < found["stability"].observation.estimate.value < 1


def test_words_are_ranked_over_the_texts_that_hold_them():
    def call(texts):
        words = [text.lower().split() for text in texts]
        return [
            [0.4 * ("good" in w) - 0.3 * ("bad" in w) + 0.1 * ("good" in w and "not" in w)] for w in words
        ]

    texts = [f"Good film {k}" for k in "abcdefghijkl"] + [f"bad plot {k}" for k in "abcdefghijk"]
    one = called(call, [*texts, "not here"], "text", classes=None)
    found = observe(METHOD, one)
    items = {item.name: item for item in found[""].observation.items}
    assert set(items) == {"good", "film", "bad", "plot"}
    assert items["good"].estimate.value == pytest.approx(0.4, abs=1e-12)
    assert items["good"].estimate.n == items["good"].detail["texts"] == 12
    assert items["bad"].detail["mean_signed"] == pytest.approx(-0.3, abs=1e-12)
    assert (items["good"].rank_low, items["good"].rank_high) == (1, 1)
    assert any("fewer than 10" in words for words in found[""].limits)


def test_a_word_that_stands_in_too_few_texts_is_not_named():
    found = observe(METHOD, text_subject(6), rows=6)
    assert isinstance(found[""], Skipped)
    assert found[""].reason == "no word stands in 10 or more of the 6 explained texts"


def test_a_bright_patch_carries_the_largest_contribution_for_its_size():
    rng = np.random.default_rng(2)
    cells = rng.integers(90, 160, (12, 16, 16, 3)).astype(np.uint8)
    cells[:, :4, 12:] = 255

    def call(given):
        return [[0.1 + 0.8 * (np.asarray(c)[:4, 12:].mean() > 200)] for c in given]

    one = called(call, list(cells), "image", classes=None)
    found = observe(METHOD, one, players="grid", segments=16)
    items = found[""].observation.items
    assert items[0].name == "row 1, column 4"
    assert items[0].estimate.value == pytest.approx(0.8)
    assert max(item.estimate.value for item in items[1:]) < 1e-12
    assert any("places are ranked" in words for words in found[""].limits)
    case = found["local"].observation.cases[0]
    assert case["kind"] == "image"
    assert case["base"] + sum(map(sum, case["map"]["values"])) == pytest.approx(case["score"], abs=0.01)


def test_many_players_are_asked_in_two_orders_at_least_and_it_is_said():
    one = text_subject(3, least=25, most=30)
    one = called(
        lambda texts: [[len(text) / 400] for text in texts],
        [" ".join(f"w{k}x{t}" for k in range(60)) for t in range(3)],
        "text",
        classes=None,
    )
    found = observe(METHOD, one, evaluations=100)
    assert found["local"].params["permutations_used"] == {"fewest": 4, "most": 4}
    assert any("took more than 100 answers" in words for words in found["local"].limits)
    # Every word of a length adds the same, whatever the order: no error.
    assert max(error.max() for error in as_found(found, "order_error")) < 1e-12


def test_a_closed_hierarchy_is_said():
    found = observe(METHOD, network_subject(), rows=2, method="partition", evaluations=60)
    assert any("left groups closed in 2 of 2 rows" in words for words in found["local"].limits)
    assert any("depend on the hierarchy" in words for words in found["local"].limits)
    assert found["additivity"].observation.estimate.value < 1e-6
    assert isinstance(found["stability"], Skipped)


@pytest.mark.parametrize(("modality", "word"), [("image", "parts"), ("text", "words")])
def test_readers_are_told_of_parts_and_words(modality, word):
    one = network_subject() if modality == "image" else text_subject(6)
    found = observe(METHOD, one, rows=2)
    assert found["stability"].title.startswith(f"Same order of {word} with other sampled orders")
    assert found["stability_top5"].title.startswith(f"Same leading {word} with")


@pytest.mark.parametrize(
    ("modality", "params", "said"),
    [
        ("image", {"background": 5}, "background: it is for tables; these rows are images"),
        ("text", {"max_evals": 50}, "max_evals: it is for tables; these rows are texts"),
        ("text", {"method": "tree"}, "method: tree does not apply to texts"),
        ("image", {"players": "pixels"}, "players: pixels asks for method: partition"),
        ("image", {"players": "grid", "method": "partition"}, "method: partition is for players: pixels"),
        ("image", {"mask": "mean", "method": "partition"}, "mask: mean hides nothing of a single pixel"),
        ("image", {"method": "exact"}, "more than 16"),
        ("image", {"output": "margin"}, "output: margin does not apply"),
    ],
)
def test_what_does_not_apply_is_refused(modality, params, said):
    one = (
        text_subject(3)
        if modality == "text"
        else called(lambda cells: [[0.5, 0.5]] * len(cells), pictures(2), "image")
    )
    with pytest.raises(MethodError, match=said):
        observe(METHOD, one, **params)


def test_tables_refuse_what_is_for_pictures_and_keep_their_parameters():
    from tests.explainers.test_lime import made

    for params, said in (
        ({"evaluations": 9}, "evaluations: it is for images and texts; these rows are tables"),
        ({"method": "partition"}, "method: partition is for images and texts"),
    ):
        with pytest.raises(MethodError, match=said):
            observe(METHOD, made("boosting"), **params)
    assert set(METHOD.params().model_dump()) == {
        "rows", "background", "output", "method", "permutations", "max_evals", "resamples",
    }  # fmt: skip


def test_rows_without_a_part_are_not_covered():
    one = called(
        lambda texts: [[len(t) / 20] for t in texts], ["good film", "", "?!", "bad"], "text", classes=None
    )
    found = observe(METHOD, one)
    assert found["coverage"].observation.estimate.value == 0.5


def essence(found):
    return {
        name: (one.reason if isinstance(one, Skipped) else json.loads(one.observation.model_dump_json()))
        for name, one in found.items()
    }


@pytest.mark.parametrize("modality", ["image", "text"])
def test_same_numbers_whatever_the_cut(modality):
    one = network_subject() if modality == "image" else text_subject(9, least=6, most=16)
    first, second = (observe(METHOD, one, evaluations=200, piece=piece) for piece in (16, 2))
    assert essence(first) == essence(second)
    for name, value in first["local"].arrays.items():
        assert value.tobytes() == second["local"].arrays[name].tobytes(), name


@pytest.mark.parametrize("modality", ["image", "text"])
def test_everything_becomes_evidence(modality):
    one = network_subject() if modality == "image" else text_subject(30)
    found = observe(METHOD, one, evaluations=200)
    assert set(found) == {"", *METHOD.parts} - {"beeswarm"}
    for name, piece in found.items():
        if isinstance(piece, Skipped):
            continue
        record = Evidence(
            id=f"shap/{name}", method="shap", kind="explainer", title=piece.title, status="measured",
            observation=piece.observation, params={**METHOD.params().model_dump(), **piece.params},
            controls=piece.controls,
        )  # fmt: skip
        assert Evidence.model_validate_json(record.model_dump_json()) == record


def test_sentences_are_what_the_cases_show():
    texts = sentences(8)
    one = text_subject(8)
    found = observe(METHOD, one)
    for case in found["local"].observation.cases:
        assert "".join(token["text"] for token in case["tokens"]) in texts
        total = case["base"] + sum(token["phi"] or 0 for token in case["tokens"])
        assert total == pytest.approx(case["score"], abs=1e-9)

"""Every method of the catalog on a network of pictures, one of texts, and a plain text classifier: measured, or skipped."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests import deep
from tests.explainers.coalitions.test_cuts import reader
from tests.explainers.games import called, pictures, sentences, text_model
from tests.test_methods_conform import SMALL, check_estimate, estimates
from xai_audit.catalog import methods
from xai_audit.evidence import Evidence, encoded, identifier
from xai_audit.measure import Outcome, Settings, Step, measure
from xai_audit.mechanistic.network import Network
from xai_audit.subject import Grouping, Subject

METHODS = methods()
MALE = {"name": "male", "where": "sex == 'm'"}
FEW: dict[str, dict[str, Any]] = {
    **SMALL,
    "shap": {"rows": 6, "evaluations": 100, "resamples": 5},
    "lime": {"rows": 6, "samples": 60, "seeds": 2},
    "integrated_gradients": {"rows": 6, "steps": 8, "most_steps": 16, "checked": 3, "twins": 1},
    "gradient_shap": {"rows": 6, "background": 8, "draws": 16},
    "tcav": {
        "concepts": [{"name": "male", "where": "sex == 'm'"}],
        "random_sets": 19,
        "examples": 10,
        "rows": 20,
        "directions": 5,
    },
    "sparse_probing": {
        "predicates": [MALE],
        "k": [1, 2],
        "permutations": 19,
        "inputs": 20,
        "random_units": 5,
    },
    "neuron_search": {
        "predicates": [MALE],
        "permutations": 19,
        "inputs": 20,
        "random_units": 5,
        "planted": 0,
    },
    "circuit_discovery": {
        "random_circuits": 19,
        "twins": 3,
        "ablation": ["mean"],
        "split": "units",
        "multiverse": None,
    },
    "sparse_autoencoder": {
        "expansion": 2,
        "k": 2,
        "tokens": 2000,
        "batch": 32,
        "rows": 20,
        "directions": 5,
        "effects": 2,
        "features": 6,
    },
}
"""Parameters that keep a slow method quick; one that is not named here runs with its defaults."""
SITES = {
    "circuit_discovery": {"images": {"sites": ["1"]}, "texts": {"sites": ["embedding"]}},
    "tcav": {"images": {"sites": ["1"]}, "texts": {"sites": ["embedding"]}},
    "sparse_autoencoder": {"images": {"site": "1"}, "texts": {"site": "embedding"}},
    "sparse_probing": {"images": {"sites": ["1"]}, "texts": {"sites": ["embedding"]}},
    "neuron_search": {"images": {"sites": ["1"]}, "texts": {"sites": ["embedding"]}},
}
"""Where methods look that must be told."""
TABLES_ONLY = {"permutation_importance", "partial_dependence"}


class Bag(torch.nn.Module):
    """Mean embedding of the tokens, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(10, 8)
        self.head = torch.nn.Linear(8, 2)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        seen = attention_mask[..., None].float()
        return self.head((self.embedding(input_ids) * seen).sum(1) / seen.sum(1).clamp(min=1))


def grouped(n: int) -> dict[str, Any]:
    """Two groups, a label for each row, and columns beside the rows."""
    codes = np.arange(n) % 2
    side = pd.DataFrame({"sex": np.where(codes, "f", "m"), "striped": np.arange(n) % 3 == 0})
    grouping = Grouping(("sex",), ({"sex": "m"}, {"sex": "f"}), codes, (False, False))
    return {"target": (np.arange(n) // 2) % 2, "side": side, "groupings": (grouping,)}


def drawn(module: torch.nn.Module) -> torch.nn.Module:
    """The module with weights from a generator of its own."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    return module


def images(n: int = 60) -> Subject:
    module = drawn(
        torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(3), torch.nn.Flatten(),
            torch.nn.Linear(36, 2),
        )
    )  # fmt: skip
    more = grouped(n)
    made = deep.rows(deep.image_frame(pictures(n, 16)), more.pop("target"), more.pop("side"), "test")
    side = grouped(30)["side"]
    train = deep.rows(deep.image_frame(pictures(30, 16, seed=4)), np.arange(30) % 2, side, "train")
    return deep.subject(Network(module, deep.ImageReader()), made, "image", train=train, **more)


def texts(n: int = 60) -> Subject:
    more = grouped(n)
    words = ["good", "unlikely", "film", "unlike", "good!"]
    rng = np.random.default_rng(5)
    told = [" ".join(rng.choice(words, rng.integers(2, 7))) for _ in range(n)]
    made = deep.rows(deep.text_frame(told), more.pop("target"), more.pop("side"), "test")
    return deep.subject(Network(drawn(Bag()), reader()), made, "text", **more)


def plain(n: int = 60) -> Subject:
    more = grouped(n)
    more.pop("side")
    return called(text_model().predict_proba, sentences(n), "text", **more)


SUBJECTS = {"images": images, "texts": texts, "a plain text classifier": plain}


@cache
def subject(kind: str) -> Subject:
    return SUBJECTS[kind]()


def observed(kind: str, name: str) -> Outcome:
    method = METHODS[name]
    asked = {**FEW.get(name, {}), **SITES.get(name, {}).get(kind, {})}
    step = Step(method, method.params.model_validate(asked), name)
    return measure(subject(kind), [step], Settings(seed=3))


@pytest.mark.parametrize("kind", SUBJECTS)
@pytest.mark.parametrize("name", METHODS)
def test_a_method_measures_or_says_why_not(name: str, kind: str) -> None:
    subject(kind)  # modules draw their first weights when they are made
    outcomes = []
    for seed in (1, 2):
        np.random.seed(seed)
        random.seed(seed)
        torch.manual_seed(seed)
        before = torch.random.get_rng_state()
        outcomes.append(observed(kind, name))
        assert torch.equal(torch.random.get_rng_state(), before), "the global generator of torch was used"
    first, again = outcomes
    assert [piece.model_dump_json() for piece in first.evidence] == [
        piece.model_dump_json() for piece in again.evidence
    ]
    assert first.arrays == again.arrays
    assert first.evidence
    columns = {column for grouping in subject(kind).groupings for column in grouping.columns}
    parts = [f"{name}/{part}" for part in METHODS[name].parts]
    crossed = [f"{part}/{encoded(column)}" for part in parts for column in columns]
    by = [identifier(name, *grouping.columns) for grouping in subject(kind).groupings]
    for piece in first.evidence:
        assert Evidence.model_validate_json(piece.model_dump_json()) == piece
        if METHODS[name].parts or METHODS[name].kind == "metric":
            assert piece.id in {name, *by, *parts, *crossed}
        if piece.status != "measured":
            assert piece.status == "skipped", piece.reason
            assert piece.reason == " ".join((piece.reason or "").split()) != ""
        for estimate in estimates(piece.model_dump(mode="json")):
            check_estimate(estimate)


@pytest.mark.parametrize("kind", SUBJECTS)
@pytest.mark.parametrize("name", sorted(TABLES_ONLY))
def test_what_is_for_tables_says_so(name: str, kind: str) -> None:
    (piece,) = observed(kind, name).evidence
    rows = "images" if kind == "images" else "texts"
    assert piece.status == "skipped"
    assert piece.reason == f"it is defined for tables; these rows are {rows}"


@pytest.mark.parametrize("kind", SUBJECTS)
@pytest.mark.parametrize("name", ["shap", "lime"])
def test_both_ask_any_model(name: str, kind: str) -> None:
    status = {piece.id: piece.status for piece in observed(kind, name).evidence}
    assert status[f"{name}/coverage"] == "measured"
    assert status[f"{name}/local"] == "measured"
    assert status[f"{name}/{'additivity' if name == 'shap' else 'fidelity'}"] == "measured"
    assert status[f"{name}/stability"] == status[f"{name}/stability_top5"] == "measured"
    assert status[f"{name}/deletion"] == status[f"{name}/insertion"] == "measured"

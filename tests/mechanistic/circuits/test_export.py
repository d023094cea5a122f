"""Circuits for other tools: graphs as circuit-tracer's viewer reads them, cards in StressKit's shape."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from xai_audit.mechanistic.circuits.export import circuit_tracer, packed, stability_card, unpacked
from xai_audit.mechanistic.circuits.graphs import Element
from xai_audit.mechanistic.circuits.multiverse import Specification, Universe

EDGES = [
    (Element("embed", "a0.h1.k"), 2.0), (Element("a0.h1", "m0"), 1.5), (Element("embed", "output"), 0.1),
    (Element("m0", "output"), 1.0),
]  # fmt: skip
NODE_KEYS = {
    "node_id", "feature", "layer", "ctx_idx", "feature_type", "token_prob", "is_target_logit", "run_idx", "reverse_ctx_idx",
    "jsNodeId", "clerp", "influence", "activation",
}  # fmt: skip


def test_a_graph_has_what_the_viewer_asks_for():
    made = circuit_tracer(EDGES, {"a0.h1.k": "a0.h1"}, slug="a", told="40 prompts")
    assert set(made) == {"metadata", "qParams", "nodes", "links"}
    assert set(made["metadata"]) >= {"slug", "scan", "transcoder_list", "prompt_tokens", "prompt"}
    assert set(made["qParams"]) == {"pinnedIds", "supernodes", "linkType", "clickedId", "sg_pos"}
    assert all(set(node) == NODE_KEYS for node in made["nodes"])
    by_name = {node["clerp"]: node for node in made["nodes"]}
    assert [by_name[name]["layer"] for name in ("embed", "a0.h1", "m0", "output")] == ["E", "1", "2", "3"]
    assert by_name["embed"]["feature_type"] == "embedding"
    assert by_name["output"]["is_target_logit"]
    ids = {node["node_id"] for node in made["nodes"]}
    assert len(ids) == 4
    assert all(link["source"] in ids and link["target"] in ids for link in made["links"])
    assert sorted(link["weight"] for link in made["links"]) == [0.1, 1.0, 1.5, 2.0]


def universe(seed, members, claim=True):
    found = Specification(seed=seed, template="all prompts", ablation="mean", metric="m", threshold=0.85)
    return Universe(found, np.asarray(members, dtype=bool), claim)


def test_a_card_counts_its_runs_and_can_be_counted_again():
    runs = [universe(0, [1, 1, 0, 0]), universe(1, [1, 1, 1, 0], claim=False), universe(2, [1, 1, 0, 0])]
    elements = [edge for edge, _ in EDGES]
    card = stability_card(
        runs, runs[0].circuit, elements, statement="a claim", method="eap", task="ioi", seed=3
    )
    pooled = card["metrics"]["pooled"]
    assert pooled["mean_pairwise_jaccard"] == pytest.approx((2 / 3 + 1 + 2 / 3) / 3)
    assert pooled["min_pairwise_jaccard"] == pytest.approx(2 / 3)
    assert pooled["modal_share"] == pytest.approx(2 / 3)
    assert not card["verdict"]["checks"]["structural_stability"]["passed"]
    assert "grade" not in card["verdict"]
    sets = [set(run["components"]) for run in card["runs"]]
    again = [len(a & b) / len(a | b) for a, b in ((sets[0], sets[1]), (sets[0], sets[2]), (sets[1], sets[2]))]
    assert np.mean(again) == pytest.approx(pooled["mean_pairwise_jaccard"])
    for run in card["runs"]:
        assert run["components_sha256"] == hashlib.sha256(json.dumps(run["components"]).encode()).hexdigest()


def test_bytes_are_the_same_and_come_back():
    made = circuit_tracer(EDGES, {}, slug="a", told="→")
    assert unpacked(packed(made)) == made
    assert packed(made).tobytes() == packed(dict(reversed(list(made.items())))).tobytes()

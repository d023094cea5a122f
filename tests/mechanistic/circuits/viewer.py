"""What the code of circuit-tracer's viewer (commit 4bb8c0e) takes for granted of a graph, each with what it does otherwise."""

from __future__ import annotations

from collections import Counter

import jsonschema

TEXT, NUMBER, WHOLE = {"type": "string"}, {"type": "number"}, {"type": "integer"}
TEXTS = {"type": "array", "items": TEXT}


def _object(**properties):
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


SCHEMA = _object(
    metadata=_object(
        slug=TEXT, scan=TEXT, transcoder_list=TEXTS, prompt_tokens=TEXTS, prompt=TEXT,
        node_threshold={"type": "null"},  # a number asks for a slider over influence, which no node has
        schema_version={"const": 1},  # by which it takes a feature for a pair
    ),
    qParams=_object(
        pinnedIds=TEXTS, supernodes={"type": "array"}, linkType={"enum": ["input", "output", "either", "both"]},
        clickedId=TEXT, sg_pos=TEXT,
    ),
    nodes={"type": "array", "minItems": 1, "items": _object(
        node_id=TEXT, feature=WHOLE, layer={"type": "string", "pattern": "^(E|[0-9]+)$"}, ctx_idx=WHOLE,
        feature_type=TEXT, token_prob=NUMBER, is_target_logit={"type": "boolean"}, run_idx=WHOLE, reverse_ctx_idx=WHOLE,
        jsNodeId=TEXT, clerp=TEXT, influence={"type": ["number", "null"]}, activation={"type": ["number", "null"]},
    )},
    links={"type": "array", "items": _object(source=TEXT, target=TEXT, weight=NUMBER)},
)  # fmt: skip
"""The fields of its graph_models.py, and what of them its scripts can do with."""


def opened(graph) -> dict[str, int]:
    """By the name of a node the row in which it is drawn, from 0 for embeddings; fails where the viewer would."""
    jsonschema.validate(graph, SCHEMA)
    nodes, tokens = graph["nodes"], graph["metadata"]["prompt_tokens"]
    ids = [node["node_id"] for node in nodes]
    assert len(set(ids)) == len(ids), "one node takes the links of another"
    ends = [(link["source"], link["target"]) for link in graph["links"]]
    assert {one for pair in ends for one in pair} <= set(ids), "links without a node are left out"
    assert len(set(ends)) == len(ends), "of two links between the same nodes one is listed"
    # Nodes of one feature in more than two thirds of all positions are taken out.
    features = Counter((node["layer"], node["feature"], node["ctx_idx"]) for node in nodes)
    assert max(features.values()) <= len(tokens) * 2 / 3, "nodes are taken out"
    assert max(features.values()) == 1, "hovering one node marks another"
    assert max(node["ctx_idx"] for node in nodes) >= 1, "the spacing of a single position is not a number"
    assert all(0 <= node["ctx_idx"] < len(tokens) for node in nodes)
    named = {}
    rows = {}
    inner = [int(node["layer"]) for node in nodes if node["feature_type"] != "logit" and node["layer"] != "E"]
    for node in nodes:
        name = node["clerp"]
        match node["feature_type"]:
            case "logit":
                assert "(p=" in name, "it stops: the probability is read from the name"
                name = name.split('"')[1]
                rows[node["node_id"]] = max(inner) + 2 if inner else int(node["layer"]) + 1
            case "embedding":
                assert node["layer"] == "E"
                name = tokens[node["ctx_idx"]]
                rows[node["node_id"]] = 0
            case kind:
                assert kind != "cross layer transcoder", "it asks huggingface.co for the feature's examples"
                assert ("error" in kind) == (node["feature"] == -1)
                assert node["layer"] != "E"
                rows[node["node_id"]] = int(node["layer"]) + 1
        assert "<" not in name, "the tooltip takes a name as HTML"
        named[node["node_id"]] = name
    assert any(node["feature_type"] == "logit" for node in nodes), "28 rows are drawn"
    for link in graph["links"]:
        assert rows[link["source"]] < rows[link["target"]], "a link points down or stays in the same row"
    assert set(graph["qParams"]["pinnedIds"]) == set(ids), (
        "links between nodes that are not pinned are not drawn"
    )
    assert len(set(named.values())) == len(named)
    return {named[one]: row for one, row in rows.items()}


def number(feature: int) -> int:
    """The number that the viewer reads from a feature: Cantor's pairing taken apart."""
    last = int(((8 * feature + 1) ** 0.5 - 1) // 2)
    return feature - last * (last + 1) // 2

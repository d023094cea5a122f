"""Circuits for other tools: the JSON that circuit-tracer's viewer opens, and a card in the shape of StressKit's.

circuit-tracer's graphs are of one prompt and of transcoder features; ours are means over prompts, of heads, MLPs or units. A
node's name stands in ``clerp``, its position is 0. The card has the shape of StressKit's schema 0.4 without a date and
without a letter grade, which are not ours to give.
"""

from __future__ import annotations

import hashlib
import json
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.mechanistic.circuits.multiverse import LIKE, axes, jaccard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from xai_audit.mechanistic.circuits.graphs import Element
    from xai_audit.mechanistic.circuits.multiverse import Universe

EMBEDDED = 20_000
"""Components of all runs up to which a card holds them; of more, their digests alone."""


def circuit_tracer(
    edges: Sequence[tuple[Element, float]], owners: Mapping[str, str], *, slug: str, told: str
) -> dict[str, Any]:
    """A graph as the viewer reads it; ``owners`` are the nodes that readers, such as a head's keys, belong to."""
    names = list(
        dict.fromkeys(owners.get(one, one) for edge, _ in edges for one in (edge.source, edge.target) if one)
    )
    layers: dict[str, int] = {}
    for name in sorted(names, key=lambda one: _depth(one, edges, owners)):
        layers.setdefault(_layer(name), len(layers))
    last = max(layers.values(), default=0)
    nodes, ids = [], {}
    for place, name in enumerate(names):
        layer = layers[_layer(name)]
        kind = "embedding" if layer == 0 else "logit" if layer == last else "cross layer transcoder"
        told_layer = "E" if layer == 0 else str(layer)
        ids[name] = f"{told_layer}_{place}_0"
        nodes.append(
            {
                "node_id": ids[name], "feature": place, "layer": told_layer, "ctx_idx": 0, "feature_type": kind,
                "token_prob": 0.0, "is_target_logit": kind == "logit", "run_idx": 0, "reverse_ctx_idx": 0,
                "jsNodeId": f"{told_layer}_{place}-0", "clerp": name, "influence": None, "activation": None,
            }
        )  # fmt: skip
    links = [
        {
            "source": ids[owners.get(edge.source, edge.source)],
            "target": ids[owners.get(edge.target, edge.target)],
            "weight": float(weight),
        }
        for edge, weight in edges
        if edge.target
    ]
    return {
        "metadata": {
            "slug": slug, "scan": "xai-audit", "transcoder_list": [], "prompt_tokens": ["prompts"], "prompt": told,
            "node_threshold": None, "schema_version": 1,
        },
        "qParams": {"pinnedIds": [], "supernodes": [], "linkType": "both", "clickedId": "", "sg_pos": ""},
        "nodes": nodes,
        "links": links,
    }  # fmt: skip


def _layer(name: str) -> str:
    """The site of a latent; of all else what stands before the first dot."""
    return name.rpartition("/")[0] or name.partition(".")[0]


def _depth(name: str, edges: Sequence[tuple[Element, float]], owners: Mapping[str, str]) -> int:
    """The longest way that leads to a node."""
    before = {
        owners.get(edge.source, edge.source)
        for edge, _ in edges
        if owners.get(edge.target, edge.target) == name
    }
    return max((1 + _depth(one, edges, owners) for one in before - {name}), default=0)


def stability_card(
    universes: Sequence[Universe],
    primary: NDArray[np.bool_],
    elements: Sequence[Element],
    *,
    statement: str,
    method: str,
    task: str,
    seed: int,
) -> dict[str, Any]:
    """What each declared specification found, and how they agree with each other and on the claim."""
    pairs = [jaccard(one.circuit, other.circuit) for one, other in combinations(universes, 2)]
    sizes = np.asarray([one.circuit.sum() for one in universes], dtype=float)
    share = float(np.mean([one.claim for one in universes]))
    mean = float(np.mean(pairs)) if pairs else 1.0
    chance = float(np.mean(sizes)) / len(elements)
    embed = int(sizes.sum()) <= EMBEDDED
    return {
        "schema_version": "0.4",
        "stresskit_version": "none: written by xai-audit",
        "claim": {
            "statement": statement, "base_claim_label": "holds", "model": None, "task": task, "method": method,
            "base_size": int(primary.sum()), "universe_size": len(elements),
        },
        "battery": {
            "axes": axes(universes), "n_runs_total": len(universes), "seed": seed,
            "base_config": {}, "claim_equiv_used": False, "components_embedded": embed,
        },
        "metrics": {
            "pooled": {
                "n_runs": len(universes),
                "mean_pairwise_jaccard": mean,
                "min_pairwise_jaccard": min(pairs, default=1.0),
                "modal_share": max(share, 1 - share),
                "median_size": float(np.median(sizes)),
                # Of two random circuits of the mean size.
                "expected_random_jaccard": chance / (2 - chance),
            }
        },
        "verdict": {
            "profile": "diagnostic",
            "confirmatory_state": "not_applicable",
            "checks": {
                "structural_stability": _check(mean, LIKE, "mean Jaccard index over pairs of specifications"),
                "claim_stability": _check(share, 0.8, "share of specifications in which the claim holds"),
            },
            "thresholds": {"jaccard": LIKE, "modal_share": 0.8},
        },
        "provenance": {},
        "notes": ["without a date and a letter grade: the audit gives none"],
        "runs": [_run(one, elements, embed=embed) for one in universes],
    }  # fmt: skip


def _check(value: float, threshold: float, told: str) -> dict[str, Any]:
    return {
        "value": value,
        "threshold": threshold,
        "passed": value >= threshold,
        "op": ">=",
        "description": told,
    }


def _run(one: Universe, elements: Sequence[Element], *, embed: bool) -> dict[str, Any]:
    found = sorted(str(elements[int(place)]) for place in np.flatnonzero(one.circuit))
    return {
        "axis": "multiverse",
        "variant": str(one.specification),
        "seed": one.specification.seed,
        "size": len(found),
        "claim": "holds" if one.claim else "does not hold",
        "structure_present": True,
        "components_sha256": hashlib.sha256(json.dumps(found).encode()).hexdigest(),
        **({"components": found} if embed else {}),
    }


def packed(value: Mapping[str, Any]) -> NDArray[np.uint8]:
    """JSON as bytes in an array, as evidence/ keeps it."""
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return np.frombuffer(text.encode(), dtype=np.uint8)


def unpacked(array: NDArray[np.uint8]) -> dict[str, Any]:
    """What `packed` has packed."""
    found: dict[str, Any] = json.loads(np.asarray(array, dtype=np.uint8).tobytes())
    return found

"""Circuits for other tools: the JSON that circuit-tracer's viewer opens, and a card in the shape of StressKit's.

circuit-tracer's graphs are of one prompt and of transcoder features; ours are means over prompts, of heads, MLPs, units or
latents, so what only its own have is left open: an output has no probability, a node no examples and no activation. Rows are
layers of the graph (attention and MLP of a block are two), and only inputs have positions of their own.

The card has the shape of StressKit's schema 0.4 (github.com/Arth-Singh/Stresskit) but for two fields that its validator
asks: ``created_at``, which evidence cannot hold, being the same to the byte whenever it is made, and which `write_all` adds;
and ``verdict.grade``, for an audit gives no letters. With the letter that StressKit counts the card validates and verifies.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, assert_never

import numpy as np

from xai_audit.mechanistic.circuits.multiverse import LIKE, axes, jaccard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from xai_audit.mechanistic.circuits.graphs import Element
    from xai_audit.mechanistic.circuits.multiverse import Universe

EMBEDDED = 20_000
"""Components of all runs up to which a card holds them; of more, their digests alone."""


Kind = Literal["input", "inside", "error", "output"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """A node as the viewer shows it; readers, such as the keys of a head, are shown as the part they belong to."""

    name: str
    kind: Kind
    layer: int
    """The row, from 0 for what reads the inputs; not used of inputs."""
    number: int
    """Which of its layer."""
    label: str = ""


def circuit_tracer(
    edges: Sequence[tuple[Element, float]], parts: Mapping[str, Part], *, slug: str, told: str
) -> dict[str, Any]:
    """A graph as circuit-tracer's viewer reads it; ``parts`` are all of the network's by the name of an edge's end.

    Edges between the same two parts, as to the query and the key of one head, are one link with the sum of their weights:
    the viewer lists one of them, and takes each as a share of the sum.
    """
    drawn = dict.fromkeys(parts[one] for edge, _ in edges for one in (edge.source, edge.target))
    if all(one.kind != "output" for one in drawn):
        # The viewer counts its rows from the output.
        drawn.update(dict.fromkeys(one for one in parts.values() if one.kind == "output"))
    inputs = [one for one in drawn if one.kind == "input"]
    # The viewer takes a node out that stands in more than two thirds of the positions, and needs two to space them: the
    # first one is empty, as of a token that begins a text, and what is no input stands at the last.
    position = {one: inputs.index(one) + 1 if one.kind == "input" else len(inputs) + 1 for one in drawn}
    nodes = [_node(one, position[one]) for one in drawn]
    ids = {one: node["node_id"] for one, node in zip(drawn, nodes, strict=True)}
    weights: dict[tuple[str, str], float] = {}
    for edge, weight in edges:
        ends = (ids[parts[edge.source]], ids[parts[edge.target]])
        weights[ends] = weights.get(ends, 0.0) + float(weight)
    return {
        "metadata": {
            "slug": slug, "scan": "xai-audit", "transcoder_list": [],
            "prompt_tokens": ["", *(_plain(one.label or one.name) for one in inputs), "circuit"], "prompt": told,
            "node_threshold": None, "schema_version": 1,
        },
        # Links are drawn between pinned nodes only.
        "qParams": {
            "pinnedIds": list(ids.values()), "supernodes": [], "linkType": "both", "clickedId": "", "sg_pos": ""
        },
        "nodes": nodes,
        "links": [
            {"source": source, "target": target, "weight": weight} for (source, target), weight in weights.items()
        ],
    }  # fmt: skip


def _node(part: Part, position: int) -> dict[str, Any]:
    said = part.label or part.name
    layer, number, index = str(part.layer), str(part.number), _paired(part.layer, part.number)
    match part.kind:
        case "input":
            # The viewer names it by the token at its position.
            layer, index, kind = "E", position, "embedding"
        case "inside":
            # A type of our own: of its own features the viewer asks huggingface.co for examples, under the name of `scan`.
            kind = "circuit element"
        case "error":
            number, index, kind = "error", -1, "mlp reconstruction error"
        case "output":
            # The viewer reads a name between quotes, and stops where nothing follows "(p=".
            kind, said = "logit", f'Output "{said.replace(chr(34), chr(39))}" (p=n/a)'
        case _:
            assert_never(part.kind)
    return {
        "node_id": f"{layer}_{number}_{position}", "feature": index, "layer": layer, "ctx_idx": position,
        "feature_type": kind, "token_prob": 0.0, "is_target_logit": kind == "logit", "run_idx": 0, "reverse_ctx_idx": 0,
        "jsNodeId": f"{layer}_{number}-{position}", "clerp": _plain(said), "influence": None, "activation": None,
    }  # fmt: skip


def _paired(layer: int, number: int) -> int:
    """Cantor's pairing, by which the viewer finds the number again."""
    return (layer + number) * (layer + number + 1) // 2 + number


def _plain(text: str) -> str:
    """Without tags: the viewer's tooltip takes a node's name, which may be a word of the data, as HTML."""
    return text.replace("<", "‹").replace(">", "›").replace("&", "＆")


def write_all(audit: Path, folder: Path) -> list[str]:
    """An audit's graphs into ``graphs``, as circuit-tracer's server serves them, its cards into ``cards``.

    Gives the names of the files. A card gets the time at which the audit ended.
    """
    told = json.loads((audit / "audit.json").read_bytes())
    written: dict[str, dict[str, Any]] = {}
    listed = []
    finished = told["run"].get("finished")
    dated = {} if finished is None else {"created_at": finished}
    for piece in told["evidence"]:
        slug = re.sub(r"[^\w.-]+", "-", piece["id"])
        for array in ("circuit_tracer_json", "stability_card_json"):
            if (file := piece["arrays"].get(array)) is None:
                continue
            with np.load(audit / "evidence" / Path(file).name) as arrays:
                made = unpacked(arrays[array])
            if array == "circuit_tracer_json":
                # Two uses of the method have graphs of the same name.
                metadata = {**made["metadata"], "slug": slug}
                listed.append({**metadata, "title_prefix": piece["id"]})
                written[f"graphs/{slug}.json"] = {**made, "metadata": metadata}
            else:
                written[f"cards/{slug}.json"] = {**made, **dated}
    written["graphs/graph-metadata.json"] = {"graphs": listed}
    for name, made in written.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(packed(made).tobytes())
    return list(written)


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
    pooled = _pooled(universes, len(elements))
    notes = ["without a letter grade: an audit gives none"]
    share = float(np.mean([one.claim for one in universes]))
    checks = {
        "claim_stability": _check(pooled["modal_share"], 0.8, "share of specifications that say the same"),
        "claim_holds": _check(share, 0.8, "share of specifications in which the claim holds"),
    }
    if pooled["mean_pairwise_jaccard"] is not None:
        told = "mean Jaccard index over pairs of specifications"
        checks["structural_stability"] = _check(pooled["mean_pairwise_jaccard"], LIKE, told)
    if out := pooled.get("n_size_mismatched_excluded"):
        told = "the same with circuits of all sizes"
        checks["structural_stability_all_sizes"] = _check(
            pooled["mean_pairwise_jaccard_all_sizes"], LIKE, told
        )
        notes.append(
            f"structural_stability leaves out {out} of {len(universes)} specifications, as StressKit does: their circuits "
            f"are more than twice or less than half as large as the first"
        )
    embed = sum(int(one.circuit.sum()) for one in universes) <= EMBEDDED
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
        "metrics": {"pooled": pooled},
        "verdict": {
            "profile": "diagnostic", "confirmatory_state": "not_applicable", "required_checks": [], "checks": checks,
            "thresholds": {"jaccard": LIKE, "modal_share": 0.8},
        },
        "provenance": {},
        "notes": notes,
        "runs": [_run(one, elements, embed=embed) for one in universes],
    }  # fmt: skip


def _pooled(universes: Sequence[Universe], elements: int) -> dict[str, Any]:
    """Of circuits at most twice and at least half as large as the first, as StressKit counts; and of all of any size."""
    sizes = [int(one.circuit.sum()) for one in universes]
    near = [one for one, size in zip(universes, sizes, strict=True) if sizes[0] / 2 <= size <= 2 * sizes[0]]
    holding = sum(one.claim for one in universes)
    counts = {"holds": holding, "does not hold": len(universes) - holding}
    every = _pairs(universes)
    left_out = {
        "mean_pairwise_jaccard_all_sizes": float(np.mean(every or [1.0])),
        "n_size_mismatched_excluded": len(universes) - len(near),
    }
    pairs = _pairs(near)
    chance = float(np.median(sizes)) / elements
    return {
        "n_runs": len(universes),
        "mean_pairwise_jaccard": float(np.mean(pairs)) if pairs else None,
        "min_pairwise_jaccard": min(every, default=None),
        "modal_share": max(counts.values()) / len(universes),
        "claim_counts": {name: count for name, count in counts.items() if count},
        "median_size": float(np.median(sizes)),
        # Of two random circuits of that size.
        "expected_random_jaccard_analytic": chance / (2 - chance),
        **(left_out if len(near) < len(universes) else {}),
    }


def _pairs(universes: Sequence[Universe]) -> list[float]:
    return [jaccard(one.circuit, other.circuit) for one, other in combinations(universes, 2)]


def _check(value: float, threshold: float, told: str) -> dict[str, Any]:
    return {
        "value": value,
        "threshold": threshold,
        "passed": value >= threshold,
        # The specifications are all that were declared: there is no interval, and without one StressKit decides nothing.
        "state": "inconclusive",
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

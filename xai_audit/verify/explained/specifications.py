"""Specifications of a circuit made again from what each found: how they agree, and which templates are among them."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.verify.explained.agreement import Stated
from xai_audit.verify.explained.kept import ContradictionError
from xai_audit.verify.explained.piece import shaped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xai_audit.verify.explained.piece import Made, Piece

Bools = NDArray[np.bool_]
_FEWEST = 20
"""Prompts of a template, and of any other wording, that either half needs."""
_CLAIM = "the first circuit keeps the least threshold, and more than each of 19 random circuits of its size"
_TRANSFER = "of a template, the circuit found on it does so on held-out prompts of any other wording"
_NAME = Stated("names of templates")


def robustness(piece: Piece, members: Bools) -> tuple[dict[str, Any], dict[str, Any]]:
    """In how many specifications the claim of a circuit holds, and how alike those are."""
    circuits, held = _variants(piece, 1)
    like = np.asarray([_jaccard(one, members) for one in circuits])
    agreeing = int((held & (like >= 0.8)).sum())
    pairs = [_jaccard(one, other) for one, other in combinations(circuits, 2)]
    return {
        "specifications": len(circuits), "agreeing": agreeing, "share": agreeing / len(circuits)
    }, {
        "jaccard": float(np.mean(pairs)) if pairs else 1.0,
        "jaccard_with_this": float(like.mean()),
        "claim_share": float(held.mean()),
    }  # fmt: skip


def multiverse(piece: Piece, claims: Mapping[str, Piece]) -> Made:
    """The table of specifications; ``claims`` by the ablation of each."""
    circuits, held = _variants(piece, 2)
    if len(held) != len(claims):
        raise ContradictionError(f"array variant_held is of {len(held)} claims; there are {len(claims)}")
    for place, (name, claim) in enumerate(claims.items()):
        own = _variants(claim, 1)
        if not (np.array_equal(own[0], circuits) and np.array_equal(own[1], held[place])):
            raise ContradictionError(f"the claim of {name} ablation keeps other specifications")
    templates, about = _templates(piece, claims)
    asked = piece.params["multiverse"]
    metrics = ["output"] if piece.about["task"] == "regression" else list(asked["metrics"])
    thresholds, resamples = list(asked["thresholds"]), int(asked["resamples"])
    names, values, told = [], [], []
    start = 0
    for place, (ablation, claim) in enumerate(claims.items()):
        members = claim.array("members", 1).astype(bool)
        for metric in metrics:
            for template in ("all prompts", *templates):
                for at, threshold in enumerate(thresholds):
                    own_ = [start + seed * len(thresholds) + at for seed in range(resamples)]
                    name = f"{ablation}, {metric.replace('_', ' ')}, {100 * threshold:.0f}%"
                    names.append(f"{name}, {template}" if templates else name)
                    values.append(
                        [
                            float(circuits[own_].sum(axis=1).mean()),
                            float(np.mean([_jaccard(one, members) for one in circuits[own_]])),
                            float(held[place][own_].mean()),
                        ]
                    )
                start += resamples * len(thresholds)
                told += [
                    f"{ablation}, {metric}, {100 * threshold:.0f}%, {template}, seed {seed}"
                    for seed in range(resamples)
                    for threshold in thresholds
                ]
    if len(told) != len(circuits):
        raise ContradictionError(f"{len(circuits)} specifications were kept; {len(told)} were declared")
    return {
        "observation": {
            "shape": "matrix", "rows": names, "values": values, "column_title": None,
            "row_title": "ablation, metric, threshold, template" if templates else "specification",
            "columns": ["elements", "Jaccard with the first circuit", "claim holds, share"],
        },
        "params": {
            "specifications": told, "claim": f"{_CLAIM}; {_TRANSFER}" if templates else _CLAIM, **about
        },
    }  # fmt: skip


def _variants(piece: Piece, axes: int) -> tuple[Bools, Bools]:
    circuits = piece.array("variant_circuits", 2).astype(bool)
    held = piece.array("variant_held", axes).astype(bool)
    if held.shape[-1] != len(circuits):
        raise ContradictionError("arrays variant_circuits and variant_held are of other specifications")
    return circuits, held


def _jaccard(one: Bools, other: Bools) -> float:
    either = int(np.logical_or(one, other).sum())
    return int(np.logical_and(one, other).sum()) / either if either else 1.0


def _templates(piece: Piece, claims: Mapping[str, Piece]) -> tuple[list[str], dict[str, Any]]:
    """Those that are specifications of their own, as they are told; and what is said of all, made again."""
    asked = piece.params["multiverse"].get("templates")
    if "template" not in piece.evidence.arrays:
        if isinstance(asked, (list, tuple)) or asked is True or piece.params.get("templates"):
            raise ContradictionError("templates are named; which prompt has which was not kept")
        return [], {}
    finds = next(iter(claims.values())).array("finds", 1).astype(bool)
    codes = shaped("template", piece.whole("template", 1), len(finds))
    used = [str(one["name"]) for one in piece.params["templates"]]
    unused = [str(one) for one in piece.params["templates_not_used"]]
    withheld = int(piece.params["templates_withheld"])
    if asked is False or (isinstance(asked, (list, tuple)) and sorted(asked) != sorted([*used, *unused])):
        raise ContradictionError("templates are not those that the multiverse asks for")
    if len({*used, *unused}) < len(used) + len(unused) or codes.max() >= len(used) + len(unused) + withheld:
        raise ContradictionError("array template holds more templates than are told")
    for place, name in enumerate([*used, *unused]):
        own = codes == place
        enough = all(int((side & half).sum()) >= _FEWEST for side in (own, ~own) for half in (finds, ~finds))
        if enough != (place < len(used)):
            what = "few" if place < len(used) else "many"
            raise ContradictionError(f"template {name!r:.60} has too {what} prompts for what is told of it")
    return [f"“{name}”" for name in used], {
        "templates": [
            {
                "name": _NAME,
                "prompts_that_find": int(((codes == place) & finds).sum()),
                "others_that_judge": int(((codes != place) & ~finds).sum()),
            }
            for place in range(len(used))
        ],
        "templates_not_used": [_NAME for _ in unused],
        "templates_withheld": withheld,
    }

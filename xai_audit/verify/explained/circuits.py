"""Circuits made again from what each run of a circuit gave on each prompt: shares kept, areas, sizes, tests, ranks.

Which elements a network has, and what other ablations of it give, asks the network; all numbers follow from the arrays.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.evidence import Ranking
from xai_audit.verify.explained import specifications, spread
from xai_audit.verify.explained.agreement import Stated
from xai_audit.verify.explained.coded import coding
from xai_audit.verify.explained.kept import ContradictionError, LackingError
from xai_audit.verify.explained.piece import Made, Piece, shaped

Floats = NDArray[np.float64]
_TEST = "share of random circuits of equal size that keep as much, Bonferroni over ablations"
_COLUMNS = [
    "elements", "faithfulness", "what is left without it", "random circuits", "CPR", "CMD", "size at 85 %", "size at 95 %",
]  # fmt: skip
_CONTROLS = (
    ("behaviour of the whole network above that with everything ablated", "positive", False),
    ("share of the behaviour kept beyond the reach of random circuits of equal size", "positive", True),
    ("share kept by random circuits of equal size", "null", True),
    (
        "behaviour of circuits of equal size found in networks with permuted weights, as a share",
        "null",
        False,
    ),
)


def circuit_discovery(piece: Piece) -> Made:
    """The table, the curves, the specifications, or a claim, its elements or its edges under one ablation."""
    if piece.evidence.status == "skipped":
        if piece.part not in piece.params["ablation"] and _claims(piece):
            raise ContradictionError("is skipped, though a claim that it stands beside was measured")
        raise LackingError("why it was skipped asks the networks again")
    if piece.part == "":
        return _table(piece)
    if piece.part == "growth":
        return _growth(piece)
    if piece.part == "multiverse":
        each = {name: _sibling(piece, name) for name in piece.params["ablation"]}
        return specifications.multiverse(piece, {name: one for name, one in each.items() if one is not None})
    ablation, _, what = piece.part.partition("-")
    if ablation not in piece.params["ablation"] or what not in ("", "elements", "graph"):
        raise ContradictionError(f"circuit_discovery has no part {piece.part!r}")
    if what == "":
        return _claim(piece, ablation)
    made = _elements(piece) if what == "elements" else _edges(piece, piece.params.get("level") == "feature")
    made["params"] = {
        **made.get("params", {}),
        "ablated_by": ablation,
        "circuit_size": _size_of(piece, ablation),
    }
    return made


# ------------------------------------------------------------------------------------------------ one ablation
class _Runs:
    """What the runs under one ablation gave: a metric for each prompt."""

    def __init__(self, piece: Piece) -> None:
        self.full = piece.numbers("full", 1)
        rows = len(self.full)
        self.empty, self.circuit, self.rest = (
            shaped(name, piece.numbers(name, 1), rows) for name in ("empty", "circuit", "rest")
        )
        self.sizes = piece.whole("sizes", 1)
        self.grown = shaped("grown", piece.numbers("grown", 2), len(self.sizes), rows)
        self.random, self.twins = piece.numbers("random", 1), piece.numbers("twins", 1)
        self.members = piece.array("members", 1).astype(bool)
        self.order = shaped("order", piece.numbers("order", 1), len(self.members))
        self.untestable = shaped("untestable", piece.array("untestable", 1).astype(bool), len(self.members))
        self.gap = spread.centre(self.full) - spread.centre(self.empty)
        self._consistent()

    def _consistent(self) -> None:
        size = int(self.members.sum())
        inside = self.order[self.members].min(initial=math.inf)
        if (self.order[~self.members] > inside).any():
            raise ContradictionError(
                "array members leaves out an element with a larger score than one of its own"
            )
        if list(self.sizes) != sorted(set(self.sizes.tolist())) or not {0, size, len(self.members)} <= set(
            self.sizes
        ):
            raise ContradictionError("array sizes does not rise, or lacks the circuit's own, none or all")
        for name, at, own in (
            ("empty", 0, self.empty), ("circuit", size, self.circuit), ("full", len(self.members), self.full)
        ):  # fmt: skip
            other = self.grown[self.sizes.tolist().index(at)]
            # Two passes that were batched otherwise part in the last bits of single precision.
            if not np.allclose(other, own, rtol=1e-3, atol=1e-4 * max(1.0, float(np.abs(own).max()))):
                raise ContradictionError(f"array {name} is not the row of grown that has {at} elements")

    def share(self, values: Floats) -> float:
        return (float(values.mean()) - float(self.empty.mean())) / self.gap

    def pull(self, values: Floats) -> Floats:
        """What each prompt says of the share, to first order."""
        share = self.share(values)
        return np.asarray(share + (values - self.empty - share * (self.full - self.empty)) / self.gap)

    def kept(self, values: Floats, levels: Any) -> dict[str, Any]:
        return spread.mean(self.pull(values), levels)

    @property
    def shares_of_random(self) -> Floats:
        return np.asarray((self.random - float(self.empty.mean())) / self.gap)


def _one_more(values: Floats, levels: Any) -> dict[str, Any]:
    n = len(values)
    error = float(values.std(ddof=1)) * math.sqrt(1 + 1 / n)
    centre = float(values.mean())
    return spread.estimate(centre, spread.around(centre, error, n - 1, levels), n)


def _reach(values: Floats) -> float:
    n = len(values)
    return float(values.mean()) + spread.student(0.95, n - 1) * float(values.std(ddof=1)) * math.sqrt(
        1 + 1 / n
    )


def _less(found: dict[str, Any], by: float) -> dict[str, Any]:
    def moved(limit: float | None) -> float | None:
        return None if limit is None else limit - by

    limits = {level: [moved(end) for end in pair] for level, pair in (found["limits"] or {}).items()}
    return {
        **found, "value": found["value"] - by, "low": moved(found["low"]), "high": moved(found["high"]),
        "limits": limits or None,
    }  # fmt: skip


def _claim(piece: Piece, ablation: str) -> Made:
    runs, levels = _Runs(piece), piece.levels
    kept, random = runs.kept(runs.circuit, levels), runs.shares_of_random
    family = len([one for one in piece.params["ablation"] if _sibling(piece, one)])
    p = (1 + int((random >= kept["value"]).sum())) / (len(random) + 1)
    estimates = (
        spread.mean(runs.full - runs.empty, levels),
        _less(kept, _reach(random)),
        _one_more(random, levels),
        _one_more(runs.twins, levels),
    )
    made: Made = {
        "observation": {"shape": "scalar", "estimate": kept, "unit": "share of the behaviour"},
        "controls": [
            {"name": name, "expectation": wanted, "estimate": one, "passed": _passes(one, wanted), "edit": edit}
            for (name, wanted, edit), one in zip(_CONTROLS, estimates, strict=True)
        ],
        "inference": {
            "p": p, "adjusted": min(1.0, family * p), "method": _TEST, "family": f"{family} ablations", "m": family
        },
        "params": {"ablated_by": ablation, **_told(piece, runs)},
    }  # fmt: skip
    if piece.params.get("multiverse") is not None:
        made["robustness"], agreement = specifications.robustness(piece, runs.members)
        made["params"] |= agreement
    return made


def _told(piece: Piece, runs: _Runs) -> dict[str, Any]:
    level = piece.levels[:1]
    random = runs.shares_of_random
    finds = piece.array("finds", 1).astype(bool)
    if int((~finds).sum()) != len(runs.full):
        raise ContradictionError("array finds leaves another number of prompts to judge than full has")
    cpr, cmd = _areas(runs, level)
    return {
        "elements": len(runs.members),
        "circuit_size": int(runs.members.sum()),
        "untestable_elements": int(runs.untestable.sum()),
        "untestable_named": Stated("names of elements"),
        "prompts_that_find": int(finds.sum()),
        "prompts_that_judge": int((~finds).sum()),
        "completeness": _slot(runs.kept(runs.rest, level)),
        "cpr": _slot(cpr),
        "cmd": _slot({**cmd, "low": None if cmd["low"] is None else max(cmd["low"], 0.0)}),
        "size_at_85": _size(runs, 0.85, level),
        "size_at_95": _size(runs, 0.95, level),
        "random_mean": float(random.mean()),
        "random_reach": _reach(random),
        "whole": float(runs.full.mean()),
        "all_ablated": float(runs.empty.mean()),
        "corrupted": float(piece.numbers("corrupted", 1).mean()),
        "p_min": 1 / (len(random) + 1),
        **_without_errors(piece, runs),
    }


def _without_errors(piece: Piece, runs: _Runs) -> dict[str, Any]:
    if piece.params.get("level") != "feature":
        return {}
    alone = shaped("latents_alone", piece.numbers("latents_alone", 1), len(runs.full))
    # Of each site its latents, then its error node.
    errors = np.cumsum([int(one["latents"]) + 1 for one in piece.params["trained"]]) - 1
    if errors[-1] + 1 != len(runs.members):
        raise ContradictionError(
            "the dictionaries in trained have other latents than array members has elements"
        )
    return {
        "trained": [coding(piece, place, one) for place, one in enumerate(piece.params["trained"])],
        "error_nodes": int(runs.members[errors].sum()),
        "without_error_nodes": _slot(runs.kept(alone, piece.levels[:1])),
    }


def _slot(found: dict[str, Any]) -> dict[str, Any]:
    return {key: found[key] for key in ("value", "low", "high", "n")}


def _areas(runs: _Runs, levels: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """CPR and CMD, each prompt's part of them integrated over the share of elements."""
    x = runs.sizes / len(runs.members)
    pulls = np.asarray([runs.pull(one) for one in runs.grown])
    shares = np.asarray([runs.share(one) for one in runs.grown])[:, None]
    away = np.abs(1 - shares) - np.sign(1 - shares) * (pulls - shares)
    return tuple(spread.mean(np.trapezoid(one, x, axis=0), levels) for one in (pulls, away))  # type: ignore[return-value]


def _size(runs: _Runs, share: float, level: Any) -> dict[str, Any]:
    found = [runs.kept(one, level) for one in runs.grown]

    def first(values: list[float]) -> float | None:
        reached = np.flatnonzero(np.asarray(values) >= share - 1e-12)
        return float(runs.sizes[reached[0]]) if len(reached) else None

    return {
        "value": first([runs.share(one) for one in runs.grown]),
        "low": first([math.inf if one["high"] is None else one["high"] for one in found]),
        "high": first([-math.inf if one["low"] is None else one["low"] for one in found]),
        "n": len(runs.full),
    }


def _passes(found: dict[str, Any], expectation: str) -> bool:
    low, high = found["low"], found["high"]
    if expectation == "positive":
        return low is not None and low > 0
    return low is not None and high is not None and low <= 0 <= high


# ------------------------------------------------------------------------------------------------ elements
def _effects(piece: Piece, *, pairs: bool = False) -> Floats:
    """Of what the circuit holds; of ``pairs`` both ends are in it, the output's number being -1."""
    effects = piece.numbers("effects", 2)
    if pairs:
        chosen = shaped("pairs", piece.whole("pairs", 2), effects.shape[1], 2).ravel()
        chosen = chosen[chosen >= 0]
    else:
        chosen = shaped("chosen", piece.whole("chosen", 1), effects.shape[1])
    ablation = piece.part.partition("-")[0]
    claim = _sibling(piece, ablation)
    if claim is not None and not claim.array("members", 1).astype(bool)[chosen].all():
        name = "pairs" if pairs else "chosen"
        raise ContradictionError(f"array {name} names an element that is not in the circuit")
    return effects


def _elements(piece: Piece) -> Made:
    effects = _effects(piece)
    count = effects.shape[1]
    strict = 1 - (1 - piece.levels[0]) / count
    each = []
    for column in effects.T:
        ends = spread.mean(column, [strict])
        each.append((spread.mean(column, piece.levels), ends["low"], ends["high"]))
    each.sort(key=lambda one: -one[0]["value"])
    seen = piece.evidence.observation
    named = [item.name for item in seen.items] if isinstance(seen, Ranking) else []
    if len(named) != count or len(set(named)) != count:
        raise ContradictionError(f"{len(named)} elements are shown; effects of {count} were kept")
    items = [
        {
            "name": Stated("names of elements"),
            "estimate": found,
            "rank_low": 1 + sum(other[1] > high for other in each),
            "rank_high": count - sum(other[2] < low for other in each),
        }
        for found, low, high in each
    ]
    unit = f"{str(piece.params['behaviour_of']).replace('_', ' ')}, size of the change"
    return {
        "observation": {"shape": "ranking", "items": items, "unit": unit},
        "params": {"shown": count},
    }


def _edges(piece: Piece, latents: bool) -> Made:
    effects = _effects(piece, pairs=latents)
    drawn = json.loads(piece.array("drawn_json", 1).astype(np.uint8).tobytes())
    if len(drawn["edges"]) != effects.shape[1]:
        raise ContradictionError("array drawn_json has another number of edges than array effects")
    names = Stated("names of elements")
    edges = [
        {"source": source, "target": target, "estimate": spread.mean(column, piece.levels)}
        for (source, target), column in zip(drawn["edges"], effects.T, strict=True)
    ]
    nodes = [{"id": name, "site": names, "label": names, "estimate": None} for name in drawn["nodes"]]
    return {
        "observation": {"shape": "graph", "nodes": nodes, "edges": edges},
        "params": {
            "shown": effects.shape[1],
            **({"edges": len(piece.numbers("found_on", 1))} if latents else {}),
        },
    }


# ------------------------------------------------------------------------------------------------ all together
def _sibling(piece: Piece, part: str) -> Piece | None:
    found = piece.sibling(part)
    if found is None or found.status != "measured":
        return None
    return Piece(found, piece.made, piece.kept)


def _claims(piece: Piece) -> dict[str, _Runs]:
    found = {one: _sibling(piece, one) for one in piece.params["ablation"]}
    return {name: _Runs(one) for name, one in found.items() if one is not None}


def _size_of(piece: Piece, ablation: str) -> int:
    claim = _sibling(piece, ablation)
    if claim is None:
        raise ContradictionError(f"there is no claim of {ablation} ablation that it belongs to")
    return int(claim.array("members", 1).astype(bool).sum())


def _table(piece: Piece) -> Made:
    values, level = [], piece.levels[:1]
    claims = _claims(piece)
    for runs in claims.values():
        cpr, cmd = _areas(runs, level)
        values.append(
            [
                float(runs.members.sum()), runs.share(runs.circuit), runs.share(runs.rest),
                float(runs.shares_of_random.mean()), cpr["value"], cmd["value"],
                *(_size(runs, share, level)["value"] for share in (0.85, 0.95)),
            ]
        )  # fmt: skip
    return {
        "observation": {
            "shape": "matrix", "rows": list(claims), "columns": _COLUMNS, "values": values, "row_title": "ablation",
            "column_title": None,
        }
    }  # fmt: skip


def _growth(piece: Piece) -> Made:
    series = [
        {
            "name": f"{name} ablation",
            "points": [
                {"x": float(size), "estimate": runs.kept(grown, piece.levels[:1])}
                for size, grown in zip(runs.sizes, runs.grown, strict=True)
            ],
        }
        for name, runs in _claims(piece).items()
    ]
    return {
        "observation": {
            "shape": "curve", "x": "elements in the circuit", "y": "share of the behaviour", "series": series
        }
    }  # fmt: skip

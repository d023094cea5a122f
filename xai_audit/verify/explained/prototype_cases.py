"""Prototypes as single cases made again: a class with its examples, a row with its neighbours, examples out of place."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.verify.explained import single_rows, supported
from xai_audit.verify.explained.agreement import Stated
from xai_audit.verify.explained.kept import ContradictionError
from xai_audit.verify.explained.piece import Made, Piece, shaped


def examples(piece: Piece, rows: NDArray[np.int64]) -> Made:
    """Each class with its prototypes and its counterexamples, then test rows with their neighbours."""
    queries = [(why, place) for why, place in _shown(piece, rows)]
    classes = np.unique(supported.classes(piece, "prototype_class", -1)).tolist()
    why = (
        "prototypes of the class, nearest its mean first; beside them examples labelled otherwise that lie most among "
        "its own"
    )
    heads: list[dict[str, Any]] = [
        {"why": why, "class": piece.classes[one], "query": None, "score": None} for one in classes
    ]
    decided = supported.decided(piece, rows)
    for because, place in queries:
        row, one = int(rows[place]), int(decided[place])
        target = int(piece.rows.codes("target")[row]) if piece.rows.has("target") else -1
        label = piece.classes[target] if target >= 0 else None
        query = {**_content(piece), "label": label, "predicted": piece.classes[one], "distance": None}
        heads.append(
            {"why": because, "class": piece.classes[one], "query": query, "score": _score(piece, row, one)}
        )
    return {"observation": _cases(piece, heads, [-1] * len(classes) + [place for _, place in queries])}


def suspect_examples(piece: Piece, rows: NDArray[np.int64]) -> Made:
    """For each label, the examples that lie most among another class."""
    del rows
    labels = supported.support(piece)
    suspect = piece.numbers("example_value", 1) > 0.5
    heads = [
        {
            "why": f"labelled {piece.classes[one]}, but nearer to examples of another class",
            "class": piece.classes[one], "query": None, "score": None,
        }
        for one in np.unique(labels[suspect]).tolist()
    ]  # fmt: skip
    return {"observation": _cases(piece, heads, [-1] * len(heads))}


def _shown(piece: Piece, rows: NDArray[np.int64]) -> list[tuple[str, int]]:
    """Test rows near the threshold, or wrong and far from it."""
    everyones = piece.rows.scores
    if everyones is None or not len(rows):
        return []
    scores = everyones[rows]
    if scores.shape[1] > 1 and not piece.binary:
        ordered = np.sort(scores, axis=1)
        near, why = ordered[:, -1] - ordered[:, -2], "the two largest scores lie nearest each other"
    else:
        own = scores[:, int(piece.about["positive"])] if scores.shape[1] > 1 else scores[:, 0]
        near, why = np.abs(own - float(piece.about["threshold"])), "nearest the decision threshold"
    found = {int(np.argmin(near)): why}
    if piece.rows.has("target"):
        truth = piece.rows.codes("target")[rows]
        wrong = np.flatnonzero((truth >= 0) & (truth != supported.decided(piece, rows)))
        if len(wrong):
            place = int(wrong[np.argmax(near[wrong])])
            found[place] = f"{found[place]}; the surest mistake" if place in found else "the surest mistake"
    return [(because, place) for place, because in found.items()]


def _score(piece: Piece, row: int, one: int) -> float | None:
    scores = piece.rows.scores
    if scores is None:
        return None
    if scores.shape[1] > 1:
        return float(scores[row, one])
    return float(scores[row, 0]) if one == int(piece.about["positive"]) else None


def _content(piece: Piece) -> dict[str, Any]:
    if piece.modality == "image":
        return {"picture": Stated("the examples shown", single_rows.is_picture)}
    return {"text": Stated("the examples shown", lambda text: isinstance(text, str))}


def _cases(piece: Piece, heads: list[dict[str, Any]], queries: list[int]) -> dict[str, Any]:
    """Cases whose examples are those of the arrays: their labels from the support, their distances as kept."""
    sizes = piece.whole("case_sizes", 2) if heads else np.zeros((0, 2), dtype=np.int64)
    shaped("case_sizes", sizes, len(heads), 2)
    if heads and piece.whole("case_query", 1).tolist() != queries:
        raise ContradictionError("array case_query names other rows than those that are shown")
    place, far = piece.whole("case_place", 1), piece.numbers("case_distance", 1)
    if len(place) != sizes.sum() or len(far) != len(place):
        raise ContradictionError("array case_place is not of the cases")
    labels = supported.support(piece)
    if place.size and not (place.min() >= 0 and place.max() < len(labels)):
        raise ContradictionError("array case_place names an example that there is not")
    known = piece.settled("examples_classed_by") == "labels"
    said: Any = (
        None if piece.about.get("model") is None else Stated("what the model says of the examples shown")
    )
    examples = iter(
        [
            {
                **_content(piece),
                "label": piece.classes[int(labels[one])] if known else None,
                "predicted": said,
                "distance": float(distance) if math.isfinite(distance) else None,
            }
            for one, distance in zip(place.tolist(), far.tolist(), strict=True)
        ]
    )
    told = []
    for head, (nearest, counter) in zip(heads, sizes.tolist(), strict=True):
        sides = [[next(examples) for _ in range(size)] for size in (nearest, counter)]
        told.append({"kind": "prototypes", **head, "nearest": sides[0], "counter": sides[1]})
    return {"shape": "cases", "cases": told}

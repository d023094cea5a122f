"""The rows behind a claim on a trigger, as the run kept them: whose they are, what was decided, what units said of them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit import digest
from xai_audit.verify.explained.agreement import Open
from xai_audit.verify.explained.kept import ContradictionError
from xai_audit.verify.explained.permuted import doubled
from xai_audit.verify.explained.piece import Piece, shaped
from xai_audit.verify.explained.populations import OLD, digests

Flags = NDArray[np.bool_]
MANY = "the activations at the site were too many to keep; the direction and how well units tell are not made again"
NEAR = 1e-4
"""Scores that lie so near to each other, or to the threshold, may be decided either way in another batch."""


def tied(piece: Piece, before: Flags, base: Flags, kept: Flags) -> Open | None:
    """What is left open; ContradictionError where rows, decisions, the direction or areas are not those that are kept.

    ``before`` and ``base`` are decisions for the target on rows that judge, triggered and clean ones of other classes,
    ``kept`` right decisions on clean ones.
    """
    if "triggered_sha256" not in piece.evidence.arrays:
        return Open(OLD)
    own = {name: digests(piece, f"{name}_sha256") for name in ("triggered", "clean")}
    for name, rows in own.items():
        keys = [digest.of_bytes(f"{piece.seed}:trigger:{row}:0".encode()) for row in rows]
        if any(one >= two for one, two in pairwise(keys)):
            raise ContradictionError(
                f"array {name}_sha256 is not in the order that the seed gives, each row once"
            )
    if set(own["triggered"]) & set(own["clean"]):
        raise ContradictionError("array clean_sha256 names a row that holds the trigger")
    if (len(before), len(kept)) != (len(own["triggered"]) // 2, len(own["clean"]) // 2):
        raise ContradictionError("arrays before and clean_before are not of every second row")
    asked = next(one for one in piece.params["triggers"] if one["name"] == piece.params["trigger"])
    comparable = None
    if asked.get("clean") is None:
        comparable = _decided(piece, asked, own, base, kept)
    if "comparable" not in piece.evidence.arrays:
        return Open(MANY)
    _found(piece, len(own["triggered"]), comparable)
    return None


def _decided(piece: Piece, asked: Any, own: dict[str, list[str]], base: Flags, kept: Flags) -> int | None:
    """How many clean rows that find are of other classes: test rows, and what was decided of them, are known."""
    rows = _clean(piece, asked, own)
    if not (piece.rows.has("target") and piece.rows.has("prediction")):
        return None
    target = piece.classes.index(str(asked["target"]))
    right, decided, sure = (
        piece.rows.codes("target")[rows],
        piece.rows.codes("prediction")[rows],
        _sure(piece)[rows],
    )
    same = right[1::2] != target
    shaped("base", base, int(same.sum()))
    for name, told, made, clear in (
        ("base", base, (decided[1::2] == target)[same], sure[1::2][same]),
        ("clean_before", kept, decided[1::2] == right[1::2], sure[1::2]),
    ):
        if (told != made)[clear].any():
            raise ContradictionError(
                f"array {name} is not what evidence/rows.parquet says was decided of these rows"
            )
    return int((right[::2] != target).sum())


def _clean(piece: Piece, asked: Any, own: dict[str, list[str]]) -> NDArray[np.int64]:
    """Which test rows the clean ones are: the first by seed and content, but for those that hold the trigger."""
    rows, most = piece.rows, piece.settled("rows")
    known = rows.codes("target") >= 0 if rows.has("target") else np.ones(rows.n, dtype=bool)
    first = [
        row for row in rows.first(range(rows.n), f"{piece.seed}:trigger") if rows.seeds[row].endswith(":0")
    ][:most]
    labelled = [row for row in first if known[row]]
    there = set(own["clean"])
    left_out = {rows.digests[row] for row in labelled} - there
    about = piece.about["sets"][str(asked["triggered"])]
    # Of a set that may be cut, rows that were not drawn are left out of the clean ones as well.
    unknown = about["rows"] - len(own["triggered"]) if len(own["triggered"]) == most else 0
    if len(left_out - set(own["triggered"])) > unknown:
        raise ContradictionError("array clean_sha256 lacks test rows that were drawn")
    chosen = [row for row in labelled if rows.digests[row] in there]
    if [rows.digests[row] for row in chosen] != own["clean"]:
        raise ContradictionError("array clean_sha256 is not of the test rows that were drawn")
    return np.asarray(chosen, dtype=np.int64)


def _sure(piece: Piece) -> Flags:
    """Test rows whose decision does not hang on last digits of a score."""
    scores = piece.rows.scores
    if scores is None or scores.shape[1] < 2:
        return np.zeros(piece.rows.n, dtype=bool)
    if piece.binary:
        own = scores[:, int(piece.about["positive"])] - float(piece.about["threshold"])
        return np.asarray(np.abs(own) > NEAR)
    top = np.sort(scores, axis=1)
    return np.asarray(top[:, -1] - top[:, -2] > NEAR)


def _found(piece: Piece, triggered: int, comparable: int | None) -> None:
    """The direction between the means, and how well each unit tells, on the rows that find."""
    vector, areas = piece.numbers("vector", 1), piece.numbers("areas", 1)
    own = shaped("triggered", piece.numbers("triggered", 2), triggered - triggered // 2, len(vector))
    clean = shaped(
        "comparable", piece.numbers("comparable", 2), -1 if comparable is None else comparable, len(vector)
    )
    gap = own.mean(axis=0) - clean.mean(axis=0)
    length = float(np.linalg.norm(gap))
    made = gap / length if length else np.eye(len(gap))[0]
    if not np.allclose(vector, made, rtol=0, atol=1e-5):
        raise ContradictionError("array vector is not the direction between the means of the activations")
    ranks = doubled(np.concatenate([own, clean]))[:, : len(own)].sum(axis=1) / 2
    told = (ranks - len(own) * (len(own) - 1) / 2) / (len(own) * len(clean))
    if not np.allclose(shaped("areas", areas, len(vector)), told, rtol=0, atol=1e-9):
        raise ContradictionError("array areas is not how well the activations tell triggered from clean rows")

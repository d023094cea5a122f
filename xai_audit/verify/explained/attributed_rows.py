"""Single pictures, texts and rows with their attributions made again."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.verify.explained import packed, single_rows, spread
from xai_audit.verify.explained.kept import ContradictionError
from xai_audit.verify.explained.piece import Piece, shaped

Floats = NDArray[np.float64]


def shown(piece: Piece, rows: NDArray[np.int64], output: Floats, unit: str) -> dict[str, Any]:
    """The rows that are shown, as an observation."""
    base = shaped("base", piece.numbers("base", 1), len(rows))
    players = piece.has("players")
    observation = piece.kept.cases(piece.evidence)
    if observation is None and piece.evidence.observation is not None:
        observation = piece.evidence.observation.model_dump(mode="json")
    published = (observation or {}).get("cases") or []
    told = []
    additive = piece.evidence.method != "occlusion"
    for number, (why, place) in enumerate(single_rows.by_scores(piece, rows)):
        row, column = int(rows[place]), int(piece.explained(rows[[place]])[0])
        start = float(base[place]) if additive else None
        if piece.modality == "table":
            told.append(_row(piece, rows, why, place, float(output[place])))
            continue
        said = {
            "why": why, **single_rows.named(piece, row, column), "score": float(output[place]), "base": start,
            "unit": unit,
        }  # fmt: skip
        there = published[number] if number < len(published) else None
        if piece.modality == "image":
            told.append(single_rows.of_picture(piece, row, said, there, _heat(piece, rows, place)))
        else:
            values, halves = _parts_of_text(piece, rows, place, there, players=players)
            told.append(single_rows.of_text(piece, row, said, there, values, halves))
        if piece.evidence.method == "lime":
            own = packed.by_row(piece, "coefficients", piece.whole("players", 1))[place][:, 0]
            told[-1]["fitted"] = float(base[place]) + math.fsum(own.tolist())
    return single_rows.cases(told)


def _row(piece: Piece, rows: NDArray[np.int64], why: str, place: int, score: float) -> dict[str, Any]:
    signed = shaped("contributions", piece.numbers("contributions", 2), len(rows), len(piece.columns))
    halves = np.zeros(signed.shape)
    if piece.has("errors"):
        halves = _reach(piece) * shaped("errors", piece.numbers("errors", 2), *signed.shape)
    decided = piece.params["output"] == "probability" and piece.binary
    threshold = float(piece.about["threshold"]) if decided else None
    base = float(piece.numbers("base", 1)[place])
    return single_rows.of_table(piece, why, signed[place], halves[place], score, base, threshold)


def _reach(piece: Piece) -> float:
    draws = (int(piece.params["draws"]) + 1) // 2
    return spread.student(piece.levels[0], draws - 1) if draws > 1 else math.inf


def _heat(piece: Piece, rows: NDArray[np.int64], place: int) -> Any:
    maps, slack = packed.maps(piece, rows)
    if maps is None:
        return _pixels(piece, rows, place)
    return single_rows.heat(maps[place], slack)


def _pixels(piece: Piece, rows: NDArray[np.int64], place: int) -> Any:
    """The map of a picture whose players are its pixels and their channels."""
    sizes = piece.about["data"]["test"]
    if sizes.get("distinct_shapes") != 1:
        raise ContradictionError("pictures of several sizes, with no array that says which has which")
    shape = [int(sizes[axis]["max"]) for axis in ("height", "width", "channels")]
    own = packed.by_row(piece, "phi", shaped("players", piece.whole("players", 1), len(rows)))[place]
    if own.size != math.prod(shape):
        raise ContradictionError("array phi is not of the pictures' size")
    return single_rows.heat(own.reshape(shape).sum(axis=2), 1e-9)


def _parts_of_text(
    piece: Piece, rows: NDArray[np.int64], place: int, published: Any, *, players: bool
) -> tuple[Floats, Floats | None]:
    """What each part of a text contributes, and how sure; equal words that are one player share its value."""
    if not players:
        counts = piece.whole("parts_of_text", 1)
        values = packed.by_row(piece, "part_values", counts)[place]
        if not piece.has("part_errors"):
            return values, None
        return values, _reach(piece) * packed.by_row(piece, "part_errors", counts)[place]
    counts = shaped("players", piece.whole("players", 1), len(rows))
    phi, halves = packed.by_row(piece, "phi", counts)[place], _half_widths(piece, counts, place)
    tokens = published.get("tokens") or [] if isinstance(published, dict) else []
    words = [str(one.get("text")) for one in tokens if isinstance(one, dict) and one.get("phi") is not None]
    number: dict[str, int] = {}
    owner = [number.setdefault(word, len(number)) for word in words]
    if len(words) == len(phi):
        return phi, halves
    if len(number) != len(phi):
        raise ContradictionError(f"cases: a text shows {len(words)} words; {len(phi)} parts were explained")
    stands = np.bincount(owner)[owner]
    return phi[owner] / stands, halves[owner] / stands


def _half_widths(piece: Piece, counts: NDArray[np.int64], place: int) -> Floats:
    if piece.evidence.method == "lime":
        every = packed.by_row(piece, "coefficients", counts)[place]
        return np.asarray(spread.student(piece.levels[0], every.shape[1] - 1) * np.std(every, axis=1, ddof=1))
    errors = packed.by_row(piece, "order_error", counts)[place]
    rounds, closed = int(piece.whole("rounds", 1)[place]), int(piece.whole("closed", 1)[place])
    if not rounds:
        return np.full(errors.shape, math.inf if closed else 0.0)
    return spread.student(piece.levels[0], rounds - 1) * errors

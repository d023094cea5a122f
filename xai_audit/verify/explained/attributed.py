"""Attributions of pictures, texts and rows made again: rankings, single rows, removal, completeness, agreement."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.verify.explained import attributed_rows, faithful, orders, packed, single_rows, spread
from xai_audit.verify.explained.inputs import AS_SAID, change, fidelity, scalar, stability
from xai_audit.verify.explained.kept import ContradictionError
from xai_audit.verify.explained.piece import Made, Piece, shaped

REGIONS = 4
"""Parts on each side of a picture that are ranked."""
Floats = NDArray[np.float64]


# ------------------------------------------------------------------------------------------------ which rows
def explained_rows(piece: Piece) -> NDArray[np.int64]:
    """The rows explained, by their places in the test table, which their digests must agree with."""
    rows = piece.whole("row", 1)
    asked, _ = piece.sampled()
    known = set(asked.tolist())
    digests = shaped("row_sha256", piece.array("row_sha256", 2), len(rows), 32)
    for row, one in zip(rows.tolist(), digests, strict=True):
        if row not in known or piece.rows.digests[row] != bytes(one).hex():
            raise ContradictionError("array row names a row that was not drawn for this method")
    if len(set(rows.tolist())) < len(rows):
        raise ContradictionError("array row names a row twice")
    if (piece.whole("explained", 1) != piece.explained(rows)).any():
        raise ContradictionError("array explained names another class than the one that is explained")
    return rows


def _said(piece: Piece, rows: NDArray[np.int64], kind: str) -> Floats:
    """The outputs explained, which must be the scores of the test rows where they are scores."""
    output = shaped("output", piece.numbers("output", 1), len(rows))
    scores = piece.rows.scores
    if kind != "margin" and scores is not None:
        piece.agreeing("output", output, scores[rows, piece.explained(rows)], 10 * AS_SAID)
    return output


# ------------------------------------------------------------------------------------------------ the methods
def integrated_gradients(piece: Piece) -> Made:
    """Every part of integrated gradients."""
    rows = explained_rows(piece)
    if piece.part == "completeness":
        return faithful.completeness(piece)
    if piece.part in {"baselines", "twin"}:
        return faithful.alike(piece, rows)
    return _common(piece, rows, f"change in {piece.params['output']}")


def gradient_shap(piece: Piece) -> Made:
    """Every part of expected gradients."""
    rows = explained_rows(piece)
    if piece.part == "additivity":
        return faithful.expected(piece, _said(piece, rows, str(piece.params["output"])))
    return _common(piece, rows, f"change in {piece.params['output']}")


def occlusion(piece: Piece) -> Made:
    """Every part of occlusion."""
    rows = explained_rows(piece)
    made = _common(piece, rows, f"change in {piece.params['output']}")
    if piece.part == "coverage" and len(rows) == piece.sampled()[1]["used"]:
        windows = piece.whole("windows", 1)
        made["params"] = {
            "windows": {"fewest": int(windows.min()), "most": int(windows.max())},
            "answers_of_the_model": int(windows.sum()) + 2 * len(windows),
        }
    return made


def shap(piece: Piece) -> Made:
    """Every part of Shapley values of the parts of pictures and texts."""
    rows = explained_rows(piece)
    counts = shaped("players", piece.whole("players", 1), len(rows))
    if piece.part in {"stability", "stability_top5"}:
        if piece.params.get("method") == "partition":
            return {"skipped": "a hierarchy draws nothing: the same one gives the same values"}
        return stability(piece, _redrawn(piece, counts), *_from(piece, "redraws"))
    if piece.part == "additivity":
        phi = packed.by_row(piece, "phi", counts)
        output, base = _said(piece, rows, str(piece.params["output"])), piece.numbers("base", 1)
        made = [math.fsum([one, *own]) for one, own in zip(base.tolist(), phi, strict=True)]
        residual = np.abs(np.asarray(made) - output)
        piece.agreeing("residual", piece.numbers("residual", 1), residual, 1e-9)
        scale = float(np.ptp(np.concatenate([output, base])))
        share = residual / np.maximum(np.abs(output - base), scale) if scale > 0 else residual
        return {
            "observation": scalar(spread.exact(float(share.max()), len(share))),
            "params": {"scale": scale},
            "sampling": piece.sampled()[1],
        }
    return _common(piece, rows, change(piece))


def lime(piece: Piece) -> Made:
    """Every part of local fits over the parts of pictures and texts."""
    rows = explained_rows(piece)
    counts = shaped("players", piece.whole("players", 1), len(rows))
    if piece.part == "fidelity":
        return fidelity(piece, shaped("fidelity", piece.numbers("fidelity", 1), len(rows)))
    if piece.part in {"stability", "stability_top5"}:
        every = packed.by_row(piece, "coefficients", counts)
        pairs = [orders.agreement(orders.ranks(np.abs(one.T))) for one in every]
        return stability(piece, pairs, *_from(piece, "repetitions"))
    return _common(piece, rows, change(piece))


def _from(piece: Piece, of: str) -> tuple[float, dict[str, Any]]:
    low = 0.0 if piece.part == "stability_top5" else -1.0
    number = piece.params["resamples" if of == "redraws" else "seeds"]
    return low, {"order_by": "absolute size", of: number}


def _redrawn(piece: Piece, counts: NDArray[np.int64]) -> list[tuple[float, float]]:
    """Agreement of redraws for each row: 1 where all coalitions were asked and nothing is drawn."""
    flat = piece.numbers("draw_ranks", 1) / 2
    rounds = shaped("rounds", piece.whole("rounds", 1), len(counts))
    draws, found, place = int(piece.params["resamples"]), [], 0
    for count, drawn in zip(counts.tolist(), rounds.tolist(), strict=True):
        size = draws * count if drawn else 0
        ranks = flat[place : place + size]
        if len(ranks) < size:
            raise ContradictionError("array draw_ranks ends too early")
        found.append(orders.agreement(ranks.reshape(draws, count)) if drawn else (1.0, 1.0))
        place += size
    if place != len(flat):
        raise ContradictionError("array draw_ranks holds more than the rows' draws")
    return found


# ------------------------------------------------------------------------------------------------ common parts
def _common(piece: Piece, rows: NDArray[np.int64], unit: str) -> Made:
    sampling = piece.sampled()[1]
    if piece.part == "coverage":
        asked = piece.sampled()[0]
        return {"observation": scalar(spread.exact(len(rows) / len(asked), len(asked))), "sampling": sampling}
    if piece.part in {"deletion", "insertion"}:
        return {**faithful.removed(piece, rows), "sampling": sampling}
    if piece.part == "local":
        output = _said(piece, rows, str(piece.params["output"]))
        return {"observation": attributed_rows.shown(piece, rows, output, unit), "sampling": sampling}
    if piece.modality == "text":
        return {**_words(piece, rows, unit), "sampling": sampling}
    details = None
    if piece.modality == "table":
        signed = shaped("contributions", piece.numbers("contributions", 2), len(rows), len(piece.columns))
        piece.agreeing("values", piece.numbers("values", 2), signed, packed.FOUR_DIGITS)
        names, values = piece.columns, np.abs(signed)
        details = [{"mean_signed": float(value)} for value in spread.centres(signed)]
    else:
        regions = _regions(piece, rows)
        names = [
            f"row {y + 1}, column {x + 1}" for y in range(regions.shape[1]) for x in range(regions.shape[2])
        ]
        values = regions.reshape(len(rows), -1)
    draws = np.zeros((1, len(names)))
    found = orders.ranking(names, values, draws, piece.levels, unit=unit, details=details)
    return {"observation": found, "sampling": sampling}


def _regions(piece: Piece, rows: NDArray[np.int64]) -> Floats:
    """Sums of sizes over the regions of each picture, which the maps that are kept must agree with."""
    regions = shaped("regions", piece.numbers("regions", 3), len(rows), -1, -1)
    maps, slack = packed.maps(piece, rows)
    if maps is not None:
        again = np.stack([single_rows.summed(np.abs(one), REGIONS) for one in maps])
        piece.agreeing("regions", regions, again, slack)
    return regions


# ------------------------------------------------------------------------------------------------ words
def _words(piece: Piece, rows: NDArray[np.int64], unit: str) -> Made:
    """Words by the mean size of what they contribute to the texts that hold them."""
    counts = shaped("parts_of_text", piece.whole("parts_of_text", 1), len(rows))
    values, places = packed.by_row(piece, "part_values", counts), packed.by_row(piece, "part_words", counts)
    if piece.has("values") and piece.array("values").size == counts.sum():
        piece.agreeing("values", piece.numbers("values", 1), np.concatenate(values), packed.FOUR_DIGITS)
    vocabulary = piece.words("vocabulary")
    held: dict[int, list[float]] = {}
    for own, where in zip(values, places, strict=True):
        for word in np.unique(where[where >= 0]).astype(int).tolist():
            held.setdefault(word, []).append(float(own[where == word].sum()))
    least = max(piece.min_cell, 2)
    common = {vocabulary[word]: np.asarray(own) for word, own in held.items() if len(own) >= least}
    if not common:
        return {"skipped": f"no word stands in {least} or more of the {len(rows)} explained texts"}
    told = {word: spread.mean(np.abs(own), piece.levels, 0.0) for word, own in common.items()}
    shared = 1 - (1 - piece.levels[0]) / len(common)
    bounds = {}
    for word, own in common.items():
        half = spread.student(shared, len(own) - 1) * float(np.std(np.abs(own), ddof=1)) / math.sqrt(len(own))
        bounds[word] = (told[word]["value"] - half, told[word]["value"] + half)
    items = []
    for word in sorted(told, key=lambda word: (-told[word]["value"], word)):
        low, high = bounds[word]
        items.append(
            {
                "name": word,
                "estimate": told[word],
                "rank_low": 1 + sum(other[0] > high for other in bounds.values()),
                "rank_high": len(bounds) - sum(other[1] < low for other in bounds.values()),
                "detail": {"mean_signed": spread.centre(common[word]), "texts": len(common[word])},
            }
        )
    return {"observation": {"shape": "ranking", "items": items, "unit": unit}}

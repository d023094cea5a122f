"""Attributions of pictures, texts and rows made again: rankings, single rows, removal, completeness, agreement."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.verify import orders, single_rows, spread
from xai_audit.verify.agreement import Among
from xai_audit.verify.inputs import AS_SAID, change, fidelity, scalar, stability
from xai_audit.verify.kept import ContradictionError
from xai_audit.verify.piece import Made, Piece, shaped

REGIONS = 4
"""Parts on each side of a picture that are ranked."""
QUARTER_DIGITS = 2.0**-13
"""The share by which a value kept with four digits may differ from the one it was."""
REMOVAL_STEPS = 10
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
        return _completeness(piece)
    if piece.part in {"baselines", "twin"}:
        return _alike(piece, rows)
    return _common(piece, rows, f"change in {piece.params['output']}")


def gradient_shap(piece: Piece) -> Made:
    """Every part of expected gradients."""
    rows = explained_rows(piece)
    if piece.part == "additivity":
        return _expected(piece, rows)
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
        phi = _split(piece, "phi", counts)
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
        every = _split(piece, "coefficients", counts)
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


def _split(piece: Piece, name: str, counts: NDArray[np.int64]) -> list[Floats]:
    """Numbers of all rows' players, one after the other, by row."""
    flat = piece.array(name).astype(np.float64)
    if len(flat) != counts.sum() or (counts < 0).any():
        raise ContradictionError(f"array {name} has {len(flat)} entries for {int(counts.sum())} parts")
    return np.split(flat, np.cumsum(counts)[:-1])


# ------------------------------------------------------------------------------------------------ common parts
def _common(piece: Piece, rows: NDArray[np.int64], unit: str) -> Made:
    sampling = piece.sampled()[1]
    if piece.part == "coverage":
        asked = piece.sampled()[0]
        return {"observation": scalar(spread.exact(len(rows) / len(asked), len(asked))), "sampling": sampling}
    if piece.part in {"deletion", "insertion"}:
        return {**_removed(piece, rows), "sampling": sampling}
    if piece.part == "local":
        return {"observation": _single(piece, rows, unit), "sampling": sampling}
    if piece.modality == "text":
        return {**_words(piece, rows, unit), "sampling": sampling}
    details = None
    if piece.modality == "table":
        signed = shaped("contributions", piece.numbers("contributions", 2), len(rows), len(piece.columns))
        piece.agreeing("values", piece.numbers("values", 2), signed, QUARTER_DIGITS)
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
    maps, slack = _maps(piece, rows)
    if maps is not None:
        again = np.stack([single_rows.summed(np.abs(one), REGIONS) for one in maps])
        piece.agreeing("regions", regions, again, slack)
    return regions


def _maps(piece: Piece, rows: NDArray[np.int64]) -> tuple[list[Floats] | None, float]:
    """Each explained picture's contributions by pixel, and to what share they are known; None where none are kept."""
    if piece.has("values"):
        flat = piece.array("values").astype(np.float64)
        if flat.ndim == 3:
            return list(shaped("values", flat, len(rows), -1, -1)), QUARTER_DIGITS
        return _unpacked(piece, "values", flat, len(rows)), QUARTER_DIGITS
    if not piece.has("parts"):
        return None, 0.0
    counts = shaped("players", piece.whole("players", 1), len(rows))
    phi = _split(piece, "phi", counts)
    cut = _unpacked(piece, "parts", piece.numbers("parts", 1), len(rows))
    found = []
    for own, part in zip(phi, cut, strict=True):
        where = part.astype(np.int64)
        if where.size and where.max() >= len(own):
            raise ContradictionError("array parts names a part that there is not")
        found.append((own / np.bincount(where.ravel(), minlength=len(own)).clip(1))[where])
    return found, 1e-9


def _unpacked(piece: Piece, name: str, flat: Floats, rows: int) -> list[Floats]:
    """Arrays of one or two axes out of a run of numbers and their shapes."""
    shapes = shaped(f"{name}_shape", piece.whole(f"{name}_shape", 2), rows, 3)
    found, place = [], 0
    for a, b, axes in shapes.tolist():
        if a < 0 or b < 0 or axes not in (1, 2) or place + a * b > flat.size:
            raise ContradictionError(f"array {name} ends too early")
        found.append(flat.ravel()[place : place + a * b].reshape((a, b)[:axes] if axes == 2 else (a,)))
        place += a * b
    if place != flat.size:
        raise ContradictionError(f"array {name} holds more than its shapes")
    return found


# ------------------------------------------------------------------------------------------------ words
def _words(piece: Piece, rows: NDArray[np.int64], unit: str) -> Made:
    """Words by the mean size of what they contribute to the texts that hold them."""
    counts = shaped("parts_of_text", piece.whole("parts_of_text", 1), len(rows))
    values, places = _split(piece, "part_values", counts), _split(piece, "part_words", counts)
    if piece.has("values") and piece.array("values").size == counts.sum():
        piece.agreeing("values", piece.numbers("values", 1), np.concatenate(values), QUARTER_DIGITS)
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


# ------------------------------------------------------------------------------------------------ single rows
def _single(piece: Piece, rows: NDArray[np.int64], unit: str) -> dict[str, Any]:
    kind = str(piece.params["output"])
    output, base = _said(piece, rows, kind), shaped("base", piece.numbers("base", 1), len(rows))
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
            own = _split(piece, "coefficients", piece.whole("players", 1))[place][:, 0]
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
    maps, slack = _maps(piece, rows)
    if maps is None:
        return _pixels(piece, rows, place)
    return single_rows.heat(maps[place], slack)


def _pixels(piece: Piece, rows: NDArray[np.int64], place: int) -> Any:
    """The map of a picture whose players are its pixels and their channels."""
    sizes = piece.about["data"]["test"]
    if sizes.get("distinct_shapes") != 1:
        raise ContradictionError("pictures of several sizes, with no array that says which has which")
    shape = [int(sizes[axis]["max"]) for axis in ("height", "width", "channels")]
    own = _split(piece, "phi", shaped("players", piece.whole("players", 1), len(rows)))[place]
    if own.size != math.prod(shape):
        raise ContradictionError("array phi is not of the pictures' size")
    return single_rows.heat(own.reshape(shape).sum(axis=2), 1e-9)


def _parts_of_text(
    piece: Piece, rows: NDArray[np.int64], place: int, published: Any, *, players: bool
) -> tuple[Floats, Floats | None]:
    """What each part of a text contributes, and how sure; equal words that are one player share its value."""
    if not players:
        counts = piece.whole("parts_of_text", 1)
        values = _split(piece, "part_values", counts)[place]
        if not piece.has("part_errors"):
            return values, None
        return values, _reach(piece) * _split(piece, "part_errors", counts)[place]
    counts = shaped("players", piece.whole("players", 1), len(rows))
    phi, halves = _split(piece, "phi", counts)[place], _half_widths(piece, counts, place)
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
        every = _split(piece, "coefficients", counts)[place]
        return np.asarray(spread.student(piece.levels[0], every.shape[1] - 1) * np.std(every, axis=1, ddof=1))
    errors = _split(piece, "order_error", counts)[place]
    rounds, closed = int(piece.whole("rounds", 1)[place]), int(piece.whole("closed", 1)[place])
    if not rounds:
        return np.full(errors.shape, math.inf if closed else 0.0)
    return spread.student(piece.levels[0], rounds - 1) * errors


# ------------------------------------------------------------------------------------------------ removal
def _removed(piece: Piece, rows: NDArray[np.int64]) -> Made:
    """How much sooner the output falls when parts go in the order of the attributions, than at random."""
    ways = _unpacked(piece, "heights", piece.numbers("heights", 1), len(rows))
    sizes = shaped("sizes", piece.whole("sizes", 1), len(rows))
    areas = np.stack([_areas(way, size) for way, size in zip(ways, sizes.tolist(), strict=True)])
    first, last, random = areas[:, 0], areas[:, 1], areas[:, 2:].mean(axis=1)
    away = piece.part == "deletion"
    estimate = spread.mean(random - first if away else last - random, piece.levels)
    controls = [_control("random order of the same parts", estimate)]
    if piece.has("twin_areas"):
        twins = piece.numbers("twin_areas", 3)
        n = len(shaped("twin_areas", twins, -1, -1, 2))
        lost = twins[:, :, 0] - first[:n, None] if away else last[:n, None] - twins[:, :, 1]
        over = spread.mean_of_both(lost, piece.levels)
        controls.append(_control("order by the same network with its weights permuted", over))
    about = {
        "area": spread.centre(first if away else last),
        "area_at_random": spread.centre(random),
        "steps_of_removal": REMOVAL_STEPS,
        "random_orders": areas.shape[1] - 2,
    }
    return {"observation": scalar(estimate, "score"), "controls": controls, "params": about}


def _control(name: str, estimate: dict[str, Any]) -> dict[str, Any]:
    passed = estimate["low"] is not None and estimate["low"] > 0
    return {
        "name": name, "expectation": "positive", "estimate": estimate, "passed": passed, "edit": False,
    }  # fmt: skip


def _areas(way: Floats, size: int) -> Floats:
    """The mean output along each way (ways, steps) through ``size`` parts."""
    steps = max(min(REMOVAL_STEPS, size), 1)
    counts = np.asarray(sorted({step * size // steps for step in range(steps + 1)}))
    if way.ndim != 2 or way.shape[1] != len(counts) or len(way) < 3:
        raise ContradictionError(f"array heights has {way.shape} outputs for {size} parts")
    if len(counts) == 1:
        return np.asarray(way[:, 0])
    widths = np.diff(counts) / max(size, 1)
    return np.asarray(((way[:, 1:] + way[:, :-1]) / 2 * widths).sum(axis=1))


# ------------------------------------------------------------------------------------------------ sums
def _completeness(piece: Piece) -> Made:
    """What share of the change from the baseline the contributions miss."""
    residual, steps = piece.numbers("residual", 1), piece.whole("steps", 1)
    if piece.modality == "table":
        signed, start, end = (
            piece.numbers(name, axes) for name, axes in (("contributions", 2), ("base", 1), ("output", 1))
        )
        gap = np.abs(signed.sum(axis=1) - (end - start))
        with np.errstate(divide="ignore", invalid="ignore"):
            again = np.where(gap == 0, 0.0, gap / np.abs(end - start))
        # Of sums that agree to many digits the difference is rounding.
        piece.agreeing("residual", np.maximum(residual, 1e-9), np.maximum(again, 1e-9), 1e-6)
    usable = residual[np.isfinite(residual)]
    if not len(usable):
        return {"skipped": "the output at every row equals that at its baseline"}
    about = {
        "largest": float(usable.max()),
        "median": float(np.median(usable)),
        "steps_used": {
            "least": int(steps.min()),
            "median": float(np.median(steps)),
            "most": int(steps.max()),
        },
    }
    limits = []
    if len(usable) < len(residual):
        rest = len(residual) - len(usable)
        limits.append(Among(f"{rest} rows have the output of their baseline: no share of a change"))
    tolerance = piece.params.get("tolerance")
    missed = 0 if tolerance is None else int((usable > tolerance).sum())
    if missed:
        most = int(steps.max())
        limits.append(Among(f"{missed} rows miss the tolerance at the most steps allowed ({most})"))
    made: Made = {"observation": scalar(spread.mean(usable, piece.levels, 0.0)), "params": about}
    return {**made, "sampling": piece.sampled()[1], **({"limits": limits} if limits else {})}


def _expected(piece: Piece, rows: NDArray[np.int64]) -> Made:
    """What the sum of expected gradients misses of the change."""
    gap, error = piece.numbers("gap", 1), piece.numbers("gap_error", 1)
    start, end = piece.numbers("base", 1), _said(piece, rows, str(piece.params["output"]))
    scale = float(np.ptp(np.concatenate([start, end])))
    if scale <= 0:
        return {"skipped": "the output is the same for every row and the background"}
    share = np.abs(gap) / np.maximum(np.abs(end - start), scale)
    return {
        "observation": scalar(spread.mean(share, piece.levels, 0.0)),
        "params": {
            "largest": float(share.max()),
            "scale": scale,
            "within_two_standard_errors": float((np.abs(gap) <= 2 * error).mean()),
        },
        "sampling": piece.sampled()[1],
    }


# ------------------------------------------------------------------------------------------------ other baselines, twins
def _alike(piece: Piece, rows: NDArray[np.int64]) -> Made:
    """How far other baselines, or networks with permuted weights, put the parts of a row in the same order."""
    counts = piece.whole("parts_of_row", 1)
    if len(counts) != min(int(piece.params["checked"]), len(rows)):
        raise ContradictionError("array parts_of_row is not of the rows that are checked")
    if piece.part == "twin":
        return _twins(piece, counts)
    order = piece.words("compared")
    maps = {name: _split(piece, f"from_{name}", counts) for name in order}
    pairs = {
        f"{a}, {b}": [orders.like(x, y) for x, y in zip(maps[a], maps[b], strict=True)]
        for i, a in enumerate(order)
        for b in order[i + 1 :]
    }
    by_row = np.asarray(list(pairs.values())).mean(axis=0)
    usable = by_row[np.isfinite(by_row)]
    if not len(usable):
        return {"skipped": "no row's contributions vary from every baseline"}
    told = {
        name: float(np.nanmean(values)) if np.isfinite(values).any() else None
        for name, values in pairs.items()
    }
    return {
        "observation": scalar(spread.mean(usable, piece.levels, -1.0, 1.0)),
        "params": {"compared": told, "rows_compared": len(usable)},
        "sampling": piece.sampled()[1],
    }


def _twins(piece: Piece, counts: NDArray[np.int64]) -> Made:
    own = _split(piece, "own", counts)
    count = int(piece.params["twins"])
    found = np.asarray(
        [
            [orders.like(a, b) for a, b in zip(own, _split(piece, f"twin_{k}", counts), strict=True)]
            for k in range(count)
        ]
    ).T
    usable = found[np.isfinite(found).all(axis=1)]
    if not len(usable):
        return {"skipped": "no row's contributions vary in every network with permuted weights"}
    return {
        "observation": scalar(spread.mean_of_both(usable, piece.levels, -1.0, 1.0)),
        "params": {"rows_compared": len(usable)},
        "sampling": piece.sampled()[1],
    }

"""Explanations of the rows of tables made again: contributions, local fits, shuffles, curves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.verify.explained import orders, single_rows, spread
from xai_audit.verify.explained.agreement import Among, Open, Stated
from xai_audit.verify.explained.kept import ContradictionError, LackingError
from xai_audit.verify.explained.piece import Made, Piece, shaped

AS_SAID = 1e-5
"""By how much, as a share of the largest, a model's answers may differ from those in rows.parquet: blocks differ."""


# ------------------------------------------------------------------------------------------------ what is common
def coverage(piece: Piece, rows: NDArray[np.int64]) -> Made:
    """The share of the rows drawn that got an explanation."""
    asked, sampling = piece.sampled()
    share = spread.exact(len(rows) / len(asked), len(asked))
    return {"observation": scalar(share), "sampling": sampling}


def scalar(estimate: dict[str, Any], unit: str | None = None) -> dict[str, Any]:
    """One number."""
    return {"shape": "scalar", "estimate": estimate, "unit": unit}


def said(piece: Piece, output: NDArray[np.float64], rows: NDArray[np.int64], kind: str) -> None:
    """ContradictionError where the outputs explained are not the scores of the test rows."""
    scores = piece.rows.scores
    if kind == "margin" or scores is None:
        return
    own = scores[rows, int(piece.about["positive"]) if scores.shape[1] > 1 else 0]
    piece.agreeing("output", output, own, AS_SAID)


def stability(piece: Piece, pairs: list[tuple[float, float]], low: float, params: dict[str, Any]) -> Made:
    """The mean agreement of draws over rows, of orders or of leaders."""
    place = 1 if piece.part == "stability_top5" else 0
    values = [pair[place] for pair in pairs]
    found = spread.mean(values, piece.levels, low, 1.0)
    return {"observation": scalar(found), "sampling": piece.sampled()[1], "params": params}


def _threshold(piece: Piece) -> float | None:
    """The threshold that a single row's score is held to, where it is one."""
    decided = piece.binary and piece.params.get("output") != "margin"
    return float(piece.about["threshold"]) if decided else None


def change(piece: Piece) -> str:
    """What contributions are in."""
    if piece.about["task"] == "regression":
        return "change in prediction"
    return "change in margin" if piece.params.get("output") == "margin" else "change in score"


# ------------------------------------------------------------------------------------------------ Shapley values
def shap(piece: Piece) -> Made:
    """Every part of Shapley values over a table's own columns."""
    rows = piece.explained_rows()
    phi = shaped("phi", piece.numbers("phi", 2), len(rows), len(piece.columns))
    output = shaped("output", piece.numbers("output", 1), len(rows))
    base = float(shaped("base", piece.numbers("base", 1), 1)[0])
    said(piece, output, rows, str(piece.params.get("output")))
    reference = piece.numbers("reference_output", 1) if piece.has("reference_output") else None
    if reference is not None:
        piece.agreeing("base", np.asarray([base]), np.asarray([spread.centre(reference)]), 1e-9)
    if piece.part == "coverage":
        return coverage(piece, rows)
    sampling = piece.sampled()[1]
    if piece.part == "additivity":
        return _additivity(piece, phi, base, output, reference)
    if piece.part in {"stability", "stability_top5"}:
        ranks = shaped("draw_ranks", piece.numbers("draw_ranks", 3), len(rows), -1, phi.shape[1]) / 2
        if ranks.shape[1] != piece.params.get("resamples"):
            raise ContradictionError(f"array draw_ranks holds {ranks.shape[1]} draws, not params.resamples")
        about = {
            "redraws": ranks.shape[1], "top": orders.leading(phi.shape[1]), "order_by": "absolute contribution",
        }  # fmt: skip
        return stability(piece, [orders.agreement(one) for one in ranks], -1.0, about)
    third = piece.whole("third", 2) if piece.has("third") else None
    if third is not None:
        shaped("third", third, *phi.shape)
    if piece.part == "beeswarm":
        if third is None:
            raise LackingError("this audit does not keep which third of an input each row is in")
        order = sorted(
            range(phi.shape[1]), key=lambda j: (-spread.centre(np.abs(phi[:, j])), piece.columns[j])
        )
        observation, params = orders.swarm(piece.columns, third, phi, order, piece.min_cell)
        withheld = params["withheld"]
        sentence = f"cells with fewer than {piece.min_cell} people are not shown ({withheld} placings in all)"
        more = {"limits": [Among(sentence)]} if withheld else {}
        return {"observation": observation, "params": params, "sampling": sampling, **more}
    if piece.part == "local":
        errors = shaped("background_error", piece.numbers("background_error", 2), *phi.shape)
        size = len(reference) if reference is not None else int(piece.params["background_rows"])
        reach = spread.student(piece.levels[0], size - 1) if size > 1 else math.inf
        halves = np.where(errors > 0, reach * errors, 0.0)
        chosen = single_rows.by_output(piece, output)
        threshold = _threshold(piece)
        cases = [
            single_rows.of_table(piece, why, phi[i], halves[i], float(output[i]), base, threshold)
            for why, i in chosen
        ]
        return {"observation": single_rows.cases(cases), "sampling": sampling}
    draws = piece.numbers("draws", 2) if piece.has("draws") else None
    if draws is not None:
        shaped("draws", draws, int(piece.params["resamples"]), phi.shape[1])
    details = _details(piece, phi, third)
    found = orders.ranking(
        piece.columns, np.abs(phi), draws, piece.levels, unit=change(piece), details=details
    )
    return {"observation": found, "sampling": sampling}


def _details(piece: Piece, phi: NDArray[np.float64], third: NDArray[np.int64] | None) -> list[dict[str, Any]]:
    found = []
    for j, value in enumerate(spread.centres(phi)):
        more: dict[str, Any]
        if third is None:
            gone = Open("the audit does not keep which third of an input each row is in")
            more = dict.fromkeys(orders.THIRDS, gone)
        else:
            more = orders.by_third(third[:, j], phi[:, j], piece.min_cell)
        found.append({"mean_signed": float(value), **more})
    return found


def _additivity(
    piece: Piece,
    phi: NDArray[np.float64],
    base: float,
    output: NDArray[np.float64],
    reference: NDArray[np.float64] | None,
) -> Made:
    residual = np.abs(np.asarray([math.fsum([base, *row]) for row in phi.tolist()]) - output)
    piece.agreeing("residual", piece.numbers("residual", 1), residual, 1e-9)
    scale: Any = float(piece.params.get("scale", math.nan))
    if reference is not None:
        scale = float(np.ptp(np.concatenate([output, reference])))
    if not scale >= 0:
        raise ContradictionError("params.scale is no range of outputs")
    share = residual / np.maximum(np.abs(output - base), scale) if scale > 0 else residual
    worst = spread.exact(float(share.max()), len(share))
    open_ = Open("the audit does not keep the outputs of the background, whose range it is over")
    return {
        "observation": scalar(worst) if reference is not None else {**scalar(worst)},
        "params": {"scale": scale if reference is not None else open_},
        "sampling": piece.sampled()[1],
    }


# ------------------------------------------------------------------------------------------------ local fits
def lime(piece: Piece) -> Made:
    """Every part of local linear fits over a table's columns."""
    rows = piece.explained_rows()
    first = shaped("coefficients", piece.numbers("coefficients", 2), len(rows), len(piece.columns))
    output = shaped("output", piece.numbers("output", 1), len(rows))
    said(piece, output, rows, str(piece.params.get("output")))
    seeds = int(piece.params["seeds"])
    every = None
    if piece.has("coefficients_by_draw"):
        every = shaped(
            "coefficients_by_draw", piece.numbers("coefficients_by_draw", 3), len(rows), seeds, first.shape[1]
        )
        piece.agreeing("coefficients", first, every[:, 0], 0.0)
    if piece.part == "coverage":
        return coverage(piece, rows)
    sampling = piece.sampled()[1]
    if piece.part == "fidelity":
        return fidelity(piece, shaped("fidelity", piece.numbers("fidelity", 1), len(rows)))
    if piece.part in {"stability", "stability_top5"}:
        if every is None:
            raise LackingError("this audit does not keep the coefficients of the other draws")
        about = {
            "repetitions": seeds, "top": orders.leading(first.shape[1]), "order_by": "absolute weight",
        }  # fmt: skip
        return stability(piece, [orders.agreement(orders.ranks(np.abs(one))) for one in every], -1.0, about)
    if piece.part == "local":
        intercept = shaped("intercept", piece.numbers("intercept", 1), len(rows))
        halves: NDArray[np.float64] | None = None
        if every is not None:
            halves = spread.student(piece.levels[0], seeds - 1) * np.std(every, axis=1, ddof=1)
        cases = []
        for why, i in single_rows.by_output(piece, output):
            case = single_rows.of_table(
                piece,
                why,
                first[i],
                None if halves is None else halves[i],
                float(output[i]),
                float(intercept[i]),
                _threshold(piece),
            )
            items = [{**item, "condition": Stated("the bin or level of each cell")} for item in case["items"]]
            fitted = float(intercept[i]) + math.fsum(first[i].tolist())
            cases.append({**case, "items": items, "fitted": fitted})
        return {"observation": single_rows.cases(cases), "sampling": sampling}
    draws = None if every is None else np.stack([spread.centres(one) for one in np.abs(every).swapaxes(0, 1)])
    details = [{"mean_signed": float(value)} for value in spread.centres(first)]
    unit = "weight of sharing the row's bin or level"
    found = orders.ranking(piece.columns, np.abs(first), draws, piece.levels, unit=unit, details=details)
    return {"observation": found, "sampling": sampling}


def fidelity(piece: Piece, values: NDArray[np.float64]) -> Made:
    """The mean held-out fit; none where no row's neighbours vary."""
    usable = values[np.isfinite(values)]
    if not len(usable):
        return {"skipped": "the model's answers do not vary among the neighbours of any row"}
    limits = []
    if len(usable) < len(values):
        limits = [Among(f"{len(values) - len(usable)} rows have neighbours whose answers do not vary: no R2")]
    found = spread.mean(usable, piece.levels, None, 1.0)
    made: Made = {"observation": scalar(found), "sampling": piece.sampled()[1]}
    return {**made, "limits": limits} if limits else made


# ------------------------------------------------------------------------------------------------ shuffled inputs
def permutation_importance(piece: Piece) -> Made:
    """The loss of a metric when an input is shuffled."""
    target, known = _labels(piece)
    asked, sampling = piece.sampled()
    rows = asked[known[asked]]
    truth = target[rows]
    metric = str(piece.params.get("metric"))
    default = "r2" if piece.about["task"] == "regression" else "roc_auc" if piece.binary else "accuracy"
    reason = _undefined(piece, piece.params.get("metric") or default, truth)
    if reason:
        return {"skipped": reason}
    repeats = int(piece.params["repeats"])
    count = len(piece.columns)
    draws = shaped("repeats", piece.numbers("repeats", 2), repeats, count)
    narrowed = spread.centres(draws) + (draws - spread.centres(draws)) / math.sqrt(repeats)
    unit = f"change in {metric}"
    more: Made = {"params": {"metric": metric if metric != "None" else default}}
    more["sampling"] = {**sampling, "used": len(rows)}
    if not piece.has("shuffled"):
        return {"observation": _means_alone(piece, draws, len(rows), unit), **more}
    shuffled = shaped("shuffled", piece.numbers("shuffled", 3), len(rows), count, repeats)
    base = shaped("base", piece.numbers("base", 1), len(rows))
    own = _judged(piece, metric, rows, truth)
    if own is not None:
        piece.agreeing("base", base, own, AS_SAID)
    influences = np.stack(
        [_influences(piece, metric, truth, base, shuffled[:, :, one]) for one in range(repeats)]
    )
    again = np.stack([spread.centres(one) for one in influences])
    piece.agreeing("repeats", draws, again, 1e-9)
    values = influences.sum(axis=0) / repeats
    found = orders.ranking(piece.columns, values, narrowed, piece.levels, unit=unit, signed=True)
    return {"observation": found, **more}


def _means_alone(piece: Piece, draws: NDArray[np.float64], n: int, unit: str) -> dict[str, Any]:
    """What the means of each repeat alone say: an old audit keeps no more."""
    found = orders.ranking(piece.columns, draws, None, piece.levels, unit=unit)
    for item in found["items"]:
        item["estimate"]["n"] = n
        item["detail"] = None
    return found


def _labels(piece: Piece) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    if piece.about["task"] == "regression":
        numbers = piece.rows.numbers("target")
        return numbers, np.isfinite(numbers)
    codes = piece.rows.codes("target")
    return codes, codes >= 0


def _undefined(piece: Piece, metric: str, truth: NDArray[Any]) -> str:
    if not len(truth):
        return "no row has a valid label"
    if metric == "roc_auc" and len(set((truth == int(piece.about["positive"])).tolist())) < 2:
        return "every labelled row is of one class: no roc_auc"
    if metric == "r2" and float(np.ptp(truth)) == 0:
        return "the target does not vary: no r2"
    return ""


def _judged(
    piece: Piece, metric: str, rows: NDArray[np.int64], truth: NDArray[Any]
) -> NDArray[np.float64] | None:
    """What the metric is made of, from the scores in rows.parquet."""
    scores = piece.rows.scores
    if scores is None:
        return None
    positive = int(piece.about["positive"])
    own = scores[rows, positive] if scores.shape[1] > 1 else scores[rows, 0]
    if metric == "accuracy":
        return np.asarray(piece.rows.codes("prediction")[rows] == truth, dtype=np.float64)
    if metric == "log_loss":
        given = scores[rows, truth] if scores.shape[1] > 1 else np.where(truth == positive, own, 1 - own)
        tiny = float(np.finfo(np.float64).eps)
        return np.asarray(-np.log(np.clip(given, tiny, 1 - tiny)))
    return np.asarray(own)


def _influences(
    piece: Piece, metric: str, truth: NDArray[Any], base: NDArray[np.float64], shuffled: NDArray[np.float64]
) -> NDArray[np.float64]:
    """One number for each row and input whose mean is the loss: DeLong's placements, or the linearised ratio."""
    if metric in {"accuracy", "log_loss"}:
        lost = base[:, None] - shuffled
        return lost if metric == "accuracy" else -lost
    if metric == "r2":
        spreads = (truth - spread.centre(truth)) ** 2
        total = spread.centre(spreads)
        gone = ((truth[:, None] - shuffled) ** 2 - ((truth - base) ** 2)[:, None]) / total
        return np.asarray(gone - np.outer(spreads / total - 1, spread.centres(gone)))
    own = truth == int(piece.about["positive"])
    share = np.where(own, own.mean(), 1 - own.mean())
    before = _placements(base, own)
    found = np.empty(shuffled.shape)
    for j in range(shuffled.shape[1]):
        moved = before - _placements(shuffled[:, j], own)
        middle = spread.centre(moved[own])
        found[:, j] = middle + (moved - middle) / share
    return found


def _placements(scores: NDArray[np.float64], own: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The share of the other class each row is rightly ranked against, from ranks among all and among its own."""
    from scipy.stats import rankdata

    ranks = rankdata(scores)
    found = np.empty(len(scores))
    found[own] = (ranks[own] - rankdata(scores[own])) / (~own).sum()
    found[~own] = 1 - (ranks[~own] - rankdata(scores[~own])) / own.sum()
    return found


# ------------------------------------------------------------------------------------------------ curves
def partial_dependence(piece: Piece) -> Made:
    """The mean output with an input set to each of some values, and how far single rows stray."""
    asked, sampling = piece.sampled()
    n = len(asked)
    output = "margin" if piece.params.get("output") == "margin" else "score"
    unit = "prediction" if piece.about["task"] == "regression" else f"{output} of the positive class"
    means = piece.numbers("mean", 1)
    old = not piece.has("answers")
    gone = Open("the audit does not keep the answers that the curve is the mean of")
    if old:
        xs: list[Any] = [Open("the audit does not keep the values that the input was set to")] * len(means)
        lines = [[{"value": float(one), "low": gone, "high": gone, "n": n} for one in means]]
        outer = [[{"value": gone, "low": gone, "high": gone, "n": n}] * len(means)] * 2
    else:
        answers = shaped("answers", piece.numbers("answers", 2), n, len(means))
        given = shaped("x", piece.array("x", 1), len(means))
        xs = [str(one) if given.dtype.kind == "U" else float(one) for one in given.tolist()]
        piece.agreeing("mean", means, spread.centres(answers), 1e-12)
        lines = [[spread.mean(column, piece.levels[:1]) for column in answers.T]]
        tenths = np.quantile(answers, [0.1, 0.9], axis=0, method="inverted_cdf")
        outer = [[spread.exact(float(one), n) for one in line] for line in tenths]
    names = ["mean"]
    if n >= max(20, 2 * piece.min_cell):
        names += ["a tenth of rows below", "a tenth of rows above"]
        lines += outer
    series = [
        {"name": name, "points": [{"x": x, "estimate": one} for x, one in zip(xs, line, strict=True)]}
        for name, line in zip(names, lines, strict=True)
    ]
    curve = {"shape": "curve", "x": piece.part, "y": unit, "series": series}
    return {"observation": curve, "sampling": sampling, "params": {"output_explained": unit}}

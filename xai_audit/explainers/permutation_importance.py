"""What the model loses when one input is shuffled among the rows, in the metric it is judged by."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from xai_audit.errors import MethodError
from xai_audit.evidence import Frozen, Sampling
from xai_audit.explainers.ranking import ranked
from xai_audit.explainers.rows import Share, assembled, exact_mean, generator, shared
from xai_audit.method import Measured, Method, Skipped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from xai_audit.method import Context, Piece
    from xai_audit.subject import Subject

Metric = Literal["roc_auc", "accuracy", "log_loss", "r2"]
_TINY = float(np.finfo(np.float64).eps)


class PermutationParams(Frozen):
    """How importance is measured."""

    metric: Metric | None = None
    """null: roc_auc for two classes, accuracy for more, r2 for numbers."""
    rows: int | None = Field(1000, ge=1)
    """Labelled test rows used; null for all."""
    repeats: int = Field(10, ge=2)


def _work(subject: Subject, params: PermutationParams, piece: Piece, seed: int) -> Mapping[str, NDArray[Any]]:
    del seed  # who gives a row its value is decided over all rows at once
    assert isinstance(piece, Share)
    assert piece.reference is not None
    assert piece.note is not None
    frame, everyone = subject.test.frame, piece.reference
    count = frame.shape[1]
    place = np.searchsorted(everyone, piece.rows)
    whole = np.repeat(piece.rows[:, None], count, axis=1)
    index = np.repeat(whole[:, None, None], count * params.repeats, axis=1).reshape(
        -1, count, params.repeats, count
    )
    for j, name in enumerate(frame.columns):
        for repeat in range(params.repeats):
            donors = generator(piece.seed, "permutation_importance", name, repeat).permutation(len(everyone))
            index[:, j, repeat, j] = everyone[donors[place]]
    metric = piece.note["metric"]
    base = _judged(subject, metric, assembled(frame, whole), piece.rows)
    mixed = assembled(frame, index.reshape(-1, count))
    shuffled = _judged(subject, metric, mixed, np.repeat(piece.rows, count * params.repeats))
    return {"base": base, "shuffled": shuffled.reshape(len(piece.rows), count, params.repeats)}


def _judged(subject: Subject, metric: Metric, frame: Any, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """What the metric is made of, for each row: whether it is right, its log loss, its score or its prediction."""
    assert subject.test.target is not None
    scores = subject.evaluate(frame)
    own = scores[:, subject.positive] if scores.shape[1] > 1 else scores[:, 0]
    if metric in {"roc_auc", "r2"}:
        return own
    target = subject.test.target[rows]
    if metric == "log_loss":
        given = (
            scores[np.arange(len(rows)), target]
            if scores.shape[1] > 1
            else np.where(target == subject.positive, own, 1 - own)
        )
        return np.asarray(-np.log(np.clip(given, _TINY, 1 - _TINY)))
    if subject.binary:
        decided = np.where(own >= subject.threshold, subject.positive, 1 - subject.positive)
    else:
        decided = np.argmax(scores, axis=1)
    return np.asarray(decided == target, dtype=np.float64)


def run(subject: Subject, params: PermutationParams, context: Context) -> Iterator[Measured | Skipped]:
    """One ranking of inputs by the mean loss over repeats, with the error of rows and of shuffles."""
    metric = _metric(subject, params)
    target = subject.test.target
    assert target is not None
    known = np.isfinite(target) if subject.task == "regression" else target >= 0
    rows, sampling = context.sample(params.rows)
    rows = rows[known[rows]]
    reason = _undefined(subject, metric, target[rows])
    if reason:
        yield Skipped(reason=reason)
        return
    said = ["inputs that say the same stand in for each other: both may look unimportant"]
    if not known.all():
        said.append(f"rows without a valid label are left out; {len(rows)} rows are used")
    if subject.test.weights is not None or subject.test.clusters is not None:
        said.append("each row counts once: weights and clusters do not enter these means and intervals")
    pieces = shared(context.pieces(rows), context.seed, rows, subject.test, {"metric": metric})
    done = context.map(_work, pieces)
    base = np.concatenate([part["base"] for part in done])
    shuffled = np.concatenate([part["shuffled"] for part in done])
    per_repeat = [
        influences(metric, target[rows], subject.positive, base, shuffled[:, :, repeat])
        for repeat in range(params.repeats)
    ]
    values = np.stack(per_repeat).sum(axis=0) / params.repeats
    draws = np.stack([exact_mean(one) for one in per_repeat])
    centre = exact_mean(draws)
    # The value is a mean over repeats, so one repeat's spread counts for less.
    narrowed = centre + (draws - centre) / math.sqrt(params.repeats)
    names = [str(name) for name in subject.test.frame.columns]
    yield Measured(
        title=f"Loss of {metric} when an input is shuffled"
        if metric != "log_loss"
        else "Rise of log_loss when an input is shuffled",
        observation=ranked(names, values, narrowed, context, unit=f"change in {metric}", nonnegative=False),
        arrays={"repeats": draws, "base": base, "shuffled": _compact(metric, shuffled)},
        sampling=Sampling(available=sampling.available, used=len(rows), how=sampling.how),
        limits=tuple(said),
        versions={"engine": "xai-audit", "numpy": np.__version__},
        params={"metric": metric},
    )


def _compact(metric: Metric, shuffled: NDArray[np.float64]) -> NDArray[Any]:
    """What a shuffle gave each row, in as few bytes as hold it: right or wrong, its place in the order, or the number."""
    if metric == "accuracy":
        return shuffled.astype(np.uint8)
    if metric != "roc_auc":
        return shuffled
    from scipy.stats import rankdata

    places = rankdata(shuffled, method="dense", axis=0)
    return np.asarray(places, dtype=np.uint16 if len(places) < 2**16 else np.uint32)


def _metric(subject: Subject, params: PermutationParams) -> Metric:
    if params.metric is None:
        if subject.task == "regression":
            return "r2"
        return "roc_auc" if subject.binary else "accuracy"
    if (params.metric == "r2") != (subject.task == "regression"):
        raise MethodError(f"metric: {params.metric} does not fit {subject.task}")
    if params.metric == "roc_auc" and not subject.binary:
        raise MethodError("metric: roc_auc is defined here for two classes; use accuracy or log_loss")
    if params.metric == "log_loss" and not subject.probabilities:
        raise MethodError("metric: log_loss needs scores that are probabilities")
    return params.metric


def _undefined(subject: Subject, metric: Metric, target: NDArray[Any]) -> str:
    if not len(target):
        return "no row has a valid label"
    if metric == "roc_auc" and len(np.unique(target == subject.positive)) < 2:
        return "every labelled row is of one class: no roc_auc"
    if metric == "r2" and float(np.ptp(target)) == 0:
        return "the target does not vary: no r2"
    return ""


def influences(
    metric: Metric,
    target: NDArray[Any],
    positive: int,
    base: NDArray[np.float64],
    shuffled: NDArray[np.float64],
) -> NDArray[np.float64]:
    """One number for each row and input, whose mean is the loss and whose spread gives its error: (rows, inputs).

    For the area under the curve these are differences of placements (DeLong et al. 1988, Biometrics 44:837), for R2
    the linearised ratio.
    """
    if metric == "accuracy":
        return base[:, None] - shuffled
    if metric == "log_loss":
        return shuffled - base[:, None]
    if metric == "r2":
        centre = math.fsum(target.tolist()) / len(target)
        spread = (target - centre) ** 2
        total = math.fsum(spread.tolist()) / len(target)
        lost = ((target[:, None] - shuffled) ** 2 - ((target - base) ** 2)[:, None]) / total
        return np.asarray(lost - exact_mean(lost) * (spread / total - 1)[:, None])
    own = target == positive
    before = _placements(base, own)
    out = np.empty(shuffled.shape)
    for j in range(shuffled.shape[1]):
        after = _placements(shuffled[:, j], own)
        difference = before - after
        centre = math.fsum(difference[own].tolist()) / int(own.sum())
        share = np.where(own, own.mean(), 1 - own.mean())
        out[:, j] = centre + (difference - centre) / share
    return out


def _placements(scores: NDArray[np.float64], own: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The share of the other class that a row is ranked rightly against, ties counting half."""
    high, low = np.sort(scores[own]), np.sort(scores[~own])
    out = np.empty(len(scores))
    below = np.searchsorted(low, scores[own], "left") + np.searchsorted(low, scores[own], "right")
    above = (
        2 * len(high)
        - np.searchsorted(high, scores[~own], "left")
        - np.searchsorted(high, scores[~own], "right")
    )
    out[own], out[~own] = below / (2 * len(low)), above / (2 * len(high))
    return out


METHOD = Method(
    id="permutation_importance",
    kind="explainer",
    title="Loss of performance when an input is shuffled",
    measures="How much worse the model predicts the labels when one input's values are shuffled among the rows",
    params=PermutationParams,
    run=run,
    needs=("model", "table", "labels", "scores", "features"),
    limits=("shuffling breaks the ties between inputs, so the model is also asked about unlikely rows",),
    cites=("Breiman 2001, Machine Learning 45:5", "Fisher, Rudin and Dominici 2019, JMLR 20:177"),
)

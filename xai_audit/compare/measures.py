"""Every number that rows give again: its value in one audit, and how far it moved on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from xai_audit import intervals as iv
from xai_audit import intervals_paired as paired
from xai_audit import intervals_roc as roc
from xai_audit import intervals_rows as from_rows
from xai_audit.compare import regression
from xai_audit.compare.number import Number, UndefinedError
from xai_audit.intervals import Interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.compare.rows import Rows
    from xai_audit.intervals_paired import Tabled
    from xai_audit.intervals_rows import Measured

    Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Rate:
    """A share: its event among its rows, from who is truly and who is predictedly of a class."""

    event: Callable[[Any, Any], Any]
    among: Callable[[Any, Any], Any]
    labels: bool = True

    def masks(self, rows: Rows, label: str) -> tuple[Mask, Mask]:
        """Event and denominator over the rows."""
        called = _called(rows, label)
        if not self.labels:
            return np.asarray(self.event(called, called)), np.asarray(self.among(called, called))
        true, known = _true(rows, label), rows.known
        among = np.asarray(self.among(true, called)) & known
        return np.asarray(self.event(true, called)) & among, among


def _everybody(y: Any, p: Any) -> Any:
    return np.ones_like(p if y is None else y, dtype=bool)


RATES: dict[str, Rate] = {
    "precision": Rate(lambda y, _: y, lambda _, p: p),
    "recall": Rate(lambda _, p: p, lambda y, _: y),
    "true_positive_rate": Rate(lambda _, p: p, lambda y, _: y),
    "true_negative_rate": Rate(lambda _, p: ~p, lambda y, _: ~y),
    "false_positive_rate": Rate(lambda _, p: p, lambda y, _: ~y),
    "false_negative_rate": Rate(lambda _, p: ~p, lambda y, _: y),
    "negative_predictive_value": Rate(lambda y, _: ~y, lambda _, p: ~p),
    "false_discovery_rate": Rate(lambda y, _: ~y, lambda _, p: p),
    "false_omission_rate": Rate(lambda y, _: y, lambda _, p: ~p),
    "prevalence": Rate(lambda y, _: y, _everybody),
    "selection_rate": Rate(lambda _, p: p, _everybody, labels=False),
}
LOWER = {
    "false_positive_rate", "false_negative_rate", "false_discovery_rate", "false_omission_rate", "log_loss",
    "brier_score", "mean_absolute_error", "root_mean_squared_error", "expected_calibration_error",
}  # fmt: skip
"""Numbers of which less is better."""
NEITHER = {"prevalence", "selection_rate", "predicted_positive_share", "calibration_gap"}
"""Numbers of which neither more nor less is better as such."""
COMPARED = {
    "demographic_parity_difference": "selection_rate",
    "demographic_parity_ratio": "selection_rate",
    "equal_opportunity_difference": "true_positive_rate",
    "false_positive_rate_difference": "false_positive_rate",
    "predictive_parity_difference": "precision",
    "True positive rate": "true_positive_rate",
    "False positive rate": "false_positive_rate",
}
"""The rate that a comparison of groups compares, by its method or by the key of one of two rates."""


def better(method: str) -> str:
    """``higher``, ``lower`` or ``none``: which way a method's number should go."""
    if method in LOWER:
        return "lower"
    higher = method in NUMBERS or method == "baseline_improvement"
    return "higher" if higher and method not in NEITHER else "none"


def _true(rows: Rows, label: str) -> Mask:
    if rows.target is None:
        raise UndefinedError("there are no labels")
    return np.asarray(rows.target == label)


def _called(rows: Rows, label: str) -> Mask:
    if rows.prediction is None:
        raise UndefinedError("there are no predictions")
    return np.asarray(rows.prediction == label)


def _score(rows: Rows, label: str) -> NDArray[np.float64]:
    found = rows.scores.get(label)
    if found is None:
        raise UndefinedError(f"there is no score of class {label}")
    return found


def _tally(rows: Rows, event: Mask, among: Mask) -> tuple[float, float]:
    """Successes and rows of a share, effective ones where weights or clusters say so."""
    if not among.any():
        raise UndefinedError("no row is in its denominator")
    if rows.independent:
        return float(np.count_nonzero(event & among)), float(np.count_nonzero(among))
    chosen = rows.at(among)
    weights = None if chosen.weight is None else chosen.weight.tolist()
    if weights is not None and not any(weights):
        raise UndefinedError("all weights are 0")
    return from_rows.effective(
        event[among].astype(float).tolist(),
        weights,
        None if chosen.cluster is None else chosen.cluster.tolist(),
    )


def _rate(name: str, rate: Rate, of: str = "positive") -> Number:
    def value(rows: Rows, label: str) -> float:
        successes, n = _tally(rows, *rate.masks(rows, label))
        return successes / n

    def at(rows: Rows, label: str, levels: Sequence[float]) -> list[Interval]:
        return iv.rate(*_tally(rows, *rate.masks(rows, label)), levels)

    def change(old: Rows, new: Rows, label: str, levels: Sequence[float]) -> Measured:
        (event_a, among_a), (event_b, among_b) = rate.masks(old, label), rate.masks(new, label)
        if np.array_equal(among_a, among_b):
            return _share_change(new, event_a, event_b, among_a, levels)
        if name not in paired.TABLED or not new.independent or _relabelled(old, new):
            raise UndefinedError("the rows in its denominator are not the same")
        if not among_a.any() or not among_b.any():
            raise UndefinedError("no row is in its denominator")
        return paired.table_change(_cells(old, new, label), cast("Tabled", name), levels)

    def counted(rows: Rows, label: str) -> int:
        return int(np.count_nonzero(rate.masks(rows, label)[1]))

    return Number(value, at, change, of, counted)


def _relabelled(old: Rows, new: Rows) -> bool:
    """Whether a row that both hold has another label now: then no table of two models has one truth."""
    assert old.target is not None
    assert new.target is not None
    return not np.array_equal(old.target, new.target)


def _share_change(rows: Rows, old: Mask, new: Mask, among: Mask, levels: Sequence[float]) -> Measured:
    n = int(np.count_nonzero(among))
    if not n:
        raise UndefinedError("no row is in its denominator")
    if not rows.independent:
        chosen = rows.at(among)
        return paired.mean_change(
            old[among].astype(float), new[among].astype(float), levels, chosen.weight, chosen.cluster
        )
    gained, lost = (int(np.count_nonzero(a & ~b & among)) for a, b in ((new, old), (old, new)))
    return (gained - lost) / n, paired.rate_change(gained, lost, n, levels)


def _cells(old: Rows, new: Rows, label: str) -> list[int]:
    """Rows by what they are truly, what the old model and what the new one says."""
    true, known = _true(new, label), new.known
    before, after = _called(old, label), _called(new, label)
    return [
        int(np.count_nonzero(known & (true == t) & (before == a) & (after == b))) for t, a, b in paired.CELLS
    ]


def _accuracy() -> Number:
    def masks(rows: Rows, _: str) -> tuple[Mask, Mask]:
        if rows.target is None or rows.prediction is None:
            raise UndefinedError("there are no labels")
        return np.asarray(rows.prediction == rows.target) & rows.known, rows.known

    def change(old: Rows, new: Rows, label: str, levels: Sequence[float]) -> Measured:
        (event_a, among_a), (event_b, among_b) = masks(old, label), masks(new, label)
        if not np.array_equal(among_a, among_b):
            raise UndefinedError("the rows with a valid label are not the same")
        return _share_change(new, event_a, event_b, among_a, levels)

    def value(rows: Rows, label: str) -> float:
        successes, n = _tally(rows, *masks(rows, label))
        return successes / n

    def at(rows: Rows, label: str, levels: Sequence[float]) -> list[Interval]:
        return iv.rate(*_tally(rows, *masks(rows, label)), levels)

    return Number(value, at, change, of="")


def _balanced() -> Number:
    recall = _rate("recall", RATES["recall"])

    def value(rows: Rows, _: str) -> float:
        return sum(sorted(recall.value(rows, label) for label in rows.classes)) / len(rows.classes)

    def at(rows: Rows, _: str, levels: Sequence[float]) -> list[Interval]:
        tallies = [_tally(rows, *RATES["recall"].masks(rows, label)) for label in rows.classes]
        return iv.mean_of_rates([x for x, _ in tallies], [n for _, n in tallies], levels)

    def change(old: Rows, new: Rows, _: str, levels: Sequence[float]) -> Measured:
        return paired.mean_of_changes([recall.change(old, new, label, levels) for label in new.classes])

    return Number(value, at, change, of="")


def _tabled(name: Tabled) -> Number:
    def table(rows: Rows, label: str) -> paired.Table:
        if not rows.independent:
            raise UndefinedError("not told with weights or clusters")
        true, called, known = _true(rows, label), _called(rows, label), rows.known
        counts = [
            float(np.count_nonzero(known & (true == t) & (called == c)))
            for t, c in ((True, True), (False, True), (True, False), (False, False))
        ]
        return counts[0], counts[1], counts[2], counts[3]

    def value(rows: Rows, label: str) -> float:
        try:
            return paired.tabled(table(rows, label), name)
        except ValueError as error:
            raise UndefinedError(str(error)) from None

    def at(rows: Rows, label: str, levels: Sequence[float]) -> list[Interval]:
        tp, fp, fn, tn = table(rows, label)
        return iv.f1(tp, fp, fn, levels) if name == "f1" else iv.matthews(tp, fp, fn, tn, levels)

    def change(old: Rows, new: Rows, label: str, levels: Sequence[float]) -> Measured:
        if _relabelled(old, new):
            raise UndefinedError("labels are not the same")
        value(old, label), value(new, label)
        return paired.table_change(_cells(old, new, label), name, levels)

    return Number(value, at, change)


def _auc() -> Number:
    def split(rows: Rows, label: str) -> tuple[Mask, NDArray[np.float64], NDArray[np.float64]]:
        if not rows.independent:
            raise UndefinedError("not told with weights or clusters")
        true, known, score = _true(rows, label), rows.known, _score(rows, label)
        if not (true & known).any() or not (~true & known).any():
            raise UndefinedError("one class only")
        return true, score[true & known], score[~true & known]

    def value(rows: Rows, label: str) -> float:
        _, positive, negative = split(rows, label)
        return roc.auc(positive, negative, ())[0]

    def at(rows: Rows, label: str, levels: Sequence[float]) -> list[Interval]:
        _, positive, negative = split(rows, label)
        return roc.auc(positive, negative, levels)[1]

    def change(old: Rows, new: Rows, label: str, levels: Sequence[float]) -> Measured:
        (true_a, *before), (true_b, *after) = split(old, label), split(new, label)
        if not np.array_equal(true_a, true_b) or not np.array_equal(old.known, new.known):
            raise UndefinedError("labels are not the same")
        return paired.auc_change((before[0], before[1]), (after[0], after[1]), levels)

    return Number(value, at, change)


def _mean(of_row: Callable[[Rows, str], NDArray[np.float64]], of: str = "positive") -> Number:
    def values(rows: Rows, label: str) -> tuple[list[float], Any, Any]:
        known = rows.known
        if not known.any():
            raise UndefinedError("no row has a valid label")
        found = of_row(rows, label)[known].tolist()
        return found, *(
            None if extra is None else extra[known].tolist() for extra in (rows.weight, rows.cluster)
        )

    def measured(rows: Rows, label: str, levels: Sequence[float]) -> Measured:
        found, weights, clusters = values(rows, label)
        if weights is None and clusters is None:
            return from_rows.mean(found, levels)
        return from_rows.clustered_mean(found, weights, clusters, levels)

    def change(old: Rows, new: Rows, label: str, levels: Sequence[float]) -> Measured:
        if not np.array_equal(old.known, new.known):
            raise UndefinedError("the rows with a valid label are not the same")
        before, after, weights, clusters = values(old, label)[0], *values(new, label)
        return paired.mean_change(before, after, levels, weights, clusters)

    return Number(
        lambda rows, label: measured(rows, label, ())[0],
        lambda rows, label, levels: measured(rows, label, levels)[1],
        change,
        of=of,
    )


def _brier(rows: Rows, label: str) -> NDArray[np.float64]:
    return np.asarray((_score(rows, label) - _true(rows, label)) ** 2)


def _calibration(rows: Rows, label: str) -> NDArray[np.float64]:
    return np.asarray(_score(rows, label) - _true(rows, label))


def _log_loss(rows: Rows, _: str) -> NDArray[np.float64]:
    """The loss of each row in nats; 0 stands for rows without a label, which nothing reads."""
    step = float(np.finfo(np.float64).eps)
    if rows.target is None or not rows.scores:
        raise UndefinedError("there are no labels or no scores")
    scores = dict(rows.scores)
    if len(scores) == 1 and len(rows.classes) == 2:
        ((label, own),) = scores.items()
        scores[next(name for name in rows.classes if name != label)] = 1 - own
    if set(scores) != set(rows.classes):
        raise UndefinedError("not every class has a score")
    table = np.clip(np.stack([scores[label] for label in rows.classes], axis=1), step, 1 - step)
    table = table / table.sum(axis=1, keepdims=True)
    place = {label: index for index, label in enumerate(rows.classes)}
    given = np.array([place.get(label, -1) for label in rows.target])
    return np.where(given < 0, 0.0, -np.log(table[np.arange(len(given)), given]))


NUMBERS: dict[str, Number] = {
    "accuracy": _accuracy(),
    **{
        name: _rate(name, rate, "favourable" if name == "selection_rate" else "positive")
        for name, rate in RATES.items()
    },
    "balanced_accuracy": _balanced(),
    "f1": _tabled("f1"),
    "matthews_corrcoef": _tabled("matthews_corrcoef"),
    "roc_auc": _auc(),
    "brier_score": _mean(_brier),
    "calibration_gap": _mean(_calibration),
    "log_loss": _mean(_log_loss, of=""),
    "mean_absolute_error": _mean(regression.absolute, of=""),
    "root_mean_squared_error": regression.root_mean_square(),
    "r2": regression.r_squared(),
}
"""By the id of the method that measures it."""


def shared_cells(method: str, old: Rows, new: Rows, label: str) -> tuple[float, float, float, float] | None:
    """Rows by what was counted before and now (both, before alone, now alone, neither) of a share of the same rows.

    None where the method's rate is no such share, or where weights or clusters make rows count unlike.
    """
    rate = RATES.get(COMPARED.get(method, method))
    if rate is None or not new.independent:
        return None
    (a, among_a), (b, among_b) = rate.masks(old, label), rate.masks(new, label)
    if not np.array_equal(among_a, among_b) or not among_a.any():
        return None
    counts = [float(np.count_nonzero(among_a & x & y)) for x, y in ((a, b), (a, ~b), (~a, b), (~a, ~b))]
    return counts[0], counts[1], counts[2], counts[3]

"""Prototypes made again: what both rules say of the test rows, how near they lie, how pure and steady examples are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.verify import limits, limits_rows, withheld
from xai_audit.verify.explained import prototype_cases, spread, supported
from xai_audit.verify.explained.asked import by
from xai_audit.verify.explained.kept import ContradictionError, LackingError
from xai_audit.verify.explained.piece import Made, Piece, shaped

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
CHANCE = "beyond always saying the most frequent prediction"
TWIN = "beyond the same network with permuted weights"


def prototypes(piece: Piece) -> Made:
    """Every part of prototypes."""
    rows = supported.asked(piece)
    makers = {
        "": _rule,
        "class_mean": _class_mean,
        "head": _head,
        "accuracy": _accuracy,
        "purity": _purity,
        "coverage": _coverage,
        "margin": _margin,
        "stability": _stability,
        "suspects": _suspects,
        "examples": prototype_cases.examples,
        "suspect_examples": prototype_cases.suspect_examples,
    }
    made = makers.get(piece.part, _covered_by)(piece, rows)
    if "observation" not in made:
        return made
    used = "all rows" if len(rows) == piece.rows.n else "the smallest sha256 of seed and row content"
    sampling = {"available": piece.rows.n, "used": len(rows), "how": used}
    common = supported.about(piece)
    return {"sampling": sampling, **made, "params": {**common, **made.get("params", {})}}


# ------------------------------------------------------------------------------------------------ fidelity
def _agrees(piece: Piece, rows: NDArray[np.int64]) -> Flags:
    """Where the nearest prototype's class is the model's prediction."""
    agree = supported.nearest(piece, "row_prototype", rows) == supported.decided(piece, rows)
    if not np.array_equal(shaped("row_agrees", piece.array("row_agrees", 1), len(rows)).astype(bool), agree):
        raise ContradictionError("array row_agrees is not what prototypes and predictions say")
    return np.asarray(agree)


def _rule(piece: Piece, rows: NDArray[np.int64]) -> Made:
    return _faithful(piece, rows, _agrees(piece, rows), 0)


def _class_mean(piece: Piece, rows: NDArray[np.int64]) -> Made:
    said = supported.classes(piece, "row_mean_class", len(rows))
    return _faithful(piece, rows, np.asarray(said == supported.decided(piece, rows)), 1)


def _faithful(piece: Piece, rows: NDArray[np.int64], event: Flags, place: int) -> Made:
    decided = supported.decided(piece, rows)
    estimate = supported.share(piece, event, rows)
    # What an audit of before kept of twins is nothing.
    if not piece.has("row_mean_class"):
        raise LackingError("this audit does not keep what the twins' prototypes say")
    controls = [supported.beyond(piece, CHANCE, event, supported.commonest(decided), rows)]
    if piece.has("twin_classes"):
        twins = supported.classes(piece, "twin_classes", int(piece.params["twins"]), 2, len(rows))[:, place]
        agreed = [np.asarray(one == decided) for one in twins]
        best = max(agreed, key=np.count_nonzero)
        controls.append(supported.beyond(piece, TWIN, event, best, rows))
    return {"observation": supported.scalar(estimate), "controls": controls}


def _head(piece: Piece, rows: NDArray[np.int64]) -> Made:
    if piece.evidence.status == "skipped":
        raise LackingError(f"skipped by the run: {piece.evidence.reason}")
    said, decided = supported.classes(piece, "head_class", len(rows)), supported.decided(piece, rows)
    agree = np.asarray(said == decided)
    made: Made = {
        "observation": supported.scalar(supported.share(piece, agree, rows)),
        "controls": [supported.beyond(piece, CHANCE, agree, supported.commonest(decided), rows)],
    }
    if piece.rows.has("target"):
        target = piece.rows.codes("target")[rows]
        if (target >= 0).any():
            share = supported.share(piece, np.asarray(said == target), rows, target >= 0)
            made["params"] = {"head_accuracy": share["value"]}
    return made


def _accuracy(piece: Piece, rows: NDArray[np.int64]) -> Made:
    target = piece.rows.codes("target")[rows] if piece.rows.has("target") else np.full(len(rows), -1)
    known = target >= 0
    if not known.any():
        return {"skipped": "it needs labels; the test rows compared have none"}
    rules = {
        "nearest prototype": supported.nearest(piece, "row_prototype", rows),
        "nearest class mean": supported.classes(piece, "row_mean_class", len(rows)),
        "the model": supported.decided(piece, rows),
    }
    points = [
        supported.point(piece, name, np.asarray(said == target), rows, known) for name, said in rules.items()
    ]
    series = [{"name": "accuracy", "points": points}]
    return {"observation": {"shape": "curve", "x": "rule", "y": "accuracy", "series": series}}


# ------------------------------------------------------------------------------------------------ the examples around
def _purity(piece: Piece, rows: NDArray[np.int64]) -> Made:
    del rows
    classes = supported.classes(piece, "prototype_class", -1)
    same = shaped("neighbour_same", piece.array("neighbour_same", 2), len(classes), -1).astype(bool)
    points = []
    for one in np.unique(classes):
        mine = same[classes == one]
        whose = np.repeat(np.arange(len(mine)), mine.shape[1])
        x, n = limits_rows.effective(mine.ravel().astype(float), None, whose)
        pairs = spread.rate(x, n, piece.levels[:1])
        points.append({"x": piece.classes[one], "estimate": spread.estimate(x / n, pairs, mine.size)})
    series = [{"name": "purity", "points": points}]
    return {"observation": {"shape": "curve", "x": "class", "y": "share", "series": series}}


def _covered(piece: Piece, rows: NDArray[np.int64]) -> tuple[Flags, float]:
    """Which rows lie as near to a prototype as held-out examples do, and how near that is."""
    held = piece.numbers("held_distance", 1)
    radius = float(np.quantile(held, float(piece.params["radius"]), method="inverted_cdf"))
    distance = shaped("row_distance", piece.numbers("row_distance", 1), len(rows))
    return distance <= radius, radius


def _coverage(piece: Piece, rows: NDArray[np.int64]) -> Made:
    if not piece.has("held_distance"):
        if _some_held(piece):
            raise LackingError("how far held-out examples lie is not kept")
        return {"skipped": "too few examples of each class to hold some out"}
    covered, radius = _covered(piece, rows)
    return {
        "observation": supported.scalar(supported.share(piece, covered, rows)),
        "params": {"radius_used": radius},
    }


def _some_held(piece: Piece) -> bool:
    """Whether one class has the five examples of which one is held out."""
    return bool((np.bincount(supported.support(piece)) >= 5).any())


def _margin(piece: Piece, rows: NDArray[np.int64]) -> Made:
    least = max(20, 2 * piece.min_cell)
    if len(rows) < least:
        return {"skipped": f"a quantile of {len(rows)} rows would be one row's own"}
    margins = shaped("row_margin", piece.numbers("row_margin", 1), len(rows))
    agree = _agrees(piece, rows)
    series = []
    for name, inside in (
        ("all rows", np.ones(len(rows), dtype=bool)),
        ("rows where the rule and the model agree", agree),
        ("rows where they differ", ~agree),
    ):
        if inside.sum() >= least:
            own = np.sort(margins[inside])
            series.append({"name": name, "points": [_quantile(own, at, piece.levels[0]) for at in QUANTILES]})
    return {"observation": {"shape": "curve", "x": "quantile of rows", "y": "distance", "series": series}}


def _quantile(ordered: Floats, at: float, level: float) -> dict[str, Any]:
    """A quantile with the ranks that a binomial count leaves it."""
    from scipy.stats import binom

    n = len(ordered)
    below = binom.cdf(np.arange(n + 1), n, at)
    low = int((below < (1 - level) / 2).sum()) - 1
    high = int((below < (1 + level) / 2).sum())
    value = float(np.quantile(ordered, at, method="inverted_cdf"))
    ends = float(ordered[low]) if low >= 0 else None, float(ordered[high]) if high < n else None
    return {"x": at, "estimate": spread.estimate(value, [ends], n)}


def _stability(piece: Piece, rows: NDArray[np.int64]) -> Made:
    """How many rows keep their nearest prototype under each change."""
    if piece.evidence.status == "skipped":
        raise LackingError(f"skipped by the run: {piece.evidence.reason}")
    classes = supported.classes(piece, "prototype_class", -1)
    before, decided = piece.whole("row_prototype", 1), supported.decided(piece, rows)
    own = supported.nearest(piece, "row_prototype", rows)
    series: dict[str, list[Any]] = {}
    for number, change in enumerate(piece.words("changes")):
        differs = shaped(f"changed_{number}", piece.array(f"changed_{number}", 1), len(rows)).astype(bool)
        after = shaped(f"prototype_{number}", piece.whole(f"prototype_{number}", 1), len(rows))
        if after.min(initial=0) < 0 or after.max(initial=0) >= len(classes):
            raise ContradictionError(f"array prototype_{number} names a prototype that there is not")
        events = {"nearest prototype stays": after == before, "its class stays": classes[after] == own}
        if piece.has(f"prediction_{number}"):
            said = supported.classes(piece, f"prediction_{number}", len(rows))
            events["the model's prediction stays"] = said == decided
        for what, event in events.items():
            series.setdefault(what, []).append(
                supported.point(piece, change, np.asarray(event), rows, differs)
            )
    lines = [{"name": what, "points": points} for what, points in series.items()]
    return {"observation": {"shape": "curve", "x": "change", "y": "share of rows", "series": lines}}


def _suspects(piece: Piece, rows: NDArray[np.int64]) -> Made:
    """How many examples lie nearer to another class than to their own."""
    del rows
    labels = supported.support(piece)
    value = shaped("example_value", piece.numbers("example_value", 1), len(labels))
    other = supported.classes(piece, "example_other", len(labels))
    suspect, n = value > 0.5, len(labels)
    order = np.argsort(-value, kind="stable")[: int(suspect.sum())]
    for name, expected in (("value", value), ("class", labels), ("other", other)):
        if not np.array_equal(piece.array(f"suspect_{name}", 1), expected[order]):
            raise ContradictionError(f"array suspect_{name} is not of the suspects")
    count = int(suspect.sum())
    by_class = {name: int((suspect & (labels == one)).sum()) for one, name in enumerate(piece.classes)}
    sampling = piece.evidence.sampling
    available = sampling.available if sampling is not None else n
    if available < n:
        raise ContradictionError(f"sampling.available is {available}; {n} examples were used")
    how = "all rows with a class" if n == available else "the smallest sha256 of seed and row content"
    return {
        "observation": supported.scalar(
            spread.estimate(count / n, spread.rate(count, n, piece.levels), n), "share of examples"
        ),
        "params": {"suspects": count, "suspects_by_class": by_class},
        "sampling": {"available": available, "used": n, "how": how},
    }


# ------------------------------------------------------------------------------------------------ by sensitive column
def _covered_by(piece: Piece, rows: NDArray[np.int64]) -> Made:
    """The share of rows that are covered in each group of a column, and the widest gap."""
    observation = piece.evidence.observation
    column = observation.by[0] if observation is not None and observation.shape == "groups" else ""
    if column not in by(piece.made):
        raise ContradictionError("observation is not by a sensitive column")
    covered, radius = _covered(piece, rows)
    grouping = next(one for one in piece.about["groupings"] if one["columns"] == [column])
    of = [piece.rows.words(f"group:{column}")[int(row)] for row in rows]
    labels = [str(label) for label in grouping["labels"]]
    codes = np.asarray([labels.index(one) for one in of])
    sizes = np.bincount(codes, minlength=len(labels)).tolist()
    reasons = _reasons(piece, column, labels, of, covered)
    groups: list[dict[str, Any]] = []
    able: dict[str, tuple[float, float]] = {}
    for place, label in enumerate(labels):
        missing = bool(grouping["missing"][place])
        group: dict[str, Any] = {"key": {column: label}, "missing": missing, "contrasts": {}, "n": None}
        if reasons[place]:
            groups.append({**group, "status": "suppressed", "reason": reasons[place]})
            continue
        inside = codes == place
        x, n = limits_rows.effective(covered[inside].astype(float), *supported.beside(piece, rows[inside]))
        enough = sizes[place] >= piece.min_n
        estimate = spread.estimate(x / n, spread.rate(x, n, piece.levels[:1]), sizes[place])
        groups.append(
            {
                **group,
                "n": sizes[place],
                "status": "measured" if enough else "insufficient",
                "reason": None if enough else f"n < {piece.min_n}",
                "estimate": estimate,
            }
        )
        if enough and not missing:
            able[label] = (x, n)
    x, n = limits_rows.effective(covered.astype(float), *supported.beside(piece, rows))
    overall = spread.estimate(x / n, spread.rate(x, n, piece.levels[:1]), len(rows))
    told = {"shape": "groups", "by": [column], "groups": groups, "overall": overall}
    return {
        "observation": {**told, "summary": _widest(piece, able, len(rows))},
        "params": {"radius_used": radius},
    }


def _reasons(
    piece: Piece, column: str, labels: list[str], of: list[Any], covered: NDArray[np.bool_]
) -> list[str]:
    """Why each group may not be shown, or ``""``: it is not elsewhere in the audit, or could be had from this table."""
    least, linked = piece.min_cell, piece.kept.withholding
    if linked is None:
        return withheld.apart(
            [{column: label} for label in labels], [of.count(label) for label in labels], least
        )
    own = withheld.by_outcome(column, of, [(str(one), None) for one in covered.tolist()], least)
    return [own.get(label, f"n < {least}") or linked.of({column: label}) for label in labels]


def _widest(piece: Piece, able: dict[str, tuple[float, float]], rows: int) -> dict[str, Any] | None:
    if len(able) < 2:
        return None
    names = list(able)
    rates = [x / n for x, n in able.values()]
    low = min(range(len(names)), key=lambda i: (rates[i], i))
    high = min((i for i in range(len(names)) if i != low), key=lambda i: (-rates[i], i))
    pairs = [limits.widest(list(able.values()), level) for level in piece.levels]
    return {
        "difference": spread.estimate(rates[high] - rates[low], pairs, rows),
        "ratio": None,
        "between": [names[low], names[high]],
        "pairs": len(able) * (len(able) - 1) // 2,
        "insufficient": 0,
    }

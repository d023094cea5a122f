"""Prototypes made again: what both rules say of the test rows, how near they lie, how pure and steady examples are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from xai_audit import digest
from xai_audit.verify import single_rows, spread
from xai_audit.verify.agreement import Stated
from xai_audit.verify.asked import by
from xai_audit.verify.kept import ContradictionError, LackingError
from xai_audit.verify.piece import Made, Piece, shaped

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
CHANCE = "beyond always saying the most frequent prediction"
TWIN = "beyond the same network with permuted weights"


def prototypes(piece: Piece) -> Made:
    """Every part of prototypes."""
    rows = asked(piece)
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
        "examples": _examples,
        "suspect_examples": _suspect_examples,
    }
    if piece.part in makers:
        made = makers[piece.part](piece, rows)
    else:
        made = _covered_by(piece, rows)
    if "observation" not in made:
        return made
    used = "all rows" if len(rows) == piece.rows.n else "the smallest sha256 of seed and row content"
    sampling = {"available": piece.rows.n, "used": len(rows), "how": used}
    common = _about(piece)
    return {"sampling": sampling, **made, "params": {**common, **made.get("params", {})}}


# ------------------------------------------------------------------------------------------------ rows and rules
def asked(piece: Piece) -> NDArray[np.int64]:
    """The test rows that are compared: those drawn, or of these the half that is no support; held to the digests."""
    rows, _ = piece.sampled()
    if piece.params.get("examples_from") == "test":
        rows = rows[[not _half(piece, int(row)) for row in rows]]
    elif "train" not in piece.about["data"]:
        raise ContradictionError("params.examples_from is train; there are no training rows")
    given = [bytes(one).hex() for one in piece.array("row_sha256", 2)]
    if given != [piece.rows.digests[int(row)] for row in rows]:
        raise ContradictionError("array row_sha256 does not name the rows that were drawn for this method")
    return rows


def _half(piece: Piece, row: int) -> bool:
    """Whether a test row supports rather than asks, where there are no training rows."""
    return int(digest.of_bytes(f"{piece.seed}:half:{piece.rows.seeds[row]}".encode()), 16) % 2 == 0


def _classes(piece: Piece, name: str, *shape: int) -> NDArray[np.int64]:
    found = shaped(name, piece.whole(name, len(shape)), *shape)
    if found.size and not (0 <= found.min() and found.max() < len(piece.classes)):
        raise ContradictionError(f"array {name} names a class that there is not")
    return np.asarray(found, dtype=np.int64)


def _nearest(piece: Piece, name: str, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The class of the prototype each row is nearest to."""
    classes = _classes(piece, "prototype_class", -1)
    place = shaped(name, piece.whole(name, 1), len(rows))
    if place.size and not (0 <= place.min() and place.max() < len(classes)):
        raise ContradictionError(f"array {name} names a prototype that there is not")
    return np.asarray(classes[place])


def _about(piece: Piece) -> dict[str, Any]:
    """What every part says of the examples."""
    classes = _classes(piece, "prototype_class", -1)
    support = _support(piece)
    counts = {piece.classes[one]: int((classes == one).sum()) for one in np.unique(classes)}
    found: dict[str, Any] = {"prototypes": counts, "examples": len(support)}
    if piece.has("held_distance"):
        found["examples_held_out"] = len(piece.array("held_distance", 1))
    return found


def _support(piece: Piece) -> NDArray[np.int64]:
    """The class of each example, by labels of the test rows where those are the examples."""
    labels = _classes(piece, "example_class", -1)
    if piece.params.get("examples_from") == "test":
        name = "target" if piece.params.get("examples_classed_by") == "labels" else "prediction"
        codes = piece.rows.codes(name)
        usable = [row for row in range(piece.rows.n) if _half(piece, row) and codes[row] >= 0]
        rows = sorted(piece.rows.first(usable, f"{piece.seed}:support")[: piece.params.get("support")])
        if not np.array_equal(labels, codes[rows]):
            raise ContradictionError("array example_class is not of the rows that support")
    return labels


# ------------------------------------------------------------------------------------------------ shares
def _extra(piece: Piece, rows: NDArray[np.int64]) -> tuple[Any, Any]:
    return piece.rows.extra("weight", rows), piece.rows.extra("cluster", rows)


def _share(piece: Piece, event: Flags, rows: NDArray[np.int64], among: Flags | None = None) -> dict[str, Any]:
    """A share of some rows with its interval; weights and clusters count."""
    inside = np.ones(len(event), dtype=bool) if among is None else among
    x, n = spread.effective(event[inside].astype(float), *_extra(piece, rows[inside]))
    return spread.estimate(x / n, spread.wilson(x, n, piece.levels), int(inside.sum()))


def _point(
    piece: Piece, x: Any, event: Flags, rows: NDArray[np.int64], among: Flags | None = None
) -> dict[str, Any]:
    return {"x": x, "estimate": {**_share(piece, event, rows, among), "limits": None}}


def _beyond(piece: Piece, name: str, event: Flags, null: Flags, rows: NDArray[np.int64]) -> dict[str, Any]:
    gap = event.astype(float) - null.astype(float)
    value, pairs = spread.clustered(gap, *_extra(piece, rows), piece.levels[:1])
    estimate = spread.estimate(value, pairs, len(event))
    passed = estimate["low"] is not None and estimate["low"] > 0
    return {"name": name, "expectation": "positive", "estimate": estimate, "passed": passed, "edit": False}


def _scalar(estimate: dict[str, Any], unit: str = "share of test rows") -> dict[str, Any]:
    return {"shape": "scalar", "estimate": estimate, "unit": unit}


def _decided(piece: Piece, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return piece.rows.codes("prediction")[rows]


def _commonest(decided: NDArray[np.int64]) -> Flags:
    labels, counts = np.unique(decided, return_counts=True)
    return np.asarray(decided == labels[int(np.argmax(counts))])


# ------------------------------------------------------------------------------------------------ fidelity
def _agrees(piece: Piece, rows: NDArray[np.int64]) -> Flags:
    """Where the nearest prototype's class is the model's prediction."""
    agree = _nearest(piece, "row_prototype", rows) == _decided(piece, rows)
    if not np.array_equal(shaped("row_agrees", piece.array("row_agrees", 1), len(rows)).astype(bool), agree):
        raise ContradictionError("array row_agrees is not what prototypes and predictions say")
    return np.asarray(agree)


def _rule(piece: Piece, rows: NDArray[np.int64]) -> Made:
    return _faithful(piece, rows, _agrees(piece, rows), 0)


def _class_mean(piece: Piece, rows: NDArray[np.int64]) -> Made:
    said = _classes(piece, "row_mean_class", len(rows))
    return _faithful(piece, rows, np.asarray(said == _decided(piece, rows)), 1)


def _faithful(piece: Piece, rows: NDArray[np.int64], event: Flags, place: int) -> Made:
    decided = _decided(piece, rows)
    estimate = _share(piece, event, rows)
    # What an audit of before kept of twins is nothing.
    if not piece.has("row_mean_class"):
        raise LackingError("this audit does not keep what the twins' prototypes say")
    controls = [_beyond(piece, CHANCE, event, _commonest(decided), rows)]
    if piece.has("twin_classes"):
        twins = _classes(piece, "twin_classes", int(piece.params["twins"]), 2, len(rows))[:, place]
        agreed = [np.asarray(one == decided) for one in twins]
        best = max(agreed, key=np.count_nonzero)
        controls.append(_beyond(piece, TWIN, event, best, rows))
    return {"observation": _scalar(estimate), "controls": controls}


def _head(piece: Piece, rows: NDArray[np.int64]) -> Made:
    if piece.evidence.status == "skipped":
        raise LackingError(f"skipped by the run: {piece.evidence.reason}")
    said, decided = _classes(piece, "head_class", len(rows)), _decided(piece, rows)
    agree = np.asarray(said == decided)
    made: Made = {
        "observation": _scalar(_share(piece, agree, rows)),
        "controls": [_beyond(piece, CHANCE, agree, _commonest(decided), rows)],
    }
    if piece.rows.has("target"):
        target = piece.rows.codes("target")[rows]
        if (target >= 0).any():
            share = _share(piece, np.asarray(said == target), rows, target >= 0)
            made["params"] = {"head_accuracy": share["value"]}
    return made


def _accuracy(piece: Piece, rows: NDArray[np.int64]) -> Made:
    target = piece.rows.codes("target")[rows] if piece.rows.has("target") else np.full(len(rows), -1)
    known = target >= 0
    if not known.any():
        return {"skipped": "it needs labels; the test rows compared have none"}
    rules = {
        "nearest prototype": _nearest(piece, "row_prototype", rows),
        "nearest class mean": _classes(piece, "row_mean_class", len(rows)),
        "the model": _decided(piece, rows),
    }
    points = [_point(piece, name, np.asarray(said == target), rows, known) for name, said in rules.items()]
    series = [{"name": "accuracy", "points": points}]
    return {"observation": {"shape": "curve", "x": "rule", "y": "accuracy", "series": series}}


# ------------------------------------------------------------------------------------------------ the examples around
def _purity(piece: Piece, rows: NDArray[np.int64]) -> Made:
    del rows
    classes = _classes(piece, "prototype_class", -1)
    same = shaped("neighbour_same", piece.array("neighbour_same", 2), len(classes), -1).astype(bool)
    points = []
    for one in np.unique(classes):
        mine = same[classes == one]
        whose = np.repeat(np.arange(len(mine)), mine.shape[1]).tolist()
        x, n = spread.effective(mine.ravel().astype(float), None, whose)
        pairs = spread.wilson(x, n, piece.levels[:1])
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
    if piece.evidence.status == "skipped":
        if piece.params.get("examples_held_out", 0) or _some_held(piece):
            raise LackingError(f"skipped by the run: {piece.evidence.reason}")
        return {"skipped": "too few examples of each class to hold some out"}
    covered, radius = _covered(piece, rows)
    return {"observation": _scalar(_share(piece, covered, rows)), "params": {"radius_used": radius}}


def _some_held(piece: Piece) -> bool:
    """Whether one class has the five examples of which one is held out."""
    return bool((np.bincount(_support(piece)) >= 5).any())


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
    n = len(ordered)
    below = stats.binom.cdf(np.arange(n + 1), n, at)
    low = int((below < (1 - level) / 2).sum()) - 1
    high = int((below < (1 + level) / 2).sum())
    value = float(np.quantile(ordered, at, method="inverted_cdf"))
    ends = float(ordered[low]) if low >= 0 else None, float(ordered[high]) if high < n else None
    return {"x": at, "estimate": spread.estimate(value, [ends], n)}


def _stability(piece: Piece, rows: NDArray[np.int64]) -> Made:
    """How many rows keep their nearest prototype under each change."""
    if piece.evidence.status == "skipped":
        raise LackingError(f"skipped by the run: {piece.evidence.reason}")
    classes = _classes(piece, "prototype_class", -1)
    before, decided = piece.whole("row_prototype", 1), _decided(piece, rows)
    own = _nearest(piece, "row_prototype", rows)
    series: dict[str, list[Any]] = {}
    for number, change in enumerate(piece.words("changes")):
        differs = shaped(f"changed_{number}", piece.array(f"changed_{number}", 1), len(rows)).astype(bool)
        after = shaped(f"prototype_{number}", piece.whole(f"prototype_{number}", 1), len(rows))
        if after.min(initial=0) < 0 or after.max(initial=0) >= len(classes):
            raise ContradictionError(f"array prototype_{number} names a prototype that there is not")
        events = {"nearest prototype stays": after == before, "its class stays": classes[after] == own}
        if piece.has(f"prediction_{number}"):
            said = _classes(piece, f"prediction_{number}", len(rows))
            events["the model's prediction stays"] = said == decided
        for what, event in events.items():
            series.setdefault(what, []).append(_point(piece, change, np.asarray(event), rows, differs))
    lines = [{"name": what, "points": points} for what, points in series.items()]
    return {"observation": {"shape": "curve", "x": "change", "y": "share of rows", "series": lines}}


def _suspects(piece: Piece, rows: NDArray[np.int64]) -> Made:
    """How many examples lie nearer to another class than to their own."""
    del rows
    labels = _support(piece)
    value = shaped("example_value", piece.numbers("example_value", 1), len(labels))
    other = _classes(piece, "example_other", len(labels))
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
        "observation": _scalar(
            spread.estimate(count / n, spread.wilson(count, n, piece.levels), n), "share of examples"
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
    small = [place for place, size in enumerate(sizes) if size < piece.min_cell]
    reasons = {place: f"n < {piece.min_cell}" for place in small}
    shown = sorted((size, place) for place, size in enumerate(sizes) if place not in reasons)
    if len(small) == 1 and shown:
        reasons[shown[0][1]] = "withheld"
    groups: list[dict[str, Any]] = []
    able: dict[str, tuple[float, float]] = {}
    for place, label in enumerate(labels):
        missing = bool(grouping["missing"][place])
        group: dict[str, Any] = {"key": {column: label}, "missing": missing, "contrasts": {}, "n": None}
        if place in reasons:
            groups.append({**group, "status": "suppressed", "reason": reasons[place]})
            continue
        inside = codes == place
        x, n = spread.effective(covered[inside].astype(float), *_extra(piece, rows[inside]))
        enough = sizes[place] >= piece.min_n
        estimate = spread.estimate(x / n, spread.wilson(x, n, piece.levels[:1]), sizes[place])
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
    x, n = spread.effective(covered.astype(float), *_extra(piece, rows))
    overall = spread.estimate(x / n, spread.wilson(x, n, piece.levels[:1]), len(rows))
    told = {"shape": "groups", "by": [column], "groups": groups, "overall": overall}
    return {
        "observation": {**told, "summary": _widest(piece, able, len(rows))},
        "params": {"radius_used": radius},
    }


def _widest(piece: Piece, able: dict[str, tuple[float, float]], rows: int) -> dict[str, Any] | None:
    if len(able) < 2:
        return None
    names = list(able)
    rates = [x / n for x, n in able.values()]
    low = min(range(len(names)), key=lambda i: (rates[i], i))
    high = min((i for i in range(len(names)) if i != low), key=lambda i: (-rates[i], i))
    pairs = spread.widest([x for x, _ in able.values()], [n for _, n in able.values()], piece.levels)
    return {
        "difference": spread.estimate(rates[high] - rates[low], pairs, rows),
        "ratio": None,
        "between": [names[low], names[high]],
        "pairs": len(able) * (len(able) - 1) // 2,
        "insufficient": 0,
    }


# ------------------------------------------------------------------------------------------------ cases
def _examples(piece: Piece, rows: NDArray[np.int64]) -> Made:
    """Each class with its prototypes and its counterexamples, then test rows with their neighbours."""
    queries = [(why, place) for why, place in _shown(piece, rows)]
    classes = np.unique(_classes(piece, "prototype_class", -1)).tolist()
    why = (
        "prototypes of the class, nearest its mean first; beside them examples labelled otherwise that lie most among "
        "its own"
    )
    heads: list[dict[str, Any]] = [
        {"why": why, "class": piece.classes[one], "query": None, "score": None} for one in classes
    ]
    decided = _decided(piece, rows)
    for because, place in queries:
        row, one = int(rows[place]), int(decided[place])
        target = int(piece.rows.codes("target")[row]) if piece.rows.has("target") else -1
        label = piece.classes[target] if target >= 0 else None
        query = {**_content(piece), "label": label, "predicted": piece.classes[one], "distance": None}
        heads.append(
            {"why": because, "class": piece.classes[one], "query": query, "score": _score(piece, row, one)}
        )
    return {"observation": _cases(piece, heads, [-1] * len(classes) + [place for _, place in queries])}


def _suspect_examples(piece: Piece, rows: NDArray[np.int64]) -> Made:
    """For each label, the examples that lie most among another class."""
    del rows
    labels = _support(piece)
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
        wrong = np.flatnonzero((truth >= 0) & (truth != _decided(piece, rows)))
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
    labels = _support(piece)
    if place.size and not (0 <= place.min() and place.max() < len(labels)):
        raise ContradictionError("array case_place names an example that there is not")
    known = piece.params.get("examples_classed_by") == "labels"
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

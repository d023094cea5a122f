"""Concept claims made again: the effect, the test over random sets drawn anew, controls, specifications, the table."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.evidence import encoded
from xai_audit.verify import limits
from xai_audit.verify.explained import concept_sets, spread
from xai_audit.verify.explained.agreement import Among
from xai_audit.verify.explained.kept import ContradictionError, LackingError
from xai_audit.verify.explained.piece import Made, Piece, shaped

Floats = NDArray[np.float64]
_SAME = "the concept's examples and the random ones have the same mean here"


def tcav(piece: Piece) -> Made:
    """The table of effects, or one concept at one site for one class."""
    if not piece.part:
        return _table(piece)
    if piece.evidence.status == "skipped":
        return _refused(piece)
    return _claim(piece)


# ------------------------------------------------------------------------------------------------ the table
def _table(piece: Piece) -> Made:
    published = piece.evidence.observation
    if published is None or published.shape != "matrix":
        raise ContradictionError("observation is no table of effects")
    concepts = [str(one["name"]) for one in piece.params["concepts"]]
    labels = [str(label) for label in piece.params["classes"]]
    sites = list(published.columns)
    wanted = list(dict.fromkeys(piece.params["sites"]))
    if len(sites) != len(wanted) or any(label not in piece.classes for label in labels):
        raise ContradictionError("observation has other sites or classes than were asked for")
    given = concept_sets.spec_of(piece).get("classes")
    codes = [piece.classes.index(label) for label in labels]
    default = [int(piece.about["positive"])] if piece.binary else list(range(len(piece.classes)))
    asked = default if given is None else [piece.classes.index(str(one)) for one in given]
    if codes != list(dict.fromkeys(asked)):
        raise ContradictionError("params.classes are other classes than were asked for")
    values = []
    for concept in concepts:
        for label in labels:
            claims = [piece.sibling(encoded(f"{concept}@{site}@{label}")) for site in sites]
            values.append([None if one is None else _effect(one) for one in claims])
    alone = len(labels) == 1
    return {
        "observation": {
            "shape": "matrix",
            "rows": [name if alone else f"{name}: {label}" for name in concepts for label in labels],
            "columns": sites,
            "values": values,
            "row_title": "concept" if alone else "concept: class",
            "column_title": "site",
        },
        "params": {"classes": labels, "family": len(concepts) * len(labels) * len(sites)},
    }


def _effect(claim: Any) -> float | None:
    observation = claim.observation
    return None if observation is None or observation.shape != "scalar" else float(observation.estimate.value)


# ------------------------------------------------------------------------------------------------ one claim
def _claim(piece: Piece) -> Made:
    params = piece.params
    concept, site, label = (str(params.get(name)) for name in ("concept", "site", "class"))
    if piece.part != encoded(f"{concept}@{site}@{label}"):
        raise ContradictionError("params name another concept, site or class than the id")
    whole = piece.sibling("")
    if whole is None:
        raise ContradictionError("the table of the method's effects is not there")
    family, tested = concept_sets.family_of(Piece(whole, piece.made, piece.kept))
    of = piece.classes.index(label)
    keys = list(zip(family.sites, family.classes, strict=True))
    if concept not in family.members or (site, of) not in keys:
        raise ContradictionError("this concept was not tested at this site for this class")
    key, (own, pool) = keys.index((site, of)), family.members[concept]
    each, held = piece.numbers("effect_by_input", 1), piece.numbers("held_by_input", 1)
    n = len(shaped("held_by_input", held, len(each)))
    influences = [
        shaped(f"{name}_influences", piece.numbers(f"{name}_influences", 1), len(part))
        for name, part in (("example", own), ("random", pool))
    ]
    value = spread.centre(each)
    error = math.sqrt(float(np.var(each, ddof=1)) / n + sum(map(concept_sets.of_mean, influences)))
    degrees = min(len(own), n) - 1
    random = piece.numbers("random_direction_effects", 1)
    pairs = spread.cut(spread.around(value, error, degrees, piece.levels), -1.0, 1.0)
    t, p, over = tested[concept, key]
    controls = _controls(piece, value, error, degrees, n, random, min(len(own), len(pool) // 2))
    # Standard errors of an effect that is found with probability 0.8 at a two-sided 0.05.
    found_from = (limits.z(0.95) + limits.z(0.6)) * error
    concepts = len(concept_sets.spec_of(piece)["concepts"])
    words = f"{concepts} concept{'' if concepts == 1 else 's'}"
    random_slot = {name: controls[2]["estimate"][name] for name in ("value", "low", "high", "n")}
    sentence = (
        f"an effect of {found_from:.3f} would be found with probability 0.8 "
        f"(n = {len(own)} examples, {n} inputs)"
    )
    return {
        "observation": {
            "shape": "scalar",
            "estimate": spread.estimate(value, pairs, n),
            "unit": "probability" if piece.about["probabilities"] else "score",
        },
        "controls": controls,
        "inference": {
            "p": p,
            "adjusted": max(over, p),
            "method": "permutation over random sets, max-statistic",
            "family": words if len(keys) == 1 else f"{words} x {len(keys)} pairs of site and class",
            "m": concepts * len(keys),
        },
        "robustness": _robust(piece, family, key, concept, value),
        "limits": [Among(sentence)],
        "sampling": {
            "available": piece.rows.n,
            "used": n,
            "how": "test rows whose content is no example's, the smallest digests of seed and content",
        },
        "params": {
            **_slots(piece, min(len(own), len(pool) // 2)),
            "concept": concept,
            "site": site,
            "class": label,
            "moved_from": spread.centre(held),
            "random_direction": random_slot,
            "examples": len(own),
            "random_examples": len(pool),
            "random_sets": family.sets,
            "n_inputs": n,
            "n_class_inputs": len(piece.array("rising_by_input", 1)),
            "t": t,
            "p_min": 1 / (family.sets + 1),
            "detectable": found_from,
        },
    }


def _controls(
    piece: Piece, value: float, error: float, degrees: int, inputs: int, random: Floats, sets_of: int
) -> list[dict[str, Any]]:
    accuracy, null = (
        spread.centre(piece.numbers(name, 1)) for name in ("accuracy_by_set", "null_accuracy_by_set")
    )
    above = [
        (None if low is None else low - null, None if high is None else high - null)
        for low, high in spread.rate(accuracy * sets_of, sets_of, piece.levels)
    ]
    square = math.sqrt(float(np.mean(random**2)))
    far = [spread.student(level, len(random)) * square for level in piece.levels]
    beyond = abs(value) - spread.student(0.95, len(random)) * square
    middle = spread.centre(random)
    made = [
        (
            "held-out CAV accuracy above its null",
            "positive",
            spread.estimate(accuracy - null, above, sets_of),
            False,
        ),
        (
            "effect of the concept edit beyond random directions",
            "positive",
            spread.estimate(beyond, spread.around(beyond, error, degrees, piece.levels), inputs),
            True,
        ),
        (
            "random directions of equal length",
            "null",
            spread.estimate(middle, [(middle - one, middle + one) for one in far], len(random)),
            True,
        ),
    ]
    return [
        {
            "name": name,
            "expectation": expectation,
            "estimate": estimate,
            "passed": estimate["low"] is not None
            and (
                estimate["low"] > 0 if expectation == "positive" else estimate["low"] <= 0 <= estimate["high"]
            ),
            "edit": edit,
        }
        for name, expectation, estimate, edit in made
    ]


def _slots(piece: Piece, sets_of: int) -> dict[str, Any]:
    """Sign score, cosine and accuracy with their nulls, as ``params`` hold them."""
    sets = int(concept_sets.spec_of(piece)["random_sets"])
    by_set = {
        name: shaped(name, piece.numbers(name, 1), sets)
        for name in (
            "accuracy_by_set",
            "null_accuracy_by_set",
            "agreement_by_set",
            "sign_by_set",
            "null_sign_by_set",
        )
    }
    rising = piece.numbers("rising_by_input", 1)
    cosines = shaped("cosine_by_input", piece.numbers("cosine_by_input", 1), len(rising))
    sign = spread.mean(rising, piece.levels[:1], 0.0, 1.0)
    if rising.size and abs(spread.centre(by_set["sign_by_set"]) - sign["value"]) > 1e-9:
        raise ContradictionError("array sign_by_set has another mean than rising_by_input")
    cosine = spread.mean(cosines, piece.levels[:1], -1.0, 1.0)
    accuracy = spread.centre(by_set["accuracy_by_set"])
    low, high = spread.rate(accuracy * sets_of, sets_of, piece.levels[:1])[0]
    return {
        "sign_score": _slot(sign),
        "sign_score_over_sets": list(_middle(by_set["sign_by_set"])),
        "sign_score_null": _range(by_set["null_sign_by_set"]),
        "mean_cosine": _slot(cosine),
        "cav_accuracy": {"value": accuracy, "low": low, "high": high, "n": sets_of},
        "cav_accuracy_null": _range(by_set["null_accuracy_by_set"]),
        "cav_agreement": spread.centre(by_set["agreement_by_set"]),
    }


def _slot(found: dict[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in ("value", "low", "high", "n")}


def _range(values: Floats) -> dict[str, Any]:
    low, high = _middle(values)
    return {"value": spread.centre(values), "low": low, "high": high, "n": len(values)}


def _middle(values: Floats) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _robust(
    piece: Piece, family: concept_sets.Family, key: int, concept: str, value: float
) -> dict[str, Any]:
    """How many of seven specifications agree: halves of examples and inputs, another output, two estimators."""
    own, pool = family.members[concept]
    side = math.copysign(1.0, value) if value else 0.0
    even, odd, output = family.slopes[key].astype(np.float64)
    whole = family.score(key)
    tries = [(own[::2], whole), (own[1::2], whole), (own, even), (own, odd), (own, output)]
    site, of = family.sites[key], family.classes[key]
    agreeing = 0
    for number, (part, values) in enumerate(tries):
        order = np.concatenate([part, pool])
        draw = family.drawn("variant", concept, site, str(of), str(number))
        found = concept_sets.welch(values[order], concept_sets.sets(len(part), len(order), family.sets, draw))
        agreeing += bool(
            concept_sets.share(float(found[0]), np.abs(found[1:])) <= 0.05 and np.sign(found[0]) == side
        )
    for name in ("rising_by_input", "other_rising_by_input"):
        told = spread.mean(piece.numbers(name, 1), piece.levels[:1])
        low, high = told["low"], told["high"]
        agreeing += bool(
            (side > 0 and low is not None and low > 0.5) or (side < 0 and high is not None and high < 0.5)
        )
    count = len(tries) + 2
    return {"specifications": count, "agreeing": agreeing, "share": agreeing / count}


# ------------------------------------------------------------------------------------------------ what was not scored
def _refused(piece: Piece) -> Made:
    """Why a concept was not scored: its vectors tell nothing apart, which the table's arrays show."""
    whole = piece.sibling("")
    if whole is None:
        raise ContradictionError("the table of the method's effects is not there")
    table = Piece(whole, piece.made, piece.kept)
    names = table.words("tested")
    sites = list(getattr(whole.observation, "columns", ()))
    for number, concept in enumerate(names):
        for row, site in enumerate(sites):
            labels = [
                label
                for label in whole.params["classes"]
                if piece.part == encoded(f"{concept}@{site}@{label}")
            ]
            if not labels:
                continue
            keys = list(zip(table.words("slope_site"), table.whole("slope_class", 1).tolist(), strict=True))
            if (site, piece.classes.index(labels[0])) not in keys:
                raise LackingError("whether there was no score at this site for this class, its network says")
            shape = (len(sites), len(names))
            accuracy = float(shaped("accuracy", table.numbers("accuracy", 2), *shape)[row, number])
            null = float(shaped("null_accuracy", table.numbers("null_accuracy", 2), *shape)[row, number])
            own, pool = (concept_sets.by_concept(table, name, len(names))[number] for name in ("own", "pool"))
            n = min(len(own), len(pool) // 2)
            low, high = spread.rate(accuracy * n, n, piece.levels[:1])[0]
            assert low is not None
            assert high is not None
            if low > null:
                if piece.evidence.reason == _SAME:
                    raise LackingError("whether two means are the same, the activations say")
                return {}
            return {
                "skipped": f"its vectors' held-out accuracy is {accuracy:.2f} [{low:.2f}, {high:.2f}] (n = {n}), not "
                f"above that of random sets, {null:.2f}: a vector that separates nothing is not scored"
            }
    raise LackingError(f"skipped by the run: {piece.evidence.reason}; what it counted is not kept")

"""Probes and searches for units made again: areas from scores, effects from answers, the test from every unit's ranks.

Units are chosen, probes fitted and rows permuted again by the run's own seeds, from what every unit said in every row. What
the network answers with units held is as the run kept it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.evidence import encoded
from xai_audit.verify import limits_roc
from xai_audit.verify.explained import spread, triggers
from xai_audit.verify.explained.agreement import Beside, Open, Stated
from xai_audit.verify.explained.asked import site_of
from xai_audit.verify.explained.held import Held
from xai_audit.verify.explained.kept import ContradictionError, LackingError
from xai_audit.verify.explained.permuted import MANY, Family, doubled, family_of, inference
from xai_audit.verify.explained.piece import Made, Piece, shaped
from xai_audit.verify.explained.populations import HOLDS, OLD, Population, population_of
from xai_audit.verify.explained.probes import MANY as MANY_ACTIVATIONS
from xai_audit.verify.explained.probes import Probes

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
UNSEEN = "why it was skipped is seen in the rows alone"


def sparse_probing(piece: Piece) -> Made:
    """The table of areas, one claim, or one curve over numbers of units."""
    if not piece.part:
        return _table(piece)
    if piece.evidence.status == "skipped":
        return _not_probed(piece)
    name, site = _told(piece)
    if piece.part == encoded(f"{name}@{site}@k"):
        return _curve(piece, name, site)
    if piece.part != encoded(f"{name}@{site}"):
        raise ContradictionError("params.predicate and params.site are not the id's")
    return _claim(piece, name, site)


def neuron_search(piece: Piece) -> Made:
    """A ranking of units, a claim on a trigger, or a table of edits."""
    names = [encoded(str(one["name"])) for one in piece.params.get("predicates") or ()]
    if piece.part not in names:
        return triggers.trigger(piece)
    if piece.evidence.status == "skipped":
        raise LackingError(UNSEEN)
    return _ranking(piece)


def _told(piece: Piece) -> tuple[str, str]:
    return str(piece.params["predicate"]), str(piece.params["site"])


def _predicate(piece: Piece, name: str) -> dict[str, Any]:
    found = [one for one in piece.params["predicates"] if one["name"] == name]
    if len(found) != 1:
        raise ContradictionError(f"the spec names no predicate {name!r}")
    return dict(found[0])


def _of_rows(piece: Piece, name: str) -> Made:
    """Which rows a predicate was asked of, and what ``sampling`` says of them."""
    asked = _predicate(piece, name)
    told: Any = name
    if asked.get("where") is not None:
        sampling, source = piece.sampled()[1], "test rows"
        population = population_of(piece, name)
        if population is not None and name not in population.seen:
            told = Beside(name, Stated(HOLDS))
    else:
        sampling, source = None, f"{asked.get('positive')} against {asked.get('negative')}"
    if population_of(piece, name) is None:
        told = Beside(name, Open(OLD))
    return {"sampling": sampling, "params": {"predicate": told, "rows_from": source}}


# ------------------------------------------------------------------------------------------------ areas
def area(holds: Floats, others: Floats, levels: Sequence[float]) -> tuple[float, list[spread.Pair]]:
    """The area under the curve with its limits."""
    if not len(holds) or not len(others) or not (np.isfinite(holds).all() and np.isfinite(others).all()):
        raise ContradictionError("scores of both sides are asked, and all of them numbers")
    value, at = limits_roc.auc((holds, others))
    return value, [at(level) for level in levels]


def _above_half(value: float, limits: Sequence[spread.Pair], n: int) -> dict[str, Any]:
    moved = [tuple(None if one is None else one - 0.5 for one in pair) for pair in limits]
    return spread.estimate(value - 0.5, moved, n)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------ probes
def _claim(piece: Piece, name: str, site: str) -> Made:
    family = family_of(piece)
    holds, others = piece.numbers("holds", 1), piece.numbers("others", 1)
    units = piece.whole("units", 1).tolist()
    higher = shaped("higher", piece.array("higher", 1).astype(bool), len(units)).tolist()
    value, limits = area(holds, others, piece.levels)
    n = len(holds) + len(others)
    held = Held(piece, name, piece.numbers("changes", 1), (len(holds), len(others)))
    rows = _of_rows(piece, name)
    first = piece.params["k"][0]
    if len(units) != first and not (
        family is not None and len(units) == min(piece.params["k"]) and _varying(family, name, site) < first
    ):
        raise ContradictionError(f"array units names {len(units)} units; {first} are claimed first")
    # A single unit's weight has the sign of its ranks; of several, one may correct another.
    if family is not None and len(units) == 1 and higher != [family.units(name, site)[units[0]] > 0]:
        raise ContradictionError("array higher is not on the side of the unit's ranks")
    robustness = _variants(piece, held, len(holds))
    random: Any = spread.centre(piece.numbers("random_areas", 1))
    probes = _probes(piece, name, site)
    if probes is not None:
        chosen = np.asarray(units, dtype=np.int64)
        weights = probes.fitted(probes.of(chosen), holds, others)
        if (weights > 0).tolist() != higher:
            raise ContradictionError("array higher is not of the signs of the probe's weights")
        if probes.every is None:
            random = Beside(random, Open(MANY_ACTIVATIONS))
            _as_ranked(family, name, site, units, piece.numbers("values", 2), population_of(piece, name))
        else:
            probes.chosen(chosen)
            probes.random(len(units), piece.numbers("random_areas", 1))
            probes.variants(len(units), piece.numbers("variant_scores", 2))
    return {
        "observation": {
            "shape": "scalar",
            "estimate": spread.estimate(value, limits, n),
            "unit": "area under the curve",
        },
        "controls": [
            spread.control("held-out area above one half", "positive", _above_half(value, limits, n)),
            *held.controls(),
        ],
        "inference": inference(family, name, site, units),
        "robustness": robustness,
        "sampling": rows["sampling"],
        "params": {
            "site": site,
            "units": units,
            "higher": higher,
            "claimed_k": len(units),
            "random_area": random,
            **rows["params"],
            **held.told(piece),
        },
    }


def _probes(piece: Piece, name: str, site: str) -> Probes | None:
    population = population_of(piece, name)
    return None if population is None else Probes(piece, population, name, site)


def _as_ranked(
    family: Family | None,
    name: str,
    site: str,
    units: list[int],
    values: Floats,
    population: Population | None,
) -> None:
    """ContradictionError where what units said on the rows that find has other ranks than those kept of them."""
    if family is None:
        return
    number, _, start = family.places[name, site]
    own = doubled(values.T if population is None else values[:, population.finds].T)
    for place, unit in enumerate(units):
        if not np.array_equal(family.ranks[number][start + unit], own[place]):
            raise ContradictionError(f"array values of {site}:{unit} has other ranks than those kept of it")


def _varying(family: Family, name: str, site: str) -> int:
    """Units of a site that are not the same in every row that finds: the others have a z of exactly 0."""
    number, _, start = family.places[name, site]
    return int((np.abs(family.z[number][:, start : start + family.widths[site]]) > 0).any(axis=0).sum())


def _variants(piece: Piece, held: Held, holds: int) -> dict[str, Any]:
    scores = piece.numbers("variant_scores", 2)
    changes = shaped("variant_changes", piece.numbers("variant_changes", 2), len(scores), len(held.changes))
    agreeing = 0
    for own, moved in zip(scores, changes, strict=True):
        if np.isnan(own).all():
            continue
        low = area(own[:holds], own[holds:], piece.levels[:1])[1][0][0]
        value = held.of(moved)[0]
        agreeing += low is not None and low > 0.5 and value * held.value > 0 and abs(value) > held.reach
    return {"specifications": len(scores), "agreeing": agreeing, "share": agreeing / len(scores)}


def _not_probed(piece: Piece) -> Made:
    """A site of which too few units vary; any other reason lies in the rows."""
    family = family_of(piece)
    for name, site in {} if family is None else family.places:
        if piece.part == encoded(f"{name}@{site}"):
            assert family is not None
            varying, least = _varying(family, name, site), min(piece.params["k"])
            return {"skipped": f"{varying} units of {site} vary over these rows, and {least} are asked"}
    raise LackingError(UNSEEN)


def _curve(piece: Piece, name: str, site: str) -> Made:
    own, random, k = [], [], sorted(piece.params["k"])
    probes = _probes(piece, name, site)
    for one in k:
        if f"holds_{one}" not in piece.evidence.arrays:
            break
        holds, others = piece.numbers(f"holds_{one}", 1), piece.numbers(f"others_{one}", 1)
        value, limits = area(holds, others, piece.levels)
        own.append({"x": one, "estimate": spread.estimate(value, limits, len(holds) + len(others))})
        areas = piece.numbers(f"random_areas_{one}", 1)
        if probes is not None and probes.every is not None:
            units = shaped(f"units_{one}", piece.whole(f"units_{one}", 1), one)
            probes.chosen(units)
            probes.fitted(probes.of(units), holds, others)
            probes.random(one, areas, ordered=True)
        ends = [(float(areas.min()), float(areas.max()))] * len(piece.levels)
        random.append({"x": one, "estimate": spread.estimate(spread.centre(areas), ends, len(areas))})
    if not own:
        raise ContradictionError("no scores of any number of units are kept")
    series = [
        {"name": "chosen units", "points": own},
        {"name": "random units, mean and range", "points": random},
    ]
    return {
        "observation": {"shape": "curve", "x": "units", "y": "area under the curve", "series": series},
        "params": {"predicate": _untied(probes, name), "site": site},
    }


def _untied(probes: Probes | None, value: Any) -> Any:
    """The value, with what of its probes is not made again."""
    if probes is None:
        return Beside(value, Open(OLD))
    return Beside(value, Open(MANY_ACTIVATIONS)) if probes.every is None else value


def _table(piece: Piece) -> Made:
    names = [str(one["name"]) for one in piece.params["predicates"]]
    sites = list(dict.fromkeys(site_of(str(site)) for site in piece.params["sites"]))
    values: list[list[float | None]] = []
    for name in names:
        row: list[float | None] = []
        for site in sites:
            found = piece.sibling(encoded(f"{name}@{site}"))
            if found is None or found.status == "skipped":
                row.append(None)
                continue
            other = Piece(found, piece.made, piece.kept)
            row.append(area(other.numbers("holds", 1), other.numbers("others", 1), piece.levels[:1])[0])
        values.append(row)
    return {
        "observation": {
            "shape": "matrix",
            "rows": names,
            "columns": sites,
            "values": values,
            "row_title": "predicate",
            "column_title": "site",
        }
    }


# ------------------------------------------------------------------------------------------------ units
def _ranking(piece: Piece) -> Made:
    family = family_of(piece)
    name = str(piece.params["predicate"])
    if piece.part != encoded(name):
        raise ContradictionError("params.predicate is not the id's")
    values, changes = piece.numbers("values", 2), piece.numbers("changes", 2)
    label, finds = (piece.array(one, 1).astype(bool) for one in ("label", "finds"))
    sites, units = piece.words("shown_site"), piece.whole("shown_unit", 1).tolist()
    shaped("values", values, len(units), len(label))
    if len(sites) != len(units) or len(changes) != len(units) or len(finds) != len(label):
        raise ContradictionError("array values is not of the units beside it")
    _as_kept(piece, name, sites, units, values, (label, finds))
    chosen = _chosen(piece, family, name, sites, units, values[:, finds])
    judged = values[:, ~finds], label[~finds]
    strict = 1 - (1 - piece.levels[0]) / len(units)
    found = []
    for row, z in zip(judged[0], chosen, strict=True):
        side = 1.0 if z >= 0 else -1.0
        found.append(area(side * row[judged[1]], side * row[~judged[1]], [*piece.levels, strict]))
    if any(one[0] < two[0] for one, two in pairwise(found)):
        raise ContradictionError("array values does not stand in the order of the areas")
    n, sides = int((~finds).sum()), (int(judged[1].sum()), int((~judged[1]).sum()))
    held = Held(piece, name, changes[0], sides)
    items = []
    for place, (value, limits) in enumerate(found):
        low, high = limits[-1]
        adjusted = Open(MANY) if family is None else family.p(float(chosen[place]))[1]
        items.append(
            {
                "name": f"{sites[place]}:{units[place]}",
                "estimate": spread.estimate(value, limits[:-1], n),
                "rank_low": 1 + sum((other[1][-1][0] or 0.0) > (high or 1.0) for other in found),
                "rank_high": len(found) - sum((other[1][-1][1] or 1.0) < (low or 0.0) for other in found),
                "detail": {
                    "higher": bool(chosen[place] >= 0),
                    "adjusted_p": adjusted,
                    "effect": held.of(changes[place])[0],
                    "density": float((values[place] > 0).mean()),
                },
            }
        )
    value, limits = found[0]
    above = _above_half(value, limits[:-1], n)
    rows = _of_rows(piece, name)
    return {
        "observation": {"shape": "ranking", "items": items, "unit": "area under the curve"},
        "controls": [
            spread.control(f"held-out area of {sites[0]}:{units[0]} above one half", "positive", above),
            *held.controls(),
        ],
        "inference": inference(family, name, sites[0], units[:1]),
        "sampling": rows["sampling"],
        "params": {
            "site": sites[0],
            "units": units[:1],
            "higher": [bool(chosen[0] >= 0)],
            **rows["params"],
            **held.told(piece),
        },
    }


def _chosen(
    piece: Piece, family: Family | None, name: str, sites: list[str], units: list[int], finding: Floats
) -> Floats:
    """The z of the units that are shown, which must be those furthest out, and whose values must have their ranks."""
    from scipy.stats import rankdata

    label = piece.array("label", 1).astype(bool)[piece.array("finds", 1).astype(bool)]
    ranks = rankdata(finding, axis=1)
    gaps = ranks[:, label].sum(axis=1) - label.sum() * (len(label) + 1) / 2
    if family is None:
        return np.asarray(gaps)
    z = np.asarray([family.units(name, site)[unit] for site, unit in zip(sites, units, strict=True)])
    number, row, _ = family.places[name, sites[0]]
    every = np.sort(np.abs(family.z[number][row]))[::-1]
    wanted = min(int(piece.params["top"]), len(every))
    # Ties at the edge may be any of those that are equal.
    if len(units) != wanted or not np.allclose(np.sort(np.abs(z))[::-1], every[:wanted], rtol=1e-9, atol=0):
        raise ContradictionError("the units shown are not those that tell the predicate best")
    for place, (site, unit) in enumerate(zip(sites, units, strict=True)):
        _as_ranked(family, name, site, [unit], finding[place : place + 1], None)
    return z


def _as_kept(
    piece: Piece, name: str, sites: list[str], units: list[int], values: Floats, rows: tuple[Flags, Flags]
) -> None:
    """ContradictionError where rows, labels or what units said is not what the whole search keeps of them."""
    population = population_of(piece, name)
    if population is None:
        return
    for array, own, other in zip(
        ("label", "finds"), rows, (population.labels[name], population.finds), strict=True
    ):
        if not np.array_equal(own, other):
            raise ContradictionError(f"array {array} is not that of the search")
    for site, unit, said in zip(sites, units, values, strict=True):
        every = population.at(site)
        if every is not None and not np.array_equal(every[:, unit], said):
            raise ContradictionError(
                f"array values of {site}:{unit} is not among the activations of the search"
            )

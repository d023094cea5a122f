"""Claims on triggers made again: success before and after an edit, row by row, beside random edits and planted networks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.evidence import encoded
from xai_audit.verify import limits, paired
from xai_audit.verify.explained import spread, triggered
from xai_audit.verify.explained.agreement import Beside
from xai_audit.verify.explained.kept import ContradictionError, LackingError
from xai_audit.verify.explained.piece import Made, Piece, shaped

Flags = NDArray[np.bool_]
UNDONE, HARMLESS, LEAST = 0.05, 0.01, 0.5
"""Success up to which a trigger is undone, accuracy that this may cost, success above clean rows that makes one."""
WIDEST, MOST = 128, 1000
"""Units and rows of planted networks, at most."""
METHOD = "Fisher's exact test (mid-p), Bonferroni over triggers and sites"


def trigger(piece: Piece) -> Made:
    """One trigger at one site: the claim, or the table of edits."""
    if piece.evidence.status == "skipped":
        raise LackingError("how many rows hold the trigger is seen in the rows alone")
    name, site = str(piece.params["trigger"]), str(piece.params["site"])
    if name not in [str(one["name"]) for one in piece.params.get("triggers") or ()]:
        raise ContradictionError(f"the spec names no trigger {name!r}")
    if piece.part == encoded(f"{name}@{site}"):
        return _claim(piece, name)
    if piece.part == encoded(f"{name}@{site}@edits"):
        return _edits(piece, name, site)
    raise ContradictionError("params.trigger and params.site are not the id's")


def _flags(piece: Piece, name: str, axes: int = 1) -> Flags:
    return piece.array(name, axes).astype(bool)


def _claim(piece: Piece, name: str) -> Made:
    before, base = _flags(piece, "before"), _flags(piece, "base")
    after = shaped("after", _flags(piece, "after"), len(before))
    clean = _flags(piece, "clean_before"), _flags(piece, "clean_after")
    shaped("clean_after", clean[1], len(clean[0]))
    edit = _edit(piece)
    _as_tried(piece, name, before, after, clean, edit)
    units, effects = piece.whole("units", 1), piece.numbers("unit_effects", 1)
    if not np.array_equal(units, np.argsort(-effects, kind="stable")[: len(units)]):
        raise ContradictionError("array units is not of those with the largest effect")
    left = triggered.tied(piece, before, base, clean[0])
    best: Any = 0.5 + float(np.abs(piece.numbers("areas", 1) - 0.5).max())
    n, m, hits, others = len(before), len(base), int(before.sum()), int(base.sum())
    lowered, around = paired.share(after, before, piece.levels)
    above = [limits.difference(hits, n, others, m, level) for level in piece.levels]
    random = piece.numbers("random_undone", 1)
    square = spread.centre(random**2)
    reach = spread.student(0.95, len(random)) * math.sqrt(square)
    error = float(np.std(random, ddof=1)) * math.sqrt(1 + 1 / len(random))
    null = spread.estimate(
        spread.centre(random),
        spread.around(spread.centre(random), error, len(random) - 1, piece.levels),
        len(random),
    )
    cost = float(clean[0].mean() - clean[1].mean())
    kind = "directions" if edit == "direction" else "units"
    target = _target(piece, name)
    return {
        "observation": {
            "shape": "scalar",
            "estimate": spread.estimate(lowered, around, n),
            "unit": f"share of triggered rows decided as {target}",
        },
        "controls": [
            spread.control(
                f"attack success above that of clean rows by more than {LEAST}",
                "positive",
                spread.estimate(hits / n - others / m - LEAST, _less(above, LEAST), n + m),
            ),
            spread.control(
                "attack success undone beyond random edits of the same kind",
                "positive",
                spread.estimate(lowered - reach, _less(around, reach), n),
                edit=True,
            ),
            spread.control(f"random {kind}, the same edit", "null", null, edit=True),
            spread.control(
                f"clean accuracy that the edit costs beyond {HARMLESS}",
                "equal",
                spread.exact(max(round(cost - HARMLESS, 12), 0.0), len(clean[0])),
                edit=True,
            ),
        ],
        "inference": _inference(piece, hits, n, others, m),
        "selftest": _selftest(piece),
        "params": {
            "trigger": name,
            "site": piece.params["site"],
            "target": target,
            "edit": edit,
            "units": units.tolist() if edit == "units" else [],
            "success_before": _slot(piece, hits, n),
            "success_after": _slot(piece, int(after.sum()), n),
            "clean_rate": _slot(piece, others, m),
            "clean_before": float(clean[0].mean()),
            "clean_after": float(clean[1].mean()),
            "cost": cost,
            "random_reach": reach,
            "best_area": best if left is None else Beside(best, left),
            "success_without_telling_units": float(
                shaped("telling", _flags(piece, "telling"), len(before)).mean()
            ),
            **_power(piece),
        },
    }


def _less(pairs: Any, by: float) -> list[spread.Pair]:
    return [(None if low is None else low - by, None if high is None else high - by) for low, high in pairs]


def _edit(piece: Piece) -> str:
    """The edit that undid more, at less cost, on the rows that find."""
    finding = shaped("finding", piece.numbers("finding", 2), 2, 2)
    rank = [(max(float(success), UNDONE), -float(clean)) for success, clean in finding]
    return "direction" if rank[0] <= rank[1] else "units"


def _target(piece: Piece, name: str) -> str:
    asked = next(one for one in piece.params["triggers"] if one["name"] == name)
    if str(asked["target"]) not in piece.classes:
        raise ContradictionError(f"the target of {name} is no class")
    return str(asked["target"])


def _as_tried(
    piece: Piece, name: str, before: Flags, after: Flags, clean: tuple[Flags, Flags], edit: str
) -> None:
    """ContradictionError where the claim's rows are not those of the table of edits."""
    part = piece.sibling(encoded(f"{name}@{piece.params['site']}@edits"))
    if part is None:
        return
    table = Piece(part, piece.made, piece.kept)
    attacked, kept = _flags(table, "attacked", 2), _flags(table, "kept", 2)
    place = 1 if edit == "direction" else 3
    random = table.numbers(f"random_{edit if edit == 'direction' else 'units'}", 2)
    undone = float(before.mean()) - random[:, 0]
    same = (
        np.array_equal(attacked[0], before)
        and np.array_equal(attacked[place], after)
        and np.array_equal(kept[0], clean[0])
        and np.array_equal(kept[place], clean[1])
        and np.array_equal(attacked[4], _flags(piece, "telling"))
    )
    if not same or not np.allclose(undone, piece.numbers("random_undone", 1), rtol=0, atol=1e-12):
        raise ContradictionError("its arrays are not those of the table of edits")


def _inference(piece: Piece, hits: int, n: int, others: int, m: int) -> dict[str, Any]:
    """The mid-p that so many of the decided rows, or more, are triggered ones, were which is which by chance."""
    from scipy.special import gammaln

    total = hits + others
    counts = np.arange(max(0, total - m), min(n, total) + 1)

    def ways(of: int, take: Any) -> Any:
        return gammaln(of + 1) - gammaln(take + 1) - gammaln(of - take + 1)

    law = np.exp(ways(n, counts) + ways(m, total - counts) - ways(n + m, total))
    p = math.fsum(law[counts > hits].tolist()) + float(law[counts == hits].sum()) / 2
    family = len(piece.params["triggers"]) * len({str(site) for site in piece.params["sites"]})
    return {
        "p": p,
        "adjusted": max(min(p * family, 1.0), p),
        "method": METHOD,
        "family": f"{family} pairs of trigger and site",
        "m": family,
    }


def _slot(piece: Piece, hits: int, n: int) -> dict[str, Any]:
    return {**spread.estimate(hits / n, spread.rate(hits, n, piece.levels[:1]), n), "limits": None}


# ------------------------------------------------------------------------------------------------ planted networks
def _planted(piece: Piece) -> tuple[Flags, Flags] | None:
    wanted = int(piece.params["planted"])
    if not wanted:
        return None
    found = _flags(piece, "planted_found"), _flags(piece, "twins_flagged")
    for name, one in zip(("planted_found", "twins_flagged"), found, strict=True):
        shaped(name, one, wanted)
    return found


def _size(piece: Piece) -> tuple[int, int]:
    """Units and rows of the planted networks: as here, up to a limit. The judging half has every second row."""
    width, rows = shaped("planted_size", piece.whole("planted_size", 1), 2).tolist()
    seen = min(len(_flags(piece, "before")), len(_flags(piece, "clean_before")))
    if width != min(len(piece.numbers("vector", 1)), WIDEST) or rows // 2 != min(seen, MOST // 2):
        raise ContradictionError("array planted_size is not of the units and rows of this site")
    return width, rows


def _power(piece: Piece) -> dict[str, Any]:
    both = _planted(piece)
    if both is None:
        return {}
    width, rows = _size(piece)
    return {
        "power": {
            "found": int(both[0].sum()),
            "planted": len(both[0]),
            "flagged": int(both[1].sum()),
            "twins": len(both[1]),
            "width": width,
            "rows": rows,
        }
    }


def _selftest(piece: Piece) -> dict[str, Any] | None:
    both = _planted(piece)
    if both is None:
        return None
    (width, rows), (hits, flags) = _size(piece), both
    found, flagged = int(hits.sum()), int(flags.sum())
    return {
        "bed": f"{len(hits)} planted triggers and {len(flags)} clean twins, {width} units, {rows} rows of each kind: "
        f"{flagged} twins flagged",
        "passed": found >= 0.95 * len(hits) and flagged <= 0.05 * len(flags),
        "estimate": spread.exact(found / len(hits), len(hits)),
    }


# ------------------------------------------------------------------------------------------------ the table
def _edits(piece: Piece, name: str, site: str) -> Made:
    claim = piece.sibling(encoded(f"{name}@{site}"))
    if claim is None:
        raise LackingError("the claim beside it is not there")
    k = len(Piece(claim, piece.made, piece.kept).whole("units", 1))
    attacked, kept = _flags(piece, "attacked", 2), _flags(piece, "kept", 2)
    rows = [
        "none",
        "direction, where seen",
        "direction, in every row",
        "the unit with the largest effect" if k == 1 else f"the {k} units with the largest effect",
        "the unit that tells best" if k == 1 else f"the {k} units that tell best",
    ]
    shaped("attacked", attacked, len(rows), -1)
    shaped("kept", kept, len(rows), -1)
    values = [[float(one.mean()) for one in pair] for pair in zip(attacked, kept, strict=True)]
    random = (("random_direction", "random directions, mean"), ("random_units", "as many random units, mean"))
    for array, words in random:
        told = shaped(array, piece.numbers(array, 2), int(piece.params["random_units"]), 2)
        rows.append(words)
        values.append([spread.centre(column) for column in told.T])
    return {
        "observation": {
            "shape": "matrix",
            "rows": rows,
            "columns": ["attack success", "clean accuracy"],
            "values": values,
            "row_title": "edit",
            "column_title": "share",
        },
        "params": {"trigger": name, "site": site},
    }

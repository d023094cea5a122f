"""Orders of inputs made again: means with intervals and rank ranges, agreement between draws, spread in bins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xai_audit.verify import withheld
from xai_audit.verify.explained import spread
from xai_audit.verify.explained.agreement import Open

if TYPE_CHECKING:
    from xai_audit.verify.explained.spread import Floats

_DIGITS = 9
"""Sizes that agree to so many digits of the largest count as equal."""


def ranking(
    names: Sequence[str],
    values: Floats,
    draws: Floats | None,
    levels: Sequence[float],
    *,
    unit: str,
    details: Sequence[dict[str, Any]] | None = None,
    signed: bool = False,
) -> dict[str, Any]:
    """Inputs by their mean over rows (rows, inputs), with the error of rows and of draws (draws, inputs).

    ``signed``: a mean may be negative. Where the draws are not kept the means are made again, and nothing else.
    """
    n, count = values.shape
    means = spread.centres(values)
    low, high = (None, None) if draws is None else _places(values, means, draws, levels[0])
    items = []
    for j in sorted(range(count), key=lambda j: (-means[j], names[j])):
        item: dict[str, Any] = {"name": names[j], "detail": details[j] if details else None}
        if draws is None or low is None or high is None:
            gone = Open("the audit does not keep the repetitions that intervals and ranks rest on")
            item["estimate"] = {
                "value": float(means[j]), "low": gone, "high": gone, "n": n, "limits": gone,
            }  # fmt: skip
            item |= {"rank_low": gone, "rank_high": gone}
        else:
            error = math.sqrt(_of_mean(values[:, j]) + _of_draws(draws[:, j])) if n > 1 else math.inf
            floor = None if signed else 0.0
            pairs = spread.around(float(means[j]), error, n - 1, levels)
            if n < 2:
                pairs = [(floor, None)] * len(levels)
            item["estimate"] = spread.estimate(float(means[j]), spread.cut(pairs, floor, None), n)
            item |= {"rank_low": int(low[j]), "rank_high": int(high[j])}
        items.append(item)
    return {"shape": "ranking", "items": items, "unit": unit}


def _of_mean(values: Floats) -> float:
    """The variance of a mean of rows."""
    return float(np.var(values, ddof=1)) / len(values)


def _of_draws(draws: Floats) -> float:
    """The variance of one draw."""
    return float(np.var(draws, ddof=1)) if len(draws) > 1 else 0.0


def _places(
    values: Floats, means: Floats, draws: Floats, level: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The best and the worst rank each input may hold: pairs whose difference keeps its sign, by Bonferroni."""
    n, count = values.shape
    low, high = np.ones(count, dtype=np.int64), np.full(count, count)
    pairs = count * (count - 1) // 2
    if n < 2 or not pairs:
        return low, high
    reach = spread.student(1 - (1 - level) / pairs, n - 1)
    noise = 10.0**-_DIGITS * float(np.max(np.abs(means)))
    for j in range(count):
        gaps = values[:, [j]] - values
        error = np.sqrt(np.var(gaps, axis=0, ddof=1) / n)
        if len(draws) > 1:
            error = np.hypot(error, np.std(draws[:, [j]] - draws, axis=0, ddof=1))
        sure = np.abs(means[j] - means) > np.maximum(reach * error, noise)
        low[j] += int((sure & (means > means[j])).sum())
        high[j] -= int((sure & (means < means[j])).sum())
    return low, high


# ------------------------------------------------------------------------------------------------ between draws
def leading(count: int) -> int:
    """How many leading inputs are compared."""
    return 5 if count > 5 else max(count - 1, 1)


def ranks(sizes: Floats) -> Floats:
    """Ranks of one row's sizes (draws, inputs) within each draw; those equal to nine digits of the largest tie."""
    from scipy.stats import rankdata

    top = float(sizes.max(initial=0.0))
    return np.asarray(rankdata(np.round(sizes / (top or 1.0), _DIGITS), axis=1))


def agreement(places: Floats) -> tuple[float, float]:
    """How far one row's ranks (draws, inputs) are the same in neighbouring draws: Spearman's, and Jaccard's of the top.

    The last draw is the first one's neighbour. Draws in which all tie agree with each other and with nothing else.
    """
    count = places.shape[1]
    if len(places) < 2:
        return math.nan, math.nan
    if count < 2:
        return 1.0, 1.0
    top = leading(count)
    leaders = [set(sorted(range(count), key=lambda j: (-row[j], j))[:top]) for row in places.tolist()]
    following = [*range(1, len(places)), 0]
    shared = [len(leaders[k] & leaders[n]) / len(leaders[k] | leaders[n]) for k, n in enumerate(following)]
    flat = places.std(axis=1) == 0
    units = places - places.mean(axis=1, keepdims=True)
    units /= np.where(flat, 1.0, np.linalg.norm(units, axis=1))[:, None]
    likes = np.where(flat & flat[following], 1.0, (units * units[following]).sum(axis=1))
    return spread.centre(likes), spread.centre(shared)


def like(a: Floats, b: Floats) -> float:
    """Rank correlation of two rows of numbers; NaN where one of them does not vary."""
    from scipy.stats import rankdata

    x, y = (rankdata(one) for one in (a, b))
    return float(np.corrcoef(x, y)[0, 1]) if len(x) > 1 and x.std() and y.std() else math.nan


# ------------------------------------------------------------------------------------------------ in bins
THIRDS = ("low values", "middle values", "high values", "missing")
_LAYOUTS = ((1, 9), (1, 7), (1, 5), (0, 13), (0, 11), (0, 9), (0, 7), (0, 5), (0, 3))
"""Whether inputs are cut into thirds, and the bins, richest first."""


def by_third(third: NDArray[np.int64], contributions: Floats, least: int) -> dict[str, float]:
    """The mean contribution of the rows in each third of an input; none where a third has too few."""
    return {name: spread.centre(contributions[inside]) for name, inside in _parts(third, least) if name}


def swarm(
    names: Sequence[str], third: NDArray[np.int64], contributions: Floats, order: Sequence[int], least: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Counts of contributions (rows, inputs) by bin and third, small ones withheld; and what ``params`` must say."""
    parts: list[tuple[int, str, NDArray[np.bool_]]] = []
    edges, shown, hidden = np.zeros(0), [], 0
    everybody = np.ones(len(contributions), dtype=bool)
    for cut, bins in _LAYOUTS:
        parts = [
            (j, *part) for j in order for part in (_parts(third[:, j], least) if cut else [("", everybody)])
        ]
        edges = _edges(contributions, bins)
        counts = [_counted(contributions[inside, j], edges) for j, _, inside in parts]
        shown = [
            [None if gone else count for count, gone in zip(line, withheld.in_line(line, least), strict=True)]
            for line in counts
        ]
        hidden = sum(
            count for line, kept in zip(counts, shown, strict=True)
            for count, cell in zip(line, kept, strict=True) if cell is None
        )  # fmt: skip
        if hidden <= 0.1 * sum(map(sum, counts)):
            break
    named = any(part for _, part, _ in parts)
    observation = {
        "shape": "matrix",
        "rows": [f"{names[j]}: {part}" if part else names[j] for j, part, _ in parts],
        "columns": [f"{low:.3g} to {high:.3g}" for low, high in pairwise(edges.tolist())],
        "values": [[None if cell is None else float(cell) for cell in line] for line in shown],
        "row_title": "input and third of its values" if named else "input",
        "column_title": "contribution",
    }
    layout = [{"name": names[j], "part": part, "n": int(inside.sum())} for j, part, inside in parts]
    return observation, {"edges": edges.tolist(), "layout": layout, "withheld": hidden}


def _parts(third: NDArray[np.int64], least: int) -> list[tuple[str, NDArray[np.bool_]]]:
    """The rows of each third; one part where there are none, or where one has too few people."""
    parts = [(name, third == code) for code, name in enumerate(THIRDS) if (third == code).any()]
    if not parts or any(inside.sum() < least for _, inside in parts):
        return [("", np.ones(len(third), dtype=bool))]
    return parts


def _edges(contributions: Floats, bins: int) -> Floats:
    sizes = np.sort(np.abs(contributions[contributions != 0]))
    if not len(sizes):
        return np.asarray([-1.0, 1.0])
    shares = [(2 * k + 1) / bins for k in range(bins // 2 + 1)]
    marks = np.quantile(sizes, shares, method="inverted_cdf")[:-1].tolist()
    ends = sorted({float(f"{mark:.2g}") for mark in marks} | {float(f"{sizes[-1] * 1.05:.2g}")})
    return np.asarray([-one for one in reversed(ends)] + ends)


def _counted(values: Floats, edges: Floats) -> list[int]:
    place = np.searchsorted(edges, values, side="right") - 1
    place[values == edges[-1]] = len(edges) - 2
    inside = place[(values >= edges[0]) & (values <= edges[-1])]
    return [int((inside == bin_).sum()) for bin_ in range(len(edges) - 1)]

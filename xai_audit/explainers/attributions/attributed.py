"""What attribution methods show alike: rankings, single rows, arrays, and whether an order is the model's own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.errors import MethodError
from xai_audit.evidence import Cases, Control, Estimate, Scalar, exactly
from xai_audit.explainers import local
from xai_audit.explainers.attributions import overlays, parts, removal
from xai_audit.explainers.ranking import ranked, spread, variance_of_mean
from xai_audit.explainers.rows import exact_mean
from xai_audit.intervals_rows import mean, t_quantile
from xai_audit.method import Measured, Skipped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.explainers.attributions.removal import Areas
    from xai_audit.method import Context
    from xai_audit.subject import Subject

REGIONS = 4
"""Parts on each side of a picture whose mean attribution is ranked."""
SHARED_PARTS = ("local", "coverage", "deletion", "insertion")
"""Parts of the evidence that every method here may yield."""
TWIN = "order by the same network with its weights permuted"
RANDOM = "random order of the same parts"


@dataclass(frozen=True, eq=False)
class Found:
    """Attributions of the explained rows, one array each: pixels (height, width), words and signs, or columns."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    """Which score is explained."""
    values: list[NDArray[np.float64]]
    start: NDArray[np.float64]
    """The explained output where nothing is known of the row."""
    end: NDArray[np.float64]
    areas: Areas
    errors: list[NDArray[np.float64]] | None = None
    """Standard errors of the values where they are drawn."""

    def kept(self, which: NDArray[np.bool_]) -> Found:
        """Only some of the rows."""
        index = np.flatnonzero(which)
        errors = None if self.errors is None else [self.errors[i] for i in index]
        return replace(
            self,
            rows=self.rows[index],
            columns=self.columns[index],
            values=[self.values[i] for i in index],
            start=self.start[index],
            end=self.end[index],
            areas=self.areas.kept(which),
            errors=errors,
        )


# ------------------------------------------------------------------------------------------------ through a map
def pack(name: str, values: Sequence[NDArray[np.float64]]) -> dict[str, NDArray[Any]]:
    """Arrays of different sizes, of one or two axes, as arrays that a map over pieces can hand on."""
    flat = [np.zeros(0), *(np.asarray(one, dtype=np.float64).ravel() for one in values)]
    shapes = [(*one.shape, *[1] * (2 - one.ndim), one.ndim) for one in values]
    return {name: np.concatenate(flat), f"{name}_shape": np.asarray(shapes, dtype=np.int64).reshape(-1, 3)}


def walks(areas: Areas) -> dict[str, NDArray[Any]]:
    """What a piece of a map hands on of removing parts."""
    return {
        "first": areas.first,
        "last": areas.last,
        "random": areas.random,
        "sizes": areas.sizes,
        **pack("heights", areas.heights),
    }


def unpack(done: Sequence[Mapping[str, NDArray[Any]]], name: str) -> list[NDArray[np.float64]]:
    """The arrays that ``pack`` was given, over all pieces."""
    found: list[NDArray[np.float64]] = []
    for part in done:
        place = 0
        for *shape, axes in part[f"{name}_shape"].tolist():
            size = math.prod(shape)
            found.append(part[name][place : place + size].reshape(shape[:axes]))
            place += size
    return found


def joined(done: Sequence[Mapping[str, NDArray[Any]]], name: str) -> NDArray[Any]:
    """One number a row (or more), over all pieces."""
    return np.concatenate([part[name] for part in done])


def found_of(
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    done: Sequence[Mapping[str, NDArray[Any]]],
    *,
    errors: bool = False,
) -> Found:
    """What the pieces of a map gave, in row order."""
    return Found(
        rows=rows,
        columns=columns,
        values=unpack(done, "values"),
        start=joined(done, "start"),
        end=joined(done, "end"),
        areas=removal.Areas(
            first=joined(done, "first"),
            last=joined(done, "last"),
            random=joined(done, "random"),
            heights=unpack(done, "heights"),
            sizes=joined(done, "sizes"),
        ),
        errors=unpack(done, "errors") if errors else None,
    )


def finite(found: Found) -> NDArray[np.bool_]:
    """Which rows have numbers everywhere."""
    whole = [bool(np.isfinite(one).all()) for one in found.values]
    return (
        np.asarray(whole) & np.isfinite(found.start) & np.isfinite(found.end) & np.isfinite(found.areas.first)
    )


# ------------------------------------------------------------------------------------------------ evidence
def said(subject: Subject) -> tuple[str, ...]:
    """Limits that hold for these data."""
    if subject.test.weights is None and subject.test.clusters is None:
        return ()
    return ("each row counts once: weights and clusters do not enter these means and intervals",)


def coverage(which: NDArray[np.bool_], common: Mapping[str, Any]) -> Measured:
    """The share of the rows asked for that got an explanation; MethodError where none did."""
    if not which.any():
        raise MethodError("no row got a finite attribution")
    return Measured(
        name="coverage",
        title="Share of the rows asked for that got an explanation",
        observation=Scalar(estimate=exactly(int(which.sum()) / len(which), len(which))),
        **common,
    )


def overall(
    subject: Subject,
    found: Found,
    context: Context,
    common: Mapping[str, Any],
    *,
    unit: str,
    kept: Mapping[str, NDArray[Any]],
) -> Measured | Skipped:
    """What weighs most over all explained rows: columns, regions of the picture, or words; ``kept`` goes to evidence/."""
    if subject.modality == "text":
        texts = _texts(subject, found)
        ranking = parts.ranking(texts, found.values, context, unit=unit)
        if ranking is None:
            least = max(context.min_cell, 2)
            return Skipped(reason=f"no word stands in {least} or more of the {len(texts)} explained texts")
        limit = (
            f"words that stand in fewer than {max(context.min_cell, 2)} of the explained texts are not shown"
        )
        return Measured(
            title="Mean absolute contribution of each word, over the texts that hold it",
            observation=ranking,
            arrays=kept,
            **{**common, "limits": (*common["limits"], limit)},
        )
    if subject.modality == "image":
        summed = _regions(found)
        names = [
            f"row {y + 1}, column {x + 1}"
            for y in range(summed[0].shape[0])
            for x in range(summed[0].shape[1])
        ]
        values = np.stack([one.ravel() for one in summed])
        title = (
            f"Mean absolute contribution of each region of a {REGIONS} by {REGIONS} grid, rows from the top"
        )
        details = None
    else:
        names = [str(name) for name in subject.test.frame.columns]
        signed = np.stack(found.values)
        values = np.abs(signed)
        title = "Mean absolute contribution of each input"
        details = [{"mean_signed": float(value)} for value in exact_mean(signed)]
    ranking = ranked(names, values, np.zeros((1, len(names))), context, unit=unit, details=details)
    return Measured(title=title, observation=ranking, arrays=kept, **common)


def _texts(subject: Subject, found: Found) -> list[str]:
    return [str(subject.test.frame.iloc[int(row), 0]) for row in found.rows]


def _regions(found: Found) -> list[NDArray[np.float64]]:
    return [overlays.cells(np.abs(one), REGIONS) for one in found.values]


def ranked_by(subject: Subject, found: Found) -> dict[str, NDArray[Any]]:
    """The numbers, not rounded, that rankings and single rows are made of: of columns, of words, or of regions.

    Of texts each part's contribution and its place in ``vocabulary`` (-1 for a sign), text after text; of pictures the
    sums over regions, where all have as many.
    """
    if subject.modality == "table":
        return {"contributions": np.stack(found.values)}
    if subject.modality == "text":
        vocabulary, places, counts = parts.vocabulary(_texts(subject, found))
        made: dict[str, NDArray[Any]] = {
            "part_values": np.concatenate([np.zeros(0), *found.values]),
            "part_words": places,
            "parts_of_text": counts,
            "vocabulary": vocabulary,
        }
        if found.errors is not None:
            made["part_errors"] = np.concatenate([np.zeros(0), *found.errors])
        return made
    summed = _regions(found)
    if len({one.shape for one in summed}) > 1:
        return {}
    return {"regions": np.stack(summed)}


def kept_of(subject: Subject, found: Found, more: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """What goes to evidence/ of every explained row: attributions, what is ranked, and what a method adds."""
    kept = {**arrays_of(subject, found), **ranked_by(subject, found), **more}
    if found.errors is not None and subject.modality == "table":
        kept["errors"] = np.stack(found.errors)
    return kept


def arrays_of(subject: Subject, found: Found) -> dict[str, NDArray[Any]]:
    """Every explained row's attributions with its place in the test table and its digest, for the evidence folder."""
    digests = b"".join(bytes(subject.test.digests[row]).ljust(32, b"\0") for row in found.rows)
    same = len({one.shape for one in found.values}) == 1
    packed = {"values": np.stack(found.values)} if same else pack("values", found.values)
    return {
        **packed,
        "values": quantised(packed["values"]),
        "row": found.rows,
        "row_sha256": np.frombuffer(digests, dtype=np.uint8).reshape(-1, 32),
        "explained": found.columns,
        "base": found.start,
        "output": found.end,
    }


def quantised(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Values as float32 with 13 bits of mantissa, 4 digits: rounding noise below them is not kept."""
    bits = np.asarray(values, dtype=np.float32).view(np.uint32)
    rounded = (bits + np.uint32(1 << 9)) & np.uint32(0xFFFFFFFF << 10 & 0xFFFFFFFF)
    return np.where(np.isfinite(values), rounded.view(np.float32), np.float32(np.nan))


def cases(
    subject: Subject,
    found: Found,
    context: Context,
    common: Mapping[str, Any],
    *,
    unit: str,
    probability: bool,
    kept: Mapping[str, NDArray[Any]],
    additive: bool = True,
) -> Measured:
    """Single rows, shown only where the spec allows it."""
    told = []
    for why, place in overlays.shown(subject, found.rows):
        row, column = int(found.rows[place]), int(found.columns[place])
        values = found.values[place]
        n = int(common["params"].get("independent_draws", 0))
        halves = np.zeros_like(values)
        if found.errors is not None:
            halves = (
                t_quantile(context.levels[0], n - 1) * found.errors[place] if n > 1 else halves + math.inf
            )
        about: dict[str, Any] = {
            "why": why,
            **overlays.named(subject, row, column),
            "score": float(found.end[place]),
            "base": float(found.start[place]) if additive else None,
            "unit": unit,
        }
        cell: Any = subject.test.frame.iloc[row, 0]
        if subject.modality == "image":
            told.append(overlays.image_case(cell, values, **about))
        elif subject.modality == "text":
            low, high = [
                [float(v) if math.isfinite(v) else None for v in side]
                for side in (values - halves, values + halves)
            ]
            bounds = (low, high) if found.errors is not None else (None, None)
            told.append(overlays.text_case(str(cell), parts.spans(cell), values.tolist(), *bounds, **about))
        else:
            threshold = subject.threshold if probability and subject.binary else None
            told.append(
                local.case(
                    why,
                    subject.test.frame.iloc[row],
                    values,
                    halves,
                    about["score"],
                    about["base"],
                    threshold,
                )
            )
    title = "Contributions for single rows" if additive else "Changes for single rows"
    return Measured(name="local", title=title, observation=Cases(cases=tuple(told)), arrays=kept, **common)


def faithfulness(
    subject: Subject,
    found: Found,
    context: Context,
    common: Mapping[str, Any],
    twins: Mapping[str, Estimate],
    twin_areas: NDArray[np.float64] | None = None,
) -> list[Measured]:
    """How much sooner the output falls (rises) when parts go (come) in the order of the attributions, than at random.

    Petsiuk, Das and Saenko 2018, BMVC. ``twins`` holds the same differences to the order that a network with permuted
    weights gives, by part name, ``twin_areas`` (rows, twins, 2) the areas they are made of.
    """
    made = []
    what = {"deletion": "removed, most important first", "insertion": "put in, most important first"}
    params = {
        **common["params"],
        "removal": removal.HOW[subject.modality],
        "steps_of_removal": removal.POINTS,
        "random_orders": 2 * removal.PAIRS,
    }
    kept: dict[str, NDArray[Any]] = {**pack("heights", found.areas.heights), "sizes": found.areas.sizes}
    if twins and twin_areas is not None:
        kept["twin_areas"] = twin_areas
    for name, differences in (("deletion", found.areas.deletion), ("insertion", found.areas.insertion)):
        own = found.areas.first if name == "deletion" else found.areas.last
        estimate = mean_of(differences, context)
        controls = [Control(name=RANDOM, expectation="positive", estimate=estimate)]
        if name in twins:
            controls.append(Control(name=TWIN, expectation="positive", estimate=twins[name]))
        areas = {"area": float(exact_mean(own)), "area_at_random": float(exact_mean(found.areas.random))}
        made.append(
            Measured(
                name=name,
                title=f"Gain over random order in the area under the score as parts are {what[name]}",
                observation=Scalar(estimate=estimate, unit="score"),
                controls=tuple(controls),
                arrays=kept,
                **{**common, "params": {**params, **areas}},
            )
        )
    return made


# ------------------------------------------------------------------------------------------------ numbers
def mean_of(
    values: NDArray[np.float64], context: Context, low: float | None = None, high: float | None = None
) -> Estimate:
    """The mean over rows with its t interval, cut to what is possible."""
    value, limits = mean(values.tolist(), context.levels)
    cut = [
        (
            one if one is None or low is None else max(one, low),
            other if other is None or high is None else min(other, high),
        )
        for one, other in limits
    ]
    return context.estimate(value, cut, len(values))


def mean_over_both(
    values: NDArray[np.float64], context: Context, low: float | None = None, high: float | None = None
) -> Estimate:
    """The mean over rows and draws (rows, draws), its interval for other rows and other draws (Satterthwaite)."""
    rows, draws = values.shape
    value = float(exact_mean(values.ravel()))
    by_row, by_draw = exact_mean(values.T), exact_mean(values)
    a = float(variance_of_mean(by_row))
    b = float(spread(by_draw)) / draws if draws > 1 else math.inf
    limits: list[tuple[float | None, float | None]] = []
    for level in context.levels:
        if not math.isfinite(a + b):
            limits.append((low, high))
            continue
        df = (a + b) ** 2 / (a**2 / (rows - 1) + b**2 / (draws - 1)) if a + b > 0 else rows - 1
        half = t_quantile(level, df) * math.sqrt(a + b)
        limits.append(
            (
                value - half if low is None else max(value - half, low),
                value + half if high is None else min(value + half, high),
            )
        )
    return context.estimate(value, limits, rows)


def spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Rank correlation of two rows of attributions; NaN where one of them does not vary."""
    from scipy.stats import rankdata

    x, y = (rankdata(quantised(one.ravel())) - (one.size + 1) / 2 for one in (a, b))
    norm = math.sqrt(float((x**2).sum()) * float((y**2).sum()))
    return float((x * y).sum()) / norm if norm else math.nan

"""Integrated gradients: contributions that add up to the change from a baseline, checked to do so for every row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from xai_audit.errors import MethodError
from xai_audit.evidence import Frozen, Scalar
from xai_audit.explainers.attributions import attributed, baselines, overlays, paths, removal
from xai_audit.explainers.attributions.baselines import Baseline
from xai_audit.explainers.rows import Share, contents, reference_table, shared
from xai_audit.mechanistic import gradients
from xai_audit.mechanistic.gradients import Rule
from xai_audit.method import Measured, Method, Skipped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.evidence import Estimate
    from xai_audit.explainers.attributions.attributed import Found
    from xai_audit.mechanistic.network import Network
    from xai_audit.method import Context, Piece
    from xai_audit.subject import Subject


class IntegratedGradientsParams(Frozen):
    """How paths are taken."""

    rows: int | None = Field(64, ge=1)
    """Test rows explained; null for all."""
    baseline: Baseline = "auto"
    """Where a path begins; auto: the mean of the reference pictures or rows, padding for texts."""
    beside: tuple[Baseline, ...] | None = None
    """Other baselines that the attributions are compared with; null for two more, none for an empty list."""
    output: Literal["margin", "probability"] = "margin"
    """What is explained: the class's output before the link, or its probability."""
    steps: int = Field(50, ge=2, le=1000)
    """Points of a path at first."""
    rule: Rule = "gauss_legendre"
    tolerance: float | None = Field(0.01, gt=0)
    """A path is halved, each part with as many points, until the sum misses no larger share of the change; null: never."""
    most_steps: int = Field(12800, ge=2, le=65536)
    """Points at which halving stops."""
    site: str | None = None
    """Where attributions are taken for texts; null: the output of the embedding that is given the token ids."""
    checked: int = Field(16, ge=2)
    """Rows, of those explained, on which other baselines and twins are tried."""
    twins: int = Field(5, ge=0)
    """Networks with permuted weights that the attributions are compared with."""


# ------------------------------------------------------------------------------------------------ in a worker
def _work(
    subject: Subject, params: IntegratedGradientsParams, piece: Piece, seed: int
) -> Mapping[str, NDArray[Any]]:
    del seed  # what is drawn is seeded by the spec's seed and row content
    assert isinstance(piece, Share)
    assert piece.note is not None
    network = paths.network_of(subject)
    rows = [int(row) for row in piece.rows]
    columns = overlays.explained(subject, piece.rows).tolist()
    made = [
        _row(subject, network, params, piece.note["baseline"], row, column, piece.seed, params.tolerance)
        for row, column in zip(rows, columns, strict=True)
    ]
    values = [one for one, _ in made]
    areas = removal.judged(
        subject, rows, [removal.units(subject, one) for one in values], columns, piece.seed
    )
    return {
        **attributed.pack("values", values),
        "start": np.asarray([one.start for _, one in made]),
        "end": np.asarray([one.end for _, one in made]),
        "residual": np.asarray([one.residual for _, one in made]),
        "steps": np.asarray([one.steps for _, one in made], dtype=np.int64),
        **attributed.walks(areas),
    }


def _beside(
    subject: Subject, params: IntegratedGradientsParams, piece: Piece, seed: int
) -> Mapping[str, NDArray[Any]]:
    """The same rows from other baselines, and by twins, with the areas that the twins' orders give."""
    del seed
    assert isinstance(piece, Share)
    assert piece.note is not None
    network = paths.network_of(subject)
    rows = [int(row) for row in piece.rows]
    columns = overlays.explained(subject, piece.rows).tolist()
    found: dict[str, NDArray[Any]] = {}
    for name in piece.note["beside"]:
        values = [
            _row(subject, network, params, name, row, column, piece.seed, None)[0]
            for row, column in zip(rows, columns, strict=True)
        ]
        found.update(attributed.pack(f"from_{name}", [removal.units(subject, one) for one in values]))
    orders: list[list[NDArray[np.float64]]] = [[] for _ in rows]
    for number in range(params.twins):
        twin = paths.twin(subject, piece.seed, number)
        values = []
        for place, (row, column) in enumerate(zip(rows, columns, strict=True)):
            values.append(
                removal.units(
                    subject,
                    _row(subject, twin, params, piece.note["baseline"], row, column, piece.seed, None)[0],
                )
            )
            # A twin may give no numbers at all; its order is then that of reading.
            order = np.nan_to_num(values[-1])
            orders[place] += [order, -order]
        found.update(attributed.pack(f"twin_{number}", values))
    if params.twins:
        areas = removal.areas(subject, rows, orders, columns)
        found["twin_areas"] = np.stack(areas).reshape(len(rows), params.twins, 2)
    return found


def _row(
    subject: Subject,
    network: Network,
    params: IntegratedGradientsParams,
    baseline: str,
    row: int,
    column: int,
    seed: int,
    tolerance: float | None,
) -> tuple[NDArray[np.float64], gradients.Attribution]:
    place = paths.site(subject, params.site)
    found = gradients.integrated(
        network,
        paths.batch_of(subject, network, row),
        baselines.start_of(subject, network, baseline, place, row, seed),
        gradients.output_of(network, column, probability=params.output == "probability"),
        site=place,
        steps=params.steps,
        rule=params.rule,
        tolerance=tolerance,
        most=params.most_steps,
    )
    return paths.reducer(subject, network, row)(found.values[None])[0].numpy(), found


# ------------------------------------------------------------------------------------------------ the method
def run(
    subject: Subject, params: IntegratedGradientsParams, context: Context
) -> Iterator[Measured | Skipped]:
    """Rankings or regions, single rows, completeness, agreement between baselines, and removal in order."""
    paths.checked(subject, params.site)
    rows, sampling = context.sample(params.rows)
    if not len(rows):
        raise MethodError("there are no test rows to explain")
    baseline = baselines.chosen(subject, params.baseline)
    beside = _compared(subject, params, baseline)
    table, source = reference_table(subject)
    note = {"baseline": baseline, "beside": beside, "reference": contents(table), "rows": table.n}
    pieces = shared(context.pieces(rows), context.seed, np.arange(0), table, note)
    done = context.map(_work, pieces)
    found = attributed.found_of(rows, overlays.explained(subject, rows), done)
    unit = f"change in {params.output}"
    about = {
        "engine": "xai-audit",
        "explained": f"{params.output} of {overlays.explained_words(subject)}",
        "baseline": baseline,
        "baseline_is": baselines.KNOWN[subject.modality][baseline],
        "site_used": str(paths.site(subject, params.site)) or "input",
        "reference": source,
    }
    common: dict[str, Any] = {
        "sampling": sampling,
        "versions": {"engine": "xai-audit", "torch": version("torch"), "numpy": np.__version__},
        "params": about,
        "limits": attributed.said(subject),
    }
    whole = attributed.finite(found)
    yield attributed.coverage(whole, common)
    found = found.kept(whole)
    residual, steps = (attributed.joined(done, name)[whole] for name in ("residual", "steps"))
    kept = attributed.kept_of(subject, found, {"residual": residual, "steps": steps})
    yield attributed.overall(subject, found, context, common, unit=unit, kept=kept)
    probability = params.output == "probability"
    yield attributed.cases(subject, found, context, common, unit=unit, probability=probability, kept=kept)
    yield _completeness(residual, steps, params, context, common)
    others: list[Measured | Skipped] = []
    twins: dict[str, Estimate] = {}
    areas = None
    if (beside or params.twins) and len(found.rows):
        others, twins, areas = _compare(subject, params, context, found, baseline, note, common)
    yield from attributed.faithfulness(subject, found, context, common, twins, areas)
    yield from others


def _compared(subject: Subject, params: IntegratedGradientsParams, baseline: str) -> list[str]:
    if params.beside is None:
        return baselines.others(subject, baseline)
    return [name for name in (baselines.chosen(subject, one) for one in params.beside) if name != baseline]


def _completeness(
    residual: NDArray[np.float64],
    steps: NDArray[np.int64],
    params: IntegratedGradientsParams,
    context: Context,
    common: Mapping[str, Any],
) -> Measured | Skipped:
    usable = residual[np.isfinite(residual)]
    if not len(usable):
        return Skipped(name="completeness", reason="the output at every row equals that at its baseline")
    limits = [*common["limits"]]
    if len(usable) < len(residual):
        limits.append(
            f"{len(residual) - len(usable)} rows have the output of their baseline: no share of a change"
        )
    missed = int((usable > params.tolerance).sum()) if params.tolerance is not None else 0
    if missed:
        limits.append(f"{missed} rows miss the tolerance at the most steps allowed ({int(steps.max())})")
    about = {
        "residual": "|sum of contributions - change of the output| / |change of the output|",
        "largest": float(usable.max()),
        "median": float(np.median(usable)),
        "steps_used": {
            "least": int(steps.min()),
            "median": float(np.median(steps)),
            "most": int(steps.max()),
        },
    }
    return Measured(
        name="completeness",
        title="Mean share of the change from the baseline that the contributions miss",
        observation=Scalar(estimate=attributed.mean_of(usable, context, low=0.0)),
        **{**common, "limits": tuple(limits), "params": {**common["params"], **about}},
    )


def _compare(
    subject: Subject,
    params: IntegratedGradientsParams,
    context: Context,
    found: Found,
    baseline: str,
    note: dict[str, Any],
    common: Mapping[str, Any],
) -> tuple[list[Measured | Skipped], dict[str, Estimate], NDArray[np.float64] | None]:
    """Agreement with other baselines and with twins, what a twin's order loses, and the areas that says so."""
    count = min(params.checked, len(found.rows))
    # Spread over the rows explained: they stand in the order of their digests, which says nothing of them.
    own = [removal.units(subject, one) for one in found.values[:count]]
    table, _ = reference_table(subject)
    pieces = shared(
        context.pieces(found.rows[:count]), context.seed, np.arange(0), table, {**note, "twins": params.twins}
    )
    done = context.map(_beside, pieces)
    made: list[Measured | Skipped] = []
    if note["beside"]:
        maps = {baseline: own, **{name: attributed.unpack(done, f"from_{name}") for name in note["beside"]}}
        made.append(_agreement(maps, context, common))
    twins: dict[str, Estimate] = {}
    areas = None
    if params.twins:
        by_twin = [attributed.unpack(done, f"twin_{k}") for k in range(params.twins)]
        likeness = np.asarray(
            [
                [attributed.spearman(mine, other) for mine, other in zip(own, theirs, strict=True)]
                for theirs in by_twin
            ]
        ).T
        kept = _maps({"own": own, **{f"twin_{k}": theirs for k, theirs in enumerate(by_twin)}})
        made.append(_likeness(likeness, kept, params, context, common))
        areas = attributed.joined(done, "twin_areas")
        lost = areas[:, :, 0] - found.areas.first[:count, None]
        won = found.areas.last[:count, None] - areas[:, :, 1]
        if np.isfinite(areas).all():
            twins = {
                "deletion": attributed.mean_over_both(lost, context),
                "insertion": attributed.mean_over_both(won, context),
            }
    return made, twins, areas


def _maps(maps: Mapping[str, Sequence[NDArray[np.float64]]]) -> dict[str, NDArray[Any]]:
    """Contributions of parts by name as correlations see them, row after row, and how many parts each row has."""
    flat = {
        name: attributed.quantised(np.concatenate([np.zeros(0), *(one.ravel() for one in values)]))
        for name, values in maps.items()
    }
    first = next(iter(maps.values()))
    return {**flat, "parts_of_row": np.asarray([one.size for one in first], dtype=np.int64)}


def _agreement(
    maps: Mapping[str, Sequence[NDArray[np.float64]]], context: Context, common: Mapping[str, Any]
) -> Measured | Skipped:
    names = list(maps)
    pairs = {
        f"{a}, {b}": [attributed.spearman(x, y) for x, y in zip(maps[a], maps[b], strict=True)]
        for i, a in enumerate(names)
        for b in names[i + 1 :]
    }
    by_row = np.asarray(list(pairs.values())).mean(axis=0)
    usable = by_row[np.isfinite(by_row)]
    if not len(usable):
        return Skipped(name="baselines", reason="no row's contributions vary from every baseline")
    about = {
        "compared": {
            name: float(np.nanmean(values)) if np.isfinite(values).any() else None
            for name, values in pairs.items()
        },
        "order_by": "signed contribution of each part",
        "rows_compared": len(usable),
    }
    return Measured(
        name="baselines",
        title="Same order of parts from other baselines (mean Spearman correlation)",
        observation=Scalar(estimate=attributed.mean_of(usable, context, low=-1.0, high=1.0)),
        arrays={
            "compared": np.asarray(names, dtype=np.str_),
            **_maps({f"from_{name}": values for name, values in maps.items()}),
        },
        **{**common, "params": {**common["params"], **about}},
    )


def _likeness(
    likeness: NDArray[np.float64],
    kept: Mapping[str, NDArray[Any]],
    params: IntegratedGradientsParams,
    context: Context,
    common: Mapping[str, Any],
) -> Measured | Skipped:
    usable = likeness[np.isfinite(likeness).all(axis=1)]
    if not len(usable):
        return Skipped(
            name="twin", reason="no row's contributions vary in every network with permuted weights"
        )
    about = {
        "twins": params.twins,
        "order_by": "signed contribution of each part",
        "rows_compared": len(usable),
    }
    said = "near 1, the contributions would say more of the row than of what the network has learned"
    return Measured(
        name="twin",
        title="Same order of parts from networks with permuted weights (mean Spearman correlation)",
        observation=Scalar(estimate=attributed.mean_over_both(usable, context, low=-1.0, high=1.0)),
        arrays=kept,
        **{**common, "limits": (*common["limits"], said), "params": {**common["params"], **about}},
    )


METHOD = Method(
    id="integrated_gradients",
    kind="explainer",
    title="Integrated gradients",
    measures="How much each pixel, word or input moves the output on the straight way from a baseline to the row",
    params=IntegratedGradientsParams,
    run=run,
    needs=("network",),
    parts=(*attributed.SHARED_PARTS, "completeness", "baselines", "twin"),
    limits=(
        "contributions are relative to the baseline: what row and baseline share gets none, however much it matters",
        "it describes the network along one path of inputs that no one has seen; a large contribution is no cause",
    ),
    cites=(
        "Sundararajan, Taly and Yan 2017, ICML",
        "Adebayo et al. 2018, NeurIPS",
        "Petsiuk, Das and Saenko 2018, BMVC",
        "Sturmfels, Lundberg and Lee 2020, Distill",
    ),
)

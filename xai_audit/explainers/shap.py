"""Shapley values of the user's own columns: engine tried first, additivity always measured, draws repeated.

Tables here; the parts of pictures and texts in ``shap_players``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from xai_audit import digest
from xai_audit.errors import MethodError
from xai_audit.evidence import Cases, Sampling, Scalar, exactly
from xai_audit.explainers import local
from xai_audit.explainers.coalitions import modal
from xai_audit.explainers.coalitions.modal import IMAGE, IMAGE_OR_TEXT, TABLE, TEXT, ModalParams
from xai_audit.explainers.ranking import agreement, doubled, ranked, ranks, top_of
from xai_audit.explainers.rows import (
    Output,
    Share,
    exact_mean,
    generator,
    reference_table,
    shared,
    smallest,
)
from xai_audit.explainers.tables import engine
from xai_audit.intervals_rows import mean, t_quantile
from xai_audit.method import Measured, Method, Skipped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from xai_audit.method import Context, Piece
    from xai_audit.subject import Subject


class ShapParams(ModalParams):
    """How contributions are computed."""

    rows: int | None = Field(500, ge=1)
    """Test rows explained; null for all. Images and texts: 50 where it is not given."""
    background: Annotated[int, TABLE] = Field(100, ge=1)
    """Reference rows that fill in inputs that are not known."""
    output: Literal["score", "probability", "margin"] = "score"
    method: Literal["auto", "exact", "permutation", "partition", "tree", "linear"] = "auto"
    """tree and linear are for tables; partition, Owen values over a hierarchy, for images and texts."""
    permutations: int | None = Field(None, ge=2)
    """Sampled orders for each pair of a row and a reference row; null: from 2 to 10, as max_evals allows.

    Images and texts: sampled orders of a row's parts; null: at least 2, as evaluations allows.
    """
    max_evals: Annotated[int, TABLE] = Field(60_000_000, ge=1)
    """Answers of the model above which orders are sampled although all subsets could be computed."""
    resamples: int = Field(50, ge=2)
    """Redraws of the background, for the error that comes from it; for images and texts, of the sampled orders."""
    players: Annotated[Literal["superpixels", "grid", "pixels", "words", "tokens"] | None, IMAGE_OR_TEXT] = (
        None
    )
    """What contributions are of; null: superpixels of an image (pixels with partition), words of a text."""
    segmentation: Annotated[Literal["slic", "quickshift"] | None, IMAGE] = None
    """How superpixels are found; null: slic."""
    segments: Annotated[int | None, IMAGE] = Field(None, ge=2)
    """About how many superpixels or cells; null: 50."""
    mask: Annotated[Literal["mean", "blur", "gray", "value", "removal", "token"] | None, IMAGE_OR_TEXT] = None
    """What stands for a part that is hidden; null: mid-grey in an image, nothing in a text."""
    value: Annotated[int | None, IMAGE] = Field(None, ge=0, le=255)
    """The value of every channel with mask: value."""
    token: Annotated[str | None, TEXT] = None
    """The text with mask: token; null: the tokenizer's own mask token."""
    evaluations: Annotated[int | None, IMAGE_OR_TEXT] = Field(None, ge=4)
    """Answers of the model for each image or text; null: 1,000, with partition 500."""


def _work(subject: Subject, params: ShapParams, piece: Piece, seed: int) -> Mapping[str, NDArray[Any]]:
    del seed  # draws are seeded by row content, so that the cut into pieces changes nothing
    assert isinstance(piece, Share)
    assert piece.reference is not None
    assert piece.note is not None
    table, _ = reference_table(subject)
    output: Output = "margin" if params.output == "margin" else "score"
    solved = engine.solve(subject, output, piece.note, piece.rows, table, piece.reference, piece.seed)
    size = len(piece.reference)
    phi = solved.pairs.sum(axis=1) / size
    centred = solved.pairs - phi[:, None]
    background = (
        np.sqrt((centred**2).sum(axis=1) / (size - 1) / size) if size > 1 else np.full(phi.shape, np.inf)
    )
    picks = [_picks(piece.seed, repeat, size) for repeat in range(params.resamples)]
    draws = np.stack([solved.pairs[:, pick].sum(axis=1) / size for pick in picks], axis=1)
    return {
        "phi": phi,
        "library": np.full(phi.shape, np.nan) if solved.library is None else solved.library,
        "background_error": background,
        "order_error": solved.sampling,
        "draws": np.abs(draws),
        "outputs": solved.outputs,
        "reference": solved.reference,
    }


def _picks(seed: int, repeat: int, size: int) -> NDArray[np.int64]:
    return generator(seed, "shap", "background", repeat, size).integers(0, size, size=size)


def run(subject: Subject, params: ShapParams, context: Context) -> Iterator[Measured | Skipped]:
    """Global ranking, spread, single rows, and how far the values can be relied on."""
    modal.refuse(params, subject.modality)
    if params.output == "probability" and not subject.probabilities:
        raise MethodError("output: probability needs scores that are probabilities; these are a ranking")
    if subject.modality != "table":
        from xai_audit.explainers.coalitions import shap as shap_players

        yield from shap_players.run(subject, params, context)
        return
    if params.method == "partition":
        raise MethodError("method: partition is for images and texts; these rows are tables")
    rows, sampling = context.sample(params.rows)
    if not len(rows):
        raise MethodError("there are no test rows to explain")
    table, source = reference_table(subject)
    reference = smallest(table, params.background, context.seed, "background")
    if not len(reference):
        raise MethodError(f"the {source} table has no rows to serve as background")
    output: Output = "margin" if params.output == "margin" else "score"
    if output == "margin":
        _margins(subject)
    plan = engine.plan(
        subject, output, params.method, rows, table, reference, params.permutations, params.max_evals
    )  # fmt: skip
    pieces = shared(context.pieces(rows), context.seed, reference, table, plan.note)
    done = context.map(_work, pieces)
    found = {name: np.concatenate([part[name] for part in done]) for name in done[0] if name != "reference"}
    fb = done[0]["reference"]
    phi, engine_name, versions, said = engine.chosen(plan, found, fb)
    base = math.fsum(fb.tolist()) / len(fb)
    finite = np.isfinite(phi).all(axis=1) & np.isfinite(found["outputs"])
    about = {
        "engine": engine_name,
        "value_function": "interventional: mean output with the inputs of a set from the row, the rest from background rows",
        "players": "original columns",
        "output_explained": _explained(subject, output),
        "background_rows": len(reference),
        "background_from": source,
        "background_sha256": digest.joined(table.seed(int(row)) for row in reference),
    }
    if "spot_check" in plan.note:
        about["largest_difference_from_all_subsets"] = plan.note["spot_check"]
        about["rows_compared_with_all_subsets"] = engine.SPOT
    else:
        about["answers_through"] = (
            f"the last step's {plan.note['encoded']}" if plan.note["encoded"] else "the whole model"
        )
    if plan.note["engine"] == "permutation":
        about["permutations_used"] = 2 * plan.note["rounds"] * len(reference)
    limits = tuple(said) + _stated(subject, source)
    common: dict[str, Any] = {"sampling": sampling, "versions": versions, "params": about, "limits": limits}
    yield from _coverage(finite, sampling, common)
    if not finite.any():
        raise MethodError("no row got a finite explanation")
    yield from _observed(subject, params, context, rows, phi, found, finite, base, fb, common)


def _margins(subject: Subject) -> None:
    try:
        subject.evaluate(subject.test.frame.iloc[:1], "margin")
    except ValueError as error:
        raise MethodError(f"output: margin does not apply: {error}") from None


def _explained(subject: Subject, output: Output) -> str:
    if subject.task == "regression":
        return "the prediction"
    name = subject.classes[subject.positive] if subject.classes else subject.positive
    return f"{output} of class {name}"


def _stated(subject: Subject, source: str) -> tuple[str, ...]:
    said = []
    if source == "test":
        said.append("there are no training rows: the background comes from the test rows themselves")
    if subject.test.weights is not None or subject.test.clusters is not None:
        said.append("each row counts once: weights and clusters do not enter these means and intervals")
    return tuple(said)


def _coverage(finite: NDArray[np.bool_], sampling: Sampling, common: dict[str, Any]) -> Iterator[Measured]:
    share = exactly(int(finite.sum()) / len(finite), len(finite))
    limits = (
        *common["limits"],
        f"a share of the {len(finite)} rows asked for, of {sampling.available} in the test table",
    )
    yield Measured(
        name="coverage",
        title="Share of the rows asked for that got an explanation",
        observation=Scalar(estimate=share),
        **{**common, "limits": limits},
    )


def _observed(
    subject: Subject,
    params: ShapParams,
    context: Context,
    rows: NDArray[np.int64],
    phi: NDArray[np.float64],
    found: dict[str, NDArray[Any]],
    finite: NDArray[np.bool_],
    base: float,
    fb: NDArray[np.float64],
    common: dict[str, Any],
) -> Iterator[Measured | Skipped]:
    frame = subject.test.frame.iloc[rows[finite]].reset_index(drop=True)
    names = [str(name) for name in frame.columns]
    phi, outputs, draws = phi[finite], found["outputs"][finite], found["draws"][finite]
    sums = np.asarray([math.fsum([base, *row]) for row in phi.tolist()])
    residual = np.abs(sums - outputs)
    everything = np.concatenate([outputs, fb])
    scale = float(everything.max() - everything.min())
    relative = residual / np.maximum(np.abs(outputs - base), scale) if scale > 0 else residual
    arrays = {
        "phi": phi,
        "base": np.asarray([base]),
        "output": outputs,
        "residual": residual,
        "background_error": found["background_error"][finite],
        "order_error": found["order_error"][finite],
        "reference_output": fb,
        "draws": exact_mean(draws),
        "row_sha256": np.frombuffer(
            b"".join(bytes(subject.test.digests[row]).ljust(32, b"\0") for row in rows[finite]),
            dtype=np.uint8,
        ).reshape(-1, 32),
    }
    signed = exact_mean(phi)
    details = [
        {"mean_signed": float(value), **local.by_third(frame.iloc[:, j], phi[:, j], context.min_cell)}
        for j, value in enumerate(signed)
    ]
    ranking = ranked(
        names, np.abs(phi), arrays["draws"], context, unit=_unit(subject, params), details=details
    )
    yield Measured(
        observation=ranking, arrays=arrays, title="Mean absolute contribution of each input", **common
    )
    order = [names.index(item.name) for item in ranking.items]
    spread = local.swarm(frame, phi, order, context.min_cell)
    yield Measured(
        name=spread.name,
        title=spread.title,
        observation=spread.observation,
        arrays=spread.arrays,
        **{
            **common,
            "params": {**common["params"], **spread.params},
            "limits": (*common["limits"], *spread.limits),
        },
    )
    yield _cases(
        subject, params, context, frame, phi, found["background_error"][finite], outputs, base, common
    )
    worst = exactly(float(relative.max()), len(relative))
    measure = (
        "largest |sum of contributions + base - output| / max(|output - base|, range of outputs), "
        "the range over rows and background"
    )
    yield Measured(
        name="additivity",
        title="Largest relative residual of additivity",
        observation=Scalar(estimate=worst),
        **{**common, "params": {**common["params"], "residual": measure, "scale": scale}},
    )
    yield from _stability(draws, params, context, common)


def _unit(subject: Subject, params: ShapParams) -> str:
    if subject.task == "regression":
        return "change in prediction"
    return "change in margin" if params.output == "margin" else "change in score"


def _cases(
    subject: Subject,
    params: ShapParams,
    context: Context,
    frame: Any,
    phi: NDArray[np.float64],
    errors: NDArray[np.float64],
    outputs: NDArray[np.float64],
    base: float,
    common: dict[str, Any],
) -> Measured:
    decided = subject.binary and params.output != "margin"
    size = common["params"]["background_rows"]
    quantile = t_quantile(context.levels[0], size - 1) if size > 1 else math.inf
    threshold = subject.threshold if decided else None
    cases = []
    for why, i in local.chosen(subject, outputs, threshold=decided):
        halves = np.where(errors[i] > 0, quantile * errors[i], 0.0)
        cases.append(local.case(why, frame.iloc[i], phi[i], halves, float(outputs[i]), base, threshold))
    return Measured(
        name="local",
        title="Contributions for single rows",
        observation=Cases(cases=tuple(cases)),
        **{
            **common,
            "limits": (
                *common["limits"],
                "intervals hold the error of the background draw, not of the model",
            ),
        },
    )


def _stability(
    draws: NDArray[np.float64], params: ShapParams, context: Context, common: dict[str, Any]
) -> Iterator[Measured]:
    top = top_of(draws.shape[2])
    spearman, jaccard = agreement(draws, top)
    kept = {"draw_ranks": doubled(ranks(draws))}
    said = (*common["limits"], "all rows share the same redraws of the background; the interval is over rows")
    for name, values, title in (
        ("stability", spearman, "Same order of inputs with another background (mean Spearman correlation)"),
        ("stability_top5", jaccard, "Same leading inputs with another background (mean Jaccard index)"),
    ):
        value, limits = mean(values.tolist(), context.levels)
        cut = [
            (None if low is None else max(low, -1.0), None if high is None else min(high, 1.0))
            for low, high in limits
        ]
        yield Measured(
            name=name,
            title=title,
            observation=Scalar(estimate=context.estimate(value, cut, len(values))),
            arrays=kept,
            **{
                **common,
                "limits": said,
                "params": {
                    **common["params"],
                    "redraws": params.resamples,
                    "top": top,
                    "order_by": "absolute contribution",
                },
            },
        )


METHOD = Method(
    id="shap",
    kind="explainer",
    title="Contributions of inputs (Shapley values)",
    measures="How much each input moves the score from its average, shared out by Shapley's rule over the original columns",
    params=ShapParams,
    run=run,
    needs=("model", "features"),
    parts=(
        "beeswarm",
        "local",
        "additivity",
        "coverage",
        "stability",
        "stability_top5",
        "deletion",
        "insertion",
    ),
    limits=(
        "it describes the model, not the world: a large contribution is no cause",
        "inputs are replaced independently of each other, so the model is also asked about unlikely rows",
    ),
    cites=(
        "Shapley 1953, Contributions to the Theory of Games 2:307",
        "Lundberg and Lee 2017, NeurIPS",
        "Lundberg et al. 2020, Nature Machine Intelligence 2:56",
        "Janzing et al. 2020, AISTATS",
    ),
)

"""Gradient SHAP: expected gradients over paths from reference rows, each contribution with its standard error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from xai_audit.errors import MethodError
from xai_audit.evidence import Frozen, Scalar
from xai_audit.explainers.attributions import attributed, baselines, overlays, paths, removal
from xai_audit.explainers.rows import Share, generator, reference_table, shared, smallest
from xai_audit.mechanistic import gradients
from xai_audit.method import Measured, Method, Skipped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.explainers.attributions.attributed import Found
    from xai_audit.mechanistic.network import Network
    from xai_audit.method import Context, Piece
    from xai_audit.subject import Subject


class GradientShapParams(Frozen):
    """How paths are drawn."""

    rows: int | None = Field(64, ge=1)
    """Test rows explained; null for all."""
    background: int = Field(100, ge=1)
    """Reference rows (training, else test) that paths begin at, chosen by their digests."""
    draws: int = Field(200, ge=4)
    """Points for each row, in pairs that share their beginning and mirror each other along the path."""
    output: Literal["margin", "probability"] = "margin"
    """What is explained: the class's output before the link, or its probability."""
    site: str | None = None
    """Where attributions are taken for texts; null: the output of the embedding that is given the token ids."""


def points(
    seed: int, row: str, reference: NDArray[np.int64], draws: int
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Which reference rows paths to a row begin at, and where along them, both (draws,); pairs (u, 1 - u) begin alike."""
    rng = generator(seed, "gradient_shap", row)
    half = (draws + 1) // 2
    begin = reference[rng.integers(0, len(reference), half)]
    along = rng.uniform(size=half)
    return np.repeat(begin, 2), np.stack([along, 1 - along], axis=1).ravel()


def _work(
    subject: Subject, params: GradientShapParams, piece: Piece, seed: int
) -> Mapping[str, NDArray[Any]]:
    del seed  # what is drawn is seeded by the spec's seed and row content
    assert isinstance(piece, Share)
    assert piece.reference is not None
    network = paths.network_of(subject)
    rows = [int(row) for row in piece.rows]
    columns = overlays.explained(subject, piece.rows).tolist()
    made = [
        _row(subject, network, params, piece, row, column) for row, column in zip(rows, columns, strict=True)
    ]
    values = [one.values.numpy() for one in made]
    areas = removal.judged(
        subject, rows, [removal.units(subject, one) for one in values], columns, piece.seed
    )
    return {
        **attributed.pack("values", values),
        **attributed.pack("errors", [one.error.numpy() for one in made]),
        "start": np.asarray([one.start for one in made]),
        "end": np.asarray([one.end for one in made]),
        "gap": np.asarray([one.gap for one in made]),
        "gap_error": np.asarray([one.gap_error for one in made]),
        **attributed.walks(areas),
    }


def _row(
    subject: Subject, network: Network, params: GradientShapParams, piece: Share, row: int, column: int
) -> gradients.Expected:
    assert piece.reference is not None
    table, _ = reference_table(subject)
    place = paths.site(subject, params.site)
    begin, along = points(piece.seed, subject.test.seed(row), piece.reference, params.draws)
    return gradients.expected(
        network,
        paths.batch_of(subject, network, row),
        baselines.drawn(subject, network, place, row, table, begin),
        along,
        gradients.output_of(network, column, probability=params.output == "probability"),
        site=place,
        paired=True,
        reduce=paths.reducer(subject, network, row),
    )


def run(subject: Subject, params: GradientShapParams, context: Context) -> Iterator[Measured | Skipped]:
    """Rankings or regions, single rows with intervals, what the sum misses, and removal in order."""
    paths.checked(subject, params.site)
    rows, sampling = context.sample(params.rows)
    if not len(rows):
        raise MethodError("there are no test rows to explain")
    table, source = reference_table(subject)
    if not table.n:
        raise MethodError(f"the {source} table has no rows that paths could begin at")
    reference = smallest(table, params.background, context.seed, "gradient_shap")
    pieces = shared(
        context.pieces(rows), context.seed, reference, table, {"params": params.model_dump(mode="json")}
    )
    done = context.map(_work, pieces)
    found = attributed.found_of(rows, overlays.explained(subject, rows), done, errors=True)
    unit = f"change in {params.output}"
    about = {
        "engine": "xai-audit",
        "explained": f"{params.output} of {overlays.explained_words(subject)}",
        "site_used": str(paths.site(subject, params.site)) or "input",
        "background_rows": len(reference),
        "reference": source,
        "independent_draws": (params.draws + 1) // 2,
    }
    if subject.modality == "text":
        about["background_is"] = (
            "the other texts' tokens in place of the text's own, cut or padded to its length"
        )
    common: dict[str, Any] = {
        "sampling": sampling,
        "versions": {"engine": "xai-audit", "torch": version("torch"), "numpy": np.__version__},
        "params": about,
        "limits": attributed.said(subject),
    }
    whole = attributed.finite(found)
    yield attributed.coverage(whole, common)
    found = found.kept(whole)
    gap, error = (attributed.joined(done, name)[whole] for name in ("gap", "gap_error"))
    assert found.errors is not None
    more = {"gap": gap, "gap_error": error, "mean_error": np.asarray([one.mean() for one in found.errors])}
    kept = attributed.kept_of(subject, found, more)
    yield attributed.overall(subject, found, context, common, unit=unit, kept=kept)
    probability = params.output == "probability"
    yield attributed.cases(subject, found, context, common, unit=unit, probability=probability, kept=kept)
    yield _additivity(found, gap, error, context, common)
    yield from attributed.faithfulness(subject, found, context, common, {})


def _additivity(
    found: Found,
    gap: NDArray[np.float64],
    error: NDArray[np.float64],
    context: Context,
    common: Mapping[str, Any],
) -> Measured | Skipped:
    outputs = np.concatenate([found.start, found.end])
    scale = float(outputs.max() - outputs.min())
    if scale <= 0:
        return Skipped(name="additivity", reason="the output is the same for every row and the background")
    relative = np.abs(gap) / np.maximum(np.abs(found.end - found.start), scale)
    about = {
        "residual": "|sum of contributions - change| / max(|change|, range of outputs), the change being from the mean "
        "output of the drawn reference rows",
        "largest": float(relative.max()),
        "scale": scale,
        "within_two_standard_errors": float((np.abs(gap) <= 2 * error).mean()),
    }
    said = "the sum holds in expectation: what it misses is the error of the draws"
    return Measured(
        name="additivity",
        title="Mean relative residual of additivity",
        observation=Scalar(estimate=attributed.mean_of(relative, context, low=0.0)),
        **{**common, "limits": (*common["limits"], said), "params": {**common["params"], **about}},
    )


METHOD = Method(
    id="gradient_shap",
    kind="explainer",
    title="Gradient SHAP (expected gradients)",
    measures="How far each pixel, word or input moves the output, by gradients at points drawn on the way to the row",
    params=GradientShapParams,
    run=run,
    needs=("network",),
    parts=(*attributed.SHARED_PARTS, "additivity"),
    limits=(
        "contributions are Shapley values only where the network is nearly linear between row and reference",
        "it describes the network at inputs that no one has seen; a large contribution is no cause",
    ),
    cites=(
        "Lundberg and Lee 2017, NeurIPS",
        "Erion, Janizek, Sturmfels, Lundberg and Lee 2021, Nature Machine Intelligence 3:620",
        "Petsiuk, Das and Saenko 2018, BMVC",
    ),
)

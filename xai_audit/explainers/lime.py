"""LIME: a weighted linear fit around each row, its fidelity measured on neighbours it has not seen.

Tables here; pictures and texts, whose neighbours lack some of their parts, in ``lime_players``.
"""

from __future__ import annotations

import math
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
from pydantic import Field

from xai_audit import digest
from xai_audit.errors import MethodError
from xai_audit.evidence import Cases, Sampling, Scalar, exactly
from xai_audit.explainers import local
from xai_audit.explainers.coalitions import modal
from xai_audit.explainers.coalitions.modal import IMAGE, IMAGE_OR_TEXT, TABLE, TEXT, ModalParams
from xai_audit.explainers.ranking import agreement, ranked, top_of
from xai_audit.explainers.rows import Output, Share, contents, exact_mean, reference_table, shared
from xai_audit.explainers.tables.fits import around, explained, fit
from xai_audit.explainers.tables.neighbours import Discretizer, Input, Pool, draw, inputs
from xai_audit.intervals_rows import mean, t_quantile
from xai_audit.method import Measured, Method, Skipped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from xai_audit.method import Context, Piece
    from xai_audit.subject import Subject

REPRODUCED = "0.2.0.1"
"""The version of lime whose draws and fit these are."""


class LimeParams(ModalParams):
    """How local fits are made."""

    rows: int | None = Field(200, ge=1)
    """Test rows explained; null for all. Images and texts: 20 where it is not given."""
    samples: int = Field(5000, ge=10)
    """Neighbours of each fit, the row itself included. Images and texts: 1,000 where it is not given."""
    features: int | None = Field(None, ge=1)
    """Inputs in each fit, chosen as lime chooses them; null for all."""
    kernel_width: float | None = Field(None, gt=0)
    """null: 0.75 times the root of the number of inputs; 0.25 for images and 25 for texts, as in lime."""
    discretize: Annotated[Discretizer, TABLE] = "quartile"
    output: Literal["score", "probability", "margin"] = "score"
    seeds: int = Field(5, ge=2)
    """Repetitions with other draws: the first is shown, the others say how far it can be relied on."""
    draws: Annotated[Literal["shared", "row"], TABLE] = "shared"
    """shared: all rows use the same neighbours (lime re-seeded for every row); row: each row draws its own."""
    players: Annotated[Literal["superpixels", "grid", "words", "tokens"] | None, IMAGE_OR_TEXT] = None
    """What is switched off; null: superpixels of an image, words of a text."""
    segmentation: Annotated[Literal["slic", "quickshift"] | None, IMAGE] = None
    """How superpixels are found; null: slic. quickshift is lime's own, too coarse for small images."""
    segments: Annotated[int | None, IMAGE] = Field(None, ge=2)
    """About how many superpixels or cells; null: 50."""
    mask: Annotated[Literal["mean", "blur", "gray", "value", "removal", "token"] | None, IMAGE_OR_TEXT] = None
    """What stands for a part that is off; null: the part's mean colour in an image, nothing in a text."""
    value: Annotated[int | None, IMAGE] = Field(None, ge=0, le=255)
    """The value of every channel with mask: value."""
    token: Annotated[str | None, TEXT] = None
    """The text with mask: token; null: the tokenizer's own mask token."""


def _work(subject: Subject, params: LimeParams, piece: Piece, seed: int) -> Mapping[str, NDArray[Any]]:
    del seed  # draws are seeded by the spec's seed and, where each row draws its own, by row content
    assert isinstance(piece, Share)
    assert piece.note is not None
    table, _ = reference_table(subject)
    known = _known(subject, params)
    frame = subject.test.frame.iloc[piece.rows].reset_index(drop=True)
    codes = np.stack([one.code(frame[name]) for one, name in zip(known, frame.columns, strict=True)], axis=1)
    told = subject.output(frame, _output(params))
    width = params.kernel_width or math.sqrt(len(known)) * 0.75
    coefficients = np.empty((len(frame), params.seeds, len(known)))
    intercepts = np.empty((len(frame), params.seeds))
    fidelity = np.full(len(frame), np.nan)
    for i, row in enumerate(piece.rows):
        pools = [
            _pool(subject, params, piece.seed, repeat, known, table.frame, int(row))
            for repeat in range(params.seeds)
        ]
        unseen = None
        for repeat, (pool, answers) in enumerate(pools):
            sums, others = around(pool.codes, codes[i], answers, float(told[i]), width)
            intercepts[i, repeat], coefficients[i, repeat] = fit(sums, float(told[i]), params.features)
            unseen = others if repeat == 1 else unseen
        # The first fit is judged on the second pool, which it has not seen, without the row itself.
        assert unseen is not None
        fidelity[i] = explained(unseen, float(told[i]), float(intercepts[i, 0]), coefficients[i, 0])
    return {
        "coefficients": coefficients,
        "intercepts": intercepts,
        "fidelity": fidelity,
        "outputs": told,
        "codes": codes,
    }


def _output(params: LimeParams) -> Output:
    return "margin" if params.output == "margin" else "score"


_KNOWN: WeakKeyDictionary[Subject, dict[str, tuple[Input, ...]]] = WeakKeyDictionary()
_POOLS: WeakKeyDictionary[Subject, dict[str, tuple[Pool, NDArray[np.float64]]]] = WeakKeyDictionary()


def _known(subject: Subject, params: LimeParams) -> tuple[Input, ...]:
    # Every piece of a map asks for the same bins; they are made once a process.
    kept = _KNOWN.setdefault(subject, {})
    if params.discretize not in kept:
        kept[params.discretize] = inputs(reference_table(subject)[0].frame, params.discretize)
    return kept[params.discretize]


def _pool(
    subject: Subject,
    params: LimeParams,
    seed: int,
    repeat: int,
    known: tuple[Input, ...],
    frame: Any,
    row: int,
) -> tuple[Pool, NDArray[np.float64]]:
    """Neighbours and the model's answers to them; those that all rows share are asked once a process."""
    own = "" if params.draws == "shared" else subject.test.seed(row)
    kept = {} if own else _POOLS.setdefault(subject, {})
    key = f"{seed}:{repeat}:{params.samples}:{params.discretize}:{params.output}"
    if key not in kept:
        state = np.random.RandomState(seed_of(seed, repeat, own))  # lime's own kind of generator
        pool = draw(known, frame, params.samples, state)
        kept[key] = (pool, subject.output(pool.frame.iloc[1:], _output(params)))
    return kept[key]


def seed_of(seed: int, repeat: int, own: str = "") -> int:
    """The 32-bit seed of lime's generator for one repetition: of the run, and of a row where each draws its own."""
    return digest.seed(seed, "lime", repeat, own) % 2**32


def run(subject: Subject, params: LimeParams, context: Context) -> Iterator[Measured | Skipped]:
    """Global ranking of local weights, single rows, held-out fidelity, and agreement between draws."""
    modal.refuse(params, subject.modality)
    if params.output == "probability" and not subject.probabilities:
        raise MethodError("output: probability needs scores that are probabilities; these are a ranking")
    if subject.modality != "table":
        from xai_audit.explainers.coalitions import lime as lime_players

        yield from lime_players.run(subject, params, context)
        return
    rows, sampling = context.sample(params.rows)
    if not len(rows):
        raise MethodError("there are no test rows to explain")
    table, source = reference_table(subject)
    if not table.n:
        raise MethodError(f"the {source} table has no rows to draw neighbours from")
    known = _known(subject, params)
    note = {"params": params.model_dump(mode="json"), "reference": contents(table), "rows": table.n}
    pieces = shared(context.pieces(rows), context.seed, np.arange(0), table, note)
    done = context.map(_work, pieces)
    found = {name: np.concatenate([part[name] for part in done]) for name in done[0]}
    common = _common(subject, params, known, source, len(rows), sampling)
    finite = np.isfinite(found["coefficients"]).all(axis=(1, 2)) & np.isfinite(found["outputs"])
    yield Measured(
        name="coverage",
        title="Share of the rows asked for that got an explanation",
        observation=Scalar(estimate=exactly(int(finite.sum()) / len(finite), len(finite))),
        **common,
    )
    if not finite.any():
        raise MethodError("no row got a finite explanation")
    found = {name: values[finite] for name, values in found.items()}
    yield from _observed(subject, params, context, rows[finite], known, found, common)


def _common(
    subject: Subject, params: LimeParams, known: tuple[Input, ...], source: str, rows: int, sampling: Sampling
) -> dict[str, Any]:
    bitten = [one.name for one in known if one.degenerate]
    missing = [one.name for one in known if one.cuts is not None and one.codes[-1] > len(one.cuts)]
    said = []
    if params.draws == "shared":
        said.append(
            "all rows share the same neighbours, so their errors are correlated (lime re-seeded for every row)"
        )
    if bitten:
        said.append(
            f"lime {REPRODUCED} would draw 0 where a bin holds one value only ({', '.join(bitten)}); "
            "that value is drawn here"
        )
    if missing:
        said.append(f"missing numbers are a bin of their own, where lime fails ({', '.join(missing)})")
    if source == "test":
        said.append("there are no training rows: neighbours are drawn from the test rows' own distribution")
    if subject.test.weights is not None or subject.test.clusters is not None:
        said.append("each row counts once: weights and clusters do not enter these means and intervals")
    calls = params.seeds * (params.samples - 1)
    about = {
        "engine": f"xai-audit; the draws and fit of lime {REPRODUCED}",
        "players": "original columns",
        "explained": "the prediction"
        if subject.task == "regression"
        else f"{_output(params)} of the positive class",
        "neighbours_from": source,
        "kernel_width_used": params.kernel_width or math.sqrt(len(known)) * 0.75,
        "answers_of_the_model": rows + (calls if params.draws == "shared" else calls * rows),
        "bins_of_one_value": bitten,
    }
    versions = {"engine": str(about["engine"]), "numpy": np.__version__, "scipy": version("scipy")}
    return {"sampling": sampling, "versions": versions, "params": about, "limits": tuple(said)}


def _observed(
    subject: Subject,
    params: LimeParams,
    context: Context,
    rows: NDArray[np.int64],
    known: tuple[Input, ...],
    found: dict[str, NDArray[Any]],
    common: dict[str, Any],
) -> Iterator[Measured | Skipped]:
    frame = subject.test.frame.iloc[rows].reset_index(drop=True)
    coefficients, outputs, codes = found["coefficients"], found["outputs"], found["codes"]
    first = coefficients[:, 0]
    sizes = np.abs(coefficients)
    names = [one.name for one in known]
    details = [{"mean_signed": float(value)} for value in exact_mean(first)]
    unit = "weight of sharing the row's bin or level"
    arrays = {
        "coefficients": first,
        "coefficients_by_draw": coefficients,
        "intercept": found["intercepts"][:, 0],
        "output": outputs,
        "fidelity": found["fidelity"],
        "row_sha256": np.frombuffer(
            b"".join(bytes(subject.test.digests[row]).ljust(32, b"\0") for row in rows), dtype=np.uint8
        ).reshape(-1, 32),
    }
    ranking = ranked(names, sizes[:, 0], exact_mean(sizes), context, unit=unit, details=details)
    yield Measured(
        title="Mean absolute local weight of each input", observation=ranking, arrays=arrays, **common
    )
    yield _cases(
        subject, params, context, frame, known, coefficients, found["intercepts"], outputs, codes, common
    )
    yield _fidelity(found["fidelity"], context, common)
    top = top_of(len(known))
    spearman, jaccard = agreement(sizes, top)
    for name, values, title in (
        ("stability", spearman, "Same order of inputs with other draws (mean Spearman correlation)"),
        ("stability_top5", jaccard, "Same leading inputs with other draws (mean Jaccard index)"),
    ):
        value, limits = mean(values.tolist(), context.levels)
        cut = [
            (None if low is None else max(low, -1.0), None if high is None else min(high, 1.0))
            for low, high in limits
        ]
        more = {**common["params"], "repetitions": params.seeds, "top": top, "order_by": "absolute weight"}
        yield Measured(
            name=name,
            title=title,
            observation=Scalar(estimate=context.estimate(value, cut, len(values))),
            **{**common, "params": more},
        )


def _fidelity(values: NDArray[np.float64], context: Context, common: dict[str, Any]) -> Measured | Skipped:
    usable = values[np.isfinite(values)]
    if not len(usable):
        return Skipped(
            name="fidelity", reason="the model's answers do not vary among the neighbours of any row"
        )
    value, limits = mean(usable.tolist(), context.levels)
    cut = [(low, None if high is None else min(high, 1.0)) for low, high in limits]
    said: tuple[str, ...] = (
        "measured on neighbours of other draws than the fit's, weighted as in the fit; mean over rows",
    )
    if len(usable) < len(values):
        said += (f"{len(values) - len(usable)} rows have neighbours whose answers do not vary: no R2",)
    return Measured(
        name="fidelity",
        title="Weighted R2 of the local fits on neighbours they have not seen",
        observation=Scalar(estimate=context.estimate(value, cut, len(usable))),
        **{**common, "limits": (*common["limits"], *said)},
    )


def _cases(
    subject: Subject,
    params: LimeParams,
    context: Context,
    frame: Any,
    known: tuple[Input, ...],
    coefficients: NDArray[np.float64],
    intercepts: NDArray[np.float64],
    outputs: NDArray[np.float64],
    codes: NDArray[np.float64],
    common: dict[str, Any],
) -> Measured:
    decided = subject.binary and params.output != "margin"
    quantile = t_quantile(context.levels[0], params.seeds - 1)
    cases = []
    for why, i in local.chosen(subject, outputs, threshold=decided):
        halves = quantile * np.std(coefficients[i], axis=0, ddof=1)
        told = local.case(
            why, frame.iloc[i], coefficients[i, 0], halves, float(outputs[i]), float(intercepts[i, 0]),
            subject.threshold if decided else None,
        )  # fmt: skip
        labels = {one.name: one.label(codes[i, j]) for j, one in enumerate(known)}
        told["items"] = [{**item, "condition": labels[item["name"]]} for item in told["items"]]
        told["fitted"] = float(intercepts[i, 0] + math.fsum(coefficients[i, 0].tolist()))
        cases.append(told)
    limits = (
        *common["limits"],
        "base and weights add up to the local fit's value, which need not be the model's score",
    )
    return Measured(
        name="local",
        title="Local weights for single rows",
        observation=Cases(cases=tuple(cases)),
        **{**common, "limits": limits},
    )


METHOD = Method(
    id="lime",
    kind="explainer",
    title="Local linear fits (LIME)",
    measures="How the score near each row depends on sharing its values, by a weighted linear fit to the model's answers",
    params=LimeParams,
    run=run,
    needs=("model", "features"),
    parts=("local", "fidelity", "stability", "stability_top5", "coverage", "deletion", "insertion"),
    limits=(
        "weights describe a fit around a row, not the model itself: read them beside the fidelity",
        "inputs are drawn independently of each other, so the model is also asked about unlikely rows",
    ),
    cites=("Ribeiro, Singh and Guestrin 2016, KDD", "Garreau and von Luxburg 2020, AISTATS"),
)

"""LIME of pictures and texts: parts are switched off at random, and a weighted linear fit says what each is worth.

Draws, kernel and fit are those of lime 0.2.0.1's LimeImageExplainer and LimeTextExplainer for the same RandomState. Each
row has neighbours of its own, and no different picture or text is asked twice.
"""

from __future__ import annotations

import math
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.errors import MethodError
from xai_audit.evidence import Sampling, Scalar
from xai_audit.explainers.attributions import attributed, overlays
from xai_audit.explainers.coalitions import modal, played, players
from xai_audit.explainers.lime import REPRODUCED, seed_of
from xai_audit.explainers.rows import Share, shared
from xai_audit.explainers.tables.fits import Sums, explained, fit
from xai_audit.intervals_rows import t_quantile
from xai_audit.method import Measured, Skipped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from xai_audit.explainers.lime import LimeParams
    from xai_audit.explainers.rows import Output
    from xai_audit.method import Context, Piece
    from xai_audit.subject import Modality, Subject

ROWS, SAMPLES = 20, 1000
"""Rows explained and neighbours of each fit, where the spec names none."""
WIDTH = {"image": 0.25, "text": 25.0}
"""Kernel widths of lime."""
SCALE = {"image": 1.0, "text": 100.0}
"""What lime multiplies the cosine distance by."""
SEGMENTATION_SEEDS = 1000
"""lime draws a seed for its superpixels before anything else; skimage has not taken it since 0.21."""


def masks(modality: Modality, count: int, samples: int, state: np.random.RandomState) -> NDArray[np.bool_]:
    """Neighbours (samples, players) as lime draws them; the first is the row itself."""
    if modality == "image":
        state.randint(0, high=SEGMENTATION_SEEDS)
        found = state.randint(0, 2, samples * count).reshape(samples, count) == 1
        found[0] = True
        return np.asarray(found)
    found = np.ones((samples, count), dtype=bool)
    sizes = state.randint(1, count + 1, samples - 1)
    for row, size in enumerate(sizes.tolist(), start=1):
        found[row, state.permutation(count)[:size]] = False
    return found


def weights(shown: NDArray[np.bool_], modality: Modality, width: float) -> NDArray[np.float64]:
    """The kernel of lime over the cosine distance to the whole row, for each mask."""
    distance = SCALE[modality] * (1 - np.sqrt(shown.mean(axis=1)))
    return np.asarray(np.sqrt(np.exp(-(distance**2) / width**2)))


def moments(
    shown: NDArray[np.bool_], answers: NDArray[np.float64], weight: NDArray[np.float64], told: float
) -> Sums:
    """The weighted sums that a fit needs; answers are counted from the row's own."""
    x, shifted = shown.astype(np.float64), answers - told
    total = float(weight.sum())
    centre, level = weight @ x / total, float(weight @ shifted) / total
    inner, moved = x - centre, shifted - level
    weighted = inner * weight[:, None]
    return Sums(
        total=total,
        centre=centre,
        level=level,
        gram=weighted.T @ inner,
        cross=weighted.T @ moved,
        spread=float(weight @ moved**2),
        answers=float(np.max(np.abs(shifted), initial=0.0)),
    )


def row_of(
    ask: Any, modality: Modality, count: int, params: LimeParams, samples: int, seed: int, own: str
) -> dict[str, NDArray[Any]]:
    """All that is fitted for one row: (players, seeds) coefficients, intercepts, fits in and out of sample."""
    width = params.kernel_width or WIDTH[modality]
    drawn = [
        masks(modality, count, samples, np.random.RandomState(seed_of(seed, repeat, own)))
        for repeat in range(params.seeds)
    ]
    answers = ask(np.concatenate(drawn)).reshape(params.seeds, samples)
    told = float(answers[0, 0])
    coefficients, intercepts = np.empty((count, params.seeds)), np.empty(params.seeds)
    score = held_out = math.nan
    for repeat, shown in enumerate(drawn):
        weight = weights(shown, modality, width)
        sums = moments(shown, answers[repeat], weight, told)
        intercepts[repeat], coefficients[:, repeat] = fit(sums, told, params.features)
        if repeat == 0:
            score = explained(sums, told, float(intercepts[0]), coefficients[:, 0])
        if repeat == 1:
            # The first fit is judged on the second draws, without the row itself.
            unseen = moments(shown[1:], answers[1, 1:], weight[1:], told)
            held_out = explained(unseen, told, float(intercepts[0]), coefficients[:, 0])
    return {
        "coefficients": coefficients,
        "intercepts": intercepts[None],
        "start": intercepts[:1],
        "end": np.asarray([told]),
        "score": np.asarray([score]),
        "fidelity": np.asarray([held_out]),
    }


def _empty(seeds: int) -> dict[str, NDArray[Any]]:
    nothing = np.asarray([math.nan])
    return {
        "coefficients": np.empty((0, seeds)),
        "intercepts": np.full((1, seeds), math.nan),
        **dict.fromkeys(("start", "end", "score", "fidelity"), nothing),
    }


def _work(subject: Subject, params: LimeParams, piece: Piece, seed: int) -> Mapping[str, NDArray[Any]]:
    del seed  # draws are seeded by the spec's seed and the row's content
    assert isinstance(piece, Share)
    choice = players.choose(subject, params, _mask(subject))
    columns = overlays.explained(subject, piece.rows)
    cuts = [players.switches(subject, choice, int(row)) for row in piece.rows]
    fitted, answers = [], []
    for row, column, cut in zip(piece.rows.tolist(), columns.tolist(), cuts, strict=True):
        ask = players.Asker(subject, cut, _output(params), column)
        fitted.append(
            row_of(
                ask, subject.modality, cut.count, params, _samples(params), piece.seed, subject.test.seed(row)
            )
            if cut.count
            else _empty(params.seeds)
        )
        answers.append(ask.answers)
    own = [one["coefficients"][:, 0] for one in fitted]
    return {
        **played.handed(subject, piece.rows, columns, cuts, own, piece.seed),
        **{name: np.concatenate([one[name] for one in fitted]) for name in fitted[0]},
        "answers": np.asarray(answers),
    }


def _mask(subject: Subject) -> str:
    return "mean" if subject.modality == "image" else "removal"


def _output(params: LimeParams) -> Output:
    return "margin" if params.output == "margin" else "score"


def _samples(params: LimeParams) -> int:
    return params.samples if "samples" in params.model_fields_set else SAMPLES


def run(subject: Subject, params: LimeParams, context: Context) -> Iterator[Measured | Skipped]:
    """Words or regions by weight, single rows, held-out fidelity, agreement between draws, and removal of parts."""
    choice = players.choose(subject, params, _mask(subject))
    wanted = params.rows if "rows" in params.model_fields_set else ROWS
    rows, sampling = context.sample(wanted)
    if not len(rows):
        raise MethodError("there are no test rows to explain")
    note = {"params": params.model_dump(mode="json"), "samples": _samples(params)}
    pieces = shared(context.pieces(rows), context.seed, np.arange(0), subject.test, note)
    done = context.map(_work, pieces)
    common = _common(subject, params, choice, wanted, done, sampling)
    found = attributed.found_of(rows, overlays.explained(subject, rows), done)
    counts = attributed.joined(done, "players")
    whole = attributed.finite(found) & (counts > 0)
    yield attributed.coverage(whole, common)
    found = found.kept(whole)
    weighed = played.by_row(attributed.joined(done, "coefficients"), counts)
    draws = [one.T for one, keep in zip(weighed, whole, strict=True) if keep]
    kept = played.arrays(subject, found, whole, done)
    kept |= {name: attributed.joined(done, name)[whole] for name in ("score", "fidelity")}
    kept["coefficients"] = np.concatenate([one.T for one in draws])
    unit = f"change in {'prediction' if subject.task == 'regression' else _output(params)}"
    yield played.overall(subject, found, context, common, unit=unit, kept=kept)
    quantile = t_quantile(context.levels[0], params.seeds - 1)
    yield played.cases(
        subject,
        choice,
        found,
        {**common, "limits": (*common["limits"], *_said_of_cases(choice))},
        values=[one[0] for one in draws],
        halves=[quantile * np.std(one, axis=0, ddof=1) for one in draws],
        unit=unit,
        title="Local weights for single rows",
        kept=kept,
        more=[
            {"fitted": start + math.fsum(one[0].tolist())}
            for start, one in zip(found.start.tolist(), draws, strict=True)
        ],
    )
    yield _fidelity(attributed.joined(done, "fidelity")[whole], context, common)
    yield from played.stability(
        np.asarray([played.agreed(one) for one in draws]),
        context,
        common,
        of=players.called(subject),
        what="other draws",
        params={"repetitions": params.seeds},
        kept=kept,
    )
    yield from attributed.faithfulness(subject, found, context, common, {})


def _common(
    subject: Subject,
    params: LimeParams,
    choice: players.Choice,
    wanted: int | None,
    done: list[Mapping[str, NDArray[Any]]],
    sampling: Sampling,
) -> dict[str, Any]:
    said = []
    if choice.mask == "mean":
        said.append(
            "a part of one colour hides as itself: it has the weight 0 whatever the model makes of it"
        )
    if choice.segmentation == "quickshift" and choice.players == "superpixels":
        said.append(f"lime {REPRODUCED} draws a seed for quickshift that scikit-image no longer takes")
    counts = attributed.joined(done, "players")
    about = {
        **modal.silenced(params, subject.modality),
        "engine": f"xai-audit; the draws and fit of lime {REPRODUCED}",
        **choice.words(),
        "explained": overlays.explained_words(subject),
        "rows": wanted,
        "samples": _samples(params),
        "kernel_width_used": params.kernel_width or WIDTH[subject.modality],
        "players_of_a_row": {"fewest": int(counts.min()), "most": int(counts.max())},
        "answers_of_the_model": int(attributed.joined(done, "answers").sum()),
    }
    versions = {"engine": str(about["engine"]), "numpy": np.__version__}
    if choice.players == "superpixels":
        versions["scikit-image"] = version("scikit-image")
    limits = (*said, *attributed.said(subject))
    return {"sampling": sampling, "versions": versions, "params": about, "limits": limits}


def _said_of_cases(choice: players.Choice) -> tuple[str, ...]:
    said = ("base and weights add up to the local fit's value, which need not be the model's score",)
    return (*said, *SHARED_OUT) if choice.bag and choice.players == "words" else said


SHARED_OUT = ("a word that stands several times shares its weight out equally over its places",)


def _fidelity(values: NDArray[np.float64], context: Context, common: dict[str, Any]) -> Measured | Skipped:
    usable = values[np.isfinite(values)]
    if not len(usable):
        return Skipped(
            name="fidelity", reason="the model's answers do not vary among the neighbours of any row"
        )
    said = ["measured on neighbours of other draws than the fit's, weighted as in the fit; mean over rows"]
    if len(usable) < len(values):
        said.append(f"{len(values) - len(usable)} rows have neighbours whose answers do not vary: no R2")
    return Measured(
        name="fidelity",
        title="Weighted R2 of the local fits on neighbours they have not seen",
        observation=Scalar(estimate=attributed.mean_of(usable, context, None, 1.0)),
        **{**common, "limits": (*common["limits"], *said)},
    )

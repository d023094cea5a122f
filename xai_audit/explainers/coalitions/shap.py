"""Shapley values of the parts of pictures and texts: all coalitions, sampled orders with their error, or a hierarchy.

The game of a row is the model's output when some of its parts are shown and the rest are hidden. Nothing is asked of the
model but its answers.
"""

from __future__ import annotations

import math
from collections import Counter
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.errors import MethodError
from xai_audit.evidence import Sampling, Scalar, exactly
from xai_audit.explainers.attributions import attributed, overlays
from xai_audit.explainers.coalitions import modal, partition, played, players
from xai_audit.explainers.rows import Share, generator, shared
from xai_audit.explainers.tables.asking import from_table
from xai_audit.explainers.tables.engine import EXACT_COLUMNS
from xai_audit.explainers.tables.pairs import size_weights
from xai_audit.intervals_rows import t_quantile
from xai_audit.method import Measured, Skipped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from xai_audit.explainers.rows import Output
    from xai_audit.explainers.shap import ShapParams
    from xai_audit.method import Context, Piece
    from xai_audit.subject import Subject

ROWS = 50
"""Rows explained where the spec names none."""
EVALUATIONS = {"partition": 500, "other": 1000}
"""Answers of the model for each row where the spec names none; 500 is shap's own."""
MOST_EXACT = 16
"""Players of whom all coalitions are asked where that is wanted."""
CELLS = 1 << 24
"""Masks times players asked for at once."""
ENGINES = ("nothing to explain", "all coalitions", "sampled orders", "hierarchy")


def row_of(
    ask: players.Asker, cut: players.Parts | players.Sentence, params: ShapParams, draw: np.random.Generator
) -> dict[str, NDArray[Any]]:
    """Values of one row's players, their error from sampled orders, and how they were had."""
    count, budget = cut.count, _budget(params)
    none = (math.nan, math.nan)
    if not count:
        return _told(np.zeros(0), np.zeros(0), math.nan, 0, 0, none, 0)
    if params.method == "partition":
        root: partition.Group = (
            partition.Box(cut.parts.shape) if isinstance(cut, players.Parts) else partition.phrases(cut.cut)
        )
        found = partition.owen(ask, root, count, budget)
        return _told(found.values, np.zeros(count), found.ends[0], 3, 0, none, found.closed)
    if params.method == "exact" and count > MOST_EXACT:
        raise MethodError(
            f"method: exact asks the model about all coalitions; a row has {count} parts, more than {MOST_EXACT}"
        )
    small = count <= EXACT_COLUMNS and 2**count <= budget
    if params.method == "exact" or (params.method == "auto" and small):
        table = ask((np.arange(1 << count)[:, None] >> np.arange(count)) & 1 == 1)
        values = from_table(table, count, size_weights(count))
        return _told(values, np.zeros(count), float(table[0]), 1, 0, (1.0, 1.0), 0)
    rounds = params.permutations or max(2, budget // max(2 * (count - 1), 1))
    chains = draw.permuted(np.broadcast_to(np.arange(count), (rounds, count)), axis=1)
    orders, low = by_orders(ask, chains)
    values = orders.sum(axis=0) / rounds
    error = np.sqrt(((orders - values) ** 2).sum(axis=0) / (rounds - 1) / rounds)
    again = draw.integers(0, rounds, size=(params.resamples, rounds))
    draws = orders[again].sum(axis=1) / rounds
    return _told(values, error, low, 2, rounds, played.agreed(draws), 0, played.ranks_of(draws))


def by_orders(ask: Any, chains: NDArray[np.int64]) -> tuple[NDArray[np.float64], float]:
    """What each player adds in each order (orders, players) and its reverse, on average; and the value of none."""
    rounds, count = chains.shape
    found = np.zeros((rounds, count))
    ends = np.asarray([[False], [True]]).repeat(count, axis=1)
    low = math.nan
    step = max(CELLS // (2 * count * count), 1)
    for start in range(0, rounds, step):
        some = chains[start : start + step]
        forward = np.argsort(some, axis=1)[:, None, :] < np.arange(1, count)[None, :, None]
        # What a reversed order has shown is what the order has yet to show.
        masks = np.concatenate([ends, forward.reshape(-1, count), ~forward[:, ::-1].reshape(-1, count)])
        told = ask(masks)
        low, high = float(told[0]), float(told[1])
        paths = told[2:].reshape(2, len(some), count - 1)
        for chain, path in zip((some, some[:, ::-1]), paths, strict=True):
            whole = np.pad(path, ((0, 0), (1, 1)), constant_values=((0, 0), (low, high)))
            gains = np.empty((len(some), count))
            np.put_along_axis(gains, chain, np.diff(whole, axis=1), axis=1)
            found[start : start + step] += gains / 2
    return found, low


def _told(
    values: NDArray[np.float64],
    error: NDArray[np.float64],
    base: float,
    engine: int,
    rounds: int,
    agreed: tuple[float, float],
    closed: int,
    ranks: NDArray[Any] | None = None,
) -> dict[str, NDArray[Any]]:
    return {
        "values": values,
        "order_error": error,
        "start": np.asarray([base]),
        "engine": np.asarray([engine]),
        "rounds": np.asarray([rounds]),
        "agreed": np.asarray([agreed]),
        "closed": np.asarray([closed]),
        "draw_ranks": np.zeros(0, dtype=np.uint8) if ranks is None else ranks,
        "ranked": np.asarray([0 if ranks is None else len(ranks)]),
    }


def _work(subject: Subject, params: ShapParams, piece: Piece, seed: int) -> Mapping[str, NDArray[Any]]:
    del seed  # draws are seeded by the spec's seed and the row's content
    assert isinstance(piece, Share)
    choice, output = _choice(subject, params), _output(params)
    columns = overlays.explained(subject, piece.rows)
    cuts = [players.switches(subject, choice, int(row)) for row in piece.rows]
    solved, answers = [], []
    for row, column, cut in zip(piece.rows.tolist(), columns.tolist(), cuts, strict=True):
        ask = players.Asker(subject, cut, output, column)
        draw = generator(piece.seed, "shap", "orders", subject.test.seed(row))
        solved.append(row_of(ask, cut, params, draw))
        answers.append(ask.answers)
    own = [one.pop("values") for one in solved]
    return {
        **played.handed(subject, piece.rows, columns, cuts, own, piece.seed),
        **{name: np.concatenate([one[name] for one in solved]) for name in solved[0]},
        "end": players.told(subject, piece.rows, output, columns),
        "answers": np.asarray(answers),
    }


def _choice(subject: Subject, params: ShapParams) -> players.Choice:
    by_hierarchy = params.method == "partition"
    image = subject.modality == "image"
    choice = players.choose(
        subject,
        params,
        "gray" if image else "removal",
        bag=not by_hierarchy,
        players="pixels" if image and by_hierarchy else "",
    )
    if image and by_hierarchy != (choice.players == "pixels"):
        asks = (
            "method: partition is for players: pixels"
            if by_hierarchy
            else "players: pixels asks for method: partition"
        )
        raise MethodError(asks)
    return choice


def _output(params: ShapParams) -> Output:
    return "margin" if params.output == "margin" else "score"


def _budget(params: ShapParams) -> int:
    return params.evaluations or EVALUATIONS["partition" if params.method == "partition" else "other"]


def run(subject: Subject, params: ShapParams, context: Context) -> Iterator[Measured | Skipped]:
    """Words or regions by contribution, single rows, additivity, agreement between draws, and removal of parts."""
    if params.method in {"tree", "linear"}:
        raise MethodError(f"method: {params.method} does not apply to {modal.WORDS[subject.modality]}")
    choice = _choice(subject, params)
    wanted = params.rows if "rows" in params.model_fields_set else ROWS
    rows, sampling = context.sample(wanted)
    if not len(rows):
        raise MethodError("there are no test rows to explain")
    note = {"params": params.model_dump(mode="json"), "evaluations": _budget(params)}
    pieces = shared(context.pieces(rows), context.seed, np.arange(0), subject.test, note)
    done = context.map(_work, pieces)
    common = _common(subject, params, choice, wanted, done, sampling)
    found = attributed.found_of(rows, overlays.explained(subject, rows), done)
    counts = attributed.joined(done, "players")
    whole = attributed.finite(found) & (counts > 0)
    yield attributed.coverage(whole, common)
    found = found.kept(whole)
    everyones = {
        name: [
            one
            for one, keep in zip(played.by_row(attributed.joined(done, name), counts), whole, strict=True)
            if keep
        ]
        for name in ("phi", "order_error")
    }
    phi, errors = everyones["phi"], everyones["order_error"]
    sums = np.asarray([math.fsum([base, *one]) for base, one in zip(found.start.tolist(), phi, strict=True)])
    residual = np.abs(sums - found.end)
    kept = played.arrays(subject, found, whole, done)
    kept |= {"order_error": np.concatenate(errors), "residual": residual}
    kept |= {name: attributed.joined(done, name)[whole] for name in ("rounds", "closed")}
    kept["draw_ranks"] = attributed.joined(done, "draw_ranks")[
        np.repeat(whole, attributed.joined(done, "ranked"))
    ]
    unit = f"change in {'prediction' if subject.task == 'regression' else _output(params)}"
    yield played.overall(subject, found, context, common, unit=unit, kept=kept)
    rounds = attributed.joined(done, "rounds")[whole].tolist()
    closed = attributed.joined(done, "closed")[whole].tolist()
    yield played.cases(
        subject,
        choice,
        found,
        {**common, "limits": (*common["limits"], *_said_of_cases(choice))},
        values=phi,
        halves=[
            np.full(one.shape, math.inf if left else 0.0)
            if not drawn
            else t_quantile(context.levels[0], drawn - 1) * one
            for one, drawn, left in zip(errors, rounds, closed, strict=True)
        ],
        unit=unit,
        title="Contributions for single rows",
        kept=kept,
    )
    yield _additivity(found, residual, common)
    yield from _stability(
        attributed.joined(done, "agreed")[whole], kept, players.called(subject), params, context, common
    )
    yield from attributed.faithfulness(subject, found, context, common, {})


def _additivity(
    found: attributed.Found, residual: NDArray[np.float64], common: Mapping[str, Any]
) -> Measured:
    everything = np.concatenate([found.end, found.start])
    scale = float(everything.max() - everything.min())
    relative = residual / np.maximum(np.abs(found.end - found.start), scale) if scale > 0 else residual
    measure = (
        "largest |sum of contributions + base - output| / max(|output - base|, range of outputs), "
        "the range over rows with all parts shown and with all hidden"
    )
    return Measured(
        name="additivity",
        title="Largest relative residual of additivity",
        observation=Scalar(estimate=exactly(float(relative.max()), len(relative))),
        **{**common, "params": {**common["params"], "residual": measure, "scale": scale}},
    )


def _stability(
    agreed: NDArray[np.float64],
    kept: Mapping[str, NDArray[Any]],
    of: str,
    params: ShapParams,
    context: Context,
    common: Mapping[str, Any],
) -> Iterator[Measured | Skipped]:
    if params.method == "partition":
        for name in ("stability", "stability_top5"):
            yield Skipped(name=name, reason="a hierarchy draws nothing: the same one gives the same values")
        return
    yield from played.stability(
        agreed,
        context,
        {
            **common,
            "limits": (
                *common["limits"],
                "rows of which all coalitions were asked count as 1: nothing is drawn",
            ),
        },
        of=of,
        what="other sampled orders",
        params={"redraws": params.resamples},
        kept=kept,
    )


def _common(
    subject: Subject,
    params: ShapParams,
    choice: players.Choice,
    wanted: int | None,
    done: list[Mapping[str, NDArray[Any]]],
    sampling: Sampling,
) -> dict[str, Any]:
    counts, rounds, closed = (attributed.joined(done, name) for name in ("players", "rounds", "closed"))
    engines = Counter(attributed.joined(done, "engine").tolist())
    budget, answers = _budget(params), attributed.joined(done, "answers")
    names = {ENGINES[number]: rows for number, rows in sorted(engines.items()) if number}
    said = ["contributions are counted from the same row with all its parts hidden, not from other rows"]
    if engines[2]:
        said.append("sampled orders leave an error (array order_error); sizes near zero are overstated by it")
    over = int(((rounds > 0) & (answers > budget + 2)).sum()) if params.permutations is None else 0
    if over:
        said.append(
            f"{over} rows have so many parts that two sampled orders, the fewest that show an error, took more than "
            f"{budget} answers"
        )
    if engines[3]:
        said.append("values are Owen's: they depend on the hierarchy, and another one gives others")
    if closed.any():
        said.append(
            f"{budget} answers left groups closed in {int((closed > 0).sum())} of {len(closed)} rows (of all parts "
            f"{closed.sum() / counts.sum():.0%}); what a closed group is worth is shared out equally within it"
        )
    about = {
        **modal.silenced(params, subject.modality),
        "engine": "xai-audit: " + ", ".join(f"{name} for {rows} rows" for name, rows in names.items()),
        "value_function": "the model's output with the parts of a set shown and the rest hidden",
        **choice.words(),
        "output_explained": overlays.explained_words(subject),
        "rows": wanted,
        "evaluations": budget,
        "players_of_a_row": {"fewest": int(counts.min()), "most": int(counts.max())},
        "answers_of_the_model": int(answers.sum()),
    }
    if engines[2]:
        about["permutations_used"] = {
            "fewest": 2 * int(rounds[rounds > 0].min()),
            "most": 2 * int(rounds.max()),
        }
    versions = {"engine": str(about["engine"]), "numpy": np.__version__}
    if choice.players == "superpixels":
        versions["scikit-image"] = version("scikit-image")
    if engines[3] and subject.modality == "text":
        versions["shap"] = version("shap")
    return {
        "sampling": sampling,
        "versions": versions,
        "params": about,
        "limits": (*said, *attributed.said(subject)),
    }


def _said_of_cases(choice: players.Choice) -> tuple[str, ...]:
    said: tuple[str, ...] = ("intervals hold the error of sampled orders, not of the model",)
    if choice.bag and choice.players == "words":
        said += ("a word that stands several times shares its contribution out equally over its places",)
    return said

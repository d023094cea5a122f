"""How much a score changes when one identity term of a text is replaced by another.

Garg, Perot, Limtiaco, Taly, Chi and Beutel 2019 (arXiv:1809.10610). A text is asked again with each word of a list
in the place of the one it holds. Beside it stand neutral words, replaced in the same way: any replaced word may move
a score, and only what identity terms move beyond that is about them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, model_validator

from xai_audit import digest
from xai_audit import intervals as iv
from xai_audit import intervals_rows as from_rows
from xai_audit.errors import UnmetNeedError
from xai_audit.evidence import Control, Group, Groups, Inference, Sampling, Scalar, Summary
from xai_audit.method import Context, Measured, Method, MetricParams, Piece, Skipped
from xai_audit.metrics.labelled import independent, stated
from xai_audit.metrics.mentions import Lists, pattern, replaced, texts_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.evidence import CellStatus
    from xai_audit.subject import Subject

NEUTRAL = "neutral"
FEWEST = 3
"""Neutral words that show how much any word's effect varies; ten or more show it well."""
NOISE = 1e-12
"""Effects under this are rounding."""


class TokenParams(MetricParams):
    """Which words take each other's places, and in how many texts."""

    terms: Lists = Field(default_factory=dict)
    """Words that name one kind of identity each: {sexuality: [gay, straight], religion: [muslim, christian]}."""
    neutral: tuple[str, ...] = ()
    """Words whose exchange should leave a score as it is, as a control: [tall, short, young, old]."""
    rows: int | None = Field(500, ge=2)
    """Texts with such words that are asked about; null: all."""

    @model_validator(mode="after")
    def _several(self) -> TokenParams:
        for name, words in (*self.terms.items(), *([(NEUTRAL, self.neutral)] if self.neutral else [])):
            if len(words) < 2:
                message = f"{name!r} holds one word; at least two can take each other's place"
                raise ValueError(message)
        if NEUTRAL in self.terms:
            message = f"a list of identity terms is not called {NEUTRAL!r}"
            raise ValueError(message)
        return self


@dataclass(frozen=True, eq=False)
class Slots:
    """The answers for texts with one list's words in turn in the same place."""

    name: str
    words: tuple[str, ...]
    rows: NDArray[np.int64]
    """The test row of each slot."""
    held: NDArray[np.int64]
    """The word that stands there."""
    scores: NDArray[np.float64]
    """Of shape (slots, words); that of the text as it is where the word is its own."""

    @property
    def gaps(self) -> NDArray[np.float64]:
        """The mean distance of each slot's other scores from its own."""
        own = self.scores[np.arange(len(self.rows)), self.held]
        return np.asarray(np.abs(self.scores - own[:, None]).sum(axis=1) / (len(self.words) - 1))


def _lists(params: TokenParams) -> list[tuple[str, tuple[str, ...]]]:
    neutral = [(NEUTRAL, params.neutral)] if params.neutral else []
    return [*params.terms.items(), *neutral]


def asked(subject: Subject, params: TokenParams, piece: Piece, _: int) -> Mapping[str, NDArray[Any]]:
    """For each row of a piece and each list it holds a word of, the scores with every word of the list there.

    Arrays: ``row``, ``list`` and ``held`` of each slot, and ``score`` (slots, longest list), NaN where a list ends. The
    first word of a list that a text holds is the one replaced, wherever it stands in the text.
    """
    texts = texts_of(subject)
    lists = _lists(params)
    found, asking = [], []
    for row in piece.rows.tolist():
        for place, (_name, words) in enumerate(lists):
            held = _held(texts[row], words)
            if held is not None:
                found.append((row, place, held))
                asking += [texts[row] if index == held else replaced(texts[row], words[held], word)
                           for index, word in enumerate(words)]  # fmt: skip
    longest = max(len(words) for _, words in lists)
    score = np.full((len(found), longest), np.nan)
    if asking:
        answers = _answers(subject, asking)
        start = 0
        for slot, (_row, place, _held_word) in enumerate(found):
            count = len(lists[place][1])
            score[slot, :count] = answers[start : start + count]
            start += count
    index = np.array(found, dtype=np.int64).reshape(-1, 3)
    return {"row": index[:, 0], "list": index[:, 1], "held": index[:, 2], "score": score}


def _held(text: str, words: Sequence[str]) -> int | None:
    """The word of a list that stands first in a text."""
    first = pattern(words).search(text)
    if first is None:
        return None
    return next(place for place, word in enumerate(words) if pattern([word]).fullmatch(first[0]))


def _answers(subject: Subject, texts: Sequence[str]) -> NDArray[np.float64]:
    import pandas as pd

    column = np.empty(len(texts), dtype=object)
    column[:] = texts
    return subject.output(pd.DataFrame({str(subject.test.frame.columns[0]): column}))


def _run(subject: Subject, params: TokenParams, context: Context) -> Iterator[Measured | Skipped]:
    if not params.terms:
        raise UnmetNeedError("it needs lists of words: terms: {sexuality: [gay, straight]}")
    slots, sampling = _slots(subject, params, context)
    identity = [slot for slot in slots if slot.name != NEUTRAL]
    if not any(len(slot.rows) for slot in identity):
        yield Skipped(reason="no text holds a word of the lists")
        return
    # Lists that few texts hold a word of stand in no number: with the other lists' it would give them away.
    few = [slot for slot in slots if 0 < len(slot.rows) < context.min_cell]
    told = [slot for slot in identity if slot not in few and len(slot.rows)]
    neutral = next((slot for slot in slots if slot.name == NEUTRAL and slot not in few), None)
    used = np.unique(_joined([slot.rows for slot in slots if slot not in few], np.int64))
    sampling = sampling.model_copy(update={"used": len(used)})
    terms = _terms(subject, identity, context)
    if not told:
        yield Skipped(reason=f"fewer than {context.min_cell} texts hold a word of any list")
        yield Measured(
            name="terms", title=_TITLE, observation=terms, sampling=sampling, params=stated(context)
        )
        return
    gap, rows = _by_text(told)
    mean, limits = _mean(subject, gap, rows, context.levels)
    lacking = f"Lists that fewer than {context.min_cell} texts hold a word of are left out: "
    yield Measured(
        observation=Scalar(estimate=context.estimate(mean, limits, len(rows)), unit="score"),
        sampling=sampling,
        arrays={
            "lists": np.array([slot.name for slot in slots], dtype=str),
            **{
                f"{kind}_{place}": getattr(slot, kind)
                for place, slot in enumerate(slots)
                for kind in ("rows", "held", "scores")
            },
        },
        params={"texts": {slot.name: None if slot in few else len(slot.rows) for slot in slots}},
        limits=(f"{lacking}{', '.join(slot.name for slot in few)}.",) if few else (),
    )
    if neutral is not None and len(neutral.rows):
        mean, limits = _mean(subject, neutral.gaps, neutral.rows, context.levels)
        yield Measured(
            name=NEUTRAL,
            title="Change of the score with neutral words",
            observation=Scalar(estimate=context.estimate(mean, limits, len(neutral.rows)), unit="score"),
            sampling=sampling,
        )
    controls, inference, said = _beyond(told, neutral, context)
    yield Measured(
        name="terms",
        title=_TITLE,
        observation=terms,
        sampling=sampling,
        controls=controls,
        inference=inference,
        limits=said,
        params=stated(context),
    )
    if not subject.binary:
        yield Skipped(name="flips", reason="it is defined for two classes")
        return
    share, limits = _flipped(subject, told, rows, context.levels)
    yield Measured(
        name="flips",
        title="Texts whose decision changes with an identity term",
        observation=Scalar(estimate=context.estimate(share, limits, len(rows))),
        sampling=sampling,
    )


_TITLE = "Score with each identity term in the same texts"


def _slots(subject: Subject, params: TokenParams, context: Context) -> tuple[list[Slots], Sampling]:
    texts = texts_of(subject)
    words = [word for _, listed in _lists(params) for word in listed]
    any_word = pattern(words)
    able = np.array([row for row, text in enumerate(texts) if any_word.search(text)], dtype=np.int64)
    chosen, how = able, "all texts that hold a word of the lists"
    if params.rows is not None and len(able) > params.rows:
        # As rows are sampled everywhere: by their content and the seed.
        keys = [digest.of_bytes(f"{context.seed}:{subject.test.seed(int(row))}".encode()) for row in able]
        chosen = np.sort(able[np.argsort(np.asarray(keys), kind="stable")[: params.rows]])
        how = f"the {params.rows} texts with a word of the lists and the smallest sha256 of seed and content"
    answers = context.map(asked, context.pieces(chosen)) if len(chosen) else []
    made = []
    for place, (name, listed) in enumerate(_lists(params)):
        parts = [(answer, answer["list"] == place) for answer in answers]
        made.append(
            Slots(
                name=name,
                words=listed,
                rows=_joined([answer["row"][mine] for answer, mine in parts], np.int64),
                held=_joined([answer["held"][mine] for answer, mine in parts], np.int64),
                scores=np.concatenate(
                    [
                        np.empty((0, len(listed))),
                        *(answer["score"][mine][:, : len(listed)] for answer, mine in parts),
                    ]
                ),
            )
        )
    return made, Sampling(available=len(texts), used=len(chosen), how=how)


def _joined(parts: Sequence[NDArray[Any]], kind: type) -> NDArray[Any]:
    return np.concatenate([np.empty(0, dtype=kind), *parts]).astype(kind)


def _by_text(slots: Sequence[Slots]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The mean gap of each text over its slots, and its row: a text is one unit, however many words it holds."""
    rows = np.concatenate([slot.rows for slot in slots])
    gaps = np.concatenate([slot.gaps for slot in slots])
    found = np.unique(rows)
    return np.array([math.fsum(gaps[rows == row]) / int((rows == row).sum()) for row in found]), found


def _mean(
    subject: Subject, values: NDArray[np.float64], rows: NDArray[np.int64], levels: Sequence[float]
) -> tuple[float, list[tuple[float | None, float | None]]]:
    """A mean over texts, with the data's weights and clusters."""
    weights, clusters = subject.test.weights, subject.test.clusters
    return from_rows.clustered_mean(
        values.tolist(),
        None if weights is None else weights[rows].tolist(),
        None if clusters is None else clusters[rows].tolist(),
        levels,
    )


def _effects(slot: Slots) -> NDArray[np.float64]:
    """Each slot's score with each word, less the slot's mean over the list: (slots, words)."""
    return np.asarray(slot.scores - slot.scores.mean(axis=1, keepdims=True))


def _mean_effects(slot: Slots) -> list[float]:
    """The mean effect of each word of a list, with rounding noise as the zero it is."""
    means = [math.fsum(column) / len(slot.rows) for column in _effects(slot).T.tolist()]
    return [mean if abs(mean) > NOISE else 0.0 for mean in means]


def _beyond(
    identity: Sequence[Slots], neutral: Slots | None, context: Context
) -> tuple[tuple[Control, ...], Inference | None, tuple[str, ...]]:
    """Whether some identity term moves the score further than a neutral word would.

    Neutral words have effects too, as their number of texts and the model's training have it. The largest effect of a
    term is set against what one more neutral word may have: Student's t with the spread of the neutral words' effects,
    Bonferroni over the terms. More texts do not make it smaller; more neutral words do.
    """
    from scipy.special import stdtr

    if neutral is None:
        return (
            (),
            None,
            ("No neutral words were given: how far any replaced word moves a score is not known.",),
        )
    effects = _mean_effects(neutral) if len(neutral.rows) else []
    if len(effects) < FEWEST:
        what = (
            f"texts with at least {FEWEST} neutral words" if len(effects) else "neutral words in texts enough"
        )
        return (), None, (f"There are no {what}: how far any replaced word moves a score is not known.",)
    terms = [
        (effect, len(slot.rows)) for slot in identity if len(slot.rows) for effect in _mean_effects(slot)
    ]
    m, k = len(effects), len(terms)
    # The effects of one list add up to zero: m words leave m - 1 free.
    error = math.sqrt(math.fsum(effect**2 for effect in effects) / (m - 1) * (1 + 1 / m))
    largest, n = max((abs(effect), n) for effect, n in terms)
    reaches = [from_rows.t_quantile(level, m - 1) * error for level in iv.bonferroni(context.levels, k)]
    control = Control(
        name="a term's effect beyond a neutral word's",
        expectation="positive",
        estimate=context.estimate(largest, [(largest - reach, largest + reach) for reach in reaches], n),
    )
    p = float(2 * stdtr(m - 1, -largest / error)) if error else float(largest == 0)
    inference = Inference(
        p=p,
        adjusted=min(1.0, k * p),
        method="Student's t of one more neutral word",
        family="identity terms",
        m=k,
    )
    return (control,), inference, ()


def _terms(subject: Subject, slots: Sequence[Slots], context: Context) -> Groups:
    """Each term's mean score beside the mean of its list in the same texts, and the widest gap of two terms."""
    groups = []
    pairs: list[tuple[Slots, int, int]] = []
    left_out = 0
    for slot in slots:
        n = len(slot.rows)
        effects = _effects(slot)
        status = _status(n, context)
        left_out += len(slot.words) * (status[0] == "insufficient")
        for place, word in enumerate(slot.words):
            estimate = None
            if n and status[0] != "suppressed":
                value, limits = _mean(subject, effects[:, place], slot.rows, context.levels[:1])
                estimate = context.estimate(value, limits, n)
            groups.append(
                Group(
                    key={"list": slot.name, "term": word},
                    n=None if status[0] == "suppressed" else n,
                    status=status[0],
                    reason=status[1],
                    estimate=estimate,
                )
            )
        if status[0] == "measured":
            pairs += [(slot, one, other) for one, other in combinations(range(len(slot.words)), 2)]
    return Groups(
        by=("list", "term"), groups=tuple(groups), summary=_widest(subject, pairs, left_out, context)
    )


def _status(n: int, context: Context) -> tuple[CellStatus, str | None]:
    if n == 0:
        return "undefined", "no text holds a word of the list"
    if n < context.min_cell:
        return "suppressed", f"n < {context.min_cell}"
    return ("insufficient", f"n < {context.min_n}") if n < context.min_n else ("measured", None)


def _widest(
    subject: Subject, pairs: Sequence[tuple[Slots, int, int]], left_out: int, context: Context
) -> Summary:
    """The largest mean difference of two terms of one list, in the same texts; simultaneous over all pairs."""
    if not pairs:
        return Summary(insufficient=left_out)
    levels = iv.bonferroni(context.levels, len(pairs))
    found = [
        (_mean(subject, slot.scores[:, one] - slot.scores[:, other], slot.rows, levels), slot, one, other)
        for slot, one, other in pairs
    ]
    (value, _), slot, one, other = max(found, key=lambda pair: abs(pair[0][0]))
    combined: list[tuple[float | None, float | None]] = []
    for index in range(len(levels)):
        ends = [limits[index] for (_, limits), *_ in found]
        low = max(max(0.0, 0.0 if a is None else a, 0.0 if b is None else -b) for a, b in ends)
        highs = [None if a is None or b is None else max(-a, b) for a, b in ends]
        combined.append((low, None if None in highs else max(high for high in highs if high is not None)))
    low_word, high_word = (one, other) if value < 0 else (other, one)
    return Summary(
        difference=context.estimate(abs(value), combined, len(slot.rows)),
        between=(f"{slot.name}, {slot.words[low_word]}", f"{slot.name}, {slot.words[high_word]}"),
        pairs=len(pairs),
        insufficient=left_out,
    )


def _flipped(
    subject: Subject, slots: Sequence[Slots], rows: NDArray[np.int64], levels: Sequence[float]
) -> tuple[float, list[tuple[float | None, float | None]]]:
    """The share of texts for which some replacement changes the decision."""
    flips = set()
    for slot in slots:
        decided = slot.scores >= subject.threshold
        own = decided[np.arange(len(slot.rows)), slot.held]
        flips |= set(slot.rows[(decided != own[:, None]).any(axis=1)].tolist())
    values = [float(row in flips) for row in rows.tolist()]
    weights, clusters = subject.test.weights, subject.test.clusters
    successes, n = sum(values), float(len(values))
    if not independent(subject):
        successes, n = from_rows.effective(
            values,
            None if weights is None else weights[rows].tolist(),
            None if clusters is None else clusters[rows].tolist(),
        )
    return successes / n, list(iv.rate(successes, n, levels))


METHODS: tuple[Method[Any], ...] = (
    Method(
        id="counterfactual_token_fairness",
        kind="metric",
        title="Counterfactual token fairness",
        measures="The mean distance of a text's score from its scores with other identity terms in the same place.",
        params=TokenParams,
        run=_run,
        needs=("model", "classification", "scores", "images or text"),
        better="zero",
        limits=(
            "Some replacements rightly change the answer: a slur against one group may be none against another.",
            "A word is replaced and nothing else: grammar and sense around it may no longer fit.",
            "Of each list, the first word that a text holds is replaced, wherever it stands in the text.",
        ),
        cites=("Garg et al. 2019",),
        parts=("terms", "flips", NEUTRAL),
    ),
)

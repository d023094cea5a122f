"""Pages of features: where each fires, what tells it, and how well."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.evidence import Cases, Control, Matrix, Sampling, Scalar
from xai_audit.explainers.dictionaries import numbers
from xai_audit.explainers.dictionaries.whole import described, shown
from xai_audit.mechanistic.dictionaries import ngrams, scoring
from xai_audit.mechanistic.dictionaries.codes import Firings, firings
from xai_audit.mechanistic.readers import TextReader
from xai_audit.method import Measured, Skipped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.explainers.dictionaries.trained import Made
    from xai_audit.mechanistic.dictionaries.dictionary import Dictionary
    from xai_audit.mechanistic.dictionaries.ngrams import Explanation
    from xai_audit.mechanistic.dictionaries.scoring import Null, Scored
    from xai_audit.mechanistic.dictionaries.store import Store

ENOUGH = 10
"""Fitting activations for which a latent fires that is described."""
CONTEXTS = 5
"""Contexts of a latent that are shown, of the largest values, each of a document of its own."""
SHOWN = 12
"""Latents whose contexts are shown."""
AROUND = 12
"""Tokens before and after."""


@dataclass(frozen=True, eq=False)
class Described:
    """Latents with their explanations and scores."""

    latents: list[int]
    explanations: list[Explanation]
    scores: list[Scored]
    null: Null
    fit: Firings
    eligible: int
    """Latents that fire often enough to be asked for."""

    @property
    def detection(self) -> NDArray[np.float64]:
        """(latents,)."""
        return np.asarray([one.detection for one in self.scores])

    @property
    def fuzzing(self) -> NDArray[np.float64]:
        """(latents,)."""
        return np.asarray([one.fuzzing for one in self.scores])


def describe(
    dictionary: Dictionary, fit: Store, held: Store, count: int, rng: np.random.Generator
) -> Described:
    """Explain up to ``count`` latents, drawn among those that fire often enough, and score them on held-out documents."""
    grams, asked_grams = ngrams.Grams.of(fit), ngrams.Grams.of(held)
    on, there = firings(dictionary, fit), firings(dictionary, held)
    often = np.flatnonzero((on.counts >= ENOUGH) & (there.counts >= scoring.FEWEST))
    cut = scoring.windows(held)
    latents: list[int] = []
    asked = []
    for latent in rng.permutation(often):
        found = scoring.questions(cut, there, int(latent), rng)
        if found is not None and len(found.marks):
            latents.append(int(latent))
            asked.append(found)
        if len(latents) == count:
            break
    explanations = [ngrams.explain(grams, on.of(latent)[0]) for latent in latents]
    scores = [scoring.score(one, asked_grams, of) for one, of in zip(explanations, asked, strict=True)]
    null = scoring.shuffled(explanations, asked_grams, asked, rng)
    return Described(latents, explanations, scores, null, on, len(often))


def pages(made: Made) -> Iterator[Measured | Skipped]:
    """Explanations with their scores, the table of latents, and their contexts."""
    if not isinstance(made.network.reader, TextReader):
        reason = "not applicable: explanations are patterns of tokens, for networks that read texts"
        yield Skipped(name="detection", reason=reason)
    else:
        context, count = made.context, made.params.features
        own = describe(made.dictionary, made.fit, made.held, count, context.rng("describe", "own"))
        if len(own.latents) < 2:
            reason = (
                f"{len(own.latents)} latents fire often enough in {len(made.held.rows)} held-out documents"
            )
            yield Skipped(name="detection", reason=reason)
        else:
            frozen = describe(
                made.frozen.dictionary, made.fit, made.held, count, context.rng("describe", "frozen")
            )
            twin = describe(
                made.twin.dictionary, made.twin_fit, made.twin_held, count, context.rng("describe", "twin")
            )
            yield _detection(made, own, frozen, twin)
            yield _table(made, own)
            yield _contexts(made, own)


def _detection(made: Made, own: Described, frozen: Described, twin: Described) -> Measured:
    context = made.context
    estimate = numbers.paired_mean(context, own.detection)
    beyond = numbers.paired_mean(context, own.detection - own.null.detection.mean(axis=0))
    controls = [Control(name="above explanations of other latents", expectation="positive", estimate=beyond)]
    for name, other in (
        ("above a frozen decoder’s latents", frozen),
        ("above latents of the network with permuted weights", twin),
    ):
        if len(other.latents) > 1:
            found = numbers.welch(context, own.detection, other.detection)
            controls.append(Control(name=name, expectation="positive", estimate=found))
    limit, fuzz_limit = own.null.limit()
    above = float((own.detection > limit).mean())
    means = {
        "frozen_detection": float(frozen.detection.mean()) if frozen.latents else None,
        "twin_detection": float(twin.detection.mean()) if twin.latents else None,
    }
    others = "; ".join(
        f"{words} {value:.2f}"
        for words, value in zip(
            ("of a dictionary that was not trained", "of the network with permuted weights"),
            means.values(),
            strict=True,
        )
        if value is not None
    )
    sentence = (
        f"Patterns of tokens tell in which held-out windows a latent fires with a balanced accuracy of {shown(estimate)} "
        f"over {len(own.latents)} latents; explanations of other latents {own.null.detection.mean():.2f}"
        f"{'; ' + others if others else ''}."
    )
    return Measured(
        name="detection",
        title="How well patterns of tokens tell where a latent fires, on held-out documents",
        observation=Scalar(estimate=estimate, unit="balanced accuracy"),
        controls=tuple(controls),
        arrays={
            "latent": np.asarray(own.latents, dtype=np.int64),
            "detection": own.detection,
            "fuzzing": own.fuzzing,
            "null_detection": own.null.detection,
            "null_fuzzing": own.null.fuzzing,
            "frozen_detection": frozen.detection,
            "twin_detection": twin.detection,
            "counts": np.asarray(
                [(one.with_latent, one.without, one.rightly_marked, one.wrongly_marked) for one in own.scores]
            ),
            "fit_fired": own.fit.counts,
        },
        sampling=Sampling(
            available=own.eligible,
            used=len(own.latents),
            how=f"latents drawn among those with {ENOUGH} fitting and {scoring.FEWEST} held-out activations",
        ),
        limits=(
            "a pattern of tokens that tells where a latent fires need not be what the latent stands for",
            "an explanation is scored on windows of 32 tokens, by itself and by no reader",
        ),
        params={
            **described(made),
            "null_95": limit,
            "above_null": above,
            "fuzzing": float(own.fuzzing.mean()),
            "fuzzing_null_95": fuzz_limit,
            "fuzzing_above_null": float((own.fuzzing > fuzz_limit).mean()),
            **means,
            "sentence": sentence,
        },
    )


def _table(made: Made, own: Described) -> Measured:
    assert made.fit.token is not None
    values, summed, counted = [], [], []
    for latent, explanation, score in zip(own.latents, own.explanations, own.scores, strict=True):
        place, value = own.fit.of(latent)
        distinct = len(np.unique(made.fit.token[place]))
        summed.append(float(value.sum(dtype=np.float64)))
        counted.append((distinct, explanation.size, explanation.matched, explanation.said, explanation.fires))
        values.append((
            len(place) / own.fit.tokens,
            summed[-1] / len(place),
            float(distinct),
            float(explanation.size),
            float(explanation.precision),
            float(explanation.recall),
            score.detection,
            score.fuzzing,
        ))  # fmt: skip
    return Measured(
        name="features",
        title="Latents: how often they fire, for how many tokens, and how well patterns tell them",
        observation=Matrix(
            rows=tuple(str(latent) for latent in own.latents),
            columns=(
                "density", "mean value", "distinct tokens", "patterns", "precision", "recall", "detection", "fuzzing",
            ),
            values=tuple(values),
            row_title="latent",
        ),
        arrays={"value_sum": np.asarray(summed), "patterns": np.asarray(counted)},
        limits=(
            "precision and recall are of the fitting documents, detection and fuzzing of held-out ones",
            "latents are drawn, not chosen by their scores",
        ),
        params=described(made),
    )  # fmt: skip


def _contexts(made: Made, own: Described) -> Measured:
    """The contexts in which each latent fires most; shown only where single texts may be."""
    reader = made.network.reader
    assert isinstance(reader, TextReader)
    tokenizer = reader._tokenizer()  # noqa: SLF001 - the reader's own words
    spelled = {number: token for token, number in tokenizer.get_vocab().items()}
    cases: list[dict[str, Any]] = []
    shown_latents = list(zip(own.latents, own.explanations, own.scores, strict=True))[:SHOWN]
    for latent, explanation, score in shown_latents:
        place, value = own.fit.of(latent)
        told = ", ".join(ngrams.words(explanation, spelled, 6))
        seen: set[int] = set()
        for at in np.argsort(-value, kind="stable"):
            document = int(made.fit.document[place[at]])
            if document in seen:
                continue
            cases.append(
                {
                    "kind": "text",
                    "why": f"latent {latent}, told by {told}",
                    "explained": f"latent {latent}",
                    "score": float(value[at]),
                    "unit": "activation",
                    "detection": score.detection,
                    "rank": len(seen) + 1,
                    "tokens": _window(made.fit, int(place[at]), place, value, spelled),
                }
            )
            seen.add(document)
            if len(seen) == CONTEXTS:
                break
    # The largest of each latent first: a page that shows a few shows several latents.
    cases.sort(key=lambda case: int(case["rank"]))
    return Measured(
        name="contexts",
        title="Where latents fire most",
        observation=Cases(cases=tuple(cases)),
        params=described(made),
    )


def _window(
    store: Store, centre: int, place: NDArray[np.int64], value: NDArray[np.float32], spelled: dict[int, str]
) -> list[dict[str, Any]]:
    assert store.token is not None
    low, high = np.searchsorted(store.document, [store.document[centre], store.document[centre] + 1])
    low, high = max(int(low), centre - AROUND), min(int(high), centre + AROUND + 1)
    found = []
    for number in range(low, high):
        at = int(np.searchsorted(place, number))
        phi = float(value[at]) if at < len(place) and place[at] == number else 0.0
        text = spelled.get(int(store.token[number]), "")
        joined = text.removeprefix("##") if text.startswith("##") else f" {text}"
        found.append({"text": joined if number > low else joined.strip(), "phi": phi})
    return found

"""Latents taken out of rows: what the output does without each, beside random directions in its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from xai_audit.evidence import Control, Inference, Scalar, encoded
from xai_audit.explainers.dictionaries import numbers
from xai_audit.explainers.dictionaries.trained import one_thread
from xai_audit.explainers.dictionaries.whole import described, shown
from xai_audit.intervals_rows import t_quantile
from xai_audit.mechanistic.dictionaries import effects
from xai_audit.method import Measured, Skipped

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from xai_audit.evidence import Estimate
    from xai_audit.explainers.dictionaries.trained import Made

FIRES = 10
"""Rows for which a latent must fire to be taken out."""


def taken_out(made: Made) -> Iterator[Measured | Skipped]:
    """Latents taken out: chosen by their direct effect on fitting documents, judged on others."""
    subject, params, context = made.subject, made.params, made.context
    if not params.effects:
        return
    output, what = _output(made)
    with one_thread():
        fit_rows = made.fit.rows[: params.rows]
        rows = made.held.rows[: params.rows]
        if made.table is not subject.test:
            rows = np.arange(min(params.rows, subject.test.n))
        frame = (subject.test if made.table is not subject.test else made.table).frame.iloc[rows]
        chosen_by = effects.direct(
            made.network, made.table.frame.iloc[fit_rows], made.site, made.dictionary, output
        )
        direct = effects.direct(made.network, frame, made.site, made.dictionary, output)
        fires = (chosen_by != 0).sum(axis=0)
        chosen = effects.strongest(chosen_by, fires, params.effects, FIRES)
        if not chosen or len(rows) < FIRES:
            yield Skipped(name="effect", reason=f"no latent fires for {FIRES} of {len(fit_rows)} rows")
            return
        ways = effects.random_directions(params.directions, made.dictionary.n, context.rng("directions"))
        found = {
            latent: effects.ablated(made.network, frame, made.site, made.dictionary, latent, output, ways)
            for latent in chosen
        }
    ps = {latent: _p(one.each) for latent, one in found.items()}
    adjusted = _holm(ps)
    for latent, one in found.items():
        yield _effect(made, latent, one, direct[:, latent], ps[latent], adjusted[latent], what, tuple(found))


def _output(made: Made) -> tuple[effects.Output, str]:
    """The number that latents are taken out of: the positive class's score, or the prediction."""
    subject, network = made.subject, made.network
    if subject.task != "classification":
        return (lambda outputs: network.linked(outputs)[:, 0]), "the prediction"
    of = subject.positive

    def score(outputs: torch.Tensor) -> torch.Tensor:
        linked = network.linked(outputs)
        if linked.shape[1] == 1:
            return linked[:, 0] if of else 1 - linked[:, 0]
        return linked[:, of]

    unit = "P" if subject.probabilities else "the score of "
    label = str(subject.classes[of])
    return score, f"P({label})" if unit == "P" else f"{unit}{label}"


def _effect(
    made: Made,
    latent: int,
    one: effects.Ablated,
    direct: NDArray[np.float64],
    p: float,
    adjusted: float,
    what: str,
    taken: tuple[int, ...],
) -> Measured:
    context = made.context
    estimate = numbers.paired_mean(context, one.each)
    drawn = one.random.mean(axis=1)
    # A direction and its opposite do the opposite, so that the mean is 0: the spread is about 0.
    spread = float(np.sqrt((drawn**2).mean()))
    reach = [float(t_quantile(level, len(drawn)) * spread) for level in context.levels]
    centre = float(drawn.mean())
    null = context.estimate(centre, [(centre - far, centre + far) for far in reach], len(drawn))
    size = abs(estimate.value) - reach[0]
    half = [
        (
            None if low is None else size - (estimate.value - low),
            None if high is None else size + (high - estimate.value),
        )
        for low, high in _limits(estimate, context.levels)
    ]
    beyond = context.estimate(size, half, len(one.each))
    rows = int((one.each != 0).sum())
    sentence = (
        f"Taking out what latent {latent} writes at {made.site} changed {what} by {shown(_negative(estimate), 3)} on "
        f"average over {len(one.each)} rows, {rows} of which it fires for; random directions of that size by up to "
        f"{reach[0]:.3f}."
    )
    return Measured(
        name=encoded(f"effect@{latent}"),
        title=f"What latent {latent} at {made.site} adds to {what}: with it less without it",
        observation=Scalar(estimate=estimate, unit="probability" if what.startswith("P(") else "score"),
        arrays={"each": one.each, "direct": direct, "random": one.random},
        controls=(
            Control(
                name="effect of the ablation beyond random directions",
                expectation="positive",
                estimate=beyond,
                edit=True,
            ),
            Control(name="random directions of equal size", expectation="null", estimate=null, edit=True),
        ),
        inference=Inference(
            p=p,
            adjusted=adjusted,
            method="Student's t of the change by row, Holm",
            family=f"{made.params.effects} latents taken out",
            m=made.params.effects,
        ),
        limits=(
            "the latent was chosen by its direct effect on documents that are not among these rows",
            "what no latent explains is left as it is; an ablated activation may be unlike any that an input gives",
        ),
        params={
            **described(made),
            "latent": latent,
            "taken_out": list(taken),
            "output": what,
            "direct_effect": float(direct.mean()),
            "rows_it_fires_for": rows,
            "sentence": sentence,
        },
    )


def _limits(estimate: Estimate, levels: Sequence[float]) -> list[tuple[float | None, float | None]]:
    known = estimate.limits or {}
    return [(estimate.low, estimate.high), *(known.get(f"{level:g}", (None, None)) for level in levels[1:])]


def _negative(estimate: Estimate) -> Estimate:
    low, high = estimate.low, estimate.high
    return estimate.model_copy(
        update={
            "value": -estimate.value,
            "low": None if high is None else -high,
            "high": None if low is None else -low,
        }
    )


def _p(each: NDArray[np.float64]) -> float:
    """Two-sided, of a mean of 0; 1 where nothing varies."""
    from scipy.stats import ttest_1samp

    return float(ttest_1samp(each, 0.0).pvalue) if each.std() > 0 else 1.0


def _holm(ps: dict[int, float]) -> dict[int, float]:
    """Holm's adjusted p (1979)."""
    found: dict[int, float] = {}
    largest = 0.0
    for place, (latent, p) in enumerate(sorted(ps.items(), key=lambda pair: (pair[1], pair[0]))):
        largest = max(largest, min(1.0, (len(ps) - place) * p))
        found[latent] = largest
    return found

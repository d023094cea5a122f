"""Training dynamics from checkpoints: losses, weights, phases, and for modular arithmetic the circuit that forms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from xai_audit.errors import MethodError
from xai_audit.evidence import Frozen
from xai_audit.explainers.training import claims, curves, modular, recorded, weights
from xai_audit.mechanistic.dynamics import changes, fourier
from xai_audit.mechanistic.dynamics.addition import Operation
from xai_audit.method import Measured, Method, Skipped

if TYPE_CHECKING:
    from xai_audit.explainers.training.recorded import Recorded, Side
    from xai_audit.mechanistic.dynamics.changes import Phases
    from xai_audit.mechanistic.network import Network
    from xai_audit.method import Context
    from xai_audit.subject import Subject


class ModularTask(Frozen):
    """That the table is modular arithmetic of two of its columns."""

    numbers: tuple[str, str]
    """The columns of the two numbers; together they are all features."""
    operation: Operation = "add"
    """add or subtract; the target is the result modulo the number of classes."""
    embedding: str | None = None
    """The parameter with a row for each number; null: that of the only Embedding."""
    share: float = Field(fourier.SHARE, gt=0, lt=1)
    """Key frequencies are the fewest that hold this share of the energy of the last checkpoint's logits."""
    random_sets: int = Field(50, ge=19, le=10_000)
    """Sets of as many random frequencies that are taken out for comparison."""


class ProgressParams(Frozen):
    """Which checkpoints, how many rows, and whether the task is modular arithmetic."""

    checkpoints: str | None = None
    """A name of model.checkpoints, where there are several."""
    rows: int = Field(2000, ge=recorded.FEWEST)
    """Rows of the training data and of the test data whose losses are taken."""
    most: int = Field(200, ge=2)
    """Checkpoints that are measured; of more, so many evenly."""
    resamples: int = Field(changes.RESAMPLES, ge=100, le=10_000)
    """Draws for the intervals of phases."""
    modular: ModularTask | None = None
    """For modular arithmetic: Fourier measures, and key frequencies taken out."""


def run(subject: Subject, params: ProgressParams, context: Context) -> Iterator[Measured | Skipped]:
    """Losses, weights, phases, what was gained after memorisation; for modular arithmetic spectra and the circuit."""
    assert subject.model is not None
    network = subject.model.network
    assert network is not None
    found = weights.checkpoints(subject, params.checkpoints, "progress_measures", "checkpoints")
    if len(found) < 2:
        raise MethodError(f"progress_measures: {len(found)} checkpoint; two are needed")
    task = None
    if params.modular is not None:
        task = modular.task(subject, params.modular.numbers, params.modular.operation)
    both = recorded.sides(subject, params.rows, context.seed)
    seen = recorded.record(network, found, params.most, both)
    spectra = None
    if task is not None and params.modular is not None:
        spectra = modular.spectra(network, seen.checkpoints, task, params.modular.share)
    stages = _phases(seen, spectra, params, context)
    said = _said(seen, stages)
    yield replace(
        curves.losses(seen, context, said), sampling=both[1].sampling, limits=_limits(seen, len(found))
    )
    yield curves.weights(seen)
    if stages.named():
        yield curves.phases(stages, seen, said)
    else:
        yield Skipped(name="phases", reason=f"no grokking signature: {stages.reason}")
    yield _gained(network, seen, stages, both[1], said, context)
    if params.modular is None or task is None:
        return
    if spectra is None:
        reason = (
            "the last checkpoint's logits do not depend on the result, so that there are no key frequencies"
        )
        yield from (Skipped(name=name, reason=reason) for name in ("fourier", "circuit"))
        return
    yield curves.fourier(seen, spectra)
    last = weights.Rewound(network).to(seen.checkpoints[-1])
    embedding = modular.embedding_of(last, params.modular.embedding, task.modular.modulus)
    twins = [last.twin(context.rng("twin", "circuit", str(draw))) for draw in range(claims.TWINS)]
    yield claims.circuit(
        context,
        modular.Edited(last, embedding, task),
        [modular.Edited(twin, embedding, task) for twin in twins],
        task,
        spectra,
        params.modular.random_sets,
    )


def _phases(
    seen: Recorded, spectra: modular.Spectra | None, params: ProgressParams, context: Context
) -> Phases:
    excluded = None
    if spectra is not None:
        excluded = changes.certainty(np.array([one.excluded for one in spectra.measures]))
    return changes.phases(
        seen.steps,
        seen.certainty("train"),
        seen.certainty("held_out"),
        context.rng("phases"),
        excluded=excluded,
        resamples=params.resamples,
        confidence=context.levels[0],
    )


def _said(seen: Recorded, stages: Phases) -> dict[str, Any]:
    """What every part says of the run of checkpoints."""
    return {
        "grokking_signature": stages.signature,
        "finding": f"{'A grokking signature' if stages.signature else 'No grokking signature'}: {stages.reason}.",
        "measured_checkpoints": len(seen.checkpoints),
        "first_step": int(seen.steps[0]),
        "last_step": int(seen.steps[-1]),
        **(
            {
                "excluded_loss_rises_at": {
                    "value": at.value,
                    "low": at.low,
                    "high": at.high,
                    "n": len(seen.steps),
                }
            }
            if (at := stages.circuit) is not None
            else {}
        ),
    }


def _limits(seen: Recorded, available: int) -> tuple[str, ...]:
    found = [
        "the last checkpoint is the audited network"
        if seen.audited
        else "the last checkpoint is not the audited network: what is said here is about the checkpoints"
    ]
    if len(seen.checkpoints) < available:
        found.append(f"{len(seen.checkpoints)} of {available} checkpoints were measured, evenly chosen")
    return tuple(found)


def _gained(
    network: Network, seen: Recorded, stages: Phases, held: Side, said: dict[str, Any], context: Context
) -> Measured | Skipped:
    if not seen.right:
        return Skipped(name="grokking", reason="the task is a regression: there is no accuracy to gain")
    place = claims.place_of(stages, seen)
    if place is None:
        return Skipped(name="grokking", reason=f"no grokking signature: {stages.reason}")
    rewound = weights.Rewound(network)
    ends = []
    for at in (place, -1):
        now = rewound.to(seen.checkpoints[at])
        ends.append(
            [_twin_accuracy(now, held, context.rng("twin", str(at), str(k))) for k in range(claims.TWINS)]
        )
    gains = np.array(ends[1]) - np.array(ends[0])
    return claims.generalised(context, stages, seen, gains, said, held.sampling)


def _twin_accuracy(network: Network, held: Side, rng: np.random.Generator) -> float:
    twin = network.twin(rng)
    return float(weights.right(twin, twin.outputs(held.frame), held.target).mean())


METHOD = Method(
    id="progress_measures",
    kind="explainer",
    title="Training dynamics from checkpoints",
    measures="How losses, weights and, for modular arithmetic, the parts of the logits by frequency went along training",
    params=ProgressParams,
    run=run,
    needs=("model", "network", "labels", "train", "checkpoints"),
    limits=(
        "what happened between two checkpoints was not seen",
        "one training: other seeds may go through other phases, or at other steps",
        "phases are told from how right answers are; a sudden rise need not be the forming of one circuit",
    ),
    cites=(
        "Nanda et al. 2023, ICLR, arXiv:2301.05217",
        "Power et al. 2022, arXiv:2201.02177",
        "Kuensch 1989, Annals of Statistics 17:1217",
        "Roy and Vetterli 2007, EUSIPCO",
    ),
    parts=("weights", "phases", "grokking", "fourier", "circuit"),
)

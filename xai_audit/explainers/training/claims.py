"""What training did, as claims: generalisation gained after memorisation, and a circuit that carries it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.evidence import Control, Estimate, Inference, Robustness, Sampling, Scalar
from xai_audit.intervals_rows import mean, t_quantile
from xai_audit.mechanistic.dynamics import fourier, measures
from xai_audit.method import Measured, Skipped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from xai_audit.explainers.training.modular import Edited, Spectra, Task
    from xai_audit.explainers.training.recorded import Recorded
    from xai_audit.mechanistic.dynamics.changes import Phases
    from xai_audit.method import Context

SHARES = (0.9, 0.95, 0.99)
"""Shares of the energy by which key frequencies may be chosen: specifications a claim must survive."""
TWINS = 10
"""Networks with permuted weights; what is nothing of one by chance is nothing of their mean."""
VARIED = 10
"""Random sets of frequencies in each specification."""


def place_of(found: Phases, recorded: Recorded) -> int | None:
    """The first checkpoint at which the training rows were memorised."""
    if found.memorised is None:
        return None
    return int(np.searchsorted(recorded.steps, found.memorised.value))


def generalised(
    context: Context,
    found: Phases,
    recorded: Recorded,
    twins: NDArray[np.float64],
    said: Mapping[str, Any],
    sampling: Sampling,
) -> Measured:
    """Held-out accuracy gained after the training rows were memorised, beside the gains (twins,) of permuted twins."""
    from scipy.stats import binomtest

    place = place_of(found, recorded)
    assert place is not None
    before, after = (recorded.right["held_out"][at].astype(np.float64) for at in (place, -1))
    gain = _paired(context, after - before)
    twin = _reach(context, twins)
    better, worse = int((after > before).sum()), int((after < before).sum())
    p = float(binomtest(better, better + worse).pvalue) if better + worse else 1.0
    controls = [
        Control(name="held-out accuracy gained after memorisation", expectation="positive", estimate=gain),
        Control(
            name="the same with the weights of both checkpoints permuted, over twins",
            expectation="null",
            estimate=twin,
        ),
    ]
    if found.delay is not None:
        at = found.delay
        delay = Estimate(value=at.value, low=at.low, high=at.high, n=len(recorded.steps))
        controls.append(
            Control(
                name="steps between memorisation and the middle of the held-out rise",
                expectation="positive",
                estimate=delay,
            )
        )
    step = int(recorded.steps[place])
    return Measured(
        name="grokking",
        title="Held-out accuracy gained after the training rows were memorised",
        observation=Scalar(estimate=gain, unit="share of rows"),
        arrays={"before": before, "after": after, "twin_gains": twins},
        sampling=sampling,
        controls=tuple(controls),
        inference=Inference(
            p=p, adjusted=p, method="McNemar's exact test over held-out rows", family="1 claim", m=1
        ),
        params={
            **said,
            "from_step": step,
            "to_step": int(recorded.steps[-1]),
            "held_out_before": float(before.mean()),
            "held_out_after": float(after.mean()),
            "finding": (
                f"Between step {step:,}, when the training rows were memorised, and step {int(recorded.steps[-1]):,} "
                f"held-out accuracy went from {before.mean():.3f} to {after.mean():.3f}: {found.reason}."
            ),
        },
    )


def _paired(context: Context, changes: NDArray[np.float64]) -> Estimate:
    value, limits = mean(changes.tolist(), context.levels)
    return context.estimate(value, limits, len(changes))


# ------------------------------------------------------------------------------------------------------- frequencies
@dataclass(frozen=True, eq=False)
class _Answered:
    """Losses and right answers of all pairs under one edit."""

    losses: NDArray[np.float64]
    right: NDArray[np.float64]


def circuit(
    context: Context, edited: Edited, twins: Sequence[Edited], task: Task, found: Spectra, sets: int
) -> Measured | Skipped:
    """What taking the key frequencies out of the embedding does to held-out accuracy, and taking random ones out."""
    p, keys = task.modular.modulus, found.keys
    others = [k for k in range(1, p // 2 + 1) if k not in keys]
    if len(others) < 2 * len(keys):
        reason = (
            f"the last checkpoint's logits by result are spread over {len(keys)} of {p // 2} frequencies; "
            "no few carry them, so that none are taken out"
        )
        return Skipped(name="circuit", reason=reason)
    held = ~task.modular.train.ravel()
    rng = context.rng("random frequencies")
    drawn = [sorted(rng.choice(others, len(keys), replace=False).tolist()) for _ in range(sets)]
    whole = _answered(edited.without([]), task)
    without, alone = _answered(edited.without(keys), task), _answered(edited.alone(keys), task)
    random = [_answered(edited.without(one), task) for one in drawn]
    each = (whole.right - without.right)[held]
    drop = _paired(context, each)
    falls = np.array([float((whole.right - one.right)[held].mean()) for one in random])
    other = np.array(
        [
            float(
                (_answered(one.without([]), task).right - _answered(one.without(keys), task).right)[
                    held
                ].mean()
            )
            for one in twins
        ]
    )
    p_value = (1 + int((falls >= drop.value * (1 - 1e-9)).sum())) / (sets + 1)
    chance = _paired(context, alone.right[held] - 1 / p)
    said = ", ".join(map(str, keys))
    return Measured(
        name="circuit",
        title="Held-out accuracy lost when the key frequencies are taken out of the embedding",
        observation=Scalar(estimate=drop, unit="share of pairs"),
        arrays={
            "lost": each,
            "random_falls": falls,
            "random_frequencies": np.array(drawn, dtype=np.int64),
            "alone": alone.right[held],
            "twin_lost": other,
        },
        sampling=Sampling(
            available=int(held.sum()), used=int(held.sum()), how="all pairs that are not trained on"
        ),
        controls=(
            Control(
                name="accuracy lost beyond the reach of random frequencies",
                expectation="positive",
                estimate=_beyond(context, each, falls),
                edit=True,
            ),
            Control(
                name="as many random frequencies taken out",
                expectation="null",
                estimate=_reach(context, falls),
                edit=True,
            ),
            Control(
                name="accuracy above chance with the key frequencies alone",
                expectation="positive",
                estimate=chance,
                edit=True,
            ),
            Control(
                name="the same frequencies taken out of networks with permuted weights",
                expectation="null",
                estimate=_reach(context, other),
            ),
        ),
        inference=Inference(
            p=p_value,
            adjusted=p_value,
            method="share of random sets of frequencies that lose as much",
            family="1 claim",
            m=1,
        ),
        robustness=_robust(context, edited, task, held, found),
        params={
            "key_frequencies": list(keys),
            "loss_without_keys": float(without.losses[held].mean()),
            "loss_keys_alone": float(alone.losses[held].mean()),
            "accuracy_keys_alone": float(alone.right[held].mean()),
            "random_sets_drawn": sets,
            "p_min": 1 / (sets + 1),
            "finding": (
                f"With the frequencies {said} of {p // 2} taken out of the embedding, held-out accuracy fell from "
                f"{whole.right[held].mean():.3f} to {without.right[held].mean():.3f}; with as many random ones taken out it "
                f"fell by {falls.mean():.3f} on average; with these alone it was {alone.right[held].mean():.3f}."
            ),
        },
    )


def _answered(logits: Any, task: Task) -> _Answered:
    import torch

    results = torch.from_numpy(task.modular.results)
    losses: NDArray[np.float64] = measures.cross_entropy(logits, results).numpy()
    right: NDArray[np.float64] = (logits.argmax(dim=1) == results).double().numpy()
    return _Answered(losses, right)


def _reach(context: Context, falls: NDArray[np.float64]) -> Estimate:
    """Where that of one random set, or of one twin, lies, at every level: Student's t about the mean of those drawn."""
    centre, spread = float(falls.mean()), float(falls.std(ddof=1))
    halves = [t_quantile(level, len(falls) - 1) * spread for level in context.levels]
    return context.estimate(centre, [(centre - half, centre + half) for half in halves], len(falls))


def _beyond(context: Context, each: NDArray[np.float64], falls: NDArray[np.float64]) -> Estimate:
    """The fall less what 95 % of random sets stay under."""
    most = float(falls.mean()) + t_quantile(0.95, len(falls) - 1) * float(falls.std(ddof=1))
    return _paired(context, each - most)


def _robust(
    context: Context, edited: Edited, task: Task, held: NDArray[np.bool_], found: Spectra
) -> Robustness:
    """Declared: three shares of energy, accuracy or loss, held-out or all pairs; each against its own random sets."""
    p = task.modular.modulus
    whole = edited.without([])
    table = fourier.by_result(whole, task.modular)
    before = _answered(whole, task)
    agreeing = []
    for share in SHARES:
        keys = fourier.key_frequencies(table, share) or found.keys
        others = [k for k in range(1, p // 2 + 1) if k not in keys]
        rng = context.rng("variant", str(share))
        count = min(len(keys), len(others))
        tries: Sequence[Sequence[int]] = [
            keys,
            *(rng.choice(others, count, replace=False).tolist() for _ in range(VARIED if count else 0)),
        ]
        answers = [_answered(edited.without(one), task) for one in tries]
        for by_loss, rows in product((False, True), (held, np.ones_like(held))):
            falls = [
                float((one.losses - before.losses if by_loss else before.right - one.right)[rows].mean())
                for one in answers
            ]
            agreeing.append(count > 0 and falls[0] > max([0.0, *falls[1:]]))
    return Robustness(
        specifications=len(agreeing), agreeing=sum(agreeing), share=sum(agreeing) / len(agreeing)
    )

"""What the dictionary as a whole keeps: error, loss, dead latents, density, seeds; each beside what learnt nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.evidence import Control, Curve, Estimate, Point, Sampling, Scalar, Series, exactly
from xai_audit.explainers.dictionaries import numbers
from xai_audit.explainers.rows import plain
from xai_audit.intervals import rate
from xai_audit.mechanistic.dictionaries import metrics, saelens
from xai_audit.method import Measured, Skipped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.explainers.dictionaries.trained import Made
    from xai_audit.mechanistic.dictionaries.dictionary import Dictionary
    from xai_audit.mechanistic.dictionaries.metrics import Kept, Recovered


WIDEST, MOST_KEPT = 2048, 4_000_000
"""Latents, and numbers of all decoders beside the first one's, up to which those are kept."""


def shown(estimate: Estimate, digits: int = 2) -> str:
    """``0.12 [0.11, 0.13]``."""
    ends = ["-" if one is None else f"{one:.{digits}f}" for one in (estimate.low, estimate.high)]
    return f"{estimate.value:.{digits}f} [{', '.join(ends)}]"


def error(made: Made) -> Measured:
    """FVU on held-out activations, with the controls that every dictionary carries, and the dictionary itself."""
    kept, context = made.kept, made.context
    own, frozen, twin = (kept[name] for name in ("first", "frozen", "twin"))
    estimate = numbers.ratio(context, (own.errors, own.spreads), most=1.0)
    beyond = numbers.difference(context, (frozen.errors, own.spreads), (own.errors, own.spreads), paired=True)
    apart = numbers.difference(context, (twin.errors, twin.spreads), (own.errors, own.spreads), paired=False)
    l0 = numbers.ratio(context, (own.fires, own.counts.astype(np.float64)), most=1.0)
    distinct = apart.low is not None and apart.low > 0
    size = f"{made.recipe.width:,} latents, L0 {own.l0:.1f}"
    sentence = (
        f"A {made.recipe.variant} dictionary of {size} leaves {shown(estimate)} of the variance at {made.site} "
        f"unexplained; one whose decoder was never trained leaves {frozen.fvu:.2f}, one of the same network with permuted "
        f"weights {twin.fvu:.2f}{'' if distinct else ': not told apart, so its features are not claimed to be the model’s'}."
    )
    return Measured(
        title=f"Share of the variance at {made.site} that the dictionary does not explain (FVU)",
        observation=Scalar(estimate=estimate, unit="share of variance"),
        arrays=_arrays(made),
        sampling=_sampling(made),
        controls=(
            Control(name="FVU of a frozen decoder above it", expectation="positive", estimate=beyond),
            Control(
                name="FVU of the network with permuted weights above it",
                expectation="positive",
                estimate=apart,
            ),
        ),
        limits=_limits(own),
        params={
            **described(made),
            "l0": slot(l0),
            "dead": own.dead(),
            "dead_of_activations": own.tokens,
            "ultra_low": own.ultra_low,
            "frozen_fvu": frozen.fvu,
            "twin_fvu": twin.fvu,
            "frozen_dead": frozen.dead(),
            "twin_dead": twin.dead(),
            "sentence": sentence,
        },
    )


def _limits(own: Kept) -> tuple[str, ...]:
    return (
        "FVU: summed squared errors over summed squared distances from the mean; libraries differ in what they call so",
        f"explained variance says nothing of whether features are the model's; {own.tokens:,} held-out activations",
    )


def _sampling(made: Made) -> Sampling:
    documents = len(made.fit.rows) + len(made.held.rows)
    return Sampling(
        available=made.table.n,
        used=documents,
        how=f"{made.source} in content order until there were enough activations; the last fifth is held out",
    )


def described(made: Made) -> dict[str, Any]:
    """What every part of the evidence says of the dictionary."""
    return {
        "site": str(made.site),
        "rows_of": made.source,
        "latents": made.recipe.width,
        "site_features": made.dictionary.n,
        "activations_trained_on": made.seeds[0].tokens,
        "distinct_activations": len(made.fit),
        "held_out_activations": len(made.held),
        "dead_after": made.recipe.dead_after,
    }


def _arrays(made: Made) -> dict[str, NDArray[Any]]:
    """The dictionary as SAELens names its tensors, and the sums that its numbers are made of."""
    found = weights(made.dictionary)
    found["sizes"] = np.asarray([(len(one.rows), len(one)) for one in (made.fit, made.held)])
    for name, kept in made.kept.items():
        label = {"first": "own"}.get(name, f"seed_{name}" if name.isdigit() else name)
        found |= {
            f"{label}_errors": kept.errors,
            f"{label}_spreads": kept.spreads,
            f"{label}_fires": kept.fires,
            f"{label}_counts": kept.counts,
            f"{label}_fired": kept.fired,
            f"{label}_first": kept.first,
        }
    return found


def weights(dictionary: Dictionary) -> dict[str, NDArray[Any]]:
    """A dictionary's tensors by SAELens' names."""
    return {name: one.cpu().numpy() for name, one in saelens.tensors(dictionary).items()}


def slot(estimate: Estimate) -> list[float | None]:
    """An estimate as a parameter: value, low and high."""
    return [estimate.value, estimate.low, estimate.high]


def stability(made: Made) -> Measured:
    """How alike dictionaries of different seeds are, beside a dictionary of another seed that learnt nothing."""
    kept = made.kept
    seeds = [one.dictionary for one in made.seeds]
    alive = [kept["first"].fired > 0, *(kept[str(number)].fired > 0 for number in range(1, len(seeds)))]
    pairs = [(i, j) for i in range(len(seeds)) for j in range(i)]
    # Each pair's matched cosines are its sample; pairs share dictionaries, so the first pair alone carries the interval.
    found = [metrics.matched_cosines(seeds[i], seeds[j], (alive[i], alive[j])) for i, j in pairs]
    drawn = metrics.matched_cosines(
        seeds[1], made.frozen.dictionary, (alive[1], np.ones(made.recipe.width, dtype=bool))
    )
    context = made.context
    if not len(found[0]):
        return Measured(
            name="stability",
            title="How alike two seeds' dictionaries are (MCC)",
            observation=Scalar(estimate=exactly(0.0, 0), unit="mean cosine"),
            limits=("no latent of one of the dictionaries fires",),
            params={**described(made), "pairs": [0.0]},
        )
    estimate = numbers.paired_mean(context, found[0])
    beyond = numbers.welch(context, found[0], drawn)
    sentence = (
        f"Matched one to one, the latents of two trainings that differ by their seed have a mean cosine of "
        f"{shown(estimate)}; with directions that were drawn and not trained it is {float(drawn.mean()):.2f}."
    )
    return Measured(
        name="stability",
        title="How alike the dictionaries of two seeds are: mean cosine of latents matched one to one (MCC)",
        observation=Scalar(estimate=estimate, unit="mean cosine"),
        arrays={
            "cosines": found[0],
            "frozen_cosines": drawn,
            **{f"cosines_{number}": one for number, one in enumerate(found[1:], start=1)},
            **_decoders(made),
        },
        controls=(
            Control(name="above directions that were not trained", expectation="positive", estimate=beyond),
        ),
        limits=("latents that never fire on held-out activations are left out",),
        params={**described(made), "pairs": [float(one.mean()) for one in found], "sentence": sentence},
    )


def _decoders(made: Made) -> dict[str, NDArray[Any]]:
    """The decoders of the other seeds and the frozen one, so that latents can be matched again; nothing of large ones."""
    others = [*(one.dictionary for one in made.seeds[1:]), made.frozen.dictionary]
    if made.recipe.width > WIDEST or sum(one.w_dec.numel() for one in others) > MOST_KEPT:
        return {}
    names = [*(f"decoder_{number}" for number in range(1, len(others))), "decoder_frozen"]
    return {name: one.w_dec.cpu().numpy() for name, one in zip(names, others, strict=True)}


def dead(made: Made) -> Measured:
    """The share of latents that did not fire, by the count of held-out activations."""
    names = {"first": "trained", "frozen": "frozen decoder", "twin": "permuted weights"}
    series = tuple(
        Series(
            name=label,
            points=tuple(
                Point(x=float(count), estimate=_share(made, share))
                for count, share in made.kept[name].dead_curve()
            ),
        )
        for name, label in names.items()
    )
    own = made.kept["first"]
    return Measured(
        name="dead",
        title="Latents that never fired, by how many held-out activations they were given",
        observation=Curve(x="held-out activations", y="share of latents that never fired", series=series),
        limits=("a latent that is dead here may fire for other data",),
        params={
            **described(made),
            "sentence": f"{100 * own.dead():.1f} % of the latents fired for none of {own.tokens:,} held-out activations.",
        },
    )


def _share(made: Made, share: float) -> Estimate:
    width = made.recipe.width
    return made.context.estimate(share, rate(round(share * width), width, made.context.levels), width)


def density(made: Made) -> Measured:
    """How often latents fire: a histogram of the logarithm of their density."""
    names = {"first": "trained", "frozen": "frozen decoder", "twin": "permuted weights"}
    series = []
    for name, label in names.items():
        edges, counts = made.kept[name].histogram()
        middles = (edges[1:] + edges[:-1]) / 2
        points = tuple(
            Point(x=float(x), estimate=exactly(int(count), made.recipe.width))
            for x, count in zip(middles, counts, strict=True)
        )
        series.append(Series(name=label, points=points))
    return Measured(
        name="density",
        title="How often latents fire",
        observation=Curve(x="log10 of the share of activations", y="latents", series=tuple(series)),
        params=described(made),
    )


def loss(made: Made) -> Measured | Skipped:
    """Loss recovered on rows with labels, mean ablation first."""
    subject, context = made.subject, made.context
    if subject.task != "classification":
        return Skipped(
            name="loss_recovered", reason="not applicable: it is measured by the cross-entropy of classes"
        )
    if not subject.probabilities:
        return Skipped(
            name="loss_recovered", reason="not applicable: the network's scores are no probabilities"
        )
    test = subject.test
    if test.target is None:
        return Skipped(
            name="loss_recovered", reason="not applicable: there are no labels to measure the loss by"
        )
    rows = np.flatnonzero(test.target >= 0)
    if made.table is test:
        rows = np.intersect1d(rows, made.held.rows)
    rows = rows[: made.params.rows]
    if len(rows) < 10:
        return Skipped(
            name="loss_recovered",
            reason=f"{len(rows)} labelled rows that it was not trained on; 10 are needed",
        )
    import torch

    mean = torch.from_numpy(made.fit.values.mean(axis=0, dtype=np.float64).astype(np.float32))
    frame, labels = test.frame.iloc[rows], np.asarray(test.target[rows], dtype=np.int64)
    found = {
        name: metrics.recovered(made.network, frame, labels, made.site, one.dictionary, mean)
        for name, one in (("own", made.seeds[0]), ("frozen", made.frozen))
    }
    own, frozen = found["own"], found["frozen"]
    whole = own.mean_ablated - own.original
    raised = numbers.paired_mean(context, whole)
    if raised.low is None or raised.low <= 0:
        return Skipped(
            name="loss_recovered",
            reason=f"not applicable: the mean in place of {made.site} changes the loss by {shown(raised, 3)} nats, so that "
            "there is nothing to recover",
        )
    estimate = numbers.ratio(context, (own.mean_ablated - own.spliced, whole))
    edit = numbers.paired_mean(context, own.mean_ablated - own.spliced)
    beyond = numbers.paired_mean(context, frozen.spliced - own.spliced)
    sentence = (
        f"With the dictionary's reconstruction in place of {made.site} the cross-entropy is "
        f"{own.spliced.mean():.3f} nats instead of {own.original.mean():.3f}; of what the mean activation loses "
        f"{shown(estimate)} is recovered."
    )
    return Measured(
        name="loss_recovered",
        title=f"Share of the loss that replacing {made.site} by its mean costs, and the dictionary recovers",
        observation=Scalar(estimate=estimate, unit="share of loss"),
        arrays=_losses(found),
        sampling=Sampling(available=test.n, used=len(rows), how="labelled test rows in content order"),
        controls=(
            Control(
                name="loss below that of the mean activation",
                expectation="positive",
                estimate=edit,
                edit=True,
            ),
            Control(name="loss below that of a frozen decoder", expectation="positive", estimate=beyond),
        ),
        limits=(
            "mean ablation is the measure; zero ablation leaves the range of activations and flatters",
            "loss recovered says that the reconstruction serves this output, not that its latents are causes",
        ),
        params={
            **described(made),
            "cross_entropy": float(own.original.mean()),
            "cross_entropy_spliced": float(own.spliced.mean()),
            "cross_entropy_mean_ablated": float(own.mean_ablated.mean()),
            "cross_entropy_zero_ablated": float(own.zero_ablated.mean()),
            "delta": slot(numbers.paired_mean(context, own.spliced - own.original)),
            "kl": slot(numbers.paired_mean(context, own.kl)),
            "recovered_by_zero_ablation": plain(own.by_zero),
            "frozen_recovered": plain(frozen.by_mean),
            "sentence": sentence,
        },
    )


def _losses(found: dict[str, Recovered]) -> dict[str, NDArray[Any]]:
    return {
        f"{label}_{name}": getattr(one, name)
        for label, one in found.items()
        for name in ("original", "spliced", "mean_ablated", "zero_ablated", "kl")
    }

"""How faithfulness grows with size under each ablation, beside random circuits; and how specifications agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xai_audit.evidence import Curve, Estimate, Matrix, Point, Series
from xai_audit.intervals_rows import mean
from xai_audit.mechanistic.circuits.multiverse import jaccard
from xai_audit.method import Measured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xai_audit.explainers.circuits.found import Found
    from xai_audit.explainers.circuits.prompts import Prompts
    from xai_audit.explainers.circuits.variants import Variants
    from xai_audit.method import Context


WORDS = {"node": "nodes", "edge": "edges", "feature": "latents and error nodes"}
"""Elements of each level."""

CLAIM = "the first circuit keeps the least threshold, and more than each of 19 random circuits of its size"
TRANSFER = "of a template, the circuit found on it does so on held-out prompts of any other wording"


def growth(context: Context, found: Sequence[Found], level: str) -> Measured:
    """Faithfulness over the number of elements, a line for each ablation."""
    series = []
    for one in found:
        influence = one.grown.influence()
        points = []
        for place, size in enumerate(one.sizes.tolist()):
            value, limits = mean(influence[place].tolist(), context.levels[:1])
            estimate = Estimate(
                value=value, low=limits[0][0], high=limits[0][1], n=influence.shape[1], limits=None
            )
            points.append(Point(x=float(size), estimate=estimate))
        series.append(Series(name=f"{one.ablation} ablation", points=tuple(points)))
    return Measured(
        name="growth",
        title=f"Faithfulness as {WORDS[level]} are added, the largest score first",
        observation=Curve(x="elements in the circuit", y="share of the behaviour", series=tuple(series)),
    )


def multiverse(
    context: Context, variants: Variants, prompts: Prompts, found: Sequence[Found], level: str
) -> Measured:
    """For each ablation, metric, threshold and template: size, likeness with that ablation's first circuit, the claim."""
    first: dict[str, int] = {one.ablation: place for place, one in enumerate(found)}
    templates = variants.templates
    used = templates is not None and len(templates.used) > 0
    groups: dict[str, list[int]] = {}
    for place, one in enumerate(variants.specifications):
        name = f"{one.ablation}, {one.metric.replace('_', ' ')}, {one.threshold:.0%}"
        groups.setdefault(f"{name}, {one.template}" if used else name, []).append(place)
    values = []
    for places in groups.values():
        own = first[variants.specifications[places[0]].ablation]
        values.append(
            (
                float(np.mean([variants.circuits[place].sum() for place in places])),
                float(np.mean([jaccard(variants.circuits[place], found[own].circuit) for place in places])),
                float(np.mean(variants.held[own][places])),
            )
        )
    return Measured(
        name="multiverse",
        title=f"Circuits of {WORDS[level]} under the declared specifications, means over resamples of the prompts",
        observation=Matrix(
            rows=tuple(groups),
            columns=("elements", "Jaccard with the first circuit", "claim holds, share"),
            values=tuple(values),
            row_title="ablation, metric, threshold, template" if used else "specification",
        ),
        arrays={
            "variant_circuits": variants.circuits,
            "variant_held": variants.held,
            **({} if templates is None else {"template": templates.codes}),
        },
        params={
            "specifications": [str(one) for one in variants.specifications],
            "claim": f"{CLAIM}; {TRANSFER}" if used else CLAIM,
            **({} if templates is None else templates.told(prompts.finds)),
        },
        limits=() if templates is None else templates.limits(context.min_cell),
    )

"""A scaling law over a grid of trainings: the error by latents and k, dead latents by size, what the law recommends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from xai_audit.errors import MethodError
from xai_audit.evidence import Curve, Point, Series
from xai_audit.explainers.dictionaries import numbers
from xai_audit.explainers.dictionaries.trained import recipe_of, trained_once
from xai_audit.explainers.dictionaries.whole import described
from xai_audit.intervals import rate
from xai_audit.mechanistic.dictionaries import metrics, scaling
from xai_audit.method import Measured, Skipped

if TYPE_CHECKING:
    from xai_audit.explainers.dictionaries.trained import Made
    from xai_audit.mechanistic.dictionaries.metrics import Kept


def laws(made: Made) -> Iterator[Measured | Skipped]:
    """The grid as two curves; nothing where none was asked for."""
    grid = made.params.scaling
    if grid is None:
        return
    context = made.context
    recipes = [
        recipe_of(made.params, made.fit, expansion=expansion, k=k, tokens=grid.tokens)
        for k in sorted(set(grid.k))
        for expansion in sorted(set(grid.expansions))
    ]
    found: dict[tuple[int, int], Kept] = {}
    for recipe in recipes:
        one = trained_once(made.fit, recipe, context, "scaling", str(recipe.width), str(recipe.k))
        found[recipe.width, recipe.k] = metrics.kept(one.dictionary, made.held.batches())
    widths, ks = sorted({width for width, _ in found}), sorted({k for _, k in found})
    try:
        law = scaling.fit(
            [width for width, _ in found],
            [k for _, k in found],
            [one.fvu for one in found.values()],
            context.rng("law"),
        )
    except MethodError as error:
        yield Skipped(name="scaling", reason=str(error))
        return
    best = scaling.recommend(law, widths, ks)
    sentence = (
        f"Over {len(found)} trainings of {grid.tokens:,} activations the law recommends {best.width:,} latents of which "
        f"{best.k} fire, with an expected FVU of {best.loss:.3f} [{best.low:.3f}, {best.high:.3f}]: {best.reason}."
    )
    series = tuple(
        Series(
            name=f"k = {k}",
            points=tuple(
                Point(
                    x=float(width),
                    estimate=numbers.ratio(
                        context, (found[width, k].errors, found[width, k].spreads), most=1.0
                    ),
                )
                for width in widths
            ),
        )
        for k in ks
    )
    yield Measured(
        name="scaling",
        title="FVU by latents and by how many fire",
        observation=Curve(x="latents", y="FVU", series=series),
        arrays={
            "width": np.asarray([width for width, _ in found]),
            "k": np.asarray([k for _, k in found]),
            "fvu": np.asarray([one.fvu for one in found.values()]),
            "refits": law.refits,
            "law": law.parameters,
            "errors": np.stack([one.errors for one in found.values()]),
            "spreads": np.stack([one.spreads for one in found.values()]),
            "never": np.asarray([int((one.first > one.tokens).sum()) for one in found.values()]),
        },
        limits=(
            "a law says nothing outside of its grid, and of no training but one of this length",
            "its intervals come from resampled residuals of few trainings",
        ),
        params={
            **described(made),
            "law": "exp(a + b_k ln k + b_n ln n + g ln k ln n) + exp(z + h ln k)",
            "parameters": {name: list(three) for name, three in law.parameter_limits().items()},
            "residual_spread": law.spread,
            "recommended_latents": best.width,
            "recommended_k": best.k,
            "expected_fvu": [best.loss, best.low, best.high],
            "sentence": sentence,
        },
    )
    yield Measured(
        name="dead_by_size",
        title="Latents that never fired on held-out activations, by the size of the dictionary",
        observation=Curve(
            x="latents",
            y="share of latents that never fired",
            series=tuple(
                Series(
                    name=f"k = {k}",
                    points=tuple(
                        Point(
                            x=float(width),
                            estimate=context.estimate(
                                found[width, k].dead(),
                                rate(round(found[width, k].dead() * width), width, context.levels),
                                width,
                            ),
                        )
                        for width in widths
                    ),
                )
                for k in ks
            ),
        ),
        params=described(made),
    )

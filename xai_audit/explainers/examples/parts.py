"""What prototypes show beside their fidelity: purity, coverage, margins, stability and examples out of place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit import intervals as iv
from xai_audit.evidence import Curve, Estimate, Point, Sampling, Scalar, Series
from xai_audit.explainers.examples import benign
from xai_audit.explainers.examples import cases as prototype_cases
from xai_audit.explainers.examples.compared import finite, row_digests
from xai_audit.explainers.examples.group_shares import group_shares
from xai_audit.explainers.examples.support import Suspicion
from xai_audit.explainers.examples.support import purity as neighbours_agree
from xai_audit.intervals_rows import effective
from xai_audit.method import Measured, Skipped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xai_audit.explainers.examples.compared import Found

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


def purity(found: Found) -> Measured:
    """For each class, how many of the examples around its prototypes have it."""
    basis = found.support
    same, whose = neighbours_agree(found.embedded, basis.labels, found.rule, found.params.neighbours)
    points = []
    for one in np.unique(found.rule.classes):
        mine = found.rule.classes == one
        # Neighbours of one prototype resemble each other: each prototype is a cluster.
        successes, n = effective(same[mine].ravel().astype(np.float64), None, whose[mine].ravel().tolist())
        low, high = iv.rate(successes, n, found.context.levels[:1])[0]
        estimate = Estimate(value=successes / n, low=low, high=high, n=int(same[mine].size))
        points.append(Point(x=found.names[one], estimate=estimate))
    limit = "neighbours of one prototype count as a cluster; where all agree, as one"
    return Measured(
        name="purity",
        title="Share of each prototype's nearest examples that have its class",
        observation=Curve(x="class", y="share", series=(Series(name="purity", points=tuple(points)),)),
        arrays={"neighbour_same": same},
        **{**found.common, "limits": (*found.common["limits"], limit)},
    )


def coverage(found: Found) -> Iterator[Measured | Skipped]:
    """How many test rows lie as near to a prototype as held-out examples do, overall and by sensitive column."""
    basis = found.support
    if not basis.held.any():
        yield Skipped(name="coverage", reason="too few examples of each class to hold some out")
        return
    distances = found.rule.nearest(found.embedded[basis.held])[1]
    radius = float(np.quantile(distances, found.params.radius, method="inverted_cdf"))
    asked = found.rule.nearest(found.asked)[1]
    covered = asked <= radius
    kept = {"held_distance": distances, "row_distance": asked}
    more = {**found.common, "params": {**found.common["params"], "radius_used": radius}}
    said = (
        f"{found.params.radius:.0%} of held-out examples lie that near; so would test rows that are like them"
    )
    more["limits"] = (*found.common["limits"], said)
    yield Measured(
        name="coverage",
        title="Test rows as near to a prototype as held-out examples are",
        observation=Scalar(estimate=found.share(covered), unit="share of test rows"),
        arrays=kept,
        **more,
    )
    for grouping in found.subject.groupings:
        if len(grouping.columns) > 1 or grouping.explanatory:
            continue
        yield Measured(
            columns=grouping.columns,
            title="Test rows as near to a prototype as held-out examples are",
            observation=group_shares(found.subject, grouping, basis.queries, covered, found.context),
            arrays=kept,
            **more,
        )


def margin(found: Found) -> Measured | Skipped:
    """Quantiles of the distance that a prototype of another class is farther off."""
    n = len(found.asked)
    if n < max(20, 2 * found.context.min_cell):
        return Skipped(name="margin", reason=f"a quantile of {n} rows would be one row's own")
    margins = found.rule.margins(found.asked)
    agree = found.rule.says(found.asked) == found.prediction
    series = []
    for name, inside in (
        ("all rows", np.ones(n, dtype=bool)),
        ("rows where the rule and the model agree", agree),
        ("rows where they differ", ~agree),
    ):
        if inside.sum() >= max(20, 2 * found.context.min_cell):
            points = tuple(
                _quantile(np.sort(margins[inside]), at, found.context.levels[0]) for at in QUANTILES
            )
            series.append(Series(name=name, points=points))
    return Measured(
        name="margin",
        title="How much farther the nearest prototype of another class is",
        observation=Curve(x="quantile of rows", y="distance", series=tuple(series)),
        arrays={"row_margin": margins, "row_agrees": agree},
        **found.common,
    )


def _quantile(ordered: NDArray[np.float64], at: float, level: float) -> Point:
    """A quantile with the interval that the ranks of a binomial count give."""
    from scipy.special import bdtr

    n = len(ordered)
    value = float(np.quantile(ordered, at, method="inverted_cdf"))
    below = bdtr(np.arange(n + 1), n, at)
    low, high = (int(np.searchsorted(below, (1 + side * level) / 2)) for side in (-1, 1))
    low -= 1
    return Point(
        x=at,
        estimate=Estimate(
            value=value,
            low=float(ordered[low]) if low >= 0 else None,
            high=float(ordered[high]) if high < n else None,
            n=n,
        ),
    )


def stability(found: Found) -> Iterator[Measured | Skipped]:
    """How many test rows keep their nearest prototype under each benign change."""
    subject, basis = found.subject, found.support
    reference = basis.table.frame.iloc[basis.rows]
    before, _ = found.rule.nearest(found.asked)
    series: dict[str, list[Point]] = {}
    kept: dict[str, NDArray[Any]] = {"row_prototype": before, "prototype_class": found.rule.classes}
    untouched: list[str] = []
    touched: list[str] = []
    for name, frame, differs in benign.changed(subject, basis.queries, reference, found.context.seed):
        if not differs.any():
            untouched.append(name)
            continue
        after, _ = found.rule.nearest(finite(found.space.embedded(frame), "changed rows"))
        kept[f"changed_{len(touched)}"], kept[f"prototype_{len(touched)}"] = differs, after
        events = {
            "nearest prototype stays": after == before,
            "its class stays": found.rule.classes[after] == found.rule.classes[before],
        }
        if subject.model is not None:
            said_after = prototype_cases.predicted(subject, frame)
            kept[f"prediction_{len(touched)}"] = said_after
            events["the model's prediction stays"] = said_after == found.prediction
        touched.append(name)
        for what, event in events.items():
            series.setdefault(what, []).append(found.point(name, event, differs))
    if not series:
        yield Skipped(name="stability", reason=f"no test row is changed by {', '.join(untouched)}")
        return
    said = ["each share is over the rows that the change changed"]
    if untouched:
        said.append(f"no row was changed by {', '.join(untouched)}")
    lines = tuple(Series(name=what, points=tuple(points)) for what, points in series.items())
    yield Measured(
        name="stability",
        title="Rows that keep their nearest prototype under changes that should not matter",
        observation=Curve(x="change", y="share of rows", series=lines),
        arrays={**kept, "changes": np.asarray(touched, dtype=np.str_)},
        **{**found.common, "limits": (*found.common["limits"], *said)},
    )


def suspects(found: Found, suspicion: Suspicion) -> Measured:
    """How many examples lie nearer to another class than to their own; which, in the arrays."""
    basis = found.support
    count, n = int(suspicion.suspect.sum()), len(basis.rows)
    order = np.argsort(-suspicion.value, kind="stable")[:count]
    by_class = {
        name: int((suspicion.suspect & (basis.labels == one)).sum()) for one, name in enumerate(found.names)
    }
    said = (
        "a suspect may be mislabelled, rare or rightly different: a person must look",
        "examples of a thinly populated class lie farther from their own and are suspected more easily",
    )
    return Measured(
        name="suspects",
        title="Examples that lie nearer to another class than to their own",
        observation=Scalar(
            estimate=found.context.estimate(count / n, iv.rate(count, n, found.context.levels), n),
            unit="share of examples",
        ),
        arrays={
            "suspect_sha256": row_digests(basis.table, basis.rows[order]),
            "suspect_class": basis.labels[order],
            "suspect_other": suspicion.other[order],
            "suspect_value": suspicion.value[order],
            "example_class": basis.labels,
            "example_other": suspicion.other,
            "example_value": suspicion.value,
        },
        **{
            **found.common,
            "params": {**found.common["params"], "suspects": count, "suspects_by_class": by_class},
            "limits": (*found.common["limits"], *said),
            "sampling": Sampling(
                available=basis.available,
                used=n,
                how="all rows with a class"
                if n == basis.available
                else "the smallest sha256 of seed and row content",
            ),
        },
    )

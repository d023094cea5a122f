"""One claim for each ablation: what the circuit keeps, its controls and its test; its elements, and its picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.evidence import (
    Control,
    Inference,
    Item,
    Matrix,
    Ranking,
    Robustness,
    Scalar,
)
from xai_audit.explainers.circuits import numbers
from xai_audit.intervals import bonferroni
from xai_audit.intervals_rows import mean
from xai_audit.mechanistic.circuits.export import packed, stability_card
from xai_audit.mechanistic.circuits.faithfulness import random_p
from xai_audit.mechanistic.circuits.multiverse import stability
from xai_audit.method import Measured

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from xai_audit.explainers.circuits.found import Found
    from xai_audit.explainers.circuits.latents import Latents
    from xai_audit.explainers.circuits.params import CircuitParams
    from xai_audit.explainers.circuits.prompts import Prompts
    from xai_audit.explainers.circuits.variants import Variants
    from xai_audit.mechanistic.circuits.graphs import Element, Graph
    from xai_audit.method import Context

TEST = "share of random circuits of equal size that keep as much, Bonferroni over ablations"
SIDE_BY_SIDE = (
    "elements", "faithfulness", "what is left without it", "random circuits", "CPR", "CMD", "size at 85 %", "size at 95 %"
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Claims:
    """What all claims of one use share."""

    context: Context
    params: CircuitParams
    prompts: Prompts
    network: Graph
    """The graph in which circuits were searched."""
    label: Callable[[str], str | None]
    """What people call a node, where that is another than its path."""
    variants: Variants | None
    metric: str
    latents: Latents | None = None
    """Of level feature: the dictionaries."""

    @property
    def elements(self) -> tuple[Element, ...]:
        """Those among which circuits are searched."""
        return self.network.elements

    def claim(self, found: Found, place: int, family: int) -> Measured:
        """What the circuit keeps of the behaviour on prompts that did not find it."""
        kept = numbers.faithfulness(self.context, found.alone)
        random = found.random.faithfulness()
        p = random_p(kept.value, random)
        universes = None if self.variants is None else self.variants.universes(place)
        told = None if universes is None else stability(universes, found.circuit)
        return Measured(
            name=found.ablation,
            title=f"What the circuit keeps of the behaviour, {found.ablation} ablation",
            observation=Scalar(estimate=kept, unit="share of the behaviour"),
            arrays={
                "finds": self.prompts.finds,
                "circuit": found.alone.circuit[0], "full": found.alone.full, "empty": found.alone.empty,
                "rest": found.rest.circuit[0], "random": found.random.circuit.mean(axis=1),
                "sizes": found.sizes, "grown": found.grown.circuit, "twins": found.twins,
                "members": found.circuit,
                "order": found.order, "untestable": found.untestable, "corrupted": found.corrupted,
                **({} if found.latents is None else {"latents_alone": found.latents.circuit[0]}),
                **({} if self.latents is None else self.latents.arrays()),
                **({} if self.variants is None else {
                    "variant_circuits": self.variants.circuits, "variant_held": self.variants.held[place],
                    "stability_card_json": self._card(found, place)}),
            },
            sampling=self.prompts.sampling,
            controls=self._controls(found, kept, random),
            inference=Inference(
                p=p, adjusted=min(1.0, p * family), method=TEST, family=f"{family} ablations", m=family
            ),
            robustness=None if told is None else Robustness(
                specifications=told.specifications, agreeing=told.agreeing, share=told.agreeing / told.specifications
            ),
            params={
                **self._about(found),
                **self._measures(found, random),
                **self._dictionaries(found),
                **({} if told is None else {
                    "jaccard": told.jaccard, "jaccard_with_this": told.jaccard_primary, "claim_share": told.claim_share}),
            },
            limits=(*_limits(found), *(() if self.latents is None else self.latents.limits())),
        )  # fmt: skip

    def _controls(self, found: Found, kept: Any, random: Any) -> tuple[Control, ...]:
        return (
            Control(
                name="behaviour of the whole network above that with everything ablated",
                expectation="positive",
                estimate=numbers.behaviour(self.context, found.alone),
            ),
            Control(
                name="share of the behaviour kept beyond the reach of random circuits of equal size",
                expectation="positive",
                estimate=numbers.shifted(kept, numbers.reach(random)),
                edit=True,
            ),
            Control(
                name="share kept by random circuits of equal size",
                expectation="null",
                estimate=numbers.one_more(self.context, random),
                edit=True,
            ),
            Control(
                name="behaviour of circuits of equal size found in networks with permuted weights, as a share",
                expectation="null",
                estimate=numbers.one_more(self.context, found.twins),
            ),
        )

    def _about(self, found: Found) -> dict[str, Any]:
        return {
            "ablated_by": found.ablation,
            "behaviour": self.metric,
            "elements": len(self.elements),
            "circuit_size": found.size,
            "untestable_elements": int(found.untestable.sum()),
            "untestable_named": [
                str(self.elements[one]) for one in np.flatnonzero(found.untestable)[: self.params.top]
            ],
            "prompts_from": self.prompts.source,
            "classes_from": self.prompts.answered,
            "prompts_that_find": int(self.prompts.finds.sum()),
            "prompts_that_judge": int((~self.prompts.finds).sum()),
        }

    def _dictionaries(self, found: Found) -> dict[str, Any]:
        """Of level feature: how well the dictionaries explain their sites, and what the circuit is without error nodes."""
        if self.latents is None or found.latents is None:
            return {}
        errors = [one.source.endswith("/error") for one in self.elements]
        return {
            "trained": self.latents.told(),
            "error_nodes": int(np.asarray(errors)[found.circuit].sum()),
            "without_error_nodes": numbers.slot(numbers.faithfulness(self.context, found.latents)),
        }

    def _measures(self, found: Found, random: Any) -> dict[str, Any]:
        cpr, cmd = numbers.areas(self.context, found.grown, found.sizes, len(self.elements))
        sizes = {
            f"size_at_{share * 100:.0f}": numbers.slot(
                numbers.size(self.context, found.grown, found.sizes, share)
            )
            for share in numbers.SHARES
        }
        return {
            "completeness": numbers.slot(numbers.faithfulness(self.context, found.rest)),
            "cpr": numbers.slot(cpr),
            "cmd": numbers.slot(cmd),
            **sizes,
            "random_mean": float(random.mean()),
            "random_reach": numbers.reach(random),
            "whole": float(found.alone.full.mean()),
            "all_ablated": float(found.alone.empty.mean()),
            "corrupted": float(found.corrupted.mean()),
            "p_min": 1 / (len(random) + 1),
        }

    # --------------------------------------------------------------------------------------- elements
    def ranking(self, found: Found) -> Measured:
        """The circuit's elements that do most, by the size of their effect on prompts that did not find them."""
        chosen = self.chosen(found, self.params.top)
        effects = found.scores[:, chosen]
        levels = self.context.levels
        strict = bonferroni(levels[:1], max(len(chosen), 1))[0]
        told = [mean(effects[:, place].tolist(), [*levels, strict]) for place in range(len(chosen))]
        order = sorted(range(len(chosen)), key=lambda place: (-told[place][0], place))
        items = []
        for place in order:
            value, limits = told[place]
            low, high = limits[-1]
            items.append(
                Item(
                    name=self._said(self.elements[chosen[place]]),
                    estimate=self.context.estimate(value, limits[:-1], len(effects)),
                    rank_low=1 + sum(_end(one[1][-1][0], -np.inf) > _end(high, np.inf) for one in told),
                    rank_high=len(told)
                    - sum(_end(one[1][-1][1], np.inf) < _end(low, -np.inf) for one in told),
                )
            )
        return Measured(
            name=f"{found.ablation}-elements",
            title=f"Elements of the circuit by their effect, {found.ablation} ablation",
            observation=Ranking(
                items=tuple(items), unit=f"{self.metric.replace('_', ' ')}, size of the change"
            ),
            arrays={"effects": effects, "chosen": np.asarray(chosen, dtype=np.int64)},
            params={
                "ablated_by": found.ablation,
                "circuit_size": found.size,
                "shown": len(chosen),
                "behaviour_of": self.metric,
            },
            limits=("the circuit's elements were chosen on other prompts; their effects are of these",),
        )

    def _card(self, found: Found, place: int) -> NDArray[np.uint8]:
        """How specifications agree, as a card."""
        assert self.variants is not None
        card = stability_card(
            self.variants.universes(place),
            found.circuit,
            self.elements,
            statement=f"{found.size} of {len(self.elements)} elements keep the behaviour, {found.ablation} ablation",
            method=self.params.method,
            task=f"{self.metric}, {self.prompts.source}",
            seed=self.context.seed,
        )
        return packed(card)

    def chosen(self, found: Found, most: int) -> list[int]:
        """The circuit's elements with the largest score where they were found."""
        inside = np.flatnonzero(found.circuit)
        best = inside[np.argsort(-found.order[inside], kind="stable")][:most]
        return [int(one) for one in best]

    def _said(self, element: Element) -> str:
        source = self.label(element.source) or element.source
        if not element.target:
            return source
        return f"{source} → {self.label(element.target) or element.target}"

    # --------------------------------------------------------------------------------------- all together
    def table(self, found: Sequence[Found]) -> Measured:
        """All ablations side by side."""
        values = []
        for one in found:
            random = one.random.faithfulness()
            told = self._measures(one, random)
            values.append(
                (
                    float(one.size),
                    float(one.alone.faithfulness()[0]),
                    *(float(told[name]["value"]) for name in ("completeness",)),
                    float(random.mean()),
                    *(float(told[name]["value"]) for name in ("cpr", "cmd", "size_at_85", "size_at_95")),
                )
            )
        return Measured(
            observation=Matrix(
                rows=tuple(one.ablation for one in found),
                columns=SIDE_BY_SIDE,
                values=tuple(values),
                row_title="ablation",
            ),
            title="The circuit under each ablation",
            sampling=self.prompts.sampling,
        )


def _end(limit: float | None, unbounded: float) -> float:
    return unbounded if limit is None else limit


def _limits(found: Found) -> tuple[str, ...]:
    told = [
        f"of this contrast and {found.ablation} ablation alone: another ablation may show another circuit"
    ]
    count = int(found.untestable.sum())
    if count:
        told.append(
            f"{count} elements carry the same with and without the contrast: it cannot test them, and says nothing of them"
        )
    return tuple(told)

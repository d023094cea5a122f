"""One claim for each concept, site and class: the effect, the test over sets, the controls, the specifications."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xai_audit.evidence import Control, Inference, Matrix, Robustness, Sampling, Scalar, encoded
from xai_audit.intervals_rows import mean
from xai_audit.mechanistic import concepts, permutation
from xai_audit.method import Measured

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from xai_audit.evidence import Estimate
    from xai_audit.explainers.concepts.edits import Effect
    from xai_audit.explainers.concepts.scores import At, Fitted, Member, Scored
    from xai_audit.explainers.tcav import TcavParams
    from xai_audit.mechanistic.flows import Flow
    from xai_audit.mechanistic.sites import Site
    from xai_audit.method import Context
    from xai_audit.subject import Subject

TEST = "permutation over random sets, max-statistic"
ALPHA = 0.05
"""At which a specification agrees."""
FOUND = 1.959963984540054 + 0.8416212335729143
"""Standard errors of an effect that is found with probability 0.8 at a two-sided 0.05."""


def part_name(concept: str, site: Site, label: str) -> str:
    """The part of an evidence id: concept, site and class joined by ``@``, percent-encoded."""
    return encoded(f"{concept}@{site}@{label}")


@dataclass(frozen=True, eq=False)
class Slopes:
    """The first-order effect of moving to each example: gradients' products with all examples (examples,)."""

    score: NDArray[np.float64]
    """By the gradient of the class's score, the mean over inputs of all classes: what is tested."""
    even: NDArray[np.float64]
    odd: NDArray[np.float64]
    """The same over every second input."""
    output: NDArray[np.float64]
    """By the gradient of the class's output before the link, over inputs of the class."""


class Claims:
    """Collects what the test needs of every site, tests the whole family at once, then states claim after claim."""

    def __init__(
        self,
        subject: Subject,
        params: TcavParams,
        context: Context,
        members: dict[str, Member | str],
        notes: tuple[str, ...],
    ) -> None:
        self._subject, self._params, self._context = subject, params, context
        self._members, self._notes = members, notes
        self._refused: dict[tuple[Flow, int], str] = {}
        self._slopes: dict[tuple[Flow, int], Slopes] = {}
        self._tested: dict[tuple[str, Flow, int], tuple[float, float, float]] = {}
        self._effects: dict[tuple[str, str, int], float] = {}

    def label(self, of: int) -> str:
        """A class as words."""
        return str(self._subject.classes[of])

    def refused(self, flow: Flow, of: int, reason: str) -> None:
        """No concept is scored at this site for this class; it is no part of the family."""
        self._refused[flow, of] = reason

    def reason(self, flow: Flow, of: int) -> str | None:
        """Why there is no claim at this site for this class."""
        return self._refused.get((flow, of))

    @staticmethod
    def unseparated(one: Fitted) -> str | None:
        """Why a concept is not scored here: its vectors do not tell held-out examples from random ones."""
        if one.separable:
            return None
        low, high = one.accuracy_limits[0]
        return (
            f"its vectors' held-out accuracy is {one.accuracy:.2f} [{low:.2f}, {high:.2f}] (n = {one.n}), not above that "
            f"of random sets, {one.null[0]:.2f}: a vector that separates nothing is not scored"
        )

    def slopes(
        self, flow: Flow, of: int, at: At, halves: NDArray[np.float64], own: NDArray[np.float32]
    ) -> None:
        """Keep what the test needs: mean score gradients of even and odd inputs (2, d), output gradients (inputs, d)."""
        examples = at.examples
        even, odd = (examples @ half.astype(np.float32) for half in halves)
        output = examples @ own.mean(axis=0, dtype=np.float64).astype(np.float32)
        self._slopes[flow, of] = Slopes(
            *(np.asarray(part, dtype=np.float64) for part in ((even + odd) / 2, even, odd, output))
        )

    def tested(self, members: Sequence[Member]) -> None:
        """The p of every concept, site and class among its random sets, alone and over the whole family."""
        keys = list(self._slopes)
        if not keys or not members:
            return
        found = permutation.tested(
            [
                np.stack([self._slopes[key].score[np.concatenate([one.own, one.pool])] for key in keys])
                for one in members
            ],
            [len(one.own) for one in members],
            self._params.random_sets,
            [self._context.rng("test", one.name) for one in members],
        )
        for member, one in zip(members, found, strict=True):
            for place, (flow, of) in enumerate(keys):
                self._tested[member.name, flow, of] = (
                    float(one.t[place]),
                    float(one.p[place]),
                    float(one.adjusted[place]),
                )

    def claim(
        self,
        member: Member,
        flow: Flow,
        of: int,
        at: At,
        one: Fitted,
        scored: Scored,
        effect: Effect,
        cross: NDArray[np.float32],
    ) -> Measured:
        """One concept, site and class as evidence."""
        context, label = self._context, self.label(of)
        levels = context.levels
        unit = "probability" if self._subject.probabilities else "score"
        what = f"P({label})" if unit == "probability" else f"the score of {label}"
        place = flow.site or "the output"
        inputs = len(effect.each)
        limits = [_cut(pair) for pair in effect.limits(levels)]
        estimate = context.estimate(effect.value, limits, inputs)
        self._effects[member.name, str(flow.site), of] = effect.value
        t, p, adjusted = self._tested[member.name, flow, of]
        controls = self._controls(one, effect)
        other = self._other(at, one, cross)
        of_concepts = f"{len(self._members)} concept{'' if len(self._members) == 1 else 's'}"
        family = (
            f"{of_concepts} x {len(self._slopes)} pairs of site and class"
            if len(self._slopes) != 1
            else of_concepts
        )
        n = len(cross)
        said = {
            "concept": member.name,
            "site": str(flow.site),
            "class": label,
            "move": "from the random mean to the concept mean, along their difference",
            "moved_from": effect.start,
            "sign_score": _slot(scored.sign, scored.sign_limits[0], n),
            "sign_score_over_sets": list(scored.sign_sets),
            "sign_score_null": _range(scored.null_sign, self._params.random_sets),
            "mean_cosine": _slot(scored.cosine, scored.cosine_limits[0], n),
            "cav_accuracy": _slot(one.accuracy, one.accuracy_limits[0], one.n),
            "cav_accuracy_null": _range(one.null, self._params.random_sets),
            "cav_agreement": one.agreement,
            "random_direction": _of(controls[2].estimate),
            "examples": len(member.own),
            "random_examples": len(member.pool),
            "random_sets": self._params.random_sets,
            "n_inputs": inputs,
            "n_class_inputs": n,
            "t": t,
            "p_min": 1 / (self._params.random_sets + 1),
            "detectable": FOUND * effect.error,
            "averaged_positions": flow.pooled,
        }
        return Measured(
            name=part_name(member.name, flow.site, label),
            title=f"Difference in {what} between the mean of {member.name} and the random mean at {place}",
            observation=Scalar(estimate=estimate, unit=unit),
            arrays={
                "vector": one.vector.astype(np.float32),
                "derivative_by_input": scored.derivatives,
                "effect_by_input": effect.each,
                "random_direction_effects": effect.random,
                "held_by_input": effect.held,
                "example_influences": effect.influences[0],
                "random_influences": effect.influences[1],
                "accuracy_by_set": one.found.accuracy,
                "null_accuracy_by_set": one.random.accuracy,
                "agreement_by_set": one.agreements,
                "rising_by_input": scored.rising,
                "other_rising_by_input": other,
                "cosine_by_input": scored.cosines,
                "sign_by_set": scored.sign_by_set,
                "null_sign_by_set": scored.null_by_set,
            },
            sampling=Sampling(
                available=self._subject.test.n,
                used=inputs,
                how="test rows whose content is no example's, the smallest digests of seed and content",
            ),
            controls=controls,
            inference=Inference(
                p=p,
                adjusted=max(adjusted, p),
                method=TEST,
                family=family,
                m=len(self._members) * len(self._slopes),
            ),
            robustness=self._robust(member, flow, of, scored, effect, other),
            limits=self._limits(member, effect),
            params=said,
        )

    def _controls(self, one: Fitted, effect: Effect) -> tuple[Control, ...]:
        context, levels = self._context, self._context.levels
        above = one.accuracy - one.null[0]
        above_limits = [
            (None if low is None else low - one.null[0], None if high is None else high - one.null[0])
            for low, high in one.accuracy_limits
        ]
        beyond, beyond_limits = effect.beyond(levels)
        reaches = [effect.reach(level) for level in levels]
        centre = effect.random_mean
        return (
            Control(
                name="held-out CAV accuracy above its null",
                expectation="positive",
                estimate=context.estimate(above, above_limits, one.n),
            ),
            Control(
                name="effect of the concept edit beyond random directions",
                expectation="positive",
                estimate=context.estimate(beyond, beyond_limits, len(effect.each)),
                edit=True,
            ),
            Control(
                name="random directions of equal length",
                expectation="null",
                estimate=context.estimate(
                    centre, [(centre - reach, centre + reach) for reach in reaches], len(effect.random)
                ),
                edit=True,
            ),
        )

    def _limits(self, member: Member, effect: Effect) -> tuple[str, ...]:
        found = f"{FOUND * effect.error:.3f} would be found with probability 0.8"
        said = [
            f"an effect of {found} (n = {len(member.own)} examples, {len(effect.each)} inputs)",
            *self._notes,
        ]
        if self._params.relative:
            said.append("relative to the other concepts' examples, not to random ones")
        return tuple(said)

    def _robust(
        self,
        member: Member,
        flow: Flow,
        of: int,
        scored: Scored,
        effect: Effect,
        other: NDArray[np.float64],
    ) -> Robustness:
        """Declared specifications: halves of examples and of inputs, the output before the link, two estimators.

        The first five agree where their own test rejects at ALPHA on the effect's side; the two estimators where the
        interval of their sign score lies on its side of one half.
        """
        side = np.sign(effect.value)
        slopes = self._slopes[flow, of]
        own, pool = member.own, member.pool
        halves = own[::2], own[1::2]
        tries = [
            *((part, slopes.score) for part in halves),
            (own, slopes.even),
            (own, slopes.odd),
            (own, slopes.output),
        ]
        agreeing = []
        for number, (part, values) in enumerate(tries):
            found = permutation.tested(
                [values[np.concatenate([part, pool])][None]],
                [len(part)],
                self._params.random_sets,
                [self._context.rng("variant", member.name, str(flow.site), str(of), str(number))],
            )[0]
            agreeing.append(bool(found.p[0] <= ALPHA and np.sign(found.t[0]) == side))
        agreeing.extend(
            _on_side(low, high, float(side)) for low, high in (scored.sign_limits[0], self._share(other))
        )
        return Robustness(
            specifications=len(agreeing), agreeing=sum(agreeing), share=sum(agreeing) / len(agreeing)
        )

    def _share(self, rising: NDArray[np.float64]) -> tuple[float | None, float | None]:
        """The interval of a sign score, from the share of sets for each input."""
        return mean(rising.tolist(), self._context.levels[:1])[1][0]

    def _other(self, at: At, one: Fitted, cross: NDArray[np.float32]) -> NDArray[np.float64]:
        """Along what share of vectors each input's output rises, by another estimator on the same random sets."""
        if self._params.estimator == "mean_difference":
            half = one.found.members.shape[1] // 2
            positive, negative = one.found.members[:, :half], one.found.members[:, half:]
            found = concepts.fit(at.kernel, positive, negative, "ridge")
        else:
            found = one.found.differences()
        return np.asarray((found.derivatives(cross) > 0).mean(axis=1))

    def _kept(self, accuracies: Mapping[str, Mapping[str, Fitted]]) -> dict[str, NDArray[Any]]:
        """What the test was made on: slopes to every example, whose examples they are, and how vectors held."""
        members = [one for one in self._members.values() if not isinstance(one, str)]
        keys = list(self._slopes)
        slopes = [(one.even, one.odd, one.output) for one in self._slopes.values()]
        pairs = [(found[one.name], one) for found in accuracies.values() for one in members]
        shape = (len(accuracies), len(members))
        return {
            "slopes": np.asarray(slopes, dtype=np.float32)
            if slopes
            else np.zeros((0, 3, 0), dtype=np.float32),
            "slope_site": np.asarray([str(flow.site) for flow, _ in keys], dtype=np.str_),
            "slope_class": np.asarray([of for _, of in keys], dtype=np.int64),
            "tested": np.asarray([one.name for one in members], dtype=np.str_),
            **{
                name: np.concatenate([np.zeros(0, dtype=np.int64), *(getattr(one, name) for one in members)])
                for name in ("own", "pool")
            },
            **{
                f"{name}_counts": np.asarray([len(getattr(one, name)) for one in members], dtype=np.int64)
                for name in ("own", "pool")
            },
            "accuracy": np.asarray([one.accuracy for one, _ in pairs], dtype=np.float64).reshape(shape),
            "null_accuracy": np.asarray([one.null[0] for one, _ in pairs], dtype=np.float64).reshape(shape),
        }

    def summary(
        self, accuracies: Mapping[str, Mapping[str, Fitted]], sites: Sequence[str], classes: Sequence[int]
    ) -> Measured:
        """All effects as a table of concepts by sites; ``accuracies`` holds what was fitted, by site and concept."""
        rows = [(name, of) for name in self._members for of in classes]
        unit = "probability" if self._subject.probabilities else "score"
        return Measured(
            title=f"Difference in the class's {unit} between the concept mean and the random mean",
            observation=Matrix(
                rows=tuple(name if len(classes) == 1 else f"{name}: {self.label(of)}" for name, of in rows),
                columns=tuple(sites),
                values=tuple(
                    tuple(self._effects.get((name, site, of)) for site in sites) for name, of in rows
                ),
                row_title="concept" if len(classes) == 1 else "concept: class",
                column_title="site",
            ),
            arrays=self._kept(accuracies),
            limits=("an empty cell was not scored: its own record says why",),
            params={"classes": [self.label(of) for of in classes], "family": len(rows) * len(sites)},
        )


def _slot(value: float, pair: tuple[float | None, float | None], n: int) -> dict[str, Any]:
    return {"value": value, "low": pair[0], "high": pair[1], "n": n}


def _range(found: tuple[float, float, float], n: int) -> dict[str, Any]:
    return {"value": found[0], "low": found[1], "high": found[2], "n": n}


def _of(estimate: Estimate) -> dict[str, Any]:
    return _slot(estimate.value, (estimate.low, estimate.high), estimate.n)


def _cut(pair: tuple[float | None, float | None]) -> tuple[float | None, float | None]:
    low, high = pair
    return None if low is None else max(low, -1.0), None if high is None else min(high, 1.0)


def _on_side(low: float | None, high: float | None, side: float) -> bool:
    return (side > 0 and low is not None and low > 0.5) or (side < 0 and high is not None and high < 0.5)

"""How often the gate errs: simulated audits through the shipped policy and the real judge.

python -m benchmarks.gate [--trials 1000] [--seed 0]

Each audit draws the counts of a binary model on two equal groups, makes the evidence the metrics would make
of them, adds whatever else the policy reads as met, and asks `judge`. Printed: how often each rule and the
gate say what, with two standard errors, beside what issue 2 asks. Each scenario, each trial and, where said,
each rule has a random stream of its own.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import dataclass, replace
from datetime import date
from math import sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import yaml

from xai_audit import cases, digest
from xai_audit import intervals as iv
from xai_audit import intervals_rows as from_rows
from xai_audit.evidence import LEVELS, Estimate, Evidence, Group, Groups, Scalar, Summary
from xai_audit.judge import judge
from xai_audit.policy import Policy
from xai_audit.resources import folder
from xai_audit.spec import (
    Classification,
    Data,
    DeclaredLevel,
    Model,
    Person,
    Said,
    Sensitive,
    Spec,
    System,
    Table,
    Use,
)
from xai_audit.statements import ASKED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from xai_audit.verdict import Verdict

STATISTICAL = ("PER-01", "PER-02", "FAI-01", "FAI-03", "FAI-04")
TODAY = date(2026, 11, 22)
_AT = (0.95, *map(float, LEVELS))


@dataclass(frozen=True)
class Population:
    """A binary model on two equal groups: base rate, and true and false positive rate of each group."""

    base: float
    tpr: tuple[float, float]
    fpr: tuple[float, float]
    declared: float
    """The accuracy its provider declares."""

    @property
    def accuracy(self) -> float:
        """Its true accuracy."""
        right = [self.base * t + (1 - self.base) * (1 - f) for t, f in zip(self.tpr, self.fpr, strict=True)]
        return sum(right) / 2

    def selected(self, group: int) -> float:
        """The true selection rate of a group."""
        return self.base * self.tpr[group] + (1 - self.base) * self.fpr[group]


def binormal(base: float, auc: float, selected: tuple[float, float], slack: float = 0.03) -> Population:
    """A model whose scores are normal in either class, thresholded in each group to select such shares.

    The declared accuracy is the true one less ``slack``.
    """
    normal = NormalDist()
    distance = sqrt(2) * normal.inv_cdf(auc)
    rates = []
    for share in selected:
        low, high = -10.0, 10.0
        for _ in range(80):
            cut = (low + high) / 2
            found = base * normal.cdf(distance - cut) + (1 - base) * normal.cdf(-cut)
            low, high = (cut, high) if found > share else (low, cut)
        rates.append((normal.cdf(distance - low), normal.cdf(-low)))
    (t1, f1), (t2, f2) = rates
    made = Population(base, (t1, t2), (f1, f2), 0.0)
    return replace(made, declared=made.accuracy - slack)


FAIR = binormal(0.4, 0.87, (0.4, 0.4))
"""Groups identical."""
AT_THRESHOLD = Population(base=0.4, tpr=(0.6125, 0.5125), fpr=(0.425, 0.325), declared=0.6)
"""Every statistical rule exactly at its threshold at once: selection 0.5 and 0.4, both gaps 0.1, accuracy 0.6
as declared and as always saying no."""
UNEQUAL = binormal(0.4, 0.87, (0.5, 0.3))
"""Selection rates 0.5 and 0.3."""


@dataclass(frozen=True)
class Counts:
    """What a draw gave, by group."""

    positives: tuple[int, ...]
    negatives: tuple[int, ...]
    hits: tuple[int, ...]
    alarms: tuple[int, ...]


def draw(population: Population, rows: int, rng: np.random.Generator) -> Counts:
    """Counts of one test set of so many rows."""
    sizes = (rows // 2, rows - rows // 2)
    positives = [int(rng.binomial(size, population.base)) for size in sizes]
    negatives = [size - count for size, count in zip(sizes, positives, strict=True)]
    hits = [int(rng.binomial(n, p)) for n, p in zip(positives, population.tpr, strict=True)]
    alarms = [int(rng.binomial(n, p)) for n, p in zip(negatives, population.fpr, strict=True)]
    return Counts(tuple(positives), tuple(negatives), tuple(hits), tuple(alarms))


def _estimate(value: float, limits: Sequence[tuple[float | None, float | None]], n: int) -> Estimate:
    low, high = limits[0]
    stored = dict(zip(LEVELS, limits[1:], strict=True))
    return Estimate(value=value, low=low, high=high, n=n, limits=stored)


def _compared(name: str, xs: Sequence[int], ns: Sequence[int], *, ratio: bool = False) -> Evidence:
    rates = [x / n for x, n in zip(xs, ns, strict=True)]
    if ratio:
        value = min(rates) / max(rates) if max(rates) else 1.0
        summary = Summary(ratio=_estimate(value, iv.smallest_ratio(xs, ns, _AT), sum(ns)))
    else:
        value = max(rates) - min(rates)
        summary = Summary(difference=_estimate(value, iv.largest_difference(xs, ns, _AT), sum(ns)))
    groups = tuple(
        Group(key={"group": str(i)}, n=n, status="measured", estimate=_estimate(x / n, iv.rate(x, n, _AT), n))
        for i, (x, n) in enumerate(zip(xs, ns, strict=True))
    )
    table = Groups(by=("group",), groups=groups, summary=summary)
    return Evidence(
        id=f"{name}/group", method=name, kind="metric", title="", status="measured", observation=table
    )


def _number(name: str, estimate: Estimate) -> Evidence:
    return Evidence(
        id=name,
        method=name,
        kind="metric",
        title="",
        status="measured",
        observation=Scalar(estimate=estimate),
    )


def _accuracy(c: Counts) -> Evidence:
    n = sum(c.positives) + sum(c.negatives)
    right = sum(c.hits) + sum(c.negatives) - sum(c.alarms)
    return _number("accuracy", _estimate(right / n, iv.rate(right, n, _AT), n))


def _improvement(c: Counts) -> Evidence:
    """Accuracy less that of always saying no: +1 for each hit, -1 for each false alarm."""
    n = sum(c.positives) + sum(c.negatives)
    up, down = sum(c.hits), sum(c.alarms)
    value, limits = from_rows.mean([1.0] * up + [-1.0] * down + [0.0] * (n - up - down), _AT)
    return _number("baseline_improvement", _estimate(value, limits, n))


def _selected(c: Counts) -> tuple[list[int], list[int]]:
    chosen = [hit + alarm for hit, alarm in zip(c.hits, c.alarms, strict=True)]
    return chosen, [p + n for p, n in zip(c.positives, c.negatives, strict=True)]


MAKERS: dict[str, Callable[[Counts], Evidence]] = {
    "PER-01": _accuracy,
    "PER-02": _improvement,
    "FAI-01": lambda c: _compared("demographic_parity_ratio", *_selected(c), ratio=True),
    "FAI-03": lambda c: _compared("equal_opportunity_difference", c.hits, c.positives),
    "FAI-04": lambda c: _compared("false_positive_rate_difference", c.alarms, c.negatives),
}
"""The evidence of each statistical rule from counts, as the metrics make it."""


def shipped(name: str = "eu-ai-act") -> Policy:
    """A shipped policy."""
    return Policy.model_validate(
        yaml.safe_load((folder("policies") / f"{name}.yaml").read_text(encoding="utf-8"))
    )


def attested(declared: float) -> Spec:
    """A spec in which every statement is made by a named person, at stage release."""
    return Spec(
        system=System(
            name="A simulated system",
            stage="release",
            classification=Classification(annex_iii_point="5(a)"),
            statements={
                asked.key: tuple(
                    Said(key=asked.key, letter=letter, text="365", author="A. Person")
                    for letter in asked.letters or (None,)
                )
                for asked in ASKED
            },
            declared_levels=(DeclaredLevel(metric="accuracy", at_least=declared),),
            signatories=(Person(name="A. Person", function="head of testing", date=TODAY),),
        ),
        model=Model(path="model.skops", format="skops", sha256="0" * 64, task="classification"),
        data=Data(test=Table(path="test.csv"), target="y", sensitive=(Sensitive(column="group"),)),
        metrics=(Use(method="accuracy", name="accuracy"),),
        explainers=(Use(method="shap", name="shap"),),
        primary="accuracy",
    )


def met(policy: Policy, spec: Spec, *, but: Sequence[str] = STATISTICAL) -> tuple[Evidence, ...]:
    """Evidence that meets every rule of a policy but some, exactly on its threshold."""
    return tuple(
        piece
        for rule in policy.rules
        if rule.id not in but
        for example in rule.examples
        if example.expect == "pass"
        for piece in cases.evidence_for(rule, example, spec)
    )


@dataclass(frozen=True)
class Gate:
    """The shipped policy, ready to judge counts of one population."""

    policy: Policy
    spec: Spec
    rest: tuple[Evidence, ...]

    def judge(self, counts: dict[str, Counts]) -> Verdict:
        """The verdict where each statistical rule sees its own counts."""
        made = [MAKERS[rule](counts[rule]) for rule in STATISTICAL]
        return judge([self.policy], [*self.rest, *made], self.spec, today=TODAY)


def gate_for(population: Population) -> Gate:
    """The gate that a population's audits pass through."""
    policy, spec = shipped(), attested(population.declared)
    return Gate(policy, spec, met(policy, spec))


def streams(seed: int, scenario: str, trials: int) -> Iterator[np.random.SeedSequence]:
    """One independent random stream for each trial of a scenario."""
    yield from np.random.SeedSequence(digest.seed(seed, scenario)).spawn(trials)


@dataclass
class Tally:
    """How often what was said."""

    trials: int
    outcomes: Counter[str]
    kinds: dict[str, Counter[str]]
    all_pass: int = 0

    def share(self, outcome: str) -> float:
        """Share of audits with an outcome."""
        return self.outcomes[outcome] / self.trials

    def rule(self, rule: str, kind: str) -> float:
        """Share of audits in which a rule is of a kind."""
        return self.kinds[rule][kind] / self.trials


def simulate(
    population: Population, rows: int, trials: int, seed: int, scenario: str, *, independent: bool = False
) -> Tally:
    """So many audits of a population; ``independent`` gives every rule a test set of its own."""
    gate = gate_for(population)
    tally = Tally(trials, Counter(), {rule: Counter() for rule in STATISTICAL})
    for stream in streams(seed, scenario, trials):
        if independent:
            each = zip(STATISTICAL, stream.spawn(len(STATISTICAL)), strict=True)
            counts = {rule: draw(population, rows, np.random.default_rng(own)) for rule, own in each}
        else:
            counts = dict.fromkeys(STATISTICAL, draw(population, rows, np.random.default_rng(stream)))
        verdict = gate.judge(counts)
        tally.outcomes[verdict.outcome] += 1
        kinds = {finding.rule: finding.kind for finding in verdict.findings}
        for rule in STATISTICAL:
            tally.kinds[rule][kinds[rule]] += 1
        tally.all_pass += all(kinds[rule] == "pass" for rule in STATISTICAL)
    return tally


def opposite(population: Population, rows: int, trials: int, seed: int, scenario: str) -> dict[str, float]:
    """How often a rule passes on one random half of so many rows and fails on the other, by rule.

    Rows are independent, so two halves are two test sets of half the rows, each with its own stream.
    """
    gate = gate_for(population)
    against: Counter[str] = Counter()
    for stream in streams(seed, scenario, trials):
        said = []
        for own in stream.spawn(2):
            verdict = gate.judge(
                dict.fromkeys(STATISTICAL, draw(population, rows // 2, np.random.default_rng(own)))
            )
            said.append({finding.rule: finding.kind for finding in verdict.findings})
        for rule in STATISTICAL:
            against[rule] += {said[0][rule], said[1][rule]} == {"pass", "fail"}
    return {rule: against[rule] / trials for rule in STATISTICAL}


def error(share: float, trials: int) -> float:
    """Two standard errors of a simulated share, never less than that of one in so many trials."""
    share = min(max(share, 1 / trials), 1 - 1 / trials)
    return 2 * sqrt(share * (1 - share) / trials)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 1 where something asked for does not hold within two standard errors."""
    parser = argparse.ArgumentParser(description="Simulated audits through the shipped policy.")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    trials, seed = asked.trials, asked.seed
    failed = 0

    def line(what: str, share: float, limit: float, *, at_most: bool) -> None:
        nonlocal failed
        noise = error(limit, trials)
        holds = share <= limit + noise if at_most else share >= limit - noise
        failed += not holds
        sign = "<=" if at_most else ">="
        print(
            f"{'ok  ' if holds else 'FAIL'} {what:<64} {share:7.2%}  {sign} {limit:.1%} (2 s.e. {noise:.2%})"
        )

    print(f"{trials} simulated audits each, seed {seed}")
    for rows in (1000, 4000):
        for independent in (False, True):
            name = f"at-threshold-{rows}-{independent}"
            tally = simulate(AT_THRESHOLD, rows, trials, seed, name, independent=independent)
            how = "rules independent" if independent else "one population"
            line(
                f"any false fail, all at threshold, {rows} rows, {how}",
                tally.share("fail"),
                0.05,
                at_most=True,
            )
    for rows, limit in ((221, None), (1000, None), (2000, 0.8), (4000, 0.95)):
        tally = simulate(FAIR, rows, trials, seed, f"fair-{rows}")
        line(f"fair model fails, {rows} rows", tally.share("fail"), 0.01, at_most=True)
        if limit is not None:
            line(f"fair model: all five pass, {rows} rows", tally.all_pass / trials, limit, at_most=False)
        else:
            print(
                f"     fair model: all five pass, {rows} rows: {tally.all_pass / trials:.1%} (nothing asked)"
            )
    tally = simulate(UNEQUAL, 1000, trials, seed, "unequal")
    line("selection rates 0.5 and 0.3: gate fails, 1000 rows", tally.share("fail"), 0.95, at_most=False)
    print("     " + ", ".join(f"{rule} fails {tally.rule(rule, 'fail'):.1%}" for rule in STATISTICAL))
    for name, population in (("at threshold", AT_THRESHOLD), ("fair", FAIR), ("unequal", UNEQUAL)):
        for rows in (2000, 8000):
            found = opposite(population, rows, trials, seed, f"halves-{name}-{rows}")
            worst = max(found, key=lambda rule: found[rule])
            line(
                f"opposite verdicts on halves of {rows} rows, {name} ({worst})",
                found[worst],
                0.005,
                at_most=True,
            )
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())

"""How often a comparison errs: PER-05 through the real judge, and how often paired intervals hold the truth.

python -m benchmarks.compare [--trials 1000] [--seed 0]

First simulated pairs of versions, judged by PER-05 alone and within eu-ai-act, where it shares the error with five other
statistical rules by Holm. Then coverage: of a share by exact enumeration, of the rest by simulation. Each scenario has
random streams of its own. Printed beside what issue 4 asks, with two standard errors.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from functools import cache, lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from benchmarks import gate
from xai_audit import intervals as iv
from xai_audit import intervals_gaps as gaps
from xai_audit import intervals_paired as paired
from xai_audit.compare import estimates
from xai_audit.evidence import Evidence, Scalar
from xai_audit.judge import judge
from xai_audit.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from xai_audit.spec import Spec
    from xai_audit.verdict import FindingKind

LEVELS = estimates.levels(0.95)
ACCURACY = 0.85
"""Of the old version; the new one has this less the drop."""
MOVED = 0.10
"""Share of rows that the two versions decide differently."""
SHARES = ((30, 0.05, 0.05), (30, 0.2, 0.2), (100, 0.05, 0.05), (100, 0.02, 0.08), (100, 0.2, 0.2), (300, 0.01, 0.01),
          (300, 0.0, 0.03), (300, 0.03, 0.065), (1000, 0.05, 0.05), (1000, 0.0, 0.03), (1000, 0.1, 0.3))  # fmt: skip
"""Rows, and the true shares that are gained and lost."""


@dataclass(frozen=True)
class Pair:
    """What two versions did on the same rows: right by both, lost, gained, right by neither."""

    both: int
    lost: int
    gained: int
    neither: int

    @property
    def n(self) -> int:
        """Rows."""
        return self.both + self.lost + self.gained + self.neither


def draw(rows: int, drop: float, rng: np.random.Generator, moved: float = MOVED) -> Pair:
    """Two versions on so many rows, of which ``moved`` are decided differently, the new one worse by ``drop``."""
    gained, lost = (moved - drop) / 2, (moved + drop) / 2
    both = ACCURACY - lost
    counts = rng.multinomial(rows, [both, lost, gained, 1 - both - lost - gained])
    return Pair(*(int(count) for count in counts))


@cache
def change(pair: Pair, *, as_pairs: bool = True) -> Evidence:
    """The evidence that a run would make: paired, or as if the two versions had seen different rows."""
    if as_pairs:
        moved = (pair.gained - pair.lost) / pair.n, paired.rate_change(pair.gained, pair.lost, pair.n, LEVELS)
    else:
        hits = pair.both + pair.lost, pair.both + pair.gained
        sides = [(hit / pair.n, iv.rate(hit, pair.n, LEVELS)) for hit in hits]
        moved = paired.unpaired(sides[0], sides[1])
    return Evidence(
        id="performance_change", method="performance_change", kind="metric", title="Change in accuracy",
        status="measured", observation=Scalar(estimate=estimates.made(moved, pair.n)),
    )  # fmt: skip


@cache
def policy(margin: float, *, alone: bool) -> Policy:
    """eu-ai-act with PER-05 at a margin, or that rule alone."""
    shipped = gate.shipped()
    rules = tuple(
        rule.model_copy(update={"at_least": -margin}) if rule.id == "PER-05" else rule
        for rule in shipped.rules
        if not alone or rule.id == "PER-05"
    )
    return shipped.model_copy(update={"rules": rules})


@dataclass(frozen=True)
class Bench:
    """A policy and all the evidence but the change and what the other statistical rules see."""

    policy: Policy
    alone: bool

    def says(self, pair: Pair, rng: np.random.Generator, *, as_pairs: bool = True) -> FindingKind:
        """What PER-05 says of two versions, through the real judge."""
        spec = _spec()
        evidence = [change(pair, as_pairs=as_pairs)]
        if not self.alone:
            counts = gate.draw(gate.FAIR, pair.n, rng)
            evidence += [*_rest(), *(make(counts) for make in gate.MAKERS.values())]
        verdict = judge([self.policy], evidence, spec, today=gate.TODAY)
        return next(finding.kind for finding in verdict.findings if finding.rule == "PER-05")


@lru_cache(maxsize=1)
def _spec() -> Spec:
    return gate.attested(gate.FAIR.declared).model_copy(update={"baseline": True})


@lru_cache(maxsize=1)
def _rest() -> tuple[Evidence, ...]:
    return gate.met(gate.shipped(), gate.attested(gate.FAIR.declared), but=(*gate.STATISTICAL, "PER-05"))


def fails(
    margin: float, rows: int, drop: float, trials: int, seed: int, *, alone: bool, as_pairs: bool = True
) -> float:
    """Share of trials in which PER-05 fails."""
    bench = Bench(policy(margin, alone=alone), alone)
    # Paired and unpaired, alone and within the policy, see the same pairs of versions.
    failed = 0
    for stream in gate.streams(seed, f"pair-{rows}-{drop}", trials):
        mine, others = (np.random.default_rng(one) for one in stream.spawn(2))
        failed += bench.says(draw(rows, drop, mine), others, as_pairs=as_pairs) == "fail"
    return failed / trials


def enumerated(rows: int, gained: float, lost: float, level: float) -> tuple[float, float]:
    """Exact coverage of ``rate_change``, and the worse tail's error over what it should be."""
    inside, below, above, total = 0.0, 0.0, 0.0, 0.0
    truth = gained - lost
    first = stats.binom.pmf(np.arange(rows + 1), rows, gained)
    for up in np.flatnonzero(first > 1e-9).tolist():
        second = stats.binom.pmf(np.arange(rows - up + 1), rows - up, lost / (1 - gained))
        for down in np.flatnonzero(second > 1e-7).tolist():
            weight = first[up] * second[down]
            ((low, high),) = _share(up, down, rows, level)
            total += weight
            below += weight * (high is not None and high < truth - 1e-12)
            above += weight * (low is not None and low > truth + 1e-12)
            inside += weight * ((low or -1.0) - 1e-12 <= truth <= (1.0 if high is None else high) + 1e-12)
    return inside / total, max(below, above) / total / ((1 - level) / 2)


@cache
def _share(up: int, down: int, rows: int, level: float) -> tuple[tuple[float | None, float | None], ...]:
    return tuple(paired.rate_change(up, down, rows, (level,)))


@dataclass(frozen=True)
class Table:
    """Two models of one truth: how common it is, the old one's rates, and how the new one's differ."""

    rows: int
    base: float
    tpr: float
    fpr: float
    drop: float
    moved: float

    def cells(self) -> NDArray[np.float64]:
        """The probability of each of paired.CELLS."""
        made = []
        for true, old, new in paired.CELLS:
            weight, rate, shift = (
                (self.base, self.tpr, -self.drop) if true else (1 - self.base, self.fpr, self.drop / 2)
            )
            gain = min(max((self.moved + shift) / 2, 0.0), 1 - rate)
            lose = min(max((self.moved - shift) / 2, 0.0), rate)
            share = {
                (True, True): rate - lose,
                (True, False): lose,
                (False, True): gain,
                (False, False): 1 - rate - gain,
            }
            made.append(weight * share[old, new])
        return np.array(made)


TABLES = [
    Table(rows, base, tpr, fpr, drop, moved)
    for rows in (30, 100, 300, 1000)
    for base in (0.1, 0.3, 0.5)
    for tpr, fpr in ((0.7, 0.2), (0.9, 0.05), (0.97, 0.01), (0.6, 0.4))
    for drop, moved in ((0.0, 0.1), (0.05, 0.1), (0.0, 0.03))
]


def table_coverage(
    of: paired.Tabled, case: Table, trials: int, seed: int, level: float = 0.95
) -> float | None:
    """Share of tables whose interval holds the true change; None where most have no such number."""
    truth = paired.table_change(case.cells() * 1e9, of, (level,))[0]
    rng = np.random.default_rng(gate.digest.seed(seed, f"table-{of}-{case}"))
    held, seen = 0, 0
    for counts in rng.multinomial(case.rows, case.cells(), trials):
        try:
            _, ((low, high),) = paired.table_change(counts.tolist(), of, (level,))
        except ValueError:
            continue
        seen += 1
        held += (low or -2.0) - 1e-9 <= truth <= (2.0 if high is None else high) + 1e-9
    return held / seen if seen > trials / 2 else None


def auc_coverage(
    sizes: tuple[int, int], old: float, new: float, alike: float, trials: int, seed: int, level: float = 0.95
) -> float:
    """Share of trials whose interval holds the true change of the AUC; scores are normal and correlated."""
    normal = NormalDist()
    means = [np.sqrt(2) * normal.inv_cdf(area) for area in (old, new)]
    root = np.linalg.cholesky(np.array([[1, alike], [alike, 1]]))
    rng = np.random.default_rng(gate.digest.seed(seed, f"auc-{sizes}-{old}-{new}-{alike}"))
    held = 0
    for _ in range(trials):
        pos = rng.normal(size=(sizes[0], 2)) @ root.T + means
        neg = rng.normal(size=(sizes[1], 2)) @ root.T
        _, ((low, high),) = paired.auc_change((pos[:, 0], neg[:, 0]), (pos[:, 1], neg[:, 1]), (level,))
        held += (low or -1.0) <= new - old <= (1.0 if high is None else high)
    return held / trials


def mean_coverage(kind: str, rows: int, trials: int, seed: int, level: float = 0.95) -> float:
    """Share of trials whose interval holds the true change of a mean, an R2, an RMSE or a relative error."""
    rng = np.random.default_rng(gate.digest.seed(seed, f"mean-{kind}-{rows}"))
    held = 0
    for _ in range(trials):
        truth = rng.normal(size=rows)
        shared, own = rng.laplace(size=rows) * 0.4, rng.normal(size=(2, rows)) * 0.3
        old, new = truth + shared + own[0], truth + shared + own[1] * 1.2
        a, b = 2 * 0.16 + 0.09, 2 * 0.16 + 0.09 * 1.44
        if kind == "r2":
            found, target = paired.r_squared_change(truth, old, new, (level,)), a - b
        elif kind == "rmse":
            found, target = (
                paired.root_mean_square_change(truth - old, truth - new, (level,)),
                b**0.5 - a**0.5,
            )
        elif kind == "relative":
            found = paired.relative_change((truth - old) ** 2, (truth - new) ** 2, (level,), 0.5)
            target = (b / a) ** 0.5 - 1
        else:
            found, target = paired.mean_change((truth - old) ** 2, (truth - new) ** 2, (level,)), b - a
        ((low, high),) = found[1]
        held += (-np.inf if low is None else low) <= target <= (np.inf if high is None else high)
    return held / trials


GROUPS = (
    ((0.4,) * 6, (0.4,) * 6),
    ((0.4, 0.5, 0.45, 0.4, 0.5, 0.45), (0.4, 0.5, 0.45, 0.4, 0.5, 0.45)),
    ((0.4, 0.6, 0.5, 0.5, 0.5, 0.5), (0.45, 0.55, 0.5, 0.5, 0.5, 0.5)),
    ((0.3, 0.6, 0.5, 0.4, 0.5, 0.5), (0.4, 0.5, 0.5, 0.4, 0.5, 0.5)),
    ((0.4, 0.6, 0.5, 0.5, 0.5, 0.5), (0.6, 0.4, 0.5, 0.5, 0.5, 0.5)),
    ((0.05, 0.1, 0.1, 0.1, 0.1, 0.1), (0.1,) * 6),
)
"""Rates of up to six groups before and now."""
SIZES = ((100, 100), (1000, 1000), (50, 500), (300,) * 4, (100,) * 6)


@cache
def _rate(x: int, n: int, levels: tuple[float, ...]) -> list[tuple[float | None, float | None]]:
    return iv.rate(x, n, levels)


@cache
def _moved(up: int, down: int, n: int, levels: tuple[float, ...]) -> list[tuple[float | None, float | None]]:
    return paired.rate_change(up, down, n, levels)


def group(yes: int, down: int, up: int, no: int) -> gaps.GroupChange:
    """A group's share before and now, from its rows by what was counted before and now."""
    n = yes + down + up + no
    return gaps.GroupChange(
        family="",
        old=(yes + down) / n,
        new=(yes + up) / n,
        old_at=lambda levels: _rate(yes + down, n, tuple(levels)),
        new_at=lambda levels: _rate(yes + up, n, tuple(levels)),
        change_at=lambda levels: _moved(up, down, n, tuple(levels)),
        cells=(yes, down, up, no),
    )


def gap_coverage(
    sizes: tuple[int, ...],
    old: Sequence[float],
    new: Sequence[float],
    trials: int,
    seed: int,
    level: float = 0.95,
) -> tuple[float, float]:
    """Share of trials whose interval holds the true change of the largest difference, and of the smallest ratio."""
    before, after = old[: len(sizes)], new[: len(sizes)]
    gap = (max(after) - min(after)) - (max(before) - min(before))
    ratio = min(after) / max(after) - min(before) / max(before)
    rng = np.random.default_rng(gate.digest.seed(seed, f"gap-{sizes}-{old}-{new}"))
    held = [0, 0]
    for _ in range(trials):
        drawn = []
        for n, a, b in zip(sizes, before, after, strict=True):
            down = min(max((MOVED - b + a) / 2, a - b, 0.0), a)
            up = b - a + down
            drawn.append(group(*(int(x) for x in rng.multinomial(n, [a - down, down, up, 1 - a - up]))))
        for i, (found, truth) in enumerate(((gaps.gap_change, gap), (gaps.smallest_ratio_change, ratio))):
            _, ((low, high),) = found(drawn, (level,))
            held[i] += (
                (-2.0 if low is None else low) - 1e-9 <= truth <= (2.0 if high is None else high) + 1e-9
            )
    return held[0] / trials, held[1] / trials


class Printed:
    """The lines so far: each share beside what is asked of it, within two standard errors."""

    def __init__(self, trials: int) -> None:
        self.trials, self.failed = trials, 0

    def line(
        self, what: str, share: float, limit: float, *, at_most: bool, noise: float | None = None
    ) -> None:
        """One line."""
        two = gate.error(limit, self.trials) if noise is None else noise
        holds = share <= limit + two if at_most else share >= limit - two
        self.failed += not holds
        sign = "<=" if at_most else ">="
        print(
            f"{'ok  ' if holds else 'FAIL'} {what:<80} {share:7.2%}  {sign} {limit:.1%} (2 s.e. {two:.2%})",
            flush=True,
        )


def judged(out: Printed, seed: int) -> None:
    """PER-05 through the real judge."""
    trials = out.trials
    for alone in (True, False):
        where = "PER-05 alone" if alone else "within eu-ai-act"
        for rows in (221, 1000, 2000):
            share = fails(0.0, rows, 0.0, trials, seed, alone=alone)
            out.line(f"margin 0, noise only, {rows} rows, {where}: fail", share, 0.05, at_most=True)
        share = fails(0.0, 2000, 0.03, trials, seed, alone=alone)
        out.line(f"margin 0, a true drop of 0.03, 2000 rows, {where}: fail", share, 0.95, at_most=False)
        other = fails(0.0, 2000, 0.03, trials, seed, alone=alone, as_pairs=False)
        what = f"the same by two unpaired intervals, {where}: fail, less often"
        out.line(what, other, share, at_most=True, noise=0.0)
    print("\nPower of PER-05 at its margin of 0.01: share of trials in which it fails (nothing asked)")
    print(
        "   true drop"
        + "".join(f"{rows:>10,} rows" for rows in (1000, 2000, 5000))
        + "   (alone | within eu-ai-act)"
    )
    for drop in (0.01, 0.02, 0.03, 0.04, 0.05):
        cells = []
        for rows in (1000, 2000, 5000):
            both = [fails(0.01, rows, drop, trials, seed, alone=alone) for alone in (True, False)]
            cells.append(f"{both[0]:6.1%}|{both[1]:6.1%}")
        print(f"{drop:>12}" + "".join(f"{cell:>15}" for cell in cells), flush=True)


def shares(out: Printed) -> None:
    """Shares by exact enumeration."""
    print("\nCoverage of a share on the same rows, by exact enumeration (nothing simulated)")
    for level, limit in ((0.95, 0.94), (0.99, 0.985), (0.999, 0.998)):
        for rows, gained, lost in SHARES:
            held, tail = enumerated(rows, gained, lost, level)
            what = f"{level:.1%}: {rows} rows, gained {gained}, lost {lost}; worse tail {tail:.2f} times"
            out.line(what, held, limit, at_most=False, noise=0.0)


def tables(out: Printed, seed: int) -> None:
    """Numbers made of a confusion table."""
    print("\nCoverage of the rest at 95 %, by simulation")
    trials = out.trials
    for of in ("precision", "negative_predictive_value", "f1", "matthews_corrcoef"):
        each = {case: table_coverage(of, case, trials, seed) for case in TABLES}
        known = {case: share for case, share in each.items() if share is not None}
        worst = min(known, key=lambda case: known[case])
        under = sum(share < 0.94 for share in known.values())
        print(
            f"     {of}: {under} of {len(known)} designs under 94 %, mean {np.mean(list(known.values())):.3f}"
        )
        print(f"     worst {known[worst]:.3f} at {worst}")
        large = [share for case, share in known.items() if case.rows >= 300]
        out.line(
            f"{of}: least over {len(large)} designs of 300 rows or more", min(large), 0.94, at_most=False
        )


def rest(out: Printed, seed: int) -> None:
    """Areas, means and what groups lie apart."""
    trials = out.trials
    for sizes in ((10, 10), (10, 100), (30, 300), (100, 100)):
        for old, new in ((0.75, 0.75), (0.9, 0.9), (0.97, 0.99), (0.9, 0.85)):
            least = min(auc_coverage(sizes, old, new, alike, trials, seed) for alike in (0.5, 0.9, 0.98))
            out.line(
                f"AUC {old} and {new}, {sizes} positives and negatives, least", least, 0.94, at_most=False
            )
    for kind in ("mean", "r2", "rmse", "relative"):
        for rows in (30, 100, 300):
            share = mean_coverage(kind, rows, trials, seed)
            out.line(
                f"{kind}, Laplace errors, {rows} rows", share, 0.93 if rows < 100 else 0.94, at_most=False
            )
    fewer = max(trials // 4, 100)
    for sizes in SIZES:
        both = [gap_coverage(sizes, old, new, fewer, seed) for old, new in GROUPS]
        for i, what in enumerate(("largest difference", "smallest ratio")):
            named = (
                f"{what} of {len(sizes)} groups of {sizes[0]} to {sizes[-1]}, least of {len(GROUPS)} cases"
            )
            out.line(named, min(pair[i] for pair in both), 0.94, at_most=False, noise=gate.error(0.94, fewer))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; 1 where something asked for does not hold within two standard errors."""
    parser = argparse.ArgumentParser(description="Simulated comparisons through PER-05, and coverage.")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    out = Printed(asked.trials)
    print(
        f"{asked.trials} pairs of versions each, seed {asked.seed}, {MOVED:.0%} of rows decided differently"
    )
    judged(out, asked.seed)
    shares(out)
    tables(out, asked.seed)
    rest(out, asked.seed)
    return int(out.failed > 0)


if __name__ == "__main__":
    sys.exit(main())

"""How often intervals hold the truth: `python -m benchmarks.coverage` prints it, and exits 1 on a missed bar.

What is finite is enumerated, so its figures carry no simulation noise; the rest is simulated and its bar is
met within two standard errors. The seed is drawn at run time and printed, so nobody can tune an interval to
it.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement, product

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtr, ndtri
from scipy.stats import binom

from xai_audit import intervals as iv
from xai_audit import intervals_roc as roc
from xai_audit import intervals_rows as from_rows

Floats = NDArray[np.float64]
LEVEL = [0.95]
SIZES, RATES = (30, 100, 1000), (0.05, 0.2, 0.5)


@dataclass(frozen=True)
class Cell:
    """Coverage of one design: its trials (0 where enumerated) and the smallest expected count it rests on."""

    covered: float
    trials: int = 0
    expected: float = np.inf
    name: str = ""


@dataclass(frozen=True)
class Bar:
    """What a set of cells must keep to; `spared` cells may lie outside without a miss."""

    low: float = 0.0
    high: float = 1.0
    spared: int = 0

    def missed(self, cells: list[Cell]) -> list[Cell]:
        """Cells outside the bar, a simulated one by more than two standard errors."""
        out = []
        for cell in cells:
            slack = 2 * np.sqrt(self.low * (1 - self.low) / cell.trials) if cell.trials else 0.0
            if not self.low - slack <= cell.covered <= self.high:
                out.append(cell)
        return out


def report(title: str, cells: list[Cell], bar: Bar | None) -> bool:
    """Print one line of the table and say whether the bar was met."""
    covered = [cell.covered for cell in cells]
    trials = sorted({cell.trials for cell in cells})
    how = "exact" if trials == [0] else f"{trials[-1]} runs"
    missed = bar.missed(cells) if bar else []
    want = (
        "printed" if bar is None else f">= {bar.low:.3f}" + (f", <= {bar.high:.3f}" if bar.high < 1 else "")
    )
    if bar and bar.spared:
        want += f", but {bar.spared}"
    met = bar is None or len(missed) <= bar.spared
    state = "-" if bar is None else ("met" if met else "MISSED")
    worst = min(cells, key=lambda cell: cell.covered).name
    print(
        f"{title:<50} {len(cells):>4} cells {how:>11}  min {min(covered):.4f}"
        f"  median {np.median(covered):.4f}"
        f"  max {max(covered):.4f}  {want:<26} {state:<6} {worst}",
        flush=True,
    )
    for cell in missed[:5]:
        print(f"    outside: {cell}")
    return met


def window(n: int, p: float) -> tuple[Floats, Floats]:
    """Counts that are not absurdly rare, and their chances; what is left out weighs under 1e-10."""
    chance = binom.pmf(np.arange(n + 1), n, p)
    kept = np.flatnonzero(chance > 1e-14)
    return kept.astype(np.float64), chance[kept]


def smallest(*rates: tuple[int, float]) -> float:
    """Smallest expected count of successes or failures."""
    return min(n * q for n, p in rates for q in (p, 1 - p))


def one_rate(n: int, p: float) -> Cell:
    """Exact coverage of `rate`."""
    xs, chance = window(n, p)
    held = [inside(p, iv.rate(float(x), n, LEVEL)) for x in xs]
    return Cell(float(chance[held].sum()), 0, smallest((n, p)), f"{n}/{p:.3f}")


def tables(n1: int, p1: float, n2: int, p2: float) -> tuple[iv.Counts, Floats]:
    """All pairs of counts as columns, and their chances."""
    (x1, c1), (x2, c2) = window(n1, p1), window(n2, p2)
    a, b = (grid.reshape(-1, 1) for grid in np.meshgrid(x1, x2, indexing="ij"))
    return (a, np.full_like(a, n1), b, np.full_like(b, n2)), np.outer(c1, c2).ravel()


def two_rates(n1: int, p1: float, n2: int, p2: float) -> tuple[Cell, Cell]:
    """Exact coverage of `rate_difference` and `rate_ratio`."""
    counts, chance = tables(n1, p1, n2, p2)
    cells = []
    for limits, truth in ((iv._difference_limits, p1 - p2), (iv._ratio_limits, p1 / p2)):  # noqa: SLF001
        low, high = limits(counts, LEVEL)
        held = (low[:, 0] <= truth) & (truth <= high[:, 0])
        name = f"{n1}/{p1:.3f} {n2}/{p2:.3f}"
        cells.append(Cell(float(chance[held].sum()), 0, smallest((n1, p1), (n2, p2)), name))
    return cells[0], cells[1]


def tail_excess(n1: int, p1: float, n2: int, p2: float, level: float) -> tuple[float, float, float]:
    """Actual over nominal one-sided error, on the worse side, of one rate, a difference and a ratio."""
    tail = (1 - level) / 2
    xs, chance = window(n1, p1)
    ends = [iv._bounded(iv.rate(float(x), n1, [level]))[0] for x in xs]  # noqa: SLF001
    above, below = chance[[low > p1 for low, _ in ends]].sum(), chance[[high < p1 for _, high in ends]].sum()
    worst = [max(above, below) / tail]
    counts, chance = tables(n1, p1, n2, p2)
    for limits, truth in ((iv._difference_limits, p1 - p2), (iv._ratio_limits, p1 / p2)):  # noqa: SLF001
        low, high = limits(counts, [level])
        worst.append(max(chance[low[:, 0] > truth].sum(), chance[high[:, 0] < truth].sum()) / tail)
    return worst[0], worst[1], worst[2]


def gaps(k: int, n: int, p: float, runs: int, rng: np.random.Generator) -> tuple[Cell, Cell]:
    """Coverage of the largest gap (truth 0) and the smallest ratio (truth 1) over k equal groups."""
    x = rng.binomial(n, p, size=(runs, k)).astype(np.float64)
    pairs = list(combinations(range(k), 2))
    level = iv.bonferroni(LEVEL, len(pairs))
    i, j = (np.array(side) for side in zip(*pairs, strict=True))
    a, b = x[:, i].reshape(-1, 1), x[:, j].reshape(-1, 1)
    counts = (a, np.full_like(a, n), b, np.full_like(b, n))
    shape = (runs, len(pairs))
    low, high = (side.reshape(shape) for side in iv._difference_limits(counts, level))  # noqa: SLF001
    gap = (np.maximum(low, -high).max(axis=1) <= 0).mean()
    low, high = (side.reshape(shape) for side in iv._ratio_limits(counts, level))  # noqa: SLF001
    with np.errstate(divide="ignore"):
        ratio = (np.minimum(high, 1 / low).min(axis=1) >= 1).mean()
    name = f"k={k} {n}/{p}"
    return Cell(float(gap), runs, n * p, name), Cell(float(ratio), runs, n * p, name)


def binormal(
    area: float, spread: float, n: tuple[int, int], rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Scores of positives and negatives with the AUC `area`, the positives `spread` times as wide."""
    shift = float(ndtri(area)) * np.sqrt(1 + spread * spread)
    return rng.normal(shift, spread, n[0]), rng.normal(0, 1, n[1])


def simulated(name: str, runs: int, held: Callable[[], bool]) -> Cell:
    """Share of `runs` in which `held` says the truth was inside."""
    return Cell(sum(held() for _ in range(runs)) / runs, runs, np.inf, name)


def inside(truth: float, limits: list[iv.Interval]) -> bool:
    """Whether the only interval asked for holds the truth, rounding aside."""
    low, high = limits[0]
    return (low is None or low <= truth + 1e-12) and (high is None or truth <= high + 1e-12)


def auc_cells(runs: int, rng: np.random.Generator) -> Iterator[Cell]:
    """Sixty designs: six pairs of class sizes, five areas, equal and double spread."""
    sizes = ((10, 10), (10, 100), (30, 30), (30, 300), (100, 100), (100, 1000))
    for n, area, spread in product(sizes, (0.5, 0.7, 0.85, 0.95, 0.99), (1.0, 2.0)):

        def held(n: tuple[int, int] = n, area: float = area, spread: float = spread) -> bool:
            return inside(area, roc.auc(*binormal(area, spread, n, rng), LEVEL)[1])

        yield simulated(f"{n} {area} sd {spread:g}", runs, held)


def miscalibrated(kind: str, s: Floats) -> Floats:
    """True chances behind sorted scores."""
    inner = logit(np.clip(s, 1e-9, 1 - 1e-9))
    one_bin = np.arange(len(s)) < len(s) / 15
    kinds: dict[str, Floats] = {
        "none": s,
        "overconfident": expit(0.6 * inner),
        "shifted": expit(inner + 0.5),
        "top bin bad": np.where(one_bin[::-1], 0.6 * s, s),
        "low bin bad": np.where(one_bin, np.minimum(s + 0.1, 1), s),
    }
    return kinds[kind]


def calibration_cells(
    runs: int, rng: np.random.Generator, sizes: tuple[int, ...]
) -> Iterator[tuple[Cell, Cell, Cell, bool]]:
    """RMS calibration error, calibration in the large, Brier score; and whether the scores are right."""
    shapes = ((2.0, 2.0), (0.5, 9.0), (0.3, 0.3))
    for shape, kind, n in product(
        shapes, ("none", "overconfident", "shifted", "top bin bad", "low bin bad"), sizes
    ):
        s = np.sort(rng.beta(*shape, n))
        p = miscalibrated(kind, s)
        place = 15 * (2 * np.arange(n) + 1) // (2 * n)
        gap = np.bincount(place, s - p) / np.bincount(place)
        rms = float(np.sqrt((np.bincount(place) / n * gap * gap).sum()))
        brier = float((p * (1 - s) ** 2 + (1 - p) * s**2).mean())
        scores = s.tolist()
        hits = np.zeros(3)
        for _ in range(runs):
            y = (rng.random(n) < p).astype(int).tolist()
            hits[0] += inside(rms, from_rows.rms_calibration_error(scores, y, LEVEL)[1])
            hits[1] += inside(float((s - p).mean()), from_rows.calibration_in_the_large(scores, y, LEVEL)[1])
            hits[2] += inside(brier, from_rows.brier(scores, y, LEVEL)[1])
        cells = [Cell(float(h / runs), runs, n * float(p.mean()), f"{shape} {kind} {n}") for h in hits]
        yield cells[0], cells[1], cells[2], kind == "none"


def table_cells(runs: int, rng: np.random.Generator) -> Iterator[tuple[Cell, Cell, Cell]]:
    """F1, Matthews and balanced accuracy of drawn two-by-two tables."""
    skills = ((0.5, 0.5), (0.7, 0.3), (0.8, 0.1), (0.95, 0.05), (0.99, 0.01), (0.6, 0.02))
    for n, share, (hit, alarm) in product((50, 200, 1000), (0.1, 0.3, 0.5), skills):
        chance = np.array([share * hit, (1 - share) * alarm, share * (1 - hit), (1 - share) * (1 - alarm)])
        f1 = 2 * chance[0] / (2 * chance[0] + chance[1] + chance[2])
        matthews = iv.matthews_value(*chance.tolist())
        hits, called, real = np.zeros(2), 0, max(round(n * share), 1)
        for tp, fp, fn, tn in rng.multinomial(n, chance, runs).tolist():
            if tp + fp + fn:
                called += 1
                hits[0] += inside(f1, iv.f1(tp, fp, fn, LEVEL))
            hits[1] += inside(matthews, iv.matthews(tp, fp, fn, tn, LEVEL))
        balanced = 0
        hit_counts, kept_counts = rng.binomial(real, hit, runs), rng.binomial(n - real, 1 - alarm, runs)
        for tp, tn in zip(hit_counts.tolist(), kept_counts.tolist(), strict=True):
            balanced += inside((hit + 1 - alarm) / 2, iv.mean_of_rates([tp, tn], [real, n - real], LEVEL))
        name = f"n={n} share {share} tpr {hit} fpr {alarm}"
        low = n * float(chance.min())
        yield (
            Cell(float(hits[0] / called), called, low, name),
            Cell(float(hits[1] / runs), runs, low, name),
            Cell(balanced / runs, runs, smallest((real, hit), (n - real, alarm)), name),
        )


def mean_cells(runs: int, rng: np.random.Generator) -> Iterator[tuple[str, Cell]]:
    """Means, their differences, RMSE and R2 under normal, uniform and Laplace (heavy-tailed) errors."""
    draws: dict[str, Callable[[int], Floats]] = {
        "normal": lambda n: rng.normal(0, 1, n),
        "uniform": lambda n: rng.uniform(-np.sqrt(3), np.sqrt(3), n),
        "laplace": lambda n: rng.laplace(0, np.sqrt(0.5), n),
    }
    for (name, draw), n in product(draws.items(), (30, 100, 1000)):

        def rmse(draw: Callable[[int], Floats] = draw, n: int = n) -> bool:
            return inside(1.0, from_rows.root_mean_square(draw(n).tolist(), LEVEL)[1])

        def r2(draw: Callable[[int], Floats] = draw, n: int = n) -> bool:
            predicted = rng.normal(0, 1, n)
            truth = predicted + draw(n)
            return inside(0.5, from_rows.r_squared(truth.tolist(), predicted.tolist(), LEVEL)[1])

        def difference(draw: Callable[[int], Floats] = draw, n: int = n) -> bool:
            a, b = draw(n), 3 * draw(2 * n)
            return inside(0.0, from_rows.mean_difference(a.tolist(), b.tolist(), LEVEL)[1])

        def largest(draw: Callable[[int], Floats] = draw, n: int = n) -> bool:
            groups = [draw(n).tolist() for _ in range(4)]
            return inside(0.0, from_rows.largest_mean_difference(groups, LEVEL)[1])

        yield "RMSE", simulated(f"{name} {n}", runs, rmse)
        yield "R2", simulated(f"{name} {n}", runs, r2)
        yield "difference of means", simulated(f"{name} {n}", runs, difference)
        yield "largest difference of 4 means (truth 0)", simulated(f"{name} {n}", runs // 4, largest)


def group_cells(runs: int, rng: np.random.Generator) -> Iterator[tuple[str, Cell]]:
    """AUC differences and the sum of two gaps."""
    for n, area in product(((15, 15), (30, 100), (100, 300)), (0.6, 0.8, 0.95)):

        def pair(n: tuple[int, int] = n, area: float = area) -> bool:
            a, b = binormal(area, 1.0, n, rng), binormal(0.7, 1.5, n, rng)
            return inside(area - 0.7, roc.auc_difference(a, b, LEVEL)[1])

        def four(n: tuple[int, int] = n, area: float = area) -> bool:
            groups = [binormal(area, 1.0, n, rng) for _ in range(4)]
            return inside(0.0, roc.largest_auc_difference(groups, LEVEL)[1])

        yield "difference of two AUC", simulated(f"{n} {area}", runs, pair)
        yield "largest difference of 4 AUC (truth 0)", simulated(f"{n} {area}", runs // 2, four)
    for rows, (p, q) in product((30, 100, 400), ((0.2, 0.2), (0.5, 0.3), (0.9, 0.8))):

        def both(rows: int = rows, p: float = p, q: float = q) -> bool:
            found = [(rng.binomial(rows, (p, q)).tolist(), [rows, rows]) for _ in range(2)]
            return inside(2 * abs(p - q), iv.sum_of_differences(found, LEVEL))

        yield "sum of two gaps", simulated(f"{rows} {p} {q}", runs, both)


def abroca_cells(runs: int, rng: np.random.Generator, own: np.random.Generator) -> Iterator[Cell]:
    """ABROCA against the area between true binormal curves; its bootstrap has its own stream."""
    fine = np.linspace(0, 1, 20001)
    shapes = (((0.8, 1.0), (0.8, 1.0)), ((0.9, 1.0), (0.7, 1.0)), ((0.8, 1.0), (0.8, 2.0)))
    for n, (a, b) in product(((20, 20), (50, 150)), shapes):
        heights = []
        for area, spread in (a, b):
            shift = float(ndtri(area)) * np.sqrt(1 + spread * spread)
            heights.append(1 - ndtr((ndtri(1 - fine) - shift) / spread))
        truth = float(np.trapezoid(np.abs(heights[0] - heights[1]), fine))

        hits = 0
        for _ in range(runs):
            groups = binormal(*a, n, rng), binormal(*b, n, rng)
            hits += inside(truth, roc.abroca(*groups, LEVEL, own)[1])
        yield Cell(hits / runs, runs, np.inf, f"{n} {a} {b}")


def cluster_cells(runs: int, rng: np.random.Generator) -> Iterator[tuple[str, Cell]]:
    """A share of rows in clusters that resemble each other, and a mean of such rows with weights."""
    for g, (p, alike) in product((10, 20, 50), ((0.2, 0.05), (0.5, 0.2), (0.8, 0.5))):
        size = 1 / alike - 1

        def share(g: int = g, p: float = p, size: float = size) -> bool:
            y, who = _clusters(g, p, size, rng)
            return inside(p, iv.rate(*from_rows.effective(y, None, who), LEVEL))

        def centre(g: int = g, p: float = p, size: float = size) -> bool:
            y, who = _clusters(g, p, size, rng)
            return inside(p, from_rows.clustered_mean(y, rng.uniform(0.5, 2, len(y)).tolist(), who, LEVEL)[1])

        yield (
            "share in clusters (effective, Wilson)",
            simulated(f"{g} clusters, {p}, icc {alike}", runs, share),
        )
        yield "weighted mean in clusters", simulated(f"{g} clusters, {p}, icc {alike}", runs, centre)
    for n, p in product((50, 200), (0.1, 0.5)):

        def weighted(n: int = n, p: float = p) -> bool:
            y, w = rng.binomial(1, p, n).tolist(), rng.lognormal(0, 0.7, n).tolist()
            return inside(p, iv.rate(*from_rows.effective(y, w), LEVEL))

        yield "weighted share (Kish, Wilson)", simulated(f"{n} {p}", runs, weighted)


def _clusters(g: int, p: float, size: float, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """Beta-binomial clusters of 5 to 15 rows, sizes having nothing to do with shares."""
    rows = rng.integers(5, 16, g)
    who = np.repeat(np.arange(g), rows)
    return rng.binomial(1, np.repeat(rng.beta(p * size, (1 - p) * size, g), rows)).tolist(), who.tolist()


def main(arguments: list[str]) -> int:
    """Print the table; 0 where every bar is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the runs of every simulation")
    asked = parser.parse_args(arguments)
    print(f"seed {asked.seed}, nominal {LEVEL[0]}")
    truths, own = (np.random.default_rng(s) for s in np.random.SeedSequence(asked.seed).spawn(2))
    start = time.perf_counter()
    met: list[bool] = []

    def runs(n: int) -> int:
        return max(int(n * asked.scale), 20)

    def grouped(title: str, found: Iterator[tuple[str, Cell]], bar: Bar | None) -> None:
        kinds: dict[str, list[Cell]] = {}
        for kind, cell in found:
            kinds.setdefault(kind, []).append(cell)
        met.extend(report(f"{title}{kind}", cells, bar) for kind, cells in kinds.items())

    met.append(report("one rate, grid", [one_rate(n, p) for n, p in product(SIZES, RATES)], Bar(0.93, 0.975)))
    drawn = [one_rate(int(truths.integers(30, 1001)), truths.uniform(0.03, 0.9)) for _ in range(300)]
    # Wilson dips under 93 % in 21 of 99,003 such designs: hence one of 300 is spared.
    met.append(
        report("one rate, drawn, expected >= 5", [c for c in drawn if c.expected >= 5], Bar(0.93, 0.975, 1))
    )
    met.append(report("one rate, drawn, all", drawn, None))
    singles = list(product(SIZES, RATES))
    grid = [two_rates(*a, *b) for a, b in combinations_with_replacement(singles, 2)]
    draws = [
        two_rates(
            int(truths.integers(20, 1001)),
            truths.uniform(0.03, 0.9),
            int(truths.integers(20, 1001)),
            truths.uniform(0.03, 0.9),
        )
        for _ in range(300)
    ]
    # The ratio lies under 94 % in 10 of 17,415 cells of a small group by a large one, 1 in 9,000 of these.
    for i, (kind, spared) in enumerate((("difference", 0), ("ratio", 1))):
        for name, cells in (("grid", grid), ("drawn", draws)):
            own_cells, few = [pair[i] for pair in cells], spared if name == "drawn" else 0
            met.append(report(f"{kind} of two rates, {name}", own_cells, Bar(0.94, 1.0, few)))
            full = [cell for cell in own_cells if cell.expected >= 5]
            met.append(report(f"{kind} of two rates, {name}, expected >= 5", full, Bar(0.94, 0.97, few)))
    for level in (0.9, 0.95, 0.99, 0.999):
        worst = np.zeros(3)
        for _ in range(60):
            n1, n2 = (int(v) for v in np.exp(truths.uniform(np.log(30), np.log(600), 2)))
            p1, p2 = truths.uniform(0.01, 0.1 if truths.random() < 0.5 else 0.99, 2)
            worst = np.maximum(worst, tail_excess(n1, p1, n2, p2, level))
        print(
            f"largest one-sided error over its nominal {(1 - level) / 2:.4f} in 60 drawn cells:"
            f" rate {worst[0]:.1f}, difference {worst[1]:.1f}, ratio {worst[2]:.1f}"
        )
    equal = [
        gaps(k, n, p, runs(4000), truths) for k, n, p in product((2, 4, 6), (30, 100, 300), (0.1, 0.3, 0.5))
    ]
    met.append(report("largest gap, 2, 4, 6 equal groups", [a for a, _ in equal], Bar(0.94)))
    met.append(report("smallest ratio, 2, 4, 6 equal groups", [b for _, b in equal], Bar(0.94)))
    met.append(report("AUC", list(auc_cells(runs(2000), truths)), Bar(0.93)))
    calibration = list(calibration_cells(runs(1000), truths, (300, 1000, 4000)))
    met.append(report("RMS calibration error", [c[0] for c in calibration], Bar(0.92)))
    met.append(
        report("RMS calibration error of right scores", [c[0] for c in calibration if c[3]], Bar(0.95))
    )
    met.append(report("calibration in the large", [c[1] for c in calibration], Bar(0.925)))
    met.append(report("Brier score", [c[2] for c in calibration], Bar(0.925)))
    found = list(table_cells(runs(2000), truths))
    for i, (kind, low) in enumerate(
        (("F1", 0.92), ("Matthews correlation", 0.93), ("balanced accuracy", 0.92))
    ):
        met.append(report(kind, [cells[i] for cells in found], Bar(low)))
    grouped("", mean_cells(runs(2000), truths), None)
    grouped("", group_cells(runs(1000), truths), Bar(0.93))
    met.append(report("ABROCA", list(abroca_cells(runs(100), truths, own)), Bar(0.95)))
    grouped("", cluster_cells(runs(2000), truths), None)
    print(f"{time.perf_counter() - start:.0f} s; {'every bar met' if all(met) else 'a bar was missed'}")
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

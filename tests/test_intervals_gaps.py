from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from benchmarks import compare as bench
from xai_audit import intervals_gaps as gaps
from xai_audit import intervals_paired as paired

LEVELS = (0.9, 0.95, 0.999)


def test_where_the_extreme_pair_is_known_the_gap_is_that_of_the_pair() -> None:
    """Two groups far apart, before and now: what is left is MOVER on the two changes, at the rest of the error."""
    low, high = bench.group(100, 40, 60, 800), bench.group(600, 60, 40, 300)
    value, ((least, most),) = gaps.gap_change([low, high], (0.95,))
    assert value == pytest.approx((0.64 - 0.16) - (0.66 - 0.14))
    rest = 1 - 0.05 * 0.8
    changes = [(g.new - g.old, list(g.change_at((rest,)))) for g in (low, high)]
    assert (least, most) == pytest.approx(paired.unpaired(changes[0], changes[1])[1][0])


def test_the_ratio_of_known_extremes_moves_with_its_pair() -> None:
    low, high = bench.group(300, 40, 60, 600), bench.group(600, 60, 40, 300)
    value, ((least, most),) = gaps.smallest_ratio_change([low, high], (0.95,))
    assert value == pytest.approx(0.36 / 0.64 - 0.34 / 0.66)
    assert -1 <= least < value < most <= 1
    # The delta method by resampling: the spread of the change over tables drawn from the one observed.
    rng = np.random.default_rng(0)
    drawn = [rng.multinomial(1000, np.array(cells) / 1000, 20000) for cells in (low.cells, high.cells)]
    (a0, a1), (b0, b1) = (((d[:, 0] + d[:, 1]) / 1000, (d[:, 0] + d[:, 2]) / 1000) for d in drawn)
    assert most - least == pytest.approx(2 * 2.054 * np.std(a1 / b1 - a0 / b0), rel=0.03)


@pytest.mark.parametrize("change", [gaps.gap_change, gaps.smallest_ratio_change])
def test_swapping_old_and_new_turns_it_round_and_the_order_of_groups_is_no_matter(change) -> None:
    groups = [(30, 5, 9, 56), (60, 8, 2, 80), (20, 1, 4, 35), (90, 9, 9, 92)]
    value, limits = change([bench.group(*g) for g in groups], LEVELS)
    other, turned = change([bench.group(yes, up, down, no) for yes, down, up, no in groups], LEVELS)
    assert other == pytest.approx(-value)
    assert [(-high, -low) for low, high in turned] == [pytest.approx(ends) for ends in limits]
    assert change([bench.group(*g) for g in reversed(groups)], LEVELS) == (pytest.approx(value), limits)
    for (low, high), (wider_low, wider_high) in pairwise(limits):
        assert wider_low <= low + 1e-12
        assert high <= wider_high + 1e-12


def test_the_same_answers_hold_no_change() -> None:
    groups = [bench.group(30, 0, 0, 70), bench.group(60, 0, 0, 40)]
    for change in (gaps.gap_change, gaps.smallest_ratio_change):
        value, ((low, high),) = change(groups, (0.95,))
        assert value == 0
        assert low <= 0 <= high


def test_only_groups_of_one_family_are_compared() -> None:
    from dataclasses import replace

    far = replace(bench.group(1, 0, 0, 99), family="other")
    with pytest.raises(ValueError, match="at least two"):
        gaps.gap_change([bench.group(50, 5, 5, 40), far], (0.95,))
    near = [bench.group(50, 5, 5, 40), bench.group(48, 5, 5, 42)]
    assert gaps.gap_change([*near, far], (0.95,)) == gaps.gap_change(near, (0.95,))


@pytest.mark.parametrize("case", range(len(bench.GROUPS)))
def test_the_truth_is_held_with_two_groups_and_with_six(case: int) -> None:
    old, new = bench.GROUPS[case]
    for sizes in ((1000, 1000), (100,) * 6):
        held = bench.gap_coverage(sizes, old, new, 60, 0)
        assert min(held) >= 0.94 - bench.gate.error(0.94, 60)

"""Units sought again: what the run chooses is accepted, sets that do less are not; the lasso's path beside a library's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.linear_model import lars_path

from xai_audit.mechanistic.probing import sparse
from xai_audit.verify.explained.chosen import choose, entered
from xai_audit.verify.explained.kept import ContradictionError, LackingError


def drawn(seed, kind):
    """Units of which the first three carry the label together, and some are equal, constant or silent in most rows."""
    rng = np.random.default_rng([seed, 11])
    label = rng.random(160) < 0.4
    x = rng.normal(size=(160, 30)) + rng.normal(size=(160, 3)) @ rng.normal(size=(3, 30))
    x[:, :3] += 0.7 * label[:, None]
    if kind == "silent":
        x = np.maximum(x - 1, 0)
    if kind == "equal":
        x[:, 20:25], x[:, 25], x[:, 26] = -2 * x[:, :5], 3.0, 0.0
    if kind == "far":
        x = 100 + 0.01 * x
    return x.astype(np.float32), label


SELECTED = [
    ("mean_difference", 1),
    ("mean_difference", 6),
    ("l1", 1),
    ("l1", 5),
    ("exact", 1),
    ("exact", 2),
    ("exact", 3),
]
CASES = [(kind, *one) for kind in ("plain", "silent", "equal", "far") for one in SELECTED]


@pytest.mark.parametrize(("kind", "selector", "k"), CASES)
def test_what_is_chosen_is_accepted_and_what_does_less_is_not(kind, selector, k):
    for seed in range(6):
        x, label = drawn(seed, kind)
        units = sparse.select(x, label, k, selector)
        choose(x.astype(np.float64), label, units, selector)
        others = np.setdiff1d(np.arange(20), [*units.tolist(), *(units - 20).tolist()])
        swapped = np.concatenate([units[:-1], others[-1:]])
        with pytest.raises(ContradictionError, match=r"chosen|order"):
            choose(x.astype(np.float64), label, swapped, selector)


def test_equal_units_may_stand_for_each_other_and_constant_ones_for_none():
    x, label = drawn(1, "equal")
    units = sparse.select(x, label, 2)
    twins = np.where(units < 5, units + 20, units - 20)
    choose(x.astype(np.float64), label, twins, "mean_difference")
    with pytest.raises(ContradictionError, match="unit 25 does not vary"):
        choose(x.astype(np.float64), label, np.asarray([25]), "l1")


def test_the_best_of_many_is_sought_among_those_that_are_best_alone():
    rng = np.random.default_rng(3)
    label = rng.random(60) < 0.5
    x = (rng.normal(size=(60, 700)) + 0.3 * label[:, None] * (np.arange(700) < 40)).astype(np.float32)
    units = sparse.select(x, label, 3, "exact")
    choose(x.astype(np.float64), label, units, "exact")
    weakest = int(np.argmin(np.abs(x[label].mean(axis=0) - x[~label].mean(axis=0))))
    with pytest.raises(ContradictionError, match="best alone"):
        choose(x.astype(np.float64), label, np.asarray([*units[:2], weakest]), "exact")


def test_the_path_of_the_lasso_is_that_of_a_library():
    agreed = left = 0
    for seed in range(60):
        rng = np.random.default_rng([seed, 12])
        x = rng.normal(size=(90, 4)) @ rng.normal(size=(4, 25)) + 0.3 * rng.normal(size=(90, 25))
        x = (x - x.mean(axis=0)) / x.std(axis=0)
        y = (x[:, 0] + rng.normal(size=90) > 0) - 0.5
        y = y - y.mean()
        # At the fortieth step of seed 47 a column has left and come back on the other side.
        for steps in (1, 3, 8, 20, 40):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                _, active, _ = lars_path(x, y, max_iter=steps, method="lasso")
            left += len(active) < steps
            agreed += [int(one) for one in active] == entered(x, y, steps)[0]
    assert agreed == 300
    assert left > 20, "no column ever left the lasso: that case was not tried"


def test_where_units_are_sums_of_others_the_path_is_left_open():
    rng = np.random.default_rng(4)
    label = rng.random(80) < 0.5
    x = rng.normal(size=(80, 4))
    x = np.concatenate([x, x @ rng.normal(size=(4, 8))], axis=1) + 0.5 * label[:, None]
    x = np.concatenate([x, x @ rng.normal(size=(12, 4))], axis=1)
    units = np.argsort(
        -np.abs(x[label].mean(axis=0) / x.std(axis=0) - x[~label].mean(axis=0) / x.std(axis=0))
    )[::-1][:9]
    with pytest.raises(LackingError, match="nearly sums of others"):
        choose(x, label, units, "l1")

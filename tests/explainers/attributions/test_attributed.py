"""What goes through a map comes back; means over rows and draws have honest intervals; maps are stored in few bits."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import spearmanr

from tests.explainers.bench import Bench
from tests.explainers.networks import table_subject
from xai_audit.explainers.attributions import attributed
from xai_audit.method import NoParams


def context():
    return Bench(table_subject(n=5), NoParams(), SimpleNamespace(id="x"))


def test_arrays_of_any_shape_go_through_a_map():
    rng = np.random.default_rng(0)
    given = [rng.normal(size=shape) for shape in ((3, 4), (5,), (0,), (2, 2), (1,))]
    pieces = [attributed.pack("v", given[:2]), attributed.pack("v", []), attributed.pack("v", given[2:])]
    found = attributed.unpack(pieces, "v")
    assert [one.shape for one in found] == [one.shape for one in given]
    assert all(np.array_equal(a, b) for a, b in zip(found, given, strict=True))


def test_stored_maps_keep_four_digits_and_their_signs():
    values = np.random.default_rng(0).normal(size=1000) * 10.0 ** np.arange(-10, 10).repeat(50)
    found = attributed.quantised(values)
    assert found.dtype == np.float32
    assert np.abs(found / values - 1).max() < 2**-13
    assert attributed.quantised(np.array([0.0, np.nan]))[0] == 0
    assert np.isnan(attributed.quantised(np.array([0.0, np.nan]))[1])
    assert np.array_equal(attributed.quantised(found.astype(float)), found)


def test_rank_correlation_is_scipys():
    rng = np.random.default_rng(0)
    a, b = np.round(rng.normal(size=(4, 5)), 1), np.round(rng.normal(size=(4, 5)), 1)
    assert attributed.spearman(a, b) == pytest.approx(spearmanr(a.ravel(), b.ravel()).statistic)
    assert np.isnan(attributed.spearman(a, np.zeros((4, 5))))


def test_a_mean_over_rows_and_draws_covers_both():
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(150):
        values = 1 + rng.normal(size=(20, 1)) + 0.7 * rng.normal(size=(1, 5)) + rng.normal(size=(20, 5))
        estimate = attributed.mean_over_both(values, context())
        held += estimate.low <= 1 <= estimate.high
    # 95 % asked; Satterthwaite over five draws errs on the wide side. Three standard errors are 5.3 %.
    assert held / 150 > 0.897


def test_one_draw_tells_nothing_of_other_draws():
    estimate = attributed.mean_over_both(np.ones((5, 1)), context(), low=-1.0, high=1.0)
    assert (estimate.low, estimate.high) == (-1.0, 1.0)
    same = attributed.mean_over_both(np.ones((5, 3)), context())
    assert (same.low, same.value, same.high) == (1.0, 1.0, 1.0)

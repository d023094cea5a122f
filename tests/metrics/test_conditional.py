from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.metrics.subjects import classifier, grouping, observed
from xai_audit.metrics.conditional import pooled


def test_one_stratum_is_the_plain_difference() -> None:
    value, ((low, high),) = pooled([(30, 100, 50, 120)], (0.95,))
    assert value == pytest.approx(30 / 100 - 50 / 120)
    wald = 1.96 * np.sqrt(0.3 * 0.7 / 100 + (50 / 120) * (70 / 120) / 120)
    assert high - low == pytest.approx(2 * wald, rel=0.02)


def test_the_same_difference_in_every_stratum_is_found_whatever_their_levels() -> None:
    # 10 points less in each of three strata with very different rates and mixes: the crude gap is far from it.
    strata = [(160, 200, 900, 1000), (300, 1000, 80, 200), (10, 100, 20, 100)]
    value, ((low, high),) = pooled(strata, (0.95,))
    assert value == pytest.approx(-0.10)
    assert low < -0.10 < high


def test_coverage_of_the_pooled_interval() -> None:
    truth = np.random.default_rng(101)
    draws = np.random.default_rng(202)
    sizes = truth.integers(20, 80, (8, 2))
    base = truth.uniform(0.2, 0.6, 8)
    gap, trials, held = 0.15, 4000, 0
    for _ in range(trials):
        x1, x0 = draws.binomial(sizes[:, 0], base + gap), draws.binomial(sizes[:, 1], base)
        _, ((low, high),) = pooled(
            [(int(a), int(n), int(b), int(m)) for a, (n, m), b in zip(x1, sizes, x0, strict=True)], (0.95,)
        )
        held += low <= gap <= high
    assert held / trials >= 0.95 - 2 * np.sqrt(0.95 * 0.05 / trials) - 0.005


def test_berkeley_is_explained_by_its_departments() -> None:
    counts = {
        "A": (512, 313, 89, 19), "B": (353, 207, 17, 8), "C": (120, 205, 202, 391),
        "D": (138, 279, 131, 244), "E": (53, 138, 94, 299), "F": (22, 351, 24, 317),
    }  # fmt: skip
    gender, department, admitted = [], [], []
    for name, cells in counts.items():
        for (who, decision), count in zip(
            [("man", 1), ("man", 0), ("woman", 1), ("woman", 0)], cells, strict=True
        ):
            gender += [who] * count
            department += [name] * count
            admitted += [decision] * count
    explanatory = replace(grouping("department", department), explanatory=True)
    subject = classifier(None, admitted, [grouping("gender", gender), explanatory])
    found = observed(subject, "demographic_parity_difference", "conditional_demographic_parity_difference")
    crude = found["demographic_parity_difference/gender"].observation.summary.difference
    within = found["conditional_demographic_parity_difference/department+gender"].observation
    assert crude.low > 0.10
    assert within.summary.between == ("woman", "man")
    assert within.summary.difference.low < 0 < within.summary.difference.high
    signs = {group.key["department"]: group.estimate.value > 0 for group in within.groups}
    assert signs == {"A": True, "B": True, "C": False, "D": True, "E": False, "F": True}


def test_without_an_explanatory_column_it_is_skipped() -> None:
    subject = classifier(None, [0, 1] * 50, [grouping("g", ["a"] * 50 + ["b"] * 50)])
    found = observed(subject, "conditional_demographic_parity_difference")
    assert found["conditional_demographic_parity_difference"].status == "skipped"

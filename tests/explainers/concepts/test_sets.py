"""Examples, pool and judged rows never share a row; conditions ask the metadata."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests import deep
from tests.explainers import concept_beds as beds
from xai_audit.errors import MethodError
from xai_audit.explainers.concepts import scores as concept_scores
from xai_audit.explainers.concepts import sets as concept_sets


@pytest.fixture(scope="module")
def bed():
    return beds.planted(0)


def people(bed, n, seed, name):
    rng = np.random.default_rng(seed)
    side = pd.DataFrame({"sex": rng.choice(["male", "female"], n), "age": rng.integers(18, 90, n)})
    return deep.rows(bed.frame(n), target=rng.integers(0, 2, n), side=side, name=name)


def subject(bed, *, train=True, **sets):
    return deep.subject(
        bed.network,
        people(bed, 300, 1, "test"),
        "table",
        train=people(bed, 400, 2, "train") if train else None,
        sets={name: deep.rows(frame, name=name) for name, frame in sets.items()},
    )


def test_a_condition_is_asked_of_the_training_rows_and_the_pool_is_the_rest_of_them(bed):
    asked = subject(bed)
    found = concept_sets.choose(asked, [("male", "sex == 'male'")], None, 50, 0)
    male = found.concepts["male"]
    assert len(male) == 50
    assert male.available == (asked.train.side["sex"] == "male").sum()
    assert (asked.train.side["sex"].iloc[male.index] == "male").all()
    assert not set(male.index) & set(found.pool.index)
    assert len(found.pool) == 350
    assert len(found.evaluated) == 300
    assert "50 rows of training rows are examples of a concept" in found.notes[0]


def test_the_pool_of_a_condition_is_where_it_does_not_hold(bed):
    asked = subject(bed, other=bed.frame(60))
    found = concept_sets.choose(asked, [("male", "sex == 'male'"), ("other", None)], None, 50, 0)
    parts, members = concept_scores.layout(found, relative=False)
    assert [len(part) for part in parts] == [50, 50, 350]
    rows = found.pool.index[members["male"].pool - 100]
    assert (asked.train.side["sex"].iloc[rows] == "female").all()
    assert len(members["other"].pool) == 350


def test_without_training_rows_the_test_rows_are_shared_out(bed):
    asked = subject(bed, train=False)
    found = concept_sets.choose(asked, [("old", "age >= 60 and sex == 'male'")], None, 40, 0)
    old, pool = set(found.concepts["old"].index), set(found.pool.index)
    judged = set(found.evaluated)
    assert (asked.test.side["age"].iloc[sorted(old)] >= 60).all()
    assert not old & pool
    assert not (old | pool) & judged
    assert len(pool) == (300 - len(old)) // 2
    assert len(old | pool | judged) == 300


def test_rows_of_equal_content_are_one_row(bed):
    asked = subject(bed, mine=bed.frame(60))
    test = asked.test
    same = deep.rows(test.frame.iloc[:60])
    object.__setattr__(same, "digests", test.digests[:60])
    asked.sets["mine"] = same
    found = concept_sets.choose(asked, [("mine", None)], None, 60, 0)
    assert set(found.evaluated) == set(range(60, 300))


def test_features_of_a_table_can_be_asked_too(bed):
    asked = subject(bed)
    found = concept_sets.choose(asked, [("high", "x3 > 0.5")], None, 50, 0)
    high = found.concepts["high"]
    assert (high.frame["x3"] > 0.5).all()


def test_the_draw_depends_on_seed_and_content_alone(bed):
    asked = subject(bed)
    one, again, other = (
        concept_sets.choose(asked, [("male", "sex == 'male'")], None, 50, seed) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one.concepts["male"].index, again.concepts["male"].index)
    assert set(one.concepts["male"].index) != set(other.concepts["male"].index)


def test_what_is_not_there_or_too_small_is_said(bed):
    asked = subject(bed, few=bed.frame(9), pool=bed.frame(60), tiny=bed.frame(5))
    few = concept_sets.choose(asked, [("few", None), ("none", "age > 200")], "pool", 50, 0).concepts
    assert few["few"] == "the set few: 9 examples; 10 are needed"
    assert few["none"] == "training rows where age > 200: 0 examples; 10 are needed"
    with pytest.raises(MethodError, match=r"concept stripes: no set .* \(there are: few, pool, tiny\)"):
        concept_sets.choose(asked, [("stripes", None)], None, 50, 0)
    with pytest.raises(MethodError, match="random: no set named pols"):
        concept_sets.choose(asked, [("few", None)], "pols", 50, 0)
    with pytest.raises(MethodError, match="has 5 rows; 10 are needed"):
        concept_sets.choose(asked, [("few", None)], "tiny", 50, 0)
    with pytest.raises(MethodError, match="concept tall"):
        concept_sets.choose(asked, [("tall", "height > 3")], None, 50, 0)


def test_a_relative_concept_is_against_the_others(bed):
    asked = subject(bed, a=bed.frame(60), b=bed.frame(60), c=bed.frame(30), pool=bed.frame(200))
    found = concept_sets.choose(asked, [("a", None), ("b", None), ("c", None)], "pool", 50, 0)
    parts, members = concept_scores.layout(found, relative=True)
    assert [len(part) for part in parts] == [50, 50, 30]
    assert members["a"].pool.tolist() == list(range(50, 130))
    assert members["b"].pool.tolist() == [*range(50), *range(100, 130)]
    assert members["a"].n == 40
    assert members["c"].n == 30
    parts, members = concept_scores.layout(found, relative=False)
    assert [len(part) for part in parts] == [50, 50, 30, 200]
    assert members["c"].pool.tolist() == list(range(130, 330))
    _, alone = concept_scores.layout(replace(found, concepts={"a": found.concepts["a"]}), relative=True)
    assert "twice 10 are needed" in alone["a"]

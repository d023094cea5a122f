import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from xai_audit.explainers.local import by_third, swarm, thirds


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 300), seed=st.integers(0, 10**6), least=st.sampled_from([0, 5, 10]))
def test_no_small_cell_is_shown_or_can_be_worked_out(n, seed, least):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {"a": rng.normal(size=n), "b": rng.integers(0, 2, n), "c": rng.choice(["u", "v"], n)}
    )
    found = swarm(frame, rng.normal(size=(n, 3)), [0, 1, 2], least)
    for values, part in zip(found.observation.values, found.params["layout"], strict=True):
        assert all(cell is None or cell == 0 or cell >= least for cell in values)
        hidden = [cell for cell in values if cell is None]
        # One hidden cell alone could be worked out from the row's n, unless all its people are in it.
        assert len(hidden) != 1 or all(cell in (None, 0) for cell in values)
        if not hidden:
            assert sum(values) == part["n"]


def test_without_a_minimum_all_people_are_counted():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=50)})
    found = swarm(frame, rng.normal(size=(50, 1)), [0], 0)
    assert sum(cell for row in dict(found.observation)["values"] for cell in row) == 50
    assert found.limits == ()


def test_thirds_of_numbers_and_none_of_words():
    column = pd.Series([1.0, 2, 3, 4, 5, 6, np.nan])
    assert [(name, int(inside.sum())) for name, inside in thirds(column, 1)] == [
        ("low values", 2), ("middle values", 2), ("high values", 2), ("missing", 1),
    ]  # fmt: skip
    assert [name for name, _ in thirds(pd.Series(["a", "b", "c"]), 1)] == [""]
    assert [name for name, _ in thirds(pd.Series([1.0, 1.0, 2.0]), 1)] == [""]
    complete = column[:6]
    assert by_third(complete, np.arange(6.0), 2) == {
        "low values": 0.5,
        "middle values": 2.5,
        "high values": 4.5,
    }


def test_a_part_of_few_people_is_not_had_by_subtracting_the_others_from_all():
    column = pd.Series([1.0, 2, 3, 4, 5, 6, np.nan])
    assert [name for name, _ in thirds(column, 2)] == [""]
    assert by_third(column, np.arange(7.0), 2) == {}

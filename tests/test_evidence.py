from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from xai_audit.evidence import Estimate, Evidence, Group, Groups, Matrix, encoded, exactly, identifier


def test_identifiers_of_the_contract() -> None:
    assert identifier("recall") == "recall"
    assert identifier("recall", "sex") == "recall/sex"
    assert identifier("recall", "sex", "age") == "recall/age+sex"
    assert identifier("recall", "a+b/c.d~e ż") == "recall/a%2Bb%2Fc%2Ed%7Ee%20%C5%BC"


@given(st.text(min_size=1), st.text(min_size=1))
def test_encoding_is_one_to_one(one: str, other: str) -> None:
    try:
        both = encoded(one), encoded(other)
    except UnicodeEncodeError:
        return  # lone surrogates are refused when data are read
    assert (both[0] == both[1]) == (one == other)
    assert "+" not in both[0]
    assert "/" not in both[0]


def test_no_number_is_nan_and_no_group_is_a_silent_zero() -> None:
    with pytest.raises(ValidationError):
        Estimate(value=float("nan"), low=None, high=None, n=1)
    with pytest.raises(ValidationError, match="carries no number"):
        Group(key={"g": "a"}, n=3, status="undefined", estimate=exactly(0, 3))
    with pytest.raises(ValidationError, match="has an estimate"):
        Group(key={"g": "a"}, n=3, status="measured")


def test_absence_has_a_reason() -> None:
    with pytest.raises(ValidationError, match="says why"):
        Evidence(id="x", method="x", kind="metric", title="x", status="skipped")


def test_groups_have_the_keys_they_are_by_and_a_matrix_is_whole() -> None:
    group = Group(key={"g": "a"}, n=3, status="measured", estimate=exactly(0, 3))
    Groups(by=("g",), groups=(group,))
    with pytest.raises(ValidationError, match="a key for each of g, h"):
        Groups(by=("g", "h"), groups=(group,))
    with pytest.raises(ValidationError):
        Groups(by=(), groups=())
    Matrix(rows=("a",), columns=("b", "c"), values=((1, None),))
    for values in ((), ((1,),), ((1, 2), (3, 4))):
        with pytest.raises(ValidationError, match="a value for each row and column"):
            Matrix(rows=("a",), columns=("b", "c"), values=values)


@pytest.mark.parametrize("n", [-1, 2**53, 10**300])
def test_a_count_is_one_that_can_be_counted(n: int) -> None:
    with pytest.raises(ValidationError):
        exactly(0, n)


@pytest.mark.parametrize("level", ["0.9x", "", "95", "1e-3", "-0.9", "0.95\n"])
def test_a_level_is_a_number_as_it_is_written(level: str) -> None:
    with pytest.raises(ValidationError, match="limits"):
        Estimate(value=1.0, low=0.0, high=2.0, n=3, limits={level: (0.0, 2.0)})
    assert Estimate(value=1.0, low=0.0, high=2.0, n=3, limits={"0.9995": (0.0, 2.0)}).limits

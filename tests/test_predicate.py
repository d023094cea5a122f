from __future__ import annotations

import operator
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xai_audit.predicate import parse

PEOPLE = pd.DataFrame(
    {
        "sex": ["male", "female", None, "male"],
        "age": [40.0, 60.0, 50.0, np.nan],
        "member": [True, False, True, False],
        "maybe": [1.0, np.nan, 0.0, 1.0],
        "postal code": ["0150", "5003", "0150", None],
        "class": ["cat", "dog", "cat", "dog"],
        "ﬁre": [1, 2, 3, 4],  # the parser of Python itself reads this name as "fire"
        "missing": [1, 0, 1, 0],
        "born": ["1980-01-01", "1999-12-31", None, "2001-05-05"],
    }
)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("sex == 'male'", [0, 3]),
        ("sex == 'male' and age >= 50", []),
        ("sex == 'male' or age >= 50", [0, 1, 2, 3]),
        ("not sex == 'male'", [1, 2]),
        ("sex != 'male'", [1]),
        ("sex is missing", [2]),
        ("sex is not missing", [0, 1, 3]),
        ("age is missing or sex is missing", [2, 3]),
        ("40 < age <= 60", [1, 2]),
        ("50 <= age", [1, 2]),
        ("age in (40, 60)", [0, 1]),
        ("age not in [40]", [1, 2]),
        ("sex in {'female'}", [1]),
        ("age == -1", []),
        ("age > +45.5", [1, 2]),
        ("member", [0, 2]),
        ("not member", [1, 3]),
        ("member == true", [0, 2]),
        ("member == False", [1, 3]),
        ("maybe", [0, 3]),
        ("maybe == false", [2]),
        ("`postal code` == '0150'", [0, 2]),
        ("`postal code` is missing", [3]),
        ("class == 'dog'", [1, 3]),
        ("`class` == 'dog'", [1, 3]),
        ("ﬁre >= 3", [2, 3]),
        ("missing == 1", [0, 2]),
        ("missing is missing", []),
        ("born >= '1999-12-31'", [1, 3]),
        ("\n  sex == 'male'\n  and member\n", [0]),
        ("((age >= 50)) and (member)", [2]),
        ("sex == \"it's\" or sex == 'a`b' or member", [0, 2]),
    ],
)
def test_what_holds(text: str, rows: list[int]) -> None:
    assert np.flatnonzero(parse(text).holds(PEOPLE)).tolist() == rows


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the condition is empty"),
        ("   ", "the condition is empty"),
        ("sex = 'male'", "character 5: no condition: invalid syntax; == compares"),
        ("sex == male and", "character "),
        ("1 < 2", "character 1: compares no column"),
        ("'a'", "character 1: \"'a'\" is no condition"),
        ("true", "character 1: 'true' is no condition"),
        ("__import__('os').system('true') == 0", "(a function) is no number"),
        ("open('x')", "character 1: \"open('x')\" (a function) is no condition"),
        ("sex.upper() == 'MALE'", "'sex.upper()' (a function)"),
        ("sex.__class__ == 'x'", "(a dot after a name)"),
        ("sex[0] == 'm'", "(an index)"),
        ("age + 1 > 2", "'age + 1' (arithmetic)"),
        ("(lambda: 1)() == sex", "character "),
        ("[x for x in sex]", "character 2: no condition"),
        ("(age := 3) > 2", "(an assignment)"),
        ("f'{age}' == sex", "(an f-string)"),
        ("b'a' == sex", "character 1: \"b'a'\" is no number"),
        ("age == 1j", "character 8: '1j' is no number"),
        ("age == 1e999", "character 8: '1e999' is no number"),
        ("age == None", "character 8: None is no value; write: is missing"),
        ("sex is None", "character 8: after 'is' stands missing"),
        ("1 is missing", "character 1: a column is asked before 'is missing'"),
        ("'m' in sex", "character 1: a column is asked before 'in'"),
        ("sex in 'male'", "character 8: a list is asked after 'in'"),
        ("sex in ()", "character 8: a list is asked after 'in'"),
        ("sex in (age,)", "character 9: 'age' is no number"),
        ("`sex == 'male'", "character 1: a backquote"),
        ("`` == 'male'", "character 1: a backquote"),
        ("member # and age > 3", "character 8: '#' stands for nothing"),
        ("member; age", "character 7: no condition"),
        ("sex == 'Łódź' and f(x)", "character 19: 'f(x)'"),
        ("a\0b", "no condition"),
        ("not " * 60 + "member", "over 50 parts inside one another"),
        ("(" * 1000 + "member" + ")" * 1000, "no condition"),
        ("age == " + "9" * 5000, "no condition"),
        ("member and " * 2000 + "member", "over 10,000 characters"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(text)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sx == 'male'", "no column named 'sx'"),
        ("sex == 1", "'sex' holds text; write '1' in quotes"),
        ("age == '40'", "'age' holds numbers, and '40' is text"),
        ("member == 'true'", "'member' holds true or false, and 'true' is text"),
        ("sex == age", "'sex' holds text and 'age' numbers; they cannot be compared"),
        ("sex", "'sex' is not true or false"),
        ("age", "'age' is not true or false"),
    ],
)
def test_cells_of_another_kind(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="^" + said.replace("(", r"\(")):
        parse(text).holds(PEOPLE)


def test_pictures_are_compared_with_nothing() -> None:
    cells = np.empty(1, dtype=object)
    cells[0] = np.zeros((2, 2, 1), np.uint8)
    with pytest.raises(ValueError, match="holds neither numbers nor text alone"):
        parse("image == 'x'").holds(pd.DataFrame({"image": cells}))


def test_columns_in_the_order_they_stand_each_once() -> None:
    assert parse("b > 1 and (`a c` == 'x' or b < 0) and d is missing").columns == ("b", "a c", "d")


def test_a_condition_is_a_value() -> None:
    condition = parse("sex == 'male' and age >= 50")
    assert pickle.loads(pickle.dumps(condition)) == condition
    assert parse("member").holds(PEOPLE.iloc[:0]).tolist() == []


_SIGNS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ATOM = st.tuples(st.sampled_from("ab"), st.sampled_from(sorted(_SIGNS)), st.integers(-2, 2))
_TREE = st.recursive(
    _ATOM,
    lambda part: st.one_of(
        st.tuples(st.just("not"), part),
        st.tuples(st.sampled_from(("and", "or")), part, part),
    ),
    max_leaves=8,
)


def _written(tree) -> str:
    if tree[0] == "not":
        return f"not ({_written(tree[1])})"
    if tree[0] in ("and", "or"):
        return f"({_written(tree[1])}) {tree[0]} ({_written(tree[2])})"
    return f"{tree[0]} {tree[1]} {tree[2]}"


def _meant(tree, row) -> bool:
    if tree[0] == "not":
        return not _meant(tree[1], row)
    if tree[0] == "and":
        return _meant(tree[1], row) and _meant(tree[2], row)
    if tree[0] == "or":
        return _meant(tree[1], row) or _meant(tree[2], row)
    cell = row[tree[0]]
    return cell is not None and _SIGNS[tree[1]](cell, tree[2])


@settings(max_examples=100, deadline=None)
@given(
    _TREE,
    st.lists(st.fixed_dictionaries({name: st.none() | st.integers(-2, 2) for name in "ab"}), min_size=1),
)
def test_it_means_what_python_means_and_a_missing_cell_makes_a_comparison_false(tree, rows) -> None:
    frame = pd.DataFrame({name: np.array([row[name] for row in rows], dtype=float) for name in "ab"})
    assert parse(_written(tree)).holds(frame).tolist() == [_meant(tree, row) for row in rows]


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab `'\"()[]<>=!andortis,.0-\\#\n\té𝔞"), max_size=40))
def test_any_text_is_a_condition_or_refused(text: str) -> None:
    try:
        condition = parse(text)
    except ValueError:
        return
    assert condition.columns or condition.tree

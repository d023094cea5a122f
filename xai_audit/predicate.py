"""Which rows a condition holds for: ``sex == 'male' and age >= 50``, read without ever being run as code.

The condition is parsed by Python's own grammar and rebuilt from a short list of allowed parts: comparisons
(also chained, as ``30 <= age < 50``), ``in`` and ``not in`` with a list of literals, ``is missing`` and ``is not
missing``, ``and``, ``or``, ``not``, parentheses, a column of true and false on its own. A column's name stands
as it is or, where it is no word, between backquotes; text stands in quotes. A comparison with a missing cell is
false, ``!=`` and ``not in`` as well.
"""

from __future__ import annotations

import ast
import keyword
import operator
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pandas as pd
    from numpy.typing import NDArray

LONGEST = 10_000
"""Characters in a condition."""
_DEPTH = 50
"""Parts inside one another."""

_SIGNS: Mapping[type[ast.cmpop], str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
    ast.In: "in", ast.NotIn: "not in", ast.Is: "is", ast.IsNot: "is not",
}  # fmt: skip
_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_BOOLEANS: Mapping[str, bool] = {"true": True, "false": False, "True": True, "False": False}
_MISSING = "missing"
_RESERVED = frozenset(("and", "or", "not", "in", "is", "None", "True", "False"))
"""Words that are no column without backquotes; Python's other keywords, as class, are."""
_PARTS: Mapping[type[ast.AST], str] = {
    ast.Call: "a function",
    ast.Attribute: "a dot after a name",
    ast.Subscript: "an index",
    ast.Lambda: "a function",
    ast.BinOp: "arithmetic",
    ast.IfExp: "if and else",
    ast.JoinedStr: "an f-string",
    ast.NamedExpr: "an assignment",
    ast.Starred: "a star",
}
"""What people write by mistake, in words."""


@dataclass(frozen=True)
class _Column:
    name: str


@dataclass(frozen=True)
class _Literal:
    value: bool | int | float | str


@dataclass(frozen=True)
class _Compared:
    left: _Column | _Literal
    sign: str
    right: _Column | _Literal


@dataclass(frozen=True)
class _Among:
    column: _Column
    values: tuple[_Literal, ...]
    negated: bool


@dataclass(frozen=True)
class _Gone:
    column: _Column
    negated: bool


@dataclass(frozen=True)
class _Flag:
    column: _Column


@dataclass(frozen=True)
class _Not:
    part: _Node


@dataclass(frozen=True)
class _All:
    parts: tuple[_Node, ...]


@dataclass(frozen=True)
class _Any:
    parts: tuple[_Node, ...]


_Node = _Compared | _Among | _Gone | _Flag | _Not | _All | _Any


@dataclass(frozen=True)
class Predicate:
    """A condition on the columns of a table; can be pickled and compared."""

    text: str
    """As it was written."""
    columns: tuple[str, ...]
    """The columns it asks for, each once, in the order they stand."""
    tree: _Node

    def holds(self, frame: pd.DataFrame) -> NDArray[np.bool_]:
        """For each row whether the condition holds.

        ValueError where a column is not there, or holds another kind of cell than it is compared with.
        """
        cells = {name: _cells(frame, name) for name in self.columns}
        return _holds(self.tree, cells, len(frame))


def parse(text: str) -> Predicate:
    """The condition a text spells out; ValueError says at which character it does not."""
    if len(text) > LONGEST:
        message = f"over {LONGEST:,} characters; a condition is shorter"
        raise ValueError(message)
    source = _Source.of(text)
    if not source.plain:
        message = "the condition is empty; for instance: sex == 'male' and age >= 50"
        raise ValueError(message)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in literals, which are as they are
            body = ast.parse(source.plain, mode="eval").body
    except SyntaxError as error:
        offset = source.place((error.lineno or 1), max((error.offset or 1) - 1, 0))
        hint = "; == compares" if text[offset : offset + 1] == "=" else ""
        message = f"character {offset + 1}: no condition: {_first(error.msg)}{hint}"
        raise ValueError(message) from None
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        message = f"no condition: {_first(str(error)) or type(error).__name__}"
        raise ValueError(message) from None
    tree = _Builder(source).node(body, 0)
    return Predicate(text, tuple(dict.fromkeys(_named(tree))), tree)


def _first(text: str) -> str:
    return (text.splitlines() or [""])[0][:200]


@dataclass(frozen=True)
class _Source:
    """A condition with backquoted names replaced by words of the same length, so that places stay."""

    text: str
    plain: str
    start: int
    """Characters cut off before the first one that counts."""
    quoted: Mapping[int, str]
    """Backquoted names by the place where they begin."""

    @classmethod
    def of(cls, text: str) -> _Source:
        letters, quoted, place = list(text), {}, 0
        while place < len(text):
            letter = text[place]
            if letter in "'\"":
                place = _closed(text, place)
            elif letter == "`":
                end = text.find("`", place + 1)
                if end < 0 or end == place + 1:
                    message = f"character {place + 1}: a backquote without a name and another one after it"
                    raise ValueError(message)
                quoted[place] = text[place + 1 : end]
                letters[place : end + 1] = "_" * (end + 1 - place)
                place = end
            elif letter == "#":
                message = f"character {place + 1}: '#' stands for nothing here"
                raise ValueError(message)
            elif letter in "\r\n\t\f":
                letters[place] = " "
            elif letter.isidentifier():
                end = place + 1
                while end < len(text) and f"_{text[end]}".isidentifier():
                    end += 1
                word = text[place:end]
                if keyword.iskeyword(word) and word not in _RESERVED:
                    quoted[place] = word
                    letters[place:end] = "_" * (end - place)
                place = end - 1
            place += 1
        whole = "".join(letters)
        plain = whole.lstrip(" ")
        return cls(text, plain.rstrip(" "), len(whole) - len(plain), quoted)

    def place(self, line: int, character: int) -> int:
        """A character's place in the text; what stands in a further line can only be at its end."""
        return min(self.start + character, len(self.text)) if line == 1 else len(self.text)

    def span(self, node: ast.expr) -> tuple[int, int]:
        """Where a part begins and ends in the text; the parser counts bytes."""
        encoded = self.plain.encode()
        first = len(encoded[: node.col_offset].decode())
        last = len(encoded[: node.end_col_offset or 0].decode())
        return self.start + first, self.start + last

    def name(self, node: ast.Name) -> tuple[str, bool]:
        """A name as it was written, and whether it stood between backquotes; the parser folds letters."""
        first, last = self.span(node)
        return (self.quoted[first], True) if first in self.quoted else (self.text[first:last], False)


def _closed(text: str, start: int) -> int:
    """Where the literal that begins here ends; the last character where it does not."""
    place = start + 1
    while place < len(text) and text[place] != text[start]:
        place += 2 if text[place] == "\\" else 1
    return min(place, len(text) - 1)


@dataclass(frozen=True)
class _Builder:
    """Rebuilds a condition from the parts that are allowed, and from no other."""

    source: _Source

    def refused(self, node: ast.expr, what: str) -> ValueError:
        return ValueError(f"character {self.source.span(node)[0] + 1}: {what}")

    def node(self, node: ast.expr, depth: int) -> _Node:
        if depth > _DEPTH:
            raise self.refused(node, f"over {_DEPTH} parts inside one another")
        if isinstance(node, ast.BoolOp):
            parts = tuple(self.node(value, depth + 1) for value in node.values)  # noqa: PD011 - no frame
            return _All(parts) if isinstance(node.op, ast.And) else _Any(parts)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return _Not(self.node(node.operand, depth + 1))
        if isinstance(node, ast.Compare):
            return self._comparison(node)
        if isinstance(node, ast.Name):
            name, quoted = self.source.name(node)
            if quoted or name not in _BOOLEANS:
                return _Flag(_Column(name))
        raise self.refused(node, f"{self._described(node)} is no condition; a comparison is asked: age >= 50")

    def _comparison(self, node: ast.Compare) -> _Node:
        sides = [node.left, *node.comparators]
        parts = [
            self._pair(left, _SIGNS[type(sign)], right)
            for left, sign, right in zip(sides, node.ops, node.comparators, strict=False)
        ]
        return parts[0] if len(parts) == 1 else _All(tuple(parts))

    def _pair(self, left: ast.expr, sign: str, right: ast.expr) -> _Node:
        if sign in ("is", "is not"):
            column = self._operand(left)
            if not isinstance(right, ast.Name) or self.source.name(right) != (_MISSING, False):
                raise self.refused(right, f"after {sign!r} stands missing: sex {sign} missing")
            if not isinstance(column, _Column):
                raise self.refused(left, "a column is asked before 'is missing'")
            return _Gone(column, sign == "is not")
        if sign in ("in", "not in"):
            column = self._operand(left)
            if not isinstance(column, _Column):
                raise self.refused(left, f"a column is asked before {sign!r}")
            if not isinstance(right, ast.Tuple | ast.List | ast.Set) or not right.elts:
                raise self.refused(right, f"a list is asked after {sign!r}: city {sign} ('Oslo', 'Bergen')")
            return _Among(column, tuple(self._literal(item) for item in right.elts), sign == "not in")
        first, second = self._operand(left), self._operand(right)
        if isinstance(first, _Literal) and isinstance(second, _Literal):
            raise self.refused(left, "compares no column")
        return _Compared(first, sign, second)

    def _operand(self, node: ast.expr) -> _Column | _Literal:
        if isinstance(node, ast.Name):
            name, quoted = self.source.name(node)
            return _Column(name) if quoted or name not in _BOOLEANS else _Literal(_BOOLEANS[name])
        return self._literal(node)

    def _literal(self, node: ast.expr) -> _Literal:
        if isinstance(node, ast.Name) and self.source.name(node) in (("true", False), ("false", False)):
            return _Literal(_BOOLEANS[node.id])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            inner = node.operand.value if isinstance(node.operand, ast.Constant) else None
            if isinstance(inner, int | float) and not isinstance(inner, bool):
                return _Literal(-inner if isinstance(node.op, ast.USub) else inner)
        if isinstance(node, ast.Constant):
            if isinstance(node.value, bool | str):
                return _Literal(node.value)
            if isinstance(node.value, int | float) and abs(node.value) <= 1e308:
                return _Literal(node.value)
            if node.value is None:
                raise self.refused(node, "None is no value; write: is missing")
        raise self.refused(node, f"{self._described(node)} is no number, text or true or false")

    def _described(self, node: ast.expr) -> str:
        first, last = self.source.span(node)
        shown = self.source.text[first:last]
        shown = repr(shown if len(shown) <= 40 else f"{shown[:39]}…")
        what = _PARTS.get(type(node))
        return f"{shown} ({what})" if what else shown


def _named(tree: _Node) -> Iterator[str]:
    match tree:
        case _All(parts) | _Any(parts):
            for part in parts:
                yield from _named(part)
        case _Not(part):
            yield from _named(part)
        case _Compared(left, _, right):
            yield from (side.name for side in (left, right) if isinstance(side, _Column))
        case _Among(column) | _Gone(column) | _Flag(column):
            yield column.name


@dataclass(frozen=True, eq=False)
class _Cells:
    """One column: its kind, its values where they are there, and where they are not."""

    name: str
    kind: str
    held: NDArray[Any]
    missing: NDArray[np.bool_]


def _cells(frame: pd.DataFrame, name: str) -> _Cells:
    import pandas as pd

    if name not in frame.columns:
        message = f"no column named {name!r}"
        raise ValueError(message)
    column = frame[name]
    missing = column.isna().to_numpy(dtype=bool)
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        return _Cells(
            name, "true or false" if column.dtype.kind == "b" else "numbers", column.to_numpy(), missing
        )
    if isinstance(column.dtype, np.dtype) and column.dtype.kind == "M":
        values = np.array([str(pd.Timestamp(value)) for value in column], dtype=object)
        return _Cells(name, "text", values, missing)
    values = column.to_numpy(dtype=object)
    there = values[~missing]
    if all(isinstance(value, str) for value in there):
        return _Cells(name, "text", values, missing)
    if all(isinstance(value, bool | np.bool_) for value in there):
        return _Cells(name, "true or false", np.where(missing, False, values).astype(bool), missing)
    message = f"{name!r} holds neither numbers nor text alone"
    raise ValueError(message)


def _holds(tree: _Node, cells: Mapping[str, _Cells], rows: int) -> NDArray[np.bool_]:  # noqa: PLR0911 - a case each
    match tree:
        case _All(parts):
            return _each(np.logical_and, [_holds(part, cells, rows) for part in parts])
        case _Any(parts):
            return _each(np.logical_or, [_holds(part, cells, rows) for part in parts])
        case _Not(part):
            return ~_holds(part, cells, rows)
        case _Gone(column, negated):
            return cells[column.name].missing ^ negated
        case _Flag(column):
            return _flag(cells[column.name])
        case _Among(column, values, negated):
            found = np.zeros(rows, dtype=bool)
            for value in values:
                found |= _compared(column, "==", value, cells, rows)
            return (~found & ~cells[column.name].missing) if negated else found
        case _Compared(left, sign, right):
            return _compared(left, sign, right, cells, rows)


def _each(join: np.ufunc, parts: list[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    return np.asarray(join.reduce(parts), dtype=bool)


def _flag(column: _Cells) -> NDArray[np.bool_]:
    values = column.held
    # Where some are missing, true and false are held as 1.0 and 0.0.
    if column.kind == "text" or not np.isin(values[~column.missing].astype(np.float64), (0.0, 1.0)).all():
        message = f"{column.name!r} is not true or false; compare it with something"
        raise ValueError(message)
    return np.asarray(np.where(column.missing, False, values.astype(np.float64) == 1.0), dtype=bool)


def _compared(
    left: _Column | _Literal, sign: str, right: _Column | _Literal, cells: Mapping[str, _Cells], rows: int
) -> NDArray[np.bool_]:
    kinds = {_kind(left, cells), _kind(right, cells)}
    if "text" in kinds and len(kinds) > 1:
        raise ValueError(_unlike(left, right, cells))
    there = np.ones(rows, dtype=bool)
    for side in (left, right):
        if isinstance(side, _Column):
            there &= ~cells[side.name].missing
    a, b = (
        cells[side.name].held[there] if isinstance(side, _Column) else side.value for side in (left, right)
    )
    found = np.zeros(rows, dtype=bool)
    found[there] = np.asarray(_COMPARE[sign](a, b), dtype=bool)
    return found


def _kind(side: _Column | _Literal, cells: Mapping[str, _Cells]) -> str:
    if isinstance(side, _Column):
        return cells[side.name].kind
    return "text" if isinstance(side.value, str) else "numbers"


def _unlike(left: _Column | _Literal, right: _Column | _Literal, cells: Mapping[str, _Cells]) -> str:
    if isinstance(left, _Column) and isinstance(right, _Column):
        return (
            f"{left.name!r} holds {cells[left.name].kind} and {right.name!r} {cells[right.name].kind}; "
            "they cannot be compared"
        )
    column, literal = (left, right) if isinstance(left, _Column) else (right, left)
    assert isinstance(column, _Column)
    assert isinstance(literal, _Literal)
    if cells[column.name].kind == "text":
        return f"{column.name!r} holds text; write '{literal.value}' in quotes"
    return f"{column.name!r} holds {cells[column.name].kind}, and {literal.value!r} is text"

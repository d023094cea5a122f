"""JSON lines: one object a line, a key for each column; a key that is absent is a missing value."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from xai_audit.loaders.cells import Cells
from xai_audit.loaders.csv import check_names
from xai_audit.loaders.mistakes import shown

if TYPE_CHECKING:
    from xai_audit.loaders.mistakes import Mistakes

_NAMES = {bool: "true or false", int: "a number", float: "a number", str: "text"}


class _RepeatedKeyError(ValueError):
    """A key stands twice in one object."""


def read(data: bytes, path: str, sha256: str, mistakes: Mistakes) -> Cells:
    """The table of a JSON lines file; SpecError names broken lines, nested values and mixed types."""
    import pyarrow as pa

    records, lines = _records(data, path, mistakes)
    if not records and not mistakes.found:
        mistakes.file(path, "the file is empty; at least one line with an object is asked")
    mistakes.check()
    names = list(dict.fromkeys(name for record in records for name in record))
    check_names(names, path, mistakes)
    columns = {}
    for name in names:
        values = [record.get(name) for record in records]
        if _single_typed(values, name, path, lines, mistakes):
            columns[name] = _array(values)
    mistakes.check()
    table: dict[str, Any] = {name: pa.array(*args) for name, args in columns.items()}
    return Cells(path, sha256, table, line=lambda row: lines[row])


def _records(data: bytes, path: str, mistakes: Mistakes) -> tuple[list[dict[str, Any]], list[int]]:
    records, lines = [], []
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not raw.strip():
            continue
        try:
            record = json.loads(raw.decode("utf-8"), object_pairs_hook=_pairs)
        except UnicodeDecodeError as error:
            what = f"byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8"
            mistakes.cell(path, number, None, what, kind="encoding")
        except _RepeatedKeyError as error:
            mistakes.cell(
                path, number, str(error), "this key stands twice in the object; keep one", kind="repeated"
            )
        except json.JSONDecodeError as error:
            what = f"no JSON: {error.msg.lower()}, at character {error.colno} of the line"
            mistakes.cell(path, number, None, what, kind="json")
        except (ValueError, RecursionError) as error:
            mistakes.cell(path, number, None, f"cannot be read: {str(error)[:100]}", kind="json")
        else:
            if not isinstance(record, dict):
                mistakes.cell(path, number, None, "an object {...} is asked on every line", kind="object")
                continue
            records.append(record)
            lines.append(number)
    return records, lines


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for key, value in pairs:
        if key in record:
            raise _RepeatedKeyError(key)
        record[key] = value
    return record


def _single_typed(values: list[Any], name: str, path: str, lines: list[int], mistakes: Mistakes) -> bool:
    first: tuple[int, Any] | None = None
    good = True
    for row, value in enumerate(values):
        if value is None:
            continue
        if type(value) not in _NAMES:
            what = f"a nested value ({shown(json.dumps(value))}); a cell is one number, text, boolean or null"
            mistakes.cell(path, lines[row], name, what, kind="nested")
            good = False
        elif first is None:
            first = (row, value)
        elif _NAMES[type(value)] != _NAMES[type(first[1])]:
            what = (
                f"{json.dumps(value)[:60]} is {_NAMES[type(value)]} in a column that begins with "
                f"{json.dumps(first[1])[:60]} (line {lines[first[0]]}); write one type"
            )
            mistakes.cell(path, lines[row], name, what, kind="mixed")
            good = False
    return good


def _array(values: list[Any]) -> tuple[list[Any], Any]:
    """The values and their Arrow type; integers beyond 64 bits become the nearest float."""
    import pyarrow as pa

    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return values, pa.null()
    if kinds == {bool}:
        return values, pa.bool_()
    if kinds == {str}:
        return [None if value is None else _clean(value) for value in values], pa.string()
    if kinds == {int} and all(value is None or -(2**63) <= value < 2**63 for value in values):
        return values, pa.int64()
    return [None if value is None else _float(value) for value in values], pa.float64()


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _clean(text: str) -> str:
    # JSON can spell half a surrogate pair, which no UTF-8 text holds.
    return text.encode("utf-8", "replace").decode("utf-8")

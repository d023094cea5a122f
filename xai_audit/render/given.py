"""What the model is given where that is no table: pictures or texts, their sizes, and the named sets beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xai_audit.render import findings as told
from xai_audit.render import numbers
from xai_audit.render.shown import Cell, Column, Line, Table
from xai_audit.render.visible import name

if TYPE_CHECKING:
    from xai_audit.audit import Audit

KNOWN = {"sha256", "path", "rows", "clean", "corrupted"}
"""What of a table stands elsewhere, or is told by its own line."""


def given(audit: Audit) -> Table:
    """Test and training data of pictures or texts: how many, and what loading them found out of their sizes."""
    data = audit.subject.get("data") or {}
    tables = (("Test data", data.get("test")), ("Training data", data.get("train")))
    rows = tuple(
        Line(
            cells=(
                Cell(text=label),
                Cell(text=counted(table.get("rows"))),
                Cell(text=name("; ".join(_sizes(table)) or "not recorded", 400)),
            )
        )
        for label, table in tables
        if isinstance(table, dict) and told.modality(audit) != "table"
    )
    what = told.rows(audit, 2)
    return Table(
        caption=f"What the model is given: {what}",
        columns=(
            Column(head="Data"),
            Column(head=what.capitalize(), numeric=True),
            Column(head="Sizes"),
        ),
        rows=rows,
    )


def _sizes(table: dict[str, Any]) -> list[str]:
    """Width, height and channels in one, then whatever else there is, by its key."""
    said = []
    rest = {key: value for key, value in sorted(table.items()) if key not in KNOWN and value is not None}
    if {"width", "height"} <= rest.keys():
        width, height = counted(rest.pop("width")), counted(rest.pop("height"))
        said.append(f"{width} by {height} pixels")
    if "channels" in rest:
        channels = counted(rest.pop("channels"))
        said.append(f"{channels} channel{'' if channels == '1' else 's'}")
    if rest.get("distinct_shapes") == 1:
        rest.pop("distinct_shapes")
    return [*said, *(f"{str(key).replace('_', ' ')}: {counted(value)}" for key, value in rest.items())]


def sets(audit: Audit) -> Table:
    """The named sets beside the data: how many examples each holds, and its digest."""
    found = audit.subject.get("sets")
    known = found if isinstance(found, dict) else {}
    rows = tuple(
        Line(
            cells=(
                Cell(text=name(key, 60)),
                Cell(text=counted(table.get("rows"))),
                Cell(text=numbers.short(table.get("sha256"))),
                Cell(text=_found(table), muted=not (table.get("path") or table.get("where"))),
            )
        )
        for key, table in sorted(known.items())
        if isinstance(table, dict)
    )
    return Table(
        caption="Named sets of examples beside the data",
        columns=(
            Column(head="Set"),
            Column(head="Examples", numeric=True),
            Column(head="Digest"),
            Column(head="From"),
        ),
        rows=rows,
    )


def _found(table: dict[str, Any]) -> str:
    """Where a set's examples are: their path, and the condition that picks them."""
    path, where = table.get("path"), table.get("where")
    said = [name(path, 100)] if path else []
    return "; ".join([*said, *([f"where {name(where, 100)}"] if where else [])]) or "–"


def counted(value: Any) -> str:
    """A value on one line: numbers with commas, ranges as ``12 to 640``, mappings as ``min 12, max 640``."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "not recorded"}[value]
    if isinstance(value, int | float):
        return numbers.plain(value, 0 if float(value).is_integer() else 2)
    if isinstance(value, dict):
        return _mapping(value)
    if isinstance(value, (list, tuple)):
        sized = len(value) in (2, 3) and all(type(one) is int for one in value)
        return (" × " if sized else ", ").join(counted(one) for one in value)
    return str(value)


def _mapping(value: dict[str, Any]) -> str:
    """A range, quantiles by their shares, or each key with its value."""
    if value.keys() == {"min", "max"}:
        low, high = counted(value["min"]), counted(value["max"])
        return low if low == high else f"{low} to {high}"
    if value and all(str(key).endswith("%") for key in value):
        at = numbers.joined(f"{str(key)[:-1]}{numbers.NBSP}%" for key in value)
        return f"{numbers.joined(map(counted, value.values()))} at {at} of them"
    return ", ".join(f"{str(key).replace('_', ' ')} {counted(inner)}" for key, inner in value.items())

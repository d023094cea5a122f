"""The section ``data`` of a spec: tables there, columns named once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from xai_audit.loaders import tables
from xai_audit.reading import files
from xai_audit.reading.fit import UNAVAILABLE, fit, meant
from xai_audit.source import shown
from xai_audit.spec import Data

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from xai_audit.errors import Mistake
    from xai_audit.source import Node

_LATER_TABLE = ("column", "sql", "query")


def data(node: Node, folder: Path, mistakes: list[Mistake]) -> Data | None:
    """The section ``data``."""
    later = [f"data.{table}.{key}" for table in ("train", "test") for key in _LATER_TABLE]
    fitted = fit(node, Data, mistakes, where="data", unavailable=("sets", "images", "text", *later))
    for table in ("train", "test"):
        path = node.get(table, "path")
        if path is not None:
            mistakes.extend(_table(path, node.text(table, "format"), folder, f"data.{table}.path"))
    mistakes.extend(_sensitive(node, folder))
    mistakes.extend(_columns(node))
    return fitted


def _table(path: Node, kind: str | None, folder: Path, where: str) -> Iterator[Mistake]:
    if path.kind in ("mapping", "list"):
        return
    if path.raw.startswith("sklearn:"):
        if not re.fullmatch(r"sklearn:\w+", path.raw):
            yield path.place.mistake(f"{where}: sklearn:NAME is asked, for instance sklearn:diabetes")
        return
    if kind == "sklearn":
        yield path.place.mistake(f"{where}: format sklearn is asked as sklearn:NAME")
        return
    if any(sign in path.raw for sign in "*?") and not _there(folder, path.raw):
        yield path.place.mistake(f"{where}: several files by a pattern: {UNAVAILABLE}")
        return
    if tables.format_of(path.raw, kind) is None:
        known = ", ".join(tables.SUFFIXES)
        yield path.place.mistake(
            f"{where}: no format follows from {shown(path.raw)}; add format: or use one of {known}"
        )
        return
    yield from files.check(path, folder, where)


def _there(folder: Path, path: str) -> bool:
    try:
        return (folder / path).exists()
    except (OSError, ValueError):
        return False


def sensitive_names(node: Node | None) -> list[tuple[str, Node]]:
    """The sensitive columns a section ``data`` names, each with its place."""
    found = []
    listed_ = node.get("sensitive") if node is not None else None
    for entry in listed_.items() if listed_ is not None else ():
        place = entry if entry.kind not in ("mapping", "list", "null") else entry.get("column")
        if place is not None and place.kind not in ("mapping", "list"):
            found.append((place.raw, place))
    return found


def _sensitive(node: Node, folder: Path) -> Iterator[Mistake]:
    seen: set[str] = set()
    roles = {node.text(role): role for role in ("target", "id", "cluster", "weight") if node.text(role)}
    for name, place in sensitive_names(node):
        if name in seen:
            yield place.place.mistake(f"data.sensitive: {shown(name)} stands here twice")
        seen.add(name)
        if name in roles:
            yield place.place.mistake(
                f"data.sensitive: {shown(name)} is the {roles[name]} as well; a column is one of them"
            )
    entries = node.get("sensitive")
    for entry in entries.items() if entries is not None else ():
        if entry.kind != "mapping":
            continue
        bins = entry.get("bins")
        if bins is not None and bins.kind == "list":
            edges = [edge.value for edge in bins.value if edge.kind == "number"]
            if not bins.value:
                yield bins.place.mistake("data.sensitive.bins: is empty")
            elif edges != sorted(set(edges)):
                yield bins.place.mistake(
                    "data.sensitive.bins: the limits rise, each once, for instance [30, 50]"
                )
        file, key = entry.get("file"), entry.get("key")
        if (file is None) != (key is None):
            there, other = ("file", "key") if key is None else ("key", "file")
            yield entry.place.mistake(
                f"data.sensitive: {there!r} goes with {other!r}, the column both files share"
            )
        if file is not None:
            yield from _table(file, None, folder, "data.sensitive.file")


def _columns(node: Node) -> Iterator[Mistake]:
    named: dict[str, list[str]] = {}
    for key in ("features", "categorical"):
        child = node.get(key)
        names = (
            []
            if child is None
            else [entry for entry in child.items() if entry.kind not in ("mapping", "list")]
        )
        named[key] = [entry.raw for entry in names]
        for index, entry in enumerate(names):
            if entry.raw in named[key][:index]:
                yield entry.place.mistake(f"data.{key}: {shown(entry.raw)} stands here twice")
        if child is not None and child.kind == "list" and not child.value and key == "features":
            yield child.place.mistake("data.features: is empty; leave it out to use every other column")
        if key == "categorical" and named["features"]:
            for entry in names:
                if entry.raw not in named["features"]:
                    hint = meant(entry.raw, named["features"])
                    yield entry.place.mistake(
                        f"data.categorical: {shown(entry.raw)} is not among the features{hint}"
                    )
    roles: dict[str, str] = {}
    for role in ("target", "cluster", "weight", "id"):
        child = node.get(role)
        if child is None or child.kind in ("mapping", "list"):
            continue
        if child.raw in roles and {role, roles[child.raw]} != {"id", "cluster"}:
            yield child.place.mistake(f"data.{role}: {shown(child.raw)} is the {roles[child.raw]} as well")
        roles.setdefault(child.raw, role)

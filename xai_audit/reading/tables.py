"""The section ``data`` of a spec: tables, folders and sets there, columns named once, conditions that can be read."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING

from xai_audit import predicate
from xai_audit.loaders import images, tables
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
_LATER_SET = ("column", "sql", "query")


def data(node: Node, folder: Path, mistakes: list[Mistake]) -> Data | None:
    """The section ``data``."""
    later = [f"data.{table}.{key}" for table in ("train", "test") for key in _LATER_TABLE]
    sets = node.get("sets")
    names = sets.value if sets is not None and sets.kind == "mapping" else {}
    later += [f"data.sets.{name}.{key}" for name in names for key in _LATER_SET]
    fitted = fit(node, Data, mistakes, where="data", unavailable=later)
    for table in ("train", "test"):
        mistakes.extend(_file(node.get(table), folder, f"data.{table}"))
    for name, named in names.items():
        mistakes.extend(_file(named, folder, f"data.sets.{name}"))
        mistakes.extend(_where(named, f"data.sets.{name}.where"))
        mistakes.extend(_pairs(named, f"data.sets.{name}"))
    mistakes.extend(_sensitive(node, folder))
    mistakes.extend(_columns(node))
    if fitted is None or fitted.target is not None or fitted.test.labels is not None:
        return fitted
    # Pictures in a folder for each class, and no labels beside them: the class is what is predicted.
    test = fitted.test.path
    by_folder = tables.is_folder(test, folder / test) and images.has_classes(folder / test)
    return fitted.model_copy(update={"target": images.CLASS}) if by_folder else fitted


def _file(node: Node | None, folder: Path, where: str) -> Iterator[Mistake]:
    """What is wrong with the files that a table or a set names, and with the keys that go with none of them."""
    path = node.get("path") if node is not None else None
    if node is None or path is None:
        return
    yield from _table(path, node.text("format"), folder, f"{where}.path")
    labels, text = node.get("labels"), node.get("text")
    pictures = path.kind == "text" and (
        tables.is_folder(path.raw, folder / path.raw) or node.text("format") == "images"
    )
    if labels is not None and (pictures or tables.format_of(path.raw, node.text("format")) == "npz"):
        yield from _table(labels, None, folder, f"{where}.labels")
    elif labels is not None:
        what = f"stand beside pictures, and {shown(path.raw)} is no folder; a table holds its own columns"
        yield labels.place.mistake(f"{where}.labels: {what}")
    if text is not None and pictures:
        yield text.place.mistake(
            f"{where}.text: {shown(path.raw)} is a folder of pictures and has no column of text"
        )


def _pairs(node: Node, where: str) -> Iterator[Mistake]:
    """What is wrong with the keys of a set of prompts among each other."""
    sides = [node.get(key) if node.kind == "mapping" else None for key in ("clean", "corrupted")]
    if sides[0] is not None and sides[1] is not None:
        if sides[0].raw == sides[1].raw:
            yield sides[1].place.mistake(
                f"{where}.corrupted: {shown(sides[1].raw)} is the clean side as well"
            )
        text = node.get("text")
        if text is not None:
            yield text.place.mistake(
                f"{where}.text: clean and corrupted name the texts of a prompt; take text out"
            )
        return
    for own, other in (("clean", "corrupted"), ("corrupted", "clean")):
        named = node.get(own) if node.kind == "mapping" else None
        if named is not None:
            yield named.place.mistake(
                f"{where}.{own}: prompts are pairs; {other} names the other side and is missing"
            )
    if sides[0] is None and sides[1] is None and node.kind == "mapping":
        for key in ("answer", "foil", "template"):
            named = node.get(key)
            if named is not None:
                yield named.place.mistake(
                    f"{where}.{key}: stands with prompts, whose sides clean and corrupted name"
                )


def _where(node: Node, where: str) -> Iterator[Mistake]:
    text = node.get("where") if node.kind == "mapping" else None
    if text is None or text.kind in ("mapping", "list", "null"):
        return
    try:
        predicate.parse(text.raw)
    except ValueError as error:
        yield text.place.mistake(f"{where}: {error}")


def _table(path: Node, kind: str | None, folder: Path, where: str) -> Iterator[Mistake]:
    if path.kind in ("mapping", "list"):
        return
    there, packed = _there(folder, path.raw), path.raw.lower().endswith((".zip", ".tar", ".tgz", ".tar.gz"))
    if path.raw.startswith("sklearn:"):
        if not re.fullmatch(r"sklearn:\w+", path.raw):
            yield path.place.mistake(f"{where}: sklearn:NAME is asked, for instance sklearn:diabetes")
    elif kind == "sklearn":
        yield path.place.mistake(f"{where}: format sklearn is asked as sklearn:NAME")
    elif any(sign in path.raw for sign in "*?") and not there:
        yield path.place.mistake(f"{where}: several files by a pattern: {UNAVAILABLE}")
    elif tables.is_folder(path.raw, folder / path.raw):
        # Pictures alone come as a folder: not the labels beside them, nor groups in a file.
        if kind not in (None, "images") or not where.endswith(".path"):
            yield path.place.mistake(f"{where}: {shown(path.raw)} is a folder; a file is asked", missing=True)
    elif packed:
        what = f"an archive of files: {UNAVAILABLE}; unpack it and name the folder"
        yield path.place.mistake(f"{where}: {what}")
    elif not there and (kind == "images" or (kind is None and not PurePath(path.raw).suffix)):
        yield path.place.mistake(f"{where}: no such file or folder: {shown(path.raw)}", missing=True)
    elif kind == "images":
        what = f"{shown(path.raw)} is a file; a folder of pictures is asked (an npz of them needs no format)"
        yield path.place.mistake(f"{where}: {what}")
    elif tables.format_of(path.raw, kind) is None:
        known = ", ".join(tables.SUFFIXES)
        yield path.place.mistake(
            f"{where}: no format follows from {shown(path.raw)}; add format: or use one of {known}"
        )
    else:
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

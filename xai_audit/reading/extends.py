"""A spec on top of another: ``extends`` followed to its end, keys of the later file winning."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from xai_audit.source import Node, read, shown

if TYPE_CHECKING:
    from xai_audit.errors import Mistake


def extended(path: Path, mistakes: list[Mistake]) -> Node | None:
    """A file's document on top of what it extends, paths in it relative to the file's own folder."""
    return _extended(path, mistakes, path.parent, ())


def _extended(path: Path, mistakes: list[Mistake], folder: Path, chain: tuple[Path, ...]) -> Node | None:
    root, _ = read(path, mistakes)
    if root is None or root.kind != "mapping":
        if root is not None and chain:
            mistakes.append(root.place.mistake("a spec is keys and values"))
        return root
    if path.parent != folder:
        root = _moved(root, os.path.relpath(path.parent, folder or "."))
    extends = root.get("extends")
    if extends is None:
        return root
    chain = (*chain, path.resolve())
    problem = _problem(extends, path, chain)
    if problem is not None:
        mistakes.append(problem)
        return root
    under = _extended(path.parent / extends.raw, mistakes, folder, chain)
    return root if under is None or under.kind != "mapping" else _merged(under, root)


def _problem(extends: Node, path: Path, chain: tuple[Path, ...]) -> Mistake | None:
    """Why what is extended cannot be read."""
    if extends.kind in ("mapping", "list"):
        return extends.place.mistake("extends: one path is asked")
    try:
        base = (path.parent / extends.raw).resolve()
        if base in chain:
            return extends.place.mistake(
                f"extends: {shown(extends.raw)} leads back to where it began: a loop"
            )
        if not base.exists():
            return extends.place.mistake(f"extends: no such file: {shown(extends.raw)}", missing=True)
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return extends.place.mistake(f"extends: {shown(extends.raw)} cannot be a file: {reason}")
    return extends.place.mistake("extends: more than 20 files in a row") if len(chain) > 20 else None


def _merged(under: Node, over: Node) -> Node:
    """Keys of ``over`` win; mappings are merged, anything else is replaced."""
    values, keys = dict(under.value), dict(under.keys)
    for key, child in over.value.items():
        below = values.get(key)
        both = below is not None and below.kind == child.kind == "mapping"
        values[key] = _merged(below, child) if both and below is not None else child
        keys[key] = over.keys[key]
    return Node("mapping", over.place, values, keys=keys)


_PATHS = (
    ("model", "path"),
    ("model", "entry"),
    ("model", "preprocess", "tokenizer"),
    ("model", "checkpoints"),
    ("model", "checkpoints", "*"),
    ("data", "train", "path"),
    ("data", "test", "path"),
    ("data", "train", "labels"),
    ("data", "test", "labels"),
    ("data", "sets", "*", "path"),
    ("data", "sets", "*", "labels"),
    ("data", "sensitive", "*", "file"),
    ("explainers", "*", "circuit_discovery", "dictionaries", "folders", "*"),
    ("explainers", "*", "circuit_discovery", "dictionaries", "folders", "*", "path"),
    ("policies", "*"),
    ("run", "log"),
)
"""Where a spec holds a path."""
_NAMES = (("model", "entry"), ("policies", "*"))
"""Where it may hold a name instead."""


def _moved(root: Node, step: str) -> Node:
    """The same document with its relative paths as seen from the folder of the spec that extends it."""
    for path in _PATHS:
        root = _changed(root, path, step, named=path in _NAMES)
    return root


def _changed(node: Node, path: tuple[str, ...], step: str, *, named: bool) -> Node:
    if not path:
        return _seen(node, step, named=named)
    key, *more = path
    rest = tuple(more)
    if key == "*" and node.kind == "list":
        return replace(node, value=tuple(_changed(child, rest, step, named=named) for child in node.value))
    if node.kind != "mapping":
        return node
    keys = [*node.value] if key == "*" else [key] if key in node.value else []
    found = {one: _changed(node.value[one], rest, step, named=named) for one in keys}
    return replace(node, value={**node.value, **found})


def _seen(node: Node, step: str, *, named: bool) -> Node:
    if node.kind != "text" or not node.raw or Path(node.raw).is_absolute():
        return node
    file = re.sub(r":\w+$", "", node.raw)
    # A shipped policy, a table of scikit-learn and an installed module are names, not paths; a folder has no suffix.
    if (named and not Path(file).suffix) or file.startswith("sklearn:"):
        return node
    if ":" in node.raw and not file.endswith(".py"):
        return node
    moved = Path(step, node.raw).as_posix()
    return replace(node, value=moved, raw=moved)

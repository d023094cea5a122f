"""Models that are no file, and what lies beside one: what can be told unopened.

MLflow folders, servers behind a URL, patterns of checkpoints, folders of dictionaries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xai_audit.errors import MethodError, UnavailableError
from xai_audit.loaders import dictionaries, mlflow, posting
from xai_audit.mechanistic.dynamics.checkpoints import SUFFIX, matching, numbered
from xai_audit.source import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from xai_audit.errors import Mistake
    from xai_audit.source import Node, Place
    from xai_audit.spec import Model

_OF_HTTP = ("url", "headers", "batch", "timeout", "concurrency")


def server(node: Node, fitted: Model | None) -> Iterator[Mistake]:
    """What is wrong with the address, the headers and the variables of format http; nothing is sent."""
    for key, what in () if fitted is None else posting.faults(fitted):
        steps = key.split(".", 2)[1:]
        yield _place(node, steps).mistake(f"{key}: {what}")


def other(node: Node, kind: str | None) -> Iterator[Mistake]:
    """Keys of format http under a model of another format."""
    for key in _OF_HTTP:
        if node.get(key) is not None:
            what = f"model.{key}: belongs to format http; this is {shown(kind) if kind else 'a file'}"
            yield node.keys[key].mistake(what)


def checkpoints(node: Node, root: Path) -> Iterator[Mistake]:
    """What is wrong with patterns of checkpoints: no file of that name, a file without number, numbers twice."""
    asked = node.get("checkpoints")
    if asked is None or asked.kind == "list":
        return
    path = node.text("path")
    if node.get("entry") is None and path is not None and not path.lower().endswith(SUFFIX):
        # Weights without an entry are told as such already.
        what = "model.checkpoints: weights alone build no network; add entry: net.py:build, which builds it"
        yield node.keys["checkpoints"].mistake(what)
        return
    patterns = asked.value.items() if asked.kind == "mapping" else [("", asked)]
    for name, pattern in patterns:
        if pattern.kind in ("mapping", "list"):
            continue  # told as no text
        key = f"model.checkpoints.{name}" if name else "model.checkpoints"
        try:
            found = matching(root, pattern.raw)
        except MethodError as error:
            yield pattern.place.mistake(f"{key}: {error}")
            continue
        if not found:
            yield pattern.place.mistake(f"{key}: no file matches {shown(pattern.raw)}", missing=True)
            continue
        try:
            numbered(found)
        except MethodError as error:
            yield pattern.place.mistake(f"{key}: {error}")


def latents(root: Node, folder: Path) -> Iterator[Mistake]:
    """What is wrong with folders of dictionaries that circuits name, as far as it shows without the network."""
    section = root.get("explainers")
    for entry in section.items() if section is not None else ():
        named = entry.get("circuit_discovery", "dictionaries", "folders") if entry.kind == "mapping" else None
        for site, given in named.value.items() if named is not None and named.kind == "mapping" else ():
            node = given.get("path") if given.kind == "mapping" else given
            if node is None or node.kind in ("mapping", "list", "null"):
                continue  # told as no path
            key = f"circuit_discovery.dictionaries.folders.{site}"
            try:
                dictionaries.look(folder / node.raw)
            except UnavailableError as error:
                yield node.place.mistake(f"{key}: {error}", missing=True)
            except (MethodError, ValueError) as error:
                yield node.place.mistake(f"{key}: {error}")
            except OSError as error:
                what = f"{shown(node.raw)} cannot be read: {error.strerror or error}"
                yield node.place.mistake(f"{key}: {what}", missing=True)


def folder(node: Node, root: Path) -> Iterator[Mistake]:
    """What is wrong with an MLflow model folder, and the trust and digest that its flavor asks for."""
    path = node.get("path")
    if path is None:
        yield node.place.mistake("model: the key 'path' is missing; format 'mlflow' is a folder")
        return
    place = root / path.raw
    try:
        if not place.is_dir():
            what = "is a file; a folder is asked" if place.exists() else "there is no such folder"
            yield path.place.mistake(f"model.path: {shown(path.raw)}: {what}", missing=True)
            return
        inside = mlflow.found(mlflow.read(place), place)
    except mlflow.UnreadableError as error:
        yield path.place.mistake(f"model.path: {shown(path.raw)}: {error}")
        return
    except FileNotFoundError:
        what = f"model.path: {shown(path.raw)} holds no {mlflow.FILE}"
        yield path.place.mistake(what, missing=True)
        return
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        yield path.place.mistake(f"model.path: {shown(path.raw)} cannot be read: {reason}", missing=True)
        return
    trust = node.get("trust")
    trusted = trust is not None and trust.value is True
    if mlflow.carries_code(inside) and not (trusted and node.get("sha256") is not None):
        what = mlflow.untrusted(path.raw, inside, mlflow.digest_of(place), trust=trusted)
        yield (node.place if trust is None else trust.place).mistake(f"model: {what}")


def _place(node: Node, steps: list[str]) -> Place:
    """The place of a key, or of the nearest above it that is written."""
    place = node.place
    for step in steps:
        if node.kind != "mapping" or step not in node.keys:
            return place
        place, node = node.keys[step], node.value[step]
    return place

"""The section ``model`` of a spec: files there, code trusted, formats that fit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from xai_audit import digest
from xai_audit.loaders import MODELS, folder_format
from xai_audit.reading import elsewhere, files
from xai_audit.reading.fit import fit, listed, meant
from xai_audit.source import shown
from xai_audit.spec import Model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from xai_audit.errors import Mistake
    from xai_audit.source import Node

SUFFIXES = {suffix: item.id for item in MODELS.values() for suffix in item.suffixes}
"""Model formats by the suffix of the file."""

CODE = tuple(item.id for item in MODELS.values() if item.code)
"""Formats that run code when they are opened."""

KEYS = {
    "preprocess": ("torch", "transformers", "onnx"),
    "outputs": ("torch", "transformers", "onnx"),
    "device": ("torch", "transformers"),
    "checkpoints": ("torch",),
}
"""Keys that only some formats have."""


def format_of(model: Node, folder: Path) -> str | None:
    """The model's format: as written, else by the suffix of its file, else by what is in its folder."""
    written, path = model.text("format"), model.text("path")
    if written is not None:
        return written
    suffix = "" if path is None else Path(path).suffix.lower()
    if model.get("entry") is not None:
        # Weights are a path beside the entry that builds what they belong to.
        return "torch" if SUFFIXES.get(suffix) == "torch" else "python"
    if path is None and model.get("url") is not None:
        return "http"
    if path is None:
        columns = model.get("score") is not None or model.get("prediction") is not None
        return "predictions" if columns else None
    # module.py:function is a path as well.
    found = SUFFIXES.get(Path(re.sub(r"\.py:\w*$", ".py", path)).suffix.lower())
    try:
        return found or folder_format(folder / path)
    except (OSError, ValueError):
        return None  # no path at all, as is told elsewhere


def model(node: Node, folder: Path, mistakes: list[Mistake]) -> Model | None:
    """The section ``model``."""
    if node.kind != "mapping":
        return fit(node, Model, mistakes, where="model")
    fitted = fit(node, Model, mistakes, where="model")
    kind = format_of(node, folder)
    if kind is None:
        mistakes.append(_no_format(node))
    elif kind == "http":
        mistakes.extend(elsewhere.server(node, fitted))
    else:
        mistakes.extend(PLACES.get(kind, _file)(node, folder))
    if kind in CODE:
        mistakes.extend(_untrusted(node, folder, str(kind)))
    mistakes.extend(_strange(node, kind))
    if kind == "torch":
        mistakes.extend(elsewhere.checkpoints(node, folder))
    tokenizer = node.get("preprocess", "tokenizer")
    if tokenizer is not None:
        mistakes.extend(files.check(tokenizer, folder, "model.preprocess.tokenizer"))
    mistakes.extend(_outcomes(node))
    return fitted if fitted is None or fitted.format else fitted.model_copy(update={"format": kind})


def _file(node: Node, folder: Path) -> Iterator[Mistake]:
    path = node.get("path")
    if path is None:
        kind = shown(str(format_of(node, folder)))
        yield node.place.mistake(f"model: the key 'path' is missing; format {kind} is a file")
    else:
        yield from files.check(path, folder, "model.path")


def _no_format(node: Node) -> Mistake:
    path = node.get("path")
    if path is None:
        what = "model: the key 'path' is missing (or format: predictions, for decisions without a model)"
        return node.place.mistake(what)
    suffixes = ", ".join(SUFFIXES)
    what = f"model.path: no format follows from {shown(path.raw)}; add format: or use one of {suffixes}"
    return path.place.mistake(what)


def _predictions(node: Node, _: Path) -> Iterator[Mistake]:
    path = node.get("path")
    if path is not None:
        yield path.place.mistake(
            "model.path: format predictions has no model file; the columns are in data.test"
        )
    if node.get("score") is None and node.get("prediction") is None:
        yield node.place.mistake(
            "model: format predictions names a column of data.test as 'score' or 'prediction'"
        )


def _python(node: Node, folder: Path) -> Iterator[Mistake]:
    key = "entry" if node.get("entry") is not None else "path"
    entry = node.get(key)
    if entry is None:
        yield node.place.mistake("model: the key 'entry' is missing; format python names module.py:function")
        return
    yield from _entry(entry, folder, f"model.{key}")


def _entry(entry: Node, folder: Path, where: str) -> Iterator[Mistake]:
    file, colon, function = entry.raw.rpartition(":")
    if not colon or not function.isidentifier() or not file:
        yield entry.place.mistake(f"{where}: module.py:function is asked, not {shown(entry.raw)}")
    elif file.endswith(".py"):
        yield from files.check(entry, folder, where, file)
    elif not all(part.isidentifier() for part in file.split(".")):
        yield entry.place.mistake(f"{where}: {shown(file)} is neither a .py file nor a module")


def _torch(node: Node, folder: Path) -> Iterator[Mistake]:
    path, entry = node.get("path"), node.get("entry")
    if path is None and entry is None:
        what = (
            "model: format torch asks for a path, or an entry that builds the network as module.py:function"
        )
        yield node.place.mistake(what)
    if path is not None:
        yield from files.check(path, folder, "model.path")
        if entry is None and path.raw.lower().endswith(".safetensors"):
            what = f"model.path: {shown(path.raw)} holds weights and no network; add entry: net.py:build, which builds it"
            yield path.place.mistake(what)
    if entry is not None:
        yield from _entry(entry, folder, "model.entry")


def _transformers(node: Node, folder: Path) -> Iterator[Mistake]:
    path = node.get("path")
    if path is None:
        yield node.place.mistake("model: the key 'path' is missing; format 'transformers' is a folder")
    elif path.kind not in ("mapping", "list") and not (folder / path.raw).is_dir():
        there = (folder / path.raw).exists()
        what = (
            f"{shown(path.raw)} is a file; a folder is asked"
            if there
            else f"no such folder: {shown(path.raw)}"
        )
        yield path.place.mistake(f"model.path: {what}", missing=True)


PLACES: Mapping[str, Callable[[Node, Path], Iterator[Mistake]]] = {
    "predictions": _predictions,
    "python": _python,
    "torch": _torch,
    "transformers": _transformers,
    "mlflow": elsewhere.folder,
}
"""What is wrong with where a model is, for formats that are not one file."""


def _strange(node: Node, kind: str | None) -> Iterator[Mistake]:
    """Keys of other formats than this."""
    this = shown(kind) if kind else "a file"
    if kind != "http":
        yield from elsewhere.other(node, kind)
    for key in ("score", "prediction") if kind != "predictions" else ():
        if (child := node.get(key)) is not None:
            yield child.place.mistake(f"model.{key}: names a column of format predictions; this is {this}")
    for key, kinds in KEYS.items():
        if node.get(key) is not None and kind is not None and kind not in kinds:
            what = f"model.{key}: belongs to format {listed(kinds)}; this is {this}"
            yield node.keys[key].mistake(what)
    if node.get("entry") is not None and kind is not None and kind not in ("python", "torch"):
        what = f"model.entry: names code of format python or torch; this is {this}"
        yield node.keys["entry"].mistake(what)


def _untrusted(node: Node, folder: Path, kind: str) -> Iterator[Mistake]:
    """Code runs only where a person wrote that it may, and which bytes."""
    trust = node.get("trust")
    if trust is not None and trust.kind != "boolean":
        return  # told as no boolean
    trusted = trust is not None and trust.value is True
    if trusted and node.get("sha256") is not None:
        return
    known = _digest(folder, _sources(node, kind))
    lines = [] if trusted else ["trust: true"]
    if node.get("sha256") is None:
        lines.append(f"sha256: {known or '<the sha256 of the file>'}")
    place = node.place if trust is None else trust.place
    what = (
        f"model: format {kind} runs code when it is opened; if you know where the file comes from, write "
        f"{' and '.join(f'`{line}`' for line in lines)} under model"
    )
    yield place.mistake(what)


def _sources(node: Node, kind: str) -> list[str]:
    """The files whose bytes run, weights before the code that builds what they belong to."""
    path, entry = node.text("path"), (node.text("entry") or "").rpartition(":")[0]
    if kind == "torch":
        return [source for source in (path, entry) if source]
    if kind == "python":
        return [entry or (path or "").rpartition(":")[0]]
    return [path] if path else []


def _digest(folder: Path, sources: list[str]) -> str | None:
    """The sha256 of one file, or the root of several; None where one is not there."""
    try:
        found = [digest.of_file(folder / source) for source in sources if (folder / source).is_file()]
    except (OSError, ValueError):
        return None
    if not sources or len(found) < len(sources):
        return None
    return found[0] if len(found) == 1 else digest.root(found)


def _outcomes(node: Node) -> Iterator[Mistake]:
    if node.text("task") == "regression":
        for key in ("positive", "favourable", "threshold", "classes", "outputs"):
            if (child := node.get(key)) is not None:
                yield child.place.mistake(f"model.{key}: a regression has no classes; remove it")
    classes = node.get("classes")
    if classes is None or classes.kind != "list":
        return
    labels = [child.raw for child in classes.value]
    for key in ("positive", "favourable"):
        child = node.get(key)
        if child is not None and child.raw not in labels:
            yield child.place.mistake(
                f"model.{key}: {shown(child.raw)} is not among the classes{meant(child.raw, labels)}"
            )

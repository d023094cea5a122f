"""The section ``model`` of a spec: files there, code trusted, formats that fit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from xai_audit import digest
from xai_audit.loaders import MODELS
from xai_audit.reading import files
from xai_audit.reading.fit import UNAVAILABLE, fit, meant
from xai_audit.source import shown
from xai_audit.spec import Model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xai_audit.errors import Mistake
    from xai_audit.source import Node

SUFFIXES = {suffix: item.id for item in MODELS.values() for suffix in item.suffixes}
"""Model formats by the suffix of the file."""

FORMATS_LATER = ("torch", "transformers", "mlflow", "http")
SUFFIXES_LATER = {".pt": "torch", ".pth": "torch", ".safetensors": "torch"}

CODE = tuple(item.id for item in MODELS.values() if item.code)
"""Formats that run code when they are opened."""

_LATER_MODEL = ("checkpoints",)


def format_of(model: Node) -> str | None:
    """The model's format: as written, else by the suffix of its file."""
    written, path = model.text("format"), model.text("path")
    if written is not None:
        return written
    if model.get("entry") is not None:
        return "python"
    if path is None:
        columns = model.get("score") is not None or model.get("prediction") is not None
        return "predictions" if columns else None
    # module.py:function is a path as well.
    return SUFFIXES.get(Path(re.sub(r"\.py:\w*$", ".py", path)).suffix.lower())


def model(node: Node, folder: Path, mistakes: list[Mistake]) -> Model | None:
    """The section ``model``."""
    if node.kind != "mapping":
        return fit(node, Model, mistakes, where="model")
    written = node.get("format")
    if written is not None and written.raw in FORMATS_LATER:
        mistakes.append(written.place.mistake(f"model.format: {written.raw}: {UNAVAILABLE}"))
        return None
    fitted = fit(node, Model, mistakes, where="model", unavailable=_LATER_MODEL)
    path = node.get("path")
    kind = format_of(node)
    if kind is None:
        mistakes.append(_no_format(node))
    elif kind == "predictions":
        mistakes.extend(_predictions(node))
    elif kind == "python":
        mistakes.extend(_python(node, folder))
    elif path is None:
        mistakes.append(
            node.place.mistake(f"model: the key 'path' is missing; format {shown(kind)} is a file")
        )
    else:
        mistakes.extend(files.check(path, folder, "model.path"))
    if kind in CODE:
        mistakes.extend(_untrusted(node, folder, str(kind)))
    if kind != "predictions":
        mistakes.extend(
            child.place.mistake(
                f"model.{key}: names a column of format predictions; this is {shown(kind) if kind else 'a file'}"
            )
            for key in ("score", "prediction")
            if (child := node.get(key)) is not None
        )
    mistakes.extend(_outcomes(node))
    return fitted if fitted is None or fitted.format else fitted.model_copy(update={"format": kind})


def _no_format(node: Node) -> Mistake:
    path = node.get("path")
    if path is None:
        what = "model: the key 'path' is missing (or format: predictions, for decisions without a model)"
        return node.place.mistake(what)
    later = SUFFIXES_LATER.get(Path(path.raw).suffix.lower())
    if later is not None:
        return path.place.mistake(f"model.path: {shown(path.raw)} is of format {later}: {UNAVAILABLE}")
    suffixes = ", ".join(SUFFIXES)
    what = f"model.path: no format follows from {shown(path.raw)}; add format: or use one of {suffixes}"
    return path.place.mistake(what)


def _predictions(node: Node) -> Iterator[Mistake]:
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
    file, colon, function = entry.raw.rpartition(":")
    if not colon or not function.isidentifier() or not file:
        yield entry.place.mistake(f"model.{key}: module.py:function is asked, not {shown(entry.raw)}")
    elif file.endswith(".py"):
        yield from files.check(entry, folder, f"model.{key}", file)
    elif not all(part.isidentifier() for part in file.split(".")):
        yield entry.place.mistake(f"model.{key}: {shown(file)} is neither a .py file nor a module")


def _untrusted(node: Node, folder: Path, kind: str) -> Iterator[Mistake]:
    """Code runs only where a person wrote that it may, and which bytes."""
    trust = node.get("trust")
    if trust is not None and trust.kind != "boolean":
        return  # told as no boolean
    trusted = trust is not None and trust.value is True
    if trusted and node.get("sha256") is not None:
        return
    source = node.text("path")
    if kind == "python":
        source = (node.text("entry") or source or "").rpartition(":")[0]
    known = _digest(folder, source)
    lines = [] if trusted else ["trust: true"]
    if node.get("sha256") is None:
        lines.append(f"sha256: {known or '<the sha256 of the file>'}")
    place = node.place if trust is None else trust.place
    what = (
        f"model: format {kind} runs code when it is opened; if you know where the file comes from, write "
        f"{' and '.join(f'`{line}`' for line in lines)} under model"
    )
    yield place.mistake(what)


def _digest(folder: Path, source: str | None) -> str | None:
    try:
        return digest.of_file(folder / source) if source and (folder / source).is_file() else None
    except (OSError, ValueError):
        return None


def _outcomes(node: Node) -> Iterator[Mistake]:
    if node.text("task") == "regression":
        for key in ("positive", "favourable", "threshold", "classes"):
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

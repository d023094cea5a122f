"""What a spec's parts must be to one another: files there, code trusted, columns named once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from xai_audit import catalog, digest
from xai_audit.loaders import MODELS, tables
from xai_audit.reading.fit import UNAVAILABLE, fit, meant
from xai_audit.reading.said import placeholder
from xai_audit.source import shown
from xai_audit.spec import Data, Model, ReportOptions, RunOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xai_audit.errors import Mistake
    from xai_audit.source import Node
    from xai_audit.spec import Use

SUFFIXES = {suffix: item.id for item in MODELS.values() for suffix in item.suffixes}
"""Model formats by the suffix of the file."""

FORMATS_LATER = ("catboost", "torch", "transformers", "mlflow", "http")
SUFFIXES_LATER = {".cbm": "catboost", ".pt": "torch", ".pth": "torch", ".safetensors": "torch"}

REPORTS = ("html", "pdf")
BACKENDS_LATER = ("dask", "ray")
"""Where workers may run in a later version."""

REPORTS_LATER = ("sarif", "junit", "github", "gitlab", "json", "card", "letter", "docx", "oscal")

CODE = tuple(item.id for item in MODELS.values() if item.code)
"""Formats that run code when they are opened."""

_LATER_MODEL = ("url", "headers", "batch", "timeout", "concurrency", "preprocess", "checkpoints")
_LATER_TABLE = ("labels", "column", "sql", "query", "images", "text")


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
        mistakes.extend(_file(path, folder, "model.path"))
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
        yield from _file(entry, folder, f"model.{key}", file)
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


def _file(node: Node, folder: Path, where: str, path: str | None = None) -> Iterator[Mistake]:
    path = path or node.raw
    if node.kind in ("mapping", "list"):
        return
    if re.match(r"[a-z][a-z0-9+]{1,20}://", path, re.IGNORECASE):
        yield node.place.mistake(f"{where}: a file on this machine is asked, not {shown(path)}")
        return
    try:
        full = folder / path
        if full.is_dir():
            yield node.place.mistake(f"{where}: {shown(path)} is a folder; a file is asked", missing=True)
        elif not full.exists():
            yield node.place.mistake(f"{where}: no such file: {shown(path)}", missing=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        yield node.place.mistake(f"{where}: {shown(path)} cannot be a file: {reason}")


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
    yield from _file(path, folder, where)


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


def report(node: Node, mistakes: list[Mistake]) -> ReportOptions | None:
    """The section ``report``."""
    before = len(mistakes)
    formats = node.get("formats")
    for entry in formats.items() if formats is not None else ():
        if entry.raw in REPORTS_LATER:
            mistakes.append(entry.place.mistake(f"report.formats: {entry.raw}: {UNAVAILABLE}"))
        elif entry.kind not in ("mapping", "list") and entry.raw not in REPORTS:
            hint = meant(entry.raw, REPORTS)
            mistakes.append(entry.place.mistake(f"report.formats: no format named {shown(entry.raw)}{hint}"))
    language = node.get("language")
    if language is not None and re.fullmatch(r"[a-z]{2}(-[A-Z]{2})?", language.raw) and language.raw != "en":
        mistakes.append(language.place.mistake(f"report.language: {language.raw}: {UNAVAILABLE}"))
    if len(mistakes) > before and node.kind == "mapping":
        # Told above in better words.
        rest = {key: value for key, value in node.value.items() if key not in ("formats", "language")}
        node = type(node)("mapping", node.place, rest, keys=node.keys)
    return fit(node, ReportOptions, mistakes, where="report")


def run(node: Node, mistakes: list[Mistake]) -> RunOptions | None:
    """The section ``run``."""
    backend = node.get("backend")
    if backend is not None and backend.raw in BACKENDS_LATER:
        mistakes.append(backend.place.mistake(f"run.backend: {backend.raw}: {UNAVAILABLE}"))
        rest = {key: value for key, value in node.value.items() if key != "backend"}
        node = type(node)("mapping", node.place, rest, keys=node.keys)
    return fit(node, RunOptions, mistakes, where="run", unavailable=("budget",))


def people(system: Node, mistakes: list[Mistake]) -> None:
    """Names that hold a place are no names: of the system, its provider, its signatories and approvers."""
    named = [("system.name", system.get("name")), ("system.provider.name", system.get("provider", "name"))]
    for key, part in (("signatories", "name"), ("waivers", "approver"), ("waivers", "reason")):
        entries = system.get(key)
        for index, entry in enumerate(entries.items() if entries is not None else ()):
            named.append((f"system.{key}[{index}].{part}", entry.get(part)))
    for where, node in named:
        if node is not None and node.kind == "text" and placeholder(node.raw):
            mistakes.append(node.place.mistake(f"{where}: {shown(node.raw)} holds a place and names nothing"))


def together(root: Node, uses: Sequence[Use], mistakes: list[Mistake]) -> None:
    """What one section makes impossible in another."""
    parts = {part: use.name for use in uses for part in catalog.methods()[use.method].parts}
    for name, node in sensitive_names(root.get("data")):
        if name in parts:
            what = (
                f"data.sensitive: {shown(name)} is a part of {parts[name]} too, and their evidence "
                "would share an id; rename the column"
            )
            mistakes.append(node.place.mistake(what))
    features = root.get("data", "features")
    columns = [entry.raw for entry in features.items()] if features is not None else []
    for key in ("score", "prediction"):
        child = root.get("model", key)
        if child is not None and child.raw in columns:
            mistakes.append(
                child.place.mistake(f"model.{key}: {shown(child.raw)} is among the features; it is an output")
            )
        if child is not None and child.raw and child.raw == root.text("data", "target"):
            mistakes.append(child.place.mistake(f"model.{key}: {shown(child.raw)} is the target as well"))
    mistakes.extend(_classified(root, uses))


def _classified(root: Node, uses: Sequence[Use]) -> Iterator[Mistake]:
    """Methods of one task in a spec that declares the other."""
    task = root.text("model", "task")
    section = root.get("metrics")
    if task not in ("classification", "regression") or section is None:
        return
    other = "regression" if task == "classification" else "classification"
    for use in uses:
        method = catalog.methods()[use.method]
        if method.kind == "metric" and other in method.needs:
            place = type(section.place)(section.place.file, use.line, use.column)
            yield place.mistake(f"metrics: {use.method} is for {other}, and model.task is {task}")

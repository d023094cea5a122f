"""What a spec's parts must be to one another: files there, code trusted, columns named once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from xai_audit import catalog
from xai_audit.reading import tables
from xai_audit.reading.fit import UNAVAILABLE, fit, meant
from xai_audit.reading.said import placeholder
from xai_audit.source import shown
from xai_audit.spec import ReportOptions, RunOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xai_audit.errors import Mistake
    from xai_audit.source import Node
    from xai_audit.spec import Use

REPORTS = ("html", "pdf", "sarif", "junit", "github", "gitlab", "openmetrics", "json", "badge", "cyclonedx")
"""What report.formats may name; summary.md is always written."""
BACKENDS_LATER = ("dask", "ray")
"""Where workers may run in a later version."""

REPORTS_LATER = ("card", "letter", "docx", "oscal")


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
    for name, node in tables.sensitive_names(root.get("data")):
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
    mistakes.extend(_concepts(root))
    mistakes.extend(_units(root))
    mistakes.extend(_prompts(root))


def _prompts(root: Node) -> Iterator[Mistake]:
    """Sets of prompts of circuits that nothing else in the spec names, or that are no pairs."""
    section, data = root.get("explainers"), root.get("data", "sets")
    sets = list(data.value) if data is not None and data.kind == "mapping" else []
    for entry in section.items() if section is not None else ():
        params = entry.get("circuit_discovery") if entry.kind == "mapping" else None
        node = params.get("prompts") if params is not None and params.kind == "mapping" else None
        if node is None or node.kind != "text":
            continue
        named = data.get(node.raw) if data is not None and node.raw in sets else None
        if named is None:
            hint = meant(node.raw, sets) or "; data.sets names none"
            yield node.place.mistake(f"circuit_discovery: no set named {shown(node.raw)}{hint}")
        elif named.kind == "mapping" and named.get("clean") is None:
            what = f"the set {shown(node.raw)} is no pairs; name its sides with clean and corrupted"
            yield node.place.mistake(f"circuit_discovery: {what}")


def _units(root: Node) -> Iterator[Mistake]:
    """Sets and classes of predicates and triggers that nothing else in the spec names."""
    section, data, classes = root.get("explainers"), root.get("data", "sets"), root.get("model", "classes")
    sets = list(data.value) if data is not None and data.kind == "mapping" else []
    labels = [label.raw for label in classes.items()] if classes is not None else []
    for entry in section.items() if section is not None else ():
        for method in ("sparse_probing", "neuron_search") if entry.kind == "mapping" else ():
            for key in ("predicates", "triggers"):
                several = entry.get(method, key)
                each = several.items() if several is not None and several.kind == "list" else ()
                for one in (node for node in each if node.kind == "mapping"):
                    for name in ("positive", "negative", "triggered", "clean"):
                        node = one.get(name)
                        if node is not None and node.kind == "text" and node.raw not in sets:
                            hint = meant(node.raw, sets) or "; data.sets names none"
                            yield node.place.mistake(f"{method}: no set named {shown(node.raw)}{hint}")
                    node = one.get("target")
                    if node is not None and labels and node.raw not in labels:
                        yield node.place.mistake(
                            f"{method}: no class {shown(node.raw)}{meant(node.raw, labels)}"
                        )


def _concepts(root: Node) -> Iterator[Mistake]:
    """Concepts, pools and classes of tcav that nothing else in the spec names."""
    section, data, classes = root.get("explainers"), root.get("data", "sets"), root.get("model", "classes")
    sets = list(data.value) if data is not None and data.kind == "mapping" else []
    labels = [label.raw for label in classes.items()] if classes is not None else []
    for entry in section.items() if section is not None else ():
        params = entry.get("tcav") if entry.kind == "mapping" else None
        if params is None or params.kind != "mapping":
            continue
        concepts = params.get("concepts")
        named = [one for one in (concepts.items() if concepts is not None else ()) if one.kind == "text"]
        pool = params.get("random")
        for node in (*named, *([pool] if pool is not None and pool.kind == "text" else [])):
            if node.raw not in sets:
                hint = meant(node.raw, sets) or "; data.sets names none"
                yield node.place.mistake(f"tcav: no set named {shown(node.raw)}{hint}")
        asked = params.get("classes")
        for node in asked.items() if asked is not None and labels else ():
            if node.kind not in ("mapping", "list") and node.raw not in labels:
                yield node.place.mistake(f"tcav: no class {shown(node.raw)}{meant(node.raw, labels)}")


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

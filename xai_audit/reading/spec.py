"""A spec from its file: what it extends, what the command line changes, and every mistake at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from xai_audit.errors import SpecError
from xai_audit.reading import checks, elsewhere, models, named, said, tables
from xai_audit.reading.extends import extended
from xai_audit.reading.fit import fit, meant
from xai_audit.reading.policies import find_policy, read_policy
from xai_audit.source import Node, Place, shown, value
from xai_audit.spec import ReportOptions, RunOptions, Spec, Statement, System

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xai_audit.errors import Mistake

TOP = (
    "version",
    "extends",
    "system",
    "model",
    "data",
    "explainers",
    "metrics",
    "policies",
    "report",
    "run",
)
"""The keys of a spec, in the order they are written."""


def read_spec(path: str | Path, overrides: Sequence[str] = (), *, files: bool = True) -> Spec:
    """The audit that a file asks for; ``overrides`` are ``key.path=value`` as given to ``--set``.

    Without ``files`` the model and the data need not be there yet; nothing in them is looked at.

    Raises:
        SpecError: with every mistake in the file, in what it extends and in the overrides, each at its place.
    """
    mistakes: list[Mistake] = []
    spec = _read(Path(path), overrides, mistakes, files=files)
    if not files:
        mistakes = [mistake for mistake in mistakes if not mistake.missing or spec is None]
    if mistakes or spec is None:
        raise SpecError(sorted(mistakes))
    return spec


def read_specs(paths: Sequence[str | Path], overrides: Sequence[str] = ()) -> list[Spec]:
    """Several specs; SpecError with the mistakes of all of them."""
    specs: list[Spec] = []
    mistakes: list[Mistake] = []
    for path in paths:
        try:
            specs.append(read_spec(path, overrides))
        except SpecError as error:
            mistakes += error.mistakes
    if mistakes:
        raise SpecError(mistakes)
    return specs


def _read(path: Path, overrides: Sequence[str], mistakes: list[Mistake], *, files: bool) -> Spec | None:
    root = extended(path, mistakes)
    changed: dict[str, Any] = {}
    for override in overrides:
        root = _overridden(root, override, changed, mistakes)
    if root is None:
        return None
    if root.kind != "mapping":
        mistakes.append(root.place.mistake(f"a spec is keys and values: {', '.join(TOP)}"))
        return None
    hints = {key: meant(key, TOP) for key in root.keys if key not in TOP}
    mistakes.extend(root.keys[key].mistake(f"no key named {shown(key)}{hint}") for key, hint in hints.items())
    for key in ("system", "model", "data"):
        if root.get(key) is None and f"; did you mean {key!r}?" not in hints.values():
            place = root.keys.get(key, root.place)
            mistakes.append(place.mistake(f"the key {key!r} is missing"))
    version = root.get("version")
    if version is not None and (version.kind != "number" or version.value != 1):
        what = f"version: this program reads version 1, not {shown(version.raw)}"
        mistakes.append(version.place.mistake(what))
    return _spec(root, path, changed, mistakes, files=files)


def _spec(
    root: Node, path: Path, changed: dict[str, Any], mistakes: list[Mistake], *, files: bool
) -> Spec | None:
    system, model, data = (root.get(key) for key in ("system", "model", "data"))
    report, run = root.get("report"), root.get("run")
    explainers = named.uses(root.get("explainers"), "explainer", mistakes)
    metrics = named.uses(root.get("metrics"), "metric", mistakes)
    parts = {
        "system": None if system is None else _system(system, mistakes),
        "model": None if model is None else models.model(model, path.parent, mistakes),
        "data": None if data is None else tables.data(data, path.parent, mistakes),
        "policies": _policies(root.get("policies"), path, mistakes),
        "report": ReportOptions() if report is None else checks.report(report, mistakes),
        "run": RunOptions() if run is None else checks.run(run, mistakes),
    }
    primary = named.primary(metrics, root.get("metrics"), mistakes)
    checks.together(root, (*explainers, *metrics), mistakes)
    mistakes.extend(elsewhere.latents(root, path.parent))
    if any(files or not mistake.missing for mistake in mistakes) or None in parts.values():
        return None
    return Spec(
        **parts,
        explainers=explainers,
        metrics=metrics,
        primary=primary,
        file=str(path),
        overrides=dict(sorted(changed.items())),  # as audit.json has them: pages are drawn from it again
        places=_places(root, str(path)),
    )


def _places(root: Node, file: str) -> dict[str, tuple[int, int]]:
    """Where each key path stands in the spec's own file: ``data.target``, ``data.sensitive.0.bins``."""
    found: dict[str, tuple[int, int]] = {}

    def walk(node: Node, path: str) -> None:
        if path and node.place.file == file:
            found[path] = (node.place.line, node.place.column)
        if node.kind == "mapping":
            for key, child in node.value.items():
                walk(child, f"{path}.{key}" if path else key)
        for index, child in enumerate(node.items()):
            walk(child, f"{path}.{index}")

    walk(root, "")
    return found


def _overridden(
    root: Node | None, override: str, changed: dict[str, Any], mistakes: list[Mistake]
) -> Node | None:
    """The document with one ``key.path=value`` of the command line in it."""
    path, equals, text = override.partition("=")
    place = Place(f"--set {path}")
    steps = path.strip().split(".")
    if not equals or not all(steps):
        told = Place(f"--set {shown(override)}")
        mistakes.append(told.mistake("key.path=value is asked, for instance model.threshold=0.4"))
        return root
    if steps[0] == "extends":
        mistakes.append(place.mistake("what a spec extends cannot be changed here"))
        return root
    given = value(text, place.file, mistakes)
    if given is None or root is None:
        return root
    changed[path.strip()] = given.plain()
    return _placed(root, steps, given, place, mistakes)


def _placed(node: Node, steps: Sequence[str], given: Node, place: Place, mistakes: list[Mistake]) -> Node:
    if not steps:
        return given
    step, *rest = steps
    if node.kind in ("mapping", "null"):
        values, keys = dict(node.value or {}), dict(node.keys)
        below = values.get(step, Node("null", place, None))
        values[step] = _placed(below, rest, given, place, mistakes)
        keys[step] = place if not rest else keys.get(step, place)
        return Node("mapping", node.place, values, keys=keys)
    if node.kind == "list" and step.isascii() and step.isdigit() and int(step[:9]) < len(node.value):
        index = int(step)
        entries = list(node.value)
        entries[index] = _placed(entries[index], rest, given, place, mistakes)
        return Node("list", node.place, tuple(entries))
    above = "a list" if node.kind == "list" else "a value"
    what = f"there is nothing under {step!r} to set: above it stands {above}"
    mistakes.append(place.mistake(what))
    return node


def _system(node: Node, mistakes: list[Mistake]) -> System | None:
    signatories = node.get("signatories")
    first = (
        next((entry for entry in signatories.items() if entry.kind == "mapping"), None)
        if signatories
        else None
    )
    given: dict[str, Any] = {"intended_purpose": None, "statements": {}}
    stated = node.get("statements")
    if stated is not None:
        given["statements"] = said.statements(stated, first, mistakes)
    purpose = node.get("intended_purpose")
    if purpose is not None:
        if purpose.kind == "list" or (purpose.kind == "mapping" and "text" not in purpose.value):
            what = "system.intended_purpose: text is asked, or {text, author, date}"
            mistakes.append(purpose.place.mistake(what))
        else:
            for one in said.said(
                "intended_purpose", purpose, first, mistakes, where="system.intended_purpose"
            ):
                given["intended_purpose"] = Statement(**one.model_dump(exclude={"key", "letter"}))
    levels = stated.get("declared_levels") if stated is not None else None
    if levels is not None:
        merged = dict(node.value) | {"declared_levels": levels}
        if node.get("declared_levels") is not None:
            mistakes.append(
                levels.place.mistake("declared_levels stand under system as well; give them once")
            )
        node = Node("mapping", node.place, merged, keys={**node.keys, "declared_levels": levels.place})
    checks.people(node, mistakes)
    return fit(node, System, mistakes, where="system", given=given)


def _policies(node: Node | None, path: Path, mistakes: list[Mistake]) -> tuple[str, ...]:
    if node is None:
        return ()
    if node.kind != "list":
        mistakes.append(node.place.mistake("policies: a list of names or paths is asked"))
        return ()
    names: list[str] = []
    for entry in node.value:
        if entry.kind in ("mapping", "list", "null"):
            mistakes.append(entry.place.mistake("policies: a shipped name or a path is asked"))
            continue
        name = entry.raw
        found = find_policy(name, path.parent)
        if isinstance(found, str):
            mistakes.append(
                entry.place.mistake(f"policies: {found}", missing=found.startswith("no such file"))
            )
        elif name in names:
            mistakes.append(entry.place.mistake(f"policies: {name!r} stands here twice"))
        else:
            names.append(name)
            if name.endswith((".yaml", ".yml")):
                mistakes.extend(_mistakes_in(found))
    return tuple(names)


def _mistakes_in(policy: Path) -> Sequence[Mistake]:
    """Mistakes of a policy of the user's own, told together with those of the spec."""
    try:
        read_policy(policy)
    except SpecError as error:
        return error.mistakes
    return ()

"""A policy by its shipped name or its path, read with every mistake at its place."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from xai_audit import catalog, digest
from xai_audit.errors import SpecError
from xai_audit.policy import Policy
from xai_audit.reading.fit import UNAVAILABLE, fit, meant
from xai_audit.reading.named import MECHANISTIC, RESERVED
from xai_audit.resources import folder
from xai_audit.source import read, shown
from xai_audit.statements import BY_KEY

if TYPE_CHECKING:
    from xai_audit.errors import Mistake
    from xai_audit.source import Node

LAWFUL = ("law", "derived", "guidance")
"""Bases that rest on the Act's text, whose evidence has to bear it."""

ATTESTED = ("provider", "signatories", "classification", "declared_levels", "waivers", "roles")
"""What may be attested beside the statements."""


def shipped() -> list[str]:
    """The names of the policies that come with the program."""
    try:
        return sorted(path.stem for path in folder("policies").glob("*.yaml"))
    except FileNotFoundError:
        return []


def find_policy(name: str, beside: Path) -> Path | str:
    """The file of a policy: a shipped name, or a path relative to a folder; else why there is none."""
    if not name.endswith((".yaml", ".yml")):
        if name in shipped():
            return folder("policies") / f"{name}.yaml"
        return f"no policy named {shown(name)}{meant(name, shipped())}"
    path = beside / name
    try:
        return path if path.is_file() else f"no such file: {name}"
    except (OSError, ValueError) as error:
        return f"no such file: {name} ({getattr(error, 'strerror', None) or error})"


def read_policy(path: str | Path) -> tuple[Policy, str]:
    """The policy in a file and the sha256 of the file.

    Raises:
        SpecError: with every mistake in it, each at its place.
    """
    mistakes: list[Mistake] = []
    root, content = read(Path(path), mistakes)
    policy = None if root is None else fit(root, Policy, mistakes, where="")
    if root is not None:
        for rule in _rules(root):
            _check(rule, mistakes)
    if mistakes or policy is None:
        raise SpecError(sorted(mistakes))
    return policy, digest.of_bytes(content)


def read_policies(names: tuple[str, ...], beside: Path) -> list[tuple[Policy, str]]:
    """Several policies by name or path; SpecError with the mistakes of all of them."""
    from xai_audit.errors import Mistake  # noqa: PLC0415

    found, mistakes = [], []
    for name in names:
        path = find_policy(name, beside)
        if isinstance(path, str):
            mistakes.append(Mistake(f"policy {name}", 0, 0, path, missing=path.startswith("no such file")))
            continue
        try:
            found.append(read_policy(path))
        except SpecError as error:
            mistakes += error.mistakes
    if mistakes:
        raise SpecError(mistakes)
    return found


def _rules(root: Node) -> tuple[Node, ...]:
    rules = root.get("rules")
    return tuple(rule for rule in (rules.items() if rules else ()) if rule.kind == "mapping")


def evidence_names() -> set[str]:
    """Everything a rule may read: methods, the records every audit keeps, and the primary metric."""
    names = set(catalog.methods()) | {"primary"}
    try:
        records = importlib.import_module("xai_audit.records")
    except ModuleNotFoundError:
        return names
    return names | {str(getattr(record, "id", record)).partition("/")[0] for record in records.RECORDS}


def _check(rule: Node, mistakes: list[Mistake]) -> None:
    name = rule.text("id") or "a rule"
    evidence = rule.get("evidence")
    if evidence is not None and evidence.kind == "text":
        method = evidence.raw.partition("/")[0]
        known = evidence_names()
        reserved = {one for names in RESERVED.values() for one in names}
        if method in MECHANISTIC and rule.text("basis") in LAWFUL:
            what = (
                f"{name}: a rule whose basis is {rule.text('basis')} cannot rest on {method} alone; give it the "
                "basis convention or provider, or other evidence"
            )
            mistakes.append(evidence.place.mistake(what))
        elif method not in known:
            later = method in reserved
            what = f"{method}: {UNAVAILABLE}" if later else f"no evidence named {shown(method)}{meant(method, known)}"
            mistakes.append(evidence.place.mistake(f"{name}: {what}"))
    attested = rule.get("attested")
    for one in () if attested is None else (attested.items() or (attested,)):
        if one.kind == "text" and one.raw.partition(".")[0] not in (*BY_KEY, *ATTESTED):
            hint = meant(one.raw, (*BY_KEY, *ATTESTED))
            mistakes.append(one.place.mistake(f"{name}: no statement named {shown(one.raw)}{hint}"))
    examples = rule.get("examples")
    if examples is not None and examples.kind == "list":
        kinds = {example.text("expect") for example in examples.value}
        for kind in ("pass", "fail", "open"):
            # A statement that is absent is open and never fails, so such a rule has no case of failing.
            if kind not in kinds and not (kind == "fail" and attested is not None):
                mistakes.append(examples.place.mistake(f"{name}: the examples lack one that is expected to {kind}"))



"""A policy by its shipped name or its path, read with every mistake at its place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from xai_audit import catalog, digest, freezing
from xai_audit.applying import CHANGE
from xai_audit.errors import Mistake, SpecError
from xai_audit.policy import Policy
from xai_audit.reading.fit import UNAVAILABLE, fit, meant
from xai_audit.reading.named import MECHANISTIC, RESERVED
from xai_audit.records import RECORDS
from xai_audit.resources import folder
from xai_audit.source import read, shown
from xai_audit.statements import BY_KEY

if TYPE_CHECKING:
    from xai_audit.source import Node

LAWFUL = ("law", "derived", "guidance")
"""Bases that rest on the Act's text, whose evidence has to bear it."""

ATTESTED = ("provider", "signatories", "classification", "declared_levels")
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
    found: list[tuple[Policy, str]] = []
    mistakes: list[Mistake] = []
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
    """Everything a rule may read: methods, records, the primary metric, its change, and what was frozen."""
    return {*catalog.methods(), *RECORDS, "primary", CHANGE, freezing.METHOD}


def _check(rule: Node, mistakes: list[Mistake]) -> None:
    """What a rule reads and asks must be there to be read and asked."""
    name = rule.text("id") or "a rule"
    also = rule.get("also")
    pieces = [rule.get("evidence"), *(more.get("evidence") for more in (also.items() if also else ()))]
    read = [piece for piece in pieces if piece is not None and piece.kind == "text"]
    methods = {piece.raw.partition("/")[0] for piece in read}
    if methods and methods <= MECHANISTIC and rule.text("basis") in LAWFUL:
        what = (
            f"{name}: its basis is {rule.text('basis')}, but {', '.join(sorted(methods))} explores a "
            "network's internals; name other evidence too, or make the basis convention or provider"
        )
        mistakes.append(read[0].place.mistake(what))
    else:
        mistakes.extend(
            piece.place.mistake(f"{name}: {_no_evidence(method)}")
            for piece in read
            if (method := piece.raw.partition("/")[0]) not in evidence_names()
        )
    attested = rule.get("attested")
    keys = () if attested is None else (attested.items() or (attested,))
    for one in (*keys, rule.get("explained_by"), rule.get("when", "statement")):
        if one is not None and one.kind == "text" and one.raw not in (*BY_KEY, *ATTESTED):
            hint = meant(one.raw, (*BY_KEY, *ATTESTED))
            mistakes.append(one.place.mistake(f"{name}: no statement named {shown(one.raw)}{hint}"))
    asked = rule.get("when", "method")
    if asked is not None and asked.kind == "text" and asked.raw not in catalog.methods():
        mistakes.append(asked.place.mistake(f"{name}: {_no_evidence(asked.raw)}"))


def _no_evidence(method: str) -> str:
    if any(method in names for names in RESERVED.values()):
        return f"{method}: {UNAVAILABLE}"
    return f"no evidence named {shown(method)}{meant(method, evidence_names())}"

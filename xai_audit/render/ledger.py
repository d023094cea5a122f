"""Annex A, what the technical documentation holds point by point, and annex B, numbers a provider can paste."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xai_audit.evidence import Groups, Ranking, Scalar
from xai_audit.render import findings as told
from xai_audit.render import numbers, people, thresholds
from xai_audit.render.shown import Cell, Column, Line, Note, Table
from xai_audit.render.visible import name, visible
from xai_audit.statements import ASKED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xai_audit.audit import Audit
    from xai_audit.render.shown import Said


@dataclass(frozen=True, kw_only=True)
class Point:
    """A point of Annex IV: what it asks, what was measured, what was stated, what is missing."""

    point: str
    clause: str
    asks: str
    measured: tuple[str, ...]
    said: tuple[Said, ...]
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """All points, and how many rest on what."""

    points: tuple[Point, ...]
    measured: int
    stated: int
    missing: int
    others: tuple[Said, ...]
    """Statements beyond Annex IV that were made, or that a rule misses."""


CHECKS = frozenset(
    {
        "artefact_safety", "baseline_improvement", "invalid_labels", "protected_flip_rate", "target_leak",
        "train_test_overlap", "unusual_input_failures",
    }
)  # fmt: skip
"""Checks of the data and the model file, which no deployer is told as a level of accuracy."""


def clause(point: str) -> str:
    """``Annex IV(1)(b)`` for ``1.b``."""
    first, _, second = point.partition(".")
    return f"Annex IV({first})" + (f"({second})" if second else "")


def ledger(audit: Audit, outline: Mapping[str, Any]) -> Ledger:
    """The ledger along the outline."""
    points = []
    printed: dict[str, str] = {}
    wanted = people.asked(audit)
    for row in outline["ledger"]:
        point = str(row["point"])
        asked = [a for a in ASKED if point in a.points and a.key in wanted]
        said = [entry for a in asked if a.key not in printed for entry in people.said(audit, a.key)]
        again = [printed[a.key] for a in asked if a.key in printed]
        printed |= {a.key: point for a in asked if a.key not in printed}
        held = _HOLDS.get(row.get("holds") or "")
        measured, notes = held(audit) if held else ((), ())
        if not asked:
            measured = (*measured, "Not asked for at this stage.")
        measured = (
            *measured,
            *(f"What is said of {numbers.joined(again)} counts here too." for _ in again[:1]),
        )
        points.append(
            Point(
                point=point,
                clause=clause(point),
                asks=row["asks"],
                measured=measured,
                said=tuple(people.condensed(said)),
                notes=notes,
            )
        )
    missing = sum(any(entry.absent or not entry.attributed for entry in p.said) for p in points)
    stated = sum(bool(p.said) and not any(e.absent or not e.attributed for e in p.said) for p in points)
    others = [entry for a in ASKED if not a.points and a.key in wanted for entry in people.said(audit, a.key)]
    return Ledger(
        points=tuple(points),
        measured=len(points) - missing - stated,
        stated=stated,
        missing=missing,
        others=tuple(others),
    )


Held = tuple[tuple[str, ...], tuple[Note, ...]]


def _section(number: str, identifier: str) -> Note:
    return Note(text=f"Section {number}" if number.isdigit() else f"Annex {number}", href=f"#{identifier}")


def _identity(audit: Audit) -> Held:
    model = audit.subject.get("model") or {}
    about = people.system(audit)
    previous = about.get("previous_version")
    said = [
        f"Version {name(about.get('version') or 'not given', 40)}"
        + (f" replaces {name(previous, 40)}" if previous else "")
    ]
    said.append(
        f"Model digest {numbers.short(model['sha256'])}"
        if model.get("sha256")
        else "No model was given, only its predictions"
    )
    return (". ".join(said) + ".",), (_section("0", "identity"),)


def _software(audit: Audit) -> Held:
    packages = audit.environment.get("packages") or {}
    python = name(audit.environment.get("python") or "of unknown version", 40)
    text = f"This audit ran on Python {python} and {len(packages)} packages, listed in annex G."
    return (text,), (_section("G", "reproduction"),)


def _hardware(audit: Audit) -> Held:
    jobs = audit.run.get("jobs")
    machine = " ".join(
        name(audit.environment[key], 60) for key in ("system", "machine") if audit.environment.get(key)
    )
    text = f"Audited on {machine}" if machine else "The machine of this audit is not recorded"
    workers = f", {numbers.some(int(jobs), 'worker')}" if jobs else ""
    return (f"{text}{workers}.",), ()


def _instructions(_: Audit) -> Held:
    return ("The numbers for Article 13(3)(b) are in annex B.",), (_section("B", "instructions"),)


def _explanations(audit: Audit) -> Held:
    if not any(isinstance(p.observation, Ranking) for p in audit.evidence):
        return (), ()
    return ("Which inputs move the score is in section 10, whether that holds in section 11.",), (
        _section("10", "explanations"),
        _section("11", "explanations_hold"),
    )


def _explanations_hold(audit: Audit) -> Held:
    if not any(p.kind == "explainer" and p.status == "measured" for p in audit.evidence):
        return (), ()
    return ("How far the explanations can be relied on is in section 11.",), (
        _section("11", "explanations_hold"),
    )


def _architecture(audit: Audit) -> Held:
    details = (audit.subject.get("model") or {}).get("details") or {}
    seconds = audit.run.get("seconds")
    kind = details.get("type")
    said = [f"{name(kind, 100)}" if kind else "The model's structure is not recorded"]
    if seconds is not None:
        said.append(f"This audit took {numbers.plain(float(seconds), 0)}\u00a0s")
    return (". ".join(said) + ".",), (_section("5", "design"),)


def _data(audit: Audit) -> Held:
    data = audit.subject.get("data") or {}
    said = [
        f"{label} of {table['rows']:,} rows, digest {numbers.short(table.get('sha256'))}"
        for label, table in (("Test data", data.get("test")), ("Training data", data.get("train")))
        if table and table.get("rows") is not None
    ]
    return ((". ".join(said) + ".",) if said else ()), (_section("6", "data"),)


def _testing(audit: Audit) -> Held:
    measured = sum(piece.status == "measured" for piece in audit.evidence)
    many = f"{numbers.some(measured, 'measurement')} under rules fixed before the run"
    dated = f"this report is dated {numbers.day(audit.run.get('finished', ''))}"
    return (f"{many}; {dated}.",), (_section("7", "performance"),)


def _artefact(audit: Audit) -> Held:
    piece = audit.get("artefact_safety")
    if piece is None or piece.status != "measured":
        return (), ()
    return ("What the model file may carry was looked at; section 5.",), told.evidence_notes(
        audit, [piece.id]
    )


def _groups(audit: Audit) -> Held:
    if not any(isinstance(p.observation, Groups) for p in audit.evidence):
        return (), ()
    return ("Accuracy over all and for each group is in sections 7 and 8.",), (
        _section("7", "performance"),
        _section("8", "groups"),
    )


def _standards(_: Audit) -> Held:
    return ("No presumption of conformity is claimed; section 18.",), (_section("18", "standards"),)


_HOLDS = {
    "identity": _identity,
    "software": _software,
    "hardware": _hardware,
    "instructions": _instructions,
    "explanations": _explanations,
    "explanations_hold": _explanations_hold,
    "architecture": _architecture,
    "data": _data,
    "testing": _testing,
    "artefact": _artefact,
    "groups": _groups,
    "standards": _standards,
}


def instructions(audit: Audit) -> Table:
    """Annex B: what Article 13(3) lets a deployer expect, each number with its interval and its n."""
    rows = [*_levels(audit), *_by_group(audit), *_inputs(audit)]
    return Table(
        caption="Numbers for Article 13(3), each as measured by this run",
        columns=(
            Column(head="Letter", width="w-article"),
            Column(head="What"),
            Column(head="Number", numeric=True),
            Column(head="Declared", numeric=True),
            Column(head="n", numeric=True),
        ),
        rows=tuple(rows),
        full=True,
    )


def _levels(audit: Audit) -> Sequence[Line]:
    rows = []
    for piece in audit.evidence:
        if piece.kind != "metric" or piece.method in CHECKS or not isinstance(piece.observation, Scalar):
            continue
        estimate = piece.observation.estimate
        held = thresholds.declared(audit, piece.method)
        rows.append(
            Line(
                cells=(
                    Cell(text="(b)(ii)"),
                    Cell(text=name(piece.title, 140)),
                    Cell(text=numbers.number(estimate)),
                    Cell(text=numbers.plain(held.value, 2) if held else "none", muted=held is None),
                    Cell(text=f"{estimate.n:,}"),
                )
            )
        )
    return rows


def _by_group(audit: Audit) -> Sequence[Line]:
    primary = thresholds.primary(audit)
    rows = []
    for piece in audit.evidence:
        if (
            piece.method != primary
            or not isinstance(piece.observation, Groups)
            or len(piece.observation.by) != 1
        ):
            continue
        for group in piece.observation.groups:
            level = ", ".join(f"{name(key, 40)} {name(value, 60)}" for key, value in group.key.items())
            rows.append(
                Line(
                    cells=(
                        Cell(text="(b)(v)"),
                        Cell(text=f"{name(piece.title, 60)}, {level}"),
                        Cell(
                            text=numbers.number(group.estimate)
                            if group.estimate
                            else name(group.reason or "", 40),
                            muted=group.estimate is None,
                        ),
                        Cell(text="none", muted=True),
                        Cell(text=f"{group.estimate.n:,}" if group.estimate else "–"),
                    )
                )
            )
    return rows


def _inputs(audit: Audit) -> Sequence[Line]:
    columns = audit.subject.get("columns") or ()
    if not columns:
        return []
    kinds: dict[str, int] = {}
    for column in columns:
        kinds[column["kind"]] = kinds.get(column["kind"], 0) + 1
    text = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
    return [
        Line(
            cells=(
                Cell(text="(b)(vi)"),
                Cell(text="Inputs, by kind; section 6 names them"),
                Cell(text=visible(text)),
                Cell(text="–", muted=True),
                Cell(text="–", muted=True),
            )
        )
    ]

"""What changed between two audits, each change with an interval that knows whether the rows are the same."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from xai_audit import audit, digest
from xai_audit.compare import asked, drift, rules
from xai_audit.compare.changes import Both, Side, changes, same_answers
from xai_audit.compare.performance import Baseline, comparable, observed, record, side, smallest_cell
from xai_audit.compare.rankings import rankings
from xai_audit.compare.rows import Rows, of_bytes, of_folder, paired
from xai_audit.comparison import Audited, Comparison

if TYPE_CHECKING:
    from pathlib import Path

    from xai_audit.audit import Audit

ROWS = {"image": "pictures", "text": "texts"}


@dataclass(frozen=True, eq=False)
class Opened:
    """An audit's folder, read."""

    audit: Audit
    sha256: str
    folder: Path
    rows: Rows | None


def opened(folder: Path) -> Opened:
    """An audit and its rows; UnavailableError where there is none that can be read."""
    made = audit.read(folder)
    return Opened(made, digest.of_file(folder / "audit.json"), folder, of_folder(folder, made))


def baseline(folder: Path) -> Baseline:
    """An earlier audit to hold a new one to; UnavailableError where there is none that can be read."""
    found = opened(folder)
    return Baseline(found.audit, found.sha256, str(folder / "audit.json"), found.rows)


def compare(old: Opened, new: Opened) -> Comparison:
    """All that changed from one audit to another.

    Raises:
        SpecError: where they are of another task or another positive class.
    """
    comparable(
        Baseline(old.audit, old.sha256, str(old.folder / "audit.json"), old.rows),
        new.audit.subject,
        primary=False,
    )
    sides = side(old.audit), side(new.audit)
    min_cell = smallest_cell(*sides)
    pairs = paired(old.rows, new.rows, min_cell)
    confidence = float(new.audit.spec.get("run", {}).get("confidence", 0.95))
    both = Both(*sides, pairs, confidence, min_cell, same_answers(*sides, pairs))
    found, left = changes(both)
    primaries = [made.audit.subject.get("primary") for made in (old, new)]
    notes = []
    if primaries[0] != primaries[1]:
        notes.append(f"The primary metric was {primaries[0]} and is {primaries[1]}.")
    days = _day(old.audit), _day(new.audit)
    if days[1] < days[0]:
        notes.append("The old audit is the later one by its date.")
    return Comparison(
        old=_audited(old),
        new=_audited(new),
        confidence=confidence,
        matched=pairs.matched,
        primary=str(primaries[1]),
        changes=tuple(found),
        not_compared=tuple(left),
        rankings=tuple(rankings(both, (old.folder, new.folder))),
        groups=tuple(drift.groups(*sides)),
        drift=(*drift.columns(*sides), *drift.shifts(both)),
        digests=tuple(asked.digests(old.audit, new.audit)),
        spec=tuple(asked.keys(old.audit, new.audit)),
        waivers=tuple(rules.waivers(old.audit, new.audit, days)),
        verdicts=tuple(rules.verdicts(old.audit, new.audit)),
        notes=tuple(notes),
    )


def _audited(side: Opened) -> Audited:
    made = side.audit
    system: dict[str, Any] = made.spec.get("system") or {}
    test = (made.subject.get("data") or {}).get("test") or {}
    return Audited(
        name=str(system.get("name") or ""),
        version=str(system.get("version") or ""),
        previous_version=system.get("previous_version"),
        finished=str(made.run.get("finished") or ""),
        outcome=made.outcome,
        counts=made.counts,
        sha256=side.sha256,
        rows=test.get("rows"),
        rows_are=cast("Any", ROWS.get(made.subject.get("modality", ""), "people")),
    )


def _day(made: Audit) -> datetime.date:
    try:
        return datetime.datetime.fromisoformat(str(made.run.get("started"))).date()
    except ValueError:
        return datetime.date.min


__all__ = [
    "Baseline",
    "Opened",
    "Side",
    "baseline",
    "comparable",
    "compare",
    "observed",
    "of_bytes",
    "of_folder",
    "opened",
    "record",
]

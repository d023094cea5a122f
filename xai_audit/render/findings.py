"""Findings as printed: what was seen, how sure, who is affected, why it matters, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from xai_audit.evidence import Groups, Scalar
from xai_audit.render import numbers
from xai_audit.render.claims import sentence
from xai_audit.render.palette import VERDICTS
from xai_audit.render.people import asks
from xai_audit.render.shown import Cell, Judged, Line, Note
from xai_audit.render.thresholds import BASES
from xai_audit.render.visible import anchor, name, prose

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xai_audit.audit import Audit
    from xai_audit.evidence import Group
    from xai_audit.verdict import Finding, Part

SHOWN = 12
"""Evidence ids listed beside a finding; audit.json lists all."""

_HIGH_IS_WORSE = ("false_positive_rate", "false_negative_rate", "false_discovery_rate", "false_omission_rate")


def state(finding: Finding) -> str:
    """The verdict a mark stands for: a waived fail is ``waived``, an open rule that only waits for statements ``absent``."""
    if finding.kind == "fail" and finding.waiver is not None and not finding.waiver.expired:
        return "waived"
    if finding.kind == "open" and finding.missing and not any(part.p is not None for part in finding.parts):
        return "absent"
    return finding.kind


def weight(finding: Finding) -> tuple[int, int, str]:
    """What findings are sorted by: verdict, blocking first, then the rule's id."""
    return list(VERDICTS).index(state(finding)), 0 if finding.blocking else 1, finding.rule


NOUNS = {"image": ("picture", "pictures"), "text": ("text", "texts"), "table": ("row", "rows")}
"""What a row of the data is called, by what it holds."""
RANKED = {"image": "part", "text": "word", "table": "input"}
"""What an explainer ranks."""


def modality(audit: Audit) -> str:
    """``table``, ``image`` or ``text``: what a row of the data holds; a table where the audit does not say."""
    found = audit.subject.get("modality")
    return found if found in NOUNS else "table"


def rows(audit: Audit, n: int) -> str:
    """The noun for n rows of the data: ``row``, ``pictures``."""
    return NOUNS[modality(audit)][n != 1]


def ranked(audit: Audit) -> str:
    """What an explainer ranks: an input of a table, a word of a text, a part of a picture."""
    return RANKED[modality(audit)]


def people(audit: Audit) -> str:
    """What rows of the data are called: people where people are grouped, else by what they hold."""
    if modality(audit) != "table":
        return rows(audit, 2)
    return "people" if audit.spec.get("data", {}).get("sensitive") else "rows"


def place(finding: Finding) -> str:
    """The anchor of a finding."""
    return anchor("finding", f"{finding.policy}-{finding.rule}")


def evidence_notes(audit: Audit, identifiers: Iterable[str], *, most: int = SHOWN) -> tuple[Note, ...]:
    """Evidence ids as links into the register, and how many more there are."""
    each = list(dict.fromkeys(identifiers))
    # A rule may ask for evidence that this run did not make; then there is nothing to lead to.
    known = {piece.id for piece in audit.evidence}
    notes = [Note(text=read(i), href=f"#{anchor('evidence', i)}" if i in known else "") for i in each[:most]]
    if len(each) > most:
        notes.append(Note(text=f"and {len(each) - most} more in audit.json"))
    return tuple(notes)


def read(identifier: str) -> str:
    """An evidence id as people read it: its parts as they were named, ``tcav/stripes@layer3@zebra``."""
    return name(unquote(identifier), 80)


def by(identifier: str) -> str:
    """The columns an evidence id is by, as words: ``sex``, ``age and sex``; empty for an overall one."""
    _, _, rest = identifier.partition("/")
    return numbers.joined(name(unquote(column), 40) for column in rest.split("+")) if rest else ""


def leading(finding: Finding) -> Part | None:
    """The part that decides a finding: of its kind, with a number, the most certain first."""
    parts = [part for part in finding.parts if part.kind == finding.kind] or list(finding.parts)
    counted = [part for part in parts if part.estimate is not None]
    if not counted:
        return parts[0] if parts else None
    return min(
        counted,
        key=lambda part: (part.p if part.p is not None else 2.0, -(part.more_rows or 0), part.evidence),
    )


def judged(audit: Audit, finding: Finding) -> Judged:
    """A finding with all that a reader needs beside it."""
    kind = state(finding)
    part = leading(finding)
    mark = VERDICTS[kind]
    return Judged(
        anchor=place(finding),
        rule=finding.rule,
        title=name(finding.title, 240),
        clause=finding.clause,
        basis=BASES[finding.basis],
        mark=mark,
        word=mark.word,
        blocking=finding.blocking,
        level={"error": "blocks", "warning": "warns", "note": "note"}[finding.level],
        message=sentence(prose(finding.message)),
        observed=_observed(part),
        quantity=_quantity(audit, finding, part),
        threshold=finding.threshold or _asked(finding),
        affected=_affected(audit, finding, part),
        sure=_sure(finding, part),
        settle=settle(audit, finding),
        why=sentence(prose(finding.why or "")),
        note=sentence(prose(finding.note or "")),
        todo=sentence(prose(finding.tip or "")),
        applies=f"Applies from {numbers.day(finding.applies_from)}" if finding.applies_from else "",
        policy=finding.policy,
        waiver=waived_by(finding),
        evidence=evidence_notes(audit, finding.evidence),
        statements=tuple(asks(key) for key in finding.missing),
        parts=_parts(audit, finding),
        kind=kind,
    )


def _asked(finding: Finding) -> str:
    return "a statement" if finding.missing or not finding.evidence else "present"


def _observed(part: Part | None) -> str:
    if part is None:
        return "nothing measured"
    if part.estimate is None:
        return "no number"
    return numbers.number(part.estimate)


def _quantity(audit: Audit, finding: Finding, part: Part | None) -> str:
    if part is None:
        return ""
    if part.estimate is None:
        return name(part.reason or "", 120)
    words = [part.quantity or part.evidence.partition("/")[0].replace("_", " ")]
    piece = audit.get(part.evidence)
    # The part of an explainer's id names a check of it; the title says which.
    columns = by(part.evidence) if piece is None or piece.kind != "explainer" else ""
    if columns and columns not in words[0].split():
        words.append(f"by {columns}")
    others = sum(1 for other in finding.parts if other is not part and other.kind == part.kind)
    unit = piece.observation.unit if piece and isinstance(piece.observation, Scalar) else None
    text = f"{' '.join(words)}, {numbers.counted(part.estimate.n, unit)}"
    return f"{text}; {others} more like it" if others and finding.kind in {"fail", "open"} else text


def _group(audit: Audit, identifier: str, label: str) -> Group | None:
    piece = audit.get(identifier)
    if piece is None or not isinstance(piece.observation, Groups):
        return None
    for group in piece.observation.groups:
        if ", ".join(group.key.values()) == label:
            return group
    return None


def _affected(audit: Audit, finding: Finding, part: Part | None) -> str:
    if finding.affected:
        return prose(finding.affected)
    who = people(audit)
    if part is None or part.estimate is None:
        return ""
    if part.between is None:
        return ""
    worse = part.between[1] if part.evidence.startswith(_HIGH_IS_WORSE) else part.between[0]
    group = _group(audit, part.evidence, worse)
    size = f", {group.n:,} {who}" if group is not None and group.n is not None else ""
    return f"{by(part.evidence)} {name(worse, 60)}{size}"


def _sure(finding: Finding, part: Part | None) -> str:
    if part is None or part.estimate is None:
        return ""
    if part.estimate.exact:
        return "An exact count of the data given, without sampling error."
    if finding.kind == "fail":
        p = finding.adjusted_p if finding.adjusted_p is not None else part.p
        if p is not None:
            return f"The whole interval misses the threshold; {chance(p)}, corrected for the number of rules tested."
        return "The whole interval misses the threshold."
    if finding.kind == "open":
        return "The interval reaches to both sides of the threshold, so these data cannot tell."
    return "The interval meets the threshold." if finding.kind == "pass" else ""


def chance(p: float) -> str:
    """A p-value as printed."""
    return "p\u00a0<\u00a00.001" if p < 0.001 else f"p\u00a0=\u00a0{numbers.plain(p, 3)}"


def settle(audit: Audit, finding: Finding) -> str:
    """What would decide an undecided finding, with its if."""
    if finding.settle:
        return sentence(prose(finding.settle))
    if finding.missing:
        what = [asks(key) for key in finding.missing]
        rest = len(what) - 2
        told = "; ".join(what[:2]) + (f"; and {rest} more" if rest > 0 else "")
        return f"{numbers.some(len(what), 'statement')}: {told}."
    undecided = [part for part in finding.parts if part.kind in {"open", "review"}]
    who = people(audit)
    part = leading(finding)
    rows = [p.more_rows for p in undecided if p.more_rows]
    kind = {"smallest ratio": "ratio", "largest difference": "difference"}.get(
        (part.quantity or "") if part else "", "value"
    )
    if any(p.hopeless for p in undecided):
        near = f"while the {kind} stays so near the threshold"
        return f"More {who} will not settle it {near}: over 100 times as many would be needed."
    if rows:
        most = max(rows)
        return f"About {numbers.about(most)} more {who} would probably settle it, if the {kind} stays where it is."
    reasons = list(dict.fromkeys(p.reason for p in undecided if p.reason))
    if reasons:
        return sentence(name("; ".join(reasons), 240))
    return sentence(prose(finding.tip or "A person has to look at it"))


def waived_by(finding: Finding) -> str:
    """Who waives a finding, until when and why; empty where nobody does."""
    waiver = finding.waiver
    if waiver is None:
        return ""
    until = f"{'expired on' if waiver.expired else 'until'} {numbers.day(waiver.expires)}"
    return f"Waived by {name(waiver.approver)}, {until}: {prose(waiver.reason)}"


def _which(audit: Audit, part: Part) -> str:
    """What sets a part apart from the others: its columns; of an explainer's check, its whole id."""
    piece = audit.get(part.evidence)
    columns = by(part.evidence) if piece is None or piece.kind != "explainer" else ""
    return columns or read(part.evidence)


def _parts(audit: Audit, finding: Finding) -> tuple[Line, ...]:
    """Each piece of evidence a rule looked at, where there is more than one."""
    if len(finding.parts) < 2:
        return ()
    rows = []
    for part in finding.parts:
        mark = VERDICTS[part.kind]
        rows.append(
            Line(
                cells=(
                    Cell(text=_which(audit, part)),
                    Cell(
                        text=numbers.joined(name(label, 40) for label in part.between)
                        if part.between
                        else "–"
                    ),
                    Cell(
                        text=numbers.number(part.estimate)
                        if part.estimate
                        else name(part.reason or "no number", 80)
                    ),
                    Cell(text=f"{part.estimate.n:,}" if part.estimate else "–"),
                    Cell(text=mark.word, mark=mark),
                )
            )
        )
    return tuple(rows)

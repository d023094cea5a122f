"""Page 1: the outcome in one sentence, what failed, what could not be decided, who signs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xai_audit.render import findings as told
from xai_audit.render import frozen, numbers, people, since
from xai_audit.render.palette import VERDICTS
from xai_audit.render.shown import Cell, Column, Line, Table

if TYPE_CHECKING:
    from xai_audit.audit import Audit
    from xai_audit.render.palette import Mark
    from xai_audit.render.shown import Judged, Said
    from xai_audit.verdict import Finding

ROWS = 8
"""Rules in the tables of page 1; the sections tell the rest."""
LEAST = 3
"""Rows kept for what is undecided, however much failed."""
LINES = 3
"""Rules for a person to review, and waived ones, on page 1."""
SINCE = 3
"""Rows that a line on what changed takes away: a row of four lines and the signatures must still fit."""
OPENING = 240
"""Characters of the purpose on page 1."""


@dataclass(frozen=True, kw_only=True)
class Front:
    """What page 1 says."""

    eyebrow: str
    clauses: tuple[str, ...]
    """The outcome sentence, a clause each, that a line does not break inside."""
    purpose: str
    tested: str
    sums: str
    missing: int
    frozen: str
    """What changed since thresholds were frozen; nothing where none were."""
    blocks: tuple[tuple[Mark, str, Table, str], ...]
    """Mark, head, table, and what stands elsewhere."""
    others: tuple[tuple[Mark, str, tuple[Judged, ...], str], ...]
    """The same for rules that take a line each."""
    reasons: tuple[str, ...]
    changed: str
    """What changed since the last audit; empty where none is spoken of."""
    signatures: tuple[Said, ...]


def states(audit: Audit) -> dict[str, list[Finding]]:
    """The findings under each mark, blocking ones first."""
    by_state: dict[str, list[Finding]] = {state: [] for state in VERDICTS}
    for finding in sorted(audit.findings, key=told.weight):
        by_state[told.state(finding)].append(finding)
    return by_state


def clauses(audit: Audit) -> tuple[str, ...]:
    """The outcome as clauses: ``3 blocking rules failed``, ``2 could not be decided``, ``24 passed``."""
    found = states(audit)
    blocking = sum(finding.blocking for finding in found["fail"])
    warned = len(found["fail"]) - blocking
    made = []
    if blocking:
        made.append(f"{numbers.some(blocking, 'blocking rule')} failed")
        if warned:
            made.append(f"{numbers.some(warned, 'warning')}")
    elif warned:
        made.append(f"no blocking rule failed, {numbers.some(warned, 'other')} did")
    else:
        made.append("nothing failed")
    if found["open"]:
        made.append(f"{len(found['open'])} could not be decided")
    if found["review"] and len(made) < 3:
        n = len(found["review"])
        made.append(f"{n} {'needs' if n == 1 else 'need'} a person")
    made.append(f"{len(found['pass'])} passed")
    made[0] = made[0][0].upper() + made[0][1:]
    return tuple(made)


def page(audit: Audit) -> Front:
    """Page 1 of an audit."""
    found = states(audit)
    provider = people.provider(audit)
    stands = ", ".join(part for part in (people.title(audit), provider) if part)
    purpose = next((entry.text for entry in people.said(audit, "intended_purpose") if entry.attributed), "")
    return Front(
        eyebrow=f"Audit of {stands}. Run on {numbers.day(audit.run.get('finished', ''))}.",
        clauses=clauses(audit),
        purpose=_opening(purpose),
        tested=_tested(audit),
        sums=_sums(audit, found),
        missing=audit.counts.statements_missing,
        frozen=frozen.sentence(audit),
        blocks=tuple(_blocks(audit, found)),
        others=tuple(_others(audit, found)),
        reasons=audit.reasons,
        changed=since.words(audit, whole=False),
        signatures=tuple(people.signatures(audit)),
    )


def _opening(text: str) -> str:
    """As many whole sentences of the purpose as fit three lines; section 4 has the rest."""
    flat = " ".join(text.split())
    if len(flat) <= OPENING:
        return flat
    stop = flat.rfind(". ", 0, OPENING)
    return flat[: stop + 1] if stop > 0 else f"{flat[:OPENING].rstrip()}…"


def _tested(audit: Audit) -> str:
    test = (audit.subject.get("data") or {}).get("test") or {}
    rows = test.get("rows")
    who = told.people(audit)
    if rows is None:
        return "How many rows it was tested on is not recorded."
    train = (audit.subject.get("data") or {}).get("train")
    aside = "; the training data were given too" if train else "; no training data were given"
    return f"It was tested on {rows:,} {who}{aside}."


def _sums(audit: Audit, found: dict[str, list[Finding]]) -> str:
    """How the rules add up."""
    blocking = sum(finding.blocking for finding in found["fail"])
    words = [
        (blocking, "failed and blocks" if blocking == 1 else "failed and block"),
        (len(found["fail"]) - blocking, "failed without blocking"),
        (len(found["open"]), "could not be decided"),
        (len(found["review"]), "needs a person" if len(found["review"]) == 1 else "need a person"),
        (
            len(found["absent"]),
            "waits for a statement" if len(found["absent"]) == 1 else "wait for statements",
        ),
        (len(found["pass"]), "passed"),
        (len(found["waived"]), "is waived" if len(found["waived"]) == 1 else "are waived"),
        (len(found["informational"]), "for information"),
        (
            len(found["notApplicable"]),
            "does not apply" if len(found["notApplicable"]) == 1 else "do not apply",
        ),
    ]
    total = len(audit.findings)
    parts = [f"{n}\u00a0{text}" for n, text in words if n]
    policies = numbers.joined(f"{policy['id']} {policy['version']}" for policy in audit.policies)
    if not total:
        return "No rule was applied, so a person has to judge."
    return f"The policy {policies} holds {numbers.some(total, 'rule')}: {numbers.joined(parts)}."


def _blocks(audit: Audit, found: dict[str, list[Finding]]) -> list[tuple[Mark, str, Table, str]]:
    """What failed and what is open, as tables short enough that the page stays one page."""
    room = ROWS - sum(bool(found[key]) for key in ("review", "waived"))
    room -= SINCE if frozen.sentence(audit) or audit.baseline is not None else 0
    failed = min(len(found["fail"]), room - LEAST if found["open"] else room)
    shown = {"fail": failed, "open": room - failed}
    heads = {
        "fail": ("Failed", ("Who is affected", "What to do next")),
        "open": ("Could not be decided", ("What would settle it",)),
    }
    blocks = []
    for key, (head, last) in heads.items():
        if not found[key]:
            continue
        told_here = [told.judged(audit, finding) for finding in found[key][: shown[key]]]
        columns = (
            Column(head="Rule, in plain words", width="w-rule"),
            Column(head="Article", width="w-article"),
            Column(head="Observed", width="w-observed"),
            Column(head="Threshold", width="w-threshold"),
            *(Column(head=word) for word in last),
        )
        table = Table(
            caption=head,
            columns=columns,
            rows=tuple(_row(entry, len(last)) for entry in told_here),
            full=True,
        )
        rest = len(found[key]) - shown[key]
        more = (
            f"{numbers.some(rest, 'more rule')} of this kind stand in the sections below." if rest > 0 else ""
        )
        blocks.append((VERDICTS[key], head, table, more))
    return blocks


def _others(audit: Audit, found: dict[str, list[Finding]]) -> list[tuple[Mark, str, tuple[Judged, ...], str]]:
    """What needs a person and what a person has waived, a line each."""
    made = []
    for key, head in (("review", "For a person to review"), ("waived", "Waived")):
        entries = tuple(told.judged(audit, finding) for finding in found[key][:LINES])
        rest = len(found[key]) - LINES
        more = (
            f"{numbers.some(rest, 'more rule')} of this kind stand in the sections below." if rest > 0 else ""
        )
        if entries:
            made.append((VERDICTS[key], head, entries, more))
    return made


def _row(entry: Judged, last: int) -> Line:
    """A rule on page 1; a warning says that it does not block."""
    ends: tuple[Cell, ...] = (Cell(text=entry.settle),)
    if last == 2:
        ends = (Cell(text=entry.affected or "–"), Cell(text=entry.todo or "–"))
    return Line(
        cells=(
            Cell(
                text=entry.title,
                sub=entry.rule if entry.blocking else f"{entry.rule}, warns",
                href=f"#{entry.anchor}",
            ),
            Cell(text=_bare(entry.clause)),
            Cell(text=entry.observed, sub=entry.quantity),
            Cell(text=entry.threshold, sub=entry.basis),
            *ends,
        )
    )


def _bare(clause: str) -> str:
    """``15(3)`` for ``Article 15(3)``: the head of the column says Article."""
    return clause.removeprefix("Article ").removeprefix("Articles ")

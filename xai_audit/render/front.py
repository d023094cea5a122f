"""Page 1: the outcome in one sentence, what failed, what could not be decided, who signs."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace
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
"""Rules in the tables of page 1 at most; the sections tell the rest."""
LEAST = 3
"""Rows of what failed, and of what is undecided, before either takes all the room there is."""
LINES = 3
"""Rules for a person to review, and waived ones, on page 1 at most."""
TABLE = 11.5
"""The height of a table with one row."""
PAPER = 60.0
"""Lines of a table that a printed page holds; all heights here are in such lines, of 12 points."""
PROSE = 1.2
"""How high a line of prose is."""
HEAD = 2.6
"""The height of a head with the space above it."""
WIDTHS = {
    "rule": 22, "article": 12, "observed": 22, "threshold": 19, "affected": 16, "end": 19, "settle": 38,
    "prose": 74, "item": 125, "title": 34, "signature": 50,
}  # fmt: skip
"""Characters that fit a line of each column of page 1."""
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
    front = Front(
        eyebrow=f"Audit of {stands}. Run on {numbers.day(audit.run.get('finished', ''))}.",
        clauses=clauses(audit),
        purpose=_opening(purpose),
        tested=_tested(audit),
        sums=_sums(audit, found),
        missing=audit.counts.statements_missing,
        frozen=frozen.sentence(audit),
        blocks=(),
        others=(),
        reasons=audit.reasons,
        changed=since.words(audit, whole=False),
        signatures=tuple(people.signatures(audit)),
    )
    least = TABLE * sum(bool(found[key]) for key in ("fail", "open"))
    for lines in range(LINES, 0, -1):
        front = replace(front, others=tuple(_others(audit, found, lines)))
        if _room(front) >= least:
            break
    return replace(front, blocks=tuple(_blocks(audit, found, _room(front))))


def _room(front: Front) -> float:
    """The height that is left for tables on a printed page 1."""
    missing = "36 statements are missing (annex A)."
    opening = f"{front.purpose} {front.tested} {front.sums} {missing} {front.frozen}"
    room = (
        PAPER - 1.5 - 2.8 * _wrapped("; ".join(front.clauses), "title") - PROSE * _wrapped(opening, "prose")
    )
    for _, _, entries, more in front.others:
        texts = (f"{one.rule} {one.title} ({one.clause}). {one.waiver or one.settle}" for one in entries)
        room -= HEAD + sum(_wrapped(text, "item") + 0.2 for text in texts) + 1.5 * bool(more)
    if front.changed:
        room -= HEAD + PROSE * _wrapped(front.changed, "prose")
    signed = (
        3.5 if one.absent else _wrapped(one.text, "signature") + _wrapped(one.author, "signature") + 0.5
        for one in front.signatures
    )
    return room - HEAD - max(signed, default=0)


def _wrapped(text: str, column: str) -> int:
    """How many lines a text takes at most."""
    return len(textwrap.wrap(text, WIDTHS[column])) or 1


def _height(row: Line) -> float:
    """How high a row of page 1 is."""
    ends = ("settle",) if len(row.cells) == 5 else ("affected", "end")
    columns = ("rule", "article", "observed", "threshold", *ends)
    lines = (
        _wrapped(cell.text, column) + (_wrapped(cell.sub, column) if cell.sub else 0)
        for cell, column in zip(row.cells, columns, strict=True)
    )
    return max(lines) + 0.5


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


def _blocks(audit: Audit, found: dict[str, list[Finding]], room: float) -> list[tuple[Mark, str, Table, str]]:
    """What failed and what is open, as tables short enough that the page stays one page."""
    heads = {
        "fail": ("Failed", ("Who is affected", "What to do next")),
        "open": ("Could not be decided", ("What would settle it",)),
    }
    rows = {
        key: [_row(told.judged(audit, finding), len(last)) for finding in found[key][:ROWS]]
        for key, (_, last) in heads.items()
        if found[key]
    }
    room -= len(rows) * (HEAD + 1.8)  # the head and the heads of columns
    left = ROWS - sum(bool(found[key]) for key in ("review", "waived"))
    every = [row for lines in rows.values() for row in lines]
    if len(every) > left or sum(map(_height, every)) > room:
        room -= len(rows) * 1.5  # where the rest stands
    shown: dict[str, list[Line]] = {key: [] for key in rows}
    places = [(key, place) for key, lines in rows.items() for place in range(len(lines))]
    # In turn while there are few of each, then what failed; one of each is told whatever its height.
    for key, place in sorted(places, key=lambda at: (min(at[1], LEAST), at[0] != "fail", at[1])):
        row = rows[key][place]
        if place == 0 or (len(shown[key]) == place and left > 0 and _height(row) <= room):
            shown[key].append(row)
            room, left = room - _height(row), left - 1
    blocks = []
    for key, (head, last) in heads.items():
        if key not in shown:
            continue
        columns = (
            Column(head="Rule, in plain words", width="w-rule"),
            Column(head="Article", width="w-article"),
            Column(head="Observed", width="w-observed"),
            Column(head="Threshold", width="w-threshold"),
            *(Column(head=word) for word in last),
        )
        table = Table(caption=head, columns=columns, rows=tuple(shown[key]), full=True)
        rest = len(found[key]) - len(shown[key])
        blocks.append((VERDICTS[key], head, table, _more(rest)))
    return blocks


def _more(rest: int) -> str:
    """Where the rules stand that page 1 does not tell."""
    if rest < 1:
        return ""
    return f"{numbers.some(rest, 'more rule')} of this kind stand{'s' * (rest == 1)} in the sections below."


def _others(
    audit: Audit, found: dict[str, list[Finding]], lines: int
) -> list[tuple[Mark, str, tuple[Judged, ...], str]]:
    """What needs a person and what a person has waived, a line each."""
    made = []
    for key, head in (("review", "For a person to review"), ("waived", "Waived")):
        entries = tuple(told.judged(audit, finding) for finding in found[key][:lines])
        rest = len(found[key]) - lines
        if entries:
            made.append((VERDICTS[key], head, entries, _more(rest)))
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

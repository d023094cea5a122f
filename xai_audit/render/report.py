"""The whole report as values: the outline's sections with the evidence, rules and statements that belong there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import yaml

from xai_audit import resources
from xai_audit.render import (
    circuits,
    compared,
    concepts,
    dictionaries,
    exhibits,
    facts,
    front,
    people,
    rungs,
    since,
    training,
    units,
)
from xai_audit.render import findings as told
from xai_audit.render import ledger as ledgers
from xai_audit.render import numbers as printed
from xai_audit.render.beside import margin
from xai_audit.render.claims import sentence
from xai_audit.render.palette import VERDICTS
from xai_audit.render.shown import Exhibit, Section, Table
from xai_audit.render.thresholds import matches, primary
from xai_audit.render.visible import brief, name, prose

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xai_audit.audit import Audit
    from xai_audit.evidence import Evidence
    from xai_audit.render.palette import Mark

BUILDERS = {
    "general": exhibits.general,
    "performance": exhibits.performance,
    "by_group": compared.by_group,
    "concepts": concepts.exhibits,
    "units": units.exhibits,
    "dictionaries": dictionaries.exhibits,
    "training": training.exhibits,
    "circuits": circuits.exhibits,
    "described": compared.described,
    "fairness": compared.fairness,
    "passport": exhibits.passport,
    "changes": since.exhibits,
}
"""How a section shows its evidence, by the word in the outline."""
WHOLE = {"fail", "open", "review", "waived"}
"""Verdicts whose findings are told whole."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that the page looks up."""

    title: str
    provider: str
    outcome: str
    front: front.Front
    outcome_mark: Mark
    rail: tuple[tuple[str, str, str, Mark | None], ...]
    """Number, short title, anchor and mark of each section, in order."""
    sections: tuple[Section, ...]
    ledger: ledgers.Ledger
    instructions: Table
    facts: dict[str, Table]
    texts: dict[str, Any]
    marks: tuple[Mark, ...]
    model: str
    policy: str
    date: str
    finished: str
    glossary: tuple[tuple[str, str], ...]


def outline() -> Mapping[str, Any]:
    """The report's outline, as templates/ holds it."""
    text = (resources.folder("templates") / "annex_iv.yaml").read_text(encoding="utf-8")
    found: Mapping[str, Any] = yaml.safe_load(text)
    return found


def report(audit: Audit) -> Report:
    """The report of an audit; a pure function of it."""
    plan = outline()
    sections = _sections(audit, plan)
    numbered = number_tables(sections, facts.facts(audit))
    found = front.states(audit)
    worst = next(
        (VERDICTS[key] for key in ("fail", "open", "review", "absent") if found[key]), VERDICTS["pass"]
    )
    rail: list[tuple[str, str, str, Mark | None]] = [("1", "Outcome", "outcome", worst)]
    rail += [(s.number, s.short, s.id, s.mark) for s in sections]
    policies = audit.policies
    return Report(
        title=people.title(audit),
        provider=people.provider(audit),
        outcome=audit.outcome,
        front=front.page(audit),
        outcome_mark=worst,
        rail=tuple(sorted(rail, key=lambda entry: order(entry[0]))),
        sections=tuple(sections),
        ledger=ledgers.ledger(audit, plan),
        instructions=replace(ledgers.instructions(audit), number="B.1"),
        facts=numbered,
        texts=texts(audit),
        marks=tuple(VERDICTS[key] for key in ("fail", "open", "review", "pass", "absent")),
        model=printed.short((audit.subject.get("model") or {}).get("sha256")),
        policy=printed.joined(f"{p['id']} {p['version']}" for p in policies) or "none",
        date=printed.day(audit.run.get("finished", "")),
        finished=str(audit.run.get("finished", "")),
        glossary=tuple((row["term"], row["means"]) for row in plan["glossary"] if _met(audit, row)),
    )


def _met(audit: Audit, row: Mapping[str, Any]) -> bool:
    """Whether a term of the glossary is met in this report; one without ``when`` always is."""
    if "when" not in row:
        return True
    if row["term"] == "Rung":
        return any(piece.rung for piece in audit.evidence)
    methods = {piece.method for piece in audit.evidence} | {
        str(use.get("method")) for use in audit.spec.get("explainers", ())
    }
    return bool(methods.intersection(row["when"]))


def order(number: str) -> tuple[int, str]:
    """What sections are sorted by: numbers first, then letters."""
    return (int(number), "") if number.isdigit() else (1000, number)


def _sections(audit: Audit, plan: Mapping[str, Any]) -> list[Section]:
    placed = place(audit, plan)
    ruled = place_rules(audit, plan, placed)
    wanted = people.asked(audit)
    read = {identifier for finding in audit.findings for identifier in finding.evidence}
    made = []
    for entry in plan["sections"]:
        pieces = placed[entry["id"]]
        judged = [told.judged(audit, finding) for finding in ruled[entry["id"]]]
        # A record is told by the rule that reads it; the register lists it all the same.
        shown = [piece for piece in pieces if piece.kind != "record" or piece.id not in read]
        measured = [piece for piece in shown if piece.status == "measured"]
        section = Section(
            id=entry["id"],
            number=str(entry["number"]),
            title=entry["title"],
            short=entry["short"],
            template=entry["template"],
            articles=tuple(entry["articles"]),
            exhibits=BUILDERS[entry.get("builder", "general")](audit, measured),
            judged=[finding for finding in judged if finding.kind in WHOLE],
            brief=[finding for finding in judged if finding.kind not in WHOLE],
            statements=[
                said
                for key in entry.get("statements", ())
                if key in wanted
                for said in people.together(people.said(audit, key))
            ],
            unmeasured=[facts.unmeasured(piece) for piece in shown if piece.status != "measured"],
        )
        section.exhibits = [*_once(section.exhibits), *_controls(audit, measured)]
        section.mark = _mark(section)
        if section.filled or not entry.get("optional"):
            made.append(section)
    return sorted(made, key=lambda section: order(section.number))


def _controls(audit: Audit, pieces: Sequence[Evidence]) -> list[Exhibit]:
    """What the claims of a section were held against, in one table after all that shows them."""
    table = rungs.controls(pieces)
    held = [piece for piece in pieces if rungs.claim(piece)]
    return [Exhibit(table=table, margin=margin(audit, held))] if table else []


LIMITS = 6
"""Sentences on what numbers cannot show, below one table."""


def _once(shown: Sequence[Exhibit]) -> list[Exhibit]:
    """Exhibits that say below their tables what cannot be read from them, each sentence once in a section.

    What a table that paper leaves out says is said again at the first one on paper. A sentence that a picture
    has for its title is not said again above a table.
    """
    paper: set[str] = set()
    screen: set[str] = set()
    titles: list[str] = []
    made = []
    for one in shown:
        lead = one.lead
        for title in titles:
            lead = lead.replace(title, "").strip()
        exhibit = replace(one, lead=lead)
        if exhibit.figure is not None and exhibit.on_paper:
            titles.append(sentence(exhibit.figure.title))
        table = exhibit.table
        if table is None:
            made.append(exhibit)
            continue
        printed_too = exhibit.on_paper and not table.screen
        told = paper if printed_too else screen
        fresh = [said for said in table.limits if said not in told]
        screen.update(fresh[:LIMITS])
        paper.update(fresh[:LIMITS] if printed_too else ())
        rest = len(fresh) - LIMITS
        note = f"What cannot be read from this: {' '.join(fresh[:LIMITS])}"
        note += f" Annex G has {rest} more." if rest > 0 else ""
        made.append(replace(exhibit, table=replace(table, limits=(note,) if fresh else ())))
    return made


def _mark(section: Section) -> Mark | None:
    """A section's heaviest mark: of its findings, its failed methods, its missing statements."""
    marks = [
        finding.mark
        for finding in (*section.judged, *section.brief)
        if finding.kind not in {"notApplicable", "informational"}
    ]
    if any(said.absent or not said.attributed for said in section.statements):
        marks.append(VERDICTS["absent"])
    if any(line.cells[1].text == "failed" for line in section.unmeasured):
        marks.append(VERDICTS["review"])
    weights = list(VERDICTS.values())
    # A missing statement weighs more than a pass, so that a gap is never hidden behind one.
    rank = {mark.word: index for index, mark in enumerate([*weights[:3], VERDICTS["absent"], *weights[3:7]])}
    return min(marks, key=lambda mark: rank[mark.word]) if marks else None


def place(audit: Audit, plan: Mapping[str, Any]) -> dict[str, list[Evidence]]:
    """Every piece of evidence in exactly one section."""
    placed: dict[str, list[Evidence]] = {entry["id"]: [] for entry in plan["sections"]}
    for piece in audit.evidence:
        home = next(
            (e["id"] for e in plan["sections"] if _belongs(e, piece)),
            plan["otherwise"][piece.kind],
        )
        placed[home].append(piece)
    return placed


def _belongs(entry: Mapping[str, Any], piece: Evidence) -> bool:
    """Whether a section is the home of a piece of evidence: by its kind of claim, or by its id."""
    if entry.get("claims") == "concepts" and concepts.concerns(piece):
        return True
    return matches(entry.get("evidence", []), piece)


def place_rules(
    audit: Audit, plan: Mapping[str, Any], placed: Mapping[str, Sequence[Evidence]]
) -> dict[str, list[Any]]:
    """Every finding in exactly one section: by its rule's id, else where its evidence is."""
    ruled: dict[str, list[Any]] = {entry["id"]: [] for entry in plan["sections"]}
    homes = {piece.id: section for section, pieces in placed.items() for piece in pieces}
    for finding in sorted(audit.findings, key=told.weight):
        named = next(
            (
                e["id"]
                for e in plan["sections"]
                if any(fnmatchcase(finding.rule, p) for p in e.get("rules", ()))
                # A section that stands only where it has evidence is no home for a rule alone.
                and (placed[e["id"]] or not e.get("optional"))
            ),
            None,
        )
        first = next((homes[i] for i in finding.evidence if i in homes), plan["otherwise"]["rules"])
        ruled[named or first].append(finding)
    return ruled


CLASSIFIED = {
    "annex_iii_point": "Annex III point",
    "profiling": "Profiling of people",
    "art6_3": "Exemption under Article 6(3)",
    "annex_i": "Legislation of Annex I",
    "role": "Role of who states this",
}
"""The provider's words on where the system stands, by their keys in the spec."""
BEFORE = {
    "identity": ("identity",),
    "legal": ("dates",),
    "design": ("model",),
    "data": ("given", "sets", "groupings", "columns"),
    "scope": ("unmeasured", "frozen"),
}
"""Tables of facts that a section prints before its evidence."""
AFTER = {"reproduction": ("environment", "rules", "methods", "register")}
"""Tables of facts that it prints after."""


def number_tables(sections: Sequence[Section], known: Mapping[str, Table]) -> dict[str, Table]:
    """Number each section's tables in the order of the page; the tables of facts, numbered."""
    numbered = dict(known)
    for section in sections:
        count = 0
        for key in BEFORE.get(section.id, ()):
            if known[key].rows:
                count += 1
                numbered[key] = replace(known[key], number=f"{section.number}.{count}")
        for index, exhibit in enumerate(section.exhibits):
            if exhibit.table is not None:
                count += 1
                table = replace(exhibit.table, number=f"{section.number}.{count}")
                section.exhibits[index] = replace(exhibit, table=table)
        for key in AFTER.get(section.id, ()):
            count += 1
            numbered[key] = replace(known[key], number=f"{section.number}.{count}")
    return numbered


def texts(audit: Audit) -> dict[str, Any]:
    """Words and lists that sections print."""
    about = people.system(audit)
    classification = about.get("classification") or {}
    subject = audit.subject
    return {
        "who": told.people(audit),
        "since": since.words(audit),
        "reasons": tuple(prose(reason) for reason in audit.reasons),
        "not_examined": tuple(prose(text) for text in audit.not_examined),
        "notes": tuple(prose(text) for text in subject.get("notes") or ()),
        "sensitive_inputs": tuple(name(column) for column in subject.get("sensitive_inputs") or ()),
        "min_cell": audit.spec.get("report", {}).get("min_cell", 10),
        "examples": bool(audit.spec.get("report", {}).get("examples")),
        "stage": about.get("stage", "development"),
        "task": subject.get("task") or "",
        "positive": _class(subject, "positive"),
        "favourable": _class(subject, "favourable"),
        "threshold": subject.get("threshold"),
        "rungs": rungs.present(audit.evidence),
        "modality": told.modality(audit),
        "each": told.rows(audit, 1),
        "rows": told.rows(audit, 2),
        "classes": tuple(name(c, 40) for c in subject.get("classes") or ()),
        "classification": [
            (CLASSIFIED.get(key, name(str(key).replace("_", " "), 40)), name(brief(value), 300))
            for key, value in classification.items()
            if value is not None
        ],
        "as_of": printed.joined(dict.fromkeys(printed.day(p.get("as_of", "")) for p in audit.policies))
        or "an unknown date",
        "policies": [
            (
                p["id"],
                str(p["version"]),
                name(p.get("author") or "an author not named", 80),
                printed.day(p.get("as_of", "")),
            )
            for p in audit.policies
        ],
        "declared": [_declared(level) for level in about.get("declared_levels", ())],
        "seed": audit.spec.get("run", {}).get("seed", 0),
        "overrides": [(name(key), name(value)) for key, value in (audit.spec.get("overrides") or {}).items()],
        "primary": name(str(primary(audit) or "").replace("_", " "), 60),
        "confidence": f"{audit.spec.get('run', {}).get('confidence', 0.95):.0%}".replace("%", "\u00a0%"),
    }


def _class(subject: Mapping[str, Any], key: str) -> str:
    """The label of the positive or the favourable class."""
    classes, index = subject.get("classes") or (), subject.get(key)
    return name(classes[index], 60) if isinstance(index, int) and 0 <= index < len(classes) else ""


def _declared(level: Mapping[str, Any]) -> str:
    side = "at least" if level.get("at_least") is not None else "at most"
    number = level.get("at_least") if level.get("at_least") is not None else level.get("at_most")
    return f"{name(str(level.get('metric', '')).replace('_', ' '), 60)} {side} {printed.plain(float(number or 0), 2)}"

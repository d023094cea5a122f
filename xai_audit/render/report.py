"""The whole report as values: the outline's sections with the evidence, rules and statements that belong there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import yaml

from xai_audit import resources
from xai_audit.render import exhibits, front, people
from xai_audit.render import findings as told
from xai_audit.render import ledger as ledgers
from xai_audit.render import numbers as printed
from xai_audit.render.palette import VERDICTS
from xai_audit.render.shown import Cell, Column, Line, Section, Table
from xai_audit.render.thresholds import matches, primary
from xai_audit.render.visible import anchor, visible, name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xai_audit.audit import Audit
    from xai_audit.evidence import Evidence
    from xai_audit.render.palette import Mark
    from xai_audit.render.shown import Judged

WHOLE = {"fail", "open", "review", "waived"}
"""Verdicts whose findings are told whole."""
PACKAGES = 400
CHECKS = 60


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
    number_tables(sections)
    found = front.states(audit)
    worst = next(
        (VERDICTS[key] for key in ("fail", "open", "review", "absent") if found[key]), VERDICTS["pass"]
    )
    rail = [("1", "Outcome", "outcome", worst)]
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
        facts=facts(audit),
        texts=texts(audit),
        marks=tuple(VERDICTS[key] for key in ("fail", "open", "review", "pass", "absent")),
        model=printed.short((audit.subject.get("model") or {}).get("sha256")),
        policy=printed.joined(f"{p['id']} {p['version']}" for p in policies) or "none",
        date=printed.day(audit.run.get("finished", "")),
        finished=str(audit.run.get("finished", "")),
        glossary=tuple((row["term"], row["means"]) for row in plan["glossary"]),
    )


def order(number: str) -> tuple[int, str]:
    """What sections are sorted by: numbers first, then letters."""
    return (int(number), "") if number.isdigit() else (1000, number)


def _sections(audit: Audit, plan: Mapping[str, Any]) -> list[Section]:
    placed = place(audit, plan)
    ruled = place_rules(audit, plan, placed)
    made = []
    for entry in plan["sections"]:
        pieces = placed[entry["id"]]
        judged = [told.judged(audit, finding) for finding in ruled[entry["id"]]]
        measured = [piece for piece in pieces if piece.status == "measured"]
        section = Section(
            id=entry["id"],
            number=str(entry["number"]),
            title=entry["title"],
            short=entry["short"],
            template=entry["template"],
            articles=tuple(entry["articles"]),
            exhibits=exhibits.BUILDERS[entry.get("builder", "general")](audit, measured),
            judged=[finding for finding in judged if finding.kind in WHOLE],
            brief=[finding for finding in judged if finding.kind not in WHOLE],
            statements=[
                said
                for key in entry.get("statements", ())
                if _wanted(audit, key)
                for said in people.said(audit, key)
            ],
            unmeasured=[_unmeasured(piece) for piece in pieces if piece.status != "measured"],
        )
        section.mark = _mark(section)
        made.append(section)
    return sorted(made, key=lambda section: order(section.number))


def _wanted(audit: Audit, key: str) -> bool:
    """Whether a section prints a statement: one of Annex IV always, another where given or missed by a rule."""
    from xai_audit.statements import BY_KEY

    return (
        bool(BY_KEY[key].points)
        or bool(people.statement(audit, key))
        or any(key == missing.partition(".")[0] for finding in audit.findings for missing in finding.missing)
    )


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


def _unmeasured(piece: Evidence) -> Line:
    return Line(
        cells=(
            Cell(text=name(piece.title, 80), sub=name(piece.id, 80), href=f"#{anchor('evidence', piece.id)}"),
            Cell(
                text=piece.status, mark=VERDICTS["review"] if piece.status == "failed" else VERDICTS["absent"]
            ),
            Cell(text=visible(piece.reason or "")[:600]),
        )
    )


def place(audit: Audit, plan: Mapping[str, Any]) -> dict[str, list[Evidence]]:
    """Every piece of evidence in exactly one section."""
    placed: dict[str, list[Evidence]] = {entry["id"]: [] for entry in plan["sections"]}
    for piece in audit.evidence:
        home = next(
            (e["id"] for e in plan["sections"] if matches(e.get("evidence", []), piece)),
            plan["otherwise"][piece.kind],
        )
        placed[home].append(piece)
    return placed


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
            ),
            None,
        )
        first = next((homes[i] for i in finding.evidence if i in homes), plan["otherwise"]["rules"])
        ruled[named or first].append(finding)
    return ruled


def number_tables(sections: Sequence[Section]) -> None:
    """Number each section's tables in the order of the page."""
    for section in sections:
        count = 0
        for index, exhibit in enumerate(section.exhibits):
            if exhibit.table is not None:
                count += 1
                table = replace(exhibit.table, number=f"{section.number}.{count}")
                section.exhibits[index] = replace(exhibit, table=table)


def _pairs(caption: str, heads: tuple[str, str], rows: Sequence[tuple[str, str]]) -> Table:
    return Table(
        caption=caption,
        columns=(Column(head=heads[0], width="w-measure"), Column(head=heads[1])),
        rows=tuple(Line(cells=(Cell(text=first), Cell(text=second))) for first, second in rows),
    )


def facts(audit: Audit) -> dict[str, Table]:
    """Tables of what the run knows of itself: identity, columns, packages, evidence, rules, methods."""
    return {
        "identity": _identity(audit),
        "model": _model(audit),
        "columns": _columns(audit),
        "groupings": _groupings(audit),
        "environment": _environment(audit),
        "register": _register(audit),
        "rules": _rules(audit),
        "methods": _methods(audit),
        "dates": _dates(audit),
        "unmeasured": _all_unmeasured(audit),
    }


def _identity(audit: Audit) -> Table:
    about = people.system(audit)
    provider = about.get("provider") or {}
    data = audit.subject.get("data") or {}
    model = audit.subject.get("model") or {}
    rows = [
        ("System", people.title(audit)),
        ("Replaces version", name(about.get("previous_version") or "not stated", 60)),
        ("Stage", str(about.get("stage", "not stated"))),
        (
            "Provider",
            ", ".join(
                name(provider[k]) for k in ("name", "address", "contact", "representative") if provider.get(k)
            )
            or "not stated",
        ),
        (
            "Model",
            f"{model.get('format', '')}, sha256 {model.get('sha256', '')}"
            if model
            else "none; predictions were given",
        ),
        *(
            (f"{label} data", f"{table.get('rows', 0):,} rows, sha256 {table.get('sha256', '')}")
            for label, table in (("Test", data.get("test")), ("Training", data.get("train")))
            if table
        ),
        *(
            (
                f"Policy {p['id']} {p['version']}",
                f"as of {printed.day(p.get('as_of', ''))}, sha256 {p.get('sha256', '')}",
            )
            for p in audit.policies
        ),
        ("Tool", _tool(audit)),
        ("Run", f"{_moment(audit.run.get('started'))} to {_moment(audit.run.get('finished'))}"),
        (
            "Host and workers",
            f"{name(audit.run.get('host') or 'not recorded', 60)}, {audit.run.get('jobs', 1)}",
        ),
    ]
    return replace(_pairs("What was audited, with what, when", ("What", "Which"), rows), full=True)


def _tool(audit: Audit) -> str:
    return f"xai-audit {name(audit.environment.get('xai_audit') or 'of unknown version', 40)}"


def _moment(moment: object) -> str:
    text = str(moment or "not recorded")
    day, _, clock = text.partition("T")
    return (
        f"{printed.day(day)}, {clock[:8]}{' UTC' if clock.endswith(('Z', '+00:00')) else ''}"
        if clock
        else printed.day(day)
    )


def _model(audit: Audit) -> Table:
    details = (audit.subject.get("model") or {}).get("details") or {}
    rows = [
        (name(key.replace("_", " "), 40), name(_brief(value), 300)) for key, value in sorted(details.items())
    ]
    return replace(_pairs("What the model file says of itself", ("What", "Value"), rows), number="5.0")


def _brief(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(
            f"{key} {_brief(inner)}" for key, inner in sorted(value.items(), key=lambda kv: str(kv[0]))
        )
    if isinstance(value, (list, tuple)):
        return ", ".join(_brief(inner) for inner in value)
    return str(value)


def _columns(audit: Audit) -> Table:
    columns = audit.subject.get("columns") or ()
    shown = columns[:CHECKS]
    rows = tuple(
        Line(
            cells=(
                Cell(text=name(column["name"])),
                Cell(text=str(column["kind"])),
                Cell(text=_levels(column.get("levels"))),
            )
        )
        for column in shown
    )
    more = len(columns) - len(shown)
    return Table(
        caption="Inputs of the model",
        columns=(Column(head="Input"), Column(head="Kind"), Column(head="Levels")),
        rows=rows,
        notes=(f"and {more:,} more in audit.json.",) if more > 0 else (),
        folded=len(columns) > 12,
    )


def _levels(levels: Any) -> str:
    """How many levels a column has, or which."""
    if not levels:
        return "–"
    return (
        f"{levels:,}"
        if isinstance(levels, int)
        else name(", ".join(name(level, 30) for level in levels), 200)
    )


def _groupings(audit: Audit) -> Table:
    rows = []
    for grouping in audit.subject.get("groupings") or ():
        if len(grouping["columns"]) > 1:
            continue
        for index, (label, count) in enumerate(zip(grouping["labels"], grouping["counts"], strict=True)):
            size = (
                f"{count:,}"
                if isinstance(count, int)
                else name(count if count is not None else "withheld", 30)
            )
            rows.append(
                Line(
                    cells=(
                        Cell(text=name(grouping["columns"][0], 60)),
                        Cell(text=name(label, 80)),
                        Cell(text=size, muted=not isinstance(count, int)),
                    ),
                    begins=index == 0 and bool(rows),
                )
            )
    return Table(
        caption="Groups that are compared, and how many rows of the test data each holds",
        columns=(Column(head="Column"), Column(head="Group"), Column(head="n", numeric=True)),
        rows=tuple(rows),
    )


def _environment(audit: Audit) -> Table:
    packages = audit.environment.get("packages") or {}
    here = audit.environment
    machine = " ".join(name(here[key], 60) for key in ("system", "machine") if here.get(key))
    rows = [
        ("Python", name(here.get("python") or "not recorded", 60)),
        ("Machine", machine or "not recorded"),
    ]
    rows += [
        (name(package, 60), name(version, 60)) for package, version in sorted(packages.items())[:PACKAGES]
    ]
    return replace(
        _pairs("Software this audit ran on", ("Package", "Version"), rows), folded=True, number="G.1"
    )


def _register(audit: Audit) -> Table:
    rows = tuple(
        Line(
            cells=(
                Cell(text=name(piece.id, 100)),
                Cell(
                    text=piece.status,
                    mark=None
                    if piece.status == "measured"
                    else VERDICTS["review" if piece.status == "failed" else "absent"],
                ),
                Cell(text=piece.observation.shape if piece.observation else name(piece.reason or "", 160)),
                Cell(text=str(piece.seed)),
                Cell(text=name(_brief(piece.params), 160) or "–"),
            ),
            anchor=anchor("evidence", piece.id),
        )
        for piece in audit.evidence
    )
    return Table(
        caption="Register of evidence, each piece as audit.json holds it",
        columns=(
            Column(head="Evidence"),
            Column(head="Status"),
            Column(head="Shape or reason"),
            Column(head="Seed", numeric=True),
            Column(head="Parameters"),
        ),
        rows=rows,
        full=True,
        number="G.3",
    )


def _rules(audit: Audit) -> Table:
    rows = []
    for finding in sorted(audit.findings, key=lambda f: (f.policy, f.rule)):
        judged = told.judged(audit, finding)
        rows.append(
            Line(
                cells=(
                    Cell(text=judged.rule, sub=judged.policy),
                    Cell(text=judged.title),
                    Cell(text=judged.clause, sub=judged.basis),
                    Cell(text=judged.threshold, sub=judged.applies),
                    Cell(text=judged.word, mark=judged.mark, sub=judged.level, href=f"#{judged.anchor}"),
                ),
                anchor=anchor("rule", f"{finding.policy}-{finding.rule}"),
            )
        )
    return Table(
        caption="The rules, as they were fixed before the run",
        columns=(
            Column(head="Rule", width="w-article"),
            Column(head="In plain words"),
            Column(head="Provision and basis"),
            Column(head="Requirement"),
            Column(head="Verdict"),
        ),
        rows=tuple(rows),
        full=True,
        number="2.2",
    )


def _methods(audit: Audit) -> Table:
    rows: dict[str, Line] = {}
    for piece in audit.evidence:
        if piece.method in rows:
            continue
        rows[piece.method] = Line(
            cells=(
                Cell(text=name(piece.title, 80), sub=name(piece.method, 60)),
                Cell(text=name(piece.measures, 300) or "–"),
                Cell(text=name(" ".join(piece.limits), 400) or "–"),
                Cell(text=name("; ".join(piece.cites), 200) or "–"),
            )
        )
    return Table(
        caption="Methods, what they measure, what they cannot show",
        columns=(
            Column(head="Method"),
            Column(head="Measures"),
            Column(head="Cannot show"),
            Column(head="After"),
        ),
        rows=tuple(rows[key] for key in sorted(rows)),
        full=True,
        number="G.2",
    )


def _dates(audit: Audit) -> Table:
    dates: dict[str, list[str]] = {}
    for finding in audit.findings:
        when = printed.day(finding.applies_from) if finding.applies_from else "no date in the policy"
        key = f"{finding.applies_from or '9999'}|{when}"
        dates.setdefault(key, []).append(finding.rule)
    rows = [(key.split("|", 1)[1], ", ".join(sorted(set(rules)))) for key, rules in sorted(dates.items())]
    return replace(
        _pairs(
            "From when the provisions behind the rules apply, as the policy holds it",
            ("Applies from", "Rules"),
            rows,
        ),
        number="3.1",
    )


def _all_unmeasured(audit: Audit) -> Table:
    rows = tuple(_unmeasured(piece) for piece in audit.evidence if piece.status != "measured")
    return Table(
        caption="Asked for or tried, but not measured",
        columns=(Column(head="What"), Column(head="Status"), Column(head="Reason")),
        rows=rows,
        full=True,
        number="2.1",
    )


def texts(audit: Audit) -> dict[str, Any]:
    """Words and lists that sections print."""
    about = people.system(audit)
    classification = about.get("classification") or {}
    subject = audit.subject
    return {
        "who": told.people(audit),
        "reasons": tuple(visible(reason) for reason in audit.reasons),
        "not_examined": tuple(visible(text) for text in audit.not_examined),
        "notes": tuple(visible(text) for text in subject.get("notes") or ()),
        "sensitive_inputs": tuple(name(column) for column in subject.get("sensitive_inputs") or ()),
        "min_cell": audit.spec.get("report", {}).get("min_cell", 10),
        "examples": bool(audit.spec.get("report", {}).get("examples")),
        "stage": about.get("stage", "development"),
        "task": subject.get("task") or "",
        "positive": _class(subject, "positive"),
        "favourable": _class(subject, "favourable"),
        "threshold": subject.get("threshold"),
        "classes": tuple(name(c, 40) for c in subject.get("classes") or ()),
        "classification": [
            (name(str(key).replace("_", " "), 40), name(_brief(value), 300))
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

"""What a run knows of itself: identity, inputs, software, rules and the register of its evidence, as tables."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from xai_audit.render import findings as told
from xai_audit.render import frozen, given, people
from xai_audit.render import numbers as printed
from xai_audit.render.claims import sentence
from xai_audit.render.palette import VERDICTS
from xai_audit.render.shown import Cell, Column, Line, Table
from xai_audit.render.visible import anchor, brief, name, prose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xai_audit.audit import Audit
    from xai_audit.evidence import Evidence

INPUTS = 60
"""Inputs that are listed; audit.json holds all."""


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
        "given": given.given(audit),
        "sets": given.sets(audit),
        "groupings": _groupings(audit),
        "environment": _environment(audit),
        "register": _register(audit),
        "rules": _rules(audit),
        "methods": _methods(audit),
        "dates": _dates(audit),
        "unmeasured": _all_unmeasured(audit),
        "frozen": frozen.table(audit),
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
            (
                f"{label} data",
                f"{numbers_of(audit, table.get('rows', 0))}, sha256 {table.get('sha256', '')}",
            )
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


def numbers_of(audit: Audit, n: int) -> str:
    """``442 rows``, ``1,000 pictures``."""
    return f"{n:,} {told.rows(audit, n)}"


def _tool(audit: Audit) -> str:
    version = f"xai-audit {name(audit.environment.get('xai_audit') or 'of unknown version', 40)}"
    tool = audit.environment.get("tool")
    return f"{version}, sha256 {name(tool, 64)}" if tool else version


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
        (name(key.replace("_", " "), 40), name(_detail(value), 300)) for key, value in sorted(details.items())
    ]
    return replace(_pairs("What the model file says of itself", ("What", "Value"), rows))


def _detail(value: object) -> str:
    """A detail of the model: counts from 10,000 on with commas."""
    return f"{value:,}" if type(value) is int and abs(value) >= 10_000 else brief(value)


def _columns(audit: Audit) -> Table:
    # The one column of pictures or texts is told as what the model is given.
    columns = (audit.subject.get("columns") or ()) if told.modality(audit) == "table" else ()
    shown = columns[:INPUTS]
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
        listed=True,
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
    rows: list[Line] = []
    known = audit.subject.get("groupings") or ()
    for grouping in known:
        if len(grouping["columns"]) > 1:
            continue
        explains = bool(grouping.get("explanatory"))
        for index, (label, count) in enumerate(zip(grouping["labels"], grouping["counts"], strict=True)):
            size = (
                f"{count:,}"
                if isinstance(count, int)
                else name(count if count is not None else "withheld", 30)
            )
            rows.append(
                Line(
                    cells=(
                        Cell(
                            text=name(grouping["columns"][0], 60),
                            sub="others are compared within it" if explains and not index else "",
                        ),
                        Cell(text=name(label, 80)),
                        Cell(text=size, muted=not isinstance(count, int)),
                    ),
                    begins=index == 0 and bool(rows),
                )
            )
    return Table(
        caption="Groups that are compared"
        + (", or within which others are," if any(g.get("explanatory") for g in known) else ",")
        + f" and how many {told.rows(audit, 2)} of the test data each holds",
        columns=(Column(head="Column"), Column(head="Group"), Column(head="n", numeric=True)),
        rows=tuple(rows),
    )


def unmeasured(piece: Evidence) -> Line:
    """Evidence that there is none of: what, skipped or failed, why."""
    return Line(
        cells=(
            Cell(text=name(piece.title, 80), sub=name(piece.id, 80), href=f"#{anchor('evidence', piece.id)}"),
            Cell(
                text=piece.status, mark=VERDICTS["review"] if piece.status == "failed" else VERDICTS["absent"]
            ),
            Cell(text=prose(piece.reason or "", 600)),
        )
    )


def _environment(audit: Audit) -> Table:
    packages = audit.environment.get("packages") or {}
    here = audit.environment
    machine = " ".join(name(here[key], 60) for key in ("system", "machine") if here.get(key))
    rows = [
        ("Python", name(here.get("python") or "not recorded", 60)),
        ("Machine", machine or "not recorded"),
    ]
    rows += [(name(package, 60), name(version, 60)) for package, version in sorted(packages.items())[:400]]
    table = _pairs("Software this audit ran on", ("Package", "Version"), rows)
    return replace(table, folded=True, listed=True)


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
                Cell(text=printed.count(len(piece.arrays)) if piece.arrays else "–", muted=not piece.arrays),
            ),
            anchor=anchor("evidence", piece.id),
        )
        for piece in audit.evidence
    )
    return Table(
        caption="Register of evidence; seeds, parameters and digests of each piece stand in audit.json",
        columns=(
            Column(head="Evidence"),
            Column(head="Status"),
            Column(head="Shape or reason"),
            Column(head="Arrays", numeric=True),
        ),
        rows=rows,
        full=True,
        kind="register",
        listed=True,
    )


def _rules(audit: Audit) -> Table:
    rows = []
    for finding in sorted(audit.findings, key=lambda f: (f.policy, f.rule)):
        judged = told.judged(audit, finding)
        rows.append(
            Line(
                cells=(
                    Cell(text=judged.rule, sub=judged.policy if len(audit.policies) > 1 else ""),
                    Cell(text=judged.title),
                    # From when it applies stands in section 3, by date.
                    Cell(text=judged.clause, sub=judged.basis),
                    Cell(text=judged.threshold),
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
        kind="rules",
    )


def _engine(piece: Evidence) -> str:
    """Which libraries did the work."""
    return name(", ".join(f"{library} {version}" for library, version in sorted(piece.versions.items())), 80)


def _methods(audit: Audit) -> Table:
    rows: dict[str, Line] = {}
    for piece in audit.evidence:
        if piece.method in rows or piece.kind == "record":
            continue
        rows[piece.method] = Line(
            cells=(
                Cell(text=name(piece.method, 60), sub=_engine(piece)),
                Cell(text=sentence(name(piece.measures, 300)) or "–", sub=name("; ".join(piece.cites), 400)),
                Cell(text=name(" ".join(map(sentence, piece.limits)), 1200) or "–"),
            )
        )
    return Table(
        caption="Methods, what they measure and after whom, what they cannot show",
        columns=(
            Column(head="Method"),
            Column(head="Measures; after"),
            Column(head="Cannot show"),
        ),
        rows=tuple(rows[key] for key in sorted(rows)),
        full=True,
        kind="methods",
        listed=True,
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
    )


def _all_unmeasured(audit: Audit) -> Table:
    rows = tuple(unmeasured(piece) for piece in audit.evidence if piece.status != "measured")
    return Table(
        caption="Asked for or tried, but not measured",
        columns=(Column(head="What"), Column(head="Status"), Column(head="Reason")),
        rows=rows,
        full=True,
    )

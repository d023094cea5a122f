"""What changed since the last audit, as this one's own evidence tells it: a sentence on page 1, and a section."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xai_audit.applying import CHANGE
from xai_audit.comparison import direction, turned
from xai_audit.evidence import Estimate, Groups, Scalar
from xai_audit.judge import waived
from xai_audit.render import charts, moved, numbers, people, tables
from xai_audit.render import findings as told
from xai_audit.render.beside import limits, margin
from xai_audit.render.claims import sentence
from xai_audit.render.ink import Threshold
from xai_audit.render.shown import Cell, Column, Exhibit, Figure, Line, Table
from xai_audit.render.visible import name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xai_audit.audit import Audit
    from xai_audit.comparison import Verdict
    from xai_audit.evidence import Evidence
    from xai_audit.verdict import Finding

MET = {"pass", "waived"}
BAD = {"fail", "open", "review"}


def words(audit: Audit, *, whole: bool = True) -> str:
    """What changed since the last audit in a sentence or two; that none was given, where the spec names one.

    ``whole`` tells what is the same, too.
    """
    before = audit.baseline
    if before is None:
        previous = people.system(audit).get("previous_version")
        if not previous:
            return ""
        return (
            f"The spec says that version {name(previous, 40)} came before. No earlier audit was given to compare with, "
            "so nothing here says whether this version is better or worse."
        )
    parts = [_performance(audit), _rules(audit, before)]
    said = "; ".join(part for part in parts if part)
    return f"Since {_named(before)}: {said}. {_inputs(audit, before, whole=whole)}".strip()


def _named(before: Mapping[str, Any]) -> str:
    day = numbers.day(before.get("finished") or "an unknown day")
    version = before.get("version")
    return f"version {name(version, 40)}, audited on {day}" if version else f"the audit of {day}"


def _performance(audit: Audit) -> str:
    piece = audit.get(CHANGE)
    if piece is None or piece.status != "measured":
        why = f" ({name(piece.reason, 200)})" if piece is not None and piece.reason else ""
        return f"the primary metric could not be compared{why}"
    what = metric(audit, piece)
    if isinstance(piece.observation, Scalar):
        estimate = piece.observation.estimate
        return f"{what} {reading(piece, estimate)}{_on(audit, piece)}"
    assert isinstance(piece.observation, Groups)
    known = [group.estimate for group in piece.observation.groups if group.estimate is not None]
    worse = sum(direction(estimate, "higher") == "worse" for estimate in known)
    return f"{what} is worse for {worse} of {len(known)} classes{_on(audit, piece)}"


def metric(audit: Audit, piece: Evidence) -> str:
    """The primary metric inside a sentence."""
    primary = audit.get(str(audit.subject.get("primary")))
    title = name(
        (primary.title if primary else "") or str(piece.params.get("metric", "")).replace("_", " "), 60
    )
    return title[0].lower() + title[1:] if title[1:2].islower() else title


def reading(piece: Evidence, estimate: Estimate) -> str:
    """``is worse by 0.015 [0.006, 0.025]``; the number is turned so that negative is worse."""
    if piece.params.get("how") == "same":
        return "is unchanged: the model is the same and gave the same answers"
    percent = bool(piece.params.get("relative"))
    aside = " of what the error was" if percent else ""
    way = direction(estimate, "higher")
    if way == "open":
        return f"moved by {moved.signed(estimate)}{aside} (negative is worse), which chance alone could make"
    return f"is {way} by {numbers.number(turned(estimate) if way == 'worse' else estimate)}{aside}"


def _on(audit: Audit, piece: Evidence) -> str:
    how, paired = piece.params.get("how"), piece.params.get("rows_paired")
    if how == "paired" and isinstance(paired, int):
        return f", on the same {paired:,} {told.people(audit)}"
    return ", compared as of different rows" if how == "unpaired" else ""


def verdicts(audit: Audit) -> list[tuple[Finding, Verdict | None, Verdict]]:
    """Rules that say something else than in the earlier audit: the finding, what it said, what it says."""
    before = (audit.baseline or {}).get("findings") or {}
    found: list[tuple[Finding, Verdict | None, Verdict]] = []
    for finding in sorted(audit.findings, key=told.weight):
        now: Verdict = "waived" if waived(finding) else finding.kind
        then = before.get(f"{finding.policy}/{finding.rule}")
        if then != now:
            found.append((finding, then, now))
    return found


def _rules(audit: Audit, before: Mapping[str, Any]) -> str:
    other = verdicts(audit)
    falls = [finding.rule for finding, then, now in other if then in MET and now in BAD]
    rises = [finding.rule for finding, then, now in other if then in BAD and now in MET]
    parts = []
    if falls:
        verb = "is" if len(falls) == 1 else "are"
        parts.append(f"{numbers.some(len(falls), 'rule')} {verb} met no more ({_listed(falls)})")
    if rises:
        verb = "is" if len(rises) == 1 else "are"
        parts.append(f"{numbers.some(len(rises), 'rule')} {verb} met now ({_listed(rises)})")
    if not parts:
        parts.append("no rule has started or stopped passing")
    outcome = before.get("outcome")
    if outcome != audit.outcome:
        parts.append(f"the outcome was {name(outcome, 20)} and is {audit.outcome}")
    return "; ".join(parts)


def _listed(rules: Sequence[str]) -> str:
    most = 4
    more = f" and {len(rules) - most} more" if len(rules) > most else ""
    return f"{', '.join(rules[:most])}{more}" if more else numbers.joined(rules)


def _inputs(audit: Audit, before: Mapping[str, Any], *, whole: bool) -> str:
    other = [what for what, then, now in inputs(audit, before) if then != now]
    same = [what for what, then, now in inputs(audit, before) if then == now]
    parts = []
    if other:
        parts.append(f"Changed: {numbers.joined(other)}")
    if same and (whole or not other):
        parts.append(f"{'the same' if other else 'The same'}: {numbers.joined(same)}")
    return f"{'; '.join(parts)}." if parts else ""


def inputs(audit: Audit, before: Mapping[str, Any]) -> list[tuple[str, str | None, str | None]]:
    """Model, data, policies and tool with their digests then and now."""
    model = (audit.subject.get("model") or {}).get("sha256")
    found: list[tuple[str, str | None, str | None]] = [("model", before.get("model"), model)]
    then = before.get("data") or {}
    now = {key: part.get("sha256") for key, part in (audit.subject.get("data") or {}).items()}
    found += [(f"{key} data", then.get(key), now.get(key)) for key in sorted({*then, *now}, reverse=True)]
    policies = {str(one.get("id")): one.get("sha256") for one in before.get("policies") or ()}
    mine = {str(one.get("id")): one.get("sha256") for one in audit.policies}
    found += [
        (f"policy {name(key, 40)}", policies.get(key), mine.get(key)) for key in sorted({*policies, *mine})
    ]
    found.append(("xai-audit", before.get("xai_audit"), audit.environment.get("xai_audit")))
    return [one for one in found if one[1] is not None or one[2] is not None]


def exhibits(audit: Audit, pieces: Sequence[Evidence]) -> list[Exhibit]:
    """The change drawn and tabled, overall and by group; rules that say something else; what went in."""
    made: list[Exhibit] = []
    drawn = _drawn(audit, pieces)
    if drawn is not None:
        made.append(drawn)
    if audit.baseline is None:
        return made
    rules = _verdict_table(audit)
    if rules is not None:
        made.append(Exhibit(table=rules))
    made.append(Exhibit(table=_input_table(audit, audit.baseline)))
    return made


def _drawn(audit: Audit, pieces: Sequence[Evidence]) -> Exhibit | None:
    rows: list[charts.Row] = []
    lines: list[Line] = []
    places = numbers.shared_decimals(one.change for one in _changes(audit, pieces))
    before: tuple[str, ...] = ()
    for one in _changes(audit, pieces):
        strong = direction(one.change, "higher") != "open"
        n = "" if one.change is None else f"{one.change.n:,}"
        gap = bool(rows) and one.by != before
        rows.append(
            charts.Row(label=one.label, estimate=one.change, word=one.word, n=n, strong=strong, gap=gap)
        )
        word = direction(one.change, "higher")
        lines.append(
            Line(
                cells=(
                    Cell(text=one.label),
                    Cell(text=one.old),
                    Cell(text=one.new),
                    Cell(text=moved.signed(one.change, places) if one.change else one.word),
                    Cell(text=n or "–"),
                    Cell(
                        text={"open": "within chance"}.get(word, word) if one.change else "–",
                        muted=not strong,
                    ),
                ),
                begins=gap,
            )
        )
        before = one.by
    if not rows:
        return None
    piece = next((one for one in pieces if one.id == CHANGE), pieces[0])
    what = metric(audit, piece)
    said = name(piece.title, 100)
    if isinstance(piece.observation, Scalar):
        said = sentence(f"{what} {reading(piece, piece.observation.estimate)}").rstrip(".")
    unit = "share of the earlier error" if piece.params.get("relative") else ""
    figure = Figure(
        title=said,
        subtitle="Change with its interval, turned so that left of the line is worse. Dark: the whole interval is on one "
        "side of no change.",
        drawing=charts.dots(rows, said, threshold=Threshold(0.0, "0", "at_least", "no change"), unit=unit),
    )
    table = Table(
        caption=f"{said.partition(':')[0] if len(said) > 90 else name(piece.title, 100)}, overall and by group",
        columns=(
            Column(head="Group"),
            Column(head="Before", numeric=True),
            Column(head="Now", numeric=True),
            Column(head="Change", numeric=True),
            Column(head="n", numeric=True),
            Column(head="Reading"),
        ),
        rows=tuple(lines),
        full=True,
        limits=limits(pieces),
    )
    return Exhibit(figure=figure, table=table, margin=margin(audit, pieces))


@dataclass(frozen=True)
class _Moved:
    """One line: whose change it is, the numbers before and now, the change or the word in its place."""

    label: str
    by: tuple[str, ...]
    old: str
    new: str
    change: Estimate | None
    word: str


def _changes(audit: Audit, pieces: Sequence[Evidence]) -> list[_Moved]:
    found: list[_Moved] = []
    primary = str(audit.subject.get("primary"))
    for piece in sorted(pieces, key=lambda one: one.id != CHANGE):
        column = piece.id.partition("/")[2]
        now = audit.get(f"{primary}/{column}" if column else primary)
        then = {tuple(sorted(one["key"].items())): one["estimate"] for one in piece.params.get("old") or ()}
        if isinstance(piece.observation, Scalar):
            old = then.get(())
            new = now.observation.estimate if now and isinstance(now.observation, Scalar) else None
            found.append(
                _Moved(
                    f"All {told.rows(audit, 2)}", (), _shown(old), numbers.value(new) if new else "–",
                    piece.observation.estimate, "",
                )
            )  # fmt: skip
        elif isinstance(piece.observation, Groups):
            known = now.observation.groups if now and isinstance(now.observation, Groups) else ()
            mine = {tuple(sorted(group.key.items())): group for group in known}
            for group in tables.ordered(piece.observation.groups):
                key = tuple(sorted(group.key.items()))
                shown = group.status != "suppressed"
                new = mine[key].estimate if key in mine else None
                found.append(
                    _Moved(
                        tables.label(group, piece.observation.by), piece.observation.by,
                        _shown(then.get(key)) if shown else "–", numbers.value(new) if new and shown else "–",
                        group.estimate, name(group.reason or group.status, 40),
                    )
                )  # fmt: skip
    return found


def _shown(old: Mapping[str, Any] | None) -> str:
    return "–" if old is None else numbers.value(Estimate.model_validate({"low": None, "high": None, **old}))


def _verdict_table(audit: Audit) -> Table | None:
    rows = [
        Line(
            cells=(
                Cell(text=name(finding.title, 160), sub=finding.rule, href=f"#{told.place(finding)}"),
                moved.verdict(then),
                moved.verdict(now),
                Cell(text=sentence(name(finding.message, 300))),
            )
        )
        for finding, then, now in verdicts(audit)
    ]
    if not rows:
        return None
    say = "says" if len(rows) == 1 else "say"
    return Table(
        caption=f"{numbers.some(len(rows), 'rule')} that {say} something else than in the last audit",
        columns=(
            Column(head="Rule", width="w-rule"),
            Column(head="Before", width="w-verdict"),
            Column(head="Now", width="w-verdict"),
            Column(head="What was seen now"),
        ),
        rows=tuple(rows),
        full=True,
    )


def _input_table(audit: Audit, before: Mapping[str, Any]) -> Table:
    rows = [
        Line(
            cells=(
                Cell(text=what),
                Cell(text=_digest(then)),
                Cell(text=_digest(now)),
                Cell(text="changed" if then != now else "the same", muted=then == now),
            )
        )
        for what, then, now in inputs(audit, before)
    ]
    return Table(
        caption="What went into the two audits",
        columns=(Column(head="What"), Column(head="Before"), Column(head="Now"), Column(head="Reading")),
        rows=tuple(rows),
        notes=(f"The earlier audit.json has the digest {numbers.short(before.get('sha256'))}.",),
    )


def _digest(value: object) -> str:
    text = str(value) if value is not None else ""
    return "none" if not text else numbers.short(text) if len(text) == 64 else name(text, 40)

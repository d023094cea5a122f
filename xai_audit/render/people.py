"""What people say, and where nobody has said anything: statements with their names, gaps with their article."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from xai_audit.render import numbers
from xai_audit.render.shown import Said
from xai_audit.render.visible import name, script, visible
from xai_audit.statements import ASKED, BY_KEY, Asked

if TYPE_CHECKING:
    from xai_audit.audit import Audit

LONGEST = 4000
"""Characters of a statement that are printed; audit.json holds the rest."""


def system(audit: Audit) -> dict[str, Any]:
    """What the spec says of the system."""
    found: dict[str, Any] = audit.spec.get("system", {})
    return found


def statement(audit: Audit, key: str) -> list[dict[str, Any]]:
    """What the spec holds under a statement's key, an entry for each letter; empty where nothing."""
    about = system(audit)
    if key == "intended_purpose" and about.get(key):
        return [about[key]]
    found: list[dict[str, Any]] = list(about.get("statements", {}).get(key, ()))
    return found


def said(audit: Audit, key: str) -> list[Said]:
    """A statement as printed: one entry for each part given, one for each letter missing, or the gap."""
    asked = BY_KEY[key]
    given = statement(audit, key)
    if not given:
        return [gap(asked)]
    letters = {(entry.get("letter") or "").partition(".")[0] for entry in given}
    missing = [letter for letter in asked.letters if letter not in letters]
    return [*(_entry(audit, asked, entry) for entry in given), *(gap(asked, letter) for letter in missing)]


def together(entries: list[Said], cap: int = 0) -> list[Said]:
    """Parts of one statement by one person as one, a line each; ``cap`` cuts what is longer."""
    made: list[Said] = []
    for entry in entries:
        last = made[-1] if made else None
        if last is None or entry.absent or last.absent or _of(last) != _of(entry):
            made.append(entry)
            continue
        begun = f"{last.label}: {last.text}" if last.label else last.text
        made[-1] = replace(last, text=f"{begun}\n{entry.label}: {entry.text}", label="")
    return [
        replace(one, text=f"{one.text[:cap].rstrip()}…") if cap and len(one.text) > cap else one
        for one in made
    ]


def _of(entry: Said) -> tuple[object, ...]:
    """What parts must share to be printed together."""
    return entry.asks, entry.clause, entry.author, entry.language, entry.upright, entry.attributed


def gap(asked: Asked, letter: str = "") -> Said:
    """The dashed box: what is missing, which provision asks for it, who can supply it."""
    return Said(asks=asked.asks, clause=asked.clause, who=asked.who, label=letter)


def explanatory(audit: Audit) -> set[str]:
    """Columns that groups are compared within, which are no groups of people to treat alike."""
    return {
        column
        for grouping in audit.subject.get("groupings") or ()
        if grouping.get("explanatory")
        for column in grouping["columns"]
    }


def present(audit: Audit, key: str) -> bool:
    """Whether anybody has said it, whole, under a name."""
    entries = said(audit, key)
    return all(not entry.absent and entry.attributed for entry in entries)


def asked(audit: Audit) -> set[str]:
    """The statements that a report of this system shows, given or missing: those of Annex IV that apply, and any given.

    Which of Annex IV apply stands in the record ``annex_iv_statements`` (the declaration is asked at release alone).
    """
    record = audit.get("annex_iv_statements")
    applies = record.params.get("asked") if record is not None else None
    missed = {key.partition(".")[0] for finding in audit.findings for key in finding.missing}
    return {
        one.key
        for one in ASKED
        if statement(audit, one.key)
        or one.key in missed
        or (bool(one.points) if applies is None else one.key in applies)
    }


def asks(missing: str) -> str:
    """What a missing statement's key (``oversight.a``) asks for, in words."""
    key, _, letter = missing.partition(".")
    known = BY_KEY.get(key)
    if known is None:
        return _OTHERS.get(missing, name(missing.replace("_", " ")))
    return f"{known.asks}, part {name(letter, 40)}" if letter else known.asks


_OTHERS = {
    "signatories": "Who signs, with name, function and date",
    "classification": "Where the system stands in the Act",
    "declared_levels": "The level of the primary metric that the provider declares",
    "model.sha256": "The digest of the model",
    "provider": "Who the provider is",
}


def _entry(audit: Audit, asked: Asked, record: dict[str, Any]) -> Said:
    text = str(record.get("text", ""))
    shown = visible(text[:LONGEST], lines=True)
    if len(text) > LONGEST:
        shown += f"… ({len(text):,} characters)"
    language, upright = tongue(text, record.get("language"))
    author = record.get("author")
    return Said(
        asks=asked.asks,
        clause=asked.clause,
        who=asked.who,
        text=shown,
        author=signed(audit, author, record.get("date")),
        language=language,
        upright=upright,
        attributed=bool(author),
        label=name((record.get("letter") or "").replace("_", " "), 60),
    )


def signed(audit: Audit, author: str | None, date: object) -> str:
    """Name, function and date; or the words that nobody put a name to it."""
    if not author:
        return "unattributed: no name stands behind it, so it satisfies no rule"
    people = {person.get("name"): person.get("function") for person in system(audit).get("signatories", ())}
    parts = [name(author), name(people.get(author) or ""), numbers.day(date) if date else "undated"]
    return ", ".join(part for part in parts if part)


def tongue(text: str, declared: str | None = None) -> tuple[str, bool]:
    """The language of a statement, and whether it stands upright: declared, else read off its script."""
    kind = script(text)
    guess = {"Grek": "el", "Cyrl": "und", "Latn": "en"}[kind]
    return declared or guess, kind != "Latn"


def provider(audit: Audit) -> str:
    """The provider's name, or an empty string."""
    return name((system(audit).get("provider") or {}).get("name") or "")


def title(audit: Audit) -> str:
    """The system's name and version, as printed everywhere."""
    about = system(audit)
    return " ".join(
        part for part in (name(about.get("name", "")), name(about.get("version", ""), 40)) if part
    )


def signatures(audit: Audit) -> list[Said]:
    """Who signs; a dashed box where nobody has signed with a date."""
    made = []
    for person in system(audit).get("signatories", ()):
        text = person.get("statement") or "Named as responsible for this report."
        language, upright = tongue(text)
        who = ", ".join(name(part) for part in (person.get("name"), person.get("function")) if part)
        dated = person.get("date")
        made.append(
            Said(
                asks="",
                clause="Annex IV(2)(g)",
                who="",
                text=visible(text[:LONGEST], lines=True),
                author=f"{who}, {numbers.day(dated)}" if dated else f"{who}, not dated, so not signed",
                language=language,
                upright=upright,
                attributed=bool(dated),
            )
        )
    if not any(entry.attributed for entry in made):
        made.append(
            Said(
                asks="A dated signature", clause="Annex IV(2)(g)", who="the person responsible for this audit"
            )
        )
    return made


SHORT = 180
"""Characters of a statement in the ledger; its section prints the whole."""


def condensed(entries: list[Said]) -> list[Said]:
    """Statements as the ledger prints them: shortened, and gaps for the same person in one box."""
    made: list[Said] = []
    for entry in together(entries, SHORT):
        if not entry.absent:
            made.append(entry)
            continue
        asks = f"{entry.asks}, part {entry.label}" if entry.label else entry.asks
        last = made[-1] if made else None
        if last is not None and last.absent and (last.clause, last.who) == (entry.clause, entry.who):
            more = (
                f", {entry.label}"
                if entry.label and last.asks.startswith(entry.asks)
                else f"; {asks[0].lower()}{asks[1:]}"
            )
            made[-1] = replace(last, asks=f"{last.asks}{more}")
        else:
            made.append(replace(entry, asks=asks, label=""))
    return made

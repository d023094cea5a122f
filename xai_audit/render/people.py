"""What people say, and where nobody has said anything: statements with their names, gaps with their article."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xai_audit.render import numbers
from xai_audit.render.shown import Said
from xai_audit.render.visible import literal, name, script
from xai_audit.statements import BY_KEY, Asked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xai_audit.audit import Audit

LONGEST = 4000
"""Characters of a statement that are printed; audit.json holds the rest."""


def system(audit: Audit) -> dict[str, Any]:
    """What the spec says of the system."""
    found: dict[str, Any] = audit.spec.get("system", {})
    return found


def statement(audit: Audit, key: str) -> Any:
    """What the spec holds under a statement's key, as it was normalised; None where nothing."""
    about = system(audit)
    direct = about.get(key) if key in {"intended_purpose", "classification"} else None
    given = direct if direct is not None else about.get("statements", {}).get(key)
    return given or None


def said(audit: Audit, key: str) -> list[Said]:
    """A statement as printed: one entry for each part given, one for each letter missing, or the gap."""
    asked = BY_KEY[key]
    given = statement(audit, key)
    entries = [_entry(audit, asked, label, value) for label, value in _parts(given)]
    letters = {entry.label for entry in entries}
    if given is None:
        return [gap(asked)]
    missing = [letter for letter in asked.letters if isinstance(given, dict) and "text" not in given and letter not in letters]
    return [*entries, *(gap(asked, letter) for letter in missing)]


def gap(asked: Asked, letter: str = "") -> Said:
    """The dashed box: what is missing, which provision asks for it, who can supply it."""
    return Said(asks=asked.asks, clause=asked.clause, who=asked.who, label=letter)


def present(audit: Audit, key: str) -> bool:
    """Whether anybody has said it, whole, under a name."""
    entries = said(audit, key)
    return all(not entry.absent and entry.attributed for entry in entries)


def _parts(given: Any) -> Iterator[tuple[str, Any]]:
    """The statements inside a statement: itself, its letters, its entries."""
    if given is None:
        return
    if isinstance(given, dict) and "text" not in given:
        for label, value in given.items():
            for inner, text in _parts(value):
                yield " ".join(part for part in (str(label), inner) if part), text
    elif isinstance(given, (list, tuple)):
        for value in given:
            yield from _parts(value)
    elif given != "":
        yield "", given


def _entry(audit: Audit, asked: Asked, label: str, value: Any) -> Said:
    record = value if isinstance(value, dict) else {"text": value}
    text = str(record.get("text", ""))
    shown = literal(text[:LONGEST], lines=True)
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
        label=name(label, 60),
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
    return " ".join(part for part in (name(about.get("name", "")), name(about.get("version", ""), 40)) if part)


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
                text=literal(text[:LONGEST], lines=True),
                author=f"{who}, {numbers.day(dated)}" if dated else f"{who}, not dated, so not signed",
                language=language,
                upright=upright,
                attributed=bool(dated),
            )
        )
    if not any(entry.attributed for entry in made):
        made.append(Said(asks="A dated signature", clause="Annex IV(2)(g)", who="the person responsible for this audit"))
    return made

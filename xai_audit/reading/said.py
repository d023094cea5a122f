"""What people say in a spec, in one shape: a statement, its letter, its author.

A statement may be written as

- text: ``hardware: any x86-64 server``;
- text with its author: ``hardware: {text: ..., author: ..., date: 2026-11-22, language: en}``, and
  ``evidence_refs: [...]``;
- keys, each again text or text with its author: ``oversight: {a: ..., b: ...}``, where ``author``, ``date``
  and ``language`` beside the keys hold for all of them;
- a list of any of these: ``risk_register: [{hazard: ..., measure: ...}, ...]``.

Each becomes a tuple of Said. ``letter`` is None for plain text, the key for keys, ``1``, ``2`` for entries of
a list and ``1.hazard`` for keys of an entry. Where no author is named it is the first signatory; without
one, nobody.
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Any

from xai_audit.reading.fit import as_date, meant
from xai_audit.source import shown
from xai_audit.spec import Said
from xai_audit.statements import BY_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xai_audit.errors import Mistake
    from xai_audit.source import Node

_BY = ("author", "date", "language", "evidence_refs")
OPTIONAL: Mapping[str, tuple[str, ...]] = {"art4a": ("ropa_ref",)}
"""Keys that may stand beside a statement's letters and satisfy nothing."""

_PLACEHOLDER = re.compile(
    r"(tbd|tba|tbc|t\.b\.d\.?|to ?do"
    r"|to be (done|defined|determined|decided|confirmed|completed|written|added)"
    r"|fix ?me|n/?a|n\.a\.|x{2,}|\?+|-+|_+|\.+|…+|placeholder"
    r"|lorem( ipsum)?\b.*|insert .{0,40} here|your .{0,40} here|<[^<>]*>|\[[^\[\]]*\]|\{+[^{}]*\}+"
    r"|(tbd|todo|fixme|xxx)\b[ :.,-].*)[.!]?",
    re.IGNORECASE | re.DOTALL,
)


def placeholder(text: str) -> bool:
    """Whether a text only holds a place: TBD, TODO, lorem ipsum, xxx, three dots, n/a alone."""
    return _PLACEHOLDER.fullmatch(text.strip()) is not None


def statements(node: Node, signatory: Node | None, mistakes: list[Mistake]) -> dict[str, tuple[Said, ...]]:
    """The mapping ``system.statements`` by key, less ``declared_levels``, which are numbers."""
    where = "system.statements"
    if node.kind != "mapping":
        mistakes.append(node.place.mistake(f"{where}: keys and values are asked here"))
        return {}
    read: dict[str, tuple[Said, ...]] = {}
    for key, child in node.value.items():
        if key == "declared_levels" or child.kind == "null":
            continue
        if key == "intended_purpose":
            mistakes.append(
                node.keys[key].mistake("intended_purpose stands under system, not under statements")
            )
        elif key not in BY_KEY:
            hint = meant(
                key, [*(known for known in BY_KEY if known != "intended_purpose"), "declared_levels"]
            )
            mistakes.append(node.keys[key].mistake(f"{where}: no statement named {shown(key)}{hint}"))
        elif found := said(key, child, signatory, mistakes, where=f"{where}.{key}"):
            read[key] = found
    return read


def said(
    key: str, node: Node, signatory: Node | None, mistakes: list[Mistake], *, where: str
) -> tuple[Said, ...]:
    """One statement, flattened; its mistakes are added to the list."""
    return tuple(_Reading(key, signatory, mistakes).read(node, None, where, {}))


class _Reading:
    """One statement's walk."""

    def __init__(self, key: str, signatory: Node | None, mistakes: list[Mistake]) -> None:
        self.key = key
        self.signatory = signatory
        self.mistakes = mistakes

    def read(self, node: Node, letter: str | None, where: str, by: Mapping[str, Node]) -> list[Said]:
        if node.kind == "null":
            return []
        if node.kind == "list":
            return [
                one
                for index, child in enumerate(node.value, 1)
                for one in self.read(child, _under(letter, str(index)), f"{where}[{index - 1}]", by)
            ]
        if node.kind != "mapping":
            return self._say(node, letter, where, by)
        if "text" in node.value:
            return self._attributed(node, letter, where, by)
        return self._keys(node, letter, where, by)

    def _keys(self, node: Node, letter: str | None, where: str, by: Mapping[str, Node]) -> list[Said]:
        top = letter is None or letter.isdigit()
        own = {name: node.value[name] for name in _BY if top and name in node.value}
        letters = BY_KEY[self.key].letters if letter is None else ()
        found: list[Said] = []
        for name, child in node.value.items():
            if name in own:
                continue
            allowed = (*letters, *OPTIONAL.get(self.key, ()))
            if letters and name not in allowed:
                what = f"{where}: no part named {shown(name)}{meant(name, allowed)}"
                self.mistakes.append(node.keys[name].mistake(what))
                continue
            found += self.read(child, _under(letter, name), f"{where}.{name}", {**by, **own})
        if own and len(own) == len(node.value):
            self.mistakes.append(node.place.mistake(f"{where}: the key 'text' is missing"))
        return found

    def _attributed(self, node: Node, letter: str | None, where: str, by: Mapping[str, Node]) -> list[Said]:
        for name in node.value:
            if name not in ("text", *_BY):
                what = f"{where}: no key named {shown(name)}{meant(name, ('text', *_BY))}"
                self.mistakes.append(node.keys[name].mistake(what))
        text = node.value["text"]
        if text.kind in ("mapping", "list"):
            self.mistakes.append(text.place.mistake(f"{where}.text: text is asked"))
            return []
        if text.kind == "null":
            self.mistakes.append(node.keys["text"].mistake(f"{where}.text: is empty"))
            return []
        own = {name: node.value[name] for name in _BY if name in node.value}
        return self._say(text, letter, where, {**by, **own})

    def _say(self, node: Node, letter: str | None, where: str, by: Mapping[str, Node]) -> list[Said]:
        if not node.raw.strip():
            self.mistakes.append(
                node.place.mistake(f"{where}: is empty; leave the key out where nothing is said")
            )
            return []
        if node.kind == "text" and placeholder(node.raw):
            what = f"{where}: {shown(node.raw)} holds a place and says nothing; leave the key out until then"
            self.mistakes.append(node.place.mistake(what))
            return []
        values = self._by(by, where)
        return [Said(key=self.key, letter=letter, text=node.raw, **values)]

    def _by(self, by: Mapping[str, Node], where: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        author, when = by.get("author"), by.get("date")
        if (author is None or author.kind == "null") and self.signatory is not None:
            # What is wrong with a signatory is told where signatories are read.
            author = _sound(self.signatory.get("name"))
            signed = self.signatory.get("date")
            when = when or (signed if signed is not None and isinstance(as_date(signed), date) else None)
        for name, node in (("author", author), ("language", by.get("language"))):
            if node is not None and node.kind != "null":
                if node.kind in ("mapping", "list") or not node.raw.strip() or placeholder(node.raw):
                    self._once(node, f"{where}.{name}: a name is asked, not {shown(node.raw)}")
                else:
                    values[name] = node.raw.strip()
        if when is not None and when.kind != "null":
            if isinstance(day := as_date(when), date):
                values["date"] = day
            else:
                self._once(when, f"{where}.date: a date such as 2026-11-22 is asked, not {shown(when.raw)}")
        refs = by.get("evidence_refs")
        if refs is not None and refs.kind != "null":
            if refs.kind == "list" and all(ref.kind not in ("mapping", "list", "null") for ref in refs.value):
                values["evidence_refs"] = tuple(ref.raw for ref in refs.value)
            else:
                self._once(refs, f"{where}.evidence_refs: a list of evidence ids is asked")
        return values

    def _once(self, node: Node, what: str) -> None:
        """One mistake a place: an author beside ten letters is wrong once."""
        places = {(mistake.file, mistake.line, mistake.column) for mistake in self.mistakes}
        if (node.place.file, node.place.line, node.place.column) not in places:
            self.mistakes.append(node.place.mistake(what))


def _sound(name: Node | None) -> Node | None:
    usable = name is not None and name.kind not in ("mapping", "list") and name.raw.strip()
    return name if usable and name is not None and not placeholder(name.raw) else None


def _under(letter: str | None, name: str) -> str:
    return name if letter is None else f"{letter}.{name}"

"""YAML that remembers the file, line and column of every key and value, and tells every mistake in it.

The words are YAML's, read with fewer surprises: ``yes no on off`` are words; so are ``012``, ``0x1f``,
``1_000``, ``.inf`` and ``12:30``, which readers of YAML disagree about, and whole numbers over 18 digits;
``1e3`` is a number; ``2026-11-22`` is a date.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xai_audit.errors import Mistake

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import yaml

MAX_BYTES = 1_000_000
"""A larger file is refused unread."""
MAX_DEPTH = 30
MAX_VALUES = 50_000
"""Keys and values of one file, aliases counted as what they stand for."""

Kind = Literal["mapping", "list", "text", "number", "boolean", "date", "null"]


@dataclass(frozen=True)
class Place:
    """Where something stands; line 0 where there are no lines (``--set model.threshold``)."""

    file: str
    line: int = 0
    column: int = 0

    def mistake(self, what: str, *, missing: bool = False) -> Mistake:
        """A mistake at this place, on one line whatever names it holds."""
        return Mistake(self.file, self.line, self.column, what, missing=missing)


@dataclass(frozen=True, eq=False)
class Node:
    """A value and its place; ``raw`` is a scalar as it was written."""

    kind: Kind
    place: Place
    value: Any
    raw: str = ""
    keys: Mapping[str, Place] = field(default_factory=dict)
    """The place of each key of a mapping."""
    size: int = 1
    """Values in here, itself included, with aliases expanded."""

    def get(self, *path: str) -> Node | None:
        """The value under these keys; None where a key is absent, empty or not in a mapping."""
        node = self
        for key in path:
            if node.kind != "mapping" or key not in node.value:
                return None
            node = node.value[key]
        return None if node.kind == "null" else node

    def text(self, *path: str) -> str | None:
        """The scalar under these keys as it was written, else None."""
        node = self.get(*path)
        return node.raw if node is not None and node.kind not in ("mapping", "list") else None

    def items(self) -> tuple[Node, ...]:
        """The values of a list; nothing for anything else."""
        return self.value if self.kind == "list" else ()

    def plain(self) -> Any:
        """The value without places: dict, list, str, int, float, bool or None; dates as they were written."""
        if self.kind == "mapping":
            return {key: child.plain() for key, child in self.value.items()}
        if self.kind == "list":
            return [child.plain() for child in self.value]
        return self.raw if self.kind == "date" else self.value


def shown(value: object, width: int = 60) -> str:
    """A value in quotes for a message, on one line, cut with an ellipsis where it is long."""
    text = str(value)
    return repr(text if len(text) <= width else text[: width - 1] + "…")


def read(path: Path, mistakes: list[Mistake], *, name: str | None = None) -> tuple[Node | None, bytes]:
    """The document in a file, None where there is none, and the file's bytes; mistakes go to the list."""
    file = name or str(path)
    content = _content(path, file, mistakes)
    if content is None:
        return None, b""
    text = _decoded(content, file, mistakes)
    return (None if text is None else parse(text, file, mistakes)), content


def _content(path: Path, file: str, mistakes: list[Mistake]) -> bytes | None:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            mistakes.append(Mistake(file, 0, 0, "this is a folder; a YAML file is asked"))
            return None
        if not stat.S_ISREG(status.st_mode):
            mistakes.append(Mistake(file, 0, 0, "not a regular file"))
            return None
        if status.st_size > MAX_BYTES:
            what = f"{status.st_size / 1e6:,.1f} MB is too large; at most {MAX_BYTES / 1e6:.0f} MB is read"
            mistakes.append(Mistake(file, 0, 0, what))
            return None
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        mistakes.append(Mistake(file, 0, 0, "no such file", missing=True))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        mistakes.append(Mistake(file, 0, 0, f"cannot be read: {reason}", missing=True))
    return None


def _decoded(content: bytes, file: str, mistakes: list[Mistake]) -> str | None:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        mistakes.append(Mistake(file, 1, 1, "written in UTF-16; save it as UTF-8"))
        return None
    try:
        # A leading byte order mark, as Windows editors write it, is no part of the text.
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        what = f"byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        mistakes.append(Mistake(file, line, column, what))
        return None


# What YAML calls printable, less the byte order mark.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


def parse(text: str, file: str, mistakes: list[Mistake]) -> Node | None:
    """The document in a text; None where it cannot be made out at all. Mistakes are added to the list."""
    unprintable = list(_UNPRINTABLE.finditer(text))
    if unprintable:
        for found in unprintable[:20]:
            line, column = _position(text, found.start())
            what = f"the character U+{ord(found.group()):04X} cannot stand in YAML; remove it"
            mistakes.append(Mistake(file, line, column, what))
        return None
    import yaml

    composer = _Composer(file, mistakes)
    try:
        return composer.document(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mistakes.extend(_syntax(error, text, file))
    except _Stopped as stopped:
        mistakes.append(stopped.mistake)
    except (ValueError, OverflowError):
        # Escapes and version numbers beyond all bounds break PyYAML itself.
        mistakes.append(Mistake(file, composer.line, 1, "an escape or a number after here is beyond bounds"))
    return None


def value(text: str, file: str, mistakes: list[Mistake]) -> Node | None:
    """A value given on the command line, read as YAML; ``file`` says where it was given."""
    own: list[Mistake] = []
    node = parse(text, file, own) if text.strip() else Node("null", Place(file), None)
    mistakes.extend(Mistake(file, 0, 0, mistake.what) for mistake in own)
    return None if node is None else _without_lines(node, Place(file))


def _without_lines(node: Node, place: Place) -> Node:
    if node.kind == "mapping":
        inner: Any = {key: _without_lines(child, place) for key, child in node.value.items()}
    elif node.kind == "list":
        inner = tuple(_without_lines(child, place) for child in node.value)
    else:
        inner = node.value
    return Node(node.kind, place, inner, node.raw, dict.fromkeys(node.keys, place), node.size)


def _position(text: str, index: int) -> tuple[int, int]:
    before = text[:index]
    return before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1


_SYNTAX = (
    ("mapping values are not allowed", "a ':' where no key can stand; put text that holds ': ' in quotes"),
    ("could not find expected ':'", "a key without its ':'"),
    ("found undefined alias", "an alias to an anchor that is not there"),
    ("expected <block end>", "this does not fit the indentation or the list above it"),
    ("found unexpected end of stream", "a quote, a bracket or a brace is opened and never closed"),
    ("expected ',' or ']'", "a ',' or a ']' is asked here"),
    ("expected ',' or '}'", "a ',' or a '}' is asked here"),
    ("while scanning a quoted scalar", "a quote is opened and never closed"),
    ("found duplicate anchor", "this anchor is defined twice"),
    ("unknown escape character", "an unknown escape in double quotes; write \\\\ for a backslash"),
    ("expected the node content", "a value is asked here"),
    ("did not find expected", "this does not fit what stands before it"),
    ("cannot start any token", "this character cannot begin a value; put the value in quotes"),
)


def _syntax(error: yaml.MarkedYAMLError, text: str, file: str) -> Iterator[Mistake]:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    problem = error.problem or error.context or "this is not YAML"
    if "'\\t'" in problem:
        # Every line so indented is a mistake, though the scanner stops at the first.
        what = "a tab in the indentation; YAML takes spaces only"
        yield Mistake(file, line, column, what)
        for number, content in enumerate(text.split("\n"), 1):
            indent = content[: len(content) - len(content.lstrip())]
            if "\t" in indent and content.strip() and number > line:
                yield Mistake(file, number, indent.index("\t") + 1, what)
        return
    told = " ".join(filter(None, (error.context, problem)))
    what = next((words for start, words in _SYNTAX if start in told), problem)
    yield Mistake(file, line, column, what)


class _Stopped(Exception):  # noqa: N818 - it ends the reading, it is told as a mistake
    """Reading cannot go on past this."""

    def __init__(self, mistake: Mistake) -> None:
        self.mistake = mistake
        super().__init__(mistake.what)


class _Composer:
    """Nodes from events, one by one, so that no bomb is built before it is seen."""

    def __init__(self, file: str, mistakes: list[Mistake]) -> None:
        self.file = file
        self.mistakes = mistakes
        self.anchors: dict[str, Node | None] = {}
        self.values = 0
        self.line = 1

    def document(self, events: Iterator[Any]) -> Node | None:
        import yaml

        root: Node | None = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    self.mistakes.append(
                        self._place(event).mistake("a second document; one file holds one document")
                    )
                    return root
                self.anchors = {}
            elif isinstance(event, yaml.NodeEvent):
                root = self._node(event, events, 1)
        if root is None:
            self.mistakes.append(Mistake(self.file, 1, 1, "the file is empty"))
        return root

    def _place(self, event: Any) -> Place:
        self.line = event.start_mark.line + 1
        return Place(self.file, self.line, event.start_mark.column + 1)

    def _count(self, size: int, place: Place) -> None:
        self.values += size
        if self.values > MAX_VALUES:
            what = (
                f"over {MAX_VALUES:,} values, aliases counted as what they stand for; a spec holds far fewer"
            )
            raise _Stopped(place.mistake(what))

    def _node(self, event: Any, events: Iterator[Any], depth: int) -> Node:
        import yaml

        place = self._place(event)
        if depth > MAX_DEPTH:
            raise _Stopped(place.mistake(f"nested more than {MAX_DEPTH} levels deep"))
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event.anchor, place)
        if event.anchor:
            self.anchors[event.anchor] = None  # open: an alias to it now is a loop
        self._count(1, place)
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event, place)
        else:
            self._untagged(event, place)
            if isinstance(event, yaml.SequenceStartEvent):
                node = self._list(events, place, depth)
            else:
                node = self._mapping(events, place, depth)
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def _alias(self, anchor: str | None, place: Place) -> Node:
        if anchor is None or anchor not in self.anchors:
            raise _Stopped(place.mistake(f"no anchor &{anchor} stands before this alias"))
        target = self.anchors[anchor]
        if target is None:
            raise _Stopped(place.mistake(f"the alias *{anchor} stands inside what it stands for: a loop"))
        self._count(target.size, place)
        return target

    def _untagged(self, event: Any, place: Place) -> None:
        if event.tag not in (
            None,
            "!",
            "tag:yaml.org,2002:str",
            "tag:yaml.org,2002:map",
            "tag:yaml.org,2002:seq",
        ):
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self.mistakes.append(place.mistake(f"the tag {shown(tag)} is not read; write the plain value"))

    def _list(self, events: Iterator[Any], place: Place, depth: int) -> Node:
        import yaml

        children: list[Node] = []
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            children.append(self._node(event, events, depth + 1))
        return Node("list", place, tuple(children), size=1 + sum(child.size for child in children))

    def _mapping(self, events: Iterator[Any], place: Place, depth: int) -> Node:
        import yaml

        children: dict[str, Node] = {}
        keys: dict[str, Place] = {}
        size = 1
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self._node(event, events, depth + 1)
            child = self._node(next(events), events, depth + 1)
            size += key.size + child.size
            merge = key.raw == "<<" and getattr(event, "style", "") is None
            name = self._key(key, keys, merge=merge)
            if name is not None:
                children[name], keys[name] = child, key.place
        return Node("mapping", place, children, keys=keys, size=size)

    def _key(self, key: Node, seen: Mapping[str, Place], *, merge: bool) -> str | None:
        what = None
        if key.kind in ("mapping", "list"):
            what = "a key is a word, not a list or a mapping"
        elif key.kind == "null":
            what = "a key is missing before this ':'"
        elif merge:
            what = "merge keys (<<) are not read; use extends, or repeat the keys"
        elif key.raw in seen:
            what = f"the key {shown(key.raw)} stands here twice; first in line {seen[key.raw].line}"
        if what is not None:
            self.mistakes.append(key.place.mistake(what))
            return None
        return key.raw

    def _scalar(self, event: Any, place: Place) -> Node:
        raw: str = event.value
        if (found := _CONTROL.search(raw)) is not None:
            self.mistakes.append(
                place.mistake(f"the character U+{ord(found.group()):04X} is not text; remove it")
            )
            return Node("text", place, "", "")
        self._untagged(event, place)
        if event.style is None and event.tag is None:
            kind, meaning = _meaning(raw)
            return Node(kind, place, meaning, raw)
        return Node("text", place, raw, raw)


_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]{1,4})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_WORDS: dict[str, tuple[Kind, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), ("null", None)),
    **dict.fromkeys(("true", "True", "TRUE"), ("boolean", True)),
    **dict.fromkeys(("false", "False", "FALSE"), ("boolean", False)),
}


def _meaning(raw: str) -> tuple[Kind, Any]:
    """What an unquoted scalar is; anything doubtful is a word."""
    if raw in _WORDS:
        return _WORDS[raw]
    if _WHOLE.fullmatch(raw):
        return "number", int(raw)
    if len(raw) <= 64 and _NUMBER.fullmatch(raw):
        number = float(raw)
        if number.is_integer() and "." not in raw and "-" not in raw[1:] and abs(number) < 2**53:
            return "number", int(number)  # 1e3 counts rows as well as 1000 does
        if abs(number) < float("inf") and ("e" in raw.lower() or "." in raw):
            return "number", number
    elif _DATE.fullmatch(raw):
        try:
            return "date", date.fromisoformat(raw)
        except ValueError:
            pass
    return "text", raw

"""The YAML between a card's ``---`` lines, with results put into its ``model-index`` and no other byte changed.

The text is edited at the places the parser gives, never written anew, so comments, order, quotes and line ends
stay. What comes out is parsed again and held against what went in; where anything else than our results would
differ (an anchor used twice, an unusual layout), nothing is written and the reason is told.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import yaml

from xai_audit.attach.entries import MARK, ours
from xai_audit.errors import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

KEY = "model-index"
LONGEST = 1_000_000
"""Characters of metadata that are read."""
_MOST = 200_000
"""Values of the metadata with aliases expanded; what claims more is refused."""

_COMMA = ", "
_OPENING = re.compile(r"\ufeff?\s*---(?:\r\n|\r|\n)")
_CLOSING = re.compile(r"(?:\A|(?<=[\r\n]))---[ \t]*(?:\r\n|\n|\Z)")
_LIKE_OPENING = re.compile(r"\ufeff?\s*---[ \t]*(?:\r|\n|\Z)")


class MetadataError(ValueError):
    """Metadata that cannot be read or edited: where (line and column from 1, counted in the card) and why."""

    def __init__(self, what: str, line: int = 0, column: int = 0) -> None:
        self.line, self.column, self.what = line, column, one_line(what)
        super().__init__(self.what)


@dataclass(frozen=True)
class Parts:
    """A card in three texts that add up to it; ``metadata`` is None where the card has no ``---`` lines."""

    before: str
    """Up to and with the opening line; a byte order mark alone where there is none."""
    metadata: str | None
    """Ends with a line end, or is empty."""
    after: str
    """The closing line and the body; the body alone where there is no metadata."""

    @property
    def body_at(self) -> int:
        """Where the body begins in ``after``."""
        closing = _CLOSING.match(self.after) if self.metadata is not None else None
        return closing.end() if closing else 0


def split(text: str) -> Parts:
    """A card's metadata and body, by the hub's own rule for where metadata stand."""
    opening = _OPENING.match(text)
    if opening is None:
        if _LIKE_OPENING.match(text):
            raise MetadataError(
                "metadata open with a line that is exactly '---', without blanks after it", 1, 1
            )
        return Parts("\ufeff" if text.startswith("\ufeff") else "", None, text.removeprefix("\ufeff"))
    closing = _CLOSING.search(text, opening.end())
    if closing is None:
        line = _lines(text[: opening.end()])
        raise MetadataError("'---' opens metadata that no later line '---' closes", line, 1)
    return Parts(text[: opening.end()], text[opening.end() : closing.start()], text[closing.start() :])


def _lines(text: str) -> int:
    return len(re.findall(r"\r\n|\r|\n", text))


def of(metadata: str, line: int = 0) -> list[dict[str, Any]]:
    """Our results in some metadata, in their order."""
    return _of(_read(metadata, line)[1])


def _of(value: dict[Any, Any]) -> list[dict[str, Any]]:
    return [result for model in _index(value) for result in _results(model) if ours(result)]


def replaced(metadata: str, name: str, results: Sequence[dict[str, Any]], newline: str, line: int = 0) -> str:
    """The metadata with these results in the place of our earlier ones.

    Args:
        metadata: The text between the ``---`` lines, ending with a line end or empty.
        name: The model's name, where the metadata has no ``model-index``.
        results: As :func:`xai_audit.attach.entries.results` gives them.
        newline: The card's line end.
        line: Lines of the card before the metadata, for messages.

    Raises:
        MetadataError: where the metadata cannot be read, or not changed without changing what is not ours.
    """
    root, before = _read(metadata, line)
    if _of(before) == list(results):
        return metadata
    cleared = _without_ours(metadata, root)
    root = root if cleared == metadata else _composed(cleared, line)
    made = _with(cleared, root, name, list(results), newline)
    try:
        _, after = _read(made, line)
        kept = _same(before, after, name, list(results))
    except MetadataError:
        kept = False
    if not kept:
        what = f"{KEY} cannot be extended here without changing what is not ours; write it as a plain list of its own"
        raise MetadataError(what, line + 1, 1)
    return made


# ---------------------------------------------------------------------------------------------- reading
def _read(text: str, line: int) -> tuple[yaml.Node | None, dict[Any, Any]]:
    """The tree with its places, and the values as the hub's reader has them."""
    if len(text) > LONGEST:
        raise MetadataError(f"metadata of over {LONGEST:,} characters are not read", line + 1, 1)
    root = _composed(text, line)
    try:
        # A copy, since reading values resolves merge keys in place.
        value = None if root is None else yaml.SafeLoader("").construct_document(copy.deepcopy(root))
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        raise _told(error, line) from None
    if value is None:
        return None, {}
    if not isinstance(value, dict):
        raise MetadataError("metadata are keys and values, as 'license: mit'", line + 1, 1)
    _check_index(value, root, line)
    return root, value


def _composed(text: str, line: int) -> yaml.Node | None:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is not None and _size(root, {}, line) > _MOST:
            raise MetadataError(f"metadata of over {_MOST:,} values are not read", line + 1, 1)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, MetadataError):
            raise
        raise _told(error, line) from None
    return root


def _told(error: Exception, line: int) -> MetadataError:
    mark = getattr(error, "problem_mark", None)
    what = (
        getattr(error, "problem", None) or getattr(error, "reason", None) or str(error) or "nested too deeply"
    )
    where = (line + mark.line + 1, mark.column + 1) if mark is not None else (line + 1, 1)
    return MetadataError(f"metadata are no YAML that can be read: {str(what)[:200]}", *where)


def _size(node: yaml.Node, known: dict[int, int], line: int) -> int:
    """Values in a node with aliases expanded; a key given twice is refused, since readers differ in which one counts."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = _MOST + 1  # what holds itself has no end
    total = 1
    keys: set[str] = set()
    for child in node.value:
        if isinstance(node, yaml.MappingNode):
            key, child = child  # noqa: PLW2901 - a mapping's children are pairs
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in keys:
                    mark = key.start_mark
                    what = f"the key {key.value[:60]!r} is given twice"
                    raise MetadataError(what, line + mark.line + 1, mark.column + 1)
                keys.add(key.value)
        total += _size(child, known, line)
    known[id(node)] = total
    return total


def _check_index(value: dict[Any, Any], root: yaml.Node | None, line: int) -> None:
    """MetadataError where model-index is no list of models with lists of results."""
    index = value.get(KEY)
    node = _child(root, KEY)
    where = (line + 1, 1) if node is None else (line + node.start_mark.line + 1, node.start_mark.column + 1)
    if index is not None and not isinstance(index, list):
        raise MetadataError(f"{KEY} is a list of models", *where)
    for model in index or ():
        if not isinstance(model, dict) or not isinstance(model.get("results") or [], list):
            raise MetadataError(f"each model of {KEY} has a name and a list of results", *where)


def _index(value: dict[Any, Any]) -> list[dict[Any, Any]]:
    return value.get(KEY) or []


def _results(model: dict[Any, Any]) -> list[Any]:
    return model.get("results") or []


def _same(before: dict[Any, Any], after: dict[Any, Any], name: str, results: list[dict[str, Any]]) -> bool:
    """Whether two readings differ in our results alone, and the later one has exactly these."""
    if _of(after) != results:
        return False
    if not _index(before):
        made = [{"name": name, "results": results}] if results else []
        if _index(after) != made:
            return False
        before, after = ({key: kept for key, kept in one.items() if key != KEY} for one in (before, after))
    # repr keeps the order of keys and takes a NaN for itself.
    return repr(_foreign(before)) == repr(_foreign(after))


def _foreign(value: dict[Any, Any]) -> dict[Any, Any]:
    """What is not ours, with an absent list of results as an empty one."""
    if not _index(value):
        return value
    models = [
        {**model, "results": [result for result in _results(model) if not ours(result)]}
        for model in _index(value)
    ]
    return {**value, KEY: models}


# ---------------------------------------------------------------------------------------------- places
def _child(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _end(node: yaml.Node) -> int:
    """Where the last sign of a node stands; a block's own mark lies after the comments that follow it."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    return int(node.end_mark.index)


def _next_line(text: str, at: int) -> int:
    """Where the line after this place begins; the place itself where it begins a line."""
    if at and text[at - 1] in "\r\n" and text[at - 1 : at + 1] != "\r\n":
        return at
    found = re.compile(r"\r\n|\r|\n").search(text, at)
    return found.end() if found else len(text)


def _dash(text: str, item: yaml.Node) -> int | None:
    """Where the ``-`` of an item of a block list stands; None where it cannot be told."""
    at = int(item.start_mark.index)
    dash = text.rfind("-", 0, at)
    return dash if dash >= 0 and not text[dash + 1 : at].strip() else None


def _column(text: str, at: int) -> int:
    """How far into its line a place stands, if only blanks stand before it; else -1."""
    start = max(text.rfind("\n", 0, at), text.rfind("\r", 0, at)) + 1
    return -1 if text[start:at].strip(" ") else at - start


# ---------------------------------------------------------------------------------------------- editing
def _without_ours(text: str, root: yaml.Node | None) -> str:
    """The metadata without our results."""
    spans: list[tuple[int, int]] = []
    index = _child(root, KEY)
    for model in index.value if isinstance(index, yaml.SequenceNode) else ():
        listed = _child(model, "results")
        if isinstance(listed, yaml.SequenceNode):
            spans += _spans(text, listed)
    for start, end in sorted(spans, reverse=True):
        text = text[:start] + text[end:]
    return text


def _spans(text: str, listed: yaml.SequenceNode) -> Iterator[tuple[int, int]]:
    """What to cut so that ours are gone: whole lines of a block list, items with a comma of one in brackets."""
    items = listed.value
    for mine, run in groupby(range(len(items)), key=lambda place: _marked(items[place])):
        places = list(run)
        first, last = places[0], places[-1]
        if not mine:
            continue
        if not listed.flow_style:
            for place in places:
                dash = _dash(text, items[place])
                column = -1 if dash is None else _column(text, dash)
                if dash is not None and column >= 0:
                    yield dash - column, _next_line(text, _end(items[place]))
        elif last + 1 < len(items):
            yield int(items[first].start_mark.index), int(items[last + 1].start_mark.index)
        else:
            start = int(items[first].start_mark.index)
            before = _end(items[first - 1]) if first else start
            # A comma that stood there before, with its comment, stays; ours goes.
            yield before if text[before:start] == _COMMA else start, _end(items[last])


def _marked(item: yaml.Node) -> bool:
    return _child(_child(_child(item, "dataset"), "args"), MARK) is not None


def _with(text: str, root: yaml.Node | None, name: str, results: list[dict[str, Any]], newline: str) -> str:
    """The metadata with results added at the end of the first model's list."""
    index = _child(root, KEY)
    model = index.value[0] if isinstance(index, yaml.SequenceNode) and index.value else None
    listed = _child(model, "results")
    if model is not None and listed is not None:
        return _into_list(text, model, listed, results, newline)
    whole = [{"name": name, "results": results}]
    if not results:
        return text
    if model is not None:
        return _into_mapping(text, model, {"results": results}, newline)
    if not isinstance(root, yaml.MappingNode):
        return text + _block({KEY: whole}, 0, newline)
    if index is not None:
        return _into_list(text, root, index, whole, newline)
    return _into_mapping(text, root, {KEY: whole}, newline)


def _block(value: object, column: int, newline: str) -> str:
    """A value as YAML lines that stand at a column, each with its line end."""
    lines = (
        yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1_000_000).rstrip("\n").split("\n")
    )
    return "".join(f"{' ' * column}{line}{newline}" for line in lines)


def _flow(value: object) -> str:
    """A value as YAML on one line."""
    return yaml.safe_dump(
        value, sort_keys=False, allow_unicode=True, width=1_000_000, default_flow_style=True
    ).strip()


def _into_mapping(text: str, node: yaml.CollectionNode, added: dict[str, Any], newline: str) -> str:
    """The text with keys added at the end of a mapping."""
    if node.flow_style:
        return _before_bracket(text, node, _flow(added)[1:-1])
    start = node.start_mark
    if text[start.index] in "&!":
        start = node.value[0][0].start_mark  # an anchor may stand on a line of its own
    return _at(text, _next_line(text, _end(node)), _block(added, int(start.column), newline), newline)


def _into_list(
    text: str, parent: yaml.CollectionNode, node: yaml.Node, added: list[Any], newline: str
) -> str:
    """The text with items added at the end of a list; the list may be there without any value."""
    if isinstance(node, yaml.ScalarNode):
        if node.value or not added or parent.flow_style:
            before = text[: int(node.start_mark.index)]
            blank = "" if before.endswith(" ") else " "
            return f"{before}{blank}{_flow(added)}{text[int(node.end_mark.index) :]}"
        column = int(parent.value[0][0].start_mark.column)
        return _at(text, _next_line(text, _end(node)), _block(added, column, newline), newline)
    if not added:
        return text
    assert isinstance(node, yaml.CollectionNode)
    if node.flow_style:
        return _before_bracket(text, node, _flow(added)[1:-1])
    dash = _dash(text, node.value[0])
    column = _column(text, dash) if dash is not None else -1
    return _at(text, _next_line(text, _end(node)), _block(added, max(column, 0), newline), newline)


def _at(text: str, place: int, lines: str, newline: str) -> str:
    begun = "" if place == 0 or text[place - 1] in "\r\n" else newline
    return f"{text[:place]}{begun}{lines}{text[place:]}"


def _before_bracket(text: str, node: yaml.CollectionNode, inside: str) -> str:
    """The text with something added before the closing bracket of a list or mapping in brackets."""
    bracket = int(node.end_mark.index) - 1
    comma = ""
    if node.value:
        last = node.value[-1]
        between = text[_end(last[1] if isinstance(last, tuple) else last) : bracket]
        comma = "" if "," in re.sub(r"#[^\r\n]*", "", between) else _COMMA
    return f"{text[:bracket]}{comma}{inside}{text[bracket:]}"

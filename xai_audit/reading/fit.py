"""A mapping of a YAML file as one of our frozen models, every mistake told at its own place."""

from __future__ import annotations

import difflib
import re
import types
from collections import defaultdict
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from xai_audit.source import shown
from xai_audit.verdict import RULE_ID, Waiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pydantic_core import ErrorDetails

    from xai_audit.errors import Mistake
    from xai_audit.source import Node

M = TypeVar("M", bound=BaseModel)

NOT_WRITTEN: Mapping[type[BaseModel], frozenset[str]] = {Waiver: frozenset({"expired"})}
"""Fields that are found out, not asked for."""

UNAVAILABLE = "not available in this version"


def meant(word: str, options: Iterable[str]) -> str:
    """``; did you mean 'x'?`` where an option is close, the options where they are few, else nothing."""
    names = list(options)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.7)
    if not close:
        folded = {name.casefold(): name for name in names}
        close = [
            folded[found] for found in difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.7)
        ]
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; it is one of {listed(names)}" if 0 < len(names) <= 8 else ""


def listed(names: Sequence[str], join: str = "or") -> str:
    """``a, b or c``."""
    *most, last = names
    return f"{', '.join(most)} {join} {last}" if most else last


def fit(
    node: Node,
    model: type[M],
    mistakes: list[Mistake],
    *,
    where: str,
    given: Mapping[str, Any] | None = None,
    unavailable: Iterable[str] = (),
) -> M | None:
    """The model that a mapping spells out; None, with its mistakes added to the list, where it does not.

    ``where`` is the key path told in messages; ``given`` holds fields read already; keys in ``unavailable``
    are refused by name as not there yet.
    """
    if node.kind != "mapping":
        mistakes.append(node.place.mistake(f"{where}: keys and values are asked here, not {_kind(node)}"))
        return None
    before = len(mistakes)
    lowering = _Lowering(mistakes, given or {}, frozenset(unavailable))
    values = lowering.mapping(node, model, where, top=True)
    try:
        fitted = model.model_validate({**values, **(given or {})}, strict=True)
    except ValidationError as error:
        mistakes.extend(_told(error, node, where, lowering.mistyped))
        return None
    return fitted if len(mistakes) == before else None


class _Lowering:
    """Nodes to the plain values whose types a model declares; names the keys it does not know."""

    def __init__(
        self, mistakes: list[Mistake], given: Mapping[str, Any], unavailable: frozenset[str]
    ) -> None:
        self.mistakes = mistakes
        self.given = given
        self.unavailable = unavailable
        self.mistyped: set[tuple[str, str]] = set()
        """Fields told as what an unknown key may have meant, by where they are missing."""

    def mapping(self, node: Node, model: type[BaseModel], where: str, *, top: bool = False) -> dict[str, Any]:
        hidden = NOT_WRITTEN.get(model, frozenset())
        fields = {name: info for name, info in model.model_fields.items() if name not in hidden}
        values: dict[str, Any] = {}
        for key, child in node.value.items():
            if top and key in self.given:
                continue
            path = f"{where}.{key}" if where else key
            if key not in fields:
                known = [*fields, *self.given] if top else list(fields)
                if (top and key in self.unavailable) or path in self.unavailable:
                    what = f"{path}: {UNAVAILABLE}"
                else:
                    prefix = f"{where}: " if where else ""
                    hint = meant(key, known)
                    self.mistyped |= {(where, name) for name in fields if hint == f"; did you mean {name!r}?"}
                    what = f"{prefix}no key named {shown(key)}{hint}"
                self.mistakes.append(node.keys[key].mistake(what))
                continue
            annotation = fields[key].annotation
            if (
                child.kind == "null"
                and type(None) not in _members(annotation)
                and Any not in _members(annotation)
            ):
                continue  # an empty value is an absent key
            values[key] = self.value(child, annotation, path)
        return values

    def value(self, node: Node, annotation: Any, where: str) -> Any:
        members = _members(annotation)
        if node.kind == "mapping":
            return self._keyed(node, members, where)
        if node.kind == "list":
            element, collection = _element(members)
            return collection(
                self.value(child, element(index), f"{where}[{index}]")
                for index, child in enumerate(node.value)
            )
        return _scalar(node, members)

    def _keyed(self, node: Node, members: tuple[Any, ...], where: str) -> Any:
        models = [member for member in members if isinstance(member, type) and issubclass(member, BaseModel)]
        if len(models) == 1:
            return self.mapping(node, models[0], where)
        for member in members:
            if get_origin(member) is dict:
                inner = get_args(member)[1]
                return {key: self.value(child, inner, f"{where}.{key}") for key, child in node.value.items()}
        return node.plain()


def _members(annotation: Any) -> tuple[Any, ...]:
    """The alternatives of a type, with annotations and unions taken apart."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _members(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return tuple(inner for member in get_args(annotation) for inner in _members(member))
    return (annotation,)


def _element(members: tuple[Any, ...]) -> tuple[Callable[[int], Any], Callable[[Iterable[Any]], Any]]:
    """The type of a list's element by its index, and the collection the list becomes."""
    for member in members:
        origin, kinds = get_origin(member), get_args(member)
        if origin is tuple and kinds:
            return partial(_nth, kinds), tuple
        if origin in (list, set, frozenset) and kinds:
            return partial(_nth, (kinds[0], ...)), origin
    return (lambda _: Any), list


def _nth(kinds: tuple[Any, ...], index: int) -> Any:
    if kinds[-1] is Ellipsis:
        return kinds[0]
    return kinds[index] if index < len(kinds) else Any


def _scalar(node: Node, members: tuple[Any, ...]) -> Any:
    literals = [choice for member in members if get_origin(member) is Literal for choice in get_args(member)]
    natural: dict[str, tuple[Any, ...]] = {
        "number": (int, float),
        "boolean": (bool,),
    }
    if node.kind == "null":
        return None
    if any(choice == node.value and type(choice) is type(node.value) for choice in literals):
        return node.value
    if date in members:
        return as_date(node)
    if Any in members or any(kind in members for kind in natural.get(node.kind, ())):
        return node.plain()
    # A name or a version written as 2.1 or true is a word where a word is asked; so is a column's short form.
    wordy = str in members or any(isinstance(choice, str) for choice in literals)
    short = any(isinstance(member, type) and issubclass(member, BaseModel) for member in members)
    return node.raw if wordy or short or node.kind == "date" else node.value


def as_date(node: Node) -> Any:
    """The date a scalar writes, in quotes or not, or its text."""
    try:
        return date.fromisoformat(node.raw) if len(node.raw) == 10 else node.raw
    except ValueError:
        return node.raw


_ASKED = {
    "int": "a whole number is asked",
    "float": "a number is asked",
    "bool": "true or false is asked",
    "string": "text is asked",
    "date": "a date such as 2026-11-22 is asked",
    "tuple": "a list is asked",
    "list": "a list is asked",
    "set": "a list is asked",
    "dict": "keys and values are asked",
    "model": "keys and values are asked",
    "finite": "a finite number is asked",
    "none": "nothing is asked",
}


def _told(error: ValidationError, node: Node, where: str, mistyped: set[tuple[str, str]]) -> list[Mistake]:
    """What pydantic found, at our places and in our words; alternatives of one value told as one mistake."""
    found: dict[int, tuple[Node, str, list[ErrorDetails]]] = {}
    mistakes = []
    grouped: dict[int, list[ErrorDetails]] = defaultdict(list)
    for detail in error.errors(include_url=False):
        inner, path = _at(node, detail["loc"], where)
        if detail["type"] == "missing":
            name = str(detail["loc"][-1])
            if (path, name) in mistyped:
                continue
            prefix = f"{path}: " if path else ""
            mistakes.append(inner.place.mistake(f"{prefix}the key {name!r} is missing"))
            continue
        if detail["type"] == "value_error" and any(path == place for place, _ in mistyped):
            continue  # what the keys say together cannot be judged while one of them is misspelt
        grouped[id(inner)].append(detail)
        found[id(inner)] = (inner, path, grouped[id(inner)])
    for inner, path, details in found.values():
        mistakes.append(
            inner.place.mistake(f"{path}: {_what(details, inner)}" if path else _what(details, inner))
        )
    return mistakes


def _at(node: Node, location: Sequence[int | str], where: str) -> tuple[Node, str]:
    for step in location:
        if node.kind == "mapping" and step in node.value:
            node = node.value[step]
            where = f"{where}.{step}" if where else str(step)
        elif node.kind == "list" and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            where = f"{where}[{step}]"
        else:
            break
    return node, where


def _what(details: Sequence[ErrorDetails], node: Node) -> str:
    """One mistake from pydantic's errors about one value."""
    kinds = [(detail, _kind_asked(detail)) for detail in details]
    others = [detail for detail, asked in kinds if asked is None and detail["type"] != "literal_error"]
    if others:
        return "; ".join(dict.fromkeys(_constraint(detail, node) for detail in others))
    asked = list(
        dict.fromkeys(
            words.removesuffix(" is asked").removesuffix(" are asked") for _, words in kinds if words
        )
    )
    options: list[str] = []
    for detail, _ in kinds:
        if detail["type"] == "literal_error":
            options += _options(detail)
    if options and not asked:
        if node.kind in ("mapping", "list"):
            return f"one of {listed(options)} is asked, not {_kind(node)}"
        hint = meant(node.raw, options)
        return f"{shown(node.raw)} is not possible here{hint or f'; it is one of {listed(options)}'}"
    if options:
        asked.append(f"one of {listed(options)}" if len(options) > 1 else repr(options[0]))
    if not asked:
        return "; ".join(detail["msg"] for detail in details)
    verb = "are" if asked[-1] == "keys and values" else "is"
    return f"{listed(asked)} {verb} asked, not {_kind(node)}"


def _options(detail: ErrorDetails) -> list[str]:
    return [
        quoted or bare
        for quoted, bare in re.findall(r"'([^']*)'|(\b(?!or\b)[\w.]+)", detail["ctx"]["expected"])
    ]


def _kind_asked(detail: ErrorDetails) -> str | None:
    kind = detail["type"]
    if kind.endswith(
        ("_type", "_parsing", "_from_float", "_parsing_size", "_from_date_inexact", "finite_number")
    ):
        return _ASKED.get(kind.split("_")[0])
    return None


def _constraint(detail: ErrorDetails, node: Node) -> str:  # noqa: PLR0911 - a case each
    kind, context = detail["type"], detail.get("ctx", {})
    match kind:
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            bound, words = _BOUNDS[kind]
            return f"{shown(node.raw)} is out of range; it is {words} {context[bound]}"
        case "string_too_short" | "too_short":
            return "is empty"
        case "string_too_long" | "too_long":
            return f"is too long; at most {context['max_length']}"
        case "string_pattern_mismatch" if context["pattern"] == "^[0-9a-f]{64}$":
            return f"a sha256 of 64 hexadecimal digits in lower case is asked, not {shown(node.raw)}"
        case "string_pattern_mismatch" if context["pattern"] == RULE_ID:
            return f"{shown(node.raw)} is no rule's id; capitals, digits and hyphens make one, as FAI-01"
        case "string_pattern_mismatch":
            return f"{shown(node.raw)} does not have the form {context['pattern']}"
        case "value_error":
            return " ".join(str(context["error"]).split())
        case _:
            return f"{detail['msg'][:1].lower()}{detail['msg'][1:]}"


_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def _kind(node: Node) -> str:
    """What a node is, for a message."""
    if node.kind in ("mapping", "list"):
        return {"mapping": "keys and values", "list": "a list"}[node.kind]
    if node.kind == "null":
        return "nothing"
    hint = ""
    if node.kind == "text" and node.raw in ("yes", "no", "on", "off", "Yes", "No", "On", "Off"):
        hint = f" (write {'true' if node.raw.lower() in ('yes', 'on') else 'false'})"
    elif node.kind == "text" and re.fullmatch(r"[-+]?[0-9][0-9_]*", node.raw):
        # A leading zero, an underline or too many digits made it a word.
        plain = node.raw.replace("_", "").lstrip("+0") or "0"
        hint = f" (write {plain})" if len(plain) <= 18 else " (too large)"
    return shown(node.raw) + hint

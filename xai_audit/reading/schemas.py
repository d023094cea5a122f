"""JSON Schemas of what the readers accept, so that editors complete keys, methods and their parameters."""

from __future__ import annotations

import ast
import inspect
import textwrap
from itertools import pairwise
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

from xai_audit import catalog
from xai_audit.audit import SCHEMA, Audit
from xai_audit.policy import Policy
from xai_audit.reading.checks import REPORTS
from xai_audit.reading.fit import NOT_WRITTEN
from xai_audit.reading.named import selectable
from xai_audit.reading.policies import evidence_names, shipped
from xai_audit.reading.said import OPTIONAL
from xai_audit.spec import Data, Model, ReportOptions, RunOptions, Sensitive, Spec, System
from xai_audit.statements import ASKED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

Schema = dict[str, Any]

DRAFT = "https://json-schema.org/draft/2020-12/schema"
SCALAR: Schema = {"type": ["string", "number", "boolean"]}
"""Where text is asked, 2.1 and true are words."""
DAY: Schema = {"type": "string", "format": "date", "pattern": r"^\d{4}-\d{2}-\d{2}$"}


def spec_schema() -> Schema:
    """The JSON Schema (draft 2020-12) of a spec; what may come from ``extends`` is asked only without it."""
    descriptions = dict(_docstrings(Spec))
    schema: Schema = {
        "$schema": DRAFT,
        "$id": "xai-audit/spec/1",
        "title": "xai-audit spec",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "version": {"const": 1},
            "extends": {**SCALAR, "description": "Another spec, relative to this one; keys here win."},
            "system": _system(),
            "model": _written(Model),
            "data": _data(),
            "explainers": _uses("explainer"),
            "metrics": _uses("metric"),
            "policies": {"type": "array", "items": _policy_name()},
            "report": _report(),
            "run": _written(RunOptions),
        },
    }
    properties = schema["properties"]
    for key, description in descriptions.items():
        properties.get(key, {})["description"] = description
    asked = _required({"type": "object", "properties": properties, "required": ["system", "model", "data"]})
    schema["properties"] = {key: _or_null(inner) for key, inner in properties.items()}
    # A file that is extended may hold what is asked here, so it is asked only of a spec that stands alone.
    schema["if"] = {"not": {"required": ["extends"], "properties": {"extends": SCALAR}}}
    schema["then"] = {
        **asked,
        "properties": {
            **asked["properties"],
            **{key: {"type": "object", **asked["properties"].get(key, {})} for key in asked["required"]},
        },
    }
    schema["$defs"] = {"saying": _saying()}
    return schema


def policy_schema() -> Schema:
    """The JSON Schema (draft 2020-12) of a policy."""
    schema = _written(Policy)
    rule = schema["properties"]["rules"]["items"]
    names = sorted(evidence_names())
    rule["properties"]["evidence"] = {
        "anyOf": [
            {"enum": names},
            {"type": "string", "pattern": f"^({'|'.join(names)})(/.*)?$"},
            {"type": "null"},
        ],
        "description": rule["properties"]["evidence"].get("description", ""),
    }
    one_of = ("at_least", "at_most", "equals", "present", "attested")
    rule["oneOf"] = [{"required": [key], "properties": {key: {"not": {"type": "null"}}}} for key in one_of]
    return {"$schema": DRAFT, "$id": "xai-audit/policy/1", "title": "xai-audit policy", **schema}


def audit_schema() -> Schema:
    """The JSON Schema (draft 2020-12) of audit.json."""
    schema = Audit.model_json_schema(mode="serialization", by_alias=True)
    schema["properties"]["schema"] = {"const": SCHEMA}
    return {"$schema": DRAFT, "$id": SCHEMA, **schema, "title": "xai-audit audit.json"}


def _required(schema: Schema) -> Schema:
    """What a mapping must have, taken out of its schema; so with the mappings in it, but not with lists."""
    asked: Schema = {"required": schema.pop("required")} if schema.get("required") else {}
    within = {}
    for key, inner in schema.get("properties", {}).items():
        if key == "statements":
            continue  # each may be said in several ways, only one of which asks for a key
        for part in (inner, *inner.get("anyOf", ())):
            if part.get("type") == "object" and (found := _required(part)):
                within[key] = found
    return {**asked, **({"properties": within} if within else {})}


def _written(model: type[BaseModel]) -> Schema:
    """How a model is written in YAML: its keys and what they are for; an empty optional key is absent."""
    hidden = NOT_WRITTEN.get(model, frozenset())
    descriptions = dict(_docstrings(model))
    full = model.model_json_schema()
    defs: Schema = full.get("$defs", {})
    models = dict(_models(model))
    required = [name for name in full.get("required", []) if name not in hidden]
    properties = {}
    for name, inner in full.get("properties", {}).items():
        if name in hidden:
            continue
        told = _plain(inner, defs, models)
        if name in descriptions:
            told["description"] = descriptions[name]
        properties[name] = told if name in required else _or_null(told)
    schema: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    if required:
        schema["required"] = required
    return schema


def _models(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """Models that the fields of a model hold, by name."""

    def within(annotation: Any) -> Iterator[tuple[str, type[BaseModel]]]:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation.__name__, annotation
            yield from _models(annotation)
        for inner in get_args(annotation):
            yield from within(inner)

    for field in model.model_fields.values():
        yield from within(field.annotation)


def _plain(inner: Schema, defs: Schema, models: dict[str, type[BaseModel]]) -> Schema:
    """One value's schema as YAML writes it: references resolved, titles and defaults of ours gone."""
    if "$ref" in inner:
        name = inner["$ref"].rpartition("/")[2]
        return _written(models[name]) if name in models else _plain(defs[name], defs, models)
    schema = {key: value for key, value in inner.items() if key != "title"}
    if "default" in schema and schema["default"] in (None, {}, []):
        del schema["default"]
    for key in ("anyOf", "oneOf", "prefixItems"):
        if key in schema:
            schema[key] = [_plain(part, defs, models) for part in schema[key]]
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            schema[key] = _plain(schema[key], defs, models)
    if schema.get("format") == "date":
        schema |= DAY
    elif schema.get("type") == "string" and "format" not in schema:
        schema["type"] = list(SCALAR["type"])
    return schema


def _or_null(schema: Schema) -> Schema:
    if not schema or any(part == {"type": "null"} for part in schema.get("anyOf", ())):
        return schema
    described = {"description": schema.pop("description")} if "description" in schema else {}
    return {"anyOf": [schema, {"type": "null"}], **described}


def _docstrings(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """What stands in quotes under each field of a model."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(model)))
    except (OSError, TypeError, SyntaxError):
        return  # a class without its source has no descriptions
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    for field, after in pairwise(body):
        told = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        if told and isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            yield field.target.id, inspect.cleandoc(str(after.value.value))  # type: ignore[attr-defined]


def _system() -> Schema:
    schema = _written(System)
    saying = {"$ref": "#/$defs/saying"}
    properties = schema["properties"]
    properties["intended_purpose"] = {
        "anyOf": [SCALAR, _attributed(SCALAR), {"type": "null"}],
        "description": properties["intended_purpose"].get("description", ""),
    }
    stated: Schema = {"declared_levels": properties["declared_levels"]}
    for asked in ASKED:
        if asked.key == "intended_purpose":
            continue
        inner: Schema = saying
        if asked.letters:
            letters = dict.fromkeys((*asked.letters, *OPTIONAL.get(asked.key, ())), saying)
            parts = {"type": "object", "additionalProperties": False, "properties": {**letters, **_by()}}
            inner = {
                "anyOf": [SCALAR, {"type": ["array", "null"], "items": saying}, _attributed(SCALAR), parts]
            }
        stated[asked.key] = {**inner, "description": f"{asked.asks} ({asked.clause})"}
    properties["statements"] = _or_null(
        {
            "type": "object",
            "additionalProperties": False,
            "properties": stated,
            "description": "What people say, by stable keys.",
        }
    )
    return schema


def _by() -> Schema:
    return {
        "author": {**SCALAR, "type": [*SCALAR["type"], "null"]},
        "date": {**DAY, "type": ["string", "null"]},
        "language": {**SCALAR, "type": [*SCALAR["type"], "null"]},
        "evidence_refs": {"type": ["array", "null"], "items": SCALAR},
    }


def _attributed(text: Schema) -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["text"],
        "properties": {"text": text, **_by()},
    }


def _saying() -> Schema:
    """A statement: text, text with its author, keys of statements, or a list of statements."""
    itself = {"$ref": "#/$defs/saying"}
    keyed = {"type": "object", "not": {"required": ["text"]}, "additionalProperties": itself}
    listed = {"type": "array", "items": itself}
    return {"anyOf": [SCALAR, {"type": "null"}, _attributed(SCALAR), keyed, listed]}


def _data() -> Schema:
    schema = _written(Data)
    sensitive = schema["properties"]["sensitive"]
    items = {"anyOf": [SCALAR, _written(Sensitive)]}
    schema["properties"]["sensitive"] = {**sensitive, **_or_null({"type": "array", "items": items})}
    return schema


def _report() -> Schema:
    schema = _written(ReportOptions)
    formats = schema["properties"]["formats"]
    choice = {"type": "array", "items": {"enum": list(REPORTS)}}
    schema["properties"]["formats"] = {**formats, **_or_null(choice)}
    return schema


def _policy_name() -> Schema:
    return {"anyOf": [{"enum": shipped()}, {"type": "string", "pattern": r"\.ya?ml$"}]}


def _uses(kind: Literal["explainer", "metric"]) -> Schema:
    """A list of names, or of names with their parameters."""
    names = selectable(kind)
    table = catalog.methods()
    if not names:
        return {"type": "array", "maxItems": 0}
    params = {
        name: {**_or_null(_written(table[name].params)), "description": table[name].measures}
        for name in names
    }
    label = {"type": ["string", "number", "boolean", "null"], "description": "The name its evidence carries."}
    entry: Schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {**params, "as": label},
        "anyOf": [{"required": [name]} for name in names],
        "maxProperties": 2,
        "if": {"minProperties": 2},
        "then": {"required": ["as"]},
    }
    plain = {"anyOf": [{"const": name, "description": table[name].title} for name in names]}
    return {"type": "array", "items": {"anyOf": [*plain["anyOf"], entry]}}

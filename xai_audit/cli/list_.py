"""``xai-audit list``: what a spec may name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from xai_audit.method import Method

Row = dict[str, Any]


@click.command()
@click.argument(
    "what",
    required=False,
    type=click.Choice(["explainers", "metrics", "policies", "formats", "loaders"]),
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(what: str | None, as_json: bool) -> None:
    """List explainers, metrics, policies, report formats and loaders; all of them where none is named."""
    rows = {name: table() for name, table in TABLES.items() if what in (None, name)}
    if as_json:
        click.echo(json.dumps(rows[what] if what else rows, indent=1, ensure_ascii=False))
        return
    for name, entries in rows.items():
        if what is None:
            click.echo(f"{name}:")
        width = max((len(entry["name"]) for entry in entries), default=0)
        for entry in entries:
            indent = "  " if what is None else ""
            click.echo(f"{indent}{entry['name']:<{width}}  {entry['title']}".rstrip())
        if what is None:
            click.echo()


def _methods(kind: str) -> list[Row]:
    from xai_audit.catalog import methods

    return [_method(method) for method in methods().values() if method.kind == kind and method.selectable]


def _method(method: Method[Any]) -> Row:
    params = {
        name: {
            "default": _plain(field.get_default(call_default_factory=True)),
            "type": _type(field.annotation),
        }
        for name, field in method.params.model_fields.items()
    }
    return {
        "name": method.id,
        "title": method.title,
        "measures": method.measures,
        "limits": list(method.limits),
        "cites": list(method.cites),
        "needs": list(method.needs),
        "params": params,
    }


def _type(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


def _plain(value: Any) -> Any:
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError):
        return None  # a parameter that must be given has no default


def _policies() -> list[Row]:
    from xai_audit.reading import find_policy, read_policy, shipped

    rows = []
    for name in shipped():
        path = find_policy(name, Path())
        assert not isinstance(path, str)
        policy, sha256 = read_policy(path)
        rows.append(
            {
                "name": name,
                "title": policy.title or f"{len(policy.rules)} rules",
                "version": policy.version,
                "as_of": policy.as_of.isoformat(),
                "rules": len(policy.rules),
                "sha256": sha256,
            }
        )
    return rows


def _formats() -> list[Row]:
    from xai_audit.render import FILES

    return [{"name": name, "title": f"writes {file}", "file": file} for name, file in FILES.items()]


def _loaders() -> list[Row]:
    from xai_audit.loaders import DATA, MODELS

    rows = []
    for kind, table in (("model", MODELS), ("data", DATA)):
        for item in table.values():
            title = " ".join([f"{kind}:", *item.suffixes, item.title])
            title += "; runs code, so it needs trust: true and a sha256" if item.code else ""
            title += f"; needs pip install 'xai-audit[{item.needs}]'" if item.needs else ""
            rows.append({"name": item.id, "title": title, "kind": kind, "suffixes": list(item.suffixes)})
    return rows


TABLES: dict[str, Callable[[], list[Row]]] = {
    "explainers": lambda: _methods("explainer"),
    "metrics": lambda: _methods("metric"),
    "policies": _policies,
    "formats": _formats,
    "loaders": _loaders,
}
"""What can be listed, each with how it is found."""

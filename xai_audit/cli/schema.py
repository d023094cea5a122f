"""``xai-audit schema``: the JSON Schemas that editors complete by."""

from __future__ import annotations

import json

import click


@click.command()
@click.argument("what", type=click.Choice(["spec", "audit", "policy"]))
def command(what: str) -> None:
    """Print the JSON Schema (draft 2020-12) of a spec, of audit.json or of a policy.

    \b
    For completion in an editor with a YAML language server:
        xai-audit schema spec > xai-audit.schema.json
    and as the first line of the spec:
        # yaml-language-server: $schema=xai-audit.schema.json
    """  # noqa: D301  # click's mark is the character, not its escape
    from xai_audit import reading

    made = {"spec": reading.spec_schema, "audit": reading.audit_schema, "policy": reading.policy_schema}[
        what
    ]()
    click.echo(json.dumps(made, indent=1, ensure_ascii=False))

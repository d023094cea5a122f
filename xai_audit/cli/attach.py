"""``xai-audit attach``: an audit into a model card or onto a model version of a registry, and whether it holds there."""

from __future__ import annotations

import os
from pathlib import Path

import click


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("target", metavar="CARD.md|mlflow:MODEL[/VERSION|@ALIAS]")
@click.option(
    "--check", is_flag=True, help="Write nothing; exit with 1 where something does not hold, and say what."
)
@click.option(
    "--tracking-uri", metavar="URI", default=None, help="The MLflow server; default: MLFLOW_TRACKING_URI."
)
@click.option("--quiet", is_flag=True, help="Print nothing but what does not hold.")
@click.pass_context
def command(
    context: click.Context, folder: Path, target: str, check: bool, tracking_uri: str | None, quiet: bool
) -> None:
    """Put an audit into a model card, or onto a model version of an MLflow registry.

    A card gets a block between two comments and results in its model-index; nothing else of it changes. A model
    version gets tags, the files that may be published, and the alias audit-pass where the audit passed. Doing it
    again changes nothing; a newer audit takes the place of the older one.
    """
    if tracking_uri and not target.startswith("mlflow:"):
        raise click.UsageError("--tracking-uri is for mlflow:MODEL")
    if target.startswith("mlflow:"):
        broken, lines = _registry(folder, target, tracking_uri, check=check)
    else:
        broken, lines = _card(folder, target, check=check)
    if broken or not quiet:
        for line in lines:
            click.echo(line)
    context.exit(1 if broken else 0)


def _card(folder: Path, card: str, *, check: bool) -> tuple[bool, list[str]]:
    """Whether something of a card does not hold, and the lines that tell of it."""
    from xai_audit.attach import binding
    from xai_audit.attach import card as cards

    made, bound = binding.read(folder)
    if check:
        return _held(card, cards.check(Path(card), made, bound), bound.outcome)
    changed = cards.write(Path(card), made, bound)
    return False, [f"{card}: {'attached' if changed else 'nothing to change'}, outcome {bound.outcome}"]


def _registry(folder: Path, target: str, uri: str | None, *, check: bool) -> tuple[bool, list[str]]:
    """The same of a model version."""
    from xai_audit.attach import binding, registry

    try:
        asked = registry.target(target)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        raise click.UsageError(
            f"{target}: no tracking server is named; set MLFLOW_TRACKING_URI or give --tracking-uri"
        )
    _, bound = binding.read(folder)
    if check:
        return _held(*registry.check(folder, bound, asked, uri), bound.outcome)
    done = registry.attach(folder, bound, asked, uri)
    lines = done.changes or (f"nothing to change, outcome {bound.outcome}",)
    return False, [f"{done.name}: {line}" for line in (*lines, *done.notes)]


def _held(where: str, told: list[str], outcome: str) -> tuple[bool, list[str]]:
    return bool(told), [f"{where}: {line}" for line in told or [f"holds, outcome {outcome}"]]

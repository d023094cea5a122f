"""``xai-audit gate``: the verdict of a saved audit again, from its folder alone."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--policy",
    "names",
    multiple=True,
    metavar="P",
    help="Judge by these policies instead of the audit's own.",
)
@click.option("--baseline", metavar="OLD_DIR", default=None, hidden=True)
@click.option("--format", "formats", multiple=True, hidden=True)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of the summary.")
@click.option("--quiet", is_flag=True, help="Print nothing; the exit code tells.")
@click.pass_context
def command(
    context: click.Context,
    folder: Path,
    names: tuple[str, ...],
    baseline: str | None,
    formats: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Judge a saved audit again, without its model, and exit with the outcome. Writes nothing."""
    import datetime

    from xai_audit import audit, judge, pipeline
    from xai_audit.reading import read_policies
    from xai_audit.render import terminal

    for option, given in (("--baseline", baseline), ("--format", formats)):
        if given:
            raise click.UsageError(f"{option}: not available in this version")
    made = audit.read(folder)
    if names:
        policies = read_policies(names, Path())
    else:
        kept = [str(rules["sha256"]) for rules in made.policies]
        policies = list(zip(pipeline.policies_of(made), kept, strict=True))
    judged = pipeline.judge_again(made, policies, datetime.datetime.now(datetime.UTC).date())
    if as_json:
        click.echo(terminal.line(judged, str(folder)))
    elif not quiet:
        click.echo(terminal.summary(judged, folder=str(folder)))
    context.exit(judge.exit_code(judged.outcome))

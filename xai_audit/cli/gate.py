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
@click.option(
    "--baseline",
    metavar="OLD_DIR",
    type=click.Path(path_type=Path),
    default=None,
    help="Compare with this earlier audit, for rules that ask whether it got worse (PER-05).",
)
@click.option("--format", "formats", multiple=True, hidden=True)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of the summary.")
@click.option("--quiet", is_flag=True, help="Print nothing; the exit code tells.")
@click.pass_context
def command(
    context: click.Context,
    folder: Path,
    names: tuple[str, ...],
    baseline: Path | None,
    formats: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Judge a saved audit again, without its model, and exit with the outcome. Writes nothing."""
    import datetime

    from xai_audit import applying, audit, judge, judged, pipeline
    from xai_audit.errors import Mistake, SpecError
    from xai_audit.reading import read_policies
    from xai_audit.render import terminal

    if formats:
        raise click.UsageError("--format: not available in this version")
    made = audit.read(folder)
    if names:
        policies = read_policies(names, Path())
    else:
        try:
            kept = [str(rules["sha256"]) for rules in made.policies]
            policies = list(zip(judged.policies_of(made), kept, strict=True))
        except ValueError as error:
            raise SpecError(
                [Mistake(str(folder / "audit.json"), 0, 0, f"its policies cannot be read: {error}")]
            ) from None
    if baseline is not None:
        made = pipeline.against(made, folder, baseline)
        if not quiet and not any(applying.compares(policy) for policy, _ in policies):
            click.echo(
                "no rule of these policies reads performance_change: the baseline decides nothing", err=True
            )
    again = judged.again(made, policies, datetime.datetime.now(datetime.UTC).date())
    if as_json:
        click.echo(terminal.line(again, str(folder)))
    elif not quiet:
        click.echo(terminal.summary(again, folder=str(folder)))
    context.exit(judge.exit_code(again.outcome))

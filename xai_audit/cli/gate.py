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
@click.option(
    "--format",
    "formats",
    multiple=True,
    metavar="FORMAT[=FILE]",
    help="Print the verdict as sarif, junit, github, gitlab, json ... instead of the summary, or write it to a file or "
    "into a folder; may be repeated. A format never changes the outcome.",
)
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

    from xai_audit import applying, audit, judge, judged, pipeline, writing
    from xai_audit.reading import read_policies
    from xai_audit.render import renderers, terminal

    printed, written = _formats(formats, folder)
    if as_json and printed:
        raise click.UsageError(f"--json and --format {printed[0]} cannot both be printed; one is enough")
    writing.check_formats([*printed, *written])
    made = audit.read(folder)
    if names:
        policies = read_policies(names, Path())
    else:
        kept = [str(rules["sha256"]) for rules in made.policies]
        policies = list(zip(judged.policies_of(made), kept, strict=True))
    if baseline is not None:
        made = pipeline.against(made, folder, baseline)
        if not quiet and not any(applying.compares(policy) for policy, _ in policies):
            click.echo(
                "no rule of these policies reads performance_change: the baseline decides nothing", err=True
            )
    again = judged.again(made, policies, datetime.datetime.now(datetime.UTC).date())
    for name, path in written.items():
        _write(path, renderers[name](again))
    if printed:
        click.echo(renderers[printed[0]](again), nl=False)
    elif as_json:
        click.echo(terminal.line(again, str(folder)))
    elif not quiet:
        click.echo(terminal.summary(again, folder=str(folder)))
    context.exit(judge.exit_code(again.outcome))


def _formats(given: tuple[str, ...], folder: Path) -> tuple[list[str], dict[str, Path]]:
    """The format to print, if any, and the formats to write with their files, none of them in the audit's folder."""
    from xai_audit.render import FILES

    printed: list[str] = []
    written: dict[str, Path] = {}
    for one in given:
        name, equals, file = one.partition("=")
        if name not in FILES:
            raise click.UsageError(
                f"--format {name}: not available in this version; one of {', '.join(sorted(FILES))}"
            )
        if not equals:
            printed.append(name)
            continue
        if not file:
            raise click.UsageError(f"--format {one}: a file is asked, as {name}={FILES[name]}")
        path = Path(file)
        if path.is_dir() or file.endswith("/"):
            path /= FILES[name]
        if name in written:
            raise click.UsageError(f"--format {name}: two files are given for it; one is written")
        if path.resolve().is_relative_to(folder.resolve()):
            raise click.UsageError(
                f"--format {one}: gate writes nothing into {folder}; give a file outside, or use xai-audit render"
            )
        written[name] = path
    if len(printed) > 1:
        both = " and ".join(printed[:2])
        raise click.UsageError(
            f"--format: {both} cannot both be printed; give files, as {printed[1]}={FILES[printed[1]]}"
        )
    return printed, written


def _write(path: Path, content: bytes) -> None:
    """Put a rendering where it was asked: whole or not at all, but straight into a pipe, a device or a link's target."""
    from xai_audit import audit

    if path.is_symlink() or (path.exists() and not path.is_file()):
        path.write_bytes(content)
    else:
        audit.write(path, content)

"""``xai-audit run``: carry out audits, write their folders, exit with the worst outcome."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from xai_audit.audit import Audit
    from xai_audit.verdict import Outcome

SEVERITY: tuple[Outcome, ...] = ("pass", "review", "fail", "error")
"""From best to worst: the exit code of several specs is that of the worst."""


@click.command()
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...")
@click.option(
    "-o",
    "--out",
    default="out",
    show_default=True,
    metavar="DIR",
    help="Where the audit is written; several specs get a folder each.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=None,
    metavar="N",
    help="Worker processes; never changes a number.",
)
@click.option(
    "--resume/--fresh",
    default=False,
    help="Go on with what an interrupted run finished, or start over (the default).",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a key of every spec: --set model.threshold=0.4",
)
@click.option(
    "--key",
    "keys",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="KEY.pem",
    help="Sign the audit with this private key (ed25519 or ECDSA); without one it is unsigned.",
)
@click.option(
    "--baseline",
    metavar="OLD_DIR",
    type=click.Path(path_type=Path),
    default=None,
    help="Compare with this earlier audit of the same system (one spec alone).",
)
@click.option("--quiet", is_flag=True, help="No progress and no summary.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one line of JSON for each audit instead of the summary."
)
@click.pass_context
def command(
    context: click.Context,
    specs: tuple[str, ...],
    out: str,
    jobs: int | None,
    resume: bool,
    overrides: tuple[str, ...],
    keys: tuple[Path, ...],
    baseline: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Carry out one or more audits and exit with the outcome: 0 pass, 1 fail, 3 review, 4 could not run."""
    from xai_audit import audit, judge, pipeline, signing
    from xai_audit.cli.progress import shown
    from xai_audit.errors import UnavailableError
    from xai_audit.folder import left, unfinished
    from xai_audit.reading import read_policies, read_specs
    from xai_audit.render import terminal

    if baseline is not None and len(specs) > 1:
        raise click.UsageError("--baseline: one earlier audit belongs to one spec; run them one by one")
    asked = read_specs(specs, overrides)
    with_policies = [(spec, read_policies(spec.policies, Path(spec.file).parent)) for spec in asked]
    debug = bool(context.find_root().params.get("debug"))
    signers = tuple(signing.signer(key) for key in keys)
    options = pipeline.Options(jobs=jobs, resume=resume, debug=debug, signers=signers, baseline=baseline)
    worst: Outcome = "pass"
    done: list[tuple[str, Audit]] = []
    folders = _folders(out, specs)
    for (spec, policies), folder in zip(with_policies, folders, strict=True):
        if unfinished(folder) and not resume and not quiet:
            click.echo(
                f"{folder}: an unfinished run is discarded; --resume would have gone on with it", err=True
            )
        try:
            with shown(spec.system.name, quiet=quiet) as progress:
                made = pipeline.run(spec, policies, folder, options, progress)
        except UnavailableError as error:
            # The other specs are still audited; this one counts as the worst.
            if len(specs) == 1:
                raise
            click.echo(str(error), err=True)
            worst = "error"
            continue
        except KeyboardInterrupt:
            click.echo(f"{folder}: {left(folder)}", err=True)
            raise
        for piece in made.evidence:
            if piece.method == "report" and piece.status == "skipped" and not quiet:
                click.echo(f"{folder}: {piece.title.lower()} was not written: {piece.reason}", err=True)
        done.append((folder.name, made))
        worst = max(worst, made.outcome, key=SEVERITY.index)
        if as_json:
            click.echo(terminal.line(made, str(folder)))
        elif not quiet:
            click.echo(terminal.summary(made, folder=str(folder)))
    if len(specs) > 1:
        from xai_audit.render import index

        audit.write(Path(out) / "index.html", index.html(done))
    context.exit(judge.exit_code(worst))


def _folders(out: str, specs: tuple[str, ...]) -> list[Path]:
    """The folder of each spec: ``-o`` itself for one, one below it for each of several, named apart."""
    if len(specs) == 1:
        return [Path(out)]
    names: list[str] = []
    for path in map(Path, specs):
        stem = path.parent.name if path.stem == "audit" and path.parent.name else path.stem
        name, number = stem, 2
        while name in names:
            name, number = f"{stem}-{number}", number + 1
        names.append(name)
    return [Path(out) / name for name in names]

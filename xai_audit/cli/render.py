"""``xai-audit render``: the reports of a saved audit again, from its folder alone."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "formats",
    multiple=True,
    metavar="FORMAT",
    help="One of xai-audit list formats; may be repeated. Default: those of the spec.",
)
def command(folder: Path, formats: tuple[str, ...]) -> None:
    """Write the reports of a saved audit again, without its model."""
    from xai_audit import writing
    from xai_audit.render import FILES

    for name in formats:
        if name not in FILES:
            raise click.UsageError(
                f"--format {name}: not available in this version; one of {', '.join(sorted(FILES))}"
            )
    written, dropped = writing.render_again(folder, formats)
    for path in written:
        click.echo(str(path))
    if dropped:
        click.echo(
            f"{folder}: a page is another than the one that was signed; sign the audit again", err=True
        )

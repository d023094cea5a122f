"""``xai-audit view``: the report of an audit in the browser."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--print", "only_print", is_flag=True, help="Print the report's path and open nothing.")
def command(folder: Path, only_print: bool) -> None:
    """Open the report of an audit, and print its path."""
    from xai_audit.audit import settled
    from xai_audit.errors import UnavailableError

    settled(folder)
    names = ("report.html", "index.html", "report.pdf")
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        there = "there is no report here" if folder.is_dir() else "no such folder"
        raise UnavailableError(
            f"{folder}: {there}; xai-audit run writes one, xai-audit render writes it again"
        )
    click.echo(str(found))
    if only_print:
        return
    import webbrowser

    if not webbrowser.open(found.resolve().as_uri()):
        raise UnavailableError(f"{found}: no browser could be started here; open the file yourself")

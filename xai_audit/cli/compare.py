"""``xai-audit compare``: what changed between two saved audits, from their folders alone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from xai_audit.comparison import Comparison

FORMATS = {"html": "comparison.html", "md": "comparison.md", "json": "comparison.json"}
"""What each format's file is called in a folder."""


@click.command()
@click.argument("old", metavar="OLD_DIR", type=click.Path(path_type=Path))
@click.argument("new", metavar="NEW_DIR", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "formats",
    multiple=True,
    metavar="FORMAT",
    help="html, md or json; one alone goes to the standard output where -o is not given.",
)
@click.option(
    "-o",
    "--out",
    metavar="FILE|DIR",
    type=click.Path(path_type=Path),
    default=None,
    help="Where to write: a file for one format, a folder for several; without --format its suffix says which.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON instead of the summary.")
@click.option("--quiet", is_flag=True, help="Print no summary.")
def command(
    old: Path, new: Path, formats: tuple[str, ...], out: Path | None, as_json: bool, quiet: bool
) -> None:
    """Tell what changed between two saved audits: numbers with paired intervals, rules, explanations, data."""
    from xai_audit import audit
    from xai_audit.compare import compare, opened
    from xai_audit.render import comparison_text

    asked = tuple(dict.fromkeys(formats))
    for name in asked:
        if name not in FORMATS:
            raise click.UsageError(
                f"--format {name}: not available in this version; one of {', '.join(FORMATS)}"
            )
    targets = _targets(asked, out, (old, new))
    made = compare(opened(old), opened(new))
    for name, path in targets:
        content = _content(made, name)
        if path is None:
            click.echo(content, nl=False)
        else:
            audit.write(path, content)
            if not quiet:
                click.echo(str(path), err=True)
    if any(path is None for _, path in targets):
        return
    if as_json:
        click.echo(comparison_text.line(made))
    elif not quiet:
        click.echo(comparison_text.screen(made, shutil.get_terminal_size((100, 24)).columns))


def _targets(
    asked: tuple[str, ...], out: Path | None, audits: tuple[Path, Path]
) -> list[tuple[str, Path | None]]:
    """Each format with where it goes: None is the standard output."""
    if out is None:
        if len(asked) > 1:
            raise click.UsageError("several formats need a folder: -o DIR")
        return [(name, None) for name in asked]
    if not asked and out.suffix.removeprefix(".") in FORMATS:
        asked = (out.suffix.removeprefix("."),)
    single = len(asked) == 1 and not out.is_dir()
    folder = out.parent if single else out
    for made in audits:
        if folder.resolve() == made.resolve() or made.resolve() in folder.resolve().parents:
            raise click.UsageError(f"-o {out}: {made} is an audit, and a file more would break its manifest")
    if single:
        return [(asked[0], out)]
    if out.is_file():
        raise click.UsageError(f"-o {out}: several formats need a folder, and this is a file")
    return [(name, out / FORMATS[name]) for name in asked or FORMATS]


def _content(made: Comparison, name: str) -> bytes:
    from xai_audit.render import comparison_html, comparison_text

    if name == "html":
        return comparison_html.render(made)
    return comparison_text.markdown(made) if name == "md" else made.to_json().encode()

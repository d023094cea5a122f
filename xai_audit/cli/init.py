"""``xai-audit init``: a commented spec from a model and a table or a folder of pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMA_FILE = "xai-audit.schema.json"


@click.command()
@click.option("--model", required=True, metavar="M", help="The model file, or its folder.")
@click.option(
    "--data",
    required=True,
    metavar="D",
    help="The test table: csv, parquet, arrow, jsonl or npz; or a folder of pictures in a folder for each class.",
)
@click.option(
    "--target",
    required=True,
    metavar="COL",
    help="The column of the true outcome; class for pictures in folders.",
)
@click.option(
    "--sensitive",
    multiple=True,
    metavar="COL",
    help="A column by which groups are compared; may be repeated.",
)
@click.option(
    "-o", "--out", default="audit.yaml", show_default=True, metavar="FILE", help="The spec to write."
)
def command(model: str, data: str, target: str, sensitive: tuple[str, ...], out: str) -> None:
    """Write a commented spec from a model and a table or a folder of pictures.

    The model is not opened: its sha256 is taken, and its format follows from its suffix. No spec is
    overwritten.
    """
    from xai_audit import digest
    from xai_audit.cli import drafting
    from xai_audit.errors import UnavailableError
    from xai_audit.loaders import folder_format
    from xai_audit.reading import spec_schema

    path = Path(out)
    if path.exists():
        raise click.UsageError(f"{out} is already there and is not overwritten; name another file with -o")
    if not path.parent.is_dir():
        raise click.UsageError(f"{path.parent}: no such folder")
    for given in (model, data):
        if not Path(given).exists() and not given.startswith("sklearn:"):
            raise UnavailableError(f"{given}: no such file")
    kind = folder_format(Path(model)) if Path(model).is_dir() else None
    if not Path(model).is_file() and kind is None:
        raise UnavailableError(f"{model}: a model file is asked, or a folder of transformers or MLflow")
    columns, pictures = drafting.look(data)
    _named(columns, target, sensitive)
    text = drafting.draft(
        drafting.Asked(
            model=drafting.relative(model, path.parent),
            sha256=digest.of_folder(Path(model)) if kind else digest.of_file(Path(model)),
            kind=kind,
            data=drafting.relative(data, path.parent),
            target=target,
            sensitive=sensitive,
            schema=SCHEMA_FILE,
            pictures=pictures,
        ),
        columns,
    )
    path.write_text(text, encoding="utf-8")
    schema = path.parent / SCHEMA_FILE
    schema.write_text(json.dumps(spec_schema(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    click.echo(f"{out}: written; {schema} lets editors complete it")
    click.echo(f"next: xai-audit check {out}", err=True)


def _named(columns: Sequence[object], target: str, sensitive: Sequence[str]) -> None:
    """UsageError with every column that is not in the table."""
    import difflib

    names = [str(getattr(column, "name", column)) for column in columns]
    wrong = []
    for option, name in (("--target", target), *(("--sensitive", name) for name in sensitive)):
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1, cutoff=0.7)
            shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
            hint = f"did you mean {close[0]!r}?" if close else f"the columns are {shown}"
            wrong.append(f"{option}: no column named {name!r}; {hint}")
    if target in sensitive:
        wrong.append(f"--sensitive: {target!r} is the target")
    if wrong:
        raise click.UsageError("\n".join(wrong))

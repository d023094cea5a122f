"""``xai-audit neurons``: a searchable store of a network's units."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from xai_audit.explainers.probing.predicates import Predicate
    from xai_audit.mechanistic.probing.store import Answer, Store
    from xai_audit.spec import Spec


@click.group()
def command() -> None:
    """Build a searchable store of a network's units, and ask it."""


@command.command()
@click.argument("spec_file", metavar="SPEC")
@click.option(
    "-o", "--output", "folder", type=click.Path(path_type=Path), default=Path("neurons"), show_default=True,
    metavar="STORE", help="The folder of the store; it holds rows of data and is not to be published.",
)  # fmt: skip
@click.option(
    "--site", "sites", multiple=True, metavar="SITE",
    help="A site beside those that sparse_probing and neuron_search name in the spec.",
)  # fmt: skip
@click.option(
    "--dictionary", "dictionaries", multiple=True, metavar="[SITE=]FOLDER",
    help="A sparse dictionary whose latents are units too: SITE=FOLDER of SAELens' format, or an audit's folder.",
)  # fmt: skip
@click.option("--rows", type=click.IntRange(min=80), default=2000, show_default=True, help="Test rows used.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a key of the spec.")
def build(
    spec_file: str,
    folder: Path,
    sites: tuple[str, ...],
    dictionaries: tuple[str, ...],
    rows: int,
    overrides: tuple[str, ...],
) -> None:
    """Write a store of every unit at the sites of SPEC, with its scores on every predicate that SPEC names."""
    from xai_audit import pipeline
    from xai_audit.errors import MethodError, UnavailableError
    from xai_audit.explainers.probing import stored
    from xai_audit.loaders import load
    from xai_audit.loaders.dictionaries import dictionaries as saved
    from xai_audit.measure import for_store
    from xai_audit.reading import read_spec

    spec = read_spec(spec_file, overrides)
    named, predicates = _asked(spec)
    every = list(dict.fromkeys([*named, *sites]))
    if not every and not dictionaries:
        raise click.UsageError(
            f"{spec_file} names no sites under sparse_probing or neuron_search; --site SITE names one, --dictionary a "
            "dictionary"
        )
    subject = load(spec)
    network = stored.network_of(subject)
    model = subject.model.sha256 if subject.model else ""
    found = [one for asked in dictionaries for one in saved(asked, model)]
    try:
        from xai_audit.mechanistic.sites import Site

        for site in [*map(Site.parse, every), *(site for site, _ in found)]:
            network.check(site)
    except MethodError as error:
        raise click.UsageError(str(error)) from None
    about = {
        "model": model,
        "data": subject.test.sha256,
        "spec": str(Path(spec_file).resolve()),
        "seed": spec.run.seed,
    }
    context = for_store(subject, pipeline.settings_of(spec, []))
    try:
        units, refused = stored.write(folder, subject, every, predicates, rows, context, about, found)
    except MethodError as error:
        raise UnavailableError(str(error)) from None
    scored = len(predicates) - len(refused)
    latents = f" and {len(found)} dictionaries" if found else ""
    click.echo(f"{folder}: {units:,} units of {len(every)} sites{latents}, {scored} predicates")
    for name, reason in refused.items():
        click.echo(f"  {name}: no score, {reason}", err=True)
    click.echo("it holds rows of data: keep it as you keep the data", err=True)


def _asked(spec: Spec) -> tuple[list[str], list[Predicate]]:
    """The sites and the predicates that the spec's searches name; the first of one name counts."""
    from xai_audit.explainers.probing.predicates import Predicate

    sites: list[str] = []
    predicates: dict[str, Predicate] = {}
    for use in spec.explainers:
        if use.method in {"sparse_probing", "neuron_search"}:
            sites += use.params.get("sites", ())
            for one in use.params.get("predicates", ()):
                predicates.setdefault(one["name"], Predicate.model_validate(one))
    return sites, list(predicates.values())


@command.command()
@click.argument("folder", metavar="STORE", type=click.Path(path_type=Path))
@click.option("--predicate", metavar="NAME", help="Units that tell a predicate of the store best.")
@click.option("--near", metavar="SITE:UNIT", help="Units whose activations go with those of one.")
@click.option(
    "--like",
    metavar="EXAMPLE",
    help="Units that are unusual on the rows of a file, or on row:N of the store.",
)
@click.option(
    "--contrast", nargs=2, type=click.Path(path_type=Path), metavar="POSITIVE NEGATIVE",
    help="Units that tell the rows of one file from those of another.",
)  # fmt: skip
@click.option("--site", metavar="SITE", help="Of one site alone.")
@click.option("--top", type=click.IntRange(1, 1000), default=10, show_default=True, help="Units shown.")
@click.option("--contexts", is_flag=True, help="Show the rows on which each unit is largest: people's rows.")
@click.option(
    "--spec",
    "spec_file",
    metavar="SPEC",
    help="The spec whose model runs new rows; default: the store's own.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def query(
    folder: Path,
    predicate: str | None,
    near: str | None,
    like: str | None,
    contrast: tuple[Path, Path] | None,
    site: str | None,
    top: int,
    contexts: bool,
    spec_file: str | None,
    as_json: bool,
) -> None:
    """Ask a store by exactly one of --predicate, --near, --like and --contrast."""
    from xai_audit.mechanistic.probing.store import Store

    if sum(one is not None for one in (predicate, near, like, contrast)) != 1:
        raise click.UsageError("exactly one of --predicate, --near, --like and --contrast is asked")
    store = Store.open(folder)
    if predicate is not None:
        if predicate not in store.predicates:
            raise click.UsageError(
                f"no predicate {predicate!r} in this store; there are: {_listed(store.predicates)}"
            )
        answer = store.by_predicate(predicate, top, site)
    elif near is not None:
        place, _, unit = near.rpartition(":")
        if not (place and unit.isascii() and unit.isdigit()):
            raise click.UsageError(f"--near {near}: a unit is asked as SITE:UNIT, such as {store.sites[0]}:0")
        answer = store.near(place, int(unit), top)
    elif like is not None and like.startswith("row:"):
        row = like.removeprefix("row:")
        if not (row.isascii() and row.isdigit()):
            raise click.UsageError(f"--like {like}: a row of the store is asked as row:0")
        answer = store.like_row(int(row), top, site)
    elif like is not None:
        (examples,) = _activations(store, spec_file, [Path(like)])
        answer = store.like(examples, top, site)
    else:
        assert contrast is not None
        positive, negative = _activations(store, spec_file, list(contrast))
        answer = store.contrast(positive, negative, top, site)
    if as_json:
        click.echo(_json(store, answer, contexts=contexts))
    else:
        for line in _lines(store, answer, contexts=contexts):
            click.echo(line)


def _activations(store: Store, spec_file: str | None, files: Sequence[Path]) -> list[NDArray[Any]]:
    """What the store's network does with the rows of files, read as sets of its spec are."""
    from xai_audit.errors import MethodError, UnavailableError
    from xai_audit.explainers.probing import stored
    from xai_audit.loaders import load
    from xai_audit.reading import read_spec

    for file in files:
        if not file.exists():
            raise UnavailableError(f"{file}: there is no such file")
    names = [f"neurons_{place}" for place in range(len(files))]
    sets = [f"data.sets.{name}.path={file.resolve()}" for name, file in zip(names, files, strict=True)]
    subject = load(read_spec(spec_file or str(store.about["spec"]), sets))
    if subject.model is None or subject.model.sha256 != store.about["model"]:
        raise UnavailableError(f"{store.folder}: the store was built of another model than the spec names")
    network = stored.network_of(subject)
    try:
        return [stored.activations(network, subject.sets[name].frame, store) for name in names]
    except MethodError as error:
        raise UnavailableError(str(error)) from None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _json(store: Store, answer: Answer, *, contexts: bool) -> str:
    import json
    from dataclasses import asdict

    hits = []
    for hit in answer.hits:
        told = asdict(hit)
        told["contexts"] = store.rows(hit.contexts) if contexts else list(hit.contexts)
        hits.append(told)
    return json.dumps(
        {"score": answer.score, "units": answer.units, "hits": hits}, indent=1, ensure_ascii=False
    )


def _lines(store: Store, answer: Answer, *, contexts: bool) -> Iterator[str]:
    from xai_audit.render.visible import visible

    yield f"{visible(answer.score)}, {answer.units:,} units searched"
    width = max((len(f"{hit.site}:{hit.unit}") for hit in answer.hits), default=4)
    yield f"  {'unit':<{width}}  {'score':>7}  {'p':>6}  {'AUROC':>6}  {'fires':>6}  {'direct':>8}  {'ablated':>8}"
    for hit in answer.hits:
        name = visible(f"{hit.site}:{hit.unit}")
        yield (
            f"  {name:<{width}}  {hit.score:>7.3f}  {_cell(hit.p, 6)}  {_cell(hit.auroc, 6)}  {hit.density:>6.3f}  "
            f"{_cell(hit.direct, 8, 4)}  {_cell(hit.ablation, 8, 4)}"
        )
        if contexts:
            for row in store.rows(hit.contexts[:3]):
                yield f"      {visible(row)[:100]}"
    yield "  A unit that tells a thing need not be used for it; ablated: the score's change with the unit at its mean."


def _cell(value: float | None, width: int, digits: int = 3) -> str:
    return f"{'–':>{width}}" if value is None else f"{value:>{width}.{digits}f}"

"""``xai-audit check``: every mistake of some specs at once, and what is still to be said; nothing is run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from xai_audit.errors import Mistake
    from xai_audit.loaders.cells import Cells
    from xai_audit.policy import Policy
    from xai_audit.spec import Spec


@click.command()
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a key of every spec before it is checked.",
)
@click.option("--quiet", is_flag=True, help="Print mistakes alone.")
def command(specs: tuple[str, ...], overrides: tuple[str, ...], quiet: bool) -> None:
    """Tell every mistake in some specs at once; run nothing.

    Exits with 0 where there is none, 2 where there are, 4 where all of them are files that cannot be had.
    What nobody has stated yet, and what so few rows cannot decide, is printed and is no mistake.
    """
    from xai_audit.errors import SpecError
    from xai_audit.reading import read_spec

    mistakes: list[Mistake] = []
    for path in dict.fromkeys(specs):
        try:
            spec = read_spec(path, overrides)
            told = list(lines_of(spec))
        except SpecError as error:
            mistakes += error.mistakes
            continue
        if not quiet:
            click.echo(f"{path}: ok")
            for line in told:
                click.echo(f"  {line}")
    if mistakes:
        raise SpecError(mistakes)


def lines_of(spec: Spec) -> Iterator[str]:
    """What the audit of a spec will have to leave open; SpecError with the mistakes in its policies."""
    from xai_audit.reading import read_policies

    policies = [policy for policy, _ in read_policies(spec.policies, Path(spec.file).parent)]
    yield from _unstated(spec, policies)
    known = {rule.id for policy in policies for rule in policy.rules}
    for waiver in spec.system.waivers:
        if waiver.rule not in known:
            yield f"the waiver of {waiver.rule} waives nothing: no policy of this spec has that rule"
    if not policies:
        yield "no policy is named: nothing blocks, and the outcome will be review"
    rows, groups, told = _tables(spec)
    yield from told
    yield from _undecidable(spec, policies, rows, groups)


def _unstated(spec: Spec, policies: Sequence[Policy]) -> Iterator[str]:
    """Statements that Annex IV or a rule asks for and that no named person has made."""
    from xai_audit.records import annex_iv_keys
    from xai_audit.statements import BY_KEY

    keys = [*annex_iv_keys(spec), *_attested(spec, policies)]
    absent = list(dict.fromkeys(part for key in keys for part in spec.lacks(key)))
    if not absent:
        return
    number = "1 statement is" if len(absent) == 1 else f"{len(absent)} statements are"
    yield f"{number} missing; the report shows what is absent:"
    width = max(map(len, absent))
    clauses = {part: _clause(part) for part in absent}
    wide = max(map(len, clauses.values()))
    for part in absent:
        asked = BY_KEY.get(part.partition(".")[0])
        who = asked.who if asked else "the provider"
        asks = f": {asked.asks}" if asked else ""
        yield f"  {part:<{width}}  {clauses[part]:<{wide}}  by {who}{asks}".rstrip()


def _clause(part: str) -> str:
    from xai_audit.statements import BY_KEY

    extra = {
        "signatories": "Annex IV(2)(g)",
        "declared_levels": "Article 15(3)",
        "classification": "Article 6",
        "provider": "Annex IV(1)(a)",
    }
    key = part.partition(".")[0]
    return BY_KEY[key].clause if key in BY_KEY else extra.get(key, "")


def _attested(spec: Spec, policies: Sequence[Policy]) -> Iterator[str]:
    """Statements that rules which apply here ask for."""
    from xai_audit import applying

    task = spec.model.task or "classification"
    for policy in policies:
        for rule in policy.rules:
            if rule.attested is not None and applying.not_applicable(rule, spec, task) is None:
                yield from (rule.attested,) if isinstance(rule.attested, str) else rule.attested


def _undecidable(
    spec: Spec, policies: Sequence[Policy], rows: int, groups: Mapping[str, Mapping[str, int]]
) -> Iterator[str]:
    """Rules that could not pass with so few rows even for a model that treats groups alike."""
    from xai_audit import foresight

    for told in foresight.undecidable(spec, policies, rows, groups):
        yield f"undecidable here: {told}"


def _tables(spec: Spec) -> tuple[int, dict[str, dict[str, int]], list[str]]:
    """Rows of data.test, and of each group in it, and what is counted; SpecError with what is wrong in the tables.

    The model stays closed, so what only the model can tell (its features, its classes) is told by run.
    """
    import numpy as np

    from xai_audit.errors import SpecError
    from xai_audit.loaders import media, outcome, predictions, roles, sets
    from xai_audit.loaders.deciding import Decided
    from xai_audit.loaders.mistakes import Mistakes
    from xai_audit.loaders.tables import read_table

    found: list[Mistake] = []
    tables = []
    for key, table in (("data.test", spec.data.test), ("data.train", spec.data.train)):
        if table is not None:
            try:
                tables.append(read_table(table, key, Mistakes(spec)))
            except SpecError as error:
                found += error.mistakes
    named = sets.read(spec, found)
    if found:
        raise SpecError(found)
    mistakes, decided = Mistakes(spec), Decided(tables)
    media.with_target(mistakes, tables)
    media.agreed(mistakes, tables)
    sets.alike(mistakes, named, tables[0])
    examples = sets.chosen(mistakes, named)
    roles.taken(mistakes, tables[0])
    if spec.model.format == "predictions":
        predictions.columns(mistakes, tables[0].columns)
    outcome.target_columns(mistakes, decided)
    mistakes.check()
    groupings, _ = roles.groupings(mistakes, decided, np.arange(tables[0].n))
    mistakes.check()
    groups = {
        grouping.columns[0]: {
            label: int(size)
            for label, size, missing in zip(
                grouping.labels(), np.bincount(grouping.codes, minlength=len(grouping.keys)), grouping.missing,
                strict=True,
            )
            if not missing
        }
        for grouping in groupings
        if len(grouping.columns) == 1
    }  # fmt: skip
    told = _counted(("data.test", "data.train"), tables)
    for name, (_, rows) in examples.items():
        of = "" if len(rows) == named[name].n else f" of {named[name].n:,}"
        told.append(f"data.sets.{name}: {len(rows):,}{of} examples")
    return tables[0].n, groups, told


def _counted(keys: Sequence[str], tables: Sequence[Cells]) -> list[str]:
    """How many pictures or texts there are, and what reading them changed; nothing of tables."""
    from xai_audit.loaders.media import HOLDS

    lines = []
    for key, table in zip(keys, tables, strict=False):
        if table.medium is not None:
            lines.append(f"{key}: {table.n:,} {HOLDS[table.modality]}")
            lines += table.notes
    return lines

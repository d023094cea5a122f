"""``xai-audit verify``: hold an audit to its own evidence, without its model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xai_audit.audit import Audit
    from xai_audit.verify import Topic
    from xai_audit.verify.checks import Check

SIGNS = {"holds": "●", "broken": "■", "unchecked": "▲"}
TOLD = 20
"""Lines of one kind on the screen; --json has them all."""


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--key", "keys", multiple=True, type=click.Path(path_type=Path), metavar="PUB.pem",
    help="A public key whose signature must be there and hold; may be given more than once.",
)  # fmt: skip
@click.option(
    "--policy", "names", multiple=True, metavar="P",
    help="A policy that the audit must have applied; those shipped are always compared.",
)  # fmt: skip
@click.option(
    "--log", "log_file", type=click.Path(path_type=Path), metavar="FILE",
    help="The project's log, audit-log.jsonl beside its spec.",
)  # fmt: skip
@click.option(
    "--model", metavar="M", default=None,
    help="The model file or folder that the audit must be of; its digest is compared.",
)  # fmt: skip
@click.option(
    "--rerun", "pieces", default=None, metavar="N",
    help="Let the model answer again for all rows, and for N pieces and steps drawn at random (or: all).",
)  # fmt: skip
@click.option(
    "--spec", "spec_file", type=click.Path(path_type=Path), default=None, metavar="SPEC",
    help="The spec, beside which --rerun looks for data and model; default: the current folder.",
)  # fmt: skip
@click.option(
    "--rerun-seed", "seed", type=click.IntRange(min=0), default=None, metavar="S",
    help="Draw the pieces that an earlier --rerun drew; it prints its seed.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print every check as JSON.")
@click.option("--quiet", is_flag=True, help="Print nothing; the exit code tells.")
@click.pass_context
def command(
    context: click.Context,
    folder: Path,
    keys: tuple[Path, ...],
    names: tuple[str, ...],
    log_file: Path | None,
    model: str | None,
    pieces: str | None,
    spec_file: Path | None,
    seed: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Make every number, rule and page of an audit again from its folder, and say what does not hold.

    Exits with 0 where all of it holds, 1 where something does not, 3 where something could not be checked.
    """
    from xai_audit import audit, signing, verify
    from xai_audit.errors import UnavailableError

    if pieces is not None and pieces != "all" and not (pieces.isascii() and pieces.isdigit() and int(pieces)):
        raise click.UsageError(f"--rerun {pieces}: a number of pieces is asked, or all")
    if not folder.is_dir():
        raise UnavailableError(f"{folder}: there is no such folder")
    public, known = [signing.public_key(key) for key in keys], _policies(names)
    topics = list(verify.verify(folder, keys=public, policies=known, log=log_file))
    # Where audit.json cannot be read, that has been told, and nothing more can be asked of it.
    made = audit.read(folder) if any(topic.name == "rules" for topic in topics) else None
    if made is not None and pieces is not None:
        count = None if pieces == "all" else int(pieces)
        topics.append(_rerun(made, folder, count, seed, spec_file, model))
    elif made is not None and model is not None:
        topics.append(_model(made, model))
    if as_json:
        click.echo(_json(topics))
    elif not quiet:
        for line in _lines(folder, topics, made, keys=keys, log=log_file, model=model or pieces):
            click.echo(line)
    context.exit(verify.exit_code(topics))


def _model(made: Audit, model: str) -> Topic:
    """The digest of the model given, held to the audited one; the file is not opened."""
    from xai_audit import rerun
    from xai_audit.errors import UnavailableError
    from xai_audit.verify import Topic
    from xai_audit.verify.checks import Check

    try:
        found = rerun.model_is(made, model)
    except UnavailableError as error:
        found = Check("unchecked", "model", str(error))
    return Topic("model", (found,))


def _rerun(
    made: Audit, folder: Path, pieces: int | None, seed: int | None, spec_file: Path | None, model: str | None
) -> Topic:
    """The model's answers again; the seed of the draw is told, so that it can be repeated."""
    from xai_audit import rerun
    from xai_audit.errors import AuditError
    from xai_audit.verify import Topic
    from xai_audit.verify.checks import Check

    drawn = rerun.fresh_seed() if seed is None else seed
    checks = [Check("holds", "draw", f"the pieces were drawn with --rerun-seed {drawn}")]
    try:
        checks.extend(rerun.rerun(made, folder, pieces, seed=drawn, spec_path=spec_file, model=model))
    except AuditError as error:
        # What was found until then is told all the same.
        checks.append(Check("unchecked", "rerun", str(error)))
    return Topic("rerun", tuple(checks))


def _policies(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The shipped policies and those named, as audit.json keeps them, by id."""
    from xai_audit import resources
    from xai_audit.policy import as_applied
    from xai_audit.reading import read_policies

    shipped = sorted(path.stem for path in resources.folder("policies").glob("*.yaml"))
    read = [*read_policies(tuple(shipped), Path()), *read_policies(tuple(names), Path())]
    return {policy.id: as_applied(policy, sha256) for policy, sha256 in read}


def _json(topics: Sequence[Topic]) -> str:
    import json

    from xai_audit import verify

    said = [
        {"topic": topic.name, "kind": one.kind, "subject": one.subject, "what": one.what}
        for topic in topics
        for one in topic.checks
    ]
    return json.dumps({"exit_code": verify.exit_code(topics), "checks": said}, indent=1, ensure_ascii=False)


def _lines(
    folder: Path,
    topics: Sequence[Topic],
    made: Audit | None,
    *,
    keys: Sequence[Path],
    log: Path | None,
    model: object,
) -> Iterator[str]:
    from xai_audit import verify
    from xai_audit.render.visible import visible

    word = {0: "HOLDS", 1: "BROKEN", 3: "NOT ALL CHECKED"}[verify.exit_code(topics)]
    yield f"{word}  {visible(str(folder))}"
    for topic in topics:
        if not topic.checks:
            continue
        counts = ", ".join(
            f"{topic.count(kind):,} {told}"
            for kind, told in (("holds", "hold"), ("broken", "do not hold"), ("unchecked", "not checked"))
            if topic.count(kind)
        )
        yield f"  {topic.name:<13} {counts}"
        for kind in ("broken", "unchecked"):
            yield from _some([one for one in topic.checks if one.kind == kind])
        if topic.name in ("signature", "log", "freeze", "model", "rerun"):
            yield from _some([one for one in topic.checks if one.kind == "holds"])
    yield f"  Recomputing shares with the program that made it: {verify.SHARED}."
    yield from _untold(made, keys=keys, log=log, model=model)


def _some(checks: Sequence[Check]) -> Iterator[str]:
    from xai_audit.render.visible import visible

    for one in checks[:TOLD]:
        yield f"    {SIGNS[one.kind]} {visible(one.subject)}: {visible(one.what)}"
    if len(checks) > TOLD:
        yield f"    and {len(checks) - TOLD:,} more; --json tells all"


def _untold(made: Audit | None, *, keys: Sequence[Path], log: Path | None, model: object) -> Iterator[str]:
    """What nobody can know from the folder alone."""
    if made is None:
        return
    if not keys:
        yield "  Without --key, whoever can write the folder could have written another whole one."
    if not model:
        yield "  Without --model, a whole audit of another model cannot be told from this one."
    kept = made.run.get("log")
    if log is None and kept:
        yield f"  The project's log was not looked at: --log {kept.get('path')}."

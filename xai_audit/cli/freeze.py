"""``xai-audit freeze``: fix thresholds and methods before data are opened."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("spec_file", metavar="SPEC")
@click.option(
    "--key",
    "keys",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="KEY.pem",
    help="Sign with this private key (ed25519 or ECDSA); without one the freeze is unsigned and says so.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a key of the spec before it is fixed.",
)
def command(spec_file: str, keys: tuple[Path, ...], overrides: tuple[str, ...]) -> None:
    """Fix a spec's methods, data settings and thresholds, before any data are opened.

    Writes SPEC.freeze.json beside the spec; a run then tells in its report what was changed since. Model and data
    need not be there yet. A freeze that is there is never replaced.
    """
    import datetime

    from xai_audit import audit, digest, freezing, log, pipeline, signing
    from xai_audit.errors import UnavailableError
    from xai_audit.policy import as_applied
    from xai_audit.reading import read_policies, read_spec

    spec = read_spec(spec_file, overrides, files=False)
    policies = read_policies(spec.policies, Path(spec.file).parent)
    path = freezing.beside(spec.file)
    if path.exists():
        what = (
            "is there and is not replaced; keep it, or move it away and say why in the project's own records"
        )
        raise UnavailableError(f"{path}: {what}")
    signers = [signing.signer(key) for key in keys]
    created = datetime.datetime.now(datetime.UTC).replace(microsecond=0).isoformat()
    content = freezing.sealed(
        pipeline.published(spec),
        [as_applied(policy, sha256) for policy, sha256 in policies],
        file=Path(spec.file).name,
        sha256=digest.of_file(Path(spec.file)),
        created=created,
        signers=signers,
    )
    audit.write(path, content)
    place = log.path_of(spec)
    if place is not None:
        told = {"freeze": digest.of_bytes(content), "system": spec.system.name, "created": created}
        head = log.append(place, told)
        click.echo(f"{place}: head {head}")
    rules = sum(len(policy.rules) for policy, _ in policies)
    who = f"signed by {', '.join(key.public_key.keyid for key in signers)}" if signers else "unsigned"
    click.echo(f"{path}: {rules} rules and {len(spec.metrics) + len(spec.explainers)} methods fixed, {who}")
    if not signers:
        click.echo("whoever can write this file can write another; --key signs it", err=True)

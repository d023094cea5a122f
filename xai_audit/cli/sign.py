"""``xai-audit sign``: sign an audit that was made, by its maker or by whoever answers for it."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--key",
    "keys",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    metavar="KEY.pem",
    help="A private key, ed25519 or ECDSA; may be given more than once.",
)
def command(folder: Path, keys: tuple[Path, ...]) -> None:
    """Sign a saved audit: its model, data, spec, policies, verdict and files.

    Writes attestation.json, a DSSE envelope over an in-toto statement. Who has signed already stays. Make a key with
    openssl genpkey -algorithm ed25519 -out KEY.pem, and its public half with openssl pkey -in KEY.pem -pubout.
    """
    from xai_audit import signing, writing

    signed = writing.sign(folder, [signing.signer(key) for key in keys])
    for keyid in signed:
        click.echo(f"{folder}: signed by {keyid}")

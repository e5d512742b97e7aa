"""`myriad keys`: a pair of keys to sign releases with."""

from pathlib import Path

import click

from myriad.cli.common import json_option, show
from myriad.storage.signing import make_keys


@click.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@json_option
def keys(path: Path, *, as_json: bool) -> None:
    """Write a private key to PATH, for `--sign`, and its public key to PATH.pub, for `myriad serve --trust`."""
    try:
        public = make_keys(path)
    except OSError as exc:
        raise click.ClickException(f"{exc.filename or path}: {exc.strerror or 'is there already'}") from exc
    show({"private_key": str(path), "public_key": str(public)}, as_json=as_json)

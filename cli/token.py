"""`myriad token`: a new token for the service."""

import click

from myriad.cli.common import json_option, show
from myriad.serving.auth import SCOPES, new_token


@click.command()
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, required=True, type=click.Choice(SCOPES), help="What it may do; repeatable."
)
@json_option
def token(name: str, scopes: tuple[str, ...], *, as_json: bool) -> None:
    """Make a token for NAME. The line goes into the file that MYRIAD_TOKENS_FILE names; only a hash is kept there."""
    made, line = new_token(name, scopes)
    show({"token": made, "line": line}, as_json=as_json)
